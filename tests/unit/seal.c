/* Sealed packs: the table says what the pack holds, the SHA-256 that nothing was altered (index/pack/seal.h). */
#include "index/pack/seal.h"

#include "archive_case.h"
#include "faulty_io.h"
#include "index/log/log.h"

#include <time.h>

static const uint8_t uuid[16] = "seal unit tests";
static struct packs *packs;
static uint64_t end_of[3];
static const uint8_t none[32];

#define RECORDS 40

/* Packs 1 and 2, pack 1 full of logical records and chunks; `large` payloads make tables of several blocks. */
static void make_packs(size_t payload)
{
    static uint8_t bytes[400000];
    struct log *writing;
    struct log_position start = {0};
    struct log_place place;
    packs_free(packs);
    packs = NULL;
    fault_clear();
    scratch_make();
    EXPECT(mkdir(scratch_path("packs"), 0700) == 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    EXPECT_OK(log_new(&writing, scratch_path("packs"), uuid, &io_system, UINT64_C(1) << 40, &start));
    EXPECT_OK(log_open_group(writing));
    for (int i = 0; i < RECORDS; i++) {
        struct iovec part = {bytes + i, payload};
        EXPECT_OK(log_append(writing, i % 2 ? RECORD_DUPLICATE : RECORD_CHUNK, i % 2, &part, 1, &place));
    }
    EXPECT_OK(log_sync(writing));
    struct log_position at = log_position(writing);
    end_of[1] = at.end;
    log_free(writing);
    EXPECT_OK(log_new(&writing, scratch_path("packs"), uuid, &io_system, UINT64_C(1) << 40, &at));
    EXPECT_OK(log_open_group(writing));
    log_free(writing);
    EXPECT_OK(packs_new(&packs, scratch_path("packs"), uuid, &io_system));
}

struct seen {
    uint64_t lsn;
    unsigned count;
};

static struct error on_record(void *context, uint64_t number, const struct scan_record *record)
{
    struct seen *s = context;
    struct record_header h;
    struct buf payload;
    buf_init(&payload);
    EXPECT(number == 1 && record->header.lsn == s->lsn + 1 && record->header.type == RECORD_DUPLICATE);
    s->lsn = record->header.lsn;
    s->count++;
    /* What the table says stands where the table says. */
    EXPECT_OK(packs_record(packs, 1, record->offset, 0, &h, &payload));
    EXPECT(h.lsn == record->header.lsn && h.time_ns == record->header.time_ns &&
           payload.size == record->header.length && memcmp(payload.data, record->payload, payload.size) == 0);
    buf_release(&payload);
    return NO_ERROR;
}

static void seal_table_yields_every_logical_record(void)
{
    static const size_t payloads[] = {0, 1, 100, 65536, 399000}; /* the last: tables of several blocks */
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        struct seal seal;
        struct seen seen = {0};
        bool sealed;
        make_packs(payloads[i]);
        EXPECT_ERROR(seal_read(packs, 1, &seal), ERROR_NOT_FOUND);
        EXPECT_OK(seal_scan(packs, 1, end_of[1], on_record, &seen, &sealed));
        EXPECT(!sealed && seen.count == 0);
        EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
        EXPECT_OK(seal_read(packs, 1, &seal));
        EXPECT(seal.end == end_of[1] && seal.records == RECORDS / 2 && seal.first_lsn == 1 &&
               seal.last_lsn == RECORDS / 2);
        EXPECT(seal.tables >= 1 && (payloads[i] < 100000 || seal.tables > 1));
        EXPECT_OK(seal_scan(packs, 1, end_of[1], on_record, &seen, &sealed));
        EXPECT(sealed && seen.count == RECORDS / 2);
        EXPECT_OK(seal_verify(packs, 1, &seal));
        /* It is the seal of a pack that ends there and nowhere else. */
        EXPECT_OK(seal_scan(packs, 1, end_of[1] + 8, on_record, &seen, &sealed));
        EXPECT(!sealed && seen.count == RECORDS / 2);
    }
}

