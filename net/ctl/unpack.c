/* What lives here: members of archives, their limits, and archives inside them. What does not: how a DICOM file goes in
 * (intake.c).
 *
 * A member is read into memory up to INTAKE_SPOOL_MAX. Then
 *   it is whole: an archive is walked from memory; anything else is given to a worker, which looks at it;
 *   it goes on: an archive is walked while it is read (a 7z: held in memory first); DICOM is streamed to a worker; all
 *   else is passed over.
 * Every byte that comes out of libarchive is counted in `struct budget` before anyone sees it (take). Members that are
 * passed over are read and counted too where passing over means to unpack them.
 */
#include "net/ctl/unpack.h"

#include "net/ctl/sniff.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK (256 << 10)
#define NAME_SHOWN_MAX 4096

struct budget {
    const struct unpack_limits *limits;
    struct intake *intake;
    struct report *report;
    struct archive *top; /* counts what was read of the file itself */
    uint64_t unpacked;
    uint64_t reported; /* of what was read */
    bool over;         /* a limit was reached that ends the whole archive */
};

struct member;
/* One archive that is being walked. */
struct folder {
    struct budget *budget;
    struct archive *archive;
    const char *label;
    int depth;             /* 1: the file itself */
    bool fatal;            /* libarchive can read no further, and a member's verdict says why */
    struct member *source; /* the member that it is, while that is read on; NULL at depth 1 */
};

/* One member while it is read. */
struct member {
    struct folder *folder;
    char label[NAME_SHOWN_MAX];
    uint64_t size; /* read so far */
    uint8_t *head; /* the first bytes, up to INTAKE_SPOOL_MAX */
    size_t head_size;
    bool end;
    bool over;            /* longer than the limit */
    struct error failure; /* of libarchive or of a limit */
    size_t head_read;     /* as an archive: handed out */
    uint8_t block[BLOCK];
};

static void walk(struct folder *folder);

/* ---- reading, and its limits ------------------------------------------------------------------------------------- */

static struct error check_budget(struct budget *budget, uint64_t more)
{
    const struct unpack_limits *limits = budget->limits;
    uint64_t read = (uint64_t)archive_filter_bytes(budget->top, -1);
    budget->unpacked += more;
    if (read > budget->reported) {
        report_advance(budget->report, 0, read - budget->reported);
        budget->reported = read;
    }
    if (budget->unpacked > (uint64_t)limits->total_bytes) {
        budget->over = true;
        return error_make(ERROR_REFUSED, "more than %" PRId64 " bytes unpacked (--max-total)", limits->total_bytes);
    }
    if (budget->unpacked > UNPACK_RATIO_GRACE && budget->unpacked / (uint64_t)limits->ratio > read) {
        budget->over = true;
        return error_make(ERROR_REFUSED, "more than %" PRId64 " bytes unpacked from each byte (--max-ratio)",
                          limits->ratio);
    }
    return NO_ERROR;
}

/* Up to `size` bytes of the member: the bytes got, 0 at its end, -1 with member->failure. */
static ssize_t take(struct member *member, void *to, size_t size)
{
    struct budget *budget = member->folder->budget;
    if (member->failure.code != ERROR_NONE)
        return -1;
    if (member->end)
        return 0;
    ssize_t n;
    do
        n = archive_read_data(member->folder->archive, to, size);
    while (n == ARCHIVE_RETRY);
    if (n < 0 && n != ARCHIVE_WARN) {
        const char *text = archive_error_string(member->folder->archive);
        member->folder->fatal = n == ARCHIVE_FATAL;
        member->failure = error_make(ERROR_MALFORMED, "%s", text ? text : "the archive is damaged");
        return -1;
    }
    member->end = n <= 0;
    member->size += n > 0 ? (size_t)n : 0;
    member->failure = check_budget(budget, n > 0 ? (uint64_t)n : 0);
    if (member->failure.code == ERROR_NONE && member->size > (uint64_t)budget->limits->member_bytes) {
        member->over = true;
        member->failure =
            error_make(ERROR_REFUSED, "longer than %" PRId64 " bytes (--max-member)", budget->limits->member_bytes);
    }
    if (member->failure.code == ERROR_NONE && intake_is_over(budget->intake)) {
        budget->over = true;
        member->failure = error_make(ERROR_RETRY, "stopped");
    }
    return member->failure.code == ERROR_NONE ? (n > 0 ? n : 0) : -1;
}

/* Passing over costs unpacking where members lie in one compressed stream: then it is counted. */
static void pass_over(struct member *member)
{
    struct archive *archive = member->folder->archive;
    bool solid = archive_filter_count(archive) > 1 || archive_format(archive) == ARCHIVE_FORMAT_7ZIP;
    while (solid && take(member, member->block, sizeof member->block) > 0)
        ;
}

