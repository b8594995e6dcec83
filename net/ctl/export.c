/* pacsctl export: files out, by UID or match, as they came in, byte for byte.
 *
 * Each word that is a UID is looked for as a study, a series and an instance, in this order; all KEYWORD=VALUE words
 * together are one match. Hits are read through the archive's checks; a damaged one is refused and leaves no file.
 */
#include "index/query/find.h"
#include "net/ctl/command.h"
#include "net/ctl/interrupt.h"
#include "net/ctl/match_words.h"
#include "net/ctl/report.h"
#include "net/ctl/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (1 << 20)

struct export
{
    struct pacs *pacs;
    struct target *target;
    struct report report;
    bool json, quiet, flat;
    uint64_t found, written, refused, bytes;
    bool broken; /* the target is not whole: an archive is not kept */
    uint8_t *block;
};

/* ---- verdicts ---------------------------------------------------------------------------------------------------- */

static void say(struct export *x, const char *verdict, const char *name, const char *uid, const struct error *why)
{
    struct buf line;
    buf_init(&line);
    if (x->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_string(&json, "verdict", verdict);
        json_key_string(&json, "file", name);
        json_key_string(&json, "instance", uid);
        if (why) {
            json_key_string(&json, "error", error_name(why->code));
            json_key_string(&json, "reason", error_text(why));
        }
        json_object_end(&json);
        struct error err = json_finish(&json);
        error_release(&err);
    } else {
        buf_printf(&line, "%s ", verdict);
        text_shown(&line, name);
        if (why) {
            buf_text(&line, ": ");
            text_shown(&line, error_text(why));
        }
    }
    report_line(&x->report, buf_string(&line));
    buf_release(&line);
}

static void summary(struct export *x)
{
    struct buf line;
    buf_init(&line);
    if (x->json) {
        struct json json;
        json_init(&json, json_to_buf, &line, 0);
        json_object(&json);
        json_key_string(&json, "verdict", "summary");
        json_key_unsigned(&json, "written", x->written);
        json_key_unsigned(&json, "refused", x->refused);
        json_key_unsigned(&json, "bytes", x->bytes);
        json_object_end(&json);
        struct error err = json_finish(&json);
        error_release(&err);
    } else {
        text_count(&line, x->written);
        buf_text(&line, " written, ");
        text_count(&line, x->refused);
        buf_text(&line, " refused; ");
        text_size(&line, x->bytes);
    }
    report_line(&x->report, buf_string(&line));
    buf_release(&line);
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static struct error copy(struct export *x, struct instance_file *file)
{
    uint64_t size = pacs_file_size(file);
    for (uint64_t offset = 0; offset < size;) {
        size_t got;
        TRY(pacs_file_read(file, offset, x->block, BLOCK, &got));
        if (!got)
            return error_make(ERROR_DAMAGED, "it ends after %llu of %llu bytes", (unsigned long long)offset,
                              (unsigned long long)size);
        TRY(x->target->ops->feed(x->target, x->block, got));
        offset += got;
    }
    return NO_ERROR;
}

/* Reads all of a file, so that one which is damaged is known before it is begun. */
static struct error check(struct export *x, struct instance_file *file)
{
    uint64_t size = pacs_file_size(file);
    size_t got = 1;
    for (uint64_t offset = 0; offset < size && got; offset += got)
        TRY(pacs_file_read(file, offset, x->block, BLOCK, &got));
    return NO_ERROR;
}

static struct error write_one(struct export *x, const char *name, uint64_t id, uint64_t time_ns, uint64_t *size)
{
    struct instance_file *file;
    TRY(pacs_file_open(x->pacs, id, &file));
    struct error err;
    *size = pacs_file_size(file);
    if (x->target->whole_only)
        CHECK(check(x, file));
    CHECK(x->target->ops->begin(x->target, name, *size, time_ns));
    err = copy(x, file);
    if (err.code == ERROR_NONE) {
        err = x->target->ops->end(x->target);
    } else {
        x->target->ops->drop(x->target);
        x->broken = x->target->whole_only;
    }
out:
    pacs_file_close(file);
    return err;
}

/* No component of a recorded name may lead elsewhere, whatever wrote the record. */
static bool is_safe(const char *name)
{
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n + (p[n] == '/');
    }
    return *name && name[strlen(name) - 1] != '/';
}

static struct error export_hit(void *context, const struct query_hit *hit)
{
    struct export *x = context;
    const char *path = strchr(hit->path, '/'), *uid = hit->values[0];
    struct buf name;
    struct error err = NO_ERROR;
    uint64_t size = 0;
    if (interrupted())
        return error_make(ERROR_RETRY, "stopped before the end");
    buf_init(&name);
    buf_printf(&name, "%s.dcm", x->flat ? uid : path ? path + 1 : hit->path);
    x->found++;
    err = is_safe(buf_string(&name)) ? write_one(x, buf_string(&name), hit->ids[QUERY_INSTANCE], hit->time_ns, &size)
                                     : error_make(ERROR_REFUSED, "an unsafe name");
    if (err.code == ERROR_NONE) {
        x->written++;
        x->bytes += size;
        if (!x->quiet)
            say(x, "written", buf_string(&name), uid, NULL);
    } else {
        x->refused++;
        say(x, "refused", buf_string(&name), uid, &err);
        if (err.code != ERROR_FULL && err.code != ERROR_BROKEN)
            error_release(&err);
    }
    buf_release(&name);
    report_progress(&x->report, x->written, 0, x->bytes, 0);
    return err;
}

