/* What lives here: the way from any state of index/ to an index that is the fold of the log.
 *
 *   index/current      the folder in use, "g00000001"; replaced in one step
 *   index/gNNNNNNNN/   data.mdb lock.mdb stamp checkpoint
 *
 *   stamp holds ------------------------------> open, replay behind its state
 *   stamp does not hold, checkpoint valid ----> put its meta pages back, open, replay behind its state
 *   anything else, or `rebuild` asked ---------> new folder, fold all packs, switch `current`
 *
 * After each the newest pack is synced up to its end (what a killed process wrote may still be in the page cache only),
 * and a stamp and a checkpoint are written before anything else is. A rebuild that is killed leaves a folder that
 * nobody names: the next one removes it. */
#include "index/recover.h"

#include "codecs/base/log.h"
#include "index/db/checkpoint.h"
#include "index/log/replay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPONENT "index"

static bool generation_number(const char *name, uint32_t *number)
{
    char *end;
    unsigned long n = name[0] == 'g' ? strtoul(name + 1, &end, 10) : 0;
    *number = (uint32_t)n;
    return name[0] == 'g' && n && n < UINT32_MAX && end != name + 1 && (!*end || *end == '\n');
}

static char *generation_folder(struct pacs *pacs, uint32_t number)
{
    char *path = NULL, parent[PATH_MAX];
    pacs_part(pacs, "index", parent);
    return asprintf(&path, "%s/g%08u", parent, number) < 0 ? NULL : path;
}

struct error recover_current(struct pacs *pacs, uint32_t *number, char **folder)
{
    char path[PATH_MAX], name[32] = "";
    pacs_part(pacs, "index/current", path);
    FILE *f = fopen(path, "re");
    if (!f)
        return error_system(errno, "%s: cannot open", path);
    bool good = fgets(name, sizeof name, f) && generation_number(name, number);
    fclose(f);
    if (!good)
        return error_make(ERROR_NOT_FOUND, "%s names no index", path);
    *folder = generation_folder(pacs, *number);
    return *folder ? NO_ERROR : error_make(ERROR_NO_MEMORY, "out of memory");
}

struct error recover_trusted(struct pacs *pacs)
{
    uint32_t number;
    char *folder;
    TRY(recover_current(pacs, &number, &folder));
    bool holds = stamp_holds(folder);
    free(folder);
    return holds ? NO_ERROR : error_make(ERROR_RETRY, "the index is from before a restart of the machine, or a copy");
}

static void on_finding(void *context, bool damage, const char *text)
{
    (void)context;
    log_line(damage ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, COMPONENT, "%s", text);
}

static struct error replay(struct pacs *pacs, struct db *db, struct log_position *position)
{
    struct replay_options options = {
        .packs = pacs->packs,
        .db = db,
        .finding = on_finding,
        .context = pacs,
    };
    if (pacs->options.progress && pacs->options.mode == PACS_REBUILD) {
        options.progress = pacs->options.progress;
        options.context = pacs->options.progress_context;
        options.finding = on_finding; /* takes no context */
    }
    return log_replay(&options, position);
}

/* What was accepted behind the last sync becomes durable before a successor states it. */
static struct error sync_pack(struct pacs *pacs, const struct log_position *position)
{
    char path[PATH_MAX];
    if (!position->pack)
        return NO_ERROR;
    packs_path(pacs->packs, position->pack, path);
    int fd = pacs->io->open(pacs->io, path, O_RDONLY, 0); /* enough to sync; a medium may be read-only */
    if (fd < 0 && errno == ENOENT)
        return NO_ERROR; /* lost, as verify tells */
    if (fd < 0)
        return error_system(errno, "%s: cannot open", path);
    int failed = pacs->io->fdatasync(pacs->io, fd) != 0 ? errno : 0;
    pacs->io->close(pacs->io, fd);
    return failed ? error_system(failed, "%s: cannot sync", path) : NO_ERROR;
}

