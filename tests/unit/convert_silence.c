/* Silence for a budget, on random plain graphs: the budget is kept, more of it never silences less,
 * and what comes out is proved as any other network. */
#include <tdsnn/convert.h>
#include <tdsnn/verify.h>

#include <stdlib.h>
#include <string.h>

#include "convert/samples.h"
#include "engine/engine.h"
#include "network/model.h"
#include "plain_graph.h"
#include "scratch.h"
#include "tap.h"

#define GRAPHS 8
#define BUDGETS 5

static const double budgets[BUDGETS] = {0.01, 1.0, 4.0, 16.0, 100.0};
static tdsnn_context *ctx;

typedef struct made {
    tdsnn_model *model;
    tdsnn_convert_report *report;
} made;

static bool convert(const tdsnn_model *source, const tdsnn_data *data, double points, bool finish,
                    made *m) {
    tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
    o.steps = 12;
    o.equalise = o.correct_biases = finish;
    o.silence_points = points;
    *m = (made){NULL, NULL};
    return tdsnn_convert(ctx, source, data, &o, &m->model, &m->report) == TDSNN_OK;
}

static void drop(made *m) {
    tdsnn_convert_report_free(m->report);
    tdsnn_model_destroy(m->model);
}

/* Percentage of pairs of samples (i, j) where i's error of the source's best answer less its second
 * exceeds j's difference of the two: by brute force what the search promises to limit.
 * *counted: the percentage of answers that are not the source's. */
static double flips(const td_graph *source, const td_graph *coded, const td_samples *samples,
                    double *counted) {
    size_t outputs = td_shape_count(source->nodes[td_graph_logits(source)].shape);
    size_t n = samples->count, changed = 0, answers = 0;
    float *wanted = td_alloc(ctx, n * outputs, sizeof *wanted);
    float *found = td_alloc(ctx, n * outputs, sizeof *found);
    double *margins = td_alloc(ctx, n, sizeof *margins), *errors = td_alloc(ctx, n, sizeof *errors);
    if (td_plain_logits(ctx, source, samples, wanted) != TDSNN_OK ||
        td_spiking_logits(ctx, coded, samples, found) != TDSNN_OK) {
        return INFINITY;
    }
    for (size_t s = 0; s < n; s++) {
        const float *w = wanted + s * outputs, *f = found + s * outputs;
        size_t best = (size_t)td_prediction(w, (int)outputs), second = best == 0;
        answers += (size_t)td_prediction(f, (int)outputs) != best;
        for (size_t k = 0; k < outputs; k++) {
            second = k != best && w[k] > w[second] ? k : second;
        }
        margins[s] = (double)w[best] - w[second];
        errors[s] = margins[s] - ((double)f[best] - f[second]);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            changed += errors[i] > margins[j];
        }
    }
    td_free(wanted);
    td_free(found);
    td_free(margins);
    td_free(errors);
    *counted = 100.0 * (double)answers / (double)n;
    return 100.0 * (double)changed / (double)(n * n);
}

static bool proved(const tdsnn_model *model, const tdsnn_data *data) {
    tdsnn_verify_options o = TDSNN_VERIFY_OPTIONS_INIT;
    tdsnn_verify_result *result = NULL;
    o.limit = 1;
    bool passed = tdsnn_verify(ctx, model, data, &o, &result) == TDSNN_OK && result->passed;
    tdsnn_verify_result_free(result);
    return passed;
}

static bool round_trip(const tdsnn_model *model) {
    const char *path = scratch_path("silenced.onnx");
    tdsnn_model *read = NULL;
    bool same = tdsnn_model_save(ctx, model, path, true) == TDSNN_OK &&
                tdsnn_model_load(ctx, path, &read) == TDSNN_OK &&
                td_graph_equal(read->graph, model->graph);
    tdsnn_model_destroy(read);
    return same;
}

/* What was seen over all graphs. */
typedef struct tally {
    int graphs, silenced, partly, over_budget, fewer, unproved, changed_by_nothing, not_read_back;
} tally;

