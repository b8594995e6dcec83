/* Harm to every file of an archive that is no pack. Index, stamp, checkpoint, locks and clock are derived: whatever is
 * done to them while nobody writes, the archive opens with the same rows and the same bytes. A byte that turned in
 * data.mdb is read as an error, never as another row; verify says so or nothing is wrong, and a rebuild mends it. What
 * cannot be held is that LMDB, which believes its own pages, survives it: at most CRASHES_IN_A_HUNDRED points may kill
 * who reads. archive.conf says what is wrong with it. */
#include "damage_case.h"

#define CRASHES_IN_A_HUNDRED 2
#define CRASHED 99 /* exit status of a child whose reader was killed, and all else is well */

static unsigned flips, crashes; /* of data.mdb */
static unsigned times = 1;      /* --all N: so many times the points */

#define ZEROS 4096

struct point {
    const char *part;
    unsigned kind;
    uint64_t offset;
};

static void harm_do(const struct point *p)
{
    damage_do(scratch_path(p->part), p->kind, p->offset, ZEROS);
}

static void check_same(void)
{
    static const struct harm none;
    struct buf now;
    buf_init(&now);
    archive_dump(&now);
    EXPECT_TEXT(buf_string(&now), buf_string(&whole.dump));
    damage_check_reads(&none);
    buf_release(&now);
}

/* By a reader that has the archive to itself, then by a writer. */
static void derived_with(void *context)
{
    harm_do(context);
    archive_open(PACS_READ);
    check_same();
    archive_reopen(PACS_WRITE);
    check_same();
    EXPECT(archive_damage(true) == 0);
}

/* The file of an edition, whatever its row says now. */
static void read_all_that_is_listed(void)
{
    struct buf bytes;
    buf_init(&bytes);
    for (size_t i = 0; i < whole.edition_count; i++) {
        struct error err = archive_file(whole.editions[i].id, &bytes);
        error_release(&err);
    }
    buf_release(&bytes);
}

/* The tables one by one; failures are fine, crashes are not. */
static void list_everything(void)
{
    struct pacs_txn *txn;
    struct error err = pacs_begin(archive, &txn);
    for (enum object_kind kind = OBJECT_FOLDER; !err.code && kind <= OBJECT_SERIES; kind++) {
        struct object_row o = {0};
        for (unsigned i = 0; !err.code && i < 1000; i++)
            err = pacs_next_object(txn, kind, o.id, &o);
        error_release(&err);
    }
    struct instance_row row = {0};
    for (unsigned i = 0; !err.code && i < 1000; i++)
        err = pacs_next_arrival(txn, row.id, &row);
    error_release(&err);
    for (size_t i = 0; i < whole.edition_count; i++) {
        err = pacs_next_instance_by_uid(txn, whole.editions[i].uid, 0, &row);
        error_release(&err);
    }
    pacs_end(txn);
}

static bool equals_dump(void)
{
    struct buf now;
    struct pacs_txn *txn;
    struct instance_row row = {0};
    size_t count = 0;
    struct error err = pacs_begin(archive, &txn);
    while (!err.code && count < 1000) {
        err = pacs_next_arrival(txn, row.id, &row);
        count += !err.code;
    }
    bool end = err.code == ERROR_NOT_FOUND && count == whole.edition_count;
    error_release(&err);
    pacs_end(txn);
    if (!end)
        return false;
    buf_init(&now);
    int failures = check_failures;
    archive_dump(&now);
    bool same = check_failures == failures && strcmp(buf_string(&now), buf_string(&whole.dump)) == 0;
    check_failures = failures;
    buf_release(&now);
    return same;
}

static void read_damaged(void)
{
    struct buf findings;
    buf_init(&findings);
    struct error err = archive_try_open(PACS_READ);
    if (!err.code) {
        struct verify_result result = {0};
        list_everything();
        read_all_that_is_listed();
        err = pacs_verify(archive, damage_on_finding, &findings, &result);
        if (!err.code && !result.damaged && !equals_dump())
            EXPECT(!"verify saw nothing, and the rows are others");
    }
    error_release(&err);
    archive_close();
    buf_release(&findings);
}

static void no_report(int number)
{
    _exit(128 + number);
}

/* Whether it did not crash: that has a process of its own. */
static bool reads_on(void)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};
        for (size_t i = 0; i < 3; i++)
            signal(signals[i], no_report);
        alarm(CHILD_SECONDS);
        read_damaged();
        _exit(check_failures != 0);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    EXPECT(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) > 128);
    return WEXITSTATUS(status) < 128;
}

static void database_with(void *context)
{
    harm_do(context);
    bool reads = reads_on();
    archive_open(PACS_REBUILD);
    check_same();
    EXPECT(archive_damage(true) == 0);
    archive_close();
    if (!reads && !check_failures)
        _exit(CRASHED);
}

/* It opens as before, or says that archive.conf is wrong, or that the packs are another archive's; put right it is as
 * before. What stands in it for names to come has no effect on what is there. */
