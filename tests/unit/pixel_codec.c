/* JPEG-LS, JPEG 2000, HTJ2K, JPEG XL and the JPEG processes of libjpeg-turbo: one picture in all of them, and streams
 * that lie. */
#include "pixel_codec_streams.h"
#include "pixel_image.h"

#define SIDE 8
#define JPEG_LS "1.2.840.10008.1.2.4.80"
#define JPEG_2000 "1.2.840.10008.1.2.4.90"
#define HTJ2K "1.2.840.10008.1.2.4.201"
#define JPEG_XL "1.2.840.10008.1.2.4.110"

/* The picture: sample `component` of pixel x, y in `bits` bits. */
static unsigned wanted(unsigned i, unsigned component, unsigned bits)
{
    unsigned x = i % SIDE, y = i / SIDE;
    return (x * 37 + y * 101 + component * 59) * (bits <= 8 ? 5 : 211) & ((1u << bits) - 1);
}

#define STREAM(name) name, sizeof(name)
static const struct {
    const char *syntax;
    unsigned samples, bits;
    const char *photometric;
    const uint8_t *stream;
    size_t size;
    unsigned apart; /* the most that a sample may be off */
} streams[] = {
    {JPEG_LS, 1, 12, "MONOCHROME2", STREAM(jpegls_12), 0},
    {JPEG_LS, 3, 8, "RGB", STREAM(jpegls_rgb_none), 0},
    {JPEG_LS, 3, 8, "RGB", STREAM(jpegls_rgb_line), 0},
    {JPEG_LS, 3, 8, "RGB", STREAM(jpegls_rgb_sample), 0},
    {JPEG_2000, 1, 12, "MONOCHROME2", STREAM(jpeg2000_12), 0},
    {JPEG_2000, 1, 12, "MONOCHROME2", STREAM(jpeg2000_signed), 0},
    {JPEG_2000, 1, 12, "MONOCHROME2", STREAM(jpeg2000_boxes), 0},
    {JPEG_2000, 3, 8, "YBR_RCT", STREAM(jpeg2000_rct), 0},
    {JPEG_2000, 3, 8, "RGB", STREAM(jpeg2000_rct), 0},
    {JPEG_2000, 3, 8, "YBR_FULL_422", STREAM(jpeg2000_rct), 0}, /* the stream says that it is RGB */
    {JPEG_2000, 3, 8, "RGB", STREAM(jpeg2000_plain), 0},
    {HTJ2K, 1, 16, "MONOCHROME2", STREAM(htj2k_16), 0},
    {HTJ2K, 3, 8, "YBR_RCT", STREAM(htj2k_rct), 0},
    {JPEG_XL, 1, 12, "MONOCHROME2", STREAM(jpegxl_12), 0},
    {JPEG_XL, 3, 8, "RGB", STREAM(jpegxl_rgb), 0},
    {JPEG_XL, 1, 16, "MONOCHROME2", STREAM(jpegxl_box_16), 0},
    {"1.2.840.10008.1.2.4.111", 3, 8, "YBR_FULL", STREAM(jpegxl_recompressed), 32},
    {"1.2.840.10008.1.2.4.52", 1, 8, "MONOCHROME2", STREAM(jpeg_arithmetic), 8},
    {"1.2.840.10008.1.2.4.55", 1, 8, "MONOCHROME2", STREAM(jpeg_progressive), 8},
};
#define STREAMS (sizeof streams / sizeof *streams)

static void stream_image(struct image *image, size_t i, const uint8_t *stream, size_t size)
{
    image_new(image, streams[i].syntax, SIDE, SIDE, streams[i].samples, streams[i].photometric,
              streams[i].bits > 8 ? 16 : 8);
    image_us(image, 0x00280101, (uint16_t)streams[i].bits);
    image_us(image, 0x00280102, (uint16_t)(streams[i].bits - 1));
    image_encapsulated(image);
    image_fragment(image, "", 0);
    image_fragment(image, stream, size);
}

static struct error canonical(struct image *image)
{
    struct pixel_source source = image_source(image);
    return pixel_canonical(image->description, &source, 0, &image->out);
}

