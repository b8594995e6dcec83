/* From any state of index/ and packs/ to an index that is the fold of the log (index/recover.c), and what damage costs.
 */
#include "archive_case.h"
#include "faulty_io.h"

#include "index/fold/record.h"
#include "index/log/log.h"

static struct builder b;

static void begin(void)
{
    fault_clear();
    archive_io = &io_system;
    builder_release(&b);
    builder_init(&b);
    archive_make();
}

static struct ingest_result send_number(unsigned i)
{
    char uid[32];
    snprintf(uid, sizeof uid, "1.2.3.4.%u", i);
    builder_uid(&b, "1.2.3", "1.2.3.4", uid);
    builder_pixels(&b, 4, 4, i);
    return archive_send(&b, "CT1", true);
}

static void other_boot(void)
{
    struct buf text;
    buf_init(&text);
    EXPECT(file_read(scratch_path("archive/index/g00000001/stamp"), &text));
    if (text.size) {
        text.data[0] = text.data[0] == '0' ? '1' : '0';
        EXPECT(file_write(scratch_path("archive/index/g00000001/stamp"), text.data, text.size));
    }
    buf_release(&text);
}

static bool has_generation(unsigned number)
{
    char part[64];
    snprintf(part, sizeof part, "archive/index/g%08u/data.mdb", number);
    return file_size(scratch_path(part)) > 0;
}

