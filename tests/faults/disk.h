/* Layer: tests. A disk under a folder that fails, or loses its power, when a test says so.
 *
 * The files in the folder are the page cache: every call really happens to them. Beside them stands what a power cut
 * would leave: of each file the bytes at its last sync, of each folder the names at its last sync. What differs between
 * the two is unsynced, sector by sector, and a cut decides about each of them; the files are then overwritten in place,
 * so that inodes and times of birth stay, and the next start is one of another boot.
 *
 * Calls come in by `disk_io` (the seam of index/pack/io.h). LMDB knows no seam: fdatasync, pwrite and writev of the
 * process are ours and concern data.mdb alone; posix_fadvise is ours too, for a cache that is dropped shows the disk.
 * Nothing is really synced.
 *
 * As Linux has it, a failed sync leaves pages clean in the cache that the disk never got: no later sync makes them
 * durable unless they are written again.
 *
 * One disk a process. Any thread calls the seam; disk_ functions are for the test's thread, disk_apply() and disk_end()
 * while nobody has a file open.
 */
#ifndef TESTS_FAULTS_DISK_H
#define TESTS_FAULTS_DISK_H

#include "index/pack/io.h"

#include <stdbool.h>
#include <stdint.h>

/* Calls that change the disk, counted apart: threads beside each other leave each other's numbers alone. */
enum disk_call {
    DISK_PACK_CREATE,
    DISK_LOG_WRITE,  /* to a pack by who made it */
    DISK_LOG_SYNC,   /* of its header too */
    DISK_SEAL_WRITE, /* to a pack that was there */
    DISK_SEAL_SYNC,  /* recovery's sync of the newest pack too */
    DISK_SMALL_CREATE,
    DISK_SMALL_WRITE, /* archive.conf, current, checkpoint, stamp */
    DISK_SMALL_SYNC,
    DISK_FOLDER_SYNC,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_INDEX_WRITE, /* data.mdb */
    DISK_INDEX_SYNC,
    DISK_CALLS
};

enum disk_way {
    DISK_EIO,
    DISK_ENOSPC,
    DISK_SHORT, /* a write takes half of its first part */
    DISK_ZERO,  /* a write takes nothing and says so */
    DISK_CUT,   /* the power goes; a write or rename still reaches the cache, a sync does not happen */
};

/* What a cut leaves of what was not synced. */
enum disk_survival {
    DISK_KILL,    /* the process alone went: the page cache stays, and the boot */
    DISK_KEPT,    /* all */
    DISK_DROPPED, /* nothing */
    DISK_TORN,    /* sectors before a place of each file, names by chance */
    DISK_RANDOM,  /* sectors, sizes and names by chance; some reached the disk before */
    DISK_NOISE,   /* likewise, and sectors of stale bytes of other files */
};

struct disk_fault {
    enum disk_call call;
    unsigned at; /* from 1: the call of this kind, since disk_plan(), that it meets; 0: none */
    enum disk_way way;
    bool stuck;        /* all later calls of the kind too, until disk_mend() */
    unsigned cut_then; /* the power goes so many calls of any kind after; 0: it does not */
    enum disk_survival survival;
    uint64_t seed;
};

extern const struct io_ops disk_io;

/* From here on `root`, which lives as long, is the disk; all in it is durable. */
void disk_begin(const char *root);
void disk_end(void);
/* Counts from 0, one fault. */
void disk_plan(const struct disk_fault *fault);
/* Calls succeed again; the counts go on. */
void disk_mend(void);
bool disk_fired(void); /* the fault met its call */
bool disk_gone(void);  /* the power is off: every call fails */
unsigned disk_count(enum disk_call call);
/* The power goes now, between two calls. */
void disk_cut(enum disk_survival survival, uint64_t seed);
/* After a cut: the files become what survived, calls succeed again. */
void disk_apply(void);

/* A number from a seed and what it is about: the same choice whatever else was chosen before. */
uint64_t disk_chance(uint64_t seed, const char *about, uint64_t number);

#endif
