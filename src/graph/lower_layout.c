/* Rows that only move, rename or pass on values: no neuron, no synapse. */
#include <string.h>

#include "graph/lower_internal.h"

tdsnn_status td_lower_identity(td_lowerer *l, const td_source_node *node) {
    return td_pass(l, node);
}

tdsnn_status td_lower_dropout(td_lowerer *l, const td_source_node *node) {
    const td_tensor *training = td_input_constant(l, node, 2);
    if (training != NULL && (training->type != TD_TYPE_INT || training->count != 1)) {
        return td_broken(l, "its training_mode '%s' is not one boolean", td_input_name(l, node, 2));
    }
    if (training != NULL && training->ints[0] != 0) {
        return td_refuse(l, "it is in training mode; export the model for inference");
    }
    return td_pass(l, node);
}

static bool fixed_batch(const td_lowerer *l) {
    return l->source->values[l->source->inputs[0]].dims[0] == 1;
}

/* ---- One sample seen in other dimensions. */

/* Whether [H][W][C] and [C][H][W] are one order. */
static bool orders_agree(td_shape s) {
    return s.c == 1 || s.h * s.w == 1;
}

/* [N, ...] to [N, F]: nothing to do where it is that already. */
static tdsnn_status flatten(td_lowerer *l, const td_source_node *node) {
    td_shape in = td_input_draft(l, node, 0)->shape;
    bool last = td_input_value(l, node, 0)->layout == TD_LAYOUT_NHWC && !orders_agree(in);
    if (in.flat) { /* of [N, C, 1, 1], too */
        return td_rearranged(l, node, td_input_value(l, node, 0)->draft, TD_LAYOUT_NCHW,
                             "no effect at inference");
    }
    if (td_input_draft(l, node, 0)->op == TD_OP_UNFLATTEN && !last) {
        return td_rearranged(l, node, td_input_draft(l, node, 0)->inputs[0], TD_LAYOUT_NCHW,
                             "undoes what was made of flat values");
    }
    td_draft draft = td_pointwise(l, node, 0, TD_OP_FLATTEN);
    draft.shape = (td_shape){.c = (int)td_shape_count(in), .h = 1, .w = 1, .flat = true};
    tdsnn_status status = td_keep(l, node, &draft);
    td_value *output = &l->values[node->outputs[0]];
    output->layout = last ? TD_LAYOUT_FLAT_NHWC : TD_LAYOUT_NCHW;
    output->unflat = in;
    return status;
}

/* The layout in which [C][H][W] has the file's dimensions, its elements staying in order; `last`
 * says that the file's order has the channels last. */
static bool find_layout(td_shape s, bool last, int rank, const int64_t *dims, td_layout *layout) {
    if (rank == 3) {
        *layout = s.h == 1 ? TD_LAYOUT_NCL : TD_LAYOUT_LINES;
        return (!last || orders_agree(s)) && dims[1] == s.c && dims[2] == (int64_t)s.h * s.w;
    }
    if (rank == 4 && (!last || orders_agree(s)) && dims[1] == s.c && dims[2] == s.h &&
        dims[3] == s.w) {
        *layout = TD_LAYOUT_NCHW;
        return true;
    }
    *layout = TD_LAYOUT_NHWC;
    return rank == 4 && (last || orders_agree(s)) && dims[1] == s.h && dims[2] == s.w &&
           dims[3] == s.c;
}

/* The network's input, which only this node reads, takes on the shape that it is given first. */
static tdsnn_status reshape_input(td_lowerer *l, const td_source_node *node, int rank,
                                  const int64_t *dims) {
    for (int i = 1; i < rank; i++) {
        if (dims[i] > TD_MAX_EXTENT) {
            return td_refuse(l, "it makes a dimension of %lld", (long long)dims[i]);
        }
    }
    l->drafts[0].shape =
        (td_shape){.c = (int)dims[1], .h = rank == 4 ? (int)dims[2] : 1, .w = (int)dims[rank - 1]};
    return td_rearranged(l, node, 0, rank == 4 ? TD_LAYOUT_NCHW : TD_LAYOUT_NCL,
                         "the input is taken in this shape");
}

/* Whether all dimensions but one are 1, which holds `count`: that axis, the first where several
 * would do; else 0. */
