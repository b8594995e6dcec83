/* What lives here: README.txt in the root of the mount, one screen, the same in every mount. */
#include "fs/file.h"

#include <string.h>

static const char before[] = "A medical image archive, shown as ordinary read-only files by pacsfs.\n"
                             "\n";

static const char after[] =
    "\n"
    "Each image NNNN.dcm is the file as it was received. NNNN.png shows it, NNNN.json is its\n"
    "header (DICOM JSON, PS3.18 F); series.json lists a series in the order of its geometry,\n"
    "study.json and patient.json what is below. Sizes are exact, names and inodes stay.\n"
    "\n"
    "Copy images   rsync -a dicom/ ...   (PNGs are made on reading: a copy of them is large)\n"
    "Back up       copy the archive's packs/ and archive.conf: they are the archive; a copy\n"
    "              of this tree is an export, without earlier versions\n"
    "Wait          read ready/: a series is there once nothing has arrived for the quiet time.\n"
    "              inotify sees nothing of what arrives in a FUSE mount: use `pacsctl watch`,\n"
    "              or look into ready/ and new/\n"
    "\n"
    "More: pacsfs(8), pacs-tree(7).\n";

static struct error render(void *context, struct buf *out)
{
    (void)context;
    buf_text(out, before);
    for (const struct view *view = views; view->name; view++)
        buf_printf(out, "  %-12s %s\n", view->name, view->about);
    buf_text(out, after);
    return buf_error(out);
}

struct error file_readme_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    struct buf text;
    (void)request;
    (void)row;
    buf_init(&text);
    struct error err = render(NULL, &text);
    *size = text.size;
    buf_release(&text);
    return err;
}

struct error file_readme_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece)
{
    return piece_from_cache(tree, node, render, NULL, offset, size, piece);
}
