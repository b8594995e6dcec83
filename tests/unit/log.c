/* Appending to the log under faults: the invariants L1 to L5 of index/log/log.h. */
#include "index/log/log.h"

#include "check.h"
#include "faulty_io.h"
#include "scratch.h"

#include "codecs/chunk/chunk.h"

static const uint8_t uuid[16] = "log unit tests.";
static struct log *writing;
static struct packs *packs;

static void open_log(uint64_t pack_bytes, struct log_position position)
{
    log_free(writing);
    packs_free(packs);
    writing = NULL;
    packs = NULL;
    EXPECT_OK(log_new(&writing, scratch_path("packs"), uuid, &faulty_io, pack_bytes, &position));
    EXPECT_OK(packs_new(&packs, scratch_path("packs"), uuid, &io_system));
}

static void make_log(uint64_t pack_bytes)
{
    fault_clear();
    scratch_make();
    EXPECT(mkdir(scratch_path("packs"), 0700) == 0);
    open_log(pack_bytes, (struct log_position){0});
}

static struct log_place append(const char *text)
{
    static char kept[64][512]; /* parts must stay until the group is written */
    static unsigned next;
    char *to = kept[next++ % 64];
    struct log_place place = {0};
    size_t size = (size_t)snprintf(to, sizeof kept[0], "%s", text);
    struct iovec parts[2] = {{to, size / 2}, {to + size / 2, size - size / 2}};
    EXPECT_OK(log_append(writing, RECORD_DUPLICATE, true, parts, next % 2 ? 2 : 1, &place));
    return place;
}

/* One group of one record. */
static struct error write_one(const char *text, struct log_place *place)
{
    struct error err = log_open_group(writing);
    if (!err.code) {
        *place = append(text);
        err = log_sync(writing);
    }
    if (err.code)
        log_fail(writing);
    return err;
}

static bool there(const struct log_place *place)
{
    struct record_header h;
    struct buf payload;
    buf_init(&payload);
    struct error err = packs_record(packs, place->pack, place->offset, 0, &h, &payload);
    bool good = !err.code && h.lsn == place->lsn && h.time_ns == place->time_ns;
    error_release(&err);
    buf_release(&payload);
    return good;
}

/* What a restart would accept: LSNs of the chain, in order, as one number a record; 0 ends. */
static struct error take_lsn(void *context, uint64_t number, const struct scan_record *record)
{
    uint64_t *list = context;
    (void)number;
    if (!record->header.lsn)
        return NO_ERROR;
    while (*list)
        list++;
    list[0] = record->header.lsn;
    list[1] = 0;
    return NO_ERROR;
}

static void accepted(uint64_t list[128])
{
    struct pack_info *info;
    size_t count;
    list[0] = 0;
    EXPECT_OK(packs_list(packs, &info, &count));
    for (size_t i = 0; i < count; i++) {
        uint64_t durable, end = info[i].end, stopped;
        if (!info[i].valid)
            continue;
        if (!end)
            EXPECT_OK(pack_find_end(packs, info[i].header.number, 0, &durable, &end));
        struct scan_options scan = {.end = end, .chunk_bytes = true, .record = take_lsn, .context = list};
        EXPECT_OK(pack_scan(packs, info[i].header.number, &scan, &stopped));
        EXPECT(stopped == end); /* nothing before END is bad */
    }
    free(info);
}

/* L5: no gap, no repetition. */
static void expect_accepted(uint64_t count)
{
    uint64_t list[128];
    accepted(list);
    uint64_t n = 0;
    while (list[n]) {
        EXPECT(list[n] == n + 1);
        n++;
    }
    EXPECT(n == count);
}

