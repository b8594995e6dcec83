/* What a fuzz target holds beside what the sanitizers see: a failure names the place and aborts. */
#ifndef TESTS_FUZZ_REQUIRE_H
#define TESTS_FUZZ_REQUIRE_H

#include "codecs/base/error.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define REQUIRE_OK(expression)                                                                                         \
    do {                                                                                                               \
        struct error require_error = (expression);                                                                     \
        if (require_error.code != ERROR_NONE) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, error_text(&require_error));           \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
