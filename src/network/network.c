/* Compiling a coded graph: every drive with a code becomes a layer of neurons; constants between a
 * code and the next linear layer (an input normalisation) are folded into its synapses and bias. */
#include "network/network.h"

#include <string.h>

#include "network/fold.h"

/* What a node of the graph is in the network. */
typedef struct value {
    int layer;        /* -1: no value of the network's (a node that was never reached) */
    bool coded;       /* spikes, or an analog input; otherwise a drive that waits for its code */
    td_shape view;    /* as the next node sees it */
    td_affine affine; /* constants that follow the code; [view.c] */
} value;

typedef struct compiler {
    tdsnn_context *ctx;
    const td_graph *graph;
    td_network *network;
    value *values; /* [graph->node_count] */
} compiler;

static tdsnn_status refuse(compiler *c, const td_node *node, const char *reason) {
    return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                    "node '%s' (%s) has no place in a spiking network: %s", node->name,
                    td_op_name(node->op), reason);
}

/* Opens the next layer; there are at most as many as nodes. */
static td_layer *open_layer(compiler *c, const td_node *node, td_layer_kind kind) {
    td_layer *layer = &c->network->layers[c->network->layer_count++];
    layer->name = td_arena_strdup(c->network->arena, node->name);
    layer->kind = kind;
    layer->shape = node->shape;
    return layer->name == NULL ? NULL : layer;
}

static int newest_layer(const compiler *c) {
    return c->network->layer_count - 1;
}

