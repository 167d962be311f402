/* Model-local functions of others: read once, and put in place of every call of them. */
#include <stdlib.h>
#include <string.h>

#include "onnx/reader.h"
#include "onnx/schema.h"

#define MAX_DEPTH 64
/* Nodes, values and the inputs and outputs of nodes that all calls together may come to: far more
 * than any real network has, and what an exponential call graph is stopped by. */
#define MAX_EXPANDED ((size_t)1 << 18)

/* A function; its values have numbers of their own. */
struct td_function {
    const char *domain, *name, *overload;
    int64_t opset; /* of ONNX's operators in it; 0: the model's */
    int input_count, output_count, node_count, value_count, default_count;
    int *inputs, *outputs;
    td_source_node *nodes;
    td_source_value *values;
    td_attribute *defaults;
    size_t cost; /* of a call, of MAX_EXPANDED */
    bool active; /* being put in place: a call of it now would never end */
};

/* --- reading --- */

static tdsnn_status count_parts(const td_reader *r, td_wire message, td_function *f) {
    size_t inputs = 0, outputs = 0, nodes = 0, defaults = 0;
    td_field field;
    while (td_wire_next(&message, &field)) {
        inputs += field.key == FUNCTION_INPUT;
        outputs += field.key == FUNCTION_OUTPUT;
        nodes += field.key == FUNCTION_NODE;
        defaults += field.key == FUNCTION_DEFAULT;
    }
    if (message.damaged) {
        return td_reader_damaged(r, &message);
    }
    if (inputs > TD_ONNX_MAX_ITEMS || outputs > TD_ONNX_MAX_ITEMS || nodes > TD_ONNX_MAX_ITEMS ||
        defaults > TD_ONNX_MAX_ATTRIBUTES) {
        return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                        "has more inputs, outputs, nodes or attributes than are read");
    }
    f->input_count = (int)inputs;
    f->output_count = (int)outputs;
    f->node_count = (int)nodes;
    f->default_count = (int)defaults;
    f->inputs = td_arena_alloc(r->arena, inputs, sizeof *f->inputs);
    f->outputs = td_arena_alloc(r->arena, outputs, sizeof *f->outputs);
    f->nodes = td_arena_alloc(r->arena, nodes, sizeof *f->nodes);
    f->defaults = td_arena_alloc(r->arena, defaults, sizeof *f->defaults);
    bool all = f->inputs != NULL && f->outputs != NULL && f->nodes != NULL && f->defaults != NULL;
    return all ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

/* The opset of ONNX's own operators; the others are of functions. */
static tdsnn_status read_import(const td_reader *r, td_wire message, td_function *f) {
    td_wire domain = {0};
    int64_t version = 0;
    td_field field;
    while (td_wire_next(&message, &field)) {
        domain = field.key == OPSET_DOMAIN ? field.bytes : domain;
        version = field.key == OPSET_VERSION ? (int64_t)field.value : version;
    }
    if (td_wire_is(&domain, "") || td_wire_is(&domain, "ai.onnx")) {
        f->opset = version;
    }
    return message.damaged ? td_reader_damaged(r, &message) : TDSNN_OK;
}

static tdsnn_status fill_parts(td_reader *r, td_wire message, td_refs *refs, td_function *f) {
    int inputs = 0, outputs = 0, nodes = 0, defaults = 0;
    tdsnn_status status = TDSNN_OK;
    td_field field;
    while (status == TDSNN_OK && td_wire_next(&message, &field)) {
        switch (field.key) {
        case FUNCTION_INPUT:
            status = td_refs_add(r, refs, &field.bytes, &f->inputs[inputs++]);
            break;
        case FUNCTION_OUTPUT:
            status = td_refs_add(r, refs, &field.bytes, &f->outputs[outputs++]);
            break;
        case FUNCTION_NODE:
            status = td_read_node(r, field.bytes, nodes, refs, &f->nodes[nodes]);
            nodes++;
            break;
        case FUNCTION_DEFAULT:
            status = td_read_attribute(r, field.bytes, &f->defaults[defaults++]);
            break;
        case FUNCTION_OPSET:
            status = read_import(r, field.bytes, f);
            break;
        default:
            break;
        }
    }
    return status;
}

