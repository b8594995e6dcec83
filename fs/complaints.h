/* Layer: fs. Which faults were logged lately: one line a minute and inode, however often it is read. Any thread. */
#ifndef FS_COMPLAINTS_H
#define FS_COMPLAINTS_H

#include "codecs/base/error.h"

struct complaints;
struct error complaints_new(struct complaints **complaints);
void complaints_free(struct complaints *complaints);
/* Whether a line about an inode is due; if so, the next one is in a minute. */
bool complaints_due(struct complaints *complaints, uint64_t inode);

#endif
