/* What lives here: the terms of (0008,0005), the escape sequences of PS3.3 tables C.12-3 and C.12-4, and the code
 * extension machine of ISO 2022 as PS3.5 6.1.2.5 limits it. What bytes mean is left to iconv; here is only which bytes
 * belong to which set. How it works:
 *
 *   1. G0 (bytes 21..7E) and G1 (A1..FE) each hold a code set. The first value of (0008,0005) says which at the start
 *      and after each reset; escape sequences designate others. Declared or not, a known sequence is obeyed: ESC has no
 *      other meaning in text.
 *   2. A run of bytes of one set goes to iconv at once. Sets of 94 x 94 go as EUC, the bits 8 set.
 *   3. Delimiters reset only where G0 holds a set of single bytes: within JIS X 0208 5E and 3D are halves of kanji
 *      (PS3.5 6.1.2.5.3 has the writer return to the initial set before a delimiter). Control characters always do.
 *   4. Bytes with bit 8 while G1 is empty are an error of the writer. The value is read as UTF-8 if it is that, else by
 *      the first set declared for G1 (Korean and Chinese writers forget to repeat the escape behind `^` and `=`), else
 *      as ISO 8859-1.
 *   5. JIS X 0201 romaji (ISO-IR 14): 7E is the overline; 5C is the yen sign in LT, ST and UT, and in VRs of several
 *      values the delimiter, hence `\` (PS3.5 6.1.2.3). Kana are half-width forms; folding widths is the reader's
 *      choice.
 *   6. A value under ISO_IR 13 that has no escapes but bytes that JIS X 0201 lacks is Shift JIS if all of it decodes
 * so: a common mistake.
 *   7. Where a strict table lacks a character that vendors add (NEC row 13, GBK), the wider one is asked for it.
 */
#include "codecs/dicom/charset.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { ESC = 0x1B, TERM_BYTES_MAX = 32, TERMS_MAX = 32, PAIRS_AT_ONCE = 128 };

enum set {
    SET_NONE,
    SET_ASCII,
    SET_ROMAJI,
    SET_KANA,
    SET_LATIN_1,
    SET_LATIN_2,
    SET_LATIN_3,
    SET_LATIN_4,
    SET_LATIN_5,
    SET_LATIN_9,
    SET_CYRILLIC,
    SET_ARABIC,
    SET_GREEK,
    SET_HEBREW,
    SET_THAI,
    SET_JIS_X_0208,
    SET_JIS_X_0212,
    SET_KS_X_1001,
    SET_GB_2312,
    SET_UTF_8,
    SET_GB_18030,
    SET_SHIFT_JIS,
    SETS
};

static const struct code_set {
    const char *encoding; /* iconv's name, NULL: done here */
    const char *wider;    /* asked for single characters that `encoding` lacks */
    uint8_t unit;         /* bytes passed by when they do not decode */
    bool pairs;           /* 94 x 94 */
    bool prefix;          /* in EUC a byte 8F goes before each pair */
} SET_ROWS[SETS] = {
    [SET_LATIN_1] = {"ISO-8859-1", NULL, 1, false, false},     [SET_LATIN_2] = {"ISO-8859-2", NULL, 1, false, false},
    [SET_LATIN_3] = {"ISO-8859-3", NULL, 1, false, false},     [SET_LATIN_4] = {"ISO-8859-4", NULL, 1, false, false},
    [SET_LATIN_5] = {"ISO-8859-9", NULL, 1, false, false},     [SET_LATIN_9] = {"ISO-8859-15", NULL, 1, false, false},
    [SET_CYRILLIC] = {"ISO-8859-5", NULL, 1, false, false},    [SET_ARABIC] = {"ISO-8859-6", NULL, 1, false, false},
    [SET_GREEK] = {"ISO-8859-7", NULL, 1, false, false},       [SET_HEBREW] = {"ISO-8859-8", NULL, 1, false, false},
    [SET_THAI] = {"ISO-8859-11", NULL, 1, false, false},       [SET_JIS_X_0208] = {"EUC-JP", "CP932", 2, true, false},
    [SET_JIS_X_0212] = {"EUC-JP", "EUC-JP-MS", 3, true, true}, [SET_KS_X_1001] = {"EUC-KR", NULL, 2, true, false},
    [SET_GB_2312] = {"EUC-CN", "GB18030", 2, true, false},     [SET_GB_18030] = {"GB18030", NULL, 1, false, false},
    [SET_SHIFT_JIS] = {"CP932", NULL, 1, false, false},
};

