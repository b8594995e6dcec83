/* What lives here: names of addresses, and what the system's refusals mean to an administrator. */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST_MAX 256

static struct error split(const char *text, char host[HOST_MAX], char port[6])
{
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;
    char *end;
    if (!colon || size == 0 || size >= HOST_MAX || (memchr(text, ':', size) && text[0] != '['))
        return error_make(ERROR_USAGE, "\"%s\" is not like 127.0.0.1:11112, [::1]:11112 or *:11112", text);
    if (text[0] == '[') {
        if (text[size - 1] != ']')
            return error_make(ERROR_USAGE, "\"%s\": no ] before the port", text);
        text++;
        size -= 2;
    }
    memcpy(host, text, size);
    host[size] = 0;
    long number = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || number < 0 || number > 65535)
        return error_make(ERROR_USAGE, "\"%s\" is no port: 0 to 65535", colon + 1);
    snprintf(port, 6, "%ld", number);
    return NO_ERROR;
}

static struct error bind_error(int number, const char *text, const char *port)
{
    if (number == EACCES)
        return error_make(ERROR_REFUSED,
                          "cannot listen at %s: port %s needs a privilege; give the program "
                          "cap_net_bind_service (setcap cap_net_bind_service=+ep .../pacsd), or the unit "
                          "AmbientCapabilities=CAP_NET_BIND_SERVICE, or lower "
                          "net.ipv4.ip_unprivileged_port_start to %s by sysctl",
                          text, port, port);
    if (number == EADDRINUSE)
        return error_make(ERROR_BUSY, "cannot listen at %s: port %s is taken; `ss -ltnp 'sport = :%s'` shows by whom",
                          text, port, port);
    if (number == EADDRNOTAVAIL)
        return error_make(ERROR_USAGE, "cannot listen at %s: this machine does not have that address", text);
    return error_system(number, "cannot listen at %s", text);
}

static struct error open_one(int *out, const struct addrinfo *info, bool both, const char *text, const char *port)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, v6only = !both, number;
    if (fd < 0)
        return error_system(errno, "cannot make a socket for %s", text);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        number = errno;
        close(fd);
        return bind_error(number, text, port);
    }
    *out = fd;
    return NO_ERROR;
}

struct error socket_listen(int *fd, const char *text)
{
    char host[HOST_MAX], port[6];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *info;
    TRY(split(text, host, port));
    bool both = strcmp(host, "*") == 0;
    int failure = getaddrinfo(both ? "::" : host, port, &hints, &info);
    if (failure == 0 && both) {
        struct error err = open_one(fd, info, true, text, port);
        freeaddrinfo(info);
        if (err.code == ERROR_NONE || err.code == ERROR_REFUSED || err.code == ERROR_BUSY)
            return err;
        error_release(&err); /* no IPv6 here */
        failure = getaddrinfo("0.0.0.0", port, &hints, &info);
    }
    if (failure != 0)
        return error_make(ERROR_USAGE, "cannot listen at %s: %s", text, gai_strerror(failure));
    struct error err = open_one(fd, info, false, text, port);
    freeaddrinfo(info);
    return err;
}

void socket_address_text(const struct sockaddr *address, char text[SOCKET_TEXT_MAX])
{
    *text = 0;
    if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text, SOCKET_TEXT_MAX);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(six))
            inet_ntop(AF_INET, six->s6_addr + 12, text, SOCKET_TEXT_MAX);
        else
            inet_ntop(AF_INET6, six, text, SOCKET_TEXT_MAX);
    }
}

struct error socket_name(int fd, char text[SOCKET_TEXT_MAX])
{
    struct sockaddr_storage storage = {0};
    struct sockaddr *address = (struct sockaddr *)&storage;
    socklen_t size = sizeof storage;
    char name[SOCKET_TEXT_MAX];
    if (getsockname(fd, address, &size) != 0)
        return error_system(errno, "cannot tell the address of a socket");
    socket_address_text(address, name);
    bool six = address->sa_family == AF_INET6;
    unsigned port = ntohs(six ? ((struct sockaddr_in6 *)(void *)address)->sin6_port
                              : ((struct sockaddr_in *)(void *)address)->sin_port);
    int n = snprintf(text, SOCKET_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", name, port);
    return n < SOCKET_TEXT_MAX ? NO_ERROR : error_make(ERROR_BROKEN, "an address of %d characters", n);
}

bool socket_is_loopback(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0)
        return false;
    if (storage.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)(void *)&storage)->sin6_addr);
    return (ntohl(((struct sockaddr_in *)(void *)&storage)->sin_addr.s_addr) >> 24) == 127;
}

uint8_t socket_slot(const char *address)
{
    uint32_t hash = 2166136261; /* FNV-1a */
    for (; *address; address++)
        hash = (hash ^ (uint8_t)*address) * 16777619;
    return (uint8_t)(hash >> 24 ^ hash);
}
