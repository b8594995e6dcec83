/* Who a patient is, and what becomes of what comes again: design sections 6 (Identity) and 4 (Versions), through the
 * real way in. The images in other syntaxes are made by DCMTK's programs; without them those cases are left out. */
#include "archive_case.h"

#include <sys/wait.h>

static struct builder b;

static void begin(void)
{
    builder_release(&b);
    builder_init(&b);
    archive_make();
}

static void person(const char *name, const char *id, const char *birth)
{
    builder_text(&b, TAG_PATIENT_NAME, "PN", name);
    builder_text(&b, TAG_PATIENT_ID, "LO", id);
    builder_text(&b, TAG_PATIENT_BIRTH_DATE, "DA", birth);
}

/* Another study with each call. */
static void next_study(void)
{
    static unsigned n;
    char study[32], series[32], instance[32];
    n++;
    snprintf(study, sizeof study, "1.2.9.%u", n);
    snprintf(series, sizeof series, "1.2.9.%u.1", n);
    snprintf(instance, sizeof instance, "1.2.9.%u.1.1", n);
    builder_uid(&b, study, series, instance);
}

/* Whether two studies, sent one after the other, become one patient. */
static bool one_patient(const char *const first[3], const char *const second[3])
{
    uint64_t before = archive_counts().patients;
    person(first[0], first[1], first[2]);
    next_study();
    archive_send(&b, "CT1", true);
    person(second[0], second[1], second[2]);
    next_study();
    archive_send(&b, "CT1", true);
    return archive_counts().patients == before + 1;
}

static void identity_id_is_trimmed_and_case_kept(void)
{
    begin();
    EXPECT(one_patient((const char *[]){"A^B", "x17", "19500101"}, (const char *[]){"A^B", " x17 ", "19500101"}));
    EXPECT(!one_patient((const char *[]){"A^B", "y17", "19500101"}, (const char *[]){"A^B", "Y17", "19500101"}));
    EXPECT(archive_counts().conflicts == 0);
}

static void identity_issuer_parts_equal_ids(void)
{
    begin();
    builder_text(&b, TAG_PATIENT_ID_ISSUER, "LO", "HOSPITAL A");
    archive_send(&b, "CT1", true);
    next_study();
    builder_text(&b, TAG_PATIENT_ID_ISSUER, "LO", "HOSPITAL B");
    archive_send(&b, "CT1", true);
    EXPECT(archive_counts().patients == 2);
}

static void identity_placeholder_ids_identify_nobody(void)
{
    static const char *const ids[] = {"", "0", "UNKNOWN", "Anonymous", "anon", "NONE", "N/A", "null", " 0 "};
    begin();
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) { /* two people with the same placeholder */
        char a[32], c[32];
        snprintf(a, sizeof a, "First%zu^A", i);
        snprintf(c, sizeof c, "Second%zu^B", i);
        EXPECT(!one_patient((const char *[]){a, ids[i], "19500101"}, (const char *[]){c, ids[i], "19600101"}));
    }
    EXPECT(archive_counts().conflicts == 0);
}

static void identity_name_and_birth_date_stand_for_a_placeholder_id(void)
{
    begin();
    EXPECT(one_patient((const char *[]){"Müller^Änne", "0", "19500101"},
                       (const char *[]){"MULLER^ANNE", "UNKNOWN", "19500101"}));
    EXPECT(!one_patient((const char *[]){"Roe^Jane", "0", "19500101"}, (const char *[]){"Roe^Jane", "0", "19500102"}));
}

static void identity_study_alone_where_nothing_else_says(void)
{
    static const char *const nobody[][3] = {{"Roe^Jane", "0", ""},
                                            {"Roe^Jane", "0", "19000101"},
                                            {"Roe^Jane", "0", "00010101"},
                                            {"ANONYMOUS", "0", "19500101"},
                                            {"", "", ""}};
    begin();
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++)
        EXPECT(!one_patient(nobody[i], nobody[i]));
    /* The same study again is the same patient. */
    uint64_t before = archive_counts().patients;
    builder_text(&b, TAG_SOP_INSTANCE, "UI", "1.2.9.99");
    snprintf(b.sop_instance, sizeof b.sop_instance, "1.2.9.99");
    archive_send(&b, "CT1", true);
    EXPECT(archive_counts().patients == before);
}

