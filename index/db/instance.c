/* Table instance: one row an edition, serving listing and location, so that a series lists as one sequential scan.
 *   key    u64 series id, u64 permanent number in the series (big-endian)
 *   value  numbers of 1 to 10 bytes (7 bits a byte, least first, the eighth says that more follow), in this order:
 *          flags, id, LSN, superseded, version, syntax code, prefix size, size, JSON version, JSON size, rows, columns,
 *          samples, bits allocated, frames, representative, photometric * 2 + float, origin, pack, offset, lead;
 *          u64 time, u64 digest; [number, zigzag, if flagged]; [IEEE 754 double position, if flagged];
 *          SOP instance UID, SOP class UID, name: u8 length and bytes. UIDs of digits and dots have two characters a
 *          byte (. is 10, 15 fills up); other UIDs stand as they are with 128 added to the length.
 * Table edition: where an edition's row is, in order of arrival.
 *   key    u64 id;  value  numbers as above: series id, number in the series */
#include "index/db/tables.h"

#include <string.h>

static uint8_t *number_write(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static const uint8_t *number_read(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; p && p < end && shift < 64; shift += 7) {
        *v |= (uint64_t)(*p & 0x7F) << shift;
        if (!(*p++ & 0x80))
            return p;
    }
    return NULL;
}

static uint8_t *uid_write(uint8_t *p, const char *uid)
{
    size_t size = strlen(uid);
    if (strspn(uid, "0123456789.") != size) {
        *p++ = (uint8_t)(size | 0x80);
        memcpy(p, uid, size);
        return p + size;
    }
    *p++ = (uint8_t)size;
    for (size_t i = 0; i < size; i += 2) {
        uint8_t a = uid[i] == '.' ? 10 : (uint8_t)(uid[i] - '0');
        uint8_t b = i + 1 >= size ? 15 : uid[i + 1] == '.' ? 10 : (uint8_t)(uid[i + 1] - '0');
        *p++ = (uint8_t)(a << 4 | b);
    }
    return p;
}

static const uint8_t *uid_read(const uint8_t *p, const uint8_t *end, char uid[65])
{
    if (!p || p >= end)
        return NULL;
    size_t size = *p & 0x7F, bytes = *p & 0x80 ? size : (size + 1) / 2;
    bool raw = *p++ & 0x80;
    if (size > 64 || (size_t)(end - p) < bytes)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        uint8_t digit = raw ? 0 : i & 1 ? p[i / 2] & 15 : p[i / 2] >> 4;
        uid[i] = raw ? (char)p[i] : digit == 10 ? '.' : (char)('0' + digit);
    }
    uid[size] = 0;
    return p + bytes;
}

static size_t write_row(uint8_t *to, const struct instance_row *r)
{
    const uint64_t numbers[] = {
        r->flags,
        r->id,
        r->lsn,
        r->superseded,
        r->version,
        r->syntax,
        r->prefix_size,
        r->size,
        r->json_version,
        r->json_size,
        r->shape.rows,
        r->shape.columns,
        r->shape.samples,
        r->shape.bits_allocated,
        r->shape.frames,
        r->shape.representative,
        (uint64_t)r->shape.photometric * 2 + r->shape.float_data,
        r->origin,
        r->pack,
        r->offset,
        r->lead,
    };
    uint8_t *p = to;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        p = number_write(p, numbers[i]);
    put_u64(p, r->time_ns);
    put_u64(p + 8, r->digest);
    p += 16;
    if (r->flags & INSTANCE_NUMBERED)
        p = number_write(p, (uint64_t)r->instance_number << 1 ^ (uint64_t)(r->instance_number >> 63));
    if (r->flags & INSTANCE_POSITION) {
        uint64_t bits;
        memcpy(&bits, &r->position, 8);
        put_u64(p, bits);
        p += 8;
    }
    p = uid_write(p, r->uid);
    p = uid_write(p, r->sop_class);
    size_t name = strlen(r->name);
    *p++ = (uint8_t)name;
    memcpy(p, r->name, name);
    return (size_t)(p + name - to);
}