static int spread_axis(int rank, const int64_t *dims, size_t count) {
    int axis = 0, others = 0;
    for (int i = rank - 1; i > 0; i--) {
        others += dims[i] != 1;
        axis = dims[i] == (int64_t)count ? i : axis;
    }
    return others <= 1 ? axis : 0;
}

/* [N, C, 1, 1] and the like, of a value that is flat or is made so. */
static tdsnn_status spread(td_lowerer *l, const td_source_node *node, int rank, int axis) {
    const td_value *input = td_input_value(l, node, 0);
    tdsnn_status status =
        input->layout == TD_LAYOUT_SPREAD
            ? td_rearranged(l, node, input->draft, TD_LAYOUT_SPREAD, "only sizes of 1 move")
            : flatten(l, node);
    td_value *output = &l->values[node->outputs[0]];
    output->layout = TD_LAYOUT_SPREAD;
    output->rank = rank;
    output->axis = axis;
    return status;
}

/* Flat values become a picture, or a picture another one of as many values. */
static tdsnn_status unflatten(td_lowerer *l, const td_source_node *node, int rank,
                              const int64_t *dims) {
    td_draft flat = td_pointwise(l, node, 0, TD_OP_FLATTEN), draft;
    int index = td_input_value(l, node, 0)->draft;
    tdsnn_status status = TDSNN_OK;
    if (!flat.shape.flat) {
        flat.suffix = "flat";
        flat.shape = (td_shape){.c = (int)td_shape_count(flat.shape), .h = 1, .w = 1, .flat = true};
        status = td_draft_add(l, &flat, &index);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    draft = (td_draft){.op = TD_OP_UNFLATTEN, .input_count = 1, .inputs = &index};
    draft.shape = /* no dimension is larger than their product, which was checked */
        (td_shape){.c = (int)dims[1], .h = rank == 4 ? (int)dims[2] : 1, .w = (int)dims[rank - 1]};
    status = td_keep(l, node, &draft);
    td_value *output = &l->values[node->outputs[0]];
    output->layout = rank == 4 ? TD_LAYOUT_NCHW : TD_LAYOUT_NCL;
    return status;
}

/* What td_view does; `pictures`: [N, 1, 1, F] and [N, 1, F, 1] are some. */
static tdsnn_status view(td_lowerer *l, const td_source_node *node, int rank, const int64_t *dims,
                         bool pictures) {
    const td_value *input = td_input_value(l, node, 0);
    int64_t now[4];
    bool same = td_file_dims(l, input, now) == rank;
    for (int i = 1; same && i < rank; i++) {
        same = dims[i] == now[i];
    }
    if (same) {
        return td_pass(l, node);
    }
    if (rank == 2) {
        return flatten(l, node);
    }
    int draft = input->draft;
    bool last = input->layout == TD_LAYOUT_NHWC || input->layout == TD_LAYOUT_FLAT_NHWC;
    if (l->drafts[draft].op == TD_OP_FLATTEN) { /* undone where it goes back to the same shape */
        draft = l->drafts[draft].inputs[0];
    }
    td_layout layout;
    td_shape shape = l->drafts[draft].shape;
    if (!shape.flat && find_layout(shape, last, rank, dims, &layout)) {
        return td_rearranged(l, node, draft, layout,
                             layout == TD_LAYOUT_LINES ? "the positions, row behind row"
                                                       : "only sizes of 1 move");
    }
    bool fresh = input->draft == 0 && !input->shared && input->layout == TD_LAYOUT_NCHW;
    if (fresh && (rank == 3 || rank == 4)) {
        return reshape_input(l, node, rank, dims);
    }
    int axis = spread_axis(rank, dims, td_shape_count(shape));
    axis = pictures && rank == 4 && axis > 1 ? 0 : axis; /* a row or a column of a picture */
    bool ordered = !last || orders_agree(shape);
    if (axis > 0 && ordered) {
        return spread(l, node, rank, axis);
    }
    if (ordered && (rank == 3 || rank == 4)) {
        return unflatten(l, node, rank, dims);
    }
    return td_refuse(l,
                     "only [N, -1], [N, C, H, W], [N, C, L] and shapes in which just sizes of 1 "
                     "move are supported, of values in the order C, H, W; its input is %s",
                     td_value_text(l, input));
}

tdsnn_status td_view(td_lowerer *l, const td_source_node *node, int rank, const int64_t *dims) {
    return view(l, node, rank, dims, false);
}

/* ---- Flatten, Reshape. */

static tdsnn_status flatten_constant(td_lowerer *l, const td_source_node *node, int64_t axis) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    tdsnn_status status = td_check_numbers(l, node);
    if (status != TDSNN_OK) {
        return status;
    }
    axis += axis < 0 ? tensor->rank : 0;
    if (axis < 0 || axis > tensor->rank) {
        return td_broken(l, "its axis lies outside %s", td_dims_text(l, tensor));
    }
    int64_t dims[2] = {1, 1}; /* their product is the count, which was checked */
    for (int i = 0; i < tensor->rank; i++) {
        dims[i >= axis] *= tensor->dims[i];
    }
    return td_constant_view(l, node, 2, dims);
}

