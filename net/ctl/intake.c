/* What lives here: the pool, its jobs, verdict lines and their counts. What does not: walking folders (import.c) and
 * archives (unpack.c).
 *
 * A long member of an archive goes through a socket pair, not a pipe: the end of a pipe looks the same whether its
 * writer is done or died. Before the stream begins one byte is sent the other way; a writer that is done reads it and
 * closes. A writer that closes with that byte unread (a damaged archive, a killed pacsctl) resets the connection, and
 * the reader gets ECONNRESET instead of an end (unix(7)).
 */
#include "net/ctl/intake.h"

#include "codecs/base/pool.h"
#include "codecs/dicom/meta.h"
#include "net/config.h"
#include "net/control.h"
#include "net/ctl/interrupt.h"
#include "net/ctl/sniff.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define VERDICTS (INGEST_CONFLICT + 1)

struct intake {
    struct intake_options options;
    struct report *report;
    struct pool *pool;
    struct pacs *pacs;     /* NULL when a daemon takes the files */
    struct config *config; /* as pacsd would have it; NULL with a daemon */
    const char *archive;
    char user[64];
    bool owner; /* the user owns the archive, or is root */
    uint64_t start_ns;
    pthread_mutex_t lock;                  /* guards all below */
    struct control *idle[INTAKE_JOBS_MAX]; /* connections that no worker uses */
    unsigned idle_count;
    uint64_t count[VERDICTS], refused, skipped;
    struct error failure; /* what ended it early */
};

struct intake_job {
    struct job job;
    struct intake *intake;
    int fd;
    bool named;
    struct intake_stream *stream; /* NULL: a file */
    uint64_t bytes;
    char label[];
};

/* Shared by the walker, who writes, and a worker, who reads the other end. */
struct intake_stream {
    struct intake *intake;
    int fd;
    bool broken;   /* the reader went away; the walker's */
    unsigned refs; /* guarded by intake->lock, as the next */
    bool told;     /* its refusal */
    char *label;
};

/* ---- verdicts ---------------------------------------------------------------------------------------------------- */

/* One verdict; `reason` and `result` may be NULL. */
static void say(struct intake *intake, const char *verdict, const char *label, const struct ingest_result *result,
                const char *reason, enum error_code code)
{
    struct buf line;
    buf_init(&line);
    if (intake->options.json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_string(&json, "verdict", verdict);
        json_key_string(&json, "path", label);
        if (result) {
            json_key_unsigned(&json, "lsn", result->lsn);
            json_key_string(&json, "study", result->study_uid);
            json_key_string(&json, "series", result->series_uid);
            json_key_string(&json, "instance", result->uid);
            json_key_string(&json, "sop_class", result->sop_class);
            json_key_string(&json, "remark", result->remark);
        }
        if (code != ERROR_NONE)
            json_key_string(&json, "error", error_name(code));
        if (reason)
            json_key_string(&json, "reason", reason);
        json_object_end(&json);
        struct error err = json_finish(&json);
        error_release(&err);
    } else {
        buf_printf(&line, "%s ", verdict);
        text_shown(&line, label);
        if (result)
            buf_printf(&line, " %s", result->uid);
        if (reason || (result && *result->remark)) {
            buf_text(&line, reason ? ": " : " (");
            text_shown(&line, reason ? reason : result->remark);
            buf_text(&line, reason ? "" : ")");
        }
    }
    report_line(intake->report, buf_string(&line));
    buf_release(&line);
}

void intake_skip(struct intake *intake, const char *label, const char *reason)
{
    pthread_mutex_lock(&intake->lock);
    intake->skipped++;
    pthread_mutex_unlock(&intake->lock);
    if (!intake->options.quiet)
        say(intake, "skipped", label, NULL, reason, ERROR_NONE);
}

/* The first failure that makes all further work useless is what the command ends with. */
static void end_early(struct intake *intake, const struct error *err)
{
    pthread_mutex_lock(&intake->lock);
    if (intake->failure.code == ERROR_NONE)
        intake->failure = error_copy(err);
    pthread_mutex_unlock(&intake->lock);
}

