/* What lives here: the daemon's side of the control socket, who may use it, and its threads. What does not: what the
 * verbs do (control_verbs.c).
 *
 *   accept_loop -> connection_new -> connection_thread (receive, check, run the verb, answer) -> done -> reaped
 *
 * The accepting thread owns the others and joins them. Waits end when `stop` is readable; a request under way ends
 * first.
 */
#include "net/control_packet.h"

#include "codecs/base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOTS (CONTROL_CONNECTIONS_MAX + 8) /* the surplus is for evicted ones that have not ended yet */

struct connection {
    struct control_server *server;
    pthread_t thread;
    int fd;
    unsigned uid;
    bool used; /* this and all below are guarded by the server's mutex */
    bool done;
    bool evicted;      /* shut down to make room, and not counted any more */
    int64_t waiting_s; /* since when for a request; 0: one is served */
};

struct control_server {
    struct pacs *pacs;
    void (*status)(void *context, struct json *json);
    void *context;
    struct sockaddr_un address;
    int listening;
    int wake; /* eventfd: a connection is done */
    int stop; /* eventfd: readable when everything is to end */
    pthread_t thread;
    pthread_mutex_t mutex;
    struct connection connections[SLOTS]; /* only the accepting thread uses and reuses them */
};

static void signal_event(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* it fails only when it is readable already */
}

/* ---- one connection ---------------------------------------------------------------------------------------------- */

static struct error run_verb(const struct control_request *request, struct buf *room, const char **done)
{
    const struct control_packet *packet = request->packet;
    for (const struct control_verb *verb = control_verbs; verb->name; verb++) {
        if (strcmp(verb->name, packet->words[0]) != 0)
            continue;
        if (packet->count - 1 < verb->words_min || packet->count - 1 > verb->words_max ||
            verb->takes_fd != (packet->fd >= 0))
            return error_make(ERROR_USAGE, "%s takes %zu to %zu words and %s descriptor", verb->name, verb->words_min,
                              verb->words_max, verb->takes_fd ? "one" : "no");
        return verb->run(request, room, done);
    }
    return error_make(ERROR_UNSUPPORTED, "this pacsd (" PACSFS_VERSION ") does not know \"%.64s\"", packet->words[0]);
}

static struct error answer(const struct control_request *request)
{
    const char *words[CONTROL_WORDS_MAX + 2] = {"done"};
    struct buf room;
    buf_init(&room);
    struct error err = run_verb(request, &room, words + 1);
    if (err.code == ERROR_NONE) {
        err = control_send(request->socket, words, -1);
    } else {
        const char *failure[] = {"error", error_name(err.code), error_text(&err), NULL};
        struct error sent = control_send(request->socket, failure, -1);
        error_release(&err);
        err = sent;
    }
    buf_release(&room);
    return err;
}

static int64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void note_waiting(struct connection *self, int64_t since_s)
{
    pthread_mutex_lock(&self->server->mutex);
    self->waiting_s = since_s;
    pthread_mutex_unlock(&self->server->mutex);
}

static bool wait_for_request(struct connection *self)
{
    note_waiting(self, now_s());
    struct pollfd polled[2] = {{.fd = self->fd, .events = POLLIN}, {.fd = self->server->stop, .events = POLLIN}};
    while (poll(polled, 2, -1) < 0)
        ;
    note_waiting(self, 0);
    return !polled[1].revents;
}

