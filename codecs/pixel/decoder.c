/* What lives here: the table of decoders by transfer syntax, and the public calls that put the steps together:
 * locate (frames.c), decode (the row's function), show (display.c or colour.c), wrap (png.c).
 */
#include "codecs/pixel/decoder.h"

#include <string.h>

#define PS3 "1.2.840.10008.1.2"
#define NATIVE(uid, big)                                                                                               \
    {                                                                                                                  \
        uid, big, native_shows, native_decode, NULL                                                                    \
    }
#define JPEG(uid)                                                                                                      \
    {                                                                                                                  \
        uid, false, jpeg_shows, jpeg_decode, jpeg_begins                                                               \
    }
#define JPEG_LS(uid)                                                                                                   \
    {                                                                                                                  \
        uid, false, codec_shows, jpegls_decode, jpeg_begins                                                            \
    }
#define JPEG_2000(uid)                                                                                                 \
    {                                                                                                                  \
        uid, false, codec_shows, jpeg2000_decode, jpeg2000_begins                                                      \
    }
#define JPEG_XL(uid)                                                                                                   \
    {                                                                                                                  \
        uid, false, codec_shows, jpegxl_decode, jpegxl_begins                                                          \
    }

/* Syntaxes that are not here are kept and passed on as they are: video, references, hierarchical and arithmetic-coded
 * lossless JPEG (nothing at hand reads those), all that the reader does not know. */
static const struct decoder decoders[] = {
    NATIVE(PS3, false),
    NATIVE(PS3 ".1", false),
    NATIVE(PS3 ".1.98", false), /* encapsulated uncompressed */
    NATIVE(PS3 ".1.99", false), /* the source inflates */
    NATIVE(PS3 ".2", false),
    NATIVE("1.2.840.113619.5.2", true),  /* GE: little endian but for Pixel Data */
    NATIVE("1.2.840.10008.1.20", false), /* Papyrus 3 */
    {PS3 ".5", false, rle_shows, rle_decode, NULL},
    {PS3 ".8.1", false, native_shows, deflated_decode, NULL}, /* each frame deflated */
    JPEG(PS3 ".4.50"),
    JPEG(PS3 ".4.51"),
    JPEG(PS3 ".4.52"), /* extended, arithmetic-coded: retired, as the five below */
    JPEG(PS3 ".4.53"), /* spectral selection */
    JPEG(PS3 ".4.54"),
    JPEG(PS3 ".4.55"), /* full progression */
    JPEG(PS3 ".4.56"),
    JPEG(PS3 ".4.57"),
    JPEG(PS3 ".4.70"),
    JPEG_LS(PS3 ".4.80"),
    JPEG_LS(PS3 ".4.81"),
    JPEG_2000(PS3 ".4.90"),
    JPEG_2000(PS3 ".4.91"),
    JPEG_2000(PS3 ".4.92"), /* part 2: the components of one frame, not frames as components */
    JPEG_2000(PS3 ".4.93"),
    JPEG_XL(PS3 ".4.110"),
    JPEG_XL(PS3 ".4.111"),
    JPEG_XL(PS3 ".4.112"),
    JPEG_2000(PS3 ".4.201"), /* HTJ2K */
    JPEG_2000(PS3 ".4.202"),
    JPEG_2000(PS3 ".4.203"),
};

const struct decoder *decoder_of(const struct syntax *syntax)
{
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
        if (strcmp(decoders[i].uid, syntax->uid) == 0)
            return &decoders[i];
    return NULL;
}

bool colour_shown(const struct pixel_shape *shape)
{
    return shape->samples == 3 || shape->photometric == PHOTOMETRIC_PALETTE;
}

static uint64_t shape_lines(const struct pixel_shape *shape)
{
    return png_lines(shape->columns, shape->rows, colour_shown(shape) ? PNG_RGB : PNG_GREY);
}

bool pixel_can_render(const struct syntax *syntax, const struct pixel_shape *shape)
{
    const struct decoder *decoder = decoder_of(syntax);
    if (!decoder || !shape->rows || !shape->columns || (shape->samples != 1 && shape->samples != 3))
        return false;
    if (shape->photometric == PHOTOMETRIC_PALETTE &&
        (shape->samples != 1 || shape->bits_allocated > 16 || shape->float_data))
        return false;
    if (shape->float_data && (shape->samples != 1 || (shape->bits_allocated != 32 && shape->bits_allocated != 64)))
        return false;
    unsigned bits = shape->bits_allocated;
    unsigned cell_bytes = bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
    if (shape_lines(shape) > PIXEL_FRAME_MAX ||
        (uint64_t)shape->rows * shape->columns * shape->samples * cell_bytes > PIXEL_FRAME_MAX)
        return false;
    return decoder->shows(shape);
}

