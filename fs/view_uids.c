/* What lives here: uids/STUDY/SERIES/INSTANCE.dcm, everything as sent.
 *
 * There is one folder for each study UID, even if that study lies under several patients, and below it one for each
 * series UID: the one with the lowest object id gives the inode, children are the union, object by object in order of
 * id. Within a series folder the shown edition is INSTANCE.dcm; what is not shown, and what stood under another
 * patient first, INSTANCE@VERSION.dcm. Variants are not shown.
 * Cookies: the child's id and slot 0. */
#include "fs/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *study_uid(const struct object_row *row)
{
    return attribute(&row->attributes, TAG_STUDY_UID);
}

static const char *series_uid(const struct object_row *row)
{
    return attribute(&row->attributes, TAG_SERIES_UID);
}

/* The next series behind id `after` with a series UID whose study has a study UID. */
static struct error next_series(const struct request *request, const char *study, const char *series, uint64_t after,
                                struct object_row *row)
{
    for (;;) {
        struct object_row above;
        TRY(pacs_next_series_by_uid(request->txn, series, after, row));
        TRY(pacs_object(request->txn, row->parent, &above));
        if (strcmp(study_uid(&above), study) == 0)
            return NO_ERROR;
        after = row->id;
    }
}

/* What a folder stands for. */
struct place {
    enum object_kind kind;   /* 0: the view's root */
    struct object_row first; /* the object of lowest id */
    struct object_row study; /* of that object */
};

static struct error place_of(const struct request *request, struct node dir, struct place *place)
{
    *place = (struct place){0};
    if (dir.id == PACS_ROOT)
        return NO_ERROR;
    TRY(pacs_object(request->txn, dir.id, &place->first));
    place->kind = place->first.kind;
    place->study = place->first;
    return object_above(request, OBJECT_STUDY, &place->study);
}