tdsnn_status td_lower_flatten(td_lowerer *l, const td_source_node *node) {
    int64_t axis = td_int_attribute(node, "axis", 1);
    if (td_input_constant(l, node, 0) != NULL) {
        return flatten_constant(l, node, axis);
    }
    int64_t dims[4];
    int rank = td_file_dims(l, td_input_value(l, node, 0), dims);
    bool equal = axis == 1 || axis == 1 - rank || /* axis 0 or -rank is [1, N*F] */
                 (fixed_batch(l) && (axis == 0 || axis == -rank));
    if (!equal) {
        return td_refuse(l, "axis %lld of %d is not supported; only axis 1, [N, F], is",
                         (long long)axis, rank);
    }
    return flatten(l, node);
}

/* Where a Reshape goes: entry i copies dimension i for 0 (unless allowzero), and one entry may be
 * -1, to be worked out; then `open` is its place. */
typedef struct target {
    int rank, open;
    int64_t dims[TD_MAX_RANK];
} target;

static tdsnn_status read_target(td_lowerer *l, const td_source_node *node, target *out) {
    const td_tensor *shape = td_input_constant(l, node, 1);
    const char *name = td_input_name(l, node, 1);
    if (shape->type != TD_TYPE_INT || shape->rank != 1) {
        return td_broken(l, "its shape '%s' is not a list of integers", name);
    }
    if (shape->count > TD_MAX_RANK) {
        return td_refuse(l, "it makes %zu dimensions; at most %d are supported", shape->count,
                         TD_MAX_RANK);
    }
    out->rank = (int)shape->count;
    out->open = -1;
    for (int i = 0; i < out->rank; i++) {
        bool batch = shape->ints[i] == TD_BATCH;
        if (batch && (i > 0 || td_input_constant(l, node, 0) != NULL)) {
            return td_refuse(l,
                             "entry %d of its shape '%s' is the size of the batch, which only "
                             "the first may be",
                             i, name);
        }
        out->dims[i] = batch ? 1 : shape->ints[i];
        if (out->dims[i] < -1 || (out->dims[i] == -1 && out->open >= 0)) {
            return td_broken(l, "entry %d of its shape '%s' is %lld", i, name,
                             (long long)out->dims[i]);
        }
        if (out->dims[i] == -1) {
            out->open = i;
        } else if (out->dims[i] == 0 && td_int_attribute(node, "allowzero", 0) != 0) {
            return td_refuse(l, "it makes a dimension of size 0 (allowzero), which holds nothing");
        }
    }
    return TDSNN_OK;
}

/* Replaces the zeros and the -1 of entries `first` .. by sizes: `dims` [rank] are those of the
 * input, `count` the elements that the entries must hold. */
static tdsnn_status resolve_target(td_lowerer *l, target *to, int first, int rank,
                                   const int64_t *dims, size_t count) {
    size_t product = 1;
    for (int i = first; i < to->rank; i++) {
        if (to->dims[i] == 0) {
            if (i >= rank) {
                return td_broken(l, "entry %d of its shape copies a dimension that is not there",
                                 i);
            }
            to->dims[i] = dims[i];
        }
        if (i != to->open && !td_size_mul(product, (size_t)to->dims[i], &product)) {
            product = 0;
        }
    }
    if (to->open >= first && product > 0 && count % product == 0) {
        to->dims[to->open] = (int64_t)(count / product);
        product = count;
    }
    if (product != count) {
        return td_broken(l, "its shape does not hold the %zu elements that go in", count);
    }
    return TDSNN_OK;
}

