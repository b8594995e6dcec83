/* What lives here: collecting from data set tokens what rendering needs, and judging it. What does not: any pixel.
 *
 * Two tables of attributes: those of the whole image, and those that enhanced objects repeat in their functional
 * groups (PS3.3 C.7.6.16.2.9, C.7.6.16.2.10). Where a token stands is known from the sequences around it, at most two
 * deep; deeper ones, icon images and referenced items never match a place. Each row names the field it fills.
 */
#include "codecs/pixel/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TAG_MODALITY_LUT_SEQUENCE 0x00283000
#define TAG_VOI_LUT_SEQUENCE 0x00283010
#define TAG_SHARED_GROUPS 0x52009229
#define TAG_PER_FRAME_GROUPS 0x52009230
#define TAG_PIXEL_VALUE_TRANSFORMATION 0x00289145
#define TAG_FRAME_VOI_LUT 0x00289132
#define TAG_FLOAT_PIXELS 0x7fe00008
#define TAG_DOUBLE_PIXELS 0x7fe00009

static const struct {
    const char *name;
    enum photometric photometric;
} photometric_names[] = {
    {"MONOCHROME1", PHOTOMETRIC_MONOCHROME1},
    {"MONOCHROME2", PHOTOMETRIC_MONOCHROME2},
    {"PALETTE COLOR", PHOTOMETRIC_PALETTE},
    {"RGB", PHOTOMETRIC_RGB},
    {"YBR_FULL", PHOTOMETRIC_YBR_FULL},
    {"YBR_FULL_422", PHOTOMETRIC_YBR_FULL_422},
    {"YBR_PARTIAL_420", PHOTOMETRIC_YBR_PARTIAL_420},
    {"YBR_PARTIAL_422", PHOTOMETRIC_YBR_PARTIAL_422},
    {"YBR_ICT", PHOTOMETRIC_YBR_ICT},
    {"YBR_RCT", PHOTOMETRIC_YBR_RCT},
};

/* Word `index` of a value, whatever its VR: look-up tables come as US, SS, OW and, from implicit VR, UN. */
static bool token_word(const struct dataset_token *token, size_t index, uint16_t *word)
{
    if (!token->value || token->length / 2 <= index)
        return false;
    const uint8_t *p = token->value + 2 * index;
    *word = token->big_endian ? get_u16be(p) : get_u16(p);
    return true;
}

static bool token_integer(const struct dataset_token *token, int64_t *value)
{
    uint16_t word;
    if (!token->value)
        return false;
    if (dataset_integer(token, 0, value))
        return true;
    if (token->length != 2 || !token_word(token, 0, &word))
        return false;
    *value = word;
    return true;
}

/* Attributes: each function takes the description, the field that its row names, and the token. */
typedef struct error (*attribute_take)(struct pixel_description *d, void *field, const struct dataset_token *token);

static struct error take_u16(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    int64_t value;
    (void)d;
    if (token_integer(token, &value) && value >= 0 && value <= UINT16_MAX)
        *(uint16_t *)field = (uint16_t)value;
    return NO_ERROR;
}

static struct error take_high_bit(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    d->has_high_bit = token->value && token->length >= 2;
    return take_u16(d, field, token);
}

static struct error take_integer(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    int64_t value;
    (void)d;
    if (token_integer(token, &value))
        *(int64_t *)field = value;
    return NO_ERROR;
}

static struct error take_padding(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    int64_t value;
    if (!token_integer(token, &value))
        return NO_ERROR;
    *(int64_t *)field = value;
    if (field == &d->padding)
        d->has_padding = true;
    else
        d->has_padding_limit = true;
    return NO_ERROR;
}

static struct error take_float_padding(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    double value;
    if (!token->value || !dataset_number(token, 0, &value))
        return NO_ERROR;
    *(double *)field = value;
    if (field == &d->float_padding)
        d->has_float_padding = true;
    else
        d->has_float_padding_limit = true;
    return NO_ERROR;
}

static struct error take_photometric(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    char text[20];
    (void)field;
    if (!token->value || !dataset_text(token, 0, text, sizeof text))
        return NO_ERROR;
    for (size_t i = 0; i < sizeof photometric_names / sizeof *photometric_names; i++)
        if (strcmp(text, photometric_names[i].name) == 0)
            d->photometric = photometric_names[i].photometric;
    return NO_ERROR;
}