void intake_refuse(struct intake *intake, const char *label, struct error err)
{
    say(intake, "refused", label, NULL, error_text(&err), err.code);
    pthread_mutex_lock(&intake->lock);
    intake->refused++;
    pthread_mutex_unlock(&intake->lock);
    if (err.code == ERROR_FULL)
        end_early(intake, &err);
    error_release(&err);
}

static void taken(struct intake *intake, const struct intake_job *job, const struct ingest_result *result)
{
    if (!intake->options.quiet)
        say(intake, ingest_verdict_name(result->verdict), job->label, result, NULL, ERROR_NONE);
    pthread_mutex_lock(&intake->lock);
    intake->count[result->verdict]++;
    pthread_mutex_unlock(&intake->lock);
}

bool intake_is_over(struct intake *intake)
{
    pthread_mutex_lock(&intake->lock);
    bool over = intake->failure.code != ERROR_NONE;
    pthread_mutex_unlock(&intake->lock);
    return over || interrupted() || intake->report->failed;
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

/* True for the first of the two ends that has something to refuse. */
static bool tells(struct intake_stream *stream)
{
    pthread_mutex_lock(&stream->intake->lock);
    bool first = !stream->told;
    stream->told = true;
    pthread_mutex_unlock(&stream->intake->lock);
    return first;
}

static void stream_put(struct intake_stream *stream)
{
    if (!stream)
        return;
    struct intake *intake = stream->intake;
    pthread_mutex_lock(&intake->lock);
    unsigned left = --stream->refs;
    pthread_mutex_unlock(&intake->lock);
    if (left)
        return;
    free(stream->label);
    free(stream);
}

static long read_fd(void *context, void *to, size_t size)
{
    const int *fd = context;
    ssize_t n;
    do
        n = read(*fd, to, size);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Looks at the first bytes of a file: true when it goes on to ingest. */
static bool passes(struct intake_job *job, bool *guessed)
{
    struct error why = NO_ERROR;
    *guessed = false;
    if (job->stream)
        return true;
    uint8_t *head = malloc(META_PREFIX_MAX);
    ssize_t n = head ? pread(job->fd, head, META_PREFIX_MAX, 0) : -1;
    if (n < 0) {
        int number = head ? errno : ENOMEM;
        free(head);
        intake_refuse(job->intake, job->label, error_system(number, "cannot be read"));
        return false;
    }
    enum dicom_kind kind = sniff_dicom(head, (size_t)n, &why);
    free(head);
    *guessed = kind == DICOM_GUESSED;
    if (kind == DICOM_DIR)
        intake_skip(job->intake, job->label, "a DICOMDIR, the list of a medium's files");
    else if (kind == DICOM_NOT && job->named)
        intake_refuse(job->intake, job->label, error_copy(&why));
    else if (kind == DICOM_NOT)
        intake_skip(job->intake, job->label, error_text(&why));
    error_release(&why);
    return kind == DICOM_FILE || kind == DICOM_GUESSED;
}

static struct error hand_over(struct intake *intake, struct intake_job *job, struct ingest_result *result)
{
    struct control *control = NULL;
    pthread_mutex_lock(&intake->lock);
    if (intake->idle_count)
        control = intake->idle[--intake->idle_count];
    pthread_mutex_unlock(&intake->lock);
    struct error err = control ? NO_ERROR : control_connect(&control, intake->archive);
    if (err.code != ERROR_NONE) {
        end_early(intake, &err);
        return err;
    }
    err = control_import(control, job->fd, job->label, result);
    if (err.code == ERROR_RETRY || err.code == ERROR_BROKEN) {
        control_free(control); /* the connection itself may be what failed */
        return err;
    }
    pthread_mutex_lock(&intake->lock);
    intake->idle[intake->idle_count++] = control;
    pthread_mutex_unlock(&intake->lock);
    return err;
}

static void work(struct job *base)
{
    struct intake_job *job = (struct intake_job *)(void *)base;
    struct intake *intake = job->intake;
    struct ingest_result result;
    bool guessed;
    memset(&result, 0, sizeof result);
    if (intake_is_over(intake) || !passes(job, &guessed))
        goto out;
    const struct origin origin = {.how = "import", .address = intake->user, .file = job->label, .known = intake->owner};
    struct error err =
        intake->pacs ? ingest_file(intake->pacs, &origin, read_fd, &job->fd, &result) : hand_over(intake, job, &result);
    if (err.code == ERROR_NONE) {
        taken(intake, job, &result);
    } else if (guessed && !job->named && (err.code == ERROR_MALFORMED || err.code == ERROR_MISMATCH)) {
        intake_skip(intake, job->label, error_text(&err));
        error_release(&err);
    } else if (!job->stream || tells(job->stream)) {
        intake_refuse(intake, job->label, err);
    } else {
        error_release(&err);
    }
out:
    report_advance(intake->report, 1, job->bytes);
    close(job->fd);
    stream_put(job->stream);
    free(job);
}

/* ---- giving ------------------------------------------------------------------------------------------------------ */

static void submit(struct intake *intake, int fd, const char *label, bool named, struct intake_stream *stream,
                   uint64_t bytes)
{
    size_t size = strlen(label) + 1;
    struct intake_job *job = calloc(1, sizeof *job + size);
    if (!job) {
        close(fd);
        stream_put(stream);
        intake_refuse(intake, label, error_make(ERROR_NO_MEMORY, "no memory"));
        return;
    }
    job->job.run = work;
    job->intake = intake;
    job->fd = fd;
    job->named = named;
    job->stream = stream;
    job->bytes = bytes;
    memcpy(job->label, label, size);
    pool_run(intake->pool, &job->job);
}

void intake_give(struct intake *intake, int fd, const char *label, bool named, uint64_t bytes)
{
    submit(intake, fd, label, named, NULL, bytes);
}

struct error intake_give_bytes(struct intake *intake, const void *bytes, size_t size, const char *label, bool named)
{
    int fd = memfd_create("member", MFD_CLOEXEC);
    if (fd < 0)
        return error_system(errno, "memory for a member of %zu bytes", size);
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const uint8_t *)bytes + done, size - done, (off_t)done);
        if (n < 0 && errno != EINTR) {
            int number = errno;
            close(fd);
            return error_make(ERROR_NO_MEMORY, "memory for a member of %zu bytes: %s", size, strerror(number));
        }
        done += n > 0 ? (size_t)n : 0;
    }
    submit(intake, fd, label, named, NULL, 0);
    return NO_ERROR;
}