/* [N, C, H, W] to [N, groups, C/groups, H, W], or back. */
static bool is_regrouped(const td_value *value, td_shape s, const target *to) {
    const int64_t *d = to->dims;
    if (value->layout == TD_LAYOUT_GROUPED) {
        return to->rank == 4 && d[1] == s.c && d[2] == s.h && d[3] == s.w;
    }
    return value->layout == TD_LAYOUT_NCHW && !s.flat && to->rank == 5 && d[1] <= s.c &&
           s.c % d[1] == 0 && d[2] == s.c / d[1] && d[3] == s.h && d[4] == s.w;
}

static tdsnn_status regroup(td_lowerer *l, const td_source_node *node, const target *to) {
    const td_value *input = td_input_value(l, node, 0);
    bool grouped = input->layout == TD_LAYOUT_GROUPED;
    l->values[node->outputs[0]].groups = grouped ? 0 : (int)to->dims[1];
    return td_rearranged(l, node, input->draft, grouped ? TD_LAYOUT_NCHW : TD_LAYOUT_GROUPED,
                         "groups of channels, as they lie");
}

/* The first entry stands for the batch, be it written 1, 0 or -1; the rest is one sample. */
static tdsnn_status reshape_computed(td_lowerer *l, const td_source_node *node, target *to) {
    int64_t dims[4];
    const td_value *input = td_input_value(l, node, 0);
    int rank = td_file_dims(l, input, dims);
    td_shape shape = td_input_draft(l, node, 0)->shape;
    size_t count = td_shape_count(shape);
    if (to->rank < 1 || to->dims[0] > 1) {
        return td_refuse(l, "only [N, -1] and the shape it has already are supported, N being the "
                            "batch");
    }
    tdsnn_status status = resolve_target(l, to, 1, rank, dims, count);
    if (status != TDSNN_OK) {
        return status;
    }
    if (is_regrouped(input, shape, to)) {
        return regroup(l, node, to);
    }
    return input->layout != TD_LAYOUT_GROUPED
               ? view(l, node, to->rank, to->dims, true)
               : td_refuse(l, "of [N, groups, C, H, W] only the way back to [N, C, H, W] is "
                              "supported");
}

tdsnn_status td_lower_reshape(td_lowerer *l, const td_source_node *node) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    target to;
    tdsnn_status status = read_target(l, node, &to);
    if (status != TDSNN_OK || tensor == NULL) {
        return status == TDSNN_OK ? reshape_computed(l, node, &to) : status;
    }
    status = td_check_numbers(l, node);
    if (status == TDSNN_OK) {
        status = resolve_target(l, &to, 0, tensor->rank, tensor->dims, tensor->count);
    }
    return status == TDSNN_OK ? td_constant_view(l, node, to.rank, to.dims) : status;
}

/* ---- Squeeze, Unsqueeze, Gather. */

/* The dimensions in the file of a constant or computed input; their number. */
static int input_dims(const td_lowerer *l, const td_source_node *node, int64_t *dims) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    if (tensor == NULL) {
        return td_file_dims(l, td_input_value(l, node, 0), dims);
    }
    memcpy(dims, tensor->dims, sizeof tensor->dims);
    return tensor->rank;
}

/* Ends a row that gives its input other dimensions; the batch must stay where it is. */
static tdsnn_status view_as(td_lowerer *l, const td_source_node *node, bool batch_stays, int rank,
                            const int64_t *dims) {
    if (td_input_constant(l, node, 0) != NULL) {
        return td_constant_view(l, node, rank, dims);
    }
    return batch_stays && rank >= 2 ? td_view(l, node, rank, dims)
                                    : td_refuse(l, "it moves the axis of the batch");
}

/* Marks the axes that a Squeeze or Unsqueeze names, of `rank`. */
static tdsnn_status mark_axes(td_lowerer *l, const int64_t *axes, size_t count, int rank,
                              bool marked[TD_MAX_RANK]) {
    for (size_t i = 0; i < count; i++) {
        int axis;
        tdsnn_status status = td_read_axis(l, axes[i], rank, &axis);
        if (status != TDSNN_OK) {
            return status;
        }
        marked[axis] = true;
    }
    return TDSNN_OK;
}

