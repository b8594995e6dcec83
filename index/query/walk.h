/* Layer: index, inside query/. The walk that finds candidates: from a source (all patients, or what a secondary key or
 * a UID leads to) down to the deepest level that a query must see, checking the keys that rows can answer.
 *
 * A walk holds ids and numbers only, nothing of a transaction: it goes on in the next one where it stopped.
 */
#ifndef INDEX_QUERY_WALK_H
#define INDEX_QUERY_WALK_H

#include "index/query/attributes.h"
#include "index/query/match.h"

struct query_key {
    uint32_t tag;
    const struct query_attribute *attribute; /* NULL: in the header */
    struct match *match;
};

struct query {
    enum query_level level;
    unsigned keys, columns, header_keys, header_columns;
    struct query_key key[QUERY_KEYS_MAX];
    struct {
        uint32_t tag;
        const struct query_attribute *attribute;
    } column[QUERY_COLUMNS_MAX];
};

struct walk_source;
struct walk {
    const struct query *query;
    const struct walk_source *source;
    const struct match *lead; /* the key that the source follows */
    bool source_below;        /* its level is below that of the query: an object may come up twice */
    enum query_level deepest; /* candidates are of this level */
    int depth;                /* level of ids that hold; -1: ask the source */
    uint64_t ids[QUERY_LEVELS];
    uint64_t after[QUERY_LEVELS]; /* number of the child at hand, by its level */
    uint64_t source_after;
    size_t source_at;      /* UID lists: where the present one begins */
    char source_key[512];  /* the present key of a range of keys */
    bool source_in_key;    /* source_key is one that was found, not where to begin */
    unsigned source_range; /* names: which of the ranges */
    struct buf scratch;
};

void walk_init(struct walk *walk, const struct query *query);
void walk_release(struct walk *walk);
/* Goes on until a candidate (its ids and those above it in walk->ids) or until `*steps` rows were looked at, which it
 * counts down: `*found` tells. ERROR_NOT_FOUND at the end. */
struct error walk_next(struct walk *walk, struct pacs_txn *txn, unsigned *steps, bool *found);
/* Leaves the object of `level` that the walk is in. */
void walk_leave(struct walk *walk, enum query_level level);

#endif
