/* Layer: index/ingest. What the index needs of a data set, gathered from its tokens while it arrives: attributes in
 * UTF-8, the shape of the image, the size of its JSON text, its place along the normal, where Pixel Data stand. */
#ifndef INDEX_INGEST_GATHER_H
#define INDEX_INGEST_GATHER_H

#include "codecs/dicom/charset.h"
#include "codecs/dicom/json_model.h"
#include "index/fold/fold.h"

struct gather {
    const struct syntax *syntax;
    struct charset *charset;
    struct json_model *json;
    struct pixel_description *pixels;
    struct buf attributes; /* of all levels, as attribute() reads them */
    uint64_t pixel_offset, pixel_length, pixel_end;
    bool pixel_encapsulated;
    double corner[3], row[3], column[3];
    unsigned have; /* bits: corner, orientation */
    bool lossy;
    size_t replaced; /* characters that did not decode */
};

/* `prefix_size`: bytes before the data set in its file. */
struct error gather_init(struct gather *gather, const struct syntax *syntax, uint64_t prefix_size);
void gather_release(struct gather *gather);
/* A dataset_handler. */
struct error gather_token(void *gather, const struct dataset_token *token);
/* Fills shape, JSON size, position, pixel offsets and attributes of `record`, which borrows the attributes. */
struct error gather_finish(struct gather *gather, struct instance_record *record);

#endif
