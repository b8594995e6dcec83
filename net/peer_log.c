/* What lives here: a fixed table of budgets; two addresses that share a slot share it. So what all peers together can
 * write is bounded, however many addresses they have. `lock` guards the slots. */
#include "net/peer_log.h"

#include "net/socket.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_MAX_BYTES 2048 /* log_line() takes no more */

struct peer_log {
    pthread_mutex_t lock;
    struct {
        int64_t full_ms; /* when the budget will be whole again, if nothing more is written */
        uint64_t left_out;
    } slots[SOCKET_SLOTS];
};

struct error peer_log_new(struct peer_log **out)
{
    struct peer_log *log = calloc(1, sizeof *log);
    if (!log)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return NO_ERROR;
}

void peer_log_free(struct peer_log *log)
{
    if (!log)
        return;
    pthread_mutex_destroy(&log->lock);
    free(log);
}

/* Whether there is a line left for the address; `*left_out`: how many went before it that had none. */
static bool take(struct peer_log *log, const char *address, uint64_t *left_out)
{
    struct timespec now;
    size_t slot = socket_slot(address);
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    pthread_mutex_lock(&log->lock);
    int64_t full_ms = log->slots[slot].full_ms > now_ms ? log->slots[slot].full_ms : now_ms;
    bool left = full_ms - now_ms < PEER_LOG_BURST * 1000 / PEER_LOG_PER_S;
    *left_out = left ? log->slots[slot].left_out : 0;
    log->slots[slot].left_out = left ? 0 : log->slots[slot].left_out + 1;
    if (left)
        log->slots[slot].full_ms = full_ms + 1000 / PEER_LOG_PER_S;
    pthread_mutex_unlock(&log->lock);
    return left;
}

void peer_log(struct peer_log *log, const char *address, enum log_level level, const char *component,
              const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    uint64_t left_out = 0;
    va_list list;
    if (!log_shows(level) || (!log_shows(LOG_LEVEL_DEBUG) && !take(log, address, &left_out)))
        return;
    if (left_out > 0)
        log_line(LOG_LEVEL_WARNING, component, "%s: %llu lines were left out (%d at once and %d a second are written)",
                 address, (unsigned long long)left_out, PEER_LOG_BURST, PEER_LOG_PER_S);
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    log_line(level, component, "%s", text);
}

void peer_log_error(struct peer_log *log, const char *address, enum log_level level, const char *component,
                    struct error *err)
{
    if (err->code != ERROR_NONE)
        peer_log(log, address, level, component, "%s", error_text(err));
    error_release(err);
}
