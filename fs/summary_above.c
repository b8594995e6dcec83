/* What lives here: study.json and patient.json: identity, counts, the newest change below, and a line for each folder
 * below. */
#include "fs/summary.h"

static void write_figures(const struct request *request, struct json *json, const struct figures *figures,
                          const char *children)
{
    if (children)
        json_key_unsigned(json, children, figures->children);
    json_key_unsigned(json, "instances", figures->instances);
    json_key_unsigned(json, "bytes", figures->bytes);
    summary_time(json, "last_arrival", figures->last_ns);
    summary_time(json, "settled", figures->last_ns + request->tree->quiet_ns);
}

/* The folders below, one object each. */
static struct error write_children(const struct request *request, const struct object_row *parent, uint64_t as_of,
                                   struct json *json)
{
    struct object_row child;
    struct error err;
    uint64_t number = 0;
    json_array(json);
    while ((err = pacs_next_child(request->txn, parent->id, number, &child)).code == ERROR_NONE) {
        struct figures figures;
        number = child.number;
        if (child.id > as_of)
            continue;
        TRY(figures_of(request, &child, as_of, &figures));
        json_object(json);
        if (child.kind == OBJECT_SERIES)
            summary_members_series(json, &child);
        else
            summary_members_study(json, &child);
        write_figures(request, json, &figures, child.kind == OBJECT_SERIES ? NULL : "series");
        json_object_end(json);
    }
    json_array_end(json);
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error write_counts(const struct request *request, const struct object_row *row, uint64_t as_of,
                                 struct json *json, const char *children)
{
    struct figures figures;
    TRY(figures_of(request, row, as_of, &figures));
    json_key(json, "counts");
    json_object(json);
    json_key_unsigned(json, children, figures.children);
    json_key_unsigned(json, "instances", figures.instances);
    json_key_unsigned(json, "bytes", figures.bytes);
    json_object_end(json);
    summary_time(json, "last_arrival", figures.last_ns);
    summary_time(json, "settled", figures.last_ns + request->tree->quiet_ns);
    return NO_ERROR;
}

struct error summary_study(const struct request *request, const struct object_row *study, uint64_t as_of,
                           struct json *json)
{
    struct object_row patient = *study;
    TRY(object_above(request, OBJECT_PATIENT, &patient));
    json_object(json);
    json_key_string(json, "kind", "study");
    TRY(summary_path(request, json, study));
    summary_identity_patient(json, &patient);
    summary_identity_study(json, study);
    TRY(write_counts(request, study, as_of, json, "series"));
    json_key(json, "series");
    TRY(write_children(request, study, as_of, json));
    json_object_end(json);
    return NO_ERROR;
}

struct error summary_patient(const struct request *request, const struct object_row *patient, uint64_t as_of,
                             struct json *json)
{
    json_object(json);
    json_key_string(json, "kind", "patient");
    TRY(summary_path(request, json, patient));
    summary_identity_patient(json, patient);
    TRY(write_counts(request, patient, as_of, json, "studies"));
    json_key(json, "studies");
    TRY(write_children(request, patient, as_of, json));
    json_object_end(json);
    return NO_ERROR;
}
