/* Tables folder, patient, study, series: one shape.
 *   key    u64 id (big-endian)
 *   value  u8 kind, u8 length of name, 6 x 0; u64 parent, number, created, list, changed, newest, children, instances,
 *          bytes; name, NUL; attributes to the end: u32 tag, u16 length, UTF-8, NUL
 * Table child: which stands in which.
 *   key    u64 parent, u64 permanent number in the parent
 *   value  u8 kind, u64 id */
#include "index/db/tables.h"

#include <string.h>

#define FIXED 80

enum table object_table(enum object_kind kind)
{
    return TABLE_FOLDER + ((enum table)kind - OBJECT_FOLDER);
}

static void key_of(uint8_t key[16], uint64_t a, uint64_t b)
{
    put_u64be(key, a);
    put_u64be(key + 8, b);
}

void attribute_write(struct buf *out, uint32_t tag, const char *text, size_t size)
{
    if (size > UINT16_MAX)
        size = UINT16_MAX;
    buf_u32(out, tag);
    buf_u16(out, (uint16_t)size);
    buf_append(out, text, size);
    buf_byte(out, 0);
}

const char *attribute(const struct attributes *attributes, uint32_t tag)
{
    const uint8_t *p = attributes->data, *end = p ? p + attributes->size : NULL;
    while (p && end - p >= 7) {
        size_t size = get_u16(p + 4);
        if ((size_t)(end - p) < size + 7)
            break;
        if (get_u32(p) == tag)
            return (const char *)p + 6;
        p += size + 7;
    }
    return "";
}

void object_write(struct buf *out, const struct object_row *row)
{
    size_t name = strlen(row->name);
    buf_byte(out, (uint8_t)row->kind);
    buf_byte(out, (uint8_t)name);
    buf_append(out, "\0\0\0\0\0", 6);
    buf_u64(out, row->parent);
    buf_u64(out, row->number);
    buf_u64(out, row->created_ns);
    buf_u64(out, row->list_ns);
    buf_u64(out, row->changed_ns);
    buf_u64(out, row->newest);
    buf_u64(out, row->children);
    buf_u64(out, row->instances);
    buf_u64(out, row->bytes);
    buf_append(out, row->name, name + 1);
    if (row->attributes.size)
        buf_append(out, row->attributes.data, row->attributes.size);
}

bool object_read(struct object_row *row, const uint8_t *p, size_t size, enum object_kind kind, uint64_t id)
{
    if (size < FIXED + 1 || p[0] != (uint8_t)kind || size < FIXED + 1u + p[1] || p[FIXED + p[1]] != 0)
        return false;
    *row = (struct object_row){
        .kind = kind,
        .id = id,
        .parent = get_u64(p + 8),
        .number = get_u64(p + 16),
        .created_ns = get_u64(p + 24),
        .list_ns = get_u64(p + 32),
        .changed_ns = get_u64(p + 40),
        .newest = get_u64(p + 48),
        .children = get_u64(p + 56),
        .instances = get_u64(p + 64),
        .bytes = get_u64(p + 72),
        .name = (const char *)p + FIXED,
        .attributes = {p + FIXED + 1 + p[1], size - FIXED - 1 - p[1]},
    };
    return true;
}

static struct error read_row(const struct slice *v, enum object_kind kind, uint64_t id, struct object_row *row)
{
    if (!object_read(row, v->data, v->size, kind, id))
        return error_make(ERROR_DAMAGED, "the index row of object %llu is damaged; 'pacsctl rebuild' makes it anew",
                          (unsigned long long)id);
    return NO_ERROR;
}

struct error object_get(struct db_txn *txn, enum object_kind kind, uint64_t id, struct object_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[8];
    struct slice v;
    put_u64be(key, id);
    if (db_get(txn, object_table(kind), key, sizeof key, &v, &err))
        return read_row(&v, kind, id, row);
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no object %llu", (unsigned long long)id);
}

struct error object_get_any(struct db_txn *txn, uint64_t id, struct object_row *row)
{
    static const enum object_kind order[] = {OBJECT_SERIES, OBJECT_STUDY, OBJECT_PATIENT, OBJECT_FOLDER};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct error err = object_get(txn, order[i], id, row);
        if (err.code != ERROR_NOT_FOUND)
            return err;
        error_release(&err);
    }
    return error_make(ERROR_NOT_FOUND, "no object %llu", (unsigned long long)id);
}

struct error object_next(struct db_txn *txn, enum object_kind kind, uint64_t after, struct object_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[8];
    struct slice k, v;
    put_u64be(key, after + 1);
    if (db_seek(txn, object_table(kind), key, sizeof key, &k, &v, &err) && k.size == 8)
        return read_row(&v, kind, get_u64be(k.data), row);
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no object behind %llu", (unsigned long long)after);
}

struct error object_put(struct db_txn *txn, const struct object_row *row)
{
    struct buf value;
    uint8_t key[8];
    buf_init(&value);
    object_write(&value, row);
    put_u64be(key, row->id);
    struct error err = buf_error(&value);
    if (!err.code)
        err = db_put(txn, object_table(row->kind), key, sizeof key, value.data, value.size);
    buf_release(&value);
    return err;
}

static struct error read_child(const struct slice *v, enum object_kind *kind, uint64_t *id)
{
    if (v->size != 9)
        return error_make(ERROR_DAMAGED, "a child row of the index is damaged; 'pacsctl rebuild' makes it anew");
    *kind = v->data[0];
    *id = get_u64(v->data + 1);
    return NO_ERROR;
}

struct error child_next(struct db_txn *txn, uint64_t parent, uint64_t after, enum object_kind *kind, uint64_t *id)
{
    struct error err = NO_ERROR;
    uint8_t key[16];
    struct slice k, v;
    key_of(key, parent, after + 1);
    if (db_seek(txn, TABLE_CHILD, key, sizeof key, &k, &v, &err) && k.size == 16 && memcmp(k.data, key, 8) == 0)
        return read_child(&v, kind, id);
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no child");
}

struct error child_get(struct db_txn *txn, uint64_t parent, uint64_t number, enum object_kind *kind, uint64_t *id)
{
    struct error err = NO_ERROR;
    uint8_t key[16];
    struct slice v;
    key_of(key, parent, number);
    if (db_get(txn, TABLE_CHILD, key, sizeof key, &v, &err))
        return read_child(&v, kind, id);
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no child");
}

struct error child_put(struct db_txn *txn, uint64_t parent, uint64_t number, enum object_kind kind, uint64_t id)
{
    uint8_t key[16], value[9];
    key_of(key, parent, number);
    value[0] = (uint8_t)kind;
    put_u64(value + 1, id);
    return db_put(txn, TABLE_CHILD, key, sizeof key, value, sizeof value);
}