struct error intake_stream_begin(struct intake *intake, const char *label, struct intake_stream **stream)
{
    int ends[2];
    struct intake_stream *s = calloc(1, sizeof *s);
    *stream = NULL;
    if (!s || !(s->label = strdup(label))) {
        free(s);
        return error_make(ERROR_NO_MEMORY, "no memory");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        int number = errno;
        free(s->label);
        free(s);
        return error_system(number, "a socket pair");
    }
    s->intake = intake;
    s->fd = ends[0];
    s->refs = 2;
    s->broken = send(ends[1], "", 1, MSG_NOSIGNAL) != 1;
    *stream = s;
    submit(intake, ends[1], label, false, s, 0);
    return NO_ERROR;
}

bool intake_stream_write(struct intake_stream *stream, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size && !stream->broken;) {
        ssize_t n = send(stream->fd, (const uint8_t *)bytes + done, size - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            stream->broken = true;
        done += n > 0 ? (size_t)n : 0;
    }
    return !stream->broken;
}

void intake_stream_end(struct intake_stream *stream)
{
    char byte;
    if (recv(stream->fd, &byte, 1, MSG_DONTWAIT) < 0)
        stream->broken = true;
    close(stream->fd);
    stream_put(stream);
}

void intake_stream_fail(struct intake_stream *stream, struct error err)
{
    if (tells(stream) && err.code != ERROR_RETRY)
        intake_refuse(stream->intake, stream->label, err);
    else
        error_release(&err);
    close(stream->fd);
    stream_put(stream);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void learn_user(struct intake *intake)
{
    struct passwd entry, *found = NULL;
    char text[4096];
    struct stat folder;
    if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found)
        snprintf(intake->user, sizeof intake->user, "%s", found->pw_name);
    else
        snprintf(intake->user, sizeof intake->user, "uid %u", (unsigned)getuid());
    intake->owner = geteuid() == 0 || (stat(intake->archive, &folder) == 0 && folder.st_uid == geteuid());
}

