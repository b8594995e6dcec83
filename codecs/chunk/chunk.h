/* Layer: codecs/chunk. The pack codec: one chunk of up to CHUNK_RAW_MAX bytes, compressed alone.
 *
 * A codec is a row of the table in chunk.c. Codes are permanent: they stand in packs (pacs-pack(5)). Encoding decodes
 * again and compares before it counts: what chunk_encode returns is known to come back. Any thread.
 */
#ifndef CODECS_CHUNK_CHUNK_H
#define CODECS_CHUNK_CHUNK_H

#include "codecs/base/buf.h"

#define CHUNK_RAW_MAX (1024 * 1024)

enum chunk_codec {
    CHUNK_STORED = 0,
    CHUNK_ZSTD = 1,            /* one zstd frame (RFC 8878) */
    CHUNK_ZSTD_DICTIONARY = 2, /* one zstd frame that needs the dictionary of a DICTIONARY record */
};

/* A zstd dictionary, prepared for both directions. Immutable after chunk_dictionary_new; shared by all threads. */
struct chunk_dictionary;
struct error chunk_dictionary_new(struct chunk_dictionary **dictionary, const void *bytes, size_t size, int level);
void chunk_dictionary_free(struct chunk_dictionary *dictionary);
/* Trains a dictionary of at most `size_max` bytes from samples laid end to end (ZDICT). Appends it to `out`. */
struct error chunk_dictionary_train(struct buf *out, const void *samples, const size_t *sizes, unsigned count,
                                    size_t size_max);

/* Appends the smallest of what `level` and the dictionary (may be NULL) give, or the bytes themselves where that does
 * not save an eighth; level 0 keeps the bytes as they are. */
struct error chunk_encode(struct buf *out, enum chunk_codec *codec, const void *raw, size_t size, int level,
                          const struct chunk_dictionary *dictionary);
/* Fills exactly `raw_size` bytes (at most CHUNK_RAW_MAX) or says ERROR_DAMAGED; ERROR_UNSUPPORTED: unknown codec. */
struct error chunk_decode(void *raw, size_t raw_size, unsigned codec, const void *stored, size_t stored_size,
                          const struct chunk_dictionary *dictionary);

/* XXH3-64, the checksum of chunks, records and headers. */
uint64_t checksum64(const void *bytes, size_t size, uint64_t seed);

#endif
