#include "onnx/function.h"

#include <stdio.h>
#include <string.h>

#include "onnx/reader.h"
#include "onnx/schema.h"

/* --- building it --- */

#define ROUNDS 8
/* Two constants, gather, compare, cast and multiply a round, two additions in all but the first;
 * and the closing gather. */
#define BODY_NODES (ROUNDS * 8 - 2 + 1)

/* One node of the body, with room for what it points to. */
typedef struct slot {
    Onnx__NodeProto node, *node_at;
    Onnx__AttributeProto attribute, *attribute_at;
    Onnx__TensorProto tensor;
    int32_t integer;
    char name[16], *inputs[2], *output;
} slot;

typedef struct body {
    Onnx__FunctionProto function;
    Onnx__OperatorSetIdProto opset, *opset_at;
    char *inputs[3], *output, *attributes[5];
    Onnx__NodeProto *nodes[BODY_NODES];
    slot slots[BODY_NODES];
    size_t used;
} body;

/* Appends a node with up to two inputs and one output, "s64_below"; gives the output's name. */
static char *append(body *b, const char *op, int step, const char *role, char *first,
                    char *second) {
    slot *s = &b->slots[b->used];
    onnx__node_proto__init(&s->node);
    snprintf(s->name, sizeof s->name, "s%d_%s", step, role);
    s->inputs[0] = first;
    s->inputs[1] = second;
    s->output = s->name;
    s->node.op_type = (char *)op;
    s->node.input = s->inputs;
    s->node.n_input = (first != NULL) + (second != NULL);
    s->node.output = &s->output;
    s->node.n_output = 1;
    b->nodes[b->used++] = &s->node;
    return s->name;
}

static Onnx__AttributeProto *add_attribute(body *b, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
    slot *s = &b->slots[b->used - 1];
    onnx__attribute_proto__init(&s->attribute);
    s->attribute_at = &s->attribute;
    s->attribute.name = (char *)name;
    s->attribute.has_type = 1;
    s->attribute.type = type;
    s->node.attribute = &s->attribute_at;
    s->node.n_attribute = 1;
    return &s->attribute;
}