static void seal_verify_sees_every_flipped_byte(void)
{
    struct seal seal;
    make_packs(100);
    EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &seal));
    uint64_t size = file_size(scratch_path("packs/00000001.pack"));
    for (uint64_t at = 0; at < size - record_extent(SEAL_SIZE); at += 41) {
        EXPECT(file_flip(scratch_path("packs/00000001.pack"), at));
        EXPECT_ERROR(seal_verify(packs, 1, &seal), ERROR_DAMAGED);
        EXPECT(file_flip(scratch_path("packs/00000001.pack"), at));
    }
    EXPECT_OK(seal_verify(packs, 1, &seal));
    for (uint64_t at = size - record_extent(SEAL_SIZE); at < size; at++) { /* the seal itself */
        struct seal other;
        EXPECT(file_flip(scratch_path("packs/00000001.pack"), at));
        EXPECT_ERROR(seal_read(packs, 1, &other), ERROR_NOT_FOUND);
        EXPECT(file_flip(scratch_path("packs/00000001.pack"), at));
    }
}

static void seal_chains_to_the_one_before(void)
{
    struct seal a, b;
    uint8_t other[32];
    memset(other, 7, sizeof other);
    make_packs(100);
    EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &a));
    make_packs(100);
    EXPECT_OK(seal_pack(packs, 1, end_of[1], other, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &b));
    EXPECT(memcmp(b.previous, other, 32) == 0 && memcmp(a.sha256, b.sha256, 32) != 0);
    memset(b.previous, 8, 32);
    EXPECT_ERROR(seal_verify(packs, 1, &b), ERROR_DAMAGED);
}

/* A stop does not wait for a gigabyte to be hashed. */
static void seal_that_is_stopped_is_none(void)
{
    static const _Atomic bool stop = true;
    struct seal seal;
    make_packs(100);
    EXPECT_ERROR(seal_pack(packs, 1, end_of[1], none, &io_system, &stop), ERROR_BUSY);
    EXPECT_ERROR(seal_read(packs, 1, &seal), ERROR_NOT_FOUND);
    EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &seal));
    EXPECT_OK(seal_verify(packs, 1, &seal));
}

/* Power or space goes at each write of the seal: the pack is as unsealed as before, its records are read, and it is
 * sealed the next time. */
static void seal_torn_is_none(void)
{
    for (int at = 0; at < 4; at++) {
        struct seal seal;
        struct seen seen = {0};
        bool sealed;
        make_packs(399000);
        fault_set(at % 2 ? FAULT_SHORT : FAULT_WRITE, at / 2, ENOSPC, at % 2);
        struct error err = seal_pack(packs, 1, end_of[1], none, &faulty_io, NULL);
        bool whole = !err.code; /* short writes are gone on with */
        EXPECT(whole == (at % 2 == 1));
        error_release(&err);
        fault_clear();
        if (whole)
            EXPECT(truncate(scratch_path("packs/00000001.pack"),
                            (off_t)(file_size(scratch_path("packs/00000001.pack")) - (at == 1 ? 8 : 300))) == 0);
        EXPECT_ERROR(seal_read(packs, 1, &seal), ERROR_NOT_FOUND);
        EXPECT_OK(seal_scan(packs, 1, end_of[1], on_record, &seen, &sealed));
        EXPECT(!sealed);
        EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
        EXPECT_OK(seal_read(packs, 1, &seal));
        EXPECT_OK(seal_verify(packs, 1, &seal));
        EXPECT_OK(seal_scan(packs, 1, end_of[1], on_record, &seen, &sealed));
        EXPECT(sealed && seen.count == RECORDS / 2);
    }
}

