/* A graph compiled for oneDNN: primitives chosen once, each with the memory layout it likes best,
 * weights packed for it, activations and shortcut sums fused into the layer before them; values are
 * laid out anew only where two primitives disagree, and at the borders. As fast as a dense network
 * runs on this processor: it is the opponent that the spiking engines are measured against. What
 * oneDNN has no quick primitive for is done by plain C. */
#ifndef TD_DENSE_ONEDNN_H
#define TD_DENSE_ONEDNN_H

#include "dense/dense.h"

/* Whether it was built in; without it every create fails with TDSNN_ERR_UNSUPPORTED. */
bool td_onednn_present(void);
const char *td_onednn_name(void); /* "oneDNN 2.6.3" */

/* As in dense.h. */
bool td_onednn_limit_isa(const char *name);
const char *td_onednn_isa(void);

/* These do the work of their namesakes in dense.h. */
typedef struct td_onednn td_onednn;
tdsnn_status td_onednn_create(tdsnn_context *ctx, const td_graph *graph,
                              const td_dense_options *options, td_onednn **compiled);
void td_onednn_destroy(td_onednn *compiled);
size_t td_onednn_session_bytes(const td_onednn *compiled);

typedef struct td_onednn_session td_onednn_session;
tdsnn_status td_onednn_session_create(tdsnn_context *ctx, const td_onednn *compiled,
                                      td_onednn_session **session);
void td_onednn_session_destroy(td_onednn_session *session);
void td_onednn_feed(td_onednn_session *session, const float *input);
void td_onednn_profile(td_onednn_session *session, double *seconds);
void td_onednn_run(td_onednn_session *session);
void td_onednn_run_node(td_onednn_session *session, int node);
const float *td_onednn_value(const td_onednn_session *session, int node);

#endif
