/* Layer: net. The services of the listener: a table from abstract syntax and command to a function, and the loop that
 * serves one association by it.
 *
 * A new service is a row of service.c and a file. A service function reads the data set of its command, does its work
 * and answers; what it returns as a failure ends the association by A-ABORT. It runs on the association's own thread.
 */
#ifndef NET_SERVICE_H
#define NET_SERVICE_H

#include "index/index.h"
#include "net/config.h"
#include "net/dimse.h"
#include "net/peer_log.h"

/* Since the start, for `status`. Any thread. */
struct service_counters {
    _Atomic uint64_t associations, rejected, stored, duplicates, refused, bytes;
};

/* One association, as services see it. */
struct session {
    struct association *association;
    struct pacs *pacs;
    const struct config *config;
    const struct peer *peer; /* NULL: a stranger */
    struct service_counters *counters;
    struct peer_log *log;
    uint64_t number;         /* of the association, within this run */
    const char *address;     /* of the peer, without port */
    char implementation[96]; /* of the peer: class UID and version */
    uint64_t stored, duplicates, refused, echoes;
};

struct service {
    const char *name;
    const char *clause; /* of the standard */
    bool (*serves)(const struct config *config, const char *abstract_syntax);
    uint16_t command;
    struct error (*run)(struct session *session, const struct command *command);
};

/* Decides on every context of the request: its result and its syntax. The number of those accepted. */
size_t service_choose(const struct config *config, struct association_request *request);
/* Serves commands until the peer releases: success, or the reason why it ended otherwise. */
struct error service_run(struct session *session);

/* The services' functions. */
struct error service_echo(struct session *session, const struct command *command);
struct error service_store(struct session *session, const struct command *command);

#endif