static struct error take_shape(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    char text[20];
    (void)d;
    if (token->value && dataset_text(token, 0, text, sizeof text))
        *(bool *)field = strcmp(text, "INVERSE") == 0;
    return NO_ERROR;
}

static struct error take_descriptor(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    struct pixel_lut *lut = field;
    uint16_t entries, first, bits;
    (void)d;
    if (!token_word(token, 0, &entries) || !token_word(token, 1, &first) || !token_word(token, 2, &bits))
        return NO_ERROR;
    lut->has_descriptor = true;
    lut->descriptor_signed = strcmp(token->vr, "SS") == 0;
    lut->entries = entries ? entries : PIXEL_LUT_ENTRIES_MAX;
    lut->first = first;
    lut->bits = bits >= 1 && bits <= 16 ? bits : 16;
    return NO_ERROR;
}

static struct error lut_keep(struct pixel_lut *lut, const struct dataset_token *token, bool segmented)
{
    if (!token->value || token->length > PIXEL_CAPTURE) {
        lut->lost = token->length != 0;
        return NO_ERROR;
    }
    free(lut->data);
    lut->size = 0;
    lut->segmented = segmented;
    lut->data = malloc((size_t)token->length + 1);
    if (!lut->data)
        return error_make(ERROR_NO_MEMORY, "no memory for a look-up table of %llu bytes",
                          (unsigned long long)token->length);
    lut->size = (size_t)token->length;
    bool words = token->big_endian && strcmp(token->vr, "OB") != 0;
    for (size_t i = 0; i < lut->size; i++)
        lut->data[i] = token->value[words && (i ^ 1) < lut->size ? i ^ 1 : i];
    return NO_ERROR;
}

static struct error take_lut(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    (void)d;
    return lut_keep(field, token, false);
}

static struct error take_segmented(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    (void)d;
    struct pixel_lut *lut = field;
    return lut->data && !lut->segmented ? NO_ERROR : lut_keep(lut, token, true);
}

static struct error take_offsets(struct pixel_description *d, void *field, const struct dataset_token *token)
{
    (void)field;
    if (!token->value || token->length % 8 || !token->length || token->length > SIZE_MAX / 2)
        return NO_ERROR; /* without it frames are found by walking over the fragments */
    free(d->offsets);
    d->offset_count = 0;
    d->offsets = malloc((size_t)token->length);
    if (!d->offsets)
        return error_make(ERROR_NO_MEMORY, "no memory for an extended offset table");
    d->offset_count = (size_t)token->length / 8;
    for (size_t i = 0; i < d->offset_count; i++)
        d->offsets[i] = token->big_endian ? get_u64be(token->value + 8 * i) : get_u64(token->value + 8 * i);
    return NO_ERROR;
}

struct attribute {
    uint32_t tag;
    attribute_take take;
    size_t field;
};

#define IMAGE(tag, take, member)                                                                                       \
    {                                                                                                                  \
        tag, take, offsetof(struct pixel_description, member)                                                          \
    }
static const struct attribute image_attributes[] = {
    IMAGE(0x00280002, take_u16, samples),
    IMAGE(0x00280004, take_photometric, photometric),
    IMAGE(0x00280006, take_u16, planar),
    IMAGE(0x00280008, take_integer, frames),
    IMAGE(0x00280010, take_u16, rows),
    IMAGE(0x00280011, take_u16, columns),
    IMAGE(0x00280100, take_u16, bits_allocated),
    IMAGE(0x00280101, take_u16, bits_stored),
    IMAGE(0x00280102, take_high_bit, high_bit),
    IMAGE(0x00280103, take_u16, representation),
    IMAGE(0x00280120, take_padding, padding),
    IMAGE(0x00280121, take_padding, padding_limit),
    IMAGE(0x00280122, take_float_padding, float_padding),
    IMAGE(0x00280123, take_float_padding, float_padding),
    IMAGE(0x00280124, take_float_padding, float_padding_limit),
    IMAGE(0x00280125, take_float_padding, float_padding_limit),
    IMAGE(0x00281101, take_descriptor, palette[0]),
    IMAGE(0x00281102, take_descriptor, palette[1]),
    IMAGE(0x00281103, take_descriptor, palette[2]),
    IMAGE(0x00281201, take_lut, palette[0]),
    IMAGE(0x00281202, take_lut, palette[1]),
    IMAGE(0x00281203, take_lut, palette[2]),
    IMAGE(0x00281221, take_segmented, palette[0]),
    IMAGE(0x00281222, take_segmented, palette[1]),
    IMAGE(0x00281223, take_segmented, palette[2]),
    IMAGE(0x00286010, take_integer, representative),
    IMAGE(0x20500020, take_shape, inverse_shape),
    IMAGE(0x7fe00001, take_offsets, offsets),
};
#undef IMAGE

