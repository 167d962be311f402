/* Rows that are pools: MaxPool, AveragePool, the global ones, ReduceMean over the positions. */
#include <stdint.h>
#include <string.h>

#include "graph/lower_internal.h"

/* Whether every output's window has a member inside the input. */
static bool has_members(const td_axis *axis, int outputs, int size) {
    for (int o = 0; o < outputs; o++) {
        int first, end;
        td_axis_taps(axis, o, size, &first, &end);
        if (first == end) {
            return false;
        }
    }
    return true;
}

/* Fills in the window and the output's shape of a MaxPool or AveragePool. */
static tdsnn_status read_pool(td_lowerer *l, const td_source_node *node, td_draft *draft) {
    int rank = td_spatial_rank(l, td_input_value(l, node, 0));
    const td_attribute *kernel = td_source_attribute(node, "kernel_shape");
    if (kernel == NULL) {
        return td_broken(l, "it has no kernel_shape");
    }
    if (rank == 0 || kernel->count != (size_t)rank) {
        return td_refuse(l, "only 2-D pooling of [N, C, H, W] and 1-D of [N, C, L] is supported");
    }
    return td_lower_window(l, node, rank, kernel->ints, &draft->shape, &draft->window);
}

/* A pool's window has a synapse a tap, like a depthwise convolution's, but no file pays for them.
 */
static tdsnn_status count_taps(td_lowerer *l, const td_draft *pool) {
    size_t taps = SIZE_MAX, window;
    if (td_size_mul((size_t)pool->window.y.kernel, (size_t)pool->window.x.kernel, &window)) {
        (void)td_size_mul((size_t)pool->shape.c, window, &taps);
    }
    return td_count_elements(l, &l->weights, taps, "weights and taps of pools");
}

