/* What lives here: JPEG frames (ISO/IEC 10918-1): the markers, and what the components mean. Decoding is libjpeg-turbo's
 * (jpeg8.c) where it can, else DCMTK's (jpeg_dcmtk.cc), both asked for components as they are.
 *
 * The markers are read first, so that a header cannot make the library allocate what the description does not promise,
 * and so that the colours come out right: labels are often wrong, the stream is not (see components()).
 */
#include "codecs/pixel/jpeg.h"
#include "codecs/pixel/decoder.h"

#include <string.h>

#define PRECISION_MIN 2
#define PRECISION_MAX 16
#define SCANS_MAX 256 /* a progressive stream repeats work for the whole image with each scan */
#define MARKER_SOI 0xd8
#define MARKER_EOI 0xd9
#define MARKER_SOS 0xda
#define MARKER_APP0 0xe0
#define MARKER_APP14 0xee

bool jpeg_shows(const struct pixel_shape *shape)
{
    return !shape->float_data && (shape->bits_allocated == 8 || shape->bits_allocated == 12 ||
                                  shape->bits_allocated == 16 || shape->bits_allocated == 32);
}

static bool is_frame_header(unsigned marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static void read_frame_header(struct jpeg_header *header, unsigned marker, const uint8_t *body, size_t size)
{
    if (size < 6 || size < 6 + 3 * (size_t)body[5])
        return;
    header->precision = body[0];
    header->rows = get_u16be(body + 1);
    header->columns = get_u16be(body + 3);
    header->components = body[5];
    header->process = marker - 0xc0;
    header->lossless = header->process == 3;
    const uint8_t *first = body + 6;
    if (header->components == 3) {
        header->rgb_ids = first[0] == 'R' && first[3] == 'G' && first[6] == 'B';
        header->subsampled = first[1] != first[4] || first[1] != first[7];
    }
}

struct error jpeg_header_read(struct jpeg_header *header, const uint8_t *bytes, size_t size)
{
    memset(header, 0, sizeof *header);
    header->adobe = -1;
    if (size < 4 || bytes[0] != 0xff || bytes[1] != MARKER_SOI)
        return error_make(ERROR_MALFORMED, "the frame does not begin as a JPEG stream");
    size_t at = 2;
    while (at + 4 <= size) {
        if (bytes[at] != 0xff || bytes[at + 1] == 0xff || bytes[at + 1] == 0) {
            at++; /* the library, too, passes over what is no marker */
            continue;
        }
        unsigned marker = bytes[at + 1];
        if (marker == 0x01 || (marker >= 0xd0 && marker <= MARKER_SOI)) {
            at += 2;
            continue;
        }
        size_t length = get_u16be(bytes + at + 2);
        if (marker == MARKER_EOI || length < 2 || length > size - at - 2)
            break;
        const uint8_t *body = bytes + at + 4;
        if (marker == MARKER_SOS && header->components)
            goto scans;
        if (is_frame_header(marker) && !header->components)
            read_frame_header(header, marker, body, length - 2);
        else if (marker == MARKER_APP0 && length >= 7 && memcmp(body, "JFIF", 5) == 0)
            header->jfif = true;
        else if (marker == MARKER_APP14 && length >= 14 && memcmp(body, "Adobe", 5) == 0)
            header->adobe = body[11];
        at += 2 + length;
    }
    return error_make(ERROR_MALFORMED, "the JPEG stream has no frame header and scan");
scans:
    for (; at + 1 < size; at++) {
        const uint8_t *next = memchr(bytes + at, 0xff, size - at - 1);
        if (!next)
            break;
        at = (size_t)(next - bytes);
        header->scans += bytes[at + 1] == MARKER_SOS;
    }
    return NO_ERROR;
}

/* What three components mean. Names, the Adobe marker, subsampling (of chroma: nobody subsamples red) and JFIF say it
 * without doubt, in this order; else the photometric interpretation does (PS3.5 8.2.1). Lossless streams say it by
 * names or Adobe marker alone: JFIF knows no lossless. */
static enum photometric components(const struct jpeg_header *header, enum photometric stated)
{
    if (header->rgb_ids || header->adobe == 0)
        return PHOTOMETRIC_RGB;
    if (header->adobe == 1 || (!header->lossless && (header->subsampled || header->jfif)))
        return PHOTOMETRIC_YBR_FULL;
    return stated;
}

bool jpeg_begins(const uint8_t start[STREAM_START])
{
    return start[0] == 0xff && start[1] == MARKER_SOI && start[2] == 0xff;
}

static bool is_turbo(const struct jpeg_header *header)
{
    static const uint8_t processes[] = {0, 1, 2, 9, 10};
    return header->precision == 8 && memchr(processes, (int)header->process, sizeof processes);
}

struct error jpeg_decode(struct frame *frame)
{
    struct error err;
    struct jpeg_header header;
    struct buf *raw = frame->raw, decoded;
    buf_init(&decoded);
    CHECK(jpeg_header_read(&header, raw->data, raw->size));
    CHECK(codec_agrees(frame, "JPEG", header.columns, header.rows, header.components, header.precision, PRECISION_MAX));
    if (header.precision < PRECISION_MIN || header.scans > SCANS_MAX) {
        err = error_make(ERROR_MALFORMED, "a JPEG stream of %u bits in %u scans", header.precision, header.scans);
        goto out;
    }
    size_t size = frame->layout.cells * (header.precision > 8 ? 2 : 1);
    uint8_t *to = buf_reserve(&decoded, size);
    CHECK(buf_error(&decoded));
    CHECK(is_turbo(&header) ? jpeg8_decode(raw->data, raw->size, to, size)
                            : jpeg_decode_raw(raw->data, raw->size, header.precision, to, size));
    CHECK(codec_cells(frame, &decoded, header.precision, 0));
    if (frame->description->samples == 3)
        frame->photometric = components(&header, frame->photometric);
out:
    buf_release(&decoded);
    return err;
}
