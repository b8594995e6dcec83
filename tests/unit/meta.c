/* The beginning of DICOM files, as written by us and as met. */
#include "codecs/dicom/meta.h"
#include "check.h"

#include <stdlib.h>

#define EXPLICIT "1.2.840.10008.1.2.1"
#define IMPLICIT "1.2.840.10008.1.2"
#define BIG "1.2.840.10008.1.2.2"

/* (0008,0060) CS "CT" in three encodings. */
static const uint8_t explicit_set[] = {8, 0, 0x60, 0, 'C', 'S', 2, 0, 'C', 'T'};
static const uint8_t implicit_set[] = {8, 0, 0x60, 0, 2, 0, 0, 0, 'C', 'T'};
static const uint8_t big_set[] = {0, 8, 0, 0x60, 'C', 'S', 0, 2, 'C', 'T'};

static void build(struct buf *file, const char *syntax)
{
    buf_init(file);
    meta_build(file, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", syntax, "1.2.3.4", "VERSION1", "STORE");
}

static void meta_build_reads_back(void)
{
    struct buf file;
    build(&file, EXPLICIT);
    size_t size = file.size;
    buf_append(&file, explicit_set, sizeof explicit_set);
    struct meta meta;
    EXPECT_OK(meta_read(&meta, file.data, file.size));
    EXPECT(meta.has_preamble && !meta.guessed);
    EXPECT(meta.prefix_size == size);
    EXPECT_TEXT(meta.transfer_syntax, EXPLICIT);
    EXPECT_TEXT(meta.sop_class, "1.2.840.10008.5.1.4.1.1.2");
    EXPECT_TEXT(meta.sop_instance, "1.2.3");
    EXPECT_TEXT(meta.implementation_class, "1.2.3.4");
    EXPECT_TEXT(meta.implementation_version, "VERSION1");
    EXPECT_TEXT(meta.source_ae, "STORE");
    EXPECT(meta.syntax->code == 2);
    buf_release(&file);
}

static void meta_build_group_length_and_padding(void)
{
    struct buf file;
    build(&file, EXPLICIT);
    EXPECT(file.size % 2 == 0);
    EXPECT(get_u32(file.data + 132 + 8) == file.size - 144);
    EXPECT(memcmp(file.data + file.size - 6, "STORE ", 6) == 0); /* AE: a space */
    EXPECT(memmem(file.data, file.size,
                  "\x03\0UI\6\0"
                  "1.2.3",
                  12) != NULL); /* UI: a NUL */
    buf_clear(&file);
    meta_build(&file, "1.2", "1.2.3", EXPLICIT, "1.2", "V", "");
    EXPECT(memmem(file.data, file.size, "\x16\0AE", 4) == NULL);
    buf_release(&file);
}

static void meta_wrong_group_length_is_ignored(void)
{
    static const uint32_t lies[] = {0, 4, 100000, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct buf file;
        build(&file, IMPLICIT);
        size_t size = file.size;
        put_u32(file.data + 140, lies[i]);
        buf_append(&file, implicit_set, sizeof implicit_set);
        struct meta meta;
        EXPECT_OK(meta_read(&meta, file.data, file.size));
        EXPECT(meta.prefix_size == size);
        EXPECT(meta.syntax->code == 1);
        buf_release(&file);
    }
}

static void meta_without_preamble(void)
{
    struct buf file;
    build(&file, EXPLICIT);
    buf_append(&file, explicit_set, sizeof explicit_set);
    struct meta meta;
    EXPECT_OK(meta_read(&meta, file.data + 132, file.size - 132));
    EXPECT(!meta.has_preamble && meta.prefix_size == file.size - 132 - sizeof explicit_set);
    EXPECT_TEXT(meta.sop_instance, "1.2.3");
    EXPECT_OK(meta_read(&meta, file.data + 128, file.size - 128));
    EXPECT(!meta.has_preamble && meta.prefix_size == file.size - 128 - sizeof explicit_set);
    buf_release(&file);
}

static void meta_header_in_implicit_vr(void)
{
    struct buf file;
    buf_init(&file);
    for (int i = 0; i < 128; i++)
        buf_byte(&file, 0);
    buf_append(&file, "DICM\2\0\x10\0\x12\0\0\0" IMPLICIT "\0", 4 + 8 + 18);
    buf_append(&file, implicit_set, sizeof implicit_set);
    struct meta meta;
    EXPECT_OK(meta_read(&meta, file.data, file.size));
    EXPECT_TEXT(meta.transfer_syntax, IMPLICIT);
    EXPECT(meta.prefix_size == 158);
    buf_release(&file);
}

static void meta_bare_data_sets_are_guessed(void)
{
    static const struct {
        const uint8_t *bytes;
        const char *uid;
    } sets[] = {{explicit_set, EXPLICIT}, {implicit_set, IMPLICIT}, {big_set, BIG}};
    for (size_t i = 0; i < 3; i++) {
        struct meta meta;
        EXPECT_OK(meta_read(&meta, sets[i].bytes, 10));
        EXPECT(meta.guessed && meta.prefix_size == 0 && !meta.has_preamble);
        EXPECT_TEXT(meta.transfer_syntax, "");
        EXPECT_TEXT(meta.syntax->uid, sets[i].uid);
    }
}

static void meta_preamble_without_header_is_guessed(void)
{
    struct buf file;
    buf_init(&file);
    for (int i = 0; i < 128; i++)
        buf_byte(&file, 0);
    buf_text(&file, "DICM");
    buf_append(&file, big_set, sizeof big_set);
    struct meta meta;
    EXPECT_OK(meta_read(&meta, file.data, file.size));
    EXPECT(meta.guessed && meta.has_preamble && meta.prefix_size == 132);
    EXPECT_TEXT(meta.syntax->uid, BIG);
    buf_release(&file);
}

static void meta_dicm_by_chance_in_a_bare_data_set(void)
{
    struct buf file;
    buf_init(&file);
    buf_append(&file, "\x08\0\x80\0LO\xF0\0", 8);
    for (int i = 0; i < 240; i++)
        buf_byte(&file, 'x');
    memcpy(file.data + 128, "DICM", 4);
    struct meta meta;
    EXPECT_OK(meta_read(&meta, file.data, file.size));
    EXPECT(!meta.has_preamble && meta.prefix_size == 0 && meta.guessed);
    buf_release(&file);
}

static void meta_unknown_syntax_is_kept(void)
{
    struct buf file;
    build(&file, "1.2.3.99");
    struct meta meta;
    EXPECT_OK(meta_read(&meta, file.data, file.size));
    EXPECT(meta.syntax->code == 0 && !meta.guessed);
    EXPECT_TEXT(meta.transfer_syntax, "1.2.3.99");
    buf_release(&file);
}

static void meta_cut_anywhere_never_reads_beyond(void)
{
    struct buf file;
    build(&file, EXPLICIT);
    size_t whole = file.size;
    buf_append(&file, explicit_set, sizeof explicit_set);
    for (size_t size = 0; size < file.size; size++) {
        uint8_t *copy = malloc(size + 1); /* of exactly that size, for the sanitizer */
        memcpy(copy, file.data, size);
        struct meta meta;
        struct error err = meta_read(&meta, copy, size);
        EXPECT(err.code == ERROR_NONE || err.code == ERROR_MALFORMED);
        EXPECT(err.code != ERROR_NONE || meta.prefix_size <= size);
        EXPECT(size < whole || err.code == ERROR_NONE);
        error_release(&err);
        free(copy);
    }
    buf_release(&file);
}

static void meta_element_longer_than_the_limit(void)
{
    struct buf file;
    buf_init(&file);
    for (int i = 0; i < 128; i++)
        buf_byte(&file, 0);
    buf_append(&file, "DICM\2\0\2\1OB\0\0", 12);
    buf_u32(&file, META_PREFIX_MAX);
    while (file.size < META_PREFIX_MAX + 200)
        buf_byte(&file, 0);
    struct meta meta;
    EXPECT_ERROR(meta_read(&meta, file.data, file.size), ERROR_MALFORMED);
    buf_release(&file);
}

static void meta_says_what_else_it_is(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } files[] = {
        {"", 0, "empty"},
        {"\xFF\xD8\xFF\xE0\0\x10JFIF", 10, "JPEG"},
        {"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16, "PNG"},
        {"%PDF-1.4\n%\xE2\xE3", 11, "PDF"},
        {"PK\3\4\x14\0\0\0\x08\0", 10, "ZIP"},
        {"\x1F\x8B\x08\0\0\0\0\0\0\3", 10, "gzip"},
        {"\x7F"
         "ELF\2\1\1\0\0\0",
         10, "ELF"},
        {"Dear colleague,\n", 16, "text"},
        {"  \t {\"a\": 1}\n", 13, "text"},
        {"MSH|^~\\&|A|B\r", 13, "HL7"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", 12, "zeros"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct meta meta;
        struct error err = meta_read(&meta, (const uint8_t *)files[i].bytes, files[i].size);
        EXPECT(err.code == ERROR_MALFORMED);
        EXPECT(strstr(error_text(&err), files[i].says) != NULL);
        error_release(&err);
    }
}

int main(void)
{
    RUN(meta_build_reads_back);
    RUN(meta_build_group_length_and_padding);
    RUN(meta_wrong_group_length_is_ignored);
    RUN(meta_without_preamble);
    RUN(meta_header_in_implicit_vr);
    RUN(meta_bare_data_sets_are_guessed);
    RUN(meta_preamble_without_header_is_guessed);
    RUN(meta_dicm_by_chance_in_a_bare_data_set);
    RUN(meta_unknown_syntax_is_kept);
    RUN(meta_cut_anywhere_never_reads_beyond);
    RUN(meta_element_longer_than_the_limit);
    RUN(meta_says_what_else_it_is);
    return check_done();
}