static char *append_constant(body *b, int step, const char *role, int32_t value) {
    char *name = append(b, "Constant", step, role, NULL, NULL);
    slot *s = &b->slots[b->used - 1];
    onnx__tensor_proto__init(&s->tensor);
    s->integer = value;
    s->tensor.has_data_type = 1;
    s->tensor.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    s->tensor.int32_data = &s->integer;
    s->tensor.n_int32_data = 1;
    add_attribute(b, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t = &s->tensor;
    return name;
}

static char *append_cast(body *b, int step, char *from) {
    char *name = append(b, "Cast", step, "bit", from, NULL);
    Onnx__AttributeProto *to = add_attribute(b, "to", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    to->has_i = 1;
    to->i = ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    return name;
}

/* One round; `count` is NULL in the first, where it is 0. Gives the new count. */
static char *append_round(body *b, int step, char *count) {
    char *size = append_constant(b, step, "step", step);
    char *index = append_constant(b, step, "offset", step - 1);
    if (count != NULL) {
        index = append(b, "Add", step, "index", count, index);
    }
    char *threshold = append(b, "Gather", step, "threshold", b->inputs[1], index);
    char *below = append(b, "Greater", step, "below", b->inputs[0], threshold);
    char *added = append(b, "Mul", step, "added", append_cast(b, step, below), size);
    return count == NULL ? added : append(b, "Add", step, "count", count, added);
}

Onnx__FunctionProto *td_temporal_code(td_arena *arena) {
    static const char *const inputs[] = {"x", "thresholds", "values"};
    static const char *const attributes[] = {"leak", "steps", "scale", "rounding", "offset"};
    body *b = td_arena_alloc(arena, 1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    memcpy(b->inputs, inputs, sizeof inputs);
    memcpy(b->attributes, attributes, sizeof attributes);
    char *count = NULL;
    for (int step = 1 << (ROUNDS - 1); step > 0; step /= 2) {
        count = append_round(b, step, count);
    }
    append(b, "Gather", 0, "value", b->inputs[2], count);
    b->output = b->slots[b->used - 1].output = (char *)"y";
    onnx__operator_set_id_proto__init(&b->opset);
    b->opset_at = &b->opset;
    b->opset.domain = (char *)"";
    b->opset.has_version = 1;
    b->opset.version = TD_WRITTEN_OPSET;
    onnx__function_proto__init(&b->function);
    b->function.name = (char *)TD_CODE_FUNCTION;
    b->function.domain = (char *)TD_CODE_DOMAIN;
    b->function.input = b->inputs;
    b->function.n_input = sizeof inputs / sizeof *inputs;
    b->function.output = &b->output;
    b->function.n_output = 1;
    b->function.attribute = b->attributes;
    b->function.n_attribute = sizeof attributes / sizeof *attributes;
    b->function.node = b->nodes;
    b->function.n_node = b->used;
    b->function.opset_import = &b->opset_at;
    b->function.n_opset_import = 1;
    return &b->function;
}

/* --- recognising it --- */

/* The most parts of one kind that are read of a function before it is refused as another. */
#define MAX_PARTS 256

/* A function as read: values by number, in the order in which they are first named. */
typedef struct function {
    int inputs[MAX_PARTS], outputs[MAX_PARTS];
    const char *attributes[MAX_PARTS];
    td_source_node nodes[MAX_PARTS];
    int input_count, output_count, attribute_count, node_count, import_count;
    int64_t opset;
    bool other; /* holds a field that ours does not have, or too many of one kind */
} function;

static tdsnn_status read_import(const td_reader *r, td_wire message, function *f) {
    td_field field;
    f->import_count++;
    while (td_wire_next(&message, &field)) {
        if (field.key == OPSET_VERSION) {
            f->opset = (int64_t)field.value;
        } else if (field.key == OPSET_DOMAIN) {
            f->other |= !td_wire_is(&field.bytes, "") && !td_wire_is(&field.bytes, "ai.onnx");
        }
    }
    return message.damaged ? td_reader_damaged(r, &message) : TDSNN_OK;
}

static tdsnn_status read_part(td_reader *r, const td_field *field, td_refs *refs, function *f) {
    f->other |= f->input_count == MAX_PARTS || f->output_count == MAX_PARTS ||
                f->attribute_count == MAX_PARTS || f->node_count == MAX_PARTS;
    if (f->other) {
        return TDSNN_OK;
    }
    switch (field->key) {
    case FUNCTION_INPUT:
        return td_refs_add(r, refs, &field->bytes, &f->inputs[f->input_count++]);
    case FUNCTION_OUTPUT:
        return td_refs_add(r, refs, &field->bytes, &f->outputs[f->output_count++]);
    case FUNCTION_ATTRIBUTE:
        return td_read_name(r, &field->bytes, &f->attributes[f->attribute_count++]);
    case FUNCTION_OPSET:
        return read_import(r, field->bytes, f);
    case FUNCTION_NODE:
        f->node_count++;
        return td_read_node(r, field->bytes, f->node_count - 1, refs, &f->nodes[f->node_count - 1]);
    case FUNCTION_NAME:
    case FUNCTION_DOMAIN:
    case FUNCTION_DOC:
    case FUNCTION_VALUE_INFO:
    case FUNCTION_METADATA:
        return TDSNN_OK;
    default:
        f->other = true;
        return TDSNN_OK;
    }
}

static tdsnn_status read_function(td_reader *r, td_wire message, function *f) {
    td_refs refs = {0};
    td_source_value *values;
    int value_count;
    tdsnn_status status = TDSNN_OK;
    td_field field;
    while (status == TDSNN_OK && td_wire_next(&message, &field)) {
        status = read_part(r, &field, &refs, f);
    }
    if (status == TDSNN_OK && message.damaged) {
        status = td_reader_damaged(r, &message);
    }
    if (status == TDSNN_OK) {
        status = td_refs_number(r, &refs, &values, &value_count);
    }
    td_free(refs.items);
    return status;
}

static bool equal_ints(const int *a, int a_count, const int *b, int b_count) {
    return a_count == b_count && memcmp(a, b, (size_t)a_count * sizeof *a) == 0;
}

/* Only the attributes that the body has: an integer, or a tensor of integers. */
static bool equal_attributes(const td_attribute *a, const td_attribute *b) {
    if (a->type != b->type || a->type != TD_ATTRIBUTE_TENSOR) {
        return a->type == b->type && a->type == TD_ATTRIBUTE_INT && a->i == b->i;
    }
    const td_tensor *s = a->tensor, *t = b->tensor;
    return s->type == TD_TYPE_INT && t->type == TD_TYPE_INT && s->rank == t->rank &&
           memcmp(s->dims, t->dims, (size_t)s->rank * sizeof *s->dims) == 0 &&
           memcmp(s->ints, t->ints, s->count * sizeof *s->ints) == 0;
}

static bool equal_nodes(const td_source_node *a, const td_source_node *b) {
    bool equal = strcmp(a->op, b->op) == 0 && strcmp(a->domain, b->domain) == 0 &&
                 equal_ints(a->inputs, a->input_count, b->inputs, b->input_count) &&
                 equal_ints(a->outputs, a->output_count, b->outputs, b->output_count) &&
                 a->attribute_count == b->attribute_count;
    for (int i = 0; equal && i < a->attribute_count; i++) {
        const td_attribute *other = td_source_attribute(b, a->attributes[i].name);
        equal = other != NULL && equal_attributes(&a->attributes[i], other);
    }
    return equal;
}

static bool equal_interfaces(const function *a, const function *b) {
    bool equal = !a->other && !b->other && a->import_count == b->import_count &&
                 a->opset == b->opset && a->attribute_count == b->attribute_count &&
                 equal_ints(a->inputs, a->input_count, b->inputs, b->input_count) &&
                 equal_ints(a->outputs, a->output_count, b->outputs, b->output_count);
    for (int i = 0; equal && i < a->attribute_count; i++) {
        equal = strcmp(a->attributes[i], b->attributes[i]) == 0;
    }
    return equal;
}

static tdsnn_status compare(const td_reader *r, const function *found, const function *ours) {
    const char *advice = "which computes something else than this program; convert the original "
                         "network again";
    for (int i = 0; i < found->node_count && i < ours->node_count; i++) {
        if (!equal_nodes(&found->nodes[i], &ours->nodes[i])) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "has another body from node %d (%s) on, %s", i,
                            found->nodes[i].op, advice);
        }
    }
    if (found->node_count != ours->node_count) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "has a body of %d nodes instead of %d, %s",
                        found->node_count, ours->node_count, advice);
    }
    return equal_interfaces(found, ours)
               ? TDSNN_OK
               : td_error(r->ctx, TDSNN_ERR_INPUT,
                          "has other inputs, outputs, attributes or imports, %s", advice);
}

