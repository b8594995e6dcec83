/* What lives here: the beginning of a DICOM file (PS3.10 7.1) read and written. The data set behind it is
 * dataset_reader.c's.
 *
 * The length of group 0002 is not believed: elements are walked as long as they are of that group. Each may be explicit
 * or implicit VR, little endian; a file may lack its preamble, its meta header or both. Where the transfer syntax is
 * not said, the data set is read as its first element looks, and must then read on without a fault.
 */
#include "codecs/dicom/meta.h"

#include "codecs/dicom/dataset_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PREAMBLE_SIZE 128

static const char magic[4] = {'D', 'I', 'C', 'M'};

/* Naming what is no DICOM */

struct signature {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *name;
};

#define SIGNATURE(offset, bytes, name)                                                                                 \
    {                                                                                                                  \
        offset, bytes, sizeof bytes - 1, name                                                                          \
    }
static const struct signature signatures[] = {
    SIGNATURE(0, "\xFF\xD8\xFF", "a JPEG image"),
    SIGNATURE(0, "\x89PNG\r\n\x1A\n", "a PNG image"),
    SIGNATURE(0, "GIF8", "a GIF image"),
    SIGNATURE(0, "BM", "a BMP image"),
    SIGNATURE(0, "II*\0", "a TIFF image"),
    SIGNATURE(0, "MM\0*", "a TIFF image"),
    SIGNATURE(0, "\0\0\0\x0CjP  ", "a JPEG 2000 image"),
    SIGNATURE(0, "\xFF\x4F\xFF\x51", "a JPEG 2000 codestream"),
    SIGNATURE(0, "%PDF", "a PDF document"),
    SIGNATURE(0, "{\\rtf", "an RTF document"),
    SIGNATURE(0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an old Office document"),
    SIGNATURE(0, "PK\x03\x04", "a ZIP archive"),
    SIGNATURE(0, "PK\x05\x06", "an empty ZIP archive"),
    SIGNATURE(0, "\x1F\x8B", "gzip data"),
    SIGNATURE(0, "BZh", "bzip2 data"),
    SIGNATURE(0,
              "\xFD"
              "7zXZ\0",
              "xz data"),
    SIGNATURE(0, "\x28\xB5\x2F\xFD", "zstd data"),
    SIGNATURE(0, "7z\xBC\xAF\x27\x1C", "a 7z archive"),
    SIGNATURE(0, "Rar!", "a RAR archive"),
    SIGNATURE(257, "ustar", "a tar archive"),
    SIGNATURE(32769, "CD001", "an ISO 9660 image"),
    SIGNATURE(0,
              "\x7F"
              "ELF",
              "an ELF program"),
    SIGNATURE(0, "MZ", "a Windows program"),
    SIGNATURE(0, "SQLite format 3", "an SQLite database"),
    SIGNATURE(0, "\x89HDF\r\n\x1A\n", "an HDF5 file"),
    SIGNATURE(0, "NRRD", "an NRRD volume"),
    SIGNATURE(344, "n+1\0", "a NIfTI volume"),
    SIGNATURE(0, "RIFF", "a RIFF (AVI or WAVE) file"),
    SIGNATURE(4, "ftyp", "an MP4 video"),
    SIGNATURE(0, "MSH|", "an HL7 message"),
    SIGNATURE(0, "<?xml", "an XML document"),
    SIGNATURE(0, "<!DOCTYPE", "an HTML page"),
};

static bool is_all(const uint8_t *bytes, size_t size, uint8_t byte)
{
    return size && bytes[0] == byte && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static bool is_text(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((bytes[i] < ' ' && !strchr("\t\n\f\r\x1B", bytes[i])) || bytes[i] == 0x7F || bytes[i] == 0)
            return false;
    }
    return true;
}

/* What the bytes are instead; where they look like nothing known, `reason` stays. Takes ownership of it. */
static struct error no_dicom(const uint8_t *bytes, size_t size, struct error reason)
{
    const size_t text_max = 4096; /* enough to tell, not worth reading more */
    const char *name = NULL;
    if (size == 0)
        name = "an empty file";
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0] && !name; i++) {
        const struct signature *s = &signatures[i];
        if (size >= s->offset + s->size && memcmp(bytes + s->offset, s->bytes, s->size) == 0)
            name = s->name;
    }
    if (!name && is_all(bytes, size, 0))
        name = "nothing but zeros";
    if (!name && is_text(bytes, size < text_max ? size : text_max))
        name = "text";
    if (!name)
        return error_context(reason, "no DICM at offset 128");
    error_release(&reason);
    return error_make(ERROR_MALFORMED, "not a DICOM file: it looks like %s", name);
}

