/* What lives here: the tokenizer over a data set (PS3.5 7). Values of tokens are read in dataset_value.c, the deflated
 * syntaxes are inflated in dataset_inflate.c before their bytes come here; dataset_encoding.c knows the forms of a
 * header.
 *
 * A state says what the next byte belongs to; each has one step function, which takes what it can from the input:
 *
 *   FIRST    --step_first-->    ELEMENT     the first 8 bytes tell how the data set is really encoded
 *   ELEMENT  --step_element-->  CAPTURE or SKIP (a value), ITEM (a sequence), FRAGMENT, PADDING
 *   ITEM     --step_item-->     ELEMENT (item begun), SKIP (shallow: item passed over), ELEMENT (sequence ended)
 *   FRAGMENT --step_fragment--> CAPTURE or SKIP (one fragment), ELEMENT (sequence delimiter)
 *   CAPTURE, SKIP --finish_value--> ELEMENT, ITEM or FRAGMENT, as `after` says
 *   PADDING  --step_padding-->  PADDING     zeros behind the last element
 *
 * Invariants:
 * 1. What is emitted depends on the bytes alone, never on how they were split: a header is parsed only when it is
 *    whole (`pending` holds the part that came), and what ends at an offset is closed as soon as that offset is reached
 *    (settle), not when the next byte comes.
 * 2. Memory: one header of pending bytes, one value of at most capture_max, DATASET_DEPTH_MAX levels when deep. When
 *    shallow only `depth` counts: what is nested and has a length is skipped by it, and sequences and items of
 *    undefined length alternate, so that a counter and the state tell where we are.
 * 3. No element reaches beyond the item that holds it (`bound`); so sizes from the wire never lead out of a level.
 *
 * What the field sends is read, where it has one meaning: the claimed encoding is wrong from the first byte (detected
 * there), single implicit VR elements inside sequences of an explicit data set, two-letter VRs that no edition knows,
 * `??` and blanks for a VR, items longer than their sequence, an item outside any, lengths in delimiters, delimiters
 * behind items and sequences that have a length, a missing item delimiter before a sequence delimiter, zeros behind the
 * end, elements in any order.
 */
#include "codecs/dicom/dataset_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TAG_ITEM UINT32_C(0xFFFEE000)
#define TAG_ITEM_DELIMITER UINT32_C(0xFFFEE00D)
#define TAG_SEQUENCE_DELIMITER UINT32_C(0xFFFEE0DD)
#define LENGTH32_UNDEFINED UINT32_C(0xFFFFFFFF)
#define HEADER_MAX 12

enum state { FIRST, ELEMENT, ITEM, FRAGMENT, CAPTURE, SKIP, PADDING, STATES };

/* What a value that ends was. */
enum after {
    AFTER_ELEMENT,
    AFTER_SEQUENCE, /* shallow: a sequence that was skipped by its length */
    AFTER_ITEM,     /* shallow: an item that was */
    AFTER_PIXEL,
    AFTER_FRAGMENT,
    AFTER_OFFSET_TABLE, /* the first fragment, captured */
};

/* An open sequence and, while elements are read in it, its open item. Deep only. */
struct level {
    uint64_t sequence_end, item_end;     /* offsets behind them; DATASET_UNDEFINED: a delimiter ends it */
    uint64_t sequence_bound, item_bound; /* the nearest end of it and of all around it */
    uint32_t tag;
    char vr[3];
};

struct dataset_reader {
    struct dataset_options options;
    enum state state;
    enum after after;
    bool implicit, big_endian;           /* of what is read now */
    bool base_implicit, base_big_endian; /* of the top level */
    bool unknown_first;                  /* the next element is the first in a UN: tells how that is encoded */
    bool in_pixel;                       /* between DATASET_PIXEL_BEGIN and DATASET_PIXEL_END */
    bool first_fragment;
    uint64_t depth;             /* open sequences, those of undefined length alone when shallow */
    uint64_t unknown_depth;     /* the depth inside the outermost UN of undefined length; 0: in none */
    uint64_t offset;            /* of the first byte that is in no header, value or delimiter parsed so far */
    uint64_t bound;             /* nothing at the present depth reaches beyond this offset */
    uint64_t remaining;         /* bytes of the value to come: CAPTURE, SKIP */
    struct dataset_token token; /* the element that is being read */
    uint8_t pending[HEADER_MAX];
    size_t pending_size;
    struct buf value;
    struct error failure;
    struct dataset_inflate *inflate; /* NULL: as it is */
    struct level levels[];           /* DATASET_DEPTH_MAX when deep, else none */
};

