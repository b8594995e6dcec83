/* What lives here: the one archive, the list of what was sent, the checks. `sent_lock` guards that list
 * and, while senders run, the counting of checks. */
#include "world.h"

#include "archive_case.h"
#include "disk.h"

#include "codecs/base/log.h"

#include <pthread.h>
#include <time.h>

#define SENT_MAX 1024
#define PACK_BYTES 16384
#define AWAIT_MS 400

enum fate { KEPT, REFUSED, GONE };

struct sent {
    struct buf bytes; /* the data set */
    enum fate fate;
    uint64_t id;   /* KEPT: the edition */
    bool seen;     /* in the rows that are being looked at */
    unsigned told; /* REFUSED: when */
};

static struct sent sent[SENT_MAX];
static unsigned sent_count, moment; /* moments: sends begin and are answered at one each */
static pthread_mutex_t sent_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned probes, packs_made;

unsigned world_failures(void)
{
    return (unsigned)check_failures;
}

void world_begin(void)
{
    scratch_make();
    archive_options = pacs_options_default();
    archive_options.cache_bytes = 1 << 20;
    archive_options.reserve_bytes = 1 << 20;
    archive_options.pack_bytes = PACK_BYTES;
    archive_io = &disk_io;
    disk_begin(scratch);
    sent_count = moment = probes = packs_made = 0;
}

void world_end(void)
{
    archive_close();
    disk_end();
    for (unsigned i = 0; i < sent_count; i++)
        buf_release(&sent[i].bytes);
    scratch_remove();
}

/* Failing is right only while something was made to fail. */
static bool excused(struct error *err, const char *what)
{
    bool good = !err->code, fault = disk_fired() || disk_gone();
    if (!good && !fault)
        fprintf(stderr, "%s: %s\n", what, error_text(err));
    EXPECT(good || fault);
    error_release(err);
    return good;
}

bool world_init(void)
{
    struct archive_conf wish = {.timezone = (char *)"UTC"};
    struct error err = pacs_init_over(scratch_path("archive"), &wish, &disk_io);
    return excused(&err, "init");
}

static bool try_open(enum pacs_mode mode)
{
    struct error err = archive_try_open(mode);
    return excused(&err, mode == PACS_REBUILD ? "rebuild" : "open");
}

bool world_open(void)
{
    packs_made = disk_count(DISK_PACK_CREATE);
    return try_open(PACS_WRITE);
}

bool world_rebuild(void)
{
    return try_open(PACS_REBUILD);
}

void world_close(void)
{
    archive_close();
}

/* ---- sending ---- */

static void mostly_one_colour(struct builder *b, unsigned rows, unsigned columns, unsigned seed)
{
    size_t size = (size_t)rows * columns * 2;
    uint8_t *pixels = calloc(1, size);
    builder_pixels(b, 4, 4, seed);
    builder_number(b, 0x00280010, rows);
    builder_number(b, 0x00280011, columns);
    for (size_t i = 0; pixels && i < size; i += 2)
        if (i / 2 / columns % 16 == 0)
            put_u16(pixels + i, (uint16_t)(disk_chance(seed, "pixel", i) & 0xFFF));
    builder_bytes(b, 0x7FE00010, "OW", pixels, size);
    free(pixels);
}

static void build(struct builder *b, const struct image *image)
{
    char study[32], series[40], uid[48], text[64];
    builder_init(b);
    snprintf(study, sizeof study, "1.2.%u", image->patient);
    snprintf(series, sizeof series, "%s.%u", study, image->number % 3);
    snprintf(uid, sizeof uid, "%s.%u", series, image->number);
    builder_uid(b, study, series, uid);
    snprintf(text, sizeof text, "Doe^Number%u", image->patient);
    builder_text(b, TAG_PATIENT_NAME, "PN", text);
    snprintf(text, sizeof text, "%u", 4711 + image->patient);
    builder_text(b, TAG_PATIENT_ID, "LO", text);
    snprintf(text, sizeof text, "%u", image->number);
    builder_text(b, TAG_INSTANCE_NUMBER, "IS", text);
    snprintf(text, sizeof text, "Thorax with contrast, number %u", image->number * 7919);
    builder_text(b, TAG_SERIES_DESCRIPTION, "LO", text);
    if (image->rows > 1000)
        mostly_one_colour(b, image->rows, 1500, image->seed);
    else
        builder_pixels(b, image->rows, 64, image->seed);
}

static unsigned next_moment(void)
{
    pthread_mutex_lock(&sent_lock);
    unsigned now = moment++;
    pthread_mutex_unlock(&sent_lock);
    return now;
}

