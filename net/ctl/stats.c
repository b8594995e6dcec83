/* pacsctl stats: what the archive holds, how large it is, what memory it may take. */
#include "net/ctl/command.h"
#include "net/ctl/report.h"
#include "net/ctl/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 1024         /* rows read in one transaction */
#define MODALITIES_MAX 256 /* counted apart; what is beyond is counted as "other" */

struct modality {
    char name[32];
    uint64_t series, instances, bytes;
};

struct stats {
    struct pacs_counts counts;
    struct pacs_stored stored;
    struct cache_stats cache;
    struct modality modality[MODALITIES_MAX];
    unsigned modalities;
};

static struct modality *modality_of(struct stats *stats, const char *name)
{
    for (unsigned i = 0; i < stats->modalities; i++)
        if (strcmp(stats->modality[i].name, name) == 0)
            return &stats->modality[i];
    if (stats->modalities + 1 >= MODALITIES_MAX && strcmp(name, "other") != 0)
        return modality_of(stats, "other");
    struct modality *modality = &stats->modality[stats->modalities++];
    memset(modality, 0, sizeof *modality);
    snprintf(modality->name, sizeof modality->name, "%s", name);
    return modality;
}

static int by_series(const void *a, const void *b)
{
    const struct modality *x = a, *y = b;
    return x->series != y->series ? (x->series < y->series ? 1 : -1) : strcmp(x->name, y->name);
}

static struct error count_series(struct stats *stats, struct pacs *pacs)
{
    struct error err = NO_ERROR;
    struct object_row row;
    uint64_t after = 0;
    while (err.code == ERROR_NONE) {
        struct pacs_txn *txn;
        TRY(pacs_begin(pacs, &txn));
        for (unsigned i = 0; i < BATCH && err.code == ERROR_NONE; i++) {
            err = pacs_next_object(txn, OBJECT_SERIES, after, &row);
            if (err.code != ERROR_NONE)
                break;
            after = row.id;
            char name[32];
            snprintf(name, sizeof name, "%.31s", attribute(&row.attributes, TAG_MODALITY));
            struct modality *modality = modality_of(stats, name);
            modality->series++;
            modality->instances += row.instances;
            modality->bytes += row.bytes;
        }
        pacs_end(txn);
    }
    if (err.code == ERROR_NOT_FOUND)
        error_release(&err);
    qsort(stats->modality, stats->modalities, sizeof *stats->modality, by_series);
    return err;
}

static struct error gather(struct stats *stats, struct pacs *pacs)
{
    struct pacs_txn *txn;
    TRY(pacs_begin(pacs, &txn));
    struct error err = pacs_counts(txn, &stats->counts);
    pacs_end(txn);
    TRY(err);
    TRY(pacs_stored(pacs, &stats->stored));
    cache_stats(pacs_cache(pacs), &stats->cache);
    return count_series(stats, pacs);
}

/* One row a figure: its JSON key, what people read, and whether it is bytes. */
struct figure {
    const char *key, *label;
    uint64_t value;
    bool bytes;
};

static void print_figures(const struct figure *figures, size_t count)
{
    struct buf text;
    buf_init(&text);
    for (size_t i = 0; i < count; i++) {
        buf_clear(&text);
        (figures[i].bytes ? text_size : text_count)(&text, figures[i].value);
        printf("%-28s %16s\n", figures[i].label, buf_string(&text));
    }
    buf_release(&text);
}

static struct error print_modalities(const struct stats *stats)
{
    static const char *const titles[] = {"Modality", "Series", "Instances", "Size"};
    struct table table;
    struct buf cells[3];
    for (unsigned i = 0; i < 3; i++)
        buf_init(&cells[i]);
    putchar('\n');
    table_init(&table, 4, titles, "lrrr");
    for (unsigned i = 0; i < stats->modalities; i++) {
        const struct modality *m = &stats->modality[i];
        for (unsigned c = 0; c < 3; c++)
            buf_clear(&cells[c]);
        text_count(&cells[0], m->series);
        text_count(&cells[1], m->instances);
        text_size(&cells[2], m->bytes);
        table_row(&table, (const char *[]){*m->name ? m->name : "(none)", buf_string(&cells[0]), buf_string(&cells[1]),
                                           buf_string(&cells[2])});
    }
    for (unsigned i = 0; i < 3; i++)
        buf_release(&cells[i]);
    return table_end(&table);
}

static struct error print_json(const struct stats *stats, const struct figure *figures, size_t count)
{
    struct buf text;
    struct json json;
    buf_init(&text);
    json_init(&json, json_to_buf, &text, 2);
    json_object(&json);
    for (size_t i = 0; i < count; i++)
        json_key_unsigned(&json, figures[i].key, figures[i].value);
    json_key(&json, "modalities");
    json_object(&json);
    for (unsigned i = 0; i < stats->modalities; i++) {
        json_key(&json, stats->modality[i].name);
        json_object(&json);
        json_key_unsigned(&json, "series", stats->modality[i].series);
        json_key_unsigned(&json, "instances", stats->modality[i].instances);
        json_key_unsigned(&json, "bytes", stats->modality[i].bytes);
        json_object_end(&json);
    }
    json_object_end(&json);
    json_object_end(&json);
    struct error err = json_finish(&json);
    text_put(buf_string(&text), stdout);
    buf_release(&text);
    return err;
}

static struct error print(const struct stats *stats, bool json)
{
    const struct pacs_counts *c = &stats->counts;
    const struct figure figures[] = {
        {"patients", "patients", c->patients, false},
        {"studies", "studies", c->studies, false},
        {"series", "series", c->series, false},
        {"instances", "instances shown", c->instances, false},
        {"editions", "editions kept", c->editions, false},
        {"duplicates", "duplicates received", c->duplicates, false},
        {"conflicts", "conflicts", c->conflicts, false},
        {"lsn", "log sequence number", c->lsn, false},
        {"bytes", "size of the files shown", c->bytes, true},
        {"stored_bytes", "size of the packs", stats->stored.bytes, true},
        {"index_bytes", "size of the index", c->index_bytes, true},
        {"packs", "packs", stats->stored.packs, false},
        {"sealed_packs", "packs sealed", stats->stored.sealed, false},
        {"cache_limit_bytes", "cache limit a process", stats->cache.limit, true},
    };
    const size_t count = sizeof figures / sizeof *figures;
    if (json)
        return print_json(stats, figures, count);
    print_figures(figures, count);
    if (c->bytes && stats->stored.bytes)
        printf("%-28s %16.3f\n", "stored bytes a byte shown", (double)stats->stored.bytes / (double)c->bytes);
    return stats->modalities ? print_modalities(stats) : NO_ERROR;
}

struct error command_stats(struct call *call)
{
    struct pacs *pacs = NULL;
    struct error err;
    struct stats *stats = calloc(1, sizeof *stats);
    int json = 0;
    const struct poptOption options[] = {
        {"json", 0, POPT_ARG_NONE, &json, 0, "one JSON object", NULL},
        POPT_TABLEEND,
    };
    if (!stats)
        return error_make(ERROR_NO_MEMORY, "no memory for stats");
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    CHECK(call_no_words(call));
    CHECK(call_read(call, &pacs));
    CHECK(gather(stats, pacs));
    CHECK(print(stats, json));
out:
    pacs_close(pacs);
    free(stats);
    return err;
}
