/* pacsctl init: makes an archive. All that it decides stands in archive.conf and is never asked again. */
#include "net/ctl/command.h"
#include "net/ctl/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* RFC 4122 text; hyphens may be missing. */
static struct error parse_uuid(const char *text, uint8_t uuid[16])
{
    unsigned n = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '-')
            continue;
        int high = digit_of(*p), low = high < 0 ? -1 : digit_of(p[1]);
        if (low < 0 || n == 16)
            return error_make(ERROR_USAGE, "--uuid: \"%s\" is no UUID", text);
        uuid[n++] = (uint8_t)(high << 4 | low);
        p++;
    }
    return n == 16 ? NO_ERROR : error_make(ERROR_USAGE, "--uuid: \"%s\" is no UUID", text);
}

static void print_made(const char *archive, const struct archive_conf *conf)
{
    printf("made      %s\n"
           "uuid      %s\n"
           "time zone %s\n"
           "patients  %s\n"
           "names     %s / %s / %s / %s\n"
           "settled   %.6g s after the last arrival\n\n"
           "Next:\n"
           "  pacsctl -A %s import PATH...   take in files, folders, zip, tar, 7z, ISO images\n"
           "  pacsd -A %s                    receive over DICOM, port 11112\n"
           "  pacsfs %s MOUNTPOINT           show it as files\n",
           archive, conf->uuid_text, conf->timezone, conf->patients, conf->patient_name, conf->study_name,
           conf->series_name, conf->instance_name, (double)conf->quiet_ms / 1000, archive, archive, archive);
}

struct error command_init(struct call *call)
{
    struct archive_conf conf = {0};
    char *quiet = NULL, *uuid = NULL;
    struct pacs *pacs = NULL;
    struct error err = NO_ERROR;
    const struct poptOption options[] = {
        {"patients", 0, POPT_ARG_STRING, &conf.patients, 0,
         "flat, initial (a level of first letters above patients), idtail (of the last digits of the ID)", "LAYOUT"},
        {"patient-name", 0, POPT_ARG_STRING, &conf.patient_name, 0, "template of patients' folders", "TEMPLATE"},
        {"study-name", 0, POPT_ARG_STRING, &conf.study_name, 0, "template of studies' folders", "TEMPLATE"},
        {"series-name", 0, POPT_ARG_STRING, &conf.series_name, 0, "template of series' folders", "TEMPLATE"},
        {"instance-name", 0, POPT_ARG_STRING, &conf.instance_name, 0, "template of files", "TEMPLATE"},
        {"timezone", 0, POPT_ARG_STRING, &conf.timezone, 0, "of folders by date and hour, as Europe/Berlin", "ZONE"},
        {"quiet", 0, POPT_ARG_STRING, &quiet, 0, "a series has settled this long after its last arrival, as \"60 s\"",
         "DURATION"},
        {"uuid", 0, POPT_ARG_STRING, &uuid, 0, "the archive's UUID instead of a new one", "UUID"},
        POPT_TABLEEND,
    };
    CHECK(call_options(call, options));
    if (call->done)
        goto out;
    if (call->count > 1)
        CHECK(error_make(ERROR_USAGE, "init makes one archive; \"%s\" is a second", call->words[1]));
    if (call->count)
        call->archive = call->words[0];
    CHECK(call_archive(call));
    CHECK(parse_duration("quiet", quiet, &conf.quiet_ms));
    if (uuid)
        CHECK(parse_uuid(uuid, conf.uuid));
    CHECK(pacs_init(call->archive, &conf));
    CHECK(call_read(call, &pacs));
    print_made(call->archive, pacs_conf(pacs));
out:
    pacs_close(pacs);
    free(uuid);
    free(quiet);
    free(conf.timezone);
    free(conf.instance_name);
    free(conf.series_name);
    free(conf.study_name);
    free(conf.patient_name);
    free(conf.patients);
    return err;
}
