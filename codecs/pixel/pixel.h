/* Layer: codecs/pixel. Pixel data: what it is, decoding a frame, and the PNG that shows it.
 *
 * A new transfer syntax's decoder is a row of the table in pixel/decoder.c and a file. Nothing is decoded to learn a
 * size. Decoding is bounded: at most PIXEL_FRAME_MAX bytes a frame, time linear in input and output; ERROR_MALFORMED
 * names what is wrong with the stream. Any thread.
 */
#ifndef CODECS_PIXEL_PIXEL_H
#define CODECS_PIXEL_PIXEL_H

#include "codecs/base/spares.h"
#include "codecs/dicom/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PIXEL_FRAME_MAX (UINT64_C(1) << 30)
#define PIXEL_CAPTURE                                                                                                  \
    (UINT32_C(1) << 18)        /* what a reader that feeds a description has to capture: a look-up table has           \
                                  at most 65,536 entries of 16 bits; longer offset tables are done without */
#define PIXEL_RENDER_VERSION 2 /* increased by any change that alters a rendered byte */

enum photometric {
    PHOTOMETRIC_UNKNOWN,
    PHOTOMETRIC_MONOCHROME1,
    PHOTOMETRIC_MONOCHROME2,
    PHOTOMETRIC_PALETTE,
    PHOTOMETRIC_RGB,
    PHOTOMETRIC_YBR_FULL,
    PHOTOMETRIC_YBR_FULL_422,
    PHOTOMETRIC_YBR_PARTIAL_420,
    PHOTOMETRIC_YBR_ICT,
    PHOTOMETRIC_YBR_RCT,
    PHOTOMETRIC_YBR_PARTIAL_422,
};

/* What is needed to show an image without its header; small, fixed, part of the index row of each instance. */
struct pixel_shape {
    uint16_t rows, columns;
    uint16_t samples;        /* per pixel, 1 or 3 (4 in retired CMYK/ARGB) */
    uint16_t bits_allocated; /* 0: no pixel data */
    uint32_t frames;         /* >= 1 */
    uint32_t representative; /* Representative Frame Number - 1, else 0 */
    uint8_t photometric;     /* enum photometric */
    bool float_data;         /* (7FE0,0008) or (7FE0,0009) */
};

/* Everything that rendering wants: a dataset_handler collects it from the tokens of a deep or shallow reader (a shallow
 * one does not see modality and VOI look-up tables and functional groups). Owns the look-up tables that it copies;
 * the reader's capture_max is to be PIXEL_CAPTURE or more. */
struct pixel_description;

struct error pixel_description_new(struct pixel_description **description, const struct syntax *syntax);
void pixel_description_free(struct pixel_description *description);
struct error pixel_description_token(void *description, const struct dataset_token *token);
void pixel_description_shape(const struct pixel_description *description, struct pixel_shape *shape);

/* Where the value of Pixel Data stands: bytes [0, length) of the value field, delivered by `read` (which must fill all
 * `size` bytes or fail). For encapsulated data the value field starts with the basic offset table's item. */
struct pixel_source {
    struct error (*read)(void *context, uint64_t offset, void *to, size_t size);
    void *context;
    uint64_t length;
    struct spares *spares; /* where decoding has its large buffers from; may be NULL */
};

/* Whether there is a PNG for this shape in this syntax: a decoder exists, the layout is one that is shown, and the
 * frame stays below PIXEL_FRAME_MAX. */
bool pixel_can_render(const struct syntax *syntax, const struct pixel_shape *shape);

/* One frame (0-based), decoded: native little-endian samples as stored (after decompression), interleaved by pixel,
 * bits_allocated rounded up to 8, 16, 32 or 64; colour decompressed by a codec that converts is RGB already.
 * `out` is cleared first. */
struct error pixel_decode(const struct pixel_description *description, const struct pixel_source *source,
                          uint32_t frame, struct buf *out);

/* The size of the PNG of a shape (one frame): a function of rows, columns and grey or colour alone. */
uint64_t pixel_png_size(const struct pixel_shape *shape);
/* The PNG of one frame, exactly pixel_png_size() bytes, appended to `out`: 8-bit grey or RGB, filter 0, stored deflate
 * blocks (RFC 1951 3.2.4). Grey: modality LUT or rescale, VOI LUT or the first window (PS3.3 C.11), else the frame's
 * own range without padding values; MONOCHROME1 inverted. Colour: palette, YBR converted. */
struct error pixel_render_png(const struct pixel_description *description, const struct pixel_source *source,
                              uint32_t frame, struct buf *out);

/* The 16-bit grey PNG of one frame, exactly pixel_png16_size() bytes, appended to `out`: stored values (PS3.5 8.1.1)
 * plus struct pixel_shown's offset, neither rescaled nor windowed nor inverted. Of grey images with integers of at most
 * 16 bits allocated. */
bool pixel_can_render16(const struct syntax *syntax, const struct pixel_shape *shape);
uint64_t pixel_png16_size(const struct pixel_shape *shape);
struct error pixel_render_png16(const struct pixel_description *description, const struct pixel_source *source,
                                uint32_t frame, struct buf *out);

/* How a grey frame comes to be shown, and how to get from the 16-bit PNG back to units: (sample - offset) * slope +
 * intercept, unless there is a modality look-up table. */
struct pixel_shown {
    uint32_t offset; /* 2^(Bits Stored - 1) where samples are signed, else 0 */
    double slope, intercept;
    bool modality_table;
    enum { PIXEL_SHOWN_BY_RANGE, PIXEL_SHOWN_BY_WINDOW, PIXEL_SHOWN_BY_TABLE } by;
    double center, width; /* of a window */
    const char *function; /* VOI LUT Function of a window, a constant; else NULL */
};
struct error pixel_shown(const struct pixel_description *description, uint32_t frame, struct pixel_shown *shown);

/* Decodes a frame to the values that two encodings of the same image share (unsigned or signed samples in RGB or
 * grey): for comparing variants. ERROR_UNSUPPORTED when this syntax has no decoder. */
struct error pixel_canonical(const struct pixel_description *description, const struct pixel_source *source,
                             uint32_t frame, struct buf *out);

#ifdef __cplusplus
}
#endif
#endif
