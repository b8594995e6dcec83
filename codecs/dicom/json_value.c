/* What lives here: the table of VRs and how each VR's value becomes JSON (PS3.18 F.2.2 to F.2.7). Bytes behind the last
 * whole word of a binary value are not shown; padding of text is cut where PS3.5 6.2 calls it insignificant.
 */
#include "codecs/dicom/json_value.h"

#include <stdio.h>
#include <string.h>

#define EXACT_INTEGERS INT64_C(9007199254740992) /* 2^53: readers that know only doubles lose what lies beyond */
#define EXPONENT_MAX 300                         /* likewise: 1e309 would be read as infinity */
#define NUMBER_TEXT_MAX 64                       /* DS has 16 bytes, IS 12; what is far longer is no number */

struct value {
    struct json *json;
    const struct dataset_token *token;
    struct charset *charset;
    struct buf *scratch;
};

struct json_vr {
    const char *name;
    void (*write)(const struct json_vr *vr, const struct value *value);   /* the whole of it */
    void (*write_text)(struct json *json, const char *text, size_t size); /* one value, not empty */
    void (*write_word)(struct json *json, uint64_t word);                 /* one value */
    uint8_t word;                                                         /* bytes a word; of binary VRs */
    bool single;                                                          /* a backslash is text */
    bool leading;                                                         /* leading blanks are significant */
};

/* Text */

static void write_string(struct json *json, const char *text, size_t size)
{
    json_string_n(json, text, size);
}

static void cut_padding(const char **text, size_t *size, bool leading)
{
    while (*size && ((*text)[*size - 1] == ' ' || (*text)[*size - 1] == 0))
        --*size;
    while (*size && !leading && **text == ' ') {
        ++*text;
        --*size;
    }
}

/* F.2.2: a person's name is an object of its component groups. What stands behind a third `=` stays in the last. */
static void write_person(struct json *json, const char *text, size_t size)
{
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    if (strspn(text, "= ") >= size) {
        json_null(json);
        return;
    }
    json_object(json);
    for (size_t i = 0; i < sizeof groups / sizeof *groups && size; i++) {
        const char *equals = i < 2 ? memchr(text, '=', size) : NULL;
        const char *group = text;
        size_t length = equals ? (size_t)(equals - text) : size, used = length + (equals != NULL);
        text += used;
        size -= used;
        cut_padding(&group, &length, false);
        if (!length)
            continue;
        json_key(json, groups[i]);
        json_string_n(json, group, length);
    }
    json_object_end(json);
}

static size_t digits_at(const char *text, size_t size)
{
    size_t count = 0;
    while (count < size && text[count] >= '0' && text[count] <= '9')
        count++;
    return count;
}

struct decimal {
    bool negative;
    const char *whole, *fraction, *exponent;
    size_t whole_size, fraction_size, exponent_size;
    bool exponent_negative;
};

/* [+-] digits [. digits] [E [+-] digits], as PS3.5 6.2 has DS, with digits missing on one side of the point allowed. */
static bool parse_decimal(const char *text, size_t size, struct decimal *d)
{
    const char *end = text + size;
    *d = (struct decimal){.negative = size && *text == '-'};
    if (size && (*text == '-' || *text == '+'))
        text++;
    d->whole = text;
    d->whole_size = digits_at(text, (size_t)(end - text));
    text += d->whole_size;
    if (text < end && *text == '.') {
        d->fraction = ++text;
        d->fraction_size = digits_at(text, (size_t)(end - text));
        text += d->fraction_size;
    }
    if (!d->whole_size && !d->fraction_size)
        return false;
    if (text < end && (*text == 'e' || *text == 'E')) {
        d->exponent_negative = ++text < end && *text == '-';
        if (text < end && (*text == '-' || *text == '+'))
            text++;
        d->exponent = text;
        d->exponent_size = digits_at(text, (size_t)(end - text));
        if (!d->exponent_size)
            return false;
        text += d->exponent_size;
    }
    while (d->whole_size > 1 && *d->whole == '0') {
        d->whole++;
        d->whole_size--;
    }
    return text == end;
}

