/* The data set reader: what it reports, that splitting the input changes nothing, and what it does with what the field
 * sends. Files of pydicom's package and of the folder PACSFS_CORPUS are read too, where they exist. */
#include "check.h"
#include "codecs/dicom/dataset.h"
#include "codecs/dicom/meta.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

#define IMPLICIT "1.2.840.10008.1.2"
#define EXPLICIT "1.2.840.10008.1.2.1"
#define BIG "1.2.840.10008.1.2.2"
#define DEFLATED "1.2.840.10008.1.2.1.99"
#define JPEG "1.2.840.10008.1.2.4.50"
#define UNDEFINED32 UINT32_C(0xFFFFFFFF)

/* Writing data sets */

static void put(struct buf *b, bool big, uint32_t tag, const char *vr, uint32_t length)
{
    uint8_t h[12] = {0};
    size_t size = 8;
    bool longer = vr && (strchr("O", vr[0]) || strstr("SQ UN UT UC UR UV SV ZZ", vr));
    if (big) {
        h[0] = (uint8_t)(tag >> 24), h[1] = (uint8_t)(tag >> 16), h[2] = (uint8_t)(tag >> 8), h[3] = (uint8_t)tag;
    } else {
        put_u16(h, (uint16_t)(tag >> 16));
        put_u16(h + 2, (uint16_t)tag);
    }
    if (vr)
        memcpy(h + 4, vr, 2);
    if (longer)
        size = 12;
    if (vr && !longer)
        h[6] = (uint8_t)(big ? length >> 8 : length), h[7] = (uint8_t)(big ? length : length >> 8);
    else if (big)
        put_u32be(h + size - 4, length);
    else
        put_u32(h + size - 4, length);
    buf_append(b, h, size);
}

static void le(struct buf *b, uint32_t tag, const char *vr, uint32_t length)
{
    put(b, false, tag, vr, length);
}

static void text(struct buf *b, uint32_t tag, const char *vr, const char *value)
{
    le(b, tag, vr, (uint32_t)strlen(value));
    buf_text(b, value);
}

static void item(struct buf *b, uint32_t length)
{
    le(b, 0xFFFEE000, NULL, length);
}

static void item_end(struct buf *b)
{
    le(b, 0xFFFEE00D, NULL, 0);
}

static void sequence_end(struct buf *b)
{
    le(b, 0xFFFEE0DD, NULL, 0);
}

/* Recording tokens as text */

static const char *const kinds[] = {"element", "seq", "/seq", "item", "/item", "pixel", "fragment", "/pixel"};

static struct error record(void *context, const struct dataset_token *token)
{
    struct buf *log = context;
    buf_printf(log, "%s %08" PRIX32 " %s d%u @%" PRIu64 " v%" PRIu64, kinds[token->kind], token->tag,
               token->vr[0] ? token->vr : "-", token->depth, token->offset, token->value_offset);
    if (token->length == DATASET_UNDEFINED)
        buf_text(log, " undefined");
    else
        buf_printf(log, " +%" PRIu64, token->length);
    if (token->value) {
        EXPECT(token->value[token->length] == 0);
        uint32_t sum = (uint32_t)crc32(0, token->value, (uInt)token->length);
        buf_printf(log, " %08" PRIX32, sum);
    }
    buf_text(log, token->big_endian ? " big\n" : "\n");
    return NO_ERROR;
}

struct result {
    struct buf log;
    struct error err;
};

/* Feeds in pieces of `piece` bytes; 0: whole; -1: random. Each piece is a copy of its own size, so that the sanitizer
 * sees a byte read too far. */
static struct result read_as(const struct syntax *syntax, const uint8_t *bytes, size_t size, bool deep, long piece,
                             size_t capture_max)
{
    struct result result = {.err = NO_ERROR};
    buf_init(&result.log);
    struct dataset_options options = {syntax, deep, capture_max, record, &result.log};
    struct dataset_reader *reader;
    result.err = dataset_reader_new(&reader, &options);
    uint64_t seed = size * 7919 + 1;
    for (size_t at = 0; at < size && result.err.code == ERROR_NONE;) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        size_t n = piece > 0 ? (size_t)piece : piece == 0 ? size : (size_t)(seed >> 33) % 40 + 1;
        if (n > size - at)
            n = size - at;
        uint8_t *copy = malloc(n);
        memcpy(copy, bytes + at, n);
        result.err = dataset_reader_feed(reader, copy, n);
        free(copy);
        at += n;
        if (result.err.code == ERROR_NONE && !syntax->deflated)
            EXPECT(dataset_reader_offset(reader) == at);
    }
    if (result.err.code == ERROR_NONE)
        result.err = dataset_reader_finish(reader);
    dataset_reader_free(reader);
    return result;
}

static void release(struct result *result)
{
    buf_release(&result->log);
    error_release(&result->err);
}

/* The tokens of `bytes`, the same whole, byte by byte and in random pieces. */
static struct result read_all_ways(const char *uid, const struct buf *bytes, bool deep)
{
    const struct syntax *syntax = syntax_by_uid(uid);
    struct result whole = read_as(syntax, bytes->data, bytes->size, deep, 0, 64);
    static const long pieces[] = {1, 2, 7, -1};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct result split = read_as(syntax, bytes->data, bytes->size, deep, pieces[i], 64);
        EXPECT_TEXT(buf_string(&split.log), buf_string(&whole.log));
        EXPECT(split.err.code == whole.err.code);
        EXPECT_TEXT(error_text(&split.err), error_text(&whole.err));
        release(&split);
    }
    return whole;
}

