/* Layer: fs. The command line of pacsfs, and the words behind -o as mount(8) and fstab hand them over. */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include "codecs/base/buf.h"
#include "fs/tree.h"

#include <sys/types.h>

enum run { RUN_MOUNT, RUN_HELP, RUN_VERSION };

struct options {
    enum run run;
    char *archive, *mountpoint; /* as given */
    bool foreground;
    struct tree_options tree;
    char *view; /* owns tree.view */
    uid_t uid;
    gid_t gid;
    mode_t umask; /* taken from 0444 and 0555 */
    bool xattr, allow_other;
    int64_t cache_bytes; /* 0: the archive's default */
    struct buf passed;   /* options for libfuse, joined by commas */
};

/* ERROR_USAGE says what is wrong; an unknown word names the nearest. */
struct error options_read(struct options *options, int argc, char **argv);
void options_release(struct options *options);
void options_help(void);

#endif
