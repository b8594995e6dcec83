/* What lives here: nodes, folders, survivors. A file differs from the disk sector by sector; pages are what the cache
 * writes back, loses and forgets. */
#include "platter.h"

#include "codecs/chunk/chunk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECTOR 512
#define PAGE 4096
#define NODES_MAX 512
#define FOLDERS_MAX 64
#define ENTRIES_MAX 256
#define KEEP ".disk"

struct entry {
    char name[64];
    ino_t inode; /* 0: a folder */
};

struct folder {
    char path[128]; /* below the root */
    struct entry entries[ENTRIES_MAX];
    unsigned count;
};

struct survivor {
    char path[192];
    ino_t inode; /* 0: a folder */
    struct buf bytes;
};

static struct {
    char root[PATH_MAX / 4];
    struct node nodes[NODES_MAX];
    unsigned node_count;
    struct folder folders[FOLDERS_MAX];
    unsigned folder_count;
    struct survivor *survivors;
    unsigned survivor_count;
    bool killed; /* the cut took the process alone */
} platter;

static void die(const char *what)
{
    fprintf(stderr, "simulated disk: %s: %s\n", what, strerror(errno));
    _exit(2);
}

static void full_path(const char *part, char to[PATH_MAX])
{
    snprintf(to, PATH_MAX, "%s%s%s", platter.root, *part ? "/" : "", part);
}

static void keep_path(ino_t inode, char to[PATH_MAX])
{
    snprintf(to, PATH_MAX, "%s/" KEEP "/%llu", platter.root, (unsigned long long)inode);
}

/* ---- files ---- */

bool platter_named(const char *text, const char *end)
{
    size_t size = strlen(text), least = strlen(end);
    return size >= least && strcmp(text + size - least, end) == 0;
}

static enum file_class class_of(const char *name)
{
    return platter_named(name, ".pack")      ? CLASS_PACK
           : platter_named(name, "data.mdb") ? CLASS_INDEX
           : platter_named(name, "lock.mdb") || platter_named(name, "run/lock") || platter_named(name, "clock")
               ? CLASS_LOCK
               : CLASS_SMALL;
}

static struct node *node_by_inode(ino_t inode)
{
    for (unsigned i = 0; i < platter.node_count; i++)
        if (platter.nodes[i].inode == inode)
            return &platter.nodes[i];
    return NULL;
}

/* The file at `part`, known from here on; NULL: there is none. */
struct node *platter_node(const char *part)
{
    char path[PATH_MAX], keep[PATH_MAX];
    struct stat st;
    full_path(part, path);
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    struct node *n = node_by_inode(st.st_ino);
    if (n)
        return n;
    if (platter.node_count == NODES_MAX)
        die("too many files");
    n = &platter.nodes[platter.node_count++];
    memset(n, 0, sizeof *n);
    n->inode = st.st_ino;
    snprintf(n->name, sizeof n->name, "%s", part);
    n->class = class_of(part);
    buf_init(&n->durable);
    keep_path(n->inode, keep);
    if (link(path, keep) != 0)
        die(keep);
    return n;
}

const char *platter_part(const char *path)
{
    size_t size = strlen(platter.root);
    if (strncmp(path, platter.root, size) != 0 || (path[size] && path[size] != '/'))
        return NULL;
    return path[size] ? path + size + 1 : "";
}

const char *platter_part_of_descriptor(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return platter_part(path);
}

struct node *platter_node_of_descriptor(int fd)
{
    struct stat st;
    char path[PATH_MAX];
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    struct node *n = node_by_inode(st.st_ino);
    const char *part = n ? NULL : platter_part_of_descriptor(fd, path);
    return part && *part ? platter_node(part) : n;
}

/* What the cache holds of a file. Locks are not opened: closing them would drop LMDB's. */
static void cached(const struct node *n, struct buf *out)
{
    char path[PATH_MAX];
    struct stat st;
    buf_clear(out);
    if (n->class == CLASS_LOCK)
        return;
    keep_path(n->inode, path);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    uint8_t *to = fd >= 0 && fstat(fd, &st) == 0 ? buf_reserve(out, (size_t)st.st_size + 1) : NULL;
    if (!to)
        die(path);
    for (ssize_t got; (got = pread(fd, to + out->size, (size_t)st.st_size - out->size, (off_t)out->size)) > 0;)
        out->size += (size_t)got;
    close(fd);
}

/* Zeros behind the end, as a hole reads. */
static void piece(const struct buf *bytes, size_t at, size_t size, uint8_t *to)
{
    memset(to, 0, size);
    if (at < bytes->size)
        memcpy(to, bytes->data + at, bytes->size - at < size ? bytes->size - at : size);
}

