/* Windows of convolutions and pools: the attributes and their arithmetic. */
#include <string.h>

#include "graph/lower_internal.h"

/* Reads a list attribute of exactly `count` entries in low .. TD_MAX_EXTENT; without it all are
 * `otherwise`. */
static tdsnn_status read_list(td_lowerer *l, const td_source_node *node, const char *name,
                              size_t count, int64_t low, int otherwise, int *out) {
    const td_attribute *attribute = td_source_attribute(node, name);
    if (attribute != NULL && attribute->count != count) {
        return td_broken(l, "its %s has %zu entries; its window takes %zu", name, attribute->count,
                         count);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t value = attribute == NULL ? otherwise : attribute->ints[i];
        if (value < low || value > TD_MAX_EXTENT) {
            return td_broken(l, "entry %zu of its %s is %lld; it must be in %lld .. %d", i, name,
                             (long long)value, (long long)low, TD_MAX_EXTENT);
        }
        out[i] = (int)value;
    }
    return TDSNN_OK;
}

/* From the first to the last tap of one output. */
static int64_t span(const td_axis *axis) {
    return (int64_t)(axis->kernel - 1) * axis->dilation + 1;
}

/* SAME: ceil(size / stride) outputs; the pads are what that takes, the odd one at the end (UPPER)
 * or at the beginning (LOWER). False where they are out of bounds. */
static bool pad_same(td_axis *axis, int size, bool upper) {
    int64_t outputs = ((int64_t)size + axis->stride - 1) / axis->stride;
    int64_t total = (outputs - 1) * axis->stride + span(axis) - size;
    if (total > TD_MAX_EXTENT) {
        return false;
    }
    int pads = total < 0 ? 0 : (int)total;
    axis->pad_begin = upper ? pads / 2 : pads - pads / 2;
    axis->pad_end = pads - axis->pad_begin;
    return true;
}

/* Whether all runtimes agree on SAME in a pool: ONNX Runtime 1.x overlooks dilations there, and
 * shifts windows where the pads would be negative. */
static bool same_is_clear(const td_axis *axis, int size) {
    int64_t outputs = ((int64_t)size + axis->stride - 1) / axis->stride;
    return axis->dilation == 1 && (outputs - 1) * axis->stride + axis->kernel >= size;
}

/* ceil_mode: one more output where the last window hangs over the end, unless it would begin in
 * the padding behind the input. Said by a larger pad, so that the usual rule gives that output. */
static void pad_ceil(td_axis *axis, int size) {
    int64_t room = (int64_t)size + axis->pad_begin + axis->pad_end - span(axis);
    if (room < 0 || room % axis->stride == 0) {
        return;
    }
    int64_t begin = (room / axis->stride + 1) * axis->stride; /* of the window that hangs over */
    if (begin < (int64_t)size + axis->pad_begin) {
        axis->pad_end += (int)(axis->stride - room % axis->stride);
    }
}

/* The attribute `pads` into an all but empty window; both axes' begins come first in the file. */
static tdsnn_status read_pads(td_lowerer *l, const td_source_node *node, int rank,
                              td_window *window) {
    int pads[4];
    tdsnn_status status = read_list(l, node, "pads", 2 * (size_t)rank, 0, 0, pads);
    if (status != TDSNN_OK) {
        return status;
    }
    window->x.pad_begin = pads[rank - 1];
    window->x.pad_end = pads[2 * rank - 1];
    if (rank == 2) {
        window->y.pad_begin = pads[0];
        window->y.pad_end = pads[2];
    }
    return TDSNN_OK;
}

