#include "convert/place.h"

/* What a node's value is in the converted network. */
typedef enum form {
    FORM_SPIKES, /* spike times, never below zero */
    FORM_SCALED, /* spike times (or the analog input) with constants behind them */
    FORM_DRIVE   /* what a linear layer computes, without a code */
} form;

typedef struct placer {
    tdsnn_context *ctx;
    const td_graph *graph;
    td_placement *placement;
    form *forms; /* [node_count] */
} placer;

static tdsnn_status refuse(const placer *p, const td_node *node, const char *reason) {
    return td_error(p->ctx, TDSNN_ERR_UNSUPPORTED, "node '%s' (%s) cannot be converted: %s",
                    node->name, td_op_name(node->op), reason);
}

/* The only reader of a node, or -1. */
static int only_reader(const td_graph *graph, int index) {
    if (td_graph_consumers(graph, index) != 1) {
        return -1;
    }
    for (int i = index + 1; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++) {
            if (graph->nodes[i].inputs[k] == index) {
                return i;
            }
        }
    }
    return -1;
}

/* Whether a drive meets a ReLU, directly or behind max-pools, with which a ReLU commutes. */
static bool is_rectified(const td_graph *graph, int index) {
    for (int i = only_reader(graph, index); i >= 0; i = only_reader(graph, i)) {
        td_op op = graph->nodes[i].op;
        if (op == TD_OP_RELU) {
            return true;
        }
        if (op != TD_OP_MAXPOOL && op != TD_OP_FLATTEN) {
            return false;
        }
    }
    return false;
}

static tdsnn_status place_node(placer *p, int index) {
    const td_node *node = &p->graph->nodes[index];
    form in = node->input_count > 0 ? p->forms[node->inputs[0]] : FORM_SCALED;
    form *out = &p->forms[index];
    *out = in;
    switch (node->op) {
    case TD_OP_INPUT:
        *out = p->placement->coded[index] ? FORM_SPIKES : FORM_SCALED;
        return TDSNN_OK;
    case TD_OP_CONV:
    case TD_OP_INNER:
        if (in == FORM_DRIVE) {
            return refuse(p, node,
                          "the linear layer before it has no ReLU; values of both signs "
                          "between linear layers are not supported yet");
        }
        p->placement->coded[index] = is_rectified(p->graph, index);
        *out = p->placement->coded[index] ? FORM_SPIKES : FORM_DRIVE;
        return TDSNN_OK;
    case TD_OP_RELU:
        if (in != FORM_SPIKES) {
            return refuse(p, node, "it follows neither a linear layer of its own nor a max-pool");
        }
        p->placement->dropped[index] = true;
        return TDSNN_OK;
    case TD_OP_MAXPOOL:
        return in == FORM_SPIKES
                   ? TDSNN_OK
                   : refuse(p, node,
                            "it reads values of both signs, for want of a ReLU before or "
                            "behind it; that is not supported yet");
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        *out = FORM_SCALED;
        return in == FORM_DRIVE ? refuse(p, node, "it follows a drive into which it is not folded")
                                : TDSNN_OK;
    case TD_OP_FLATTEN:
        return TDSNN_OK;
    case TD_OP_SOFTMAX:
    case TD_OP_LOGSOFTMAX:
        return TDSNN_OK;
    case TD_OP_CODE:
        return refuse(p, node, "this network is converted already");
    default:
        return refuse(p, node, "networks with branches are not supported yet");
    }
}

static tdsnn_status place_all(placer *p) {
    for (int i = 0; i < p->graph->node_count; i++) {
        tdsnn_status status = place_node(p, i);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    int logits = td_graph_logits(p->graph);
    return p->forms[logits] == FORM_DRIVE
               ? TDSNN_OK
               : refuse(p, &p->graph->nodes[logits],
                        "the network must end in a linear layer, whose potentials are the logits");
}

tdsnn_status td_place(tdsnn_context *ctx, const td_graph *graph, bool analog,
                      td_placement *placement) {
    size_t nodes = (size_t)graph->node_count;
    td_placement made = {.coded = td_alloc(ctx, nodes, sizeof *made.coded),
                         .dropped = td_alloc(ctx, nodes, sizeof *made.dropped)};
    placer p = {ctx, graph, &made, td_alloc(ctx, nodes, sizeof *p.forms)};
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (made.coded != NULL && made.dropped != NULL && p.forms != NULL) {
        made.coded[0] = !analog;
        status = place_all(&p);
    }
    td_free(p.forms);
    if (status != TDSNN_OK) {
        td_placement_free(&made);
        return status;
    }
    *placement = made;
    return TDSNN_OK;
}

void td_placement_free(td_placement *placement) {
    td_free(placement->coded);
    td_free(placement->dropped);
    *placement = (td_placement){0};
}