/* Takes and saves a checkpoint; its pin lives until the caller releases it. */
static struct error checkpoint_now(struct pacs *pacs, struct db *db, const char *folder, struct checkpoint **checkpoint)
{
    TRY(checkpoint_take(db, checkpoint));
    struct error err = checkpoint_save(*checkpoint, folder, pacs->io);
    if (err.code) {
        checkpoint_release(*checkpoint);
        *checkpoint = NULL;
    }
    return err;
}

static struct error make_durable(struct pacs *pacs, struct db *db, const char *folder)
{
    struct checkpoint *checkpoint;
    TRY(checkpoint_now(pacs, db, folder, &checkpoint));
    checkpoint_release(checkpoint);
    return stamp_write(folder, pacs->io);
}

static void remove_folder(const char *folder)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "stamp", "checkpoint", ".stamp.new", ".checkpoint.new"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* Removes every generation but `keep`; `*highest` is the highest number seen. Mounts that still read an old one hold it
 * open: unlinking takes nothing from them. */
static void clean_folders(struct pacs *pacs, uint32_t keep, uint32_t *highest)
{
    char path[PATH_MAX];
    uint32_t number;
    pacs_part(pacs, "index", path);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!generation_number(entry->d_name, &number))
            continue;
        if (number > *highest)
            *highest = number;
        char *folder = number != keep ? generation_folder(pacs, number) : NULL;
        if (folder)
            remove_folder(folder);
        free(folder);
    }
    if (dir)
        closedir(dir);
}

static struct error first_state(struct pacs *pacs, struct db *db)
{
    struct db_txn *txn;
    TRY(db_begin(db, true, &txn));
    uint64_t created = (uint64_t)pacs->conf.created_ns;
    struct object_row root = {.kind = OBJECT_FOLDER,
                              .id = PACS_ROOT,
                              .name = "",
                              .created_ns = created,
                              .list_ns = created,
                              .changed_ns = created};
    struct meta_row meta = {.format = INDEX_FORMAT, .next_id = PACS_ROOT + 1};
    struct error err = object_put(txn, &root);
    if (!err.code)
        err = meta_row_put(txn, &meta);
    if (err.code) {
        db_abort(txn);
        return err;
    }
    return db_commit(txn);
}

/* The number that the clock and `current` agree on is never used again, so that mounts notice. */
static struct error rebuild(struct pacs *pacs, struct log_position *position)
{
    struct error err = NO_ERROR;
    struct db *db = NULL;
    char *folder = NULL, *current = NULL, parent[PATH_MAX], line[32];
    uint32_t number = 0, highest = pacs->clock ? clock_generation(pacs->clock) : 0;
    err = recover_current(pacs, &number, &current);
    error_release(&err);
    clean_folders(pacs, number, &highest);
    number = (highest > number ? highest : number) + 1;
    folder = generation_folder(pacs, number);
    pacs_part(pacs, "index", parent);
    if (mkdir(parent, 0750) != 0 && errno != EEXIST) { /* a backup has none */
        err = error_system(errno, "%s: cannot create", parent);
        goto out;
    }
    if (!folder || mkdir(folder, 0750) != 0) {
        err = error_system(errno, "%s: cannot create an index", parent);
        goto out;
    }
    CHECK(db_open(&db, folder, true, true));
    CHECK(first_state(pacs, db));
    CHECK(replay(pacs, db, position));
    CHECK(sync_pack(pacs, position));
    CHECK(make_durable(pacs, db, folder));
    db_close(db);
    db = NULL;
    snprintf(line, sizeof line, "g%08u\n", number);
    CHECK(io_replace(pacs->io, parent, "current", line, strlen(line), 0640));
    if (pacs->clock) {
        clock_publish(pacs->clock, 0, position->lsn, number);
    }
    clean_folders(pacs, number, &highest);
out:
    if (db)
        db_close(db);
    if (err.code && folder)
        remove_folder(folder);
    free(folder);
    free(current);
    return err;
}

/* The index in `folder`, which is whole: behind the log it is replayed. C1 holds meanwhile: nothing pins the state of
 * the checkpoint that an earlier process left, so another is made before the replay writes. */
