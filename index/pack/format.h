/* Layer: index/pack. The bytes of a pack: header, records, fields. pacs-pack(5) is this file in words.
 *
 * Pure functions over bytes, little-endian, any thread. Nothing here reads or writes files.
 */
#ifndef INDEX_PACK_FORMAT_H
#define INDEX_PACK_FORMAT_H

#include "codecs/base/buf.h"

#include <stddef.h>

#define PACK_FORMAT 1
#define PACK_HEADER_MIN 104 /* without replaced packs */
#define PACK_NUMBER_MAX (UINT32_MAX - 1)
#define PACK_REPLACED_MAX 4096
#define RECORD_HEADER_SIZE 64
#define RECORD_PAYLOAD_MAX (UINT32_C(64) << 20)
#define RECORD_ALIGN 8

/* A pack that this one replaces (compaction), with the SHA-256 of its seal. */
struct pack_replaced {
    uint64_t number;
    uint8_t seal[32];
};

struct pack_header {
    uint8_t uuid[16];
    uint64_t number;
    uint64_t first_lsn;    /* of the first logical record in it, or the next one given if it stays empty */
    uint64_t previous;     /* number of the pack before it; 0: none */
    uint64_t previous_end; /* where that one ends: beyond it nothing counts */
    uint64_t created_ns;
    uint32_t replaced_count; /* entries at pack_header_replaced() */
    uint32_t size;           /* of the whole header: records begin here */
};

/* Numbers are permanent. Those of later issues are reserved here, so that no two features meet on one. */
enum record_type {
    RECORD_CHUNK = 1, /* bytes of an instance; no LSN: it belongs to the INSTANCE that lists it */
    RECORD_INSTANCE = 2,
    RECORD_DUPLICATE = 3, /* a data set that is here came again: its origin */
    RECORD_DICTIONARY = 4,
    RECORD_BARRIER = 5, /* all before `synced` was durable; no LSN */
    RECORD_SEAL = 6,    /* the last of a pack; no LSN */
    RECORD_TABLE = 7,   /* a part of the seal's table of records; no LSN */
    RECORD_PATIENT_UPDATE = 16,
    RECORD_MERGE = 17,
    RECORD_STUDY_UPDATE = 18,
    RECORD_TOMBSTONE = 19,
    RECORD_UNDELETE = 20,
    RECORD_HL7 = 24,
    RECORD_ORDER = 25,
    RECORD_STEP = 26,
    RECORD_QUEUE = 27,
};

struct record_header {
    uint8_t type;
    uint8_t flags;             /* none defined yet: written 0, ignored when read */
    uint64_t length;           /* of the payload, without padding */
    uint64_t payload_checksum; /* XXH3-64 */
    uint64_t lsn;              /* 0: no logical record */
    uint64_t time_ns;          /* since 1970, UTC; never decreases from one logical record to the next */
    uint64_t synced;           /* this pack was durable up to here when the record was written */
};

