/* Layer: index, inside. The writer's lock: an flock of ARCHIVE/run/lock, which goes with the process, whatever becomes of
 * it. The file says who holds it and what for: "PID writes to" or "PID recovers". */
#ifndef INDEX_LOCK_H
#define INDEX_LOCK_H

#include "index/archive.h"

#define LOCK_WAIT_MS 30000 /* for who recovers the index to be done */

enum lock_use {
    LOCK_TO_WRITE,   /* waits while a mount or a query recovers the index; ERROR_BUSY at once: another one writes */
    LOCK_TO_RECOVER, /* of a reader, for a moment; ERROR_BUSY at once, whoever holds it */
};
struct error lock_take(struct pacs *pacs, enum lock_use use);
void lock_release(struct pacs *pacs);

#endif
