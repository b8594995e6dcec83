/* What lives here: path components, their fold key and their numbering. Templates are in template.c.
 *
 * A component is made in steps, each of which leaves what the earlier ones achieved, so that a second pass changes
 * nothing:
 *   1. code points are dropped or become blanks, runs of blanks become one `_`   (filter)
 *   2. NFC: no canonical composition yields a blank or a forbidden character
 *   3. leading `_` and `.`, trailing `_`, `.` and blanks go                       (trim)
 *   4. the cut, trailing ones again, and a `_` behind a reserved device name      (settle)
 * `_` that stood in the text stays as it stood, two in a row too.
 */
#include "codecs/dicom/names.h"

#include "codecs/dicom/unicode.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Controls of direction and of width, and letters that show nothing (Hangul fillers): two names that look the same
 * must not differ by them. Variation selectors stay: they choose between forms of a kanji. */
static const struct unicode_range INVISIBLE[] = {
    {0xAD, 0xAD},     {0x34F, 0x34F},     {0x61C, 0x61C},     {0x115F, 0x1160},   {0x17B4, 0x17B5}, {0x180E, 0x180E},
    {0x200B, 0x200F}, {0x202A, 0x202E},   {0x2060, 0x206F},   {0x3164, 0x3164},   {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0},
    {0xFFF9, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE007F},
};

/* Device names of Windows, with the superscript digits that it takes for digits. */
static const char *const RESERVED[] = {
    "CON",  "PRN",  "AUX",  "NUL",  "CONIN$", "CONOUT$", "COM0", "COM1", "COM2", "COM3", "COM4",
    "COM5", "COM6", "COM7", "COM8", "COM9",   "COM¹",    "COM²", "COM³", "LPT0", "LPT1", "LPT2",
    "LPT3", "LPT4", "LPT5", "LPT6", "LPT7",   "LPT8",    "LPT9", "LPT¹", "LPT²", "LPT³",
};

static bool is_noncharacter(int32_t code_point)
{
    return (code_point & 0xFFFE) == 0xFFFE || (code_point >= 0xFDD0 && code_point <= 0xFDEF);
}

static bool becomes_blank(int32_t code_point)
{
    return unicode_is_blank(code_point) || code_point == UNICODE_REPLACEMENT || is_noncharacter(code_point) ||
           (code_point < 0x80 && strchr("/\\:*?\"<>|", code_point));
}

static void filter(struct buf *out, const char *utf8)
{
    bool blank = false;
    for (int32_t code_point; *utf8;) {
        utf8 = unicode_next(utf8, &code_point);
        if (unicode_in(INVISIBLE, COUNT(INVISIBLE), code_point))
            continue;
        bool now = becomes_blank(code_point);
        if (!now)
            unicode_put(out, code_point);
        else if (!blank)
            buf_byte(out, '_');
        blank = now;
    }
}

static size_t trimmed_end(const uint8_t *text, size_t size)
{
    while (size > 0 && strchr("_. ", text[size - 1]))
        size--;
    return size;
}

/* Bytes of a reserved name at the start, up to the end or a dot; 0: none. */
static size_t reserved_size(const uint8_t *text, size_t size)
{
    const uint8_t *dot = memchr(text, '.', size);
    size_t stem = dot ? (size_t)(dot - text) : size;
    for (size_t i = 0; i < COUNT(RESERVED); i++)
        if (strlen(RESERVED[i]) == stem && strncasecmp((const char *)text, RESERVED[i], stem) == 0)
            return stem;
    return 0;
}

/* `text` has room for one byte more. Ends: a round that inserts makes the stem unreserved; one that cuts shortens. */
static size_t settle(uint8_t *text, size_t size, size_t max)
{
    for (;;) {
        size = trimmed_end(text, unicode_cut(text, size, max));
        size_t stem = reserved_size(text, size);
        if (stem == 0)
            return size;
        if (stem + 1 > max) {
            max = stem - 1;
            continue;
        }
        memmove(text + stem + 1, text + stem, size - stem);
        text[stem] = '_';
        size = unicode_cut(text, size + 1, max);
        /* Behind the stem only what is trimmed may have been left: then the `_` alone stays. */
        size_t end = trimmed_end(text, size);
        return end > stem ? end : stem + 1;
    }
}

void name_component(struct buf *out, const char *utf8, size_t max)
{
    struct buf filtered, normal;
    buf_init(&filtered);
    buf_init(&normal);
    filter(&filtered, utf8);
    unicode_map(&normal, buf_string(&filtered), UTF8PROC_COMPOSE);
    if (filtered.failed || normal.failed || !buf_reserve(&normal, 1)) {
        out->failed = true;
    } else {
        const char *text = buf_string(&normal);
        size_t lead = strspn(text, "_.");
        size_t size = settle(normal.data + lead, normal.size - lead, max < NAME_BYTES_MAX ? max : NAME_BYTES_MAX);
        buf_append(out, text + lead, size);
    }
    buf_release(&normal);
    buf_release(&filtered);
}

/* NFC(fold(NFD(text))), D145 of the Unicode standard: folding before decomposing would leave marks out of order. */
void name_fold(struct buf *out, const char *utf8)
{
    struct buf decomposed;
    buf_init(&decomposed);
    unicode_map(&decomposed, utf8, UTF8PROC_DECOMPOSE);
    if (decomposed.failed)
        out->failed = true;
    else
        unicode_map(out, buf_string(&decomposed), UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
    buf_release(&decomposed);
}

void name_with_number(struct buf *out, const char *base, unsigned number)
{
    char suffix[16];
    size_t length = (size_t)snprintf(suffix, sizeof suffix, "~%u", number);
    size_t size = strlen(base);
    size_t cut = unicode_cut((const uint8_t *)base, size, NAME_BYTES_MAX - length);
    if (cut < size)
        cut = trimmed_end((const uint8_t *)base, cut);
    buf_append(out, base, cut);
    buf_text(out, suffix);
}
