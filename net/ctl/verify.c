/* pacsctl verify: reads everything and compares. Exit 3 when something is damaged. */
#include "net/ctl/command.h"
#include "net/ctl/report.h"

struct verify {
    struct report report;
    bool json;
};

static void found(void *context, bool damage, const char *text)
{
    struct verify *verify = context;
    struct buf line;
    buf_init(&line);
    if (verify->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_string(&json, "finding", damage ? "damage" : "note");
        json_key_string(&json, "text", text);
        json_object_end(&json);
        struct error err = json_finish(&json);
        error_release(&err);
    } else {
        buf_text(&line, damage ? "damaged: " : "note: ");
        text_shown(&line, text);
    }
    report_line(&verify->report, buf_string(&line));
    buf_release(&line);
}

static void advance(void *context, uint64_t done, uint64_t all)
{
    struct verify *verify = context;
    report_progress(&verify->report, 0, 0, done, all);
}

static struct error summary(struct verify *verify, const struct verify_result *result)
{
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {{"packs", result->packs},         {"records", result->records}, {"chunks", result->chunks},
                {"instances", result->instances}, {"bytes", result->bytes},     {"damaged", result->damaged}};
    struct buf line;
    buf_init(&line);
    struct error err = NO_ERROR;
    if (verify->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_string(&json, "finding", "summary");
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            json_key_unsigned(&json, rows[i].name, rows[i].count);
        json_object_end(&json);
        err = json_finish(&json);
    } else {
        for (size_t i = 0; i < 4; i++) {
            text_count(&line, rows[i].count);
            buf_printf(&line, " %s, ", rows[i].name);
        }
        text_size(&line, result->bytes);
        if (result->damaged)
            buf_printf(&line, " read: %llu damaged", (unsigned long long)result->damaged);
        else
            buf_text(&line, " read: all as written");
    }
    report_line(&verify->report, buf_string(&line));
    buf_release(&line);
    return err;
}

struct error command_verify(struct call *call)
{
    struct verify verify = {.json = false};
    struct pacs *pacs = NULL;
    struct error err;
    int json = 0;
    const struct poptOption options[] = {
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object a finding and a summary", NULL},
        POPT_TABLEEND,
    };
    report_init(&verify.report, NULL);
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_no_words(call));
    verify.json = json;
    struct pacs_options opening = pacs_options_default();
    opening.progress = advance;
    opening.progress_context = &verify;
    CHECK(call_open(call, &opening, &pacs));
    struct verify_result result = {0};
    CHECK(pacs_verify(pacs, found, &verify, &result));
    CHECK(summary(&verify, &result));
    CHECK(report_flush(&verify.report));
    if (result.damaged)
        call->status = STATUS_DAMAGED;
out:
    pacs_close(pacs);
    report_release(&verify.report);
    return err;
}
