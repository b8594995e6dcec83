/* Layer: fs. Reading ahead across the slices of a series: who has begun one image after the other will want the next.
 *
 * Within a file the kernel reads ahead. Work is dropped rather than queued beyond PREFETCH_QUEUE_MAX; what was made
 * ahead lies in the archive's cache, where the reader meets it. Threads: PREFETCH_THREADS, joined by prefetch_free().
 * Any thread may note.
 */
#ifndef FS_PREFETCH_H
#define FS_PREFETCH_H

#include "fs/file.h"

#define PREFETCH_THREADS 2
#define PREFETCH_QUEUE_MAX 16
#define PREFETCH_BYTES_MAX (UINT64_C(16) << 20) /* of one file */

struct prefetch;

struct error prefetch_new(struct prefetch **prefetch, struct tree *tree);
void prefetch_free(struct prefetch *prefetch);
/* A file of an instance is read from its start. Returns at once. */
void prefetch_note(struct prefetch *prefetch, struct node node);

#endif
