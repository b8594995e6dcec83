/* Layer: index/fold. From records to the index, and the decisions that go into records.
 *
 * The index is the fold of the log's logical records in LSN order and nothing else. fold_apply() is the only way in, at
 * the time of writing as at a replay. fold_decide() is asked once, when a record is made: what depends on judgement or
 * on code that may change is written down and never decided again. A fold works in one write transaction and keeps the
 * objects that it changes until fold_flush(). One thread.
 */
#ifndef INDEX_FOLD_FOLD_H
#define INDEX_FOLD_FOLD_H

#include "index/db/tables.h"
#include "index/fold/record.h"

struct fold;

/* A row of a folder, patient, study or series as the fold sees it, changes of this transaction included. */
struct fold_object {
    struct object_row row;
    struct buf text; /* name, NUL, attributes */
    bool dirty;
};

struct error fold_new(struct fold **fold);
void fold_free(struct fold *fold);
/* Begins in a write transaction; reads the state. */
struct error fold_begin(struct fold *fold, struct db_txn *txn);
/* Writes what is kept. Call before the commit. */
struct error fold_flush(struct fold *fold);
/* Forgets what is kept, and the state is that of fold_begin again (the transaction was aborted or its commit failed).
 */
void fold_reset(struct fold *fold);
struct meta_row *fold_meta(struct fold *fold);
struct db_txn *fold_txn(struct fold *fold);
/* ERROR_NOT_FOUND when there is none. Valid until the next fold_object_get of another object. */
struct error fold_object_get(struct fold *fold, enum object_kind kind, uint64_t id, struct fold_object **object);
struct error fold_object_new(struct fold *fold, const struct object_row *row);

/* Where a record stands: its header, and the first byte behind it. */
struct fold_place {
    uint64_t pack, offset, end;
};
/* Applies one logical record. Unknown types are passed over (a newer version's); ERROR_DAMAGED when the payload does
 * not hold. */
struct error fold_apply(struct fold *fold, const struct record_header *header, const struct fold_place *place,
                        const uint8_t *payload, size_t size);
/* The state says that a record was seen, whatever came of it: fold_apply() does so itself. */
void fold_seen(struct fold *fold, const struct record_header *header, const struct fold_place *place);

/* What is known of an instance before anything is decided, and what a look at the archive found (index/ingest). */
struct fold_question {
    const struct archive_conf *conf;
    const char *const *placeholders;
    const char *default_issuer;
    bool known_peer;
    bool lossy;
    bool numbered;
    int64_t instance_number;
    /* Comparison with what is here: made before, outside the writer. */
    uint64_t compared_to;     /* newest edition id with this instance UID that was looked at; 0: none was there */
    uint64_t same_as;         /* edition with the same data set; 0: none */
    bool same_holds;          /* its bytes read back */
    bool same_prefix;         /* preamble and meta header are the same too, or came from the network */
    bool same_lost;           /* its record cannot be read and this file has another size: it takes that one's place */
    const struct buf *prefix; /* those of same_as, which a healed file keeps; NULL: not known */
    bool zero_preamble;
    uint64_t variant_of; /* edition with the same elements and pixels in another syntax */
};
struct fold_answer {
    bool stale;       /* something arrived since the comparison: compare again */
    struct buf texts; /* what decisions point into */
};
/* Fills decisions, verdict, version, flags, conflicts and patient_key of `record`, whose other members are set.
 * Changes nothing. */
struct error fold_decide(struct fold *fold, const struct fold_question *question, struct instance_record *record,
                         struct fold_answer *answer);

/* Which attributes are kept at which level. */
struct fold_attribute {
    uint32_t tag;
    enum object_kind level;
    bool date; /* written YYYYMMDD */
};
const struct fold_attribute *fold_attributes(size_t *count);

#endif
