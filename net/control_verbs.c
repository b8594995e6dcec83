/* What lives here: the verbs of the control socket, a row each. What does not: packets, threads and rights (control.c).
 */
#include "net/control_packet.h"

#include "codecs/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct error control_line(const struct control_request *request, const char *text)
{
    const char *words[] = {"line", text, NULL};
    return control_send(request->socket, words, -1);
}

static struct error ping(const struct control_request *request, struct buf *room, const char **done)
{
    (void)request;
    (void)room;
    done[0] = PACSFS_VERSION;
    return NO_ERROR;
}

/* ---- import ------------------------------------------------------------------------------------------------------ */

/* The writer of a pipe or socket may take its time: then a stop ends the wait, and so does a caller who has gone. Files
 * never wait. */
struct source {
    int fd, stop_fd, caller_fd;
    bool waits;
};

static long read_source(void *context, void *to, size_t size)
{
    struct source *source = context;
    for (;;) {
        struct pollfd polled[3] = {{.fd = source->fd, .events = POLLIN},
                                   {.fd = source->stop_fd, .events = POLLIN},
                                   {.fd = source->caller_fd, .events = POLLRDHUP}};
        if (source->waits && poll(polled, 3, -1) < 0)
            continue;
        if (source->waits && (polled[1].revents || (polled[2].revents && !polled[0].revents))) {
            errno = ECANCELED;
            return -1;
        }
        ssize_t got = read(source->fd, to, size);
        if (got >= 0 || (errno != EINTR && errno != EAGAIN))
            return got;
    }
}

static void user_name(unsigned uid, char *name, size_t size)
{
    char room[4096];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(uid, &entry, room, sizeof room, &found) == 0 && found)
        snprintf(name, size, "%s", found->pw_name);
    else
        snprintf(name, size, "%u", uid);
}

static struct error import(const struct control_request *request, struct buf *room, const char **done)
{
    char user[128];
    struct stat st;
    struct ingest_result result = {0};
    struct source source = {request->packet->fd, request->stop_fd, request->socket, false};
    if (fstat(source.fd, &st) != 0)
        return error_system(errno, "%s", request->packet->words[1]);
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
        return error_make(ERROR_USAGE, "%s: neither a file, a pipe nor a socket", request->packet->words[1]);
    source.waits = !S_ISREG(st.st_mode);
    if (!source.waits && lseek(source.fd, 0, SEEK_SET) != 0)
        return error_system(errno, "%s", request->packet->words[1]);
    user_name(request->uid, user, sizeof user);
    struct origin origin = {.how = "import", .address = user, .file = request->packet->words[1], .known = true};
    TRY(ingest_file(request->pacs, &origin, read_source, &source, &result));

    char numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%" PRIu64, result.lsn);
    snprintf(numbers[1], sizeof numbers[1], "%" PRIu64, result.id);
    const char *words[] = {ingest_verdict_name(result.verdict),
                           numbers[0],
                           numbers[1],
                           result.study_uid,
                           result.series_uid,
                           result.uid,
                           result.sop_class,
                           result.remark};
    size_t at[sizeof words / sizeof *words];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        at[i] = room->size;
        buf_append(room, words[i], strlen(words[i]) + 1);
    }
    TRY(buf_error(room));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        done[i] = (const char *)room->data + at[i];
    return NO_ERROR;
}

/* ---- status ------------------------------------------------------------------------------------------------------ */

static void archive_status(struct pacs *pacs, struct json *json)
{
    struct writer_stats writer;
    struct cache_stats cache;
    pacs_writer_stats(pacs, &writer);
    cache_stats(pacs_cache(pacs), &cache);
    json_key(json, "writer");
    json_object(json);
    json_key_unsigned(json, "batches", writer.batches);
    json_key_unsigned(json, "records", writer.records);
    json_key_unsigned(json, "bytes", writer.bytes);
    json_key_unsigned(json, "syncs", writer.syncs);
    json_key_unsigned(json, "queue", writer.queue);
    json_key_unsigned(json, "queue_max", writer.queue_max);
    json_key_unsigned(json, "failed_writes", writer.failed_writes);
    json_key_unsigned(json, "checkpoints", writer.checkpoints);
    json_key_unsigned(json, "pool_threads", writer.pool_threads);
    json_object_end(json);
    json_key(json, "cache");
    json_object(json);
    json_key_unsigned(json, "limit", cache.limit);
    json_key_unsigned(json, "used", cache.used);
    json_key_unsigned(json, "entries", cache.entries);
    json_key_unsigned(json, "hits", cache.hits);
    json_key_unsigned(json, "misses", cache.misses);
    json_key_unsigned(json, "evictions", cache.evictions);
    json_object_end(json);
}

static struct error status(const struct control_request *request, struct buf *room, const char **done)
{
    struct json json;
    struct error err = NO_ERROR;
    char *rest = NULL;
    (void)done;
    json_init(&json, json_to_buf, room, 2);
    json_object(&json);
    json_key_string(&json, "version", PACSFS_VERSION);
    json_key_integer(&json, "pid", getpid());
    request->status(request->context, &json);
    archive_status(request->pacs, &json);
    json_object_end(&json);
    CHECK(json_finish(&json));
    CHECK(buf_error(room));
    for (char *line = strtok_r((char *)room->data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        CHECK(control_line(request, line));
out:
    return err;
}

static struct error rebuild(const struct control_request *request, struct buf *room, const char **done)
{
    (void)room;
    (void)done;
    return error_make(ERROR_BUSY, "pacsd serves %s; stop it, then run rebuild", pacs_path(request->pacs));
}

const struct control_verb control_verbs[] = {
    {"ping", 0, 0, false, ping},       /* -> version */
    {"import", 1, 1, true, import},    /* name, descriptor -> verdict lsn id study series instance class remark */
    {"status", 0, 0, false, status},   /* -> lines of one JSON object */
    {"rebuild", 0, 0, false, rebuild}, /* refused: a running writer needs its index */
    {NULL, 0, 0, false, NULL},
};
