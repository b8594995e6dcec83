/* From stored values to what is seen: PS3.3 C.11 with results worked out by hand. */
#include "pixel_image.h"

#define EXPLICIT "1.2.840.10008.1.2.1"

static void window(struct image *image, const char *center, const char *width, const char *function)
{
    image_text(image, 0x00281050, "DS", center);
    image_text(image, 0x00281051, "DS", width);
    if (function)
        image_text(image, 0x00281056, "CS", function);
}

/* Five signed 16-bit values in a row. */
static void five(struct image *image, const char *photometric, const int16_t values[5])
{
    uint8_t bytes[10];
    image_new(image, EXPLICIT, 5, 1, 1, photometric, 16);
    image_us(image, 0x00280103, 1);
    for (unsigned i = 0; i < 5; i++)
        put_u16(bytes + 2 * i, (uint16_t)values[i]);
    image_native(image, "OW", false, bytes, sizeof bytes);
}

static const int16_t around_zero[5] = {-200, -100, 0, 100, 200};

static void window_linear(void)
{
    struct image image;
    five(&image, "MONOCHROME2", around_zero);
    window(&image, "0\\50", "201\\10", NULL); /* the first of two */
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 1, 128, 255, 255); /* ((x + 0.5) / 200 + 0.5) * 255 */
    image_free(&image);
}

static void window_exact_sigmoid_and_step(void)
{
    struct image image;
    five(&image, "MONOCHROME2", around_zero);
    window(&image, "0", "400", "LINEAR_EXACT");
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 64, 128, 191, 255);
    window(&image, "0", "400", "SIGMOID");
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 30, 69, 128, 186, 225); /* 255 / (1 + exp(-x / 100)) */
    window(&image, "100", "1", "LINEAR");
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 0, 255, 255);
    image_free(&image);
}

static void rescale_comes_before_the_window(void)
{
    struct image image;
    five(&image, "MONOCHROME2", around_zero);
    image_text(&image, 0x00281052, "DS", "1000");
    image_text(&image, 0x00281053, "DS", "-2");
    window(&image, "1000", "800", "LINEAR_EXACT");
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 255, 191, 128, 64, 0);
    image_free(&image);
}

static void no_window_shows_the_range_without_padding(void)
{
    struct image image;
    five(&image, "MONOCHROME2", (const int16_t[5]){-2000, 0, 50, 100, -1990});
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 243, 249, 255, 1);
    const uint16_t padding[] = {(uint16_t)-2000}, limit[] = {(uint16_t)-1900};
    image_words(&image, 0x00280120, "SS", padding, 1);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 243, 249, 255, 0);
    image_words(&image, 0x00280121, "US", limit, 1); /* beside signed samples */
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 128, 255, 0);
    image_free(&image);
}

static void constant_and_empty_ranges(void)
{
    struct image image;
    five(&image, "MONOCHROME2", (const int16_t[5]){7, 7, 7, 7, 7});
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 0, 0, 0);
    const uint16_t padding[] = {7}; /* nothing is left */
    image_words(&image, 0x00280120, "SS", padding, 1);
    window(&image, "0", "0", NULL); /* no window at all */
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 0, 0, 0);
    image_free(&image);
}

static void monochrome1_and_inverse_shape(void)
{
    struct image image;
    five(&image, "MONOCHROME1", around_zero);
    window(&image, "0", "400", "LINEAR_EXACT");
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 255, 191, 127, 64, 0);
    image_text(&image, 0x20500020, "CS", "INVERSE"); /* says the same again */
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 255, 191, 127, 64, 0);
    image_free(&image);
}

static void modality_table_clamps_at_its_ends(void)
{
    struct image image;
    five(&image, "MONOCHROME2", (const int16_t[5]){-5, -1, 0, 1, 9});
    image_begin(&image, 0x00283000);
    image_words(&image, 0x00283002, "US", (const uint16_t[]){3, (uint16_t)-1, 16}, 3);
    image_words(&image, 0x00283006, "OW", (const uint16_t[]){100, 200, 300}, 3);
    image_end(&image, 0x00283000);
    window(&image, "200", "200", "LINEAR_EXACT");
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 128, 255, 255);
    image_free(&image);
}