/* Terms without what varies in the wild: upper case, letters and digits only, leading "ISO", "2022" and "IR" cut.
 * `whole` sets know no code extensions (PS3.5 6.1.2.5.4 d). */
static const struct term {
    const char *key;
    enum set g0, g1, whole;
} TERMS[] = {
    {"6", SET_ASCII, SET_NONE, SET_NONE},
    {"100", SET_ASCII, SET_LATIN_1, SET_NONE},
    {"101", SET_ASCII, SET_LATIN_2, SET_NONE},
    {"109", SET_ASCII, SET_LATIN_3, SET_NONE},
    {"110", SET_ASCII, SET_LATIN_4, SET_NONE},
    {"144", SET_ASCII, SET_CYRILLIC, SET_NONE},
    {"127", SET_ASCII, SET_ARABIC, SET_NONE},
    {"126", SET_ASCII, SET_GREEK, SET_NONE},
    {"138", SET_ASCII, SET_HEBREW, SET_NONE},
    {"148", SET_ASCII, SET_LATIN_5, SET_NONE},
    {"203", SET_ASCII, SET_LATIN_9, SET_NONE},
    {"13", SET_ROMAJI, SET_KANA, SET_NONE},
    {"14", SET_ROMAJI, SET_KANA, SET_NONE},
    {"166", SET_ASCII, SET_THAI, SET_NONE},
    {"87", SET_ASCII, SET_NONE, SET_NONE},
    {"159", SET_ASCII, SET_NONE, SET_NONE},
    {"149", SET_ASCII, SET_KS_X_1001, SET_NONE},
    {"58", SET_ASCII, SET_GB_2312, SET_NONE},
    {"192", SET_ASCII, SET_NONE, SET_UTF_8},
    {"GB18030", SET_ASCII, SET_NONE, SET_GB_18030},
    {"GBK", SET_ASCII, SET_NONE, SET_GB_18030}, /* GB 18030 extends GBK */
    /* No defined terms, but seen. */
    {"UTF8", SET_ASCII, SET_NONE, SET_UTF_8},
    {"10646", SET_ASCII, SET_NONE, SET_UTF_8},
    {"GB2312", SET_ASCII, SET_GB_2312, SET_NONE},
    {"EUCKR", SET_ASCII, SET_KS_X_1001, SET_NONE},
    {"SHIFTJIS", SET_ASCII, SET_NONE, SET_SHIFT_JIS},
    {"SJIS", SET_ASCII, SET_NONE, SET_SHIFT_JIS},
    {"LATIN1", SET_ASCII, SET_LATIN_1, SET_NONE},
    {"88591", SET_ASCII, SET_LATIN_1, SET_NONE},
    {"88592", SET_ASCII, SET_LATIN_2, SET_NONE},
    {"88593", SET_ASCII, SET_LATIN_3, SET_NONE},
    {"88594", SET_ASCII, SET_LATIN_4, SET_NONE},
    {"88595", SET_ASCII, SET_CYRILLIC, SET_NONE},
    {"88596", SET_ASCII, SET_ARABIC, SET_NONE},
    {"88597", SET_ASCII, SET_GREEK, SET_NONE},
    {"88598", SET_ASCII, SET_HEBREW, SET_NONE},
    {"88599", SET_ASCII, SET_LATIN_5, SET_NONE},
    {"885911", SET_ASCII, SET_THAI, SET_NONE},
    {"885915", SET_ASCII, SET_LATIN_9, SET_NONE},
};

static const struct escape {
    const char *sequence; /* behind ESC */
    uint8_t element;      /* 0: G0, 1: G1 */
    enum set set;
} ESCAPES[] = {
    {"(B", 0, SET_ASCII},
    {"-A", 1, SET_LATIN_1},
    {"-B", 1, SET_LATIN_2},
    {"-C", 1, SET_LATIN_3},
    {"-D", 1, SET_LATIN_4},
    {"-L", 1, SET_CYRILLIC},
    {"-G", 1, SET_ARABIC},
    {"-F", 1, SET_GREEK},
    {"-H", 1, SET_HEBREW},
    {"-M", 1, SET_LATIN_5},
    {"-b", 1, SET_LATIN_9},
    {"-T", 1, SET_THAI},
    {")I", 1, SET_KANA},
    {"(J", 0, SET_ROMAJI},
    {"$B", 0, SET_JIS_X_0208},
    {"$(D", 0, SET_JIS_X_0212},
    {"$)C", 1, SET_KS_X_1001},
    {"$)A", 1, SET_GB_2312},
    /* Not DICOM's, but Japanese writers use them: JIS C 6226-1978, the long form, kana in G0. */
    {"$@", 0, SET_JIS_X_0208},
    {"$(B", 0, SET_JIS_X_0208},
    {"(I", 0, SET_KANA},
};

