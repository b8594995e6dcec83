/* What lives here: which abstract syntaxes are served, by which function, in which transfer syntax. What does not: who
 * may call (session.c), what a service does (its own file).
 */
#include "net/service.h"

#include "codecs/dicom/dataset.h"
#include "codecs/dicom/syntax.h"

#include <string.h>

/* Known storage classes, and by configuration what no dictionary knows: private ones and those of later editions. */
static bool is_storage(const struct config *config, const char *abstract_syntax)
{
    return uid_is_storage(abstract_syntax) ||
           (config->accept_unknown_classes && *abstract_syntax && !*uid_name(abstract_syntax));
}

static bool is_verification(const struct config *config, const char *abstract_syntax)
{
    (void)config;
    return strcmp(abstract_syntax, "1.2.840.10008.1.1") == 0;
}

static const struct service services[] = {
    {"Verification", "PS3.4 A", is_verification, C_ECHO_RQ, service_echo},
    {"Storage", "PS3.4 B", is_storage, C_STORE_RQ, service_store},
};
#define SERVICES (sizeof services / sizeof *services)

struct error service_echo(struct session *session, const struct command *command)
{
    session->echoes++;
    return dimse_answer(session->association, command, DIMSE_SUCCESS, NULL);
}

/* ---- presentation contexts --------------------------------------------------------------------------------------- */

/* A stock sender cannot compress what it offers to, so that what every image can be sent in comes first. Of syntaxes
 * that we do not know the first is as good as any. */
static const char *preferred_syntax(const struct presentation_context *context)
{
    size_t best = 0;
    for (size_t i = 1; i < context->offered_count; i++) {
        if (syntax_by_uid(context->offered[i])->preference < syntax_by_uid(context->offered[best])->preference)
            best = i;
    }
    return context->offered[best];
}

size_t service_choose(const struct config *config, struct association_request *request)
{
    size_t accepted = 0;
    for (size_t i = 0; i < request->context_count; i++) {
        struct presentation_context *context = &request->contexts[i];
        context->result = CONTEXT_ABSTRACT_SYNTAX;
        for (size_t j = 0; j < SERVICES && context->result != CONTEXT_ACCEPTED; j++) {
            if (!services[j].serves(config, context->abstract_syntax))
                continue;
            context->result = context->offered_count ? CONTEXT_ACCEPTED : CONTEXT_TRANSFER_SYNTAXES;
            context->syntax = context->offered_count ? preferred_syntax(context) : "";
        }
        accepted += context->result == CONTEXT_ACCEPTED;
    }
    return accepted;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static void swallow(void *context, const void *bytes, size_t size)
{
    (void)context;
    (void)bytes;
    (void)size;
}

static struct error refuse_command(struct session *session, const struct command *command)
{
    peer_log(session->log, session->address, LOG_LEVEL_WARNING, "dicom",
             "association %llu: command %04xH is not served in context %u", (unsigned long long)session->number,
             command->field, command->context);
    if (command->has_data_set)
        TRY(dimse_read_data_set(session->association, command, (uint64_t)session->config->max_object, swallow, NULL));
    if (command->field == C_CANCEL_RQ) /* has no response; what it would cancel is done */
        return NO_ERROR;
    if (command->field == 0 || (command->field & DIMSE_RESPONSE))
        return error_make(ERROR_MALFORMED, "violates the protocol: command field %04xH", command->field);
    return dimse_answer(session->association, command, DIMSE_UNRECOGNIZED_OPERATION, "operation not served here");
}

static struct error run_command(struct session *session, const struct command *command)
{
    const struct presentation_context *context = association_context(session->association, command->context);
    if (!context)
        return error_make(ERROR_MALFORMED, "violates the protocol: context %u was not accepted", command->context);
    for (size_t i = 0; i < SERVICES; i++) {
        if (services[i].command == command->field && services[i].serves(session->config, context->abstract_syntax))
            return services[i].run(session, command);
    }
    return refuse_command(session, command);
}

struct error service_run(struct session *session)
{
    for (;;) {
        struct command command = {0};
        bool released;
        TRY(dimse_read_command(session->association, &command, &released));
        if (released) {
            association_confirm_release(session->association);
            return NO_ERROR;
        }
        TRY(run_command(session, &command));
    }
}
