/* INI files read through a table of rows: values, bounds, and errors that name the line. */
#include "codecs/base/settings.h"
#include "check.h"
#include "codecs/base/buf.h"

#include <stdlib.h>
#include <unistd.h>

struct target {
    int64_t size, threads, quiet_ms;
    bool known;
    char *title;
    char *listen;
    struct buf peers;
};

static struct error take_peer(void *target, const struct setting *row, const char *name, const char *value)
{
    buf_printf(&((struct target *)target)->peers, "%s.%s=%s;", name, row->key, value);
    return NO_ERROR;
}

static struct error take_listen(void *target, const struct setting *row, const char *name, const char *value)
{
    (void)row, (void)name;
    struct target *t = target;
    char *longer = NULL;
    if (asprintf(&longer, "%s%s;", t->listen ? t->listen : "", value) < 0)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    free(t->listen);
    t->listen = longer;
    return NO_ERROR;
}

static const struct setting rows[] = {
    {"", "title", settings_take_text, "a name", "PACSFS", offsetof(struct target, title), 0, 0, false},
    {"archive", "pack_size", settings_take_number, "bytes", "1G", offsetof(struct target, size), 1 << 20, 1LL << 40,
     false},
    {"archive", "threads", settings_take_number, "how many", "", offsetof(struct target, threads), 0, 0, false},
    {"archive", "quiet", settings_take_duration, "until settled", "90", offsetof(struct target, quiet_ms), 200,
     7 * 86400000LL, false},
    {"dicom", "known", settings_take_bool, "who may call", "no", offsetof(struct target, known), 0, 0, false},
    {"dicom", "listen", take_listen, "addresses", "127.0.0.1:11112", 0, 0, 0, true},
    {"peer *", "address", take_peer, "where", "", 0, 0, 0, false},
    {"peer *", "port", take_peer, "which", "", 0, 0, 0, false},
    {0}};

static struct target parsed(const char *text, struct error *e)
{
    struct target target = {0};
    *e = settings_parse("pacs.conf", text, strlen(text), rows, &target);
    return target;
}

static void target_release(struct target *target)
{
    free(target->title);
    free(target->listen);
    buf_release(&target->peers);
}

/* The error's text, or "" for none. */
static const char *failure(const char *text)
{
    static char out[512];
    struct error e;
    struct target target = parsed(text, &e);
    snprintf(out, sizeof out, "%s", e.code == ERROR_NONE ? "" : error_text(&e));
    if (e.code != ERROR_NONE && e.code != ERROR_USAGE)
        snprintf(out, sizeof out, "wrong code: %s", error_name(e.code));
    error_release(&e);
    target_release(&target);
    return out;
}

static void settings_values_and_defaults(void)
{
    struct error e;
    struct target t = parsed("\xEF\xBB\xBFtitle = My PACS ; mine\r\n"
                             "# a comment\n"
                             "[archive]\n"
                             "  pack_size = 64M\n"
                             "  quiet: 1.5 s\n"
                             "\n"
                             "[peer CT1]\naddress = 10.0.0.1\nport=104\n[peer MR 2]\naddress = mr.example",
                             &e);
    EXPECT_OK(e);
    EXPECT_TEXT(t.title, "My PACS");
    EXPECT(t.size == 64 << 20);
    EXPECT(t.quiet_ms == 1500);
    EXPECT(!t.known);
    EXPECT_TEXT(t.listen, "127.0.0.1:11112;");
    EXPECT_TEXT(buf_string(&t.peers), "CT1.address=10.0.0.1;CT1.port=104;MR 2.address=mr.example;");
    target_release(&t);
}

static void settings_many_replaces_its_default(void)
{
    struct error e;
    struct target t = parsed("[dicom]\nlisten = [::1]:104\nlisten = 10.0.0.9:104\nknown = On\n", &e);
    EXPECT_OK(e);
    EXPECT_TEXT(t.listen, "[::1]:104;10.0.0.9:104;");
    EXPECT(t.known);
    EXPECT_TEXT(t.title, "PACSFS");
    EXPECT(t.size == 1 << 30);
    EXPECT(t.quiet_ms == 90000);
    target_release(&t);
}

