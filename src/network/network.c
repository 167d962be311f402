/* Compiling a coded graph, node by node: what lies between two codes is a linear expression over
 * spiking populations (drive.h); a code or the read-out closes it into a layer of neurons. */
#include "network/network.h"

#include <math.h>
#include <string.h>

#include "network/drive.h"

/* What a node of the graph is in the network: spikes of some populations (or an analog input), or a
 * drive that waits for its code. */
typedef struct value {
    bool is_drive;
    td_shape shape;
    int part_count;
    td_part *parts;
    td_drive drive;
    const char *name;      /* of the node that a drive's layer is named after */
    const td_node *linear; /* a drive that is just what this node makes of spikes; else NULL */
} value;

typedef struct compiler {
    tdsnn_context *ctx;
    const td_graph *graph;
    td_network *network;
    td_arena *scratch;
    value *values; /* [graph->node_count] */
} compiler;

static tdsnn_status refuse(compiler *c, const td_node *node, const char *reason) {
    return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                    "node '%s' (%s) has no place in a spiking network: %s", node->name,
                    td_op_name(node->op), reason);
}

static const td_layer *layer_of(const compiler *c, const td_part *part) {
    return &c->network->layers[part->layer];
}

/* ---------------------------------------------------------------------------------------- values
 */

/* Spikes with room for `count` parts. */
static tdsnn_status spikes_alloc(compiler *c, td_shape shape, int count, value *out) {
    *out = (value){.shape = shape};
    out->parts = td_arena_alloc(c->scratch, (size_t)count, sizeof *out->parts);
    return out->parts == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* Spikes of a whole layer. */
static tdsnn_status spikes_of_layer(compiler *c, int layer, td_shape shape, value *out) {
    if (spikes_alloc(c, shape, 1, out) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    out->parts[out->part_count++] = (td_part){.layer = layer, .view = shape, .channels = shape.c};
    return TDSNN_OK;
}

/* The same spikes, to be changed. */
static tdsnn_status spikes_copy(compiler *c, const value *in, td_shape shape, value *out) {
    if (spikes_alloc(c, shape, in->part_count, out) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    out->part_count = in->part_count;
    memcpy(out->parts, in->parts, (size_t)in->part_count * sizeof *in->parts);
    return TDSNN_OK;
}

static tdsnn_status as_drive(compiler *c, const value *in, td_drive *drive) {
    if (in->is_drive) {
        *drive = in->drive;
        return TDSNN_OK;
    }
    return td_drive_identity(c->scratch, in->shape, in->parts, in->part_count, drive);
}

static value drive_value(const td_drive *drive, const td_node *node) {
    return (value){.is_drive = true, .shape = node->shape, .drive = *drive, .name = node->name};
}

/* ---------------------------------------------------------------------------------------- layers
 */

/* Opens the next layer. */
static td_layer *open_layer(compiler *c, const char *name, td_shape shape, td_layer_kind kind) {
    td_network *n = c->network;
    void *layers = n->layers;
    if (td_reserve(c->ctx, &layers, &n->layer_capacity, (size_t)n->layer_count + 1,
                   sizeof *n->layers) != TDSNN_OK) {
        return NULL;
    }
    n->layers = layers;
    td_layer *layer = &n->layers[n->layer_count++];
    *layer = (td_layer){.name = td_arena_strdup(n->arena, name), .kind = kind, .shape = shape};
    return layer->name == NULL ? NULL : layer;
}

/* What spikes at each time stand for (see td_layer.event_values and .negative_values). */
static tdsnn_status set_code(compiler *c, td_layer *layer, const td_node *node) {
    const tdsnn_code *code = node->code;
    td_arena *arena = c->network->arena;
    tdsnn_code *copy = td_arena_alloc(arena, 1, sizeof *copy);
    float *events = td_arena_alloc(arena, TDSNN_MAX_STEPS + 1, sizeof *events);
    float *negatives = td_arena_alloc(arena, TDSNN_MAX_STEPS + 1, sizeof *negatives);
    if (copy == NULL || events == NULL || negatives == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *copy = *code;
    double zero = code->offset == 0 ? 0.0 : tdsnn_code_value(code, 0);
    for (int t = 1; t <= code->steps; t++) {
        events[t] = code->offset == 0 ? code->values[t] : (float)(tdsnn_code_value(code, t) - zero);
        negatives[t] = node->negative * events[t];
    }
    if (!isfinite(negatives[code->steps])) {
        return td_error(c->ctx, TDSNN_ERR_INPUT,
                        "node '%s': with its slope of %g its values are beyond float32; train anew",
                        node->name, (double)node->negative);
    }
    layer->code = copy;
    layer->event_values = events;
    layer->pair = node->negative != 0.0f;
    layer->negative = node->negative;
    layer->negative_values = layer->pair ? negatives : NULL;
    return TDSNN_OK;
}

/* All populations of a layer share a leak (their membrane has one) and an offset. */
static tdsnn_status check_sources(compiler *c, const td_drive *drive, const char *name) {
    const td_layer *layers = c->network->layers;
    const tdsnn_code *first = layers[drive->terms[0].synapses.source].code;
    for (int i = 1; i < drive->term_count; i++) {
        const tdsnn_code *code = layers[drive->terms[i].synapses.source].code;
        bool same = (code == NULL) == (first == NULL) &&
                    (code == NULL || (code->leak == first->leak && code->offset == first->offset));
        if (!same) {
            return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                            "layer '%s' reads codes of different leaks or offsets; a membrane has "
                            "one leak",
                            name);
        }
    }
    return TDSNN_OK;
}

static bool all_finite(const float *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i])) {
            return false;
        }
    }
    return true;
}

