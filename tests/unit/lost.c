/* What is lost when a record, a pack header or a pack is damaged: that, and nothing else. Each case damages an archive
 * and makes its index anew from what is left. */
#include "archive_case.h"

#include "index/db/tables.h"

static struct builder b;

static void begin(void)
{
    builder_release(&b);
    builder_init(&b);
    archive_make();
}

static struct ingest_result send_number(unsigned number)
{
    char uid[32], text[16];
    snprintf(uid, sizeof uid, "1.2.3.4.%u", number);
    snprintf(text, sizeof text, "%u", number);
    builder_uid(&b, "1.2.3", "1.2.3.4", uid);
    builder_text(&b, 0x00200013, "IS", text);
    builder_pixels(&b, 4, 4, number);
    return archive_send(&b, "CT1", true);
}

/* Damages the record of an edition and makes the index anew. */
static void lose_record(uint64_t id)
{
    char path[64];
    struct instance_row row = archive_row(id);
    snprintf(path, sizeof path, "archive/packs/%08u.pack", row.pack);
    archive_close();
    EXPECT(file_flip(scratch_path(path), row.offset + RECORD_HEADER_SIZE + 40));
    archive_open(PACS_WRITE);
}

static void lost_first_record_leaves_the_others(void)
{
    struct buf bytes;
    buf_init(&bytes);
    begin();
    struct ingest_result first = send_number(1), second = send_number(2);
    char path[PATH_MAX];
    builder_write(&b, &bytes);
    snprintf(path, sizeof path, "%s", archive_path_of(second.id));
    lose_record(first.id);
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_counts().instances == 1 && archive_counts().patients == 1);
    EXPECT(archive_holds(second.id, &bytes));
    EXPECT_TEXT(archive_path_of(second.id), path);
    EXPECT_TEXT(archive_row(second.id).name, "0002");
    /* What comes now finds patient, study and series. */
    struct ingest_result third = send_number(3);
    EXPECT(archive_counts().patients == 1 && archive_counts().series == 1 && archive_counts().instances == 2);
    EXPECT(archive_row(third.id).series == archive_row(second.id).series);
    buf_release(&bytes);
}

static void lost_record_that_was_healed_is_there_after_a_rebuild(void)
{
    struct buf bytes, before, after;
    buf_init(&bytes);
    buf_init(&before);
    buf_init(&after);
    begin();
    struct ingest_result first = send_number(1);
    builder_write(&b, &bytes);
    lose_record(first.id);
    struct ingest_result again = archive_send(&b, "CT1", true);
    EXPECT(again.verdict == INGEST_HEALED && again.id == first.id);
    send_number(2);
    EXPECT_OK(archive_file(first.id, &before));
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_counts().instances == 2);
    EXPECT(archive_holds(first.id, &bytes));
    EXPECT_OK(archive_file(first.id, &after));
    EXPECT(before.size == after.size && memcmp(before.data, after.data, before.size) == 0);
    struct pacs_txn *txn;
    struct instance_row row;
    EXPECT_OK(pacs_begin(archive, &txn));
    EXPECT_OK(pacs_next_instance_by_uid(txn, "1.2.3.4.1", 0, &row));
    EXPECT(row.id == first.id && instance_shown(&row, UINT64_MAX));
    pacs_end(txn);
    buf_release(&bytes);
    buf_release(&before);
    buf_release(&after);
}

/* Whose record is lost is known by its digest: another image of the same length does not take its place. */
static void lost_record_is_not_healed_by_another_image(void)
{
    struct buf bytes;
    buf_init(&bytes);
    begin();
    struct ingest_result first = send_number(1);
    builder_write(&b, &bytes);
    lose_record(first.id);
    builder_pixels(&b, 4, 4, 99);
    struct ingest_result other = archive_send(&b, "ANOTHER_STATION", false);
    EXPECT(other.verdict == INGEST_CONFLICT && other.id != first.id);
    builder_pixels(&b, 4, 4, 1);
    /* The meta header names the sender: from here the file has another length, and an edition keeps its size. */
    struct ingest_result again = archive_send(&b, "ANOTHER_STATION", false);
    EXPECT(again.verdict == INGEST_VERSION && archive_holds(again.id, &bytes));
    struct instance_row row = archive_row(again.id), before = archive_row(first.id);
    EXPECT(instance_shown(&row, UINT64_MAX) && !instance_shown(&before, UINT64_MAX));
    EXPECT(before.superseded == again.id);
    EXPECT(archive_send(&b, "A_THIRD_STATION", false).verdict == INGEST_DUPLICATE);
    EXPECT(archive_send(&b, "CT1", false).verdict == INGEST_HEALED && archive_holds(first.id, &bytes));
    EXPECT(archive_send(&b, "CT1", false).verdict == INGEST_DUPLICATE);
    buf_release(&bytes);
}

static void lost_version_does_not_hide_the_next(void)
{
    struct buf bytes;
    buf_init(&bytes);
    begin();
    struct ingest_result first = send_number(1);
    builder_pixels(&b, 4, 4, 99);
    builder_write(&b, &bytes);
    struct ingest_result second = archive_send(&b, "CT1", true);
    EXPECT(second.verdict == INGEST_VERSION);
    lose_record(first.id);
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_counts().instances == 1);
    EXPECT(archive_holds(second.id, &bytes));
    buf_release(&bytes);
}

