/* Codes go where a drive must become spikes: in front of ReLUs, and, as signed pairs, where a drive
 * without one is read by anything but a sum. */
#include "convert/place.h"

#include <math.h>

/* What a node's value is in the converted network. */
typedef enum form {
    FORM_SPIKES, /* spike times, never below zero */
    FORM_SIGNED, /* spike times of pairs */
    FORM_LINEAR, /* spike times (or the analog input) behind constants or an average */
    FORM_DRIVE   /* what a linear layer or a sum computes, without a code */
} form;

/* Where the spikes that a value is made of come from. */
enum { FROM_INPUT = 1, FROM_HIDDEN = 2 };

typedef struct placer {
    tdsnn_context *ctx;
    const td_graph *graph;
    td_placement *placement;
    form *forms;            /* [node_count] */
    unsigned char *origins; /* [node_count] */
    /* [node_count] how the neurons lie that a value is made of, be it spikes or a drive: a Flatten
     * and its contrary do not move them */
    td_shape *frames;
    int *reader_ends; /* [node_count] the readers of node i end here in `readers` */
    int *readers;     /* of node 0, of node 1, ... */
    int logits;
} placer;

static tdsnn_status refuse(const placer *p, const td_node *node, const char *reason) {
    return td_error(p->ctx, TDSNN_ERR_UNSUPPORTED, "node '%s' (%s) cannot be converted: %s",
                    node->name, td_op_name(node->op), reason);
}

/* The nodes that read node `index`. */
typedef struct node_list {
    const int *nodes;
    int count;
} node_list;

static node_list readers_of(const placer *p, int index) {
    int start = index == 0 ? 0 : p->reader_ends[index - 1];
    return (node_list){p->readers + start, p->reader_ends[index] - start};
}

/* The only reader, or -1. */
static int only_reader(const placer *p, int index) {
    node_list readers = readers_of(p, index);
    return readers.count == 1 ? readers.nodes[0] : -1;
}

/* Lists the readers of all nodes: counts, then running sums, then the nodes themselves. */
static tdsnn_status list_readers(placer *p) {
    int total = 0, nodes = p->graph->node_count;
    for (int i = 0; i < nodes; i++) {
        for (int k = 0; k < p->graph->nodes[i].input_count; k++) {
            p->reader_ends[p->graph->nodes[i].inputs[k]]++;
            total++;
        }
    }
    p->readers = td_alloc(p->ctx, (size_t)total, sizeof *p->readers);
    if (p->readers == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 1; i < nodes; i++) {
        p->reader_ends[i] += p->reader_ends[i - 1];
    }
    for (int i = nodes - 1; i >= 0; i--) { /* fills backwards: ends become starts */
        for (int k = p->graph->nodes[i].input_count - 1; k >= 0; k--) {
            p->readers[--p->reader_ends[p->graph->nodes[i].inputs[k]]] = i;
        }
    }
    for (int i = 0; i < nodes - 1; i++) { /* and starts become ends again */
        p->reader_ends[i] = p->reader_ends[i + 1];
    }
    if (nodes > 0) {
        p->reader_ends[nodes - 1] = total;
    }
    return TDSNN_OK;
}

/* ------------------------------------------------------------------------- what a drive comes to
 */

/* How the readers of a drive rectify it. */
typedef struct rectifier {
    bool any;   /* some reader has been looked at */
    bool mixed; /* readers differ, or one of them does not rectify */
    float negative, cap;
    int budget; /* of nodes to look at: a file of diamonds has exponentially many paths */
} rectifier;

#define RECTIFIER_BUDGET 1000

static void meet(rectifier *r, float negative, float cap) {
    r->mixed = r->mixed || (r->any && (r->negative != negative || r->cap != cap));
    r->any = true;
    r->negative = negative;
    r->cap = cap;
}

static bool commutes_with_rectifier(td_op op) {
    return op == TD_OP_MAXPOOL || op == TD_OP_FLATTEN || op == TD_OP_UNFLATTEN ||
           op == TD_OP_CONCAT || op == TD_OP_SLICE;
}

