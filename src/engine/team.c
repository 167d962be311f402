#include "engine/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/memory.h"

/* How long to wait awake, in seconds: longer than what one thread does alone between two phases,
 * shorter than anyone notices. */
#define AWAKE 100e-6
/* Looks between two readings of the clock. */
#define LOOKS 32

/* What is left of a worker's share, and the phase that it is of: generation << 32 | items. Who has
 * counted it down by one has the item. A worker that comes late finds shares of 0 and takes
 * nothing, so nobody waits for those who have not begun. */
typedef struct share {
    _Alignas(64) _Atomic uint64_t ticket;
} share;

typedef struct helper {
    td_team *team;
    pthread_t thread;
    int number; /* 1 .. threads - 1 */
#if defined(__linux__)
    cpu_set_t cores; /* that it may run on, kept while it wakes */
#endif
} helper;

struct td_team {
    int threads, started;
    helper *helpers; /* [threads - 1] */
    share *shares;   /* [threads] */
    uint32_t generation;
    /* the phase under way: written before its tickets, read by those who hold an item */
    td_item_fn fn;
    void *arg;
    int count;
    _Alignas(64) atomic_int unfinished; /* items */
    _Alignas(64) atomic_int sleepers;   /* helpers; changed under the lock */
    atomic_bool caller_sleeps, quit;
    pthread_mutex_t lock;
    pthread_cond_t work, end;
};

/* Tells the core that this is a loop of waiting. */
static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int share_start(const td_team *t, int worker) {
    return (int)((int64_t)t->count * worker / t->threads);
}

/* Takes the next item of one share. */
static bool take_from(td_team *t, int owner, int *index) {
    _Atomic uint64_t *ticket = &t->shares[owner].ticket;
    uint64_t seen = atomic_load(ticket);
    while ((uint32_t)seen != 0) {
        if (atomic_compare_exchange_weak(ticket, &seen, seen - 1)) {
            *index = share_start(t, owner + 1) - (int)(uint32_t)seen;
            return true;
        }
    }
    return false;
}

/* The worker's own share first. */
static bool take(td_team *t, int worker, int *index) {
    for (int i = 0; i < t->threads; i++) {
        if (take_from(t, (worker + i) % t->threads, index)) {
            return true;
        }
    }
    return false;
}

static bool has_work(const td_team *t) {
    for (int i = 0; i < t->threads; i++) {
        if ((uint32_t)atomic_load(&t->shares[i].ticket) != 0) {
            return true;
        }
    }
    return false;
}

/* Runs what is there; whether there was anything. */
static bool work(td_team *t, int worker) {
    int index;
    bool any = false;
    while (take(t, worker, &index)) {
        t->fn(t->arg, index, worker);
        any = true;
        if (atomic_fetch_sub(&t->unfinished, 1) == 1 && atomic_load(&t->caller_sleeps)) {
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->end);
            pthread_mutex_unlock(&t->lock);
        }
    }
    return any;
}

/* ----------------------------------------------------------------------------------------- helpers
 */

/* Whether work, or the end, came before the time to sleep. */
static bool wait_awake(const td_team *t) {
    double start = td_now();
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (has_work(t) || atomic_load(&t->quit)) {
                return true;
            }
            relax();
        }
    } while (td_now() - start < AWAKE);
    return false;
}

/* The caller publishes work, then looks for sleepers; a helper says that it sleeps, then looks for
 * work: one of the two sees the other. */
