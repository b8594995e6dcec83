/* What lives here: the files `checkpoint` and `stamp` beside data.mdb, by the theory in the header.
 *
 * checkpoint: "PACSCKPT", u32 format, u32 page size, u64 time of birth of data.mdb (ns), u64 its inode, u64 LSN,
 *             u64 pack, u64 end, two pages, u64 XXH3-64 of all before.
 * stamp: text, one line: boot id, device, inode and time of birth of data.mdb, "closed" or, by a
 *        writer, "opened". */
#include "index/db/checkpoint.h"

#include "codecs/chunk/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define HEADER 56
#define PAGE_MAX 65536
#define CLOSED " closed" /* as long as the other: one overwrites the other */
#define OPEN " opened"
static const char magic[8] = {'P', 'A', 'C', 'S', 'C', 'K', 'P', 'T'};

struct checkpoint {
    struct db *db;
    struct db_txn *pin;
    struct buf bytes;
    bool uncertain;
};

/* Which file this is. Inodes are given again, often at once: only with its time of birth is a copy known as one (0 on
 * file systems that keep none). */
struct identity {
    uint64_t device, inode, birth_ns;
};

static bool identify(int folder, const char *path, struct identity *who)
{
    struct statx st;
    if (statx(folder, path, *path ? 0 : AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) != 0)
        return false;
    *who = (struct identity){.device = makedev(st.stx_dev_major, st.stx_dev_minor), .inode = st.stx_ino};
    if (st.stx_mask & STATX_BTIME)
        who->birth_ns = (uint64_t)st.stx_btime.tv_sec * 1000000000u + st.stx_btime.tv_nsec;
    return true;
}

struct error checkpoint_take(struct db *db, struct checkpoint **out)
{
    struct error err = NO_ERROR;
    struct meta_row meta;
    struct identity who;
    size_t page = db_page_size(db);
    struct checkpoint *c = calloc(1, sizeof *c);
    if (!c)
        return error_make(ERROR_NO_MEMORY, "checkpoint: out of memory");
    c->db = db;
    buf_init(&c->bytes);
    CHECK(db_begin(db, false, &c->pin));
    CHECK(meta_row_get(c->pin, &meta));
    if (!identify(db_fd(db), "", &who)) {
        err = error_system(errno, "checkpoint: cannot stat the index");
        goto out;
    }
    buf_append(&c->bytes, magic, sizeof magic);
    buf_u32(&c->bytes, INDEX_FORMAT);
    buf_u32(&c->bytes, (uint32_t)page);
    buf_u64(&c->bytes, who.birth_ns);
    buf_u64(&c->bytes, who.inode);
    buf_u64(&c->bytes, meta.lsn);
    buf_u64(&c->bytes, meta.pack);
    buf_u64(&c->bytes, meta.end);
    uint8_t *pages = buf_reserve(&c->bytes, 2 * page);
    if (!pages) {
        err = buf_error(&c->bytes);
        goto out;
    }
    CHECK(io_read_full(&io_system, db_fd(db), pages, 2 * page, 0, "data.mdb"));
    c->bytes.size += 2 * page;
    buf_u64(&c->bytes, checksum64(c->bytes.data, c->bytes.size, 0));
    err = buf_error(&c->bytes);
out:
    if (err.code)
        checkpoint_release(c);
    else
        *out = c;
    return err;
}

static struct error read_small(const char *folder, const char *name, struct buf *out, size_t limit)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(errno, "%s: cannot open", path);
    uint8_t *to = buf_reserve(out, limit);
    ssize_t got = to ? pread(fd, to, limit, 0) : -1;
    int failed = errno;
    close(fd);
    if (got < 0)
        return error_system(failed, "%s: cannot read", path);
    out->size = (size_t)got;
    to[got] = 0;
    return NO_ERROR;
}

/* Whether folder/checkpoint may be this one; what cannot be read may be. */
static bool is_named(const struct checkpoint *c, const char *folder)
{
    struct buf stored;
    buf_init(&stored);
    struct error err = read_small(folder, "checkpoint", &stored, HEADER + 2 * PAGE_MAX + 8);
    bool other = !err.code && (stored.size != c->bytes.size || memcmp(stored.data, c->bytes.data, stored.size) != 0);
    bool none = err.code == ERROR_NOT_FOUND;
    error_release(&err);
    buf_release(&stored);
    return !other && !none;
}

struct error checkpoint_save(struct checkpoint *c, const char *folder, const struct io_ops *io)
{
    struct error err = db_sync(c->db);
    if (err.code) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/stamp", folder);
        c->uncertain = true;
        if (io->unlink(io, path) != 0 && errno != ENOENT)
            return error_context(err, "%s cannot be removed either: run 'pacsctl rebuild'", path);
        return err;
    }
    err = io_replace(io, folder, "checkpoint", c->bytes.data, c->bytes.size, 0640);
    c->uncertain = err.code && is_named(c, folder);
    return err;
}

