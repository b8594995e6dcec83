/* Layer: codecs/base. A growing byte buffer, and fixed-width little-endian fields.
 *
 * init makes an empty buffer (no memory), release frees the contents, clear leaves it reusable. When memory runs out a
 * buffer remembers it (`failed`) and ignores what is appended after; check once with buf_error(). Data may be moved by
 * any append. No locking: one thread at a time.
 */
#ifndef CODECS_BASE_BUF_H
#define CODECS_BASE_BUF_H

#include "codecs/base/error.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct buf {
    uint8_t *data; /* `size` bytes; a NUL stands behind them whenever data is not NULL */
    size_t size;
    size_t capacity;
    bool failed;
};

void buf_init(struct buf *b);
void buf_release(struct buf *b);
void buf_clear(struct buf *b);

/* Room for `more` bytes after the present ones: their address, or NULL when memory runs out. Does not change size. */
uint8_t *buf_reserve(struct buf *b, size_t more);
void buf_append(struct buf *b, const void *bytes, size_t size);
void buf_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_byte(struct buf *b, uint8_t byte);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
/* The contents as a C string ("" when empty). */
const char *buf_string(struct buf *b);
/* Success, or ERROR_NO_MEMORY if an append had failed. */
struct error buf_error(const struct buf *b);

static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, (uint16_t)v);
    put_u16(p + 2, (uint16_t)(v >> 16));
}
static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)get_u16(p) | (uint32_t)get_u16(p + 2) << 16;
}
static inline uint64_t get_u64(const uint8_t *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}
static inline uint16_t get_u16be(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get_u32be(const uint8_t *p)
{
    return (uint32_t)get_u16be(p) << 16 | get_u16be(p + 2);
}
static inline uint64_t get_u64be(const uint8_t *p)
{
    return (uint64_t)get_u32be(p) << 32 | get_u32be(p + 4);
}
static inline void put_u32be(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void put_u64be(uint8_t *p, uint64_t v)
{
    put_u32be(p, (uint32_t)(v >> 32));
    put_u32be(p + 4, (uint32_t)v);
}

#ifdef __cplusplus
}
#endif
#endif
