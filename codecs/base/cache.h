/* Layer: codecs/base. One bounded, sharded cache of byte blocks: decoded chunks, headers, rendered frames.
 *
 * Entries are immutable, reference-counted and evicted by least recent use when the sum of their sizes exceeds the
 * limit (entries that are held do not go away, they are only forgotten). Two callers that ask for the same key at once
 * have it filled once: the second waits. Any thread; `fill` runs without any lock held and may ask for other keys, not
 * for its own. A block larger than the whole limit is handed out and not kept. What an entry costs beside its bytes
 * counts too. Memory of large blocks that went waits for the next (at most an eighth of the limit and
 * CACHE_SPARE_MAX, beyond the limit): `fill` may ask for it by spares_take().
 */
#ifndef CODECS_BASE_CACHE_H
#define CODECS_BASE_CACHE_H

#include "codecs/base/buf.h"
#include "codecs/base/spares.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CACHE_SPARE_MAX (UINT64_C(8) << 20)

struct cache;
struct cache_entry;
struct cache_key {
    uint64_t kind; /* who keys: constants of the caller, mixed with what identifies the block */
    uint64_t a, b;
};
struct cache_stats {
    uint64_t limit, used, entries, hits, misses,
        evictions; /* limit, used: bytes; who waited for a fill counts as hit */
};

struct error cache_new(struct cache **cache, uint64_t limit_bytes);
void cache_free(struct cache *cache); /* no entry may be held */
/* Fills `out` with the block. A failure is returned to every caller that waited and is not kept. */
typedef struct error (*cache_fill)(void *context, struct buf *out);
struct error cache_get(struct cache *cache, struct cache_key key, cache_fill fill, void *context,
                       struct cache_entry **entry);
/* The entry if it is there, else NULL; never fills, never waits. */
struct cache_entry *cache_peek(struct cache *cache, struct cache_key key);
const uint8_t *cache_data(const struct cache_entry *entry, size_t *size);
void cache_put(struct cache *cache, struct cache_entry *entry); /* gives the reference back */
struct spares *cache_spares(struct cache *cache);
void cache_stats(struct cache *cache, struct cache_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
