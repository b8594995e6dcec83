/* Layer: net. How pacsctl hands work to a running pacsd: ARCHIVE/run/pacsd.sock.
 *
 * A SOCK_SEQPACKET socket, mode 0660; the peer's uid is checked (SO_PEERCRED: root, the daemon's own uid). One request
 * a packet: words separated by NUL, file descriptors beside it (SCM_RIGHTS). Answers: any number of packets "line" +
 * text, then one "done" with words or one "error" with a code's name and a message. At most CONTROL_PACKET_MAX bytes a
 * packet. A verb is a row of the table in net/control_verbs.c (name, whether it takes a descriptor, function).
 * One thread at a time per connection; a connection serves any number of requests, one after another.
 */
#ifndef NET_CONTROL_H
#define NET_CONTROL_H

#include "codecs/base/json.h"
#include "index/index.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CONTROL_PACKET_MAX 65536
#define CONTROL_CONNECTIONS_MAX 32
#define CONTROL_IDLE_S 5 /* without a request, after which a connection makes room for another where all are taken */
#define CONTROL_SEND_S 5 /* for the other side to take an answer */

/* ---- the caller's side ---- */
struct control;
/* ERROR_NOT_FOUND when no pacsd serves this archive; ERROR_REFUSED when it does not serve this user. */
struct error control_connect(struct control **control, const char *archive);
void control_free(struct control *control);
/* Imports one file: the daemon reads `fd` from its start to its end (file, memfd, pipe, or a stream
 * socket, which unlike a pipe can tell a writer that died from one that is done). `name` is kept as origin. */
struct error control_import(struct control *control, int fd, const char *name, struct ingest_result *result);
/* Any verb: `words` ends with NULL, words[0] is the verb; `line` is called for each line of the answer. */
struct error control_call(struct control *control, const char *const *words, void (*line)(void *context, const char *),
                          void *context);

/* ---- the daemon's side ---- */
struct control_server;
/* Listens and serves on threads of its own. `status` appends a JSON object's members for the verb "status". */
struct error control_server_start(struct control_server **server, struct pacs *pacs,
                                  void (*status)(void *context, struct json *json), void *context);
/* Closes the socket, ends connections after their present request, joins the threads. */
void control_server_stop(struct control_server *server);

#ifdef __cplusplus
}
#endif
#endif
