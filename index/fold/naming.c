/* What lives here: the fields that templates may use, a row each; numbers for equal names. */
#include "index/fold/naming.h"

#include "codecs/dicom/dataset.h"
#include "codecs/dicom/names.h"
#include "index/fold/identity.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct rendering {
    enum object_kind kind;
    const struct attributes *attributes;
    uint64_t number;
    struct buf value;
};

static void plain(struct rendering *r, uint32_t tag)
{
    buf_text(&r->value, attribute(r->attributes, tag));
}

static void person(struct rendering *r, uint32_t tag)
{
    person_display(&r->value, attribute(r->attributes, tag));
}

static void date(struct rendering *r, uint32_t tag)
{
    const char *text = attribute(r->attributes, tag);
    if (strlen(text) >= 8 && strspn(text, "0123456789") >= 8)
        buf_printf(&r->value, "%.4s-%.2s-%.2s", text, text + 4, text + 6);
    else
        buf_text(&r->value, text);
}

/* Where the number is missing: x and the place in order of arrival. */
static void number(struct rendering *r, uint32_t tag)
{
    const char *text = attribute(r->attributes, tag);
    if (instance_number_is_number(text))
        buf_printf(&r->value, "%lld", (long long)instance_number_of(text));
    else
        buf_printf(&r->value, "x%04llu", (unsigned long long)r->number);
}

static const struct {
    enum object_kind kind;
    const char *field;
    void (*value)(struct rendering *, uint32_t tag);
    uint32_t tag;
} fields[] = {
    {OBJECT_PATIENT, "name", person, TAG_PATIENT_NAME},
    {OBJECT_PATIENT, "id", plain, TAG_PATIENT_ID},
    {OBJECT_PATIENT, "issuer", plain, TAG_PATIENT_ID_ISSUER},
    {OBJECT_PATIENT, "birthdate", date, TAG_PATIENT_BIRTH_DATE},
    {OBJECT_PATIENT, "sex", plain, TAG_PATIENT_SEX},
    {OBJECT_STUDY, "date", date, TAG_STUDY_DATE},
    {OBJECT_STUDY, "time", plain, TAG_STUDY_TIME},
    {OBJECT_STUDY, "description", plain, TAG_STUDY_DESCRIPTION},
    {OBJECT_STUDY, "modality", plain, TAG_MODALITY},
    {OBJECT_STUDY, "accession", plain, TAG_ACCESSION},
    {OBJECT_STUDY, "id", plain, TAG_STUDY_ID},
    {OBJECT_STUDY, "uid", plain, TAG_STUDY_UID},
    {OBJECT_SERIES, "number", number, TAG_SERIES_NUMBER},
    {OBJECT_SERIES, "modality", plain, TAG_MODALITY},
    {OBJECT_SERIES, "description", plain, TAG_SERIES_DESCRIPTION},
    {OBJECT_SERIES, "protocol", plain, TAG_PROTOCOL_NAME},
    {OBJECT_SERIES, "bodypart", plain, TAG_BODY_PART},
    {OBJECT_SERIES, "date", date, TAG_SERIES_DATE},
    {OBJECT_SERIES, "station", plain, TAG_STATION_NAME},
    {OBJECT_SERIES, "uid", plain, TAG_SERIES_UID},
    {OBJECT_INSTANCE, "instance", number, TAG_INSTANCE_NUMBER},
    {OBJECT_INSTANCE, "uid", plain, TAG_SOP_INSTANCE},
};
#define FIELDS (sizeof fields / sizeof fields[0])

static const char *field_value(void *context, const char *field)
{
    struct rendering *r = context;
    buf_clear(&r->value);
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].kind == r->kind && strcmp(fields[i].field, field) == 0)
            fields[i].value(r, fields[i].tag);
    return buf_string(&r->value);
}

struct error naming_check(enum object_kind kind, const char *pattern)
{
    const char *known[FIELDS];
    size_t count = 0;
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].kind == kind)
            known[count++] = fields[i].field;
    return name_template_check(pattern, known, count);
}

/* Objects without patient and study are told apart by what they are, if nothing else names them. */
static bool named_by_class(enum object_kind kind, const struct attributes *attributes, const struct buf *name)
{
    if (!belongs_to_nobody(attributes))
        return false;
    if (kind == OBJECT_PATIENT)
        return !*attribute(attributes, TAG_PATIENT_NAME) && !*attribute(attributes, TAG_PATIENT_ID);
    return kind == OBJECT_STUDY && !name->size;
}

struct error naming_render(struct buf *name, enum object_kind kind, const struct archive_conf *conf,
                           const struct attributes *attributes, uint64_t place)
{
    const char *const patterns[] = {
        [OBJECT_PATIENT] = conf->patient_name,
        [OBJECT_STUDY] = conf->study_name,
        [OBJECT_SERIES] = conf->series_name,
        [OBJECT_INSTANCE] = conf->instance_name,
    };
    static const char *const fallback[] = {
        [OBJECT_PATIENT] = "Unknown",
        [OBJECT_STUDY] = "Study",
        [OBJECT_SERIES] = "Series",
        [OBJECT_INSTANCE] = "x",
    };
    struct rendering r = {.kind = kind, .attributes = attributes, .number = place};
    buf_init(&r.value);
    buf_clear(name);
    struct error err = name_render(name, patterns[kind], field_value, &r);
    buf_release(&r.value);
    if (!err.code && named_by_class(kind, attributes, name)) {
        buf_clear(name);
        name_component(name, kind == OBJECT_PATIENT ? "No patient" : uid_name(attribute(attributes, TAG_SOP_CLASS)),
                       NAME_BYTES_MAX);
    }
    if (!err.code && !name->size) {
        buf_text(name, fallback[kind]);
        if (kind == OBJECT_INSTANCE)
            buf_printf(name, "%04llu", (unsigned long long)place);
    }
    return err.code ? err : buf_error(name);
}

