/* Path components, fold keys, numbering and templates: examples, and rules that must hold for whatever comes. */
#include "codecs/dicom/names.h"

#include "check.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include <utf8proc.h>

enum { GENERATED = 4000 };

/* Valid until the fourth next call. */
static struct buf *fresh(void)
{
    static struct buf ring[4];
    static unsigned next;
    struct buf *b = &ring[next++ % 4];
    buf_release(b);
    buf_text(b, "");
    return b;
}

static const char *component(const char *text, size_t max)
{
    struct buf *b = fresh();
    name_component(b, text, max);
    return buf_string(b);
}

static const char *fold(const char *text)
{
    struct buf *b = fresh();
    name_fold(b, text);
    return buf_string(b);
}

static const char *numbered(const char *base, unsigned number)
{
    struct buf *b = fresh();
    name_with_number(b, base, number);
    return buf_string(b);
}

/* ---- examples ---- */

static void names_readable(void)
{
    EXPECT_TEXT(component("CT Thorax  mit \t KM", 120), "CT_Thorax_mit_KM");
    EXPECT_TEXT(component("Müller", 120), "Müller");
    EXPECT_TEXT(component("Mu\u0308ller", 120), "Müller");
    EXPECT_TEXT(component("山田\u3000太郎", 120), "山田_太郎");
    EXPECT_TEXT(component("1.0", 120), "1.0");
    EXPECT_TEXT(component("T1_tse__sag", 120), "T1_tse__sag");
    EXPECT_TEXT(component("-1", 120), "-1");
}

static void names_forbidden_characters(void)
{
    EXPECT_TEXT(component("a/b\\c:d*e?f\"g<h>i|j", 120), "a_b_c_d_e_f_g_h_i_j");
    EXPECT_TEXT(component("Thorax / Abdomen", 120), "Thorax_Abdomen");
    EXPECT_TEXT(component("a\001\x7f\xc2\x85 b", 120), "a_b");
    EXPECT_TEXT(component("M\xfcller", 120), "M_ller");
    EXPECT_TEXT(component("a\uFFFE"
                          "b",
                          120),
                "a_b");
    EXPECT_TEXT(component("../../etc/passwd", 120), "etc_passwd");
    EXPECT_TEXT(component("???", 120), "");
    EXPECT_TEXT(component("..", 120), "");
    EXPECT_TEXT(component(" ._. x ._. ", 120), "x");
}

static void names_invisible_characters(void)
{
    EXPECT_TEXT(component("a\u200B\u202E"
                          "b\uFEFF\u2066\u00AD",
                          120),
                "ab");
    EXPECT_TEXT(component("e\u200D\u0301", 120), "é"); /* what they parted is composed */
    EXPECT_TEXT(component("葛\U000E0100", 120), "葛\U000E0100");
}

static void names_reserved_devices(void)
{
    EXPECT_TEXT(component("CON", 120), "CON_");
    EXPECT_TEXT(component("con.", 120), "con_");
    EXPECT_TEXT(component("Aux.txt", 120), "Aux_.txt");
    EXPECT_TEXT(component("com1", 120), "com1_");
    EXPECT_TEXT(component("LPT\u00B9.a.b", 120), "LPT\u00B9_.a.b");
    EXPECT_TEXT(component("CONE", 120), "CONE");
    EXPECT_TEXT(component("COM10", 120), "COM10");
    EXPECT_TEXT(component("NUL", 3), "NU");
    EXPECT_TEXT(component("NUL.abc", 5), "NUL_");
}

static void names_cut_between_characters(void)
{
    EXPECT_TEXT(component("aé", 2), "a");
    EXPECT_TEXT(component("ax\u0323\u0302"
                          "b",
                          4),
                "a");                             /* the marks stay with their letter */
    EXPECT_TEXT(component("a👨🏽b", 6), "a"); /* so does the colour of a skin */
    EXPECT_TEXT(component("abc def", 4), "abc");
    EXPECT_TEXT(component("a\u0301\u0323\u0302\u0323\u0302", 3), "\u1EA1"); /* one cluster too large: between points */
    char longest[400];
    memset(longest, 'x', sizeof longest);
    longest[399] = 0;
    EXPECT(strlen(component(longest, 120)) == 120);
    EXPECT(strlen(component(longest, 4000)) == 120);
    EXPECT_TEXT(component("abc", 0), "");
}

