/* What lives here: what the image codecs have in common: whether a stream is the one that the image promises, and how
 * its samples become cells. What does not: any library.
 */
#include "codecs/pixel/decoder.h"

#include <string.h>

bool codec_shows(const struct pixel_shape *shape)
{
    return !shape->float_data && shape->bits_allocated >= 1 && shape->bits_allocated <= 32;
}

struct error codec_agrees(const struct frame *frame, const char *codec, uint64_t columns, uint64_t rows,
                          unsigned components, unsigned precision, unsigned most)
{
    const struct pixel_description *d = frame->description;
    if (rows != d->rows || columns != d->columns || components != d->samples)
        return error_make(
            ERROR_MALFORMED, "a %s stream of %llu x %llu with %u components for an image of %u x %u with %u", codec,
            (unsigned long long)columns, (unsigned long long)rows, components, d->columns, d->rows, d->samples);
    if (precision < 1 || precision > most || (precision + 7) / 8 > frame->layout.cell_bytes)
        return error_make(ERROR_MALFORMED, "a %s stream of %u bits for samples of %u", codec, precision,
                          frame->layout.cell_bits);
    return NO_ERROR;
}

static uint32_t sample_at(const uint8_t *from, unsigned bytes)
{
    uint16_t word;
    if (bytes == 1)
        return *from;
    memcpy(&word, from, sizeof word);
    return word;
}

struct error codec_cells(struct frame *frame, struct buf *samples, unsigned precision, unsigned sign_bits)
{
    const struct pixel_layout *layout = &frame->layout;
    unsigned from_bytes = precision > 8 ? 2 : 1, to_bytes = layout->cell_bytes;
    bool sign = layout->is_signed && sign_bits && sign_bits < layout->bits;
    bool shift = layout->shift && precision <= layout->bits;
    bool same_order = from_bytes == 1 || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    if (from_bytes == to_bytes && same_order && !sign && !shift) {
        struct buf held = *frame->out;
        *frame->out = *samples;
        *samples = held;
        frame->out->size = layout->decoded_size;
        return NO_ERROR;
    }
    uint8_t *to = buf_reserve(frame->out, layout->decoded_size);
    TRY(buf_error(frame->out));
    for (size_t i = 0; i < layout->cells; i++, to += to_bytes) {
        uint32_t cell = codec_cell(layout, precision, sign_bits, sample_at(samples->data + i * from_bytes, from_bytes));
        for (unsigned k = 0; k < to_bytes; k++)
            to[k] = (uint8_t)(cell >> 8 * k);
    }
    frame->out->size = layout->decoded_size;
    return NO_ERROR;
}