static void open_formats(struct archive *archive, bool raw)
{
    archive_read_support_format_zip(archive);
    archive_read_support_format_7zip(archive);
    archive_read_support_format_tar(archive);
    archive_read_support_format_iso9660(archive);
    archive_read_support_format_empty(archive);
    if (raw)
        archive_read_support_format_raw(archive);
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_zstd(archive);
}

/* A failure of the user's wish to stop is none: the summary says so. */
static void refuse(struct intake *intake, const char *label, struct error err)
{
    if (err.code == ERROR_RETRY)
        error_release(&err);
    else
        intake_refuse(intake, label, err);
}

/* Where the bytes of an inner archive failed, that is what is told, once, by one_member(). */
static void refuse_archive(struct folder *folder)
{
    if (folder->source && folder->source->failure.code != ERROR_NONE)
        return;
    const char *text = archive_error_string(folder->archive);
    intake_refuse(folder->budget->intake, folder->label,
                  error_make(ERROR_MALFORMED, "%s", text ? text : "the archive cannot be read"));
}

/* ---- archives inside --------------------------------------------------------------------------------------------- */

/* libarchive's read callback: the head, then what follows. */
static la_ssize_t read_inner(struct archive *archive, void *context, const void **bytes)
{
    struct member *member = context;
    if (member->head_read < member->head_size) {
        *bytes = member->head + member->head_read;
        size_t n = member->head_size - member->head_read;
        member->head_read = member->head_size;
        return (la_ssize_t)n;
    }
    *bytes = member->block;
    ssize_t n = take(member, member->block, sizeof member->block);
    if (n < 0)
        archive_set_error(archive, EIO, "%s", error_text(&member->failure));
    return n < 0 ? ARCHIVE_FATAL : n;
}

/* The whole member in memory, for formats that are not read from start to end. */
static struct error hold(struct member *member, int *fd)
{
    int64_t limit = member->folder->budget->limits->memory_bytes;
    const uint8_t *bytes = member->head;
    ssize_t n = (ssize_t)member->head_size;
    *fd = memfd_create("archive", MFD_CLOEXEC);
    if (*fd < 0)
        return error_system(errno, "memory for an archive");
    do {
        if (member->size > (uint64_t)limit)
            return error_make(ERROR_REFUSED, "a 7z inside an archive, longer than %" PRId64 " bytes (--max-memory)",
                              limit);
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(*fd, bytes + done, (size_t)(n - done));
            if (w < 0 && errno != EINTR)
                return error_make(ERROR_NO_MEMORY, "memory for an archive: %s", strerror(errno));
            done += w > 0 ? w : 0;
        }
        bytes = member->block;
        n = take(member, member->block, sizeof member->block);
    } while (n > 0);
    if (n < 0) {
        struct error err = member->failure;
        member->failure = NO_ERROR;
        return err;
    }
    return lseek(*fd, 0, SEEK_SET) == 0 ? NO_ERROR : error_system(errno, "memory for an archive");
}

