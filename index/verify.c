/* What lives here: reading everything back. First the log as bytes: every record and its checksum, seals. Then the
 * index against it: every edition's record where the row says, its chunks decoded, the SHA-256 of the data set. Beside
 * a running writer: what it appends meanwhile is not looked at. */
#include "index/file.h"
#include "index/pack/seal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verifying {
    struct pacs *pacs;
    struct pacs_txn *txn;
    verify_finding finding;
    void *context;
    struct verify_result *result;
    uint64_t done, all;
    uint64_t last_lsn; /* of the log, in order */
    uint64_t applied;  /* the newest LSN of the index when we began */
    uint8_t seal[32];  /* of the pack before; zeros: none */
    uint64_t unsealed; /* the pack before, where it had none when it was looked at */
};

static void tell(struct verifying *v, bool damage, const char *text)
{
    v->result->damaged += damage;
    if (v->finding)
        v->finding(v->context, damage, text);
}

static void tell_error(struct verifying *v, struct error *err)
{
    tell(v, true, error_text(err));
    error_release(err);
}

static void advance(struct verifying *v, uint64_t bytes)
{
    v->done += bytes;
    if (v->pacs->options.progress)
        v->pacs->options.progress(v->pacs->options.progress_context, v->done, v->all);
}

/* ---- the log ---- */

static void on_damage(void *context, uint64_t number, uint64_t from, uint64_t to, const char *what)
{
    char text[256];
    snprintf(text, sizeof text, "pack %08llu: bytes %llu to %llu are damaged (%s)", (unsigned long long)number,
             (unsigned long long)from, (unsigned long long)to, what);
    tell(context, true, text);
}

/* An instance of the log that the index does not know at that place, unless a later copy healed it. */
static struct error check_known(struct verifying *v, uint64_t number, const struct scan_record *record)
{
    struct instance_record r;
    struct buf texts;
    struct instance_row row;
    char text[320];
    TRY(instance_record_read(&r, &texts, record->payload, (size_t)record->header.length));
    struct error err = pacs_instance(v->txn, r.verdict == INGEST_HEALED ? r.supersedes : r.instance.id, &row);
    if (err.code == ERROR_NOT_FOUND) {
        snprintf(text, sizeof text,
                 "pack %08llu, offset %llu: instance %s is not in the index; 'pacsctl rebuild' makes it anew",
                 (unsigned long long)number, (unsigned long long)record->offset,
                 attribute(&r.attributes, TAG_SOP_INSTANCE));
        tell(v, true, text);
        error_release(&err);
    }
    buf_release(&texts);
    return err;
}

static struct error on_record(void *context, uint64_t number, const struct scan_record *record)
{
    struct verifying *v = context;
    char text[160];
    v->result->records++;
    v->result->chunks += record->header.type == RECORD_CHUNK;
    advance(v, record_extent(record->header.length));
    if (!record->header.lsn)
        return NO_ERROR;
    if (record->header.lsn > v->last_lsn + 1) {
        snprintf(text, sizeof text, "pack %08llu: LSN %llu to %llu are missing before offset %llu",
                 (unsigned long long)number, (unsigned long long)v->last_lsn + 1,
                 (unsigned long long)record->header.lsn - 1, (unsigned long long)record->offset);
        tell(v, true, text);
    }
    v->last_lsn = record->header.lsn;
    if (record->header.type != RECORD_INSTANCE || record->header.lsn > v->applied)
        return NO_ERROR;
    struct error err = check_known(v, number, record);
    if (err.code == ERROR_DAMAGED) {
        tell_error(v, &err);
        return NO_ERROR;
    }
    return err;
}

/* A running writer seals what was looked at before, and its successor before that is looked at. */
static bool sealed_meanwhile(struct verifying *v, const uint8_t sha256[32])
{
    struct seal seal;
    struct error err =
        v->unsealed ? seal_read(v->pacs->packs, v->unsealed, &seal) : error_make(ERROR_NOT_FOUND, "none");
    bool same = !err.code && memcmp(seal.sha256, sha256, 32) == 0;
    error_release(&err);
    return same;
}

/* Each seal states the one before it, or zeros where that pack had none yet: a pack that was exchanged as a whole, its
 * own seal in order, does not fit its successor. */
