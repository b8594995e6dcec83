/* Generated histories: the index is the fold of the log and of nothing else. One seed makes one history of what an
 * archive may be sent (patients, names and UIDs that collide, the same again, other versions and preambles, strangers,
 * placeholders, what is missing, text that does not decode, damage and what heals it). It is told twice, with other pack
 * sizes, other data sets on their way at the same time, and other ends of the process between: the answers, the tree,
 * names and inodes are the same. Then the index is made in every way there is, also of packs that were damaged.
 *
 *   unit_histories [--seed N] [--count N] [--length N] */
#include "damage_case.h"

static unsigned length = 70;

/* ---- what happens, by seed alone ---- */

static uint64_t history_seed;

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

#define PICK(state, list) (list)[draw(state, sizeof(list) / sizeof *(list))]

static const char *const ids[] = {"4711", " 4711 ", "17", "0", "UNKNOWN", "", "a/b", "x17", "X17"};
static const char *const names[] = {"Doe^John",
                                    "DOE^JOHN",
                                    "Doe^John^^Dr",
                                    "M\xC3\xBCller^\xC3\x84nne",
                                    "Muller^Anne",
                                    "Roe^Jane",
                                    "",
                                    "\xFF\xFE^\x80",
                                    "ANONYMOUS",
                                    "..^CON.txt",
                                    "Doe^Johnny"};
static const char *const births[] = {"19500101", "19600202", "", "19000101"};
static const char *const issuers[] = {NULL, NULL, NULL, "HOSPITAL A", "HOSPITAL B"};
static const char *const texts[] = {"Thorax", "thorax", "Abdomen / Pelvis", "", "\xC4\xE9\xFF"};
static const char *const charsets[] = {"ISO_IR 192", "ISO_IR 100", "ISO 2022 IR 87", "NO SUCH SET", NULL};
static const char *const modalities[] = {"CT", "MR", "CT", NULL};
static const char *const senders[] = {"CT1", "CT2", "STRANGER"};
static const char *const preambles[] = {"", "one preamble", "II*"};

struct event {
    struct builder data;
    const char *sender;
    bool known, import, heal;
    const char *preamble;
    uint32_t which; /* heal: of the editions that there are */
};

static uint64_t stream(unsigned number)
{
    uint64_t s = history_seed * UINT64_C(2654435761) + number * UINT64_C(40503) + 17;
    for (int i = 0; i < 4; i++)
        draw(&s, 2);
    return s;
}

static void event_make(struct event *e, unsigned number)
{
    char study[32], series[40], instance[48];
    uint64_t own = stream(number), s = own;
    if (number && draw(&own, 2)) /* what was there before comes again, the same or almost */
        s = stream(draw(&own, number));
    draw(&s, 2);
    memset(e, 0, sizeof *e);
    struct builder *b = &e->data;
    builder_init(b);
    builder_text(b, 0x00080005, "CS", PICK(&s, charsets));
    builder_text(b, TAG_PATIENT_ID, "LO", PICK(&s, ids));
    builder_text(b, TAG_PATIENT_NAME, "PN", PICK(&s, names));
    builder_text(b, TAG_PATIENT_BIRTH_DATE, "DA", PICK(&s, births));
    builder_text(b, TAG_PATIENT_ID_ISSUER, "LO", PICK(&s, issuers));
    builder_text(b, TAG_STUDY_DESCRIPTION, "LO", PICK(&s, texts));
    builder_text(b, TAG_SERIES_DESCRIPTION, "LO", PICK(&s, texts));
    builder_text(b, TAG_MODALITY, "CS", PICK(&s, modalities));
    snprintf(study, sizeof study, "1.2.%u", draw(&s, 4));
    snprintf(series, sizeof series, "1.2.%u.%u", draw(&s, 5), draw(&s, 2));
    snprintf(instance, sizeof instance, "1.2.9.%u", draw(&s, 20));
    builder_uid(b, study, series, instance);
    if (draw(&s, 12) == 0)
        builder_text(b, TAG_STUDY_UID, "UI", NULL);
    if (draw(&s, 12) == 0)
        builder_text(b, TAG_SERIES_UID, "UI", NULL);
    static const char *const numbers[] = {"1", "2", "3", "42", "-1", "", "2147483648", "x"};
    builder_text(b, TAG_INSTANCE_NUMBER, "IS", PICK(&s, numbers));
    builder_text(b, TAG_SERIES_NUMBER, "IS", PICK(&s, numbers));
    unsigned rows = draw(&s, 9) ? 4 : 200;
    builder_pixels(b, rows, rows, draw(&own, 4) / 3);
    e->sender = PICK(&own, senders);
    e->known = strcmp(e->sender, "STRANGER") != 0;
    e->import = draw(&s, 3) == 0;
    e->preamble = draw(&own, 3) ? "" : PICK(&own, preambles);
    e->heal = number > 5 && draw(&own, 12) == 0;
    e->which = draw(&own, 1u << 30);
}

