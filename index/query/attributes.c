/* What lives here: for each attribute that needs no header, at which level it is constant and how its value is had.
 * Levels are those of PS3.4 C.6.1.1. */
#include "index/query/attributes.h"

#include <string.h>

#define TAG_SOP_CLASSES_IN_STUDY 0x00080062
#define TAG_MODALITIES_IN_STUDY 0x00080061
#define TAG_AVAILABLE_SYNTAX 0x00083002
#define TAG_PATIENT_STUDIES 0x00201200
#define TAG_PATIENT_SERIES 0x00201202
#define TAG_PATIENT_INSTANCES 0x00201204
#define TAG_STUDY_SERIES 0x00201206
#define TAG_STUDY_INSTANCES 0x00201208
#define TAG_SERIES_INSTANCES 0x00201209
#define TAG_FRAMES 0x00280008
#define TAG_ROWS 0x00280010
#define TAG_COLUMNS 0x00280011
#define TAG_BITS_ALLOCATED 0x00280100

static struct error of_row(const struct query_subject *subject, uint32_t tag, struct buf *out)
{
    buf_text(out, attribute(&subject->object->attributes, tag));
    return NO_ERROR;
}

static struct error instances_below(const struct query_subject *subject, uint32_t tag, struct buf *out)
{
    (void)tag;
    buf_printf(out, "%llu", (unsigned long long)subject->object->instances);
    return NO_ERROR;
}

/* Children that show something; with `deep`, theirs. */
static struct error count_children(struct pacs_txn *txn, uint64_t parent, bool deep, uint64_t *count)
{
    struct object_row child;
    struct error err = NO_ERROR;
    for (uint64_t after = 0;; after = child.number) {
        err = pacs_next_child(txn, parent, after, &child);
        if (err.code != ERROR_NONE)
            break;
        if (!child.instances)
            continue;
        if (deep)
            TRY(count_children(txn, child.id, false, count));
        else
            ++*count;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error children(const struct query_subject *subject, uint32_t tag, struct buf *out)
{
    uint64_t count = 0;
    TRY(count_children(subject->txn, subject->object->id, tag == TAG_PATIENT_SERIES, &count));
    buf_printf(out, "%llu", (unsigned long long)count);
    return NO_ERROR;
}

/* Adds a value to a backslash-separated list from `start` on, once. */
static void add_once(struct buf *out, size_t start, const char *value)
{
    size_t size = strlen(value);
    if (!size)
        return;
    const char *list = buf_string(out) + start;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, "\\");
        if (n == size && memcmp(p, value, n) == 0)
            return;
        p += n + (p[n] == '\\');
    }
    if (*list)
        buf_byte(out, '\\');
    buf_text(out, value);
}

