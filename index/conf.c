/* What lives here: the rows of archive.conf, what `init` fills in, and what must hold of it. */
#include "index/conf.h"

#include "codecs/base/settings.h"
#include "index/fold/naming.h"

#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARCHIVE_FORMAT 1
#define CREATED_YEAR_MAX 2261 /* as nanoseconds since 1970 it fits into 64 bits */

/* RFC 3339, UTC, whole seconds. */
static struct error take_time(void *target, const struct setting *row, const char *name, const char *value)
{
    struct tm tm = {0};
    (void)name;
    const char *end = strptime(value, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (*value && (!end || *end || tm.tm_year < 1970 - 1900 || tm.tm_year > CREATED_YEAR_MAX - 1900))
        return error_make(ERROR_USAGE, "'%s' is no time like 2024-03-05T14:00:00Z", value);
    *(int64_t *)((char *)target + row->offset) = *value ? (int64_t)timegm(&tm) * 1000000000 : 0;
    return NO_ERROR;
}

#define AT(member) offsetof(struct archive_conf, member)
static const struct setting conf_rows[] = {
    {"", "format", settings_take_number, "version of the archive's layout", "1", AT(format), 1, ARCHIVE_FORMAT, false},
    {"", "uuid", settings_take_text, "identity of the archive", "", AT(uuid_text), 0, 0, false},
    {"", "created", take_time, "when the archive was made", "", AT(created_ns), 0, 0, false},
    {"", "timezone", settings_take_text, "time zone of folders by date and hour", "UTC", AT(timezone), 0, 0, false},
    {"", "patients", settings_take_text, "flat, initial or idtail", "flat", AT(patients), 0, 0, false},
    {"", "patient_name", settings_take_text, "template", "{name}_{id}", AT(patient_name), 0, 0, false},
    {"", "study_name", settings_take_text, "template", "{date}_{description|modality}", AT(study_name), 0, 0, false},
    {"", "series_name", settings_take_text, "template", "{number:03}_{modality}_{description}", AT(series_name), 0, 0,
     false},
    {"", "instance_name", settings_take_text, "template", "{instance:04}", AT(instance_name), 0, 0, false},
    {"", "quiet", settings_take_duration, "a series has settled so long after its last arrival", "60 s", AT(quiet_ms),
     0, INT64_C(86400000) * 30, false},
    {0},
};

void conf_release(struct archive_conf *conf)
{
    char **const texts[] = {&conf->uuid_text,  &conf->timezone,    &conf->patients,     &conf->patient_name,
                            &conf->study_name, &conf->series_name, &conf->instance_name};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

static bool uuid_parse(const char *text, uint8_t uuid[16])
{
    size_t digits = 0;
    for (; *text; text++) {
        if (*text == '-')
            continue;
        int v = *text >= '0' && *text <= '9'                 ? *text - '0'
                : (*text | 32) >= 'a' && (*text | 32) <= 'f' ? (*text | 32) - 'a' + 10
                                                             : -1;
        if (v < 0 || digits == 32)
            return false;
        uuid[digits / 2] = (uint8_t)(digits % 2 ? uuid[digits / 2] | v : v << 4);
        digits++;
    }
    return digits == 32;
}

static struct error timezone_check(const char *zone)
{
    char path[PATH_MAX];
    if (strcmp(zone, "UTC") == 0)
        return NO_ERROR;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", zone);
    if (!*zone || strstr(zone, "..") || access(path, R_OK) != 0)
        return error_make(ERROR_USAGE, "time zone '%s' is not known here (package tzdata; names as Europe/Berlin)",
                          zone);
    return NO_ERROR;
}

struct error conf_check(struct archive_conf *conf)
{
    if (!conf->uuid_text || !uuid_parse(conf->uuid_text, conf->uuid))
        return error_make(ERROR_USAGE, "uuid '%s' is none", conf->uuid_text ? conf->uuid_text : "");
    if (strcmp(conf->patients, "flat") != 0 && strcmp(conf->patients, "initial") != 0 &&
        strcmp(conf->patients, "idtail") != 0)
        return error_make(ERROR_USAGE, "patients = %s: flat, initial or idtail", conf->patients);
    TRY(timezone_check(conf->timezone));
    TRY(error_context(naming_check(OBJECT_PATIENT, conf->patient_name), "patient_name"));
    TRY(error_context(naming_check(OBJECT_STUDY, conf->study_name), "study_name"));
    TRY(error_context(naming_check(OBJECT_SERIES, conf->series_name), "series_name"));
    return error_context(naming_check(OBJECT_INSTANCE, conf->instance_name), "instance_name");
}

/* The machine's time zone by name, as /etc/localtime or TZ has it. */
static void machine_timezone(char *to, size_t size)
{
    char link[PATH_MAX];
    const char *tz = getenv("TZ");
    ssize_t n = readlink("/etc/localtime", link, sizeof link - 1);
    snprintf(to, size, "UTC");
    if (tz && *tz && *tz != ':' && *tz != '/') {
        snprintf(to, size, "%s", tz);
    } else if (n > 0) {
        link[n] = 0;
        const char *name = strstr(link, "zoneinfo/");
        if (name)
            snprintf(to, size, "%s", name + strlen("zoneinfo/"));
    }
    struct error err = timezone_check(to);
    if (err.code)
        snprintf(to, size, "UTC");
    error_release(&err);
}

struct error conf_write(const char *path, const struct archive_conf *conf, const struct io_ops *io)
{
    struct buf text;
    char created[32];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_init(&text);
    buf_printf(
        &text,
        "# What `pacsctl init` decided. Names that exist are recorded in the log: a change here is for what comes.\n"
        "format = %d\nuuid = %s\ncreated = %s\ntimezone = %s\npatients = %s\npatient_name = %s\nstudy_name = %s\n"
        "series_name = %s\ninstance_name = %s\nquiet = %lld ms\n",
        ARCHIVE_FORMAT, conf->uuid_text, created, conf->timezone, conf->patients, conf->patient_name, conf->study_name,
        conf->series_name, conf->instance_name, (long long)conf->quiet_ms);
    struct error err = buf_error(&text);
    if (!err.code)
        err = io_replace(io, path, "archive.conf", text.data, text.size, 0640);
    buf_release(&text);
    return err;
}

struct error conf_fill(struct archive_conf *full, const struct archive_conf *given)
{
    uint8_t random[16];
    char zone[256];
    memset(full, 0, sizeof *full);
    TRY(settings_defaults(conf_rows, full));
    free(full->uuid_text);
    full->uuid_text = NULL;
    if (RAND_bytes(random, sizeof random) != 1)
        return error_make(ERROR_BROKEN, "no random numbers for a UUID");
    random[6] = (uint8_t)((random[6] & 0x0F) | 0x40); /* RFC 4122, version 4 */
    random[8] = (uint8_t)((random[8] & 0x3F) | 0x80);
    char text[37];
    for (int i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[at++] = '-';
        at += snprintf(text + at, sizeof text - (size_t)at, "%02x", random[i]);
    }
    machine_timezone(zone, sizeof zone);
    const struct {
        char **to;
        const char *given, *made;
    } texts[] = {
        {&full->uuid_text, given->uuid_text, text},         {&full->timezone, given->timezone, zone},
        {&full->patients, given->patients, NULL},           {&full->patient_name, given->patient_name, NULL},
        {&full->study_name, given->study_name, NULL},       {&full->series_name, given->series_name, NULL},
        {&full->instance_name, given->instance_name, NULL},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *value = texts[i].given ? texts[i].given : texts[i].made;
        if (!value)
            continue;
        free(*texts[i].to);
        *texts[i].to = strdup(value);
        if (!*texts[i].to)
            return error_make(ERROR_NO_MEMORY, "out of memory");
    }
    if (given->quiet_ms > 0)
        full->quiet_ms = given->quiet_ms;
    return NO_ERROR;
}

struct error conf_read(const char *path, struct archive_conf *conf)
{
    TRY(settings_read(path, conf_rows, conf));
    return error_context(conf_check(conf), "%s", path);
}
