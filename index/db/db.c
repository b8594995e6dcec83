/* What lives here: LMDB behind the functions of db.h. Read transactions are kept for reuse after their end (reset and
 * renew cost a tenth of begin); `lock` guards that list. Cursors are made once a transaction and table. */
#include "index/db/db.h"

#include "codecs/chunk/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MAX 16
#define PROOF 4        /* bytes behind each value */
#define PAGE_HEADER 16 /* of LMDB's pages: u64 number, u16, u16 flags, u32 pages */
#define PAGE_OVERFLOW 4

static const struct {
    const char *name;
    unsigned flags;
} tables[TABLES] = {
    [TABLE_META] = {"meta", 0},
    [TABLE_INSTANCE] = {"instance", 0},
    [TABLE_EDITION] = {"edition", 0},
    [TABLE_FOLDER] = {"folder", 0},
    [TABLE_PATIENT] = {"patient", 0},
    [TABLE_STUDY] = {"study", 0},
    [TABLE_SERIES] = {"series", 0},
    [TABLE_CHILD] = {"child", 0},
    [TABLE_NAME] = {"name", 0},
    [TABLE_UID] = {"uid", 0},
    [TABLE_SECONDARY] = {"secondary", MDB_DUPSORT | MDB_DUPFIXED},
    [TABLE_HOUR] = {"hour", 0},
    [TABLE_ORIGIN] = {"origin", 0},
    [TABLE_ORIGIN_KEY] = {"origin_key", 0},
    [TABLE_CONFLICT] = {"conflict", 0},
    [TABLE_DUPLICATE] = {"duplicate", 0},
    [TABLE_DICTIONARY] = {"dictionary", 0},
};

struct db_txn {
    struct db *db;
    MDB_txn *txn;
    MDB_cursor *cursors[TABLES];
    bool write;
    struct db_txn *next;
};

struct db {
    MDB_env *env;
    MDB_dbi dbi[TABLES];
    char path[PATH_MAX];
    pthread_mutex_t lock;
    struct db_txn *idle;
    unsigned idle_count;
    size_t page;
    bool page_is_systems; /* pages lie where the system's do */
};

/* A full disk shows as EIO from the commit's write: ask before calling it that. */
static struct error failure(const struct db *db, int code, const char *what)
{
    struct statvfs st;
    if ((code == EIO || code == ENOSPC) && statvfs(db->path, &st) == 0 && st.f_bavail * st.f_frsize < (1u << 20))
        return error_make(ERROR_FULL, "%s: %s: the disk is full", db->path, what);
    if (code == ENOMEM)
        return error_make(ERROR_NO_MEMORY, "%s: %s: out of memory", db->path, what);
    if (code == MDB_READERS_FULL)
        return error_make(ERROR_RETRY, "%s: more than %d readers", db->path, DB_READERS_MAX);
    if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID || code == MDB_VERSION_MISMATCH)
        return error_make(ERROR_DAMAGED, "%s: %s: %s; make it anew with 'pacsctl rebuild'", db->path, what,
                          mdb_strerror(code));
    if (code > 0)
        return error_system(code, "%s: %s", db->path, what);
    return error_make(ERROR_BROKEN, "%s: %s: %s", db->path, what, mdb_strerror(code));
}

static struct error refuse_network(const char *folder)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } network[] = {{NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"}, {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB2"},
                   {CODA_SUPER_MAGIC, "Coda"}, {AFS_SUPER_MAGIC, "AFS"}, {V9FS_MAGIC, "9P"},   {0x00C36400, "Ceph"}};
    struct statfs st;
    if (statfs(folder, &st) != 0)
        return error_system(errno, "%s: cannot stat", folder);
    for (size_t i = 0; i < sizeof network / sizeof network[0]; i++)
        if ((unsigned long)st.f_type == network[i].magic)
            return error_make(
                ERROR_REFUSED,
                "%s lies on %s: the index needs a local file system (packs may lie elsewhere: link packs/)", folder,
                network[i].name);
    return NO_ERROR;
}

