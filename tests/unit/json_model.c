/* DICOM JSON model: what stands in it, in which form, and that counting gives its size. */
#include "codecs/dicom/json_model.h"
#include "check.h"

#include <dirent.h>
#include <stdlib.h>

#define EXPLICIT "1.2.840.10008.1.2.1"
#define IMPLICIT "1.2.840.10008.1.2"
#define BIG_ENDIAN_UID "1.2.840.10008.1.2.2"
#define DEFLATED "1.2.840.10008.1.2.1.99"
#define JPEG "1.2.840.10008.1.2.4.50"
#define URI "uids/S/E/I.dcm"
#define FILE_OFFSET 300

/* Data sets are put together element by element. */

static struct buf set;
static const char *set_syntax = EXPLICIT;

static void begin(const char *uid)
{
    buf_clear(&set);
    set_syntax = uid;
}

static bool is_big(void)
{
    return strcmp(set_syntax, BIG_ENDIAN_UID) == 0;
}

static void put16(uint16_t v)
{
    buf_u16(&set, is_big() ? __builtin_bswap16(v) : v);
}

static void put32(uint32_t v)
{
    buf_u32(&set, is_big() ? __builtin_bswap32(v) : v);
}

static void header(uint32_t tag, const char *vr, uint32_t length)
{
    put16((uint16_t)(tag >> 16));
    put16((uint16_t)tag);
    if (strcmp(set_syntax, IMPLICIT) == 0 || !vr) {
        put32(length);
        return;
    }
    buf_append(&set, vr, 2);
    if (strchr("O", vr[0]) || strstr("SQ UN UC UR UT SV UV", vr)) {
        put16(0);
        put32(length);
    } else {
        put16((uint16_t)length);
    }
}

static void bytes(uint32_t tag, const char *vr, const void *value, size_t size)
{
    header(tag, vr, (uint32_t)size);
    buf_append(&set, value, size);
}

static void text(uint32_t tag, const char *vr, const char *value)
{
    bytes(tag, vr, value, strlen(value));
}

static void item_begin(void)
{
    header(0xFFFEE000, NULL, UINT32_MAX);
}
static void item_end(void)
{
    header(0xFFFEE00D, NULL, 0);
}
static void sequence_begin(uint32_t tag, const char *vr)
{
    header(tag, vr, UINT32_MAX);
}
static void sequence_end(void)
{
    header(0xFFFEE0DD, NULL, 0);
}

/* The JSON of the data set. */

struct result {
    struct error error;
    uint64_t size, uris;
};

static struct result convert(struct buf *out, const uint8_t *data, size_t size, const struct syntax *syntax,
                             const char *uri, bool omit_bulk, size_t capture_max, size_t piece)
{
    struct result result = {.error = NO_ERROR};
    struct json_model *model;
    struct dataset_reader *reader;
    EXPECT_OK(json_model_new(&model, out ? json_to_buf : NULL, out, syntax, uri, FILE_OFFSET, omit_bulk));
    struct dataset_options options = {
        .syntax = syntax, .deep = true, .capture_max = capture_max, .handler = json_model_token, .context = model};
    EXPECT_OK(dataset_reader_new(&reader, &options));
    for (size_t at = 0; at < size && result.error.code == ERROR_NONE; at += piece)
        result.error = dataset_reader_feed(reader, data + at, size - at < piece ? size - at : piece);
    if (result.error.code == ERROR_NONE)
        result.error = dataset_reader_finish(reader);
    EXPECT_OK(json_model_finish(model, &result.size, &result.uris));
    dataset_reader_free(reader);
    json_model_free(model);
    return result;
}

static char json_out[400000];

/* Without new lines; also checks that counting without URI and in small pieces gives the size. */
static const char *json_of(bool omit_bulk)
{
    const struct syntax *syntax = syntax_by_uid(set_syntax);
    struct buf out;
    buf_init(&out);
    struct result written = convert(&out, set.data, set.size, syntax, URI, omit_bulk, 0, set.size + 1);
    struct result counted = convert(NULL, set.data, set.size, syntax, NULL, omit_bulk, 0, 3);
    EXPECT_OK(written.error);
    EXPECT_OK(counted.error);
    EXPECT(written.size == out.size);
    EXPECT(counted.size + counted.uris * strlen(URI) == written.size);
    size_t used = 0;
    for (const char *c = buf_string(&out); *c && used + 1 < sizeof json_out; c++)
        if (*c != '\n')
            json_out[used++] = *c;
    json_out[used] = 0;
    buf_release(&out);
    return json_out;
}

