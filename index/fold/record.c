/* What lives here: fields to struct and back. A row a field; a field that is not known is passed over. */
#include "index/fold/record.h"

#include <string.h>

static void write_decision(struct buf *out, enum field field, const struct decision *d)
{
    if (!d->id)
        return;
    size_t name = d->name ? strlen(d->name) : 0, at = field_open(out, field, 17 + name);
    if (at == SIZE_MAX)
        return;
    put_u64(out->data + at, d->id);
    put_u64(out->data + at + 8, d->number);
    out->data[at + 16] = d->created;
    if (name)
        memcpy(out->data + at + 17, d->name, name);
}

static void write_shape(struct buf *out, const struct pixel_shape *s)
{
    size_t at = field_open(out, FIELD_SHAPE, 20);
    if (at == SIZE_MAX)
        return;
    uint8_t *p = out->data + at;
    put_u16(p, s->rows);
    put_u16(p + 2, s->columns);
    put_u16(p + 4, s->samples);
    put_u16(p + 6, s->bits_allocated);
    put_u32(p + 8, s->frames);
    put_u32(p + 12, s->representative);
    p[16] = s->photometric;
    p[17] = s->float_data;
}

static void write_attributes(struct buf *out, const struct attributes *attributes)
{
    const uint8_t *p = attributes->data, *end = p + attributes->size;
    while (p && end - p >= 7) {
        size_t size = get_u16(p + 4), at = field_open(out, FIELD_ATTRIBUTE, 4 + size);
        if (at == SIZE_MAX)
            return;
        memcpy(out->data + at, p, 4);
        memcpy(out->data + at + 4, p + 6, size);
        p += size + 7;
    }
}

static void write_origin(struct buf *out, const struct instance_record *r)
{
    struct buf texts;
    buf_init(&texts);
    for (size_t i = 0; i < 7; i++)
        buf_append(&texts, r->origin[i] ? r->origin[i] : "", strlen(r->origin[i] ? r->origin[i] : "") + 1);
    out->failed |= texts.failed;
    field_bytes(out, FIELD_ORIGIN, texts.data, texts.size);
    buf_release(&texts);
    field_u64(out, FIELD_ASSOCIATION, r->association);
}

static void write_verdict(struct buf *out, const struct instance_record *r)
{
    size_t at = field_open(out, FIELD_VERDICT, 24);
    if (at == SIZE_MAX)
        return;
    uint8_t *p = out->data + at;
    p[0] = (uint8_t)r->verdict;
    put_u32(p + 4, r->version);
    put_u32(p + 8, r->flags);
    put_u64(p + 16, r->supersedes);
}

static void write_conflict(struct buf *out, const struct conflict_note *c)
{
    size_t kind = strlen(c->kind) + 1, text = strlen(c->text), at = field_open(out, FIELD_CONFLICT, 8 + kind + text);
    if (at == SIZE_MAX)
        return;
    put_u64(out->data + at, c->other);
    memcpy(out->data + at + 8, c->kind, kind);
    memcpy(out->data + at + 8 + kind, c->text, text);
}

void instance_record_write(struct buf *out, const struct instance_record *r)
{
    write_verdict(out, r);
    write_origin(out, r);
    if (r->verdict == INGEST_DUPLICATE)
        return;
    field_bytes(out, FIELD_SHA256, r->sha256, 32);
    field_u64(out, FIELD_DATA_SIZE, r->data_size);
    field_text(out, FIELD_SYNTAX, r->syntax);
    field_bytes(out, r->zero_preamble ? FIELD_META : FIELD_PREFIX, r->prefix, r->prefix_size);
    if (r->pixel_end) {
        size_t at = field_open(out, FIELD_PIXEL, 16);
        if (at != SIZE_MAX) {
            put_u64(out->data + at, r->pixel_offset);
            put_u64(out->data + at + 8, r->pixel_end);
        }
    }
    write_attributes(out, &r->attributes);
    write_shape(out, &r->shape);
    size_t at = field_open(out, FIELD_JSON, 9);
    if (at != SIZE_MAX) {
        out->data[at] = r->json_version;
        put_u64(out->data + at + 1, r->json_size);
    }
    if (r->has_position) {
        uint64_t bits;
        memcpy(&bits, &r->position, 8);
        field_u64(out, FIELD_POSITION, bits);
    }
    write_decision(out, FIELD_FOLDER, &r->folder);
    write_decision(out, FIELD_PATIENT, &r->patient);
    write_decision(out, FIELD_STUDY, &r->study);
    write_decision(out, FIELD_SERIES, &r->series);
    write_decision(out, FIELD_INSTANCE, &r->instance);
    field_text(out, FIELD_PATIENT_KEY, r->patient_key);
    for (unsigned i = 0; i < r->conflict_count; i++)
        write_conflict(out, &r->conflicts[i]);
    field_bytes(out, FIELD_CHUNKS, r->chunks, r->chunk_count * CHUNK_PLACE_SIZE);
}

