#include "train/operators.h"

#include <float.h>
#include <string.h>

#include "train/loops.h"

/* ---- Point by point. */

typedef struct line { /* x < 0 times `below`, then to [low, high] */
    float below, low, high;
} line;

static line line_of(const td_node *node) {
    return (line){.below = node->op == TD_OP_LEAKY  ? node->negative
                           : node->op == TD_OP_RELU ? 0.0f
                                                    : 1.0f,
                  .low = node->op == TD_OP_CLIP ? node->low : -FLT_MAX,
                  .high = node->op == TD_OP_CLIP ? node->high : FLT_MAX};
}

TD_CLONES static void rectify(line l, const float *restrict x, size_t count, float *restrict y) {
    for (size_t i = 0; i < count; i++) {
        float v = x[i] < 0.0f ? l.below * x[i] : x[i];
        v = v < l.low ? l.low : v;
        y[i] = v > l.high ? l.high : v;
    }
}

void td_rectify(const td_node *node, const float *x, size_t count, float *y) {
    rectify(line_of(node), x, count, y);
}

TD_CLONES static void rectify_backward(line l, const float *restrict x, const float *restrict dy,
                                       size_t count, bool add, float *restrict dx) {
    for (size_t i = 0; i < count; i++) {
        float slope = x[i] > 0.0f ? 1.0f : l.below;
        slope = x[i] > l.low && x[i] < l.high ? slope : 0.0f;
        dx[i] = (add ? dx[i] : 0.0f) + slope * dy[i];
    }
}

void td_rectify_backward(const td_node *node, const float *x, const float *dy, size_t count,
                         bool add, float *dx) {
    rectify_backward(line_of(node), x, dy, count, add, dx);
}

TD_CLONES static void add_to(const float *restrict x, size_t count, float *restrict y) {
    for (size_t i = 0; i < count; i++) {
        y[i] += x[i];
    }
}

void td_copy_values(const float *x, size_t count, bool add, float *y) {
    if (add) {
        add_to(x, count, y);
    } else {
        memcpy(y, x, count * sizeof *x);
    }
}

/* ---- Pools. */

TD_CLONES static void take_larger(const float *restrict x, int32_t index, size_t channels,
                                  float *restrict y, int32_t *restrict chosen) {
    for (size_t c = 0; c < channels; c++) {
        bool larger = x[c] > y[c];
        y[c] = larger ? x[c] : y[c];
        chosen[c] = larger ? index + (int32_t)c : chosen[c];
    }
}

TD_CLONES static void add_scaled(const float *restrict x, float factor, size_t count,
                                 float *restrict y) {
    for (size_t i = 0; i < count; i++) {
        y[i] += factor * x[i];
    }
}

/* The members of one output's window. */
typedef struct members {
    int ky0, ky1, kx0, kx1;
} members;

static members members_at(const td_node *node, td_shape in, int oy, int ox) {
    members m;
    td_axis_taps(&node->window.y, oy, in.h, &m.ky0, &m.ky1);
    td_axis_taps(&node->window.x, ox, in.w, &m.kx0, &m.kx1);
    return m;
}

static float mean_factor(const td_node *node, members m) {
    int count = node->count_padding ? node->window.y.kernel * node->window.x.kernel
                                    : (m.ky1 - m.ky0) * (m.kx1 - m.kx0);
    return count > 0 ? 1.0f / (float)count : 0.0f;
}

/* The place of a member's first channel in its sample. */
static size_t member(const td_node *node, td_shape in, int oy, int ox, int ky, int kx) {
    int y = td_axis_input(&node->window.y, oy, ky), x = td_axis_input(&node->window.x, ox, kx);
    return ((size_t)y * (size_t)in.w + (size_t)x) * (size_t)in.c;
}

static void pool_pixel(const td_node *node, td_shape in, int oy, int ox, const float *x, float *y,
                       int32_t *chosen) {
    size_t channels = (size_t)in.c;
    members m = members_at(node, in, oy, ox);
    float factor = mean_factor(node, m);
    for (size_t c = 0; c < channels; c++) {
        y[c] = chosen != NULL && m.ky0 < m.ky1 && m.kx0 < m.kx1 ? -FLT_MAX : 0.0f;
        if (chosen != NULL) {
            chosen[c] = -1;
        }
    }
    for (int ky = m.ky0; ky < m.ky1; ky++) {
        for (int kx = m.kx0; kx < m.kx1; kx++) {
            size_t at = member(node, in, oy, ox, ky, kx);
            if (chosen != NULL) {
                take_larger(x + at, (int32_t)at, channels, y, chosen);
            } else {
                add_scaled(x + at, factor, channels, y);
            }
        }
    }
}

