/* Layer: net. One association as its acceptor (PS3.8), on a socket that the caller accepted.
 *
 * DCMTK's upper layer does PDUs and the state machine of PS3.8 9.2; nothing of it shows here. Messages (PS3.7) are
 * read and written as fragments; net/dimse.h makes commands of them.
 * One thread at a time per association; any number of associations side by side: a peer that stalls holds up its own
 * thread only. Memory: about the PDU length and 64 KiB each, 2 MiB while a request of the greatest length is read.
 * The socket stays the caller's: it is shut down by association_free(), closed by whoever accepted it, afterwards.
 * Failures: ERROR_RETRY, the connection ended or a time ran out (the message says which); ERROR_REFUSED, the peer
 * aborted; ERROR_MALFORMED, a violation of the protocol. After any failure only abort and free are of use.
 */
#ifndef NET_ASSOCIATION_H
#define NET_ASSOCIATION_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Once a process, before anything else here: DCMTK's network, with its log lines handed to ours (errors and warnings
 * when `verbose`, else none: our own lines say what matters). */
struct error association_network_start(bool verbose);
void association_network_stop(void);

struct association_options {
    int64_t max_pdu;        /* bytes */
    int64_t negotiation_ms; /* from now to the whole A-ASSOCIATE-RQ */
    int64_t read_ms;        /* for more bytes in the middle of a message, or for room to write */
    int64_t idle_ms;        /* for the next message */
    int64_t total_ms;       /* from the request to the end, whatever comes */
    int stop_fd;            /* when it is readable, every wait ends: ERROR_RETRY "stopping" */
};

/* Result of a presentation context (PS3.8 table 9-18). */
enum context_result {
    CONTEXT_ACCEPTED = 0,
    CONTEXT_NO_REASON = 2,
    CONTEXT_ABSTRACT_SYNTAX = 3,
    CONTEXT_TRANSFER_SYNTAXES = 4,
};

struct presentation_context {
    uint8_t id;
    const char *abstract_syntax;
    const char *const *offered; /* transfer syntaxes */
    size_t offered_count;
    bool requestor_is_scp; /* it proposes to act as SCP (C-GET) */
    /* To be filled by the acceptor before association_accept(): */
    enum context_result result;
    const char *syntax;  /* one of `offered` */
    const void *service; /* the acceptor's own */
};

/* What the peer asked for. Text lives as long as the association; titles without padding. */
struct association_request {
    const char *calling_ae, *called_ae, *application_context;
    const char *implementation_class, *implementation_version;
    struct presentation_context *contexts; /* in order of arrival, no id twice */
    size_t context_count;
};

struct association;

/* Reads the A-ASSOCIATE-RQ. ERROR_NOT_FOUND: the connection ended before its first byte (a port check). A request that
 * the protocol itself refuses is answered and reported as ERROR_MALFORMED. */
struct error association_receive(struct association **association, int fd, const struct association_options *options);
struct association_request *association_asked(struct association *association);

/* A-ASSOCIATE-RJ (PS3.8 table 9-21). Then free. */
enum rejection_result { REJECTED_PERMANENT = 1, REJECTED_TRANSIENT = 2 };
enum rejection_source { REJECTED_BY_USER = 1, REJECTED_BY_ACSE = 2, REJECTED_BY_PRESENTATION = 3 };
struct rejection {
    uint8_t result, source, reason;
    const char *text; /* for the log */
};
extern const struct rejection rejection_application_context, rejection_calling_ae, rejection_called_ae,
    rejection_congestion, rejection_limit;
void association_reject(struct association *association, const struct rejection *rejection);
/* A-ASSOCIATE-AC with what stands in the contexts. */
struct error association_accept(struct association *association);
/* An accepted context, or NULL. */
const struct presentation_context *association_context(struct association *association, uint8_t id);

enum fragment_kind { FRAGMENT_COMMAND, FRAGMENT_DATA, FRAGMENT_RELEASE /* the peer asks to release */ };
struct fragment {
    enum fragment_kind kind;
    bool last;
    uint8_t context;
    const uint8_t *data; /* until the next call */
    size_t size;
};
/* The next fragment; `between` messages the idle time-out holds, else the read time-out. */
struct error association_read(struct association *association, bool between, struct fragment *fragment);
/* One fragment as P-DATA-TF, in one TCP segment if it fits one. */
struct error association_write(struct association *association, const struct fragment *fragment);
void association_confirm_release(struct association *association);
/* A-ABORT by the service user, if the connection still stands. */
void association_abort(struct association *association);
uint64_t association_received(const struct association *association); /* bytes */
/* Shuts the connection down, giving the peer a second to read our last PDU. */
void association_free(struct association *association);

#ifdef __cplusplus
}
#endif
#endif
