/* Layer: codecs/dicom. The table of transfer syntaxes (PS3.5 A, PS3.6 A), retired ones included.
 *
 * A new transfer syntax is a row of syntax.c. `code` is permanent: it stands in packs and in the index, is never
 * changed and never used again. Constant data, any thread.
 */
#ifndef CODECS_DICOM_SYNTAX_H
#define CODECS_DICOM_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct syntax {
    uint8_t code; /* permanent; 0 is 'unknown' (kept as sent, read as explicit little endian if it looks so) */
    const char *uid;
    const char *name;   /* keyword-like, for people: "JPEG Lossless SV1" */
    bool implicit;      /* implicit VR (PS3.5 A.1) */
    bool big_endian;    /* PS3.5 A.3 (retired) */
    bool deflated;      /* the whole data set is deflated: 1.2.840.10008.1.2.1.99, .4.95, .4.205 */
    bool encapsulated;  /* Pixel Data is a sequence of fragments (PS3.5 A.4) */
    bool lossy;         /* the process can lose information */
    uint8_t preference; /* order in which an acceptor picks among several offered: lower first (design section 8) */
};

/* All rows; `*count` of them. Row 0 is the unknown syntax (uid ""). */
const struct syntax *syntax_table(size_t *count);
/* The row of a UID (trailing NUL or space ignored), or row 0. Never NULL. */
const struct syntax *syntax_by_uid(const char *uid);
/* The row of a permanent code, or row 0. */
const struct syntax *syntax_by_code(uint8_t code);

#ifdef __cplusplus
}
#endif
#endif
