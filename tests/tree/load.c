/* load ARCHIVE FILE...: makes the archive if it is not there and takes files in; a verdict a line. The mount's
 * tests use it to put data in while a mount is open, without a listener. */
#include "index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long read_fd(void *context, void *to, size_t size)
{
    return read(*(int *)context, to, size);
}

static int take(struct pacs *pacs, const char *path, const char *calling_ae, bool known)
{
    struct ingest_result result;
    struct origin origin = {.how = "import", .calling_ae = calling_ae, .address = "test", .file = path, .known = known};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return 1;
    }
    struct error err = ingest_file(pacs, &origin, read_fd, &fd, &result);
    close(fd);
    if (err.code == ERROR_NONE)
        printf("%s: %s\n", path, ingest_verdict_name(result.verdict));
    else
        printf("%s: %s\n", path, error_text(&err));
    fflush(stdout);
    int failed = err.code != ERROR_NONE;
    error_release(&err);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    struct archive_conf conf = {.timezone = getenv("LOAD_TIMEZONE"),
                                .patients = getenv("LOAD_PATIENTS"),
                                .quiet_ms = getenv("LOAD_QUIET_MS") ? atoll(getenv("LOAD_QUIET_MS")) : 0};
    struct pacs_options options = pacs_options_default();
    struct pacs *pacs;
    int failed = 0;
    if (access(argv[1], F_OK) != 0) {
        struct error err = pacs_init(argv[1], &conf);
        if (err.code != ERROR_NONE) {
            fprintf(stderr, "%s\n", error_text(&err));
            error_release(&err);
            return 1;
        }
    }
    options.mode = PACS_WRITE;
    struct error err = pacs_open(&pacs, argv[1], &options);
    if (err.code != ERROR_NONE) {
        fprintf(stderr, "%s\n", error_text(&err));
        error_release(&err);
        return 1;
    }
    const char *ae = getenv("LOAD_AE");
    for (int i = 2; i < argc; i++)
        failed |= take(pacs, argv[i], ae, true);
    /* More paths, one a line: the archive stays open, like pacsd's. */
    char line[4096];
    while (argc == 2 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        failed |= take(pacs, line, ae, true);
    }
    pacs_close(pacs);
    return failed;
}