/* The same two attributes in an item of either LUT sequence. */
static const struct attribute lut_attributes[] = {
    {0x00283002, take_descriptor, 0},
    {0x00283006, take_lut, 0},
};

static struct error take_display(struct frame_display *display, const struct dataset_token *token)
{
    static const struct {
        uint32_t tag;
        size_t number, flag;
    } numbers[] = {
        {0x00281050, offsetof(struct frame_display, center), offsetof(struct frame_display, has_center)},
        {0x00281051, offsetof(struct frame_display, width), offsetof(struct frame_display, has_width)},
        {0x00281052, offsetof(struct frame_display, intercept), offsetof(struct frame_display, has_intercept)},
        {0x00281053, offsetof(struct frame_display, slope), offsetof(struct frame_display, has_slope)},
    };
    static const char *const functions[] = {"LINEAR", "LINEAR_EXACT", "SIGMOID"}; /* as enum voi_function */
    double number;
    char text[20];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (token->tag == numbers[i].tag && token->value && dataset_number(token, 0, &number) && isfinite(number)) {
            *(double *)((char *)display + numbers[i].number) = number;
            *(bool *)((char *)display + numbers[i].flag) = true;
        }
    if (token->tag == 0x00281056 && token->value && dataset_text(token, 0, text, sizeof text))
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            if (strcmp(text, functions[i]) == 0) {
                display->function = (enum voi_function)i;
                display->has_function = true;
            }
    return NO_ERROR;
}

/* The functional groups of the item that the reader stands in; NULL: beyond the limit, or no memory (*failed). */
static struct frame_display *frame_group(struct pixel_description *d, bool *failed)
{
    if (d->path[0] == TAG_SHARED_GROUPS)
        return &d->shared;
    uint32_t index = d->item[0];
    if (index >= PIXEL_FUNCTIONAL_GROUPS_MAX) {
        d->per_frame_lost = true;
        return NULL;
    }
    if (index >= d->per_frame_count) {
        uint32_t count = 16;
        while (count <= index)
            count *= 2;
        struct frame_display *more = realloc(d->per_frame, count * sizeof *more);
        *failed = !more;
        if (!more)
            return NULL;
        memset(more + d->per_frame_count, 0, (count - d->per_frame_count) * sizeof *more);
        d->per_frame = more;
        d->per_frame_count = count;
    }
    return &d->per_frame[index];
}

static struct error take(struct pixel_description *d, const struct attribute *rows, size_t count, void *base,
                         const struct dataset_token *token)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].tag == token->tag)
            return rows[i].take(d, (char *)base + rows[i].field, token);
    return NO_ERROR;
}

static struct error take_element(struct pixel_description *d, const struct dataset_token *token)
{
    const size_t images = sizeof image_attributes / sizeof *image_attributes;
    const size_t luts = sizeof lut_attributes / sizeof *lut_attributes;
    if (d->level == 0) {
        TRY(take_display(&d->image, token));
        return take(d, image_attributes, images, d, token);
    }
    if (d->level == 1 && d->item[0] == 0) {
        if (d->path[0] == TAG_MODALITY_LUT_SEQUENCE)
            return take(d, lut_attributes, luts, &d->modality, token);
        if (d->path[0] == TAG_VOI_LUT_SEQUENCE)
            return take(d, lut_attributes, luts, &d->voi, token);
    }
    if (d->level == 2 && d->item[1] == 0 && (d->path[0] == TAG_SHARED_GROUPS || d->path[0] == TAG_PER_FRAME_GROUPS) &&
        (d->path[1] == TAG_PIXEL_VALUE_TRANSFORMATION || d->path[1] == TAG_FRAME_VOI_LUT)) {
        bool failed = false;
        struct frame_display *display = frame_group(d, &failed);
        if (failed)
            return error_make(ERROR_NO_MEMORY, "no memory for the functional groups of %u frames", d->item[0]);
        if (display)
            return take_display(display, token);
    }
    return NO_ERROR;
}