static void settings_errors_name_the_line(void)
{
    EXPECT_TEXT(failure("[archive]\n\npack_siez = 5\n"),
                "pacs.conf:3: unknown key 'pack_siez' in [archive]; did you mean 'pack_size'?");
    EXPECT_TEXT(failure("# x\n[achive]\n"), "pacs.conf:2: unknown section [achive]; did you mean [archive]?");
    EXPECT_TEXT(failure("[zzzzzz]\n"), "pacs.conf:1: unknown section [zzzzzz]");
    EXPECT_TEXT(failure("[peer]\n"), "pacs.conf:1: unknown section [peer]; did you mean [peer *]?");
    EXPECT_TEXT(failure("threads = 3\n"), "pacs.conf:1: 'threads' stands before any section; it belongs in [archive]");
    EXPECT_TEXT(failure("[archive]\nthreads = 1\n[dicom]\n[archive]\nthreads = 2\n"),
                "pacs.conf:5: 'threads' was given before, in line 2");
    EXPECT_TEXT(failure("[peer A]\nport = 1\n[peer B]\nport = 1\n[peer A]\nport = 2\n"),
                "pacs.conf:6: 'port' was given before, in line 2");
    EXPECT_TEXT(failure("title = x\n[archive\n"), "pacs.conf:2: a section without ']'");
    EXPECT_TEXT(failure("title = x\nnonsense\nmore = nonsense\n"), "pacs.conf:2: neither [section] nor key = value");
}

/* libinih itself reports the first line only and reads on: the first message must win, with its own line. */
static void settings_first_error_wins(void)
{
    EXPECT_TEXT(failure("[archive]\nthreads = x\nthreads = y\n[bad]\n"),
                "pacs.conf:2: 'threads': \"x\" is no whole number");
    EXPECT_TEXT(failure("\n\n[archive]\nquiet = soon"),
                "pacs.conf:4: 'quiet': \"soon\" is no duration (like 90, 1.5 s, 200 ms, 5 min, 2 h, 7 d)");
}

static void settings_indented_line_is_a_key_not_a_continuation(void)
{
    EXPECT_TEXT(failure("title = a\n    [archive]\n    threads = 4\n"), "");
}

static void settings_bounds(void)
{
    EXPECT_TEXT(failure("[archive]\npack_size = 1\n"),
                "pacs.conf:2: 'pack_size': \"1\" is not between 1048576 and 1099511627776");
    EXPECT_TEXT(failure("[archive]\npack_size = 9999999999G\n"),
                "pacs.conf:2: 'pack_size': \"9999999999G\" is not between 1048576 and 1099511627776");
    EXPECT_TEXT(failure("[archive]\nthreads = 99999999999999999999\n"),
                "pacs.conf:2: 'threads': \"99999999999999999999\" is too large");
    EXPECT_TEXT(failure("[archive]\nthreads = 4T\n"),
                "pacs.conf:2: 'threads': \"4T\" is no whole number (it may end in K, M or G)");
    EXPECT_TEXT(failure("[archive]\nquiet = 8 d\n"), "pacs.conf:2: 'quiet': \"8 d\" is not between 200 ms and 7 d");
    EXPECT_TEXT(failure("[archive]\nquiet = 0.1\n"), "pacs.conf:2: 'quiet': \"0.1\" is not between 200 ms and 7 d");
    EXPECT_TEXT(failure("[archive]\nquiet = 1e3\n") + 10,
                "2: 'quiet': \"1e3\" is no duration (like 90, 1.5 s, 200 ms, 5 min, 2 h, 7 d)");
    EXPECT_TEXT(failure("[dicom]\nknown = maybe\n"), "pacs.conf:2: 'known': \"maybe\" is neither yes nor no");
}

