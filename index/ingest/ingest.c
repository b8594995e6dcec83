/* What lives here: one data set on its way in: reader, digest and chunker side by side, then the comparison with what
 * is here, then the writer.
 *
 *   ingest_begin -> ingest_feed ... -> ingest_finish: check UIDs -> compare (compare.c) -> writer -> (stale: compare
 * again)
 *
 * The first failure is kept; from then on bytes are swallowed (a peer must be able to finish what it sends) and, where
 * the fault lies in the data and the sender is a peer, kept in the quarantine. */
#include "index/fold/identity.h"
#include "index/ingest/chunker.h"
#include "index/ingest/compare.h"
#include "index/ingest/gather.h"
#include "index/ingest/quarantine.h"

#include "codecs/base/log.h"
#include "codecs/dicom/meta.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMPONENT "ingest"
#define COMPARE_TRIES 8
#define SPACE_ASKED_MS 200

struct ingest {
    struct pacs *pacs;
    const struct origin *origin;
    char sop_class[65], sop_instance[65]; /* announced by command or meta header */
    char syntax_uid[65];
    const struct syntax *syntax;
    struct buf prefix;
    bool without_study; /* stands under the UID of its SOP class */
    bool network;       /* announced by a C-STORE command: it must agree, and what is refused is kept */
    bool started;
    struct dataset_reader *reader;
    struct gather gather;
    struct chunker *chunker;
    EVP_MD_CTX *digest;
    uint64_t size;
    bool pixels_told;
    struct error failure;
    struct quarantine *quarantine;
};

const char *ingest_verdict_name(enum ingest_verdict verdict)
{
    static const char *const names[] = {"stored", "duplicate", "healed", "variant", "version", "conflict"};
    return verdict <= INGEST_CONFLICT ? names[verdict] : "unknown";
}

/* ---- beginning ---- */

/* Free space is asked a few times a second, not once an image; but nothing is refused for an answer that is old. */
static struct error check_space(struct pacs *pacs)
{
    struct timespec t;
    struct statvfs st;
    char path[4096];
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    pthread_mutex_lock(&pacs->space_lock);
    if (!pacs->space_asked_ns || now - pacs->space_asked_ns >= SPACE_ASKED_MS ||
        pacs->space_free < (uint64_t)pacs->options.reserve_bytes) {
        pacs_part(pacs, "packs", path);
        if (pacs->io->statvfs(pacs->io, path, &st) == 0)
            pacs->space_free = (uint64_t)st.f_bavail * st.f_frsize;
        pacs->space_asked_ns = now;
    }
    uint64_t available = pacs->space_free;
    pthread_mutex_unlock(&pacs->space_lock);
    if (available < (uint64_t)pacs->options.reserve_bytes)
        return error_make(ERROR_FULL, "archive full: %llu MiB free, reserve %lld MiB",
                          (unsigned long long)(available >> 20), (long long)(pacs->options.reserve_bytes >> 20));
    return NO_ERROR;
}

static void copy_uid(char to[65], const char *from)
{
    snprintf(to, 65, "%s", from ? from : "");
}

struct error ingest_begin(struct pacs *pacs, const struct origin *origin, const struct ingest_announced *announced,
                          struct ingest **out)
{
    struct error err = NO_ERROR;
    if (!pacs->writer)
        return error_make(ERROR_USAGE, "%s is open for reading only", pacs->path);
    TRY(check_space(pacs));
    struct ingest *i = calloc(1, sizeof *i);
    if (!i)
        return error_make(ERROR_NO_MEMORY, "ingest: out of memory");
    i->pacs = pacs;
    i->origin = origin;
    i->syntax = announced->syntax;
    i->network = announced->sop_instance != NULL;
    copy_uid(i->sop_class, announced->sop_class);
    copy_uid(i->sop_instance, announced->sop_instance);
    copy_uid(i->syntax_uid, announced->syntax_uid);
    buf_init(&i->prefix);
    i->digest = EVP_MD_CTX_new();
    if (!i->digest || !EVP_DigestInit_ex(i->digest, EVP_sha256(), NULL)) {
        err = error_make(ERROR_NO_MEMORY, "ingest: no SHA-256");
        goto out;
    }
    CHECK(chunker_new(&i->chunker, pacs));
    if (announced->sop_instance)
        meta_build(&i->prefix, i->sop_class, i->sop_instance, i->syntax_uid, IMPLEMENTATION_CLASS_UID,
                   IMPLEMENTATION_VERSION, origin->calling_ae ? origin->calling_ae : "");
    err = buf_error(&i->prefix);
out:
    if (err.code)
        ingest_abort(i);
    else
        *out = i;
    return err;
}

