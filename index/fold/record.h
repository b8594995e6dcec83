/* Layer: index/fold. The payload of an INSTANCE or DUPLICATE record as a struct. Bytes are in pacs-pack(5). */
#ifndef INDEX_FOLD_RECORD_H
#define INDEX_FOLD_RECORD_H

#include "index/index.h"
#include "index/pack/format.h"

#define CONFLICTS_MAX 8 /* an instance can meet each kind once */

/* What was decided about one level: the object that the instance belongs to. Every record says it in full, so that a
 * damaged one, which created a level, costs its own image and no other. */
struct decision {
    uint64_t id;      /* 0: none (no folder above patients) */
    uint64_t number;  /* in its parent */
    bool created;     /* by this record */
    const char *name; /* NUL-terminated */
};

struct conflict_note {
    uint64_t other;
    const char *kind, *text;
};

struct instance_record {
    uint8_t sha256[32];
    uint64_t data_size;
    const char *syntax;
    const uint8_t *chunks; /* chunk_count * CHUNK_PLACE_SIZE */
    size_t chunk_count;
    const uint8_t *prefix; /* what stands before the data set ... */
    size_t prefix_size;
    bool zero_preamble; /* ... behind 128 zero bytes that are not stored */
    uint64_t pixel_offset, pixel_end;
    struct attributes attributes; /* of all levels */
    struct pixel_shape shape;
    uint8_t json_version;
    uint64_t json_size;
    double position;
    bool has_position;
    const char *origin[7]; /* how, calling AE, called AE, address, implementation, file, our version */
    uint64_t association;
    struct decision folder, patient, study, series, instance;
    const char *patient_key;
    enum ingest_verdict verdict;
    uint32_t version, flags;
    uint64_t supersedes; /* or heals, or (DUPLICATE) what it is the same as */
    struct conflict_note conflicts[CONFLICTS_MAX];
    unsigned conflict_count;
};

void instance_record_write(struct buf *out, const struct instance_record *record);
/* Pointers of `record` lead into `payload` and, for texts and attributes, into `texts`, which the caller releases after
 * use. ERROR_DAMAGED when fields do not hold together. */
struct error instance_record_read(struct instance_record *record, struct buf *texts, const uint8_t *payload,
                                  size_t size);
/* Bytes of preamble and meta header. */
uint64_t instance_record_prefix_size(const struct instance_record *record);

#endif
