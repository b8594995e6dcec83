/* What lives here: values of data set tokens as text and numbers (PS3.5 6.2). Tokens come from dataset_reader.c; text
 * is not converted from its character set, so a backslash is a delimiter even where it is half of a character (only in
 * sets of PS3.3 C.12.1.1.2 that are not allowed in what is asked here: UIDs, codes, numbers, dates).
 */
#include "codecs/dicom/dataset_internal.h"

#include <math.h>
#include <string.h>

enum kind { TEXT, TEXT_SINGLE, UNSIGNED, SIGNED, FLOAT, TAG };

struct vr {
    char name[3];
    uint8_t kind;
    uint8_t size; /* bytes a value; text: 0 */
};

static const struct vr vrs[] = {
    {"AE", TEXT, 0},     {"AS", TEXT, 0},        {"AT", TAG, 4},         {"CS", TEXT, 0},     {"DA", TEXT, 0},
    {"DS", TEXT, 0},     {"DT", TEXT, 0},        {"FD", FLOAT, 8},       {"FL", FLOAT, 4},    {"IS", TEXT, 0},
    {"LO", TEXT, 0},     {"LT", TEXT_SINGLE, 0}, {"OB", UNSIGNED, 1},    {"OD", FLOAT, 8},    {"OF", FLOAT, 4},
    {"OL", UNSIGNED, 4}, {"OV", UNSIGNED, 8},    {"OW", UNSIGNED, 2},    {"PN", TEXT, 0},     {"SH", TEXT, 0},
    {"SL", SIGNED, 4},   {"SS", SIGNED, 2},      {"ST", TEXT_SINGLE, 0}, {"SV", SIGNED, 8},   {"TM", TEXT, 0},
    {"UC", TEXT, 0},     {"UI", TEXT, 0},        {"UL", UNSIGNED, 4},    {"UN", UNSIGNED, 1}, {"UR", TEXT_SINGLE, 0},
    {"US", UNSIGNED, 2}, {"UT", TEXT_SINGLE, 0}, {"UV", UNSIGNED, 8},
};

static const struct vr *vr_of(const struct dataset_token *token)
{
    const char *name = strcmp(token->vr, "UN") == 0 ? dictionary_vr(token->tag) : token->vr;
    for (size_t i = 0; i < sizeof vrs / sizeof vrs[0]; i++) {
        if (strcmp(vrs[i].name, name) == 0)
            return &vrs[i];
    }
    return NULL;
}

static size_t trimmed(const char *text, size_t size)
{
    while (size && (text[size - 1] == ' ' || text[size - 1] == 0))
        size--;
    return size;
}

/* The index-th value of a text; its size without padding. */
static bool component(const struct dataset_token *token, const struct vr *vr, unsigned index, const char **text,
                      size_t *size)
{
    const char *at = (const char *)token->value;
    const char *end = at + token->length;
    if (at == end)
        return false;
    if (vr->kind == TEXT_SINGLE) {
        *text = at;
        *size = trimmed(at, (size_t)(end - at));
        return index == 0;
    }
    for (;; index--) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        if (index == 0) {
            *text = at;
            *size = trimmed(at, (size_t)((stop ? stop : end) - at));
            return true;
        }
        if (!stop)
            return false;
        at = stop + 1;
    }
}

bool dataset_text(const struct dataset_token *token, unsigned index, char *out, size_t size)
{
    const struct vr *vr = vr_of(token);
    const char *text;
    size_t length;
    if (!size)
        return false;
    out[0] = 0;
    if (!vr || vr->size || !token->value || !component(token, vr, index, &text, &length))
        return false;
    if (length > size - 1)
        length = size - 1;
    memcpy(out, text, length);
    out[length] = 0;
    return true;
}

unsigned dataset_values(const struct dataset_token *token)
{
    const struct vr *vr = vr_of(token);
    if (!vr || !token->value || !token->length)
        return 0;
    if (vr->size)
        return (unsigned)(token->length / vr->size);
    unsigned count = 1;
    if (vr->kind == TEXT_SINGLE)
        return count;
    const char *at = (const char *)token->value;
    const char *end = at + token->length;
    while ((at = memchr(at, '\\', (size_t)(end - at)))) {
        at++;
        count++;
    }
    return count;
}

