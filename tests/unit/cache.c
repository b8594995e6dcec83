/* The block cache: one fill a key, bounded, failures reach all who wait, nothing goes away under its holder. */
#include "codecs/base/cache.h"
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define MANY_THREADS 8

struct source {
    size_t size;
    uint8_t byte;
    atomic_int fills;
    enum error_code failure;
    atomic_int *arrived; /* wait until so many ask (a barrier that the fill itself can see) */
    int expected;
};

static struct error fill(void *context, struct buf *out)
{
    struct source *source = context;
    atomic_fetch_add(&source->fills, 1);
    while (source->arrived && atomic_load(source->arrived) < source->expected)
        usleep(100);
    if (source->arrived)
        usleep(20000); /* not needed for the test to hold; most have gone to wait by then */
    if (source->failure)
        return error_make(source->failure, "no such block");
    uint8_t *to = buf_reserve(out, source->size);
    if (to) {
        memset(to, source->byte, source->size);
        out->size += source->size;
    }
    return NO_ERROR;
}

static struct cache_key key_of(uint64_t a)
{
    return (struct cache_key){.kind = 7, .a = a, .b = a * 3};
}

static bool block_is(const struct cache_entry *entry, size_t size, uint8_t byte)
{
    size_t got;
    const uint8_t *data = cache_data(entry, &got);
    if (got != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (data[i] != byte)
            return false;
    return true;
}

static void cache_second_get_is_a_hit(void)
{
    struct cache *cache;
    struct cache_entry *first, *second;
    struct source source = {.size = 1000, .byte = 5};
    EXPECT_OK(cache_new(&cache, 1 << 20));
    EXPECT(!cache_peek(cache, key_of(1)));
    EXPECT_OK(cache_get(cache, key_of(1), fill, &source, &first));
    EXPECT_OK(cache_get(cache, key_of(1), fill, &source, &second));
    EXPECT(first == second && source.fills == 1 && block_is(first, 1000, 5));
    cache_put(cache, first);
    cache_put(cache, second);
    first = cache_peek(cache, key_of(1));
    EXPECT(first == second);
    cache_put(cache, first);
    struct cache_stats stats;
    cache_stats(cache, &stats);
    EXPECT(stats.hits == 2 && stats.misses == 1 && stats.entries == 1 && stats.evictions == 0);
    EXPECT(stats.limit == 1 << 20 && stats.used >= 1000 && stats.used < 1500);
    cache_free(cache);
}

static void cache_keys_differ_in_each_member(void)
{
    struct cache *cache;
    EXPECT_OK(cache_new(&cache, 1 << 20));
    static const struct cache_key keys[] = {{1, 2, 3}, {2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {0, 0, 0}};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            struct source source = {.size = 10, .byte = (uint8_t)i};
            struct cache_entry *entry;
            EXPECT_OK(cache_get(cache, keys[i], fill, &source, &entry));
            EXPECT(block_is(entry, 10, (uint8_t)i) && source.fills == !pass);
            cache_put(cache, entry);
        }
    }
    cache_free(cache);
}

static void cache_stays_below_its_limit_and_keeps_what_is_used(void)
{
    struct cache *cache;
    struct cache_entry *entry;
    struct cache_stats stats;
    uint64_t limit = 4 << 20;
    EXPECT_OK(cache_new(&cache, limit));
    struct source hot = {.size = 4096, .byte = 1};
    for (uint64_t i = 0; i < 20000; i++) {
        struct source source = {.size = 4096, .byte = (uint8_t)i};
        EXPECT_OK(cache_get(cache, key_of(i + 1), fill, &source, &entry));
        cache_put(cache, entry);
        EXPECT_OK(cache_get(cache, key_of(0), fill, &hot, &entry));
        cache_put(cache, entry);
        if (i % 100 == 0) {
            cache_stats(cache, &stats);
            EXPECT(stats.used <= limit);
        }
    }
    cache_stats(cache, &stats);
    EXPECT(hot.fills == 1);
    EXPECT(stats.entries > 900 && stats.evictions == 20001 - stats.entries);
    cache_free(cache);
}

static void cache_held_entry_survives_eviction(void)
{
    struct cache *cache;
    struct cache_entry *held, *entry;
    struct source mine = {.size = 5000, .byte = 9}, other = {.size = 5000, .byte = 8};
    EXPECT_OK(cache_new(&cache, 8000));
    EXPECT_OK(cache_get(cache, key_of(1), fill, &mine, &held));
    for (uint64_t i = 2; i < 40; i++) {
        EXPECT_OK(cache_get(cache, key_of(i), fill, &other, &entry));
        cache_put(cache, entry);
    }
    EXPECT(!cache_peek(cache, key_of(1)));
    EXPECT(block_is(held, 5000, 9));
    EXPECT_OK(cache_get(cache, key_of(1), fill, &mine, &entry));
    EXPECT(mine.fills == 2 && entry != held);
    cache_put(cache, entry);
    cache_put(cache, held);
    cache_free(cache);
}