static void voi_table_before_window(void)
{
    struct image image;
    five(&image, "MONOCHROME2", (const int16_t[5]){-10, 22, 23, 24, 25});
    image_text(&image, 0x00281052, "DS", "-1024"); /* its input is signed then, whatever the VR says */
    image_text(&image, 0x00281053, "DS", "1");
    window(&image, "0", "1", NULL);
    image_begin(&image, 0x00283010);
    image_words(&image, 0x00283002, "US", (const uint16_t[]){4, (uint16_t)-1002, 12}, 3);
    image_words(&image, 0x00283006, "OW", (const uint16_t[]){0, 1000, 2000, 4095}, 4);
    image_next(&image); /* a second table is not shown */
    image_words(&image, 0x00283002, "US", (const uint16_t[]){1, 0, 8}, 3);
    image_words(&image, 0x00283006, "OW", (const uint16_t[]){77}, 1);
    image_end(&image, 0x00283010);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 0, 62, 125, 255);
    image_free(&image);
}

static void table_without_data_is_malformed(void)
{
    struct image image;
    five(&image, "MONOCHROME2", around_zero);
    image_begin(&image, 0x00283000);
    image_words(&image, 0x00283002, "US", (const uint16_t[]){256, 0, 8}, 3);
    EXPECT_ERROR(image_render(&image, 0), ERROR_MALFORMED);
    image_words(&image, 0x00283006, "OW", (const uint16_t[]){1, 2, 3}, 3);
    EXPECT_ERROR(image_render(&image, 0), ERROR_MALFORMED);
    image_token(&image, DATASET_ELEMENT, 0x00283006, "OW", NULL, 1 << 20); /* not captured */
    EXPECT_ERROR(image_render(&image, 0), ERROR_UNSUPPORTED);
    image_free(&image);
}

static void group(struct image *image, uint32_t sequence, const char *slope)
{
    image_begin(image, sequence);
    image_text(image, 0x00281052, "DS", "0");
    image_text(image, 0x00281053, "DS", slope);
    image_end(image, sequence);
}

static void frames_have_their_own_rescale_and_window(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 2, 1, 1, "MONOCHROME2", 8);
    image_text(&image, 0x00280008, "IS", "3");
    window(&image, "0", "2", "LINEAR_EXACT"); /* overridden by the shared one */
    image_begin(&image, 0x52009229);
    image_begin(&image, 0x00289132);
    window(&image, "50", "100", "LINEAR_EXACT");
    image_end(&image, 0x00289132);
    group(&image, 0x00289145, "1");
    image_end(&image, 0x52009229);
    image_begin(&image, 0x52009230);
    image_next(&image);
    group(&image, 0x00289145, "2"); /* the second frame's */
    image_end(&image, 0x52009230);
    image_native(&image, "OB", false, "\0\x19\0\x19\0\x19", 6);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 64);
    EXPECT_OK(image_render(&image, 1));
    EXPECT_BYTES(&image, 0, 128);
    EXPECT_OK(image_render(&image, 2));
    EXPECT_BYTES(&image, 0, 64);
    image_free(&image);
}

static void wide_and_real_samples(void)
{
    struct image image;
    uint8_t bytes[12];
    const uint32_t values[3] = {0, 2000000000, 4000000000};
    for (unsigned i = 0; i < 3; i++)
        put_u32(bytes + 4 * i, values[i]);
    image_new(&image, EXPLICIT, 3, 1, 1, "MONOCHROME2", 32);
    image_native(&image, "OW", false, bytes, sizeof bytes);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 128, 255);
    image_free(&image);

    const float reals[4] = {-0.5f, 0.25f, 1.0f, -1e30f};
    uint8_t real_bytes[20];
    for (unsigned i = 0; i < 4; i++) {
        uint32_t bits;
        memcpy(&bits, &reals[i], 4);
        put_u32(real_bytes + 4 * i, bits);
    }
    put_u32(real_bytes + 16, 0x7fc00000); /* not a number */
    image_new(&image, EXPLICIT, 5, 1, 1, "MONOCHROME2", 32);
    image_bytes(&image, 0x00280122, "FL", real_bytes + 12, 4); /* padding */
    struct dataset_token token = {.kind = DATASET_PIXEL_BEGIN, .tag = 0x7fe00008, .vr = "OF", .length = 20};
    EXPECT_OK(pixel_description_token(image.description, &token));
    buf_append(&image.pixels, real_bytes, 20);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0, 128, 255, 0, 0);
    image_free(&image);
}

