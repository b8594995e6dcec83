/* What lives here: person names (PN), taken apart, shown, folded and compared; and values that identify nobody.
 *
 * Two groups are of one person when, folded, no component that both have differs and at least one of family, given and
 * middle name agrees; or when these three, written together, are the same ("Doe John" and Doe^John, "Ann Mary" as one
 * given name or two). A prefix or suffix that both have must agree.
 */
#include "codecs/dicom/names.h"

#include "codecs/dicom/unicode.h"

#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { GROUPS = 3, COMPONENTS = 5, NAMED = 3 /* family, given, middle; then prefix, suffix */ };

struct person {
    struct buf text; /* a copy in which the delimiters are NULs */
    const char *component[GROUPS][COMPONENTS];
    bool placeholder[GROUPS];
};

/* ---- taking apart ---- */

static char lone_comma(const char *group)
{
    const char *comma = strchr(group, ',');
    return comma && !strchr(comma + 1, ',') && !strchr(group, '^') ? ',' : '^';
}

static void group_parse(struct person *person, unsigned index, char *group)
{
    char delimiter = lone_comma(group);
    person->placeholder[index] = is_placeholder(group, NULL);
    for (unsigned i = 0; i < COMPONENTS && group; i++) {
        person->component[index][i] = group;
        group = strchr(group, delimiter);
        if (group)
            *group++ = 0;
    }
}

static void person_parse(struct person *person, const char *pn)
{
    memset(person, 0, sizeof *person);
    buf_text(&person->text, pn);
    for (unsigned i = 0; i < GROUPS; i++)
        for (unsigned j = 0; j < COMPONENTS; j++)
            person->component[i][j] = "";
    char *group = (char *)person->text.data;
    for (unsigned i = 0; i < GROUPS && group; i++) {
        char *next = strchr(group, '=');
        if (next)
            *next++ = 0;
        group_parse(person, i, group);
        group = next;
    }
}

/* Where the text begins and ends without blanks, and without `more` (ASCII) at both ends. */
static const char *trim(const char *text, const char *more, size_t *size)
{
    const char *begin = NULL, *end = text;
    for (int32_t code_point; *text;) {
        const char *next = unicode_next(text, &code_point);
        if (!unicode_is_blank(code_point) && !(code_point < 0x80 && strchr(more, code_point))) {
            begin = begin ? begin : text;
            end = next;
        }
        text = next;
    }
    *size = begin ? (size_t)(end - begin) : 0;
    return begin ? begin : end;
}

void person_display(struct buf *out, const char *pn)
{
    struct person person;
    size_t before = out->size;
    person_parse(&person, pn);
    for (unsigned i = 0; i < GROUPS && out->size == before; i++)
        for (unsigned j = 0; j < NAMED; j++) {
            size_t size;
            const char *text = trim(person.component[i][j], "", &size);
            if (size > 0 && out->size > before)
                buf_byte(out, '_');
            buf_append(out, text, size);
        }
    out->failed |= person.text.failed;
    buf_release(&person.text);
}

/* ---- folding ---- */

/* Latin, Greek and Cyrillic accents, Hebrew points, Arabic vowel signs. */
static const struct unicode_range ACCENTS[] = {
    {0x300, 0x36F}, {0x483, 0x489},   {0x591, 0x5C7},   {0x610, 0x61A},   {0x64B, 0x65F},   {0x670, 0x670},
    {0x6D6, 0x6ED}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x20D0, 0x20FF}, {0xFE20, 0xFE2F},
};

/* Letters whose stroke or ligature no decomposition takes apart. */
static const struct {
    int32_t code_point;
    const char *letters;
} STROKES[] = {
    {0xE6, "ae"}, {0xF0, "d"},  {0xF8, "o"},   {0x111, "d"}, {0x127, "h"},
    {0x131, "i"}, {0x142, "l"}, {0x153, "oe"}, {0x167, "t"}, {0x180, "b"},
};

static bool is_dropped(int32_t code_point)
{
    static const struct unicode_range apostrophes[] = {{0x2B9, 0x2BF}};
    utf8proc_category_t category = utf8proc_category(code_point);
    return code_point == '=' || unicode_is_blank(code_point) || unicode_is_punctuation(code_point) ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_SK ||
           unicode_in(apostrophes, COUNT(apostrophes), code_point) || unicode_in(ACCENTS, COUNT(ACCENTS), code_point);
}

static void put_letter(struct buf *out, int32_t code_point)
{
    for (size_t i = 0; i < COUNT(STROKES); i++)
        if (STROKES[i].code_point == code_point) {
            buf_text(out, STROKES[i].letters);
            return;
        }
    unicode_put(out, code_point);
}

/* What comes out holds neither `^` nor `=`. */
static void fold_component(struct buf *out, const char *component)
{
    if (!*component)
        return;
    struct buf taken_apart, kept;
    buf_init(&taken_apart);
    buf_init(&kept);
    unicode_map(&taken_apart, component, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD);
    const char *text = buf_string(&taken_apart);
    for (int32_t code_point; *text;) {
        text = unicode_next(text, &code_point);
        if (!is_dropped(code_point))
            put_letter(&kept, code_point);
    }
    unicode_map(out, buf_string(&kept), UTF8PROC_COMPOSE);
    out->failed |= taken_apart.failed | kept.failed;
    buf_release(&kept);
    buf_release(&taken_apart);
}

