/* What lives here: records in order, and where the newest pack ends.
 *
 * A record is valid if and only if its 64 header bytes carry the magic number and the checksum seeded with archive,
 * pack and offset, its length is within RECORD_PAYLOAD_MAX and the pack's end, and the payload has its checksum.
 *
 *  S1  A record before the durable point D that is not valid is damage: reported and fenced, what follows is read.
 *      [damage_before_D_header, damage_before_D_payload, damage_of_the_first, checkpoint_proves,
 *      damage_before_the_durable_point, pack_scan_unreadable_sector_costs_its_record_alone]
 *
 *  S2  From D on, records count up to the first that is not valid or cannot be read: that is END, all beyond is void.
 *      [torn_tail, good_records_beyond_a_bad_one, bad_record_right_at_D, nothing_proves, file_ends_*, zeros_*,
 *      stale_record_behind, stale_blocks_of_another_*, noise_behind_the_end, whole_tail,
 *      pack_scan_end_at_an_unreadable_sector]
 *
 *  S3  `synced` of a valid header proves what lies before it, wherever the header itself stands: a good header far
 *      behind a bad record moves D only as far as its own `synced`.
 *      [good_header_far_behind_a_bad_record, the_proof_itself_has_a_bad_payload, the_proof_is_lost,
 *      synced_beyond_itself]
 *
 * Names in brackets are cases of tests/unit/pack_scan.c and recover_rule.c.
 *
 * The file is read through one window; payloads that nobody asked for are passed over. */
#include "codecs/chunk/chunk.h"
#include "index/pack/packs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define WINDOW_SMALL 4096
#define WINDOW_LARGE (1 << 20)

struct window {
    struct packs *packs;
    uint64_t number;
    uint64_t file_size;
    uint64_t start;
    struct buf bytes;
    uint64_t last_end; /* of the last read: sequential reading earns large windows */
};

/* `size` bytes at `offset` and, where they can be read, more behind them; or NULL: beyond the file (no error) or
 * unreadable (error). */
static const uint8_t *window_at(struct window *w, uint64_t offset, size_t size, struct error *err)
{
    if (offset + size > w->file_size)
        return NULL;
    if (offset >= w->start && offset + size <= w->start + w->bytes.size)
        return w->bytes.data + (offset - w->start);
    size_t want = offset <= w->last_end ? WINDOW_LARGE : WINDOW_SMALL;
    if (want < size)
        want = size;
    if (want > w->file_size - offset)
        want = (size_t)(w->file_size - offset);
    buf_clear(&w->bytes);
    if (!buf_reserve(&w->bytes, want)) {
        *err = buf_error(&w->bytes);
        return NULL;
    }
    *err = packs_read(w->packs, w->number, offset, w->bytes.data, want);
    if (err->code && err->code != ERROR_NO_MEMORY &&
        want > size) { /* what is unreadable may lie behind what is asked */
        error_release(err);
        want = size;
        *err = packs_read(w->packs, w->number, offset, w->bytes.data, want);
    }
    if (err->code)
        return NULL;
    w->bytes.size = want;
    w->start = offset;
    w->last_end = offset + want;
    return w->bytes.data;
}

static struct error window_open(struct window *w, struct packs *packs, uint64_t number)
{
    *w = (struct window){.packs = packs, .number = number};
    buf_init(&w->bytes);
    return packs_size(packs, number, &w->file_size);
}

/* Behind the header; where that is damaged, where headers end that replace no pack. */
static uint64_t records_begin(struct window *w, struct error *err)
{
    const uint8_t *p = window_at(w, 0, PACK_HEADER_MIN, err);
    if (err->code != ERROR_NO_MEMORY)
        error_release(err);
    uint32_t size = p ? get_u32(p + 12) : 0, replaced = p ? get_u32(p + 80) : 0;
    bool holds = replaced <= PACK_REPLACED_MAX && size == PACK_HEADER_MIN + replaced * 40;
    return holds ? size : PACK_HEADER_MIN;
}

enum found { FOUND_RECORD, FOUND_NOTHING, FOUND_FAILURE };

