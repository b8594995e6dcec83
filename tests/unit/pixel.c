/* Layouts of native and RLE pixel data, where frames stand, and the PNG around them. */
#include "pixel_image.h"

#include <zlib.h>

#define IMPLICIT "1.2.840.10008.1.2"
#define EXPLICIT "1.2.840.10008.1.2.1"
#define BIG "1.2.840.10008.1.2.2"
#define GE_PRIVATE "1.2.840.113619.5.2"
#define ENCAPSULATED "1.2.840.10008.1.2.1.98"
#define RLE "1.2.840.10008.1.2.5"

static void native_12_bits_packed(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 3, 1, 1, "MONOCHROME2", 12);
    const uint8_t bytes[] = {0x23, 0x61, 0x45, 0x89, 0x07, 0x00}; /* 123, 456, 789, least significant bit first */
    image_native(&image, "OW", false, bytes, sizeof bytes);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 0x23, 0x01, 0x56, 0x04, 0x89, 0x07);
    image_free(&image);
}

static void native_1_bit_frames_share_bytes(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 3, 3, 1, "MONOCHROME2", 1);
    image_text(&image, 0x00280008, "IS", "2");
    const uint8_t bytes[] = {0x11, 0xff, 0x03}; /* frame 1: bits 0 and 4; frame 2: bit 9 on, all ones */
    image_native(&image, "OB", false, bytes, sizeof bytes);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 1, 0, 0, 0, 1, 0, 0, 0, 1);
    EXPECT_OK(image_render(&image, 1));
    EXPECT_BYTES(&image, 255, 255, 255, 255, 255, 255, 255, 255, 255);
    EXPECT_ERROR(image_decode(&image, 2), ERROR_NOT_FOUND);
    image_free(&image);
}

static void native_1_bit_in_big_endian_words(void)
{
    struct image image;
    image_new(&image, BIG, 4, 3, 1, "MONOCHROME2", 1);
    image_text(&image, 0x00280008, "IS", "2");
    const uint8_t bytes[] = {0x21, 0x43, 0xba, 0x65}; /* words 2143, ba65: 12-bit frames 143 and (ba65 << 4 | 2) */
    image_native(&image, "OW", true, bytes, sizeof bytes);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0);
    EXPECT_OK(image_decode(&image, 1));
    EXPECT_BYTES(&image, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0);
    image_free(&image);
}

static void native_overlay_bits_are_no_value(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 2, 1, 1, "MONOCHROME2", 16);
    image_us(&image, 0x00280101, 12);
    image_us(&image, 0x00280102, 11);
    image_us(&image, 0x00280103, 1);
    const uint8_t bytes[] = {0xff, 0xaf, 0x02, 0x50}; /* -1 and 2 under overlay bits */
    struct pixel_source source;
    image_native(&image, "OW", false, bytes, sizeof bytes);
    source = image_source(&image);
    EXPECT_OK(pixel_canonical(image.description, &source, 0, &image.out));
    EXPECT_BYTES(&image, 0xff, 0xff, 0x02, 0x00);
    image_free(&image);
}

static void native_high_bit_above_stored(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 2, 1, 1, "MONOCHROME2", 16);
    image_us(&image, 0x00280101, 10);
    image_us(&image, 0x00280102, 15);
    const uint8_t bytes[] = {0xff, 0xff, 0x7f, 0x00}; /* 1023 and 1, six bits up */
    struct pixel_source source;
    image_native(&image, "OW", false, bytes, sizeof bytes);
    source = image_source(&image);
    EXPECT_OK(pixel_canonical(image.description, &source, 0, &image.out));
    EXPECT_BYTES(&image, 0xff, 0x03, 0x01, 0x00);
    image_free(&image);
}

static void native_big_endian_words(void)
{
    const uint8_t bytes[] = {0x12, 0x34, 0x56, 0x78};
    static const struct {
        const char *syntax;
        bool big_endian;
    } cases[] = {{BIG, true}, {GE_PRIVATE, false}};
    for (size_t i = 0; i < 2; i++) {
        struct image image;
        image_new(&image, cases[i].syntax, 2, 1, 1, "MONOCHROME2", 16);
        image_native(&image, "OW", cases[i].big_endian, bytes, sizeof bytes);
        EXPECT_OK(image_decode(&image, 0));
        EXPECT_BYTES(&image, 0x34, 0x12, 0x78, 0x56);
        image_free(&image);
    }
    struct image wide;
    image_new(&wide, BIG, 1, 1, 1, "MONOCHROME2", 32);
    image_native(&wide, "OW", true, bytes, sizeof bytes);
    EXPECT_OK(image_decode(&wide, 0));
    EXPECT_BYTES(&wide, 0x78, 0x56, 0x34, 0x12);
    image_free(&wide);
}

