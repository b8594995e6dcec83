/* ARCHIVE/quarantine: what a crash left there goes, what is on its way stays. */
#include "archive_case.h"

#include <dirent.h>

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

/* The oldest go when the bound is reached, and it holds after each. */
static void quarantine_stays_within_its_bound(void)
{
    struct builder b;
    struct ingest_result result;
    builder_init(&b);
    archive_make();
    archive_close();
    archive_options.quarantine_bytes = 200000;
    archive_open(PACS_WRITE);
    builder_text(&b, 0x0020000D, "UI", "../../etc");
    builder_pixels(&b, 60, 60, 1);
    for (unsigned i = 0; i < 60; i++) {
        struct error err = archive_try_send(&b, "CT1", true, &result);
        EXPECT(err.code == ERROR_MALFORMED);
        error_release(&err);
        uint64_t bytes = 0, files = 0, reasons = 0;
        DIR *folder = opendir(scratch_path("archive/quarantine"));
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            char part[300];
            size_t size = strlen(entry->d_name);
            snprintf(part, sizeof part, "archive/quarantine/%s", entry->d_name);
            files += size > 4 && strcmp(entry->d_name + size - 4, ".dcm") == 0;
            reasons += size > 7 && strcmp(entry->d_name + size - 7, ".reason") == 0;
            bytes += file_size(scratch_path(part));
        }
        if (folder)
            closedir(folder);
        EXPECT(bytes <= 200000 && files == reasons && (i < 20 ? files > 0 : files > 8));
    }
    builder_release(&b);
}

int main(void)
{
    RUN(quarantine_stays_within_its_bound);
    RUN(quarantine_old_partial_file_is_removed);
    archive_gone();
    return check_done();
}
