/* Layer: net/ctl. Where `export` writes to: files in a folder, or members of one zip or tar.
 *
 * A target is used by one thread: begin a file, feed it, end or drop it.
 * What stands there already is never written over unless `force`; what is half written is never seen under its name.
 */
#ifndef NET_CTL_TARGET_H
#define NET_CTL_TARGET_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct target;
struct target_ops {
    /* `name` is relative, its components are checked; `time_ns` becomes the mtime. ERROR_REFUSED: it is there. */
    struct error (*begin)(struct target *target, const char *name, uint64_t size, uint64_t time_ns);
    struct error (*feed)(struct target *target, const void *bytes, size_t size);
    struct error (*end)(struct target *target);
    void (*drop)(struct target *target); /* after a failure of feed or of the source */
    /* All is written (`whole`), or leave nothing behind that looks so. Frees. */
    struct error (*finish)(struct target *target, bool whole);
};

struct target {
    const struct target_ops *ops;
    bool whole_only; /* a file that was begun must be ended, or all is lost */
};

/* Files below `folder`, which is made if need be. */
struct error folder_target(struct target **target, const char *folder, bool force);
/* One archive; the format by the end of its name: .zip .tar .tar.gz .tgz .tar.zst. */
struct error archive_target(struct target **target, const char *path, bool force);

#endif
