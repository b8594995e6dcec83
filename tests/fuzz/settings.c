/* Any bytes as a configuration file: an error or not, nothing else. */
#include "codecs/base/settings.h"

#include <stdlib.h>

struct target {
    int64_t number, wait_ms;
    bool flag;
    char *text;
};

static struct error take_peer(void *target, const struct setting *row, const char *name, const char *value)
{
    return *name ? settings_take_text(target, row, name, value) : error_make(ERROR_USAGE, "a peer without a name");
}

static const struct setting rows[] = {
    {"", "early", settings_take_bool, "", "no", offsetof(struct target, flag), 0, 0, false},
    {"a", "number", settings_take_number, "", "5", offsetof(struct target, number), 1, 1 << 20, false},
    {"a", "wait", settings_take_duration, "", "1.5 s", offsetof(struct target, wait_ms), 0, 0, true},
    {"peer *", "address", take_peer, "", "", offsetof(struct target, text), 0, 0, false},
    {0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct target target = {0};
    struct error e = settings_parse("fuzz", data, size, rows, &target);
    if (e.code != ERROR_NONE && e.code != ERROR_USAGE)
        abort();
    error_release(&e);
    free(target.text);
    return 0;
}
