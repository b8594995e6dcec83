/* What lives here: the table of virtual files, their attributes, and ranges of blocks that the cache holds. */
#include "fs/file.h"
#include "fs/prefetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V(code) VIEW_BIT(VIEW_##code)
#define BESIDE (V(PATIENTS) | V(READY)) /* where all kinds of files stand side by side */
#define FRAME_DIGITS_MIN 4

const struct file_kind file_kinds[] = {
    {FILE_DCM, OBJECT_INSTANCE, ".dcm", "dcm", "application/dicom", SHOW_DCM, BESIDE | V(DICOM) | V(UIDS),
     AHEAD_THROUGH, NULL, file_dcm_size, file_dcm_read},
    {FILE_PNG, OBJECT_INSTANCE, ".png", "png", "image/png", SHOW_PNG, BESIDE | V(PNG), AHEAD_WHOLE, file_png_applies,
     file_png_size, file_png_read},
    {FILE_JSON, OBJECT_INSTANCE, ".json", "json", "application/dicom+json", SHOW_JSON, BESIDE | V(JSON), AHEAD_NONE,
     NULL, file_json_size, file_json_read},
    {FILE_SERIES_JSON, OBJECT_SERIES, "series.json", NULL, "application/json", SHOW_JSON, BESIDE | V(JSON), AHEAD_NONE,
     NULL, summary_series_size, summary_read},
    {FILE_STUDY_JSON, OBJECT_STUDY, "study.json", NULL, "application/json", SHOW_JSON, BESIDE | V(JSON), AHEAD_NONE,
     NULL, summary_study_size, summary_read},
    {FILE_PATIENT_JSON, OBJECT_PATIENT, "patient.json", NULL, "application/json", SHOW_JSON, BESIDE | V(JSON),
     AHEAD_NONE, NULL, summary_patient_size, summary_read},
    {FILE_README, FILE_OF_MOUNT, "README.txt", NULL, "text/plain", 0, 0, AHEAD_NONE, NULL, file_readme_size,
     file_readme_read},
    {0},
};

const struct file_kind *file_kind_by_code(uint32_t code)
{
    for (const struct file_kind *kind = file_kinds; kind->name; kind++)
        if ((uint32_t)kind->code == code)
            return kind;
    return NULL;
}

/* `-o show=` thins the views where kinds stand side by side; a view of one kind always has it. */
bool file_in_view(const struct tree *tree, const struct file_kind *kind, const struct view *view)
{
    unsigned bit = VIEW_BIT(view->code);
    return (kind->views & tree->views & bit) && (!(bit & BESIDE) || (kind->show & tree->show));
}

bool file_applies(const struct file_kind *kind, const struct instance_row *row)
{
    return !kind->applies || kind->applies(row);
}

