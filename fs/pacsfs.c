/* pacsfs: shows an archive as a tree of files. What lives here: the order in which things are opened and closed. The
 * process forks before it opens the archive; signals are taken by the main thread alone, everything else is done by
 * the session's workers and the notifier. */
#include "fs/daemon.h"
#include "fs/mount.h"
#include "fs/mountpoint.h"
#include "fs/notify.h"

#include "codecs/base/log.h"
#include "codecs/base/spares.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_AHEAD_KIB 1024
#define FUSE_CONF "/etc/fuse.conf"

/* Whether fuse.conf(5) lets others into mounts of ordinary users. */
static bool others_allowed(void)
{
    FILE *file = fopen(FUSE_CONF, "re");
    char line[256];
    bool allowed = false;
    while (file && fgets(line, sizeof line, file)) {
        char word[64];
        allowed = allowed || (sscanf(line, " %63s", word) == 1 && strcmp(word, "user_allow_other") == 0);
    }
    if (file)
        fclose(file);
    return allowed;
}

static struct error check_rights(const struct options *options)
{
    if (options->allow_other && geteuid() != 0 && !others_allowed())
        return error_make(ERROR_REFUSED, "allow_other is not allowed to ordinary users here: the line "
                                         "'user_allow_other' in " FUSE_CONF " allows it");
    return NO_ERROR;
}

static void session_ended(void *context)
{
    pthread_kill(*(pthread_t *)context, SIGTERM);
}

/* Serves until a signal comes or the mount is gone. */
static struct error serve(struct mount *mount, struct tree *tree, const char *path, struct daemon *daemon,
                          const sigset_t *signals)
{
    struct notifier *notifier = NULL;
    struct change_sink sink = mount_sink(mount);
    pthread_t self = pthread_self();
    struct stat st;
    int signal;
    struct error err = NO_ERROR;
    CHECK(notifier_start(&notifier, tree, &sink));
    CHECK(mount_serve(mount, session_ended, &self));
    if (stat(path, &st) < 0) /* answered by our own workers: it works, and the kernel's handshake is over */
        CHECK(error_system(errno, "the mount on %s does not answer", path));
    mountpoint_read_ahead(path, READ_AHEAD_KIB);
    daemon_ready(daemon);
    while (sigwait(signals, &signal) != 0)
        continue;
out:
    notifier_stop(notifier); /* before the workers: what it tells the kernel may wait for them */
    mount_stop(mount);
    return err;
}

static struct error open_and_serve(const struct options *options, const char *archive, const char *path,
                                   struct daemon *daemon, const sigset_t *signals)
{
    struct pacs_options settings = pacs_options_default();
    struct pacs *pacs = NULL;
    struct tree *tree = NULL;
    struct mount *mount = NULL;
    struct error err = NO_ERROR;
    settings.mode = PACS_READ;
    if (options->cache_bytes)
        settings.cache_bytes = options->cache_bytes;
    CHECK(pacs_open(&pacs, archive, &settings));
    CHECK(tree_new(&tree, pacs, &options->tree));
    CHECK(mount_open(&mount, tree, options, archive, path));
    CHECK(serve(mount, tree, path, daemon, signals));
out:
    mount_close(mount);
    tree_free(tree);
    pacs_close(pacs);
    return err;
}

static struct error run(const struct options *options)
{
    struct daemon daemon = {.pipe = -1};
    char *archive = NULL, *path = NULL;
    sigset_t signals;
    struct error err = NO_ERROR;
    CHECK(check_rights(options));
    archive = realpath(options->archive, NULL);
    if (!archive)
        CHECK(error_system(errno, "archive %s", options->archive));
    CHECK(mountpoint_prepare(options->mountpoint, &path));
    if (!options->foreground)
        CHECK(daemon_begin(&daemon));
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sigset_t wake = signals;
    sigaddset(&wake, SIGUSR2); /* for one thread alone: mount_fuse.c */
    pthread_sigmask(SIG_BLOCK, &wake, NULL);
    CHECK(open_and_serve(options, archive, path, &daemon, &signals));
out:
    free(archive);
    free(path);
    return err;
}

int main(int argc, char **argv)
{
    struct options options;
    spares_settle_malloc();
    struct error err = options_read(&options, argc, argv);
    if (err.code == ERROR_NONE && options.run == RUN_HELP) {
        options_help();
    } else if (err.code == ERROR_NONE && options.run == RUN_VERSION) {
        printf("pacsfs %s\n", PACSFS_VERSION);
    } else if (err.code == ERROR_NONE) {
        err = run(&options);
    }
    options_release(&options);
    int status = error_exit(err.code);
    if (err.code != ERROR_NONE)
        fprintf(stderr, "pacsfs: %s\n", error_text(&err));
    error_release(&err);
    return status;
}