static const char *json(void)
{
    return json_of(false);
}

/* The object of the only element. */
static const char *json_one(uint32_t tag, const char *vr, const void *value, size_t size)
{
    begin(EXPLICIT);
    bytes(tag, vr, value, size);
    json();
    json_out[strlen(json_out) - 1] = 0;
    return json_out + strlen("{ \"GGGGEEEE\": ");
}

static const char *json_text(const char *vr, const char *value)
{
    return json_one(0x00091010, vr, value, strlen(value));
}

static void json_model_empty_data_set(void)
{
    begin(EXPLICIT);
    EXPECT_TEXT(json(), "{}");
}

static void json_model_one_attribute_a_line(void)
{
    struct buf out;
    buf_init(&out);
    begin(EXPLICIT);
    text(0x00080060, "CS", "CT");
    text(0x00100010, "PN", "Doe^J ");
    struct result r = convert(&out, set.data, set.size, syntax_by_uid(EXPLICIT), URI, false, 0, 1000);
    EXPECT_OK(r.error);
    EXPECT_TEXT(buf_string(&out), "{\n \"00080060\": {\"vr\":\"CS\",\"Value\":[\"CT\"]},\n"
                                  " \"00100010\": {\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Doe^J\"}]}\n}\n");
    buf_release(&out);
}

static void json_model_text_values(void)
{
    EXPECT_TEXT(json_text("LO", ""), "{\"vr\":\"LO\"}");
    EXPECT_TEXT(json_text("LO", "  "), "{\"vr\":\"LO\"}");
    EXPECT_TEXT(json_text("LO", "a\\\\ b \\c "), "{\"vr\":\"LO\",\"Value\":[\"a\",null,\"b\",\"c\"]}");
    EXPECT_TEXT(json_text("SH", "\\"), "{\"vr\":\"SH\",\"Value\":[null,null]}");
    EXPECT_TEXT(json_text("LT", "  a\\b\r\n"), "{\"vr\":\"LT\",\"Value\":[\"  a\\\\b\\r\\n\"]}");
    EXPECT_TEXT(json_text("UT", "x\\y"), "{\"vr\":\"UT\",\"Value\":[\"x\\\\y\"]}");
    EXPECT_TEXT(json_text("UC", "x\\y"), "{\"vr\":\"UC\",\"Value\":[\"x\",\"y\"]}");
    EXPECT_TEXT(json_one(0x00080016, "UI", "1.2\0", 4), "{\"vr\":\"UI\",\"Value\":[\"1.2\"]}");
}

static void json_model_person_names(void)
{
    EXPECT_TEXT(json_text("PN", "A^B=C=D "),
                "{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A^B\",\"Ideographic\":\"C\",\"Phonetic\":\"D\"}]}");
    EXPECT_TEXT(json_text("PN", "=C"), "{\"vr\":\"PN\",\"Value\":[{\"Ideographic\":\"C\"}]}");
    EXPECT_TEXT(
        json_text("PN", "A\\\\=\\B==E"),
        "{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A\"},null,null,{\"Alphabetic\":\"B\",\"Phonetic\":\"E\"}]}");
}

static void json_model_numeric_strings(void)
{
    EXPECT_TEXT(json_text("DS", "1.50\\-0.5\\+3\\007\\.5\\2.\\ 1E+05 \\-12e-3\\-0\\0"),
                "{\"vr\":\"DS\",\"Value\":[1.50,-0.5,3,7,0.5,2,1e05,-12e-3,-0,0]}");
    EXPECT_TEXT(
        json_text("DS", "1,5\\abc\\\\1e\\.\\--1\\0x10\\inf\\nan\\1e999\\5"),
        "{\"vr\":\"DS\",\"Value\":[\"1,5\",\"abc\",null,\"1e\",\".\",\"--1\",\"0x10\",\"inf\",\"nan\",\"1e999\",5]}");
    EXPECT_TEXT(json_text("IS", "12\\+5\\1A\\-7 "), "{\"vr\":\"IS\",\"Value\":[12,5,\"1A\",-7]}");
}

