/* The thread pool: threads - 1 workers that sleep between calls; the caller is worker 0. */
#include "base/internal.h"

#include <stdlib.h>

#include "base/memory.h"

typedef struct worker {
    td_pool *pool;
    pthread_t thread;
    int number; /* 1 .. threads - 1 */
} worker;

struct td_pool {
    pthread_mutex_t lock;
    pthread_cond_t start, end;
    worker *workers;
    int started;         /* workers that have a thread */
    uint64_t generation; /* counts calls; a worker takes part in each once */
    int running;         /* workers still in the current call */
    bool quit;
    /* the current call */
    td_job_fn fn;
    void *arg;
    size_t count, next, done;
    tdsnn_status status;
};

/* Takes the next index, or says that none is left; the lock is held. */
static bool take(td_pool *pool, size_t *index) {
    if (pool->status != TDSNN_OK || pool->next >= pool->count) {
        return false;
    }
    *index = pool->next++;
    return true;
}

/* Runs one index without the lock and notes how it ended. */
static void run_index(td_pool *pool, size_t index, int number) {
    pthread_mutex_unlock(&pool->lock);
    tdsnn_status status = pool->fn(pool->arg, index, number);
    pthread_mutex_lock(&pool->lock);
    pool->done++;
    if (status != TDSNN_OK && pool->status == TDSNN_OK) {
        pool->status = status;
    }
}

static void *worker_main(void *arg) {
    worker *self = arg;
    td_pool *pool = self->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->quit && pool->generation == seen) {
            pthread_cond_wait(&pool->start, &pool->lock);
        }
        if (pool->quit) {
            break;
        }
        seen = pool->generation;
        size_t index;
        while (take(pool, &index)) {
            run_index(pool, index, self->number);
        }
        if (--pool->running == 0) {
            pthread_cond_signal(&pool->end);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void td_pool_destroy(td_pool *pool) {
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->start);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->lock);
    td_free(pool->workers);
    td_free(pool);
}

/* Makes the pool at the first parallel call. With fewer threads than asked for (the system refused)
 * the pool works all the same. */
static tdsnn_status pool_ready(tdsnn_context *ctx) {
    if (ctx->pool != NULL) {
        return TDSNN_OK;
    }
    td_pool *pool = td_alloc(ctx, 1, sizeof *pool);
    worker *workers = td_alloc(ctx, (size_t)ctx->threads, sizeof *workers);
    if (pool == NULL || workers == NULL) {
        td_free(pool);
        td_free(workers);
        return TDSNN_ERR_RUNTIME;
    }
    pool->workers = workers;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->end, NULL);
    for (int i = 0; i < ctx->threads - 1; i++) {
        workers[i] = (worker){.pool = pool, .number = i + 1};
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0) {
            break;
        }
        pool->started++;
    }
    ctx->pool = pool;
    return TDSNN_OK;
}

tdsnn_status td_parallel(tdsnn_context *ctx, const char *what, size_t count, td_job_fn fn,
                         void *arg) {
    if (pool_ready(ctx) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    td_pool *pool = ctx->pool;
    pthread_mutex_lock(&pool->lock);
    pool->fn = fn;
    pool->arg = arg;
    pool->count = count;
    pool->next = pool->done = 0;
    pool->status = TDSNN_OK;
    pool->running = pool->started;
    pool->generation++;
    pthread_cond_broadcast(&pool->start);
    size_t index;
    while (take(pool, &index)) {
        run_index(pool, index, 0);
        if (what != NULL) {
            size_t done = pool->done;
            pthread_mutex_unlock(&pool->lock);
            tdsnn_status status = td_progress(ctx, what, done, count);
            pthread_mutex_lock(&pool->lock);
            if (status != TDSNN_OK && pool->status == TDSNN_OK) {
                pool->status = status;
            }
        }
    }
    while (pool->running > 0) {
        pthread_cond_wait(&pool->end, &pool->lock);
    }
    tdsnn_status status = pool->status;
    pthread_mutex_unlock(&pool->lock);
    return status;
}
