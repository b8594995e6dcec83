/* What lives here: a fixed table of inodes and the time of their last line; two inodes that share a slot are merely
 * logged more often. `lock` guards the slots. */
#include "fs/complaints.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define SLOTS 256
#define QUIET_S 60

struct complaints {
    pthread_mutex_t lock;
    struct {
        uint64_t inode;
        time_t due_s;
    } slots[SLOTS];
};

struct error complaints_new(struct complaints **out)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    if (!complaints)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&complaints->lock, NULL);
    *out = complaints;
    return NO_ERROR;
}

void complaints_free(struct complaints *complaints)
{
    if (!complaints)
        return;
    pthread_mutex_destroy(&complaints->lock);
    free(complaints);
}

bool complaints_due(struct complaints *complaints, uint64_t inode)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    size_t slot = (inode ^ inode >> 20 ^ inode >> 40) % SLOTS;
    pthread_mutex_lock(&complaints->lock);
    bool due = complaints->slots[slot].inode != inode || now.tv_sec >= complaints->slots[slot].due_s;
    if (due) {
        complaints->slots[slot].inode = inode;
        complaints->slots[slot].due_s = now.tv_sec + QUIET_S;
    }
    pthread_mutex_unlock(&complaints->lock);
    return due;
}
