/* pacsd, the listener: options, signals, and the order in which things start and stop. What they do lives in the
 * library.
 *
 *   start:  configuration -> archive (the writer's lock) -> listener -> control socket -> READY
 *   SIGHUP: configuration again, or the old one with the reason logged
 *   stop:   no new connections -> associations come to their end, `drain` at most -> control socket -> archive
 *
 * Signals are blocked in every thread and taken here one at a time. A second one while stopping ends the associations
 * at once; a third meets the system's default and kills: what was acknowledged is safe even so.
 */
#include "codecs/base/log.h"
#include "net/control.h"
#include "net/listen.h"

#include <errno.h>
#include <popt.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct options {
    char *archive, *config, *aet;
    struct texts dicom;
    int verbose;
};

struct daemon {
    struct options options;
    char *config_path; /* the file that is read again at SIGHUP; NULL: none */
    struct config *config;
    struct pacs *pacs;
    struct listener *listener;
    struct control_server *control;
    time_t started;
};

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum { OPTION_DICOM = 1, OPTION_HELP_CONFIG, OPTION_HELP, OPTION_VERSION };

/* What popt calls an unknown option is told with the nearest known one. */
static struct error option_error(poptContext context, int code, const struct poptOption *table)
{
    const char *bad = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    const char *words[16];
    size_t count = 0;
    for (const struct poptOption *o = table; (o->longName || o->shortName) && count < 15; o++) {
        if (o->longName)
            words[count++] = o->longName;
    }
    words[count] = NULL;
    const char *plain = bad + strspn(bad, "-");
    const char *near = code == POPT_ERROR_BADOPT ? nearest_word(plain, words) : NULL;
    return error_make(ERROR_USAGE, "%s: %s%s%s%s", bad, poptStrerror(code), near ? "; did you mean --" : "",
                      near ? near : "", near ? "?" : "");
}

static struct error append(struct texts *texts, char *value)
{
    char **grown = NULL;
    if (texts->count < CONFIG_LISTEN_MAX)
        grown = realloc(texts->items, (texts->count + 2) * sizeof *grown);
    if (!grown) {
        free(value);
        return error_make(ERROR_USAGE, "more than %d times --dicom", CONFIG_LISTEN_MAX);
    }
    texts->items = grown;
    grown[texts->count++] = value;
    grown[texts->count] = NULL;
    return NO_ERROR;
}

/* `*exit_now` when the option printed what it was for. */
static struct error read_options(struct options *options, int argc, const char **argv, bool *exit_now)
{
    char *address = NULL;
    const struct poptOption table[] = {
        {"archive", 'A', POPT_ARG_STRING, &options->archive, 0,
         "The archive; without it what PACS_ARCHIVE says in the environment", "ARCHIVE"},
        {"config", 'c', POPT_ARG_STRING, &options->config, 0,
         "Configuration; else ARCHIVE/pacs.conf, else /etc/pacsfs/pacs.conf, else none", "FILE"},
        {"aet", 0, POPT_ARG_STRING, &options->aet, 0, "Our AE title, whatever the configuration says", "TITLE"},
        {"dicom", 0, POPT_ARG_STRING, &address, OPTION_DICOM,
         "Listen here instead of where the configuration says; may be repeated; port 0 is any free one", "ADDR:PORT"},
        {"verbose", 'v', POPT_ARG_NONE, &options->verbose, 0, "Log each instance, and what DCMTK complains about",
         NULL},
        {"help-config", 0, POPT_ARG_NONE, NULL, OPTION_HELP_CONFIG, "Print every key of the configuration", NULL},
        {"version", 0, POPT_ARG_NONE, NULL, OPTION_VERSION, "Print the version", NULL},
        {"help", 'h', POPT_ARG_NONE, NULL, OPTION_HELP, "Print this", NULL},
        POPT_TABLEEND};
    struct error err = NO_ERROR;
    int code;
    poptContext context = poptGetContext("pacsd", argc, argv, table, 0);
    poptSetOtherOptionHelp(context, "-A ARCHIVE [-c pacs.conf] [--aet PACSFS] [--dicom ADDR:PORT ...]");
    while ((code = poptGetNextOpt(context)) > 0) {
        *exit_now = code != OPTION_DICOM;
        if (code == OPTION_DICOM)
            CHECK(append(&options->dicom, address));
        else if (code == OPTION_HELP_CONFIG)
            config_print_help();
        else if (code == OPTION_VERSION)
            printf("pacsd %s\n", PACSFS_VERSION);
        else
            poptPrintHelp(context, stdout, 0);
        address = NULL;
        if (*exit_now)
            goto out;
    }
    if (code < -1)
        err = option_error(context, code, table);
    else if (poptPeekArg(context))
        err = error_make(ERROR_USAGE, "\"%s\": no argument is expected here", poptPeekArg(context));
    else if (!options->archive && getenv("PACS_ARCHIVE"))
        options->archive = strdup(getenv("PACS_ARCHIVE"));
    if (err.code == ERROR_NONE && (!options->archive || !*options->archive))
        err = error_make(ERROR_USAGE, "which archive? -A ARCHIVE, or PACS_ARCHIVE in the environment");
    if (err.code == ERROR_NONE && options->aet && !ae_title_valid(options->aet))
        err = error_make(ERROR_USAGE, "--aet \"%s\" is no AE title: 1 to 16 printable ASCII characters, no backslash",
                         options->aet);
out:
    poptFreeContext(context);
    return err;
}

