/* pacsctl watch: arrivals in the order of the log, and when a series has settled, from any LSN on.
 *
 * The sequence of events is a function of the log and of the time now, whenever watch is started: a series settles at
 * its last arrival that the tree shows plus the archive's quiet time, and that event stands before any arrival recorded later. With
 * --from N the output is that of an earlier --from less everything up to arrival N - 1. So a program that keeps the LSN
 * of the last line it worked on and starts again with the next one misses nothing (a settled event that it saw may come
 * again); a settled event has the LSN of the arrival before it. To know which series had not settled then, arrivals of
 * one quiet time before N are read without being told.
 *
 *   replay()  -> all arrivals up to now, settled events between them in order of time
 *   wait_on() -> pacs_wait() until something arrives or the earliest pending series settles
 */
#include "index/query/find.h"
#include "net/ctl/command.h"
#include "net/ctl/interrupt.h"
#include "net/ctl/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 256       /* arrivals read in one transaction */
#define WAIT_MAX_MS 250 /* a signal is noticed after at most this */

/* A series that has not settled, by its last arrival; in order of that time. */
struct pending {
    uint64_t series, last_ns;
};

struct arrival {
    uint64_t id, lsn, time_ns, series;
    bool shown; /* it changed what the tree shows, as a variant or a conflict does not */
    const char *event;
    char uid[65], series_uid[65], study_uid[65], sop_class[65];
    struct buf path;
};

struct watch {
    struct pacs *pacs;
    struct report report;
    bool json;
    uint64_t after; /* id of the last arrival told */
    uint64_t lsn;   /* its number in the log */
    uint64_t quiet_ns;
    struct pending *pending;
    size_t count, capacity;
    struct arrival batch[BATCH];
};

static uint64_t real_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- which series are pending ------------------------------------------------------------------------------------ */

