/* pacsctl find: what matches, as a table or a JSON object a line, with its place in the tree. */
#include "net/ctl/command.h"
#include "net/ctl/match_words.h"
#include "net/ctl/report.h"
#include "net/ctl/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of the table when none are asked for. */
static const char *const default_columns[QUERY_LEVELS] = {
    "PatientID,PatientName,PatientBirthDate,PatientSex,NumberOfPatientRelatedStudies",
    "StudyDate,PatientID,PatientName,ModalitiesInStudy,StudyDescription,NumberOfStudyRelatedInstances",
    "StudyDate,PatientID,PatientName,Modality,SeriesNumber,SeriesDescription,NumberOfSeriesRelatedInstances",
    "PatientID,StudyDate,Modality,SeriesNumber,InstanceNumber,SOPInstanceUID",
};

struct finding {
    bool json;
    enum query_level level;
    struct report report;
    struct table table;
    struct query *query;
    uint32_t tags[QUERY_COLUMNS_MAX];
    unsigned columns;
    uint64_t hits;
};

static bool has_many_values(uint32_t tag)
{
    return tag == 0x00080061 || tag == 0x00080062;
}

static void json_values(struct json *json, const char *values)
{
    json_array(json);
    for (const char *p = values; *p;) {
        size_t n = strcspn(p, "\\");
        json_string_n(json, p, n);
        p += n + (p[n] == '\\');
    }
    json_array_end(json);
}

static struct error print_json(struct finding *finding, const struct query_hit *hit)
{
    struct buf line;
    struct json json;
    buf_init(&line);
    json_init(&json, json_to_buf, &line, 0);
    json_object(&json);
    json_key_string(&json, "level", query_level_names[finding->level]);
    json_key_string(&json, "path", hit->path);
    for (unsigned i = 0; i < finding->columns; i++) {
        char tag[10];
        const char *keyword = dictionary_keyword(finding->tags[i]);
        snprintf(tag, sizeof tag, "%08X", finding->tags[i]);
        json_key(&json, *keyword ? keyword : tag);
        if (has_many_values(finding->tags[i]))
            json_values(&json, hit->values[i]);
        else
            json_string(&json, hit->values[i]);
    }
    json_key_unsigned(&json, "bytes", hit->size);
    json_object_end(&json);
    struct error err = json_finish(&json);
    report_json(&finding->report, &line);
    buf_release(&line);
    return err;
}

static struct error show(void *context, const struct query_hit *hit)
{
    struct finding *finding = context;
    finding->hits++;
    if (finding->report.failed)
        return error_make(ERROR_BROKEN, "standard output cannot be written");
    if (finding->json)
        return print_json(finding, hit);
    const char *cells[QUERY_COLUMNS_MAX + 1];
    for (unsigned i = 0; i < finding->columns; i++)
        cells[i] = hit->values[i];
    cells[finding->columns] = hit->path;
    table_row(&finding->table, cells);
    return NO_ERROR;
}

static void begin_table(struct finding *finding)
{
    const char *titles[QUERY_COLUMNS_MAX + 1];
    char right[QUERY_COLUMNS_MAX + 2];
    for (unsigned i = 0; i < finding->columns; i++) {
        const char *vr = dictionary_vr(finding->tags[i]);
        titles[i] = dictionary_keyword(finding->tags[i]);
        right[i] = strcmp(vr, "IS") == 0 || strcmp(vr, "US") == 0 || strcmp(vr, "DS") == 0 ? 'r' : 'l';
    }
    titles[finding->columns] = "Path";
    right[finding->columns] = 'l';
    right[finding->columns + 1] = 0;
    table_init(&finding->table, finding->columns + 1, titles, right);
}

static struct error parse_level(const char *text, enum query_level *level)
{
    *level = QUERY_STUDY;
    if (!text)
        return NO_ERROR;
    for (*level = QUERY_PATIENT; *level < QUERY_LEVELS; ++*level)
        if (strcmp(text, query_level_names[*level]) == 0)
            return NO_ERROR;
    return error_make(ERROR_USAGE, "--level: \"%s\" is none of patient, study, series, instance", text);
}

/* All that rows of the level and of those above carry. */
static struct error all_columns(struct finding *finding)
{
    for (enum query_level level = QUERY_PATIENT; level <= finding->level; level++) {
        size_t count;
        const uint32_t *tags = query_attributes(level, &count);
        for (size_t i = 0; i < count; i++) {
            TRY(query_column(finding->query, tags[i]));
            finding->tags[finding->columns++] = tags[i];
        }
    }
    return NO_ERROR;
}

static struct error make_query(struct finding *finding, const struct call *call, const char *columns)
{
    TRY(query_new(&finding->query, finding->level));
    for (size_t i = 0; i < call->count; i++)
        TRY(match_word(finding->query, call->words[i]));
    if (!columns && finding->json)
        return all_columns(finding);
    columns = columns ? columns : default_columns[finding->level];
    return column_words(finding->query, columns, finding->tags, &finding->columns);
}

static struct error run(struct finding *finding, struct pacs *pacs, uint64_t limit)
{
    if (!finding->json)
        begin_table(finding);
    struct error err = query_run(pacs, finding->query, limit, show, finding);
    if (!finding->json) {
        struct error end = table_end(&finding->table);
        if (err.code == ERROR_NONE)
            return end;
        error_release(&end);
    }
    return err;
}

struct error command_find(struct call *call)
{
    struct finding *finding = calloc(1, sizeof *finding);
    struct pacs *pacs = NULL;
    char *level = NULL, *columns = NULL;
    int json = 0;
    long limit = 0;
    struct error err;
    const struct poptOption options[] = {
        {"level", 0, POPT_ARG_STRING, &level, 0, "what to list: patient, study (the default), series, instance",
         "LEVEL"},
        {"columns", 0, POPT_ARG_STRING, &columns, 0, "attributes to show, by keyword or GGGG,EEEE", "A,B,..."},
        {"limit", 0, POPT_ARG_LONG, &limit, 0, "at most so many", "N"},
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object a line, DICOM keywords as keys", NULL},
        POPT_TABLEEND,
    };
    if (!finding)
        return error_make(ERROR_NO_MEMORY, "no memory for find");
    report_init(&finding->report, NULL);
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    if (limit < 0)
        CHECK(error_make(ERROR_USAGE, "--limit: %ld is less than nothing", limit));
    finding->json = json;
    CHECK(parse_level(level, &finding->level));
    CHECK(make_query(finding, call, columns));
    CHECK(call_read(call, &pacs));
    CHECK(run(finding, pacs, (uint64_t)limit));
    CHECK(report_flush(&finding->report));
out:
    pacs_close(pacs);
    query_free(finding->query);
    report_release(&finding->report);
    free(columns);
    free(level);
    free(finding);
    return err;
}
