/* The JSON writer: punctuation, escapes, numbers, and that counting gives the size of what is written. */
#include "codecs/base/json.h"
#include "check.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

/* What `write` writes; also that counting alone gives the same size. */
static const char *text_of(void (*write)(struct json *json), unsigned indent)
{
    static char out[20000];
    struct buf buf;
    struct json json, counter;
    buf_init(&buf);
    json_init(&json, json_to_buf, &buf, indent);
    json_init(&counter, NULL, NULL, indent);
    write(&json);
    write(&counter);
    EXPECT_OK(json_finish(&json));
    EXPECT_OK(json_finish(&counter));
    EXPECT(json.size == buf.size && counter.size == buf.size);
    snprintf(out, sizeof out, "%s", buf_string(&buf));
    buf_release(&buf);
    return out;
}

static void write_all(struct json *json)
{
    json_object(json);
    json_key_string(json, "a\"b", "c");
    json_key(json, "empty");
    json_object(json);
    json_object_end(json);
    json_key(json, "list");
    json_array(json);
    json_integer(json, INT64_MIN);
    json_unsigned(json, UINT64_MAX);
    json_null(json);
    json_raw(json, "[1]", 3);
    json_array(json);
    json_array_end(json);
    json_array_end(json);
    json_key_bool(json, "yes", true);
    json_key_integer(json, "i", -5);
    json_key_unsigned(json, "u", 5);
    json_key_number(json, "n", 0.5);
    json_object_end(json);
}

static void json_compact_has_no_blanks(void)
{
    EXPECT_TEXT(text_of(write_all, 0),
                "{\"a\\\"b\":\"c\",\"empty\":{},\"list\":[-9223372036854775808,18446744073709551615,null,[1],[]],"
                "\"yes\":true,\"i\":-5,\"u\":5,\"n\":0.5}");
}

static void json_indented(void)
{
    EXPECT_TEXT(text_of(write_all, 2),
                "{\n  \"a\\\"b\": \"c\",\n  \"empty\": {},\n  \"list\": [\n    -9223372036854775808,\n"
                "    18446744073709551615,\n    null,\n    [1],\n    []\n  ],\n  \"yes\": true,\n  \"i\": -5,\n"
                "  \"u\": 5,\n  \"n\": 0.5\n}\n");
}

static const char *string_in;
static size_t string_size;
static void write_string(struct json *json)
{
    json_string_n(json, string_in, string_size);
}
static const char *string_text(const char *text, size_t size)
{
    string_in = text;
    string_size = size;
    return text_of(write_string, 0);
}

static void json_strings_are_escaped_and_valid(void)
{
    EXPECT_TEXT(string_text("\"\\/\b\f\n\r\t\x01\x1f\x7f", 11), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
    EXPECT_TEXT(string_text("a\0b", 3), "\"a\\u0000b\"");
    EXPECT_TEXT(string_text("\xE5\xB1\xB1\xC3\xA9\xF0\x9F\x98\x80", 9), "\"\xE5\xB1\xB1\xC3\xA9\xF0\x9F\x98\x80\"");
#define BAD "\xEF\xBF\xBD"
    EXPECT_TEXT(string_text("x\xFFy", 3), "\"x" BAD "y\"");
    EXPECT_TEXT(string_text("\xC3", 1), "\"" BAD "\"");
    EXPECT_TEXT(string_text("\xC0\xAF", 2), "\"" BAD BAD "\"");         /* overlong */
    EXPECT_TEXT(string_text("\xED\xA0\x80", 3), "\"" BAD BAD BAD "\""); /* a surrogate */
    EXPECT_TEXT(string_text("\xF4\x90\x80\x80", 4), "\"" BAD BAD BAD BAD "\"");
    EXPECT_TEXT(string_text("\xE5\xB1\"", 3), "\"" BAD BAD "\\\"\"");
}

static double number_in;
static bool number_is_float;
static void write_number(struct json *json)
{
    if (number_is_float)
        json_float(json, (float)number_in);
    else
        json_number(json, number_in);
}
static const char *number_text(double value)
{
    number_in = value;
    number_is_float = false;
    return text_of(write_number, 0);
}
static const char *float_text(float value)
{
    number_in = (double)value;
    number_is_float = true;
    return text_of(write_number, 0);
}

static void json_numbers_are_shortest(void)
{
    EXPECT_TEXT(number_text(0.1), "0.1");
    EXPECT_TEXT(number_text(0.1 + 0.2), "0.30000000000000004");
    EXPECT_TEXT(number_text(1.0 / 3), "0.3333333333333333");
    EXPECT_TEXT(number_text(100), "100");
    EXPECT_TEXT(number_text(-1e15), "-1000000000000000");
    EXPECT_TEXT(number_text(9007199254740992.0), "9007199254740992");
    EXPECT_TEXT(number_text(1e300), "1e+300");
    EXPECT_TEXT(number_text(-0.0), "-0.0");
    EXPECT_TEXT(number_text(5e-324), "4.94065645841247e-324");
    EXPECT_TEXT(number_text(NAN), "\"NaN\"");
    EXPECT_TEXT(number_text(INFINITY), "\"Infinity\"");
    EXPECT_TEXT(number_text(-INFINITY), "\"-Infinity\"");
    EXPECT_TEXT(float_text(0.1f), "0.1");
    EXPECT_TEXT(float_text(1.0f / 3), "0.33333334");
    EXPECT_TEXT(float_text(16777216.0f), "16777216");
    EXPECT_TEXT(float_text(FLT_MAX), "3.4028235e+38");
    EXPECT_TEXT(float_text(1e-45f), "1.4013e-45");
    EXPECT_TEXT(float_text(NAN), "\"NaN\"");
}

static void json_numbers_read_back_the_same(void)
{
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double d;
        float f;
        uint32_t low = (uint32_t)state;
        memcpy(&d, &state, sizeof d);
        memcpy(&f, &low, sizeof f);
        if (isfinite(d))
            EXPECT(strtod(number_text(d), NULL) == d);
        if (isfinite(f))
            EXPECT(strtof(float_text(f), NULL) == f);
    }
}