static void expect_tokens(const char *uid, struct buf *bytes, bool deep, const char *wanted)
{
    struct result result = read_all_ways(uid, bytes, deep);
    EXPECT_TEXT(error_text(&result.err), "success");
    /* Check sums are left out of what is wanted. */
    struct buf plain;
    buf_init(&plain);
    for (char *line = strtok((char *)result.log.data, "\n"); line; line = strtok(NULL, "\n")) {
        char *plus = strchr(line, '+');
        if (plus && strchr(plus, ' '))
            *strchr(plus, ' ') = 0;
        buf_printf(&plain, "%s\n", line);
    }
    EXPECT_TEXT(buf_string(&plain), wanted);
    buf_release(&plain);
    release(&result);
}

static void expect_malformed(const char *uid, struct buf *bytes, bool deep, const char *says)
{
    struct result result = read_all_ways(uid, bytes, deep);
    EXPECT(result.err.code == ERROR_MALFORMED);
    EXPECT(strstr(error_text(&result.err), says) != NULL);
    if (!strstr(error_text(&result.err), says))
        fprintf(stderr, "said: %s\n", error_text(&result.err));
    release(&result);
}

/* Cases */

static void reader_explicit_elements(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    le(&b, 0x00080090, "PN", 0);
    text(&b, 0x00091010, "UN", "abc");
    text(&b, 0x0040A160, "UT", "text");
    const char *wanted = "element 00080060 CS d0 @0 v8 +2\n"
                         "element 00080090 PN d0 @10 v18 +0\n"
                         "element 00091010 UN d0 @18 v30 +3\n"
                         "element 0040A160 UT d0 @33 v45 +4\n";
    expect_tokens(EXPLICIT, &b, false, wanted);
    expect_tokens(EXPLICIT, &b, true, wanted);
    buf_release(&b);
}

static void reader_implicit_elements_by_dictionary(void)
{
    struct buf b;
    buf_init(&b);
    le(&b, 0x00080000, NULL, 4);
    buf_u32(&b, 99999); /* a group length that lies */
    text(&b, 0x00080060, NULL, "CT");
    text(&b, 0x00090010, NULL, "ACME");
    text(&b, 0x00091001, NULL, "ab");
    text(&b, 0x60040022, NULL, "ov");
    expect_tokens(IMPLICIT, &b, true,
                  "element 00080000 UL d0 @0 v8 +4\n"
                  "element 00080060 CS d0 @12 v20 +2\n"
                  "element 00090010 LO d0 @22 v30 +4\n"
                  "element 00091001 UN d0 @34 v42 +2\n"
                  "element 60040022 LO d0 @44 v52 +2\n");
    buf_release(&b);
}

static void reader_big_endian(void)
{
    struct buf b;
    buf_init(&b);
    put(&b, true, 0x00080060, "CS", 2);
    buf_text(&b, "CT");
    put(&b, true, 0x00081140, "SQ", UNDEFINED32);
    put(&b, true, 0xFFFEE000, NULL, 10);
    put(&b, true, 0x00280010, "US", 2);
    buf_append(&b, "\2\0", 2);
    put(&b, true, 0xFFFEE0DD, NULL, 0);
    const char *wanted = "element 00080060 CS d0 @0 v8 +2\n"
                         "seq 00081140 SQ d0 @10 v22 undefined big\n"
                         "item FFFEE000 - d0 @22 v30 +10\n"
                         "element 00280010 US d1 @30 v38 +2\n"
                         "/item FFFEE000 - d0 @40 v40 +0\n"
                         "/seq 00081140 SQ d0 @48 v48 +0\n";
    expect_tokens(BIG, &b, true, wanted);
    expect_tokens(EXPLICIT, &b, true, wanted); /* and when it claims to be little */
    buf_release(&b);
}

static void reader_claimed_encoding_is_wrong(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    text(&b, 0x00100020, "LO", "id");
    const char *wanted = "element 00080060 CS d0 @0 v8 +2\nelement 00100020 LO d0 @10 v18 +2\n";
    expect_tokens(IMPLICIT, &b, true, wanted);
    expect_tokens("", &b, true, wanted);
    expect_tokens(BIG, &b, true, wanted);
    expect_tokens("1.2.840.113619.5.2", &b, true, wanted);
    buf_clear(&b);
    text(&b, 0x00080060, NULL, "CT");
    text(&b, 0x00100020, NULL, "id");
    expect_tokens(EXPLICIT, &b, true, wanted);
    expect_tokens(JPEG, &b, true, wanted);
    expect_tokens("1.2.840.113619.5.2", &b, true, wanted);
    buf_release(&b);
}

/* An implicit length whose low half spells a VR is a length: no detection behind the first element. */
static void reader_implicit_length_that_spells_a_vr(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, NULL, "CT");
    le(&b, 0x30060050, NULL, 'D' | 'S' << 8);
    for (int i = 0; i < ('D' | 'S' << 8); i++)
        buf_byte(&b, '1');
    text(&b, 0x30060060, NULL, "ab");
    expect_tokens(IMPLICIT, &b, true,
                  "element 00080060 CS d0 @0 v8 +2\n"
                  "element 30060050 DS d0 @10 v18 +21316\n"
                  "element 30060060 UN d0 @21334 v21342 +2\n");
    buf_release(&b);
}

static void nested_sequences(struct buf *b)
{
    text(b, 0x00080060, "CS", "CT");
    le(b, 0x00081140, "SQ", UNDEFINED32);
    item(b, UNDEFINED32);
    text(b, 0x00081150, "UI", "1.");
    le(b, 0x00081199, "SQ", 26);
    item(b, 10);
    text(b, 0x00081155, "UI", "2.");
    item(b, 0);
    item_end(b);
    sequence_end(b);
    le(b, 0x00081199, "SQ", 0);
    text(b, 0x00100020, "LO", "id");
}

