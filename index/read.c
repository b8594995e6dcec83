/* What lives here: the rows of index.h out of the tables, for mounts and queries: each proven against what was asked,
 * since names and UIDs are found by hashes. */
#include "index/archive.h"

#include "codecs/dicom/names.h"
#include "index/pack/seal.h"

#include <stdlib.h>
#include <string.h>

struct error pacs_object(struct pacs_txn *txn, uint64_t id, struct object_row *row)
{
    return object_get_any(txn->db, id, row);
}

struct error pacs_next_child(struct pacs_txn *txn, uint64_t parent, uint64_t after, struct object_row *row)
{
    enum object_kind kind;
    uint64_t id;
    TRY(child_next(txn->db, parent, after, &kind, &id));
    return object_get(txn->db, kind, id, row);
}

struct error pacs_next_object(struct pacs_txn *txn, enum object_kind kind, uint64_t after, struct object_row *row)
{
    return object_next(txn->db, kind, after, row);
}

/* Exactly this name: a name that differs in case alone has the same key and is another name. */
struct error pacs_child_by_name(struct pacs_txn *txn, uint64_t parent, const char *name, struct object_row *row)
{
    struct slice list;
    TRY(name_list(txn->db, parent, name, &list));
    for (size_t at = 0; at + 8 <= list.size; at += 8) {
        enum object_kind kind;
        uint64_t id;
        TRY(child_get(txn->db, parent, get_u64(list.data + at), &kind, &id));
        TRY(object_get(txn->db, kind, id, row));
        if (strcmp(row->name, name) == 0)
            return NO_ERROR;
    }
    return error_make(ERROR_NOT_FOUND, "no such name");
}

struct error pacs_instance(struct pacs_txn *txn, uint64_t id, struct instance_row *row)
{
    uint64_t series, number;
    TRY(edition_get(txn->db, id, &series, &number));
    return instance_get(txn->db, series, number, row);
}

struct error pacs_next_instance(struct pacs_txn *txn, uint64_t series, uint64_t after, struct instance_row *row)
{
    return instance_next(txn->db, series, after, row);
}

struct error pacs_instance_by_name(struct pacs_txn *txn, uint64_t series, const char *name, struct instance_row *row)
{
    struct slice list;
    TRY(name_list(txn->db, series, name, &list));
    for (size_t at = list.size; at >= 8; at -= 8) { /* the newest is most often the shown one */
        TRY(instance_get(txn->db, series, get_u64(list.data + at - 8), row));
        if (instance_shown(row, UINT64_MAX) && strcmp(row->name, name) == 0)
            return NO_ERROR;
    }
    return error_make(ERROR_NOT_FOUND, "no such name");
}

struct error pacs_next_arrival(struct pacs_txn *txn, uint64_t after, struct instance_row *row)
{
    uint64_t id, series, number;
    TRY(edition_next(txn->db, after, &id, &series, &number));
    return instance_get(txn->db, series, number, row);
}

/* LSNs grow with ids, so halving finds it. */
struct error pacs_arrival_of_lsn(struct pacs_txn *txn, uint64_t lsn, uint64_t *id)
{
    struct meta_row meta;
    struct instance_row row;
    TRY(meta_row_get(txn->db, &meta));
    uint64_t low = 0, high = meta.newest + 1;
    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        struct error err = pacs_next_arrival(txn, middle - 1, &row);
        bool before = !err.code && row.lsn < lsn;
        if (err.code && err.code != ERROR_NOT_FOUND)
            return err;
        error_release(&err);
        if (before)
            low = row.id;
        else
            high = middle;
    }
    struct error err = pacs_next_arrival(txn, low, &row);
    if (!err.code)
        *id = row.id;
    return err;
}

/* The least id of the list above `after`; the list is in order. */
static uint64_t next_id(const struct slice *list, uint64_t after, size_t *at)
{
    for (; *at + 8 <= list->size; *at += 8)
        if (get_u64(list->data + *at) > after)
            return get_u64(list->data + *at);
    return 0;
}

static struct error next_by_uid(struct pacs_txn *txn, enum object_kind kind, uint32_t tag, const char *uid,
                                uint64_t after, struct object_row *row)
{
    struct slice list;
    TRY(uid_list(txn->db, kind, uid, &list));
    size_t at = 0;
    for (uint64_t id; (id = next_id(&list, after, &at)); at += 8) {
        TRY(object_get(txn->db, kind, id, row));
        if (strcmp(attribute(&row->attributes, tag), uid) == 0)
            return NO_ERROR;
    }
    return error_make(ERROR_NOT_FOUND, "no such UID");
}

