/* Layer: net. Log lines about peers, so many an address that a flood of connections does not fill the log.
 *
 * An address has PEER_LOG_BURST lines at once and PEER_LOG_PER_S a second after that; what is left out is counted, and
 * the next line tells how many. At level `debug` nothing is left out. Any thread.
 */
#ifndef NET_PEER_LOG_H
#define NET_PEER_LOG_H

#include "codecs/base/log.h"

#define PEER_LOG_BURST 1000
#define PEER_LOG_PER_S 10

struct peer_log;
struct error peer_log_new(struct peer_log **log);
void peer_log_free(struct peer_log *log);
/* As log_line(). `address` is that of the peer that caused the line. */
void peer_log(struct peer_log *log, const char *address, enum log_level level, const char *component,
              const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Logs and releases a failure; nothing for a success. */
void peer_log_error(struct peer_log *log, const char *address, enum log_level level, const char *component,
                    struct error *err);

#endif
