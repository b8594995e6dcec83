/* What lives here: PNG (ISO/IEC 15948) whose size follows from its shape: 8 bits, filter 0, one IDAT with stored
 * deflate blocks (RFC 1951 3.2.4). Ours rather than a library's because libpng neither tells a size beforehand nor
 * writes stored blocks of a promised number; CRC-32 and Adler-32 are zlib's.
 *
 * Lines are written once, at the end of the room for them, and then moved forward by at most five bytes a block.
 */
#include "codecs/pixel/decoder.h"

#include <string.h>
#include <zlib.h>

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

static uint64_t lines_of(uint32_t columns, uint32_t rows, bool colour)
{
    return (uint64_t)rows * (1 + (uint64_t)columns * (colour ? 3 : 1));
}

struct error png_begin(struct buf *out, uint32_t columns, uint32_t rows, bool colour, uint8_t **lines)
{
    uint64_t size = lines_of(columns, rows, colour);
    uint8_t *png = buf_reserve(out, (size_t)png_size(size));
    TRY(buf_error(out));
    *lines = png + BEFORE_LINES + BLOCK_HEADER * blocks_of(size);
    return NO_ERROR;
}

static void chunk(uint8_t *at, const char *type, uint32_t size)
{
    put_u32be(at, size);
    memcpy(at + 4, type, 4);
    put_u32be(at + 8 + size, (uint32_t)crc32(crc32(0, NULL, 0), at + 4, size + 4));
}

void png_finish(struct buf *out, uint32_t columns, uint32_t rows, bool colour)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    size_t lines = (size_t)lines_of(columns, rows, colour), blocks = (size_t)blocks_of(lines);
    uint8_t *png = out->data + out->size, *header = png + 8, *data = header + 25;
    memcpy(png, signature, sizeof signature);
    put_u32be(header + 8, columns);
    put_u32be(header + 12, rows);
    const uint8_t format[5] = {8, colour ? 2 : 0, 0, 0, 0}; /* depth, colour type, deflate, adaptive, not interlaced */
    memcpy(header + 16, format, sizeof format);
    chunk(header, "IHDR", 13);

    uint8_t *to = data + 8;
    *to++ = 0x78;
    *to++ = 0x01;
    const uint8_t *from = to + BLOCK_HEADER * blocks;
    uint32_t adler = (uint32_t)adler32_z(adler32_z(0, NULL, 0), from, lines);
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
