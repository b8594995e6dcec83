/* Layer: tests. What the simulated disk holds of the files in its folder, beside what the page cache (the files
 * themselves) shows; and what a power cut leaves of the difference.
 *
 * A file is known by its inode and kept by a hard link in ROOT/.disk, so that a name that was removed, and whose
 * removal was not synced, can come back. Folders are known by their path below the root. Not for threads: disk.c holds
 * its lock.
 */
#ifndef TESTS_FAULTS_PLATTER_H
#define TESTS_FAULTS_PLATTER_H

#include "disk.h"

#include "codecs/base/buf.h"

#include <limits.h>

/* CLASS_LOCK: mapped or locked by the process, whose descriptors must not be opened and closed beside it. */
enum file_class { CLASS_PACK, CLASS_SMALL, CLASS_INDEX, CLASS_LOCK };

struct node {
    ino_t inode;
    char name[128]; /* the path that it was seen at first: what chances are about */
    enum file_class class;
    struct buf durable;
    uint64_t *lost; /* by page: checksum of what a failed sync left in the cache alone; 0: nothing */
    size_t lost_count;
};

/* All files below `root` are durable as they are. */
void platter_begin(const char *root);
void platter_end(void);

bool platter_named(const char *path, const char *end); /* whether a path ends so */
/* The path below the root; NULL: elsewhere. */
const char *platter_part(const char *path);
const char *platter_part_of_descriptor(int fd, char path[PATH_MAX]);
/* The file, known from here on; NULL: none of the disk. */
struct node *platter_node(const char *part);
struct node *platter_node_of_descriptor(int fd);

/* A sync that succeeded, and one that failed. */
void platter_sync(struct node *node);
void platter_lose(struct node *node);
void platter_sync_folder(const char *part);
/* Some pages reach the disk of the kernel's own accord. */
void platter_write_some(struct node *node, uint64_t seed, uint64_t moment);
/* Clean pages leave the cache: what was lost shows what the disk has. */
void platter_forget(struct node *node);

/* Decides what is left if the power goes now. */
void platter_cut(enum disk_survival how, uint64_t seed);
/* Makes the files that. After DISK_KILL nothing became durable by it, else all that is left is. */
void platter_apply(void);

#endif
