/* What lives here: associations over DCMTK's upper layer (DUL), and nothing else of DCMTK but its log. What does not:
 * messages (dimse.c), who may call and which contexts are taken (session.c), the socket (transport.c) and threads
 * (listen.c).
 *
 * A socket of ours reaches DUL through a global, dcmExternalSocketHandle, which DUL_ReceiveAssociationRQ reads once,
 * just before it asks the transport layer for a connection. So the global is guarded by a mutex that our transport
 * layer releases in createConnection(): negotiations run side by side. DUL begins when the whole request has come and
 * was checked: nobody waits for a peer with the mutex held.
 *
 * DUL's own DIMSE layer is not used: it refuses transfer syntaxes that it has no name for, and when a stream reports a
 * failed write it waits for one more PDV, which never comes after the last one. Of DUL_NextPDV only the first PDV of a
 * PDU is taken (see pdu.h).
 */
#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/cond.h"
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/dcmnet/lst.h"
#include "dcmtk/oflog/appender.h"
#include "dcmtk/oflog/oflog.h"
#include "dcmtk/oflog/spi/logevent.h"
#include "dcmtk/ofstd/ofstd.h"

#include "codecs/base/log.h"
#include "codecs/dicom/meta.h"
#include "net/association.h"
#include "net/transport.h"

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace
{

/* The transport belongs to the association; this is deleted by DUL whenever it thinks fit. */
class Connection : public DcmTransportConnection
{
  public:
    explicit Connection(transport &the_transport) : DcmTransportConnection(the_transport.fd), wire(the_transport) {}
    ~Connection() override { transport_finish(&wire); }

    OFCondition serverSideHandshake() override { return EC_Normal; }
    OFCondition clientSideHandshake() override { return EC_Normal; }
    OFCondition renegotiate(const char *) override { return EC_Normal; }
    unsigned long getPeerCertificateLength() override { return 0; }
    unsigned long getPeerCertificate(void *, unsigned long) override { return 0; }
    OFBool isTransparentConnection() override { return OFFalse; }
    OFString &dumpConnectionParameters(OFString &str) override { return str = "TCP"; }
    void close() override { transport_finish(&wire); }
    void closeTransportConnection() override { transport_finish(&wire); }
    /* read() has the time-outs; DUL's have whole seconds and would start anew with each PDU. */
    OFBool networkDataAvailable(int) override { return OFTrue; }
    ssize_t read(void *to, size_t size) override { return transport_read(&wire, to, size); }
    ssize_t write(void *from, size_t size) override { return transport_write(&wire, from, size); }

  private:
    transport &wire;
};

/* What a thread hands to createConnection() through DUL. */
struct Handoff {
    transport &wire;
    std::unique_lock<std::mutex> lock;
};

std::mutex handle_mutex; /* guards dcmExternalSocketHandle from set() to createConnection() */
thread_local Handoff *handoff;

class Layer : public DcmTransportLayer
{
  public:
    DcmTransportConnection *createConnection(DcmNativeSocketType, OFBool secure) override
    {
        if (!handoff || secure)
            return nullptr;
        handoff->lock.unlock();
        return new (std::nothrow) Connection(handoff->wire);
    }
};

/* ---- the log ----------------------------------------------------------------------------------------------------- */

class ToOurLog : public dcmtk::log4cplus::Appender
{
  public:
    ~ToOurLog() override { destructorImpl(); }
    void close() override {}

  protected:
    void append(const dcmtk::log4cplus::spi::InternalLoggingEvent &event) override
    {
        bool error = event.getLogLevel() >= dcmtk::log4cplus::ERROR_LOG_LEVEL;
        log_line(error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "dcmtk", "%s", event.getMessage().c_str());
    }
};

T_ASC_Network *network;

std::string trimmed(const char *text)
{
    std::string s(text);
    size_t begin = s.find_first_not_of(' '), end = s.find_last_not_of(' ');
    return begin == std::string::npos ? std::string() : s.substr(begin, end - begin + 1);
}

} // namespace