static struct error sop_classes_of(struct pacs_txn *txn, uint64_t series, struct buf *out, size_t start)
{
    struct instance_row row;
    struct error err = NO_ERROR;
    for (uint64_t after = 0;; after = row.number) {
        err = pacs_next_instance(txn, series, after, &row);
        if (err.code != ERROR_NONE)
            break;
        if (instance_shown(&row, UINT64_MAX))
            add_once(out, start, row.sop_class);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error of_series_below(const struct query_subject *subject, uint32_t tag, struct buf *out)
{
    size_t start = out->size;
    struct object_row series;
    struct error err = NO_ERROR;
    for (uint64_t after = 0;; after = series.number) {
        err = pacs_next_child(subject->txn, subject->object->id, after, &series);
        if (err.code != ERROR_NONE)
            break;
        if (tag == TAG_MODALITIES_IN_STUDY)
            add_once(out, start, series.instances ? attribute(&series.attributes, TAG_MODALITY) : "");
        else
            TRY(sop_classes_of(subject->txn, series.id, out, start));
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error of_instance(const struct query_subject *subject, uint32_t tag, struct buf *out)
{
    const struct instance_row *row = subject->instance;
    if (tag == TAG_SOP_INSTANCE)
        buf_text(out, row->uid);
    else if (tag == TAG_SOP_CLASS)
        buf_text(out, row->sop_class);
    else if (tag == TAG_AVAILABLE_SYNTAX)
        buf_text(out, syntax_by_code(row->syntax)->uid);
    else if (row->flags & INSTANCE_NUMBERED)
        buf_printf(out, "%lld", (long long)row->instance_number);
    return NO_ERROR;
}

static struct error of_shape(const struct query_subject *subject, uint32_t tag, struct buf *out)
{
    const struct pixel_shape *shape = &subject->instance->shape;
    if (shape->bits_allocated)
        buf_printf(out, "%u",
                   tag == TAG_ROWS      ? (unsigned)shape->rows
                   : tag == TAG_COLUMNS ? (unsigned)shape->columns
                   : tag == TAG_FRAMES  ? (unsigned)shape->frames
                                        : (unsigned)shape->bits_allocated);
    return NO_ERROR;
}

static const struct query_attribute table[] = {
    {TAG_PATIENT_NAME, QUERY_PATIENT, of_row},
    {TAG_PATIENT_ID, QUERY_PATIENT, of_row},
    {TAG_PATIENT_ID_ISSUER, QUERY_PATIENT, of_row},
    {TAG_PATIENT_BIRTH_DATE, QUERY_PATIENT, of_row},
    {TAG_PATIENT_SEX, QUERY_PATIENT, of_row},
    {TAG_PATIENT_STUDIES, QUERY_PATIENT, children},
    {TAG_PATIENT_SERIES, QUERY_PATIENT, children},
    {TAG_PATIENT_INSTANCES, QUERY_PATIENT, instances_below},
    {TAG_STUDY_DATE, QUERY_STUDY, of_row},
    {TAG_STUDY_TIME, QUERY_STUDY, of_row},
    {TAG_ACCESSION, QUERY_STUDY, of_row},
    {TAG_MODALITIES_IN_STUDY, QUERY_STUDY, of_series_below},
    {TAG_SOP_CLASSES_IN_STUDY, QUERY_STUDY, of_series_below},
    {TAG_REFERRING_PHYSICIAN, QUERY_STUDY, of_row},
    {TAG_STUDY_DESCRIPTION, QUERY_STUDY, of_row},
    {TAG_STUDY_UID, QUERY_STUDY, of_row},
    {TAG_STUDY_ID, QUERY_STUDY, of_row},
    {TAG_STUDY_SERIES, QUERY_STUDY, children},
    {TAG_STUDY_INSTANCES, QUERY_STUDY, instances_below},
    {TAG_SERIES_DATE, QUERY_SERIES, of_row},
    {TAG_SERIES_TIME, QUERY_SERIES, of_row},
    {TAG_MODALITY, QUERY_SERIES, of_row},
    {TAG_MANUFACTURER, QUERY_SERIES, of_row},
    {TAG_INSTITUTION, QUERY_SERIES, of_row},
    {TAG_STATION_NAME, QUERY_SERIES, of_row},
    {TAG_SERIES_DESCRIPTION, QUERY_SERIES, of_row},
    {TAG_MODEL, QUERY_SERIES, of_row},
    {TAG_BODY_PART, QUERY_SERIES, of_row},
    {TAG_PROTOCOL_NAME, QUERY_SERIES, of_row},
    {TAG_SERIES_UID, QUERY_SERIES, of_row},
    {TAG_SERIES_NUMBER, QUERY_SERIES, of_row},
    {TAG_FRAME_OF_REFERENCE, QUERY_SERIES, of_row},
    {TAG_SERIES_INSTANCES, QUERY_SERIES, instances_below},
    {TAG_SOP_CLASS, QUERY_INSTANCE, of_instance},
    {TAG_SOP_INSTANCE, QUERY_INSTANCE, of_instance},
    {TAG_AVAILABLE_SYNTAX, QUERY_INSTANCE, of_instance},
    {TAG_INSTANCE_NUMBER, QUERY_INSTANCE, of_instance},
    {TAG_FRAMES, QUERY_INSTANCE, of_shape},
    {TAG_ROWS, QUERY_INSTANCE, of_shape},
    {TAG_COLUMNS, QUERY_INSTANCE, of_shape},
    {TAG_BITS_ALLOCATED, QUERY_INSTANCE, of_shape},
};

const struct query_attribute *query_attribute(uint32_t tag)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].tag == tag)
            return &table[i];
    return NULL;
}

const uint32_t *query_attributes(enum query_level level, size_t *count)
{
    static const uint32_t patient[] = {TAG_PATIENT_ID,         TAG_PATIENT_ID_ISSUER, TAG_PATIENT_NAME,
                                       TAG_PATIENT_BIRTH_DATE, TAG_PATIENT_SEX,       TAG_PATIENT_STUDIES,
                                       TAG_PATIENT_INSTANCES};
    static const uint32_t study[] = {
        TAG_STUDY_UID,         TAG_STUDY_DATE,          TAG_STUDY_TIME,          TAG_STUDY_ID,     TAG_ACCESSION,
        TAG_STUDY_DESCRIPTION, TAG_REFERRING_PHYSICIAN, TAG_MODALITIES_IN_STUDY, TAG_STUDY_SERIES, TAG_STUDY_INSTANCES};
    static const uint32_t series[] = {
        TAG_SERIES_UID,   TAG_SERIES_NUMBER, TAG_MODALITY,           TAG_SERIES_DESCRIPTION, TAG_SERIES_DATE,
        TAG_SERIES_TIME,  TAG_BODY_PART,     TAG_PROTOCOL_NAME,      TAG_MANUFACTURER,       TAG_MODEL,
        TAG_STATION_NAME, TAG_INSTITUTION,   TAG_FRAME_OF_REFERENCE, TAG_SERIES_INSTANCES};
    static const uint32_t instance[] = {
        TAG_SOP_INSTANCE, TAG_SOP_CLASS, TAG_AVAILABLE_SYNTAX, TAG_INSTANCE_NUMBER, TAG_ROWS, TAG_COLUMNS, TAG_FRAMES};
    static const struct {
        const uint32_t *tags;
        size_t count;
    } levels[QUERY_LEVELS] = {
        {patient, sizeof patient / sizeof *patient},
        {study, sizeof study / sizeof *study},
        {series, sizeof series / sizeof *series},
        {instance, sizeof instance / sizeof *instance},
    };
    *count = levels[level].count;
    return levels[level].tags;
}
