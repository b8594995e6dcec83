/* Layer: net. Listening sockets by name: "127.0.0.1:11112", "[::1]:11112", "*:104" (every address of the machine). */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "codecs/base/error.h"

#include <sys/socket.h>

#define SOCKET_TEXT_MAX 64 /* "[IPv6 address]:port" */

/* A listening socket, close-on-exec, not blocking. Errors name the port and the remedy. */
struct error socket_listen(int *fd, const char *text);
/* The address that it has: "127.0.0.1:34567". */
struct error socket_name(int fd, char text[SOCKET_TEXT_MAX]);
bool socket_is_loopback(int fd);
/* Addresses in a table of SOCKET_SLOTS, by a byte of their hash: two that share it are taken for one. */
#define SOCKET_SLOTS 256
uint8_t socket_slot(const char *address);
/* The address alone; IPv4 as such where it comes mapped into IPv6. */
void socket_address_text(const struct sockaddr *address, char text[SOCKET_TEXT_MAX]);

#endif
