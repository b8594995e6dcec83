/* What lives here: DCMTK's JPEG decompressors (its builds of the IJG library for 8, 12 and 16 bits: baseline, extended,
 * spectral selection, progressive, lossless with any predictor), one frame at a time.
 *
 * They are called directly, not through DcmCodec: nothing is registered, so nothing is global, and no data set has to
 * be made up. EDC_never keeps the components as they are; what they mean is jpeg.c's business. The one parameter object
 * is constant; a decompressor lives for one call.
 */
#include "codecs/pixel/jpeg.h"

#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmjpeg/djcparam.h"
#include "dcmtk/dcmjpeg/djdijg12.h"
#include "dcmtk/dcmjpeg/djdijg16.h"
#include "dcmtk/dcmjpeg/djdijg8.h"
#include "dcmtk/dcmjpeg/djutils.h"

#include <memory>
#include <new>

namespace
{

const DJCodecParameter &parameters()
{
    /* A stream's warnings would otherwise be printed by DCMTK's logger, whoever sent it. */
    static const DJCodecParameter components_as_they_are = []() {
        DCM_dcmjpegLogger.setLogLevel(OFLogger::OFF_LOG_LEVEL);
        return DJCodecParameter(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_colorByPixel);
    }();
    return components_as_they_are;
}

std::unique_ptr<DJDecoder> decompressor(unsigned precision)
{
    const DJCodecParameter &with = parameters();
    if (precision <= 8)
        return std::unique_ptr<DJDecoder>(new DJDecompressIJG8Bit(with, OFFalse));
    if (precision <= 12)
        return std::unique_ptr<DJDecoder>(new DJDecompressIJG12Bit(with, OFFalse));
    return std::unique_ptr<DJDecoder>(new DJDecompressIJG16Bit(with, OFFalse));
}

struct error decode(uint8_t *bytes, size_t size, unsigned precision, uint8_t *out, size_t out_size)
{
    std::unique_ptr<DJDecoder> decoder = decompressor(precision);
    OFCondition condition = decoder->init();
    if (condition.good())
        condition = decoder->decode(bytes, static_cast<Uint32>(size), out, static_cast<Uint32>(out_size), OFFalse);
    if (condition == EJ_Suspension)
        return error_make(ERROR_MALFORMED, "the JPEG stream of %zu bytes ends early", size);
    if (condition.bad())
        return error_make(ERROR_MALFORMED, "JPEG: %s", condition.text());
    return NO_ERROR;
}

} // namespace

extern "C" struct error jpeg_decode_raw(uint8_t *bytes, size_t size, unsigned precision, uint8_t *out, size_t out_size)
{
    try {
        return decode(bytes, size, precision, out, out_size);
    } catch (const std::bad_alloc &) {
        return error_make(ERROR_NO_MEMORY, "no memory to decode a JPEG stream");
    }
}
