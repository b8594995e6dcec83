/* Layer: net/ctl. A walk through a tree of files that keeps little: names of the folders that it is in, no more than
 * WALK_NAMES_MAX bytes each at a time. fts(3) keeps some 300 bytes for every entry of a folder.
 *
 * Folders come before what is in them, entries in the order of their names (in a folder whose names exceed the limit:
 * within each lot of them). Links are not followed, except one that the walk starts from. One thread.
 */
#ifndef NET_CTL_FILE_WALK_H
#define NET_CTL_FILE_WALK_H

#include "codecs/base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

#define WALK_NAMES_MAX (1u << 20)
#define WALK_LEVELS_MAX 2048u /* of folders: as many as a path can have */

struct file_walk;
struct file_walk_entry {
    const char *path; /* the walk's, until the next call */
    bool start;       /* it is what the walk was asked for */
    int failure;      /* errno: it, or the rest of this folder, cannot be read; else 0 */
    struct stat info; /* of a link itself; zeros with a failure */
};

/* What is not at `path` is told by the first entry. */
struct error file_walk_new(struct file_walk **walk, const char *path);
void file_walk_free(struct file_walk *walk);
/* False: that was all. A folder that was given is entered by the next call. */
bool file_walk_next(struct file_walk *walk, struct file_walk_entry *entry);
/* The folder that was just given is not entered. */
void file_walk_pass(struct file_walk *walk);

#endif
