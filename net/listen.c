/* What lives here: sockets that listen, the threads of associations, their number. What does not: what is said on a
 * connection (session.c).
 *
 *   accept_loop -> connection_new -> connection_thread -> session_run -> done -> reaped by accept_loop
 *
 * The accepting thread owns the listening sockets, which nobody else closes while it runs, and all connection threads:
 * when one ends it marks itself done, writes to `wake`, and is joined. It goes on after the listening sockets are
 * closed, until listener_free() has aborted what is left.
 */
#include "net/listen.h"

#include "codecs/base/log.h"
#include "net/session.h"
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION_STACK (1 << 20) /* bytes; nothing of ours or DCMTK's comes near */
#define ACCEPT_AT_ONCE 16
#define ACCEPT_PAUSE_MS 200 /* after a failed accept, so that a full table of descriptors is no busy loop */

struct connection {
    struct connection *next;
    struct listener *listener;
    struct config *config; /* as it was when the connection came */
    pthread_t thread;
    int fd;
    uint64_t number;
    struct sockaddr_storage socket_address;
    char address[SOCKET_TEXT_MAX];
    uint8_t slot;            /* of the address, see socket_slot() */
    const struct peer *peer; /* of `config`; NULL: a stranger, or not known yet */
    bool established;        /* counted as an association */
    bool evicted;            /* shut down to make room, and not counted any more */
    bool done;               /* its socket is closed */
};

struct listener {
    struct pacs *pacs;
    struct service_counters counters;
    struct peer_log *log;
    pthread_t thread;
    int wake; /* eventfd: a connection is done, or `closing` changed */
    int stop; /* eventfd: readable when everything is to end */
    char ports_path[4096];
    char names[CONFIG_LISTEN_MAX][SOCKET_TEXT_MAX];
    size_t count;

    pthread_mutex_t mutex; /* guards all below, and of connections what stands below `slot` */
    int fds[CONFIG_LISTEN_MAX];
    struct config *config;
    struct connection *connections;
    unsigned connection_count, evicted_count; /* the former without the latter */
    uint64_t last_number;
    bool closing, stopping;
};

