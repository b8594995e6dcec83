/* What lives here: the folder of packs as a chain, open descriptors, and single records. Scans are in scan.c.
 * `lock` guards the table of open descriptors; a descriptor in use is counted and not closed. */
#include "index/pack/packs.h"

#include "codecs/chunk/chunk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct open_pack {
    uint64_t number; /* 0: free */
    int fd;
    unsigned users;
    uint64_t used; /* for eviction: the least recent goes */
};

struct packs {
    const struct io_ops *io;
    char folder[PATH_MAX - 32];
    uint8_t uuid[16];
    pthread_mutex_t lock;
    uint64_t tick;
    struct open_pack open[PACKS_OPEN_MAX];
};

struct error packs_new(struct packs **out, const char *folder, const uint8_t uuid[16], const struct io_ops *io)
{
    if (strlen(folder) >= sizeof((struct packs *)0)->folder)
        return error_make(ERROR_USAGE, "%s: path too long", folder);
    struct packs *packs = calloc(1, sizeof *packs);
    if (!packs)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", folder);
    packs->io = io;
    memcpy(packs->folder, folder, strlen(folder) + 1);
    memcpy(packs->uuid, uuid, 16);
    pthread_mutex_init(&packs->lock, NULL);
    *out = packs;
    return NO_ERROR;
}

void packs_free(struct packs *packs)
{
    if (!packs)
        return;
    for (size_t i = 0; i < PACKS_OPEN_MAX; i++)
        if (packs->open[i].number)
            packs->io->close(packs->io, packs->open[i].fd);
    pthread_mutex_destroy(&packs->lock);
    free(packs);
}

const uint8_t *packs_uuid(const struct packs *packs)
{
    return packs->uuid;
}

void packs_path(const struct packs *packs, uint64_t number, char *to)
{
    snprintf(to, PATH_MAX, "%s/%08llu.pack", packs->folder, (unsigned long long)number);
}

/* A slot that holds the pack, opened if need be; with all slots in use a descriptor of its own (`*slot` NULL). */
static struct error pack_get(struct packs *packs, uint64_t number, struct open_pack **slot, int *fd)
{
    struct open_pack *oldest = NULL;
    *slot = NULL;
    pthread_mutex_lock(&packs->lock);
    for (size_t i = 0; i < PACKS_OPEN_MAX; i++) {
        struct open_pack *p = &packs->open[i];
        if (p->number == number) {
            *slot = p;
            break;
        }
        if (!p->users && (!oldest || !p->number || (oldest->number && p->used < oldest->used)))
            oldest = p;
    }
    if (*slot) {
        (*slot)->users++;
        (*slot)->used = ++packs->tick;
        *fd = (*slot)->fd;
        pthread_mutex_unlock(&packs->lock);
        return NO_ERROR;
    }
    char path[PATH_MAX];
    packs_path(packs, number, path);
    *fd = packs->io->open(packs->io, path, O_RDONLY, 0);
    struct error err = *fd >= 0          ? NO_ERROR
                       : errno == ENOENT ? error_make(ERROR_DAMAGED, "%s: the pack is missing", path)
                                         : error_system(errno, "%s: cannot open", path);
    if (!err.code && oldest) {
        if (oldest->number)
            packs->io->close(packs->io, oldest->fd);
        *oldest = (struct open_pack){number, *fd, 1, ++packs->tick};
        *slot = oldest;
    }
    pthread_mutex_unlock(&packs->lock);
    return err;
}

static void pack_put(struct packs *packs, struct open_pack *slot, int fd)
{
    if (!slot) {
        packs->io->close(packs->io, fd);
        return;
    }
    pthread_mutex_lock(&packs->lock);
    slot->users--;
    pthread_mutex_unlock(&packs->lock);
}

struct error packs_read(struct packs *packs, uint64_t number, uint64_t offset, void *to, size_t size)
{
    struct open_pack *slot;
    int fd;
    TRY(pack_get(packs, number, &slot, &fd));
    char path[PATH_MAX];
    packs_path(packs, number, path);
    struct error err = io_read_full(packs->io, fd, to, size, offset, path);
    pack_put(packs, slot, fd);
    return err;
}

void packs_prefetch(struct packs *packs, uint64_t number, uint64_t offset, uint64_t size)
{
    struct open_pack *slot;
    int fd;
    struct error err = pack_get(packs, number, &slot, &fd);
    if (!err.code) {
        posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
        pack_put(packs, slot, fd);
    }
    error_release(&err);
}

struct error packs_size(struct packs *packs, uint64_t number, uint64_t *size)
{
    char path[PATH_MAX];
    struct stat st;
    packs_path(packs, number, path);
    if (stat(path, &st) != 0)
        return error_system(errno, "%s: cannot stat", path);
    *size = (uint64_t)st.st_size;
    return NO_ERROR;
}

struct error packs_settle(struct packs *packs, uint64_t number)
{
    char path[PATH_MAX];
    packs_path(packs, number, path);
    int fd = packs->io->open(packs->io, path, O_RDONLY, 0);
    if (fd < 0)
        return error_system(errno, "%s: cannot open", path);
    int failed = packs->io->fdatasync(packs->io, fd) != 0 ? errno : 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    packs->io->close(packs->io, fd);
    return failed ? error_system(failed, "%s: cannot sync", path) : NO_ERROR;
}

struct error packs_record(struct packs *packs, uint64_t number, uint64_t offset, size_t guess,
                          struct record_header *header, struct buf *payload)
{
    struct error err = NO_ERROR;
    struct open_pack *slot;
    int fd;
    char path[PATH_MAX];
    buf_clear(payload);
    packs_path(packs, number, path);
    TRY(pack_get(packs, number, &slot, &fd));

