/* What lives here: the bytes of one edition: its record (through the cache), its chunks (through the cache), tokens and
 * pixels out of them. An open file is a handle on the cached record: it holds no chunk. */
#include "index/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define KEY_RECORD UINT64_C(0x7265636F7264)
#define FEED_SIZE (256u << 10)
#define PREFETCH_MAX (4u << 20)

struct instance_file {
    struct pacs *pacs;
    struct cache_entry *entry; /* the record's payload */
    struct instance_record record;
    struct buf texts;
    uint64_t prefix_size, size;
    const struct syntax *syntax;
    char uid[65];
};

struct record_wanted {
    struct pacs *pacs;
    const struct instance_row *row;
};

static struct error fill_record(void *context, struct buf *out)
{
    struct record_wanted *w = context;
    struct record_header header;
    if (w->row->lead && w->row->lead <= PREFETCH_MAX)
        packs_prefetch(w->pacs->packs, w->row->pack, w->row->offset - w->row->lead, w->row->lead);
    TRY(error_context(packs_record(w->pacs->packs, w->row->pack, w->row->offset, 4096, &header, out), "instance %s",
                      w->row->uid));
    if (header.type != RECORD_INSTANCE)
        return error_make(ERROR_DAMAGED, "pack %08u: no instance at offset %llu", w->row->pack,
                          (unsigned long long)w->row->offset);
    return NO_ERROR;
}

/* Shared with verify and ingest, which have the row. */
struct error file_open_row(struct pacs *pacs, const struct instance_row *row, struct instance_file **out)
{
    struct error err = NO_ERROR;
    struct record_wanted wanted = {pacs, row};
    struct cache_key key = {KEY_RECORD, row->pack, row->offset};
    size_t size;
    struct instance_file *f = calloc(1, sizeof *f);
    if (!f)
        return error_make(ERROR_NO_MEMORY, "instance %s: out of memory", row->uid);
    f->pacs = pacs;
    buf_init(&f->texts);
    memcpy(f->uid, row->uid, sizeof f->uid);
    CHECK(cache_get(pacs->cache, key, fill_record, &wanted, &f->entry));
    const uint8_t *payload = cache_data(f->entry, &size);
    CHECK(error_context(instance_record_read(&f->record, &f->texts, payload, size), "pack %08u, offset %llu", row->pack,
                        (unsigned long long)row->offset));
    f->prefix_size = instance_record_prefix_size(&f->record);
    f->size = f->prefix_size + f->record.data_size;
    f->syntax = syntax_by_uid(f->record.syntax);
out:
    if (err.code)
        pacs_file_close(f);
    else
        *out = f;
    return err;
}

struct error pacs_file_open(struct pacs *pacs, uint64_t id, struct instance_file **file)
{
    struct pacs_txn *txn;
    struct instance_row row;
    TRY(pacs_begin(pacs, &txn));
    struct error err = pacs_instance(txn, id, &row);
    pacs_end(txn);
    return err.code ? err : file_open_row(pacs, &row, file);
}

void pacs_file_close(struct instance_file *f)
{
    if (!f)
        return;
    if (f->entry)
        cache_put(f->pacs->cache, f->entry);
    buf_release(&f->texts);
    free(f);
}

uint64_t pacs_file_size(const struct instance_file *f)
{
    return f->size;
}

void pacs_file_facts(const struct instance_file *f, struct instance_facts *facts)
{
    *facts = (struct instance_facts){
        .prefix_size = (uint32_t)f->prefix_size,
        .data_size = f->record.data_size,
        .pixel_offset = f->record.pixel_offset,
        .pixel_end = f->record.pixel_end,
        .syntax = f->syntax,
    };
    memcpy(facts->sha256, f->record.sha256, 32);
    snprintf(facts->study_uid, 65, "%s", attribute(&f->record.attributes, TAG_STUDY_UID));
    snprintf(facts->series_uid, 65, "%s", attribute(&f->record.attributes, TAG_SERIES_UID));
    snprintf(facts->uid, 65, "%s", f->uid);
}

const struct instance_record *file_record(const struct instance_file *f)
{
    return &f->record;
}

