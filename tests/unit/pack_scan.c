/* Where the newest pack ends and what counts: the rule S1 to S3 of index/pack/scan.c as a table of cases.
 *
 * A pack of ten records is written, each with what it states as synced; then it is damaged; then the rule is asked. */
#include "index/pack/packs.h"

#include "check.h"
#include "faulty_io.h"
#include "scratch.h"

#include "codecs/chunk/chunk.h"

#define RECORDS 10
#define PAYLOAD 100
#define EXTENT 168                                     /* 64 + 100, aligned */
#define AT(n) (PACK_HEADER_MIN + (uint64_t)(n)*EXTENT) /* offset of record n; AT(10): behind the last */
#define PACK "packs/00000001.pack"

static const uint8_t uuid[16] = "pack_scan tests";

enum harm {
    NOTHING,
    FLIP_HEADER,  /* of record `harmed` */
    FLIP_PAYLOAD, /* of record `harmed` */
    CUT,          /* the file ends `extra` bytes into record `harmed` */
    ZEROS,        /* from record `harmed` to the end of the file */
    APPEND_ZEROS, /* `extra` bytes behind the last record */
    APPEND_STALE, /* a record of another place behind the last one */
};

struct rule_case {
    const char *name, *rule;
    int synced[RECORDS]; /* number of the record that was durable when this one was written: everything before it */
    enum harm harm;
    int harmed;
    int extra;
    uint64_t known;   /* a checkpoint's word: records before this number */
    int durable, end; /* record numbers expected */
    int accepted;     /* records a fenced scan up to END yields */
    int fences;       /* damaged stretches it reports */
};

