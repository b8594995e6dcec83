/* What lives here: PS3.18 F.2, from tokens to JSON: structure, character sets, which elements stand, bulk data. What
 * does not: how the value of each VR is written (json_value.c) and punctuation and numbers (base/json.c).
 *
 * One struct level for the data set and each open item. States are the tokens' own: an attribute object is opened and
 * closed by its ELEMENT, or opened by SEQUENCE_BEGIN or PIXEL_BEGIN and closed by the matching END. An element that is
 * not to stand and has tokens inside is passed by until its own END (`passing` counts the sequences open in it).
 */
#include "codecs/dicom/json_model.h"
#include "codecs/dicom/charset.h"
#include "codecs/dicom/json_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_CHARACTER_SET UINT32_C(0x00080005)
#define TAG_PIXEL_REPRESENTATION UINT32_C(0x00280103)

struct level {
    struct charset *charset; /* of this item or of one around it */
    bool owns_charset;
    bool is_signed;    /* (0028,0103) of this item or of one around it is 1 */
    bool has_items;    /* of the sequence open in this level: its "Value" is open */
    size_t seen_first; /* where its tags begin in `seen` */
};

struct json_model {
    struct json json;
    const struct syntax *syntax;
    const char *uri;
    uint64_t file_offset, uris;
    bool omit_bulk;
    struct buf text; /* scratch */
    struct buf seen; /* tags (uint32_t) of all open levels, ascending within each */
    unsigned passing;
    bool in_sequence; /* between an item's end or a sequence's begin and the next item or end */
    bool pixel_open, pixel_passed;
    uint64_t pixel_offset;
    unsigned depth;
    struct level levels[DATASET_DEPTH_MAX + 1];
};

struct error json_model_new(struct json_model **out, json_sink sink, void *context, const struct syntax *syntax,
                            const char *uri, uint64_t file_offset, bool omit_bulk)
{
    struct json_model *m = calloc(1, sizeof *m);
    if (!m)
        return error_make(ERROR_NO_MEMORY, "JSON model: out of memory");
    json_init(&m->json, sink, context, 0);
    m->syntax = syntax;
    m->uri = uri;
    m->file_offset = file_offset;
    m->omit_bulk = omit_bulk;
    buf_init(&m->text);
    buf_init(&m->seen);
    struct error err = charset_new(&m->levels[0].charset, NULL);
    m->levels[0].owns_charset = true;
    if (err.code != ERROR_NONE) {
        json_model_free(m);
        return err;
    }
    json_object(&m->json);
    *out = m;
    return NO_ERROR;
}

static struct level *top(struct json_model *m)
{
    return &m->levels[m->depth];
}

static void drop_charset(struct level *level)
{
    if (level->owns_charset)
        charset_free(level->charset);
    level->owns_charset = false;
}

void json_model_free(struct json_model *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i <= m->depth; i++)
        drop_charset(&m->levels[i]);
    error_release(&m->json.failure);
    buf_release(&m->text);
    buf_release(&m->seen);
    free(m);
}

/* Which elements stand */

/* Notes the tag in the open item; false: it was there, or that cannot be told any more. */
static bool note_tag(struct json_model *m, uint32_t tag)
{
    uint32_t *tags = (uint32_t *)(void *)m->seen.data;
    size_t first = top(m)->seen_first, end = m->seen.size / sizeof *tags, low = first, high = end;
    bool full = end - first >= JSON_MODEL_TAGS_MAX;
    if (end > first && tag > tags[end - 1])
        low = end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tags[middle] < tag)
            low = middle + 1;
        else
            high = middle;
    }
    if (full && low == end) {
        tags[end - 1] = tag; /* the highest is all that in-order elements need */
        return true;
    }
    if (full || (low < end && tags[low] == tag))
        return false;
    if (!buf_reserve(&m->seen, sizeof tag))
        return false;
    tags = (uint32_t *)(void *)m->seen.data;
    memmove(tags + low + 1, tags + low, (end - low) * sizeof *tags);
    tags[low] = tag;
    m->seen.size += sizeof tag;
    return true;
}

static bool stands(struct json_model *m, uint32_t tag)
{
    bool group_length = (tag & 0xFFFF) == 0;
    bool meta = m->depth == 0 && tag >> 16 == 2;
    return !group_length && !meta && note_tag(m, tag);
}

