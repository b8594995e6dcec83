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

static bool read_decision(struct decision *d, struct buf *texts, const struct field_view *f)
{
    if (f->size < 17)
        return false;
    d->id = get_u64(f->value);
    d->number = get_u64(f->value + 8);
    d->created = f->value[16];
    d->name = keep(texts, f->value + 17, f->size - 17);
    return true;
}

static bool read_origin(struct instance_record *r, struct buf *texts, const struct field_view *f)
{
    const uint8_t *p = f->value, *end = p + f->size;
    for (size_t i = 0; i < 7; i++) {
        const uint8_t *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
        if (!nul)
            return false;
        r->origin[i] = keep(texts, p, (size_t)(nul - p));
        p = nul + 1;
    }
    return true;
}

static bool read_conflict(struct instance_record *r, struct buf *texts, const struct field_view *f)
{
    const uint8_t *nul = f->size > 9 ? memchr(f->value + 8, 0, f->size - 8) : NULL;
    if (!nul)
        return false;
    if (r->conflict_count == CONFLICTS_MAX)
        return true;
    struct conflict_note *c = &r->conflicts[r->conflict_count++];
    c->other = get_u64(f->value);
    c->kind = keep(texts, f->value + 8, (size_t)(nul - f->value - 8));
    c->text = keep(texts, nul + 1, (size_t)(f->value + f->size - nul - 1));
    return true;
}

static bool read_field(struct instance_record *r, struct buf *texts, struct buf *attributes, const struct field_view *f)
{
    const uint8_t *v = f->value;
    switch (f->field) {
    case FIELD_SHA256:
        if (f->size != 32)
            return false;
        memcpy(r->sha256, v, 32);
        return true;
    case FIELD_DATA_SIZE:
        return f->size == 8 && (r->data_size = get_u64(v), true);
    case FIELD_SYNTAX:
        r->syntax = keep(texts, v, f->size);
        return true;
    case FIELD_CHUNKS:
        r->chunks = v;
        r->chunk_count = f->size / CHUNK_PLACE_SIZE;
        return f->size % CHUNK_PLACE_SIZE == 0;
    case FIELD_META:
    case FIELD_PREFIX:
        r->prefix = v;
        r->prefix_size = f->size;
        r->zero_preamble = f->field == FIELD_META;
        return true;
    case FIELD_PIXEL:
        return f->size == 16 && (r->pixel_offset = get_u64(v), r->pixel_end = get_u64(v + 8), true);
    case FIELD_ATTRIBUTE:
        if (f->size < 4)
            return false;
        buf_append(attributes, v, 4);
        buf_u16(attributes, (uint16_t)(f->size - 4));
        buf_append(attributes, v + 4, f->size - 4);
        buf_byte(attributes, 0);
        return f->size - 4 <= UINT16_MAX;
    case FIELD_SHAPE:
        if (f->size < 20)
            return false;
        r->shape = (struct pixel_shape){get_u16(v),     get_u16(v + 2),  get_u16(v + 4), get_u16(v + 6),
                                        get_u32(v + 8), get_u32(v + 12), v[16],          v[17]};
        return true;
    case FIELD_JSON:
        return f->size == 9 && (r->json_version = v[0], r->json_size = get_u64(v + 1), true);
    case FIELD_POSITION:
        if (f->size != 8)
            return false;
        uint64_t bits = get_u64(v);
        memcpy(&r->position, &bits, 8);
        r->has_position = true;
        return true;
    case FIELD_ORIGIN:
        return read_origin(r, texts, f);
    case FIELD_ASSOCIATION:
        return f->size == 8 && (r->association = get_u64(v), true);
    case FIELD_FOLDER:
        return read_decision(&r->folder, texts, f);
    case FIELD_PATIENT:
        return read_decision(&r->patient, texts, f);
    case FIELD_STUDY:
        return read_decision(&r->study, texts, f);
    case FIELD_SERIES:
        return read_decision(&r->series, texts, f);
    case FIELD_INSTANCE:
        return read_decision(&r->instance, texts, f);
    case FIELD_PATIENT_KEY:
        r->patient_key = keep(texts, v, f->size);
        return true;
    case FIELD_VERDICT:
        if (f->size < 24)
            return false;
        r->verdict = v[0];
        r->version = get_u32(v + 4);
        r->flags = get_u32(v + 8);
        r->supersedes = get_u64(v + 16);
        return true;
    case FIELD_CONFLICT:
        return read_conflict(r, texts, f);
    default:
        return true;
    }
}

struct error instance_record_read(struct instance_record *r, struct buf *texts, const uint8_t *payload, size_t size)
{
    struct buf attributes;
    struct field_view f;
    size_t at = 0;
    bool good = true;
    memset(r, 0, sizeof *r);
    buf_init(texts);
    buf_init(&attributes);
    while (good && field_next(payload, size, &at, &f))
        good = read_field(r, texts, &attributes, &f);
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
