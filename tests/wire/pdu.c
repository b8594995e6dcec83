/* Checks of association requests and PDVs: what is let through, what is not, and that no bytes lead them astray.
 * Usage: wire_pdu [SEED [ROUNDS]] */
#include "net/pdu.h"

#include "check.h"

#include <stdbool.h>
#include <stdlib.h>

static uint8_t request[4096];
static size_t request_size;

static void put(const void *bytes, size_t size)
{
    memcpy(request + request_size, bytes, size);
    request_size += size;
}

/* Where its length stands, for close_item(). */
static size_t open_item(uint8_t type)
{
    const uint8_t head[4] = {type, 0, 0, 0};
    put(head, sizeof head);
    return request_size - 2;
}

static void close_item(size_t at)
{
    size_t size = request_size - at - 2;
    request[at] = (uint8_t)(size >> 8);
    request[at + 1] = (uint8_t)size;
}

static void text_item(uint8_t type, const char *text)
{
    size_t at = open_item(type);
    put(text, strlen(text));
    close_item(at);
}

static void begin(void)
{
    const uint8_t fixed[74] = {1, 0, 0, 0, 0, 0, 0, 1};
    request_size = 0;
    put(fixed, sizeof fixed);
    text_item(0x10, "1.2.840.10008.3.1.1.1");
}

static void context(uint8_t id, unsigned abstract_syntaxes, unsigned transfer_syntaxes)
{
    const uint8_t head[4] = {id};
    size_t at = open_item(0x20);
    put(head, sizeof head);
    for (unsigned i = 0; i < abstract_syntaxes; i++)
        text_item(0x30, "1.2.840.10008.1.1");
    for (unsigned i = 0; i < transfer_syntaxes; i++)
        text_item(0x40, "1.2.840.10008.1.2");
    close_item(at);
}

static void end(void)
{
    const uint8_t maximum[4] = {0, 0, 64, 0}, identity[] = {1, 0, 0xFF, 0xFF}, role[] = {0, 3, '1', '.', '2', 1, 1};
    size_t user = open_item(0x50), at = open_item(0x51);
    put(maximum, sizeof maximum);
    close_item(at);
    text_item(0x52, "1.2.3.4");
    at = open_item(0x54);
    put(role, sizeof role);
    close_item(at);
    text_item(0x55, "TEST_1");
    at = open_item(0x58);
    put(identity, sizeof identity);
    close_item(at);
    close_item(user);
    for (unsigned i = 0; i < 4; i++)
        request[2 + i] = (uint8_t)((request_size - PDU_HEAD) >> (24 - 8 * i));
}

static enum error_code verdict(void)
{
    struct error err = pdu_check_request(request, request_size);
    enum error_code code = err.code;
    error_release(&err);
    return code;
}

static unsigned count(const uint8_t *bytes, size_t size, uint8_t type, size_t skip)
{
    unsigned found = 0;
    for (size_t at = skip; at + 4 <= size; at += 4 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]))
        found += bytes[at] == type;
    return found;
}

static void request_usual_one_passes_unchanged(void)
{
    uint8_t before[sizeof request];
    begin();
    context(1, 1, 3);
    context(3, 1, 1);
    end();
    memcpy(before, request, sizeof before);
    EXPECT(verdict() == ERROR_NONE);
    unsigned changed = 0;
    for (size_t i = 0; i < request_size; i++)
        changed += request[i] != before[i];
    EXPECT(changed == 1); /* the type of the user identity */
}