static void signal_event(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* it fails only when it is readable already */
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

/* A peer with a limit of its own is counted by its entry, everybody else by address. */
static bool counts_as_same(const struct connection *a, const struct connection *b)
{
    if (b->peer && b->peer->max_associations)
        return a->peer && strcmp(a->peer->name, b->peer->name) == 0;
    return strcmp(a->address, b->address) == 0 && !(a->peer && a->peer->max_associations);
}

static const struct rejection *admit(void *context, const struct peer *peer, char detail[SESSION_DETAIL_MAX])
{
    struct connection *self = context;
    struct listener *listener = self->listener;
    const struct config *config = self->config;
    bool own = peer && peer->max_associations;
    int64_t all = 0, same = 0, same_max = own ? peer->max_associations : config->max_associations_a_peer;
    const struct rejection *rejection = NULL;
    pthread_mutex_lock(&listener->mutex);
    self->peer = peer;
    for (const struct connection *c = listener->connections; c; c = c->next) {
        all += c->established && !c->done;
        same += c->established && !c->done && counts_as_same(c, self);
    }
    if (listener->closing) {
        rejection = &rejection_congestion;
    } else if (all >= config->max_associations) {
        rejection = &rejection_limit;
        snprintf(detail, SESSION_DETAIL_MAX, "; max_associations is %lld, and %lld are open, %lld of them from there",
                 (long long)config->max_associations, (long long)all, (long long)same);
    } else if (same >= same_max) {
        rejection = &rejection_limit;
        snprintf(detail, SESSION_DETAIL_MAX, "; %lld are open from there, as many as %s allows", (long long)same,
                 own ? "its max_associations" : "max_associations_a_peer");
    } else {
        self->established = true;
    }
    pthread_mutex_unlock(&listener->mutex);
    return rejection;
}

static void *connection_thread(void *context)
{
    struct connection *self = context;
    struct listener *listener = self->listener;
    struct caller caller = {
        .fd = self->fd,
        .stop_fd = listener->stop,
        .number = self->number,
        .socket_address = (const struct sockaddr *)&self->socket_address,
        .address = self->address,
        .pacs = listener->pacs,
        .config = self->config,
        .counters = &listener->counters,
        .log = listener->log,
        .admit = admit,
        .context = self,
    };
    session_run(&caller);
    pthread_mutex_lock(&listener->mutex);
    close(self->fd);
    self->done = true;
    --*(self->evicted ? &listener->evicted_count : &listener->connection_count);
    pthread_mutex_unlock(&listener->mutex);
    signal_event(listener->wake);
    return NULL;
}

static void connection_free(struct connection *connection)
{
    config_put(connection->config);
    free(connection);
}

static bool negotiates(const struct connection *c)
{
    return !c->established && !c->evicted && !c->done;
}

/* Where there is no room for a newcomer, the oldest connection that still negotiates has to go, of the address that has
 * most of them: who opens hundreds and says nothing pushes out his own. False: nobody negotiates. `*evicted` is its
 * address. */
static bool make_room(struct listener *listener, char evicted[SOCKET_TEXT_MAX])
{
    struct connection *oldest = NULL;
    unsigned counts[SOCKET_SLOTS] = {0}, most = 0;
    for (struct connection *c = listener->connections; c; c = c->next)
        counts[c->slot] += negotiates(c);
    for (struct connection *c = listener->connections; c; c = c->next) {
        if (negotiates(c) && counts[c->slot] >= most) { /* the list begins with the youngest */
            most = counts[c->slot];
            oldest = c;
        }
    }
    if (!oldest)
        return false;
    oldest->evicted = true;
    listener->connection_count--;
    listener->evicted_count++;
    shutdown(oldest->fd, SHUT_RDWR);
    memcpy(evicted, oldest->address, SOCKET_TEXT_MAX);
    return true;
}

static void connection_new(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
    struct connection *self = calloc(1, sizeof *self);
    pthread_attr_t attributes;
    char evicted[SOCKET_TEXT_MAX] = "";
    int failure;
    if (!self) {
        close(fd);
        return;
    }
    self->listener = listener;
    self->fd = fd;
    self->socket_address = *address;
    socket_address_text((const struct sockaddr *)address, self->address);
    self->slot = socket_slot(self->address);
    pthread_mutex_lock(&listener->mutex);
    self->config = config_get(listener->config);
    self->number = ++listener->last_number;
    bool full = listener->connection_count >= self->config->max_associations + LISTEN_NEGOTIATING_MAX;
    bool room = !full || make_room(listener, evicted);
    if (room) {
        self->next = listener->connections;
        listener->connections = self;
        listener->connection_count++;
    }
    pthread_mutex_unlock(&listener->mutex);
    if (*evicted)
        peer_log(listener->log, evicted, LOG_LEVEL_WARNING, "dicom",
                 "connection from %s closed before its request had come: no more than %d may negotiate at once, and "
                 "most are from there; a firewall keeps it away",
                 evicted, LISTEN_NEGOTIATING_MAX);
    if (!room) {
        peer_log(listener->log, self->address, LOG_LEVEL_WARNING, "dicom",
                 "connection from %s closed: %lld associations and %d negotiations at once are too many; "
                 "max_associations, or accept = known and a firewall",
                 self->address, (long long)self->config->max_associations, LISTEN_NEGOTIATING_MAX);
        close(fd);
        connection_free(self);
        return;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, CONNECTION_STACK);
    pthread_mutex_lock(&listener->mutex); /* the thread may end before pthread_create returns */
    failure = pthread_create(&self->thread, &attributes, connection_thread, self);
    if (failure != 0) {
        listener->connections = self->next;
        listener->connection_count--;
    }
    pthread_mutex_unlock(&listener->mutex);
    pthread_attr_destroy(&attributes);
    if (failure != 0) {
        peer_log(listener->log, self->address, LOG_LEVEL_ERROR, "dicom",
                 "connection from %s closed: no thread for it: %s", self->address, strerror(failure));
        close(fd);
        connection_free(self);
    }
}

/* Joins what is done. True if nothing is left. */
static bool reap(struct listener *listener)
{
    struct connection *done = NULL;
    pthread_mutex_lock(&listener->mutex);
    for (struct connection **at = &listener->connections; *at;) {
        struct connection *connection = *at;
        if (!connection->done) {
            at = &connection->next;
            continue;
        }
        *at = connection->next;
        connection->next = done;
        done = connection;
    }
    bool empty = !listener->connections;
    pthread_mutex_unlock(&listener->mutex);
    while (done) {
        struct connection *next = done->next;
        pthread_join(done->thread, NULL);
        connection_free(done);
        done = next;
    }
    return empty;
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

static void close_sockets(struct listener *listener)
{
    for (size_t i = 0; i < listener->count; i++) {
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
        listener->fds[i] = -1;
    }
}

/* A few at a time: in a flood, too, those that are done are to be joined. */
static void accept_some(struct listener *listener, int listening)
{
    for (unsigned n = 0; n < ACCEPT_AT_ONCE; n++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd = accept4(listening, (struct sockaddr *)&address, &size, SOCK_CLOEXEC);
        if (fd >= 0) {
            connection_new(listener, fd, &address);
            continue;
        }
        if (errno == EAGAIN || errno == EBADF || errno == EINVAL)
            return;
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        struct error err = error_system(errno, "cannot accept connections");
        log_error(LOG_LEVEL_ERROR, "dicom", &err);
        struct timespec pause = {0, ACCEPT_PAUSE_MS * 1000000};
        nanosleep(&pause, NULL);
        return;
    }
}

static void *accept_loop(void *context)
{
    struct listener *listener = context;
    for (;;) {
        struct pollfd polled[CONFIG_LISTEN_MAX + 1] = {{.fd = listener->wake, .events = POLLIN}};
        uint64_t count;
        pthread_mutex_lock(&listener->mutex);
        if (listener->closing)
            close_sockets(listener);
        /* Those closed are -1, which poll passes over. Newcomers wait while many evicted ones have yet to end. */
        bool accepts = listener->evicted_count < LISTEN_NEGOTIATING_MAX;
        for (size_t i = 0; i < listener->count; i++)
            polled[i + 1] = (struct pollfd){.fd = accepts ? listener->fds[i] : -1, .events = POLLIN};
        bool stopping = listener->stopping;
        pthread_mutex_unlock(&listener->mutex);
        if (reap(listener) && stopping)
            return NULL;
        if (poll(polled, listener->count + 1, -1) < 0)
            continue;
        if (polled[0].revents) {
            ssize_t got = read(listener->wake, &count, sizeof count);
            (void)got; /* whatever it was, the loop looks at everything */
        }
        for (size_t i = 0; i < listener->count; i++) {
            if (polled[i + 1].revents)
                accept_some(listener, polled[i + 1].fd);
        }
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static struct error open_sockets(struct listener *listener)
{
    bool open_to_all = false;
    for (size_t i = 0; i < listener->config->listen.count; i++) {
        TRY(socket_listen(&listener->fds[i], listener->config->listen.items[i]));
        listener->count++;
        TRY(socket_name(listener->fds[i], listener->names[i]));
        open_to_all |= !listener->config->known_only && !socket_is_loopback(listener->fds[i]);
    }
    if (open_to_all)
        log_line(LOG_LEVEL_WARNING, "dicom",
                 "any machine that reaches us may store images; accept = known and [peer] entries say who may");
    return NO_ERROR;
}

/* The file is there whole or not at all. */
static struct error write_ports(struct listener *listener)
{
    char temporary[sizeof listener->ports_path + 8];
    struct error err = NO_ERROR;
    snprintf(listener->ports_path, sizeof listener->ports_path, "%s/run/pacsd.ports", pacs_path(listener->pacs));
    snprintf(temporary, sizeof temporary, "%s.new", listener->ports_path);
    FILE *file = fopen(temporary, "we");
    if (!file)
        return error_system(errno, "%s", temporary);
    for (size_t i = 0; i < listener->count; i++)
        fprintf(file, "%s\n", listener->names[i]);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        err = error_system(errno, "%s", temporary);
    else if (rename(temporary, listener->ports_path) != 0)
        err = error_system(errno, "%s", listener->ports_path);
    return err;
}

static void release(struct listener *listener)
{
    close_sockets(listener);
    if (*listener->ports_path)
        unlink(listener->ports_path);
    close(listener->wake);
    close(listener->stop);
    peer_log_free(listener->log);
    pthread_mutex_destroy(&listener->mutex);
    config_put(listener->config);
    free(listener);
}

struct error listener_start(struct listener **out, struct pacs *pacs, struct config *config)
{
    struct error err = NO_ERROR;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    listener->pacs = pacs;
    listener->config = config_get(config);
    pthread_mutex_init(&listener->mutex, NULL);
    listener->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    listener->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (listener->wake < 0 || listener->stop < 0) {
        err = error_system(errno, "no descriptor for an event");
        goto out;
    }
    CHECK(peer_log_new(&listener->log));
    CHECK(open_sockets(listener));
    int failure = pthread_create(&listener->thread, NULL, accept_loop, listener);
    if (failure != 0) {
        err = error_system(failure, "no thread to accept connections");
        goto out;
    }
    *out = listener;
    return NO_ERROR;
out:
    release(listener);
    return err;
}

struct error listener_announce(struct listener *listener)
{
    TRY(write_ports(listener));
    for (size_t i = 0; i < listener->count; i++)
        log_line(LOG_LEVEL_INFO, "dicom", "%s listens at %s", listener->config->aet, listener->names[i]);
    return NO_ERROR;
}

void listener_configure(struct listener *listener, struct config *config)
{
    pthread_mutex_lock(&listener->mutex);
    struct config *before = listener->config;
    listener->config = config_get(config);
    pthread_mutex_unlock(&listener->mutex);
    config_put(before);
}

void listener_close(struct listener *listener)
{
    pthread_mutex_lock(&listener->mutex);
    listener->closing = true;
    pthread_mutex_unlock(&listener->mutex);
    signal_event(listener->wake);
}

unsigned listener_connections(struct listener *listener)
{
    pthread_mutex_lock(&listener->mutex);
    unsigned count = listener->connection_count + listener->evicted_count;
    pthread_mutex_unlock(&listener->mutex);
    return count;
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    listener_close(listener);
    pthread_mutex_lock(&listener->mutex);
    listener->stopping = true;
    pthread_mutex_unlock(&listener->mutex);
    signal_event(listener->stop);
    signal_event(listener->wake);
    pthread_join(listener->thread, NULL);
    release(listener);
}

void listener_status(struct listener *listener, struct json *json)
{
    uint64_t now = 0;
    pthread_mutex_lock(&listener->mutex);
    for (const struct connection *c = listener->connections; c; c = c->next)
        now += c->established && !c->done;
    struct config *config = config_get(listener->config);
    pthread_mutex_unlock(&listener->mutex);
    json_key_string(json, "aet", config->aet);
    json_key(json, "listen");
    json_array(json);
    for (size_t i = 0; i < listener->count; i++)
        json_string(json, listener->names[i]);
    json_array_end(json);
    json_key_unsigned(json, "peers", config->peer_count);
    json_key_unsigned(json, "associations_now", now);
    json_key_unsigned(json, "associations", listener->counters.associations);
    json_key_unsigned(json, "associations_rejected", listener->counters.rejected);
    json_key_unsigned(json, "stored", listener->counters.stored);
    json_key_unsigned(json, "duplicates", listener->counters.duplicates);
    json_key_unsigned(json, "refused", listener->counters.refused);
    json_key_unsigned(json, "bytes_received", listener->counters.bytes);
    config_put(config);
}
