/* Layer: net. A peer's socket within time limits, and no more of PDUs than their heads.
 *
 * Every wait ends: at a time-out, at a deadline, or when the listener stops; the deadline holds also while bytes keep
 * coming. One thread at a time. The socket stays the caller's, who closes it after transport_release().
 * Memory: TRANSPORT_READ_AHEAD, and the association request while that is longer.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "net/pdu.h"

#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRANSPORT_READ_AHEAD 65536
#define TRANSPORT_HELD_MAX 32 /* a PDU's head and that of its PDV are 12 */

enum transport_end {
    TRANSPORT_OPEN,
    TRANSPORT_CLOSED,    /* by the peer */
    TRANSPORT_TIMED_OUT, /* nothing came, or nothing was taken */
    TRANSPORT_EXPIRED,   /* the deadline */
    TRANSPORT_STOPPING,  /* stop_fd is readable */
    TRANSPORT_FAILED,    /* `number` is errno */
};

struct transport {
    int fd, stop_fd;
    enum transport_end end; /* the first reason why it ended */
    int number;
    uint64_t received;                /* bytes */
    int64_t deadline_ms, timeout_ms;  /* on the monotonic clock; of one wait */
    bool lingering, finished;         /* see transport_linger(), transport_finish() */
    uint8_t *ahead;                   /* what came and is not yet read is [first, last) */
    size_t room, first, last;         /* of `ahead` */
    uint8_t held[TRANSPORT_HELD_MAX]; /* a head, until its data come */
    size_t held_size;
    uint64_t writing;       /* bytes to come of the PDU that is being written */
    uint8_t head[PDU_HEAD]; /* of the PDU that is being read, as far as it has come */
    size_t head_size;
    uint32_t body_size, body_left; /* of that PDU, and what is unread of it */
};

/* TCP_NODELAY is set. The deadline is `negotiation_ms` from now. */
struct error transport_init(struct transport *transport, int fd, int stop_fd, int64_t negotiation_ms);
void transport_release(struct transport *transport);

/* Waits for the first PDU. If it is an A-ASSOCIATE-RQ all of it is read and checked (net/pdu.h); then transport_read()
 * begins with it. ERROR_MALFORMED: it was answered by A-ABORT. Other errors: `end` says more. */
struct error transport_request(struct transport *transport);
/* Sets the deadline anew, from now. */
void transport_expires(struct transport *transport, int64_t ms);
/* From the next wait on. */
void transport_wait_at_most(struct transport *transport, int64_t ms);

/* As read(2): what has come, up to `size`; 0 at the end, whatever the reason. Reads must follow PDUs: heads of PDU_HEAD
 * bytes, then bodies. */
ssize_t transport_read(struct transport *transport, void *to, size_t size);
/* All of it or -1. A PDU may be written whole, or its first bytes (at most TRANSPORT_HELD_MAX) apart: these are held,
 * so that it leaves in one segment. */
ssize_t transport_write(struct transport *transport, const void *from, size_t size);

/* From now on all that is left takes a second at most: time for the peer to read our last words. */
void transport_linger(struct transport *transport);
/* Says A-ABORT where the end was ours and nobody has said so, and shuts the connection down without destroying what
 * the peer has not read. Once. */
void transport_finish(struct transport *transport);

#ifdef __cplusplus
}
#endif
#endif
