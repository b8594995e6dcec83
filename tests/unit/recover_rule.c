/* The recovery rule from the outside: what a crash leaves in packs/ and index/, and what the archive is afterwards. The
 * rule within one pack (S1 to S3 of index/pack/scan.c) has its own table in pack_scan.c; here each row is a state of a
 * whole archive of five images, and names the invariant that it shows: S of scan.c, L of log.h, W of writer.h, C of
 * checkpoint.h, E of seal.h.
 *
 * Each case: harm, start, compare, send, compare again after a rebuild from the packs alone. */
#include "archive_case.h"

#include "index/fold/record.h"
#include "index/pack/seal.h"

#include <time.h>

#define IMAGES 5
#define PACK(n) scratch_path("archive/packs/0000000" #n ".pack")
#define INDEX(part) scratch_path("archive/index/g00000001/" part)

static struct builder b;
static uint8_t uuid[16];
static uint64_t last_lsn, some_id;
static uint64_t size[2]; /* of pack 1 */

static struct ingest_result send_number(unsigned i)
{
    char uid[32];
    snprintf(uid, sizeof uid, "1.2.3.4.%u", i);
    builder_uid(&b, "1.2.3", "1.2.3.4", uid);
    builder_pixels(&b, 4, 4, i);
    return archive_send(&b, "CT1", true);
}

/* ---- what a crash may leave ---- */

/* A record that says that a data set came again, as it would stand at `place`. */
static void put_record(struct buf *out, const uint8_t archive_uuid[16], uint64_t pack, uint64_t place, uint64_t lsn,
                       uint64_t synced)
{
    struct instance_record record = {.verdict = INGEST_DUPLICATE, .supersedes = some_id};
    struct buf payload;
    uint8_t bytes[RECORD_HEADER_SIZE];
    static const uint8_t padding[RECORD_ALIGN];
    buf_init(&payload);
    instance_record_write(&payload, &record);
    struct record_header h = {.type = RECORD_DUPLICATE, .lsn = lsn, .length = payload.size, .synced = synced};
    h.time_ns = (uint64_t)time(NULL) * 1000000000u;
    h.payload_checksum = checksum64(payload.data, payload.size, 0);
    record_header_write(bytes, &h, record_seed(archive_uuid, pack, place));
    buf_append(out, bytes, sizeof bytes);
    buf_append(out, payload.data, payload.size);
    buf_append(out, padding, (size_t)(record_extent(payload.size) - RECORD_HEADER_SIZE - payload.size));
    buf_release(&payload);
}

static void write_at(const char *path, uint64_t offset, struct buf *bytes)
{
    EXPECT_OK(buf_error(bytes));
    EXPECT(file_write_at(path, offset, bytes->data, bytes->size));
    buf_release(bytes);
}

static void whole_tail(void)
{
    struct buf r;
    buf_init(&r);
    put_record(&r, uuid, 1, size[1], last_lsn + 1, 0);
    write_at(PACK(1), size[1], &r);
}

static void torn_tail(void)
{
    whole_tail();
    EXPECT(truncate(PACK(1), (off_t)(file_size(PACK(1)) - 9)) == 0);
}

static void noise_behind(void)
{
    struct buf r;
    buf_init(&r);
    for (unsigned i = 0; i < 3000; i++)
        buf_u32(&r, i * 2654435761u);
    write_at(PACK(1), size[1], &r);
}

static void stale_of_another_archive(void)
{
    struct buf r;
    buf_init(&r);
    put_record(&r, (const uint8_t *)"another archive", 1, size[1], last_lsn + 1, 0);
    write_at(PACK(1), size[1], &r);
}

static void stale_of_another_pack(void)
{
    struct buf r;
    buf_init(&r);
    put_record(&r, uuid, 2, size[1], last_lsn + 1, 0);
    write_at(PACK(1), size[1], &r);
}

static void stale_of_another_place(void)
{
    struct buf r;
    buf_init(&r);
    put_record(&r, uuid, 1, size[1] + 512, last_lsn + 1, 0);
    write_at(PACK(1), size[1], &r);
}

/* Two records, the first of them bad; `proven`: the second says that the first was synced. */
static void bad_then_good(bool proven)
{
    struct buf r;
    buf_init(&r);
    put_record(&r, uuid, 1, size[1], last_lsn + 1, 0);
    uint64_t second = size[1] + r.size;
    put_record(&r, uuid, 1, second, last_lsn + 2, proven ? second : 0);
    write_at(PACK(1), size[1], &r);
    EXPECT(file_flip(PACK(1), size[1] + RECORD_HEADER_SIZE + 3));
}

static void good_beyond_a_bad_one(void)
{
    bad_then_good(false);
}

