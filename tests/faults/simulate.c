/* Every call that an archive makes to its disk, failed or cut off in every way, and what must hold afterwards.
 *
 *   simulate                         a fixed part of all cases: what ctest runs
 *   simulate --all [--seed S]        all of them; seeds S, S + 1, S + 2
 *   simulate --plan PLAN ...         the same of one plan
 *   simulate --plan PLAN --fault CALL:FAULT --at N --seed S      one case, with the archive's log
 *   simulate --jobs J                cases at once (4)
 *
 * A plan is what the archive does meanwhile. It is run once without a fault to count its calls of each kind; then again
 * with each fault at each of them. A case is a process of its own: what kills or hangs it is a failure too. */
#include "disk.h"
#include "world.h"

#include "codecs/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 16
#define SEEDS 3
#define CASE_SECONDS 120
#define ORDINARY_CASES 450 /* of all, what ctest runs: less than a minute with sanitizers */
#define LEAKS_EVERY 16     /* looking for leaks costs more than a case */

/* ---- faults ---- */

enum { WRITES = 1, SYNCS = 2, NAMES = 4, INDEX = 8, SEEDED = 16 };

static const struct {
    const char *name;
    unsigned of; /* which calls it can meet; SEEDED: another case each seed */
} calls[DISK_CALLS] = {
    [DISK_PACK_CREATE] = {"pack-create", NAMES},
    [DISK_LOG_WRITE] = {"log-write", WRITES},
    [DISK_LOG_SYNC] = {"log-sync", SYNCS},
    [DISK_SEAL_WRITE] = {"seal-write", WRITES},
    [DISK_SEAL_SYNC] = {"seal-sync", SYNCS},
    [DISK_SMALL_CREATE] = {"small-create", NAMES},
    [DISK_SMALL_WRITE] = {"small-write", WRITES},
    [DISK_SMALL_SYNC] = {"small-sync", SYNCS},
    [DISK_FOLDER_SYNC] = {"folder-sync", SYNCS},
    [DISK_RENAME] = {"rename", NAMES},
    [DISK_UNLINK] = {"unlink", NAMES},
    [DISK_INDEX_WRITE] = {"index-write", INDEX},
    [DISK_INDEX_SYNC] = {"index-sync", SYNCS},
};

static const struct {
    const char *name;
    unsigned of;
    struct disk_fault fault;
} faults[] = {
    {"eio", WRITES | SYNCS | NAMES | INDEX, {.way = DISK_EIO}},
    {"enospc", WRITES | NAMES | INDEX, {.way = DISK_ENOSPC}},
    {"short", WRITES | INDEX, {.way = DISK_SHORT}},
    {"zero", WRITES, {.way = DISK_ZERO}},
    {"eio-stuck", WRITES | SYNCS | NAMES | INDEX, {.way = DISK_EIO, .stuck = true}},
    {"enospc-stuck", WRITES | NAMES | INDEX, {.way = DISK_ENOSPC, .stuck = true}},
    {"eio-then-kept", WRITES | SYNCS | NAMES | INDEX | SEEDED, {.way = DISK_EIO, .cut_then = 1, .survival = DISK_KEPT}},
    {"eio-then-random",
     WRITES | SYNCS | NAMES | INDEX | SEEDED,
     {.way = DISK_EIO, .cut_then = 1, .survival = DISK_RANDOM}},
    {"eio-then-kill", WRITES | SYNCS | NAMES | INDEX | SEEDED, {.way = DISK_EIO, .cut_then = 1, .survival = DISK_KILL}},
    {"kill", WRITES | SYNCS | NAMES | INDEX, {.way = DISK_CUT, .survival = DISK_KILL}},
    {"cut-kept", WRITES | SYNCS | NAMES | INDEX, {.way = DISK_CUT, .survival = DISK_KEPT}},
    {"cut-dropped", WRITES | SYNCS | NAMES | INDEX, {.way = DISK_CUT, .survival = DISK_DROPPED}},
    {"cut-torn", WRITES | SYNCS | NAMES | INDEX | SEEDED, {.way = DISK_CUT, .survival = DISK_TORN}},
    {"cut-random", WRITES | SYNCS | NAMES | INDEX | SEEDED, {.way = DISK_CUT, .survival = DISK_RANDOM}},
    {"cut-noise", WRITES | SYNCS | NAMES | INDEX | SEEDED, {.way = DISK_CUT, .survival = DISK_NOISE}},
};
#define FAULTS (sizeof faults / sizeof faults[0])
#define CUT_THEN_MAX 24