struct error ingest_prefix(struct ingest *i, const void *bytes, size_t size)
{
    buf_clear(&i->prefix);
    buf_append(&i->prefix, bytes, size);
    return buf_error(&i->prefix);
}

static struct error start(struct ingest *i)
{
    i->started = true;
    TRY(gather_init(&i->gather, i->syntax, i->prefix.size));
    struct dataset_options options = {
        .syntax = i->syntax, .deep = true, .handler = gather_token, .context = &i->gather};
    return dataset_reader_new(&i->reader, &options);
}

/* ---- feeding ---- */

static bool fault_of_data(enum error_code code)
{
    return code == ERROR_MALFORMED || code == ERROR_MISMATCH || code == ERROR_UNSUPPORTED;
}

static void to_quarantine(void *context, const void *bytes, size_t size)
{
    quarantine_add(context, bytes, size);
}

/* Keeps the first failure; from here on bytes only pass. */
static void fail(struct ingest *i, struct error err)
{
    if (!err.code)
        return;
    if (i->failure.code) {
        error_release(&err);
        return;
    }
    i->failure = err;
    if (!fault_of_data(err.code) || !i->network)
        return;
    struct error kept = quarantine_begin(&i->quarantine, i->pacs, i->sop_instance);
    if (!kept.code) {
        quarantine_add(i->quarantine, i->prefix.data, i->prefix.size);
        kept = chunker_replay(i->chunker, to_quarantine, i->quarantine);
    }
    log_error(LOG_LEVEL_WARNING, COMPONENT, &kept);
}

/* Where frames are, as soon as the header has said: native multi-frame images are cut at them. */
static void tell_pixels(struct ingest *i)
{
    struct gather *g = &i->gather;
    if (!g->pixel_offset || i->syntax->deflated)
        return;
    struct pixel_shape s;
    pixel_description_shape(g->pixels, &s);
    uint64_t frame = 0, end = g->pixel_encapsulated ? g->pixel_end : g->pixel_offset + g->pixel_length;
    if (!g->pixel_encapsulated && s.frames > 1 && s.bits_allocated >= 8)
        frame = (uint64_t)s.rows * s.columns * s.samples * (s.bits_allocated / 8u);
    chunker_pixels(i->chunker, g->pixel_offset, end, frame, g->pixel_encapsulated);
    i->pixels_told = end != 0;
}

void ingest_feed(struct ingest *i, const void *bytes, size_t size)
{
    if (!i->started)
        fail(i, start(i));
    i->size += size;
    if (!i->failure.code) {
        struct error err = dataset_reader_feed(i->reader, bytes, size);
        if (!err.code && !i->pixels_told)
            tell_pixels(i);
        if (!err.code)
            err = chunker_add(i->chunker, bytes, size);
        if (!err.code) {
            EVP_DigestUpdate(i->digest, bytes, size);
            return;
        }
        fail(i, err);
    }
    if (i->quarantine)
        quarantine_add(i->quarantine, bytes, size);
}

/* ---- finishing ---- */

