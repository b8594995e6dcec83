/* Fuzz target: the data set reader and meta_read. The first byte chooses the syntax, the second depth and splitting;
 * the rest is the data set. Besides what the sanitizers see it holds: tokens do not depend on how the input is split,
 * sequences and items are balanced, offsets never go back, and nothing reaches beyond what was fed.
 */
#include "codecs/dicom/dataset.h"
#include "codecs/dicom/meta.h"

#include <stdlib.h>
#include <string.h>

#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct watch {
    uint64_t sum, offset; /* of all tokens; of the last one */
    unsigned sequences, items;
    bool in_pixel;
};

static void add(struct watch *w, uint64_t value)
{
    w->sum = (w->sum ^ value) * UINT64_C(0x100000001B3);
}

static void use_value(struct watch *w, const struct dataset_token *token)
{
    char text[32];
    double number;
    int64_t integer;
    unsigned count = dataset_values(token);
    for (unsigned i = 0; i <= count && i < 9; i++) {
        bool is_text = dataset_text(token, i, text, sizeof text);
        add(w, is_text ? (uint64_t)text[0] : 1);
        add(w, dataset_number(token, i, &number));
        add(w, dataset_integer(token, i, &integer) ? (uint64_t)integer : 1);
        HOLDS(i < count || !is_text);
    }
    for (uint64_t i = 0; i <= token->length; i++)
        add(w, token->value[i]);
    HOLDS(token->value[token->length] == 0);
}

static struct error watch(void *context, const struct dataset_token *token)
{
    struct watch *w = context;
    HOLDS(token->offset >= w->offset && token->value_offset >= token->offset);
    w->offset = token->offset;
    w->sequences += token->kind == DATASET_SEQUENCE_BEGIN;
    w->items += token->kind == DATASET_ITEM_BEGIN;
    HOLDS(w->sequences <= DATASET_DEPTH_MAX && w->items <= w->sequences);
    HOLDS(!w->in_pixel || token->kind == DATASET_FRAGMENT || token->kind == DATASET_PIXEL_END);
    w->in_pixel = token->kind == DATASET_PIXEL_BEGIN || (w->in_pixel && token->kind == DATASET_FRAGMENT);
    HOLDS(token->kind != DATASET_ELEMENT || token->depth == w->items);
    HOLDS(token->kind != DATASET_SEQUENCE_END || w->sequences-- > 0);
    HOLDS(token->kind != DATASET_ITEM_END || w->items-- > 0);
    add(w, (uint64_t)token->kind << 32 | token->tag);
    add(w, token->offset);
    add(w, token->value_offset);
    add(w, token->length);
    add(w, (uint64_t)(token->vr[0] << 16 | token->vr[1] << 8 | token->big_endian));
    if (token->value)
        use_value(w, token);
    return NO_ERROR;
}

static struct watch run(const struct syntax *syntax, bool deep, const uint8_t *bytes, size_t size, size_t piece)
{
    struct watch w = {.sum = UINT64_C(0xCBF29CE484222325)};
    struct dataset_options options = {syntax, deep, 256, watch, &w};
    struct dataset_reader *reader;
    struct error err = dataset_reader_new(&reader, &options);
    HOLDS(err.code == ERROR_NONE);
    for (size_t at = 0; at < size && err.code == ERROR_NONE; at += piece)
        err = dataset_reader_feed(reader, bytes + at, size - at < piece ? size - at : piece);
    if (err.code == ERROR_NONE) {
        HOLDS(syntax->deflated || dataset_reader_offset(reader) == size);
        err = dataset_reader_finish(reader);
    }
    HOLDS(err.code == ERROR_NONE || err.code == ERROR_MALFORMED);
    HOLDS(err.code != ERROR_NONE || (!w.sequences && !w.items && !w.in_pixel));
    add(&w, err.code);
    error_release(&err);
    dataset_reader_free(reader);
    return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct meta meta;
    struct error err = meta_read(&meta, bytes, size);
    HOLDS(err.code == ERROR_MALFORMED || (err.code == ERROR_NONE && meta.prefix_size <= size));
    error_release(&err);
    if (size < 2)
        return 0;
    size_t count;
    const struct syntax *rows = syntax_table(&count);
    const struct syntax *syntax = &rows[bytes[0] % count];
    bool deep = bytes[1] & 1;
    size_t piece = (bytes[1] >> 1) % 64 + 1;
    struct watch whole = run(syntax, deep, bytes + 2, size - 2, size);
    struct watch split = run(syntax, deep, bytes + 2, size - 2, piece);
    HOLDS(whole.sum == split.sum);
    return 0;
}
