/* Layer: tests. An archive on the simulated disk, what was sent to it and what each sender was told, and what must hold
 * of it whatever happened to the disk.
 *
 * One world a process. A function that a fault may fail says so by its result and accepts it only while a fault is in
 * play; all else that is not so is counted by world_failures() and told on stderr. world_send() from any thread.
 */
#ifndef TESTS_FAULTS_WORLD_H
#define TESTS_FAULTS_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* An image: `number` makes its UIDs, `seed` its pixels, so that another seed is another version. */
struct image {
    unsigned number, seed;
    unsigned rows; /* of 64 pixels; beyond 1000: of 1500, and mostly one colour, so that many chunks are little data */
    unsigned patient;
    bool stranger; /* from a peer that is not configured */
};

void world_begin(void); /* a folder and a disk, no archive yet */
void world_end(void);
unsigned world_failures(void);

bool world_init(void);
bool world_open(void);
bool world_rebuild(void);
void world_close(void);
/* True: acknowledged. */
bool world_send(const struct image *image);
/* Waits for what the writer does of its own accord (a barrier, a seal), so that a run is the same each time. */
void world_await_barrier(void);
void world_await_seal(void);
void world_await_checkpoint(void);

/* The fault is over and the process lives: a send succeeds, and all holds. Nothing if there was no fault. */
void world_goes_on(void);
/* All that must hold of an archive that was closed or cut off: it opens, what was acknowledged is there bit for bit,
 * what was refused is not (unless nothing was acknowledged since), a send succeeds, LSNs are consecutive, verify has
 * nothing to tell, a rebuild gives the same rows, and a power cut now takes nothing. */
void world_holds(void);
/* After a fault in init: an archive that opens, or a folder that can be given to init again. */
void world_init_holds(bool acknowledged);

#endif