static void codecs_give_the_picture(void)
{
    for (size_t i = 0; i < STREAMS; i++) {
        struct image image;
        unsigned samples = streams[i].samples, bytes = streams[i].bits > 8 ? 2 : 1, most = 0;
        stream_image(&image, i, streams[i].stream, streams[i].size);
        EXPECT_OK(canonical(&image));
        EXPECT(image.out.size == (size_t)SIDE * SIDE * samples * bytes);
        for (unsigned k = 0; image.out.size && k < SIDE * SIDE * samples; k++) {
            unsigned got = bytes == 1 ? image.out.data[k] : get_u16(image.out.data + 2 * k);
            unsigned want = wanted(k / samples, k % samples, streams[i].bits);
            unsigned apart = got > want ? got - want : want - got;
            most = apart > most ? apart : most;
        }
        if (most > streams[i].apart)
            fprintf(stderr, "  stream %zu (%s %s): off by %u\n", i, streams[i].syntax, streams[i].photometric, most);
        EXPECT(most <= streams[i].apart);
        image_free(&image);
    }
}

/* Fewer bits in the stream than Bits Stored says, and Bits Stored not at the bottom. */
static void codecs_put_samples_where_the_description_says(void)
{
    for (size_t i = 0; i < STREAMS; i++) {
        struct image image;
        if (streams[i].bits != 12)
            continue;
        stream_image(&image, i, streams[i].stream, streams[i].size);
        image_us(&image, 0x00280101, 14);
        image_us(&image, 0x00280102, 13);
        image_us(&image, 0x00280103, 1);
        EXPECT_OK(image_decode(&image, 0));
        unsigned value = wanted(9, 0, 12);
        EXPECT((get_u16(image.out.data + 18) & 0x3fff) == (value & 0x800 ? value | 0x3000 : value));
        image_us(&image, 0x00280101, 12);
        image_us(&image, 0x00280102, 15);
        EXPECT_OK(image_decode(&image, 0));
        EXPECT(get_u16(image.out.data + 18) == (uint16_t)(value << 4));
        image_free(&image);
    }
}

/* The label counts where the stream does not say what its components are. */
static void codecs_leave_components_to_the_label(void)
{
    static const uint8_t *const plain[] = {jpegls_rgb_line, jpeg2000_plain};
    static const size_t sizes[] = {sizeof jpegls_rgb_line, sizeof jpeg2000_plain};
    static const char *const syntaxes[] = {JPEG_LS, JPEG_2000};
    for (unsigned i = 0; i < 2; i++) {
        struct image image;
        image_new(&image, syntaxes[i], SIDE, SIDE, 3, "YBR_FULL", 8);
        image_encapsulated(&image);
        image_fragment(&image, "", 0);
        image_fragment(&image, plain[i], sizes[i]);
        EXPECT_OK(canonical(&image));
        int y = (int)wanted(0, 0, 8), cr = (int)wanted(0, 2, 8) - 128, red = y + (cr * 1402 - 500) / 1000;
        EXPECT(image.out.size == 192 && image.out.data[0] == (red < 0 ? 0 : red > 255 ? 255 : red));
        image_free(&image);
    }
}

static void codecs_cut_anywhere_or_flipped(void)
{
    uint8_t bytes[1024];
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t at = 0; at < streams[i].size; at++) {
            struct image image;
            stream_image(&image, i, streams[i].stream, at);
            struct error err = image_decode(&image, 0);
            /* What is missing at the very end may be padding, an end marker, the last bits of the finest details. */
            EXPECT(err.code == ERROR_MALFORMED || err.code == ERROR_UNSUPPORTED ||
                   (!err.code && at * 4 > streams[i].size));
            EXPECT(!err.code || image.out.size == 0);
            error_release(&err);
            image_free(&image);
            memcpy(bytes, streams[i].stream, streams[i].size);
            bytes[at] ^= 0xff;
            stream_image(&image, i, bytes, streams[i].size);
            err = image_decode(&image, 0);
            EXPECT(err.code == ERROR_NONE || err.code == ERROR_MALFORMED || err.code == ERROR_UNSUPPORTED);
            error_release(&err);
            image_free(&image);
        }
}

