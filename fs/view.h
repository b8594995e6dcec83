/* Layer: fs. Views: the folders in the root of the mount, each another order of the same files.
 *
 * A new view is a row of the table in view.c and a file. Its folders are nodes (node.h) of its own: the kernel moves a
 * folder that it finds in two places. Functions get a request: one read transaction and one moment; rows and texts
 * live as long as it does.
 */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include "fs/node.h"
#include "fs/tree.h"

#include <stddef.h>

/* Codes are permanent: they stand in inodes. */
enum view_code { VIEW_PATIENTS = 1, VIEW_DICOM, VIEW_PNG, VIEW_JSON, VIEW_UIDS, VIEW_IDS, VIEW_READY, VIEW_NEW };
#define VIEW_BIT(code) (1u << (code))

struct tree {
    struct pacs *pacs;
    unsigned show;
    unsigned views; /* VIEW_BIT of those in this mount */
    uint64_t root;  /* what inode 1 stands for: NODE_ROOT, or the root of the only view */
    struct held *held;
    struct complaints *complaints;
    struct prefetch *prefetch;
    uint64_t quiet_ns;
};

struct request {
    struct tree *tree;
    struct pacs_txn *txn;
    uint64_t now_ns; /* since 1970 */
};

/* A listing under way. Cookies 1 and 2 are "." and "..". */
struct listing {
    uint64_t after;
    listing_take take;
    void *context;
};
#define COOKIE_SLOT_BITS 5 /* a child's permanent number, and room for the files that it stands for */
#define COOKIE_SLOTS (1u << COOKIE_SLOT_BITS)
#define COOKIE_FIXED 3 /* first cookie of a folder's own files: COOKIE_FIXED + code of the kind */

struct view {
    enum view_code code;
    const char *name;
    const char *about; /* for README.txt */
    /* `dir` and `node` are of this view. list() is not asked for "." and ".."; it ends when take says no. */
    struct error (*attr)(const struct request *request, struct node node, struct attr *attr);
    struct error (*lookup)(const struct request *request, struct node dir, const char *name, struct attr *attr);
    struct error (*list)(const struct request *request, struct node dir, const struct listing *listing);
    struct error (*parent)(const struct request *request, struct node dir, uint64_t *inode);
    struct error (*link)(const struct request *request, struct node node, struct buf *target); /* NULL: no links */
    /* For views of the object tree (view_objects.c): whether a folder is there, and its time; NULL: always, list_ns. */
    struct error (*settled)(const struct request *request, const struct object_row *row, uint64_t *time_ns);
};

/* All rows; ends with a row without name. */
extern const struct view views[];
const struct view *view_by_code(uint32_t code);
const struct view *view_by_name(const char *name);
/* The view that a node belongs to; NULL for the mount's root and for files. */
const struct view *view_of(struct node node);
static inline uint64_t view_root(enum view_code code)
{
    return node_inode(NODE_FOLDER, PACS_ROOT, code);
}

/* The object tree, shared by patients/ dicom/ png/ json/ ready/ (view_objects.c). */
struct error objects_attr(const struct request *request, struct node node, struct attr *attr);
struct error objects_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr);
struct error objects_list(const struct request *request, struct node dir, const struct listing *listing);
struct error objects_parent(const struct request *request, struct node dir, uint64_t *inode);

/* ready/: the newest moment at which something below settled, 0: nothing has (view_ready.c). */
struct error ready_settled(const struct request *request, const struct object_row *row, uint64_t *time_ns);

struct error uids_attr(const struct request *request, struct node node, struct attr *attr);
struct error uids_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr);
struct error uids_list(const struct request *request, struct node dir, const struct listing *listing);
struct error uids_parent(const struct request *request, struct node dir, uint64_t *inode);
/* The folder in uids/ of a study or series object: inodes of the study's and (for a series) the series'. */
struct error uids_folders(const struct request *request, const struct object_row *row, uint64_t *study,
                          uint64_t *series);

struct error ids_attr(const struct request *request, struct node node, struct attr *attr);
struct error ids_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr);
struct error ids_list(const struct request *request, struct node dir, const struct listing *listing);
struct error ids_parent(const struct request *request, struct node dir, uint64_t *inode);
struct error ids_link(const struct request *request, struct node node, struct buf *target);
/* Calls `take` for each name in ids/ that an object stands under: its folder, its name, and the inode that the name has
 * when several objects share it. */
typedef void (*ids_take)(void *context, uint64_t folder, const char *name, uint64_t shared);
struct error ids_names(const struct request *request, const struct object_row *row, ids_take take, void *context);

struct error new_attr(const struct request *request, struct node node, struct attr *attr);
struct error new_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr);
struct error new_list(const struct request *request, struct node dir, const struct listing *listing);
struct error new_parent(const struct request *request, struct node dir, uint64_t *inode);
struct error new_link(const struct request *request, struct node node, struct buf *target);
/* The hour's key (YYYYMMDDHH) and the name in it of an edition. */
uint32_t new_hour(const struct request *request, const struct instance_row *row);
void new_name(const struct request *request, const struct instance_row *row, struct buf *name);

/* ---- what views share (path.c) ---------------------------------------------------------------------------------- */

struct error no_such_name(void);
/* Appends the path of an object below a view's root: "Doe_John_4711/2024-03-05_CT". */
struct error object_path(const struct request *request, uint64_t id, struct buf *path);
/* The row above: `*row` becomes its parent until it is of `kind`. */
struct error object_above(const struct request *request, enum object_kind kind, struct object_row *row);
/* The newest object of a kind: ERROR_NOT_FOUND when there is none. No index says it: a search by halves. */
struct error object_newest(const struct request *request, enum object_kind kind, struct object_row *row);
/* How a UID stands in a path: itself, or "~ID" (of the object) when it has characters that no UID has. */
void uid_component(const char *uid, uint64_t id, struct buf *name);
/* The id in a "~ID" name; 0: it is none. */
uint64_t uid_component_id(const char *name);

#endif
