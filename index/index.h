/* Layer: index. The archive as fs/ and net/ see it: open, read rows, read files, put data sets in.
 *
 * Caveats, each a hazard and its cure:
 * - A read transaction (pacs_begin) pins old index pages: hold it for one operation, microseconds to milliseconds,
 *   never while waiting for a peer, a lock or a decoder. Rows and all text in them point into the transaction and die
 *   with it. A transaction may be used by one thread at a time and may end in another.
 * - pacs_open() maps the index: daemonise (fork) before, never after.
 * - After `rebuild` the index is another file: pacs_begin() follows by itself; ids, numbers and names stay the same.
 * - Opening the LMDB lock file by other means and closing it drops our locks: nothing but this layer touches index/.
 * Any thread may call anything unless a function says otherwise. LMDB types do not leave index/db/.
 */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include "codecs/base/cache.h"
#include "codecs/base/error.h"
#include "codecs/pixel/pixel.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pacs;     /* an opened archive */
struct pacs_txn; /* a read transaction */

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* archive.conf: what `init` decided. Owned by the pacs. */
struct archive_conf {
    int64_t format;
    uint8_t uuid[16];
    char *uuid_text;
    char *timezone;     /* a name of the tz database, for folders by date and hour */
    char *patients;     /* flat, initial, idtail */
    char *patient_name; /* templates, see names.h; fields: patient_fields() and so on */
    char *study_name;
    char *series_name;
    char *instance_name;
    int64_t quiet_ms;   /* a series has settled this long after its last arrival */
    int64_t created_ns; /* when init ran: the date of what is older than the first image */
};

enum pacs_mode {
    PACS_READ,    /* needs no daemon and takes no lock; recovers first if it must and may */
    PACS_WRITE,   /* takes the writer's lock: ERROR_BUSY if another process (normally pacsd) holds it */
    PACS_REBUILD, /* as PACS_WRITE, but makes the index anew from the packs, whatever state it is in */
};