static void json_model_binary_numbers(void)
{
    EXPECT_TEXT(json_one(0x00280010, "US", "\xFF\xFF\1\0", 4), "{\"vr\":\"US\",\"Value\":[65535,1]}");
    EXPECT_TEXT(json_one(0x00280106, "SS", "\xFF\xFF", 2), "{\"vr\":\"SS\",\"Value\":[-1]}");
    EXPECT_TEXT(json_one(0x00091010, "UL", "\xFF\xFF\xFF\xFF", 4), "{\"vr\":\"UL\",\"Value\":[4294967295]}");
    EXPECT_TEXT(json_one(0x00091010, "SL", "\xFE\xFF\xFF\xFF", 4), "{\"vr\":\"SL\",\"Value\":[-2]}");
    EXPECT_TEXT(json_one(0x00091010, "AT", "\x10\0\x2D\0\xFE\xFF\0\xE0", 8),
                "{\"vr\":\"AT\",\"Value\":[\"0010002D\",\"FFFEE000\"]}");
    EXPECT_TEXT(json_one(0x00091010, "FL", "\xCD\xCC\xCC\x3D", 4), "{\"vr\":\"FL\",\"Value\":[0.1]}");
    EXPECT_TEXT(json_one(0x00091010, "FL", "\0\0\xC0\x7F\0\0\x80\xFF", 8),
                "{\"vr\":\"FL\",\"Value\":[\"NaN\",\"-Infinity\"]}");
    EXPECT_TEXT(json_one(0x00091010, "FD", "\x9A\x99\x99\x99\x99\x99\xB9\x3F", 8), "{\"vr\":\"FD\",\"Value\":[0.1]}");
    EXPECT_TEXT(json_one(0x00091010, "UV", "\0\0\0\0\0\0\x20\0\1\0\0\0\0\0\x20\0", 16),
                "{\"vr\":\"UV\",\"Value\":[9007199254740992,\"9007199254740993\"]}");
    EXPECT_TEXT(json_one(0x00091010, "SV", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0\0\0\0\x80", 16),
                "{\"vr\":\"SV\",\"Value\":[-1,\"-9223372036854775808\"]}");
    EXPECT_TEXT(json_one(0x00280010, "US", "\1\0\2", 3), "{\"vr\":\"US\",\"Value\":[1]}");
    EXPECT_TEXT(json_one(0x00280010, "US", "\1", 1), "{\"vr\":\"US\"}");
}

static void json_model_big_endian_is_shown_little(void)
{
    begin(BIG_ENDIAN_UID);
    bytes(0x00091010, "US", "\1\2", 2);
    bytes(0x00091011, "AT", "\0\x10\0\x20", 4);
    bytes(0x00091012, "FL", "\x3D\xCC\xCC\xCD", 4);
    bytes(0x00091013, "OB", "\1\2\3\4", 4);
    bytes(0x00091014, "OD", "\1\2\3\4\5\6\7\x8", 8);
    bytes(0x00091015, "OF", "\1\2\3\4", 4);
    bytes(0x00091016, "OW", "\1\2\3\4", 4);
    EXPECT_TEXT(json(), "{ \"00091010\": {\"vr\":\"US\",\"Value\":[258]},"
                        " \"00091011\": {\"vr\":\"AT\",\"Value\":[\"00100020\"]},"
                        " \"00091012\": {\"vr\":\"FL\",\"Value\":[0.1]},"
                        " \"00091013\": {\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"},"
                        " \"00091014\": {\"vr\":\"OD\",\"InlineBinary\":\"CAcGBQQDAgE=\"},"
                        " \"00091015\": {\"vr\":\"OF\",\"InlineBinary\":\"BAMCAQ==\"},"
                        " \"00091016\": {\"vr\":\"OW\",\"InlineBinary\":\"AgEEAw==\"}}");
}