/* Reading a page that a cut file no longer has is SIGBUS. Whole means: as long as the newest state says. */
static bool is_whole(const struct db *db, uint64_t *missing)
{
    struct stat st;
    int fd;
    mdb_env_get_fd(db->env, &fd);
    uint64_t extent = db_extent_bytes(db), size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    *missing = size < extent ? extent - size : 0;
    return !*missing;
}

/* LMDB does not write the last pages of a transaction where they were freed again in it: a file that is short for that
 * reason gets a hole there, so that a short file is always a damaged one. */
static void extend_file(const struct db *db)
{
    uint64_t missing;
    int fd;
    mdb_env_get_fd(db->env, &fd);
    if (!is_whole(db, &missing) && ftruncate(fd, (off_t)db_extent_bytes(db)) != 0)
        return; /* nobody reads those pages; the worst is an index made anew without need */
}

/* A writer that has just committed may be about to extend it: a few looks. */
static struct error check_whole(const struct db *db)
{
    uint64_t missing = 0;
    for (int looks = 0; looks < 10; looks++) {
        if (is_whole(db, &missing))
            return NO_ERROR;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return error_make(ERROR_DAMAGED,
                      "%s/data.mdb: its last %llu bytes are missing; make it anew with 'pacsctl rebuild'", db->path,
                      (unsigned long long)missing);
}

static struct error open_tables(struct db *db, bool write)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &txn);
    if (code)
        return failure(db, code, "cannot begin");
    for (int i = 0; i < TABLES && !code; i++)
        code = mdb_dbi_open(txn, tables[i].name, tables[i].flags | (write ? MDB_CREATE : 0), &db->dbi[i]);
    if (code) {
        mdb_txn_abort(txn);
        return failure(db, code, "cannot open its tables");
    }
    code = mdb_txn_commit(txn);
    if (code)
        return failure(db, code, "cannot commit");
    if (write)
        extend_file(db);
    return NO_ERROR;
}

/* The umask takes bits away from what LMDB creates: the documented group reads and locks. */
static void set_modes(const struct db *db)
{
    char path[PATH_MAX + 16];
    int fd;
    mdb_env_get_fd(db->env, &fd);
    if (fchmod(fd, 0640) != 0)
        return; /* another's file: its owner has done it */
    snprintf(path, sizeof path, "%s/lock.mdb", db->path);
    if (chmod(path, 0660) != 0)
        return;
}

/* A lock of the open file on all of it, for db_in_use(): it goes with the last descriptor, and no close of another one
 * in this process drops it. LMDB has its own, on another file. */
static struct error mark_in_use(const struct db *db)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd;
    mdb_env_get_fd(db->env, &fd);
    return fcntl(fd, F_OFD_SETLK, &whole) == 0 ? NO_ERROR : error_system(errno, "%s: cannot lock data.mdb", db->path);
}

bool db_in_use(const char *folder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool used = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    close(fd);
    return used;
}

struct error db_open(struct db **out, const char *folder, bool write, bool create)
{
    struct error err = NO_ERROR;
    if (strlen(folder) >= PATH_MAX)
        return error_make(ERROR_USAGE, "%s: path too long", folder);
    TRY(refuse_network(folder));
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", folder);
    memcpy(db->path, folder, strlen(folder) + 1);
    pthread_mutex_init(&db->lock, NULL);
    int code = mdb_env_create(&db->env);
    if (code) {
        err = failure(db, code, "cannot create");
        goto out;
    }
    mdb_env_set_maxdbs(db->env, TABLES + 8);
    mdb_env_set_maxreaders(db->env, DB_READERS_MAX);
    mdb_env_set_mapsize(db->env, DB_MAP_BYTES);
    unsigned flags = MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD;
    struct statvfs st;
    if (!write)
        flags |= MDB_RDONLY | (statvfs(folder, &st) == 0 && (st.f_flag & ST_RDONLY) ? MDB_NOLOCK : 0);
    code = mdb_env_open(db->env, folder, flags, 0660);
    if (code) {
        err = failure(db, code, "cannot open");
        goto out;
    }
    CHECK(check_whole(db));
    db->page = db_page_size(db);
    db->page_is_systems = db->page == (size_t)sysconf(_SC_PAGESIZE);
    CHECK(mark_in_use(db));
    if (write)
        set_modes(db);
    err = open_tables(db, write && create);
out:
    if (err.code)
        db_close(db);
    else
        *out = db;
    return err;
}

