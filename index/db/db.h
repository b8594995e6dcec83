/* Layer: index/db. The LMDB environment and its tables as ordered byte keys and values. The only place that knows LMDB.
 *
 * What a table's keys and values mean stands in the file of that table (object.c, instance.c, name.c ...) and in
 * pacs-index(5). Keys are at most DB_KEY_MAX bytes, numbers in keys are big-endian, so that order is numeric. Values
 * that db_get returns point into the transaction (a writer's: until its next change).
 * Behind each value stand 4 bytes that prove it, its key and its table (LMDB has no checksums): a row that was damaged
 * on the disk is ERROR_DAMAGED, not another row. Whoever gets a value does not see them.
 * The environment is opened NOSYNC (checkpoint.c makes it durable), without WRITEMAP (a full disk would be SIGBUS),
 * NOTLS (a read transaction may move between threads), with a map of DB_MAP_BYTES and DB_READERS_MAX everywhere.
 */
#ifndef INDEX_DB_DB_H
#define INDEX_DB_DB_H

#include "codecs/base/buf.h"

#include <stddef.h>

#ifdef __SANITIZE_THREAD__
#define DB_MAP_BYTES (UINT64_C(1) << 36) /* its shadow leaves no room for more */
#else
#define DB_MAP_BYTES (UINT64_C(1) << 40)
#endif
#define DB_READERS_MAX 1022
#define DB_KEY_MAX 500

enum table {
    TABLE_META,
    TABLE_INSTANCE,
    TABLE_EDITION,
    TABLE_FOLDER,
    TABLE_PATIENT,
    TABLE_STUDY,
    TABLE_SERIES,
    TABLE_CHILD,
    TABLE_NAME,
    TABLE_UID,
    TABLE_SECONDARY, /* many values of 8 bytes a key, in order */
    TABLE_HOUR,
    TABLE_ORIGIN,
    TABLE_ORIGIN_KEY,
    TABLE_CONFLICT,
    TABLE_DUPLICATE,
    TABLE_DICTIONARY,
    TABLES
};

struct db;     /* an open environment */
struct db_txn; /* a transaction */
struct slice {
    const uint8_t *data;
    size_t size;
};

/* Opens `folder`/data.mdb. Read-only needs write access to the lock file all the same, unless the file system is
 * read-only. ERROR_REFUSED: a network file system. ERROR_DAMAGED: not LMDB, or shorter than its state says. Never open
 * what is not trusted (checkpoint.h). */
struct error db_open(struct db **db, const char *folder, bool write, bool create);
/* Whether any process has `folder`/data.mdb open by db_open(): then its file system has been mounted ever since. */
bool db_in_use(const char *folder);
void db_close(struct db *db); /* no transaction may live */
/* Descriptor of the data file, for checkpoints. */
int db_fd(const struct db *db);
/* Makes all that is committed durable. Beside writers. */
struct error db_sync(struct db *db);
/* Bytes of the file up to the last page ever used. */
uint64_t db_extent_bytes(const struct db *db);
/* The same less the pages that are free for use. */
uint64_t db_used_bytes(struct db_txn *txn);
size_t db_page_size(struct db *db);
/* Frees the slots of readers that died. */
void db_clear_dead_readers(struct db *db);

struct error db_begin(struct db *db, bool write, struct db_txn **txn);
/* A failed commit leaves nothing of the transaction; ERROR_FULL when the disk is full. Frees it either way. */
struct error db_commit(struct db_txn *txn);
void db_abort(struct db_txn *txn);

/* false: not there (or, with *err set, a failure). */
bool db_get(struct db_txn *txn, enum table table, const void *key, size_t size, struct slice *value, struct error *err);
struct error db_put(struct db_txn *txn, enum table table, const void *key, size_t size, const void *value,
                    size_t value_size);
/* As db_put, quicker where the key is the greatest of its table. */
struct error db_append(struct db_txn *txn, enum table table, const void *key, size_t size, const void *value,
                       size_t value_size);
/* The first entry whose key is not less than `key`. For TABLE_SECONDARY: its first value. */
bool db_seek(struct db_txn *txn, enum table table, const void *key, size_t size, struct slice *found,
             struct slice *value, struct error *err);
/* TABLE_SECONDARY: the first value of exactly this key that is not less than `least` (8 bytes). */
bool db_seek_value(struct db_txn *txn, enum table table, const void *key, size_t size, const uint8_t least[8],
                   struct slice *value, struct error *err);
/* The entry with the greatest key. */
bool db_last(struct db_txn *txn, enum table table, struct slice *found, struct slice *value, struct error *err);
uint64_t db_entries(struct db_txn *txn, enum table table);
/* Reads a whole table: every row holds, is found by its key, and none is missing. ERROR_DAMAGED. */
struct error db_check(struct db_txn *txn, enum table table);

#endif
