/* What lives here: NNNN.dcm, the bytes as they came. */
#include "fs/file.h"
#include "fs/held.h"

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
    piece->cache = pacs_cache(tree->pacs);
    spares_take(cache_spares(piece->cache), size, &piece->owned);
    uint8_t *to = buf_reserve(&piece->owned, size);
    CHECK(buf_error(&piece->owned));
    CHECK(pacs_file_read(held_file(file), offset, to, size, &piece->size));
    piece->data = to;
out:
    held_put(tree->held, file);
    return err;
}