static bool read_row(struct instance_row *r, const uint8_t *p, size_t size)
{
    const uint8_t *end = p + size;
    uint64_t n[21];
    for (size_t i = 0; i < sizeof n / sizeof n[0]; i++)
        p = number_read(p, end, &n[i]);
    if (!p || end - p < 16)
        return false;
    r->flags = (uint32_t)n[0];
    r->id = n[1];
    r->lsn = n[2];
    r->superseded = n[3];
    r->version = (uint32_t)n[4];
    r->syntax = (uint8_t)n[5];
    r->prefix_size = (uint32_t)n[6];
    r->size = n[7];
    r->json_version = (uint8_t)n[8];
    r->json_size = n[9];
    r->shape = (struct pixel_shape){(uint16_t)n[10], (uint16_t)n[11], (uint16_t)n[12],      (uint16_t)n[13],
                                    (uint32_t)n[14], (uint32_t)n[15], (uint8_t)(n[16] / 2), n[16] & 1};
    r->origin = (uint32_t)n[17];
    r->pack = (uint32_t)n[18];
    r->offset = n[19];
    r->lead = (uint32_t)n[20];
    r->time_ns = get_u64(p);
    r->digest = get_u64(p + 8);
    p += 16;
    r->instance_number = 0;
    r->position = 0;
    if (r->flags & INSTANCE_NUMBERED) {
        uint64_t z;
        p = number_read(p, end, &z);
        r->instance_number = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
    }
    if (r->flags & INSTANCE_POSITION) {
        if (!p || end - p < 8)
            return false;
        uint64_t bits = get_u64(p);
        memcpy(&r->position, &bits, 8);
        p += 8;
    }
    p = uid_read(p, end, r->uid);
    p = uid_read(p, end, r->sop_class);
    if (!p || p >= end || *p >= INSTANCE_NAME_MAX || end - p != 1 + *p)
        return false;
    memcpy(r->name, p + 1, *p);
    r->name[*p] = 0;
    return true;
}

static struct error read_value(struct instance_row *row, const struct slice *v, uint64_t series, uint64_t number)
{
    row->series = series;
    row->number = number;
    if (!read_row(row, v->data, v->size))
        return error_make(ERROR_DAMAGED,
                          "index row %llu of series %llu is damaged; 'pacsctl rebuild' makes the index anew",
                          (unsigned long long)number, (unsigned long long)series);
    return NO_ERROR;
}

struct error instance_get(struct db_txn *txn, uint64_t series, uint64_t number, struct instance_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[16];
    struct slice v;
    put_u64be(key, series);
    put_u64be(key + 8, number);
    if (db_get(txn, TABLE_INSTANCE, key, sizeof key, &v, &err))
        return read_value(row, &v, series, number);
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no instance");
}

struct error instance_next(struct db_txn *txn, uint64_t series, uint64_t after, struct instance_row *row)
{
    struct error err = NO_ERROR;
    uint8_t key[16];
    struct slice k, v;
    put_u64be(key, series);
    put_u64be(key + 8, after + 1);
    if (db_seek(txn, TABLE_INSTANCE, key, sizeof key, &k, &v, &err) && k.size == 16 && memcmp(k.data, key, 8) == 0)
        return read_value(row, &v, series, get_u64be(k.data + 8));
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no instance");
}

struct error instance_put(struct db_txn *txn, const struct instance_row *row)
{
    uint8_t key[16], value[640];
    put_u64be(key, row->series);
    put_u64be(key + 8, row->number);
    return db_put(txn, TABLE_INSTANCE, key, sizeof key, value, write_row(value, row));
}

static struct error read_edition(const struct slice *v, uint64_t *series, uint64_t *number)
{
    const uint8_t *p = number_read(v->data, v->data + v->size, series);
    if (!number_read(p, v->data + v->size, number))
        return error_make(ERROR_DAMAGED, "an edition row of the index is damaged; 'pacsctl rebuild' makes it anew");
    return NO_ERROR;
}

struct error edition_get(struct db_txn *txn, uint64_t id, uint64_t *series, uint64_t *number)
{
    struct error err = NO_ERROR;
    uint8_t key[8];
    struct slice v;
    put_u64be(key, id);
    if (db_get(txn, TABLE_EDITION, key, sizeof key, &v, &err))
        return read_edition(&v, series, number);
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no edition %llu", (unsigned long long)id);
}

struct error edition_next(struct db_txn *txn, uint64_t after, uint64_t *id, uint64_t *series, uint64_t *number)
{
    struct error err = NO_ERROR;
    uint8_t key[8];
    struct slice k, v;
    put_u64be(key, after + 1);
    if (db_seek(txn, TABLE_EDITION, key, sizeof key, &k, &v, &err) && k.size == 8) {
        *id = get_u64be(k.data);
        return read_edition(&v, series, number);
    }
    return err.code ? err : error_make(ERROR_NOT_FOUND, "no edition behind %llu", (unsigned long long)after);
}

struct error edition_put(struct db_txn *txn, uint64_t id, uint64_t series, uint64_t number, bool newest)
{
    uint8_t key[8], value[20];
    put_u64be(key, id);
    uint8_t *end = number_write(number_write(value, series), number);
    return (newest ? db_append : db_put)(txn, TABLE_EDITION, key, sizeof key, value, (size_t)(end - value));
}
