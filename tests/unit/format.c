/* The bytes of packs: what was written reads back, what was not written never passes. */
#include "index/pack/format.h"

#include "check.h"

#include "codecs/chunk/chunk.h"

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void header_bytes(struct buf *out, uint32_t replaced_count)
{
    static struct pack_replaced replaced[PACK_REPLACED_MAX + 1];
    for (uint32_t i = 0; i < replaced_count; i++) {
        replaced[i].number = 100 + i;
        memset(replaced[i].seal, (int)(i & 0xFF), 32);
    }
    struct pack_header h = {.number = 7,
                            .first_lsn = UINT64_C(0x1122334455667788),
                            .previous = 6,
                            .previous_end = UINT64_C(1) << 40,
                            .created_ns = 1700000000000000000u,
                            .replaced_count = replaced_count};
    memcpy(h.uuid, uuid, 16);
    buf_clear(out);
    pack_header_write(out, &h, replaced);
}

static void format_pack_header_reads_back(void)
{
    struct buf bytes;
    struct pack_header h;
    struct pack_replaced r;
    buf_init(&bytes);
    for (uint32_t count = 0; count <= 3; count++) {
        header_bytes(&bytes, count);
        EXPECT(bytes.size == PACK_HEADER_MIN + count * 40);
        buf_text(&bytes, "what follows"); /* records */
        EXPECT_OK(pack_header_read(&h, bytes.data, bytes.size));
        EXPECT(h.number == 7 && h.first_lsn == UINT64_C(0x1122334455667788) && h.previous == 6);
        EXPECT(h.previous_end == UINT64_C(1) << 40 && h.created_ns == 1700000000000000000u);
        EXPECT(memcmp(h.uuid, uuid, 16) == 0);
        EXPECT(h.replaced_count == count && h.size == PACK_HEADER_MIN + count * 40);
        for (uint32_t i = 0; i < count; i++) {
            pack_header_replaced(bytes.data, i, &r);
            EXPECT(r.number == 100 + i && r.seal[31] == i);
        }
    }
    buf_release(&bytes);
}

static void format_pack_header_every_flipped_bit_is_seen(void)
{
    struct buf bytes;
    struct pack_header h;
    buf_init(&bytes);
    header_bytes(&bytes, 1);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EXPECT_ERROR(pack_header_read(&h, bytes.data, bytes.size), ERROR_DAMAGED);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    EXPECT_OK(pack_header_read(&h, bytes.data, bytes.size));
    buf_release(&bytes);
}

static void format_pack_header_torn_at_every_length(void)
{
    struct buf bytes;
    struct pack_header h;
    buf_init(&bytes);
    header_bytes(&bytes, 2);
    for (size_t size = 0; size < bytes.size; size++)
        EXPECT_ERROR(pack_header_read(&h, bytes.data, size), ERROR_DAMAGED);
    buf_release(&bytes);
}

/* A version that does not know the format must say so, not call it damage. */
static void format_pack_header_of_a_newer_version(void)
{
    static const struct {
        size_t at;
        enum error_code code;
    } cases[] = {
        {8, ERROR_UNSUPPORTED}, {76, ERROR_UNSUPPORTED}, {72, ERROR_NONE}}; /* format, incompatible, compatible */
    struct buf bytes;
    struct pack_header h;
    buf_init(&bytes);
    for (size_t i = 0; i < 3; i++) {
        header_bytes(&bytes, 0);
        put_u32(bytes.data + cases[i].at, 2);
        put_u64(bytes.data + bytes.size - 8, checksum64(bytes.data, bytes.size - 8, 0));
        EXPECT_ERROR(pack_header_read(&h, bytes.data, bytes.size), cases[i].code);
    }
    buf_release(&bytes);
}

static void format_pack_header_more_replaced_than_allowed(void)
{
    struct buf bytes;
    struct pack_header h;
    buf_init(&bytes);
    header_bytes(&bytes, PACK_REPLACED_MAX);
    EXPECT_OK(pack_header_read(&h, bytes.data, bytes.size));
    header_bytes(&bytes, PACK_REPLACED_MAX + 1);
    EXPECT_ERROR(pack_header_read(&h, bytes.data, bytes.size), ERROR_DAMAGED);
    header_bytes(&bytes, 0);
    put_u32(bytes.data + 80, UINT32_C(0x66666667)); /* * 40 wraps round to a small number */
    EXPECT_ERROR(pack_header_read(&h, bytes.data, bytes.size), ERROR_DAMAGED);
    buf_release(&bytes);
}

static const struct record_header written = {.type = RECORD_INSTANCE,
                                             .length = 4711,
                                             .payload_checksum = UINT64_C(0xA5A5A5A5A5A5A5A5),
                                             .lsn = 42,
                                             .time_ns = 1700000000000000001u,
                                             .synced = 104};

static void format_record_header_reads_back(void)
{
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record_header h;
    uint64_t seed = record_seed(uuid, 7, 104);
    record_header_write(bytes, &written, seed);
    EXPECT(record_header_read(&h, bytes, seed));
    EXPECT(h.type == RECORD_INSTANCE && h.length == 4711 && h.lsn == 42 && h.synced == 104);
    EXPECT(h.payload_checksum == written.payload_checksum && h.time_ns == written.time_ns);
}