struct pacs_options {
    enum pacs_mode mode;
    int64_t cache_bytes;      /* decoded chunks, headers, rendered frames */
    int64_t pack_bytes;       /* a pack is closed at this size */
    int64_t reserve_bytes;    /* free space below which no store is begun */
    int64_t quarantine_bytes; /* the oldest are deleted beyond it */
    int64_t zstd_level;
    const char *const *placeholders; /* more texts that identify nobody; NULL-terminated, may be NULL */
    /* Rebuild and verify call it now and then with what is done and the whole, in bytes. May be NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t all);
    void *progress_context;
};

/* Sensible values; mode PACS_READ. */
struct pacs_options pacs_options_default(void);
/* Makes the folder and what an empty archive has. ERROR_REFUSED: not empty. `conf` may have NULL members: defaults
 * (uuid is made; the time zone is the machine's). ERROR_USAGE: a template or time zone that does not hold. */
struct error pacs_init(const char *path, const struct archive_conf *conf);
struct error pacs_open(struct pacs **pacs, const char *path, const struct pacs_options *options);
void pacs_close(struct pacs *pacs);
const struct archive_conf *pacs_conf(const struct pacs *pacs);
const char *pacs_path(const struct pacs *pacs);
struct cache *pacs_cache(struct pacs *pacs);

/* Local (archive's time zone) calendar time of nanoseconds since 1970. */
struct pacs_date {
    int year, month, day, hour, minute, second;
};
struct pacs_date pacs_local_time(const struct pacs *pacs, uint64_t time_ns);

/* ---- the clock: what has been committed ------------------------------------------------------------------------- */

/* The newest object id that is visible, read from shared memory without a system call. */
uint64_t pacs_newest(const struct pacs *pacs);
/* Waits until pacs_newest() differs from `seen` or `timeout_ms` has passed; true if it differs. */
bool pacs_wait(struct pacs *pacs, uint64_t seen, int timeout_ms);

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* Every patient, study, series and instance edition, and every folder above patients, has an id from one counter:
 * unique, ordered by arrival, below 2^38, never used again. Id 1 is the root (the parent of all patients). */
#define PACS_ROOT UINT64_C(1)
#define PACS_ID_BITS 38

/* Attribute values in UTF-8, by tag (PS3.6); "" when the data set has none. Text lives in the transaction. */
struct attributes {
    const uint8_t *data;
    size_t size;
};
const char *attribute(const struct attributes *attributes, uint32_t tag);

#define TAG_SOP_CLASS 0x00080016
#define TAG_SOP_INSTANCE 0x00080018
#define TAG_STUDY_DATE 0x00080020
#define TAG_SERIES_DATE 0x00080021
#define TAG_STUDY_TIME 0x00080030
#define TAG_SERIES_TIME 0x00080031
#define TAG_ACCESSION 0x00080050
#define TAG_MODALITY 0x00080060
#define TAG_MANUFACTURER 0x00080070
#define TAG_INSTITUTION 0x00080080
#define TAG_REFERRING_PHYSICIAN 0x00080090
#define TAG_STATION_NAME 0x00081010
#define TAG_STUDY_DESCRIPTION 0x00081030
#define TAG_SERIES_DESCRIPTION 0x0008103E
#define TAG_MODEL 0x00081090
#define TAG_PATIENT_NAME 0x00100010
#define TAG_PATIENT_ID 0x00100020
#define TAG_PATIENT_ID_ISSUER 0x00100021
#define TAG_PATIENT_BIRTH_DATE 0x00100030
#define TAG_PATIENT_SEX 0x00100040
#define TAG_BODY_PART 0x00180015
#define TAG_PROTOCOL_NAME 0x00181030
#define TAG_STUDY_UID 0x0020000D
#define TAG_SERIES_UID 0x0020000E
#define TAG_STUDY_ID 0x00200010
#define TAG_SERIES_NUMBER 0x00200011
#define TAG_INSTANCE_NUMBER 0x00200013
#define TAG_FRAME_OF_REFERENCE 0x00200052

enum object_kind { OBJECT_FOLDER = 1, OBJECT_PATIENT, OBJECT_STUDY, OBJECT_SERIES, OBJECT_INSTANCE };

/* A directory: folder above patients, patient, study, series. One shape for all, so that a view need not ask. */
struct object_row {
    enum object_kind kind;
    uint64_t id;
    uint64_t parent;     /* folder: PACS_ROOT; patient: PACS_ROOT or its folder; study: patient; series: study */
    uint64_t number;     /* permanent number in the parent: order of arrival, from 1; the readdir cookie */
    const char *name;    /* of the directory, as recorded */
    uint64_t created_ns; /* when the first instance below arrived */
    uint64_t list_ns;    /* newest change of its own list: the directory's mtime */
    uint64_t changed_ns; /* newest change anywhere below */
    uint64_t newest;     /* id of the newest instance edition below */
    uint64_t children;   /* directories or, for a series, rows (shown or not) */
    uint64_t instances;  /* shown instances below */
    uint64_t bytes;      /* sum of their .dcm sizes */
    struct attributes attributes; /* constant ones of this level, from the first instance; none for folders */
};

#define INSTANCE_NAME_MAX 128

enum instance_flag {
    INSTANCE_SHOWN = 1,      /* the one that the tree shows (until `superseded`) */
    INSTANCE_VARIANT = 2,    /* the same image in another syntax or with another preamble or meta header: not shown */
    INSTANCE_CONFLICT = 4,   /* another version that did not replace the shown one */
    INSTANCE_LOSSY = 8,      /* (0028,2110) or its syntax */
    INSTANCE_ELSEWHERE = 16, /* the same study, series and SOP instance UID stood under another patient first */
    INSTANCE_POSITION = 32,  /* `position` is known */
    INSTANCE_NUMBERED = 64,  /* `instance_number` is known */
};

/* One edition of one instance. */
struct instance_row {
    uint64_t id;         /* of this edition */
    uint64_t series;     /* id */
    uint64_t number;     /* permanent number of this edition in the series: the readdir cookie */
    uint64_t superseded; /* id of the edition that took its place; 0: none */
    uint64_t lsn;
    uint64_t time_ns;             /* when this edition was recorded: mtime */
    uint32_t flags;               /* enum instance_flag */
    uint32_t version;             /* counts what arrived for the same study, series and instance UID, from 1 */
    char name[INSTANCE_NAME_MAX]; /* without suffix: "0042" */
    char uid[65];                 /* SOP Instance UID */
    char sop_class[65];
    uint8_t syntax;       /* code, see syntax.h */
    uint32_t prefix_size; /* preamble and meta header */
    uint64_t size;        /* of the .dcm file: prefix and data set */
    uint64_t json_size;   /* of the JSON model text, of this version of its generator: */
    uint8_t json_version;
    int64_t instance_number;
    double position;          /* millimetres along the normal of its plane (PS3.3 C.7.6.2) */
    struct pixel_shape shape; /* bits_allocated 0: no top-level pixel data */
    uint32_t origin;          /* see pacs_origin() */
    uint64_t digest;          /* the first 8 bytes of the data set's SHA-256 */
    uint32_t pack;            /* where the INSTANCE record stands */
    uint64_t offset;
    uint32_t lead; /* bytes before the record that are this instance's own chunks, contiguous */
};

/* Whether an edition is what the tree shows as of object id `as_of` (UINT64_MAX: now). */
static inline bool instance_shown(const struct instance_row *row, uint64_t as_of)
{
    return row->id <= as_of && (row->flags & INSTANCE_SHOWN) && (!row->superseded || row->superseded > as_of);
}

struct origin_row {
    const char *how;        /* "DIMSE", "import" */
    const char *calling_ae; /* "" where there is none */
    const char *called_ae;
    const char *address; /* without port; for import: the user's name */
};

struct error pacs_begin(struct pacs *pacs, struct pacs_txn **txn);
void pacs_end(struct pacs_txn *txn);

/* ERROR_NOT_FOUND where there is none: the only expected failure of these. `txn` first; rows are filled. */
struct error pacs_object(struct pacs_txn *txn, uint64_t id, struct object_row *row);
/* The child directory behind `after` in order of number (0: the first). For a series there are none. */
struct error pacs_next_child(struct pacs_txn *txn, uint64_t parent, uint64_t after, struct object_row *row);
struct error pacs_child_by_name(struct pacs_txn *txn, uint64_t parent, const char *name, struct object_row *row);
/* All objects of a kind in order of id; `after` an id. OBJECT_FOLDER to OBJECT_SERIES. */
struct error pacs_next_object(struct pacs_txn *txn, enum object_kind kind, uint64_t after, struct object_row *row);

/* By id of the edition, whatever happened since. */
struct error pacs_instance(struct pacs_txn *txn, uint64_t id, struct instance_row *row);
/* Rows of a series behind `after` in order of number: editions of every sort, see instance_shown(). One cursor step a
 * row while called in order with the same transaction. */
struct error pacs_next_instance(struct pacs_txn *txn, uint64_t series, uint64_t after, struct instance_row *row);
struct error pacs_instance_by_name(struct pacs_txn *txn, uint64_t series, const char *name, struct instance_row *row);
/* The first edition with an id above `after`: what arrived, in order of arrival. Also the way to learn what changed. */
struct error pacs_next_arrival(struct pacs_txn *txn, uint64_t after, struct instance_row *row);
/* The first arrival of LSN `lsn` or later: the id to give to pacs_next_arrival() is one less. */
struct error pacs_arrival_of_lsn(struct pacs_txn *txn, uint64_t lsn, uint64_t *id);

/* UIDs: every object with that UID, in order of id; `after` an id. An instance UID yields editions. */
struct error pacs_next_study_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct object_row *row);
struct error pacs_next_series_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct object_row *row);
struct error pacs_next_instance_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct instance_row *row);