static void options_release(struct options *options)
{
    free(options->archive);
    free(options->config);
    free(options->aet);
    for (size_t i = 0; i < options->dicom.count; i++)
        free(options->dicom.items[i]);
    free(options->dicom.items);
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

static struct error find_config(struct daemon *daemon)
{
    if (!daemon->options.config)
        return config_find(&daemon->config_path, daemon->options.archive);
    daemon->config_path = strdup(daemon->options.config);
    return daemon->config_path ? NO_ERROR : error_make(ERROR_NO_MEMORY, "out of memory");
}

/* What the command line says stands above what the file says. */
static struct error load_config(struct daemon *daemon, struct config **config)
{
    TRY(config_read(config, daemon->config_path));
    struct options *options = &daemon->options;
    if (options->aet) {
        free((*config)->aet);
        (*config)->aet = strdup(options->aet);
    }
    if (options->dicom.count) {
        for (size_t i = 0; i < (*config)->listen.count; i++)
            free((*config)->listen.items[i]);
        (*config)->listen.count = 0;
        char **items = realloc((*config)->listen.items, (options->dicom.count + 1) * sizeof *items);
        if (!items)
            return error_make(ERROR_NO_MEMORY, "out of memory");
        (*config)->listen.items = items;
        for (size_t i = 0; i < options->dicom.count; i++)
            items[(*config)->listen.count++] = strdup(options->dicom.items[i]);
        items[(*config)->listen.count] = NULL;
    }
    if (options->verbose)
        (*config)->log_level = LOG_LEVEL_DEBUG;
    return NO_ERROR;
}

static bool same_texts(const struct texts *a, const struct texts *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

static bool needs_restart(const struct config *a, const struct config *b)
{
    return !same_texts(&a->listen, &b->listen) || !same_texts(&a->placeholders, &b->placeholders) ||
           a->pack_bytes != b->pack_bytes || a->reserve_bytes != b->reserve_bytes ||
           a->quarantine_bytes != b->quarantine_bytes || a->cache_bytes != b->cache_bytes ||
           a->compression != b->compression;
}

static void reload(struct daemon *daemon)
{
    struct config *config = NULL;
    struct error err = load_config(daemon, &config);
    if (err.code != ERROR_NONE) {
        config_put(config);
        err = error_context(err, "the configuration stays as it was");
        log_error(LOG_LEVEL_ERROR, "pacsd", &err);
        return;
    }
    if (needs_restart(daemon->config, config))
        log_line(LOG_LEVEL_WARNING, "pacsd", "listen, [archive] and [identity] change with the next start only");
    listener_configure(daemon->listener, config);
    log_set_level(config->log_level);
    config_put(daemon->config);
    daemon->config = config;
    log_line(LOG_LEVEL_INFO, "pacsd", "configuration read again: %s, %zu peers",
             daemon->config_path ? daemon->config_path : "defaults", config->peer_count);
}

/* ---- systemd ----------------------------------------------------------------------------------------------------- */

/* sd_notify(3), the protocol alone. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (*path == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    (void)sent; /* the service manager tells by itself when it hears nothing */
    close(fd);
}

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void notify_reloading(void)
{
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)monotonic_us());
    notify(state);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void status(void *context, struct json *json)
{
    struct daemon *daemon = context;
    json_key_integer(json, "uptime_seconds", time(NULL) - daemon->started);
    json_key_string(json, "archive", pacs_path(daemon->pacs));
    listener_status(daemon->listener, json);
}

