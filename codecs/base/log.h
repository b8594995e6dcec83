/* Layer: codecs/base. Log lines to stderr: a component, a level, what happened, to whom, what now.
 *
 * One write(2) a line, so that lines of several threads do not mix. Control characters and invalid UTF-8 in arguments
 * are written as \xNN: nothing that a peer says can forge a line. When stderr is journald's, lines begin with a syslog
 * priority ("<4>"), else with the local time. Never the name or ID of a patient. Any thread.
 */
#ifndef CODECS_BASE_LOG_H
#define CODECS_BASE_LOG_H

#include "codecs/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above this level are dropped; INFO at the start. */
void log_set_level(enum log_level level);
bool log_shows(enum log_level level);
void log_line(enum log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Logs and releases a failure; nothing for a success. */
void log_error(enum log_level level, const char *component, struct error *e);

#ifdef __cplusplus
}
#endif
#endif