/* An input that a node gives once more would be two values of one name. */
static tdsnn_status check_values(const td_reader *r, const td_function *f) {
    bool *fed = td_alloc(r->ctx, (size_t)f->value_count, sizeof *fed);
    if (fed == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < f->input_count; i++) {
        fed[f->inputs[i]] = true;
    }
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < f->node_count; i++) {
        const td_source_node *node = &f->nodes[i];
        for (int j = 0; status == TDSNN_OK && j < node->output_count; j++) {
            if (node->outputs[j] >= 0 && fed[node->outputs[j]]) {
                status = td_error(r->ctx, TDSNN_ERR_INPUT, "node '%s' gives its input '%s'",
                                  node->name, f->values[node->outputs[j]].name);
            }
        }
    }
    td_free(fed);
    return status;
}

static tdsnn_status read_body(td_reader *r, td_wire message, td_function *f) {
    td_refs refs = {0};
    tdsnn_status status = count_parts(r, message, f);
    if (status == TDSNN_OK) {
        status = fill_parts(r, message, &refs, f);
    }
    if (status == TDSNN_OK) {
        status = td_refs_number(r, &refs, &f->values, &f->value_count);
    }
    td_free(refs.items);
    f->cost = 1 + (size_t)f->value_count;
    for (int i = 0; status == TDSNN_OK && i < f->node_count; i++) {
        f->cost += 1 + (size_t)f->nodes[i].input_count + (size_t)f->nodes[i].output_count +
                   (size_t)f->nodes[i].attribute_count;
    }
    return status == TDSNN_OK ? check_values(r, f) : status;
}

tdsnn_status td_read_function(td_reader *r, td_wire message) {
    tdsnn_status status = td_reserve(r->ctx, &r->functions, &r->function_capacity,
                                     (size_t)r->function_count + 1, sizeof *r->functions);
    if (status != TDSNN_OK) {
        return status;
    }
    td_function *f = &r->functions[r->function_count];
    *f = (td_function){0};
    td_wire scan = message, name = {0}, domain = {0}, overload = {0};
    td_field field;
    while (td_wire_next(&scan, &field)) {
        name = field.key == FUNCTION_NAME ? field.bytes : name;
        domain = field.key == FUNCTION_DOMAIN ? field.bytes : domain;
        overload = field.key == FUNCTION_OVERLOAD ? field.bytes : overload;
    }
    status = td_read_name(r, &name, &f->name);
    if (status == TDSNN_OK) {
        status = td_read_name(r, &domain, &f->domain);
    }
    if (status == TDSNN_OK) {
        status = td_read_name(r, &overload, &f->overload);
    }
    if (status == TDSNN_OK) {
        status = read_body(r, message, f);
        r->function_count++;
    }
    return status == TDSNN_OK ? TDSNN_OK
                              : td_reader_in(r, status, "function", f->name == NULL ? "" : f->name);
}

/* --- finding them --- */

static int compare_functions(const void *a, const void *b) {
    const td_function *left = a, *right = b;
    int difference = strcmp(left->domain, right->domain);
    difference = difference != 0 ? difference : strcmp(left->name, right->name);
    return difference != 0 ? difference : strcmp(left->overload, right->overload);
}

static tdsnn_status sort_functions(const td_reader *r) {
    qsort(r->functions, (size_t)r->function_count, sizeof *r->functions, compare_functions);
    for (int i = 1; i < r->function_count; i++) {
        const td_function *f = &r->functions[i];
        if (compare_functions(f - 1, f) == 0) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "it defines the function %s.%s twice",
                            f->domain, f->name);
        }
    }
    return TDSNN_OK;
}

static td_function *find_function(const td_reader *r, const td_source_node *node) {
    td_function key = {.domain = node->domain, .name = node->op, .overload = node->overload};
    return bsearch(&key, r->functions, (size_t)r->function_count, sizeof key, compare_functions);
}

/* --- putting them in place --- */

/* The graph being made: its values and nodes so far. */
typedef struct expansion {
    td_reader *r;
    td_source_node *nodes;
    td_source_value *values;
    size_t node_count, node_capacity, value_count, value_capacity;
    size_t spent; /* of MAX_EXPANDED */
    int depth;
} expansion;

enum { UNKNOWN = -2 }; /* of a function's value: not in the graph yet */

