/* Layer: net. What is looked at in PDUs (PS3.8 9.3) before and beside DCMTK: bytes in, verdicts out, no sockets.
 *
 * DCMTK 3.6.7 leaks what it had parsed of an A-ASSOCIATE-RQ that turns out to be wrong (up to 20 times its length), and
 * it loses its way in a P-DATA-TF of three or more PDVs of different lengths, reading lengths from the middle of data
 * and data from beyond its buffer. So it sees only requests that it will take, and PDVs are told apart here.
 * Any thread.
 */
#ifndef NET_PDU_H
#define NET_PDU_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PDV_HEAD 6                  /* length, number of the context, message control header (PS3.8 9.3.5.1) */
#define PDU_HEAD 6                  /* type, reserved, length of what follows (PS3.8 9.3.1) */
#define PDU_REQUEST_MAX (256 << 10) /* bytes of an A-ASSOCIATE-RQ; 128 contexts of 64 usual syntaxes are 220 KiB */
#define PDU_CONTEXTS_MAX 128        /* odd numbers from 1 to 255 (PS3.8 9.3.2.2) */
#define PDU_SYNTAXES_MAX 64         /* transfer syntaxes of one context that are looked at; there are 50 */

/* The length that a head gives. */
uint32_t pdu_length(const uint8_t head[PDU_HEAD]);

/* A whole A-ASSOCIATE-RQ, its head included. Success: each item lies in what holds it, every context has a number of
 * its own and a transfer syntax, and UIDs have at most 64 characters. Items that are not made use of (extended
 * negotiation, user identity, syntaxes beyond PDU_SYNTAXES_MAX) are given a type that is skipped.
 * ERROR_MALFORMED says which item is wrong. */
struct error pdu_check_request(uint8_t *bytes, size_t size);

struct pdv {
    uint8_t context;
    bool command, last;
    const uint8_t *data;
    size_t size;
};
/* The next PDV of a P-DATA-TF whose `*left` bytes at `*at` are still to be told apart; both move on. */
struct error pdu_next_pdv(const uint8_t **at, size_t *left, struct pdv *pdv);

#ifdef __cplusplus
}
#endif
#endif