extern "C" struct error association_network_start(bool verbose)
{
    dcmtk::log4cplus::Logger root = dcmtk::log4cplus::Logger::getRoot();
    root.removeAllAppenders();
    root.addAppender(dcmtk::log4cplus::SharedAppenderPtr(new ToOurLog));
    root.setLogLevel(verbose ? dcmtk::log4cplus::WARN_LOG_LEVEL : dcmtk::log4cplus::OFF_LOG_LEVEL);

    dcmDisableGethostbyaddr.set(OFTrue);
    dcmSocketSendTimeout.set(-1); /* ours are in the transport */
    dcmSocketReceiveTimeout.set(-1);
    dcmExternalSocketHandle.set(0); /* not negative: DUL opens no listening socket of its own */
    OFCondition cond = ASC_initializeNetwork(NET_ACCEPTORREQUESTOR, 0, 30, &network);
    if (cond.good())
        cond = ASC_setTransportLayer(network, new Layer, 1);
    if (cond.bad())
        return error_make(ERROR_BROKEN, "cannot start DCMTK's network: %s", cond.text());
    return NO_ERROR;
}

extern "C" void association_network_stop(void)
{
    ASC_dropNetwork(&network);
    dcmtk::log4cplus::Logger::getRoot().removeAllAppenders();
}

/* ---- an association ---------------------------------------------------------------------------------------------- */

struct association {
    association_options options;
    transport wire = {};
    T_ASC_Association *dcmtk = nullptr;
    const uint8_t *pdu = nullptr; /* what is not yet told apart of the last P-DATA-TF, in DUL's buffer */
    size_t pdu_left = 0;
    std::string calling, called, application_context, implementation_class, implementation_version;
    std::vector<std::vector<const char *>> offered;
    std::vector<presentation_context> contexts;
    std::array<const presentation_context *, 256> by_id = {};
    association_request request = {};
};

namespace
{

/* DUL deletes the connection inside of calls that close it; this is the only way to ask whether it did. */
bool standing(association *a)
{
    return a->dcmtk && a->dcmtk->DULassociation && DUL_getTransportConnection(a->dcmtk->DULassociation);
}

error ended(association *a, const char *doing, const OFCondition &cond)
{
    switch (a->wire.end) {
    case TRANSPORT_TIMED_OUT:
        return error_make(ERROR_RETRY, "timed out %s", doing);
    case TRANSPORT_EXPIRED:
        return error_make(ERROR_RETRY, a->dcmtk ? "open for longer than association_timeout, ended %s" : "timed out %s",
                          doing);
    case TRANSPORT_STOPPING:
        return error_make(ERROR_RETRY, "stopping");
    case TRANSPORT_CLOSED:
        return error_make(ERROR_RETRY, "the connection was closed %s", doing);
    case TRANSPORT_FAILED:
        return error_system(a->wire.number, "the connection failed %s", doing);
    case TRANSPORT_OPEN:
        break;
    }
    if (cond == DUL_PEERABORTEDASSOCIATION)
        return error_make(ERROR_REFUSED, "aborted by the peer %s", doing);
    return error_make(ERROR_MALFORMED, "violates the protocol %s: %s", doing, cond.text());
}

void take_request(association *a)
{
    T_ASC_Parameters *params = a->dcmtk->params;
    DUL_ASSOCIATESERVICEPARAMETERS &dul = params->DULparams;
    a->calling = trimmed(dul.callingAPTitle);
    a->called = trimmed(dul.calledAPTitle);
    a->application_context = trimmed(dul.applicationContextName);
    a->implementation_class = trimmed(params->theirImplementationClassUID);
    a->implementation_version = trimmed(params->theirImplementationVersionName);

    LST_HEAD **list = &dul.requestedPresentationContext;
    auto *item = *list ? reinterpret_cast<DUL_PRESENTATIONCONTEXT *>(LST_Head(list)) : nullptr;
    std::array<bool, 256> seen = {};
    if (item)
        (void)LST_Position(list, reinterpret_cast<LST_NODE *>(item));
    for (; item; item = reinterpret_cast<DUL_PRESENTATIONCONTEXT *>(LST_Next(list))) {
        if (seen[item->presentationContextID])
            continue;
        seen[item->presentationContextID] = true;
        std::vector<const char *> syntaxes;
        LST_HEAD **inner = &item->proposedTransferSyntax;
        auto *syntax = *inner ? reinterpret_cast<DUL_TRANSFERSYNTAX *>(LST_Head(inner)) : nullptr;
        if (syntax)
            (void)LST_Position(inner, reinterpret_cast<LST_NODE *>(syntax));
        for (; syntax; syntax = reinterpret_cast<DUL_TRANSFERSYNTAX *>(LST_Next(inner)))
            syntaxes.push_back(syntax->transferSyntax);
        presentation_context context = {};
        context.id = item->presentationContextID;
        context.abstract_syntax = item->abstractSyntax;
        context.requestor_is_scp =
            item->proposedSCRole == DUL_SC_ROLE_SCP || item->proposedSCRole == DUL_SC_ROLE_SCUSCP;
        context.result = CONTEXT_NO_REASON;
        a->offered.push_back(std::move(syntaxes));
        a->contexts.push_back(context);
    }
    for (size_t i = 0; i < a->contexts.size(); i++) {
        a->contexts[i].offered = a->offered[i].data();
        a->contexts[i].offered_count = a->offered[i].size();
        a->by_id[a->contexts[i].id] = &a->contexts[i];
    }
    a->request = {a->calling.c_str(),
                  a->called.c_str(),
                  a->application_context.c_str(),
                  a->implementation_class.c_str(),
                  a->implementation_version.c_str(),
                  a->contexts.data(),
                  a->contexts.size()};
}

error replace(error &old, error with)
{
    error_release(&old);
    return with;
}

/* The request lies in the transport, whole and checked, or it is another PDU. */
error receive(association *a, int fd)
{
    Handoff given = {a->wire, std::unique_lock<std::mutex>(handle_mutex)};
    handoff = &given;
    dcmExternalSocketHandle.set(fd);
    OFCondition cond =
        ASC_receiveAssociation(network, &a->dcmtk, long(a->options.max_pdu), nullptr, nullptr, OFFalse, DUL_BLOCK, 0);
    handoff = nullptr;
    /* An A-ABORT instead of a request closes the connection (PS3.8 9.2, AA-2), and DUL calls that good. */
    if (cond.good() && !standing(a))
        cond = DUL_PEERABORTEDASSOCIATION;
    if (cond.bad())
        return ended(a, "before an A-ASSOCIATE-RQ had come", cond);
    transport_expires(&a->wire, a->options.total_ms);
    transport_wait_at_most(&a->wire, a->options.read_ms);
    take_request(a);
    return NO_ERROR;
}

} // namespace