/* ---- telling it ---- */

/* One way to tell a history. */
struct telling {
    const char *folder; /* its archive lies here, as "archive" while it is told */
    int64_t pack_bytes;
    unsigned beside; /* data sets that are fed meanwhile, and dropped */
    uint64_t seed;   /* of what is its own: where the process ends, and how */
    struct buf answers;
};

static struct error edition_of(uint32_t which, struct instance_row *row)
{
    struct pacs_txn *txn;
    uint64_t count = archive_counts().editions, after = 0;
    struct error err = NO_ERROR;
    if (!count)
        return error_make(ERROR_NOT_FOUND, "none yet");
    TRY(pacs_begin(archive, &txn));
    for (uint64_t i = 0; !err.code && i <= which % count; i++) {
        err = pacs_next_arrival(txn, after, row);
        after = row->id;
    }
    pacs_end(txn);
    return err;
}

/* Variants share chunks: when one of them was healed, what the other reads hangs on what is cached. */
static bool stands_alone(const struct instance_row *row)
{
    struct pacs_txn *txn;
    struct instance_row other = {0};
    unsigned count = 0;
    EXPECT_OK(pacs_begin(archive, &txn));
    struct error err;
    while (!(err = pacs_next_instance_by_uid(txn, row->uid, other.id, &other)).code)
        count++;
    error_release(&err);
    pacs_end(txn);
    return count == 1;
}

/* Damages a chunk of an edition and sends the edition again, as the file that it was. */
static struct error heal(uint32_t which, struct ingest_result *result)
{
    struct instance_row row;
    struct record_header header;
    struct buf file, payload;
    struct field_view field;
    buf_init(&file);
    buf_init(&payload);
    struct error err = edition_of(which, &row);
    CHECK(err);
    if (!stands_alone(&row))
        goto out;
    CHECK(archive_file(row.id, &file));
    CHECK(packs_record(archive->packs, row.pack, row.offset, 0, &header, &payload));
    if (field_find(payload.data, payload.size, FIELD_CHUNKS, &field) && field.size >= CHUNK_PLACE_SIZE) {
        struct chunk_place place = chunk_place_read(field.value);
        EXPECT(file_flip(damage_pack(place.pack), place.offset + RECORD_HEADER_SIZE + place.length / 2));
    }
    err = archive_import(&file, result);
out:
    buf_release(&file);
    buf_release(&payload);
    return err;
}

static struct error happen(struct event *e, struct ingest_result *result)
{
    struct buf bytes;
    struct error err;
    if (e->heal)
        return heal(e->which, result);
    buf_init(&bytes);
    if (e->import) {
        meta_build(&bytes, e->data.sop_class, e->data.sop_instance, BUILDER_EXPLICIT, "1.2.3.4", "TEST", e->sender);
        memcpy(bytes.data, e->preamble, strlen(e->preamble));
        builder_write(&e->data, &bytes);
        err = archive_import(&bytes, result);
    } else {
        builder_write(&e->data, &bytes);
        err = archive_send_bytes(&e->data, &bytes, BUILDER_EXPLICIT, e->sender, e->known, result);
    }
    buf_release(&bytes);
    return err;
}

