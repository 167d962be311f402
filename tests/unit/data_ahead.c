/* Samples made ahead are those that the maker makes, in whatever order and by however many threads
 * they are read; what fails is an error of who reads it. */
#include "data/ahead.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/random.h"
#include "tap.h"

enum { SAMPLES = 200, SIZE = 7, BROKEN = 150 };

typedef struct source {
    atomic_int made;
    atomic_int most; /* one past the last index made */
    bool slow;
} source;

static float value_of(size_t index, size_t place) {
    return (float)(index * SIZE + place);
}

static tdsnn_status make(tdsnn_context *ctx, const void *given, size_t index, float *values,
                         int *label) {
    source *s = (source *)given;
    atomic_fetch_add(&s->made, 1);
    if ((int)index >= s->most) {
        s->most = (int)index + 1;
    }
    if (s->slow) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    if (index == BROKEN) {
        return td_error(ctx, TDSNN_ERR_INPUT, "sample %zu is broken", index);
    }
    for (size_t i = 0; i < SIZE; i++) {
        values[i] = value_of(index, i);
    }
    *label = (int)index % 10;
    return TDSNN_OK;
}

static bool reads(td_ahead *ahead, tdsnn_context *ctx, size_t index) {
    float values[SIZE];
    int label = -2;
    tdsnn_status status = td_ahead_read(ahead, ctx, index, values, &label);
    if (index == BROKEN) {
        return status == TDSNN_ERR_INPUT;
    }
    bool right = status == TDSNN_OK && label == (int)index % 10;
    for (size_t i = 0; i < SIZE; i++) {
        right = right && values[i] == value_of(index, i);
    }
    return right;
}

static void test_in_order(tdsnn_context *ctx) {
    source s = {0};
    td_ahead *ahead = NULL;
    size_t wrong = 0;
    td_ahead_create(ctx, make, &s, SAMPLES, SIZE, &ahead);
    for (size_t i = 0; i < BROKEN; i++) {
        wrong += !reads(ahead, ctx, i);
        nanosleep(&(struct timespec){0, i % 16 == 0 ? 1000000 : 0}, NULL);
    }
    ok(wrong == 0 && tdsnn_last_error(ctx)[0] == '\0',
       "in order: every sample, and no error before its own");
    ok(reads(ahead, ctx, BROKEN) && strstr(tdsnn_last_error(ctx), "sample 150 is broken") != NULL,
       "a sample that cannot be made: the error of who reads it");
    for (size_t i = BROKEN + 1; i < SAMPLES; i++) {
        wrong += !reads(ahead, ctx, i);
    }
    ok(wrong == 0, "samples behind it are read");
    td_ahead_destroy(ahead);
    ok(s.made <= SAMPLES + 1, "none is made twice but the broken one: %d", s.made);
}

/* Waits until the thread has made `count`, two seconds at most. */
static bool has_made(source *s, int count) {
    for (int i = 0; i < 2000 && s->made < count; i++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return s->made >= count;
}

static void test_bounded(tdsnn_context *ctx) {
    source s = {0};
    td_ahead *ahead = NULL;
    td_ahead_create(ctx, make, &s, SAMPLES, SIZE, &ahead);
    reads(ahead, ctx, 0);
    nanosleep(&(struct timespec){0, 5000000}, NULL);
    ok(s.made == 1, "one read makes nothing ahead");
    reads(ahead, ctx, 1);
    ok(has_made(&s, 18), "two reads in a row: the next ones are made");
    nanosleep(&(struct timespec){0, 5000000}, NULL);
    ok(s.made == 18 && s.most == 18, "as many as there is room for, and no more: %d", s.made);
    td_ahead_destroy(ahead);
}

static void test_any_order(tdsnn_context *ctx) {
    source s = {0};
    td_ahead *ahead = NULL;
    td_random random;
    td_random_seed(&random, 3, 0);
    size_t wrong = 0;
    td_ahead_create(ctx, make, &s, SAMPLES, SIZE, &ahead);
    for (size_t i = 0, at = 0; i < 3000; i++) {
        at = td_random_below(&random, 8) != 0 ? at + 1 : td_random_below(&random, SAMPLES);
        at %= SAMPLES;
        wrong += !reads(ahead, ctx, at);
    }
    ok(wrong == 0, "with jumps forward and back (seed 3)");
    td_ahead_destroy(ahead);
}

typedef struct job {
    tdsnn_context *ctx;
    td_ahead *ahead;
    atomic_int wrong;
} job;

static tdsnn_status read_one(void *arg, size_t index, int worker) {
    job *j = arg;
    (void)worker;
    j->wrong += !reads(j->ahead, j->ctx, index);
    return TDSNN_OK;
}

static void test_threads(tdsnn_context *ctx) {
    for (int threads = 1; threads <= 4; threads += 3) {
        source s = {.slow = true};
        job j = {.ctx = ctx};
        tdsnn_set_threads(ctx, threads);
        td_ahead_create(ctx, make, &s, SAMPLES, SIZE, &j.ahead);
        td_parallel(ctx, NULL, SAMPLES, read_one, &j);
        ok(j.wrong == 0, "read by %d threads", threads);
        td_ahead_destroy(j.ahead);
    }
}

static void test_stop(tdsnn_context *ctx) {
    source s = {.slow = true};
    td_ahead *ahead = NULL;
    for (int i = 0; i < 20; i++) {
        td_ahead_create(ctx, make, &s, SAMPLES, SIZE, &ahead);
        for (size_t at = 0; at < (size_t)i; at++) {
            reads(ahead, ctx, at);
        }
        td_ahead_destroy(ahead);
    }
    td_ahead_destroy(NULL);
    ok(true, "stopped at any time");
    ok(td_ahead_create(ctx, make, &s, 3, (size_t)1 << 40, &ahead) == TDSNN_OK,
       "samples too large to keep any need no memory");
    td_ahead_destroy(ahead);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    tdsnn_set_threads(ctx, 1);
    test_in_order(ctx);
    test_bounded(ctx);
    test_any_order(ctx);
    test_stop(ctx);
    test_threads(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
