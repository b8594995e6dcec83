/* What lives here: taking and giving back the lock. Its text is written after it is taken: until then the file names who
 * had it before, and a process that is no more is waited for like one that recovers. */
#include "index/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 20
#define NAMELESS_MS 1000

static const char *const words[] = {[LOCK_TO_WRITE] = "writes to", [LOCK_TO_RECOVER] = "recovers"};

/* Who holds it, as the file says, and how long it is worth to wait for that. */
static int worth_waiting_ms(int fd, char holder[48])
{
    ssize_t n = pread(fd, holder, 47, 0);
    holder[n > 0 ? n : 0] = 0;
    holder[strcspn(holder, "\n")] = 0;
    const char *word = strchr(holder, ' ');
    long pid = strtol(holder, NULL, 10);
    if (word && strcmp(word + 1, words[LOCK_TO_RECOVER]) == 0)
        return LOCK_WAIT_MS;
    return pid <= 0 || (kill((pid_t)pid, 0) != 0 && errno == ESRCH) ? NAMELESS_MS : 0;
}

static struct error wait_for(int fd, const char *path, const char *archive, enum lock_use use)
{
    char holder[48];
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += LOOK_MS) {
        if (errno != EWOULDBLOCK)
            return error_system(errno, "%s: cannot lock", path);
        if (waited >= worth_waiting_ms(fd, holder) || use != LOCK_TO_WRITE)
            return error_make(ERROR_BUSY, "%s: process %s this archive", archive, *holder ? holder : "? writes to");
        nanosleep(&(struct timespec){0, LOOK_MS * 1000000}, NULL);
    }
    return NO_ERROR;
}

struct error lock_take(struct pacs *pacs, enum lock_use use)
{
    char path[PATH_MAX], self[48];
    pacs_part(pacs, "run/lock", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_system(errno, "%s: cannot open", path);
    struct error err = wait_for(fd, path, pacs->path, use);
    int size = snprintf(self, sizeof self, "%ld %s\n", (long)getpid(), words[use]);
    if (!err.code && (ftruncate(fd, 0) != 0 || pwrite(fd, self, (size_t)size, 0) != size))
        err = error_system(errno, "%s: cannot write", path);
    if (err.code)
        close(fd);
    else
        pacs->lock_fd = fd;
    return err;
}

void lock_release(struct pacs *pacs)
{
    if (pacs->lock_fd >= 0)
        close(pacs->lock_fd);
    pacs->lock_fd = -1;
}
