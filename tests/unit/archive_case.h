/* An archive in the scratch folder and data sets on their way into it, as modalities and `import` bring them. */
#ifndef TESTS_UNIT_ARCHIVE_CASE_H
#define TESTS_UNIT_ARCHIVE_CASE_H

#include "check.h"
#include "dataset_builder.h"
#include "scratch.h"

#include "codecs/dicom/meta.h"
#include "index/archive.h"

static struct pacs *archive;
static struct archive_conf archive_wish; /* for the next archive_make() */
static struct pacs_options archive_options;
static const struct io_ops *archive_io = &io_system;

static inline struct error archive_try_open(enum pacs_mode mode)
{
    archive_options.mode = mode;
    return pacs_open_over(&archive, scratch_path("archive"), &archive_options, archive_io);
}

static inline void archive_open(enum pacs_mode mode)
{
    struct error err = archive_try_open(mode);
    if (err.code) {
        fprintf(stderr, "cannot open the archive: %s\n", error_text(&err));
        exit(1);
    }
}

static inline void archive_close(void)
{
    pacs_close(archive);
    archive = NULL;
}

/* A new one, open for writing. */
static inline void archive_make(void)
{
    archive_close();
    scratch_make();
    archive_options = pacs_options_default();
    archive_options.cache_bytes = 4 << 20;
    archive_options.reserve_bytes = 1 << 20;
    if (!archive_wish.timezone)
        archive_wish.timezone = (char *)"UTC";
    struct error err = pacs_init(scratch_path("archive"), &archive_wish);
    if (err.code) {
        fprintf(stderr, "cannot make an archive: %s\n", error_text(&err));
        exit(1);
    }
    memset(&archive_wish, 0, sizeof archive_wish);
    archive_open(PACS_WRITE);
}

static inline void archive_reopen(enum pacs_mode mode)
{
    archive_close();
    archive_open(mode);
}

static inline void archive_gone(void)
{
    archive_close();
    scratch_remove();
}

/* By C-STORE from `ae`; `known`: a configured peer. */
static inline struct error archive_send_bytes(const struct builder *b, const struct buf *bytes, const char *syntax,
                                              const char *ae, bool known, struct ingest_result *result)
{
    struct origin origin = {
        .how = "DIMSE", .calling_ae = ae, .called_ae = "PACSFS", .address = "192.0.2.1", .known = known};
    struct ingest_announced announced = {b->sop_class, b->sop_instance, syntax_by_uid(syntax), syntax};
    struct ingest *ingest;
    memset(result, 0, sizeof *result);
    TRY(ingest_begin(archive, &origin, &announced, &ingest));
    for (size_t at = 0; at < bytes->size; at += 16384)
        ingest_feed(ingest, bytes->data + at, bytes->size - at < 16384 ? bytes->size - at : 16384);
    return ingest_finish(ingest, result);
}

static inline struct error archive_try_send(const struct builder *b, const char *ae, bool known,
                                            struct ingest_result *result)
{
    struct buf bytes;
    buf_init(&bytes);
    builder_write(b, &bytes);
    struct error err = archive_send_bytes(b, &bytes, BUILDER_EXPLICIT, ae, known, result);
    buf_release(&bytes);
    return err;
}

static inline struct ingest_result archive_send(const struct builder *b, const char *ae, bool known)
{
    struct ingest_result result;
    EXPECT_OK(archive_try_send(b, ae, known, &result));
    return result;
}

struct archive_reading {
    const struct buf *bytes;
    size_t at;
};

static inline long archive_read_some(void *context, void *to, size_t size)
{
    struct archive_reading *r = context;
    if (size > r->bytes->size - r->at)
        size = r->bytes->size - r->at;
    memcpy(to, r->bytes->data + r->at, size);
    r->at += size;
    return (long)size;
}

/* A whole file by `import`. */
static inline struct error archive_import(const struct buf *file, struct ingest_result *result)
{
    struct origin origin = {.how = "import", .address = "user", .file = "test.dcm", .known = true};
    struct archive_reading reading = {file, 0};
    return ingest_file(archive, &origin, archive_read_some, &reading, result);
}

/* The bytes of an edition's file. */
static inline struct error archive_file(uint64_t id, struct buf *out)
{
    struct instance_file *file;
    size_t got;
    buf_clear(out);
    TRY(pacs_file_open(archive, id, &file));
    uint64_t size = pacs_file_size(file);
    uint8_t *to = buf_reserve(out, (size_t)size + 1);
    struct error err = to ? pacs_file_read(file, 0, to, (size_t)size, &got) : buf_error(out);
    if (!err.code)
        out->size = got;
    pacs_file_close(file);
    return err;
}

/* Whether the data set of an edition is exactly `bytes`. */
static inline bool archive_holds(uint64_t id, const struct buf *bytes)
{
    struct buf file;
    buf_init(&file);
    struct error err = archive_file(id, &file);
    bool same = !err.code && file.size >= bytes->size &&
                memcmp(file.data + file.size - bytes->size, bytes->data, bytes->size) == 0;
    if (err.code)
        fprintf(stderr, "%s\n", error_text(&err));
    error_release(&err);
    buf_release(&file);
    return same;
}

