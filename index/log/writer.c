/* What lives here: the writer's thread and its helper, which saves checkpoints and seals packs. `lock` guards the
 * queue, the flags and the figures; the log, the fold and the index transaction belong to the writer's thread alone. */
#include "index/log/writer.h"

#include "codecs/base/log.h"
#include "index/db/checkpoint.h"
#include "index/pack/seal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMPONENT "log"
#define QUEUE_MAX 1024
#define GROUP_BYTES_MAX (64u << 20)
#define ROOM_BYTES (384u << 10) /* beside its chunks: records, a dictionary, a pack's header, pages of the index */
#define BARRIER_AFTER_MS 50
#define CHECKPOINT_BYTES (UINT64_C(16) << 20) /* pages that a pin keeps from use double it */
#define CHECKPOINT_SECONDS 30
#define CHECKPOINT_IDLE_MS 1000

struct writer {
    struct pacs *pacs;
    struct log *log;
    struct fold *fold;
    struct generation *index;

    pthread_mutex_t lock;
    pthread_cond_t work, room, helper_work;
    struct write_request *first, **last;
    unsigned queued;
    bool stopping;
    _Atomic bool stop_sealing; /* it may take long */
    struct writer_stats stats;

    /* checkpoints: `saving` belongs to the helper while `save_due`, else to the writer */
    struct checkpoint *pinned, *saving;
    bool save_due, saved, save_failed, seal_due;
    uint64_t checkpoint_lsn;
    uint64_t checkpoint_bytes, committed_ms, checkpoint_ms; /* size of the index, times */

    uint64_t sealed_to; /* the helper's: seals of packs up to here are durable */

    uint64_t dictionary, dictionary_pack; /* the one that was written or repeated last, and where */