/* UIDs become names in the tree: what no path can hold is refused, what only breaks PS3.5 9.1 is not. */
static struct error check_uid(const char *uid, const char *keyword)
{
    if (!*uid)
        return error_make(ERROR_MALFORMED, "%s is missing", keyword);
    if (strlen(uid) > 64)
        return error_make(ERROR_MALFORMED, "%s has more than 64 characters", keyword);
    if (strspn(uid, "0123456789.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") != strlen(uid) || *uid == '.')
        return error_make(ERROR_MALFORMED, "%s has characters that no UID has", keyword);
    return NO_ERROR;
}

/* The data set's own SOP class and instance, or those announced or in the meta header where it has none. */
static struct error complete(struct ingest *i, uint32_t tag, const char *keyword, const char *announced)
{
    struct attributes all = {i->gather.attributes.data, i->gather.attributes.size};
    const char *own = attribute(&all, tag);
    if (*own && *announced && strcmp(own, announced) != 0 && i->network)
        return error_make(ERROR_MISMATCH, "%s of data set and command differ", keyword);
    if (!*own && *announced)
        attribute_write(&i->gather.attributes, tag, announced, strlen(announced));
    return buf_error(&i->gather.attributes);
}

#define MEDIA_DIRECTORY "1.2.840.10008.1.3.10"

/* Objects that belong to no patient (PS3.4 GG: palettes, hanging protocols, templates) have no study, and old files lack
 * what they should have: they stand under the UID of their SOP class, or of their study where only the series is
 * missing. What was sent is not changed by that. */
static struct error place_without_study(struct ingest *i)
{
    struct attributes all = {i->gather.attributes.data, i->gather.attributes.size};
    char uid[65];
    if (strcmp(attribute(&all, TAG_SOP_CLASS), MEDIA_DIRECTORY) == 0)
        return error_make(ERROR_MALFORMED, "a media directory (DICOMDIR): send or import the files that it lists");
    i->without_study = !*attribute(&all, TAG_STUDY_UID) || !*attribute(&all, TAG_SERIES_UID);
    if (!*attribute(&all, TAG_STUDY_UID)) {
        copy_uid(uid, attribute(&all, TAG_SOP_CLASS));
        attribute_write(&i->gather.attributes, TAG_STUDY_UID, uid, strlen(uid));
    }
    all = (struct attributes){i->gather.attributes.data, i->gather.attributes.size};
    if (!*attribute(&all, TAG_SERIES_UID)) {
        copy_uid(uid, attribute(&all, TAG_STUDY_UID));
        attribute_write(&i->gather.attributes, TAG_SERIES_UID, uid, strlen(uid));
    }
    return buf_error(&i->gather.attributes);
}

static struct error check_identity(struct ingest *i)
{
    static const struct {
        uint32_t tag;
        const char *keyword;
    } needed[] = {{TAG_SOP_CLASS, "SOP Class UID (0008,0016)"},
                  {TAG_SOP_INSTANCE, "SOP Instance UID (0008,0018)"},
                  {TAG_STUDY_UID, "Study Instance UID (0020,000D)"},
                  {TAG_SERIES_UID, "Series Instance UID (0020,000E)"}};
    TRY(complete(i, TAG_SOP_CLASS, needed[0].keyword, i->sop_class));
    TRY(complete(i, TAG_SOP_INSTANCE, needed[1].keyword, i->sop_instance));
    TRY(place_without_study(i));
    struct attributes all = {i->gather.attributes.data, i->gather.attributes.size};
    for (size_t n = 0; n < sizeof needed / sizeof needed[0]; n++)
        TRY(check_uid(attribute(&all, needed[n].tag), needed[n].keyword));
    return NO_ERROR;
}

static void fill_origin(struct ingest *i, struct instance_record *r)
{
    const struct origin *o = i->origin;
    const char *const texts[7] = {o->how,  o->calling_ae, o->called_ae, o->address, o->implementation,
                                  o->file, PACSFS_VERSION};
    for (size_t n = 0; n < 7; n++)
        r->origin[n] = texts[n] ? texts[n] : "";
    r->association = o->association;
}

