/* Layer: codecs/base. A pool of worker threads the size of the machine, for compression, checks and decoding.
 *
 * Jobs must be bounded and must not wait for other jobs. The queue is bounded: pool_run blocks when it is full
 * (back-pressure). pool_free waits for what is queued. Any thread may submit.
 */
#ifndef CODECS_BASE_POOL_H
#define CODECS_BASE_POOL_H

#include "codecs/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pool;
struct job {
    void (*run)(struct job *job); /* the job's memory belongs to the submitter; not touched after run returns */
    struct job *next;
};

struct error pool_new(struct pool **pool, unsigned threads /* 0: one a core */, unsigned queue_max);
void pool_free(struct pool *pool);
void pool_run(struct pool *pool, struct job *job);
unsigned pool_threads(const struct pool *pool);

#ifdef __cplusplus
}
#endif
#endif