static void txn_free(struct db_txn *t)
{
    for (int i = 0; i < TABLES; i++)
        if (t->cursors[i])
            mdb_cursor_close(t->cursors[i]);
    if (t->txn)
        mdb_txn_abort(t->txn);
    free(t);
}

void db_close(struct db *db)
{
    if (!db)
        return;
    while (db->idle) {
        struct db_txn *next = db->idle->next;
        txn_free(db->idle);
        db->idle = next;
    }
    if (db->env)
        mdb_env_close(db->env);
    pthread_mutex_destroy(&db->lock);
    free(db);
}

int db_fd(const struct db *db)
{
    int fd = -1;
    mdb_env_get_fd(db->env, &fd);
    return fd;
}

struct error db_sync(struct db *db)
{
    int code = mdb_env_sync(db->env, 1);
    return code ? failure(db, code, "cannot sync") : NO_ERROR;
}

uint64_t db_extent_bytes(const struct db *db)
{
    MDB_envinfo info;
    MDB_stat st;
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &st);
    return (uint64_t)(info.me_last_pgno + 1) * st.ms_psize;
}

/* LMDB keeps the pages that a transaction freed in a list of page numbers, its length first, in database 0. */
uint64_t db_used_bytes(struct db_txn *t)
{
    MDB_cursor *c;
    MDB_val k, v;
    uint64_t free_pages = 0;
    if (mdb_cursor_open(t->txn, 0, &c) == 0) {
        while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0) {
            size_t count;
            memcpy(&count, v.mv_data, sizeof count);
            free_pages += count;
        }
        mdb_cursor_close(c);
    }
    return db_extent_bytes(t->db) - free_pages * db_page_size(t->db);
}

size_t db_page_size(struct db *db)
{
    MDB_stat st;
    mdb_env_stat(db->env, &st);
    return st.ms_psize;
}

void db_clear_dead_readers(struct db *db)
{
    int dead;
    mdb_reader_check(db->env, &dead);
}

struct error db_begin(struct db *db, bool write, struct db_txn **out)
{
    struct db_txn *t = NULL;
    if (!write) {
        pthread_mutex_lock(&db->lock);
        t = db->idle;
        if (t) {
            db->idle = t->next;
            db->idle_count--;
        }
        pthread_mutex_unlock(&db->lock);
        if (t) {
            int code = mdb_txn_renew(t->txn);
            if (code) {
                txn_free(t);
                return failure(db, code, "cannot begin");
            }
            for (int i = 0; i < TABLES; i++)
                if (t->cursors[i])
                    mdb_cursor_renew(t->txn, t->cursors[i]);
            *out = t;
            return NO_ERROR;
        }
    }
    t = calloc(1, sizeof *t);
    if (!t)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", db->path);
    t->db = db;
    t->write = write;
    int code = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
    if (code) {
        free(t);
        return failure(db, code, "cannot begin");
    }
    *out = t;
    return NO_ERROR;
}

/* A writer's cursors must be closed before its transaction ends. */
static void close_cursors(struct db_txn *t)
{
    for (int i = 0; i < TABLES; i++) {
        if (t->cursors[i])
            mdb_cursor_close(t->cursors[i]);
        t->cursors[i] = NULL;
    }
}

struct error db_commit(struct db_txn *t)
{
    struct db *db = t->db;
    if (!t->write) {
        db_abort(t);
        return NO_ERROR;
    }
    close_cursors(t);
    int code = mdb_txn_commit(t->txn);
    free(t);
    if (code)
        return failure(db, code, "cannot commit");
    extend_file(db);
    return NO_ERROR;
}

void db_abort(struct db_txn *t)
{
    if (!t)
        return;
    struct db *db = t->db;
    if (!t->write) {
        mdb_txn_reset(t->txn);
        pthread_mutex_lock(&db->lock);
        bool keep = db->idle_count < IDLE_MAX;
        if (keep) {
            t->next = db->idle;
            db->idle = t;
            db->idle_count++;
        }
        pthread_mutex_unlock(&db->lock);
        if (!keep)
            txn_free(t);
        return;
    }
    close_cursors(t);
    mdb_txn_abort(t->txn);
    free(t);
}

