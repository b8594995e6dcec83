/* What lives here: zstd dictionaries for the headers of small objects. The first SAMPLES headers that a writer sees
 * train one, off the writer; a DICTIONARY record keeps it, chunks name it by the LSN of that record. The writer repeats
 * the record in each pack that has such chunks (log/writer.c): a pack is read by itself, and one damaged record loses
 * nothing. An archive trains once: another only when no record of the last one reads. `lock` guards every member. */
#include "index/archive.h"
#include "index/log/writer.h"

#include "codecs/base/log.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLES 400
#define SAMPLE_MAX 16384
#define DICTIONARY_MAX 65536
#define DICTIONARY_LEVEL 3

struct known {
    struct known *next;
    uint64_t lsn;
    struct chunk_dictionary *dictionary;
    struct buf bytes;
};

struct dictionaries {
    pthread_mutex_t lock;
    struct known *known;
    struct known *current;
    struct buf samples;
    size_t sizes[SAMPLES];
    unsigned count;
    bool tried;
    pthread_t trainer;
    bool trainer_runs;
};

struct error dictionaries_new(struct dictionaries **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&(*out)->lock, NULL);
    return NO_ERROR;
}

void dictionaries_free(struct dictionaries *d)
{
    if (!d)
        return;
    while (d->known) {
        struct known *next = d->known->next;
        chunk_dictionary_free(d->known->dictionary);
        buf_release(&d->known->bytes);
        free(d->known);
        d->known = next;
    }
    buf_release(&d->samples);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

void dictionaries_join(struct pacs *pacs)
{
    if (pacs->dictionaries && pacs->dictionaries->trainer_runs)
        pthread_join(pacs->dictionaries->trainer, NULL);
    if (pacs->dictionaries)
        pacs->dictionaries->trainer_runs = false;
}

static struct error add(struct dictionaries *d, uint64_t lsn, const void *bytes, size_t size, struct known **out)
{
    struct known *k = calloc(1, sizeof *k);
    if (!k)
        return error_make(ERROR_NO_MEMORY, "dictionary: out of memory");
    buf_init(&k->bytes);
    buf_append(&k->bytes, bytes, size);
    struct error err = buf_error(&k->bytes);
    if (!err.code)
        err = chunk_dictionary_new(&k->dictionary, bytes, size, DICTIONARY_LEVEL);
    if (err.code) {
        buf_release(&k->bytes);
        free(k);
        return err;
    }
    k->lsn = lsn;
    k->next = d->known;
    d->known = k;
    *out = k;
    return NO_ERROR;
}

static struct known *find(struct dictionaries *d, uint64_t lsn)
{
    struct known *k = d->known;
    while (k && k->lsn != lsn)
        k = k->next;
    return k;
}

/* Reads one record that holds it and keeps it. */
static struct error load_record(struct pacs *pacs, uint64_t lsn, uint64_t pack, uint64_t offset, struct known **out)
{
    struct error err = NO_ERROR;
    struct record_header header;
    struct buf payload;
    struct field_view field;
    buf_init(&payload);
    CHECK(packs_record(pacs->packs, pack, offset, 0, &header, &payload));
    if (header.type != RECORD_DICTIONARY || !field_find(payload.data, payload.size, FIELD_DICTIONARY, &field)) {
        err = error_make(ERROR_DAMAGED, "pack %08llu: no dictionary at offset %llu", (unsigned long long)pack,
                         (unsigned long long)offset);
        goto out;
    }
    pthread_mutex_lock(&pacs->dictionaries->lock);
    *out = find(pacs->dictionaries, lsn);
    if (!*out)
        err = add(pacs->dictionaries, lsn, field.value, field.size, out);
    pthread_mutex_unlock(&pacs->dictionaries->lock);
out:
    buf_release(&payload);
    return err;
}

/* From the first of its records that reads. */
static struct error load(struct pacs *pacs, uint64_t lsn, struct known **out)
{
    struct error damage = NO_ERROR;
    for (uint64_t at = 0, pack, offset;;) {
        struct pacs_txn *txn;
        struct error err = pacs_begin(pacs, &txn);
        if (!err.code) {
            err = dictionary_next(txn->db, lsn, &at, &pack, &offset);
            pacs_end(txn);
        }
        if (err.code && damage.code) {
            error_release(&err);
            return error_context(damage, "dictionary of LSN %llu", (unsigned long long)lsn);
        }
        TRY(error_context(err, "dictionary of LSN %llu", (unsigned long long)lsn));
        err = load_record(pacs, lsn, pack, offset, out);
        error_release(&damage);
        if (!err.code)
            return NO_ERROR;
        damage = err;
    }
}

struct error dictionary_by_lsn(struct pacs *pacs, uint64_t lsn, const struct chunk_dictionary **dictionary)
{
    pthread_mutex_lock(&pacs->dictionaries->lock);
    struct known *k = find(pacs->dictionaries, lsn);
    pthread_mutex_unlock(&pacs->dictionaries->lock);
    if (!k)
        TRY(load(pacs, lsn, &k));
    *dictionary = k->dictionary;
    return NO_ERROR;
}

const struct chunk_dictionary *dictionary_current(struct pacs *pacs, uint64_t *lsn)
{
    pthread_mutex_lock(&pacs->dictionaries->lock);
    struct known *k = pacs->dictionaries->current;
    pthread_mutex_unlock(&pacs->dictionaries->lock);
    *lsn = k ? k->lsn : 0;
    return k ? k->dictionary : NULL;
}

const struct buf *dictionary_bytes(struct pacs *pacs, uint64_t lsn)
{
    pthread_mutex_lock(&pacs->dictionaries->lock);
    struct known *k = find(pacs->dictionaries, lsn);
    pthread_mutex_unlock(&pacs->dictionaries->lock);
    return k ? &k->bytes : NULL;
}

struct error dictionary_load_newest(struct pacs *pacs)
{
    struct pacs_txn *txn;
    struct known *k;
    uint64_t lsn;
    TRY(pacs_begin(pacs, &txn));
    struct error err = dictionary_newest(txn->db, &lsn);
    pacs_end(txn);
    if (err.code == ERROR_NOT_FOUND) {
        error_release(&err);
        return NO_ERROR;
    }
    TRY(err);
    err = load(pacs, lsn, &k);
    if (err.code == ERROR_DAMAGED) { /* what it compressed is lost; new chunks do without it */
        log_error(LOG_LEVEL_ERROR, "dictionary", &err);
        return NO_ERROR;
    }
    TRY(err);
    pacs->dictionaries->current = k;
    return NO_ERROR;
}

static struct error written(struct pacs *pacs, uint64_t lsn, const void *bytes, size_t size)
{
    struct known *k;
    pthread_mutex_lock(&pacs->dictionaries->lock);
    struct error err = add(pacs->dictionaries, lsn, bytes, size, &k);
    if (!err.code)
        pacs->dictionaries->current = k;
    pthread_mutex_unlock(&pacs->dictionaries->lock);
    return err;
}

static void *train(void *argument)
{
    struct pacs *pacs = argument;
    struct dictionaries *d = pacs->dictionaries;
    struct buf bytes;
    buf_init(&bytes);
    struct error err = chunk_dictionary_train(&bytes, d->samples.data, d->sizes, d->count, DICTIONARY_MAX);
    if (!err.code) {
        struct write_request request = {.kind = WRITE_DICTIONARY, .dictionary = &bytes};
        writer_run(pacs->writer, &request);
        err = request.err;
        if (!err.code)
            err = written(pacs, request.lsn, bytes.data, bytes.size);
    }
    /* Too uniform or too few samples: no loss, headers are compressed alone. */
    log_error(err.code == ERROR_UNSUPPORTED ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "dictionary", &err);
    buf_release(&bytes);
    pthread_mutex_lock(&d->lock);
    buf_release(&d->samples);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

void dictionary_sample(struct pacs *pacs, const void *bytes, size_t size)
{
    struct dictionaries *d = pacs->dictionaries;
    pthread_mutex_lock(&d->lock);
    if (!d->current && !d->tried && size <= SAMPLE_MAX) {
        buf_append(&d->samples, bytes, size);
        if (!d->samples.failed)
            d->sizes[d->count++] = size;
        if (d->count == SAMPLES) {
            d->tried = true;
            d->trainer_runs = pthread_create(&d->trainer, NULL, train, pacs) == 0;
        }
    }
    pthread_mutex_unlock(&d->lock);
}
