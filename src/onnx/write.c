#include <string.h>

#include "base/file.h"
#include "onnx/function.h"
#include "onnx/onnx.h"
#include "onnx/reader.h"

#define IR_VERSION 8
#define MAX_ATTRIBUTES 5
#define MAX_CONSTANTS 3 /* thresholds, values and slope; starts, ends and axes */

/* One node of the file, with room for all that its message points to. */
typedef struct slot {
    Onnx__NodeProto node;
    Onnx__AttributeProto attributes[MAX_ATTRIBUTES], *attribute_list[MAX_ATTRIBUTES];
    int64_t numbers[MAX_ATTRIBUTES][4];
    size_t constant_count;
    Onnx__TensorProto constants[MAX_CONSTANTS];
    int64_t dims[MAX_CONSTANTS][4];
    char *output;
    /* A signed code is several nodes: these, and this one, which takes their difference. */
    size_t part_count;
    struct slot *parts;
} slot;

/* The parts of a signed code, the last only where the slope is not 1. */
enum { PART_POSITIVE, PART_NEG, PART_NEGATIVE, PART_SLOPE, PARTS };

typedef struct writer {
    tdsnn_context *ctx;
    td_arena *arena;
    const td_graph *graph;
    bool inlined; /* codes as plain nodes */
    slot *slots;  /* [node_count]; the input's holds only its value's name */
    Onnx__TensorProto **constants;
    size_t constant_count, part_count;
} writer;

/* --- attributes and constants --- */

static Onnx__AttributeProto *add_attribute(slot *s, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *a = &s->attributes[s->node.n_attribute];
    onnx__attribute_proto__init(a);
    a->name = (char *)name;
    a->has_type = 1;
    a->type = type;
    s->attribute_list[s->node.n_attribute++] = a;
    s->node.attribute = s->attribute_list;
    return a;
}