/* A stream of other dimensions than the image never reaches a codec's allocations. */
static void codecs_refuse_what_is_not_as_described(void)
{
    for (size_t i = 0; i < STREAMS; i++) {
        struct image image;
        stream_image(&image, i, streams[i].stream, streams[i].size);
        image_us(&image, 0x00280010, SIDE - 1);
        EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
        image_us(&image, 0x00280010, SIDE);
        image_us(&image, 0x00280002, streams[i].samples == 1 ? 3 : 1);
        EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
        image_us(&image, 0x00280002, (uint16_t)streams[i].samples);
        if (streams[i].bits > 8) {
            image_us(&image, 0x00280100, 8);
            EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
        }
        image_free(&image);
        stream_image(&image, i, (const uint8_t *)"this is no picture at all", 25);
        EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
        image_free(&image);
    }
}

/* Offsets into jpeg2000_12: SIZ at 2, so XTsiz at 24; COD after SIZ. */
static void jpeg2000_announces_gigabytes(void)
{
    struct image image;
    uint8_t bytes[sizeof jpeg2000_12 + 8];
    size_t cod = 4 + get_u16be(jpeg2000_12 + 4);
    while (get_u16be(jpeg2000_12 + cod) != 0xff52)
        cod += 2 + get_u16be(jpeg2000_12 + cod + 2);
    EXPECT(jpeg2000_12[cod + 4] == 0); /* no precincts: 2^15 each */
    memcpy(bytes, jpeg2000_12, sizeof jpeg2000_12);
    bytes[cod + 6] = bytes[cod + 7] = 0xff; /* 65,535 layers */
    bytes[cod + 9] = 32;                    /* of 33 resolutions */
    stream_image(&image, 4, bytes, sizeof jpeg2000_12);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);

    uint8_t big[sizeof jpeg2000_12]; /* 60,000 x 60,000 in tiles of 2 x 2 */
    memcpy(big, jpeg2000_12, sizeof big);
    put_u32be(big + 8, 60000);
    put_u32be(big + 12, 60000);
    put_u32be(big + 24, 2);
    put_u32be(big + 28, 2);
    image_new(&image, JPEG_2000, 60000, 8000, 1, "MONOCHROME2", 16);
    put_u32be(big + 12, 8000);
    image_encapsulated(&image);
    image_fragment(&image, "", 0);
    image_fragment(&image, big, sizeof big);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    put_u32be(big + 24, 60000); /* one tile, in code-blocks of 4 x 4 */
    put_u32be(big + 28, 8000);
    big[cod + 10] = big[cod + 11] = 0;
    buf_clear(&image.pixels);
    image_fragment(&image, "", 0);
    image_fragment(&image, big, sizeof big);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_MALFORMED);
    image_free(&image);
}

static void codecs_find_frames_without_a_table(void)
{
    for (size_t i = 0; i < STREAMS; i++) {
        struct image image;
        size_t half = streams[i].size / 2;
        image_new(&image, streams[i].syntax, SIDE, SIDE, streams[i].samples, streams[i].photometric,
                  streams[i].bits > 8 ? 16 : 8);
        image_text(&image, 0x00280008, "IS", "2");
        image_encapsulated(&image);
        image_fragment(&image, "", 0);
        image_fragment(&image, streams[i].stream, half);
        image_fragment(&image, streams[i].stream + half, streams[i].size - half);
        image_fragment(&image, "", 0);
        image_fragment(&image, streams[i].stream, streams[i].size);
        struct buf first;
        buf_init(&first);
        EXPECT_OK(image_decode(&image, 0));
        buf_append(&first, image.out.data, image.out.size);
        EXPECT_OK(image_decode(&image, 1));
        EXPECT(first.size == image.out.size && memcmp(first.data, image.out.data, first.size) == 0);
        buf_release(&first);
        image_free(&image);
    }
}

struct counted {
    const struct buf *pixels;
    uint64_t read;
};