static void reader_sequences_deep(void)
{
    struct buf b;
    buf_init(&b);
    nested_sequences(&b);
    expect_tokens(EXPLICIT, &b, true,
                  "element 00080060 CS d0 @0 v8 +2\n"
                  "seq 00081140 SQ d0 @10 v22 undefined\n"
                  "item FFFEE000 - d0 @22 v30 undefined\n"
                  "element 00081150 UI d1 @30 v38 +2\n"
                  "seq 00081199 SQ d1 @40 v52 +26\n"
                  "item FFFEE000 - d1 @52 v60 +10\n"
                  "element 00081155 UI d2 @60 v68 +2\n"
                  "/item FFFEE000 - d1 @70 v70 +0\n"
                  "item FFFEE000 - d1 @70 v78 +0\n"
                  "/item FFFEE000 - d1 @78 v78 +0\n"
                  "/seq 00081199 SQ d1 @78 v78 +0\n"
                  "/item FFFEE000 - d0 @86 v86 +0\n"
                  "/seq 00081140 SQ d0 @94 v94 +0\n"
                  "seq 00081199 SQ d0 @94 v106 +0\n"
                  "/seq 00081199 SQ d0 @106 v106 +0\n"
                  "element 00100020 LO d0 @106 v114 +2\n");
    expect_tokens(EXPLICIT, &b, false, "element 00080060 CS d0 @0 v8 +2\nelement 00100020 LO d0 @106 v114 +2\n");
    buf_release(&b);
}

static void reader_unknown_vr_of_undefined_length_is_implicit(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    le(&b, 0x00091010, "UN", UNDEFINED32);
    item(&b, UNDEFINED32);
    text(&b, 0x00100020, NULL, "id");
    le(&b, 0x00091020, NULL, UNDEFINED32); /* unknown, so a sequence in it */
    item(&b, UNDEFINED32);
    text(&b, 0x00100020, NULL, "in");
    item_end(&b);
    sequence_end(&b);
    item_end(&b);
    sequence_end(&b);
    text(&b, 0x00100030, "DA", "20200101");
    expect_tokens(EXPLICIT, &b, true,
                  "element 00080060 CS d0 @0 v8 +2\n"
                  "seq 00091010 UN d0 @10 v22 undefined\n"
                  "item FFFEE000 - d0 @22 v30 undefined\n"
                  "element 00100020 LO d1 @30 v38 +2\n"
                  "seq 00091020 UN d1 @40 v48 undefined\n"
                  "item FFFEE000 - d1 @48 v56 undefined\n"
                  "element 00100020 LO d2 @56 v64 +2\n"
                  "/item FFFEE000 - d1 @74 v74 +0\n"
                  "/seq 00091020 UN d1 @82 v82 +0\n"
                  "/item FFFEE000 - d0 @90 v90 +0\n"
                  "/seq 00091010 UN d0 @98 v98 +0\n"
                  "element 00100030 DA d0 @98 v106 +8\n");
    expect_tokens(EXPLICIT, &b, false, "element 00080060 CS d0 @0 v8 +2\nelement 00100030 DA d0 @98 v106 +8\n");
    buf_release(&b);
}

/* Writers that put explicit VR into a UN all the same. */
static void reader_unknown_vr_with_explicit_content(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    le(&b, 0x00091010, "UN", UNDEFINED32);
    item(&b, UNDEFINED32);
    text(&b, 0x00090010, "LO", "ACME");
    text(&b, 0x00091001, "ST", "ab");
    item_end(&b);
    sequence_end(&b);
    text(&b, 0x00100020, "LO", "id");
    expect_tokens(EXPLICIT, &b, true,
                  "element 00080060 CS d0 @0 v8 +2\n"
                  "seq 00091010 UN d0 @10 v22 undefined\n"
                  "item FFFEE000 - d0 @22 v30 undefined\n"
                  "element 00090010 LO d1 @30 v38 +4\n"
                  "element 00091001 ST d1 @42 v50 +2\n"
                  "/item FFFEE000 - d0 @60 v60 +0\n"
                  "/seq 00091010 UN d0 @68 v68 +0\n"
                  "element 00100020 LO d0 @68 v76 +2\n");
    buf_release(&b);
}

static void reader_stray_implicit_element_in_a_sequence(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    le(&b, 0x00081140, "SQ", 38);
    item(&b, 30);
    text(&b, 0x00081150, "UI", "1.");
    text(&b, 0x00081155, NULL, "2.");
    text(&b, 0x00100020, "LO", "id");
    text(&b, 0x00100030, "DA", "");
    expect_tokens(EXPLICIT, &b, true,
                  "element 00080060 CS d0 @0 v8 +2\n"
                  "seq 00081140 SQ d0 @10 v22 +38\n"
                  "item FFFEE000 - d0 @22 v30 +30\n"
                  "element 00081150 UI d1 @30 v38 +2\n"
                  "element 00081155 UI d1 @40 v48 +2\n"
                  "element 00100020 LO d1 @50 v58 +2\n"
                  "/item FFFEE000 - d0 @60 v60 +0\n"
                  "/seq 00081140 SQ d0 @60 v60 +0\n"
                  "element 00100030 DA d0 @60 v68 +0\n");
    buf_release(&b);
}

static void reader_vrs_of_no_edition(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    text(&b, 0x00091001, "ZZ", "long form: reserved bytes are 0");
    buf_append(&b, "\x09\0\2\x10XY\2\0ab", 10); /* short form: they are not */
    buf_append(&b, "\x28\0\x20\1??\2\0ab", 10);
    buf_append(&b, "\x28\0\x21\1  \2\0ab", 10);
    text(&b, 0x00100020, "LO", "id");
    expect_tokens(EXPLICIT, &b, true,
                  "element 00080060 CS d0 @0 v8 +2\n"
                  "element 00091001 ZZ d0 @10 v22 +31\n"
                  "element 00091002 XY d0 @53 v61 +2\n"
                  "element 00280120 UN d0 @63 v71 +2\n"
                  "element 00280121 UN d0 @73 v81 +2\n"
                  "element 00100020 LO d0 @83 v91 +2\n");
    buf_clear(&b);
    text(&b, 0x00080060, "CS", "CT");
    text(&b, 0x00080070, "l!", "ab");
    expect_malformed(EXPLICIT, &b, true, "(0008,0070) at offset 10");
    buf_release(&b);
}