struct error uids_folders(const struct request *request, const struct object_row *row, uint64_t *study,
                          uint64_t *series)
{
    struct object_row above = *row, first;
    TRY(object_above(request, OBJECT_STUDY, &above));
    TRY(pacs_next_study_by_uid(request->txn, study_uid(&above), 0, &first));
    *study = node_inode(NODE_FOLDER, first.id, VIEW_UIDS);
    *series = 0;
    if (row->kind != OBJECT_SERIES)
        return NO_ERROR;
    TRY(next_series(request, study_uid(&above), series_uid(row), 0, &first));
    *series = node_inode(NODE_FOLDER, first.id, VIEW_UIDS);
    return NO_ERROR;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static void folder(uint64_t id, uint64_t time_ns, struct attr *attr)
{
    *attr = (struct attr){
        .inode = node_inode(NODE_FOLDER, id, VIEW_UIDS), .type = ATTR_FOLDER, .time_ns = time_ns, .links = 1};
}

static struct error root_attr(const struct request *request, struct attr *attr)
{
    struct object_row newest;
    struct error err = object_newest(request, OBJECT_STUDY, &newest);
    folder(PACS_ROOT, err.code == ERROR_NONE ? newest.created_ns : 0, attr);
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error study_attr(const struct request *request, const char *uid, struct attr *attr)
{
    struct object_row row;
    uint64_t first = 0, after = 0, time_ns = 0;
    struct error err;
    while ((err = pacs_next_study_by_uid(request->txn, uid, after, &row)).code == ERROR_NONE) {
        after = row.id;
        first = first ? first : row.id;
        time_ns = row.list_ns > time_ns ? row.list_ns : time_ns;
    }
    if (err.code != ERROR_NOT_FOUND || !first)
        return err;
    error_release(&err);
    folder(first, time_ns, attr);
    return NO_ERROR;
}

static struct error series_attr(const struct request *request, const char *study, const char *series, struct attr *attr)
{
    struct object_row row;
    uint64_t first = 0, after = 0, time_ns = 0;
    struct error err;
    while ((err = next_series(request, study, series, after, &row)).code == ERROR_NONE) {
        after = row.id;
        first = first ? first : row.id;
        time_ns = row.list_ns > time_ns ? row.list_ns : time_ns;
    }
    if (err.code != ERROR_NOT_FOUND || !first)
        return err;
    error_release(&err);
    folder(first, time_ns, attr);
    return NO_ERROR;
}

struct error uids_attr(const struct request *request, struct node node, struct attr *attr)
{
    struct place place;
    TRY(place_of(request, node, &place));
    if (!place.kind)
        return root_attr(request, attr);
    if (place.kind == OBJECT_STUDY)
        return study_attr(request, study_uid(&place.first), attr);
    return series_attr(request, study_uid(&place.study), series_uid(&place.first), attr);
}

struct error uids_parent(const struct request *request, struct node dir, uint64_t *inode)
{
    struct place place;
    TRY(place_of(request, dir, &place));
    *inode = !place.kind ? NODE_ROOT : view_root(VIEW_UIDS);
    if (place.kind != OBJECT_SERIES)
        return NO_ERROR;
    uint64_t series;
    return uids_folders(request, &place.first, inode, &series);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static bool is_plain(const struct instance_row *row)
{
    return instance_shown(row, UINT64_MAX) && !(row->flags & INSTANCE_ELSEWHERE);
}

static void file_name(const struct instance_row *row, struct buf *name)
{
    uid_component(row->uid, row->id, name);
    if (!is_plain(row))
        buf_printf(name, "@%u", row->version);
    buf_text(name, file_kind_by_code(FILE_DCM)->name);
}

/* The edition that stands under "UID.dcm" or "UID@N.dcm" in a folder. */
static struct error lookup_file(const struct request *request, const struct place *place, const char *name,
                                struct attr *attr)
{
    const struct file_kind *kind = file_kind_by_code(FILE_DCM);
    char uid[96];
    size_t length = strlen(name), stem = strcspn(name, "@");
    if (stem == length && length > strlen(kind->name))
        stem = length - strlen(kind->name);
    if (stem >= sizeof uid)
        return no_such_name();
    memcpy(uid, name, stem);
    uid[stem] = '\0';

    struct buf exact;
    buf_init(&exact);
    struct error err = NO_ERROR;
    struct instance_row row = {0};
    uint64_t odd = uid_component_id(uid);
    bool found = false;
    for (uint64_t after = 0; !found; after = row.id) {
        CHECK(odd ? pacs_instance(request->txn, odd, &row) : pacs_next_instance_by_uid(request->txn, uid, after, &row));
        struct object_row series;
        CHECK(pacs_object(request->txn, row.series, &series));
        uint64_t study_folder, series_folder;
        CHECK(uids_folders(request, &series, &study_folder, &series_folder));
        buf_clear(&exact);
        file_name(&row, &exact);
        found = series_folder == node_inode(NODE_FOLDER, place->first.id, VIEW_UIDS) &&
                !(row.flags & INSTANCE_VARIANT) && strcmp(buf_string(&exact), name) == 0;
        if (!found && odd)
            CHECK(no_such_name());
    }
    err = file_attr(request, kind, &row, attr);
out:
    buf_release(&exact);
    return err;
}

/* A folder: of a study in the root, of a series in a study. */
static struct error lookup_folder(const struct request *request, const struct place *place, const char *name,
                                  struct attr *attr)
{
    const char *uid = name;
    struct object_row row;
    uint64_t odd = uid_component_id(name);
    enum object_kind kind = place->kind ? OBJECT_SERIES : OBJECT_STUDY;
    if (odd) {
        TRY(pacs_object(request->txn, odd, &row));
        if (row.kind != kind)
            return no_such_name();
        uid = kind == OBJECT_STUDY ? study_uid(&row) : series_uid(&row);
    }
    if (kind == OBJECT_STUDY)
        TRY(study_attr(request, uid, attr));
    else
        TRY(series_attr(request, study_uid(&place->first), uid, attr));
    struct node node;
    struct buf exact;
    buf_init(&exact);
    node_of(attr->inode, &node);
    uid_component(uid, node.id, &exact);
    bool same = strcmp(buf_string(&exact), name) == 0;
    buf_release(&exact);
    return same ? NO_ERROR : no_such_name();
}

struct error uids_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr)
{
    struct place place;
    TRY(place_of(request, dir, &place));
    return place.kind == OBJECT_SERIES ? lookup_file(request, &place, name, attr)
                                       : lookup_folder(request, &place, name, attr);
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static bool take_folder(const struct listing *listing, const char *uid, uint64_t id, const struct attr *attr)
{
    struct buf name;
    buf_init(&name);
    uid_component(uid, id, &name);
    bool more = listing->take(listing->context, buf_string(&name), id << COOKIE_SLOT_BITS, attr);
    buf_release(&name);
    return more;
}

static struct error list_studies(const struct request *request, const struct listing *listing)
{
    struct object_row row;
    struct error err;
    uint64_t after = listing->after >> COOKIE_SLOT_BITS;
    while ((err = pacs_next_object(request->txn, OBJECT_STUDY, after, &row)).code == ERROR_NONE) {
        struct attr attr;
        after = row.id;
        TRY(study_attr(request, study_uid(&row), &attr));
        if (attr.inode != node_inode(NODE_FOLDER, row.id, VIEW_UIDS))
            continue; /* that UID stands at a lower id */
        if (!take_folder(listing, study_uid(&row), row.id, &attr))
            return NO_ERROR;
    }
    return err;
}

/* All series of one study object, behind `number`; `*more`: whether there was room. */
static struct error list_study_object(const struct request *request, const struct object_row *study, uint64_t number,
                                      const struct listing *listing, bool *more)
{
    struct object_row row;
    struct error err;
    while (*more && (err = pacs_next_child(request->txn, study->id, number, &row)).code == ERROR_NONE) {
        struct attr attr;
        number = row.number;
        TRY(series_attr(request, study_uid(study), series_uid(&row), &attr));
        if (attr.inode == node_inode(NODE_FOLDER, row.id, VIEW_UIDS))
            *more = take_folder(listing, series_uid(&row), row.id, &attr);
    }
    if (!*more)
        return NO_ERROR;
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error list_series(const struct request *request, const struct place *place, const struct listing *listing)
{
    struct object_row study = place->first, last;
    uint64_t after = listing->after >> COOKIE_SLOT_BITS, number = 0;
    if (after) {
        TRY(pacs_object(request->txn, after, &last));
        number = last.number;
        TRY(pacs_object(request->txn, last.parent, &study));
    }
    bool more = true;
    for (;;) {
        TRY(list_study_object(request, &study, number, listing, &more));
        if (!more)
            return NO_ERROR;
        TRY(pacs_next_study_by_uid(request->txn, study_uid(&place->first), study.id, &study));
        number = 0;
    }
}

/* All editions of one series object, behind `number`. */
static struct error list_series_object(const struct request *request, uint64_t series, uint64_t number,
                                       const struct listing *listing, bool *more)
{
    struct instance_row row;
    struct error err;
    while (*more && (err = pacs_next_instance(request->txn, series, number, &row)).code == ERROR_NONE) {
        struct attr attr;
        struct buf name;
        number = row.number;
        if (row.flags & INSTANCE_VARIANT)
            continue;
        TRY(file_attr(request, file_kind_by_code(FILE_DCM), &row, &attr));
        buf_init(&name);
        file_name(&row, &name);
        *more = listing->take(listing->context, buf_string(&name), row.id << COOKIE_SLOT_BITS, &attr);
        buf_release(&name);
    }
    if (!*more)
        return NO_ERROR;
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error list_instances(const struct request *request, const struct place *place,
                                   const struct listing *listing)
{
    uint64_t after = listing->after >> COOKIE_SLOT_BITS, number = 0, series = place->first.id;
    if (after) {
        struct instance_row last;
        TRY(pacs_instance(request->txn, after, &last));
        series = last.series;
        number = last.number;
    }
    bool more = true;
    for (;;) {
        struct object_row row;
        TRY(list_series_object(request, series, number, listing, &more));
        if (!more)
            return NO_ERROR;
        TRY(next_series(request, study_uid(&place->study), series_uid(&place->first), series, &row));
        series = row.id;
        number = 0;
    }
}

struct error uids_list(const struct request *request, struct node dir, const struct listing *listing)
{
    struct place place;
    TRY(place_of(request, dir, &place));
    struct error err = !place.kind                  ? list_studies(request, listing)
                       : place.kind == OBJECT_STUDY ? list_series(request, &place, listing)
                                                    : list_instances(request, &place, listing);
    if (err.code == ERROR_NOT_FOUND) /* there are no more */
        error_release(&err);
    return err;
}
