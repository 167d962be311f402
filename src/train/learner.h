/* What is being trained: a graph, and every number of it that changes, in one array, so that the
 * optimiser, checkpoints and sums of gradients are loops over it. */
#ifndef TD_TRAIN_LEARNER_H
#define TD_TRAIN_LEARNER_H

#include "graph/graph.h"

typedef enum td_role {
    TD_ROLE_WEIGHTS,    /* of a CONV or INNER, as in td_node */
    TD_ROLE_BIAS,       /* likewise; none where there is a norm */
    TD_ROLE_GAIN,       /* of a norm, [C] */
    TD_ROLE_SHIFT,      /* likewise */
    TD_ROLE_SCALE,      /* of a CODE, one: ln(scale / the scale at the start) */
    TD_ROLE_THRESHOLDS, /* of a CODE, [K]: each as a share of the scale */
    TD_ROLE_COUNT
} td_role;

typedef struct td_parameter {
    td_role role;
    int node;
    size_t first, count; /* its place among the values */
} td_parameter;

#define TD_ABSENT SIZE_MAX

/* What a live batch-norm adds to its variance [Ioffe 2015]. */
#define TD_NORM_EPSILON 1e-5f

typedef struct td_learner_options {
    bool norms;            /* a batch-norm behind every CONV and INNER but the last one */
    bool fixed_scales;     /* scales of the codes are not trained */
    bool learn_thresholds; /* thresholds are */
} td_learner_options;

typedef struct td_learner {
    const td_graph *graph; /* its weights are the start */
    int parameter_count;
    td_parameter *parameters;
    size_t (*slots)[TD_ROLE_COUNT]; /* [node_count] places among the values, or TD_ABSENT */
    size_t count;
    float *values; /* [count] */
    bool *moves;   /* [node_count] whether anything that is trained lies at the node or before it */
    size_t *norms; /* [node_count] the first channel of its norm, or TD_ABSENT */
    size_t norm_channels;
    float *mean, *variance; /* [norm_channels] running, of what the norms read */
    tdsnn_code *codes;      /* [node_count] in force; those of CODE nodes are set */
} td_learner;

/* Starts at the graph's weights, biases and codes; norms, if any, at gain 1, shift 0, mean 0 and
 * variance 1. graph: as td_build_normalised gives it (no Clip on both sides of 0); it must outlive
 * the learner. Errors: TDSNN_ERR_RUNTIME. Memory: td_learner_destroy; NULL is fine there. */
tdsnn_status td_learner_create(tdsnn_context *ctx, const td_graph *graph,
                               const td_learner_options *options, td_learner **learner);
void td_learner_destroy(td_learner *learner);

/* The parameter's values, or NULL if the node has none of that role. */
float *td_learner_values(const td_learner *learner, int node, td_role role);

/* Makes thresholds non-decreasing and not negative again, and the codes that follow from the
 * values. Errors: TDSNN_ERR_RUNTIME naming the node whose scale has left its range. */
tdsnn_status td_learner_update_codes(tdsnn_context *ctx, td_learner *learner);

/* Takes mean and variance as running ones and chooses gain and shift such that the network computes
 * what the graph does. mean, variance: [norm_channels] of what the norms read in the graph. */
void td_learner_adopt_norms(td_learner *learner, const float *mean, const float *variance);

/* The network as it stands, norms folded into weights and biases in double and rounded once.
 * Memory: td_graph_destroy. */
tdsnn_status td_learner_export(tdsnn_context *ctx, const td_learner *learner, td_graph **graph);

#endif