static void set_size(struct buf *bytes, size_t size)
{
    if (size > bytes->size) {
        uint8_t *to = buf_reserve(bytes, size - bytes->size + 1);
        if (!to)
            die("out of memory");
        memset(to, 0, size - bytes->size);
    }
    bytes->size = size;
}

static void set_piece(struct buf *bytes, size_t at, size_t size, const uint8_t *from)
{
    if (at < bytes->size)
        memcpy(bytes->data + at, from, bytes->size - at < size ? bytes->size - at : size);
}

static bool differs(const struct buf *a, const struct buf *b, size_t at, size_t size)
{
    uint8_t one[PAGE], two[PAGE];
    piece(a, at, size, one);
    piece(b, at, size, two);
    return memcmp(one, two, size) != 0;
}

static uint64_t page_sum(const struct buf *bytes, size_t page)
{
    uint8_t content[PAGE];
    piece(bytes, page * PAGE, PAGE, content);
    return checksum64(content, PAGE, 1) | 1;
}

static bool is_lost(const struct node *n, const struct buf *live, size_t page)
{
    return page < n->lost_count && n->lost[page] && n->lost[page] == page_sum(live, page);
}

/* A sync that succeeded: pages that an earlier one lost are clean, nobody writes them. */
void platter_sync(struct node *n)
{
    struct buf live;
    buf_init(&live);
    cached(n, &live);
    set_size(&n->durable, live.size);
    for (size_t page = 0; page * PAGE < live.size; page++) {
        if (is_lost(n, &live, page))
            continue;
        uint8_t content[PAGE];
        piece(&live, page * PAGE, PAGE, content);
        set_piece(&n->durable, page * PAGE, PAGE, content);
        if (page < n->lost_count)
            n->lost[page] = 0;
    }
    buf_release(&live);
}

void platter_lose(struct node *n)
{
    struct buf live;
    buf_init(&live);
    cached(n, &live);
    size_t pages = live.size / PAGE + 1;
    if (pages > n->lost_count) {
        n->lost = realloc(n->lost, pages * sizeof *n->lost);
        if (!n->lost)
            die("out of memory");
        memset(n->lost + n->lost_count, 0, (pages - n->lost_count) * sizeof *n->lost);
        n->lost_count = pages;
    }
    for (size_t page = 0; page * PAGE < live.size; page++)
        if (differs(&live, &n->durable, page * PAGE, PAGE))
            n->lost[page] = page_sum(&live, page);
    buf_release(&live);
}

/* Clean pages leave the cache: those that are lost show what the disk has. */
void platter_forget(struct node *n)
{
    struct buf live;
    char path[PATH_MAX];
    buf_init(&live);
    cached(n, &live);
    keep_path(n->inode, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    for (size_t page = 0; page * PAGE < live.size; page++) {
        uint8_t content[PAGE];
        if (!is_lost(n, &live, page))
            continue;
        size_t size = live.size - page * PAGE < PAGE ? live.size - page * PAGE : PAGE;
        piece(&n->durable, page * PAGE, size, content);
        if (syscall(SYS_pwrite64, fd, content, size, (off_t)(page * PAGE)) != (long)size)
            die(path);
        n->lost[page] = 0;
    }
    close(fd);
    buf_release(&live);
}

/* An inode's size follows what was written. */
void platter_write_some(struct node *n, uint64_t seed, uint64_t moment)
{
    struct buf live;
    if (disk_chance(seed, "writeback", moment) % 8 || n->class == CLASS_LOCK)
        return;
    buf_init(&live);
    cached(n, &live);
    for (size_t page = 0; page * PAGE < live.size; page++) {
        uint8_t content[PAGE];
        if (is_lost(n, &live, page) || disk_chance(seed, n->name, moment * UINT64_C(1000003) + page) % 2)
            continue;
        size_t end = (page + 1) * PAGE < live.size ? (page + 1) * PAGE : live.size;
        if (end > n->durable.size)
            set_size(&n->durable, end);
        piece(&live, page * PAGE, PAGE, content);
        set_piece(&n->durable, page * PAGE, PAGE, content);
    }
    buf_release(&live);
}

/* ---- folders ---- */

static struct folder *folder_at(const char *part)
{
    for (unsigned i = 0; i < platter.folder_count; i++)
        if (strcmp(platter.folders[i].path, part) == 0)
            return &platter.folders[i];
    if (platter.folder_count == FOLDERS_MAX)
        die("too many folders");
    struct folder *f = &platter.folders[platter.folder_count++];
    snprintf(f->path, sizeof f->path, "%s", part);
    f->count = 0;
    return f;
}

static void join(char to[192], const char *folder, const char *name)
{
    snprintf(to, 192, "%.120s%s%.64s", folder, *folder ? "/" : "", name);
}

/* The names that the cache has; none where there is no such folder. */
static void list_folder(const char *part, struct folder *out)
{
    char path[PATH_MAX], child[192];
    struct stat st;
    snprintf(out->path, sizeof out->path, "%s", part);
    out->count = 0;
    full_path(part, path);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, KEEP) == 0)
            continue;
        join(child, part, e->d_name);
        full_path(child, path);
        if (lstat(path, &st) != 0)
            continue; /* gone meanwhile */
        if (out->count == ENTRIES_MAX)
            die(path);
        struct entry *to = &out->entries[out->count++];
        snprintf(to->name, sizeof to->name, "%.63s", e->d_name);
        to->inode = S_ISDIR(st.st_mode) ? 0 : st.st_ino;
        if (to->inode)
            platter_node(child);
    }
    if (dir)
        closedir(dir);
}

