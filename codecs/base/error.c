/* What lives here: making, extending and mapping failures. What does not: logging (base/log.h) and retrying. */
#include "codecs/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
    uint16_t dimse;
    int exit_status;
} table[ERROR_CODES] = {
    [ERROR_NONE] = {"success", 0, 0x0000, 0},
    [ERROR_RETRY] = {"try again", EAGAIN, 0xA700, 1},
    [ERROR_REFUSED] = {"refused", EACCES, 0x0124, 1},
    [ERROR_NOT_FOUND] = {"not found", ENOENT, 0x0112, 1},
    [ERROR_MISMATCH] = {"does not match", EINVAL, 0xA900, 1},
    [ERROR_MALFORMED] = {"cannot understand", EINVAL, 0xC000, 1},
    [ERROR_UNSUPPORTED] = {"unsupported", ENOTSUP, 0xC000, 1},
    [ERROR_DAMAGED] = {"damaged", EIO, 0xA700, 3},
    [ERROR_FULL] = {"full", ENOSPC, 0xA700, 5},
    [ERROR_BUSY] = {"busy", EBUSY, 0xA700, 4},
    [ERROR_USAGE] = {"usage", EINVAL, 0xC000, 2},
    [ERROR_NO_MEMORY] = {"no memory", ENOMEM, 0xA700, 1},
    [ERROR_BROKEN] = {"broken", EIO, 0xA700, 1},
};

static struct error make(enum error_code code, const char *place, const char *suffix, const char *format, va_list list)
{
    struct error e = {code, place, NULL};
    char *text = NULL;
    if (vasprintf(&text, format, list) < 0)
        return e;
    if (suffix && asprintf(&e.message, "%s: %s", text, suffix) < 0)
        e.message = NULL;
    if (suffix)
        free(text);
    else
        e.message = text;
    return e;
}

struct error error_make_at(enum error_code code, const char *place, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    struct error e = make(code, place, NULL, format, list);
    va_end(list);
    return e;
}

static enum error_code code_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERROR_REFUSED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERROR_FULL;
    case ENOMEM:
        return ERROR_NO_MEMORY;
    case EAGAIN:
    case EINTR:
    case ETIMEDOUT:
    case EMFILE:
    case ENFILE:
        return ERROR_RETRY;
    case EBUSY:
        return ERROR_BUSY;
    default:
        return ERROR_BROKEN;
    }
}

struct error error_system_at(int number, const char *place, const char *format, ...)
{
    char text[128];
    va_list list;
    va_start(list, format);
    struct error e = make(code_of_errno(number), place, strerror_r(number, text, sizeof text), format, list);
    va_end(list);
    return e;
}

struct error error_context(struct error e, const char *format, ...)
{
    if (e.code == ERROR_NONE)
        return e;
    va_list list;
    va_start(list, format);
    struct error longer = make(e.code, e.place, e.message ? e.message : table[e.code].name, format, list);
    va_end(list);
    if (!longer.message)
        return e;
    free(e.message);
    return longer;
}

struct error error_copy(const struct error *e)
{
    struct error copy = *e;
    copy.message = e->message ? strdup(e->message) : NULL;
    return copy;
}

void error_release(struct error *e)
{
    free(e->message);
    *e = NO_ERROR;
}

const char *error_text(const struct error *e)
{
    return e->message ? e->message : table[e->code].name;
}

int error_errno(enum error_code code)
{
    return table[code].number;
}

uint16_t error_dimse(enum error_code code)
{
    return table[code].dimse;
}

int error_exit(enum error_code code)
{
    return table[code].exit_status;
}

const char *error_name(enum error_code code)
{
    return table[code].name;
}
