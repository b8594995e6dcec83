/* An archive with one of everything that the log holds, what it must read back as, and points of harm in child
 * processes: a crash or a hang of one is that one's failure, and every failure prints how to do it again.
 *
 *   unit_damage [--seed N] [--all N] [--point KIND:PACK:OFFSET]
 */
#ifndef TESTS_UNIT_DAMAGE_CASE_H
#define TESTS_UNIT_DAMAGE_CASE_H

#include "archive_case.h"

#include "codecs/base/log.h"
#include "codecs/chunk/chunk.h"
#include "index/fold/record.h"
#include "index/pack/packs.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define EDITIONS_MAX 64
#define RECORDS_MAX 512
#define CHILD_SECONDS 120

/* A record as it lies in a pack. */
struct damage_record {
    struct record_header header;
    uint64_t pack, offset;
    uint64_t dictionary; /* of a chunk: the one that it needs; of a DICTIONARY: the one that it holds */
};

struct damage_edition {
    uint64_t id;
    char uid[65], path[1024];
    struct buf file;
    uint64_t pack, offset; /* of its record */
    struct buf chunks;     /* places */
};

static struct {
    struct damage_edition editions[EDITIONS_MAX];
    size_t edition_count;
    struct damage_record records[RECORDS_MAX];
    size_t record_count;
    struct buf dump;
    uint8_t uuid[16];
    uint64_t packs;
} whole;

static uint64_t damage_seed = 1;
static const char *damage_program;

static inline uint32_t damage_random(uint32_t below)
{
    damage_seed = damage_seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(damage_seed >> 33) % below;
}

static inline const char *damage_pack(uint64_t number)
{
    char part[64];
    snprintf(part, sizeof part, "archive/packs/%08llu.pack", (unsigned long long)number);
    return scratch_path(part);
}

/* ---- filling ---- */

static inline void damage_import(const struct builder *b, const char *preamble, enum ingest_verdict verdict)
{
    struct buf file;
    struct ingest_result result;
    buf_init(&file);
    meta_build(&file, b->sop_class, b->sop_instance, BUILDER_EXPLICIT, "1.2.3.4", "TEST", "ONE");
    memcpy(file.data, preamble, strlen(preamble));
    builder_write(b, &file);
    EXPECT_OK(archive_import(&file, &result));
    EXPECT(result.verdict == verdict);
    buf_release(&file);
}

