#include <string.h>

#include "onnx/reader.h"
#include "onnx/schema.h"

/* What makes a value, besides a node's number. */
enum { NOTHING = -1, FED = -2, CONSTANT = -3 };

/* A graph being read. Values have names until all of them are known, and numbers then. */
typedef struct graph_reader {
    td_reader *r;
    td_source *source;
    td_arena *scratch;
    td_refs refs;
    int constant_count;
    td_tensor *tensors; /* [constant_count], in the source's arena */
    int *constants;     /* their values */
    int input_count;    /* as declared, initialisers included */
    int *inputs, *outputs;
    td_source_value *input_shapes, *output_shapes; /* declared: rank, dims, symbols */
    int *maker; /* [value_count]: a node, FED, CONSTANT or NOTHING */
} graph_reader;

static tdsnn_status read_dim(const td_reader *r, td_wire message, int64_t *dim,
                             const char **symbol) {
    td_field field;
    *dim = -1;
    while (td_wire_next(&message, &field)) {
        if (field.key == DIM_VALUE && (int64_t)field.value > 0) {
            *dim = (int64_t)field.value; /* 0 and -1 stand for "any" in some files */
        } else if (field.key == DIM_PARAM && field.bytes.at != field.bytes.end) {
            tdsnn_status status = td_read_name(r, &field.bytes, symbol);
            if (status != TDSNN_OK) {
                return status;
            }
        }
    }
    return message.damaged ? td_reader_damaged(r, &message) : TDSNN_OK;
}

static tdsnn_status read_shape(const td_reader *r, td_wire message, td_source_value *shape) {
    td_field field;
    shape->rank = 0;
    while (td_wire_next(&message, &field)) {
        if (field.key != SHAPE_DIM) {
            continue;
        }
        if (shape->rank == TD_MAX_RANK) {
            return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED, "has more than %d dimensions",
                            TD_MAX_RANK);
        }
        tdsnn_status status =
            read_dim(r, field.bytes, &shape->dims[shape->rank], &shape->symbols[shape->rank]);
        if (status != TDSNN_OK) {
            return status;
        }
        shape->rank++;
    }
    return message.damaged ? td_reader_damaged(r, &message) : TDSNN_OK;
}

/* Finds the last message of that key inside another; false if there is none or it is damaged. */
static bool find(td_wire *message, uint32_t key, td_wire *found) {
    bool any = false;
    td_field field;
    while (td_wire_next(message, &field)) {
        if (field.key == key) {
            *found = field.bytes;
            any = true;
        }
    }
    return any && !message->damaged;
}

/* A ValueInfoProto: a name, and the shape of a tensor if it tells one. */
static tdsnn_status read_declared(graph_reader *g, td_wire message, int *place,
                                  td_source_value *shape) {
    td_wire scan = message, name = {0}, type = {0}, tensor = {0}, dims = {0};
    shape->rank = -1;
    if (!find(&scan, VALUE_NAME, &name) || name.at == name.end) {
        return scan.damaged ? td_reader_damaged(g->r, &scan)
                            : td_error(g->r->ctx, TDSNN_ERR_INPUT, "has no name");
    }
    tdsnn_status status = td_refs_add(g->r, &g->refs, &name, place);
    if (status != TDSNN_OK) {
        return status;
    }
    td_wire *level = &message;
    if (find(level, VALUE_TYPE, &type) && find(level = &type, TYPE_TENSOR, &tensor) &&
        find(level = &tensor, TENSOR_TYPE_SHAPE, &dims)) {
        return read_shape(g->r, dims, shape);
    }
    return level->damaged ? td_reader_damaged(g->r, level) : TDSNN_OK;
}

static tdsnn_status read_constant(graph_reader *g, td_wire message, int index) {
    td_wire scan = message, name = {0};
    const char *text = "";
    find(&scan, TENSOR_NAME, &name);
    tdsnn_status status =
        scan.damaged ? td_reader_damaged(g->r, &scan) : td_read_name(g->r, &name, &text);
    if (status == TDSNN_OK && text[0] == '\0') {
        status = td_error(g->r->ctx, TDSNN_ERR_INPUT, "has no name");
    }
    if (status == TDSNN_OK) {
        status = td_read_tensor(g->r, message, &g->tensors[index]);
    }
    return status == TDSNN_OK ? td_refs_add(g->r, &g->refs, &name, &g->constants[index])
                              : td_reader_in(g->r, status, "initialiser", text);
}

/* --- counting, so that every array has its size before it is filled --- */