struct input {
    const uint8_t *at, *end;
};

/* A header as it stands in the stream. */
struct header {
    uint32_t tag;
    char vr[3];
    size_t size;
    uint64_t length; /* DATASET_UNDEFINED */
};

/* Numbers of the stream and small predicates */

static uint16_t u16(const struct dataset_reader *r, const uint8_t *p)
{
    return r->big_endian ? get_u16be(p) : get_u16(p);
}

static uint32_t u32(const struct dataset_reader *r, const uint8_t *p)
{
    return r->big_endian ? get_u32be(p) : get_u32(p);
}

static uint64_t wide(uint32_t length)
{
    return length == LENGTH32_UNDEFINED ? DATASET_UNDEFINED : length;
}

static uint64_t nearer(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_pixel(uint32_t tag)
{
    return tag == UINT32_C(0x7FE00010) || tag == UINT32_C(0x7FE00008) || tag == UINT32_C(0x7FE00009);
}

/* `what` has at most 30 characters: with ten digits of offset the whole is an Error Comment (PS3.7 C.4), which has 64. */
static struct error malformed(uint32_t tag, uint64_t offset, const char *what)
{
    return error_make(ERROR_MALFORMED, "(%04X,%04X) at offset %" PRIu64 ": %s", (unsigned)(tag >> 16),
                      (unsigned)(tag & 0xFFFF), offset, what);
}

/* Taking bytes */

/* `need` bytes from the present offset in one piece, or NULL when they have not all come yet: then what there is has
 * been put by, and the input is used up. Does not move on. */
static const uint8_t *peek(struct dataset_reader *r, struct input *in, size_t need)
{
    size_t have = (size_t)(in->end - in->at);
    if (!r->pending_size && have >= need)
        return in->at;
    if (r->pending_size < need) {
        size_t take = need - r->pending_size < have ? need - r->pending_size : have;
        memcpy(r->pending + r->pending_size, in->at, take);
        r->pending_size += take;
        in->at += take;
    }
    return r->pending_size >= need ? r->pending : NULL;
}

/* Moves on behind the bytes last peeked at. */
static void consume(struct dataset_reader *r, struct input *in, size_t size)
{
    if (r->pending_size)
        r->pending_size = 0;
    else
        in->at += size;
    r->offset += size;
}

/* Tokens and levels */

static struct error emit(struct dataset_reader *r, const struct dataset_token *token)
{
    return r->options.handler(r->options.context, token);
}

/* A token of a boundary: an item or the end of something, which has no value of its own. */
static struct error emit_mark(struct dataset_reader *r, enum dataset_kind kind, uint32_t tag, const char *vr,
                              uint64_t offset, uint64_t length)
{
    if (!r->options.deep && (kind == DATASET_ITEM_BEGIN || kind == DATASET_ITEM_END || kind == DATASET_SEQUENCE_END))
        return NO_ERROR;
    struct dataset_token token = {
        .kind = kind,
        .tag = tag,
        .vr = {vr[0], vr[0] ? vr[1] : 0, 0},
        .depth = (unsigned)(r->depth ? r->depth - 1 : 0),
        .offset = offset,
        .value_offset = r->offset,
        .length = length,
        .big_endian = r->big_endian,
    };
    return emit(r, &token);
}

static struct level *top(struct dataset_reader *r)
{
    return r->options.deep && r->depth ? &r->levels[r->depth - 1] : NULL;
}

/* The token's element becomes an open sequence. */
static struct error push(struct dataset_reader *r)
{
    struct dataset_token *token = &r->token;
    if (r->options.deep) {
        if (r->depth == DATASET_DEPTH_MAX)
            return malformed(token->tag, token->offset, "sequences are nested too deep");
        token->kind = DATASET_SEQUENCE_BEGIN;
        TRY(emit(r, token));
        struct level *level = &r->levels[r->depth];
        level->sequence_end = token->length == DATASET_UNDEFINED ? DATASET_UNDEFINED : r->offset + token->length;
        level->sequence_bound = r->bound = nearer(r->bound, level->sequence_end);
        level->tag = token->tag;
        memcpy(level->vr, token->vr, sizeof level->vr);
    }
    r->depth++;
    if (token->length == DATASET_UNDEFINED && strcmp(token->vr, "UN") == 0 && !r->implicit && !r->unknown_depth) {
        r->unknown_depth = r->depth;
        r->unknown_first = true;
        r->implicit = true;
        r->big_endian = false;
    }
    r->state = ITEM;
    return NO_ERROR;
}

static struct error pop(struct dataset_reader *r, uint64_t end)
{
    const struct level *level = top(r);
    if (level)
        TRY(emit_mark(r, DATASET_SEQUENCE_END, level->tag, level->vr, end, 0));
    if (r->depth == r->unknown_depth) {
        r->unknown_depth = 0;
        r->unknown_first = false;
        r->implicit = r->base_implicit;
        r->big_endian = r->base_big_endian;
    }
    r->depth--;
    level = top(r);
    r->bound = level ? level->item_bound : DATASET_UNDEFINED;
    r->state = ELEMENT;
    return NO_ERROR;
}

static struct error end_item(struct dataset_reader *r)
{
    TRY(emit_mark(r, DATASET_ITEM_END, TAG_ITEM, "", r->offset, 0));
    const struct level *level = top(r);
    r->bound = level ? level->sequence_bound : DATASET_UNDEFINED;
    r->state = ITEM;
    return NO_ERROR;
}

/* Closes all items and sequences whose length is used up. */
static struct error settle(struct dataset_reader *r)
{
    for (;;) {
        const struct level *level = top(r);
        if (!level)
            return NO_ERROR;
        if (r->state == ELEMENT && level->item_end <= r->offset)
            TRY(end_item(r));
        else if (r->state == ITEM && level->sequence_end <= r->offset)
            TRY(pop(r, r->offset));
        else
            return NO_ERROR;
    }
}

/* Values */

static struct error end_pixel(struct dataset_reader *r)
{
    r->in_pixel = false;
    r->state = ELEMENT;
    return emit_mark(r, DATASET_PIXEL_END, r->token.tag, r->token.vr, r->offset, 0);
}

static struct error emit_fragment(struct dataset_reader *r, uint64_t value_offset, uint64_t length,
                                  const uint8_t *value)
{
    struct dataset_token token = {
        .kind = DATASET_FRAGMENT,
        .tag = TAG_ITEM,
        .offset = value_offset - 8,
        .value_offset = value_offset,
        .length = length,
        .value = value,
        .big_endian = r->big_endian,
    };
    return emit(r, &token);
}

/* All bytes of a value have come; `value` is NULL when they were passed by. */
static struct error finish_value(struct dataset_reader *r, const uint8_t *value)
{
    static const enum state next[] = {
        [AFTER_ELEMENT] = ELEMENT, [AFTER_SEQUENCE] = ELEMENT,  [AFTER_ITEM] = ITEM,
        [AFTER_PIXEL] = ELEMENT,   [AFTER_FRAGMENT] = FRAGMENT, [AFTER_OFFSET_TABLE] = FRAGMENT,
    };
    r->state = next[r->after];
    if (r->after == AFTER_PIXEL)
        return end_pixel(r);
    if (r->after == AFTER_OFFSET_TABLE)
        return emit_fragment(r, r->offset - r->value.size, r->value.size, value);
    if (r->after == AFTER_ELEMENT) {
        r->token.kind = DATASET_ELEMENT;
        r->token.value = value;
        TRY(emit(r, &r->token));
        return settle(r);
    }
    return NO_ERROR;
}

/* `length` bytes follow that nobody wants to see. */
static struct error skip(struct dataset_reader *r, uint64_t length, enum after after)
{
    r->after = after;
    r->remaining = length;
    r->state = SKIP;
    return length ? NO_ERROR : finish_value(r, NULL);
}

/* `length` bytes follow that are handed over whole, unless they are too many. */
static struct error capture(struct dataset_reader *r, uint64_t length, enum after after)
{
    if (length > r->options.capture_max)
        return skip(r, length, after);
    buf_clear(&r->value);
    r->after = after;
    r->remaining = length;
    r->state = CAPTURE;
    return length ? NO_ERROR : finish_value(r, (const uint8_t *)"");
}

static struct error step_skip(struct dataset_reader *r, struct input *in)
{
    uint64_t have = (uint64_t)(in->end - in->at);
    uint64_t size = nearer(r->remaining, have);
    in->at += size;
    r->offset += size;
    r->remaining -= size;
    return r->remaining ? NO_ERROR : finish_value(r, NULL);
}

/* Values are copied even when they lie whole in the input, as a NUL must stand behind them. */
static struct error step_capture(struct dataset_reader *r, struct input *in)
{
    size_t have = (size_t)(in->end - in->at);
    size_t size = r->remaining < have ? (size_t)r->remaining : have;
    buf_append(&r->value, in->at, size);
    TRY(buf_error(&r->value));
    in->at += size;
    r->offset += size;
    r->remaining -= size;
    return r->remaining ? NO_ERROR : finish_value(r, r->value.data);
}

/* Headers */

/* Inside a sequence of an explicit data set some writers put an element as implicit VR. It is taken as one only if
 * nothing in it is impossible. */
static bool is_stray_implicit(const struct dataset_reader *r, const uint8_t *p, const struct header *h)
{
    if (!r->depth || h->tag >> 16 == 0)
        return false;
    uint64_t length = wide(u32(r, p + 4));
    if (length == DATASET_UNDEFINED)
        return true;
    return length <= INT32_MAX && (r->bound == DATASET_UNDEFINED || length <= r->bound - r->offset);
}

static void take_implicit(const struct dataset_reader *r, const uint8_t *p, struct header *h)
{
    memcpy(h->vr, dictionary_vr(h->tag), 3);
    h->size = 8;
    h->length = wide(u32(r, p + 4));
}

/* Parses an explicit header of which 8 bytes are there; `size` is 12 when it takes more, and then the length is not
 * set. False: no VR stands there.
 *
 * A VR of two letters that PS3.5 does not define: 7.1.2 gives all VRs but the ones it lists the long form, so that is
 * what a future one has. Its reserved bytes are 0 by rule; where they are not, the writer meant the short form. */
static bool take_explicit(const struct dataset_reader *r, const uint8_t *p, struct header *h)
{
    bool letters = vr_is_letters(p + 4);
    enum vr_form form = vr_form(p + 4);
    /* `??` and two blanks were written where the VR was not known, in the short form. */
    bool unsaid = memcmp(p + 4, "??", 2) == 0 || memcmp(p + 4, "  ", 2) == 0;
    if (!letters && !unsaid) {
        if (!is_stray_implicit(r, p, h))
            return false;
        take_implicit(r, p, h);
        return true;
    }
    if (letters)
        memcpy(h->vr, p + 4, 2);
    else
        memcpy(h->vr, "UN", 2);
    h->vr[2] = 0;
    h->size = form == VR_LONG || (form == VR_UNKNOWN && letters && p[6] == 0 && p[7] == 0) ? 12 : 8;
    h->length = u16(r, p + 6);
    return true;
}

/* The header of the element at the present offset. False in `*whole`: it has not all come. */
static struct error read_header(struct dataset_reader *r, struct input *in, struct header *h, bool *whole)
{
    *whole = false;
    const uint8_t *p = peek(r, in, 8);
    if (!p)
        return NO_ERROR;
    h->tag = tag_at(p, r->big_endian);
    if (r->unknown_first) {
        r->unknown_first = false;
        r->implicit = !vr_is_certain(p, h->tag);
    }
    if (h->tag >> 16 == 0xFFFE || r->implicit) {
        take_implicit(r, p, h);
    } else if (!take_explicit(r, p, h)) {
        return malformed(h->tag, r->offset, "its VR is no two letters");
    }
    if (h->size > 8) {
        p = peek(r, in, h->size);
        if (!p)
            return NO_ERROR;
        h->length = wide(u32(r, p + 8));
    }
    *whole = true;
    return NO_ERROR;
}

/* Steps */

/* A tag of group FFFE where an element is expected. */
static struct error take_delimiter(struct dataset_reader *r, const struct header *h, uint64_t at)
{
    const struct level *level = top(r);
    bool in_item = r->depth > 0;
    bool item_has_length = level && level->item_end != DATASET_UNDEFINED;
    bool sequence_has_length = level && level->sequence_end != DATASET_UNDEFINED;
    if (h->tag == TAG_ITEM_DELIMITER || h->tag == TAG_SEQUENCE_DELIMITER) {
        /* Behind the last element of the data set or of an item that has a length, it delimits nothing. */
        if (!in_item || item_has_length)
            return settle(r);
        TRY(end_item(r));
        if (h->tag == TAG_SEQUENCE_DELIMITER && !sequence_has_length)
            TRY(pop(r, r->offset));
        return settle(r);
    }
    /* An item whose sequence was lost; its length tells where the data set goes on. */
    if (h->tag == TAG_ITEM && !in_item && h->length != DATASET_UNDEFINED)
        return skip(r, h->length, AFTER_SEQUENCE);
    return malformed(h->tag, at, in_item ? "no element" : "no element, outside sequences");
}

static struct error begin_pixel(struct dataset_reader *r)
{
    struct dataset_token *token = &r->token;
    token->kind = DATASET_PIXEL_BEGIN;
    r->in_pixel = true;
    if (token->length == DATASET_UNDEFINED) {
        r->state = FRAGMENT;
        r->first_fragment = true;
        return emit(r, token);
    }
    TRY(emit(r, token));
    return skip(r, token->length, AFTER_PIXEL);
}

/* What to do with the element whose header was read into `token`. */
static struct error begin_element(struct dataset_reader *r)
{
    struct dataset_token *token = &r->token;
    bool undefined = token->length == DATASET_UNDEFINED;
    if (r->depth == 0 && is_pixel(token->tag))
        return begin_pixel(r);
    if (undefined && vr_is_bulk(token->vr)) {
        r->state = FRAGMENT;
        r->first_fragment = true;
        return NO_ERROR;
    }
    if (undefined || (r->options.deep && strcmp(token->vr, "SQ") == 0)) {
        TRY(push(r));
        return settle(r);
    }
    if (strcmp(token->vr, "SQ") == 0 || (r->depth && !r->options.deep))
        return skip(r, token->length, AFTER_SEQUENCE);
    return capture(r, token->length, AFTER_ELEMENT);
}

static struct error step_element(struct dataset_reader *r, struct input *in)
{
    struct header h;
    bool whole;
    const uint8_t *p = peek(r, in, 8);
    if (p && r->depth == 0 && get_u64(p) == 0) {
        r->state = PADDING;
        return NO_ERROR;
    }
    TRY(read_header(r, in, &h, &whole));
    if (!whole)
        return NO_ERROR;
    uint64_t at = r->offset;
    consume(r, in, h.size);
    if (h.tag >> 16 == 0xFFFE) {
        if (r->offset > r->bound)
            return malformed(h.tag, at, "longer than the item around it");
        return take_delimiter(r, &h, at);
    }
    if (r->offset > r->bound || (h.length != DATASET_UNDEFINED && h.length > r->bound - r->offset))
        return malformed(h.tag, at, "longer than the item around it");
    r->token = (struct dataset_token){
        .tag = h.tag,
        .vr = {h.vr[0], h.vr[1], 0},
        .depth = (unsigned)r->depth,
        .offset = at,
        .value_offset = r->offset,
        .length = h.length,
        .big_endian = r->big_endian,
    };
    return begin_element(r);
}

static struct error step_first(struct dataset_reader *r, struct input *in)
{
    const uint8_t *p = peek(r, in, 8);
    if (!p)
        return NO_ERROR;
    if (get_u64(p) == 0)
        return error_make(ERROR_MALFORMED, "zeros where the data set should begin");
    bool implicit = r->implicit, big_endian = r->big_endian;
    if (dataset_detect(p, &implicit, &big_endian)) {
        r->implicit = r->base_implicit = implicit;
        r->big_endian = r->base_big_endian = big_endian;
    }
    r->state = ELEMENT;
    return step_element(r, in);
}

static struct error step_item(struct dataset_reader *r, struct input *in)
{
    const uint8_t *p = peek(r, in, 8);
    if (!p)
        return NO_ERROR;
    uint32_t tag = tag_at(p, r->big_endian);
    uint64_t length = wide(u32(r, p + 4)), at = r->offset;
    struct level *level = top(r);
    consume(r, in, 8);
    if (r->offset > r->bound)
        return malformed(tag, at, "longer than its sequence");
    if (tag == TAG_SEQUENCE_DELIMITER && (!level || level->sequence_end == DATASET_UNDEFINED)) {
        TRY(pop(r, r->offset));
        return settle(r);
    }
    /* Delimiters behind what has a length delimit nothing. */
    if (tag == TAG_SEQUENCE_DELIMITER || tag == TAG_ITEM_DELIMITER)
        return settle(r);
    if (tag != TAG_ITEM)
        return malformed(tag, at, "no item, where one is due");
    if (!level && length != DATASET_UNDEFINED)
        return skip(r, length, AFTER_ITEM);
    TRY(emit_mark(r, DATASET_ITEM_BEGIN, tag, "", at, length));
    r->state = ELEMENT;
    if (!level)
        return NO_ERROR;
    /* An item that claims to be longer than its sequence ends with it. */
    level->item_end = length == DATASET_UNDEFINED ? DATASET_UNDEFINED : nearer(r->bound, r->offset + length);
    level->item_bound = r->bound = nearer(r->bound, level->item_end);
    return settle(r);
}

static struct error end_fragments(struct dataset_reader *r)
{
    if (r->in_pixel)
        return end_pixel(r);
    r->state = ELEMENT;
    if (r->depth && !r->options.deep)
        return NO_ERROR;
    r->token.kind = DATASET_ELEMENT;
    r->token.length = r->offset - r->token.value_offset;
    TRY(emit(r, &r->token));
    return settle(r);
}

static struct error step_fragment(struct dataset_reader *r, struct input *in)
{
    const uint8_t *p = peek(r, in, 8);
    if (!p)
        return NO_ERROR;
    uint32_t tag = tag_at(p, r->big_endian);
    uint64_t length = wide(u32(r, p + 4)), at = r->offset;
    bool first = r->first_fragment;
    if (tag == TAG_ITEM && length == DATASET_UNDEFINED && first && !r->in_pixel) {
        /* A sequence that its writer called OB. */
        TRY(push(r));
        return step_item(r, in);
    }
    r->first_fragment = false;
    consume(r, in, 8);
    if (r->offset > r->bound)
        return malformed(tag, at, "longer than the item around it");
    if (tag == TAG_SEQUENCE_DELIMITER)
        return end_fragments(r);
    if (tag != TAG_ITEM || length == DATASET_UNDEFINED)
        return malformed(tag, at, "no fragment, where one is due");
    if (length > r->bound - r->offset)
        return malformed(tag, at, "longer than the item around it");
    if (!r->in_pixel)
        return skip(r, length, AFTER_FRAGMENT);
    if (first && length <= r->options.capture_max)
        return capture(r, length, AFTER_OFFSET_TABLE);
    TRY(emit_fragment(r, r->offset, length, NULL));
    return skip(r, length, AFTER_FRAGMENT);
}

static struct error all_zero(const uint8_t *bytes, size_t size, uint64_t offset)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return error_make(ERROR_MALFORMED, "bytes behind the end of the data set, at offset %" PRIu64, offset + i);
    }
    return NO_ERROR;
}

