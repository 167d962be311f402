/* ONNX: a model is read and lowered; external data may lie in weights.bin beside it. */
#include <string.h>

#include "fuzz.h"
#include "graph/lower.h"
#include "onnx/onnx.h"

#define WEIGHTS 4096

static void make_weights(void) {
    static const uint8_t weights[WEIGHTS];
    static int made;
    if (!made) {
        made = 1;
        fuzz_write("weights.bin", weights, sizeof weights);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    tdsnn_context *ctx = fuzz_context();
    td_source *source = NULL;
    td_lowering lowering = {0};
    make_weights();
    tdsnn_status status = td_onnx_parse(ctx, fuzz_path("model.onnx"), bytes, size, &source);
    fuzz_check(status);
    if (status != TDSNN_OK) {
        return 0;
    }
    status = td_lower(ctx, source, &lowering);
    fuzz_check(status);
    td_source_destroy(source); /* the lowering must not need it any more */
    if (status == TDSNN_OK) {
        fuzz_check(td_lowering_check(ctx, &lowering, "model.onnx"));
        td_lowering_destroy(&lowering);
    }
    return 0;
}
