#include <stdio.h>
#include <string.h>

#include "onnx/reader.h"
#include "onnx/schema.h"

/* Which of an attribute's values the message holds, as bits. */
enum { HAS_F = 1, HAS_I = 2, HAS_S = 4, HAS_T = 8 };

/* An AttributeProto's single fields. */
typedef struct header {
    uint64_t type;
    unsigned has;
    td_wire reference; /* to an attribute of the function that the node is in */
    uint64_t f, i;
    td_wire name, s, t;
    size_t floats, ints;
} header;

static tdsnn_status read_header(const td_reader *r, td_wire message, header *h) {
    td_items floats = {.message = message, .number = ATTRIBUTE_FLOATS, .type = TD_WIRE_FIXED32};
    td_items ints = {.message = message, .number = ATTRIBUTE_INTS, .type = TD_WIRE_VARINT};
    td_field field;
    while (td_wire_next(&message, &field)) {
        switch (field.key) {
        case ATTRIBUTE_NAME:
            h->name = field.bytes;
            break;
        case ATTRIBUTE_TYPE:
            h->type = field.value;
            break;
        case ATTRIBUTE_REF:
            h->reference = field.bytes;
            break;
        case ATTRIBUTE_F:
            h->f = field.value;
            h->has |= HAS_F;
            break;
        case ATTRIBUTE_I:
            h->i = field.value;
            h->has |= HAS_I;
            break;
        case ATTRIBUTE_S:
            h->s = field.bytes;
            h->has |= HAS_S;
            break;
        case ATTRIBUTE_T:
            h->t = field.bytes;
            h->has |= HAS_T;
            break;
        default:
            break;
        }
    }
    if (message.damaged) {
        return td_reader_damaged(r, &message);
    }
    if (!td_items_count(floats, &h->floats) || !td_items_count(ints, &h->ints)) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "its packed numbers are cut off or damaged");
    }
    return TDSNN_OK;
}

/* The type that files older than IR 2 leave out. */
static uint64_t guess_type(const header *h) {
    return h->has & HAS_F   ? ONNX_ATTRIBUTE_FLOAT
           : h->has & HAS_I ? ONNX_ATTRIBUTE_INT
           : h->has & HAS_S ? ONNX_ATTRIBUTE_STRING
           : h->has & HAS_T ? ONNX_ATTRIBUTE_TENSOR
           : h->floats > 0  ? ONNX_ATTRIBUTE_FLOATS
           : h->ints > 0    ? ONNX_ATTRIBUTE_INTS
                            : 0;
}

static float float_from_bits(uint64_t bits) {
    uint32_t narrow = (uint32_t)bits;
    float value;
    memcpy(&value, &narrow, sizeof value);
    return value;
}

