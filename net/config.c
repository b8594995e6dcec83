/* What lives here: the keys of pacs.conf and who is a known peer. What does not: reading INI files (base/settings),
 * what is done with the values.
 *
 * A key is a row: where it stands, how its value is taken, its default, one line of help. There are no keys without
 * effect. Peers are collected by the name of their section, and checked when the whole file is read.
 */
#include "net/config.h"

#include "index/index.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIB (INT64_C(1) << 30)
#define MIB (INT64_C(1) << 20)

/* ---- values that are not ready-made ------------------------------------------------------------------------------ */

static struct error no_memory(void)
{
    return error_make(ERROR_NO_MEMORY, "out of memory");
}

bool ae_title_valid(const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size > AE_TITLE_MAX || strspn(text, " ") == size)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < 0x20 || *c > 0x7E || *c == '\\')
            return false;
    }
    return true;
}

static struct error check_ae_title(const char *value)
{
    if (!ae_title_valid(value))
        return error_make(ERROR_USAGE, "\"%s\" is no AE title: 1 to %d printable ASCII characters, no backslash", value,
                          AE_TITLE_MAX);
    return NO_ERROR;
}

static struct error take_aet(void *target, const struct setting *row, const char *name, const char *value)
{
    TRY(check_ae_title(value));
    return settings_take_text(target, row, name, value);
}

static struct error append_text(struct texts *texts, const char *value, size_t max)
{
    if (texts->count == max)
        return error_make(ERROR_USAGE, "more than %zu of them", max);
    char **grown = realloc(texts->items, (texts->count + 2) * sizeof *grown);
    if (!grown)
        return no_memory();
    texts->items = grown;
    grown[texts->count] = strdup(value);
    grown[texts->count + 1] = NULL;
    if (!grown[texts->count])
        return no_memory();
    texts->count++;
    return NO_ERROR;
}

static struct error take_listen(void *target, const struct setting *row, const char *name, const char *value)
{
    (void)row;
    (void)name;
    return append_text(&((struct config *)target)->listen, value, CONFIG_LISTEN_MAX);
}

static struct error take_placeholder(void *target, const struct setting *row, const char *name, const char *value)
{
    (void)row;
    (void)name;
    return append_text(&((struct config *)target)->placeholders, value, CONFIG_PLACEHOLDERS_MAX);
}

struct word {
    const char *word;
    int value;
};

static struct error take_word(const struct word *words, const char *value, int *out)
{
    char list[128] = "";
    for (; words->word; words++) {
        if (strcmp(words->word, value) == 0) {
            *out = words->value;
            return NO_ERROR;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", words->word);
    }
    return error_make(ERROR_USAGE, "\"%s\" is none of: %s", value, list);
}

static struct error take_accept(void *target, const struct setting *row, const char *name, const char *value)
{
    static const struct word words[] = {{"any", 0}, {"known", 1}, {NULL, 0}};
    int known = 0;
    (void)row;
    (void)name;
    TRY(take_word(words, value, &known));
    ((struct config *)target)->known_only = known;
    return NO_ERROR;
}

static struct error take_unknown_classes(void *target, const struct setting *row, const char *name, const char *value)
{
    static const struct word words[] = {{"accept", 1}, {"refuse", 0}, {NULL, 0}};
    int accept = 0;
    (void)row;
    (void)name;
    TRY(take_word(words, value, &accept));
    ((struct config *)target)->accept_unknown_classes = accept;
    return NO_ERROR;
}

static struct error take_log_level(void *target, const struct setting *row, const char *name, const char *value)
{
    static const struct word words[] = {{"error", LOG_LEVEL_ERROR},
                                        {"warning", LOG_LEVEL_WARNING},
                                        {"info", LOG_LEVEL_INFO},
                                        {"debug", LOG_LEVEL_DEBUG},
                                        {NULL, 0}};
    int level = 0;
    (void)row;
    (void)name;
    TRY(take_word(words, value, &level));
    ((struct config *)target)->log_level = (enum log_level)level;
    return NO_ERROR;
}

/* ---- peers ------------------------------------------------------------------------------------------------------- */

static bool mapped_address(const char *text, uint8_t bytes[16], unsigned *family_bits)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    *family_bits = 128;
    if (inet_pton(AF_INET6, text, bytes) == 1)
        return true;
    memcpy(bytes, prefix, sizeof prefix);
    *family_bits = 32;
    return inet_pton(AF_INET, text, bytes + 12) == 1;
}