/* The series goes to the end of the list: its last arrival is the newest of all. */
static struct error touch(struct watch *watch, uint64_t series, uint64_t time_ns)
{
    size_t i = watch->count;
    while (i && watch->pending[i - 1].series != series)
        i--;
    if (i) {
        memmove(watch->pending + i - 1, watch->pending + i, (watch->count - i) * sizeof *watch->pending);
        watch->count--;
    }
    if (watch->count == watch->capacity) {
        size_t capacity = watch->capacity ? watch->capacity * 2 : 64;
        struct pending *more = reallocarray(watch->pending, capacity, sizeof *more);
        if (!more)
            return error_make(ERROR_NO_MEMORY, "no memory for %zu series that have not settled", capacity);
        watch->pending = more;
        watch->capacity = capacity;
    }
    watch->pending[watch->count++] = (struct pending){series, time_ns};
    return NO_ERROR;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static struct error print_arrival(struct watch *watch, const struct arrival *arrival)
{
    struct buf line, when;
    struct error err;
    buf_init(&line);
    buf_init(&when);
    text_time(&when, arrival->time_ns);
    if (watch->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_unsigned(&json, "lsn", arrival->lsn);
        json_key_string(&json, "time", buf_string(&when));
        json_key_string(&json, "event", arrival->event);
        json_key_string(&json, "study", arrival->study_uid);
        json_key_string(&json, "series", arrival->series_uid);
        json_key_string(&json, "instance", arrival->uid);
        json_key_string(&json, "sop_class", arrival->sop_class);
        json_key_string(&json, "path", (const char *)arrival->path.data);
        json_object_end(&json);
        CHECK(json_finish(&json));
    } else {
        buf_printf(&line, "%s  %-8s  ", buf_string(&when), arrival->event);
        text_shown(&line, (const char *)arrival->path.data);
    }
    report_line(&watch->report, buf_string(&line));
    CHECK(report_flush(&watch->report));
out:
    buf_release(&when);
    buf_release(&line);
    return err;
}

/* Where a series stands and its UIDs, as of now. */
static struct error series_of(struct pacs_txn *txn, uint64_t id, struct buf *path, char uid[65], char study_uid[65])
{
    struct object_row series, study;
    TRY(pacs_object(txn, id, &series));
    snprintf(uid, 65, "%s", attribute(&series.attributes, TAG_SERIES_UID));
    TRY(pacs_object(txn, series.parent, &study));
    snprintf(study_uid, 65, "%s", attribute(&study.attributes, TAG_STUDY_UID));
    return query_path(txn, id, false, path);
}

static struct error print_settled(struct watch *watch, const struct pending *pending)
{
    struct buf line, when, path;
    char uid[65], study_uid[65];
    struct pacs_txn *txn = NULL;
    struct error err;
    buf_init(&line);
    buf_init(&when);
    buf_init(&path);
    CHECK(pacs_begin(watch->pacs, &txn));
    CHECK(series_of(txn, pending->series, &path, uid, study_uid));
    pacs_end(txn);
    txn = NULL;
    text_time(&when, pending->last_ns + watch->quiet_ns);
    if (watch->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_unsigned(&json, "lsn", watch->lsn);
        json_key_string(&json, "time", buf_string(&when));
        json_key_string(&json, "event", "settled");
        json_key_string(&json, "study", study_uid);
        json_key_string(&json, "series", uid);
        json_key_string(&json, "path", buf_string(&path));
        json_object_end(&json);
        CHECK(json_finish(&json));
    } else {
        buf_printf(&line, "%s  settled   ", buf_string(&when));
        text_shown(&line, buf_string(&path));
    }
    report_line(&watch->report, buf_string(&line));
    CHECK(report_flush(&watch->report));
out:
    if (txn)
        pacs_end(txn);
    buf_release(&path);
    buf_release(&when);
    buf_release(&line);
    return err;
}

/* Tells all series that had settled before `now_ns`, the earliest first. */
static struct error settle(struct watch *watch, uint64_t now_ns)
{
    size_t done = 0;
    struct error err = NO_ERROR;
    while (done < watch->count && watch->pending[done].last_ns + watch->quiet_ns <= now_ns && !interrupted()) {
        CHECK(print_settled(watch, &watch->pending[done]));
        done++;
    }
out:
    watch->count -= done;
    if (done)
        memmove(watch->pending, watch->pending + done, watch->count * sizeof *watch->pending);
    return err;
}

/* ---- arrivals ---------------------------------------------------------------------------------------------------- */

static const char *event_of(const struct instance_row *row)
{
    return row->flags & INSTANCE_VARIANT    ? "variant"
           : row->flags & INSTANCE_CONFLICT ? "conflict"
           : row->version > 1               ? "version"
                                            : "stored";
}

static struct error take_arrival(struct pacs_txn *txn, const struct instance_row *row, struct arrival *arrival)
{
    arrival->id = row->id;
    arrival->lsn = row->lsn;
    arrival->time_ns = row->time_ns;
    arrival->series = row->series;
    arrival->shown = row->flags & INSTANCE_SHOWN;
    arrival->event = event_of(row);
    memcpy(arrival->uid, row->uid, sizeof arrival->uid);
    memcpy(arrival->sop_class, row->sop_class, sizeof arrival->sop_class);
    buf_clear(&arrival->path);
    TRY(series_of(txn, row->series, &arrival->path, arrival->series_uid, arrival->study_uid));
    buf_printf(&arrival->path, "/%s.dcm", row->name);
    return buf_error(&arrival->path);
}

/* Up to BATCH arrivals behind `after`. */
static struct error take_batch(struct watch *watch, uint64_t after, unsigned *count)
{
    struct pacs_txn *txn;
    struct instance_row row;
    struct error err = NO_ERROR;
    *count = 0;
    TRY(pacs_begin(watch->pacs, &txn));
    while (*count < BATCH) {
        CHECK(pacs_next_arrival(txn, after, &row));
        after = row.id;
        CHECK(take_arrival(txn, &row, &watch->batch[*count]));
        ++*count;
    }
out:
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    pacs_end(txn);
    return err;
}

/* All that has arrived by now, then what has settled by now. */
static struct error replay(struct watch *watch)
{
    unsigned count;
    do {
        TRY(take_batch(watch, watch->after, &count));
        for (unsigned i = 0; i < count; i++) {
            const struct arrival *arrival = &watch->batch[i];
            TRY(settle(watch, arrival->time_ns));
            TRY(print_arrival(watch, arrival));
            if (arrival->shown)
                TRY(touch(watch, arrival->series, arrival->time_ns));
            watch->after = arrival->id;
            watch->lsn = arrival->lsn;
            if (watch->report.failed || interrupted())
                return NO_ERROR;
        }
    } while (count);
    return settle(watch, real_now_ns());
}

static struct error wait_on(struct watch *watch, uint64_t seen)
{
    uint64_t now = real_now_ns();
    int wait_ms = WAIT_MAX_MS;
    if (watch->count) {
        uint64_t due = watch->pending[0].last_ns + watch->quiet_ns;
        uint64_t left_ms = due > now ? (due - now) / 1000000 + 1 : 0;
        if (left_ms < WAIT_MAX_MS)
            wait_ms = (int)left_ms;
    }
    pacs_wait(watch->pacs, seen, wait_ms);
    return NO_ERROR;
}

/* ---- where to begin ---------------------------------------------------------------------------------------------- */

/* The id before the first arrival of `from`; without it, of what comes from now on. */
static struct error begin_at(struct watch *watch, struct pacs_txn *txn, long long from)
{
    struct pacs_counts counts;
    uint64_t id;
    TRY(pacs_counts(txn, &counts));
    watch->after = counts.newest;
    watch->lsn = counts.lsn;
    if (from < 0)
        return NO_ERROR;
    struct error err = pacs_arrival_of_lsn(txn, (uint64_t)from, &id);
    if (err.code == ERROR_NONE)
        watch->after = id - 1;
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct hour_row *first_hour_with(struct pacs_txn *txn, uint64_t time_ns, struct hour_row *hour,
                                        struct error *err)
{
    for (uint32_t after = 0;; after = hour->hour) {
        *err = pacs_next_hour(txn, after, hour);
        if (err->code != ERROR_NONE)
            return NULL;
        if (hour->last_ns >= time_ns)
            return hour;
    }
}

/* Series with an arrival in the quiet time before `until_ns` and not behind watch->after. */
static struct error remember_pending(struct watch *watch, struct pacs_txn *txn, uint64_t until_ns)
{
    struct hour_row hour;
    struct instance_row row;
    uint64_t since_ns = until_ns > watch->quiet_ns ? until_ns - watch->quiet_ns : 0;
    struct error err;
    if (!first_hour_with(txn, since_ns, &hour, &err))
        goto out;
    for (uint64_t after = hour.first - 1;; after = row.id) {
        CHECK(pacs_next_arrival(txn, after, &row));
        if (row.id > watch->after)
            break;
        if (row.time_ns > since_ns && row.flags & INSTANCE_SHOWN)
            CHECK(touch(watch, row.series, row.time_ns));
    }
out:
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

/* The id of the first arrival of the newest hour that began by watch->after; 0: there is none. */
static struct error hour_before(const struct watch *watch, struct pacs_txn *txn, uint64_t *first)
{
    struct hour_row hour;
    struct error err = NO_ERROR;
    *first = 0;
    for (uint32_t after = 0; err.code == ERROR_NONE; after = hour.hour) {
        err = pacs_next_hour(txn, after, &hour);
        if (err.code != ERROR_NONE || hour.first > watch->after)
            break;
        *first = hour.first;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

/* The time up to which everything counts as told: of the last arrival before the first to come, or now. Its LSN, too.
 */
static struct error told_until(struct watch *watch, struct pacs_txn *txn, long long from, uint64_t *until_ns)
{
    struct instance_row row;
    struct error err = NO_ERROR;
    uint64_t first;
    *until_ns = from < 0 ? real_now_ns() : 0;
    watch->lsn = from < 0 ? watch->lsn : 0;
    TRY(hour_before(watch, txn, &first));
    for (uint64_t after = first - 1; from >= 0 && first && err.code == ERROR_NONE; after = row.id) {
        err = pacs_next_arrival(txn, after, &row);
        if (err.code != ERROR_NONE || row.id > watch->after)
            break;
        *until_ns = row.time_ns;
        watch->lsn = row.lsn;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error begin(struct watch *watch, long long from)
{
    struct pacs_txn *txn;
    uint64_t until_ns;
    TRY(pacs_begin(watch->pacs, &txn));
    struct error err;
    CHECK(begin_at(watch, txn, from));
    CHECK(told_until(watch, txn, from, &until_ns));
    CHECK(remember_pending(watch, txn, until_ns));
out:
    pacs_end(txn);
    return err;
}

struct error command_watch(struct call *call)
{
    struct watch *watch = calloc(1, sizeof *watch);
    int json = 0, follow = 1;
    long long from = -1;
    struct error err;
    const struct poptOption options[] = {
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object a line", NULL},
        {"from", 0, POPT_ARG_LONGLONG, &from, 0, "begin with this log sequence number; else with what comes next",
         "LSN"},
        {"follow", 0, POPT_ARG_VAL, &follow, 1, "wait for more (the default)", NULL},
        {"no-follow", 0, POPT_ARG_VAL, &follow, 0, "stop when all is told", NULL},
        POPT_TABLEEND,
    };
    if (!watch)
        return error_make(ERROR_NO_MEMORY, "no memory for watch");
    report_init(&watch->report, NULL);
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_no_words(call));
    CHECK(call_read(call, &watch->pacs));
    watch->json = json;
    watch->quiet_ns = (uint64_t)pacs_conf(watch->pacs)->quiet_ms * 1000000;
    interrupt_watch();
    CHECK(begin(watch, from));
    do {
        uint64_t seen = pacs_newest(watch->pacs);
        CHECK(replay(watch));
        if (follow && !interrupted() && !watch->report.failed)
            CHECK(wait_on(watch, seen));
    } while (follow && !interrupted() && !watch->report.failed);
out:
    for (unsigned i = 0; i < BATCH; i++)
        buf_release(&watch->batch[i].path);
    pacs_close(watch->pacs);
    report_release(&watch->report);
    free(watch->pending);
    free(watch);
    return err;
}
