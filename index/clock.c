/* What lives here: the mapped file and the futex. Waiting is FUTEX_WAIT on the tick with the time left. */
#include "index/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_MAGIC UINT32_C(0x4B434C43)
#define CLOCK_SIZE 4096

struct shared {
    uint32_t magic;
    _Atomic uint32_t ticks;
    _Atomic uint64_t newest;
    _Atomic uint64_t lsn;
    _Atomic uint32_t generation;
};
_Static_assert(sizeof(struct shared) == 32, "the layout in clock.h");

struct clock_map {
    struct shared *shared;
    bool mapped;
    struct shared still; /* where there is no file */
};

struct error clock_open(struct clock_map **out, const char *path, bool write)
{
    struct clock_map *map = calloc(1, sizeof *map);
    if (!map)
        return error_make(ERROR_NO_MEMORY, "%s: out of memory", path);
    int fd = open(path, (write ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0640);
    struct stat st;
    if (fd < 0 && !write && (errno == ENOENT || errno == EACCES)) {
        map->shared = &map->still;
        *out = map;
        return NO_ERROR;
    }
    struct error err = NO_ERROR;
    if (fd < 0 || (write && fchmod(fd, 0640) != 0) || (write && ftruncate(fd, CLOCK_SIZE) != 0) || fstat(fd, &st) != 0)
        err = error_system(errno, "%s: cannot open", path);
    else if (st.st_size < CLOCK_SIZE)
        err = error_make(ERROR_DAMAGED, "%s: too short; start pacsd, it makes it anew", path);
    void *at = MAP_FAILED;
    if (!err.code) {
        at = mmap(NULL, CLOCK_SIZE, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            err = error_system(errno, "%s: cannot map", path);
    }
    if (fd >= 0)
        close(fd);
    if (err.code) {
        free(map);
        return err;
    }
    map->shared = at;
    map->mapped = true;
    if (write)
        map->shared->magic = CLOCK_MAGIC;
    *out = map;
    return NO_ERROR;
}

void clock_close(struct clock_map *map)
{
    if (!map)
        return;
    if (map->mapped)
        munmap(map->shared, CLOCK_SIZE);
    free(map);
}

uint64_t clock_newest(const struct clock_map *map)
{
    return atomic_load(&map->shared->newest);
}

uint32_t clock_generation(const struct clock_map *map)
{
    return atomic_load(&map->shared->generation);
}

void clock_publish(struct clock_map *map, uint64_t newest, uint64_t lsn, uint32_t generation)
{
    atomic_store(&map->shared->newest, newest);
    atomic_store(&map->shared->lsn, lsn);
    atomic_store(&map->shared->generation, generation);
    atomic_fetch_add(&map->shared->ticks, 1);
    syscall(SYS_futex, &map->shared->ticks, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool clock_wait(const struct clock_map *map, uint64_t seen, uint32_t generation, int timeout_ms)
{
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    for (;;) {
        uint32_t ticks = atomic_load(&map->shared->ticks);
        if (clock_newest(map) != seen || clock_generation(map) != generation)
            return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        struct timespec left = {end.tv_sec - now.tv_sec, end.tv_nsec - now.tv_nsec};
        if (left.tv_nsec < 0) {
            left.tv_sec--;
            left.tv_nsec += 1000000000;
        }
        if (left.tv_sec < 0)
            return false;
        syscall(SYS_futex, &map->shared->ticks, FUTEX_WAIT, ticks, &left, NULL, 0);
    }
}