static void wait_asleep(td_team *t) {
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    if (has_work(t) || atomic_load(&t->quit)) {
        atomic_fetch_sub(&t->sleepers, 1);
    } else {
        pthread_cond_wait(&t->work, &t->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

static void *helper_main(void *arg) {
    helper *self = arg;
    td_team *t = self->team;
    while (!atomic_load(&t->quit)) {
        if (!work(t, self->number) && !wait_awake(t)) {
            wait_asleep(t);
        }
    }
    return NULL;
}

static void rouse(td_team *t) {
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->sleepers, 0);
    pthread_mutex_unlock(&t->lock);
    pthread_cond_broadcast(&t->work);
}

/* Linux often wakes a helper on the caller's core, where one of the two waits until the system
 * moves the other, some milliseconds: helpers wake on other cores, if they may use any. */
static void keep_off_this_core(td_team *t) {
#if defined(__linux__)
    int here = sched_getcpu();
    for (int i = 0; i < t->started; i++) {
        helper *h = &t->helpers[i];
        if (pthread_getaffinity_np(h->thread, sizeof h->cores, &h->cores) != 0) {
            CPU_ZERO(&h->cores);
        }
        cpu_set_t others = h->cores;
        CPU_CLR((size_t)here, &others);
        if (CPU_COUNT(&others) > 0) {
            pthread_setaffinity_np(h->thread, sizeof others, &others);
        }
    }
#else
    (void)t;
#endif
}

static void allow_all_cores(td_team *t) {
#if defined(__linux__)
    for (int i = 0; i < t->started; i++) {
        helper *h = &t->helpers[i];
        if (CPU_COUNT(&h->cores) > 0) {
            pthread_setaffinity_np(h->thread, sizeof h->cores, &h->cores);
        }
    }
#else
    (void)t;
#endif
}

static void wake(td_team *t) {
    keep_off_this_core(t);
    rouse(t);
    allow_all_cores(t);
}

/* ------------------------------------------------------------------------------------------ caller
 */

static tdsnn_status start(tdsnn_context *ctx, td_team *t) {
    t->helpers = td_alloc(ctx, (size_t)t->threads - 1, sizeof *t->helpers);
    t->shares = td_alloc(ctx, (size_t)t->threads, sizeof *t->shares);
    if (t->helpers == NULL || t->shares == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < t->threads - 1; i++) {
        helper *h = &t->helpers[i];
        *h = (helper){.team = t, .number = i + 1};
        if (pthread_create(&h->thread, NULL, helper_main, h) != 0) {
            return td_error(ctx, TDSNN_ERR_RUNTIME,
                            "the system gives no thread %d of %d; ask for fewer", i + 2,
                            t->threads);
        }
        t->started++;
    }
    return TDSNN_OK;
}

tdsnn_status td_team_create(tdsnn_context *ctx, int threads, td_team **team) {
    if (threads == 1) {
        *team = NULL;
        return TDSNN_OK;
    }
    td_team *t = td_alloc(ctx, 1, sizeof *t);
    if (t == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    t->threads = threads;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->end, NULL);
    tdsnn_status status = start(ctx, t);
    if (status != TDSNN_OK) {
        td_team_destroy(t);
        return status;
    }
    *team = t;
    return TDSNN_OK;
}

void td_team_destroy(td_team *t) {
    if (t == NULL) {
        return;
    }
    atomic_store(&t->quit, true);
    rouse(t);
    for (int i = 0; i < t->started; i++) {
        pthread_join(t->helpers[i].thread, NULL);
    }
    pthread_cond_destroy(&t->end);
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->lock);
    td_free(t->helpers);
    td_free(t->shares);
    td_free(t);
}

static void publish(td_team *t, int count, td_item_fn fn, void *arg) {
    t->fn = fn;
    t->arg = arg;
    t->count = count;
    t->generation++;
    atomic_store(&t->unfinished, count);
    for (int i = 0; i < t->threads; i++) {
        uint32_t items = (uint32_t)(share_start(t, i + 1) - share_start(t, i));
        atomic_store(&t->shares[i].ticket, (uint64_t)t->generation << 32 | items);
    }
    if (atomic_load(&t->sleepers) != 0) {
        wake(t);
    }
}

/* Until the others have ended what they have begun. */
static void wait_for_end(td_team *t) {
    double start = td_now();
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load(&t->unfinished) == 0) {
                return;
            }
            relax();
        }
    } while (td_now() - start < AWAKE);
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->caller_sleeps, true);
    while (atomic_load(&t->unfinished) != 0) {
        pthread_cond_wait(&t->end, &t->lock);
    }
    atomic_store(&t->caller_sleeps, false);
    pthread_mutex_unlock(&t->lock);
}

void td_team_run(td_team *t, int count, td_item_fn fn, void *arg) {
    if (t == NULL || count == 1) {
        for (int i = 0; i < count; i++) {
            fn(arg, i, 0);
        }
        return;
    }
    publish(t, count, fn, arg);
    work(t, 0);
    wait_for_end(t);
}
