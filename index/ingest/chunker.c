/* What lives here: cutting, compression jobs, and the limit on what is in memory.
 *
 * A chunk is a slot: filling -> (pool) encoded -> handed to the log -> free. Small data sets are one chunk that is
 * encoded by the calling thread: a hand-over would cost more than the work. `lock` guards `done` of slots. */
#include "index/ingest/chunker.h"

#include <stdlib.h>
#include <string.h>

#define INLINE_MAX 32768 /* encoded by the caller; also no cut at pixels for data sets that stay below */
#define HEADER_DICTIONARY_MAX 65536
#define FRAME_GROUP 262144 /* small frames share a chunk of at most this */
#define PIECE 262144       /* what is to be compressed is cut so, that it begins while the rest still arrives */

struct slot {
    struct job job;
    struct chunker *chunker;
    struct buf raw;
    uint64_t start; /* in the data set */
    int level;
    bool small; /* try the dictionary */
    bool submitted, done;
    struct error err;
};

struct chunker {
    struct pacs *pacs;
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct slot slots[CHUNKER_READY];
    struct write_chunk chunks[CHUNKER_READY]; /* the encoded form of each slot */
    unsigned used;                            /* slots in use, in order; the last one is being filled */
    uint64_t size, drained;                   /* bytes added; of these handed to the log */
    uint64_t pixel_offset, pixel_end, group;
    bool pixels, compressed;
    struct buf places;
};

struct error chunker_new(struct chunker **out, struct pacs *pacs)
{
    struct chunker *c = calloc(1, sizeof *c);
    if (!c)
        return error_make(ERROR_NO_MEMORY, "ingest: out of memory");
    c->pacs = pacs;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->ready, NULL);
    for (size_t i = 0; i < CHUNKER_READY; i++)
        c->slots[i].chunker = c;
    *out = c;
    return NO_ERROR;
}

static void wait_for(struct slot *s)
{
    pthread_mutex_lock(&s->chunker->lock);
    while (s->submitted && !s->done)
        pthread_cond_wait(&s->chunker->ready, &s->chunker->lock);
    pthread_mutex_unlock(&s->chunker->lock);
}

void chunker_free(struct chunker *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CHUNKER_READY; i++) {
        wait_for(&c->slots[i]);
        error_release(&c->slots[i].err);
        buf_release(&c->slots[i].raw);
        buf_release(&c->chunks[i].payload);
    }
    buf_release(&c->places);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->ready);
    free(c);
}

void chunker_pixels(struct chunker *c, uint64_t offset, uint64_t end, uint64_t frame, bool compressed)
{
    c->pixels = end == 0 || end > INLINE_MAX;
    c->pixel_offset = offset;
    c->pixel_end = end;
    c->compressed = compressed;
    c->group = frame && frame < FRAME_GROUP ? FRAME_GROUP / frame * frame : frame;
}

static bool in_pixels(const struct chunker *c, uint64_t at)
{
    return c->pixel_offset && at >= c->pixel_offset && (!c->pixel_end || at < c->pixel_end);
}

static bool in_compressed_pixels(const struct chunker *c, uint64_t at)
{
    return c->compressed && in_pixels(c, at);
}

/* The first place behind `at` where a chunk must end. */
static uint64_t next_cut(const struct chunker *c, uint64_t at)
{
    if (!c->pixels)
        return UINT64_MAX;
    if (at < c->pixel_offset)
        return c->pixel_offset;
    if (c->pixel_end && at >= c->pixel_end)
        return UINT64_MAX;
    uint64_t cut = c->pixel_end ? c->pixel_end : UINT64_MAX;
    if (c->group) {
        uint64_t next = c->pixel_offset + ((at - c->pixel_offset) / c->group + 1) * c->group;
        if (next < cut)
            cut = next;
    }
    return cut;
}

static void encode(struct slot *s)
{
    struct chunker *c = s->chunker;
    struct write_chunk *chunk = &c->chunks[s - c->slots];
    struct chunk_header header = {.raw_size = (uint32_t)s->raw.size,
                                  .raw_checksum = checksum64(s->raw.data, s->raw.size, 0)};
    const struct chunk_dictionary *dictionary = NULL;
    enum chunk_codec codec;
    buf_clear(&chunk->payload);
    if (!buf_reserve(&chunk->payload, CHUNK_HEADER_SIZE)) {
        s->err = buf_error(&chunk->payload);
        return;
    }
    chunk->payload.size = CHUNK_HEADER_SIZE;
    if (s->small)
        dictionary = dictionary_current(c->pacs, &header.dictionary);
    s->err = chunk_encode(&chunk->payload, &codec, s->raw.data, s->raw.size, s->level, dictionary);
    if (s->err.code)
        return;
    header.codec = (uint8_t)codec;
    if (codec != CHUNK_ZSTD_DICTIONARY)
        header.dictionary = 0;
    chunk_header_write(chunk->payload.data, &header);
    chunk->place = (struct chunk_place){.raw_end = s->start + s->raw.size, .raw_size = (uint32_t)s->raw.size};
}

