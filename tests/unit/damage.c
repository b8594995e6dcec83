/* A byte that turned, anywhere in any pack: reads and verify name it, all else is read bit for bit, rebuild passes over
 * just that, and the same data set sent again heals it. A pack that lost its end, grew, was emptied or is gone: the
 * same. Every field of every record's header and three places of its payload are points; a seeded choice of them, and
 * of single bytes, is tried (--all N: every N-th of them all). */
#include "damage_case.h"

static unsigned every; /* --all */

struct point {
    unsigned kind;
    uint64_t pack, offset;
};

#define ZEROS 512

/* Bytes that were zeros before are not harmed by it. */
static struct harm harm_of_zeros(const struct point *p)
{
    struct buf bytes;
    struct harm harm = {p->pack, p->offset, p->offset + ZEROS};
    buf_init(&bytes);
    EXPECT(file_read(damage_pack(p->pack), &bytes));
    if (harm.to > bytes.size)
        harm.to = bytes.size;
    while (harm.from < harm.to && !bytes.data[harm.from])
        harm.from++;
    while (harm.from < harm.to && !bytes.data[harm.to - 1])
        harm.to--;
    buf_release(&bytes);
    return harm;
}

static struct harm harm_of(const struct point *p)
{
    uint64_t size = file_size(damage_pack(p->pack));
    switch (p->kind) {
    case HARM_FLIP:
        return (struct harm){p->pack, p->offset, p->offset + 1};
    case HARM_ZEROS:
        return harm_of_zeros(p);
    case HARM_CUT:
        return (struct harm){p->pack, p->offset, size};
    case HARM_JUNK:
        return (struct harm){p->pack, size, size};
    default:
        return (struct harm){p->pack, 0, size};
    }
}

static void harm_do(const struct point *p)
{
    damage_do(damage_pack(p->pack), p->kind, p->offset, ZEROS);
}

/* As a mount and `verify` meet it: nobody writes. */
static void read_with(void *context)
{
    const struct point *p = context;
    struct harm harm = harm_of(p);
    harm_do(p);
    archive_open(PACS_READ);
    damage_check_reads(&harm);
    damage_check_verify(&harm);
}

static struct error path_of(uint64_t id, char path[1024])
{
    struct pacs_txn *txn;
    struct instance_row row;
    TRY(pacs_begin(archive, &txn));
    struct error err = pacs_instance(txn, id, &row);
    pacs_end(txn);
    if (!err.code)
        snprintf(path, 1024, "%s", archive_path_of(id));
    return err;
}

/* Whoever is still there stands where it stood. */
static void check_paths(const struct harm *harm)
{
    for (size_t i = 0; i < whole.edition_count; i++) {
        const struct damage_edition *e = &whole.editions[i];
        char path[1024];
        struct error err = path_of(e->id, path);
        if (!err.code)
            EXPECT_TEXT(path, e->path);
        else
            EXPECT(err.code == ERROR_NOT_FOUND && damage_hits_record(harm, e));
        error_release(&err);
    }
}

static void rebuild_with(void *context)
{
    const struct point *p = context;
    struct harm harm = harm_of(p);
    struct buf once, twice;
    buf_init(&once);
    buf_init(&twice);
    harm_do(p);
    archive_open(PACS_REBUILD);
    damage_check_reads(&harm);
    check_paths(&harm);
    archive_dump(&once);
    if (!damage_hits_any(&harm))
        EXPECT_TEXT(buf_string(&once), buf_string(&whole.dump));
    archive_reopen(PACS_REBUILD);
    archive_dump(&twice);
    EXPECT_TEXT(buf_string(&twice), buf_string(&once));
    buf_release(&once);
    buf_release(&twice);
}

static void heal_with(void *context)
{
    static const struct harm none;
    const struct point *p = context;
    struct harm harm = harm_of(p);
    harm_do(p);
    archive_open(PACS_WRITE);
    for (size_t i = 0; i < whole.edition_count; i++) {
        const struct damage_edition *e = &whole.editions[i];
        struct ingest_result result = {0};
        EXPECT_OK(archive_import(&e->file, &result));
        EXPECT(result.verdict == (damage_hits_edition(&harm, e) ? INGEST_HEALED : INGEST_DUPLICATE));
        EXPECT(result.id == e->id);
        if (result.id != e->id)
            fprintf(stderr, "%s is %s\n", e->path, ingest_verdict_name(result.verdict));
    }
    damage_check_reads(&none);
    struct buf text;
    buf_init(&text);
    damage_verify(&text);
    EXPECT(!strstr(buf_string(&text), "instance "));
    archive_reopen(PACS_REBUILD);
    damage_check_reads(&none);
    check_paths(&none);
    damage_verify(&text);
    EXPECT(!strstr(buf_string(&text), "instance "));
    buf_release(&text);
}

static void run_point(void (*body)(void *), const char *what, struct point p)
{
    char again[80];
    snprintf(again, sizeof again, "--point %s:%s:%llu:%llu", what, kinds[p.kind], (unsigned long long)p.pack,
             (unsigned long long)p.offset);
    damage_child(body, &p, again);
}

/* ---- points ---- */

