/* The whole of our unit test support: EXPECT prints file, line and expression and counts; RUN names a case; a program
 * ends with `return check_done();`. Cases are named subject_hazard. */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include "codecs/base/error.h"

#include <stdio.h>
#include <string.h>

static int check_failures, check_count;

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(condition)) {                                                                                            \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
        }                                                                                                              \
    } while (0)

#define EXPECT_TEXT(got, want)                                                                                         \
    do {                                                                                                               \
        const char *check_got = (got), *check_want = (want);                                                           \
        check_count++;                                                                                                 \
        if (!check_got || strcmp(check_got, check_want) != 0) {                                                        \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got,                             \
                    check_got ? check_got : "(none)", check_want);                                                     \
        }                                                                                                              \
    } while (0)

/* Expects the code, prints the message if it is another, and releases. */
#define EXPECT_ERROR(expression, wanted)                                                                               \
    do {                                                                                                               \
        struct error check_error = (expression);                                                                       \
        check_count++;                                                                                                 \
        if (check_error.code != (wanted)) {                                                                            \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, #expression, error_name(check_error.code),     \
                    error_text(&check_error));                                                                         \
        }                                                                                                              \
        error_release(&check_error);                                                                                   \
    } while (0)
#define EXPECT_OK(expression) EXPECT_ERROR(expression, ERROR_NONE)

#define RUN(name)                                                                                                      \
    do {                                                                                                               \
        int check_before = check_failures;                                                                             \
        name();                                                                                                        \
        if (check_failures != check_before)                                                                            \
            fprintf(stderr, "FAILED: %s\n", #name);                                                                    \
    } while (0)

static inline int check_done(void)
{
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures != 0;
}

#endif