/* Secondary keys: ids of objects with that value (folded as names are), in order of id. */
enum secondary {
    SECONDARY_PATIENT_ID = 1, /* patients */
    SECONDARY_PATIENT_NAME,   /* patients; key: person_fold() */
    SECONDARY_STUDY_DATE,     /* studies; YYYYMMDD */
    SECONDARY_ACCESSION,      /* studies */
    SECONDARY_MODALITY,       /* series */
};
struct error pacs_next_by_key(struct pacs_txn *txn, enum secondary kind, const char *value, uint64_t after,
                              uint64_t *id);
/* The same under the name that a folder shows for the value (name_component of it, folded): for ids/. */
struct error pacs_next_by_key_name(struct pacs_txn *txn, enum secondary kind, const char *name, uint64_t after,
                                   uint64_t *id);
/* Keys of a kind that begin with `prefix`, in order; `after` a key or NULL. The key is copied into `key` (512 bytes).
 */
struct error pacs_next_key(struct pacs_txn *txn, enum secondary kind, const char *prefix, const char *after,
                           char key[512]);

struct error pacs_origin(struct pacs_txn *txn, uint32_t origin, struct origin_row *row);

/* Hours in which something arrived, in the archive's time zone; key YYYYMMDDHH. */
struct hour_row {
    uint32_t hour;
    uint64_t first; /* id of its first edition; the next hour's first bounds it */
    uint64_t last;  /* id of its newest edition */
    uint64_t count;
    uint64_t first_ns, last_ns;
};
struct error pacs_next_hour(struct pacs_txn *txn, uint32_t after, struct hour_row *row);
struct error pacs_hour(struct pacs_txn *txn, uint32_t hour, struct hour_row *row);

