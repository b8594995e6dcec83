/* What lives here: libjpeg-turbo for JPEG of 8 bits, asked for components as they are.
 *
 * The library reports by leaping back into jpeg8_decode(): nothing of ours is allocated in between, and
 * jpeg_destroy_decompress() frees what is the library's. Its warnings name what it makes up; those that stand for lost
 * pixels are failures here, lest a picture with an invented half passes for the image. A stream without an end marker
 * whose pixels are all there is none of those.
 */
#include "codecs/pixel/jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#define LINES 16

struct trouble {
    struct jpeg_error_mgr base; /* first: the library hands back its address */
    jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
    bool ended; /* the stream was read to its last byte */
};

static _Noreturn void give_up(j_common_ptr jpeg)
{
    struct trouble *trouble = (struct trouble *)(void *)jpeg->err;
    jpeg->err->format_message(jpeg, trouble->text);
    longjmp(trouble->escape, 1);
}

static void on_message(j_common_ptr jpeg, int level)
{
    static const int lost[] = {JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_ARITH_BAD_CODE, JWRN_MUST_RESYNC};
    struct trouble *trouble = (struct trouble *)(void *)jpeg->err;
    if (level >= 0)
        return;
    trouble->ended = trouble->ended || jpeg->err->msg_code == JWRN_JPEG_EOF;
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
        if (jpeg->err->msg_code == lost[i])
            give_up(jpeg);
}

static void decode(struct jpeg_decompress_struct *jpeg, const uint8_t *bytes, size_t size, uint8_t *out,
                   size_t out_size)
{
    JSAMPROW rows[LINES];
    jpeg_mem_src(jpeg, bytes, size);
    jpeg_read_header(jpeg, TRUE);
    jpeg->out_color_space = jpeg->jpeg_color_space;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(jpeg);
    size_t line = (size_t)jpeg->output_width * (size_t)jpeg->output_components;
    if (line * jpeg->output_height != out_size)
        ERREXIT(jpeg, JERR_BUFFER_SIZE);
    while (jpeg->output_scanline < jpeg->output_height) {
        JDIMENSION left = jpeg->output_height - jpeg->output_scanline, count = left < LINES ? left : LINES;
        for (JDIMENSION i = 0; i < count; i++)
            rows[i] = out + line * (jpeg->output_scanline + i);
        jpeg_read_scanlines(jpeg, rows, count);
    }
}

struct error jpeg8_decode(const uint8_t *bytes, size_t size, uint8_t *out, size_t out_size)
{
    struct jpeg_decompress_struct jpeg;
    struct trouble trouble;
    struct error err = NO_ERROR;
    memset(&jpeg, 0, sizeof jpeg);
    memset(&trouble, 0, sizeof trouble);
    jpeg.err = jpeg_std_error(&trouble.base);
    trouble.base.error_exit = give_up;
    trouble.base.emit_message = on_message;
    if (setjmp(trouble.escape) == 0) {
        jpeg_create_decompress(&jpeg);
        decode(&jpeg, bytes, size, out, out_size);
    } else if (trouble.base.msg_code == JERR_OUT_OF_MEMORY) {
        err = error_make(ERROR_NO_MEMORY, "no memory to decode a JPEG stream");
    } else if (trouble.ended) {
        err = error_make(ERROR_MALFORMED, "the JPEG stream of %zu bytes ends early", size);
    } else {
        err = error_make(ERROR_MALFORMED, "JPEG: %s", trouble.text);
    }
    jpeg_destroy_decompress(&jpeg);
    return err;
}
