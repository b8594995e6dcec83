/* What lives here: the stack of folders, each with a lot of its names in order. A folder stays open only while names of
 * it are left to read; what fails is told as an entry, and the walk goes on. */
#include "net/ctl/file_walk.h"

#include "codecs/base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct level {
    DIR *dir;          /* NULL: no more names than these */
    struct buf names;  /* each with a NUL behind */
    const char **list; /* in order */
    size_t count, next;
    size_t path_size; /* of the folder, in walk->path */
};

struct file_walk {
    struct buf path;
    struct stat info; /* of the entry given last */
    int failure;      /* of the start */
    bool begun, enter;
    unsigned depth;
    struct level levels[WALK_LEVELS_MAX];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

struct error file_walk_new(struct file_walk **out, const char *path)
{
    struct file_walk *walk = calloc(1, sizeof *walk);
    if (!walk)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    if (stat(path, &walk->info) != 0 && lstat(path, &walk->info) != 0)
        walk->failure = errno;
    buf_text(&walk->path, path);
    *out = walk;
    return NO_ERROR;
}

static void leave(struct file_walk *walk)
{
    struct level *level = &walk->levels[--walk->depth];
    if (level->dir)
        closedir(level->dir);
    buf_release(&level->names);
    free(level->list);
}

void file_walk_free(struct file_walk *walk)
{
    if (!walk)
        return;
    while (walk->depth)
        leave(walk);
    buf_release(&walk->path);
    free(walk);
}

/* The next lot of names; errno or 0. */
static int read_names(struct level *level)
{
    int failure = 0;
    struct dirent *entry = NULL;
    level->count = level->next = 0;
    buf_clear(&level->names);
    while (level->names.size < WALK_NAMES_MAX && (errno = 0, entry = readdir(level->dir))) {
        if (is_dots(entry->d_name))
            continue;
        buf_append(&level->names, entry->d_name, strlen(entry->d_name) + 1);
        level->count++;
    }
    if (!entry) {
        failure = errno;
        closedir(level->dir);
        level->dir = NULL;
    }
    free(level->list);
    level->list = calloc(level->count + 1, sizeof *level->list);
    if (!level->list || level->names.failed) {
        level->count = 0;
        return ENOMEM;
    }
    const char *name = (const char *)level->names.data;
    for (size_t i = 0; i < level->count; i++, name += strlen(name) + 1)
        level->list[i] = name;
    qsort(level->list, level->count, sizeof *level->list, by_name);
    return failure;
}

/* Enters the folder at walk->path; errno or 0. */
static int enter(struct file_walk *walk)
{
    if (walk->depth == WALK_LEVELS_MAX)
        return ENAMETOOLONG;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (walk->depth ? O_NOFOLLOW : 0);
    int fd = open(buf_string(&walk->path), flags);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int failure = errno;
        if (fd >= 0)
            close(fd);
        return failure;
    }
    struct level *level = &walk->levels[walk->depth++];
    *level = (struct level){.dir = dir, .path_size = walk->path.size};
    return read_names(level);
}

static void tell(struct file_walk *walk, struct file_walk_entry *entry, int failure)
{
    *entry = (struct file_walk_entry){.path = buf_string(&walk->path), .start = !walk->depth, .failure = failure};
    walk->enter = !failure && S_ISDIR(walk->info.st_mode);
    if (!failure)
        entry->info = walk->info;
}

static void to_path(struct file_walk *walk, size_t size, const char *name)
{
    walk->path.size = size;
    walk->path.data[size] = 0;
    if (name && size && walk->path.data[size - 1] != '/')
        buf_byte(&walk->path, '/');
    if (name)
        buf_text(&walk->path, name);
}

bool file_walk_next(struct file_walk *walk, struct file_walk_entry *entry)
{
    int failure = 0;
    if (!walk->begun) {
        walk->begun = true;
        tell(walk, entry, walk->path.failed ? ENOMEM : walk->failure);
        return true;
    }
    if (walk->enter) {
        failure = enter(walk);
        walk->enter = false;
    }
    while (!failure && walk->depth) {
        struct level *level = &walk->levels[walk->depth - 1];
        to_path(walk, level->path_size, NULL);
        if (level->next < level->count) {
            to_path(walk, level->path_size, level->list[level->next++]);
            if (walk->path.failed)
                failure = ENOMEM;
            else if (lstat(buf_string(&walk->path), &walk->info) != 0)
                failure = errno;
            tell(walk, entry, failure);
            return true;
        }
        if (level->dir)
            failure = read_names(level);
        else
            leave(walk);
    }
    if (failure)
        tell(walk, entry, failure);
    return failure;
}

void file_walk_pass(struct file_walk *walk)
{
    walk->enter = false;
}