static void look(const td_graph *source, const made *plain, const made *silenced,
                 const made *before, double points, const td_samples *samples, tally *t) {
    const tdsnn_convert_report *r = silenced->report;
    double counted, counted_before;
    double expected = flips(source, silenced->model->graph, samples, &counted) -
                      flips(source, plain->model->graph, samples, &counted_before);
    double loss = fmax(expected, counted - counted_before);
    bool changed = r->spikes_after < r->spikes_before;
    t->silenced += changed;
    t->partly += changed && points < 100.0;
    t->over_budget += changed && (loss > points + 1e-9 || fabs(loss - r->silence_loss) > 1e-9);
    t->changed_by_nothing +=
        !changed && !td_graph_equal(silenced->model->graph, plain->model->graph);
    if (before->report != NULL) {
        t->fewer += r->spikes_after > before->report->spikes_after;
        for (int i = 0; i < r->layer_count; i++) {
            t->fewer += r->layers[i].first_threshold < before->report->layers[i].first_threshold;
        }
    }
}

static void run_graph(uint64_t seed, tally *t) {
    tdsnn_model *source = NULL;
    td_model_create(ctx, plain_graph(ctx, seed), "random.onnx", &source);
    tdsnn_data *data = plain_graph_data(ctx, source->graph, 0.0f);
    bool finish = seed % 2 == 0;
    made plain, before = {NULL, NULL};
    td_samples samples = {0};
    if (convert(source, data, 0.0, finish, &plain) &&
        td_samples_draw(ctx, data, 1024, 0, &samples) == TDSNN_OK) {
        for (int b = 0; b < BUDGETS; b++) {
            made m;
            if (!convert(source, data, budgets[b], finish, &m)) { /* one output */
                break;
            }
            t->graphs += b == 0;
            look(source->graph, &plain, &m, &before, budgets[b], &samples, t);
            t->unproved += !proved(m.model, data);
            t->not_read_back += !round_trip(m.model);
            drop(&before);
            before = m;
        }
    }
    drop(&before);
    drop(&plain);
    td_samples_free(&samples);
    tdsnn_data_close(data);
    tdsnn_model_destroy(source);
}

static void test_budgets(void) {
    tally t = {0};
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        run_graph(seed, &t);
    }
    ok(t.graphs > GRAPHS / 2 && t.silenced > t.graphs && t.partly > t.graphs / 2,
       "%d graphs, %d of %d budgets silence something, %d of them small ones", t.graphs, t.silenced,
       t.graphs * BUDGETS, t.partly);
    ok(t.over_budget == 0, "the budget is kept, and the loss is the one reported: %d are not",
       t.over_budget);
    ok(t.fewer == 0, "more budget never silences less: %d times it does", t.fewer);
    ok(t.changed_by_nothing == 0, "what silences nothing changes nothing");
    ok(t.unproved == 0, "verify passes: %d do not", t.unproved);
    ok(t.not_read_back == 0, "files give the same network: %d do not", t.not_read_back);
}

static void refused(const tdsnn_model *source, const tdsnn_data *data, tdsnn_convert_options o,
                    const char *word) {
    tdsnn_model *model = NULL;
    ok(tdsnn_convert(ctx, source, data, &o, &model, NULL) == TDSNN_ERR_USAGE &&
           strstr(tdsnn_last_error(ctx), word) != NULL,
       "refused: %s", tdsnn_last_error(ctx));
}

static void test_options(void) {
    tdsnn_model *source = NULL;
    td_model_create(ctx, plain_graph(ctx, 3), "random.onnx", &source);
    tdsnn_data *data = plain_graph_data(ctx, source->graph, 0.0f);
    tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
    o.steps = 7;
    o.silence_points = -1.0;
    refused(source, data, o, "points");
    o.silence_points = 1.0;
    o.silence = 0.1;
    refused(source, data, o, "give one");
    o.silence = 0.0;
    o.offset = 1;
    refused(source, data, o, "offset 0");
    tdsnn_data_close(data);
    tdsnn_model_destroy(source);
}

int main(void) {
    ctx = tdsnn_context_create();
    test_budgets();
    test_options();
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