static void names_fold_case_only(void)
{
    static const struct {
        const char *a, *b;
    } same[] = {
        {"Doe_John", "DOE_john"},
        {"Straße", "STRASSE"},
        {"STRA\u1E9EE", "straße"},
        {"ΔΙΟΝΥΣΙΟΣ", "Διονυσιος"},
        {"ÄNEAS", "a\u0308neas"},
        {"ЖЕНЯ", "женя"},
        {"ﬁ", "FI"},
        {"\u212B", "å"},
        {"\u03B1\u0345\u0301", "\u1FB4"},
        {"İ", "i\u0307"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        EXPECT_TEXT(fold(same[i].a), fold(same[i].b));
    EXPECT(strcmp(fold("Müller"), fold("Muller")) != 0); /* accents are no case */
    EXPECT(strcmp(fold("ı"), fold("i")) != 0);           /* plain case folding, of no language */
    EXPECT(strcmp(fold("a_b"), fold("ab")) != 0);
}

static void names_number_after_cut(void)
{
    EXPECT_TEXT(numbered("Doe_John", 2), "Doe_John~2");
    EXPECT_TEXT(numbered("CON_", 4294967295u), "CON_~4294967295");
    char base[121], want[124];
    memset(base, 'x', 120);
    base[120] = 0;
    memset(want, 'x', 118);
    strcpy(want + 118, "~2");
    EXPECT_TEXT(numbered(base, 2), want);
    memcpy(base + 115, "_..é", 5); /* the cut falls behind the dots */
    strcpy(want + 115, "~2");
    EXPECT_TEXT(numbered(base, 2), want);
}

static void names_number_may_meet_a_real_name(void)
{
    /* A text may end in ~2 by itself. It stays, and the fold key shows the clash. */
    EXPECT_TEXT(component("Doe~2", 120), "Doe~2");
    EXPECT_TEXT(fold(component("doe~2", 120)), fold(numbered("Doe", 2)));
    EXPECT_TEXT(numbered("Doe~2", 2), "Doe~2~2");
}

/* ---- generated ---- */

static uint64_t state;

static unsigned draw(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 33) % below);
}

static void put(struct buf *b, int32_t code_point)
{
    uint8_t utf8[4];
    buf_append(b, utf8, (size_t)utf8proc_encode_char(code_point, utf8));
}

/* Texts of what makes names hard. */
static void generate(struct buf *b)
{
    static const char *const bits[] = {
        "CON",    "nul",    "Com1",   ".",  "..",     "_",      " ",      "/",      "\\",     ":",      "*",
        "?",      "\"",     "<",      ">",  "|",      "\t",     "\xff",   "\xc3",   "\u0301", "\u0327", "\u200d",
        "👩",      "\u202e", "é",      "e",  "ß",      "ẞ",      "Σ",      "ς",      "ı",      "İ",      "山",
        "ﾊ",      "ﾞ",      "\u3099", "한", "ᄒ",     "ᅡ",     "ᆫ",     "\u00a0", "\u3000", "~2",     "1",
        "\u0345", "\u1f80", "क्षि",    "🇩🇪", "\u0338", "\u037e", "\u2126", "\ufb03", "\u00b9", "LPT"};
    buf_clear(b);
    buf_text(b, "");
    unsigned parts = draw(draw(4) ? 12 : 90);
    for (unsigned i = 0; i < parts; i++) {
        if (draw(4) == 0)
            put(b, (int32_t)(1 + draw(draw(2) ? 0xD7FF : 0x24F)));
        else if (draw(8) == 0)
            put(b, (int32_t)(0xE000 + draw(0x110000 - 0xE000)));
        else
            buf_text(b, bits[draw(sizeof bits / sizeof *bits)]);
    }
}

static bool is_reserved(const char *name)
{
    static const char *const devices[] = {"CON", "PRN", "AUX", "NUL"};
    size_t stem = strcspn(name, ".");
    for (size_t i = 0; i < 4; i++)
        if (stem == 3 && strncasecmp(name, devices[i], 3) == 0)
            return true;
    return (strncasecmp(name, "COM", 3) == 0 || strncasecmp(name, "LPT", 3) == 0) &&
           ((stem == 4 && isdigit((unsigned char)name[3])) ||
            (stem == 5 &&
             (strncmp(name + 3, "¹", 2) == 0 || strncmp(name + 3, "²", 2) == 0 || strncmp(name + 3, "³", 2) == 0)));
}

