/* Layer: codecs/dicom, private to the JSON model: how the value of each VR is written (PS3.18 table F.2.3-1).
 *
 * A VR is a row of json_value.c. Constant data and functions without state of their own.
 */
#ifndef CODECS_DICOM_JSON_VALUE_H
#define CODECS_DICOM_JSON_VALUE_H

#include "codecs/base/json.h"
#include "codecs/dicom/charset.h"
#include "codecs/dicom/dataset.h"

struct json_vr;

/* The row of a VR; of UN for one that the standard does not know. Never NULL. */
const struct json_vr *json_vr(const char *vr);
const char *json_vr_name(const struct json_vr *vr);
/* Whether its value may be long and is not text: OB OD OF OL OV OW UN. */
bool json_vr_is_bulk(const struct json_vr *vr);
/* Writes "Value":[...] or "InlineBinary":"..." into the open object; nothing when only padding is there. The token has
 * its value, longer than 0. `scratch` is used for text; its failure is the caller's to check. */
void json_vr_write(const struct json_vr *vr, struct json *json, const struct dataset_token *token,
                   struct charset *charset, struct buf *scratch);

#endif
