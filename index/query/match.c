/* What lives here: keys and values, one at a time. What does not: which attributes there are and where they stand
 * (find.c).
 *
 * A key becomes one of five kinds by its VR (a row of `vrs`) and its text. Dates and times become numbers: a text of
 * any precision is an interval [low, high] of microseconds (TM, DT) or days written as YYYYMMDD (DA), a range takes the
 * low of its first and the high of its second, and a value matches when its own low lies between. Wild cards are
 * walked with one position to come back to, the last `*`: a later star makes earlier choices irrelevant, so nothing is
 * ever tried twice for the same star and position.
 */
#include "index/query/match.h"

#include "codecs/base/buf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum sort { SORT_TEXT, SORT_PERSON, SORT_UID, SORT_MOMENT, SORT_NUMBER, SORT_EXACT };

static const struct {
    char vr[3];
    enum sort sort;
} vrs[] = {
    {"PN", SORT_PERSON}, {"UI", SORT_UID},    {"DA", SORT_MOMENT}, {"TM", SORT_MOMENT}, {"DT", SORT_MOMENT},
    {"IS", SORT_NUMBER}, {"DS", SORT_NUMBER}, {"US", SORT_NUMBER}, {"SS", SORT_NUMBER}, {"UL", SORT_NUMBER},
    {"SL", SORT_NUMBER}, {"UV", SORT_NUMBER}, {"SV", SORT_NUMBER}, {"FL", SORT_NUMBER}, {"FD", SORT_NUMBER},
    {"AS", SORT_EXACT},  {"AT", SORT_EXACT},
};

struct match {
    enum match_kind kind;
    enum sort sort;
    char vr[3];
    char *text;   /* trimmed */
    char *folded; /* PN: the key as compared; else the text */
    char *prefix; /* before the first wild card */
    bool whole;   /* the key has several values itself: all of them are compared as one text */
    double number;
    int64_t low, high; /* MATCH_RANGE, and single moments */
    bool low_open, high_open;
};

static enum sort sort_of(const char *vr)
{
    for (size_t i = 0; i < sizeof vrs / sizeof *vrs; i++)
        if (memcmp(vrs[i].vr, vr, 2) == 0)
            return vrs[i].sort;
    return SORT_TEXT;
}

/* ---- moments ----------------------------------------------------------------------------------------------------- */

/* Reads up to `digits` digits as a number; what is missing yields `otherwise`. False for anything but digits. */
static bool field(const char **at, const char *end, int digits, int otherwise, int *out)
{
    *out = otherwise;
    if (*at == end)
        return true;
    if (end - *at < digits)
        return false;
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)**at))
            return false;
        value = value * 10 + (*(*at)++ - '0');
    }
    *out = value;
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* HHMMSS.FFFFFF of any precision (PS3.5 6.2, TM) as microseconds of the day. */
static bool clock_of(const char *at, const char *end, int64_t *low, int64_t *high)
{
    int hour[2], minute[2], second[2];
    for (int i = 0; i < 2; i++) {
        const char *p = at;
        const char *dot = memchr(at, '.', (size_t)(end - at));
        const char *stop = dot ? dot : end;
        if (!field(&p, stop, 2, i ? 23 : 0, &hour[i]) || !field(&p, stop, 2, i ? 59 : 0, &minute[i]) ||
            !field(&p, stop, 2, i ? 59 : 0, &second[i]) || p != stop)
            return false;
        if (hour[i] > 23 || minute[i] > 59 || second[i] > 60 || (dot && stop - at != 6))
            return false;
        int64_t fraction = 0;
        int digits = 0;
        for (p = dot ? dot + 1 : end; p < end; p++, digits++) {
            if (!isdigit((unsigned char)*p) || digits == 6)
                return false;
            fraction = fraction * 10 + (*p - '0');
        }
        for (; digits < 6; digits++)
            fraction = fraction * 10 + (i ? 9 : 0);
        *(i ? high : low) = ((hour[i] * INT64_C(60) + minute[i]) * 60 + second[i]) * 1000000 + fraction;
    }
    return true;
}

