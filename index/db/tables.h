/* Layer: index/db. The tables: what their keys and values mean. Rows are those of index/index.h.
 *
 * Reading functions return ERROR_NOT_FOUND where there is none; text in rows points into the transaction. Writing
 * functions belong to the fold (index/fold/apply.c), nobody else calls them.
 */
#ifndef INDEX_DB_TABLES_H
#define INDEX_DB_TABLES_H

#include "index/db/db.h"
#include "index/index.h"

/* ---- meta.c: one row ---- */
struct meta_row {
    uint32_t format;
    uint64_t lsn, time_ns;     /* of the newest logical record applied */
    uint64_t pack, end;        /* the place behind it: where a replay begins */
    uint64_t next_id;          /* object counter */
    uint64_t newest;           /* newest instance edition */
    uint64_t instances, bytes; /* shown */
    uint64_t duplicates;
};
#define INDEX_FORMAT 3
struct error meta_row_get(struct db_txn *txn, struct meta_row *row);
struct error meta_row_put(struct db_txn *txn, const struct meta_row *row);

/* ---- object.c: folder, patient, study, series, and which stands in which ---- */
enum table object_table(enum object_kind kind);
struct error object_get(struct db_txn *txn, enum object_kind kind, uint64_t id, struct object_row *row);
struct error object_get_any(struct db_txn *txn, uint64_t id, struct object_row *row);
struct error object_next(struct db_txn *txn, enum object_kind kind, uint64_t after, struct object_row *row);
struct error object_put(struct db_txn *txn, const struct object_row *row);
struct error child_next(struct db_txn *txn, uint64_t parent, uint64_t after, enum object_kind *kind, uint64_t *id);
struct error child_get(struct db_txn *txn, uint64_t parent, uint64_t number, enum object_kind *kind, uint64_t *id);
struct error child_put(struct db_txn *txn, uint64_t parent, uint64_t number, enum object_kind kind, uint64_t id);
/* The bytes of an object row as stored, appended to `out`. */
void object_write(struct buf *out, const struct object_row *row);
bool object_read(struct object_row *row, const uint8_t *bytes, size_t size, enum object_kind kind, uint64_t id);
/* Appends an attribute in the form that attribute() reads. */
void attribute_write(struct buf *out, uint32_t tag, const char *text, size_t size);

/* ---- instance.c: editions by series and number, and by id ---- */
struct error instance_get(struct db_txn *txn, uint64_t series, uint64_t number, struct instance_row *row);
struct error instance_next(struct db_txn *txn, uint64_t series, uint64_t after, struct instance_row *row);
struct error instance_put(struct db_txn *txn, const struct instance_row *row);
struct error edition_get(struct db_txn *txn, uint64_t id, uint64_t *series, uint64_t *number);
struct error edition_next(struct db_txn *txn, uint64_t after, uint64_t *id, uint64_t *series, uint64_t *number);
/* `newest`: no greater id is there. */
struct error edition_put(struct db_txn *txn, uint64_t id, uint64_t series, uint64_t number, bool newest);

/* ---- keys.c: names, UIDs, secondary keys: hashes, proven against the row by the caller ---- */
uint64_t name_hash(const char *name); /* of name_fold() of it */
uint64_t uid_hash(enum object_kind kind, const char *uid);
/* The numbers (ids) under a key in order, `count` of them in `list` (8 bytes each, little-endian). */
struct error name_list(struct db_txn *txn, uint64_t parent, const char *name, struct slice *list);
struct error name_add(struct db_txn *txn, uint64_t parent, const char *name, uint64_t number);
struct error uid_list(struct db_txn *txn, enum object_kind kind, const char *uid, struct slice *list);
struct error uid_add(struct db_txn *txn, enum object_kind kind, const char *uid, uint64_t id);
#define SECONDARY_PATIENT_KEY 64 /* identity: see index/fold/identity.h */
#define SECONDARY_SHOWN 128      /* added to a kind: the key under the name that a folder shows */
struct error secondary_add(struct db_txn *txn, unsigned kind, const char *key, uint64_t id);
struct error secondary_next(struct db_txn *txn, unsigned kind, const char *key, uint64_t after, uint64_t *id);
struct error secondary_next_key(struct db_txn *txn, unsigned kind, const char *prefix, const char *after,
                                char key[512]);

/* ---- journal.c: hours, origins, conflicts, duplicates, dictionaries ---- */
struct error hour_get(struct db_txn *txn, uint32_t hour, struct hour_row *row);
struct error hour_next(struct db_txn *txn, uint32_t after, struct hour_row *row);
struct error hour_put(struct db_txn *txn, const struct hour_row *row);
struct error origin_get(struct db_txn *txn, uint32_t id, struct origin_row *row);
/* The id of this origin, given if it is new. */
struct error origin_intern(struct db_txn *txn, const struct origin_row *row, uint32_t *id);
struct error conflict_next(struct db_txn *txn, uint64_t after, struct conflict_row *row);
struct error conflict_add(struct db_txn *txn, const struct conflict_row *row); /* row->id is given here */
struct error duplicate_count(struct db_txn *txn, uint64_t id, uint64_t *count);
struct error duplicate_add(struct db_txn *txn, uint64_t id);
/* The records that hold dictionary `lsn`, in order of their own LSN; `*at` is the one before (0: none) and becomes it. */
struct error dictionary_next(struct db_txn *txn, uint64_t lsn, uint64_t *at, uint64_t *pack, uint64_t *offset);
struct error dictionary_newest(struct db_txn *txn, uint64_t *lsn);
struct error dictionary_put(struct db_txn *txn, uint64_t lsn, uint64_t record_lsn, uint64_t pack, uint64_t offset);

#endif
