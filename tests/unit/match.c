/* Matching of one attribute with one key, PS3.4 C.2.2.2. */
#include "check.h"

#include "index/query/match.h"

static bool matches(const char *vr, const char *key, const char *value)
{
    struct match *match;
    struct error err = match_new(&match, vr, key);
    EXPECT_OK(err);
    if (!match)
        return false;
    bool result = match_value(match, value);
    match_free(match);
    return result;
}

static enum match_kind kind_of(const char *vr, const char *key)
{
    struct match *match;
    EXPECT_OK(match_new(&match, vr, key));
    enum match_kind kind = match ? match_kind(match) : MATCH_UNIVERSAL;
    match_free(match);
    return kind;
}

/* C.2.2.2.1: the whole value, its case included; blanks at the ends are padding (PS3.5 6.2). */
static void match_single_value(void)
{
    EXPECT(matches("LO", "4711", "4711"));
    EXPECT(matches("LO", " 4711 ", "4711 "));
    EXPECT(!matches("LO", "4711", "47110"));
    EXPECT(!matches("LO", "47110", "4711"));
    EXPECT(!matches("SH", "ct", "CT"));
    EXPECT(!matches("LO", "4711", ""));
    EXPECT(!matches("LO", "4711", NULL));
    EXPECT(matches("CS", "MR", "CT\\MR"));
    EXPECT(!matches("CS", "M", "CT\\MR"));
    EXPECT(matches("CS", "ORIGINAL\\PRIMARY", "ORIGINAL\\PRIMARY"));
}

static void match_numbers_are_compared_as_numbers(void)
{
    EXPECT(matches("IS", "7", "007"));
    EXPECT(matches("DS", "1.0", "1"));
    EXPECT(!matches("IS", "7", "70"));
    EXPECT(!matches("IS", "7", "x"));
    struct match *match;
    EXPECT_ERROR(match_new(&match, "IS", "seven"), ERROR_USAGE);
    EXPECT(match == NULL);
}

/* C.2.2.2.2 */
static void match_uid_list(void)
{
    EXPECT(matches("UI", "1.2.3\\1.2.4", "1.2.4"));
    EXPECT(matches("UI", "1.2.3", "1.2.3"));
    EXPECT(!matches("UI", "1.2.3\\1.2.4", "1.2"));
    EXPECT(!matches("UI", "1.2.3", "1.2.33"));
    EXPECT(!matches("UI", "1.2.*", "1.2.3"));
    EXPECT(matches("UI", "\\1.2.4", "1.2.4"));
}

/* C.2.2.2.3: what has no value matches too. */
static void match_universal(void)
{
    EXPECT(matches("LO", "", ""));
    EXPECT(matches("DA", "", "20240101"));
    EXPECT(matches("LO", "*", NULL));
    EXPECT(matches("PN", "**", ""));
    EXPECT(kind_of("UI", "") == MATCH_UNIVERSAL);
}

/* C.2.2.2.4 */
static void match_wildcards(void)
{
    EXPECT(matches("LO", "A*C", "ABBC"));
    EXPECT(matches("LO", "A*C", "AC"));
    EXPECT(!matches("LO", "A*C", "ACB"));
    EXPECT(matches("LO", "?B", "AB"));
    EXPECT(!matches("LO", "?B", "B"));
    EXPECT(matches("LO", "*B*D", "ABCBD"));
    EXPECT(!matches("LO", "a*", "ABC"));
    EXPECT(!matches("LO", "A*", ""));
    EXPECT(matches("LO", "?", "\xC3\xA4")); /* one character of two bytes */
    EXPECT(!matches("LO", "??", "\xC3\xA4"));
}

/* C.2.2.2.4: not for dates, times, UIDs, numbers. */
static void match_wildcards_only_in_text(void)
{
    struct match *match;
    EXPECT_ERROR(match_new(&match, "DA", "2024*"), ERROR_USAGE);
    EXPECT_ERROR(match_new(&match, "IS", "1?"), ERROR_USAGE);
    EXPECT(kind_of("AS", "0??Y") == MATCH_SINGLE);
}

/* A key that makes a backtracking matcher run for years. */
static void match_wildcards_many_stars(void)
{
    char key[512], value[4096];
    for (size_t i = 0; i < 500; i++)
        key[i] = i % 2 ? '*' : 'a';
    key[500] = 'b';
    key[501] = 0;
    memset(value, 'a', sizeof value - 1);
    value[sizeof value - 1] = 0;
    EXPECT(!matches("LT", key, value));
    value[sizeof value - 2] = 'b';
    EXPECT(matches("LT", key, value));
}

/* C.2.2.2.5.1: both bounds belong to the range. */
static void match_date_ranges(void)
{
    EXPECT(matches("DA", "20240101-20241231", "20240101"));
    EXPECT(matches("DA", "20240101-20241231", "20241231"));
    EXPECT(!matches("DA", "20240101-20241231", "20250101"));
    EXPECT(!matches("DA", "20240101-20241231", "20231231"));
    EXPECT(matches("DA", "20240101-", "20991231"));
    EXPECT(!matches("DA", "20240102-", "20240101"));
    EXPECT(matches("DA", "-20240101", "19700101"));
    EXPECT(!matches("DA", "-20240101", "20240102"));
    EXPECT(!matches("DA", "20240101-", ""));
    EXPECT(!matches("DA", "20240101-", "yesterday"));
    EXPECT(matches("DA", "20240305", "20240305"));
    EXPECT(matches("DA", "20240305", "2024.03.05")); /* PS3.5 6.2, the older form */
}

