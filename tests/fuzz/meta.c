/* Any bytes as the beginning of a file: what is read stays within them, texts end, and the same fields written by
 * meta_build() are read back as they were. */
#include "codecs/dicom/meta.h"
#include "tests/fuzz/require.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool plain(const char *text)
{
    size_t size = strlen(text);
    return !size || (text[0] != ' ' && text[size - 1] != ' ');
}

static void write_and_read(const struct meta *meta)
{
    struct meta again;
    struct buf file;
    buf_init(&file);
    meta_build(&file, meta->sop_class, meta->sop_instance, meta->transfer_syntax, meta->implementation_class,
               meta->implementation_version, meta->source_ae);
    REQUIRE_OK(buf_error(&file));
    REQUIRE_OK(meta_read(&again, file.data, file.size));
    REQUIRE(again.has_preamble && again.prefix_size == file.size);
    REQUIRE(strcmp(again.sop_class, meta->sop_class) == 0 && strcmp(again.sop_instance, meta->sop_instance) == 0);
    REQUIRE(strcmp(again.transfer_syntax, meta->transfer_syntax) == 0);
    REQUIRE(!plain(meta->source_ae) || strcmp(again.source_ae, meta->source_ae) == 0);
    buf_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct meta meta;
    struct error err = meta_read(&meta, data, size);
    REQUIRE(!err.code || err.code == ERROR_MALFORMED);
    REQUIRE(err.code || (meta.prefix_size <= size && meta.syntax));
    if (!err.code && *meta.transfer_syntax)
        write_and_read(&meta);
    error_release(&err);
    return 0;
}
