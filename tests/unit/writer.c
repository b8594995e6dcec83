/* The way from ingest to answer under faults: W1 to W3 of index/log/writer.h, with several senders at once. What was
 * answered with success is there, bit for bit, now and after a restart; what was refused is refused with the right
 * status, and the archive goes on when the disk is well again. */
#include "archive_case.h"
#include "faulty_io.h"

#include <pthread.h>

#define SENDERS 4
#define EACH 6

struct sender {
    pthread_t thread;
    unsigned number, first;
    unsigned rows; /* of its images; the first one of some has so many chunks that they are written before it */
    uint64_t kept[EACH];
    enum error_code refused[EACH];
};

static void build(struct builder *b, unsigned sender, unsigned i, unsigned rows)
{
    char series[32], uid[40];
    builder_init(b);
    snprintf(series, sizeof series, "1.2.3.%u", sender);
    snprintf(uid, sizeof uid, "1.2.3.%u.%u", sender, i);
    builder_uid(b, "1.2.3", series, uid);
    builder_pixels(b, rows, 512, sender * 1000 + i);
}

static unsigned rows_of(const struct sender *s, unsigned i)
{
    return i ? 2 : s->rows;
}

static void *run_sender(void *argument)
{
    struct sender *s = argument;
    for (unsigned i = 0; i < EACH; i++) {
        struct builder b;
        struct ingest_result result;
        build(&b, s->number, s->first + i, rows_of(s, i));
        struct error err = archive_try_send(&b, "CT1", true, &result);
        s->kept[i] = err.code ? 0 : result.id;
        s->refused[i] = err.code;
        error_release(&err);
        builder_release(&b);
    }
    return NULL;
}

static void send_all(struct sender senders[SENDERS], unsigned first)
{
    for (unsigned n = 0; n < SENDERS; n++) {
        senders[n] = (struct sender){.number = n, .first = first, .rows = n == 0 ? 8000 : n == 1 ? 1200 : 2};
        EXPECT(pthread_create(&senders[n].thread, NULL, run_sender, &senders[n]) == 0);
    }
    for (unsigned n = 0; n < SENDERS; n++)
        pthread_join(senders[n].thread, NULL);
}

static unsigned count_refused(const struct sender senders[SENDERS])
{
    unsigned count = 0;
    for (unsigned n = 0; n < SENDERS; n++)
        for (unsigned i = 0; i < EACH; i++)
            count += senders[n].kept[i] == 0;
    return count;
}

static void expect_kept(const struct sender senders[SENDERS])
{
    for (unsigned n = 0; n < SENDERS; n++)
        for (unsigned i = 0; i < EACH; i++) {
            struct builder b;
            struct buf bytes;
            if (!senders[n].kept[i])
                continue;
            buf_init(&bytes);
            build(&b, n, senders[n].first + i, rows_of(&senders[n], i));
            builder_write(&b, &bytes);
            EXPECT(archive_holds(senders[n].kept[i], &bytes));
            builder_release(&b);
            buf_release(&bytes);
        }
}

static void begin(void)
{
    fault_clear();
    archive_io = &io_system;
    archive_make();
    archive_close();
    archive_options.pack_bytes = 3 << 20; /* packs are switched and sealed on the way */
    archive_io = &faulty_io;
    archive_open(PACS_WRITE);
}

static void writer_without_faults(void)
{
    struct sender senders[SENDERS];
    begin();
    send_all(senders, 0);
    EXPECT(count_refused(senders) == 0);
    expect_kept(senders);
    EXPECT(archive_stored().packs >= 2);
    archive_reopen(PACS_WRITE);
    expect_kept(senders);
    EXPECT(archive_damage(true) == 0);
}

static void writer_fault_at_every_call(void)
{
    static const struct {
        enum fault kind;
        int number;
        enum error_code code;
    } faults[] = {{FAULT_WRITE, ENOSPC, ERROR_FULL},
                  {FAULT_SYNC, EIO, ERROR_BROKEN},
                  {FAULT_CREATE, ENOSPC, ERROR_FULL},
                  {FAULT_WRITE, EIO, ERROR_BROKEN}};
    for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++)
        for (int at = 0; at < 15; at += 3) {
            struct sender first[SENDERS], second[SENDERS];
            int before = check_failures;
            begin();
            fault_set(faults[f].kind, at, faults[f].number, false);
            send_all(first, 0);
            for (unsigned n = 0; n < SENDERS; n++)
                for (unsigned i = 0; i < EACH; i++)
                    EXPECT(first[n].kept[i] || first[n].refused[i] == faults[f].code ||
                           first[n].refused[i] == ERROR_RETRY);
            fault_clear();
            send_all(second, 100); /* W2: it goes on */
            EXPECT(count_refused(second) == 0);
            expect_kept(first);
            expect_kept(second);
            struct pacs_counts counts = archive_counts();
            EXPECT(counts.instances == 2 * SENDERS * EACH - count_refused(first));
            struct buf one, two;
            buf_init(&one);
            buf_init(&two);
            archive_dump(&one);
            archive_reopen(PACS_REBUILD);
            archive_dump(&two);
            EXPECT_TEXT(buf_string(&two), buf_string(&one));
            expect_kept(first);
            EXPECT(archive_damage(true) == 0);
            buf_release(&one);
            buf_release(&two);
            if (check_failures != before)
                fprintf(stderr, "fault %d at call %d, errno %d\n", (int)faults[f].kind, at, faults[f].number);
        }
}

