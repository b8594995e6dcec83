/* Layer: net. The listening sockets, and a thread for each association.
 *
 * Bounds: max_associations associations, and besides them at most LISTEN_NEGOTIATING_MAX connections that negotiate or
 * are being refused. When one comes beyond these, the oldest of the address that negotiates most is shut down for it.
 * No address is ever looked up by name, but those to listen at.
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "codecs/base/json.h"
#include "net/service.h"

#define LISTEN_NEGOTIATING_MAX 64

struct listener;

/* Opens every address of config->listen and serves them. On success the listener has a reference of its own to
 * `config`. */
struct error listener_start(struct listener **listener, struct pacs *pacs, struct config *config);
/* Says that the daemon is ready: writes the addresses that came out (port 0 is any free one) to
 * ARCHIVE/run/pacsd.ports, a line each, and logs them. */
struct error listener_announce(struct listener *listener);
/* For associations to come. The addresses stay as they are. */
void listener_configure(struct listener *listener, struct config *config);
/* Closes the listening sockets; associations go on. */
void listener_close(struct listener *listener);
unsigned listener_connections(struct listener *listener);
/* Aborts what is left, and joins every thread. */
void listener_free(struct listener *listener);
/* Members for `status`: aet, listen, associations and what they stored. */
void listener_status(struct listener *listener, struct json *json);

#endif
