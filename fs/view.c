/* What lives here: the table of views. */
#include "fs/view.h"

#include <string.h>

#define OBJECTS objects_attr, objects_lookup, objects_list, objects_parent, NULL

const struct view views[] = {
    {VIEW_PATIENTS, "patients", "patient/study/series/images, with PNG and JSON beside each image", OBJECTS, NULL},
    {VIEW_DICOM, "dicom", "the same tree with .dcm files alone: what to copy", OBJECTS, NULL},
    {VIEW_PNG, "png", "the same tree with PNG files alone, and a folder of frames beside multi-frame images", OBJECTS,
     NULL},
    {VIEW_JSON, "json", "the same tree with headers as JSON alone", OBJECTS, NULL},
    {VIEW_UIDS, "uids", "STUDY/SERIES/INSTANCE.dcm by UID; other versions as INSTANCE@N.dcm", uids_attr, uids_lookup,
     uids_list, uids_parent, NULL, NULL},
    {VIEW_IDS, "ids", "links by patient ID, accession number, study UID, series UID", ids_attr, ids_lookup, ids_list,
     ids_parent, ids_link, NULL},
    {VIEW_READY, "ready", "as patients/, but only series that have settled: what a pipeline reads", OBJECTS,
     ready_settled},
    {VIEW_NEW, "new", "links by day and hour, in order of arrival", new_attr, new_lookup, new_list, new_parent,
     new_link, NULL},
    {0},
};

const struct view *view_by_code(uint32_t code)
{
    for (const struct view *view = views; view->name; view++)
        if ((uint32_t)view->code == code)
            return view;
    return NULL;
}

const struct view *view_by_name(const char *name)
{
    for (const struct view *view = views; view->name; view++)
        if (strcmp(view->name, name) == 0)
            return view;
    return NULL;
}

const struct view *view_of(struct node node)
{
    /* Roles that belong to one view. */
    static const enum view_code owners[NODE_ROLES] = {
        [NODE_FRAMES] = VIEW_PNG, [NODE_IDS] = VIEW_IDS,     [NODE_DAY] = VIEW_NEW,
        [NODE_HOUR] = VIEW_NEW,   [NODE_ARRIVAL] = VIEW_NEW,
    };
    return view_by_code(node.role == NODE_FOLDER ? node.part : (uint32_t)owners[node.role]);
}
