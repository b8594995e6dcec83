/* Layer: fs. Going to the background before anything is opened (index.h: never fork after), while the caller waits to
 * hear how it went. */
#ifndef FS_DAEMON_H
#define FS_DAEMON_H

#include "codecs/base/error.h"

struct daemon {
    int pipe; /* to the waiting parent; -1: in the foreground, or told already */
};

/* Forks. The parent does not return: it exits with 0 once daemon_ready() was called, else with what the child exits
 * with. The child has a session of its own and works in "/". */
struct error daemon_begin(struct daemon *daemon);
/* Lets the parent go; standard input and output are closed to the terminal, log lines go to the file that
 * standard error is, else to the journal, where there is one. Nothing in the foreground. */
void daemon_ready(struct daemon *daemon);

#endif