static void check_chain(struct verifying *v, uint64_t number, const struct seal *seal)
{
    static const uint8_t none[32];
    char text[160];
    if (memcmp(seal->previous, none, 32) != 0 && memcmp(seal->previous, v->seal, 32) != 0 &&
        !sealed_meanwhile(v, seal->previous)) {
        snprintf(text, sizeof text, "pack %08llu: the pack before it is not the one that was sealed",
                 (unsigned long long)number);
        tell(v, true, text);
    }
}

/* Packs are sealed after their successor took over: where the newest is sealed, that one is gone, even if nothing else
 * tells of it. One that a running writer made since we listed them is there. */
static bool has_successor(struct verifying *v, uint64_t number)
{
    struct pack_info *list = NULL;
    size_t count = 0;
    struct error err = packs_list(v->pacs->packs, &list, &count);
    bool has = !err.code && count && list[count - 1].valid && list[count - 1].header.number > number;
    error_release(&err);
    free(list);
    return has;
}

/* A copy that was begun before the successor was made, and came to the pack when it was sealed, is whole all the same:
 * no damage. */
static void tell_successor_gone(struct verifying *v, uint64_t number)
{
    char text[200];
    snprintf(text, sizeof text,
             "pack %08llu is sealed, so another followed it, which is not here: lost, unless this is a copy made while "
             "the archive was written to",
             (unsigned long long)number);
    tell(v, false, text);
}

static struct error check_pack(struct verifying *v, const struct pack_info *pack, bool newest,
                               const struct meta_row *meta)
{
    uint64_t number = pack->header.number, end = pack->end, stopped, durable;
    struct seal seal;
    if (newest || !end)
        TRY(pack_find_end(v->pacs->packs, number, number == meta->pack ? meta->end : 0, &durable, &end));
    struct scan_options scan = {
        .end = end, .chunk_bytes = true, .fence = true, .damage = on_damage, .record = on_record, .context = v};
    TRY(pack_scan(v->pacs->packs, number, &scan, &stopped));
    struct error err = seal_read(v->pacs->packs, number, &seal);
    bool sealed = err.code == ERROR_NONE;
    if (sealed) {
        check_chain(v, number, &seal);
        err = seal_verify(v->pacs->packs, number, &seal);
    }
    if (sealed)
        memcpy(v->seal, seal.sha256, sizeof v->seal);
    else if (pack->valid && pack->end) /* others were passed over by who seals */
        memset(v->seal, 0, sizeof v->seal);
    v->unsealed = sealed ? 0 : number;
    if (sealed && newest && !has_successor(v, number))
        tell_successor_gone(v, number);
    if (err.code == ERROR_DAMAGED)
        tell_error(v, &err);
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error check_packs(struct verifying *v, const struct pack_info *list, size_t count,
                                const struct meta_row *meta)
{
    size_t newest = 0;
    char text[320];
    for (size_t i = 0; i < count; i++)
        if (list[i].valid || (list[i].headless && !pack_given_up(&list[i])))
            newest = i;
    for (size_t i = 0; i < count; i++) {
        v->result->packs++;
        if (!list[i].valid) {
            snprintf(text, sizeof text, "pack %08llu: %s", (unsigned long long)list[i].header.number, list[i].why);
            tell(v, i <= newest && !pack_given_up(&list[i]), text);
            if (!list[i].headless || i > newest || pack_given_up(&list[i]))
                continue;
        } else if ((i ? list[i - 1].header.number : 0) < list[i].header.previous) {
            snprintf(text, sizeof text, "pack %08llu follows pack %08llu, which is missing",
                     (unsigned long long)list[i].header.number, (unsigned long long)list[i].header.previous);
            tell(v, true, text);
        }
        struct error err = check_pack(v, &list[i], i == newest, meta);
        if (err.code == ERROR_DAMAGED || err.code == ERROR_BROKEN)
            tell_error(v, &err); /* an unreadable sector: the rest is looked at */
        TRY(err);
    }
    return NO_ERROR;
}

/* The newest packs, or the end of the newest, may be gone, with all that would say so but the index. */
static void check_last(struct verifying *v, const struct meta_row *meta)
{
    char text[200];
    if (v->last_lsn >= v->applied)
        return;
    snprintf(text, sizeof text,
             "LSN %llu to %llu are lost: the index has known them up to pack %08llu, offset %llu, the log ends before",
             (unsigned long long)v->last_lsn + 1, (unsigned long long)v->applied, (unsigned long long)meta->pack,
             (unsigned long long)meta->end);
    tell(v, true, text);
}

/* ---- the index ---- */

static struct error check_data(struct verifying *v, const struct instance_row *row, const struct instance_record *r)
{
    struct error err = NO_ERROR;
    struct buf raw;
    uint8_t sha256[32];
    unsigned size = 32;
    uint64_t total = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    buf_init(&raw);
    if (!digest || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL)) {
        err = error_make(ERROR_NO_MEMORY, "verify: no SHA-256");
        goto out;
    }
    for (size_t i = 0; i < r->chunk_count; i++) {
        struct chunk_place place = chunk_place_read(r->chunks + i * CHUNK_PLACE_SIZE);
        buf_clear(&raw);
        CHECK(chunk_read(v->pacs, &place, row->uid, &raw));
        EVP_DigestUpdate(digest, raw.data, raw.size);
        total += raw.size;
    }
    EVP_DigestFinal_ex(digest, sha256, &size);
    if (total != r->data_size || memcmp(sha256, r->sha256, 32) != 0)
        err = error_make(ERROR_DAMAGED, "instance %s, pack %08u, offset %llu: not the data set that was stored",
                         row->uid, row->pack, (unsigned long long)row->offset);
    else if (row->size != instance_record_prefix_size(r) + r->data_size)
        err = error_make(ERROR_DAMAGED, "instance %s: its size in the index is wrong; 'pacsctl rebuild' makes it anew",
                         row->uid);
out:
    EVP_MD_CTX_free(digest);
    buf_release(&raw);
    return err;
}

