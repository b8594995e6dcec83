/* What lives here: the decisions that are recorded when an instance arrives: whose it is, where it stands, what it is
 * called, what becomes of earlier versions (design sections 4 and 6). Asked once; apply.c only carries out.
 *
 * Order: patient (identity.c), study under that patient, series under that study, editions of the instance in that
 * series; then names, unique among siblings as file systems that fold case see them. */
#include "codecs/dicom/names.h"
#include "index/fold/fold.h"
#include "index/fold/identity.h"
#include "index/fold/naming.h"

#include <stdio.h>
#include <string.h>

struct deciding {
    struct fold *fold;
    const struct fold_question *question;
    struct instance_record *record;
    struct fold_answer *answer;
    uint64_t next_id;
    struct { /* counts that a created parent has not yet */
        uint64_t root, folder, patient, study, series;
    } children;
};

/* Texts that decisions point to live in answer->texts: offsets until the end, see fold_decide(). */
static const char *remember(struct deciding *d, const char *text)
{
    size_t at = d->answer->texts.size;
    buf_append(&d->answer->texts, text, strlen(text) + 1);
    return (const char *)(at + 1);
}

static void settle(struct deciding *d, const char **text)
{
    if (*text)
        *text = (const char *)d->answer->texts.data + ((uintptr_t)*text - 1);
}

static void note(struct deciding *d, uint64_t other, const char *kind, const char *text)
{
    struct instance_record *r = d->record;
    if (r->conflict_count < CONFLICTS_MAX)
        r->conflicts[r->conflict_count++] = (struct conflict_note){other, remember(d, kind), remember(d, text)};
}

static void create(struct deciding *d, struct decision *decision, uint64_t siblings, const char *name)
{
    *decision = (struct decision){d->next_id++, siblings + 1, true, remember(d, name)};
}

static struct error use(struct deciding *d, struct decision *decision, const struct object_row *row)
{
    *decision = (struct decision){row->id, row->number, false, remember(d, row->name)};
    return NO_ERROR;
}

/* ---- patient ---- */

static struct error find_patient(struct deciding *d, const char *key, uint64_t *found)
{
    const struct attributes *all = &d->record->attributes;
    uint64_t maybe = 0, another = 0, id = 0;
    *found = 0;
    for (;;) {
        struct fold_object *o;
        struct error err = secondary_next(fold_txn(d->fold), SECONDARY_PATIENT_KEY, key, id, &id);
        if (err.code == ERROR_NOT_FOUND) {
            error_release(&err);
            break;
        }
        TRY(err);
        TRY(fold_object_get(d->fold, OBJECT_PATIENT, id, &o));
        /* Where the ID says nobody, the key holds name and date themselves. */
        enum same_person same = patient_key_has_id(key)
                                    ? compare_patients(&o->row.attributes, all, d->question->placeholders)
                                    : SAME_PERSON;
        if (same == SAME_PERSON) {
            *found = id;
            return NO_ERROR;
        }
        if (same == MAYBE_SAME_PERSON && !maybe)
            maybe = id;
        another = id;
    }
    *found = maybe;
    if (!maybe && another)
        note(d, another, "patients", "the same Patient ID with another name and another birth date: two patients");
    return NO_ERROR;
}

/* "names" is listed once a study, not with each of its images. */
static void note_names(struct deciding *d, const struct object_row *patient)
{
    if (d->record->study.created && patient_key_has_id(buf_string(&d->answer->texts)) &&
        compare_patients(&patient->attributes, &d->record->attributes, d->question->placeholders) != SAME_PERSON)
        note(d, patient->id, "names",
             "the same Patient ID with another name or another birth date: kept as one patient");
}

static struct error decide_folder(struct deciding *d, const char *patient_name)
{
    struct buf name;
    buf_init(&name);
    naming_patient_folder(&name, d->question->conf, patient_name, &d->record->attributes);
    struct error err = buf_error(&name);
    if (!err.code && name.size) {
        uint64_t id;
        err = naming_find(d->fold, PACS_ROOT, buf_string(&name), &id);
        if (!err.code && id) {
            struct fold_object *o;
            err = fold_object_get(d->fold, OBJECT_FOLDER, id, &o);
            if (!err.code) {
                d->children.folder = o->row.children;
                err = use(d, &d->record->folder, &o->row);
            }
        } else if (!err.code) {
            create(d, &d->record->folder, d->children.root, buf_string(&name));
        }
    }
    buf_release(&name);
    return err;
}