static void cache_block_beyond_the_limit_drives_nothing_out(void)
{
    struct cache *cache;
    struct cache_entry *entry;
    struct source small = {.size = 100, .byte = 1}, huge = {.size = 1 << 20, .byte = 2};
    EXPECT_OK(cache_new(&cache, 100000));
    EXPECT_OK(cache_get(cache, key_of(1), fill, &small, &entry));
    cache_put(cache, entry);
    EXPECT_OK(cache_get(cache, key_of(2), fill, &huge, &entry));
    EXPECT(block_is(entry, 1 << 20, 2));
    cache_put(cache, entry);
    EXPECT(!cache_peek(cache, key_of(2)));
    entry = cache_peek(cache, key_of(1));
    EXPECT(entry != NULL);
    cache_put(cache, entry);
    cache_free(cache);
}

static void cache_failure_is_not_kept(void)
{
    struct cache *cache;
    struct cache_entry *entry;
    struct source source = {.size = 10, .failure = ERROR_DAMAGED};
    EXPECT_OK(cache_new(&cache, 1 << 20));
    EXPECT_ERROR(cache_get(cache, key_of(1), fill, &source, &entry), ERROR_DAMAGED);
    EXPECT(!entry);
    source.failure = ERROR_NONE;
    EXPECT_OK(cache_get(cache, key_of(1), fill, &source, &entry));
    EXPECT(source.fills == 2);
    cache_put(cache, entry);
    cache_free(cache);
}

struct asker {
    struct cache *cache;
    struct source *source;
    atomic_int *arrived;
    enum error_code wanted;
    bool good;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct cache_entry *entry;
    atomic_fetch_add(asker->arrived, 1);
    struct error e = cache_get(asker->cache, key_of(1), fill, asker->source, &entry);
    asker->good = e.code == asker->wanted;
    if (e.code == ERROR_NONE)
        asker->good &= block_is(entry, asker->source->size, asker->source->byte);
    else
        asker->good &= !entry && strcmp(error_text(&e), "no such block") == 0;
    cache_put(asker->cache, entry);
    error_release(&e);
    return NULL;
}

static void many_ask(enum error_code wanted, int fills_min, int fills_max)
{
    struct cache *cache;
    atomic_int arrived = 0;
    struct source source = {.size = 100, .byte = 3, .failure = wanted, .arrived = &arrived, .expected = MANY_THREADS};
    struct asker askers[MANY_THREADS];
    pthread_t threads[MANY_THREADS];
    EXPECT_OK(cache_new(&cache, 1 << 20));
    for (int i = 0; i < MANY_THREADS; i++) {
        askers[i] = (struct asker){cache, &source, &arrived, wanted, false};
        EXPECT(pthread_create(&threads[i], NULL, ask, &askers[i]) == 0);
    }
    for (int i = 0; i < MANY_THREADS; i++) {
        pthread_join(threads[i], NULL);
        EXPECT(askers[i].good);
    }
    EXPECT(source.fills >= fills_min && source.fills <= fills_max);
    cache_free(cache);
}

static void cache_many_askers_one_fill(void)
{
    many_ask(ERROR_NONE, 1, 1);
}

/* Who asks after the failure was published fills again: so between one and all. */
static void cache_failure_reaches_all_who_wait(void)
{
    many_ask(ERROR_DAMAGED, 1, MANY_THREADS);
}

struct walker {
    struct cache *cache;
    unsigned seed;
    int bad;
};

/* Blocks of different sizes under few keys, failures among them, more than fits, several held at once. */
static void *walk(void *argument)
{
    struct walker *walker = argument;
    struct cache_entry *held[4] = {0};
    for (unsigned i = 0; i < 4000; i++) {
        uint64_t a = (uint64_t)rand_r(&walker->seed) % 64;
        struct source source = {.size = 100 + a * 50, .byte = (uint8_t)a, .failure = a == 13 ? ERROR_RETRY : 0};
        struct cache_entry *entry;
        struct error e = cache_get(walker->cache, key_of(a), fill, &source, &entry);
        walker->bad += e.code != source.failure || (entry && !block_is(entry, source.size, source.byte));
        error_release(&e);
        cache_put(walker->cache, held[i % 4]);
        held[i % 4] = entry;
    }
    for (unsigned i = 0; i < 4; i++)
        cache_put(walker->cache, held[i]);
    return NULL;
}

static void cache_random_walk_of_many_threads(void)
{
    struct cache *cache;
    struct walker walkers[MANY_THREADS];
    pthread_t threads[MANY_THREADS];
    struct cache_stats stats;
    EXPECT_OK(cache_new(&cache, 40000));
    for (unsigned i = 0; i < MANY_THREADS; i++) {
        walkers[i] = (struct walker){cache, i + 1, 0};
        EXPECT(pthread_create(&threads[i], NULL, walk, &walkers[i]) == 0);
    }
    for (int i = 0; i < MANY_THREADS; i++) {
        pthread_join(threads[i], NULL);
        EXPECT(walkers[i].bad == 0);
    }
    cache_stats(cache, &stats);
    EXPECT(stats.used <= stats.limit && stats.evictions > 0 && stats.hits > 0);
    cache_free(cache);
}

int main(void)
{
    RUN(cache_second_get_is_a_hit);
    RUN(cache_keys_differ_in_each_member);
    RUN(cache_stays_below_its_limit_and_keeps_what_is_used);
    RUN(cache_held_entry_survives_eviction);
    RUN(cache_block_beyond_the_limit_drives_nothing_out);
    RUN(cache_failure_is_not_kept);
    RUN(cache_many_askers_one_fill);
    RUN(cache_failure_reaches_all_who_wait);
    RUN(cache_random_walk_of_many_threads);
    return check_done();
}
