/* Layer: index/pack. The end of a full pack: a table of its logical records, and the proof that nothing was altered.
 *
 * Behind END stand TABLE records (zstd over the logical records of the pack, each as offset, header and payload) and,
 * as the very last bytes of the file, one SEAL record of fixed size: u64 END, u64 offset of the first TABLE record, u64
 * number of TABLE records, u64 logical records, u64 first LSN, u64 last LSN, 32 bytes: the seal of the pack before it
 * (zeros if there is none or it has none), 32 bytes: SHA-256 over that and all bytes of the file before the SEAL
 * record's header. The table lets a rebuild read one sequential stretch instead of hopping through gigabytes.
 *
 *  E1  All that a seal covers is durable before the seal is written: a power cut keeps sectors in any order, and a seal
 *      that reads must be true all the same. [seal_waits_for_what_it_covers, cut_between_pack_switch_and_seal,
 *      cut_in_the_table_of_a_seal, cut_in_the_seal]
 *  E2  A seal states the one before it only when that one is durable (seal_chain). [fault_simulate, plan crowd,
 *      calls seal-sync]
 */
#ifndef INDEX_PACK_SEAL_H
#define INDEX_PACK_SEAL_H

#include "index/pack/packs.h"

#define SEAL_SIZE 112

struct seal {
    uint64_t end, table, tables, records, first_lsn, last_lsn;
    uint8_t previous[32];
    uint8_t sha256[32];
};

/* ERROR_NOT_FOUND: the pack has no valid seal. */
struct error seal_read(struct packs *packs, uint64_t number, struct seal *seal);
/* Seals a pack that has a successor: reads it through, appends table and seal, syncs. Slow (a second a gigabyte): run
 * it beside the writer. A damaged pack is not sealed: ERROR_DAMAGED. Once `*stop` (which may be NULL) is true it gives up
 * with ERROR_BUSY, and nothing is sealed. */
struct error seal_pack(struct packs *packs, uint64_t number, uint64_t end, const uint8_t previous[32],
                       const struct io_ops *io, const _Atomic bool *stop);
/* Seals every pack that has a successor and no seal, oldest first: each seal holds the one before. Failures are logged.
 * `*durable_to`, the caller's for a run and 0 at first: seals up to that pack are known to be on the disk (E2). */
void seal_chain(struct packs *packs, const struct io_ops *io, const _Atomic bool *stop, uint64_t *durable_to);
/* The logical records of a sealed pack from its table, proven by their checksums. `*sealed` false: no valid seal,
 * nothing was called. */
struct error seal_scan(struct packs *packs, uint64_t number, uint64_t end,
                       struct error (*record)(void *context, uint64_t number, const struct scan_record *record),
                       void *context, bool *sealed);
/* Compares the SHA-256 of the file with its seal. */
struct error seal_verify(struct packs *packs, uint64_t number, const struct seal *seal);

#endif