tdsnn_status td_lower_squeeze(td_lowerer *l, const td_source_node *node) {
    int64_t dims[TD_MAX_RANK], left[TD_MAX_RANK];
    bool marked[TD_MAX_RANK] = {false};
    const int64_t *axes;
    size_t count;
    int rank = input_dims(l, node, dims), kept = 0;
    tdsnn_status status = td_int_list(l, node, "axes", 1, &axes, &count);
    if (status == TDSNN_OK) {
        status = mark_axes(l, axes, count, rank, marked);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    for (int i = 0; i < rank; i++) {
        bool goes = axes == NULL ? dims[i] == 1 : marked[i];
        if (goes && dims[i] != 1) {
            return td_broken(l, "axis %d, of size %lld, cannot go", i, (long long)dims[i]);
        }
        if (!goes) {
            left[kept++] = dims[i];
        }
    }
    return view_as(l, node, axes != NULL && !marked[0], kept, left);
}

tdsnn_status td_lower_unsqueeze(td_lowerer *l, const td_source_node *node) {
    int64_t dims[TD_MAX_RANK], made[TD_MAX_RANK];
    bool marked[TD_MAX_RANK] = {false};
    const int64_t *axes;
    size_t count;
    int rank = input_dims(l, node, dims), next = 0;
    tdsnn_status status = td_int_list(l, node, "axes", 1, &axes, &count);
    if (status != TDSNN_OK) {
        return status;
    }
    if (count > (size_t)(TD_MAX_RANK - rank)) {
        return td_refuse(l, "it makes more than %d dimensions", TD_MAX_RANK);
    }
    int more = rank + (int)count;
    status = mark_axes(l, axes, count, more, marked);
    for (int i = 0; status == TDSNN_OK && i < more; i++) {
        if (!marked[i] && next == rank) {
            return td_broken(l, "it names an axis twice");
        }
        made[i] = marked[i] ? 1 : dims[next++];
    }
    return status == TDSNN_OK ? view_as(l, node, !marked[0], more, made) : status;
}

/* Channels in another order, or some of them: from RGB to BGR, say. */
static tdsnn_status gather_channels(td_lowerer *l, const td_source_node *node,
                                    const td_tensor *index) {
    int size = td_input_draft(l, node, 0)->shape.c, draft;
    int *channels = td_arena_alloc(l->scratch, index->count, sizeof *channels);
    if (channels == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (index->type != TD_TYPE_INT || index->count < 1 || index->count > TD_MAX_EXTENT) {
        return td_refuse(l, "its indices '%s' are no list of integers", td_input_name(l, node, 1));
    }
    for (size_t i = 0; i < index->count; i++) {
        int64_t place = index->ints[i];
        if (place < -size || place >= size) {
            return td_broken(l, "its index %lld lies outside of %d channels", (long long)place,
                             size);
        }
        channels[i] = (int)(place < 0 ? place + size : place);
    }
    tdsnn_status status = td_choose_channels(l, node, channels, (int)index->count, &draft);
    if (status != TDSNN_OK) {
        return status;
    }
    td_bind_output(l, node, 0, draft);
    return td_kept_as(l, draft);
}

tdsnn_status td_lower_gather(td_lowerer *l, const td_source_node *node) {
    if (td_input_constant(l, node, 0) != NULL) {
        return td_constant_gather(l, node);
    }
    const td_tensor *index = td_input_constant(l, node, 1);
    int64_t dims[TD_MAX_RANK], left[TD_MAX_RANK];
    int rank = input_dims(l, node, dims), axis, kept = 0;
    tdsnn_status status = td_read_axis(l, td_int_attribute(node, "axis", 0), rank, &axis);
    if (status != TDSNN_OK) {
        return status;
    }
    if (axis == td_channel_axis(td_input_value(l, node, 0)) && index->rank == 1) {
        return gather_channels(l, node, index);
    }
    bool only = index->type == TD_TYPE_INT && index->rank == 0 && dims[axis] == 1 &&
                (index->ints[0] == 0 || index->ints[0] == -1);
    if (!only) {
        return td_refuse(l, "of a computed value it is supported for a list of channels, or index "
                            "0 of an axis of size 1, only");
    }
    for (int i = 0; i < rank; i++) {
        if (i != axis) {
            left[kept++] = dims[i];
        }
    }
    return view_as(l, node, axis != 0, kept, left);
}

/* ---- Transpose, Pad. */

/* perm[i] is the input's axis that becomes axis i; all of them, reversed, by default. */
static tdsnn_status read_permutation(td_lowerer *l, const td_source_node *node, int rank,
                                     int *perm) {
    const td_attribute *attribute = td_source_attribute(node, "perm");
    bool seen[TD_MAX_RANK] = {false};
    bool valid = attribute == NULL || attribute->count == (size_t)rank;
    for (int i = 0; valid && i < rank; i++) {
        int64_t axis = attribute == NULL ? rank - 1 - i : attribute->ints[i];
        valid = axis >= 0 && axis < rank && !seen[axis];
        if (valid) {
            seen[axis] = true;
            perm[i] = (int)axis;
        }
    }
    return valid ? TDSNN_OK : td_broken(l, "its perm is no order of %d axes", rank);
}

/* Whether only axes of size 1 change places among the others. */
static bool keeps_order(int rank, const int64_t *dims, const int *perm) {
    int before = -1;
    for (int i = 0; i < rank; i++) {
        if (i > 0 && dims[perm[i]] == 1) {
            continue;
        }
        if (perm[i] < before) {
            return false;
        }
        before = perm[i];
    }
    return true;
}

static bool is_order(const int *perm, const int order[4]) {
    return memcmp(perm, order, 4 * sizeof *perm) == 0;
}

static tdsnn_status transpose_computed(td_lowerer *l, const td_source_node *node, int rank,
                                       const int64_t *dims, const int *perm) {
    static const int to_last[4] = {0, 2, 3, 1}, to_first[4] = {0, 3, 1, 2};
    static const char reason[] = "changes the layout in the file only; here it is [C][H][W]";
    const td_value *input = td_input_value(l, node, 0);
    bool last = input->layout == TD_LAYOUT_NCHW && rank == 4 && is_order(perm, to_last);
    if (last || (input->layout == TD_LAYOUT_NHWC && is_order(perm, to_first))) {
        memcpy(l->values[node->outputs[0]].pads, input->pads, sizeof input->pads);
        return td_rearranged(l, node, input->draft, last ? TD_LAYOUT_NHWC : TD_LAYOUT_NCHW, reason);
    }
    if (perm[0] == 0 && !td_is_padded(input) && input->layout != TD_LAYOUT_FLAT_NHWC &&
        keeps_order(rank, dims, perm)) {
        int64_t permuted[4];
        for (int i = 0; i < rank; i++) {
            permuted[i] = dims[perm[i]];
        }
        return td_view(l, node, rank, permuted);
    }
    return td_refuse(l, "of %s only an exchange between [N, C, H, W] and [N, H, W, C] is supported",
                     td_value_text(l, input));
}

/* [N, groups, C/groups, H, W] with the two exchanged: a shuffle of the channels. */
static tdsnn_status shuffle(td_lowerer *l, const td_source_node *node) {
    static const int exchange[5] = {0, 2, 1, 3, 4};
    const td_value *input = td_input_value(l, node, 0);
    int perm[TD_MAX_RANK], groups = input->groups, draft;
    int channels = td_input_draft(l, node, 0)->shape.c;
    int *order = td_arena_alloc(l->scratch, (size_t)channels, sizeof *order);
    for (int c = 0; order != NULL && c < channels; c++) {
        order[c] = c % groups * (channels / groups) + c / groups;
    }
    tdsnn_status status = order == NULL ? TDSNN_ERR_RUNTIME : read_permutation(l, node, 5, perm);
    if (status == TDSNN_OK && memcmp(perm, exchange, sizeof exchange) != 0) {
        status = td_refuse(l, "of [N, groups, C, H, W] only an exchange of the groups with their "
                              "channels is supported");
    }
    if (status == TDSNN_OK) {
        status = td_choose_channels(l, node, order, channels, &draft);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    td_bind_output(l, node, 0, draft);
    l->values[node->outputs[0]].groups = channels / groups;
    return td_kept_as(l, draft);
}

tdsnn_status td_lower_transpose(td_lowerer *l, const td_source_node *node) {
    if (td_input_constant(l, node, 0) == NULL &&
        td_input_value(l, node, 0)->layout == TD_LAYOUT_GROUPED) {
        return shuffle(l, node);
    }
    int64_t dims[TD_MAX_RANK];
    int perm[TD_MAX_RANK], rank = input_dims(l, node, dims);
    bool constant = td_input_constant(l, node, 0) != NULL;
    tdsnn_status status = constant ? td_check_numbers(l, node) : TDSNN_OK;
    if (status == TDSNN_OK) {
        status = read_permutation(l, node, rank, perm);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    return constant ? td_constant_transpose(l, node, perm)
                    : transpose_computed(l, node, rank, dims, perm);
}

/* Whether a Pad puts zeros. */
static tdsnn_status check_zeros(td_lowerer *l, const td_source_node *node) {
    const char *mode = td_string_attribute(node, "mode", "constant");
    if (strcmp(mode, "constant") != 0) {
        return td_refuse(l, "mode %s is not supported; only zeros are", mode);
    }
    const td_tensor *tensor = td_input_constant(l, node, 2);
    double value = td_float_attribute(node, "value", 0.0);
    if (tensor != NULL && tensor->count > 0) {
        tdsnn_status status = td_check_floats(l, node, 2);
        if (status != TDSNN_OK) {
            return status;
        }
        value = (double)tensor->floats[0];
    }
    return value == 0.0 ? TDSNN_OK
                        : td_refuse(l, "it pads with %g; only zeros are supported", value);
}

/* One axis: `begin` and `end` zeros around it. */
static tdsnn_status pad_axis(td_lowerer *l, const td_value *input, int64_t axis, int64_t begin,
                             int64_t end, int pads[4]) {
    int64_t dims[4];
    int place, rank = td_file_dims(l, input, dims);
    tdsnn_status status = td_read_axis(l, axis, rank, &place);
    if (status != TDSNN_OK || (begin == 0 && end == 0)) {
        return status;
    }
    bool position = place > 0 && place != td_channel_axis(input);
    if (begin < 0 || end < 0 || !position) {
        return td_refuse(l,
                         "it adds %lld and %lld around axis %d of %s; supported are zeros around "
                         "the positions",
                         (long long)begin, (long long)end, place, td_value_text(l, input));
    }
    int64_t most = TD_MAX_EXTENT - dims[place];
    if (begin > most || end > most - begin) {
        return td_refuse(l, "its result is larger than %d", TD_MAX_EXTENT);
    }
    int x = place == (input->layout == TD_LAYOUT_NHWC ? 2 : rank - 1);
    pads[x] = (int)begin;
    pads[2 + x] = (int)end;
    return TDSNN_OK;
}

tdsnn_status td_lower_pad(td_lowerer *l, const td_source_node *node) {
    const td_value *input = td_input_value(l, node, 0);
    const int64_t *pads, *axes;
    size_t count, axis_count;
    int64_t dims[4];
    int zeros[4] = {0}, rank = td_file_dims(l, input, dims);
    tdsnn_status status = check_zeros(l, node);
    if (status == TDSNN_OK) {
        status = td_int_list(l, node, "pads", 1, &pads, &count);
    }
    if (status == TDSNN_OK) {
        status = td_int_list(l, node, "axes", 3, &axes, &axis_count);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (td_spatial_rank(l, input) == 0 && input->layout != TD_LAYOUT_NHWC) {
        return td_refuse(l, "its input is %s; only pictures and [N, C, L] are supported",
                         td_value_text(l, input));
    }
    axis_count = axes == NULL ? (size_t)rank : axis_count;
    if (count != 2 * axis_count) {
        return td_broken(l, "it has %zu pads for %zu axes", count, axis_count);
    }
    for (size_t i = 0; status == TDSNN_OK && i < axis_count; i++) {
        status = pad_axis(l, input, axes == NULL ? (int64_t)i : axes[i], pads[i],
                          pads[axis_count + i], zeros);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    memcpy(l->values[node->outputs[0]].pads, zeros, sizeof zeros);
    return td_rearranged(l, node, input->draft, input->layout,
                         "its zeros are folded into the window behind");
}
