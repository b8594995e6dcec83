/* What lives here: /proc/self/mountinfo, and detaching dead mounts. A new mount would silently stack on a dead one. */
#include "fs/mountpoint.h"

#include "codecs/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACKED_MAX 64 /* dead mounts on one place, one on the other */
#define TYPE "fuse.pacsfs"

/* "\040" and the like, in place (proc_pid_mountinfo(5)). */
static void unescape(char *text)
{
    char *to = text;
    for (char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* The topmost mount on a path: its type and device. False: none. */
static bool topmost(const char *path, char type[64], unsigned *major, unsigned *minor)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (file && getline(&line, &room, file) > 0) {
        unsigned a, b;
        char *point = malloc(room);
        char *tail = strstr(line, " - ");
        if (point && tail && sscanf(line, "%*d %*d %u:%u %*s %s", &a, &b, point) == 3) {
            unescape(point);
            if (strcmp(point, path) == 0 && sscanf(tail, " - %63s", type) == 1) {
                found = true; /* later lines lie above */
                *major = a;
                *minor = b;
            }
        }
        free(point);
    }
    free(line);
    if (file)
        fclose(file);
    return found;
}

/* Absolute path without looking at the last component, which may be a dead mount. */
static struct error true_path(const char *given, char **path)
{
    char *whole = realpath(given, NULL);
    if (whole) {
        *path = whole;
        return NO_ERROR;
    }
    if (errno != ENOTCONN)
        return error_system(errno, "mount point %s", given);
    char *copy = strdup(given), *above = NULL;
    struct error err = NO_ERROR;
    if (!copy)
        CHECK(error_make(ERROR_NO_MEMORY, "out of memory"));
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/';)
        copy[--n] = '\0';
    char *slash = strrchr(copy, '/'), *last = slash ? slash + 1 : copy;
    if (slash)
        *slash = '\0';
    above = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (!above)
        CHECK(error_system(errno, "mount point %s", given));
    if (asprintf(path, "%s/%s", strcmp(above, "/") == 0 ? "" : above, last) < 0)
        CHECK(error_make(ERROR_NO_MEMORY, "out of memory"));
out:
    free(copy);
    free(above);
    return err;
}

static struct error detach(const char *path)
{
    extern char **environ;
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        return NO_ERROR;
    int failed = errno;
    if (failed != EPERM)
        return error_system(failed, "detach the dead mount on %s", path);
    char *const arguments[] = {"fusermount3", "-u", "-z", "-q", "--", (char *)path, NULL};
    pid_t child;
    int status;
    if (posix_spawn(&child, "/usr/bin/fusermount3", NULL, NULL, arguments, environ) != 0 ||
        waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_make(ERROR_REFUSED, "a dead mount lies on %s: fusermount3 -u -z %s", path, path);
    return NO_ERROR;
}

struct error mountpoint_prepare(const char *given, char **out)
{
    char *path = NULL;
    struct stat st = {0};
    TRY(true_path(given, &path));
    struct error err = NO_ERROR;
    unsigned stacked = 0;
    struct statvfs whole;
    while (statvfs(path, &whole) < 0) { /* stat() may be answered by what the kernel has cached of a dead mount */
        int failed = errno;
        if (failed != ENOTCONN || stacked++ == STACKED_MAX)
            CHECK(error_system(failed, "mount point %s", path));
        log_line(LOG_LEVEL_WARNING, "mount", "a dead mount lies on %s: detached", path);
        CHECK(detach(path));
    }
    if (stat(path, &st) < 0)
        CHECK(error_system(errno, "mount point %s", path));
    if (!S_ISDIR(st.st_mode))
        CHECK(error_make(ERROR_USAGE, "mount point %s is no folder", path));
    char type[64];
    unsigned major, minor;
    if (topmost(path, type, &major, &minor) && strcmp(type, TYPE) == 0)
        CHECK(error_make(ERROR_BUSY, "%s is mounted already: umount it first, or choose another mount point", path));
    *out = path;
    return NO_ERROR;
out:
    free(path);
    return err;
}

void mountpoint_read_ahead(const char *path, unsigned kib)
{
    char type[64], name[64], value[16];
    unsigned major, minor;
    if (!topmost(path, type, &major, &minor))
        return;
    snprintf(name, sizeof name, "/sys/class/bdi/%u:%u/read_ahead_kb", major, minor);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* who is not root reads with the default */
    int length = snprintf(value, sizeof value, "%u\n", kib);
    if (write(fd, value, (size_t)length) < 0)
        log_line(LOG_LEVEL_DEBUG, "mount", "%s: %s", name, strerror(errno));
    close(fd);
}
