/* What lives here: ids/patient/ID, ids/accession/NUMBER, ids/study/UID, ids/series/UID: relative links into patients/.
 * Where several objects have the value, the name is a folder of links. Each distinct value stands once, at the object
 * of lowest id; empty values and placeholders identify nobody and are not listed.
 *
 * A new key is a row of `keys`. A node's part is the key's code times FORMS plus a form: */
#include "fs/view.h"

#include "codecs/dicom/names.h"

#include <stdlib.h>
#include <string.h>

enum form {
    FORM_KEY,    /* ids/patient; the id is PACS_ROOT */
    FORM_SHARED, /* ids/patient/ID where several match; the id is the lowest object's */
    FORM_LINK,   /* ids/patient/ID, a link */
    FORM_BELOW,  /* ids/patient/ID/..., a link in such a folder */
    FORMS = 8
};

struct key {
    uint32_t code; /* permanent, from 1 */
    const char *name;
    enum object_kind kind;
    uint32_t tag;
    enum secondary secondary; /* 0: found by UID */
};

static const struct key keys[] = {
    {1, "patient", OBJECT_PATIENT, TAG_PATIENT_ID, SECONDARY_PATIENT_ID},
    {2, "accession", OBJECT_STUDY, TAG_ACCESSION, SECONDARY_ACCESSION},
    {3, "study", OBJECT_STUDY, TAG_STUDY_UID, 0},
    {4, "series", OBJECT_SERIES, TAG_SERIES_UID, 0},
    {0},
};

static const struct key *key_of(struct node node)
{
    for (const struct key *key = keys; key->name; key++)
        if (key->code == node.part / FORMS)
            return key;
    return NULL;
}

static uint64_t inode_of(const struct key *key, enum form form, uint64_t id)
{
    return node_inode(NODE_IDS, id, key->code * FORMS + form);
}

/* ---- names and matches ------------------------------------------------------------------------------------------ */

/* The name under which an object stands; empty where it stands under none. */
static void name_of(const struct key *key, const struct object_row *row, struct buf *name)
{
    const char *value = attribute(&row->attributes, key->tag);
    if (!key->secondary)
        uid_component(value, row->id, name);
    else if (!is_placeholder(value, NULL))
        name_component(name, value, NAME_BYTES_MAX);
}

/* The id of the next object behind `after` that stands under the name of `row`. */
static struct error next_match(const struct request *request, const struct key *key, const struct object_row *row,
                               const char *name, uint64_t after, uint64_t *id)
{
    if (key->secondary)
        return pacs_next_by_key_name(request->txn, key->secondary, name, after, id);
    struct object_row match;
    const char *uid = attribute(&row->attributes, key->tag);
    TRY(key->kind == OBJECT_STUDY ? pacs_next_study_by_uid(request->txn, uid, after, &match)
                                  : pacs_next_series_by_uid(request->txn, uid, after, &match));
    *id = match.id;
    return NO_ERROR;
}

/* Of the objects under a name: the lowest id, the newest one's time, how many. */
struct matches {
    uint64_t first, count, time_ns;
};

