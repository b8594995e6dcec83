/* What directories and files are called: design section 6 (Names), through the real way in. What text becomes of text
 * alone is in names.c; here are siblings, numbers, templates, levels above patients, and that names are frozen. */
#include "archive_case.h"

#include "codecs/dicom/names.h"

static struct builder b;

static void begin(void)
{
    builder_release(&b);
    builder_init(&b);
    archive_make();
}

static struct ingest_result send(void)
{
    return archive_send(&b, "CT1", true);
}

/* Component `index` of an edition's path, 0 the first. */
static const char *part(uint64_t id, unsigned index)
{
    static char text[4][256];
    static unsigned next;
    char *to = text[next++ % 4];
    const char *path = archive_path_of(id);
    for (; index && *path; path++)
        index -= *path == '/';
    snprintf(to, 256, "%.*s", (int)strcspn(path, "/"), path);
    return to;
}

static void naming_defaults(void)
{
    begin();
    EXPECT_TEXT(archive_path_of(send().id), "Doe_John_4711/2024-03-05_Thorax/003_CT_Lung/0042");
}

static void naming_nothing_known(void)
{
    static const uint32_t tags[] = {TAG_PATIENT_NAME,       TAG_PATIENT_ID,        TAG_PATIENT_BIRTH_DATE,
                                    TAG_STUDY_DATE,         TAG_STUDY_DESCRIPTION, TAG_MODALITY,
                                    TAG_SERIES_DESCRIPTION, TAG_SERIES_NUMBER,     TAG_INSTANCE_NUMBER};
    begin();
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        builder_text(&b, tags[i], "LO", NULL);
    EXPECT_TEXT(archive_path_of(send().id), "Unknown/Study/x0001/x0001");
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.6");
    EXPECT_TEXT(archive_path_of(send().id), "Unknown/Study/x0001/x0002");
    builder_uid(&b, "1.2.3", "1.2.3.9", "1.2.3.9.6");
    EXPECT_TEXT(archive_path_of(send().id), "Unknown/Study/x0002/x0001");
    builder_uid(&b, "1.2.5", "1.2.5.9", "1.2.5.9.6"); /* the study alone identifies: another patient */
    EXPECT_TEXT(archive_path_of(send().id), "Unknown~2/Study/x0001/x0001");
}

static void naming_missing_description_is_the_modality(void)
{
    begin();
    builder_text(&b, TAG_STUDY_DESCRIPTION, "LO", "");
    EXPECT_TEXT(part(send().id, 1), "2024-03-05_CT");
}

static void naming_repeated_instance_numbers(void)
{
    static const char *const want[] = {"0042", "0042~2", "0042~3", "0042~4", "0042~5", "0042~6"};
    begin();
    for (unsigned i = 0; i < 6; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "1.2.3.4.5.%u", i);
        builder_uid(&b, "1.2.3", "1.2.3.4", uid);
        EXPECT_TEXT(part(send().id, 3), want[i]);
    }
}

static void naming_numbers_beyond_the_padding(void)
{
    static const struct {
        const char *number, *name;
    } cases[] = {{"170031", "170031"}, {"7", "0007"}, {" 8 ", "0008"}, {"-1", "-001"},
                 {"+9", "0009"},       {"0", "0000"}, {"", "x0007"},   {"2147483648", "2147483648"}};
    begin();
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "1.2.3.4.5.%u", i);
        builder_uid(&b, "1.2.3", "1.2.3.4", uid);
        builder_text(&b, TAG_INSTANCE_NUMBER, "IS", cases[i].number);
        EXPECT_TEXT(part(send().id, 3), cases[i].name);
    }
    builder_uid(&b, "1.2.3", "1.2.3.5", "1.2.3.5.1");
    builder_text(&b, TAG_SERIES_NUMBER, "IS", "170031");
    EXPECT_TEXT(part(send().id, 2), "170031_CT_Lung");
}

static void naming_case_only_differences(void)
{
    static const char *const descriptions[] = {"Lung", "LUNG", "lung", "L\xC3\xBCng", "L\xC3\x9CNG"};
    static const char *const want[] = {"003_CT_Lung", "003_CT_LUNG~2", "003_CT_lung~3", "003_CT_L\xC3\xBCng",
                                       "003_CT_L\xC3\x9CNG~2"};
    begin();
    for (unsigned i = 0; i < 5; i++) {
        char series[32], uid[32];
        snprintf(series, sizeof series, "1.2.3.%u", i);
        snprintf(uid, sizeof uid, "1.2.3.%u.1", i);
        builder_uid(&b, "1.2.3", series, uid);
        builder_text(&b, TAG_SERIES_DESCRIPTION, "LO", descriptions[i]);
        EXPECT_TEXT(part(send().id, 2), want[i]);
    }
}

