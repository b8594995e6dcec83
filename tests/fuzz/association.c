/* Any bytes as what a peer sends over its connection: A-ASSOCIATE-RQ, PDUs, command sets, data sets, in the daemon's own
 * session over DCMTK's upper layer, into an archive. The first byte is even: the bytes as they are. Odd: PDUs are put
 * together from them, so that lengths are right and what is inside is reached: after a healthy request each stretch of
 * input is one PDV (context, control header, length, bytes). Held: the session ends, what it answers are whole PDUs, and
 * the next one is served. */
#include "codecs/base/log.h"
#include "codecs/dicom/dataset.h"
#include "index/index.h"
#include "net/session.h"
#include "tests/fuzz/require.h"
#include "tests/unit/scratch.h"

#include <pthread.h>
#include <sys/socket.h>

#define RUNS_AN_ARCHIVE 2000
#define SENT_MAX (128 << 10) /* what a socket pair holds: nobody writes while the session reads */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pacs *pacs;
static struct config *config;
static struct peer_log *peers_log;
static int stop[2];
static unsigned runs;

static void stop_all(void)
{
    pacs_close(pacs);
    config_put(config);
    peer_log_free(peers_log);
    association_network_stop();
    scratch_remove();
}

static void make_archive(void)
{
    struct archive_conf conf = {.timezone = (char *)"UTC"};
    struct pacs_options options = pacs_options_default();
    pacs_close(pacs);
    pacs = NULL;
    scratch_make();
    REQUIRE_OK(pacs_init(scratch_path("archive"), &conf));
    options.mode = PACS_WRITE;
    options.cache_bytes = 1 << 20;
    options.reserve_bytes = 0;
    options.quarantine_bytes = 1 << 20;
    REQUIRE_OK(pacs_open(&pacs, scratch_path("archive"), &options));
}

static void start(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    REQUIRE_OK(config_read(&config, NULL));
    REQUIRE_OK(peer_log_new(&peers_log));
    REQUIRE_OK(association_network_start(false));
    REQUIRE(pipe(stop) == 0);
    atexit(stop_all);
}

/* ---- a healthy request ------------------------------------------------------------------------------------------- */

static void item(struct buf *out, uint8_t type, const void *bytes, size_t size)
{
    uint8_t head[4] = {type, 0, (uint8_t)(size >> 8), (uint8_t)size};
    buf_append(out, head, sizeof head);
    buf_append(out, bytes, size);
}

static void context_item(struct buf *out, uint8_t id, const char *abstract_syntax)
{
    struct buf inner;
    buf_init(&inner);
    buf_append(&inner, (const uint8_t[]){id, 0, 0, 0}, 4);
    item(&inner, 0x30, abstract_syntax, strlen(abstract_syntax));
    item(&inner, 0x40, "1.2.840.10008.1.2.1", 19);
    item(out, 0x20, inner.data, inner.size);
    buf_release(&inner);
}

static void pdu(struct buf *out, uint8_t type, const struct buf *body)
{
    uint8_t head[6] = {type};
    put_u32be(head + 2, (uint32_t)body->size);
    buf_append(out, head, sizeof head);
    buf_append(out, body->data, body->size);
}

static void request(struct buf *out)
{
    struct buf body;
    buf_init(&body);
    buf_append(&body, "\0\1\0\0PACSFS          FUZZ            ", 36);
    buf_append(&body, (const uint8_t[32]){0}, 32);
    item(&body, 0x10, "1.2.840.10008.3.1.1.1", 21);
    context_item(&body, 1, "1.2.840.10008.5.1.4.1.1.2");
    context_item(&body, 3, "1.2.840.10008.1.1");
    item(&body, 0x50, "\x51\0\0\4\0\0\x40\0", 8);
    pdu(out, 1, &body);
    buf_release(&body);
}

/* Each: context, control header, two bytes of length, the bytes; 255 for context: they are one PDU of the type that the
 * control header gives. */
