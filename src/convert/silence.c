/* Which values may stay silent: for every layer, shares of its largest value from 0 to a half are
 * weighed, the work that the event engine saves against what it does to the logits: harm times the
 * squared error of the layer's code on its histogram, `harm` being the squared change of the logits
 * for a unit of it, measured by silencing the layer alone. Along the upper hull of the two, what a
 * unit of the one costs in the other only grows. The steps of all layers, the cheapest first, are
 * one path; how far the budget lets it go is searched by bisection. Every network of it silences
 * all that those before it do, so a larger budget never silences less. */
#include "convert/silence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define SHARES 65            /* 0 and ... */
#define SHARE_STEP 0.0078125 /* ... multiples of 1/128 */
#define PROBE 0.004          /* of a layer's energy is taken off it to measure its harm */
#define JUDGES 2048          /* samples that answer for the budget */

/* One hidden code. */
typedef struct layer {
    int node; /* of the source */
    double harm;
    double saved[SHARES], error[SHARES]; /* work; squared error, each beyond that of share 0 */
    double spikes[SHARES];
    int share, chosen; /* of the network under way; of the one kept */
} layer;

/* A layer's share raised by one. */
typedef struct step {
    double worth; /* work saved for a unit of change of the logits */
    int layer, share;
} step;

typedef struct search {
    tdsnn_context *ctx;
    const td_calibration *calibration;
    const td_attempt *base;
    double points; /* the budget */
    int layer_count;
    layer *layers;
    int step_count;
    step *steps;
    double *shares; /* [nodes of the source] */
    bool *reached;  /* likewise: scratch */
    td_samples judges;
    size_t outputs;
    float *wanted, *before, *logits; /* [judges][outputs]: source, base, the last network run */
    int *right;                      /* [judges] labels, or the source's answers without them */
    double *margins, *errors;        /* [judges] scratch */
    double expected_before, counted_before;
} search;

/* ----------------------------------------------------------------------------------------- work */

/* What a linear layer costs whose inputs are events at this density, in dense multiply-adds: where
 * lists of events would cost more, every input is taken. The constants are measured, on the layers
 * of ResNet-20 with AVX2 (docs/silence.md): finding events and runs, and each event's handling,
 * which more outputs share. */
