/* What lives here: making queries, filling hits from rows and headers, running. What does not: where candidates come
 * from (walk.c), what rows can tell (attributes.c), matching (match.c).
 *
 * A run alternates between two states. COLLECT (collect): in a transaction, at most BATCH candidates and STEPS rows,
 * all text copied. DELIVER (deliver): without one; headers are read and keys on them checked, the callback runs. An
 * object above the deepest level is delivered once: the walk leaves it, and candidates of it that are in the batch
 * already are passed over.
 */
#include "index/query/find.h"

#include "codecs/dicom/charset.h"
#include "index/query/walk.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 64
#define STEPS 2048

const char *const query_level_names[QUERY_LEVELS + 1] = {"patient", "study", "series", "instance", NULL};

struct candidate {
    uint64_t ids[QUERY_LEVELS];
    uint64_t sample; /* the edition whose header speaks for it; 0: none needed */
    uint64_t size, time_ns;
    struct buf text; /* path, then values, each with a NUL */
    size_t path;
    size_t value[QUERY_COLUMNS_MAX];
};

struct run {
    struct pacs *pacs;
    const struct query *query;
    struct walk walk;
    struct candidate batch[BATCH];
    unsigned count;
    struct buf seen; /* 64-bit ids delivered, where the source is below the query's level */
    uint64_t last;   /* the newest delivered */
    uint64_t limit, hits;
    query_callback hit;
    void *context;
    bool end;
};

/* ---- making ------------------------------------------------------------------------------------------------------ */

struct error query_new(struct query **query, enum query_level level)
{
    *query = calloc(1, sizeof **query);
    if (!*query)
        return error_make(ERROR_NO_MEMORY, "no memory for a query");
    (*query)->level = level;
    return NO_ERROR;
}

void query_free(struct query *query)
{
    for (unsigned i = 0; query && i < query->keys; i++)
        match_free(query->key[i].match);
    free(query);
}

struct error query_key(struct query *query, uint32_t tag, const char *text)
{
    if (query->keys == QUERY_KEYS_MAX)
        return error_make(ERROR_USAGE, "more than %d keys", QUERY_KEYS_MAX);
    struct query_key *key = &query->key[query->keys];
    const char *vr = dictionary_vr(tag);
    if (strcmp(vr, "SQ") == 0)
        return error_make(ERROR_USAGE, "%s is a sequence: only single attributes are matched", dictionary_keyword(tag));
    TRY(error_context(match_new(&key->match, vr, text), "%s", dictionary_keyword(tag)));
    key->tag = tag;
    key->attribute = query_attribute(tag);
    query->header_keys += !key->attribute && match_kind(key->match) != MATCH_UNIVERSAL;
    query->keys++;
    return NO_ERROR;
}

struct error query_column(struct query *query, uint32_t tag)
{
    if (query->columns == QUERY_COLUMNS_MAX)
        return error_make(ERROR_USAGE, "more than %d columns", QUERY_COLUMNS_MAX);
    const struct query_attribute *attribute = query_attribute(tag);
    if (attribute && attribute->level > query->level)
        attribute = NULL; /* the first instance's header tells */
    query->column[query->columns].tag = tag;
    query->column[query->columns].attribute = attribute;
    query->header_columns += !attribute;
    query->columns++;
    return NO_ERROR;
}

/* ---- paths ------------------------------------------------------------------------------------------------------- */

static struct error object_path(struct pacs_txn *txn, uint64_t id, struct buf *out, unsigned depth)
{
    if (id == PACS_ROOT || depth > 8) {
        buf_text(out, "patients");
        return NO_ERROR;
    }
    struct object_row row;
    TRY(pacs_object(txn, id, &row));
    TRY(object_path(txn, row.parent, out, depth + 1));
    buf_printf(out, "/%s", row.name);
    return NO_ERROR;
}

