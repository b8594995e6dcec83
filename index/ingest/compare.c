/* What lives here: is it the same, bit for bit and does ours still hold; or the same image in another syntax. */
#include "index/ingest/compare.h"

#include "codecs/dicom/json_model.h"
#include "index/file.h"

#include <stdlib.h>
#include <string.h>

void comparison_release(struct comparison *c)
{
    buf_release(&c->chunks);
    buf_release(&c->prefix);
}

/* ---- the same data set ---- */

/* Every chunk from the disk, past the cache: what was acknowledged twice must be there. */
static struct error holds(struct pacs *pacs, const struct instance_record *r, const char *uid, bool *yes)
{
    struct buf raw;
    *yes = true;
    buf_init(&raw);
    for (size_t i = 0; *yes && i < r->chunk_count; i++) {
        struct chunk_place place = chunk_place_read(r->chunks + i * CHUNK_PLACE_SIZE);
        buf_clear(&raw);
        struct error err = chunk_read(pacs, &place, uid, &raw);
        if (err.code == ERROR_NO_MEMORY) {
            buf_release(&raw);
            return err;
        }
        *yes = err.code == ERROR_NONE;
        error_release(&err);
    }
    buf_release(&raw);
    return NO_ERROR;
}

static bool same_bytes(const struct instance_record *a, const struct instance_record *b)
{
    return a->data_size == b->data_size && memcmp(a->sha256, b->sha256, 32) == 0 && strcmp(a->syntax, b->syntax) == 0;
}

static bool same_prefix(const struct instance_record *a, const struct instance_record *b)
{
    return a->zero_preamble == b->zero_preamble && a->prefix_size == b->prefix_size &&
           (!a->prefix_size || memcmp(a->prefix, b->prefix, a->prefix_size) == 0);
}

/* Which of several editions with the same data set is the one that came again: first the one with the same preamble
 * and meta header, even if its bytes do not hold (it is to be healed, not to be stored beside itself). */
static int rank(bool prefix, bool hold)
{
    return 1 + 2 * prefix + hold;
}

static int rank_of(const struct comparison *c)
{
    return c->same_as ? rank(c->same_prefix, c->same_holds) : 0;
}

static struct error take_same(struct pacs *pacs, const struct instance_row *row, const struct instance_record *theirs,
                              const struct instance_record *ours, struct comparison *c)
{
    bool hold, prefix = same_prefix(ours, theirs);
    if (rank(prefix, true) <= rank_of(c))
        return NO_ERROR;
    TRY(holds(pacs, ours, row->uid, &hold));
    if (rank(prefix, hold) <= rank_of(c))
        return NO_ERROR;
    c->same_as = row->id;
    c->same_holds = hold;
    c->same_lost = false;
    c->same_prefix = prefix;
    buf_clear(&c->chunks);
    buf_append(&c->chunks, ours->chunks, ours->chunk_count * CHUNK_PLACE_SIZE);
    buf_clear(&c->prefix);
    buf_append(&c->prefix, ours->prefix, ours->prefix_size);
    c->zero_preamble = ours->zero_preamble;
    c->has_prefix = true;
    TRY(buf_error(&c->prefix));
    return buf_error(&c->chunks);
}

/* The record itself cannot be read, but for what the row has of it: what comes with the same length and digest in the
 * same syntax heals it. Anything else is another version. */
static void take_damaged(const struct instance_row *row, const struct instance_record *theirs, struct comparison *c)
{
    bool fits = row->prefix_size == instance_record_prefix_size(theirs);
    if (rank_of(c) >= rank(fits, false) || row->syntax != syntax_by_uid(theirs->syntax)->code ||
        row->size - row->prefix_size != theirs->data_size || row->digest != get_u64(theirs->sha256))
        return;
    buf_clear(&c->chunks);
    c->has_prefix = false;
    c->same_as = row->id;
    c->same_holds = false;
    c->same_lost = !fits;
    c->same_prefix = fits; /* as far as its length tells */
}

/* ---- the same image in another syntax ---- */

/* One side: its elements as JSON text without what the encoding of pixels decides, and its pixels' description. */
struct side {
    struct buf text;
    struct json_model *json;
    struct pixel_description *pixels;
    struct pixel_source source;
    struct buf bytes; /* the incoming data set */
    uint64_t pixel_offset, pixel_end;
};

