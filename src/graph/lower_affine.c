/* Rows that scale and shift channels: Add, Sub, Mul, Div, Neg, BatchNormalization. They go into
 * the layer before where nothing else reads it. */
#include <math.h>

#include "graph/lower_internal.h"

/* Whether what a node does to its computed input can be done by the layer that makes it. */
static bool folds(const td_lowerer *l, const td_source_node *node, int input) {
    const td_value *value = &l->values[node->inputs[input]];
    td_op op = l->drafts[value->draft].op;
    return (op == TD_OP_CONV || op == TD_OP_INNER) && !value->shared;
}

/* y = scale (w x + b) + shift; NULL for no scale. */
static tdsnn_status fold(td_lowerer *l, const td_source_node *node, int input, const double *scale,
                         const double *shift, const char *what) {
    td_draft *draft = td_input_draft(l, node, input);
    size_t channels = (size_t)draft->shape.c;
    if (scale != NULL && draft->scale == NULL) {
        draft->scale = td_doubles(l, channels, 1.0);
        if (draft->scale == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    for (size_t c = 0; c < channels; c++) {
        if (scale != NULL) {
            draft->scale[c] *= scale[c];
            draft->bias[c] *= scale[c];
        }
        if (shift != NULL) {
            draft->bias[c] += shift[c];
        }
    }
    return td_folded(l, node, input, what);
}

/* A draft of one of the four operators with a constant a channel. */
static td_draft elementwise(td_lowerer *l, const td_source_node *node, int input, td_op op,
                            double *operand) {
    td_draft draft = td_pointwise(l, node, input, op);
    draft.operand = operand;
    return draft;
}

/* Whether a constant, broadcast by ONNX's rule to the shape of the value beside it, is one number
 * for all or one a channel, the same at every position. */
static bool is_per_channel(const td_lowerer *l, const td_tensor *tensor, const td_value *value) {
    int64_t dims[4];
    int rank = td_file_dims(l, value, dims), channels = td_channel_axis(value);
    if (tensor->rank > rank) {
        return false;
    }
    for (int i = 0; i < tensor->rank; i++) {
        int axis = rank - tensor->rank + i;
        if (tensor->dims[i] != 1 && !(axis == channels && tensor->dims[i] == dims[axis])) {
            return false;
        }
    }
    return true;
}

tdsnn_status td_read_operand(td_lowerer *l, const td_source_node *node, int constant, int computed,
                             double **out) {
    const td_tensor *tensor = td_input_constant(l, node, constant);
    const td_value *value = td_input_value(l, node, computed);
    td_shape shape = td_input_draft(l, node, computed)->shape;
    if (!is_per_channel(l, tensor, value)) {
        return td_refuse(l,
                         "the constant '%s' is %s beside %s; supported are one number, or one for "
                         "each of the %d channels",
                         td_input_name(l, node, constant), td_dims_text(l, tensor),
                         td_value_text(l, value), shape.c);
    }
    tdsnn_status status = td_check_floats(l, node, constant);
    if (status != TDSNN_OK) {
        return status;
    }
    double *operand = td_doubles(l, (size_t)shape.c, 0.0);
    if (operand == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int c = 0; c < shape.c; c++) {
        operand[c] = (double)tensor->floats[tensor->count == 1 ? 0 : c];
    }
    *out = operand;
    return TDSNN_OK;
}

/* Which input of a commutative operator is the constant; -1 if both or none are. */
static int constant_side(const td_lowerer *l, const td_source_node *node) {
    bool first = td_input_constant(l, node, 0) != NULL;
    bool second = td_input_constant(l, node, 1) != NULL;
    return first == second ? -1 : second;
}

tdsnn_status td_lower_add(td_lowerer *l, const td_source_node *node) {
    int constant = constant_side(l, node);
    if (constant < 0) {
        return td_input_constant(l, node, 0) == NULL ? td_lower_sum(l, node)
                                                     : td_constant_arithmetic(l, node);
    }
    int input = 1 - constant;
    double *shift;
    tdsnn_status status = td_read_operand(l, node, constant, input, &shift);
    if (status != TDSNN_OK) {
        return status;
    }
    if (folds(l, node, input)) {
        return fold(l, node, input, NULL, shift, "bias");
    }
    td_draft draft = elementwise(l, node, input, TD_OP_SHIFT, shift);
    return td_keep(l, node, &draft);
}

/* scale x + shift: folded, or a MUL and a SHIFT. */
static tdsnn_status scale_and_shift(td_lowerer *l, const td_source_node *node, int input,
                                    double *scale, double *shift, const char *what) {
    if (folds(l, node, input)) {
        return fold(l, node, input, scale, shift, what);
    }
    td_draft first = elementwise(l, node, input, TD_OP_MUL, scale);
    first.suffix = "scale";
    int index;
    tdsnn_status status = td_draft_add(l, &first, &index);
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft second = elementwise(l, node, input, TD_OP_SHIFT, shift);
    second.inputs = &index;
    return td_keep(l, node, &second);
}

/* c - x. */
static tdsnn_status subtract_from(td_lowerer *l, const td_source_node *node) {
    double *shift;
    tdsnn_status status = td_read_operand(l, node, 0, 1, &shift);
    if (status != TDSNN_OK) {
        return status;
    }
    double *scale = td_doubles(l, (size_t)td_input_draft(l, node, 1)->shape.c, -1.0);
    return scale == NULL ? TDSNN_ERR_RUNTIME
                         : scale_and_shift(l, node, 1, scale, shift, "bias and sign");
}

/* x - y, y times -1 in the layer that makes it or by a MUL. */
static tdsnn_status difference(td_lowerer *l, const td_source_node *node) {
    tdsnn_status status = td_check_alike(l, node);
    if (status != TDSNN_OK) {
        return status;
    }
    double *scale = td_doubles(l, (size_t)td_input_draft(l, node, 1)->shape.c, -1.0);
    if (scale == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (folds(l, node, 1)) {
        status = fold(l, node, 1, scale, NULL, "sign");
        return status == TDSNN_OK ? td_lower_sum(l, node) : status;
    }
    td_draft negated = elementwise(l, node, 1, TD_OP_MUL, scale);
    negated.suffix = "negated";
    int pair[2];
    status = td_draft_add(l, &negated, &pair[1]);
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft sum = td_pointwise(l, node, 0, TD_OP_ADD);
    pair[0] = sum.inputs[0];
    sum.inputs = pair;
    sum.input_count = 2;
    return td_keep(l, node, &sum);
}

tdsnn_status td_lower_sub(td_lowerer *l, const td_source_node *node) {
    int constant = constant_side(l, node);
    if (constant < 0) {
        return td_input_constant(l, node, 0) != NULL ? td_constant_arithmetic(l, node)
                                                     : difference(l, node);
    }
    if (constant == 0) {
        return subtract_from(l, node);
    }
    td_shape shape = td_input_draft(l, node, 0)->shape;
    double *operand;
    tdsnn_status status = td_read_operand(l, node, 1, 0, &operand);
    if (status != TDSNN_OK) {
        return status;
    }
    if (!folds(l, node, 0)) {
        td_draft draft = elementwise(l, node, 0, TD_OP_SUB, operand);
        return td_keep(l, node, &draft);
    }
    for (int c = 0; c < shape.c; c++) {
        operand[c] = -operand[c];
    }
    return fold(l, node, 0, NULL, operand, "bias");
}

tdsnn_status td_lower_mul(td_lowerer *l, const td_source_node *node) {
    int constant = constant_side(l, node);
    if (constant < 0) {
        return td_input_constant(l, node, 0) != NULL
                   ? td_constant_arithmetic(l, node)
                   : td_refuse(l, "the product of two computed values is not supported");
    }
    int input = 1 - constant;
    double *scale;
    tdsnn_status status = td_read_operand(l, node, constant, input, &scale);
    if (status != TDSNN_OK) {
        return status;
    }
    if (folds(l, node, input)) {
        return fold(l, node, input, scale, NULL, "scale");
    }
    td_draft draft = elementwise(l, node, input, TD_OP_MUL, scale);
    return td_keep(l, node, &draft);
}

tdsnn_status td_lower_neg(td_lowerer *l, const td_source_node *node) {
    double *scale = td_doubles(l, (size_t)td_input_draft(l, node, 0)->shape.c, -1.0);
    if (scale == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (folds(l, node, 0)) {
        return fold(l, node, 0, scale, NULL, "sign");
    }
    td_draft draft = elementwise(l, node, 0, TD_OP_MUL, scale);
    return td_keep(l, node, &draft);
}

tdsnn_status td_lower_div(td_lowerer *l, const td_source_node *node) {
    if (td_input_constant(l, node, 0) != NULL) {
        return td_constant_arithmetic(l, node);
    }
    td_shape shape = td_input_draft(l, node, 0)->shape;
    double *operand;
    tdsnn_status status = td_read_operand(l, node, 1, 0, &operand);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int c = 0; c < shape.c; c++) {
        if (operand[c] == 0.0) {
            return td_broken(l, "it divides channel %d by zero", c);
        }
    }
    if (!folds(l, node, 0)) {
        td_draft draft = elementwise(l, node, 0, TD_OP_DIV, operand);
        return td_keep(l, node, &draft);
    }
    for (int c = 0; c < shape.c; c++) {
        operand[c] = 1.0 / operand[c];
    }
    return fold(l, node, 0, operand, NULL, "scale");
}

/* The statistics were learned: nothing of the batch at hand may enter. */
static tdsnn_status check_inference(td_lowerer *l, const td_source_node *node, td_shape shape) {
    if (td_int_attribute(node, "training_mode", 0) != 0) {
        return td_refuse(l, "it is in training mode; export the model for inference");
    }
    for (int i = 1; i < node->output_count; i++) {
        if (node->outputs[i] >= 0) {
            return td_refuse(l, "it has training outputs; export the model for inference");
        }
    }
    if (td_int_attribute(node, "spatial", 1) == 0 && shape.h * shape.w > 1) {
        return td_refuse(l, "spatial 0, a mean for every position, is not supported");
    }
    return TDSNN_OK;
}

/* y = scale x + shift with scale = gamma / sqrt(variance + epsilon),
 * shift = beta - mean scale. */
static tdsnn_status read_batch_norm(td_lowerer *l, const td_source_node *node, td_shape shape,
                                    double **scale, double **shift) {
    const td_tensor *parameters[4]; /* gamma, beta, mean, variance */
    for (int i = 0; i < 4; i++) {
        parameters[i] = td_input_constant(l, node, i + 1);
        if (parameters[i]->rank != 1 || parameters[i]->dims[0] != shape.c) {
            return td_broken(l, "its '%s' is %s where [%d] belongs", td_input_name(l, node, i + 1),
                             td_dims_text(l, parameters[i]), shape.c);
        }
        tdsnn_status status = td_check_floats(l, node, i + 1);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    *scale = td_doubles(l, (size_t)shape.c, 0.0);
    *shift = td_doubles(l, (size_t)shape.c, 0.0);
    if (*scale == NULL || *shift == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    /* ONNX's default is the float 1e-5 */
    double epsilon = td_float_attribute(node, "epsilon", (double)1e-5f);
    for (int c = 0; c < shape.c; c++) {
        double variance = (double)parameters[3]->floats[c] + epsilon;
        if (!(variance > 0.0)) {
            return td_broken(l,
                             "its variance of channel %d plus epsilon is %g; it must be positive",
                             c, variance);
        }
        (*scale)[c] = (double)parameters[0]->floats[c] / sqrt(variance);
        (*shift)[c] =
            (double)parameters[1]->floats[c] - (double)parameters[2]->floats[c] * (*scale)[c];
    }
    return TDSNN_OK;
}

tdsnn_status td_lower_batch_norm(td_lowerer *l, const td_source_node *node) {
    td_shape shape = td_input_draft(l, node, 0)->shape;
    double *scale = NULL, *shift = NULL;
    if (td_channel_axis(td_input_value(l, node, 0)) != 1) {
        return td_refuse(l, "its input is %s, and it scales the second axis, not the channels",
                         td_value_text(l, td_input_value(l, node, 0)));
    }
    tdsnn_status status = check_inference(l, node, shape);
    if (status == TDSNN_OK) {
        status = read_batch_norm(l, node, shape, &scale, &shift);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    return scale_and_shift(l, node, 0, scale, shift, "batch-norm");
}
