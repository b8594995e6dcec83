/* Any bytes as the only pack of an archive (pack_input.h) whose index is made anew from it: rebuild, every row and every
 * byte that can be read, verify; then it is opened again by its index. An archive may be refused, and what is damaged
 * cannot be read; nothing else may come of it. */
#include "index/archive.h"
#include "tests/fuzz/pack_input.h"
#include "tests/fuzz/require.h"
#include "tests/unit/scratch.h"

static void make(void)
{
    struct archive_conf conf = {.uuid_text = (char *)PACK_INPUT_UUID, .timezone = (char *)"UTC"};
    scratch_make();
    atexit(scratch_remove);
    REQUIRE_OK(pacs_init(scratch_path("archive"), &conf));
}

static struct error ignore_token(void *context, const struct dataset_token *token)
{
    (void)context;
    (void)token;
    return NO_ERROR;
}

static void read_file(struct pacs *pacs, uint64_t id)
{
    struct instance_file *file;
    static uint8_t bytes[65536];
    size_t got = 1;
    struct error err = pacs_file_open(pacs, id, &file);
    if (!err.code) {
        uint64_t size = pacs_file_size(file);
        for (uint64_t at = 0; !err.code && got && at < (4 << 20); at += got) {
            err = pacs_file_read(file, at, bytes, sizeof bytes, &got);
            REQUIRE(err.code || at + got <= size);
        }
        error_release(&err);
        err = pacs_file_tokens(file, 256, ignore_token, NULL);
        pacs_file_close(file);
    }
    error_release(&err);
}

static void read_rows(struct pacs *pacs)
{
    struct pacs_txn *txn;
    struct object_row object;
    struct instance_row row;
    struct conflict_row conflict;
    struct pacs_counts counts;
    struct error err;
    REQUIRE_OK(pacs_begin(pacs, &txn));
    REQUIRE_OK(pacs_counts(txn, &counts));
    for (enum object_kind kind = OBJECT_FOLDER; kind <= OBJECT_SERIES; kind++) {
        for (uint64_t after = 0; !(err = pacs_next_object(txn, kind, after, &object)).code; after = object.id)
            REQUIRE(object.id > after && strlen(attribute(&object.attributes, TAG_STUDY_UID)) <= UINT16_MAX);
        error_release(&err);
    }
    for (uint64_t after = 0; !(err = pacs_next_conflict(txn, after, &conflict)).code; after = conflict.id)
        REQUIRE(conflict.id > after && strlen(conflict.text) < SIZE_MAX);
    error_release(&err);
    uint64_t read = 0;
    for (uint64_t after = 0; !(err = pacs_next_arrival(txn, after, &row)).code && read < 16; after = row.id, read++) {
        REQUIRE(row.id > after && strlen(row.name) < sizeof row.name && strlen(row.uid) < sizeof row.uid);
        read_file(pacs, row.id);
    }
    error_release(&err);
    pacs_end(txn);
}

static bool open_and_read(enum pacs_mode mode)
{
    struct pacs *pacs;
    struct pacs_options options = pacs_options_default();
    struct verify_result result;
    options.mode = mode;
    options.cache_bytes = 1 << 20;
    options.reserve_bytes = 0;
    struct error err = pacs_open(&pacs, scratch_path("archive"), &options);
    if (err.code) {
        REQUIRE(*error_text(&err));
        error_release(&err);
        return false;
    }
    read_rows(pacs);
    err = pacs_verify(pacs, NULL, NULL, &result);
    error_release(&err);
    pacs_close(pacs);
    return true;
}

static void remove_packs(void)
{
    char path[64];
    for (int i = 1; i < 8; i++) {
        snprintf(path, sizeof path, "archive/packs/%08d.pack", i);
        unlink(scratch_path(path));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf pack;
    if (!*scratch)
        make();
    buf_init(&pack);
    pack_input(&pack, data, size);
    remove_packs();
    REQUIRE(file_write(scratch_path("archive/packs/00000001.pack"), pack.data, pack.size));
    buf_release(&pack);
    if (open_and_read(PACS_REBUILD))
        open_and_read(PACS_READ);
    return 0;
}
