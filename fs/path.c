/* What lives here: what several views need to walk objects and to name them. */
#include "fs/view.h"

#include <stdlib.h>
#include <string.h>

#define PATH_DEPTH_MAX 8 /* root, folder, patient, study, series, and room for more levels above patients */

struct error no_such_name(void)
{
    return error_make(ERROR_NOT_FOUND, "no such name");
}

struct error object_path(const struct request *request, uint64_t id, struct buf *path)
{
    const char *names[PATH_DEPTH_MAX];
    size_t depth = 0;
    while (id != PACS_ROOT) {
        struct object_row row;
        TRY(pacs_object(request->txn, id, &row));
        if (depth == PATH_DEPTH_MAX)
            return error_make(ERROR_BROKEN, "object %llu lies deeper than objects do", (unsigned long long)id);
        names[depth++] = row.name;
        id = row.parent;
    }
    while (depth) {
        buf_text(path, names[--depth]);
        if (depth)
            buf_byte(path, '/');
    }
    return buf_error(path);
}

struct error object_above(const struct request *request, enum object_kind kind, struct object_row *row)
{
    while (row->kind != kind) {
        if (row->id == PACS_ROOT || row->kind < kind)
            return no_such_name();
        TRY(pacs_object(request->txn, row->parent, row));
    }
    return NO_ERROR;
}

struct error object_newest(const struct request *request, enum object_kind kind, struct object_row *row)
{
    uint64_t low = 0, high = UINT64_C(1) << PACS_ID_BITS; /* the newest id lies in (low, high) */
    struct object_row found;
    bool any = false;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        struct error err = pacs_next_object(request->txn, kind, middle - 1, &found);
        if (err.code == ERROR_NONE) {
            *row = found;
            any = true;
            low = found.id;
        } else if (err.code == ERROR_NOT_FOUND) {
            error_release(&err);
            high = middle;
        } else {
            return err;
        }
    }
    return any ? NO_ERROR : no_such_name();
}

void uid_component(const char *uid, uint64_t id, struct buf *name)
{
    if (uid_is_plain(uid))
        buf_text(name, uid);
    else
        buf_printf(name, "~%llu", (unsigned long long)id);
}

uint64_t uid_component_id(const char *name)
{
    char *end;
    if (name[0] != '~' || name[1] < '1' || name[1] > '9')
        return 0;
    unsigned long long id = strtoull(name + 1, &end, 10);
    return *end || id >> PACS_ID_BITS ? 0 : id;
}
