/* JPEG frames: every process by a small stream, what their components mean, and streams that lie. */
#include "pixel_image.h"
#include "pixel_streams.h"

#define BASELINE "1.2.840.10008.1.2.4.50"
#define EXTENDED "1.2.840.10008.1.2.4.51"
#define LOSSLESS "1.2.840.10008.1.2.4.70"

static void one_frame(struct image *image, const char *syntax, unsigned size, unsigned samples, const char *photometric,
                      unsigned bits, const uint8_t *stream, size_t stream_size)
{
    image_new(image, syntax, size, size, samples, photometric, bits);
    image_encapsulated(image);
    image_fragment(image, "", 0);
    image_fragment(image, stream, stream_size);
}

static bool near(unsigned value, unsigned wanted)
{
    return value + 3 >= wanted && value <= wanted + 3;
}

static void jpeg_baseline_grey(void)
{
    struct image image;
    one_frame(&image, BASELINE, 8, 1, "MONOCHROME2", 8, jpeg_grey, sizeof jpeg_grey);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT(image.out.size == 64 && near(image.out.data[0], 0) && near(image.out.data[7], 200));
    image_free(&image);
    one_frame(&image, BASELINE, 8, 1, "MONOCHROME2", 16, jpeg_grey, sizeof jpeg_grey); /* 8 bits in wider cells */
    EXPECT_OK(image_decode(&image, 0));
    EXPECT(image.out.size == 128 && near(get_u16(image.out.data + 14), 200));
    image_free(&image);
}

static void jpeg_extended_12_bits(void)
{
    struct image image;
    one_frame(&image, EXTENDED, 8, 1, "MONOCHROME2", 16, jpeg_12, sizeof jpeg_12);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT(image.out.size == 128 && get_u16(image.out.data) < 16 && near(get_u16(image.out.data + 126) / 16, 250));
    image_free(&image);
}

static void jpeg_lossless_16_bits_exact(void)
{
    struct image image;
    one_frame(&image, LOSSLESS, 2, 1, "MONOCHROME2", 16, jpeg_lossless, sizeof jpeg_lossless);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 0xe8, 0x03, 0x30, 0x75, 0xff, 0xff);
    image_free(&image);
}

static void jpeg_components_mean_what_the_stream_says(void)
{
    static const char *const labels[] = {"RGB", "YBR_FULL", "YBR_FULL_422"};
    for (unsigned i = 0; i < 6; i++) {
        struct image image;
        bool rgb = i % 2;
        one_frame(&image, BASELINE, 8, 3, labels[i / 2], 8, rgb ? jpeg_red_rgb : jpeg_red_ybr,
                  rgb ? sizeof jpeg_red_rgb : sizeof jpeg_red_ybr);
        EXPECT_OK(image_render(&image, 0));
        EXPECT(image.out.size == 192 && near(image.out.data[96], 255) && near(image.out.data[97], 0) &&
               near(image.out.data[98], 0));
        image_free(&image);
    }
}

static void jpeg_frames_in_fragments_without_table(void)
{
    struct image image;
    image_new(&image, BASELINE, 8, 8, 1, "MONOCHROME2", 8);
    image_text(&image, 0x00280008, "IS", "2");
    image_encapsulated(&image);
    image_fragment(&image, "", 0);
    image_fragment(&image, jpeg_grey, 100);
    image_fragment(&image, jpeg_grey + 100, sizeof jpeg_grey - 100);
    image_fragment(&image, jpeg_grey, sizeof jpeg_grey);
    for (uint32_t frame = 0; frame < 2; frame++) {
        EXPECT_OK(image_decode(&image, frame));
        EXPECT(image.out.size == 64 && near(image.out.data[7], 200));
    }
    image_free(&image);
}

/* Where the frame header of a stream stands. */
static size_t frame_header(const uint8_t *stream, size_t size)
{
    for (size_t i = 0; i + 9 < size; i++)
        if (stream[i] == 0xff && (stream[i + 1] == 0xc0 || stream[i + 1] == 0xc3))
            return i;
    return 0;
}

static void jpeg_header_that_promises_gigabytes(void)
{
    struct image image;
    uint8_t stream[sizeof jpeg_grey];
    size_t at = frame_header(jpeg_grey, sizeof jpeg_grey);
    EXPECT(at > 0);
    memcpy(stream, jpeg_grey, sizeof stream);
    memset(stream + at + 5, 0xff, 4); /* 65,535 x 65,535 */
    one_frame(&image, BASELINE, 8, 1, "MONOCHROME2", 8, stream, sizeof stream);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
}

static void jpeg_that_is_not_as_described(void)
{
    struct image image;
    one_frame(&image, BASELINE, 8, 3, "RGB", 8, jpeg_grey, sizeof jpeg_grey);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
    one_frame(&image, LOSSLESS, 2, 1, "MONOCHROME2", 8, jpeg_lossless, sizeof jpeg_lossless);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
    one_frame(&image, BASELINE, 8, 1, "MONOCHROME2", 8, (const uint8_t *)"no picture", 10);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
}

static void jpeg_cut_anywhere(void)
{
    for (size_t size = 0; size + 4 < sizeof jpeg_grey; size++) {
        struct image image;
        one_frame(&image, BASELINE, 8, 1, "MONOCHROME2", 8, jpeg_grey, size);
        EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
        image_free(&image);
    }
}

int main(void)
{
    RUN(jpeg_baseline_grey);
    RUN(jpeg_extended_12_bits);
    RUN(jpeg_lossless_16_bits_exact);
    RUN(jpeg_components_mean_what_the_stream_says);
    RUN(jpeg_frames_in_fragments_without_table);
    RUN(jpeg_header_that_promises_gigabytes);
    RUN(jpeg_that_is_not_as_described);
    RUN(jpeg_cut_anywhere);
    return check_done();
}