static void fill_prefix(struct ingest *i, struct instance_record *r)
{
    static const uint8_t zeros[128];
    r->zero_preamble = i->prefix.size >= 128 && memcmp(i->prefix.data, zeros, 128) == 0;
    r->prefix = i->prefix.data + (r->zero_preamble ? 128 : 0);
    r->prefix_size = i->prefix.size - (r->zero_preamble ? 128 : 0);
}

/* Until the comparison still holds when the writer decides. */
static struct error submit(struct ingest *i, struct instance_record *record, struct write_request *request)
{
    for (int tries = 0; tries < COMPARE_TRIES; tries++) {
        struct comparison comparison;
        TRY(compare(i->pacs, record, request->chunks, request->chunk_count, request->places, &comparison));
        request->question->compared_to = comparison.compared_to;
        request->question->same_as = comparison.same_as;
        request->question->same_holds = comparison.same_holds;
        /* Data sets from the network bring no prefix of their own. */
        request->question->same_prefix = comparison.same_prefix || i->network;
        request->question->same_lost = comparison.same_lost;
        request->question->variant_of = comparison.variant_of;
        request->question->prefix = comparison.has_prefix ? &comparison.prefix : NULL;
        request->question->zero_preamble = comparison.zero_preamble;
        /* A variant in its preamble alone stands on the chunks that are there. */
        bool borrowed = comparison.same_as && comparison.same_holds;
        record->chunks = borrowed ? comparison.chunks.data : NULL;
        record->chunk_count = borrowed ? comparison.chunks.size / CHUNK_PLACE_SIZE : 0;
        size_t own = request->chunk_count;
        if (borrowed)
            request->chunk_count = 0;
        writer_run(i->pacs->writer, request);
        request->chunk_count = own;
        comparison_release(&comparison);
        if (request->err.code || !request->stale)
            return request->err;
    }
    return error_make(ERROR_RETRY, "the same instance arrives from several senders at once; send it again");
}

static void fill_result(struct ingest *i, const struct instance_record *record, const struct write_request *request,
                        struct ingest_result *result)
{
    result->verdict = record->verdict;
    result->lsn = request->lsn;
    bool old = record->verdict == INGEST_DUPLICATE || record->verdict == INGEST_HEALED;
    result->id = old ? record->supersedes : record->instance.id;
    copy_uid(result->study_uid, attribute(&record->attributes, TAG_STUDY_UID));
    copy_uid(result->series_uid, attribute(&record->attributes, TAG_SERIES_UID));
    copy_uid(result->uid, attribute(&record->attributes, TAG_SOP_INSTANCE));
    copy_uid(result->sop_class, attribute(&record->attributes, TAG_SOP_CLASS));
    if (record->verdict == INGEST_CONFLICT)
        snprintf(result->remark, sizeof result->remark, "stored; an earlier version of this UID stays shown");
    else if (i->without_study)
        snprintf(result->remark, sizeof result->remark, "stored under its SOP class: no Study or Series Instance UID");
    else if (i->gather.replaced)
        snprintf(result->remark, sizeof result->remark, "stored; %zu characters do not decode", i->gather.replaced);
}