uint64_t pixel_png_size(const struct pixel_shape *shape)
{
    return png_size(shape_lines(shape));
}

bool pixel_can_render16(const struct syntax *syntax, const struct pixel_shape *shape)
{
    return !colour_shown(shape) && !shape->float_data && shape->bits_allocated <= 16 &&
           png_lines(shape->columns, shape->rows, PNG_GREY16) <= PIXEL_FRAME_MAX && pixel_can_render(syntax, shape);
}

uint64_t pixel_png16_size(const struct pixel_shape *shape)
{
    return png_size(png_lines(shape->columns, shape->rows, PNG_GREY16));
}

/* `out` holds the decoded samples; frame->raw is gone. */
static struct error decode(struct frame *frame, const struct pixel_description *description,
                           const struct pixel_source *source, uint32_t number, struct buf *out)
{
    struct error err;
    struct buf raw;
    buf_init(&raw);
    memset(frame, 0, sizeof *frame);
    buf_clear(out);
    frame->description = description;
    frame->raw = &raw;
    frame->out = out;
    frame->photometric = description->photometric;
    CHECK(description_layout(description, &frame->layout));
    if (number >= frame->layout.frames) {
        err = error_make(ERROR_NOT_FOUND, "no frame %u: the image has %u", number + 1, frame->layout.frames);
        goto out;
    }
    if (!description->encapsulated)
        spares_take(source->spares, frame->layout.decoded_size, &raw);
    CHECK(frame_read(frame, source, number));
    spares_take(source->spares, frame->layout.decoded_size, out);
    CHECK(description->decoder->decode(frame));
    CHECK(buf_error(out));
    if (out->size != frame->layout.decoded_size)
        err = error_make(ERROR_BROKEN, "decoding gave %zu bytes instead of %zu", out->size, frame->layout.decoded_size);
out:
    frame->raw = NULL;
    spares_give(source->spares, &raw);
    return err.code ? error_context(err, "frame %u", number + 1) : err;
}

struct error pixel_decode(const struct pixel_description *description, const struct pixel_source *source,
                          uint32_t number, struct buf *out)
{
    struct frame frame;
    return decode(&frame, description, source, number, out);
}

static struct error render(const struct pixel_description *description, const struct pixel_source *source,
                           uint32_t number, enum png_format format, struct buf *out)
{
    struct error err;
    struct frame frame;
    struct buf cells;
    uint8_t *lines;
    size_t before = out->size;
    uint32_t columns = description->columns, rows = description->rows;
    buf_init(&cells);
    CHECK(decode(&frame, description, source, number, &cells));
    spares_take(source->spares, (size_t)png_size(png_lines(columns, rows, format)), out);
    CHECK(png_begin(out, columns, rows, format, &lines));
    if (format == PNG_GREY16)
        display_stored(&frame, lines);
    else
        CHECK(format == PNG_RGB ? colour_rgb(&frame, lines) : display_grey(&frame, number, lines));
    png_finish(out, columns, rows, format);
out:
    if (err.code)
        out->size = before;
    spares_give(source->spares, &cells);
    return err;
}

struct error pixel_render_png(const struct pixel_description *description, const struct pixel_source *source,
                              uint32_t number, struct buf *out)
{
    struct pixel_shape shape;
    pixel_description_shape(description, &shape);
    return render(description, source, number, colour_shown(&shape) ? PNG_RGB : PNG_GREY, out);
}

struct error pixel_render_png16(const struct pixel_description *description, const struct pixel_source *source,
                                uint32_t number, struct buf *out)
{
    struct pixel_shape shape;
    pixel_description_shape(description, &shape);
    if (!pixel_can_render16(description->syntax, &shape))
        return error_make(ERROR_UNSUPPORTED, "only grey images of at most 16 bits have a 16-bit PNG");
    return render(description, source, number, PNG_GREY16, out);
}

struct error pixel_canonical(const struct pixel_description *description, const struct pixel_source *source,
                             uint32_t number, struct buf *out)
{
    struct frame frame;
    TRY(decode(&frame, description, source, number, out));
    const struct pixel_layout *layout = &frame.layout;
    if (description->float_data)
        return NO_ERROR;
    if (layout->bits != layout->cell_bytes * 8)
        for (size_t i = 0; i < layout->cells; i++) {
            uint64_t value = (uint64_t)stored_value(layout, cell_at(out->data, layout->cell_bytes, i));
            for (unsigned k = 0; k < layout->cell_bytes; k++)
                out->data[i * layout->cell_bytes + k] = (uint8_t)(value >> 8 * k);
        }
    if (description->samples == 3 && layout->cell_bytes == 1)
        colour_convert(frame.photometric, out->data, layout->pixels);
    return NO_ERROR;
}