static struct error check_edition(struct verifying *v, const struct instance_row *row)
{
    struct instance_file *file;
    v->result->instances++;
    v->result->bytes += row->size;
    struct error err = file_open_row(v->pacs, row, &file);
    if (!err.code) {
        const struct instance_record *r = file_record(file);
        if (strcmp(attribute(&r->attributes, TAG_SOP_INSTANCE), row->uid) != 0)
            err = error_make(ERROR_DAMAGED, "instance %s: the index points at another one; run 'pacsctl rebuild'",
                             row->uid);
        else
            err = check_data(v, row, r);
        pacs_file_close(file);
    }
    advance(v, row->size);
    if (err.code != ERROR_DAMAGED && err.code != ERROR_BROKEN && err.code != ERROR_NOT_FOUND)
        return err;
    tell_error(v, &err); /* not found: its pack is gone */
    return NO_ERROR;
}

/* What is damaged in a table may be a row that nothing else leads to. */
static struct error check_tables(struct verifying *v)
{
    for (enum table table = 0; table < TABLES; table++) {
        struct pacs_txn *txn;
        TRY(pacs_begin(v->pacs, &txn));
        struct error err = db_check(txn->db, table);
        pacs_end(txn);
        if (err.code == ERROR_DAMAGED || err.code == ERROR_BROKEN)
            tell_error(v, &err);
        TRY(err);
    }
    return NO_ERROR;
}

/* Fresh transactions every so often: a verify takes hours, and a pinned page cannot be used again. */
static struct error check_index(struct verifying *v, uint64_t newest)
{
    struct instance_row row;
    uint64_t after = 0;
    struct error err = NO_ERROR;
    while (!err.code && after < newest) {
        struct pacs_txn *txn;
        TRY(pacs_begin(v->pacs, &txn));
        err = pacs_next_arrival(txn, after, &row);
        pacs_end(txn);
        if (err.code)
            break;
        after = row.id;
        err = check_edition(v, &row);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

struct error pacs_verify(struct pacs *pacs, verify_finding finding, void *context, struct verify_result *result)
{
    struct verifying v = {.pacs = pacs, .finding = finding, .context = context, .result = result};
    struct pack_info *list = NULL;
    struct meta_row meta;
    size_t count = 0;
    memset(result, 0, sizeof *result);
    TRY(pacs_begin(pacs, &v.txn));
    struct error err = meta_row_get(v.txn->db, &meta);
    CHECK(err);
    v.applied = meta.lsn;
    CHECK(packs_list(pacs->packs, &list, &count));
    v.all = meta.bytes;
    for (size_t i = 0; i < count; i++)
        v.all += list[i].file_size;
    CHECK(check_packs(&v, list, count, &meta));
    check_last(&v, &meta);
    pacs_end(v.txn);
    v.txn = NULL;
    err = check_index(&v, meta.newest);
    if (err.code == ERROR_DAMAGED) /* where the list of all breaks off: the tables tell */
        error_release(&err);
    CHECK(err);
    err = check_tables(&v);
out:
    pacs_end(v.txn);
    free(list);
    return err;
}
