/* What lives here: the system's calls behind the seam, and the few loops over them that everybody needs. */
#include "index/pack/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_open(const struct io_ops *io, const char *path, int flags, mode_t mode)
{
    (void)io;
    return open(path, flags | O_CLOEXEC, mode);
}

static int system_close(const struct io_ops *io, int fd)
{
    (void)io;
    return close(fd);
}

static ssize_t system_pread(const struct io_ops *io, int fd, void *to, size_t size, off_t offset)
{
    (void)io;
    return pread(fd, to, size, offset);
}

static ssize_t system_pwritev(const struct io_ops *io, int fd, const struct iovec *parts, int count, off_t offset)
{
    (void)io;
    return pwritev(fd, parts, count, offset);
}

static int system_fdatasync(const struct io_ops *io, int fd)
{
    (void)io;
    return fdatasync(fd);
}

static int system_fsync(const struct io_ops *io, int fd)
{
    (void)io;
    return fsync(fd);
}

static int system_rename(const struct io_ops *io, const char *from, const char *to)
{
    (void)io;
    return rename(from, to);
}

static int system_unlink(const struct io_ops *io, const char *path)
{
    (void)io;
    return unlink(path);
}

static int system_statvfs(const struct io_ops *io, const char *path, struct statvfs *to)
{
    (void)io;
    return statvfs(path, to);
}

const struct io_ops io_system = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwritev = system_pwritev,
    .fdatasync = system_fdatasync,
    .fsync = system_fsync,
    .rename = system_rename,
    .unlink = system_unlink,
    .statvfs = system_statvfs,
};

struct error io_read_full(const struct io_ops *io, int fd, void *to, size_t size, uint64_t offset, const char *name)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = io->pread(io, fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(errno, "%s: cannot read at offset %llu", name, (unsigned long long)(offset + done));
        if (got == 0)
            return error_make(ERROR_DAMAGED, "%s: ends at %llu, bytes up to %llu are missing", name,
                              (unsigned long long)(offset + done), (unsigned long long)(offset + size));
        done += (size_t)got;
    }
    return NO_ERROR;
}

struct error io_write_full(const struct io_ops *io, int fd, struct iovec *parts, size_t count, uint64_t offset,
                           const char *name)
{
    while (count) {
        ssize_t got = io->pwritev(io, fd, parts, count < IOV_MAX ? (int)count : IOV_MAX, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(errno, "%s: cannot write at offset %llu", name, (unsigned long long)offset);
        if (got == 0) /* would be tried for ever */
            return error_make(ERROR_BROKEN, "%s: takes no bytes at offset %llu", name, (unsigned long long)offset);
        offset += (uint64_t)got;
        while (count && (size_t)got >= parts->iov_len) {
            got -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + got;
            parts->iov_len -= (size_t)got;
        }
    }
    return NO_ERROR;
}

struct error io_sync_folder(const struct io_ops *io, const char *path)
{
    int fd = io->open(io, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return error_system(errno, "%s: cannot open", path);
    int failed = io->fsync(io, fd) != 0 ? errno : 0;
    io->close(io, fd);
    return failed ? error_system(failed, "%s: cannot sync", path) : NO_ERROR;
}

struct error io_replace(const struct io_ops *io, const char *folder, const char *name, const void *bytes, size_t size,
                        mode_t mode)
{
    struct error err = NO_ERROR;
    char target[PATH_MAX], temporary[PATH_MAX];
    snprintf(target, sizeof target, "%s/%s", folder, name);
    if (snprintf(temporary, sizeof temporary, "%s/.%s.new", folder, name) >= (int)sizeof temporary)
        return error_make(ERROR_USAGE, "%s/%s: path too long", folder, name);
    int fd = io->open(io, temporary, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0)
        return error_system(errno, "%s: cannot create", temporary);
    struct iovec part = {(void *)bytes, size};
    err = io_write_full(io, fd, &part, 1, 0, temporary);
    if (!err.code && fchmod(fd, mode) != 0 && errno != EPERM)
        err = error_system(errno, "%s: cannot set its mode", temporary);
    if (!err.code && io->fsync(io, fd) != 0)
        err = error_system(errno, "%s: cannot sync", temporary);
    if (io->close(io, fd) != 0 && !err.code)
        err = error_system(errno, "%s: cannot close", temporary);
    if (!err.code && io->rename(io, temporary, target) != 0)
        err = error_system(errno, "%s: cannot rename to %s", temporary, target);
    if (err.code) {
        io->unlink(io, temporary);
        return err;
    }
    return io_sync_folder(io, folder);
}
