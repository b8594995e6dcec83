/* What lives here: lines, the status line, and how text, counts, sizes and times are shown. What does not: columns
 * (table.c). */
#include "net/ctl/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <utf8proc.h>

#define REDRAW_NS 100000000

/* Controls of C0 and C1, and the marks of Unicode that turn or hide text. */
static bool steers(utf8proc_int32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || (point >= 0x200B && point <= 0x200F) ||
           (point >= 0x2028 && point <= 0x202E) || (point >= 0x2060 && point <= 0x206F) || point == 0xFEFF;
}

void text_shown(struct buf *out, const char *utf8)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)utf8;
    while (*p) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n = utf8proc_iterate(p, -1, &point);
        if (n > 0 && !steers(point))
            buf_append(out, p, (size_t)n);
        for (utf8proc_ssize_t i = 0; n <= 0 ? i < 1 : steers(point) && i < n; i++)
            buf_printf(out, "\\x%02X", p[i]);
        p += n > 0 ? n : 1;
    }
}

void text_count(struct buf *out, uint64_t count)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            buf_byte(out, ',');
        buf_byte(out, (uint8_t)digits[i]);
    }
}

void text_size(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    buf_printf(out, "%.*f %s", unit && value < 100 ? 1 : 0, value, units[unit]);
}

void text_time(struct buf *out, uint64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(out, "%s.%03uZ", text, (unsigned)(time_ns / 1000000 % 1000));
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void report_init(struct report *report, const char *unit)
{
    memset(report, 0, sizeof *report);
    pthread_mutex_init(&report->lock, NULL);
    const char *term = getenv("TERM");
    report->terminal = isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
    report->unit = unit;
    report->start_ns = now_ns();
}

static void take_away(struct report *report)
{
    if (report->shown)
        fputs("\r\033[K", stderr);
    report->shown = false;
}

void report_release(struct report *report)
{
    take_away(report);
    fflush(stderr);
    pthread_mutex_destroy(&report->lock);
}

bool text_put(const char *text, FILE *to)
{
    for (const char *p = text; *p; p++) {
        bool c1 = (uint8_t)p[0] == 0xC2 && (uint8_t)p[1] >= 0x80 && (uint8_t)p[1] <= 0x9F;
        if (!c1 && *p != 0x7F)
            continue;
        size_t size = (size_t)(p - text);
        p += c1;
        if (fwrite(text, 1, size, to) < size || fprintf(to, "\\u%04x", (uint8_t)*p) < 0)
            return false;
        text = p + 1;
    }
    return fputs(text, to) >= 0;
}

void report_line(struct report *report, const char *line)
{
    pthread_mutex_lock(&report->lock);
    take_away(report);
    if (report->terminal)
        fflush(stderr);
    if (!text_put(line, stdout) || putchar('\n') < 0)
        report->failed = true;
    pthread_mutex_unlock(&report->lock);
}

void report_json(struct report *report, struct buf *text)
{
    report_line(report, buf_string(text));
}

/* The part of the work that is done, by bytes where these are known. */
static double part(const struct report *report)
{
    double p = report->bytes_all ? (double)report->bytes / (double)report->bytes_all
               : report->all     ? (double)report->done / (double)report->all
                                 : -1;
    return p > 1 ? 1 : p;
}

static void draw(struct report *report, uint64_t now)
{
    static const char bar[] = "==============================";
    struct buf line;
    double seconds = (double)(now - report->start_ns) / 1e9, p = part(report);
    buf_init(&line);
    if (p >= 0) {
        int filled = (int)(p * 24);
        buf_printf(&line, "[%.*s%*s] %3d%%  ", filled, bar, 24 - filled, "", (int)(p * 100));
    }
    if (report->unit) {
        text_count(&line, report->done);
        if (report->all) {
            buf_text(&line, " of ");
            text_count(&line, report->all);
        }
        buf_printf(&line, " %s  ", report->unit);
    }
    text_size(&line, report->bytes);
    if (seconds > 0.5)
        buf_printf(&line, "  %.1f MB/s", (double)report->bytes / 1e6 / seconds);
    if (p > 0.01 && seconds > 1) {
        unsigned left = (unsigned)(seconds / p * (1 - p) + 0.5);
        buf_printf(&line, "  %u:%02u left", left / 60, left % 60);
    }
    struct winsize window;
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 ? window.ws_col - 1 : 79;
    fprintf(stderr, "\r%.*s\033[K", width, buf_string(&line));
    fflush(stderr);
    buf_release(&line);
    report->shown = true;
    report->drawn_ns = now;
}

static void redraw(struct report *report)
{
    uint64_t now = now_ns();
    if (report->terminal && (now - report->drawn_ns >= REDRAW_NS))
        draw(report, now);
}

void report_progress(struct report *report, uint64_t done, uint64_t all, uint64_t bytes, uint64_t bytes_all)
{
    pthread_mutex_lock(&report->lock);
    report->done = done;
    report->all = all;
    report->bytes = bytes;
    report->bytes_all = bytes_all;
    redraw(report);
    pthread_mutex_unlock(&report->lock);
}

void report_advance(struct report *report, uint64_t done, uint64_t bytes)
{
    pthread_mutex_lock(&report->lock);
    report->done += done;
    report->bytes += bytes;
    redraw(report);
    pthread_mutex_unlock(&report->lock);
}

struct error report_flush(struct report *report)
{
    pthread_mutex_lock(&report->lock);
    errno = 0;
    if (fflush(stdout) != 0)
        report->failed = true;
    int number = errno;
    bool failed = report->failed;
    pthread_mutex_unlock(&report->lock);
    if (failed && number != EPIPE)
        return error_system(number ? number : EIO, "standard output");
    return NO_ERROR;
}