    pthread_t thread, helper;
    bool thread_runs, helper_runs;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- one request within a group ---- */

static struct error append_chunks(struct writer *w, struct write_request *r)
{
    for (size_t i = 0; i < r->chunk_count; i++) {
        struct write_chunk *c = &r->chunks[i];
        struct iovec part = {c->payload.data, c->payload.size};
        struct log_place at;
        TRY(log_append(w->log, RECORD_CHUNK, false, &part, 1, &at));
        c->place.pack = at.pack;
        c->place.offset = at.offset;
        c->place.length = (uint32_t)c->payload.size;
        chunk_place_write(r->places, &c->place);
    }
    return buf_error(r->places);
}

/* L3: chunks of this instance that were written before a failure are not believed. */
static struct error check_places(struct writer *w, const struct write_request *r)
{
    for (size_t at = 0; at + CHUNK_PLACE_SIZE <= r->places->size; at += CHUNK_PLACE_SIZE) {
        struct chunk_place place = chunk_place_read(r->places->data + at);
        if (!log_holds(w->log, place.pack, place.offset))
            return error_make(ERROR_RETRY, "a write to the disk failed while it was received; send it again");
    }
    return NO_ERROR;
}

/* Once the fold has begun with it, its failure is the group's: what it changed cannot be taken back alone. */
static struct error append_logical(struct writer *w, struct write_request *r, uint8_t type, bool *fatal)
{
    struct iovec part = {r->payload.data, r->payload.size};
    TRY(buf_error(&r->payload));
    TRY(log_append(w->log, type, true, &part, 1, &r->place));
    r->lsn = r->place.lsn;
    struct record_header header = {
        .type = type, .length = r->payload.size, .lsn = r->place.lsn, .time_ns = r->place.time_ns};
    struct fold_place place = {r->place.pack, r->place.offset, r->place.offset + record_extent(r->payload.size)};
    *fatal = true;
    return fold_apply(w->fold, &header, &place, r->payload.data, r->payload.size);
}

/* A failure that is the request's own leaves `*fatal` false: the group goes on without it. */
static struct error take_instance(struct writer *w, struct write_request *r, bool *fatal)
{
    TRY(check_places(w, r));
    TRY(fold_decide(w->fold, r->question, r->record, &r->answer));
    r->stale = r->answer.stale;
    if (r->stale)
        return NO_ERROR;
    bool duplicate = r->record->verdict == INGEST_DUPLICATE;
    if (!duplicate) {
        TRY(append_chunks(w, r));
        /* A variant that differs in its preamble alone lists the chunks that are there. */
        if (!r->record->chunks) {
            r->record->chunks = r->places->data;
            r->record->chunk_count = r->places->size / CHUNK_PLACE_SIZE;
        }
    }
    instance_record_write(&r->payload, r->record);
    return append_logical(w, r, duplicate ? RECORD_DUPLICATE : RECORD_INSTANCE, fatal);
}

static struct error take_request(struct writer *w, struct write_request *r, bool *fatal)
{
    *fatal = false;
    switch (r->kind) {
    case WRITE_CHUNKS:
        return append_chunks(w, r);
    case WRITE_INSTANCE:
        return take_instance(w, r, fatal);
    case WRITE_DICTIONARY:
        if (r->copy_of)
            field_u64(&r->payload, FIELD_COPY_OF, r->copy_of);
        field_bytes(&r->payload, FIELD_DICTIONARY, r->dictionary->data, r->dictionary->size);
        return append_logical(w, r, RECORD_DICTIONARY, fatal);
    }
    return NO_ERROR;
}

/* ---- a group ---- */

/* W4. What fails all the same (another takes the space meanwhile) is W2 or W3. */
static struct error check_room(struct writer *w, uint64_t bytes)
{
    char packs[4096];
    const char *const folders[] = {packs, w->index->folder};
    struct statvfs st;
    pacs_part(w->pacs, "packs", packs);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (w->pacs->io->statvfs(w->pacs->io, folders[i], &st) == 0 &&
            (uint64_t)st.f_bavail * st.f_frsize < bytes + ROOM_BYTES)
            return error_make(ERROR_FULL, "%s: the disk is full", folders[i]);
    return NO_ERROR;
}

static struct error begin_index(struct writer *w, struct db_txn **txn)
{
    TRY(db_begin(w->index->db, true, txn));
    struct error err = fold_begin(w->fold, *txn);
    if (err.code) {
        db_abort(*txn);
        *txn = NULL;
    }
    return err;
}

static void fail_all(struct write_request *group, const struct error *err)
{
    for (struct write_request *r = group; r; r = r->next) {
        error_release(&r->err);
        r->err = error_copy(err);
        r->stale = false;
    }
}

/* Ends the pack where it was proven last (or, with `before`, there), and states that in a new one at once: a restart
 * would read back what the page cache has and the disk has not. */
static void end_pack(struct writer *w, const struct error *why, const struct log_position *before)
{
    log_line(LOG_LEVEL_ERROR, COMPONENT, "%s; the pack ends where it was proven last", error_text(why));
    if (before)
        log_revoke(w->log, before);
    else
        log_fail(w->log);
    struct error err = log_open_group(w->log);
    error_release(&err); /* the next group tries again */
}

/* The dictionary that chunks of the group need and that does not stand in the open pack yet; 0: none. */
static uint64_t missing_dictionary(struct writer *w, const struct write_request *group)
{
    for (const struct write_request *r = group; r; r = r->next)
        for (size_t i = 0; i < r->chunk_count; i++) {
            struct chunk_header chunk = chunk_header_read(r->chunks[i].payload.data);
            if (chunk.dictionary &&
                (chunk.dictionary != w->dictionary || log_pack_number(w->log) != w->dictionary_pack))
                return chunk.dictionary;
        }
    return 0;
}

/* The group was written, with a dictionary perhaps. */
static void note_dictionary(struct writer *w, const struct write_request *group)
{
    for (const struct write_request *r = group; r; r = r->next)
        if (r->kind == WRITE_DICTIONARY && !r->err.code) {
            w->dictionary = r->copy_of ? r->copy_of : r->lsn;
            w->dictionary_pack = r->place.pack;
        }
}

/* Steps 1 to 3 of the rule. */
static struct error write_group(struct writer *w, struct write_request *group, bool *logical, uint64_t bytes)
{
    struct db_txn *txn = NULL;
    struct write_request copy = {.kind = WRITE_DICTIONARY};
    struct error err = check_room(w, bytes);
    if (!err.code)
        err = log_open_group(w->log);
    struct log_position before = log_position(w->log);
    buf_init(&copy.payload);
    if (!err.code && (copy.copy_of = missing_dictionary(w, group)) != 0)
        copy.dictionary = dictionary_bytes(w->pacs, copy.copy_of);
    *logical |= copy.dictionary != NULL;
    if (!err.code && *logical)
        err = begin_index(w, &txn);
    if (!err.code && copy.dictionary) {
        bool fatal;
        err = take_request(w, &copy, &fatal);
    }
    for (struct write_request *r = group; r && !err.code; r = r->next) {
        bool fatal;
        r->err = take_request(w, r, &fatal);
        if (r->err.code && fatal) {
            err = r->err;
            r->err = NO_ERROR;
        }
    }
    if (err.code) {
        log_drop(w->log);
    } else {
        err = *logical ? log_sync(w->log) : log_write(w->log);
        if (err.code)
            end_pack(w, &err, NULL);
    }
    if (txn && err.code) {
        db_abort(txn);
        fold_reset(w->fold);
    } else if (txn) {
        err = fold_flush(w->fold);
        if (err.code)
            db_abort(txn);
        else
            err = db_commit(txn);
        if (err.code) {
            fold_reset(w->fold);
            end_pack(w, &err, &before);
        }
    }
    if (!err.code)
        note_dictionary(w, copy.dictionary ? &copy : group);
    buf_release(&copy.payload);
    return err;
}

static void answer(struct write_request *group)
{
    while (group) {
        struct write_request *next = group->next; /* the request is gone once its owner wakes */
        sem_post(&group->answered);
        group = next;
    }
}

static void run_group(struct writer *w, struct write_request *group)
{
    bool logical = false;
    uint64_t bytes = 0, records = 0;
    for (struct write_request *r = group; r; r = r->next) {
        logical |= r->kind != WRITE_CHUNKS;
        records++;
        for (size_t i = 0; i < r->chunk_count; i++)
            bytes += r->chunks[i].payload.size;
    }
    uint64_t pack = log_pack_number(w->log);
    struct error err = write_group(w, group, &logical, bytes);
    if (err.code) {
        fail_all(group, &err);
    } else if (logical) {
        struct meta_row *meta = fold_meta(w->fold);
        clock_publish(w->pacs->clock, meta->newest, meta->lsn, w->index->number);
    }
    pthread_mutex_lock(&w->lock);
    w->stats.batches++;
    w->stats.records += records;
    w->stats.bytes += bytes;
    w->stats.syncs += logical;
    w->stats.failed_writes += err.code != ERROR_NONE;
    w->committed_ms = now_ms();
    if (!err.code && pack && log_pack_number(w->log) != pack) { /* on a full disk it would be tried for nothing */
        w->seal_due = true;
        pthread_cond_signal(&w->helper_work);
    }
    pthread_mutex_unlock(&w->lock);
    error_release(&err);
    answer(group);
}

/* ---- checkpoints and barriers ---- */

static bool checkpoint_due(struct writer *w, uint64_t now)
{
    if (w->saving || w->checkpoint_lsn == fold_meta(w->fold)->lsn)
        return false;
    return db_extent_bytes(w->index->db) >= w->checkpoint_bytes + CHECKPOINT_BYTES ||
           now - w->checkpoint_ms >= CHECKPOINT_SECONDS * 1000 || now - w->committed_ms >= CHECKPOINT_IDLE_MS;
}

/* The previous pin goes only when the new state is durable (C1); an uncertain one is kept for good, so that there is no
 * other in this run. Called with the lock held. */
static void collect_checkpoint(struct writer *w)
{
    if (!w->saved || checkpoint_uncertain(w->saving))
        return;
    w->saved = false;
    if (w->save_failed) {
        checkpoint_release(w->saving);
    } else {
        checkpoint_release(w->pinned);
        w->pinned = w->saving;
        w->stats.checkpoints++;
    }
    w->saving = NULL;
}

static void start_checkpoint(struct writer *w)
{
    struct checkpoint *checkpoint;
    db_clear_dead_readers(w->index->db); /* a killed mount keeps pages from use until then */
    struct error err = checkpoint_take(w->index->db, &checkpoint);
    if (err.code) {
        log_error(LOG_LEVEL_ERROR, COMPONENT, &err);
        w->checkpoint_ms = w->committed_ms = now_ms();
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->saving = checkpoint;
    w->save_due = true;
    w->checkpoint_lsn = fold_meta(w->fold)->lsn;
    w->checkpoint_bytes = db_extent_bytes(w->index->db);
    w->checkpoint_ms = now_ms();
    pthread_cond_signal(&w->helper_work);
    pthread_mutex_unlock(&w->lock);
}

static void barrier(struct writer *w)
{
    struct error err = log_barrier(w->log);
    if (err.code)
        end_pack(w, &err, NULL);
    error_release(&err);
}

/* ---- threads ---- */

static struct write_request *take_queue(struct writer *w)
{
    struct write_request *group = w->first, **end = &w->first;
    size_t bytes = 0;
    while (*end && bytes < GROUP_BYTES_MAX) {
        for (size_t i = 0; i < (*end)->chunk_count; i++)
            bytes += (*end)->chunks[i].payload.size;
        end = &(*end)->next;
        w->queued--;
    }
    w->first = *end;
    *end = NULL;
    if (!w->first)
        w->last = &w->first;
    pthread_cond_broadcast(&w->room);
    return group;
}

static void wait_for_work(struct writer *w)
{
    struct timespec until;
    bool soon = log_wants_barrier(w->log);
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (soon ? BARRIER_AFTER_MS : 250) * UINT64_C(1000000);
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    pthread_cond_timedwait(&w->work, &w->lock, &until);
}

static void *writer_thread(void *argument)
{
    struct writer *w = argument;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        if (!w->first && !w->stopping)
            wait_for_work(w);
        struct write_request *group = take_queue(w);
        bool stop = w->stopping && !group;
        collect_checkpoint(w);
        uint64_t now = now_ms();
        bool idle = !group && now - w->committed_ms >= BARRIER_AFTER_MS;
        pthread_mutex_unlock(&w->lock);
        if (group)
            run_group(w, group);
        if ((idle || stop) && log_wants_barrier(w->log))
            barrier(w);
        if (stop)
            break;
        if (checkpoint_due(w, now_ms()))
            start_checkpoint(w);
        pthread_mutex_lock(&w->lock);
    }
    return NULL;
}

static void *helper_thread(void *argument)
{
    struct writer *w = argument;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->stopping && !(w->save_due && w->saving && !w->saved) && !w->seal_due)
            pthread_cond_wait(&w->helper_work, &w->lock);
        if (w->save_due && w->saving && !w->saved) {
            struct checkpoint *checkpoint = w->saving;
            pthread_mutex_unlock(&w->lock);
            struct error err = checkpoint_save(checkpoint, w->index->folder, w->pacs->io);
            pthread_mutex_lock(&w->lock);
            w->save_failed = err.code != ERROR_NONE;
            w->saved = true;
            w->save_due = false;
            if (err.code && checkpoint_uncertain(checkpoint))
                log_line(LOG_LEVEL_ERROR, COMPONENT, "no more checkpoints in this run; restart when the disk is well");
            log_error(LOG_LEVEL_ERROR, COMPONENT, &err);
            continue;
        }
        if (w->stopping)
            break;
        w->seal_due = false;
        pthread_mutex_unlock(&w->lock);
        seal_chain(w->pacs->packs, w->pacs->io, &w->stop_sealing, &w->sealed_to);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct error writer_new(struct writer **out, struct pacs *pacs, const struct log_position *position)
{
    struct error err = NO_ERROR;
    char folder[4096];
    pthread_condattr_t monotonic;
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return error_make(ERROR_NO_MEMORY, "writer: out of memory");
    w->pacs = pacs;
    w->index = pacs->index;
    w->last = &w->first;
    w->seal_due = true;
    w->checkpoint_ms = w->committed_ms = now_ms();
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &monotonic);
    pthread_cond_init(&w->room, &monotonic);
    pthread_cond_init(&w->helper_work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pacs_part(pacs, "packs", folder);
    CHECK(log_new(&w->log, folder, pacs->conf.uuid, pacs->io, (uint64_t)pacs->options.pack_bytes, position));
    CHECK(fold_new(&w->fold));
    /* C1 for this run: recovery wrote a checkpoint of this very state; its pages are pinned before the first write. */
    CHECK(checkpoint_take(w->index->db, &w->pinned));
    CHECK(stamp_open(w->index->folder, pacs->io));
    struct db_txn *txn;
    CHECK(db_begin(w->index->db, false, &txn));
    err = fold_begin(w->fold, txn);
    db_abort(txn);
    CHECK(err);
    w->checkpoint_lsn = fold_meta(w->fold)->lsn;
    w->checkpoint_bytes = db_extent_bytes(w->index->db);
    int failed = pthread_create(&w->thread, NULL, writer_thread, w);
    if (!failed) {
        w->thread_runs = true;
        failed = pthread_create(&w->helper, NULL, helper_thread, w);
        w->helper_runs = !failed;
    }
    if (failed)
        err = error_system(failed, "writer: cannot start a thread");
out:
    if (err.code)
        writer_free(w);
    else
        *out = w;
    return err;
}

void writer_free(struct writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    w->stop_sealing = true;
    pthread_cond_broadcast(&w->work);
    pthread_cond_broadcast(&w->helper_work);
    pthread_mutex_unlock(&w->lock);
    if (w->thread_runs)
        pthread_join(w->thread, NULL);
    if (w->helper_runs)
        pthread_join(w->helper, NULL);
    if (w->thread_runs && !(w->saving && checkpoint_uncertain(w->saving))) {
        struct checkpoint *last;
        struct error err = checkpoint_take(w->index->db, &last);
        if (!err.code) {
            err = checkpoint_save(last, w->index->folder, w->pacs->io);
            bool synced = !checkpoint_uncertain(last); /* also where there was no room for a checkpoint */
            checkpoint_release(last);
            log_error(LOG_LEVEL_ERROR, COMPONENT, &err);
            err = synced ? stamp_write(w->index->folder, w->pacs->io) : NO_ERROR;
        }
        log_error(LOG_LEVEL_ERROR, COMPONENT, &err);
    }
    checkpoint_release(w->saving);
    checkpoint_release(w->pinned);
    log_free(w->log);
    fold_free(w->fold);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->room);
    pthread_cond_destroy(&w->helper_work);
    free(w);
}

void writer_run(struct writer *w, struct write_request *r)
{
    r->next = NULL;
    r->stale = false;
    r->err = NO_ERROR;
    buf_init(&r->payload);
    sem_init(&r->answered, 0, 0);
    pthread_mutex_lock(&w->lock);
    while (w->queued >= QUEUE_MAX)
        pthread_cond_wait(&w->room, &w->lock);
    *w->last = r;
    w->last = &r->next;
    if (++w->queued > w->stats.queue_max)
        w->stats.queue_max = w->queued;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    while (sem_wait(&r->answered) != 0) /* a signal */
        ;
    sem_destroy(&r->answered);
    buf_release(&r->payload);
}

void writer_stats_get(struct writer *w, struct writer_stats *stats)
{
    pthread_mutex_lock(&w->lock);
    *stats = w->stats;
    stats->queue = w->queued;
    pthread_mutex_unlock(&w->lock);
    stats->pool_threads = pool_threads(w->pacs->pool);
}
