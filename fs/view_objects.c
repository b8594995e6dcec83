/* What lives here: the views that show the object tree (folders above patients, patients, studies, series, instances)
 * with one choice of files each, and the folders of frames in png/.
 *
 * Cookies: COOKIE_FIXED + code for a folder's own files (series.json); permanent number and slot for children, where
 * the slot of a folder is 0, of an instance's files their code, of its folder of frames SLOT_FRAMES. */
#include "fs/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_FRAMES (COOKIE_SLOTS - 1)

static struct error folder_attr(const struct request *request, const struct view *view, const struct object_row *row,
                                struct attr *attr)
{
    *attr = (struct attr){.inode = node_inode(NODE_FOLDER, row->id, view->code),
                          .type = ATTR_FOLDER,
                          .time_ns = row->list_ns,
                          .links = 1};
    return view->settled ? view->settled(request, row, &attr->time_ns) : NO_ERROR;
}

/* Whether a folder stands in a view at this moment; with its attributes, if so. */
static struct error folder_stands(const struct request *request, const struct view *view, const struct object_row *row,
                                  bool *stands, struct attr *attr)
{
    TRY(folder_attr(request, view, row, attr));
    *stands = !view->settled || attr->time_ns != 0;
    return NO_ERROR;
}

static void frames_attr(const struct instance_row *row, struct attr *attr)
{
    *attr = (struct attr){
        .inode = node_inode(NODE_FRAMES, row->id, 0), .type = ATTR_FOLDER, .time_ns = row->time_ns, .links = 1};
}

struct error objects_attr(const struct request *request, struct node node, struct attr *attr)
{
    if (node.role == NODE_FRAMES) {
        struct instance_row instance;
        TRY(pacs_instance(request->txn, node.id, &instance));
        frames_attr(&instance, attr);
        return NO_ERROR;
    }
    struct object_row row;
    TRY(pacs_object(request->txn, node.id, &row));
    return folder_attr(request, view_by_code(node.part), &row, attr);
}

/* ---- look-up ---------------------------------------------------------------------------------------------------- */

/* The shown edition of that very name (the index finds names whose case differs, too). */
static struct error shown_by_name(const struct request *request, uint64_t series, const char *name,
                                  struct instance_row *row)
{
    TRY(pacs_instance_by_name(request->txn, series, name, row));
    if (strcmp(row->name, name) != 0 || !instance_shown(row, UINT64_MAX))
        return no_such_name();
    return NO_ERROR;
}

static struct error lookup_instance(const struct request *request, const struct view *view, uint64_t series,
                                    const char *name, struct attr *attr)
{
    struct instance_row row;
    size_t stem;
    const struct file_kind *kind = file_kind_by_suffix(request->tree, view, name, &stem);
    if (kind) {
        char base[INSTANCE_NAME_MAX];
        if (stem >= sizeof base)
            return no_such_name();
        memcpy(base, name, stem);
        base[stem] = '\0';
        TRY(shown_by_name(request, series, base, &row));
        return file_applies(kind, &row) ? file_attr(request, kind, &row, attr) : no_such_name();
    }
    if (view->code != VIEW_PNG)
        return no_such_name();
    TRY(shown_by_name(request, series, name, &row));
    if (!frames_shown(&row))
        return no_such_name();
    frames_attr(&row, attr);
    return NO_ERROR;
}

static struct error lookup_frame(const struct request *request, struct node dir, const char *name, struct attr *attr)
{
    struct instance_row row;
    TRY(pacs_instance(request->txn, dir.id, &row));
    char wanted[32], *end;
    unsigned long number = name[0] >= '0' && name[0] <= '9' ? strtoul(name, &end, 10) : 0;
    if (number == 0 || number > frames_shown(&row))
        return no_such_name();
    frame_name(&row, (uint32_t)(number - 1), wanted);
    if (strcmp(name, wanted) != 0)
        return no_such_name();
    return file_attr_by_node(request, (struct node){.role = NODE_FRAME, .id = row.id, .part = (uint32_t)(number - 1)},
                             attr);
}

