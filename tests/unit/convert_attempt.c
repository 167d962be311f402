/* Conversions of random plain graphs: after bias correction the logits' means are the source's, and
 * the best of several leaks is the one whose logits are nearest. */
#include "convert/attempt.h"

#include <string.h>

#include "plain_graph.h"
#include "tap.h"

#define GRAPHS 40

static tdsnn_context *ctx;

/* The largest difference of a logit's mean over the samples, relative to the logits' rms. */
static double mean_difference(const td_calibration *c, const td_graph *coded) {
    const td_node *last = &c->source->nodes[td_graph_logits(c->source)];
    size_t outputs = td_shape_count(last->shape), count = c->samples.count;
    float *wanted = td_alloc(ctx, count * outputs, sizeof *wanted);
    float *found = td_alloc(ctx, count * outputs, sizeof *found);
    double worst = 0.0, energy = 0.0;
    if (td_plain_logits(ctx, c->source, &c->samples, wanted) != TDSNN_OK ||
        td_spiking_logits(ctx, coded, &c->samples, found) != TDSNN_OK) {
        return INFINITY;
    }
    for (size_t o = 0; o < outputs; o++) {
        double sum = 0.0;
        for (size_t s = 0; s < count; s++) {
            double x = wanted[s * outputs + o];
            sum += found[s * outputs + o] - x;
            energy += x * x;
        }
        worst = fmax(worst, fabs(sum / (double)count));
    }
    td_free(wanted);
    td_free(found);
    return worst / sqrt(energy / (double)(count * outputs));
}

/* The mean difference with and without correction, of one random graph; false if it is refused. */
static bool correct_one(uint64_t seed, bool equalise, double *without, double *with) {
    tdsnn_convert_options options = {.size = sizeof options,
                                     .steps = 5,
                                     .leak = 5.0,
                                     .input_steps = 30,
                                     .input_leak = 60.0,
                                     .calibration_samples = 24,
                                     .equalise = equalise};
    td_graph *graph = plain_graph(ctx, seed);
    tdsnn_data *data = plain_graph_data(ctx, graph, 0.0f);
    td_calibration c = {0};
    td_attempt as_it_is = {0}, corrected = {0};
    const td_node *last = &graph->nodes[td_graph_logits(graph)];
    bool made = last->op == TD_OP_INNER && last->weights != NULL &&
                td_calibration_create(ctx, graph, data, &options, &c) == TDSNN_OK;
    if (made) {
        made = td_attempt_make(ctx, &c, 5.0, &as_it_is) == TDSNN_OK;
        options.correct_biases = true;
        made = made && td_attempt_make(ctx, &c, 5.0, &corrected) == TDSNN_OK;
    }
    if (made) {
        *without = mean_difference(&c, as_it_is.coded);
        *with = mean_difference(&c, corrected.coded);
    }
    td_attempt_free(&as_it_is);
    td_attempt_free(&corrected);
    td_calibration_free(&c);
    tdsnn_data_close(data);
    td_graph_destroy(graph);
    return made;
}

static void test_correction(bool equalise) {
    double most = 0.0, most_without = 0.0;
    int graphs = 0;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        double without, with;
        if (correct_one(seed, equalise, &without, &with)) {
            most = fmax(most, with);
            most_without = fmax(most_without, without);
            graphs++;
        }
    }
    ok(graphs > GRAPHS / 2 && most < 1e-4 && most_without > 0.01,
       "%s: the logits' means differ by %.2g of their size at most once biases are corrected, by "
       "%.2g before (%d graphs)",
       equalise ? "equalised" : "as it is", most, most_without, graphs);
}

int main(void) {
    ctx = tdsnn_context_create();
    test_correction(false);
    test_correction(true);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
