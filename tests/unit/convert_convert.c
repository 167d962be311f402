/* The public call: the leak it searches is the best of those it tried, what options do not go
 * together, and what the report says. */
#include <tdsnn/convert.h>

#include <string.h>

#include "network/model.h"
#include "plain_graph.h"
#include "tap.h"

static tdsnn_context *ctx;

/* Any random graph that converts, as a model. */
static tdsnn_model *make_model(uint64_t seed) {
    tdsnn_model *model = NULL;
    td_model_create(ctx, plain_graph(ctx, seed), "random.onnx", &model);
    return model;
}

static tdsnn_status convert(const tdsnn_model *source, const tdsnn_data *data, double leak,
                            tdsnn_model **converted, tdsnn_convert_report **report) {
    tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
    o.steps = 7;
    o.leak = leak;
    o.equalise = o.correct_biases = true;
    return tdsnn_convert(ctx, source, data, &o, converted, report);
}

static void test_leak_search(void) {
    tdsnn_model *source = make_model(3), *searched = NULL, *given = NULL;
    tdsnn_data *data = plain_graph_data(ctx, source->graph, 0.0f);
    tdsnn_convert_report *report = NULL, *other = NULL;
    tdsnn_status status = convert(source, data, TDSNN_LEAK_AUTO, &searched, &report);
    ok(status == TDSNN_OK && report->trial_count == 5, "five leaks are tried %s",
       tdsnn_last_error(ctx));
    if (status != TDSNN_OK) {
        return;
    }
    double least = INFINITY, best = 0.0, most = 0.0;
    for (int i = 0; i < report->trial_count; i++) {
        const tdsnn_leak_trial *trial = &report->trials[i];
        printf("# leak %g: %g\n", trial->leak, trial->logit_error);
        best = trial->logit_error < least ? trial->leak : best;
        least = fmin(least, trial->logit_error);
        most = fmax(most, trial->logit_error);
    }
    ok(report->leak == best && least < most, "the one of least error is taken: %g", report->leak);
    ok(convert(source, data, best, &given, &other) == TDSNN_OK && other->trial_count == 1 &&
           other->trials[0].logit_error == least && td_graph_equal(searched->graph, given->graph),
       "and gives the network that it gives when it is named");
    tdsnn_convert_report_free(report);
    tdsnn_convert_report_free(other);
    tdsnn_model_destroy(searched);
    tdsnn_model_destroy(given);
    tdsnn_model_destroy(source);
    tdsnn_data_close(data);
}

static void test_threads(void) {
    tdsnn_model *source = make_model(4), *made[2] = {NULL, NULL};
    tdsnn_data *data = plain_graph_data(ctx, source->graph, 0.0f);
    for (int t = 0; t < 2; t++) {
        tdsnn_context *own = tdsnn_context_create();
        tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
        o.steps = 7;
        o.equalise = o.correct_biases = true;
        tdsnn_set_threads(own, t == 0 ? 1 : 4);
        tdsnn_convert(own, source, data, &o, &made[t], NULL);
        tdsnn_context_destroy(own);
    }
    ok(made[0] != NULL && made[1] != NULL && td_graph_equal(made[0]->graph, made[1]->graph),
       "one thread and four make the same network, bit for bit");
    tdsnn_model_destroy(made[0]);
    tdsnn_model_destroy(made[1]);
    tdsnn_model_destroy(source);
    tdsnn_data_close(data);
}

static void test_options(void) {
    tdsnn_model *source = make_model(3), *converted = NULL;
    tdsnn_data *data = plain_graph_data(ctx, source->graph, 0.0f);
    tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
    o.steps = 7;
    o.equalise = true;
    o.offset = 1;
    ok(tdsnn_convert(ctx, source, data, &o, &converted, NULL) == TDSNN_ERR_USAGE &&
           strstr(tdsnn_last_error(ctx), "offset 1") != NULL,
       "offset 1 cannot be equalised: %s", tdsnn_last_error(ctx));
    tdsnn_model_destroy(source);
    tdsnn_data_close(data);
}

int main(void) {
    ctx = tdsnn_context_create();
    test_leak_search();
    test_threads();
    test_options();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
