/* A folder of its own for a test program, and whole files in it. Everything goes away with scratch_remove(). */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include "codecs/base/buf.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[PATH_MAX / 4];

static inline int scratch_unlink(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void scratch_remove(void)
{
    if (*scratch)
        nftw(scratch, scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
    *scratch = 0;
}

/* An empty folder; the one before is removed. */
static inline void scratch_make(void)
{
    const char *parent = getenv("TMPDIR");
    scratch_remove();
    snprintf(scratch, sizeof scratch, "%s/pacsfs-unit-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(scratch)) {
        perror(scratch);
        exit(1);
    }
}

/* scratch/part; the text lives until the fourth call after. */
static inline const char *scratch_path(const char *part)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *to = paths[next++ % 4];
    snprintf(to, PATH_MAX, "%s/%s", scratch, part);
    return to;
}

static inline bool file_read(const char *path, struct buf *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    buf_clear(out);
    bool good = fd >= 0 && fstat(fd, &st) == 0;
    uint8_t *to = good ? buf_reserve(out, (size_t)st.st_size) : NULL;
    good = to && read(fd, to, (size_t)st.st_size) == st.st_size;
    if (good)
        out->size = (size_t)st.st_size;
    if (fd >= 0)
        close(fd);
    return good;
}

/* In place: the inode stays. */
static inline bool file_write(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool good = fd >= 0 && write(fd, bytes, size) == (ssize_t)size;
    if (fd >= 0)
        close(fd);
    return good;
}

static inline bool file_write_at(const char *path, uint64_t offset, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size;
    if (fd >= 0)
        close(fd);
    return good;
}

/* The byte at `offset` with its bits turned round. */
static inline bool file_flip(const char *path, uint64_t offset)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1;
    byte = (uint8_t)~byte;
    good = good && pwrite(fd, &byte, 1, (off_t)offset) == 1;
    if (fd >= 0)
        close(fd);
    return good;
}

static inline uint64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

#endif