static void request_contexts_without_syntaxes_are_refused(void)
{
    const unsigned wrong[][2] = {{0, 1}, {1, 0}, {2, 1}, {0, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        begin();
        context(1, wrong[i][0], wrong[i][1]);
        end();
        EXPECT(verdict() == ERROR_MALFORMED);
    }
}

static void request_surplus_is_skipped(void)
{
    begin();
    size_t at = request_size;
    context(1, 1, 100);
    size_t size = request_size - at;
    context(1, 0, 0); /* the number again: never looked at */
    end();
    EXPECT(verdict() == ERROR_NONE);
    EXPECT(count(request + at, size, 0x40, 8) == PDU_SYNTAXES_MAX);
    EXPECT(count(request, request_size, 0x20, 74) == 1);
}

static void request_number_of_contexts_is_bounded(void)
{
    begin();
    for (unsigned i = 0; i < 40; i++)
        context((uint8_t)i, 1, 1);
    end();
    EXPECT(verdict() == ERROR_NONE);
    static uint8_t many[1 << 16];
    size_t size = 74;
    memcpy(many, request, size);
    for (unsigned i = 0; i < 129; i++) {
        const uint8_t one[] = {0x20, 0, 0, 14, (uint8_t)i, 0, 0, 0, 0x30, 0, 0, 1, '1', 0x40, 0, 0, 1, '1'};
        memcpy(many + size, one, sizeof one);
        size += sizeof one;
        many[4] = (uint8_t)((size - PDU_HEAD) >> 8);
        many[5] = (uint8_t)(size - PDU_HEAD);
        EXPECT_ERROR(pdu_check_request(many, size), i < 128 ? ERROR_NONE : ERROR_MALFORMED);
    }
}

static void request_each_cut_is_refused_or_whole(void)
{
    uint8_t whole[sizeof request];
    begin();
    context(1, 1, 2);
    end();
    size_t all = request_size;
    memcpy(whole, request, sizeof whole);
    for (size_t size = 0; size < all; size++) {
        uint8_t *cut = malloc(size ? size : 1); /* of its own size, for the sanitizer */
        memcpy(cut, whole, size);
        for (unsigned i = 0; i < 4 && size > PDU_HEAD; i++)
            cut[2 + i] = (uint8_t)((size - PDU_HEAD) >> (24 - 8 * i));
        struct error err = pdu_check_request(cut, size);
        bool between_items = size == 74 || (size >= 74 && count(whole, size, 0xEE, 74) == 0 && err.code == ERROR_NONE);
        EXPECT(err.code == ERROR_MALFORMED || between_items);
        error_release(&err);
        free(cut);
    }
}

/* What passes must be such that DCMTK takes it; here: that a second look finds nothing to change or to refuse. */
static void request_changed_bytes_lead_nowhere(unsigned seed, unsigned rounds)
{
    unsigned passed = 0;
    srandom(seed);
    for (unsigned round = 0; round < rounds; round++) {
        begin();
        for (unsigned i = 0, n = (unsigned)random() % 4; i < n; i++)
            context((uint8_t)(2 * i + 1), 1, 1 + (unsigned)random() % 3);
        end();
        for (unsigned i = 0, n = 1 + (unsigned)random() % 3; i < n; i++)
            request[74 + (size_t)random() % (request_size - 74)] = (uint8_t)random();
        uint8_t *bytes = malloc(request_size);
        memcpy(bytes, request, request_size);
        struct error err = pdu_check_request(bytes, request_size);
        if (err.code == ERROR_NONE) {
            passed++;
            memcpy(request, bytes, request_size);
            EXPECT_OK(pdu_check_request(bytes, request_size));
            EXPECT(memcmp(request, bytes, request_size) == 0);
        }
        error_release(&err);
        free(bytes);
    }
    EXPECT(passed > rounds / 10 && passed < rounds);
}

static void pdvs_are_told_apart_within_their_pdu(void)
{
    const uint8_t pdu[] = {0, 0, 0, 3, 1, 3, 'a', 0, 0, 0, 2, 3, 0, 0, 0, 0, 4, 5, 2, 'b', 'c'};
    const uint8_t *at = pdu;
    size_t left = sizeof pdu;
    struct pdv pdv;
    EXPECT_OK(pdu_next_pdv(&at, &left, &pdv));
    EXPECT(pdv.context == 1 && pdv.command && pdv.last && pdv.size == 1 && *pdv.data == 'a');
    EXPECT_OK(pdu_next_pdv(&at, &left, &pdv));
    EXPECT(pdv.context == 3 && !pdv.command && !pdv.last && pdv.size == 0);
    EXPECT_OK(pdu_next_pdv(&at, &left, &pdv));
    EXPECT(pdv.context == 5 && pdv.last && pdv.size == 2 && memcmp(pdv.data, "bc", 2) == 0 && left == 0);
    EXPECT_ERROR(pdu_next_pdv(&at, &left, &pdv), ERROR_MALFORMED);
    for (uint32_t length = 0; length < 20; length++) {
        const uint8_t wrong[] = {(uint8_t)(length > 15 ? 0xFF : 0), 0, 0, (uint8_t)length, 1, 0, 'x', 'x'};
        at = wrong;
        left = sizeof wrong;
        EXPECT_ERROR(pdu_next_pdv(&at, &left, &pdv), length >= 2 && length <= 4 ? ERROR_NONE : ERROR_MALFORMED);
    }
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
    printf("seed %u; again: wire_pdu %u %u\n", seed, seed, rounds);
    RUN(request_usual_one_passes_unchanged);
    RUN(request_contexts_without_syntaxes_are_refused);
    RUN(request_surplus_is_skipped);
    RUN(request_number_of_contexts_is_bounded);
    RUN(request_each_cut_is_refused_or_whole);
    request_changed_bytes_lead_nowhere(seed, rounds);
    RUN(pdvs_are_told_apart_within_their_pdu);
    return check_done();
}
