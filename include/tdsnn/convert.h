/* Conversion: a trained ReLU network becomes a spiking one, without retraining. */
#ifndef TDSNN_CONVERT_H
#define TDSNN_CONVERT_H

#include <tdsnn/data.h>
#include <tdsnn/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The default leak of hidden layers, in windows (docs/leak.md has the measurement). */
#define TDSNN_DEFAULT_LEAK_RATIO 2.0
/* The same at offset 1, where values go from s to s exp(K/L): a larger leak would leave them next
 * to nothing to tell apart (docs/training.md). */
#define TDSNN_DEFAULT_LEAK_RATIO_1 (1.0 / 3.0)
/* Takes the leak whose logits on the calibration samples are nearest to the source's. */
#define TDSNN_LEAK_AUTO (-1.0)

/* Start from TDSNN_CONVERT_OPTIONS_INIT. Zero means the default. */
typedef struct tdsnn_convert_options {
    size_t size;                /* sizeof(tdsnn_convert_options) */
    int steps;                  /* K of hidden layers, 1 .. 255; no default */
    double leak;                /* L of hidden layers; default: steps x TDSNN_DEFAULT_LEAK_RATIO
                                   (offset 1: .._RATIO_1);
                                   TDSNN_LEAK_AUTO: the best of steps x 1/4, 1/2, 1, 2, 4 */
    int input_steps;            /* default 127; -1: analog, the first layer does not spike */
    double input_leak;          /* default 2 x input_steps */
    tdsnn_rounding rounding;    /* NEAREST or CEIL */
    int offset;                 /* 0; 1 only for networks trained with the paper's activation G */
    size_t calibration_samples; /* default 256 */
    uint64_t seed;              /* which calibration samples are drawn */
    bool correct_biases;        /* take off every bias what rounding adds to its mean drive [X] */
    bool equalise;              /* put a scale for each channel into the weights beforehand [X] */
    double silence;             /* 0 .. 1: tau_k becomes max(tau_k, silence v_K) [X]; 0: none */
    /* The same with a share for each hidden layer, as far as this many percentage points of changed
     * answers allow on the calibration data (docs/silence.md); 0: none. Not with `silence`. */
    double silence_points;
} tdsnn_convert_options;
#define TDSNN_CONVERT_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(tdsnn_convert_options), 0, 0.0, 0, 0.0, TDSNN_ROUND_NEAREST, 0, 0, 0, false, false, \
            0.0, 0.0                                                                               \
    }

typedef struct tdsnn_convert_layer {
    const char *name;
    int steps;
    double leak, scale;
    /* calibration values against their codes, 10 log10(sum x^2 / sum (x - v)^2); may be infinite */
    double snr_db;
    double first_threshold; /* as a share of the largest value */
} tdsnn_convert_layer;

/* A leak that was tried: the one given, or TDSNN_LEAK_AUTO's. */
typedef struct tdsnn_leak_trial {
    double leak;
    double logit_error; /* sqrt(sum |converted - source|^2 / sum |source|^2) over the samples */
} tdsnn_leak_trial;
#define TDSNN_MAX_LEAK_TRIALS 5

typedef struct tdsnn_convert_report {
    int layer_count;
    tdsnn_convert_layer *layers;
    double leak; /* of the hidden layers */
    int trial_count;
    tdsnn_leak_trial trials[TDSNN_MAX_LEAK_TRIALS];
    size_t calibration_samples;
    bool values;              /* outputs that are no classes: those of an autoencoder, those with
                                 targets in the data, and one alone */
    double logit_error;       /* as of a trial, of the leak kept */
    double agreement_percent; /* top-1 of source and converted on the calibration samples */
    /* With silence_points: */
    size_t silence_samples; /* that kept the budget, calibration samples among them; else 0 */
    /* percentage points of them that change their answer, or are expected to, beyond those that do
     * without silence */
    double silence_loss;
    /* events of hidden layers a calibration sample */
    double spikes_before, spikes_after;
} tdsnn_convert_report;

/* Converts a plain model. Scales are chosen per layer by squared error on samples of
 * `calibration`. *report is freed with tdsnn_convert_report_free; NULL is fine.
 * Errors: TDSNN_ERR_USAGE (an option out of range, offset 1 equalised, two kinds of silence, data
 * of another shape), TDSNN_ERR_UNSUPPORTED (naming the node). */
TDSNN_API tdsnn_status tdsnn_convert(tdsnn_context *ctx, const tdsnn_model *source,
                                     const tdsnn_data *calibration,
                                     const tdsnn_convert_options *options, tdsnn_model **converted,
                                     tdsnn_convert_report **report);

/* Whether a plain model can be converted: TDSNN_OK, or TDSNN_ERR_UNSUPPORTED with the first node
 * that cannot and why in tdsnn_last_error. */
TDSNN_API tdsnn_status tdsnn_convert_check(tdsnn_context *ctx, const tdsnn_model *source);
TDSNN_API void tdsnn_convert_report_free(tdsnn_convert_report *report);

#ifdef __cplusplus
}
#endif
#endif
