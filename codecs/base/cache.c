/* What lives here: the sharded cache. What does not: what is cached, and how it is made.
 *
 * An entry is FILLING -> READY or FILLING -> FAILED, once (cache_get, by the thread that made it). Invariants:
 * 1. A shard's lock guards its table, list, counters, and `state` and `failure` of its entries. No thread holds two
 *    locks, and none while it fills.
 * 2. The table owns one reference of each entry in it, each caller one; the last to give back frees (cache_put needs no
 *    lock: the count can only grow from a reference that exists).
 * 3. READY entries of the table are in the list, latest use first; FILLING ones are not, so that they are not evicted.
 *    FAILED ones are in neither: only who waited for them still sees them.
 * 4. `used` is the sum of the sizes of all entries in all lists. Whoever raised it over the limit evicts, first from
 * its own shard, then from the others in turn: one large block may take what 16 small shards could not hold each.
 */
#include "codecs/base/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SHARD_BITS 4
#define SHARDS (1u << SHARD_BITS)
#define BUCKETS_FIRST 64u
#define OVERHEAD 48u /* of an entry: malloc's for two blocks, and its place in a bucket */

enum state { FILLING, READY, FAILED };

struct cache_entry {
    struct cache_key key;
    uint64_t hash;
    struct cache_entry *chain;         /* of the bucket */
    struct cache_entry *newer, *older; /* of the list */
    enum state state;
    atomic_uint references;
    struct error failure; /* of a FAILED one; does not change any more */
    struct buf block;     /* of a READY one; does not change any more */
};

struct shard {
    pthread_mutex_t lock;
    pthread_cond_t filled; /* some entry is not FILLING any more */
    struct cache_entry **buckets;
    size_t bucket_count, count;
    struct cache_entry *newest, *oldest;
    uint64_t hits, misses, evictions;
};

struct cache {
    uint64_t limit;
    struct spares *spares;
    _Atomic uint64_t used;
    struct shard shards[SHARDS];
};

static uint64_t charge(const struct cache_entry *entry)
{
    return entry->block.capacity + sizeof *entry + OVERHEAD;
}

static struct shard *shard_of(struct cache *cache, uint64_t hash)
{
    return &cache->shards[hash >> (64 - SHARD_BITS)];
}

struct error cache_new(struct cache **out, uint64_t limit_bytes)
{
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return error_make(ERROR_NO_MEMORY, "cache: out of memory");
    cache->limit = limit_bytes;
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        pthread_cond_init(&cache->shards[i].filled, NULL);
    }
    struct error err =
        spares_new(&cache->spares, limit_bytes / 8 < CACHE_SPARE_MAX ? limit_bytes / 8 : CACHE_SPARE_MAX);
    if (err.code != ERROR_NONE) {
        cache_free(cache);
        return err;
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        shard->buckets = calloc(BUCKETS_FIRST, sizeof(struct cache_entry *)); /* NOLINT(bugprone-sizeof-expression) */
        if (!shard->buckets) {
            cache_free(cache);
            return error_make(ERROR_NO_MEMORY, "cache: out of memory");
        }
        shard->bucket_count = BUCKETS_FIRST;
    }
    *out = cache;
    return NO_ERROR;
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        for (size_t b = 0; b < shard->bucket_count; b++) {
            for (struct cache_entry *entry = shard->buckets[b], *next; entry; entry = next) {
                next = entry->chain;
                cache_put(cache, entry);
            }
        }
        free(shard->buckets);
        pthread_cond_destroy(&shard->filled);
        pthread_mutex_destroy(&shard->lock);
    }
    spares_free(cache->spares);
    free(cache);
}

static struct cache_entry **slot_of(struct shard *shard, const struct cache_key *key, uint64_t hash)
{
    struct cache_entry **slot = &shard->buckets[hash & (shard->bucket_count - 1)];
    while (*slot && ((*slot)->key.kind != key->kind || (*slot)->key.a != key->a || (*slot)->key.b != key->b))
        slot = &(*slot)->chain;
    return slot;
}

