/* What lives here: matching the lines of an INI file with a table of rows, and the ready-made value parsers. What does
 * not: splitting lines into section, key and value, which is libinih's.
 *
 * libinih tells a failing line only by its return value, reads on after it, and takes indented lines for continued
 * values. Therefore lines are handed to it one by one by next_line(), which counts them, cuts leading blanks, checks
 * section headers (libinih does not report those without keys and cuts long ones), and stops at the first error.
 */
#include "codecs/base/settings.h"
#include "codecs/base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INI_LINE_EXTRA 3 /* libinih counts CR, LF and NUL too */
#define WORD_MAX 64      /* longer words are near to nothing */

struct seen {
    const struct setting *row;
    char section[SETTINGS_SECTION_MAX + 1];
    unsigned line;
};

struct parse {
    const struct setting *rows;
    void *target;
    const char *next, *end;
    unsigned line;
    struct buf seen; /* struct seen, one for each key given (of those that may stand several times: one a row) */
    unsigned named;
    struct error failure;
};

static bool has_name(const struct setting *row)
{
    size_t size = strlen(row->section);
    return size && row->section[size - 1] == '*';
}

/* Whether `section` is the row's; `*name` is what stands for `*`. */
static bool section_matches(const struct setting *row, const char *section, const char **name)
{
    *name = "";
    if (!has_name(row))
        return strcmp(row->section, section) == 0;
    size_t prefix = strlen(row->section) - 1;
    if (strncmp(row->section, section, prefix) != 0)
        return false;
    *name = section + prefix + strspn(section + prefix, " \t");
    return **name != 0;
}

/* The nearest section (`section` NULL) or key of `section` to `word`. */
static const char *nearest_known(const struct setting *rows, const char *section, const char *word)
{
    size_t count = 0, used = 0;
    const char *name;
    while (rows[count].take)
        count++;
    const char **words = calloc(count + 1, sizeof *words);
    if (!words)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!section)
            words[used++] = rows[i].section;
        else if (section_matches(&rows[i], section, &name))
            words[used++] = rows[i].key;
    }
    const char *nearest = nearest_word(word, words);
    free(words);
    return nearest;
}

static struct error unknown_section(const struct setting *rows, const char *section)
{
    const char *near = nearest_known(rows, NULL, section);
    if (near && *near)
        return error_make(ERROR_USAGE, "unknown section [%s]; did you mean [%s]?", section, near);
    return error_make(ERROR_USAGE, "unknown section [%s]", section);
}

static struct error unknown_key(const struct setting *rows, const char *section, const char *key)
{
    const char *near = nearest_known(rows, section, key);
    if (near)
        return error_make(ERROR_USAGE, "unknown key '%s' in [%s]; did you mean '%s'?", key, section, near);
    for (const struct setting *row = rows; row->take && !*section; row++)
        if (strcmp(row->key, key) == 0)
            return error_make(ERROR_USAGE, "'%s' stands before any section; it belongs in [%s]", key, row->section);
    return error_make(ERROR_USAGE, "unknown key '%s' in [%s]", key, section);
}

/* `line` begins with '['. */
static struct error check_section(const struct parse *p, const char *line, size_t size)
{
    const char *close = memchr(line, ']', size);
    if (!close)
        return error_make(ERROR_USAGE, "a section without ']'");
    size_t length = (size_t)(close - line - 1);
    if (length > SETTINGS_SECTION_MAX)
        return error_make(ERROR_USAGE, "the name of a section is longer than %d bytes", SETTINGS_SECTION_MAX);
    char section[SETTINGS_SECTION_MAX + 1];
    memcpy(section, line + 1, length);
    section[length] = 0;
    const char *name;
    for (const struct setting *row = p->rows; row->take; row++)
        if (section_matches(row, section, &name))
            return NO_ERROR;
    return unknown_section(p->rows, section);
}

static struct error check_line(const struct parse *p, const char *line, size_t size)
{
    if (size > SETTINGS_LINE_MAX)
        return error_make(ERROR_USAGE, "a line of %zu bytes; the limit is %d", size, SETTINGS_LINE_MAX);
    if (memchr(line, 0, size))
        return error_make(ERROR_USAGE, "a zero byte; this is no text");
    return size && line[0] == '[' ? check_section(p, line, size) : NO_ERROR;
}