static void damage_that_is_proven(void)
{
    bad_then_good(true);
}

/* A pack 2 as log_open_group() makes it, with `records` that begin with the next LSN. */
static void successor(unsigned records, size_t cut)
{
    struct buf r;
    struct pack_header h = {.number = 2, .first_lsn = last_lsn + 1, .previous = 1, .previous_end = size[1]};
    memcpy(h.uuid, uuid, 16);
    buf_init(&r);
    pack_header_write(&r, &h, NULL);
    for (unsigned i = 0; i < records; i++)
        put_record(&r, uuid, 2, r.size, last_lsn + 1 + i, PACK_HEADER_MIN);
    r.size = cut < r.size ? cut : r.size;
    EXPECT(file_write(PACK(2), r.data, r.size));
    buf_release(&r);
}

/* The write was there, the sync failed, the record was refused: the successor says where pack 1 ends. */
static void failed_sync_then_successor(void)
{
    whole_tail();
    successor(0, SIZE_MAX);
}

static void lsn_written_twice(void)
{
    whole_tail();
    successor(2, SIZE_MAX);
}

static void lsn_written_twice_in_packs_of_two_tries(void)
{
    /* The first successor took a group that was never synced; the second states the same end of pack 1. */
    struct buf r;
    struct pack_header h = {.number = 3, .first_lsn = last_lsn + 1, .previous = 2, .previous_end = PACK_HEADER_MIN};
    successor(1, SIZE_MAX);
    memcpy(h.uuid, uuid, 16);
    buf_init(&r);
    pack_header_write(&r, &h, NULL);
    put_record(&r, uuid, 3, r.size, last_lsn + 1, PACK_HEADER_MIN);
    EXPECT(file_write(PACK(3), r.data, r.size));
    buf_release(&r);
}

static void successor_of_no_bytes(void)
{
    successor(0, 0);
}

static void successor_with_a_torn_header(void)
{
    successor(0, 60);
}

static void successor_without_records(void)
{
    successor(0, SIZE_MAX);
}

/* Cases that ask for small packs: pack 1 is full and sealed, pack 2 the newest. */
static void unsealed(size_t more)
{
    struct pack_info *list;
    struct packs *packs;
    size_t count;
    EXPECT_OK(packs_new(&packs, scratch_path("archive/packs"), uuid, &io_system));
    EXPECT_OK(packs_list(packs, &list, &count));
    EXPECT(count >= 2 && list[0].end && list[0].end < size[1]);
    EXPECT(truncate(PACK(1), (off_t)(list[0].end + more)) == 0);
    free(list);
    packs_free(packs);
}

static void cut_before_the_seal(void)
{
    unsealed(0);
}

static void cut_in_the_table(void)
{
    unsealed(100);
}

static void cut_in_the_seal(void)
{
    EXPECT(truncate(PACK(1), (off_t)(size[1] - 20)) == 0);
}

static void leave_half(const char *from, const char *to)
{
    struct buf bytes;
    buf_init(&bytes);
    EXPECT(file_read(from, &bytes) && bytes.size > 10);
    EXPECT(file_write(to, bytes.data, bytes.size / 2));
    buf_release(&bytes);
}

static void cut_while_the_checkpoint_is_written(void)
{
    leave_half(INDEX("checkpoint"), INDEX(".checkpoint.new"));
}

static void checkpoint_torn(void)
{
    leave_half(INDEX("checkpoint"), INDEX("checkpoint"));
}

static void stamp_torn(void)
{
    leave_half(INDEX("stamp"), INDEX("stamp"));
}

static void cut_while_the_index_is_switched(void)
{
    EXPECT(mkdir(scratch_path("archive/index/g00000002"), 0750) == 0);
    leave_half(INDEX("data.mdb"), scratch_path("archive/index/g00000002/data.mdb"));
    EXPECT(file_write(scratch_path("archive/index/.current.new"), "g0000", 5));
}

/* ---- the table ---- */

struct rule_case {
    const char *name, *invariant;
    void (*harm)(void);
    unsigned counted; /* records of the tail that count */
    unsigned lost;    /* LSNs before them that are damaged */
    unsigned damage;  /* what verify tells */
    bool switches;    /* small packs */
};

