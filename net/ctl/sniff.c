/* What lives here: magic numbers. */
#include "net/ctl/sniff.h"

#include "codecs/dicom/meta.h"

#include <string.h>

#define MEDIA_STORAGE_DIRECTORY "1.2.840.10008.1.3.10"

static const struct {
    enum archive_kind kind;
    size_t offset, size;
    const char *magic;
} magics[] = {
    {ARCHIVE_ZIP, 0, 4, "PK\3\4"},
    {ARCHIVE_ZIP, 0, 4, "PK\5\6"},
    {ARCHIVE_ZIP, 0, 4, "PK00"},
    {ARCHIVE_7ZIP, 0, 6, "7z\xBC\xAF\x27\x1C"},
    {ARCHIVE_COMPRESSED, 0, 3, "\x1F\x8B\x08"},
    {ARCHIVE_COMPRESSED, 0, 3, "BZh"},
    {ARCHIVE_COMPRESSED, 0, 6,
     "\xFD"
     "7zXZ\0"},
    {ARCHIVE_COMPRESSED, 0, 4, "\x28\xB5\x2F\xFD"},
    {ARCHIVE_TAR, 257, 5, "ustar"},
    {ARCHIVE_ISO, 32769, 5, "CD001"},
};

static bool has_prefix(const uint8_t *bytes, size_t size)
{
    return size >= 132 && memcmp(bytes + 128, "DICM", 4) == 0;
}

enum archive_kind sniff_archive(const uint8_t *bytes, size_t size)
{
    if (has_prefix(bytes, size))
        return ARCHIVE_NONE;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (size >= magics[i].offset + magics[i].size &&
            memcmp(bytes + magics[i].offset, magics[i].magic, magics[i].size) == 0)
            return magics[i].kind;
    return ARCHIVE_NONE;
}

enum dicom_kind sniff_dicom(const uint8_t *bytes, size_t size, struct error *why)
{
    struct meta meta;
    struct error err = meta_read(&meta, bytes, size < META_PREFIX_MAX ? size : META_PREFIX_MAX);
    enum dicom_kind kind = err.code != ERROR_NONE ? (has_prefix(bytes, size) ? DICOM_FILE : DICOM_NOT)
                           : strcmp(meta.sop_class, MEDIA_STORAGE_DIRECTORY) == 0 ? DICOM_DIR
                           : meta.guessed && !meta.prefix_size                    ? DICOM_GUESSED
                                                                                  : DICOM_FILE;
    if (why && kind == DICOM_NOT)
        *why = err;
    else
        error_release(&err);
    return kind;
}