/* The running daemon, or the writer's lock. */
static struct error find_way(struct intake *intake, const struct call *call)
{
    struct control *control;
    struct error err = control_connect(&control, call->archive);
    if (err.code == ERROR_NONE) {
        intake->idle[intake->idle_count++] = control;
        return NO_ERROR;
    }
    if (err.code != ERROR_NOT_FOUND)
        return err;
    error_release(&err);
    struct pacs_options options;
    TRY(call_config(call, &intake->config, &options));
    options.mode = PACS_WRITE;
    return call_open(call, &options, &intake->pacs);
}

struct error intake_new(struct intake **out, const struct call *call, const struct intake_options *options,
                        struct report *report)
{
    struct error err;
    struct intake *intake = calloc(1, sizeof *intake);
    *out = NULL;
    if (!intake)
        return error_make(ERROR_NO_MEMORY, "no memory");
    intake->options = *options;
    intake->report = report;
    intake->archive = call->archive;
    intake->start_ns = now_ns();
    pthread_mutex_init(&intake->lock, NULL);
    learn_user(intake);
    CHECK(find_way(intake, call));
    CHECK(pool_new(&intake->pool, options->jobs, 2 * options->jobs));
    *out = intake;
    return NO_ERROR;
out:
    pacs_close(intake->pacs);
    config_put(intake->config);
    pthread_mutex_destroy(&intake->lock);
    free(intake);
    return err;
}

static void summary_json(struct intake *intake, struct buf *line)
{
    struct json json;
    json_init(&json, json_to_buf, line, 0);
    json_object(&json);
    json_key_string(&json, "verdict", "summary");
    for (int i = 0; i < VERDICTS; i++)
        json_key_unsigned(&json, ingest_verdict_name((enum ingest_verdict)i), intake->count[i]);
    json_key_unsigned(&json, "refused", intake->refused);
    json_key_unsigned(&json, "skipped", intake->skipped);
    json_key_unsigned(&json, "bytes", intake->report->bytes);
    json_key_bool(&json, "interrupted", interrupted());
    json_object_end(&json);
    struct error err = json_finish(&json);
    error_release(&err);
}

static void summary_text(struct intake *intake, struct buf *line)
{
    double seconds = (double)(now_ns() - intake->start_ns) / 1e9;
    for (int i = 0; i < VERDICTS; i++)
        if (intake->count[i] || i == INGEST_STORED) {
            text_count(line, intake->count[i]);
            buf_printf(line, " %s, ", ingest_verdict_name((enum ingest_verdict)i));
        }
    text_count(line, intake->refused);
    buf_text(line, " refused, ");
    text_count(line, intake->skipped);
    buf_text(line, " skipped; ");
    text_size(line, intake->report->bytes);
    buf_printf(line, " in %.1f s (%.1f MB/s)", seconds, (double)intake->report->bytes / 1e6 / seconds);
    if (interrupted())
        buf_text(line, "; stopped before the end");
}

struct error intake_finish(struct intake *intake, bool *refused)
{
    struct buf line;
    if (!intake)
        return NO_ERROR;
    pool_free(intake->pool);
    buf_init(&line);
    if (intake->options.json)
        summary_json(intake, &line);
    else
        summary_text(intake, &line);
    report_line(intake->report, buf_string(&line));
    buf_release(&line);
    *refused = intake->refused > 0 || interrupted();
    struct error err = intake->failure;
    for (unsigned i = 0; i < intake->idle_count; i++)
        control_free(intake->idle[i]);
    pacs_close(intake->pacs);
    config_put(intake->config);
    pthread_mutex_destroy(&intake->lock);
    free(intake);
    return err;
}