static tdsnn_status append(expansion *e, const td_source_node *node) {
    tdsnn_status status =
        td_reserve(e->r->ctx, &e->nodes, &e->node_capacity, e->node_count + 1, sizeof *e->nodes);
    if (status == TDSNN_OK) {
        e->nodes[e->node_count++] = *node;
    }
    return status;
}

/* "CALL/INNER", or without what stands before where that is too long a name. */
static const char *inner_name(const expansion *e, const char *call, const char *inner) {
    if (strlen(call) + 1 + strlen(inner) > TD_ONNX_MAX_NAME) {
        return inner;
    }
    return td_arena_printf(e->r->arena, "%s/%s", call, inner);
}

static tdsnn_status new_value(expansion *e, const char *call, const char *inner, int *number) {
    tdsnn_status status = td_reserve(e->r->ctx, &e->values, &e->value_capacity, e->value_count + 1,
                                     sizeof *e->values);
    const char *name = status == TDSNN_OK ? inner_name(e, call, inner) : NULL;
    if (name == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    e->values[e->value_count] = (td_source_value){.name = name, .rank = -1};
    *number = (int)e->value_count++;
    return TDSNN_OK;
}

/* The number in the graph of each value of the function. */
static tdsnn_status map_values(expansion *e, const td_function *f, const td_source_node *call,
                               int *map) {
    for (int i = 0; i < f->value_count; i++) {
        map[i] = UNKNOWN;
    }
    for (int i = 0; i < f->input_count; i++) {
        map[f->inputs[i]] = i < call->input_count ? call->inputs[i] : -1;
    }
    for (int i = 0; i < f->output_count && i < call->output_count; i++) {
        if (map[f->outputs[i]] == UNKNOWN && call->outputs[i] >= 0) {
            map[f->outputs[i]] = call->outputs[i];
        }
    }
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < f->value_count; i++) {
        if (map[i] == UNKNOWN) {
            status = new_value(e, call->name, f->values[i].name, &map[i]);
        }
    }
    return status;
}

static const int *map_list(const expansion *e, const int *map, const int *list, int count) {
    int *mapped = td_arena_alloc(e->r->arena, (size_t)count, sizeof *mapped);
    for (int i = 0; mapped != NULL && i < count; i++) {
        mapped[i] = list[i] < 0 ? -1 : map[list[i]];
    }
    return mapped;
}

static const td_attribute *find_attribute(const td_function *f, const td_source_node *call,
                                          const char *name) {
    const td_attribute *given = td_source_attribute(call, name);
    for (int i = 0; given == NULL && i < f->default_count; i++) {
        if (strcmp(f->defaults[i].name, name) == 0) {
            given = &f->defaults[i];
        }
    }
    return given;
}

