/* Shapes of one sample, and the windows of convolutions and pools. */
#ifndef TD_GRAPH_SHAPE_H
#define TD_GRAPH_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

/* One sample of a population, [C][H][W]. An inner product's is [N][1][1] and `flat`: in ONNX it
 * has two dimensions with the batch, not four. */
typedef struct td_shape {
    int c, h, w;
    bool flat;
} td_shape;

static inline size_t td_shape_count(td_shape s) {
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

/* How output positions see input positions: tap k of output o reads input
 * o * stride - pad_begin + k * dilation, and is absent where that lies outside the input. */
typedef struct td_axis {
    int kernel, stride, dilation, pad_begin, pad_end;
} td_axis;

typedef struct td_window {
    td_axis y, x;
} td_window;

/* The input position of tap k at output o; may lie outside. */
static inline int td_axis_input(const td_axis *a, int o, int k) {
    return o * a->stride - a->pad_begin + k * a->dilation;
}

/* The taps [*first, *end) of output o that lie inside an input of `size`. */
static inline void td_axis_taps(const td_axis *a, int o, int size, int *first, int *end) {
    int origin = o * a->stride - a->pad_begin;
    *first = origin >= 0 ? 0 : (-origin + a->dilation - 1) / a->dilation;
    *end = origin >= size ? 0 : (size - origin + a->dilation - 1) / a->dilation;
    if (*end > a->kernel) {
        *end = a->kernel;
    }
    if (*first > *end) {
        *first = *end;
    }
}

/* The number of taps of all outputs that lie inside the input: the border-aware factor of an
 * axis in every count of multiply-adds and synapses. */
static inline size_t td_axis_total(const td_axis *a, int outputs, int size) {
    size_t total = 0;
    for (int o = 0; o < outputs; o++) {
        int first, end;
        td_axis_taps(a, o, size, &first, &end);
        total += (size_t)(end - first);
    }
    return total;
}

/* No kernel, stride, dilation, pad or dimension is above this; lowering refuses larger ones. Sums
 * and products of a few of them then fit int where td_axis_input needs that. */
#define TD_MAX_EXTENT (1 << 28)

/* The number of outputs along an axis over an input of `size`; 0 where the window does not fit. */
static inline int td_axis_outputs(const td_axis *a, int size) {
    long long room = (long long)size + a->pad_begin + a->pad_end -
                     ((long long)(a->kernel - 1) * a->dilation + 1);
    return room < 0 ? 0 : (int)(room / a->stride + 1);
}

/* A window of one tap: what an inner product reads of [N][1][1]. */
#define TD_WINDOW_ONE ((td_window){{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}})

#endif
