/* Layer: index/log. The one writer of an archive: a thread that takes what all ingests have ready, makes one group of
 * it, syncs once, folds, commits the index, publishes, answers.
 *
 * Rule of a group, with the crash window behind each step that is not atomic:
 *   1. decide and append each request to the group, in memory; fold it into one index transaction, uncommitted
 *   2. write the group and fdatasync the pack       cut before: nothing of the group counts; cut after: all of it does
 *   3. commit the index, unsynced                   cut before: the log is ahead, a replay folds it
 *   4. publish the clock                            cut before: mounts hear of it with the next group
 *   5. answer each request                          cut before: the sender sends again: a duplicate
 *  W1  No answer before 2 and 3 have succeeded. [writer_answers_after_it_can_be_found, writer_power_goes]
 *  W2  A failed 2 ends the pack (log_fail), the index transaction is aborted, all requests of the group are refused.
 *      [writer_fault_at_every_call, failed_sync_then_successor]
 *  W3  A failed 3 (a full disk) revokes the group: the pack ends before it (log_revoke), all requests are refused.
 *      [fault_simulate, plan work, calls index-write]
 *  W4  A group for which there is no room is refused before anything of it is written: no pack ends, no number is used.
 * After W2 and W3 a new pack states the end at once (begin_successor). A crash before it does, or a disk that takes
 * none, brings a revoked group back: kept though refused, which harms nobody.
 * 50 ms after the last group a BARRIER proves it; checkpoints follow growth, time and idleness.
 */
#ifndef INDEX_LOG_WRITER_H
#define INDEX_LOG_WRITER_H

#include "index/archive.h"
#include "index/fold/fold.h"

#include <semaphore.h>

struct writer;

enum write_kind { WRITE_CHUNKS, WRITE_INSTANCE, WRITE_DICTIONARY };

/* A chunk's record payload, ready; its place is filled in when it is appended. */
struct write_chunk {
    struct buf payload;
    struct chunk_place place; /* raw_size, raw_end and length set by the caller */
};

struct write_request {
    enum write_kind kind;
    struct write_chunk *chunks; /* appended first; for WRITE_INSTANCE what is left of it */
    size_t chunk_count;
    struct buf *places; /* of the chunks appended before, in order; new ones are added */
    struct fold_question *question;
    struct instance_record *record;
    struct fold_answer answer;
    const struct buf *dictionary;
    uint64_t copy_of; /* LSN of the dictionary that WRITE_DICTIONARY repeats; 0: a new one */
    /* results */
    struct error err;
    bool stale; /* compare again, nothing was written */
    uint64_t lsn;
    /* the writer's */
    struct write_request *next;
    struct log_place place;
    struct buf payload;
    sem_t answered; /* its owner wakes without the writer's lock, for which the whole group would queue */
};

struct error writer_new(struct writer **writer, struct pacs *pacs, const struct log_position *position);
/* Writes what is queued, a barrier and a checkpoint; joins the threads. NULL is allowed. */
void writer_free(struct writer *writer);
/* Hands a request over and waits for its answer. Blocks while the queue is full. */
void writer_run(struct writer *writer, struct write_request *request);
void writer_stats_get(struct writer *writer, struct writer_stats *stats);

#endif