/* C.2.2.2.5.2: a bound of less precision includes all that it stands for. */
static void match_time_ranges(void)
{
    EXPECT(matches("TM", "10-11", "113000"));
    EXPECT(matches("TM", "1000-1030", "103059.999999"));
    EXPECT(!matches("TM", "1000-1030", "103100"));
    EXPECT(!matches("TM", "1000-", "095959.9"));
    EXPECT(matches("TM", "1030", "103000.000"));
    EXPECT(matches("TM", "1030", "10:30:00"));
    EXPECT(!matches("TM", "1030", "103001"));
}

/* C.2.2.2.5.3: a hyphen may begin an offset from UTC. */
static void match_datetime_ranges(void)
{
    EXPECT(matches("DT", "20240101-20240131", "20240115101500.5"));
    EXPECT(!matches("DT", "20240101-20240131", "20240201000000"));
    EXPECT(matches("DT", "20240101120000+0100", "20240101110000+0000"));
    EXPECT(matches("DT", "20240101120000-0500-", "20240101170000+0000"));
    EXPECT(!matches("DT", "20240101120000-0500-", "20240101165959+0000"));
}

static void match_moments_that_are_none(void)
{
    static const char *const keys[] = {"2024",       "20241301", "20240132", "2024-0a-01", "-",
                                       "20240101-x", "x-",       "20240100", "202401011"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct match *match;
        EXPECT_ERROR(match_new(&match, "DA", keys[i]), ERROR_USAGE);
    }
    struct match *match;
    EXPECT_ERROR(match_new(&match, "TM", "2500"), ERROR_USAGE);
    EXPECT_ERROR(match_new(&match, "TM", "1.5"), ERROR_USAGE);
}

/* C.2.2.2.1 and C.2.2.2.4 for PN: neither case nor accents count. */
static void match_person_names(void)
{
    EXPECT(matches("PN", "doe^john", "DOE^John"));
    EXPECT(matches("PN", "doe^john", "Doe^John^^^"));
    EXPECT(matches("PN", "DOE*", "Doe^John"));
    EXPECT(!matches("PN", "DOE", "Doe^John"));
    EXPECT(matches("PN", "muller*", "M\xC3\xBCller^J\xC3\xBCrgen"));
    EXPECT(matches("PN", "M\xC3\xBCLLER^J*", "MULLER^JURGEN"));
    EXPECT(matches("PN", "Mu\xCC\x88ller", "M\xC3\xBCller"));
    EXPECT(matches("PN", "Doe ^ John", "Doe^John"));
    EXPECT(!matches("PN", "DOE*", ""));
}

/* PS3.5 6.2.1.1: alphabetic, ideographic and phonetic group. */
static void match_person_groups(void)
{
    const char *name = "Yamada^Tarou=\xE5\xB1\xB1\xE7\x94\xB0^\xE5\xA4\xAA\xE9\x83\x8E="
                       "\xE3\x82\x84\xE3\x81\xBE\xE3\x81\xA0^\xE3\x81\x9F\xE3\x82\x8D\xE3\x81\x86";
    EXPECT(matches("PN", "yamada*", name));
    EXPECT(matches("PN", "\xE5\xB1\xB1\xE7\x94\xB0*", name));
    EXPECT(matches("PN", "=\xE5\xB1\xB1\xE7\x94\xB0*", name));
    EXPECT(!matches("PN", "\xE5\xB1\xB1\xE7\x94\xB0*=*", name));
    EXPECT(matches("PN", "\xE3\x82\x84\xE3\x81\xBE\xE3\x81\xA0*", name));
    /* ta and da are two letters, not one with an accent */
    EXPECT(!matches("PN", "\xE3\x82\x84\xE3\x81\xBE\xE3\x81\x9F*", name));
}

static void match_invalid_utf8_is_only_bytes(void)
{
    EXPECT(matches("PN", "DO\xFF*", "do\xFFX"));
    EXPECT(!matches("PN", "DOE*", "do\xFF"));
    EXPECT(matches("LO", "a\xFF?",
                   "a\xFF"
                   "b"));
}

static void match_what_an_index_can_use(void)
{
    struct match *match;
    char low[9], high[9];
    EXPECT_OK(match_new(&match, "DA", "20240101-"));
    match_dates(match, low, high);
    EXPECT_TEXT(low, "20240101");
    EXPECT_TEXT(high, "");
    match_free(match);
    EXPECT_OK(match_new(&match, "DA", "20240305"));
    match_dates(match, low, high);
    EXPECT_TEXT(low, "20240305");
    EXPECT_TEXT(high, "20240305");
    match_free(match);
    EXPECT_OK(match_new(&match, "PN", " Doe^J*n "));
    EXPECT_TEXT(match_prefix(match), "Doe^J");
    EXPECT_TEXT(match_text(match), "Doe^J*n");
    match_free(match);
}

static void match_key_too_long_is_refused(void)
{
    static char key[MATCH_KEY_MAX + 2];
    memset(key, 'a', MATCH_KEY_MAX + 1);
    struct match *match;
    EXPECT_ERROR(match_new(&match, "LO", key), ERROR_USAGE);
}

int main(void)
{
    RUN(match_single_value);
    RUN(match_numbers_are_compared_as_numbers);
    RUN(match_uid_list);
    RUN(match_universal);
    RUN(match_wildcards);
    RUN(match_wildcards_only_in_text);
    RUN(match_wildcards_many_stars);
    RUN(match_date_ranges);
    RUN(match_time_ranges);
    RUN(match_datetime_ranges);
    RUN(match_moments_that_are_none);
    RUN(match_person_names);
    RUN(match_person_groups);
    RUN(match_invalid_utf8_is_only_bytes);
    RUN(match_what_an_index_can_use);
    RUN(match_key_too_long_is_refused);
    return check_done();
}
