/* What lives here: cells in the byte stream (PS3.5 8.1.1) made samples of whole bytes, interleaved by pixel: bit-packed
 * cells, planes (Planar Configuration 1), 4:2:2 samples; native, encapsulated and deflated frames share it.
 *
 * The input is little endian already (frames.c). Most images need nothing at all: then the buffers change places.
 */
#include "codecs/pixel/decoder.h"

#include <string.h>
#include <zlib.h>

bool native_shows(const struct pixel_shape *shape)
{
    unsigned bits = shape->bits_allocated;
    if (shape->photometric == PHOTOMETRIC_YBR_PARTIAL_420 || (shape->samples == 3 && bits < 8))
        return false;
    return (bits >= 1 && bits <= 32) || (bits == 64 && shape->float_data);
}

/* Cells of any width, least significant bit first. */
static void unpack_bits(const uint8_t *from, unsigned first_bit, unsigned bits, size_t cells, unsigned cell_bytes,
                        uint8_t *to)
{
    from += first_bit / 8;
    uint64_t hold = (uint64_t)*from >> first_bit % 8;
    unsigned held = 8 - first_bit % 8;
    from++;
    for (size_t i = 0; i < cells; i++) {
        for (; held < bits; held += 8)
            hold |= (uint64_t)*from++ << held;
        uint64_t cell = hold & ((UINT64_C(1) << bits) - 1);
        hold >>= bits;
        held -= bits;
        for (unsigned k = 0; k < cell_bytes; k++)
            *to++ = (uint8_t)(cell >> 8 * k);
    }
}

/* Y1 Y2 Cb Cr for two pixels (PS3.3 C.7.6.3.1.2) to three samples each. */
static void expand_422(const uint8_t *from, size_t pixels, unsigned cell_bytes, uint8_t *to)
{
    for (size_t pair = 0; pair < pixels / 2; pair++, from += 4 * cell_bytes)
        for (unsigned i = 0; i < 2; i++) {
            memcpy(to, from + i * cell_bytes, cell_bytes);
            memcpy(to + cell_bytes, from + 2 * cell_bytes, 2 * cell_bytes);
            to += 3 * cell_bytes;
        }
}

static void expand_422_planes(const uint8_t *from, size_t pixels, unsigned cell_bytes, uint8_t *to)
{
    const uint8_t *cb = from + pixels * cell_bytes, *cr = cb + pixels / 2 * cell_bytes;
    for (size_t i = 0; i < pixels; i++, to += 3 * cell_bytes) {
        memcpy(to, from + i * cell_bytes, cell_bytes);
        memcpy(to + cell_bytes, cb + i / 2 * cell_bytes, cell_bytes);
        memcpy(to + 2 * cell_bytes, cr + i / 2 * cell_bytes, cell_bytes);
    }
}

static void interleave(const uint8_t *from, size_t pixels, unsigned samples, unsigned cell_bytes, uint8_t *to)
{
    for (unsigned s = 0; s < samples; s++)
        for (size_t i = 0; i < pixels; i++, from += cell_bytes)
            memcpy(to + (i * samples + s) * cell_bytes, from, cell_bytes);
}

static void swap_bufs(struct buf *a, struct buf *b)
{
    struct buf held = *a;
    *a = *b;
    *b = held;
}

/* Room for the decoded frame in frame->out. */
static struct error room(struct frame *frame, uint8_t **to)
{
    buf_clear(frame->out);
    *to = buf_reserve(frame->out, frame->layout.decoded_size);
    TRY(buf_error(frame->out));
    frame->out->size = frame->layout.decoded_size;
    return NO_ERROR;
}

bool native_is_422(const struct frame *frame, uint64_t bytes, uint64_t frames)
{
    const struct pixel_description *d = frame->description;
    return d->samples == 3 &&
           (d->photometric == PHOTOMETRIC_YBR_FULL_422 || d->photometric == PHOTOMETRIC_YBR_PARTIAL_422) &&
           bytes < (uint64_t)frame->layout.decoded_size * frames;
}

static struct error check_422(const struct frame *frame)
{
    const struct pixel_layout *layout = &frame->layout;
    if (frame->description->columns % 2 || layout->cell_bits != layout->cell_bytes * 8)
        return error_make(ERROR_MALFORMED, "4:2:2 samples with %u columns of %u bits", frame->description->columns,
                          layout->cell_bits);
    return NO_ERROR;
}

struct error native_decode(struct frame *frame)
{
    const struct pixel_layout *layout = &frame->layout;
    struct buf *raw = frame->raw;
    unsigned bytes = layout->cell_bytes;
    bool planes = frame->description->planar == 1 && frame->description->samples > 1;
    uint8_t *to;
    if (frame->description->encapsulated)
        frame->subsampled = native_is_422(frame, raw->size, 1);
    if (frame->subsampled)
        TRY(check_422(frame));
    size_t cells = frame->subsampled ? layout->pixels * 2 : layout->cells;
    uint64_t need = ((uint64_t)frame->first_bit + (uint64_t)cells * layout->cell_bits + 7) / 8;
    if (raw->size < need)
        return error_make(ERROR_MALFORMED, "pixel data of %zu bytes lack %llu bytes", raw->size,
                          (unsigned long long)(need - raw->size));
    if (layout->cell_bits != bytes * 8) {
        TRY(room(frame, &to));
        unpack_bits(raw->data, frame->first_bit, layout->cell_bits, cells, bytes, to);
        if (!planes)
            return NO_ERROR;
        swap_bufs(raw, frame->out);
    } else if (frame->first_bit) { /* the odd byte before a frame in 16-bit words */
        memmove(raw->data, raw->data + frame->first_bit / 8, raw->size - frame->first_bit / 8);
    }
    if (frame->subsampled) {
        TRY(room(frame, &to));
        (planes ? expand_422_planes : expand_422)(raw->data, layout->pixels, bytes, to);
    } else if (planes) {
        TRY(room(frame, &to));
        interleave(raw->data, layout->pixels, frame->description->samples, bytes, to);
    } else {
        swap_bufs(raw, frame->out);
        frame->out->size = layout->decoded_size;
    }
    return NO_ERROR;
}

struct error deflated_decode(struct frame *frame)
{
    struct error err;
    struct buf inflated;
    z_stream stream = {.next_in = frame->raw->data, .avail_in = (uInt)frame->raw->size};
    size_t size = (size_t)(((uint64_t)frame->layout.cells * frame->layout.cell_bits + 7) / 8);
    buf_init(&inflated);
    stream.next_out = buf_reserve(&inflated, size);
    stream.avail_out = (uInt)size;
    if (!stream.next_out || inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
        buf_release(&inflated);
        return error_make(ERROR_NO_MEMORY, "no memory to inflate a frame");
    }
    int status = inflate(&stream, Z_FINISH);
    inflated.size = size - stream.avail_out;
    inflateEnd(&stream);
    if (stream.avail_out && !(status == Z_STREAM_END && native_is_422(frame, inflated.size, 1))) {
        err = error_make(ERROR_MALFORMED, "the deflated frame lacks %u bytes%s%s", stream.avail_out,
                         status == Z_DATA_ERROR ? ": " : "", status == Z_DATA_ERROR && stream.msg ? stream.msg : "");
        goto out;
    }
    swap_bufs(frame->raw, &inflated);
    CHECK(native_decode(frame));
out:
    buf_release(&inflated);
    return err;
}
