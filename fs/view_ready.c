/* What lives here: when something settles. A series has settled when its last arrival lies the archive's quiet time
 * back; new images unsettle it. A folder's time in ready/ is the newest moment at which a series below settled; a
 * folder without such a moment is not there. What did not change lately has settled altogether, so that only folders
 * with recent arrivals are looked into. */
#include "fs/view.h"

static struct error newest_below(const struct request *request, const struct object_row *row, uint64_t *time_ns)
{
    struct object_row child;
    struct error err;
    uint64_t number = 0;
    while ((err = pacs_next_child(request->txn, row->id, number, &child)).code == ERROR_NONE) {
        uint64_t settled;
        number = child.number;
        TRY(ready_settled(request, &child, &settled));
        if (settled > *time_ns)
            *time_ns = settled;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

struct error ready_settled(const struct request *request, const struct object_row *row, uint64_t *time_ns)
{
    uint64_t moment = row->changed_ns + request->tree->quiet_ns;
    *time_ns = 0;
    if (!row->newest)
        return NO_ERROR;
    if (moment <= request->now_ns) {
        *time_ns = moment;
        return NO_ERROR;
    }
    return row->kind == OBJECT_SERIES ? NO_ERROR : newest_below(request, row, time_ns);
}