static tdsnn_status read_floats(td_reader *r, td_wire message, size_t count, td_attribute *a) {
    td_items items = {.message = message, .number = ATTRIBUTE_FLOATS, .type = TD_WIRE_FIXED32};
    float *floats = td_arena_alloc(r->arena, count, sizeof *floats);
    uint64_t bits;
    for (size_t i = 0; floats != NULL && td_items_next(&items, &bits); i++) {
        floats[i] = float_from_bits(bits);
    }
    a->type = TD_ATTRIBUTE_FLOATS;
    a->floats = floats;
    a->count = count;
    return floats == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status read_ints(td_reader *r, td_wire message, size_t count, td_attribute *a) {
    td_items items = {.message = message, .number = ATTRIBUTE_INTS, .type = TD_WIRE_VARINT};
    int64_t *ints = td_arena_alloc(r->arena, count, sizeof *ints);
    uint64_t bits;
    for (size_t i = 0; ints != NULL && td_items_next(&items, &bits); i++) {
        ints[i] = (int64_t)bits;
    }
    a->type = TD_ATTRIBUTE_INTS;
    a->ints = ints;
    a->count = count;
    return ints == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status read_attribute_tensor(td_reader *r, const header *h, td_attribute *a) {
    if ((h->has & HAS_T) == 0) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "is a tensor without contents");
    }
    td_tensor *tensor = td_arena_alloc(r->arena, 1, sizeof *tensor);
    if (tensor == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    a->type = TD_ATTRIBUTE_TENSOR;
    a->tensor = tensor;
    return td_read_tensor(r, h->t, tensor);
}

static tdsnn_status read_value(td_reader *r, td_wire message, const header *h, td_attribute *a) {
    bool refers = td_wire_size(&h->reference) > 0;
    switch (refers ? 0 : h->type != 0 ? h->type : guess_type(h)) {
    case ONNX_ATTRIBUTE_FLOAT:
        a->type = TD_ATTRIBUTE_FLOAT;
        a->f = float_from_bits(h->f);
        return TDSNN_OK;
    case ONNX_ATTRIBUTE_INT:
        a->type = TD_ATTRIBUTE_INT;
        a->i = (int64_t)h->i;
        return TDSNN_OK;
    case ONNX_ATTRIBUTE_STRING:
        a->type = TD_ATTRIBUTE_STRING;
        return td_read_text(r, &h->s, &a->s);
    case ONNX_ATTRIBUTE_TENSOR:
        return read_attribute_tensor(r, h, a);
    case ONNX_ATTRIBUTE_FLOATS:
        return read_floats(r, message, h->floats, a);
    case ONNX_ATTRIBUTE_INTS:
        return read_ints(r, message, h->ints, a);
    default:
        a->type = TD_ATTRIBUTE_OTHER;
        return refers ? td_read_name(r, &h->reference, &a->reference) : TDSNN_OK;
    }
}

tdsnn_status td_read_attribute(td_reader *r, td_wire message, td_attribute *a) {
    header h = {0};
    tdsnn_status status = read_header(r, message, &h);
    if (status == TDSNN_OK) {
        status = td_read_name(r, &h.name, &a->name);
    }
    if (status != TDSNN_OK) {
        return td_error_in(r->ctx, status, "an attribute");
    }
    status = a->name[0] == '\0' ? td_error(r->ctx, TDSNN_ERR_INPUT, "has no name")
                                : read_value(r, message, &h, a);
    return status == TDSNN_OK ? TDSNN_OK : td_reader_in(r, status, "attribute", a->name);
}

/* A node's parts, counted first and filled then. */
typedef struct parts {
    int *inputs, *outputs;
    td_attribute *attributes;
} parts;

static tdsnn_status count_parts(td_reader *r, td_wire message, td_source_node *node) {
    size_t inputs = 0, outputs = 0, attributes = 0;
    td_wire name = {0}, op = {0}, domain = {0}, overload = {0};
    td_field field;
    while (td_wire_next(&message, &field)) {
        inputs += field.key == NODE_INPUT;
        outputs += field.key == NODE_OUTPUT;
        attributes += field.key == NODE_ATTRIBUTE;
        name = field.key == NODE_NAME ? field.bytes : name;
        op = field.key == NODE_OP ? field.bytes : op;
        domain = field.key == NODE_DOMAIN ? field.bytes : domain;
        overload = field.key == NODE_OVERLOAD ? field.bytes : overload;
    }
    tdsnn_status status = message.damaged ? td_reader_damaged(r, &message) : TDSNN_OK;
    if (status == TDSNN_OK) {
        status = td_read_name(r, &op, &node->op);
    }
    if (status == TDSNN_OK) {
        status = td_read_name(r, &name, &node->name);
    }
    if (status == TDSNN_OK) {
        status = td_read_name(r, &overload, &node->overload);
    }
    if (status == TDSNN_OK) {
        status = td_wire_is(&domain, "ai.onnx") ? td_read_name(r, &(td_wire){0}, &node->domain)
                                                : td_read_name(r, &domain, &node->domain);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (node->op[0] == '\0' || inputs > TD_ONNX_MAX_ITEMS || outputs > TD_ONNX_MAX_ITEMS ||
        attributes > TD_ONNX_MAX_ATTRIBUTES) {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        "has no operator, or more inputs, outputs or attributes than are read");
    }
    node->input_count = (int)inputs;
    node->output_count = (int)outputs;
    node->attribute_count = (int)attributes;
    return TDSNN_OK;
}

/* An empty name is an optional value left out. */
static tdsnn_status add_value(td_reader *r, td_refs *refs, const td_wire *name, int *place) {
    *place = -1;
    return name->at == name->end ? TDSNN_OK : td_refs_add(r, refs, name, place);
}

static tdsnn_status fill_parts(td_reader *r, td_wire message, td_refs *refs, parts to) {
    td_field field;
    tdsnn_status status = TDSNN_OK;
    while (status == TDSNN_OK && td_wire_next(&message, &field)) {
        switch (field.key) {
        case NODE_INPUT:
            status = add_value(r, refs, &field.bytes, to.inputs++);
            break;
        case NODE_OUTPUT:
            status = add_value(r, refs, &field.bytes, to.outputs++);
            break;
        case NODE_ATTRIBUTE:
            status = td_read_attribute(r, field.bytes, to.attributes++);
            break;
        default:
            break;
        }
    }
    return status;
}

static tdsnn_status check_attributes(const td_reader *r, const td_source_node *node) {
    for (int i = 0; i < node->attribute_count; i++) {
        const char *name = node->attributes[i].name;
        if (td_source_attribute(node, name) != &node->attributes[i]) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "attribute '%s' stands there twice", name);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status read_parts(td_reader *r, td_wire message, td_refs *refs, td_source_node *node) {
    tdsnn_status status = count_parts(r, message, node);
    if (status != TDSNN_OK) {
        return status;
    }
    parts to = {
        .inputs = td_arena_alloc(r->arena, (size_t)node->input_count, sizeof *to.inputs),
        .outputs = td_arena_alloc(r->arena, (size_t)node->output_count, sizeof *to.outputs),
        .attributes =
            td_arena_alloc(r->arena, (size_t)node->attribute_count, sizeof *to.attributes),
    };
    if (to.inputs == NULL || to.outputs == NULL || to.attributes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    node->inputs = to.inputs;
    node->outputs = to.outputs;
    node->attributes = to.attributes;
    status = fill_parts(r, message, refs, to);
    return status == TDSNN_OK ? check_attributes(r, node) : status;
}

tdsnn_status td_read_node(td_reader *r, td_wire message, int number, td_refs *refs,
                          td_source_node *node) {
    *node = (td_source_node){0};
    tdsnn_status status = read_parts(r, message, refs, node);
    if (status != TDSNN_OK) {
        char place[2 * TD_ONNX_MAX_NAME + 64];
        snprintf(place, sizeof place, "node %d, '%s' (%s)", number,
                 node->name == NULL ? "" : node->name, node->op == NULL ? "?" : node->op);
        return td_error_in(r->ctx, status, place);
    }
    if (node->name[0] == '\0') {
        node->name = td_arena_printf(r->arena, "%s_%d", node->op, number);
    }
    return node->name == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}
