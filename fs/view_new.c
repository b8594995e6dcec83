/* What lives here: new/YYYY-MM-DD/HH/, links to what arrived, in order of arrival. Names begin with the time of day and
 * the edition's id, so that they sort in that order. Only editions that the tree shows at the moment of asking stand
 * here. Days and hours are those of the archive's time zone.
 * Cookies: day or hour key, or the edition's id, and slot 0. */
#include "fs/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOURS_A_DAY_KEY 100               /* YYYYMMDDHH / 100 is YYYYMMDD */
#define HOUR_KEY_MAX UINT32_C(4000000000) /* beyond any YYYYMMDDHH that 32 bits hold */

uint32_t new_hour(const struct request *request, const struct instance_row *row)
{
    struct pacs_date date = pacs_local_time(request->tree->pacs, row->time_ns);
    return (uint32_t)(((date.year * 100 + date.month) * 100 + date.day) * INT64_C(100) + date.hour);
}

/* The kind of file that a link leads to: the first that patients/ shows of the instance; NULL: none. */
static const struct file_kind *target_kind(const struct request *request, const struct instance_row *row)
{
    for (const struct file_kind *kind = file_kinds; kind->name; kind++)
        if (kind->of == OBJECT_INSTANCE && (kind->show & request->tree->show) && file_applies(kind, row))
            return kind;
    return NULL;
}

void new_name(const struct request *request, const struct instance_row *row, struct buf *name)
{
    struct pacs_date date = pacs_local_time(request->tree->pacs, row->time_ns);
    const struct file_kind *kind = target_kind(request, row);
    buf_printf(name, "%02d%02d%02d_%012llu_%s%s", date.hour, date.minute, date.second, (unsigned long long)row->id,
               row->name, kind ? kind->name : "");
}

static struct error target_of(const struct request *request, const struct instance_row *row, struct buf *target)
{
    const struct file_kind *kind = target_kind(request, row);
    buf_text(target, "../../../patients/");
    TRY(object_path(request, row->series, target));
    buf_printf(target, "/%s%s", row->name, kind ? kind->name : "");
    return buf_error(target);
}

static struct error arrival_attr(const struct request *request, const struct instance_row *row, struct attr *attr)
{
    struct buf target;
    buf_init(&target);
    struct error err = target_of(request, row, &target);
    *attr = (struct attr){.inode = node_inode(NODE_ARRIVAL, row->id, 0),
                          .type = ATTR_LINK,
                          .size = target.size,
                          .time_ns = row->time_ns,
                          .links = 1};
    buf_release(&target);
    return err;
}

/* ---- hours and days --------------------------------------------------------------------------------------------- */

/* The last hour with a key below `below`: a search by halves, as only the next one can be asked for. */
static struct error last_hour(const struct request *request, uint32_t below, struct hour_row *row)
{
    uint32_t low = 0, high = below;
    bool any = false;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        struct hour_row found;
        struct error err = pacs_next_hour(request->txn, middle - 1, &found);
        if (err.code != ERROR_NONE && err.code != ERROR_NOT_FOUND)
            return err;
        if (err.code == ERROR_NONE && found.hour < below) {
            *row = found;
            any = true;
            low = found.hour;
        } else {
            high = middle;
        }
        error_release(&err);
    }
    return any ? NO_ERROR : no_such_name();
}

static void folder(uint64_t inode, uint64_t time_ns, struct attr *attr)
{
    *attr = (struct attr){.inode = inode, .type = ATTR_FOLDER, .time_ns = time_ns, .links = 1};
}

/* A day changes with its last hour. */
static struct error day_attr(const struct request *request, uint64_t day, struct attr *attr)
{
    struct hour_row hour;
    if (day > HOUR_KEY_MAX / HOURS_A_DAY_KEY)
        return no_such_name();
    TRY(last_hour(request, (uint32_t)(day + 1) * HOURS_A_DAY_KEY, &hour));
    if (hour.hour / HOURS_A_DAY_KEY != day)
        return no_such_name();
    folder(node_inode(NODE_DAY, day, 0), hour.first_ns, attr);
    return NO_ERROR;
}

