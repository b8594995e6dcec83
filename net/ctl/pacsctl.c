/* pacsctl: the administrator's hand on an archive. What lives here: the table of commands and the way to them. What
 * does not: any command's work (a file each), options of their own (in the command's file).
 *
 * `pacsctl [-A ARCHIVE] COMMAND ...`: options before the command are taken here, all behind it by the command, -A too.
 */
#include "net/ctl/command.h"
#include "net/ctl/report.h"

#include "codecs/base/settings.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
    {"init", "[ARCHIVE]", "make an archive", command_init},
    {"import", "PATH...", "take in files, folders, zip, tar, 7z and ISO images; - is a tar on standard input",
     command_import},
    {"find", "[KEYWORD=VALUE...]", "list patients, studies, series or instances that match", command_find},
    {"export", "-o DIR UID|KEYWORD=VALUE...", "write files out, by UID or match", command_export},
    {"watch", "", "tell what arrives, and when a series has settled", command_watch},
    {"conflicts", "", "list what a person should look at", command_conflicts},
    {"stats", "", "count what the archive holds, and its sizes", command_stats},
    {"status", "", "tell whether pacsd runs, where it is mounted, how much room there is", command_status},
    {"verify", "", "read everything and compare all checksums, the index against the log", command_verify},
    {"rebuild", "", "make the index anew from the packs", command_rebuild},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_help(void)
{
    printf("Usage: pacsctl [-A ARCHIVE] COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\nOptions:\n"
           "  -A ARCHIVE     the archive's folder; else PACS_ARCHIVE in the environment\n"
           "  -V, --version  print the version and stop\n"
           "  -?, --help     this text; `pacsctl COMMAND --help` for a command's own\n"
           "\nExit status: 0 all done, 1 failed or some refused, 2 usage, 3 damage found, 4 the archive is\n"
           "held by another process, 5 no space. Manual: pacsctl(1).\n");
}

static struct error find_command(const char *name, const struct command **command)
{
    const char *names[COMMANDS + 1];
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(name, names[i]) == 0) {
            *command = &commands[i];
            return NO_ERROR;
        }
    }
    names[COMMANDS] = NULL;
    const char *nearest = nearest_word(name, names);
    if (nearest)
        return error_make(ERROR_USAGE, "there is no command \"%s\"; did you mean \"%s\"?", name, nearest);
    return error_make(ERROR_USAGE, "there is no command \"%s\"; pacsctl --help lists them", name);
}

/* Runs the command whose name stands at words[0]. */
static struct error run_command(const char **words, const char *archive, int *status)
{
    struct call call = {.archive = archive};
    const char *name = words[0]; /* popt frees what it gave: it must find it again */
    char title[64];
    struct error err;
    CHECK(find_command(words[0], &call.command));
    while (words[call.argc])
        call.argc++;
    snprintf(title, sizeof title, "pacsctl %s", call.command->name);
    words[0] = title;
    call.argv = words;
    err = call.command->run(&call);
    if (err.code == ERROR_NONE && fflush(stdout) != 0 && errno != EPIPE)
        err = error_make(ERROR_BROKEN, "standard output cannot be written");
    *status = call.status;
out:
    poptFreeContext(call.options);
    words[0] = name;
    free(call.given);
    return err;
}

/* What failed may name what an image or a peer said. */
static void complain(const struct error *err)
{
    struct buf line;
    buf_init(&line);
    text_shown(&line, error_text(err));
    fflush(stdout);
    fprintf(stderr, "pacsctl: %s\n", buf_string(&line));
    buf_release(&line);
}

int main(int argc, const char **argv)
{
    int help = 0, version = 0, status = 0;
    char *archive = NULL;
    const struct poptOption options[] = {
        {NULL, 'A', POPT_ARG_STRING, &archive, 0, NULL, NULL},
        {"help", '?', POPT_ARG_NONE, &help, 0, NULL, NULL},
        {"version", 'V', POPT_ARG_NONE, &version, 0, NULL, NULL},
        POPT_TABLEEND,
    };
    setlocale(LC_CTYPE, "");
    struct error err = NO_ERROR;
    struct call top = {.argc = argc, .argv = argv};
    top.options = poptGetContext("pacsctl", argc, argv, options, POPT_CONTEXT_POSIXMEHARDER);
    CHECK(call_parse(&top, options));
    if (version) {
        printf("pacsctl %s\n", PACSFS_VERSION);
    } else if (help) {
        print_help();
    } else if (top.count == 0) {
        err = error_make(ERROR_USAGE, "a command is missing; pacsctl --help lists them");
    } else {
        const char *place = archive ? archive : getenv("PACS_ARCHIVE");
        err = run_command(top.words, place && *place ? place : NULL, &status);
    }
out:
    if (err.code != ERROR_NONE) {
        complain(&err);
        status = error_exit(err.code);
    }
    error_release(&err);
    poptFreeContext(top.options);
    free(archive);
    return status;
}