/* Whatever is done to index/ while nobody writes, the archive opens with the same rows. */
static void recover_from_any_state_of_the_index(void)
{
    for (int harm = 0; harm < 8; harm++) {
        struct buf before, after, bytes;
        buf_init(&before);
        buf_init(&after);
        buf_init(&bytes);
        begin();
        for (unsigned i = 0; i < 10; i++)
            send_number(i);
        archive_dump(&before);
        archive_close();
        const char *data = scratch_path("archive/index/g00000001/data.mdb");
        switch (harm) {
        case 0: /* another boot: the checkpoint is put back */
            other_boot();
            break;
        case 1: /* and no checkpoint */
            other_boot();
            EXPECT(unlink(scratch_path("archive/index/g00000001/checkpoint")) == 0);
            break;
        case 2: /* deleted */
            nftw(scratch_path("archive/index"), scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
            break;
        case 3:
            EXPECT(unlink(scratch_path("archive/index/current")) == 0);
            break;
        case 4:
            EXPECT(file_write(scratch_path("archive/index/current"), "nonsense\n", 9));
            break;
        case 5: /* a copy under the same name */
            EXPECT(file_read(data, &bytes) && unlink(data) == 0);
            nanosleep(&(struct timespec){0, 20000000}, NULL);
            EXPECT(file_write(data, bytes.data, bytes.size));
            break;
        case 6: /* both meta pages are noise, another boot: the checkpoint has them */
            other_boot();
            memset(buf_reserve(&bytes, 8192), 0xA5, 8192);
            EXPECT(file_write_at(data, 0, bytes.data, 8192));
            break;
        case 7: /* a rebuild that was killed left its folder */
            EXPECT(mkdir(scratch_path("archive/index/g00000002"), 0700) == 0);
            EXPECT(file_write(scratch_path("archive/index/g00000002/data.mdb"), "half", 4));
            other_boot();
            EXPECT(unlink(scratch_path("archive/index/g00000001/checkpoint")) == 0);
            break;
        }
        archive_open(harm % 2 || harm == 2 ? PACS_READ : PACS_WRITE);
        archive_dump(&after);
        int failures = check_failures;
        EXPECT_TEXT(buf_string(&after), buf_string(&before));
        EXPECT(has_generation(1) == (harm == 0 || harm == 6));
        EXPECT(archive_damage(true) == 0);
        if (check_failures != failures)
            fprintf(stderr, "harm %d\n", harm);
        archive_reopen(PACS_WRITE);
        EXPECT(send_number(11).verdict == INGEST_STORED);
        buf_release(&before);
        buf_release(&after);
        buf_release(&bytes);
    }
}

struct run {
    enum record_type type;
    const struct instance_record *record;
    unsigned count; /* equal records; 0 ends the list */
};

/* Appends records behind everything, without the index hearing of it. */
static void append_records(const struct run *runs)
{
    struct pack_info *list;
    struct packs *packs;
    struct log *more;
    struct log_place place;
    struct pacs_txn *txn;
    struct meta_row meta = {0};
    size_t packs_count;
    uint64_t durable, end;
    uint8_t uuid[16];
    archive_reopen(PACS_READ);
    EXPECT_OK(pacs_begin(archive, &txn));
    EXPECT_OK(meta_row_get(txn->db, &meta));
    pacs_end(txn);
    memcpy(uuid, pacs_conf(archive)->uuid, 16);
    archive_close();
    EXPECT_OK(packs_new(&packs, scratch_path("archive/packs"), uuid, &io_system));
    EXPECT_OK(packs_list(packs, &list, &packs_count));
    EXPECT_OK(pack_find_end(packs, list[packs_count - 1].header.number, 0, &durable, &end));
    struct log_position at = {list[packs_count - 1].header.number, end, meta.lsn, meta.time_ns};
    free(list);
    packs_free(packs);
    EXPECT_OK(log_new(&more, scratch_path("archive/packs"), uuid, &io_system, UINT64_C(1) << 40, &at));
    EXPECT_OK(log_open_group(more));
    for (; runs->count; runs++) {
        struct buf payload;
        struct error err = NO_ERROR;
        buf_init(&payload);
        instance_record_write(&payload, runs->record);
        struct iovec part = {payload.data, payload.size};
        for (unsigned i = 0; i < runs->count && !err.code; i++)
            err = log_append(more, runs->type, true, &part, 1, &place);
        EXPECT_OK(err);
        EXPECT_OK(log_sync(more));
        buf_release(&payload);
    }
    log_free(more);
}

static void append_duplicates(uint64_t id, unsigned count)
{
    struct instance_record record = {.verdict = INGEST_DUPLICATE, .supersedes = id};
    append_records((const struct run[]){{RECORD_DUPLICATE, &record, count}, {0}});
}

/* A record that stands on what is not there fails when it has half been applied: the folder that it makes, the patient.
 * Nothing of it stays, by whatever way the index is made, and what comes before and behind it is there. */
static void recover_record_that_cannot_be_applied_leaves_nothing(void)
{
    for (unsigned made = 0; made < 4; made++) {
        struct buf replayed, rebuilt;
        buf_init(&replayed);
        buf_init(&rebuilt);
        begin();
        struct ingest_result first = send_number(0);
        struct instance_record record = {
            .verdict = INGEST_STORED,
            .syntax = BUILDER_EXPLICIT,
            .folder = {9000, 901, made > 0, "Half"},
            .patient = {9001, 1, made > 1, made > 1 ? "Half made" : ""},
            .study = {9002, 1, made > 2, made > 2 ? "study" : ""},
            .series = {9003, 1, false, ""},
            .instance = {9004, 1, true, "0001"},
            .patient_key = "half",
            .flags = INSTANCE_SHOWN,
        };
        if (!made)
            record.folder.name = "";
        struct instance_record again = {.verdict = INGEST_DUPLICATE, .supersedes = first.id};
        append_records((const struct run[]){{RECORD_INSTANCE, &record, 1},
                                            {RECORD_DUPLICATE, &again, 3},
                                            {RECORD_INSTANCE, &record, 2},
                                            {RECORD_DUPLICATE, &again, 1},
                                            {0}});
        archive_open(PACS_WRITE);
        EXPECT(archive_counts().patients == 1 && archive_counts().duplicates == 4 && archive_counts().lsn == 8);
        struct ingest_result last = send_number(1);
        EXPECT(last.verdict == INGEST_STORED && last.lsn == 9);
        archive_dump(&replayed);
        EXPECT(!strstr(buf_string(&replayed), "Half"));
        archive_reopen(PACS_REBUILD);
        archive_dump(&rebuilt);
        EXPECT_TEXT(buf_string(&rebuilt), buf_string(&replayed));
        buf_release(&replayed);
        buf_release(&rebuilt);
    }
}

/* The power goes while a restart replays: the checkpoint of before is still whole (C1), also where the replay was long
 * enough to use freed pages again. Every `at`-th sync or rename from the start on is where it goes. */
static void recover_cut_while_it_replays(void)
{
    for (int at = 0; at < 2; at++) {
        struct buf before, after;
        buf_init(&before);
        buf_init(&after);
        begin();
        for (unsigned i = 0; i < 5; i++)
            send_number(i);
        uint64_t id = send_number(5).id;
        archive_dump(&before);
        append_duplicates(id, 400000);
        if (at % 2)
            other_boot();
        archive_io = &faulty_io;
        fault_set(FAULT_RENAME, at / 2, EIO, false);
        fault_plan.cut = true;
        struct error err = archive_try_open(PACS_WRITE);
        bool failed = err.code != ERROR_NONE;
        error_release(&err);
        archive_close();
        fault_clear();
        archive_io = &io_system;
        if (failed) {
            other_boot();
            archive_open(PACS_WRITE);
            EXPECT(has_generation(1)); /* from the checkpoint, not from nothing */
        } else {
            archive_open(PACS_WRITE);
        }
        archive_dump(&after);
        EXPECT_TEXT(buf_string(&after), buf_string(&before));
        EXPECT(archive_counts().duplicates == 400000);
        buf_release(&before);
        buf_release(&after);
    }
}

/* Where the record of an edition stands. */
static void flip_record(uint64_t id)
{
    struct instance_row row = archive_row(id);
    char part[64];
    snprintf(part, sizeof part, "archive/packs/%08u.pack", row.pack);
    EXPECT(file_flip(scratch_path(part), row.offset + RECORD_HEADER_SIZE + 20));
}

/* The first record of a patient names patient, study and series. It is damaged: its own image is lost, all others keep
 * their places, names and inodes. */
static void recover_damaged_first_record_costs_its_own_image(void)
{
    struct ingest_result r[4];
    char paths[4][1024];
    archive_wish.patients = (char *)"initial";
    begin();
    for (unsigned i = 0; i < 4; i++) {
        r[i] = send_number(i);
        snprintf(paths[i], sizeof paths[i], "%s", archive_path_of(r[i].id));
    }
    flip_record(r[0].id);
    archive_reopen(PACS_REBUILD);
    struct pacs_counts c = archive_counts();
    EXPECT(c.patients == 1 && c.studies == 1 && c.series == 1 && c.instances == 3);
    for (unsigned i = 1; i < 4; i++)
        EXPECT_TEXT(archive_path_of(r[i].id), paths[i]);
    struct pacs_txn *txn;
    struct object_row row;
    uint64_t id;
    EXPECT_OK(pacs_begin(archive, &txn));
    EXPECT_OK(pacs_next_study_by_uid(txn, "1.2.3", 0, &row));
    EXPECT_OK(pacs_next_by_key(txn, SECONDARY_PATIENT_ID, "4711", 0, &id));
    pacs_end(txn);
    /* What comes now is known as the same patient's. */
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.99");
    struct ingest_result more = archive_send(&b, "CT1", true);
    EXPECT(archive_counts().patients == 1);
    EXPECT(strncmp(archive_path_of(more.id), paths[1], strlen(paths[1]) - 6) == 0);
    EXPECT(archive_damage(false) > 0);
    struct buf one, two;
    buf_init(&one);
    buf_init(&two);
    archive_dump(&one);
    archive_reopen(PACS_REBUILD);
    archive_dump(&two);
    EXPECT_TEXT(buf_string(&two), buf_string(&one));
    buf_release(&one);
    buf_release(&two);
}

/* A version whose predecessor is damaged is shown all the same. */
static void recover_version_of_a_damaged_record_is_shown(void)
{
    begin();
    send_number(0);
    struct ingest_result old = send_number(1);
    builder_pixels(&b, 4, 4, 77);
    struct ingest_result new = archive_send(&b, "CT1", true);
    EXPECT(new.verdict == INGEST_VERSION);
    flip_record(old.id);
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_counts().instances == 2);
    EXPECT(instance_shown(&(struct instance_row){0}, 0) == false);
    struct instance_row row = archive_row(new.id);
    EXPECT(instance_shown(&row, UINT64_MAX));
    EXPECT(strstr(archive_path_of(new.id), "0042~2"));
}

