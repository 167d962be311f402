/* Which values may stay silent: for every layer, shares of its largest value from 0 to a half are
 * weighed, what the event engine saves against what it does to the logits,
 *
 *     max over shares of  saved(share) - lambda harm (E(share) - E(0)),
 *
 * E being the squared error of the layer's code on its histogram and `harm` the squared change of
 * the logits for a unit of it, measured by silencing the layer alone. The smallest lambda whose
 * network keeps within the budget is searched by bisection. What is saved grows as lambda falls,
 * so a larger budget never silences less. */
#include "convert/silence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define SHARES 65            /* 0 and ... */
#define SHARE_STEP 0.0078125 /* ... multiples of 1/128 */
#define PROBE 0.004          /* of a layer's energy is taken off it to measure its harm */
#define RUNS 9               /* of the bisection */
#define JUDGES 2048          /* samples that answer for the budget */

/* One hidden code. */
typedef struct layer {
    int node;         /* of the source */
    tdsnn_code *code; /* in the coded graph of the attempt */
    double harm;
    double saved[SHARES], error[SHARES]; /* work; squared error, each beyond that of share 0 */
    double spikes[SHARES];
    int chosen;
} layer;

typedef struct search {
    tdsnn_context *ctx;
    const td_calibration *calibration;
    const td_attempt *base;
    double points; /* the budget */
    int layer_count;
    layer *layers;
    double *shares; /* [nodes of the source] */
    bool *reached;  /* likewise: scratch */
    td_samples judges;
    size_t outputs;
    float *wanted, *before, *logits; /* [judges][outputs]: source, base, the last network run */
    double *margins, *errors;        /* [judges] scratch */
    double expected_before, counted_before;
} search;

/* ----------------------------------------------------------------------------------------- work */

/* What a linear layer costs whose inputs are events at this density, in dense multiply-adds: where
 * lists of events would cost more, every input is taken. The constants are measured, on the layers
 * of ResNet-20 with AVX2 (docs/silence.md): the lists, and each event's handling, which more
 * outputs share. */
static double linear_work(const td_graph *graph, const td_node *node, double density) {
    double outputs = (double)node->shape.c / (node->op == TD_OP_CONV ? node->groups : 1);
    double share = 0.9 * density + 0.13 + 6.5 / outputs;
    return (double)td_node_macs(graph, node, false) * fmin(share, 1.0);
}

/* The work of all linear layers that read the code of a node, directly or through operators that
 * pass spikes on. */
static double work_behind(const search *s, int node, double density) {
    const td_graph *graph = s->calibration->source;
    const td_site *sites = s->calibration->placement.sites;
    double work = 0.0;
    memset(s->reached, 0, (size_t)graph->node_count * sizeof *s->reached);
    s->reached[node] = true;
    for (int i = node + 1; i < graph->node_count; i++) {
        const td_node *reader = &graph->nodes[i];
        bool reads = false;
        for (int k = 0; k < reader->input_count; k++) {
            reads = reads || s->reached[reader->inputs[k]];
        }
        if (!reads) {
            continue;
        }
        if (reader->op == TD_OP_CONV || reader->op == TD_OP_INNER) {
            work += linear_work(graph, reader, density);
        } else { /* sums and codes end what spikes reach */
            s->reached[i] = reader->op != TD_OP_ADD && !sites[i].coded;
        }
    }
    return work;
}

static void weigh(const search *s, layer *l) {
    const td_histogram *h = td_attempt_histogram(s->calibration, s->base, l->node);
    double values = (double)td_shape_count(s->calibration->source->nodes[l->node].shape) *
                    (double)s->calibration->samples.count;
    double work = 0.0, error = 0.0;
    for (int i = 0; i < SHARES; i++) {
        tdsnn_code code = s->base->codes[l->node];
        if (i > 0) {
            td_silence_code(&code, i * SHARE_STEP);
        }
        l->spikes[i] = td_histogram_spikes(h, &code);
        double now = work_behind(s, l->node, l->spikes[i] / values);
        double miss = td_histogram_error(h, &code).error;
        work = i == 0 ? now : work;
        error = i == 0 ? miss : error;
        l->saved[i] = work - now;
        l->error[i] = miss - error;
    }
}

/* ----------------------------------------------------------------------------------------- harm */

/* The squared difference of two networks' logits, but for that of their means. */
static double difference(const search *s, size_t count, const float *a, const float *b) {
    double sum = 0.0;
    for (size_t o = 0; o < s->outputs; o++) {
        double mean = 0.0, squares = 0.0;
        for (size_t i = 0; i < count; i++) {
            double d = (double)a[i * s->outputs + o] - b[i * s->outputs + o];
            mean += d / (double)count;
            squares += d * d;
        }
        sum += fmax(squares - mean * mean * (double)count, 0.0);
    }
    return sum;
}