static void palettes(struct image *image, const uint16_t *descriptor, const uint16_t *data, size_t words,
                     bool segmented)
{
    for (uint32_t k = 0; k < 3; k++) {
        image_words(image, 0x00281101 + k, "US", descriptor, 3);
        image_words(image, (segmented ? 0x00281221 : 0x00281201) + k, "OW", data + k * words, words);
    }
}

static void palette_of_words_and_bytes(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 3, 1, 1, "PALETTE COLOR", 8);
    image_native(&image, "OB", false, "\1\2\3", 3); /* the table begins at 1 and has two entries */
    palettes(&image, (const uint16_t[]){2, 1, 16}, (const uint16_t[]){0x1200, 0x3400, 0x5600, 0x7800, 0x9a00, 0xbc00},
             2, false);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0x12, 0x56, 0x9a, 0x34, 0x78, 0xbc, 0x34, 0x78, 0xbc);
    palettes(&image, (const uint16_t[]){2, 1, 8}, (const uint16_t[]){0x3412, 0x7856, 0xbc9a}, 1, false);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 0x12, 0x56, 0x9a, 0x34, 0x78, 0xbc, 0x34, 0x78, 0xbc);
    palettes(&image, (const uint16_t[]){2, 1, 16}, (const uint16_t[]){0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}, 2, false);
    EXPECT_OK(image_render(&image, 0)); /* 16 promised, 8 meant */
    EXPECT_BYTES(&image, 0x12, 0x56, 0x9a, 0x34, 0x78, 0xbc, 0x34, 0x78, 0xbc);
    image_free(&image);
}

static void palette_in_segments(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 8, 1, 1, "PALETTE COLOR", 8);
    image_native(&image, "OB", false, "\0\1\2\3\4\5\6\7", 8);
    /* discrete 256, 512; linear in two steps to 1024; indirect: the first two segments again */
    const uint16_t one[] = {0, 2, 256, 512, 1, 2, 1024, 2, 2, 0, 0};
    uint16_t data[33];
    for (unsigned i = 0; i < 33; i++)
        data[i] = one[i % 11];
    palettes(&image, (const uint16_t[]){8, 0, 16}, data, 11, true);
    EXPECT_OK(image_render(&image, 0));
    const uint8_t grey[] = {1, 2, 3, 4, 1, 2, 3, 4};
    EXPECT(image.out.size == 24);
    for (unsigned i = 0; i < 24 && i < image.out.size; i++)
        EXPECT(image.out.data[i] == grey[i / 3]);
    palettes(&image, (const uint16_t[]){9, 0, 16}, data, 11, true); /* one entry more than the segments give */
    EXPECT_ERROR(image_render(&image, 0), ERROR_MALFORMED);
    data[9] = 14; /* an indirect segment that leads to itself */
    palettes(&image, (const uint16_t[]){8, 0, 16}, data, 11, true);
    EXPECT_ERROR(image_render(&image, 0), ERROR_MALFORMED);
    image_free(&image);
}

static void ybr_red(void)
{
    struct image image;
    static const struct {
        const char *photometric;
        const char *bytes;
        size_t size;
    } cases[] = {
        {"YBR_FULL", "\x4c\x55\xff\x4c\x55\xff", 6},
        {"YBR_FULL_422", "\x4c\x4c\x55\xff", 4},
        {"YBR_FULL_422", "\x4c\x55\xff\x4c\x55\xff", 6}, /* labelled wrongly: nothing is subsampled */
        {"YBR_PARTIAL_422", "\x51\x51\x5a\xf0", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        image_new(&image, EXPLICIT, 2, 1, 3, cases[i].photometric, 8);
        image_native(&image, "OB", false, cases[i].bytes, cases[i].size);
        EXPECT_OK(image_render(&image, 0));
        EXPECT(image.out.size == 6);
        for (unsigned k = 0; k < 6 && k < image.out.size; k++)
            EXPECT(k % 3 == 0 ? image.out.data[k] >= 253 : image.out.data[k] <= 2);
        image_free(&image);
    }
}

static void rgb_of_16_bits_is_scaled(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 1, 1, 3, "RGB", 16);
    image_us(&image, 0x00280101, 12);
    image_us(&image, 0x00280102, 11);
    image_native(&image, "OW", false, "\xff\x0f\x00\x08\x00\x00", 6);
    EXPECT_OK(image_render(&image, 0));
    EXPECT_BYTES(&image, 255, 128, 0);
    image_free(&image);
}

