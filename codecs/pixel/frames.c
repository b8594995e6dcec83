/* What lives here: where the bytes of a frame stand in the value of Pixel Data. What does not: what they mean.
 *
 * Native: frames follow each other without gaps, cells of 1 or 12 bits cross bytes and even frames (PS3.5 8.1.1); in
 * big-endian syntaxes what is read are whole words, turned round at once, so that all beyond this file is little
 * endian. Encapsulated (PS3.5 A.4): items, the first being the basic offset table. The extended offset table counts
 * most, then the basic one, each only if it leads to the tag of an item and is in order; else the items are walked:
 * as many fragments as frames, or frames that begin where a fragment begins as a stream of the syntax does.
 */
#include "codecs/pixel/decoder.h"

#include <string.h>

#define FRAGMENTS_MAX (UINT32_C(1) << 22)
#define TAG_ITEM 0xfffee000
#define TAG_SEQUENCE_DELIMITER 0xfffee0dd
#define ITEM_HEADER 8

static struct error read_at(const struct pixel_source *source, uint64_t offset, void *to, uint64_t size)
{
    if (offset > source->length || size > source->length - offset)
        return error_make(ERROR_MALFORMED, "pixel data end %llu bytes early",
                          (unsigned long long)(offset + size - source->length));
    return source->read(source->context, offset, to, (size_t)size);
}

/* `size` bytes at `offset`, appended to `out`. */
static struct error append_at(const struct pixel_source *source, uint64_t offset, uint64_t size, struct buf *out)
{
    if (size > PIXEL_FRAME_MAX || out->size > PIXEL_FRAME_MAX - size)
        return error_make(ERROR_UNSUPPORTED, "an encoded frame of more than %llu bytes",
                          (unsigned long long)PIXEL_FRAME_MAX);
    uint8_t *to = buf_reserve(out, (size_t)size);
    TRY(buf_error(out));
    TRY(read_at(source, offset, to, size));
    out->size += (size_t)size;
    return NO_ERROR;
}

/* Turns round each whole unit of `unit` bytes. */
static void swap_units(uint8_t *bytes, size_t size, unsigned unit)
{
    for (size_t at = 0; at + unit <= size; at += unit)
        for (unsigned i = 0; i < unit / 2; i++) {
            uint8_t byte = bytes[at + i];
            bytes[at + i] = bytes[at + unit - 1 - i];
            bytes[at + unit - 1 - i] = byte;
        }
}

/* Bytes that big-endian encoding turns round as one. Cells of whole words are turned as a whole: that is how writers
 * of 32-bit images in practice read PS3.5 7.3. */
static unsigned swap_unit(const struct frame *frame)
{
    const struct pixel_layout *layout = &frame->layout;
    if (!frame->description->big_endian)
        return 1;
    if (layout->cell_bits == 16 || layout->cell_bits == 32 || layout->cell_bits == 64)
        return layout->cell_bytes;
    return frame->description->pixel_words ? 2 : 1;
}

static struct error read_native(struct frame *frame, const struct pixel_source *source, uint32_t number)
{
    const struct pixel_layout *layout = &frame->layout;
    uint64_t cells = layout->cells;
    if (native_is_422(frame, source->length, layout->frames)) {
        frame->subsampled = true;
        cells = (uint64_t)layout->pixels * 2;
    }
    unsigned unit = swap_unit(frame);
    uint64_t frame_bits = cells * layout->cell_bits;
    if (number && frame_bits > UINT64_MAX / 2 / number)
        return error_make(ERROR_MALFORMED, "frame %u would begin beyond any file's end", number + 1);
    uint64_t first_bit = frame_bits * number;
    uint64_t begin = first_bit / 8, end = (first_bit + frame_bits + 7) / 8;
    if (end > source->length)
        return error_make(ERROR_MALFORMED, "pixel data of %llu bytes lack %llu bytes",
                          (unsigned long long)source->length, (unsigned long long)(end - source->length));
    begin -= begin % unit;
    end += (unit - end % unit) % unit;
    if (end > source->length)
        end = source->length;
    frame->first_bit = (unsigned)(first_bit - begin * 8);
    TRY(append_at(source, begin, end - begin, frame->raw));
    if (unit > 1)
        swap_units(frame->raw->data, frame->raw->size, unit);
    return NO_ERROR;
}

struct item {
    bool end; /* no item: the sequence ends */
    uint64_t value;
    uint64_t length;
    uint8_t start[STREAM_START]; /* of the value, or zero beyond it */
};

static struct error item_at(const struct pixel_source *source, uint64_t offset, struct item *item)
{
    uint8_t header[ITEM_HEADER + STREAM_START] = {0};
    *item = (struct item){0};
    item->end = offset > source->length || source->length - offset < ITEM_HEADER;
    if (item->end)
        return NO_ERROR;
    uint64_t left = source->length - offset;
    TRY(read_at(source, offset, header, left < sizeof header ? left : sizeof header));
    uint32_t tag = (uint32_t)get_u16(header) << 16 | get_u16(header + 2);
    item->end = tag == TAG_SEQUENCE_DELIMITER;
    if (item->end)
        return NO_ERROR;
    if (tag != TAG_ITEM)
        return error_make(ERROR_MALFORMED, "(%04x,%04x) instead of a fragment at byte %llu of the pixel data",
                          tag >> 16, tag & 0xffff, (unsigned long long)offset);
    item->value = offset + ITEM_HEADER;
    item->length = get_u32(header + 4);
    if (item->length > source->length - item->value)
        return error_make(ERROR_MALFORMED, "the fragment at byte %llu of the pixel data lacks %llu bytes",
                          (unsigned long long)offset,
                          (unsigned long long)(item->length - (source->length - item->value)));
    memcpy(item->start, header + ITEM_HEADER, item->length < STREAM_START ? (size_t)item->length : STREAM_START);
    return NO_ERROR;
}

