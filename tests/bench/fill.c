/* What lives here: an archive of as many synthetic instances as wanted, taken in through the ingest interface.
 *
 *   bench_fill ARCHIVE INSTANCES [THREADS] [SIDE]
 *
 * 200 slices a series, 4 series a study, 3 studies a patient; names, dates, UIDs and geometry as modalities write
 * them. Explicit little endian, SIDE x SIDE pixels (default 16: about 2 KB an instance). The archive is made if it is
 * not there. Series are taken one after the other by many threads, so that many answers wait for one sync. Prints:
 * instances, seconds. */
#include "index/index.h"

#include "codecs/base/buf.h"
#include "codecs/dicom/syntax.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLICES 200
#define SERIES 4
#define STUDIES 3
#define THREADS_MAX 512
#define SIDE_MAX 4096
#define ROOT_UID "1.3.12.2.1107.5.1.4"

struct fill {
    struct pacs *pacs;
    uint64_t instances;
    unsigned side; /* rows and columns */
    atomic_uint_fast64_t next;
    atomic_int failed;
};

/* ---- elements (PS3.5 7.1.2) ---- */

static void element_head(struct buf *to, uint32_t tag, const char *vr, size_t size)
{
    uint8_t h[8] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 24), (uint8_t)tag,  (uint8_t)(tag >> 8),
                    (uint8_t)vr[0],       (uint8_t)vr[1],       (uint8_t)size, (uint8_t)(size >> 8)};
    buf_append(to, h, sizeof h);
}

static void text(struct buf *to, uint32_t tag, const char *vr, const char *value)
{
    size_t size = strlen(value);
    element_head(to, tag, vr, size + (size & 1));
    buf_append(to, value, size);
    if (size & 1)
        buf_append(to, strcmp(vr, "UI") == 0 ? "" : " ", 1);
}

