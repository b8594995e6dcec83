/* What lives here: walking the chain of packs behind the state of the index and folding what is found.
 *
 * Every pack but the newest ends where its successor says; the newest, and one whose successor lost its header, ends by
 * the rule of pack_find_end(). Within a pack bad records before its end are damage: reported, fenced, the rest is read.
 * So is a damaged pack header: it holds nothing that the records need.
 *
 * A record that cannot be applied (what it stands on is damaged) leaves nothing behind: the transaction in which it
 * failed is dropped and all since the last commit is folded again without it. */
#include "index/log/replay.h"

#include "index/fold/fold.h"
#include "index/pack/seal.h"

#include <stdio.h>
#include <stdlib.h>

#define TRANSACTION_RECORDS 20000

struct replaying {
    const struct replay_options *options;
    struct fold *fold;
    struct db_txn *txn;
    unsigned records;
    uint64_t done, all;
    struct buf refused; /* LSNs of records that could not be applied, u64 each */
    uint64_t quiet;     /* while folding again: up to this LSN all has been told */
    bool again;
};

static void finding(struct replaying *r, bool damage, const char *text)
{
    if (r->options->finding && !r->quiet)
        r->options->finding(r->options->context, damage, text);
}

static struct error begin(struct replaying *r);

/* Ids that lost records may have given are not given again: a record needs its header, and gives at most one a level.
 */
#define IDS_A_RECORD 5
static void on_damage(void *context, uint64_t pack, uint64_t from, uint64_t to, const char *what)
{
    struct replaying *r = context;
    char text[256];
    struct error err = begin(r);
    if (!err.code)
        fold_meta(r->fold)->next_id += (to - from) / RECORD_HEADER_SIZE * IDS_A_RECORD;
    error_release(&err); /* what comes next meets it again */
    snprintf(text, sizeof text, "pack %08llu: bytes %llu to %llu are damaged: %s", (unsigned long long)pack,
             (unsigned long long)from, (unsigned long long)to, what);
    finding(context, true, text);
}

static struct error begin(struct replaying *r)
{
    if (r->txn)
        return NO_ERROR;
    TRY(db_begin(r->options->db, true, &r->txn));
    struct error err = fold_begin(r->fold, r->txn);
    if (err.code) {
        db_abort(r->txn);
        r->txn = NULL;
    }
    return err;
}

static struct error commit(struct replaying *r)
{
    if (!r->txn)
        return NO_ERROR;
    struct error err = fold_flush(r->fold);
    struct db_txn *txn = r->txn;
    r->txn = NULL;
    r->records = 0;
    if (err.code) {
        db_abort(txn);
        fold_reset(r->fold);
        return err;
    }
    return db_commit(txn);
}

static bool is_refused(const struct replaying *r, uint64_t lsn)
{
    for (size_t at = 0; at < r->refused.size; at += 8)
        if (get_u64(r->refused.data + at) == lsn)
            return true;
    return false;
}

/* What it stands on is damaged: told, and the rest goes on without it. The failure of the walk that begins again. */
static struct error refuse(struct replaying *r, uint64_t lsn, struct error *why)
{
    finding(r, true, error_text(why));
    error_release(why);
    buf_u64(&r->refused, lsn);
    TRY(buf_error(&r->refused));
    db_abort(r->txn);
    r->txn = NULL;
    r->records = 0;
    fold_reset(r->fold);
    r->quiet = lsn;
    r->again = true;
    return error_make(ERROR_RETRY, "record of LSN %llu is passed over", (unsigned long long)lsn);
}

static struct error on_record(void *context, uint64_t pack, const struct scan_record *record)
{
    struct replaying *r = context;
    if (!record->header.lsn)
        return NO_ERROR;
    TRY(begin(r));
    struct meta_row *meta = fold_meta(r->fold);
    if (record->header.lsn <= meta->lsn)
        return NO_ERROR; /* applied already */
    if (record->header.lsn != meta->lsn + 1) {
        char text[160];
        snprintf(text, sizeof text, "pack %08llu: records with LSN %llu to %llu are missing before offset %llu",
                 (unsigned long long)pack, (unsigned long long)meta->lsn + 1,
                 (unsigned long long)record->header.lsn - 1, (unsigned long long)record->offset);
        finding(r, true, text);
    }
    struct fold_place place = {pack, record->offset, record->offset + record_extent(record->header.length)};
    if (record->header.lsn >= r->quiet)
        r->quiet = 0;
    if (is_refused(r, record->header.lsn)) {
        fold_seen(r->fold, &record->header, &place);
        return commit(r); /* what comes next has no need to fold the records before again */
    }
    struct error err = fold_apply(r->fold, &record->header, &place, record->payload, (size_t)record->header.length);
    if (err.code == ERROR_DAMAGED || err.code == ERROR_NOT_FOUND)
        err = refuse(r, record->header.lsn, &err);
    TRY(err);
    if (++r->records >= TRANSACTION_RECORDS)
        return commit(r);
    return NO_ERROR;
}

