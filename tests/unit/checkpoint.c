/* A state of the index that survives a power cut (index/db/checkpoint.h): C1, and what is believed afterwards.
 *
 * A cut is imitated by writing noise over every page of the file that the checkpoint's state does not use: pages of
 * any age is what a disk holds of a file that was never synced. */
#include "index/db/checkpoint.h"

#include "check.h"
#include "faulty_io.h"
#include "scratch.h"

#include <time.h>

static struct db *db;

#define FOLDER scratch_path("index")
#define DATA scratch_path("index/data.mdb")

static void put_state(struct db_txn *txn, uint64_t lsn)
{
    struct meta_row meta = {.format = INDEX_FORMAT, .lsn = lsn, .pack = 1, .end = 1000 + lsn};
    EXPECT_OK(meta_row_put(txn, &meta));
}

/* Rows i = from .. to - 1 say `lsn`; large enough that each transaction touches many pages. */
static void commit_rows(unsigned from, unsigned to, uint64_t lsn)
{
    struct db_txn *txn;
    uint8_t value[300];
    EXPECT_OK(db_begin(db, true, &txn));
    for (unsigned i = from; i < to; i++) {
        uint8_t key[8];
        put_u64be(key, i);
        memset(value, (int)(lsn & 0xFF), sizeof value);
        put_u64(value, lsn);
        EXPECT_OK(db_put(txn, TABLE_CONFLICT, key, sizeof key, value, sizeof value));
    }
    put_state(txn, lsn);
    EXPECT_OK(db_commit(txn));
}

static uint64_t state_lsn(void)
{
    struct db_txn *txn;
    struct meta_row meta = {0};
    EXPECT_OK(db_begin(db, false, &txn));
    EXPECT_OK(meta_row_get(txn, &meta));
    db_abort(txn);
    return meta.lsn;
}

/* Whether there are exactly rows 0 to count - 1, each with `lsn`, all bytes right. */
static bool rows_are(unsigned count, uint64_t lsn)
{
    struct db_txn *txn;
    struct slice key, value;
    struct error err = NO_ERROR;
    uint8_t least[8] = {0};
    unsigned seen = 0;
    bool good = true;
    EXPECT_OK(db_begin(db, false, &txn));
    while (good && db_seek(txn, TABLE_CONFLICT, least, 8, &key, &value, &err)) {
        good = key.size == 8 && get_u64be(key.data) == seen && value.size == 300 && get_u64(value.data) == lsn &&
               value.data[299] == (lsn & 0xFF);
        put_u64be(least, ++seen);
    }
    db_abort(txn);
    EXPECT_OK(err);
    return good && seen == count;
}

static void begin(void)
{
    db_close(db);
    db = NULL;
    fault_clear();
    scratch_make();
    EXPECT(mkdir(FOLDER, 0700) == 0);
    EXPECT_OK(db_open(&db, FOLDER, true, true));
    commit_rows(0, 2000, 1);
}

/* The power goes: nothing after `synced` (the bytes of the file at the last sync) is kept but page by page at random.
 */
static void cut(const struct buf *synced, unsigned seed)
{
    struct buf now;
    buf_init(&now);
    db_close(db);
    db = NULL;
    EXPECT(file_read(DATA, &now));
    for (size_t at = 0; at < now.size; at += 4096) {
        seed = seed * 1103515245u + 12345u;
        size_t size = now.size - at < 4096 ? now.size - at : 4096;
        if ((seed >> 16) & 1) { /* the page as it was, or as nothing at all */
            if (at + size <= synced->size)
                memcpy(now.data + at, synced->data + at, size);
            else
                memset(now.data + at, 0xA5, size);
        }
    }
    EXPECT(file_write(DATA, now.data, now.size)); /* the same inode */
    buf_release(&now);
}

