/* Layer: index/pack. Reading packs: which there are, their chain, records at a place, records in order.
 *
 * Files are read with pread and never mapped (a cut file would be SIGBUS). At most PACKS_OPEN_MAX descriptors are kept.
 * Any thread.
 */
#ifndef INDEX_PACK_PACKS_H
#define INDEX_PACK_PACKS_H

#include "codecs/base/buf.h"
#include "index/pack/format.h"
#include "index/pack/io.h"

#define PACKS_OPEN_MAX 64

struct packs;

/* One pack of the chain, as its own header and its successor's state it. */
struct pack_info {
    struct pack_header header;
    uint64_t file_size;
    uint64_t end;  /* stated by the successor; 0 for the newest pack: see pack_find_end() */
    bool valid;    /* the header holds; else `why` */
    bool headless; /* ours by name, but the header does not hold: never made, or damaged; records may follow */
    bool foreign;  /* the header holds, and names another archive */
    char why[160];
};

/* Whether its making was cut before it was synced: it never took a record, and that is no fault. */
static inline bool pack_given_up(const struct pack_info *pack)
{
    return pack->headless && !pack->end && pack->file_size <= PACK_HEADER_MIN;
}

struct error packs_new(struct packs **packs, const char *folder, const uint8_t uuid[16], const struct io_ops *io);
void packs_free(struct packs *packs);
const uint8_t *packs_uuid(const struct packs *packs);
/* All files NNNNNNNN.pack by number, with the chain resolved. The array is malloc'ed, the caller frees it.
 * ERROR_UNSUPPORTED: a newer version has compacted packs; reading them in this order would lose records. */
struct error packs_list(struct packs *packs, struct pack_info **list, size_t *count);
/* The path of a pack; `to` holds PATH_MAX bytes. */
void packs_path(const struct packs *packs, uint64_t number, char *to);
struct error packs_read(struct packs *packs, uint64_t number, uint64_t offset, void *to, size_t size);
/* Asks the system to bring these bytes in, without waiting. */
void packs_prefetch(struct packs *packs, uint64_t number, uint64_t offset, uint64_t size);
/* The record at a place, its header and payload proven by their checksums. `payload` is cleared first. `guess` is how
 * many bytes to read at once (header included) when it is known, else 0. ERROR_DAMAGED names pack and offset. */
struct error packs_record(struct packs *packs, uint64_t number, uint64_t offset, size_t guess,
                          struct record_header *header, struct buf *payload);
/* The size of a file now. */
struct error packs_size(struct packs *packs, uint64_t number, uint64_t *size);
/* Makes reads show what the disk has: after a failed sync the page cache shows what it does not have, and no later sync
 * tells. Writes back what is dirty and drops the cache; a failure tells of bytes that are lost, reads are right all the
 * same. With the writer's lock alone. */
struct error packs_settle(struct packs *packs, uint64_t number);

/* ---- records in order ---- */

struct scan_record {
    struct record_header header;
    uint64_t offset;
    const uint8_t *payload; /* NULL where it was passed over */
};

struct scan_options {
    uint64_t from;    /* a record's offset; 0: behind the header */
    uint64_t end;     /* records that begin here or later do not count */
    bool chunk_bytes; /* read the payloads of chunks too, and prove them */
    bool fence;       /* a bad record is damage: report it, search for the next good one, go on. Else: stop there */
    /* A damaged stretch [from, to). */
    void (*damage)(void *context, uint64_t number, uint64_t from, uint64_t to, const char *what);
    struct error (*record)(void *context, uint64_t number, const struct scan_record *record);
    void *context;
};
/* `*stopped`: the offset of the first byte that is no valid record (or `end`). */
struct error pack_scan(struct packs *packs, uint64_t number, const struct scan_options *options, uint64_t *stopped);

/* Where the newest pack ends (pacs-pack(5), Recovery): D is the largest of all valid `synced` and `known` (a
 * checkpoint; 0: none); bad records before D are damage; from D on the contiguous run of records whose header and
 * payload hold is accepted; `*end` is the first failure. `*durable` is D. */
struct error pack_find_end(struct packs *packs, uint64_t number, uint64_t known, uint64_t *durable, uint64_t *end);

#endif
