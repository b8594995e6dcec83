/* Images made by hand for the pixel tests: attributes become tokens, pixel data stand in memory. */
#ifndef TESTS_UNIT_PIXEL_IMAGE_H
#define TESTS_UNIT_PIXEL_IMAGE_H

#include "codecs/pixel/pixel.h"

#include "check.h"

#include <stdlib.h>

struct image {
    struct pixel_description *description;
    struct buf pixels; /* the value of Pixel Data */
    struct buf out;    /* of the last call */
};

static inline void image_token(struct image *image, enum dataset_kind kind, uint32_t tag, const char *vr,
                               const void *value, uint64_t length)
{
    struct dataset_token token = {.kind = kind, .tag = tag, .length = length};
    memcpy(token.vr, vr, strlen(vr) + 1);
    uint8_t *copy = NULL;
    if (value) { /* with a NUL behind, and of its exact size for the address sanitizer */
        copy = malloc((size_t)length + 1);
        memcpy(copy, value, (size_t)length);
        copy[length] = 0;
    }
    token.value = copy;
    EXPECT_OK(pixel_description_token(image->description, &token));
    free(copy);
}

static inline void image_bytes(struct image *image, uint32_t tag, const char *vr, const void *value, size_t size)
{
    image_token(image, DATASET_ELEMENT, tag, vr, value, size);
}
static inline void image_us(struct image *image, uint32_t tag, uint16_t value)
{
    uint8_t bytes[2];
    put_u16(bytes, value);
    image_bytes(image, tag, "US", bytes, 2);
}
static inline void image_text(struct image *image, uint32_t tag, const char *vr, const char *text)
{
    image_bytes(image, tag, vr, text, strlen(text));
}
static inline void image_words(struct image *image, uint32_t tag, const char *vr, const uint16_t *words, size_t count)
{
    uint8_t bytes[512];
    for (size_t i = 0; i < count; i++)
        put_u16(bytes + 2 * i, words[i]);
    image_bytes(image, tag, vr, bytes, count * 2);
}
static inline void image_begin(struct image *image, uint32_t sequence)
{
    image_token(image, DATASET_SEQUENCE_BEGIN, sequence, "SQ", NULL, DATASET_UNDEFINED);
    image_token(image, DATASET_ITEM_BEGIN, 0xfffee000, "", NULL, DATASET_UNDEFINED);
}
static inline void image_next(struct image *image)
{
    image_token(image, DATASET_ITEM_END, 0xfffee00d, "", NULL, 0);
    image_token(image, DATASET_ITEM_BEGIN, 0xfffee000, "", NULL, DATASET_UNDEFINED);
}
static inline void image_end(struct image *image, uint32_t sequence)
{
    image_token(image, DATASET_ITEM_END, 0xfffee00d, "", NULL, 0);
    image_token(image, DATASET_SEQUENCE_END, sequence, "SQ", NULL, 0);
}

/* A new image of `columns` x `rows`, Bits Stored and High Bit filling Bits Allocated. */
static inline void image_new(struct image *image, const char *syntax, unsigned columns, unsigned rows, unsigned samples,
                             const char *photometric, unsigned bits)
{
    EXPECT_OK(pixel_description_new(&image->description, syntax_by_uid(syntax)));
    buf_init(&image->pixels);
    buf_init(&image->out);
    image_us(image, 0x00280002, (uint16_t)samples);
    image_text(image, 0x00280004, "CS", photometric);
    image_us(image, 0x00280010, (uint16_t)rows);
    image_us(image, 0x00280011, (uint16_t)columns);
    image_us(image, 0x00280100, (uint16_t)bits);
    image_us(image, 0x00280101, (uint16_t)bits);
    image_us(image, 0x00280102, (uint16_t)(bits - 1));
}
static inline void image_free(struct image *image)
{
    pixel_description_free(image->description);
    buf_release(&image->pixels);
    buf_release(&image->out);
}

/* The pixel data's token; `size` bytes in native syntaxes. */
static inline void image_native(struct image *image, const char *vr, bool big_endian, const void *bytes, size_t size)
{
    struct dataset_token token = {
        .kind = DATASET_PIXEL_BEGIN, .tag = 0x7fe00010, .length = size, .big_endian = big_endian};
    memcpy(token.vr, vr, 3);
    EXPECT_OK(pixel_description_token(image->description, &token));
    buf_append(&image->pixels, bytes, size);
}
static inline void image_encapsulated(struct image *image)
{
    image_token(image, DATASET_PIXEL_BEGIN, 0x7fe00010, "OB", NULL, DATASET_UNDEFINED);
}
static inline void image_fragment(struct image *image, const void *bytes, size_t size)
{
    const uint8_t item[4] = {0xfe, 0xff, 0x00, 0xe0};
    buf_append(&image->pixels, item, 4);
    buf_u32(&image->pixels, (uint32_t)size);
    buf_append(&image->pixels, bytes, size);
}

static inline struct error image_read(void *context, uint64_t offset, void *to, size_t size)
{
    const struct buf *pixels = context;
    EXPECT(offset <= pixels->size && size <= pixels->size - offset);
    if (size)
        memcpy(to, pixels->data + offset, size);
    return NO_ERROR;
}
static inline struct pixel_source image_source(struct image *image)
{
    return (struct pixel_source){.read = image_read, .context = &image->pixels, .length = image->pixels.size};
}
static inline struct error image_decode(struct image *image, uint32_t frame)
{
    struct pixel_source source = image_source(image);
    return pixel_decode(image->description, &source, frame, &image->out);
}

/* The grey levels or RGB triples of a frame, out of its PNG (which has one stored block in these tests). */
static inline struct error image_render(struct image *image, uint32_t frame)
{
    struct pixel_source source = image_source(image);
    struct pixel_shape shape;
    buf_clear(&image->out);
    TRY(pixel_render_png(image->description, &source, frame, &image->out));
    pixel_description_shape(image->description, &shape);
    EXPECT(image->out.size == pixel_png_size(&shape));
    const uint8_t *png = image->out.data;
    size_t width = (size_t)shape.columns * (png[25] == 2 ? 3 : 1);
    struct buf samples;
    buf_init(&samples);
    for (size_t row = 0; row < shape.rows; row++) {
        EXPECT(png[48 + row * (width + 1)] == 0);
        buf_append(&samples, png + 49 + row * (width + 1), width);
    }
    buf_release(&image->out);
    image->out = samples;
    return NO_ERROR;
}

#define EXPECT_BYTES(image, ...)                                                                                       \
    do {                                                                                                               \
        const uint8_t check_bytes[] = {__VA_ARGS__};                                                                   \
        EXPECT((image)->out.size == sizeof check_bytes);                                                               \
        EXPECT((image)->out.size == sizeof check_bytes &&                                                              \
               memcmp((image)->out.data, check_bytes, sizeof check_bytes) == 0);                                       \
        for (size_t check_i = 0; check_i < sizeof check_bytes && check_i < (image)->out.size; check_i++)               \
            if ((image)->out.data[check_i] != check_bytes[check_i])                                                    \
                fprintf(stderr, "  byte %zu is %u, not %u\n", check_i, (image)->out.data[check_i],                     \
                        check_bytes[check_i]);                                                                         \
    } while (0)

#endif
