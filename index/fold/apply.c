/* What lives here: what each logical record does to the index. A row of the table a record type; the rules of
 * sections 4 to 6 of the design are in decide.c, which ran when the record was made: here nothing is decided. */
#include "codecs/dicom/names.h"
#include "index/fold/fold.h"
#include "index/fold/identity.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LEAD_MAX (4u << 20)

struct applying {
    struct fold *fold;
    const struct record_header *header;
    const struct fold_place *place;
    const struct instance_record *record;
};

static void used_id(struct fold *fold, uint64_t id)
{
    struct meta_row *meta = fold_meta(fold);
    if (id >= meta->next_id)
        meta->next_id = id + 1;
}

/* The attributes of one level out of all. */
static void level_attributes(struct buf *out, const struct attributes *all, enum object_kind level)
{
    size_t count;
    const struct fold_attribute *rows = fold_attributes(&count);
    for (size_t i = 0; i < count; i++) {
        const char *text = rows[i].level == level ? attribute(all, rows[i].tag) : "";
        if (*text)
            attribute_write(out, rows[i].tag, text, strlen(text));
    }
}

/* A directory that this record creates: its row, its place and name in the parent, the parent's list. */
static struct error create(struct applying *a, enum object_kind kind, const struct decision *d,
                           enum object_kind parent_kind, uint64_t parent)
{
    struct fold_object *up;
    struct buf attributes;
    buf_init(&attributes);
    level_attributes(&attributes, &a->record->attributes, kind);
    struct object_row row = {
        .kind = kind,
        .id = d->id,
        .parent = parent,
        .number = d->number,
        .name = d->name,
        .created_ns = a->header->time_ns,
        .list_ns = a->header->time_ns,
        .changed_ns = a->header->time_ns,
        .attributes = {attributes.data, attributes.size},
    };
    struct error err = buf_error(&attributes);
    CHECK(err);
    CHECK(fold_object_new(a->fold, &row));
    CHECK(child_put(fold_txn(a->fold), parent, d->number, kind, d->id));
    CHECK(name_add(fold_txn(a->fold), parent, d->name, d->number));
    CHECK(fold_object_get(a->fold, parent_kind, parent, &up));
    up->row.children = d->number > up->row.children ? d->number : up->row.children;
    up->row.list_ns = a->header->time_ns;
    up->dirty = true;
    used_id(a->fold, d->id);
out:
    buf_release(&attributes);
    return err;
}

static struct error key_both(struct db_txn *txn, enum secondary kind, const char *text, uint64_t id)
{
    struct error err = NO_ERROR;
    struct buf key;
    buf_init(&key);
    name_fold(&key, text);
    if (key.size)
        CHECK(secondary_add(txn, kind, buf_string(&key), id));
    struct buf shown;
    buf_init(&shown);
    buf_clear(&key);
    name_component(&shown, text, NAME_BYTES_MAX);
    name_fold(&key, buf_string(&shown));
    buf_release(&shown);
    if (key.size)
        err = secondary_add(txn, kind + SECONDARY_SHOWN, buf_string(&key), id);
out:
    buf_release(&key);
    return err;
}

static struct error patient_keys(struct applying *a)
{
    struct db_txn *txn = fold_txn(a->fold);
    const struct instance_record *r = a->record;
    struct buf name;
    TRY(secondary_add(txn, SECONDARY_PATIENT_KEY, r->patient_key, r->patient.id));
    TRY(key_both(txn, SECONDARY_PATIENT_ID, attribute(&r->attributes, TAG_PATIENT_ID), r->patient.id));
    buf_init(&name);
    person_fold(&name, attribute(&r->attributes, TAG_PATIENT_NAME));
    struct error err =
        name.size ? secondary_add(txn, SECONDARY_PATIENT_NAME, buf_string(&name), r->patient.id) : NO_ERROR;
    buf_release(&name);
    return err;
}

static struct error study_keys(struct applying *a)
{
    struct db_txn *txn = fold_txn(a->fold);
    const struct attributes *all = &a->record->attributes;
    const char *date = attribute(all, TAG_STUDY_DATE);
    TRY(uid_add(txn, OBJECT_STUDY, attribute(all, TAG_STUDY_UID), a->record->study.id));
    if (*date)
        TRY(secondary_add(txn, SECONDARY_STUDY_DATE, date, a->record->study.id));
    return key_both(txn, SECONDARY_ACCESSION, attribute(all, TAG_ACCESSION), a->record->study.id);
}

