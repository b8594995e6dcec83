/* What lives here: one chunk's raw bytes from its record: record checksum, codec, checksum of the raw bytes. */
#include "index/archive.h"

struct wanted {
    struct pacs *pacs;
    const struct chunk_place *place;
    const char *uid;
};

struct error chunk_read(struct pacs *pacs, const struct chunk_place *place, const char *uid, struct buf *out)
{
    struct error err = NO_ERROR;
    struct record_header header;
    struct buf payload;
    struct spares *spares = cache_spares(pacs->cache);
    const struct chunk_dictionary *dictionary = NULL;
    buf_init(&payload);
    if (place->raw_size > CHUNK_RAW_MAX || place->length < CHUNK_HEADER_SIZE) {
        err = error_make(ERROR_DAMAGED, "a chunk of %u bytes in a record of %u is listed", place->raw_size,
                         place->length);
        goto out;
    }
    spares_take(spares, RECORD_HEADER_SIZE + (size_t)place->length, &payload);
    spares_take(spares, place->raw_size, out);
    CHECK(packs_record(pacs->packs, place->pack, place->offset, RECORD_HEADER_SIZE + (size_t)place->length, &header,
                       &payload));
    if (header.type != RECORD_CHUNK || payload.size != place->length) {
        err = error_make(ERROR_DAMAGED, "pack %08llu: no chunk at offset %llu", (unsigned long long)place->pack,
                         (unsigned long long)place->offset);
        goto out;
    }
    struct chunk_header chunk = chunk_header_read(payload.data);
    if (chunk.dictionary) {
        err = dictionary_by_lsn(pacs, chunk.dictionary, &dictionary);
        if (err.code == ERROR_NOT_FOUND) /* its records were lost before the index was made */
            err.code = ERROR_DAMAGED;
        CHECK(err);
    }
    uint8_t *raw = buf_reserve(out, place->raw_size);
    if (!raw) {
        err = buf_error(out);
        goto out;
    }
    CHECK(chunk_decode(raw, place->raw_size, chunk.codec, payload.data + CHUNK_HEADER_SIZE,
                       payload.size - CHUNK_HEADER_SIZE, dictionary));
    if (chunk.raw_size != place->raw_size || checksum64(raw, place->raw_size, 0) != chunk.raw_checksum) {
        err = error_make(ERROR_DAMAGED, "pack %08llu: the chunk at offset %llu has a wrong checksum",
                         (unsigned long long)place->pack, (unsigned long long)place->offset);
        goto out;
    }
    out->size += place->raw_size;
out:
    spares_give(spares, &payload);
    return error_context(err, "instance %s, pack %08llu, chunk at offset %llu", uid, (unsigned long long)place->pack,
                         (unsigned long long)place->offset);
}

static struct error fill(void *context, struct buf *out)
{
    struct wanted *w = context;
    return chunk_read(w->pacs, w->place, w->uid, out);
}

struct error chunk_get(struct pacs *pacs, const struct chunk_place *place, const char *uid, struct cache_entry **entry)
{
    struct wanted wanted = {pacs, place, uid};
    struct cache_key key = {UINT64_C(0x6368756E6B), place->pack, place->offset};
    return cache_get(pacs->cache, key, fill, &wanted, entry);
}