static void reader_delimiters_that_delimit_nothing(void)
{
    struct buf b;
    buf_init(&b);
    le(&b, 0x00081140, "SQ", UNDEFINED32);
    item(&b, 10);
    text(&b, 0x00081150, "UI", "1.");
    item_end(&b); /* behind an item with a length */
    item(&b, UNDEFINED32);
    le(&b, 0xFFFEE00D, NULL, 77); /* a length in a delimiter */
    item(&b, UNDEFINED32);
    text(&b, 0x00081150, "UI", "2.");
    sequence_end(&b); /* the item's is missing */
    le(&b, 0x00081199, "SQ", 8);
    sequence_end(&b); /* in a sequence with a length */
    item_end(&b);     /* at the top level */
    text(&b, 0x00100020, "LO", "id");
    expect_tokens(EXPLICIT, &b, true,
                  "seq 00081140 SQ d0 @0 v12 undefined\n"
                  "item FFFEE000 - d0 @12 v20 +10\n"
                  "element 00081150 UI d1 @20 v28 +2\n"
                  "/item FFFEE000 - d0 @30 v30 +0\n"
                  "item FFFEE000 - d0 @38 v46 undefined\n"
                  "/item FFFEE000 - d0 @54 v54 +0\n"
                  "item FFFEE000 - d0 @54 v62 undefined\n"
                  "element 00081150 UI d1 @62 v70 +2\n"
                  "/item FFFEE000 - d0 @80 v80 +0\n"
                  "/seq 00081140 SQ d0 @80 v80 +0\n"
                  "seq 00081199 SQ d0 @80 v92 +8\n"
                  "/seq 00081199 SQ d0 @100 v100 +0\n"
                  "element 00100020 LO d0 @108 v116 +2\n");
    expect_tokens(EXPLICIT, &b, false, "element 00100020 LO d0 @108 v116 +2\n");
    buf_release(&b);
}

static void reader_items_that_lie_about_their_length(void)
{
    struct buf b;
    buf_init(&b);
    le(&b, 0x00081140, "SQ", 18);
    item(&b, 500); /* longer than its sequence */
    text(&b, 0x00081150, "UI", "1.");
    text(&b, 0x00100020, "LO", "id");
    expect_tokens(EXPLICIT, &b, true,
                  "seq 00081140 SQ d0 @0 v12 +18\n"
                  "item FFFEE000 - d0 @12 v20 +500\n"
                  "element 00081150 UI d1 @20 v28 +2\n"
                  "/item FFFEE000 - d0 @30 v30 +0\n"
                  "/seq 00081140 SQ d0 @30 v30 +0\n"
                  "element 00100020 LO d0 @30 v38 +2\n");
    buf_clear(&b);
    le(&b, 0x00081140, "SQ", 18);
    item(&b, 10);
    text(&b, 0x00081150, "UI", "1.2.3.4.5.6.7.8.");
    expect_malformed(EXPLICIT, &b, true, "(0008,1150) at offset 20");
    buf_release(&b);
}

static void reader_padding_at_the_end(void)
{
    for (unsigned zeros = 0; zeros < 40; zeros++) {
        struct buf b;
        buf_init(&b);
        text(&b, 0x00080060, "CS", "CT");
        le(&b, 0xFFFCFFFC, "OB", 4);
        buf_u32(&b, 0);
        for (unsigned i = 0; i < zeros; i++)
            buf_byte(&b, 0);
        expect_tokens(EXPLICIT, &b, true, "element 00080060 CS d0 @0 v8 +2\nelement FFFCFFFC OB d0 @10 v22 +4\n");
        if (zeros >= 8) {
            buf_byte(&b, 1);
            expect_malformed(EXPLICIT, &b, true, "behind the end");
        }
        buf_release(&b);
    }
}

static void reader_elements_out_of_order(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00100020, "LO", "id");
    text(&b, 0x00080060, "CS", "CT");
    expect_tokens(EXPLICIT, &b, true, "element 00100020 LO d0 @0 v8 +2\nelement 00080060 CS d0 @10 v18 +2\n");
    buf_release(&b);
}

static void reader_pixel_native_and_what_follows(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    le(&b, 0x7FE00010, "OW", 100);
    for (int i = 0; i < 100; i++)
        buf_byte(&b, 0xFE);
    text(&b, 0xFFFAFFFA, "SQ", "");
    const char *wanted = "element 00080060 CS d0 @0 v8 +2\n"
                         "pixel 7FE00010 OW d0 @10 v22 +100\n"
                         "/pixel 7FE00010 OW d0 @122 v122 +0\n"
                         "seq FFFAFFFA SQ d0 @122 v134 +0\n"
                         "/seq FFFAFFFA SQ d0 @134 v134 +0\n";
    expect_tokens(EXPLICIT, &b, true, wanted);
    expect_tokens(JPEG, &b, true, wanted); /* a length in an encapsulated syntax: read by its form */
    b.size -= 30;
    expect_malformed(EXPLICIT, &b, true, "inside the pixel data");
    buf_release(&b);
}

