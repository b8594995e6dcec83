/* Layer: fs. What a kernel that caches the tree must be told, gathered from what arrived.
 *
 * Gathered within a read transaction, told after it has ended: telling may wait for a process that waits for us.
 * One thread at a time.
 */
#ifndef FS_CHANGES_H
#define FS_CHANGES_H

#include "fs/view.h"

/* Implemented by the FUSE edge. None fails: what the kernel does not hold need not be forgotten. */
struct change_sink {
    /* The name stands for another inode now, or for none. Waits until a listing or look-up in that folder that is
     * under way has ended. */
    void (*name)(void *context, uint64_t folder, const char *name);
    /* The folder's list and attributes are others. */
    void (*listing)(void *context, uint64_t folder);
    /* The attributes are others, the content is not. */
    void (*attributes)(void *context, uint64_t inode);
    void *context;
};

struct changes {
    struct buf rows, texts;
};

void changes_init(struct changes *changes);
void changes_release(struct changes *changes);
void changes_clear(struct changes *changes);
void changes_name(struct changes *changes, uint64_t folder, const char *name);
void changes_listing(struct changes *changes, uint64_t folder);
void changes_attributes(struct changes *changes, uint64_t inode);
/* Each change once; of one folder the names first. `root`: the inode that the mount shows as NODE_ROOT. */
struct error changes_tell(struct changes *changes, uint64_t root, const struct change_sink *sink);

/* What an arrival changes beside its series: its place in new/, and the names of an edition that it replaced. */
struct error changes_of_arrival(struct changes *changes, const struct request *request, const struct instance_row *row);
/* What arrivals in a series change; `seen`: the newest id that the kernel may know. `*row`: the series. */
struct error changes_of_series(struct changes *changes, const struct request *request, uint64_t series, uint64_t seen,
                               struct object_row *row);
/* ready/: the series has settled, or (`vanished`) is there no more. */
struct error changes_of_ready(struct changes *changes, const struct request *request, uint64_t series, bool vanished);

#endif
