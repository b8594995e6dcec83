/* Layer: fs. The notifier: one thread that makes long time-outs in the kernel true.
 *
 * It waits for commits and for the moments at which series settle, works out what changed (changes.h) and tells the
 * sink, holding no lock and no transaction. Owner: whoever started it, and joins it with notifier_stop(). Requests must
 * be served until it has stopped: what it tells may wait for them.
 */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include "fs/changes.h"

struct notifier;

/* What is committed after this is told; call it before the first request is answered. */
struct error notifier_start(struct notifier **notifier, struct tree *tree, const struct change_sink *sink);
void notifier_stop(struct notifier *notifier);

#endif