/* Numbers of any VR on their way to the type that was asked. */
struct number {
    bool is_integer, negative; /* an integer is `magnitude` with a sign, anything else `real` */
    uint64_t magnitude;
    double real;
};

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static const char *take_exponent(const char *at, const char *end, long *exponent)
{
    const long exponent_max = 9999; /* far beyond any double; stops the sum from overflowing */
    bool negative = at < end && *at == '-';
    long value = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (!is_digit(at, end))
        return NULL;
    for (; is_digit(at, end); at++) {
        if (value < exponent_max)
            value = value * 10 + (*at - '0');
    }
    *exponent += negative ? -value : value;
    return at;
}

/* Decimal text (DS, IS; PS3.5 6.2) with a point whatever the locale. The sum is kept in a long double: of up to 19
 * digits it is exact, and one rounding more is below what a double shows. */
static bool parse_decimal(const char *at, size_t size, struct number *out)
{
    const char *end = at + size;
    while (at < end && *at == ' ')
        at++;
    *out = (struct number){.is_integer = true, .negative = at < end && *at == '-'};
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    unsigned digits = 0;
    long exponent = 0;
    bool fraction = false;
    for (; at < end && (is_digit(at, end) || (*at == '.' && !fraction)); at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        digits++;
        if (out->magnitude > (UINT64_MAX - 9) / 10) {
            exponent += !fraction; /* more digits than count */
            continue;
        }
        out->magnitude = out->magnitude * 10 + (uint64_t)(*at - '0');
        exponent -= fraction;
    }
    if (!digits)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at = take_exponent(at + 1, end, &exponent);
        if (!at)
            return false;
    }
    for (; exponent < 0 && out->magnitude && out->magnitude % 10 == 0; exponent++)
        out->magnitude /= 10;
    for (; exponent > 0 && out->magnitude <= UINT64_MAX / 10; exponent--) {
        out->magnitude *= 10;
        if (!out->magnitude)
            exponent = 1;
    }
    out->is_integer = exponent == 0 || !out->magnitude;
    if (!out->is_integer) {
        long double real = (long double)out->magnitude * powl(10.0L, exponent);
        out->real = (double)(out->negative ? -real : real);
    }
    return at == end && isfinite(out->real);
}

static uint64_t word(const uint8_t *p, size_t size, bool big_endian)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | p[big_endian ? i : size - 1 - i];
    return value;
}

static bool parse_binary(const struct dataset_token *token, const struct vr *vr, unsigned index, struct number *out)
{
    if (index >= token->length / vr->size)
        return false;
    const uint8_t *p = token->value + (size_t)index * vr->size;
    uint64_t bits = word(p, vr->size, token->big_endian);
    *out = (struct number){.is_integer = true, .magnitude = bits};
    if (vr->kind == TAG) {
        out->magnitude = tag_at(p, token->big_endian);
    } else if (vr->kind == SIGNED) {
        uint64_t sign = UINT64_C(1) << (vr->size * 8 - 1);
        out->negative = (bits & sign) != 0;
        if (out->negative)
            out->magnitude = (sign << 1) - bits;
    } else if (vr->kind == FLOAT) {
        out->is_integer = false;
        if (vr->size == 4) {
            uint32_t half = (uint32_t)bits;
            float single;
            memcpy(&single, &half, sizeof single);
            out->real = (double)single;
        } else {
            memcpy(&out->real, &bits, sizeof out->real);
        }
    }
    return true;
}

static bool parse(const struct dataset_token *token, unsigned index, struct number *out)
{
    const struct vr *vr = vr_of(token);
    const char *text;
    size_t size;
    if (!vr || !token->value)
        return false;
    if (vr->size)
        return parse_binary(token, vr, index, out);
    if (strcmp(vr->name, "DS") != 0 && strcmp(vr->name, "IS") != 0)
        return false;
    return component(token, vr, index, &text, &size) && parse_decimal(text, size, out);
}

bool dataset_number(const struct dataset_token *token, unsigned index, double *out)
{
    struct number n;
    if (!parse(token, index, &n))
        return false;
    *out = !n.is_integer ? n.real : n.negative ? -(double)n.magnitude : (double)n.magnitude;
    return true;
}

bool dataset_integer(const struct dataset_token *token, unsigned index, int64_t *out)
{
    struct number n;
    if (!parse(token, index, &n))
        return false;
    if (!n.is_integer) {
        const double limit = 9007199254740992.0; /* 2^53: integers beyond are not exact */
        if (!(n.real >= -limit && n.real <= limit) || n.real != trunc(n.real))
            return false;
        *out = (int64_t)n.real;
        return true;
    }
    if (n.magnitude > (uint64_t)INT64_MAX + n.negative)
        return false;
    *out = n.negative ? (int64_t)(0 - n.magnitude) : (int64_t)n.magnitude;
    return true;
}