/* Data sets whose chunks are on their way, some of them already written, and that never come to an end. */
static void begin_beside(struct ingest **beside, unsigned count, struct buf *bytes)
{
    static const struct ingest_announced announced = {.syntax_uid = BUILDER_EXPLICIT};
    struct origin origin = {.how = "DIMSE", .calling_ae = "SLOW", .known = true};
    for (unsigned i = 0; i < count; i++) {
        struct ingest_announced a = announced;
        a.syntax = syntax_by_uid(BUILDER_EXPLICIT);
        EXPECT_OK(ingest_begin(archive, &origin, &a, &beside[i]));
        ingest_feed(beside[i], bytes->data, bytes->size / (i + 2));
    }
}

struct stretch {
    struct telling *telling;
    unsigned from, to;
    bool close;
};

/* In a child: events [from, to), then the process ends, well or not. Answers go to a file. */
static void tell_stretch(void *context)
{
    const struct stretch *s = context;
    struct ingest *beside[4];
    struct builder large;
    struct buf bytes;
    FILE *answers = fopen(scratch_path("answers"), "a");
    EXPECT(answers);
    archive_options.pack_bytes = s->telling->pack_bytes;
    archive_open(PACS_WRITE);
    builder_init(&large);
    builder_pixels(&large, 900, 900, 7);
    buf_init(&bytes);
    builder_write(&large, &bytes);
    begin_beside(beside, s->telling->beside, &bytes);
    for (unsigned i = s->from; i < s->to; i++) {
        struct event e;
        struct ingest_result result = {0};
        event_make(&e, i);
        struct error err = happen(&e, &result);
        if (answers)
            fprintf(answers, "%u %s %s id %llu lsn %llu\n", i, error_name(err.code),
                    err.code ? "" : ingest_verdict_name(result.verdict), (unsigned long long)result.id,
                    (unsigned long long)result.lsn);
        error_release(&err);
        builder_release(&e.data);
        for (unsigned n = 0; n < s->telling->beside; n++)
            ingest_feed(beside[n], bytes.data, bytes.size / 7);
    }
    if (answers)
        fclose(answers);
    for (unsigned n = 0; n < s->telling->beside; n++)
        ingest_abort(beside[n]);
    builder_release(&large);
    buf_release(&bytes);
    if (!s->close)
        _exit(check_failures != 0);
}

static void other_boot(void)
{
    struct buf text;
    char name[16] = "", part[64];
    FILE *current = fopen(scratch_path("archive/index/current"), "r");
    buf_init(&text);
    EXPECT(current && fscanf(current, "%15s", name) == 1);
    if (current)
        fclose(current);
    snprintf(part, sizeof part, "archive/index/%s/stamp", name);
    EXPECT(file_read(scratch_path(part), &text));
    if (text.size) {
        text.data[0] = text.data[0] == '0' ? '1' : '0';
        EXPECT(file_write(scratch_path(part), text.data, text.size));
    }
    buf_release(&text);
}