static double linear_work(const td_graph *graph, const td_node *node, double density) {
    double outputs = (double)node->shape.c / (node->op == TD_OP_CONV ? node->groups : 1);
    double share = (0.93 + 2.9 / outputs) * density + 0.06 + 6.7 / outputs;
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

/* Runs the network with the layer alone silenced, its biases corrected anew: what that takes away,
 * a shift of whole channels, is the larger part of the change without. */
static tdsnn_status measure_harm(search *s, layer *l) {
    double energy = s->base->errors[l->node].energy;
    int share = 1;
    while (share < SHARES - 1 && l->error[share] < PROBE * energy) {
        share++;
    }
    const td_samples *samples = &s->calibration->samples;
    td_attempt attempt;
    memset(s->shares, 0, (size_t)s->calibration->source->node_count * sizeof *s->shares);
    s->shares[l->node] = share * SHARE_STEP;
    tdsnn_status status = td_attempt_silence(s->ctx, s->calibration, s->base, s->shares, &attempt);
    s->shares[l->node] = 0.0;
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_spiking_logits(s->ctx, attempt.coded, samples, s->logits);
    td_attempt_free(&attempt);
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

/* The labels where every judge has one that the network can answer, else the source's answers. */
static tdsnn_status find_right(search *s) {
    tdsnn_data_info info = tdsnn_data_get_info(s->judges.data);
    bool labelled = info.labelled && s->outputs > 1 && (size_t)info.classes <= s->outputs;
    float *values =
        td_alloc(s->ctx, td_shape_count(s->calibration->source->nodes[0].shape), sizeof *values);
    tdsnn_status status = values != NULL ? TDSNN_OK : TDSNN_ERR_RUNTIME;
    for (size_t i = 0; i < s->judges.count && status == TDSNN_OK; i++) {
        s->right[i] = td_prediction(s->wanted + i * s->outputs, (int)s->outputs);
        if (labelled) {
            status =
                tdsnn_data_read(s->ctx, s->judges.data, s->judges.indices[i], values, &s->right[i]);
        }
    }
    td_free(values);
    return status;
}

/* The share of wrong answers to expect: every sample's error of the difference between the right
 * answer and the source's best other one is set against every sample's own difference. With n
 * samples that is n^2 pairs, so less is left to chance than in counting the few answers that
 * changed. It does not see that hard samples have the larger errors: counting does, and the worse
 * of the two decides. */
static double expected_wrong(const search *s) {
    size_t count = s->judges.count;
    for (size_t i = 0; i < count; i++) {
        const float *wanted = s->wanted + i * s->outputs, *found = s->logits + i * s->outputs;
        int best = s->right[i], second = best == 0 ? 1 : 0;
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
    double wrong = 0.0;
    for (size_t i = 0, below = 0; i < count; i++) {
        while (below < count && s->margins[below] < s->errors[i]) {
            below++;
        }
        wrong += (double)below;
    }
    return wrong / ((double)count * (double)count);
}

/* The share of answers that are wrong. */
static double counted_wrong(const search *s) {
    size_t wrong = 0;
    for (size_t i = 0; i < s->judges.count; i++) {
        wrong += td_prediction(s->logits + i * s->outputs, (int)s->outputs) != s->right[i];
    }
    return (double)wrong / (double)s->judges.count;
}

/* ----------------------------------------------------------------------------------------- path */

/* The work that a unit of change saves from one share to a larger one. */
static double worth_of(const layer *l, int from, int to) {
    double price = l->harm * (l->error[to] - l->error[from]);
    double saved = l->saved[to] - l->saved[from];
    return saved <= 0.0 ? 0.0 : price <= 0.0 ? INFINITY : saved / price;
}

/* Adds the layer's steps, along the hull; those that silence nothing are none. */
static void add_steps(search *s, int index) {
    const layer *l = &s->layers[index];
    for (int from = 0, to; from < SHARES - 1; from = to) {
        double most = 0.0;
        to = from;
        for (int i = from + 1; i < SHARES; i++) {
            double worth = worth_of(l, from, i);
            if (worth > most) {
                most = worth;
                to = i;
            }
        }
        if (to == from) {
            break;
        }
        for (int i = from + 1; i <= to; i++) {
            if (l->spikes[i] < l->spikes[i - 1]) {
                s->steps[s->step_count++] = (step){most, index, i};
            }
        }
    }
}

static int compare_steps(const void *a, const void *b) {
    const step *x = a, *y = b;
    return x->worth != y->worth   ? (x->worth < y->worth) - (x->worth > y->worth)
           : x->layer != y->layer ? (x->layer > y->layer) - (x->layer < y->layer)
                                  : (x->share > y->share) - (x->share < y->share);
}

static void lay_path(search *s) {
    for (int k = 0; k < s->layer_count; k++) {
        add_steps(s, k);
    }
    qsort(s->steps, (size_t)s->step_count, sizeof *s->steps, compare_steps);
}

/* Makes the network after so many steps and keeps it if it is within the budget. */
static tdsnn_status try_steps(search *s, int count, td_attempt *kept, double *points,
                              bool *within) {
    for (int k = 0; k < s->layer_count; k++) {
        s->layers[k].share = 0;
    }
    for (int i = 0; i < count; i++) { /* a layer's steps go upwards */
        s->layers[s->steps[i].layer].share = s->steps[i].share;
    }
    for (int k = 0; k < s->layer_count; k++) {
        s->shares[s->layers[k].node] = s->layers[k].share * SHARE_STEP;
    }
    td_attempt attempt;
    tdsnn_status status = td_attempt_silence(s->ctx, s->calibration, s->base, s->shares, &attempt);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_spiking_logits(s->ctx, attempt.coded, &s->judges, s->logits);
    double expected = expected_wrong(s) - s->expected_before;
    double counted = counted_wrong(s) - s->counted_before;
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
        s->layers[k].chosen = s->layers[k].share;
    }
    return TDSNN_OK;
}

static tdsnn_status bisect(search *s, td_attempt *kept, double *points) {
    int low = 0, high = s->step_count + 1; /* within the budget; beyond it or the path's end */
    uint64_t runs = 0, all = 0;
    for (int width = high; width > 1; width = (width + 1) / 2) {
        all++;
    }
    tdsnn_status status = TDSNN_OK;
    while (high - low > 1 && status == TDSNN_OK) {
        int middle = low + (high - low) / 2;
        bool within = false;
        status = try_steps(s, middle, kept, points, &within);
        *(within ? &low : &high) = middle;
        if (status == TDSNN_OK) {
            runs++;
            status = td_progress(s->ctx, "silencing", runs < all ? runs : all, all);
        }
    }
    return status;
}

/* ---------------------------------------------------------------------------------------- search
 */

/* Lists the hidden codes; node 0 has the input's. */
static void list_layers(search *s) {
    for (int i = 1; i < s->calibration->source->node_count; i++) {
        if (s->calibration->placement.sites[i].coded) {
            s->layers[s->layer_count++] = (layer){.node = i};
        }
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
    s->steps = td_alloc(s->ctx, nodes * (SHARES - 1), sizeof *s->steps);
    s->shares = td_alloc(s->ctx, nodes, sizeof *s->shares);
    s->reached = td_alloc(s->ctx, nodes, sizeof *s->reached);
    s->wanted = td_alloc(s->ctx, count, sizeof *s->wanted);
    s->before = td_alloc(s->ctx, count, sizeof *s->before);
    s->logits = td_alloc(s->ctx, count, sizeof *s->logits);
    s->right = td_alloc(s->ctx, judges, sizeof *s->right);
    s->margins = td_alloc(s->ctx, judges, sizeof *s->margins);
    s->errors = td_alloc(s->ctx, judges, sizeof *s->errors);
    bool all = s->layers != NULL && s->steps != NULL && s->right != NULL && s->shares != NULL &&
               s->reached != NULL && s->wanted != NULL && s->before != NULL && s->logits != NULL &&
               s->margins != NULL && s->errors != NULL;
    return all ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

static void release(search *s) {
    td_free(s->layers);
    td_free(s->steps);
    td_free(s->shares);
    td_free(s->reached);
    td_free(s->wanted);
    td_free(s->before);
    td_free(s->logits);
    td_free(s->right);
    td_free(s->margins);
    td_free(s->errors);
    td_samples_free(&s->judges);
}

/* Source and base on the judges, what each layer's shares save and what they do. */
static tdsnn_status prepare(search *s) {
    const td_calibration *c = s->calibration;
    tdsnn_status status = td_plain_logits(s->ctx, c->source, &s->judges, s->wanted);
    if (status == TDSNN_OK) {
        status = find_right(s);
    }
    if (status == TDSNN_OK) {
        status = td_spiking_logits(s->ctx, s->base->coded, &s->judges, s->logits);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    s->expected_before = expected_wrong(s);
    s->counted_before = counted_wrong(s);
    size_t count = s->judges.count * s->outputs;
    memcpy(s->before, s->logits, count * sizeof *s->before);
    list_layers(s);
    for (int k = 0; k < s->layer_count && status == TDSNN_OK; k++) {
        weigh(s, &s->layers[k]);
        status = measure_harm(s, &s->layers[k]);
    }
    lay_path(s);
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
