/* Speed: the event engine against the dense network that the spiking one was converted from. */
#ifndef TDSNN_BENCH_H
#define TDSNN_BENCH_H

#include <tdsnn/data.h>
#include <tdsnn/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Start from TDSNN_BENCH_OPTIONS_INIT. */
typedef struct tdsnn_bench_options {
    size_t size;     /* sizeof(tdsnn_bench_options) */
    size_t samples;  /* distinct ones, run again and again; default 16 */
    int batch;       /* samples a run; default 1, with all threads inside the layers. Larger ones
                      * are spread over the threads */
    const char *isa; /* of both sides: "avx2", "avx512"; NULL: what the processor has */
    double seconds;  /* how long to measure; default 5 */
} tdsnn_bench_options;
#define TDSNN_BENCH_OPTIONS_INIT                                                                   \
    { sizeof(tdsnn_bench_options), 16, 1, NULL, 5.0 }

/* One layer: neurons and their synapses; what oneDNN does between layers counts for the next. */
typedef struct tdsnn_bench_layer {
    const char *name;
    const char *form;     /* how the event engine runs it: "slide", "gather", "dense", "channels" */
    double density;       /* events among the values that it reads */
    uint64_t macs;        /* of the dense network */
    double executed_macs; /* of the event engine, a sample, on average */
    double dense_ms, event_ms;
} tdsnn_bench_layer;

/* Times are of one sample: medians over the rounds, in which both sides run by turns. Layers are
 * timed in rounds of their own. */
typedef struct tdsnn_bench_result {
    const char *isa, *opponent, *opponent_isa;
    int threads, batch;
    size_t samples, rounds;
    double dense_ms, event_ms, ratio; /* dense / event, the median of the rounds' ratios */
    double ratio_low, ratio_high;     /* its quartiles */
    size_t peak_bytes;                /* event engine: weights and sessions */
    int layer_count;
    tdsnn_bench_layer *layers;
} tdsnn_bench_result;

/* Measures a spiking model. The instruction set of the dense side is that of the process's first
 * dense network. Errors: TDSNN_ERR_USAGE (a plain model, data of another shape, an instruction set
 * that the processor has not). Memory: tdsnn_bench_result_free. */
TDSNN_API tdsnn_status tdsnn_bench(tdsnn_context *ctx, const tdsnn_model *model,
                                   const tdsnn_data *data, const tdsnn_bench_options *options,
                                   tdsnn_bench_result **result);
TDSNN_API void tdsnn_bench_result_free(tdsnn_bench_result *result);

/* Start from TDSNN_BENCH_KERNELS_OPTIONS_INIT. */
typedef struct tdsnn_bench_kernels_options {
    size_t size;     /* sizeof(tdsnn_bench_kernels_options) */
    const char *isa; /* of both sides: "avx2", "avx512"; NULL: what the processor has */
    double seconds;  /* how long to measure, all of it; default 20 */
    uint64_t seed;   /* of weights and spikes */
} tdsnn_bench_kernels_options;
#define TDSNN_BENCH_KERNELS_OPTIONS_INIT                                                           \
    { sizeof(tdsnn_bench_kernels_options), NULL, 20.0, 0 }

/* One 3x3 convolution of stride 1, as many channels out as in, a border of zeros. */
typedef struct tdsnn_bench_kernel {
    int channels, height, width;
    double density;       /* events among the values that it reads */
    const char *form;     /* how the event engine runs it */
    uint64_t macs;        /* of the dense convolution, taps on the border left out */
    double executed_macs; /* of the event engine */
    size_t rounds;
    double dense_ms, event_ms, ratio; /* medians, as in tdsnn_bench_result */
    double ratio_low, ratio_high;
} tdsnn_bench_kernel;

typedef struct tdsnn_bench_kernels_result {
    const char *isa, *opponent, *opponent_isa;
    int kernel_count;
    tdsnn_bench_kernel *kernels;
} tdsnn_bench_kernels_result;

/* Measures single layers on one thread: the event engine's from spike times to spike times, lists
 * of events included, against the dense convolution with bias and ReLU between two others, so that
 * its values lie as it likes them best. Errors: TDSNN_ERR_USAGE for an instruction set that the
 * processor has not. Memory: tdsnn_bench_kernels_result_free. */
TDSNN_API tdsnn_status tdsnn_bench_kernels(tdsnn_context *ctx,
                                           const tdsnn_bench_kernels_options *options,
                                           tdsnn_bench_kernels_result **result);
TDSNN_API void tdsnn_bench_kernels_result_free(tdsnn_bench_kernels_result *result);

#ifdef __cplusplus
}
#endif
#endif