/* ---- plans ---- */

/* Two dozen images make some packs of 16 KiB: switches, seals, barriers. */
static const struct image work_images[] = {
    {.number = 1, .seed = 1, .rows = 4, .patient = 1},
    {.number = 2, .seed = 2, .rows = 64, .patient = 1},
    {.number = 1, .seed = 1, .rows = 4, .patient = 1},  /* again: a duplicate */
    {.number = 1, .seed = 11, .rows = 4, .patient = 1}, /* a version */
    {.number = 3, .seed = 3, .rows = 64, .patient = 1},
    {.number = 2, .seed = 12, .rows = 4, .patient = 1, .stranger = true}, /* a conflict */
    {.number = 4, .seed = 4, .rows = 64, .patient = 2},
    {.number = 5, .seed = 5, .rows = 64, .patient = 2},
    {.number = 3, .seed = 3, .rows = 64, .patient = 1, .stranger = true}, /* again, by another */
    {.number = 6, .seed = 6, .rows = 128, .patient = 2},
    {.number = 7, .seed = 7, .rows = 4, .patient = 3},
};
#define WORK_IMAGES (sizeof work_images / sizeof work_images[0])

static void send_work(unsigned first)
{
    for (size_t i = 0; i < WORK_IMAGES && !disk_gone(); i++) {
        struct image image = work_images[i];
        image.number += first;
        image.seed += first;
        world_send(&image);
        world_await_seal();
        if (i == 1 || i == 6)
            world_await_barrier();
    }
}

/* Opens, or opens again once the disk is well. */
static bool open_somehow(bool rebuild)
{
    if (rebuild ? world_rebuild() : world_open())
        return true;
    if (disk_gone())
        return false;
    disk_mend();
    return rebuild ? world_rebuild() : world_open();
}

static void nothing(uint64_t seed)
{
    (void)seed;
}

static void init_alone(uint64_t seed)
{
    (void)seed;
    world_init();
}

static void init_and_work(uint64_t seed)
{
    (void)seed;
    if (world_init() && world_open())
        send_work(0);
    world_close();
}

static void run_work(uint64_t seed)
{
    (void)seed;
    if (!open_somehow(false))
        return;
    send_work(0);
    world_goes_on();
    world_close();
    if (disk_gone() || !open_somehow(false))
        return;
    struct image image = {.number = 70, .seed = 70, .rows = 4, .patient = 2};
    world_send(&image);
    world_await_barrier();
    world_goes_on();
    world_close();
}

static void run_idle(uint64_t seed)
{
    struct image image = {.number = 1, .seed = 1, .rows = 4, .patient = 1};
    (void)seed;
    if (!open_somehow(false))
        return;
    world_send(&image);
    world_await_checkpoint();
    image.number = image.seed = 2;
    world_send(&image);
    world_goes_on();
    world_close();
}

static void run_large(uint64_t seed)
{
    (void)seed;
    if (!open_somehow(false))
        return;
    for (unsigned i = 0; i < 3 && !disk_gone(); i++) {
        struct image image = {.number = i, .seed = i, .rows = i == 1 ? 1500 : 4, .patient = 1};
        world_send(&image);
    }
    world_goes_on();
    world_close();
}

static void *send_some(void *argument)
{
    unsigned sender = *(unsigned *)argument;
    for (unsigned i = 0; i < 6 && !disk_gone(); i++) {
        struct image image = {.number = sender * 100 + i, .seed = i, .rows = i % 3 ? 4 : 64, .patient = 1};
        world_send(&image);
    }
    return NULL;
}