/* The event values of a code (see td_layer.event_values). */
static tdsnn_status set_code(compiler *c, td_layer *layer, const tdsnn_code *code) {
    tdsnn_code *copy = td_arena_alloc(c->network->arena, 1, sizeof *copy);
    float *events = td_arena_alloc(c->network->arena, TDSNN_MAX_STEPS + 1, sizeof *events);
    if (copy == NULL || events == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *copy = *code;
    double zero = code->offset == 0 ? 0.0 : tdsnn_code_value(code, 0);
    for (int t = 1; t <= code->steps; t++) {
        events[t] = code->offset == 0 ? code->values[t] : (float)(tdsnn_code_value(code, t) - zero);
    }
    layer->code = copy;
    layer->event_values = events;
    return TDSNN_OK;
}

static tdsnn_status compile_input(compiler *c, const td_node *node, value *out) {
    if (open_layer(c, node, TD_LAYER_INPUT) == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    bool encoded = false;
    for (int i = 1; i < c->graph->node_count; i++) {
        encoded =
            encoded || (c->graph->nodes[i].op == TD_OP_CODE && c->graph->nodes[i].inputs[0] == 0);
    }
    *out = (value){.layer = 0, .coded = !encoded, .view = node->shape};
    return TDSNN_OK;
}

static tdsnn_status compile_code(compiler *c, const td_node *node, const value *in, value *out) {
    if (in->coded) {
        return refuse(c, node, "what it reads is a spike time already, not a drive");
    }
    if (td_graph_consumers(c->graph, node->inputs[0]) != 1) {
        return refuse(c, node, "the drive it encodes is read by other nodes as well");
    }
    *out = (value){.layer = in->layer, .coded = true, .view = node->shape};
    return set_code(c, &c->network->layers[in->layer], node->code);
}

/* A convolution or inner product opens a layer; its code may follow. */
static tdsnn_status compile_linear(compiler *c, const td_node *node, const value *in, bool logits,
                                   value *out) {
    if (!in->coded) {
        return refuse(c, node, "it reads a drive that has no code; convert the network first");
    }
    td_layer *layer = open_layer(c, node, logits ? TD_LAYER_READOUT : TD_LAYER_SYNAPSES);
    td_synapses *synapses = td_arena_alloc(c->network->arena, 1, sizeof *synapses);
    if (layer == NULL || synapses == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *synapses = (td_synapses){
        .source = in->layer,
        .view = in->view,
        .window = node->op == TD_OP_CONV ? node->window : TD_WINDOW_ONE,
        .groups = node->op == TD_OP_CONV ? node->groups : 1,
    };
    layer->synapses = synapses;
    layer->synapse_count = 1;
    *out = (value){.layer = newest_layer(c), .coded = false, .view = node->shape};
    tdsnn_status status = td_fold_affine(c->network->arena, layer, node, &in->affine);
    return status != TDSNN_OK ? status
                              : td_fold_offset(c->network->arena, layer, c->network->layers);
}

static tdsnn_status compile_pool(compiler *c, const td_node *node, const value *in, value *out) {
    td_layer *source = &c->network->layers[in->layer];
    if (!in->coded || source->code == NULL) {
        return refuse(c, node,
                      "a max-pool takes the latest of spike times, and what it reads has "
                      "no code");
    }
    if (in->affine.scale != NULL) {
        return refuse(c, node, "constants stand between the code and the max-pool");
    }
    td_layer *layer = open_layer(c, node, TD_LAYER_POOL);
    td_synapses *synapses = td_arena_alloc(c->network->arena, 1, sizeof *synapses);
    if (layer == NULL || synapses == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *synapses = (td_synapses){
        .source = in->layer, .view = in->view, .window = node->window, .groups = node->shape.c};
    layer->synapses = synapses;
    layer->synapse_count = 1;
    layer->code = source->code;
    layer->event_values = source->event_values;
    source->feeds_pool = true;
    *out = (value){.layer = newest_layer(c), .coded = true, .view = node->shape};
    return TDSNN_OK;
}

static tdsnn_status compile_constant(compiler *c, const td_node *node, const value *in,
                                     value *out) {
    if (!in->coded) {
        return refuse(c, node, "a constant behind a drive belongs into its weights and bias");
    }
    *out = *in;
    return td_affine_apply(c->network->arena, node, &in->affine, &out->affine);
}

static tdsnn_status compile_flatten(compiler *c, const td_node *node, const value *in, value *out) {
    *out = *in;
    out->view = node->shape;
    return td_affine_flatten(c->network->arena, in->view, &in->affine, &out->affine);
}

static tdsnn_status compile_node(compiler *c, int index, int logits) {
    const td_node *node = &c->graph->nodes[index];
    const value *in = node->input_count > 0 ? &c->values[node->inputs[0]] : NULL;
    value *out = &c->values[index];
    switch (node->op) {
    case TD_OP_INPUT:
        return compile_input(c, node, out);
    case TD_OP_CODE:
        return compile_code(c, node, in, out);
    case TD_OP_CONV:
    case TD_OP_INNER: {
        /* A Flatten may stand between the last drive and the logits. */
        int next = logits;
        while (c->graph->nodes[next].op == TD_OP_FLATTEN) {
            next = c->graph->nodes[next].inputs[0];
        }
        return compile_linear(c, node, in, next == index, out);
    }
    case TD_OP_MAXPOOL:
        return compile_pool(c, node, in, out);
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        return compile_constant(c, node, in, out);
    case TD_OP_FLATTEN:
        return compile_flatten(c, node, in, out);
    case TD_OP_SOFTMAX:
    case TD_OP_LOGSOFTMAX:
        *out = *in;
        return TDSNN_OK;
    default:
        return refuse(c, node, "a converted network has no such operator");
    }
}

/* Every drive has found its code, and the last layer is the read-out. */
static tdsnn_status check_complete(compiler *c) {
    td_network *network = c->network;
    for (int i = 1; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        bool last = i == network->layer_count - 1;
        if (last != (layer->kind == TD_LAYER_READOUT)) {
            return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                            "the last layer must be a read-out, a linear layer without a code; "
                            "here '%s' %s",
                            layer->name, last ? "is none" : "comes before the end");
        }
        if (layer->kind == TD_LAYER_SYNAPSES && layer->code == NULL) {
            return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                            "the drive of '%s' has no code; convert the network first",
                            layer->name);
        }
    }
    if (network->layer_count < 2) {
        return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED, "the network has no layer with synapses");
    }
    network->classes = (int)td_shape_count(network->layers[network->layer_count - 1].shape);
    return TDSNN_OK;
}

static tdsnn_status compile(compiler *c) {
    int logits = td_graph_logits(c->graph);
    for (int i = 0; i < c->graph->node_count; i++) {
        tdsnn_status status = compile_node(c, i, logits);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    tdsnn_status status = check_complete(c);
    for (int i = 1; i < c->network->layer_count && status == TDSNN_OK; i++) {
        td_layer *layer = &c->network->layers[i];
        if (layer->kind != TD_LAYER_POOL) {
            status = td_pack_weights(c->network->arena, layer);
        }
    }
    return status;
}

tdsnn_status td_network_create(tdsnn_context *ctx, const td_graph *graph, td_network **network) {
    if (!td_graph_is_spiking(graph)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "this is a plain network without temporal codes; convert it first");
    }
    td_arena *arena = td_arena_create(ctx);
    td_network *made = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *made);
    compiler c = {.ctx = ctx, .graph = graph, .network = made};
    size_t nodes = (size_t)graph->node_count;
    c.values = td_alloc(ctx, nodes, sizeof *c.values);
    if (made != NULL) {
        made->arena = arena;
        made->layers = td_arena_alloc(arena, nodes, sizeof *made->layers);
    }
    tdsnn_status status =
        made == NULL || made->layers == NULL || c.values == NULL ? TDSNN_ERR_RUNTIME : compile(&c);
    td_free(c.values);
    if (status != TDSNN_OK) {
        td_arena_destroy(arena);
        return status;
    }
    *network = made;
    return TDSNN_OK;
}

void td_network_destroy(td_network *network) {
    if (network != NULL) {
        td_arena_destroy(network->arena);
    }
}

uint64_t td_synapses_count(const td_layer *layer, const td_synapses *s) {
    uint64_t taps = (uint64_t)td_axis_total(&s->window.y, layer->shape.h, s->view.h) *
                    td_axis_total(&s->window.x, layer->shape.w, s->view.w);
    return taps * (uint64_t)layer->shape.c * (uint64_t)(s->view.c / s->groups);
}