static void cut_trailing(struct buf *b, size_t from, uint8_t delimiter)
{
    while (b->size > from && b->data[b->size - 1] == delimiter)
        b->data[--b->size] = 0;
}

static void fold_person(struct buf *out, const struct person *person)
{
    size_t before = out->size;
    for (unsigned i = 0; i < GROUPS; i++) {
        if (i > 0)
            buf_byte(out, '=');
        size_t group = out->size;
        for (unsigned j = 0; j < COMPONENTS; j++) {
            if (j > 0)
                buf_byte(out, '^');
            fold_component(out, person->component[i][j]);
        }
        cut_trailing(out, group, '^');
    }
    cut_trailing(out, before, '=');
    out->failed |= person->text.failed;
}

void person_fold(struct buf *out, const char *pn)
{
    struct person person;
    person_parse(&person, pn);
    fold_person(out, &person);
    buf_release(&person.text);
}

/* ---- comparing ---- */

/* Parses `pn`, empties groups that are placeholders, and parses again what folding made of it. */
static void person_folded(struct person *folded, const char *pn)
{
    struct person person;
    struct buf key;
    buf_init(&key);
    person_parse(&person, pn);
    for (unsigned i = 0; i < GROUPS; i++)
        for (unsigned j = 0; j < COMPONENTS && person.placeholder[i]; j++)
            person.component[i][j] = "";
    fold_person(&key, &person);
    person_parse(folded, buf_string(&key));
    folded->text.failed |= key.failed;
    buf_release(&person.text);
    buf_release(&key);
}

static bool has_group(const struct person *person, unsigned index)
{
    for (unsigned i = 0; i < NAMED; i++)
        if (*person->component[index][i])
            return true;
    return false;
}

static bool same_together(const char *const *a, const char *const *b)
{
    const char *p = a[0], *q = b[0];
    unsigned i = 0, j = 0;
    for (;;) {
        while (!*p && i + 1 < NAMED)
            p = a[++i];
        while (!*q && j + 1 < NAMED)
            q = b[++j];
        if (*p != *q || !*p)
            return *p == *q;
        p++;
        q++;
    }
}

static bool same_group(const char *const *a, const char *const *b)
{
    bool agrees = same_together(a, b), differs = false;
    for (unsigned i = agrees ? NAMED : 0; i < COMPONENTS; i++) {
        bool both = *a[i] && *b[i], same = strcmp(a[i], b[i]) == 0;
        differs |= both && !same;
        agrees |= both && same && i < NAMED;
    }
    return agrees && !differs;
}

static enum person_relation folded_compare(const struct person *a, const struct person *b)
{
    unsigned groups_a = 0, groups_b = 0, common = 0, same = 0, crossed = 0;
    for (unsigned i = 0; i < GROUPS; i++) {
        groups_a += has_group(a, i);
        groups_b += has_group(b, i);
        for (unsigned j = 0; j < GROUPS; j++) {
            if (!has_group(a, i) || !has_group(b, j))
                continue;
            bool agree = same_group(a->component[i], b->component[j]);
            common += i == j;
            same += i == j && agree;
            crossed += i != j && agree;
        }
    }
    if (groups_a == 0 || groups_b == 0)
        return PERSON_UNKNOWN;
    return (common > 0 && same == common) || crossed > 0 ? PERSON_SAME : PERSON_DIFFERENT;
}

enum person_relation person_compare(const char *a, const char *b)
{
    struct person folded_a, folded_b;
    person_folded(&folded_a, a);
    person_folded(&folded_b, b);
    enum person_relation relation =
        folded_a.text.failed || folded_b.text.failed ? PERSON_UNKNOWN : folded_compare(&folded_a, &folded_b);
    buf_release(&folded_a.text);
    buf_release(&folded_b.text);
    return relation;
}

/* ---- nobody ---- */

static bool listed(const char *text, size_t size, const char *const *more)
{
    struct buf trimmed, key, other;
    bool found = false;
    buf_init(&trimmed);
    buf_init(&key);
    buf_init(&other);
    buf_append(&trimmed, text, size);
    name_fold(&key, buf_string(&trimmed));
    for (; *more && !found && !key.failed; more++) {
        buf_clear(&trimmed);
        buf_clear(&other);
        text = trim(*more, "^_", &size);
        buf_append(&trimmed, text, size);
        name_fold(&other, buf_string(&trimmed));
        found = !other.failed && strcmp(buf_string(&other), buf_string(&key)) == 0;
    }
    buf_release(&other);
    buf_release(&key);
    buf_release(&trimmed);
    return found;
}

bool is_placeholder(const char *utf8, const char *const *more)
{
    static const char *const nobody[] = {"0",   "UNKNOWN", "ANONYMOUS", "ANON",    "NONE",
                                         "N/A", "NULL",    "19000101",  "00010101"};
    size_t size;
    const char *text = trim(utf8, "^_", &size);
    if (size == 0)
        return true;
    for (size_t i = 0; i < COUNT(nobody); i++)
        if (strlen(nobody[i]) == size && strncasecmp(text, nobody[i], size) == 0)
            return true;
    return more && listed(text, size, more);
}