static void number(struct buf *to, uint32_t tag, unsigned value)
{
    uint8_t v[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    element_head(to, tag, "US", 2);
    buf_append(to, v, 2);
}

static void pixels(struct buf *to, unsigned side, uint64_t seed)
{
    uint32_t size = side * side * 2;
    uint8_t h[12] = {0xE0,
                     0x7F,
                     0x10,
                     0,
                     'O',
                     'W',
                     0,
                     0,
                     (uint8_t)size,
                     (uint8_t)(size >> 8),
                     (uint8_t)(size >> 16),
                     (uint8_t)(size >> 24)};
    buf_append(to, h, sizeof h);
    uint8_t *p = buf_reserve(to, size);
    if (!p)
        return;
    for (uint32_t i = 0; i < size / 2; i++) { /* a slope with a few bits of noise */
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned v = 1000 + i % side * 4 + (unsigned)(seed >> 60);
        p[2 * i] = (uint8_t)v;
        p[2 * i + 1] = (uint8_t)(v >> 8);
    }
    to->size += size;
}

/* ---- one data set ---- */

struct place {
    uint64_t instance, series, study, patient;
    char uid[65], series_uid[65], study_uid[65];
};

static void find_place(struct place *p, uint64_t instance)
{
    p->instance = instance;
    p->series = instance / SLICES;
    p->study = p->series / SERIES;
    p->patient = p->study / STUDIES;
    snprintf(p->study_uid, 65, ROOT_UID ".66045.300000%06llu", (unsigned long long)p->study * 7919);
    snprintf(p->series_uid, 65, ROOT_UID ".66045.300000%06llu.%u", (unsigned long long)p->study * 7919,
             (unsigned)(p->series % SERIES + 1));
    snprintf(p->uid, 65, ROOT_UID ".66045.2024%014llu%06llu", (unsigned long long)p->series * 104729,
             (unsigned long long)instance % SLICES * 37);
}

static void put_study(struct buf *to, const struct place *p)
{
    static const char *const first[] = {"Anna", "Boris", "Chloe", "David", "Emma", "Farid", "Grace", "Henrik"};
    static const char *const last[] = {"Meier", "Novak", "Okafor", "Petit", "Quist", "Rossi", "Sato", "Tran", "Unger"};
    char value[80];
    unsigned day = (unsigned)(p->study % 28) + 1, month = (unsigned)(p->study / 28 % 12) + 1;
    snprintf(value, sizeof value, "2024%02u%02u", month, day);
    text(to, TAG_STUDY_DATE, "DA", value);
    text(to, TAG_SERIES_DATE, "DA", value);
    text(to, TAG_STUDY_TIME, "TM", "101530.123000");
    text(to, TAG_SERIES_TIME, "TM", "101612.456000");
    snprintf(value, sizeof value, "A%08llu", (unsigned long long)p->study);
    text(to, TAG_ACCESSION, "SH", value);
    text(to, TAG_MODALITY, "CS", "CT");
    text(to, TAG_MANUFACTURER, "LO", "SIEMENS");
    text(to, TAG_INSTITUTION, "LO", "City Hospital");
    text(to, TAG_REFERRING_PHYSICIAN, "PN", "House^Gregory");
    text(to, TAG_STATION_NAME, "SH", "CT66045");
    text(to, TAG_STUDY_DESCRIPTION, "LO", p->study % 2 ? "Thorax^01_Routine" : "Abdomen^02_Contrast");
    snprintf(value, sizeof value, "Series %llu 1.0 B30f", (unsigned long long)p->series % SERIES);
    text(to, TAG_SERIES_DESCRIPTION, "LO", value);
    text(to, TAG_MODEL, "LO", "Sensation 64");
    snprintf(value, sizeof value, "%s^%s", last[p->patient % 9], first[p->patient / 9 % 8]);
    text(to, TAG_PATIENT_NAME, "PN", value);
    snprintf(value, sizeof value, "%07llu", (unsigned long long)p->patient + 1000000);
    text(to, TAG_PATIENT_ID, "LO", value);
    snprintf(value, sizeof value, "19%02u%02u%02u", (unsigned)(p->patient % 90), (unsigned)(p->patient % 12) + 1,
             (unsigned)(p->patient % 28) + 1);
    text(to, TAG_PATIENT_BIRTH_DATE, "DA", value);
    text(to, TAG_PATIENT_SEX, "CS", p->patient % 2 ? "F" : "M");
}

static void put_image(struct buf *to, const struct place *p, unsigned side)
{
    char value[80];
    unsigned slice = (unsigned)(p->instance % SLICES);
    text(to, TAG_BODY_PART, "CS", "CHEST");
    text(to, 0x00180050, "DS", "1");
    text(to, 0x00180060, "DS", "120");
    text(to, TAG_PROTOCOL_NAME, "LO", "ThoraxRoutine");
    text(to, TAG_STUDY_UID, "UI", p->study_uid);
    text(to, TAG_SERIES_UID, "UI", p->series_uid);
    text(to, TAG_STUDY_ID, "SH", "1");
    snprintf(value, sizeof value, "%llu", (unsigned long long)p->series % SERIES + 1);
    text(to, TAG_SERIES_NUMBER, "IS", value);
    snprintf(value, sizeof value, "%u", slice + 1);
    text(to, TAG_INSTANCE_NUMBER, "IS", value);
    snprintf(value, sizeof value, "-161.68\\-161.68\\%.1f", -900.0 + slice);
    text(to, 0x00200032, "DS", value);
    text(to, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    text(to, TAG_FRAME_OF_REFERENCE, "UI", p->study_uid);
    number(to, 0x00280002, 1);
    text(to, 0x00280004, "CS", "MONOCHROME2");
    number(to, 0x00280010, side);
    number(to, 0x00280011, side);
    text(to, 0x00280030, "DS", "0.6328125\\0.6328125");
    number(to, 0x00280100, 16);
    number(to, 0x00280101, 12);
    number(to, 0x00280102, 11);
    number(to, 0x00280103, 0);
    text(to, 0x00281050, "DS", "50");
    text(to, 0x00281051, "DS", "350");
    text(to, 0x00281052, "DS", "-1024");
    text(to, 0x00281053, "DS", "1");
    pixels(to, side, p->instance);
}

static void put_data_set(struct buf *to, const struct place *p, unsigned side)
{
    buf_clear(to);
    text(to, 0x00080005, "CS", "ISO_IR 100");
    text(to, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    text(to, TAG_SOP_CLASS, "UI", "1.2.840.10008.5.1.4.1.1.2");
    text(to, TAG_SOP_INSTANCE, "UI", p->uid);
    put_study(to, p);
    put_image(to, p, side);
}

/* ---- taking in ---- */

static struct error take(struct fill *fill, struct buf *bytes, uint64_t instance)
{
    const struct origin origin = {
        .how = "DIMSE", .calling_ae = "CT66045", .called_ae = "PACSFS", .address = "10.0.0.7", .known = true};
    struct place place;
    find_place(&place, instance);
    put_data_set(bytes, &place, fill->side);
    TRY(buf_error(bytes));
    const struct syntax *syntax = syntax_by_uid("1.2.840.10008.1.2.1");
    struct ingest_announced announced = {.sop_class = "1.2.840.10008.5.1.4.1.1.2",
                                         .sop_instance = place.uid,
                                         .syntax = syntax,
                                         .syntax_uid = syntax->uid};
    struct ingest *ingest;
    struct ingest_result result;
    TRY(ingest_begin(fill->pacs, &origin, &announced, &ingest));
    ingest_feed(ingest, bytes->data, bytes->size);
    return ingest_finish(ingest, &result);
}

static void *worker(void *argument)
{
    struct fill *fill = argument;
    struct buf bytes;
    buf_init(&bytes);
    for (;;) {
        uint64_t instance = atomic_fetch_add(&fill->next, 1);
        if (instance >= fill->instances || fill->failed)
            break;
        struct error err = take(fill, &bytes, instance);
        if (err.code && !atomic_exchange(&fill->failed, 1))
            fprintf(stderr, "%s\n", error_text(&err));
        error_release(&err);
    }
    buf_release(&bytes);
    return NULL;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct error run(struct fill *fill, const char *path, unsigned threads)
{
    /* What was filled in the last minute is not still arriving: mounts would watch every series for its quiet time. */
    struct archive_conf conf = {.quiet_ms = 1000};
    struct pacs_options options = pacs_options_default();
    pthread_t thread[THREADS_MAX];
    unsigned started = 0;
    if (access(path, F_OK) != 0)
        TRY(pacs_init(path, &conf));
    options.mode = PACS_WRITE;
    options.reserve_bytes = 0;
    TRY(pacs_open(&fill->pacs, path, &options));
    while (started < threads && pthread_create(&thread[started], NULL, worker, fill) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    pacs_close(fill->pacs);
    return started ? NO_ERROR : error_make(ERROR_BROKEN, "no thread can be started");
}

int main(int argc, char **argv)
{
    struct fill fill = {.side = 16};
    if (argc < 3)
        return 2;
    unsigned threads = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 64;
    fill.instances = strtoull(argv[2], NULL, 10);
    if (argc > 4)
        fill.side = (unsigned)strtoul(argv[4], NULL, 10);
    if (threads < 1 || threads > THREADS_MAX || fill.side < 1 || fill.side > SIDE_MAX)
        return 2;
    double start = now_s();
    struct error err = run(&fill, argv[1], threads);
    if (err.code) {
        fprintf(stderr, "%s\n", error_text(&err));
        error_release(&err);
        return 1;
    }
    printf("%llu %.6f\n", (unsigned long long)fill.instances, now_s() - start);
    return fill.failed ? 1 : 0;
}
