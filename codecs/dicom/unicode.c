/* What lives here: lenient decoding, classes of code points, normal forms and cuts. Tables and algorithms are
 * utf8proc's.
 */
#include "codecs/dicom/unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

const char *unicode_next(const char *utf8, int32_t *code_point)
{
    if (!*utf8) {
        *code_point = 0;
        return utf8;
    }
    utf8proc_int32_t found;
    utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)utf8, -1, &found);
    *code_point = size > 0 ? found : UNICODE_REPLACEMENT;
    return utf8 + (size > 0 ? size : 1);
}

void unicode_put(struct buf *out, int32_t code_point)
{
    utf8proc_uint8_t utf8[4];
    buf_append(out, utf8, (size_t)utf8proc_encode_char(code_point, utf8));
}

bool unicode_in(const struct unicode_range *ranges, size_t count, int32_t code_point)
{
    for (size_t i = 0; i < count && ranges[i].first <= code_point; i++)
        if (code_point <= ranges[i].last)
            return true;
    return false;
}

bool unicode_is_blank(int32_t code_point)
{
    utf8proc_category_t category = utf8proc_category(code_point);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP ||
           category == UTF8PROC_CATEGORY_CC;
}

bool unicode_is_punctuation(int32_t code_point)
{
    utf8proc_category_t category = utf8proc_category(code_point);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

void unicode_map(struct buf *out, const char *utf8, int options)
{
    struct buf valid;
    buf_init(&valid);
    for (int32_t code_point; *utf8;) {
        utf8 = unicode_next(utf8, &code_point);
        unicode_put(&valid, code_point);
    }
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t size = -1;
    if (!valid.failed)
        size = utf8proc_map((const utf8proc_uint8_t *)buf_string(&valid), (utf8proc_ssize_t)valid.size, &mapped,
                            (utf8proc_option_t)(options | UTF8PROC_STABLE));
    /* The text is valid, so only memory can be missing. */
    if (size >= 0)
        buf_append(out, mapped, (size_t)size);
    else
        out->failed = true;
    free(mapped);
    buf_release(&valid);
}

size_t unicode_cut(const uint8_t *utf8, size_t size, size_t max)
{
    if (size <= max)
        return size;
    size_t cluster = 0, point = 0;
    utf8proc_int32_t state = 0, previous = 0, code_point;
    for (size_t at = 0; at <= max;) {
        utf8proc_ssize_t step = utf8proc_iterate(utf8 + at, (utf8proc_ssize_t)(size - at), &code_point);
        if (step <= 0)
            break;
        point = at;
        if (at > 0 && utf8proc_grapheme_break_stateful(previous, code_point, &state))
            cluster = at;
        previous = code_point;
        at += (size_t)step;
    }
    return cluster ? cluster : point;
}
