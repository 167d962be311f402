/* Rows that are activations and codes: Relu, Clip, LeakyRelu, TemporalCode, Softmax. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "code/code.h"
#include "graph/lower_internal.h"

tdsnn_status td_lower_relu(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_RELU);
    return td_keep(l, node, &draft);
}

/* One end of a Clip: the attribute of old opsets, else the input; `otherwise` where it is left out.
 * An infinite one is as good as none. */
static tdsnn_status read_bound(td_lowerer *l, const td_source_node *node, const char *name,
                               int input, float otherwise, float *out) {
    const td_attribute *attribute = td_source_attribute(node, name);
    const td_tensor *tensor = td_input_constant(l, node, input);
    *out = attribute != NULL ? attribute->f : otherwise;
    if (tensor != NULL) {
        if (tensor->type != TD_TYPE_FLOAT || tensor->count != 1) {
            return td_broken(l, "its %s '%s' is not one float", name,
                             td_input_name(l, node, input));
        }
        *out = tensor->floats[0];
    }
    if (isnan(*out)) {
        return td_broken(l, "its %s is not a number", name);
    }
    *out = isinf(*out) ? copysignf(FLT_MAX, *out) : *out;
    return TDSNN_OK;
}

/* The ends of a draft that clips; false for any other. */
static bool get_range(const td_draft *draft, float *low, float *high) {
    *low = draft->op == TD_OP_CLIP ? draft->low : 0.0f;
    *high = draft->op == TD_OP_CLIP ? draft->high : FLT_MAX;
    return draft->op == TD_OP_CLIP || draft->op == TD_OP_RELU;
}

/* Clips an input to low .. high. A Max or Min goes into the draft that clips already; a Clip stays,
 * as we write it. */
static tdsnn_status lower_range(td_lowerer *l, const td_source_node *node, int input, float low,
                                float high) {
    td_draft draft = td_pointwise(l, node, input, TD_OP_CLIP);
    td_draft *before = td_input_draft(l, node, input);
    float other_low = low, other_high = high;
    bool merged = strcmp(node->op, "Clip") != 0 && !td_input_value(l, node, input)->shared &&
                  get_range(before, &other_low, &other_high);
    draft.low = (merged && other_low > low ? other_low : low) + 0.0f; /* no -0 */
    draft.high = merged && other_high < high ? other_high : high;
    if (draft.low > 0.0f || draft.high <= 0.0f) {
        return td_refuse(l,
                         "it clips to %g .. %g; supported are ends with min <= 0 < max, as a "
                         "silent neuron stands for 0",
                         (double)draft.low, (double)draft.high);
    }
    bool open = draft.high == FLT_MAX;
    draft.op = open && draft.low == 0.0f ? TD_OP_RELU : TD_OP_CLIP;
    if (merged) {
        before->op = draft.op;
        before->low = draft.op == TD_OP_RELU ? 0.0f : draft.low;
        before->high = draft.op == TD_OP_RELU ? 0.0f : draft.high;
        return td_folded(l, node, input, "end");
    }
    if (draft.op == TD_OP_RELU) {
        draft.high = 0.0f;
    }
    return open && draft.low == -FLT_MAX ? td_pass(l, node) : td_keep(l, node, &draft);
}

tdsnn_status td_lower_clip(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_CLIP);
    tdsnn_status status = read_bound(l, node, "min", 1, -FLT_MAX, &draft.low);
    if (status == TDSNN_OK) {
        status = read_bound(l, node, "max", 2, FLT_MAX, &draft.high);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    return lower_range(l, node, 0, draft.low, draft.high);
}

/* Max or Min of a value and one number. */
static tdsnn_status lower_bound(td_lowerer *l, const td_source_node *node, bool low) {
    int constant = td_input_constant(l, node, 0) == NULL;
    const td_tensor *bound = td_input_constant(l, node, constant);
    if (node->input_count != 2 || bound == NULL || td_input_constant(l, node, !constant) != NULL) {
        return td_refuse(l, "only that of one computed value and one constant is supported");
    }
    tdsnn_status status = td_check_floats(l, node, constant);
    if (status != TDSNN_OK) {
        return status;
    }
    for (size_t i = 0; i < bound->count; i++) {
        if (bound->floats[i] != bound->floats[0] || bound->rank > 4) {
            return td_refuse(l, "its constant '%s' is not one number",
                             td_input_name(l, node, constant));
        }
    }
    if (bound->count == 0) {
        return td_broken(l, "its constant '%s' is empty", td_input_name(l, node, constant));
    }
    return lower_range(l, node, !constant, low ? bound->floats[0] : -FLT_MAX,
                       low ? FLT_MAX : bound->floats[0]);
}

