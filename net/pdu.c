/* What lives here: the walk over the items of an A-ASSOCIATE-RQ, and PDVs. What does not: what is accepted
 * (service.c), reading from sockets (transport.c).
 *
 * Items hold sub-items. Tables, one for each of what can hold some, have a row for each type that is looked at.
 */
#include "net/pdu.h"

#include <stdbool.h>

#define FIXED 74       /* bytes of an A-ASSOCIATE-RQ before its items: head, version, titles, reserved */
#define ITEM_HEAD 4    /* type, reserved, length */
#define CONTEXT_HEAD 4 /* number, three reserved */
#define UID_MAX 64     /* characters (PS3.5 9.1) */
#define UNUSED 0xFF    /* a type that PS3.8 does not give and DCMTK skips by its length */

enum item_type {
    APPLICATION_CONTEXT = 0x10,
    PRESENTATION_CONTEXT = 0x20,
    PRESENTATION_CONTEXT_ANSWER = 0x21,
    ABSTRACT_SYNTAX = 0x30,
    TRANSFER_SYNTAX = 0x40,
    USER_INFORMATION = 0x50,
    MAXIMUM_LENGTH = 0x51,
    IMPLEMENTATION_CLASS = 0x52,
    ROLE_SELECTION = 0x54,
    IMPLEMENTATION_VERSION = 0x55,
    EXTENDED_NEGOTIATION = 0x56,
    USER_IDENTITY = 0x58,
    USER_IDENTITY_ANSWER = 0x59,
};

struct item {
    uint8_t *bytes; /* its type is the first */
    uint8_t *value;
    size_t size; /* of the value */
};

/* What was seen of the request so far. */
struct request {
    bool context_seen[256]; /* by number */
    unsigned contexts, roles;
    unsigned abstract_syntaxes, transfer_syntaxes; /* of the context at hand */
};

/* What the value of a type must be like, where it stands. */
struct item_row {
    uint8_t type;
    struct error (*check)(const struct item *item, struct request *request);
};

static size_t word(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 8 | bytes[1];
}

uint32_t pdu_length(const uint8_t head[PDU_HEAD])
{
    return (uint32_t)head[2] << 24 | (uint32_t)head[3] << 16 | (uint32_t)head[4] << 8 | head[5];
}

static struct error malformed(const struct item *item, const char *what)
{
    return error_make(ERROR_MALFORMED, "item %02XH of %zu bytes %s", item->bytes[0], item->size, what);
}