static struct error render16(struct image *image)
{
    struct pixel_source source = image_source(image);
    buf_clear(&image->out);
    return pixel_render_png16(image->description, &source, 0, &image->out);
}

/* Signed samples of 12 bits below an overlay bit, with a window and a rescale that the 16-bit PNG ignores. */
static void png16_holds_stored_values(void)
{
    struct image image;
    struct pixel_shape shape;
    struct pixel_shown shown;
    static const uint8_t cells[] = {0x00, 0x08, 0xff, 0x1f, 0x01, 0x00, 0xff, 0x07}; /* -2048, -1, 1, 2047 */
    image_new(&image, "1.2.840.10008.1.2.1", 2, 2, 1, "MONOCHROME1", 16);
    image_us(&image, 0x00280101, 12);
    image_us(&image, 0x00280102, 11);
    image_us(&image, 0x00280103, 1);
    image_text(&image, 0x00281052, "DS", "-1024");
    image_text(&image, 0x00281053, "DS", "2");
    window(&image, "40", "400", "SIGMOID");
    image_native(&image, "OW", false, cells, sizeof cells);
    pixel_description_shape(image.description, &shape);
    EXPECT(pixel_can_render16(syntax_by_uid("1.2.840.10008.1.2.1"), &shape));
    EXPECT_OK(render16(&image));
    EXPECT(image.out.size == pixel_png16_size(&shape) && image.out.data[24] == 16 && image.out.data[25] == 0);
    static const uint8_t lines[] = {0, 0x00, 0x00, 0x07, 0xff, 0, 0x08, 0x01, 0x0f, 0xff};
    EXPECT(memcmp(image.out.data + 48, lines, sizeof lines) == 0);
    EXPECT_OK(pixel_shown(image.description, 0, &shown));
    EXPECT(shown.offset == 2048 && shown.slope == 2 && shown.intercept == -1024 && !shown.modality_table);
    EXPECT(shown.by == PIXEL_SHOWN_BY_WINDOW && shown.center == 40 && shown.width == 400);
    EXPECT_TEXT(shown.function, "SIGMOID");
    image_free(&image);
}

static void png16_is_of_grey_images_alone(void)
{
    const struct syntax *native = syntax_by_uid("1.2.840.10008.1.2.1");
    struct pixel_shape shape = {.rows = 4, .columns = 4, .samples = 1, .bits_allocated = 16, .frames = 1};
    EXPECT(pixel_can_render16(native, &shape));
    shape.photometric = PHOTOMETRIC_PALETTE;
    EXPECT(!pixel_can_render16(native, &shape));
    shape.photometric = PHOTOMETRIC_MONOCHROME2;
    shape.bits_allocated = 32;
    EXPECT(!pixel_can_render16(native, &shape));
    shape.bits_allocated = 8;
    shape.samples = 3;
    EXPECT(!pixel_can_render16(native, &shape));
    struct image image;
    image_new(&image, "1.2.840.10008.1.2.1", 1, 1, 3, "RGB", 8);
    image_native(&image, "OB", false, "rgb", 3);
    EXPECT_ERROR(render16(&image), ERROR_UNSUPPORTED);
    image_free(&image);
}

int main(void)
{
    RUN(png16_holds_stored_values);
    RUN(png16_is_of_grey_images_alone);
    RUN(window_linear);
    RUN(window_exact_sigmoid_and_step);
    RUN(rescale_comes_before_the_window);
    RUN(no_window_shows_the_range_without_padding);
    RUN(constant_and_empty_ranges);
    RUN(monochrome1_and_inverse_shape);
    RUN(modality_table_clamps_at_its_ends);
    RUN(voi_table_before_window);
    RUN(table_without_data_is_malformed);
    RUN(frames_have_their_own_rescale_and_window);
    RUN(wide_and_real_samples);
    RUN(palette_of_words_and_bytes);
    RUN(palette_in_segments);
    RUN(ybr_red);
    RUN(rgb_of_16_bits_is_scaled);
    return check_done();
}