/* Hanging protocols, palettes (PS3.4 GG): two classes, three objects, no study, no patient. */
static void identity_objects_without_study_stand_under_their_class(void)
{
    static const char *const classes[] = {"1.2.840.10008.5.1.4.38.1", "1.2.840.10008.5.1.4.39.1",
                                          "1.2.840.10008.5.1.4.39.1"};
    struct ingest_result result = {0};
    begin();
    person(NULL, NULL, NULL);
    builder_text(&b, TAG_STUDY_DATE, "DA", NULL);
    builder_text(&b, TAG_STUDY_DESCRIPTION, "LO", NULL);
    builder_text(&b, TAG_MODALITY, "CS", NULL);
    for (size_t i = 0; i < 3; i++) {
        char instance[16];
        snprintf(instance, sizeof instance, "1.2.8.%zu", i);
        builder_uid(&b, "1", "1", instance);
        builder_text(&b, TAG_STUDY_UID, "UI", NULL);
        builder_text(&b, TAG_SERIES_UID, "UI", NULL);
        builder_text(&b, TAG_SOP_CLASS, "UI", classes[i]);
        snprintf(b.sop_class, sizeof b.sop_class, "%s", classes[i]);
        EXPECT_OK(archive_try_send(&b, "CT1", true, &result));
        EXPECT_TEXT(result.study_uid, classes[i]);
        EXPECT(strstr(result.remark, "no Study or Series Instance UID"));
    }
    struct pacs_counts counts = archive_counts();
    EXPECT(counts.patients == 1 && counts.studies == 2 && counts.instances == 3 && counts.conflicts == 0);
    EXPECT(strncmp(archive_path_of(result.id), "No_patient/ColorPaletteStorage/", 31) == 0);
}

static void identity_one_id_names_written_otherwise_are_one_person(void)
{
    static const char *const names[] = {"DOE^JOHN", "Doe^John^A", "doe ^ john", "Dóe^Jöhn"};
    begin();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        EXPECT(one_patient((const char *[]){"Doe^John", "4711", "19700101"},
                           (const char *[]){names[i], "4711", "19700101"}) == (i == 0) ||
               archive_counts().patients == 1);
    EXPECT(archive_counts().patients == 1);
    EXPECT(archive_counts().conflicts == 0);
}

static void identity_one_id_other_name_and_date_are_two_patients(void)
{
    begin();
    EXPECT(!one_patient((const char *[]){"Doe^John", "4711", "19700101"},
                        (const char *[]){"Smith^Anna", "4711", "19810203"}));
    EXPECT(archive_conflicts("patients") == 1);
    /* Each finds its own afterwards. */
    person("SMITH^ANNA", "4711", "19810203");
    next_study();
    archive_send(&b, "CT1", true);
    EXPECT(archive_counts().patients == 2);
    EXPECT(archive_conflicts("patients") == 1);
}

static void identity_one_id_half_the_difference_stays_one_and_is_listed(void)
{
    begin();
    EXPECT(one_patient((const char *[]){"Doe^John", "4711", "19700101"},
                       (const char *[]){"Smith^Anna", "4711", "19700101"}));
    EXPECT(archive_conflicts("names") == 1);
    EXPECT(one_patient((const char *[]){"Poe^Edgar", "4712", "19700101"},
                       (const char *[]){"Poe^Edgar", "4712", "19710101"}));
    EXPECT(archive_conflicts("names") == 2);
    EXPECT(one_patient((const char *[]){"Lem^Stan", "4713", "19700101"}, (const char *[]){"Orwell^G", "4713", ""}));
    EXPECT(archive_conflicts("names") == 3);
    EXPECT(archive_conflicts("patients") == 0);
}

