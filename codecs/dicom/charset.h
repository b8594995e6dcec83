/* Layer: codecs/dicom. Specific Character Set (0008,0005) to UTF-8 (PS3.5 6.1, PS3.3 C.12.1.1.2).
 *
 * Single-byte sets, ISO 2022 with code extensions (Japanese, Korean, Chinese), ISO_IR 192, GB18030, GBK; resets of the
 * code extension state at the delimiters of PS3.5 6.1.2.5.3 (CR LF FF TAB; `^` and `=` in PN; `\` in multi-valued VRs).
 * Conversion never fails: bytes that do not decode become U+FFFD and are counted. Misspelt but obvious terms of the
 * wild are understood ("ISO IR 100", "ISO-IR 100", "UTF-8", "iso8859-1"). Where the data set names no set but bytes
 * above 7F occur: UTF-8 if they are valid UTF-8, else ISO 8859-1. The conversion itself is iconv's.
 */
#ifndef CODECS_DICOM_CHARSET_H
#define CODECS_DICOM_CHARSET_H

#include "codecs/base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct charset; /* a prepared converter; one thread at a time */

/* From the raw value of (0008,0005), values separated by backslashes; NULL or "" is the default repertoire. */
struct error charset_new(struct charset **charset, const char *specific_character_set);
void charset_free(struct charset *charset);
/* Appends `size` bytes as UTF-8. `vr` tells the delimiters ("PN", "LO", ...); VRs that (0008,0005) does not govern
 * (PS3.5 6.1.2.3: all but LO LT PN SH ST UC UT, and UN/UR...) are taken as ASCII with the fallback above.
 * Returns the number of replacement characters. */
size_t charset_convert(struct charset *charset, struct buf *out, const char *vr, const uint8_t *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
