/* Table name: names of children.
 *   key    u64 parent id (big-endian), u64 hash of the folded name;  value  u64 permanent numbers, in order
 * Table uid: studies, series and instances by UID.
 *   key    u64 hash of kind and UID;  value  u64 ids, in order
 * Table secondary: ids by what people search for.
 *   key    u8 kind, text (cut at SECONDARY_TEXT_MAX bytes);  values  u64 id (big-endian), sorted
 * Hashes are XXH3-64; what they lead to is compared with the row by whoever asks. */
#include "codecs/chunk/chunk.h"
#include "codecs/dicom/names.h"
#include "index/db/tables.h"

#include <string.h>

#define SECONDARY_TEXT_MAX 480

uint64_t name_hash(const char *name)
{
    struct buf folded;
    buf_init(&folded);
    name_fold(&folded, name);
    uint64_t hash = checksum64(folded.data ? folded.data : (const uint8_t *)"", folded.size, 0);
    buf_release(&folded);
    return hash;
}

uint64_t uid_hash(enum object_kind kind, const char *uid)
{
    return checksum64(uid, strlen(uid), (uint64_t)kind);
}

static struct error list_get(struct db_txn *txn, enum table table, const uint8_t *key, size_t size, struct slice *list)
{
    struct error err = NO_ERROR;
    if (!db_get(txn, table, key, size, list, &err))
        *list = (struct slice){NULL, 0};
    list->size -= list->size % 8;
    return err;
}

static struct error list_add(struct db_txn *txn, enum table table, const uint8_t *key, size_t size, uint64_t number)
{
    struct slice list;
    struct buf value;
    TRY(list_get(txn, table, key, size, &list));
    size_t at = list.size; /* in order, which but for lost records is that of arrival */
    while (at && get_u64(list.data + at - 8) > number)
        at -= 8;
    buf_init(&value);
    buf_append(&value, list.data, at);
    buf_u64(&value, number);
    if (at < list.size)
        buf_append(&value, list.data + at, list.size - at);
    struct error err = buf_error(&value);
    if (!err.code)
        err = db_put(txn, table, key, size, value.data, value.size);
    buf_release(&value);
    return err;
}

static void name_key(uint8_t key[16], uint64_t parent, const char *name)
{
    put_u64be(key, parent);
    put_u64be(key + 8, name_hash(name));
}

struct error name_list(struct db_txn *txn, uint64_t parent, const char *name, struct slice *list)
{
    uint8_t key[16];
    name_key(key, parent, name);
    return list_get(txn, TABLE_NAME, key, sizeof key, list);
}

struct error name_add(struct db_txn *txn, uint64_t parent, const char *name, uint64_t number)
{
    uint8_t key[16];
    name_key(key, parent, name);
    return list_add(txn, TABLE_NAME, key, sizeof key, number);
}

struct error uid_list(struct db_txn *txn, enum object_kind kind, const char *uid, struct slice *list)
{
    uint8_t key[8];
    put_u64be(key, uid_hash(kind, uid));
    return list_get(txn, TABLE_UID, key, sizeof key, list);
}

struct error uid_add(struct db_txn *txn, enum object_kind kind, const char *uid, uint64_t id)
{
    uint8_t key[8];
    put_u64be(key, uid_hash(kind, uid));
    return list_add(txn, TABLE_UID, key, sizeof key, id);
}

static size_t secondary_key(uint8_t key[DB_KEY_MAX], unsigned kind, const char *text)
{
    size_t size = strnlen(text, SECONDARY_TEXT_MAX);
    key[0] = (uint8_t)kind;
    memcpy(key + 1, text, size);
    return size + 1;
}

struct error secondary_add(struct db_txn *txn, unsigned kind, const char *text, uint64_t id)
{
    uint8_t key[DB_KEY_MAX], value[8];
    put_u64be(value, id);
    return db_put(txn, TABLE_SECONDARY, key, secondary_key(key, kind, text), value, sizeof value);
}

struct error secondary_next(struct db_txn *txn, unsigned kind, const char *text, uint64_t after, uint64_t *id)
{
    struct error err = NO_ERROR;
    uint8_t key[DB_KEY_MAX], least[8];
    struct slice v;
    put_u64be(least, after + 1);
    if (db_seek_value(txn, TABLE_SECONDARY, key, secondary_key(key, kind, text), least, &v, &err) && v.size == 8) {
        *id = get_u64be(v.data);
        return NO_ERROR;
    }
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no object with that key");
}

struct error secondary_next_key(struct db_txn *txn, unsigned kind, const char *prefix, const char *after,
                                char found[512])
{
    struct error err = NO_ERROR;
    uint8_t key[DB_KEY_MAX + 1];
    struct slice k, v;
    size_t size = secondary_key(key, kind, after ? after : prefix);
    if (after)
        key[size++] = 0; /* the least key that is greater */
    size_t want = strlen(prefix);
    if (db_seek(txn, TABLE_SECONDARY, key, size, &k, &v, &err) && k.size >= 1 + want && k.size < 512 &&
        k.data[0] == (uint8_t)kind && memcmp(k.data + 1, prefix, want) == 0) {
        memcpy(found, k.data + 1, k.size - 1);
        found[k.size - 1] = 0;
        return NO_ERROR;
    }
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no further key");
}
