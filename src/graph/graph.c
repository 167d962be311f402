#include "graph/graph.h"

#include <string.h>

td_graph *td_graph_create(tdsnn_context *ctx) {
    td_graph *graph = td_alloc(ctx, 1, sizeof *graph);
    if (graph == NULL) {
        return NULL;
    }
    graph->arena = td_arena_create(ctx);
    if (graph->arena == NULL) {
        td_graph_destroy(graph);
        return NULL;
    }
    return graph;
}

void td_graph_destroy(td_graph *graph) {
    if (graph == NULL) {
        return;
    }
    td_free(graph->nodes);
    td_free(graph->metadata);
    td_arena_destroy(graph->arena);
    td_free(graph);
}

int td_graph_append(tdsnn_context *ctx, td_graph *graph, const td_node *node) {
    size_t count = (size_t)graph->node_count;
    size_t inputs = (size_t)node->input_count;
    td_node copy = *node;
    copy.name = td_arena_strdup(graph->arena, node->name);
    copy.inputs = td_arena_alloc(graph->arena, inputs, sizeof *copy.inputs);
    if (copy.name == NULL || copy.inputs == NULL ||
        td_reserve(ctx, &graph->nodes, &graph->node_capacity, count + 1, sizeof copy) != TDSNN_OK) {
        return -1;
    }
    if (inputs > 0) {
        memcpy(copy.inputs, node->inputs, inputs * sizeof *copy.inputs);
    }
    graph->nodes[count] = copy;
    return graph->node_count++;
}

static td_metadata *find_metadata(const td_graph *graph, const char *key) {
    for (int i = 0; i < graph->metadata_count; i++) {
        if (strcmp(graph->metadata[i].key, key) == 0) {
            return &graph->metadata[i];
        }
    }
    return NULL;
}