/* Reading the meta header */

struct field {
    uint16_t element;
    size_t offset, size; /* of the member of struct meta */
};

#define FIELD(element, member)                                                                                         \
    {                                                                                                                  \
        element, offsetof(struct meta, member), sizeof((struct meta *)0)->member                                       \
    }
static const struct field fields[] = {
    FIELD(0x0002, sop_class),
    FIELD(0x0003, sop_instance),
    FIELD(0x0010, transfer_syntax),
    FIELD(0x0012, implementation_class),
    FIELD(0x0013, implementation_version),
    FIELD(0x0016, source_ae),
};

/* Padding at both ends is no part of a UID, a short string or an AE title, nor is what stands behind a NUL. */
static void keep_field(struct meta *meta, uint16_t element, const uint8_t *value, size_t length)
{
    length = strnlen((const char *)value, length);
    while (length && value[length - 1] == ' ')
        length--;
    while (length && *value == ' ') {
        value++;
        length--;
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].element != element)
            continue;
        char *to = (char *)meta + fields[i].offset;
        size_t size = length < fields[i].size - 1 ? length : fields[i].size - 1;
        memset(to, 0, fields[i].size);
        memcpy(to, value, size);
    }
}

/* The element at `at` if it is one of group 0002: the offset behind it, or `at` if it is not. */
static struct error take_element(struct meta *meta, const uint8_t *bytes, size_t size, size_t at, size_t *behind)
{
    *behind = at;
    if (size - at < 8 || get_u16(bytes + at) != 0x0002)
        return NO_ERROR;
    const uint8_t *p = bytes + at;
    uint16_t element = get_u16(p + 2);
    size_t header = 8;
    uint64_t length = get_u32(p + 4);
    if (vr_is_letters(p + 4)) {
        length = get_u16(p + 6);
        if (vr_form(p + 4) != VR_SHORT) {
            header = 12;
            if (size - at < header)
                return error_make(ERROR_MALFORMED, "the file ends inside its meta header, at offset %zu", size);
            length = get_u32(p + 8);
        }
    }
    if (length > size - at - header)
        return error_make(ERROR_MALFORMED,
                          "meta header: (0002,%04X) at offset %zu with %" PRIu64 " bytes reaches beyond the %s",
                          element, at, length, size >= META_PREFIX_MAX ? "64 KiB that a meta header may have" : "file");
    keep_field(meta, element, p + header, (size_t)length);
    *behind = at + header + (size_t)length;
    return NO_ERROR;
}

/* Guessing the syntax */

static const char *guess_uid(bool implicit, bool big_endian)
{
    return implicit ? "1.2.840.10008.1.2" : big_endian ? "1.2.840.10008.1.2.2" : "1.2.840.10008.1.2.1";
}

static struct error ignore_token(void *context, const struct dataset_token *token)
{
    (void)context;
    (void)token;
    return NO_ERROR;
}

/* Whether all there is of the data set reads without a fault. `whole`: nothing follows. */
static struct error read_on(const struct syntax *syntax, const uint8_t *bytes, size_t size, bool whole)
{
    struct dataset_options options = {.syntax = syntax, .handler = ignore_token, .capture_max = 1};
    struct dataset_reader *reader;
    TRY(dataset_reader_new(&reader, &options));
    struct error err = dataset_reader_feed(reader, bytes, size);
    if (err.code == ERROR_NONE && whole)
        err = dataset_reader_finish(reader);
    dataset_reader_free(reader);
    return err;
}

static bool begins_data_set(const uint8_t *bytes, size_t size, bool *implicit, bool *big_endian)
{
    *implicit = *big_endian = false;
    return size >= 8 && !is_all(bytes, 8, 0) && dataset_detect(bytes, implicit, big_endian);
}

/* Where nothing says that a file is DICOM, its data set must begin with an element of the standard, of a low group. */
static bool is_bare_data_set(const uint8_t *bytes, size_t size)
{
    const uint32_t first_max = UINT32_C(0x00400000);
    bool implicit, big_endian;
    if (!begins_data_set(bytes, size, &implicit, &big_endian))
        return false;
    uint32_t tag = tag_at(bytes, big_endian);
    return tag < first_max && (tag >> 16) % 2 == 0;
}

