/* What lives here: inflating for the syntaxes that deflate the whole data set (PS3.5 A.5). Input of any split goes in,
 * output comes out in pieces of OUTPUT_SIZE at most; what it inflates to is not limited here, as nothing is kept.
 *
 * The standard says raw deflate (RFC 1951). Some senders wrap it as zlib does (RFC 1950): its first byte would begin a
 * stored block with padding bits that are not zero, which no encoder writes, so two bytes tell them apart.
 */
#include "codecs/dicom/dataset_internal.h"

#include <stdlib.h>
#include <zlib.h>

#define OUTPUT_SIZE 65536
#define WINDOW_RAW (-15)
#define WINDOW_ZLIB 15

struct dataset_inflate {
    z_stream stream;
    bool started, ended;
    uint8_t first; /* the first byte, while the second has not come */
    bool have_first;
    uint8_t output[OUTPUT_SIZE];
};

struct error dataset_inflate_new(struct dataset_inflate **inflate)
{
    struct dataset_inflate *self = malloc(sizeof *self);
    if (!self)
        return error_make(ERROR_NO_MEMORY, "no memory to inflate a data set");
    self->stream = (z_stream){0};
    self->started = self->ended = self->have_first = false;
    *inflate = self;
    return NO_ERROR;
}

void dataset_inflate_free(struct dataset_inflate *self)
{
    if (!self)
        return;
    if (self->started)
        inflateEnd(&self->stream);
    free(self);
}

static struct error run(struct dataset_inflate *self, const uint8_t *bytes, size_t size, dataset_inflated take,
                        void *context)
{
    z_stream *z = &self->stream;
    while (size && !self->ended) {
        uInt piece = size < UINT32_MAX / 2 ? (uInt)size : UINT32_MAX / 2;
        z->next_in = (Bytef *)bytes;
        z->avail_in = piece;
        do {
            z->next_out = self->output;
            z->avail_out = OUTPUT_SIZE;
            int status = inflate(z, Z_NO_FLUSH);
            if (status == Z_MEM_ERROR)
                return error_make(ERROR_NO_MEMORY, "no memory to inflate a data set");
            /* Also what comes before a fault, so that tokens do not depend on how the input is split. */
            TRY(take(context, self->output, OUTPUT_SIZE - z->avail_out));
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
                return error_make(ERROR_MALFORMED, "the deflated data set does not inflate: %s",
                                  z->msg ? z->msg : zError(status));
            self->ended = status == Z_STREAM_END;
        } while (!self->ended && !z->avail_out);
        bytes += piece;
        size -= piece;
    }
    return NO_ERROR;
}

static bool is_zlib(uint8_t first, uint8_t second)
{
    return (first & 0x0F) == Z_DEFLATED && first >> 4 <= 7 && (first << 8 | second) % 31 == 0;
}

struct error dataset_inflate_feed(struct dataset_inflate *self, const uint8_t *bytes, size_t size,
                                  dataset_inflated take, void *context)
{
    if (self->started || !size)
        return run(self, bytes, size, take, context);
    if (!self->have_first) {
        self->first = *bytes++;
        self->have_first = true;
        size--;
    }
    if (!size)
        return NO_ERROR;
    if (inflateInit2(&self->stream, is_zlib(self->first, *bytes) ? WINDOW_ZLIB : WINDOW_RAW) != Z_OK)
        return error_make(ERROR_NO_MEMORY, "no memory to inflate a data set");
    self->started = true;
    TRY(run(self, &self->first, 1, take, context));
    return run(self, bytes, size, take, context);
}

struct error dataset_inflate_finish(const struct dataset_inflate *self)
{
    if (self->ended || !self->have_first)
        return NO_ERROR;
    return error_make(ERROR_MALFORMED, "the deflated data set ends early");
}
