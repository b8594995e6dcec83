/* What lives here: JPEG-LS frames (ISO/IEC 14495-1), lossless and near-lossless, decoded by CharLS. It undoes the colour
 * transformations that HP's encoders name in an APP8 marker; what the components then mean is the label's business
 * (PS3.5 8.2.3).
 *
 * CharLS takes no memory but two lines of samples; what it writes goes where we say. CharLS 2.4 never returns from some
 * streams that end early: an end marker is put behind each, where it does stop.
 */
#include "codecs/pixel/decoder.h"

#include <charls/charls.h>

#define PRECISION_MAX 16

static struct error failed(charls_jpegls_errc status)
{
    if (status == CHARLS_JPEGLS_ERRC_NOT_ENOUGH_MEMORY)
        return error_make(ERROR_NO_MEMORY, "no memory to decode a JPEG-LS stream");
    return error_make(ERROR_MALFORMED, "JPEG-LS: %s", charls_get_error_message(status));
}

#define CHECK_CHARLS(call)                                                                                             \
    do {                                                                                                               \
        charls_jpegls_errc check_status = (call);                                                                      \
        if (check_status != CHARLS_JPEGLS_ERRC_SUCCESS) {                                                              \
            err = failed(check_status);                                                                                \
            goto out;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Component by component to pixel by pixel. */
static struct error interleave(struct buf *samples, size_t pixels, unsigned components, unsigned bytes)
{
    struct buf planes = *samples;
    buf_init(samples);
    uint8_t *to = buf_reserve(samples, pixels * components * bytes);
    const uint8_t *from = planes.data;
    for (unsigned c = 0; to && c < components; c++)
        for (size_t i = 0; i < pixels; i++, from += bytes)
            for (unsigned k = 0; k < bytes; k++)
                to[(i * components + c) * bytes + k] = from[k];
    buf_release(&planes);
    return buf_error(samples);
}

struct error jpegls_decode(struct frame *frame)
{
    struct error err;
    charls_frame_info info = {0};
    charls_interleave_mode mode = CHARLS_INTERLEAVE_MODE_NONE;
    struct buf samples;
    static const uint8_t end_of_image[2] = {0xff, 0xd9};
    buf_init(&samples);
    buf_append(frame->raw, end_of_image, sizeof end_of_image);
    TRY(buf_error(frame->raw));
    charls_jpegls_decoder *decoder = charls_jpegls_decoder_create();
    if (!decoder)
        return error_make(ERROR_NO_MEMORY, "no memory to decode a JPEG-LS stream");
    CHECK_CHARLS(charls_jpegls_decoder_set_source_buffer(decoder, frame->raw->data, frame->raw->size));
    CHECK_CHARLS(charls_jpegls_decoder_read_header(decoder));
    CHECK_CHARLS(charls_jpegls_decoder_get_frame_info(decoder, &info));
    unsigned components = (unsigned)info.component_count, precision = (unsigned)info.bits_per_sample;
    CHECK(codec_agrees(frame, "JPEG-LS", info.width, info.height, components, precision, PRECISION_MAX));
    CHECK_CHARLS(charls_jpegls_decoder_get_interleave_mode(decoder, &mode));
    unsigned bytes = precision > 8 ? 2 : 1;
    size_t size = frame->layout.cells * bytes;
    uint8_t *to = buf_reserve(&samples, size);
    CHECK(buf_error(&samples));
    CHECK_CHARLS(charls_jpegls_decoder_decode_to_buffer(decoder, to, size, 0));
    if (components > 1 && mode == CHARLS_INTERLEAVE_MODE_NONE)
        CHECK(interleave(&samples, frame->layout.pixels, components, bytes));
    err = codec_cells(frame, &samples, precision, precision);
out:
    charls_jpegls_decoder_destroy(decoder);
    buf_release(&samples);
    return err;
}
