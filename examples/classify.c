/* Classifies samples: classify MODEL.snn.onnx SAMPLES
 * SAMPLES: float32, [samples][C][H][W], in the unit that the model was converted with.
 * Built with: cc classify.c $(pkg-config --cflags --libs tdsnn) */
#include <stdio.h>
#include <stdlib.h>
#include <tdsnn/run.h>

static int failed(tdsnn_context *ctx) {
    fprintf(stderr, "classify: %s\n", tdsnn_last_error(ctx));
    return 1;
}

int main(int argc, char **argv) {
    tdsnn_context *ctx = tdsnn_context_create();
    tdsnn_model *model = NULL;
    tdsnn_network *network = NULL;
    tdsnn_session *session = NULL;
    FILE *samples = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (ctx == NULL || samples == NULL) {
        fprintf(stderr, "usage: classify MODEL.snn.onnx SAMPLES\n");
        return 2;
    }
    if (tdsnn_model_load(ctx, argv[1], &model) != TDSNN_OK ||
        tdsnn_network_create(ctx, model, NULL, &network) != TDSNN_OK ||
        tdsnn_session_create(ctx, network, NULL, &session) != TDSNN_OK) {
        return failed(ctx);
    }
    tdsnn_network_info info = tdsnn_network_get_info(network);
    size_t values = (size_t)info.input[0] * (size_t)info.input[1] * (size_t)info.input[2];
    float *input = malloc(values * sizeof *input);
    while (input != NULL && fread(input, sizeof *input, values, samples) == values) {
        tdsnn_session_run(session, input, NULL);
        printf("%d\n", tdsnn_prediction(tdsnn_session_logits(session), info.outputs));
    }
    free(input);
    fclose(samples);
    tdsnn_session_destroy(session);
    tdsnn_network_destroy(network);
    tdsnn_model_destroy(model);
    tdsnn_context_destroy(ctx);
    return 0;
}