static void log_groups_read_back(void)
{
    struct log_place place[9];
    make_log(1 << 20);
    uint64_t time = 0;
    for (int i = 0; i < 9; i++) {
        EXPECT_OK(log_open_group(writing));
        place[i] = append("some text of a record");
        if (i % 3 == 2)
            EXPECT_OK(log_sync(writing));
        EXPECT(place[i].lsn == (uint64_t)i + 1);
        EXPECT(place[i].time_ns > time); /* L5 */
        EXPECT(place[i].offset % RECORD_ALIGN == 0);
        time = place[i].time_ns;
    }
    for (int i = 0; i < 9; i++)
        EXPECT(there(&place[i]));
    struct log_position at = log_position(writing);
    EXPECT(at.pack == 1 && at.lsn == 9 && at.time_ns == time &&
           at.end == file_size(scratch_path("packs/00000001.pack")));
    expect_accepted(9);
}

static void log_dropped_group_leaves_no_gap(void)
{
    struct log_place a, b;
    make_log(1 << 20);
    EXPECT_OK(write_one("first", &a));
    EXPECT_OK(log_open_group(writing));
    append("never");
    append("never");
    log_drop(writing);
    EXPECT_OK(write_one("second", &b));
    EXPECT(b.lsn == 2);
    expect_accepted(2);
}

static void log_write_without_sync_proves_nothing_yet(void)
{
    struct log_place a;
    uint8_t bytes[100] = {0};
    struct iovec part = {bytes, sizeof bytes};
    make_log(1 << 20);
    EXPECT_OK(write_one("first", &a));
    uint64_t end = log_position(writing).end;
    EXPECT_OK(log_open_group(writing));
    struct log_place chunk;
    EXPECT_OK(log_append(writing, RECORD_CHUNK, false, &part, 1, &chunk));
    EXPECT(chunk.lsn == 0);
    EXPECT_OK(log_write(writing));
    EXPECT(log_position(writing).end == end);
    EXPECT(log_holds(writing, chunk.pack, chunk.offset));
    fault_set(FAULT_SYNC, 0, EIO, false);
    EXPECT_ERROR(write_one("lost", &a), ERROR_BROKEN);
    EXPECT(!log_holds(writing, chunk.pack, chunk.offset)); /* L3 */
    EXPECT_OK(write_one("second", &a));
    EXPECT(a.lsn == 2 && a.pack == 2);
    EXPECT(!log_holds(writing, chunk.pack, chunk.offset));
    EXPECT(log_holds(writing, a.pack, a.offset));
    expect_accepted(2);
}

/* L3, with each fault: the group is refused, its LSN is given again in a new pack whose header states the end. */
static void log_failed_group_ends_the_pack(void)
{
    static const struct {
        enum fault fault;
        int countdown, number;
        enum error_code code;
    } faults[] = {{FAULT_WRITE, 0, EIO, ERROR_BROKEN},
                  {FAULT_WRITE, 0, ENOSPC, ERROR_FULL},
                  {FAULT_WRITE, 0, EDQUOT, ERROR_FULL},
                  {FAULT_SYNC, 0, EIO, ERROR_BROKEN},
                  {FAULT_ZERO, 0, 0, ERROR_BROKEN}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct log_place first, lost, again;
        struct pack_info *list;
        size_t count;
        make_log(1 << 20);
        EXPECT_OK(write_one("first", &first));
        uint64_t end = log_position(writing).end;
        fault_set(faults[i].fault, faults[i].countdown, faults[i].number, faults[i].fault == FAULT_ZERO);
        struct error err = write_one("lost", &lost);
        EXPECT(err.code == faults[i].code || (faults[i].fault == FAULT_ZERO && err.code));
        error_release(&err);
        fault_clear();
        EXPECT(log_pack_number(writing) == 0 && log_position(writing).pack == 1 && log_position(writing).end == end);
        EXPECT_OK(write_one("again", &again));
        EXPECT(again.lsn == lost.lsn && again.pack == 2);
        EXPECT(again.time_ns > first.time_ns);
        EXPECT_OK(packs_list(packs, &list, &count));
        EXPECT(count == 2 && list[0].end == end && list[1].header.previous_end == end &&
               list[1].header.first_lsn == lost.lsn);
        free(list);
        expect_accepted(2);
    }
}

