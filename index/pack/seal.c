/* What lives here: writing, reading and proving seals, as the header has them. Tables are gathered in blocks of
 * TABLE_RAW bytes, so that memory stays bounded whatever a pack holds. */
#include "index/pack/seal.h"

#include "codecs/base/log.h"
#include "codecs/chunk/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define COMPONENT "log"
#define TABLE_RAW (1u << 20)
#define TABLE_LEVEL 3
#define READ_SIZE (1u << 20)
/* A block is flushed when it reaches TABLE_RAW: at most one entry more. */
#define TABLE_RAW_MAX (TABLE_RAW + 8 + RECORD_HEADER_SIZE + RECORD_PAYLOAD_MAX)

struct sealing {
    struct packs *packs;
    const struct io_ops *io;
    uint64_t number, end;
    int fd;
    char path[PATH_MAX];
    const _Atomic bool *stop;
    struct seal seal;
    uint64_t offset; /* of the next record to append */
    struct buf raw;  /* entries gathered */
    bool damaged;
};

static struct error check_stop(const _Atomic bool *stop)
{
    return stop && *stop ? error_make(ERROR_BUSY, "seal: stopped, to be made later") : NO_ERROR;
}

/* Reads all bytes before `end` into the digest. */
static struct error digest_file(EVP_MD_CTX *digest, struct packs *packs, uint64_t number, uint64_t end,
                                const _Atomic bool *stop)
{
    uint8_t *bytes = malloc(READ_SIZE);
    struct error err = bytes ? NO_ERROR : error_make(ERROR_NO_MEMORY, "seal: out of memory");
    for (uint64_t at = 0; !err.code && at < end;) {
        size_t size = end - at < READ_SIZE ? (size_t)(end - at) : READ_SIZE;
        err = check_stop(stop);
        if (!err.code)
            err = packs_read(packs, number, at, bytes, size);
        if (!err.code)
            EVP_DigestUpdate(digest, bytes, size);
        at += size;
    }
    free(bytes);
    return err;
}

static struct error file_sha256(struct packs *packs, uint64_t number, uint64_t end, const uint8_t previous[32],
                                const _Atomic bool *stop, uint8_t out[32])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!digest || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(digest);
        return error_make(ERROR_NO_MEMORY, "seal: no SHA-256");
    }
    EVP_DigestUpdate(digest, previous, 32);
    struct error err = digest_file(digest, packs, number, end, stop);
    unsigned size = 32;
    if (!err.code && !EVP_DigestFinal_ex(digest, out, &size))
        err = error_make(ERROR_BROKEN, "seal: SHA-256 failed");
    EVP_MD_CTX_free(digest);
    return err;
}

static struct error append_record(struct sealing *s, uint8_t type, const void *payload, size_t size)
{
    uint8_t header[RECORD_HEADER_SIZE];
    static const uint8_t padding[RECORD_ALIGN];
    struct record_header h = {.type = type, .length = size, .synced = s->end};
    h.payload_checksum = checksum64(payload, size, 0);
    record_header_write(header, &h, record_seed(packs_uuid(s->packs), s->number, s->offset));
    struct iovec parts[] = {{header, sizeof header},
                            {(void *)payload, size},
                            {(void *)padding, (size_t)(record_extent(size) - RECORD_HEADER_SIZE - size)}};
    TRY(io_write_full(s->io, s->fd, parts, parts[2].iov_len ? 3 : 2, s->offset, s->path));
    s->offset += record_extent(size);
    return NO_ERROR;
}

static struct error flush_table(struct sealing *s)
{
    if (!s->raw.size)
        return NO_ERROR;
    struct buf payload;
    struct error err = NO_ERROR;
    buf_init(&payload);
    /* One block may exceed CHUNK_RAW_MAX by one large record: it is cut in pieces, each a codec chunk. */
    for (size_t at = 0; at < s->raw.size; at += CHUNK_RAW_MAX) {
        size_t size = s->raw.size - at < CHUNK_RAW_MAX ? s->raw.size - at : CHUNK_RAW_MAX, start = payload.size;
        enum chunk_codec codec;
        buf_u32(&payload, (uint32_t)size);
        buf_u32(&payload, 0);
        buf_u32(&payload, 0);
        CHECK(chunk_encode(&payload, &codec, s->raw.data + at, size, TABLE_LEVEL, NULL));
        CHECK(buf_error(&payload));
        put_u32(payload.data + start + 4, (uint32_t)(payload.size - start - 12));
        put_u32(payload.data + start + 8, (uint32_t)codec);
    }
    CHECK(append_record(s, RECORD_TABLE, payload.data, payload.size));
    s->seal.tables++;
    buf_clear(&s->raw);
out:
    buf_release(&payload);
    return err;
}

static void on_damage(void *context, uint64_t number, uint64_t from, uint64_t to, const char *what)
{
    struct sealing *s = context;
    (void)number;
    (void)from;
    (void)to;
    (void)what;
    s->damaged = true;
}

