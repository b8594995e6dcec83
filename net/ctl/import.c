/* pacsctl import: files, folders and archives go in. What lives here: options, and walking what was named. What does
 * not: archives (unpack.c), the workers and their verdicts (intake.c).
 *
 * Folders are walked in order of their names, within them links to files are followed, links to folders are not: no
 * walk can go in circles. The archive's own folder is passed over.
 */
#include "net/ctl/command.h"
#include "net/ctl/intake.h"
#include "net/ctl/interrupt.h"
#include "net/ctl/sniff.h"
#include "net/ctl/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct import {
    struct intake *intake;
    struct report report;
    struct unpack_limits limits;
    struct stat archive; /* its folder */
};

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* True for the first bytes of an archive; an ISO image has its mark far in, and is asked for it only when it can be. */
static bool is_archive(int fd, uint64_t size)
{
    uint8_t head[512];
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n <= 0)
        return false;
    if (sniff_archive(head, (size_t)n) != ARCHIVE_NONE)
        return true;
    if (size < SNIFF_ARCHIVE_SIZE || sniff_dicom(head, (size_t)n, NULL) != DICOM_NOT)
        return false;
    uint8_t *more = malloc(SNIFF_ARCHIVE_SIZE);
    bool found = more && pread(fd, more, SNIFF_ARCHIVE_SIZE, 0) == SNIFF_ARCHIVE_SIZE &&
                 sniff_archive(more, SNIFF_ARCHIVE_SIZE) != ARCHIVE_NONE;
    free(more);
    return found;
}

static void import_file(struct import *import, const char *path, bool named)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0) {
        struct error err = error_system(errno, "cannot be opened");
        if (fd >= 0)
            close(fd);
        intake_refuse(import->intake, path, err);
    } else if (!S_ISREG(info.st_mode)) {
        close(fd);
        intake_skip(import->intake, path, "no regular file");
    } else if (is_archive(fd, (uint64_t)info.st_size)) {
        unpack(import->intake, &import->report, &import->limits, fd, path);
    } else {
        intake_give(import->intake, fd, path, named, (uint64_t)info.st_size);
    }
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *open_walk(const char *path)
{
    char *const paths[] = {(char *)path, NULL};
    return fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
}

static void import_link(struct import *import, const char *path)
{
    struct stat target;
    if (stat(path, &target) != 0)
        intake_skip(import->intake, path, "a link that leads nowhere");
    else if (S_ISREG(target.st_mode))
        import_file(import, path, false);
    else
        intake_skip(import->intake, path, "a link to something that is no file");
}

static void import_entry(struct import *import, FTS *walk, FTSENT *entry)
{
    switch (entry->fts_info) {
    case FTS_D:
        if (entry->fts_statp->st_dev == import->archive.st_dev && entry->fts_statp->st_ino == import->archive.st_ino) {
            intake_skip(import->intake, entry->fts_path, "the archive itself");
            fts_set(walk, entry, FTS_SKIP);
        }
        break;
    case FTS_F:
        import_file(import, entry->fts_path, entry->fts_level == FTS_ROOTLEVEL);
        break;
    case FTS_SL:
    case FTS_SLNONE:
        import_link(import, entry->fts_path);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        intake_refuse(import->intake, entry->fts_path, error_system(entry->fts_errno, "cannot be read"));
        break;
    case FTS_DEFAULT:
        intake_skip(import->intake, entry->fts_path, "no regular file");
        break;
    default:
        break;
    }
}

static struct error import_path(struct import *import, const char *path)
{
    if (strcmp(path, "-") == 0) {
        unpack(import->intake, &import->report, &import->limits, STDIN_FILENO, "-");
        return NO_ERROR;
    }
    FTS *walk = open_walk(path);
    if (!walk)
        return error_system(errno, "%s", path);
    for (FTSENT *entry; !intake_is_over(import->intake) && (entry = fts_read(walk));)
        import_entry(import, walk, entry);
    fts_close(walk);
    return NO_ERROR;
}

