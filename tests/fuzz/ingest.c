/* Any bytes on their way into an archive. The first byte: bit 0 a C-STORE of a data set whose syntax the second byte
 * picks, else a file as `import` gives it; the third, how small the pieces are. Held: what is stored comes out bit for
 * bit, reads as tokens, and has the JSON size that was promised; what is refused says why, leaves the archive as it was
 * and goes to the quarantine if it came from the network; a good instance goes in behind it. */
#include "codecs/dicom/json_model.h"
#include "codecs/dicom/meta.h"
#include "index/archive.h"
#include "tests/fuzz/require.h"
#include "tests/unit/dataset_builder.h"
#include "tests/unit/scratch.h"

#define RUNS_AN_ARCHIVE 2000

static struct pacs *pacs;
static struct buf good;
static unsigned runs;

static void close_archive(void)
{
    pacs_close(pacs);
    pacs = NULL;
    scratch_remove();
    buf_release(&good);
}

static void make_archive(void)
{
    struct archive_conf conf = {.timezone = (char *)"UTC"};
    struct pacs_options options = pacs_options_default();
    struct builder b;
    if (!runs)
        atexit(close_archive);
    close_archive();
    scratch_make();
    REQUIRE_OK(pacs_init(scratch_path("archive"), &conf));
    options.mode = PACS_WRITE;
    options.cache_bytes = 1 << 20;
    options.reserve_bytes = 0;
    options.quarantine_bytes = 1 << 20;
    REQUIRE_OK(pacs_open(&pacs, scratch_path("archive"), &options));
    builder_init(&b);
    builder_write(&b, &good);
    builder_release(&b);
}

struct input {
    const uint8_t *bytes;
    size_t size, at, piece;
};

static long read_input(void *context, void *to, size_t size)
{
    struct input *in = context;
    size_t n = in->size - in->at < in->piece ? in->size - in->at : in->piece;
    n = n < size ? n : size;
    memcpy(to, in->bytes + in->at, n);
    in->at += n;
    return (long)n;
}

static struct error store(const struct input *in, const char *uid, const struct syntax *syntax,
                          struct ingest_result *result)
{
    struct origin origin = {.how = "DIMSE", .calling_ae = "FUZZ", .called_ae = "PACSFS", .address = "192.0.2.1"};
    struct ingest_announced announced = {BUILDER_CT, uid, syntax, syntax->uid};
    struct ingest *ingest;
    struct error err = ingest_begin(pacs, &origin, &announced, &ingest);
    if (err.code)
        return err;
    for (size_t at = 0; at < in->size; at += in->piece)
        ingest_feed(ingest, in->bytes + at, in->size - at < in->piece ? in->size - at : in->piece);
    return ingest_finish(ingest, result);
}

static void check_json(struct instance_file *file, const struct instance_facts *facts, uint64_t promised)
{
    struct json_model *model;
    uint64_t size, uris;
    REQUIRE_OK(json_model_new(&model, NULL, NULL, facts->syntax, NULL, facts->prefix_size, false));
    REQUIRE_OK(pacs_file_tokens(file, 0, json_model_token, model));
    REQUIRE_OK(json_model_finish(model, &size, &uris));
    size_t uri = strlen("uids/") + strlen(facts->study_uid) + 1 + strlen(facts->series_uid) + 1 + strlen(facts->uid) +
                 strlen(".dcm");
    REQUIRE(size + uris * uri == promised);
    json_model_free(model);
}

/* The bytes come out as they came in, behind a prefix of ours or of theirs. */
static void check_stored(const struct ingest_result *result, const struct input *in)
{
    struct pacs_txn *txn;
    struct instance_row row;
    struct instance_file *file;
    struct instance_facts facts;
    size_t got;
    REQUIRE_OK(pacs_begin(pacs, &txn));
    REQUIRE_OK(pacs_instance(txn, result->id, &row));
    pacs_end(txn);
    REQUIRE(*row.name && !strchr(row.name, '/') && row.name[0] != '.');
    REQUIRE_OK(pacs_file_open(pacs, result->id, &file));
    pacs_file_facts(file, &facts);
    uint64_t size = pacs_file_size(file);
    REQUIRE(size == row.size && size == facts.prefix_size + facts.data_size && facts.data_size <= in->size);
    uint8_t *bytes = malloc(size + 1);
    REQUIRE(bytes);
    REQUIRE_OK(pacs_file_read(file, 0, bytes, size, &got));
    REQUIRE(got == size);
    REQUIRE(memcmp(bytes + facts.prefix_size, in->bytes + in->size - facts.data_size, facts.data_size) == 0);
    free(bytes);
    if (row.json_version == JSON_MODEL_VERSION)
        check_json(file, &facts, row.json_size);
    pacs_file_close(file);
}

static uint64_t editions(void)
{
    struct pacs_txn *txn;
    struct pacs_counts counts;
    REQUIRE_OK(pacs_begin(pacs, &txn));
    REQUIRE_OK(pacs_counts(txn, &counts));
    pacs_end(txn);
    return counts.editions;
}

static void store_good(void)
{
    struct ingest_result result;
    struct input in = {good.data, good.size, 0, 16384};
    REQUIRE_OK(store(&in, "1.2.3.4.5", syntax_by_uid(BUILDER_EXPLICIT), &result));
    check_stored(&result, &in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct origin import = {.how = "import", .address = "user", .file = "fuzz.dcm", .known = true};
    struct ingest_result result;
    size_t syntaxes;
    if (size < 3)
        return 0;
    if (runs++ % RUNS_AN_ARCHIVE == 0)
        make_archive();
    struct input in = {data + 3, size - 3, 0, data[2] * 16u + 1};
    const struct syntax *table = syntax_table(&syntaxes);
    const struct syntax *syntax = &table[data[1] % syntaxes];
    uint64_t before = editions();
    struct error err =
        data[0] & 1 ? store(&in, "1.2.3.4.5", syntax, &result) : ingest_file(pacs, &import, read_input, &in, &result);
    if (err.code) {
        REQUIRE(err.code == ERROR_MALFORMED || err.code == ERROR_MISMATCH || err.code == ERROR_UNSUPPORTED);
        REQUIRE(*error_text(&err) && editions() == before);
        error_release(&err);
    } else {
        check_stored(&result, &in);
    }
    if (runs % 16 == 1)
        store_good();
    return 0;
}