/* The VRs that (0008,0005) governs, and the delimiters within each besides control characters. */
static const struct governed {
    const char *vr, *delimiters;
} GOVERNED[] = {
    {"PN", "^=\\"}, {"LO", "\\"}, {"SH", "\\"}, {"UC", "\\"}, {"LT", ""}, {"ST", ""}, {"UT", ""},
};

struct charset {
    enum set initial[2];
    enum set declared_g1; /* the first set that any value has for G1 */
    enum set whole;
    iconv_t descriptor[SETS][2]; /* strict and wider; NULL: not opened yet, (iconv_t)-1: iconv has none such */
};

/* ---- (0008,0005) ---- */

static const struct term *term_find(const char *text, size_t size)
{
    static const char *const prefixes[] = {"ISO", "2022", "IR"};
    char key[TERM_BYTES_MAX];
    size_t used = 0;
    for (size_t i = 0; i < size; i++)
        if (isalnum((unsigned char)text[i]) && used + 1 < sizeof key)
            key[used++] = (char)toupper((unsigned char)text[i]);
    key[used] = 0;
    const char *rest = key;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(rest, prefixes[i], strlen(prefixes[i])) == 0)
            rest += strlen(prefixes[i]);
    for (size_t i = 0; i < sizeof TERMS / sizeof *TERMS; i++)
        if (strcmp(rest, TERMS[i].key) == 0)
            return &TERMS[i];
    return NULL;
}

struct error charset_new(struct charset **charset, const char *specific_character_set)
{
    struct charset *made = calloc(1, sizeof *made);
    *charset = made;
    if (!made)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    made->initial[0] = SET_ASCII;
    const char *text = specific_character_set ? specific_character_set : "";
    for (unsigned i = 0; i < TERMS_MAX; i++) {
        size_t size = strcspn(text, "\\");
        const struct term *term = term_find(text, size);
        if (term && i == 0) {
            made->initial[0] = term->g0;
            made->initial[1] = term->g1;
        }
        if (term && made->declared_g1 == SET_NONE)
            made->declared_g1 = term->g1;
        /* Behind a first value that says nothing, a set without code extensions is the only one that counts. */
        if (term && made->whole == SET_NONE && made->declared_g1 == SET_NONE)
            made->whole = term->whole;
        if (!text[size])
            break;
        text += size + 1;
    }
    return NO_ERROR;
}

void charset_free(struct charset *charset)
{
    if (!charset)
        return;
    for (unsigned set = 0; set < SETS; set++)
        for (unsigned wider = 0; wider < 2; wider++)
            if (charset->descriptor[set][wider] && charset->descriptor[set][wider] != (iconv_t)-1)
                iconv_close(charset->descriptor[set][wider]);
    free(charset);
}

/* ---- bytes of one set ---- */

static void put_code_point(struct buf *out, int32_t code_point)
{
    uint8_t utf8[4];
    buf_append(out, utf8, (size_t)utf8proc_encode_char(code_point, utf8));
}

static size_t put_replacement(struct buf *out)
{
    put_code_point(out, 0xFFFD);
    return 1;
}

static size_t utf8_valid_size(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        utf8proc_int32_t code_point;
        utf8proc_ssize_t step =
            bytes[at] < 0x80 ? 1 : utf8proc_iterate(bytes + at, (utf8proc_ssize_t)(size - at), &code_point);
        if (step <= 0)
            break;
        at += (size_t)step;
    }
    return at;
}

/* UTF-8 is checked here: iconv's takes what reaches beyond U+10FFFF for valid. */
static size_t decode_utf8(struct buf *out, const uint8_t *bytes, size_t size)
{
    size_t replaced = 0;
    for (size_t at = 0, end; at < size; at = end) {
        end = at + utf8_valid_size(bytes + at, size - at);
        buf_append(out, bytes + at, end - at);
        if (end < size) {
            replaced += put_replacement(out);
            end++;
        }
    }
    return replaced;
}

static iconv_t descriptor_get(struct charset *charset, enum set set, bool wider)
{
    iconv_t *descriptor = &charset->descriptor[set][wider];
    if (!*descriptor) {
        const char *encoding = wider ? SET_ROWS[set].wider : SET_ROWS[set].encoding;
        *descriptor = encoding ? iconv_open("UTF-8", encoding) : (iconv_t)-1;
    }
    return *descriptor;
}