static void put_together(struct buf *out, const uint8_t *data, size_t size)
{
    request(out);
    while (size >= 4) {
        size_t length = get_u16(data + 2);
        struct buf body;
        buf_init(&body);
        length = length > size - 4 ? size - 4 : length;
        if (data[0] != 255) {
            uint8_t head[6] = {[4] = data[0], [5] = data[1]};
            put_u32be(head, (uint32_t)length + 2);
            buf_append(&body, head, sizeof head);
        }
        buf_append(&body, data + 4, length);
        pdu(out, data[0] != 255 ? 4 : data[1], &body);
        buf_release(&body);
        data += 4 + length;
        size -= 4 + length;
    }
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

static void *drain(void *context)
{
    const int *fd = context;
    uint8_t bytes[4096];
    struct buf *answer = calloc(1, sizeof *answer);
    REQUIRE(answer);
    for (ssize_t n; (n = read(*fd, bytes, sizeof bytes)) > 0;)
        buf_append(answer, bytes, (size_t)n);
    return answer;
}

static void check_answer(struct buf *answer)
{
    for (size_t at = 0; at < answer->size;) {
        REQUIRE(answer->size - at >= 6);
        uint32_t length = get_u32be(answer->data + at + 2);
        REQUIRE(answer->data[at] >= 2 && answer->data[at] <= 7 && length <= answer->size - at - 6);
        at += 6 + length;
    }
    buf_release(answer);
    free(answer);
}

static const struct rejection *admit(void *context, const struct peer *peer, char detail[SESSION_DETAIL_MAX])
{
    (void)context;
    (void)peer;
    (void)detail;
    return NULL;
}

static void run(const struct buf *sent, struct service_counters *counters)
{
    static const struct sockaddr_in address = {.sin_family = AF_INET};
    int ends[2], room = SENT_MAX * 4;
    pthread_t reader;
    void *answer;
    size_t size = sent->size < SENT_MAX ? sent->size : SENT_MAX;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    REQUIRE(send(ends[1], sent->data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
    REQUIRE(shutdown(ends[1], SHUT_WR) == 0);
    REQUIRE(pthread_create(&reader, NULL, drain, &ends[1]) == 0);
    struct caller caller = {.fd = ends[0],
                            .stop_fd = stop[0],
                            .number = runs,
                            .socket_address = (const struct sockaddr *)&address,
                            .address = "192.0.2.1",
                            .pacs = pacs,
                            .config = config,
                            .counters = counters,
                            .log = peers_log,
                            .admit = admit};
    session_run(&caller);
    close(ends[0]);
    REQUIRE(pthread_join(reader, &answer) == 0);
    close(ends[1]);
    check_answer(answer);
}

static void echo(void)
{
    static const uint8_t echo_rq[] = {3,    3,   52,  0,   0,   0,   2,   0,   18,  0,   0,    0,   '1', '.',
                                      '2',  '.', '8', '4', '0', '.', '1', '0', '0', '0', '8',  '.', '1', '.',
                                      '1',  0,   0,   0,   0,   1,   2,   0,   0,   0,   0x30, 0,   0,   0,
                                      0x10, 1,   2,   0,   0,   0,   1,   0,   0,   0,   0,    8};
    struct buf sent;
    struct service_counters counters = {0};
    buf_init(&sent);
    put_together(&sent, echo_rq, sizeof echo_rq);
    run(&sent, &counters);
    REQUIRE(counters.associations == 1);
    buf_release(&sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct service_counters counters = {0};
    struct buf sent;
    if (!size)
        return 0;
    if (!runs)
        start();
    if (runs++ % RUNS_AN_ARCHIVE == 0)
        make_archive();
    buf_init(&sent);
    if (data[0] & 1)
        put_together(&sent, data + 1, size - 1);
    else
        buf_append(&sent, data + 1, size - 1);
    run(&sent, &counters);
    if (runs % 64 == 0)
        echo();
    buf_release(&sent);
    return 0;
}
