/* The bytes of a pack from the input of a fuzz target. The first byte says how the rest is taken:
 *   even: as it is, so that the checks in front of the parsers are tried;
 *   odd: sealed again. Records are found by their magic number and written one behind the other, each with the checksums
 *        that it should have, so that the parsers behind these checks see what no healthy writer wrote. The tables of a
 *        seal are sealed again too where they are stored without compression, and a SEAL at the end says where they are.
 * The pack is number 1 of the archive PACK_INPUT_UUID. */
#ifndef TESTS_FUZZ_PACK_INPUT_H
#define TESTS_FUZZ_PACK_INPUT_H

#include "codecs/chunk/chunk.h"
#include "index/pack/seal.h"

#include <string.h>

#define PACK_INPUT_UUID "00112233-4455-6677-8899-aabbccddeeff"
static const uint8_t pack_input_uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                            0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
static const char pack_input_magic[4] = {'P', 'A', 'C', 'R'};

static inline size_t pack_input_next(const uint8_t *data, size_t size, size_t from)
{
    const uint8_t *found = from < size ? memmem(data + from, size - from, pack_input_magic, 4) : NULL;
    return found ? (size_t)(found - data) : size;
}

static inline void pack_input_seal_header(uint8_t header[RECORD_HEADER_SIZE], uint64_t length, const uint8_t *payload,
                                          uint64_t offset)
{
    struct record_header h = {header[4],
                              header[5],
                              length,
                              checksum64(payload, length, 0),
                              get_u64(header + 24),
                              get_u64(header + 32),
                              get_u64(header + 40)};
    record_header_write(header, &h, record_seed(pack_input_uuid, 1, offset));
}

/* Entries of a TABLE's only block, if that is stored: offset, header, payload. */
static inline void pack_input_seal_table(uint8_t *payload, size_t size)
{
    if (size < 12 || get_u32(payload + 8) != CHUNK_STORED)
        return;
    put_u32(payload, (uint32_t)(size - 12));
    put_u32(payload + 4, (uint32_t)(size - 12));
    for (size_t at = 12; size - at >= 8 + RECORD_HEADER_SIZE;) {
        uint8_t *header = payload + at + 8;
        size_t room = size - at - 8 - RECORD_HEADER_SIZE;
        uint64_t length = get_u64(header + 8);
        length = length > room ? room : length;
        pack_input_seal_header(header, length, header + RECORD_HEADER_SIZE, get_u64(payload + at));
        at += 8 + RECORD_HEADER_SIZE + length;
    }
}

static inline void pack_input_record(struct buf *out, const uint8_t *data, size_t size, size_t at, uint64_t *table)
{
    size_t next = pack_input_next(data, size, at + 4), room = next - at;
    uint64_t offset = out->size;
    uint8_t header[RECORD_HEADER_SIZE] = {0};
    memcpy(header, data + at, room < sizeof header ? room : sizeof header);
    room -= room < sizeof header ? room : sizeof header;
    uint64_t length = get_u64(header + 8);
    length = length > room ? room : length;
    buf_append(out, header, sizeof header);
    buf_append(out, data + at + sizeof header, length);
    buf_append(out, (const uint8_t[RECORD_ALIGN]){0}, (size_t)(record_extent(length) - sizeof header - length));
    if (out->failed)
        return;
    uint8_t *payload = out->data + offset + RECORD_HEADER_SIZE;
    if (header[4] == RECORD_TABLE) {
        pack_input_seal_table(payload, length);
        *table = *table ? *table : offset;
    }
    if (header[4] == RECORD_SEAL && length == SEAL_SIZE && *table) {
        put_u64(payload, *table);
        put_u64(payload + 8, *table);
    }
    pack_input_seal_header(out->data + offset, length, payload, offset);
}

static inline void pack_input(struct buf *out, const uint8_t *data, size_t size)
{
    if (!size)
        return;
    if (!(*data & 1)) {
        buf_append(out, data + 1, size - 1);
        return;
    }
    uint64_t table = 0;
    struct pack_header header = {.number = 1, .first_lsn = 1};
    memcpy(header.uuid, pack_input_uuid, sizeof header.uuid);
    pack_header_write(out, &header, NULL);
    for (size_t at = pack_input_next(data, size, 1); at < size; at = pack_input_next(data, size, at + 4))
        pack_input_record(out, data, size, at, &table);
}

#endif