/* All fragments that begin in [from, to). */
static struct error gather(const struct pixel_source *source, uint64_t from, uint64_t to, struct buf *out)
{
    struct item item;
    for (uint32_t count = 0; from < to; from = item.value + item.length) {
        TRY(item_at(source, from, &item));
        if (item.end)
            break;
        if (count++ >= FRAGMENTS_MAX)
            return error_make(ERROR_UNSUPPORTED, "a frame of more than %u fragments", FRAGMENTS_MAX);
        TRY(append_at(source, item.value, item.length, out));
    }
    return out->size ? NO_ERROR : error_make(ERROR_MALFORMED, "the frame has no bytes");
}

/* Entry `index` of whichever table, relative to `base`; false: there is none. */
static struct error table_entry(const struct frame *frame, const struct pixel_source *source, const struct item *basic,
                                uint64_t index, uint64_t *entry, bool *found)
{
    const struct pixel_description *d = frame->description;
    uint8_t bytes[4] = {0};
    *entry = 0;
    *found = true;
    if (d->offset_count >= frame->layout.frames && index < d->offset_count) {
        *entry = d->offsets[index];
        return NO_ERROR;
    }
    *found = d->offset_count < frame->layout.frames && index < basic->length / 4;
    if (!*found)
        return NO_ERROR;
    TRY(read_at(source, basic->value + 4 * index, bytes, sizeof bytes));
    *entry = get_u32(bytes);
    return NO_ERROR;
}

/* The frame's place by a table, where one is there and can be right. */
static struct error place_by_table(const struct frame *frame, const struct pixel_source *source,
                                   const struct item *basic, uint32_t number, uint64_t *from, uint64_t *to, bool *found)
{
    uint64_t base = basic->value + basic->length, before = 0, begin = 0, end = 0;
    uint8_t tag[4] = {0};
    bool last = number + 1 == frame->layout.frames, more = false;
    *found = false;
    if (frame->description->offset_count < frame->layout.frames && basic->length / 4 < frame->layout.frames)
        return NO_ERROR;
    TRY(table_entry(frame, source, basic, number, &begin, &more));
    if (!more || begin >= source->length - base || source->length - base - begin < ITEM_HEADER)
        return NO_ERROR;
    if (number) {
        TRY(table_entry(frame, source, basic, number - 1, &before, &more));
        if (!more || before >= begin)
            return NO_ERROR;
    }
    if (!last) {
        TRY(table_entry(frame, source, basic, (uint64_t)number + 1, &end, &more));
        if (!more || end <= begin || end > source->length - base)
            return NO_ERROR;
    }
    TRY(read_at(source, base + begin, tag, sizeof tag));
    if (((uint32_t)get_u16(tag) << 16 | get_u16(tag + 2)) != TAG_ITEM)
        return NO_ERROR;
    *from = base + begin;
    *to = last ? source->length : base + end;
    *found = true;
    return NO_ERROR;
}

struct walk {
    bool (*begins)(const uint8_t start[STREAM_START]); /* whether a fragment begins a frame; NULL: each does */
    uint64_t frames;                                   /* so counted */
    uint64_t from, to;                                 /* of the frame wanted */
};

static struct error walk(const struct pixel_source *source, uint64_t offset, uint32_t number, struct walk *walk)
{
    struct item item;
    walk->frames = 0;
    walk->from = walk->to = source->length;
    for (uint32_t count = 0;; offset = item.value + item.length) {
        TRY(item_at(source, offset, &item));
        if (item.end)
            break;
        if (count++ >= FRAGMENTS_MAX)
            return error_make(ERROR_UNSUPPORTED, "pixel data of more than %u fragments", FRAGMENTS_MAX);
        if (!item.length || (walk->begins && !walk->begins(item.start)))
            continue;
        if (walk->frames == number)
            walk->from = offset;
        else if (walk->frames == (uint64_t)number + 1)
            walk->to = offset;
        walk->frames++;
    }
    return NO_ERROR;
}

static struct error read_encapsulated(struct frame *frame, const struct pixel_source *source, uint32_t number)
{
    struct item basic;
    uint64_t from = 0, to = 0;
    bool found = false;
    TRY(item_at(source, 0, &basic));
    if (basic.end)
        return error_make(ERROR_MALFORMED, "encapsulated pixel data without an offset table's item");
    uint64_t first = basic.value + basic.length;
    if (frame->layout.frames == 1)
        return gather(source, first, source->length, frame->raw);
    TRY(place_by_table(frame, source, &basic, number, &from, &to, &found));
    if (found)
        return gather(source, from, to, frame->raw);
    struct walk fragments = {.begins = NULL}, streams = {.begins = frame->description->decoder->begins};
    TRY(walk(source, first, number, &fragments));
    if (fragments.frames == frame->layout.frames)
        return gather(source, fragments.from, fragments.to, frame->raw);
    if (streams.begins)
        TRY(walk(source, first, number, &streams));
    if (number < streams.frames)
        return gather(source, streams.from, streams.to, frame->raw);
    return error_make(ERROR_MALFORMED, "%llu fragments without an offset table for %u frames",
                      (unsigned long long)fragments.frames, frame->layout.frames);
}

struct error frame_read(struct frame *frame, const struct pixel_source *source, uint32_t number)
{
    if (frame->description->encapsulated)
        return read_encapsulated(frame, source, number);
    return read_native(frame, source, number);
}
