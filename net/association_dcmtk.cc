/* What lives here: associations over DCMTK's upper layer (DUL), and nothing else of DCMTK but its log. What does not:
 * messages (dimse.c), who may call and which contexts are taken (session.c), sockets and threads (listen.c).
 *
 * A socket of ours reaches DUL through a global, dcmExternalSocketHandle, which DUL_ReceiveAssociationRQ reads once,
 * just before it asks the transport layer for a connection, and before it waits for the peer. So the global is guarded
 * by a mutex that our transport layer releases in createConnection(): negotiations run side by side.
 *
 * The connection is ours for the sake of time: DCMTK leaves Nagle's algorithm on and writes a PDU's head and body
 * apart, and a stock sender does the same and then waits for an acknowledgement that the kernel likes to delay by
 * 40 ms. Here TCP_NODELAY is set, TCP_QUICKACK armed again after each read, and a PDU leaves in one write. Every wait
 * ends: at a time-out, at the deadline of the negotiation, or when the listener stops.
 *
 * DUL's own DIMSE layer is not used: it refuses transfer syntaxes that it has no name for, and when a stream reports a
 * failed write it waits for one more PDV, which never comes after the last one.
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

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace
{

constexpr size_t READ_AHEAD = 65536;
constexpr size_t HELD_MAX = 32;     /* a PDU's head and that of its PDV are 12 */
constexpr int64_t LINGER_MS = 1000; /* for the peer to read our last words */
constexpr size_t OFFERED_MAX = 256; /* transfer syntaxes of one context */

int64_t now_ms()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

enum class End { none, closed, timed_out, stopping, failed };

/* What became of a connection. It outlives the connection, which DUL deletes whenever it thinks fit. */
struct Report {
    End end = End::none;
    int number = 0; /* errno of End::failed */
    uint64_t received = 0;
};

/* ---- the transport connection ------------------------------------------------------------------------------------ */

