/* What the files of the lowering share; for the room alone.
 *
 * A network is lowered node by node into drafts: the graph's nodes with what was folded into them
 * kept apart, in double, until all is known. td_lower_emit then rounds once. */
#ifndef TD_GRAPH_LOWER_INTERNAL_H
#define TD_GRAPH_LOWER_INTERNAL_H

#include "graph/lower.h"

/* Elements of all weights, of all copies of constants, and of all values of one sample: beyond
 * this a file is taken for damaged or hostile. */
#define TD_MAX_ELEMENTS ((size_t)1 << 28)

/* One node of the graph to be. A convolution or inner product computes, for each channel c,
 * scale[c] (sum w x) + bias[c] with the file's own floats as w. */
typedef struct td_draft {
    td_op op;
    int source; /* node of the file; -1 for the input */
    bool extra; /* a second draft of that node, the result of which only its first one reads */
    int input_count;
    int *inputs; /* earlier drafts */
    td_shape shape;
    td_window window;
    int groups;
    const float *weights; /* [C][inputs], or [inputs][C] if `transposed` */
    bool transposed;
    double *scale;   /* CONV, INNER: [C], or NULL where nothing was folded */
    double *bias;    /* CONV, INNER: [C] */
    double *operand; /* SUB, DIV, MUL, SHIFT: [C] */
    const tdsnn_code *code;
} td_draft;

/* What is known of a value of the file: a constant, a draft's result, or nothing because the node
 * that makes it was refused. */
typedef struct td_value {
    const td_tensor *constant;
    int draft;           /* -1 if it is not computed */
    int uses;            /* by live nodes, and as the network's output */
    bool shared;         /* the draft's result is read in more than one place */
    const char *refused; /* the name of the node at fault, or NULL */
} td_value;

typedef struct td_lowerer {
    tdsnn_context *ctx;
    const td_source *source;
    td_arena *scratch; /* dies with the lowering; what lasts goes to result->arena */
    td_lowering *result;
    td_value *values; /* of source->values */
    int draft_count;
    size_t draft_capacity;
    td_draft *drafts;
    size_t weights, copies, activations; /* elements so far, of TD_MAX_ELEMENTS */
    int node;                            /* the file's node that is being lowered */
    const struct td_operator *op;        /* its row of the table */
} td_lowerer;

typedef tdsnn_status (*td_lower_fn)(td_lowerer *l, const td_source_node *node);

typedef struct td_attribute_spec {
    const char *name;
    td_attribute_type type;
} td_attribute_spec;

/* One row of the table of operators (lower.c). Inputs that break `inputs`, attributes that are not
 * listed, and outputs beyond the first that something reads are refused before `lower` runs. */
typedef struct td_operator {
    const char *name, *domain;
    int first_opset, last_opset; /* of ONNX's own domain, whatever domain the row is of */
    /* One letter an input: x computed, c constant, a either; C an optional constant. */
    const char *inputs;
    const td_attribute_spec *attributes; /* ends with a NULL name */
    td_lower_fn lower;
    const char *maps_to; /* one line, for documentation */
} td_operator;

/* The table, `*count` rows: what is supported is what stands there. */
const td_operator *td_operators(size_t *count);

/* ---- Ending a node: every td_lower_fn returns one of these, or an error. */

/* Refuses the node being lowered: records the sentence as its fate's reason and returns
 * TDSNN_ERR_UNSUPPORTED, which td_lower takes as the end of this node alone. */
tdsnn_status td_refuse(td_lowerer *l, const char *format, ...) TDSNN_PRINTF(2, 3);

/* TDSNN_ERR_INPUT: the file contradicts itself at this node. */
tdsnn_status td_broken(td_lowerer *l, const char *format, ...) TDSNN_PRINTF(2, 3);

/* The node becomes this draft (`source` is filled in). */
tdsnn_status td_keep(td_lowerer *l, const td_source_node *node, const td_draft *draft);

/* The node has no effect: its output is its first input. */
tdsnn_status td_pass(td_lowerer *l, const td_source_node *node);

/* The node was taken up by the draft that makes its computed input: "bias folded into 'conv1'". */
tdsnn_status td_folded(td_lowerer *l, const td_source_node *node, int input, const char *what);

/* The node's output is this constant, which lives in l->scratch or the source. */
tdsnn_status td_constant(td_lowerer *l, const td_source_node *node, const td_tensor *tensor);

/* ---- Reading a node. */

/* The constant behind an input, or NULL (computed, or left out). */
const td_tensor *td_input_constant(const td_lowerer *l, const td_source_node *node, int input);

/* The draft behind a computed input. Valid until the next td_draft_add or td_keep. */
td_draft *td_input_draft(const td_lowerer *l, const td_source_node *node, int input);

/* Whether an input was left out. */
bool td_input_absent(const td_source_node *node, int input);

/* The input's name in the file, for messages. */
const char *td_input_name(const td_lowerer *l, const td_source_node *node, int input);

/* Attributes; their types have been checked against the row. */
int64_t td_int_attribute(const td_source_node *node, const char *name, int64_t otherwise);
double td_float_attribute(const td_source_node *node, const char *name, double otherwise);
const char *td_string_attribute(const td_source_node *node, const char *name,
                                const char *otherwise);

/* "[20, 1, 5, 5]", in scratch memory; "" when there is none left. */
const char *td_dims_text(td_lowerer *l, const td_tensor *tensor);

/* TDSNN_ERR_INPUT unless the constant input is float and finite throughout. */
tdsnn_status td_check_floats(td_lowerer *l, const td_source_node *node, int input);

/* ---- Building. */

/* Appends a draft; gives its number. Refuses one that reads a Softmax, or is too large. */
tdsnn_status td_draft_add(td_lowerer *l, const td_draft *draft, int *index);

/* Adds to one of the sums in td_lowerer; refuses beyond TD_MAX_ELEMENTS. */
tdsnn_status td_count_elements(td_lowerer *l, size_t *sum, size_t count, const char *what);

/* `count` doubles of scratch, all `value`. Errors: NULL, recorded. */
double *td_doubles(td_lowerer *l, size_t count, double value);

/* The window of a Conv or MaxPool from its attributes (pads, strides, dilations, auto_pad,
 * ceil_mode) and the output it gives; `shape` comes with the input's h and w. */
tdsnn_status td_lower_window(td_lowerer *l, const td_source_node *node, const int64_t kernel[2],
                             td_shape *shape, td_window *window);

/* Rounds the drafts into l->result->graph. */
tdsnn_status td_lower_emit(td_lowerer *l);

/* ---- The rows' functions, by file. lower_linear.c */
tdsnn_status td_lower_conv(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_gemm(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_matmul(td_lowerer *l, const td_source_node *node);
/* lower_affine.c */
tdsnn_status td_lower_add(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_sub(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_mul(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_div(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_batch_norm(td_lowerer *l, const td_source_node *node);
/* lower_neuron.c */
tdsnn_status td_lower_relu(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_maxpool(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_code(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_softmax(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_log_softmax(td_lowerer *l, const td_source_node *node);
/* lower_layout.c */
tdsnn_status td_lower_identity(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_dropout(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_flatten(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_reshape(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_transpose(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_cast(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_constant(td_lowerer *l, const td_source_node *node);

#endif
