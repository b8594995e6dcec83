/* What lives here: the markers of a JPEG 2000 codestream (ISO/IEC 15444-1 A) as far as they decide how much a decoder
 * allocates, and the boxes of a JP2 file around one (I.5).
 *
 * A decoder keeps a structure for every tile, precinct, code-block and layer that the markers announce, before it has
 * seen a byte of any: a stream of 200 bytes can announce gigabytes. So all of COD and COC, in the main header and in
 * those of tiles, are weighed against the samples of the image first. Streams as encoders make them stay far below:
 * code-blocks of 64 x 64 weigh a 4,096th a sample.
 *
 * OpenJPEG 2.5.0 ends the process at a high-throughput code-block (15444-15) in which FF is followed by more than 8F,
 * and writes beyond a buffer where such code-blocks and others share a stream. Neither is ever right: FF90 and above
 * are markers (A.1.1). So both are refused here; and for the first to be seen, code-blocks have to stand in one piece:
 * in one layer, without markers between the packets.
 */
#include "codecs/pixel/jpeg2000.h"

#include <string.h>

#define MARKER_SOC 0xff4f
#define MARKER_SIZ 0xff51
#define MARKER_COD 0xff52
#define MARKER_COC 0xff53
#define MARKER_SOT 0xff90
#define MARKER_SOD 0xff93
#define MARKER_EOC 0xffd9
#define LEVELS_MAX 32
#define STYLE_HT 0x40
/* A tile's structure is some 7 KiB with a component's; a code-block's or a precinct's 0.7 KiB; a layer of a precinct
 * 2 bytes. The divisors keep each below 16 bytes a sample, the constants let small images be cut finely. */
#define TILES_FREE 256
#define SAMPLES_PER_TILE 512
#define BLOCKS_FREE 65536
#define SAMPLES_PER_BLOCK 64
#define LAYERS_FREE (UINT64_C(1) << 22)

static uint64_t div_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* The body of a JP2 file's first codestream box, or the bytes themselves. */
void jpeg2000_codestream(const uint8_t **bytes, size_t *size)
{
    const uint8_t *at = *bytes;
    size_t left = *size;
    if (left < 12 || memcmp(at + 4, "jP  ", 4) != 0)
        return;
    while (left >= 8) {
        uint64_t length = get_u32be(at), header = 8;
        if (length == 1 && left >= 16) {
            length = get_u64be(at + 8);
            header = 16;
        }
        if (length == 0 || length > left)
            length = left;
        if (length < header)
            return;
        if (memcmp(at + 4, "jp2c", 4) == 0) {
            *bytes = at + header;
            *size = (size_t)(length - header);
            return;
        }
        at += length;
        left -= (size_t)length;
    }
}

static struct error read_size(struct jpeg2000_header *h, const uint8_t *body, size_t size)
{
    if (size < 36 || size < 36 + 3 * (size_t)get_u16be(body + 34))
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream's SIZ marker is short");
    uint32_t x = get_u32be(body + 2), y = get_u32be(body + 6), x0 = get_u32be(body + 10), y0 = get_u32be(body + 14);
    uint32_t tile_x0 = get_u32be(body + 26), tile_y0 = get_u32be(body + 30);
    h->tile_columns = get_u32be(body + 18);
    h->tile_rows = get_u32be(body + 22);
    h->components = get_u16be(body + 34);
    if (x <= x0 || y <= y0 || !h->tile_columns || !h->tile_rows || tile_x0 > x0 || tile_y0 > y0 || !h->components)
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream's SIZ marker contradicts itself");
    h->columns = x - x0;
    h->rows = y - y0;
    h->tiles = div_up(x - tile_x0, h->tile_columns) * div_up(y - tile_y0, h->tile_rows);
    if (h->tile_columns > h->columns)
        h->tile_columns = h->columns;
    if (h->tile_rows > h->rows)
        h->tile_rows = h->rows;
    h->precision = 0;
    for (unsigned i = 0; i < h->components; i++) {
        const uint8_t *component = body + 36 + 3 * i;
        unsigned precision = (component[0] & 0x7f) + 1u;
        h->precision = precision > h->precision ? precision : h->precision;
        h->subsampled = h->subsampled || component[1] != 1 || component[2] != 1;
    }
    return NO_ERROR;
}

