/* Layer: net/ctl. A command of pacsctl: a row of the table in pacsctl.c and a file with its run function.
 *
 * run() declares its options as a local popt table and hands it to call_options() first; when that sets `done`, --help
 * was asked for and answered. A failure returned becomes a line on stderr and its exit status (error_exit()); else the
 * process ends with call->status: 0, 1 when some of the work was refused, 3 when damage was found.
 */
#ifndef NET_CTL_COMMAND_H
#define NET_CTL_COMMAND_H

#include "index/index.h"

#include <popt.h>

#define STATUS_SOME_FAILED 1
#define STATUS_DAMAGED 3

struct call;
struct config;
struct command {
    const char *name;
    const char *arguments; /* as --help shows them */
    const char *help;      /* one line */
    struct error (*run)(struct call *call);
};

struct call {
    const struct command *command;
    const char *archive; /* -A, else PACS_ARCHIVE, else NULL */
    char *given;         /* what -A behind the command said; freed with the call */
    int argc;            /* of the command: argv[0] is "pacsctl NAME" */
    const char **argv;
    poptContext options;
    const char **words; /* after call_options(): what is no option, NULL-terminated */
    size_t count;
    bool done;
    int status;
};

/* Runs call->options over the rows; words and count are what is left. For call_options() and main. */
struct error call_parse(struct call *call, const struct poptOption *rows);
/* Parses the command's options into what the rows point at. ERROR_USAGE names the option and the nearest one. */
struct error call_options(struct call *call, const struct poptOption *rows);
/* ERROR_USAGE when there are words but the command takes none. */
struct error call_no_words(const struct call *call);
/* The archive opened in a mode; ERROR_USAGE when none was named. */
struct error call_open(const struct call *call, const struct pacs_options *options, struct pacs **pacs);
struct error call_read(const struct call *call, struct pacs **pacs); /* PACS_READ, defaults */
struct error call_archive(const struct call *call);                  /* only whether one was named */
/* The configuration that pacsd would read, and the options that it would open the archive with. The caller puts the
 * configuration when the archive is closed. */
struct error call_config(const struct call *call, struct config **config, struct pacs_options *options);

/* "16G", "1.5 s": as in pacs.conf. NULL leaves the value as it is; `option` is for the message. */
struct error parse_size(const char *option, const char *text, int64_t *bytes);
struct error parse_duration(const char *option, const char *text, int64_t *milliseconds);

struct error command_init(struct call *call);
struct error command_import(struct call *call);
struct error command_verify(struct call *call);
struct error command_rebuild(struct call *call);
struct error command_stats(struct call *call);
struct error command_status(struct call *call);
struct error command_find(struct call *call);
struct error command_export(struct call *call);
struct error command_conflicts(struct call *call);
struct error command_watch(struct call *call);

#endif
