/* Layer: codecs/dicom. The data set reader: a push tokenizer over a DICOM data set (PS3.5 7), without meta header.
 *
 * Bytes are fed as they arrive, in pieces of any size (tokens do not depend on them); the handler is called for each
 * token, in the order of the stream. Memory is bounded: values up to `capture_max` bytes are handed over whole, longer
 * ones are passed by with value == NULL. Two depths:
 *   shallow: only top-level elements are reported; sequences are skipped without a token (any depth, constant memory).
 *   deep: sequences and items are reported too, to at most DATASET_DEPTH_MAX levels (deeper: ERROR_MALFORMED).
 * Sequences and items of undefined and of defined length, UN of undefined length (its content is implicit little
 * endian, PS3.5 6.2.2), encapsulated pixel data (PS3.5 A.4), group lengths that lie (ignored), explicit VRs that are
 * not letters (ERROR_MALFORMED names the tag and offset), elements after Pixel Data: all are read. A data set that is
 * not encoded as its syntax says is read as it is. Zeros behind the last element are passed by. For the three deflated
 * syntaxes the reader inflates (raw deflate, RFC 1951, or zlib's wrapping; bounded memory) and all offsets count
 * inflated bytes. A handler's failure stops the reader and is returned by feed. One thread at a time per reader.
 */
#ifndef CODECS_DICOM_DATASET_H
#define CODECS_DICOM_DATASET_H

#include "codecs/base/error.h"
#include "codecs/dicom/syntax.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DATASET_UNDEFINED UINT64_MAX /* a length of FFFFFFFF */
#define DATASET_DEPTH_MAX 256
#define DATASET_CAPTURE_DEFAULT 65536

enum dataset_kind {
    DATASET_ELEMENT,        /* an element that is no sequence, complete; value NULL if longer than capture_max. Encap-
                               sulated data that are not top-level pixel data (an icon's) are one too: value NULL,
                               `length` is that of the whole value field, its delimiter included */
    DATASET_SEQUENCE_BEGIN, /* deep only; an SQ (or another of undefined length that is not encapsulated: UN) */
    DATASET_SEQUENCE_END,   /* deep only; tag and VR are the sequence's, `offset` the first byte behind it */
    DATASET_ITEM_BEGIN,     /* deep only */
    DATASET_ITEM_END,       /* deep only; `offset` is the first byte behind it, delimiter included */
    DATASET_PIXEL_BEGIN,    /* top level (7FE0,0010), (7FE0,0008), (7FE0,0009): value_offset and length are known; of
                               undefined length: fragments follow, whatever the syntax says */
    DATASET_FRAGMENT,       /* top-level encapsulated pixel data: one item; value_offset and length; the first is the
                               basic offset table (value given if it fits). Emitted before its bytes are passed by */
    DATASET_PIXEL_END,      /* `offset` is the first byte behind the pixel data element, delimiter included */
};

struct dataset_token {
    enum dataset_kind kind;
    uint32_t tag;          /* group << 16 | element */
    char vr[3];            /* as read; for implicit VR from the dictionary ("UN" if unknown); "" for items */
    unsigned depth;        /* items it stands in: 0 at top level, and for a top-level sequence's items themselves */
    uint64_t offset;       /* of the element's tag, in the data set */
    uint64_t value_offset; /* of the first byte of the value */
    uint64_t length;       /* of the value; DATASET_UNDEFINED */
    const uint8_t *value;  /* `length` bytes and a NUL behind them, valid during the call; or NULL */
    bool big_endian;       /* of the numbers in value */
};

typedef struct error (*dataset_handler)(void *context, const struct dataset_token *token);

struct dataset_options {
    const struct syntax *syntax;
    bool deep;
    size_t capture_max; /* 0: DATASET_CAPTURE_DEFAULT */
    dataset_handler handler;
    void *context;
};

struct dataset_reader;

struct error dataset_reader_new(struct dataset_reader **reader, const struct dataset_options *options);
void dataset_reader_free(struct dataset_reader *reader);
/* ERROR_MALFORMED with tag and offset when the bytes are no data set; then the reader accepts no more. */
struct error dataset_reader_feed(struct dataset_reader *reader, const void *bytes, size_t size);
/* No more bytes come: ERROR_MALFORMED when they end inside an element. */
struct error dataset_reader_finish(struct dataset_reader *reader);
/* After DATASET_PIXEL_BEGIN and not for deflated syntaxes: the next byte fed is the one at `offset` (at or behind the
 * end of the pixel data element), at the top level. Emits DATASET_PIXEL_END. For readers that skip the pixels; called
 * between feeds, while the pixel data element is not at its end (else ERROR_USAGE). */
struct error dataset_reader_skip_to(struct dataset_reader *reader, uint64_t offset);
/* Bytes (inflated, where it inflates) consumed so far. */
uint64_t dataset_reader_offset(const struct dataset_reader *reader);

/* What the first 8 bytes of a data set say of its encoding. The flags hold what is claimed and are corrected where the
 * bytes say otherwise; false (flags are then undefined): this does not look like the first element of a data set. */
bool dataset_detect(const uint8_t *first, bool *implicit, bool *big_endian);

/* Values of tokens. Text values have trailing NULs and spaces cut (PS3.5 6.2) and are not converted from their
 * character set. `index` counts values: components between backslashes for text (LT, ST, UT, UR have one), words for
 * binary VRs. A tag that was sent as UN is read by the dictionary's VR. */
/* Copies the index-th value of a text VR into `out` (cut to size-1 bytes, NUL-terminated); false: no such value. */
bool dataset_text(const struct dataset_token *token, unsigned index, char *out, size_t size);
/* The index-th value as a number, from DS, IS, US, SS, UL, SL, FL, FD, UV, SV, AT (group << 16 | element) and the words
 * of OB, OW, OL, OV, OF, OD; false: none or no number, for dataset_integer also one with a fraction or beyond int64_t.
 * Independent of the locale. */
bool dataset_number(const struct dataset_token *token, unsigned index, double *out);
bool dataset_integer(const struct dataset_token *token, unsigned index, int64_t *out);
/* How many values a token has. */
unsigned dataset_values(const struct dataset_token *token);

/* The dictionary (PS3.6, made at build time from DCMTK's): the VR of a tag ("UN" if unknown; repeating groups and
 * private creators (LO), group lengths (UL) known; xs -> "US", ox -> "OW"), and its keyword ("" if none). */
const char *dictionary_vr(uint32_t tag);
const char *dictionary_keyword(uint32_t tag);
/* The tag of a keyword ("PatientID") or of "GGGG,EEEE"/"GGGGEEEE"; 0 when unknown. */
uint32_t dictionary_tag(const char *keyword);
/* The name of a SOP class or other UID from PS3.6 A, or "" when unknown; whether it is a storage SOP class. */
const char *uid_name(const char *uid);
bool uid_is_storage(const char *uid);
/* Whether it looks like a UID (PS3.5 9.1: digits and dots, at most 64), so that it is safe as a name of a file. */
bool uid_is_plain(const char *uid);
/* All storage SOP classes that the dictionary knows, retired ones too: `*count` UIDs in a constant array. */
const char *const *uid_storage_classes(size_t *count);

#ifdef __cplusplus
}
#endif
#endif
