/* What lives here: reading the command line (popt) and the comma-separated words of -o. A new word is a row of `words`;
 * what is in none of the tables goes to libfuse, unless it looks like a slip of the pen. */
#include "fs/options.h"

#include "codecs/base/settings.h"

#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UMASK_DEFAULT 0007 /* files 0440, folders 0550 */
#define WORDS_MAX 96

/* ---- words of -o ------------------------------------------------------------------------------------------------ */

typedef struct error (*take_word)(struct options *options, const char *value);

static struct error take_id(const char *key, const char *value, unsigned *to)
{
    char *end;
    unsigned long id = strtoul(value, &end, 10);
    if (!*value || *end || id >= UINT32_MAX)
        return error_make(ERROR_USAGE, "%s=%s: a number is wanted", key, value);
    *to = (unsigned)id;
    return NO_ERROR;
}

static struct error take_uid(struct options *options, const char *value)
{
    return take_id("uid", value, &options->uid);
}

static struct error take_gid(struct options *options, const char *value)
{
    return take_id("gid", value, &options->gid);
}

static struct error take_umask(struct options *options, const char *value)
{
    char *end;
    unsigned long mask = strtoul(value, &end, 8);
    if (!*value || *end || mask > 0777)
        return error_make(ERROR_USAGE, "umask=%s: an octal number up to 0777 is wanted", value);
    options->umask = (mode_t)mask;
    return NO_ERROR;
}

static struct error take_show(struct options *options, const char *value)
{
    static const char *const kinds[] = {"dcm", "png", "json", NULL};
    static const unsigned bits[] = {SHOW_DCM, SHOW_PNG, SHOW_JSON};
    unsigned show = 0;
    for (const char *word = value; *word;) {
        size_t length = strcspn(word, ",:+"), i = 0;
        while (kinds[i] && (strlen(kinds[i]) != length || strncmp(kinds[i], word, length) != 0))
            i++;
        if (!kinds[i])
            return error_make(ERROR_USAGE, "show=%s: dcm, png and json are known, joined by ':'", value);
        show |= bits[i];
        word += length + (word[length] != '\0');
    }
    if (!show)
        return error_make(ERROR_USAGE, "show= wants dcm, png, json, or several joined by ':'");
    options->tree.show = show;
    return NO_ERROR;
}

static struct error take_view(struct options *options, const char *value)
{
    free(options->view);
    options->view = strdup(value);
    options->tree.view = options->view;
    return options->view ? NO_ERROR : error_make(ERROR_NO_MEMORY, "out of memory");
}

static struct error take_xattr(struct options *options, const char *value)
{
    (void)value;
    options->xattr = true;
    return NO_ERROR;
}

static struct error take_allow_other(struct options *options, const char *value)
{
    (void)value;
    options->allow_other = true;
    return NO_ERROR;
}

static struct error take_cache(struct options *options, const char *value)
{
    struct {
        int64_t bytes;
    } target = {0};
    const struct setting row = {.key = "cache", .minimum = INT64_C(1) << 20, .maximum = INT64_C(1) << 40};
    TRY(error_context(settings_take_number(&target, &row, "", value), "cache=%s", value));
    options->cache_bytes = target.bytes;
    return NO_ERROR;
}

static struct error take_nothing(struct options *options, const char *value)
{
    (void)options;
    (void)value;
    return NO_ERROR;
}

