/* Layer: index/log. From the packs to the index: at a start, after a failed commit, for a rebuild. */
#ifndef INDEX_LOG_REPLAY_H
#define INDEX_LOG_REPLAY_H

#include "index/db/db.h"
#include "index/log/log.h"

struct replay_options {
    struct packs *packs;
    struct db *db;                                                /* its state row says where to begin */
    void (*progress)(void *context, uint64_t done, uint64_t all); /* bytes; may be NULL */
    /* A damaged or void stretch of a pack. May be NULL. */
    void (*finding)(void *context, bool damage, const char *text);
    void *context;
};

/* Applies all logical records behind the state of the index, in LSN order, some thousands a transaction. `*position`:
 * where the log ends now. Records that are damaged are reported and passed over. With the writer's lock. ERROR_REFUSED:
 * there are no packs, though the index has a state. */
struct error log_replay(const struct replay_options *options, struct log_position *position);

#endif
