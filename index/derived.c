/* What lives here: where the derived files of an archive, index/ and run/, are kept. In the archive; but where that
 * lies on a read-only medium, a reader keeps them in a folder of its own user:
 *
 *   $XDG_CACHE_HOME, else /var/cache (root), else $HOME/.cache
 *     pacsfs/UUID-PACK-SIZE/    the archive's uuid; the newest pack and its size in bytes
 *
 * A medium does not change, so what was made for it once is good for every later mount; the name says which state of
 * which archive it is of. What is shown is what was there when it was opened: a folder that is only mounted read-only,
 * while somebody writes to it elsewhere, is not followed. */
#include "index/derived.h"

#include "codecs/base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool lies_read_only(const char *path)
{
    struct statvfs st;
    return statvfs(path, &st) == 0 && (st.f_flag & ST_RDONLY);
}

/* Of this user alone: an index that others can write to is not read. */
static struct error own_folder(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_system(errno, "%s: cannot create", path);
    if (lstat(path, &st) != 0)
        return error_system(errno, "%s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return error_make(ERROR_REFUSED, "%s: not a folder that this user alone may write to", path);
    return NO_ERROR;
}

static struct error cache_folder(char *to, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        snprintf(to, size, "%s", cache);
    else if (geteuid() == 0)
        snprintf(to, size, "/var/cache");
    else if (home && *home == '/')
        snprintf(to, size, "%s/.cache", home);
    else
        return error_make(ERROR_USAGE, "the archive lies on a read-only medium: set XDG_CACHE_HOME to a folder for its "
                                       "index");
    if (mkdir(to, 0700) != 0 && errno != EEXIST)
        return error_system(errno, "%s: cannot create (XDG_CACHE_HOME names another)", to);
    strncat(to, "/pacsfs", size - strlen(to) - 1);
    return own_folder(to);
}

struct error derived_place(struct pacs *pacs)
{
    struct error err = NO_ERROR;
    char index[PATH_MAX], cache[PATH_MAX - 128], folder[PATH_MAX];
    struct pack_info *list = NULL;
    size_t count = 0;
    pacs_part(pacs, "index", index);
    if (pacs->options.mode != PACS_READ || !lies_read_only(access(index, F_OK) == 0 ? index : pacs->path))
        return NO_ERROR;
    TRY(packs_list(pacs->packs, &list, &count));
    CHECK(cache_folder(cache, sizeof cache - 16));
    snprintf(folder, sizeof folder, "%s/%s-%llu-%llu", cache, pacs->conf.uuid_text,
             (unsigned long long)(count ? list[count - 1].header.number : 0),
             (unsigned long long)(count ? list[count - 1].file_size : 0));
    bool known = access(folder, F_OK) == 0;
    CHECK(own_folder(folder));
    if (!known)
        log_line(LOG_LEVEL_INFO, "index", "a read-only medium: its index is made in %s; what comes later is not shown",
                 folder);
    pacs->derived = strdup(folder);
    if (!pacs->derived)
        err = error_make(ERROR_NO_MEMORY, "%s: out of memory", folder);
out:
    free(list);
    return err;
}