static struct error hour_attr(const struct request *request, uint64_t key, struct attr *attr)
{
    struct hour_row hour;
    if (key > HOUR_KEY_MAX)
        return no_such_name();
    TRY(pacs_hour(request->txn, (uint32_t)key, &hour));
    folder(node_inode(NODE_HOUR, key, 0), hour.last_ns, attr);
    return NO_ERROR;
}

/* The root changes with the last day: with that day's first hour. */
static struct error root_attr(const struct request *request, struct attr *attr)
{
    struct hour_row hour = {0}, first;
    struct error err = last_hour(request, HOUR_KEY_MAX, &hour);
    if (err.code == ERROR_NONE) {
        TRY(pacs_next_hour(request->txn, hour.hour / HOURS_A_DAY_KEY * HOURS_A_DAY_KEY - 1, &first));
        hour = first;
    } else if (err.code == ERROR_NOT_FOUND) {
        error_release(&err);
    }
    folder(view_root(VIEW_NEW), hour.first_ns, attr);
    return err;
}

struct error new_attr(const struct request *request, struct node node, struct attr *attr)
{
    if (node.role == NODE_FOLDER)
        return root_attr(request, attr);
    if (node.role == NODE_DAY)
        return day_attr(request, node.id, attr);
    if (node.role == NODE_HOUR)
        return hour_attr(request, node.id, attr);
    struct instance_row row;
    TRY(pacs_instance(request->txn, node.id, &row));
    return arrival_attr(request, &row, attr);
}

struct error new_link(const struct request *request, struct node node, struct buf *target)
{
    struct instance_row row;
    if (node.role != NODE_ARRIVAL)
        return no_such_name();
    TRY(pacs_instance(request->txn, node.id, &row));
    return target_of(request, &row, target);
}

struct error new_parent(const struct request *request, struct node dir, uint64_t *inode)
{
    (void)request;
    *inode = dir.role == NODE_HOUR  ? node_inode(NODE_DAY, dir.id / HOURS_A_DAY_KEY, 0)
             : dir.role == NODE_DAY ? view_root(VIEW_NEW)
                                    : NODE_ROOT;
    return NO_ERROR;
}

/* ---- look-up ---------------------------------------------------------------------------------------------------- */

static void day_name(uint32_t day, char name[16])
{
    snprintf(name, 16, "%04u-%02u-%02u", day / 10000 % 10000, day / 100 % 100, day % 100);
}

static struct error lookup_day(const struct request *request, const char *name, struct attr *attr)
{
    unsigned year, month, day;
    char exact[16];
    if (sscanf(name, "%4u-%2u-%2u", &year, &month, &day) != 3)
        return no_such_name();
    uint32_t key = (year * 100 + month) * 100 + day;
    day_name(key, exact);
    return key && strcmp(exact, name) == 0 ? day_attr(request, key, attr) : no_such_name();
}

static struct error lookup_hour(const struct request *request, uint64_t day, const char *name, struct attr *attr)
{
    unsigned hour;
    char exact[16];
    if (sscanf(name, "%2u", &hour) != 1)
        return no_such_name();
    snprintf(exact, sizeof exact, "%02u", hour);
    return strcmp(exact, name) == 0 ? hour_attr(request, day * HOURS_A_DAY_KEY + hour, attr) : no_such_name();
}

static bool stands(const struct request *request, const struct instance_row *row)
{
    return instance_shown(row, UINT64_MAX) && target_kind(request, row);
}

