/* pacsctl conflicts: what a person should look at, in order of arrival. */
#include "index/query/find.h"
#include "net/ctl/command.h"
#include "net/ctl/report.h"
#include "net/ctl/table.h"

#include <stdio.h>
#include <string.h>

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

/* One conflict as text of its own: what is printed may block, and then no transaction is open. */
struct shown {
    char number[24];
    struct buf lsn, kind, object, other, when, text;
};

static void shown_clear(struct shown *shown, void (*clear)(struct buf *))
{
    clear(&shown->lsn);
    clear(&shown->kind);
    clear(&shown->object);
    clear(&shown->other);
    clear(&shown->when);
    clear(&shown->text);
}

static struct error take(struct pacs *pacs, uint64_t *after, struct shown *shown)
{
    struct pacs_txn *txn;
    struct conflict_row row;
    TRY(pacs_begin(pacs, &txn));
    struct error err;
    CHECK(pacs_next_conflict(txn, *after, &row));
    *after = row.id;
    snprintf(shown->number, sizeof shown->number, "%llu", (unsigned long long)row.id);
    buf_text(&shown->kind, row.kind);
    buf_text(&shown->text, row.text);
    text_time(&shown->when, row.time_ns);
    buf_printf(&shown->lsn, "%llu", (unsigned long long)row.lsn);
    CHECK(place_of(txn, row.object, &shown->object));
    CHECK(place_of(txn, row.other, &shown->other));
out:
    pacs_end(txn);
    return err;
}

static struct error print_json(struct listing *listing, struct shown *shown)
{
    struct buf line;
    struct json json;
    buf_init(&line);
    json_init(&json, json_to_buf, &line, 0);
    json_object(&json);
    json_key(&json, "conflict");
    json_raw(&json, shown->number, strlen(shown->number));
    json_key(&json, "lsn");
    json_raw(&json, shown->lsn.data, shown->lsn.size);
    json_key_string(&json, "time", buf_string(&shown->when));
    json_key_string(&json, "kind", buf_string(&shown->kind));
    json_key_string(&json, "path", buf_string(&shown->object));
    json_key_string(&json, "other", buf_string(&shown->other));
    json_key_string(&json, "text", buf_string(&shown->text));
    json_object_end(&json);
    struct error err = json_finish(&json);
    report_line(&listing->report, buf_string(&line));
    buf_release(&line);
    return err;
}

static struct error show_all(struct listing *listing, struct pacs *pacs)
{
    struct shown shown;
    struct error err = NO_ERROR;
    memset(&shown, 0, sizeof shown);
    for (uint64_t after = 0; err.code == ERROR_NONE;) {
        shown_clear(&shown, buf_clear);
        err = take(pacs, &after, &shown);
        if (err.code != ERROR_NONE)
            break;
        if (listing->json)
            err = print_json(listing, &shown);
        else
            table_row(&listing->table, (const char *[]){shown.number, buf_string(&shown.when), buf_string(&shown.kind),
                                                        buf_string(&shown.object), buf_string(&shown.text)});
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    shown_clear(&shown, buf_release);
    return err;
}

struct error command_conflicts(struct call *call)
{
    static const char *const titles[] = {"No", "Time", "Kind", "Path", "What"};
    struct listing listing = {.json = false};
    struct pacs *pacs = NULL;
    struct error err;
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
