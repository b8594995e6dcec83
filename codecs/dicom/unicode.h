/* Layer: codecs/dicom. What names.c, template.c and person.c need of Unicode beyond utf8proc's own calls.
 *
 * Texts end with a NUL and may hold anything: each byte that begins no valid sequence is U+FFFD. Pure functions, any
 * thread. What is made is appended; when memory runs out the buffer remembers it.
 */
#ifndef CODECS_DICOM_UNICODE_H
#define CODECS_DICOM_UNICODE_H

#include "codecs/base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define UNICODE_REPLACEMENT 0xFFFD

struct unicode_range {
    int32_t first, last;
};

/* The code point at `utf8` (0 at the end) and the address of the next. */
const char *unicode_next(const char *utf8, int32_t *code_point);
void unicode_put(struct buf *out, int32_t code_point);
/* Whether one of `count` ranges, in ascending order, holds the code point. */
bool unicode_in(const struct unicode_range *ranges, size_t count, int32_t code_point);
/* Blanks of any script, line ends and control characters. */
bool unicode_is_blank(int32_t code_point);
bool unicode_is_punctuation(int32_t code_point);

/* utf8proc_map() with utf8proc_option_t `options` (UTF8PROC_STABLE is added). */
void unicode_map(struct buf *out, const char *utf8, int options);
/* The largest size of at most `max` bytes at which valid UTF-8 may be cut: between grapheme clusters (UAX #29), or
 * between code points where the first cluster alone is larger. */
size_t unicode_cut(const uint8_t *utf8, size_t size, size_t max);

#ifdef __cplusplus
}
#endif
#endif
