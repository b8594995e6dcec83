/* Any bytes as an archive given to `import`. The walk is the product's; its intake is a small one of our own that keeps
 * nothing and counts. Held: every limit, a label and a reason for whatever is refused or passed over, streams that are
 * ended once, and descriptors that are closed. */
#include "net/ctl/unpack.h"
#include "tests/fuzz/require.h"

#include <dirent.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMBER_MAX (1 << 20)
#define TOTAL_MAX (8 << 20)

struct intake {
    uint64_t given, members, said;
    unsigned streams;
};

struct intake_stream {
    struct intake *intake;
    uint64_t size;
};

bool intake_is_over(struct intake *intake)
{
    return intake->members + intake->said > 10000;
}

void intake_skip(struct intake *intake, const char *label, const char *reason)
{
    REQUIRE(*label && *reason);
    intake->said++;
}

void intake_refuse(struct intake *intake, const char *label, struct error err)
{
    REQUIRE(*label && err.code != ERROR_NONE && *error_text(&err));
    intake->said++;
    error_release(&err);
}

static void count(struct intake *intake, const uint8_t *bytes, size_t size)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    intake->given += size;
    REQUIRE(intake->given <= TOTAL_MAX);
}

struct error intake_give_bytes(struct intake *intake, const void *bytes, size_t size, const char *label, bool named)
{
    REQUIRE(*label && !named && size <= MEMBER_MAX);
    intake->members++;
    count(intake, bytes, size);
    return NO_ERROR;
}

struct error intake_stream_begin(struct intake *intake, const char *label, struct intake_stream **stream)
{
    REQUIRE(*label);
    *stream = calloc(1, sizeof **stream);
    REQUIRE(*stream);
    (*stream)->intake = intake;
    intake->members++;
    intake->streams++;
    return NO_ERROR;
}

bool intake_stream_write(struct intake_stream *stream, const void *bytes, size_t size)
{
    stream->size += size;
    REQUIRE(stream->size <= MEMBER_MAX);
    count(stream->intake, bytes, size);
    return stream->size % 3 != 0; /* some have had enough early */
}

void intake_stream_end(struct intake_stream *stream)
{
    stream->intake->streams--;
    free(stream);
}

void intake_stream_fail(struct intake_stream *stream, struct error err)
{
    REQUIRE(err.code != ERROR_NONE);
    error_release(&err);
    intake_stream_end(stream);
}

static unsigned descriptors(void)
{
    unsigned open = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        open++;
    if (folder)
        closedir(folder);
    return open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct unpack_limits limits = {3, MEMBER_MAX, TOTAL_MAX, 1000, 1 << 20};
    struct intake intake = {0};
    struct report report;
    unsigned before = descriptors();
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    REQUIRE(fd > 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    report_init(&report, NULL);
    unpack(&intake, &report, &limits, fd, "fuzz");
    REQUIRE(intake.streams == 0);
    report_release(&report);
    REQUIRE(descriptors() == before);
    return 0;
}
