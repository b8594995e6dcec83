/* Layer: net/ctl. What a file is, by its bytes and never by its name. Pure functions. */
#ifndef NET_CTL_SNIFF_H
#define NET_CTL_SNIFF_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Archives are told by at most this many first bytes; an ISO image needs them all. */
#define SNIFF_ARCHIVE_SIZE 32774

enum archive_kind { ARCHIVE_NONE, ARCHIVE_ZIP, ARCHIVE_7ZIP, ARCHIVE_TAR, ARCHIVE_COMPRESSED, ARCHIVE_ISO };

/* Which sort of archive begins so. DICOM files are none, whatever their preamble says. */
enum archive_kind sniff_archive(const uint8_t *bytes, size_t size);

enum dicom_kind {
    DICOM_FILE,    /* says so */
    DICOM_GUESSED, /* a bare data set, perhaps */
    DICOM_DIR,     /* Media Storage Directory: an index of a medium, no image */
    DICOM_NOT,     /* `why` says what it looks like */
};
/* From the first META_PREFIX_MAX bytes. `why` may be NULL; the caller releases it. */
enum dicom_kind sniff_dicom(const uint8_t *bytes, size_t size, struct error *why);

#endif
