/* What lives here: which folders, names and attributes an arrival changes, in every view of the mount.
 *
 * A listing that was under way when something arrived may be cached after the kernel was told to forget the old one.
 * Telling a name waits for such a listing (the folder's lock in the kernel), so a name is told before each listing: a
 * changed one, or, where there is none, one that never was. */
#include "fs/changes.h"
#include "fs/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_NAME "." /* stands in no folder's cache of names */

enum what { WHAT_NAME, WHAT_LISTING, WHAT_ATTRIBUTES };

struct change {
    uint64_t inode;
    enum what what;
    size_t text; /* where in `texts` the name begins */
};

void changes_init(struct changes *changes)
{
    buf_init(&changes->rows);
    buf_init(&changes->texts);
}

void changes_release(struct changes *changes)
{
    buf_release(&changes->rows);
    buf_release(&changes->texts);
}

void changes_clear(struct changes *changes)
{
    buf_clear(&changes->rows);
    buf_clear(&changes->texts);
}

static void add(struct changes *changes, uint64_t inode, enum what what, const char *name)
{
    struct change change;
    memset(&change, 0, sizeof change);
    change.inode = inode;
    change.what = what;
    change.text = changes->texts.size;
    buf_append(&changes->texts, name, strlen(name) + 1);
    buf_append(&changes->rows, &change, sizeof change);
}

void changes_name(struct changes *changes, uint64_t folder, const char *name)
{
    add(changes, folder, WHAT_NAME, name);
}

void changes_listing(struct changes *changes, uint64_t folder)
{
    add(changes, folder, WHAT_LISTING, "");
}

void changes_attributes(struct changes *changes, uint64_t inode)
{
    add(changes, inode, WHAT_ATTRIBUTES, "");
}

static int compare(const void *a, const void *b, void *texts)
{
    const struct change *x = a, *y = b;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    if (x->what != y->what)
        return x->what < y->what ? -1 : 1;
    return strcmp((const char *)texts + x->text, (const char *)texts + y->text);
}

struct error changes_tell(struct changes *changes, uint64_t root, const struct change_sink *sink)
{
    struct change *rows = (struct change *)(void *)changes->rows.data;
    size_t count = changes->rows.size / sizeof *rows;
    TRY(buf_error(&changes->rows));
    TRY(buf_error(&changes->texts));
    if (count)
        qsort_r(rows, count, sizeof *rows, compare, changes->texts.data);
    bool named = false; /* whether a name of this folder was told */
    for (size_t i = 0; i < count; i++) {
        const char *text = (const char *)changes->texts.data + rows[i].text;
        uint64_t inode = rows[i].inode == root ? NODE_ROOT : rows[i].inode;
        if (i > 0 && compare(&rows[i - 1], &rows[i], changes->texts.data) == 0)
            continue;
        named = named && i > 0 && rows[i - 1].inode == rows[i].inode;
        if (rows[i].what == WHAT_NAME) {
            sink->name(sink->context, inode, text);
            named = true;
        } else if (rows[i].what == WHAT_LISTING) {
            if (!named)
                sink->name(sink->context, inode, NO_NAME);
            sink->listing(sink->context, inode);
        } else {
            sink->attributes(sink->context, inode);
        }
    }
    return NO_ERROR;
}

/* ---- arrivals --------------------------------------------------------------------------------------------------- */

static bool mounted(const struct request *request, enum view_code code)
{
    return request->tree->views & VIEW_BIT(code);
}

/* The kinds of views that objects_list() lists. */
static bool is_object_view(const struct request *request, const struct view *view)
{
    return view->list == objects_list && mounted(request, view->code);
}

/* Its folder in new/; `gone`: it does not stand there any more. */
static void change_new(struct changes *changes, const struct request *request, const struct instance_row *row,
                       bool gone)
{
    if (!mounted(request, VIEW_NEW))
        return;
    uint32_t hour = new_hour(request, row);
    uint64_t folder = node_inode(NODE_HOUR, hour, 0);
    if (gone) {
        struct buf name;
        buf_init(&name);
        new_name(request, row, &name);
        changes_name(changes, folder, buf_string(&name));
        buf_release(&name);
    }
    changes_listing(changes, folder);
    changes_listing(changes, node_inode(NODE_DAY, hour / 100, 0));
    changes_listing(changes, view_root(VIEW_NEW));
}

/* The names of an instance in all views: they stand for another edition, or for none. */
static void change_names(struct changes *changes, const struct request *request, const struct instance_row *row)
{
    for (const struct view *view = views; view->name; view++) {
        uint64_t folder = node_inode(NODE_FOLDER, row->series, view->code);
        if (!is_object_view(request, view))
            continue;
        for (const struct file_kind *kind = file_kinds; kind->name; kind++) {
            char name[INSTANCE_NAME_MAX + 16];
            if (kind->of != OBJECT_INSTANCE || !file_in_view(request->tree, kind, view))
                continue;
            snprintf(name, sizeof name, "%s%s", row->name, kind->name);
            changes_name(changes, folder, name);
        }
        if (view->code == VIEW_PNG)
            changes_name(changes, folder, row->name);
    }
}

