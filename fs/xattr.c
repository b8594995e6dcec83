/* What lives here: the table of extended attributes. */
#include "fs/xattr.h"
#include "fs/held.h"

#include "codecs/dicom/syntax.h"

#include <string.h>

struct subject {
    const struct request *request;
    const struct instance_row *row;
    const struct file_kind *kind;
    struct object_row series, study, patient;
};

typedef struct error (*write_value)(const struct subject *subject, uint32_t tag, struct buf *value);

static struct error from_series(const struct subject *subject, uint32_t tag, struct buf *value)
{
    buf_text(value, attribute(&subject->series.attributes, tag));
    return NO_ERROR;
}

static struct error from_study(const struct subject *subject, uint32_t tag, struct buf *value)
{
    buf_text(value, attribute(&subject->study.attributes, tag));
    return NO_ERROR;
}

static struct error from_patient(const struct subject *subject, uint32_t tag, struct buf *value)
{
    buf_text(value, attribute(&subject->patient.attributes, tag));
    return NO_ERROR;
}

static struct error instance_uid(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    buf_text(value, subject->row->uid);
    return NO_ERROR;
}

static struct error sop_class(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    buf_text(value, subject->row->sop_class);
    return NO_ERROR;
}

static struct error transfer_syntax(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    buf_text(value, syntax_by_code(subject->row->syntax)->uid);
    return NO_ERROR;
}

static struct error media_type(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    buf_text(value, subject->kind->media_type);
    return NO_ERROR;
}

static struct error lsn(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    buf_printf(value, "%llu", (unsigned long long)subject->row->lsn);
    return NO_ERROR;
}

static struct error origin(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    struct origin_row row;
    TRY(pacs_origin(subject->request->txn, subject->row->origin, &row));
    buf_printf(value, "%s", row.how);
    const char *const parts[] = {row.calling_ae, row.called_ae, row.address};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (*parts[i])
            buf_printf(value, " %s", parts[i]);
    return NO_ERROR;
}

/* Of the data set as sent, whatever file asks. */
static struct error sha256(const struct subject *subject, uint32_t tag, struct buf *value)
{
    (void)tag;
    struct held *held = subject->request->tree->held;
    struct held_file *file;
    struct instance_facts facts;
    TRY(held_get(held, subject->row->id, &file));
    pacs_file_facts(held_file(file), &facts);
    held_put(held, file);
    for (size_t i = 0; i < sizeof facts.sha256; i++)
        buf_printf(value, "%02x", facts.sha256[i]);
    return NO_ERROR;
}

static const struct {
    const char *name;
    write_value write;
    uint32_t tag;
} rows[] = {
    {"user.mime_type", media_type, 0},
    {"user.pacs.sha256", sha256, 0},
    {"user.pacs.origin", origin, 0},
    {"user.pacs.lsn", lsn, 0},
    {"user.dicom.SOPClassUID", sop_class, 0},
    {"user.dicom.SOPInstanceUID", instance_uid, 0},
    {"user.dicom.TransferSyntaxUID", transfer_syntax, 0},
    {"user.dicom.StudyInstanceUID", from_study, TAG_STUDY_UID},
    {"user.dicom.StudyDate", from_study, TAG_STUDY_DATE},
    {"user.dicom.AccessionNumber", from_study, TAG_ACCESSION},
    {"user.dicom.SeriesInstanceUID", from_series, TAG_SERIES_UID},
    {"user.dicom.Modality", from_series, TAG_MODALITY},
    {"user.dicom.PatientID", from_patient, TAG_PATIENT_ID},
};

/* Which kind of file of an instance a node is; NULL: none. */
static const struct file_kind *kind_of(struct node node)
{
    const struct file_kind *kind = node.role == NODE_FRAME  ? file_kind_by_code(FILE_PNG)
                                   : node.role == NODE_FILE ? file_kind_by_code(node.part)
                                                            : NULL;
    return kind && kind->of == OBJECT_INSTANCE ? kind : NULL;
}

struct error xattr_names(struct tree *tree, struct node node, struct buf *names)
{
    (void)tree;
    if (!kind_of(node))
        return NO_ERROR;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        buf_append(names, rows[i].name, strlen(rows[i].name) + 1);
    return buf_error(names);
}

static struct error write_one(struct subject *subject, uint64_t id, size_t i, struct buf *value)
{
    struct instance_row row;
    struct pacs_txn *txn = subject->request->txn;
    subject->row = &row;
    TRY(pacs_instance(txn, id, &row));
    TRY(pacs_object(txn, row.series, &subject->series));
    subject->study = subject->series;
    TRY(object_above(subject->request, OBJECT_STUDY, &subject->study));
    subject->patient = subject->study;
    TRY(object_above(subject->request, OBJECT_PATIENT, &subject->patient));
    TRY(rows[i].write(subject, rows[i].tag, value));
    return buf_error(value);
}

struct error xattr_value(struct tree *tree, struct node node, const char *name, struct buf *value)
{
    const struct file_kind *kind = kind_of(node);
    for (size_t i = 0; kind && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        struct request request = {.tree = tree};
        struct subject subject = {.request = &request, .kind = kind};
        TRY(pacs_begin(tree->pacs, &request.txn));
        struct error err = write_one(&subject, node.id, i, value);
        pacs_end(request.txn);
        return err;
    }
    return no_such_name();
}
