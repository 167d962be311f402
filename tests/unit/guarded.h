/* Buffers next to pages that nobody may touch: who reads or writes too far dies of SIGSEGV. */
#ifndef GUARDED_H
#define GUARDED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What lies in the slack: as a float NaN, as a spike time 255. */
#define GUARDED_FILL 0xff

typedef struct guarded {
    void *data; /* `size` bytes, then `slack` bytes of GUARDED_FILL */
    size_t size, slack, length;
    unsigned char *map;
} guarded;

/* All zero but for the slack. A page without access follows directly or, with `front`, precedes;
 * there is one at a little distance on the other side too. Memory: guarded_free. */
static inline guarded guarded_alloc(size_t size, size_t slack, bool front) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (size + slack + page - 1) / page * page;
    guarded g = {.size = size, .slack = slack, .length = inner + 2 * page};
    g.map = mmap(NULL, g.length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED ||
        (inner > 0 && mprotect(g.map + page, inner, PROT_READ | PROT_WRITE) != 0)) {
        printf("Bail out! no memory between guarded pages\n");
        exit(1);
    }
    unsigned char *data = front ? g.map + page : g.map + page + inner - size - slack;
    memset(data + size, GUARDED_FILL, slack);
    g.data = data;
    return g;
}

/* Whether nobody has written into the slack. */
static inline bool guarded_clean(const guarded *g) {
    const unsigned char *slack = (const unsigned char *)g->data + g->size;
    bool clean = true;
    for (size_t i = 0; i < g->slack; i++) {
        clean = clean && slack[i] == GUARDED_FILL;
    }
    return clean;
}

static inline void guarded_free(guarded *g) {
    munmap(g->map, g->length);
}

#endif