    size_t first = guess > RECORD_HEADER_SIZE ? guess : RECORD_HEADER_SIZE;
    if (first > record_extent(RECORD_PAYLOAD_MAX))
        first = RECORD_HEADER_SIZE;
    uint8_t *to = buf_reserve(payload, first);
    if (!to) {
        err = buf_error(payload);
        goto out;
    }
    /* The guess may reach beyond the end of the file. */
    ssize_t got = packs->io->pread(packs->io, fd, to, first, (off_t)offset);
    if (got < RECORD_HEADER_SIZE)
        CHECK(io_read_full(packs->io, fd, to, got = RECORD_HEADER_SIZE, offset, path));
    if (!record_header_read(header, to, record_seed(packs->uuid, number, offset))) {
        err = error_make(ERROR_DAMAGED, "%s: no valid record at offset %llu", path, (unsigned long long)offset);
        goto out;
    }
    size_t whole = RECORD_HEADER_SIZE + (size_t)header->length;
    if ((size_t)got < whole) {
        to = buf_reserve(payload, whole);
        if (!to) {
            err = buf_error(payload);
            goto out;
        }
        CHECK(io_read_full(packs->io, fd, to + got, whole - (size_t)got, offset + (size_t)got, path));
    }
    if (checksum64(to + RECORD_HEADER_SIZE, header->length, 0) != header->payload_checksum) {
        err = error_make(ERROR_DAMAGED, "%s: record at offset %llu has a wrong checksum", path,
                         (unsigned long long)offset);
        goto out;
    }
    memmove(to, to + RECORD_HEADER_SIZE, header->length);
    payload->size = header->length;
    to[header->length] = 0;
out:
    pack_put(packs, slot, fd);
    return err;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct pack_info *)a)->header.number, y = ((const struct pack_info *)b)->header.number;
    return x < y ? -1 : x > y;
}

static void read_info(struct packs *packs, struct pack_info *info, const char *path)
{
    uint64_t number = info->header.number;
    struct stat st;
    /* Not blocking: what somebody put there may be a pipe. */
    int fd = packs->io->open(packs->io, path, O_RDONLY | O_NONBLOCK, 0);
    uint8_t *bytes = malloc(PACK_HEADER_MIN + PACK_REPLACED_MAX * 40);
    struct error err = NO_ERROR;
    if (!bytes || fd < 0 || fstat(fd, &st) != 0) {
        err = error_system(errno, "%s: cannot open", path);
    } else if (!S_ISREG(st.st_mode)) {
        err = error_make(ERROR_DAMAGED, "is no regular file");
    } else {
        info->file_size = (uint64_t)st.st_size;
        ssize_t got = packs->io->pread(packs->io, fd, bytes, PACK_HEADER_MIN + PACK_REPLACED_MAX * 40, 0);
        err = pack_header_read(&info->header, bytes, got < 0 ? 0 : (size_t)got);
        info->headless = err.code == ERROR_DAMAGED;
        info->foreign = !err.code && memcmp(info->header.uuid, packs->uuid, 16) != 0;
        if (info->foreign)
            err = error_make(ERROR_DAMAGED, "belongs to another archive");
        if (!err.code && info->header.number != number)
            err = error_make(ERROR_DAMAGED, "is pack %llu by its header", (unsigned long long)info->header.number);
    }
    info->header.number = number;
    info->valid = err.code == ERROR_NONE;
    snprintf(info->why, sizeof info->why, "%s", err.code ? error_text(&err) : "");
    error_release(&err);
    free(bytes);
    if (fd >= 0)
        packs->io->close(packs->io, fd);
}

struct error packs_list(struct packs *packs, struct pack_info **out, size_t *out_count)
{
    struct pack_info *list = NULL;
    size_t count = 0, room = 0;
    DIR *folder = opendir(packs->folder);
    if (!folder)
        return error_system(errno, "%s: cannot open", packs->folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[40];
        unsigned long long number = strtoull(entry->d_name, NULL, 10);
        snprintf(name, sizeof name, "%08llu.pack", number);
        if (!number || number > PACK_NUMBER_MAX || strcmp(entry->d_name, name) != 0)
            continue;
        if (count == room) {
            room = room ? room * 2 : 16;
            struct pack_info *more = realloc(list, room * sizeof *list);
            if (!more) {
                free(list);
                closedir(folder);
                return error_make(ERROR_NO_MEMORY, "%s: out of memory", packs->folder);
            }
            list = more;
        }
        memset(&list[count], 0, sizeof *list);
        list[count++].header.number = number;
    }
    closedir(folder);
    if (count)
        qsort(list, count, sizeof *list, by_number);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        packs_path(packs, list[i].header.number, path);
        read_info(packs, &list[i], path);
        if (list[i].valid && list[i].header.replaced_count) {
            free(list);
            return error_make(ERROR_UNSUPPORTED, "%s: a newer version of pacsfs has compacted this archive", path);
        }
    }
    /* A successor says where its predecessor ends. Two of them can name the same one only when the first could not
     * hold a record (its header was not synced): the later one counts. */
    for (size_t i = 0; i < count; i++) {
        struct pack_info key = {.header.number = list[i].header.previous};
        struct pack_info *before = list[i].valid && i ? bsearch(&key, list, i, sizeof *list, by_number) : NULL;
        if (before)
            before->end = list[i].header.previous_end;
    }
    *out = list;
    *out_count = count;
    return NO_ERROR;
}