/* Keeps a pool, unless one of its windows is empty. */
static tdsnn_status keep_pool(td_lowerer *l, const td_source_node *node, const td_draft *draft) {
    td_shape in = td_input_draft(l, node, 0)->shape, out = draft->shape;
    td_window window = draft->window;
    tdsnn_status status = count_taps(l, draft);
    if (status == TDSNN_OK) { /* before the windows: it bounds the outputs looked at below */
        status = td_keep(l, node, draft);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (!has_members(&window.y, out.h, in.h) || !has_members(&window.x, out.w, in.w)) {
        return td_refuse(l, "one of its windows lies in the padding altogether; use smaller pads");
    }
    return TDSNN_OK;
}

/* Whether a draft gives nothing below zero, so that zeros beside it never win a maximum. */
static bool is_non_negative(const td_lowerer *l, int draft) {
    const td_draft *d = &l->drafts[draft];
    while (d->op == TD_OP_MAXPOOL) {
        d = &l->drafts[d->inputs[0]];
    }
    return d->op == TD_OP_RELU || (d->op == TD_OP_CLIP && d->low == 0.0f);
}

tdsnn_status td_lower_maxpool(td_lowerer *l, const td_source_node *node) {
    const td_value *input = td_input_value(l, node, 0);
    td_draft draft = td_pointwise(l, node, 0, TD_OP_MAXPOOL);
    if (td_is_padded(input) && !is_non_negative(l, input->draft)) {
        return td_refuse(l, "a Pad in front of it is supported behind a Relu only: elsewhere its "
                            "zeros may be the maximum");
    }
    tdsnn_status status = read_pool(l, node, &draft);
    return status == TDSNN_OK ? keep_pool(l, node, &draft) : status;
}

/* Whether ceil_mode made the window hang over the padded input, where runtimes disagree about what
 * is counted. `zeros` are those of a Pad in front. */
static bool hangs_over(const td_source_node *node, const int zeros[4], const td_window *w) {
    const td_attribute *pads = td_source_attribute(node, "pads");
    size_t rank = pads == NULL ? 0 : pads->count / 2;
    int64_t y_end = rank == 2 ? pads->ints[2] : 0;
    int64_t x_end = rank == 0 ? 0 : pads->ints[2 * rank - 1];
    return td_int_attribute(node, "ceil_mode", 0) != 0 &&
           (w->y.pad_end != y_end + zeros[2] || w->x.pad_end != x_end + zeros[3]);
}

tdsnn_status td_lower_average_pool(td_lowerer *l, const td_source_node *node) {
    const td_value *input = td_input_value(l, node, 0);
    td_draft draft = td_pointwise(l, node, 0, TD_OP_AVGPOOL);
    tdsnn_status status = read_pool(l, node, &draft);
    if (status != TDSNN_OK) {
        return status;
    }
    if (draft.window.y.dilation != 1 || draft.window.x.dilation != 1) {
        return td_refuse(l, "dilations are not supported in an average pool");
    }
    bool counts = td_int_attribute(node, "count_include_pad", 0) != 0;
    bool zeros = td_is_padded(input);
    const td_attribute *pads = td_source_attribute(node, "pads");
    bool own = strcmp(td_string_attribute(node, "auto_pad", "NOTSET"), "NOTSET") != 0;
    for (size_t i = 0; pads != NULL && i < pads->count; i++) {
        own = own || pads->ints[i] != 0;
    }
    bool padded = zeros || own;
    bool hangs = hangs_over(node, input->pads, &draft.window);
    own = own || hangs;
    if (zeros && own && !counts) {
        return td_refuse(l, "a Pad in front of it is counted and its own padding is not; set "
                            "count_include_pad, or write pads instead of the Pad");
    }
    /* What hangs over is never counted: where nothing else is padded, those present are all. */
    draft.count_padding = zeros || (counts && (padded || !hangs));
    if (draft.count_padding && hangs) {
        return td_refuse(l, "ceil_mode together with counted padding is not supported: runtimes "
                            "differ there; write larger pads instead");
    }
    return keep_pool(l, node, &draft);
}

/* Makes a pool of one window, the whole input. */
static void span_input(td_draft *draft) {
    draft->window = TD_WINDOW_ONE;
    draft->window.y.kernel = draft->shape.h;
    draft->window.x.kernel = draft->shape.w;
    draft->shape.h = 1;
    draft->shape.w = 1;
}

tdsnn_status td_lower_global_pool(td_lowerer *l, const td_source_node *node) {
    if (td_is_column(td_input_value(l, node, 0))) {
        return td_pass(l, node);
    }
    bool average = strcmp(node->op, "GlobalAveragePool") == 0;
    td_draft draft = td_pointwise(l, node, 0, average ? TD_OP_AVGPOOL : TD_OP_MAXPOOL);
    const td_value *input = td_input_value(l, node, 0);
    if (td_spatial_rank(l, input) == 0) {
        return td_refuse(l, "its input is %s; only [N, C, H, W] and [N, C, L] are supported",
                         td_value_text(l, input));
    }
    span_input(&draft);
    return td_keep(l, node, &draft);
}

/* Which axes of the file are reduced: some of the positions, and those alone. */
static tdsnn_status read_reduced(td_lowerer *l, const td_source_node *node, bool reduced[4]) {
    const td_value *input = td_input_value(l, node, 0);
    const int64_t *axes;
    size_t count;
    int64_t dims[4];
    bool spatial = true;
    int rank = td_file_dims(l, input, dims), channels = td_channel_axis(input);
    tdsnn_status status = td_int_list(l, node, "axes", 1, &axes, &count);
    for (size_t i = 0; status == TDSNN_OK && i < count; i++) {
        int axis;
        status = td_read_axis(l, axes[i], rank, &axis);
        if (status == TDSNN_OK) {
            reduced[axis] = true;
        }
    }
    if (status != TDSNN_OK) {
        return status;
    }
    for (int i = 0; i < rank; i++) {
        spatial = spatial && !(reduced[i] && (i == 0 || i == channels));
    }
    return spatial && count > 0 && rank > 2
               ? TDSNN_OK
               : td_refuse(l, "it reduces %s over other axes than those of the positions",
                           td_value_text(l, input));
}

/* A pool of one of two axes: its window is as long as that axis. */
static tdsnn_status reduce_axis(td_lowerer *l, const td_source_node *node, td_draft *pool,
                                bool rows, bool keeps) {
    td_shape in = pool->shape;
    pool->window = TD_WINDOW_ONE;
    *(rows ? &pool->window.y.kernel : &pool->window.x.kernel) = rows ? in.h : in.w;
    *(rows ? &pool->shape.h : &pool->shape.w) = 1;
    if (keeps) {
        return td_keep(l, node, pool);
    }
    if (td_input_value(l, node, 0)->layout != TD_LAYOUT_NCHW) {
        return td_refuse(l, "over one axis of %s it is supported with keepdims = 1 only",
                         td_value_text(l, td_input_value(l, node, 0)));
    }
    if (rows || in.h == 1) { /* the one row or column that is left */
        tdsnn_status status = td_keep(l, node, pool);
        l->values[node->outputs[0]].layout = TD_LAYOUT_NCL;
        return status;
    }
    int index; /* [C][H][1] becomes [C][1][H] */
    pool->suffix = "pool";
    tdsnn_status status = td_draft_add(l, pool, &index);
    td_draft flat = {.op = TD_OP_FLATTEN, .suffix = "flat", .input_count = 1, .inputs = &index};
    flat.shape = (td_shape){.c = in.c * in.h, .h = 1, .w = 1, .flat = true};
    status = status == TDSNN_OK ? td_draft_add(l, &flat, &index) : status;
    td_draft line = {.op = TD_OP_UNFLATTEN, .input_count = 1, .inputs = &index};
    line.shape = (td_shape){.c = in.c, .h = 1, .w = in.h};
    status = status == TDSNN_OK ? td_keep(l, node, &line) : status;
    l->values[node->outputs[0]].layout = TD_LAYOUT_NCL;
    return status;
}

tdsnn_status td_lower_reduce(td_lowerer *l, const td_source_node *node) {
    bool reduced[4] = {false};
    tdsnn_status status = read_reduced(l, node, reduced);
    if (status != TDSNN_OK) {
        return status;
    }
    bool average = strcmp(node->op, "ReduceMean") == 0;
    bool keeps = td_int_attribute(node, "keepdims", 1) != 0;
    td_draft pool = td_pointwise(l, node, 0, average ? TD_OP_AVGPOOL : TD_OP_MAXPOOL);
    int axes = reduced[0] + reduced[1] + reduced[2] + reduced[3];
    if (pool.shape.flat) { /* [N, C, 1, 1] */
        if (!keeps && td_input_value(l, node, 0)->rank - axes != 2) {
            return td_refuse(l, "of %s only all positions can go, or with keepdims = 1 some",
                             td_value_text(l, td_input_value(l, node, 0)));
        }
        return keeps ? td_pass(l, node)
                     : td_rearranged(l, node, pool.inputs[0], TD_LAYOUT_NCHW, "no effect");
    }
    bool picture = td_spatial_rank(l, td_input_value(l, node, 0)) == 2 ||
                   td_input_value(l, node, 0)->layout == TD_LAYOUT_NHWC;
    if (picture && axes == 1) {
        bool rows = reduced[td_channel_axis(td_input_value(l, node, 0)) == 3 ? 1 : 2];
        return reduce_axis(l, node, &pool, rows, keeps);
    }
    span_input(&pool);
    if (keeps) {
        return td_keep(l, node, &pool);
    }
    pool.suffix = "pool";
    int index;
    status = td_draft_add(l, &pool, &index);
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft flat = {.op = TD_OP_FLATTEN,
                     .input_count = 1,
                     .inputs = &index,
                     .shape = {.c = pool.shape.c, .h = 1, .w = 1, .flat = true}};
    status = td_keep(l, node, &flat);
    l->values[node->outputs[0]].layout = TD_LAYOUT_NCHW;
    return status;
}