/* Doubles the buckets. Without memory the chains only become longer. */
static void grow(struct shard *shard)
{
    size_t count = shard->bucket_count * 2;
    struct cache_entry **buckets = calloc(count, sizeof(struct cache_entry *)); /* NOLINT(bugprone-sizeof-expression) */
    if (!buckets)
        return;
    for (size_t b = 0; b < shard->bucket_count; b++) {
        for (struct cache_entry *entry = shard->buckets[b], *next; entry; entry = next) {
            next = entry->chain;
            entry->chain = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
}

static void table_remove(struct shard *shard, struct cache_entry *entry)
{
    *slot_of(shard, &entry->key, entry->hash) = entry->chain;
    shard->count--;
}

static void list_push(struct shard *shard, struct cache_entry *entry)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    *(shard->newest ? &shard->newest->newer : &shard->oldest) = entry;
    shard->newest = entry;
}

static void list_remove(struct shard *shard, struct cache_entry *entry)
{
    *(entry->newer ? &entry->newer->older : &shard->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &shard->oldest) = entry->newer;
}

/* A reference for the caller to a READY entry that was just used. */
static void touch(struct shard *shard, struct cache_entry *entry)
{
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    list_remove(shard, entry);
    list_push(shard, entry);
    shard->hits++;
}

/* The entry is FILLING: waits, under the shard's lock. */
static struct error wait_for_fill(struct shard *shard, struct cache_entry *entry)
{
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    while (entry->state == FILLING)
        pthread_cond_wait(&shard->filled, &shard->lock);
    if (entry->state == FAILED)
        return error_copy(&entry->failure);
    shard->hits++;
    return NO_ERROR;
}

static struct cache_entry *insert(struct shard *shard, struct cache_key key, uint64_t hash)
{
    struct cache_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->key = key;
    entry->hash = hash;
    buf_init(&entry->block);
    atomic_init(&entry->references, 2); /* the table's and the caller's */
    if (shard->count >= shard->bucket_count)
        grow(shard);
    struct cache_entry **slot = &shard->buckets[hash & (shard->bucket_count - 1)];
    entry->chain = *slot;
    *slot = entry;
    shard->count++;
    shard->misses++;
    return entry;
}

/* Buffers grow by doubling: gives back what is much more than needed. Small ones move: shrunk where they stand they
 * would leave gaps that the next one, as large at first, cannot use. */
static void trim(struct buf *block)
{
    if (block->capacity - block->size <= block->size / 8 + 64)
        return;
    bool moves = block->capacity < SPARES_BLOCK_MIN;
    uint8_t *smaller = moves ? malloc(block->size + 1) : realloc(block->data, block->size + 1);
    if (!smaller)
        return;
    if (moves) {
        memcpy(smaller, block->data, block->size);
        smaller[block->size] = 0;
        free(block->data);
    }
    block->data = smaller;
    block->capacity = block->size + 1;
}

/* Runs without lock; then publishes the outcome to who waits. */
static struct error fill_entry(struct cache *cache, struct shard *shard, struct cache_entry *entry, cache_fill fill,
                               void *context)
{
    struct error err = fill(context, &entry->block);
    if (err.code == ERROR_NONE)
        err = buf_error(&entry->block);
    if (err.code == ERROR_NONE)
        trim(&entry->block);
    pthread_mutex_lock(&shard->lock);
    if (err.code == ERROR_NONE) {
        entry->state = READY;
        list_push(shard, entry);
        atomic_fetch_add(&cache->used, charge(entry));
    } else {
        entry->state = FAILED;
        entry->failure = error_copy(&err);
        table_remove(shard, entry);
    }
    pthread_cond_broadcast(&shard->filled);
    pthread_mutex_unlock(&shard->lock);
    if (err.code != ERROR_NONE) /* the table's reference; the caller's keeps the entry */
        atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel);
    return err;
}

/* Forgets `entry`, or the oldest of the shard where it is NULL; false: it is not there (any more). */
static bool forget(struct cache *cache, struct shard *shard, const struct cache_entry *wanted)
{
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *entry = wanted ? *slot_of(shard, &wanted->key, wanted->hash) : shard->oldest;
    if (wanted && entry != wanted)
        entry = NULL;
    if (entry) {
        list_remove(shard, entry);
        table_remove(shard, entry);
        atomic_fetch_sub(&cache->used, charge(entry));
        shard->evictions++;
    }
    pthread_mutex_unlock(&shard->lock);
    if (entry)
        cache_put(cache, entry);
    return entry;
}

static void evict(struct cache *cache, const struct cache_entry *mine)
{
    unsigned first = (unsigned)(mine->hash >> (64 - SHARD_BITS));
    if (charge(mine) > cache->limit) /* it would drive out all others and then itself */
        forget(cache, &cache->shards[first], mine);
    for (unsigned i = 0, empty = 0; atomic_load(&cache->used) > cache->limit && empty < SHARDS; i++)
        empty = forget(cache, &cache->shards[(first + i) % SHARDS], NULL) ? 0 : empty + 1;
}

struct error cache_get(struct cache *cache, struct cache_key key, cache_fill fill, void *context,
                       struct cache_entry **out)
{
    uint64_t hash = XXH3_64bits(&key, sizeof key);
    struct shard *shard = shard_of(cache, hash);
    struct error err = NO_ERROR;
    bool mine = false;
    *out = NULL;
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *entry = *slot_of(shard, &key, hash);
    if (!entry)
        mine = (entry = insert(shard, key, hash)) != NULL;
    else if (entry->state == READY)
        touch(shard, entry);
    else
        err = wait_for_fill(shard, entry);
    pthread_mutex_unlock(&shard->lock);
    if (!entry)
        return error_make(ERROR_NO_MEMORY, "cache: out of memory");
    if (mine)
        err = fill_entry(cache, shard, entry, fill, context);
    if (err.code != ERROR_NONE) {
        cache_put(cache, entry);
        return err;
    }
    if (mine)
        evict(cache, entry);
    *out = entry;
    return NO_ERROR;
}

struct cache_entry *cache_peek(struct cache *cache, struct cache_key key)
{
    uint64_t hash = XXH3_64bits(&key, sizeof key);
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *entry = *slot_of(shard, &key, hash);
    if (entry && entry->state == READY)
        touch(shard, entry);
    else
        entry = NULL;
    pthread_mutex_unlock(&shard->lock);
    return entry;
}

const uint8_t *cache_data(const struct cache_entry *entry, size_t *size)
{
    *size = entry->block.size;
    return entry->block.data;
}

void cache_put(struct cache *cache, struct cache_entry *entry)
{
    if (!entry || atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) != 1)
        return;
    error_release(&entry->failure);
    spares_give(cache->spares, &entry->block);
    free(entry);
}

struct spares *cache_spares(struct cache *cache)
{
    return cache->spares;
}

void cache_stats(struct cache *cache, struct cache_stats *stats)
{
    *stats = (struct cache_stats){.limit = cache->limit, .used = atomic_load(&cache->used)};
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        stats->entries += shard->count;
        stats->hits += shard->hits;
        stats->misses += shard->misses;
        stats->evictions += shard->evictions;
        pthread_mutex_unlock(&shard->lock);
    }
}