/* What a Clip multiplies negative values with: 0, or 1 where it caps both sides of a pair at one
 * end; negative where a code cannot do its work. */
static float clip_slope(const td_node *node) {
    return node->low == 0.0f ? 0.0f : node->low == -node->high ? 1.0f : -1.0f;
}

/* Follows all readers through what a rectifier commutes with. */
static void find_rectifiers(const placer *p, int index, rectifier *r) {
    node_list readers = readers_of(p, index);
    r->mixed = r->mixed || readers.count == 0 || r->budget-- <= 0;
    for (int i = 0; i < readers.count && !r->mixed; i++) {
        const td_node *node = &p->graph->nodes[readers.nodes[i]];
        if (node->op == TD_OP_RELU) {
            meet(r, 0.0f, INFINITY);
        } else if (node->op == TD_OP_CLIP && clip_slope(node) >= 0.0f) {
            meet(r, clip_slope(node), node->high);
        } else if (node->op == TD_OP_LEAKY) {
            meet(r, node->negative, INFINITY);
        } else if (commutes_with_rectifier(node->op)) {
            find_rectifiers(p, readers.nodes[i], r);
        } else {
            r->mixed = true;
        }
    }
}

static bool is_constant_op(td_op op) {
    return op == TD_OP_SUB || op == TD_OP_DIV || op == TD_OP_MUL || op == TD_OP_SHIFT;
}

static bool is_relabel(td_op op) {
    return op == TD_OP_FLATTEN || op == TD_OP_UNFLATTEN;
}

static size_t plane_of(td_shape shape) {
    return (size_t)shape.h * (size_t)shape.w;
}

static bool same_plane(td_shape a, td_shape b) {
    return a.h == b.h && a.w == b.w;
}

/* Whether a node of constants multiplies all values of one channel of `frame` by one number. */
static bool is_uniform(const td_node *node, td_shape frame) {
    size_t plane = plane_of(frame), seen = plane_of(node->shape);
    bool factors = node->op == TD_OP_MUL || node->op == TD_OP_DIV, uniform = true;
    for (size_t i = 0; i < td_shape_count(frame) && factors && uniform; i++) {
        uniform = node->operand[i / seen] == node->operand[i / plane * plane / seen];
    }
    return uniform;
}

/* Whether a linear layer is composed with the only one that reads it (SPEC 5). Of three in a row
 * the first two are. */
static bool is_composed(const placer *p, int index) {
    const td_node *node = &p->graph->nodes[index];
    int reader = only_reader(p, index);
    bool linear = node->op == TD_OP_CONV || node->op == TD_OP_INNER;
    return linear && reader >= 0 && p->forms[node->inputs[0]] != FORM_DRIVE &&
           td_node_composes(p->graph, &p->graph->nodes[reader]);
}

/* Whether a drive may stay one: its only reader adds to it or is composed with it, or it is the
 * logits. */
static bool stays_drive(const placer *p, int index) {
    td_shape frame = p->frames[index];
    if (is_composed(p, index)) {
        return true;
    }
    while (index != p->logits) {
        int reader = only_reader(p, index);
        const td_node *node = reader < 0 ? NULL : &p->graph->nodes[reader];
        if (node != NULL && node->op == TD_OP_ADD) {
            return same_plane(node->shape, frame);
        }
        if (node != NULL && is_constant_op(node->op)) {
            return is_uniform(node, frame);
        }
        if (node == NULL || !is_relabel(node->op)) {
            return false;
        }
        index = reader;
    }
    return true;
}

static void put_code(placer *p, int index, float negative, float cap) {
    const td_node *node = &p->graph->nodes[index];
    if (node->op != TD_OP_UNFLATTEN && p->forms[node->inputs[0]] != FORM_DRIVE) {
        p->frames[index] = node->shape; /* what was behind a relabel lies as it is read now */
    }
    p->placement->sites[index] = (td_site){.coded = true, .negative = negative, .cap = cap};
    p->forms[index] = negative == 0.0f ? FORM_SPIKES : FORM_SIGNED;
    p->origins[index] = FROM_HIDDEN;
}

