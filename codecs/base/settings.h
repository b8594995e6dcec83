/* Layer: codecs/base. INI files read through a table of rows (libinih does the parsing).
 *
 * A new key is a row. Errors name file and line: an unknown section or key (with the nearest known one), a key given
 * twice where it may stand once, a value that does not parse or is out of bounds.
 */
#ifndef CODECS_BASE_SETTINGS_H
#define CODECS_BASE_SETTINGS_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct setting {
    const char *section; /* "" before any section; "peer *" matches "peer NAME" */
    const char *key;
    /* Takes a value into `target` (whatever settings_read() was given). `name` is what stood for `*`, else "".
     * ERROR_USAGE with the reason, without file and line: settings_read() adds these. */
    struct error (*take)(void *target, const struct setting *row, const char *name, const char *value);
    const char *help;         /* one line, shown by --help-config and compared with the manual by a test */
    const char *fallback;     /* the default, as text; "" none */
    size_t offset;            /* for the ready-made take functions: offsetof(target, member) */
    int64_t minimum, maximum; /* for numbers, and for durations in milliseconds; both 0: no bounds */
    bool many;                /* may stand several times */
};

#define SETTINGS_FILE_MAX 1048576 /* bytes */
#define SETTINGS_LINE_MAX 4096    /* bytes */
#define SETTINGS_SECTION_MAX 49   /* bytes between the brackets (libinih's limit) */
#define SETTINGS_NAMED_MAX 4096   /* keys given in all sections with a name together */

/* Reads `path`. `rows` ends with a row whose take is NULL. First applies the fallbacks of rows without `*` (of rows
 * that may stand several times only when the file gives none, and then at the end). A file that does not exist is
 * ERROR_NOT_FOUND. Reading stops at the first error; then `target` holds what was taken before it. Comments begin with
 * `;` or `#` at the start of a line, or with a blank and `;` behind a value. Keys may be indented. */
struct error settings_read(const char *path, const struct setting *rows, void *target);
/* The same from memory; `source` stands for the file in errors. */
struct error settings_parse(const char *source, const void *text, size_t size, const struct setting *rows,
                            void *target);
/* Applies the fallbacks alone. */
struct error settings_defaults(const struct setting *rows, void *target);

/* Ready-made: member is int64_t (take_number; K, M, G suffixes are 1024s), bool (yes/no/true/false/on/off/1/0),
 * double seconds as int64_t milliseconds (take_duration: "90", "1.5 s", "200 ms", "5 min", "7 d"), or an owned char *
 * (take_text; the previous one is freed). */
struct error settings_take_number(void *target, const struct setting *row, const char *name, const char *value);
struct error settings_take_bool(void *target, const struct setting *row, const char *name, const char *value);
struct error settings_take_duration(void *target, const struct setting *row, const char *name, const char *value);
struct error settings_take_text(void *target, const struct setting *row, const char *name, const char *value);

/* The entry of `words` (NULL-terminated) nearest to `word` by edit distance, or NULL if none is near: for "did you
 * mean". */
const char *nearest_word(const char *word, const char *const *words);

#ifdef __cplusplus
}
#endif
#endif
