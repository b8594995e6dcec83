/* What lives here: C-STORE (PS3.4 B, PS3.7 9.1.1). What does not: what is done with a data set (index/, the way in).
 *
 * The data set goes fragment by fragment from the PDU into the archive. What fails there is kept until the data set has
 * come to its end, since DIMSE has no way to stop a sender in the middle of one; then it is answered. The answer waits
 * for ingest_finish(): what is acknowledged is safe, and found by the next query.
 */
#include "net/service.h"

#include "codecs/dicom/syntax.h"

/* A fragment without bytes is none: a data set of nothing else is no data set. */
static void feed(void *ingest, const void *bytes, size_t size)
{
    if (ingest && size)
        ingest_feed(ingest, bytes, size);
}

static struct error begin(struct session *session, const struct command *command, struct origin *origin,
                          struct ingest **ingest)
{
    const struct association_request *request = association_asked(session->association);
    const struct presentation_context *context = association_context(session->association, command->context);
    *origin = (struct origin){
        .how = "DIMSE",
        .calling_ae = request->calling_ae,
        .called_ae = request->called_ae,
        .address = session->address,
        .implementation = session->implementation,
        .issuer = session->peer ? session->peer->issuer : NULL,
        .association = session->number,
        .known = session->peer != NULL,
    };
    struct ingest_announced announced = {
        .sop_class = command->sop_class,
        .sop_instance = command->sop_instance,
        .syntax = syntax_by_uid(context->syntax),
        .syntax_uid = context->syntax,
    };
    return ingest_begin(session->pacs, origin, &announced, ingest);
}

static struct error answer_stored(struct session *session, const struct command *command,
                                  const struct ingest_result *result)
{
    session->stored++;
    session->counters->stored++;
    if (result->verdict == INGEST_DUPLICATE) {
        session->duplicates++;
        session->counters->duplicates++;
    }
    peer_log(session->log, session->address, LOG_LEVEL_DEBUG, "store", "association %llu: %s: %s%s%s",
             (unsigned long long)session->number, command->sop_instance, ingest_verdict_name(result->verdict),
             *result->remark ? ", " : "", result->remark);
    return dimse_answer(session->association, command, *result->remark ? DIMSE_STORED_WITH_REMARK : DIMSE_SUCCESS,
                        *result->remark ? result->remark : NULL);
}

/* What the peer's people can do about it. Only what the data set itself is blamed for is said in its own words: other
 * messages name files of this machine, and stand in the log. */
static const char *comment_of(const struct error *why)
{
    static const char *const comments[ERROR_CODES] = {
        [ERROR_RETRY] = "not stored this time: send it again",
        [ERROR_REFUSED] = "the archive may not store it: see its log",
        [ERROR_NOT_FOUND] = "the archive could not store it: see its log",
        [ERROR_DAMAGED] = "the archive's own data are damaged: see its log",
        [ERROR_FULL] = "archive full: make room there, then send again",
        [ERROR_BUSY] = "the archive is busy: send it again",
        [ERROR_USAGE] = "the archive could not store it: see its log",
        [ERROR_NO_MEMORY] = "the archive has no memory left: send it again later",
        [ERROR_BROKEN] = "the archive could not write: see its log, then send again",
    };
    return comments[why->code] ? comments[why->code] : error_text(why);
}

static struct error answer_refused(struct session *session, const struct command *command, const struct error *why)
{
    session->refused++;
    session->counters->refused++;
    peer_log(session->log, session->address, LOG_LEVEL_WARNING, "store",
             "association %llu: %s from %s at %s refused with status %04xH: %s", (unsigned long long)session->number,
             command->sop_instance, association_asked(session->association)->calling_ae, session->address,
             error_dimse(why->code), error_text(why));
    return dimse_answer(session->association, command, error_dimse(why->code), comment_of(why));
}

struct error service_store(struct session *session, const struct command *command)
{
    struct ingest *ingest = NULL;
    struct origin origin;
    struct ingest_result result = {0};
    struct error failure = NO_ERROR, err = NO_ERROR;

    if (!command->has_data_set)
        return error_make(ERROR_MALFORMED, "violates the protocol: C-STORE without a data set");
    failure = begin(session, command, &origin, &ingest);
    if (failure.code != ERROR_NONE)
        ingest = NULL;
    err = dimse_read_data_set(session->association, command, (uint64_t)session->config->max_object, feed, ingest);
    if (err.code != ERROR_NONE) {
        if (ingest)
            ingest_abort(ingest);
        err = error_context(err, "%s lost", command->sop_instance);
        goto out;
    }
    if (ingest)
        failure = ingest_finish(ingest, &result);
    err = failure.code == ERROR_NONE ? answer_stored(session, command, &result)
                                     : answer_refused(session, command, &failure);
out:
    error_release(&failure);
    return err;
}