static struct error store(struct ingest *i, struct ingest_result *result)
{
    struct instance_record record = {.data_size = i->size, .syntax = i->syntax_uid};
    struct fold_question question = {
        .conf = &i->pacs->conf,
        .placeholders = i->pacs->options.placeholders,
        .default_issuer = i->origin->issuer,
        .known_peer = i->origin->known,
        .lossy = i->gather.lossy,
    };
    struct write_request request = {.kind = WRITE_INSTANCE, .record = &record, .question = &question};
    unsigned size = 32;
    TRY(check_identity(i));
    TRY(gather_finish(&i->gather, &record));
    const char *number = attribute(&record.attributes, TAG_INSTANCE_NUMBER);
    question.numbered = instance_number_is_number(number);
    fill_origin(i, &record);
    fill_prefix(i, &record);
    if (!EVP_DigestFinal_ex(i->digest, record.sha256, &size))
        return error_make(ERROR_BROKEN, "SHA-256 failed");
    TRY(chunker_finish(i->chunker, &request.chunks, &request.chunk_count, &request.places));
    buf_init(&request.answer.texts);
    struct error err = submit(i, &record, &request);
    if (!err.code)
        fill_result(i, &record, &request, result);
    buf_release(&request.answer.texts);
    return err;
}

static void release(struct ingest *i)
{
    dataset_reader_free(i->reader);
    gather_release(&i->gather);
    chunker_free(i->chunker);
    EVP_MD_CTX_free(i->digest);
    buf_release(&i->prefix);
    error_release(&i->failure);
    free(i);
}

void ingest_abort(struct ingest *i)
{
    if (!i)
        return;
    if (i->quarantine) {
        struct error err = quarantine_finish(i->quarantine, error_text(&i->failure), i->origin);
        log_error(LOG_LEVEL_WARNING, COMPONENT, &err);
    }
    release(i);
}

struct error ingest_finish(struct ingest *i, struct ingest_result *result)
{
    memset(result, 0, sizeof *result);
    if (!i->started)
        fail(i, error_make(ERROR_MALFORMED, "no data set"));
    if (!i->failure.code)
        fail(i, dataset_reader_finish(i->reader));
    if (!i->failure.code)
        fail(i, store(i, result));
    struct error err = error_copy(&i->failure);
    ingest_abort(i);
    return err;
}

/* ---- files ---- */

#define FILE_BUFFER 262144

static struct error read_some(ingest_read read, void *context, uint8_t *to, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        long n = read(context, to + *got, size - *got);
        if (n < 0)
            return error_system(errno, "cannot read");
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return NO_ERROR;
}

struct error ingest_file(struct pacs *pacs, const struct origin *origin, ingest_read read, void *context,
                         struct ingest_result *result)
{
    struct error err = NO_ERROR;
    struct ingest *i = NULL;
    struct meta meta;
    size_t got;
    uint8_t *bytes = malloc(FILE_BUFFER);
    memset(result, 0, sizeof *result);
    if (!bytes)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    _Static_assert(FILE_BUFFER >= META_PREFIX_MAX, "the beginning of a file fits");
    CHECK(read_some(read, context, bytes, FILE_BUFFER, &got));
    CHECK(meta_read(&meta, bytes, got < META_PREFIX_MAX ? got : META_PREFIX_MAX));
    struct ingest_announced announced = {.syntax = meta.syntax, .syntax_uid = meta.syntax->uid};
    if (*meta.transfer_syntax)
        announced.syntax_uid = meta.transfer_syntax;
    CHECK(ingest_begin(pacs, origin, &announced, &i));
    CHECK(ingest_prefix(i, bytes, meta.prefix_size));
    /* The meta header speaks for a data set that lacks them. */
    copy_uid(i->sop_class, meta.sop_class);
    copy_uid(i->sop_instance, meta.sop_instance);
    if (got > meta.prefix_size)
        ingest_feed(i, bytes + meta.prefix_size, got - meta.prefix_size);
    while (got == FILE_BUFFER && !i->failure.code) {
        CHECK(read_some(read, context, bytes, FILE_BUFFER, &got));
        if (got)
            ingest_feed(i, bytes, got);
    }
    err = ingest_finish(i, result);
    i = NULL;
out:
    ingest_abort(i);
    free(bytes);
    return err;
}

void pacs_writer_stats(struct pacs *pacs, struct writer_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    if (pacs->writer)
        writer_stats_get(pacs->writer, stats);
}
