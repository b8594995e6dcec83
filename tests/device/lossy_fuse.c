/* lossy IMAGE MOUNT: a disk with a volatile cache, as a file that a loop device can stand on.
 *
 * MOUNT/disk is IMAGE as its user sees it. What is written stays in memory; a sync of the file (the loop device's
 * FLUSH) carries it to IMAGE. So IMAGE is at every moment what a power cut would certainly leave. MOUNT/control takes
 * one command a write, and reads as figures:
 *
 *   cut MODE AFTER SEED      at the AFTER-th write from now on (0: at once) the power goes: of the sectors that no sync
 *                            carried over, those that MODE and SEED choose reach IMAGE, and all after fails with EIO
 *   fault read FROM LENGTH   reads that touch these bytes fail with EIO; `fault write` likewise
 *   fault flush COUNT        the next COUNT syncs fail; what they should have carried is lost, as with a drive that
 *                            drops its cache
 *   heal                     no more faults
 *
 * One thread (so an order of all writes and syncs exists, and a sync covers every write before it). Ends on SIGTERM or
 * when it is unmounted. */
#define FUSE_USE_VERSION 31
#include <fuse.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define FAULTS_MAX 64
#define DISK "/disk"
#define CONTROL "/control"

struct fault {
    bool write;
    uint64_t from, to;
};

/* Whether a sector that was the `at`-th written (of `first` to `last`) survives; `chance` is random. */
typedef bool (*survives)(uint64_t at, uint64_t first, uint64_t last, uint64_t chance);

static struct disk {
    uint8_t *durable; /* IMAGE, mapped */
    uint8_t *seen;    /* what reads show */
    uint64_t bytes, sectors;
    uint64_t *written; /* a sector: the number of its write since the last sync, 0: none */
    uint64_t writes, flushes, first_unflushed;
    survives mode;
    uint64_t cut_in, seed; /* writes until the cut; 0: none is due */
    bool dead;
    uint64_t lost, kept; /* sectors, by the cut */
    struct fault faults[FAULTS_MAX];
    unsigned fault_count;
    uint64_t failing_flushes;
} disk;

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* ---- the power cut ---- */

static bool none_survives(uint64_t at, uint64_t first, uint64_t last, uint64_t chance)
{
    (void)at, (void)first, (void)last, (void)chance;
    return false;
}

static bool all_survive(uint64_t at, uint64_t first, uint64_t last, uint64_t chance)
{
    (void)at, (void)first, (void)last, (void)chance;
    return true;
}

static bool half_survives(uint64_t at, uint64_t first, uint64_t last, uint64_t chance)
{
    (void)at, (void)first, (void)last;
    return chance & 1;
}

static bool few_survive(uint64_t at, uint64_t first, uint64_t last, uint64_t chance)
{
    (void)at, (void)first, (void)last;
    return chance % 16 == 0;
}

static bool most_survive(uint64_t at, uint64_t first, uint64_t last, uint64_t chance)
{
    (void)at, (void)first, (void)last;
    return chance % 16 != 0;
}

static bool later_survive(uint64_t at, uint64_t first, uint64_t last, uint64_t chance)
{
    (void)chance;
    return at > first + (last - first) / 2;
}

static const struct {
    const char *name;
    survives survives;
} modes[] = {{"none", none_survives}, {"all", all_survive},   {"half", half_survives},
             {"few", few_survive},    {"most", most_survive}, {"later", later_survive}};

static void cut(void)
{
    disk.dead = true;
    for (uint64_t s = 0; s < disk.sectors; s++) {
        if (!disk.written[s])
            continue;
        bool kept = disk.mode(disk.written[s], disk.first_unflushed, disk.writes, next_random(&disk.seed) >> 8);
        if (kept)
            memcpy(disk.durable + s * SECTOR, disk.seen + s * SECTOR, SECTOR);
        disk.kept += kept;
        disk.lost += !kept;
    }
}

/* ---- the disk ---- */

static bool faulty(bool write, uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < disk.fault_count; i++)
        if (disk.faults[i].write == write && from < disk.faults[i].to && to > disk.faults[i].from)
            return true;
    return false;
}

static int disk_read(char *to, size_t size, uint64_t at)
{
    if (at >= disk.bytes)
        return 0;
    if (size > disk.bytes - at)
        size = disk.bytes - at;
    if (disk.dead || faulty(false, at, at + size))
        return -EIO;
    memcpy(to, disk.seen + at, size);
    return (int)size;
}

static int disk_write(const char *from, size_t size, uint64_t at)
{
    if (disk.dead || at >= disk.bytes || size > disk.bytes - at || faulty(true, at, at + size))
        return -EIO;
    disk.writes++;
    memcpy(disk.seen + at, from, size);
    for (uint64_t s = at / SECTOR; s <= (at + size - 1) / SECTOR; s++)
        disk.written[s] = disk.writes;
    if (disk.cut_in && --disk.cut_in == 0) {
        cut(); /* this write among the others, torn between sectors */
        return -EIO;
    }
    return (int)size;
}

