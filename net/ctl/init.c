/* pacsctl init: makes an archive. All that it decides stands in archive.conf and is never asked again. */
#include "net/ctl/command.h"
#include "net/ctl/report.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4122: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12. */
static struct error check_uuid(const char *text)
{
    bool good = strlen(text) == 36;
    for (size_t i = 0; i < 36 && good; i++)
        good = i == 8 || i == 13 || i == 18 || i == 23 ? text[i] == '-' : isxdigit((unsigned char)text[i]) != 0;
    return good ? NO_ERROR : error_make(ERROR_USAGE, "--uuid: \"%s\" is no UUID", text);
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
    char *quiet = NULL;
    struct pacs *pacs = NULL;
    struct error err;
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
        {"uuid", 0, POPT_ARG_STRING, &conf.uuid_text, 0, "the archive's UUID instead of a new one", "UUID"},
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
    if (conf.uuid_text)
        CHECK(check_uuid(conf.uuid_text));
    CHECK(pacs_init(call->archive, &conf));
    CHECK(call_read(call, &pacs));
    print_made(call->archive, pacs_conf(pacs));
out:
    pacs_close(pacs);
    free(quiet);
    free(conf.uuid_text);
    free(conf.timezone);
    free(conf.instance_name);
    free(conf.series_name);
    free(conf.study_name);
    free(conf.patient_name);
    free(conf.patients);
    return err;
}
