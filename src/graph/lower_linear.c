/* Rows that become synapses: Conv, Gemm, MatMul. */
#include <string.h>

#include "graph/lower_internal.h"

/* A constant of these dimensions? */
static bool has_dims(const td_tensor *tensor, int rank, const int64_t *dims) {
    if (tensor->rank != rank) {
        return false;
    }
    for (int i = 0; i < rank; i++) {
        if (tensor->dims[i] != dims[i]) {
            return false;
        }
    }
    return true;
}

/* Weights are finite floats, and all of them together within bounds. */
static tdsnn_status take_weights(td_lowerer *l, const td_source_node *node, int input) {
    size_t count = td_input_constant(l, node, input)->count;
    tdsnn_status status = td_count_elements(l, &l->weights, count, "weights");
    return status == TDSNN_OK ? td_check_floats(l, node, input) : status;
}

/* The bias of every channel times `factor`, zero where there is none. Broadcasts to [C] are [],
 * [1], [C], [1, 1] and [1, C]. */
static tdsnn_status take_bias(td_lowerer *l, const td_source_node *node, int input, int channels,
                              double factor, double **out) {
    double *bias = td_doubles(l, (size_t)channels, 0.0);
    if (bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *out = bias;
    const td_tensor *tensor = td_input_constant(l, node, input);
    if (tensor == NULL) {
        return TDSNN_OK;
    }
    bool row = tensor->rank < 2 || (tensor->rank == 2 && tensor->dims[0] == 1);
    if (!row || (tensor->count != 1 && tensor->count != (size_t)channels)) {
        return td_broken(l, "its bias '%s' is %s where [%d] belongs", td_input_name(l, node, input),
                         td_dims_text(l, tensor), channels);
    }
    tdsnn_status status = td_check_floats(l, node, input);
    for (int c = 0; status == TDSNN_OK && c < channels; c++) {
        double b = (double)tensor->floats[tensor->count == 1 ? 0 : c];
        bias[c] = factor == 1.0 ? b : factor * b;
    }
    return status;
}

/* Checks the weights [C][Cin/groups][kh][kw], or without kh, against the input and kernel_shape. */
static tdsnn_status check_conv(td_lowerer *l, const td_source_node *node, td_shape in,
                               int64_t groups) {
    const td_tensor *w = td_input_constant(l, node, 1);
    const td_value *input = td_input_value(l, node, 0);
    int rank = td_spatial_rank(l, input);
    if (input->layout == TD_LAYOUT_LINES) {
        return td_refuse(l,
                         "its input is %s with the positions of a picture in one row; only "
                         "[N, C, H, W] and [N, C, L] are supported",
                         td_value_text(l, input));
    }
    if (rank == 0) {
        return td_broken(l, "its input is %s; Conv takes [N, C, H, W] or [N, C, L]",
                         td_value_text(l, input));
    }
    if (w->rank != rank + 2) {
        return td_broken(l,
                         "its weights are %s; a 2-D convolution takes [C, Cin/group, kh, kw], a "
                         "1-D one [C, Cin/group, k]",
                         td_dims_text(l, w));
    }
    if (groups < 1 || groups > in.c || in.c % groups != 0 || w->dims[1] != in.c / groups ||
        w->dims[0] < 1 || w->dims[0] > TD_MAX_EXTENT || w->dims[0] % groups != 0) {
        return td_broken(l, "its weights %s do not fit %d input channels in %lld groups",
                         td_dims_text(l, w), in.c, (long long)groups);
    }
    const td_attribute *kernel = td_source_attribute(node, "kernel_shape");
    bool same = kernel == NULL || kernel->count == (size_t)rank;
    for (int i = 0; same && kernel != NULL && i < rank; i++) {
        same = kernel->ints[i] == w->dims[2 + i];
    }
    if (!same) {
        return td_broken(l, "its kernel_shape is not that of its weights %s", td_dims_text(l, w));
    }
    return TDSNN_OK;
}

/* Of [N, C, 1, 1] or [N, C, 1] by one tap: an inner product. */
static tdsnn_status lower_column(td_lowerer *l, const td_source_node *node) {
    const td_tensor *w = td_input_constant(l, node, 1);
    td_draft draft = td_pointwise(l, node, 0, TD_OP_INNER);
    td_shape shape = {draft.shape.c, 1, 1, false};
    int64_t groups = td_int_attribute(node, "group", 1);
    int rank = td_input_value(l, node, 0)->rank - 2;
    bool single = w->rank == rank + 2 && groups == 1;
    for (int i = 0; single && i < rank; i++) {
        single = w->dims[2 + i] == 1;
    }
    if (!single) {
        return td_refuse(l,
                         "of [N, C, 1, 1] it is supported with kernels of 1x1 in one group only");
    }
    tdsnn_status status = td_lower_window(l, node, rank, &w->dims[2], &shape, &draft.window);
    if (status == TDSNN_OK && (shape.h != 1 || shape.w != 1)) {
        status = td_refuse(l, "it pads [N, C, 1, 1]; export it as an inner product");
    }
    if (status == TDSNN_OK &&
        (w->dims[1] != draft.shape.c || w->dims[0] < 1 || w->dims[0] > TD_MAX_EXTENT)) {
        status = td_broken(l, "its weights %s do not fit %d input channels", td_dims_text(l, w),
                           draft.shape.c);
    }
    if (status == TDSNN_OK) {
        status = take_weights(l, node, 1);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    draft.shape.c = (int)w->dims[0];
    draft.weights = w->floats;
    status = take_bias(l, node, 2, draft.shape.c, 1.0, &draft.bias);
    return status == TDSNN_OK ? td_keep(l, node, &draft) : status;
}

tdsnn_status td_lower_conv(td_lowerer *l, const td_source_node *node) {
    if (td_is_column(td_input_value(l, node, 0))) {
        return lower_column(l, node);
    }
    const td_tensor *w = td_input_constant(l, node, 1);
    const td_tensor *b = td_input_constant(l, node, 2);
    td_shape shape = td_input_draft(l, node, 0)->shape;
    int64_t groups = td_int_attribute(node, "group", 1);
    tdsnn_status status = check_conv(l, node, shape, groups);
    if (status == TDSNN_OK && b != NULL && !has_dims(b, 1, w->dims)) {
        status = td_broken(l, "its bias is %s and its weights are %s", td_dims_text(l, b),
                           td_dims_text(l, w));
    }
    if (status == TDSNN_OK) {
        status = take_weights(l, node, 1);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft draft = {.op = TD_OP_CONV,
                      .input_count = 1,
                      .inputs = &l->values[node->inputs[0]].draft,
                      .groups = (int)groups,
                      .weights = w->floats};
    status = td_lower_window(l, node, w->rank - 2, &w->dims[2], &shape, &draft.window);
    if (status != TDSNN_OK) {
        return status;
    }
    shape.c = (int)w->dims[0];
    draft.shape = shape;
    status = take_bias(l, node, 2, shape.c, 1.0, &draft.bias);
    return status == TDSNN_OK ? td_keep(l, node, &draft) : status;
}

/* Weights for an input that the file flattened in the order H, W, C, as ours is C, H, W. */
static const float *permute_inputs(td_lowerer *l, const td_tensor *w, td_shape in,
                                   bool transposed) {
    float *permuted = td_arena_alloc(l->scratch, w->count, sizeof *permuted);
    size_t inputs = td_shape_count(in), outputs = w->count / inputs;
    size_t plane = (size_t)in.h * (size_t)in.w, channels = (size_t)in.c;
    for (size_t i = 0; permuted != NULL && i < inputs; i++) {
        size_t theirs = i % plane * channels + i / plane;
        for (size_t c = 0; c < outputs; c++) {
            size_t to = transposed ? i * outputs + c : c * inputs + i;
            size_t from = transposed ? theirs * outputs + c : c * inputs + theirs;
            permuted[to] = w->floats[from];
        }
    }
    return permuted;
}

/* alpha W x + beta b; W is [C][inputs], or [inputs][C] if `transposed`. */
static tdsnn_status lower_inner(td_lowerer *l, const td_source_node *node, bool transposed,
                                double alpha, double beta) {
    const td_tensor *w = td_input_constant(l, node, 1);
    td_shape in = td_input_draft(l, node, 0)->shape;
    const td_value *input = td_input_value(l, node, 0);
    int64_t dims[4];
    int rank = td_file_dims(l, input, dims);
    bool last = input->layout == TD_LAYOUT_SPREAD && input->axis == rank - 1;
    if (!in.flat || (rank > 2 && !(last && strcmp(node->op, "MatMul") == 0))) {
        return td_refuse(l, "its input is %s; only [N, F] is supported, put a Flatten in front",
                         td_value_text(l, input));
    }
    int64_t inputs = w->rank == 2 ? w->dims[transposed ? 0 : 1] : -1;
    int64_t outputs = w->rank == 2 ? w->dims[transposed ? 1 : 0] : -1;
    if (inputs != in.c || outputs < 1 || outputs > TD_MAX_EXTENT) {
        return td_broken(l, "its weights '%s' are %s%s and its input is [N, %d]",
                         td_input_name(l, node, 1), td_dims_text(l, w),
                         transposed ? "" : " (transposed)", in.c);
    }
    tdsnn_status status = take_weights(l, node, 1);
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft draft = {.op = TD_OP_INNER,
                      .input_count = 1,
                      .inputs = &l->values[node->inputs[0]].draft,
                      .shape = {.c = (int)outputs, .h = 1, .w = 1, .flat = true},
                      .weights = w->floats,
                      .transposed = transposed};
    if (input->layout == TD_LAYOUT_FLAT_NHWC) {
        status = td_count_elements(l, &l->copies, w->count, "elements of reordered constants");
        draft.weights = status == TDSNN_OK ? permute_inputs(l, w, input->unflat, transposed) : NULL;
    }
    if (status == TDSNN_OK && draft.weights == NULL) {
        status = TDSNN_ERR_RUNTIME;
    }
    if (status == TDSNN_OK) {
        status = take_bias(l, node, 2, draft.shape.c, beta, &draft.bias);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (alpha != 1.0) {
        draft.scale = td_doubles(l, (size_t)outputs, alpha);
        if (draft.scale == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    status = td_keep(l, node, &draft);
    if (rank == 2) {
        l->values[node->outputs[0]].layout = TD_LAYOUT_NCHW;
    }
    return status;
}

tdsnn_status td_lower_gemm(td_lowerer *l, const td_source_node *node) {
    if (td_int_attribute(node, "transA", 0) != 0) {
        return td_refuse(l, "transA is not supported: it mixes the samples of a batch");
    }
    return lower_inner(l, node, td_int_attribute(node, "transB", 0) == 0,
                       td_float_attribute(node, "alpha", 1.0),
                       td_float_attribute(node, "beta", 1.0));
}

/* [N, H, W, Cin] times [Cin, C]: an inner product at every position, a convolution of one tap. */
static tdsnn_status lower_pointwise(td_lowerer *l, const td_source_node *node) {
    const td_tensor *w = td_input_constant(l, node, 1);
    td_draft draft = td_pointwise(l, node, 0, TD_OP_CONV);
    if (w->rank != 2 || w->dims[0] != draft.shape.c || w->dims[1] < 1 ||
        w->dims[1] > TD_MAX_EXTENT) {
        return td_broken(l, "its weights '%s' are %s and its input is %s",
                         td_input_name(l, node, 1), td_dims_text(l, w),
                         td_value_text(l, td_input_value(l, node, 0)));
    }
    tdsnn_status status = take_weights(l, node, 1);
    if (status != TDSNN_OK) {
        return status;
    }
    draft.shape.c = (int)w->dims[1];
    draft.window = TD_WINDOW_ONE;
    draft.groups = 1;
    draft.weights = w->floats;
    draft.transposed = true;
    status = take_bias(l, node, 2, draft.shape.c, 1.0, &draft.bias);
    return status == TDSNN_OK ? td_keep(l, node, &draft) : status;
}

/* [N, 1, F] or [N, 1, 1, F], which has been a picture up to here, becomes flat. */
static tdsnn_status flatten_row(td_lowerer *l, const td_source_node *node) {
    td_value *input = &l->values[node->inputs[0]];
    int64_t dims[4];
    int rank = td_file_dims(l, input, dims), index;
    td_draft flat = td_pointwise(l, node, 0, TD_OP_FLATTEN);
    flat.suffix = "flat";
    flat.shape = (td_shape){.c = (int)td_shape_count(flat.shape), .h = 1, .w = 1, .flat = true};
    bool made = td_input_draft(l, node, 0)->op == TD_OP_UNFLATTEN;
    index = made ? td_input_draft(l, node, 0)->inputs[0] : 0;
    tdsnn_status status = made ? TDSNN_OK : td_draft_add(l, &flat, &index);
    if (status == TDSNN_OK) {
        input->draft = index;
        input->layout = TD_LAYOUT_SPREAD;
        input->rank = rank;
        input->axis = rank - 1;
    }
    return status;
}

tdsnn_status td_lower_matmul(td_lowerer *l, const td_source_node *node) {
    const td_value *input = td_input_value(l, node, 0);
    td_shape shape = td_input_draft(l, node, 0)->shape;
    if (input->layout == TD_LAYOUT_NHWC) {
        return lower_pointwise(l, node);
    }
    tdsnn_status status = TDSNN_OK;
    if (!shape.flat && shape.c * shape.h == 1) {
        status = flatten_row(l, node);
    }
    return status == TDSNN_OK ? lower_inner(l, node, true, 1.0, 1.0) : status;
}