static void identity_study_uid_under_two_patients_is_shown_under_each(void)
{
    begin();
    struct ingest_result first = archive_send(&b, "CT1", true);
    person("Smith^Anna", "815", "19810203");
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.6");
    struct ingest_result second = archive_send(&b, "CT1", true);
    struct pacs_counts c = archive_counts();
    EXPECT(c.patients == 2 && c.studies == 2 && c.series == 2 && c.instances == 2);
    EXPECT(archive_conflicts("study-patients") == 1);
    EXPECT(strncmp(archive_path_of(first.id), "Doe_John_4711/", 14) == 0);
    EXPECT(strncmp(archive_path_of(second.id), "Smith_Anna_815/", 15) == 0);

    struct pacs_txn *txn;
    struct object_row row;
    EXPECT_OK(pacs_begin(archive, &txn));
    EXPECT_OK(pacs_next_study_by_uid(txn, "1.2.3", 0, &row));
    EXPECT_OK(pacs_next_study_by_uid(txn, "1.2.3", row.id, &row));
    EXPECT_ERROR(pacs_next_study_by_uid(txn, "1.2.3", row.id, &row), ERROR_NOT_FOUND);
    pacs_end(txn);
}

static void identity_the_same_image_under_two_patients_is_kept_for_each(void)
{
    begin();
    struct ingest_result first = archive_send(&b, "CT1", true);
    person("Smith^Anna", "815", "19810203");
    struct ingest_result second = archive_send(&b, "CT1", true);
    EXPECT(second.verdict == INGEST_STORED && second.id != first.id);
    EXPECT(archive_row(first.id).flags & INSTANCE_SHOWN);
    EXPECT(archive_row(second.id).flags & INSTANCE_SHOWN);
    EXPECT(archive_row(second.id).flags & INSTANCE_ELSEWHERE);
    EXPECT(archive_row(second.id).version == 2);
}

/* uids/STUDY/SERIES/INSTANCE.dcm stays with the patient that it came under first. */
static void identity_versions_of_an_image_under_two_patients_keep_its_plain_name(void)
{
    begin();
    person("Doe^John", "4711", "19700101");
    builder_pixels(&b, 4, 4, 1);
    archive_send(&b, "CT1", true);
    person("Smith^Anna", "815", "19810203");
    archive_send(&b, "CT1", true);
    builder_pixels(&b, 4, 4, 2);
    struct ingest_result later = archive_send(&b, "CT1", true);
    EXPECT(later.verdict == INGEST_VERSION && (archive_row(later.id).flags & INSTANCE_ELSEWHERE));
    person("Doe^John", "4711", "19700101");
    builder_pixels(&b, 4, 4, 3);
    struct ingest_result first = archive_send(&b, "CT1", true);
    EXPECT(first.verdict == INGEST_VERSION && archive_row(first.id).version == 4);
    EXPECT((archive_row(first.id).flags & INSTANCE_SHOWN) && !(archive_row(first.id).flags & INSTANCE_ELSEWHERE));
}

static void identity_series_uid_under_two_studies(void)
{
    begin();
    archive_send(&b, "CT1", true);
    builder_uid(&b, "1.2.77", "1.2.3.4", "1.2.77.1");
    archive_send(&b, "CT1", true);
    struct pacs_counts c = archive_counts();
    EXPECT(c.patients == 1 && c.studies == 2 && c.series == 2 && c.instances == 2);
    EXPECT(archive_conflicts("series-studies") == 1);
}