static struct error series_keys(struct applying *a)
{
    struct db_txn *txn = fold_txn(a->fold);
    const struct attributes *all = &a->record->attributes;
    TRY(uid_add(txn, OBJECT_SERIES, attribute(all, TAG_SERIES_UID), a->record->series.id));
    const char *modality = attribute(all, TAG_MODALITY);
    return *modality ? secondary_add(txn, SECONDARY_MODALITY, modality, a->record->series.id) : NO_ERROR;
}

/* One level of the path: created by this record, or there, or (its record is damaged) made again as it was. */
static struct error level(struct applying *a, enum object_kind kind, const struct decision *d,
                          enum object_kind parent_kind, uint64_t parent, bool *made)
{
    *made = d->created;
    if (!d->created) {
        struct fold_object *o;
        struct error err = fold_object_get(a->fold, kind, d->id, &o);
        if (err.code != ERROR_NOT_FOUND || !*d->name)
            return err;
        error_release(&err);
        *made = true;
    }
    return create(a, kind, d, parent_kind, parent);
}

static struct error create_levels(struct applying *a)
{
    const struct instance_record *r = a->record;
    bool made;
    if (r->folder.id)
        TRY(level(a, OBJECT_FOLDER, &r->folder, OBJECT_FOLDER, PACS_ROOT, &made));
    TRY(level(a, OBJECT_PATIENT, &r->patient, OBJECT_FOLDER, r->folder.id ? r->folder.id : PACS_ROOT, &made));
    if (made)
        TRY(patient_keys(a));
    TRY(level(a, OBJECT_STUDY, &r->study, OBJECT_PATIENT, r->patient.id, &made));
    if (made)
        TRY(study_keys(a));
    TRY(level(a, OBJECT_SERIES, &r->series, OBJECT_STUDY, r->study.id, &made));
    return made ? series_keys(a) : NO_ERROR;
}

/* Bytes right before the record that are this instance's own chunks: one read brings them all. */
static uint32_t lead_of(const struct applying *a)
{
    uint64_t start = a->place->offset;
    for (size_t i = a->record->chunk_count; i-- > 0;) {
        struct chunk_place c = chunk_place_read(a->record->chunks + i * CHUNK_PLACE_SIZE);
        if (c.pack != a->place->pack || c.offset + record_extent(c.length) != start ||
            a->place->offset - c.offset > LEAD_MAX)
            break;
        start = c.offset;
    }
    return (uint32_t)(a->place->offset - start);
}

static struct error fill_row(struct applying *a, struct instance_row *row)
{
    const struct instance_record *r = a->record;
    const struct origin_row origin = {r->origin[0], r->origin[1], r->origin[2], r->origin[3]};
    *row = (struct instance_row){
        .id = r->instance.id,
        .series = r->series.id,
        .number = r->instance.number,
        .lsn = a->header->lsn,
        .time_ns = a->header->time_ns,
        .flags = r->flags,
        .version = r->version,
        .syntax = syntax_by_uid(r->syntax)->code,
        .prefix_size = (uint32_t)instance_record_prefix_size(r),
        .size = instance_record_prefix_size(r) + r->data_size,
        .json_size = r->json_size,
        .json_version = r->json_version,
        .position = r->position,
        .shape = r->shape,
        .digest = get_u64(r->sha256),
        .pack = (uint32_t)a->place->pack,
        .offset = a->place->offset,
        .lead = lead_of(a),
    };
    if (r->has_position)
        row->flags |= INSTANCE_POSITION;
    if (row->flags & INSTANCE_NUMBERED)
        row->instance_number = instance_number_of(attribute(&r->attributes, TAG_INSTANCE_NUMBER));
    snprintf(row->name, sizeof row->name, "%s", r->instance.name);
    snprintf(row->uid, sizeof row->uid, "%s", attribute(&r->attributes, TAG_SOP_INSTANCE));
    snprintf(row->sop_class, sizeof row->sop_class, "%s", attribute(&r->attributes, TAG_SOP_CLASS));
    return origin_intern(fold_txn(a->fold), &origin, &row->origin);
}

