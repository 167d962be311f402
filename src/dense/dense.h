/* Runs a graph densely, as the DNN it is: for source accuracy, calibration, and as an oracle. Codes
 * in the graph run too (x -> values[T(x)]), so a converted file can be run the plain way.
 * Two back ends agree to rounding: plain C, the same bits everywhere, and oneDNN, as fast as dense
 * networks get. */
#ifndef TD_DENSE_DENSE_H
#define TD_DENSE_DENSE_H

#include "graph/graph.h"

typedef enum td_dense_backend {
    TD_DENSE_BEST, /* oneDNN where it was built in */
    TD_DENSE_PLAIN,
    TD_DENSE_ONEDNN
} td_dense_backend;

typedef struct td_dense_options {
    td_dense_backend backend;
    int batch;        /* samples a run; 0: 1 */
    int threads;      /* of one run; 0: 1; plain C has always one */
    bool keep_all;    /* the values of every node can be read; otherwise those of the logits, and */
    const bool *kept; /* [node_count], NULL: none: those marked. The fewer, the faster */
} td_dense_options;

/* What running a graph takes, made once: with oneDNN its primitives, layouts and packed weights.
 * Immutable and shared by the sessions of any number of threads. The graph must outlive it; a bias
 * may change between runs, nothing else may. Errors: TDSNN_ERR_RUNTIME; TDSNN_ERR_UNSUPPORTED if
 * oneDNN is asked for and not built in. Memory: td_dense_plan_destroy. */
typedef struct td_dense_plan td_dense_plan;
tdsnn_status td_dense_plan_create(tdsnn_context *ctx, const td_graph *graph,
                                  const td_dense_options *options, td_dense_plan **plan);
void td_dense_plan_destroy(td_dense_plan *plan);

/* A session: the buffers of one thread. The plan must outlive it. */
typedef struct td_dense td_dense;
tdsnn_status td_dense_create(tdsnn_context *ctx, const td_dense_plan *plan, td_dense **session);
void td_dense_destroy(td_dense *session);

/* Bytes of the values that a session of this plan holds. */
size_t td_dense_session_bytes(const td_dense_plan *plan);

/* Runs one batch, [batch][C][H][W] of the graph's input. Never fails; where oneDNN does, every
 * value is NaN. */
void td_dense_run(td_dense *session, const float *input);

/* The same in steps, for plans that keep all: the input, then node after node from 1 on. The last
 * one may be repeated, with another bias. */
void td_dense_feed(td_dense *session, const float *input);
void td_dense_run_node(td_dense *session, int node);

/* From now on every run adds the time that each node took to seconds[node_count]; fused nodes count
 * where they are done. NULL: no longer. */
void td_dense_profile(td_dense *session, double *seconds);

/* The value of a kept node after the last run, [batch][C][H][W] of its shape; valid until the next
 * run. */
const float *td_dense_value(const td_dense *session, int node);

/* "oneDNN 2.6.3" or "plain C": what TD_DENSE_BEST is. */
const char *td_dense_backend_name(void);

/* Holds oneDNN to "scalar" (its SSE4.1 code), "avx2" or "avx512", for the whole process: only
 * before the first plan, which otherwise does so by the environment's TDSNN_CPU. Gives whether it
 * holds. */
bool td_dense_limit_isa(const char *name);

/* The widest instruction set that TD_DENSE_BEST uses here: of those above, "any" for plain C. */
const char *td_dense_isa(void);

#endif
