/* Makes small ONNX files in memory with protobuf-c's own structs: an encoder that knows nothing of
 * our reader. */
#ifndef ONNX_MAKER_H
#define ONNX_MAKER_H

#include <string.h>

#include "onnx/function.h"
#include "onnx/onnx.h"
#include "tap.h"

#define MAKER_ITEMS 80

typedef struct maker {
    tdsnn_context *ctx;
    td_arena *arena;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__NodeProto *nodes[MAKER_ITEMS];
    Onnx__TensorProto *constants[MAKER_ITEMS];
    Onnx__ValueInfoProto *inputs[MAKER_ITEMS], *outputs[MAKER_ITEMS];
    Onnx__OperatorSetIdProto *opsets[MAKER_ITEMS];
    Onnx__StringStringEntryProto *metadata[MAKER_ITEMS];
    Onnx__FunctionProto *functions[MAKER_ITEMS];
} maker;

#define MAKER_NEW(m, place, type) (*(place) = td_arena_alloc((m)->arena, 1, sizeof(type)))

static inline void maker_opset(maker *m, const char *domain, int64_t version) {
    Onnx__OperatorSetIdProto *opset =
        MAKER_NEW(m, &m->opsets[m->model.n_opset_import++], Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(opset);
    opset->domain = (char *)domain;
    opset->has_version = 1;
    opset->version = version;
}

/* An empty model of that opset; none is imported for 0. End with maker_end. */
static inline maker *maker_begin(tdsnn_context *ctx, int64_t opset) {
    td_arena *arena = td_arena_create(ctx);
    maker *m = td_arena_alloc(arena, 1, sizeof *m);
    m->ctx = ctx;
    m->arena = arena;
    onnx__model_proto__init(&m->model);
    onnx__graph_proto__init(&m->graph);
    m->model.has_ir_version = 1;
    m->model.ir_version = 8;
    m->model.graph = &m->graph;
    m->model.opset_import = m->opsets;
    m->model.metadata_props = m->metadata;
    m->model.functions = m->functions;
    m->graph.node = m->nodes;
    m->graph.initializer = m->constants;
    m->graph.input = m->inputs;
    m->graph.output = m->outputs;
    if (opset != 0) {
        maker_opset(m, "", opset);
    }
    return m;
}

static inline void maker_end(maker *m) {
    td_arena_destroy(m->arena);
}

/* A node with up to two inputs and one output; NULL: none. */
static inline Onnx__NodeProto *maker_node(maker *m, const char *op, const char *name,
                                          const char *first, const char *second,
                                          const char *output) {
    Onnx__NodeProto *node = MAKER_NEW(m, &m->nodes[m->graph.n_node++], Onnx__NodeProto);
    onnx__node_proto__init(node);
    char **values = td_arena_alloc(m->arena, 3, sizeof *values);
    values[0] = (char *)first;
    values[1] = (char *)second;
    values[2] = (char *)output;
    node->op_type = (char *)op;
    node->name = (char *)name;
    node->input = values;
    node->n_input = (first != NULL) + (second != NULL);
    node->output = values + 2;
    node->n_output = output != NULL;
    return node;
}

static inline Onnx__AttributeProto *maker_attribute(maker *m, Onnx__NodeProto *node,
                                                    const char *name,
                                                    Onnx__AttributeProto__AttributeType type) {
    if (node->attribute == NULL) {
        node->attribute = td_arena_alloc(m->arena, MAKER_ITEMS, sizeof *node->attribute);
    }
    Onnx__AttributeProto *attribute =
        MAKER_NEW(m, &node->attribute[node->n_attribute++], Onnx__AttributeProto);
    onnx__attribute_proto__init(attribute);
    attribute->name = (char *)name;
    attribute->has_type = 1;
    attribute->type = type;
    return attribute;
}

/* A tensor without entries, of a DataType by number. */
static inline Onnx__TensorProto *maker_tensor(maker *m, const char *name, int type,
                                              const int64_t *dims, size_t rank) {
    Onnx__TensorProto *tensor = td_arena_alloc(m->arena, 1, sizeof *tensor);
    onnx__tensor_proto__init(tensor);
    tensor->name = (char *)name;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->n_dims = rank;
    tensor->dims = td_arena_alloc(m->arena, rank, sizeof *tensor->dims);
    for (size_t i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
    }
    return tensor;
}

static inline Onnx__TensorProto *maker_constant(maker *m, const char *name, int type,
                                                const int64_t *dims, size_t rank) {
    return m->constants[m->graph.n_initializer++] = maker_tensor(m, name, type, dims, rank);
}

/* A float initialiser of one dimension; `values` must outlive the maker. */
static inline Onnx__TensorProto *maker_floats(maker *m, const char *name, const float *values,
                                              size_t count) {
    Onnx__TensorProto *tensor = maker_constant(m, name, 1, (int64_t[]){(int64_t)count}, 1);
    tensor->float_data = (float *)values;
    tensor->n_float_data = count;
    return tensor;
}

/* A float tensor's declaration; a dimension of 0 is the symbol "N". */
static inline Onnx__ValueInfoProto *maker_value(maker *m, const char *name, const int64_t *dims,
                                                size_t rank) {
    struct {
        Onnx__ValueInfoProto value;
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
        Onnx__TensorShapeProto__Dimension dims[10], *list[10];
    } *d = td_arena_alloc(m->arena, 1, sizeof *d);
    onnx__value_info_proto__init(&d->value);
    onnx__type_proto__init(&d->type);
    onnx__type_proto__tensor__init(&d->tensor);
    onnx__tensor_shape_proto__init(&d->shape);
    d->value.name = (char *)name;
    d->value.type = &d->type;
    d->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    d->type.tensor_type = &d->tensor;
    d->tensor.has_elem_type = 1;
    d->tensor.elem_type = 1;
    d->tensor.shape = &d->shape;
    d->shape.n_dim = rank;
    d->shape.dim = d->list;
    for (size_t i = 0; i < rank; i++) {
        d->list[i] = &d->dims[i];
        onnx__tensor_shape_proto__dimension__init(&d->dims[i]);
        d->dims[i].value_case = dims[i] == 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                             : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (dims[i] == 0) {
            d->dims[i].dim_param = (char *)"N";
        } else {
            d->dims[i].dim_value = dims[i];
        }
    }
    return &d->value;
}

static inline void maker_input(maker *m, const char *name) {
    m->inputs[m->graph.n_input++] = maker_value(m, name, (int64_t[]){0, 3, 8, 8}, 4);
}

static inline void maker_output(maker *m, const char *name) {
    m->outputs[m->graph.n_output++] = maker_value(m, name, (int64_t[]){0, 10}, 2);
}

static inline void maker_metadata(maker *m, const char *key, const char *value) {
    Onnx__StringStringEntryProto *entry =
        MAKER_NEW(m, &m->metadata[m->model.n_metadata_props++], Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(entry);
    entry->key = (char *)key;
    entry->value = (char *)value;
}

/* x -> Relu "r" -> y: the smallest sound network, to be spoiled by a test. */
static inline maker *maker_small(tdsnn_context *ctx) {
    maker *m = maker_begin(ctx, 13);
    maker_input(m, "x");
    maker_node(m, "Relu", "r", "x", NULL, "y");
    maker_output(m, "y");
    return m;
}

static inline unsigned char *maker_pack(maker *m, size_t *size) {
    *size = onnx__model_proto__get_packed_size(&m->model);
    unsigned char *bytes = td_arena_alloc(m->arena, *size, 1);
    onnx__model_proto__pack(&m->model, bytes);
    return bytes;
}

/* Encodes, and reads the bytes from memory that has no byte more. */
static inline tdsnn_status maker_parse(maker *m, const char *path, td_source **source) {
    size_t size;
    unsigned char *packed = maker_pack(m, &size), *bytes = malloc(size);
    memcpy(bytes, packed, size);
    *source = NULL;
    td_error_clear(m->ctx);
    tdsnn_status status = td_onnx_parse(m->ctx, path, bytes, size, source);
    free(bytes);
    return status;
}

/* Ends the maker; its model must be read. The caller destroys the source. */
static inline td_source *maker_read(maker *m, const char *what) {
    td_source *source;
    tdsnn_status status = maker_parse(m, "test.onnx", &source);
    ok(status == TDSNN_OK, "%s: read", what);
    if (status != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(m->ctx));
    }
    maker_end(m);
    return source;
}

/* Ends the maker; its model must be refused with that status and those words, as one sentence that
 * names the file. */
static inline void maker_refused(maker *m, tdsnn_status expected, const char *words,
                                 const char *what) {
    td_source *source;
    tdsnn_status status = maker_parse(m, "test.onnx", &source);
    const char *sentence = tdsnn_last_error(m->ctx);
    if (!ok(status == expected && source == NULL && strstr(sentence, words) != NULL &&
                strncmp(sentence, "test.onnx: ", 11) == 0 && strchr(sentence, '\n') == NULL,
            "%s: refused", what)) {
        printf("# status %d: %s\n", status, status == TDSNN_OK ? "" : sentence);
    }
    td_source_destroy(source);
    maker_end(m);
}

#endif