static struct error decide_patient(struct deciding *d)
{
    struct fold_object *o;
    struct buf name;
    uint64_t id;
    const char *key = buf_string(&d->answer->texts); /* the first text */
    TRY(find_patient(d, key, &id));
    TRY(fold_object_get(d->fold, OBJECT_FOLDER, PACS_ROOT, &o));
    d->children.root = o->row.children;
    if (id) {
        TRY(fold_object_get(d->fold, OBJECT_PATIENT, id, &o));
        d->children.patient = o->row.children;
        uint64_t parent = o->row.parent;
        TRY(use(d, &d->record->patient, &o->row));
        if (parent != PACS_ROOT) {
            TRY(fold_object_get(d->fold, OBJECT_FOLDER, parent, &o));
            TRY(use(d, &d->record->folder, &o->row));
        }
        return NO_ERROR;
    }
    buf_init(&name);
    struct error err = naming_render(&name, OBJECT_PATIENT, d->question->conf, &d->record->attributes, 0);
    if (!err.code)
        err = decide_folder(d, buf_string(&name));
    uint64_t parent = d->record->folder.id ? d->record->folder.id : PACS_ROOT;
    if (!err.code) /* in a new parent too: some names are the tree's own */
        err = naming_unique(d->fold, OBJECT_PATIENT, parent, &name);
    if (!err.code)
        create(d, &d->record->patient, d->record->folder.id ? d->children.folder : d->children.root, buf_string(&name));
    buf_release(&name);
    return err;
}

/* ---- study and series: the object with this UID in this parent ---- */

struct level {
    enum object_kind kind;
    uint32_t tag;
    const char *conflict, *text;
};
static const struct level study_level = {OBJECT_STUDY, TAG_STUDY_UID, "study-patients",
                                         "the same Study Instance UID under two patients: shown under each"};
static const struct level series_level = {OBJECT_SERIES, TAG_SERIES_UID, "series-studies",
                                          "the same Series Instance UID under two studies: shown under each"};

static struct error find_by_uid(struct deciding *d, const struct level *level, uint64_t parent, struct object_row *row,
                                bool *found, uint64_t *elsewhere)
{
    const char *uid = attribute(&d->record->attributes, level->tag);
    struct slice list;
    struct buf ids;
    *found = false;
    *elsewhere = 0;
    TRY(uid_list(fold_txn(d->fold), level->kind, uid, &list));
    buf_init(&ids); /* reading rows may write kept ones and move the list */
    buf_append(&ids, list.data, list.size);
    struct error err = buf_error(&ids);
    for (size_t i = 0; !err.code && !*found && i + 8 <= ids.size; i += 8) {
        struct fold_object *o;
        CHECK(fold_object_get(d->fold, level->kind, get_u64(ids.data + i), &o));
        if (strcmp(attribute(&o->row.attributes, level->tag), uid) != 0)
            continue; /* another UID with the same hash */
        if (o->row.parent == parent) {
            *row = o->row;
            *found = true;
        } else {
            *elsewhere = o->row.id;
        }
    }
out:
    buf_release(&ids);
    return err;
}

static struct error decide_level(struct deciding *d, const struct level *level, const struct decision *parent,
                                 uint64_t parent_children, struct decision *decision, uint64_t *children)
{
    struct object_row row;
    bool found;
    uint64_t elsewhere;
    TRY(find_by_uid(d, level, parent->id, &row, &found, &elsewhere));
    if (found) {
        *children = row.children;
        return use(d, decision, &row);
    }
    if (elsewhere)
        note(d, elsewhere, level->conflict, level->text);
    uint64_t siblings = parent->created ? 0 : parent_children;
    struct buf name;
    buf_init(&name);
    struct error err = naming_render(&name, level->kind, d->question->conf, &d->record->attributes, siblings + 1);
    if (!err.code)
        err = naming_unique(d->fold, level->kind, parent->id, &name);
    if (!err.code)
        create(d, decision, siblings, buf_string(&name));
    buf_release(&name);
    return err;
}

/* ---- the instance ---- */

struct editions {
    struct instance_row shown; /* in this series; id 0: none */
    uint64_t oldest, newest;   /* in this series */
    uint32_t same_path;        /* editions with the same study, series and instance UID, anywhere */
    uint64_t elsewhere;        /* the oldest of them in another series object */
    uint64_t other_series;     /* an edition under another Series Instance UID */
};

static struct error row_of(struct deciding *d, uint64_t id, struct instance_row *row)
{
    uint64_t series, number;
    TRY(edition_get(fold_txn(d->fold), id, &series, &number));
    return instance_get(fold_txn(d->fold), series, number, row);
}