static struct error on_record(void *context, uint64_t number, const struct scan_record *record)
{
    struct sealing *s = context;
    uint8_t header[RECORD_HEADER_SIZE];
    TRY(check_stop(s->stop));
    if (!record->header.lsn)
        return NO_ERROR;
    record_header_write(header, &record->header, record_seed(packs_uuid(s->packs), number, record->offset));
    buf_u64(&s->raw, record->offset);
    buf_append(&s->raw, header, sizeof header);
    buf_append(&s->raw, record->payload, (size_t)record->header.length);
    TRY(buf_error(&s->raw));
    if (!s->seal.records++)
        s->seal.first_lsn = record->header.lsn;
    s->seal.last_lsn = record->header.lsn;
    return s->raw.size >= TABLE_RAW ? flush_table(s) : NO_ERROR;
}

static void seal_bytes(uint8_t to[SEAL_SIZE], const struct seal *seal)
{
    const uint64_t numbers[] = {seal->end, seal->table, seal->tables, seal->records, seal->first_lsn, seal->last_lsn};
    for (size_t i = 0; i < 6; i++)
        put_u64(to + 8 * i, numbers[i]);
    memcpy(to + 48, seal->previous, 32);
    memcpy(to + 80, seal->sha256, 32);
}

/* After a failure the cache shows a seal that the disk does not have: it is dropped, so that none is believed. */
static struct error sync_part(struct sealing *s)
{
    if (s->io->fdatasync(s->io, s->fd) == 0)
        return NO_ERROR;
    struct error err = error_system(errno, "%s: cannot sync", s->path), ignored = packs_settle(s->packs, s->number);
    error_release(&ignored);
    return err;
}

