/* Layer: codecs/base. Memory of large blocks that are done with, kept for the next of about the same size.
 *
 * Readers of an image decode thousands of blocks of one size and drop as many. Through malloc alone either each of them
 * is mapped and paged in anew, or (by its sliding threshold for mappings) all share arenas, which then keep twice what
 * is in use. Blocks below SPARES_BLOCK_MIN are malloc's. At most SPARES_MAX blocks and `limit` bytes wait; what waited
 * longest goes first. A NULL `spares` holds nothing. Any thread.
 */
#ifndef CODECS_BASE_SPARES_H
#define CODECS_BASE_SPARES_H

#include "codecs/base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SPARES_BLOCK_MIN (128u << 10)
#define SPARES_MAX 64u

struct spares;

struct error spares_new(struct spares **spares, uint64_t limit_bytes);
void spares_free(struct spares *spares);
/* Gives the empty buffer `out` room for `size` bytes: a block that waits, if one is no more than an eighth larger, else
 * new memory, of just that size. Leaves small ones as they are, and all when memory runs out: buf_reserve() tells. */
void spares_take(struct spares *spares, size_t size, struct buf *out);
/* Releases `block`, whose memory may then wait here. */
void spares_give(struct spares *spares, struct buf *block);
/* For programs whose memory is to stay within what their caches say: fixes malloc's threshold for mappings and the
 * number of its arenas. Call it before the first thread. */
void spares_settle_malloc(void);

#ifdef __cplusplus
}
#endif
#endif