static const struct entry *entry_of(const struct folder *f, const char *name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (strcmp(f->entries[i].name, name) == 0)
            return &f->entries[i];
    return NULL;
}

/* ---- a cut ---- */

static struct survivor *survive(const char *path, ino_t inode)
{
    platter.survivors = realloc(platter.survivors, (platter.survivor_count + 1) * sizeof *platter.survivors);
    if (!platter.survivors)
        die("out of memory");
    struct survivor *s = &platter.survivors[platter.survivor_count++];
    snprintf(s->path, sizeof s->path, "%s", path);
    s->inode = inode;
    buf_init(&s->bytes);
    return s;
}

/* Bytes of another file at the same place: what a block held before it was given to this one. */
static void stale(const struct node *n, size_t at, uint64_t chance, uint8_t to[SECTOR])
{
    const struct node *other = &platter.nodes[chance % platter.node_count];
    if (chance & (1u << 20) && other != n && other->durable.size > at) {
        piece(&other->durable, at, SECTOR, to);
        return;
    }
    for (size_t i = 0; i < SECTOR; i += 8) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(to + i, &chance, 8);
    }
}

/* A sector that is written again holds what it held or what was written, never else: bytes that were synced, and that a
 * later write to their sector did not change, stay. (SQLite calls it powersafe overwrite. No log that grows within a
 * sector could do without.) The index can: its pages are of any kind after a cut. */
static void keep_synced(const struct node *n, size_t at, struct buf *out)
{
    if (at < n->durable.size)
        set_piece(out, at, n->durable.size - at < SECTOR ? n->durable.size - at : SECTOR, n->durable.data + at);
}

static size_t size_left(const struct node *n, size_t live, enum disk_survival how, uint64_t seed)
{
    size_t durable = n->durable.size, least = live < durable ? live : durable;
    size_t most = live > durable ? live : durable;
    uint64_t chance = disk_chance(seed, n->name, UINT64_MAX);
    if (how == DISK_DROPPED)
        return durable;
    if (how == DISK_KEPT || how == DISK_KILL || chance % 3 == 0)
        return live;
    return least + (size_t)((chance >> 8) % (most - least + 1));
}

static void file_left(const struct node *n, enum disk_survival how, uint64_t seed, struct buf *out)
{
    struct buf live;
    buf_init(&live);
    cached(n, &live);
    size_t size = size_left(n, live.size, how, seed), torn = SIZE_MAX;
    set_size(out, size);
    if (how == DISK_TORN) {
        size_t first = 0, sectors = live.size / SECTOR + 1;
        while (first < sectors && !differs(&live, &n->durable, first * SECTOR, SECTOR))
            first++;
        torn = first + (size_t)(disk_chance(seed, n->name, 1) % (sectors - (first < sectors ? first : 0) + 1));
    }
    for (size_t s = 0; s * SECTOR < size; s++) {
        uint8_t bytes[SECTOR];
        uint64_t chance = disk_chance(seed, n->name, s + 2);
        bool same = !differs(&live, &n->durable, s * SECTOR, SECTOR);
        bool drop = how == DISK_DROPPED || (how == DISK_TORN && s >= torn) || (how == DISK_RANDOM && chance % 2) ||
                    (how == DISK_NOISE && chance % 3);
        if (how != DISK_KILL && is_lost(n, &live, s * SECTOR / PAGE))
            drop = true;
        piece(drop ? &n->durable : &live, s * SECTOR, SECTOR, bytes);
        if (!same && how == DISK_NOISE && chance % 3 == 2)
            stale(n, s * SECTOR, chance >> 8, bytes);
        set_piece(out, s * SECTOR, SECTOR, bytes);
        if (how == DISK_NOISE && n->class != CLASS_INDEX)
            keep_synced(n, s * SECTOR, out);
    }
    buf_release(&live);
}

/* Of a name that differs: what the cache has or what the disk had. */
static bool cache_wins(const char *path, enum disk_survival how, uint64_t seed)
{
    return how == DISK_KILL || how == DISK_KEPT || (how != DISK_DROPPED && disk_chance(seed, path, 0) % 2);
}