static void settings_durations(void)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"90", 90000},    {"1.5 s", 1500},    {"200 ms", 200},
                 {"5min", 300000}, {"7 d", 604800000}, {".5 h", 1800000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct target t = {0};
        EXPECT_OK(settings_take_duration(&t, &rows[3], "", cases[i].text));
        EXPECT(t.quiet_ms == cases[i].ms);
    }
}

static void settings_limits_of_lines_and_files(void)
{
    struct buf text;
    buf_init(&text);
    buf_text(&text, "title = ");
    while (text.size < SETTINGS_LINE_MAX)
        buf_byte(&text, 'x');
    struct error e;
    struct target t = parsed(buf_string(&text), &e);
    EXPECT_OK(e);
    EXPECT(t.title && strlen(t.title) == SETTINGS_LINE_MAX - 8);
    target_release(&t);
    buf_byte(&text, 'x');
    EXPECT_TEXT(failure(buf_string(&text)), "pacs.conf:1: a line of 4097 bytes; the limit is 4096");
    while (text.size <= SETTINGS_FILE_MAX)
        buf_byte(&text, '\n');
    EXPECT_TEXT(failure(buf_string(&text)), "pacs.conf: longer than 1048576 bytes");
    buf_release(&text);
    EXPECT_TEXT(failure("[peer 12345678901234567890123456789012345678901234567890]\n"),
                "pacs.conf:1: the name of a section is longer than 49 bytes");
    struct target zero = {0};
    EXPECT_ERROR(settings_parse("z", "title\0=1", 8, rows, &zero), ERROR_USAGE);
    target_release(&zero);
}

static void settings_file_is_read_or_missing(void)
{
    char path[] = "/tmp/settings-XXXXXX";
    struct target t = {0};
    int fd = mkstemp(path);
    EXPECT(fd >= 0 && write(fd, "title=T\n[x]\n", 12) == 12);
    close(fd);
    struct error e = settings_read(path, rows, &t);
    EXPECT(e.code == ERROR_USAGE && strstr(error_text(&e), path) && strstr(error_text(&e), ":2: unknown section [x]"));
    error_release(&e);
    EXPECT_TEXT(t.title, "T");
    unlink(path);
    EXPECT_ERROR(settings_read(path, rows, &t), ERROR_NOT_FOUND);
    target_release(&t);
}

static void settings_defaults_alone(void)
{
    struct target t = {0};
    EXPECT_OK(settings_defaults(rows, &t));
    EXPECT_TEXT(t.title, "PACSFS");
    EXPECT_TEXT(t.listen, "127.0.0.1:11112;");
    EXPECT(t.peers.size == 0);
    target_release(&t);
}

static void nearest_word_near_or_none(void)
{
    static const char *const words[] = {"verify", "rebuild", "stats", "status", "find", NULL};
    EXPECT_TEXT(nearest_word("verfiy", words), "verify");
    EXPECT_TEXT(nearest_word("STATUS", words), "status");
    EXPECT_TEXT(nearest_word("statu", words), "stats");
    EXPECT_TEXT(nearest_word("rebiuld", words), "rebuild");
    EXPECT(!nearest_word("export", words));
    EXPECT(!nearest_word("", words));
    EXPECT(!nearest_word("x", words));
}

int main(void)
{
    RUN(settings_values_and_defaults);
    RUN(settings_many_replaces_its_default);
    RUN(settings_errors_name_the_line);
    RUN(settings_first_error_wins);
    RUN(settings_indented_line_is_a_key_not_a_continuation);
    RUN(settings_bounds);
    RUN(settings_durations);
    RUN(settings_limits_of_lines_and_files);
    RUN(settings_file_is_read_or_missing);
    RUN(settings_defaults_alone);
    RUN(nearest_word_near_or_none);
    return check_done();
}
