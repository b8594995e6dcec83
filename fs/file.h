/* Layer: fs. Virtual files: what stands in folders, made from editions of instances.
 *
 * A new kind of file is a row of the table in file.c and a file. An inode always shows the same bytes: what a kind
 * shows is a function of the log up to the edition's id, and of nothing else (not of the present, not of options of a
 * mount). The kinds of a series, study or patient are made anew by every arrival below: their id is the newest one's.
 */
#ifndef FS_FILE_H
#define FS_FILE_H

#include "fs/view.h"

/* Codes are permanent: they stand in inodes, and below COOKIE_SLOTS - 1 in readdir cookies. */
enum file_code {
    FILE_DCM = 1,
    FILE_PNG,
    FILE_JSON,
    FILE_SERIES_JSON,
    FILE_STUDY_JSON,
    FILE_PATIENT_JSON,
    FILE_README,
};

/* How the next file of a series is read ahead: not at all, through to its end, or by making its one block. */
enum ahead { AHEAD_NONE, AHEAD_THROUGH, AHEAD_WHOLE };

#define FILE_OF_MOUNT 0 /* `of` of what stands in the mount's root */

struct file_kind {
    enum file_code code;
    int of;           /* enum object_kind: one of each instance, named by suffix; or one of each such folder */
    const char *name; /* suffix or whole name */
    const char *word; /* in series.json's `files`; NULL for what is not of an instance */
    const char *media_type;
    unsigned show;  /* enum show; 0: always */
    unsigned views; /* VIEW_BIT of where it stands */
    enum ahead ahead;
    bool (*applies)(const struct instance_row *row); /* NULL: to all */
    /* Exact, before anything is rendered. `row`: the edition (NULL for FILE_OF_MOUNT). */
    struct error (*size)(const struct request *request, const struct instance_row *row, uint64_t *size);
    /* `offset` is within the file. Holds no transaction while it waits for the cache. */
    struct error (*read)(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);
};

/* All rows; ends with a row without name. */
extern const struct file_kind file_kinds[];
const struct file_kind *file_kind_by_code(uint32_t code);
/* Whether a kind stands in this mount's view. */
bool file_in_view(const struct tree *tree, const struct file_kind *kind, const struct view *view);
bool file_applies(const struct file_kind *kind, const struct instance_row *row);
/* The kind of an instance whose suffix `name` ends with, in a view; `*stem` its length without. NULL: none. */
const struct file_kind *file_kind_by_suffix(const struct tree *tree, const struct view *view, const char *name,
                                            size_t *stem);

/* Attributes of a kind for an edition; and for a folder's own file, of its newest edition. */
struct error file_attr(const struct request *request, const struct file_kind *kind, const struct instance_row *row,
                       struct attr *attr);
struct error file_attr_of_folder(const struct request *request, const struct file_kind *kind,
                                 const struct object_row *row, struct attr *attr);
/* Of any NODE_FILE or NODE_FRAME. */
struct error file_attr_by_node(const struct request *request, struct node node, struct attr *attr);
struct error file_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);

/* Whether an edition has a folder of frames, and how many are in it. */
uint32_t frames_shown(const struct instance_row *row);
void frame_name(const struct instance_row *row, uint32_t frame, char name[32]);

/* ---- the kinds (file_*.c) --------------------------------------------------------------------------------------- */

struct error file_dcm_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error file_dcm_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);
bool file_png_applies(const struct instance_row *row);
struct error file_png_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error file_png_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);
struct error file_json_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error file_json_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);
struct error summary_series_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error summary_study_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error summary_patient_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error summary_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);
struct error file_readme_size(const struct request *request, const struct instance_row *row, uint64_t *size);
struct error file_readme_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece);

/* A range of a block that the archive's cache holds or `fill` makes; the key is the inode. */
struct error piece_from_cache(struct tree *tree, struct node node, cache_fill fill, void *context, uint64_t offset,
                              size_t size, struct piece *piece);
/* A size that has to be counted: kept in the cache beside, so that a listing counts once. */
struct error size_from_cache(const struct request *request, uint64_t inode, cache_fill fill, void *context,
                             uint64_t *size);

#endif
