/* Layer: index. Whether the values of one attribute match one key (PS3.4 C.2.2.2).
 *
 * A key is prepared once (match_new) and then applied to any number of values; applying allocates nothing but for
 * PN, never fails, and takes time bounded by length of value times length of key, whatever the wildcards. All text is
 * UTF-8; several values are separated by backslashes and one that matches is enough. Immutable once made: any thread.
 *
 *   universal (C.2.2.2.3)  an empty key, or `*` alone: matches all, also what has no value
 *   UID list (C.2.2.2.2)   UI: values separated by backslashes
 *   range (C.2.2.2.5)      DA TM DT: A-B, A-, -B, bounds included; `1030` as an end means to the end of that minute
 *   wild card (C.2.2.2.4)  `*` any characters, `?` one: all VRs of text but UI DA TM DT AS and the numbers
 *   single value (C.2.2.2.1)  all others: as it is, but for blanks at the ends; IS DS and binary numbers as numbers
 * PN: case, accents and trailing `^` do not count; a key without `=` may match any of the three component groups.
 */
#ifndef INDEX_QUERY_MATCH_H
#define INDEX_QUERY_MATCH_H

#include "codecs/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MATCH_KEY_MAX 65536 /* bytes of a key: a UID list may be long */

enum match_kind { MATCH_UNIVERSAL, MATCH_SINGLE, MATCH_WILDCARD, MATCH_RANGE, MATCH_UID_LIST };

struct match;

/* ERROR_USAGE: a date or time that is none, or a key beyond MATCH_KEY_MAX. `vr` is copied. */
struct error match_new(struct match **match, const char *vr, const char *key);
void match_free(struct match *match);
enum match_kind match_kind(const struct match *match);
/* NULL and "" are 'no value': only a universal key matches. */
bool match_value(const struct match *match, const char *values);

/* What an index can use. The text as given (trimmed); its part before the first wild card; the bounds of a range of
 * dates as YYYYMMDD, "" where it is open. */
const char *match_text(const struct match *match);
const char *match_prefix(const struct match *match);
void match_dates(const struct match *match, char low[9], char high[9]);

#ifdef __cplusplus
}
#endif
#endif
