/* pacsctl status: whether pacsd runs, where the archive is mounted, how much room there is, what was refused.
 *
 * Nothing here is a lock or a promise: it is what was so when it was asked. What pacsd says of itself is the answer to
 * the verb "status" (net/control.h), a JSON object.
 */
#include "net/config.h"
#include "net/control.h"
#include "net/ctl/command.h"
#include "net/ctl/report.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MOUNT_LINE_MAX 16384

struct status {
    struct buf daemon; /* what pacsd says: a JSON object; empty when none answers */
    struct buf lines;  /* the same, as its lines */
    bool running;
    struct buf why_silent; /* pacsd runs, but does not answer us */
    struct buf mounts;     /* mount points, each with a NUL */
    uint64_t free_bytes, reserve_bytes;
    uint64_t quarantined;
    struct pacs_counts counts;
};

static void take_line(void *context, const char *line)
{
    struct status *status = context;
    buf_text(&status->daemon, line + strspn(line, " "));
    buf_text(&status->lines, line);
    buf_byte(&status->lines, '\n');
}

static struct error ask_daemon(struct status *status, const char *archive)
{
    struct control *control = NULL;
    const char *const words[] = {"status", NULL};
    struct error err = control_connect(&control, archive);
    if (err.code == ERROR_NONE) {
        status->running = true;
        err = control_call(control, words, take_line, status);
    }
    if (err.code == ERROR_REFUSED) {
        status->running = true;
        buf_text(&status->why_silent, error_text(&err));
    }
    control_free(control);
    if (err.code == ERROR_NOT_FOUND || err.code == ERROR_REFUSED)
        error_release(&err);
    return err;
}

/* Octal escapes of proc_pid_mountinfo(5), in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
            *to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 3;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
}

/* "36 35 0:44 / /mnt/a rw,nosuid shared:1 - fuse.pacsfs /srv/pacs rw": the mount point, if the source is `archive`. */
static const char *mount_of(char *line, const char *archive)
{
    char *rest = strstr(line, " - "), *point = line, *source, real[PATH_MAX];
    if (!rest)
        return NULL;
    *rest = 0;
    rest += 3;
    const char *type = strsep(&rest, " ");
    source = rest ? strsep(&rest, " ") : NULL;
    for (unsigned i = 0; i < 4 && point; i++)
        strsep(&point, " ");
    char *place = point ? strsep(&point, " ") : NULL;
    if (!place || !source || (strcmp(type, "fuse.pacsfs") != 0 && strcmp(type, "fuse") != 0))
        return NULL;
    unescape(place);
    unescape(source);
    const char *path = strncmp(source, "pacsfs:", 7) == 0 ? source + 7 : source;
    return *path == '/' && realpath(path, real) && strcmp(real, archive) == 0 ? place : NULL;
}

static struct error find_mounts(struct status *status, const char *archive)
{
    static char line[MOUNT_LINE_MAX];
    char real[PATH_MAX];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file || !realpath(archive, real)) {
        int number = errno;
        if (file)
            fclose(file);
        return error_system(number, "mounts of %s", archive);
    }
    while (fgets(line, sizeof line, file)) {
        const char *point = mount_of(line, real);
        if (point)
            buf_append(&status->mounts, point, strlen(point) + 1);
    }
    fclose(file);
    return buf_error(&status->mounts);
}

/* Data sets in quarantine; each has a .reason beside it. */
static uint64_t count_quarantine(const char *archive)
{
    char path[PATH_MAX];
    uint64_t count = 0;
    snprintf(path, sizeof path, "%s/quarantine", archive);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        count += dot && strcmp(dot, ".reason") == 0;
    }
    if (dir)
        closedir(dir);
    return count;
}

static struct error gather(struct status *status, struct pacs *pacs, const struct pacs_options *options)
{
    const char *archive = pacs_path(pacs);
    struct statvfs disk;
    struct pacs_txn *txn;
    if (statvfs(archive, &disk) != 0)
        return error_system(errno, "%s", archive);
    status->free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    status->reserve_bytes = (uint64_t)options->reserve_bytes;
    status->quarantined = count_quarantine(archive);
    TRY(find_mounts(status, archive));
    TRY(ask_daemon(status, archive));
    TRY(pacs_begin(pacs, &txn));
    struct error err = pacs_counts(txn, &status->counts);
    pacs_end(txn);
    return err;
}

