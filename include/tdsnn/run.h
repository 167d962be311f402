/* Running: a spiking model is compiled once into a network; sessions on it turn samples into logits
 * and spike times. docs/embedding.md is the tour, examples/classify.c the program.
 *
 * The bits of all results are the same whatever the processor, the instruction set, the number of
 * threads and the batch. */
#ifndef TDSNN_RUN_H
#define TDSNN_RUN_H

#include <tdsnn/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Networks */

/* A compiled spiking network: immutable, weights packed for one instruction set. Threads: any
 * number may create and run sessions on it. */
typedef struct tdsnn_network tdsnn_network;

/* Start from TDSNN_NETWORK_OPTIONS_INIT. */
typedef struct tdsnn_network_options {
    size_t size;     /* sizeof(tdsnn_network_options) */
    const char *isa; /* "scalar", "avx2", "avx512", "neon"; NULL: the widest of this processor */
    /* Typical inputs: each layer's form is chosen by the share of its inputs that spike on them.
     * Only speed depends on it; a handful is enough. NULL: a half is assumed everywhere. */
    const float *samples; /* [sample_count][C][H][W] */
    size_t sample_count;
} tdsnn_network_options;
#define TDSNN_NETWORK_OPTIONS_INIT                                                                 \
    { sizeof(tdsnn_network_options), NULL, NULL, 0 }

/* Compiles a spiking model. options: NULL for the defaults; nothing of it is kept.
 * Errors: TDSNN_ERR_USAGE (a plain model; an instruction set that this processor or build has not),
 * TDSNN_ERR_UNSUPPORTED naming the node, TDSNN_ERR_INPUT, TDSNN_ERR_RUNTIME.
 * Memory: tdsnn_network_destroy, after all its sessions and before the model. */
TDSNN_API tdsnn_status tdsnn_network_create(tdsnn_context *ctx, const tdsnn_model *model,
                                            const tdsnn_network_options *options,
                                            tdsnn_network **network);
/* NULL is fine. */
TDSNN_API void tdsnn_network_destroy(tdsnn_network *network);

typedef struct tdsnn_network_info {
    const char *isa;     /* of its kernels */
    int input[3];        /* C, H, W of one sample; a flat input is N, 1, 1 */
    int outputs;         /* logits of one sample */
    int layer_count;     /* the input is layer 0, the read-out the last */
    size_t weight_bytes; /* packed, shared by all sessions */
} tdsnn_network_info;
TDSNN_API tdsnn_network_info tdsnn_network_get_info(const tdsnn_network *network);

typedef struct tdsnn_network_layer {
    const char *name;       /* lives as long as the network */
    int shape[3];           /* C, H, W of its values; flat: N, 1, 1 */
    int steps;              /* K: spike times are 0 .. K; 0 for the read-out and an analog input,
                             * which have none */
    bool pair;              /* signed: two neurons a value, for x and -x */
    size_t neurons;         /* C H W, of pairs twice that; spike times of one sample */
    const tdsnn_code *code; /* what its spikes stand for; NULL where there are none */
} tdsnn_network_layer;

/* index: 0 .. layer_count - 1. */
TDSNN_API tdsnn_network_layer tdsnn_network_get_layer(const tdsnn_network *network, int index);

/* How the engine evaluates the synapses of one pre-synaptic population of a layer. */
typedef struct tdsnn_network_population {
    const char *source; /* the layer whose spikes arrive; lives as long as the network */
    const char *form;   /* "slide", "scatter", "gather": events alone; "dense", "channels": every
                         * input */
    int outputs;        /* neurons of neighbouring channels that are summed at once */
    double density;     /* expected share of the source's values that are events */
    double cycles;      /* predicted, for all neurons of the layer */
} tdsnn_network_population;

/* Populations of a layer: 0 for the input, and for a max-pool, which sums nothing. */
TDSNN_API int tdsnn_network_population_count(const tdsnn_network *network, int layer);
TDSNN_API tdsnn_network_population tdsnn_network_get_population(const tdsnn_network *network,
                                                                int layer, int index);

