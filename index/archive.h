/* Layer: index, inside. What an opened archive is made of. fs/ and net/ see index/index.h alone. */
#ifndef INDEX_ARCHIVE_H
#define INDEX_ARCHIVE_H

#include "codecs/base/pool.h"
#include "codecs/chunk/chunk.h"
#include "index/clock.h"
#include "index/db/tables.h"
#include "index/index.h"
#include "index/log/log.h"
#include "index/pack/packs.h"

#include <pthread.h>
#include <stdatomic.h>

/* An index that transactions are in; a rebuild puts another in its place, the old one closes with its last user. */
struct generation {
    struct db *db;
    char *folder;
    uint32_t number;
    unsigned users; /* guarded by pacs->index_lock */
};

struct pacs {
    char *path;
    char *derived; /* where index/ and run/ are instead, or NULL (derived.h) */
    struct archive_conf conf;
    struct pacs_options options;
    const struct io_ops *io;
    struct packs *packs;
    struct cache *cache;
    struct clock_map *clock;
    int lock_fd; /* the writer's lock, or -1 */

    pthread_mutex_t index_lock; /* guards `index` and the users of generations */
    struct generation *index;
    pthread_mutex_t follow_lock; /* one thread at a time looks for another index */

    struct dictionaries *dictionaries;
    struct pool *pool;     /* with PACS_WRITE */
    struct writer *writer; /* with PACS_WRITE */

    pthread_mutex_t space_lock; /* guards the two below */
    uint64_t space_free, space_asked_ns;
    _Atomic int64_t quarantine_room; /* bytes that may come before the folder is looked at again */
};

struct pacs_txn {
    struct db_txn *db;
    struct generation *generation;
    struct pacs *pacs;
};

/* pacs_init() and pacs_open() over another seam than io_system: what recovery, log, checkpoints, seals and
 * configuration write goes through `io`, which lives as long as the archive is open. For tests that put faults behind
 * it. */
struct error pacs_init_over(const char *path, const struct archive_conf *conf, const struct io_ops *io);
struct error pacs_open_over(struct pacs **pacs, const char *path, const struct pacs_options *options,
                            const struct io_ops *io);

/* ARCHIVE/part in a buffer of PATH_MAX bytes; what is derived may be elsewhere. */
void pacs_part(const struct pacs *pacs, const char *part, char *to);

/* Tells readers to look for another index (after the switch) and follows it in this process. */
struct error pacs_follow(struct pacs *pacs);

/* index/dictionary.c: zstd dictionaries by the LSN of their record; they stay until the archive is closed. */
struct error dictionaries_new(struct dictionaries **dictionaries);
void dictionaries_free(struct dictionaries *dictionaries);
struct error dictionary_by_lsn(struct pacs *pacs, uint64_t lsn, const struct chunk_dictionary **dictionary);
/* The one to compress with, and its LSN; NULL: none yet. */
const struct chunk_dictionary *dictionary_current(struct pacs *pacs, uint64_t *lsn);
/* Loads the newest one at the start of a writer. */
struct error dictionary_load_newest(struct pacs *pacs);
/* A small header that may serve for training; may start the training (on the pool). */
void dictionary_sample(struct pacs *pacs, const void *bytes, size_t size);
/* The bytes of one in use, for a copy in another pack; they live until the archive is closed. NULL: not in use here. */
const struct buf *dictionary_bytes(struct pacs *pacs, uint64_t lsn);
/* Waits for a training that runs; before the writer is freed. */
void dictionaries_join(struct pacs *pacs);

/* index/chunk_store.c: a chunk's raw bytes, through the cache. `uid` is for the message. */
struct error chunk_get(struct pacs *pacs, const struct chunk_place *place, const char *uid, struct cache_entry **entry);
/* The same past the cache, for verify and for comparing duplicates. */
struct error chunk_read(struct pacs *pacs, const struct chunk_place *place, const char *uid, struct buf *out);

#endif
