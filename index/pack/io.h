/* Layer: index/pack. The seam under everything that the archive writes: packs, checkpoint, index switch, configuration.
 *
 * `io_system` is the real one; tests put faults and power cuts behind the same functions. Each returns what its system
 * call returns, and sets errno. Functions must be callable from any thread.
 */
#ifndef INDEX_PACK_IO_H
#define INDEX_PACK_IO_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io_ops {
    int (*open)(const struct io_ops *io, const char *path, int flags, mode_t mode);
    int (*close)(const struct io_ops *io, int fd);
    ssize_t (*pread)(const struct io_ops *io, int fd, void *to, size_t size, off_t offset);
    ssize_t (*pwritev)(const struct io_ops *io, int fd, const struct iovec *parts, int count, off_t offset);
    int (*fdatasync)(const struct io_ops *io, int fd);
    int (*fsync)(const struct io_ops *io, int fd);
    int (*rename)(const struct io_ops *io, const char *from, const char *to);
    int (*unlink)(const struct io_ops *io, const char *path);
    int (*statvfs)(const struct io_ops *io, const char *path, struct statvfs *to);
};

extern const struct io_ops io_system;

/* All of `size` bytes or a failure; a short file is ERROR_DAMAGED ("ends at"). `name` is for the message. */
struct error io_read_full(const struct io_ops *io, int fd, void *to, size_t size, uint64_t offset, const char *name);
/* All parts, in as many calls as it takes. `parts` is used up. */
struct error io_write_full(const struct io_ops *io, int fd, struct iovec *parts, size_t count, uint64_t offset,
                           const char *name);
struct error io_sync_folder(const struct io_ops *io, const char *path);
/* Replaces folder/name in one step: temporary file, fsync, rename, fsync of the folder. */
struct error io_replace(const struct io_ops *io, const char *folder, const char *name, const void *bytes, size_t size,
                        mode_t mode);

#endif
