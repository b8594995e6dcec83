/* Layer: codecs/dicom. The DICOM file format's beginning (PS3.10 7.1): preamble, prefix, file meta information.
 *
 * Pure functions over bytes; any thread.
 */
#ifndef CODECS_DICOM_META_H
#define CODECS_DICOM_META_H

#include "codecs/base/buf.h"
#include "codecs/dicom/syntax.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Who we are, to peers and in meta headers that we build (PS3.7 D.3.3.2; a UUID-derived UID, PS3.5 B.2). */
#define IMPLEMENTATION_CLASS_UID "2.25.212878274606762397952903928552900749569"
#define IMPLEMENTATION_VERSION "PACSFS_" PACSFS_VERSION /* SH: at most 16 characters */

#define META_PREFIX_MAX 65536 /* preamble and meta header together; longer is ERROR_MALFORMED */

struct meta {
    size_t prefix_size;       /* bytes before the data set: preamble, DICM, group 0002; 0 where the file has none */
    bool has_preamble;        /* 128 bytes and "DICM" */
    char transfer_syntax[65]; /* "" when the file does not say: see `guessed` */
    char sop_class[65];
    char sop_instance[65];
    char implementation_class[65];
    char implementation_version[17];
    char source_ae[17];
    const struct syntax *syntax; /* of transfer_syntax, or guessed from the first element where there is no meta header
                                    (implicit or explicit, little or big endian, then checked by reading on) */
    bool guessed;
};

/* Reads the beginning of a file from its first `size` bytes (give min(file size, META_PREFIX_MAX)). Files without
 * preamble but with a meta header, and bare data sets, are understood. ERROR_MALFORMED: no DICOM at all (the message
 * says what it looks like instead: JPEG, PDF, zip, all zeros, text...). */
struct error meta_read(struct meta *meta, const uint8_t *bytes, size_t size);

/* Appends 128 zero bytes, "DICM" and a group 0002 with its length, version 00\01, class, instance, syntax,
 * implementation (class UID and version given by the caller) and, if not empty, Source AE Title (0002,0016). */
void meta_build(struct buf *out, const char *sop_class, const char *sop_instance, const char *transfer_syntax,
                const char *implementation_class, const char *implementation_version, const char *source_ae);

#ifdef __cplusplus
}
#endif
#endif
