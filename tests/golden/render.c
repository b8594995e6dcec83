/* render [--16 | --cells] FILE PREFIX [FRAME...]: shows a DICOM file through the public calls alone (meta_read, the data
 * set reader, the pixel calls): PREFIX.FRAME.png for each frame (1-based; without any the representative one); with
 * --16 it is the 16-bit PNG, with --cells what pixel_decode() gives. Prints rows, columns, samples, frames. Status: 0
 * shown, 3 there is no PNG of such an image, 1 failed (the reason on stderr), 2 usage.
 */
#include "codecs/dicom/dataset.h"
#include "codecs/dicom/meta.h"
#include "codecs/pixel/pixel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define DATASET_MAX ((size_t)1 << 30)

struct image {
    struct buf dataset; /* inflated */
    struct pixel_description *description;
    bool pixels, encapsulated;
    uint64_t begin, end; /* of the value of Pixel Data */
};

static struct error load(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    size_t got = 0;
    if (!file)
        return error_make(ERROR_NOT_FOUND, "%s does not open", path);
    do {
        uint8_t *to = buf_reserve(out, 1 << 20);
        got = to ? fread(to, 1, 1 << 20, file) : 0;
        out->size += got;
    } while (got && out->size < DATASET_MAX);
    fclose(file);
    return buf_error(out);
}

/* The three deflated syntaxes: raw deflate to the end of the file (PS3.5 A.5). */
static struct error inflate_all(const uint8_t *bytes, size_t size, struct buf *out)
{
    z_stream stream = {.next_in = (uint8_t *)bytes, .avail_in = (uInt)size};
    int status = Z_OK;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return error_make(ERROR_NO_MEMORY, "no memory to inflate");
    while (status == Z_OK && out->size < DATASET_MAX) {
        stream.next_out = buf_reserve(out, 1 << 20);
        stream.avail_out = 1 << 20;
        if (!stream.next_out)
            break;
        status = inflate(&stream, Z_NO_FLUSH);
        out->size += (1 << 20) - stream.avail_out;
    }
    inflateEnd(&stream);
    return buf_error(out);
}

static struct error on_token(void *context, const struct dataset_token *token)
{
    struct image *image = context;
    if (token->kind == DATASET_PIXEL_BEGIN && !image->pixels) {
        image->pixels = true;
        image->begin = token->value_offset;
        image->encapsulated = token->length == DATASET_UNDEFINED;
        image->end = image->encapsulated ? image->dataset.size : token->value_offset + token->length;
    }
    if (token->kind == DATASET_PIXEL_END && image->encapsulated && image->end == image->dataset.size)
        image->end = token->offset;
    return pixel_description_token(image->description, token);
}

static struct error read_pixels(void *context, uint64_t offset, void *to, size_t size)
{
    const struct image *image = context;
    if (size)
        memcpy(to, image->dataset.data + image->begin + offset, size);
    return NO_ERROR;
}

static struct error describe(struct image *image, const struct syntax *syntax)
{
    struct error err;
    struct dataset_reader *reader = NULL;
    struct dataset_options options = {
        .syntax = syntax, .deep = true, .capture_max = PIXEL_CAPTURE, .handler = on_token, .context = image};
    CHECK(pixel_description_new(&image->description, syntax));
    CHECK(dataset_reader_new(&reader, &options));
    err = dataset_reader_feed(reader, image->dataset.data, image->dataset.size);
    if (!err.code)
        err = dataset_reader_finish(reader);
    if (image->pixels && err.code) { /* what comes behind the pixels does not matter, nor that they are cut */
        fprintf(stderr, "%s\n", error_text(&err));
        error_release(&err);
    }
    if (image->end > image->dataset.size)
        image->end = image->dataset.size;
out:
    dataset_reader_free(reader);
    return err;
}

typedef struct error (*render_call)(const struct pixel_description *, const struct pixel_source *, uint32_t,
                                    struct buf *);

static uint64_t any_size(const struct pixel_shape *shape)
{
    (void)shape;
    return 0;
}

static const struct mode {
    const char *option;
    bool (*can)(const struct syntax *syntax, const struct pixel_shape *shape);
    render_call render;
    uint64_t (*size)(const struct pixel_shape *shape); /* that is promised; 0: none */
} modes[] = {
    {"--png", pixel_can_render, pixel_render_png, pixel_png_size},
    {"--16", pixel_can_render16, pixel_render_png16, pixel_png16_size},
    {"--cells", pixel_can_render, pixel_decode, any_size},
};

static struct error show(struct image *image, const struct mode *mode, uint32_t frame, const char *prefix)
{
    struct error err;
    struct pixel_source source = {.read = read_pixels, .context = image, .length = image->end - image->begin};
    struct pixel_shape shape;
    struct buf out;
    char path[4096];
    buf_init(&out);
    pixel_description_shape(image->description, &shape);
    CHECK(mode->render(image->description, &source, frame, &out));
    if (mode->size(&shape) && out.size != mode->size(&shape)) {
        err = error_make(ERROR_BROKEN, "a PNG of %zu bytes, %llu were promised", out.size,
                         (unsigned long long)mode->size(&shape));
        goto out;
    }
    snprintf(path, sizeof path, "%s.%u.png", prefix, frame + 1);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(out.data, 1, out.size, file) != out.size)
        err = error_make(ERROR_FULL, "%s is not written", path);
    if (file && fclose(file) != 0 && !err.code)
        err = error_make(ERROR_FULL, "%s is not written", path);
out:
    buf_release(&out);
    return err;
}

static struct error prepare(struct image *image, const char *path, const struct syntax **syntax)
{
    struct error err;
    struct buf file;
    struct meta meta;
    buf_init(&file);
    CHECK(load(path, &file));
    CHECK(meta_read(&meta, file.data, file.size < META_PREFIX_MAX ? file.size : META_PREFIX_MAX));
    *syntax = meta.syntax;
    if (meta.syntax->deflated) {
        CHECK(inflate_all(file.data + meta.prefix_size, file.size - meta.prefix_size, &image->dataset));
        *syntax = syntax_by_uid("1.2.840.10008.1.2.1");
    } else {
        buf_append(&image->dataset, file.data + meta.prefix_size, file.size - meta.prefix_size);
    }
    CHECK(buf_error(&image->dataset));
    CHECK(describe(image, *syntax));
out:
    buf_release(&file);
    return err;
}

int main(int argc, char **argv)
{
    struct error err;
    struct image image = {0};
    struct pixel_shape shape;
    const struct syntax *syntax = syntax_by_code(0);
    const struct mode *mode = &modes[0];
    int status = 1;
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].option) == 0) {
            mode = &modes[i];
            argc--;
            argv++;
            break;
        }
    if (argc < 3)
        return 2;
    buf_init(&image.dataset);
    CHECK(prepare(&image, argv[1], &syntax));
    pixel_description_shape(image.description, &shape);
    printf("%u %u %u %u\n", shape.rows, shape.columns, shape.samples, shape.frames);
    if (!shape.bits_allocated || !mode->can(syntax, &shape)) {
        status = 3;
        goto out;
    }
    if (argc == 3)
        CHECK(show(&image, mode, shape.representative, argv[2]));
    for (int i = 3; i < argc; i++)
        CHECK(show(&image, mode, (uint32_t)strtoul(argv[i], NULL, 10) - 1, argv[2]));
    status = 0;
out:
    if (err.code)
        fprintf(stderr, "%s\n", error_text(&err));
    error_release(&err);
    pixel_description_free(image.description);
    buf_release(&image.dataset);
    return status;
}