static bool belongs_to_encoding(const struct dataset_token *t)
{
    static const uint32_t tags[] = {0x00280004, 0x00280006}; /* photometric interpretation, planar configuration */
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (t->depth == 0 && t->tag == tags[i])
            return true;
    return false;
}

static struct error side_token(void *context, const struct dataset_token *t)
{
    struct side *s = context;
    TRY(pixel_description_token(s->pixels, t));
    if (t->kind == DATASET_PIXEL_BEGIN)
        s->pixel_offset = t->value_offset;
    if (t->kind == DATASET_PIXEL_END)
        s->pixel_end = t->offset;
    return belongs_to_encoding(t) ? NO_ERROR : json_model_token(s->json, t);
}

static struct error side_init(struct side *s, const struct syntax *syntax)
{
    memset(s, 0, sizeof *s);
    TRY(json_model_new(&s->json, json_to_buf, &s->text, syntax, "", 0, true));
    return pixel_description_new(&s->pixels, syntax);
}

static void side_release(struct side *s)
{
    buf_release(&s->text);
    buf_release(&s->bytes);
    json_model_free(s->json);
    pixel_description_free(s->pixels);
}

static struct error gather_incoming(struct pacs *pacs, struct side *s, const struct write_chunk *chunks, size_t count,
                                    const struct buf *places)
{
    for (size_t at = 0; at + CHUNK_PLACE_SIZE <= places->size; at += CHUNK_PLACE_SIZE) {
        struct chunk_place place = chunk_place_read(places->data + at);
        TRY(chunk_read(pacs, &place, "(incoming)", &s->bytes));
    }
    for (size_t i = 0; i < count; i++) {
        const struct buf *p = &chunks[i].payload;
        struct chunk_header h = chunk_header_read(p->data);
        const struct chunk_dictionary *dictionary = NULL;
        if (h.dictionary)
            TRY(dictionary_by_lsn(pacs, h.dictionary, &dictionary));
        uint8_t *to = buf_reserve(&s->bytes, h.raw_size);
        if (!to)
            return buf_error(&s->bytes);
        TRY(chunk_decode(to, h.raw_size, h.codec, p->data + CHUNK_HEADER_SIZE, p->size - CHUNK_HEADER_SIZE,
                         dictionary));
        s->bytes.size += h.raw_size;
    }
    return NO_ERROR;
}

static struct error read_incoming(void *context, uint64_t offset, void *to, size_t size)
{
    struct side *s = context;
    uint64_t length = s->pixel_end - s->pixel_offset;
    if (offset > length || size > length - offset)
        return error_make(ERROR_MALFORMED, "pixel data end early");
    memcpy(to, s->bytes.data + s->pixel_offset + offset, size);
    return NO_ERROR;
}

static struct error describe_incoming(struct side *s, const struct syntax *syntax)
{
    struct dataset_options options = {
        .syntax = syntax, .deep = true, .capture_max = PIXEL_CAPTURE, .handler = side_token, .context = s};
    struct dataset_reader *reader;
    TRY(dataset_reader_new(&reader, &options));
    struct error err = dataset_reader_feed(reader, s->bytes.data, s->bytes.size);
    if (!err.code)
        err = dataset_reader_finish(reader);
    dataset_reader_free(reader);
    if (!err.code)
        err = json_model_finish(s->json, NULL, NULL);
    s->source = (struct pixel_source){.read = read_incoming, .context = s, .length = s->pixel_end - s->pixel_offset};
    return err;
}

static struct error same_pixels(struct side *a, struct side *b, bool *same)
{
    struct pixel_shape x, y;
    struct buf p, q;
    struct error err = NO_ERROR;
    pixel_description_shape(a->pixels, &x);
    pixel_description_shape(b->pixels, &y);
    *same = x.rows == y.rows && x.columns == y.columns && x.samples == y.samples && x.frames == y.frames;
    buf_init(&p);
    buf_init(&q);
    for (uint32_t frame = 0; *same && frame < x.frames; frame++) {
        CHECK(pixel_canonical(a->pixels, &a->source, frame, &p));
        CHECK(pixel_canonical(b->pixels, &b->source, frame, &q));
        *same = p.size == q.size && (!p.size || memcmp(p.data, q.data, p.size) == 0);
    }
out:
    buf_release(&p);
    buf_release(&q);
    return err;
}

