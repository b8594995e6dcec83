/* What lives here: RLE (PS3.5 G): a header of up to 15 segment offsets; each segment is one byte plane of one sample,
 * most significant byte first, packed as by PackBits. Bit-packed images are one segment of whole bytes.
 */
#include "codecs/pixel/decoder.h"

#include <string.h>

#define RLE_HEADER 64
#define RLE_SEGMENTS_MAX 15

bool rle_shows(const struct pixel_shape *shape)
{
    unsigned bits = shape->bits_allocated;
    return bits == 8 || bits == 16 || bits == 32 || (bits == 1 && shape->samples == 1);
}

/* Decodes at most `count` bytes to to[0], to[stride]...; returns how many there were. */
static size_t unpack(const uint8_t *from, size_t size, uint8_t *to, size_t stride, size_t count)
{
    size_t done = 0, at = 0;
    while (at < size && done < count) {
        unsigned control = from[at++];
        if (control == 128)
            continue;
        size_t run = control < 128 ? control + 1 : 257 - control;
        if (run > count - done)
            run = count - done;
        if (control > 128) {
            if (at >= size)
                break;
            for (size_t i = 0; i < run; i++)
                to[(done + i) * stride] = from[at];
            at++;
        } else {
            if (run > size - at)
                run = size - at;
            for (size_t i = 0; i < run; i++)
                to[(done + i) * stride] = from[at + i];
            at += run;
        }
        done += run;
    }
    return done;
}

/* Segment `index` of the frame to `count` bytes. */
static struct error segment(const struct buf *raw, unsigned index, unsigned segments, uint8_t *to, size_t stride,
                            size_t count)
{
    size_t begin = get_u32(raw->data + 4 * (index + 1));
    size_t end = index + 1 < segments ? get_u32(raw->data + 4 * (index + 2)) : raw->size;
    if (begin < RLE_HEADER || begin > end || end > raw->size)
        return error_make(ERROR_MALFORMED, "RLE segment %u from byte %zu to %zu of %zu", index + 1, begin, end,
                          raw->size);
    size_t done = unpack(raw->data + begin, end - begin, to, stride, count);
    if (done < count)
        return error_make(ERROR_MALFORMED, "RLE segment %u lacks %zu of %zu bytes", index + 1, count - done, count);
    return NO_ERROR;
}

struct error rle_decode(struct frame *frame)
{
    struct error err;
    const struct pixel_layout *layout = &frame->layout;
    const struct buf *raw = frame->raw;
    unsigned bytes = layout->cell_bytes, samples = frame->description->samples;
    bool packed = layout->cell_bits == 1;
    if (raw->size < RLE_HEADER)
        return error_make(ERROR_MALFORMED, "an RLE frame of %zu bytes lacks its header", raw->size);
    unsigned segments = get_u32(raw->data);
    if (segments != samples * bytes || segments > RLE_SEGMENTS_MAX)
        return error_make(ERROR_MALFORMED, "%u RLE segments for %u samples of %u bits", segments, samples,
                          layout->cell_bits);
    struct buf decoded;
    buf_init(&decoded);
    size_t size = packed ? (layout->cells + 7) / 8 : layout->decoded_size;
    uint8_t *to = buf_reserve(&decoded, size);
    CHECK(buf_error(&decoded));
    decoded.size = size;
    for (unsigned i = 0; i < segments; i++)
        CHECK(segment(raw, i, segments, to + i / bytes * bytes + (bytes - 1 - i % bytes), segments,
                      packed ? size : layout->pixels));
    struct buf held = packed ? *frame->raw : *frame->out;
    *(packed ? frame->raw : frame->out) = decoded;
    decoded = held;
    if (packed)
        CHECK(native_decode(frame));
out:
    buf_release(&decoded);
    return err;
}
