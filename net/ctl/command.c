/* What lives here: what all commands share about their options and their archive. */
#include "net/ctl/command.h"

#include "net/config.h"

#include "codecs/base/settings.h"
#include "codecs/base/spares.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64
#define READ_CACHE_BYTES (INT64_C(16) << 20) /* what goes through an archive once meets little of it again */

/* Long names of a table and of those that it includes. */
static size_t option_names(const struct poptOption *rows, const char **names, size_t count)
{
    for (; rows->longName || rows->shortName || rows->arg; rows++) {
        if ((rows->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE)
            count = option_names(rows->arg, names, count);
        else if (rows->longName && count < OPTIONS_MAX)
            names[count++] = rows->longName;
    }
    return count;
}

static struct error bad_option(const struct call *call, const struct poptOption *rows, int code)
{
    const char *given = poptBadOption(call->options, POPT_BADOPTION_NOALIAS);
    const char *names[OPTIONS_MAX + 1];
    char word[64];
    names[option_names(rows, names, 0)] = NULL;
    if (code == POPT_ERROR_BADOPT && strncmp(given, "--", 2) == 0) {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(given + 2, "="), given + 2);
        const char *nearest = nearest_word(word, names);
        if (nearest)
            return error_make(ERROR_USAGE, "there is no option %s; did you mean --%s?", given, nearest);
    }
    if (code == POPT_ERROR_BADOPT)
        return error_make(ERROR_USAGE, "there is no option %s; --help lists them", given);
    return error_make(ERROR_USAGE, "%s: %s", given, poptStrerror(code));
}

struct error call_parse(struct call *call, const struct poptOption *rows)
{
    int code;
    while ((code = poptGetNextOpt(call->options)) > 0)
        ;
    if (code < -1)
        return bad_option(call, rows, code);
    call->words = poptGetArgs(call->options);
    for (call->count = 0; call->words && call->words[call->count]; call->count++)
        ;
    return NO_ERROR;
}

struct error call_options(struct call *call, const struct poptOption *rows)
{
    int help = 0;
    char *archive = NULL, usage[160];
    const struct poptOption common[] = {
        {NULL, 'A', POPT_ARG_STRING, &archive, 0, "the archive's folder; else PACS_ARCHIVE says it", "ARCHIVE"},
        {"help", '?', POPT_ARG_NONE, &help, 0, "this text", NULL},
        POPT_TABLEEND,
    };
    const struct poptOption all[] = {
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, (struct poptOption *)rows, 0, "Options:", NULL},
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, (struct poptOption *)common, 0, "For every command:", NULL},
        POPT_TABLEEND,
    };
    const struct poptOption *used = rows->longName || rows->shortName || rows->arg ? all : all + 1;
    call->options = poptGetContext("pacsctl", call->argc, call->argv, used, 0);
    snprintf(usage, sizeof usage, "[OPTION...]%s%s", *call->command->arguments ? " " : "", call->command->arguments);
    poptSetOtherOptionHelp(call->options, usage);
    struct error err = call_parse(call, used);
    if (archive)
        call->archive = call->given = archive;
    if (err.code == ERROR_NONE && help) {
        poptPrintHelp(call->options, stdout, 0);
        printf("\n%s: %s.\n", call->command->name, call->command->help);
        call->done = true;
    }
    return err;
}

struct error call_no_words(const struct call *call)
{
    if (call->count)
        return error_make(ERROR_USAGE, "%s takes no argument (\"%s\")", call->command->name, call->words[0]);
    return NO_ERROR;
}

struct error call_archive(const struct call *call)
{
    if (!call->archive)
        return error_make(ERROR_USAGE, "which archive? Give -A ARCHIVE or set PACS_ARCHIVE");
    return NO_ERROR;
}

struct error call_open(const struct call *call, const struct pacs_options *options, struct pacs **pacs)
{
    struct pacs_options used = *options;
    *pacs = NULL;
    TRY(call_archive(call));
    if (used.mode != PACS_WRITE) {
        used.cache_bytes = READ_CACHE_BYTES;
        spares_settle_malloc();
    }
    return pacs_open(pacs, call->archive, &used);
}

struct error call_config(const struct call *call, struct config **config, struct pacs_options *options)
{
    char *path = NULL;
    *config = NULL;
    *options = pacs_options_default();
    TRY(call_archive(call));
    TRY(config_find(&path, call->archive));
    struct error err = config_read(config, path);
    free(path);
    if (err.code == ERROR_NONE)
        config_archive(*config, options);
    return err;
}

struct error call_read(const struct call *call, struct pacs **pacs)
{
    struct pacs_options options = pacs_options_default();
    return call_open(call, &options, pacs);
}

struct error parse_size(const char *option, const char *text, int64_t *bytes)
{
    const struct setting row = {.key = option, .minimum = 1, .maximum = INT64_MAX};
    if (!text)
        return NO_ERROR;
    return error_context(settings_take_number(bytes, &row, "", text), "--%s", option);
}

struct error parse_duration(const char *option, const char *text, int64_t *milliseconds)
{
    const struct setting row = {.key = option, .minimum = 1, .maximum = INT64_MAX};
    if (!text)
        return NO_ERROR;
    return error_context(settings_take_duration(milliseconds, &row, "", text), "--%s", option);
}
