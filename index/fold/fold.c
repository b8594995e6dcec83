/* What lives here: objects that a transaction changes, kept until it ends: an instance touches its series, study and
 * patient each time, and a batch or a rebuild touches the same ones over and over. A small table by id; the entry that
 * has to make room is written first. */
#include "index/fold/fold.h"

#include <stdlib.h>
#include <string.h>

#define KEPT 512 /* a power of two */

struct kept {
    bool used;
    struct fold_object object;
};

struct fold {
    struct db_txn *txn;
    struct meta_row meta, before; /* at the beginning of the transaction */
    struct kept kept[KEPT];
};

static const struct fold_attribute attributes[] = {
    {TAG_PATIENT_NAME, OBJECT_PATIENT, false},
    {TAG_PATIENT_ID, OBJECT_PATIENT, false},
    {TAG_PATIENT_ID_ISSUER, OBJECT_PATIENT, false},
    {TAG_PATIENT_BIRTH_DATE, OBJECT_PATIENT, true},
    {TAG_PATIENT_SEX, OBJECT_PATIENT, false},
    {TAG_STUDY_UID, OBJECT_STUDY, false},
    {TAG_STUDY_DATE, OBJECT_STUDY, true},
    {TAG_STUDY_TIME, OBJECT_STUDY, false},
    {TAG_ACCESSION, OBJECT_STUDY, false},
    {TAG_STUDY_DESCRIPTION, OBJECT_STUDY, false},
    {TAG_STUDY_ID, OBJECT_STUDY, false},
    {TAG_REFERRING_PHYSICIAN, OBJECT_STUDY, false},
    {TAG_SERIES_UID, OBJECT_SERIES, false},
    {TAG_MODALITY, OBJECT_SERIES, false},
    {TAG_SERIES_NUMBER, OBJECT_SERIES, false},
    {TAG_SERIES_DESCRIPTION, OBJECT_SERIES, false},
    {TAG_SERIES_DATE, OBJECT_SERIES, true},
    {TAG_SERIES_TIME, OBJECT_SERIES, false},
    {TAG_BODY_PART, OBJECT_SERIES, false},
    {TAG_PROTOCOL_NAME, OBJECT_SERIES, false},
    {TAG_MANUFACTURER, OBJECT_SERIES, false},
    {TAG_MODEL, OBJECT_SERIES, false},
    {TAG_INSTITUTION, OBJECT_SERIES, false},
    {TAG_STATION_NAME, OBJECT_SERIES, false},
    {TAG_FRAME_OF_REFERENCE, OBJECT_SERIES, false},
    {TAG_SOP_CLASS, OBJECT_INSTANCE, false},
    {TAG_SOP_INSTANCE, OBJECT_INSTANCE, false},
    {TAG_INSTANCE_NUMBER, OBJECT_INSTANCE, false},
};

const struct fold_attribute *fold_attributes(size_t *count)
{
    *count = sizeof attributes / sizeof attributes[0];
    return attributes;
}

struct error fold_new(struct fold **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? NO_ERROR : error_make(ERROR_NO_MEMORY, "out of memory");
}

void fold_free(struct fold *fold)
{
    if (!fold)
        return;
    for (size_t i = 0; i < KEPT; i++)
        buf_release(&fold->kept[i].object.text);
    free(fold);
}

struct error fold_begin(struct fold *fold, struct db_txn *txn)
{
    fold->txn = txn;
    TRY(meta_row_get(txn, &fold->meta));
    fold->before = fold->meta;
    return NO_ERROR;
}

static struct error write_kept(struct fold *fold, struct kept *k)
{
    if (!k->used || !k->object.dirty)
        return NO_ERROR;
    k->object.dirty = false;
    return object_put(fold->txn, &k->object.row);
}

struct error fold_flush(struct fold *fold)
{
    for (size_t i = 0; i < KEPT; i++) {
        TRY(write_kept(fold, &fold->kept[i]));
        fold->kept[i].used = false;
    }
    return meta_row_put(fold->txn, &fold->meta);
}

void fold_reset(struct fold *fold)
{
    for (size_t i = 0; i < KEPT; i++)
        fold->kept[i].used = fold->kept[i].object.dirty = false;
    fold->meta = fold->before;
}

struct meta_row *fold_meta(struct fold *fold)
{
    return &fold->meta;
}

struct db_txn *fold_txn(struct fold *fold)
{
    return fold->txn;
}

/* Takes name and attributes into the entry's own memory: rows of a write transaction move. */
static struct error keep(struct kept *k, const struct object_row *row)
{
    struct fold_object *o = &k->object;
    buf_clear(&o->text);
    buf_append(&o->text, row->name, strlen(row->name) + 1);
    buf_append(&o->text, row->attributes.data, row->attributes.size);
    TRY(buf_error(&o->text));
    o->row = *row;
    o->row.name = (const char *)o->text.data;
    size_t name = strlen(o->row.name) + 1;
    o->row.attributes = (struct attributes){o->text.data + name, row->attributes.size};
    k->used = true;
    return NO_ERROR;
}

struct error fold_object_get(struct fold *fold, enum object_kind kind, uint64_t id, struct fold_object **object)
{
    struct kept *k = &fold->kept[id % KEPT];
    *object = &k->object;
    if (k->used && k->object.row.id == id)
        return NO_ERROR;
    struct object_row row;
    TRY(write_kept(fold, k));
    k->used = false;
    TRY(object_get(fold->txn, kind, id, &row));
    return keep(k, &row);
}

struct error fold_object_new(struct fold *fold, const struct object_row *row)
{
    struct kept *k = &fold->kept[row->id % KEPT];
    TRY(write_kept(fold, k));
    k->used = false;
    TRY(keep(k, row));
    k->object.dirty = true;
    return NO_ERROR;
}