static void walk_inner(struct member *member, enum archive_kind kind)
{
    struct budget *budget = member->folder->budget;
    struct folder inner = {.budget = budget,
                           .archive = archive_read_new(),
                           .label = member->label,
                           .depth = member->folder->depth + 1,
                           .source = member};
    int fd = -1, opened = ARCHIVE_FATAL;
    struct error err = NO_ERROR;
    if (!inner.archive)
        err = error_make(ERROR_NO_MEMORY, "no memory for an archive");
    else if (inner.depth > budget->limits->depth)
        err = error_make(ERROR_REFUSED, "more than %" PRId64 " archives inside each other (--max-depth)",
                         budget->limits->depth);
    if (err.code != ERROR_NONE)
        goto out;
    open_formats(inner.archive, kind == ARCHIVE_COMPRESSED);
    if (member->end) {
        opened = archive_read_open_memory(inner.archive, member->head, member->head_size);
    } else if (kind == ARCHIVE_7ZIP) {
        CHECK(hold(member, &fd));
        opened = archive_read_open_fd(inner.archive, fd, BLOCK);
    } else {
        opened = archive_read_open(inner.archive, member, NULL, read_inner, NULL);
    }
    if (opened != ARCHIVE_OK)
        refuse_archive(&inner);
    else
        walk(&inner);
out:
    if (err.code != ERROR_NONE)
        refuse(budget->intake, member->label, err);
    archive_read_free(inner.archive);
    if (fd >= 0)
        close(fd);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static void refuse_member(struct member *member)
{
    struct error err = member->failure;
    member->failure = NO_ERROR;
    refuse(member->folder->budget->intake, member->label, err);
}

static void stream(struct member *member)
{
    struct intake *intake = member->folder->budget->intake;
    struct intake_stream *stream;
    struct error err = intake_stream_begin(intake, member->label, &stream);
    if (err.code != ERROR_NONE) {
        intake_refuse(intake, member->label, err);
        return;
    }
    bool wanted = intake_stream_write(stream, member->head, member->head_size);
    ssize_t n = 0;
    while (wanted && (n = take(member, member->block, sizeof member->block)) > 0)
        wanted = intake_stream_write(stream, member->block, (size_t)n);
    if (n < 0) {
        intake_stream_fail(stream, member->failure);
        member->failure = NO_ERROR;
    } else {
        intake_stream_end(stream);
        if (!wanted)
            pass_over(member);
    }
}

/* A member whose first bytes are known. */
static void handle(struct member *member)
{
    struct intake *intake = member->folder->budget->intake;
    struct error why = NO_ERROR;
    enum archive_kind kind = sniff_archive(member->head, member->head_size);
    if (kind != ARCHIVE_NONE) {
        walk_inner(member, kind);
        return;
    }
    if (member->end) {
        struct error err = intake_give_bytes(intake, member->head, member->head_size, member->label, false);
        if (err.code != ERROR_NONE)
            intake_refuse(intake, member->label, err);
        return;
    }
    switch (sniff_dicom(member->head, member->head_size, &why)) {
    case DICOM_FILE:
    case DICOM_GUESSED:
        stream(member);
        return;
    case DICOM_DIR:
        intake_skip(intake, member->label, "a DICOMDIR, the list of a medium's files");
        break;
    case DICOM_NOT:
        intake_skip(intake, member->label, error_text(&why));
        break;
    }
    error_release(&why);
    pass_over(member);
}

static void read_head(struct member *member)
{
    size_t want = INTAKE_SPOOL_MAX;
    while (member->head_size < want) {
        ssize_t n = take(member, member->head + member->head_size, want - member->head_size);
        if (n <= 0)
            return;
        member->head_size += (size_t)n;
    }
    /* exactly as long as the head? */
    ssize_t n = take(member, member->head + want, 1);
    member->head_size += n > 0 ? 1 : 0;
}

static const char *entry_name(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (!name)
        name = archive_entry_pathname(entry);
    return name ? name : "(a name that cannot be read)";
}

static const char *why_passed(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) == AE_IFLNK)
        return "a link inside an archive";
    if (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != 0)
        return "no file";
    return NULL;
}

static void one_member(struct member *member, struct archive_entry *entry)
{
    struct intake *intake = member->folder->budget->intake;
    snprintf(member->label, sizeof member->label, "%s/%s", member->folder->label, entry_name(entry));
    const char *passed = why_passed(entry);
    if (passed) {
        intake_skip(intake, member->label, passed);
        return;
    }
    if (archive_entry_is_encrypted(entry)) {
        intake_refuse(intake, member->label, error_make(ERROR_UNSUPPORTED, "it is encrypted"));
        return;
    }
    read_head(member);
    if (member->failure.code == ERROR_NONE)
        handle(member);
    bool over = member->over;
    if (member->failure.code != ERROR_NONE)
        refuse_member(member);
    if (over) {
        member->size = 0;
        pass_over(member);
        error_release(&member->failure);
    }
}

/* All members of an archive. */
static void walk(struct folder *folder)
{
    struct archive_entry *entry;
    struct budget *budget = folder->budget;
    struct member *member = calloc(1, sizeof *member);
    if (member)
        member->head = malloc(INTAKE_SPOOL_MAX + 1);
    if (!member || !member->head) {
        intake_refuse(budget->intake, folder->label, error_make(ERROR_NO_MEMORY, "no memory for an archive"));
        goto out;
    }
    while (!folder->fatal && !budget->over && !intake_is_over(budget->intake)) {
        int code = archive_read_next_header(folder->archive, &entry);
        if (code == ARCHIVE_EOF)
            break;
        if (code == ARCHIVE_RETRY)
            continue;
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
            refuse_archive(folder);
            break;
        }
        if (archive_entry_filetype(entry) == AE_IFDIR)
            continue;
        uint8_t *head = member->head;
        memset(member, 0, offsetof(struct member, block));
        member->folder = folder;
        member->head = head;
        one_member(member, entry);
        error_release(&member->failure);
    }
out:
    if (member)
        free(member->head);
    free(member);
}

void unpack(struct intake *intake, struct report *report, const struct unpack_limits *limits, int fd, const char *label)
{
    struct budget budget = {limits, intake, report, archive_read_new(), 0, 0, false};
    struct folder folder = {.budget = &budget, .archive = budget.top, .label = label, .depth = 1};
    uint8_t head[4] = {0};
    if (!budget.top) {
        intake_refuse(intake, label, error_make(ERROR_NO_MEMORY, "no memory for an archive"));
        goto out;
    }
    bool raw = pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head;
    open_formats(budget.top, raw && sniff_archive(head, sizeof head) == ARCHIVE_COMPRESSED);
    if (archive_read_open_fd(budget.top, fd, BLOCK) != ARCHIVE_OK)
        refuse_archive(&folder);
    else
        walk(&folder);
out:
    archive_read_free(budget.top);
    if (fd > 0)
        close(fd);
}
