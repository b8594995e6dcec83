/* Layer: index, inside. Which index is current, whether it can be believed, and what to do when it cannot. */
#ifndef INDEX_RECOVER_H
#define INDEX_RECOVER_H

#include "index/archive.h"

/* The generation that index/current names. `*folder` is malloc'ed. ERROR_NOT_FOUND: none. */
struct error recover_current(struct pacs *pacs, uint32_t *number, char **folder);
/* With an archive.conf of another archive no pack would be ours, and new ones would not belong to the old:
 * ERROR_REFUSED. */
struct error recover_check_owner(struct pacs *pacs);
/* Success if there is a current index whose stamp holds. */
struct error recover_trusted(struct pacs *pacs);
/* Under the writer's lock: believes, restores or rebuilds the index and replays the log behind it. On return the newest
 * pack is durable up to its end, the stamp holds, a checkpoint is written, nobody has the environment open. `*position`
 * may be NULL. */
struct error recover_index(struct pacs *pacs, bool rebuild, struct log_position *position);

/* Whether a failure to open the index is one that recover_index() mends. */
bool recover_can_mend(enum error_code code);
/* Under the writer's lock, for who only reads: recover_index(), and a whole clock that tells other mounts of it. */
struct error recover_for_reader(struct pacs *pacs);

#endif