/* Bytes that a record takes, header, payload and padding. */
static inline uint64_t record_extent(uint64_t length)
{
    return RECORD_HEADER_SIZE + (length + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

void pack_header_write(struct buf *out, const struct pack_header *header, const struct pack_replaced *replaced);
/* `size` bytes from the start of a pack (all of the file if it is short). ERROR_DAMAGED: no valid header (torn, another
 * file); ERROR_UNSUPPORTED: a format or an incompatible feature that this version does not know. */
struct error pack_header_read(struct pack_header *header, const uint8_t *bytes, size_t size);
/* The index-th replaced pack of a header that was read from `bytes`. */
void pack_header_replaced(const uint8_t *bytes, unsigned index, struct pack_replaced *replaced);

/* The seed of header checksums: stale blocks of another archive, pack or place never pass. */
uint64_t record_seed(const uint8_t uuid[16], uint64_t pack, uint64_t offset);
void record_header_write(uint8_t to[RECORD_HEADER_SIZE], const struct record_header *header, uint64_t seed);
/* Whether the 64 bytes are the header of a record at the place that `seed` stands for, within the limits. */
bool record_header_read(struct record_header *header, const uint8_t from[RECORD_HEADER_SIZE], uint64_t seed);

/* ---- payloads: fields ------------------------------------------------------------------------------------------- */

/* The payload of a logical record is a sequence of fields: number (2 bytes), 0 (2 bytes), length (4 bytes), value. A
 * reader passes over numbers that it does not know. Numbers are permanent. */
enum field {
    FIELD_SHA256 = 1,    /* of the data set as sent */
    FIELD_DATA_SIZE = 2, /* u64: its length */
    FIELD_SYNTAX = 3,    /* transfer syntax UID */
    FIELD_CHUNKS = 4,    /* chunk_place entries in order */
    FIELD_META = 5,      /* what stands before the data set, behind 128 zero bytes */
    FIELD_PREFIX = 6,    /* the same where the preamble is not zeros or there is none: all of it */
    FIELD_PIXEL = 7,     /* u64 offset of the value of Pixel Data, u64 first byte behind the element */
    FIELD_ATTRIBUTE = 8, /* u32 tag, UTF-8 text; once an attribute */
    FIELD_SHAPE = 9,     /* see shape_write() */
    FIELD_JSON = 10,     /* u8 version of the generator, u64 size of the text */
    FIELD_POSITION = 11, /* IEEE 754 double: millimetres along the normal of the plane */
    FIELD_ORIGIN = 12,   /* how, calling AE, called AE, address, implementation, file, our version; NUL behind each */
    FIELD_ASSOCIATION = 13, /* u64 */
    FIELD_FOLDER = 20,      /* decision: u64 id, u64 number in the parent, u8 new, name; in full also where not new */
    FIELD_PATIENT = 21,
    FIELD_STUDY = 22,
    FIELD_SERIES = 23,
    FIELD_INSTANCE = 24,
    FIELD_PATIENT_KEY = 25, /* the identity under which later images find the patient */
    FIELD_VERDICT = 26,     /* u8 ingest_verdict, u8 0, u16 0, u32 version, u32 instance flags, u32 0, u64 id that it
                               supersedes or heals (0: none) */
    FIELD_CONFLICT = 27,    /* u64 other object, kind NUL text; any number of times */
    FIELD_DICTIONARY = 30,  /* the bytes of a zstd dictionary */
    FIELD_SEAL = 31,        /* see seal_write() */
    FIELD_COPY_OF = 32,     /* u64 LSN of the DICTIONARY record that this one repeats */
};

/* Where a chunk of a data set stands. 32 bytes: u64 raw end, u64 pack, u64 offset, u32 record payload, u32 raw size. */
struct chunk_place {
    uint64_t raw_end; /* bytes of the data set up to and with this chunk */
    uint64_t pack;
    uint64_t offset; /* of its record's header */
    uint32_t length; /* of its record's payload */
    uint32_t raw_size;
};
#define CHUNK_PLACE_SIZE 32
void chunk_place_write(struct buf *out, const struct chunk_place *place);
struct chunk_place chunk_place_read(const uint8_t *from);

/* The payload of a CHUNK: u8 codec, 3 x 0, u32 raw size, u64 XXH3-64 of the raw bytes, u64 LSN of its dictionary (0:
 * none), the stored bytes. */
#define CHUNK_HEADER_SIZE 24
struct chunk_header {
    uint8_t codec;
    uint32_t raw_size;
    uint64_t raw_checksum;
    uint64_t dictionary;
};
void chunk_header_write(uint8_t to[CHUNK_HEADER_SIZE], const struct chunk_header *header);
struct chunk_header chunk_header_read(const uint8_t from[CHUNK_HEADER_SIZE]);

void field_bytes(struct buf *out, enum field field, const void *value, size_t size);
void field_u64(struct buf *out, enum field field, uint64_t value);
void field_text(struct buf *out, enum field field, const char *text);
/* Room for a value of `size` bytes that the caller fills in: its offset in out->data, or SIZE_MAX. */
size_t field_open(struct buf *out, enum field field, size_t size);

struct field_view {
    unsigned field;
    const uint8_t *value;
    uint32_t size;
};
/* Steps through a payload: `*at` starts at 0. False at the end or where a length does not fit (`*at` is then not the
 * payload's size: damaged). */
bool field_next(const uint8_t *payload, size_t size, size_t *at, struct field_view *view);
/* The first field of a number; false: none. */
bool field_find(const uint8_t *payload, size_t size, enum field field, struct field_view *view);

#endif