static struct error look_at_edition(struct deciding *d, uint64_t id, struct editions *e)
{
    const struct attributes *all = &d->record->attributes;
    struct instance_row row;
    struct fold_object *o;
    TRY(row_of(d, id, &row));
    if (strcmp(row.uid, attribute(all, TAG_SOP_INSTANCE)) != 0)
        return NO_ERROR;
    if (row.series == d->record->series.id) {
        e->same_path++;
        e->oldest = e->oldest && e->oldest < row.id ? e->oldest : row.id;
        e->newest = row.id;
        if (instance_shown(&row, UINT64_MAX))
            e->shown = row;
        return NO_ERROR;
    }
    TRY(fold_object_get(d->fold, OBJECT_SERIES, row.series, &o));
    if (strcmp(attribute(&o->row.attributes, TAG_SERIES_UID), attribute(all, TAG_SERIES_UID)) != 0) {
        e->other_series = row.id;
        return NO_ERROR;
    }
    TRY(fold_object_get(d->fold, OBJECT_STUDY, o->row.parent, &o));
    if (strcmp(attribute(&o->row.attributes, TAG_STUDY_UID), attribute(all, TAG_STUDY_UID)) == 0) {
        e->same_path++;
        e->elsewhere = e->elsewhere && e->elsewhere < row.id ? e->elsewhere : row.id;
    }
    return NO_ERROR;
}

/* Whether these UIDs stood under another patient first: uids/ has one INSTANCE.dcm, and it stays with who came first,
 * whatever versions follow under either. */
static bool stood_elsewhere_first(const struct editions *e)
{
    return e->elsewhere && (!e->oldest || e->elsewhere < e->oldest);
}

static struct error look_at_editions(struct deciding *d, struct editions *e)
{
    struct slice list;
    struct buf ids;
    memset(e, 0, sizeof *e);
    TRY(uid_list(fold_txn(d->fold), OBJECT_INSTANCE, attribute(&d->record->attributes, TAG_SOP_INSTANCE), &list));
    buf_init(&ids);
    buf_append(&ids, list.data, list.size);
    struct error err = buf_error(&ids);
    for (size_t i = 0; !err.code && i + 8 <= ids.size; i += 8)
        err = look_at_edition(d, get_u64(ids.data + i), e);
    buf_release(&ids);
    return err;
}

/* Whether the new version takes the place of the shown one: from the known peer that sent that one; or because the
 * shown one is lossy and this one is not. */
static struct error takes_place(struct deciding *d, const struct instance_row *shown, bool *takes)
{
    struct origin_row origin;
    TRY(origin_get(fold_txn(d->fold), shown->origin, &origin));
    bool same_peer = d->question->known_peer && strcmp(origin.how, d->record->origin[0]) == 0 &&
                     strcmp(origin.calling_ae, d->record->origin[1]) == 0;
    *takes = same_peer || ((shown->flags & INSTANCE_LOSSY) && !d->question->lossy);
    return NO_ERROR;
}

/* The comparison knows UIDs, not patients: the same path may stand under another one. */
static struct error in_this_series(struct deciding *d, uint64_t id, bool *yes)
{
    struct instance_row row;
    *yes = false;
    if (!id)
        return NO_ERROR;
    TRY(row_of(d, id, &row));
    *yes = row.series == d->record->series.id;
    return NO_ERROR;
}

static struct error decide_verdict(struct deciding *d, const struct editions *e)
{
    const struct fold_question *q = d->question;
    struct instance_record *r = d->record;
    bool takes;
    if (e->newest > q->compared_to) {
        d->answer->stale = true;
        return NO_ERROR;
    }
    if (!e->newest) {
        r->verdict = INGEST_STORED;
        return NO_ERROR;
    }
    bool same, variant;
    TRY(in_this_series(d, q->same_as, &same));
    TRY(in_this_series(d, q->variant_of, &variant));
    if (same && !q->same_lost) {
        r->verdict = !q->same_holds ? INGEST_HEALED : q->same_prefix ? INGEST_DUPLICATE : INGEST_VARIANT;
        r->supersedes = q->same_as;
        if (r->verdict == INGEST_HEALED && q->prefix) {
            r->prefix = q->prefix->data;
            r->prefix_size = q->prefix->size;
            r->zero_preamble = q->zero_preamble;
        }
        return NO_ERROR;
    }
    if (variant || !e->shown.id) {
        r->verdict = variant ? INGEST_VARIANT : INGEST_STORED;
        return NO_ERROR;
    }
    TRY(takes_place(d, &e->shown, &takes));
    takes |= same && e->shown.id == q->same_as; /* lost: an edition's file cannot change its size */
    r->verdict = takes ? INGEST_VERSION : INGEST_CONFLICT;
    r->supersedes = takes ? e->shown.id : 0;
    if (!takes)
        note(d, e->shown.id, "version", "the same SOP Instance UID with other contents: the earlier one stays shown");
    return NO_ERROR;
}

