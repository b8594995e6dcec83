/* Any bytes as pacs.conf (the first byte is even) or as an archive's archive.conf (odd). What is taken keeps the bounds
 * of its rows, and every peer is found again by its AE title. What is refused says why. */
#include "net/config.h"
#include "index/index.h"
#include "tests/fuzz/require.h"
#include "tests/unit/scratch.h"

#include <arpa/inet.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct config *config)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000001)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr none = {.sa_family = AF_UNIX};
    for (size_t i = 0; i < config->peer_count; i++) {
        const struct peer *peer = &config->peers[i];
        REQUIRE(ae_title_valid(peer->aet) && strlen(peer->aet) <= AE_TITLE_MAX && peer->name);
        REQUIRE(config_has_aet(config, peer->aet) && peer->address_count <= CONFIG_PEER_ADDRESSES_MAX);
        const struct sockaddr *from[] = {(struct sockaddr *)&v4, (struct sockaddr *)&v6, &none};
        for (size_t j = 0; j < 3; j++) {
            const struct peer *found = config_peer(config, peer->aet, from[j]);
            REQUIRE(found || peer->address_count > 0);
            REQUIRE(!found || strcmp(found->aet, peer->aet) == 0);
        }
    }
}

static void daemon_conf(const uint8_t *data, size_t size)
{
    struct config *config;
    struct pacs_options options = pacs_options_default();
    const char *path = scratch_path("pacs.conf");
    REQUIRE(file_write(path, data, size));
    struct error err = config_read(&config, path);
    REQUIRE(!err.code || err.code == ERROR_USAGE);
    REQUIRE(!err.code || strstr(error_text(&err), "pacs.conf"));
    if (err.code) {
        error_release(&err);
        return;
    }
    REQUIRE(ae_title_valid(config->aet) && config->listen.count <= CONFIG_LISTEN_MAX && config->listen.count > 0);
    REQUIRE(config->max_associations > 0 && config->max_pdu >= 4096 && config->max_pdu <= 131072);
    REQUIRE(config->negotiation_ms > 0 && config->read_ms > 0 && config->idle_ms > 0);
    REQUIRE(config->placeholders.count <= CONFIG_PLACEHOLDERS_MAX && config->peer_count <= CONFIG_PEERS_MAX);
    config_archive(config, &options);
    REQUIRE(options.pack_bytes > 0 && options.cache_bytes >= 0);
    look_up(config);
    config_put(config);
}

/* The packs are another matter: an archive of another UUID is refused. */
static void archive_conf(const uint8_t *data, size_t size)
{
    struct pacs *pacs;
    struct pacs_options options = pacs_options_default();
    options.mode = PACS_READ;
    REQUIRE(file_write(scratch_path("archive/archive.conf"), data, size));
    struct error err = pacs_open(&pacs, scratch_path("archive"), &options);
    if (err.code) {
        REQUIRE(*error_text(&err));
        error_release(&err);
        return;
    }
    const struct archive_conf *conf = pacs_conf(pacs);
    REQUIRE(*conf->timezone && *conf->instance_name && conf->quiet_ms >= 0);
    pacs_close(pacs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!*scratch) {
        struct archive_conf wish = {.uuid_text = (char *)"00112233-4455-6677-8899-aabbccddeeff",
                                    .timezone = (char *)"UTC"};
        scratch_make();
        atexit(scratch_remove);
        REQUIRE_OK(pacs_init(scratch_path("archive"), &wish));
    }
    if (size && data[0] & 1)
        archive_conf(data + 1, size - 1);
    else if (size)
        daemon_conf(data + 1, size - 1);
    return 0;
}