/* Counts and times from the series up to the root. `shown`: the tree shows another thing than before. */
static struct error touch_ancestors(struct applying *a, const struct instance_row *row, int64_t instances,
                                    int64_t bytes, bool shown)
{
    const uint64_t ids[] = {row->series, a->record->study.id, a->record->patient.id, a->record->folder.id, PACS_ROOT};
    static const enum object_kind kinds[] = {OBJECT_SERIES, OBJECT_STUDY, OBJECT_PATIENT, OBJECT_FOLDER, OBJECT_FOLDER};
    for (size_t i = 0; i < 5; i++) {
        struct fold_object *o;
        if (!ids[i])
            continue;
        TRY(fold_object_get(a->fold, kinds[i], ids[i], &o));
        o->row.instances += (uint64_t)instances;
        o->row.bytes += (uint64_t)bytes;
        if (kinds[i] == OBJECT_SERIES && row->number > o->row.children)
            o->row.children = row->number;
        if (shown) {
            o->row.changed_ns = row->time_ns;
            o->row.newest = row->id > o->row.newest ? row->id : o->row.newest;
        }
        if (kinds[i] == OBJECT_SERIES && !(row->flags & INSTANCE_VARIANT))
            o->row.list_ns = row->time_ns;
        o->dirty = true;
    }
    struct meta_row *meta = fold_meta(a->fold);
    meta->instances += (uint64_t)instances;
    meta->bytes += (uint64_t)bytes;
    meta->newest = row->id > meta->newest ? row->id : meta->newest;
    return NO_ERROR;
}

static uint32_t hour_of(uint64_t time_ns)
{
    struct tm tm;
    time_t seconds = (time_t)(time_ns / 1000000000u);
    localtime_r(&seconds, &tm); /* the archive's time zone: pacs_open has set it */
    return (uint32_t)(((tm.tm_year + 1900) * 100 + tm.tm_mon + 1) * 100 + tm.tm_mday) * 100 + (uint32_t)tm.tm_hour;
}

static struct error count_hour(struct applying *a, const struct instance_row *row)
{
    struct hour_row hour;
    struct db_txn *txn = fold_txn(a->fold);
    struct error err = hour_get(txn, hour_of(row->time_ns), &hour);
    if (err.code == ERROR_NOT_FOUND) {
        error_release(&err);
        hour = (struct hour_row){.hour = hour_of(row->time_ns), .first = row->id, .first_ns = row->time_ns};
    }
    TRY(err);
    hour.last = row->id;
    hour.last_ns = row->time_ns;
    hour.count++;
    return hour_put(txn, &hour);
}

static struct error note_conflicts(struct applying *a)
{
    const struct instance_record *r = a->record;
    for (unsigned i = 0; i < r->conflict_count; i++) {
        struct conflict_row row = {
            .lsn = a->header->lsn,
            .time_ns = a->header->time_ns,
            .kind = r->conflicts[i].kind,
            .object = r->instance.id,
            .other = r->conflicts[i].other,
            .text = r->conflicts[i].text,
        };
        TRY(conflict_add(fold_txn(a->fold), &row));
    }
    return NO_ERROR;
}

/* The row of an edition by id; its series and number are looked up. */
static struct error row_of(struct fold *fold, uint64_t id, struct instance_row *row)
{
    uint64_t series, number;
    TRY(edition_get(fold_txn(fold), id, &series, &number));
    return instance_get(fold_txn(fold), series, number, row);
}

/* A healed edition that another one had taken the place of before. */
static struct error find_successor(struct applying *a, struct instance_row *row)
{
    struct slice list;
    struct instance_row other;
    TRY(uid_list(fold_txn(a->fold), OBJECT_INSTANCE, row->uid, &list));
    for (size_t at = 0; at + 8 <= list.size; at += 8) {
        TRY(row_of(a->fold, get_u64(list.data + at), &other));
        if (other.series == row->series && other.id > row->id && strcmp(other.uid, row->uid) == 0 &&
            instance_shown(&other, UINT64_MAX))
            row->superseded = other.id;
    }
    return NO_ERROR;
}

/* What an edition takes the place of is no longer shown; where its record is damaged, it is not there. */
static struct error supersede(struct applying *a, uint64_t by, int64_t *instances, int64_t *bytes)
{
    struct instance_row before;
    struct error err = row_of(a->fold, a->record->supersedes, &before);
    if (err.code == ERROR_NOT_FOUND) {
        error_release(&err);
        return NO_ERROR;
    }
    TRY(err);
    before.superseded = by;
    --*instances;
    *bytes -= (int64_t)before.size;
    return instance_put(fold_txn(a->fold), &before);
}