/* Attributes that refer to those of the call get their values; without one they are left out. */
static tdsnn_status set_attributes(const expansion *e, const td_function *f,
                                   const td_source_node *call, td_source_node *node) {
    bool refers = false;
    for (int i = 0; i < node->attribute_count; i++) {
        refers = refers || node->attributes[i].reference != NULL;
    }
    if (!refers) {
        return TDSNN_OK;
    }
    td_attribute *made = td_arena_alloc(e->r->arena, (size_t)node->attribute_count, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    int count = 0;
    for (int i = 0; i < node->attribute_count; i++) {
        const td_attribute *own = &node->attributes[i];
        const td_attribute *from =
            own->reference == NULL ? own : find_attribute(f, call, own->reference);
        if (from != NULL) {
            made[count] = *from;
            made[count++].name = own->name;
        }
    }
    node->attributes = made;
    node->attribute_count = count;
    return TDSNN_OK;
}

static tdsnn_status place(expansion *e, const td_source_node *node);

static tdsnn_status place_body(expansion *e, const td_function *f, const td_source_node *call,
                               const int *map) {
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < f->node_count; i++) {
        td_source_node node = f->nodes[i];
        node.name = inner_name(e, call->name, node.name);
        node.opset = f->opset;
        node.inputs = map_list(e, map, node.inputs, node.input_count);
        node.outputs = map_list(e, map, node.outputs, node.output_count);
        if (node.name == NULL || node.inputs == NULL || node.outputs == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        status = set_attributes(e, f, call, &node);
        if (status == TDSNN_OK) {
            status = place(e, &node);
        }
    }
    return status;
}

/* An output that is an input of the function, or another output once more. */
static tdsnn_status place_copies(expansion *e, const td_function *f, const td_source_node *call,
                                 const int *map) {
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < f->output_count && i < call->output_count; i++) {
        int from = map[f->outputs[i]], to = call->outputs[i];
        if (to < 0 || from == to) {
            continue;
        }
        int *values = td_arena_alloc(e->r->arena, 2, sizeof *values);
        const char *name = inner_name(e, call->name, f->values[f->outputs[i]].name);
        if (values == NULL || name == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        values[0] = from;
        values[1] = to;
        status = append(e, &(td_source_node){.name = name,
                                             .op = "Identity",
                                             .domain = "",
                                             .input_count = 1,
                                             .output_count = 1,
                                             .inputs = values,
                                             .outputs = values + 1});
    }
    return status;
}

static tdsnn_status check_call(expansion *e, const td_function *f, const td_source_node *call) {
    tdsnn_context *ctx = e->r->ctx;
    if (f->active) {
        return td_error(ctx, TDSNN_ERR_INPUT, "the function calls itself");
    }
    if (e->depth == MAX_DEPTH) {
        return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                        "functions call each other %d deep, which is "
                        "more than is followed; export without functions",
                        MAX_DEPTH);
    }
    if (call->input_count > f->input_count || call->output_count > f->output_count) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "it is called with %d inputs and %d outputs, and the function has %d and "
                        "%d",
                        call->input_count, call->output_count, f->input_count, f->output_count);
    }
    e->spent += f->cost; /* both far below SIZE_MAX */
    if (e->spent > MAX_EXPANDED) {
        return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                        "the functions of the file come to more than %zu nodes and values once "
                        "they stand in place; export without functions",
                        MAX_EXPANDED);
    }
    return TDSNN_OK;
}

static tdsnn_status place_call(expansion *e, td_function *f, const td_source_node *call) {
    tdsnn_status status = check_call(e, f, call);
    if (status != TDSNN_OK) {
        return td_reader_in(e->r, status, "a call of the function", f->name);
    }
    int *map = td_alloc(e->r->ctx, (size_t)f->value_count, sizeof *map);
    if (map == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    f->active = true;
    e->depth++;
    status = map_values(e, f, call, map);
    if (status == TDSNN_OK) {
        status = place_body(e, f, call, map);
    }
    if (status == TDSNN_OK) {
        status = place_copies(e, f, call, map);
    }
    e->depth--;
    f->active = false;
    td_free(map);
    return status;
}

static tdsnn_status place(expansion *e, const td_source_node *node) {
    td_function *f = find_function(e->r, node);
    return f == NULL ? append(e, node) : place_call(e, f, node);
}

/* The graph's own values come first and keep their numbers. */
static tdsnn_status expand(expansion *e, td_source *source) {
    size_t values = (size_t)source->value_count;
    tdsnn_status status =
        td_reserve(e->r->ctx, &e->values, &e->value_capacity, values, sizeof *e->values);
    if (status == TDSNN_OK && values > 0) {
        memcpy(e->values, source->values, values * sizeof *e->values);
    }
    e->value_count = values;
    for (int i = 0; status == TDSNN_OK && i < source->node_count; i++) {
        status = place(e, &source->nodes[i]);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    td_source_node *all = td_arena_alloc(source->arena, e->node_count, sizeof *all);
    td_source_value *known = td_arena_alloc(source->arena, e->value_count, sizeof *known);
    if (all == NULL || known == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (e->node_count > 0) {
        memcpy(all, e->nodes, e->node_count * sizeof *all);
    }
    if (e->value_count > 0) {
        memcpy(known, e->values, e->value_count * sizeof *known);
    }
    source->nodes = all;
    source->node_count = (int)e->node_count;
    source->values = known;
    source->value_count = (int)e->value_count;
    return TDSNN_OK;
}

tdsnn_status td_place_functions(td_reader *r, td_source *source) {
    if (r->function_count == 0) {
        return TDSNN_OK;
    }
    expansion e = {.r = r};
    tdsnn_status status = sort_functions(r);
    if (status == TDSNN_OK) {
        status = expand(&e, source);
    }
    td_free(e.nodes);
    td_free(e.values);
    return status;
}
