#include "train/learner.h"

#include <math.h>
#include <string.h>

#include "code/code.h"
#include "convert/build.h"

/* ------------------------------------------------------------------------------------- structure
 */

static bool is_linear(const td_node *node) {
    return node->op == TD_OP_CONV || node->op == TD_OP_INNER;
}

/* Weights of one output. */
static size_t taps(const td_graph *graph, const td_node *node) {
    size_t inputs = (size_t)graph->nodes[node->inputs[0]].shape.c;
    if (node->op == TD_OP_INNER) {
        return inputs;
    }
    return inputs / (size_t)node->groups * (size_t)node->window.y.kernel *
           (size_t)node->window.x.kernel;
}

static int last_linear(const td_graph *graph) {
    int last = -1;
    for (int i = 0; i < graph->node_count; i++) {
        last = is_linear(&graph->nodes[i]) ? i : last;
    }
    return last;
}

static void add_parameter(td_learner *l, int node, td_role role, size_t count) {
    l->parameters[l->parameter_count++] = (td_parameter){role, node, l->count, count};
    l->slots[node][role] = l->count;
    l->count += count;
}

static void add_node(td_learner *l, const td_learner_options *options, int index, int last) {
    const td_node *node = &l->graph->nodes[index];
    size_t channels = (size_t)node->shape.c;
    for (int k = 0; k < node->input_count; k++) {
        l->moves[index] = l->moves[index] || l->moves[node->inputs[k]];
    }
    if (is_linear(node)) {
        add_parameter(l, index, TD_ROLE_WEIGHTS, channels * taps(l->graph, node));
        if (options->norms && index != last) {
            add_parameter(l, index, TD_ROLE_GAIN, channels);
            add_parameter(l, index, TD_ROLE_SHIFT, channels);
            l->norms[index] = l->norm_channels;
            l->norm_channels += channels;
        } else {
            add_parameter(l, index, TD_ROLE_BIAS, channels);
        }
        l->moves[index] = true;
    }
    if (node->op == TD_OP_CODE) {
        l->codes[index] = *node->code;
        if (l->moves[index] && !options->fixed_scales) { /* the input's code stays */
            add_parameter(l, index, TD_ROLE_SCALE, 1);
        }
        if (l->moves[index] && options->learn_thresholds) {
            add_parameter(l, index, TD_ROLE_THRESHOLDS, (size_t)node->code->steps);
        }
    }
}

static void fill_start(td_learner *l) {
    for (int i = 0; i < l->parameter_count; i++) {
        const td_parameter *p = &l->parameters[i];
        const td_node *node = &l->graph->nodes[p->node];
        float *values = l->values + p->first;
        for (size_t k = 0; k < p->count; k++) {
            values[k] = p->role == TD_ROLE_WEIGHTS ? node->weights[k]
                        : p->role == TD_ROLE_BIAS  ? node->bias[k]
                        : p->role == TD_ROLE_GAIN  ? 1.0f
                        : p->role == TD_ROLE_THRESHOLDS
                            ? node->code->thresholds[k] / node->code->scale
                            : 0.0f;
        }
    }
    for (size_t c = 0; c < l->norm_channels; c++) {
        l->variance[c] = 1.0f;
    }
}