static void encapsulated(struct buf *b)
{
    le(b, 0x7FE00010, "OB", UNDEFINED32);
    item(b, 4);
    buf_u32(b, 0);
    item(b, 20);
    buf_append(b, "\xFE\xFF\xDD\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0....", 20); /* delimiters in data are data */
    item(b, 0);
    item(b, 2);
    buf_text(b, "ab");
    sequence_end(b);
}

static void reader_pixel_encapsulated(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    encapsulated(&b);
    text(&b, 0xFFFCFFFC, "OB", "");
    const char *wanted = "element 00080060 CS d0 @0 v8 +2\n"
                         "pixel 7FE00010 OB d0 @10 v22 undefined\n"
                         "fragment FFFEE000 - d0 @22 v30 +4\n"
                         "fragment FFFEE000 - d0 @34 v42 +20\n"
                         "fragment FFFEE000 - d0 @62 v70 +0\n"
                         "fragment FFFEE000 - d0 @70 v78 +2\n"
                         "/pixel 7FE00010 OB d0 @88 v88 +0\n"
                         "element FFFCFFFC OB d0 @88 v100 +0\n";
    expect_tokens(JPEG, &b, true, wanted);
    expect_tokens(EXPLICIT, &b, false, wanted); /* undefined in a native syntax: read by its form */
    buf_release(&b);
}

static void reader_missing_sequence_delimiter_at_the_end(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    encapsulated(&b);
    b.size -= 8;
    expect_malformed(JPEG, &b, true, "inside the pixel data");
    buf_clear(&b);
    nested_sequences(&b);
    b.size = 86; /* behind the item's delimiter */
    expect_malformed(EXPLICIT, &b, true, "ends inside");
    expect_malformed(EXPLICIT, &b, false, "ends inside");
    buf_release(&b);
}

/* Pixel data of an icon are an element of their item, not the image's. */
static void reader_pixel_of_an_icon_is_none(void)
{
    struct buf b;
    buf_init(&b);
    le(&b, 0x00880200, "SQ", UNDEFINED32);
    item(&b, UNDEFINED32);
    encapsulated(&b);
    text(&b, 0x7FE00010, "OW", "ab");
    item_end(&b);
    sequence_end(&b);
    text(&b, 0x00100020, "LO", "id");
    expect_tokens(EXPLICIT, &b, true,
                  "seq 00880200 SQ d0 @0 v12 undefined\n"
                  "item FFFEE000 - d0 @12 v20 undefined\n"
                  "element 7FE00010 OB d1 @20 v32 +66\n"
                  "element 7FE00010 OW d1 @98 v110 +2\n"
                  "/item FFFEE000 - d0 @120 v120 +0\n"
                  "/seq 00880200 SQ d0 @128 v128 +0\n"
                  "element 00100020 LO d0 @128 v136 +2\n");
    expect_tokens(EXPLICIT, &b, false, "element 00100020 LO d0 @128 v136 +2\n");
    buf_release(&b);
}

static void reader_item_outside_any_sequence(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    item(&b, 10);
    text(&b, 0x00081150, "UI", "1.");
    text(&b, 0x00100020, "LO", "id");
    expect_tokens(EXPLICIT, &b, true, "element 00080060 CS d0 @0 v8 +2\nelement 00100020 LO d0 @28 v36 +2\n");
    buf_clear(&b);
    text(&b, 0x00080060, "CS", "CT");
    item(&b, UNDEFINED32);
    expect_malformed(EXPLICIT, &b, true, "(FFFE,E000) at offset 10");
    buf_release(&b);
}

static void nest(struct buf *b, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        le(b, 0x00081140, "SQ", UNDEFINED32);
        item(b, UNDEFINED32);
    }
    for (unsigned i = 0; i < depth; i++) {
        item_end(b);
        sequence_end(b);
    }
    text(b, 0x00100020, "LO", "id");
}

static void reader_nesting_has_a_bound_when_deep_and_none_when_shallow(void)
{
    struct buf b;
    buf_init(&b);
    nest(&b, 10000);
    struct result shallow = read_as(syntax_by_uid(EXPLICIT), b.data, b.size, false, -1, 0);
    EXPECT_TEXT(error_text(&shallow.err), "success");
    EXPECT(strstr(buf_string(&shallow.log), "element 00100020 LO d0 @360000 ") == (char *)shallow.log.data);
    release(&shallow);
    expect_malformed(EXPLICIT, &b, true, "(0008,1140) at offset 5120: sequences are nested too deep");
    buf_clear(&b);
    nest(&b, DATASET_DEPTH_MAX);
    struct result deep = read_as(syntax_by_uid(EXPLICIT), b.data, b.size, true, -1, 0);
    EXPECT_TEXT(error_text(&deep.err), "success");
    release(&deep);
    buf_release(&b);
}

static void reader_long_values_are_passed_by(void)
{
    struct buf b;
    buf_init(&b);
    le(&b, 0x00420011, "OB", 65);
    for (int i = 0; i < 65; i++)
        buf_byte(&b, (uint8_t)i);
    le(&b, 0x00420012, "LO", 64);
    for (int i = 0; i < 64; i++)
        buf_byte(&b, 'x');
    struct result result = read_as(syntax_by_uid(EXPLICIT), b.data, b.size, false, 3, 64);
    uint32_t sum = (uint32_t)crc32(0, b.data + b.size - 64, 64);
    char wanted[200];
    snprintf(wanted, sizeof wanted,
             "element 00420011 OB d0 @0 v12 +65\nelement 00420012 LO d0 @77 v85 +64 %08" PRIX32 "\n", sum);
    EXPECT_TEXT(buf_string(&result.log), wanted);
    release(&result);
    buf_release(&b);
}

