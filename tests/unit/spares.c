/* Memory that waits for the next block: what fits is used again, what waits is bounded, small blocks are malloc's. */
#include "codecs/base/spares.h"

#include "check.h"

#include <pthread.h>

#define BLOCK (SPARES_BLOCK_MIN * 2)

static void spares_same_size_is_the_same_memory(void)
{
    struct spares *spares;
    struct buf block, other;
    EXPECT_OK(spares_new(&spares, BLOCK * 4));
    buf_init(&block);
    buf_init(&other);
    spares_take(spares, BLOCK, &block);
    EXPECT(block.data && block.capacity > BLOCK && block.size == 0);
    const uint8_t *was = block.data;
    EXPECT(buf_reserve(&block, BLOCK) == was);
    spares_give(spares, &block);
    EXPECT(!block.data && !block.capacity);
    spares_take(spares, BLOCK / 2 + 1, &other); /* not for what is half as large */
    EXPECT(other.data && other.data != was && other.capacity < BLOCK);
    spares_take(spares, BLOCK - BLOCK / 16, &block);
    EXPECT(block.data == was);
    buf_release(&block);
    buf_release(&other);
    spares_free(spares);
}

static void spares_small_blocks_are_left_alone(void)
{
    struct spares *spares;
    struct buf block;
    EXPECT_OK(spares_new(&spares, BLOCK * 4));
    buf_init(&block);
    spares_take(spares, SPARES_BLOCK_MIN - 1, &block);
    EXPECT(!block.data);
    buf_text(&block, "small");
    spares_take(spares, BLOCK, &block); /* nor one that has memory */
    EXPECT_TEXT(buf_string(&block), "small");
    spares_give(spares, &block);
    spares_take(NULL, BLOCK, &block);
    EXPECT(!block.data);
    buf_byte(&block, 1);
    spares_give(NULL, &block);
    EXPECT(!block.data);
    spares_free(spares);
}

/* Memory given beyond the limits is the system's again: the sanitizer's or the machine's limit would tell. */
static void spares_limit_drops_what_waited_longest(void)
{
    struct spares *spares;
    struct buf blocks[5];
    EXPECT_OK(spares_new(&spares, 4 * BLOCK + BLOCK / 2));
    for (unsigned i = 0; i < 5; i++) {
        buf_init(&blocks[i]);
        spares_take(spares, BLOCK, &blocks[i]);
    }
    const uint8_t *last = blocks[4].data;
    for (unsigned i = 0; i < 5; i++)
        spares_give(spares, &blocks[i]);
    spares_take(spares, BLOCK, &blocks[0]);
    EXPECT(blocks[0].data == last);
    buf_release(&blocks[0]);
    spares_take(spares, 16 * BLOCK, &blocks[1]); /* larger than all that may wait */
    EXPECT(blocks[1].data);
    spares_give(spares, &blocks[1]);
    for (unsigned i = 0; i < 2 * SPARES_MAX; i++) {
        spares_take(spares, BLOCK, &blocks[2]);
        spares_give(spares, &blocks[2]);
    }
    spares_free(spares);
}

static void *use(void *argument)
{
    struct spares *spares = argument;
    size_t bad = 0;
    for (unsigned i = 0; i < 2000; i++) {
        size_t size = SPARES_BLOCK_MIN + i % 7 * 9000;
        struct buf block;
        buf_init(&block);
        spares_take(spares, size, &block);
        uint8_t *to = buf_reserve(&block, size);
        if (!to)
            return spares;
        to[0] = to[size - 1] = (uint8_t)i;
        bad += to[0] != (uint8_t)i;
        spares_give(spares, &block);
    }
    return bad ? spares : NULL;
}

static void spares_many_threads_never_share_a_block(void)
{
    struct spares *spares;
    pthread_t threads[8];
    EXPECT_OK(spares_new(&spares, 4 * BLOCK));
    for (unsigned i = 0; i < 8; i++)
        EXPECT(pthread_create(&threads[i], NULL, use, spares) == 0);
    for (unsigned i = 0; i < 8; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        EXPECT(!bad);
    }
    spares_free(spares);
}

int main(void)
{
    RUN(spares_same_size_is_the_same_memory);
    RUN(spares_small_blocks_are_left_alone);
    RUN(spares_limit_drops_what_waited_longest);
    RUN(spares_many_threads_never_share_a_block);
    return check_done();
}