/* Attributes */

/* At the top level each on a line of its own. */
static void open_attribute(struct json_model *m, uint32_t tag, const char *vr)
{
    char key[9];
    snprintf(key, sizeof key, "%08X", (unsigned)tag);
    m->json.indent = m->depth == 0;
    json_key(&m->json, key);
    m->json.indent = 0;
    json_object(&m->json);
    json_key_string(&m->json, "vr", vr);
}

static void write_uri(struct json_model *m, uint64_t value_offset, uint64_t length)
{
    buf_clear(&m->text);
    if (m->uri)
        buf_text(&m->text, m->uri);
    if (!m->syntax->deflated)
        buf_printf(&m->text, "?offset=%" PRIu64 "&length=%" PRIu64, m->file_offset + value_offset, length);
    json_key_string(&m->json, "BulkDataURI", buf_string(&m->text));
    m->uris++;
}

/* What the dictionary calls US is SS where Pixel Representation says so (PS3.3 C.7.6.3). */
static bool is_us_or_ss(uint32_t tag)
{
    static const uint32_t tags[] = {
        0x00221452, 0x00280104, 0x00280105, 0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110,
        0x00280111, 0x00280120, 0x00280121, 0x00281100, 0x00281101, 0x00281102, 0x00281103, 0x00281111,
        0x00281112, 0x00281113, 0x00283002, 0x00409211, 0x00409216, 0x00603004, 0x00603006,
    };
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (tags[i] == tag)
            return true;
    return false;
}

/* Who reads the JSON wants Patient's Name as a name, not as base64, though the sender's toolkit called it UN: standard
 * attributes and private creators get the VR of the dictionary (PS3.5 6.2.2 note 4). Sequences stay as they are, for
 * the reader did not look into them. */
static const char *effective_vr(struct json_model *m, const struct dataset_token *token)
{
    const char *vr = token->vr;
    bool from_dictionary = m->syntax->implicit;
    if (strcmp(vr, "UN") == 0 && !token->big_endian) {
        const char *known = dictionary_vr(token->tag);
        vr = strcmp(known, "SQ") == 0 ? vr : known;
        from_dictionary = true;
    }
    bool is_signed = from_dictionary && top(m)->is_signed && strcmp(vr, "US") == 0 && is_us_or_ss(token->tag);
    return is_signed ? "SS" : vr;
}

static struct error take_character_set(struct json_model *m, const struct dataset_token *token)
{
    struct charset *charset;
    buf_clear(&m->text);
    if (token->value)
        buf_append(&m->text, token->value, (size_t)token->length);
    TRY(charset_new(&charset, buf_string(&m->text)));
    drop_charset(top(m));
    top(m)->charset = charset;
    top(m)->owns_charset = true;
    return NO_ERROR;
}

/* The text is UTF-8 whatever the data set was written in (PS3.18 F.2), and (0008,0005), where there is one, says so:
 * who makes a data set of the JSON again would otherwise take UTF-8 for something else. dcm2json does the same. */
static struct error write_character_set(struct json_model *m, const struct dataset_token *token)
{
    TRY(take_character_set(m, token));
    open_attribute(m, token->tag, "CS");
    if (token->length) {
        json_key(&m->json, "Value");
        json_array(&m->json);
        json_string(&m->json, "ISO_IR 192");
        json_array_end(&m->json);
    }
    json_object_end(&m->json);
    return NO_ERROR;
}

static struct error take_element(struct json_model *m, const struct dataset_token *token)
{
    int64_t number;
    if (token->tag == TAG_CHARACTER_SET)
        return write_character_set(m, token);
    if (token->tag == TAG_PIXEL_REPRESENTATION && token->value && dataset_integer(token, 0, &number))
        top(m)->is_signed = number == 1;
    const struct json_vr *vr = json_vr(effective_vr(m, token));
    if (!token->value && m->omit_bulk)
        return error_make(ERROR_UNSUPPORTED, "(%04X,%04X): the value of %" PRIu64 " bytes was not captured",
                          (unsigned)(token->tag >> 16), (unsigned)(token->tag & 0xFFFF), token->length);
    bool bulk = json_vr_is_bulk(vr) && token->length > JSON_INLINE_MAX && !m->omit_bulk;
    open_attribute(m, token->tag, json_vr_name(vr));
    if (token->length && (!token->value || bulk))
        write_uri(m, token->value_offset, token->length);
    else if (token->length)
        json_vr_write(vr, &m->json, token, top(m)->charset, &m->text);
    json_object_end(&m->json);
    return buf_error(&m->text);
}

