/* What lives here: where a search begins and how it descends. What does not: reading headers, filling hits (find.c).
 *
 * Sources are a table in order of how few candidates they leave. What a source yields is only a candidate: all keys are
 * checked on it, so a source may yield too much, never too little. Two cursors make the walk: the source's own, and a
 * number a level (`after`). depth == -1 asks the source; else the next child of ids[depth] is looked at; when there is
 * none the walk goes up, and above the level of its source back to the source.
 */
#include "index/query/walk.h"

#include "codecs/dicom/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk_source {
    uint32_t tag;
    enum query_level level;
    bool (*usable)(const struct match *match);
    struct error (*next)(struct walk *walk, struct pacs_txn *txn, uint64_t *id);
    enum secondary secondary;
};

/* ---- sources ----------------------------------------------------------------------------------------------------- */

static bool is_list(const struct match *match)
{
    return match_kind(match) == MATCH_UID_LIST;
}

static bool is_single(const struct match *match)
{
    return match_kind(match) == MATCH_SINGLE;
}

static bool is_moment(const struct match *match)
{
    return match_kind(match) == MATCH_SINGLE || match_kind(match) == MATCH_RANGE;
}

/* A beginning in ASCII: keys are folded, so only there is the fold of a beginning the beginning of the fold. */
static bool begins_in_ascii(const struct match *match)
{
    const char *prefix = match_prefix(match);
    if (match_kind(match) != MATCH_SINGLE && match_kind(match) != MATCH_WILDCARD)
        return false;
    bool letters = false;
    for (const char *p = prefix; *p; p++) {
        if (*p == '=' || (unsigned char)*p > 0x7E)
            return false;
        letters |= (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
    }
    return letters && !strchr(match_text(match), '=');
}

static struct error next_patient(struct walk *walk, struct pacs_txn *txn, uint64_t *id)
{
    struct object_row row;
    TRY(pacs_next_object(txn, OBJECT_PATIENT, walk->source_after, &row));
    *id = walk->source_after = row.id;
    return NO_ERROR;
}

/* The UID of a list that begins at source_at; false at the end. A UID that stood before in the list is passed over. */
static bool present_uid(struct walk *walk, char uid[65])
{
    const char *text = match_text(walk->lead);
    for (;; walk->source_at += strcspn(text + walk->source_at, "\\")) {
        walk->source_at += strspn(text + walk->source_at, "\\");
        const char *at = text + walk->source_at;
        size_t n = strcspn(at, "\\");
        if (!n)
            return false;
        if (n > 64)
            continue;
        memcpy(uid, at, n);
        uid[n] = 0;
        bool before = false;
        for (const char *p = text; p < at && !before;) {
            size_t m = strcspn(p, "\\");
            before = m == n && memcmp(p, at, n) == 0;
            p += m + 1;
        }
        if (!before)
            return true;
    }
}

static struct error by_uid(const struct walk *walk, struct pacs_txn *txn, const char *uid, uint64_t *id)
{
    struct object_row object;
    struct instance_row instance;
    enum query_level level = walk->source->level;
    if (level == QUERY_INSTANCE) {
        TRY(pacs_next_instance_by_uid(txn, uid, walk->source_after, &instance));
        *id = instance.id;
        return NO_ERROR;
    }
    TRY(level == QUERY_STUDY ? pacs_next_study_by_uid(txn, uid, walk->source_after, &object)
                             : pacs_next_series_by_uid(txn, uid, walk->source_after, &object));
    *id = object.id;
    return NO_ERROR;
}

static struct error next_of_list(struct walk *walk, struct pacs_txn *txn, uint64_t *id)
{
    char uid[65];
    while (present_uid(walk, uid)) {
        struct error err = by_uid(walk, txn, uid, id);
        if (err.code != ERROR_NOT_FOUND) {
            walk->source_after = *id;
            return err;
        }
        error_release(&err);
        walk->source_after = 0;
        walk->source_at += strlen(uid);
    }
    return error_make(ERROR_NOT_FOUND, "no more of these UIDs");
}

static struct error next_of_value(struct walk *walk, struct pacs_txn *txn, uint64_t *id)
{
    TRY(pacs_next_by_key(txn, walk->source->secondary, match_text(walk->lead), walk->source_after, id));
    walk->source_after = *id;
    return NO_ERROR;
}

/* The next id under the present key, or under keys behind it that begin with `prefix` and do not pass `last`. */
static struct error next_of_keys(struct walk *walk, struct pacs_txn *txn, const char *prefix, const char *last,
                                 uint64_t *id)
{
    enum secondary kind = walk->source->secondary;
    for (;;) {
        if (walk->source_in_key) {
            struct error err = pacs_next_by_key(txn, kind, walk->source_key, walk->source_after, id);
            if (err.code != ERROR_NOT_FOUND) {
                walk->source_after = *id;
                return err;
            }
            error_release(&err);
        }
        char key[512];
        TRY(pacs_next_key(txn, kind, prefix, *walk->source_key ? walk->source_key : NULL, key));
        if (*last && strcmp(key, last) > 0)
            return error_make(ERROR_NOT_FOUND, "no more keys");
        memcpy(walk->source_key, key, sizeof key);
        walk->source_after = 0;
        walk->source_in_key = true;
    }
}

/* Keys from `low` on: the search goes behind the greatest text before it. */
static struct error next_of_dates(struct walk *walk, struct pacs_txn *txn, uint64_t *id)
{
    char low[9], high[9];
    match_dates(walk->lead, low, high);
    if (!walk->source_in_key && *low) {
        memcpy(walk->source_key, low, sizeof low);
        walk->source_key[7]--;
    }
    return next_of_keys(walk, txn, "", high, id);
}

/* Names that begin so, then those whose first group is empty or not in ASCII: a later group of theirs may. */
static struct error next_of_names(struct walk *walk, struct pacs_txn *txn, uint64_t *id)
{
    struct buf folded;
    buf_init(&folded);
    person_fold(&folded, match_prefix(walk->lead));
    struct error err = buf_error(&folded);
    const struct {
        const char *prefix, *behind;
    } ranges[] = {{buf_string(&folded), ""}, {"=", ""}, {"", "\x7F"}};
    const unsigned count = sizeof ranges / sizeof *ranges;
    while (err.code == ERROR_NONE) {
        err = next_of_keys(walk, txn, ranges[walk->source_range].prefix, "", id);
        if (err.code != ERROR_NOT_FOUND || walk->source_range + 1 == count)
            break;
        error_release(&err);
        walk->source_range++;
        walk->source_in_key = false;
        snprintf(walk->source_key, sizeof walk->source_key, "%s", ranges[walk->source_range].behind);
    }
    buf_release(&folded);
    return err;
}

static const struct walk_source sources[] = {
    {TAG_SOP_INSTANCE, QUERY_INSTANCE, is_list, next_of_list, 0},
    {TAG_SERIES_UID, QUERY_SERIES, is_list, next_of_list, 0},
    {TAG_STUDY_UID, QUERY_STUDY, is_list, next_of_list, 0},
    {TAG_ACCESSION, QUERY_STUDY, is_single, next_of_value, SECONDARY_ACCESSION},
    {TAG_PATIENT_ID, QUERY_PATIENT, is_single, next_of_value, SECONDARY_PATIENT_ID},
    {TAG_PATIENT_NAME, QUERY_PATIENT, begins_in_ascii, next_of_names, SECONDARY_PATIENT_NAME},
    {TAG_STUDY_DATE, QUERY_STUDY, is_moment, next_of_dates, SECONDARY_STUDY_DATE},
};
static const struct walk_source all_patients = {0, QUERY_PATIENT, NULL, next_patient, 0};

/* ---- descending -------------------------------------------------------------------------------------------------- */

void walk_init(struct walk *walk, const struct query *query)
{
    memset(walk, 0, sizeof *walk);
    walk->query = query;
    walk->depth = -1;
    walk->source = &all_patients;
    walk->deepest = query->header_keys ? QUERY_INSTANCE : query->level;
    buf_init(&walk->scratch);
    for (unsigned i = 0; i < query->keys; i++)
        if (query->key[i].attribute && query->key[i].attribute->level > walk->deepest &&
            match_kind(query->key[i].match) != MATCH_UNIVERSAL)
            walk->deepest = query->key[i].attribute->level;
    for (size_t s = 0; s < sizeof sources / sizeof *sources; s++)
        for (unsigned i = 0; i < query->keys; i++)
            if (query->key[i].tag == sources[s].tag && sources[s].usable(query->key[i].match)) {
                walk->source = &sources[s];
                walk->lead = query->key[i].match;
                walk->source_below = sources[s].level > query->level;
                return;
            }
}

void walk_release(struct walk *walk)
{
    buf_release(&walk->scratch);
}

/* Whether all keys of a level hold for a row of it. */
static struct error check(struct walk *walk, enum query_level level, const struct query_subject *subject, bool *holds)
{
    *holds = subject->object ? subject->object->instances > 0 : instance_shown(subject->instance, UINT64_MAX);
    for (unsigned i = 0; i < walk->query->keys && *holds; i++) {
        const struct query_key *key = &walk->query->key[i];
        if (!key->attribute || key->attribute->level != level)
            continue;
        buf_clear(&walk->scratch);
        TRY(key->attribute->value(subject, key->tag, &walk->scratch));
        TRY(buf_error(&walk->scratch));
        *holds = match_value(key->match, buf_string(&walk->scratch));
    }
    return NO_ERROR;
}

/* The next object of the source: its id and those above it, if all their keys hold. */
static struct error enter(struct walk *walk, struct pacs_txn *txn, bool *holds)
{
    struct object_row object;
    struct instance_row instance;
    int level = (int)walk->source->level;
    uint64_t id;
    TRY(walk->source->next(walk, txn, &id));
    *holds = true;
    walk->ids[level] = id;
    memset(walk->after, 0, sizeof walk->after);
    for (int l = level; l >= 0 && *holds; l--) {
        struct query_subject subject = {txn, &object, NULL};
        walk->ids[l] = id;
        if (l == QUERY_INSTANCE) {
            subject = (struct query_subject){txn, NULL, &instance};
            TRY(pacs_instance(txn, id, &instance));
            id = instance.series;
        } else {
            TRY(pacs_object(txn, id, &object));
            id = object.parent;
        }
        TRY(check(walk, (enum query_level)l, &subject, holds));
    }
    return NO_ERROR;
}

static struct error next_below(struct walk *walk, struct pacs_txn *txn, bool *holds)
{
    struct object_row object;
    struct instance_row instance;
    struct query_subject subject = {txn, &object, NULL};
    int level = walk->depth + 1;
    if (level == QUERY_INSTANCE) {
        TRY(pacs_next_instance(txn, walk->ids[walk->depth], walk->after[level], &instance));
        subject = (struct query_subject){txn, NULL, &instance};
        walk->ids[level] = instance.id;
        walk->after[level] = instance.number;
    } else {
        TRY(pacs_next_child(txn, walk->ids[walk->depth], walk->after[level], &object));
        walk->ids[level] = object.id;
        walk->after[level] = object.number;
    }
    return check(walk, (enum query_level)level, &subject, holds);
}

struct error walk_next(struct walk *walk, struct pacs_txn *txn, unsigned *steps, bool *found)
{
    *found = false;
    while (*steps) {
        bool holds = false;
        --*steps;
        if (walk->depth < 0) {
            TRY(enter(walk, txn, &holds));
            walk->depth = holds ? (int)walk->source->level : -1;
        } else {
            struct error err = next_below(walk, txn, &holds);
            if (err.code == ERROR_NOT_FOUND) {
                error_release(&err);
                walk_leave(walk, (enum query_level)walk->depth);
                continue;
            }
            TRY(err);
            if (holds && ++walk->depth < QUERY_INSTANCE)
                walk->after[walk->depth + 1] = 0;
        }
        if (holds && walk->depth == (int)walk->deepest) {
            walk_leave(walk, walk->deepest);
            *found = true;
            return NO_ERROR;
        }
    }
    return NO_ERROR;
}

void walk_leave(struct walk *walk, enum query_level level)
{
    if (walk->depth >= (int)level)
        walk->depth = level <= walk->source->level ? -1 : (int)level - 1;
}
