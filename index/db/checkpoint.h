/* Layer: index/db. A state of the index that survives a power cut, and whether the files can be believed.
 *
 * Theory. The environment is never synced by commits, so after a power cut its pages are of any age. A checkpoint makes
 * one committed state durable while writers go on:
 *   1. between two write transactions: a read transaction (the pin) keeps LMDB from using pages of this state again;
 *      both meta pages are copied;                                         checkpoint_take
 *   2. the data file is synced, beside writers;                            checkpoint_save
 *   3. `checkpoint` (meta pages, LSN, place in the log) replaces the old one: temporary file, fsync, rename, fsync of
 *      the folder;                                                         checkpoint_save
 *   4. only then is the previous pin let go.                               checkpoint_release
 *  C1  At any moment the pages of the state that `checkpoint` names are in the file, synced, and not used again.
 *      [checkpoint_survives_later_pages_of_any_age, checkpoint_old_one_holds_until_the_new_one_is_saved,
 *      recover_cut_while_it_replays; what a cut leaves of the files: cut_while_the_checkpoint_is_written,
 *      checkpoint_torn, stamp_torn, cut_while_the_index_is_switched of tests/unit/recover_rule.c]
 * After an unclean boot checkpoint_restore() puts both meta pages back: the environment is that state, whatever became
 * of later pages, and the log is replayed from its place.
 *
 * Trust. `stamp` holds boot id, device, inode and time of birth of the data file. As long as they are those of now, and
 * the file system has stayed mounted, the page cache has seen every write and the environment is whole, also after
 * kill -9. A copy, a restored backup or another boot does not match. A file system that failed, and was mounted again
 * in the same boot, lost pages as in a power cut, and matches: so a stamp that a writer has opened, and did not close,
 * counts only while some process, a mount perhaps, still has the file open. (The mount's id says nothing: service
 * managers give daemons mount namespaces of their own.)
 */
#ifndef INDEX_DB_CHECKPOINT_H
#define INDEX_DB_CHECKPOINT_H

#include "index/db/tables.h"
#include "index/pack/io.h"

struct checkpoint;

/* Writer's thread, between transactions. */
struct error checkpoint_take(struct db *db, struct checkpoint **checkpoint);
/* Any thread. When the sync of the environment fails, the kernel has dropped pages that the cache still shows: the
 * stamp goes, so that the next process restores the checkpoint before. */
struct error checkpoint_save(struct checkpoint *checkpoint, const char *folder, const struct io_ops *io);
/* After a failed save: whether this checkpoint or the one before counts is not known, or nothing that was written since
 * the one before is. Then neither pin may go and no other checkpoint may be taken, until the environment was closed. */
bool checkpoint_uncertain(const struct checkpoint *checkpoint);
/* Up to which record its state is the fold of the log. */
uint64_t checkpoint_lsn(const struct checkpoint *checkpoint);
/* Lets the pin go. NULL is allowed. */
void checkpoint_release(struct checkpoint *checkpoint);

/* Puts the meta pages of `folder`/checkpoint back into `folder`/data.mdb and syncs it. The environment must not be
 * open. ERROR_NOT_FOUND: no valid checkpoint that belongs to this file. */
struct error checkpoint_restore(const char *folder, const struct io_ops *io);

/* Whether the stamp holds; false also where there is none. */
bool stamp_holds(const char *folder);
/* The environment is synced and nobody writes. */
struct error stamp_write(const char *folder, const struct io_ops *io);
/* Before the first write of a writer, which has it open. */
struct error stamp_open(const char *folder, const struct io_ops *io);

#endif
