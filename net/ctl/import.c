/* pacsctl import: files, folders and archives go in. What lives here: options, and what becomes of each entry. What does
 * not: walking (file_walk.c), archives (unpack.c), the workers and their verdicts (intake.c).
 *
 * Folders are walked in order of their names, within them links to files are followed, links to folders are not: no
 * walk can go in circles. The archive's own folder is passed over.
 */
#include "net/ctl/command.h"
#include "net/ctl/file_walk.h"
#include "net/ctl/intake.h"
#include "net/ctl/interrupt.h"
#include "net/ctl/sniff.h"
#include "net/ctl/unpack.h"

#include <errno.h>
#include <fcntl.h>
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

static bool is_archive_folder(const struct import *import, const struct stat *info)
{
    return info->st_dev == import->archive.st_dev && info->st_ino == import->archive.st_ino;
}

static void import_entry(struct import *import, struct file_walk *walk, const struct file_walk_entry *entry)
{
    mode_t mode = entry->info.st_mode;
    if (entry->failure) {
        intake_refuse(import->intake, entry->path, error_system(entry->failure, "cannot be read"));
    } else if (S_ISDIR(mode) && is_archive_folder(import, &entry->info)) {
        intake_skip(import->intake, entry->path, "the archive itself");
        file_walk_pass(walk);
    } else if (S_ISREG(mode)) {
        import_file(import, entry->path, entry->start);
    } else if (S_ISLNK(mode)) {
        import_link(import, entry->path);
    } else if (!S_ISDIR(mode)) {
        intake_skip(import->intake, entry->path, "no regular file");
    }
}

static struct error import_path(struct import *import, const char *path)
{
    struct file_walk *walk;
    struct file_walk_entry entry;
    if (strcmp(path, "-") == 0) {
        unpack(import->intake, &import->report, &import->limits, STDIN_FILENO, "-");
        return NO_ERROR;
    }
    TRY(file_walk_new(&walk, path));
    while (!intake_is_over(import->intake) && file_walk_next(walk, &entry))
        import_entry(import, walk, &entry);
    file_walk_free(walk);
    return NO_ERROR;
}

/* What lies ahead, for the status line alone: what cannot be read is told of later. */
static uint64_t bytes_below(const char *path)
{
    uint64_t bytes = 0;
    struct file_walk *walk;
    struct file_walk_entry entry;
    struct error err = file_walk_new(&walk, path);
    if (err.code == ERROR_NONE) {
        while (!interrupted() && file_walk_next(walk, &entry))
            bytes += !entry.failure && S_ISREG(entry.info.st_mode) ? (uint64_t)entry.info.st_size : 0;
        file_walk_free(walk);
    }
    error_release(&err);
    return bytes;
}

static void measure(struct import *import, const struct call *call)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < call->count && import->report.terminal; i++)
        bytes += strcmp(call->words[i], "-") ? bytes_below(call->words[i]) : 0;
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