static struct error print_json(struct status *status, const char *archive)
{
    struct buf text;
    struct json json;
    buf_init(&text);
    json_init(&json, json_to_buf, &text, 0);
    json_object(&json);
    json_key_string(&json, "archive", archive);
    json_key_bool(&json, "running", status->running);
    json_key(&json, "pacsd");
    if (status->daemon.size)
        json_raw(&json, status->daemon.data, status->daemon.size);
    else
        json_null(&json);
    json_key(&json, "mounts");
    json_array(&json);
    for (size_t i = 0; i < status->mounts.size; i += strlen((const char *)status->mounts.data + i) + 1)
        json_string(&json, (const char *)status->mounts.data + i);
    json_array_end(&json);
    json_key_unsigned(&json, "free_bytes", status->free_bytes);
    json_key_unsigned(&json, "reserve_bytes", status->reserve_bytes);
    json_key_unsigned(&json, "lsn", status->counts.lsn);
    json_key_unsigned(&json, "instances", status->counts.instances);
    json_key_unsigned(&json, "quarantined", status->quarantined);
    json_object_end(&json);
    struct error err = json_finish(&json);
    printf("%s\n", buf_string(&text));
    buf_release(&text);
    return err;
}

static void print_row(const char *label, const char *text)
{
    struct buf shown;
    buf_init(&shown);
    text_shown(&shown, text);
    printf("%-12s %s\n", label, buf_string(&shown));
    buf_release(&shown);
}

/* `  "batches": 12,` becomes `  batches: 12`; lines of brackets alone are left out. */
static void print_daemon(struct status *status)
{
    char *rest = status->lines.data ? (char *)status->lines.data : NULL;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        struct buf text;
        buf_init(&text);
        for (const char *p = line; *p; p++)
            if (!strchr("\"{}[]", *p) && !(*p == ',' && !p[1]))
                buf_byte(&text, (uint8_t)*p);
        if (text.size > strspn(buf_string(&text), " ,"))
            print_row("", buf_string(&text));
        buf_release(&text);
    }
}

static void print_human(struct status *status, const char *archive)
{
    struct buf text;
    buf_init(&text);
    print_row("archive", archive);
    print_row("pacsd", !status->running          ? "not running"
                       : status->why_silent.size ? buf_string(&status->why_silent)
                                                 : "running");
    print_daemon(status);
    for (size_t i = 0; i < status->mounts.size; i += strlen((const char *)status->mounts.data + i) + 1)
        print_row("mounted on", (const char *)status->mounts.data + i);
    if (!status->mounts.size)
        print_row("mounted on", "nothing");
    text_size(&text, status->free_bytes);
    buf_text(&text, " free, of which the last ");
    text_size(&text, status->reserve_bytes);
    buf_text(&text, status->free_bytes <= status->reserve_bytes ? " are kept back: NOTHING MORE IS TAKEN IN"
                                                                : " are kept back");
    print_row("disk", buf_string(&text));
    buf_clear(&text);
    text_count(&text, status->counts.instances);
    buf_printf(&text, " instances, newest LSN %llu", (unsigned long long)status->counts.lsn);
    print_row("holds", buf_string(&text));
    buf_clear(&text);
    text_count(&text, status->quarantined);
    buf_text(&text, status->quarantined ? " refused after receipt: see quarantine/*.reason" : " refused after receipt");
    print_row("quarantine", buf_string(&text));
    buf_release(&text);
}

struct error command_status(struct call *call)
{
    struct status status = {.running = false};
    struct pacs *pacs = NULL;
    struct config *config = NULL;
    struct error err;
    int json = 0;
    const struct poptOption options[] = {
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object", NULL},
        POPT_TABLEEND,
    };
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_no_words(call));
    struct pacs_options opening;
    CHECK(call_config(call, &config, &opening));
    CHECK(call_open(call, &opening, &pacs));
    CHECK(gather(&status, pacs, &opening));
    if (json)
        CHECK(print_json(&status, pacs_path(pacs)));
    else
        print_human(&status, pacs_path(pacs));
out:
    pacs_close(pacs);
    config_put(config);
    buf_release(&status.mounts);
    buf_release(&status.why_silent);
    buf_release(&status.lines);
    buf_release(&status.daemon);
    return err;
}
