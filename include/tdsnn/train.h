/* Training and retraining: networks whose activations are temporal codes, exactly those that the
 * engines use, and straight-through gradients behind them. */
#ifndef TDSNN_TRAIN_H
#define TDSNN_TRAIN_H

#include <tdsnn/convert.h>
#include <tdsnn/data.h>
#include <tdsnn/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tdsnn_optimiser { TDSNN_OPTIMISER_SGD, TDSNN_OPTIMISER_ADAMW } tdsnn_optimiser;

/* How the learning rate falls from its largest, over all steps behind the warm-up. */
typedef enum tdsnn_schedule {
    TDSNN_SCHEDULE_COSINE, /* to 0 */
    TDSNN_SCHEDULE_STEP,   /* to a tenth at 1/2, to a hundredth at 3/4 */
    TDSNN_SCHEDULE_CONSTANT
} tdsnn_schedule;

/* Batch-norm during training. */
typedef enum tdsnn_norm {
    TDSNN_NORM_AUTO,   /* live in networks with six and more layers */
    TDSNN_NORM_FOLDED, /* none: weights and biases are trained as they are */
    TDSNN_NORM_LIVE    /* behind every convolution and inner product but the last one; folded into
                        * the weights at the end */
} tdsnn_norm;

/* One line of the log: an epoch that has ended. */
typedef struct tdsnn_epoch {
    int epoch, epochs; /* from 1 on */
    uint64_t step;
    double loss;              /* mean over the epoch, without the penalty on spikes */
    double train_percent;     /* top-1 on the samples as they were trained on; NaN: no labels */
    double held_out_percent;  /* top-1 of the network as it would be written; NaN: no labels */
    double held_out_loss;     /* mean */
    double spikes_per_neuron; /* hidden neurons of the epoch's samples with T > 0; 0: no codes */
    double learning_rate;     /* of the epoch's last step */
    double images_per_second; /* of training, held-out samples not included */
    double seconds;           /* since the start */
    bool best;                /* so far: it is what is kept */
} tdsnn_epoch;
typedef void (*tdsnn_epoch_fn)(void *user, const tdsnn_epoch *epoch);

/* Start from TDSNN_TRAIN_OPTIONS_INIT. Zero means the default. */
typedef struct tdsnn_train_options {
    size_t size; /* sizeof(tdsnn_train_options) */
    int epochs;  /* default 10 */
    int batch;   /* samples a step; default 128 */
    tdsnn_optimiser optimiser;
    double
        learning_rate; /* the largest; default 0.05 to train, 0.005 to tune (SGD), 0.001 (AdamW) */
    double momentum;   /* SGD; default 0.9; -1: none */
    double weight_decay; /* of weights; default 5e-4 to train, 1e-4 to tune (SGD), 0.01 (AdamW);
                            -1: none */
    tdsnn_schedule schedule;
    double warmup; /* epochs in which the rate rises from 0 */
    double clip;   /* gradients' largest norm; 0: no limit */
    bool flip;     /* pictures are mirrored at random */
    int shift;     /* pictures are moved by up to so many pixels at random */
    bool mixup; /* each sample is mixed with another one, of which it keeps 1/2 to 1 [Zhang 2018] */
    tdsnn_norm norm;
    bool fixed_scales;     /* the codes' scales stay as calibrated */
    bool learn_thresholds; /* thresholds are trained one by one, not with their scale alone */
    double sparsity; /* the dial: how much a spike, and the more the later, weighs against the loss;
                      * 0: nothing, 1: much */
    double distill; /* 0 .. 1: the share of the loss that is the distance to the teacher's logits */
    const tdsnn_model *teacher; /* plain, of the same inputs and outputs; NULL: the source, where it
                                 * is plain and tuned */
    double temperature;         /* of both logits then; default 4 */
    size_t holdout;             /* training samples held out; default a tenth, 5000 at most */
    size_t limit;               /* trains on the first samples only; 0: all */
    uint64_t seed;
    const char *log;         /* .csv, or .jsonl: a line an epoch; NULL: none */
    const char *checkpoint;  /* .npz, written after every epoch and every ten minutes; NULL: none */
    bool resume;             /* go on from the checkpoint */
    bool force;              /* replace log and checkpoint if they exist */
    tdsnn_epoch_fn on_epoch; /* called after every epoch, on the calling thread */
    void *on_epoch_user;
    /* Called whenever a better network is there: what is written then survives whatever comes. An
     * error ends the training. */
    tdsnn_status (*on_best)(void *user, tdsnn_context *ctx, const tdsnn_model *model);
    void *on_best_user;
} tdsnn_train_options;
#define TDSNN_TRAIN_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(tdsnn_train_options), 0, 0, TDSNN_OPTIMISER_SGD, 0.0, 0.0, 0.0,                     \
            TDSNN_SCHEDULE_COSINE, 0.0, 0.0, false, 0, false, TDSNN_NORM_AUTO, false, false, 0.0,  \
            0.0, NULL, 0.0, 0, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL              \
    }

typedef struct tdsnn_train_report {
    int epochs; /* run in all, earlier runs that were resumed included */
    size_t train_samples, held_out_samples;
    tdsnn_epoch best;      /* whose network it is */
    double start_percent;  /* held-out top-1 before the first step; NaN: no labels */
    double source_percent; /* of the teacher given, or else of the source, if there is one */
    uint64_t parameters;
    int batch; /* in force, as are these: */
    double learning_rate, weight_decay;
    bool live_norms;
} tdsnn_train_report;

/* Retrains a network with its temporal codes in the forward pass, straight-through gradients inside
 * the window [X]. A plain model is converted first, as `convert` says (calibrated on the training
 * samples that are not held out); one that is converted already is trained on as it is, `convert`
 * is NULL. data: its training split; the samples held out choose the best epoch.
 * The model made is that of the best epoch, a converted one.
 * Errors: TDSNN_ERR_USAGE, _INPUT, _UNSUPPORTED as tdsnn_convert; TDSNN_ERR_USAGE if the data has
 * no labels, no targets and nothing is distilled; TDSNN_ERR_CANCELLED, and TDSNN_ERR_RUNTIME where
 * the loss is no number: *trained is then the best so far, or NULL. *report: NULL is fine. */
TDSNN_API tdsnn_status tdsnn_tune(tdsnn_context *ctx, const tdsnn_model *source,
                                  const tdsnn_data *data, const tdsnn_convert_options *convert,
                                  const tdsnn_train_options *options, tdsnn_model **trained,
                                  tdsnn_train_report *report);

/* Trains a network from nothing: the plain `model`, its weights drawn anew, or, if that is NULL,
 * `architecture` (tdsnn_architecture_at). convert: NULL trains with ReLU and gives a plain model;
 * otherwise activations are codes from the start, as `convert` says. The rest is as tdsnn_tune. */
TDSNN_API tdsnn_status tdsnn_train(tdsnn_context *ctx, const char *architecture,
                                   const tdsnn_model *model, const tdsnn_data *data,
                                   const tdsnn_convert_options *convert,
                                   const tdsnn_train_options *options, tdsnn_model **trained,
                                   tdsnn_train_report *report);

/* Architectures to train: index 0, 1, ...; a NULL name behind the last. */
typedef struct tdsnn_architecture {
    const char *name, *about;
} tdsnn_architecture;
TDSNN_API tdsnn_architecture tdsnn_architecture_at(int index);

#ifdef __cplusplus
}
#endif
#endif
