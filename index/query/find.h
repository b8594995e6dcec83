/* Layer: index. Queries: which patients, studies, series or instances have attributes that match.
 *
 * A query has a level, keys (attribute and text to match, see match.h) and columns (attributes wanted of each hit). All
 * keys must hold; a key below the query's level holds for an object when something below it holds all such keys. Keys
 * and columns may be any attribute of PS3.6: those that index rows carry are answered from them, the counts and lists
 * of PS3.4 C.3.4 (ModalitiesInStudy, NumberOfStudyRelatedInstances...) are made from them, any other is read from the
 * header of each instance (columns above instance level: of the first instance below), which costs a read a file.
 * Only what the tree shows is found. Hits come in order of arrival, or of date where a study date leads the search.
 *
 * query_run() reads in batches: no transaction is open while the callback runs, which may therefore block. What arrives
 * during a run may or may not be found. A query is immutable while it runs: several threads may run it.
 */
#ifndef INDEX_QUERY_FIND_H
#define INDEX_QUERY_FIND_H

#include "index/index.h"

#ifdef __cplusplus
extern "C" {
#endif

enum query_level { QUERY_PATIENT, QUERY_STUDY, QUERY_SERIES, QUERY_INSTANCE };
#define QUERY_LEVELS 4
#define QUERY_KEYS_MAX 128
#define QUERY_COLUMNS_MAX 128

/* "patient", "study", "series", "instance", NULL: for options and messages. */
extern const char *const query_level_names[QUERY_LEVELS + 1];

struct query;
struct query_hit {
    uint64_t ids[QUERY_LEVELS]; /* of the hit and what it stands in; 0 below its level */
    const char *path;           /* in the tree, "patients/..."; instances without suffix */
    const char *const *values;  /* one a column, UTF-8, "" where there is none; backslashes between several */
    uint64_t size;              /* instances: bytes of the .dcm */
    uint64_t time_ns;           /* when it was recorded; above instances: newest change below */
};

struct error query_new(struct query **query, enum query_level level);
void query_free(struct query *query);
/* ERROR_USAGE: not a value of this attribute, or too many keys. */
struct error query_key(struct query *query, uint32_t tag, const char *text);
/* Appends a column. */
struct error query_column(struct query *query, uint32_t tag);
/* Calls `hit` for each; its first failure ends the run and is returned. Text of a hit lives for the call. At most
 * `limit` hits; 0: all. */
typedef struct error (*query_callback)(void *context, const struct query_hit *hit);
struct error query_run(struct pacs *pacs, const struct query *query, uint64_t limit, query_callback hit, void *context);

/* Attributes that rows carry or that are made from them, for help and for default columns: `*count` of them. */
const uint32_t *query_attributes(enum query_level level, size_t *count);

/* Appends where an object or instance stands in the tree: "patients/P/S/003_CT/0042", without suffix. */
struct error query_path(struct pacs_txn *txn, uint64_t id, bool instance, struct buf *out);

#ifdef __cplusplus
}
#endif
#endif