static void format_record_header_every_flipped_bit_is_seen(void)
{
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record_header h;
    uint64_t seed = record_seed(uuid, 7, 104);
    record_header_write(bytes, &written, seed);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EXPECT(!record_header_read(&h, bytes, seed));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* Blocks of an earlier file, another archive or another place come back after a cut: they never pass. */
static void format_stale_blocks_never_pass(void)
{
    uint8_t bytes[RECORD_HEADER_SIZE], other[16];
    struct record_header h;
    memcpy(other, uuid, 16);
    other[15]++;
    record_header_write(bytes, &written, record_seed(uuid, 7, 104));
    EXPECT(record_header_read(&h, bytes, record_seed(uuid, 7, 104)));
    EXPECT(!record_header_read(&h, bytes, record_seed(other, 7, 104)));
    EXPECT(!record_header_read(&h, bytes, record_seed(uuid, 8, 104)));
    EXPECT(!record_header_read(&h, bytes, record_seed(uuid, 7, 112)));
    EXPECT(!record_header_read(&h, bytes, record_seed(uuid, 104, 7)));
    uint8_t zeros[RECORD_HEADER_SIZE] = {0};
    EXPECT(!record_header_read(&h, zeros, record_seed(uuid, 7, 104)));
}

static void format_record_longer_than_allowed(void)
{
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record_header h = written;
    uint64_t seed = record_seed(uuid, 7, 104);
    h.length = RECORD_PAYLOAD_MAX;
    record_header_write(bytes, &h, seed);
    EXPECT(record_header_read(&h, bytes, seed));
    h.length = (uint64_t)RECORD_PAYLOAD_MAX + 1;
    record_header_write(bytes, &h, seed);
    EXPECT(!record_header_read(&h, bytes, seed));
    h.length = UINT64_MAX;
    record_header_write(bytes, &h, seed);
    EXPECT(!record_header_read(&h, bytes, seed));
}

static void format_extent_is_aligned(void)
{
    EXPECT(record_extent(0) == 64 && record_extent(1) == 72 && record_extent(8) == 72 && record_extent(9) == 80);
}

static void format_fields_are_skippable(void)
{
    struct buf b;
    struct field_view v;
    size_t at = 0, unknown;
    buf_init(&b);
    field_text(&b, FIELD_SYNTAX, "1.2.840.10008.1.2.1");
    unknown = field_open(&b, (enum field)60000, 5); /* a later version's */
    EXPECT(unknown != SIZE_MAX);
    field_u64(&b, FIELD_DATA_SIZE, UINT64_C(0x8000000000000001));
    field_bytes(&b, FIELD_SHA256, NULL, 0);
    EXPECT_OK(buf_error(&b));
    EXPECT(field_find(b.data, b.size, FIELD_DATA_SIZE, &v) && v.size == 8 &&
           get_u64(v.value) == UINT64_C(0x8000000000000001));
    EXPECT(field_find(b.data, b.size, FIELD_SHA256, &v) && v.size == 0);
    EXPECT(!field_find(b.data, b.size, FIELD_ORIGIN, &v));
    unsigned count = 0;
    while (field_next(b.data, b.size, &at, &v))
        count++;
    EXPECT(count == 4 && at == b.size);
    buf_release(&b);
}

static void format_fields_cut_or_longer_than_the_payload(void)
{
    struct buf b;
    struct field_view v;
    buf_init(&b);
    field_u64(&b, FIELD_DATA_SIZE, 1);
    field_text(&b, FIELD_SYNTAX, "1.2");
    for (size_t size = 0; size < b.size; size++) {
        size_t at = 0;
        while (field_next(b.data, size, &at, &v))
            EXPECT(v.value + v.size <= b.data + size);
        EXPECT((at == size) == (size == 0 || size == 16)); /* whole only at a field's end */
    }
    put_u32(b.data + 16 + 4, UINT32_MAX);
    size_t at = 0;
    EXPECT(field_next(b.data, b.size, &at, &v));
    EXPECT(!field_next(b.data, b.size, &at, &v) && at == 16);
    buf_release(&b);
}

static void format_chunk_places_and_headers_read_back(void)
{
    struct buf b;
    buf_init(&b);
    struct chunk_place p = {UINT64_C(1) << 41, UINT64_C(1) << 33, UINT64_C(1) << 29, 1234567, 1048576};
    chunk_place_write(&b, &p);
    EXPECT(b.size == CHUNK_PLACE_SIZE);
    struct chunk_place q = chunk_place_read(b.data);
    EXPECT(q.raw_end == p.raw_end && q.pack == p.pack && q.offset == p.offset && q.length == p.length &&
           q.raw_size == p.raw_size);
    uint8_t bytes[CHUNK_HEADER_SIZE];
    struct chunk_header c = {CHUNK_ZSTD_DICTIONARY, 4096, UINT64_C(0xFEDCBA9876543210), 99};
    chunk_header_write(bytes, &c);
    struct chunk_header d = chunk_header_read(bytes);
    EXPECT(d.codec == c.codec && d.raw_size == 4096 && d.raw_checksum == c.raw_checksum && d.dictionary == 99);
    buf_release(&b);
}

int main(void)
{
    RUN(format_pack_header_reads_back);
    RUN(format_pack_header_every_flipped_bit_is_seen);
    RUN(format_pack_header_torn_at_every_length);
    RUN(format_pack_header_of_a_newer_version);
    RUN(format_pack_header_more_replaced_than_allowed);
    RUN(format_record_header_reads_back);
    RUN(format_record_header_every_flipped_bit_is_seen);
    RUN(format_stale_blocks_never_pass);
    RUN(format_record_longer_than_allowed);
    RUN(format_extent_is_aligned);
    RUN(format_fields_are_skippable);
    RUN(format_fields_cut_or_longer_than_the_payload);
    RUN(format_chunk_places_and_headers_read_back);
    return check_done();
}
