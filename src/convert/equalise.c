#include "convert/equalise.h"

#include <math.h>

struct td_equaliser {
    const td_graph *graph;
    const td_placement *placement;
    const size_t *channels;    /* numbering: node i's are channels[i] .. channels[i + 1] - 1 */
    size_t *classes;           /* [channels] a channel that stands for its class */
    bool *fixed;               /* [channels] of such a channel: its class keeps factor 1 */
    bool *capped;              /* likewise: its factor is at most 1 */
    double *units;             /* [node_count] what drives of a coded node are measured in */
    td_histogram **histograms; /* [channels] of a class that is not fixed; else NULL */
};

/* ---------------------------------------------------------------------------------------- classes
 */

static size_t find_class(size_t *classes, size_t channel) {
    while (classes[channel] != channel) {
        classes[channel] = classes[classes[channel]];
        channel = classes[channel];
    }
    return channel;
}

/* Channel `first` of node a and `second` of node b share a class. */
static void join(td_equaliser *e, int a, size_t first, int b, size_t second) {
    size_t x = find_class(e->classes, e->channels[a] + first);
    size_t y = find_class(e->classes, e->channels[b] + second);
    e->classes[x < y ? y : x] = x < y ? x : y;
}

static void join_all(td_equaliser *e, int index, int input) {
    for (size_t c = 0; c < (size_t)e->graph->nodes[index].shape.c; c++) {
        join(e, index, c, input, c);
    }
}

static void join_concat(td_equaliser *e, int index) {
    const td_node *node = &e->graph->nodes[index];
    size_t first = 0;
    for (int k = 0; k < node->input_count; k++) {
        size_t count = (size_t)e->graph->nodes[node->inputs[k]].shape.c;
        for (size_t c = 0; c < count; c++) {
            join(e, index, first + c, node->inputs[k], c);
        }
        first += count;
    }
}

/* Node `flat`'s values with the channels of the picture that they are. */
static void join_flat(td_equaliser *e, int flat, int picture) {
    td_shape shape = e->graph->nodes[picture].shape;
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    for (size_t i = 0; i < td_shape_count(shape); i++) {
        join(e, flat, i, picture, i / plane);
    }
}

/* A node's channels with those of what it reads; a linear layer's begin anew. */
static void join_node(td_equaliser *e, int index) {
    const td_node *node = &e->graph->nodes[index];
    switch (node->op) {
    case TD_OP_INPUT:
    case TD_OP_CONV:
    case TD_OP_INNER:
        break;
    case TD_OP_CONCAT:
        join_concat(e, index);
        break;
    case TD_OP_FLATTEN:
        join_flat(e, index, node->inputs[0]);
        break;
    case TD_OP_UNFLATTEN:
        join_flat(e, node->inputs[0], index);
        break;
    case TD_OP_SLICE:
        for (size_t c = 0; c < (size_t)node->shape.c; c++) {
            join(e, index, c, node->inputs[0], (size_t)node->first_channel + c);
        }
        break;
    default: /* value by value, or window by window */
        for (int k = 0; k < node->input_count; k++) {
            join_all(e, index, node->inputs[k]);
        }
    }
}

static void mark(td_equaliser *e, int index, bool *marks) {
    for (size_t c = e->channels[index]; c < e->channels[index + 1]; c++) {
        marks[e->classes[c]] = true;
    }
}

static void find_classes(td_equaliser *e) {
    size_t count = e->channels[e->graph->node_count];
    for (size_t c = 0; c < count; c++) {
        e->classes[c] = c;
    }
    for (int i = 0; i < e->graph->node_count; i++) {
        join_node(e, i);
    }
    for (size_t c = 0; c < count; c++) {
        e->classes[c] = find_class(e->classes, c);
    }
    for (int i = 0; i < e->graph->node_count; i++) {
        const td_node *node = &e->graph->nodes[i];
        if (i == 0 || i >= td_graph_logits(e->graph)) {
            mark(e, i, e->fixed);
        }
        if (node->op == TD_OP_CLIP) {
            mark(e, i, node->low == 0.0f ? e->capped : e->fixed);
        }
    }
}

/* --------------------------------------------------------------------------------------- survey */