static void identity_instance_uid_under_two_series(void)
{
    begin();
    struct ingest_result first = archive_send(&b, "CT1", true);
    builder_uid(&b, "1.2.3", "1.2.3.8", "1.2.3.4.5");
    builder_pixels(&b, 4, 4, 9);
    struct ingest_result second = archive_send(&b, "MR1", false);
    struct pacs_counts c = archive_counts();
    EXPECT(second.verdict == INGEST_STORED && c.series == 2 && c.instances == 2);
    EXPECT(archive_conflicts("instance-series") == 1);
    EXPECT((archive_row(first.id).flags & INSTANCE_SHOWN) && (archive_row(second.id).flags & INSTANCE_SHOWN));
}

/* ---- what comes again ---- */

static void versions_the_same_bytes_store_nothing(void)
{
    begin();
    struct ingest_result first = archive_send(&b, "CT1", true);
    uint64_t stored = archive_counts().bytes;
    struct ingest_result again = archive_send(&b, "CT1", true), other = archive_send(&b, "STRANGER", false);
    EXPECT(again.verdict == INGEST_DUPLICATE && again.id == first.id);
    EXPECT(other.verdict == INGEST_DUPLICATE && other.id == first.id); /* its meta header would name another AE */
    struct pacs_counts c = archive_counts();
    EXPECT(c.instances == 1 && c.editions == 1 && c.duplicates == 2 && c.bytes == stored && c.conflicts == 0);
}

static void versions_damaged_bytes_are_healed_and_the_file_stays_itself(void)
{
    struct buf bytes, before, after;
    struct record_header header;
    struct buf payload;
    buf_init(&bytes);
    buf_init(&before);
    buf_init(&after);
    buf_init(&payload);
    begin();
    builder_pixels(&b, 64, 64, 5);
    builder_write(&b, &bytes);
    struct ingest_result first = archive_send(&b, "CT1", true);
    EXPECT_OK(archive_file(first.id, &before));
    struct instance_row row = archive_row(first.id);
    EXPECT(row.lead > 0);
    EXPECT_OK(packs_record(archive->packs, row.pack, row.offset - row.lead, 0, &header, &payload));
    EXPECT(file_flip(scratch_path("archive/packs/00000001.pack"), row.offset - row.lead + RECORD_HEADER_SIZE + 40));
    archive_reopen(PACS_WRITE);
    EXPECT_ERROR(archive_file(first.id, &after), ERROR_DAMAGED);
    EXPECT(archive_damage(false) > 0);

    /* From another AE, whose name would make another meta header. */
    struct ingest_result healed = archive_send(&b, "ANOTHER_STATION", false);
    EXPECT(healed.verdict == INGEST_HEALED && healed.id == first.id);
    EXPECT_OK(archive_file(first.id, &after));
    EXPECT(archive_holds(first.id, &bytes));
    EXPECT(after.size == archive_row(first.id).size);
    EXPECT(after.size == before.size && memcmp(after.data, before.data, after.size) == 0);
    EXPECT(archive_counts().editions == 1);

    struct buf one, two;
    buf_init(&one);
    buf_init(&two);
    archive_dump(&one);
    archive_reopen(PACS_REBUILD);
    archive_dump(&two);
    EXPECT_TEXT(buf_string(&two), buf_string(&one));
    EXPECT(archive_holds(first.id, &bytes));
    struct buf *all[] = {&bytes, &before, &after, &payload, &one, &two};
    for (size_t i = 0; i < 6; i++)
        buf_release(all[i]);
}

/* A pack that is gone takes its images with it; the number is not given again, for rows that point there would then
 * meet other records, and what comes again is kept. */
static void versions_lost_pack_does_not_refuse_what_comes_again(void)
{
    struct buf bytes;
    struct ingest_result again;
    buf_init(&bytes);
    begin();
    archive_send(&b, "CT1", true);
    archive_reopen(PACS_WRITE);
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.6");
    builder_write(&b, &bytes);
    archive_send(&b, "CT1", true);
    archive_close();
    EXPECT(unlink(scratch_path("archive/packs/00000002.pack")) == 0);
    archive_open(PACS_WRITE);
    EXPECT_OK(archive_try_send(&b, "CT1", true, &again));
    EXPECT(again.id && archive_holds(again.id, &bytes));
    EXPECT(file_size(scratch_path("archive/packs/00000002.pack")) == 0);
    EXPECT(file_size(scratch_path("archive/packs/00000003.pack")) > 0);
    EXPECT(archive_damage(false) > 0);
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_damage(false) > 0); /* that a pack is missing stays known */
    buf_release(&bytes);
}