class Connection : public DcmTransportConnection
{
  public:
    Connection(int fd, const association_options &the_options, Report &the_report)
        : DcmTransportConnection(fd), options(the_options), report(the_report),
          deadline_ms(now_ms() + the_options.negotiation_ms)
    {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~Connection() override { finish(); }

    OFCondition serverSideHandshake() override { return EC_Normal; }
    OFCondition clientSideHandshake() override { return EC_Normal; }
    OFCondition renegotiate(const char *) override { return EC_Normal; }
    unsigned long getPeerCertificateLength() override { return 0; }
    unsigned long getPeerCertificate(void *, unsigned long) override { return 0; }
    OFBool isTransparentConnection() override { return OFFalse; }
    OFString &dumpConnectionParameters(OFString &str) override { return str = "TCP"; }
    void close() override { finish(); }
    void closeTransportConnection() override { finish(); }
    /* read() has the time-outs; DUL's have whole seconds and would start anew with each PDU. */
    OFBool networkDataAvailable(int) override { return OFTrue; }

    ssize_t read(void *to, size_t size) override
    {
        if (first == last && size >= ahead.size())
            return receive(to, size);
        if (first == last) {
            ssize_t got = receive(ahead.data(), ahead.size());
            if (got <= 0)
                return got;
            first = 0;
            last = size_t(got);
        }
        size_t n = std::min(size, last - first);
        memcpy(to, ahead.data() + first, n);
        first += n;
        return ssize_t(n);
    }

    /* DUL writes a P-DATA-TF as its head, then its data, and every other PDU whole. */
    ssize_t write(void *from, size_t size) override
    {
        const uint8_t *bytes = static_cast<const uint8_t *>(from);
        if (pdu_left == 0 && size >= 6)
            pdu_left = 6 + (uint64_t(bytes[2]) << 24 | uint64_t(bytes[3]) << 16 | uint64_t(bytes[4]) << 8 | bytes[5]);
        pdu_left -= std::min<uint64_t>(pdu_left, size);
        if (pdu_left > 0 && held_size == 0 && size <= held.size()) {
            memcpy(held.data(), bytes, size);
            held_size = size;
            return ssize_t(size);
        }
        iovec parts[2] = {{held.data(), held_size}, {from, size}};
        held_size = 0;
        return send_all(parts) ? ssize_t(size) : -1;
    }

    /* From the next wait on. */
    void wait_at_most(int64_t ms) { timeout_ms = ms; }
    void negotiated() { deadline_ms = INT64_MAX; }
    void linger()
    {
        if (!lingering)
            deadline_ms = now_ms() + LINGER_MS;
        lingering = true;
    }

  private:
    bool fail(End how, int with = 0)
    {
        if (report.end == End::none && !lingering) {
            report.end = how;
            report.number = with;
        }
        errno = with ? with : ECONNRESET; /* never EINTR: DUL would try again */
        return false;
    }

    bool wait_for(short events)
    {
        int64_t until = lingering ? deadline_ms : std::min(deadline_ms, now_ms() + timeout_ms);
        for (;;) {
            pollfd polled[2] = {{getSocket(), events, 0}, {options.stop_fd, POLLIN, 0}};
            int64_t left = std::max<int64_t>(0, until - now_ms());
            int n = poll(polled, lingering ? 1 : 2, int(std::min<int64_t>(left, INT_MAX)));
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return fail(End::failed, errno);
            if (!lingering && polled[1].revents)
                return fail(End::stopping);
            if (n == 0)
                return fail(End::timed_out);
            return true;
        }
    }

    ssize_t receive(void *to, size_t size)
    {
        for (;;) {
            if (!wait_for(POLLIN))
                return 0;
            ssize_t got = recv(getSocket(), to, size, MSG_DONTWAIT);
            if (got < 0 && (errno == EINTR || errno == EAGAIN))
                continue;
            int on = 1;
            setsockopt(getSocket(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
            if (got < 0)
                fail(errno == ECONNRESET ? End::closed : End::failed, errno);
            else if (got == 0)
                fail(End::closed);
            else
                report.received += uint64_t(got);
            return got < 0 ? 0 : got;
        }
    }

    bool send_all(iovec (&parts)[2])
    {
        iovec *part = parts;
        size_t count = 2;
        for (;;) {
            while (count > 0 && part->iov_len == 0) {
                part++;
                count--;
            }
            if (count == 0)
                return true;
            msghdr message = {};
            message.msg_iov = part;
            message.msg_iovlen = count;
            ssize_t sent = sendmsg(getSocket(), &message, MSG_NOSIGNAL | MSG_DONTWAIT | (pdu_left > 0 ? MSG_MORE : 0));
            if (sent < 0 && errno == EAGAIN && wait_for(POLLOUT))
                continue;
            if (sent < 0 && errno == EINTR)
                continue;
            if (sent < 0)
                return fail(errno == EPIPE || errno == ECONNRESET ? End::closed : End::failed, errno);
            for (size_t n = size_t(sent); n > 0;) {
                size_t taken = std::min(n, part->iov_len);
                part->iov_base = static_cast<uint8_t *>(part->iov_base) + taken;
                part->iov_len -= taken;
                n -= taken;
                if (part->iov_len == 0 && count > 1) {
                    part++;
                    count--;
                }
            }
        }
    }

    /* DUL takes every end for one by the peer, and just closes: where it was ours, say so (PS3.8 9.3.8). A close with
     * unread bytes would send a reset, and that destroys what the peer has not read of our last PDU. */
    void finish()
    {
        if (finished)
            return;
        finished = true;
        linger();
        if ((report.end == End::timed_out || report.end == End::stopping) && pdu_left == 0) {
            uint8_t abort_pdu[10] = {DUL_TYPEABORT, 0, 0, 0, 0, 4, 0, 0, DUL_ABORTSERVICEUSER, DUL_ABORTNOREASON};
            (void)write(abort_pdu, sizeof abort_pdu);
        }
        shutdown(getSocket(), SHUT_WR);
        if (report.end != End::closed && report.end != End::failed) {
            while (receive(ahead.data(), ahead.size()) > 0)
                ;
        }
        shutdown(getSocket(), SHUT_RDWR);
    }

    const association_options options;
    Report &report;
    std::array<uint8_t, READ_AHEAD> ahead;
    size_t first = 0, last = 0; /* what of `ahead` is not yet read */
    std::array<uint8_t, HELD_MAX> held;
    size_t held_size = 0;
    uint64_t pdu_left = 0; /* bytes to come of the PDU that is being written */
    int64_t deadline_ms;
    int64_t timeout_ms = INT_MAX;
    bool lingering = false, finished = false;
};

/* What a thread hands to createConnection() through DUL, and what it gets back. */
struct Handoff {
    const association_options &options;
    Report &report;
    Connection *connection;
    std::unique_lock<std::mutex> lock;
};

std::mutex handle_mutex; /* guards dcmExternalSocketHandle from set() to createConnection() */
thread_local Handoff *handoff;

class Layer : public DcmTransportLayer
{
  public:
    DcmTransportConnection *createConnection(DcmNativeSocketType fd, OFBool secure) override
    {
        if (!handoff || secure)
            return nullptr;
        handoff->connection = new (std::nothrow) Connection(fd, handoff->options, handoff->report);
        handoff->lock.unlock();
        return handoff->connection;
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
    dcmSocketSendTimeout.set(-1); /* ours are in Connection */
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
    T_ASC_Association *dcmtk = nullptr;
    Connection *connection = nullptr; /* DUL's, which deletes it when it closes: only while standing() */
    Report report;
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
    switch (a->report.end) {
    case End::timed_out:
        return error_make(ERROR_RETRY, "timed out %s", doing);
    case End::stopping:
        return error_make(ERROR_RETRY, "stopping");
    case End::closed:
        return error_make(ERROR_RETRY, "the connection was closed %s", doing);
    case End::failed:
        return error_system(a->report.number, "the connection failed %s", doing);
    case End::none:
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
        for (; syntax && syntaxes.size() < OFFERED_MAX;
             syntax = reinterpret_cast<DUL_TRANSFERSYNTAX *>(LST_Next(inner)))
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

} // namespace

extern "C" struct error association_receive(struct association **out, int fd, const struct association_options *options)
{
    std::unique_ptr<association> a(new (std::nothrow) association());
    if (!a)
        return error_make(ERROR_NO_MEMORY, "out of memory for an association");
    a->options = *options;

    Handoff given = {a->options, a->report, nullptr, std::unique_lock<std::mutex>(handle_mutex)};
    handoff = &given;
    dcmExternalSocketHandle.set(fd);
    OFCondition cond =
        ASC_receiveAssociation(network, &a->dcmtk, long(options->max_pdu), nullptr, nullptr, OFFalse, DUL_BLOCK, 0);
    handoff = nullptr;
    if (given.lock.owns_lock()) /* it failed before it asked for a connection */
        given.lock.unlock();

    a->connection = given.connection;
    /* An A-ABORT instead of a request closes the connection (PS3.8 9.2, AA-2), and DUL calls that good. */
    if (cond.good() && !standing(a.get()))
        cond = DUL_PEERABORTEDASSOCIATION;
    if (cond.good()) {
        a->connection->negotiated();
        a->connection->wait_at_most(options->read_ms);
        take_request(a.get());
        *out = a.release();
        return NO_ERROR;
    }
    error err = a->report.end == End::closed && a->report.received == 0
                    ? error_make(ERROR_NOT_FOUND, "closed before the first byte")
                    : ended(a.get(), "before an A-ASSOCIATE-RQ had come", cond);
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
    DUL_PDV pdv = {};
    OFCondition cond = DUL_NextPDV(&a->dcmtk->DULassociation, &pdv);
    if (cond.bad()) {
        if (!standing(a))
            return error_make(ERROR_RETRY, "the connection was closed");
        a->connection->wait_at_most(between ? a->options.idle_ms : a->options.read_ms);
        cond = DUL_ReadPDVs(&a->dcmtk->DULassociation, nullptr, DUL_BLOCK, 0);
        if (cond == DUL_PEERREQUESTEDRELEASE) {
            fragment->kind = FRAGMENT_RELEASE;
            return NO_ERROR;
        }
        if (cond != DUL_PDATAPDUARRIVED)
            return ended(a, between ? "between messages" : "in the middle of a message", cond);
        cond = DUL_NextPDV(&a->dcmtk->DULassociation, &pdv);
        if (cond.bad())
            return ended(a, "in a PDU", cond);
    }
    fragment->kind = pdv.pdvType == DUL_COMMANDPDV ? FRAGMENT_COMMAND : FRAGMENT_DATA;
    fragment->last = pdv.lastPDV;
    fragment->context = pdv.presentationContextID;
    fragment->data = static_cast<const uint8_t *>(pdv.data);
    fragment->size = pdv.fragmentLength;
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
    a->connection->wait_at_most(a->options.read_ms);
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
    a->connection->linger();
    (void)ASC_abortAssociation(a->dcmtk);
}

extern "C" uint64_t association_received(const struct association *a)
{
    return a->report.received;
}

extern "C" void association_free(struct association *a)
{
    if (!a)
        return;
    if (a->dcmtk)
        (void)ASC_destroyAssociation(&a->dcmtk);
    delete a;
}