static void naming_unlike_what_a_number_behind_makes(void)
{
    static const char *const descriptions[] = {"x", "x~2", "x", "x~2", "x"};
    static const char *const want[] = {"003_CT_x", "003_CT_x~2", "003_CT_x~3", "003_CT_x~2~2", "003_CT_x~4"};
    begin();
    for (unsigned i = 0; i < 5; i++) {
        char series[32], uid[32];
        snprintf(series, sizeof series, "1.2.3.%u", i);
        snprintf(uid, sizeof uid, "1.2.3.%u.1", i);
        builder_uid(&b, "1.2.3", series, uid);
        builder_text(&b, TAG_SERIES_DESCRIPTION, "LO", descriptions[i]);
        EXPECT_TEXT(part(send().id, 2), want[i]);
    }
}

static void naming_long_and_hostile_texts(void)
{
    char text[301];
    memset(text, 'a', 300);
    for (size_t i = 2; i + 2 < 300; i += 4)
        memcpy(text + i, "\xC3\xA4", 2); /* two bytes: a cut in the middle would show */
    text[300] = 0;
    const char *const texts[] = {text,
                                 "../../etc/passwd",
                                 "a/b\\c:d*e?f\"g<h>i|j",
                                 "...",
                                 ".hidden.",
                                 "x\ty\nz\x01",
                                 "CON",
                                 "nul.txt",
                                 "   ",
                                 "~",
                                 "a\x7F"};
    begin();
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char study[32], uid[32];
        snprintf(study, sizeof study, "1.2.%u", 100 + i);
        snprintf(uid, sizeof uid, "1.2.%u.1.1", 100 + i);
        builder_uid(&b, study, uid, uid);
        builder_text(&b, TAG_STUDY_DESCRIPTION, "LT", texts[i]);
        builder_text(&b, TAG_SERIES_DESCRIPTION, "LT", texts[i]);
        builder_text(&b, TAG_PATIENT_NAME, "PN", texts[i]);
        builder_text(&b, TAG_PATIENT_ID, "LO", texts[i]);
        struct ingest_result r = send();
        for (unsigned level = 0; level < 4; level++) {
            const char *name = part(r.id, level);
            struct buf again;
            EXPECT(*name && *name != '.' && strlen(name) <= NAME_BYTES_MAX + 4);
            buf_init(&again);
            name_component(&again, name, NAME_BYTES_MAX); /* it already is what a name may be */
            if (!strchr(name, '~'))
                EXPECT_TEXT(buf_string(&again), name);
            buf_release(&again);
        }
    }
}

static void naming_reserved_words_beside_files(void)
{
    static const char *const words[] = {"study.json", "STUDY.JSON", "series.json", "README.txt", "CON", "aux.dcm"};
    archive_wish.series_name = (char *)"{description}";
    archive_wish.study_name = (char *)"{description}";
    begin();
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        char study[32], series[32], uid[32];
        for (unsigned second = 0; second < 2; second++) { /* the first in its study, and a later one */
            snprintf(study, sizeof study, "1.2.%u", i);
            snprintf(series, sizeof series, "1.2.%u.%u", i, second);
            snprintf(uid, sizeof uid, "1.2.%u.%u.1", i, second);
            builder_uid(&b, study, series, uid);
            builder_text(&b, TAG_STUDY_DESCRIPTION, "LO", words[i]);
            builder_text(&b, TAG_SERIES_DESCRIPTION, "LO", words[i]);
            struct ingest_result r = send();
            EXPECT(strcasecmp(part(r.id, 1), words[i]) != 0);
            EXPECT(strcasecmp(part(r.id, 2), words[i]) != 0);
        }
    }
}

static void naming_reserved_word_of_the_first_patient_in_a_folder(void)
{
    archive_wish.patients = (char *)"initial";
    archive_wish.patient_name = (char *)"{name}";
    begin();
    builder_text(&b, TAG_PATIENT_NAME, "PN", "patient.json");
    EXPECT(strcasecmp(part(send().id, 1), "patient.json") != 0);
}

static void naming_frozen_when_first_made(void)
{
    begin();
    uint64_t first = send().id;
    char before[1024];
    snprintf(before, sizeof before, "%s", archive_path_of(first));
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.6");
    builder_text(&b, TAG_PATIENT_NAME, "PN", "DOE^JOHN^ALBERT");
    builder_text(&b, TAG_STUDY_DESCRIPTION, "LO", "Chest");
    builder_text(&b, TAG_SERIES_DESCRIPTION, "LO", "Other");
    builder_text(&b, TAG_STUDY_DATE, "DA", "20250101");
    builder_text(&b, TAG_INSTANCE_NUMBER, "IS", "43");
    EXPECT_TEXT(archive_path_of(send().id), "Doe_John_4711/2024-03-05_Thorax/003_CT_Lung/0043");
    EXPECT_TEXT(archive_path_of(first), before);
}