/* E1: tables that are not durable get no seal, which a power cut could keep without them. */
static void seal_waits_for_what_it_covers(void)
{
    struct seal seal;
    make_packs(100);
    fault_set(FAULT_SYNC, 0, EIO, false);
    EXPECT_ERROR(seal_pack(packs, 1, end_of[1], none, &faulty_io, NULL), ERROR_BROKEN);
    EXPECT(fault_plan.hits == 1);
    fault_clear();
    EXPECT_ERROR(seal_read(packs, 1, &seal), ERROR_NOT_FOUND);
    EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &seal));
    EXPECT_OK(seal_verify(packs, 1, &seal));
}

static void seal_behind_void_bytes(void)
{
    struct seal seal;
    struct seen seen = {0};
    bool sealed;
    make_packs(100);
    uint64_t size = file_size(scratch_path("packs/00000001.pack"));
    EXPECT(file_write_at(scratch_path("packs/00000001.pack"), size, "void, of no whole words", 23));
    EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &seal));
    EXPECT(seal.end == end_of[1] && seal.table == size + 24);
    EXPECT_OK(seal_verify(packs, 1, &seal));
    EXPECT_OK(seal_scan(packs, 1, end_of[1], on_record, &seen, &sealed));
    EXPECT(sealed && seen.count == RECORDS / 2);
}

static void seal_refuses_a_damaged_pack(void)
{
    struct seal seal;
    make_packs(100);
    EXPECT(file_flip(scratch_path("packs/00000001.pack"), 104 + 64 + 10)); /* a chunk's byte */
    EXPECT_ERROR(seal_pack(packs, 1, end_of[1], none, &io_system, NULL), ERROR_DAMAGED);
    EXPECT_ERROR(seal_read(packs, 1, &seal), ERROR_NOT_FOUND);
}

/* A table whose bytes are damaged is as good as none; the records are there. */
static void seal_damaged_table_is_passed_over(void)
{
    struct seal seal;
    struct seen seen = {0};
    bool sealed;
    make_packs(100);
    EXPECT_OK(seal_pack(packs, 1, end_of[1], none, &io_system, NULL));
    EXPECT_OK(seal_read(packs, 1, &seal));
    EXPECT(file_flip(scratch_path("packs/00000001.pack"), seal.table + 64 + 40));
    EXPECT_OK(seal_scan(packs, 1, end_of[1], on_record, &seen, &sealed));
    EXPECT(!sealed);
}

/* ---- in an archive ---- */

static void wait_sealed(uint64_t count)
{
    for (int i = 0; i < 600 && archive_stored().sealed < count; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    EXPECT(archive_stored().sealed >= count);
}

/* A record that is damaged after its pack was sealed is still in the table: a rebuild loses nothing but its bytes. */
static void seal_table_rebuilds_what_the_records_no_longer_say(void)
{
    struct builder b;
    struct buf before, after;
    buf_init(&before);
    buf_init(&after);
    builder_init(&b);
    archive_make();
    archive_close();
    archive_options.pack_bytes = 4000;
    archive_open(PACS_WRITE);
    struct ingest_result r[12];
    for (unsigned i = 0; i < 12; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "1.2.3.4.5.%u", i);
        builder_uid(&b, "1.2.3", "1.2.3.4", uid);
        r[i] = archive_send(&b, "CT1", true);
    }
    uint64_t packs_made = archive_stored().packs;
    EXPECT(packs_made > 3);
    wait_sealed(packs_made - 1);
    EXPECT(archive_damage(true) == 0);
    archive_dump(&before);
    struct instance_row row = archive_row(r[0].id);
    char part[64];
    snprintf(part, sizeof part, "archive/packs/%08u.pack", row.pack);
    archive_close();
    EXPECT(file_flip(scratch_path(part), row.offset + 80));
    archive_open(PACS_REBUILD);
    archive_dump(&after);
    EXPECT_TEXT(buf_string(&after), buf_string(&before));
    EXPECT(archive_damage(false) > 0);
    builder_release(&b);
    buf_release(&before);
    buf_release(&after);
}

/* ---- beside verify ---- */