/* What a COD or COC asks for in one component of the largest tile: levels, code-block and precinct sizes (A.6.1). */
struct coding {
    unsigned levels, block_x, block_y; /* exponents */
    bool ht;
    const uint8_t *precincts; /* a byte a resolution, or NULL: 2^15 each */
};

static struct error read_coding(struct coding *coding, const uint8_t *body, size_t size, bool precincts)
{
    if (size < 5 || body[0] > LEVELS_MAX || (precincts && size < 6 + (size_t)body[0]))
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream's coding style is short or wrong");
    coding->levels = body[0];
    coding->block_x = (body[1] & 15) + 2u;
    coding->block_y = (body[2] & 15) + 2u;
    coding->ht = body[3] & STYLE_HT;
    coding->precincts = precincts ? body + 5 : NULL;
    return NO_ERROR;
}

/* `most` is the largest number of precincts of a resolution; `blocks` all precincts and code-blocks. */
static void weigh(const struct jpeg2000_header *h, const struct coding *coding, uint64_t *blocks, uint64_t *most)
{
    for (unsigned r = 0; r <= coding->levels; r++) {
        unsigned down = coding->levels - r, split = r ? 1 : 0;
        uint64_t columns = div_up(h->tile_columns, UINT64_C(1) << down);
        uint64_t rows = div_up(h->tile_rows, UINT64_C(1) << down);
        unsigned px = coding->precincts ? coding->precincts[r] & 15 : 15;
        unsigned py = coding->precincts ? coding->precincts[r] >> 4 : 15;
        uint64_t precincts = (div_up(columns, UINT64_C(1) << px) + 1) * (div_up(rows, UINT64_C(1) << py) + 1);
        unsigned bx = px > split ? px - split : 0, by = py > split ? py - split : 0;
        bx = bx < coding->block_x ? bx : coding->block_x;
        by = by < coding->block_y ? by : coding->block_y;
        uint64_t across = div_up(div_up(columns, 1u + split), UINT64_C(1) << bx) + 1;
        uint64_t down_blocks = div_up(div_up(rows, 1u + split), UINT64_C(1) << by) + 1;
        *blocks += (precincts + across * down_blocks) * (r ? 3 : 1);
        *most = precincts > *most ? precincts : *most;
    }
}

static struct error judge(struct jpeg2000_header *h, unsigned marker, const uint8_t *body, size_t size)
{
    struct coding coding = {0};
    size_t name = h->components < 257 ? 1 : 2; /* a COC names its component */
    unsigned style = marker == MARKER_COD ? 0u : (unsigned)name;
    size_t skip = marker == MARKER_COD ? 5 : name + 1;
    if (!h->components || size < skip)
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream's coding style is short or comes too early");
    if (marker == MARKER_COD) {
        h->layers = get_u16be(body + 2);
        h->transformed = h->transformed || body[4] == 1;
    }
    TRY(read_coding(&coding, body + skip, size - skip, body[style] & 1));
    uint64_t blocks = 0, most = 0, samples = (uint64_t)h->columns * h->rows * h->components;
    weigh(h, &coding, &blocks, &most);
    h->resolutions = coding.levels + 1 > h->resolutions ? coding.levels + 1 : h->resolutions;
    h->precincts = most > h->precincts ? most : h->precincts;
    h->ht = h->ht || coding.ht;
    h->not_ht = h->not_ht || !coding.ht;
    if (h->ht && (h->not_ht || h->layers != 1))
        return error_make(ERROR_UNSUPPORTED, "an HTJ2K stream of %u layers%s", h->layers,
                          h->not_ht ? " and with other code-blocks" : "");
    uint64_t layers = ((uint64_t)h->layers + 1) * h->resolutions * h->components;
    if (blocks * h->components > BLOCKS_FREE + samples / SAMPLES_PER_BLOCK || h->precincts > UINT32_MAX ||
        layers * h->precincts > LAYERS_FREE + samples)
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream announces %llu code-blocks a tile in %u layers",
                          (unsigned long long)(blocks * h->components), h->layers);
    return NO_ERROR;
}