/* A write that takes part of the bytes is gone on with. */
static void log_short_write_is_completed(void)
{
    struct log_place a;
    for (int turn = 0; turn < 4; turn++) {
        make_log(1 << 20);
        EXPECT_OK(write_one("first", &a));
        fault_set(FAULT_SHORT, turn % 2, 0, turn >= 2);
        EXPECT_OK(log_open_group(writing));
        a = append("a record that arrives in pieces");
        append("and another");
        struct error err = log_sync(writing);
        EXPECT(!err.code);
        error_release(&err);
        EXPECT(there(&a));
        expect_accepted(3);
    }
}

/* Short, then no space: the pack has a torn tail, which the next header makes void. */
static void log_torn_tail_is_void(void)
{
    struct log_place a, b;
    make_log(1 << 20);
    EXPECT_OK(write_one("first", &a));
    EXPECT_OK(log_open_group(writing));
    append("this half is written");
    append("this is not");
    struct iovec garbage = {(void *)"garbage as a torn write leaves it", 33};
    EXPECT(pwritev(open(scratch_path("packs/00000001.pack"), O_WRONLY | O_CLOEXEC), &garbage, 1,
                   (off_t)log_position(writing).end) == 33);
    fault_set(FAULT_WRITE, 0, ENOSPC, false);
    EXPECT_ERROR(log_sync(writing), ERROR_FULL);
    log_fail(writing);
    expect_accepted(1);
    EXPECT_OK(write_one("second", &b));
    EXPECT(b.lsn == 2);
    expect_accepted(2);
}

/* L1: without a header that is synced, with its folder, there is no pack. */
static void log_no_space_at_pack_creation(void)
{
    static const struct {
        enum fault fault;
        int countdown;
    } faults[] = {{FAULT_CREATE, 0}, {FAULT_WRITE, 0}, {FAULT_SYNC, 0}, {FAULT_SYNC, 1}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct log_place a, b;
        make_log(200); /* each group fills a pack */
        EXPECT_OK(write_one("a text that is long enough to fill a pack of two hundred bytes, and then some more", &a));
        struct log_position before = log_position(writing);
        /* The full pack is synced already: the next sync is the new header's, then the folder's. */
        fault_set(faults[i].fault, faults[i].countdown, ENOSPC, false);
        EXPECT_ERROR(write_one("refused", &b), ERROR_FULL);
        EXPECT(fault_plan.hits == 1);
        EXPECT(log_position(writing).pack == before.pack && log_position(writing).end == before.end);
        for (int tries = 0; tries < 3; tries++) {
            fault_set(faults[i].fault, faults[i].countdown, ENOSPC, false);
            EXPECT_ERROR(write_one("refused again", &b), ERROR_FULL);
        }
        fault_clear();
        EXPECT_OK(write_one("goes on", &b));
        EXPECT(b.lsn == 2 && b.pack > 1);
        EXPECT(there(&a) && there(&b));
        expect_accepted(2);
    }
}

/* L2: the successor states the end of a pack that is durable. */
static void log_pack_switch_states_the_end(void)
{
    struct pack_info *list;
    size_t count;
    struct log_place place;
    make_log(400);
    for (int i = 0; i < 20; i++)
        EXPECT_OK(write_one("0123456789012345678901234567890123456789", &place));
    EXPECT(place.pack > 4);
    EXPECT_OK(packs_list(packs, &list, &count));
    for (size_t i = 0; i + 1 < count; i++) {
        EXPECT(list[i].valid && list[i].end == list[i].file_size);
        EXPECT(list[i].file_size >= 400 && list[i + 1].header.previous == list[i].header.number);
    }
    free(list);
    expect_accepted(20);
    EXPECT(unlink(scratch_path("packs/00000003.pack")) == 0); /* the chain shows it */
    uint64_t lsns[128];
    accepted(lsns);
    uint64_t n = 0;
    while (lsns[n] && lsns[n] == n + 1)
        n++;
    EXPECT(lsns[n] > n + 1);
}