/* packs/ is not mounted: nothing may be written below the mount point, and nothing be forgotten. */
static void versions_no_packs_at_all_is_refused(void)
{
    begin();
    archive_send(&b, "CT1", true);
    archive_close();
    EXPECT(rename(scratch_path("archive/packs"), scratch_path("elsewhere")) == 0);
    EXPECT(mkdir(scratch_path("archive/packs"), 0750) == 0);
    EXPECT_ERROR(archive_try_open(PACS_WRITE), ERROR_REFUSED);
    EXPECT(rmdir(scratch_path("archive/packs")) == 0);
    EXPECT(rename(scratch_path("elsewhere"), scratch_path("archive/packs")) == 0);
    archive_open(PACS_WRITE);
    EXPECT(archive_counts().instances == 1 && archive_damage(true) == 0);
}

static void versions_known_peer_replaces_its_own(void)
{
    struct buf old;
    buf_init(&old);
    begin();
    builder_write(&b, &old);
    struct ingest_result first = archive_send(&b, "CT1", true);
    builder_pixels(&b, 4, 4, 2);
    struct ingest_result second = archive_send(&b, "CT1", true);
    EXPECT(second.verdict == INGEST_VERSION && second.id != first.id);
    EXPECT(archive_row(first.id).superseded == second.id);
    EXPECT_TEXT(archive_row(second.id).name, archive_row(first.id).name);
    EXPECT(archive_row(second.id).version == 2);
    EXPECT(archive_holds(first.id, &old)); /* no version is ever overwritten */
    struct pacs_counts c = archive_counts();
    EXPECT(c.instances == 1 && c.editions == 2 && c.conflicts == 0);
    buf_release(&old);
}

static void versions_strangers_do_not_replace(void)
{
    static const struct {
        const char *ae;
        bool known;
    } senders[] = {{"CT1", false}, {"MR1", true}, {"", false}};
    begin();
    struct ingest_result first = archive_send(&b, "CT1", true);
    for (unsigned i = 0; i < 3; i++) {
        builder_pixels(&b, 4, 4, 10 + i);
        struct ingest_result r = archive_send(&b, senders[i].ae, senders[i].known);
        EXPECT(r.verdict == INGEST_CONFLICT && *r.remark);
        EXPECT(archive_row(r.id).flags & INSTANCE_CONFLICT);
        EXPECT(archive_row(first.id).superseded == 0);
        EXPECT(archive_conflicts("version") == i + 1);
    }
    EXPECT(archive_counts().instances == 1);
    EXPECT(archive_counts().editions == 4);
}

static void versions_lossy_gives_way_to_lossless(void)
{
    begin();
    builder_text(&b, 0x00282110, "CS", "01");
    struct ingest_result lossy = archive_send(&b, "CT1", true);
    EXPECT(archive_row(lossy.id).flags & INSTANCE_LOSSY);
    builder_text(&b, 0x00282110, "CS", NULL);
    builder_pixels(&b, 4, 4, 2);
    struct ingest_result lossless = archive_send(&b, "STRANGER", false);
    EXPECT(lossless.verdict == INGEST_VERSION);
    EXPECT(archive_row(lossy.id).superseded == lossless.id);
    /* And not the other way. */
    builder_text(&b, 0x00282110, "CS", "01");
    builder_pixels(&b, 4, 4, 3);
    EXPECT(archive_send(&b, "STRANGER", false).verdict == INGEST_CONFLICT);
}

