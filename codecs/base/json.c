/* What lives here: punctuation, escaping and numbers of JSON text. What does not: what is written (each caller's own
 * keys) and reading JSON.
 *
 * Every byte goes through put(), which counts and, where there is a sink, hands on: the size of a text is the same
 * whether anyone takes it or not. A value is preceded by separate(): nothing after a key, a comma if its level holds
 * something already.
 */
#include "codecs/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_INTEGERS 9007199254740992.0 /* 2^53: up to here each whole number is a double of its own */
#define NUMBER_TEXT_MAX 40

static void put(struct json *json, const void *bytes, size_t size)
{
    json->size += size;
    if (json->sink && json->failure.code == ERROR_NONE && size)
        json->failure = json->sink(json->context, bytes, size);
}

static void put_text(struct json *json, const char *text)
{
    put(json, text, strlen(text));
}

static void fail(struct json *json, const char *what)
{
    if (json->failure.code == ERROR_NONE)
        json->failure = error_make(ERROR_BROKEN, "JSON writer: %s", what);
}

void json_init(struct json *json, json_sink sink, void *context, unsigned indent)
{
    *json = (struct json){.sink = sink, .context = context, .indent = indent, .failure = NO_ERROR};
}

struct error json_to_buf(void *buf, const void *bytes, size_t size)
{
    buf_append(buf, bytes, size);
    return buf_error(buf);
}

static bool is_filled(const struct json *json)
{
    return json->filled[json->depth / 8] >> json->depth % 8 & 1;
}

static void set_filled(struct json *json, bool filled)
{
    uint8_t bit = (uint8_t)(1u << json->depth % 8);
    if (filled)
        json->filled[json->depth / 8] |= bit;
    else
        json->filled[json->depth / 8] &= (uint8_t)~bit;
}

static void new_line(struct json *json)
{
    static const char blanks[] = "                                ";
    if (!json->indent)
        return;
    put(json, "\n", 1);
    for (size_t left = (size_t)json->depth * json->indent; left;) {
        size_t part = left < sizeof blanks - 1 ? left : sizeof blanks - 1;
        put(json, blanks, part);
        left -= part;
    }
}

static void separate(struct json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (is_filled(json))
        put(json, ",", 1);
    set_filled(json, true);
    if (json->depth)
        new_line(json);
}

static void open_level(struct json *json, const char *bracket)
{
    separate(json);
    put(json, bracket, 1);
    if (json->depth == JSON_DEPTH_MAX) {
        fail(json, "nested too deep");
        return;
    }
    json->depth++;
    set_filled(json, false);
}

static void close_level(struct json *json, const char *bracket)
{
    if (!json->depth) {
        fail(json, "closed more than opened");
        return;
    }
    bool filled = is_filled(json);
    json->depth--;
    if (filled)
        new_line(json);
    put(json, bracket, 1);
}

void json_object(struct json *json)
{
    open_level(json, "{");
}

void json_object_end(struct json *json)
{
    close_level(json, "}");
}

void json_array(struct json *json)
{
    open_level(json, "[");
}

void json_array_end(struct json *json)
{
    close_level(json, "]");
}