/* libinih's reader, like fgets. A failure of the handler for the line before also ends here. */
static char *next_line(char *out, int capacity, void *context)
{
    struct parse *p = context;
    if (p->failure.code != ERROR_NONE || p->next == p->end)
        return NULL;
    const char *line = p->next;
    const char *newline = memchr(line, '\n', (size_t)(p->end - line));
    const char *stop = newline ? newline : p->end;
    p->next = newline ? newline + 1 : p->end;
    p->line++;
    if (p->line == 1 && stop - line >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    while (line < stop && isspace((unsigned char)*line))
        line++;
    while (stop > line && isspace((unsigned char)stop[-1]))
        stop--;
    size_t size = (size_t)(stop - line);
    p->failure = check_line(p, line, size);
    if (p->failure.code == ERROR_NONE && size + 2 > (size_t)capacity)
        p->failure = error_make(ERROR_BROKEN, "libinih reads lines of %d bytes only", capacity);
    if (p->failure.code != ERROR_NONE)
        return NULL;
    memcpy(out, line, size);
    memcpy(out + size, "\n", 2);
    return out;
}

static struct error note_seen(struct parse *p, const struct setting *row, const char *section)
{
    const struct seen *seen = (const struct seen *)(const void *)p->seen.data;
    for (size_t i = 0; i < p->seen.size / sizeof *seen; i++) {
        if (seen[i].row != row || (!row->many && strcmp(seen[i].section, section) != 0))
            continue;
        return row->many ? NO_ERROR
                         : error_make(ERROR_USAGE, "'%s' was given before, in line %u", row->key, seen[i].line);
    }
    if (has_name(row) && ++p->named > SETTINGS_NAMED_MAX)
        return error_make(ERROR_USAGE, "more than %d keys in sections with a name", SETTINGS_NAMED_MAX);
    struct seen mine = {.row = row, .line = p->line};
    memcpy(mine.section, section, strlen(section));
    buf_append(&p->seen, &mine, sizeof mine);
    return buf_error(&p->seen);
}

static bool was_seen(const struct parse *p, const struct setting *row)
{
    const struct seen *seen = (const struct seen *)(const void *)p->seen.data;
    for (size_t i = 0; i < p->seen.size / sizeof *seen; i++)
        if (seen[i].row == row)
            return true;
    return false;
}

static struct error take_pair(struct parse *p, const char *section, const char *key, const char *value)
{
    const char *name;
    for (const struct setting *row = p->rows; row->take; row++) {
        if (!section_matches(row, section, &name) || strcmp(row->key, key) != 0)
            continue;
        TRY(note_seen(p, row, section));
        return error_context(row->take(p->target, row, name, value), "'%s'", key);
    }
    return unknown_key(p->rows, section, key);
}

/* libinih's handler. */
static int on_pair(void *context, const char *section, const char *key, const char *value)
{
    struct parse *p = context;
    p->failure = take_pair(p, section, key, value);
    return p->failure.code == ERROR_NONE;
}

static struct error apply_fallback(const struct setting *row, void *target)
{
    if (has_name(row) || !row->fallback || !*row->fallback)
        return NO_ERROR;
    return error_context(row->take(target, row, "", row->fallback), "default of '%s' in [%s]", row->key, row->section);
}

struct error settings_defaults(const struct setting *rows, void *target)
{
    for (const struct setting *row = rows; row->take; row++)
        TRY(apply_fallback(row, target));
    return NO_ERROR;
}

/* Debian's libinih takes its options from variables; lines are limited to 200 bytes at first. */
static void set_libinih(void)
{
    ini_max_line = SETTINGS_LINE_MAX + INI_LINE_EXTRA;
    ini_stop_on_first_error = true;
}

struct error settings_parse(const char *source, const void *text, size_t size, const struct setting *rows, void *target)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_libinih);
    struct parse p = {.rows = rows, .target = target, .next = text, .failure = NO_ERROR};
    struct error err;
    buf_init(&p.seen);
    p.end = size ? p.next + size : p.next;
    if (size > SETTINGS_FILE_MAX)
        return error_make(ERROR_USAGE, "%s: longer than %d bytes", source, SETTINGS_FILE_MAX);
    for (const struct setting *row = rows; row->take; row++)
        if (!row->many)
            CHECK(apply_fallback(row, target));
    int bad_line = ini_parse_stream(next_line, &p, on_pair, &p);
    if (bad_line > 0 && (p.failure.code == ERROR_NONE || (unsigned)bad_line < p.line)) {
        error_release(&p.failure);
        CHECK(error_make(ERROR_USAGE, "%s:%d: neither [section] nor key = value", source, bad_line));
    }
    err = error_context(p.failure, "%s:%u", source, p.line);
    CHECK(err);
    for (const struct setting *row = rows; row->take; row++)
        if (row->many && !was_seen(&p, row))
            CHECK(apply_fallback(row, target));
out:
    buf_release(&p.seen);
    return err;
}

struct error settings_read(const char *path, const struct setting *rows, void *target)
{
    struct error err;
    struct buf text;
    buf_init(&text);
    FILE *file = fopen(path, "re");
    if (!file)
        return error_system(errno, "%s", path);
    uint8_t *to = buf_reserve(&text, SETTINGS_FILE_MAX + 1);
    CHECK(buf_error(&text));
    errno = 0;
    size_t size = fread(to, 1, SETTINGS_FILE_MAX + 1, file);
    if (ferror(file))
        CHECK(error_system(errno, "%s: cannot read", path));
    CHECK(settings_parse(path, to, size, rows, target));
out:
    fclose(file);
    buf_release(&text);
    return err;
}

