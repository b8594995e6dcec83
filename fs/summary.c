/* What lives here: how the three texts are reached from an inode, their sizes, and the parts that they share. */
#include "fs/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INDENT 1

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static struct error count_series(const struct request *request, uint64_t series, uint64_t as_of,
                                 struct figures *figures)
{
    struct instance_row row;
    struct error err;
    uint64_t number = 0;
    while ((err = pacs_next_instance(request->txn, series, number, &row)).code == ERROR_NONE) {
        number = row.number;
        if (row.id <= as_of && (row.flags & INSTANCE_SHOWN) && row.time_ns > figures->last_ns)
            figures->last_ns = row.time_ns;
        if (!instance_shown(&row, as_of))
            continue;
        figures->instances++;
        figures->bytes += row.size;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error count_below(const struct request *request, uint64_t parent, uint64_t as_of, struct figures *figures)
{
    struct object_row child;
    struct error err;
    uint64_t number = 0;
    while ((err = pacs_next_child(request->txn, parent, number, &child)).code == ERROR_NONE) {
        struct figures below;
        number = child.number;
        if (child.id > as_of)
            continue;
        TRY(figures_of(request, &child, as_of, &below));
        figures->children++;
        figures->instances += below.instances;
        figures->bytes += below.bytes;
        figures->last_ns = below.last_ns > figures->last_ns ? below.last_ns : figures->last_ns;
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

struct error figures_of(const struct request *request, const struct object_row *row, uint64_t as_of,
                        struct figures *figures)
{
    *figures = (struct figures){0};
    if (row->newest > as_of)
        return row->kind == OBJECT_SERIES ? count_series(request, row->id, as_of, figures)
                                          : count_below(request, row->id, as_of, figures);
    *figures = (struct figures){.children = row->kind == OBJECT_SERIES ? 0 : row->children,
                                .instances = row->instances,
                                .bytes = row->bytes,
                                .last_ns = row->changed_ns};
    return NO_ERROR;
}

/* ---- shared parts ----------------------------------------------------------------------------------------------- */

void summary_time(struct json *json, const char *key, uint64_t time_ns)
{
    struct tm tm;
    char text[64];
    time_t seconds = (time_t)(time_ns / 1000000000);
    gmtime_r(&seconds, &tm);
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + length, sizeof text - length, ".%09uZ", (unsigned)(time_ns % 1000000000));
    json_key_string(json, key, text);
}

static void text_member(struct json *json, const struct object_row *row, const char *key, uint32_t tag)
{
    json_key_string(json, key, attribute(&row->attributes, tag));
}

/* A number where the text is one, null where there is none, else the text. */
static void number_member(struct json *json, const struct object_row *row, const char *key, uint32_t tag)
{
    const char *text = attribute(&row->attributes, tag);
    char *end;
    long long number = strtoll(text, &end, 10);
    json_key(json, key);
    if (!*text)
        json_null(json);
    else if (*end || end - text > 12)
        json_string(json, text);
    else
        json_integer(json, number);
}

void summary_members_series(struct json *json, const struct object_row *series)
{
    json_key_string(json, "folder", series->name);
    text_member(json, series, "uid", TAG_SERIES_UID);
    number_member(json, series, "number", TAG_SERIES_NUMBER);
    text_member(json, series, "modality", TAG_MODALITY);
    text_member(json, series, "description", TAG_SERIES_DESCRIPTION);
}

void summary_members_study(struct json *json, const struct object_row *study)
{
    json_key_string(json, "folder", study->name);
    text_member(json, study, "uid", TAG_STUDY_UID);
    text_member(json, study, "date", TAG_STUDY_DATE);
    text_member(json, study, "description", TAG_STUDY_DESCRIPTION);
    text_member(json, study, "accession_number", TAG_ACCESSION);
}

void summary_identity_series(struct json *json, const struct object_row *series)
{
    json_key(json, "series");
    json_object(json);
    summary_members_series(json, series);
    text_member(json, series, "date", TAG_SERIES_DATE);
    text_member(json, series, "time", TAG_SERIES_TIME);
    text_member(json, series, "body_part", TAG_BODY_PART);
    text_member(json, series, "protocol", TAG_PROTOCOL_NAME);
    text_member(json, series, "frame_of_reference", TAG_FRAME_OF_REFERENCE);
    text_member(json, series, "manufacturer", TAG_MANUFACTURER);
    text_member(json, series, "model", TAG_MODEL);
    text_member(json, series, "station", TAG_STATION_NAME);
    text_member(json, series, "institution", TAG_INSTITUTION);
    json_object_end(json);
}

void summary_identity_study(struct json *json, const struct object_row *study)
{
    json_key(json, "study");
    json_object(json);
    summary_members_study(json, study);
    text_member(json, study, "time", TAG_STUDY_TIME);
    text_member(json, study, "id", TAG_STUDY_ID);
    text_member(json, study, "referring_physician", TAG_REFERRING_PHYSICIAN);
    json_object_end(json);
}

void summary_identity_patient(struct json *json, const struct object_row *patient)
{
    json_key(json, "patient");
    json_object(json);
    json_key_string(json, "folder", patient->name);
    text_member(json, patient, "id", TAG_PATIENT_ID);
    text_member(json, patient, "issuer", TAG_PATIENT_ID_ISSUER);
    text_member(json, patient, "name", TAG_PATIENT_NAME);
    text_member(json, patient, "birth_date", TAG_PATIENT_BIRTH_DATE);
    text_member(json, patient, "sex", TAG_PATIENT_SEX);
    json_object_end(json);
}

struct error summary_path(const struct request *request, struct json *json, const struct object_row *row)
{
    struct buf path;
    buf_init(&path);
    struct error err = object_path(request, row->id, &path);
    json_key_string(json, "path", buf_string(&path));
    buf_release(&path);
    return err;
}

/* ---- from inode to text ----------------------------------------------------------------------------------------- */

struct text {
    struct tree *tree;
    uint64_t id; /* of the edition */
    enum file_code code;
};

static struct error write_text(const struct request *request, const struct text *text, struct json *json)
{
    struct instance_row row;
    struct object_row folder;
    bool ordered = json->sink != NULL;
    TRY(pacs_instance(request->txn, text->id, &row));
    TRY(pacs_object(request->txn, row.series, &folder));
    TRY(object_above(request, (enum object_kind)file_kind_by_code(text->code)->of, &folder));
    TRY(folder.kind == OBJECT_SERIES  ? summary_series(request, &folder, text->id, json, ordered)
        : folder.kind == OBJECT_STUDY ? summary_study(request, &folder, text->id, json)
                                      : summary_patient(request, &folder, text->id, json));
    return json_finish(json);
}

/* Rendering takes a transaction of its own: the one that asked may wait here for another's rendering. */
static struct error render_to(const struct text *text, struct json *json)
{
    struct request request = {.tree = text->tree};
    TRY(pacs_begin(text->tree->pacs, &request.txn));
    struct error err = write_text(&request, text, json);
    pacs_end(request.txn);
    return err;
}

static struct error render(void *context, struct buf *out)
{
    struct json json;
    json_init(&json, json_to_buf, out, INDENT);
    return render_to(context, &json);
}

static struct error count(void *context, struct buf *out)
{
    struct json json;
    json_init(&json, NULL, NULL, INDENT);
    TRY(render_to(context, &json));
    buf_u64(out, json.size);
    return NO_ERROR;
}

static struct error size_of(const struct request *request, const struct instance_row *row, enum file_code code,
                            uint64_t *size)
{
    struct text text = {.tree = request->tree, .id = row->id, .code = code};
    return size_from_cache(request, node_inode(NODE_FILE, row->id, code), count, &text, size);
}

struct error summary_series_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    return size_of(request, row, FILE_SERIES_JSON, size);
}

struct error summary_study_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    return size_of(request, row, FILE_STUDY_JSON, size);
}

struct error summary_patient_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    return size_of(request, row, FILE_PATIENT_JSON, size);
}

struct error summary_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece)
{
    struct text text = {.tree = tree, .id = node.id, .code = (enum file_code)node.part};
    return piece_from_cache(tree, node, render, &text, offset, size, piece);
}