struct error query_path(struct pacs_txn *txn, uint64_t id, bool instance, struct buf *out)
{
    if (!instance)
        return object_path(txn, id, out, 0);
    struct instance_row row;
    TRY(pacs_instance(txn, id, &row));
    TRY(object_path(txn, row.series, out, 0));
    buf_printf(out, "/%s", row.name);
    return NO_ERROR;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

#define HEADER_VALUES_MAX 1024 /* values of one attribute that are kept */

struct header {
    const struct query *query;
    struct charset *charset;
    uint32_t last; /* no attribute behind this tag is wanted */
    bool enough;
    struct buf key[QUERY_KEYS_MAX]; /* by number of key and of column; only those that the header answers */
    struct buf column[QUERY_COLUMNS_MAX];
};

static void header_init(struct header *header, const struct query *query)
{
    memset(header, 0, sizeof *header);
    header->query = query;
    for (unsigned i = 0; i < query->keys; i++)
        if (!query->key[i].attribute && query->key[i].tag > header->last)
            header->last = query->key[i].tag;
    for (unsigned i = 0; i < query->columns; i++)
        if (!query->column[i].attribute && query->column[i].tag > header->last)
            header->last = query->column[i].tag;
}

static void header_release(struct header *header)
{
    charset_free(header->charset);
    for (unsigned i = 0; i < header->query->keys; i++)
        buf_release(&header->key[i]);
    for (unsigned i = 0; i < header->query->columns; i++)
        buf_release(&header->column[i]);
}

static bool is_binary(const char *vr)
{
    static const char *const binary[] = {"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"};
    for (size_t i = 0; i < sizeof binary / sizeof *binary; i++)
        if (strcmp(binary[i], vr) == 0)
            return true;
    return false;
}

static bool is_text(const char *vr)
{
    static const char *const bytes[] = {"OB", "OW", "OF", "OD", "OL", "OV", "UN", "SQ"};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        if (strcmp(bytes[i], vr) == 0)
            return false;
    return true;
}

/* The value of a token as UTF-8, without padding, numbers in decimal. */
static void append_value(struct header *header, const struct dataset_token *token, struct buf *out)
{
    double number;
    int64_t integer;
    if (is_binary(token->vr)) {
        for (unsigned i = 0; i < HEADER_VALUES_MAX && dataset_number(token, i, &number); i++) {
            buf_text(out, i ? "\\" : "");
            if (token->vr[0] != 'F' && dataset_integer(token, i, &integer))
                buf_printf(out, "%lld", (long long)integer);
            else
                buf_printf(out, "%.9g", number);
        }
        return;
    }
    if (strcmp(token->vr, "AT") == 0) {
        for (unsigned i = 0; i < HEADER_VALUES_MAX && dataset_integer(token, i, &integer); i++)
            buf_printf(out, "%s%08llX", i ? "\\" : "", (unsigned long long)integer);
        return;
    }
    if (!is_text(token->vr) || !token->value)
        return;
    size_t size = (size_t)token->length;
    while (size && (token->value[size - 1] == ' ' || token->value[size - 1] == 0))
        size--;
    if (header->charset)
        charset_convert(header->charset, out, token->vr, token->value, size);
}

static struct error header_token(void *context, const struct dataset_token *token)
{
    struct header *header = context;
    if (token->depth == 0 && token->tag > header->last) {
        header->enough = true;
        return error_make(ERROR_RETRY, "enough was read");
    }
    if (token->depth || token->kind != DATASET_ELEMENT)
        return NO_ERROR;
    if (token->tag == 0x00080005) {
        char raw[1024] = "";
        if (token->value && token->length < sizeof raw)
            memcpy(raw, token->value, (size_t)token->length);
        charset_free(header->charset);
        header->charset = NULL;
        TRY(charset_new(&header->charset, raw));
    }
    if (!header->charset && token->tag > 0x00080005)
        TRY(charset_new(&header->charset, NULL));
    for (unsigned i = 0; i < header->query->keys; i++)
        if (!header->query->key[i].attribute && header->query->key[i].tag == token->tag)
            append_value(header, token, &header->key[i]);
    for (unsigned i = 0; i < header->query->columns; i++)
        if (!header->query->column[i].attribute && header->query->column[i].tag == token->tag)
            append_value(header, token, &header->column[i]);
    return NO_ERROR;
}

/* Reads what is wanted; attributes of the file that no data set holds stay empty. */
static struct error header_read(struct header *header, struct pacs *pacs, uint64_t id)
{
    struct instance_file *file;
    TRY(pacs_file_open(pacs, id, &file));
    struct error err = pacs_file_tokens(file, MATCH_KEY_MAX, header_token, header);
    if (header->enough)
        error_release(&err);
    pacs_file_close(file);
    return err;
}

static bool header_matches(struct header *header)
{
    for (unsigned i = 0; i < header->query->keys; i++)
        if (!header->query->key[i].attribute && !match_value(header->query->key[i].match, buf_string(&header->key[i])))
            return false;
    return true;
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */

/* The first shown instance below an object, 0 if there is none. */
static struct error first_below(struct pacs_txn *txn, enum query_level level, uint64_t id, uint64_t *sample)
{
    struct object_row object;
    struct instance_row instance;
    struct error err = NO_ERROR;
    *sample = level == QUERY_INSTANCE ? id : 0;
    for (uint64_t after = 0; err.code == ERROR_NONE && !*sample;) {
        if (level == QUERY_SERIES) {
            err = pacs_next_instance(txn, id, after, &instance);
            if (err.code == ERROR_NONE) {
                after = instance.number;
                *sample = instance_shown(&instance, UINT64_MAX) ? instance.id : 0;
            }
        } else {
            err = pacs_next_child(txn, id, after, &object);
            if (err.code == ERROR_NONE) {
                after = object.number;
                err = first_below(txn, level + 1, object.id, sample);
            }
        }
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    return err;
}

/* Copies the values of one level's row into its columns. */
static struct error fill_level(const struct query *query, enum query_level level, const struct query_subject *subject,
                               struct candidate *candidate)
{
    for (unsigned i = 0; i < query->columns; i++) {
        const struct query_attribute *attribute = query->column[i].attribute;
        if (!attribute || attribute->level != level)
            continue;
        candidate->value[i] = candidate->text.size;
        TRY(attribute->value(subject, query->column[i].tag, &candidate->text));
        buf_byte(&candidate->text, 0);
    }
    return NO_ERROR;
}

static struct error fill(struct run *run, struct pacs_txn *txn, struct candidate *candidate)
{
    const struct query *query = run->query;
    struct object_row object;
    struct instance_row instance;
    enum query_level level = query->level;
    memcpy(candidate->ids, run->walk.ids, sizeof candidate->ids);
    buf_clear(&candidate->text);
    buf_byte(&candidate->text, 0); /* offset 0 is the empty value */
    memset(candidate->value, 0, sizeof candidate->value);
    for (enum query_level l = QUERY_PATIENT; l <= level && l < QUERY_INSTANCE; l++) {
        struct query_subject subject = {txn, &object, NULL};
        TRY(pacs_object(txn, candidate->ids[l], &object));
        TRY(fill_level(query, l, &subject, candidate));
        candidate->time_ns = object.changed_ns;
        candidate->size = object.bytes;
    }
    if (level == QUERY_INSTANCE) {
        struct query_subject subject = {txn, NULL, &instance};
        TRY(pacs_instance(txn, candidate->ids[QUERY_INSTANCE], &instance));
        TRY(fill_level(query, QUERY_INSTANCE, &subject, candidate));
        candidate->time_ns = instance.time_ns;
        candidate->size = instance.size;
    }
    candidate->path = candidate->text.size;
    TRY(query_path(txn, candidate->ids[level], level == QUERY_INSTANCE, &candidate->text));
    buf_byte(&candidate->text, 0);
    candidate->sample = 0;
    if (query->header_keys)
        candidate->sample = candidate->ids[QUERY_INSTANCE];
    else if (query->header_columns)
        TRY(first_below(txn, level, candidate->ids[level], &candidate->sample));
    return buf_error(&candidate->text);
}

static bool was_delivered(const struct run *run, uint64_t id)
{
    const uint64_t *seen = (const uint64_t *)(const void *)run->seen.data;
    bool found = id == run->last;
    for (size_t i = 0; i < run->seen.size / sizeof id && !found; i++)
        found = seen[i] == id;
    return found;
}

static void mark_delivered(struct run *run, uint64_t id)
{
    run->last = id;
    if (run->walk.source_below)
        buf_append(&run->seen, &id, sizeof id);
    if (run->walk.ids[run->query->level] == id)
        walk_leave(&run->walk, run->query->level);
}

static struct error collect(struct run *run)
{
    struct pacs_txn *txn;
    unsigned steps = STEPS;
    enum query_level level = run->query->level;
    run->count = 0;
    TRY(pacs_begin(run->pacs, &txn));
    struct error err = NO_ERROR;
    while (steps && run->count < BATCH) {
        bool found;
        CHECK(walk_next(&run->walk, txn, &steps, &found));
        if (!found)
            break;
        uint64_t id = run->walk.ids[level];
        if (was_delivered(run, id)) {
            walk_leave(&run->walk, level);
            continue;
        }
        CHECK(fill(run, txn, &run->batch[run->count]));
        run->count++;
        if (!run->query->header_keys)
            mark_delivered(run, id);
    }
out:
    if (err.code == ERROR_NOT_FOUND) {
        run->end = true;
        error_release(&err);
    }
    pacs_end(txn);
    return err;
}

/* ---- delivering -------------------------------------------------------------------------------------------------- */

static struct error deliver(struct run *run, struct candidate *candidate)
{
    const struct query *query = run->query;
    uint64_t id = candidate->ids[query->level];
    const char *values[QUERY_COLUMNS_MAX];
    struct header header;
    struct error err = NO_ERROR;
    header_init(&header, query);
    if (query->header_keys && was_delivered(run, id))
        goto out;
    if (candidate->sample)
        CHECK(header_read(&header, run->pacs, candidate->sample));
    if (query->header_keys && !header_matches(&header))
        goto out;
    for (unsigned i = 0; i < query->columns; i++)
        values[i] = query->column[i].attribute ? (const char *)candidate->text.data + candidate->value[i]
                                               : buf_string(&header.column[i]);
    struct query_hit hit = {
        {0}, (const char *)candidate->text.data + candidate->path, values, candidate->size, candidate->time_ns};
    memcpy(hit.ids, candidate->ids, (query->level + 1) * sizeof *hit.ids);
    CHECK(run->hit(run->context, &hit));
    run->hits++;
    run->end |= run->limit && run->hits == run->limit;
    if (query->header_keys)
        mark_delivered(run, id);
out:
    header_release(&header);
    return err;
}

struct error query_run(struct pacs *pacs, const struct query *query, uint64_t limit, query_callback hit, void *context)
{
    struct error err = NO_ERROR;
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return error_make(ERROR_NO_MEMORY, "no memory for a query");
    run->pacs = pacs;
    run->query = query;
    run->limit = limit;
    run->hit = hit;
    run->context = context;
    walk_init(&run->walk, query);
    while (!run->end) {
        CHECK(collect(run));
        for (unsigned i = 0; i < run->count && !(run->limit && run->hits == run->limit); i++)
            CHECK(deliver(run, &run->batch[i]));
        CHECK(buf_error(&run->seen));
    }
out:
    for (unsigned i = 0; i < BATCH; i++)
        buf_release(&run->batch[i].text);
    buf_release(&run->seen);
    walk_release(&run->walk);
    free(run);
    return err;
}