/* What was refused before this send began is gone for good once it is acknowledged: the successor has stated the end.
 */
static void note(const struct buf *bytes, bool kept, bool new, uint64_t id, unsigned began)
{
    pthread_mutex_lock(&sent_lock);
    for (unsigned i = 0; kept && i < sent_count; i++)
        if (sent[i].fate == REFUSED && sent[i].told < began)
            sent[i].fate = GONE;
    unsigned known = 0;
    while (kept && known < sent_count && (sent[known].fate != KEPT || sent[known].id != id))
        known++;
    if (!kept || (new &&known == sent_count)) {
        if (sent_count == SENT_MAX)
            exit(2);
        struct sent *s = &sent[sent_count++];
        *s = (struct sent){.fate = kept ? KEPT : REFUSED, .id = id, .told = moment++};
        buf_init(&s->bytes);
        buf_append(&s->bytes, bytes->data, bytes->size);
    } else if (known < sent_count) {
        EXPECT(sent[known].bytes.size == bytes->size && memcmp(sent[known].bytes.data, bytes->data, bytes->size) == 0);
    } else {
        /* A duplicate of what nobody was told of: a refused one that came back. */
        unsigned i = 0;
        while (i < sent_count && (sent[i].fate != REFUSED || sent[i].bytes.size != bytes->size ||
                                  memcmp(sent[i].bytes.data, bytes->data, bytes->size) != 0))
            i++;
        EXPECT(i < sent_count);
        if (i < sent_count) {
            sent[i].fate = KEPT;
            sent[i].id = id;
        }
    }
    pthread_mutex_unlock(&sent_lock);
}

bool world_send(const struct image *image)
{
    struct builder b;
    struct buf bytes;
    struct ingest_result result;
    buf_init(&bytes);
    build(&b, image);
    builder_write(&b, &bytes);
    unsigned began = next_moment();
    struct error err =
        archive_send_bytes(&b, &bytes, BUILDER_EXPLICIT, image->stranger ? "NOBODY" : "CT1", !image->stranger, &result);
    bool kept = !err.code, new = result.verdict != INGEST_DUPLICATE &&result.verdict != INGEST_HEALED;
    note(&bytes, kept, new, result.id, began);
    pthread_mutex_lock(&sent_lock);
    EXPECT(kept || err.code == ERROR_BROKEN || err.code == ERROR_FULL || err.code == ERROR_RETRY);
    excused(&err, "send");
    pthread_mutex_unlock(&sent_lock);
    builder_release(&b);
    buf_release(&bytes);
    return kept;
}

static void await(enum disk_call call, unsigned count, int most_ms)
{
    for (int ms = 0; ms < most_ms && disk_count(call) < count && !disk_gone() && !disk_fired(); ms += 2)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
}

void world_await_barrier(void)
{
    await(DISK_LOG_SYNC, disk_count(DISK_LOG_SYNC) + 1, AWAIT_MS);
}

void world_await_seal(void)
{
    unsigned made = disk_count(DISK_PACK_CREATE);
    if (made > packs_made && made > 1)
        await(DISK_SEAL_SYNC, disk_count(DISK_SEAL_SYNC) + 1, 60);
    packs_made = made;
}

void world_await_checkpoint(void)
{
    await(DISK_RENAME, disk_count(DISK_RENAME) + 1, 3000);
}

static void probe(void)
{
    struct image image = {.number = 9000 + probes++, .seed = 1, .rows = 4, .patient = 7};
    EXPECT(world_send(&image));
}

/* ---- what must hold ---- */

static void check_row(uint64_t id)
{
    struct buf file;
    struct sent *found = NULL;
    buf_init(&file);
    EXPECT_OK(archive_file(id, &file));
    for (unsigned i = 0; i < sent_count && !found; i++) {
        struct sent *s = &sent[i];
        bool same = s->bytes.size <= file.size &&
                    memcmp(file.data + file.size - s->bytes.size, s->bytes.data, s->bytes.size) == 0;
        if (same && (s->fate == KEPT ? s->id == id : s->fate == REFUSED && !s->seen))
            found = s;
    }
    EXPECT(found != NULL); /* no row that nobody was told of, and none with other bytes */
    if (!found)
        fprintf(stderr, "edition %llu is nobody's\n", (unsigned long long)id);
    if (found) {
        found->fate = KEPT; /* a refused one that came back stays */
        found->id = id;
        found->seen = true;
    }
    buf_release(&file);
}

