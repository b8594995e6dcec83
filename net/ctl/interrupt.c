/* What lives here: the one flag that a signal handler may set; it is the reason for the only variable of the process
 * that is not constant (a handler has no context). */
#include "net/ctl/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t flag;

static void remember(int number)
{
    flag = number;
}

void interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = remember, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void)
{
    return flag != 0;
}