/* The chunk that holds byte `offset` of the data set; by halving, since there may be thousands. */
static size_t find_chunk(const struct instance_record *r, uint64_t offset)
{
    size_t low = 0, high = r->chunk_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (chunk_place_read(r->chunks + middle * CHUNK_PLACE_SIZE).raw_end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t read_prefix(const struct instance_file *f, uint64_t offset, uint8_t *to, size_t size)
{
    size_t zeros = f->record.zero_preamble ? 128 : 0, done = 0;
    for (; done < size && offset < f->prefix_size; done++, offset++)
        to[done] = offset < zeros ? 0 : f->record.prefix[offset - zeros];
    return done;
}

static struct error read_data(struct instance_file *f, uint64_t offset, uint8_t *to, size_t size)
{
    for (size_t i = find_chunk(&f->record, offset); size; i++) {
        struct cache_entry *entry;
        size_t have;
        if (i >= f->record.chunk_count)
            return error_make(ERROR_DAMAGED, "instance %s: its chunks end before its length", f->uid);
        struct chunk_place place = chunk_place_read(f->record.chunks + i * CHUNK_PLACE_SIZE);
        uint64_t start = place.raw_end - place.raw_size;
        TRY(chunk_get(f->pacs, &place, f->uid, &entry));
        const uint8_t *bytes = cache_data(entry, &have);
        if (offset < start || offset - start >= have) {
            cache_put(f->pacs->cache, entry);
            return error_make(ERROR_DAMAGED, "instance %s: its list of chunks does not hold together", f->uid);
        }
        size_t n = have - (size_t)(offset - start) < size ? have - (size_t)(offset - start) : size;
        memcpy(to, bytes + (offset - start), n);
        cache_put(f->pacs->cache, entry);
        to += n;
        offset += n;
        size -= n;
    }
    return NO_ERROR;
}

struct error pacs_file_read(struct instance_file *f, uint64_t offset, void *to, size_t size, size_t *got)
{
    *got = 0;
    if (offset >= f->size)
        return NO_ERROR;
    if (size > f->size - offset)
        size = (size_t)(f->size - offset);
    size_t done = read_prefix(f, offset, to, size);
    if (done < size)
        TRY(read_data(f, offset + done - f->prefix_size, (uint8_t *)to + done, size - done));
    *got = size;
    return NO_ERROR;
}

/* ---- tokens ---- */

struct token_filter {
    dataset_handler handler;
    void *context;
    bool pixel_seen;
};

static struct error filter_token(void *context, const struct dataset_token *token)
{
    struct token_filter *f = context;
    if (token->kind == DATASET_PIXEL_BEGIN)
        f->pixel_seen = true;
    if (token->kind == DATASET_FRAGMENT)
        return NO_ERROR;
    return f->handler(f->context, token);
}

static struct error feed_range(struct instance_file *f, struct dataset_reader *reader, uint64_t from, uint64_t to)
{
    uint8_t *bytes = malloc(FEED_SIZE);
    struct error err = bytes ? NO_ERROR : error_make(ERROR_NO_MEMORY, "instance %s: out of memory", f->uid);
    while (!err.code && from < to) {
        size_t size = to - from < FEED_SIZE ? (size_t)(to - from) : FEED_SIZE;
        err = read_data(f, from, bytes, size);
        if (!err.code)
            err = dataset_reader_feed(reader, bytes, size);
        from += size;
    }
    free(bytes);
    return err;
}

struct error pacs_file_tokens(struct instance_file *f, size_t capture_max, dataset_handler handler, void *context)
{
    struct token_filter filter = {handler, context, false};
    struct dataset_options options = {
        .syntax = f->syntax, .deep = true, .capture_max = capture_max, .handler = filter_token, .context = &filter};
    struct dataset_reader *reader;
    const struct instance_record *r = &f->record;
    TRY(dataset_reader_new(&reader, &options));
    struct error err = NO_ERROR;
    if (r->pixel_end > r->pixel_offset && !f->syntax->deflated) {
        CHECK(feed_range(f, reader, 0, r->pixel_offset));
        if (filter.pixel_seen) {
            CHECK(dataset_reader_skip_to(reader, r->pixel_end));
            CHECK(feed_range(f, reader, r->pixel_end, r->data_size));
        } else { /* a reader of another version sees it otherwise: read it all */
            CHECK(feed_range(f, reader, r->pixel_offset, r->data_size));
        }
    } else {
        CHECK(feed_range(f, reader, 0, r->data_size));
    }
    err = dataset_reader_finish(reader);
out:
    dataset_reader_free(reader);
    return error_context(err, "instance %s", f->uid);
}

/* ---- pixels ---- */

struct pixels {
    struct instance_file *file;
    struct buf inflated; /* of a deflated data set: its pixel value */
    bool in_memory;
};

static struct error read_pixels(void *context, uint64_t offset, void *to, size_t size)
{
    struct pixels *p = context;
    const struct instance_record *r = &p->file->record;
    uint64_t length = r->pixel_end - r->pixel_offset;
    if (offset > length || size > length - offset)
        return error_make(ERROR_MALFORMED, "instance %s: pixel data end before byte %llu", p->file->uid,
                          (unsigned long long)(offset + size));
    if (p->in_memory) {
        memcpy(to, p->inflated.data + offset, size);
        return NO_ERROR;
    }
    return read_data(p->file, r->pixel_offset + offset, to, size);
}

/* Inflates the data set (RFC 1951; zlib-wrapped in the wild) and keeps [pixel_offset, pixel_end). */
static struct error inflate_pixels(struct pixels *p)
{
    const struct instance_record *r = &p->file->record;
    struct error err = NO_ERROR;
    uint8_t *in = malloc(FEED_SIZE), *out = malloc(FEED_SIZE), start[2] = {0};
    z_stream z = {0};
    uint64_t at = 0;
    if (r->pixel_end - r->pixel_offset > PIXEL_FRAME_MAX)
        err = error_make(ERROR_UNSUPPORTED, "instance %s: deflated pixel data of more than 1 GiB", p->file->uid);
    if (!err.code)
        err = read_data(p->file, 0, start, r->data_size < 2 ? (size_t)r->data_size : 2);
    bool wrapped = (start[0] & 0x0F) == 8 && (start[0] * 256 + start[1]) % 31 == 0;
    if (!in || !out || inflateInit2(&z, wrapped ? 15 : -15) != Z_OK) {
        error_release(&err);
        err = error_make(ERROR_NO_MEMORY, "instance %s: out of memory", p->file->uid);
        goto out;
    }
    int code = Z_OK;
    for (uint64_t from = 0; !err.code && code == Z_OK && from < r->data_size && at < r->pixel_end;) {
        size_t size = r->data_size - from < FEED_SIZE ? (size_t)(r->data_size - from) : FEED_SIZE;
        err = read_data(p->file, from, in, size);
        from += size;
        z.next_in = in;
        z.avail_in = (unsigned)size;
        while (!err.code && code == Z_OK && (z.avail_in || !z.avail_out) && at < r->pixel_end) {
            z.next_out = out;
            z.avail_out = FEED_SIZE;
            code = inflate(&z, Z_NO_FLUSH);
            if (code == Z_BUF_ERROR) {
                code = Z_OK;
                break;
            }
            uint64_t got = FEED_SIZE - z.avail_out, end = at + got;
            uint64_t a = at > r->pixel_offset ? at : r->pixel_offset, b = end < r->pixel_end ? end : r->pixel_end;
            if (a < b)
                buf_append(&p->inflated, out + (a - at), (size_t)(b - a));
            at = end;
        }
    }
    inflateEnd(&z);
    if (!err.code)
        err = buf_error(&p->inflated);
    if (!err.code && p->inflated.size != r->pixel_end - r->pixel_offset)
        err = error_make(ERROR_MALFORMED, "instance %s: its deflated data end early", p->file->uid);
out:
    free(in);
    free(out);
    return err;
}

struct error pacs_pixels(struct instance_file *f, struct pixel_source *source)
{
    if (!f->record.pixel_end)
        return error_make(ERROR_NOT_FOUND, "instance %s has no pixel data", f->uid);
    struct pixels *p = calloc(1, sizeof *p);
    if (!p)
        return error_make(ERROR_NO_MEMORY, "instance %s: out of memory", f->uid);
    p->file = f;
    *source = (struct pixel_source){
        .read = read_pixels,
        .context = p,
        .length = f->record.pixel_end - f->record.pixel_offset,
        .spares = cache_spares(f->pacs->cache),
    };
    if (f->syntax->deflated) {
        p->in_memory = true;
        struct error err = inflate_pixels(p);
        if (err.code) {
            pacs_pixels_release(source);
            return err;
        }
    }
    return NO_ERROR;
}

void pacs_pixels_release(struct pixel_source *source)
{
    struct pixels *p = source->context;
    if (p)
        buf_release(&p->inflated);
    free(p);
    source->context = NULL;
}
