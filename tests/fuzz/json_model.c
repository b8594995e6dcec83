/* Any bytes as a data set in any transfer syntax: the JSON closes, is as long as counting said, and no sink is called
 * for more. The first byte picks the syntax and whether bulk data are left out, the second how small pieces are fed. */
#include "codecs/dicom/json_model.h"

#include <stdlib.h>

static struct error feed(struct json_model *model, const struct syntax *syntax, const uint8_t *data, size_t size,
                         size_t piece)
{
    struct dataset_reader *reader;
    struct dataset_options options = {
        .syntax = syntax, .deep = true, .capture_max = 256, .handler = json_model_token, .context = model};
    struct error err = dataset_reader_new(&reader, &options);
    if (err.code != ERROR_NONE)
        return err;
    for (size_t at = 0; at < size && err.code == ERROR_NONE; at += piece)
        err = dataset_reader_feed(reader, data + at, size - at < piece ? size - at : piece);
    if (err.code == ERROR_NONE)
        err = dataset_reader_finish(reader);
    dataset_reader_free(reader);
    return err;
}

static uint64_t run(struct buf *out, const uint8_t *data, size_t size, size_t piece)
{
    size_t syntaxes;
    const struct syntax *table = syntax_table(&syntaxes);
    const struct syntax *syntax = &table[(data[0] >> 1) % syntaxes];
    struct json_model *model;
    uint64_t written, uris;
    struct error err =
        json_model_new(&model, out ? json_to_buf : NULL, out, syntax, out ? "uids/1.dcm" : NULL, 132, data[0] & 1);
    if (err.code != ERROR_NONE)
        abort();
    err = feed(model, syntax, data + 2, size - 2, piece);
    if (err.code != ERROR_NONE && err.code != ERROR_MALFORMED && err.code != ERROR_UNSUPPORTED)
        abort();
    error_release(&err);
    err = json_model_finish(model, &written, &uris);
    if (err.code != ERROR_NONE)
        abort();
    json_model_free(model);
    return out ? written : written + uris * sizeof "uids/1.dcm" - uris;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out;
    if (size < 3)
        return 0;
    buf_init(&out);
    size_t piece = (size_t)data[1] + 1;
    uint64_t written = run(&out, data, size, piece), counted = run(NULL, data, size, piece);
    if (written != out.size || counted != written || out.data[out.size - 1] != '\n')
        abort();
    buf_release(&out);
    return 0;
}
