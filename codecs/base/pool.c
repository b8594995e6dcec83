/* What lives here: a fixed set of threads that take jobs from one bounded queue. Owner: whoever called pool_new; it
 * joins the threads in pool_free. `lock` guards every member but `threads` and `count`. */
#include "codecs/base/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work, room;
    struct job *first, **last;
    unsigned queued, queue_max;
    bool stopping;
    unsigned count;
    pthread_t threads[];
};

static void *worker(void *argument)
{
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first && !pool->stopping)
            pthread_cond_wait(&pool->work, &pool->lock);
        struct job *job = pool->first;
        if (!job)
            break;
        pool->first = job->next;
        if (!pool->first)
            pool->last = &pool->first;
        pool->queued--;
        pthread_cond_signal(&pool->room);
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct error pool_new(struct pool **out, unsigned threads, unsigned queue_max)
{
    if (!threads) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores > 0 ? (unsigned)cores : 1;
    }
    struct pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
    if (!pool)
        return error_make(ERROR_NO_MEMORY, "thread pool: out of memory");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->room, NULL);
    pool->last = &pool->first;
    pool->queue_max = queue_max ? queue_max : 64;
    for (; pool->count < threads; pool->count++) {
        int failed = pthread_create(&pool->threads[pool->count], NULL, worker, pool);
        if (failed) {
            pool_free(pool);
            return error_system(failed, "thread pool: cannot start a thread");
        }
    }
    *out = pool;
    return NO_ERROR;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->room);
    free(pool);
}

void pool_run(struct pool *pool, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    while (pool->queued >= pool->queue_max)
        pthread_cond_wait(&pool->room, &pool->lock);
    *pool->last = job;
    pool->last = &job->next;
    pool->queued++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

unsigned pool_threads(const struct pool *pool)
{
    return pool->count;
}