tdsnn_status td_lower_max(td_lowerer *l, const td_source_node *node) {
    return lower_bound(l, node, true);
}

tdsnn_status td_lower_min(td_lowerer *l, const td_source_node *node) {
    return lower_bound(l, node, false);
}

/* x < 0 times `slope`. */
static tdsnn_status lower_slope(td_lowerer *l, const td_source_node *node, float slope) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_LEAKY);
    draft.negative = slope;
    if (slope == 0.0f) {
        return td_lower_relu(l, node);
    }
    if (!(slope > 0.0f) || isinf(slope)) {
        return td_refuse(l, "its slope is %g; only a positive one is supported", (double)slope);
    }
    return slope == 1.0f ? td_pass(l, node) : td_keep(l, node, &draft);
}

tdsnn_status td_lower_leaky_relu(td_lowerer *l, const td_source_node *node) {
    return lower_slope(l, node, (float)td_float_attribute(node, "alpha", (double)0.01f));
}

/* Appends a draft of one input, the shape that of the node's, called as the node with the suffix.
 */
static tdsnn_status append(td_lowerer *l, const td_source_node *node, td_op op, double *operand,
                           const char *suffix, int *at) {
    td_draft draft = td_pointwise(l, node, 0, op);
    draft.inputs = at;
    draft.operand = operand;
    draft.suffix = suffix;
    return td_draft_add(l, &draft, at);
}

/* Slopes that differ between the channels: relu(x) - slope relu(-x). */
static tdsnn_status lower_slopes(td_lowerer *l, const td_source_node *node) {
    double *slopes;
    tdsnn_status status = td_read_operand(l, node, 1, 0, &slopes);
    td_draft sum = td_pointwise(l, node, 0, TD_OP_ADD);
    int sides[2] = {sum.inputs[0], sum.inputs[0]};
    size_t channels = (size_t)sum.shape.c;
    double *signs = td_doubles(l, channels, -1.0);
    if (status == TDSNN_OK && signs == NULL) {
        status = TDSNN_ERR_RUNTIME;
    }
    for (size_t c = 0; status == TDSNN_OK && c < channels; c++) {
        slopes[c] = -slopes[c];
    }
    if (status == TDSNN_OK) {
        status = append(l, node, TD_OP_RELU, NULL, "above", &sides[0]);
    }
    if (status == TDSNN_OK) {
        status = append(l, node, TD_OP_MUL, signs, "minus", &sides[1]);
    }
    if (status == TDSNN_OK) {
        status = append(l, node, TD_OP_RELU, NULL, "below", &sides[1]);
    }
    if (status == TDSNN_OK) {
        status = append(l, node, TD_OP_MUL, slopes, "back", &sides[1]);
    }
    sum.inputs = sides;
    sum.input_count = 2;
    return status == TDSNN_OK ? td_keep(l, node, &sum) : status;
}

/* One slope for all, however it is spread over the channels, or one for each. */
tdsnn_status td_lower_prelu(td_lowerer *l, const td_source_node *node) {
    const td_tensor *slopes = td_input_constant(l, node, 1);
    tdsnn_status status = td_check_floats(l, node, 1);
    if (status != TDSNN_OK) {
        return status;
    }
    for (size_t i = 1; i < slopes->count; i++) {
        if (slopes->floats[i] != slopes->floats[0]) {
            return lower_slopes(l, node);
        }
    }
    return slopes->count == 0 ? td_broken(l, "it has no slope")
                              : lower_slope(l, node, slopes->floats[0]);
}

static tdsnn_status read_rounding(td_lowerer *l, const char *text, tdsnn_rounding *rounding) {
    static const char *const names[] = {[TDSNN_ROUND_NEAREST] = "nearest",
                                        [TDSNN_ROUND_CEIL] = "ceil",
                                        [TDSNN_ROUND_TABLE] = "table"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], text) == 0) {
            *rounding = (tdsnn_rounding)i;
            return TDSNN_OK;
        }
    }
    return td_broken(l, "its rounding '%s' is none of nearest, ceil and table", text);
}

static tdsnn_status read_table(td_lowerer *l, const td_source_node *node, int input, size_t count,
                               float *table) {
    const td_tensor *tensor = td_input_constant(l, node, input);
    if (tensor->type != TD_TYPE_FLOAT || tensor->rank != 1 || tensor->count != count) {
        return td_broken(l, "its table '%s' is not float [%zu]", td_input_name(l, node, input),
                         count);
    }
    memcpy(table, tensor->floats, count * sizeof *table);
    return TDSNN_OK;
}