static void json_model_sequences_and_empty_items(void)
{
    begin(EXPLICIT);
    header(0x00081110, "SQ", 0);
    sequence_begin(0x00081140, "SQ");
    item_begin();
    text(0x00080060, "CS", "MR");
    sequence_begin(0x00081199, "SQ");
    item_begin();
    item_end();
    sequence_end();
    item_end();
    item_begin();
    item_end();
    sequence_end();
    sequence_begin(0x00091010, "UN");
    item_begin();
    item_end();
    sequence_end();
    EXPECT_TEXT(json(), "{ \"00081110\": {\"vr\":\"SQ\"},"
                        " \"00081140\": {\"vr\":\"SQ\",\"Value\":[{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},"
                        "\"00081199\":{\"vr\":\"SQ\",\"Value\":[{}]}},{}]},"
                        " \"00091010\": {\"vr\":\"SQ\",\"Value\":[{}]}}");
}

static void json_model_group_lengths_and_meta_are_left_out(void)
{
    begin(EXPLICIT);
    bytes(0x00020010, "UI", "1.2\0", 4);
    bytes(0x00080000, "UL", "\4\0\0\0", 4);
    text(0x00080060, "CS", "CT");
    sequence_begin(0x00081140, "SQ");
    item_begin();
    bytes(0x00080000, "UL", "\4\0\0\0", 4);
    item_end();
    sequence_end();
    EXPECT_TEXT(json(),
                "{ \"00080060\": {\"vr\":\"CS\",\"Value\":[\"CT\"]}, \"00081140\": {\"vr\":\"SQ\",\"Value\":[{}]}}");
}

/* A key that stands twice is read differently by every reader: the first wins, whatever stands inside. */
static void json_model_repeated_tags_stand_once(void)
{
    begin(EXPLICIT);
    text(0x00100020, "LO", "first ");
    text(0x00080060, "CS", "CT");
    text(0x00100020, "LO", "second");
    for (int i = 0; i < 2; i++) {
        sequence_begin(0x00081140, "SQ");
        item_begin();
        text(0x00080060, "CS", i ? "XX" : "MR");
        text(0x00080060, "CS", "US");
        sequence_begin(0x00081199, "SQ");
        sequence_end();
        item_end();
        item_begin();
        text(0x00080060, "CS", "PT");
        item_end();
        sequence_end();
    }
    for (int i = 0; i < 2; i++)
        bytes(0x7FE00010, "OW", "\1\2", 2);
    text(0x00080060, "CS", "ZZ");
    EXPECT_TEXT(json(), "{ \"00100020\": {\"vr\":\"LO\",\"Value\":[\"first\"]},"
                        " \"00080060\": {\"vr\":\"CS\",\"Value\":[\"CT\"]},"
                        " \"00081140\": {\"vr\":\"SQ\",\"Value\":[{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},"
                        "\"00081199\":{\"vr\":\"SQ\"}},{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"PT\"]}}]},"
                        " \"7FE00010\": {\"vr\":\"OW\",\"BulkDataURI\":\"" URI "?offset=554&length=2\"}}");
}

/* More elements than are remembered: those in order still stand, the others cannot be told from repeated ones. */
static void json_model_tags_beyond_the_limit(void)
{
    begin(EXPLICIT);
    unsigned count = JSON_MODEL_TAGS_MAX + 100;
    for (unsigned i = 0; i < count; i++)
        bytes(0x00110000 + 0x1000 + i, "US", "\1\0", 2);
    text(0x00090010, "LO", "late");
    text(0x00111001, "LO", "twice ");
    const char *out = json();
    unsigned found = 0;
    for (const char *at = out; (at = strstr(at, "\"vr\":\"US\"")); at++)
        found++;
    EXPECT(found == count);
    EXPECT(!strstr(out, "late") && !strstr(out, "twice"));
}

static void json_model_bulk_data_begin_at_the_limit(void)
{
    static char zeros[JSON_INLINE_MAX + 2];
    const char *out = json_one(0x00091010, "OB", zeros, JSON_INLINE_MAX);
    EXPECT(strstr(out, "\"InlineBinary\":\"AAAA") && strlen(out) > JSON_INLINE_MAX * 4 / 3);
    EXPECT_TEXT(json_one(0x00091010, "UN", zeros, JSON_INLINE_MAX + 2),
                "{\"vr\":\"UN\",\"BulkDataURI\":\"" URI "?offset=312&length=1026\"}");
    EXPECT_TEXT(json_one(0x00091010, "OB", "", 0), "{\"vr\":\"OB\"}");
}

