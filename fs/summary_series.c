/* What lives here: series.json. Two passes over the rows of the series: one gathers what the head and the order need,
 * the other writes the instances. A text of which only the size is wanted is written in the order of the rows, which
 * makes it neither longer nor shorter. */
#include "fs/summary.h"

#include "codecs/dicom/syntax.h"

#include <stdlib.h>
#include <string.h>

#define ORIGINS_MAX 64 /* origins listed one by one; what came from more is counted with the last */

struct item {
    double position;
    int64_t number;
    uint64_t id;
    bool numbered;
};

struct received {
    uint32_t origin;
    uint64_t count, first_ns, last_ns;
};

struct gathered {
    uint64_t instances, frames, bytes, versions;
    uint64_t last_ns;
    bool geometry; /* all have a position */
    size_t origins;
    struct received received[ORIGINS_MAX];
    struct buf items; /* struct item; empty where no order is wanted */
};

static void gather_origin(struct gathered *gathered, const struct instance_row *row)
{
    size_t i = 0;
    while (i < gathered->origins && gathered->received[i].origin != row->origin)
        i++;
    if (i == ORIGINS_MAX)
        i--;
    struct received *received = &gathered->received[i];
    if (i == gathered->origins) {
        gathered->origins++;
        *received = (struct received){.origin = row->origin, .first_ns = row->time_ns};
    }
    received->count++;
    received->last_ns = row->time_ns;
}

static void gather_row(struct gathered *gathered, const struct instance_row *row, uint64_t as_of, bool ordered)
{
    if (row->id > as_of)
        return;
    gather_origin(gathered, row);
    gathered->versions++;
    if ((row->flags & INSTANCE_SHOWN) && row->time_ns > gathered->last_ns)
        gathered->last_ns = row->time_ns;
    if (!instance_shown(row, as_of))
        return;
    gathered->instances++;
    gathered->bytes += row->size;
    gathered->frames += row->shape.bits_allocated ? row->shape.frames : 0;
    gathered->geometry = gathered->geometry && (row->flags & INSTANCE_POSITION);
    struct item item = {.position = row->position,
                        .number = row->instance_number,
                        .id = row->id,
                        .numbered = row->flags & INSTANCE_NUMBERED};
    if (ordered)
        buf_append(&gathered->items, &item, sizeof item);
}

