/* What lives here: packets of the control socket. What does not: who may send them (control.c), what they mean
 * (control_verbs.c, control_client.c).
 */
#include "net/control_packet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct error control_address(struct sockaddr_un *address, const char *archive)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(address->sun_path, sizeof address->sun_path, "%s/run/pacsd.sock", archive);
    if (n < 0 || (size_t)n >= sizeof address->sun_path)
        return error_make(ERROR_USAGE, "%s/run/pacsd.sock: longer than the %zu bytes a socket's path may have", archive,
                          sizeof address->sun_path - 1);
    return NO_ERROR;
}

struct error control_send(int socket, const char *const *words, int fd)
{
    struct buf packet;
    struct error err;
    char room[CMSG_SPACE(sizeof fd)] = {0};
    buf_init(&packet);
    for (size_t i = 0; words[i]; i++) {
        buf_text(&packet, words[i]);
        buf_byte(&packet, 0);
    }
    err = buf_error(&packet);
    if (err.code == ERROR_NONE && packet.size > CONTROL_PACKET_MAX)
        err = error_make(ERROR_USAGE, "more than %d bytes for one packet", CONTROL_PACKET_MAX);
    if (err.code == ERROR_NONE) {
        struct iovec part = {packet.data, packet.size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (fd >= 0) {
            message.msg_control = room;
            message.msg_controllen = sizeof room;
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof fd);
            memcpy(CMSG_DATA(header), &fd, sizeof fd);
        }
        ssize_t sent;
        do
            sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
            err = error_system(errno, "control socket");
    }
    buf_release(&packet);
    return err;
}

/* The first descriptor is kept, any others are closed. */
static int take_descriptors(struct msghdr *message)
{
    int kept = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            if (kept < 0)
                kept = fd;
            else
                close(fd);
        }
    }
    return kept;
}

static bool split(struct control_packet *packet, size_t size)
{
    packet->count = 0;
    packet->bytes[size] = 0;
    for (size_t at = 0; at < size; at += strlen(packet->bytes + at) + 1) {
        if (packet->count == CONTROL_WORDS_MAX)
            return false;
        packet->words[packet->count++] = packet->bytes + at;
    }
    packet->words[packet->count] = NULL;
    return packet->count > 0;
}

struct error control_receive(int socket, struct control_packet *packet)
{
    char room[CMSG_SPACE(8 * sizeof(int))];
    struct iovec part = {packet->bytes, CONTROL_PACKET_MAX};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    ssize_t got;
    packet->fd = -1;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno != ECONNRESET)
        return error_system(errno, "control socket");
    if (got <= 0)
        return error_make(ERROR_NOT_FOUND, "the other side has closed the control socket");
    packet->fd = take_descriptors(&message);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !split(packet, (size_t)got)) {
        if (packet->fd >= 0)
            close(packet->fd);
        packet->fd = -1;
        return error_make(ERROR_MALFORMED, "a packet on the control socket that is no request");
    }
    return NO_ERROR;
}