static void meta_header(struct buf *file, const char *ae)
{
    buf_clear(file);
    meta_build(file, b.sop_class, b.sop_instance, BUILDER_EXPLICIT, "1.2.3.4", "TEST", ae);
}

static void versions_another_preamble_is_a_variant(void)
{
    struct buf file, back;
    struct ingest_result first, again, variant;
    buf_init(&file);
    buf_init(&back);
    begin();
    meta_header(&file, "ONE");
    builder_write(&b, &file);
    EXPECT_OK(archive_import(&file, &first));
    EXPECT(first.verdict == INGEST_STORED);
    EXPECT_OK(archive_file(first.id, &back));
    EXPECT(back.size == file.size && memcmp(back.data, file.data, file.size) == 0);
    EXPECT_OK(archive_import(&file, &again));
    EXPECT(again.verdict == INGEST_DUPLICATE);

    memcpy(file.data, "II*\0 and more", 13); /* a preamble that is a TIFF header */
    uint64_t packs = file_size(scratch_path("archive/packs/00000001.pack"));
    EXPECT_OK(archive_import(&file, &variant));
    EXPECT(variant.verdict == INGEST_VARIANT && variant.id != first.id);
    EXPECT(file_size(scratch_path("archive/packs/00000001.pack")) < packs + 3000); /* its chunks are not stored again */
    EXPECT_OK(archive_file(variant.id, &back));
    EXPECT(back.size == file.size && memcmp(back.data, file.data, file.size) == 0);
    EXPECT(!(archive_row(variant.id).flags & INSTANCE_SHOWN));
    EXPECT_OK(archive_import(&file, &again));
    EXPECT(again.verdict == INGEST_DUPLICATE && again.id == variant.id);

    /* From the network comes no preamble: the data set is here. */
    EXPECT(archive_send(&b, "CT1", true).verdict == INGEST_DUPLICATE);
    EXPECT(archive_counts().instances == 1);
    EXPECT(archive_damage(true) == 0);
    buf_release(&file);
    buf_release(&back);
}

static void versions_file_without_preamble_comes_back_so(void)
{
    struct buf file, back;
    struct ingest_result r;
    buf_init(&file);
    buf_init(&back);
    begin();
    builder_write(&b, &file);
    EXPECT_OK(archive_import(&file, &r));
    EXPECT_OK(archive_file(r.id, &back));
    EXPECT(back.size == file.size && memcmp(back.data, file.data, file.size) == 0);
    buf_release(&file);
    buf_release(&back);
}

/* Runs a program on scratch files; false: it is not installed. */
static bool convert(const char *program, const char *option, const char *from, const char *to)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("ASAN_OPTIONS", "", 1);
        execlp(program, program, option, from, to, (char *)NULL);
        _exit(127);
    }
    int status;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    EXPECT(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 127);
    return WEXITSTATUS(status) == 0;
}