/* Converts as far as iconv will; the number of bytes that it took. */
static size_t iconv_take(iconv_t descriptor, struct buf *out, const uint8_t *bytes, size_t size)
{
    if (descriptor == (iconv_t)-1)
        return 0;
    char *from = (char *)bytes; /* iconv does not write there; its prototype is older than const */
    size_t left = size;
    iconv(descriptor, NULL, NULL, NULL, NULL);
    while (left > 0) {
        size_t room = left * 3 + 16;
        char *to = (char *)buf_reserve(out, room);
        if (!to)
            break;
        char *end = to;
        size_t result = iconv(descriptor, &from, &left, &end, &room);
        int number = errno;
        out->size += (size_t)(end - to);
        out->data[out->size] = 0;
        if (result == (size_t)-1 && number != E2BIG)
            break;
    }
    return size - left;
}

/* Private use: what the wider encodings make of rows that each site fills itself. It means nothing elsewhere. */
static bool is_private(const struct buf *out, size_t from)
{
    utf8proc_int32_t code_point;
    return utf8proc_iterate(out->data + from, (utf8proc_ssize_t)(out->size - from), &code_point) > 0 &&
           utf8proc_category(code_point) == UTF8PROC_CATEGORY_CO;
}

/* One character by the wider encoding; false: it lacks it too, or has private use there. The NEC rows of JIS X 0208
 * (13, 89 to 92: kanji of names like U+9AD9 among them) are private use in iconv's EUC flavours and known to CP932
 * alone, which moves two rows onto one lead byte. */
static bool decode_wider(struct charset *charset, struct buf *out, enum set set, const uint8_t *bytes, size_t size)
{
    uint8_t shifted[2];
    if (!SET_ROWS[set].wider || size < SET_ROWS[set].unit)
        return false;
    if (set == SET_JIS_X_0208) {
        unsigned row = bytes[0] - 0xA1u, cell = bytes[1] - 0xA1u;
        shifted[0] = (uint8_t)(row / 2 + (row < 62 ? 0x81 : 0xC1));
        shifted[1] = (uint8_t)(row % 2 ? cell + 0x9F : cell + 0x40 + (cell >= 63));
        bytes = shifted;
    }
    size_t before = out->size;
    bool taken = iconv_take(descriptor_get(charset, set, true), out, bytes, size) == size;
    if (taken && !is_private(out, before))
        return true;
    out->size = before;
    return false;
}

/* Bytes as iconv's encoding of the set wants them. */
static size_t decode(struct charset *charset, struct buf *out, enum set set, const uint8_t *bytes, size_t size)
{
    size_t replaced = 0;
    while (size > 0 && !out->failed) {
        size_t taken = iconv_take(descriptor_get(charset, set, false), out, bytes, size);
        bytes += taken;
        size -= taken;
        if (size == 0)
            break;
        size_t unit = SET_ROWS[set].unit < size ? SET_ROWS[set].unit : size;
        if (!decode_wider(charset, out, set, bytes, unit))
            replaced += put_replacement(out);
        bytes += unit;
        size -= unit;
    }
    return replaced;
}

static bool is_graphic(uint8_t byte)
{
    return byte >= 0x21 && byte <= 0x7E;
}

/* Bytes of a set of 94 x 94, in G0 or G1. Those that no such set has are kept from iconv, which takes them for C1
 * controls. */
static size_t decode_pairs(struct charset *charset, struct buf *out, enum set set, const uint8_t *bytes, size_t size)
{
    size_t replaced = 0;
    while (size > 0) {
        uint8_t euc[PAIRS_AT_ONCE * 3];
        size_t part = 0, used = 0;
        for (; part < size && part < PAIRS_AT_ONCE * 2 && is_graphic(bytes[part] & 0x7F); part++) {
            if (SET_ROWS[set].prefix && part % 2 == 0)
                euc[used++] = 0x8F;
            euc[used++] = bytes[part] | 0x80;
        }
        replaced += part > 0 ? decode(charset, out, set, euc, used) : put_replacement(out);
        part += part == 0;
        bytes += part;
        size -= part;
    }
    return replaced;
}

static size_t decode_kana(struct buf *out, const uint8_t *bytes, size_t size)
{
    size_t replaced = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i] | 0x80;
        if (byte >= 0xA1 && byte <= 0xDF)
            put_code_point(out, 0xFF61 + byte - 0xA1);
        else
            replaced += put_replacement(out);
    }
    return replaced;
}

static size_t decode_run(struct charset *charset, struct buf *out, enum set set, const uint8_t *bytes, size_t size)
{
    if (set == SET_KANA)
        return decode_kana(out, bytes, size);
    return SET_ROWS[set].pairs ? decode_pairs(charset, out, set, bytes, size) : decode(charset, out, set, bytes, size);
}

