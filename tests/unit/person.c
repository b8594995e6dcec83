/* Person names: what is shown, what is the same person, and what is nobody. */
#include "codecs/dicom/names.h"

#include "check.h"

static const char *display(const char *pn)
{
    static struct buf b;
    buf_release(&b);
    buf_text(&b, "");
    if (pn)
        person_display(&b, pn);
    return buf_string(&b);
}

static const char *folded(const char *pn)
{
    static struct buf b;
    buf_release(&b);
    buf_text(&b, "");
    if (pn)
        person_fold(&b, pn);
    return buf_string(&b);
}

/* Names the pair that fails; the relation never depends on the order. */
#define EXPECT_RELATION(rows, relation)                                                                                \
    for (size_t row = 0; row < sizeof(rows) / sizeof *(rows); row++) {                                                 \
        EXPECT(person_compare((rows)[row][0], (rows)[row][1]) == (relation));                                          \
        EXPECT(person_compare((rows)[row][1], (rows)[row][0]) == (relation));                                          \
        if (person_compare((rows)[row][0], (rows)[row][1]) != (relation))                                              \
            fprintf(stderr, "  of %s and %s\n", (rows)[row][0], (rows)[row][1]);                                       \
    }

static void person_display_groups(void)
{
    EXPECT_TEXT(display("Doe^John"), "Doe_John");
    EXPECT_TEXT(display("Doe^John^Adam^Dr.^Jr."), "Doe_John_Adam");
    EXPECT_TEXT(display(" van der Berg ^ Jan ^^^"), "van der Berg_Jan");
    EXPECT_TEXT(display("^John"), "John");
    EXPECT_TEXT(display("Doe^^Adam"), "Doe_Adam");
    EXPECT_TEXT(display("Doe, John"), "Doe_John");
    EXPECT_TEXT(display("Doe, John, Jr"), "Doe, John, Jr");
    EXPECT_TEXT(display("Yamada^Tarou=山田^太郎=やまだ^たろう"), "Yamada_Tarou");
    EXPECT_TEXT(display("=山田^太郎=やまだ^たろう"), "山田_太郎");
    EXPECT_TEXT(display("^^^Dr.=山田^太郎"), "山田_太郎");
    EXPECT_TEXT(display(" ^ ==やまだ^たろう"), "やまだ_たろう");
    EXPECT_TEXT(display("==="), "");
    EXPECT_TEXT(display("^^^^"), "");
    EXPECT_TEXT(display("a^b^c^d^e^f^g=h"), "a_b_c");
}

static void person_fold_key(void)
{
    EXPECT_TEXT(folded("DOE^John^^Dr."), "doe^john^^dr");
    EXPECT_TEXT(folded("Doe^John^^^"), "doe^john");
    EXPECT_TEXT(folded("Doe, John"), "doe^john");
    EXPECT_TEXT(folded("O'Brien-Smith^Mary Ann"), "obriensmith^maryann");
    EXPECT_TEXT(folded("M\xc3\xbcller^J\xc3\xb6rg"), "muller^jorg");
    EXPECT_TEXT(folded("Strauß^Łukasz"), "strauss^lukasz");
    EXPECT_TEXT(folded("Διονυσιος^Ιωάννης"), "διονυσιοσ^ιωαννησ");
    EXPECT_TEXT(folded("YILMAZ^Işıl"), "yilmaz^isil");
    EXPECT_TEXT(folded("Yılmaz^ISIL"), "yilmaz^isil");
    EXPECT_TEXT(folded("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"), "ヤマダ^タロウ=山田^太郎");
    EXPECT_TEXT(folded("Ｄｏｅ^Ｊｏｈｎ"), "doe^john");
    EXPECT_TEXT(folded("홍^길동"), "홍^길동");
    EXPECT_TEXT(folded("=山田^太郎=="), "=山田^太郎");
    EXPECT_TEXT(folded("a＝b＾c=d"), "abc=d"); /* wide delimiters are none, and add none to the key */
    EXPECT_TEXT(folded("^^="), "");
    EXPECT_TEXT(folded("مُحَمَّد"), "محمد");
}

static void person_fold_keeps_letters_of_other_scripts(void)
{
    static const char *const pairs[][2] = {
        {"ハタ^タロウ", "バタ^タロウ"}, {"はら^じろう", "ばら^じろう"}, {"มา", "ม้า"}, {"कि", "की"}};
    EXPECT_RELATION(pairs, PERSON_DIFFERENT);
}

static void person_same_but_for_writing(void)
{
    static const char *const pairs[][2] = {
        {"Doe^John", "DOE^JOHN"},
        {"Doe^John", "Doe^John^A"},
        {"Doe^John", "Doe"},
        {"Doe^John", "^John"},
        {"Doe^John", "Doe^John^^Dr.^Jr."},
        {"Doe^John", "Doe, John"},
        {"DOE,JOHN", "Doe^John^A"},
        {"Doe^John", "Doe John"},
        {"Doe^Mary Ann", "Doe^Mary^Ann"},
        {"Doe^John", " Doe ^ John ^^"},
        {"O'Brien^Pat", "OBrien^Pat"},
        {"Smith-Jones^Pat", "Smith Jones^Pat"},
        {"Müller^Jörg", "Muller^Jorg"},
        {"Müller^Jörg", "Mu\u0308ller^Jo\u0308rg"},
        {"Strauß^Eva", "STRAUSS^EVA"},
        {"Ørsted^Hans", "Orsted^Hans"},
        {"Иванов^Пётр", "ИВАНОВ^ПЕТР"},
        {"ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ^タロウ"},
    };
    EXPECT_RELATION(pairs, PERSON_SAME);
}

