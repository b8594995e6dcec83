/* What lives here: the caller's side of the control socket. */
#include "net/control_packet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IMPORT_WORDS 9 /* "done" and what control_verbs.c says of import */

struct control {
    int fd;
    struct control_packet packet;
};

struct error control_connect(struct control **out, const char *archive)
{
    struct sockaddr_un address;
    TRY(control_address(&address, archive));
    struct control *control = malloc(sizeof *control);
    if (!control)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (control->fd >= 0 && connect(control->fd, (struct sockaddr *)&address, sizeof address) == 0) {
        *out = control;
        return NO_ERROR;
    }
    int number = errno;
    control_free(control);
    if (number == ENOENT || number == ECONNREFUSED || number == ENOTDIR)
        return error_make(ERROR_NOT_FOUND, "no pacsd serves %s", archive);
    if (number == EACCES || number == EPERM)
        return error_make(ERROR_REFUSED, "%s: pacsd takes orders from root and from the user it runs as",
                          address.sun_path);
    return error_system(number, "%s", address.sun_path);
}

void control_free(struct control *control)
{
    if (!control)
        return;
    if (control->fd >= 0)
        close(control->fd);
    free(control);
}

static struct error failure(const struct control_packet *packet)
{
    if (packet->count != 3 || strcmp(packet->words[0], "error") != 0)
        return error_make(ERROR_MALFORMED, "pacsd answered \"%.32s\" with %zu words", packet->words[0], packet->count);
    for (int code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        if (strcmp(error_name((enum error_code)code), packet->words[1]) == 0)
            return error_make((enum error_code)code, "%s", packet->words[2]);
    }
    return error_make(ERROR_BROKEN, "%s", packet->words[2]);
}

/* Until "done", whose packet stays in control->packet. */
static struct error await(struct control *control, void (*line)(void *context, const char *), void *context)
{
    struct control_packet *packet = &control->packet;
    for (;;) {
        struct error err = control_receive(control->fd, packet);
        if (err.code == ERROR_NOT_FOUND) {
            error_release(&err);
            return error_make(ERROR_RETRY, "pacsd closed the connection before it answered");
        }
        TRY(err);
        if (packet->fd >= 0)
            close(packet->fd);
        if (strcmp(packet->words[0], "done") == 0)
            return NO_ERROR;
        if (packet->count != 2 || strcmp(packet->words[0], "line") != 0)
            return failure(packet);
        if (line)
            line(context, packet->words[1]);
    }
}

struct error control_call(struct control *control, const char *const *words, void (*line)(void *context, const char *),
                          void *context)
{
    TRY(control_send(control->fd, words, -1));
    return await(control, line, context);
}

static bool verdict_by_name(const char *name, enum ingest_verdict *verdict)
{
    for (int v = INGEST_STORED; v <= INGEST_CONFLICT; v++) {
        if (strcmp(ingest_verdict_name((enum ingest_verdict)v), name) == 0) {
            *verdict = (enum ingest_verdict)v;
            return true;
        }
    }
    return false;
}

struct error control_import(struct control *control, int fd, const char *name, struct ingest_result *result)
{
    const char *request[] = {"import", name, NULL};
    const char *const *words = control->packet.words;
    TRY(control_send(control->fd, request, fd));
    TRY(await(control, NULL, NULL));
    *result = (struct ingest_result){0};
    if (control->packet.count != IMPORT_WORDS || !verdict_by_name(words[1], &result->verdict))
        return error_make(ERROR_MALFORMED, "pacsd answered an import with %zu words", control->packet.count);
    result->lsn = strtoull(words[2], NULL, 10);
    result->id = strtoull(words[3], NULL, 10);
    const struct {
        char *to;
        size_t size;
    } texts[] = {{result->study_uid, sizeof result->study_uid},
                 {result->series_uid, sizeof result->series_uid},
                 {result->uid, sizeof result->uid},
                 {result->sop_class, sizeof result->sop_class},
                 {result->remark, sizeof result->remark}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        snprintf(texts[i].to, texts[i].size, "%s", words[4 + i]);
    return NO_ERROR;
}