/* ---- code extensions ---- */

static const struct escape *escape_find(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof ESCAPES / sizeof *ESCAPES; i++) {
        size_t length = strlen(ESCAPES[i].sequence);
        if (length <= size && memcmp(bytes, ESCAPES[i].sequence, length) == 0)
            return &ESCAPES[i];
    }
    return NULL;
}

static bool resets(const struct governed *governed, uint8_t byte)
{
    return byte == '\t' || byte == '\n' || byte == '\f' || byte == '\r' || (byte && strchr(governed->delimiters, byte));
}

static void put_single(struct buf *out, enum set g0, const struct governed *governed, uint8_t byte)
{
    if (g0 == SET_ROMAJI && byte == 0x7E)
        put_code_point(out, 0x203E);
    else if (g0 == SET_ROMAJI && byte == 0x5C && !strchr(governed->delimiters, '\\'))
        put_code_point(out, 0xA5);
    else
        buf_byte(out, byte);
}

static size_t convert_extended(struct charset *charset, struct buf *out, const struct governed *governed,
                               const uint8_t *bytes, size_t size)
{
    enum set active[2] = {charset->initial[0], charset->initial[1]};
    enum set unnamed = charset->declared_g1 != SET_NONE ? charset->declared_g1 : SET_LATIN_1;
    size_t replaced = 0;
    for (size_t at = 0, end; at < size; at = end) {
        end = at + 1;
        if (bytes[at] == ESC) {
            const struct escape *escape = escape_find(bytes + at + 1, size - at - 1);
            if (escape) {
                active[escape->element] = escape->set;
                end += strlen(escape->sequence);
            } else {
                replaced += put_replacement(out);
            }
        } else if (bytes[at] >= 0x80) {
            while (end < size && bytes[end] >= 0x80)
                end++;
            replaced += decode_run(charset, out, active[1] ? active[1] : unnamed, bytes + at, end - at);
        } else if (is_graphic(bytes[at]) && (SET_ROWS[active[0]].pairs || active[0] == SET_KANA)) {
            while (end < size && is_graphic(bytes[end]))
                end++;
            replaced += decode_run(charset, out, active[0], bytes + at, end - at);
        } else {
            if (resets(governed, bytes[at]))
                memcpy(active, charset->initial, sizeof active);
            put_single(out, active[0], governed, bytes[at]);
        }
    }
    return replaced;
}

/* ---- values ---- */

static bool has_beyond_jis_x_0201(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((bytes[i] >= 0x80 && bytes[i] <= 0xA0) || bytes[i] >= 0xE0)
            return true;
    return false;
}

static bool shift_jis_tried(struct charset *charset, struct buf *out, const uint8_t *bytes, size_t size)
{
    size_t before = out->size;
    if (decode(charset, out, SET_SHIFT_JIS, bytes, size) == 0)
        return true;
    out->size = before;
    return false;
}

static bool is_plain(const struct charset *charset, const uint8_t *bytes, size_t size)
{
    bool romaji = charset->initial[0] == SET_ROMAJI;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] >= 0x80 || bytes[i] == ESC || (romaji && (bytes[i] == 0x5C || bytes[i] == 0x7E)))
            return false;
    return true;
}

size_t charset_convert(struct charset *charset, struct buf *out, const char *vr, const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    const struct governed *governed = NULL;
    for (size_t i = 0; i < sizeof GOVERNED / sizeof *GOVERNED; i++)
        if (strcmp(vr, GOVERNED[i].vr) == 0)
            governed = &GOVERNED[i];
    bool escapes = governed && charset->whole == SET_NONE && memchr(bytes, ESC, size);
    bool unnamed = !governed || (charset->whole == SET_NONE && charset->initial[1] == SET_NONE);
    if (is_plain(charset, bytes, size) || (unnamed && !escapes && utf8_valid_size(bytes, size) == size)) {
        buf_append(out, bytes, size);
        return 0;
    }
    if (!governed)
        return decode(charset, out, SET_LATIN_1, bytes, size);
    if (charset->whole == SET_UTF_8)
        return decode_utf8(out, bytes, size);
    if (charset->whole != SET_NONE)
        return decode(charset, out, charset->whole, bytes, size);
    if (charset->initial[1] == SET_KANA && !escapes && has_beyond_jis_x_0201(bytes, size) &&
        shift_jis_tried(charset, out, bytes, size))
        return 0;
    return convert_extended(charset, out, governed, bytes, size);
}
