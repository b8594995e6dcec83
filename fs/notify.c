/* What lives here: the notifier's thread. All members but `stopping` are its own.
 *
 * A round: read what arrived since the last one (at most BATCH_MAX editions, in one transaction), note the series;
 * work out the changes of each series once, however many images it got; end the transaction; tell. A series that was
 * told of is `pending` until its quiet time has passed, then the folders in ready/ that hold it change. */
#include "fs/notify.h"

#include "fs/file.h"

#include "codecs/base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_MAX 10000
#define WAIT_MS_MAX 250 /* a stop is seen this late at most */
#define IDLE_ROUND_S 30

struct pending {
    uint64_t series, moment_ns;
};

struct notifier {
    struct tree *tree;
    struct change_sink sink;
    pthread_t thread;
    atomic_bool stopping;
    uint64_t clock;     /* pacs_newest() at the last round */
    uint64_t last;      /* the newest edition told of */
    struct buf pending; /* struct pending, by series id */
    struct buf touched; /* u64 series ids of this round */
    struct changes changes;
    time_t idle_s; /* when tree_idle() is due */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- series that have not settled ------------------------------------------------------------------------------- */

static struct pending *pending_rows(const struct notifier *notifier, size_t *count)
{
    *count = notifier->pending.size / sizeof(struct pending);
    return (struct pending *)(void *)notifier->pending.data;
}

/* Where a series stands or would stand. */
static size_t pending_place(const struct notifier *notifier, uint64_t series, bool *found)
{
    size_t low = 0, high;
    const struct pending *rows = pending_rows(notifier, &high);
    size_t count = high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle].series < series)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < count && rows[low].series == series;
    return low;
}

/* Whether it was pending already. */
static bool pending_set(struct notifier *notifier, uint64_t series, uint64_t moment_ns)
{
    bool found;
    size_t count, place = pending_place(notifier, series, &found);
    struct pending row = {series, moment_ns};
    if (!found) {
        buf_append(&notifier->pending, &row, sizeof row);
        struct pending *rows = pending_rows(notifier, &count);
        if (notifier->pending.failed || count == 0)
            return false;
        memmove(rows + place + 1, rows + place, (count - 1 - place) * sizeof *rows);
    }
    pending_rows(notifier, &count)[place] = row;
    return found;
}

/* Takes out those whose moment has come; `*next_ns`: the next moment. */
static struct error pending_due(struct notifier *notifier, const struct request *request, uint64_t *next_ns)
{
    size_t count, kept = 0;
    struct pending *rows = pending_rows(notifier, &count);
    *next_ns = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (rows[i].moment_ns <= request->now_ns)
            TRY(changes_of_ready(&notifier->changes, request, rows[i].series, false));
    for (size_t i = 0; i < count; i++) {
        if (rows[i].moment_ns <= request->now_ns)
            continue;
        *next_ns = rows[i].moment_ns < *next_ns ? rows[i].moment_ns : *next_ns;
        rows[kept++] = rows[i];
    }
    notifier->pending.size = kept * sizeof *rows;
    return NO_ERROR;
}

/* ---- a round ---------------------------------------------------------------------------------------------------- */

static void touch(struct notifier *notifier, uint64_t series)
{
    const uint64_t *ids = (const uint64_t *)(const void *)notifier->touched.data;
    for (size_t i = notifier->touched.size / sizeof *ids; i > 0; i--)
        if (ids[i - 1] == series)
            return;
    buf_append(&notifier->touched, &series, sizeof series);
}

/* Notes what arrived; `*more`: whether there is more than one round takes. */
static struct error read_arrivals(struct notifier *notifier, const struct request *request, uint64_t *last, bool *more)
{
    struct error err = NO_ERROR;
    uint32_t hour = 0;
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        struct instance_row row;
        err = pacs_next_arrival(request->txn, *last, &row);
        if (err.code != ERROR_NONE)
            break;
        *last = row.id;
        touch(notifier, row.series);
        /* Most arrivals are new instances within one hour: those change new/ once. */
        if (row.version > 1 || new_hour(request, &row) != hour)
            TRY(changes_of_arrival(&notifier->changes, request, &row));
        hour = new_hour(request, &row);
    }
    *more = err.code == ERROR_NONE;
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error change_series(struct notifier *notifier, const struct request *request, uint64_t series)
{
    struct object_row row;
    TRY(changes_of_series(&notifier->changes, request, series, notifier->last, &row));
    uint64_t moment_ns = row.changed_ns + notifier->tree->quiet_ns;
    bool was_pending = pending_set(notifier, series, moment_ns);
    /* What is over already is taken out in this same round, by pending_due(). */
    return row.id <= notifier->last && !was_pending && moment_ns > request->now_ns
               ? changes_of_ready(&notifier->changes, request, series, true)
               : NO_ERROR;
}

static struct error gather(struct notifier *notifier, const struct request *request, bool *more, uint64_t *next_ns)
{
    uint64_t last = notifier->last;
    changes_clear(&notifier->changes);
    buf_clear(&notifier->touched);
    TRY(read_arrivals(notifier, request, &last, more));
    const uint64_t *ids = (const uint64_t *)(const void *)notifier->touched.data;
    for (size_t i = 0; i < notifier->touched.size / sizeof *ids; i++)
        TRY(change_series(notifier, request, ids[i]));
    if (notifier->last == 0 && last != 0) { /* the first ever dates the mount's root */
        changes_attributes(&notifier->changes, NODE_ROOT);
        changes_attributes(&notifier->changes, node_inode(NODE_FILE, PACS_ROOT, FILE_README));
        changes_attributes(&notifier->changes, view_root(VIEW_IDS));
    }
    TRY(pending_due(notifier, request, next_ns));
    TRY(buf_error(&notifier->touched));
    TRY(buf_error(&notifier->pending));
    notifier->last = last;
    return NO_ERROR;
}

