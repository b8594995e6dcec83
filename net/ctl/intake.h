/* Layer: net/ctl. The workers of `import`: files go in, verdicts come out as lines, several at once so that one sync of
 * the log answers many.
 *
 * Where a pacsd serves the archive, descriptors are handed to it (net/control.h); else the archive is opened here with
 * the writer's lock. Memory: INTAKE_SPOOL_MAX for each of three times `jobs` members of archives, and what
 * ingest_begin() says for each of `jobs`. One thread gives; lines are printed by the workers, each whole.
 */
#ifndef NET_CTL_INTAKE_H
#define NET_CTL_INTAKE_H

#include "net/ctl/command.h"
#include "net/ctl/report.h"

#define INTAKE_JOBS_DEFAULT 8
#define INTAKE_JOBS_MAX 24
#define INTAKE_SPOOL_MAX (4 << 20) /* members up to this size are held in memory while they wait */

struct intake;

struct intake_options {
    unsigned jobs;
    bool json;
    bool quiet; /* only what is refused, and the summary */
};

struct error intake_new(struct intake **intake, const struct call *call, const struct intake_options *options,
                        struct report *report);
/* Waits for all, prints the summary, frees. `*refused`: some were. The failure is what ended it early, if anything. */
struct error intake_finish(struct intake *intake, bool *refused);
/* True when nothing more should be given: the disk is full, the daemon went away, the user asked to stop. */
bool intake_is_over(struct intake *intake);

/* A file, from the start of `fd` to its end; takes the descriptor. `named`: it stood on the command line, so that it
 * must be DICOM. `bytes`: what progress counts for it. Blocks while too many wait. */
void intake_give(struct intake *intake, int fd, const char *label, bool named, uint64_t bytes);
/* The same from memory. */
struct error intake_give_bytes(struct intake *intake, const void *bytes, size_t size, const char *label, bool named);

/* A long member of an archive, known to be DICOM: written piece by piece. A stream that is not ended by
 * intake_stream_end() breaks for its reader: half a member is never taken for a whole one. */
struct intake_stream;
struct error intake_stream_begin(struct intake *intake, const char *label, struct intake_stream **stream);
/* False when its reader has had enough: the rest is not wanted. */
bool intake_stream_write(struct intake_stream *stream, const void *bytes, size_t size);
void intake_stream_end(struct intake_stream *stream);
/* Ends it broken, with a reason (released). Whichever end fails first is the one that is told. */
void intake_stream_fail(struct intake_stream *stream, struct error err);

/* Verdicts that need no worker. */
void intake_skip(struct intake *intake, const char *label, const char *reason);
void intake_refuse(struct intake *intake, const char *label, struct error err); /* releases err */

#endif
