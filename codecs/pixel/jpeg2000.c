/* What lives here: JPEG 2000 frames (ISO/IEC 15444-1, of part 2 the multiple component transformations within a frame)
 * and HTJ2K (15444-15), decoded by OpenJPEG in the calling thread.
 *
 * The codestream is decoded without the boxes that some writers put around it: a palette or a colour space said there
 * would contradict the data set (PS3.5 8.2.4). A multiple component transformation is undone by the decoder, whatever
 * the label is called; without one the label says what the components are.
 */
#include "codecs/pixel/jpeg2000.h"
#include "codecs/pixel/decoder.h"

#include <openjpeg.h>
#include <stdio.h>
#include <string.h>

#define PRECISION_MAX 31
#define READ_AHEAD 65536

bool jpeg2000_begins(const uint8_t start[STREAM_START])
{
    static const uint8_t stream[4] = {0xff, 0x4f, 0xff, 0x51}, box[8] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    return memcmp(start, stream, sizeof stream) == 0 || memcmp(start, box, sizeof box) == 0;
}

struct memory {
    const uint8_t *bytes;
    size_t size, at;
};

static OPJ_SIZE_T memory_read(void *to, OPJ_SIZE_T size, void *context)
{
    struct memory *memory = context;
    size_t left = memory->size - memory->at;
    if (!left)
        return (OPJ_SIZE_T)-1;
    size = size < left ? size : left;
    memcpy(to, memory->bytes + memory->at, size);
    memory->at += size;
    return size;
}

static OPJ_OFF_T memory_skip(OPJ_OFF_T size, void *context)
{
    struct memory *memory = context;
    size_t left = memory->size - memory->at;
    if (size < 0)
        return -1;
    size_t skipped = (uint64_t)size < left ? (size_t)size : left;
    memory->at += skipped;
    return (OPJ_OFF_T)skipped;
}

static OPJ_BOOL memory_seek(OPJ_OFF_T to, void *context)
{
    struct memory *memory = context;
    if (to < 0 || (uint64_t)to > memory->size)
        return OPJ_FALSE;
    memory->at = (size_t)to;
    return OPJ_TRUE;
}

/* OpenJPEG says why in words, the first of which is the cause. */
struct complaint {
    char text[160];
};

static void complain(const char *text, void *context)
{
    struct complaint *complaint = context;
    if (!complaint->text[0])
        snprintf(complaint->text, sizeof complaint->text, "%.*s", (int)strcspn(text, "\n"), text);
}

static struct error codec_new(opj_codec_t **codec, opj_stream_t **stream, struct memory *memory,
                              struct complaint *complaint)
{
    opj_dparameters_t parameters;
    *codec = opj_create_decompress(OPJ_CODEC_J2K);
    *stream = opj_stream_create(READ_AHEAD, OPJ_TRUE);
    if (!*codec || !*stream)
        return error_make(ERROR_NO_MEMORY, "no memory to decode a JPEG 2000 stream");
    opj_stream_set_user_data(*stream, memory, NULL);
    opj_stream_set_user_data_length(*stream, memory->size);
    opj_stream_set_read_function(*stream, memory_read);
    opj_stream_set_skip_function(*stream, memory_skip);
    opj_stream_set_seek_function(*stream, memory_seek);
    opj_set_error_handler(*codec, complain, complaint);
    opj_set_default_decoder_parameters(&parameters);
    if (!opj_setup_decoder(*codec, &parameters))
        return error_make(ERROR_BROKEN, "OpenJPEG refuses its settings");
    return NO_ERROR;
}

static struct error image_agrees(const struct frame *frame, const opj_image_t *image)
{
    for (unsigned c = 0; c < image->numcomps; c++) {
        const opj_image_comp_t *component = &image->comps[c];
        if (!component->data || component->w != frame->description->columns || component->h != frame->description->rows)
            return error_make(ERROR_MALFORMED, "component %u of the JPEG 2000 stream is %u x %u", c + 1, component->w,
                              component->h);
    }
    return NO_ERROR;
}

static void take_component(const struct frame *frame, const opj_image_comp_t *component, uint8_t *to, unsigned step)
{
    const struct pixel_layout *layout = &frame->layout;
    unsigned sign_bits = component->sgnd ? 0 : component->prec; /* the values of signed ones bring their sign along */
    const OPJ_INT32 *data = component->data;
    if (layout->cell_bytes == 2)
        for (size_t i = 0; i < layout->pixels; i++, to += step)
            put_u16(to, (uint16_t)codec_cell(layout, component->prec, sign_bits, (uint32_t)data[i]));
    else if (layout->cell_bytes == 1)
        for (size_t i = 0; i < layout->pixels; i++, to += step)
            *to = (uint8_t)codec_cell(layout, component->prec, sign_bits, (uint32_t)data[i]);
    else
        for (size_t i = 0; i < layout->pixels; i++, to += step)
            put_u32(to, codec_cell(layout, component->prec, sign_bits, (uint32_t)data[i]));
}

static struct error take_image(struct frame *frame, const opj_image_t *image)
{
    const struct pixel_layout *layout = &frame->layout;
    uint8_t *to = buf_reserve(frame->out, layout->decoded_size);
    TRY(buf_error(frame->out));
    TRY(image_agrees(frame, image));
    for (unsigned c = 0; c < image->numcomps; c++)
        take_component(frame, &image->comps[c], to + (size_t)c * layout->cell_bytes,
                       layout->cell_bytes * image->numcomps);
    frame->out->size = layout->decoded_size;
    return NO_ERROR;
}

struct error jpeg2000_decode(struct frame *frame)
{
    struct error err;
    struct jpeg2000_header header;
    struct complaint complaint = {""};
    const uint8_t *bytes = frame->raw->data;
    size_t size = frame->raw->size;
    opj_codec_t *codec = NULL;
    opj_stream_t *stream = NULL;
    opj_image_t *image = NULL;
    jpeg2000_codestream(&bytes, &size);
    TRY(jpeg2000_header_read(&header, bytes, size));
    TRY(codec_agrees(frame, "JPEG 2000", header.columns, header.rows, header.components, header.precision,
                     PRECISION_MAX));
    if (header.subsampled)
        return error_make(ERROR_UNSUPPORTED, "JPEG 2000 components of different sizes");
    struct memory memory = {bytes, header.size, 0};
    CHECK(codec_new(&codec, &stream, &memory, &complaint));
    if (!opj_read_header(stream, codec, &image) || image->numcomps != header.components ||
        !opj_decode(codec, stream, image)) {
        err =
            error_make(ERROR_MALFORMED, "JPEG 2000: %s", complaint.text[0] ? complaint.text : "the stream is corrupt");
        goto out;
    }
    CHECK(take_image(frame, image));
    if (frame->description->samples == 3 && header.transformed)
        frame->photometric = PHOTOMETRIC_RGB;
out:
    opj_image_destroy(image);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    return err;
}