static void checkpoint_survives_later_pages_of_any_age(void)
{
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct checkpoint *pin;
        struct buf synced;
        buf_init(&synced);
        begin();
        commit_rows(0, 2000, 2);
        EXPECT_OK(checkpoint_take(db, &pin));
        EXPECT_OK(checkpoint_save(pin, FOLDER, &io_system));
        EXPECT(file_read(DATA, &synced));
        for (uint64_t lsn = 3; lsn < 3 + seed; lsn++) /* writers go on over the pin: C1 */
            commit_rows(0, 2000 + (unsigned)lsn * 50, lsn);
        checkpoint_release(pin);
        cut(&synced, seed);
        EXPECT_OK(checkpoint_restore(FOLDER, &io_system));
        EXPECT_OK(db_open(&db, FOLDER, true, false));
        EXPECT(state_lsn() == 2);
        EXPECT(rows_are(2000, 2));
        commit_rows(0, 2500, 99); /* and it goes on from there */
        EXPECT(rows_are(2500, 99));
        buf_release(&synced);
    }
}

/* While the next checkpoint is being saved the old one is still whole, so a cut in between restores the old state. */
static void checkpoint_old_one_holds_until_the_new_one_is_saved(void)
{
    struct checkpoint *old, *new;
    struct buf synced;
    buf_init(&synced);
    begin();
    EXPECT_OK(checkpoint_take(db, &old));
    EXPECT_OK(checkpoint_save(old, FOLDER, &io_system));
    EXPECT(file_read(DATA, &synced));
    for (uint64_t lsn = 2; lsn < 6; lsn++)
        commit_rows(0, 2000, lsn);
    EXPECT_OK(checkpoint_take(db, &new));
    commit_rows(0, 2000, 6);
    fault_set(FAULT_RENAME, 0, EIO, false);
    EXPECT_ERROR(checkpoint_save(new, FOLDER, &faulty_io), ERROR_BROKEN);
    checkpoint_release(new); /* the order of release does not matter to the old one */
    for (uint64_t lsn = 7; lsn < 12; lsn++)
        commit_rows(0, 2000, lsn);
    checkpoint_release(old);
    cut(&synced, 7);
    EXPECT_OK(checkpoint_restore(FOLDER, &io_system));
    EXPECT_OK(db_open(&db, FOLDER, true, false));
    EXPECT(rows_are(2000, 1));
    buf_release(&synced);
}

static void checkpoint_torn_or_missing_is_known(void)
{
    struct checkpoint *pin;
    struct buf bytes;
    buf_init(&bytes);
    begin();
    db_close(db);
    db = NULL;
    EXPECT_ERROR(checkpoint_restore(FOLDER, &io_system), ERROR_NOT_FOUND);
    EXPECT_OK(db_open(&db, FOLDER, true, false));
    EXPECT_OK(checkpoint_take(db, &pin));
    EXPECT_OK(checkpoint_save(pin, FOLDER, &io_system));
    checkpoint_release(pin);
    db_close(db);
    db = NULL;
    EXPECT(file_read(scratch_path("index/checkpoint"), &bytes));
    static const size_t sizes[] = {0, 1, 55, 56, 57, 4000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        EXPECT(file_write(scratch_path("index/checkpoint"), bytes.data, sizes[i]));
        EXPECT_ERROR(checkpoint_restore(FOLDER, &io_system), ERROR_NOT_FOUND);
    }
    EXPECT(file_write(scratch_path("index/checkpoint"), bytes.data, bytes.size - 1));
    EXPECT_ERROR(checkpoint_restore(FOLDER, &io_system), ERROR_NOT_FOUND);
    for (size_t at = 0; at < bytes.size; at += 97) {
        bytes.data[at] ^= 0x10;
        EXPECT(file_write(scratch_path("index/checkpoint"), bytes.data, bytes.size));
        EXPECT_ERROR(checkpoint_restore(FOLDER, &io_system), ERROR_NOT_FOUND);
        bytes.data[at] ^= 0x10;
    }
    EXPECT(file_write(scratch_path("index/checkpoint"), bytes.data, bytes.size));
    EXPECT_OK(checkpoint_restore(FOLDER, &io_system));
    buf_release(&bytes);
}

/* The data file replaced by its own bytes: a copy, a restored backup. Whether the file system gives it the inode of
 * the one before or another, it is known as such. */