/* ---- what to export ---------------------------------------------------------------------------------------------- */

static struct error run(struct export *x, struct query *query)
{
    TRY(query_column(query, TAG_SOP_INSTANCE));
    return query_run(x->pacs, query, 0, export_hit, x);
}

static struct error export_uid(struct export *x, const char *uid)
{
    static const uint32_t tags[] = {TAG_STUDY_UID, TAG_SERIES_UID, TAG_SOP_INSTANCE};
    uint64_t before = x->found;
    for (size_t i = 0; i < 3 && x->found == before; i++) {
        struct query *query;
        TRY(query_new(&query, QUERY_INSTANCE));
        struct error err = query_key(query, tags[i], uid);
        if (err.code == ERROR_NONE)
            err = run(x, query);
        query_free(query);
        TRY(err);
    }
    if (x->found == before) {
        struct error err = error_make(ERROR_NOT_FOUND, "no study, series or instance with this UID");
        x->refused++;
        say(x, "refused", uid, uid, &err);
        error_release(&err);
    }
    return NO_ERROR;
}

static struct error export_matches(struct export *x, const struct call *call)
{
    struct query *query;
    bool any = false;
    TRY(query_new(&query, QUERY_INSTANCE));
    struct error err = NO_ERROR;
    for (size_t i = 0; i < call->count; i++)
        if (!is_uid_word(call->words[i])) {
            any = true;
            CHECK(match_word(query, call->words[i]));
        }
    if (any) {
        uint64_t before = x->found;
        CHECK(run(x, query));
        if (x->found == before)
            err = error_make(ERROR_NOT_FOUND, "nothing matches");
    }
out:
    query_free(query);
    return err;
}

static struct error export_all(struct export *x, const struct call *call)
{
    struct error err = export_matches(x, call);
    for (size_t i = 0; i < call->count && err.code == ERROR_NONE; i++)
        if (is_uid_word(call->words[i]))
            err = export_uid(x, call->words[i]);
    struct error end = x->target->ops->finish(x->target, err.code == ERROR_NONE && !x->broken);
    x->target = NULL;
    if (err.code == ERROR_NONE)
        err = end;
    else
        error_release(&end);
    return err;
}

struct places {
    char *folder, *archive;
    int force;
};

static struct error open_target(struct export *x, const struct places *places)
{
    if (!places->folder == !places->archive)
        return error_make(ERROR_USAGE, "where to? Give -o DIR or --archive FILE");
    return places->folder ? folder_target(&x->target, places->folder, places->force)
                          : archive_target(&x->target, places->archive, places->force);
}

/* All words are read before anything is made. */
static struct error check_words(const struct call *call)
{
    struct query *query;
    if (!call->count)
        return error_make(ERROR_USAGE, "export what? Give UIDs or KEYWORD=VALUE (PatientID=* is everything)");
    TRY(query_new(&query, QUERY_INSTANCE));
    struct error err = NO_ERROR;
    for (size_t i = 0; i < call->count && err.code == ERROR_NONE; i++)
        if (!is_uid_word(call->words[i]))
            err = match_word(query, call->words[i]);
    query_free(query);
    return err;
}

struct error command_export(struct call *call)
{
    struct export x = {.json = false};
    struct places places = {NULL, NULL, 0};
    int json = 0, quiet = 0, flat = 0;
    struct error err;
    const struct poptOption options[] = {
        {"output", 'o', POPT_ARG_STRING, &places.folder, 0, "the folder to write to", "DIR"},
        {"archive", 0, POPT_ARG_STRING, &places.archive, 0, "write one .zip, .tar, .tar.gz, .tar.zst instead", "FILE"},
        {"flat", 0, POPT_ARG_NONE, &flat, 0, "no folders, files named by SOP Instance UID", NULL},
        {"force", 0, POPT_ARG_NONE, &places.force, 0, "replace files that are there", NULL},
        {"quiet", 'q', POPT_ARG_NONE, &quiet, 0, "print only what is refused, and the summary", NULL},
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object a file, and a summary", NULL},
        POPT_TABLEEND,
    };
    report_init(&x.report, "files");
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    x.json = json;
    x.quiet = quiet;
    x.flat = flat;
    CHECK(check_words(call));
    if (!(x.block = malloc(BLOCK)))
        CHECK(error_make(ERROR_NO_MEMORY, "no memory"));
    CHECK(call_read(call, &x.pacs));
    interrupt_watch();
    CHECK(open_target(&x, &places));
    err = export_all(&x, call);
    summary(&x);
    CHECK(err);
    if (x.refused)
        call->status = STATUS_SOME_FAILED;
    CHECK(report_flush(&x.report));
out:
    pacs_close(x.pacs);
    report_release(&x.report);
    free(x.block);
    free(places.archive);
    free(places.folder);
    return err;
}