/* Texts go to one buffer whose address is only known at the end: until then they are offsets + 1. */
static const char *keep(struct buf *texts, const uint8_t *bytes, size_t size)
{
    size_t at = texts->size;
    buf_append(texts, bytes, size);
    buf_byte(texts, 0);
    return (const char *)(at + 1);
}

static void settle(const struct buf *texts, const char **text)
{
    *text = *text ? (const char *)texts->data + ((uintptr_t)*text - 1) : "";
}

/* What a field is read into; its value is as long as the row of the table says. */
struct reading {
    struct instance_record *record;
    struct buf *texts, *attributes;
};

static bool read_sha256(struct reading *to, const struct field_view *f)
{
    memcpy(to->record->sha256, f->value, 32);
    return true;
}

static bool read_data_size(struct reading *to, const struct field_view *f)
{
    to->record->data_size = get_u64(f->value);
    return true;
}

static bool read_syntax(struct reading *to, const struct field_view *f)
{
    to->record->syntax = keep(to->texts, f->value, f->size);
    return true;
}

static bool read_chunks(struct reading *to, const struct field_view *f)
{
    to->record->chunks = f->value;
    to->record->chunk_count = f->size / CHUNK_PLACE_SIZE;
    return f->size % CHUNK_PLACE_SIZE == 0;
}

static bool read_prefix(struct reading *to, const struct field_view *f)
{
    to->record->prefix = f->value;
    to->record->prefix_size = f->size;
    to->record->zero_preamble = f->field == FIELD_META;
    return true;
}

static bool read_pixel(struct reading *to, const struct field_view *f)
{
    to->record->pixel_offset = get_u64(f->value);
    to->record->pixel_end = get_u64(f->value + 8);
    return true;
}

static bool read_attribute(struct reading *to, const struct field_view *f)
{
    buf_append(to->attributes, f->value, 4);
    buf_u16(to->attributes, (uint16_t)(f->size - 4));
    buf_append(to->attributes, f->value + 4, f->size - 4);
    buf_byte(to->attributes, 0);
    return f->size - 4 <= UINT16_MAX;
}

static bool read_shape(struct reading *to, const struct field_view *f)
{
    const uint8_t *v = f->value;
    to->record->shape = (struct pixel_shape){get_u16(v),     get_u16(v + 2),  get_u16(v + 4), get_u16(v + 6),
                                             get_u32(v + 8), get_u32(v + 12), v[16],          v[17]};
    return true;
}

static bool read_json(struct reading *to, const struct field_view *f)
{
    to->record->json_version = f->value[0];
    to->record->json_size = get_u64(f->value + 1);
    return true;
}

static bool read_position(struct reading *to, const struct field_view *f)
{
    uint64_t bits = get_u64(f->value);
    memcpy(&to->record->position, &bits, 8);
    to->record->has_position = true;
    return true;
}

static bool read_origin(struct reading *to, const struct field_view *f)
{
    const uint8_t *p = f->value, *end = p + f->size;
    for (size_t i = 0; i < 7; i++) {
        const uint8_t *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
        if (!nul)
            return false;
        to->record->origin[i] = keep(to->texts, p, (size_t)(nul - p));
        p = nul + 1;
    }
    return true;
}

static bool read_association(struct reading *to, const struct field_view *f)
{
    to->record->association = get_u64(f->value);
    return true;
}

static bool read_decision(struct reading *to, const struct field_view *f)
{
    struct instance_record *r = to->record;
    struct decision *d = f->field == FIELD_FOLDER    ? &r->folder
                         : f->field == FIELD_PATIENT ? &r->patient
                         : f->field == FIELD_STUDY   ? &r->study
                         : f->field == FIELD_SERIES  ? &r->series
                                                     : &r->instance;
    d->id = get_u64(f->value);
    d->number = get_u64(f->value + 8);
    d->created = f->value[16];
    d->name = keep(to->texts, f->value + 17, f->size - 17);
    return true;
}

static bool read_patient_key(struct reading *to, const struct field_view *f)
{
    to->record->patient_key = keep(to->texts, f->value, f->size);
    return true;
}