/* Markers from `*at` to the next SOT (main header) or SOD (a tile-part's), whose place is then in `*at`. */
static struct error read_markers(struct jpeg2000_header *h, const uint8_t *bytes, size_t size, size_t *at, unsigned end)
{
    for (;;) {
        if (*at > size || size - *at < 2)
            return error_make(ERROR_MALFORMED, "the JPEG 2000 stream of %zu bytes ends in a header", size);
        unsigned marker = get_u16be(bytes + *at);
        if (marker == end)
            return NO_ERROR;
        size_t length = size - *at >= 4 ? get_u16be(bytes + *at + 2) : 0;
        if (marker < 0xff00 || length < 2 || length > size - *at - 2)
            return error_make(ERROR_MALFORMED, "the JPEG 2000 stream has no marker at byte %zu of %zu", *at, size);
        const uint8_t *body = bytes + *at + 4;
        if (marker == MARKER_SIZ && !h->components)
            TRY(read_size(h, body, length - 2));
        if (marker == MARKER_COD || marker == MARKER_COC)
            TRY(judge(h, marker, body, length - 2));
        *at += 2 + length;
    }
}

/* The packets of a tile-part, [from, to): no high-throughput code-block in them may be what ends the process. */
static struct error check_packets(const uint8_t *bytes, size_t from, size_t to)
{
    for (const uint8_t *at = bytes + from; (at = memchr(at, 0xff, (size_t)(bytes + to - at))); at++)
        if (at + 1 == bytes + to || at[1] > 0x8f)
            return error_make(ERROR_UNSUPPORTED, "a marker among the packets of an HTJ2K stream, at byte %zu",
                              (size_t)(at - bytes));
    return NO_ERROR;
}

/* Where packets end that end with the stream: before its end marker and what is behind that. */
static size_t last_packet_end(const uint8_t *bytes, size_t from, size_t size)
{
    for (; from + 1 < size; from++)
        if (get_u16be(bytes + from) == MARKER_EOC)
            return from;
    return size;
}

/* The tile-part at `*at`; `*at` is then behind it, or `size` if it is the last or cut short. */
static struct error read_part(struct jpeg2000_header *h, const uint8_t *bytes, size_t size, size_t *at)
{
    size_t begin = *at, part = get_u32be(bytes + begin + 6);
    TRY(read_markers(h, bytes, size, at, MARKER_SOD));
    size_t packets = *at + 2, end = begin + part;
    if (part && part < packets - begin)
        return error_make(ERROR_MALFORMED, "a JPEG 2000 tile-part of %zu bytes", part);
    if (part >= size - begin)
        end = size;
    if (part == 0 && h->ht) {
        end = last_packet_end(bytes, packets, size);
        h->size = end + 2 < size ? end + 2 : size; /* a decoder takes the last two bytes for the end marker */
    }
    if (h->ht)
        TRY(check_packets(bytes, packets, end));
    *at = part ? end : size;
    return NO_ERROR;
}

struct error jpeg2000_header_read(struct jpeg2000_header *h, const uint8_t *bytes, size_t size)
{
    size_t at = 2;
    memset(h, 0, sizeof *h);
    h->size = size;
    if (size < 4 || get_u16be(bytes) != MARKER_SOC || get_u16be(bytes + 2) != MARKER_SIZ)
        return error_make(ERROR_MALFORMED, "the frame does not begin as a JPEG 2000 stream");
    TRY(read_markers(h, bytes, size, &at, MARKER_SOT));
    if (!h->components || !h->layers)
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream has no coding style");
    uint64_t samples = (uint64_t)h->columns * h->rows * h->components;
    if (h->tiles > TILES_FREE + samples / SAMPLES_PER_TILE)
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream announces %llu tiles", (unsigned long long)h->tiles);
    while (size - at >= 12 && get_u16be(bytes + at) == MARKER_SOT)
        TRY(read_part(h, bytes, size, &at));
    /* Whatever else is here, a decoder would search for markers, and find some that were not weighed. */
    if (size - at >= 2 && get_u16be(bytes + at) != MARKER_EOC)
        return error_make(ERROR_MALFORMED, "the JPEG 2000 stream has no tile-part at byte %zu of %zu", at, size);
    if (size - at >= 2)
        h->size = at + 2;
    return NO_ERROR;
}
