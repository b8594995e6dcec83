/* What lives here: the group in memory and the one open pack, by the invariants L1 to L5 of the header. What does not:
 * who waits for which group (writer.c), reading (pack/). */
#include "index/log/log.h"

#include "codecs/chunk/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENDED_MAX 256 /* failures that one run remembers; of packs before those nothing is said to hold */

struct ended {
    uint64_t pack, end;
};

struct log {
    const struct io_ops *io;
    char folder[PATH_MAX - 32];
    uint8_t uuid[16];
    uint64_t pack_bytes;

    int fd; /* -1: CLOSED */
    uint64_t pack;
    uint64_t written;                /* bytes handed to the system */
    uint64_t synced;                 /* proven durable */
    uint64_t stated;                 /* the largest `synced` that stands in a durable record */
    uint64_t previous, previous_end; /* for the next pack's header */
    uint64_t highest;                /* pack number used so far */

    uint64_t lsn, time_ns;               /* of the last logical record, group included */
    uint64_t synced_lsn, synced_time_ns; /* the same at the last sync */
    uint64_t written_lsn, written_time_ns;

    struct iovec *parts; /* the group */
    size_t part_count, part_room;
    struct header_block *blocks; /* record headers; in blocks, so that addresses hold while the group grows */
    uint64_t group_bytes;

    uint64_t begin; /* of records in this pack */

    struct ended ended[ENDED_MAX]; /* the latest failures, the oldest gives way */
    unsigned ended_count;
    uint64_t forgotten; /* the newest pack whose entry gave way */
};

#define BLOCK_HEADERS 256
struct header_block {
    struct header_block *next;
    unsigned used;
    uint8_t headers[BLOCK_HEADERS][RECORD_HEADER_SIZE];
};

static const uint8_t padding[RECORD_ALIGN];

struct error log_new(struct log **out, const char *folder, const uint8_t uuid[16], const struct io_ops *io,
                     uint64_t pack_bytes, const struct log_position *position)
{
    if (strlen(folder) >= sizeof((struct log *)0)->folder)
        return error_make(ERROR_USAGE, "%s: path too long", folder);
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", folder);
    memcpy(log->folder, folder, strlen(folder) + 1);
    memcpy(log->uuid, uuid, 16);
    log->io = io;
    log->pack_bytes = pack_bytes;
    log->fd = -1;
    log->previous = log->highest = position->pack;
    log->previous_end = position->end;
    log->lsn = log->synced_lsn = log->written_lsn = position->lsn;
    log->time_ns = log->synced_time_ns = log->written_time_ns = position->time_ns;
    *out = log;
    return NO_ERROR;
}