/* Drives are measured in units of their layer, so that layers which share factors count alike. */
static void choose_units(td_equaliser *e, td_histogram *const *histograms) {
    for (int i = 0; i < e->graph->node_count; i++) {
        if (e->placement->sites[i].coded) {
            float cap = e->placement->sites[i].cap;
            double unit = isinf(cap) ? td_histogram_rms(histograms[i]) : (double)cap;
            e->units[i] = unit > 0.0 ? unit : 1.0;
        }
    }
}

static void list_targets(const td_equaliser *e, td_target *targets) {
    for (int i = 0; i < e->graph->node_count; i++) {
        const td_site *site = &e->placement->sites[i];
        for (size_t c = e->channels[i]; c < e->channels[i + 1]; c++) {
            size_t class = e->classes[c];
            targets[c].histogram = e->fixed[class] ? TD_NOWHERE : class;
            targets[c].how = (td_counting){.absolute = site->negative != 0.0f,
                                           .cap = (float)(site->cap / e->units[i]),
                                           .unit = e->units[i]};
        }
    }
}

static tdsnn_status survey(tdsnn_context *ctx, td_equaliser *e, const td_samples *samples) {
    size_t count = e->channels[e->graph->node_count];
    td_target *targets = td_alloc(ctx, count, sizeof *targets);
    if (targets == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    list_targets(e, targets);
    tdsnn_status status =
        td_survey(ctx, e->graph, e->placement, samples,
                  &(td_survey_plan){e->channels, targets, count, TD_COARSE_BINS}, &e->histograms);
    td_free(targets);
    return status;
}

tdsnn_status td_equaliser_create(tdsnn_context *ctx, const td_graph *graph,
                                 const td_placement *placement, const td_samples *samples,
                                 const size_t *channels, td_histogram *const *histograms,
                                 td_equaliser **equaliser) {
    td_equaliser *e = td_alloc(ctx, 1, sizeof *e);
    if (e == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    size_t count = channels[graph->node_count];
    *e = (td_equaliser){.graph = graph, .placement = placement, .channels = channels};
    e->classes = td_alloc(ctx, count, sizeof *e->classes);
    e->fixed = td_alloc(ctx, count, sizeof *e->fixed);
    e->capped = td_alloc(ctx, count, sizeof *e->capped);
    e->units = td_alloc(ctx, (size_t)graph->node_count, sizeof *e->units);
    bool lost = e->classes == NULL || e->fixed == NULL || e->capped == NULL || e->units == NULL;
    tdsnn_status status = lost ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    if (status == TDSNN_OK) {
        find_classes(e);
        choose_units(e, histograms);
        status = survey(ctx, e, samples);
    }
    if (status != TDSNN_OK) {
        td_equaliser_destroy(e);
        return status;
    }
    *equaliser = e;
    return TDSNN_OK;
}

void td_equaliser_destroy(td_equaliser *e) {
    if (e != NULL) {
        td_histograms_free(e->histograms, e->channels[e->graph->node_count]);
        td_free(e->classes);
        td_free(e->fixed);
        td_free(e->capped);
        td_free(e->units);
        td_free(e);
    }
}

/* -------------------------------------------------------------------------------------- factors */

/* A channel whose drives ask for a scale beyond these of its layer's keeps within them: weights
 * must stay in float32. */
#define LEAST_FACTOR 0x1p-20
#define LARGEST_FACTOR 0x1p20

typedef struct fit {
    tdsnn_context *ctx;
    const td_equaliser *equaliser;
    const tdsnn_code *hidden;
    double unit_value;   /* of a spike at K, at scale 1 */
    const double *logs;  /* [channels] of a class: sum of ln(s / unit) over the layers it is in */
    const size_t *terms; /* likewise, how many */
    double *factors;     /* [channels]; of classes here */
} fit;

/* The factor of one class: the scale that its own drives ask for, over that of its layers. */
static tdsnn_status fit_class(void *arg, size_t class, int worker) {
    fit *f = arg;
    (void)worker;
    const td_histogram *h = f->equaliser->histograms[class];
    f->factors[class] = 1.0;
    if (h == NULL || td_histogram_rms(h) == 0.0) {
        return TDSNN_OK;
    }
    bool capped = f->equaliser->capped[class];
    tdsnn_code code;
    tdsnn_status status = td_fit_code(f->ctx, h, f->hidden->leak, f->hidden->steps,
                                      f->hidden->rounding, 0, capped ? 1.0f : INFINITY, &code);
    double layer = capped ? 1.0 / f->unit_value : exp(f->logs[class] / (double)f->terms[class]);
    double factor = fmin(fmax(code.scale / layer, LEAST_FACTOR), LARGEST_FACTOR);
    f->factors[class] = capped ? fmin(factor, 1.0) : factor;
    return status;
}

static tdsnn_status fit_classes(fit *f, const tdsnn_code *codes, double *logs, size_t *terms) {
    const td_equaliser *e = f->equaliser;
    size_t count = e->channels[e->graph->node_count];
    for (int i = 0; i < e->graph->node_count; i++) {
        if (e->placement->sites[i].coded) {
            for (size_t c = e->channels[i]; c < e->channels[i + 1]; c++) {
                logs[e->classes[c]] += log(codes[i].scale / e->units[i]);
                terms[e->classes[c]]++;
            }
        }
    }
    f->logs = logs;
    f->terms = terms;
    tdsnn_status status = td_parallel(f->ctx, "equalising channels", count, fit_class, f);
    for (size_t c = 0; c < count && status == TDSNN_OK; c++) {
        f->factors[c] = f->factors[e->classes[c]];
    }
    return status;
}

tdsnn_status td_equaliser_factors(tdsnn_context *ctx, const td_equaliser *equaliser,
                                  const tdsnn_code *codes, const tdsnn_code *hidden,
                                  double *factors) {
    size_t count = equaliser->channels[equaliser->graph->node_count];
    double *logs = td_alloc(ctx, count, sizeof *logs);
    size_t *terms = td_alloc(ctx, count, sizeof *terms);
    fit f = {.ctx = ctx, .equaliser = equaliser, .hidden = hidden, .factors = factors};
    f.unit_value = tdsnn_code_value(hidden, hidden->steps) / hidden->scale;
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (logs != NULL && terms != NULL) {
        status = fit_classes(&f, codes, logs, terms);
    }
    td_free(logs);
    td_free(terms);
    return status;
}

/* -------------------------------------------------------------------------------------- weights */

/* Writes the float; false if it is none. */
static bool round_once(double value, float *to) {
    *to = (float)value;
    return isfinite(*to);
}

/* w r_in / r_out and b / r_out of a linear layer. The graph is the caller's to change. */
static bool rescale_linear(const td_graph *graph, const td_node *node, const double *in,
                           const double *out) {
    size_t inputs = (size_t)graph->nodes[node->inputs[0]].shape.c, taps = 1, groups = 1;
    if (node->op == TD_OP_CONV) {
        groups = (size_t)node->groups;
        taps = (size_t)node->window.y.kernel * (size_t)node->window.x.kernel;
    }
    size_t outputs = (size_t)node->shape.c, members = inputs / groups;
    float *weight = (float *)node->weights, *bias = (float *)node->bias;
    bool finite = true;
    for (size_t o = 0; o < outputs; o++) {
        const double *group = in + o / (outputs / groups) * members;
        finite &= round_once(bias[o] / out[o], &bias[o]);
        for (size_t i = 0; i < members * taps; i++, weight++) {
            finite &= round_once(*weight * group[i / taps] / out[o], weight);
        }
    }
    return finite;
}

static bool rescale_operand(const td_node *node, const double *factors) {
    float *operand = (float *)node->operand;
    bool finite = true;
    for (int c = 0; c < node->shape.c; c++) {
        finite &= round_once(operand[c] / factors[c], &operand[c]);
    }
    return finite;
}

tdsnn_status td_rescale(tdsnn_context *ctx, td_graph *graph, const size_t *channels,
                        const double *factors) {
    for (int i = 0; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        const double *own = factors + channels[i];
        bool finite = true;
        if (node->op == TD_OP_CONV || node->op == TD_OP_INNER) {
            finite = rescale_linear(graph, node, factors + channels[node->inputs[0]], own);
        } else if (node->op == TD_OP_SUB || node->op == TD_OP_SHIFT) {
            finite = rescale_operand(node, own);
        }
        if (!finite) {
            return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                            "node '%s': equalised weights leave float32; convert without "
                            "equalisation",
                            node->name);
        }
    }
    return TDSNN_OK;
}