static bool date_of(const char *at, const char *end, int fewest, int64_t *low, int64_t *high)
{
    int year, month, day, last_month, last_day;
    const char *p = at;
    if (end - at < fewest || !field(&p, end, 4, 0, &year) || !field(&p, end, 2, 0, &month) ||
        !field(&p, end, 2, 0, &day) || p != end || month > 12 || day > 31)
        return false;
    last_month = end - at >= 6 ? month : 12;
    last_day = end - at >= 8 ? day : 31;
    if ((end - at >= 6 && month == 0) || (end - at >= 8 && day == 0))
        return false;
    *low = year * 10000 + (month ? month : 1) * 100 + (day ? day : 1);
    *high = year * 10000 + last_month * 100 + last_day;
    return true;
}

/* Microseconds since 1970; an offset from UTC is taken off, without one the moment counts as it stands. */
static bool datetime_of(const char *at, const char *end, int64_t *low, int64_t *high)
{
    int64_t shift = 0, days[2], clock[2] = {0, INT64_C(86400000000) - 1};
    if (end - at >= 9 && (end[-5] == '+' || end[-5] == '-')) {
        int hours, minutes;
        const char *p = end - 4;
        if (!field(&p, end, 2, 0, &hours) || !field(&p, end, 2, 0, &minutes))
            return false;
        shift = (hours * INT64_C(60) + minutes) * 60000000 * (end[-5] == '-' ? 1 : -1);
        end -= 5;
    }
    const char *date_end = end - at > 8 ? at + 8 : end;
    if (!date_of(at, date_end, 4, &days[0], &days[1]) ||
        (date_end < end && !clock_of(date_end, end, &clock[0], &clock[1])))
        return false;
    for (int i = 0; i < 2; i++) {
        int day = (int)(days[i] % 100), month = (int)(days[i] / 100 % 100), year = (int)(days[i] / 10000);
        *(i ? high : low) = days_of(year, month, day) * INT64_C(86400000000) + clock[i] + shift;
    }
    return true;
}

/* The interval of a DA, TM or DT; the punctuation of the ACR-NEMA forms YYYY.MM.DD and HH:MM:SS is passed over. */
static bool moment_of(const char *vr, const char *text, size_t size, int64_t *low, int64_t *high)
{
    char plain[32];
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ':' || text[i] == ' ' || (vr[0] == 'D' && vr[1] == 'A' && text[i] == '.'))
            continue;
        if (n == sizeof plain)
            return false;
        plain[n++] = text[i];
    }
    if (n == 0)
        return false;
    if (vr[1] == 'A')
        return date_of(plain, plain + n, 8, low, high);
    return vr[1] == 'M' ? clock_of(plain, plain + n, low, high) : datetime_of(plain, plain + n, low, high);
}

/* The hyphen of a range. In a DT one before four digits up to 1400 at the end of a bound is an offset from UTC. */
static const char *range_hyphen(const char *vr, const char *text)
{
    for (const char *p = strchr(text, '-'); p; p = strchr(p + 1, '-')) {
        size_t digits = strspn(p + 1, "0123456789");
        bool offset =
            vr[1] == 'T' && p != text && digits == 4 && strtol(p + 1, NULL, 10) <= 1400 && (!p[5] || p[5] == '-');
        if (!offset)
            return p;
    }
    return NULL;
}

static struct error take_moment(struct match *m)
{
    int64_t unused;
    const char *hyphen = range_hyphen(m->vr, m->text);
    if (!hyphen) {
        m->kind = MATCH_SINGLE;
        if (!moment_of(m->vr, m->text, strlen(m->text), &m->low, &m->high))
            return error_make(ERROR_USAGE, "\"%s\" is no %s", m->text, m->vr[1] == 'M' ? "time" : "date");
        return NO_ERROR;
    }
    m->kind = MATCH_RANGE;
    m->low_open = hyphen == m->text;
    m->high_open = hyphen[1] == 0;
    if ((m->low_open && m->high_open) ||
        (!m->low_open && !moment_of(m->vr, m->text, (size_t)(hyphen - m->text), &m->low, &unused)) ||
        (!m->high_open && !moment_of(m->vr, hyphen + 1, strlen(hyphen + 1), &unused, &m->high)))
        return error_make(ERROR_USAGE, "\"%s\" is no range of %s: A-B, A- or -B", m->text,
                          m->vr[1] == 'M' ? "times (HHMMSS)" : "dates (YYYYMMDD)");
    return NO_ERROR;
}

