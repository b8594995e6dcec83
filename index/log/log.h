/* Layer: index/log. The sequencer's end of the log: appending to the newest pack, group by group.
 *
 * Used by one thread, the writer's (index/log/writer.c). States:
 *
 *   CLOSED --log_append--> APPENDING --log_sync--> SYNCED --log_append--> APPENDING
 *     ^                        |  write or fdatasync failed: log_fail                |
 *     +------------------------+<-----------------------------------------------------+ log_close_pack (size reached)
 *
 *  L1  A pack takes records only after its header, which states the pack before it and where that one ends, is synced
 *      together with the folder. [log_no_space_at_pack_creation, successor_of_no_bytes, successor_with_a_torn_header,
 *      successor_without_records, packs_list_chain]
 *  L2  A pack is synced before its successor is made. [log_pack_switch_states_the_end]
 *  L3  After a failed write or sync nothing behind the last proven offset is believed: the pack ends there, LSNs given
 *      since are given again, the next append makes a new pack. No byte is read back to find out. A pack that has no
 *      proven record is removed. [log_failed_group_ends_the_pack, log_torn_tail_is_void,
 *      log_failed_sync_of_a_full_pack_is_final, failed_sync_then_successor, lsn_written_twice,
 *      lsn_written_twice_in_packs_of_two_tries]
 *  L4  Packs of an earlier run are never appended to. [log_restart_never_appends, successor_without_records]
 *  L5  LSNs of logical records are consecutive; their times never decrease. [log_dropped_group_leaves_no_gap,
 *      log_fault_at_every_call, log_times_never_decrease, lsn_written_twice]
 * Names in brackets are cases of tests/unit/log.c, pack_scan.c and recover_rule.c; tests/faults tries all of them at
 * every call.
 */
#ifndef INDEX_LOG_LOG_H
#define INDEX_LOG_LOG_H

#include "index/pack/packs.h"

struct log;

/* Where a record was put. */
struct log_place {
    uint64_t pack, offset;
    uint64_t lsn;
    uint64_t time_ns;
};

/* Where the log stands at the start: the newest pack, its END, the LSN and time of the last logical record. */
struct log_position {
    uint64_t pack, end;
    uint64_t lsn;
    uint64_t time_ns;
};

struct error log_new(struct log **log, const char *folder, const uint8_t uuid[16], const struct io_ops *io,
                     uint64_t pack_bytes, const struct log_position *position);
/* Closes without writing. */
void log_free(struct log *log);

/* Makes sure that there is a pack that takes records: closes a full one (synced; where that fails log_fail has been
 * called), makes a new one. Call before the first append of a group. */
struct error log_open_group(struct log *log);
/* Adds a record to the group: in memory only, nothing is written. The parts of the payload must stay where they are
 * until log_sync or log_fail. Logical records get the next LSN. */
struct error log_append(struct log *log, uint8_t type, bool logical, const struct iovec *parts, unsigned count,
                        struct log_place *place);
/* Forgets what was appended since the last log_write or log_sync, as if it had not been. */
void log_drop(struct log *log);
/* Writes the group without syncing it (chunks of a large instance on their way). */
struct error log_write(struct log *log);
/* Writes the group and makes all of the pack durable. On failure the caller calls log_fail. */
struct error log_sync(struct log *log);
/* L3. */
void log_fail(struct log *log);
/* Takes back a group that is durable but cannot be answered: the pack ends at `before`, which is log_position() from
 * before the group and within this pack. A crash before the next pack states that end brings the group back. */
void log_revoke(struct log *log, const struct log_position *before);
/* Whether the bytes at `offset` of a pack, which this run wrote, count: false beyond the place where a failure ended it,
 * and where so many failures came since that it is not known. */
bool log_holds(const struct log *log, uint64_t pack, uint64_t offset);
/* Whether all that was written is proven by a `synced` of a later record; if not a BARRIER is due. */
bool log_wants_barrier(const struct log *log);
struct error log_barrier(struct log *log);
/* The newest pack and the first offset behind what is durable. */
struct log_position log_position(const struct log *log);
uint64_t log_pack_number(const struct log *log); /* 0: none open */

#endif