static MDB_val val(const void *data, size_t size)
{
    return (MDB_val){size, (void *)data};
}

static struct slice slice_of(MDB_val v)
{
    return (struct slice){v.mv_data, v.mv_size};
}

/* ---- rows and their proof ---- */

static uint32_t proof(enum table table, const MDB_val *key, const void *value, size_t size)
{
    return (uint32_t)checksum64(value, size, checksum64(key->mv_data, key->mv_size, (uint64_t)table));
}

/* Whether the bytes lie in one page, or in as many as an overflow page says that it has: lengths in pages are not
 * proven by anything, and what they lead to may be no memory. Pages that a writer has changed lie elsewhere. */
static bool lies_in_pages(const struct db_txn *t, const MDB_val *v)
{
    size_t page = t->db->page, at = (uintptr_t)v->mv_data % page;
    const uint8_t *start = (const uint8_t *)v->mv_data - at;
    if (t->write || !t->db->page_is_systems || at + v->mv_size <= page)
        return true;
    return at == PAGE_HEADER && (get_u16(start + 10) & PAGE_OVERFLOW) &&
           (uint64_t)get_u32(start + 12) * page >= PAGE_HEADER + v->mv_size;
}

/* The value without its proof, if that holds. */
static bool take(const struct db_txn *t, enum table table, MDB_val k, MDB_val v, struct slice *value, struct error *err)
{
    *value = slice_of(v);
    if (v.mv_size >= PROOF && k.mv_size <= DB_KEY_MAX && lies_in_pages(t, &k) && lies_in_pages(t, &v)) {
        value->size -= PROOF;
        if (get_u32(value->data + value->size) == proof(table, &k, value->data, value->size))
            return true;
    }
    if (!err->code)
        *err = error_make(ERROR_DAMAGED, "%s: a row of table %s is damaged; make it anew with 'pacsctl rebuild'",
                          t->db->path, tables[table].name);
    return false;
}

bool db_get(struct db_txn *t, enum table table, const void *key, size_t size, struct slice *value, struct error *err)
{
    MDB_val k = val(key, size), v;
    int code = mdb_get(t->txn, t->db->dbi[table], &k, &v);
    if (code && code != MDB_NOTFOUND && !err->code)
        *err = failure(t->db, code, "cannot read");
    return !code && take(t, table, k, v, value, err);
}

static int put(struct db_txn *t, enum table table, const void *key, size_t size, const void *value, size_t value_size,
               unsigned flags)
{
    MDB_val k = val(key, size), v = {value_size + PROOF, NULL};
    uint32_t sum = proof(table, &k, value, value_size);
    if (tables[table].flags & MDB_DUPSORT) { /* LMDB reserves no room in these */
        uint8_t both[8 + PROOF];
        if (value_size != 8)
            return EINVAL;
        memcpy(both, value, 8);
        put_u32(both + 8, sum);
        v.mv_data = both;
        return mdb_put(t->txn, t->db->dbi[table], &k, &v, flags);
    }
    int code = mdb_put(t->txn, t->db->dbi[table], &k, &v, flags | MDB_RESERVE);
    if (!code) {
        memcpy(v.mv_data, value, value_size);
        put_u32((uint8_t *)v.mv_data + value_size, sum);
    }
    return code;
}

struct error db_put(struct db_txn *t, enum table table, const void *key, size_t size, const void *value,
                    size_t value_size)
{
    int code = put(t, table, key, size, value, value_size, 0);
    if (code == MDB_KEYEXIST && (tables[table].flags & MDB_DUPSORT))
        code = 0;
    return code ? failure(t->db, code, "cannot write") : NO_ERROR;
}

struct error db_append(struct db_txn *t, enum table table, const void *key, size_t size, const void *value,
                       size_t value_size)
{
    int code = put(t, table, key, size, value, value_size, MDB_APPEND);
    if (code == MDB_KEYEXIST)
        return db_put(t, table, key, size, value, value_size);
    return code ? failure(t->db, code, "cannot write") : NO_ERROR;
}