/* Weights and constants were numbers one by one; together they may have left float32. */
static tdsnn_status check_folded(compiler *c, const td_layer *layer) {
    size_t channels = (size_t)layer->shape.c, neurons = td_shape_count(layer->shape);
    bool sound = all_finite(layer->bias, layer->bias_per_neuron ? neurons : channels) &&
                 all_finite(layer->event_bias, layer->event_bias_per_neuron ? neurons : channels);
    for (int i = 0; i < layer->synapse_count; i++) {
        const td_synapses *s = &layer->synapses[i];
        size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
        size_t fan_in = (size_t)(s->inputs / s->groups) * window;
        sound = sound && all_finite(s->weights, (size_t)s->outputs * fan_in);
    }
    return sound ? TDSNN_OK
                 : td_error(c->ctx, TDSNN_ERR_INPUT,
                            "layer '%s': with the constants around it folded in, a weight or bias "
                            "is beyond float32; train anew",
                            layer->name);
}

static tdsnn_status close_layer(compiler *c, const td_drive *drive, const char *name,
                                td_layer_kind kind) {
    tdsnn_status status = check_sources(c, drive, name);
    if (status != TDSNN_OK) {
        return status;
    }
    td_layer *layer = open_layer(c, name, drive->shape, kind);
    if (layer == NULL || td_drive_close(c->network->arena, c->scratch, drive, c->network->layers,
                                        layer) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    return check_folded(c, layer);
}

/* ----------------------------------------------------------------------------------------- nodes
 */

static tdsnn_status compile_input(compiler *c, const td_node *node, value *out) {
    if (open_layer(c, node->name, node->shape, TD_LAYER_INPUT) == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return spikes_of_layer(c, 0, node->shape, out);
}

/* The code of the input: nothing else may read the input as it is. */
static tdsnn_status compile_input_code(compiler *c, const td_node *node, value *out) {
    if (td_graph_consumers(c->graph, 0) != 1) {
        return refuse(c, node, "the input is read elsewhere without its code");
    }
    tdsnn_status status = set_code(c, &c->network->layers[0], node);
    return status != TDSNN_OK ? status : spikes_of_layer(c, 0, node->shape, out);
}

static tdsnn_status compile_code(compiler *c, const td_node *node, const value *in, value *out) {
    if (node->negative != 0.0f && node->code->offset != 0) {
        return refuse(c, node, "a signed pair exists at offset 0 only");
    }
    if (node->inputs[0] == 0) {
        return compile_input_code(c, node, out);
    }
    td_drive drive;
    tdsnn_status status = as_drive(c, in, &drive);
    const char *name = in->is_drive ? in->name : node->name;
    status = status != TDSNN_OK ? status : close_layer(c, &drive, name, TD_LAYER_SYNAPSES);
    if (status != TDSNN_OK) {
        return status;
    }
    int layer = c->network->layer_count - 1;
    status = set_code(c, &c->network->layers[layer], node);
    return status != TDSNN_OK ? status : spikes_of_layer(c, layer, node->shape, out);
}

/* The second of two linear layers without a code between them. */
static tdsnn_status compile_composed(compiler *c, const td_node *node, const value *in,
                                     value *out) {
    td_drive drive;
    bool fits = in->linear != NULL && td_node_composes(c->graph, node);
    if (fits) {
        uint64_t macs = td_node_macs(c->graph, node, false);
        if (td_drive_compose(c->scratch, node, &in->drive, macs, &drive, &fits) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    if (!fits) {
        return refuse(c, node, "it reads a drive that has no code; convert the network first");
    }
    *out = drive_value(&drive, node);
    return TDSNN_OK;
}

static tdsnn_status compile_linear(compiler *c, const td_node *node, const value *in, value *out) {
    td_drive drive;
    bool fits;
    if (in->is_drive) {
        return compile_composed(c, node, in, out);
    }
    if (td_drive_linear(c->scratch, node, in->parts, in->part_count, &drive, &fits) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    if (!fits) {
        return refuse(c, node, "one of its groups takes channels from two concatenated values");
    }
    *out = drive_value(&drive, node);
    out->linear = node;
    return TDSNN_OK;
}

/* The most populations that one drive adds up. A value added to itself n times over has 2^n. */
#define MAX_TERMS 1024

/* Whether a drive's neurons lie as the node's values do: those of a Flatten need not. */
static bool lies_alike(const td_drive *drive, const td_node *node) {
    return drive->shape.h == node->shape.h && drive->shape.w == node->shape.w;
}

static tdsnn_status compile_add(compiler *c, const td_node *node, value *out) {
    td_drive sum;
    tdsnn_status status = as_drive(c, &c->values[node->inputs[0]], &sum);
    for (int i = 1; i < node->input_count && status == TDSNN_OK; i++) {
        td_drive next;
        status = as_drive(c, &c->values[node->inputs[i]], &next);
        if (status == TDSNN_OK && !(lies_alike(&sum, node) && lies_alike(&next, node))) {
            return refuse(c, node,
                          "it adds to a drive behind a Flatten or Reshape; put a code in front of "
                          "that");
        }
        if (status == TDSNN_OK && sum.term_count + next.term_count > MAX_TERMS) {
            return refuse(c, node,
                          "it adds up more than 1024 populations; put a code in front of it");
        }
        if (status == TDSNN_OK) {
            status = td_drive_add(c->scratch, &sum, &next, &sum);
        }
    }
    if (status == TDSNN_OK) {
        *out = drive_value(&sum, node);
    }
    return status;
}

#define NOT_AS_A_PICTURE                                                                           \
    "it reads flat values made a picture, or with a constant for each, that have no neurons of "   \
    "their own; put a linear layer between"

/* Whether the neurons of a part are a picture only to who reads them. */
static bool is_relabelled(const compiler *c, const td_part *part) {
    td_shape own = layer_of(c, part)->shape;
    return !part->averages && !part->view.flat && (own.h != part->view.h || own.w != part->view.w);
}

/* A max-pool over one part is a layer of its own. */
static tdsnn_status compile_pool_part(compiler *c, const td_node *node, const td_part *part,
                                      const char *name, td_part *out) {
    if (layer_of(c, part)->code == NULL) {
        return refuse(c, node,
                      "a max-pool takes the latest of spike times, and the input has no "
                      "code");
    }
    if (is_relabelled(c, part)) {
        return refuse(c, node, NOT_AS_A_PICTURE);
    }
    if (part->affine.scale != NULL || part->averages) {
        return refuse(c, node, "constants or an average stand between the code and the max-pool");
    }
    td_shape shape = {part->channels, node->shape.h, node->shape.w, false};
    td_layer *layer = open_layer(c, name, shape, TD_LAYER_POOL);
    td_synapses *s = td_arena_alloc(c->network->arena, 1, sizeof *s);
    if (layer == NULL || s == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *s = (td_synapses){.source = part->layer,
                       .view = part->view,
                       .first_input = part->first,
                       .inputs = part->channels,
                       .outputs = part->channels,
                       .window = node->window,
                       .groups = part->channels};
    td_layer *source = &c->network->layers[part->layer];
    source->feeds_pool = true;
    layer->synapses = s;
    layer->synapse_count = 1;
    layer->code = source->code;
    layer->event_values = source->event_values;
    layer->pair = source->pair;
    layer->negative = source->negative;
    layer->negative_values = source->negative_values;
    *out =
        (td_part){.layer = c->network->layer_count - 1, .view = shape, .channels = part->channels};
    return TDSNN_OK;
}

static tdsnn_status compile_pool(compiler *c, const td_node *node, const value *in, value *out) {
    if (in->is_drive) {
        return refuse(c, node, "it reads a drive that has no code; convert the network first");
    }
    tdsnn_status status = spikes_alloc(c, node->shape, in->part_count, out);
    for (int i = 0; i < in->part_count && status == TDSNN_OK; i++) {
        const char *name = in->part_count == 1
                               ? node->name
                               : td_arena_printf(c->scratch, "%s/part%d", node->name, i + 1);
        status = name == NULL ? TDSNN_ERR_RUNTIME
                              : compile_pool_part(c, node, &in->parts[i], name, &out->parts[i]);
    }
    out->part_count = in->part_count;
    return status;
}

/* Whether every output's window lies inside the input. */
static bool is_whole(const td_window *w, td_shape in, td_shape out) {
    return td_axis_total(&w->y, out.h, in.h) == (size_t)w->y.kernel * (size_t)out.h &&
           td_axis_total(&w->x, out.w, in.w) == (size_t)w->x.kernel * (size_t)out.w;
}

static tdsnn_status compile_average(compiler *c, const td_node *node, const value *in, value *out) {
    if (in->is_drive) {
        return refuse(c, node, "it reads a drive that has no code; convert the network first");
    }
    if (spikes_copy(c, in, node->shape, out) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < out->part_count; i++) {
        td_part *part = &out->parts[i];
        const tdsnn_code *code = layer_of(c, part)->code;
        bool constants = part->affine.scale != NULL || (code != NULL && code->offset == 1);
        if (part->averages) {
            return refuse(c, node, "it averages averages that have no code of their own");
        }
        if (part->affine.by_value || is_relabelled(c, part)) {
            return refuse(c, node, NOT_AS_A_PICTURE);
        }
        if (constants && !is_whole(&node->window, in->shape, node->shape)) {
            return refuse(c, node,
                          "its windows are cut by padding, and what it reads is not 0 "
                          "where nothing fires");
        }
        part->averages = true;
        part->average = node->window;
        part->count_padding = node->count_padding;
        part->averaged = (td_shape){part->view.c, node->shape.h, node->shape.w, false};
        part->view = part->averaged;
    }
    return TDSNN_OK;
}

static tdsnn_status compile_constant(compiler *c, const td_node *node, const value *in,
                                     value *out) {
    if (in->is_drive) {
        td_drive drive;
        bool fits;
        tdsnn_status status = td_drive_apply(c->scratch, node, &in->drive, &drive, &fits);
        if (status == TDSNN_OK && !fits) {
            return refuse(c, node,
                          "it multiplies positions of one channel by different numbers, and the "
                          "synapses of a channel are the same everywhere; put a code in front");
        }
        *out = drive_value(&drive, node);
        return status;
    }
    size_t plane = (size_t)in->shape.h * (size_t)in->shape.w;
    tdsnn_status status = spikes_copy(c, in, node->shape, out);
    for (int i = 0, first = 0; i < in->part_count && status == TDSNN_OK; i++) {
        td_part *part = &out->parts[i];
        status = td_affine_apply(c->scratch, node, first, part->channels, plane,
                                 &in->parts[i].affine, &part->affine);
        first += part->channels;
    }
    return status;
}

static tdsnn_status compile_flatten(compiler *c, const td_node *node, const value *in, value *out) {
    if (in->is_drive) {
        *out = *in;
        out->shape = node->shape;
        out->linear = NULL;
        return TDSNN_OK;
    }
    size_t plane = (size_t)in->shape.h * (size_t)in->shape.w;
    tdsnn_status status = spikes_copy(c, in, node->shape, out);
    for (int i = 0; i < in->part_count && status == TDSNN_OK; i++) {
        td_part *part = &out->parts[i];
        status = td_affine_flatten(c->scratch, part->channels, plane, &in->parts[i].affine,
                                   &part->affine);
        part->view = (td_shape){(int)td_shape_count(part->view), 1, 1, true};
        part->first *= (int)plane;
        part->channels *= (int)plane;
    }
    return status;
}

/* Parts of flat spikes seen as planes; *fits is false where one cannot be. */
static tdsnn_status unflatten_parts(compiler *c, td_shape to, value *out, bool *fits) {
    size_t plane = (size_t)to.h * (size_t)to.w;
    tdsnn_status status = TDSNN_OK;
    *fits = true;
    for (int i = 0; i < out->part_count && status == TDSNN_OK && *fits; i++) {
        td_part *part = &out->parts[i];
        size_t first = (size_t)part->first, count = (size_t)part->channels;
        *fits = !part->averages && first % plane == 0 && count % plane == 0 &&
                (size_t)part->view.c % plane == 0;
        if (*fits) {
            part->first = (int)(first / plane);
            part->channels = (int)(count / plane);
            part->view = (td_shape){(int)((size_t)part->view.c / plane), to.h, to.w, false};
            status = td_affine_unflatten(c->scratch, part->channels, plane, &part->affine,
                                         &part->affine, fits);
        }
    }
    return status;
}

/* Flat spikes as a picture: the same neurons. Where constants or averages are in the way it is a
 * drive, which needs a code. */
static tdsnn_status compile_unflatten(compiler *c, const td_node *node, const value *in,
                                      value *out) {
    bool fits = !in->is_drive;
    if (fits) {
        tdsnn_status status = spikes_copy(c, in, node->shape, out);
        status = status != TDSNN_OK ? status : unflatten_parts(c, node->shape, out, &fits);
        if (status != TDSNN_OK || fits) {
            return status;
        }
    }
    td_drive drive;
    tdsnn_status status = as_drive(c, in, &drive);
    if (status == TDSNN_OK) {
        *out = drive_value(&drive, node);
        out->name = in->is_drive ? in->name : node->name;
    }
    return status;
}

static tdsnn_status compile_concat(compiler *c, const td_node *node, value *out) {
    int count = 0;
    for (int i = 0; i < node->input_count; i++) {
        const value *in = &c->values[node->inputs[i]];
        if (in->is_drive) {
            return refuse(c, node, "it reads a drive that has no code; convert the network first");
        }
        count += in->part_count;
    }
    if (spikes_alloc(c, node->shape, count, out) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < node->input_count; i++) {
        const value *in = &c->values[node->inputs[i]];
        memcpy(out->parts + out->part_count, in->parts, (size_t)in->part_count * sizeof *in->parts);
        out->part_count += in->part_count;
    }
    return TDSNN_OK;
}

/* Keeps of each part the channels that fall into the slice. */
static tdsnn_status compile_slice(compiler *c, const td_node *node, const value *in, value *out) {
    if (in->is_drive) {
        return refuse(c, node, "it reads a drive that has no code; convert the network first");
    }
    if (spikes_alloc(c, node->shape, in->part_count, out) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    size_t plane = (size_t)in->shape.h * (size_t)in->shape.w;
    int begin = node->first_channel, end = begin + node->shape.c;
    for (int i = 0, first = 0; i < in->part_count; first += in->parts[i++].channels) {
        td_part part = in->parts[i];
        int from = begin > first ? begin - first : 0;
        int to = end < first + part.channels ? end - first : part.channels;
        if (from >= to) {
            continue;
        }
        part.first += from;
        part.channels = to - from;
        if (part.affine.scale != NULL) {
            part.affine.scale += from;
            part.affine.shift += (size_t)from * (part.affine.by_value ? plane : 1);
        }
        out->parts[out->part_count++] = part;
    }
    return TDSNN_OK;
}

static tdsnn_status compile_node(compiler *c, int index) {
    const td_node *node = &c->graph->nodes[index];
    const value *in = node->input_count > 0 ? &c->values[node->inputs[0]] : NULL;
    value *out = &c->values[index];
    switch (node->op) {
    case TD_OP_INPUT:
        return compile_input(c, node, out);
    case TD_OP_CODE:
        return compile_code(c, node, in, out);
    case TD_OP_CONV:
    case TD_OP_INNER:
        return compile_linear(c, node, in, out);
    case TD_OP_ADD:
        return compile_add(c, node, out);
    case TD_OP_MAXPOOL:
        return compile_pool(c, node, in, out);
    case TD_OP_AVGPOOL:
        return compile_average(c, node, in, out);
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        return compile_constant(c, node, in, out);
    case TD_OP_FLATTEN:
        return compile_flatten(c, node, in, out);
    case TD_OP_UNFLATTEN:
        return compile_unflatten(c, node, in, out);
    case TD_OP_CONCAT:
        return compile_concat(c, node, out);
    case TD_OP_SLICE:
        return compile_slice(c, node, in, out);
    case TD_OP_SOFTMAX:
    case TD_OP_LOGSOFTMAX:
    case TD_OP_SIGMOID:
        *out = *in;
        return TDSNN_OK;
    default:
        return refuse(c, node, "a converted network has no such operator");
    }
}

/* The read-out: the drive that gives the logits, or the values of spikes as they are. */
static tdsnn_status compile_readout(compiler *c) {
    const value *logits = &c->values[td_graph_logits(c->graph)];
    td_drive drive;
    tdsnn_status status = as_drive(c, logits, &drive);
    if (status != TDSNN_OK) {
        return status;
    }
    const char *name = logits->is_drive ? logits->name : "read-out";
    status = close_layer(c, &drive, name, TD_LAYER_READOUT);
    c->network->classes = (int)td_shape_count(drive.shape);
    return status;
}

static tdsnn_status compile(compiler *c) {
    for (int i = 0; i < c->graph->node_count; i++) {
        tdsnn_status status = compile_node(c, i);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    return compile_readout(c);
}

tdsnn_status td_network_create(tdsnn_context *ctx, const td_graph *graph, td_network **network) {
    if (!td_graph_is_spiking(graph)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "this is a plain network without temporal codes; convert it first");
    }
    td_network *made = td_alloc(ctx, 1, sizeof *made);
    compiler c = {.ctx = ctx, .graph = graph, .network = made};
    c.values = td_alloc(ctx, (size_t)graph->node_count, sizeof *c.values);
    c.scratch = td_arena_create(ctx);
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (made != NULL && c.values != NULL && c.scratch != NULL) {
        made->arena = td_arena_create(ctx);
        status = made->arena == NULL ? TDSNN_ERR_RUNTIME : compile(&c);
    }
    td_free(c.values);
    td_arena_destroy(c.scratch);
    if (status != TDSNN_OK) {
        td_network_destroy(made);
        return status;
    }
    *network = made;
    return TDSNN_OK;
}

void td_network_destroy(td_network *network) {
    if (network != NULL) {
        td_free(network->layers);
        td_arena_destroy(network->arena);
        td_free(network);
    }
}

/* Taps of all outputs along an axis, counted through an average pool: for every tap of the window,
 * the members of the average that it reads. */
static uint64_t axis_synapses(const td_axis *window, const td_axis *average, int outputs,
                              int middle, int inputs) {
    uint64_t total = 0;
    for (int o = 0; o < outputs; o++) {
        int first, end;
        td_axis_taps(window, o, middle, &first, &end);
        for (int k = first; k < end; k++) {
            int from, to;
            td_axis_taps(average, td_axis_input(window, o, k), inputs, &from, &to);
            total += (uint64_t)(to - from);
        }
    }
    return total;
}

void td_synapses_heard(const td_network *network, const td_synapses *s, size_t *first,
                       size_t *end) {
    size_t plane = (size_t)s->view.h * (size_t)s->view.w;
    *first = (size_t)s->first_input * plane;
    *end = *first + (size_t)s->inputs * plane;
    if (s->averages) {
        td_shape from = network->layers[s->source].shape;
        size_t means = (size_t)s->averaged.h * (size_t)s->averaged.w;
        size_t values = (size_t)from.h * (size_t)from.w;
        *first = *first / means * values;
        *end = (*end + means - 1) / means * values;
    }
}

/* Members of all the averages that an inner product reads. */
static uint64_t average_members(const td_synapses *s, td_shape from) {
    uint64_t members = 0;
    for (int i = s->first_input; i < s->first_input + s->inputs; i++) {
        int place = i % (s->averaged.h * s->averaged.w), y0, y1, x0, x1;
        td_axis_taps(&s->average.y, place / s->averaged.w, from.h, &y0, &y1);
        td_axis_taps(&s->average.x, place % s->averaged.w, from.w, &x0, &x1);
        members += (uint64_t)(y1 - y0) * (uint64_t)(x1 - x0);
    }
    return members;
}

uint64_t td_synapses_count(const td_network *network, const td_layer *layer, const td_synapses *s) {
    uint64_t fan = (uint64_t)s->outputs * (uint64_t)(s->inputs / s->groups);
    if (!s->averages) {
        return fan * td_axis_total(&s->window.y, layer->shape.h, s->view.h) *
               td_axis_total(&s->window.x, layer->shape.w, s->view.w);
    }
    td_shape from = network->layers[s->source].shape;
    if (s->view.flat) {
        return (uint64_t)(s->outputs / s->groups) * average_members(s, from);
    }
    return fan * axis_synapses(&s->window.y, &s->average.y, layer->shape.h, s->view.h, from.h) *
           axis_synapses(&s->window.x, &s->average.x, layer->shape.w, s->view.w, from.w);
}
