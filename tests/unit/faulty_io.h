/* The seam of index/pack/io.h with faults: the real calls, but the one whose turn it is fails. One fault at a time,
 * counted over the calls of its kind; `stick`: all later calls of the kind fail too. `cut`: from the fault on every
 * call that changes the disk fails, as if the power were gone. */
#ifndef TESTS_UNIT_FAULTY_IO_H
#define TESTS_UNIT_FAULTY_IO_H

#include "index/pack/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

enum fault { FAULT_NONE, FAULT_WRITE, FAULT_SHORT, FAULT_ZERO, FAULT_SYNC, FAULT_CREATE, FAULT_RENAME, FAULT_READ };

static struct {
    _Atomic int kind;      /* enum fault */
    _Atomic int countdown; /* calls of the kind that still succeed */
    _Atomic bool stick, cut;
    _Atomic bool gone;  /* the power is */
    _Atomic int number; /* errno */
    _Atomic int hits;
    _Atomic long long bad_from, bad_to; /* FAULT_READ: bytes that cannot be read */
} fault_plan;

static inline void fault_set(enum fault kind, int countdown, int number, bool stick)
{
    fault_plan.countdown = countdown;
    fault_plan.number = number;
    fault_plan.stick = stick;
    fault_plan.cut = fault_plan.gone = false;
    fault_plan.hits = 0;
    fault_plan.kind = (int)kind;
}

static inline void fault_clear(void)
{
    fault_set(FAULT_NONE, 0, 0, false);
}

static inline bool fault_due(enum fault kind)
{
    if (fault_plan.gone && kind != FAULT_READ) {
        errno = EIO;
        return true;
    }
    if (fault_plan.kind != (int)kind || fault_plan.countdown-- > 0)
        return false;
    if (!fault_plan.stick)
        fault_plan.kind = FAULT_NONE;
    else
        fault_plan.countdown = 0;
    if (fault_plan.cut)
        fault_plan.gone = true;
    fault_plan.hits++;
    errno = fault_plan.number;
    return true;
}

static int faulty_open(const struct io_ops *io, const char *path, int flags, mode_t mode)
{
    (void)io;
    if ((flags & O_CREAT) && fault_due(FAULT_CREATE))
        return -1;
    return io_system.open(&io_system, path, flags, mode);
}

static int faulty_close(const struct io_ops *io, int fd)
{
    (void)io;
    return io_system.close(&io_system, fd);
}

static ssize_t faulty_pread(const struct io_ops *io, int fd, void *to, size_t size, off_t offset)
{
    (void)io;
    if (fault_plan.kind == FAULT_READ && offset < fault_plan.bad_to && offset + (off_t)size > fault_plan.bad_from) {
        if (offset >= fault_plan.bad_from) {
            fault_plan.hits++;
            errno = EIO;
            return -1;
        }
        size = (size_t)(fault_plan.bad_from - offset); /* as the kernel does: what comes before is given */
    }
    return io_system.pread(&io_system, fd, to, size, offset);
}

static ssize_t faulty_pwritev(const struct io_ops *io, int fd, const struct iovec *parts, int count, off_t offset)
{
    (void)io;
    if (fault_due(FAULT_WRITE))
        return -1;
    if (fault_due(FAULT_ZERO))
        return 0;
    if (fault_due(FAULT_SHORT)) {
        struct iovec part = {parts[0].iov_base, parts[0].iov_len > 8 ? parts[0].iov_len / 2 : parts[0].iov_len};
        return io_system.pwritev(&io_system, fd, &part, 1, offset);
    }
    return io_system.pwritev(&io_system, fd, parts, count, offset);
}

static int faulty_fdatasync(const struct io_ops *io, int fd)
{
    (void)io;
    return fault_due(FAULT_SYNC) ? -1 : io_system.fdatasync(&io_system, fd);
}

static int faulty_fsync(const struct io_ops *io, int fd)
{
    (void)io;
    return fault_due(FAULT_SYNC) ? -1 : io_system.fsync(&io_system, fd);
}

static int faulty_rename(const struct io_ops *io, const char *from, const char *to)
{
    (void)io;
    return fault_due(FAULT_RENAME) ? -1 : io_system.rename(&io_system, from, to);
}

static int faulty_unlink(const struct io_ops *io, const char *path)
{
    (void)io;
    return fault_plan.gone ? -1 : io_system.unlink(&io_system, path);
}

static int faulty_statvfs(const struct io_ops *io, const char *path, struct statvfs *to)
{
    (void)io;
    return io_system.statvfs(&io_system, path, to);
}

static const struct io_ops faulty_io = {
    .open = faulty_open,
    .close = faulty_close,
    .pread = faulty_pread,
    .pwritev = faulty_pwritev,
    .fdatasync = faulty_fdatasync,
    .fsync = faulty_fsync,
    .rename = faulty_rename,
    .unlink = faulty_unlink,
    .statvfs = faulty_statvfs,
};

#endif