struct error seal_pack(struct packs *packs, uint64_t number, uint64_t end, const uint8_t previous[32],
                       const struct io_ops *io, const _Atomic bool *stop)
{
    struct error err = NO_ERROR;
    struct sealing s = {.packs = packs, .io = io, .number = number, .end = end, .fd = -1, .stop = stop};
    uint64_t size, stopped;
    uint8_t payload[SEAL_SIZE];
    TRY(packs_size(packs, number, &size));
    packs_path(packs, number, s.path);
    buf_init(&s.raw);
    /* Void bytes behind END stay for salvage: the seal goes behind them. They may be of a write that failed, which the
     * page cache shows and the disk does not have: what is hashed is what the disk has. */
    if (size > end)
        TRY(packs_settle(packs, number));
    s.offset = (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    s.seal.end = end;
    s.seal.table = s.offset;
    memcpy(s.seal.previous, previous, 32);
    s.fd = io->open(io, s.path, O_RDWR, 0);
    if (s.fd < 0)
        return error_system(errno, "%s: cannot open", s.path);
    struct scan_options scan = {
        .end = end, .chunk_bytes = true, .fence = true, .damage = on_damage, .record = on_record, .context = &s};
    CHECK(pack_scan(packs, number, &scan, &stopped));
    if (s.damaged) {
        err = error_make(ERROR_DAMAGED, "%s: damaged, so it is not sealed; see 'pacsctl verify'", s.path);
        goto out;
    }
    CHECK(flush_table(&s));
    CHECK(sync_part(&s));
    CHECK(file_sha256(packs, number, s.offset, previous, stop, s.seal.sha256));
    seal_bytes(payload, &s.seal);
    CHECK(append_record(&s, RECORD_SEAL, payload, sizeof payload));
    CHECK(sync_part(&s));
out:
    buf_release(&s.raw);
    if (io->close(io, s.fd) != 0 && !err.code)
        err = error_system(errno, "%s: cannot close", s.path);
    return err;
}

struct error seal_read(struct packs *packs, uint64_t number, struct seal *seal)
{
    uint64_t size;
    struct record_header header;
    struct buf payload;
    buf_init(&payload);
    TRY(packs_size(packs, number, &size));
    struct error err = size < record_extent(SEAL_SIZE) ? error_make(ERROR_NOT_FOUND, "no seal")
                                                       : packs_record(packs, number, size - record_extent(SEAL_SIZE),
                                                                      record_extent(SEAL_SIZE), &header, &payload);
    bool good = !err.code && header.type == RECORD_SEAL && payload.size == SEAL_SIZE;
    if (good) {
        const uint8_t *p = payload.data;
        *seal = (struct seal){
            get_u64(p), get_u64(p + 8), get_u64(p + 16), get_u64(p + 24), get_u64(p + 32), get_u64(p + 40), {0}, {0}};
        memcpy(seal->previous, p + 48, 32);
        memcpy(seal->sha256, p + 80, 32);
        good = seal->table >= seal->end && seal->table <= size;
    }
    buf_release(&payload);
    if (good)
        return NO_ERROR;
    error_release(&err);
    return error_make(ERROR_NOT_FOUND, "pack %08llu has no seal", (unsigned long long)number);
}

/* E2: a seal that a killed process left may stand in the page cache alone. */
static void prove_seal(struct packs *packs, uint64_t number, uint8_t sha256[32])
{
    struct seal seal;
    struct error err = packs_settle(packs, number);
    if (!err.code)
        err = seal_read(packs, number, &seal);
    if (err.code)
        memset(sha256, 0, 32);
    else
        memcpy(sha256, seal.sha256, 32);
    log_error(LOG_LEVEL_WARNING, COMPONENT, &err);
}

void seal_chain(struct packs *packs, const struct io_ops *io, const _Atomic bool *stop, uint64_t *durable_to)
{
    struct pack_info *list;
    size_t count;
    uint8_t previous[32] = {0};
    uint64_t previous_pack = 0;
    struct seal seal;
    struct error err = packs_list(packs, &list, &count);
    if (err.code) {
        log_error(LOG_LEVEL_ERROR, COMPONENT, &err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t number = list[i].header.number;
        if (!list[i].valid || !list[i].end)
            continue;
        err = seal_read(packs, number, &seal);
        if (err.code == ERROR_NOT_FOUND) {
            error_release(&err);
            if (previous_pack > *durable_to)
                prove_seal(packs, previous_pack, previous);
            err = seal_pack(packs, number, list[i].end, previous, io, stop);
            if (!err.code) {
                *durable_to = number;
                err = seal_read(packs, number, &seal);
            }
        }
        if (*stop) {
            error_release(&err);
            break;
        }
        previous_pack = err.code ? 0 : number;
        if (err.code) {
            memset(previous, 0, sizeof previous);
            log_error(LOG_LEVEL_ERROR, COMPONENT, &err);
        } else {
            memcpy(previous, seal.sha256, sizeof previous);
        }
    }
    free(list);
}

/* The block of a TABLE record, decompressed into `raw`. */
static struct error unpack(const struct buf *payload, struct buf *raw)
{
    buf_clear(raw);
    for (size_t at = 0; at + 12 <= payload->size;) {
        uint32_t size = get_u32(payload->data + at), stored = get_u32(payload->data + at + 4);
        unsigned codec = get_u32(payload->data + at + 8);
        at += 12;
        if (size > CHUNK_RAW_MAX || size > TABLE_RAW_MAX - raw->size || stored > payload->size - at)
            return error_make(ERROR_DAMAGED, "a seal's table does not hold together");
        uint8_t *to = buf_reserve(raw, size);
        if (!to)
            return buf_error(raw);
        TRY(chunk_decode(to, size, codec, payload->data + at, stored, NULL));
        raw->size += size;
        at += stored;
    }
    return NO_ERROR;
}

struct error seal_scan(struct packs *packs, uint64_t number, uint64_t end,
                       struct error (*record)(void *context, uint64_t number, const struct scan_record *record),
                       void *context, bool *sealed)
{
    struct seal seal;
    struct buf payload, raw;
    struct record_header header;
    buf_init(&payload);
    buf_init(&raw);
    struct error err = seal_read(packs, number, &seal);
    *sealed = !err.code && seal.end == end;
    if (!*sealed) {
        error_release(&err);
        return NO_ERROR;
    }
    uint64_t offset = seal.table, seen = 0;
    for (uint64_t i = 0; !err.code && i < seal.tables; i++) {
        CHECK(packs_record(packs, number, offset, 0, &header, &payload));
        if (header.type != RECORD_TABLE) {
            err = error_make(ERROR_DAMAGED, "the seal of pack %08llu counts more tables than there are",
                             (unsigned long long)number);
            goto out;
        }
        offset += record_extent(header.length);
        CHECK(unpack(&payload, &raw));
        for (size_t at = 0; at + 8 + RECORD_HEADER_SIZE <= raw.size; seen++) {
            struct scan_record r = {.offset = get_u64(raw.data + at)};
            const uint8_t *p = raw.data + at + 8;
            if (!record_header_read(&r.header, p, record_seed(packs_uuid(packs), number, r.offset)) ||
                r.header.length > raw.size - at - 8 - RECORD_HEADER_SIZE) {
                err = error_make(ERROR_DAMAGED, "the table of pack %08llu does not hold together",
                                 (unsigned long long)number);
                goto out;
            }
            r.payload = p + RECORD_HEADER_SIZE;
            CHECK(record(context, number, &r));
            at += 8 + RECORD_HEADER_SIZE + (size_t)r.header.length;
        }
    }
    if (seen != seal.records)
        err = error_make(ERROR_DAMAGED, "the table of pack %08llu has %llu of %llu records", (unsigned long long)number,
                         (unsigned long long)seen, (unsigned long long)seal.records);
out:
    buf_release(&payload);
    buf_release(&raw);
    /* The records themselves are still there: a table that is damaged is as good as none. Those applied twice are
     * passed over by their LSN. */
    if (err.code == ERROR_DAMAGED) {
        error_release(&err);
        *sealed = false;
    }
    return err;
}

struct error seal_verify(struct packs *packs, uint64_t number, const struct seal *seal)
{
    uint64_t size;
    uint8_t sha256[32];
    TRY(packs_size(packs, number, &size));
    TRY(file_sha256(packs, number, size - record_extent(SEAL_SIZE), seal->previous, NULL, sha256));
    if (memcmp(sha256, seal->sha256, 32) != 0)
        return error_make(ERROR_DAMAGED, "pack %08llu: its bytes are not those that were sealed",
                          (unsigned long long)number);
    return NO_ERROR;
}