/* DCMTK writes a derivation description when it makes JPEG: there both sides have been JPEG. */
static void versions_another_lossless_syntax_is_a_variant(void)
{
    static const struct {
        const char *prepare, *prepare_option, *program, *option;
    } ways[] = {{NULL, NULL, "dcmcrle", "-q"},
                {"dcmcjpeg", "+e1", "dcmdjpeg", "-q"},
                {"dcmcjpeg", "+e1", "dcmdjpeg", "+ti"},
                {NULL, NULL, "dcmconv", "+ti"},
                {NULL, NULL, "dcmconv", "+tb"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct buf file;
        struct ingest_result first, r;
        buf_init(&file);
        begin();
        builder_pixels(&b, 32, 32, 7);
        meta_header(&file, "ONE");
        builder_write(&b, &file);
        EXPECT(file_write(scratch_path("a.dcm"), file.data, file.size));
        bool ready = !ways[i].prepare ||
                     (convert(ways[i].prepare, ways[i].prepare_option, scratch_path("a.dcm"), scratch_path("c.dcm")) &&
                      rename(scratch_path("c.dcm"), scratch_path("a.dcm")) == 0);
        if (ready && convert(ways[i].program, ways[i].option, scratch_path("a.dcm"), scratch_path("b.dcm"))) {
            EXPECT(file_read(scratch_path("a.dcm"), &file));
            EXPECT_OK(archive_import(&file, &first));
            EXPECT(file_read(scratch_path("b.dcm"), &file));
            EXPECT_OK(archive_import(&file, &r));
            if (r.verdict != INGEST_VARIANT)
                fprintf(stderr, "%s %s: %s\n", ways[i].program, ways[i].option, ingest_verdict_name(r.verdict));
            EXPECT(r.verdict == INGEST_VARIANT);
            EXPECT((archive_row(first.id).flags & INSTANCE_SHOWN) && !archive_row(first.id).superseded);
            EXPECT(archive_counts().conflicts == 0);
            EXPECT_OK(archive_import(&file, &r));
            EXPECT(r.verdict == INGEST_DUPLICATE);
        }
        buf_release(&file);
    }
}

static void versions_history_is_the_same_after_a_rebuild(void)
{
    struct buf before, after;
    buf_init(&before);
    buf_init(&after);
    begin();
    for (unsigned i = 0; i < 40; i++) {
        char uid[32], name[32];
        snprintf(uid, sizeof uid, "1.2.3.%u.%u", i % 3, i % 7);
        snprintf(name, sizeof name, "Doe^John%u", i % 2);
        person(name, i % 5 ? "4711" : "0", i % 4 ? "19700101" : "19800101");
        builder_uid(&b, i % 6 ? "1.2.3" : "1.2.4", i % 4 ? "1.2.3.1" : "1.2.3.2", uid);
        builder_pixels(&b, 4, 4, i % 3);
        archive_send(&b, i % 2 ? "CT1" : "MR1", i % 3 != 0);
    }
    archive_dump(&before);
    archive_reopen(PACS_REBUILD);
    archive_dump(&after);
    EXPECT_TEXT(buf_string(&after), buf_string(&before));
    EXPECT(archive_damage(true) == 0);
    buf_release(&before);
    buf_release(&after);
}

int main(void)
{
    RUN(identity_id_is_trimmed_and_case_kept);
    RUN(identity_issuer_parts_equal_ids);
    RUN(identity_placeholder_ids_identify_nobody);
    RUN(identity_name_and_birth_date_stand_for_a_placeholder_id);
    RUN(identity_study_alone_where_nothing_else_says);
    RUN(identity_objects_without_study_stand_under_their_class);
    RUN(identity_one_id_names_written_otherwise_are_one_person);
    RUN(identity_one_id_other_name_and_date_are_two_patients);
    RUN(identity_one_id_half_the_difference_stays_one_and_is_listed);
    RUN(identity_study_uid_under_two_patients_is_shown_under_each);
    RUN(identity_the_same_image_under_two_patients_is_kept_for_each);
    RUN(identity_versions_of_an_image_under_two_patients_keep_its_plain_name);
    RUN(identity_series_uid_under_two_studies);
    RUN(identity_instance_uid_under_two_series);
    RUN(versions_the_same_bytes_store_nothing);
    RUN(versions_damaged_bytes_are_healed_and_the_file_stays_itself);
    RUN(versions_lost_pack_does_not_refuse_what_comes_again);
    RUN(versions_no_packs_at_all_is_refused);
    RUN(versions_known_peer_replaces_its_own);
    RUN(versions_strangers_do_not_replace);
    RUN(versions_lossy_gives_way_to_lossless);
    RUN(versions_another_preamble_is_a_variant);
    RUN(versions_file_without_preamble_comes_back_so);
    RUN(versions_another_lossless_syntax_is_a_variant);
    RUN(versions_history_is_the_same_after_a_rebuild);
    builder_release(&b);
    archive_gone();
    return check_done();
}