static const struct rule_case cases[] = {
    {"whole_tail", "S2: kept, though nobody was told", whole_tail, 1, 0, 0, false},
    {"torn_tail", "S2", torn_tail, 0, 0, 0, false},
    {"noise_behind_the_end", "S2", noise_behind, 0, 0, 0, false},
    {"stale_blocks_of_another_archive", "S2", stale_of_another_archive, 0, 0, 0, false},
    {"stale_blocks_of_another_pack", "S2", stale_of_another_pack, 0, 0, 0, false},
    {"stale_blocks_of_another_place", "S2", stale_of_another_place, 0, 0, 0, false},
    {"good_records_beyond_a_bad_one", "S2, S3", good_beyond_a_bad_one, 0, 0, 0, false},
    /* the stretch, and the LSN that is missing */
    {"damage_before_the_durable_point", "S1, S3", damage_that_is_proven, 1, 1, 2, false},
    {"failed_sync_then_successor", "L3, W2", failed_sync_then_successor, 0, 0, 0, false},
    {"lsn_written_twice", "L3, L5: the one that the chain holds", lsn_written_twice, 2, 0, 0, false},
    {"lsn_written_twice_in_packs_of_two_tries", "L3, L5", lsn_written_twice_in_packs_of_two_tries, 1, 0, 0, false},
    {"successor_of_no_bytes", "L1", successor_of_no_bytes, 0, 0, 0, false},
    {"successor_with_a_torn_header", "L1", successor_with_a_torn_header, 0, 0, 0, false},
    {"successor_without_records", "L1, L4", successor_without_records, 0, 0, 0, false},
    {"cut_between_pack_switch_and_seal", "E1", cut_before_the_seal, 0, 0, 0, true},
    {"cut_in_the_table_of_a_seal", "E1", cut_in_the_table, 0, 0, 0, true},
    {"cut_in_the_seal", "E1", cut_in_the_seal, 0, 0, 0, true},
    {"cut_while_the_checkpoint_is_written", "C1", cut_while_the_checkpoint_is_written, 0, 0, 0, false},
    {"checkpoint_torn", "C1", checkpoint_torn, 0, 0, 0, false},
    {"stamp_torn", "C1", stamp_torn, 0, 0, 0, false},
    {"cut_while_the_index_is_switched", "C1", cut_while_the_index_is_switched, 0, 0, 0, false},
};

static void other_boot(void)
{
    struct buf text;
    buf_init(&text);
    EXPECT(file_read(INDEX("stamp"), &text) && text.size);
    text.data[0] = text.data[0] == '0' ? '1' : '0';
    EXPECT(file_write(INDEX("stamp"), text.data, text.size));
    buf_release(&text);
}

/* Seals are made beside the writer. */
static void await_seal(void)
{
    while (archive_stored().sealed == 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void prepare(const struct rule_case *c, struct buf *dump)
{
    builder_release(&b);
    builder_init(&b);
    archive_make();
    if (c->switches) {
        archive_options.pack_bytes = 3000;
        archive_reopen(PACS_WRITE);
    }
    for (unsigned i = 0; i < IMAGES; i++)
        some_id = send_number(i).id;
    if (c->switches)
        await_seal();
    last_lsn = archive_counts().lsn;
    memcpy(uuid, pacs_conf(archive)->uuid, 16);
    archive_dump(dump);
    archive_close();
    size[1] = file_size(PACK(1));
}

/* Duplicates add no row: the rows are those of before, whatever of the tail counts. */
static void expect_state(const struct rule_case *c, const struct buf *dump)
{
    struct buf now;
    buf_init(&now);
    archive_dump(&now);
    EXPECT_TEXT(buf_string(&now), buf_string((struct buf *)dump));
    EXPECT(archive_counts().duplicates == c->counted);
    EXPECT(archive_counts().lsn == last_lsn + c->lost + c->counted);
    EXPECT(archive_damage(false) == c->damage);
    buf_release(&now);
}

static void recover_rule(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rule_case *c = &cases[i];
        struct buf dump;
        int before = check_failures;
        buf_init(&dump);
        prepare(c, &dump);
        other_boot();
        c->harm();
        archive_open(PACS_WRITE);
        expect_state(c, &dump);
        struct ingest_result r = send_number(50);
        EXPECT(r.verdict == INGEST_STORED && r.lsn == last_lsn + c->lost + c->counted + 1);
        if (c->switches)
            await_seal(); /* sealed anew */
        buf_clear(&dump);
        archive_dump(&dump);
        uint64_t damage = archive_damage(false);
        EXPECT(damage == c->damage);
        archive_reopen(PACS_REBUILD);
        last_lsn++;
        if (c->lost) /* ids that a damaged record may have given are not given again: rows alone are the same */
            EXPECT(archive_counts().instances == IMAGES + 1);
        expect_state(c, &dump);
        if (check_failures != before)
            fprintf(stderr, "case %s (%s)\n", c->name, c->invariant);
        buf_release(&dump);
    }
}

int main(void)
{
    RUN(recover_rule);
    builder_release(&b);
    archive_gone();
    return check_done();
}
