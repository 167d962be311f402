#include "data/ahead.h"

#include <pthread.h>
#include <string.h>

#include "base/memory.h"

/* Samples kept at most, and their memory. */
#define SLOTS 16
#define SLOT_BYTES ((size_t)64 << 20)

/* Reads in order before the thread starts: one or two, as `info` or a glance do, need none. */
#define READS_BEFORE 2

typedef struct slot {
    enum { FREE, BUSY, READY } state;
    size_t index;
    int label;
    float *values;
} slot;

struct td_ahead {
    td_ahead_fn make;
    const void *source;
    size_t samples, size;
    slot slots[SLOTS];
    int slot_count;
    tdsnn_context *ctx; /* the thread's own, so that what fails ahead is nobody's error yet */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t room, made; /* for the thread: something to do; for readers: a BUSY one ended */
    bool tried, started, quit;
    size_t frontier; /* one past the last sample that was read */
    size_t next;     /* the next one to make */
    size_t ordered;  /* reads without a gap */
};

/* The slot of sample `index`, or NULL. */
static slot *find(td_ahead *a, size_t index) {
    for (int i = 0; i < a->slot_count; i++) {
        if (a->slots[i].state != FREE && a->slots[i].index == index) {
            return &a->slots[i];
        }
    }
    return NULL;
}

/* A slot for the next sample, or NULL where none is to be made now: one that is free, or holds what
 * readers have passed by. */
static slot *find_room(td_ahead *a) {
    size_t reach = (size_t)a->slot_count;
    if (a->next >= a->samples || a->next >= a->frontier + reach || a->ordered < READS_BEFORE) {
        return NULL;
    }
    for (int i = 0; i < a->slot_count; i++) {
        const slot *s = &a->slots[i];
        bool passed = s->index + reach < a->frontier || s->index >= a->frontier + reach;
        if (s->state == FREE || (s->state == READY && passed)) {
            return &a->slots[i];
        }
    }
    return NULL;
}

static void *work(void *arg) {
    td_ahead *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->quit) {
        slot *s = find_room(a);
        if (s == NULL) {
            pthread_cond_wait(&a->room, &a->lock);
            continue;
        }
        s->state = BUSY;
        s->index = a->next++;
        pthread_mutex_unlock(&a->lock);
        td_error_clear(a->ctx);
        tdsnn_status status = a->make(a->ctx, a->source, s->index, s->values, &s->label);
        pthread_mutex_lock(&a->lock);
        s->state = status == TDSNN_OK ? READY : FREE;
        pthread_cond_broadcast(&a->made);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Starts the thread. Where there is no memory or no thread for it, samples are made when they are
 * read. */
static void start(td_ahead *a) {
    size_t fit = SLOT_BYTES / sizeof(float) / a->size;
    int slots = fit > SLOTS ? SLOTS : (int)fit;
    a->tried = true;
    a->ctx = tdsnn_context_create();
    for (; a->ctx != NULL && a->slot_count < slots; a->slot_count++) {
        a->slots[a->slot_count].values = td_alloc(a->ctx, a->size, sizeof(float));
        if (a->slots[a->slot_count].values == NULL) {
            break;
        }
    }
    a->started = a->slot_count > 0 && pthread_create(&a->thread, NULL, work, a) == 0;
}

/* Notes that a sample is read, and starts the thread or tells it where to go on. With several
 * threads they may be read in a slightly different order. */
static void note_read(td_ahead *a, size_t index, size_t threads) {
    bool ordered = index <= a->frontier + threads - 1 && index + SLOTS >= a->frontier;
    a->ordered = ordered ? a->ordered + 1 : 0;
    a->frontier = !ordered || index >= a->frontier ? index + 1 : a->frontier;
    if (!ordered || a->next < a->frontier) {
        a->next = a->frontier;
    }
    if (!a->tried && a->ordered == READS_BEFORE && a->next < a->samples) {
        start(a);
    }
    pthread_cond_signal(&a->room);
}

/* Takes a sample that is made, or being made; false if there is none. The lock is held. */
static bool take(td_ahead *a, size_t index, float *values, int *label) {
    slot *s = find(a, index);
    while (s != NULL && s->state == BUSY) {
        pthread_cond_wait(&a->made, &a->lock);
        s = find(a, index);
    }
    if (s == NULL) {
        return false;
    }
    memcpy(values, s->values, a->size * sizeof *values);
    *label = s->label;
    s->state = FREE;
    pthread_cond_signal(&a->room);
    return true;
}

tdsnn_status td_ahead_read(td_ahead *ahead, tdsnn_context *ctx, size_t index, float *values,
                           int *label) {
    pthread_mutex_lock(&ahead->lock);
    bool taken = take(ahead, index, values, label);
    note_read(ahead, index, (size_t)tdsnn_threads(ctx));
    pthread_mutex_unlock(&ahead->lock);
    return taken ? TDSNN_OK : ahead->make(ctx, ahead->source, index, values, label);
}

tdsnn_status td_ahead_create(tdsnn_context *ctx, td_ahead_fn make, const void *source,
                             size_t samples, size_t size, td_ahead **ahead) {
    td_ahead *a = td_alloc(ctx, 1, sizeof *a);
    if (a == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    a->make = make;
    a->source = source;
    a->samples = samples;
    a->size = size;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->room, NULL);
    pthread_cond_init(&a->made, NULL);
    *ahead = a;
    return TDSNN_OK;
}

void td_ahead_destroy(td_ahead *ahead) {
    if (ahead == NULL) {
        return;
    }
    pthread_mutex_lock(&ahead->lock);
    ahead->quit = true;
    pthread_cond_signal(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
    if (ahead->started) {
        pthread_join(ahead->thread, NULL);
    }
    pthread_cond_destroy(&ahead->room);
    pthread_cond_destroy(&ahead->made);
    pthread_mutex_destroy(&ahead->lock);
    for (int i = 0; i < SLOTS; i++) {
        td_free(ahead->slots[i].values);
    }
    tdsnn_context_destroy(ahead->ctx);
    td_free(ahead);
}
