/* What lives here: the blocks that wait, oldest first, and what is asked of malloc. `lock` guards all; no system call
 * is made under it. */
#include "codecs/base/spares.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ARENAS 2
#define PAGE 4096u
#define MALLOC_HEADER 16u

struct spares {
    pthread_mutex_t lock;
    uint64_t limit, bytes;
    struct buf blocks[SPARES_MAX];
    unsigned count;
};

struct error spares_new(struct spares **out, uint64_t limit_bytes)
{
    struct spares *spares = calloc(1, sizeof *spares);
    if (!spares)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&spares->lock, NULL);
    spares->limit = limit_bytes;
    *out = spares;
    return NO_ERROR;
}

void spares_free(struct spares *spares)
{
    if (!spares)
        return;
    for (unsigned i = 0; i < spares->count; i++)
        buf_release(&spares->blocks[i]);
    pthread_mutex_destroy(&spares->lock);
    free(spares);
}

/* Under the lock. */
static struct buf remove_at(struct spares *spares, unsigned i)
{
    struct buf block = spares->blocks[i];
    spares->bytes -= block.capacity;
    spares->count--;
    memmove(&spares->blocks[i], &spares->blocks[i + 1], (spares->count - i) * sizeof block);
    return block;
}

/* Room for `size` bytes and a NUL in a mapping of whole pages, less what malloc needs of it. */
static size_t whole_pages(size_t size)
{
    return ((size + 1 + MALLOC_HEADER + PAGE - 1) & ~(size_t)(PAGE - 1)) - MALLOC_HEADER;
}

void spares_take(struct spares *spares, size_t size, struct buf *out)
{
    if (!spares || size < SPARES_BLOCK_MIN || out->data)
        return;
    pthread_mutex_lock(&spares->lock);
    for (unsigned i = spares->count; i-- > 0;) { /* the latest may still be in the processor's cache */
        size_t capacity = spares->blocks[i].capacity;
        if (capacity > size && capacity - size <= size / 8) {
            *out = remove_at(spares, i);
            break;
        }
    }
    pthread_mutex_unlock(&spares->lock);
    if (!out->data && (out->data = malloc(whole_pages(size))))
        out->capacity = whole_pages(size);
    buf_clear(out);
}

void spares_give(struct spares *spares, struct buf *block)
{
    if (!spares || block->capacity < SPARES_BLOCK_MIN || block->capacity > spares->limit) {
        buf_release(block);
        return;
    }
    struct buf old[SPARES_MAX];
    unsigned gone = 0;
    pthread_mutex_lock(&spares->lock);
    while (spares->count == SPARES_MAX || spares->bytes + block->capacity > spares->limit)
        old[gone++] = remove_at(spares, 0);
    spares->blocks[spares->count++] = *block;
    spares->bytes += block->capacity;
    pthread_mutex_unlock(&spares->lock);
    buf_init(block);
    while (gone)
        buf_release(&old[--gone]);
}

void spares_settle_malloc(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_MMAP_THRESHOLD, SPARES_BLOCK_MIN);
    mallopt(M_ARENA_MAX, ARENAS);
#endif
}