uint64_t checkpoint_lsn(const struct checkpoint *c)
{
    return get_u64(c->bytes.data + 32);
}

bool checkpoint_uncertain(const struct checkpoint *c)
{
    return c->uncertain;
}

void checkpoint_release(struct checkpoint *c)
{
    if (!c)
        return;
    db_abort(c->pin);
    buf_release(&c->bytes);
    free(c);
}

struct error checkpoint_restore(const char *folder, const struct io_ops *io)
{
    struct error err = NO_ERROR;
    struct buf bytes;
    struct identity who;
    char path[PATH_MAX];
    int fd = -1;
    buf_init(&bytes);
    CHECK(read_small(folder, "checkpoint", &bytes, HEADER + 2 * PAGE_MAX + 8));
    uint32_t page = bytes.size > HEADER ? get_u32(bytes.data + 12) : 0;
    if (page < 512 || page > PAGE_MAX || bytes.size != HEADER + 2 * (size_t)page + 8 ||
        memcmp(bytes.data, magic, sizeof magic) != 0 || get_u32(bytes.data + 8) != INDEX_FORMAT ||
        get_u64(bytes.data + bytes.size - 8) != checksum64(bytes.data, bytes.size - 8, 0)) {
        err = error_make(ERROR_NOT_FOUND, "%s/checkpoint: not valid", folder);
        goto out;
    }
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    fd = io->open(io, path, O_RDWR, 0);
    if (fd < 0 || !identify(fd, "", &who)) {
        err = error_system(errno, "%s: cannot open", path);
        goto out;
    }
    if (who.birth_ns != get_u64(bytes.data + 16) || who.inode != get_u64(bytes.data + 24)) {
        err = error_make(ERROR_NOT_FOUND, "%s: is a copy: its checkpoint is of another file", path);
        goto out;
    }
    struct iovec part = {bytes.data + HEADER, 2 * (size_t)page};
    CHECK(io_write_full(io, fd, &part, 1, 0, path));
    if (io->fsync(io, fd) != 0)
        err = error_system(errno, "%s: cannot sync", path);
out:
    if (fd >= 0)
        io->close(io, fd);
    buf_release(&bytes);
    return err;
}

static struct error stamp_now(const char *folder, const char *state, char *to, size_t size)
{
    char path[PATH_MAX], boot[64] = "";
    struct identity who;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || !fgets(boot, sizeof boot, f))
        boot[0] = 0;
    if (f)
        fclose(f);
    boot[strcspn(boot, "\n")] = 0;
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    if (!*boot || !identify(AT_FDCWD, path, &who))
        return error_system(errno, "%s: cannot be stamped", path);
    snprintf(to, size, "%s %llu %llu %llu%s\n", boot, (unsigned long long)who.device, (unsigned long long)who.inode,
             (unsigned long long)who.birth_ns, state);
    return NO_ERROR;
}

static bool stamp_is(const char *folder, const char *state)
{
    char now[160];
    struct buf stored;
    buf_init(&stored);
    struct error err = stamp_now(folder, state, now, sizeof now);
    if (!err.code)
        err = read_small(folder, "stamp", &stored, sizeof now);
    bool is = !err.code && strcmp(buf_string(&stored), now) == 0;
    error_release(&err);
    buf_release(&stored);
    return is;
}

bool stamp_holds(const char *folder)
{
    return stamp_is(folder, CLOSED) || (stamp_is(folder, OPEN) && db_in_use(folder));
}

/* On a full disk the bytes of the one that is there are used: it is less than a sector, and never believed in part. */
static struct error stamp_put(const char *folder, const char *state, const struct io_ops *io)
{
    char now[160], path[PATH_MAX];
    TRY(stamp_now(folder, state, now, sizeof now));
    struct error err = io_replace(io, folder, "stamp", now, strlen(now), 0640);
    if (err.code != ERROR_FULL)
        return err;
    snprintf(path, sizeof path, "%s/stamp", folder);
    int fd = io->open(io, path, O_WRONLY, 0);
    if (fd < 0)
        return err;
    struct iovec part = {now, strlen(now)};
    struct error written = io_write_full(io, fd, &part, 1, 0, path);
    if (!written.code && io->fsync(io, fd) != 0)
        written = error_system(errno, "%s: cannot sync", path);
    io->close(io, fd);
    error_release(&err);
    return written;
}

struct error stamp_write(const char *folder, const struct io_ops *io)
{
    return stamp_put(folder, CLOSED, io);
}

struct error stamp_open(const char *folder, const struct io_ops *io)
{
    return stamp_put(folder, OPEN, io);
}