/* Runs the attempt with the layer alone silenced, its other tables and all biases as they are. */
static tdsnn_status measure_harm(search *s, layer *l) {
    double energy = s->base->errors[l->node].energy;
    int share = 1;
    while (share < SHARES - 1 && l->error[share] < PROBE * energy) {
        share++;
    }
    tdsnn_code as_it_is = *l->code;
    td_silence_code(l->code, share * SHARE_STEP);
    const td_samples *samples = &s->calibration->samples;
    tdsnn_status status = td_spiking_logits(s->ctx, s->base->coded, samples, s->logits);
    *l->code = as_it_is;
    if (status == TDSNN_OK && l->error[share] > 0.0) {
        l->harm = difference(s, samples->count, s->logits, s->before) / l->error[share];
    }
    return status;
}

/* --------------------------------------------------------------------------------------- budget */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The share of changed answers to expect: every sample's error of the difference between the
 * source's two best answers is set against every sample's own difference. With n samples that is
 * n^2 pairs, so less is left to chance than in counting the few answers that changed. It does not
 * see that hard samples have the larger errors: counting does, and the worse of the two decides. */
static double expected_flips(const search *s) {
    size_t count = s->judges.count;
    for (size_t i = 0; i < count; i++) {
        const float *wanted = s->wanted + i * s->outputs, *found = s->logits + i * s->outputs;
        int best = td_prediction(wanted, (int)s->outputs), second = best == 0 ? 1 : 0;
        for (int k = 0; k < (int)s->outputs; k++) {
            second = k != best && wanted[k] > wanted[second] ? k : second;
        }
        if (s->outputs == 1) { /* above 0 or not */
            s->margins[i] = fabs((double)wanted[0]);
            s->errors[i] = s->margins[i] - (best == 1 ? 1.0 : -1.0) * (double)found[0];
            continue;
        }
        s->margins[i] = (double)wanted[best] - wanted[second];
        s->errors[i] = (double)found[second] - found[best] + s->margins[i];
    }
    qsort(s->margins, count, sizeof *s->margins, compare_doubles);
    qsort(s->errors, count, sizeof *s->errors, compare_doubles);
    double flips = 0.0;
    for (size_t i = 0, below = 0; i < count; i++) {
        while (below < count && s->margins[below] < s->errors[i]) {
            below++;
        }
        flips += (double)below;
    }
    return flips / ((double)count * (double)count);
}

/* The share of answers that did change. */
static double counted_flips(const search *s) {
    size_t flips = 0;
    for (size_t i = 0; i < s->judges.count; i++) {
        flips += td_prediction(s->wanted + i * s->outputs, (int)s->outputs) !=
                 td_prediction(s->logits + i * s->outputs, (int)s->outputs);
    }
    return (double)flips / (double)s->judges.count;
}

/* The layer's best share at this lambda; the smallest among equals. */
static int best_share(const layer *l, double lambda) {
    int best = 0;
    double most = 0.0;
    for (int i = 1; i < SHARES; i++) {
        double worth = l->saved[i] - lambda * l->harm * l->error[i];
        if (worth > most) {
            most = worth;
            best = i;
        }
    }
    return best;
}

/* Makes the network of this lambda and keeps it if it is within the budget. */
static tdsnn_status try_lambda(search *s, double lambda, td_attempt *kept, double *points,
                               bool *within) {
    for (int k = 0; k < s->layer_count; k++) {
        s->shares[s->layers[k].node] = best_share(&s->layers[k], lambda) * SHARE_STEP;
    }
    td_attempt attempt;
    tdsnn_status status = td_attempt_silence(s->ctx, s->calibration, s->base, s->shares, &attempt);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_spiking_logits(s->ctx, attempt.coded, &s->judges, s->logits);
    double expected = expected_flips(s) - s->expected_before;
    double counted = counted_flips(s) - s->counted_before;
    double loss = 100.0 * fmax(expected, counted);
    *within = status == TDSNN_OK && loss <= s->points;
    if (!*within) {
        td_attempt_free(&attempt);
        return status;
    }
    td_attempt_free(kept);
    *kept = attempt;
    *points = loss;
    for (int k = 0; k < s->layer_count; k++) {
        s->layers[k].chosen = best_share(&s->layers[k], lambda);
    }
    return TDSNN_OK;
}

/* The range beyond which lambda changes nothing; false if nothing can be saved. */
static bool lambda_range(const search *s, double *low, double *high) {
    *low = INFINITY;
    *high = 0.0;
    for (int k = 0; k < s->layer_count; k++) {
        const layer *l = &s->layers[k];
        for (int i = 1; i < SHARES; i++) {
            double price = l->harm * l->error[i];
            if (l->saved[i] > 0.0 && price > 0.0) {
                *low = fmin(*low, l->saved[i] / price);
                *high = fmax(*high, l->saved[i] / price);
            }
        }
    }
    return *high > 0.0 && isfinite(*high);
}