/* A decimal comma must not reach the text. Without such a locale on the machine there is nothing to see. */
static void json_numbers_ignore_the_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ps_AF.UTF-8", NULL};
    for (const char *const *name = names; *name; name++)
        if (setlocale(LC_ALL, *name))
            break;
    EXPECT_TEXT(number_text(0.1 + 0.2), "0.30000000000000004");
    EXPECT_TEXT(number_text(1.5e-10), "1.5e-10");
    EXPECT_TEXT(float_text(-2.5f), "-2.5");
    setlocale(LC_ALL, "C");
}

static void write_base64(struct json *json)
{
    json_base64(json, string_in, string_size);
}
static const char *base64_text(const char *text, size_t size)
{
    string_in = text;
    string_size = size;
    return text_of(write_base64, 0);
}

static void json_base64_of_every_remainder(void)
{
    EXPECT_TEXT(base64_text("", 0), "\"\"");
    EXPECT_TEXT(base64_text("f", 1), "\"Zg==\"");
    EXPECT_TEXT(base64_text("fo", 2), "\"Zm8=\"");
    EXPECT_TEXT(base64_text("foo", 3), "\"Zm9v\"");
    EXPECT_TEXT(base64_text("\xFB\xFF\xFE", 3), "\"+//+\"");
    char bytes[1000] = {0};
    for (size_t size = 180; size < 200; size++) {
        const char *text = base64_text(bytes, size);
        size_t pad = (3 - size % 3) % 3;
        EXPECT(strlen(text) == (size + 2) / 3 * 4 + 2 && strspn(text + 1, "A") == (size + 2) / 3 * 4 - pad);
    }
}

static struct error refuse(void *context, const void *bytes, size_t size)
{
    (void)bytes, (void)size;
    return ++*(int *)context < 3 ? NO_ERROR : error_make(ERROR_FULL, "full");
}

static void json_sink_failure_is_kept(void)
{
    int calls = 0;
    struct json json;
    json_init(&json, refuse, &calls, 0);
    write_all(&json);
    EXPECT_ERROR(json_finish(&json), ERROR_FULL);
    EXPECT(calls == 3);
}

static void json_depth_is_bounded(void)
{
    struct json json;
    json_init(&json, NULL, NULL, 0);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array(&json);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_end(&json);
    EXPECT(json.size == 2 * JSON_DEPTH_MAX);
    EXPECT_OK(json_finish(&json));
    json_init(&json, NULL, NULL, 0);
    for (int i = 0; i < JSON_DEPTH_MAX + 10; i++)
        json_array(&json);
    EXPECT_ERROR(json_finish(&json), ERROR_BROKEN);
    json_init(&json, NULL, NULL, 0);
    json_array_end(&json);
    EXPECT_ERROR(json_finish(&json), ERROR_BROKEN);
}

int main(void)
{
    RUN(json_compact_has_no_blanks);
    RUN(json_indented);
    RUN(json_strings_are_escaped_and_valid);
    RUN(json_numbers_are_shortest);
    RUN(json_numbers_read_back_the_same);
    RUN(json_numbers_ignore_the_locale);
    RUN(json_base64_of_every_remainder);
    RUN(json_sink_failure_is_kept);
    RUN(json_depth_is_bounded);
    return check_done();
}