static void native_bytes_in_big_endian_words(void)
{
    const uint8_t words[] = {2, 1, 4, 3, 6, 5}, bytes[] = {1, 2, 3, 4, 5, 6};
    for (unsigned is_words = 0; is_words < 2; is_words++) {
        struct image image;
        image_new(&image, BIG, 3, 1, 1, "MONOCHROME2", 8); /* the second frame begins within a word */
        image_text(&image, 0x00280008, "IS", "2");
        image_native(&image, is_words ? "OW" : "OB", true, is_words ? words : bytes, 6);
        EXPECT_OK(image_decode(&image, 0));
        EXPECT_BYTES(&image, 1, 2, 3);
        EXPECT_OK(image_decode(&image, 1));
        EXPECT_BYTES(&image, 4, 5, 6);
        image_free(&image);
    }
}

static void native_planes_are_interleaved(void)
{
    struct image image;
    image_new(&image, EXPLICIT, 2, 1, 3, "RGB", 8);
    image_us(&image, 0x00280006, 1);
    const uint8_t bytes[] = {1, 2, 11, 12, 21, 22};
    image_native(&image, "OB", false, bytes, sizeof bytes);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 1, 11, 21, 2, 12, 22);
    image_free(&image);
}

static void native_short_data_say_how_many_bytes_lack(void)
{
    struct image image;
    image_new(&image, IMPLICIT, 3, 2, 1, "MONOCHROME2", 16);
    image_native(&image, "OW", false, "123456789", 9);
    struct error err = image_decode(&image, 0);
    EXPECT(err.code == ERROR_MALFORMED);
    EXPECT(strstr(error_text(&err), "lack 3 bytes") != NULL);
    error_release(&err);
    image_free(&image);
}

static void rle_planes_and_runs(void)
{
    struct image image;
    uint8_t frame[64 + 8] = {2, 0, 0, 0, 64, 0, 0, 0, 66, 0, 0, 0};
    const uint8_t segments[] = {0xfd, 0x01,                    /* four times 1: the high bytes */
                                0x80, 0x02, 10, 20, 30, 0x00}; /* nothing; 10 20 30; then one byte is missing */
    memcpy(frame + 64, segments, sizeof segments);
    image_new(&image, RLE, 4, 1, 1, "MONOCHROME2", 16);
    image_encapsulated(&image);
    image_fragment(&image, "", 0);
    image_fragment(&image, frame, sizeof frame);
    struct error err = image_decode(&image, 0);
    EXPECT(err.code == ERROR_MALFORMED && strstr(error_text(&err), "lacks 1 of 4") != NULL);
    error_release(&err);
    image.pixels.data[16 + 64 + 3] = 0x03; /* four bytes after all */
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 10, 1, 20, 1, 30, 1, 0, 1);
    image.pixels.data[16] = 3; /* segments */
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image.pixels.data[16] = 2;
    image.pixels.data[16 + 8] = 200; /* the second one's offset */
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
}

/* Two frames of two bytes in encapsulated native pixel data. */
static void two_frames(struct image *image, const uint32_t *offsets)
{
    uint8_t table[8];
    image_new(image, ENCAPSULATED, 2, 1, 1, "MONOCHROME2", 8);
    image_text(image, 0x00280008, "IS", "2");
    image_encapsulated(image);
    for (unsigned i = 0; offsets && i < 2; i++)
        put_u32(table + 4 * i, offsets[i]);
    image_fragment(image, table, offsets ? 8 : 0);
}

static void fragments_without_table(void)
{
    struct image image;
    two_frames(&image, NULL);
    image_fragment(&image, "\1\2", 2);
    image_fragment(&image, "", 0);
    image_fragment(&image, "\3\4", 2);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 1, 2);
    EXPECT_OK(image_decode(&image, 1));
    EXPECT_BYTES(&image, 3, 4);
    image_fragment(&image, "\5\6", 2); /* now nothing says which fragments are which frame */
    EXPECT_ERROR(image_decode(&image, 1), ERROR_MALFORMED);
    image_free(&image);
}