static tdsnn_status build(tdsnn_context *ctx, td_learner *l, const td_learner_options *options) {
    size_t nodes = (size_t)l->graph->node_count;
    l->parameters = td_alloc(ctx, 3 * nodes, sizeof *l->parameters);
    l->slots = td_alloc(ctx, nodes, sizeof *l->slots);
    l->moves = td_alloc(ctx, nodes, sizeof *l->moves);
    l->norms = td_alloc(ctx, nodes, sizeof *l->norms);
    l->codes = td_alloc(ctx, nodes, sizeof *l->codes);
    if (l->parameters == NULL || l->slots == NULL || l->moves == NULL || l->norms == NULL ||
        l->codes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    int last = last_linear(l->graph);
    for (int i = 0; i < l->graph->node_count; i++) {
        for (int role = 0; role < TD_ROLE_COUNT; role++) {
            l->slots[i][role] = TD_ABSENT;
        }
        l->norms[i] = TD_ABSENT;
        add_node(l, options, i, last);
    }
    l->values = td_alloc(ctx, l->count, sizeof *l->values);
    l->mean = td_alloc(ctx, l->norm_channels, sizeof *l->mean);
    l->variance = td_alloc(ctx, l->norm_channels, sizeof *l->variance);
    if (l->values == NULL || l->mean == NULL || l->variance == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    fill_start(l);
    return TDSNN_OK;
}

tdsnn_status td_learner_create(tdsnn_context *ctx, const td_graph *graph,
                               const td_learner_options *options, td_learner **learner) {
    td_learner *l = td_alloc(ctx, 1, sizeof *l);
    if (l == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    l->graph = graph;
    tdsnn_status status = build(ctx, l, options);
    if (status != TDSNN_OK) {
        td_learner_destroy(l);
        return status;
    }
    *learner = l;
    return TDSNN_OK;
}

void td_learner_destroy(td_learner *l) {
    if (l != NULL) {
        td_free(l->parameters);
        td_free(l->slots);
        td_free(l->values);
        td_free(l->moves);
        td_free(l->norms);
        td_free(l->mean);
        td_free(l->variance);
        td_free(l->codes);
        td_free(l);
    }
}

float *td_learner_values(const td_learner *l, int node, td_role role) {
    size_t first = l->slots[node][role];
    return first == TD_ABSENT ? NULL : l->values + first;
}

/* ----------------------------------------------------------------------------------------- codes
 */

static void order_thresholds(float *shares, int steps) {
    for (int k = 0; k < steps; k++) {
        float least = k == 0 ? 0.0f : shares[k - 1];
        shares[k] = shares[k] > least ? shares[k] : least;
    }
}

/* The code of a node, its tables moved with its scale. */
static tdsnn_status update_code(tdsnn_context *ctx, td_learner *l, int index) {
    const td_node *node = &l->graph->nodes[index];
    const tdsnn_code *start = node->code;
    const float *moved = td_learner_values(l, index, TD_ROLE_SCALE);
    float *shares = td_learner_values(l, index, TD_ROLE_THRESHOLDS);
    double scale = moved == NULL ? start->scale : start->scale * exp((double)moved[0]);
    bool table = shares != NULL || start->rounding == TDSNN_ROUND_TABLE;
    tdsnn_code *code = &l->codes[index];
    tdsnn_status status =
        td_code_make(ctx, start->leak, start->steps, scale,
                     table ? TDSNN_ROUND_NEAREST : start->rounding, start->offset, code);
    if (status != TDSNN_OK) {
        td_error(ctx, TDSNN_ERR_RUNTIME,
                 "the scale of '%s' has become %g: try a smaller learning "
                 "rate, or fixed scales",
                 node->name, scale);
        return TDSNN_ERR_RUNTIME;
    }
    if (shares != NULL) {
        order_thresholds(shares, code->steps);
    }
    for (int k = 0; table && k < code->steps; k++) {
        double share = shares != NULL ? shares[k] : (double)start->thresholds[k] / start->scale;
        code->thresholds[k] = (float)(share * code->scale);
    }
    code->rounding = table ? TDSNN_ROUND_TABLE : start->rounding;
    return TDSNN_OK;
}

tdsnn_status td_learner_update_codes(tdsnn_context *ctx, td_learner *l) {
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; i < l->graph->node_count && status == TDSNN_OK; i++) {
        bool changes =
            l->slots[i][TD_ROLE_SCALE] != TD_ABSENT || l->slots[i][TD_ROLE_THRESHOLDS] != TD_ABSENT;
        status = changes ? update_code(ctx, l, i) : TDSNN_OK;
    }
    return status;
}

/* ----------------------------------------------------------------------------------------- norms
 */

void td_learner_adopt_norms(td_learner *l, const float *mean, const float *variance) {
    memcpy(l->mean, mean, l->norm_channels * sizeof *mean);
    memcpy(l->variance, variance, l->norm_channels * sizeof *variance);
    for (int i = 0; i < l->graph->node_count; i++) {
        if (l->norms[i] == TD_ABSENT) {
            continue;
        }
        const td_node *node = &l->graph->nodes[i];
        float *gain = td_learner_values(l, i, TD_ROLE_GAIN);
        float *shift = td_learner_values(l, i, TD_ROLE_SHIFT);
        for (int c = 0; c < node->shape.c; c++) {
            size_t k = l->norms[i] + (size_t)c;
            gain[c] = sqrtf(variance[k] + TD_NORM_EPSILON);
            shift[c] = mean[k] + node->bias[c];
        }
    }
}

/* ---------------------------------------------------------------------------------------- export
 */

/* Weights and biases of a linear node, its norm folded. */
static bool export_linear(const td_learner *l, int index, td_graph *graph) {
    td_node *node = &graph->nodes[index];
    size_t channels = (size_t)node->shape.c, of_each = taps(graph, node);
    float *weights = td_arena_alloc(graph->arena, channels * of_each, sizeof *weights);
    float *bias = td_arena_alloc(graph->arena, channels, sizeof *bias);
    if (weights == NULL || bias == NULL) {
        return false;
    }
    const float *from = td_learner_values(l, index, TD_ROLE_WEIGHTS);
    const float *from_bias = td_learner_values(l, index, TD_ROLE_BIAS);
    const float *gain = td_learner_values(l, index, TD_ROLE_GAIN);
    const float *shift = td_learner_values(l, index, TD_ROLE_SHIFT);
    for (size_t c = 0; c < channels; c++) {
        double factor = 1.0;
        if (gain != NULL) {
            size_t k = l->norms[index] + c;
            factor = (double)gain[c] / sqrt((double)l->variance[k] + (double)TD_NORM_EPSILON);
            bias[c] = (float)((double)shift[c] - (double)l->mean[k] * factor);
        } else {
            bias[c] = from_bias[c];
        }
        for (size_t t = 0; t < of_each; t++) {
            weights[c * of_each + t] = (float)((double)from[c * of_each + t] * factor);
        }
    }
    node->weights = weights;
    node->bias = bias;
    return true;
}

static bool export_code(const td_learner *l, int index, td_graph *graph) {
    tdsnn_code *code = td_arena_alloc(graph->arena, 1, sizeof *code);
    if (code == NULL) {
        return false;
    }
    *code = l->codes[index];
    graph->nodes[index].code = code;
    return true;
}

tdsnn_status td_learner_export(tdsnn_context *ctx, const td_learner *l, td_graph **graph) {
    td_graph *made;
    tdsnn_status status =
        td_build_normalised(ctx, l->graph, &(tdsnn_data_info){.channels_normalised = 0}, &made);
    if (status != TDSNN_OK) {
        return status;
    }
    bool ok = true;
    for (int i = 0; i < made->node_count && ok; i++) {
        if (is_linear(&made->nodes[i])) {
            ok = export_linear(l, i, made);
        } else if (made->nodes[i].op == TD_OP_CODE) {
            ok = export_code(l, i, made);
        }
    }
    for (int i = 0; i < l->graph->metadata_count && status == TDSNN_OK; i++) {
        const td_metadata *m = &l->graph->metadata[i];
        status = td_graph_set_metadata(ctx, made, m->key, m->value);
    }
    if (!ok || status != TDSNN_OK) {
        td_graph_destroy(made);
        return TDSNN_ERR_RUNTIME;
    }
    *graph = made;
    return TDSNN_OK;
}