static bool moment_matches(const struct match *m, const char *value, size_t size)
{
    int64_t low, high;
    if (!moment_of(m->vr, value, size, &low, &high))
        return false;
    if (m->kind == MATCH_SINGLE)
        return low == m->low;
    return (m->low_open || low >= m->low) && (m->high_open || low <= m->high);
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static const char *next_character(const char *p, const char *end)
{
    p++;
    while (p < end && ((unsigned char)*p & 0xC0) == 0x80)
        p++;
    return p;
}

static bool wildcard_matches(const char *pattern, const char *text, const char *end)
{
    const char *star = NULL, *back = NULL;
    while (text < end) {
        if (*pattern == '*') {
            star = ++pattern;
            back = text;
        } else if (*pattern == '?') {
            pattern++;
            text = next_character(text, end);
        } else if (*pattern && *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = back = next_character(back, end);
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

/* Case folded, without accents: decomposed, marks dropped, but not the voicing marks of kana, which make another
 * letter. What is no UTF-8 is kept with ASCII folded. */
static char *fold(const char *text, size_t size)
{
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_COMPAT;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t count = utf8proc_decompose(bytes, (utf8proc_ssize_t)size, NULL, 0, options);
    if (count < 0) {
        char *copy = strndup(text, size);
        for (char *p = copy; p && *p; p++)
            *p = (char)tolower((unsigned char)*p);
        return copy;
    }
    utf8proc_int32_t *points = calloc((size_t)count + 1, sizeof *points);
    if (!points || utf8proc_decompose(bytes, (utf8proc_ssize_t)size, points, count, options) != count) {
        free(points);
        return NULL;
    }
    utf8proc_ssize_t kept = 0;
    for (utf8proc_ssize_t i = 0; i < count; i++)
        if (utf8proc_category(points[i]) != UTF8PROC_CATEGORY_MN || points[i] == 0x3099 || points[i] == 0x309A)
            points[kept++] = points[i];
    kept = utf8proc_reencode(points, kept, UTF8PROC_STABLE | UTF8PROC_COMPOSE); /* in place; ends with a NUL */
    if (kept < 0) {
        free(points);
        return NULL;
    }
    return (char *)points;
}

/* Blanks around each component and delimiters at the end of a group do not count (PS3.5 6.2.1.1). In place. */
static void tidy_person(char *text)
{
    char *to = text;
    for (char *p = text; *p; p++) {
        if (*p == ' ' && (to == text || to[-1] == '^' || to[-1] == '='))
            continue;
        if (*p == '^' || *p == '=')
            while (to > text && to[-1] == ' ')
                to--;
        if (*p == '=')
            while (to > text && to[-1] == '^')
                to--;
        *to++ = *p;
    }
    while (to > text && (to[-1] == ' ' || to[-1] == '^' || to[-1] == '='))
        to--;
    *to = 0;
}

static char *fold_person(const char *text, size_t size)
{
    char *folded = fold(text, size);
    if (folded)
        tidy_person(folded);
    return folded;
}

/* Group by group where the key has several; a key of one group may match any. Both are folded; `value` is cut up. */
static bool person_matches(const char *key, char *value)
{
    if (!strchr(key, '=')) {
        for (char *group = strtok_r(value, "=", &value); group; group = strtok_r(NULL, "=", &value))
            if (wildcard_matches(key, group, group + strlen(group)))
                return true;
        return false;
    }
    char *copy = strdup(key), *rest = copy;
    bool matches = copy != NULL;
    while (matches && rest) {
        const char *group = strsep(&rest, "="), *of_value = value ? strsep(&value, "=") : "";
        matches = !*group || wildcard_matches(group, of_value, of_value + strlen(of_value));
    }
    free(copy);
    return matches;
}

static bool number_of(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0;
}

static bool folded_matches(const struct match *m, const char *value, size_t size)
{
    char *folded = fold_person(value, size);
    bool matches = folded && person_matches(m->folded, folded);
    free(folded);
    return matches;
}

static bool number_matches(const struct match *m, const char *value, size_t size)
{
    char text[64];
    double number;
    snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text - 1), value);
    return number_of(text, &number) && number == m->number;
}

static bool one_matches(const struct match *m, const char *value, size_t size)
{
    while (size && (value[size - 1] == ' ' || value[size - 1] == 0))
        size--;
    while (size && *value == ' ') {
        value++;
        size--;
    }
    if (!size)
        return false;
    return m->sort == SORT_MOMENT      ? moment_matches(m, value, size)
           : m->sort == SORT_PERSON    ? folded_matches(m, value, size)
           : m->sort == SORT_NUMBER    ? number_matches(m, value, size)
           : m->kind == MATCH_WILDCARD ? wildcard_matches(m->text, value, value + size)
                                       : strlen(m->text) == size && memcmp(m->text, value, size) == 0;
}

static bool uid_matches(const struct match *m, const char *value, size_t size)
{
    while (size && (value[size - 1] == ' ' || value[size - 1] == 0))
        size--;
    for (const char *p = m->text; size && *p;) {
        size_t n = strcspn(p, "\\");
        if (n == size && memcmp(p, value, n) == 0)
            return true;
        p += n + (p[n] == '\\');
    }
    return false;
}

/* ---- the key ----------------------------------------------------------------------------------------------------- */

static char *trimmed(const char *text)
{
    text += strspn(text, " ");
    size_t size = strlen(text);
    while (size && text[size - 1] == ' ')
        size--;
    return strndup(text, size);
}

static struct error take_text(struct match *m)
{
    if (m->sort == SORT_NUMBER && !number_of(m->text, &m->number))
        return error_make(ERROR_USAGE, "\"%s\" is no number", m->text);
    if (m->sort == SORT_UID) {
        m->kind = MATCH_UID_LIST;
        return NO_ERROR;
    }
    m->whole = strchr(m->text, '\\') != NULL;
    bool wild = (m->sort == SORT_TEXT || m->sort == SORT_PERSON) && strpbrk(m->text, "*?");
    m->kind = wild ? MATCH_WILDCARD : MATCH_SINGLE;
    if (wild)
        m->prefix[strcspn(m->prefix, "*?")] = 0;
    if (m->sort == SORT_PERSON && !(m->folded = fold_person(m->text, strlen(m->text))))
        return error_make(ERROR_NO_MEMORY, "no memory for a key");
    return NO_ERROR;
}

struct error match_new(struct match **match, const char *vr, const char *key)
{
    struct error err = NO_ERROR;
    struct match *m = NULL;
    if (strlen(key) > MATCH_KEY_MAX)
        return error_make(ERROR_USAGE, "a key of %zu bytes; at most %d are taken", strlen(key), MATCH_KEY_MAX);
    m = calloc(1, sizeof *m);
    if (!m || !(m->text = trimmed(key)) || !(m->prefix = strdup(m->text))) {
        err = error_make(ERROR_NO_MEMORY, "no memory for a key");
        goto out;
    }
    snprintf(m->vr, sizeof m->vr, "%.2s", vr);
    m->sort = sort_of(m->vr);
    if (!*m->text || strspn(m->text, "*") == strlen(m->text))
        m->kind = MATCH_UNIVERSAL;
    else if (m->sort == SORT_MOMENT)
        CHECK(take_moment(m));
    else
        CHECK(take_text(m));
out:
    if (err.code != ERROR_NONE) {
        match_free(m);
        m = NULL;
    }
    *match = m;
    return err;
}

void match_free(struct match *m)
{
    if (!m)
        return;
    free(m->folded);
    free(m->prefix);
    free(m->text);
    free(m);
}

enum match_kind match_kind(const struct match *m)
{
    return m->kind;
}

bool match_value(const struct match *m, const char *values)
{
    if (m->kind == MATCH_UNIVERSAL)
        return true;
    for (const char *p = values ? values : ""; *p;) {
        size_t n = m->whole ? strlen(p) : strcspn(p, "\\");
        if (m->kind == MATCH_UID_LIST ? uid_matches(m, p, n) : one_matches(m, p, n))
            return true;
        p += n + (p[n] == '\\');
    }
    return false;
}

const char *match_text(const struct match *m)
{
    return m->text;
}

const char *match_prefix(const struct match *m)
{
    return m->prefix;
}

void match_dates(const struct match *m, char low[9], char high[9])
{
    low[0] = high[0] = 0;
    if (m->sort != SORT_MOMENT || m->vr[1] != 'A')
        return;
    if (!m->low_open)
        snprintf(low, 9, "%08u", (unsigned)(m->low % 100000000));
    if (!m->high_open)
        snprintf(high, 9, "%08u", (unsigned)((m->kind == MATCH_RANGE ? m->high : m->low) % 100000000));
}