/* L3: a full pack that cannot be synced is not asked again: the kernel says yes the second time. */
static void log_failed_sync_of_a_full_pack_is_final(void)
{
    static uint8_t bytes[600];
    struct log_place chunk, a;
    struct iovec part = {bytes, sizeof bytes};
    make_log(500);
    EXPECT_OK(write_one("first", &a));
    EXPECT_OK(log_open_group(writing));
    EXPECT_OK(log_append(writing, RECORD_CHUNK, false, &part, 1, &chunk));
    EXPECT_OK(log_write(writing));
    fault_set(FAULT_SYNC, 0, EIO, false);
    struct error err = log_open_group(writing);
    EXPECT(err.code == ERROR_BROKEN);
    error_release(&err);
    EXPECT_OK(log_open_group(writing));
    EXPECT(!log_holds(writing, chunk.pack, chunk.offset));
    EXPECT(log_holds(writing, a.pack, a.offset));
    EXPECT_OK(write_one("second", &a));
    expect_accepted(2);
}

/* L4: a restart begins a pack of its own, whatever the last one holds; numbers that are taken are passed over. */
static void log_restart_never_appends(void)
{
    struct log_place a, b;
    make_log(1 << 20);
    EXPECT_OK(write_one("first", &a));
    struct log_position position = log_position(writing);
    uint64_t size = file_size(scratch_path("packs/00000001.pack"));
    EXPECT(file_write(scratch_path("packs/00000002.pack"), "torn", 4)); /* of a run that was cut off */
    open_log(1 << 20, position);
    EXPECT_OK(write_one("second", &b));
    EXPECT(b.pack == 3 && b.lsn == 2 && b.time_ns > a.time_ns);
    EXPECT(file_size(scratch_path("packs/00000001.pack")) == size);
    EXPECT(file_size(scratch_path("packs/00000002.pack")) == 4);
    expect_accepted(2);
}

/* L5: also where the clock of the machine stands before the last record. */
static void log_times_never_decrease(void)
{
    struct log_place a, b;
    scratch_make();
    EXPECT(mkdir(scratch_path("packs"), 0700) == 0);
    open_log(1 << 20, (struct log_position){.lsn = 41, .time_ns = UINT64_C(1) << 62}); /* in the year 2116 */
    EXPECT_OK(write_one("first", &a));
    EXPECT_OK(write_one("second", &b));
    EXPECT(a.lsn == 42 && a.time_ns == (UINT64_C(1) << 62) + 1 && b.time_ns == (UINT64_C(1) << 62) + 2);
}

/* The last group is proven by a barrier, which itself needs no proof. */
static void log_barrier_proves_the_last_group(void)
{
    struct log_place a;
    uint64_t durable, end;
    make_log(1 << 20);
    EXPECT(!log_wants_barrier(writing));
    EXPECT_OK(write_one("first", &a));
    uint64_t behind = log_position(writing).end;
    EXPECT(log_wants_barrier(writing));
    EXPECT_OK(pack_find_end(packs, 1, 0, &durable, &end));
    EXPECT(durable == PACK_HEADER_MIN && end == behind);
    EXPECT_OK(log_barrier(writing));
    EXPECT(!log_wants_barrier(writing));
    EXPECT_OK(pack_find_end(packs, 1, 0, &durable, &end));
    EXPECT(durable == behind);
    /* Now a bad record is damage, no end. */
    EXPECT(file_flip(scratch_path("packs/00000001.pack"), a.offset + 70));
    EXPECT_OK(pack_find_end(packs, 1, 0, &durable, &end));
    EXPECT(end > behind);
}