static struct error start(struct daemon *daemon)
{
    TRY(find_config(daemon));
    TRY(load_config(daemon, &daemon->config));
    log_set_level(daemon->config->log_level);
    struct pacs_options options = pacs_options_default();
    options.mode = PACS_WRITE;
    config_archive(daemon->config, &options);
    TRY(pacs_open(&daemon->pacs, daemon->options.archive, &options));
    TRY(association_network_start(daemon->options.verbose));
    TRY(listener_start(&daemon->listener, daemon->pacs, daemon->config));
    daemon->started = time(NULL);
    TRY(control_server_start(&daemon->control, daemon->pacs, status, daemon));
    TRY(listener_announce(daemon->listener));
    log_line(LOG_LEVEL_INFO, "pacsd", "version %s serves %s, configuration %s", PACSFS_VERSION, daemon->options.archive,
             daemon->config_path ? daemon->config_path : "by default");
    return NO_ERROR;
}

static void run(struct daemon *daemon, const sigset_t *signals)
{
    int number;
    notify("READY=1");
    while (sigwait(signals, &number) != 0 || number == SIGHUP) {
        notify_reloading();
        reload(daemon);
        notify("READY=1");
    }
    log_line(LOG_LEVEL_INFO, "pacsd", "stopping: signal %d; %u connections have %lld s", number,
             listener_connections(daemon->listener), (long long)daemon->config->drain_ms / 1000);
}

static void drain(struct daemon *daemon, const sigset_t *signals)
{
    int64_t until = monotonic_us() + daemon->config->drain_ms * 1000;
    const struct timespec tick = {0, 20000000};
    notify("STOPPING=1");
    listener_close(daemon->listener);
    while (listener_connections(daemon->listener) > 0 && monotonic_us() < until) {
        int number = sigtimedwait(signals, NULL, &tick);
        if (number == SIGTERM || number == SIGINT)
            break;
    }
}

static void stop(struct daemon *daemon)
{
    listener_free(daemon->listener);
    control_server_stop(daemon->control);
    if (daemon->pacs)
        pacs_close(daemon->pacs);
    association_network_stop();
    config_put(daemon->config);
    free(daemon->config_path);
    options_release(&daemon->options);
}

int main(int argc, const char **argv)
{
    struct daemon daemon = {0};
    bool exit_now = false;
    sigset_t signals;
    struct error err = read_options(&daemon.options, argc, argv, &exit_now);
    if (err.code != ERROR_NONE) {
        fprintf(stderr, "pacsd: %s\n", error_text(&err));
        fprintf(stderr, "Try pacsd --help.\n");
    } else if (!exit_now) {
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        pthread_sigmask(SIG_BLOCK, &signals, NULL);
        err = start(&daemon);
        if (err.code == ERROR_NONE) {
            run(&daemon, &signals);
            drain(&daemon, &signals);
            pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* the next one kills */
        } else {
            log_line(LOG_LEVEL_ERROR, "pacsd", "%s", error_text(&err));
        }
    }
    stop(&daemon);
    int exit_status = error_exit(err.code);
    error_release(&err);
    return exit_status;
}
