#include "graph/lower_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- The table. */

static const td_attribute_spec no_attributes[] = {{NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec conv_attributes[] = {
    {"auto_pad", TD_ATTRIBUTE_STRING}, {"dilations", TD_ATTRIBUTE_INTS},
    {"group", TD_ATTRIBUTE_INT},       {"kernel_shape", TD_ATTRIBUTE_INTS},
    {"pads", TD_ATTRIBUTE_INTS},       {"strides", TD_ATTRIBUTE_INTS},
    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec gemm_attributes[] = {
    {"alpha", TD_ATTRIBUTE_FLOAT}, {"beta", TD_ATTRIBUTE_FLOAT}, {"transA", TD_ATTRIBUTE_INT},
    {"transB", TD_ATTRIBUTE_INT},  {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec batch_norm_attributes[] = {
    {"epsilon", TD_ATTRIBUTE_FLOAT}, {"momentum", TD_ATTRIBUTE_FLOAT},
    {"spatial", TD_ATTRIBUTE_INT},   {"training_mode", TD_ATTRIBUTE_INT},
    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec maxpool_attributes[] = {
    {"auto_pad", TD_ATTRIBUTE_STRING}, {"ceil_mode", TD_ATTRIBUTE_INT},
    {"dilations", TD_ATTRIBUTE_INTS},  {"kernel_shape", TD_ATTRIBUTE_INTS},
    {"pads", TD_ATTRIBUTE_INTS},       {"storage_order", TD_ATTRIBUTE_INT},
    {"strides", TD_ATTRIBUTE_INTS},    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec average_attributes[] = {
    {"auto_pad", TD_ATTRIBUTE_STRING},       {"ceil_mode", TD_ATTRIBUTE_INT},
    {"count_include_pad", TD_ATTRIBUTE_INT}, {"dilations", TD_ATTRIBUTE_INTS},
    {"kernel_shape", TD_ATTRIBUTE_INTS},     {"pads", TD_ATTRIBUTE_INTS},
    {"strides", TD_ATTRIBUTE_INTS},          {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec reduce_attributes[] = {
    {"axes", TD_ATTRIBUTE_INTS},
    {"keepdims", TD_ATTRIBUTE_INT},
    {"noop_with_empty_axes", TD_ATTRIBUTE_INT},
    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec axis_attribute[] = {{"axis", TD_ATTRIBUTE_INT},
                                                   {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec axes_attribute[] = {{"axes", TD_ATTRIBUTE_INTS},
                                                   {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec alpha_attribute[] = {{"alpha", TD_ATTRIBUTE_FLOAT},
                                                    {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec value_attribute[] = {{"value", TD_ATTRIBUTE_TENSOR},
                                                    {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec clip_attributes[] = {
    {"max", TD_ATTRIBUTE_FLOAT}, {"min", TD_ATTRIBUTE_FLOAT}, {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec slice_attributes[] = {{"axes", TD_ATTRIBUTE_INTS},
                                                     {"ends", TD_ATTRIBUTE_INTS},
                                                     {"starts", TD_ATTRIBUTE_INTS},
                                                     {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec split_attributes[] = {{"axis", TD_ATTRIBUTE_INT},
                                                     {"num_outputs", TD_ATTRIBUTE_INT},
                                                     {"split", TD_ATTRIBUTE_INTS},
                                                     {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec shape_attributes[] = {
    {"end", TD_ATTRIBUTE_INT}, {"start", TD_ATTRIBUTE_INT}, {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec pad_attributes[] = {{"mode", TD_ATTRIBUTE_STRING},
                                                   {"pads", TD_ATTRIBUTE_INTS},
                                                   {"value", TD_ATTRIBUTE_FLOAT},
                                                   {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec reshape_attributes[] = {{"allowzero", TD_ATTRIBUTE_INT},
                                                       {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec transpose_attributes[] = {{"perm", TD_ATTRIBUTE_INTS},
                                                         {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec cast_attributes[] = {
    {"saturate", TD_ATTRIBUTE_INT}, {"to", TD_ATTRIBUTE_INT}, {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec dropout_attributes[] = {
    {"ratio", TD_ATTRIBUTE_FLOAT}, {"seed", TD_ATTRIBUTE_INT}, {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec constant_attributes[] = {
    {"value", TD_ATTRIBUTE_TENSOR},        {"value_float", TD_ATTRIBUTE_FLOAT},
    {"value_floats", TD_ATTRIBUTE_FLOATS}, {"value_int", TD_ATTRIBUTE_INT},
    {"value_ints", TD_ATTRIBUTE_INTS},     {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec code_attributes[] = {
    {"leak", TD_ATTRIBUTE_FLOAT},  {"offset", TD_ATTRIBUTE_INT}, {"rounding", TD_ATTRIBUTE_STRING},
    {"scale", TD_ATTRIBUTE_FLOAT}, {"steps", TD_ATTRIBUTE_INT},  {NULL, TD_ATTRIBUTE_OTHER},
};

static const td_operator operators[] = {
    {"Add", "", 7, 21, "aa", no_attributes, td_lower_add,
     "a constant: folded into the layer before, else SHIFT; two computed values: ADD"},
    {"AveragePool", "", 7, 21, "p", average_attributes, td_lower_average_pool, "AVGPOOL: 1-D, 2-D"},
    {"BatchNormalization", "", 7, 21, "lcccc", batch_norm_attributes, td_lower_batch_norm,
     "folded into the layer before, else MUL and SHIFT"},
    {"Cast", "", 7, 21, "a", cast_attributes, td_lower_cast,
     "constants are converted; of a computed value to float: no effect"},
    {"Clip", "", 7, 10, "l", clip_attributes, td_lower_clip, "CLIP, or RELU without a maximum"},
    {"Clip", "", 11, 21, "lCC", no_attributes, td_lower_clip, "CLIP, or RELU without a maximum"},
    {"Concat", "", 7, 21, "a+", axis_attribute, td_lower_concat,
     "CONCAT of channels; of constants"},
    {"Constant", "", 7, 21, "", constant_attributes, td_lower_constant, "a constant"},
    {"ConstantOfShape", "", 9, 21, "c", value_attribute, td_lower_constant_of_shape,
     "a constant: equal numbers"},
    {"Conv", "", 7, 21, "pcC", conv_attributes, td_lower_conv, "CONV: 1-D, 2-D, any geometry"},
    {"Div", "", 7, 21, "ac", no_attributes, td_lower_div,
     "by a constant: folded into the layer before, else DIV"},
    {"Dropout", "", 7, 11, "a", dropout_attributes, td_lower_dropout, "no effect at inference"},
    {"Dropout", "", 12, 21, "aCC", dropout_attributes, td_lower_dropout, "no effect at inference"},
    {"Equal", "", 7, 21, "cc", no_attributes, td_lower_equal, "of constants"},
    {"Expand", "", 8, 21, "ac", no_attributes, td_lower_expand,
     "of constants; to the shape it has already: no effect"},
    {"Flatten", "", 7, 21, "a", axis_attribute, td_lower_flatten, "FLATTEN: [N, C*H*W]"},
    {"Gather", "", 7, 21, "ac", axis_attribute, td_lower_gather,
     "of constants; SLICEs of channels; index 0 of an axis of size 1: no effect"},
    {"Gemm", "", 7, 10, "lcc", gemm_attributes, td_lower_gemm, "INNER"},
    {"Gemm", "", 11, 21, "lcC", gemm_attributes, td_lower_gemm, "INNER"},
    {"GlobalAveragePool", "", 7, 21, "l", no_attributes, td_lower_global_pool,
     "AVGPOOL of the whole input"},
    {"GlobalMaxPool", "", 7, 21, "l", no_attributes, td_lower_global_pool,
     "MAXPOOL of the whole input"},
    {"Identity", "", 7, 21, "a", no_attributes, td_lower_identity, "no effect"},
    {"LeakyRelu", "", 7, 21, "l", alpha_attribute, td_lower_leaky_relu, "LEAKY"},
    {"LogSoftmax", "", 7, 21, "l", axis_attribute, td_lower_log_softmax, "LOGSOFTMAX, last"},
    {"MatMul", "", 7, 21, "lc", no_attributes, td_lower_matmul,
     "INNER, by a constant matrix; over the channels of [N, H, W, C]: CONV"},
    {"Max", "", 8, 21, "aa", no_attributes, td_lower_max, "of a constant: RELU or CLIP"},
    {"MaxPool", "", 7, 21, "p", maxpool_attributes, td_lower_maxpool, "MAXPOOL: 1-D, 2-D"},
    {"Min", "", 8, 21, "aa", no_attributes, td_lower_min, "of a constant: CLIP"},
    {"Mul", "", 7, 21, "aa", no_attributes, td_lower_mul,
     "by a constant: folded into the layer before, else MUL"},
    {"Neg", "", 7, 21, "l", no_attributes, td_lower_neg,
     "folded into the layer before, else MUL; part of a signed code"},
    {"Pad", "", 7, 10, "l", pad_attributes, td_lower_pad,
     "zeros around the positions: folded into the window behind"},
    {"Pad", "", 11, 17, "lcC", pad_attributes, td_lower_pad,
     "zeros around the positions: folded into the window behind"},
    {"Pad", "", 18, 21, "lcCC", pad_attributes, td_lower_pad,
     "zeros around the positions: folded into the window behind"},
    {"ReduceMean", "", 7, 17, "l", reduce_attributes, td_lower_reduce,
     "over the positions: AVGPOOL of the whole input"},
    {"ReduceMean", "", 18, 21, "lC", reduce_attributes, td_lower_reduce,
     "over the positions: AVGPOOL of the whole input"},
    {"PRelu", "", 7, 21, "lc", no_attributes, td_lower_prelu,
     "LEAKY; slopes of their own for the channels: ADD of two RELUs, one times MUL"},
    {"ReduceMax", "", 7, 17, "l", reduce_attributes, td_lower_reduce,
     "over the positions: MAXPOOL of the whole input"},
    {"ReduceMax", "", 18, 21, "lC", reduce_attributes, td_lower_reduce,
     "over the positions: MAXPOOL of the whole input"},
    {"Relu", "", 7, 21, "l", no_attributes, td_lower_relu, "RELU"},
    {"Reshape", "", 7, 21, "ac", reshape_attributes, td_lower_reshape,
     "to [N, -1]: FLATTEN; where only sizes of 1 move: no effect; else UNFLATTEN; of constants"},
    {"Shape", "", 7, 21, "a", shape_attributes, td_lower_shape, "a constant"},
    {"Sigmoid", "", 7, 21, "l", no_attributes, td_lower_sigmoid, "SIGMOID, last"},
    {"Slice", "", 7, 9, "a", slice_attributes, td_lower_slice, "SLICE of channels; of constants"},
    {"Slice", "", 10, 21, "accCC", no_attributes, td_lower_slice,
     "SLICE of channels; of constants"},
    {"Softmax", "", 7, 21, "l", axis_attribute, td_lower_softmax, "SOFTMAX, last"},
    {"Split", "", 7, 12, "l", split_attributes, td_lower_split, "SLICEs of channels"},
    {"Split", "", 13, 21, "lC", split_attributes, td_lower_split, "SLICEs of channels"},
    {"Squeeze", "", 7, 12, "a", axes_attribute, td_lower_squeeze,
     "no effect, or FLATTEN; of constants"},
    {"Squeeze", "", 13, 21, "aC", no_attributes, td_lower_squeeze,
     "no effect, or FLATTEN; of constants"},
    {"Sub", "", 7, 21, "aa", no_attributes, td_lower_sub,
     "a constant: folded into the layer before, else SUB; two computed values: ADD with the second "
     "times -1; part of a signed code"},
    {"Sum", "", 8, 21, "l+", no_attributes, td_lower_sum, "ADD"},
    {"TemporalCode", "org.tdsnn", 7, 21, "lcc", code_attributes, td_lower_code, "CODE"},
    {"Transpose", "", 7, 21, "q", transpose_attributes, td_lower_transpose,
     "between [N, C, H, W] and [N, H, W, C]: no effect; a channel shuffle: CONCAT of SLICEs; of "
     "constants"},
    {"Unsqueeze", "", 7, 12, "a", axes_attribute, td_lower_unsqueeze, "no effect; of constants"},
    {"Unsqueeze", "", 13, 21, "ac", no_attributes, td_lower_unsqueeze, "no effect; of constants"},
    {"Where", "", 9, 21, "ccc", no_attributes, td_lower_where, "of constants"},
};

const td_operator *td_operators(size_t *count) {
    *count = sizeof operators / sizeof *operators;
    return operators;
}

/* ---- Ending a node. */

static const td_source_node *current(const td_lowerer *l) {
    return &l->source->nodes[l->node];
}

static tdsnn_status set_fate(td_lowerer *l, td_fate_kind kind, int draft, const char *reason) {
    td_fate *fate = &l->result->fates[l->node];
    fate->kind = kind;
    fate->node = draft;
    fate->reason = reason;
    return reason == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK; /* an arena without memory gives NULL */
}

/* The sentence, in the arena of the fates. */
static char *vformat(td_lowerer *l, const char *format, va_list arguments) {
    char sentence[800];
    vsnprintf(sentence, sizeof sentence, format, arguments);
    return td_arena_strdup(l->result->arena, sentence);
}

tdsnn_status td_refuse(td_lowerer *l, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *reason = vformat(l, format, arguments);
    va_end(arguments);
    tdsnn_status status = set_fate(l, TD_FATE_REFUSED, -1, reason);
    return status == TDSNN_OK ? TDSNN_ERR_UNSUPPORTED : status;
}

tdsnn_status td_broken(td_lowerer *l, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *reason = vformat(l, format, arguments);
    va_end(arguments);
    if (reason == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: node '%s' (%s): %s", l->source->path,
                    current(l)->name, current(l)->op, reason);
}

static void bind(td_lowerer *l, int value, int draft, td_layout layout, bool shared) {
    td_value *to = &l->values[value];
    to->draft = draft;
    to->layout = layout;
    to->shared = shared || to->uses - to->shape_uses > 1;
}

void td_lay_out_like(td_value *value, const td_value *other) {
    value->layout = other->layout;
    value->unflat = other->unflat;
    value->rank = other->rank;
    value->axis = other->axis;
}

/* The first of the node's inputs that is computed, or NULL. */
static const td_value *computed_input(const td_lowerer *l, const td_source_node *node) {
    for (int i = 0; i < node->input_count; i++) {
        if (node->inputs[i] >= 0 && l->values[node->inputs[i]].draft >= 0) {
            return &l->values[node->inputs[i]];
        }
    }
    return NULL;
}

/* Binds an output to a draft that leaves its input's layout as it is. */
static void bind_alike(td_lowerer *l, const td_source_node *node, int output, int draft,
                       bool shared) {
    int value = node->outputs[output];
    const td_value *input = computed_input(l, node);
    bind(l, value, draft, input == NULL ? TD_LAYOUT_NCHW : input->layout, shared);
    if (input != NULL) {
        td_lay_out_like(&l->values[value], input);
    }
}

void td_bind_output(td_lowerer *l, const td_source_node *node, int output, int draft) {
    bind_alike(l, node, output, draft, false);
}

tdsnn_status td_keep(td_lowerer *l, const td_source_node *node, const td_draft *draft) {
    int index;
    tdsnn_status status = td_draft_add(l, draft, &index);
    if (status != TDSNN_OK) {
        return status;
    }
    td_bind_output(l, node, 0, index);
    return td_kept_as(l, index);
}

tdsnn_status td_kept_as(td_lowerer *l, int draft) {
    return set_fate(l, TD_FATE_KEPT, draft, "");
}

tdsnn_status td_pass(td_lowerer *l, const td_source_node *node) {
    const td_value *input = &l->values[node->inputs[0]];
    if (input->constant != NULL) {
        return td_constant(l, node, input->constant);
    }
    bind_alike(l, node, 0, input->draft, input->shared);
    return set_fate(l, TD_FATE_FOLDED, input->draft, "no effect at inference");
}

tdsnn_status td_folded(td_lowerer *l, const td_source_node *node, int input, const char *what) {
    int draft = l->values[node->inputs[input]].draft;
    bind_alike(l, node, 0, draft, false);
    return set_fate(l, TD_FATE_FOLDED, draft,
                    td_arena_printf(l->result->arena, "%s folded into '%s'", what,
                                    l->source->nodes[l->drafts[draft].source].name));
}

tdsnn_status td_rearranged(td_lowerer *l, const td_source_node *node, int draft, td_layout layout,
                           const char *reason) {
    bind(l, node->outputs[0], draft, layout, td_input_value(l, node, 0)->shared);
    return set_fate(l, TD_FATE_FOLDED, draft, reason);
}

tdsnn_status td_constant(td_lowerer *l, const td_source_node *node, const td_tensor *tensor) {
    l->values[node->outputs[0]].constant = tensor;
    return set_fate(l, TD_FATE_FOLDED, -1, "constant");
}

/* ---- Reading a node. */

int64_t td_node_opset(const td_lowerer *l, const td_source_node *node) {
    return node->opset != 0 ? node->opset : l->source->opset;
}

bool td_input_absent(const td_source_node *node, int input) {
    return input >= node->input_count || node->inputs[input] < 0;
}

const td_tensor *td_input_constant(const td_lowerer *l, const td_source_node *node, int input) {
    return td_input_absent(node, input) ? NULL : l->values[node->inputs[input]].constant;
}

td_draft *td_input_draft(const td_lowerer *l, const td_source_node *node, int input) {
    return &l->drafts[l->values[node->inputs[input]].draft];
}

const td_value *td_input_value(const td_lowerer *l, const td_source_node *node, int input) {
    return &l->values[node->inputs[input]];
}

const char *td_input_name(const td_lowerer *l, const td_source_node *node, int input) {
    return l->source->values[node->inputs[input]].name;
}

int64_t td_int_attribute(const td_source_node *node, const char *name, int64_t otherwise) {
    const td_attribute *attribute = td_source_attribute(node, name);
    return attribute == NULL ? otherwise : attribute->i;
}

double td_float_attribute(const td_source_node *node, const char *name, double otherwise) {
    const td_attribute *attribute = td_source_attribute(node, name);
    return attribute == NULL ? otherwise : (double)attribute->f;
}

const char *td_string_attribute(const td_source_node *node, const char *name,
                                const char *otherwise) {
    const td_attribute *attribute = td_source_attribute(node, name);
    return attribute == NULL ? otherwise : attribute->s;
}

const char *td_dims_text(td_lowerer *l, const td_tensor *tensor) {
    char text[TD_MAX_RANK * 24] = "";
    size_t length = 0;
    for (int i = 0; i < tensor->rank; i++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%lld",
                                   i == 0 ? "" : ", ", (long long)tensor->dims[i]);
    }
    const char *result = td_arena_printf(l->scratch, "[%s]", text);
    return result == NULL ? "" : result;
}

int td_file_dims(const td_lowerer *l, const td_value *value, int64_t dims[4]) {
    td_shape s = l->drafts[value->draft].shape;
    bool last = value->layout == TD_LAYOUT_NHWC;
    if (value->layout == TD_LAYOUT_SPREAD) {
        for (int i = 0; i < value->rank; i++) {
            dims[i] = i == value->axis ? s.c : 1;
        }
        return value->rank;
    }
    dims[0] = 1;
    dims[1] = last ? s.h : s.c;
    dims[2] = value->layout == TD_LAYOUT_LINES         ? (int64_t)s.h * s.w
              : last || value->layout == TD_LAYOUT_NCL ? s.w
                                                       : s.h;
    dims[3] = last ? s.c : s.w;
    if (value->layout == TD_LAYOUT_NCL || value->layout == TD_LAYOUT_LINES) {
        return 3;
    }
    return s.flat ? 2 : 4;
}

const char *td_value_text(td_lowerer *l, const td_value *value) {
    int64_t d[4] = {0};
    int rank = td_file_dims(l, value, d);
    const char *text =
        rank == 2 ? td_arena_printf(l->scratch, "[N, %d]", (int)d[1])
        : rank == 3
            ? td_arena_printf(l->scratch, "[N, %d, %d]", (int)d[1], (int)d[2])
            : td_arena_printf(l->scratch, "[N, %d, %d, %d]", (int)d[1], (int)d[2], (int)d[3]);
    return text == NULL ? "" : text;
}

int td_channel_axis(const td_value *value) {
    return value->layout == TD_LAYOUT_NHWC        ? 3
           : value->layout == TD_LAYOUT_FLAT_NHWC ? -1
           : value->layout == TD_LAYOUT_SPREAD    ? value->axis
                                                  : 1;
}

int td_spatial_rank(const td_lowerer *l, const td_value *value) {
    if (l->drafts[value->draft].shape.flat) {
        return 0;
    }
    return value->layout == TD_LAYOUT_NCHW ? 2 : value->layout == TD_LAYOUT_NCL ? 1 : 0;
}

bool td_is_column(const td_value *value) {
    return value->layout == TD_LAYOUT_SPREAD && value->axis == 1;
}

bool td_is_padded(const td_value *value) {
    const int *p = value->pads;
    return p[0] != 0 || p[1] != 0 || p[2] != 0 || p[3] != 0;
}

tdsnn_status td_int_list(td_lowerer *l, const td_source_node *node, const char *name, int input,
                         const int64_t **list, size_t *count) {
    const td_attribute *attribute = td_source_attribute(node, name);
    const td_tensor *tensor = input < 0 ? NULL : td_input_constant(l, node, input);
    *list = attribute != NULL ? attribute->ints : NULL;
    *count = attribute != NULL ? attribute->count : 0;
    if (attribute != NULL || tensor == NULL) {
        return TDSNN_OK;
    }
    if (tensor->type != TD_TYPE_INT || tensor->rank > 1) {
        return td_broken(l, "its %s '%s' is not a list of integers", name,
                         td_input_name(l, node, input));
    }
    for (size_t i = 0; i < tensor->count; i++) {
        if (tensor->ints[i] == TD_BATCH) {
            return td_refuse(l, "its %s depend on the size of the batch", name);
        }
    }
    *list = tensor->ints;
    *count = tensor->count;
    return TDSNN_OK;
}

tdsnn_status td_read_axis(td_lowerer *l, int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank) {
        return td_broken(l, "its axis %lld lies outside of %d dimensions", (long long)axis, rank);
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return TDSNN_OK;
}

tdsnn_status td_check_floats(td_lowerer *l, const td_source_node *node, int input) {
    const td_tensor *tensor = td_input_constant(l, node, input);
    const char *name = td_input_name(l, node, input);
    if (tensor->type != TD_TYPE_FLOAT) {
        return td_broken(l, "'%s' holds no floating-point numbers; export the model in float32",
                         name);
    }
    for (size_t i = 0; i < tensor->count; i++) {
        if (!isfinite(tensor->floats[i])) {
            return td_broken(l, "element %zu of '%s' is %g; weights must be finite, train anew", i,
                             name, (double)tensor->floats[i]);
        }
    }
    return TDSNN_OK;
}

/* ---- Building. */

tdsnn_status td_count_elements(td_lowerer *l, size_t *sum, size_t count, const char *what) {
    size_t total;
    if (!td_size_add(*sum, count, &total) || total > TD_MAX_ELEMENTS) {
        return td_refuse(l, "the network has more than %zu %s up to here, the most supported",
                         TD_MAX_ELEMENTS, what);
    }
    *sum = total;
    return TDSNN_OK;
}

/* [C][H][W] in elements; false where that does not fit. */
static bool shape_elements(td_shape shape, size_t *elements) {
    size_t plane;
    return td_size_mul((size_t)shape.h, (size_t)shape.w, &plane) &&
           td_size_mul((size_t)shape.c, plane, elements);
}

tdsnn_status td_draft_add(td_lowerer *l, const td_draft *draft, int *index) {
    for (int i = 0; i < draft->input_count; i++) {
        const td_draft *input = &l->drafts[draft->inputs[i]];
        if (td_op_closes(input->op)) {
            return td_refuse(l, "reads '%s' (%s), which is supported as the last node only",
                             l->source->nodes[input->source].name, td_op_name(input->op));
        }
    }
    size_t elements = SIZE_MAX;
    shape_elements(draft->shape, &elements);
    tdsnn_status status = td_count_elements(l, &l->activations, elements, "values");
    if (status != TDSNN_OK) {
        return status;
    }
    size_t inputs = (size_t)draft->input_count;
    td_draft copy = *draft;
    copy.source = l->node;
    copy.inputs = td_arena_alloc(l->scratch, inputs, sizeof *copy.inputs);
    if (copy.inputs == NULL || td_reserve(l->ctx, &l->drafts, &l->draft_capacity,
                                          (size_t)l->draft_count + 1, sizeof copy) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    if (inputs > 0) {
        memcpy(copy.inputs, draft->inputs, inputs * sizeof *copy.inputs);
    }
    l->drafts[l->draft_count] = copy;
    *index = l->draft_count++;
    return TDSNN_OK;
}

td_draft td_pointwise(td_lowerer *l, const td_source_node *node, int input, td_op op) {
    return (td_draft){.op = op,
                      .input_count = 1,
                      .inputs = &l->values[node->inputs[input]].draft,
                      .shape = td_input_draft(l, node, input)->shape};
}

double *td_doubles(td_lowerer *l, size_t count, double value) {
    double *doubles = td_arena_alloc(l->scratch, count, sizeof *doubles);
    for (size_t i = 0; doubles != NULL && i < count; i++) {
        doubles[i] = value;
    }
    return doubles;
}

/* ---- A node against its row. */

static bool same_operator(const td_operator *row, const td_source_node *node) {
    return strcmp(row->name, node->op) == 0 && strcmp(row->domain, node->domain) == 0;
}

/* Why a network that has one of these operators of ONNX cannot be taken over; else "". */
static const char *why_not(const td_source_node *node) {
    static const struct {
        const char *names, *reason; /* names: each between blanks */
    } reasons[] = {
        {" Celu Elu Erf Exp Gelu HardSigmoid HardSwish Log Mish Pow Selu Softplus Softsign "
         "Sqrt Swish Tanh ThresholdedRelu ",
         ", as a spiking neuron computes ReLU, LeakyRelu and Clip and no other function (train "
         "with "
         "one of these; as the last node it can be left away)"},
        {" GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
         "MeanVarianceNormalization RMSNormalization ",
         ", as it divides by a statistic of the sample at hand, which no synapse can (train with "
         "batch-norm)"},
        {" ConvTranspose DepthToSpace Resize Upsample ",
         ", as windows here only ever shrink a picture"},
        {" GRU LSTM RNN Loop Scan If ",
         ", as a neuron here fires once and has no state beyond that"},
        {" Attention Einsum ", ", as the product of two computed values is no synapse"},
        {" DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul QuantizeLinear "
         "ConvInteger MatMulInteger ",
         ", as weights and activations are taken in float32 (export before quantising)"},
        {" ArgMax TopK ", ", as the network ends with its logits"},
    };
    const char *name = node->op;
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons && node->domain[0] == '\0'; i++) {
        for (const char *at = strstr(reasons[i].names, name); length > 0 && at != NULL;
             at = strstr(at + 1, name)) {
            if (at > reasons[i].names && at[-1] == ' ' && at[length] == ' ') {
                return reasons[i].reason;
            }
        }
    }
    return "";
}

static tdsnn_status find_row(td_lowerer *l, const td_source_node *node) {
    size_t count;
    const td_operator *table = td_operators(&count);
    const td_operator *other = NULL;
    int64_t opset = td_node_opset(l, node);
    for (size_t i = 0; i < count; i++) {
        if (!same_operator(&table[i], node)) {
            continue;
        }
        other = &table[i];
        if (opset >= other->first_opset && opset <= other->last_opset) {
            l->op = other;
            return TDSNN_OK;
        }
    }
    if (other != NULL) {
        return td_refuse(l, "%s of opset %lld is not supported; export with an opset up to %d",
                         node->op, (long long)opset, other->last_opset);
    }
    return td_refuse(l, "the operator %s%s%s is not supported%s; replace it or export without it",
                     node->domain, node->domain[0] == '\0' ? "" : ".", node->op, why_not(node));
}

/* The letter of an input in the row; 0 beyond the last. */
static char input_kind(const td_operator *row, int input) {
    size_t letters = strcspn(row->inputs, "+");
    if ((size_t)input < letters) {
        return row->inputs[input];
    }
    return row->inputs[letters] == '+' ? row->inputs[letters - 1] : '\0';
}

/* A computed value where the row takes it as it is laid out. */
static tdsnn_status check_layout(td_lowerer *l, const td_value *value, const char *name,
                                 char kind) {
    if (kind != 'p' && kind != 'q' && td_is_padded(value)) {
        return td_refuse(l,
                         "its input '%s' is padded; a Pad is supported in front of Conv, MaxPool "
                         "and AveragePool only",
                         name);
    }
    bool regroups = l->op->lower == td_lower_reshape || l->op->lower == td_lower_transpose;
    if (value->layout == TD_LAYOUT_GROUPED && !regroups) {
        return td_refuse(l,
                         "its input '%s' is [N, groups, C, H, W]; only a shuffle of the channels "
                         "is supported there",
                         name);
    }
    return TDSNN_OK;
}

static tdsnn_status check_input(td_lowerer *l, const td_source_node *node, int input) {
    char kind = input_kind(l->op, input);
    if (td_input_absent(node, input)) {
        return kind == 'C' ? TDSNN_OK : td_broken(l, "input %d is missing", input);
    }
    const td_value *value = &l->values[node->inputs[input]];
    const char *name = td_input_name(l, node, input);
    if (value->refused != NULL) {
        return td_refuse(l, "waits for '%s', which is refused", value->refused);
    }
    if (value->constant == NULL && value->draft < 0) {
        return td_broken(l, "nothing gives its input '%s'", name);
    }
    bool takes_constant = kind == 'a' || kind == 'q' || kind == 'c' || kind == 'C';
    if (!takes_constant && value->constant != NULL) {
        return td_refuse(
            l, "its input '%s' is a constant; only a computed value is supported there", name);
    }
    if ((kind == 'c' || kind == 'C') && value->constant == NULL) {
        return td_refuse(l, "its input '%s' is computed; only a constant is supported there", name);
    }
    return value->constant != NULL ? TDSNN_OK : check_layout(l, value, name, kind);
}

static tdsnn_status check_inputs(td_lowerer *l, const td_source_node *node, int first) {
    int most = (int)strcspn(l->op->inputs, "+");
    bool variadic = l->op->inputs[most] == '+';
    if (node->input_count > most && !variadic) {
        return td_refuse(l, "it has %d inputs where at most %d are known", node->input_count, most);
    }
    for (int i = first; i < most || i < node->input_count; i++) {
        tdsnn_status status = check_input(l, node, i);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    return TDSNN_OK;
}

static tdsnn_status check_attributes(td_lowerer *l, const td_source_node *node) {
    for (int i = 0; i < node->attribute_count; i++) {
        const td_attribute *attribute = &node->attributes[i];
        const td_attribute_spec *spec = l->op->attributes;
        while (spec->name != NULL && strcmp(spec->name, attribute->name) != 0) {
            spec++;
        }
        if (spec->name == NULL) {
            return td_refuse(l, "its attribute '%s' is not supported", attribute->name);
        }
        if (spec->type != attribute->type) {
            return td_broken(l, "its attribute '%s' is of the wrong type", attribute->name);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status check_outputs(td_lowerer *l, const td_source_node *node) {
    if (l->op->lower == td_lower_split) {
        return TDSNN_OK;
    }
    for (int i = 1; i < node->output_count; i++) {
        int value = node->outputs[i];
        if (value >= 0 && l->values[value].uses > 0) {
            return td_refuse(l, "its output '%s' is used; only its first output is supported",
                             l->source->values[value].name);
        }
    }
    return TDSNN_OK;
}

tdsnn_status td_check_node(td_lowerer *l, const td_source_node *node, int first_input) {
    tdsnn_status status = find_row(l, node);
    if (status == TDSNN_OK) {
        status = check_inputs(l, node, first_input);
    }
    if (status == TDSNN_OK) {
        status = check_attributes(l, node);
    }
    return status == TDSNN_OK ? check_outputs(l, node) : status;
}

static tdsnn_status lower_live_node(td_lowerer *l, const td_source_node *node) {
    if (l->pairs[l->node] == l->node) {
        return td_lower_pair(l, node);
    }
    tdsnn_status status = td_check_node(l, node, 0);
    return status == TDSNN_OK ? l->op->lower(l, node) : status;
}

static bool is_live(const td_lowerer *l, const td_source_node *node) {
    for (int i = 0; i < node->output_count; i++) {
        if (node->outputs[i] >= 0 && l->values[node->outputs[i]].uses > 0) {
            return true;
        }
    }
    return false;
}

static tdsnn_status lower_node(td_lowerer *l, int index) {
    const td_source_node *node = &l->source->nodes[index];
    l->node = index;
    if (!is_live(l, node)) {
        return set_fate(l, TD_FATE_FOLDED, -1, "not used by the output");
    }
    int pair = l->pairs[index];
    if (pair >= 0 && pair != index) {
        return set_fate(l, TD_FATE_FOLDED, -1,
                        td_arena_printf(l->result->arena, "part of the signed code '%s'",
                                        l->source->nodes[pair].name));
    }
    tdsnn_status status = lower_live_node(l, node);
    if (status != TDSNN_ERR_UNSUPPORTED) {
        return status;
    }
    for (int i = 0; i < node->output_count; i++) {
        if (node->outputs[i] >= 0) {
            l->values[node->outputs[i]].refused = node->name;
        }
    }
    return TDSNN_OK;
}

/* ---- The network as a whole. */

/* Counts who reads each value. Only nodes that the output depends on are readers, so that a file
 * lowers as it would without the others. */
static void count_uses(td_lowerer *l) {
    const td_source *source = l->source;
    l->values[source->outputs[0]].uses++;
    for (int i = source->node_count - 1; i >= 0; i--) {
        const td_source_node *node = &source->nodes[i];
        bool live = is_live(l, node), asks = strcmp(node->op, "Shape") == 0;
        for (int j = 0; live && j < node->input_count; j++) {
            if (node->inputs[j] >= 0) {
                l->values[node->inputs[j]].uses++;
                l->values[node->inputs[j]].shape_uses += asks;
            }
        }
    }
}

static tdsnn_status check_single(td_lowerer *l, const char *what, const int *values, int count) {
    const td_source *source = l->source;
    if (count == 1) {
        return TDSNN_OK;
    }
    if (count == 0) {
        return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: the network has no %s", source->path, what);
    }
    return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                    "%s: the network has %d %ss, '%s', '%s'%s; export it with one", source->path,
                    count, what, source->values[values[0]].name, source->values[values[1]].name,
                    count > 2 ? ", ..." : "");
}

/* [N, C, H, W], [N, C, L] or [N, F], the batch symbolic or 1. */
static tdsnn_status check_input_dims(td_lowerer *l, const td_source_value *input) {
    const char *path = l->source->path;
    if (input->rank < 2 || input->rank > 4) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: input '%s' has %s; supported are [N, C, H, W], [N, C, L] and [N, F]",
                        path, input->name, input->rank < 0 ? "no stated shape" : "another rank");
    }
    if (input->dims[0] != -1 && input->dims[0] != 1) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: input '%s' has a fixed batch of %lld; export with a batch of 1 or a "
                        "symbolic one",
                        path, input->name, (long long)input->dims[0]);
    }
    for (int i = 1; i < input->rank; i++) {
        const char *symbol = input->symbols[i];
        if (input->dims[i] == -1) {
            return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                            "%s: dimension %d of input '%s' is symbolic ('%s'); give its size as "
                            "--shape %s=V, or export the network with a fixed one",
                            path, i, input->name, symbol == NULL ? "?" : symbol,
                            symbol == NULL ? (const char[]){(char)('0' + i), '\0'} : symbol);
        }
        if (input->dims[i] < 1 || input->dims[i] > TD_MAX_EXTENT) {
            return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: dimension %d of input '%s' is %lld", path,
                            i, input->name, (long long)input->dims[i]);
        }
    }
    return TDSNN_OK;
}

/* Whether an operator may stand between an input of [N, H, W, C] and its Transpose. */
static bool keeps_layout(const char *op) {
    static const char *const names[] = {"Add", "Cast", "Div", "Identity", "Mul", "Pad", "Sub"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], op) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the input is [N, H, W, C]: a Transpose to [N, C, H, W] comes before all else that could
 * tell. */
static bool is_channels_last(const td_lowerer *l) {
    static const int64_t to_first[] = {0, 3, 1, 2};
    int value = l->source->inputs[0];
    for (int i = 0; i < l->source->node_count; i++) {
        const td_source_node *node = &l->source->nodes[i];
        bool reads = false;
        for (int j = 0; j < node->input_count; j++) {
            reads = reads || node->inputs[j] == value;
        }
        if (!reads || !is_live(l, node)) {
            continue;
        }
        if (strcmp(node->op, "Transpose") == 0) {
            const td_attribute *perm = td_source_attribute(node, "perm");
            return perm != NULL && perm->type == TD_ATTRIBUTE_INTS && perm->count == 4 &&
                   memcmp(perm->ints, to_first, sizeof to_first) == 0;
        }
        if (!keeps_layout(node->op) || node->output_count < 1 || node->outputs[0] < 0) {
            return false;
        }
        value = node->outputs[0];
    }
    return false;
}

static tdsnn_status lower_input(td_lowerer *l) {
    int value = l->source->inputs[0];
    const td_source_value *input = &l->source->values[value];
    tdsnn_status status = check_input_dims(l, input);
    if (status != TDSNN_OK) {
        return status;
    }
    const int64_t *dims = input->dims;
    td_layout layout = input->rank == 3      ? TD_LAYOUT_NCL
                       : is_channels_last(l) ? TD_LAYOUT_NHWC
                                             : TD_LAYOUT_NCHW;
    bool last = layout == TD_LAYOUT_NHWC;
    td_draft draft = {.op = TD_OP_INPUT, .shape = {(int)dims[1], 1, 1, input->rank == 2}};
    if (input->rank == 3) {
        draft.shape.w = (int)dims[2];
    } else if (input->rank == 4) {
        draft.shape = (td_shape){(int)dims[last ? 3 : 1], (int)dims[last ? 1 : 2],
                                 (int)dims[last ? 2 : 3], false};
    }
    size_t elements = SIZE_MAX;
    if (!shape_elements(draft.shape, &elements) || elements > TD_MAX_ELEMENTS) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED, "%s: input '%s' has more than %zu elements",
                        l->source->path, input->name, TD_MAX_ELEMENTS);
    }
    l->node = -1;
    int index;
    status = td_draft_add(l, &draft, &index);
    if (status == TDSNN_OK) {
        bind(l, value, index, layout, false);
    }
    return status;
}

static tdsnn_status name_fates(td_lowerer *l) {
    td_lowering *result = l->result;
    result->fate_count = l->source->node_count;
    result->fates =
        td_arena_alloc(result->arena, (size_t)result->fate_count, sizeof *result->fates);
    if (result->fates == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < result->fate_count; i++) {
        td_fate *fate = &result->fates[i];
        *fate = (td_fate){.name = td_arena_strdup(result->arena, l->source->nodes[i].name),
                          .op = td_arena_strdup(result->arena, l->source->nodes[i].op),
                          .reason = "",
                          .node = -1};
        if (fate->name == NULL || fate->op == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

static tdsnn_status start(td_lowerer *l) {
    size_t values = (size_t)l->source->value_count;
    l->values = td_arena_alloc(l->scratch, values, sizeof *l->values);
    if (l->values == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < values; i++) {
        l->values[i] = (td_value){.constant = l->source->values[i].constant, .draft = -1};
    }
    tdsnn_status status = check_single(l, "input", l->source->inputs, l->source->input_count);
    if (status == TDSNN_OK) {
        status = check_single(l, "output", l->source->outputs, l->source->output_count);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    count_uses(l);
    status = td_find_pairs(l);
    if (status == TDSNN_OK) {
        status = name_fates(l);
    }
    return status == TDSNN_OK ? lower_input(l) : status;
}

/* Says so where the values of the output come in another order than the file's. */
static void warn_of_order(const td_lowerer *l, const td_value *output, const char *name) {
    td_shape s = l->drafts[output->draft].shape;
    if (output->layout == TD_LAYOUT_FLAT_NHWC) {
        s = output->unflat;
    }
    bool last = output->layout == TD_LAYOUT_NHWC || output->layout == TD_LAYOUT_FLAT_NHWC;
    if (last && s.c > 1 && s.h * s.w > 1) {
        td_warn(l->ctx,
                "%s: the output '%s' has its channels last; what is written and compared here has "
                "them first, in the order C, H, W",
                l->source->path, name);
    }
}

static tdsnn_status finish(td_lowerer *l) {
    const td_value *output = &l->values[l->source->outputs[0]];
    const char *name = l->source->values[l->source->outputs[0]].name;
    if (output->refused != NULL) {
        return TDSNN_OK; /* no graph */
    }
    if (output->constant != NULL) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: the output '%s' is a constant; it does not depend on the input",
                        l->source->path, name);
    }
    if (output->draft < 0) {
        return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: nothing gives the output '%s'",
                        l->source->path, name);
    }
    if (output->layout == TD_LAYOUT_GROUPED || td_is_padded(output)) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: the output '%s' is padded, or has its channels in groups; end the "
                        "network with [N, C, H, W] or [N, F]",
                        l->source->path, name);
    }
    if (output->draft == 0) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: the output '%s' is the input; there is nothing to compute",
                        l->source->path, name);
    }
    warn_of_order(l, output, name);
    return td_lower_emit(l);
}

static tdsnn_status lower_all(td_lowerer *l) {
    tdsnn_status status = start(l);
    for (int i = 0; status == TDSNN_OK && i < l->source->node_count; i++) {
        status = lower_node(l, i);
    }
    return status == TDSNN_OK ? finish(l) : status;
}

tdsnn_status td_lower(tdsnn_context *ctx, const td_source *source, td_lowering *lowering) {
    td_lowering result = {.arena = td_arena_create(ctx)};
    td_lowerer l = {
        .ctx = ctx, .source = source, .scratch = td_arena_create(ctx), .result = &result};
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (result.arena != NULL && l.scratch != NULL) {
        status = lower_all(&l);
    }
    td_free(l.drafts);
    td_arena_destroy(l.scratch);
    if (status != TDSNN_OK) {
        td_lowering_destroy(&result);
        return status;
    }
    *lowering = result;
    return TDSNN_OK;
}

void td_lowering_destroy(td_lowering *lowering) {
    td_graph_destroy(lowering->graph);
    td_arena_destroy(lowering->arena);
    *lowering = (td_lowering){0};
}

tdsnn_status td_lowering_check(tdsnn_context *ctx, const td_lowering *lowering, const char *path) {
    for (int i = 0; i < lowering->fate_count; i++) {
        const td_fate *fate = &lowering->fates[i];
        if (fate->kind == TD_FATE_REFUSED) {
            return td_error(ctx, TDSNN_ERR_UNSUPPORTED, "%s: node '%s' (%s): %s", path, fate->name,
                            fate->op, fate->reason);
        }
    }
    return TDSNN_OK;
}