static bool is_within_double(const struct decimal *d)
{
    int exponent = 0;
    for (size_t i = 0; i < d->exponent_size; i++)
        if ((exponent = exponent * 10 + (d->exponent[i] - '0')) > EXPONENT_MAX)
            return false;
    return exponent + (int)d->whole_size <= EXPONENT_MAX;
}

/* DS and IS: the digits as they were sent, only put as JSON wants them, so that nothing is rounded. */
static void write_decimal(struct json *json, const char *text, size_t size)
{
    struct decimal d;
    char out[2 * NUMBER_TEXT_MAX];
    if (size > NUMBER_TEXT_MAX || !parse_decimal(text, size, &d) || !is_within_double(&d)) {
        json_string_n(json, text, size);
        return;
    }
    int used = snprintf(out, sizeof out, "%s%.*s%s%.*s", d.negative ? "-" : "", d.whole_size ? (int)d.whole_size : 1,
                        d.whole_size ? d.whole : "0", d.fraction_size ? "." : "", (int)d.fraction_size,
                        d.fraction_size ? d.fraction : "");
    if (d.exponent)
        used += snprintf(out + used, sizeof out - (size_t)used, "e%s%.*s", d.exponent_negative ? "-" : "",
                         (int)d.exponent_size, d.exponent);
    json_raw(json, out, (size_t)used);
}

/* F.2.5: a value of no length has no "Value"; an empty one among several is null. The character set decides where a
 * backslash is one, so conversion comes before splitting. */
static void write_text(const struct json_vr *vr, const struct value *value)
{
    buf_clear(value->scratch);
    charset_convert(value->charset, value->scratch, vr->name, value->token->value, (size_t)value->token->length);
    const char *text = buf_string(value->scratch);
    size_t size = value->scratch->size;
    cut_padding(&text, &size, vr->leading);
    if (!size)
        return;
    json_key(value->json, "Value");
    json_array(value->json);
    for (bool more = true; more;) {
        const char *slash = vr->single ? NULL : memchr(text, '\\', size);
        const char *one = text;
        size_t length = slash ? (size_t)(slash - text) : size;
        more = slash;
        text += length + more;
        size -= length + more;
        cut_padding(&one, &length, vr->leading);
        if (length)
            vr->write_text(value->json, one, length);
        else
            json_null(value->json);
    }
    json_array_end(value->json);
}

/* Words */

static uint64_t word_at(const uint8_t *p, unsigned size, bool big_endian)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < size; i++)
        word |= (uint64_t)p[i] << 8 * (big_endian ? size - 1 - i : i);
    return word;
}

static void write_words(const struct json_vr *vr, const struct value *value)
{
    const struct dataset_token *token = value->token;
    if (token->length < vr->word)
        return;
    json_key(value->json, "Value");
    json_array(value->json);
    for (uint64_t at = 0; token->length - at >= vr->word; at += vr->word)
        vr->write_word(value->json, word_at(token->value + at, vr->word, token->big_endian));
    json_array_end(value->json);
}

static void write_us(struct json *json, uint64_t word)
{
    json_unsigned(json, word);
}

static void write_ss(struct json *json, uint64_t word)
{
    json_integer(json, (int16_t)word);
}

static void write_sl(struct json *json, uint64_t word)
{
    json_integer(json, (int32_t)word);
}

static void write_sv(struct json *json, uint64_t word)
{
    char text[24];
    int64_t number = (int64_t)word;
    if (number <= EXACT_INTEGERS && number >= -EXACT_INTEGERS)
        json_integer(json, number);
    else
        json_string_n(json, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)number));
}

static void write_uv(struct json *json, uint64_t word)
{
    char text[24];
    if (word <= (uint64_t)EXACT_INTEGERS)
        json_unsigned(json, word);
    else
        json_string_n(json, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)word));
}

static void write_fl(struct json *json, uint64_t word)
{
    uint32_t bits = (uint32_t)word;
    float number;
    memcpy(&number, &bits, sizeof number);
    json_float(json, number);
}

static void write_fd(struct json *json, uint64_t word)
{
    double number;
    memcpy(&number, &word, sizeof number);
    json_number(json, number);
}