static bool read_verdict(struct reading *to, const struct field_view *f)
{
    to->record->verdict = f->value[0];
    to->record->version = get_u32(f->value + 4);
    to->record->flags = get_u32(f->value + 8);
    to->record->supersedes = get_u64(f->value + 16);
    return true;
}

static bool read_conflict(struct reading *to, const struct field_view *f)
{
    const uint8_t *nul = memchr(f->value + 8, 0, f->size - 8);
    if (!nul)
        return false;
    if (to->record->conflict_count == CONFLICTS_MAX)
        return true;
    struct conflict_note *c = &to->record->conflicts[to->record->conflict_count++];
    c->other = get_u64(f->value);
    c->kind = keep(to->texts, f->value + 8, (size_t)(nul - f->value - 8));
    c->text = keep(to->texts, nul + 1, (size_t)(f->value + f->size - nul - 1));
    return true;
}

/* `exact`: a value of another size is damage; else a shorter one is. */
static const struct {
    uint8_t size;
    bool exact;
    bool (*read)(struct reading *to, const struct field_view *f);
} fields[] = {
    [FIELD_SHA256] = {32, true, read_sha256},
    [FIELD_DATA_SIZE] = {8, true, read_data_size},
    [FIELD_SYNTAX] = {0, false, read_syntax},
    [FIELD_CHUNKS] = {0, false, read_chunks},
    [FIELD_META] = {0, false, read_prefix},
    [FIELD_PREFIX] = {0, false, read_prefix},
    [FIELD_PIXEL] = {16, true, read_pixel},
    [FIELD_ATTRIBUTE] = {4, false, read_attribute},
    [FIELD_SHAPE] = {20, false, read_shape},
    [FIELD_JSON] = {9, true, read_json},
    [FIELD_POSITION] = {8, true, read_position},
    [FIELD_ORIGIN] = {7, false, read_origin},
    [FIELD_ASSOCIATION] = {8, true, read_association},
    [FIELD_FOLDER] = {17, false, read_decision},
    [FIELD_PATIENT] = {17, false, read_decision},
    [FIELD_STUDY] = {17, false, read_decision},
    [FIELD_SERIES] = {17, false, read_decision},
    [FIELD_INSTANCE] = {17, false, read_decision},
    [FIELD_PATIENT_KEY] = {0, false, read_patient_key},
    [FIELD_VERDICT] = {24, false, read_verdict},
    [FIELD_CONFLICT] = {10, false, read_conflict},
};

/* A field of a later version is passed over. */
static bool read_field(struct reading *to, const struct field_view *f)
{
    if (f->field >= sizeof fields / sizeof fields[0] || !fields[f->field].read)
        return true;
    if (f->size < fields[f->field].size || (fields[f->field].exact && f->size != fields[f->field].size))
        return false;
    return fields[f->field].read(to, f);
}

struct error instance_record_read(struct instance_record *r, struct buf *texts, const uint8_t *payload, size_t size)
{
    struct buf attributes;
    struct reading to = {r, texts, &attributes};
    struct field_view f;
    size_t at = 0;
    bool good = true;
    memset(r, 0, sizeof *r);
    buf_init(texts);
    buf_init(&attributes);
    while (good && field_next(payload, size, &at, &f))
        good = read_field(&to, &f);
    size_t start = texts->size;
    buf_append(texts, attributes.data, attributes.size);
    r->attributes.size = attributes.size;
    texts->failed |= attributes.failed;
    buf_release(&attributes);
    if (!good || at != size) {
        buf_release(texts);
        return error_make(ERROR_DAMAGED, "fields of a record do not hold together at byte %zu of %zu", at, size);
    }
    struct error err = buf_error(texts);
    if (err.code) {
        buf_release(texts);
        return err;
    }
    r->attributes.data = texts->data ? texts->data + start : NULL;
    settle(texts, &r->syntax);
    settle(texts, &r->patient_key);
    for (size_t i = 0; i < 7; i++)
        settle(texts, &r->origin[i]);
    struct decision *const decisions[] = {&r->folder, &r->patient, &r->study, &r->series, &r->instance};
    for (size_t i = 0; i < 5; i++)
        settle(texts, &decisions[i]->name);
    for (unsigned i = 0; i < r->conflict_count; i++) {
        settle(texts, &r->conflicts[i].kind);
        settle(texts, &r->conflicts[i].text);
    }
    return NO_ERROR;
}

uint64_t instance_record_prefix_size(const struct instance_record *r)
{
    return r->prefix_size + (r->zero_preamble ? 128 : 0);
}