/* A length that promises 2 GiB costs nothing until the bytes come. */
static void reader_cut_anywhere_is_malformed_or_whole(void)
{
    struct buf b;
    buf_init(&b);
    nested_sequences(&b);
    static const size_t ends[] = {0, 10, 94, 106, 116}; /* between top-level elements */
    for (size_t size = 0; size <= b.size; size++) {
        bool whole = false;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            whole = whole || ends[i] == size;
        struct result result = read_as(syntax_by_uid(EXPLICIT), b.data, size, true, 0, 0);
        EXPECT(result.err.code == (whole ? ERROR_NONE : ERROR_MALFORMED));
        release(&result);
    }
    buf_clear(&b);
    le(&b, 0x00420011, "OB", 0x7FFFFFFE);
    buf_text(&b, "few");
    struct result result = read_as(syntax_by_uid(EXPLICIT), b.data, b.size, true, 0, SIZE_MAX);
    EXPECT(result.err.code == ERROR_MALFORMED);
    release(&result);
    buf_release(&b);
}

static void deflate_to(struct buf *out, const struct buf *in, int window)
{
    z_stream z = {0};
    EXPECT(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    uint8_t *room = buf_reserve(out, deflateBound(&z, in->size) + 32);
    z.next_in = in->data;
    z.avail_in = (uInt)in->size;
    z.next_out = room;
    z.avail_out = (uInt)deflateBound(&z, in->size) + 32;
    EXPECT(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out->size += z.total_out;
    deflateEnd(&z);
}

static void reader_deflated_raw_and_wrapped(void)
{
    struct buf plain, packed;
    buf_init(&plain);
    nested_sequences(&plain);
    le(&plain, 0x7FE00010, "OW", 300000);
    for (int i = 0; i < 300000; i++)
        buf_byte(&plain, (uint8_t)(i % 4099 * (i % 4099) >> 7));
    struct result wanted = read_as(syntax_by_uid(EXPLICIT), plain.data, plain.size, true, 0, 64);
    static const int windows[] = {-15, 15};
    for (int i = 0; i < 2; i++) {
        buf_init(&packed);
        deflate_to(&packed, &plain, windows[i]);
        buf_byte(&packed, 0); /* the padding of PS3.5 A.5 */
        static const long pieces[] = {0, 1, -1};
        for (int j = 0; j < 3; j++) {
            struct result got = read_as(syntax_by_uid(DEFLATED), packed.data, packed.size, true, pieces[j], 64);
            EXPECT_TEXT(error_text(&got.err), "success");
            EXPECT_TEXT(buf_string(&got.log), buf_string(&wanted.log));
            release(&got);
        }
        struct result cut = read_as(syntax_by_uid(DEFLATED), packed.data, packed.size / 2, true, 0, 64);
        EXPECT(cut.err.code == ERROR_MALFORMED);
        EXPECT(strstr(error_text(&cut.err), "ends early") != NULL);
        release(&cut);
        buf_release(&packed);
    }
    struct result garbage = read_as(syntax_by_uid(DEFLATED), (const uint8_t *)"\xFF\xFF\xFF\xFF", 4, true, 0, 64);
    EXPECT(garbage.err.code == ERROR_MALFORMED);
    release(&garbage);
    release(&wanted);
    buf_release(&plain);
}

static void reader_skip_to_behind_the_pixels(void)
{
    struct buf b, log;
    buf_init(&b);
    buf_init(&log);
    text(&b, 0x00080060, "CS", "CT");
    encapsulated(&b);
    text(&b, 0x00100020, "LO", "id");
    struct dataset_options options = {syntax_by_uid(JPEG), true, 0, record, &log};
    struct dataset_reader *reader;
    EXPECT_OK(dataset_reader_new(&reader, &options));
    EXPECT_OK(dataset_reader_feed(reader, b.data, 10));
    EXPECT_ERROR(dataset_reader_skip_to(reader, 88), ERROR_USAGE);
    EXPECT_OK(dataset_reader_feed(reader, b.data + 10, 12));
    EXPECT_OK(dataset_reader_skip_to(reader, 88));
    EXPECT(dataset_reader_offset(reader) == 88);
    EXPECT_OK(dataset_reader_feed(reader, b.data + 88, b.size - 88));
    EXPECT_OK(dataset_reader_finish(reader));
    dataset_reader_free(reader);
    EXPECT(strstr(buf_string(&log), "undefined\n/pixel 7FE00010 OB d0 @88 v88 +0\nelement 00100020 LO d0 @88 v96 +2"));
    buf_release(&log);
    buf_release(&b);
}

static struct error refuse(void *context, const struct dataset_token *token)
{
    (void)token;
    ++*(unsigned *)context;
    return error_make(ERROR_FULL, "no more");
}

static void reader_failure_of_the_handler_ends_it(void)
{
    struct buf b;
    buf_init(&b);
    text(&b, 0x00080060, "CS", "CT");
    text(&b, 0x00100020, "LO", "id");
    unsigned calls = 0;
    struct dataset_options options = {syntax_by_uid(EXPLICIT), true, 0, refuse, &calls};
    struct dataset_reader *reader;
    EXPECT_OK(dataset_reader_new(&reader, &options));
    EXPECT_ERROR(dataset_reader_feed(reader, b.data, b.size), ERROR_FULL);
    EXPECT_ERROR(dataset_reader_feed(reader, b.data, b.size), ERROR_FULL);
    EXPECT_ERROR(dataset_reader_finish(reader), ERROR_FULL);
    EXPECT(calls == 1);
    dataset_reader_free(reader);
    buf_release(&b);
}

/* Values */

static struct dataset_token token_of(uint32_t tag, const char *vr, const void *value, size_t size)
{
    struct dataset_token token = {.kind = DATASET_ELEMENT, .tag = tag, .length = size, .value = value};
    memcpy(token.vr, vr, 2);
    return token;
}

static void value_text_components(void)
{
    char out[16];
    struct dataset_token t = token_of(0x00080008, "CS", "ORIGINAL\\ PRIMARY \\\\X ", 21);
    EXPECT(dataset_values(&t) == 4);
    EXPECT(dataset_text(&t, 0, out, sizeof out));
    EXPECT_TEXT(out, "ORIGINAL");
    EXPECT(dataset_text(&t, 1, out, sizeof out));
    EXPECT_TEXT(out, " PRIMARY");
    EXPECT(dataset_text(&t, 2, out, sizeof out));
    EXPECT_TEXT(out, "");
    EXPECT(dataset_text(&t, 3, out, sizeof out));
    EXPECT_TEXT(out, "X");
    EXPECT(!dataset_text(&t, 4, out, sizeof out));
    EXPECT(dataset_text(&t, 0, out, 4));
    EXPECT_TEXT(out, "ORI");
    t = token_of(0x00080018, "UI", "1.2.3\0", 6);
    EXPECT(dataset_text(&t, 0, out, sizeof out));
    EXPECT_TEXT(out, "1.2.3");
    t = token_of(0x00104000, "LT", "a\\b", 3);
    EXPECT(dataset_values(&t) == 1);
    EXPECT(dataset_text(&t, 0, out, sizeof out));
    EXPECT_TEXT(out, "a\\b");
    EXPECT(!dataset_text(&t, 1, out, sizeof out));
    t = token_of(0x00100020, "LO", "", 0);
    EXPECT(dataset_values(&t) == 0 && !dataset_text(&t, 0, out, sizeof out));
    t = token_of(0x00100020, "LO", NULL, 100000);
    EXPECT(dataset_values(&t) == 0 && !dataset_text(&t, 0, out, sizeof out));
    t = token_of(0x00100020, "UN", "id", 2); /* sent as UN, known to the dictionary */
    EXPECT(dataset_text(&t, 0, out, sizeof out));
    EXPECT_TEXT(out, "id");
    t = token_of(0x00280010, "US", "\0\2", 2);
    EXPECT(!dataset_text(&t, 0, out, sizeof out));
}

static void value_decimal_strings(void)
{
    static const struct {
        const char *text;
        bool ok;
        double number;
    } cases[] = {
        {"1", true, 1},
        {" -1.5 ", true, -1.5},
        {"+.5", true, .5},
        {"1.", true, 1},
        {"1e3", true, 1000},
        {"1.25E-2", true, .0125},
        {"0.1", true, 0.1},
        {"-0", true, 0},
        {"0E99999", true, 0},
        {"123456789012345678901", true, 123456789012345678901.0},
        {"2.2250738585072014E-308", true, 2.2250738585072014E-308},
        {"3.14159265358979", true, 3.14159265358979},
        {"0.70710678118655", true, 0.70710678118655},
        {"", false, 0},
        {" ", false, 0},
        {"1,5", false, 0},
        {"abc", false, 0},
        {"1e", false, 0},
        {"1.2.3", false, 0},
        {"nan", false, 0},
        {"1e999", false, 0},
        {"-", false, 0},
        {"1 2", false, 0},
        {"1e99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dataset_token t = token_of(0x00281050, "DS", cases[i].text, strlen(cases[i].text));
        double number = -77;
        EXPECT(dataset_number(&t, 0, &number) == cases[i].ok);
        EXPECT(!cases[i].ok || number == cases[i].number);
        if (cases[i].ok && number != cases[i].number)
            fprintf(stderr, "%s read as %.17g\n", cases[i].text, number);
    }
    double second;
    struct dataset_token t = token_of(0x00280030, "DS", "0.5\\0.25", 8);
    EXPECT(dataset_number(&t, 1, &second) && second == 0.25);
    EXPECT(!dataset_number(&t, 2, &second));
}

static void value_integers(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t number;
    } cases[] = {
        {"170031", true, 170031},
        {" 7 ", true, 7},
        {"-12", true, -12},
        {"1.0", true, 1},
        {"1e2", true, 100},
        {"1.5", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"99999999999999999999999", false, 0},
        {"x", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dataset_token t = token_of(0x00200013, "IS", cases[i].text, strlen(cases[i].text));
        int64_t number = -77;
        EXPECT(dataset_integer(&t, 0, &number) == cases[i].ok);
        EXPECT(!cases[i].ok || number == cases[i].number);
    }
}

static void value_binary_numbers_in_both_orders(void)
{
    static const struct {
        const char *vr;
        const char *little, *big;
        size_t size;
        double number;
    } cases[] = {
        {"US", "\x01\xFF", "\xFF\x01", 2, 65281},
        {"SS", "\xFE\xFF", "\xFF\xFE", 2, -2},
        {"UL", "\1\0\0\x80", "\x80\0\0\1", 4, 2147483649.0},
        {"SL", "\xFF\xFF\xFF\xFF", "\xFF\xFF\xFF\xFF", 4, -1},
        {"FL", "\0\0\xC0\x3F", "\x3F\xC0\0\0", 4, 1.5},
        {"FD", "\0\0\0\0\0\0\xF8\x3F", "\x3F\xF8\0\0\0\0\0\0", 8, 1.5},
        {"SV", "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE", 8, -2},
        {"UV", "\2\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\2", 8, 2},
        {"AT", "\x08\0\x60\0", "\0\x08\0\x60", 4, 0x00080060},
        {"OW", "\x01\xFF", "\xFF\x01", 2, 65281},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int big = 0; big < 2; big++) {
            struct dataset_token t =
                token_of(0x00091001, cases[i].vr, big ? cases[i].big : cases[i].little, cases[i].size);
            t.big_endian = big;
            double number = -77;
            EXPECT(dataset_values(&t) == 1);
            EXPECT(dataset_number(&t, 0, &number) && number == cases[i].number);
            EXPECT(!dataset_number(&t, 1, &number));
            int64_t integer = -77;
            bool whole = cases[i].number == floor(cases[i].number);
            EXPECT(dataset_integer(&t, 0, &integer) == whole);
            EXPECT(!whole || (double)integer == cases[i].number);
        }
    }
    int64_t integer;
    struct dataset_token t = token_of(0x00091001, "SV", "\0\0\0\0\0\0\0\x80", 8);
    EXPECT(dataset_integer(&t, 0, &integer) && integer == INT64_MIN);
    t = token_of(0x00091001, "UV", "\0\0\0\0\0\0\0\x80", 8);
    EXPECT(!dataset_integer(&t, 0, &integer));
    t = token_of(0x00091001, "FD", "\0\0\0\0\0\0\xF8\x7F", 8);
    EXPECT(!dataset_integer(&t, 0, &integer));
    t = token_of(0x00280010, "US", "\1", 1); /* half a value */
    EXPECT(dataset_values(&t) == 0 && !dataset_integer(&t, 0, &integer));
}

/* Files of the field */

/* The lines at depth 0 that a shallow reader reports too. */
static void keep_top_level(struct buf *log)
{
    struct buf kept;
    buf_init(&kept);
    for (char *line = (char *)log->data, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        bool marks = strncmp(line, "seq", 3) == 0 || strncmp(line, "/seq", 4) == 0 || strncmp(line, "item", 4) == 0 ||
                     strncmp(line, "/item", 5) == 0;
        const char *depth = strstr(line, " d0 @");
        if (!marks && depth && (!end || depth < end))
            buf_append(&kept, line, end ? (size_t)(end - line + 1) : strlen(line));
    }
    buf_release(log);
    *log = kept;
}

static unsigned files_read;

static void read_file(const uint8_t *bytes, size_t size)
{
    const size_t small = 65536; /* longer ones are not fed byte by byte: the sanitizers are slow */
    struct meta meta;
    struct error err = meta_read(&meta, bytes, size < META_PREFIX_MAX ? size : META_PREFIX_MAX);
    if (err.code != ERROR_NONE) {
        EXPECT(err.code == ERROR_MALFORMED);
        error_release(&err);
        return;
    }
    files_read++;
    bytes += meta.prefix_size;
    size -= meta.prefix_size;
    struct result deep = read_as(meta.syntax, bytes, size, true, 0, 0);
    struct result shallow = read_as(meta.syntax, bytes, size, false, size < small ? -1 : 65521, 0);
    for (int i = 0; i < 2; i++) {
        struct result split = read_as(meta.syntax, bytes, size, true, size < small ? (i ? 1 : -1) : 4093, 0);
        EXPECT(split.log.size == deep.log.size && strcmp(buf_string(&split.log), buf_string(&deep.log)) == 0);
        EXPECT_TEXT(error_text(&split.err), error_text(&deep.err));
        release(&split);
    }
    if (deep.err.code == ERROR_NONE) {
        keep_top_level(&deep.log);
        EXPECT(strcmp(buf_string(&shallow.log), buf_string(&deep.log)) == 0);
        EXPECT_TEXT(error_text(&shallow.err), "success");
    }
    release(&shallow);
    release(&deep);
}

static void read_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[4096];
        struct stat st;
        if (entry->d_name[0] == '.' || snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name ||
            stat(name, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            read_folder(name);
            continue;
        }
        FILE *file = fopen(name, "rb");
        uint8_t *bytes = malloc((size_t)st.st_size + 1);
        int before = check_failures;
        if (file && fread(bytes, 1, (size_t)st.st_size, file) == (size_t)st.st_size)
            read_file(bytes, (size_t)st.st_size);
        if (check_failures != before)
            fprintf(stderr, "in %s\n", name);
        free(bytes);
        if (file)
            fclose(file);
    }
    closedir(folder);
}

static void reader_files_of_the_field(void)
{
    read_folder("/usr/lib/python3/dist-packages/pydicom/data/test_files");
    if (getenv("PACSFS_CORPUS"))
        read_folder(getenv("PACSFS_CORPUS"));
    printf("%u files read\n", files_read);
}

int main(void)
{
    RUN(reader_explicit_elements);
    RUN(reader_implicit_elements_by_dictionary);
    RUN(reader_big_endian);
    RUN(reader_claimed_encoding_is_wrong);
    RUN(reader_implicit_length_that_spells_a_vr);
    RUN(reader_sequences_deep);
    RUN(reader_unknown_vr_of_undefined_length_is_implicit);
    RUN(reader_unknown_vr_with_explicit_content);
    RUN(reader_stray_implicit_element_in_a_sequence);
    RUN(reader_vrs_of_no_edition);
    RUN(reader_delimiters_that_delimit_nothing);
    RUN(reader_items_that_lie_about_their_length);
    RUN(reader_padding_at_the_end);
    RUN(reader_elements_out_of_order);
    RUN(reader_pixel_native_and_what_follows);
    RUN(reader_pixel_encapsulated);
    RUN(reader_missing_sequence_delimiter_at_the_end);
    RUN(reader_pixel_of_an_icon_is_none);
    RUN(reader_item_outside_any_sequence);
    RUN(reader_nesting_has_a_bound_when_deep_and_none_when_shallow);
    RUN(reader_long_values_are_passed_by);
    RUN(reader_cut_anywhere_is_malformed_or_whole);
    RUN(reader_deflated_raw_and_wrapped);
    RUN(reader_skip_to_behind_the_pixels);
    RUN(reader_failure_of_the_handler_ends_it);
    RUN(value_text_components);
    RUN(value_decimal_strings);
    RUN(value_integers);
    RUN(value_binary_numbers_in_both_orders);
    RUN(reader_files_of_the_field);
    return check_done();
}