struct pacs_counts {
    uint64_t patients, studies, series, instances, editions, duplicates, conflicts;
    uint64_t bytes;       /* of the .dcm files shown */
    uint64_t lsn;         /* the newest applied */
    uint64_t newest;      /* object id */
    uint64_t index_bytes; /* used pages */
};
struct error pacs_counts(struct pacs_txn *txn, struct pacs_counts *counts);

struct pacs_stored {
    uint64_t packs, sealed;
    uint64_t bytes; /* of all packs */
};
/* Opens every pack: for a person who asks, not for each request. */
struct error pacs_stored(struct pacs *pacs, struct pacs_stored *stored);

/* What a person should look at. */
struct conflict_row {
    uint64_t id; /* number of the conflict */
    uint64_t lsn;
    uint64_t time_ns;
    const char *kind; /* "names", "patients", "study-patients", "series-studies", "instance-series", "version" */
    uint64_t object;  /* the object that arrived last */
    uint64_t other;   /* what it stands beside */
    const char *text; /* one line for people, with UIDs and no names of patients */
};
struct error pacs_next_conflict(struct pacs_txn *txn, uint64_t after, struct conflict_row *row);

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* The bytes of one edition: `prefix_size` bytes of preamble and meta header, then the data set as sent. Readers check
 * every chunk's checksum. ERROR_DAMAGED names pack, offset and UID. Close gives the reference back. */
struct instance_file;
struct error pacs_file_open(struct pacs *pacs, uint64_t id, struct instance_file **file);
void pacs_file_close(struct instance_file *file);
uint64_t pacs_file_size(const struct instance_file *file);
/* Reads up to `size` bytes at `offset`; `*got` less only at the end of the file. */
struct error pacs_file_read(struct instance_file *file, uint64_t offset, void *to, size_t size, size_t *got);
/* Facts of its record. Pixel value field in the data set as read by the reader; pixel_end 0: no pixel data. */
struct instance_facts {
    uint32_t prefix_size;
    uint64_t data_size;    /* of the data set as sent */
    uint64_t pixel_offset; /* of the value of Pixel Data, in the data set (inflated, if it is deflated) */
    uint64_t pixel_end;    /* first byte behind the pixel data element */
    const struct syntax *syntax;
    uint8_t sha256[32]; /* of the data set */
    char study_uid[65], series_uid[65], uid[65];
};
void pacs_file_facts(const struct instance_file *file, struct instance_facts *facts);
/* Feeds the data set to `handler` as tokens of a deep reader, without reading the pixels where they can be passed
 * over (DATASET_PIXEL_BEGIN, then DATASET_PIXEL_END, no fragments). capture_max as in dataset.h. */
struct error pacs_file_tokens(struct instance_file *file, size_t capture_max, dataset_handler handler, void *context);
/* A source for codecs/pixel over the file's pixel value; valid while the file is open. For deflated syntaxes the data
 * set is inflated into memory, up to PIXEL_FRAME_MAX. Release with pacs_pixels_release(). */
struct error pacs_pixels(struct instance_file *file, struct pixel_source *source);
void pacs_pixels_release(struct pixel_source *source);

/* ---- the way in ------------------------------------------------------------------------------------------------- */

