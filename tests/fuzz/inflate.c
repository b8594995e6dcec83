/* The deflated syntaxes. The first byte picks the syntax, and whether the rest is what came (a stream that may be broken
 * anywhere) or the data set that a healthy stream holds, the second how small the pieces are. Held: pieces do not
 * matter, and a healthy stream gives what the same bytes give without deflating. */
#include "codecs/dicom/dataset.h"
#include "tests/fuzz/require.h"

#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint64_t sum;
    uint64_t tokens;
    enum error_code code;
};

static struct error add(void *context, const struct dataset_token *token)
{
    struct outcome *o = context;
    o->sum = (o->sum ^ token->tag ^ token->offset << 20 ^ token->length << 40) * UINT64_C(0x100000001B3);
    o->tokens++;
    return NO_ERROR;
}

static struct outcome run(const struct syntax *syntax, const uint8_t *data, size_t size, size_t piece)
{
    struct outcome o = {.sum = 1};
    struct dataset_reader *reader;
    struct dataset_options options = {syntax, true, 256, add, &o};
    struct error err = dataset_reader_new(&reader, &options);
    REQUIRE(!err.code);
    for (size_t at = 0; at < size && !err.code; at += piece)
        err = dataset_reader_feed(reader, data + at, size - at < piece ? size - at : piece);
    if (!err.code)
        err = dataset_reader_finish(reader);
    REQUIRE(!err.code || err.code == ERROR_MALFORMED);
    o.code = err.code;
    error_release(&err);
    dataset_reader_free(reader);
    return o;
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->sum == b->sum && a->tokens == b->tokens && a->code == b->code;
}

static void healthy(const struct syntax *syntax, bool zlib, const uint8_t *data, size_t size, size_t piece)
{
    size_t room = compressBound(size) + 64;
    uint8_t *stream = malloc(room);
    z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)size, .next_out = stream, .avail_out = (uInt)room};
    REQUIRE(stream && deflateInit2(&z, 1, Z_DEFLATED, zlib ? 15 : -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
    struct outcome deflated = run(syntax, stream, room - z.avail_out, piece);
    struct outcome plain = run(syntax_by_uid("1.2.840.10008.1.2.1"), data, size, size ? size : 1);
    REQUIRE(same(&deflated, &plain));
    deflateEnd(&z);
    free(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const uids[] = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"};
    if (size < 2)
        return 0;
    const struct syntax *syntax = syntax_by_uid(uids[(data[0] >> 2) % 3]);
    size_t piece = data[1] % 128u + 1;
    if (data[0] & 1) {
        healthy(syntax, data[0] & 2, data + 2, size - 2, piece);
        return 0;
    }
    struct outcome whole = run(syntax, data + 2, size - 2, size), pieces = run(syntax, data + 2, size - 2, piece);
    REQUIRE(same(&whole, &pieces));
    return 0;
}
