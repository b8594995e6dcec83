/* Layer: fs. Inode numbers: a pure function of what the log says, both ways, without a table.
 *
 *   bit 63   62..58   57..20      19..0
 *       0    role     object id   part
 *
 * Ids are never used again (index.h), so inodes are not either. What `part` says depends on the role. The layout is
 * part of what users see (restored backups compare equal): values are permanent, new ones are added at the end.
 * The mount's root is inode 1, as FUSE wants it: role NODE_FIXED, id 0, part 1. Any thread.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include <stdbool.h>
#include <stdint.h>

#define NODE_ROOT UINT64_C(1)
#define NODE_PART_BITS 20
#define NODE_PART_MAX ((UINT32_C(1) << NODE_PART_BITS) - 1)
#define NODE_ID_BITS 38

enum node_role {
    NODE_FIXED = 0, /* id 0; part 1: the root of the mount */
    NODE_FOLDER,    /* an object's folder in a view; part: the view's code */
    NODE_FILE,      /* a virtual file; id: of an edition; part: the code of the file's kind */
    NODE_FRAMES,    /* the folder of the frames of an edition */
    NODE_FRAME,     /* one frame's PNG; id: of an edition; part: frame, from 0 */
    NODE_IDS,       /* ids/ and what is in it; part: see view_ids.c */
    NODE_DAY,       /* new/YYYY-MM-DD; id: YYYYMMDD */
    NODE_HOUR,      /* new/YYYY-MM-DD/HH; id: YYYYMMDDHH */
    NODE_ARRIVAL,   /* a link in new/; id: of an edition */
    NODE_ROLES
};

struct node {
    enum node_role role;
    uint64_t id;
    uint32_t part;
};

uint64_t node_inode(enum node_role role, uint64_t id, uint32_t part);
/* False for numbers that node_inode() never makes (a forged NFS handle). */
bool node_of(uint64_t inode, struct node *node);

#endif
