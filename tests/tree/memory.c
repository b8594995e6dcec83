/* What lives here: the arrays, and the functions of index/index.h over them, by plain search. */
#include "memory.h"

#include "codecs/base/cache.h"
#include "codecs/dicom/json_model.h"
#include "codecs/dicom/names.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ROWS_MAX 65536

struct pacs {
    pthread_mutex_t lock; /* guards all rows; a transaction holds it */
    struct archive_conf conf;
    struct cache *cache;
    struct object_row objects[ROWS_MAX];
    struct instance_row instances[ROWS_MAX];
    size_t object_count, instance_count;
    _Atomic uint64_t next_id;
};

struct pacs_txn {
    struct pacs *pacs;
};

/* ---- making rows ------------------------------------------------------------------------------------------------ */

static struct error none(void)
{
    return error_make(ERROR_NOT_FOUND, "none");
}

static struct object_row *find(struct pacs *pacs, uint64_t id)
{
    for (size_t i = 0; i < pacs->object_count; i++)
        if (pacs->objects[i].id == id)
            return &pacs->objects[i];
    return NULL;
}

struct pacs *memory_new(int64_t quiet_ms)
{
    struct pacs *pacs = calloc(1, sizeof *pacs);
    struct error err = cache_new(&pacs->cache, 64 << 20);
    error_release(&err);
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&pacs->lock, &kind);
    pacs->conf.quiet_ms = quiet_ms;
    pacs->objects[0] = (struct object_row){.kind = OBJECT_FOLDER, .id = PACS_ROOT, .name = ""};
    pacs->object_count = 1;
    pacs->next_id = 2;
    return pacs;
}

void memory_free(struct pacs *pacs)
{
    for (size_t i = 1; i < pacs->object_count; i++) {
        free((char *)(uintptr_t)pacs->objects[i].name);
        free((uint8_t *)(uintptr_t)pacs->objects[i].attributes.data);
    }
    cache_free(pacs->cache);
    free(pacs);
}

void memory_forget(struct pacs *pacs)
{
    cache_free(pacs->cache);
    struct error err = cache_new(&pacs->cache, 64 << 20);
    error_release(&err);
}

/* Attributes as "TTTTTTTTtext", each with a NUL behind. */
const char *attribute(const struct attributes *attributes, uint32_t tag)
{
    char wanted[9];
    snprintf(wanted, sizeof wanted, "%08X", tag);
    const char *p = (const char *)attributes->data, *end = p + attributes->size;
    for (; p && p < end; p += strlen(p) + 1)
        if (strncmp(p, wanted, 8) == 0)
            return p + 8;
    return "";
}

uint64_t memory_object(struct pacs *pacs, enum object_kind kind, uint64_t parent, const char *name, uint64_t time_s,
                       ...)
{
    struct buf attributes;
    va_list list;
    buf_init(&attributes);
    va_start(list, time_s);
    for (uint32_t tag; (tag = va_arg(list, uint32_t)) != 0;) {
        buf_printf(&attributes, "%08X%s", tag, va_arg(list, const char *));
        buf_byte(&attributes, 0);
    }
    va_end(list);
    struct object_row *up = find(pacs, parent);
    uint64_t time_ns = time_s * 1000000000;
    pthread_mutex_lock(&pacs->lock);
    struct object_row *row = &pacs->objects[pacs->object_count++];
    *row = (struct object_row){.kind = kind,
                               .id = pacs->next_id++,
                               .parent = parent,
                               .number = ++up->children,
                               .name = strdup(name),
                               .created_ns = time_ns,
                               .list_ns = time_ns,
                               .changed_ns = time_ns,
                               .attributes = {attributes.data, attributes.size}};
    up->list_ns = time_ns;
    up->created_ns = up->created_ns ? up->created_ns : time_ns;
    uint64_t id = row->id;
    pthread_mutex_unlock(&pacs->lock);
    return id;
}

uint64_t memory_instance(struct pacs *pacs, const struct memory_instance *given)
{
    pthread_mutex_lock(&pacs->lock);
    struct instance_row *row = &pacs->instances[pacs->instance_count++];
    *row = (struct instance_row){.id = pacs->next_id++,
                                 .series = given->series,
                                 .time_ns = given->time_s * 1000000000,
                                 .flags = given->flags,
                                 .version = given->version ? given->version : 1,
                                 .prefix_size = 0,
                                 .size = given->size,
                                 .json_size = 2,
                                 .json_version = JSON_MODEL_VERSION,
                                 .instance_number = given->number,
                                 .position = given->position,
                                 .shape = given->shape};
    snprintf(row->name, sizeof row->name, "%s", given->name);
    snprintf(row->uid, sizeof row->uid, "%s", given->uid);
    struct object_row *series = find(pacs, given->series);
    row->number = ++series->children;
    for (size_t i = 0; i < pacs->instance_count; i++)
        if (given->supersedes && pacs->instances[i].id == given->supersedes)
            pacs->instances[i].superseded = row->id;
    for (uint64_t id = series->id; id;) {
        struct object_row *up = find(pacs, id);
        bool shown = row->flags & INSTANCE_SHOWN;
        up->instances += shown && !given->supersedes;
        up->bytes += shown ? row->size : 0;
        up->changed_ns = shown ? row->time_ns : up->changed_ns;
        up->newest = shown ? row->id : up->newest;
        up->list_ns = up == series ? row->time_ns : up->list_ns;
        id = up->parent;
    }
    uint64_t id = row->id;
    pthread_mutex_unlock(&pacs->lock);
    return id;
}