/* A template that is changed later is for what comes: a rebuild renames nothing. */
static void naming_later_templates_rename_nothing(void)
{
    struct buf conf;
    buf_init(&conf);
    begin();
    uint64_t first = send().id;
    archive_close();
    EXPECT(file_read(scratch_path("archive/archive.conf"), &conf));
    char *line = strstr(buf_string(&conf), "study_name = ");
    EXPECT(line != NULL);
    if (line)
        memcpy(line, "study_name = {uid}                        ",
               strlen("study_name = {date}_{description|modality}"));
    EXPECT(file_write(scratch_path("archive/archive.conf"), conf.data, conf.size));
    archive_open(PACS_REBUILD);
    EXPECT_TEXT(archive_path_of(first), "Doe_John_4711/2024-03-05_Thorax/003_CT_Lung/0042");
    builder_uid(&b, "1.2.4", "1.2.4.4", "1.2.4.4.6");
    EXPECT_TEXT(part(send().id, 1), "1.2.4");
    buf_release(&conf);
}

static void naming_level_by_initial(void)
{
    static const struct {
        const char *name, *folder;
    } cases[] = {
        {"doe^john", "D"}, {"Daly^A", "D"}, {"\xC3\x84rmel^B", "\xC3\x84"}, {"\xC3\xA4rger^C", "\xC3\x84"}, {"", "4"}};
    archive_wish.patients = (char *)"initial";
    begin();
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char study[32], uid[32], id[32];
        snprintf(study, sizeof study, "1.2.%u", i);
        snprintf(uid, sizeof uid, "1.2.%u.1", i);
        snprintf(id, sizeof id, "471%u", i);
        builder_uid(&b, study, uid, uid);
        builder_text(&b, TAG_PATIENT_NAME, "PN", cases[i].name);
        builder_text(&b, TAG_PATIENT_ID, "LO", id);
        struct ingest_result r = send();
        EXPECT_TEXT(part(r.id, 0), cases[i].folder);
        EXPECT(strchr(archive_path_of(r.id), '/') && strlen(part(r.id, 4)) == 4);
    }
    EXPECT(archive_counts().patients == 5);
}

static void naming_level_by_tail_of_the_id(void)
{
    static const struct {
        const char *id, *folder;
    } cases[] = {{"4711", "11"}, {"X11", "11"}, {"7", "7"}, {"a..", "none"}, {"\xC3\xA4\xC3\xB6", "\xC3\xA4\xC3\xB6"}};
    archive_wish.patients = (char *)"idtail";
    begin();
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char study[32], uid[32];
        snprintf(study, sizeof study, "1.2.%u", i);
        snprintf(uid, sizeof uid, "1.2.%u.1", i);
        builder_uid(&b, study, uid, uid);
        builder_text(&b, TAG_PATIENT_ID, "LO", cases[i].id);
        struct ingest_result r = send();
        if (i != 3)
            EXPECT_TEXT(part(r.id, 0), cases[i].folder);
        EXPECT(*part(r.id, 0) && *part(r.id, 0) != '.');
        EXPECT(strlen(part(r.id, 4)) == 4);
    }
    /* The second image of a patient goes where the first one is. */
    builder_uid(&b, "1.2.0", "1.2.0.1", "1.2.0.9");
    builder_text(&b, TAG_PATIENT_ID, "LO", "4711");
    EXPECT_TEXT(part(send().id, 0), "11");
    EXPECT(archive_counts().patients == 5);
}

static void naming_many_of_one_name_stay_unique(void)
{
    char seen[150][16];
    begin();
    for (unsigned i = 0; i < 150; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "1.2.3.4.5.%u", i);
        builder_uid(&b, "1.2.3", "1.2.3.4", uid);
        snprintf(seen[i], sizeof seen[i], "%.15s", part(send().id, 3));
        for (unsigned k = 0; k < i; k++)
            EXPECT(strcmp(seen[i], seen[k]) != 0);
    }
    struct pacs_txn *txn;
    struct instance_row row;
    EXPECT_OK(pacs_begin(archive, &txn));
    uint64_t series = 0;
    struct object_row o;
    EXPECT_OK(pacs_next_series_by_uid(txn, "1.2.3.4", 0, &o));
    series = o.id;
    for (unsigned i = 0; i < 150; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "1.2.3.4.5.%u", i);
        EXPECT_OK(pacs_instance_by_name(txn, series, seen[i], &row));
        EXPECT_TEXT(row.uid, uid);
    }
    EXPECT_ERROR(pacs_instance_by_name(txn, series, "0042~999", &row), ERROR_NOT_FOUND);
    pacs_end(txn);
}

int main(void)
{
    RUN(naming_defaults);
    RUN(naming_nothing_known);
    RUN(naming_missing_description_is_the_modality);
    RUN(naming_repeated_instance_numbers);
    RUN(naming_numbers_beyond_the_padding);
    RUN(naming_case_only_differences);
    RUN(naming_unlike_what_a_number_behind_makes);
    RUN(naming_long_and_hostile_texts);
    RUN(naming_reserved_words_beside_files);
    RUN(naming_reserved_word_of_the_first_patient_in_a_folder);
    RUN(naming_frozen_when_first_made);
    RUN(naming_later_templates_rename_nothing);
    RUN(naming_level_by_initial);
    RUN(naming_level_by_tail_of_the_id);
    RUN(naming_many_of_one_name_stay_unique);
    builder_release(&b);
    archive_gone();
    return check_done();
}
