/* Layer: fs. The place to mount on: its true path, and what a killed daemon left there. */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include "codecs/base/error.h"

/* `*path` (to be freed): absolute, without links. A mount whose daemon has died (ENOTCONN) is detached first; a live
 * one of ours is ERROR_BUSY, what is no folder ERROR_USAGE. */
struct error mountpoint_prepare(const char *given, char **path);
/* Read-ahead of the mount's backing device, where this process may set it (root); else nothing happens. */
void mountpoint_read_ahead(const char *path, unsigned kib);

#endif
