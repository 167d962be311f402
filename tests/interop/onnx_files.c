/* The C side of onnx_files.py.
 *
 *   onnx_files write FOLDER CODES NETWORKS   code0.onnx ..: one code each; network0.onnx ..: random
 *                                            coded networks
 *   onnx_files read FILE                     one line a constant: name, type, rank, dimensions and
 *                                            its numbers, floats by their bits */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx.h"
#include "unit/random_graph.h"

static int fail(const tdsnn_context *ctx) {
    fprintf(stderr, "%s\n", tdsnn_last_error(ctx));
    return 1;
}

/* x -> TemporalCode -> y, a flat one or a picture; every third has a learned table with ties. */
static td_graph *code_graph(tdsnn_context *ctx, uint64_t seed) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    td_random_seed(&m.random, seed, 2);
    int steps = seed == 0 ? 255 : seed == 1 ? 1 : pick(&m, 1, 255);
    double leak = steps * (0.1 + 3.0 * td_random_uniform(&m.random));
    tdsnn_code *code = td_arena_alloc(m.graph->arena, 1, sizeof *code);
    td_shape shape = seed % 2 == 0 ? (td_shape){3, 5, 7, false} : (td_shape){105, 1, 1, true};
    if (tdsnn_code_make(ctx, leak, steps, 0.01 + td_random_uniform(&m.random),
                        seed % 2 == 0 ? TDSNN_ROUND_NEAREST : TDSNN_ROUND_CEIL, pick(&m, 0, 1),
                        code) != TDSNN_OK) {
        return NULL;
    }
    for (int k = 1; seed % 3 == 2 && k < steps; k++) {
        code->rounding = TDSNN_ROUND_TABLE;
        code->thresholds[k] = pick(&m, 0, 2) == 0 ? code->thresholds[k - 1] : code->thresholds[k];
    }
    m.graph->input_name = "x";
    m.graph->output_name = "y";
    m.graph->batch_symbol = seed % 5 == 0 ? NULL : "N";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = shape});
    append(&m, (td_node){.op = TD_OP_CODE, .shape = shape, .code = code});
    return m.graph;
}

static int write_all(tdsnn_context *ctx, const char *folder, const char *kind, int count,
                     td_graph *(*make)(tdsnn_context *ctx, uint64_t seed)) {
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s%d.onnx", folder, kind, i);
        td_graph *graph = make(ctx, (uint64_t)i);
        if (graph == NULL || td_onnx_write(ctx, graph, path, false) != TDSNN_OK) {
            return fail(ctx);
        }
        td_graph_destroy(graph);
    }
    return 0;
}

static void print_constant(const char *name, const td_tensor *t) {
    static const char *const types[] = {
        [TD_TYPE_FLOAT] = "float", [TD_TYPE_INT] = "int", [TD_TYPE_OTHER] = "other"};
    printf("%s %s %d", name, types[t->type], t->rank);
    for (int i = 0; i < t->rank; i++) {
        printf(" %" PRId64, t->dims[i]);
    }
    for (size_t i = 0; t->type != TD_TYPE_OTHER && i < t->count; i++) {
        uint32_t bits;
        if (t->type == TD_TYPE_INT) {
            printf(" %" PRId64, t->ints[i]);
        } else {
            memcpy(&bits, &t->floats[i], sizeof bits);
            printf(" %08" PRIx32, bits);
        }
    }
    printf("\n");
}

static int read_all(tdsnn_context *ctx, const char *path) {
    td_source *source;
    if (td_onnx_read(ctx, path, &source) != TDSNN_OK) {
        return fail(ctx);
    }
    for (int i = 0; i < source->value_count; i++) {
        if (source->values[i].constant != NULL) {
            print_constant(source->values[i].name, source->values[i].constant);
        }
    }
    td_source_destroy(source);
    return 0;
}

int main(int argc, char **argv) {
    tdsnn_context *ctx = tdsnn_context_create();
    int failed = 2;
    if (argc == 5 && strcmp(argv[1], "write") == 0) {
        failed = write_all(ctx, argv[2], "code", atoi(argv[3]), code_graph) ||
                 write_all(ctx, argv[2], "network", atoi(argv[4]), random_graph);
    } else if (argc == 3 && strcmp(argv[1], "read") == 0) {
        failed = read_all(ctx, argv[2]);
    }
    tdsnn_context_destroy(ctx);
    return failed;
}