static struct error lookup_arrival(const struct request *request, uint64_t hour, const char *name, struct attr *attr)
{
    unsigned long long id;
    struct instance_row row;
    if (sscanf(name, "%*6[0-9]_%12llu_", &id) != 1 || id == 0 || id >> PACS_ID_BITS)
        return no_such_name();
    TRY(pacs_instance(request->txn, id, &row));
    struct buf exact;
    buf_init(&exact);
    new_name(request, &row, &exact);
    bool same = strcmp(buf_string(&exact), name) == 0;
    buf_release(&exact);
    if (!same || new_hour(request, &row) != hour || !stands(request, &row))
        return no_such_name();
    return arrival_attr(request, &row, attr);
}

struct error new_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr)
{
    return dir.role == NODE_HOUR  ? lookup_arrival(request, dir.id, name, attr)
           : dir.role == NODE_DAY ? lookup_hour(request, dir.id, name, attr)
                                  : lookup_day(request, name, attr);
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static struct error list_days(const struct request *request, const struct listing *listing)
{
    uint64_t day = listing->after >> COOKIE_SLOT_BITS;
    for (;;) {
        struct hour_row hour;
        struct attr attr;
        char name[16];
        uint64_t behind = day * HOURS_A_DAY_KEY + HOURS_A_DAY_KEY - 1;
        TRY(pacs_next_hour(request->txn, day ? (uint32_t)behind : 0, &hour));
        day = hour.hour / HOURS_A_DAY_KEY;
        TRY(day_attr(request, day, &attr));
        day_name((uint32_t)day, name);
        if (!listing->take(listing->context, name, day << COOKIE_SLOT_BITS, &attr))
            return NO_ERROR;
    }
}

static struct error list_hours(const struct request *request, uint64_t day, const struct listing *listing)
{
    uint64_t key = listing->after >> COOKIE_SLOT_BITS;
    if (!key)
        key = day * HOURS_A_DAY_KEY - 1;
    for (;;) {
        struct hour_row hour;
        struct attr attr;
        char name[16];
        TRY(pacs_next_hour(request->txn, (uint32_t)key, &hour));
        if (hour.hour / HOURS_A_DAY_KEY != day)
            return NO_ERROR;
        key = hour.hour;
        folder(node_inode(NODE_HOUR, key, 0), hour.last_ns, &attr);
        snprintf(name, sizeof name, "%02u", (unsigned)(key % HOURS_A_DAY_KEY));
        if (!listing->take(listing->context, name, key << COOKIE_SLOT_BITS, &attr))
            return NO_ERROR;
    }
}

static struct error list_arrivals(const struct request *request, uint64_t key, const struct listing *listing)
{
    struct hour_row hour;
    struct instance_row row;
    struct buf name;
    buf_init(&name);
    struct error err = NO_ERROR;
    uint64_t after = listing->after >> COOKIE_SLOT_BITS;
    CHECK(pacs_hour(request->txn, (uint32_t)key, &hour));
    if (!after)
        after = hour.first - 1;
    for (bool more = true; more;) {
        struct attr attr;
        CHECK(pacs_next_arrival(request->txn, after, &row));
        after = row.id;
        if (row.id > hour.last)
            break;
        if (!stands(request, &row) || new_hour(request, &row) != key)
            continue; /* the hour that a clock goes back through holds others' arrivals, too */
        CHECK(arrival_attr(request, &row, &attr));
        buf_clear(&name);
        new_name(request, &row, &name);
        more = listing->take(listing->context, buf_string(&name), row.id << COOKIE_SLOT_BITS, &attr);
    }
out:
    buf_release(&name);
    return err;
}

struct error new_list(const struct request *request, struct node dir, const struct listing *listing)
{
    struct error err = dir.role == NODE_HOUR  ? list_arrivals(request, dir.id, listing)
                       : dir.role == NODE_DAY ? list_hours(request, dir.id, listing)
                                              : list_days(request, listing);
    if (err.code == ERROR_NOT_FOUND) /* there are no more */
        error_release(&err);
    return err;
}
