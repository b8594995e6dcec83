/* What lives here: colour images to RGB of 8 bits: palettes (PS3.3 C.7.6.3.1.5, segmented ones C.7.9.2), YBR (PS3.3
 * C.7.6.3.1.2), samples of other than 8 bits scaled.
 *
 * YBR_ICT and YBR_RCT name what happens inside a JPEG 2000 stream; its decoders undo it, and so has whoever wrote such
 * a label on uncompressed samples: both are RGB here.
 */
#include "codecs/pixel/decoder.h"

#include <string.h>

static uint8_t clamp(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* One conversion's coefficients, in 65,536ths: R = (Y - black) * y + r_cr * (Cr - 128), and so on. */
struct ybr {
    int black, y, r_cr, g_cb, g_cr, b_cb;
};
static const struct ybr ybr_full = {0, 65536, 91881, 22554, 46802, 116130};
static const struct ybr ybr_partial = {16, 76309, 104597, 25675, 53279, 132201};

static const struct {
    enum photometric photometric;
    const struct ybr *ybr;
} conversions[] = {
    {PHOTOMETRIC_YBR_FULL, &ybr_full},
    {PHOTOMETRIC_YBR_FULL_422, &ybr_full},
    {PHOTOMETRIC_YBR_PARTIAL_420, &ybr_partial},
    {PHOTOMETRIC_YBR_PARTIAL_422, &ybr_partial},
};

void colour_convert(enum photometric photometric, uint8_t *cells, size_t pixels)
{
    const struct ybr *ybr = NULL;
    for (size_t i = 0; i < sizeof conversions / sizeof *conversions; i++)
        if (conversions[i].photometric == photometric)
            ybr = conversions[i].ybr;
    if (!ybr)
        return;
    for (size_t i = 0; i < pixels; i++, cells += 3) {
        int y = (cells[0] - ybr->black) * ybr->y + 32768, cb = cells[1] - 128, cr = cells[2] - 128;
        cells[0] = clamp((y + ybr->r_cr * cr) >> 16);
        cells[1] = clamp((y - ybr->g_cb * cb - ybr->g_cr * cr) >> 16);
        cells[2] = clamp((y + ybr->b_cb * cb) >> 16);
    }
}

static struct error samples_rgb(const struct frame *frame, uint8_t *lines)
{
    const struct pixel_layout *layout = &frame->layout;
    const struct pixel_description *d = frame->description;
    const uint8_t *cells = frame->out->data;
    size_t width = (size_t)d->columns * 3;
    bool plain = layout->cell_bytes == 1 && layout->bits == 8;
    uint64_t mask = layout->bits >= 64 ? UINT64_MAX : (UINT64_C(1) << layout->bits) - 1;
    for (size_t row = 0; row < d->rows; row++, lines += width + 1) {
        lines[0] = 0;
        if (plain)
            memcpy(lines + 1, cells + row * width, width);
        else
            for (size_t i = 0; i < width; i++) {
                uint64_t value = cell_at(cells, layout->cell_bytes, row * width + i) >> layout->shift & mask;
                lines[1 + i] = (uint8_t)((value * 255 + mask / 2) / mask);
            }
        colour_convert(frame->photometric, lines + 1, d->columns);
    }
    return NO_ERROR;
}

/* Expands a segmented table (PS3.3 C.7.9.2) to `entries` words; the segments are words as well. An indirect segment
 * repeats discrete and linear ones before it; it may not contain another indirect one. */
struct segments {
    const uint8_t *data;
    size_t words;
    uint16_t *to;
    size_t entries, done;
};

static void put_entry(struct segments *s, uint16_t value)
{
    if (s->done < s->entries)
        s->to[s->done++] = value;
}

/* The segment at word `at`: where the next begins, or 0 when it is wrong. */
static size_t expand_segment(struct segments *s, size_t at, bool nested)
{
    if (s->words - at < 3)
        return 0;
    uint16_t opcode = get_u16(s->data + 2 * at), length = get_u16(s->data + 2 * at + 2);
    const uint8_t *body = s->data + 2 * (at + 2);
    size_t left = s->words - at - 2;
    if (length == 0) /* would let a short table ask for endless work */
        return 0;
    if (opcode == 0 && length <= left) {
        for (size_t i = 0; i < length; i++)
            put_entry(s, get_u16(body + 2 * i));
        return at + 2 + length;
    }
    if (opcode == 1 && s->done) {
        int32_t from = s->to[s->done - 1], to = get_u16(body);
        for (int64_t i = 1; i <= length; i++)
            put_entry(s, (uint16_t)(from + ((int64_t)(to - from) * i * 2 + (to >= from ? length : -length)) /
                                               (2 * (int64_t)length)));
        return at + 3;
    }
    if (opcode == 2 && !nested && left >= 2) {
        size_t offset = get_u16(body) | (size_t)get_u16(body + 2) << 16; /* in bytes from the table's start */
        size_t from = offset / 2;
        for (unsigned i = 0; i < length && s->done < s->entries; i++)
            if (from >= at || !(from = expand_segment(s, from, true)))
                return 0;
        return at + 4;
    }
    return 0;
}

static struct error expand(const struct pixel_lut *lut, struct buf *words, struct pixel_lut *plain)
{
    struct segments s = {.data = lut->data, .words = lut->size / 2, .entries = lut->entries};
    uint16_t *to = (uint16_t *)(void *)buf_reserve(words, (size_t)lut->entries * 2);
    TRY(buf_error(words));
    s.to = to;
    size_t at = 0;
    while (at < s.words && s.done < s.entries)
        if (!(at = expand_segment(&s, at, false)))
            return error_make(ERROR_MALFORMED, "a segmented palette is wrong after %zu entries", s.done);
    if (s.done < s.entries)
        return error_make(ERROR_MALFORMED, "a segmented palette lacks %zu of %zu entries", s.entries - s.done,
                          s.entries);
    for (size_t i = 0; i < s.entries; i++)
        put_u16(words->data + 2 * i, to[i]);
    *plain = *lut;
    plain->data = words->data;
    plain->size = (size_t)lut->entries * 2;
    return NO_ERROR;
}

/* Bits of the entries in use: a descriptor that promises 16 before entries below 256 everywhere means 8, as writers
 * of 8-bit palettes in words do. */
static unsigned palette_bits(const struct pixel_lut palette[3])
{
    uint32_t most = 0;
    for (unsigned k = 0; k < 3; k++)
        for (uint32_t i = 0; i < palette[k].entries; i++) {
            uint32_t entry = lut_entry(&palette[k], i);
            most = entry > most ? entry : most;
        }
    return most < 256 ? 8 : 16;
}

static struct error palette_rgb(const struct frame *frame, uint8_t *lines)
{
    static const char *const names[] = {"red palette", "green palette", "blue palette"};
    struct error err;
    const struct pixel_description *d = frame->description;
    const struct pixel_layout *layout = &frame->layout;
    struct pixel_lut palette[3];
    struct buf words[3], colours;
    for (unsigned k = 0; k < 3; k++)
        buf_init(&words[k]);
    buf_init(&colours);
    for (unsigned k = 0; k < 3; k++) {
        palette[k] = d->palette[k];
        if (palette[k].segmented && palette[k].has_descriptor && palette[k].data)
            CHECK(expand(&d->palette[k], &words[k], &palette[k]));
        CHECK(lut_check(&palette[k], names[k]));
    }
    unsigned shift = palette_bits(palette) - 8;
    size_t count = (size_t)1 << (8 * layout->cell_bytes);
    uint8_t *rgb = buf_reserve(&colours, count * 3);
    CHECK(buf_error(&colours));
    for (size_t cell = 0; cell < count; cell++)
        for (unsigned k = 0; k < 3; k++) {
            int64_t index = stored_value(layout, cell) - lut_first(&palette[k], layout->is_signed);
            rgb[3 * cell + k] = (uint8_t)(lut_entry(&palette[k], index) >> shift);
        }
    const uint8_t *cells = frame->out->data;
    for (size_t row = 0, i = 0; row < d->rows; row++) {
        *lines++ = 0;
        for (size_t column = 0; column < d->columns; column++, i++, lines += 3)
            memcpy(lines, rgb + 3 * cell_at(cells, layout->cell_bytes, i), 3);
    }
out:
    for (unsigned k = 0; k < 3; k++)
        buf_release(&words[k]);
    buf_release(&colours);
    return err;
}

struct error colour_rgb(const struct frame *frame, uint8_t *lines)
{
    return frame->description->samples == 3 ? samples_rgb(frame, lines) : palette_rgb(frame, lines);
}