static void lost_pack_header_costs_no_record(void)
{
    struct buf before, after;
    buf_init(&before);
    buf_init(&after);
    begin();
    send_number(1);
    send_number(2);
    archive_reopen(PACS_WRITE); /* another run, another pack */
    send_number(3);
    archive_dump(&before);
    archive_close();
    EXPECT(file_flip(scratch_path("archive/packs/00000001.pack"), 40));
    archive_open(PACS_REBUILD);
    archive_dump(&after);
    EXPECT_TEXT(buf_string(&after), buf_string(&before));
    EXPECT(archive_damage(false) > 0);
    buf_release(&before);
    buf_release(&after);
}

/* A cut while a pack is made leaves a file without a header; that is no damage, now and after the next pack. */
static void lost_making_of_a_pack_is_no_damage(void)
{
    begin();
    send_number(1);
    archive_close();
    EXPECT(file_write(scratch_path("archive/packs/00000002.pack"), "\0\0\0\0", 4));
    archive_open(PACS_WRITE);
    send_number(2);
    EXPECT(archive_damage(true) == 0);
    archive_reopen(PACS_REBUILD);
    EXPECT(archive_counts().instances == 2 && archive_damage(true) == 0);
}

/* Seals are made in the background. */
static void wait_for_seals(uint64_t count)
{
    for (int i = 0; i < 1000 && archive_stored().sealed < count; i++)
        usleep(10000);
    EXPECT(archive_stored().sealed == count);
}

/* A pack is exchanged for an older copy of itself, whose bytes hold: it is the seal that tells. */
static void lost_seal_of_the_pack_before_is_missed(void)
{
    struct buf young;
    buf_init(&young);
    begin();
    send_number(1);
    archive_close();
    EXPECT(file_read(scratch_path("archive/packs/00000001.pack"), &young));
    for (unsigned number = 2; number < 4; number++) {
        archive_open(PACS_WRITE);
        send_number(number);
        archive_close();
    }
    archive_open(PACS_WRITE);
    wait_for_seals(2);
    EXPECT(archive_damage(true) == 0);
    EXPECT(file_write(scratch_path("archive/packs/00000001.pack"), young.data, young.size));
    EXPECT(archive_stored().sealed == 1 && archive_damage(false) > 0);
    buf_release(&young);
}

/* Headers that differ enough for a dictionary to be worth it, then one in a pack of its own. */
static struct ingest_result fill_with_a_dictionary(struct buf *last)
{
    uint32_t random = 1;
    for (unsigned number = 0; number < 420; number++) {
        char text[600];
        size_t size = 0;
        for (unsigned word = 0; word < 60; word++) {
            random = random * 1664525 + 1013904223;
            size += (size_t)snprintf(text + size, sizeof text - size, "word%u ", random >> 24);
        }
        builder_text(&b, 0x00204000, "LT", text);
        send_number(number + 1);
    }
    archive_reopen(PACS_WRITE); /* waits for the training; another run, another pack */
    struct ingest_result result = send_number(1000);
    builder_write(&b, last);
    return result;
}

/* Where record `nth` of the only dictionary stands; false: there is none. */
static bool dictionary_place(unsigned nth, uint64_t *pack, uint64_t *offset)
{
    struct pacs_txn *txn;
    uint64_t lsn = 0, at = 0;
    EXPECT_OK(pacs_begin(archive, &txn));
    struct error err = dictionary_newest(txn->db, &lsn);
    for (unsigned i = 0; i <= nth && !err.code; i++)
        err = dictionary_next(txn->db, lsn, &at, pack, offset);
    pacs_end(txn);
    bool found = !err.code;
    error_release(&err);
    return found;
}

static void lost_dictionary_stands_in_the_next_pack_too(void)
{
    for (unsigned lost = 0; lost < 2; lost++) {
        struct buf first, last;
        char path[64];
        uint64_t pack = 0, offset = 0;
        buf_init(&first);
        buf_init(&last);
        begin();
        struct ingest_result result = fill_with_a_dictionary(&last);
        EXPECT(dictionary_place(0, &pack, &offset) && pack == 1);
        EXPECT(dictionary_place(1, &pack, &offset) && pack == 2);
        EXPECT(!dictionary_place(2, &pack, &offset));
        send_number(1001); /* not a second time in one pack */
        EXPECT(!dictionary_place(2, &pack, &offset));
        EXPECT(dictionary_place(lost, &pack, &offset));
        snprintf(path, sizeof path, "archive/packs/%08u.pack", (unsigned)pack);
        archive_close();
        EXPECT(file_flip(scratch_path(path), offset + RECORD_HEADER_SIZE + 40));
        for (unsigned anew = 0; anew < 2; anew++) {
            archive_open(anew ? PACS_REBUILD : PACS_WRITE);
            EXPECT(archive_holds(result.id, &last));
            EXPECT(archive_counts().instances == 422);
            EXPECT(archive_damage(false) > 0);
            archive_close();
        }
        archive_open(PACS_WRITE);
        EXPECT(send_number(1002).verdict == INGEST_STORED);
        for (unsigned nth = 0; dictionary_place(nth, &pack, &offset);)
            nth++;
        EXPECT(pack > 2);
        buf_release(&first);
        buf_release(&last);
    }
}

int main(void)
{
    RUN(lost_first_record_leaves_the_others);
    RUN(lost_record_that_was_healed_is_there_after_a_rebuild);
    RUN(lost_record_is_not_healed_by_another_image);
    RUN(lost_version_does_not_hide_the_next);
    RUN(lost_pack_header_costs_no_record);
    RUN(lost_making_of_a_pack_is_no_damage);
    RUN(lost_seal_of_the_pack_before_is_missed);
    RUN(lost_dictionary_stands_in_the_next_pack_too);
    builder_release(&b);
    archive_gone();
    return check_done();
}
