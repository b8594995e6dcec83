/* Layer: net. pacs.conf as values: rows of the table in config.c, read through codecs/base/settings.h.
 *
 * A configuration is never changed once read; it is counted, so that an association keeps the one it began with while
 * SIGHUP puts another in its place. Any thread may read, get and put.
 */
#ifndef NET_CONFIG_H
#define NET_CONFIG_H

#include "codecs/base/error.h"
#include "codecs/base/log.h"
#include "codecs/base/settings.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define AE_TITLE_MAX 16 /* characters (PS3.5 6.2, AE) */
#define CONFIG_PEERS_MAX 1024
#define CONFIG_PEER_ADDRESSES_MAX 16
#define CONFIG_LISTEN_MAX 16
#define CONFIG_PLACEHOLDERS_MAX 256

/* An IPv4 or IPv6 network; IPv4 stands in its mapped form, so that one comparison serves both. */
struct network {
    uint8_t bytes[16];
    unsigned bits; /* of the prefix, 0 to 128 */
};

struct peer {
    char *name; /* of its section */
    char *aet;
    char *issuer; /* default Issuer of Patient ID of what it sends; NULL none */
    struct network addresses[CONFIG_PEER_ADDRESSES_MAX];
    size_t address_count;     /* 0: from anywhere */
    int64_t max_associations; /* 0: as for everybody, by address */
};

struct texts {
    char **items; /* NULL-terminated once there is one */
    size_t count;
};

struct config {
    _Atomic unsigned references;
    /* [server] */
    char *aet;
    struct texts listen;
    bool known_only; /* accept = known */
    bool check_called;
    bool accept_unknown_classes;
    int64_t max_associations;
    int64_t max_associations_a_peer;
    int64_t max_pdu;    /* bytes */
    int64_t max_object; /* bytes */
    int64_t negotiation_ms, read_ms, idle_ms, association_ms, drain_ms;
    enum log_level log_level;
    /* [archive] */
    int64_t pack_bytes, reserve_bytes, quarantine_bytes, cache_bytes, compression;
    /* [identity] */
    struct texts placeholders;
    struct peer *peers;
    size_t peer_count;
};

/* Reads `path`; NULL: the defaults. Errors name file and line. The caller holds one reference. */
struct error config_read(struct config **config, const char *path);
/* The file that holds for an archive when none is named: ARCHIVE/pacs.conf, else /etc/pacsfs/pacs.conf, else none.
 * `*path` is the caller's; NULL: none. */
struct error config_find(char **path, const char *archive);
/* What [archive] and [identity] say; `options` borrows the placeholders for as long as the archive is open. */
struct pacs_options;
void config_archive(const struct config *config, struct pacs_options *options);
struct config *config_get(struct config *config);
void config_put(struct config *config);
/* Every key with its default and one line of help, to standard output. */
void config_print_help(void);

/* Whether `text` is an AE title (PS3.5 6.2: 1 to 16 characters of the default repertoire, not only blanks). */
bool ae_title_valid(const char *text);
/* The entry whose AE title is `calling_ae` and whose addresses, if it has any, hold `address`. NULL: a stranger. */
const struct peer *config_peer(const struct config *config, const char *calling_ae, const struct sockaddr *address);
/* Whether some entry has this AE title, whatever its address: for the log. */
bool config_has_aet(const struct config *config, const char *calling_ae);

#endif