static void conf_with(void *context)
{
    harm_do(context);
    struct error err = archive_try_open(PACS_READ);
    if (!err.code) {
        struct verify_result result = {0};
        struct buf text;
        buf_init(&text);
        EXPECT_OK(pacs_verify(archive, damage_on_finding, &text, &result));
        if (result.damaged)
            EXPECT(strstr(buf_string(&text), "another archive"));
        else
            damage_check_reads(&(struct harm){0});
        buf_release(&text);
        archive_reopen(PACS_READ);
    } else {
        EXPECT(strstr(error_text(&err), "archive"));
    }
    error_release(&err);
    archive_close();
    err = archive_try_open(PACS_WRITE);
    error_release(&err);
    archive_close();
    struct buf bytes;
    buf_init(&bytes);
    EXPECT(file_read(scratch_path("keep/archive.conf"), &bytes) &&
           file_write(scratch_path("archive/archive.conf"), bytes.data, bytes.size));
    buf_release(&bytes);
    archive_open(PACS_READ);
    check_same();
}

/* ---- points ---- */

static void make_index(void *context)
{
    (void)context;
    archive_open(PACS_WRITE);
    archive_dump(&(struct buf){0}); /* the clock is published */
}

static void run(void (*body)(void *), const char *part, unsigned kind, uint64_t offset)
{
    char again[200];
    struct point p = {part, kind, offset};
    damage_restore();
    damage_child(make_index, NULL, "");
    snprintf(again, sizeof again, "--point %s:%s:%llu", kinds[kind], part, (unsigned long long)offset);
    if (body == database_with)
        flips++;
    if (damage_child_status(body, &p, again) == CRASHED && body == database_with)
        crashes++;
}

#define GENERATION "archive/index/g00000001/"

static const struct {
    const char *part;
    void (*body)(void *);
    unsigned flips;
} files[] = {
    {"archive/archive.conf", conf_with, 8},     {"archive/index/current", derived_with, 10},
    {GENERATION "data.mdb", database_with, 30}, {GENERATION "lock.mdb", derived_with, 6},
    {GENERATION "stamp", derived_with, 4},      {GENERATION "checkpoint", derived_with, 3},
    {"archive/run/lock", derived_with, 1},      {"archive/run/clock", derived_with, 8},
};

static uint64_t size_of(const char *part)
{
    damage_restore();
    damage_child(make_index, NULL, "");
    return file_size(scratch_path(part));
}

static void damage_of_any_other_file_is_survived(void)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        uint32_t size = (uint32_t)size_of(files[i].part);
        EXPECT(size > 0);
        for (unsigned n = 0; size && n < files[i].flips * times; n++)
            run(files[i].body, files[i].part, HARM_FLIP, n < 10 && size > 4096 ? n * 8 : damage_random(size));
        for (unsigned kind = HARM_ZEROS; size && kind < HARM_KINDS; kind++)
            run(files[i].body, files[i].part, kind, damage_random(size));
    }
    printf("%u points of data.mdb, %u killed who read\n", flips, crashes);
    EXPECT(crashes <= 1 + flips * CRASHES_IN_A_HUNDRED / 100);
}

static void database_cut(void *context)
{
    harm_do(context);
    archive_open(PACS_READ);
    check_same();
}

/* Whatever its length: reading a page that is not there is a signal, not an error. */
static void damage_index_cut_short_is_made_anew(void)
{
    uint64_t size = size_of(GENERATION "data.mdb");
    for (uint64_t cut = 0; cut < size; cut += cut < 3 * 4096 ? 2048 : size / 5)
        run(database_cut, GENERATION "data.mdb", HARM_CUT, cut);
    run(database_cut, GENERATION "data.mdb", HARM_CUT, size - 1);
}

static int one_point(char *text)
{
    char kind[16], part[160];
    unsigned long long offset;
    if (sscanf(text, "%15[a-z]:%159[^:]:%llu", kind, part, &offset) != 3)
        return 2;
    unsigned k = 0;
    while (k < HARM_KINDS - 1 && strcmp(kinds[k], kind) != 0)
        k++;
    log_set_level(LOG_LEVEL_INFO);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].part, part) == 0)
            run(files[i].body, files[i].part, k, offset);
    return 0;
}

int main(int argc, char **argv)
{
    char *point = NULL;
    damage_program = argv[0];
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            damage_seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--all") == 0)
            times = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--point") == 0)
            point = argv[i + 1];
    }
    printf("seed %llu\n", (unsigned long long)damage_seed);
    log_set_level(LOG_LEVEL_ERROR);
    damage_begin();
    damage_keep();
    log_set_level((enum log_level)0);
    if (point) {
        if (one_point(point) != 0)
            fprintf(stderr, "--point KIND:PART:OFFSET\n");
    } else {
        RUN(damage_index_cut_short_is_made_anew);
        RUN(damage_of_any_other_file_is_survived);
    }
    damage_end();
    return check_done();
}