static void replace_data_file(void)
{
    struct buf bytes;
    buf_init(&bytes);
    EXPECT(file_read(DATA, &bytes));
    EXPECT(unlink(DATA) == 0);
    struct timespec moment = {0, 20000000}; /* a kernel's clock for file times ticks every 4 to 10 ms */
    nanosleep(&moment, NULL);
    EXPECT(file_write(DATA, bytes.data, bytes.size));
    buf_release(&bytes);
}

static void checkpoint_copy_is_known_as_such(void)
{
    struct checkpoint *pin;
    begin();
    EXPECT_OK(checkpoint_take(db, &pin));
    EXPECT_OK(checkpoint_save(pin, FOLDER, &io_system));
    checkpoint_release(pin);
    db_close(db);
    db = NULL;
    replace_data_file();
    EXPECT_ERROR(checkpoint_restore(FOLDER, &io_system), ERROR_NOT_FOUND);
}

static void stamp_of_this_boot_and_file_holds(void)
{
    begin();
    EXPECT(!stamp_holds(FOLDER));
    EXPECT_OK(stamp_write(FOLDER, &io_system));
    EXPECT(stamp_holds(FOLDER));
    commit_rows(0, 3000, 5); /* what is written since changes nothing */
    EXPECT(stamp_holds(FOLDER));
    db_close(db);
    db = NULL;
    EXPECT(stamp_holds(FOLDER));
}

/* A file system that failed and was mounted again in this boot: the file is the same, its pages are of any age. */
static void stamp_of_a_writer_holds_while_in_use(void)
{
    begin();
    EXPECT_OK(stamp_open(FOLDER, &io_system));
    EXPECT(stamp_holds(FOLDER));
    db_close(db);
    db = NULL;
    EXPECT(!stamp_holds(FOLDER));
    EXPECT_OK(db_open(&db, FOLDER, false, false));
    EXPECT(stamp_holds(FOLDER));
    db_close(db);
    db = NULL;
    EXPECT_OK(stamp_write(FOLDER, &io_system));
    EXPECT(stamp_holds(FOLDER));
}

static void stamp_of_a_copy_does_not_hold(void)
{
    begin();
    EXPECT_OK(stamp_write(FOLDER, &io_system));
    db_close(db);
    db = NULL;
    replace_data_file();
    EXPECT(!stamp_holds(FOLDER));
}

static void stamp_of_another_boot_does_not_hold(void)
{
    struct buf text;
    buf_init(&text);
    begin();
    EXPECT_OK(stamp_write(FOLDER, &io_system));
    EXPECT(file_read(scratch_path("index/stamp"), &text));
    text.data[0] = text.data[0] == '0' ? '1' : '0';
    EXPECT(file_write(scratch_path("index/stamp"), text.data, text.size));
    EXPECT(!stamp_holds(FOLDER));
    EXPECT(file_write(scratch_path("index/stamp"), "", 0));
    EXPECT(!stamp_holds(FOLDER));
    buf_release(&text);
}

/* An index of another format is derived again, never read as if it were this one's. */
static void meta_of_another_format_is_refused(void)
{
    struct db_txn *txn;
    struct meta_row meta = {.format = INDEX_FORMAT + 1};
    begin();
    EXPECT_OK(db_begin(db, true, &txn));
    EXPECT_OK(meta_row_put(txn, &meta));
    EXPECT_OK(db_commit(txn));
    EXPECT_OK(db_begin(db, false, &txn));
    EXPECT_ERROR(meta_row_get(txn, &meta), ERROR_DAMAGED);
    db_abort(txn);
}

int main(void)
{
    RUN(checkpoint_survives_later_pages_of_any_age);
    RUN(checkpoint_old_one_holds_until_the_new_one_is_saved);
    RUN(checkpoint_torn_or_missing_is_known);
    RUN(checkpoint_copy_is_known_as_such);
    RUN(stamp_of_this_boot_and_file_holds);
    RUN(stamp_of_a_writer_holds_while_in_use);
    RUN(stamp_of_a_copy_does_not_hold);
    RUN(stamp_of_another_boot_does_not_hold);
    RUN(meta_of_another_format_is_refused);
    db_close(db);
    scratch_remove();
    return check_done();
}