static void folder_left(const char *part, enum disk_survival how, uint64_t seed)
{
    struct folder *live = malloc(sizeof *live);
    if (!live)
        die("out of memory");
    list_folder(part, live);
    const struct folder *durable = folder_at(part);
    for (int side = 0; side < 2; side++) {
        const struct folder *from = side ? durable : live;
        for (unsigned i = 0; i < from->count; i++) {
            const struct entry *a = entry_of(live, from->entries[i].name);
            const struct entry *b = entry_of(durable, from->entries[i].name);
            char path[192];
            if (side && a)
                continue; /* seen from the other side */
            join(path, part, from->entries[i].name);
            bool same = a && b && a->inode == b->inode;
            const struct entry *left = same || cache_wins(path, how, seed) ? a : b;
            if (!left)
                continue;
            struct survivor *s = survive(path, left->inode);
            const struct node *n = left->inode ? node_by_inode(left->inode) : NULL;
            if (n)
                file_left(n, how, seed, &s->bytes);
            else
                folder_left(path, how, seed);
        }
    }
    free(live);
}

void platter_cut(enum disk_survival how, uint64_t seed)
{
    platter.killed = how == DISK_KILL;
    folder_left("", how, seed);
}

static const struct survivor *survivor_at(const char *part)
{
    for (unsigned i = 0; i < platter.survivor_count; i++)
        if (strcmp(platter.survivors[i].path, part) == 0)
            return &platter.survivors[i];
    return NULL;
}

static int remove_dead(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    const char *part = platter_part(path);
    (void)at;
    if (!part || !*part || strncmp(part, KEEP, strlen(KEEP)) == 0)
        return 0;
    const struct survivor *s = survivor_at(part);
    bool folder = kind == FTW_D || kind == FTW_DP;
    if (!s || (s->inode ? folder || s->inode != st->st_ino : !folder))
        return remove(path);
    return 0;
}

static void write_back(const char *path, const struct buf *bytes)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes->size) != 0 ||
        syscall(SYS_pwrite64, fd, bytes->data, bytes->size, (off_t)0) != (long)bytes->size)
        die(path);
    close(fd);
}

/* The boot id stands first in a stamp. */
static void other_boot(struct survivor *s)
{
    if (platter_named(s->path, "/stamp") && s->bytes.size)
        s->bytes.data[0] = s->bytes.data[0] == '0' ? '1' : '0';
}

static void all_durable(const char *part)
{
    struct folder *f = folder_at(part);
    char child[192];
    list_folder(part, f);
    for (unsigned i = 0; i < f->count; i++) {
        join(child, part, f->entries[i].name);
        if (f->entries[i].inode)
            platter_sync(platter_node(child));
        else
            all_durable(child);
    }
}

static void forget_lost(void)
{
    for (unsigned i = 0; i < platter.node_count; i++) {
        free(platter.nodes[i].lost);
        platter.nodes[i].lost = NULL;
        platter.nodes[i].lost_count = 0;
    }
}

static void forget_survivors(void)
{
    for (unsigned i = 0; i < platter.survivor_count; i++)
        buf_release(&platter.survivors[i].bytes);
    free(platter.survivors);
    platter.survivors = NULL;
    platter.survivor_count = 0;
}

void platter_apply(void)
{
    nftw(platter.root, remove_dead, 16, FTW_DEPTH | FTW_PHYS);
    for (unsigned i = 0; i < platter.survivor_count; i++) {
        struct survivor *s = &platter.survivors[i];
        const struct node *n = s->inode ? node_by_inode(s->inode) : NULL;
        char path[PATH_MAX], keep[PATH_MAX];
        full_path(s->path, path);
        if (!s->inode && mkdir(path, 0750) != 0 && errno != EEXIST)
            die(path);
        if (!n)
            continue;
        keep_path(s->inode, keep);
        if (access(path, F_OK) != 0 && link(keep, path) != 0)
            die(path);
        if (!platter.killed)
            other_boot(s);
        if (n->class != CLASS_LOCK)
            write_back(path, &s->bytes);
    }
    forget_survivors();
    if (platter.killed)
        return;
    forget_lost();
    platter.folder_count = 0;
    all_durable("");
}

void platter_sync_folder(const char *part)
{
    list_folder(part, folder_at(part));
}

void platter_begin(const char *root)
{
    char keep[PATH_MAX];
    snprintf(platter.root, sizeof platter.root, "%s", root);
    full_path(KEEP, keep);
    if (mkdir(keep, 0700) != 0)
        die(keep);
    all_durable("");
}

void platter_end(void)
{
    forget_lost();
    forget_survivors();
    for (unsigned i = 0; i < platter.node_count; i++)
        buf_release(&platter.nodes[i].durable);
    platter.node_count = platter.folder_count = 0;
}