/* The power goes: nothing reaches the disk any more, all are refused, and a restart has what was answered before. */
static void writer_power_goes(void)
{
    for (int at = 1; at < 30; at += 6) {
        struct sender senders[SENDERS];
        begin();
        fault_set(FAULT_SYNC, at, EIO, false);
        fault_plan.cut = true;
        send_all(senders, 0);
        archive_close();
        fault_clear();
        struct buf text;
        buf_init(&text);
        EXPECT(file_read(scratch_path("archive/index/g00000001/stamp"), &text));
        text.data[0] = text.data[0] == '0' ? '1' : '0';
        EXPECT(file_write(scratch_path("archive/index/g00000001/stamp"), text.data, text.size));
        buf_release(&text);
        archive_open(PACS_WRITE);
        expect_kept(senders);
        EXPECT(archive_damage(true) == 0);
    }
}

/* The same image from several senders at once is stored once. */
struct same {
    pthread_t thread;
    struct ingest_result result;
    enum error_code code;
};

static void *run_same(void *argument)
{
    struct builder b;
    struct same *s = argument;
    build(&b, 7, 7, 40);
    struct error err = archive_try_send(&b, "CT1", true, &s->result);
    s->code = err.code;
    error_release(&err);
    builder_release(&b);
    return NULL;
}

static void writer_same_image_from_many_at_once(void)
{
    struct same same[8];
    unsigned stored = 0;
    begin();
    for (int i = 0; i < 8; i++)
        EXPECT(pthread_create(&same[i].thread, NULL, run_same, &same[i]) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(same[i].thread, NULL);
    for (int i = 0; i < 8; i++) {
        EXPECT(same[i].code == ERROR_NONE || same[i].code == ERROR_RETRY);
        stored += same[i].result.id && same[i].result.verdict == INGEST_STORED;
    }
    EXPECT(stored == 1);
    EXPECT(archive_counts().instances == 1 && archive_counts().editions == 1);
}

/* Headers of many small objects train a dictionary; what it compressed is there after a restart and a rebuild. */
static void writer_dictionary_survives(void)
{
    struct builder b;
    uint64_t ids[450];
    begin();
    for (unsigned i = 0; i < 450; i++) {
        struct ingest_result result;
        build(&b, 1, i, 1);
        builder_pixels(&b, 2, 2, i);
        char text[64];
        snprintf(text, sizeof text, "Thorax with contrast, number %u", i * 7919);
        builder_text(&b, TAG_SERIES_DESCRIPTION, "LO", text);
        EXPECT_OK(archive_try_send(&b, "CT1", true, &result));
        ids[i] = result.id;
        builder_release(&b);
    }
    for (int turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < 450; i += 13) {
            struct buf file;
            buf_init(&file);
            EXPECT_OK(archive_file(ids[i], &file));
            buf_release(&file);
        }
        EXPECT(archive_damage(true) == 0);
        archive_reopen(turn ? PACS_REBUILD : PACS_WRITE);
    }
}

/* The image is found, by arrival and by LSN, as soon as its sender was answered. */
static void writer_answers_after_it_can_be_found(void)
{
    begin();
    for (unsigned i = 0; i < 20; i++) {
        struct builder b;
        struct pacs_txn *txn;
        struct instance_row row;
        uint64_t id;
        build(&b, 1, i, 2);
        struct ingest_result result = archive_send(&b, "CT1", true);
        builder_release(&b);
        EXPECT(pacs_newest(archive) == result.id);
        EXPECT_OK(pacs_begin(archive, &txn));
        EXPECT_OK(pacs_next_arrival(txn, result.id - 1, &row));
        EXPECT(row.id == result.id);
        EXPECT_OK(pacs_arrival_of_lsn(txn, result.lsn, &id));
        EXPECT(id == result.id);
        EXPECT_ERROR(pacs_arrival_of_lsn(txn, result.lsn + 1, &id), ERROR_NOT_FOUND);
        pacs_end(txn);
    }
}

int main(void)
{
    RUN(writer_without_faults);
    RUN(writer_fault_at_every_call);
    RUN(writer_power_goes);
    RUN(writer_same_image_from_many_at_once);
    RUN(writer_dictionary_survives);
    RUN(writer_answers_after_it_can_be_found);
    fault_clear();
    archive_gone();
    return check_done();
}