/* All five attributes stand on every node: nothing is assumed. */
static tdsnn_status fill_code(td_lowerer *l, const td_source_node *node, tdsnn_code *code) {
    for (const td_attribute_spec *spec = l->op->attributes; spec->name != NULL; spec++) {
        if (td_source_attribute(node, spec->name) == NULL) {
            return td_broken(l, "its attribute '%s' is missing; convert the network again",
                             spec->name);
        }
    }
    int64_t steps = td_int_attribute(node, "steps", 0),
            offset = td_int_attribute(node, "offset", 0);
    if (steps < 1 || steps > TDSNN_MAX_STEPS || offset < 0 || offset > 1) {
        return td_broken(l, "its steps %lld or offset %lld is out of range (1 .. %d, 0 .. 1)",
                         (long long)steps, (long long)offset, TDSNN_MAX_STEPS);
    }
    code->leak = (float)td_float_attribute(node, "leak", 0.0);
    code->scale = (float)td_float_attribute(node, "scale", 0.0);
    code->steps = (int)steps;
    code->offset = (int)offset;
    tdsnn_status status =
        read_rounding(l, td_string_attribute(node, "rounding", ""), &code->rounding);
    if (status == TDSNN_OK) {
        status = read_table(l, node, 1, TDSNN_MAX_STEPS, code->thresholds);
    }
    if (status == TDSNN_OK) {
        status = read_table(l, node, 2, TDSNN_MAX_STEPS + 1, code->values);
    }
    return status;
}

tdsnn_status td_read_code(td_lowerer *l, const td_source_node *node, const tdsnn_code **out) {
    tdsnn_code *code = td_arena_alloc(l->scratch, 1, sizeof *code);
    const char *place =
        td_arena_printf(l->scratch, "%s: node '%s' (%s)", l->source->path, node->name, node->op);
    if (code == NULL || place == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = fill_code(l, node, code);
    if (status != TDSNN_OK) {
        return status;
    }
    *out = code;
    status = td_code_check(l->ctx, code);
    return status == TDSNN_OK ? TDSNN_OK : td_error_in(l->ctx, status, place);
}

tdsnn_status td_lower_code(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_CODE);
    tdsnn_status status = td_read_code(l, node, &draft.code);
    return status == TDSNN_OK ? td_keep(l, node, &draft) : status;
}

/* Whether it is over all values of a sample: over the only axis that is not 1, or, before opset 13,
 * over that and all from `axis` on. */
static tdsnn_status check_softmax(td_lowerer *l, const td_source_node *node, td_shape shape) {
    bool old = td_node_opset(l, node) < 13;
    const td_value *value = td_input_value(l, node, 0);
    int64_t dims[4];
    int axis, channels = td_channel_axis(value) < 0 ? 1 : td_channel_axis(value);
    tdsnn_status status = td_read_axis(l, td_int_attribute(node, "axis", old ? 1 : -1),
                                       td_file_dims(l, value, dims), &axis);
    if (status != TDSNN_OK) {
        return status;
    }
    bool alone = axis > 0 && dims[axis] == (int64_t)td_shape_count(shape);
    bool all = axis == channels || (old && axis > 0 && axis < channels);
    return alone || (all && shape.h * shape.w == 1)
               ? TDSNN_OK
               : td_refuse(l, "only that of [N, F] over F is supported; put a Flatten in front");
}

/* [N, C, 1, 1] over C is flattened first. */
static tdsnn_status lower_softmax(td_lowerer *l, const td_source_node *node, td_op op) {
    td_draft draft = td_pointwise(l, node, 0, op);
    tdsnn_status status = check_softmax(l, node, draft.shape);
    int index;
    if (status != TDSNN_OK) {
        return status;
    }
    if (!draft.shape.flat) {
        td_draft flat = td_pointwise(l, node, 0, TD_OP_FLATTEN);
        flat.shape = (td_shape){(int)td_shape_count(flat.shape), 1, 1, true};
        flat.suffix = "flat";
        status = td_draft_add(l, &flat, &index);
        if (status != TDSNN_OK) {
            return status;
        }
        draft.inputs = &index;
        draft.shape = flat.shape;
    }
    return td_keep(l, node, &draft);
}

tdsnn_status td_lower_softmax(td_lowerer *l, const td_source_node *node) {
    return lower_softmax(l, node, TD_OP_SOFTMAX);
}

tdsnn_status td_lower_log_softmax(td_lowerer *l, const td_source_node *node) {
    return lower_softmax(l, node, TD_OP_LOGSOFTMAX);
}

tdsnn_status td_lower_sigmoid(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_SIGMOID);
    return td_keep(l, node, &draft);
}
