/* Layer: net/ctl. What commands print: whole lines and JSON lines on standard output, one status line on a terminal.
 *
 * Lines of several threads do not mix. The status line goes to standard error, only when that is a terminal that can
 * erase a line; it is taken away before a line is printed and redrawn at most ten times a second. No colours.
 * Text that came from images or peers passes text_shown(): nothing in it can steer a terminal.
 */
#ifndef NET_CTL_REPORT_H
#define NET_CTL_REPORT_H

#include "codecs/base/json.h"

#include <pthread.h>
#include <stdio.h>

/* Appends text with control characters, invalid UTF-8, and marks that turn the direction of writing as \xNN. */
void text_shown(struct buf *out, const char *utf8);
/* Writes a line or a JSON text, whose strings may still have DEL and controls of C1 (some terminals obey them), with these
 * as \u009b. False: `to` does not take it. */
bool text_put(const char *text, FILE *to);
/* "12,345" */
void text_count(struct buf *out, uint64_t count);
/* "1.5 GiB" */
void text_size(struct buf *out, uint64_t bytes);
/* "2024-03-05T14:07:01.123Z" */
void text_time(struct buf *out, uint64_t time_ns);

struct report {
    pthread_mutex_t lock; /* guards all below, and whole lines */
    bool terminal;        /* a status line can be shown */
    bool shown;           /* it stands there now */
    bool failed;          /* standard output does not take more: EPIPE or a full disk */
    uint64_t start_ns, drawn_ns;
    const char *unit;   /* of `done`: "files"; NULL: bytes alone */
    uint64_t done, all; /* all 0: not known */
    uint64_t bytes, bytes_all;
};

void report_init(struct report *report, const char *unit);
void report_release(struct report *report); /* takes the status line away */
/* One line, without its end. */
void report_line(struct report *report, const char *line);
/* A JSON text, finished, as a line. */
void report_json(struct report *report, struct buf *text);
void report_progress(struct report *report, uint64_t done, uint64_t all, uint64_t bytes, uint64_t bytes_all);
/* The same with more done, for many threads. */
void report_advance(struct report *report, uint64_t done, uint64_t bytes);
/* Flushes; ERROR_BROKEN when standard output failed, unless its reader went away. */
struct error report_flush(struct report *report);

#endif
