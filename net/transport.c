/* What lives here: waiting, receiving, sending, ending. What does not: what PDUs mean (DCMTK, pdu.c), who may call.
 *
 *   OPEN -> fail() -> CLOSED, TIMED_OUT, EXPIRED, STOPPING or FAILED, which stays;
 *   transport_linger() -> transport_finish()
 *
 * DCMTK leaves Nagle's algorithm on and writes a PDU's head and body apart, and a stock sender does the same and then
 * waits for an acknowledgement that the kernel likes to delay by 40 ms. Here TCP_NODELAY is set, TCP_QUICKACK armed
 * again after each read, and a PDU leaves in one write.
 */
#include "net/transport.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define LINGER_MS 1000
#define ASSOCIATE_RQ 0x01       /* PDU types (PS3.8 9.3) */
#define ABORT 0x07              /* */
#define BY_USER 0               /* sources of an A-ABORT (PS3.8 9.3.8) */
#define BY_PROVIDER 2           /* */
#define INVALID_PDU_PARAMETER 6 /* reason */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* errno is never EINTR: DCMTK would try again. */
static bool fail(struct transport *t, enum transport_end how, int number)
{
    if (t->end == TRANSPORT_OPEN && !t->lingering) {
        t->end = how;
        t->number = number;
    }
    errno = number ? number : ECONNRESET;
    return false;
}

