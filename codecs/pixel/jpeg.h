/* Layer: codecs/pixel, internal. JPEG streams: their markers, and the two libraries that decode them. */
#ifndef CODECS_PIXEL_JPEG_H
#define CODECS_PIXEL_JPEG_H

#include "codecs/base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the markers before the first scan say (ISO/IEC 10918-1 B.2). */
struct jpeg_header {
    unsigned precision, rows, columns, components;
    unsigned process; /* the n of SOFn: 0 baseline, 1 extended, 2 progressive, 3 lossless, 9 and 10 arithmetic-coded */
    bool lossless;    /* SOF3 */
    bool jfif;        /* an APP0 'JFIF': components are Y Cb Cr */
    int adobe;        /* the transform of an APP14 'Adobe', -1: none */
    bool rgb_ids;     /* components are called 'R' 'G' 'B' */
    bool subsampled;  /* the first component has more samples than the others */
    unsigned scans;   /* in the whole stream */
};

struct error jpeg_header_read(struct jpeg_header *header, const uint8_t *bytes, size_t size);

/* Both decode a frame without any colour conversion to `out_size` bytes: components interleaved, one byte each up to a
 * precision of 8, else two, in the machine's byte order. The caller has compared the header's dimensions with what it
 * gives room for. A stream that ends early or is corrupt is ERROR_MALFORMED. Any thread. */

/* libjpeg-turbo: 8 bits, all processes but the lossless ones. */
struct error jpeg8_decode(const uint8_t *bytes, size_t size, uint8_t *out, size_t out_size);
/* DCMTK: whatever else there is. */
struct error jpeg_decode_raw(uint8_t *bytes, size_t size, unsigned precision, uint8_t *out, size_t out_size);

#ifdef __cplusplus
}
#endif
#endif
