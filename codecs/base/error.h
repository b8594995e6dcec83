/* Layer: codecs/base. Failures as values.
 *
 * A function that can fail returns `struct error` by value; code ERROR_NONE is success. The message is for people: it
 * names the file, UID or peer and, where there is one, the next step. It is heap memory owned by whoever holds the
 * value: pass it on, log it, or give it to error_release(). Callers add what they know with error_context().
 * Values may travel between threads; nothing here is global but constant tables.
 */
#ifndef CODECS_BASE_ERROR_H
#define CODECS_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Graded by what the caller may do next. One table in error.c maps each to errno, DIMSE status and exit status. */
enum error_code {
    ERROR_NONE = 0,
    ERROR_RETRY,       /* nothing is wrong with the input; the same call may succeed later */
    ERROR_REFUSED,     /* policy says no */
    ERROR_NOT_FOUND,   /* no such patient, study, file, peer */
    ERROR_MISMATCH,    /* the data set does not match what was announced (PS3.4 B.2.3, A9xx) */
    ERROR_MALFORMED,   /* input that cannot be understood (Cxxx) */
    ERROR_UNSUPPORTED, /* understood, and beyond what is built */
    ERROR_DAMAGED,     /* bytes that we stored do not read back as stored */
    ERROR_FULL,        /* no space, or the reserve is reached (A7xx) */
    ERROR_BUSY,        /* another process holds the writer's lock */
    ERROR_USAGE,       /* arguments or configuration are wrong */
    ERROR_NO_MEMORY,   /* a bounded allocation failed */
    ERROR_BROKEN,      /* the system refused (I/O error) or an invariant of ours does not hold */
    ERROR_CODES        /* number of codes */
};

struct error {
    enum error_code code;
    const char *place; /* file:line of the first failure; a constant */
    char *message;     /* heap, or NULL (no memory for it) */
};

#define ERROR_STRINGIFY2(x) #x
#define ERROR_STRINGIFY(x) ERROR_STRINGIFY2(x)
#define ERROR_PLACE __FILE__ ":" ERROR_STRINGIFY(__LINE__)

#ifdef __cplusplus
#define NO_ERROR (error{ERROR_NONE, nullptr, nullptr})
#else
#define NO_ERROR ((struct error){ERROR_NONE, 0, 0})
#endif

/* A new failure with a printf-formatted message. */
#define error_make(code, ...) error_make_at(code, ERROR_PLACE, __VA_ARGS__)
struct error error_make_at(enum error_code code, const char *place, const char *format, ...)
    __attribute__((format(printf, 3, 4), warn_unused_result));

/* A failure of a system call: the code is derived from `number` (an errno), the message ends with strerror(). */
#define error_system(number, ...) error_system_at(number, ERROR_PLACE, __VA_ARGS__)
struct error error_system_at(int number, const char *place, const char *format, ...)
    __attribute__((format(printf, 3, 4), warn_unused_result));

/* `e` with "context: " put before its message. Takes ownership of `e`. A success passes unchanged. */
struct error error_context(struct error e, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* A second value of the same failure (for several waiters). */
struct error error_copy(const struct error *e) __attribute__((warn_unused_result));

/* Frees the message; `*e` is then a success. Safe on a success. */
void error_release(struct error *e);

/* The message, never NULL. Valid until release. */
const char *error_text(const struct error *e);

/* The mappings of the table. error_errno is a positive errno; error_dimse a C-STORE status (PS3.4 B.2.3);
 * error_exit a process exit status (sysexits-like: 1 failed, 2 usage, 3 damaged, 4 busy, 5 full). */
int error_errno(enum error_code code);
uint16_t error_dimse(enum error_code code);
int error_exit(enum error_code code);
const char *error_name(enum error_code code);

/* For a function with one exit label `out` and a variable `err`:  CHECK(call(...));  */
#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        if ((err = (expression)).code != ERROR_NONE)                                                                   \
            goto out;                                                                                                  \
    } while (0)

/* For a function that holds nothing yet. */
#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        struct error try_error = (expression);                                                                         \
        if (try_error.code != ERROR_NONE)                                                                              \
            return try_error;                                                                                          \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
