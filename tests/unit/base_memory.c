#include "base/memory.h"

#include <stdint.h>
#include <string.h>

#include "tap.h"

static tdsnn_status count_index(void *arg, size_t index, int worker) {
    (void)worker;
    __atomic_fetch_add(&((int *)arg)[index], 1, __ATOMIC_RELAXED);
    return TDSNN_OK;
}

static tdsnn_status fail_at_seven(void *arg, size_t index, int worker) {
    (void)worker;
    return index == 7 ? td_error(arg, TDSNN_ERR_CHECK, "seven") : TDSNN_OK;
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    size_t out = 5;
    ok(!td_size_mul(SIZE_MAX, 2, &out) && out == 5, "an overflowing product is refused");
    ok(!td_size_add(SIZE_MAX, 1, &out) && out == 5, "an overflowing sum is refused");
    ok(td_size_mul(3, 4, &out) && out == 12, "a product that fits is given");

    ok(td_alloc(ctx, SIZE_MAX / 2, 4) == NULL, "an overflowing allocation is refused");
    ok(strstr(tdsnn_last_error(ctx), "no memory") != NULL, "and says so");
    ok(tdsnn_set_threads(ctx, -1) == TDSNN_ERR_USAGE && strstr(tdsnn_last_error(ctx), "-1 threads"),
       "of two failures in a row the second has its own sentence");
    td_error_clear(ctx);
    unsigned char *zeroed = td_alloc(ctx, 100, 3);
    bool clean = zeroed != NULL && (uintptr_t)zeroed % 64 == 0;
    for (int i = 0; i < 300; i++) {
        clean = clean && zeroed[i] == 0;
    }
    ok(clean, "memory comes zeroed and aligned");
    td_free(zeroed);

    int *numbers = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        td_reserve(ctx, &numbers, &capacity, (size_t)i + 1, sizeof *numbers);
        numbers[i] = i;
    }
    ok(numbers[0] == 0 && numbers[999] == 999 && capacity >= 1000, "a grown array keeps its items");
    td_free(numbers);

    td_arena *arena = td_arena_create(ctx);
    char *text = td_arena_printf(arena, "%d-%s", 7, "x");
    for (int i = 0; i < 10000; i++) {
        memset(td_arena_alloc(arena, (size_t)(i % 4000), 1), 0xff, (size_t)(i % 4000));
    }
    ok(strcmp(text, "7-x") == 0, "arena memory does not overlap");
    td_arena_destroy(arena);

    for (int threads = 1; threads <= 5; threads++) {
        int seen[1000] = {0}, wrong = 0;
        tdsnn_set_threads(ctx, threads);
        tdsnn_status status = td_parallel(ctx, NULL, 1000, count_index, seen);
        for (int i = 0; i < 1000; i++) {
            wrong += seen[i] != 1;
        }
        ok(status == TDSNN_OK && wrong == 0, "%d threads run every index once", threads);
        td_error_clear(ctx);
        ok(td_parallel(ctx, NULL, 1000, fail_at_seven, ctx) == TDSNN_ERR_CHECK &&
               strcmp(tdsnn_last_error(ctx), "seven") == 0,
           "%d threads pass on the first failure", threads);
    }
    tdsnn_context_destroy(ctx);
    return tap_end();
}
