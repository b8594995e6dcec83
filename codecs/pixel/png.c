/* What lives here: PNG (ISO/IEC 15948) whose size follows from its shape: 8 or 16 bits, filter 0, one IDAT with stored
 * deflate blocks (RFC 1951 3.2.4). Ours rather than a library's because libpng neither tells a size beforehand nor
 * writes stored blocks of a promised number. CRC-32 and Adler-32 are libdeflate's, much faster than zlib's: they were
 * a large part of the time that a PNG of native pixels took.
 *
 * Lines are written once, at the end of the room for them, and then moved forward by at most five bytes a block.
 */
#include "codecs/pixel/decoder.h"

#include <libdeflate.h>
#include <string.h>

#define BLOCK_MAX 65535u
#define BLOCK_HEADER 5u
#define BEFORE_LINES (8u + 25u + 8u + 2u) /* signature, IHDR, IDAT's length and type, zlib header */
#define AFTER_LINES (4u + 4u + 12u)       /* Adler-32, CRC, IEND */

static uint64_t blocks_of(uint64_t lines)
{
    return (lines + BLOCK_MAX - 1) / BLOCK_MAX;
}

uint64_t png_size(uint64_t lines)
{
    return BEFORE_LINES + lines + BLOCK_HEADER * blocks_of(lines) + AFTER_LINES;
}

static const struct {
    uint8_t depth, colour_type, bytes; /* of a pixel */
} formats[] = {
    [PNG_GREY] = {8, 0, 1},
    [PNG_RGB] = {8, 2, 3},
    [PNG_GREY16] = {16, 0, 2},
};

uint64_t png_lines(uint32_t columns, uint32_t rows, enum png_format format)
{
    return (uint64_t)rows * (1 + (uint64_t)columns * formats[format].bytes);
}

struct error png_begin(struct buf *out, uint32_t columns, uint32_t rows, enum png_format format, uint8_t **lines)
{
    uint64_t size = png_lines(columns, rows, format);
    uint8_t *png = buf_reserve(out, (size_t)png_size(size));
    TRY(buf_error(out));
    *lines = png + BEFORE_LINES + BLOCK_HEADER * blocks_of(size);
    return NO_ERROR;
}

static void chunk(uint8_t *at, const char *type, uint32_t size)
{
    put_u32be(at, size);
    memcpy(at + 4, type, 4);
    put_u32be(at + 8 + size, libdeflate_crc32(0, at + 4, (size_t)size + 4));
}

void png_finish(struct buf *out, uint32_t columns, uint32_t rows, enum png_format format)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    size_t lines = (size_t)png_lines(columns, rows, format), blocks = (size_t)blocks_of(lines);
    uint8_t *png = out->data + out->size, *header = png + 8, *data = header + 25;
    memcpy(png, signature, sizeof signature);
    put_u32be(header + 8, columns);
    put_u32be(header + 12, rows);
    header[16] = formats[format].depth;
    header[17] = formats[format].colour_type;
    memset(header + 18, 0, 3); /* deflate, adaptive filters, not interlaced */
    chunk(header, "IHDR", 13);

    uint8_t *to = data + 8;
    *to++ = 0x78;
    *to++ = 0x01;
    const uint8_t *from = to + BLOCK_HEADER * blocks;
    uint32_t adler = libdeflate_adler32(1, from, lines);
    for (size_t left = lines; left;) {
        uint16_t size = (uint16_t)(left < BLOCK_MAX ? left : BLOCK_MAX);
        left -= size;
        *to = left == 0;
        put_u16(to + 1, size);
        put_u16(to + 3, (uint16_t)~size);
        memmove(to + BLOCK_HEADER, from, size);
        to += BLOCK_HEADER + size;
        from += size;
    }
    put_u32be(to, adler);
    chunk(data, "IDAT", (uint32_t)(to + 4 - (data + 8)));
    chunk(to + 8, "IEND", 0);
    out->size += (size_t)png_size(lines);
    out->data[out->size] = 0;
}
