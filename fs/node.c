/* What lives here: packing and unpacking of inode numbers, see node.h. */
#include "fs/node.h"

#include "index/index.h"

#include <assert.h>

_Static_assert(NODE_ID_BITS == PACS_ID_BITS, "an object id fits into an inode");
_Static_assert(NODE_ROLES <= 32, "a role has five bits");

#define ROLE_SHIFT (NODE_PART_BITS + NODE_ID_BITS)
#define ID_MAX ((UINT64_C(1) << NODE_ID_BITS) - 1)

uint64_t node_inode(enum node_role role, uint64_t id, uint32_t part)
{
    assert(role < NODE_ROLES && id <= ID_MAX && part <= NODE_PART_MAX);
    return (uint64_t)role << ROLE_SHIFT | id << NODE_PART_BITS | part;
}

bool node_of(uint64_t inode, struct node *node)
{
    uint64_t role = inode >> ROLE_SHIFT;
    *node = (struct node){.role = (enum node_role)(role & 31),
                          .id = inode >> NODE_PART_BITS & ID_MAX,
                          .part = (uint32_t)(inode & NODE_PART_MAX)};
    if (role == NODE_FIXED)
        return inode == NODE_ROOT;
    return role < NODE_ROLES && node->id != 0;
}
