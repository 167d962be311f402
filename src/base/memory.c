#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

/* Zeroed and aligned, or NULL; an error is for the callers to report. */
static void *allocate(size_t count, size_t size) {
    size_t bytes;
    if (!td_size_mul(count, size, &bytes) || !td_size_add(bytes, ALIGNMENT, &bytes)) {
        return NULL;
    }
    bytes -= bytes % ALIGNMENT; /* aligned_alloc wants a multiple; at least one unit is left */
    void *memory = aligned_alloc(ALIGNMENT, bytes);
    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

static void out_of_memory(tdsnn_context *ctx, size_t count, size_t size) {
    td_error(ctx, TDSNN_ERR_RUNTIME, "no memory for %zu elements of %zu bytes", count, size);
}

void *td_alloc(tdsnn_context *ctx, size_t count, size_t size) {
    void *memory = allocate(count, size);
    if (memory == NULL) {
        out_of_memory(ctx, count, size);
    }
    return memory;
}

void td_free(void *memory) {
    free(memory);
}

tdsnn_status td_reserve(tdsnn_context *ctx, void *data, size_t *capacity, size_t count,
                        size_t size) {
    void **place = data;
    if (count <= *capacity) {
        return TDSNN_OK;
    }
    size_t wanted = *capacity < 16 ? 16 : *capacity;
    while (wanted < count && td_size_mul(wanted, 2, &wanted)) {
    }
    void *grown = td_alloc(ctx, wanted < count ? count : wanted, size);
    if (grown == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (*place != NULL) {
        memcpy(grown, *place, *capacity * size);
    }
    td_free(*place);
    *place = grown;
    *capacity = wanted < count ? count : wanted;
    return TDSNN_OK;
}

typedef struct chunk {
    struct chunk *next;
    void *memory;
} chunk;

/* Small requests are cut from blocks; large ones get a chunk of their own. */
#define BLOCK_SIZE ((size_t)16 * 1024)

struct td_arena {
    tdsnn_context *ctx;
    chunk *chunks;
    unsigned char *block;
    size_t used;
};

td_arena *td_arena_create(tdsnn_context *ctx) {
    td_arena *arena = td_alloc(ctx, 1, sizeof *arena);
    if (arena != NULL) {
        arena->ctx = ctx;
        arena->used = BLOCK_SIZE;
    }
    return arena;
}

void td_arena_destroy(td_arena *arena) {
    if (arena == NULL) {
        return;
    }
    for (chunk *c = arena->chunks, *next; c != NULL; c = next) {
        next = c->next;
        td_free(c->memory);
        td_free(c);
    }
    td_free(arena);
}

static void *arena_chunk(td_arena *arena, size_t count, size_t size) {
    chunk *c = allocate(1, sizeof *c);
    void *memory = c == NULL ? NULL : allocate(count, size);
    if (memory == NULL) {
        td_free(c);
        out_of_memory(arena->ctx, count, size);
        return NULL;
    }
    *c = (chunk){.next = arena->chunks, .memory = memory};
    arena->chunks = c;
    return memory;
}

void *td_arena_alloc(td_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!td_size_mul(count, size, &bytes) || bytes > BLOCK_SIZE / 8) {
        return arena_chunk(arena, count, size);
    }
    bytes = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    if (arena->used + bytes > BLOCK_SIZE) {
        arena->block = arena_chunk(arena, BLOCK_SIZE, 1);
        if (arena->block == NULL) {
            arena->used = BLOCK_SIZE;
            return NULL;
        }
        arena->used = 0;
    }
    void *memory = arena->block + arena->used;
    arena->used += bytes;
    return memory;
}

char *td_arena_strndup(td_arena *arena, const char *text, size_t length) {
    char *copy = td_arena_alloc(arena, length + 1, 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
    }
    return copy;
}

char *td_arena_strdup(td_arena *arena, const char *text) {
    return td_arena_strndup(arena, text, strlen(text));
}

char *td_arena_printf(td_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : td_arena_alloc(arena, (size_t)length + 1, 1);
    if (text != NULL) {
        va_start(arguments, format);
        vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}