static void person_same_in_other_groups(void)
{
    static const char *const pairs[][2] = {
        {"Yamada^Tarou=山田^太郎", "Yamada^Tarou"},
        {"Yamada^Tarou=山田^太郎", "=山田^太郎"},
        {"Yamada^Tarou=山田^太郎=やまだ^たろう", "YAMADA^TAROU==やまだ^たろう"},
        {"山田^太郎", "Yamada^Tarou=山田^太郎"}, /* sent in the wrong group */
        {"山田^太郎", "=山田^太郎"},
        {"UNKNOWN=山田^太郎", "Yamada^Tarou=山田^太郎"},
    };
    EXPECT_RELATION(pairs, PERSON_SAME);
}

static void person_different(void)
{
    static const char *const pairs[][2] = {
        {"Doe^Jane", "Doe^John"},
        {"Doe^John", "Roe^John"},
        {"Müller^Jörg", "Mueller^Joerg"},
        {"Doe^John^A", "Doe^John^B"},
        {"Doe^John^^^Jr.", "Doe^John^^^Sr."},
        {"Doe^John^^^Jr.", "Doe John^^^^Sr."},
        {"Doe", "^John"},
        {"Doe^^^Dr.", "^John^^Dr."},
        {"John^Doe", "Doe^John"},
        {"Yamada^Tarou", "=山田^太郎"},                       /* nothing in common */
        {"Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太朗"}, /* the writing decides */
        {"Yamada^Tarou=山田^太郎", "Suzuki^Tarou=山田^太郎"},
        {"Do", "Doe"},
    };
    EXPECT_RELATION(pairs, PERSON_DIFFERENT);
}

static void person_unknown(void)
{
    static const char *const pairs[][2] = {
        {"", "Doe^John"},        {"", ""},
        {"^^^^", "Doe^John"},    {"==", "Doe^John"},
        {"UNKNOWN", "Doe^John"}, {"Anonymous^", "Doe^John"},
        {"N/A=^", "Doe^John"},   {"^^^Dr.", "Doe^John"},
        {"UNKNOWN", "UNKNOWN"},  {"-", "Doe^John"},
    };
    EXPECT_RELATION(pairs, PERSON_UNKNOWN);
}

static void person_hostile_names(void)
{
    static char large[100001];
    memset(large, '^', 50000);
    memset(large + 50000, '=', 50000);
    EXPECT_TEXT(display(large), "");
    EXPECT(person_compare(large, "Doe") == PERSON_UNKNOWN);
    memset(large, 'x', 100000);
    EXPECT(strlen(display(large)) == 100000);
    EXPECT(person_compare(large, large) == PERSON_SAME);
    EXPECT_TEXT(folded("\xff^\xc3"), "\uFFFD^\uFFFD");
}

static void placeholder_list(void)
{
    static const char *const nobody[] = {
        "",     "  ",   "0",   "UNKNOWN", " unknown ", "^^",     "N/A",      "n/a^",     "ANONYMOUS^",    "Anon",
        "none", "NULL", "_0_", "^_^",     "\t",        "\u3000", "19000101", "00010101", "__UNKNOWN^^^^",
    };
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++)
        EXPECT(is_placeholder(nobody[i], NULL));
    static const char *const somebody[] = {
        "000", "00", "1", "NA", "UNKNOWN1", "UNKNOWN^JOHN", "Nonemann", "19000102", "0^0", "Doe", "=", ".", "-",
    };
    for (size_t i = 0; i < sizeof somebody / sizeof *somebody; i++)
        EXPECT(!is_placeholder(somebody[i], NULL));
}

static void placeholder_configured(void)
{
    static const char *const more[] = {"TEST", "unbekannt^", "Übung", NULL};
    static const char *const none[] = {NULL};
    EXPECT(is_placeholder("test", more));
    EXPECT(is_placeholder(" ^Unbekannt^^ ", more));
    EXPECT(is_placeholder("ÜBUNG", more));
    EXPECT(is_placeholder("0", more));
    EXPECT(!is_placeholder("TEST1", more));
    EXPECT(!is_placeholder("TEST", none));
}

int main(void)
{
    RUN(person_display_groups);
    RUN(person_fold_key);
    RUN(person_fold_keeps_letters_of_other_scripts);
    RUN(person_same_but_for_writing);
    RUN(person_same_in_other_groups);
    RUN(person_different);
    RUN(person_unknown);
    RUN(person_hostile_names);
    RUN(placeholder_list);
    RUN(placeholder_configured);
    display(NULL);
    folded(NULL);
    return check_done();
}