static void *member(void *target, const struct setting *row)
{
    return (char *)target + row->offset;
}

static bool is_bounded(const struct setting *row)
{
    return row->minimum || row->maximum;
}

static bool out_of_bounds(const struct setting *row, int64_t value)
{
    return is_bounded(row) && (value < row->minimum || value > row->maximum);
}

struct error settings_take_number(void *target, const struct setting *row, const char *name, const char *value)
{
    static const char suffixes[] = "KMG";
    (void)name;
    char *rest;
    errno = 0;
    long long number = strtoll(value, &rest, 10);
    bool overflow = errno == ERANGE;
    if (rest == value)
        return error_make(ERROR_USAGE, "\"%s\" is no whole number", value);
    rest += strspn(rest, " ");
    const char *suffix = *rest ? strchr(suffixes, toupper((unsigned char)*rest)) : NULL;
    if (*rest && (!suffix || rest[1]))
        return error_make(ERROR_USAGE, "\"%s\" is no whole number (it may end in K, M or G)", value);
    for (const char *s = suffixes; suffix && s <= suffix; s++)
        overflow |= __builtin_mul_overflow(number, 1024LL, &number);
    if (overflow || out_of_bounds(row, number))
        return is_bounded(row) ? error_make(ERROR_USAGE, "\"%s\" is not between %lld and %lld", value,
                                            (long long)row->minimum, (long long)row->maximum)
                               : error_make(ERROR_USAGE, "\"%s\" is too large", value);
    *(int64_t *)member(target, row) = number;
    return NO_ERROR;
}

struct error settings_take_bool(void *target, const struct setting *row, const char *name, const char *value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"yes", true}, {"no", false},  {"true", true}, {"false", false},
                 {"on", true},  {"off", false}, {"1", true},    {"0", false}};
    (void)name;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(value, words[i].word) == 0) {
            *(bool *)member(target, row) = words[i].value;
            return NO_ERROR;
        }
    }
    return error_make(ERROR_USAGE, "\"%s\" is neither yes nor no", value);
}

static const struct {
    const char *unit;
    int64_t ms;
} durations[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};

/* Decimal digits by hand: strtod would follow the locale. */
static bool parse_duration(const char *value, int64_t *ms)
{
    double number = 0, scale = 1;
    const char *at = value;
    bool point = false;
    for (; (*at >= '0' && *at <= '9') || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        number = number * 10 + (*at - '0');
        scale *= point ? 10 : 1;
    }
    if (at == value || (point && at == value + 1))
        return false;
    at += strspn(at, " ");
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        if (strcmp(at, durations[i].unit) != 0)
            continue;
        double product = number / scale * (double)durations[i].ms;
        if (!(product <= 9e15))
            return false;
        *ms = (int64_t)(product + 0.5);
        return true;
    }
    return false;
}

/* The largest unit that gives a whole number. */
static const char *duration_text(int64_t ms, char *out, size_t size)
{
    for (size_t i = sizeof durations / sizeof *durations - 1; i > 0; i--) {
        if (ms && ms % durations[i].ms == 0) {
            snprintf(out, size, "%lld %s", (long long)(ms / durations[i].ms), durations[i].unit);
            return out;
        }
    }
    snprintf(out, size, "0 s");
    return out;
}

struct error settings_take_duration(void *target, const struct setting *row, const char *name, const char *value)
{
    (void)name;
    int64_t ms;
    char low[32], high[32];
    if (!parse_duration(value, &ms))
        return error_make(ERROR_USAGE, "\"%s\" is no duration (like 90, 1.5 s, 200 ms, 5 min, 2 h, 7 d)", value);
    if (out_of_bounds(row, ms))
        return error_make(ERROR_USAGE, "\"%s\" is not between %s and %s", value,
                          duration_text(row->minimum, low, sizeof low), duration_text(row->maximum, high, sizeof high));
    *(int64_t *)member(target, row) = ms;
    return NO_ERROR;
}

struct error settings_take_text(void *target, const struct setting *row, const char *name, const char *value)
{
    (void)name;
    char *copy = strdup(value);
    if (!copy)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    char **text = member(target, row);
    free(*text);
    *text = copy;
    return NO_ERROR;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, substitutions and swaps of neighbours, case ignored (optimal string alignment). */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_size];
}

const char *nearest_word(const char *word, const char *const *words)
{
    size_t size = strnlen(word, WORD_MAX + 1);
    unsigned limit = (unsigned)(size + 2) / 3;
    const char *nearest = NULL;
    if (size > WORD_MAX)
        return NULL;
    for (; *words; words++) {
        size_t other = strnlen(*words, WORD_MAX + 1);
        if (other > WORD_MAX || !other)
            continue;
        unsigned distance = edit_distance(word, size, *words, other);
        /* Less than the whole word: else every one-letter command would be near to every other. */
        if (distance <= limit && distance < size && distance < other) {
            nearest = *words;
            limit = distance ? distance - 1 : 0;
            if (!distance)
                break;
        }
    }
    return nearest;
}