static struct error replay_pack(struct replaying *r, const struct pack_info *pack, uint64_t from, uint64_t end)
{
    struct scan_options scan = {
        .from = from, .end = end, .fence = true, .damage = on_damage, .record = on_record, .context = r};
    uint64_t stopped;
    if (!from && pack->end) {
        bool sealed;
        TRY(seal_scan(r->options->packs, pack->header.number, pack->end, on_record, r, &sealed));
        if (sealed)
            return NO_ERROR;
    }
    return pack_scan(r->options->packs, pack->header.number, &scan, &stopped);
}

/* Where a pack ends, and a word about what lies beyond. */
static struct error end_of(struct replaying *r, const struct pack_info *pack, uint64_t known, uint64_t *end)
{
    uint64_t durable;
    *end = pack->end;
    if (pack->end)
        return NO_ERROR;
    struct error err = packs_settle(r->options->packs, pack->header.number);
    if (err.code)
        finding(r, false, error_text(&err));
    error_release(&err);
    TRY(pack_find_end(r->options->packs, pack->header.number, known, &durable, end));
    if (*end < pack->file_size) {
        char text[160];
        snprintf(text, sizeof text, "pack %08llu: %llu bytes behind %llu are void: never acknowledged",
                 (unsigned long long)pack->header.number, (unsigned long long)(pack->file_size - *end),
                 (unsigned long long)*end);
        finding(r, false, text);
    }
    return NO_ERROR;
}

static struct error start_of(const struct replay_options *options, struct meta_row *meta)
{
    struct db_txn *txn;
    TRY(db_begin(options->db, false, &txn));
    struct error err = meta_row_get(txn, meta);
    db_abort(txn);
    return err;
}

/* A lost pack is told by verify, and the archive goes on. Where all are gone packs/ is most likely not mounted: images
 * must not be written below a mount point, and a rebuild without being asked would make an empty archive. */
static struct error check_present(const struct meta_row *meta, size_t count)
{
    if (count || !meta->pack)
        return NO_ERROR;
    return error_make(
        ERROR_REFUSED,
        "there are no packs, and the index knows pack %08llu: is packs/ not mounted? To begin with nothing: "
        "'pacsctl rebuild'",
        (unsigned long long)meta->pack);
}

/* From the state of the index to the end of the log. */
static struct error walk(struct replaying *r, struct log_position *position)
{
    const struct replay_options *options = r->options;
    struct error err = NO_ERROR;
    struct pack_info *list = NULL;
    struct meta_row meta;
    size_t count = 0, last = 0;
    *position = (struct log_position){0};
    TRY(start_of(options, &meta));
    /* Also where that pack is lost: its number is not given again, since rows point into it. */
    *position = (struct log_position){.pack = meta.pack, .end = meta.end};
    CHECK(packs_list(options->packs, &list, &count));
    CHECK(check_present(&meta, count));
    r->done = r->all = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].valid)
            last = i;
        r->all += list[i].file_size;
    }
    for (size_t i = 0; i < count; i++) {
        const struct pack_info *pack = &list[i];
        uint64_t number = pack->header.number, end;
        if (!pack->valid) {
            char text[256];
            snprintf(text, sizeof text, "pack %08llu: %s", (unsigned long long)number, pack->why);
            finding(r, (i < last || pack->headless) && !pack_given_up(pack), text);
        }
        uint64_t from = number == meta.pack ? meta.end : 0;
        if (number >= meta.pack && (pack->valid || pack->headless)) {
            CHECK(end_of(r, pack, from, &end));
            CHECK(replay_pack(r, pack, from, end));
            /* A header that was never whole is no pack that a successor could state. */
            if (pack->valid || end > PACK_HEADER_MIN)
                *position = (struct log_position){.pack = number, .end = end};
        }
        r->done += pack->file_size;
        if (options->progress)
            options->progress(options->context, r->done, r->all);
    }
    CHECK(commit(r));
    CHECK(start_of(options, &meta));
    position->lsn = meta.lsn;
    position->time_ns = meta.time_ns;
out:
    if (r->txn)
        db_abort(r->txn);
    r->txn = NULL;
    free(list);
    return err;
}

struct error log_replay(const struct replay_options *options, struct log_position *position)
{
    struct replaying r = {.options = options};
    struct error err;
    TRY(fold_new(&r.fold));
    buf_init(&r.refused);
    do {
        r.again = false;
        err = walk(&r, position);
        if (r.again)
            error_release(&err);
    } while (r.again);
    buf_release(&r.refused);
    fold_free(r.fold);
    return err;
}
