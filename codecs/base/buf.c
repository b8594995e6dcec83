/* What lives here: growth of buffers, by doubling. Field access is inline in the header. */
#include "codecs/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b)
{
    memset(b, 0, sizeof *b);
}

void buf_release(struct buf *b)
{
    free(b->data);
    buf_init(b);
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t more)
{
    if (b->failed)
        return NULL;
    if (more > SIZE_MAX / 4 || b->size > SIZE_MAX / 4) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->size + more + 1;
    if (need > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity < need)
            capacity *= 2;
        uint8_t *data = realloc(b->data, capacity);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void buf_append(struct buf *b, const void *bytes, size_t size)
{
    uint8_t *to = buf_reserve(b, size);
    if (!to)
        return;
    if (size)
        memcpy(to, bytes, size);
    b->size += size;
    b->data[b->size] = 0;
}

void buf_text(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    uint8_t *to = size >= 0 ? buf_reserve(b, (size_t)size) : NULL;
    if (to) {
        vsnprintf((char *)to, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
}

void buf_byte(struct buf *b, uint8_t byte)
{
    buf_append(b, &byte, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
    uint8_t p[2];
    put_u16(p, v);
    buf_append(b, p, sizeof p);
}

void buf_u32(struct buf *b, uint32_t v)
{
    uint8_t p[4];
    put_u32(p, v);
    buf_append(b, p, sizeof p);
}

void buf_u64(struct buf *b, uint64_t v)
{
    uint8_t p[8];
    put_u64(p, v);
    buf_append(b, p, sizeof p);
}

const char *buf_string(struct buf *b)
{
    return b->data ? (const char *)b->data : "";
}

struct error buf_error(const struct buf *b)
{
    return b->failed ? error_make(ERROR_NO_MEMORY, "out of memory") : NO_ERROR;
}
