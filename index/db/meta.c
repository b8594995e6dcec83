/* Table meta. Key "state"; value: u32 format, u32 0, then u64: LSN, time, pack, end, next id, newest, instances, bytes,
 * duplicates. One row, so that every commit says exactly up to which record the index is the fold of the log. */
#include "index/db/tables.h"

#define SIZE 80

struct error meta_row_get(struct db_txn *txn, struct meta_row *row)
{
    struct error err = NO_ERROR;
    struct slice v;
    if (!db_get(txn, TABLE_META, "state", 5, &v, &err))
        return err.code ? err : error_make(ERROR_NOT_FOUND, "the index has no state");
    if (v.size < SIZE)
        return error_make(ERROR_DAMAGED, "the index has a state of %zu bytes", v.size);
    row->format = get_u32(v.data);
    if (row->format != INDEX_FORMAT)
        return error_make(ERROR_DAMAGED, "the index has format %u, not %u; 'pacsctl rebuild' makes it anew",
                          row->format, INDEX_FORMAT);
    uint64_t *const members[] = {&row->lsn,    &row->time_ns,   &row->pack,  &row->end,       &row->next_id,
                                 &row->newest, &row->instances, &row->bytes, &row->duplicates};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        *members[i] = get_u64(v.data + 8 + 8 * i);
    return NO_ERROR;
}

struct error meta_row_put(struct db_txn *txn, const struct meta_row *row)
{
    uint8_t bytes[SIZE] = {0};
    const uint64_t members[] = {row->lsn,    row->time_ns,   row->pack,  row->end,       row->next_id,
                                row->newest, row->instances, row->bytes, row->duplicates};
    put_u32(bytes, row->format);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        put_u64(bytes + 8 + 8 * i, members[i]);
    return db_put(txn, TABLE_META, "state", 5, bytes, sizeof bytes);
}
