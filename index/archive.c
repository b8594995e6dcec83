/* What lives here: making an archive, opening and closing it, which index is current.
 *
 * Opening to write:   lock -> conf -> index (recover.c) -> log position -> writer
 * Opening to read:    conf -> index, if it can be trusted; else recover under the lock if it is free and ours to take,
 *                     else wait for who holds it (at most LOCK_WAIT_MS), else say so. */
#include "index/archive.h"

#include "codecs/base/log.h"
#include "index/conf.h"
#include "index/derived.h"
#include "index/lock.h"
#include "index/log/writer.h"
#include "index/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_JOBS 64
#define FOLLOW_TRIES 20

struct pacs_options pacs_options_default(void)
{
    return (struct pacs_options){
        .mode = PACS_READ,
        .cache_bytes = INT64_C(256) << 20,
        .pack_bytes = INT64_C(1) << 30,
        .reserve_bytes = INT64_C(256) << 20,
        .quarantine_bytes = INT64_C(1) << 30,
        .zstd_level = 1,
    };
}

void pacs_part(const struct pacs *pacs, const char *part, char *to)
{
    bool derived = pacs->derived && (strncmp(part, "index", 5) == 0 || strncmp(part, "run", 3) == 0);
    snprintf(to, PATH_MAX, "%s/%s", derived ? pacs->derived : pacs->path, part);
}

/* ---- init ---- */

static struct error make_folder(const char *path, const char *part)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", path, part);
    if (mkdir(full, 0750) != 0 && errno != EEXIST)
        return error_system(errno, "%s: cannot create", full);
    return NO_ERROR;
}

/* A file system's own lost+found does not count. */
static struct error check_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = true;
    if (!dir)
        return error_system(errno, "%s: cannot open", path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strcmp(entry->d_name, "lost+found") != 0)
            empty = false;
    closedir(dir);
    return empty ? NO_ERROR
                 : error_make(ERROR_REFUSED, "%s: not empty; name a folder that is empty or not there yet", path);
}

struct error pacs_init(const char *path, const struct archive_conf *given)
{
    return pacs_init_over(path, given, &io_system);
}

struct error pacs_init_over(const char *path, const struct archive_conf *given, const struct io_ops *io)
{
    static const struct archive_conf none;
    struct archive_conf conf;
    struct error err = conf_fill(&conf, given ? given : &none);
    CHECK(err);
    CHECK(conf_check(&conf));
    if (mkdir(path, 0750) != 0 && errno != EEXIST) {
        err = error_system(errno, "%s: cannot create", path);
        goto out;
    }
    CHECK(check_empty(path));
    CHECK(make_folder(path, "packs"));
    CHECK(make_folder(path, "index"));
    CHECK(make_folder(path, "quarantine"));
    CHECK(make_folder(path, "run"));
    CHECK(conf_write(path, &conf, io));
    struct pacs *pacs;
    struct pacs_options options = pacs_options_default();
    options.mode = PACS_WRITE;
    options.cache_bytes = 1 << 20;
    CHECK(pacs_open_over(&pacs, path, &options, io));
    pacs_close(pacs);
out:
    conf_release(&conf);
    return err;
}

/* ---- opening ---- */

/* What another version of the tables wrote is not read. */
static struct error check_format(struct db *db)
{
    struct db_txn *txn;
    struct meta_row meta;
    TRY(db_begin(db, false, &txn));
    struct error err = meta_row_get(txn, &meta);
    db_abort(txn);
    return err;
}

static struct error generation_try(struct pacs *pacs, bool write, struct generation **out, uint32_t *number)
{
    struct generation *g = calloc(1, sizeof *g);
    if (!g)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", pacs->path);
    struct error err = recover_current(pacs, &g->number, &g->folder);
    *number = g->number;
    if (!err.code)
        err = db_open(&g->db, g->folder, write, false);
    if (!err.code)
        err = check_format(g->db);
    if (err.code) {
        db_close(g->db);
        free(g->folder);
        free(g);
        return err;
    }
    g->users = 1;
    *out = g;
    return NO_ERROR;
}

/* A rebuild may switch and remove the one that is just being opened: then there is another to open. */
static struct error generation_open(struct pacs *pacs, bool write, struct generation **out)
{
    for (int tries = 0;; tries++) {
        uint32_t tried = 0, now = 0;
        char *folder = NULL;
        struct error err = generation_try(pacs, write, out, &tried);
        if (!err.code || tries == FOLLOW_TRIES)
            return err;
        struct error none = recover_current(pacs, &now, &folder);
        bool another = !none.code && now != tried;
        error_release(&none);
        free(folder);
        if (!another)
            return err;
        error_release(&err);
    }
}