static struct error matches_of(const struct request *request, const struct key *key, const struct object_row *row,
                               const char *name, struct matches *matches)
{
    *matches = (struct matches){0};
    struct error err;
    uint64_t id = 0;
    while ((err = next_match(request, key, row, name, id, &id)).code == ERROR_NONE) {
        struct object_row match;
        TRY(pacs_object(request->txn, id, &match));
        matches->first = matches->first ? matches->first : id;
        matches->count++;
        matches->time_ns = match.created_ns > matches->time_ns ? match.created_ns : matches->time_ns;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static struct error target_of(const struct request *request, enum form form, uint64_t id, struct buf *target)
{
    buf_text(target, form == FORM_BELOW ? "../../../patients/" : "../../patients/");
    return object_path(request, id, target);
}

static struct error link_attr(const struct request *request, const struct key *key, enum form form,
                              const struct object_row *row, struct attr *attr)
{
    struct buf target;
    buf_init(&target);
    struct error err = target_of(request, form, row->id, &target);
    *attr = (struct attr){.inode = inode_of(key, form, row->id),
                          .type = ATTR_LINK,
                          .size = target.size,
                          .time_ns = row->created_ns,
                          .links = 1};
    buf_release(&target);
    return err;
}

/* What stands under the name of `row`, the object of lowest id. */
static struct error value_attr(const struct request *request, const struct key *key, const struct object_row *row,
                               const struct matches *matches, struct attr *attr)
{
    if (matches->count == 1)
        return link_attr(request, key, FORM_LINK, row, attr);
    *attr = (struct attr){
        .inode = inode_of(key, FORM_SHARED, row->id), .type = ATTR_FOLDER, .time_ns = matches->time_ns, .links = 1};
    return NO_ERROR;
}

/* A key's folder changes when an object of its kind comes. */
static struct error key_attr(const struct request *request, const struct key *key, struct attr *attr)
{
    struct object_row newest = {0};
    struct error err = object_newest(request, key->kind, &newest);
    *attr = (struct attr){.inode = inode_of(key, FORM_KEY, PACS_ROOT),
                          .type = ATTR_FOLDER,
                          .time_ns = err.code == ERROR_NONE ? newest.created_ns : 0,
                          .links = 1};
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error root_attr(const struct request *request, struct attr *attr)
{
    struct object_row root;
    TRY(pacs_object(request->txn, PACS_ROOT, &root));
    *attr = (struct attr){.inode = view_root(VIEW_IDS), .type = ATTR_FOLDER, .time_ns = root.created_ns, .links = 1};
    return NO_ERROR;
}

struct error ids_attr(const struct request *request, struct node node, struct attr *attr)
{
    if (node.role == NODE_FOLDER)
        return root_attr(request, attr);
    const struct key *key = key_of(node);
    enum form form = (enum form)(node.part % FORMS);
    if (!key || form > FORM_BELOW)
        return no_such_name();
    if (form == FORM_KEY)
        return key_attr(request, key, attr);
    struct object_row row;
    TRY(pacs_object(request->txn, node.id, &row));
    if (row.kind != key->kind)
        return no_such_name();
    if (form != FORM_SHARED)
        return link_attr(request, key, form, &row, attr);
    struct matches matches;
    struct buf name;
    buf_init(&name);
    name_of(key, &row, &name);
    struct error err = matches_of(request, key, &row, buf_string(&name), &matches);
    buf_release(&name);
    *attr = (struct attr){
        .inode = inode_of(key, FORM_SHARED, row.id), .type = ATTR_FOLDER, .time_ns = matches.time_ns, .links = 1};
    return err;
}

struct error ids_link(const struct request *request, struct node node, struct buf *target)
{
    const struct key *key = node.role == NODE_IDS ? key_of(node) : NULL;
    enum form form = (enum form)(node.part % FORMS);
    if (!key || (form != FORM_LINK && form != FORM_BELOW))
        return no_such_name();
    return target_of(request, form, node.id, target);
}

struct error ids_parent(const struct request *request, struct node dir, uint64_t *inode)
{
    (void)request;
    const struct key *key = dir.role == NODE_IDS ? key_of(dir) : NULL;
    *inode = !key                              ? NODE_ROOT
             : dir.part % FORMS == FORM_SHARED ? inode_of(key, FORM_KEY, PACS_ROOT)
                                               : view_root(VIEW_IDS);
    return NO_ERROR;
}

/* ---- look-up ---------------------------------------------------------------------------------------------------- */

/* The object of lowest id that could stand under `name`. */
static struct error candidate(const struct request *request, const struct key *key, const char *name,
                              struct object_row *row)
{
    uint64_t id = key->secondary ? 0 : uid_component_id(name);
    if (key->secondary)
        TRY(pacs_next_by_key_name(request->txn, key->secondary, name, 0, &id));
    if (id)
        return pacs_object(request->txn, id, row);
    return key->kind == OBJECT_STUDY ? pacs_next_study_by_uid(request->txn, name, 0, row)
                                     : pacs_next_series_by_uid(request->txn, name, 0, row);
}

static struct error lookup_value(const struct request *request, const struct key *key, const char *name,
                                 struct attr *attr)
{
    struct object_row row;
    struct matches matches;
    struct buf exact;
    buf_init(&exact);
    struct error err = NO_ERROR;
    CHECK(candidate(request, key, name, &row));
    if (row.kind == key->kind)
        name_of(key, &row, &exact);
    if (!exact.size || strcmp(buf_string(&exact), name) != 0)
        CHECK(no_such_name());
    CHECK(matches_of(request, key, &row, name, &matches));
    if (matches.first != row.id)
        CHECK(no_such_name());
    CHECK(value_attr(request, key, &row, &matches, attr));
out:
    buf_release(&exact);
    return err;
}

/* In a folder of links names begin with the object's id: their folders' names may be equal. */
static void below_name(const struct object_row *row, struct buf *name)
{
    buf_printf(name, "%llu_%s", (unsigned long long)row->id, row->name);
}

static struct error lookup_below(const struct request *request, const struct key *key, uint64_t first, const char *name,
                                 struct attr *attr)
{
    struct object_row owner, row;
    struct buf value, exact;
    buf_init(&value);
    buf_init(&exact);
    struct error err = NO_ERROR;
    uint64_t id = name[0] >= '1' && name[0] <= '9' ? strtoull(name, NULL, 10) : 0, match = 0;
    if (!id || id >> PACS_ID_BITS)
        CHECK(no_such_name());
    CHECK(pacs_object(request->txn, first, &owner));
    name_of(key, &owner, &value);
    CHECK(next_match(request, key, &owner, buf_string(&value), id - 1, &match));
    CHECK(pacs_object(request->txn, match, &row));
    below_name(&row, &exact);
    if (strcmp(buf_string(&exact), name) != 0)
        CHECK(no_such_name());
    CHECK(link_attr(request, key, FORM_BELOW, &row, attr));
out:
    buf_release(&value);
    buf_release(&exact);
    return err;
}

struct error ids_lookup(const struct request *request, struct node dir, const char *name, struct attr *attr)
{
    if (dir.role == NODE_FOLDER) {
        for (const struct key *key = keys; key->name; key++)
            if (strcmp(key->name, name) == 0)
                return key_attr(request, key, attr);
        return no_such_name();
    }
    const struct key *key = key_of(dir);
    if (!key)
        return no_such_name();
    return dir.part % FORMS == FORM_KEY ? lookup_value(request, key, name, attr)
                                        : lookup_below(request, key, dir.id, name, attr);
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static struct error list_keys(const struct request *request, const struct listing *listing)
{
    for (const struct key *key = keys; key->name; key++) {
        struct attr attr;
        if (key->code <= listing->after >> COOKIE_SLOT_BITS)
            continue;
        TRY(key_attr(request, key, &attr));
        if (!listing->take(listing->context, key->name, (uint64_t)key->code << COOKIE_SLOT_BITS, &attr))
            break;
    }
    return NO_ERROR;
}

/* One object's name, if it is the first under it; `*more`: whether there was room. */
static struct error list_value(const struct request *request, const struct key *key, const struct object_row *row,
                               struct buf *name, const struct listing *listing, bool *more)
{
    struct attr attr;
    struct matches matches;
    buf_clear(name);
    name_of(key, row, name);
    if (!name->size)
        return NO_ERROR;
    TRY(matches_of(request, key, row, buf_string(name), &matches));
    if (matches.first != row->id)
        return NO_ERROR;
    TRY(value_attr(request, key, row, &matches, &attr));
    *more = listing->take(listing->context, buf_string(name), row->id << COOKIE_SLOT_BITS, &attr);
    return NO_ERROR;
}

static struct error list_values(const struct request *request, const struct key *key, const struct listing *listing)
{
    struct object_row row;
    struct buf name;
    buf_init(&name);
    struct error err = NO_ERROR;
    uint64_t after = listing->after >> COOKIE_SLOT_BITS;
    for (bool more = true; more; after = row.id) {
        CHECK(pacs_next_object(request->txn, key->kind, after, &row));
        CHECK(list_value(request, key, &row, &name, listing, &more));
    }
out:
    buf_release(&name);
    return err;
}

static struct error list_below(const struct request *request, const struct key *key, uint64_t first,
                               const struct listing *listing)
{
    struct object_row owner, row;
    struct buf value, name;
    buf_init(&value);
    buf_init(&name);
    struct error err = NO_ERROR;
    uint64_t id = listing->after >> COOKIE_SLOT_BITS;
    CHECK(pacs_object(request->txn, first, &owner));
    name_of(key, &owner, &value);
    for (bool more = true; more;) {
        struct attr attr;
        CHECK(next_match(request, key, &owner, buf_string(&value), id, &id));
        CHECK(pacs_object(request->txn, id, &row));
        CHECK(link_attr(request, key, FORM_BELOW, &row, &attr));
        buf_clear(&name);
        below_name(&row, &name);
        more = listing->take(listing->context, buf_string(&name), id << COOKIE_SLOT_BITS, &attr);
    }
out:
    buf_release(&value);
    buf_release(&name);
    return err;
}

struct error ids_list(const struct request *request, struct node dir, const struct listing *listing)
{
    if (dir.role == NODE_FOLDER)
        return list_keys(request, listing);
    const struct key *key = key_of(dir);
    if (!key)
        return no_such_name();
    struct error err =
        dir.part % FORMS == FORM_KEY ? list_values(request, key, listing) : list_below(request, key, dir.id, listing);
    if (err.code == ERROR_NOT_FOUND) /* there are no more */
        error_release(&err);
    return err;
}

struct error ids_names(const struct request *request, const struct object_row *row, ids_take take, void *context)
{
    struct buf name;
    buf_init(&name);
    struct error err = NO_ERROR;
    for (const struct key *key = keys; key->name; key++) {
        struct matches matches;
        if (key->kind != row->kind)
            continue;
        buf_clear(&name);
        name_of(key, row, &name);
        if (!name.size)
            continue;
        CHECK(matches_of(request, key, row, buf_string(&name), &matches));
        take(context, inode_of(key, FORM_KEY, PACS_ROOT), buf_string(&name),
             inode_of(key, FORM_SHARED, matches.first ? matches.first : row->id));
    }
out:
    buf_release(&name);
    return err;
}