static bool is_rectifier(td_op op) {
    return op == TD_OP_RELU || op == TD_OP_CLIP || op == TD_OP_LEAKY;
}

/* Whether all readers rectify a drive, some perhaps behind a constant of their own: relu(x) beside
 * relu(-x). */
static bool feeds_rectifiers_only(const placer *p, int index) {
    node_list readers = readers_of(p, index);
    for (int i = 0; i < readers.count; i++) {
        int at = readers.nodes[i];
        bool constant = is_constant_op(p->graph->nodes[at].op) &&
                        is_uniform(&p->graph->nodes[at], p->frames[index]);
        at = constant ? only_reader(p, at) : at;
        if (at < 0 || !is_rectifier(p->graph->nodes[at].op)) {
            return false;
        }
    }
    return true;
}

/* A node that computes a drive. Rectifiers that differ have neurons of their own, all of which read
 * what the drive is made of. */
static void place_drive(placer *p, int index) {
    rectifier r = {.cap = INFINITY, .budget = RECTIFIER_BUDGET};
    p->forms[index] = FORM_DRIVE;
    if (stays_drive(p, index)) {
        return;
    }
    find_rectifiers(p, index, &r);
    if (!r.mixed) {
        put_code(p, index, r.negative, r.cap);
    } else if (!feeds_rectifiers_only(p, index)) {
        put_code(p, index, 1.0f, INFINITY);
    }
}

/* ----------------------------------------------------------------------------------------- nodes
 */

/* Whether nothing but the network's last linear layer reads a value, or it is the logits itself; a
 * Flatten is looked through. */
static bool feeds_last_linear_only(const placer *p, int index) {
    while (index != p->logits) {
        int reader = only_reader(p, index);
        td_op op = reader < 0 ? TD_OP_COUNT : p->graph->nodes[reader].op;
        if (op != TD_OP_FLATTEN) {
            return (op == TD_OP_CONV || op == TD_OP_INNER) && stays_drive(p, reader);
        }
        index = reader;
    }
    return true;
}

/* A pool reads spike times, without constants behind them. */
static bool feeds_pool(const placer *p, int index) {
    node_list readers = readers_of(p, index);
    for (int i = 0; i < readers.count; i++) {
        td_op op = p->graph->nodes[readers.nodes[i]].op;
        if (op == TD_OP_MAXPOOL || op == TD_OP_AVGPOOL) {
            return true;
        }
    }
    return false;
}

static bool is_global(const td_graph *graph, const td_node *node) {
    td_shape in = graph->nodes[node->inputs[0]].shape;
    return node->shape.h == 1 && node->shape.w == 1 && node->window.y.kernel == in.h &&
           node->window.x.kernel == in.w;
}

/* A sum takes averages as they are. */
static bool feeds_sum_only(const placer *p, int index) {
    int reader = only_reader(p, index);
    return reader >= 0 && p->graph->nodes[reader].op == TD_OP_ADD;
}

#define NOT_AS_A_PICTURE                                                                           \
    "it reads flat values made a picture, or with a factor for each, that have no neurons of "     \
    "their own; put a linear layer between"

/* Whether the neurons of a value are a picture only to who reads them. */
static bool is_relabelled(const placer *p, int index) {
    td_shape shape = p->graph->nodes[index].shape;
    return !shape.flat && !same_plane(shape, p->frames[index]);
}

/* An average in front of the last linear layer is composed with its synapses; any other has
 * neurons of its own. */
