/* Layer: net/ctl. Ending in good order on SIGINT and SIGTERM: the first one is remembered, a second one kills. */
#ifndef NET_CTL_INTERRUPT_H
#define NET_CTL_INTERRUPT_H

#include <stdbool.h>

/* From here on the first SIGINT or SIGTERM only sets interrupted(); SIGPIPE is ignored (writes say EPIPE). Call before
 * threads are made. */
void interrupt_watch(void);
bool interrupted(void);

#endif