static struct error step_padding(struct dataset_reader *r, struct input *in)
{
    if (r->pending_size) {
        r->offset += r->pending_size;
        r->pending_size = 0;
    }
    size_t size = (size_t)(in->end - in->at);
    TRY(all_zero(in->at, size, r->offset));
    in->at = in->end;
    r->offset += size;
    return NO_ERROR;
}

static struct error feed_plain(void *reader, const uint8_t *bytes, size_t size)
{
    static struct error (*const steps[STATES])(struct dataset_reader *, struct input *) = {
        [FIRST] = step_first,     [ELEMENT] = step_element, [ITEM] = step_item,       [FRAGMENT] = step_fragment,
        [CAPTURE] = step_capture, [SKIP] = step_skip,       [PADDING] = step_padding,
    };
    struct dataset_reader *r = reader;
    struct input in = {bytes, bytes + size};
    while (in.at < in.end)
        TRY(steps[r->state](r, &in));
    return NO_ERROR;
}

/* The interface */

struct error dataset_reader_new(struct dataset_reader **reader, const struct dataset_options *options)
{
    size_t levels = options->deep ? DATASET_DEPTH_MAX : 0;
    struct dataset_reader *r = malloc(sizeof *r + levels * sizeof r->levels[0]);
    if (!r)
        return error_make(ERROR_NO_MEMORY, "no memory for a data set reader");
    *r = (struct dataset_reader){.options = *options, .bound = DATASET_UNDEFINED};
    if (!r->options.capture_max)
        r->options.capture_max = DATASET_CAPTURE_DEFAULT;
    r->implicit = r->base_implicit = options->syntax->implicit;
    r->big_endian = r->base_big_endian = options->syntax->big_endian;
    buf_init(&r->value);
    if (options->syntax->deflated) {
        struct error err = dataset_inflate_new(&r->inflate);
        if (err.code != ERROR_NONE) {
            dataset_reader_free(r);
            return err;
        }
    }
    *reader = r;
    return NO_ERROR;
}

