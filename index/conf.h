/* Layer: index, inside. archive.conf: what `init` decided (struct archive_conf of index.h). Text is malloc'ed. */
#ifndef INDEX_CONF_H
#define INDEX_CONF_H

#include "index/index.h"
#include "index/pack/io.h"

/* Reads and checks the file. On failure, too, conf_release() is due. ERROR_USAGE: a line or value that does not hold. */
struct error conf_read(const char *path, struct archive_conf *conf);
/* What `init` decides where `given` says nothing: a UUID, the machine's time zone, the usual templates. */
struct error conf_fill(struct archive_conf *full, const struct archive_conf *given);
/* ERROR_USAGE: a template, time zone, uuid or word that does not hold. */
struct error conf_check(struct archive_conf *conf);
/* Writes `path`/archive.conf in one step, created now. */
struct error conf_write(const char *path, const struct archive_conf *conf, const struct io_ops *io);
void conf_release(struct archive_conf *conf);

#endif