static struct {
    int calls, at; /* of the progress, and the one at which seals are made */
    uint64_t end[4];
    struct packs *packs;
    bool send;
} meanwhile;

static void send_some(unsigned count)
{
    static unsigned number;
    for (unsigned i = 0; i < count; i++) {
        struct builder b;
        char uid[40];
        builder_init(&b);
        snprintf(uid, sizeof uid, "1.2.3.4.%u", ++number);
        builder_uid(&b, "1.2.3", "1.2.3.4", uid);
        builder_pixels(&b, 16, 16, number);
        archive_send(&b, "CT1", true);
        builder_release(&b);
    }
}

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    uint8_t previous[32] = {0};
    struct seal seal;
    (void)context;
    (void)done;
    (void)all;
    if (++meanwhile.calls != meanwhile.at)
        return;
    if (meanwhile.send) {
        send_some(4);
        while (archive_stored().sealed == 0)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        return;
    }
    for (uint64_t n = 1; n <= 2; n++) {
        EXPECT_OK(seal_pack(meanwhile.packs, n, meanwhile.end[n], previous, &io_system, NULL));
        EXPECT_OK(seal_read(meanwhile.packs, n, &seal));
        memcpy(previous, seal.sha256, sizeof previous);
    }
}

/* A seal states the one before it, which verify has passed when that had none. */
static void seal_made_while_verify_reads(void)
{
    struct pack_info *list;
    size_t count;
    archive_make();
    archive_options.pack_bytes = 2000;
    archive_reopen(PACS_WRITE);
    send_some(8);
    while (archive_stored().sealed < 2)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    EXPECT_OK(packs_new(&meanwhile.packs, scratch_path("archive/packs"), pacs_conf(archive)->uuid, &io_system));
    archive_close();
    EXPECT_OK(packs_list(meanwhile.packs, &list, &count));
    EXPECT(count > 3);
    archive_options.progress = on_progress;
    meanwhile.send = false;
    for (meanwhile.at = 1; meanwhile.at <= 20; meanwhile.at++) {
        for (size_t i = 0; i < count; i++) {
            char path[PATH_MAX];
            packs_path(meanwhile.packs, i + 1, path);
            if (list[i].end)
                EXPECT(truncate(path, (off_t)list[i].end) == 0);
            if (i < 3)
                meanwhile.end[i + 1] = list[i].end;
        }
        archive_open(PACS_READ);
        meanwhile.calls = 0;
        EXPECT(archive_damage(true) == 0);
        EXPECT(meanwhile.calls > 20);
        archive_close();
    }
    free(list);
    packs_free(meanwhile.packs);
    archive_options.progress = NULL;
}

/* The newest pack gets a successor and a seal while it is read. */
static void seal_of_a_pack_that_was_the_newest(void)
{
    archive_make();
    archive_options.pack_bytes = 2000;
    archive_options.progress = on_progress;
    archive_reopen(PACS_WRITE);
    send_some(1);
    meanwhile.send = true;
    meanwhile.calls = 0;
    meanwhile.at = 1;
    EXPECT(archive_damage(true) == 0);
    EXPECT(archive_stored().sealed > 0);
    archive_close();
    archive_options.progress = NULL;
}

int main(void)
{
    RUN(seal_table_yields_every_logical_record);
    RUN(seal_verify_sees_every_flipped_byte);
    RUN(seal_chains_to_the_one_before);
    RUN(seal_that_is_stopped_is_none);
    RUN(seal_torn_is_none);
    RUN(seal_waits_for_what_it_covers);
    RUN(seal_behind_void_bytes);
    RUN(seal_refuses_a_damaged_pack);
    RUN(seal_damaged_table_is_passed_over);
    RUN(seal_table_rebuilds_what_the_records_no_longer_say);
    RUN(seal_made_while_verify_reads);
    RUN(seal_of_a_pack_that_was_the_newest);
    packs_free(packs);
    archive_gone();
    return check_done();
}
