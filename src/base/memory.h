/* Memory with checked sizes, and arenas for things that die together. */
#ifndef TD_BASE_MEMORY_H
#define TD_BASE_MEMORY_H

#include "base/context.h"

/* *out = a * b, or a + b; false (and *out untouched) when that does not fit. */
static inline bool td_size_mul(size_t a, size_t b, size_t *out) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

static inline bool td_size_add(size_t a, size_t b, size_t *out) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}

/* `count` zeroed elements of `size` bytes, aligned to 64 bytes; never NULL for count 0.
 * Errors: NULL with TDSNN_ERR_RUNTIME recorded. Memory: td_free. */
void *td_alloc(tdsnn_context *ctx, size_t count, size_t size);

/* Room for at least `count` elements at *data, contents kept, capacity grown by doubling. */
tdsnn_status td_reserve(tdsnn_context *ctx, void *data, size_t *capacity, size_t count,
                        size_t size);

/* NULL is fine. */
void td_free(void *memory);

/* A region whose allocations are freed all at once. */
typedef struct td_arena td_arena;
td_arena *td_arena_create(tdsnn_context *ctx);
void td_arena_destroy(td_arena *arena);
/* As td_alloc, but freed with the arena. */
void *td_arena_alloc(td_arena *arena, size_t count, size_t size);
char *td_arena_strdup(td_arena *arena, const char *text);
char *td_arena_strndup(td_arena *arena, const char *text, size_t length);
char *td_arena_printf(td_arena *arena, const char *format, ...) TDSNN_PRINTF(2, 3);

#endif