static struct error gather(const struct request *request, uint64_t series, uint64_t as_of, bool ordered,
                           struct gathered *gathered)
{
    struct instance_row row;
    struct error err;
    uint64_t number = 0;
    while ((err = pacs_next_instance(request->txn, series, number, &row)).code == ERROR_NONE) {
        number = row.number;
        gather_row(gathered, &row, as_of, ordered);
    }
    if (err.code != ERROR_NOT_FOUND)
        return err;
    error_release(&err);
    return buf_error(&gathered->items);
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->numbered != y->numbered)
        return x->numbered ? -1 : 1;
    if (x->numbered && x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_position(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return by_number(a, b);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void write_instance(struct json *json, const struct instance_row *row)
{
    json_object(json);
    json_key_string(json, "file", row->name);
    json_key_string(json, "uid", row->uid);
    json_key_string(json, "sop_class", row->sop_class);
    json_key_string(json, "transfer_syntax", syntax_by_code(row->syntax)->uid);
    if (row->flags & INSTANCE_NUMBERED)
        json_key_integer(json, "number", row->instance_number);
    if (row->flags & INSTANCE_POSITION)
        json_key_number(json, "position", row->position);
    if (row->shape.bits_allocated) {
        json_key_unsigned(json, "rows", row->shape.rows);
        json_key_unsigned(json, "columns", row->shape.columns);
        json_key_unsigned(json, "frames", row->shape.frames);
    }
    json_key(json, "files");
    json_array(json);
    for (const struct file_kind *kind = file_kinds; kind->name; kind++)
        if (kind->of == OBJECT_INSTANCE && file_applies(kind, row))
            json_string(json, kind->word);
    json_array_end(json);
    json_key_unsigned(json, "bytes", row->size);
    json_object_end(json);
}

static struct error write_in_order(const struct request *request, const struct gathered *gathered, struct json *json)
{
    struct item *items = (struct item *)(void *)gathered->items.data;
    size_t count = gathered->items.size / sizeof *items;
    if (count)
        qsort(items, count, sizeof *items, gathered->geometry ? by_position : by_number);
    for (size_t i = 0; i < count; i++) {
        struct instance_row row;
        TRY(pacs_instance(request->txn, items[i].id, &row));
        write_instance(json, &row);
    }
    return NO_ERROR;
}

static struct error write_as_stored(const struct request *request, uint64_t series, uint64_t as_of, struct json *json)
{
    struct instance_row row;
    struct error err;
    uint64_t number = 0;
    while ((err = pacs_next_instance(request->txn, series, number, &row)).code == ERROR_NONE) {
        number = row.number;
        if (instance_shown(&row, as_of))
            write_instance(json, &row);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error write_received(const struct request *request, const struct gathered *gathered, struct json *json)
{
    json_key(json, "received");
    json_array(json);
    for (size_t i = 0; i < gathered->origins; i++) {
        const struct received *received = &gathered->received[i];
        struct origin_row origin;
        TRY(pacs_origin(request->txn, received->origin, &origin));
        json_object(json);
        json_key_string(json, "how", origin.how);
        json_key_string(json, "calling_ae", origin.calling_ae);
        json_key_string(json, "called_ae", origin.called_ae);
        json_key_string(json, "address", origin.address);
        json_key_unsigned(json, "count", received->count);
        summary_time(json, "first", received->first_ns);
        summary_time(json, "last", received->last_ns);
        json_object_end(json);
    }
    json_array_end(json);
    return NO_ERROR;
}

static struct error write_text(const struct request *request, const struct object_row *series, uint64_t as_of,
                               const struct gathered *gathered, struct json *json, bool ordered)
{
    struct object_row study = *series, patient;
    TRY(object_above(request, OBJECT_STUDY, &study));
    patient = study;
    TRY(object_above(request, OBJECT_PATIENT, &patient));
    json_object(json);
    json_key_string(json, "kind", "series");
    TRY(summary_path(request, json, series));
    summary_identity_patient(json, &patient);
    summary_identity_study(json, &study);
    summary_identity_series(json, series);
    json_key(json, "counts");
    json_object(json);
    json_key_unsigned(json, "instances", gathered->instances);
    json_key_unsigned(json, "frames", gathered->frames);
    json_key_unsigned(json, "bytes", gathered->bytes);
    json_key_unsigned(json, "versions", gathered->versions);
    json_object_end(json);
    summary_time(json, "last_arrival", gathered->last_ns);
    summary_time(json, "settled", gathered->last_ns + request->tree->quiet_ns);
    TRY(write_received(request, gathered, json));
    json_key_string(json, "order", gathered->geometry && gathered->instances ? "position" : "number");
    json_key(json, "instances");
    json_array(json);
    TRY(ordered ? write_in_order(request, gathered, json) : write_as_stored(request, series->id, as_of, json));
    json_array_end(json);
    json_object_end(json);
    return NO_ERROR;
}

struct error summary_series(const struct request *request, const struct object_row *series, uint64_t as_of,
                            struct json *json, bool ordered)
{
    struct gathered *gathered = calloc(1, sizeof *gathered);
    if (!gathered)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    gathered->geometry = true;
    buf_init(&gathered->items);
    struct error err = NO_ERROR;
    CHECK(gather(request, series->id, as_of, ordered, gathered));
    CHECK(write_text(request, series, as_of, gathered, json, ordered));
out:
    buf_release(&gathered->items);
    free(gathered);
    return err;
}