static void json_model_uncaptured_text_is_bulk(void)
{
    begin(EXPLICIT);
    text(0x00204000, "LT", "longer than what is captured");
    struct buf out;
    buf_init(&out);
    struct result r = convert(&out, set.data, set.size, syntax_by_uid(EXPLICIT), URI, false, 10, 7);
    EXPECT_OK(r.error);
    EXPECT_TEXT(buf_string(&out),
                "{\n \"00204000\": {\"vr\":\"LT\",\"BulkDataURI\":\"" URI "?offset=308&length=28\"}\n}\n");
    r = convert(NULL, set.data, set.size, syntax_by_uid(EXPLICIT), URI, true, 10, 7);
    EXPECT_ERROR(r.error, ERROR_UNSUPPORTED);
    buf_release(&out);
}

static void json_model_encapsulated_pixels_have_the_whole_field(void)
{
    begin(JPEG);
    sequence_begin(0x7FE00010, "OB");
    bytes(0xFFFEE000, NULL, "", 0);
    bytes(0xFFFEE000, NULL, "\xFF\xD8\xFF\xD9", 4);
    sequence_end();
    text(0xFFFCFFFC, "OB", "pad ");
    EXPECT_TEXT(json(), "{ \"7FE00010\": {\"vr\":\"OB\",\"BulkDataURI\":\"" URI "?offset=312&length=28\"},"
                        " \"FFFCFFFC\": {\"vr\":\"OB\",\"InlineBinary\":\"cGFkIA==\"}}");
}

/* The reader's user may skip the pixels: the length follows from where it goes on. */
static void json_model_skipped_pixels_have_the_whole_field(void)
{
    struct json_model *model;
    struct dataset_reader *reader;
    struct buf out;
    buf_init(&out);
    begin(JPEG);
    sequence_begin(0x7FE00010, "OB");
    EXPECT_OK(json_model_new(&model, json_to_buf, &out, syntax_by_uid(JPEG), URI, FILE_OFFSET, false));
    struct dataset_options options = {
        .syntax = syntax_by_uid(JPEG), .deep = true, .handler = json_model_token, .context = model};
    EXPECT_OK(dataset_reader_new(&reader, &options));
    EXPECT_OK(dataset_reader_feed(reader, set.data, set.size));
    EXPECT_OK(dataset_reader_skip_to(reader, 5000));
    EXPECT_OK(dataset_reader_finish(reader));
    EXPECT_OK(json_model_finish(model, NULL, NULL));
    EXPECT_TEXT(buf_string(&out),
                "{\n \"7FE00010\": {\"vr\":\"OB\",\"BulkDataURI\":\"" URI "?offset=312&length=4988\"}\n}\n");
    dataset_reader_free(reader);
    json_model_free(model);
    buf_release(&out);
}

static void json_model_omit_bulk_keeps_elements_only(void)
{
    static char zeros[3000];
    begin(EXPLICIT);
    bytes(0x00091010, "OB", zeros, sizeof zeros);
    bytes(0x7FE00010, "OW", "\1\2", 2);
    const char *out = json_of(true);
    EXPECT(strstr(out, "InlineBinary") && !strstr(out, "7FE00010") && !strstr(out, "URI") && strlen(out) > 4000);
}

/* Deflate stored blocks: no compressor is needed to make one. Offsets inside would lead nowhere. */
static void json_model_deflated_uri_has_no_offset(void)
{
    begin(EXPLICIT);
    bytes(0x7FE00010, "OW", "\1\2", 2);
    uint8_t deflated[64] = {1, (uint8_t)set.size, 0, (uint8_t)~set.size, 0xFF};
    memcpy(deflated + 5, set.data, set.size);
    size_t size = set.size + 5;
    begin(DEFLATED);
    buf_append(&set, deflated, size);
    EXPECT_TEXT(json(), "{ \"7FE00010\": {\"vr\":\"OW\",\"BulkDataURI\":\"" URI "\"}}");
}