static const struct word {
    const char *name;
    bool valued;
    take_word take;
    const char *help; /* NULL: not listed */
} words[] = {
    {"show", true, take_show, "show=KINDS       what patients/ and ready/ hold: dcm, png, json, joined by ':'"},
    {"view", true, take_view, "view=NAME        the root of the mount is this view alone"},
    {"uid", true, take_uid, "uid=N            owner of all files (default: who mounts)"},
    {"gid", true, take_gid, "gid=N            group of all files"},
    {"umask", true, take_umask, "umask=OCTAL      taken from 0444 and 0555 (default 0007: 0440 and 0550)"},
    {"allow_other", false, take_allow_other, "allow_other      others may look, as modes, uid and gid say"},
    {"xattr", false, take_xattr, "xattr            extended attributes (user.pacs.*, user.dicom.*); slower listings"},
    {"cache", true, take_cache, "cache=SIZE       bytes of decoded and rendered data kept (K, M, G; default 256M)"},
    /* A mount is read-only, without devices and set-user-ID, whatever mount(8) hands over. */
    {"ro", false, take_nothing, NULL},
    {"rw", false, take_nothing, NULL},
    {"dev", false, take_nothing, NULL},
    {"nodev", false, take_nothing, NULL},
    {"suid", false, take_nothing, NULL},
    {"nosuid", false, take_nothing, NULL},
    {"default_permissions", false, take_nothing, NULL},
    {"defaults", false, take_nothing, NULL},
    {"auto", false, take_nothing, NULL},
    {"noauto", false, take_nothing, NULL},
    {"user", false, take_nothing, NULL},
    {"users", false, take_nothing, NULL},
    {"nouser", false, take_nothing, NULL},
    {"owner", false, take_nothing, NULL},
    {"group", false, take_nothing, NULL},
    {"nofail", false, take_nothing, NULL},
    {"_netdev", false, take_nothing, NULL},
    {"nonempty", false, take_nothing, NULL},
    {0},
};

/* Known to libfuse and mount(2): passed on, and good enough to be 'the nearest'. */
static const char *const passed_words[] = {
    "allow_root", "auto_unmount", "exec",    "noexec",   "atime",   "noatime", "nodiratime",
    "relatime",   "norelatime",   "sync",    "async",    "dirsync", "fsname",  "subtype",
    "max_read",   "debug",        "context", "clone_fd", NULL,
};

