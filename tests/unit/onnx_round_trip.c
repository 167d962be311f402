/* A coded graph written as ONNX and read again is the same graph, bit for bit. */
#include <string.h>
#include <unistd.h>

#include "graph/lower.h"
#include "onnx/onnx.h"
#include "random_graph.h"
#include "tap.h"

#define GRAPHS 100

/* Writes, reads, lowers; NULL with the reason printed. */
static td_graph *there_and_back(tdsnn_context *ctx, const td_graph *graph, const char *path,
                                td_lowering *lowering) {
    td_source *source = NULL;
    *lowering = (td_lowering){0};
    if (td_onnx_write(ctx, graph, path, true) == TDSNN_OK &&
        td_onnx_read(ctx, path, &source) == TDSNN_OK &&
        td_lower(ctx, source, lowering) == TDSNN_OK) {
        td_lowering_check(ctx, lowering, path);
    }
    td_source_destroy(source);
    if (lowering->graph == NULL) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    return lowering->graph;
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    char path[] = "/tmp/tdsnn-round-trip-XXXXXX";
    close(mkstemp(path));
    int same = 0;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        td_graph *graph = random_graph(ctx, seed);
        td_lowering lowering;
        td_graph *back = there_and_back(ctx, graph, path, &lowering);
        bool equal =
            back != NULL && td_graph_equal(graph, back) && strcmp(back->batch_symbol, "N") == 0;
        if (!equal) {
            printf("# seed %llu differs\n", (unsigned long long)seed);
        }
        same += equal;
        td_lowering_destroy(&lowering);
        td_graph_destroy(graph);
    }
    unlink(path);
    ok(same == GRAPHS, "%d of %d random coded graphs come back bit for bit", same, GRAPHS);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