void dataset_reader_free(struct dataset_reader *r)
{
    if (!r)
        return;
    dataset_inflate_free(r->inflate);
    buf_release(&r->value);
    error_release(&r->failure);
    free(r);
}

/* A failure ends the reader: it is kept, and given again to whoever goes on. */
static struct error keep(struct dataset_reader *r, struct error err)
{
    if (err.code != ERROR_NONE)
        r->failure = error_copy(&err);
    return err;
}

struct error dataset_reader_feed(struct dataset_reader *r, const void *bytes, size_t size)
{
    if (r->failure.code != ERROR_NONE)
        return error_copy(&r->failure);
    if (!size)
        return NO_ERROR;
    return keep(r,
                r->inflate ? dataset_inflate_feed(r->inflate, bytes, size, feed_plain, r) : feed_plain(r, bytes, size));
}

static struct error check_end(struct dataset_reader *r)
{
    if (r->inflate)
        TRY(dataset_inflate_finish(r->inflate));
    if ((r->state == ELEMENT || r->state == FIRST) && r->depth == 0) {
        struct error zero = all_zero(r->pending, r->pending_size, r->offset);
        if (zero.code == ERROR_NONE)
            return NO_ERROR;
        error_release(&zero);
        return error_make(ERROR_MALFORMED, "ends inside an element's header, at offset %" PRIu64,
                          r->offset + r->pending_size);
    }
    if (r->state == PADDING)
        return NO_ERROR;
    return malformed(r->token.tag, r->token.offset,
                     r->in_pixel ? "ends inside the pixel data" : "the data set ends inside it");
}

struct error dataset_reader_finish(struct dataset_reader *r)
{
    if (r->failure.code != ERROR_NONE)
        return error_copy(&r->failure);
    return keep(r, check_end(r));
}

struct error dataset_reader_skip_to(struct dataset_reader *r, uint64_t offset)
{
    if (r->failure.code != ERROR_NONE)
        return error_copy(&r->failure);
    if (!r->in_pixel || r->inflate || offset < dataset_reader_offset(r))
        return error_make(ERROR_USAGE, "a data set reader cannot skip to offset %" PRIu64 " from here", offset);
    r->pending_size = 0;
    r->remaining = 0;
    r->offset = offset;
    return keep(r, end_pixel(r));
}

uint64_t dataset_reader_offset(const struct dataset_reader *r)
{
    return r->offset + r->pending_size;
}
