/* What lives here: who may call, and the log of an association. What does not: PDUs (association_dcmtk.cc), commands
 * (service.c), threads and their number (listen.c).
 */
#include "net/session.h"

#include "codecs/base/buf.h"
#include "codecs/dicom/dataset.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define APPLICATION_CONTEXT "1.2.840.10008.3.1.1.1" /* PS3.7 A.2.1 */
#define REFUSED_LOGGED_MAX 16                       /* contexts named in one line */

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Why the peer may not call, in the order in which an administrator should hear of it; NULL: it may. */
static const struct rejection *refusal(const struct caller *caller, const struct association_request *request,
                                       const struct peer *peer, char detail[SESSION_DETAIL_MAX])
{
    const struct config *config = caller->config;
    *detail = 0;
    if (strcmp(request->application_context, APPLICATION_CONTEXT) != 0)
        return &rejection_application_context;
    /* Titles of blanks alone shall not be used (PS3.8 table 9-11); DCMTK fails to accept them, and leaks. */
    if (!*request->called_ae) {
        snprintf(detail, SESSION_DETAIL_MAX, "; it is empty");
        return &rejection_called_ae;
    }
    if (!*request->calling_ae) {
        snprintf(detail, SESSION_DETAIL_MAX, "; it is empty");
        return &rejection_calling_ae;
    }
    if (config->check_called && strcmp(request->called_ae, config->aet) != 0) {
        snprintf(detail, SESSION_DETAIL_MAX, "; ours is set by aet, and check_called asks for it");
        return &rejection_called_ae;
    }
    if (config->known_only && !peer) {
        snprintf(detail, SESSION_DETAIL_MAX, "; %s",
                 config_has_aet(config, request->calling_ae) ? "a [peer] has this AE title, but another address"
                                                             : "no [peer] has this AE title, and accept = known");
        return &rejection_calling_ae;
    }
    return caller->admit(caller->context, peer, detail);
}

static void log_refused_contexts(const struct caller *caller, const struct association_request *request)
{
    struct buf line;
    size_t refused = 0;
    buf_init(&line);
    for (size_t i = 0; i < request->context_count; i++) {
        const struct presentation_context *context = &request->contexts[i];
        if (context->result == CONTEXT_ACCEPTED || ++refused > REFUSED_LOGGED_MAX)
            continue;
        const char *name = uid_name(context->abstract_syntax);
        buf_printf(&line, "%s%s%s%s%s", refused > 1 ? ", " : "", context->abstract_syntax, *name ? " (" : "", name,
                   *name ? ")" : "");
    }
    if (refused > 0)
        peer_log(caller->log, caller->address, LOG_LEVEL_INFO, "dicom",
                 "association %llu: %zu of %zu contexts from %s at %s refused: %s%s",
                 (unsigned long long)caller->number, refused, request->context_count, request->calling_ae,
                 caller->address, buf_string(&line), refused > REFUSED_LOGGED_MAX ? ", ..." : "");
    buf_release(&line);
}

static void log_end(const struct session *session, const char *calling_ae, double seconds, struct error *err)
{
    bool aborted = err->code != ERROR_NONE;
    peer_log(
        session->log, session->address, aborted ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "dicom",
        "association %llu: %s at %s %s%s: %llu stored (%llu of them were here), %llu refused, %llu bytes in %.3f s",
        (unsigned long long)session->number, calling_ae, session->address, aborted ? "ended: " : "released",
        aborted ? error_text(err) : "", (unsigned long long)session->stored, (unsigned long long)session->duplicates,
        (unsigned long long)session->refused, (unsigned long long)association_received(session->association), seconds);
    error_release(err);
}

static void serve(const struct caller *caller, struct association *association, const struct peer *peer)
{
    const struct association_request *request = association_asked(association);
    struct session session = {
        .association = association,
        .pacs = caller->pacs,
        .config = caller->config,
        .peer = peer,
        .counters = caller->counters,
        .log = caller->log,
        .number = caller->number,
        .address = caller->address,
    };
    double begin = now_seconds();
    snprintf(session.implementation, sizeof session.implementation, "%s %s", request->implementation_class,
             request->implementation_version);
    caller->counters->associations++;
    struct error err = service_run(&session);
    caller->counters->bytes += association_received(association);
    if (err.code != ERROR_NONE)
        association_abort(association);
    log_end(&session, request->calling_ae, now_seconds() - begin, &err);
}

static void negotiate(const struct caller *caller, struct association *association)
{
    struct association_request *request = association_asked(association);
    const struct peer *peer = config_peer(caller->config, request->calling_ae, caller->socket_address);
    char detail[SESSION_DETAIL_MAX];
    const struct rejection *rejection = refusal(caller, request, peer, detail);
    if (rejection) {
        caller->counters->rejected++;
        peer_log(caller->log, caller->address, LOG_LEVEL_WARNING, "dicom",
                 "association %llu: %s at %s, calling %s, rejected: %s%s", (unsigned long long)caller->number,
                 request->calling_ae, caller->address, request->called_ae, rejection->text, detail);
        association_reject(association, rejection);
        return;
    }
    size_t accepted = service_choose(caller->config, request);
    log_refused_contexts(caller, request);
    struct error err = association_accept(association);
    if (err.code != ERROR_NONE) {
        err = error_context(err, "association %llu: %s at %s", (unsigned long long)caller->number, request->calling_ae,
                            caller->address);
        peer_log_error(caller->log, caller->address, LOG_LEVEL_WARNING, "dicom", &err);
        return;
    }
    peer_log(caller->log, caller->address, LOG_LEVEL_INFO, "dicom",
             "association %llu: %s%s at %s (%s), %zu contexts accepted", (unsigned long long)caller->number,
             request->calling_ae, peer ? "" : ", a stranger,", caller->address, request->implementation_version,
             accepted);
    serve(caller, association, peer);
}

void session_run(const struct caller *caller)
{
    struct association *association = NULL;
    struct association_options options = {
        .max_pdu = caller->config->max_pdu,
        .negotiation_ms = caller->config->negotiation_ms,
        .read_ms = caller->config->read_ms,
        .idle_ms = caller->config->idle_ms,
        .total_ms = caller->config->association_ms,
        .stop_fd = caller->stop_fd,
    };
    struct error err = association_receive(&association, caller->fd, &options);
    if (err.code != ERROR_NONE) {
        enum log_level level = err.code == ERROR_NOT_FOUND ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING;
        if (level == LOG_LEVEL_WARNING)
            caller->counters->rejected++;
        err = error_context(err, "association %llu: from %s", (unsigned long long)caller->number, caller->address);
        peer_log_error(caller->log, caller->address, level, "dicom", &err);
        return;
    }
    negotiate(caller, association);
    association_free(association);
}