static void json_model_character_sets_follow_items(void)
{
    begin(EXPLICIT);
    text(0x00080005, "CS", "ISO_IR 100");
    text(0x00080080, "LO", "\xE9\xE8");
    sequence_begin(0x00081140, "SQ");
    item_begin();
    text(0x00080080, "LO", "\xE9 ");
    item_end();
    item_begin();
    text(0x00080005, "CS", "ISO_IR 192");
    text(0x00080080, "LO", "\xC3\xA9");
    sequence_begin(0x00081199, "SQ");
    item_begin();
    text(0x00080080, "LO", "\xC3\xA8");
    item_end();
    sequence_end();
    item_end();
    sequence_end();
    text(0x00100020, "LO", "\xE9 ");
#define UTF8_CS "\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}"
    EXPECT_TEXT(json(),
                "{ \"00080005\": {\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
                " \"00080080\": {\"vr\":\"LO\",\"Value\":[\"\xC3\xA9\xC3\xA8\"]},"
                " \"00081140\": {\"vr\":\"SQ\",\"Value\":[{\"00080080\":{\"vr\":\"LO\",\"Value\":[\"\xC3\xA9\"]}},"
                "{" UTF8_CS ",\"00080080\":{\"vr\":\"LO\",\"Value\":[\"\xC3\xA9\"]},"
                "\"00081199\":{\"vr\":\"SQ\",\"Value\":[{\"00080080\":{\"vr\":\"LO\",\"Value\":[\"\xC3\xA8\"]}}]}}]},"
                " \"00100020\": {\"vr\":\"LO\",\"Value\":[\"\xC3\xA9\"]}}");
    EXPECT_TEXT(json_one(0x00080005, "CS", "", 0), "{\"vr\":\"CS\"}");
}

/* In GB18030 the second byte of a character may be that of a backslash. */
static void json_model_backslash_inside_a_character(void)
{
    begin(EXPLICIT);
    text(0x00080005, "CS", "GB18030 ");
    text(0x00080080, "LO", "\x81\x5C\\b");
    EXPECT(strstr(json(), "\"00080080\": {\"vr\":\"LO\",\"Value\":[\"\xE4\xB9\x97\",\"b\"]}"));
}

static void json_model_unknown_vr_of_known_tags(void)
{
    EXPECT_TEXT(json_one(0x00100010, "UN", "Doe^J ", 6), "{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Doe^J\"}]}");
    EXPECT_TEXT(json_one(0x00090010, "UN", "ACME", 4), "{\"vr\":\"LO\",\"Value\":[\"ACME\"]}");
    EXPECT_TEXT(json_one(0x00091010, "UN", "ACME", 4), "{\"vr\":\"UN\",\"InlineBinary\":\"QUNNRQ==\"}");
}

static void json_model_implicit_signed_values(void)
{
    for (char is_signed = 0; is_signed < 2; is_signed++) {
        begin(IMPLICIT);
        bytes(0x00280103, "US", (char[]){is_signed, 0}, 2);
        bytes(0x00280106, "US", "\xFF\xFF", 2);
        EXPECT_TEXT(strstr(json(), "\"00280106\""), is_signed ? "\"00280106\": {\"vr\":\"SS\",\"Value\":[-1]}}"
                                                              : "\"00280106\": {\"vr\":\"US\",\"Value\":[65535]}}");
    }
}

/* A data set that breaks off still gives a whole text. */
static void json_model_closes_what_broke_off(void)
{
    struct buf out;
    buf_init(&out);
    begin(EXPLICIT);
    sequence_begin(0x00081140, "SQ");
    item_begin();
    sequence_begin(0x00081199, "SQ");
    item_begin();
    text(0x00080060, "CS", "MR");
    struct result r = convert(&out, set.data, set.size, syntax_by_uid(EXPLICIT), URI, false, 0, 1000);
    EXPECT_ERROR(r.error, ERROR_MALFORMED);
    EXPECT_TEXT(buf_string(&out),
                "{\n \"00081140\": {\"vr\":\"SQ\",\"Value\":[{\"00081199\":{\"vr\":\"SQ\",\"Value\":[{"
                "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]}}]}}]}\n}\n");
    buf_release(&out);
}

static void json_model_deepest_nesting(void)
{
    begin(EXPLICIT);
    for (unsigned i = 0; i < DATASET_DEPTH_MAX; i++) {
        sequence_begin(0x00081140, "SQ");
        item_begin();
    }
    for (unsigned i = 0; i < DATASET_DEPTH_MAX; i++) {
        item_end();
        sequence_end();
    }
    EXPECT(strlen(json()) > DATASET_DEPTH_MAX * strlen("\"00081140\":{\"vr\":\"SQ\",\"Value\":[{}]}"));
}