struct error transport_init(struct transport *t, int fd, int stop_fd, int64_t negotiation_ms)
{
    int on = 1;
    *t = (struct transport){.fd = fd, .stop_fd = stop_fd, .timeout_ms = INT_MAX, .room = TRANSPORT_READ_AHEAD};
    transport_expires(t, negotiation_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    t->ahead = malloc(t->room);
    return t->ahead ? NO_ERROR : error_make(ERROR_NO_MEMORY, "out of memory for a connection");
}

void transport_release(struct transport *t)
{
    free(t->ahead);
    t->ahead = NULL;
}

void transport_expires(struct transport *t, int64_t ms)
{
    t->deadline_ms = now_ms() + ms;
}

void transport_wait_at_most(struct transport *t, int64_t ms)
{
    t->timeout_ms = ms;
}

void transport_linger(struct transport *t)
{
    if (!t->lingering)
        transport_expires(t, LINGER_MS);
    t->lingering = true;
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static bool wait_for(struct transport *t, short events)
{
    int64_t now = now_ms(), until = now + t->timeout_ms;
    if (t->lingering || t->deadline_ms < until)
        until = t->deadline_ms;
    for (;; now = now_ms()) {
        struct pollfd polled[2] = {{t->fd, events, 0}, {t->stop_fd, POLLIN, 0}};
        int64_t left = until > now ? until - now : 0;
        int n = now >= t->deadline_ms ? 0 : poll(polled, t->lingering ? 1 : 2, left < INT_MAX ? (int)left : INT_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(t, TRANSPORT_FAILED, errno);
        if (n == 0)
            return fail(t, now_ms() >= t->deadline_ms ? TRANSPORT_EXPIRED : TRANSPORT_TIMED_OUT, 0);
        if (!t->lingering && polled[1].revents)
            return fail(t, TRANSPORT_STOPPING, 0);
        return true;
    }
}

static ssize_t receive(struct transport *t, void *to, size_t size)
{
    for (;;) {
        if (!wait_for(t, POLLIN))
            return 0;
        ssize_t got = recv(t->fd, to, size, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        int on = 1, number = errno;
        setsockopt(t->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        if (got < 0)
            fail(t, number == ECONNRESET ? TRANSPORT_CLOSED : TRANSPORT_FAILED, number);
        else if (got == 0)
            fail(t, TRANSPORT_CLOSED, 0);
        else
            t->received += (uint64_t)got;
        return got < 0 ? 0 : got;
    }
}

/* Reads ahead until `size` bytes are there. */
static bool fill(struct transport *t, size_t size)
{
    while (t->last < size) {
        ssize_t got = receive(t, t->ahead + t->last, t->room - t->last);
        if (got <= 0)
            return false;
        t->last += (size_t)got;
    }
    return true;
}

static bool grow(struct transport *t, size_t room)
{
    uint8_t *grown = room > t->room ? realloc(t->ahead, room) : t->ahead;
    if (!grown)
        return false;
    t->room = room > t->room ? room : t->room;
    t->ahead = grown;
    return true;
}

static void refuse(struct transport *t)
{
    const uint8_t abort_pdu[10] = {ABORT, 0, 0, 0, 0, 4, 0, 0, BY_PROVIDER, INVALID_PDU_PARAMETER};
    transport_linger(t);
    (void)transport_write(t, abort_pdu, sizeof abort_pdu);
    transport_finish(t);
}

struct error transport_request(struct transport *t)
{
    struct error err;
    if (!fill(t, PDU_HEAD))
        return error_make(ERROR_RETRY, "the connection ended");
    if (*t->ahead != ASSOCIATE_RQ)
        return NO_ERROR; /* DCMTK knows what to do about it */
    size_t size = PDU_HEAD + (size_t)pdu_length(t->ahead);
    if (size > PDU_REQUEST_MAX) {
        err = error_make(ERROR_MALFORMED, "an association request of %zu bytes; %d are enough for any", size,
                         PDU_REQUEST_MAX);
    } else {
        if (!grow(t, size))
            return error_make(ERROR_NO_MEMORY, "out of memory for an association request");
        if (!fill(t, size))
            return error_make(ERROR_RETRY, "the connection ended");
        err = pdu_check_request(t->ahead, size);
    }
    if (err.code != ERROR_NONE)
        refuse(t);
    return err;
}

/* Keeps account of the PDU that is read. */
static void follow(struct transport *t, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t n = t->body_left ? least(size, t->body_left) : least(size, PDU_HEAD - t->head_size);
        if (t->body_left) {
            t->body_left -= (uint32_t)n;
        } else {
            memcpy(t->head + t->head_size, bytes, n);
            t->head_size += n;
            if (t->head_size == PDU_HEAD) {
                t->body_size = t->body_left = pdu_length(t->head);
                t->head_size = 0;
            }
        }
        bytes += n;
        size -= n;
    }
}

ssize_t transport_read(struct transport *t, void *to, size_t size)
{
    size_t n = 0;
    if (t->first == t->last && size >= t->room) {
        n = (size_t)receive(t, to, size);
    } else {
        if (t->first == t->last) {
            t->first = t->last = 0;
            t->last = (size_t)receive(t, t->ahead, t->room);
        }
        n = least(size, t->last - t->first);
        memcpy(to, t->ahead + t->first, n);
        t->first += n;
    }
    follow(t, to, n);
    return (ssize_t)n;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

static bool send_all(struct transport *t, struct iovec *part, size_t count)
{
    for (;;) {
        while (count > 0 && part->iov_len == 0) {
            part++;
            count--;
        }
        if (count == 0)
            return true;
        struct msghdr message = {.msg_iov = part, .msg_iovlen = count};
        ssize_t sent = sendmsg(t->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (t->writing > 0 ? MSG_MORE : 0));
        if (sent < 0 && (errno == EINTR || (errno == EAGAIN && wait_for(t, POLLOUT))))
            continue;
        if (sent < 0)
            return fail(t, errno == EPIPE || errno == ECONNRESET ? TRANSPORT_CLOSED : TRANSPORT_FAILED, errno);
        for (size_t n = (size_t)sent; n > 0;) {
            size_t taken = least(n, part->iov_len);
            part->iov_base = (uint8_t *)part->iov_base + taken;
            part->iov_len -= taken;
            n -= taken;
            if (part->iov_len == 0 && count > 1) {
                part++;
                count--;
            }
        }
    }
}

ssize_t transport_write(struct transport *t, const void *from, size_t size)
{
    if (t->writing == 0 && size >= PDU_HEAD)
        t->writing = PDU_HEAD + (uint64_t)pdu_length(from);
    t->writing -= least(t->writing, size);
    if (t->writing > 0 && t->held_size == 0 && size <= sizeof t->held) {
        memcpy(t->held, from, size);
        t->held_size = size;
        return (ssize_t)size;
    }
    struct iovec parts[2] = {{t->held, t->held_size}, {(void *)(uintptr_t)from, size}};
    t->held_size = 0;
    return send_all(t, parts, 2) ? (ssize_t)size : -1;
}

/* DCMTK takes every end for one by the peer, and just closes: where it was ours, say so (PS3.8 9.3.8). A close with
 * unread bytes would send a reset, and that destroys what the peer has not read of our last PDU. */
void transport_finish(struct transport *t)
{
    bool ours = t->end == TRANSPORT_TIMED_OUT || t->end == TRANSPORT_EXPIRED || t->end == TRANSPORT_STOPPING;
    if (t->finished)
        return;
    t->finished = true;
    transport_linger(t);
    if (ours && t->writing == 0) {
        const uint8_t abort_pdu[10] = {ABORT, 0, 0, 0, 0, 4, 0, 0, BY_USER, 0};
        (void)transport_write(t, abort_pdu, sizeof abort_pdu);
    }
    shutdown(t->fd, SHUT_WR);
    if (t->end != TRANSPORT_CLOSED && t->end != TRANSPORT_FAILED) {
        while (receive(t, t->ahead, t->room) > 0)
            ;
    }
    shutdown(t->fd, SHUT_RDWR);
}