static void generation_put(struct pacs *pacs, struct generation *g)
{
    if (!g)
        return;
    pthread_mutex_lock(&pacs->index_lock);
    bool last = --g->users == 0;
    pthread_mutex_unlock(&pacs->index_lock);
    if (!last)
        return;
    db_close(g->db);
    free(g->folder);
    free(g);
}

struct error pacs_follow(struct pacs *pacs)
{
    struct generation *g, *old;
    uint32_t number;
    char *folder;
    pthread_mutex_lock(&pacs->follow_lock);
    struct error err = recover_current(pacs, &number, &folder);
    if (err.code) {
        pthread_mutex_unlock(&pacs->follow_lock);
        return err;
    }
    free(folder);
    pthread_mutex_lock(&pacs->index_lock);
    bool same = pacs->index->number == number;
    pthread_mutex_unlock(&pacs->index_lock);
    /* Never the same one twice in a process: closing the second would drop the locks of the first. */
    err = same ? NO_ERROR : generation_open(pacs, pacs->writer != NULL, &g);
    if (!same && !err.code) {
        pthread_mutex_lock(&pacs->index_lock);
        old = pacs->index;
        pacs->index = g;
        pthread_mutex_unlock(&pacs->index_lock);
        generation_put(pacs, old);
    }
    pthread_mutex_unlock(&pacs->follow_lock);
    return err;
}

/* What a reader needs, if it is whole and to be believed. */
static struct error open_trusted(struct pacs *pacs)
{
    char path[PATH_MAX];
    pacs_part(pacs, "run/clock", path);
    TRY(recover_trusted(pacs));
    TRY(clock_open(&pacs->clock, path, false));
    struct error err = generation_open(pacs, false, &pacs->index);
    if (err.code) {
        clock_close(pacs->clock);
        pacs->clock = NULL;
    }
    return err;
}

/* A reader that finds an index or a clock that it must not believe recovers it if the lock is free and the folder ours,
 * else waits for who holds it. */
static struct error open_read(struct pacs *pacs)
{
    bool recovered = false;
    for (int waited = 0;; waited += 100) {
        struct error err = open_trusted(pacs);
        if (!err.code || recovered || (!recover_can_mend(err.code) && err.code != ERROR_RETRY))
            return err;
        struct error locked = lock_take(pacs, LOCK_TO_RECOVER);
        if (!locked.code) {
            error_release(&err);
            err = recover_for_reader(pacs);
            lock_release(pacs);
            TRY(err);
            recovered = true;
            continue;
        }
        bool busy = locked.code == ERROR_BUSY;
        error_release(&locked);
        if (!busy || waited >= LOCK_WAIT_MS)
            return error_context(err, "%s: the index cannot be used yet; start pacsd, or run 'pacsctl rebuild'",
                                 pacs->path);
        error_release(&err);
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
}

/* The archive's own name and those in it: without them a power cut takes all, however well the packs were synced. Not
 * at `init` alone, which may have been cut short. A parent that is not ours to read is left alone. */
static struct error sync_names(const struct pacs *pacs)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", pacs->path);
    char *slash = strrchr(parent, '/');
    slash[slash == parent] = 0;
    TRY(io_sync_folder(pacs->io, pacs->path));
    return access(parent, R_OK) == 0 ? io_sync_folder(pacs->io, parent) : NO_ERROR;
}

static struct error open_write(struct pacs *pacs)
{
    struct log_position position;
    char path[PATH_MAX];
    TRY(lock_take(pacs, LOCK_TO_WRITE));
    TRY(recover_check_owner(pacs));
    TRY(sync_names(pacs));
    pacs_part(pacs, "run/clock", path);
    TRY(clock_open(&pacs->clock, path, true));
    TRY(pool_new(&pacs->pool, 0, QUEUE_JOBS));
    TRY(recover_index(pacs, pacs->options.mode == PACS_REBUILD, &position));
    TRY(generation_open(pacs, true, &pacs->index));
    TRY(writer_new(&pacs->writer, pacs, &position));
    return dictionary_load_newest(pacs);
}

struct error pacs_open(struct pacs **out, const char *path, const struct pacs_options *options)
{
    return pacs_open_over(out, path, options, &io_system);
}