/* Every rule of a name, checked apart from how it is made; NULL: all hold. */
static const char *broken_rule(const char *name, size_t max)
{
    size_t size = strlen(name);
    if (size > max)
        return "too long";
    if (size == 0)
        return NULL;
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)name[i] <= 0x20 || name[i] == 0x7F || strchr("/\\:*?\"<>|", name[i]))
            return "forbidden character";
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t code_point;
        utf8proc_ssize_t step =
            utf8proc_iterate((const uint8_t *)name + at, (utf8proc_ssize_t)(size - at), &code_point);
        if (step <= 0 || code_point == 0xFFFD)
            return "not UTF-8";
        if ((code_point >= 0x80 && code_point < 0xA0) || (code_point >= 0x200B && code_point <= 0x200F) ||
            (code_point >= 0x202A && code_point <= 0x202E) || (code_point >= 0x2066 && code_point <= 0x2069))
            return "control";
        at += (size_t)step;
    }
    utf8proc_uint8_t *normal = utf8proc_NFC((const utf8proc_uint8_t *)name);
    bool composed = normal && strcmp((const char *)normal, name) == 0;
    free(normal);
    if (!composed)
        return "not NFC";
    if (name[0] == '.' || name[0] == '_')
        return "begins with a dot or underscore";
    if (name[size - 1] == '.')
        return "ends in a dot";
    char stem[NAME_BYTES_MAX + 1];
    snprintf(stem, sizeof stem, "%.*s", (int)size - 1, name);
    if (name[size - 1] == '_' && !is_reserved(stem) && strcasecmp(stem, "CONIN$") && strcasecmp(stem, "CONOUT$"))
        return "ends in an underscore";
    return is_reserved(name) ? "reserved" : NULL;
}

static void expect_rules(const char *name, size_t max, unsigned seed)
{
    const char *rule = broken_rule(name, max);
    check_count++;
    if (rule) {
        check_failures++;
        fprintf(stderr, "generated name of seed %u, max %zu: \"%s\": %s\n", seed, max, name, rule);
    }
}

static void names_generated_obey_all_rules(void)
{
    struct buf text;
    buf_init(&text);
    for (unsigned seed = 0; seed < GENERATED; seed++) {
        state = seed;
        generate(&text);
        size_t max = draw(3) ? NAME_BYTES_MAX : 1 + draw(NAME_BYTES_MAX);
        const char *name = component(buf_string(&text), max);
        expect_rules(name, max, seed);
        EXPECT_TEXT(component(name, max), name);
        const char *key = fold(name);
        EXPECT_TEXT(fold(key), key);
    }
    buf_release(&text);
}

static void names_generated_numbers_fit(void)
{
    struct buf text;
    buf_init(&text);
    for (unsigned seed = 0; seed < GENERATED; seed++) {
        state = seed;
        generate(&text);
        const char *base = component(buf_string(&text), NAME_BYTES_MAX);
        unsigned number = draw(2) ? 2 + draw(20) : draw(UINT32_MAX);
        const char *name = numbered(base, number);
        char suffix[16];
        snprintf(suffix, sizeof suffix, "~%u", number);
        EXPECT(strlen(name) >= strlen(suffix) && strcmp(name + strlen(name) - strlen(suffix), suffix) == 0);
        expect_rules(name, NAME_BYTES_MAX, seed);
    }
    buf_release(&text);
}

