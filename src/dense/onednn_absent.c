/* What onednn.h and the gradients are in builds without oneDNN: nothing is ever created. */
#include "dense/onednn.h"

#include "dense/linear_passes.h"

bool td_onednn_present(void) {
    return false;
}

const char *td_onednn_name(void) {
    return "no oneDNN";
}

bool td_onednn_limit_isa(const char *name) {
    (void)name;
    return false;
}

const char *td_onednn_isa(void) {
    return "any";
}

tdsnn_status td_onednn_create(tdsnn_context *ctx, const td_graph *graph,
                              const td_dense_options *options, td_onednn **compiled) {
    (void)graph;
    (void)options;
    (void)compiled;
    return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                    "this tdsnn was built without oneDNN: install libdnnl-dev and build again");
}

void td_onednn_destroy(td_onednn *compiled) {
    (void)compiled;
}

size_t td_onednn_session_bytes(const td_onednn *compiled) {
    (void)compiled;
    return 0;
}

tdsnn_status td_onednn_session_create(tdsnn_context *ctx, const td_onednn *compiled,
                                      td_onednn_session **session) {
    (void)compiled;
    return td_onednn_create(ctx, NULL, NULL, (td_onednn **)session);
}

void td_onednn_session_destroy(td_onednn_session *session) {
    (void)session;
}

void td_onednn_feed(td_onednn_session *session, const float *input) {
    (void)session;
    (void)input;
}

void td_onednn_run(td_onednn_session *session) {
    (void)session;
}

void td_onednn_run_node(td_onednn_session *session, int node) {
    (void)session;
    (void)node;
}

const float *td_onednn_value(const td_onednn_session *session, int node) {
    (void)session;
    (void)node;
    return NULL;
}

void td_onednn_profile(td_onednn_session *session, double *seconds) {
    (void)session;
    (void)seconds;
}

tdsnn_status td_onednn_linear_create(tdsnn_context *ctx, const td_linear_geometry *geometry,
                                     td_onednn_linear **linear) {
    (void)geometry;
    (void)linear;
    return td_onednn_create(ctx, NULL, NULL, NULL);
}

void td_onednn_linear_destroy(td_onednn_linear *linear) {
    (void)linear;
}

bool td_onednn_linear_has(const td_onednn_linear *linear, td_pass pass) {
    (void)linear;
    (void)pass;
    return false;
}

bool td_onednn_linear_run(td_onednn_linear *linear, td_pass pass, const td_linear_arrays *arrays) {
    (void)linear;
    (void)pass;
    (void)arrays;
    return false;
}