static void fragments_by_basic_table(void)
{
    struct image image;
    two_frames(&image, (const uint32_t[]){0, 18});
    image_fragment(&image, "\1", 1);
    image_fragment(&image, "\2", 1);
    image_fragment(&image, "\3\4", 2);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 1, 2);
    EXPECT_OK(image_decode(&image, 1));
    EXPECT_BYTES(&image, 3, 4);
    image_free(&image);
}

static void fragments_with_a_wrong_table_are_walked(void)
{
    static const uint32_t wrong[][2] = {{0, 11}, {4, 10}, {0, 4000000000}, {10, 0}};
    for (unsigned i = 0; i < 4; i++) {
        struct image image;
        two_frames(&image, wrong[i]);
        image_fragment(&image, "\1\2", 2);
        image_fragment(&image, "\3\4", 2);
        EXPECT_OK(image_decode(&image, 1));
        EXPECT_BYTES(&image, 3, 4);
        image_free(&image);
    }
}

static void fragments_by_extended_table(void)
{
    struct image image;
    uint8_t table[16];
    two_frames(&image, NULL);
    put_u64(table, 9);
    put_u64(table + 8, 18);
    image_bytes(&image, 0x7fe00001, "OV", table, sizeof table);
    image_fragment(&image, "\7\6", 2); /* the table leads beyond the end: it counts for nothing */
    image_fragment(&image, "\1\2", 2);
    EXPECT_OK(image_decode(&image, 1));
    EXPECT_BYTES(&image, 1, 2);
    image_free(&image);

    two_frames(&image, NULL);
    put_u64(table, 9);
    put_u64(table + 8, 19);
    image_bytes(&image, 0x7fe00001, "OV", table, sizeof table);
    image_fragment(&image, "\7", 1); /* belongs to no frame: the table says so */
    image_fragment(&image, "\1\2", 2);
    image_fragment(&image, "\3\4", 2);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 1, 2);
    EXPECT_OK(image_decode(&image, 1));
    EXPECT_BYTES(&image, 3, 4);
    image_free(&image);
}

static void fragments_beyond_the_end(void)
{
    struct image image;
    two_frames(&image, NULL);
    image_fragment(&image, "\1\2", 2);
    image_fragment(&image, "\3\4", 2);
    image.pixels.size -= 1;
    struct error err = image_decode(&image, 1);
    EXPECT(err.code == ERROR_MALFORMED && strstr(error_text(&err), "lacks 1 bytes") != NULL);
    error_release(&err);
    image.pixels.data[8] = 0; /* no item's tag */
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
}

static void png_is_what_any_reader_takes(void)
{
    struct image image;
    struct pixel_shape shape;
    struct pixel_source source;
    uint8_t *bytes = malloc(700 * 300);
    for (size_t i = 0; i < 700 * 300; i++)
        bytes[i] = (uint8_t)(i * 7);
    image_new(&image, EXPLICIT, 700, 300, 1, "MONOCHROME2", 8);
    image_text(&image, 0x00281050, "DS", "127.5");
    image_text(&image, 0x00281051, "DS", "255");
    image_text(&image, 0x00281056, "CS", "LINEAR_EXACT"); /* nothing changes */
    image_native(&image, "OB", false, bytes, 700 * 300);
    source = image_source(&image);
    buf_text(&image.out, "before");
    EXPECT_OK(pixel_render_png(image.description, &source, 0, &image.out));
    pixel_description_shape(image.description, &shape);
    EXPECT(image.out.size == 6 + pixel_png_size(&shape));
    const uint8_t *png = image.out.data + 6, *idat = png + 33;
    uint32_t size = get_u32be(idat);
    EXPECT(memcmp(image.out.data, "before\x89PNG\r\n\x1a\n", 14) == 0);
    EXPECT(get_u32be(png + 16) == 700 && get_u32be(png + 20) == 300);
    EXPECT(get_u32be(png + 29) == crc32(0, png + 12, 17));
    EXPECT(memcmp(idat + 4, "IDAT", 4) == 0 && get_u32be(idat + 8 + size) == crc32(0, idat + 4, size + 4));
    EXPECT(memcmp(idat + 12 + size, "\0\0\0\0IEND\xae\x42\x60\x82", 12) == 0);
    uLongf got = 701 * 300;
    uint8_t *lines = malloc(got);
    EXPECT(uncompress(lines, &got, idat + 8, size) == Z_OK && got == 701 * 300);
    for (size_t row = 0; row < 300; row++)
        EXPECT(lines[row * 701] == 0 && memcmp(lines + row * 701 + 1, bytes + row * 700, 700) == 0);
    free(lines);
    free(bytes);
    image_free(&image);
}

