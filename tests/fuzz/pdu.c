/* Any bytes as an A-ASSOCIATE-RQ (the first byte is even) or as the body of a P-DATA-TF (odd). Held: a request that is
 * taken keeps its length and is taken again after what was changed in it; PDVs lie within the body, in order. */
#include "net/pdu.h"
#include "tests/fuzz/require.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_request(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    REQUIRE(bytes);
    memcpy(bytes, data, size);
    struct error err = pdu_check_request(bytes, size);
    REQUIRE(!err.code || err.code == ERROR_MALFORMED);
    if (!err.code)
        REQUIRE_OK(pdu_check_request(bytes, size));
    error_release(&err);
    free(bytes);
}

static void read_pdvs(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    for (size_t left = size; left > 0;) {
        const uint8_t *before = at;
        struct pdv pdv;
        struct error err = pdu_next_pdv(&at, &left, &pdv);
        REQUIRE(!err.code || err.code == ERROR_MALFORMED);
        if (err.code) {
            error_release(&err);
            break;
        }
        REQUIRE(at > before && at <= end && left == (size_t)(end - at));
        REQUIRE(pdv.data >= before + PDV_HEAD && pdv.size <= (size_t)(at - pdv.data));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + PDU_HEAD)
        return 0;
    if (data[0] & 1)
        read_pdvs(data + 1, size - 1);
    else
        read_request(data + 1, size - 1);
    return 0;
}