/* Sequences and items */

static void open_sequence(struct json_model *m, const struct dataset_token *token)
{
    open_attribute(m, token->tag, "SQ");
    top(m)->has_items = false;
    m->in_sequence = true;
}

static void close_sequence(struct json_model *m)
{
    if (top(m)->has_items)
        json_array_end(&m->json);
    json_object_end(&m->json);
    m->in_sequence = false;
}

static struct error open_item(struct json_model *m)
{
    if (m->depth == DATASET_DEPTH_MAX)
        return error_make(ERROR_MALFORMED, "JSON model: items are nested too deep");
    struct level *outer = top(m);
    if (!outer->has_items) {
        json_key(&m->json, "Value");
        json_array(&m->json);
        outer->has_items = true;
    }
    json_object(&m->json);
    m->levels[++m->depth] = (struct level){
        .charset = outer->charset, .is_signed = outer->is_signed, .seen_first = m->seen.size / sizeof(uint32_t)};
    m->in_sequence = false;
    return NO_ERROR;
}

static void close_item(struct json_model *m)
{
    m->seen.size = top(m)->seen_first * sizeof(uint32_t);
    drop_charset(top(m));
    m->depth--;
    m->in_sequence = true;
    json_object_end(&m->json);
}

/* Pixel data */

static void open_pixel(struct json_model *m, const struct dataset_token *token)
{
    m->pixel_passed = m->omit_bulk || !stands(m, token->tag);
    m->pixel_open = true;
    m->pixel_offset = token->value_offset;
    if (!m->pixel_passed)
        open_attribute(m, token->tag, json_vr_name(json_vr(token->vr)));
}

/* The length of encapsulated pixel data is known only here. `end`: the first byte behind the value field. */
static void close_pixel(struct json_model *m, uint64_t end)
{
    m->pixel_open = false;
    if (m->pixel_passed)
        return;
    if (end > m->pixel_offset)
        write_uri(m, m->pixel_offset, end - m->pixel_offset);
    json_object_end(&m->json);
}

/* True while the token belongs to an element that does not stand. */
static bool pass_by(struct json_model *m, const struct dataset_token *token)
{
    bool begins = token->kind == DATASET_SEQUENCE_BEGIN;
    if (m->passing) {
        m->passing += begins;
        m->passing -= token->kind == DATASET_SEQUENCE_END;
        return true;
    }
    if (!begins && token->kind != DATASET_ELEMENT)
        return false;
    bool passed = !stands(m, token->tag);
    m->passing = passed && begins;
    return passed;
}

struct error json_model_token(void *model, const struct dataset_token *token)
{
    struct json_model *m = model;
    bool passed = pass_by(m, token);
    TRY(buf_error(&m->seen));
    if (passed)
        return NO_ERROR;
    switch (token->kind) {
    case DATASET_ELEMENT:
        TRY(take_element(m, token));
        break;
    case DATASET_SEQUENCE_BEGIN:
        open_sequence(m, token);
        break;
    case DATASET_SEQUENCE_END:
        close_sequence(m);
        break;
    case DATASET_ITEM_BEGIN:
        TRY(open_item(m));
        break;
    case DATASET_ITEM_END:
        close_item(m);
        break;
    case DATASET_PIXEL_BEGIN:
        open_pixel(m, token);
        break;
    case DATASET_FRAGMENT:
        break;
    case DATASET_PIXEL_END:
        close_pixel(m, token->offset);
        break;
    }
    return error_copy(&m->json.failure);
}

struct error json_model_finish(struct json_model *m, uint64_t *size, uint64_t *uris)
{
    if (m->pixel_open)
        close_pixel(m, m->pixel_offset);
    while (m->depth || m->in_sequence) {
        if (m->in_sequence)
            close_sequence(m);
        else
            close_item(m);
    }
    m->json.indent = 1; /* as the keys of the top level */
    json_object_end(&m->json);
    struct error err = json_finish(&m->json);
    if (size)
        *size = m->json.size;
    if (uris)
        *uris = m->uris;
    return err;
}
