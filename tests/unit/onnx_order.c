/* Sorting: every input is made before it is read, a sorted file keeps its order, cycles end it. */
#include "base/random.h"
#include "onnx/reader.h"
#include "tap.h"

#include <string.h>

/* A graph whose node i makes value i and reads up to three others, in the source's arena. */
static td_source *make(tdsnn_context *ctx, int nodes, td_random *random, int *maker, bool cyclic) {
    td_arena *arena = td_arena_create(ctx);
    td_source *s = td_arena_alloc(arena, 1, sizeof *s);
    int *rank = td_arena_alloc(arena, (size_t)nodes, sizeof *rank); /* a hidden order */
    s->arena = arena;
    s->node_count = s->value_count = nodes;
    s->nodes = td_arena_alloc(arena, (size_t)nodes, sizeof *s->nodes);
    for (int i = 0; i < nodes; i++) {
        int other = (int)td_random_below(random, (uint64_t)i + 1);
        rank[i] = rank[other];
        rank[other] = i;
    }
    for (int i = 0; i < nodes; i++) {
        int *inputs = td_arena_alloc(arena, 4, sizeof *inputs);
        inputs[3] = i;
        int count = 0;
        for (int k = 0; k < 3; k++) {
            int other = (int)td_random_below(random, (uint64_t)nodes);
            if (rank[other] < rank[i] || cyclic) {
                inputs[count++] = other;
            }
        }
        s->nodes[i] = (td_source_node){.name = td_arena_printf(arena, "n%d", i),
                                       .op = "Add",
                                       .inputs = inputs,
                                       .input_count = count,
                                       .outputs = inputs + 3,
                                       .output_count = 1};
        maker[i] = i;
    }
    return s;
}

static bool is_sorted(const td_source *s) {
    bool *made = calloc((size_t)s->value_count, sizeof *made), sorted = true;
    for (int i = 0; i < s->node_count; i++) {
        for (int k = 0; k < s->nodes[i].input_count; k++) {
            sorted = sorted && made[s->nodes[i].inputs[k]];
        }
        sorted = sorted && !made[s->nodes[i].outputs[0]];
        made[s->nodes[i].outputs[0]] = true;
    }
    free(made);
    return sorted;
}

/* Whether node `to` can be reached from itself, by brute force. */
static bool has_cycle(const td_source *s, int nodes) {
    bool reach[16][16] = {{false}};
    for (int i = 0; i < nodes; i++) {
        for (int k = 0; k < s->nodes[i].input_count; k++) {
            reach[s->nodes[i].inputs[k]][i] = true;
        }
    }
    for (int via = 0; via < nodes; via++) {
        for (int a = 0; a < nodes; a++) {
            for (int b = 0; b < nodes; b++) {
                reach[a][b] = reach[a][b] || (reach[a][via] && reach[via][b]);
            }
        }
    }
    bool any = false;
    for (int i = 0; i < nodes; i++) {
        any = any || reach[i][i];
    }
    return any;
}

static void test_random(tdsnn_context *ctx) {
    td_random random;
    int maker[256], unsorted = 0, moved = 0, wrong = 0, cycles = 0;
    td_random_seed(&random, 3, 0);
    for (int i = 0; i < 500; i++) {
        int nodes = 1 + (int)td_random_below(&random, 256);
        td_source *s = make(ctx, nodes, &random, maker, false);
        bool was = is_sorted(s);
        unsorted += !was;
        wrong += td_order_nodes(ctx, s, maker) != TDSNN_OK || !is_sorted(s);
        td_source_node *first = malloc((size_t)nodes * sizeof *first);
        memcpy(first, s->nodes, (size_t)nodes * sizeof *first);
        for (int k = 0; k < nodes; k++) {
            maker[s->nodes[k].outputs[0]] = k;
        }
        wrong += td_order_nodes(ctx, s, maker) != TDSNN_OK;
        moved += memcmp(first, s->nodes, (size_t)nodes * sizeof *first) != 0;
        free(first);
        td_source_destroy(s);
    }
    ok(wrong == 0 && unsorted > 400, "500 random graphs are sorted (%d were not before)", unsorted);
    ok(moved == 0, "a sorted graph keeps its order");
    wrong = 0;
    for (int i = 0; i < 2000; i++) {
        int nodes = 1 + (int)td_random_below(&random, 16);
        td_source *s = make(ctx, nodes, &random, maker, i % 2 == 0);
        bool cycle = has_cycle(s, nodes);
        td_error_clear(ctx);
        tdsnn_status status = td_order_nodes(ctx, s, maker);
        cycles += cycle;
        wrong += cycle ? status != TDSNN_ERR_INPUT : status != TDSNN_OK || !is_sorted(s);
        td_source_destroy(s);
    }
    ok(wrong == 0 && cycles > 500, "%d graphs with a cycle are refused, those without sorted",
       cycles);
}

/* A chain of half a million nodes, last first: no recursion, no square. */
static void test_chain(tdsnn_context *ctx) {
    enum { NODES = 500000 };
    td_arena *arena = td_arena_create(ctx);
    td_source s = {.arena = arena, .node_count = NODES, .value_count = NODES};
    int *values = malloc(NODES * sizeof *values), *maker = malloc(NODES * sizeof *maker);
    s.nodes = td_arena_alloc(arena, NODES, sizeof *s.nodes);
    for (int i = 0; i < NODES; i++) {
        values[i] = i;
        maker[i] = NODES - 1 - i;
        s.nodes[NODES - 1 - i] = (td_source_node){.name = "n",
                                                  .op = "Relu",
                                                  .inputs = &values[i == 0 ? 0 : i - 1],
                                                  .input_count = i > 0,
                                                  .outputs = &values[i],
                                                  .output_count = 1};
    }
    ok(td_order_nodes(ctx, &s, maker) == TDSNN_OK && is_sorted(&s),
       "a chain of %d nodes, last first", NODES);
    free(values);
    free(maker);
    td_arena_destroy(arena);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_random(ctx);
    test_chain(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