static struct error catch_up(struct pacs *pacs, const char *folder, struct log_position *position)
{
    struct db *db;
    struct checkpoint *before = NULL;
    uint64_t lsn;
    TRY(db_open(&db, folder, true, false));
    struct error err = checkpoint_now(pacs, db, folder, &before);
    CHECK(err);
    lsn = checkpoint_lsn(before);
    CHECK(replay(pacs, db, position));
    CHECK(sync_pack(pacs, position));
    if (position->lsn == lsn)
        err = stamp_write(folder, pacs->io); /* nothing was written */
    else
        err = make_durable(pacs, db, folder);
out:
    checkpoint_release(before);
    db_close(db);
    return err;
}

static struct error publish(struct pacs *pacs)
{
    uint32_t number;
    char *folder;
    struct db *db;
    struct db_txn *txn;
    struct meta_row meta;
    if (!pacs->clock)
        return NO_ERROR;
    TRY(recover_current(pacs, &number, &folder));
    struct error err = db_open(&db, folder, false, false);
    free(folder);
    TRY(err);
    err = db_begin(db, false, &txn);
    if (!err.code) {
        err = meta_row_get(txn, &meta);
        db_abort(txn);
    }
    db_close(db);
    if (!err.code)
        clock_publish(pacs->clock, meta.newest, meta.lsn, number);
    return err;
}

/* With an archive.conf of another archive no pack would be ours, and new ones would not belong to the old. */
struct error recover_check_owner(struct pacs *pacs)
{
    struct pack_info *list = NULL;
    size_t count = 0, ours = 0, foreign = 0;
    TRY(packs_list(pacs->packs, &list, &count));
    for (size_t i = 0; i < count; i++) {
        ours += list[i].valid;
        foreign += list[i].foreign;
    }
    free(list);
    if (foreign && !ours)
        return error_make(ERROR_REFUSED, "%s: archive.conf is of another archive: its uuid is not that of the packs",
                          pacs->path);
    return NO_ERROR;
}

bool recover_can_mend(enum error_code code)
{
    return code == ERROR_NOT_FOUND || code == ERROR_DAMAGED || code == ERROR_BROKEN;
}

/* A new archive has none: making its first index is nothing to report. */
static bool has_packs(struct pacs *pacs)
{
    struct pack_info *list = NULL;
    size_t count = 0;
    struct error err = packs_list(pacs->packs, &list, &count);
    error_release(&err);
    free(list);
    return count > 0;
}

struct error recover_index(struct pacs *pacs, bool anew, struct log_position *position)
{
    struct log_position ignored;
    uint32_t number;
    char *folder = NULL;
    if (!position)
        position = &ignored;
    struct error err = anew ? error_make(ERROR_NOT_FOUND, "asked for") : recover_current(pacs, &number, &folder);
    if (!err.code && !stamp_holds(folder)) {
        err = checkpoint_restore(folder, pacs->io);
        if (!err.code)
            log_line(LOG_LEVEL_INFO, COMPONENT, "not stopped cleanly: index restored from its checkpoint");
    }
    if (!err.code)
        err = catch_up(pacs, folder, position);
    free(folder);
    /* What cannot be repaired is derived again; a full disk or a lack of memory is not mended by that. */
    if (recover_can_mend(err.code)) {
        if (!anew && has_packs(pacs))
            log_line(LOG_LEVEL_INFO, COMPONENT, "index is made anew from the packs (%s)", error_text(&err));
        error_release(&err);
        err = rebuild(pacs, position);
    }
    return err.code ? err : publish(pacs);
}

/* What a writer does at its start, under the lock: the clock is made whole, what was recovered is told to mounts. */
struct error recover_for_reader(struct pacs *pacs)
{
    char path[PATH_MAX];
    pacs_part(pacs, "run/clock", path);
    TRY(recover_check_owner(pacs));
    struct error err = clock_open(&pacs->clock, path, true);
    if (!err.code)
        err = recover_index(pacs, false, NULL);
    clock_close(pacs->clock);
    pacs->clock = NULL;
    return err;
}