static void check_rows(void)
{
    struct pacs_txn *txn;
    struct instance_row row;
    uint64_t ids[SENT_MAX];
    unsigned count = 0;
    EXPECT_OK(pacs_begin(archive, &txn));
    for (uint64_t after = 0; count < SENT_MAX; after = row.id) {
        struct error err = pacs_next_arrival(txn, after, &row);
        bool end = err.code != ERROR_NONE;
        EXPECT(!end || err.code == ERROR_NOT_FOUND);
        error_release(&err);
        if (end)
            break;
        ids[count++] = row.id;
    }
    pacs_end(txn);
    EXPECT(archive_counts().editions == count);
    for (unsigned i = 0; i < sent_count; i++)
        sent[i].seen = false;
    for (unsigned i = 0; i < count; i++)
        check_row(ids[i]);
    for (unsigned i = 0; i < sent_count; i++) {
        EXPECT(sent[i].fate != KEPT || sent[i].seen); /* acknowledged means kept */
        if (sent[i].fate == KEPT && !sent[i].seen)
            fprintf(stderr, "edition %llu was acknowledged and is lost\n", (unsigned long long)sent[i].id);
    }
}

struct lsns {
    uint64_t last;
    bool consecutive;
};

static struct error take_lsn(void *context, uint64_t number, const struct scan_record *record)
{
    struct lsns *l = context;
    (void)number;
    if (record->header.lsn && record->header.lsn != l->last + 1)
        l->consecutive = false;
    if (record->header.lsn)
        l->last = record->header.lsn;
    return NO_ERROR;
}

/* L5, of what counts. */
static void check_lsns(void)
{
    struct packs *packs;
    struct pack_info *list;
    size_t count;
    struct lsns lsns = {0, true};
    EXPECT_OK(packs_new(&packs, scratch_path("archive/packs"), pacs_conf(archive)->uuid, &io_system));
    EXPECT_OK(packs_list(packs, &list, &count));
    for (size_t i = 0; i < count; i++) {
        uint64_t durable, end = list[i].end, stopped;
        if (!list[i].valid)
            continue;
        if (!end)
            EXPECT_OK(pack_find_end(packs, list[i].header.number, 0, &durable, &end));
        struct scan_options scan = {.end = end, .record = take_lsn, .context = &lsns};
        EXPECT_OK(pack_scan(packs, list[i].header.number, &scan, &stopped));
        EXPECT(stopped == end);
    }
    EXPECT(lsns.consecutive);
    EXPECT(lsns.last == archive_counts().lsn);
    free(list);
    packs_free(packs);
}

static void check_all(void)
{
    check_rows();
    check_lsns();
    EXPECT(archive_damage(true) == 0);
}

void world_goes_on(void)
{
    if (!disk_fired() || disk_gone() || !archive)
        return;
    disk_mend();
    probe();
    check_all();
}

static void expect_same(const struct buf *one, const char *when)
{
    struct buf two;
    buf_init(&two);
    archive_dump(&two);
    bool same = one->size == two.size && memcmp(one->data, two.data, two.size) == 0;
    EXPECT(same); /* the tree is the fold of the log */
    if (!same)
        fprintf(stderr, "%s:\n%.*sbefore:\n%.*s", when, (int)two.size, two.data, (int)one->size, one->data);
    buf_release(&two);
}

void world_holds(void)
{
    static const struct disk_fault none;
    struct buf dump;
    buf_init(&dump);
    disk_plan(&none);
    archive_close();
    if (!world_open())
        goto out;
    check_rows(); /* before anything else is acknowledged: what came back, came back */
    probe();
    check_all();
    archive_dump(&dump);
    archive_close();
    if (!world_rebuild())
        goto out;
    expect_same(&dump, "after a rebuild");
    check_all();
    archive_close();
    disk_cut(DISK_DROPPED, 1);
    disk_apply();
    if (!world_open())
        goto out;
    expect_same(&dump, "after a rebuild and a power cut");
    check_all();
    probe();
    archive_close();
out:
    buf_release(&dump);
}

void world_init_holds(bool acknowledged)
{
    static const struct disk_fault none;
    disk_plan(&none);
    archive_close();
    struct error err = archive_try_open(PACS_WRITE);
    bool opens = !err.code;
    EXPECT(opens || !acknowledged);
    if (!opens && acknowledged)
        fprintf(stderr, "init had succeeded: %s\n", error_text(&err));
    error_release(&err);
    if (!opens) {
        nftw(scratch_path("archive"), scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
        EXPECT(world_init());
    }
    world_holds();
}
