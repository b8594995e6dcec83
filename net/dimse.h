/* Layer: net. DIMSE messages (PS3.7 6.3) over an association: command sets in, data sets in, answers out.
 *
 * Command sets are implicit little endian whatever the context (PS3.7 6.3.1); only the fields that services need are
 * taken, the others are passed over. A failure ends the association: the text says what was wrong.
 */
#ifndef NET_DIMSE_H
#define NET_DIMSE_H

#include "net/association.h"

#define DIMSE_COMMAND_MAX 65536 /* bytes of a command set, and one more for each fragment */

/* Command Field (0000,0100) (PS3.7 E.1). */
enum dimse_command {
    C_STORE_RQ = 0x0001,
    C_GET_RQ = 0x0010,
    C_FIND_RQ = 0x0020,
    C_MOVE_RQ = 0x0021,
    C_ECHO_RQ = 0x0030,
    C_CANCEL_RQ = 0x0FFF,
    DIMSE_RESPONSE = 0x8000, /* set in every response */
};

/* Status (0000,0900) (PS3.7 C, PS3.4 B.2.3). */
enum dimse_status {
    DIMSE_SUCCESS = 0x0000,
    DIMSE_UNRECOGNIZED_OPERATION = 0x0211,
    DIMSE_STORED_WITH_REMARK = 0xB000,
};

struct command {
    uint8_t context;
    uint16_t field;
    uint16_t message_id;
    bool has_data_set;
    char sop_class[65], sop_instance[65]; /* affected, or requested where a command has that */
};

/* The next command. `*released`: the peer asks to release instead. */
struct error dimse_read_command(struct association *association, struct command *command, bool *released);
/* The data set of `command`, as it comes. ERROR_REFUSED beyond `max_bytes` on the wire, so that none goes on for ever:
 * an answer cannot stop a sender in the middle of one. */
struct error dimse_read_data_set(struct association *association, const struct command *command, uint64_t max_bytes,
                                 void (*take)(void *context, const void *bytes, size_t size), void *context);
/* The response without a data set. `comment` becomes Error Comment (0000,0902), cut to 64 characters; may be NULL. */
struct error dimse_answer(struct association *association, const struct command *request, uint16_t status,
                          const char *comment);

#endif