static void take_pixels(struct pixel_description *d, const struct dataset_token *token)
{
    if (d->pixel_data || token->length == 0)
        return;
    d->pixel_data = true;
    d->encapsulated = token->length == DATASET_UNDEFINED;
    d->big_endian = token->big_endian || (d->decoder && d->decoder->big_endian_pixels);
    d->pixel_words = strcmp(token->vr, "OW") == 0;
    d->float_data = token->tag == TAG_FLOAT_PIXELS || token->tag == TAG_DOUBLE_PIXELS;
    if (d->float_data)
        d->bits_allocated = token->tag == TAG_FLOAT_PIXELS ? 32 : 64;
}

struct error pixel_description_token(void *description, const struct dataset_token *token)
{
    struct pixel_description *d = description;
    switch (token->kind) {
    case DATASET_SEQUENCE_BEGIN:
        if (d->level < 2) {
            d->path[d->level] = token->tag;
            d->item[d->level] = UINT32_MAX; /* becomes 0 with the first item */
        }
        d->level++;
        break;
    case DATASET_SEQUENCE_END:
        if (d->level)
            d->level--;
        break;
    case DATASET_ITEM_BEGIN:
        if (d->level >= 1 && d->level <= 2)
            d->item[d->level - 1]++;
        break;
    case DATASET_ELEMENT:
        return take_element(d, token);
    case DATASET_PIXEL_BEGIN:
        take_pixels(d, token);
        break;
    case DATASET_ITEM_END:
    case DATASET_FRAGMENT:
    case DATASET_PIXEL_END:
        break;
    }
    return NO_ERROR;
}

struct error pixel_description_new(struct pixel_description **description, const struct syntax *syntax)
{
    struct pixel_description *d = calloc(1, sizeof *d);
    *description = d;
    if (!d)
        return error_make(ERROR_NO_MEMORY, "no memory for an image's description");
    d->syntax = syntax;
    d->decoder = decoder_of(syntax);
    d->samples = 1;
    d->frames = 1;
    return NO_ERROR;
}

void pixel_description_free(struct pixel_description *d)
{
    if (!d)
        return;
    free(d->modality.data);
    free(d->voi.data);
    for (unsigned i = 0; i < 3; i++)
        free(d->palette[i].data);
    free(d->per_frame);
    free(d->offsets);
    free(d);
}

void pixel_description_shape(const struct pixel_description *d, struct pixel_shape *shape)
{
    memset(shape, 0, sizeof *shape);
    shape->rows = d->rows;
    shape->columns = d->columns;
    shape->samples = d->samples;
    shape->bits_allocated = d->pixel_data ? d->bits_allocated : 0;
    shape->frames = d->frames < 1 ? 1 : d->frames > UINT32_MAX ? UINT32_MAX : (uint32_t)d->frames;
    if (d->representative > 1 && d->representative <= shape->frames)
        shape->representative = (uint32_t)d->representative - 1;
    shape->photometric = (uint8_t)d->photometric;
    shape->float_data = d->float_data;
}

struct error description_layout(const struct pixel_description *d, struct pixel_layout *layout)
{
    struct pixel_shape shape;
    pixel_description_shape(d, &shape);
    if (!d->pixel_data)
        return error_make(ERROR_NOT_FOUND, "the object has no pixel data");
    if (!d->decoder)
        return error_make(ERROR_UNSUPPORTED, "no decoder for transfer syntax %s", d->syntax->uid);
    if (!pixel_can_render(d->syntax, &shape))
        return error_make(ERROR_UNSUPPORTED, "an image of %u x %u with %u samples of %u bits in %s is not shown",
                          d->columns, d->rows, d->samples, d->bits_allocated, d->syntax->uid);
    memset(layout, 0, sizeof *layout);
    layout->cell_bits = d->bits_allocated;
    layout->cell_bytes = d->bits_allocated <= 8 ? 1 : d->bits_allocated <= 16 ? 2 : d->bits_allocated <= 32 ? 4 : 8;
    layout->bits = d->bits_stored >= 1 && d->bits_stored <= d->bits_allocated ? d->bits_stored : d->bits_allocated;
    if (d->has_high_bit && d->high_bit < d->bits_allocated && d->high_bit + 1u >= layout->bits)
        layout->shift = d->high_bit + 1u - layout->bits;
    layout->is_signed = d->representation == 1;
    layout->pixels = (size_t)d->rows * d->columns;
    layout->cells = layout->pixels * d->samples;
    layout->decoded_size = layout->cells * layout->cell_bytes;
    layout->frames = shape.frames;
    return NO_ERROR;
}
