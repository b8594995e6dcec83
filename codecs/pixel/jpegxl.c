/* What lives here: JPEG XL frames (ISO/IEC 18181), lossless, lossy and recompressed JPEG, decoded by libjxl, without
 * threads of its own.
 *
 * What is allocated follows from the image's and its first layer's dimensions; both are compared with the description
 * before a pixel is decoded, so layers are asked for uncoalesced. Samples of 16 bits come scaled to the whole range
 * (libjxl 0.7 knows no other way) and are scaled back, which is exact: the steps are 1 or more apart.
 */
#include "codecs/pixel/decoder.h"

#include <jxl/decode.h>
#include <string.h>

#define PRECISION_MAX 16

bool jpegxl_begins(const uint8_t start[STREAM_START])
{
    static const uint8_t box[STREAM_START] = {0, 0, 0, 12, 'J', 'X', 'L', ' ', 13, 10, 0x87, 10};
    return (start[0] == 0xff && start[1] == 0x0a) || memcmp(start, box, sizeof box) == 0;
}

/* Goes on to the next of the events subscribed to, which has to be `wanted`. */
static struct error advance(JxlDecoder *decoder, JxlDecoderStatus wanted)
{
    JxlDecoderStatus status = JxlDecoderProcessInput(decoder);
    if (status == wanted)
        return NO_ERROR;
    if (status == JXL_DEC_NEED_MORE_INPUT)
        return error_make(ERROR_MALFORMED, "the JPEG XL stream ends early");
    return error_make(ERROR_MALFORMED, "the JPEG XL stream is corrupt (%d instead of %d)", (int)status, (int)wanted);
}

static struct error begin(struct frame *frame, JxlDecoder *decoder, JxlBasicInfo *info)
{
    TRY(advance(decoder, JXL_DEC_BASIC_INFO));
    if (JxlDecoderGetBasicInfo(decoder, info) != JXL_DEC_SUCCESS)
        return error_make(ERROR_MALFORMED, "the JPEG XL stream does not say what it is");
    TRY(codec_agrees(frame, "JPEG XL", info->xsize, info->ysize, info->num_color_channels, info->bits_per_sample,
                     PRECISION_MAX));
    if (info->exponent_bits_per_sample)
        return error_make(ERROR_UNSUPPORTED, "JPEG XL of floating-point samples");
    TRY(advance(decoder, JXL_DEC_FRAME));
    JxlFrameHeader header;
    if (JxlDecoderGetFrameHeader(decoder, &header) != JXL_DEC_SUCCESS || header.layer_info.xsize != info->xsize ||
        header.layer_info.ysize != info->ysize)
        return error_make(ERROR_UNSUPPORTED, "a JPEG XL stream whose first layer is not the image");
    return advance(decoder, JXL_DEC_NEED_IMAGE_OUT_BUFFER);
}

/* From 0 to 255 or 65,535 to 0 to 2^precision - 1. */
static void scale_back(uint8_t *samples, size_t count, unsigned precision)
{
    uint32_t to = (UINT32_C(1) << precision) - 1;
    if (precision < 8)
        for (size_t i = 0; i < count; i++)
            samples[i] = (uint8_t)((samples[i] * to + 127) / 255);
    if (precision > 8 && precision < 16)
        for (size_t i = 0; i < count; i++) {
            uint16_t word;
            memcpy(&word, samples + 2 * i, sizeof word);
            word = (uint16_t)((word * to + 32767) / 65535);
            memcpy(samples + 2 * i, &word, sizeof word);
        }
}

struct error jpegxl_decode(struct frame *frame)
{
    struct error err = NO_ERROR;
    JxlBasicInfo info;
    struct buf samples;
    buf_init(&samples);
    memset(&info, 0, sizeof info);
    JxlDecoder *decoder = JxlDecoderCreate(NULL);
    if (!decoder)
        return error_make(ERROR_NO_MEMORY, "no memory to decode a JPEG XL stream");
    int events = JXL_DEC_BASIC_INFO | JXL_DEC_FRAME | JXL_DEC_FULL_IMAGE;
    if (JxlDecoderSubscribeEvents(decoder, events) != JXL_DEC_SUCCESS ||
        JxlDecoderSetCoalescing(decoder, JXL_FALSE) != JXL_DEC_SUCCESS ||
        JxlDecoderSetKeepOrientation(decoder, JXL_TRUE) != JXL_DEC_SUCCESS ||
        JxlDecoderSetInput(decoder, frame->raw->data, frame->raw->size) != JXL_DEC_SUCCESS) {
        err = error_make(ERROR_BROKEN, "libjxl refuses its settings");
        goto out;
    }
    JxlDecoderCloseInput(decoder);
    CHECK(begin(frame, decoder, &info));
    unsigned bytes = info.bits_per_sample > 8 ? 2 : 1;
    JxlPixelFormat format = {info.num_color_channels, bytes == 1 ? JXL_TYPE_UINT8 : JXL_TYPE_UINT16, JXL_NATIVE_ENDIAN,
                             0};
    size_t size = frame->layout.cells * bytes;
    uint8_t *to = buf_reserve(&samples, size);
    CHECK(buf_error(&samples));
    if (JxlDecoderSetImageOutBuffer(decoder, &format, to, size) != JXL_DEC_SUCCESS) {
        err = error_make(ERROR_MALFORMED, "the JPEG XL stream's layer is larger than the image");
        goto out;
    }
    CHECK(advance(decoder, JXL_DEC_FULL_IMAGE));
    scale_back(to, frame->layout.cells, info.bits_per_sample);
    CHECK(codec_cells(frame, &samples, info.bits_per_sample, info.bits_per_sample));
    /* What libjxl transforms itself, XYB and the Y Cb Cr of a JPEG, comes as RGB. */
    if (frame->description->samples == 3 &&
        (!info.uses_original_profile || strcmp(frame->description->syntax->uid, "1.2.840.10008.1.2.4.111") == 0))
        frame->photometric = PHOTOMETRIC_RGB;
out:
    JxlDecoderDestroy(decoder);
    buf_release(&samples);
    return err;
}