static struct error full_after(void *left, const void *text_part, size_t size)
{
    (void)text_part;
    size_t *bytes_left = left;
    if (size > *bytes_left)
        return error_make(ERROR_FULL, "full");
    *bytes_left -= size;
    return NO_ERROR;
}

static void json_model_sink_failure_stops_the_reader(void)
{
    struct json_model *model;
    size_t left = 30;
    begin(EXPLICIT);
    EXPECT_OK(json_model_new(&model, full_after, &left, syntax_by_uid(EXPLICIT), URI, 0, false));
    struct dataset_token token = {.kind = DATASET_ELEMENT, .tag = 0x00080060, .vr = "CS", .length = 2};
    token.value = (const uint8_t *)"CT";
    EXPECT_ERROR(json_model_token(model, &token), ERROR_FULL);
    EXPECT_ERROR(json_model_finish(model, NULL, NULL), ERROR_FULL);
    json_model_free(model);
}

/* Every real file at hand: the size counted without URI is the size written. */
static void check_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(data, 1, sizeof data, file) : 0;
    if (file)
        fclose(file);
    if (size < 144 || memcmp(data + 128, "DICM", 4) != 0)
        return;
    size_t at = 132;
    char uid[65] = "";
    while (at + 12 <= size && get_u16(data + at) == 2) {
        bool is_long = data[at + 4] == 'O' || data[at + 4] == 'S' || memcmp(data + at + 4, "UN", 2) == 0;
        size_t head = is_long && memcmp(data + at + 4, "SH", 2) != 0 ? 12 : 8;
        size_t length = head == 12 ? get_u32(data + at + 8) : get_u16(data + at + 6);
        if (length > size - at - head)
            return;
        if (get_u16(data + at + 2) == 0x10)
            snprintf(uid, sizeof uid, "%.*s", (int)length, (const char *)data + at + head);
        at += head + length;
    }
    const struct syntax *syntax = syntax_by_uid(uid);
    struct buf out;
    buf_init(&out);
    struct result written = convert(&out, data + at, size - at, syntax, URI, false, 0, size);
    struct result counted = convert(NULL, data + at, size - at, syntax, NULL, false, 0, 1000);
    EXPECT(written.size == out.size && counted.size + counted.uris * strlen(URI) == out.size);
    EXPECT(written.error.code == counted.error.code);
    error_release(&written.error);
    error_release(&counted.error);
    buf_release(&out);
}

static void json_model_counts_real_files(void)
{
    static const char folder[] = "/usr/lib/python3/dist-packages/pydicom/data/test_files";
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[sizeof folder + 1 + sizeof entry->d_name];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strstr(entry->d_name, ".dcm"))
            check_file(path);
    }
    closedir(directory);
}

int main(void)
{
    RUN(json_model_empty_data_set);
    RUN(json_model_one_attribute_a_line);
    RUN(json_model_text_values);
    RUN(json_model_person_names);
    RUN(json_model_numeric_strings);
    RUN(json_model_binary_numbers);
    RUN(json_model_big_endian_is_shown_little);
    RUN(json_model_sequences_and_empty_items);
    RUN(json_model_group_lengths_and_meta_are_left_out);
    RUN(json_model_repeated_tags_stand_once);
    RUN(json_model_tags_beyond_the_limit);
    RUN(json_model_bulk_data_begin_at_the_limit);
    RUN(json_model_uncaptured_text_is_bulk);
    RUN(json_model_encapsulated_pixels_have_the_whole_field);
    RUN(json_model_skipped_pixels_have_the_whole_field);
    RUN(json_model_omit_bulk_keeps_elements_only);
    RUN(json_model_deflated_uri_has_no_offset);
    RUN(json_model_character_sets_follow_items);
    RUN(json_model_backslash_inside_a_character);
    RUN(json_model_unknown_vr_of_known_tags);
    RUN(json_model_implicit_signed_values);
    RUN(json_model_closes_what_broke_off);
    RUN(json_model_deepest_nesting);
    RUN(json_model_sink_failure_stops_the_reader);
    RUN(json_model_counts_real_files);
    buf_release(&set);
    return check_done();
}
