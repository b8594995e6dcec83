/* Layer: index, inside. The change clock: ARCHIVE/run/clock, a small file that the writer and all mounts map.
 *
 *   0 u32 magic   4 u32 ticks (the futex)   8 u64 newest object id   16 u64 LSN   24 u32 generation of the index
 *
 * The writer stores the numbers, then counts a tick and wakes who waits (FUTEX_WAKE, 16 microseconds across users).
 * Readers map it read-only. Where there is none (an archive on read-only media), it reads as never changing.
 */
#ifndef INDEX_CLOCK_H
#define INDEX_CLOCK_H

#include "codecs/base/error.h"

struct clock_map;

/* `write` makes the file if need be. Without it, a missing file gives a clock that stands still. */
struct error clock_open(struct clock_map **map, const char *path, bool write);
void clock_close(struct clock_map *map);
uint64_t clock_newest(const struct clock_map *map);
uint32_t clock_generation(const struct clock_map *map);
void clock_publish(struct clock_map *map, uint64_t newest, uint64_t lsn, uint32_t generation);
/* Waits until newest differs from `seen` or the generation from `generation`, at most timeout_ms. */
bool clock_wait(const struct clock_map *map, uint64_t seen, uint32_t generation, int timeout_ms);

#endif
