/* What lives here: formatting and escaping of log lines. What does not: the audit record. */
#include "codecs/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static _Atomic int highest = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    highest = (int)level;
}

bool log_shows(enum log_level level)
{
    return (int)level <= highest;
}

/* systemd sets JOURNAL_STREAM to device:inode of the stream it gave us (systemd.exec(5)). */
static bool to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

static size_t escape(char *to, size_t room, const char *from)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)from; *p && n + 5 < room; p++) {
        if (*p >= 0x20 && *p != 0x7F && *p < 0x80) {
            to[n++] = (char)*p;
            continue;
        }
        /* Well-formed UTF-8 passes, but for the C1 controls U+0080..U+009F. */
        unsigned more = *p >= 0xF0 && *p < 0xF5 ? 3 : *p >= 0xE0 && *p < 0xF0 ? 2 : *p >= 0xC2 && *p < 0xE0 ? 1 : 0;
        unsigned good = 0;
        while (good < more && (p[1 + good] & 0xC0) == 0x80)
            good++;
        if (more && good == more && !(p[0] == 0xC2 && p[1] < 0xA0)) {
            memcpy(to + n, p, more + 1);
            n += more + 1;
            p += more;
        } else {
            n += (size_t)snprintf(to + n, room - n, "\\x%02x", *p);
        }
    }
    return n;
}

void log_line(enum log_level level, const char *component, const char *format, ...)
{
    if (!log_shows(level))
        return;
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 128];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);

    static const char *const names[] = {"", "", "", "error", "warning", "", "", "debug"};
    size_t n;
    if (to_journal()) {
        n = (size_t)snprintf(line, sizeof line, "<%d>", (int)level);
    } else {
        struct timespec now;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &now);
        localtime_r(&now.tv_sec, &tm);
        n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
        n += (size_t)snprintf(line + n, sizeof line - n, ".%03ld ", now.tv_nsec / 1000000);
    }
    n += (size_t)snprintf(line + n, sizeof line - n, "%s: %s%s", component, names[level], *names[level] ? ": " : "");
    n += escape(line + n, sizeof line - n - 1, text);
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* nobody is left to tell */
}

void log_error(enum log_level level, const char *component, struct error *e)
{
    if (e->code != ERROR_NONE)
        log_line(level, component, "%s", error_text(e));
    error_release(e);
}
