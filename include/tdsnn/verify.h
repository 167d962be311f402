/* Proof: the stepped neuron, the closed form and the float engines give the same spikes. */
#ifndef TDSNN_VERIFY_H
#define TDSNN_VERIFY_H

#include <tdsnn/data.h>
#include <tdsnn/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Start from TDSNN_VERIFY_OPTIONS_INIT. */
typedef struct tdsnn_verify_options {
    size_t size;  /* sizeof(tdsnn_verify_options) */
    size_t limit; /* first samples only; 0: all */
} tdsnn_verify_options;
#define TDSNN_VERIFY_OPTIONS_INIT                                                                  \
    { sizeof(tdsnn_verify_options), 0 }

/* Where a check failed first: in the order of samples, layers, modes, neurons. */
typedef struct tdsnn_verify_failure {
    const char *check; /* "neuron against formula", "float against double", "read-out", "fast
                        * against reference" */
    const char *layer; /* its name */
    const char *mode;  /* "dynamic, silent", ...; "" for float against double; for fast against
                        * reference, the fast engine's instruction set */
    size_t sample;
    int channel, y, x;             /* the neuron */
    const char *half;              /* of a signed pair: "+" or "-"; else "" */
    int time_found, time_expected; /* spike times; -1 at the read-out */
    int step;         /* the first step on which the two differ: the earlier of the times */
    double drive;     /* A, in double; of fast against reference the reference's logit, else 0 */
    double threshold; /* tau of that step; at the read-out, the value found instead of `drive` */
    double bound;     /* how far rounding may part them: gamma_m (|b| + sum |w| v); 0: not at all */
} tdsnn_verify_failure;

typedef struct tdsnn_verify_layer {
    const char *name;
    const char *kind;         /* "input", "synapses", "max-pool", "read-out"; "analog": behind an
                               * input without a code, not spiking and not checked */
    uint64_t neurons_checked; /* neurons x samples x modes; at the read-out, potentials */
    uint64_t neuron_vs_formula_mismatches;
    uint64_t fast_vs_reference_mismatches; /* spike times, or logits: their bits */
    uint64_t float_vs_double_mismatches;   /* all of them, within the bound or not */
    uint64_t float_vs_double_beyond_bound; /* those that are errors */
} tdsnn_verify_layer;

typedef struct tdsnn_verify_result {
    size_t samples;
    int mode_count; /* 4 at offset 0 (fixed or dynamic, silent or all-firing), 2 at offset 1 */
    uint64_t neurons_checked; /* of hidden layers, max-pools included */
    uint64_t neuron_vs_formula_mismatches;
    uint64_t fast_vs_reference_mismatches; /* spike times and logits of the event engine */
    const char *isa;                       /* of its kernels: "scalar", "avx2", ... */
    uint64_t float_vs_double_mismatches;   /* of spike times, within the bound or not */
    uint64_t float_vs_double_beyond_bound; /* those beyond it, and logits beyond theirs */
    uint64_t readout_mismatches;           /* potentials against the formula beyond rounding */
    uint64_t predictions_changed; /* samples: float engine against the whole network in double */
    double seconds;
    int layer_count;
    tdsnn_verify_layer *layers;
    bool passed;
    tdsnn_verify_failure first; /* if not passed */
} tdsnn_verify_result;

/* Proves a spiking model on data. A failed proof returns TDSNN_ERR_CHECK with *result filled and
 * the first differing neuron in tdsnn_last_error.
 * Errors: TDSNN_ERR_USAGE for a plain model or data of another shape. */
TDSNN_API tdsnn_status tdsnn_verify(tdsnn_context *ctx, const tdsnn_model *model,
                                    const tdsnn_data *data, const tdsnn_verify_options *options,
                                    tdsnn_verify_result **result);
TDSNN_API void tdsnn_verify_result_free(tdsnn_verify_result *result);

#ifdef __cplusplus
}
#endif
#endif
