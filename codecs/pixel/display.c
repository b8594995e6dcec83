/* What lives here: grey images to 8 bits (PS3.3 C.11): modality transformation, then VOI transformation, then polarity.
 *
 * Up to 16 bits the three are folded into one table from sample to grey, filled as samples occur; wider and floating-point
 * samples are shaded one by one. Where the image states no VOI transformation, the frame's own range is shown, from its
 * least to its greatest value that is no padding; images of one bit are shown from 0 to 1.
 */
#include "codecs/pixel/decoder.h"

#include <math.h>
#include <string.h>

#define SHADED 0x100 /* marks an entry that is there, in a table of grey levels */

struct display {
    const struct pixel_description *description;
    const struct pixel_layout *layout;
    const struct pixel_lut *modality, *voi; /* or NULL */
    double slope, intercept;
    int64_t modality_first, voi_first;
    bool window; /* else the frame's own range, as a LINEAR_EXACT one */
    double center, width;
    enum voi_function function;
    bool invert;
};

struct error lut_check(const struct pixel_lut *lut, const char *name)
{
    if (!lut->has_descriptor || (!lut->data && !lut->lost))
        return error_make(ERROR_MALFORMED, "the %s has no %s", name, lut->has_descriptor ? "data" : "descriptor");
    if (lut->lost)
        return error_make(ERROR_UNSUPPORTED, "the %s is longer than %u entries", name, PIXEL_LUT_ENTRIES_MAX);
    if (lut->size < lut->entries)
        return error_make(ERROR_MALFORMED, "the %s lacks %zu of %u entries", name, lut->entries - lut->size,
                          lut->entries);
    return NO_ERROR;
}

static bool lut_present(const struct pixel_lut *lut)
{
    return lut->has_descriptor || lut->data || lut->lost;
}

/* A per-frame group counts before a shared one, both before the image's own attributes (PS3.3 C.7.6.16). */
static void choose(struct display *display, uint32_t number)
{
    const struct pixel_description *d = display->description;
    const struct frame_display *sources[3] = {NULL, &d->shared, &d->image};
    if (number < d->per_frame_count)
        sources[0] = &d->per_frame[number];
    bool slope = false, window = false;
    for (unsigned i = 0; i < 3; i++) {
        const struct frame_display *from = sources[i];
        if (!from)
            continue;
        if (!slope && (from->has_slope || from->has_intercept)) {
            slope = true;
            display->slope = from->has_slope ? from->slope : 1;
            display->intercept = from->has_intercept ? from->intercept : 0;
        }
        if (!window && from->has_center && from->has_width && from->width > 0) {
            window = true;
            display->center = from->center;
            display->width = from->width;
            display->function = from->has_function ? from->function : VOI_LINEAR;
        }
    }
    display->window = window;
    /* LINEAR (C.11.2.1.2.1) is made for whole numbers and needs a width of 1 or more. Real-valued images come with
     * widths of 1 or less that would make it a threshold: theirs is LINEAR_EXACT. */
    if (window && display->function == VOI_LINEAR && (display->width < 1 || d->float_data))
        display->function = VOI_LINEAR_EXACT;
}

static double modality_value(const struct display *display, double stored)
{
    if (display->modality)
        return lut_entry(display->modality, (int64_t)stored - display->modality_first);
    return stored * display->slope + display->intercept;
}

static uint8_t grey(double fraction)
{
    double scaled = fraction * 255 + 0.5; /* rounded by the cast, which lround would do slower */
    return fraction > 0 ? fraction < 1 ? (uint8_t)scaled : 255 : 0; /* NaN: 0 */
}

/* C.11.2.1.2, C.11.2.1.3.1, C.11.2.1.3.2 */
static uint8_t voi_grey(const struct display *display, double value)
{
    double center = display->center, width = display->width;
    if (display->voi) {
        double nearest = floor(value + 0.5);
        int64_t index = nearest < -1e9 ? -1000000000 : nearest > 1e9 ? 1000000000 : (int64_t)nearest;
        return grey(lut_entry(display->voi, index - display->voi_first) / (double)((1u << display->voi->bits) - 1));
    }
    switch (display->function) {
    case VOI_LINEAR:
        if (width <= 1)
            return value > center - 0.5 ? 255 : 0;
        return grey((value - (center - 0.5)) / (width - 1) + 0.5);
    case VOI_SIGMOID:
        return grey(1 / (1 + exp(-4 * (value - center) / width)));
    case VOI_LINEAR_EXACT:
        break;
    }
    return width > 0 ? grey((value - center) / width + 0.5) : 0;
}

