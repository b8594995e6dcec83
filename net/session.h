/* Layer: net. The life of one association: may the peer call, which contexts, serve, say how it ended.
 *
 * Runs on a thread of its own, which the listener owns. Every association that is refused is logged with AE title,
 * address and reason; every one that was accepted has a line when it begins and one with its figures when it ends.
 */
#ifndef NET_SESSION_H
#define NET_SESSION_H

#include "net/service.h"

#define SESSION_DETAIL_MAX 192

/* A connection that was accepted, and what it may use. All of it outlives session_run(). */
struct caller {
    int fd;
    int stop_fd; /* see struct association_options */
    uint64_t number;
    const struct sockaddr *socket_address;
    const char *address; /* without port */
    struct pacs *pacs;
    const struct config *config;
    struct service_counters *counters;
    struct peer_log *log;
    /* NULL: there is room for one more association of `peer` (NULL: a stranger); else why not, with what can be done
     * about it in `detail`. */
    const struct rejection *(*admit)(void *context, const struct peer *peer, char detail[SESSION_DETAIL_MAX]);
    void *context;
};

void session_run(const struct caller *caller);

#endif
