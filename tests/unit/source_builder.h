/* Builds a td_source by hand, as the reader would from a file. */
#ifndef SOURCE_BUILDER_H
#define SOURCE_BUILDER_H

#include <string.h>

#include "base/random.h"
#include "graph/lower.h"

#define MAX_VALUES 256
#define MAX_NODES 64
#define MAX_ATTRIBUTES 8

/* An integer list and its length, as two arguments. */
#define INTS(...)                                                                                  \
    (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define FLOATS(...)                                                                                \
    (const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float)

/* Values are known by number: that is what the functions below return and take. */
typedef struct builder {
    tdsnn_context *ctx;
    td_random random;
    td_source source;
    td_source_value values[MAX_VALUES];
    td_source_node nodes[MAX_NODES];
    td_attribute attributes[MAX_NODES][MAX_ATTRIBUTES];
    int inputs[4], outputs[4];
} builder;

static inline builder *build(tdsnn_context *ctx, int opset) {
    builder *b = td_alloc(ctx, 1, sizeof *b);
    b->ctx = ctx;
    td_random_seed(&b->random, 1, 0);
    b->source = (td_source){.arena = td_arena_create(ctx),
                            .path = "test.onnx",
                            .opset = opset,
                            .values = b->values,
                            .nodes = b->nodes,
                            .inputs = b->inputs,
                            .outputs = b->outputs};
    return b;
}

static inline void build_end(builder *b) {
    td_arena_destroy(b->source.arena);
    td_free(b);
}

static inline int add_value(builder *b, const char *name, const td_tensor *constant) {
    int value = b->source.value_count++;
    b->values[value] = (td_source_value){.name = name, .constant = constant, .rank = -1};
    return value;
}

/* A symbolic dimension is -1; it is called "N". */
static inline int add_input(builder *b, const char *name, const int64_t *dims, size_t rank) {
    int value = add_value(b, name, NULL);
    b->values[value].rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        b->values[value].dims[i] = dims[i];
        b->values[value].symbols[i] = dims[i] == -1 ? "N" : NULL;
    }
    b->inputs[b->source.input_count++] = value;
    return value;
}

static inline void add_output(builder *b, int value) {
    b->outputs[b->source.output_count++] = value;
}

static inline td_tensor *new_tensor(builder *b, td_type type, const int64_t *dims, size_t rank) {
    td_tensor *tensor = td_arena_alloc(b->source.arena, 1, sizeof *tensor);
    tensor->type = type;
    tensor->rank = (int)rank;
    tensor->count = 1;
    for (size_t i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
        tensor->count *= (size_t)dims[i];
    }
    return tensor;
}

/* A float constant; without `values` its elements are random, of deviation 1. */
static inline int add_floats(builder *b, const char *name, const int64_t *dims, size_t rank,
                             const float *values) {
    td_tensor *tensor = new_tensor(b, TD_TYPE_FLOAT, dims, rank);
    float *floats = td_arena_alloc(b->source.arena, tensor->count, sizeof *floats);
    for (size_t i = 0; i < tensor->count; i++) {
        floats[i] = values != NULL ? values[i] : (float)td_random_normal(&b->random);
    }
    tensor->floats = floats;
    return add_value(b, name, tensor);
}

static inline int add_random(builder *b, const char *name, const int64_t *dims, size_t rank) {
    return add_floats(b, name, dims, rank, NULL);
}

/* A float constant [count]. */
static inline int add_vector(builder *b, const char *name, const float *values, size_t count) {
    return add_floats(b, name, (const int64_t[]){(int64_t)count}, 1, values);
}

/* An integer constant [count]. */
static inline int add_integers(builder *b, const char *name, const int64_t *values, size_t count) {
    td_tensor *tensor = new_tensor(b, TD_TYPE_INT, (const int64_t[]){(int64_t)count}, 1);
    int64_t *ints = td_arena_alloc(b->source.arena, count, sizeof *ints);
    memcpy(ints, values, count * sizeof *ints);
    tensor->ints = ints;
    return add_value(b, name, tensor);
}

/* A node of up to six inputs, the unused ones -2 (-1 is an input left out); gives its output, which
 * is called as the node with ":0" behind. */
static inline int add_node6(builder *b, const char *op, const char *name, const int inputs[6]) {
    int index = b->source.node_count++;
    int *copy = td_arena_alloc(b->source.arena, 6, sizeof *copy), count = 0;
    while (count < 6 && inputs[count] != -2) {
        copy[count] = inputs[count];
        count++;
    }
    int *outputs = td_arena_alloc(b->source.arena, 5, sizeof *outputs);
    outputs[0] = add_value(b, td_arena_printf(b->source.arena, "%s:0", name), NULL);
    b->nodes[index] = (td_source_node){.name = name,
                                       .op = op,
                                       .domain = strcmp(op, "TemporalCode") == 0 ? "org.tdsnn" : "",
                                       .input_count = count,
                                       .output_count = 1,
                                       .inputs = copy,
                                       .outputs = outputs,
                                       .attributes = b->attributes[index]};
    return outputs[0];
}
#define FIRST_SIX(a, b, c, d, e, f, ...) ((const int[6]){a, b, c, d, e, f})
#define add_node(b, op, name, ...)                                                                 \
    add_node6(b, op, name, FIRST_SIX(__VA_ARGS__, -2, -2, -2, -2, -2, -2, -2))

/* A further output of the last node. */
static inline int add_second_output(builder *b, const char *name) {
    td_source_node *node = &b->nodes[b->source.node_count - 1];
    int value = add_value(b, name, NULL);
    ((int *)node->outputs)[node->output_count++] = value;
    return value;
}

/* An attribute of the last node. */
static inline td_attribute *add_attribute(builder *b, const char *name, td_attribute_type type) {
    int index = b->source.node_count - 1;
    td_attribute *attribute = &b->attributes[index][b->nodes[index].attribute_count++];
    *attribute = (td_attribute){.name = name, .type = type};
    return attribute;
}

static inline void set_int(builder *b, const char *name, int64_t value) {
    add_attribute(b, name, TD_ATTRIBUTE_INT)->i = value;
}

static inline void set_float(builder *b, const char *name, float value) {
    add_attribute(b, name, TD_ATTRIBUTE_FLOAT)->f = value;
}

static inline void set_string(builder *b, const char *name, const char *value) {
    add_attribute(b, name, TD_ATTRIBUTE_STRING)->s = value;
}

static inline void set_ints(builder *b, const char *name, const int64_t *values, size_t count) {
    td_attribute *attribute = add_attribute(b, name, TD_ATTRIBUTE_INTS);
    int64_t *copy = td_arena_alloc(b->source.arena, count, sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    attribute->ints = copy;
    attribute->count = count;
}

#endif