static uint8_t shade(const struct display *display, double stored)
{
    uint8_t value = voi_grey(display, modality_value(display, stored));
    return display->invert ? (uint8_t)(255 - value) : value;
}

static bool is_padding(const struct display *display, int64_t value)
{
    const struct pixel_description *d = display->description;
    if (!d->has_padding)
        return false;
    int64_t a = d->padding, b = d->has_padding_limit ? d->padding_limit : d->padding;
    if (display->layout->cell_bytes == 2) { /* US beside signed samples and SS beside unsigned ones are seen */
        a = display->layout->is_signed ? (int16_t)a : (uint16_t)a;
        b = display->layout->is_signed ? (int16_t)b : (uint16_t)b;
    }
    return a <= b ? value >= a && value <= b : value >= b && value <= a;
}

static bool is_float_padding(const struct pixel_description *d, double value)
{
    if (!isfinite(value))
        return true;
    if (!d->has_float_padding)
        return false;
    double a = d->float_padding, b = d->has_float_padding_limit ? d->float_padding_limit : a;
    return a <= b ? value >= a && value <= b : value >= b && value <= a;
}

static double float_at(const struct pixel_layout *layout, const uint8_t *cells, size_t i)
{
    uint64_t bits = cell_at(cells, layout->cell_bytes, i);
    uint32_t low = (uint32_t)bits;
    double value;
    float single;
    if (layout->cell_bytes == 8) {
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    memcpy(&single, &low, sizeof single);
    return (double)single;
}

struct range {
    bool any;
    double least, most; /* after the modality transformation */
};

static void range_add(const struct display *display, struct range *range, double stored)
{
    double value = modality_value(display, stored);
    if (!range->any || value < range->least)
        range->least = value;
    if (!range->any || value > range->most)
        range->most = value;
    range->any = true;
}

static void range_wide(const struct display *display, const uint8_t *cells, struct range *range)
{
    const struct pixel_layout *layout = display->layout;
    for (size_t i = 0; i < layout->pixels; i++)
        if (display->description->float_data) {
            double value = float_at(layout, cells, i);
            if (!is_float_padding(display->description, value))
                range_add(display, range, value);
        } else {
            int64_t value = stored_value(layout, cell_at(cells, layout->cell_bytes, i));
            if (!is_padding(display, value))
                range_add(display, range, (double)value);
        }
}

/* Which of the 65,536 samples occur, then the extremes of those. */
static void range_narrow(const struct display *display, const uint8_t *cells, struct range *range)
{
    uint8_t seen[65536];
    const struct pixel_layout *layout = display->layout;
    size_t count = (size_t)1 << (8 * layout->cell_bytes);
    memset(seen, 0, count);
    for (size_t i = 0; i < layout->pixels; i++)
        seen[cell_at(cells, layout->cell_bytes, i)] = 1;
    for (size_t cell = 0; cell < count; cell++) {
        int64_t value = seen[cell] ? stored_value(layout, cell) : 0;
        if (seen[cell] && !is_padding(display, value))
            range_add(display, range, (double)value);
    }
}

static void own_range(struct display *display, const uint8_t *cells)
{
    struct range range = {0};
    if (display->layout->bits == 1 && !display->description->float_data) {
        range_add(display, &range, 0);
        range_add(display, &range, display->layout->is_signed ? -1 : 1);
    } else if (display->layout->cell_bytes <= 2) {
        range_narrow(display, cells, &range);
    } else {
        range_wide(display, cells, &range);
    }
    display->function = VOI_LINEAR_EXACT;
    display->center = range.least / 2 + range.most / 2;
    display->width = range.most - range.least;
}

/* The VOI table's first value is signed where what it maps is (C.11.2.1.1): by its VR where that is explicit, else by
 * the samples or a rescaling below zero. */
static bool voi_is_signed(const struct display *display)
{
    if (display->voi->descriptor_signed)
        return true;
    if (display->modality)
        return false;
    return display->layout->is_signed || display->intercept < 0;
}

static struct error prepare(struct display *display, const struct frame *frame, uint32_t number)
{
    const struct pixel_description *d = frame->description;
    *display = (struct display){.description = d, .layout = &frame->layout, .slope = 1};
    display->invert = d->photometric == PHOTOMETRIC_MONOCHROME1 || d->inverse_shape;
    if (d->per_frame_lost && number >= d->per_frame_count)
        return error_make(ERROR_UNSUPPORTED, "the functional groups of more than %u frames",
                          PIXEL_FUNCTIONAL_GROUPS_MAX);
    choose(display, number);
    if (!d->float_data && lut_present(&d->modality)) {
        TRY(lut_check(&d->modality, "modality look-up table"));
        display->modality = &d->modality;
        display->modality_first = lut_first(&d->modality, frame->layout.is_signed);
    }
    if (!d->float_data && lut_present(&d->voi)) {
        TRY(lut_check(&d->voi, "VOI look-up table"));
        display->voi = &d->voi;
        display->voi_first = lut_first(&d->voi, voi_is_signed(display));
    }
    if (!display->voi && !display->window)
        own_range(display, frame->out->data);
    return NO_ERROR;
}

static void shade_wide(const struct display *display, const uint8_t *cells, uint8_t *lines)
{
    const struct pixel_layout *layout = display->layout;
    size_t columns = display->description->columns;
    for (size_t row = 0, i = 0; row < display->description->rows; row++) {
        *lines++ = 0;
        for (size_t column = 0; column < columns; column++, i++)
            *lines++ = shade(display, display->description->float_data
                                          ? float_at(layout, cells, i)
                                          : (double)stored_value(layout, cell_at(cells, layout->cell_bytes, i)));
    }
}

/* The grey level of a cell of at most 16 bits, worked out when it first occurs: images have some thousand values. */
static inline uint8_t shade_cell(const struct display *display, uint16_t *table, unsigned cell)
{
    if (!table[cell])
        table[cell] = SHADED | shade(display, (double)stored_value(display->layout, cell));
    return (uint8_t)table[cell];
}

static void shade_narrow(const struct display *display, const uint8_t *cells, uint8_t *lines)
{
    uint16_t table[65536];
    size_t columns = display->description->columns, rows = display->description->rows;
    memset(table, 0, sizeof *table << (8 * display->layout->cell_bytes));
    for (size_t row = 0; row < rows; row++) {
        *lines++ = 0;
        if (display->layout->cell_bytes == 1)
            for (size_t column = 0; column < columns; column++)
                *lines++ = shade_cell(display, table, *cells++);
        else
            for (size_t column = 0; column < columns; column++, cells += 2)
                *lines++ = shade_cell(display, table, get_u16(cells));
    }
}

struct error display_grey(const struct frame *frame, uint32_t number, uint8_t *lines)
{
    struct display display;
    TRY(prepare(&display, frame, number));
    (display.layout->cell_bytes <= 2 ? shade_narrow : shade_wide)(&display, frame->out->data, lines);
    return NO_ERROR;
}

uint32_t shown_offset(const struct pixel_layout *layout)
{
    return layout->is_signed ? UINT32_C(1) << (layout->bits - 1) : 0;
}

void display_stored(const struct frame *frame, uint8_t *lines)
{
    const struct pixel_layout *layout = &frame->layout;
    size_t columns = frame->description->columns;
    uint32_t offset = shown_offset(layout);
    for (size_t row = 0, i = 0; row < frame->description->rows; row++) {
        *lines++ = 0;
        for (size_t column = 0; column < columns; column++, i++) {
            uint64_t cell = cell_at(frame->out->data, layout->cell_bytes, i);
            uint32_t value = (uint32_t)stored_value(layout, cell) + offset;
            *lines++ = (uint8_t)(value >> 8);
            *lines++ = (uint8_t)value;
        }
    }
}

struct error pixel_shown(const struct pixel_description *description, uint32_t number, struct pixel_shown *shown)
{
    static const char *const names[] = {"LINEAR", "LINEAR_EXACT", "SIGMOID"}; /* as enum voi_function */
    struct pixel_layout layout;
    memset(shown, 0, sizeof *shown);
    TRY(description_layout(description, &layout));
    if (number >= layout.frames)
        return error_make(ERROR_NOT_FOUND, "no frame %u: the image has %u", number + 1, layout.frames);
    struct display display = {.description = description, .layout = &layout, .slope = 1};
    choose(&display, number);
    shown->offset = layout.bits <= 16 && !description->float_data ? shown_offset(&layout) : 0;
    shown->slope = display.slope;
    shown->intercept = display.intercept;
    shown->modality_table = !description->float_data && lut_present(&description->modality);
    if (!description->float_data && lut_present(&description->voi)) {
        shown->by = PIXEL_SHOWN_BY_TABLE;
    } else if (display.window) {
        shown->by = PIXEL_SHOWN_BY_WINDOW;
        shown->center = display.center;
        shown->width = display.width;
        shown->function = names[display.function];
    }
    return NO_ERROR;
}