static struct error apply_edition(struct applying *a)
{
    const struct instance_record *r = a->record;
    struct db_txn *txn = fold_txn(a->fold);
    struct instance_row row;
    int64_t instances = 0, bytes = 0;
    TRY(create_levels(a));
    TRY(fill_row(a, &row));
    if (r->verdict == INGEST_HEALED)
        TRY(find_successor(a, &row));
    bool shown = instance_shown(&row, UINT64_MAX);
    if (shown) {
        instances = 1;
        bytes = (int64_t)row.size;
    }
    if (r->verdict == INGEST_VERSION)
        TRY(supersede(a, row.id, &instances, &bytes));
    TRY(instance_put(txn, &row));
    TRY(edition_put(txn, row.id, row.series, row.number, row.id >= fold_meta(a->fold)->next_id));
    TRY(name_add(txn, row.series, row.name, row.number));
    TRY(uid_add(txn, OBJECT_INSTANCE, row.uid, row.id));
    used_id(a->fold, row.id);
    TRY(touch_ancestors(a, &row, instances, bytes, shown));
    if (r->verdict != INGEST_HEALED)
        TRY(count_hour(a, &row));
    return note_conflicts(a);
}

/* The same data set is stored again where its first copy is damaged: only the place changes, and what was made of
 * it. A rebuild that could not read the first record makes the edition of this one. */
static struct error apply_heal(struct applying *a)
{
    struct instance_row row;
    struct error err = row_of(a->fold, a->record->supersedes, &row);
    if (err.code == ERROR_NOT_FOUND && a->record->instance.id == a->record->supersedes) {
        error_release(&err);
        return apply_edition(a);
    }
    TRY(err);
    row.pack = (uint32_t)a->place->pack;
    row.offset = a->place->offset;
    row.lead = lead_of(a);
    row.json_version = a->record->json_version;
    row.json_size = a->record->json_size;
    row.shape = a->record->shape;
    row.position = a->record->position;
    row.flags &= ~(uint32_t)INSTANCE_POSITION;
    row.flags |= a->record->has_position ? INSTANCE_POSITION : 0u;
    return instance_put(fold_txn(a->fold), &row);
}

static struct error apply_duplicate(struct applying *a)
{
    fold_meta(a->fold)->duplicates++;
    return duplicate_add(fold_txn(a->fold), a->record->supersedes);
}

static struct error apply_instance_record(struct fold *fold, const struct record_header *header,
                                          const struct fold_place *place, const uint8_t *payload, size_t size)
{
    struct instance_record record;
    struct buf texts;
    TRY(instance_record_read(&record, &texts, payload, size));
    struct applying a = {fold, header, place, &record};
    struct error err;
    if (record.verdict == INGEST_DUPLICATE)
        err = apply_duplicate(&a);
    else if (record.verdict == INGEST_HEALED)
        err = apply_heal(&a);
    else
        err = apply_edition(&a);
    buf_release(&texts);
    return err;
}

static struct error apply_dictionary(struct fold *fold, const struct record_header *header,
                                     const struct fold_place *place, const uint8_t *payload, size_t size)
{
    struct field_view copy;
    bool is_copy = field_find(payload, size, FIELD_COPY_OF, &copy) && copy.size == 8;
    return dictionary_put(fold_txn(fold), is_copy ? get_u64(copy.value) : header->lsn, header->lsn, place->pack,
                          place->offset);
}

static const struct {
    uint8_t type;
    struct error (*apply)(struct fold *, const struct record_header *, const struct fold_place *, const uint8_t *,
                          size_t);
} table[] = {
    {RECORD_INSTANCE, apply_instance_record},
    {RECORD_DUPLICATE, apply_instance_record},
    {RECORD_DICTIONARY, apply_dictionary},
};

void fold_seen(struct fold *fold, const struct record_header *header, const struct fold_place *place)
{
    struct meta_row *meta = fold_meta(fold);
    meta->lsn = header->lsn;
    meta->time_ns = header->time_ns;
    meta->pack = place->pack;
    meta->end = place->end;
}

struct error fold_apply(struct fold *fold, const struct record_header *header, const struct fold_place *place,
                        const uint8_t *payload, size_t size)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].type == header->type) {
            struct error err = table[i].apply(fold, header, place, payload, size);
            if (err.code)
                return error_context(err, "pack %llu, record at offset %llu (LSN %llu)",
                                     (unsigned long long)place->pack, (unsigned long long)place->offset,
                                     (unsigned long long)header->lsn);
        }
    fold_seen(fold, header, place);
    return NO_ERROR;
}