static MDB_cursor *cursor(struct db_txn *t, enum table table, struct error *err)
{
    if (!t->cursors[table]) {
        int code = mdb_cursor_open(t->txn, t->db->dbi[table], &t->cursors[table]);
        if (code) {
            t->cursors[table] = NULL;
            if (!err->code)
                *err = failure(t->db, code, "cannot open a cursor");
        }
    }
    return t->cursors[table];
}

static bool move(struct db_txn *t, enum table table, MDB_val *k, MDB_val *v, MDB_cursor_op op, struct error *err)
{
    MDB_cursor *c = cursor(t, table, err);
    if (!c)
        return false;
    int code = mdb_cursor_get(c, k, v, op);
    if (code && code != MDB_NOTFOUND && !err->code)
        *err = failure(t->db, code, "cannot read");
    return !code;
}

bool db_seek(struct db_txn *t, enum table table, const void *key, size_t size, struct slice *found, struct slice *value,
             struct error *err)
{
    MDB_val k = val(key, size), v = {0, NULL};
    if (!move(t, table, &k, &v, size ? MDB_SET_RANGE : MDB_FIRST, err))
        return false;
    *found = slice_of(k);
    return take(t, table, k, v, value, err);
}

bool db_seek_value(struct db_txn *t, enum table table, const void *key, size_t size, const uint8_t least[8],
                   struct slice *value, struct error *err)
{
    uint8_t from[8 + PROOF] = {0};
    memcpy(from, least, 8);
    MDB_val k = val(key, size), v = val(from, sizeof from);
    return move(t, table, &k, &v, MDB_GET_BOTH_RANGE, err) && take(t, table, k, v, value, err);
}

bool db_last(struct db_txn *t, enum table table, struct slice *found, struct slice *value, struct error *err)
{
    MDB_val k, v;
    if (!move(t, table, &k, &v, MDB_LAST, err))
        return false;
    *found = slice_of(k);
    return take(t, table, k, v, value, err);
}

/* One row as the walk over all of them met it: its proof, and that it is found from the root. */
static struct error check_row(struct db_txn *t, enum table table, MDB_cursor *again, MDB_val k, MDB_val v)
{
    struct error err = NO_ERROR;
    struct slice value;
    MDB_val found = v;
    if (!take(t, table, k, v, &value, &err))
        return err;
    int code = mdb_cursor_get(again, &k, &found, tables[table].flags & MDB_DUPSORT ? MDB_GET_BOTH : MDB_SET);
    if (code || found.mv_size != v.mv_size || memcmp(found.mv_data, v.mv_data, v.mv_size) != 0)
        return error_make(ERROR_DAMAGED,
                          "%s: a row of table %s is not found by its key; make it anew with 'pacsctl "
                          "rebuild'",
                          t->db->path, tables[table].name);
    return NO_ERROR;
}

struct error db_check(struct db_txn *t, enum table table)
{
    struct error err = NO_ERROR;
    MDB_cursor *walk = NULL, *again = NULL;
    MDB_val k, v;
    uint64_t count = 0, entries = db_entries(t, table);
    int code = mdb_cursor_open(t->txn, t->db->dbi[table], &walk);
    if (!code)
        code = mdb_cursor_open(t->txn, t->db->dbi[table], &again);
    if (!code)
        code = mdb_cursor_get(walk, &k, &v, MDB_FIRST);
    for (; !code && count < entries; count++) {
        CHECK(check_row(t, table, again, k, v));
        code = mdb_cursor_get(walk, &k, &v, MDB_NEXT);
    }
    if (code && code != MDB_NOTFOUND)
        err = failure(t->db, code, "cannot read");
    else if (count != entries || !code)
        err = error_make(ERROR_DAMAGED,
                         "%s: table %s has not the %llu rows that it counts; make it anew with 'pacsctl "
                         "rebuild'",
                         t->db->path, tables[table].name, (unsigned long long)entries);
out:
    if (walk)
        mdb_cursor_close(walk);
    if (again)
        mdb_cursor_close(again);
    return err;
}

uint64_t db_entries(struct db_txn *t, enum table table)
{
    MDB_stat st;
    return mdb_stat(t->txn, t->db->dbi[table], &st) ? 0 : st.ms_entries;
}
