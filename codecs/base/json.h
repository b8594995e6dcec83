/* Layer: codecs/base. A small JSON writer (RFC 8259).
 *
 * Ours rather than a library's because the size of a text must be known before anyone reads it, without building it in
 * memory, and because the same calls must stream a text of any size: libraries at hand build a tree first.
 * Output goes to a sink; a NULL sink only counts. Commas and (with `indent`) new lines are put by the writer. Numbers
 * are written locale-independent; doubles in the shortest form that reads back the same; NaN and infinities as the
 * strings "NaN", "Infinity", "-Infinity", never bare. Text is UTF-8; invalid bytes become U+FFFD; control characters
 * are escaped. A sink's failure is remembered and returned by json_finish; after it the writer only counts.
 * One thread at a time.
 */
#ifndef CODECS_BASE_JSON_H
#define CODECS_BASE_JSON_H

#include "codecs/base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_DEPTH_MAX 1024 /* three levels for each of the deepest data set (DATASET_DEPTH_MAX), and some */

typedef struct error (*json_sink)(void *context, const void *bytes, size_t size);

struct json {
    json_sink sink; /* NULL: count only */
    void *context;
    uint64_t size;   /* bytes written so far */
    unsigned indent; /* spaces a level; 0: compact, without any blank */
    unsigned depth;
    bool after_key;
    uint8_t filled[JSON_DEPTH_MAX / 8 + 1]; /* a bit a level: something stands there already */
    struct error failure;
};

void json_init(struct json *json, json_sink sink, void *context, unsigned indent);
/* A sink that appends to a `struct buf`. */
struct error json_to_buf(void *buf, const void *bytes, size_t size);
void json_object(struct json *json);
void json_object_end(struct json *json);
void json_array(struct json *json);
void json_array_end(struct json *json);
void json_key(struct json *json, const char *key);
void json_string(struct json *json, const char *utf8);
void json_string_n(struct json *json, const void *utf8, size_t size);
void json_integer(struct json *json, int64_t value);
void json_unsigned(struct json *json, uint64_t value);
void json_number(struct json *json, double value);
void json_float(struct json *json, float value); /* the shortest text that reads back as this float */
void json_bool(struct json *json, bool value);
void json_null(struct json *json);
/* Text that is one whole JSON value already. */
void json_raw(struct json *json, const void *bytes, size_t size);
/* Base64 (RFC 4648 4) of the bytes as a string value. */
void json_base64(struct json *json, const void *bytes, size_t size);
/* Shorthands: key and value. */
void json_key_string(struct json *json, const char *key, const char *utf8);
void json_key_unsigned(struct json *json, const char *key, uint64_t value);
void json_key_integer(struct json *json, const char *key, int64_t value);
void json_key_number(struct json *json, const char *key, double value);
void json_key_bool(struct json *json, const char *key, bool value);
/* Ends with a new line if indented; the first failure of the sink. ERROR_BROKEN when nested deeper than JSON_DEPTH_MAX
 * or not closed. */
struct error json_finish(struct json *json);

#ifdef __cplusplus
}
#endif
#endif
