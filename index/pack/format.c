/* What lives here: encoding and checking of pack headers, record headers and fields, as pacs-pack(5) has them. What
 * does not: which records follow which (log/), what a payload means (fold/). */
#include "index/pack/format.h"

#include "codecs/chunk/chunk.h"

#include <string.h>

static const char magic[8] = {'P', 'A', 'C', 'S', 'P', 'A', 'C', 'K'};
#define RECORD_MAGIC UINT32_C(0x52434150) /* "PACR" */

void pack_header_write(struct buf *out, const struct pack_header *h, const struct pack_replaced *replaced)
{
    size_t start = out->size, size = PACK_HEADER_MIN + (size_t)h->replaced_count * 40;
    buf_append(out, magic, sizeof magic);
    buf_u32(out, PACK_FORMAT);
    buf_u32(out, (uint32_t)size);
    buf_append(out, h->uuid, 16);
    buf_u64(out, h->number);
    buf_u64(out, h->first_lsn);
    buf_u64(out, h->previous);
    buf_u64(out, h->previous_end);
    buf_u64(out, h->created_ns);
    buf_u32(out, 0); /* compatible features */
    buf_u32(out, 0); /* incompatible features */
    buf_u32(out, h->replaced_count);
    buf_u32(out, 0);
    buf_u64(out, 0);
    for (uint32_t i = 0; i < h->replaced_count; i++) {
        buf_u64(out, replaced[i].number);
        buf_append(out, replaced[i].seal, 32);
    }
    if (!out->failed)
        buf_u64(out, checksum64(out->data + start, size - 8, 0));
}

struct error pack_header_read(struct pack_header *h, const uint8_t *bytes, size_t size)
{
    if (size < PACK_HEADER_MIN || memcmp(bytes, magic, sizeof magic) != 0)
        return error_make(ERROR_DAMAGED, "no pack header");
    uint32_t whole = get_u32(bytes + 12), replaced = get_u32(bytes + 80);
    if (replaced > PACK_REPLACED_MAX || whole != PACK_HEADER_MIN + replaced * 40 || whole > size)
        return error_make(ERROR_DAMAGED, "pack header of %u bytes that names %u replaced packs", whole, replaced);
    if (get_u64(bytes + whole - 8) != checksum64(bytes, whole - 8, 0))
        return error_make(ERROR_DAMAGED, "pack header with a wrong checksum");
    if (get_u32(bytes + 8) != PACK_FORMAT || get_u32(bytes + 76) != 0)
        return error_make(ERROR_UNSUPPORTED, "pack of format %u, features %x: a newer version wrote it",
                          get_u32(bytes + 8), get_u32(bytes + 76));
    memcpy(h->uuid, bytes + 16, 16);
    h->number = get_u64(bytes + 32);
    h->first_lsn = get_u64(bytes + 40);
    h->previous = get_u64(bytes + 48);
    h->previous_end = get_u64(bytes + 56);
    h->created_ns = get_u64(bytes + 64);
    h->replaced_count = replaced;
    h->size = whole;
    return NO_ERROR;
}

void pack_header_replaced(const uint8_t *bytes, unsigned index, struct pack_replaced *replaced)
{
    const uint8_t *p = bytes + 96 + (size_t)index * 40;
    replaced->number = get_u64(p);
    memcpy(replaced->seal, p + 8, 32);
}

uint64_t record_seed(const uint8_t uuid[16], uint64_t pack, uint64_t offset)
{
    uint8_t place[32];
    memcpy(place, uuid, 16);
    put_u64(place + 16, pack);
    put_u64(place + 24, offset);
    return checksum64(place, sizeof place, 0);
}

void record_header_write(uint8_t to[RECORD_HEADER_SIZE], const struct record_header *h, uint64_t seed)
{
    memset(to, 0, RECORD_HEADER_SIZE);
    put_u32(to, RECORD_MAGIC);
    to[4] = h->type;
    to[5] = h->flags;
    put_u64(to + 8, h->length);
    put_u64(to + 16, h->payload_checksum);
    put_u64(to + 24, h->lsn);
    put_u64(to + 32, h->time_ns);
    put_u64(to + 40, h->synced);
    put_u64(to + 56, checksum64(to, 56, seed));
}

bool record_header_read(struct record_header *h, const uint8_t from[RECORD_HEADER_SIZE], uint64_t seed)
{
    if (get_u32(from) != RECORD_MAGIC || get_u64(from + 56) != checksum64(from, 56, seed))
        return false;
    h->type = from[4];
    h->flags = from[5];
    h->length = get_u64(from + 8);
    h->payload_checksum = get_u64(from + 16);
    h->lsn = get_u64(from + 24);
    h->time_ns = get_u64(from + 32);
    h->synced = get_u64(from + 40);
    return h->length <= RECORD_PAYLOAD_MAX;
}

void chunk_place_write(struct buf *out, const struct chunk_place *place)
{
    buf_u64(out, place->raw_end);
    buf_u64(out, place->pack);
    buf_u64(out, place->offset);
    buf_u32(out, place->length);
    buf_u32(out, place->raw_size);
}

struct chunk_place chunk_place_read(const uint8_t *from)
{
    return (struct chunk_place){get_u64(from), get_u64(from + 8), get_u64(from + 16), get_u32(from + 24),
                                get_u32(from + 28)};
}

void chunk_header_write(uint8_t to[CHUNK_HEADER_SIZE], const struct chunk_header *h)
{
    memset(to, 0, CHUNK_HEADER_SIZE);
    to[0] = h->codec;
    put_u32(to + 4, h->raw_size);
    put_u64(to + 8, h->raw_checksum);
    put_u64(to + 16, h->dictionary);
}

struct chunk_header chunk_header_read(const uint8_t from[CHUNK_HEADER_SIZE])
{
    return (struct chunk_header){from[0], get_u32(from + 4), get_u64(from + 8), get_u64(from + 16)};
}

size_t field_open(struct buf *out, enum field field, size_t size)
{
    buf_u16(out, (uint16_t)field);
    buf_u16(out, 0);
    buf_u32(out, (uint32_t)size);
    if (!buf_reserve(out, size))
        return SIZE_MAX;
    size_t at = out->size;
    memset(out->data + at, 0, size + 1);
    out->size += size;
    return at;
}

void field_bytes(struct buf *out, enum field field, const void *value, size_t size)
{
    size_t at = field_open(out, field, size);
    if (at != SIZE_MAX && size)
        memcpy(out->data + at, value, size);
}

void field_u64(struct buf *out, enum field field, uint64_t value)
{
    uint8_t bytes[8];
    put_u64(bytes, value);
    field_bytes(out, field, bytes, sizeof bytes);
}

void field_text(struct buf *out, enum field field, const char *text)
{
    field_bytes(out, field, text, strlen(text));
}

bool field_next(const uint8_t *payload, size_t size, size_t *at, struct field_view *view)
{
    if (*at + 8 > size)
        return false;
    const uint8_t *p = payload + *at;
    view->field = get_u16(p);
    view->size = get_u32(p + 4);
    view->value = p + 8;
    if (view->size > size - *at - 8)
        return false;
    *at += 8 + (size_t)view->size;
    return true;
}

bool field_find(const uint8_t *payload, size_t size, enum field field, struct field_view *view)
{
    size_t at = 0;
    while (field_next(payload, size, &at, view))
        if (view->field == (unsigned)field)
            return true;
    return false;
}