static tdsnn_status check_counts(const td_reader *r, const size_t *counts, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (counts[i] > TD_ONNX_MAX_ITEMS) {
            return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                            "the graph has %zu nodes, initialisers, inputs or outputs; at most "
                            "%zu are read",
                            counts[i], TD_ONNX_MAX_ITEMS);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status count_parts(graph_reader *g, td_wire message) {
    enum { NODES, CONSTANTS, INPUTS, OUTPUTS, COUNT };
    size_t counts[COUNT] = {0};
    td_field field;
    while (td_wire_next(&message, &field)) {
        counts[NODES] += field.key == GRAPH_NODE;
        counts[CONSTANTS] += field.key == GRAPH_INITIALIZER;
        counts[INPUTS] += field.key == GRAPH_INPUT;
        counts[OUTPUTS] += field.key == GRAPH_OUTPUT;
        if (field.key == GRAPH_SPARSE_INITIALIZER) {
            return td_error(g->r->ctx, TDSNN_ERR_UNSUPPORTED,
                            "sparse initialisers are not supported; export the network with dense "
                            "ones");
        }
    }
    if (message.damaged) {
        return td_reader_damaged(g->r, &message);
    }
    g->source->node_count = (int)counts[NODES];
    g->constant_count = (int)counts[CONSTANTS];
    g->input_count = (int)counts[INPUTS];
    g->source->output_count = (int)counts[OUTPUTS];
    return check_counts(g->r, counts, COUNT);
}

static tdsnn_status allocate_parts(graph_reader *g) {
    td_source *s = g->source;
    size_t nodes = (size_t)s->node_count, constants = (size_t)g->constant_count;
    size_t inputs = (size_t)g->input_count, outputs = (size_t)s->output_count;
    s->nodes = td_arena_alloc(s->arena, nodes, sizeof *s->nodes);
    s->inputs = td_arena_alloc(s->arena, inputs, sizeof *s->inputs);
    s->outputs = td_arena_alloc(s->arena, outputs, sizeof *s->outputs);
    g->outputs = s->outputs;
    g->tensors = td_arena_alloc(s->arena, constants, sizeof *g->tensors);
    g->constants = td_arena_alloc(g->scratch, constants, sizeof *g->constants);
    g->inputs = td_arena_alloc(g->scratch, inputs, sizeof *g->inputs);
    g->input_shapes = td_arena_alloc(g->scratch, inputs, sizeof *g->input_shapes);
    g->output_shapes = td_arena_alloc(g->scratch, outputs, sizeof *g->output_shapes);
    bool all = s->nodes != NULL && s->inputs != NULL && s->outputs != NULL && g->tensors != NULL &&
               g->constants != NULL && g->inputs != NULL && g->input_shapes != NULL &&
               g->output_shapes != NULL;
    return all ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

static tdsnn_status fill_parts(graph_reader *g, td_wire message) {
    int nodes = 0, constants = 0, inputs = 0, outputs = 0;
    tdsnn_status status = TDSNN_OK;
    td_field field;
    while (status == TDSNN_OK && td_wire_next(&message, &field)) {
        switch (field.key) {
        case GRAPH_NODE:
            status = td_read_node(g->r, field.bytes, nodes, &g->refs, &g->source->nodes[nodes]);
            nodes++;
            break;
        case GRAPH_INITIALIZER:
            status = read_constant(g, field.bytes, constants++);
            break;
        case GRAPH_INPUT:
            status = read_declared(g, field.bytes, &g->inputs[inputs], &g->input_shapes[inputs]);
            inputs++;
            break;
        case GRAPH_OUTPUT:
            status =
                read_declared(g, field.bytes, &g->outputs[outputs], &g->output_shapes[outputs]);
            outputs++;
            break;
        default:
            break;
        }
        if (status != TDSNN_OK && (field.key == GRAPH_INPUT || field.key == GRAPH_OUTPUT)) {
            status =
                td_error_in(g->r->ctx, status, field.key == GRAPH_INPUT ? "an input" : "an output");
        }
    }
    return status;
}

/* --- who makes which value --- */

static tdsnn_status made_twice(const graph_reader *g, int value) {
    return td_error(g->r->ctx, TDSNN_ERR_INPUT,
                    "two nodes, initialisers or inputs give the value '%s'; export the network "
                    "again",
                    g->source->values[value].name);
}

static void declare(td_source_value *value, const td_source_value *shape) {
    value->rank = shape->rank;
    memcpy(value->dims, shape->dims, sizeof value->dims);
    memcpy(value->symbols, shape->symbols, sizeof value->symbols);
}

static tdsnn_status link_constants(graph_reader *g) {
    for (int i = 0; i < g->constant_count; i++) {
        int value = g->constants[i];
        if (g->maker[value] != NOTHING) {
            return made_twice(g, value);
        }
        g->maker[value] = CONSTANT;
        g->source->values[value].constant = &g->tensors[i];
    }
    return TDSNN_OK;
}

/* Up to IR 3, initialisers had to be listed as inputs too; they are constants all the same. */
static tdsnn_status link_inputs(graph_reader *g) {
    td_source *s = g->source;
    for (int i = 0; i < g->input_count; i++) {
        int value = g->inputs[i];
        if (g->maker[value] == CONSTANT) {
            continue;
        }
        if (g->maker[value] != NOTHING) {
            return made_twice(g, value);
        }
        g->maker[value] = FED;
        declare(&s->values[value], &g->input_shapes[i]);
        s->inputs[s->input_count++] = value;
    }
    return TDSNN_OK;
}

static tdsnn_status link_nodes(graph_reader *g) {
    for (int i = 0; i < g->source->node_count; i++) {
        const td_source_node *node = &g->source->nodes[i];
        for (int k = 0; k < node->output_count; k++) {
            int value = node->outputs[k];
            if (value >= 0 && g->maker[value] != NOTHING) {
                return made_twice(g, value);
            }
            if (value >= 0) {
                g->maker[value] = i;
            }
        }
    }
    return TDSNN_OK;
}

static tdsnn_status link_outputs(graph_reader *g) {
    for (int i = 0; i < g->source->output_count; i++) {
        td_source_value *value = &g->source->values[g->outputs[i]];
        if (g->maker[g->outputs[i]] == NOTHING) {
            return td_error(g->r->ctx, TDSNN_ERR_INPUT, "nothing gives the output '%s'",
                            value->name);
        }
        if (g->maker[g->outputs[i]] != FED) {
            declare(value, &g->output_shapes[i]);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status check_reads(const graph_reader *g) {
    for (int i = 0; i < g->source->node_count; i++) {
        const td_source_node *node = &g->source->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            int value = node->inputs[k];
            if (value >= 0 && g->maker[value] == NOTHING) {
                return td_error(g->r->ctx, TDSNN_ERR_INPUT,
                                "node '%s' (%s) reads '%s', which nothing gives", node->name,
                                node->op, g->source->values[value].name);
            }
        }
    }
    return TDSNN_OK;
}

static tdsnn_status link_values(graph_reader *g) {
    td_source *s = g->source;
    tdsnn_status status = td_refs_number(g->r, &g->refs, &s->values, &s->value_count);
    if (status == TDSNN_OK) {
        status = td_place_functions(g->r, s);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    g->maker = td_arena_alloc(g->scratch, (size_t)s->value_count, sizeof *g->maker);
    if (g->maker == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < s->value_count; i++) {
        g->maker[i] = NOTHING;
    }
    static tdsnn_status (*const steps[])(graph_reader *) = {link_constants, link_inputs, link_nodes,
                                                            link_outputs};
    for (size_t i = 0; status == TDSNN_OK && i < sizeof steps / sizeof *steps; i++) {
        status = steps[i](g);
    }
    return status == TDSNN_OK ? check_reads(g) : status;
}

static tdsnn_status name_nodes(const graph_reader *g) {
    td_source *s = g->source;
    const char **names = td_arena_alloc(g->scratch, (size_t)s->node_count, sizeof *names);
    if (names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < s->node_count; i++) {
        names[i] = s->nodes[i].name;
    }
    tdsnn_status status = td_names_unique(g->r->ctx, s->arena, names, s->node_count);
    for (int i = 0; status == TDSNN_OK && i < s->node_count; i++) {
        s->nodes[i].name = names[i];
    }
    return status;
}

static tdsnn_status read_graph(graph_reader *g, td_wire message) {
    tdsnn_status status = count_parts(g, message);
    if (status == TDSNN_OK) {
        status = allocate_parts(g);
    }
    if (status == TDSNN_OK) {
        status = fill_parts(g, message);
    }
    if (status == TDSNN_OK) {
        status = link_values(g);
    }
    if (status == TDSNN_OK) {
        status = name_nodes(g);
    }
    return status == TDSNN_OK ? td_order_nodes(g->r->ctx, g->source, g->maker) : status;
}

tdsnn_status td_read_graph(td_reader *r, td_wire message, td_source *source) {
    graph_reader g = {.r = r, .source = source, .scratch = td_arena_create(r->ctx)};
    if (g.scratch == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = read_graph(&g, message);
    td_free(g.refs.items);
    td_arena_destroy(g.scratch);
    return status;
}