/* "patient/study/series/instance" of an edition, the folder above patients in front where there is one. */
static inline const char *archive_path_of(uint64_t id)
{
    static char paths[4][1024];
    static unsigned next;
    char *to = paths[next++ % 4];
    struct pacs_txn *txn;
    struct instance_row row;
    struct object_row o;
    *to = 0;
    EXPECT_OK(pacs_begin(archive, &txn));
    struct error err = pacs_instance(txn, id, &row);
    if (!err.code) {
        snprintf(to, sizeof paths[0], "%s", row.name);
        for (uint64_t up = row.series; !err.code && up != PACS_ROOT; up = o.parent) {
            char rest[1024];
            err = pacs_object(txn, up, &o);
            snprintf(rest, sizeof rest, "%s", to);
            if (!err.code)
                snprintf(to, sizeof paths[0], "%s/%.*s", o.name, (int)(sizeof paths[0] - strlen(o.name) - 2), rest);
        }
    }
    EXPECT_OK(err);
    pacs_end(txn);
    return to;
}

static inline struct instance_row archive_row(uint64_t id)
{
    struct pacs_txn *txn;
    struct instance_row row = {0};
    EXPECT_OK(pacs_begin(archive, &txn));
    EXPECT_OK(pacs_instance(txn, id, &row));
    pacs_end(txn);
    return row;
}

static inline struct pacs_counts archive_counts(void)
{
    struct pacs_txn *txn;
    struct pacs_counts counts = {0};
    EXPECT_OK(pacs_begin(archive, &txn));
    EXPECT_OK(pacs_counts(txn, &counts));
    pacs_end(txn);
    return counts;
}

/* How many conflicts of a kind are listed. */
static inline struct pacs_stored archive_stored(void)
{
    struct pacs_stored stored = {0};
    EXPECT_OK(pacs_stored(archive, &stored));
    return stored;
}

static inline unsigned archive_conflicts(const char *kind)
{
    struct pacs_txn *txn;
    struct conflict_row row;
    unsigned count = 0;
    uint64_t after = 0;
    EXPECT_OK(pacs_begin(archive, &txn));
    for (;;) {
        struct error err = pacs_next_conflict(txn, after, &row);
        if (err.code) {
            EXPECT(err.code == ERROR_NOT_FOUND);
            error_release(&err);
            break;
        }
        after = row.id;
        count += strcmp(row.kind, kind) == 0;
    }
    pacs_end(txn);
    return count;
}

static inline void archive_print_finding(void *context, bool damage, const char *text)
{
    (void)context;
    if (damage)
        fprintf(stderr, "verify: %s\n", text);
}

/* Findings of verify; `loud` prints them. */
static inline uint64_t archive_damage(bool loud)
{
    struct verify_result result = {0};
    EXPECT_OK(pacs_verify(archive, loud ? archive_print_finding : NULL, NULL, &result));
    return result.damaged;
}

/* Every table of the index as text: two indexes that are the fold of the same log are equal. */
static inline void archive_dump(struct buf *out)
{
    struct pacs_txn *txn;
    struct object_row o;
    struct instance_row row;
    struct conflict_row conflict;
    EXPECT_OK(pacs_begin(archive, &txn));
    for (enum object_kind kind = OBJECT_FOLDER; kind <= OBJECT_SERIES; kind++)
        for (uint64_t after = 0;; after = o.id) {
            struct error err = pacs_next_object(txn, kind, after, &o);
            if (err.code) {
                EXPECT(err.code == ERROR_NOT_FOUND);
                error_release(&err);
                break;
            }
            buf_printf(out, "%d %llu in %llu.%llu '%s' %llu %llu %llu newest %llu children %llu instances %llu %llu\n",
                       (int)kind, (unsigned long long)o.id, (unsigned long long)o.parent, (unsigned long long)o.number,
                       o.name, (unsigned long long)o.created_ns, (unsigned long long)o.list_ns,
                       (unsigned long long)o.changed_ns, (unsigned long long)o.newest, (unsigned long long)o.children,
                       (unsigned long long)o.instances, (unsigned long long)o.bytes);
        }
    for (uint64_t after = 0;; after = row.id) {
        struct error err = pacs_next_arrival(txn, after, &row);
        if (err.code) {
            EXPECT(err.code == ERROR_NOT_FOUND);
            error_release(&err);
            break;
        }
        buf_printf(out, "%llu in %llu.%llu '%s' %s %u v%u by %llu lsn %llu %llu size %llu at %u:%llu-%u origin %u\n",
                   (unsigned long long)row.id, (unsigned long long)row.series, (unsigned long long)row.number, row.name,
                   row.uid, row.flags, row.version, (unsigned long long)row.superseded, (unsigned long long)row.lsn,
                   (unsigned long long)row.time_ns, (unsigned long long)row.size, row.pack,
                   (unsigned long long)row.offset, row.lead, row.origin);
    }
    for (uint64_t after = 0;; after = conflict.id) {
        struct error err = pacs_next_conflict(txn, after, &conflict);
        if (err.code) {
            error_release(&err);
            break;
        }
        buf_printf(out, "conflict %llu %s %llu %llu\n", (unsigned long long)conflict.id, conflict.kind,
                   (unsigned long long)conflict.object, (unsigned long long)conflict.other);
    }
    pacs_end(txn);
    EXPECT_OK(buf_error(out));
}

#endif
