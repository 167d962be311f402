#include <string.h>

#include "base/file.h"
#include "onnx/function.h"
#include "onnx/onnx.h"
#include "onnx/reader.h"

#define IR_VERSION 8
#define MAX_ATTRIBUTES 5
#define MAX_CONSTANTS 2 /* weights and bias, or thresholds and values */

/* One node of the graph, with room for all that its message points to. */
typedef struct slot {
    Onnx__NodeProto node;
    Onnx__AttributeProto attributes[MAX_ATTRIBUTES], *attribute_list[MAX_ATTRIBUTES];
    int64_t numbers[MAX_ATTRIBUTES][4];
    Onnx__TensorProto constants[MAX_CONSTANTS];
    int64_t dims[MAX_CONSTANTS][4];
    char **inputs; /* values, then constants */
    char *output;
} slot;

typedef struct writer {
    tdsnn_context *ctx;
    td_arena *arena;
    const td_graph *graph;
    slot *slots; /* [node_count]; the input's holds only its value's name */
    Onnx__TensorProto **constants;
    size_t constant_count;
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

/* Floats become a typed float_data, which protobuf-c puts in the right byte order itself. */
static tdsnn_status add_constant(writer *w, slot *s, const char *role, const float *values,
                                 const int *dims, size_t rank) {
    size_t index = 0, count = 1;
    while (s->constants[index].base.descriptor != NULL) {
        index++;
    }
    Onnx__TensorProto *tensor = &s->constants[index];
    onnx__tensor_proto__init(tensor);
    for (size_t i = 0; i < rank; i++) {
        s->dims[index][i] = dims[i];
        count *= (size_t)dims[i];
    }
    tensor->name = td_arena_printf(w->arena, "%s.%s", s->node.name, role);
    tensor->dims = s->dims[index];
    tensor->n_dims = rank;
    tensor->has_data_type = 1;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->float_data = (float *)values;
    tensor->n_float_data = count;
    w->constants[w->constant_count++] = tensor;
    return tensor->name == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status add_weights(writer *w, slot *s, const td_node *node, const int *dims,
                                size_t rank) {
    tdsnn_status status = add_constant(w, s, "weight", node->weights, dims, rank);
    return status == TDSNN_OK ? add_constant(w, s, "bias", node->bias, dims, 1) : status;
}

/* --- one function an operator --- */

static void add_window(slot *s, const td_window *window) {
    const td_axis *y = &window->y, *x = &window->x;
    add_ints(s, "dilations", (int[]){y->dilation, x->dilation}, 2);
    add_ints(s, "kernel_shape", (int[]){y->kernel, x->kernel}, 2);
    add_ints(s, "pads", (int[]){y->pad_begin, x->pad_begin, y->pad_end, x->pad_end}, 4);
    add_ints(s, "strides", (int[]){y->stride, x->stride}, 2);
}

static const td_node *input_of(const writer *w, const td_node *node) {
    return &w->graph->nodes[node->inputs[0]];
}

static tdsnn_status write_conv(writer *w, slot *s, const td_node *node) {
    int dims[] = {node->shape.c, input_of(w, node)->shape.c / node->groups, node->window.y.kernel,
                  node->window.x.kernel};
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

static tdsnn_status write_code(writer *w, slot *s, const td_node *node) {
    static const char *const roundings[] = {[TDSNN_ROUND_NEAREST] = "nearest",
                                            [TDSNN_ROUND_CEIL] = "ceil",
                                            [TDSNN_ROUND_TABLE] = "table"};
    const tdsnn_code *code = node->code;
    s->node.domain = (char *)TD_CODE_DOMAIN;
    add_float(s, "leak", code->leak);
    add_int(s, "steps", code->steps);
    add_float(s, "scale", code->scale);
    add_string(s, "rounding", roundings[code->rounding]);
    add_int(s, "offset", code->offset);
    tdsnn_status status =
        add_constant(w, s, "thresholds", code->thresholds, (int[]){TDSNN_MAX_STEPS}, 1);
    return status == TDSNN_OK
               ? add_constant(w, s, "values", code->values, (int[]){TDSNN_MAX_STEPS + 1}, 1)
               : status;
}

static tdsnn_status write_pool(writer *w, slot *s, const td_node *node) {
    (void)w;
    add_window(s, &node->window);
    return TDSNN_OK;
}

static tdsnn_status write_axis(writer *w, slot *s, const td_node *node) {
    (void)w;
    (void)node;
    add_int(s, "axis", 1);
    return TDSNN_OK;
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
    size_t constants;
} operators[TD_OP_COUNT] = {
    [TD_OP_CONV] = {"Conv", write_conv, 2},
    [TD_OP_INNER] = {"Gemm", write_inner, 2},
    [TD_OP_SUB] = {"Sub", write_operand, 1},
    [TD_OP_DIV] = {"Div", write_operand, 1},
    [TD_OP_MUL] = {"Mul", write_operand, 1},
    [TD_OP_SHIFT] = {"Add", write_operand, 1},
    [TD_OP_ADD] = {"Add", write_plain, 0},
    [TD_OP_RELU] = {"Relu", write_plain, 0},
    [TD_OP_CODE] = {TD_CODE_FUNCTION, write_code, 2},
    [TD_OP_MAXPOOL] = {"MaxPool", write_pool, 0},
    [TD_OP_FLATTEN] = {"Flatten", write_axis, 0},
    [TD_OP_SOFTMAX] = {"Softmax", write_axis, 0},
    [TD_OP_LOGSOFTMAX] = {"LogSoftmax", write_axis, 0},
};

static tdsnn_status write_node(writer *w, int index) {
    const td_node *node = &w->graph->nodes[index];
    slot *s = &w->slots[index];
    size_t inputs = (size_t)node->input_count;
    onnx__node_proto__init(&s->node);
    s->node.name = (char *)node->name;
    s->node.op_type = (char *)operators[node->op].name;
    s->node.output = &s->output;
    s->node.n_output = 1;
    tdsnn_status status = operators[node->op].write(w, s, node);
    s->node.n_input = inputs + operators[node->op].constants;
    s->inputs = td_arena_alloc(w->arena, s->node.n_input, sizeof *s->inputs);
    s->node.input = s->inputs;
    return s->inputs == NULL ? TDSNN_ERR_RUNTIME : status;
}

/* --- names of values: they must be unique, and the network's input and output keep theirs --- */

/* Takes the names of all values, inputs and outputs first, or puts them back. */
static void each_name(writer *w, const char **names, bool back) {
    int last = w->graph->node_count - 1, count = 0;
    for (int i = -1; i < last; i++) { /* the output, then the nodes before it */
        char **place = &w->slots[i < 0 ? last : i].output;
        if (back) {
            *place = (char *)names[count];
        }
        names[count++] = *place;
    }
    for (size_t i = 0; i < w->constant_count; i++) {
        if (back) {
            w->constants[i]->name = (char *)names[count];
        }
        names[count++] = w->constants[i]->name;
    }
}

static tdsnn_status name_values(writer *w) {
    const td_graph *graph = w->graph;
    int last = graph->node_count - 1;
    size_t count = (size_t)graph->node_count + w->constant_count;
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
    }
    return status;
}

static void connect(writer *w, int index) {
    const td_node *node = &w->graph->nodes[index];
    slot *s = &w->slots[index];
    for (int i = 0; i < node->input_count; i++) {
        s->inputs[i] = w->slots[node->inputs[i]].output;
    }
    for (size_t i = 0; i < operators[node->op].constants; i++) {
        s->inputs[(size_t)node->input_count + i] = s->constants[i].name;
    }
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
    size_t count = (size_t)w->graph->metadata_count;
    f->metadata = td_arena_alloc(w->arena, count, sizeof *f->metadata);
    f->metadata_list = td_arena_alloc(w->arena, count, sizeof *f->metadata_list);
    if (f->metadata == NULL || f->metadata_list == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        onnx__string_string_entry_proto__init(&f->metadata[i]);
        f->metadata[i].key = (char *)w->graph->metadata[i].key;
        f->metadata[i].value = (char *)w->graph->metadata[i].value;
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
    f->nodes = td_arena_alloc(w->arena, nodes, sizeof *f->nodes);
    if (f->nodes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 1; i < nodes; i++) {
        f->nodes[i - 1] = &w->slots[i].node;
    }
    f->graph.node = f->nodes;
    f->graph.n_node = nodes - 1;
    declare(&f->input, graph, w->slots[0].output, graph->nodes[0].shape);
    declare(&f->output, graph, w->slots[nodes - 1].output, graph->nodes[nodes - 1].shape);
    f->graph.input = &f->input.value_at;
    f->graph.output = &f->output.value_at;
    f->graph.n_input = f->graph.n_output = 1;
    import(f, "", TD_WRITTEN_OPSET);
    tdsnn_status status = add_metadata(w, f);
    return status == TDSNN_OK && has_code(graph) ? add_function(w, f) : status;
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
        connect(w, i);
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

tdsnn_status td_onnx_write(tdsnn_context *ctx, const td_graph *graph, const char *path,
                           bool force) {
    writer w = {.ctx = ctx, .arena = td_arena_create(ctx), .graph = graph};
    frame f = {0};
    tdsnn_status status = w.arena == NULL ? TDSNN_ERR_RUNTIME : build(&w, &f);
    if (status == TDSNN_OK) {
        status = write_model(ctx, &f, path, force);
    }
    td_arena_destroy(w.arena);
    return status;
}
