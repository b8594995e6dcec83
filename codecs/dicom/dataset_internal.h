/* Layer: codecs/dicom, private to the files of the data set reader: how elements are encoded, and inflating.
 *
 * Encodings are pure functions over constant tables. A `struct dataset_inflate` belongs to one reader.
 */
#ifndef CODECS_DICOM_DATASET_INTERNAL_H
#define CODECS_DICOM_DATASET_INTERNAL_H

#include "codecs/base/buf.h"
#include "codecs/dicom/dataset.h"

/* The form of an explicit VR element's header (PS3.5 7.1.2). */
enum vr_form {
    VR_UNKNOWN, /* no VR of PS3.5 6.2 */
    VR_SHORT,   /* 8 bytes: tag, VR, 16-bit length */
    VR_LONG,    /* 12 bytes: tag, VR, two reserved bytes, 32-bit length */
};

/* Of the two bytes at `vr`. */
enum vr_form vr_form(const uint8_t *vr);
bool vr_is_letters(const uint8_t *vr);
/* Whether an undefined length of this VR means fragments (PS3.5 A.4) rather than items with data sets. */
bool vr_is_bulk(const char *vr);

/* The element at `p` has a known VR at p + 4, and not by chance: read as the low half of an implicit length it is odd,
 * or it is what the dictionary says of that very tag. */
bool vr_is_certain(const uint8_t *p, uint32_t tag);

static inline uint32_t tag_at(const uint8_t *p, bool big_endian)
{
    return big_endian ? (uint32_t)get_u16be(p) << 16 | get_u16be(p + 2) : (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
}

/* Raw deflate, or zlib's wrapping of it, as it is sometimes met. */
struct dataset_inflate;

typedef struct error (*dataset_inflated)(void *context, const uint8_t *bytes, size_t size);

struct error dataset_inflate_new(struct dataset_inflate **inflate);
void dataset_inflate_free(struct dataset_inflate *inflate);
/* Calls `take` with what the bytes inflate to, in pieces of bounded size. Bytes behind the end of the stream (the
 * padding of PS3.5 A.5) are passed by. */
struct error dataset_inflate_feed(struct dataset_inflate *inflate, const uint8_t *bytes, size_t size,
                                  dataset_inflated take, void *context);
/* ERROR_MALFORMED unless the stream is at its end. */
struct error dataset_inflate_finish(const struct dataset_inflate *inflate);

#endif