static tdsnn_status bisect(search *s, td_attempt *kept, double *points) {
    double low, high;
    tdsnn_status status = TDSNN_OK;
    if (!lambda_range(s, &low, &high)) {
        return TDSNN_OK;
    }
    for (int i = 0; i < RUNS && status == TDSNN_OK; i++) {
        double middle = sqrt(low) * sqrt(high);
        bool within = false;
        status = try_lambda(s, middle, kept, points, &within);
        *(within ? &high : &low) = middle;
        if (status == TDSNN_OK) {
            status = td_progress(s->ctx, "silencing", (uint64_t)i + 1, RUNS);
        }
    }
    return status;
}

/* ---------------------------------------------------------------------------------------- search
 */

/* Lists the hidden codes: those of the coded graph come in the order of the source's nodes. */
static void list_layers(search *s) {
    const td_graph *coded = s->base->coded;
    int at = 0;
    for (int i = 0; i < s->calibration->source->node_count; i++) {
        if (!s->calibration->placement.sites[i].coded) {
            continue;
        }
        while (coded->nodes[at].op != TD_OP_CODE) {
            at++;
        }
        if (i > 0) { /* not the input's */
            s->layers[s->layer_count++] =
                (layer){.node = i, .code = (tdsnn_code *)coded->nodes[at].code};
        }
        at++;
    }
}

static tdsnn_status allocate(search *s) {
    size_t nodes = (size_t)s->calibration->source->node_count, judges = s->judges.count;
    size_t count = 0;
    s->outputs = td_shape_count(
        s->calibration->source->nodes[td_graph_logits(s->calibration->source)].shape);
    if (!td_size_mul(judges, s->outputs, &count)) {
        count = SIZE_MAX; /* which no allocation grants */
    }
    s->layers = td_alloc(s->ctx, nodes, sizeof *s->layers);
    s->shares = td_alloc(s->ctx, nodes, sizeof *s->shares);
    s->reached = td_alloc(s->ctx, nodes, sizeof *s->reached);
    s->wanted = td_alloc(s->ctx, count, sizeof *s->wanted);
    s->before = td_alloc(s->ctx, count, sizeof *s->before);
    s->logits = td_alloc(s->ctx, count, sizeof *s->logits);
    s->margins = td_alloc(s->ctx, judges, sizeof *s->margins);
    s->errors = td_alloc(s->ctx, judges, sizeof *s->errors);
    bool all = s->layers != NULL && s->shares != NULL && s->reached != NULL && s->wanted != NULL &&
               s->before != NULL && s->logits != NULL && s->margins != NULL && s->errors != NULL;
    return all ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

static void release(search *s) {
    td_free(s->layers);
    td_free(s->shares);
    td_free(s->reached);
    td_free(s->wanted);
    td_free(s->before);
    td_free(s->logits);
    td_free(s->margins);
    td_free(s->errors);
    td_samples_free(&s->judges);
}

/* Source and base on the judges, what each layer's shares save and what they do. */
static tdsnn_status prepare(search *s) {
    const td_calibration *c = s->calibration;
    tdsnn_status status = td_plain_logits(s->ctx, c->source, &s->judges, s->wanted);
    if (status == TDSNN_OK) {
        status = td_spiking_logits(s->ctx, s->base->coded, &s->judges, s->logits);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    s->expected_before = expected_flips(s);
    s->counted_before = counted_flips(s);
    size_t count = s->judges.count * s->outputs;
    memcpy(s->before, s->logits, count * sizeof *s->before);
    list_layers(s);
    for (int k = 0; k < s->layer_count && status == TDSNN_OK; k++) {
        weigh(s, &s->layers[k]);
        status = measure_harm(s, &s->layers[k]);
    }
    return status;
}

static double spikes(const search *s, bool after) {
    double sum = 0.0;
    for (int k = 0; k < s->layer_count; k++) {
        sum += s->layers[k].spikes[after ? s->layers[k].chosen : 0];
    }
    return sum / (double)s->calibration->samples.count;
}

tdsnn_status td_silence(tdsnn_context *ctx, const td_calibration *calibration, double points,
                        td_attempt *attempt, td_silencing *result) {
    search s = {.ctx = ctx, .calibration = calibration, .base = attempt, .points = points};
    const tdsnn_convert_options *o = calibration->options;
    size_t judges = o->calibration_samples < JUDGES ? JUDGES : o->calibration_samples;
    td_attempt kept = {0};
    td_silencing r = {0};
    /* the calibration samples come first: the same draw, continued */
    tdsnn_status status =
        td_samples_draw(ctx, calibration->samples.data, judges, o->seed, &s.judges);
    status = status != TDSNN_OK ? status : allocate(&s);
    status = status != TDSNN_OK ? status : prepare(&s);
    status = status != TDSNN_OK ? status : bisect(&s, &kept, &r.points);
    if (status == TDSNN_OK) {
        r.samples = s.judges.count;
        r.spikes_before = spikes(&s, false);
        r.spikes_after = spikes(&s, true);
        *result = r;
    }
    release(&s);
    if (kept.coded != NULL && status == TDSNN_OK) {
        kept.histograms = attempt->histograms;
        attempt->histograms = NULL;
        td_attempt_free(attempt);
        *attempt = kept;
    } else {
        td_attempt_free(&kept);
    }
    return status;
}