const struct file_kind *file_kind_by_suffix(const struct tree *tree, const struct view *view, const char *name,
                                            size_t *stem)
{
    size_t length = strlen(name);
    for (const struct file_kind *kind = file_kinds; kind->name; kind++) {
        size_t suffix = strlen(kind->name);
        if (kind->of == OBJECT_INSTANCE && length > suffix && strcmp(name + length - suffix, kind->name) == 0 &&
            file_in_view(tree, kind, view)) {
            *stem = length - suffix;
            return kind;
        }
    }
    return NULL;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

/* Views of this mount in which a kind stands. What waits to settle counts as standing in ready/ already: the number
 * would otherwise change without an arrival. */
static uint32_t places(const struct tree *tree, const struct file_kind *kind)
{
    uint32_t count = 0;
    for (const struct view *view = views; view->name; view++)
        count += file_in_view(tree, kind, view);
    return count;
}

/* What is shown stands in all its views; another edition in uids/ at most. */
static uint32_t places_of_edition(const struct tree *tree, const struct file_kind *kind, const struct instance_row *row)
{
    if (instance_shown(row, UINT64_MAX))
        return places(tree, kind);
    return (kind->views & tree->views & V(UIDS)) && !(row->flags & INSTANCE_VARIANT);
}

struct error file_attr(const struct request *request, const struct file_kind *kind, const struct instance_row *row,
                       struct attr *attr)
{
    *attr = (struct attr){.inode = node_inode(NODE_FILE, row->id, kind->code),
                          .type = ATTR_FILE,
                          .time_ns = row->time_ns,
                          .links = places_of_edition(request->tree, kind, row)};
    return kind->size(request, row, &attr->size);
}

/* The text of a folder as of one edition below it; `newest`: of the folder now. */
static struct error summary_attr(const struct request *request, const struct file_kind *kind,
                                 const struct instance_row *row, uint64_t newest, struct attr *attr)
{
    *attr = (struct attr){.inode = node_inode(NODE_FILE, row->id, kind->code),
                          .type = ATTR_FILE,
                          .time_ns = row->time_ns,
                          .links = newest == row->id ? places(request->tree, kind) : 0};
    return kind->size(request, row, &attr->size);
}

struct error file_attr_of_folder(const struct request *request, const struct file_kind *kind,
                                 const struct object_row *row, struct attr *attr)
{
    struct instance_row newest;
    TRY(pacs_instance(request->txn, row->newest, &newest));
    return summary_attr(request, kind, &newest, row->newest, attr);
}

static struct error mount_attr(const struct request *request, const struct file_kind *kind, struct node node,
                               struct attr *attr)
{
    struct object_row root;
    TRY(pacs_object(request->txn, PACS_ROOT, &root));
    *attr = (struct attr){
        .inode = node_inode(NODE_FILE, node.id, kind->code), .type = ATTR_FILE, .time_ns = root.created_ns, .links = 1};
    return kind->size(request, NULL, &attr->size);
}

static struct error frame_attr(const struct request *request, struct node node, struct attr *attr)
{
    struct instance_row row;
    TRY(pacs_instance(request->txn, node.id, &row));
    if (node.part >= frames_shown(&row))
        return no_such_name();
    *attr = (struct attr){.inode = node_inode(NODE_FRAME, row.id, node.part),
                          .type = ATTR_FILE,
                          .size = pixel_png_size(&row.shape),
                          .time_ns = row.time_ns,
                          .links = 1};
    return NO_ERROR;
}

struct error file_attr_by_node(const struct request *request, struct node node, struct attr *attr)
{
    if (node.role == NODE_FRAME)
        return frame_attr(request, node, attr);
    const struct file_kind *kind = file_kind_by_code(node.part);
    if (!kind)
        return no_such_name();
    if (kind->of == FILE_OF_MOUNT)
        return node.id == PACS_ROOT ? mount_attr(request, kind, node, attr) : no_such_name();
    struct instance_row row;
    TRY(pacs_instance(request->txn, node.id, &row));
    if (kind->of == OBJECT_INSTANCE)
        return file_applies(kind, &row) ? file_attr(request, kind, &row, attr) : no_such_name();
    struct object_row above;
    TRY(pacs_object(request->txn, row.series, &above));
    TRY(object_above(request, (enum object_kind)kind->of, &above));
    return summary_attr(request, kind, &row, above.newest, attr);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct error file_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece)
{
    if (node.role == NODE_FRAME)
        return file_png_read(tree, node, offset, size, piece);
    const struct file_kind *kind = node.role == NODE_FILE ? file_kind_by_code(node.part) : NULL;
    if (!kind)
        return no_such_name();
    if (kind->ahead != AHEAD_NONE && offset == 0)
        prefetch_note(tree->prefetch, node);
    return kind->read(tree, node, offset, size, piece);
}

#define CACHE_BLOCK UINT64_C(0x66732f626c6f636b) /* kinds of keys in the shared cache: rendered files */
#define CACHE_SIZE UINT64_C(0x66732f73697a6521)  /* and sizes that were counted */

struct error piece_from_cache(struct tree *tree, struct node node, cache_fill fill, void *context, uint64_t offset,
                              size_t size, struct piece *piece)
{
    struct cache_key key = {.kind = CACHE_BLOCK, .a = node_inode(node.role, node.id, node.part)};
    piece->cache = pacs_cache(tree->pacs);
    TRY(cache_get(piece->cache, key, fill, context, &piece->entry));
    size_t whole;
    const uint8_t *data = cache_data(piece->entry, &whole);
    if (offset >= whole)
        return NO_ERROR;
    piece->data = data + offset;
    piece->size = size < whole - offset ? size : whole - offset;
    return NO_ERROR;
}

struct error size_from_cache(const struct request *request, uint64_t inode, cache_fill fill, void *context,
                             uint64_t *size)
{
    struct cache *cache = pacs_cache(request->tree->pacs);
    struct cache_entry *entry;
    size_t length;
    TRY(cache_get(cache, (struct cache_key){.kind = CACHE_SIZE, .a = inode}, fill, context, &entry));
    *size = get_u64(cache_data(entry, &length));
    cache_put(cache, entry);
    return NO_ERROR;
}

uint32_t frames_shown(const struct instance_row *row)
{
    if (row->shape.frames < 2 || !file_png_applies(row))
        return 0;
    return row->shape.frames < NODE_PART_MAX ? row->shape.frames : NODE_PART_MAX;
}

void frame_name(const struct instance_row *row, uint32_t frame, char name[32])
{
    int digits = snprintf(NULL, 0, "%u", frames_shown(row));
    snprintf(name, 32, "%0*u.png", digits > FRAME_DIGITS_MIN ? digits : FRAME_DIGITS_MIN, frame + 1);
}