/* Where a data set came from; kept in its record. Text may be NULL. Borrowed until ingest_finish returns. */
struct origin {
    const char *how; /* "DIMSE", "import" */
    const char *calling_ae, *called_ae, *address;
    const char *implementation; /* the peer's Implementation Class UID and version, for the record */
    const char *file;           /* import: the path given */
    const char *issuer;         /* default Issuer of Patient ID of that AE */
    uint64_t association;       /* number, within this run of the daemon */
    bool known;                 /* a configured peer (or import by the archive's owner), not a stranger */
};

enum ingest_verdict {
    INGEST_STORED,    /* new, and shown */
    INGEST_DUPLICATE, /* nothing stored: the same data set is here, and its bytes hold */
    INGEST_HEALED,    /* the same data set was here, damaged: stored again */
    INGEST_VARIANT,   /* stored; the same image in another syntax, preamble or meta header */
    INGEST_VERSION,   /* stored and shown in place of the earlier one */
    INGEST_CONFLICT,  /* stored, not shown: the earlier one stays */
};
const char *ingest_verdict_name(enum ingest_verdict verdict);

struct ingest_result {
    enum ingest_verdict verdict;
    uint64_t lsn;
    uint64_t id; /* of the edition (for a duplicate: the one that is here) */
    char study_uid[65], series_uid[65], uid[65], sop_class[65];
    char remark[160]; /* "" or what a sender should be told (DIMSE 0xB000/0xB007), or what was odd */
};

struct ingest;

/* What was announced for a data set from the network. */
struct ingest_announced {
    const char *sop_class, *sop_instance; /* of the C-STORE command; NULL for files */
    const struct syntax *syntax;
    const char *syntax_uid; /* as negotiated (row 0 has no UID of its own) */
};

/* Only with PACS_WRITE. ERROR_FULL when the reserve is reached. One thread at a time per ingest. Memory per ingest is
 * bounded (a few chunks and the captured values), back-pressure blocks feed. */
struct error ingest_begin(struct pacs *pacs, const struct origin *origin, const struct ingest_announced *announced,
                          struct ingest **ingest);
/* For a file: the bytes before the data set, kept as they are (may be called before the first feed only). */
struct error ingest_prefix(struct ingest *ingest, const void *bytes, size_t size);
/* Never blocks for good; after a failure the bytes are swallowed and ingest_finish returns it. Bytes are kept for the
 * quarantine as far as its bound allows. */
void ingest_feed(struct ingest *ingest, const void *bytes, size_t size);
/* Waits until the instance is durable and in the index. Frees the ingest, whatever comes out. On failure what was
 * received is in quarantine/ with its reason (when its fault lies in the data). */
struct error ingest_finish(struct ingest *ingest, struct ingest_result *result);
/* Drops what came so far (association lost). Frees the ingest. */
void ingest_abort(struct ingest *ingest);

/* A whole file from `read` (returns bytes got, 0 at the end, -1 with errno): preamble and meta header are read and
 * kept, then the data set. ERROR_MALFORMED when it is no DICOM: the message says what it looks like. */
typedef long (*ingest_read)(void *context, void *to, size_t size);
struct error ingest_file(struct pacs *pacs, const struct origin *origin, ingest_read read, void *context,
                         struct ingest_result *result);

/* Figures of the running writer, for `status`. */
struct writer_stats {
    uint64_t batches, records, bytes, syncs, queue, queue_max, failed_writes, checkpoints;
    uint64_t pool_threads;
};
void pacs_writer_stats(struct pacs *pacs, struct writer_stats *stats);

/* ---- checking --------------------------------------------------------------------------------------------------- */

/* One finding of verify: `text` names pack, offset, UID and what to do. Severity: damage, or a note (a void tail). */
typedef void (*verify_finding)(void *context, bool damage, const char *text);
struct verify_result {
    uint64_t packs, records, chunks, instances, bytes, damaged;
};
/* Reads every record and chunk, compares checksums, SHA-256 of data sets and seals, and the index with the log.
 * Needs no lock. Success whatever it found; findings tell. */
struct error pacs_verify(struct pacs *pacs, verify_finding finding, void *context, struct verify_result *result);

#ifdef __cplusplus
}
#endif
#endif
