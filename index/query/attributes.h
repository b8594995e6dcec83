/* Layer: index, inside query/. The attributes that a query answers from rows, one a row of a table.
 *
 * A new attribute that rows carry, or can tell, is a row of attributes.c. Pure but for the transaction given.
 */
#ifndef INDEX_QUERY_ATTRIBUTES_H
#define INDEX_QUERY_ATTRIBUTES_H

#include "index/query/find.h"

/* One object of the level at hand. */
struct query_subject {
    struct pacs_txn *txn;
    const struct object_row *object;     /* patient, study, series */
    const struct instance_row *instance; /* or an instance */
};

struct query_attribute {
    uint32_t tag;
    enum query_level level;
    /* Appends the value; nothing where there is none. */
    struct error (*value)(const struct query_subject *subject, uint32_t tag, struct buf *out);
};

/* The row of a tag, or NULL: then it stands in the header alone. */
const struct query_attribute *query_attribute(uint32_t tag);

#endif
