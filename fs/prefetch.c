/* What lives here: who reads in sequence, the queue, and the threads that read ahead. `lock` guards all but the
 * threads.
 *
 * A job is the file that was begun; its thread finds the series and, if the file follows the one that was begun there
 * last, reads the next one. */
#include "fs/prefetch.h"

#include <pthread.h>
#include <stdlib.h>

#define SERIES_SEEN 64 /* series whose last reader is remembered */
#define GAP_MAX 8      /* what the kernel's page cache holds is not asked of us */
#define STEP (1u << 20)

struct seen {
    uint64_t series, number;
    uint32_t code;
};

struct prefetch {
    struct tree *tree;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stopping;
    struct node queue[PREFETCH_QUEUE_MAX];
    unsigned first, queued;
    struct seen seen[SERIES_SEEN];
    pthread_t threads[PREFETCH_THREADS];
    unsigned started;
};

/* Whether a reader of this series has come here from a file a little before. */
static bool follows(struct prefetch *prefetch, const struct instance_row *row, uint32_t code)
{
    struct seen *seen = &prefetch->seen[(row->series ^ code) % SERIES_SEEN];
    pthread_mutex_lock(&prefetch->lock);
    bool same = seen->series == row->series && seen->code == code;
    bool follows = same && row->number > seen->number && row->number - seen->number <= GAP_MAX;
    *seen = (struct seen){.series = row->series, .number = row->number, .code = code};
    pthread_mutex_unlock(&prefetch->lock);
    return follows;
}

/* The next edition shown in the series of a file that is read in sequence; id 0: none, or it is not. */
static struct error next_of(struct prefetch *prefetch, struct node node, uint64_t *id)
{
    struct pacs_txn *txn;
    struct instance_row row;
    *id = 0;
    TRY(pacs_begin(prefetch->tree->pacs, &txn));
    struct error err = NO_ERROR;
    CHECK(pacs_instance(txn, node.id, &row));
    if (!follows(prefetch, &row, node.part))
        goto out;
    do
        CHECK(pacs_next_instance(txn, row.series, row.number, &row));
    while (!instance_shown(&row, UINT64_MAX) || !file_applies(file_kind_by_code(node.part), &row));
    *id = row.id;
out:
    pacs_end(txn);
    return err;
}

static struct error read_ahead(struct prefetch *prefetch, struct node node)
{
    TRY(next_of(prefetch, node, &node.id));
    if (!node.id)
        return NO_ERROR;
    const struct file_kind *kind = file_kind_by_code(node.part);
    for (uint64_t offset = 0; offset < PREFETCH_BYTES_MAX; offset += STEP) {
        struct piece piece = {0};
        struct error err = kind->read(prefetch->tree, node, offset, STEP, &piece);
        size_t got = piece.size;
        piece_release(&piece);
        TRY(err);
        if (got < STEP || kind->ahead == AHEAD_WHOLE)
            break;
    }
    return NO_ERROR;
}

static void *run(void *argument)
{
    struct prefetch *prefetch = argument;
    pthread_mutex_lock(&prefetch->lock);
    while (!prefetch->stopping) {
        if (!prefetch->queued) {
            pthread_cond_wait(&prefetch->work, &prefetch->lock);
            continue;
        }
        struct node node = prefetch->queue[prefetch->first];
        prefetch->first = (prefetch->first + 1) % PREFETCH_QUEUE_MAX;
        prefetch->queued--;
        pthread_mutex_unlock(&prefetch->lock);
        struct error err = read_ahead(prefetch, node);
        error_release(&err); /* who reads the file itself hears of it */
        pthread_mutex_lock(&prefetch->lock);
    }
    pthread_mutex_unlock(&prefetch->lock);
    return NULL;
}

struct error prefetch_new(struct prefetch **out, struct tree *tree)
{
    struct prefetch *prefetch = calloc(1, sizeof *prefetch);
    if (!prefetch)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    prefetch->tree = tree;
    pthread_mutex_init(&prefetch->lock, NULL);
    pthread_cond_init(&prefetch->work, NULL);
    for (; prefetch->started < PREFETCH_THREADS; prefetch->started++) {
        int failed = pthread_create(&prefetch->threads[prefetch->started], NULL, run, prefetch);
        if (failed) {
            prefetch_free(prefetch);
            return error_system(failed, "cannot start a thread that reads ahead");
        }
    }
    *out = prefetch;
    return NO_ERROR;
}

void prefetch_free(struct prefetch *prefetch)
{
    if (!prefetch)
        return;
    pthread_mutex_lock(&prefetch->lock);
    prefetch->stopping = true;
    pthread_cond_broadcast(&prefetch->work);
    pthread_mutex_unlock(&prefetch->lock);
    for (unsigned i = 0; i < prefetch->started; i++)
        pthread_join(prefetch->threads[i], NULL);
    pthread_cond_destroy(&prefetch->work);
    pthread_mutex_destroy(&prefetch->lock);
    free(prefetch);
}

void prefetch_note(struct prefetch *prefetch, struct node node)
{
    pthread_mutex_lock(&prefetch->lock);
    if (prefetch->queued < PREFETCH_QUEUE_MAX) {
        prefetch->queue[(prefetch->first + prefetch->queued++) % PREFETCH_QUEUE_MAX] = node;
        pthread_cond_signal(&prefetch->work);
    }
    pthread_mutex_unlock(&prefetch->lock);
}
