/* Layer: net/ctl. Archives given to `import`, walked like folders by libarchive: zip, 7z, tar and what gzip, bzip2, xz
 * or zstd compressed, ISO images of patient CDs, and archives in archives.
 *
 * Nothing is written to disk: names of members are labels only (`../` and absolute ones harm nothing). Each limit,
 * when reached, is named in the verdict. They count for one archive of the command line with all that is in it.
 */
#ifndef NET_CTL_UNPACK_H
#define NET_CTL_UNPACK_H

#include "net/ctl/intake.h"

struct unpack_limits {
    int64_t depth;        /* archives in archives */
    int64_t member_bytes; /* one member */
    int64_t total_bytes;  /* all that is unpacked */
    int64_t ratio;        /* bytes unpacked a byte read; not below UNPACK_RATIO_GRACE unpacked bytes */
    int64_t
        memory_bytes; /* a 7z inside another archive: it cannot be read from start to end, so it is held in memory */
};
#define UNPACK_RATIO_GRACE (16 << 20)
#define UNPACK_LIMITS_DEFAULT                                                                                          \
    {                                                                                                                  \
        3, INT64_C(64) << 30, INT64_C(4) << 40, 1000, INT64_C(256) << 20                                               \
    }

/* Walks the archive that `fd` is (0: a tar on standard input), gives its members to the intake. Takes the descriptor.
 * What is wrong with it is a verdict; `label` names it. */
void unpack(struct intake *intake, struct report *report, const struct unpack_limits *limits, int fd,
            const char *label);

#endif
