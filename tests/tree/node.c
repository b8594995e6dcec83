/* Inode numbers: round trips, limits, and numbers that nobody made. */
#include "fs/node.h"

#include "check.h"

#include "index/index.h"

static void node_every_role_round_trips(void)
{
    static const uint64_t ids[] = {1, 2, 4711, UINT64_C(2026112514), (UINT64_C(1) << PACS_ID_BITS) - 1};
    static const uint32_t parts[] = {0, 1, 77, NODE_PART_MAX};
    for (unsigned role = NODE_FOLDER; role < NODE_ROLES; role++)
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
            for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
                struct node node;
                uint64_t inode = node_inode((enum node_role)role, ids[i], parts[j]);
                EXPECT(node_of(inode, &node));
                EXPECT(node.role == (enum node_role)role && node.id == ids[i] && node.part == parts[j]);
                EXPECT(inode >> 63 == 0);
                EXPECT(inode != NODE_ROOT);
            }
}

static void node_root_is_inode_1(void)
{
    struct node node;
    EXPECT(node_inode(NODE_FIXED, 0, 1) == 1);
    EXPECT(node_of(1, &node) && node.role == NODE_FIXED);
}

static void node_layout_is_permanent(void)
{
    EXPECT(node_inode(NODE_FILE, 5, 1) == UINT64_C(576460752308666369));
    EXPECT(node_inode(NODE_FOLDER, 1, 1) == UINT64_C(288230376152760321));
    EXPECT(node_inode(NODE_FRAME, 5, 6) == UINT64_C(1152921504612089862));
}

static void node_forged_numbers_are_refused(void)
{
    static const uint64_t forged[] = {
        0, 2, UINT64_C(1) << 63 | 1, UINT64_MAX, UINT64_C(31) << 58 | 1 << 20, UINT64_C(2) << 58 /* id 0 */};
    struct node node;
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++)
        EXPECT(!node_of(forged[i], &node));
}

int main(void)
{
    RUN(node_every_role_round_trips);
    RUN(node_root_is_inode_1);
    RUN(node_layout_is_permanent);
    RUN(node_forged_numbers_are_refused);
    return check_done();
}
