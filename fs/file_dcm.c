/* What lives here: NNNN.dcm, the bytes as they came. */
#include "fs/file.h"
#include "fs/held.h"

#include <stdlib.h>

struct error file_dcm_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    (void)request;
    *size = row->size;
    return NO_ERROR;
}

struct error file_dcm_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece)
{
    struct held_file *file;
    TRY(held_get(tree->held, node.id, &file));
    struct error err = NO_ERROR;
    piece->owned = malloc(size ? size : 1);
    if (!piece->owned)
        CHECK(error_make(ERROR_NO_MEMORY, "out of memory"));
    CHECK(pacs_file_read(held_file(file), offset, piece->owned, size, &piece->size));
    piece->data = piece->owned;
out:
    held_put(tree->held, file);
    return err;
}
