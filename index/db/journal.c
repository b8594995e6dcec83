/* Table hour: what arrived in which hour of the archive's time zone.
 *   key    u32 YYYYMMDDHH (big-endian);  value  u64 first id, newest id, count, first time, newest time
 * Table origin: where data came from, once each.  key  u32 number (big-endian);  value  4 texts, NUL behind each
 * Table origin_key: the same turned round.  key  u64 XXH3-64 of the texts;  value  u32 numbers
 * Table conflict: what a person should look at.
 *   key    u64 number (big-endian);  value  u64 LSN, time, object, other; kind NUL text NUL
 * Table duplicate: how often an edition came again.  key  u64 edition id (big-endian);  value  u64 count
 * Table dictionary: where they stand.
 *   key    u64 LSN of the dictionary, u64 LSN of the record (big-endian);  value  u64 pack, u64 offset */
#include "codecs/chunk/chunk.h"
#include "index/db/tables.h"

#include <string.h>

static struct error not_found(struct error err, const char *what)
{
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no %s", what);
}

static bool hour_read(struct hour_row *row, const uint8_t *key, const struct slice *v)
{
    if (v->size != 40)
        return false;
    *row = (struct hour_row){get_u32be(key),        get_u64(v->data),      get_u64(v->data + 8),
                             get_u64(v->data + 16), get_u64(v->data + 24), get_u64(v->data + 32)};
    return true;
}

struct error hour_get(struct db_txn *txn, uint32_t hour, struct hour_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[4];
    struct slice v;
    put_u32be(key, hour);
    if (db_get(txn, TABLE_HOUR, key, sizeof key, &v, &err) && hour_read(row, key, &v))
        return NO_ERROR;
    return not_found(err, "such hour");
}

struct error hour_next(struct db_txn *txn, uint32_t after, struct hour_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[4];
    struct slice k, v;
    put_u32be(key, after + 1);
    if (db_seek(txn, TABLE_HOUR, key, sizeof key, &k, &v, &err) && k.size == 4 && hour_read(row, k.data, &v))
        return NO_ERROR;
    return not_found(err, "further hour");
}

struct error hour_put(struct db_txn *txn, const struct hour_row *row)
{
    uint8_t key[4], value[40];
    put_u32be(key, row->hour);
    put_u64(value, row->first);
    put_u64(value + 8, row->last);
    put_u64(value + 16, row->count);
    put_u64(value + 24, row->first_ns);
    put_u64(value + 32, row->last_ns);
    return db_put(txn, TABLE_HOUR, key, sizeof key, value, sizeof value);
}

/* `count` NUL-terminated texts that fill the slice exactly. */
static bool texts(const uint8_t *p, size_t size, unsigned count, const char **out)
{
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *end = size ? memchr(p, 0, size) : NULL;
        if (!end)
            return false;
        out[i] = (const char *)p;
        size -= (size_t)(end + 1 - p);
        p = end + 1;
    }
    return size == 0;
}

struct error origin_get(struct db_txn *txn, uint32_t id, struct origin_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[4];
    struct slice v;
    const char *t[4];
    put_u32be(key, id);
    if (db_get(txn, TABLE_ORIGIN, key, sizeof key, &v, &err) && texts(v.data, v.size, 4, t)) {
        *row = (struct origin_row){t[0], t[1], t[2], t[3]};
        return NO_ERROR;
    }
    return not_found(err, "such origin");
}

struct error origin_intern(struct db_txn *txn, const struct origin_row *row, uint32_t *id)
{
    struct error err = NO_ERROR;
    const char *const t[4] = {row->how, row->calling_ae, row->called_ae, row->address};
    struct buf text, list;
    uint8_t key[8];
    struct slice v, stored;
    buf_init(&text);
    buf_init(&list);
    for (int i = 0; i < 4; i++)
        buf_append(&text, t[i] ? t[i] : "", strlen(t[i] ? t[i] : "") + 1);
    CHECK(buf_error(&text));
    put_u64be(key, checksum64(text.data, text.size, 0));
    if (db_get(txn, TABLE_ORIGIN_KEY, key, sizeof key, &v, &err))
        buf_append(&list, v.data, v.size);
    CHECK(err);
    for (size_t i = 0; i + 4 <= list.size; i += 4) {
        uint8_t number[4];
        *id = get_u32(list.data + i);
        put_u32be(number, *id);
        if (db_get(txn, TABLE_ORIGIN, number, sizeof number, &stored, &err) && stored.size == text.size &&
            memcmp(stored.data, text.data, text.size) == 0)
            goto out;
    }
    CHECK(err);
    *id = (uint32_t)db_entries(txn, TABLE_ORIGIN) + 1;
    buf_u32(&list, *id);
    CHECK(buf_error(&list));
    CHECK(db_put(txn, TABLE_ORIGIN_KEY, key, sizeof key, list.data, list.size));
    put_u32be(key, *id);
    err = db_put(txn, TABLE_ORIGIN, key, 4, text.data, text.size);
out:
    buf_release(&text);
    buf_release(&list);
    return err;
}

