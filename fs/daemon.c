/* What lives here: the fork, the pipe on which the parent waits, and where a daemon's log lines go. */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOURNAL "/run/systemd/journal/stdout"

static void wait_for(pid_t child, int pipe_fd) __attribute__((noreturn));
static void wait_for(pid_t child, int pipe_fd)
{
    char byte;
    ssize_t got;
    int status;
    do
        got = read(pipe_fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1)
        _exit(0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    _exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

struct error daemon_begin(struct daemon *daemon)
{
    int ends[2];
    daemon->pipe = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_system(errno, "pipe");
    pid_t child = fork();
    if (child < 0) {
        int failed = errno;
        close(ends[0]);
        close(ends[1]);
        return error_system(failed, "fork");
    }
    if (child > 0) {
        close(ends[1]);
        wait_for(child, ends[0]);
    }
    close(ends[0]);
    daemon->pipe = ends[1];
    setsid();
    if (chdir("/") < 0)
        return error_system(errno, "chdir /");
    return NO_ERROR;
}

/* A stream to journald (its stdout protocol: identifier, unit, priority, then flags line by line), or -1. */
static int journal(void)
{
    static const char header[] = "pacsfs\n\n6\n1\n0\n0\n0\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        write(fd, header, sizeof header - 1) != (ssize_t)sizeof header - 1) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Tells log.c that standard error is the journal's. */
static void announce_journal(int fd)
{
    struct stat st;
    char text[64];
    if (fstat(fd, &st) < 0)
        return;
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", text, 1);
}

/* A file that somebody chose for standard error keeps it; a terminal or a pipe must not be held. */
static bool is_chosen_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void daemon_ready(struct daemon *daemon)
{
    if (daemon->pipe < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = is_chosen_file(STDERR_FILENO) ? STDERR_FILENO : journal();
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(log >= 0 ? log : null, STDERR_FILENO);
        close(null);
    }
    if (log > STDERR_FILENO) {
        announce_journal(STDERR_FILENO);
        close(log);
    }
    ssize_t written = write(daemon->pipe, "", 1);
    (void)written; /* a parent that was killed needs no answer */
    close(daemon->pipe);
    daemon->pipe = -1;
}