/* A disk that stays full for a day: every attempt fails, and when there is room it goes on without a restart. */
static void log_many_failures_do_not_close_it(void)
{
    struct log_place a, b;
    make_log(1 << 20);
    EXPECT_OK(write_one("first", &a));
    for (int i = 0; i < 600; i++) {
        fault_set(FAULT_WRITE, log_pack_number(writing) ? 0 : 1, ENOSPC,
                  false); /* the header fits, the group does not */
        EXPECT_ERROR(write_one("refused", &b), ERROR_FULL);
    }
    fault_clear();
    EXPECT_OK(write_one("second", &b));
    EXPECT(b.lsn == 2);
    struct pack_info *list;
    size_t count;
    EXPECT_OK(packs_list(packs, &list, &count));
    EXPECT(count < 10); /* nor is the folder full of empty packs */
    free(list);
    expect_accepted(2);
}

/* Every write and every sync of a history fails once: what was answered with success is there after a restart, and
 * nothing else. */
static void log_fault_at_every_call(void)
{
    static const enum fault kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_CREATE};
    for (size_t kind = 0; kind < 3; kind++)
        for (int at = 0; at < 40; at++)
            for (int cut = 0; cut < 2; cut++) {
                struct log_place place;
                uint64_t acknowledged = 0;
                bool last_failed = false;
                make_log(500);
                fault_set(kinds[kind], at, EIO, false);
                fault_plan.cut = cut;
                for (int i = 0; i < 12; i++) {
                    struct error err = write_one("0123456789012345678901234567890123456789", &place);
                    if (!err.code) {
                        EXPECT(place.lsn == acknowledged + 1);
                        acknowledged++;
                    }
                    last_failed = err.code != ERROR_NONE;
                    error_release(&err);
                    if (i % 4 == 3 && log_wants_barrier(writing)) {
                        err = log_barrier(writing);
                        if (err.code)
                            log_fail(writing);
                        error_release(&err);
                    }
                }
                int before = check_failures;
                uint64_t list[128];
                accepted(list);
                uint64_t n = 0;
                for (; list[n]; n++)
                    EXPECT(list[n] == n + 1);
                /* The last group, refused, may come back; never one that others were written after. */
                EXPECT(n == acknowledged || (last_failed && n == acknowledged + 1));
                if (check_failures != before)
                    fprintf(stderr, "fault %d at call %d, cut %d: %llu acknowledged, %llu there\n", (int)kinds[kind],
                            at, cut, (unsigned long long)acknowledged, (unsigned long long)n);
                fault_clear();
            }
}

static void log_record_beyond_the_limit_is_refused(void)
{
    struct log_place place;
    struct iovec part = {NULL, (size_t)RECORD_PAYLOAD_MAX + 1};
    make_log(1 << 20);
    EXPECT_OK(log_open_group(writing));
    EXPECT_ERROR(log_append(writing, RECORD_CHUNK, false, &part, 1, &place), ERROR_REFUSED);
}

int main(void)
{
    RUN(log_groups_read_back);
    RUN(log_dropped_group_leaves_no_gap);
    RUN(log_write_without_sync_proves_nothing_yet);
    RUN(log_failed_group_ends_the_pack);
    RUN(log_short_write_is_completed);
    RUN(log_torn_tail_is_void);
    RUN(log_no_space_at_pack_creation);
    RUN(log_pack_switch_states_the_end);
    RUN(log_failed_sync_of_a_full_pack_is_final);
    RUN(log_restart_never_appends);
    RUN(log_times_never_decrease);
    RUN(log_barrier_proves_the_last_group);
    RUN(log_many_failures_do_not_close_it);
    RUN(log_fault_at_every_call);
    RUN(log_record_beyond_the_limit_is_refused);
    log_free(writing);
    packs_free(packs);
    scratch_remove();
    return check_done();
}