static struct error counted_read(void *context, uint64_t offset, void *to, size_t size)
{
    struct counted *counted = context;
    counted->read += size;
    return image_read((void *)counted->pixels, offset, to, size);
}

/* One of 2,000 frames: its own bytes are read, and where there is no table the heads of the fragments. */
static void codecs_open_one_frame_of_many(void)
{
    enum { FRAMES = 2000 };
    for (unsigned table = 0; table < 2; table++) {
        struct image image;
        uint8_t *offsets = malloc(4 * FRAMES);
        image_new(&image, JPEG_LS, SIDE, SIDE, 1, "MONOCHROME2", 16);
        image_text(&image, 0x00280008, "IS", "2000");
        image_encapsulated(&image);
        for (uint32_t i = 0; i < FRAMES; i++)
            put_u32(offsets + 4 * i, i * (8 + (uint32_t)sizeof jpegls_12));
        image_fragment(&image, offsets, table ? 4 * FRAMES : 0);
        for (uint32_t i = 0; i < FRAMES; i++)
            image_fragment(&image, jpegls_12, sizeof jpegls_12);
        struct counted counted = {&image.pixels, 0};
        struct pixel_source source = {.read = counted_read, .context = &counted, .length = image.pixels.size};
        EXPECT_OK(pixel_decode(image.description, &source, 1234, &image.out));
        EXPECT(image.out.size == 2 * SIDE * SIDE);
        EXPECT(counted.read < (table ? 2 * sizeof jpegls_12 : 25 * FRAMES));
        free(offsets);
        image_free(&image);
    }
}

/* The high-throughput code-blocks and layers that OpenJPEG 2.5.0 does not survive. */
static void htj2k_markers_among_packets_are_refused(void)
{
    struct image image;
    uint8_t bytes[sizeof htj2k_16];
    size_t packets = 0;
    memcpy(bytes, htj2k_16, sizeof bytes);
    for (size_t i = 0; i + 1 < sizeof bytes; i++)
        if (get_u16be(bytes + i) == 0xff93)
            packets = i + 2;
    EXPECT(packets > 0 && packets + 40 < sizeof bytes);
    put_u16(bytes + packets + 30, 0x90ff); /* FF, 90 */
    stream_image(&image, 11, bytes, sizeof bytes);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_UNSUPPORTED);
    image_free(&image);
    memcpy(bytes, htj2k_16, sizeof bytes);
    for (size_t i = 0; i + 6 < packets; i++)
        if (get_u16be(bytes + i) == 0xff52)
            bytes[i + 7] = 2; /* layers */
    stream_image(&image, 11, bytes, sizeof bytes);
    EXPECT_ERROR(image_decode(&image, 0), ERROR_UNSUPPORTED);
    image_free(&image);
}

static void uncompressed_422_in_fragments(void)
{
    static const uint8_t pairs[] = {81, 82, 90, 240, 0, 255, 128, 128}; /* Y Y Cb Cr, twice */
    struct image image;
    image_new(&image, "1.2.840.10008.1.2.1.98", 4, 1, 3, "YBR_FULL_422", 8);
    image_encapsulated(&image);
    image_fragment(&image, "", 0);
    image_fragment(&image, pairs, sizeof pairs);
    EXPECT_OK(image_decode(&image, 0));
    EXPECT_BYTES(&image, 81, 90, 240, 82, 90, 240, 0, 128, 128, 255, 128, 128);
    image_free(&image);
}

int main(void)
{
    RUN(codecs_open_one_frame_of_many);
    RUN(htj2k_markers_among_packets_are_refused);
    RUN(uncompressed_422_in_fragments);
    RUN(codecs_give_the_picture);
    RUN(codecs_put_samples_where_the_description_says);
    RUN(codecs_leave_components_to_the_label);
    RUN(codecs_cut_anywhere_or_flipped);
    RUN(codecs_refuse_what_is_not_as_described);
    RUN(jpeg2000_announces_gigabytes);
    RUN(codecs_find_frames_without_a_table);
    return check_done();
}