/* Names that files of the tree bear beside directories; an instance, which gets a suffix, must not be called as the
 * stem of one either. */
static bool reserved(const char *name, enum object_kind kind)
{
    static const struct {
        const char *name;
        bool stem;
    } words[] = {{"readme.txt", false}, {"patient.json", false}, {"study.json", false}, {"series.json", false},
                 {"reports", false},    {"sha256sums", false},   {"report.txt", false}, {"patient", true},
                 {"study", true},       {"series", true}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if ((!words[i].stem || kind == OBJECT_INSTANCE) && strcasecmp(name, words[i].name) == 0)
            return true;
    return false;
}

static bool same_name(const char *a, const char *b)
{
    struct buf x, y;
    buf_init(&x);
    buf_init(&y);
    name_fold(&x, a);
    name_fold(&y, b);
    bool same = strcmp(buf_string(&x), buf_string(&y)) == 0;
    buf_release(&x);
    buf_release(&y);
    return same;
}

/* Whether the child of this number bears this name: the list may hold others with the same hash. A series' children are
 * editions, those of all others directories. */
static struct error bears(struct fold *fold, uint64_t parent, uint64_t child, const char *name, bool *yes, uint64_t *id)
{
    struct instance_row row;
    enum object_kind kind;
    struct error err = child_get(fold_txn(fold), parent, child, &kind, id);
    if (!err.code) {
        struct fold_object *o;
        TRY(fold_object_get(fold, kind, *id, &o));
        *yes = same_name(o->row.name, name);
        return NO_ERROR;
    }
    if (err.code == ERROR_NOT_FOUND) {
        error_release(&err);
        err = instance_get(fold_txn(fold), parent, child, &row);
        *id = err.code ? 0 : row.id;
        *yes = !err.code && same_name(row.name, name);
    }
    return err;
}

struct error naming_find(struct fold *fold, uint64_t parent, const char *name, uint64_t *id)
{
    struct slice list;
    struct buf numbers;
    struct error err = NO_ERROR;
    *id = 0;
    TRY(name_list(fold_txn(fold), parent, name, &list));
    buf_init(&numbers);
    buf_append(&numbers, list.data, list.size);
    for (size_t i = 0; i + 8 <= numbers.size; i += 8) {
        bool yes = false;
        CHECK(bears(fold, parent, get_u64(numbers.data + i), name, &yes, id));
        if (yes)
            goto out;
    }
    *id = 0;
out:
    buf_release(&numbers);
    return err;
}

static struct error taken(struct fold *fold, enum object_kind kind, uint64_t parent, const char *base, unsigned count,
                          struct buf *candidate, bool *yes)
{
    uint64_t id;
    buf_clear(candidate);
    if (count < 2)
        buf_text(candidate, base);
    else
        name_with_number(candidate, base, count);
    TRY(buf_error(candidate));
    TRY(naming_find(fold, parent, buf_string(candidate), &id));
    *yes = id || reserved(buf_string(candidate), kind);
    return NO_ERROR;
}

/* Numbers are given densely, so the first free one lies behind the last taken one: doubling finds a free one, halving
 * the first. A thousand images of one number cost ten looks each, not a thousand. */
struct error naming_unique(struct fold *fold, enum object_kind kind, uint64_t parent, struct buf *name)
{
    struct error err = NO_ERROR;
    struct buf candidate;
    unsigned low = 1, high = 1;
    bool yes;
    buf_init(&candidate);
    for (;; high *= 2) {
        CHECK(taken(fold, kind, parent, buf_string(name), high, &candidate, &yes));
        if (!yes || high > (1u << 30))
            break;
        low = high;
    }
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        CHECK(taken(fold, kind, parent, buf_string(name), middle, &candidate, &yes));
        if (yes)
            low = middle;
        else
            high = middle;
    }
    CHECK(taken(fold, kind, parent, buf_string(name), high, &candidate, &yes));
    buf_clear(name);
    buf_append(name, candidate.data, candidate.size);
    err = buf_error(name);
out:
    buf_release(&candidate);
    return err;
}

void naming_patient_folder(struct buf *name, const struct archive_conf *conf, const char *patient_name,
                           const struct attributes *attributes)
{
    if (strcmp(conf->patients, "initial") == 0) {
        /* The first character, as upper case where it is a letter of ASCII: others have no folded twin in a listing. */
        size_t size = 1;
        while (((unsigned char)patient_name[size] & 0xC0) == 0x80)
            size++;
        char first[8] = "";
        snprintf(first, sizeof first, "%.*s", (int)size, patient_name);
        if (first[0] >= 'a' && first[0] <= 'z')
            first[0] = (char)(first[0] - 'a' + 'A');
        buf_text(name, first);
    } else if (strcmp(conf->patients, "idtail") == 0) {
        struct buf id;
        buf_init(&id);
        name_component(&id, attribute(attributes, TAG_PATIENT_ID), NAME_BYTES_MAX);
        const char *text = buf_string(&id);
        size_t size = strlen(text), at = size;
        for (int characters = 0; characters < 2 && at > 0; characters++)
            while (at > 0 && ((unsigned char)text[--at] & 0xC0) == 0x80)
                ;
        name_component(name, size ? text + at : "none", NAME_BYTES_MAX);
        if (!name->size)
            buf_text(name, "none");
        buf_release(&id);
    }
}