struct error pacs_next_study_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct object_row *row)
{
    return next_by_uid(txn, OBJECT_STUDY, TAG_STUDY_UID, uid, after, row);
}

struct error pacs_next_series_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct object_row *row)
{
    return next_by_uid(txn, OBJECT_SERIES, TAG_SERIES_UID, uid, after, row);
}

struct error pacs_next_instance_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct instance_row *row)
{
    struct slice list;
    TRY(uid_list(txn->db, OBJECT_INSTANCE, uid, &list));
    size_t at = 0;
    for (uint64_t id; (id = next_id(&list, after, &at)); at += 8) {
        TRY(pacs_instance(txn, id, row));
        if (strcmp(row->uid, uid) == 0)
            return NO_ERROR;
    }
    return error_make(ERROR_NOT_FOUND, "no such UID");
}

static struct error next_by_folded(struct pacs_txn *txn, unsigned kind, const char *text, uint64_t after, uint64_t *id)
{
    struct buf key;
    buf_init(&key);
    name_fold(&key, text);
    struct error err = buf_error(&key);
    if (!err.code)
        err = secondary_next(txn->db, kind, buf_string(&key), after, id);
    buf_release(&key);
    return err;
}

struct error pacs_next_by_key(struct pacs_txn *txn, enum secondary kind, const char *value, uint64_t after,
                              uint64_t *id)
{
    bool folded = kind == SECONDARY_PATIENT_ID || kind == SECONDARY_ACCESSION;
    return folded ? next_by_folded(txn, kind, value, after, id) : secondary_next(txn->db, kind, value, after, id);
}

struct error pacs_next_by_key_name(struct pacs_txn *txn, enum secondary kind, const char *name, uint64_t after,
                                   uint64_t *id)
{
    return next_by_folded(txn, (unsigned)kind + SECONDARY_SHOWN, name, after, id);
}

struct error pacs_next_key(struct pacs_txn *txn, enum secondary kind, const char *prefix, const char *after,
                           char key[512])
{
    return secondary_next_key(txn->db, kind, prefix, after, key);
}

struct error pacs_origin(struct pacs_txn *txn, uint32_t origin, struct origin_row *row)
{
    return origin_get(txn->db, origin, row);
}

struct error pacs_next_hour(struct pacs_txn *txn, uint32_t after, struct hour_row *row)
{
    return hour_next(txn->db, after, row);
}

struct error pacs_hour(struct pacs_txn *txn, uint32_t hour, struct hour_row *row)
{
    return hour_get(txn->db, hour, row);
}

struct error pacs_next_conflict(struct pacs_txn *txn, uint64_t after, struct conflict_row *row)
{
    return conflict_next(txn->db, after, row);
}

struct error pacs_counts(struct pacs_txn *txn, struct pacs_counts *c)
{
    struct meta_row meta;
    TRY(meta_row_get(txn->db, &meta));
    *c = (struct pacs_counts){
        .patients = db_entries(txn->db, TABLE_PATIENT),
        .studies = db_entries(txn->db, TABLE_STUDY),
        .series = db_entries(txn->db, TABLE_SERIES),
        .instances = meta.instances,
        .editions = db_entries(txn->db, TABLE_EDITION),
        .duplicates = meta.duplicates,
        .conflicts = db_entries(txn->db, TABLE_CONFLICT),
        .bytes = meta.bytes,
        .lsn = meta.lsn,
        .newest = meta.newest,
        .index_bytes = db_used_bytes(txn->db),
    };
    return NO_ERROR;
}

struct error pacs_stored(struct pacs *pacs, struct pacs_stored *stored)
{
    struct pack_info *list;
    size_t count;
    struct seal seal;
    TRY(packs_list(pacs->packs, &list, &count));
    *stored = (struct pacs_stored){.packs = count};
    for (size_t i = 0; i < count; i++) {
        stored->bytes += list[i].file_size;
        struct error err = seal_read(pacs->packs, list[i].header.number, &seal);
        stored->sealed += err.code == ERROR_NONE;
        error_release(&err);
    }
    free(list);
    return NO_ERROR;
}