/* Ours, through the same reader: what is compared cannot differ in how it was read. */
static tdsnn_status read_ours(td_reader *r, function *ours) {
    Onnx__FunctionProto *proto = td_temporal_code(r->arena);
    if (proto == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    unsigned char *bytes =
        td_arena_alloc(r->arena, onnx__function_proto__get_packed_size(proto), 1);
    if (bytes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    size_t size = onnx__function_proto__pack(proto, bytes);
    return read_function(r, (td_wire){.at = bytes, .end = bytes + size}, ours);
}

static tdsnn_status check(td_reader *r, td_wire message) {
    function *pair = td_arena_alloc(r->arena, 2, sizeof *pair);
    tdsnn_status status = pair == NULL ? TDSNN_ERR_RUNTIME : read_ours(r, &pair[0]);
    if (status == TDSNN_OK) {
        status = read_function(r, message, &pair[1]);
    }
    return status == TDSNN_OK ? compare(r, &pair[1], &pair[0]) : status;
}

tdsnn_status td_check_temporal_code(td_reader *r, td_wire message) {
    td_arena *kept = r->arena;
    r->arena = td_arena_create(r->ctx);
    tdsnn_status status = r->arena == NULL ? TDSNN_ERR_RUNTIME : check(r, message);
    td_arena_destroy(r->arena);
    r->arena = kept;
    return status == TDSNN_OK
               ? TDSNN_OK
               : td_error_in(r->ctx, status, "the function " TD_CODE_DOMAIN "." TD_CODE_FUNCTION);
}