/* Two 16-bit words, each in its own byte order. */
static void write_tags(const struct json_vr *vr, const struct value *value)
{
    const struct dataset_token *token = value->token;
    if (token->length < vr->word)
        return;
    json_key(value->json, "Value");
    json_array(value->json);
    for (uint64_t at = 0; token->length - at >= vr->word; at += vr->word) {
        char text[9];
        const uint8_t *p = token->value + at;
        snprintf(text, sizeof text, "%04X%04X", (unsigned)word_at(p, 2, token->big_endian),
                 (unsigned)word_at(p + 2, 2, token->big_endian));
        json_string(value->json, text);
    }
    json_array_end(value->json);
}

/* F.2.7: InlineBinary is little endian. */
static void write_binary(const struct json_vr *vr, const struct value *value)
{
    const struct dataset_token *token = value->token;
    const uint8_t *bytes = token->value;
    if (token->big_endian && vr->word > 1) {
        buf_clear(value->scratch);
        buf_append(value->scratch, bytes, (size_t)token->length);
        if (value->scratch->failed)
            return;
        uint8_t *p = value->scratch->data;
        for (size_t at = 0; value->scratch->size - at >= vr->word; at += vr->word) {
            for (unsigned i = 0; i < vr->word; i++)
                p[at + i] = bytes[at + vr->word - 1 - i];
        }
        bytes = p;
    }
    json_key(value->json, "InlineBinary");
    json_base64(value->json, bytes, (size_t)token->length);
}

/* The table; UN is the first, for what is none of the others. */
#define TEXT(vr)                                                                                                       \
    {                                                                                                                  \
        .name = (vr), .write = write_text, .write_text = write_string                                                  \
    }
#define TEXT_AS_SENT(vr)                                                                                               \
    {                                                                                                                  \
        .name = (vr), .write = write_text, .write_text = write_string, .leading = true                                 \
    }
#define TEXT_SINGLE(vr)                                                                                                \
    {                                                                                                                  \
        .name = (vr), .write = write_text, .write_text = write_string, .leading = true, .single = true                 \
    }
#define DECIMAL(vr)                                                                                                    \
    {                                                                                                                  \
        .name = (vr), .write = write_text, .write_text = write_decimal                                                 \
    }
#define WORDS(vr, size, one)                                                                                           \
    {                                                                                                                  \
        .name = (vr), .write = write_words, .word = (size), .write_word = (one)                                        \
    }
#define BINARY(vr, size)                                                                                               \
    {                                                                                                                  \
        .name = (vr), .write = write_binary, .word = (size)                                                            \
    }

static const struct json_vr rows[] = {
    BINARY("UN", 1),
    BINARY("OB", 1),
    BINARY("OD", 8),
    BINARY("OF", 4),
    BINARY("OL", 4),
    BINARY("OV", 8),
    BINARY("OW", 2),
    TEXT("AE"),
    TEXT_AS_SENT("AS"),
    TEXT("CS"),
    TEXT_AS_SENT("DA"),
    TEXT_AS_SENT("DT"),
    TEXT("LO"),
    TEXT("SH"),
    TEXT_AS_SENT("TM"),
    TEXT_AS_SENT("UC"),
    TEXT("UI"),
    TEXT_SINGLE("LT"),
    TEXT_SINGLE("ST"),
    TEXT_SINGLE("UR"),
    TEXT_SINGLE("UT"),
    DECIMAL("DS"),
    DECIMAL("IS"),
    {.name = "PN", .write = write_text, .write_text = write_person},
    {.name = "AT", .write = write_tags, .word = 4},
    WORDS("FD", 8, write_fd),
    WORDS("FL", 4, write_fl),
    WORDS("SL", 4, write_sl),
    WORDS("SS", 2, write_ss),
    WORDS("SV", 8, write_sv),
    WORDS("UL", 4, write_us),
    WORDS("US", 2, write_us),
    WORDS("UV", 8, write_uv),
};

const struct json_vr *json_vr(const char *vr)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(vr, rows[i].name) == 0)
            return &rows[i];
    return &rows[0];
}

const char *json_vr_name(const struct json_vr *vr)
{
    return vr->name;
}

bool json_vr_is_bulk(const struct json_vr *vr)
{
    return vr->write == write_binary;
}

void json_vr_write(const struct json_vr *vr, struct json *json, const struct dataset_token *token,
                   struct charset *charset, struct buf *scratch)
{
    struct value value = {json, token, charset, scratch};
    vr->write(vr, &value);
}