/* What was healed after its record was damaged is there after a rebuild too, which cannot read that record. */
static void recover_healed_record_survives_a_rebuild(void)
{
    struct buf bytes;
    buf_init(&bytes);
    begin();
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.0");
    builder_write(&b, &bytes);
    struct ingest_result first = archive_send(&b, "CT1", true);
    char path[1024];
    snprintf(path, sizeof path, "%s", archive_path_of(first.id));
    flip_record(first.id);
    archive_reopen(PACS_WRITE);
    struct ingest_result again = archive_send(&b, "CT1", true);
    EXPECT(again.verdict == INGEST_HEALED && again.id == first.id);
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_counts().instances == 1 && archive_counts().patients == 1);
    EXPECT_TEXT(archive_path_of(first.id), path);
    EXPECT(archive_holds(first.id, &bytes));
    struct instance_row row = archive_row(first.id);
    EXPECT(instance_shown(&row, UINT64_MAX) && row.size == bytes.size + row.prefix_size);
    EXPECT(archive_send(&b, "CT1", true).verdict == INGEST_DUPLICATE);
    builder_uid(&b, "1.2.3", "1.2.3.4", "1.2.3.4.1");
    EXPECT(archive_send(&b, "CT1", true).verdict == INGEST_STORED);
    buf_release(&bytes);
}

/* An id that a damaged record gave is not given again: an inode never comes back as another file. */
static void recover_ids_of_damaged_records_are_not_given_again(void)
{
    begin();
    send_number(0);
    struct ingest_result last = send_number(1);
    archive_close();
    archive_open(PACS_WRITE);
    flip_record(last.id);
    archive_reopen(PACS_REBUILD);
    uint64_t id = send_number(2).id;
    EXPECT(id > last.id);
}

int main(void)
{
    RUN(recover_from_any_state_of_the_index);
    RUN(recover_record_that_cannot_be_applied_leaves_nothing);
    RUN(recover_cut_while_it_replays);
    RUN(recover_damaged_first_record_costs_its_own_image);
    RUN(recover_version_of_a_damaged_record_is_shown);
    RUN(recover_healed_record_survives_a_rebuild);
    RUN(recover_ids_of_damaged_records_are_not_given_again);
    builder_release(&b);
    archive_gone();
    return check_done();
}