static void run_crowd(uint64_t seed)
{
    pthread_t threads[4];
    unsigned numbers[4], started = 0;
    (void)seed;
    if (!open_somehow(false))
        return;
    for (; started < 4; started++) {
        numbers[started] = started;
        if (pthread_create(&threads[started], NULL, send_some, &numbers[started]) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    world_goes_on();
    world_close();
}

/* Enough small headers for a dictionary, which later packs repeat. */
static void run_dictionary(uint64_t seed)
{
    (void)seed;
    if (!open_somehow(false))
        return;
    for (unsigned i = 0; i < 430 && !disk_gone(); i++) {
        struct image image = {.number = i, .seed = i, .rows = 1, .patient = 1};
        world_send(&image);
    }
    world_goes_on();
    world_close();
}

static void run_rebuild(uint64_t seed)
{
    struct image image = {.number = 80, .seed = 80, .rows = 4, .patient = 2};
    (void)seed;
    if (!open_somehow(true))
        return;
    world_send(&image);
    world_goes_on();
    world_close();
}

/* A cut or a kill somewhere in the work, of a kind and at a place that the seed chooses. */
static void cut_work(uint64_t seed)
{
    static const enum disk_call at[] = {DISK_LOG_WRITE, DISK_LOG_SYNC, DISK_INDEX_WRITE, DISK_SEAL_WRITE,
                                        DISK_FOLDER_SYNC};
    uint64_t chance = disk_chance(seed, "first cut", 0);
    struct disk_fault fault = {
        .call = at[chance % 5],
        .at = (unsigned)(2 + (chance >> 8) % (chance % 5 == 2  ? 40
                                              : chance % 5 < 2 ? 12
                                                               : 3)),
        .way = DISK_CUT,
        .survival = (enum disk_survival)((chance >> 24) % (DISK_NOISE + 1)),
        .seed = seed,
    };
    world_init();
    disk_plan(&fault);
    if (world_open())
        send_work(0);
    world_close();
    if (!disk_gone())
        disk_cut(fault.survival, seed);
    disk_apply();
}

static void run_recover(uint64_t seed)
{
    struct image image = {.number = 90, .seed = 90, .rows = 4, .patient = 2};
    (void)seed;
    if (!open_somehow(false))
        return;
    world_send(&image);
    world_await_seal();
    world_goes_on();
    world_close();
}

static bool init_acknowledged;

static void run_init(uint64_t seed)
{
    (void)seed;
    init_acknowledged = world_init();
    if (!init_acknowledged || !world_open())
        return;
    struct image image = {.number = 1, .seed = 1, .rows = 4, .patient = 1};
    world_send(&image);
    world_close();
}

static void init_holds(void)
{
    world_init_holds(init_acknowledged);
}

static const struct plan {
    const char *name;
    void (*prepare)(uint64_t seed); /* not counted, without a fault */
    void (*run)(uint64_t seed);     /* ends early when the power is gone */
    void (*holds)(void);
    bool seeded;     /* each seed is prepared otherwise: counted anew */
    unsigned stride; /* of its calls, those that --all takes; the others are like them */
} plans[] = {
    {"work", init_alone, run_work, world_holds, false, 1},
    {"recover", cut_work, run_recover, world_holds, true, 1},
    {"rebuild", init_and_work, run_rebuild, world_holds, false, 1},
    {"init", nothing, run_init, init_holds, false, 1},
    {"crowd", init_alone, run_crowd, world_holds, false, 1},
    {"large", init_alone, run_large, world_holds, false, 1},
    {"idle", init_alone, run_idle, world_holds, false, 4},
    {"dictionary", init_alone, run_dictionary, world_holds, false, 61},
};
#define PLANS (sizeof plans / sizeof plans[0])

/* ---- a case ---- */

struct fault_case {
    unsigned plan, fault;
    enum disk_call call;
    unsigned at;
    uint64_t seed;
};

struct outcome {
    bool done, fired;
    unsigned failures;
    unsigned counts[DISK_CALLS];
};

static void run_case(const struct fault_case *c, struct outcome *out)
{
    const struct plan *plan = &plans[c->plan];
    struct disk_fault fault = faults[c->fault].fault;
    fault.call = c->call;
    fault.at = c->at;
    fault.seed = c->seed;
    if (fault.cut_then)
        fault.cut_then = 1 + (unsigned)(disk_chance(c->seed, "cut then", c->at) % CUT_THEN_MAX);
    world_begin();
    plan->prepare(c->seed);
    disk_plan(&fault);
    plan->run(c->seed);
    world_close();
    for (int call = 0; call < DISK_CALLS; call++)
        out->counts[call] = disk_count((enum disk_call)call);
    out->fired = disk_fired();
    if (c->at && disk_gone())
        disk_apply();
    if (c->at)
        plan->holds();
    world_end();
    out->failures = world_failures();
    out->done = true;
}

static void print_command(const struct fault_case *c)
{
    fprintf(stderr, "repeat it: simulate --plan %s --fault %s:%s --at %u --seed %llu\n", plans[c->plan].name,
            calls[c->call].name, faults[c->fault].name, c->at, (unsigned long long)c->seed);
}

/* ---- many cases, each in a process ---- */

static struct job {
    pid_t pid;
    struct fault_case c;
    struct outcome *outcome; /* shared with the process */
} jobs[JOBS_MAX];
static unsigned job_count = 4; /* they wait more than they work */
static struct tally {
    unsigned long cases, fired, failed;
} tally, by_fault[FAULTS];

static void finish(struct job *job, int status)
{
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && job->outcome->done && !job->outcome->failures;
    tally.cases++;
    tally.fired += job->outcome->fired;
    tally.failed += !good;
    by_fault[job->c.fault].cases++;
    by_fault[job->c.fault].failed += !good;
    if (!good) {
        if (WIFSIGNALED(status))
            fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
        print_command(&job->c);
    }
    job->pid = 0;
}

/* A job that is free, when one is. */
static struct job *free_job(void)
{
    for (;;) {
        int status;
        for (unsigned i = 0; i < job_count; i++)
            if (!jobs[i].pid)
                return &jobs[i];
        pid_t pid = wait(&status);
        for (unsigned i = 0; i < job_count && pid > 0; i++)
            if (jobs[i].pid == pid)
                finish(&jobs[i], status);
    }
}

static void start(const struct fault_case *c)
{
    static unsigned number;
    struct job *job = free_job();
    job->c = *c;
    memset(job->outcome, 0, sizeof *job->outcome);
    number++;
    fflush(NULL);
    job->pid = fork();
    if (job->pid < 0) {
        perror("fork");
        exit(2);
    }
    if (job->pid)
        return;
    alarm(CASE_SECONDS);
    log_set_level((enum log_level)0);
    run_case(c, job->outcome);
    fflush(NULL);
    if (number % LEAKS_EVERY == 0)
        exit(0); /* with what sanitizers look for at the end */
    _exit(0);
}

static void wait_for_all(void)
{
    int status;
    for (pid_t pid; (pid = wait(&status)) > 0;)
        for (unsigned i = 0; i < job_count; i++)
            if (jobs[i].pid == pid)
                finish(&jobs[i], status);
}

/* How often a plan makes each call. */
static void count_calls(unsigned plan, uint64_t seed, unsigned counts[DISK_CALLS])
{
    struct fault_case c = {.plan = plan, .seed = seed};
    wait_for_all();
    start(&c);
    wait_for_all();
    tally.cases--;
    by_fault[0].cases--;
    memcpy(counts, jobs[0].outcome->counts, sizeof jobs[0].outcome->counts);
}

struct listing {
    struct fault_case *cases;
    size_t count, room;
};

static void list_case(struct listing *l, const struct fault_case *c)
{
    if (l->count == l->room) {
        l->room = l->room ? l->room * 2 : 1024;
        l->cases = realloc(l->cases, l->room * sizeof *l->cases);
        if (!l->cases)
            exit(2);
    }
    l->cases[l->count++] = *c;
}

static void list_plan(struct listing *l, unsigned plan, uint64_t first_seed)
{
    unsigned counts[DISK_CALLS];
    for (unsigned s = 0; s < SEEDS; s++) {
        struct fault_case c = {.plan = plan, .seed = first_seed + s};
        if (!s || plans[plan].seeded)
            count_calls(plan, c.seed, counts);
        for (int call = 0; call < DISK_CALLS; call++)
            for (c.at = 1; c.at <= counts[call]; c.at++)
                for (c.fault = 0; c.fault < FAULTS; c.fault++) {
                    c.call = (enum disk_call)call;
                    bool again = s && !plans[plan].seeded && !(faults[c.fault].of & SEEDED);
                    bool left_out = (c.at * FAULTS + c.fault) % plans[plan].stride != 0;
                    if ((faults[c.fault].of & calls[call].of) && !again && !left_out)
                        list_case(l, &c);
                }
    }
}

static int run_many(bool all, unsigned from, unsigned to, uint64_t seed)
{
    struct listing l = {0};
    for (unsigned plan = from; plan < to; plan++) {
        size_t before = l.count;
        list_plan(&l, plan, seed);
        printf("%s: %zu cases\n", plans[plan].name, l.count - before);
    }
    /* An odd step meets every fault of every call in the course of the list. */
    size_t step = all ? 1 : l.count / ORDINARY_CASES | 1;
    for (size_t i = 0; i < l.count; i += step) {
        start(&l.cases[i]);
        if (i / step % 500 == 499)
            printf("%zu of %zu\n", i / step + 1, (l.count + step - 1) / step);
    }
    wait_for_all();
    for (size_t i = 0; i < FAULTS; i++)
        printf("%-16s %6lu cases, %lu failed\n", faults[i].name, by_fault[i].cases, by_fault[i].failed);
    printf("%lu cases, %lu of them met their call, %lu failed; seed %llu\n", tally.cases, tally.fired, tally.failed,
           (unsigned long long)seed);
    free(l.cases);
    return tally.failed != 0;
}

/* ---- the command line ---- */

static int usage(void)
{
    fprintf(stderr, "usage: simulate [--all] [--seed S] [--jobs J] [--plan PLAN [--fault CALL:FAULT --at N]]\nplans:");
    for (size_t i = 0; i < PLANS; i++)
        fprintf(stderr, " %s", plans[i].name);
    fprintf(stderr, "\ncalls:");
    for (size_t i = 0; i < DISK_CALLS; i++)
        fprintf(stderr, " %s", calls[i].name);
    fprintf(stderr, "\nfaults:");
    for (size_t i = 0; i < FAULTS; i++)
        fprintf(stderr, " %s", faults[i].name);
    fprintf(stderr, "\n");
    return 2;
}

static bool read_fault(const char *text, struct fault_case *c)
{
    const char *colon = strchr(text, ':');
    bool call = false, fault = false;
    for (unsigned i = 0; colon && i < DISK_CALLS; i++)
        if (strlen(calls[i].name) == (size_t)(colon - text) &&
            strncmp(calls[i].name, text, (size_t)(colon - text)) == 0) {
            c->call = (enum disk_call)i;
            call = true;
        }
    for (unsigned i = 0; colon && i < FAULTS; i++)
        if (strcmp(faults[i].name, colon + 1) == 0) {
            c->fault = i;
            fault = true;
        }
    return call && fault;
}

static bool read_plan(const char *text, struct fault_case *c)
{
    for (unsigned i = 0; i < PLANS; i++)
        if (strcmp(plans[i].name, text) == 0) {
            c->plan = i;
            return true;
        }
    return false;
}

static int run_one(const struct fault_case *c)
{
    struct outcome outcome = {0};
    run_case(c, &outcome);
    printf("the fault %s its call; %u failures\n", outcome.fired ? "met" : "did not meet", outcome.failures);
    return outcome.failures != 0;
}

int main(int argc, char **argv)
{
    struct fault_case c = {.seed = 1};
    if (access("/dev/shm", W_OK) == 0) /* nothing here is about the real disk, which is slower by far */
        setenv("TMPDIR", "/dev/shm", 0);
    bool all = false, one = false, planned = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--all") == 0) {
            all = true;
            continue;
        }
        i++;
        bool good = true;
        if (strcmp(argv[i - 1], "--seed") == 0)
            c.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--jobs") == 0)
            job_count = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--at") == 0)
            c.at = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--plan") == 0)
            good = planned = read_plan(value, &c);
        else if (strcmp(argv[i - 1], "--fault") == 0)
            good = one = read_fault(value, &c);
        else
            good = false;
        if (!good || job_count < 1 || job_count > JOBS_MAX)
            return usage();
    }
    if (one)
        return run_one(&c);
    struct outcome *shared =
        mmap(NULL, JOBS_MAX * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    for (unsigned i = 0; i < JOBS_MAX; i++)
        jobs[i].outcome = &shared[i];
    return run_many(all, planned ? c.plan : 0, planned ? c.plan + 1 : PLANS, c.seed);
}