static struct error look(struct notifier *notifier, bool *more, uint64_t *next_ns)
{
    struct request request = {.tree = notifier->tree, .now_ns = now_ns()};
    TRY(pacs_begin(notifier->tree->pacs, &request.txn));
    struct error err = gather(notifier, &request, more, next_ns);
    pacs_end(request.txn);
    return err.code == ERROR_NONE ? changes_tell(&notifier->changes, notifier->tree->root, &notifier->sink) : err;
}

static int wait_ms(uint64_t next_ns)
{
    uint64_t now = now_ns();
    if (next_ns <= now)
        return 0;
    uint64_t ms = (next_ns - now) / 1000000 + 1;
    return ms < WAIT_MS_MAX ? (int)ms : WAIT_MS_MAX;
}

static void drop_idle(struct notifier *notifier)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec < notifier->idle_s)
        return;
    notifier->idle_s = now.tv_sec + IDLE_ROUND_S;
    tree_idle(notifier->tree);
}

static void *run(void *argument)
{
    struct notifier *notifier = argument;
    uint64_t next_ns = 0; /* the first round looks at what pends */
    while (!atomic_load(&notifier->stopping)) {
        bool changed = pacs_wait(notifier->tree->pacs, notifier->clock, wait_ms(next_ns)), more = true;
        drop_idle(notifier);
        if (!changed && next_ns > now_ns())
            continue;
        uint64_t clock = pacs_newest(notifier->tree->pacs);
        while (more && !atomic_load(&notifier->stopping)) {
            struct error err = look(notifier, &more, &next_ns);
            if (err.code != ERROR_NONE) { /* the kernel's caches are stale until the next try */
                log_error(LOG_LEVEL_ERROR, "mount", &err);
                next_ns = now_ns() + UINT64_C(1000000000);
                break;
            }
        }
        notifier->clock = clock;
    }
    return NULL;
}

/* ---- start and stop --------------------------------------------------------------------------------------------- */

/* The newest arrival that is not later than `since`, by halving: times grow with ids. */
static struct error arrival_before(const struct request *request, uint64_t newest, uint64_t since, uint64_t *id)
{
    uint64_t low = 0, high = newest;
    while (low < high) {
        struct instance_row row;
        uint64_t middle = low + (high - low) / 2;
        struct error err = pacs_next_arrival(request->txn, middle, &row);
        bool before = err.code == ERROR_NONE && row.time_ns <= since;
        if (err.code == ERROR_NOT_FOUND)
            error_release(&err);
        TRY(err);
        if (before)
            low = row.id;
        else
            high = middle;
    }
    *id = low;
    return NO_ERROR;
}

/* Series with arrivals within the quiet time pend from the start. */
static struct error find_pending(struct notifier *notifier, const struct request *request)
{
    uint64_t quiet_ns = notifier->tree->quiet_ns, since = request->now_ns > quiet_ns ? request->now_ns - quiet_ns : 0;
    uint64_t after;
    struct error err = arrival_before(request, notifier->last, since, &after);
    while (err.code == ERROR_NONE) {
        struct instance_row row;
        err = pacs_next_arrival(request->txn, after, &row);
        if (err.code != ERROR_NONE)
            break;
        after = row.id;
        pending_set(notifier, row.series, row.time_ns + quiet_ns);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error prepare(struct notifier *notifier)
{
    struct request request = {.tree = notifier->tree, .now_ns = now_ns()};
    struct object_row root;
    notifier->clock = pacs_newest(notifier->tree->pacs);
    TRY(pacs_begin(notifier->tree->pacs, &request.txn));
    struct error err = NO_ERROR;
    CHECK(pacs_object(request.txn, PACS_ROOT, &root));
    notifier->last = root.newest; /* of those that are shown: what else came after is told of once more */
    CHECK(find_pending(notifier, &request));
out:
    pacs_end(request.txn);
    return err;
}

static void free_notifier(struct notifier *notifier)
{
    changes_release(&notifier->changes);
    buf_release(&notifier->pending);
    buf_release(&notifier->touched);
    free(notifier);
}

struct error notifier_start(struct notifier **out, struct tree *tree, const struct change_sink *sink)
{
    struct notifier *notifier = calloc(1, sizeof *notifier);
    if (!notifier)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    notifier->tree = tree;
    notifier->sink = *sink;
    changes_init(&notifier->changes);
    buf_init(&notifier->pending);
    buf_init(&notifier->touched);
    struct error err = NO_ERROR;
    CHECK(prepare(notifier));
    int failed = pthread_create(&notifier->thread, NULL, run, notifier);
    if (failed)
        CHECK(error_system(failed, "cannot start the notifier's thread"));
    *out = notifier;
    return NO_ERROR;
out:
    free_notifier(notifier);
    return err;
}

void notifier_stop(struct notifier *notifier)
{
    if (!notifier)
        return;
    atomic_store(&notifier->stopping, true);
    pthread_join(notifier->thread, NULL);
    free_notifier(notifier);
}