static void add_int(slot *s, const char *name, int64_t value) {
    Onnx__AttributeProto *a = add_attribute(s, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = 1;
    a->i = value;
}

static void add_float(slot *s, const char *name, float value) {
    Onnx__AttributeProto *a = add_attribute(s, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = 1;
    a->f = value;
}

static void add_string(slot *s, const char *name, const char *value) {
    Onnx__AttributeProto *a = add_attribute(s, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = 1;
    a->s.data = (uint8_t *)value;
    a->s.len = strlen(value);
}

static void add_ints(slot *s, const char *name, const int *values, size_t count) {
    int64_t *numbers = s->numbers[s->node.n_attribute];
    Onnx__AttributeProto *a = add_attribute(s, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = values[i];
    }
    a->ints = numbers;
    a->n_ints = count;
}

/* An initialiser "NODE.ROLE" without elements yet; NULL without memory. */
static Onnx__TensorProto *new_constant(writer *w, slot *s, const char *role, const int *dims,
                                       size_t rank) {
    Onnx__TensorProto *tensor = &s->constants[s->constant_count];
    onnx__tensor_proto__init(tensor);
    tensor->dims = s->dims[s->constant_count++];
    tensor->n_dims = rank;
    for (size_t i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
    }
    tensor->has_data_type = 1;
    tensor->name = td_arena_printf(w->arena, "%s.%s", s->node.name, role);
    w->constants[w->constant_count++] = tensor;
    return tensor->name == NULL ? NULL : tensor;
}

/* Floats become a typed float_data, which protobuf-c puts in the right byte order itself. */
static tdsnn_status add_constant(writer *w, slot *s, const char *role, const float *values,
                                 const int *dims, size_t rank) {
    Onnx__TensorProto *tensor = new_constant(w, s, role, dims, rank);
    if (tensor == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->float_data = (float *)values;
    tensor->n_float_data = 1;
    for (size_t i = 0; i < rank; i++) {
        tensor->n_float_data *= (size_t)dims[i];
    }
    return TDSNN_OK;
}

/* A list of integers. */
static tdsnn_status add_integers(writer *w, slot *s, const char *role, const int64_t *values,
                                 int count) {
    Onnx__TensorProto *tensor = new_constant(w, s, role, &count, 1);
    int64_t *copy = td_arena_alloc(w->arena, (size_t)count, sizeof *copy);
    if (tensor == NULL || copy == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    memcpy(copy, values, (size_t)count * sizeof *copy);
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    tensor->int64_data = copy;
    tensor->n_int64_data = (size_t)count;
    return TDSNN_OK;
}

static tdsnn_status add_integer(writer *w, slot *s, const char *role, int64_t value) {
    return add_integers(w, s, role, &value, 1);
}

static tdsnn_status add_weights(writer *w, slot *s, const td_node *node, const int *dims,
                                size_t rank) {
    tdsnn_status status = add_constant(w, s, "weight", node->weights, dims, rank);
    return status == TDSNN_OK ? add_constant(w, s, "bias", node->bias, dims, 1) : status;
}

/* --- one function an operator --- */

static void add_window(slot *s, const td_window *window) {
    const td_axis *y = &window->y, *x = &window->x;
    add_ints(s, "kernel_shape", (int[]){y->kernel, x->kernel}, 2);
    add_ints(s, "pads", (int[]){y->pad_begin, x->pad_begin, y->pad_end, x->pad_end}, 4);
    add_ints(s, "strides", (int[]){y->stride, x->stride}, 2);
}

static void add_dilations(slot *s, const td_window *window) {
    add_ints(s, "dilations", (int[]){window->y.dilation, window->x.dilation}, 2);
}

static const td_node *input_of(const writer *w, const td_node *node) {
    return &w->graph->nodes[node->inputs[0]];
}

static tdsnn_status write_conv(writer *w, slot *s, const td_node *node) {
    int dims[] = {node->shape.c, input_of(w, node)->shape.c / node->groups, node->window.y.kernel,
                  node->window.x.kernel};
    add_dilations(s, &node->window);
    add_window(s, &node->window);
    add_int(s, "group", node->groups);
    return add_weights(w, s, node, dims, 4);
}

static tdsnn_status write_inner(writer *w, slot *s, const td_node *node) {
    int dims[] = {node->shape.c, (int)td_shape_count(input_of(w, node)->shape)};
    add_int(s, "transB", 1);
    return add_weights(w, s, node, dims, 2);
}

/* A constant a channel, shaped so that it is spread over the positions of a channel. */
static tdsnn_status write_operand(writer *w, slot *s, const td_node *node) {
    int dims[] = {node->shape.c, 1, 1};
    return add_constant(w, s, "operand", node->operand, dims, node->shape.flat ? 1 : 3);
}

/* One call of TemporalCode, without its inputs: all attributes on each. */
static void call_code(slot *s, const tdsnn_code *code) {
    static const char *const roundings[] = {[TDSNN_ROUND_NEAREST] = "nearest",
                                            [TDSNN_ROUND_CEIL] = "ceil",
                                            [TDSNN_ROUND_TABLE] = "table"};
    s->node.op_type = (char *)TD_CODE_FUNCTION;
    s->node.domain = (char *)TD_CODE_DOMAIN;
    add_float(s, "leak", code->leak);
    add_int(s, "steps", code->steps);
    add_float(s, "scale", code->scale);
    add_string(s, "rounding", roundings[code->rounding]);
    add_int(s, "offset", code->offset);
}

/* Sub(TemporalCode(x), TemporalCode(Neg(x))), the second times the slope if that is not 1 (SPEC 4).
 * Both read the same tables. */
static tdsnn_status add_parts(writer *w, slot *s, const td_node *node) {
    static const struct {
        const char *op, *suffix;
    } parts[PARTS] = {{TD_CODE_FUNCTION, "pos"},
                      {"Neg", "negated"},
                      {TD_CODE_FUNCTION, "neg"},
                      {"Mul", "scaled"}};
    s->node.op_type = (char *)"Sub";
    s->part_count = node->negative == 1.0f ? PART_SLOPE : PARTS;
    s->parts = td_arena_alloc(w->arena, s->part_count, sizeof *s->parts);
    for (size_t i = 0; s->parts != NULL && i < s->part_count; i++) {
        slot *part = &s->parts[i];
        onnx__node_proto__init(&part->node);
        part->node.op_type = (char *)parts[i].op;
        part->node.output = &part->output;
        part->node.n_output = 1;
        part->output = td_arena_printf(w->arena, "%s.%s", node->name, parts[i].suffix);
        if (part->output == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        if (i == PART_POSITIVE || i == PART_NEGATIVE) {
            call_code(part, node->code);
        }
    }
    w->part_count += s->part_count;
    return s->parts == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status write_code(writer *w, slot *s, const td_node *node) {
    const tdsnn_code *code = node->code;
    tdsnn_status status =
        add_constant(w, s, "thresholds", code->thresholds, (int[]){TDSNN_MAX_STEPS}, 1);
    if (status == TDSNN_OK) {
        status = add_constant(w, s, "values", code->values, (int[]){TDSNN_MAX_STEPS + 1}, 1);
    }
    if (status != TDSNN_OK || node->negative == 0.0f) {
        call_code(s, code);
        return status;
    }
    if (node->negative != 1.0f) {
        status = add_constant(w, s, "slope", &node->negative, NULL, 0);
    }
    return status == TDSNN_OK ? add_parts(w, s, node) : status;
}

static tdsnn_status write_pool(writer *w, slot *s, const td_node *node) {
    const td_window *window = &node->window;
    add_window(s, window);
    if (node->op == TD_OP_MAXPOOL) {
        add_dilations(s, window);
    } else if (window->y.dilation != 1 || window->x.dilation != 1) {
        return td_error(w->ctx, TDSNN_ERR_UNSUPPORTED,
                        "node '%s' (AveragePool): dilations cannot be written, as opset %d has "
                        "none in an average",
                        node->name, TD_WRITTEN_OPSET);
    } else {
        add_int(s, "count_include_pad", node->count_padding);
    }
    return TDSNN_OK;
}

static tdsnn_status write_clip(writer *w, slot *s, const td_node *node) {
    tdsnn_status status = add_constant(w, s, "min", &node->low, NULL, 0);
    return status == TDSNN_OK ? add_constant(w, s, "max", &node->high, NULL, 0) : status;
}

static tdsnn_status write_leaky(writer *w, slot *s, const td_node *node) {
    (void)w;
    add_float(s, "alpha", node->negative);
    return TDSNN_OK;
}

static tdsnn_status write_slice(writer *w, slot *s, const td_node *node) {
    tdsnn_status status = add_integer(w, s, "starts", node->first_channel);
    if (status == TDSNN_OK) {
        status = add_integer(w, s, "ends", (int64_t)node->first_channel + node->shape.c);
    }
    return status == TDSNN_OK ? add_integer(w, s, "axes", 1) : status;
}

static tdsnn_status write_axis(writer *w, slot *s, const td_node *node) {
    (void)w;
    (void)node;
    add_int(s, "axis", 1);
    return TDSNN_OK;
}

/* Entry 0 of the shape copies the batch. */
static tdsnn_status write_unflatten(writer *w, slot *s, const td_node *node) {
    const int64_t dims[] = {0, node->shape.c, node->shape.h, node->shape.w};
    return add_integers(w, s, "shape", dims, 4);
}

static tdsnn_status write_plain(writer *w, slot *s, const td_node *node) {
    (void)w;
    if (node->op == TD_OP_ADD && node->input_count > 2) {
        s->node.op_type = (char *)"Sum";
    }
    return TDSNN_OK;
}

static const struct {
    const char *name;
    tdsnn_status (*write)(writer *w, slot *s, const td_node *node);
} operators[TD_OP_COUNT] = {
    [TD_OP_CONV] = {"Conv", write_conv},
    [TD_OP_INNER] = {"Gemm", write_inner},
    [TD_OP_SUB] = {"Sub", write_operand},
    [TD_OP_DIV] = {"Div", write_operand},
    [TD_OP_MUL] = {"Mul", write_operand},
    [TD_OP_SHIFT] = {"Add", write_operand},
    [TD_OP_ADD] = {"Add", write_plain},
    [TD_OP_RELU] = {"Relu", write_plain},
    [TD_OP_CLIP] = {"Clip", write_clip},
    [TD_OP_LEAKY] = {"LeakyRelu", write_leaky},
    [TD_OP_CODE] = {TD_CODE_FUNCTION, write_code},
    [TD_OP_MAXPOOL] = {"MaxPool", write_pool},
    [TD_OP_AVGPOOL] = {"AveragePool", write_pool},
    [TD_OP_CONCAT] = {"Concat", write_axis},
    [TD_OP_SLICE] = {"Slice", write_slice},
    [TD_OP_FLATTEN] = {"Flatten", write_axis},
    [TD_OP_UNFLATTEN] = {"Reshape", write_unflatten},
    [TD_OP_SOFTMAX] = {"Softmax", write_axis},
    [TD_OP_LOGSOFTMAX] = {"LogSoftmax", write_axis},
    [TD_OP_SIGMOID] = {"Sigmoid", write_plain},
};

static tdsnn_status write_node(writer *w, int index) {
    const td_node *node = &w->graph->nodes[index];
    slot *s = &w->slots[index];
    onnx__node_proto__init(&s->node);
    s->node.name = (char *)node->name;
    s->node.op_type = (char *)operators[node->op].name;
    s->node.output = &s->output;
    s->node.n_output = 1;
    return operators[node->op].write(w, s, node);
}

/* --- names of values: they must be unique, and the network's input and output keep theirs --- */

/* Exchanges one name with the list: into it, or `back`. */
static void exchange(char **place, const char **name, bool back) {
    if (back) {
        *place = (char *)*name;
    }
    *name = *place;
}

/* The names of what the parts of all nodes give. */
static void each_part(writer *w, const char **names, bool back) {
    for (int i = 1; i < w->graph->node_count; i++) {
        for (size_t j = 0; j < w->slots[i].part_count; j++) {
            exchange(&w->slots[i].parts[j].output, names++, back);
        }
    }
}

/* Takes the names of all values, inputs and outputs first, or puts them back. */
static void each_name(writer *w, const char **names, bool back) {
    int last = w->graph->node_count - 1;
    for (int i = -1; i < last; i++) { /* the output, then the nodes before it */
        exchange(&w->slots[i < 0 ? last : i].output, names++, back);
    }
    each_part(w, names, back);
    names += w->part_count;
    for (size_t i = 0; i < w->constant_count; i++) {
        exchange(&w->constants[i]->name, names++, back);
    }
}

/* Calls the parts as what they give, but for the names that the graph's own nodes have. */
static tdsnn_status name_parts(writer *w) {
    int nodes = w->graph->node_count;
    const char **names = td_arena_alloc(w->arena, (size_t)nodes + w->part_count, sizeof *names);
    if (names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < nodes; i++) {
        names[i] = w->graph->nodes[i].name;
    }
    each_part(w, names + nodes, false);
    tdsnn_status status = td_names_unique(w->ctx, w->arena, names, nodes + (int)w->part_count);
    const char **next = names + nodes;
    for (int i = 1; status == TDSNN_OK && i < nodes; i++) {
        for (size_t j = 0; j < w->slots[i].part_count; j++) {
            w->slots[i].parts[j].node.name = (char *)*next++;
        }
    }
    return status;
}

static tdsnn_status name_values(writer *w) {
    const td_graph *graph = w->graph;
    int last = graph->node_count - 1;
    size_t count = (size_t)graph->node_count + w->part_count + w->constant_count;
    for (int i = 0; i <= last; i++) {
        w->slots[i].output = (char *)(i == 0      ? graph->input_name
                                      : i == last ? graph->output_name
                                                  : graph->nodes[i].name);
    }
    const char **names = td_arena_alloc(w->arena, count, sizeof *names);
    if (names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    each_name(w, names, false);
    tdsnn_status status = td_names_unique(w->ctx, w->arena, names, (int)count);
    if (status == TDSNN_OK) {
        each_name(w, names, true);
        status = name_parts(w);
    }
    return status;
}

/* Gives a node its inputs: values, then constants. */
static tdsnn_status set_inputs(writer *w, slot *s, size_t count, char *const *names,
                               size_t constant_count, const Onnx__TensorProto *constants) {
    s->node.n_input = count + constant_count;
    s->node.input = td_arena_alloc(w->arena, s->node.n_input, sizeof *s->node.input);
    if (s->node.input == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        s->node.input[i] = names[i];
    }
    for (size_t i = 0; i < constant_count; i++) {
        s->node.input[count + i] = constants[i].name;
    }
    return TDSNN_OK;
}

/* The parts of a signed code read `input` and the tables of the code. */
static tdsnn_status connect_parts(writer *w, slot *s, char *input) {
    slot *parts = s->parts;
    bool sloped = s->part_count > PART_SLOPE;
    char *negated = parts[PART_NEG].output, *negative = parts[PART_NEGATIVE].output;
    char *sides[2] = {parts[PART_POSITIVE].output, sloped ? parts[PART_SLOPE].output : negative};
    tdsnn_status status = set_inputs(w, &parts[PART_POSITIVE], 1, &input, 2, s->constants);
    if (status == TDSNN_OK) {
        status = set_inputs(w, &parts[PART_NEG], 1, &input, 0, NULL);
    }
    if (status == TDSNN_OK) {
        status = set_inputs(w, &parts[PART_NEGATIVE], 1, &negated, 2, s->constants);
    }
    if (status == TDSNN_OK && sloped) {
        status = set_inputs(w, &parts[PART_SLOPE], 1, &negative, 1, &s->constants[2]);
    }
    return status == TDSNN_OK ? set_inputs(w, s, 2, sides, 0, NULL) : status;
}

static tdsnn_status connect(writer *w, int index) {
    const td_node *node = &w->graph->nodes[index];
    slot *s = &w->slots[index];
    size_t count = (size_t)node->input_count;
    if (s->part_count > 0) {
        return connect_parts(w, s, w->slots[node->inputs[0]].output);
    }
    char **names = td_arena_alloc(w->arena, count, sizeof *names);
    if (names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = w->slots[node->inputs[i]].output;
    }
    return set_inputs(w, s, count, names, s->constant_count, s->constants);
}

/* --- the declared shapes of input and output --- */

typedef struct declared {
    Onnx__ValueInfoProto value, *value_at;
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dims[4], *dim_list[4];
} declared;

static void declare(declared *d, const td_graph *graph, char *name, td_shape shape) {
    int sizes[] = {1, shape.c, shape.h, shape.w};
    onnx__value_info_proto__init(&d->value);
    onnx__type_proto__init(&d->type);
    onnx__type_proto__tensor__init(&d->tensor);
    onnx__tensor_shape_proto__init(&d->shape);
    d->value_at = &d->value;
    d->value.name = name;
    d->value.type = &d->type;
    d->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    d->type.tensor_type = &d->tensor;
    d->tensor.has_elem_type = 1;
    d->tensor.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    d->tensor.shape = &d->shape;
    d->shape.dim = d->dim_list;
    d->shape.n_dim = shape.flat ? 2 : 4;
    for (size_t i = 0; i < d->shape.n_dim; i++) {
        Onnx__TensorShapeProto__Dimension *dim = d->dim_list[i] = &d->dims[i];
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = sizes[i];
    }
    if (graph->batch_symbol != NULL) {
        d->dims[0].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        d->dims[0].dim_param = (char *)graph->batch_symbol;
    }
}

/* --- the model around the graph --- */

typedef struct frame {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opsets[2], *opset_list[2];
    Onnx__FunctionProto *function;
    Onnx__StringStringEntryProto *metadata, **metadata_list;
    Onnx__NodeProto **nodes;
    declared input, output;
} frame;

static void import(frame *f, const char *domain, int version) {
    Onnx__OperatorSetIdProto *opset = &f->opsets[f->model.n_opset_import];
    onnx__operator_set_id_proto__init(opset);
    opset->domain = (char *)domain;
    opset->has_version = 1;
    opset->version = version;
    f->opset_list[f->model.n_opset_import++] = opset;
    f->model.opset_import = f->opset_list;
}

static tdsnn_status add_metadata(writer *w, frame *f) {
    size_t own = (size_t)w->graph->metadata_count, count = own + w->inlined;
    f->metadata = td_arena_alloc(w->arena, count, sizeof *f->metadata);
    f->metadata_list = td_arena_alloc(w->arena, count, sizeof *f->metadata_list);
    if (f->metadata == NULL || f->metadata_list == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        const td_metadata *entry =
            i < own ? &w->graph->metadata[i] : &(td_metadata){TD_INLINE_KEY, "1"};
        onnx__string_string_entry_proto__init(&f->metadata[i]);
        f->metadata[i].key = (char *)entry->key;
        f->metadata[i].value = (char *)entry->value;
        f->metadata_list[i] = &f->metadata[i];
    }
    f->model.metadata_props = f->metadata_list;
    f->model.n_metadata_props = count;
    return TDSNN_OK;
}

static tdsnn_status add_function(writer *w, frame *f) {
    f->function = td_temporal_code(w->arena);
    f->model.functions = &f->function;
    f->model.n_functions = 1;
    import(f, TD_CODE_DOMAIN, TD_CODE_VERSION);
    return f->function == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static bool has_code(const td_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == TD_OP_CODE) {
            return true;
        }
    }
    return false;
}

static tdsnn_status fill_frame(writer *w, frame *f) {
    const td_graph *graph = w->graph;
    size_t nodes = (size_t)graph->node_count;
    onnx__model_proto__init(&f->model);
    onnx__graph_proto__init(&f->graph);
    f->model.has_ir_version = 1;
    f->model.ir_version = IR_VERSION;
    f->model.producer_name = (char *)"tdsnn";
    f->model.producer_version = (char *)TDSNN_VERSION;
    f->model.graph = &f->graph;
    f->graph.name = (char *)"network";
    f->graph.initializer = w->constants;
    f->graph.n_initializer = w->constant_count;
    f->nodes = td_arena_alloc(w->arena, nodes + w->part_count, sizeof *f->nodes);
    if (f->nodes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    f->graph.node = f->nodes;
    for (size_t i = 1; i < nodes; i++) {
        for (size_t j = 0; j < w->slots[i].part_count; j++) {
            f->nodes[f->graph.n_node++] = &w->slots[i].parts[j].node;
        }
        f->nodes[f->graph.n_node++] = &w->slots[i].node;
    }
    declare(&f->input, graph, w->slots[0].output, graph->nodes[0].shape);
    declare(&f->output, graph, w->slots[nodes - 1].output, graph->nodes[nodes - 1].shape);
    f->graph.input = &f->input.value_at;
    f->graph.output = &f->output.value_at;
    f->graph.n_input = f->graph.n_output = 1;
    import(f, "", TD_WRITTEN_OPSET);
    tdsnn_status status = add_metadata(w, f);
    if (status != TDSNN_OK || !has_code(graph)) {
        return status;
    }
    return w->inlined ? td_inline_codes(w->ctx, w->arena, &f->graph) : add_function(w, f);
}

static tdsnn_status build(writer *w, frame *f) {
    size_t nodes = (size_t)w->graph->node_count;
    w->slots = td_arena_alloc(w->arena, nodes, sizeof *w->slots);
    w->constants = td_arena_alloc(w->arena, nodes, MAX_CONSTANTS * sizeof *w->constants);
    if (w->slots == NULL || w->constants == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 1; i < w->graph->node_count; i++) {
        tdsnn_status status = write_node(w, i);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    tdsnn_status status = name_values(w);
    for (int i = 1; status == TDSNN_OK && i < w->graph->node_count; i++) {
        status = connect(w, i);
    }
    return status == TDSNN_OK ? fill_frame(w, f) : status;
}

/* --- bytes --- */

/* protobuf-c's door to a stream; an error stays with the stream until td_output_commit. */
typedef struct stream {
    ProtobufCBuffer base;
    FILE *file;
} stream;

static void append_bytes(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes) {
    fwrite(bytes, 1, size, ((stream *)buffer)->file);
}

static tdsnn_status write_model(tdsnn_context *ctx, const frame *f, const char *path, bool force) {
    td_output *output;
    if (onnx__model_proto__get_packed_size(&f->model) > TD_ONNX_LIMIT) {
        return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: the network takes more than the 2 GiB that an ONNX file may have",
                        path);
    }
    tdsnn_status status = td_output_open(ctx, path, force, &output);
    if (status != TDSNN_OK) {
        return status;
    }
    stream s = {.base.append = append_bytes, .file = td_output_stream(output)};
    onnx__model_proto__pack_to_buffer(&f->model, &s.base);
    return td_output_commit(output);
}

static tdsnn_status write_graph(tdsnn_context *ctx, const td_graph *graph, bool inlined,
                                const char *path, bool force) {
    writer w = {.ctx = ctx, .arena = td_arena_create(ctx), .graph = graph, .inlined = inlined};
    frame f = {0};
    tdsnn_status status = w.arena == NULL ? TDSNN_ERR_RUNTIME : build(&w, &f);
    if (status == TDSNN_OK) {
        status = write_model(ctx, &f, path, force);
    }
    td_arena_destroy(w.arena);
    return status;
}

tdsnn_status td_onnx_write(tdsnn_context *ctx, const td_graph *graph, const char *path,
                           bool force) {
    return write_graph(ctx, graph, false, path, force);
}

tdsnn_status td_onnx_write_inline(tdsnn_context *ctx, const td_graph *graph, const char *path,
                                  bool force) {
    return write_graph(ctx, graph, true, path, force);
}
