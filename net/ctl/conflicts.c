/* pacsctl conflicts: what a person should look at, in order of arrival. */
#include "index/query/find.h"
#include "net/ctl/command.h"
#include "net/ctl/report.h"
#include "net/ctl/table.h"

#include <stdio.h>

#define BATCH 256 /* rows read in one transaction */

struct listing {
    bool json;
    struct report report;
    struct table table;
};

/* Where an id stands, whatever it is; empty where it stands nowhere. */
static struct error place_of(struct pacs_txn *txn, uint64_t id, struct buf *out)
{
    if (!id)
        return NO_ERROR;
    struct error err = query_path(txn, id, false, out);
    if (err.code == ERROR_NOT_FOUND) {
        error_release(&err);
        err = query_path(txn, id, true, out);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

static struct error show(struct listing *listing, struct pacs_txn *txn, const struct conflict_row *row)
{
    struct buf line, object, other, when;
    struct error err = NO_ERROR;
    buf_init(&line);
    buf_init(&object);
    buf_init(&other);
    buf_init(&when);
    CHECK(place_of(txn, row->object, &object));
    CHECK(place_of(txn, row->other, &other));
    text_time(&when, row->time_ns);
    if (listing->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_unsigned(&json, "conflict", row->id);
        json_key_unsigned(&json, "lsn", row->lsn);
        json_key_string(&json, "time", buf_string(&when));
        json_key_string(&json, "kind", row->kind);
        json_key_string(&json, "path", buf_string(&object));
        json_key_string(&json, "other", buf_string(&other));
        json_key_string(&json, "text", row->text);
        json_object_end(&json);
        CHECK(json_finish(&json));
        report_json(&listing->report, &line);
    } else {
        char number[24];
        snprintf(number, sizeof number, "%llu", (unsigned long long)row->id);
        table_row(&listing->table,
                  (const char *[]){number, buf_string(&when), row->kind, buf_string(&object), row->text});
    }
out:
    buf_release(&when);
    buf_release(&other);
    buf_release(&object);
    buf_release(&line);
    return err;
}

static struct error show_all(struct listing *listing, struct pacs *pacs)
{
    struct conflict_row row;
    struct error err = NO_ERROR;
    uint64_t after = 0;
    while (err.code == ERROR_NONE) {
        struct pacs_txn *txn;
        TRY(pacs_begin(pacs, &txn));
        for (unsigned i = 0; i < BATCH && err.code == ERROR_NONE; i++) {
            err = pacs_next_conflict(txn, after, &row);
            if (err.code != ERROR_NONE)
                break;
            after = row.id;
            err = show(listing, txn, &row);
        }
        pacs_end(txn);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

struct error command_conflicts(struct call *call)
{
    static const char *const titles[] = {"No", "Time", "Kind", "Path", "What"};
    struct listing listing = {.json = false};
    struct pacs *pacs = NULL;
    struct error err = NO_ERROR;
    int json = 0;
    const struct poptOption options[] = {
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object a line", NULL},
        POPT_TABLEEND,
    };
    report_init(&listing.report, NULL);
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_no_words(call));
    listing.json = json;
    CHECK(call_read(call, &pacs));
    if (!json)
        table_init(&listing.table, 5, titles, "rllll");
    err = show_all(&listing, pacs);
    if (!json) {
        struct error end = table_end(&listing.table);
        if (err.code == ERROR_NONE)
            err = end;
        else
            error_release(&end);
    }
    CHECK(err);
    CHECK(report_flush(&listing.report));
out:
    pacs_close(pacs);
    report_release(&listing.report);
    return err;
}