void td_pool(const td_node *node, td_shape in, int samples, const float *x, float *y,
             int32_t *chosen) {
    td_shape out = node->shape;
    for (int n = 0; n < samples; n++) {
        for (int oy = 0; oy < out.h; oy++) {
            for (int ox = 0; ox < out.w; ox++) {
                size_t at = ((size_t)oy * (size_t)out.w + (size_t)ox) * (size_t)out.c;
                pool_pixel(node, in, oy, ox, x, y + at, chosen == NULL ? NULL : chosen + at);
            }
        }
        x += td_shape_count(in);
        y += td_shape_count(out);
        chosen = chosen == NULL ? NULL : chosen + td_shape_count(out);
    }
}

static void pool_pixel_backward(const td_node *node, td_shape in, int oy, int ox, const float *dy,
                                const int32_t *chosen, float *dx) {
    size_t channels = (size_t)in.c;
    members m = members_at(node, in, oy, ox);
    if (chosen != NULL) {
        for (size_t c = 0; c < channels; c++) {
            if (chosen[c] >= 0) {
                dx[chosen[c]] += dy[c];
            }
        }
        return;
    }
    float factor = mean_factor(node, m);
    for (int ky = m.ky0; ky < m.ky1; ky++) {
        for (int kx = m.kx0; kx < m.kx1; kx++) {
            add_scaled(dy, factor, channels, dx + member(node, in, oy, ox, ky, kx));
        }
    }
}

void td_pool_backward(const td_node *node, td_shape in, int samples, const float *dy,
                      const int32_t *chosen, bool add, float *dx) {
    td_shape out = node->shape;
    if (!add) {
        memset(dx, 0, (size_t)samples * td_shape_count(in) * sizeof *dx);
    }
    for (int n = 0; n < samples; n++) {
        for (int oy = 0; oy < out.h; oy++) {
            for (int ox = 0; ox < out.w; ox++) {
                size_t at = ((size_t)oy * (size_t)out.w + (size_t)ox) * (size_t)out.c;
                pool_pixel_backward(node, in, oy, ox, dy + at, chosen == NULL ? NULL : chosen + at,
                                    dx);
            }
        }
        dx += td_shape_count(in);
        dy += td_shape_count(out);
        chosen = chosen == NULL ? NULL : chosen + td_shape_count(out);
    }
}

/* ---- Channels. */

void td_take_channels(const float *x, size_t rows, size_t channels, size_t first, size_t count,
                      bool add, float *y) {
    for (size_t r = 0; r < rows; r++) {
        td_copy_values(x + r * channels + first, count, add, y + r * count);
    }
}

void td_put_channels(const float *x, size_t rows, size_t count, size_t first, size_t channels,
                     bool add, float *y) {
    for (size_t r = 0; r < rows; r++) {
        td_copy_values(x + r * count, count, add, y + r * channels + first);
    }
}

/* y[columns][rows] = x[rows][columns], for every sample. */
static void transpose(size_t samples, size_t rows, size_t columns, const float *x, bool add,
                      float *y) {
    for (size_t n = 0; n < samples; n++) {
        for (size_t r = 0; r < rows; r++) {
            for (size_t c = 0; c < columns; c++) {
                float kept = add ? y[c * rows + r] : 0.0f;
                y[c * rows + r] = kept + x[r * columns + c];
            }
        }
        x += rows * columns;
        y += rows * columns;
    }
}

void td_channels_last(td_shape shape, int samples, const float *x, bool add, float *y) {
    transpose((size_t)samples, (size_t)shape.c, (size_t)shape.h * (size_t)shape.w, x, add, y);
}

void td_channels_first(td_shape shape, int samples, const float *x, bool add, float *y) {
    transpose((size_t)samples, (size_t)shape.h * (size_t)shape.w, (size_t)shape.c, x, add, y);
}