static void serve(struct connection *self, struct control_packet *packet)
{
    struct control_server *server = self->server;
    struct error err = NO_ERROR;
    while (err.code == ERROR_NONE && wait_for_request(self)) {
        err = control_receive(self->fd, packet);
        if (err.code != ERROR_NONE)
            break;
        struct control_request request = {server->pacs, server->status, server->context, packet,
                                          self->fd,     server->stop,   self->uid};
        err = answer(&request);
        if (packet->fd >= 0)
            close(packet->fd);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    log_error(LOG_LEVEL_WARNING, "control", &err);
}

static void *connection_thread(void *context)
{
    struct connection *self = context;
    struct control_packet *packet = malloc(sizeof *packet);
    if (packet)
        serve(self, packet);
    free(packet);
    pthread_mutex_lock(&self->server->mutex);
    close(self->fd);
    self->done = true;
    pthread_mutex_unlock(&self->server->mutex);
    signal_event(self->server->wake);
    return NULL;
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

static void refuse(int fd, enum error_code code, const char *text)
{
    const char *words[] = {"error", error_name(code), text, NULL};
    struct error err = control_send(fd, words, -1);
    error_release(&err); /* it may have gone already */
    close(fd);
}

/* A slot for a newcomer. Where all are taken, the connection that says nothing for longest has to go, if that is more
 * than CONTROL_IDLE_S. NULL: all are at work, or were so a moment ago. */
static struct connection *make_room(struct control_server *server)
{
    struct connection *slot = NULL, *idle = NULL;
    size_t counted = 0;
    pthread_mutex_lock(&server->mutex);
    for (struct connection *c = server->connections; c < server->connections + SLOTS; c++) {
        if (!c->used) {
            slot = c;
            continue;
        }
        counted += !c->evicted;
        if (!c->evicted && !c->done && c->waiting_s && (!idle || c->waiting_s < idle->waiting_s))
            idle = c;
    }
    if (counted >= CONTROL_CONNECTIONS_MAX && slot) {
        if (idle && now_s() - idle->waiting_s > CONTROL_IDLE_S) {
            idle->evicted = true;
            shutdown(idle->fd, SHUT_RDWR);
        } else {
            slot = NULL;
        }
    }
    pthread_mutex_unlock(&server->mutex);
    return slot;
}

static void connection_new(struct control_server *server, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || (peer.uid != 0 && peer.uid != geteuid())) {
        refuse(fd, ERROR_REFUSED, "pacsd takes orders from root and from the user it runs as");
        return;
    }
    struct connection *self = make_room(server);
    if (!self) {
        refuse(fd, ERROR_BUSY, "too many control connections at once");
        return;
    }
    /* Who does not read the answers may not keep pacsd from stopping. */
    const struct timeval patience = {.tv_sec = CONTROL_SEND_S};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0) {
        refuse(fd, ERROR_BROKEN, "no time limit for this connection");
        return;
    }
    *self = (struct connection){.server = server, .fd = fd, .uid = peer.uid, .used = true};
    if (pthread_create(&self->thread, NULL, connection_thread, self) != 0) {
        self->used = false;
        refuse(fd, ERROR_NO_MEMORY, "no thread for this connection");
    }
}

static void reap(struct control_server *server, bool all)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct connection *connection = &server->connections[i];
        pthread_mutex_lock(&server->mutex);
        bool ready = connection->used && (all || connection->done);
        pthread_mutex_unlock(&server->mutex);
        if (ready) {
            pthread_join(connection->thread, NULL);
            connection->used = false;
        }
    }
}

static void *accept_loop(void *context)
{
    struct control_server *server = context;
    for (;;) {
        struct pollfd polled[3] = {{.fd = server->listening, .events = POLLIN},
                                   {.fd = server->wake, .events = POLLIN},
                                   {.fd = server->stop, .events = POLLIN}};
        uint64_t count;
        if (poll(polled, 3, -1) < 0)
            continue;
        if (polled[2].revents)
            break;
        if (polled[1].revents && read(server->wake, &count, sizeof count) > 0)
            reap(server, false);
        if (polled[0].revents) {
            int fd = accept4(server->listening, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                connection_new(server, fd);
            else if (errno == EMFILE || errno == ENFILE)
                usleep(100000);
        }
    }
    reap(server, true);
    return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* We hold the writer's lock, so a socket that is there was left by a daemon that is gone. */
static struct error open_socket(struct control_server *server)
{
    const char *path = server->address.sun_path;
    struct stat st;
    server->listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listening < 0)
        return error_system(errno, "no control socket");
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return error_make(ERROR_REFUSED, "%s: not a socket; move it away", path);
        if (unlink(path) != 0)
            return error_system(errno, "%s", path);
    }
    if (bind(server->listening, (struct sockaddr *)&server->address, sizeof server->address) != 0 ||
        chmod(path, 0660) != 0 || listen(server->listening, SOMAXCONN) != 0)
        return error_system(errno, "%s", path);
    return NO_ERROR;
}

static void release(struct control_server *server)
{
    if (server->listening >= 0)
        close(server->listening);
    close(server->wake);
    close(server->stop);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

struct error control_server_start(struct control_server **out, struct pacs *pacs,
                                  void (*status)(void *context, struct json *json), void *context)
{
    struct error err = NO_ERROR;
    struct control_server *server = calloc(1, sizeof *server);
    if (!server)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    server->pacs = pacs;
    server->status = status;
    server->context = context;
    server->listening = -1;
    pthread_mutex_init(&server->mutex, NULL);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake < 0 || server->stop < 0) {
        err = error_system(errno, "no descriptor for an event");
        goto out;
    }
    CHECK(control_address(&server->address, pacs_path(pacs)));
    CHECK(open_socket(server));
    int failure = pthread_create(&server->thread, NULL, accept_loop, server);
    if (failure != 0) {
        err = error_system(failure, "no thread for the control socket");
        goto out;
    }
    *out = server;
    return NO_ERROR;
out:
    release(server);
    return err;
}

void control_server_stop(struct control_server *server)
{
    if (!server)
        return;
    signal_event(server->stop);
    pthread_join(server->thread, NULL);
    unlink(server->address.sun_path);
    release(server);
}
