/* Layer: net, private to the control socket: its packets, as both sides send and receive them. See net/control.h. */
#ifndef NET_CONTROL_PACKET_H
#define NET_CONTROL_PACKET_H

#include "net/control.h"

#include <sys/un.h>

#define CONTROL_WORDS_MAX 64

/* A packet: words that point into it, and at most one descriptor (-1: none), which the receiver closes. */
struct control_packet {
    char bytes[CONTROL_PACKET_MAX + 1];
    const char *words[CONTROL_WORDS_MAX + 1]; /* ends with NULL */
    size_t count;
    int fd;
};

struct error control_address(struct sockaddr_un *address, const char *archive);
/* `words` ends with NULL. ERROR_USAGE when they do not fit into a packet. */
struct error control_send(int socket, const char *const *words, int fd);
/* ERROR_NOT_FOUND when the other side has closed. */
struct error control_receive(int socket, struct control_packet *packet);

/* ---- what a verb may do ---- */

struct control_request {
    struct pacs *pacs;
    void (*status)(void *context, struct json *json);
    void *context;
    const struct control_packet *packet;
    int socket;
    int stop_fd; /* readable when the daemon stops */
    unsigned uid;
};

struct control_verb {
    const char *name;
    size_t words_min, words_max; /* beside the verb */
    bool takes_fd;
    /* Sends its lines; then success sends "done" with `done` (ended by NULL; text in `room`), a failure "error". */
    struct error (*run)(const struct control_request *request, struct buf *room, const char **done);
};
/* Ends with a row without a name. */
extern const struct control_verb control_verbs[];
struct error control_line(const struct control_request *request, const char *text);

#endif
