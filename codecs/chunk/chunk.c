/* What lives here: the table of chunk codecs, and zstd contexts, one a thread. Compression contexts are 100 KB to some
 * MB and slow to make, so each thread keeps its own until it ends (pthread key, the only state). */
#include "codecs/chunk/chunk.h"

#define XXH_INLINE_ALL
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zdict.h>
#include <zstd.h>

struct chunk_dictionary {
    ZSTD_CDict *compress;
    ZSTD_DDict *decompress;
};

struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    struct buf proof; /* where an encoded chunk is decoded for comparison */
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void contexts_free(void *argument)
{
    struct contexts *c = argument;
    ZSTD_freeCCtx(c->compress);
    ZSTD_freeDCtx(c->decompress);
    buf_release(&c->proof);
    free(c);
}

static void make_key(void)
{
    pthread_key_create(&key, contexts_free);
}

static struct contexts *contexts_of_thread(void)
{
    pthread_once(&once, make_key);
    struct contexts *c = pthread_getspecific(key);
    if (c)
        return c;
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->compress = ZSTD_createCCtx();
    c->decompress = ZSTD_createDCtx();
    if (!c->compress || !c->decompress || pthread_setspecific(key, c) != 0) {
        contexts_free(c);
        return NULL;
    }
    return c;
}

uint64_t checksum64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

struct error chunk_dictionary_new(struct chunk_dictionary **out, const void *bytes, size_t size, int level)
{
    struct chunk_dictionary *d = calloc(1, sizeof *d);
    if (d) {
        d->compress = ZSTD_createCDict(bytes, size, level);
        d->decompress = ZSTD_createDDict(bytes, size);
    }
    if (!d || !d->compress || !d->decompress) {
        chunk_dictionary_free(d);
        return error_make(ERROR_NO_MEMORY, "cannot prepare a dictionary of %zu bytes", size);
    }
    *out = d;
    return NO_ERROR;
}

void chunk_dictionary_free(struct chunk_dictionary *d)
{
    if (!d)
        return;
    ZSTD_freeCDict(d->compress);
    ZSTD_freeDDict(d->decompress);
    free(d);
}

struct error chunk_dictionary_train(struct buf *out, const void *samples, const size_t *sizes, unsigned count,
                                    size_t size_max)
{
    uint8_t *to = buf_reserve(out, size_max);
    if (!to)
        return buf_error(out);
    size_t size = ZDICT_trainFromBuffer(to, size_max, samples, sizes, count);
    if (ZDICT_isError(size))
        return error_make(ERROR_UNSUPPORTED, "no dictionary from %u samples: %s", count, ZDICT_getErrorName(size));
    out->size += size;
    return NO_ERROR;
}

static struct error stored_decode(struct contexts *c, void *raw, size_t raw_size, const void *stored, size_t size,
                                  const struct chunk_dictionary *dictionary)
{
    (void)c;
    (void)dictionary;
    if (size != raw_size)
        return error_make(ERROR_DAMAGED, "stored chunk of %zu bytes where %zu are expected", size, raw_size);
    memcpy(raw, stored, size);
    return NO_ERROR;
}

static struct error zstd_result(size_t got, size_t raw_size)
{
    if (ZSTD_isError(got))
        return error_make(ERROR_DAMAGED, "zstd: %s", ZSTD_getErrorName(got));
    if (got != raw_size)
        return error_make(ERROR_DAMAGED, "zstd: chunk of %zu bytes where %zu are expected", got, raw_size);
    return NO_ERROR;
}

static struct error zstd_decode(struct contexts *c, void *raw, size_t raw_size, const void *stored, size_t size,
                                const struct chunk_dictionary *dictionary)
{
    (void)dictionary;
    return zstd_result(ZSTD_decompressDCtx(c->decompress, raw, raw_size, stored, size), raw_size);
}

static struct error dictionary_decode(struct contexts *c, void *raw, size_t raw_size, const void *stored, size_t size,
                                      const struct chunk_dictionary *dictionary)
{
    if (!dictionary)
        return error_make(ERROR_DAMAGED, "the dictionary of this chunk is not there");
    return zstd_result(ZSTD_decompress_usingDDict(c->decompress, raw, raw_size, stored, size, dictionary->decompress),
                       raw_size);
}

static struct error (*const decoders[])(struct contexts *, void *, size_t, const void *, size_t,
                                        const struct chunk_dictionary *) = {
    [CHUNK_STORED] = stored_decode,
    [CHUNK_ZSTD] = zstd_decode,
    [CHUNK_ZSTD_DICTIONARY] = dictionary_decode,
};

struct error chunk_decode(void *raw, size_t raw_size, unsigned codec, const void *stored, size_t stored_size,
                          const struct chunk_dictionary *dictionary)
{
    if (codec >= sizeof decoders / sizeof decoders[0])
        return error_make(ERROR_UNSUPPORTED, "chunk codec %u is not known to this version", codec);
    struct contexts *c = contexts_of_thread();
    if (!c)
        return error_make(ERROR_NO_MEMORY, "zstd: out of memory");
    return decoders[codec](c, raw, raw_size, stored, stored_size, dictionary);
}

static size_t compress(struct contexts *c, struct buf *out, const void *raw, size_t size, int level,
                       const struct chunk_dictionary *dictionary)
{
    size_t bound = ZSTD_compressBound(size);
    uint8_t *to = buf_reserve(out, bound);
    if (!to)
        return 0;
    size_t got = dictionary ? ZSTD_compress_usingCDict(c->compress, to, bound, raw, size, dictionary->compress)
                            : ZSTD_compressCCtx(c->compress, to, bound, raw, size, level);
    return ZSTD_isError(got) ? 0 : got;
}

/* Whether what stands behind out->size decodes to the raw bytes. */
static bool proven(struct contexts *c, const struct buf *out, size_t got, enum chunk_codec codec, const void *raw,
                   size_t size, const struct chunk_dictionary *dictionary)
{
    buf_clear(&c->proof);
    uint8_t *again = buf_reserve(&c->proof, size);
    if (!again)
        return false;
    struct error e = decoders[codec](c, again, size, out->data + out->size, got, dictionary);
    bool same = e.code == ERROR_NONE && memcmp(again, raw, size) == 0;
    error_release(&e);
    return same;
}

struct error chunk_encode(struct buf *out, enum chunk_codec *codec, const void *raw, size_t size, int level,
                          const struct chunk_dictionary *dictionary)
{
    *codec = CHUNK_STORED;
    if (level > 0 && size >= 64) {
        struct contexts *c = contexts_of_thread();
        if (!c)
            return error_make(ERROR_NO_MEMORY, "zstd: out of memory");
        enum chunk_codec tried = dictionary ? CHUNK_ZSTD_DICTIONARY : CHUNK_ZSTD;
        size_t got = compress(c, out, raw, size, level, dictionary);
        if (got && got < size - size / 8 && proven(c, out, got, tried, raw, size, dictionary)) {
            out->size += got;
            *codec = tried;
            return buf_error(out);
        }
    }
    buf_append(out, raw, size);
    return buf_error(out);
}