static struct error parse_network(const char *text, struct network *network)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    unsigned family_bits = 0;
    long bits = -1;
    if (size < sizeof address) {
        memcpy(address, text, size);
        address[size] = 0;
    }
    if (size >= sizeof address || !mapped_address(address, network->bytes, &family_bits))
        return error_make(ERROR_USAGE, "\"%s\" is no IPv4 or IPv6 address (callers' names are never looked up)", text);
    if (slash) {
        char *end;
        bits = strtol(slash + 1, &end, 10);
        if (*end || end == slash + 1 || bits < 0 || bits > (long)family_bits)
            return error_make(ERROR_USAGE, "\"%s\": the prefix is not between 0 and %u", text, family_bits);
    }
    network->bits = 128 - family_bits + (slash ? (unsigned)bits : family_bits);
    return NO_ERROR;
}

static bool network_holds(const struct network *network, const uint8_t address[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->bytes, address, whole) != 0)
        return false;
    return rest == 0 || ((network->bytes[whole] ^ address[whole]) & (0xFF00 >> rest & 0xFF)) == 0;
}

static struct error peer_of_section(struct config *config, const char *name, struct peer **peer)
{
    for (size_t i = 0; i < config->peer_count; i++) {
        if (strcmp(config->peers[i].name, name) == 0) {
            *peer = &config->peers[i];
            return NO_ERROR;
        }
    }
    if (config->peer_count == CONFIG_PEERS_MAX)
        return error_make(ERROR_USAGE, "more than %d peers", CONFIG_PEERS_MAX);
    struct peer *grown = realloc(config->peers, (config->peer_count + 1) * sizeof *grown);
    if (!grown)
        return no_memory();
    config->peers = grown;
    *peer = &grown[config->peer_count];
    memset(*peer, 0, sizeof **peer);
    (*peer)->name = strdup(name);
    if (!(*peer)->name)
        return no_memory();
    config->peer_count++;
    return NO_ERROR;
}

static struct error take_peer_aet(void *target, const struct setting *row, const char *name, const char *value)
{
    struct peer *peer = NULL;
    TRY(check_ae_title(value));
    TRY(peer_of_section(target, name, &peer));
    return settings_take_text(peer, row, name, value);
}

static struct error take_peer_text(void *target, const struct setting *row, const char *name, const char *value)
{
    struct peer *peer = NULL;
    TRY(peer_of_section(target, name, &peer));
    return settings_take_text(peer, row, name, value);
}

static struct error take_peer_number(void *target, const struct setting *row, const char *name, const char *value)
{
    struct peer *peer = NULL;
    TRY(peer_of_section(target, name, &peer));
    return settings_take_number(peer, row, name, value);
}