struct error objects_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr)
{
    if (dir.role == NODE_FRAMES)
        return lookup_frame(request, dir, name, attr);
    const struct view *view = view_by_code(dir.part);
    struct object_row row;
    TRY(pacs_object(request->txn, dir.id, &row));
    for (const struct file_kind *kind = file_kinds; kind->name; kind++)
        if (kind->of == (int)row.kind && row.id != PACS_ROOT && strcmp(kind->name, name) == 0 &&
            file_in_view(request->tree, kind, view))
            return file_attr_of_folder(request, kind, &row, attr);
    if (row.kind == OBJECT_SERIES)
        return lookup_instance(request, view, row.id, name, attr);
    struct object_row child;
    TRY(pacs_child_by_name(request->txn, row.id, name, &child));
    if (strcmp(child.name, name) != 0)
        return no_such_name();
    bool stands;
    TRY(folder_stands(request, view, &child, &stands, attr));
    return stands ? NO_ERROR : no_such_name();
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

/* A folder's own files. `*more`: whether there was room for all. */
static struct error list_own_files(const struct request *request, const struct view *view, const struct object_row *row,
                                   const struct listing *listing, bool *more)
{
    for (const struct file_kind *kind = file_kinds; kind->name && *more; kind++) {
        uint64_t cookie = COOKIE_FIXED + kind->code;
        if (kind->of != (int)row->kind || row->id == PACS_ROOT || cookie <= listing->after ||
            !file_in_view(request->tree, kind, view))
            continue;
        struct attr attr;
        TRY(file_attr_of_folder(request, kind, row, &attr));
        *more = listing->take(listing->context, kind->name, cookie, &attr);
    }
    return NO_ERROR;
}

static struct error list_children(const struct request *request, const struct view *view, uint64_t parent,
                                  const struct listing *listing)
{
    struct object_row child;
    struct error err;
    uint64_t number = listing->after >> COOKIE_SLOT_BITS;
    while ((err = pacs_next_child(request->txn, parent, number, &child)).code == ERROR_NONE) {
        number = child.number;
        struct attr attr;
        bool stands;
        TRY(folder_stands(request, view, &child, &stands, &attr));
        if (stands && !listing->take(listing->context, child.name, number << COOKIE_SLOT_BITS, &attr))
            return NO_ERROR;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

/* One instance's entries behind `slot`; `*more`: whether there was room. */
static struct error list_instance(const struct request *request, const struct view *view,
                                  const struct instance_row *row, uint64_t slot, const struct listing *listing,
                                  bool *more)
{
    struct attr attr;
    for (const struct file_kind *kind = file_kinds; kind->name && *more; kind++) {
        if (kind->of != OBJECT_INSTANCE || kind->code <= slot || !file_in_view(request->tree, kind, view) ||
            !file_applies(kind, row))
            continue;
        char name[INSTANCE_NAME_MAX + 16];
        snprintf(name, sizeof name, "%s%s", row->name, kind->name);
        TRY(file_attr(request, kind, row, &attr));
        *more = listing->take(listing->context, name, row->number << COOKIE_SLOT_BITS | kind->code, &attr);
    }
    if (*more && view->code == VIEW_PNG && slot < SLOT_FRAMES && frames_shown(row)) {
        frames_attr(row, &attr);
        *more = listing->take(listing->context, row->name, row->number << COOKIE_SLOT_BITS | SLOT_FRAMES, &attr);
    }
    return NO_ERROR;
}

static struct error list_instances(const struct request *request, const struct view *view, uint64_t series,
                                   const struct listing *listing)
{
    uint64_t number = listing->after >> COOKIE_SLOT_BITS, slot = 0, resumed = 0;
    if (number) { /* within the row of that number */
        slot = listing->after & (COOKIE_SLOTS - 1);
        resumed = number--;
    }
    struct instance_row row;
    struct error err;
    bool more = true;
    while (more && (err = pacs_next_instance(request->txn, series, number, &row)).code == ERROR_NONE) {
        number = row.number;
        if (instance_shown(&row, UINT64_MAX))
            TRY(list_instance(request, view, &row, number == resumed ? slot : 0, listing, &more));
    }
    if (more && err.code != ERROR_NOT_FOUND)
        return err;
    if (more)
        error_release(&err);
    return NO_ERROR;
}

static struct error list_frames(const struct request *request, struct node dir, const struct listing *listing)
{
    struct instance_row row;
    TRY(pacs_instance(request->txn, dir.id, &row));
    uint32_t count = frames_shown(&row);
    for (uint64_t frame = listing->after >> COOKIE_SLOT_BITS; frame < count; frame++) {
        char name[32];
        struct attr attr;
        frame_name(&row, (uint32_t)frame, name);
        TRY(file_attr_by_node(request, (struct node){.role = NODE_FRAME, .id = row.id, .part = (uint32_t)frame},
                              &attr));
        if (!listing->take(listing->context, name, (frame + 1) << COOKIE_SLOT_BITS, &attr))
            break;
    }
    return NO_ERROR;
}

struct error objects_list(const struct request *request, struct node dir, const struct listing *listing)
{
    if (dir.role == NODE_FRAMES)
        return list_frames(request, dir, listing);
    const struct view *view = view_by_code(dir.part);
    struct object_row row;
    TRY(pacs_object(request->txn, dir.id, &row));
    bool more = true;
    TRY(list_own_files(request, view, &row, listing, &more));
    if (!more)
        return NO_ERROR;
    return row.kind == OBJECT_SERIES ? list_instances(request, view, row.id, listing)
                                     : list_children(request, view, row.id, listing);
}

struct error objects_parent(const struct request *request, struct node dir, uint64_t *inode)
{
    if (dir.role == NODE_FRAMES) {
        struct instance_row instance;
        TRY(pacs_instance(request->txn, dir.id, &instance));
        *inode = node_inode(NODE_FOLDER, instance.series, VIEW_PNG);
        return NO_ERROR;
    }
    struct object_row row;
    TRY(pacs_object(request->txn, dir.id, &row));
    *inode = row.id == PACS_ROOT ? NODE_ROOT : node_inode(NODE_FOLDER, row.parent, dir.part);
    return NO_ERROR;
}
