/* pacsctl rebuild: throws the index away and makes it anew from the packs. Needs the writer's lock. */
#include "net/ctl/command.h"
#include "net/ctl/report.h"

static void advance(void *context, uint64_t done, uint64_t all)
{
    report_progress(context, 0, 0, done, all);
}

struct error command_rebuild(struct call *call)
{
    struct report report;
    struct pacs *pacs = NULL;
    struct pacs_txn *txn = NULL;
    struct pacs_counts counts;
    struct buf line;
    struct error err;
    const struct poptOption options[] = {POPT_TABLEEND};
    buf_init(&line);
    report_init(&report, NULL);
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_no_words(call));
    struct pacs_options opening = pacs_options_default();
    opening.mode = PACS_REBUILD;
    opening.progress = advance;
    opening.progress_context = &report;
    err = call_open(call, &opening, &pacs);
    if (err.code == ERROR_BUSY)
        err = error_context(err, "the index is rebuilt only while nobody writes; stop pacsd first");
    CHECK(err);
    CHECK(pacs_begin(pacs, &txn));
    CHECK(pacs_counts(txn, &counts));
    buf_text(&line, "the index is new: ");
    text_count(&line, counts.patients);
    buf_text(&line, " patients, ");
    text_count(&line, counts.studies);
    buf_text(&line, " studies, ");
    text_count(&line, counts.series);
    buf_text(&line, " series, ");
    text_count(&line, counts.instances);
    buf_text(&line, " instances");
    report_line(&report, buf_string(&line));
    CHECK(report_flush(&report));
out:
    if (txn)
        pacs_end(txn);
    pacs_close(pacs);
    report_release(&report);
    buf_release(&line);
    return err;
}