static struct error take_peer_address(void *target, const struct setting *row, const char *name, const char *value)
{
    struct peer *peer = NULL;
    (void)row;
    TRY(peer_of_section(target, name, &peer));
    if (peer->address_count == CONFIG_PEER_ADDRESSES_MAX)
        return error_make(ERROR_USAGE, "more than %d addresses", CONFIG_PEER_ADDRESSES_MAX);
    TRY(parse_network(value, &peer->addresses[peer->address_count]));
    peer->address_count++;
    return NO_ERROR;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define SERVER(key, take, member, fallback, minimum, maximum, help)                                                    \
    {                                                                                                                  \
        "server", key, take, help, fallback, offsetof(struct config, member), minimum, maximum, false                  \
    }
#define ARCHIVE(key, member, fallback, minimum, maximum, help)                                                         \
    {                                                                                                                  \
        "archive", key, settings_take_number, help, fallback, offsetof(struct config, member), minimum, maximum, false \
    }
#define PEER(key, take, member, many, help)                                                                            \
    {                                                                                                                  \
        "peer *", key, take, help, "", offsetof(struct peer, member), 1, 4096, many                                    \
    }

static const struct setting rows[] = {
    SERVER("aet", take_aet, aet, "PACSFS", 0, 0, "our AE title"),
    {"server", "listen", take_listen, "address and port to listen at, like 0.0.0.0:104 or [::]:11112; may be repeated",
     "127.0.0.1:11112", 0, 0, 0, true},
    SERVER("accept", take_accept, known_only, "any", 0, 0, "who may call: any, or known (the peers below)"),
    SERVER("check_called", settings_take_bool, check_called, "no", 0, 0,
           "refuse callers that call us by another AE title"),
    SERVER("unknown_sop_classes", take_unknown_classes, accept_unknown_classes, "accept", 0, 0,
           "SOP classes in no dictionary, private ones among them: accept or refuse"),
    SERVER("max_associations", settings_take_number, max_associations, "64", 1, 4096, "associations at one time"),
    SERVER("max_associations_a_peer", settings_take_number, max_associations_a_peer, "32", 1, 4096,
           "associations at one time from one address"),
    SERVER("max_pdu", settings_take_number, max_pdu, "128K", 4096, 131072, "longest PDU received, in bytes"),
    SERVER("max_object", settings_take_number, max_object, "64G", MIB, 1024 * GIB,
           "largest data set received, in bytes"),
    SERVER("negotiation_timeout", settings_take_duration, negotiation_ms, "30 s", 100, 3600000,
           "from the connection to the whole association request"),
    SERVER("read_timeout", settings_take_duration, read_ms, "60 s", 100, 3600000,
           "for the next bytes in the middle of a message"),
    SERVER("idle_timeout", settings_take_duration, idle_ms, "10 min", 100, 86400000, "between two messages"),
    SERVER("association_timeout", settings_take_duration, association_ms, "24 h", 100, INT64_C(2592000000),
           "from an association's begin to its end, whatever it does"),
    SERVER("drain", settings_take_duration, drain_ms, "20 s", 0, 3600000,
           "after SIGTERM, for associations to come to their end"),
    SERVER("log_level", take_log_level, log_level, "info", 0, 0, "error, warning, info or debug"),
    ARCHIVE("pack_size", pack_bytes, "1G", MIB, 64 * GIB, "a pack is closed at this size"),
    ARCHIVE("reserve", reserve_bytes, "256M", 0, 1024 * GIB, "free space below which nothing more is stored"),
    ARCHIVE("quarantine", quarantine_bytes, "1G", 0, 1024 * GIB, "space for what was refused; the oldest goes first"),
    ARCHIVE("cache", cache_bytes, "256M", MIB, 1024 * GIB, "memory for decoded chunks and headers"),
    ARCHIVE("compression", compression, "1", 1, 19, "zstd level"),
    {"identity", "placeholder", take_placeholder, "a Patient ID or name that identifies nobody; may be repeated", "", 0,
     0, 0, true},
    PEER("aet", take_peer_aet, aet, false, "the AE title that it calls with"),
    PEER("address", take_peer_address, addresses, true,
         "where it calls from: an address or a network like 10.1.0.0/16; may be repeated; none: anywhere"),
    PEER("max_associations", take_peer_number, max_associations, false,
         "associations at one time of this entry, wherever from; none: max_associations_a_peer"),
    PEER("issuer", take_peer_text, issuer, false, "Issuer of Patient ID for images that name none"),
    {NULL, NULL, NULL, NULL, NULL, 0, 0, 0, false},
};

void config_print_help(void)
{
    const char *section = "";
    for (const struct setting *row = rows; row->take; row++) {
        if (strcmp(section, row->section) != 0) {
            section = row->section;
            printf("%s[%s]\n", row == rows ? "" : "\n", strcmp(section, "peer *") == 0 ? "peer NAME" : section);
        }
        printf("# %s\n%s%s =%s%s\n", row->help, *row->fallback ? "" : "#", row->key, *row->fallback ? " " : "",
               row->fallback);
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void texts_release(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
}

struct config *config_get(struct config *config)
{
    config->references++;
    return config;
}

void config_put(struct config *config)
{
    if (!config || --config->references > 0)
        return;
    for (size_t i = 0; i < config->peer_count; i++) {
        free(config->peers[i].name);
        free(config->peers[i].aet);
        free(config->peers[i].issuer);
    }
    free(config->peers);
    texts_release(&config->listen);
    texts_release(&config->placeholders);
    free(config->aet);
    free(config);
}

struct error config_read(struct config **out, const char *path)
{
    struct error err = NO_ERROR;
    struct config *config = calloc(1, sizeof *config);
    if (!config)
        return no_memory();
    config->references = 1;
    CHECK(path ? settings_read(path, rows, config) : settings_defaults(rows, config));
    for (size_t i = 0; i < config->peer_count; i++) {
        if (!config->peers[i].aet) {
            err = error_make(ERROR_USAGE, "%s: [peer %s] has no aet", path, config->peers[i].name);
            goto out;
        }
    }
    *out = config;
    config = NULL;
out:
    config_put(config);
    return err;
}

struct error config_find(char **path, const char *archive)
{
    static const char system[] = "/etc/pacsfs/pacs.conf";
    struct buf inside;
    buf_init(&inside);
    buf_printf(&inside, "%s/pacs.conf", archive);
    const char *found = access(buf_string(&inside), F_OK) == 0 ? buf_string(&inside)
                        : access(system, F_OK) == 0            ? system
                                                               : NULL;
    *path = found ? strdup(found) : NULL;
    bool failed = inside.failed || (found && !*path);
    buf_release(&inside);
    return failed ? no_memory() : NO_ERROR;
}

void config_archive(const struct config *config, struct pacs_options *options)
{
    options->cache_bytes = config->cache_bytes;
    options->pack_bytes = config->pack_bytes;
    options->reserve_bytes = config->reserve_bytes;
    options->quarantine_bytes = config->quarantine_bytes;
    options->zstd_level = config->compression;
    options->placeholders = (const char *const *)config->placeholders.items;
}

/* ---- who is known ------------------------------------------------------------------------------------------------ */

static bool socket_bytes(const struct sockaddr *address, uint8_t bytes[16])
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (address->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        return true;
    }
    if (address->sa_family != AF_INET)
        return false;
    memcpy(bytes, prefix, sizeof prefix);
    memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    return true;
}

const struct peer *config_peer(const struct config *config, const char *calling_ae, const struct sockaddr *address)
{
    uint8_t bytes[16];
    bool has_bytes = socket_bytes(address, bytes);
    for (size_t i = 0; i < config->peer_count; i++) {
        const struct peer *peer = &config->peers[i];
        if (strcmp(peer->aet, calling_ae) != 0)
            continue;
        if (peer->address_count == 0)
            return peer;
        for (size_t j = 0; has_bytes && j < peer->address_count; j++) {
            if (network_holds(&peer->addresses[j], bytes))
                return peer;
        }
    }
    return NULL;
}

bool config_has_aet(const struct config *config, const char *calling_ae)
{
    for (size_t i = 0; i < config->peer_count; i++) {
        if (strcmp(config->peers[i].aet, calling_ae) == 0)
            return true;
    }
    return false;
}