static void shapes_that_are_not_shown(void)
{
    const struct syntax *native = syntax_by_uid(EXPLICIT), *video = syntax_by_uid("1.2.840.10008.1.2.4.102");
    const struct pixel_shape good = {.rows = 4, .columns = 4, .samples = 1, .bits_allocated = 16, .frames = 1};
    struct pixel_shape shape = good;
    EXPECT(pixel_can_render(native, &good));
    EXPECT(!pixel_can_render(video, &good));
    EXPECT(!pixel_can_render(syntax_by_code(0), &good));
    shape.rows = 0;
    EXPECT(!pixel_can_render(native, &shape));
    shape = good;
    shape.samples = 4;
    EXPECT(!pixel_can_render(native, &shape));
    shape = good;
    shape.bits_allocated = 0;
    EXPECT(!pixel_can_render(native, &shape));
    shape.bits_allocated = 64;
    EXPECT(!pixel_can_render(native, &shape));
    shape.float_data = true;
    EXPECT(pixel_can_render(native, &shape));
    shape = good;
    shape.rows = shape.columns = 65535;
    EXPECT(!pixel_can_render(native, &shape));
    shape = good;
    shape.photometric = PHOTOMETRIC_PALETTE;
    shape.bits_allocated = 32;
    EXPECT(!pixel_can_render(native, &shape));
}

static void sizes_are_arithmetic(void)
{
    struct pixel_shape shape = {.rows = 1, .columns = 1, .samples = 1, .bits_allocated = 8, .frames = 1};
    EXPECT(pixel_png_size(&shape) == 8 + 25 + 12 + 2 + 5 + 2 + 4 + 12);
    shape.rows = shape.columns = 512;
    EXPECT(pixel_png_size(&shape) == 8 + 25 + 12 + 2 + 5 * 5 + 513 * 512 + 4 + 12);
    shape.samples = 3;
    EXPECT(pixel_png_size(&shape) == 8 + 25 + 12 + 2 + 13 * 5 + 1537 * 512 + 4 + 12);
}

static void description_of_what_has_no_pixels(void)
{
    struct image image;
    struct pixel_shape shape;
    image_new(&image, EXPLICIT, 2, 2, 1, "MONOCHROME2", 8);
    pixel_description_shape(image.description, &shape);
    EXPECT(shape.bits_allocated == 0 && shape.frames == 1);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_NOT_FOUND);
    image_free(&image);
}

static void description_ignores_nested_images(void)
{
    struct image image;
    struct pixel_shape shape;
    image_new(&image, EXPLICIT, 2, 2, 1, "MONOCHROME2", 8);
    image_begin(&image, 0x00880200); /* an icon */
    image_us(&image, 0x00280010, 64);
    image_text(&image, 0x00280004, "CS", "PALETTE COLOR");
    image_end(&image, 0x00880200);
    image_text(&image, 0x00280008, "IS", "5");
    image_us(&image, 0x00286010, 3);
    image_native(&image, "OB", false, "1234", 4);
    pixel_description_shape(image.description, &shape);
    EXPECT(shape.rows == 2 && shape.photometric == PHOTOMETRIC_MONOCHROME2);
    EXPECT(shape.frames == 5 && shape.representative == 2);
    image_free(&image);
}

int main(void)
{
    RUN(native_12_bits_packed);
    RUN(native_1_bit_frames_share_bytes);
    RUN(native_1_bit_in_big_endian_words);
    RUN(native_overlay_bits_are_no_value);
    RUN(native_high_bit_above_stored);
    RUN(native_big_endian_words);
    RUN(native_bytes_in_big_endian_words);
    RUN(native_planes_are_interleaved);
    RUN(native_short_data_say_how_many_bytes_lack);
    RUN(rle_planes_and_runs);
    RUN(fragments_without_table);
    RUN(fragments_by_basic_table);
    RUN(fragments_with_a_wrong_table_are_walked);
    RUN(fragments_by_extended_table);
    RUN(fragments_beyond_the_end);
    RUN(png_is_what_any_reader_takes);
    RUN(shapes_that_are_not_shown);
    RUN(sizes_are_arithmetic);
    RUN(description_of_what_has_no_pixels);
    RUN(description_ignores_nested_images);
    return check_done();
}