/* auto_pad and ceil_mode over an input of h and w. */
static tdsnn_status set_pads(td_lowerer *l, const td_source_node *node, int h, int w,
                             td_window *window) {
    td_axis *y = &window->y, *x = &window->x;
    const char *mode = td_string_attribute(node, "auto_pad", "NOTSET");
    bool ceil_mode = td_int_attribute(node, "ceil_mode", 0) != 0;
    if (strcmp(mode, "NOTSET") == 0) {
        if (ceil_mode) {
            pad_ceil(y, h);
            pad_ceil(x, w);
        }
        return TDSNN_OK;
    }
    if (y->pad_begin != 0 || x->pad_begin != 0 || y->pad_end != 0 || x->pad_end != 0) {
        return td_broken(l, "it has both auto_pad %s and pads; keep one of them", mode);
    }
    if (strcmp(mode, "VALID") == 0) {
        return !ceil_mode ? TDSNN_OK
                          : td_refuse(l, "auto_pad VALID with ceil_mode is not supported; write "
                                         "pads instead of auto_pad");
    }
    if (strcmp(node->op, "Conv") != 0 && (!same_is_clear(y, h) || !same_is_clear(x, w))) {
        return td_refuse(l,
                         "auto_pad %s with dilations, or with strides that leave gaps, is not "
                         "supported in a pool: runtimes differ there; write pads instead",
                         mode);
    }
    bool upper = strcmp(mode, "SAME_UPPER") == 0;
    if (!upper && strcmp(mode, "SAME_LOWER") != 0) {
        return td_broken(l, "its auto_pad is '%s', which is no mode of ONNX", mode);
    }
    if (!pad_same(y, h, upper) || !pad_same(x, w, upper)) {
        return td_broken(l, "its window is too large for auto_pad %s", mode);
    }
    return TDSNN_OK;
}

/* Kernel, strides, dilations and pads as they are written. */
static tdsnn_status read_window(td_lowerer *l, const td_source_node *node, int rank,
                                const int64_t *kernel, td_window *window) {
    int strides[2], dilations[2];
    for (int i = 0; i < rank; i++) {
        if (kernel[i] < 1 || kernel[i] > TD_MAX_EXTENT) {
            return td_broken(l, "its kernel has a side of %lld", (long long)kernel[i]);
        }
    }
    tdsnn_status status = read_list(l, node, "strides", (size_t)rank, 1, 1, strides);
    if (status == TDSNN_OK) {
        status = read_list(l, node, "dilations", (size_t)rank, 1, 1, dilations);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    int last = rank - 1;
    *window = TD_WINDOW_ONE;
    window->x = (td_axis){(int)kernel[last], strides[last], dilations[last], 0, 0};
    if (rank == 2) {
        window->y = (td_axis){(int)kernel[0], strides[0], dilations[0], 0, 0};
    }
    return read_pads(l, node, rank, window);
}

/* The zeros of a Pad become part of the window's own padding. */
static tdsnn_status add_zeros(td_lowerer *l, const int zeros[4], td_window *window) {
    int *pads[4] = {&window->y.pad_begin, &window->x.pad_begin, &window->y.pad_end,
                    &window->x.pad_end};
    for (int i = 0; i < 4; i++) {
        if (zeros[i] > TD_MAX_EXTENT - *pads[i]) {
            return td_refuse(l, "it has more than %d zeros at one side", TD_MAX_EXTENT);
        }
        *pads[i] += zeros[i];
    }
    return TDSNN_OK;
}

tdsnn_status td_lower_window(td_lowerer *l, const td_source_node *node, int rank,
                             const int64_t *kernel, td_shape *shape, td_window *window) {
    const int *zeros = td_input_value(l, node, 0)->pads;
    /* td_lower_pad bounds the padded sides by TD_MAX_EXTENT */
    int padded_h = zeros[0] + shape->h + zeros[2], padded_w = zeros[1] + shape->w + zeros[3];
    tdsnn_status status = read_window(l, node, rank, kernel, window);
    if (status == TDSNN_OK) {
        status = set_pads(l, node, padded_h, padded_w, window);
    }
    if (status == TDSNN_OK) {
        status = add_zeros(l, zeros, window);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    int h = td_axis_outputs(&window->y, shape->h), w = td_axis_outputs(&window->x, shape->w);
    if (h == 0 || w == 0) {
        return td_broken(l, "its window does not fit into its input of %dx%d", shape->h, shape->w);
    }
    shape->h = h;
    shape->w = w;
    return TDSNN_OK;
}
