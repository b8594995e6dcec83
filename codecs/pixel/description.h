/* Layer: codecs/pixel, internal. What pixel_description_token() has collected, and derived sizes.
 *
 * Filled by description.c alone; read by everything else in this folder. Numbers are as the data set states them until
 * description_layout() has judged them.
 */
#ifndef CODECS_PIXEL_DESCRIPTION_H
#define CODECS_PIXEL_DESCRIPTION_H

#include "codecs/pixel/pixel.h"

#define PIXEL_LUT_ENTRIES_MAX 65536
#define PIXEL_FUNCTIONAL_GROUPS_MAX (UINT32_C(1) << 20)

struct decoder;

enum voi_function { VOI_LINEAR, VOI_LINEAR_EXACT, VOI_SIGMOID };

/* A look-up table as it stands (PS3.3 C.11.1.1.1, C.7.6.3.1.5): descriptor and data. */
struct pixel_lut {
    bool has_descriptor;
    bool descriptor_signed; /* the descriptor's VR is SS */
    bool lost;              /* the data were longer than the reader captured */
    bool segmented;         /* `data` is segmented (PS3.3 C.7.9.2) */
    uint16_t first;         /* the second value's bits; signed or not as the samples are */
    uint32_t entries;       /* 1 to 65536 */
    unsigned bits;          /* of an entry */
    uint8_t *data;          /* little-endian words, or packed bytes when there are only `entries` of them; or NULL */
    size_t size;
};

/* The part of the display that enhanced objects state per frame. */
struct frame_display {
    bool has_intercept, has_slope, has_center, has_width, has_function;
    double intercept, slope;
    double center, width;
    enum voi_function function;
};

struct pixel_description {
    const struct syntax *syntax;
    const struct decoder *decoder; /* NULL: this syntax is not decoded */

    /* The Image Pixel Module (PS3.3 C.7.6.3). */
    uint16_t rows, columns, samples, bits_allocated, bits_stored, high_bit;
    uint16_t representation; /* 1: two's complement */
    uint16_t planar;
    bool has_high_bit;
    int64_t frames, representative;
    enum photometric photometric;
    bool pixel_data; /* there is a Pixel Data element of any of the three kinds, not empty */
    bool float_data;
    bool encapsulated; /* it is fragments, whatever the syntax says */
    bool big_endian;
    bool pixel_words; /* its VR is OW: 16-bit words in big-endian syntaxes */
    bool has_padding, has_padding_limit, has_float_padding, has_float_padding_limit;
    int64_t padding, padding_limit;
    double float_padding, float_padding_limit;

    /* Display (PS3.3 C.11). */
    bool inverse_shape; /* Presentation LUT Shape is INVERSE */
    struct pixel_lut modality, voi, palette[3];
    struct frame_display image, shared, *per_frame;
    uint32_t per_frame_count;
    bool per_frame_lost; /* more items than PIXEL_FUNCTIONAL_GROUPS_MAX */

    /* The Extended Offset Table (PS3.3 C.7.6.3.1.8). */
    uint64_t *offsets;
    size_t offset_count;

    /* Where the reader stands: the sequences around the next token, and the item of each. */
    unsigned level;
    uint32_t path[2];
    uint32_t item[2];
};

/* Sizes that follow from the description; all products are bounded by PIXEL_FRAME_MAX. */
struct pixel_layout {
    unsigned cell_bytes; /* of a decoded sample: 1, 2, 4 or 8 */
    unsigned cell_bits;  /* of an encoded sample: Bits Allocated */
    unsigned bits;       /* stored, 1 to cell_bits */
    unsigned shift;      /* of the lowest stored bit */
    bool is_signed;
    size_t pixels, cells; /* of a frame; cells = pixels * samples */
    size_t decoded_size;  /* cells * cell_bytes */
    uint32_t frames;
};

/* ERROR_MALFORMED or ERROR_UNSUPPORTED with the attribute that is wrong. */
struct error description_layout(const struct pixel_description *d, struct pixel_layout *layout);

#endif
