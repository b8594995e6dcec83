/* ARCHIVE/quarantine: what a crash left there goes, what is on its way stays. */
#include "archive_case.h"

static bool exists(const char *part)
{
    return access(scratch_path(part), F_OK) == 0;
}

static void quarantine_old_partial_file_is_removed(void)
{
    struct builder b;
    struct ingest_result result;
    struct timespec old[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    builder_init(&b);
    archive_make();
    EXPECT(file_write(scratch_path("archive/quarantine/.20231114-221320-00000.part"), "old", 3));
    EXPECT(utimensat(AT_FDCWD, scratch_path("archive/quarantine/.20231114-221320-00000.part"), old, 0) == 0);
    EXPECT(file_write(scratch_path("archive/quarantine/.20231114-221320-00001.part"), "young", 5));
    builder_text(&b, 0x0020000D, "UI", "../../etc"); /* no path can hold it: refused */
    struct error err = archive_try_send(&b, "CT1", true, &result);
    EXPECT(err.code == ERROR_MALFORMED);
    error_release(&err);
    EXPECT(!exists("archive/quarantine/.20231114-221320-00000.part"));
    EXPECT(exists("archive/quarantine/.20231114-221320-00001.part"));
    builder_release(&b);
}

int main(void)
{
    RUN(quarantine_old_partial_file_is_removed);
    archive_gone();
    return check_done();
}
