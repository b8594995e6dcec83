/* What lives here: calls, counted, some of them failing. What they mean for the disk is platter.c's. `lock` guards
 * everything: a call and what it means are one step. */
#include "platter.h"

#include "codecs/chunk/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 1024

static struct {
    pthread_mutex_t lock;
    bool on, gone, fired;
    struct disk_fault fault;
    unsigned counts[DISK_CALLS], total, cut_at;
    bool made[DESCRIPTORS_MAX]; /* descriptor of a pack: by who made it */
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t disk_chance(uint64_t seed, const char *about, uint64_t number)
{
    return checksum64(about, strlen(about), seed * UINT64_C(0x9E3779B97F4A7C15) + number);
}

static void cut_locked(enum disk_survival how, uint64_t seed)
{
    if (disk.gone)
        return;
    disk.gone = true;
    platter_cut(how, seed);
}

/* ---- calls ---- */

enum verdict { GO_ON, FAIL, TAKE_HALF, TAKE_NOTHING, CUT_AFTER, CUT_BEFORE };

static const bool is_sync[DISK_CALLS] = {
    [DISK_LOG_SYNC] = true,    [DISK_SEAL_SYNC] = true,  [DISK_SMALL_SYNC] = true,
    [DISK_FOLDER_SYNC] = true, [DISK_INDEX_SYNC] = true,
};

static enum verdict judge(enum disk_call call)
{
    const struct disk_fault *f = &disk.fault;
    if (disk.gone) {
        errno = EIO;
        return FAIL;
    }
    disk.counts[call]++;
    disk.total++;
    bool cut = disk.cut_at && disk.total >= disk.cut_at;
    bool met = f->at && f->call == call && (disk.counts[call] == f->at || (f->stuck && disk.counts[call] > f->at));
    disk.fired |= met;
    if (cut || (met && f->way == DISK_CUT))
        return is_sync[call] ? CUT_BEFORE : CUT_AFTER;
    if (!met)
        return GO_ON;
    if (f->cut_then)
        disk.cut_at = disk.total + f->cut_then;
    errno = f->way == DISK_ENOSPC ? ENOSPC : EIO;
    return f->way == DISK_SHORT ? TAKE_HALF : f->way == DISK_ZERO ? TAKE_NOTHING : FAIL;
}

/* Behind a call that went on: a cut may follow it. */
static int settle(enum verdict verdict, int result)
{
    if (verdict == CUT_AFTER) {
        cut_locked(disk.fault.survival, disk.fault.seed);
        errno = EIO;
        return -1;
    }
    return result;
}

static int disk_open(const struct io_ops *io, const char *path, int flags, mode_t mode)
{
    (void)io;
    pthread_mutex_lock(&disk.lock);
    bool creates = (flags & O_CREAT) != 0, pack = platter_named(path, ".pack");
    enum verdict verdict = creates ? judge(pack ? DISK_PACK_CREATE : DISK_SMALL_CREATE) : GO_ON;
    int fd = verdict == FAIL || verdict == TAKE_HALF || verdict == TAKE_NOTHING
                 ? -1
                 : io_system.open(&io_system, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS_MAX) {
        const char *part = platter_part(path);
        disk.made[fd] = creates;
        if (part && *part && creates)
            platter_node(part);
    }
    if (verdict == CUT_AFTER) {
        cut_locked(disk.fault.survival, disk.fault.seed);
        if (fd >= 0)
            close(fd);
        fd = -1;
        errno = EIO;
    }
    pthread_mutex_unlock(&disk.lock);
    return fd;
}

static int disk_close(const struct io_ops *io, int fd)
{
    (void)io;
    return io_system.close(&io_system, fd);
}

static ssize_t disk_pread(const struct io_ops *io, int fd, void *to, size_t size, off_t offset)
{
    (void)io;
    return io_system.pread(&io_system, fd, to, size, offset);
}

static bool made_it(int fd)
{
    return fd < DESCRIPTORS_MAX && disk.made[fd];
}

static enum disk_call write_call(const struct node *n, int fd)
{
    if (n->class == CLASS_INDEX)
        return DISK_INDEX_WRITE;
    if (n->class == CLASS_PACK)
        return made_it(fd) ? DISK_LOG_WRITE : DISK_SEAL_WRITE;
    return DISK_SMALL_WRITE;
}

static enum disk_call sync_call(const struct node *n, int fd)
{
    if (n->class == CLASS_INDEX)
        return DISK_INDEX_SYNC;
    if (n->class == CLASS_PACK)
        return made_it(fd) ? DISK_LOG_SYNC : DISK_SEAL_SYNC;
    return DISK_SMALL_SYNC;
}

/* `lock` held. */
static ssize_t write_parts(struct node *n, int fd, const struct iovec *parts, int count, off_t offset)
{
    enum verdict verdict = judge(write_call(n, fd));
    struct iovec half = {parts[0].iov_base, parts[0].iov_len > 8 ? parts[0].iov_len / 2 : parts[0].iov_len};
    ssize_t got;
    if (verdict == FAIL)
        return -1;
    if (verdict == TAKE_NOTHING)
        return 0;
    if (disk.fault.way == DISK_CUT && disk.fault.survival >= DISK_RANDOM && disk.fault.at)
        platter_write_some(n, disk.fault.seed, disk.total);
    if (verdict == TAKE_HALF)
        got = syscall(SYS_pwrite64, fd, half.iov_base, half.iov_len, offset);
    else
        got = pwritev(fd, parts, count, offset);
    return settle(verdict, 0) ? -1 : got;
}

static ssize_t disk_pwritev(const struct io_ops *io, int fd, const struct iovec *parts, int count, off_t offset)
{
    (void)io;
    pthread_mutex_lock(&disk.lock);
    struct node *n = platter_node_of_descriptor(fd);
    ssize_t got = n ? write_parts(n, fd, parts, count, offset) : pwritev(fd, parts, count, offset);
    pthread_mutex_unlock(&disk.lock);
    return got;
}

/* `lock` held. */
static int sync_node(struct node *n, int fd)
{
    enum verdict verdict = judge(sync_call(n, fd));
    int number = errno;
    if (verdict == GO_ON) {
        platter_sync(n);
        return 0;
    }
    if (verdict == CUT_BEFORE)
        cut_locked(disk.fault.survival, disk.fault.seed);
    else if (!disk.gone)
        platter_lose(n);
    errno = verdict == CUT_BEFORE ? EIO : number;
    return -1;
}

static int sync_folder(int fd)
{
    char path[PATH_MAX];
    const char *part = platter_part_of_descriptor(fd, path);
    if (!part)
        return 0;
    enum verdict verdict = judge(DISK_FOLDER_SYNC);
    if (verdict == CUT_BEFORE)
        cut_locked(disk.fault.survival, disk.fault.seed);
    if (verdict != GO_ON) {
        errno = disk.fault.way == DISK_ENOSPC ? ENOSPC : EIO;
        return -1;
    }
    platter_sync_folder(part);
    return 0;
}

static int disk_fsync(const struct io_ops *io, int fd)
{
    struct stat st;
    (void)io;
    pthread_mutex_lock(&disk.lock);
    struct node *n = platter_node_of_descriptor(fd);
    int result = n ? sync_node(n, fd) : fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? sync_folder(fd) : 0;
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_rename(const struct io_ops *io, const char *from, const char *to)
{
    (void)io;
    pthread_mutex_lock(&disk.lock);
    enum verdict verdict = judge(DISK_RENAME);
    int result =
        verdict == GO_ON || verdict == CUT_AFTER ? settle(verdict, io_system.rename(&io_system, from, to)) : -1;
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_unlink(const struct io_ops *io, const char *path)
{
    (void)io;
    pthread_mutex_lock(&disk.lock);
    enum verdict verdict = judge(DISK_UNLINK);
    int result = verdict == GO_ON || verdict == CUT_AFTER ? settle(verdict, io_system.unlink(&io_system, path)) : -1;
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_statvfs(const struct io_ops *io, const char *path, struct statvfs *to)
{
    (void)io;
    return io_system.statvfs(&io_system, path, to);
}

const struct io_ops disk_io = {
    .open = disk_open,
    .close = disk_close,
    .pread = disk_pread,
    .pwritev = disk_pwritev,
    .fdatasync = disk_fsync,
    .fsync = disk_fsync,
    .rename = disk_rename,
    .unlink = disk_unlink,
    .statvfs = disk_statvfs,
};

/* ---- the process's own calls, for LMDB ---- */

static struct node *index_node(int fd)
{
    struct node *n = disk.on ? platter_node_of_descriptor(fd) : NULL;
    return n && n->class == CLASS_INDEX ? n : NULL;
}

int fdatasync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    struct node *n = index_node(fd);
    int result = n ? sync_node(n, fd) : disk.on ? 0 : (int)syscall(SYS_fdatasync, fd);
    pthread_mutex_unlock(&disk.lock);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    struct iovec part = {(void *)bytes, size};
    pthread_mutex_lock(&disk.lock);
    struct node *n = index_node(fd);
    ssize_t got = n ? write_parts(n, fd, &part, 1, offset) : syscall(SYS_pwrite64, fd, bytes, size, offset);
    pthread_mutex_unlock(&disk.lock);
    return got;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    pthread_mutex_lock(&disk.lock);
    struct node *n = index_node(fd);
    ssize_t got;
    if (n) {
        got = write_parts(n, fd, parts, count, lseek(fd, 0, SEEK_CUR));
        if (got > 0)
            lseek(fd, got, SEEK_CUR);
    } else {
        got = syscall(SYS_writev, fd, parts, count);
    }
    pthread_mutex_unlock(&disk.lock);
    return got;
}

int posix_fadvise(int fd, off_t offset, off_t size, int advice)
{
    pthread_mutex_lock(&disk.lock);
    struct node *n = disk.on && !disk.gone && advice == POSIX_FADV_DONTNEED ? platter_node_of_descriptor(fd) : NULL;
    if (n)
        platter_forget(n);
    pthread_mutex_unlock(&disk.lock);
    (void)offset;
    (void)size;
    return 0;
}

/* ---- the test's side ---- */

void disk_begin(const char *root)
{
    platter_begin(root);
    disk.on = true;
}

void disk_end(void)
{
    platter_end();
    disk.on = disk.gone = false;
}

void disk_cut(enum disk_survival survival, uint64_t seed)
{
    pthread_mutex_lock(&disk.lock);
    cut_locked(survival, seed);
    pthread_mutex_unlock(&disk.lock);
}

void disk_apply(void)
{
    platter_apply();
    disk.gone = false;
    memset(&disk.fault, 0, sizeof disk.fault);
    disk.cut_at = 0;
}

void disk_plan(const struct disk_fault *fault)
{
    pthread_mutex_lock(&disk.lock);
    disk.fault = *fault;
    disk.fired = false;
    disk.cut_at = 0;
    memset(disk.counts, 0, sizeof disk.counts);
    pthread_mutex_unlock(&disk.lock);
}

void disk_mend(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.fault.at = 0;
    disk.cut_at = 0;
    pthread_mutex_unlock(&disk.lock);
}

bool disk_fired(void)
{
    pthread_mutex_lock(&disk.lock);
    bool fired = disk.fired;
    pthread_mutex_unlock(&disk.lock);
    return fired;
}

bool disk_gone(void)
{
    pthread_mutex_lock(&disk.lock);
    bool gone = disk.gone;
    pthread_mutex_unlock(&disk.lock);
    return gone;
}

unsigned disk_count(enum disk_call call)
{
    pthread_mutex_lock(&disk.lock);
    unsigned count = disk.counts[call];
    pthread_mutex_unlock(&disk.lock);
    return count;
}
