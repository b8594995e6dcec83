/* What lives here: the files kept open. A file is opened without the lock; two threads that open the same one at once
 * both succeed, and the second closes its own. `lock` guards all slots. */
#include "fs/held.h"

#include <pthread.h>
#include <stdlib.h>

struct held_file {
    struct instance_file *file;
    uint64_t id;
    uint64_t used; /* the clock at the last use */
    unsigned users;
    bool kept; /* has a slot; else closed by its last user */
};

struct held {
    struct pacs *pacs;
    pthread_mutex_t lock;
    uint64_t clock, idle_clock;
    struct held_file *slots[HELD_MAX];
};

struct error held_new(struct held **out, struct pacs *pacs)
{
    struct held *held = calloc(1, sizeof *held);
    if (!held)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    held->pacs = pacs;
    pthread_mutex_init(&held->lock, NULL);
    *out = held;
    return NO_ERROR;
}

static void close_file(struct held_file *file)
{
    if (!file)
        return;
    pacs_file_close(file->file);
    free(file);
}

void held_free(struct held *held)
{
    if (!held)
        return;
    for (size_t i = 0; i < HELD_MAX; i++)
        close_file(held->slots[i]);
    pthread_mutex_destroy(&held->lock);
    free(held);
}

/* Under the lock. */
static struct held_file *find(struct held *held, uint64_t id)
{
    for (size_t i = 0; i < HELD_MAX; i++) {
        struct held_file *file = held->slots[i];
        if (file && file->id == id) {
            file->users++;
            file->used = ++held->clock;
            return file;
        }
    }
    return NULL;
}

/* Under the lock: a slot for `file`, and whom it had before (to be closed), if all were taken. */
static struct held_file *keep(struct held *held, struct held_file *file)
{
    size_t best = HELD_MAX;
    for (size_t i = 0; i < HELD_MAX; i++) {
        if (!held->slots[i]) {
            best = i;
            break;
        }
        if (!held->slots[i]->users && (best == HELD_MAX || held->slots[i]->used < held->slots[best]->used))
            best = i;
    }
    if (best == HELD_MAX)
        return NULL;
    struct held_file *before = held->slots[best];
    held->slots[best] = file;
    file->kept = true;
    return before;
}

struct error held_get(struct held *held, uint64_t id, struct held_file **out)
{
    pthread_mutex_lock(&held->lock);
    struct held_file *file = find(held, id);
    pthread_mutex_unlock(&held->lock);
    if (file) {
        *out = file;
        return NO_ERROR;
    }

    struct held_file *mine = calloc(1, sizeof *mine), *extra = NULL;
    if (!mine)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    struct error err = pacs_file_open(held->pacs, id, &mine->file);
    if (err.code != ERROR_NONE) {
        free(mine);
        return err;
    }
    pthread_mutex_lock(&held->lock);
    file = find(held, id);
    if (file) {
        extra = mine;
    } else {
        file = mine;
        file->id = id;
        file->users = 1;
        file->used = ++held->clock;
        extra = keep(held, file);
    }
    pthread_mutex_unlock(&held->lock);
    close_file(extra);
    *out = file;
    return NO_ERROR;
}

struct instance_file *held_file(const struct held_file *file)
{
    return file->file;
}

void held_put(struct held *held, struct held_file *file)
{
    pthread_mutex_lock(&held->lock);
    bool last = --file->users == 0 && !file->kept;
    pthread_mutex_unlock(&held->lock);
    if (last)
        close_file(file);
}

void held_idle(struct held *held)
{
    struct held_file *idle[HELD_MAX];
    size_t count = 0;
    pthread_mutex_lock(&held->lock);
    for (size_t i = 0; i < HELD_MAX; i++) {
        struct held_file *file = held->slots[i];
        if (file && !file->users && file->used <= held->idle_clock) {
            idle[count++] = file;
            held->slots[i] = NULL;
        }
    }
    held->idle_clock = held->clock;
    pthread_mutex_unlock(&held->lock);
    while (count)
        close_file(idle[--count]);
}