extern "C" struct error association_receive(struct association **out, int fd, const struct association_options *options)
{
    std::unique_ptr<association> a(new (std::nothrow) association());
    if (!a)
        return error_make(ERROR_NO_MEMORY, "out of memory for an association");
    a->options = *options;
    error err = transport_init(&a->wire, fd, options->stop_fd, options->negotiation_ms);
    if (err.code == ERROR_NONE)
        err = transport_request(&a->wire);
    if (err.code == ERROR_NONE)
        err = receive(a.get(), fd);
    else if (a->wire.end == TRANSPORT_CLOSED && a->wire.received == 0)
        err = replace(err, error_make(ERROR_NOT_FOUND, "closed before the first byte"));
    else if (a->wire.end != TRANSPORT_OPEN)
        err = replace(err, ended(a.get(), "before an A-ASSOCIATE-RQ had come", EC_Normal));
    if (err.code == ERROR_NONE)
        *out = a.release();
    else
        association_free(a.release());
    return err;
}

extern "C" struct association_request *association_asked(struct association *a)
{
    return &a->request;
}

extern "C" const struct presentation_context *association_context(struct association *a, uint8_t id)
{
    const presentation_context *context = a->by_id[id];
    return context && context->result == CONTEXT_ACCEPTED ? context : nullptr;
}

extern "C" {
const struct rejection rejection_application_context = {REJECTED_PERMANENT, REJECTED_BY_USER, 2,
                                                        "application context name not supported"};
const struct rejection rejection_calling_ae = {REJECTED_PERMANENT, REJECTED_BY_USER, 3,
                                               "calling AE title not recognized"};
const struct rejection rejection_called_ae = {REJECTED_PERMANENT, REJECTED_BY_USER, 7,
                                              "called AE title not recognized"};
const struct rejection rejection_congestion = {REJECTED_TRANSIENT, REJECTED_BY_PRESENTATION, 1, "temporary congestion"};
const struct rejection rejection_limit = {REJECTED_TRANSIENT, REJECTED_BY_PRESENTATION, 2, "local limit exceeded"};
}