static void group_clear(struct log *log)
{
    log->part_count = 0;
    log->group_bytes = 0;
    for (struct header_block *b = log->blocks; b; b = b->next)
        b->used = 0;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    if (log->fd >= 0)
        log->io->close(log->io, log->fd);
    while (log->blocks) {
        struct header_block *next = log->blocks->next;
        free(log->blocks);
        log->blocks = next;
    }
    free(log->parts);
    free(log);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pack_path(const struct log *log, uint64_t number, char *to)
{
    snprintf(to, PATH_MAX, "%s/%08llu.pack", log->folder, (unsigned long long)number);
}

/* L1: header, then the folder; only then does the pack exist for us. A number that is taken (left by a failed attempt)
 * is passed over. */
static struct error make_pack(struct log *log)
{
    struct error err = NO_ERROR;
    struct buf bytes;
    char path[PATH_MAX];
    int fd = -1;
    buf_init(&bytes);
    do {
        pack_path(log, ++log->highest, path);
        fd = log->io->open(log->io, path, O_RDWR | O_CREAT | O_EXCL, 0640);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0) {
        err = error_system(errno, "%s: cannot create", path);
        log->highest--;
        return err;
    }
    struct pack_header header = {
        .number = log->highest,
        .first_lsn = log->lsn + 1,
        .previous = log->previous,
        .previous_end = log->previous_end,
        .created_ns = now_ns(),
    };
    memcpy(header.uuid, log->uuid, 16);
    pack_header_write(&bytes, &header, NULL);
    CHECK(buf_error(&bytes));
    struct iovec part = {bytes.data, bytes.size};
    CHECK(io_write_full(log->io, fd, &part, 1, 0, path));
    if (log->io->fsync(log->io, fd) != 0) {
        err = error_system(errno, "%s: cannot sync", path);
        goto out;
    }
    CHECK(io_sync_folder(log->io, log->folder));
    log->fd = fd;
    log->pack = header.number;
    log->begin = log->written = log->synced = log->stated = bytes.size;
out:
    if (err.code) {
        log->io->close(log->io, fd);
        if (log->io->unlink(log->io, path) == 0)
            log->highest--; /* no record was written under this number */
    }
    buf_release(&bytes);
    return err;
}

/* L2: the caller has synced; from here on its end is what the successor will state. */
static void close_pack(struct log *log)
{
    if (log->fd < 0)
        return;
    log->io->close(log->io, log->fd);
    log->fd = -1;
    log->previous = log->pack;
    log->previous_end = log->synced;
}

struct error log_open_group(struct log *log)
{
    if (log->fd >= 0 && log->written >= log->pack_bytes && log->part_count == 0) {
        struct error err = log_sync(log);
        if (err.code) { /* never asked twice: the second fdatasync says yes */
            log_fail(log);
            return err;
        }
        close_pack(log);
    }
    if (log->fd >= 0)
        return NO_ERROR;
    return make_pack(log);
}

static uint8_t *new_header(struct log *log)
{
    struct header_block *b = log->blocks;
    while (b && b->used == BLOCK_HEADERS)
        b = b->next;
    if (!b) {
        b = calloc(1, sizeof *b);
        if (!b)
            return NULL;
        b->next = log->blocks;
        log->blocks = b;
    }
    return b->headers[b->used++];
}

struct error log_append(struct log *log, uint8_t type, bool logical, const struct iovec *parts, unsigned count,
                        struct log_place *place)
{
    if (log->part_count + count + 2 > log->part_room) {
        size_t room = (log->part_room + count + 2) * 2;
        struct iovec *more = realloc(log->parts, room * sizeof *more);
        if (!more)
            return error_make(ERROR_NO_MEMORY, "log: out of memory");
        log->parts = more;
        log->part_room = room;
    }
    uint8_t *bytes = new_header(log);
    if (!bytes)
        return error_make(ERROR_NO_MEMORY, "log: out of memory");

    struct record_header header = {.type = type, .synced = log->synced};
    struct buf joined;
    buf_init(&joined);
    for (unsigned i = 0; i < count; i++)
        header.length += parts[i].iov_len;
    if (header.length > RECORD_PAYLOAD_MAX)
        return error_make(ERROR_REFUSED, "a record of %llu bytes is beyond the limit of %u",
                          (unsigned long long)header.length, RECORD_PAYLOAD_MAX);
    if (count == 1) {
        header.payload_checksum = checksum64(parts[0].iov_base, parts[0].iov_len, 0);
    } else {
        for (unsigned i = 0; i < count; i++)
            buf_append(&joined, parts[i].iov_base, parts[i].iov_len);
        header.payload_checksum = checksum64(joined.data, joined.size, 0);
    }
    struct error err = buf_error(&joined);
    buf_release(&joined);
    TRY(err);

    uint64_t now = now_ns();
    header.time_ns = now > log->time_ns ? now : log->time_ns + 1;
    if (logical) {
        header.lsn = ++log->lsn;
        log->time_ns = header.time_ns;
    }
    place->pack = log->pack;
    place->offset = log->written + log->group_bytes;
    place->lsn = header.lsn;
    place->time_ns = header.time_ns;
    record_header_write(bytes, &header, record_seed(log->uuid, log->pack, place->offset));

    log->parts[log->part_count++] = (struct iovec){bytes, RECORD_HEADER_SIZE};
    for (unsigned i = 0; i < count; i++)
        log->parts[log->part_count++] = parts[i];
    size_t pad = (size_t)(record_extent(header.length) - RECORD_HEADER_SIZE - header.length);
    if (pad)
        log->parts[log->part_count++] = (struct iovec){(void *)padding, pad};
    log->group_bytes += record_extent(header.length);
    return NO_ERROR;
}

void log_drop(struct log *log)
{
    log->lsn = log->written_lsn;
    log->time_ns = log->written_time_ns;
    group_clear(log);
}

struct error log_write(struct log *log)
{
    if (!log->part_count)
        return NO_ERROR;
    char path[PATH_MAX];
    pack_path(log, log->pack, path);
    TRY(io_write_full(log->io, log->fd, log->parts, log->part_count, log->written, path));
    log->written += log->group_bytes;
    log->written_lsn = log->lsn;
    log->written_time_ns = log->time_ns;
    group_clear(log);
    return NO_ERROR;
}

struct error log_sync(struct log *log)
{
    uint64_t stated = log->part_count ? log->synced : log->stated;
    TRY(log_write(log));
    if (log->fd < 0 || log->synced == log->written)
        return NO_ERROR;
    if (log->io->fdatasync(log->io, log->fd) != 0) {
        char path[PATH_MAX];
        pack_path(log, log->pack, path);
        return error_system(errno, "%s: cannot sync", path);
    }
    log->synced = log->written;
    if (stated > log->stated)
        log->stated = stated;
    log->synced_lsn = log->lsn;
    log->synced_time_ns = log->time_ns;
    return NO_ERROR;
}

/* Chunks that were written but never synced may be asked for. */
static void remember_end(struct log *log)
{
    struct ended *to = &log->ended[log->ended_count++ % ENDED_MAX];
    if (to->pack > log->forgotten)
        log->forgotten = to->pack;
    *to = (struct ended){log->pack, log->synced};
}

/* A pack without a proven record goes, so that a disk that stays full is not littered. The folder's sync in make_pack()
 * makes that last before the LSNs are given again: were it to come back after them, it would state them too. */
static bool remove_empty(struct log *log)
{
    char path[PATH_MAX];
    pack_path(log, log->pack, path);
    if (log->synced != log->begin || log->io->unlink(log->io, path) != 0)
        return false;
    log->io->close(log->io, log->fd);
    log->fd = -1;
    return true;
}

void log_fail(struct log *log)
{
    group_clear(log);
    if (log->fd >= 0) {
        if (log->written > log->synced)
            remember_end(log);
        if (!remove_empty(log))
            close_pack(log);
    }
    log->lsn = log->written_lsn = log->synced_lsn;
    log->time_ns = log->written_time_ns = log->synced_time_ns;
}

void log_revoke(struct log *log, const struct log_position *before)
{
    log->synced = before->end;
    log->synced_lsn = before->lsn;
    log->synced_time_ns = before->time_ns;
    log_fail(log);
}

bool log_holds(const struct log *log, uint64_t pack, uint64_t offset)
{
    if (pack <= log->forgotten)
        return false;
    for (unsigned i = 0; i < ENDED_MAX && i < log->ended_count; i++)
        if (log->ended[i].pack == pack && offset >= log->ended[i].end)
            return false;
    return true;
}

bool log_wants_barrier(const struct log *log)
{
    return log->fd >= 0 && log->synced > log->stated;
}

struct error log_barrier(struct log *log)
{
    uint8_t payload[8];
    struct log_place place;
    put_u64(payload, log->synced);
    struct iovec part = {payload, sizeof payload};
    TRY(log_append(log, RECORD_BARRIER, false, &part, 1, &place));
    TRY(log_sync(log));
    /* What the barrier states is all that counts; the barrier itself needs no proof. */
    log->stated = log->synced;
    return NO_ERROR;
}

struct log_position log_position(const struct log *log)
{
    if (log->fd < 0)
        return (struct log_position){log->previous, log->previous_end, log->synced_lsn, log->synced_time_ns};
    return (struct log_position){log->pack, log->synced, log->synced_lsn, log->synced_time_ns};
}

uint64_t log_pack_number(const struct log *log)
{
    return log->fd < 0 ? 0 : log->pack;
}