static struct error guess(struct meta *meta, const uint8_t *bytes, size_t size, bool whole)
{
    bool implicit, big_endian;
    if (!begins_data_set(bytes, size, &implicit, &big_endian) || (!meta->prefix_size && !is_bare_data_set(bytes, size)))
        return error_make(ERROR_MALFORMED, "no transfer syntax is named, and no data set begins like this");
    meta->guessed = true;
    meta->syntax = syntax_by_uid(guess_uid(implicit, big_endian));
    return read_on(meta->syntax, bytes, size, whole);
}

static bool is_group_2(const uint8_t *bytes, size_t size)
{
    return size >= 8 && get_u16(bytes) == 0x0002;
}

/* Where the meta header or, without one, the data set begins. DICM at 128 may be chance (the name of a station in a
 * bare data set) when no meta header follows and a data set begins at 0. */
static size_t find_begin(const uint8_t *bytes, size_t size, bool *has_preamble)
{
    const size_t behind = PREAMBLE_SIZE + sizeof magic;
    *has_preamble = size >= behind && memcmp(bytes + PREAMBLE_SIZE, magic, sizeof magic) == 0;
    if (*has_preamble && !is_group_2(bytes + behind, size - behind) && is_bare_data_set(bytes, size))
        *has_preamble = false;
    if (*has_preamble)
        return behind;
    bool cut = size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
    return cut ? sizeof magic : 0;
}

struct error meta_read(struct meta *meta, const uint8_t *bytes, size_t size)
{
    *meta = (struct meta){.syntax = syntax_by_code(0)};
    if (size > META_PREFIX_MAX)
        size = META_PREFIX_MAX;
    size_t at = find_begin(bytes, size, &meta->has_preamble);
    bool bare = at == 0;
    for (size_t behind;; at = behind) {
        struct error err = take_element(meta, bytes, size, at, &behind);
        if (err.code != ERROR_NONE)
            return bare ? no_dicom(bytes, size, err) : err;
        if (behind == at)
            break;
    }
    meta->prefix_size = at;
    if (meta->transfer_syntax[0]) {
        meta->syntax = syntax_by_uid(meta->transfer_syntax);
        return NO_ERROR;
    }
    struct error err = guess(meta, bytes + at, size - at, size < META_PREFIX_MAX);
    return err.code == ERROR_MALFORMED && at == 0 ? no_dicom(bytes, size, err) : err;
}

/* Writing */

static void put_padded(struct buf *out, const void *value, size_t size, uint8_t padding)
{
    buf_append(out, value, size);
    if (size % 2)
        buf_byte(out, padding);
}

static void put_short(struct buf *out, uint16_t element, const char *vr, const char *text, uint8_t padding)
{
    size_t size = strlen(text);
    buf_u16(out, 0x0002);
    buf_u16(out, element);
    buf_append(out, vr, 2);
    buf_u16(out, (uint16_t)(size + size % 2));
    put_padded(out, text, size, padding);
}

void meta_build(struct buf *out, const char *sop_class, const char *sop_instance, const char *transfer_syntax,
                const char *implementation_class, const char *implementation_version, const char *source_ae)
{
    static const uint8_t preamble[PREAMBLE_SIZE];
    static const uint8_t version[] = {0x02, 0, 0x01, 0, 'O', 'B', 0, 0, 2, 0, 0, 0, 0x00, 0x01};
    static const uint8_t length[] = {0x02, 0, 0x00, 0, 'U', 'L', 4, 0, 0, 0, 0, 0};
    buf_append(out, preamble, sizeof preamble);
    buf_append(out, magic, sizeof magic);
    buf_append(out, length, sizeof length);
    size_t begin = out->size;
    buf_append(out, version, sizeof version);
    put_short(out, 0x0002, "UI", sop_class, 0);
    put_short(out, 0x0003, "UI", sop_instance, 0);
    put_short(out, 0x0010, "UI", transfer_syntax, 0);
    put_short(out, 0x0012, "UI", implementation_class, 0);
    if (implementation_version[0])
        put_short(out, 0x0013, "SH", implementation_version, ' ');
    if (source_ae[0])
        put_short(out, 0x0016, "AE", source_ae, ' ');
    if (!out->failed)
        put_u32(out->data + begin - 4, (uint32_t)(out->size - begin));
}
