/* Layer: fs. The tree as a whole: what the FUSE edge asks, without a FUSE type.
 *
 * Every call is answered from the index in one short read transaction; nothing is remembered between calls but what
 * the archive's bounded cache holds. Inodes come from the kernel and from NFS clients: any number is answered,
 * ERROR_NOT_FOUND for those that never were. Any thread may call anything.
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include "codecs/base/buf.h"
#include "index/index.h"

struct tree;
struct held;

enum show { SHOW_DCM = 1, SHOW_PNG = 2, SHOW_JSON = 4, SHOW_ALL = 7 };

struct tree_options {
    unsigned show;    /* which files patients/ and ready/ have: enum show, or-ed */
    const char *view; /* the root of the mount is this view alone; NULL: all views */
};

enum attr_type { ATTR_FOLDER, ATTR_FILE, ATTR_LINK };

struct attr {
    uint64_t inode;
    enum attr_type type;
    uint64_t size;    /* bytes; of a link: of its target; of a folder: 0 */
    uint64_t time_ns; /* mtime, ctime and atime */
    uint32_t links;   /* number of places where it stands in this mount; folders: 1 (not counted) */
};

/* Takes an entry; false when there is no room: it is asked for again, behind the last cookie that was taken. */
typedef bool (*listing_take)(void *context, const char *name, uint64_t cookie, const struct attr *attr);

/* Bytes that a read answers. They belong to the cache or to the piece: piece_release(). */
struct piece {
    const void *data;
    size_t size;
    struct buf owned;
    struct cache *cache;
    struct cache_entry *entry;
};

struct error tree_new(struct tree **tree, struct pacs *pacs, const struct tree_options *options);
void tree_free(struct tree *tree);
struct pacs *tree_pacs(const struct tree *tree);

struct error tree_attr(struct tree *tree, uint64_t inode, struct attr *attr);
/* `name` may be "." and ".." (NFS export asks for them). */
struct error tree_lookup(struct tree *tree, uint64_t folder, const char *name, struct attr *attr);
/* Entries behind the cookie `after` (0: from the start), "." and ".." first. Cookies come from permanent numbers: names
 * that come and go during a listing cause neither skips nor repeats of others. */
struct error tree_list(struct tree *tree, uint64_t folder, uint64_t after, listing_take take, void *context);
struct error tree_link(struct tree *tree, uint64_t inode, struct buf *target);
/* `piece` has less than `size` bytes only at the end of the file. Faults of the stored bytes are logged here, once a
 * minute and inode. */
struct error tree_read(struct tree *tree, uint64_t inode, uint64_t offset, size_t size, struct piece *piece);
void piece_release(struct piece *piece);

/* Extended attributes (`-o xattr`): names separated by NUL, and one value. */
struct error tree_xattr_names(struct tree *tree, uint64_t inode, struct buf *names);
struct error tree_xattr(struct tree *tree, uint64_t inode, const char *name, struct buf *value);

/* Files kept open between reads that nobody has read lately are closed, so that replaced packs can go. */
void tree_idle(struct tree *tree);

#endif
