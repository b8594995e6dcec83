/* What lives here: one handler that gives each token to who needs it. Values are taken from the top level alone: UIDs
 * inside icon images and referenced items are not the image's. */
#include "index/ingest/gather.h"

#include <math.h>
#include <string.h>

#define ATTRIBUTE_MAX 1024 /* bytes of UTF-8 kept; longer text is cut between characters */

#define TAG_CHARACTER_SET 0x00080005u
#define TAG_LOSSY 0x00282110u
#define TAG_POSITION 0x00200032u
#define TAG_ORIENTATION 0x00200037u

struct error gather_init(struct gather *g, const struct syntax *syntax, uint64_t prefix_size)
{
    memset(g, 0, sizeof *g);
    g->syntax = syntax;
    g->lossy = syntax->lossy;
    struct error err = charset_new(&g->charset, "");
    if (!err.code)
        err = json_model_new(&g->json, NULL, NULL, syntax, NULL, prefix_size, false);
    if (!err.code)
        err = pixel_description_new(&g->pixels, syntax);
    if (err.code)
        gather_release(g);
    return err;
}

void gather_release(struct gather *g)
{
    charset_free(g->charset);
    json_model_free(g->json);
    pixel_description_free(g->pixels);
    buf_release(&g->attributes);
    memset(g, 0, sizeof *g);
}

static struct error take_charset(struct gather *g, const struct dataset_token *t)
{
    char value[256];
    size_t size = t->length < sizeof value ? (size_t)t->length : sizeof value - 1;
    memcpy(value, t->value, size);
    value[size] = 0;
    charset_free(g->charset);
    g->charset = NULL;
    return charset_new(&g->charset, value);
}

/* UTF-8, trimmed, control characters as blanks, at most ATTRIBUTE_MAX bytes. */
static void clean(struct buf *text)
{
    size_t n = text->size;
    for (size_t i = 0; i < n; i++)
        if (text->data[i] < ' ' || text->data[i] == 0x7F)
            text->data[i] = ' ';
    if (n > ATTRIBUTE_MAX) {
        n = ATTRIBUTE_MAX;
        while (n && (text->data[n] & 0xC0) == 0x80)
            n--;
    }
    while (n && text->data[n - 1] == ' ')
        n--;
    size_t lead = 0;
    while (lead < n && text->data[lead] == ' ')
        lead++;
    memmove(text->data, text->data + lead, n - lead);
    text->size = n - lead;
    text->data[text->size] = 0;
}

/* A date of the old form 1993.08.22 (ACR-NEMA) is written as DICOM's. */
static void clean_date(struct buf *text)
{
    if (text->size == 10 && text->data[4] == '.' && text->data[7] == '.') {
        memmove(text->data + 4, text->data + 5, 2);
        memmove(text->data + 6, text->data + 8, 2);
        text->size = 8;
        text->data[8] = 0;
    }
}

static struct error take_attribute(struct gather *g, const struct dataset_token *t)
{
    size_t count;
    const struct fold_attribute *rows = fold_attributes(&count);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].tag != t->tag)
            continue;
        struct attributes have = {g->attributes.data, g->attributes.size};
        if (*attribute(&have, t->tag))
            return NO_ERROR; /* given twice: the first counts */
        struct buf text;
        buf_init(&text);
        /* Standard elements sent as UN have the dictionary's VR. */
        const char *vr = strcmp(t->vr, "UN") == 0 ? dictionary_vr(t->tag) : t->vr;
        g->replaced += charset_convert(g->charset, &text, vr, t->value, (size_t)t->length);
        if (text.data)
            clean(&text);
        if (rows[i].date && text.data)
            clean_date(&text);
        if (text.size)
            attribute_write(&g->attributes, t->tag, (const char *)text.data, text.size);
        g->attributes.failed |= text.failed;
        buf_release(&text);
        return buf_error(&g->attributes);
    }
    return NO_ERROR;
}

static bool numbers(const struct dataset_token *t, double *to, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!dataset_number(t, i, &to[i]) || !isfinite(to[i]))
            return false;
    return true;
}

static struct error take_top(struct gather *g, const struct dataset_token *t)
{
    double o[6];
    char text[8];
    switch (t->tag) {
    case TAG_CHARACTER_SET:
        return take_charset(g, t);
    case TAG_LOSSY:
        if (dataset_text(t, 0, text, sizeof text) && strcmp(text, "01") == 0)
            g->lossy = true;
        return NO_ERROR;
    case TAG_POSITION:
        if (numbers(t, g->corner, 3))
            g->have |= 1;
        return NO_ERROR;
    case TAG_ORIENTATION:
        if (numbers(t, o, 6)) {
            memcpy(g->row, o, sizeof g->row);
            memcpy(g->column, o + 3, sizeof g->column);
            g->have |= 2;
        }
        return NO_ERROR;
    default:
        return take_attribute(g, t);
    }
}

struct error gather_token(void *context, const struct dataset_token *t)
{
    struct gather *g = context;
    TRY(json_model_token(g->json, t));
    TRY(pixel_description_token(g->pixels, t));
    if (t->kind == DATASET_PIXEL_BEGIN && !g->pixel_offset) {
        g->pixel_offset = t->value_offset;
        g->pixel_length = t->length;
        g->pixel_encapsulated = t->length == DATASET_UNDEFINED;
    } else if (t->kind == DATASET_PIXEL_END && !g->pixel_end) {
        g->pixel_end = t->offset;
    } else if (t->kind == DATASET_ELEMENT && t->depth == 0 && t->value) {
        return take_top(g, t);
    }
    return NO_ERROR;
}

/* The distance of the plane from the origin along its normal (PS3.3 C.7.6.2.1.1): orders parallel slices. */
static bool position(const struct gather *g, double *to)
{
    if (g->have != 3)
        return false;
    const double *r = g->row, *c = g->column, *p = g->corner;
    double n[3] = {r[1] * c[2] - r[2] * c[1], r[2] * c[0] - r[0] * c[2], r[0] * c[1] - r[1] * c[0]};
    double length = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    if (!(length > 0.5 && length < 2)) /* no pair of unit vectors */
        return false;
    *to = (n[0] * p[0] + n[1] * p[1] + n[2] * p[2]) / length;
    return isfinite(*to);
}

struct error gather_finish(struct gather *g, struct instance_record *record)
{
    uint64_t size, uris;
    const struct attributes all = {g->attributes.data, g->attributes.size};
    record->attributes = all;
    TRY(json_model_finish(g->json, &size, &uris));
    /* uids/STUDY/SERIES/INSTANCE.dcm, unless one of them stands there by a number that is not known yet. */
    const char *study = attribute(&all, TAG_STUDY_UID), *series = attribute(&all, TAG_SERIES_UID);
    const char *instance = attribute(&all, TAG_SOP_INSTANCE);
    size_t uri = strlen("uids/") + strlen(study) + 1 + strlen(series) + 1 + strlen(instance) + strlen(".dcm");
    bool counted = uris == 0 || (uid_is_plain(study) && uid_is_plain(series) && uid_is_plain(instance));
    record->json_size = size + uris * uri;
    record->json_version = counted ? JSON_MODEL_VERSION : 0;
    pixel_description_shape(g->pixels, &record->shape);
    if (!g->pixel_end)
        record->shape.bits_allocated = 0;
    record->pixel_offset = g->pixel_offset;
    record->pixel_end = g->pixel_end;
    record->has_position = position(g, &record->position);
    return NO_ERROR;
}
