/* Attributes, pixel data and a frame number from bytes; then decoding, rendering and the canonical form.
 *
 * The input: syntax (a row of the table), rows, columns, samples, photometric, bits allocated, stored, high bit,
 * signed, planar, frames (a byte each, rows and columns two with the upper bits cut), how many elements follow; each
 * element: a byte that picks its tag and place, a length, a value; the rest is Pixel Data. Whatever is promised holds:
 * the size of a PNG, the size of decoded samples.
 */
#include "codecs/pixel/pixel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MAX 512 /* keeps an input's time short */

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t byte(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}
static uint16_t word(struct input *in)
{
    uint16_t low = byte(in);
    return (uint16_t)(low | byte(in) << 8);
}

static void token(struct pixel_description *d, enum dataset_kind kind, uint32_t tag, const char *vr, const void *value,
                  size_t size)
{
    struct dataset_token t = {.kind = kind, .tag = tag, .length = size};
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, value, size);
    copy[size] = 0;
    memcpy(t.vr, vr, strlen(vr) + 1);
    t.value = copy;
    struct error err = pixel_description_token(d, &t);
    error_release(&err);
    free(copy);
}

static void us(struct pixel_description *d, uint32_t tag, uint16_t value)
{
    uint8_t bytes[2];
    put_u16(bytes, value);
    token(d, DATASET_ELEMENT, tag, "US", bytes, 2);
}

static void image_pixel_module(struct pixel_description *d, struct input *in)
{
    static const char *const photometric[] = {"MONOCHROME2", "MONOCHROME1",  "PALETTE COLOR",   "RGB",
                                              "YBR_FULL",    "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT"};
    static const uint16_t bits[] = {8, 16, 1, 12, 32, 64, 10, 24};
    char frames[8];
    us(d, 0x00280010, word(in) % SIDE_MAX);
    us(d, 0x00280011, word(in) % SIDE_MAX);
    us(d, 0x00280002, byte(in) % 5);
    const char *name = photometric[byte(in) % 8];
    token(d, DATASET_ELEMENT, 0x00280004, "CS", name, strlen(name));
    us(d, 0x00280100, bits[byte(in) % 8]);
    us(d, 0x00280101, byte(in) % 66);
    us(d, 0x00280102, byte(in) % 66);
    us(d, 0x00280103, byte(in) % 2);
    us(d, 0x00280006, byte(in) % 2);
    snprintf(frames, sizeof frames, "%u", byte(in));
    token(d, DATASET_ELEMENT, 0x00280008, "IS", frames, strlen(frames));
}

static void more_elements(struct pixel_description *d, struct input *in)
{
    static const struct {
        uint32_t tag;
        char vr[3];
    } elements[] = {
        {0x00281050, "DS"}, {0x00281051, "DS"}, {0x00281052, "DS"}, {0x00281053, "DS"}, {0x00281056, "CS"},
        {0x00280120, "US"}, {0x00280121, "SS"}, {0x00280122, "FL"}, {0x00281101, "US"}, {0x00281102, "US"},
        {0x00281103, "SS"}, {0x00281201, "OW"}, {0x00281202, "OB"}, {0x00281203, "OW"}, {0x00281221, "OW"},
        {0x00281222, "OW"}, {0x00281223, "OW"}, {0x00283002, "US"}, {0x00283006, "OW"}, {0x20500020, "CS"},
        {0x7fe00001, "OV"}, {0x00286010, "US"},
    };
    static const uint32_t sequences[] = {0x00283000, 0x00283010, 0x52009229, 0x52009230, 0x00289145, 0x00289132};
    for (unsigned count = byte(in) % 32; count && in->left; count--) {
        unsigned pick = byte(in);
        if (pick >= 0xf0) {
            token(d, pick & 1 ? DATASET_SEQUENCE_END : DATASET_ITEM_BEGIN, 0xfffee000, "", NULL, 0);
        } else if (pick >= 0xe0) {
            token(d, DATASET_SEQUENCE_BEGIN, sequences[pick % 6], "SQ", NULL, 0);
            token(d, DATASET_ITEM_BEGIN, 0xfffee000, "", NULL, 0);
        } else {
            size_t size = word(in);
            size = size > in->left ? in->left : size;
            const char *vr = elements[pick % 22].vr;
            token(d, DATASET_ELEMENT, elements[pick % 22].tag, vr, in->at, size);
            in->at += size;
            in->left -= size;
        }
    }
}

static struct error read_input(void *context, uint64_t offset, void *to, size_t size)
{
    const struct input *in = context;
    if (offset > in->left || size > in->left - offset)
        abort(); /* the decoder has to stay within the value that it was promised */
    if (size)
        memcpy(to, in->at + offset, size);
    return NO_ERROR;
}

static void show(struct pixel_description *d, const struct syntax *syntax, struct input *in, uint32_t frame)
{
    struct pixel_source source = {.read = read_input, .context = in, .length = in->left};
    struct pixel_shape shape;
    struct buf out;
    buf_init(&out);
    pixel_description_shape(d, &shape);
    struct error err = pixel_render_png(d, &source, frame, &out);
    if (!err.code && (!pixel_can_render(syntax, &shape) || out.size != pixel_png_size(&shape)))
        abort();
    if (err.code && out.size)
        abort();
    error_release(&err);
    buf_clear(&out);
    err = pixel_render_png16(d, &source, frame, &out);
    if (!err.code && (!pixel_can_render16(syntax, &shape) || out.size != pixel_png16_size(&shape)))
        abort();
    error_release(&err);
    err = pixel_canonical(d, &source, frame, &out);
    error_release(&err);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *uid, *vr;
        uint32_t tag;
        bool encapsulated, big_endian;
    } kinds[] = {
        {"1.2.840.10008.1.2.1", "OW", 0x7fe00010, false, false},
        {"1.2.840.10008.1.2.2", "OW", 0x7fe00010, false, true},
        {"1.2.840.10008.1.2.2", "OB", 0x7fe00010, false, true},
        {"1.2.840.10008.1.2.5", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.4.50", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.4.70", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.8.1", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.1.98", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.1", "OF", 0x7fe00008, false, false},
        {"1.2.840.113619.5.2", "OD", 0x7fe00009, false, false},
        {"1.2.840.10008.1.2.4.80", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.4.90", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.4.201", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.4.110", "OB", 0x7fe00010, true, false},
        {"1.2.840.10008.1.2.4.111", "OB", 0x7fe00010, true, false},
    };
    struct input in = {data, size};
    struct pixel_description *d;
    size_t kind = byte(&in) % (sizeof kinds / sizeof *kinds);
    const struct syntax *syntax = syntax_by_uid(kinds[kind].uid);
    struct error err = pixel_description_new(&d, syntax);
    if (err.code)
        abort();
    image_pixel_module(d, &in);
    more_elements(d, &in);
    uint32_t frame = byte(&in) % 4;
    struct dataset_token begin = {.kind = DATASET_PIXEL_BEGIN,
                                  .tag = kinds[kind].tag,
                                  .length = kinds[kind].encapsulated ? DATASET_UNDEFINED : in.left,
                                  .big_endian = kinds[kind].big_endian};
    memcpy(begin.vr, kinds[kind].vr, 3);
    err = pixel_description_token(d, &begin);
    error_release(&err);
    show(d, syntax, &in, frame);
    pixel_description_free(d);
    return 0;
}