static bool is_among(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

static struct error unknown_word(const char *name)
{
    const char *all[WORDS_MAX] = {0};
    size_t count = 0;
    for (const struct word *word = words; word->name; word++)
        all[count++] = word->name;
    for (size_t i = 0; passed_words[i] && count + 1 < WORDS_MAX; i++)
        all[count++] = passed_words[i];
    const char *near = nearest_word(name, all);
    return near ? error_make(ERROR_USAGE, "no option is called '%s': did you mean '%s'?", name, near) : NO_ERROR;
}

/* `text`: one word with commas and backslashes as they stood in the list; `plain`: without backslashes. */
static struct error take_one(struct options *options, const char *text, char *plain)
{
    char *value = strchr(plain, '=');
    if (value)
        *value++ = '\0';
    for (const struct word *word = words; word->name; word++) {
        if (strcmp(word->name, plain) != 0)
            continue;
        if (word->valued != (value != NULL))
            return error_make(ERROR_USAGE, word->valued ? "option '%s' wants a value" : "option '%s' takes no value",
                              plain);
        return word->take(options, value);
    }
    if (strncmp(plain, "x-", 2) == 0 || strcmp(plain, "comment") == 0)
        return NO_ERROR; /* for mount(8) and systemd */
    if (!is_among(passed_words, plain))
        TRY(unknown_word(plain));
    if (options->passed.size)
        buf_byte(&options->passed, ',');
    buf_text(&options->passed, text);
    return buf_error(&options->passed);
}

/* "a,b=c\,d": a backslash keeps what follows. show=dcm,png is understood too: what follows as words of its own is
 * taken as more of it. */
static struct error take_list(struct options *options, const char *list)
{
    struct buf text, plain;
    buf_init(&text);
    buf_init(&plain);
    struct error err = NO_ERROR;
    while (*list) {
        buf_clear(&text);
        buf_clear(&plain);
        for (; *list && *list != ','; list++) {
            if (*list == '\\' && list[1])
                buf_byte(&text, (uint8_t)*list++);
            buf_byte(&text, (uint8_t)*list);
            buf_byte(&plain, (uint8_t)*list);
        }
        while (strncmp(buf_string(&plain), "show=", 5) == 0 && *list == ',' &&
               (strncmp(list + 1, "dcm", 3) == 0 || strncmp(list + 1, "png", 3) == 0 ||
                strncmp(list + 1, "json", 4) == 0)) {
            size_t length = 1 + strcspn(list + 1, ",");
            buf_append(&plain, list, length);
            list += length;
        }
        list += *list == ',';
        CHECK(buf_error(&text));
        CHECK(buf_error(&plain));
        if (plain.size)
            CHECK(take_one(options, buf_string(&text), (char *)plain.data));
    }
out:
    buf_release(&text);
    buf_release(&plain);
    return err;
}

/* ---- command line ----------------------------------------------------------------------------------------------- */

static const struct poptOption table[] = {
    {"foreground", 'f', POPT_ARG_NONE, NULL, 'f', "stay in the foreground", NULL},
    {"options", 'o', POPT_ARG_STRING, NULL, 'o', "see below", "OPTION[,OPTION]..."},
    {"debug", 'd', POPT_ARG_NONE, NULL, 'd', "stay in the foreground and show each request", NULL},
    {"help", 'h', POPT_ARG_NONE, NULL, 'h', "show this text", NULL},
    {"version", 'V', POPT_ARG_NONE, NULL, 'V', "show the version", NULL},
    POPT_TABLEEND,
};

void options_help(void)
{
    printf(
        "Usage: pacsfs ARCHIVE MOUNTPOINT [-f] [-o OPTION[,OPTION]...]\n"
        "Shows an archive as a tree of read-only files. Unmount with: umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT\n"
        "\n");
    for (const struct poptOption *row = table; row->longName; row++)
        printf("  -%c, --%-12s %s\n", row->shortName, row->longName, row->descrip);
    printf("\nOptions behind -o:\n");
    for (const struct word *word = words; word->name; word++)
        if (word->help)
            printf("  %s\n", word->help);
    printf("Others are mount(8)'s and libfuse's.\n");
}

static struct error take_switch(struct options *options, poptContext context, int code)
{
    char *argument = poptGetOptArg(context);
    struct error err = NO_ERROR;
    if (code == 'f' || code == 'd')
        options->foreground = true;
    if (code == 'd')
        err = take_list(options, "debug");
    if (code == 'o')
        err = take_list(options, argument);
    if (code == 'h')
        options->run = RUN_HELP;
    if (code == 'V')
        options->run = RUN_VERSION;
    free(argument);
    return err;
}

static struct error bad_switch(poptContext context, int code)
{
    const char *text = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    const char *names[] = {"--foreground", "--options", "--debug", "--help", "--version", NULL};
    const char *near = code == POPT_ERROR_BADOPT ? nearest_word(text, names) : NULL;
    return near ? error_make(ERROR_USAGE, "%s: did you mean %s?", text, near)
                : error_make(ERROR_USAGE, "%s: %s", text, poptStrerror(code));
}

static struct error take_places(struct options *options, poptContext context)
{
    const char *archive = poptGetArg(context), *mountpoint = poptGetArg(context), *extra = poptGetArg(context);
    if (!archive || !mountpoint)
        return error_make(ERROR_USAGE, "an archive and a mount point are wanted: pacsfs ARCHIVE MOUNTPOINT");
    if (extra)
        return error_make(ERROR_USAGE, "'%s' is one argument too many: pacsfs ARCHIVE MOUNTPOINT", extra);
    options->archive = strdup(archive);
    options->mountpoint = strdup(mountpoint);
    return options->archive && options->mountpoint ? NO_ERROR : error_make(ERROR_NO_MEMORY, "out of memory");
}

struct error options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){.tree = {.show = SHOW_ALL}, .uid = geteuid(), .gid = getegid(), .umask = UMASK_DEFAULT};
    buf_init(&options->passed);
    poptContext context = poptGetContext("pacsfs", argc, (const char **)argv, table, 0);
    if (!context)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    struct error err = NO_ERROR;
    int code;
    while ((code = poptGetNextOpt(context)) > 0)
        CHECK(take_switch(options, context, code));
    if (code < -1)
        CHECK(bad_switch(context, code));
    if (options->run == RUN_MOUNT)
        CHECK(take_places(options, context));
out:
    poptFreeContext(context);
    return err;
}

void options_release(struct options *options)
{
    free(options->archive);
    free(options->mountpoint);
    free(options->view);
    buf_release(&options->passed);
}
