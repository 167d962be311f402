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

/* A draft of one of the four operators. */
static td_draft elementwise(td_lowerer *l, const td_source_node *node, int input, td_op op,
                            double *operand) {
    td_draft draft = td_pointwise(l, node, input, op);
    draft.operand = operand;
    return draft;
}

/* Whether a constant, broadcast by ONNX's rule, leaves the value beside it its shape. */
static bool is_broadcast(const td_lowerer *l, const td_tensor *tensor, const td_value *value) {
    int64_t dims[4];
    int rank = td_file_dims(l, value, dims);
    bool fits = tensor->rank <= rank;
    for (int i = 0; fits && i < tensor->rank; i++) {
        fits = tensor->dims[i] == 1 || tensor->dims[i] == dims[rank - tensor->rank + i];
    }
    return fits;
}

/* Whether it is one number for all or one a channel, the same at every position. */
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

/* Where the file has value (c, y, x), and so along which of its axes at what place. */
static void file_place(const td_value *value, td_shape s, int c, int y, int x, int64_t at[4]) {
    bool last = value->layout == TD_LAYOUT_NHWC;
    at[0] = 0;
    at[1] = last ? y : c;
    at[2] = value->layout == TD_LAYOUT_LINES ? (int64_t)y * s.w + x
            : value->layout == TD_LAYOUT_NCL ? x
            : last                           ? x
                                             : y;
    at[3] = last ? c : x;
    if (value->layout == TD_LAYOUT_FLAT_NHWC) {
        td_shape u = value->unflat; /* c counts in the order C, H, W */
        int plane = u.h * u.w;
        at[1] = (int64_t)(c % plane) * u.c + c / plane;
    }
}

/* The element that meets it. */
static double element_at(const td_tensor *tensor, int rank, const int64_t at[4]) {
    int64_t index = 0;
    for (int i = 0; i < tensor->rank; i++) {
        int64_t place = tensor->dims[i] == 1 ? 0 : at[rank - tensor->rank + i];
        index = index * tensor->dims[i] + place;
    }
    return (double)tensor->floats[index];
}

/* A constant that differs from position to position: one double a value, [C][H][W]. */
static tdsnn_status read_by_value(td_lowerer *l, const td_source_node *node, int constant,
                                  int computed, double **out) {
    const td_tensor *tensor = td_input_constant(l, node, constant);
    const td_value *value = td_input_value(l, node, computed);
    td_shape s = l->drafts[value->draft].shape;
    int64_t dims[4], at[4];
    int rank = td_file_dims(l, value, dims);
    tdsnn_status status = td_count_elements(l, &l->copies, td_shape_count(s), "constants");
    if (status == TDSNN_OK) {
        status = td_check_floats(l, node, constant);
    }
    double *values = status == TDSNN_OK ? td_doubles(l, td_shape_count(s), 0.0) : NULL;
    if (values == NULL) {
        return status == TDSNN_OK ? TDSNN_ERR_RUNTIME : status;
    }
    *out = values;
    for (int c = 0; c < s.c; c++) {
        for (int y = 0; y < s.h; y++) {
            for (int x = 0; x < s.w; x++) {
                file_place(value, s, c, y, x, at);
                *values++ = element_at(tensor, rank, at);
            }
        }
    }
    return TDSNN_OK;
}

/* What a constant input is to the computed one beside it. */
typedef struct constant_operand {
    double *values; /* a channel, or a value */
    bool by_value;  /* of a picture: not to be folded, and its node reads flat values */
} constant_operand;

static tdsnn_status read_operand(td_lowerer *l, const td_source_node *node, int constant,
                                 int computed, constant_operand *out) {
    const td_tensor *tensor = td_input_constant(l, node, constant);
    const td_value *value = td_input_value(l, node, computed);
    bool several = !is_per_channel(l, tensor, value) && is_broadcast(l, tensor, value);
    out->by_value = several && !td_input_draft(l, node, computed)->shape.flat;
    return several ? read_by_value(l, node, constant, computed, &out->values)
                   : td_read_operand(l, node, constant, computed, &out->values);
}

/* Appends a draft that reads draft *at, which it takes the place of. */
static tdsnn_status chain(td_lowerer *l, td_op op, td_shape shape, const char *suffix,
                          double *values, int *at) {
    td_draft draft = {.op = op,
                      .suffix = suffix,
                      .input_count = 1,
                      .inputs = at,
                      .shape = shape,
                      .operand = values};
    return td_draft_add(l, &draft, at);
}

/* The flat values of draft *at: what a picture was made of, or a Flatten. */
static tdsnn_status flatten(td_lowerer *l, td_shape flat, int *at) {
    if (l->drafts[*at].op == TD_OP_UNFLATTEN) {
        *at = l->drafts[*at].inputs[0];
        return TDSNN_OK;
    }
    return chain(l, TD_OP_FLATTEN, flat, "flat", NULL, at);
}

/* One of the four operators, as a node of its own: behind a Flatten if there is a number for every
 * value of a picture, and then back. */