/* Headers enough to train a dictionary, of which nothing is kept. */
static inline void damage_train(struct builder *b)
{
    uint64_t lsn = 0;
    for (unsigned i = 0; i < 400; i++) {
        struct buf bytes;
        char text[256];
        buf_init(&bytes);
        for (unsigned j = 0; j < 8; j++)
            snprintf(text + 20 * j, 32, "protocol %u of them, ", (i * 7919 + j * 104729) % 10007);
        builder_text(b, TAG_PROTOCOL_NAME, "LO", text);
        builder_write(b, &bytes);
        dictionary_sample(archive, bytes.data, bytes.size);
        buf_release(&bytes);
    }
    builder_text(b, TAG_PROTOCOL_NAME, "LO", NULL);
    for (int i = 0; i < 1000 && !dictionary_current(archive, &lsn); i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    EXPECT(lsn);
}

static inline struct ingest_result damage_send(struct builder *b, unsigned number, unsigned rows, unsigned columns)
{
    char uid[32], text[16];
    snprintf(uid, sizeof uid, "1.2.3.4.%u", number);
    snprintf(text, sizeof text, "%u", number);
    builder_uid(b, "1.2.3", "1.2.3.4", uid);
    builder_text(b, TAG_INSTANCE_NUMBER, "IS", text);
    builder_pixels(b, rows, columns, number);
    return archive_send(b, "CT1", true);
}

static inline void damage_send_jpeg(struct builder *b)
{
    static const uint8_t end[] = {0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};
    struct buf bytes;
    struct ingest_result result;
    buf_init(&bytes);
    builder_bytes(b, 0x7FE00010, "OW", NULL, 0);
    builder_uid(b, "1.2.3", "1.2.3.5", "1.2.3.5.1");
    builder_write(b, &bytes);
    static const uint8_t open[] = {0xE0, 0x7F, 0x10, 0, 'O', 'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF};
    buf_append(&bytes, open, sizeof open);
    for (uint32_t item = 0; item < 3; item++) { /* the first is the table of offsets */
        buf_u16(&bytes, 0xFFFE);
        buf_u16(&bytes, 0xE000);
        buf_u32(&bytes, item * 3000);
        for (uint32_t i = 0; i < item * 3000; i++)
            buf_byte(&bytes, (uint8_t)(i * i * 31 >> 5));
    }
    buf_append(&bytes, end, sizeof end);
    EXPECT_OK(archive_send_bytes(b, &bytes, "1.2.840.10008.1.2.4.50", "CT1", true, &result));
    EXPECT(result.verdict == INGEST_STORED);
    buf_release(&bytes);
}

static inline void damage_wait_for_seals(uint64_t count)
{
    for (int i = 0; i < 1000 && archive_stored().sealed < count; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    EXPECT(archive_stored().sealed >= count);
}

static inline void damage_fill(void)
{
    struct builder b;
    archive_wish.patients = (char *)"initial";
    archive_make();
    archive_close();
    archive_options.pack_bytes = 64 << 10;
    archive_open(PACS_WRITE);
    builder_init(&b);
    damage_train(&b);
    for (unsigned i = 1; i <= 4; i++)
        damage_send(&b, i, 4, 4);
    damage_send(&b, 5, 620, 1024); /* chunks in several packs */
    builder_text(&b, 0x00280008, "IS", "3");
    damage_send(&b, 6, 3 * 16, 16);
    builder_text(&b, 0x00280008, "IS", NULL);
    EXPECT(damage_send(&b, 1, 4, 4).verdict == INGEST_DUPLICATE);
    builder_pixels(&b, 4, 4, 91);
    EXPECT(archive_send(&b, "CT1", true).verdict == INGEST_VERSION);
    builder_pixels(&b, 4, 4, 92);
    EXPECT(archive_send(&b, "STRANGER", false).verdict == INGEST_CONFLICT);
    archive_reopen(PACS_WRITE); /* another pack */
    builder_text(&b, TAG_PATIENT_NAME, "PN", "Roe^Jane");
    builder_text(&b, TAG_PATIENT_ID, "LO", "17");
    damage_send_jpeg(&b);
    builder_uid(&b, "1.2.6", "1.2.6.1", "1.2.6.1.1");
    builder_pixels(&b, 40, 40, 5);
    damage_import(&b, "", INGEST_STORED);
    damage_import(&b, "some program's preamble", INGEST_VARIANT); /* lists the chunks of the other */
    builder_uid(&b, "1.2.6", "1.2.6.1", "1.2.6.1.2");
    damage_import(&b, "another one", INGEST_STORED);
    archive_reopen(PACS_WRITE);
    for (unsigned i = 11; i <= 14; i++)
        damage_send(&b, i, 4, 4);
    builder_release(&b);
    archive_reopen(PACS_WRITE);
    damage_wait_for_seals(archive_stored().packs - 1);
}

/* ---- what there is ---- */

static inline struct error damage_on_record(void *context, uint64_t number, const struct scan_record *record)
{
    (void)context;
    EXPECT(whole.record_count < RECORDS_MAX);
    if (whole.record_count == RECORDS_MAX)
        return NO_ERROR;
    struct damage_record *r = &whole.records[whole.record_count++];
    *r = (struct damage_record){.header = record->header, .pack = number, .offset = record->offset};
    if (record->header.type == RECORD_CHUNK && record->payload)
        r->dictionary = chunk_header_read(record->payload).dictionary;
    struct field_view copy;
    if (record->header.type == RECORD_DICTIONARY)
        r->dictionary = field_find(record->payload, (size_t)record->header.length, FIELD_COPY_OF, &copy)
                            ? get_u64(copy.value)
                            : record->header.lsn;
    return NO_ERROR;
}

static inline void damage_map(void)
{
    struct packs *packs;
    struct pack_info *list;
    size_t count;
    EXPECT_OK(packs_new(&packs, scratch_path("archive/packs"), whole.uuid, &io_system));
    EXPECT_OK(packs_list(packs, &list, &count));
    whole.packs = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t stopped;
        struct scan_options scan = {.end = list[i].file_size, .chunk_bytes = true, .record = damage_on_record};
        EXPECT_OK(pack_scan(packs, list[i].header.number, &scan, &stopped));
        EXPECT(stopped == list[i].file_size);
    }
    free(list);
    packs_free(packs);
}

static inline void damage_note_edition(uint64_t id)
{
    EXPECT(whole.edition_count < EDITIONS_MAX);
    if (whole.edition_count == EDITIONS_MAX)
        return;
    struct damage_edition *e = &whole.editions[whole.edition_count++];
    struct instance_row row = archive_row(id);
    struct record_header header;
    struct buf payload;
    struct field_view field;
    *e = (struct damage_edition){.id = id, .pack = row.pack, .offset = row.offset};
    snprintf(e->uid, sizeof e->uid, "%s", row.uid);
    snprintf(e->path, sizeof e->path, "%s", archive_path_of(id));
    EXPECT_OK(archive_file(id, &e->file));
    buf_init(&payload);
    EXPECT_OK(packs_record(archive->packs, row.pack, row.offset, 0, &header, &payload));
    if (field_find(payload.data, payload.size, FIELD_CHUNKS, &field))
        buf_append(&e->chunks, field.value, field.size);
    buf_release(&payload);
}

/* Makes the archive, remembers all that must hold, closes it. */
static inline void damage_begin(void)
{
    damage_fill();
    EXPECT(archive_damage(true) == 0);
    memcpy(whole.uuid, pacs_conf(archive)->uuid, 16);
    archive_dump(&whole.dump);
    struct pacs_txn *txn;
    struct instance_row row = {0};
    uint64_t ids[EDITIONS_MAX];
    size_t count = 0;
    EXPECT_OK(pacs_begin(archive, &txn));
    while (count < EDITIONS_MAX) {
        struct error err = pacs_next_arrival(txn, row.id, &row);
        bool end = err.code != ERROR_NONE;
        error_release(&err);
        if (end)
            break;
        ids[count++] = row.id;
    }
    pacs_end(txn);
    for (size_t i = 0; i < count; i++)
        damage_note_edition(ids[i]);
    archive_close();
    damage_map();
    EXPECT(whole.edition_count >= 16 && whole.packs >= 4);
}

static inline void damage_end(void)
{
    for (size_t i = 0; i < whole.edition_count; i++) {
        buf_release(&whole.editions[i].file);
        buf_release(&whole.editions[i].chunks);
    }
    buf_release(&whole.dump);
    archive_gone();
}

/* ---- harm ---- */

/* What is done to a file. */
enum { HARM_FLIP, HARM_ZEROS, HARM_CUT, HARM_JUNK, HARM_EMPTY, HARM_GONE, HARM_KINDS };
static const char *const kinds[HARM_KINDS] = {"flip", "zeros", "cut", "junk", "empty", "gone"};
#define ZEROS_MAX 4096

static inline void damage_do(const char *name, unsigned kind, uint64_t offset, uint64_t zeros)
{
    static const uint8_t nothing[ZEROS_MAX];
    char path[PATH_MAX], junk[9000];
    snprintf(path, sizeof path, "%s", name);
    uint64_t size = file_size(path);
    switch (kind) {
    case HARM_FLIP:
        EXPECT(file_flip(path, offset));
        break;
    case HARM_ZEROS:
        EXPECT(file_write_at(path, offset, nothing, size - offset < zeros ? size - offset : zeros));
        break;
    case HARM_CUT:
        EXPECT(truncate(path, (off_t)offset) == 0);
        break;
    case HARM_JUNK:
        memset(junk, 0xA5, sizeof junk);
        EXPECT(file_write_at(path, size, junk, sizeof junk));
        break;
    case HARM_EMPTY:
        EXPECT(truncate(path, 0) == 0);
        break;
    default:
        EXPECT(unlink(path) == 0);
    }
}

/* Bytes [from, to) of a pack that are no longer those that were written. */
struct harm {
    uint64_t pack, from, to;
};

static inline bool damage_hits(const struct harm *h, const struct damage_record *r)
{
    return h->from < h->to && r->pack == h->pack && r->offset < h->to &&
           r->offset + RECORD_HEADER_SIZE + r->header.length > h->from;
}

/* Every record that holds it. */
static inline bool damage_hits_dictionary(const struct harm *h, uint64_t lsn)
{
    for (size_t i = 0; i < whole.record_count; i++)
        if (whole.records[i].header.type == RECORD_DICTIONARY && whole.records[i].dictionary == lsn &&
            !damage_hits(h, &whole.records[i]))
            return false;
    return true;
}

static inline bool damage_hits_place(const struct harm *h, uint64_t pack, uint64_t offset)
{
    for (size_t i = 0; i < whole.record_count; i++) {
        const struct damage_record *r = &whole.records[i];
        if (r->pack != pack || r->offset != offset)
            continue;
        if (damage_hits(h, r))
            return true;
        return r->dictionary && damage_hits_dictionary(h, r->dictionary);
    }
    EXPECT(!"a place that is no record");
    return false;
}

static inline bool damage_hits_record(const struct harm *h, const struct damage_edition *e)
{
    return damage_hits_place(h, e->pack, e->offset);
}

static inline bool damage_hits_edition(const struct harm *h, const struct damage_edition *e)
{
    if (damage_hits_record(h, e))
        return true;
    for (size_t at = 0; at < e->chunks.size; at += CHUNK_PLACE_SIZE) {
        struct chunk_place place = chunk_place_read(e->chunks.data + at);
        if (damage_hits_place(h, place.pack, place.offset))
            return true;
    }
    return false;
}

/* Whether bytes are harmed that anybody needs. Padding, a barrier and a seal can be lost without a loss, and without its
 * seal a table is void; what lies behind everything belongs to nobody. */
static inline bool damage_hits_any(const struct harm *h)
{
    bool seal = false, table = false;
    for (size_t i = 0; i < whole.record_count; i++) {
        uint8_t type = whole.records[i].header.type;
        if (!damage_hits(h, &whole.records[i]) || type == RECORD_BARRIER)
            continue;
        if (type != RECORD_SEAL && type != RECORD_TABLE)
            return true;
        seal |= type == RECORD_SEAL;
        table |= type == RECORD_TABLE;
    }
    return h->from < PACK_HEADER_MIN || (table && !seal);
}

/* ---- checks, in the child ---- */

/* What is not harmed reads back bit for bit; what is says so, by pack and UID. */
static inline void damage_check_reads(const struct harm *h)
{
    struct buf file;
    buf_init(&file);
    for (size_t i = 0; i < whole.edition_count; i++) {
        const struct damage_edition *e = &whole.editions[i];
        struct error err = archive_file(e->id, &file);
        if (damage_hits_edition(h, e)) {
            EXPECT(err.code == ERROR_DAMAGED || (damage_hits_record(h, e) && err.code == ERROR_NOT_FOUND));
            EXPECT(err.code == ERROR_NOT_FOUND ||
                   (strstr(error_text(&err), e->uid) && strstr(error_text(&err), "pack")));
        } else {
            EXPECT(err.code == ERROR_NONE && file.size == e->file.size &&
                   memcmp(file.data, e->file.data, file.size) == 0);
        }
        if (err.code && !damage_hits_edition(h, e))
            fprintf(stderr, "%s is not harmed: %s\n", e->uid, error_text(&err));
        error_release(&err);
    }
    buf_release(&file);
}

static inline void damage_on_finding(void *context, bool damage, const char *text)
{
    if (damage)
        buf_printf(context, "%s\n", text);
}

static inline uint64_t damage_verify(struct buf *findings)
{
    struct verify_result result = {0};
    buf_clear(findings);
    EXPECT_OK(pacs_verify(archive, damage_on_finding, findings, &result));
    return result.damaged;
}

/* Verify names the harmed and nobody else. */
static inline void damage_check_verify(const struct harm *h)
{
    struct buf text;
    char pack[32];
    buf_init(&text);
    uint64_t damaged = damage_verify(&text);
    snprintf(pack, sizeof pack, "%08llu", (unsigned long long)h->pack); /* in "pack N" or the name of its file */
    if (damage_hits_any(h))
        EXPECT(damaged > 0 && strstr(buf_string(&text), pack));
    for (size_t i = 0; i < whole.edition_count; i++) {
        char uid[80]; /* not as the start of a longer one */
        bool named = false;
        snprintf(uid, sizeof uid, "instance %s", whole.editions[i].uid);
        for (const char *at = buf_string(&text); (at = strstr(at, uid)); at++)
            named |= !strchr("0123456789.", at[strlen(uid)]);
        bool harmed = false; /* editions share UIDs */
        for (size_t j = 0; j < whole.edition_count; j++)
            harmed |=
                strcmp(whole.editions[j].uid, whole.editions[i].uid) == 0 && damage_hits_edition(h, &whole.editions[j]);
        EXPECT(named == harmed);
        if (named != harmed)
            fprintf(stderr, "%s%s\n%s", uid, named ? "" : " is not named", buf_string(&text));
    }
    buf_release(&text);
}

/* ---- children ---- */

/* Runs `body(context)` in a child: its exit status, -1 when it crashed or did not end. Those of 0 and from 64 on are
 * the caller's to judge; the others are failures, and `again` says how to repeat them. */
static inline int damage_child_status(void (*body)(void *), void *context, const char *again)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        check_failures = check_count = 0;
        alarm(CHILD_SECONDS);
        body(context);
        archive_close();
        fflush(NULL);
        _exit(check_failures != 0);
    }
    bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    int result = ended ? WEXITSTATUS(status) : -1;
    bool good = result == 0 || result >= 64;
    EXPECT(good);
    if (!good)
        fprintf(stderr, "%s %d; again: %s %s\n", WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : result, damage_program, again);
    return result;
}

static inline bool damage_child(void (*body)(void *), void *context, const char *again)
{
    return damage_child_status(body, context, again) == 0;
}

/* All regular files of a folder into another, which is made. */
static inline void damage_copy(const char *from, const char *to)
{
    struct buf bytes;
    char source[PATH_MAX], target[PATH_MAX];
    DIR *folder = opendir(from);
    buf_init(&bytes);
    EXPECT(folder && (mkdir(to, 0750) == 0 || errno == EEXIST));
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        if (entry->d_type == DT_REG)
            EXPECT(file_read(source, &bytes) && file_write(target, bytes.data, bytes.size));
    }
    if (folder)
        closedir(folder);
    buf_release(&bytes);
}

/* Puts packs and archive.conf back as they were, without index and run; `keep` holds them. */
static inline void damage_restore(void)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s/archive", scratch);
    nftw(part, scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
    damage_copy(scratch_path("keep"), part);
    damage_copy(scratch_path("keep/packs"), scratch_path("archive/packs"));
}

static inline void damage_keep(void)
{
    damage_copy(scratch_path("archive"), scratch_path("keep"));
    damage_copy(scratch_path("archive/packs"), scratch_path("keep/packs"));
}

#endif