/* What lies ahead, for the status line alone. */
static void measure(struct import *import, const struct call *call)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < call->count && import->report.terminal; i++) {
        FTS *walk = strcmp(call->words[i], "-") ? open_walk(call->words[i]) : NULL;
        for (FTSENT *entry; walk && !interrupted() && (entry = fts_read(walk));)
            if (entry->fts_info == FTS_F)
                bytes += (uint64_t)entry->fts_statp->st_size;
        if (walk)
            fts_close(walk);
    }
    report_progress(&import->report, 0, 0, 0, bytes);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static struct error import_all(struct import *import, struct call *call, const struct intake_options *options)
{
    struct error err = NO_ERROR;
    bool refused = false;
    if (stat(call->archive, &import->archive) != 0)
        return error_system(errno, "%s", call->archive);
    interrupt_watch();
    TRY(intake_new(&import->intake, call, options, &import->report));
    measure(import, call);
    for (size_t i = 0; i < call->count && err.code == ERROR_NONE; i++)
        err = import_path(import, call->words[i]);
    struct error end = intake_finish(import->intake, &refused);
    if (err.code == ERROR_NONE)
        err = end;
    else
        error_release(&end);
    TRY(err);
    call->status = refused ? STATUS_SOME_FAILED : 0;
    return report_flush(&import->report);
}

struct sizes {
    char *member, *total, *memory;
};

static struct error take_limits(struct unpack_limits *limits, const struct sizes *sizes, const long given[2])
{
    TRY(parse_size("max-member", sizes->member, &limits->member_bytes));
    TRY(parse_size("max-total", sizes->total, &limits->total_bytes));
    TRY(parse_size("max-memory", sizes->memory, &limits->memory_bytes));
    limits->depth = given[0];
    limits->ratio = given[1];
    if (limits->depth < 1 || limits->depth > 16)
        return error_make(ERROR_USAGE, "--max-depth: 1 to 16");
    if (limits->ratio < 1)
        return error_make(ERROR_USAGE, "--max-ratio: at least 1");
    return NO_ERROR;
}

struct error command_import(struct call *call)
{
    struct import *import = calloc(1, sizeof *import);
    struct sizes sizes = {NULL, NULL, NULL};
    const struct unpack_limits limits = UNPACK_LIMITS_DEFAULT;
    long numbers[2] = {limits.depth, limits.ratio};
    int json = 0, quiet = 0, jobs = INTAKE_JOBS_DEFAULT;
    struct error err;
    const struct poptOption options[] = {
        {"quiet", 'q', POPT_ARG_NONE, &quiet, 0, "print only what is refused, and the summary", NULL},
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object a verdict, and a summary", NULL},
        {"jobs", 'j', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &jobs, 0, "files taken in at once", "N"},
        {"max-depth", 0, POPT_ARG_LONG | POPT_ARGFLAG_SHOW_DEFAULT, &numbers[0], 0, "archives inside each other", "N"},
        {"max-ratio", 0, POPT_ARG_LONG | POPT_ARGFLAG_SHOW_DEFAULT, &numbers[1], 0,
         "bytes unpacked from each byte of an archive", "N"},
        {"max-member", 0, POPT_ARG_STRING, &sizes.member, 0, "bytes of one member of an archive (default 64G)", "SIZE"},
        {"max-total", 0, POPT_ARG_STRING, &sizes.total, 0, "bytes unpacked from one archive (default 4096G)", "SIZE"},
        {"max-memory", 0, POPT_ARG_STRING, &sizes.memory, 0,
         "bytes of a 7z inside an archive, held in memory (default 256M)", "SIZE"},
        POPT_TABLEEND,
    };
    if (!import)
        return error_make(ERROR_NO_MEMORY, "no memory for import");
    import->limits = limits;
    report_init(&import->report, "files");
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_archive(call));
    if (!call->count)
        CHECK(error_make(ERROR_USAGE, "import what? Give files, folders, archives, or - for a tar on standard input"));
    if (jobs < 1 || jobs > INTAKE_JOBS_MAX)
        CHECK(error_make(ERROR_USAGE, "--jobs: 1 to %d", INTAKE_JOBS_MAX));
    CHECK(take_limits(&import->limits, &sizes, numbers));
    const struct intake_options intake = {(unsigned)jobs, json, quiet};
    CHECK(import_all(import, call, &intake));
out:
    report_release(&import->report);
    free(sizes.memory);
    free(sizes.total);
    free(sizes.member);
    free(import);
    return err;
}