struct error conflict_next(struct db_txn *txn, uint64_t after, struct conflict_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[8];
    struct slice k, v;
    const char *t[2];
    put_u64be(key, after + 1);
    if (db_seek(txn, TABLE_CONFLICT, key, sizeof key, &k, &v, &err) && k.size == 8 && v.size > 32 &&
        texts(v.data + 32, v.size - 32, 2, t)) {
        *row = (struct conflict_row){get_u64be(k.data),
                                     get_u64(v.data),
                                     get_u64(v.data + 8),
                                     t[0],
                                     get_u64(v.data + 16),
                                     get_u64(v.data + 24),
                                     t[1]};
        return NO_ERROR;
    }
    return not_found(err, "further conflict");
}

struct error conflict_add(struct db_txn *txn, const struct conflict_row *row)
{
    struct buf value;
    uint8_t key[8];
    put_u64be(key, db_entries(txn, TABLE_CONFLICT) + 1);
    buf_init(&value);
    buf_u64(&value, row->lsn);
    buf_u64(&value, row->time_ns);
    buf_u64(&value, row->object);
    buf_u64(&value, row->other);
    buf_append(&value, row->kind, strlen(row->kind) + 1);
    buf_append(&value, row->text, strlen(row->text) + 1);
    struct error err = buf_error(&value);
    if (!err.code)
        err = db_put(txn, TABLE_CONFLICT, key, sizeof key, value.data, value.size);
    buf_release(&value);
    return err;
}

struct error duplicate_count(struct db_txn *txn, uint64_t id, uint64_t *count)
{
    struct error err = NO_ERROR;
    uint8_t key[8];
    struct slice v;
    put_u64be(key, id);
    *count = db_get(txn, TABLE_DUPLICATE, key, sizeof key, &v, &err) && v.size == 8 ? get_u64(v.data) : 0;
    return err;
}

struct error duplicate_add(struct db_txn *txn, uint64_t id)
{
    uint64_t count;
    uint8_t key[8], value[8];
    TRY(duplicate_count(txn, id, &count));
    put_u64be(key, id);
    put_u64(value, count + 1);
    return db_put(txn, TABLE_DUPLICATE, key, sizeof key, value, sizeof value);
}

#define DICTIONARY_KEY 16

struct error dictionary_next(struct db_txn *txn, uint64_t lsn, uint64_t *at, uint64_t *pack, uint64_t *offset)
{
    struct error err = NO_ERROR;
    uint8_t key[DICTIONARY_KEY];
    struct slice k, v;
    put_u64be(key, lsn);
    put_u64be(key + 8, *at + 1);
    if (!db_seek(txn, TABLE_DICTIONARY, key, sizeof key, &k, &v, &err) || k.size != DICTIONARY_KEY || v.size != 16 ||
        get_u64be(k.data) != lsn)
        return not_found(err, "such dictionary");
    *at = get_u64be(k.data + 8);
    *pack = get_u64(v.data);
    *offset = get_u64(v.data + 8);
    return NO_ERROR;
}

struct error dictionary_newest(struct db_txn *txn, uint64_t *lsn)
{
    struct error err = NO_ERROR;
    struct slice k, v;
    if (!db_last(txn, TABLE_DICTIONARY, &k, &v, &err) || k.size != DICTIONARY_KEY)
        return not_found(err, "dictionary");
    *lsn = get_u64be(k.data);
    return NO_ERROR;
}

struct error dictionary_put(struct db_txn *txn, uint64_t lsn, uint64_t record_lsn, uint64_t pack, uint64_t offset)
{
    uint8_t key[DICTIONARY_KEY], value[16];
    put_u64be(key, lsn);
    put_u64be(key + 8, record_lsn);
    put_u64(value, pack);
    put_u64(value + 8, offset);
    return db_put(txn, TABLE_DICTIONARY, key, sizeof key, value, sizeof value);
}
