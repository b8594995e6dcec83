/* Layer: fs. Instance files kept open between reads: the kernel announces no open and no close (mount_fuse.c).
 *
 * At most HELD_MAX idle ones; the least recently used goes. Readers of one file share it. Any thread.
 */
#ifndef FS_HELD_H
#define FS_HELD_H

#include "index/index.h"

#define HELD_MAX 64

struct held;
struct held_file;

struct error held_new(struct held **held, struct pacs *pacs);
void held_free(struct held *held); /* nothing may be in use */
struct error held_get(struct held *held, uint64_t id, struct held_file **file);
struct instance_file *held_file(const struct held_file *file);
void held_put(struct held *held, struct held_file *file);
/* Closes what has not been used since the call before this one. */
void held_idle(struct held *held);

#endif
