/* Any bytes as a pack (pack_input.h): the folder's list, recovery, scans with and without fences, the seal, and each
 * record by what it says it is. Held: what is handed out lies within the pack, in order, and is proven by its checksum;
 * END is where a scan from D stops; a decoded chunk has its size. */
#include "index/fold/record.h"
#include "tests/fuzz/pack_input.h"
#include "tests/fuzz/require.h"
#include "tests/unit/scratch.h"

struct seen {
    uint64_t at;   /* behind the last record */
    uint64_t size; /* of the pack */
    uint64_t count;
    struct chunk_dictionary *dictionary;
};

static void decode(const struct seen *seen, const uint8_t *payload, size_t size)
{
    if (size < CHUNK_HEADER_SIZE)
        return;
    struct chunk_header header = chunk_header_read(payload);
    if (header.raw_size > CHUNK_RAW_MAX)
        return;
    uint8_t *raw = malloc(header.raw_size ? header.raw_size : 1);
    REQUIRE(raw);
    struct error err = chunk_decode(raw, header.raw_size, header.codec, payload + CHUNK_HEADER_SIZE,
                                    size - CHUNK_HEADER_SIZE, seen->dictionary);
    REQUIRE(!err.code || err.code == ERROR_DAMAGED || err.code == ERROR_UNSUPPORTED);
    error_release(&err);
    free(raw);
}

static void read_instance(const uint8_t *payload, size_t size)
{
    struct instance_record record;
    struct buf texts;
    struct error err = instance_record_read(&record, &texts, payload, size);
    REQUIRE(!err.code || err.code == ERROR_DAMAGED);
    if (err.code) {
        error_release(&err);
        return;
    }
    static const uint32_t tags[] = {TAG_SOP_CLASS, TAG_SOP_INSTANCE, TAG_PATIENT_NAME, 0, 0xFFFFFFFF};
    size_t length = strlen(record.syntax) + strlen(record.patient_key) + strlen(record.instance.name);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        length += strlen(attribute(&record.attributes, tags[i]));
    for (size_t i = 0; i < 7; i++)
        length += strlen(record.origin[i]);
    for (unsigned i = 0; i < record.conflict_count; i++)
        length += strlen(record.conflicts[i].kind) + strlen(record.conflicts[i].text);
    for (size_t i = 0; i < record.chunk_count; i++)
        length += chunk_place_read(record.chunks + i * CHUNK_PLACE_SIZE).raw_size;
    REQUIRE(record.prefix_size <= size && length < SIZE_MAX / 2);
    buf_release(&texts);
}

static void read_dictionary(struct seen *seen, const uint8_t *payload, size_t size)
{
    struct field_view field;
    struct chunk_dictionary *dictionary;
    if (!field_find(payload, size, FIELD_DICTIONARY, &field))
        return;
    struct error err = chunk_dictionary_new(&dictionary, field.value, field.size, 1);
    if (!err.code) {
        chunk_dictionary_free(seen->dictionary);
        seen->dictionary = dictionary;
    }
    error_release(&err);
}

static void read_record(struct seen *seen, const struct scan_record *record)
{
    size_t size = (size_t)record->header.length;
    if (!record->payload)
        return;
    REQUIRE(checksum64(record->payload, size, 0) == record->header.payload_checksum || record->offset >= seen->size);
    if (record->header.type == RECORD_CHUNK)
        decode(seen, record->payload, size);
    else if (record->header.type == RECORD_DICTIONARY)
        read_dictionary(seen, record->payload, size);
    else
        read_instance(record->payload, size);
}

static struct error in_order(void *context, uint64_t number, const struct scan_record *record)
{
    struct seen *seen = context;
    REQUIRE(number == 1 && record->offset >= seen->at && record->offset % RECORD_ALIGN == 0);
    seen->at = record->offset + record_extent(record->header.length);
    REQUIRE(seen->at <= seen->size);
    seen->count++;
    read_record(seen, record);
    return NO_ERROR;
}

/* Of a seal's table: the header is proven, the payload by the table's own record. */
static struct error of_table(void *context, uint64_t number, const struct scan_record *record)
{
    struct seen *seen = context;
    (void)number;
    seen->count++;
    read_instance(record->payload, (size_t)record->header.length);
    return NO_ERROR;
}

static void damage(void *context, uint64_t number, uint64_t from, uint64_t to, const char *what)
{
    struct seen *seen = context;
    REQUIRE(number == 1 && from < to && *what);
    REQUIRE(from >= seen->at);
}

static void scan(struct packs *packs, uint64_t size)
{
    struct seen seen = {.size = size};
    uint64_t durable, end, stopped;
    REQUIRE_OK(pack_find_end(packs, 1, 0, &durable, &end));
    REQUIRE(durable <= end || end >= PACK_HEADER_MIN);
    struct scan_options options = {
        .end = end, .chunk_bytes = true, .fence = true, .damage = damage, .record = in_order, .context = &seen};
    REQUIRE_OK(pack_scan(packs, 1, &options, &stopped));
    REQUIRE(stopped >= end);
    seen.at = 0;
    options = (struct scan_options){.from = durable, .end = UINT64_MAX, .record = in_order, .context = &seen};
    options.chunk_bytes = true;
    REQUIRE_OK(pack_scan(packs, 1, &options, &stopped));
    REQUIRE(stopped == end);
    chunk_dictionary_free(seen.dictionary);
}

static void read_seal(struct packs *packs)
{
    struct seal seal;
    struct seen seen = {0};
    bool sealed;
    struct error err = seal_read(packs, 1, &seal);
    if (!err.code) {
        err = seal_scan(packs, 1, seal.end, of_table, &seen, &sealed);
        if (!err.code)
            err = seal_verify(packs, 1, &seal);
    }
    REQUIRE(!err.code || err.code == ERROR_DAMAGED || err.code == ERROR_NOT_FOUND || err.code == ERROR_UNSUPPORTED);
    error_release(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packs *packs;
    struct pack_info *list;
    size_t count;
    struct buf pack;
    if (!*scratch) {
        scratch_make();
        atexit(scratch_remove);
    }
    buf_init(&pack);
    pack_input(&pack, data, size);
    REQUIRE(file_write(scratch_path("00000001.pack"), pack.data, pack.size));
    REQUIRE_OK(packs_new(&packs, scratch, pack_input_uuid, &io_system));
    struct error err = packs_list(packs, &list, &count);
    if (!err.code) {
        REQUIRE(count == 1 && list[0].file_size == pack.size);
        free(list);
        scan(packs, pack.size);
        read_seal(packs);
    }
    REQUIRE(!err.code || err.code == ERROR_UNSUPPORTED);
    error_release(&err);
    packs_free(packs);
    buf_release(&pack);
    return 0;
}