/* The header at `offset`, within the file and within `end`. */
static enum found header_at(struct window *w, uint64_t offset, uint64_t end, struct record_header *header,
                            struct error *err)
{
    const uint8_t *p = offset + RECORD_HEADER_SIZE <= end ? window_at(w, offset, RECORD_HEADER_SIZE, err) : NULL;
    if (!p)
        return err->code ? FOUND_FAILURE : FOUND_NOTHING;
    if (!record_header_read(header, p, record_seed(packs_uuid(w->packs), w->number, offset)))
        return FOUND_NOTHING;
    uint64_t next = offset + record_extent(header->length);
    return next <= end && next <= w->file_size ? FOUND_RECORD : FOUND_NOTHING;
}

/* The payload behind a header that holds: its bytes if they have their checksum. */
static enum found payload_at(struct window *w, uint64_t offset, const struct record_header *header,
                             const uint8_t **payload, struct error *err)
{
    *payload = window_at(w, offset + RECORD_HEADER_SIZE, header->length, err);
    if (!*payload)
        return err->code ? FOUND_FAILURE : FOUND_NOTHING;
    return checksum64(*payload, header->length, 0) == header->payload_checksum ? FOUND_RECORD : FOUND_NOTHING;
}

/* The next place at or behind `offset` whose header holds; `end` if there is none. An unreadable stretch is passed over
 * a small window at a time. */
static uint64_t next_header(struct window *w, uint64_t offset, uint64_t end, struct record_header *header,
                            struct error *err)
{
    for (; offset + RECORD_HEADER_SIZE <= end; offset += RECORD_ALIGN) {
        enum found found = header_at(w, offset, end, header, err);
        if (found == FOUND_RECORD)
            return offset;
        if (found == FOUND_FAILURE) {
            if (err->code == ERROR_NO_MEMORY)
                return end;
            error_release(err);
            offset += WINDOW_SMALL - RECORD_ALIGN;
        }
    }
    return end;
}

struct error pack_scan(struct packs *packs, uint64_t number, const struct scan_options *options, uint64_t *stopped)
{
    struct window w;
    struct error err = window_open(&w, packs, number);
    uint64_t offset = options->from;
    if (!err.code && !offset)
        offset = records_begin(&w, &err);
    while (!err.code && offset < options->end) {
        struct scan_record record = {.offset = offset};
        enum found found = header_at(&w, offset, options->end, &record.header, &err);
        const char *what = "no valid record";
        uint64_t resume = offset + RECORD_ALIGN;
        if (found == FOUND_RECORD && (options->chunk_bytes || record.header.type != RECORD_CHUNK)) {
            found = payload_at(&w, offset, &record.header, &record.payload, &err);
            what = "a record with a wrong checksum";
            resume = offset + record_extent(record.header.length);
        }
        if (found == FOUND_RECORD) {
            err = options->record(options->context, number, &record);
            offset += record_extent(record.header.length);
            continue;
        }
        if (!options->fence || err.code == ERROR_NO_MEMORY)
            break;
        error_release(&err);
        struct record_header next;
        uint64_t to = next_header(&w, resume, options->end, &next, &err);
        if (options->damage)
            options->damage(options->context, number, offset, to, what);
        offset = to;
    }
    *stopped = offset;
    buf_release(&w.bytes);
    return err;
}

struct error pack_find_end(struct packs *packs, uint64_t number, uint64_t known, uint64_t *durable, uint64_t *end)
{
    struct window w;
    struct error err = window_open(&w, packs, number);
    uint64_t first = err.code ? 0 : records_begin(&w, &err);

    /* D: from every header that holds, also beyond bad ones (S3). What lies before `known` can prove no more than it.
     */
    uint64_t d = known > first ? known : first;
    struct record_header header;
    for (uint64_t at = d; !err.code && at < w.file_size;) {
        at = next_header(&w, at, w.file_size, &header, &err);
        if (at >= w.file_size)
            break;
        if (header.synced <= at && header.synced > d)
            d = header.synced;
        at += record_extent(header.length);
    }
    /* END: the run behind D (S2). */
    uint64_t at = d;
    bool failed = err.code != ERROR_NONE;
    while (!err.code && header_at(&w, at, w.file_size, &header, &err) == FOUND_RECORD) {
        const uint8_t *payload;
        if (payload_at(&w, at, &header, &payload, &err) != FOUND_RECORD)
            break;
        at += record_extent(header.length);
    }
    if (!failed && err.code != ERROR_NO_MEMORY)
        error_release(&err);
    *durable = d;
    *end = at;
    buf_release(&w.bytes);
    return err;
}
