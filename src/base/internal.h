/* What context.c and parallel.c share; for the room alone. */
#ifndef TD_BASE_INTERNAL_H
#define TD_BASE_INTERNAL_H

#include <pthread.h>
#include <stdio.h>

#include "base/context.h"

typedef struct td_pool td_pool;

struct tdsnn_context {
    char error[1024];
    pthread_mutex_t error_lock;
    int threads;
    td_pool *pool; /* NULL until the first parallel call */
    tdsnn_progress_fn progress;
    void *progress_user;
    tdsnn_warning_fn warning;
    void *warning_user;
};

/* Ends and joins the workers; NULL is fine. */
void td_pool_destroy(td_pool *pool);

#endif
