/* What lives here: export into a folder.
 *
 * A file is written as .NAME.part in its own folder, synced, given its time, and linked or renamed to its name; the
 * folder is synced when the export moves on to another one and at the end. Without `force` renameat2(RENAME_NOREPLACE)
 * makes sure that nothing is replaced, whoever writes beside us.
 */
#include "net/ctl/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    struct target target;
    bool force;
    int root;
    int at; /* the folder that is written to; -1 */
    char at_name[PATH_MAX];
    int fd; /* the file that is written; -1 */
    char name[NAME_MAX + 1], part[NAME_MAX + 1];
    uint64_t time_ns;
};

static struct error leave(struct folder *f)
{
    struct error err = NO_ERROR;
    if (f->at >= 0 && fsync(f->at) != 0)
        err = error_system(errno, "%s", f->at_name);
    if (f->at >= 0)
        close(f->at);
    f->at = -1;
    f->at_name[0] = 0;
    return err;
}

/* Opens root/path, making what is missing. Links inside are not followed: what is written stays below the root. */
static struct error enter(struct folder *f, const char *path, size_t size)
{
    if (f->at >= 0 && strlen(f->at_name) == size && memcmp(f->at_name, path, size) == 0)
        return NO_ERROR;
    TRY(leave(f));
    if (size >= sizeof f->at_name)
        return error_make(ERROR_REFUSED, "a path of %zu bytes", size);
    memcpy(f->at_name, path, size);
    f->at_name[size] = 0;
    int at = dup(f->root);
    for (char *p = f->at_name, *next; at >= 0 && *p; p = next) {
        size_t n = strcspn(p, "/");
        char component[NAME_MAX + 1];
        next = p + n + (p[n] == '/');
        if (n > NAME_MAX)
            n = NAME_MAX;
        memcpy(component, p, n);
        component[n] = 0;
        int below = -1;
        if (mkdirat(at, component, 0777) == 0 || errno == EEXIST)
            below = openat(at, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int number = errno;
        close(at);
        errno = number;
        at = below;
    }
    if (at < 0) {
        struct error err = error_system(errno, "%s", f->at_name);
        f->at_name[0] = 0;
        return err;
    }
    f->at = at;
    return NO_ERROR;
}

static void drop(struct target *target)
{
    struct folder *f = (struct folder *)(void *)target;
    if (f->fd < 0)
        return;
    close(f->fd);
    unlinkat(f->at, f->part, 0);
    f->fd = -1;
}

static struct error begin(struct target *target, const char *name, uint64_t size, uint64_t time_ns)
{
    struct folder *f = (struct folder *)(void *)target;
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    (void)size;
    TRY(enter(f, name, slash ? (size_t)(slash - name) : 0));
    if (snprintf(f->name, sizeof f->name, "%s", last) >= (int)sizeof f->name ||
        snprintf(f->part, sizeof f->part, ".%.200s.%ld.part", last, (long)getpid()) >= (int)sizeof f->part)
        return error_make(ERROR_REFUSED, "a name of %zu bytes", strlen(last));
    if (!f->force && faccessat(f->at, f->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return error_make(ERROR_REFUSED, "it is there already (--force replaces it)");
    f->fd = openat(f->at, f->part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return error_system(errno, "cannot be made");
    f->time_ns = time_ns;
    return NO_ERROR;
}

static struct error feed(struct target *target, const void *bytes, size_t size)
{
    struct folder *f = (struct folder *)(void *)target;
    for (size_t done = 0; done < size;) {
        ssize_t n = write(f->fd, (const uint8_t *)bytes + done, size - done);
        if (n < 0 && errno != EINTR)
            return error_system(errno, "cannot be written");
        done += n > 0 ? (size_t)n : 0;
    }
    return NO_ERROR;
}

static struct error end(struct target *target)
{
    struct folder *f = (struct folder *)(void *)target;
    const struct timespec stamp = {(time_t)(f->time_ns / 1000000000), (long)(f->time_ns % 1000000000)};
    const struct timespec times[2] = {stamp, stamp};
    struct error err = NO_ERROR;
    int fd = f->fd;
    if (futimens(fd, times) != 0 || fsync(fd) != 0) {
        err = error_system(errno, "cannot be written");
        drop(target);
        return err;
    }
    f->fd = -1;
    if (close(fd) != 0)
        err = error_system(errno, "cannot be written");
    else if (renameat2(f->at, f->part, f->at, f->name, f->force ? 0 : RENAME_NOREPLACE) != 0)
        err = errno == EEXIST ? error_make(ERROR_REFUSED, "it is there already (--force replaces it)")
                              : error_system(errno, "cannot be named");
    if (err.code != ERROR_NONE)
        unlinkat(f->at, f->part, 0);
    return err;
}

static struct error finish(struct target *target, bool whole)
{
    struct folder *f = (struct folder *)(void *)target;
    (void)whole; /* each file is whole or absent */
    struct error err = leave(f);
    if (f->root >= 0)
        close(f->root);
    free(f);
    return err;
}

static const struct target_ops ops = {begin, feed, end, drop, finish};

struct error folder_target(struct target **target, const char *folder, bool force)
{
    struct folder *f = calloc(1, sizeof *f);
    *target = NULL;
    if (!f)
        return error_make(ERROR_NO_MEMORY, "no memory");
    f->target.ops = &ops;
    f->force = force;
    f->at = f->fd = -1;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        int number = errno;
        free(f);
        return error_system(number, "%s", folder);
    }
    f->root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->root < 0) {
        int number = errno;
        free(f);
        return error_system(number, "%s", folder);
    }
    *target = &f->target;
    return NO_ERROR;
}
