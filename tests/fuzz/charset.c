/* libFuzzer: terms of (0008,0005) up to the first NUL, a VR by one byte, then the value. What comes out is UTF-8. */
#include "codecs/dicom/charset.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_utf8(const struct buf *out)
{
    for (size_t at = 0; at < out->size;) {
        utf8proc_int32_t code_point;
        utf8proc_ssize_t step = utf8proc_iterate(out->data + at, (utf8proc_ssize_t)(out->size - at), &code_point);
        if (step <= 0)
            abort();
        at += (size_t)step;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const vrs[] = {"PN", "LO", "LT", "UT", "CS", "UN"};
    const uint8_t *end = memchr(data, 0, size);
    struct charset *charset;
    struct buf out;
    if (!end || end + 1 >= data + size)
        return 0;
    struct error e = charset_new(&charset, (const char *)data);
    if (e.code != ERROR_NONE) {
        error_release(&e);
        return 0;
    }
    buf_init(&out);
    size_t left = size - (size_t)(end + 2 - data);
    size_t replaced = charset_convert(charset, &out, vrs[end[1] % (sizeof vrs / sizeof *vrs)], end + 2, left);
    if (replaced > left)
        abort();
    require_utf8(&out);
    buf_release(&out);
    charset_free(charset);
    return 0;
}