/* The index of the layer of that name, or -1. */
TDSNN_API int tdsnn_network_find_layer(const tdsnn_network *network, const char *name);

/* ---- Sessions */

/* What it takes to run samples. Threads: one at a time; create one for each thread that runs. */
typedef struct tdsnn_session tdsnn_session;

/* What the threads of a session share. */
typedef enum tdsnn_spread {
    TDSNN_SPREAD_LAYERS, /* each layer of a sample: the shortest time to an answer */
    TDSNN_SPREAD_SAMPLES /* the samples of a batch: the most answers a second; takes the memory of
                          * as many sessions */
} tdsnn_spread;

/* Start from TDSNN_SESSION_OPTIONS_INIT. */
typedef struct tdsnn_session_options {
    size_t size; /* sizeof(tdsnn_session_options) */
    int threads; /* 1 .. 1024, the caller's included; default 1. More than there are cores slow it
                  * down */
    tdsnn_spread spread;
    bool keep_times; /* keep the spike times of all layers for tdsnn_session_times */
} tdsnn_session_options;
#define TDSNN_SESSION_OPTIONS_INIT                                                                 \
    { sizeof(tdsnn_session_options), 1, TDSNN_SPREAD_LAYERS, false }

/* Creates a session: all memory and threads that its runs will use. options: NULL for the defaults.
 * Errors: TDSNN_ERR_USAGE, TDSNN_ERR_RUNTIME. Memory: tdsnn_session_destroy, before the network. */
TDSNN_API tdsnn_status tdsnn_session_create(tdsnn_context *ctx, const tdsnn_network *network,
                                            const tdsnn_session_options *options,
                                            tdsnn_session **session);
/* Ends its threads and frees it. NULL is fine. */
TDSNN_API void tdsnn_session_destroy(tdsnn_session *session);

/* Bytes of its buffers. */
TDSNN_API size_t tdsnn_session_bytes(const tdsnn_session *session);

/* Runs one sample.
 * input: [C][H][W], in the unit that the model was converted with: raw data times its metadata
 * value "tdsnn.scale" (1/255 for 8-bit pixels), not normalised, for mean and std are in the
 * network; NaN spikes at 0 like everything below the first threshold.
 * logits: [outputs], or NULL; they stay in the session too.
 * Exact: the bits of the reference engine (docs/exactness.md). Errors: none. Memory: none. */
TDSNN_API void tdsnn_session_run(tdsnn_session *session, const float *input, float *logits);

/* Runs `count` samples: with TDSNN_SPREAD_SAMPLES shared among the threads, else one after the
 * other.
 * inputs: [count][C][H][W]; logits: [count][outputs]. What the session holds of the last
 * tdsnn_session_run stays.
 * Exact: the same bits as one by one. Errors: none. Memory: none. */
TDSNN_API void tdsnn_session_run_batch(tdsnn_session *session, const float *inputs, size_t count,
                                       float *logits);

/* ---- Read-out */

/* The logits of the last tdsnn_session_run, [outputs]. Valid until the next run. */
TDSNN_API const float *tdsnn_session_logits(const tdsnn_session *session);

/* The index of the largest of `outputs` (at least 1) logits, the lowest among equal ones; of one
 * logit alone 1 if it is above 0 (its Sigmoid above one half), else 0. */
TDSNN_API int tdsnn_prediction(const float *logits, int outputs);

/* The spike times of a layer in the last tdsnn_session_run, [C][H][W], of pairs [2][C][H][W], those
 * of x first; in steps from the layer's release. NULL if the session does not keep them or the
 * layer has none. Valid until the next run. */
TDSNN_API const uint8_t *tdsnn_session_times(const tdsnn_session *session, int layer);

/* The neurons of that layer that fired later than time 0: those that a silent-zero device sends. 0
 * where tdsnn_session_times is NULL. */
TDSNN_API size_t tdsnn_session_spikes(const tdsnn_session *session, int layer);

#ifdef __cplusplus
}
#endif
#endif