struct error pacs_open_over(struct pacs **out, const char *path, const struct pacs_options *options,
                            const struct io_ops *io)
{
    struct error err = NO_ERROR;
    char part[PATH_MAX];
    struct stat st;
    struct pacs *pacs = calloc(1, sizeof *pacs);
    if (!pacs)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", path);
    pacs->lock_fd = -1;
    pacs->io = io;
    pacs->options = *options;
    pthread_mutex_init(&pacs->index_lock, NULL);
    pthread_mutex_init(&pacs->follow_lock, NULL);
    pthread_mutex_init(&pacs->space_lock, NULL);
    pacs->path = realpath(path, NULL);
    if (!pacs->path) {
        err = error_system(errno, "%s", path);
        goto out;
    }
    pacs_part(pacs, "archive.conf", part);
    if (stat(part, &st) != 0) {
        err = errno == ENOENT
                  ? error_make(ERROR_NOT_FOUND,
                               "%s is no archive (it has no archive.conf); 'pacsctl -A %s init' makes one", path, path)
                  : error_system(errno, "%s", part);
        goto out;
    }
    CHECK(conf_read(part, &pacs->conf));
    setenv("TZ", strcmp(pacs->conf.timezone, "UTC") == 0 ? "UTC0" : pacs->conf.timezone, 1);
    tzset();
    pacs_part(pacs, "packs", part);
    CHECK(packs_new(&pacs->packs, part, pacs->conf.uuid, pacs->io));
    CHECK(derived_place(pacs));
    CHECK(make_folder(pacs->derived ? pacs->derived : pacs->path, "run"));
    if (options->mode != PACS_READ) {
        CHECK(make_folder(pacs->path, "index"));
        CHECK(make_folder(pacs->path, "quarantine"));
    }
    CHECK(cache_new(&pacs->cache, (uint64_t)options->cache_bytes));
    CHECK(dictionaries_new(&pacs->dictionaries));
    err = options->mode == PACS_READ ? open_read(pacs) : open_write(pacs);
out:
    if (err.code)
        pacs_close(pacs);
    else
        *out = pacs;
    return err;
}

void pacs_close(struct pacs *pacs)
{
    if (!pacs)
        return;
    dictionaries_join(pacs);
    writer_free(pacs->writer);
    pool_free(pacs->pool);
    generation_put(pacs, pacs->index);
    dictionaries_free(pacs->dictionaries);
    cache_free(pacs->cache);
    packs_free(pacs->packs);
    clock_close(pacs->clock);
    lock_release(pacs);
    conf_release(&pacs->conf);
    pthread_mutex_destroy(&pacs->index_lock);
    pthread_mutex_destroy(&pacs->follow_lock);
    pthread_mutex_destroy(&pacs->space_lock);
    free(pacs->derived);
    free(pacs->path);
    free(pacs);
}

const struct archive_conf *pacs_conf(const struct pacs *pacs)
{
    return &pacs->conf;
}

const char *pacs_path(const struct pacs *pacs)
{
    return pacs->path;
}

struct cache *pacs_cache(struct pacs *pacs)
{
    return pacs->cache;
}

uint64_t pacs_newest(const struct pacs *pacs)
{
    return clock_newest(pacs->clock);
}

bool pacs_wait(struct pacs *pacs, uint64_t seen, int timeout_ms)
{
    pthread_mutex_lock(&pacs->index_lock);
    uint32_t generation = pacs->index->number;
    pthread_mutex_unlock(&pacs->index_lock);
    clock_wait(pacs->clock, seen, generation, timeout_ms);
    return clock_newest(pacs->clock) != seen;
}

struct pacs_date pacs_local_time(const struct pacs *pacs, uint64_t time_ns)
{
    struct tm tm;
    time_t seconds = (time_t)(time_ns / 1000000000u);
    (void)pacs;
    localtime_r(&seconds, &tm);
    return (struct pacs_date){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
}

struct error pacs_begin(struct pacs *pacs, struct pacs_txn **out)
{
    struct pacs_txn *txn = malloc(sizeof *txn);
    if (!txn)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", pacs->path);
    uint32_t current = clock_generation(pacs->clock);
    pthread_mutex_lock(&pacs->index_lock);
    bool old = current > pacs->index->number;
    pthread_mutex_unlock(&pacs->index_lock);
    struct error err = old ? pacs_follow(pacs) : NO_ERROR;
    pthread_mutex_lock(&pacs->index_lock);
    txn->generation = pacs->index;
    txn->generation->users++;
    pthread_mutex_unlock(&pacs->index_lock);
    txn->pacs = pacs;
    if (!err.code)
        err = db_begin(txn->generation->db, false, &txn->db);
    if (err.code) {
        generation_put(pacs, txn->generation);
        free(txn);
        return err;
    }
    *out = txn;
    return NO_ERROR;
}

void pacs_end(struct pacs_txn *txn)
{
    if (!txn)
        return;
    db_abort(txn->db);
    generation_put(txn->pacs, txn->generation);
    free(txn);
}