static void names_generated_fold_ignores_case(void)
{
    /* Changing the case of single letters of the simple kind never changes the key. */
    struct buf text, other;
    buf_init(&text);
    buf_init(&other);
    for (unsigned seed = 0; seed < GENERATED; seed++) {
        state = seed;
        generate(&text);
        const uint8_t *at = (const uint8_t *)component(buf_string(&text), NAME_BYTES_MAX);
        const char *name = (const char *)at;
        buf_clear(&other);
        buf_text(&other, "");
        while (*at) {
            utf8proc_int32_t code_point;
            at += utf8proc_iterate(at, -1, &code_point);
            utf8proc_int32_t lower = utf8proc_tolower(code_point);
            /* Where case pairs are no pairs (dotted I, dotless i) plain folding keeps the two apart. */
            bool pair = utf8proc_toupper(lower) == code_point && lower != 'i' && lower != 'I';
            put(&other, pair && draw(2) ? lower : code_point);
        }
        EXPECT_TEXT(fold(buf_string(&other)), fold(name));
    }
    buf_release(&other);
    buf_release(&text);
}

/* ---- templates ---- */

struct fields {
    const char *name, *id, *date, *description, *modality, *number, *instance;
};
static const char *const FIELDS[] = {"name", "id", "date", "description", "modality", "number", "instance"};

static const char *field_value(void *context, const char *field)
{
    const char *const *values = context; /* struct fields is nothing but pointers, in the order of FIELDS */
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++)
        if (strcmp(field, FIELDS[i]) == 0)
            return values[i];
    return NULL;
}

static const char *render(const char *template, struct fields fields)
{
    struct buf *b = fresh();
    EXPECT_OK(name_template_check(template, FIELDS, sizeof FIELDS / sizeof *FIELDS));
    EXPECT_OK(name_render(b, template, field_value, &fields));
    return buf_string(b);
}

static void names_template_patient(void)
{
    const char *t = "{name}_{id}";
    EXPECT_TEXT(render(t, (struct fields){.name = "Doe_John", .id = "4711"}), "Doe_John_4711");
    EXPECT_TEXT(render(t, (struct fields){.id = "4711"}), "4711");
    EXPECT_TEXT(render(t, (struct fields){.name = "Doe_John"}), "Doe_John");
    EXPECT_TEXT(render(t, (struct fields){.name = "", .id = " "}), "");
    EXPECT_TEXT(render(t, (struct fields){.name = "???", .id = "47/11"}), "47_11");
    EXPECT_TEXT(render(t, (struct fields){.name = "CON"}), "CON_");
}

static void names_template_study(void)
{
    const char *t = "{date}_{description|modality}";
    EXPECT_TEXT(render(t, (struct fields){.date = "2024-03-05", .description = "CT Thorax", .modality = "CT"}),
                "2024-03-05_CT_Thorax");
    EXPECT_TEXT(render(t, (struct fields){.date = "2024-03-05", .description = " ", .modality = "CT"}),
                "2024-03-05_CT");
    EXPECT_TEXT(render(t, (struct fields){.description = "Thorax"}), "Thorax");
    EXPECT_TEXT(render(t, (struct fields){.date = "2024-03-05"}), "2024-03-05");
    EXPECT_TEXT(render(t, (struct fields){0}), "");
}

static void names_template_series(void)
{
    const char *t = "{number:03}_{modality}_{description}";
    EXPECT_TEXT(render(t, (struct fields){.number = "3", .modality = "CT", .description = "Lung 1.0"}),
                "003_CT_Lung_1.0");
    EXPECT_TEXT(render(t, (struct fields){.number = "3", .description = "Lung"}), "003_Lung");
    EXPECT_TEXT(render(t, (struct fields){.number = "3", .modality = "CT"}), "003_CT");
    EXPECT_TEXT(render(t, (struct fields){.modality = "CT", .description = "Lung"}), "CT_Lung");
    EXPECT_TEXT(render(t, (struct fields){.description = "Lung"}), "Lung");
    EXPECT_TEXT(render(t, (struct fields){.number = "3"}), "003");
    EXPECT_TEXT(render(t, (struct fields){0}), "");
}