/* ---- index.h ---------------------------------------------------------------------------------------------------- */

const struct archive_conf *pacs_conf(const struct pacs *pacs)
{
    return &pacs->conf;
}

struct cache *pacs_cache(struct pacs *pacs)
{
    return pacs->cache;
}

struct pacs_date pacs_local_time(const struct pacs *pacs, uint64_t time_ns)
{
    (void)pacs;
    struct tm tm;
    time_t seconds = (time_t)(time_ns / 1000000000);
    gmtime_r(&seconds, &tm);
    return (struct pacs_date){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
}

uint64_t pacs_newest(const struct pacs *pacs)
{
    return pacs->next_id - 1;
}

bool pacs_wait(struct pacs *pacs, uint64_t seen, int timeout_ms)
{
    for (int ms = 0; ms < timeout_ms && pacs_newest(pacs) == seen; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return pacs_newest(pacs) != seen;
}

struct error pacs_begin(struct pacs *pacs, struct pacs_txn **txn)
{
    pthread_mutex_lock(&pacs->lock);
    *txn = malloc(sizeof **txn);
    (*txn)->pacs = pacs;
    return NO_ERROR;
}

void pacs_end(struct pacs_txn *txn)
{
    pthread_mutex_unlock(&txn->pacs->lock);
    free(txn);
}

struct error pacs_object(struct pacs_txn *txn, uint64_t id, struct object_row *row)
{
    const struct object_row *found = find(txn->pacs, id);
    if (!found)
        return none();
    *row = *found;
    return NO_ERROR;
}

struct error pacs_next_child(struct pacs_txn *txn, uint64_t parent, uint64_t after, struct object_row *row)
{
    for (size_t i = 0; i < txn->pacs->object_count; i++) {
        *row = txn->pacs->objects[i];
        if (row->parent == parent && row->number > after)
            return NO_ERROR;
    }
    return none();
}

struct error pacs_child_by_name(struct pacs_txn *txn, uint64_t parent, const char *name, struct object_row *row)
{
    for (size_t i = 0; i < txn->pacs->object_count; i++) {
        *row = txn->pacs->objects[i];
        if (row->parent == parent && strcasecmp(row->name, name) == 0)
            return NO_ERROR;
    }
    return none();
}

struct error pacs_next_object(struct pacs_txn *txn, enum object_kind kind, uint64_t after, struct object_row *row)
{
    for (size_t i = 0; i < txn->pacs->object_count; i++) {
        *row = txn->pacs->objects[i];
        if (row->kind == kind && row->id > after)
            return NO_ERROR;
    }
    return none();
}

struct error pacs_instance(struct pacs_txn *txn, uint64_t id, struct instance_row *row)
{
    struct error err = pacs_next_arrival(txn, id - 1, row);
    if (err.code == ERROR_NONE && row->id != id)
        return none();
    return err;
}

struct error pacs_next_instance(struct pacs_txn *txn, uint64_t series, uint64_t after, struct instance_row *row)
{
    for (size_t i = 0; i < txn->pacs->instance_count; i++) {
        *row = txn->pacs->instances[i];
        if (row->series == series && row->number > after)
            return NO_ERROR;
    }
    return none();
}

struct error pacs_instance_by_name(struct pacs_txn *txn, uint64_t series, const char *name, struct instance_row *row)
{
    for (size_t i = 0; i < txn->pacs->instance_count; i++) {
        *row = txn->pacs->instances[i];
        if (row->series == series && instance_shown(row, UINT64_MAX) && strcasecmp(row->name, name) == 0)
            return NO_ERROR;
    }
    return none();
}

struct error pacs_next_arrival(struct pacs_txn *txn, uint64_t after, struct instance_row *row)
{
    for (size_t i = 0; i < txn->pacs->instance_count; i++) {
        *row = txn->pacs->instances[i];
        if (row->id > after)
            return NO_ERROR;
    }
    return none();
}

static struct error next_by_attribute(struct pacs_txn *txn, enum object_kind kind, uint32_t tag, const char *text,
                                      uint64_t after, struct object_row *row)
{
    struct error err;
    while ((err = pacs_next_object(txn, kind, after, row)).code == ERROR_NONE) {
        after = row->id;
        if (strcmp(attribute(&row->attributes, tag), text) == 0)
            return NO_ERROR;
    }
    return err;
}

struct error pacs_next_study_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct object_row *row)
{
    return next_by_attribute(txn, OBJECT_STUDY, TAG_STUDY_UID, uid, after, row);
}

struct error pacs_next_series_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct object_row *row)
{
    return next_by_attribute(txn, OBJECT_SERIES, TAG_SERIES_UID, uid, after, row);
}

