/* What lives here: the load of `read`, `list` and `png`: many processes that open, read and close, or stat, the files
 * named on standard input. In C, so that the file systems are measured and not the reader.
 *
 *   bench_reader read|stat PROCESSES SECONDS < LIST
 *
 * SECONDS 0: every file once, shared among the processes. Else the processes go round their shares until the time is
 * over. Prints: operations, bytes, seconds, failures. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (1 << 20)
#define PROCESSES_MAX 256
#define LOOK_AT_CLOCK 16

struct share {
    uint64_t operations, bytes, failures;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char **read_list(size_t *count)
{
    char **list = NULL, *line = NULL;
    size_t room = 0, length = 0;
    ssize_t n;
    *count = 0;
    while ((n = getline(&line, &length, stdin)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (*count == room) {
            room = room ? 2 * room : 1024;
            char **more = realloc(list, room * sizeof *list);
            if (!more)
                exit(1);
            list = more;
        }
        if (!(list[(*count)++] = strdup(line)))
            exit(1);
    }
    free(line);
    return list;
}

static void read_file(const char *path, char *buffer, struct share *share)
{
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    share->operations++;
    if (fd < 0) {
        share->failures++;
        return;
    }
    while ((n = read(fd, buffer, BUFFER)) > 0)
        share->bytes += (uint64_t)n;
    share->failures += n < 0;
    close(fd);
}

static void stat_file(const char *path, char *buffer, struct share *share)
{
    struct stat st;
    (void)buffer;
    share->operations++;
    share->failures += lstat(path, &st) != 0;
}

/* Each process has a contiguous part of the list, so that a list in order is read in order. */
static void work(void (*take)(const char *, char *, struct share *), char **list, size_t from, size_t to, double until,
                 struct share *share)
{
    char *buffer = malloc(BUFFER);
    if (!buffer)
        exit(1);
    for (size_t i = from; from < to; i++) {
        if (i == to && !until)
            break;
        if (i == to)
            i = from;
        if (until && share->operations % LOOK_AT_CLOCK == 0 && now_s() >= until)
            break;
        take(list[i], buffer, share);
    }
    free(buffer);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    size_t count, processes = strtoul(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    char **list = read_list(&count);
    if (!processes || processes > PROCESSES_MAX)
        return 2;
    struct share *shares =
        mmap(NULL, processes * sizeof *shares, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shares == MAP_FAILED)
        return 1;
    double start = now_s(), until = seconds > 0 ? start + seconds : 0;
    for (size_t p = 0; p < processes; p++) {
        if (fork() == 0) {
            work(strcmp(argv[1], "stat") == 0 ? stat_file : read_file, list, count * p / processes,
                 count * (p + 1) / processes, until, &shares[p]);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    double taken = now_s() - start;
    struct share all = {0};
    for (size_t p = 0; p < processes; p++) {
        all.operations += shares[p].operations;
        all.bytes += shares[p].bytes;
        all.failures += shares[p].failures;
    }
    printf("%llu %llu %.6f %llu\n", (unsigned long long)all.operations, (unsigned long long)all.bytes, taken,
           (unsigned long long)all.failures);
    return 0;
}