static tdsnn_status keep_operand(td_lowerer *l, const td_source_node *node, int input, td_op op,
                                 const constant_operand *constant) {
    td_draft draft = elementwise(l, node, input, op, constant->values);
    if (!constant->by_value) {
        return td_keep(l, node, &draft);
    }
    td_shape picture = draft.shape;
    td_shape flat = {.c = (int)td_shape_count(picture), .h = 1, .w = 1, .flat = true};
    int at = draft.inputs[0];
    tdsnn_status status = flatten(l, flat, &at);
    if (status == TDSNN_OK) {
        status = chain(l, op, flat, "by-value", constant->values, &at);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft back = {.op = TD_OP_UNFLATTEN, .input_count = 1, .inputs = &at, .shape = picture};
    return td_keep(l, node, &back);
}

/* Takes an operator into the layer before where that is possible. */
static bool takes(const td_lowerer *l, const td_source_node *node, int input,
                  const constant_operand *constant) {
    return folds(l, node, input) && !constant->by_value;
}

tdsnn_status td_read_operand(td_lowerer *l, const td_source_node *node, int constant, int computed,
                             double **out) {
    const td_tensor *tensor = td_input_constant(l, node, constant);
    const td_value *value = td_input_value(l, node, computed);
    td_shape shape = td_input_draft(l, node, computed)->shape;
    if (!is_per_channel(l, tensor, value)) {
        return td_refuse(
            l,
            "the constant '%s' is %s beside %s; supported are one number, or one for "
            "each of the %d channels%s",
            td_input_name(l, node, constant), td_dims_text(l, tensor), td_value_text(l, value),
            shape.c, is_broadcast(l, tensor, value) ? "" : ", or what else leaves that its shape");
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
    constant_operand shift;
    tdsnn_status status = read_operand(l, node, constant, input, &shift);
    if (status != TDSNN_OK) {
        return status;
    }
    return takes(l, node, input, &shift) ? fold(l, node, input, NULL, shift.values, "bias")
                                         : keep_operand(l, node, input, TD_OP_SHIFT, &shift);
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

/* c - x with a c for every value of a picture: -(x - c). */
static tdsnn_status negate_difference(td_lowerer *l, const td_source_node *node,
                                      const constant_operand *shift, double *signs) {
    td_shape picture = td_input_draft(l, node, 1)->shape;
    td_shape flat = {.c = (int)td_shape_count(picture), .h = 1, .w = 1, .flat = true};
    int at = td_input_value(l, node, 1)->draft;
    tdsnn_status status = flatten(l, flat, &at);
    if (status == TDSNN_OK) {
        status = chain(l, TD_OP_SUB, flat, "by-value", shift->values, &at);
    }
    if (status == TDSNN_OK) {
        status = chain(l, TD_OP_UNFLATTEN, picture, "back", NULL, &at);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft negated = elementwise(l, node, 1, TD_OP_MUL, signs);
    negated.inputs = &at;
    return td_keep(l, node, &negated);
}

/* c - x. */
static tdsnn_status subtract_from(td_lowerer *l, const td_source_node *node) {
    constant_operand shift;
    tdsnn_status status = read_operand(l, node, 0, 1, &shift);
    if (status != TDSNN_OK) {
        return status;
    }
    double *scale = td_doubles(l, (size_t)td_input_draft(l, node, 1)->shape.c, -1.0);
    if (scale == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return shift.by_value ? negate_difference(l, node, &shift, scale)
                          : scale_and_shift(l, node, 1, scale, shift.values, "bias and sign");
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
    constant_operand shift;
    tdsnn_status status = read_operand(l, node, 1, 0, &shift);
    if (status != TDSNN_OK) {
        return status;
    }
    if (!takes(l, node, 0, &shift)) {
        return keep_operand(l, node, 0, TD_OP_SUB, &shift);
    }
    for (int c = 0; c < shape.c; c++) {
        shift.values[c] = -shift.values[c];
    }
    return fold(l, node, 0, NULL, shift.values, "bias");
}

tdsnn_status td_lower_mul(td_lowerer *l, const td_source_node *node) {
    int constant = constant_side(l, node);
    if (constant < 0) {
        return td_input_constant(l, node, 0) != NULL
                   ? td_constant_arithmetic(l, node)
                   : td_refuse(l, "the product of two computed values is not supported");
    }
    int input = 1 - constant;
    constant_operand scale;
    tdsnn_status status = read_operand(l, node, constant, input, &scale);
    if (status != TDSNN_OK) {
        return status;
    }
    return takes(l, node, input, &scale) ? fold(l, node, input, scale.values, NULL, "scale")
                                         : keep_operand(l, node, input, TD_OP_MUL, &scale);
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
    constant_operand by;
    tdsnn_status status = read_operand(l, node, 1, 0, &by);
    if (status != TDSNN_OK) {
        return status;
    }
    size_t count = by.by_value ? td_shape_count(shape) : (size_t)shape.c;
    for (size_t i = 0; i < count; i++) {
        if (by.values[i] == 0.0) {
            return td_broken(l, "it divides %s %zu by zero", by.by_value ? "value" : "channel", i);
        }
    }
    if (!takes(l, node, 0, &by)) {
        return keep_operand(l, node, 0, TD_OP_DIV, &by);
    }
    for (int c = 0; c < shape.c; c++) {
        by.values[c] = 1.0 / by.values[c];
    }
    return fold(l, node, 0, by.values, NULL, "scale");
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