struct error pacs_next_instance_by_uid(struct pacs_txn *txn, const char *uid, uint64_t after, struct instance_row *row)
{
    struct error err;
    while ((err = pacs_next_arrival(txn, after, row)).code == ERROR_NONE) {
        after = row->id;
        if (strcmp(row->uid, uid) == 0)
            return NO_ERROR;
    }
    return err;
}

struct error pacs_next_by_key_name(struct pacs_txn *txn, enum secondary kind, const char *name, uint64_t after,
                                   uint64_t *id)
{
    struct object_row row;
    struct error err;
    enum object_kind level = kind == SECONDARY_PATIENT_ID ? OBJECT_PATIENT : OBJECT_STUDY;
    while ((err = pacs_next_object(txn, level, after, &row)).code == ERROR_NONE) {
        struct buf shown;
        after = row.id;
        buf_init(&shown);
        name_component(&shown,
                       attribute(&row.attributes, kind == SECONDARY_PATIENT_ID ? TAG_PATIENT_ID : TAG_ACCESSION),
                       NAME_BYTES_MAX);
        bool same = strcasecmp(buf_string(&shown), name) == 0;
        buf_release(&shown);
        *id = row.id;
        if (same)
            return NO_ERROR;
    }
    return err;
}

struct error pacs_origin(struct pacs_txn *txn, uint32_t origin, struct origin_row *row)
{
    (void)txn, (void)origin;
    *row = (struct origin_row){"import", "", "", "somebody"};
    return NO_ERROR;
}

static uint32_t hour_of(const struct pacs *pacs, const struct instance_row *row)
{
    struct pacs_date d = pacs_local_time(pacs, row->time_ns);
    return (uint32_t)(((d.year * 100 + d.month) * 100 + d.day) * 100LL + d.hour);
}

struct error pacs_hour(struct pacs_txn *txn, uint32_t hour, struct hour_row *row)
{
    *row = (struct hour_row){.hour = hour};
    for (size_t i = 0; i < txn->pacs->instance_count; i++) {
        const struct instance_row *instance = &txn->pacs->instances[i];
        if (hour_of(txn->pacs, instance) != hour)
            continue;
        row->first = row->first ? row->first : instance->id;
        row->first_ns = row->first_ns ? row->first_ns : instance->time_ns;
        row->last = instance->id;
        row->last_ns = instance->time_ns;
        row->count++;
    }
    return row->count ? NO_ERROR : none();
}

struct error pacs_next_hour(struct pacs_txn *txn, uint32_t after, struct hour_row *row)
{
    uint32_t best = UINT32_MAX;
    for (size_t i = 0; i < txn->pacs->instance_count; i++) {
        uint32_t hour = hour_of(txn->pacs, &txn->pacs->instances[i]);
        if (hour > after && hour < best)
            best = hour;
    }
    return best == UINT32_MAX ? none() : pacs_hour(txn, best, row);
}

struct error pacs_counts(struct pacs_txn *txn, struct pacs_counts *counts)
{
    *counts = (struct pacs_counts){.newest = txn->pacs->next_id - 1, .editions = txn->pacs->instance_count};
    return NO_ERROR;
}

/* ---- bytes: of an edition, its id in decimal over and over ------------------------------------------------------ */

struct instance_file {
    uint64_t id, size;
};

struct error pacs_file_open(struct pacs *pacs, uint64_t id, struct instance_file **file)
{
    struct pacs_txn txn = {pacs};
    struct instance_row row;
    TRY(pacs_instance(&txn, id, &row));
    *file = malloc(sizeof **file);
    **file = (struct instance_file){.id = id, .size = row.size};
    return NO_ERROR;
}

void pacs_file_close(struct instance_file *file)
{
    free(file);
}

struct error pacs_file_read(struct instance_file *file, uint64_t offset, void *to, size_t size, size_t *got)
{
    char text[32];
    size_t length = (size_t)snprintf(text, sizeof text, "%llu ", (unsigned long long)file->id);
    for (*got = 0; *got < size && offset + *got < file->size; ++*got)
        ((char *)to)[*got] = text[(offset + *got) % length];
    return NO_ERROR;
}

void pacs_file_facts(const struct instance_file *file, struct instance_facts *facts)
{
    (void)file;
    *facts = (struct instance_facts){.syntax = syntax_by_code(0)};
}

struct error pacs_file_tokens(struct instance_file *file, size_t capture_max, dataset_handler handler, void *context)
{
    (void)file, (void)capture_max, (void)handler, (void)context;
    return NO_ERROR;
}

struct error pacs_pixels(struct instance_file *file, struct pixel_source *source)
{
    (void)file, (void)source;
    return error_make(ERROR_UNSUPPORTED, "no pixels");
}

void pacs_pixels_release(struct pixel_source *source)
{
    (void)source;
}