tdsnn_status td_graph_set_metadata(tdsnn_context *ctx, td_graph *graph, const char *key,
                                   const char *value) {
    td_metadata copy = {td_arena_strdup(graph->arena, key), td_arena_strdup(graph->arena, value)};
    size_t count = (size_t)graph->metadata_count;
    if (copy.key == NULL || copy.value == NULL ||
        td_reserve(ctx, &graph->metadata, &graph->metadata_capacity, count + 1, sizeof copy) !=
            TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    td_metadata *place = find_metadata(graph, key);
    if (place == NULL) {
        place = &graph->metadata[graph->metadata_count++];
    }
    *place = copy;
    return TDSNN_OK;
}

const char *td_graph_metadata(const td_graph *graph, const char *key) {
    const td_metadata *found = find_metadata(graph, key);
    return found == NULL ? NULL : found->value;
}

int td_graph_consumers(const td_graph *graph, int index) {
    int consumers = 0;
    for (int i = index + 1; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        bool reads = false;
        for (int j = 0; j < node->input_count; j++) {
            reads = reads || node->inputs[j] == index;
        }
        consumers += reads;
    }
    return consumers;
}

/* Taps of all outputs along one axis: those inside the input, or all of them. */
static uint64_t axis_taps(const td_axis *axis, int outputs, int size, bool padded) {
    return padded ? (uint64_t)outputs * (uint64_t)axis->kernel : td_axis_total(axis, outputs, size);
}

uint64_t td_node_macs(const td_graph *graph, const td_node *node, bool padded) {
    if (node->op != TD_OP_CONV && node->op != TD_OP_INNER) {
        return 0;
    }
    td_shape in = graph->nodes[node->inputs[0]].shape;
    td_shape out = node->shape;
    uint64_t pairs = (uint64_t)out.c * (uint64_t)in.c; /* of channels */
    if (node->op == TD_OP_INNER) {
        return pairs;
    }
    return pairs / (uint64_t)node->groups * axis_taps(&node->window.y, out.h, in.h, padded) *
           axis_taps(&node->window.x, out.w, in.w, padded);
}

/* Tap k of output o reads o * stride + k * dilation, which the first layer makes of its input. */
static bool compose_axis(const td_axis *first, const td_axis *second, int middle, int outputs,
                         td_axis *out) {
    bool whole = td_axis_total(second, outputs, middle) == (size_t)second->kernel * (size_t)outputs;
    bool point = second->kernel == 1, plain = first->kernel == 1 && first->pad_begin == 0;
    long long stride = (long long)first->stride * second->stride;
    long long dilation = point ? first->dilation : (long long)first->stride * second->dilation;
    *out = point ? *first : *second;
    if (!whole || second->pad_begin != 0 || !(point || plain) || stride > TD_MAX_EXTENT ||
        dilation > TD_MAX_EXTENT) {
        return false;
    }
    out->stride = (int)stride;
    out->dilation = (int)dilation;
    return true;
}

bool td_window_compose(const td_window *first, const td_window *second, td_shape middle,
                       td_shape out, td_window *window) {
    bool one = (first->y.kernel == 1 && first->x.kernel == 1) ||
               (second->y.kernel == 1 && second->x.kernel == 1);
    return one && compose_axis(&first->y, &second->y, middle.h, out.h, &window->y) &&
           compose_axis(&first->x, &second->x, middle.w, out.w, &window->x);
}

static bool is_linear(const td_node *node) {
    return node->op == TD_OP_CONV || node->op == TD_OP_INNER;
}

bool td_node_composes(const td_graph *graph, const td_node *node) {
    const td_node *first = &graph->nodes[node->inputs[0]];
    if (!is_linear(node) || !is_linear(first) || first->op != node->op) {
        return false;
    }
    td_window window = TD_WINDOW_ONE;
    bool conv = node->op == TD_OP_CONV;
    if (conv && (node->groups != 1 || !td_window_compose(&first->window, &node->window,
                                                         first->shape, node->shape, &window))) {
        return false;
    }
    td_shape in = graph->nodes[first->inputs[0]].shape;
    uint64_t composed = (uint64_t)node->shape.c * (uint64_t)in.c *
                        td_axis_total(&window.y, node->shape.h, in.h) *
                        td_axis_total(&window.x, node->shape.w, in.w);
    return composed / 2 <= td_node_macs(graph, first, false) + td_node_macs(graph, node, false);
}

const char *td_op_name(td_op op) {
    static const char *const names[TD_OP_COUNT] = {
        [TD_OP_INPUT] = "Input",     [TD_OP_CONV] = "Conv",
        [TD_OP_INNER] = "Gemm",      [TD_OP_SUB] = "Sub",
        [TD_OP_DIV] = "Div",         [TD_OP_MUL] = "Mul",
        [TD_OP_SHIFT] = "Add",       [TD_OP_ADD] = "Add",
        [TD_OP_RELU] = "Relu",       [TD_OP_CLIP] = "Clip",
        [TD_OP_LEAKY] = "LeakyRelu", [TD_OP_CODE] = "TemporalCode",
        [TD_OP_MAXPOOL] = "MaxPool", [TD_OP_AVGPOOL] = "AveragePool",
        [TD_OP_CONCAT] = "Concat",   [TD_OP_SLICE] = "Slice",
        [TD_OP_FLATTEN] = "Flatten", [TD_OP_UNFLATTEN] = "Reshape",
        [TD_OP_SOFTMAX] = "Softmax", [TD_OP_LOGSOFTMAX] = "LogSoftmax",
        [TD_OP_SIGMOID] = "Sigmoid",
    };
    return names[op];
}

bool td_op_closes(td_op op) {
    return op == TD_OP_SOFTMAX || op == TD_OP_LOGSOFTMAX || op == TD_OP_SIGMOID;
}

int td_graph_logits(const td_graph *graph) {
    const td_node *last = &graph->nodes[graph->node_count - 1];
    return td_op_closes(last->op) ? last->inputs[0] : graph->node_count - 1;
}

bool td_graph_is_autoencoder(const td_graph *graph) {
    int logits = td_graph_logits(graph);
    td_shape in = graph->nodes[0].shape, out = graph->nodes[logits].shape;
    return logits == graph->node_count - 1 && in.c == out.c && in.h == out.h && in.w == out.w;
}

bool td_graph_is_spiking(const td_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == TD_OP_CODE) {
            return true;
        }
    }
    return false;
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Bit for bit: -0 and 0 differ, equal NaNs do not. */
static bool same_floats(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

static bool same_shape(td_shape a, td_shape b) {
    return a.c == b.c && a.h == b.h && a.w == b.w && a.flat == b.flat;
}

static bool same_axis(const td_axis *a, const td_axis *b) {
    return a->kernel == b->kernel && a->stride == b->stride && a->dilation == b->dilation &&
           a->pad_begin == b->pad_begin && a->pad_end == b->pad_end;
}

static bool same_window(const td_window *a, const td_window *b) {
    return same_axis(&a->y, &b->y) && same_axis(&a->x, &b->x);
}

bool td_code_equal(const tdsnn_code *a, const tdsnn_code *b) {
    return same_floats(&a->leak, &b->leak, 1) && a->steps == b->steps &&
           same_floats(&a->scale, &b->scale, 1) && a->offset == b->offset &&
           a->rounding == b->rounding &&
           same_floats(a->thresholds, b->thresholds, TDSNN_MAX_STEPS) &&
           same_floats(a->values, b->values, TDSNN_MAX_STEPS + 1);
}

/* What belongs to the operator; op, shapes and inputs are already known to be the same. */
static bool same_content(const td_graph *graph, const td_node *a, const td_node *b) {
    size_t channels = (size_t)a->shape.c;
    switch (a->op) {
    case TD_OP_CONV:
    case TD_OP_INNER: {
        size_t inputs = (size_t)graph->nodes[a->inputs[0]].shape.c;
        if (a->op == TD_OP_CONV) {
            if (!same_window(&a->window, &b->window) || a->groups != b->groups) {
                return false;
            }
            inputs = inputs / (size_t)a->groups * (size_t)a->window.y.kernel *
                     (size_t)a->window.x.kernel;
        }
        return same_floats(a->weights, b->weights, channels * inputs) &&
               same_floats(a->bias, b->bias, channels);
    }
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        return same_floats(a->operand, b->operand, channels);
    case TD_OP_CLIP:
        return same_floats(&a->low, &b->low, 1) && same_floats(&a->high, &b->high, 1);
    case TD_OP_LEAKY:
        return same_floats(&a->negative, &b->negative, 1);
    case TD_OP_CODE:
        return td_code_equal(a->code, b->code) && same_floats(&a->negative, &b->negative, 1);
    case TD_OP_MAXPOOL:
        return same_window(&a->window, &b->window);
    case TD_OP_AVGPOOL:
        return same_window(&a->window, &b->window) && a->count_padding == b->count_padding;
    case TD_OP_SLICE:
        return a->first_channel == b->first_channel;
    default:
        return true;
    }
}

static bool same_node(const td_graph *graph, const td_node *a, const td_node *b) {
    if (a->op != b->op || !same_text(a->name, b->name) || a->input_count != b->input_count ||
        !same_shape(a->shape, b->shape)) {
        return false;
    }
    for (int i = 0; i < a->input_count; i++) {
        if (a->inputs[i] != b->inputs[i]) {
            return false;
        }
    }
    return same_content(graph, a, b);
}

bool td_graph_equal(const td_graph *a, const td_graph *b) {
    if (a->node_count != b->node_count || !same_text(a->input_name, b->input_name) ||
        !same_text(a->output_name, b->output_name) ||
        !same_text(a->batch_symbol, b->batch_symbol)) {
        return false;
    }
    for (int i = 0; i < a->node_count; i++) {
        if (!same_node(a, &a->nodes[i], &b->nodes[i])) {
            return false;
        }
    }
    return true;
}
