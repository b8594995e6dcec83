/* Layer: fs. A mount: the FUSE session over a tree. No FUSE type leaves mount_fuse.c.
 *
 * Order: mount_open, notifier_start (with mount_sink), mount_serve, ..., notifier_stop, mount_stop, mount_close.
 */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include "fs/changes.h"
#include "fs/options.h"

struct mount;

/* Mounts on `path`; the kernel's requests wait until mount_serve(). */
struct error mount_open(struct mount **mount, struct tree *tree, const struct options *options, const char *archive,
                        const char *path);
struct change_sink mount_sink(struct mount *mount);
/* Starts the threads that answer. When the session ends by itself (unmounted from outside), `ended` is called. */
struct error mount_serve(struct mount *mount, void (*ended)(void *context), void *context);
/* Ends and joins them. */
void mount_stop(struct mount *mount);
/* Unmounts, if it is still mounted, and frees. */
void mount_close(struct mount *mount);

#endif
