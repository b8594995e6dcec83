/* Layer: codecs/dicom. A data set as DICOM JSON model (PS3.18 F.2), streamed from data set tokens.
 *
 * The writer is a dataset_handler: give it the tokens of a deep reader, in order. One attribute of the top level stands
 * on each line, so that grep finds it. Text is converted to UTF-8 by the Specific Character Set of the item it stands
 * in, else of those around it; (0008,0005) itself then says ISO_IR 192. Group lengths and group 0002 are left out, and
 * so are elements that repeat a tag of the same item (the first stands) and, in an item of more than
 * JSON_MODEL_TAGS_MAX elements, those that come out of order behind these. Standard attributes of VR UN get the VR of
 * the dictionary; a VR that the standard does not know is written as UN.
 * Values of OB OW OF OD OL OV UN of more than JSON_INLINE_MAX bytes, pixel data, and any value that the reader did not
 * capture become {"BulkDataURI": PREFIX?offset=N&length=M} with N counted from the start of the file (file_offset is
 * the length of preamble and meta header); encapsulated pixel data has offset and length of the whole value field. For
 * deflated syntaxes the URI is PREFIX alone. Numeric strings that are no numbers are written as strings, NaN as "NaN".
 * Memory is bounded by nesting depth and the longest captured value. The same tokens give the same bytes on every
 * machine; any change that alters a byte increases JSON_MODEL_VERSION. One thread at a time.
 */
#ifndef CODECS_DICOM_JSON_MODEL_H
#define CODECS_DICOM_JSON_MODEL_H

#include "codecs/base/json.h"
#include "codecs/dicom/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_MODEL_VERSION 1
#define JSON_INLINE_MAX 1024
#define JSON_MODEL_TAGS_MAX 4096

struct json_model;

/* `uri` is PREFIX, of characters that JSON need not escape; it is kept, not copied. It may be NULL for counting before
 * the UIDs are known: then json_model_finish() tells how many times a PREFIX would have been written, and the true size
 * is size + uris * strlen(PREFIX). `omit_bulk` leaves pixel data out altogether and gives other bulk data inline: two
 * instances with the same such text have the same elements; a value that was not captured is then ERROR_UNSUPPORTED. */
struct error json_model_new(struct json_model **model, json_sink sink, void *context, const struct syntax *syntax,
                            const char *uri, uint64_t file_offset, bool omit_bulk);
void json_model_free(struct json_model *model);
struct error json_model_token(void *model, const struct dataset_token *token);
/* Closes the text, all that is open too, if the tokens broke off. `*size`: bytes written, `*uris`: see above; both may
 * be NULL. */
struct error json_model_finish(struct json_model *model, uint64_t *size, uint64_t *uris);

#ifdef __cplusplus
}
#endif
#endif