/* Index and all as they were but for one pack: cheap enough for many points. */
static void run_reading(struct point p)
{
    char keep[64];
    struct buf bytes;
    buf_init(&bytes);
    run_point(read_with, "read", p);
    snprintf(keep, sizeof keep, "keep/packs/%08llu.pack", (unsigned long long)p.pack);
    EXPECT(file_read(scratch_path(keep), &bytes) && file_write(damage_pack(p.pack), bytes.data, bytes.size));
    buf_release(&bytes);
}

/* From the packs alone, so that a rebuild has nothing else. */
static void run_rebuilding(struct point p)
{
    damage_restore();
    run_point(rebuild_with, "rebuild", p);
}

static void make_index(void *context)
{
    (void)context;
    archive_open(PACS_WRITE);
}

static void run_healing(struct point p)
{
    damage_restore();
    damage_child(make_index, NULL, "");
    run_point(heal_with, "heal", p);
}

/* Every field of a header, and the payload's ends and middle. */
static const unsigned fields[] = {0, 3, 4, 5, 8, 12, 16, 23, 24, 31, 32, 39, 40, 47, 48, 55, 56, 63};

static size_t points_of(const struct damage_record *r, uint64_t to[32])
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        to[count++] = r->offset + fields[i];
    const uint64_t inside[] = {0, r->header.length / 2, r->header.length - 1};
    for (size_t i = 0; r->header.length && i < 3; i++)
        to[count++] = r->offset + RECORD_HEADER_SIZE + inside[i];
    return count;
}

/* Without --all one point in `one_in`; their number. */
static unsigned for_each_field(unsigned one_in, void (*run)(struct point))
{
    unsigned done = 0, number = 0;
    for (size_t i = 0; i < whole.record_count; i++) {
        uint64_t at[32];
        size_t count = points_of(&whole.records[i], at);
        for (size_t j = 0; j < count; j++) {
            if (every ? number++ % every : damage_random(one_in))
                continue;
            run((struct point){HARM_FLIP, whole.records[i].pack, at[j]});
            done++;
        }
    }
    return done;
}

static void damage_of_a_byte_is_named_and_costs_nobody_else(void)
{
    unsigned done = for_each_field(16, run_reading);
    for (uint64_t pack = 1; pack <= whole.packs; pack++) {
        uint64_t size = file_size(damage_pack(pack));
        for (uint64_t at = 0; at < PACK_HEADER_MIN; at += every ? 1 : 1 + damage_random(80), done++)
            run_reading((struct point){HARM_FLIP, pack, at});
        for (uint64_t at = damage_random(4); at < size; done++) {
            run_reading((struct point){damage_random(4) ? HARM_FLIP : HARM_ZEROS, pack, at});
            at += every ? every * 64 : 1 + damage_random((uint32_t)size);
        }
    }
    printf("%u points read\n", done);
}

static void damage_of_a_whole_pack_costs_what_it_held(void)
{
    unsigned done = 0;
    for (uint64_t pack = 1; pack <= whole.packs; pack++)
        for (unsigned kind = HARM_CUT; kind < HARM_KINDS; kind++) {
            uint64_t size = file_size(damage_pack(pack));
            struct point p = {kind, pack, kind == HARM_CUT ? 1 + damage_random((uint32_t)size - 1) : 0};
            run_reading(p);
            done++;
            if (!every && damage_random(6))
                continue;
            run_rebuilding(p);
            run_healing(p);
            damage_restore();
            damage_child(make_index, NULL, "");
            done += 2;
        }
    printf("%u points of whole packs\n", done);
}

static void damage_is_passed_over_by_rebuild(void)
{
    printf("%u points rebuilt\n", for_each_field(64, run_rebuilding));
}

static void damage_is_healed_by_the_same_again(void)
{
    printf("%u points healed\n", for_each_field(64, run_healing));
}

static int one_point(const char *text)
{
    char what[16], kind[16];
    unsigned long long pack, offset;
    if (sscanf(text, "%15[a-z]:%15[a-z]:%llu:%llu", what, kind, &pack, &offset) != 4)
        return 2;
    struct point p = {0, pack, offset};
    while (p.kind < HARM_KINDS - 1 && strcmp(kinds[p.kind], kind) != 0)
        p.kind++;
    log_set_level(LOG_LEVEL_INFO);
    if (strcmp(what, "read") == 0)
        run_reading(p);
    else if (strcmp(what, "heal") == 0)
        run_healing(p);
    else
        run_rebuilding(p);
    return 0;
}

int main(int argc, char **argv)
{
    const char *point = NULL;
    damage_program = argv[0];
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            damage_seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--all") == 0)
            every = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--point") == 0)
            point = argv[i + 1];
    }
    printf("seed %llu\n", (unsigned long long)damage_seed);
    log_set_level(LOG_LEVEL_ERROR);
    damage_begin();
    damage_keep();
    log_set_level((enum log_level)0); /* what is damaged is told over and over */
    if (point) {
        if (one_point(point) != 0)
            fprintf(stderr, "--point read|rebuild|heal:KIND:PACK:OFFSET\n");
    } else {
        RUN(damage_of_a_byte_is_named_and_costs_nobody_else);
        RUN(damage_of_a_whole_pack_costs_what_it_held);
        RUN(damage_is_passed_over_by_rebuild);
        RUN(damage_is_healed_by_the_same_again);
    }
    damage_end();
    return check_done();
}
