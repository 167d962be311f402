/* A network as its file states it: nodes by operator name, attributes, constants. The ONNX reader
 * makes one; graph/lower.h turns it into a td_graph, which is what everything else works on. */
#ifndef TD_GRAPH_SOURCE_H
#define TD_GRAPH_SOURCE_H

#include <stdint.h>

#include "base/memory.h"

#define TD_MAX_RANK 8

/* Constants come as float (from float, float16, double) or as int64 (from every integer and bool);
 * anything else keeps only its name and shape. */
typedef enum td_type { TD_TYPE_FLOAT, TD_TYPE_INT, TD_TYPE_OTHER } td_type;

typedef struct td_tensor {
    td_type type;
    int rank;
    int64_t dims[TD_MAX_RANK]; /* each >= 0; their product is `count` and was checked */
    size_t count;
    const float *floats; /* [count] if type is FLOAT */
    const int64_t *ints; /* [count] if type is INT */
} td_tensor;

typedef enum td_attribute_type {
    TD_ATTRIBUTE_INT,
    TD_ATTRIBUTE_FLOAT,
    TD_ATTRIBUTE_STRING,
    TD_ATTRIBUTE_TENSOR,
    TD_ATTRIBUTE_INTS,
    TD_ATTRIBUTE_FLOATS,
    TD_ATTRIBUTE_OTHER /* a graph, a sparse tensor, ...: present, but nothing we read */
} td_attribute_type;

typedef struct td_attribute {
    const char *name;
    td_attribute_type type;
    int64_t i;
    float f;
    const char *s; /* zero-terminated; a zero byte inside is refused by the reader */
    const td_tensor *tensor;
    size_t count; /* of ints or floats */
    const int64_t *ints;
    const float *floats;
    /* In a function's body alone: the attribute of the call that stands for this one; else NULL. */
    const char *reference;
} td_attribute;

/* Values are known by number: an index into td_source.values; -1 is an optional input left out. */
typedef struct td_source_node {
    const char *name;     /* "" becomes "OP_3", the node's number in the file; unique */
    const char *op;       /* operator, "Conv" */
    const char *domain;   /* "" is ONNX's own */
    const char *overload; /* of a call: which of the functions of that name; else "" or NULL */
    int input_count, output_count, attribute_count;
    const int *inputs, *outputs;
    const td_attribute *attributes;
    int64_t opset; /* of the function that it comes from; 0: the source's */
} td_source_node;

typedef struct td_source_value {
    const char *name;
    const td_tensor *constant; /* an initialiser; NULL if computed or fed */
    /* declared shape, of the graph's input and outputs only; rank -1 where there is none */
    int rank;
    int64_t dims[TD_MAX_RANK];        /* -1: symbolic */
    const char *symbols[TD_MAX_RANK]; /* the name of a symbolic dimension, or NULL */
} td_source_value;

typedef struct td_metadata {
    const char *key, *value;
} td_metadata;

typedef struct td_source {
    td_arena *arena;
    const char *path; /* of the file, for messages */
    int64_t opset;    /* of ONNX's own domain */
    int value_count, node_count, input_count, output_count, metadata_count;
    td_source_value *values;
    td_source_node *nodes; /* sorted: every input is made before it is read */
    int *inputs;           /* that are not initialisers */
    int *outputs;
    td_metadata *metadata;
} td_source;

/* NULL is fine. */
void td_source_destroy(td_source *source);

/* Gives symbolic dimensions of the inputs their sizes: "height=224,width=224". One without a name
 * is called by its place, "2=224". The batch needs none and stays as it is; names that the network
 * does not have are of no effect.
 * Errors: TDSNN_ERR_USAGE for a text of another form. */
tdsnn_status td_source_set_sizes(tdsnn_context *ctx, td_source *source, const char *sizes);

/* The attribute of that name, or NULL. */
const td_attribute *td_source_attribute(const td_source_node *node, const char *name);

#endif