static void remove_index(void)
{
    nftw(scratch_path("archive/index"), scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* What lies between two processes. */
static void nothing(void) {}

static void (*const between[])(void) = {nothing, nothing, other_boot, other_boot, remove_index};

static void tell(struct telling *t)
{
    char again[128];
    snprintf(again, sizeof again, "--seed %llu --count 1 --length %u", (unsigned long long)history_seed, length);
    archive_make();
    archive_close();
    unlink(scratch_path("answers"));
    for (unsigned from = 0; from < length;) {
        struct stretch s = {.telling = t, .from = from, .to = from + 1 + draw(&t->seed, length / 2)};
        if (s.to > length)
            s.to = length;
        s.close = draw(&t->seed, 2);
        damage_child(tell_stretch, &s, again);
        PICK(&t->seed, between)();
        from = s.to;
    }
    EXPECT(file_read(scratch_path("answers"), &t->answers));
}

/* ---- what came out ---- */

/* The dump, with the LSN of the record instead of a time, and without places: as it is in every telling. */
static void dump_by_lsn(struct buf *out)
{
    struct pacs_txn *txn;
    struct object_row o = {0};
    struct instance_row row = {0};
    struct error err;
    EXPECT_OK(pacs_begin(archive, &txn));
    for (enum object_kind kind = OBJECT_FOLDER; kind <= OBJECT_SERIES; kind++, o.id = 0)
        while (!(err = pacs_next_object(txn, kind, o.id, &o)).code || (error_release(&err), false))
            buf_printf(out, "%d %llu in %llu.%llu '%s' newest %llu children %llu instances %llu %llu\n", (int)kind,
                       (unsigned long long)o.id, (unsigned long long)o.parent, (unsigned long long)o.number, o.name,
                       (unsigned long long)o.newest, (unsigned long long)o.children, (unsigned long long)o.instances,
                       (unsigned long long)o.bytes);
    while (!(err = pacs_next_arrival(txn, row.id, &row)).code) {
        buf_printf(out, "%llu in %llu.%llu '%s' %s %u v%u by %llu lsn %llu size %llu json %llu origin %u\n",
                   (unsigned long long)row.id, (unsigned long long)row.series, (unsigned long long)row.number, row.name,
                   row.uid, row.flags, row.version, (unsigned long long)row.superseded, (unsigned long long)row.lsn,
                   (unsigned long long)row.size, (unsigned long long)row.json_size, row.origin);
        EXPECT(row.time_ns > 0);
    }
    error_release(&err);
    struct conflict_row conflict = {0};
    while (!(err = pacs_next_conflict(txn, conflict.id, &conflict)).code)
        buf_printf(out, "conflict %llu lsn %llu %s %llu %llu %s\n", (unsigned long long)conflict.id,
                   (unsigned long long)conflict.lsn, conflict.kind, (unsigned long long)conflict.object,
                   (unsigned long long)conflict.other, conflict.text);
    error_release(&err);
    struct pacs_counts counts;
    EXPECT_OK(pacs_counts(txn, &counts));
    buf_printf(out, "duplicates %llu conflicts %llu lsn %llu\n", (unsigned long long)counts.duplicates,
               (unsigned long long)counts.conflicts, (unsigned long long)counts.lsn);
    pacs_end(txn);
}

static void expect_same(const struct buf *got, const struct buf *want, const char *what)
{
    const char *a = got->size ? (const char *)got->data : "", *b = want->size ? (const char *)want->data : "";
    if (got->size == want->size && (!got->size || memcmp(a, b, got->size) == 0)) {
        EXPECT(got->size > 0);
        return;
    }
    size_t line = 0, i = 0;
    for (; i < got->size && i < want->size && a[i] == b[i]; i++)
        line = a[i] == '\n' ? i + 1 : line;
    fprintf(stderr, "%s differs (seed %llu):\n  %.200s\n  %.200s\n", what, (unsigned long long)history_seed, a + line,
            b + line);
    EXPECT(!"the same");
}

/* The index that is there, and one made in another way, table by table. */
static void compare_ways(const char *what, void (*before)(void), enum pacs_mode mode)
{
    struct buf one, two;
    buf_init(&one);
    buf_init(&two);
    archive_reopen(PACS_READ);
    archive_dump(&one);
    archive_close();
    before();
    archive_open(mode);
    archive_dump(&two);
    archive_close();
    expect_same(&two, &one, what);
    buf_release(&one);
    buf_release(&two);
}

static void made_in_every_way(void *context)
{
    (void)context;
    compare_ways("after another boot", other_boot, PACS_WRITE);
    compare_ways("made anew by a reader", remove_index, PACS_READ);
    compare_ways("made anew by a writer", remove_index, PACS_WRITE);
    compare_ways("rebuilt", nothing, PACS_REBUILD);
}

static void write_dump(void *context)
{
    struct buf text;
    buf_init(&text);
    archive_open(PACS_READ);
    dump_by_lsn(&text);
    EXPECT(file_write(scratch_path(context), buf_string(&text), text.size));
    buf_release(&text);
}

/* Packs arrive one by one, the index follows behind each; or they are all there from the beginning. */
static void follow_packs(void *context)
{
    struct buf bytes, one, two;
    (void)context;
    buf_init(&bytes);
    buf_init(&one);
    buf_init(&two);
    for (unsigned number = 1;; number++) {
        char part[64];
        snprintf(part, sizeof part, "keep/packs/%08u.pack", number);
        if (!file_read(scratch_path(part), &bytes))
            break;
        EXPECT(file_write(damage_pack(number), bytes.data, bytes.size));
        struct error err = archive_try_open(PACS_READ);
        EXPECT_OK(err);
        archive_close();
        other_boot();
    }
    archive_open(PACS_READ);
    archive_dump(&one);
    archive_reopen(PACS_REBUILD);
    archive_dump(&two);
    expect_same(&two, &one, "packs one by one, and rebuilt");
    buf_release(&bytes);
    buf_release(&one);
    buf_release(&two);
}

/* From the table of its seal a rebuild has what a damaged record no longer says, and who followed the pack before it was
 * sealed has not: here are none. */
static void strip_seals(void)
{
    struct packs *packs;
    struct pack_info *list;
    size_t count;
    uint8_t uuid[16];
    archive_open(PACS_READ);
    memcpy(uuid, pacs_conf(archive)->uuid, 16);
    archive_close();
    EXPECT_OK(packs_new(&packs, scratch_path("keep/packs"), uuid, &io_system));
    EXPECT_OK(packs_list(packs, &list, &count));
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        packs_path(packs, list[i].header.number, path);
        if (list[i].end)
            EXPECT(truncate(path, (off_t)list[i].end) == 0);
    }
    free(list);
    packs_free(packs);
}

/* The same damage, whichever way the index goes over it. */
static void damaged_packs_fold_to_one_tree(uint64_t *seed)
{
    char again[128];
    snprintf(again, sizeof again, "--seed %llu --count 1 --length %u", (unsigned long long)history_seed, length);
    damage_keep();
    strip_seals();
    for (unsigned i = 0; i < 6; i++) {
        char part[64];
        snprintf(part, sizeof part, "keep/packs/%08u.pack", 1 + draw(seed, 4));
        uint64_t size = file_size(scratch_path(part));
        if (size)
            EXPECT(file_flip(scratch_path(part), draw(seed, (uint32_t)size)));
    }
    damage_restore();
    nftw(scratch_path("archive/packs"), scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
    EXPECT(mkdir(scratch_path("archive/packs"), 0750) == 0);
    damage_child(follow_packs, NULL, again);
}

static void history_told_twice_is_one(void)
{
    struct telling ways[] = {{.pack_bytes = 64 << 10, .seed = history_seed + 1},
                             {.pack_bytes = 1 << 30, .beside = 3, .seed = history_seed + 2}};
    struct buf dumps[2];
    char again[128];
    snprintf(again, sizeof again, "--seed %llu --count 1 --length %u", (unsigned long long)history_seed, length);
    for (size_t i = 0; i < 2; i++) {
        buf_init(&ways[i].answers);
        buf_init(&dumps[i]);
        tell(&ways[i]);
        damage_child(write_dump, "dump", again);
        EXPECT(file_read(scratch_path("dump"), &dumps[i]));
        damage_child(made_in_every_way, NULL, again);
        damaged_packs_fold_to_one_tree(&ways[i].seed);
    }
    expect_same(&ways[1].answers, &ways[0].answers, "what senders were answered");
    expect_same(&dumps[1], &dumps[0], "the tree");
    if (getenv("HISTORIES_SHOW"))
        fwrite(ways[0].answers.data, 1, ways[0].answers.size, stdout);
    for (size_t i = 0; i < 2; i++) {
        buf_release(&ways[i].answers);
        buf_release(&dumps[i]);
    }
}

int main(int argc, char **argv)
{
    unsigned count = 3;
    uint64_t seed = 1;
    damage_program = argv[0];
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--count") == 0)
            count = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--length") == 0)
            length = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    log_set_level((enum log_level)0);
    for (history_seed = seed; history_seed < seed + count; history_seed++)
        RUN(history_told_twice_is_one);
    printf("histories %llu to %llu\n", (unsigned long long)seed, (unsigned long long)(seed + count - 1));
    archive_gone();
    return check_done();
}
