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
    /* One node of the file may become several drafts: this one is then called as the node with a
     * dot and the suffix behind; NULL for the one that has the node's own name. */
    const char *suffix;
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
    float negative, low, high; /* as in td_node, and so are these: */
    bool count_padding;
    int first_channel;
} td_draft;

/* How the file lays out a value. Its draft is [C][H][W], or flat, whatever the file says. */
typedef enum td_layout {
    TD_LAYOUT_NCHW,      /* [N, C, H, W], or [N, F] if flat */
    TD_LAYOUT_NHWC,      /* [N, H, W, C] */
    TD_LAYOUT_NCL,       /* [N, C, L], of 1-D convolutions; the draft's h is 1 */
    TD_LAYOUT_FLAT_NHWC, /* [N, H*W*C] in this order; the draft is flat in the order C, H, W */
    TD_LAYOUT_LINES,     /* [N, C, H*W] */
    TD_LAYOUT_GROUPED,   /* [N, groups, C/groups, H, W]: only a Transpose or Reshape reads it */
    TD_LAYOUT_SPREAD     /* [N, C, 1, 1], [N, 1, C] and the like; the draft is flat */
} td_layout;

/* What is known of a value of the file: a constant, a draft's result, or nothing because the node
 * that makes it was refused. */
typedef struct td_value {
    const td_tensor *constant;
    int draft;           /* -1 if it is not computed */
    td_layout layout;    /* of a computed value */
    td_shape unflat;     /* FLAT_NHWC: the shape before it was flattened */
    int rank, axis;      /* SPREAD: of the file, and which axis C is */
    int groups;          /* GROUPED */
    int pads[4];         /* zeros that a Pad put around it: y begin, x begin, y end, x end */
    int uses;            /* by live nodes, and as the network's output */
    int shape_uses;      /* those that only ask for its shape */
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
    const int *makers;                   /* [value]: the node that makes it, or -1 */
    const int *pairs;             /* [node]: the Sub whose signed code it is part of, or -1 */
    const struct td_operator *op; /* its row of the table */
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
    /* One letter an input. Computed, of any layout: l, p that or padded. Constant: c, optional C.
     * Either: a, q that or padded. A + behind the last lets it come again. */
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

/* The value behind an input. */
const td_value *td_input_value(const td_lowerer *l, const td_source_node *node, int input);

/* The dimensions that the file gives a computed value, the batch as 1; their number. */
int td_file_dims(const td_lowerer *l, const td_value *value, int64_t dims[4]);

/* "[N, 3, 32, 32]", those dimensions in scratch memory; "" when there is none left. */
const char *td_value_text(td_lowerer *l, const td_value *value);

/* The channels' axis in the file; -1 where they are mixed with the positions. */
int td_channel_axis(const td_value *value);

/* The number of spatial axes that a window has over an input: 2, or 1 of [N, C, L]; 0 where it is
 * neither [N, C, H, W] nor that. */
int td_spatial_rank(const td_lowerer *l, const td_value *value);

/* Whether there are zeros around a value that the file counts and the draft does not have. */
bool td_is_padded(const td_value *value);

/* A list of integers: the attribute `name`, or else the constant input (< 0: none). *count is 0 and
 * *list NULL where it is left out. Errors: refuses one that depends on the batch. */
tdsnn_status td_int_list(td_lowerer *l, const td_source_node *node, const char *name, int input,
                         const int64_t **list, size_t *count);

/* An axis of `rank`, counted from the end if negative; TDSNN_ERR_INPUT outside. */
tdsnn_status td_read_axis(td_lowerer *l, int64_t axis, int rank, int *out);

/* What a Shape says of a symbolic batch, in an integer constant; no number that exporters write, as
 * INT64_MIN is for an end that is open. */
#define TD_BATCH (INT64_MIN + 20143)

/* The opset that a node is of: its function's, or the model's. */
int64_t td_node_opset(const td_lowerer *l, const td_source_node *node);

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

/* What td_keep does behind td_draft_add, for a node of several outputs: binds one of them to a
 * draft; says what stands for the node. */
void td_bind_output(td_lowerer *l, const td_source_node *node, int output, int draft);
tdsnn_status td_kept_as(td_lowerer *l, int draft);

/* [N, C, 1, 1] or [N, C, 1], which a convolution takes as its channels. */
bool td_is_column(const td_value *value);

/* Lays a value out as another one of the file. */
void td_lay_out_like(td_value *value, const td_value *other);

/* The node has no effect but that the file calls or arranges its input otherwise: the output is
 * `draft` laid out as said. */
tdsnn_status td_rearranged(td_lowerer *l, const td_source_node *node, int draft, td_layout layout,
                           const char *reason);

/* The node, which has a computed input, only changes how the file shapes one sample: to dims[1..],
 * in the file's order. Refuses what [C][H][W] or flat cannot say. */
tdsnn_status td_view(td_lowerer *l, const td_source_node *node, int rank, const int64_t *dims);

/* A draft of one input and the input's shape. */
td_draft td_pointwise(td_lowerer *l, const td_source_node *node, int input, td_op op);

/* Appends a draft; gives its number. Refuses one that reads a Softmax, or is too large. */
tdsnn_status td_draft_add(td_lowerer *l, const td_draft *draft, int *index);

/* Adds to one of the sums in td_lowerer; refuses beyond TD_MAX_ELEMENTS. */
tdsnn_status td_count_elements(td_lowerer *l, size_t *sum, size_t count, const char *what);

/* `count` doubles of scratch, all `value`. Errors: NULL, recorded. */
double *td_doubles(td_lowerer *l, size_t count, double value);

/* The window of a Conv or pool of 1 or 2 spatial axes, from its attributes (pads, strides,
 * dilations, auto_pad, ceil_mode) and the zeros around its input, and the output it gives; `shape`
 * comes with the input's h and w. */
tdsnn_status td_lower_window(td_lowerer *l, const td_source_node *node, int rank,
                             const int64_t *kernel, td_shape *shape, td_window *window);

/* Checks a node of the file against a row of that name, which becomes l->op: its inputs, or all but
 * the first, attributes and outputs. */
tdsnn_status td_check_node(td_lowerer *l, const td_source_node *node, int first_input);

/* Finds the signed codes Sub(TemporalCode(x), TemporalCode(Neg(x))), the second perhaps times a
 * constant, that a written file has for one CODE (SPEC 4); fills l->pairs. */
tdsnn_status td_find_pairs(td_lowerer *l);

/* The code of a TemporalCode, checked; l->op is its row. */
tdsnn_status td_read_code(td_lowerer *l, const td_source_node *node, const tdsnn_code **out);

/* The Sub of such a pair. */
tdsnn_status td_lower_pair(td_lowerer *l, const td_source_node *node);

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
tdsnn_status td_lower_neg(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_batch_norm(td_lowerer *l, const td_source_node *node);
/* A constant input as one double a channel of the computed one; refuses one of another shape. */
tdsnn_status td_read_operand(td_lowerer *l, const td_source_node *node, int constant, int computed,
                             double **out);
/* lower_neuron.c */
tdsnn_status td_lower_relu(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_clip(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_max(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_min(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_prelu(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_leaky_relu(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_code(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_softmax(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_log_softmax(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_sigmoid(td_lowerer *l, const td_source_node *node);
/* lower_pool.c */
tdsnn_status td_lower_maxpool(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_average_pool(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_global_pool(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_reduce(td_lowerer *l, const td_source_node *node);
/* lower_join.c */
tdsnn_status td_lower_sum(td_lowerer *l, const td_source_node *node);
/* Refuses computed inputs that are not of one shape and layout: what a sum or difference needs. */
tdsnn_status td_check_alike(td_lowerer *l, const td_source_node *node);
/* Chooses channels of the first input, in this order: runs of neighbours stay together. */
tdsnn_status td_choose_channels(td_lowerer *l, const td_source_node *node, const int *channels,
                                int count, int *draft);
tdsnn_status td_lower_concat(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_slice(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_split(td_lowerer *l, const td_source_node *node);
/* lower_layout.c */
tdsnn_status td_lower_identity(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_dropout(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_flatten(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_reshape(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_squeeze(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_unsqueeze(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_transpose(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_pad(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_gather(td_lowerer *l, const td_source_node *node);
/* lower_constant.c: constants worked out */
tdsnn_status td_lower_cast(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_constant(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_shape(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_constant_of_shape(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_equal(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_expand(td_lowerer *l, const td_source_node *node);
tdsnn_status td_lower_where(td_lowerer *l, const td_source_node *node);
tdsnn_status td_constant_view(td_lowerer *l, const td_source_node *node, int rank,
                              const int64_t *dims);
tdsnn_status td_constant_transpose(td_lowerer *l, const td_source_node *node, const int *perm);
tdsnn_status td_constant_gather(td_lowerer *l, const td_source_node *node);
tdsnn_status td_constant_concat(td_lowerer *l, const td_source_node *node);
tdsnn_status td_constant_slice(td_lowerer *l, const td_source_node *node);
tdsnn_status td_constant_arithmetic(td_lowerer *l, const td_source_node *node);
/* Of every `step`-th of `size` rows, from range[0] to before range[1]: clamps both to what is
 * there, as ONNX does, and gives the number of rows. */
int64_t td_clamp_range(int64_t range[2], int64_t step, int64_t size);
/* Refuses a first input that holds no numbers: strings and the like, or nothing at all. */
tdsnn_status td_check_numbers(td_lowerer *l, const td_source_node *node);

#endif
