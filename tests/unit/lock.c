/* The writer's lock: who writes is told at once, who only recovers is waited for. */
#include "archive_case.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

/* A process that holds the lock as `text` says ("%d" is its id), until it is killed or `ms` have passed. */
static pid_t hold(const char *text, int ms)
{
    int ready[2];
    char byte = 0, self[64];
    EXPECT(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(scratch_path("archive/run/lock"), O_RDWR | O_CREAT, 0640);
        snprintf(self, sizeof self, "%ld %s\n", (long)getpid(), text);
        bool held = flock(fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(fd, 0) == 0 &&
                    (!*text || write(fd, self, strlen(self)) > 0) && write(ready[1], "", 1) == 1;
        usleep(held ? (unsigned)ms * 1000 : 0);
        _exit(0);
    }
    close(ready[1]);
    EXPECT(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return child;
}

static void let_go(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void lock_of_a_writer_is_told_at_once(void)
{
    char id[32];
    archive_make();
    archive_close();
    pid_t child = hold("writes to", 600000);
    snprintf(id, sizeof id, "process %ld writes", (long)child);
    struct error err = archive_try_open(PACS_WRITE);
    EXPECT(err.code == ERROR_BUSY && strstr(error_text(&err), id));
    error_release(&err);
    let_go(child);
    EXPECT_OK(archive_try_open(PACS_WRITE));
    archive_close();
}

/* A mount that starts beside pacsd after a crash takes the lock first: pacsd comes up all the same. */
static void lock_of_who_recovers_is_waited_for(void)
{
    archive_make();
    archive_close();
    pid_t child = hold("recovers", 300);
    EXPECT_OK(archive_try_open(PACS_WRITE));
    archive_close();
    let_go(child);
}

/* Taken, and not yet said by whom. */
static void lock_without_a_name_is_waited_for(void)
{
    archive_make();
    archive_close();
    pid_t child = hold("", 200);
    EXPECT_OK(archive_try_open(PACS_WRITE));
    archive_close();
    let_go(child);
}

int main(void)
{
    RUN(lock_of_a_writer_is_told_at_once);
    RUN(lock_of_who_recovers_is_waited_for);
    RUN(lock_without_a_name_is_waited_for);
    archive_gone();
    return check_done();
}
