/* Evaluation: run a model over data; accuracy, spikes, operations, latency. */
#ifndef TDSNN_EVAL_H
#define TDSNN_EVAL_H

#include <stdio.h>

#include <tdsnn/data.h>
#include <tdsnn/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tdsnn_engine {
    TDSNN_ENGINE_EVENT,     /* fast: silent neurons are no work */
    TDSNN_ENGINE_REFERENCE, /* normative; the event engine has its bits */
    TDSNN_ENGINE_CLOCK      /* neurons stepped through time, in double */
} tdsnn_engine;

/* Samples on which is counted, by default. */
#define TDSNN_DEFAULT_COUNTED 256

/* Start from TDSNN_EVAL_OPTIONS_INIT. Paths: NULL is not written; "-" is stdout (predictions). */
typedef struct tdsnn_eval_options {
    size_t size;                /* sizeof(tdsnn_eval_options) */
    size_t limit;               /* first samples only; 0: all */
    size_t count;               /* spikes, operations and latency are counted on the first samples
                                 * only: counting takes longer than running; 0: on all */
    tdsnn_engine engine;        /* of a spiking model; a plain one always runs densely */
    const tdsnn_model *against; /* a second model run on the same samples, or NULL */
    const char *predictions;    /* text, one class index a line */
    const char *labels;         /* text, one class name a line: predictions are written as names */
    const char *logits;         /* .npy, float32 [samples][outputs] */
    const char *spikes;         /* .npz, uint8 [samples][C][H][W] or [samples][N] a layer */
    bool force;                 /* replace output files that exist */
} tdsnn_eval_options;
#define TDSNN_EVAL_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(tdsnn_eval_options), 0, TDSNN_DEFAULT_COUNTED, TDSNN_ENGINE_EVENT, NULL, NULL,      \
            NULL, NULL, NULL, false                                                                \
    }

/* What is counted (docs/counts.md); sums over the samples counted on, of dynamic T_il. */
typedef struct tdsnn_counts {
    uint64_t neurons;     /* of one sample x samples */
    uint64_t spikes;      /* neurons with T > 0 (offset 1: all) */
    uint64_t zero_spikes; /* T = 0 spikes that must be sent because a max-pool waits */
    uint64_t macs;        /* dense multiply-adds, border-aware */
    uint64_t analog_macs; /* of these, behind an analog input: they stay multiply-adds, and are two
                           * adds each in paper_adds and silent_adds */
    uint64_t paper_adds, paper_leaks;   /* synapses, accumulation leaks: every neuron fires */
    uint64_t silent_adds, silent_leaks; /* the same with silent zeros */
    uint64_t ticks;                     /* each is one leak and one add */
    uint64_t bias_adds;
    uint64_t pool_adds; /* arriving spikes of max-pools; in both conventions */
    uint64_t executed_macs, executed_lookups, executed_compares; /* by the float engine */
} tdsnn_counts;

/* Operations of one convention: its adds, leaks, ticks (2 each), bias and pool adds. */
TDSNN_API uint64_t tdsnn_ops_paper(const tdsnn_counts *counts);
TDSNN_API uint64_t tdsnn_ops_silent(const tdsnn_counts *counts);

typedef struct tdsnn_eval_layer {
    const char *name;
    const char *kind; /* "input", "synapses", "max-pool", "read-out" */
    int shape[3];
    int steps; /* K; 0 at the read-out */
    tdsnn_counts counts;
    uint64_t t_last_in;  /* sum over samples of dynamic T_il */
    int t_last_in_fixed; /* K of the code it reads; 0 for input and pools */
} tdsnn_eval_layer;

/* What outputs that are values and no classes are compared with. */
typedef enum tdsnn_targets {
    TDSNN_TARGETS_NONE,
    TDSNN_TARGETS_Y,    /* the data's */
    TDSNN_TARGETS_INPUT /* of an autoencoder (its output is shaped as its input) on data without
                         * y: what it reads, after normalisation */
} tdsnn_targets;

/* Of all outputs of all samples, in their unit. */
typedef struct tdsnn_errors {
    double mean_abs, root_mean_square;
} tdsnn_errors;

typedef struct tdsnn_eval_result {
    size_t samples;
    size_t counted; /* of these: what `total`, layers, input spikes and latency are sums over */
    int outputs;
    bool labelled, spiking;
    tdsnn_targets targets;                           /* if there are any: */
    tdsnn_errors target_error, against_target_error; /* of the model, of options->against */
    uint64_t top1, top5;                             /* correct samples */
    double seconds;        /* reading, encoding and running, all threads together */
    double run_seconds;    /* running alone, summed over the threads */
    tdsnn_counts total;    /* hidden layers, pools included, and the read-out */
    uint64_t input_spikes; /* of the input population */
    uint64_t input_neurons;
    uint64_t latency_fixed;   /* steps along the longest path, of one sample */
    uint64_t latency_dynamic; /* sum over samples */
    int layer_count;
    tdsnn_eval_layer *layers;
    bool compared;                        /* with options->against: */
    uint64_t agreements;                  /* samples with the same prediction */
    uint64_t against_top1;                /* correct samples of the second model */
    double against_run_seconds;           /* as run_seconds, of the second model */
    double max_abs_error, mean_abs_error; /* of the outputs, or logits */
} tdsnn_eval_result;

/* Errors: TDSNN_ERR_USAGE (data of another shape or scale than the model's, output files that
 * exist), TDSNN_ERR_UNSUPPORTED, TDSNN_ERR_INPUT, TDSNN_ERR_RUNTIME, TDSNN_ERR_CANCELLED; no
 * output file is left half-written. Memory: tdsnn_eval_result_free. */
TDSNN_API tdsnn_status tdsnn_eval(tdsnn_context *ctx, const tdsnn_model *model,
                                  const tdsnn_data *data, const tdsnn_eval_options *options,
                                  tdsnn_eval_result **result);
TDSNN_API void tdsnn_eval_result_free(tdsnn_eval_result *result);

#ifdef __cplusplus
}
#endif
#endif