static tdsnn_status place_average(placer *p, int index, form in) {
    const td_node *node = &p->graph->nodes[index];
    if (is_relabelled(p, node->inputs[0])) {
        return refuse(p, node, NOT_AS_A_PICTURE);
    }
    p->frames[index] = node->shape;
    if (in == FORM_LINEAR) {
        return refuse(p, node,
                      "it averages values behind constants or another average that have "
                      "no code of their own");
    }
    bool composed = index == p->logits || feeds_sum_only(p, index) ||
                    (is_global(p->graph, node) && feeds_last_linear_only(p, index));
    p->forms[index] = FORM_LINEAR;
    if (!composed) {
        put_code(p, index, in == FORM_SIGNED ? 1.0f : 0.0f, INFINITY);
    }
    return TDSNN_OK;
}

/* Whether every value that comes to a rectifier has been through it already: it was coded for it,
 * or it is never negative and not above the cap. */
static bool is_rectified(const placer *p, int index, float negative, float cap, int *budget) {
    const td_node *node = &p->graph->nodes[index];
    const td_site *site = &p->placement->sites[index];
    if (site->coded) {
        bool same = index != 0 && (site->negative == 0.0f || site->negative == negative);
        return same && site->cap <= cap;
    }
    if (!commutes_with_rectifier(node->op) || (*budget)-- <= 0) {
        return false;
    }
    for (int k = 0; k < node->input_count; k++) {
        if (!is_rectified(p, node->inputs[k], negative, cap, budget)) {
            return false;
        }
    }
    return true;
}

/* ReLU, Clip, LeakyReLU: where the drive before it has its code, that code is its work; otherwise
 * it becomes neurons of its own. */
static tdsnn_status place_rectifier(placer *p, int index, form in) {
    const td_node *node = &p->graph->nodes[index];
    float negative = node->op == TD_OP_LEAKY  ? node->negative
                     : node->op == TD_OP_CLIP ? clip_slope(node)
                                              : 0.0f;
    float cap = node->op == TD_OP_CLIP ? node->high : INFINITY;
    int budget = RECTIFIER_BUDGET;
    if (negative < 0.0f) {
        return refuse(p, node,
                      "its ends are neither 0 and b nor -b and b; only those of ReLU, LeakyReLU "
                      "and such Clips are supported");
    }
    bool harmless = in == FORM_SPIKES && node->op != TD_OP_CLIP;
    if (!harmless && !is_rectified(p, node->inputs[0], negative, cap, &budget)) {
        put_code(p, index, negative, cap);
    }
    p->placement->sites[index].dropped = true;
    return TDSNN_OK;
}

/* Constants to look at in front of one. */
#define RELABEL_BUDGET 64

/* Flat values as a picture. Behind factors that differ within a channel, or behind averages, they
 * have neurons of their own, which lie flat. */
static void place_unflatten(placer *p, int index, form in) {
    const td_graph *graph = p->graph;
    td_shape shape = graph->nodes[index].shape;
    int at = graph->nodes[index].inputs[0];
    bool uniform = true;
    int budget = RELABEL_BUDGET;
    while (in == FORM_LINEAR && !p->placement->sites[at].coded && uniform && at > 0) {
        const td_node *node = &graph->nodes[at];
        bool passes = is_constant_op(node->op) || is_relabel(node->op);
        uniform = passes && budget-- > 0 && (!is_constant_op(node->op) || is_uniform(node, shape));
        at = passes ? node->inputs[0] : at;
    }
    if (!uniform) {
        p->frames[index] = graph->nodes[graph->nodes[index].inputs[0]].shape;
        place_drive(p, index);
    }
}

/* What a concatenation is: the most general of its parts. */
static form widest_input(const placer *p, const td_node *node) {
    form widest = FORM_SPIKES;
    for (int k = 0; k < node->input_count; k++) {
        form in = p->forms[node->inputs[k]];
        widest = in > widest ? in : widest;
    }
    return widest;
}