/* A healed edition stays what it is; its record says so in full, since the one before may not be read again. */
static struct error keep_edition(struct deciding *d)
{
    struct instance_record *r = d->record;
    struct instance_row row;
    TRY(row_of(d, r->supersedes, &row));
    r->version = row.version;
    r->flags = row.flags & ~(uint32_t)INSTANCE_POSITION;
    if (d->question->prefix) { /* the file keeps its own, and offsets in the JSON text count from it */
        r->json_version = row.json_version;
        r->json_size = row.json_size;
    }
    r->instance = (struct decision){row.id, row.number, false, remember(d, row.name)};
    return NO_ERROR;
}

static struct error decide_instance(struct deciding *d)
{
    static const uint32_t flags[] = {
        [INGEST_STORED] = INSTANCE_SHOWN,
        [INGEST_VARIANT] = INSTANCE_VARIANT,
        [INGEST_VERSION] = INSTANCE_SHOWN,
        [INGEST_CONFLICT] = INSTANCE_CONFLICT,
    };
    const struct fold_question *q = d->question;
    struct instance_record *r = d->record;
    struct editions e;
    struct buf name;
    TRY(look_at_editions(d, &e));
    TRY(decide_verdict(d, &e));
    if (d->answer->stale || r->verdict == INGEST_DUPLICATE)
        return NO_ERROR;
    if (r->verdict == INGEST_HEALED)
        return keep_edition(d);
    r->version = e.same_path + 1;
    r->flags = flags[r->verdict] | (q->lossy ? INSTANCE_LOSSY : 0u) |
               (stood_elsewhere_first(&e) ? INSTANCE_ELSEWHERE : 0u) | (q->numbered ? INSTANCE_NUMBERED : 0u);
    if (e.other_series)
        note(d, e.other_series, "instance-series", "the same SOP Instance UID under two series: shown under each");
    uint64_t number = (r->series.created ? 0 : d->children.series) + 1;
    buf_init(&name);
    struct error err = NO_ERROR;
    if (e.shown.id) {
        buf_text(&name, e.shown.name);
    } else {
        err = naming_render(&name, OBJECT_INSTANCE, q->conf, &r->attributes, number);
        if (!err.code)
            err = naming_unique(d->fold, OBJECT_INSTANCE, r->series.id, &name);
    }
    if (!err.code)
        r->instance = (struct decision){d->next_id++, number, true, remember(d, buf_string(&name))};
    buf_release(&name);
    return err;
}

struct error fold_decide(struct fold *fold, const struct fold_question *question, struct instance_record *record,
                         struct fold_answer *answer)
{
    struct deciding d = {fold, question, record, answer, fold_meta(fold)->next_id, {0}};
    struct fold_object *o;
    buf_clear(&answer->texts);
    answer->stale = false;
    record->folder = record->patient = record->study = record->series = record->instance = (struct decision){0};
    record->supersedes = 0;
    record->conflict_count = 0;
    patient_key(&answer->texts, &record->attributes, question->default_issuer, question->placeholders);
    buf_byte(&answer->texts, 0);
    TRY(decide_patient(&d));
    TRY(decide_level(&d, &study_level, &record->patient, d.children.patient, &record->study, &d.children.study));
    if (!record->patient.created && record->study.created) {
        TRY(fold_object_get(fold, OBJECT_PATIENT, record->patient.id, &o));
        note_names(&d, &o->row);
    }
    TRY(decide_level(&d, &series_level, &record->study, d.children.study, &record->series, &d.children.series));
    TRY(decide_instance(&d));
    TRY(buf_error(&answer->texts));

    struct decision *const decisions[] = {&record->folder, &record->patient, &record->study, &record->series,
                                          &record->instance};
    for (size_t i = 0; i < 5; i++)
        settle(&d, &decisions[i]->name);
    for (unsigned i = 0; i < record->conflict_count; i++) {
        settle(&d, &record->conflicts[i].kind);
        settle(&d, &record->conflicts[i].text);
    }
    record->patient_key = (const char *)answer->texts.data;
    return NO_ERROR;
}
