/* What lives here: one pair of files at a time, and the bound of the folder. `.NAME.part` until it is whole: what a
 * crash leaves is removed with the next one that is older than a day. The folder is looked at when as much has come as
 * there was room for; then a sixteenth of its bound is made free, so that a flood of refused objects does not read a
 * full folder for each. */
#include "index/ingest/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PARTIAL_SECONDS 86400
#define FILE_BYTES 4096 /* what a file takes beside its bytes, its reason's among it */

struct quarantine {
    struct pacs *pacs;
    int fd;
    int failed; /* errno of the first failed write */
    char name[160];
    char part[PATH_MAX];
    uint64_t size, dropped;
};

static _Atomic unsigned serial;

struct error quarantine_begin(struct quarantine **out, struct pacs *pacs, const char *uid)
{
    struct quarantine *q = calloc(1, sizeof *q);
    struct timespec now;
    char folder[PATH_MAX - 256];
    if (!q)
        return error_make(ERROR_NO_MEMORY, "quarantine: out of memory");
    q->pacs = pacs;
    clock_gettime(CLOCK_REALTIME, &now);
    struct pacs_date d = pacs_local_time(pacs, (uint64_t)now.tv_sec * 1000000000u);
    bool safe = *uid && strspn(uid, "0123456789.") == strlen(uid) && strlen(uid) <= 64;
    snprintf(q->name, sizeof q->name, "%04d%02d%02d-%02d%02d%02d-%05u%s%s", d.year, d.month, d.day, d.hour, d.minute,
             d.second, atomic_fetch_add(&serial, 1) % 100000, safe ? "_" : "", safe ? uid : "");
    snprintf(folder, sizeof folder, "%s/quarantine", pacs->path);
    snprintf(q->part, sizeof q->part, "%s/.%s.part", folder, q->name);
    q->fd = open(q->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (q->fd < 0) {
        struct error err = error_system(errno, "%s: cannot create", q->part);
        free(q);
        return err;
    }
    *out = q;
    return NO_ERROR;
}

void quarantine_add(struct quarantine *q, const void *bytes, size_t size)
{
    uint64_t limit = (uint64_t)q->pacs->options.quarantine_bytes;
    size_t room = q->size < limit ? (size_t)(limit - q->size < size ? limit - q->size : size) : 0;
    q->dropped += size - room;
    for (const char *p = bytes; room && !q->failed;) {
        ssize_t n = write(q->fd, p, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            q->failed = errno;
            break;
        }
        p += n;
        room -= (size_t)n;
        q->size += (uint64_t)n;
    }
}

static int older(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* names begin with the time */
}

static int whole(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 4 && strcmp(entry->d_name + size - 4, ".dcm") == 0;
}

static int partial(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] == '.' && size > 5 && strcmp(entry->d_name + size - 5, ".part") == 0;
}

/* No data set is a day on its way. */
static void remove_partial(const char *folder)
{
    char path[PATH_MAX];
    struct dirent **list;
    struct stat st;
    int count = scandir(folder, &list, partial, older);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (stat(path, &st) == 0 && st.st_mtime + PARTIAL_SECONDS < time(NULL))
            unlink(path);
        free(list[i]);
    }
    if (count >= 0)
        free(list);
}

static void make_room(struct pacs *pacs)
{
    char folder[PATH_MAX - 300], path[PATH_MAX];
    struct dirent **list;
    struct stat st;
    uint64_t total = 0, limit = (uint64_t)pacs->options.quarantine_bytes;
    snprintf(folder, sizeof folder, "%s/quarantine", pacs->path);
    remove_partial(folder);
    int count = scandir(folder, &list, whole, older);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        total += stat(path, &st) == 0 ? (uint64_t)st.st_size + FILE_BYTES : 0;
    }
    bool full = total > limit;
    for (int i = 0; i < count; i++) {
        if (full && total > limit - limit / 16) {
            size_t stem = strlen(list[i]->d_name) - 4;
            snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
            total -= stat(path, &st) == 0 ? (uint64_t)st.st_size + FILE_BYTES : 0;
            unlink(path);
            snprintf(path, sizeof path, "%s/%.*s.reason", folder, (int)stem, list[i]->d_name);
            unlink(path);
        }
        free(list[i]);
    }
    if (count >= 0)
        free(list);
    pacs->quarantine_room = total < limit ? (int64_t)(limit - total) : 0;
}

/* Control characters of an image's text never reach the file: it is read on terminals. */
static void plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F)
            *text = '?';
}

struct error quarantine_finish(struct quarantine *q, const char *reason, const struct origin *origin)
{
    struct error err = NO_ERROR;
    char path[PATH_MAX], text[1024], name[200], folder[PATH_MAX - 256];
    snprintf(folder, sizeof folder, "%s/quarantine", q->pacs->path);
    if (close(q->fd) != 0 && !q->failed)
        q->failed = errno;
    if (q->failed) {
        err = error_system(q->failed, "%s: cannot write", q->part);
        unlink(q->part);
        goto out;
    }
    snprintf(text, sizeof text - 1, "%s (from %s %s at %s; %llu bytes kept, %llu dropped)", reason,
             origin->how ? origin->how : "", origin->calling_ae ? origin->calling_ae : "",
             origin->address ? origin->address : "", (unsigned long long)q->size, (unsigned long long)q->dropped);
    plain(text);
    strncat(text, "\n", sizeof text - strlen(text) - 1);
    snprintf(name, sizeof name, "%s.reason", q->name);
    CHECK(io_replace(q->pacs->io, folder, name, text, strlen(text), 0640));
    snprintf(path, sizeof path, "%s/%s.dcm", folder, q->name);
    if (rename(q->part, path) != 0)
        err = error_system(errno, "%s: cannot rename", q->part);
    int64_t took = (int64_t)(q->size + FILE_BYTES);
    if (atomic_fetch_sub(&q->pacs->quarantine_room, took) <= took)
        make_room(q->pacs);
out:
    free(q);
    return err;
}