/* How the neurons of a node lie: as its values do, or for what moves nothing as those before it. */
static td_shape frame_of(const placer *p, int index) {
    const td_node *node = &p->graph->nodes[index];
    bool moves = node->input_count == 0 || node->op == TD_OP_CONV || node->op == TD_OP_INNER ||
                 node->op == TD_OP_ADD || node->op == TD_OP_MAXPOOL;
    if (moves) {
        return node->shape;
    }
    for (int k = 0; k < node->input_count; k++) {
        if (is_relabelled(p, node->inputs[k])) {
            return p->frames[node->inputs[k]];
        }
    }
    return p->frames[node->inputs[0]];
}

static tdsnn_status place_node(placer *p, int index) {
    const td_node *node = &p->graph->nodes[index];
    form in = node->input_count > 0 ? widest_input(p, node) : FORM_LINEAR;
    for (int k = 0; k < node->input_count; k++) {
        p->origins[index] |= p->origins[node->inputs[k]];
    }
    p->forms[index] = in;
    p->frames[index] = frame_of(p, index);
    switch (node->op) {
    case TD_OP_INPUT:
        p->forms[index] = p->placement->sites[index].coded ? FORM_SIGNED : FORM_LINEAR;
        p->origins[index] = FROM_INPUT;
        return TDSNN_OK;
    case TD_OP_CONV:
    case TD_OP_INNER:
    case TD_OP_ADD:
        p->placement->input_joins |= p->origins[index] == (FROM_INPUT | FROM_HIDDEN);
        place_drive(p, index);
        return TDSNN_OK;
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        p->forms[index] = FORM_LINEAR;
        if (in == FORM_DRIVE || feeds_pool(p, index)) {
            place_drive(p, index);
        }
        return TDSNN_OK;
    case TD_OP_RELU:
    case TD_OP_CLIP:
    case TD_OP_LEAKY:
        return place_rectifier(p, index, in);
    case TD_OP_MAXPOOL:
        if (is_relabelled(p, node->inputs[0])) {
            return refuse(p, node, NOT_AS_A_PICTURE);
        }
        return in != FORM_LINEAR ? TDSNN_OK
                                 : refuse(p, node,
                                          "it reads values behind constants or an average "
                                          "that have no code of their own");
    case TD_OP_AVGPOOL:
        return place_average(p, index, in);
    case TD_OP_UNFLATTEN:
        place_unflatten(p, index, in);
        return TDSNN_OK;
    case TD_OP_CONCAT:
    case TD_OP_SLICE:
    case TD_OP_FLATTEN:
    case TD_OP_SOFTMAX:
    case TD_OP_LOGSOFTMAX:
    case TD_OP_SIGMOID:
        return TDSNN_OK;
    default:
        return refuse(p, node, "this network is converted already");
    }
}

tdsnn_status td_place(tdsnn_context *ctx, const td_graph *graph, bool analog,
                      td_placement *placement) {
    size_t nodes = (size_t)graph->node_count;
    td_placement made = {.sites = td_alloc(ctx, nodes, sizeof *made.sites)};
    placer p = {.ctx = ctx,
                .graph = graph,
                .placement = &made,
                .forms = td_alloc(ctx, nodes, sizeof *p.forms),
                .origins = td_alloc(ctx, nodes, 1),
                .frames = td_alloc(ctx, nodes, sizeof *p.frames),
                .reader_ends = td_alloc(ctx, nodes, sizeof *p.reader_ends),
                .logits = td_graph_logits(graph)};
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (made.sites != NULL && p.forms != NULL && p.origins != NULL && p.frames != NULL &&
        p.reader_ends != NULL) {
        status = list_readers(&p);
        made.sites[0] = (td_site){.coded = !analog, .cap = INFINITY};
    }
    for (int i = 0; i < graph->node_count && status == TDSNN_OK; i++) {
        status = place_node(&p, i);
    }
    td_free(p.forms);
    td_free(p.origins);
    td_free(p.frames);
    td_free(p.reader_ends);
    td_free(p.readers);
    if (status != TDSNN_OK) {
        td_placement_free(&made);
        return status;
    }
    *placement = made;
    return TDSNN_OK;
}

void td_placement_free(td_placement *placement) {
    td_free(placement->sites);
    *placement = (td_placement){0};
}