extern "C" void association_reject(struct association *a, const struct rejection *rejection)
{
    DUL_ABORTITEMS items = {rejection->result, rejection->source, rejection->reason};
    (void)DUL_RejectAssociationRQ(&a->dcmtk->DULassociation, &items, 0);
}

extern "C" struct error association_accept(struct association *a)
{
    T_ASC_Parameters *params = a->dcmtk->params;
    OFStandard::strlcpy(params->ourImplementationClassUID, IMPLEMENTATION_CLASS_UID,
                        sizeof params->ourImplementationClassUID);
    OFStandard::strlcpy(params->ourImplementationVersionName, IMPLEMENTATION_VERSION,
                        sizeof params->ourImplementationVersionName);
    OFCondition cond = EC_Normal;
    for (const presentation_context &context : a->contexts) {
        if (context.result == CONTEXT_ACCEPTED)
            cond = ASC_acceptPresentationContext(params, context.id, context.syntax, ASC_SC_ROLE_DEFAULT, OFFalse);
        else
            cond = ASC_refusePresentationContext(params, context.id, T_ASC_P_ResultReason(context.result));
        if (cond.bad())
            return error_make(ERROR_BROKEN, "presentation context %u: %s", context.id, cond.text());
    }
    cond = ASC_acknowledgeAssociation(a->dcmtk, nullptr, nullptr);
    return cond.good() ? NO_ERROR : ended(a, "while the association was accepted", cond);
}

extern "C" struct error association_read(struct association *a, bool between, struct fragment *fragment)
{
    pdv pdv;
    if (a->pdu_left == 0) {
        DUL_PDV first = {};
        if (!standing(a))
            return error_make(ERROR_RETRY, "the connection was closed");
        transport_wait_at_most(&a->wire, between ? a->options.idle_ms : a->options.read_ms);
        OFCondition cond = DUL_ReadPDVs(&a->dcmtk->DULassociation, nullptr, DUL_BLOCK, 0);
        if (cond == DUL_PEERREQUESTEDRELEASE) {
            fragment->kind = FRAGMENT_RELEASE;
            return NO_ERROR;
        }
        if (cond != DUL_PDATAPDUARRIVED)
            return ended(a, between ? "between messages" : "in the middle of a message", cond);
        cond = DUL_NextPDV(&a->dcmtk->DULassociation, &first);
        if (cond.bad())
            return ended(a, "in a PDU", cond);
        a->pdu = static_cast<const uint8_t *>(first.data) - PDV_HEAD;
        a->pdu_left = a->wire.body_size;
    }
    error err = pdu_next_pdv(&a->pdu, &a->pdu_left, &pdv);
    if (err.code != ERROR_NONE)
        return err;
    *fragment = {pdv.command ? FRAGMENT_COMMAND : FRAGMENT_DATA, pdv.last, pdv.context, pdv.data, pdv.size};
    return NO_ERROR;
}

extern "C" struct error association_write(struct association *a, const struct fragment *fragment)
{
    DUL_PDV pdv = {};
    pdv.fragmentLength = fragment->size;
    pdv.presentationContextID = fragment->context;
    pdv.pdvType = fragment->kind == FRAGMENT_COMMAND ? DUL_COMMANDPDV : DUL_DATASETPDV;
    pdv.lastPDV = fragment->last;
    pdv.data = const_cast<uint8_t *>(fragment->data);
    DUL_PDVLIST list = {};
    list.count = 1;
    list.pdv = &pdv;
    if (!standing(a))
        return error_make(ERROR_RETRY, "the connection was closed");
    transport_wait_at_most(&a->wire, a->options.read_ms);
    OFCondition cond = DUL_WritePDVs(&a->dcmtk->DULassociation, &list);
    return cond.good() ? NO_ERROR : ended(a, "while an answer was sent", cond);
}

extern "C" void association_confirm_release(struct association *a)
{
    (void)ASC_acknowledgeRelease(a->dcmtk);
}

extern "C" void association_abort(struct association *a)
{
    if (!standing(a))
        return;
    transport_linger(&a->wire);
    (void)ASC_abortAssociation(a->dcmtk);
}

extern "C" uint64_t association_received(const struct association *a)
{
    return a->wire.received;
}

extern "C" void association_free(struct association *a)
{
    if (!a)
        return;
    if (a->dcmtk)
        (void)ASC_destroyAssociation(&a->dcmtk);
    transport_finish(&a->wire);
    transport_release(&a->wire);
    delete a;
}