/* The bytes of the well-formed UTF-8 sequence at `p` (Unicode 3.9, table 3-7), or 0. */
static size_t sequence(const uint8_t *p, size_t left)
{
    static const struct {
        uint8_t first, last, second_min, second_max, size;
    } rows[] = {{0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
                {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
                {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (*p < rows[i].first || *p > rows[i].last)
            continue;
        if (rows[i].size > left || (rows[i].size > 1 && (p[1] < rows[i].second_min || p[1] > rows[i].second_max)))
            return 0;
        for (size_t j = 2; j < rows[i].size; j++)
            if (p[j] < 0x80 || p[j] > 0xBF)
                return 0;
        return rows[i].size;
    }
    return 0;
}

static void put_escape(struct json *json, uint8_t byte)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = memchr(from, byte, sizeof from - 1);
    char text[8];
    int size = found ? snprintf(text, sizeof text, "\\%c", to[found - from])
                     : snprintf(text, sizeof text, "\\u%04x", (unsigned)byte);
    put(json, text, (size_t)size);
}

/* A run of bytes that need nothing is put at once. */
static void put_quoted(struct json *json, const uint8_t *bytes, size_t size)
{
    size_t run = 0, at = 0;
    put(json, "\"", 1);
    while (at < size) {
        uint8_t byte = bytes[at];
        size_t step = byte >= 0x20 && byte < 0x7F ? 1 : sequence(bytes + at, size - at);
        if (step && byte >= 0x20 && byte != '"' && byte != '\\') {
            at += step;
            continue;
        }
        put(json, bytes + run, at - run);
        if (step)
            put_escape(json, byte);
        else
            put_text(json, "\xEF\xBF\xBD");
        run = ++at;
    }
    put(json, bytes + run, size - run);
    put(json, "\"", 1);
}

void json_key(struct json *json, const char *key)
{
    separate(json);
    put_quoted(json, (const uint8_t *)key, strlen(key));
    put_text(json, json->indent ? ": " : ":");
    json->after_key = true;
}

void json_string_n(struct json *json, const void *utf8, size_t size)
{
    separate(json);
    put_quoted(json, utf8, size);
}

void json_string(struct json *json, const char *utf8)
{
    json_string_n(json, utf8, strlen(utf8));
}

void json_raw(struct json *json, const void *bytes, size_t size)
{
    separate(json);
    put(json, bytes, size);
}

void json_null(struct json *json)
{
    json_raw(json, "null", 4);
}

void json_bool(struct json *json, bool value)
{
    json_raw(json, value ? "true" : "false", value ? 4 : 5);
}

void json_integer(struct json *json, int64_t value)
{
    char text[NUMBER_TEXT_MAX];
    json_raw(json, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
}

void json_unsigned(struct json *json, uint64_t value)
{
    char text[NUMBER_TEXT_MAX];
    json_raw(json, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

/* Digits from `fewest` to `most` are tried until the text reads back as the value; `most` always does. At most three or
 * four conversions either way, 1 to 2 microseconds for a double of 17 digits. printf and strtod follow the locale,
 * alike; then whatever stands for the decimal point becomes one. */
static void put_shortest(struct json *json, double value, bool is_float)
{
    char text[NUMBER_TEXT_MAX];
    int most = is_float ? 9 : 17;
    for (int digits = is_float ? 6 : 15; digits <= most; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    size_t head = strspn(text, "-0123456789");
    size_t point = strcspn(text + head, "-+e0123456789");
    put(json, text, head);
    if (point)
        put(json, ".", 1);
    put_text(json, text + head + point);
}

static void number(struct json *json, double value, bool is_float)
{
    if (isnan(value)) {
        json_string(json, "NaN");
    } else if (isinf(value)) {
        json_string(json, value < 0 ? "-Infinity" : "Infinity");
    } else if (value == 0 && signbit(value)) {
        json_raw(json, "-0.0", 4); /* a bare -0 is read as an integer by many, without its sign */
    } else if (fabs(value) <= EXACT_INTEGERS && value == trunc(value)) {
        json_integer(json, (int64_t)value);
    } else {
        separate(json);
        put_shortest(json, value, is_float);
    }
}

void json_number(struct json *json, double value)
{
    number(json, value, false);
}

void json_float(struct json *json, float value)
{
    number(json, (double)value, true);
}

void json_base64(struct json *json, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    char text[256];
    size_t used = 0;
    separate(json);
    put(json, "\"", 1);
    for (size_t at = 0; at < size; at += 3) {
        size_t left = size - at;
        uint32_t three = (uint32_t)p[at] << 16 | (left > 1 ? (uint32_t)p[at + 1] << 8 : 0) | (left > 2 ? p[at + 2] : 0);
        text[used++] = digits[three >> 18];
        text[used++] = digits[three >> 12 & 63];
        text[used++] = left > 1 ? digits[three >> 6 & 63] : '=';
        text[used++] = left > 2 ? digits[three & 63] : '=';
        if (used == sizeof text || left <= 3) {
            put(json, text, used);
            used = 0;
        }
    }
    put(json, "\"", 1);
}

void json_key_string(struct json *json, const char *key, const char *utf8)
{
    json_key(json, key);
    json_string(json, utf8);
}

void json_key_unsigned(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_unsigned(json, value);
}

void json_key_integer(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_integer(json, value);
}

void json_key_number(struct json *json, const char *key, double value)
{
    json_key(json, key);
    json_number(json, value);
}

void json_key_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

struct error json_finish(struct json *json)
{
    if (json->depth)
        fail(json, "not closed");
    if (json->indent)
        put(json, "\n", 1);
    struct error err = json->failure;
    json->failure = NO_ERROR;
    return err;
}
