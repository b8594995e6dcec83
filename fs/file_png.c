/* What lives here: NNNN.png and the frames of NNNN/. An image that does not decode is an error of its PNG alone: the
 * .dcm stays readable. */
#include "fs/file.h"
#include "fs/held.h"

#include "codecs/dicom/syntax.h"

/* Look-up tables of 65,536 entries of 16 bits are rendered (PS3.3 C.7.6.3.1.5); longer values are not needed. */
#define CAPTURE_MAX (UINT64_C(1) << 18)

bool file_png_applies(const struct instance_row *row)
{
    return row->shape.bits_allocated != 0 && pixel_can_render(syntax_by_code(row->syntax), &row->shape);
}

struct error file_png_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    (void)request;
    *size = pixel_png_size(&row->shape);
    return NO_ERROR;
}

struct frame {
    struct tree *tree;
    uint64_t id;
    bool representative; /* the frame that stands for the instance, not number `frame` */
    uint32_t frame;
};

static struct error render(void *context, struct buf *out)
{
    const struct frame *frame = context;
    struct held_file *file;
    struct pixel_description *description = NULL;
    struct pixel_source source;
    struct pixel_shape shape;
    struct instance_facts facts;
    TRY(held_get(frame->tree->held, frame->id, &file));
    struct error err = NO_ERROR;
    pacs_file_facts(held_file(file), &facts);
    CHECK(pixel_description_new(&description, facts.syntax));
    CHECK(pacs_file_tokens(held_file(file), CAPTURE_MAX, pixel_description_token, description));
    pixel_description_shape(description, &shape);
    CHECK(pacs_pixels(held_file(file), &source));
    err = pixel_render_png(description, &source, frame->representative ? shape.representative : frame->frame, out);
    pacs_pixels_release(&source);
    err = error_context(err, "PNG of instance %s", facts.uid);
    if (err.code == ERROR_NONE && out->size != pixel_png_size(&shape))
        err = error_make(ERROR_BROKEN, "PNG of instance %s: %zu bytes, announced %llu", facts.uid, out->size,
                         (unsigned long long)pixel_png_size(&shape));
out:
    pixel_description_free(description);
    held_put(frame->tree->held, file);
    return err;
}

struct error file_png_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece)
{
    struct frame frame = {.tree = tree,
                          .id = node.id,
                          .representative = node.role == NODE_FILE,
                          .frame = node.role == NODE_FRAME ? node.part : 0};
    return piece_from_cache(tree, node, render, &frame, offset, size, piece);
}