/* clang-format off */
static const struct rule_case cases[] = {
    {"whole", "S2: all hold", {0}, NOTHING, 0, 0, 0, 0, 10, 10, 0},
    {"whole_proven", "S2, S3", {0, 0, 0, 3, 3, 5, 5, 5, 8, 8}, NOTHING, 0, 0, 0, 8, 10, 10, 0},
    {"torn_tail_header", "S2: the first failure behind D ends it", {0, 0, 2}, FLIP_HEADER, 9, 0, 0, 2, 9, 9, 0},
    {"torn_tail_payload", "S2", {0, 0, 2}, FLIP_PAYLOAD, 9, 0, 0, 2, 9, 9, 0},
    {"good_records_beyond_a_bad_one", "S2: they are void, though they look good", {0, 0, 2, 2, 2, 2, 2, 2, 2, 2}, FLIP_PAYLOAD, 5, 0, 0, 2, 5, 5, 0},
    {"good_records_beyond_a_bad_header", "S2", {0, 0, 2, 2, 2, 2, 2, 2, 2, 2}, FLIP_HEADER, 5, 0, 0, 2, 5, 5, 0},
    {"damage_before_D_header", "S1: fenced, the rest is read", {0, 0, 0, 0, 0, 0, 0, 0, 7, 7}, FLIP_HEADER, 3, 0, 0, 7, 10, 9, 1},
    {"damage_before_D_payload", "S1", {0, 0, 0, 0, 0, 0, 0, 0, 7, 7}, FLIP_PAYLOAD, 3, 0, 0, 7, 10, 9, 1},
    {"damage_of_the_first", "S1: a good header anywhere proves what lies before its `synced`", {0, 0, 0, 0, 4}, FLIP_HEADER, 0, 0, 0, 4, 10, 9, 1},
    {"good_header_far_behind_a_bad_record", "S3: D moves as far as its `synced` and no further", {0, 0, 0, 0, 0, 0, 0, 0, 0, 4}, FLIP_PAYLOAD, 6, 0, 0, 4, 6, 6, 0},
    {"the_proof_itself_has_a_bad_payload", "S3: the header alone proves", {0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, FLIP_PAYLOAD, 9, 0, 0, 7, 9, 9, 0},
    {"the_proof_is_lost", "S3: what nothing proves is not durable", {0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, FLIP_HEADER, 9, 0, 0, 0, 9, 9, 0},
    {"checkpoint_proves", "S1: `known` makes the same record damage", {0}, FLIP_HEADER, 3, 0, 6, 6, 10, 9, 1},
    {"nothing_proves", "S2: without it, it is the end", {0}, FLIP_HEADER, 3, 0, 0, 0, 3, 3, 0},
    {"bad_record_right_at_D", "S2: D itself is the first that may fail", {0, 0, 0, 0, 0, 0, 6, 6, 6, 6}, FLIP_HEADER, 6, 0, 0, 6, 6, 6, 0},
    {"file_ends_in_a_header", "S2", {0, 0, 2}, CUT, 7, 20, 0, 2, 7, 7, 0},
    {"file_ends_in_a_payload", "S2", {0, 0, 2}, CUT, 7, 100, 0, 2, 7, 7, 0},
    {"file_ends_in_the_padding", "S2: a record without its padding is torn", {0, 0, 2}, CUT, 7, 165, 0, 2, 7, 7, 0},
    {"file_ends_between_records", "S2", {0, 0, 2}, CUT, 7, 0, 0, 2, 7, 7, 0},
    {"file_ends_before_the_first", "S2", {0}, CUT, 0, 0, 0, 0, 0, 0, 0},
    {"zeros_to_the_end", "S2: a file system gives zeros for what was not written", {0, 0, 2}, ZEROS, 4, 0, 0, 2, 4, 4, 0},
    {"zeros_behind", "S2", {0, 0, 2}, APPEND_ZEROS, 0, 5000, 0, 2, 10, 10, 0},
    {"stale_record_behind", "S2: a record of another place never passes", {0, 0, 2}, APPEND_STALE, 0, 0, 0, 2, 10, 10, 0},
    {"synced_beyond_itself", "S3: a record cannot prove what comes after it", {0, 0, 2, 9}, FLIP_HEADER, 5, 0, 0, 2, 5, 5, 0},
};
/* clang-format on */

static struct packs *packs;

static void write_record(struct buf *out, int number, int synced, uint64_t place)
{
    uint8_t header[RECORD_HEADER_SIZE], payload[PAYLOAD];
    struct record_header h = {.type = RECORD_DUPLICATE, .length = PAYLOAD, .lsn = (uint64_t)number + 1};
    memset(payload, number, sizeof payload);
    h.payload_checksum = checksum64(payload, sizeof payload, 0);
    h.synced = AT(synced);
    record_header_write(header, &h, record_seed(uuid, 1, place));
    buf_append(out, header, sizeof header);
    buf_append(out, payload, sizeof payload);
    buf_append(out, "\0\0\0\0", EXTENT - RECORD_HEADER_SIZE - PAYLOAD);
}

static void make_pack(const int synced[RECORDS])
{
    struct buf bytes;
    struct pack_header h = {.number = 1, .first_lsn = 1};
    memcpy(h.uuid, uuid, 16);
    packs_free(packs);
    packs = NULL;
    scratch_make();
    EXPECT(mkdir(scratch_path("packs"), 0700) == 0);
    buf_init(&bytes);
    pack_header_write(&bytes, &h, NULL);
    for (int i = 0; i < RECORDS; i++)
        write_record(&bytes, i, synced[i], AT(i));
    EXPECT(bytes.size == AT(RECORDS));
    EXPECT(file_write(scratch_path(PACK), bytes.data, bytes.size));
    buf_release(&bytes);
    EXPECT_OK(packs_new(&packs, scratch_path("packs"), uuid, &faulty_io));
}

static void do_harm(const struct rule_case *c)
{
    const char *path = scratch_path(PACK);
    struct buf extra;
    buf_init(&extra);
    switch (c->harm) {
    case NOTHING:
        break;
    case FLIP_HEADER:
        EXPECT(file_flip(path, AT(c->harmed) + 30));
        break;
    case FLIP_PAYLOAD:
        EXPECT(file_flip(path, AT(c->harmed) + 64 + 50));
        break;
    case CUT:
        EXPECT(truncate(path, (off_t)(AT(c->harmed) + (uint64_t)c->extra)) == 0);
        break;
    case ZEROS:
        EXPECT(truncate(path, (off_t)AT(c->harmed)) == 0);
        EXPECT(truncate(path, (off_t)AT(RECORDS)) == 0);
        break;
    case APPEND_ZEROS:
        EXPECT(truncate(path, (off_t)(AT(RECORDS) + (uint64_t)c->extra)) == 0);
        break;
    case APPEND_STALE:
        write_record(&extra, 10, 10, AT(3));
        EXPECT(file_write_at(path, AT(RECORDS), extra.data, extra.size));
        break;
    }
    buf_release(&extra);
}

struct seen {
    int records, fences;
    uint64_t last_lsn;
    bool ordered;
};

static struct error on_record(void *context, uint64_t number, const struct scan_record *record)
{
    struct seen *s = context;
    s->records++;
    s->ordered &= record->header.lsn > s->last_lsn && number == 1;
    s->last_lsn = record->header.lsn;
    EXPECT(record->payload && record->payload[0] == record->header.lsn - 1 &&
           record->payload[PAYLOAD - 1] == record->header.lsn - 1);
    EXPECT(record->offset == AT(record->header.lsn - 1));
    return NO_ERROR;
}

static void on_damage(void *context, uint64_t number, uint64_t from, uint64_t to, const char *what)
{
    struct seen *s = context;
    s->fences++;
    EXPECT(number == 1 && from < to && *what);
}

static void pack_scan_rule_of_recovery(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rule_case *c = &cases[i];
        uint64_t durable, end, stopped;
        struct seen seen = {.ordered = true};
        int before = check_failures;
        make_pack(c->synced);
        do_harm(c);
        EXPECT_OK(pack_find_end(packs, 1, c->known ? AT(c->known) : 0, &durable, &end));
        EXPECT(durable == AT(c->durable));
        EXPECT(end == AT(c->end));
        struct scan_options scan = {
            .end = end, .fence = true, .damage = on_damage, .record = on_record, .context = &seen};
        EXPECT_OK(pack_scan(packs, 1, &scan, &stopped));
        EXPECT(seen.records == c->accepted && seen.ordered);
        EXPECT(seen.fences == c->fences);
        EXPECT(stopped == end);
        if (check_failures != before)
            fprintf(stderr, "case %s (%s): durable %llu end %llu records %d fences %d\n", c->name, c->rule,
                    (unsigned long long)durable, (unsigned long long)end, seen.records, seen.fences);
    }
}

static void pack_scan_unfenced_stops_at_the_first_bad_record(void)
{
    static const int none[RECORDS];
    struct seen seen = {.ordered = true};
    uint64_t stopped;
    make_pack(none);
    EXPECT(file_flip(scratch_path(PACK), AT(4) + 70));
    struct scan_options scan = {.end = AT(RECORDS), .record = on_record, .context = &seen};
    EXPECT_OK(pack_scan(packs, 1, &scan, &stopped));
    EXPECT(seen.records == 4 && stopped == AT(4));
    scan.from = AT(5);
    seen.last_lsn = 0;
    EXPECT_OK(pack_scan(packs, 1, &scan, &stopped));
    EXPECT(seen.records == 9 && stopped == AT(RECORDS));
}

/* A sector that cannot be read takes the record on it, not its neighbours. */
static void pack_scan_unreadable_sector_costs_its_record_alone(void)
{
    static const int none[RECORDS];
    for (int bad = 0; bad < RECORDS; bad++) {
        struct seen seen = {.ordered = true};
        uint64_t stopped;
        make_pack(none);
        fault_set(FAULT_READ, 0, EIO, true);
        fault_plan.bad_from = (long long)AT(bad) + 70;
        fault_plan.bad_to = (long long)AT(bad) + 80;
        struct scan_options scan = {
            .end = AT(RECORDS), .fence = true, .damage = on_damage, .record = on_record, .context = &seen};
        EXPECT_OK(pack_scan(packs, 1, &scan, &stopped));
        EXPECT(seen.records == RECORDS - 1);
        EXPECT(seen.fences == 1);
        EXPECT(fault_plan.hits > 0);
        fault_clear();
    }
}

/* S2: in the tail it is the end; S1: before D it is damage. */
static void pack_scan_end_at_an_unreadable_sector(void)
{
    static const int synced[RECORDS] = {0, 0, 0, 0, 4};
    uint64_t durable, end;
    for (int bad = 0; bad < RECORDS; bad++) {
        make_pack(synced);
        fault_set(FAULT_READ, 0, EIO, true);
        fault_plan.bad_from = (long long)AT(bad) + 70;
        fault_plan.bad_to = (long long)AT(bad) + 80;
        EXPECT_OK(pack_find_end(packs, 1, 0, &durable, &end));
        EXPECT(durable == AT(4));
        EXPECT(end == AT(bad < 4 ? RECORDS : bad));
        fault_clear();
    }
}

static void pack_scan_end_of_a_file_without_header(void)
{
    static const int none[RECORDS];
    uint64_t durable, end;
    make_pack(none);
    for (int size = 50; size >= 0; size -= 50) { /* records are looked for where they would begin: there are none */
        EXPECT(truncate(scratch_path(PACK), size) == 0);
        EXPECT_OK(pack_find_end(packs, 1, 0, &durable, &end));
        EXPECT(end == durable && end == PACK_HEADER_MIN);
    }
}

/* Records of a compacted pack have LSNs of packs before it: reading on in order of number would pass them over. */
static void pack_list_of_a_compacted_archive_is_refused(void)
{
    static const int none[RECORDS];
    struct pack_header header = {.number = 2, .first_lsn = 1, .replaced_count = 1};
    struct pack_replaced replaced = {.number = 1};
    struct pack_info *list = NULL;
    size_t count;
    struct buf bytes;
    make_pack(none);
    EXPECT_OK(packs_list(packs, &list, &count));
    EXPECT(count == 1);
    free(list);
    buf_init(&bytes);
    memcpy(header.uuid, packs_uuid(packs), 16);
    pack_header_write(&bytes, &header, &replaced);
    EXPECT(file_write(scratch_path("packs/00000002.pack"), bytes.data, bytes.size));
    EXPECT_ERROR(packs_list(packs, &list, &count), ERROR_UNSUPPORTED);
    EXPECT(unlink(scratch_path("packs/00000002.pack")) == 0);
    buf_release(&bytes);
}

static void pack_record_proves_what_it_gives(void)
{
    static const int none[RECORDS];
    struct record_header h;
    struct buf payload;
    buf_init(&payload);
    make_pack(none);
    for (size_t guess = 0; guess < 400; guess += 57) { /* less than a header, a part, all, beyond */
        EXPECT_OK(packs_record(packs, 1, AT(9), guess, &h, &payload));
        EXPECT(h.lsn == 10 && payload.size == PAYLOAD && payload.data[0] == 9 && payload.data[PAYLOAD - 1] == 9);
    }
    EXPECT_ERROR(packs_record(packs, 1, AT(9) + 8, 0, &h, &payload), ERROR_DAMAGED);
    EXPECT_ERROR(packs_record(packs, 1, AT(10), 0, &h, &payload), ERROR_DAMAGED);
    EXPECT(file_flip(scratch_path(PACK), AT(9) + 163));
    EXPECT_ERROR(packs_record(packs, 1, AT(9), 0, &h, &payload), ERROR_DAMAGED);
    EXPECT_ERROR(packs_record(packs, 2, AT(9), 0, &h, &payload), ERROR_DAMAGED);
    buf_release(&payload);
}

static void write_header(uint64_t number, uint64_t named, uint64_t previous, uint64_t previous_end, bool foreign)
{
    struct buf bytes;
    char part[64];
    struct pack_header h = {.number = named, .first_lsn = 1, .previous = previous, .previous_end = previous_end};
    memcpy(h.uuid, uuid, 16);
    h.uuid[0] = (uint8_t)(h.uuid[0] + foreign);
    buf_init(&bytes);
    pack_header_write(&bytes, &h, NULL);
    snprintf(part, sizeof part, "packs/%08llu.pack", (unsigned long long)number);
    EXPECT(file_write(scratch_path(part), bytes.data, bytes.size));
    buf_release(&bytes);
}

/* Each pack ends where its successor says; of two that name the same one, the later one counts. */
static void packs_list_chain(void)
{
    static const int none[RECORDS];
    struct pack_info *list;
    size_t count;
    make_pack(none);
    write_header(2, 2, 1, AT(7), false); /* its header was never synced in an earlier run */
    write_header(3, 3, 1, AT(9), false);
    write_header(4, 4, 3, 104, false);
    write_header(5, 6, 4, 104, false); /* renamed */
    write_header(6, 6, 4, 999, true);  /* of another archive */
    EXPECT(file_write(scratch_path("packs/00000007.pack"), "PACSPACK", 8));
    EXPECT(file_write(scratch_path("packs/notes.txt"), "x", 1));
    EXPECT(file_write(scratch_path("packs/00000008.pack.part"), "x", 1));
    EXPECT_OK(packs_list(packs, &list, &count));
    EXPECT(count == 7);
    if (count == 7) {
        EXPECT(list[0].valid && list[0].end == AT(9) && list[0].file_size == AT(RECORDS));
        EXPECT(list[1].valid && list[1].end == 0);
        EXPECT(list[2].valid && list[2].end == 104);
        EXPECT(list[3].valid && list[3].end == 0);
        for (size_t i = 4; i < 7; i++)
            EXPECT(!list[i].valid && *list[i].why && list[i].header.number == i + 1);
    }
    free(list);
}

/* More packs than descriptors are kept: each is still read. */
static void packs_more_than_descriptors(void)
{
    static const int none[RECORDS];
    uint8_t bytes[8];
    make_pack(none);
    for (uint64_t n = 2; n < PACKS_OPEN_MAX + 20; n++)
        write_header(n, n, n - 1, 104, false);
    for (int round = 0; round < 2; round++)
        for (uint64_t n = 1; n < PACKS_OPEN_MAX + 20; n++) {
            EXPECT_OK(packs_read(packs, n, 32, bytes, 8));
            EXPECT(get_u64(bytes) == n);
        }
}

int main(void)
{
    RUN(pack_scan_rule_of_recovery);
    RUN(pack_scan_unfenced_stops_at_the_first_bad_record);
    RUN(pack_scan_unreadable_sector_costs_its_record_alone);
    RUN(pack_scan_end_at_an_unreadable_sector);
    RUN(pack_scan_end_of_a_file_without_header);
    RUN(pack_list_of_a_compacted_archive_is_refused);
    RUN(pack_record_proves_what_it_gives);
    RUN(packs_list_chain);
    RUN(packs_more_than_descriptors);
    packs_free(packs);
    scratch_remove();
    return check_done();
}
