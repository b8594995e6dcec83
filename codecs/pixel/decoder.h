/* Layer: codecs/pixel, internal. The decoders, locating a frame, and the steps of rendering.
 *
 * All functions are pure but for `read` of the source; any thread. Sizes are those of a struct pixel_layout.
 */
#ifndef CODECS_PIXEL_DECODER_H
#define CODECS_PIXEL_DECODER_H

#include "codecs/pixel/description.h"

/* A frame's bytes as they stand, and what they become. */
struct frame {
    const struct pixel_description *description;
    struct pixel_layout layout;
    struct buf *raw;              /* the encoded bytes; a decoder may swap its memory with out's */
    unsigned first_bit;           /* native: where in raw the frame starts, 0 to 15 */
    bool subsampled;              /* native 4:2:2: two chroma samples for two pixels (PS3.3 C.7.6.3.1.2) */
    struct buf *out;              /* empty; decoded samples, interleaved by pixel, little endian */
    enum photometric photometric; /* what `out` holds: the description's unless the decoder knows better */
};

/* As many of a fragment's first bytes as tell whether a stream begins there. */
#define STREAM_START 12

struct decoder {
    const char *uid;
    bool big_endian_pixels; /* whatever the byte order of the data set is */
    bool (*shows)(const struct pixel_shape *shape);
    struct error (*decode)(struct frame *frame);
    bool (*begins)(const uint8_t start[STREAM_START]); /* a frame's stream; NULL: it does not show */
};

/* The row of a transfer syntax, or NULL. */
const struct decoder *decoder_of(const struct syntax *syntax);

struct error native_decode(struct frame *frame);
/* Uncompressed 4:2:2 holds four samples for two pixels; some writers label what holds all six. `bytes` are those of all
 * `frames`. */
bool native_is_422(const struct frame *frame, uint64_t bytes, uint64_t frames);
bool native_shows(const struct pixel_shape *shape);
struct error rle_decode(struct frame *frame);
bool rle_shows(const struct pixel_shape *shape);
struct error deflated_decode(struct frame *frame);
struct error jpeg_decode(struct frame *frame);
bool jpeg_shows(const struct pixel_shape *shape);
bool jpeg_begins(const uint8_t start[STREAM_START]); /* JPEG-LS as well */
struct error jpegls_decode(struct frame *frame);
struct error jpeg2000_decode(struct frame *frame);
bool jpeg2000_begins(const uint8_t start[STREAM_START]);
struct error jpegxl_decode(struct frame *frame);
bool jpegxl_begins(const uint8_t start[STREAM_START]);
/* What the three of them give: 1 to 32 bits allocated, no floating point. */
bool codec_shows(const struct pixel_shape *shape);

/* Whether a stream's dimensions and precision (bits a sample, at most `most`) are those that the image promises. Asked
 * before a codec is let loose on it: what a codec allocates follows from these. */
struct error codec_agrees(const struct frame *frame, const char *codec, uint64_t columns, uint64_t rows,
                          unsigned components, unsigned precision, unsigned most);
/* `samples` (one byte each up to a precision of 8, else two in the machine's order; interleaved) become frame->out's
 * cells; the buffers may change places. `sign_bits` is 0, or how many bits of a sample its sign stands on top of. */
struct error codec_cells(struct frame *frame, struct buf *samples, unsigned precision, unsigned sign_bits);
/* The cell of a codec's sample: one of fewer bits than Bits Stored brings its sign along, and what a codec gives are
 * stored bits, not cells, wherever it has no room for more (PS3.5 8.2). */
static inline uint32_t codec_cell(const struct pixel_layout *layout, unsigned precision, unsigned sign_bits,
                                  uint32_t sample)
{
    if (layout->is_signed && sign_bits && sign_bits < layout->bits && sample >> (sign_bits - 1) & 1)
        sample |= UINT32_MAX << sign_bits;
    return precision <= layout->bits ? sample << layout->shift : sample;
}

/* Fills frame->raw, first_bit and subsampled from the source. */
struct error frame_read(struct frame *frame, const struct pixel_source *source, uint32_t number);

/* One decoded sample as it stands, before mask and sign. */
static inline uint64_t cell_at(const uint8_t *cells, unsigned cell_bytes, size_t index)
{
    const uint8_t *p = cells + index * cell_bytes;
    return cell_bytes == 1 ? p[0] : cell_bytes == 2 ? get_u16(p) : cell_bytes == 4 ? get_u32(p) : get_u64(p);
}
/* Its stored value: overlay bits masked off, sign extended (PS3.5 8.1.1). */
static inline int64_t stored_value(const struct pixel_layout *layout, uint64_t cell)
{
    uint64_t mask = layout->bits >= 64 ? UINT64_MAX : (UINT64_C(1) << layout->bits) - 1;
    uint64_t value = cell >> layout->shift & mask;
    if (layout->is_signed && layout->bits < 64 && value >> (layout->bits - 1))
        value |= ~mask;
    return (int64_t)value;
}

/* Writes rows * (1 + columns) bytes: a zero before each row, grey values. */
struct error display_grey(const struct frame *frame, uint32_t number, uint8_t *lines);
/* Writes rows * (1 + 3 * columns) bytes: a zero before each row, R G B. */
struct error colour_rgb(const struct frame *frame, uint8_t *lines);
/* Whether a shape is shown in colour. */
bool colour_shown(const struct pixel_shape *shape);
/* YBR samples of 8 bits made RGB in place; other photometric interpretations are left. */
void colour_convert(enum photometric photometric, uint8_t *cells, size_t pixels);

/* Writes rows * (1 + 2 * columns) bytes: a zero before each row, stored values plus shown_offset(), big endian. */
void display_stored(const struct frame *frame, uint8_t *lines);
/* What is added to stored values of at most 16 bits to make them all positive. */
uint32_t shown_offset(const struct pixel_layout *layout);

/* A PNG of 8-bit grey, 8-bit RGB or 16-bit grey: png_begin reserves it at the end of `out`, tells where its
 * png_lines() bytes go (filter bytes included); png_finish cuts them into stored blocks and adds the checksums. */
enum png_format { PNG_GREY, PNG_RGB, PNG_GREY16 };
uint64_t png_lines(uint32_t columns, uint32_t rows, enum png_format format);
uint64_t png_size(uint64_t lines);
struct error png_begin(struct buf *out, uint32_t columns, uint32_t rows, enum png_format format, uint8_t **lines);
void png_finish(struct buf *out, uint32_t columns, uint32_t rows, enum png_format format);

/* The look-up table's entry for an index, clamped to its ends; `size` says whether entries are packed bytes. */
struct error lut_check(const struct pixel_lut *lut, const char *name);
static inline uint32_t lut_entry(const struct pixel_lut *lut, int64_t index)
{
    uint32_t at = index < 0 ? 0 : index >= lut->entries ? lut->entries - 1 : (uint32_t)index;
    return lut->size < (size_t)lut->entries * 2 ? lut->data[at] : get_u16(lut->data + 2 * (size_t)at);
}
static inline int64_t lut_first(const struct pixel_lut *lut, bool is_signed)
{
    return is_signed ? (int16_t)lut->first : lut->first;
}

#endif
