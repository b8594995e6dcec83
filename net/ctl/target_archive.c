/* What lives here: export into one zip or tar, by libarchive. Written beside its name, synced, then named. */
#include "net/ctl/target.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct packing {
    struct target target;
    struct archive *archive;
    bool force;
    int fd;
    char path[PATH_MAX], part[PATH_MAX];
};

static const struct {
    const char *end;
    int (*format)(struct archive *archive);
    int (*filter)(struct archive *archive);
} formats[] = {
    {".zip", archive_write_set_format_zip, archive_write_add_filter_none},
    {".tar", archive_write_set_format_pax_restricted, archive_write_add_filter_none},
    {".tar.gz", archive_write_set_format_pax_restricted, archive_write_add_filter_gzip},
    {".tgz", archive_write_set_format_pax_restricted, archive_write_add_filter_gzip},
    {".tar.zst", archive_write_set_format_pax_restricted, archive_write_add_filter_zstd},
};

static struct error failed(struct packing *p)
{
    int number = archive_errno(p->archive);
    const char *text = archive_error_string(p->archive);
    return error_make(number == ENOSPC ? ERROR_FULL : ERROR_BROKEN, "%s: %s", p->path,
                      text ? text : "cannot be written");
}

static struct error begin(struct target *target, const char *name, uint64_t size, uint64_t time_ns)
{
    struct packing *p = (struct packing *)(void *)target;
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return error_make(ERROR_NO_MEMORY, "no memory");
    archive_entry_update_pathname_utf8(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, (time_t)(time_ns / 1000000000), (long)(time_ns % 1000000000));
    int code = archive_write_header(p->archive, entry);
    archive_entry_free(entry);
    return code < ARCHIVE_WARN ? failed(p) : NO_ERROR;
}

static struct error feed(struct target *target, const void *bytes, size_t size)
{
    struct packing *p = (struct packing *)(void *)target;
    for (size_t done = 0; done < size;) {
        la_ssize_t n = archive_write_data(p->archive, (const uint8_t *)bytes + done, size - done);
        if (n <= 0)
            return failed(p);
        done += (size_t)n;
    }
    return NO_ERROR;
}

static struct error end(struct target *target)
{
    struct packing *p = (struct packing *)(void *)target;
    return archive_write_finish_entry(p->archive) < ARCHIVE_WARN ? failed(p) : NO_ERROR;
}

/* The member stays short: finish() is told that the whole is not whole. */
static void drop(struct target *target)
{
    (void)target;
}

static struct error publish(struct packing *p)
{
    if (archive_write_close(p->archive) < ARCHIVE_WARN)
        return failed(p);
    if (fsync(p->fd) != 0)
        return error_system(errno, "%s", p->path);
    if (renameat2(AT_FDCWD, p->part, AT_FDCWD, p->path, p->force ? 0 : RENAME_NOREPLACE) != 0)
        return errno == EEXIST ? error_make(ERROR_REFUSED, "%s is there already (--force replaces it)", p->path)
                               : error_system(errno, "%s", p->path);
    return NO_ERROR;
}

static struct error finish(struct target *target, bool whole)
{
    struct packing *p = (struct packing *)(void *)target;
    struct error err = whole ? publish(p) : NO_ERROR;
    archive_write_free(p->archive); /* closes it too; what is not whole is deleted */
    close(p->fd);
    if (!whole || err.code != ERROR_NONE)
        unlink(p->part);
    free(p);
    return err;
}

static const struct target_ops ops = {begin, feed, end, drop, finish};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static struct error open_archive(struct packing *p)
{
    size_t i = 0, count = sizeof formats / sizeof *formats;
    while (i < count && !ends_with(p->path, formats[i].end))
        i++;
    if (i == count)
        return error_make(ERROR_USAGE, "%s: its name must end with .zip, .tar, .tar.gz, .tgz or .tar.zst", p->path);
    if (!p->force && access(p->path, F_OK) == 0)
        return error_make(ERROR_REFUSED, "%s is there already (--force replaces it)", p->path);
    p->fd = open(p->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (p->fd < 0)
        return error_system(errno, "%s", p->path);
    p->archive = archive_write_new();
    if (!p->archive)
        return error_make(ERROR_NO_MEMORY, "no memory");
    if (formats[i].filter(p->archive) < ARCHIVE_WARN || formats[i].format(p->archive) < ARCHIVE_WARN)
        return failed(p);
    /* A format that knows no such option says so; that is no failure. Pixels gain little beyond the first level. */
    archive_write_set_format_option(p->archive, NULL, "hdrcharset", "UTF-8");
    archive_write_set_format_option(p->archive, NULL, "compression-level", "1");
    archive_write_set_filter_option(p->archive, NULL, "compression-level", "1");
    if (archive_write_open_fd(p->archive, p->fd) < ARCHIVE_WARN)
        return failed(p);
    return NO_ERROR;
}

struct error archive_target(struct target **target, const char *path, bool force)
{
    struct packing *p = calloc(1, sizeof *p);
    *target = NULL;
    if (!p)
        return error_make(ERROR_NO_MEMORY, "no memory");
    p->target.ops = &ops;
    p->target.whole_only = true;
    p->force = force;
    p->fd = -1;
    snprintf(p->path, sizeof p->path, "%s", path);
    int n = snprintf(p->part, sizeof p->part, "%s.%ld.part", path, (long)getpid());
    struct error err = n >= (int)sizeof p->part ? error_make(ERROR_USAGE, "a path of %d bytes", n) : open_archive(p);
    if (err.code == ERROR_NONE) {
        *target = &p->target;
        return NO_ERROR;
    }
    if (p->archive)
        archive_write_free(p->archive);
    if (p->fd >= 0) {
        close(p->fd);
        unlink(p->part);
    }
    free(p);
    return err;
}