static void encode_job(struct job *job)
{
    struct slot *s = (struct slot *)job;
    encode(s);
    pthread_mutex_lock(&s->chunker->lock);
    s->done = true;
    pthread_cond_signal(&s->chunker->ready);
    pthread_mutex_unlock(&s->chunker->lock);
}

/* Ends the chunk that is being filled. */
static void close_chunk(struct chunker *c, bool last)
{
    struct slot *s = c->used ? &c->slots[c->used - 1] : NULL;
    if (!s || s->submitted || !s->raw.size)
        return;
    s->level = in_compressed_pixels(c, s->start) ? 0 : (int)c->pacs->options.zstd_level;
    s->small = !in_pixels(c, s->start) && s->raw.size <= HEADER_DICTIONARY_MAX;
    s->submitted = true;
    if (s->small && s->start == 0)
        dictionary_sample(c->pacs, s->raw.data, s->raw.size);
    if (s->level == 0 || (last && s->raw.size <= INLINE_MAX)) {
        encode(s);
        s->done = true;
        return;
    }
    s->job.run = encode_job;
    pool_run(c->pacs->pool, &s->job);
}

/* Hands all slots to the log in order and empties them. */
static struct error drain(struct chunker *c)
{
    for (unsigned i = 0; i < c->used; i++) {
        wait_for(&c->slots[i]);
        if (c->slots[i].err.code)
            return error_copy(&c->slots[i].err);
    }
    struct write_request request = {
        .kind = WRITE_CHUNKS, .chunks = c->chunks, .chunk_count = c->used, .places = &c->places};
    writer_run(c->pacs->writer, &request);
    for (unsigned i = 0; i < c->used; i++) {
        c->slots[i].submitted = c->slots[i].done = false;
        buf_clear(&c->slots[i].raw);
    }
    c->used = 0;
    c->drained = c->size;
    return request.err;
}

static struct error new_slot(struct chunker *c)
{
    if (c->used == CHUNKER_READY || c->size - c->drained >= CHUNKER_BYTES)
        TRY(drain(c));
    struct slot *s = &c->slots[c->used++];
    buf_clear(&s->raw);
    s->start = c->size;
    s->submitted = s->done = false;
    return NO_ERROR;
}

struct error chunker_add(struct chunker *c, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    while (size) {
        struct slot *s = c->used ? &c->slots[c->used - 1] : NULL;
        if (!s || s->submitted) {
            TRY(new_slot(c));
            s = &c->slots[c->used - 1];
        }
        uint64_t limit = in_compressed_pixels(c, s->start) ? CHUNK_RAW_MAX : PIECE;
        uint64_t room = limit - s->raw.size, cut = next_cut(c, c->size) - c->size;
        size_t n = size < room ? size : (size_t)room;
        if (n > cut)
            n = (size_t)cut;
        buf_append(&s->raw, p, n);
        TRY(buf_error(&s->raw));
        p += n;
        size -= n;
        c->size += n;
        if (s->raw.size == limit || n == cut)
            close_chunk(c, false);
    }
    return NO_ERROR;
}

struct error chunker_finish(struct chunker *c, struct write_chunk **chunks, size_t *count, struct buf **places)
{
    close_chunk(c, true);
    for (unsigned i = 0; i < c->used; i++) {
        wait_for(&c->slots[i]);
        if (c->slots[i].err.code)
            return error_copy(&c->slots[i].err);
    }
    *chunks = c->chunks;
    *count = c->used;
    *places = &c->places;
    return NO_ERROR;
}

struct error chunker_replay(struct chunker *c, void (*take)(void *context, const void *bytes, size_t size),
                            void *context)
{
    for (size_t at = 0; at + CHUNK_PLACE_SIZE <= c->places.size; at += CHUNK_PLACE_SIZE) {
        struct chunk_place place = chunk_place_read(c->places.data + at);
        struct buf raw;
        buf_init(&raw);
        struct error err = chunk_read(c->pacs, &place, "(refused)", &raw);
        if (!err.code)
            take(context, raw.data, raw.size);
        buf_release(&raw);
        TRY(err);
    }
    for (unsigned i = 0; i < c->used; i++)
        take(context, c->slots[i].raw.data, c->slots[i].raw.size);
    return NO_ERROR;
}
