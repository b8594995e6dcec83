/* Layer: fs. Extended attributes of files of instances, for `-o xattr`: user.pacs.* from the record of an edition,
 * user.dicom.* from its header's identity. A new one is a row of the table in xattr.c. */
#ifndef FS_XATTR_H
#define FS_XATTR_H

#include "fs/file.h"

/* Names, each with a NUL behind; none for nodes that are no file of an instance. */
struct error xattr_names(struct tree *tree, struct node node, struct buf *names);
/* ERROR_NOT_FOUND: no such attribute here. */
struct error xattr_value(struct tree *tree, struct node node, const char *name, struct buf *value);

#endif