static int disk_flush(void)
{
    bool fails = disk.failing_flushes > 0;
    if (disk.dead)
        return -EIO;
    disk.flushes++;
    disk.failing_flushes -= fails;
    for (uint64_t s = 0; s < disk.sectors; s++) {
        if (disk.written[s] && fails)
            memcpy(disk.seen + s * SECTOR, disk.durable + s * SECTOR, SECTOR);
        else if (disk.written[s])
            memcpy(disk.durable + s * SECTOR, disk.seen + s * SECTOR, SECTOR);
        disk.written[s] = 0;
    }
    disk.first_unflushed = disk.writes + 1;
    return fails ? -EIO : 0;
}

/* ---- commands ---- */

static int command_cut(const char *words)
{
    char name[16];
    uint64_t after, seed;
    if (sscanf(words, "%15s %" SCNu64 " %" SCNu64, name, &after, &seed) != 3)
        return -EINVAL;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(name, modes[i].name) != 0)
            continue;
        disk.mode = modes[i].survives;
        disk.seed = seed;
        disk.cut_in = after;
        if (!after && !disk.dead)
            cut();
        return 0;
    }
    return -EINVAL;
}

static int command_fault(const char *words)
{
    char kind[16];
    uint64_t from, length = 0;
    int count = sscanf(words, "%15s %" SCNu64 " %" SCNu64, kind, &from, &length);
    if (count == 2 && strcmp(kind, "flush") == 0) {
        disk.failing_flushes = from;
        return 0;
    }
    bool write = strcmp(kind, "write") == 0;
    if (count != 3 || disk.fault_count == FAULTS_MAX || (!write && strcmp(kind, "read") != 0))
        return -EINVAL;
    disk.faults[disk.fault_count++] = (struct fault){write, from, from + length};
    return 0;
}

static int command_heal(const char *words)
{
    (void)words;
    disk.fault_count = 0;
    disk.failing_flushes = 0;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *words);
} commands[] = {{"cut ", command_cut}, {"fault ", command_fault}, {"heal", command_heal}};

static int control_write(const char *from, size_t size)
{
    char text[128];
    snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text - 1), from);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        size_t length = strlen(commands[i].name);
        if (strncmp(text, commands[i].name, length) != 0)
            continue;
        int failed = commands[i].run(text + length);
        return failed ? failed : (int)size;
    }
    return -EINVAL;
}

static int control_read(char *to, size_t size, uint64_t at)
{
    char text[256];
    uint64_t unflushed = 0;
    for (uint64_t s = 0; s < disk.sectors; s++)
        unflushed += disk.written[s] != 0;
    int length = snprintf(text, sizeof text,
                          "writes %" PRIu64 "\nflushes %" PRIu64 "\nunflushed %" PRIu64 "\ndead %d\nkept %" PRIu64
                          "\nlost %" PRIu64 "\n",
                          disk.writes, disk.flushes, unflushed, disk.dead, disk.kept, disk.lost);
    if (at >= (uint64_t)length)
        return 0;
    if (size > (uint64_t)length - at)
        size = (uint64_t)length - at;
    memcpy(to, text + at, size);
    return (int)size;
}

/* ---- FUSE ---- */

static bool is_disk(const char *path)
{
    return strcmp(path, DISK) == 0;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    (void)info;
    memset(st, 0, sizeof *st);
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        return 0;
    }
    if (!is_disk(path) && strcmp(path, CONTROL) != 0)
        return -ENOENT;
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = is_disk(path) ? (off_t)disk.bytes : 0;
    return 0;
}

static int on_readdir(const char *path, void *to, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *info,
                      enum fuse_readdir_flags flags)
{
    (void)path, (void)at, (void)info, (void)flags;
    fill(to, DISK + 1, NULL, 0, 0);
    fill(to, CONTROL + 1, NULL, 0, 0);
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *info)
{
    (void)path;
    info->direct_io = 1; /* no cache of the kernel's between the loop device and us */
    return 0;
}

static int on_read(const char *path, char *to, size_t size, off_t at, struct fuse_file_info *info)
{
    (void)info;
    return is_disk(path) ? disk_read(to, size, (uint64_t)at) : control_read(to, size, (uint64_t)at);
}

static int on_write(const char *path, const char *from, size_t size, off_t at, struct fuse_file_info *info)
{
    (void)info;
    return is_disk(path) ? disk_write(from, size, (uint64_t)at) : control_write(from, size);
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)data_only, (void)info;
    return is_disk(path) ? disk_flush() : 0;
}

static bool open_image(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return false;
    disk.bytes = (uint64_t)st.st_size / SECTOR * SECTOR;
    disk.sectors = disk.bytes / SECTOR;
    disk.first_unflushed = 1;
    disk.durable = mmap(NULL, disk.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    disk.seen = malloc(disk.bytes);
    disk.written = calloc(disk.sectors, sizeof *disk.written);
    close(fd);
    if (disk.durable == MAP_FAILED || !disk.seen || !disk.written)
        return false;
    memcpy(disk.seen, disk.durable, disk.bytes);
    return true;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations operations = {.getattr = on_getattr,
                                                      .readdir = on_readdir,
                                                      .open = on_open,
                                                      .read = on_read,
                                                      .write = on_write,
                                                      .fsync = on_fsync};
    if (argc != 3 || !open_image(argv[1])) {
        fprintf(stderr, "usage: lossy IMAGE MOUNT (IMAGE: %s)\n", argc > 1 ? strerror(errno) : "none");
        return 2;
    }
    char *words[] = {argv[0], "-f", "-s", argv[2], NULL};
    return fuse_main(4, words, &operations, NULL);
}
