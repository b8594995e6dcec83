/* Layer: index/ingest. A data set that has arrived beside what is here under its SOP Instance UID (design section 4,
 * Versions). Runs in the ingest's thread, before the writer decides. */
#ifndef INDEX_INGEST_COMPARE_H
#define INDEX_INGEST_COMPARE_H

#include "index/fold/record.h"
#include "index/log/writer.h"

/* Beyond this size a data set is not decoded to find out whether it is a variant: it counts as another version. */
#define COMPARE_PIXELS_MAX (UINT64_C(128) << 20)

struct comparison {
    uint64_t compared_to; /* the newest edition with this instance UID that was looked at */
    uint64_t same_as;     /* the same data set, bit for bit, in the same syntax */
    bool same_holds;      /* and every chunk of it reads back */
    bool same_prefix;
    bool same_lost;    /* its record cannot be read, and its preamble and meta header were not as long as these */
    struct buf chunks; /* its list of chunks */
    struct buf prefix; /* what it has before its data set, if its record can be read: a healed file keeps it */
    bool zero_preamble, has_prefix;
    uint64_t variant_of; /* the same elements and decoded pixels in another syntax */
};

/* `record`: identity, SHA-256, length, syntax and prefix are set. The incoming bytes are `places` (written) and
 * `chunks` (not yet). */
struct error compare(struct pacs *pacs, const struct instance_record *record, const struct write_chunk *chunks,
                     size_t chunk_count, const struct buf *places, struct comparison *comparison);
void comparison_release(struct comparison *comparison);

#endif
