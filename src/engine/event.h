/* The event engine: silent neurons (T = 0) are no work. It gives the bits of the reference engine
 * whatever instruction set, plan and number of threads it runs with. */
#ifndef TD_ENGINE_EVENT_H
#define TD_ENGINE_EVENT_H

#include "engine/engine.h"
#include "engine/kernels/kernels.h"

/* How a population's synapses are evaluated. */
typedef enum td_form {
    TD_FORM_SLIDE,   /* 3x3, stride 1: events of an input row onto three output rows at once */
    TD_FORM_COLUMN,  /* up to 3 kernel rows an input row: events of all taps onto as many sums */
    TD_FORM_SCATTER, /* stride 1, few channels: each event onto all that it reaches */
    TD_FORM_GATHER,  /* events of each output pixel's taps */
    TD_FORM_DENSE,   /* every input, event or not: where most are events */
    TD_FORM_CHANNELS /* depthwise windows and shortcuts: lanes are channels, every input */
} td_form;
#define TD_FORMS (TD_FORM_CHANNELS + 1)

const char *td_form_name(td_form form);

/* A network compiled for the event engine: weights packed for one instruction set, a form for each
 * population, memory planned. Immutable: any number of threads may run sessions on it; it must
 * outlive them, and the network it. */
typedef struct td_plan td_plan;

/* densities: [layer_count], the expected share of events among the values of each layer, 0 .. 1;
 * NULL: a half everywhere. Only speed depends on it. kernels: td_kernels_find. */
tdsnn_status td_plan_create(tdsnn_context *ctx, const td_network *network,
                            const td_kernels *kernels, const double *densities, td_plan **plan);
void td_plan_destroy(td_plan *plan);

/* The same with densities measured on `count` samples, [count][C][H][W], or with none if there are
 * none. */
tdsnn_status td_plan_create_measured(tdsnn_context *ctx, const td_network *network,
                                     const td_kernels *kernels, const float *samples, size_t count,
                                     td_plan **plan);

/* Adds to densities[layer_count] the share of each layer's values that are events. */
void td_add_densities(const td_network *network, const td_activity *activity, double *densities);

/* The name of its kernels. */
const char *td_plan_kernels(const td_plan *plan);

/* What `info --plan` shows of population `index` of a layer. */
typedef struct td_plan_row {
    td_form form;
    int outputs;    /* neurons that are summed at once, in registers */
    double density; /* expected */
    double cycles;  /* predicted, all neurons of the layer */
} td_plan_row;
td_plan_row td_plan_describe(const td_plan *plan, int layer, int index);

/* Bytes of one session: spike times (liveness planned), sums, events; and of the packed weights. */
size_t td_plan_session_bytes(const td_plan *plan, int threads);
size_t td_plan_weight_bytes(const td_plan *plan);

/* The state of one caller, whose runs `threads` threads (the caller's included) share, layer by
 * layer. Runs allocate nothing. Errors: TDSNN_ERR_RUNTIME. */
typedef struct td_session td_session;
tdsnn_status td_session_create(tdsnn_context *ctx, const td_plan *plan, int threads,
                               td_session **session);
void td_session_destroy(td_session *session);

/* From now on every run adds the time that each layer took to seconds[layer_count]; NULL: no
 * longer. */
void td_session_profile(td_session *session, double *seconds);

/* Reads activity->input; fills logits and, if `keep_times`, the spike times of every layer. Never
 * fails. */
void td_session_run(td_session *session, td_activity *activity, bool keep_times);

#endif