static struct error is_variant(struct side *incoming, struct instance_file *file, bool *yes)
{
    struct instance_facts facts;
    struct side ours;
    pacs_file_facts(file, &facts);
    *yes = false;
    struct error err = side_init(&ours, facts.syntax);
    CHECK(err);
    CHECK(pacs_file_tokens(file, PIXEL_CAPTURE, side_token, &ours));
    CHECK(json_model_finish(ours.json, NULL, NULL));
    if (ours.text.size != incoming->text.size || memcmp(ours.text.data, incoming->text.data, ours.text.size) != 0)
        goto out;
    CHECK(pacs_pixels(file, &ours.source));
    err = same_pixels(incoming, &ours, yes);
    pacs_pixels_release(&ours.source);
out:
    side_release(&ours);
    return err;
}

/* What cannot be decoded on either side is no variant: it counts as another version, and nothing is lost. */
static void look_for_variant(struct pacs *pacs, const struct instance_record *record, const struct write_chunk *chunks,
                             size_t chunk_count, const struct buf *places, struct instance_file *shown,
                             uint64_t shown_id, struct comparison *c)
{
    const struct syntax *syntax = syntax_by_uid(record->syntax);
    struct instance_facts facts;
    struct side incoming;
    bool yes = false;
    pacs_file_facts(shown, &facts);
    if (facts.syntax == syntax || syntax->deflated || record->data_size > COMPARE_PIXELS_MAX ||
        facts.data_size > COMPARE_PIXELS_MAX || !record->pixel_end || !facts.pixel_end)
        return;
    struct error err = side_init(&incoming, syntax);
    if (!err.code)
        err = gather_incoming(pacs, &incoming, chunks, chunk_count, places);
    if (!err.code)
        err = describe_incoming(&incoming, syntax);
    if (!err.code)
        err = is_variant(&incoming, shown, &yes);
    error_release(&err);
    side_release(&incoming);
    if (yes)
        c->variant_of = shown_id;
}

/* ---- all editions with this UID ---- */

static struct error list_known(struct pacs *pacs, const struct instance_record *record, struct instance_row **list,
                               size_t *count, uint64_t *newest)
{
    const char *uid = attribute(&record->attributes, TAG_SOP_INSTANCE);
    struct pacs_txn *txn;
    struct instance_row row;
    struct object_row series, study;
    struct error err;
    uint64_t after = 0;
    *list = NULL;
    *count = 0;
    *newest = 0;
    TRY(pacs_begin(pacs, &txn));
    while (!(err = pacs_next_instance_by_uid(txn, uid, after, &row)).code) {
        after = *newest = row.id;
        CHECK(object_get(txn->db, OBJECT_SERIES, row.series, &series));
        CHECK(object_get(txn->db, OBJECT_STUDY, series.parent, &study));
        if (strcmp(attribute(&series.attributes, TAG_SERIES_UID), attribute(&record->attributes, TAG_SERIES_UID)) ||
            strcmp(attribute(&study.attributes, TAG_STUDY_UID), attribute(&record->attributes, TAG_STUDY_UID)))
            continue;
        struct instance_row *more = realloc(*list, (*count + 1) * sizeof **list);
        if (!more) {
            err = error_make(ERROR_NO_MEMORY, "out of memory");
            goto out;
        }
        *list = more;
        (*list)[(*count)++] = row;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
out:
    pacs_end(txn);
    return err;
}

struct error compare(struct pacs *pacs, const struct instance_record *record, const struct write_chunk *chunks,
                     size_t chunk_count, const struct buf *places, struct comparison *c)
{
    struct error err = NO_ERROR;
    struct instance_row *list;
    size_t count;
    memset(c, 0, sizeof *c);
    CHECK(list_known(pacs, record, &list, &count, &c->compared_to));
    for (size_t i = 0; i < count; i++) {
        struct instance_file *file;
        const struct instance_row *row = &list[i];
        err = file_open_row(pacs, row, &file);
        if (err.code && err.code != ERROR_NO_MEMORY) { /* damaged, an unreadable sector, a lost pack */
            error_release(&err);
            take_damaged(row, record, c);
            continue;
        }
        CHECK(err);
        if (same_bytes(record, file_record(file)))
            err = take_same(pacs, row, record, file_record(file), c);
        else if (!c->same_as && instance_shown(row, UINT64_MAX))
            look_for_variant(pacs, record, chunks, chunk_count, places, file, row->id, c);
        pacs_file_close(file);
        CHECK(err);
    }
out:
    free(list);
    if (err.code)
        comparison_release(c);
    return err;
}
