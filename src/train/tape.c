#include "train/tape.h"

#include <math.h>
#include <string.h>

#include "dense/linear.h"
#include "train/codes.h"
#include "train/loops.h"
#include "train/norm.h"
#include "train/operators.h"

/* One node's part of the tape. Values and gradients lie channels last, [samples][H][W][C]. */
typedef struct cell {
    float *value;
    float *gradient;          /* NULL where nothing before the node is trained */
    bool filled;              /* a gradient has arrived, others are added to it */
    float *raw;               /* what a norm reads; on the way back its gradient */
    td_linear *linear;        /* CONV, INNER */
    float *factors, *offsets; /* [C] of SUB, DIV, MUL, SHIFT, and of norms */
    int32_t *chosen;          /* MAXPOOL */
    td_coder coder;           /* CODE */
    double weight;            /* of one of its neurons in the cost of spikes */
} cell;

struct td_tape {
    const td_learner *learner;
    const td_graph *graph;
    int samples, logits; /* the node that gives them */
    const td_kernels *kernels;
    td_arena *arena;
    cell *cells;            /* [node_count] */
    float *mean, *variance; /* [norm_channels] */
    float *outputs;         /* the logits, channels first */
    float *scratch;         /* the largest value */
    unsigned char *coder_scratch;
    double *thresholds; /* [TDSNN_MAX_STEPS] */
    uint64_t spikes, neurons;
};

static size_t values_of(const td_tape *t, int node) {
    return (size_t)t->samples * td_shape_count(t->graph->nodes[node].shape);
}

static size_t pixels_of(const td_tape *t, int node) {
    td_shape shape = t->graph->nodes[node].shape;
    return (size_t)t->samples * (size_t)shape.h * (size_t)shape.w;
}

/* ------------------------------------------------------------------------------------ allocation
 */

/* Multiply-adds behind a node's values, up to the next neurons. */
static double fan_out(const td_graph *graph, int index) {
    double macs = 0.0;
    for (int i = index + 1; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] != index || node->op == TD_OP_CODE) {
                continue;
            }
            if (node->op == TD_OP_CONV || node->op == TD_OP_INNER) {
                macs += (double)td_node_macs(graph, node, false);
            } else {
                double part = node->op == TD_OP_CONCAT
                                  ? (double)graph->nodes[index].shape.c / node->shape.c
                                  : 1.0;
                macs += part * fan_out(graph, i);
            }
        }
    }
    return macs;
}

static bool is_hidden_code(const td_tape *t, int index) {
    return t->graph->nodes[index].op == TD_OP_CODE && t->learner->moves[index];
}

static double neurons_of(const td_tape *t, int index) {
    const td_node *node = &t->graph->nodes[index];
    return (double)td_shape_count(node->shape) * (node->negative != 0.0f ? 2.0 : 1.0);
}

/* A neuron's weight in the cost of spikes: half by number, half by synapses; all together 1. */
static void weigh_neurons(td_tape *t) {
    double neurons = 0.0, synapses = 0.0;
    for (int i = 0; i < t->graph->node_count; i++) {
        if (is_hidden_code(t, i)) {
            t->cells[i].weight = fan_out(t->graph, i);
            neurons += neurons_of(t, i);
            synapses += t->cells[i].weight;
        }
    }
    for (int i = 0; i < t->graph->node_count; i++) {
        if (is_hidden_code(t, i)) {
            double share = synapses > 0.0 ? t->cells[i].weight / synapses : 0.0;
            t->cells[i].weight = 0.5 / neurons + 0.5 * share / neurons_of(t, i);
        }
    }
    t->neurons = (uint64_t)(neurons * t->samples);
}

static float *floats(td_tape *t, size_t count) {
    size_t with_margin;
    return td_size_add(count, TD_SPARE, &with_margin)
               ? td_arena_alloc(t->arena, with_margin, sizeof(float))
               : NULL;
}

static tdsnn_status add_affine(td_tape *t, cell *here, const td_node *node) {
    size_t channels = (size_t)node->shape.c;
    here->factors = floats(t, channels);
    here->offsets = floats(t, channels);
    if (here->factors == NULL || here->offsets == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t c = 0; c < channels; c++) {
        float operand = node->operand[c];
        here->factors[c] = node->op == TD_OP_DIV   ? 1.0f / operand
                           : node->op == TD_OP_MUL ? operand
                                                   : 1.0f;
        here->offsets[c] = node->op == TD_OP_SUB     ? -operand
                           : node->op == TD_OP_SHIFT ? operand
                                                     : 0.0f;
    }
    return TDSNN_OK;
}