static void names_template_numbers(void)
{
    static const struct {
        const char *value, *want;
    } rows[] = {
        {"7", "007"},
        {"170031", "170031"},
        {"0007", "007"},
        {"+7", "007"},
        {"-1", "-01"},
        {"-1234", "-1234"},
        {"-0", "000"},
        {"0", "000"},
        {"1.0", "1.0"},
        {" 12 ", "012"},
        {"x1", "x1"},
        {"-", "-"},
        {"99999999999999999999999999999", "99999999999999999999999999999"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT_TEXT(render("{number:03}", (struct fields){.number = rows[i].value}), rows[i].want);
    EXPECT_TEXT(render("{instance:04}", (struct fields){.instance = "42"}), "0042");
    EXPECT_TEXT(render("{instance:04}", (struct fields){0}), "");
    EXPECT_TEXT(render("{number}", (struct fields){.number = "007"}), "007");
}

static void names_template_joints(void)
{
    EXPECT_TEXT(render("P{name}_{id}", (struct fields){.id = "1"}), "P_1");
    EXPECT_TEXT(render("P-{name}_{id}", (struct fields){.id = "1"}), "P_1");
    EXPECT_TEXT(render("{date}-{name} . {id}", (struct fields){.date = "d", .id = "1"}), "d_._1");
    EXPECT_TEXT(render("{date}-{name} . {id}", (struct fields){.date = "d", .name = "n"}), "d-n");
    EXPECT_TEXT(render("_{name}_{id}", (struct fields){.id = "1"}), "1");
    EXPECT_TEXT(render("{name}{id}", (struct fields){.name = "a", .id = "1"}), "a1");
    EXPECT_TEXT(render("{name}-{id}", (struct fields){.id = "1"}), "1");
    EXPECT_TEXT(render("{name}{id}", (struct fields){.name = "a-"}), "a-"); /* its own end is no joint */
    EXPECT_TEXT(render("fixed", (struct fields){0}), "fixed");
    EXPECT_TEXT(render("", (struct fields){0}), "");
}

static void names_template_faults_are_told(void)
{
    static const char *const bad[] = {
        "{name",       "name}",     "{name}}",     "{{name}}",     "{nam}",
        "{}",          "{name|}",   "{|name}",     "{number:3}",   "{number:0}",
        "{number:00}", "{number:}", "{number:0x}", "{number:019}", "{number:099999999999}",
        "{name}/{id}", "{name}\n",  "{Name}",      "{name }",      "a:b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_ERROR(name_template_check(bad[i], FIELDS, sizeof FIELDS / sizeof *FIELDS), ERROR_USAGE);
    struct error e = name_template_check("{name}_{nmae|id}", FIELDS, sizeof FIELDS / sizeof *FIELDS);
    EXPECT(strstr(error_text(&e), "\"nmae\"") != NULL);
    error_release(&e);
    struct fields none = {0};
    EXPECT_ERROR(name_render(fresh(), "{name", field_value, &none), ERROR_USAGE);
    char large[NAME_TEMPLATE_BYTES_MAX + 2];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = 0;
    EXPECT_ERROR(name_template_check(large, FIELDS, sizeof FIELDS / sizeof *FIELDS), ERROR_USAGE);
    EXPECT_ERROR(name_render(fresh(), large, field_value, &none), ERROR_USAGE);
}

static void names_template_generated_values(void)
{
    struct buf text[3];
    for (unsigned i = 0; i < 3; i++)
        buf_init(&text[i]);
    for (unsigned seed = 0; seed < GENERATED / 4; seed++) {
        state = seed;
        for (unsigned i = 0; i < 3; i++)
            generate(&text[i]);
        struct fields fields = {
            .name = buf_string(&text[0]), .id = buf_string(&text[1]), .number = buf_string(&text[2])};
        expect_rules(render("{number:03}_{name|id} {id}", fields), NAME_BYTES_MAX, seed);
    }
    for (unsigned i = 0; i < 3; i++)
        buf_release(&text[i]);
}

int main(void)
{
    RUN(names_readable);
    RUN(names_forbidden_characters);
    RUN(names_invisible_characters);
    RUN(names_reserved_devices);
    RUN(names_cut_between_characters);
    RUN(names_fold_case_only);
    RUN(names_number_after_cut);
    RUN(names_number_may_meet_a_real_name);
    RUN(names_generated_obey_all_rules);
    RUN(names_generated_numbers_fit);
    RUN(names_generated_fold_ignores_case);
    RUN(names_template_patient);
    RUN(names_template_study);
    RUN(names_template_series);
    RUN(names_template_numbers);
    RUN(names_template_joints);
    RUN(names_template_faults_are_told);
    RUN(names_template_generated_values);
    for (unsigned i = 0; i < 4; i++)
        buf_release(fresh());
    return check_done();
}