/* `rows` ends with a row without a check; other types are skipped, here as by DCMTK. */
static struct error check_items(uint8_t *bytes, size_t size, const struct item_row *rows, struct request *request)
{
    while (size > 0) {
        struct item item = {bytes, bytes + ITEM_HEAD, 0};
        if (size < ITEM_HEAD)
            return error_make(ERROR_MALFORMED, "%zu bytes where an item should begin", size);
        item.size = word(bytes + 2);
        if (item.size > size - ITEM_HEAD)
            return malformed(&item, "is longer than what holds it");
        bytes += ITEM_HEAD + item.size;
        size -= ITEM_HEAD + item.size;
        const struct item_row *row = rows;
        while (row->check && row->type != *item.bytes)
            row++;
        if (row->check)
            TRY(row->check(&item, request));
    }
    return NO_ERROR;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static struct error check_text(const struct item *item, struct request *request)
{
    (void)request;
    return item->size <= UID_MAX ? NO_ERROR : malformed(item, "is longer than a UID may be");
}

static struct error check_abstract_syntax(const struct item *item, struct request *request)
{
    request->abstract_syntaxes++;
    return check_text(item, request);
}

/* One that is empty, for DCMTK also one that begins with a NUL, is none: it fails to answer with it, and leaks. */
static struct error check_transfer_syntax(const struct item *item, struct request *request)
{
    bool empty = item->size == 0 || item->value[0] == 0;
    if (empty || ++request->transfer_syntaxes > PDU_SYNTAXES_MAX)
        *item->bytes = UNUSED;
    return check_text(item, request);
}

static struct error check_context(const struct item *item, struct request *request)
{
    static const struct item_row rows[] = {
        {ABSTRACT_SYNTAX, check_abstract_syntax},
        {TRANSFER_SYNTAX, check_transfer_syntax},
        {0, NULL},
    };
    if (item->size < CONTEXT_HEAD)
        return malformed(item, "is too short for a presentation context");
    if (request->context_seen[*item->value]) {
        *item->bytes = UNUSED; /* the first of a number counts */
        return NO_ERROR;
    }
    request->context_seen[*item->value] = true;
    if (++request->contexts > PDU_CONTEXTS_MAX)
        return malformed(item, "is one presentation context too many");
    request->abstract_syntaxes = request->transfer_syntaxes = 0;
    TRY(check_items(item->value + CONTEXT_HEAD, item->size - CONTEXT_HEAD, rows, request));
    if (request->abstract_syntaxes != 1 || request->transfer_syntaxes == 0)
        return malformed(item, "has not one abstract syntax and at least one transfer syntax");
    return NO_ERROR;
}

static struct error refuse(const struct item *item, struct request *request)
{
    (void)request;
    return malformed(item, "belongs into an answer");
}

static struct error check_maximum_length(const struct item *item, struct request *request)
{
    (void)request;
    return item->size == 4 ? NO_ERROR : malformed(item, "is no maximum length");
}

static struct error check_role(const struct item *item, struct request *request)
{
    if (item->size < 4 || word(item->value) > item->size - 4 || word(item->value) > UID_MAX)
        return malformed(item, "is no role selection");
    if (++request->roles > PDU_CONTEXTS_MAX)
        *item->bytes = UNUSED;
    return NO_ERROR;
}

static struct error pass_over(const struct item *item, struct request *request)
{
    (void)request;
    *item->bytes = UNUSED;
    return NO_ERROR;
}

static struct error check_user_information(const struct item *item, struct request *request)
{
    static const struct item_row rows[] = {
        {MAXIMUM_LENGTH, check_maximum_length}, {IMPLEMENTATION_CLASS, check_text},
        {ROLE_SELECTION, check_role},           {IMPLEMENTATION_VERSION, check_text},
        {EXTENDED_NEGOTIATION, pass_over},      {USER_IDENTITY, pass_over},
        {USER_IDENTITY_ANSWER, pass_over},      {0, NULL},
    };
    return check_items(item->value, item->size, rows, request);
}

struct error pdu_check_request(uint8_t *bytes, size_t size)
{
    static const struct item_row rows[] = {
        {APPLICATION_CONTEXT, check_text},
        {PRESENTATION_CONTEXT, check_context},
        {PRESENTATION_CONTEXT_ANSWER, refuse},
        {USER_INFORMATION, check_user_information},
        {0, NULL},
    };
    struct request request = {.contexts = 0};
    if (size < FIXED || pdu_length(bytes) != size - PDU_HEAD)
        return error_make(ERROR_MALFORMED, "%zu bytes are no association request", size);
    return check_items(bytes + FIXED, size - FIXED, rows, &request);
}

/* ---- P-DATA-TF --------------------------------------------------------------------------------------------------- */

struct error pdu_next_pdv(const uint8_t **at, size_t *left, struct pdv *pdv)
{
    const uint8_t *bytes = *at;
    if (*left < PDV_HEAD)
        return error_make(ERROR_MALFORMED, "%zu bytes where a PDV should begin", *left);
    size_t length = word(bytes) << 16 | word(bytes + 2);
    if (length < 2 || length > *left - 4)
        return error_make(ERROR_MALFORMED, "a PDV of %zu bytes where %zu are left", length, *left - 4);
    *pdv = (struct pdv){bytes[4], bytes[5] & 1, bytes[5] & 2, bytes + PDV_HEAD, length - 2};
    *at += 4 + length;
    *left -= 4 + length;
    return NO_ERROR;
}