static tdsnn_status add_linear(tdsnn_context *ctx, td_tape *t, int index,
                               td_dense_backend backend) {
    const td_node *node = &t->graph->nodes[index];
    cell *here = &t->cells[index];
    if (t->learner->norms[index] != TD_ABSENT) {
        here->raw = floats(t, values_of(t, index));
        here->factors = floats(t, (size_t)node->shape.c);
        here->offsets = floats(t, (size_t)node->shape.c);
        if (here->raw == NULL || here->factors == NULL || here->offsets == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return td_linear_create(ctx, node, t->graph->nodes[node->inputs[0]].shape, t->samples, backend,
                            &here->linear);
}

static tdsnn_status add_own(tdsnn_context *ctx, td_tape *t, int index, td_dense_backend backend) {
    const td_node *node = &t->graph->nodes[index];
    cell *here = &t->cells[index];
    switch (node->op) {
    case TD_OP_CONV:
    case TD_OP_INNER:
        return add_linear(ctx, t, index, backend);
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        return add_affine(t, here, node);
    case TD_OP_MAXPOOL:
        here->chosen = td_arena_alloc(t->arena, values_of(t, index), sizeof *here->chosen);
        return here->chosen == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    case TD_OP_INPUT:
    case TD_OP_ADD:
    case TD_OP_RELU:
    case TD_OP_CLIP:
    case TD_OP_LEAKY:
    case TD_OP_CODE:
    case TD_OP_AVGPOOL:
    case TD_OP_CONCAT:
    case TD_OP_SLICE:
    case TD_OP_FLATTEN:
    case TD_OP_UNFLATTEN:
        return TDSNN_OK;
    default:
        return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                        "'%s': a network with a %s in the middle is not trained", node->name,
                        td_op_name(node->op));
    }
}

static tdsnn_status add_cell(tdsnn_context *ctx, td_tape *t, int index, td_dense_backend backend) {
    cell *here = &t->cells[index];
    here->value = floats(t, values_of(t, index));
    if (here->value == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (t->learner->moves[index]) {
        here->gradient = floats(t, values_of(t, index));
        if (here->gradient == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return add_own(ctx, t, index, backend);
}

static tdsnn_status build(tdsnn_context *ctx, td_tape *t, td_dense_backend backend) {
    size_t nodes = (size_t)t->graph->node_count, channels = t->learner->norm_channels, most = 0;
    t->logits = td_graph_logits(t->graph);
    t->kernels = td_kernels_find(NULL);
    t->arena = td_arena_create(ctx);
    t->cells = td_alloc(ctx, nodes, sizeof *t->cells);
    if (t->arena == NULL || t->cells == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; i <= t->logits && status == TDSNN_OK; i++) {
        most = values_of(t, i) > most ? values_of(t, i) : most;
        status = add_cell(ctx, t, i, backend);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    weigh_neurons(t);
    t->mean = floats(t, channels);
    t->variance = floats(t, channels);
    t->scratch = floats(t, most);
    t->outputs = floats(t, values_of(t, t->logits));
    t->coder_scratch = td_arena_alloc(t->arena, TD_CODER_SCRATCH, 1);
    t->thresholds = td_arena_alloc(t->arena, TDSNN_MAX_STEPS, sizeof *t->thresholds);
    return t->mean == NULL || t->variance == NULL || t->scratch == NULL || t->outputs == NULL ||
                   t->coder_scratch == NULL || t->thresholds == NULL
               ? TDSNN_ERR_RUNTIME
               : TDSNN_OK;
}

tdsnn_status td_tape_create(tdsnn_context *ctx, const td_learner *learner, int samples,
                            td_dense_backend backend, td_tape **tape) {
    td_tape *t = td_alloc(ctx, 1, sizeof *t);
    if (t == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    t->learner = learner;
    t->graph = learner->graph;
    t->samples = samples;
    tdsnn_status status = build(ctx, t, backend);
    if (status != TDSNN_OK) {
        td_tape_destroy(t);
        return status;
    }
    *tape = t;
    return TDSNN_OK;
}

void td_tape_destroy(td_tape *t) {
    if (t == NULL) {
        return;
    }
    for (int i = 0; t->cells != NULL && i < t->graph->node_count; i++) {
        td_linear_destroy(t->cells[i].linear);
    }
    td_free(t->cells);
    td_arena_destroy(t->arena);
    td_free(t);
}

/* --------------------------------------------------------------------------------------- forward
 */

/* The norm of a node's raw values. */
static void normalise(td_tape *t, int index, td_pass_kind kind) {
    const td_learner *l = t->learner;
    const td_node *node = &t->graph->nodes[index];
    cell *here = &t->cells[index];
    size_t first = l->norms[index], channels = (size_t)node->shape.c, rows = pixels_of(t, index);
    float *mean = t->mean + first, *variance = t->variance + first;
    if (kind != TD_PASS_INFER) {
        td_norm_survey(here->raw, rows, channels, l->mean + first, mean, variance);
    }
    if (kind == TD_PASS_SURVEY) { /* as the graph has it: no norm, but a bias */
        for (size_t c = 0; c < channels; c++) {
            here->factors[c] = 1.0f;
            here->offsets[c] = node->bias[c];
        }
    } else {
        bool own = kind == TD_PASS_TRAIN;
        td_norm_factors(channels, own ? mean : l->mean + first,
                        own ? variance : l->variance + first,
                        td_learner_values(l, index, TD_ROLE_GAIN),
                        td_learner_values(l, index, TD_ROLE_SHIFT), here->factors, here->offsets);
    }
    td_scale_channels(here->raw, rows, channels, here->factors, here->offsets, here->value);
}

static void forward_linear(td_tape *t, int index, td_pass_kind kind) {
    cell *here = &t->cells[index];
    const float *x = t->cells[t->graph->nodes[index].inputs[0]].value;
    const float *weights = td_learner_values(t->learner, index, TD_ROLE_WEIGHTS);
    if (here->raw != NULL) {
        td_linear_forward(here->linear, x, weights, NULL, here->raw);
        normalise(t, index, kind);
    } else {
        td_linear_forward(here->linear, x, weights,
                          td_learner_values(t->learner, index, TD_ROLE_BIAS), here->value);
    }
}

static void forward_code(td_tape *t, int index) {
    cell *here = &t->cells[index];
    const td_node *node = &t->graph->nodes[index];
    td_coder_set(&here->coder, &t->learner->codes[index], node->negative);
    uint64_t spikes = td_code_forward(&here->coder, t->kernels, t->cells[node->inputs[0]].value,
                                      values_of(t, index), here->value, t->coder_scratch);
    t->spikes += is_hidden_code(t, index) ? spikes : 0;
}

static void forward_joined(td_tape *t, int index) {
    const td_node *node = &t->graph->nodes[index];
    cell *here = &t->cells[index];
    size_t first = 0;
    for (int k = 0; k < node->input_count; k++) {
        const float *x = t->cells[node->inputs[k]].value;
        size_t channels = (size_t)t->graph->nodes[node->inputs[k]].shape.c;
        if (node->op == TD_OP_ADD) {
            td_copy_values(x, values_of(t, index), k > 0, here->value);
        } else {
            td_put_channels(x, pixels_of(t, index), channels, first, (size_t)node->shape.c, false,
                            here->value);
        }
        first += channels;
    }
}

static void forward_node(td_tape *t, int index, td_pass_kind kind) {
    const td_node *node = &t->graph->nodes[index];
    cell *here = &t->cells[index];
    int from = node->inputs[0];
    td_shape in = t->graph->nodes[from].shape;
    const float *x = t->cells[from].value;
    switch (node->op) {
    case TD_OP_CONV:
    case TD_OP_INNER:
        forward_linear(t, index, kind);
        break;
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        td_scale_channels(x, pixels_of(t, index), (size_t)node->shape.c, here->factors,
                          here->offsets, here->value);
        break;
    case TD_OP_ADD:
    case TD_OP_CONCAT:
        forward_joined(t, index);
        break;
    case TD_OP_CODE:
        forward_code(t, index);
        break;
    case TD_OP_MAXPOOL:
    case TD_OP_AVGPOOL:
        td_pool(node, in, t->samples, x, here->value, here->chosen);
        break;
    case TD_OP_SLICE:
        td_take_channels(x, pixels_of(t, index), (size_t)in.c, (size_t)node->first_channel,
                         (size_t)node->shape.c, false, here->value);
        break;
    case TD_OP_FLATTEN:
        td_channels_first(in, t->samples, x, false, here->value);
        break;
    case TD_OP_UNFLATTEN:
        td_channels_last(node->shape, t->samples, x, false, here->value);
        break;
    default: /* RELU, CLIP, LEAKY */
        td_rectify(node, x, values_of(t, index), here->value);
        break;
    }
}

void td_tape_forward(td_tape *t, td_pass_kind kind, const float *input) {
    t->spikes = 0;
    td_channels_last(t->graph->nodes[0].shape, t->samples, input, false, t->cells[0].value);
    for (int i = 1; i <= t->logits; i++) {
        forward_node(t, i, kind);
    }
    td_channels_first(t->graph->nodes[t->logits].shape, t->samples, t->cells[t->logits].value,
                      false, t->outputs);
}

const float *td_tape_logits(const td_tape *t) {
    return t->outputs;
}

const float *td_tape_mean(const td_tape *t) {
    return t->mean;
}

const float *td_tape_variance(const td_tape *t) {
    return t->variance;
}

uint64_t td_tape_spikes(const td_tape *t) {
    return t->spikes;
}

uint64_t td_tape_neurons(const td_tape *t) {
    return t->neurons;
}

/* -------------------------------------------------------------------------------------- backward
 */

/* Where a gradient of node `index` is to be put; *add: to what is there. NULL: nobody needs it. */
static float *receive(td_tape *t, int index, bool *add) {
    cell *here = &t->cells[index];
    *add = here->filled;
    here->filled = true;
    return here->gradient;
}

static float *place(const td_tape *t, int index, td_role role, float *gradients) {
    size_t slot = t->learner->slots[index][role];
    return slot == TD_ABSENT ? NULL : gradients + slot;
}

static void backward_linear(td_tape *t, int index, float *gradients) {
    cell *here = &t->cells[index];
    int from = t->graph->nodes[index].inputs[0];
    const td_learner *l = t->learner;
    const float *dy = here->gradient;
    if (here->raw != NULL) {
        size_t first = l->norms[index];
        td_norm_backward(here->raw, dy, pixels_of(t, index), (size_t)t->graph->nodes[index].shape.c,
                         t->mean + first, t->variance + first,
                         td_learner_values(l, index, TD_ROLE_GAIN),
                         place(t, index, TD_ROLE_GAIN, gradients),
                         place(t, index, TD_ROLE_SHIFT, gradients), here->raw);
        dy = here->raw;
    }
    td_linear_backward_weights(here->linear, t->cells[from].value, dy,
                               place(t, index, TD_ROLE_WEIGHTS, gradients),
                               place(t, index, TD_ROLE_BIAS, gradients));
    bool add;
    float *dx = receive(t, from, &add);
    if (dx != NULL) {
        td_linear_backward_input(here->linear, dy, td_learner_values(l, index, TD_ROLE_WEIGHTS),
                                 add ? t->scratch : dx);
    }
    if (dx != NULL && add) {
        td_copy_values(t->scratch, values_of(t, from), true, dx);
    }
}

static void backward_affine(td_tape *t, int index) {
    cell *here = &t->cells[index];
    const td_node *node = &t->graph->nodes[index];
    bool add;
    float *dx = receive(t, node->inputs[0], &add);
    size_t channels = (size_t)node->shape.c, count = values_of(t, index);
    for (size_t i = 0, c = 0; dx != NULL && i < count; i++) {
        float gradient = here->factors[c] * here->gradient[i];
        dx[i] = add ? dx[i] + gradient : gradient;
        c = c + 1 == channels ? 0 : c + 1;
    }
}

/* Gradients of scales and thresholds are divided by the root of how many neurons and steps they
 * serve, which brings their steps near to those of weights [Esser 2020]. */
static void backward_code(td_tape *t, int index, double sparsity, float *gradients, double *cost) {
    cell *here = &t->cells[index];
    const td_node *node = &t->graph->nodes[index];
    int from = node->inputs[0];
    const tdsnn_code *code = here->coder.code;
    float *scale = place(t, index, TD_ROLE_SCALE, gradients);
    float *thresholds = place(t, index, TD_ROLE_THRESHOLDS, gradients);
    bool add;
    float *dx = receive(t, from, &add);
    if (dx == NULL) {
        return;
    }
    memset(t->thresholds, 0, TDSNN_MAX_STEPS * sizeof *t->thresholds);
    double of_scale;
    *cost +=
        td_code_backward(&here->coder, (td_spike_cost){sparsity * here->weight},
                         t->cells[from].value, here->value, here->gradient, values_of(t, index),
                         add, dx, &of_scale, thresholds != NULL ? t->thresholds : NULL);
    double step = 1.0 / sqrt((double)td_shape_count(node->shape) * code->steps);
    if (scale != NULL) {
        *scale = (float)(of_scale * step);
    }
    for (int k = 0; thresholds != NULL && k < code->steps; k++) {
        thresholds[k] = (float)(t->thresholds[k] * code->scale * step);
    }
}

static void backward_joined(td_tape *t, int index) {
    const td_node *node = &t->graph->nodes[index];
    const float *dy = t->cells[index].gradient;
    size_t first = 0;
    for (int k = 0; k < node->input_count; k++) {
        size_t channels = (size_t)t->graph->nodes[node->inputs[k]].shape.c;
        bool add;
        float *dx = receive(t, node->inputs[k], &add);
        if (dx != NULL && node->op == TD_OP_ADD) {
            td_copy_values(dy, values_of(t, index), add, dx);
        } else if (dx != NULL) {
            td_take_channels(dy, pixels_of(t, index), (size_t)node->shape.c, first, channels, add,
                             dx);
        }
        first += channels;
    }
}

static void backward_slice(td_tape *t, int index) {
    const td_node *node = &t->graph->nodes[index];
    int from = node->inputs[0];
    bool add;
    float *dx = receive(t, from, &add);
    if (dx == NULL) {
        return;
    }
    if (!add) {
        memset(dx, 0, values_of(t, from) * sizeof *dx);
    }
    td_put_channels(t->cells[index].gradient, pixels_of(t, index), (size_t)node->shape.c,
                    (size_t)node->first_channel, (size_t)t->graph->nodes[from].shape.c, true, dx);
}

/* Operators of one input that need nothing but it. */
static void backward_simple(td_tape *t, int index) {
    const td_node *node = &t->graph->nodes[index];
    cell *here = &t->cells[index];
    int from = node->inputs[0];
    td_shape in = t->graph->nodes[from].shape;
    bool add;
    float *dx = receive(t, from, &add);
    if (dx == NULL) {
        return;
    }
    switch (node->op) {
    case TD_OP_MAXPOOL:
    case TD_OP_AVGPOOL:
        td_pool_backward(node, in, t->samples, here->gradient, here->chosen, add, dx);
        break;
    case TD_OP_FLATTEN:
        td_channels_last(in, t->samples, here->gradient, add, dx);
        break;
    case TD_OP_UNFLATTEN:
        td_channels_first(node->shape, t->samples, here->gradient, add, dx);
        break;
    default: /* RELU, CLIP, LEAKY */
        td_rectify_backward(node, t->cells[from].value, here->gradient, values_of(t, index), add,
                            dx);
        break;
    }
}

static void backward_node(td_tape *t, int index, double sparsity, float *gradients, double *cost) {
    switch (t->graph->nodes[index].op) {
    case TD_OP_CONV:
    case TD_OP_INNER:
        backward_linear(t, index, gradients);
        break;
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        backward_affine(t, index);
        break;
    case TD_OP_CODE:
        backward_code(t, index, sparsity, gradients, cost);
        break;
    case TD_OP_ADD:
    case TD_OP_CONCAT:
        backward_joined(t, index);
        break;
    case TD_OP_SLICE:
        backward_slice(t, index);
        break;
    default:
        backward_simple(t, index);
        break;
    }
}

double td_tape_backward(td_tape *t, const float *logits_gradient, double sparsity, int batch,
                        float *gradients) {
    double cost = 0.0;
    memset(gradients, 0, t->learner->count * sizeof *gradients);
    for (int i = 0; i <= t->logits; i++) {
        t->cells[i].filled = false;
    }
    bool add;
    float *dy = receive(t, t->logits, &add);
    if (dy == NULL) { /* a network without weights */
        return 0.0;
    }
    td_channels_last(t->graph->nodes[t->logits].shape, t->samples, logits_gradient, false, dy);
    for (int i = t->logits; i > 0; i--) {
        if (t->cells[i].filled && t->cells[i].gradient != NULL) {
            backward_node(t, i, sparsity / batch, gradients, &cost);
        }
    }
    return cost;
}