/* An edition that another took the place of: it stands in fewer places. */
static struct error change_replaced(struct changes *changes, const struct request *request,
                                    const struct instance_row *row)
{
    change_names(changes, request, row);
    change_new(changes, request, row, true);
    for (const struct file_kind *kind = file_kinds; kind->name; kind++)
        if (kind->of == OBJECT_INSTANCE)
            changes_attributes(changes, node_inode(NODE_FILE, row->id, kind->code));
    if (!mounted(request, VIEW_UIDS))
        return NO_ERROR;
    struct object_row series;
    uint64_t study_folder, series_folder;
    struct buf name;
    buf_init(&name);
    struct error err = NO_ERROR;
    CHECK(pacs_object(request->txn, row->series, &series));
    CHECK(uids_folders(request, &series, &study_folder, &series_folder));
    uid_component(row->uid, row->id, &name);
    buf_text(&name, file_kind_by_code(FILE_DCM)->name);
    changes_name(changes, series_folder, buf_string(&name));
out:
    buf_release(&name);
    return err;
}

struct error changes_of_arrival(struct changes *changes, const struct request *request, const struct instance_row *row)
{
    change_new(changes, request, row, false);
    if (row->version < 2 || !(row->flags & INSTANCE_SHOWN))
        return NO_ERROR;
    change_names(changes, request, row);
    struct instance_row other;
    struct error err;
    uint64_t after = 0;
    while ((err = pacs_next_instance_by_uid(request->txn, row->uid, after, &other)).code == ERROR_NONE) {
        after = other.id;
        if (other.superseded == row->id)
            TRY(change_replaced(changes, request, &other));
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

/* ---- series ----------------------------------------------------------------------------------------------------- */

/* A folder and those above it, in one view: texts that are made anew, and lists that a new folder stands in. */
static struct error change_folders(struct changes *changes, const struct request *request, const struct view *view,
                                   const struct object_row *series, uint64_t seen)
{
    struct object_row row = *series;
    changes_listing(changes, node_inode(NODE_FOLDER, row.id, view->code));
    for (;;) {
        uint64_t folder = node_inode(NODE_FOLDER, row.id, view->code);
        for (const struct file_kind *kind = file_kinds; kind->name; kind++) {
            if (kind->of != (int)row.kind || !file_in_view(request->tree, kind, view))
                continue;
            changes_name(changes, folder, kind->name);
            changes_listing(changes, folder);
        }
        if (row.id == PACS_ROOT)
            return NO_ERROR;
        if (row.id > seen)
            changes_listing(changes, node_inode(NODE_FOLDER, row.parent, view->code));
        TRY(pacs_object(request->txn, row.parent, &row));
    }
}

static struct error change_uids(struct changes *changes, const struct request *request, const struct object_row *series,
                                uint64_t seen)
{
    uint64_t study_folder, series_folder;
    if (!mounted(request, VIEW_UIDS))
        return NO_ERROR;
    TRY(uids_folders(request, series, &study_folder, &series_folder));
    changes_listing(changes, series_folder);
    if (series->id > seen)
        changes_listing(changes, study_folder);
    if (series->parent > seen)
        changes_listing(changes, view_root(VIEW_UIDS));
    return NO_ERROR;
}

static void take_id(void *context, uint64_t folder, const char *name, uint64_t shared)
{
    changes_name(context, folder, name);
    changes_listing(context, folder);
    changes_listing(context, shared);
}

/* New objects have new names in ids/, or turn a link into a folder of links. */
static struct error change_ids(struct changes *changes, const struct request *request, const struct object_row *series,
                               uint64_t seen)
{
    struct object_row row = *series;
    while (mounted(request, VIEW_IDS) && row.id != PACS_ROOT && row.id > seen) {
        TRY(ids_names(request, &row, take_id, changes));
        TRY(pacs_object(request->txn, row.parent, &row));
    }
    return NO_ERROR;
}

struct error changes_of_series(struct changes *changes, const struct request *request, uint64_t series, uint64_t seen,
                               struct object_row *row)
{
    TRY(pacs_object(request->txn, series, row));
    for (const struct view *view = views; view->name; view++)
        if (is_object_view(request, view))
            TRY(change_folders(changes, request, view, row, seen));
    TRY(change_uids(changes, request, row, seen));
    return change_ids(changes, request, row, seen);
}

struct error changes_of_ready(struct changes *changes, const struct request *request, uint64_t series, bool vanished)
{
    struct object_row row;
    if (!mounted(request, VIEW_READY))
        return NO_ERROR;
    TRY(pacs_object(request->txn, series, &row));
    while (row.id != PACS_ROOT) {
        uint64_t above = node_inode(NODE_FOLDER, row.parent, VIEW_READY), settled;
        if (vanished) { /* of the folders above, those in which nothing else has settled */
            TRY(ready_settled(request, &row, &settled));
            if (!settled)
                changes_name(changes, above, row.name);
        }
        changes_listing(changes, above);
        TRY(pacs_object(request->txn, row.parent, &row));
    }
    return NO_ERROR;
}
