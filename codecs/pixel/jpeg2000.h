/* Layer: codecs/pixel, internal. The markers of a JPEG 2000 codestream (ISO/IEC 15444-1 A), read before a decoder may.
 *
 * Pure; any thread.
 */
#ifndef CODECS_PIXEL_JPEG2000_H
#define CODECS_PIXEL_JPEG2000_H

#include "codecs/base/buf.h"

struct jpeg2000_header {
    uint32_t columns, rows;         /* of the image area */
    unsigned components, precision; /* the most bits of any */
    bool subsampled;
    bool transformed; /* by the reversible or irreversible transformation to RGB (G.2, G.3); part 2 has others */
    uint32_t tile_columns, tile_rows; /* of the largest tile */
    uint64_t tiles, precincts;        /* precincts: the most of any resolution */
    unsigned layers, resolutions;
    bool ht, not_ht; /* there are high-throughput code-blocks; others */
    size_t size;     /* of the stream that a decoder is to see */
};

/* Steps into a JP2 file; anything else stays as it is. */
void jpeg2000_codestream(const uint8_t **bytes, size_t *size);

/* ERROR_MALFORMED also when decoding would take memory out of all proportion to the image, ERROR_UNSUPPORTED also when
 * OpenJPEG would not survive it. */
struct error jpeg2000_header_read(struct jpeg2000_header *header, const uint8_t *bytes, size_t size);

#endif
