/* The gradient of a convolution's weights where pictures are of few pixels. oneDNN's convolutions
 * read and write all weights once a sample, which then takes longer than the products; here they
 * are written once, by one product of matrices over the whole batch. */
#include <string.h>

#include "dense/onednn_internal.h"

/* More pixels, and oneDNN's own way is as quick. */
#define MOST_PIXELS 8

/* What the columns of the samples at one time may take: 4 MiB. */
#define MOST_FLOATS ((size_t)1 << 20)

bool td_onednn_columns_pay(const td_linear_geometry *g) {
    return !g->in.flat && g->groups == 1 && g->out.h * g->out.w <= MOST_PIXELS;
}

/* Weights of one output channel: the length of a column. */
static size_t column_length(const td_linear_geometry *g) {
    return (size_t)g->in.c * (size_t)g->window.y.kernel * (size_t)g->window.x.kernel;
}

/* Samples at one time. */
static int samples_at_once(const td_linear_geometry *g) {
    size_t most = MOST_FLOATS / (column_length(g) * (size_t)(g->out.h * g->out.w));
    return most < 1 ? 1 : most < (size_t)g->batch ? (int)most : g->batch;
}

size_t td_onednn_columns_bytes(const td_linear_geometry *g) {
    return (size_t)samples_at_once(g) * (size_t)(g->out.h * g->out.w) * column_length(g) *
           sizeof(float);
}

/* What output (y, x) of a sample reads, [Cin][kh][kw] as its weights lie; 0 in the padding. */
static void gather_column(const td_linear_geometry *g, const float *input, int y, int x,
                          float *column) {
    const td_axis *ay = &g->window.y, *ax = &g->window.x;
    size_t channels = (size_t)g->in.c, taps = (size_t)ay->kernel * (size_t)ax->kernel;
    int ky0, ky1, kx0, kx1;
    td_axis_taps(ay, y, g->in.h, &ky0, &ky1);
    td_axis_taps(ax, x, g->in.w, &kx0, &kx1);
    memset(column, 0, channels * taps * sizeof *column);
    for (int ky = ky0; ky < ky1; ky++) {
        const float *row = input + (size_t)td_axis_input(ay, y, ky) * (size_t)g->in.w * channels;
        for (int kx = kx0; kx < kx1; kx++) {
            const float *pixel = row + (size_t)td_axis_input(ax, x, kx) * channels;
            float *to = column + (size_t)ky * (size_t)ax->kernel + (size_t)kx;
            for (size_t i = 0; i < channels; i++) {
                to[i * taps] = pixel[i];
            }
        }
    }
}

static void gather(const td_linear_geometry *g, const float *input, int samples, float *columns) {
    for (int sample = 0; sample < samples; sample++) {
        for (int y = 0; y < g->out.h; y++) {
            for (int x = 0; x < g->out.w; x++) {
                gather_column(g, input, y, x, columns);
                columns += column_length(g);
            }
        }
        input += td_shape_count(g->in);
    }
}

dnnl_status_t td_onednn_columns_run(const td_linear_geometry *g, const td_linear_arrays *arrays,
                                    float *columns) {
    dnnl_dim_t channels = g->out.c, length = (dnnl_dim_t)column_length(g);
    int pixels = g->out.h * g->out.w, most = samples_at_once(g), samples;
    dnnl_status_t status = dnnl_success;
    for (int first = 0; first < g->batch && status == dnnl_success; first += samples) {
        samples = g->batch - first < most ? g->batch - first : most;
        gather(g, arrays->input + (size_t)first * td_shape_count(g->in), samples, columns);
        status = dnnl_sgemm('T', 'N', channels, length, (dnnl_dim_t)samples * pixels, 1.0f,
                            arrays->output + (size_t)first * td_shape_count(g->out), channels,
                            columns, length, first == 0 ? 0.0f : 1.0f, arrays->weights, length);
    }
    if (arrays->bias != NULL) {
        td_plain_sum_bias(g, arrays->output, arrays->bias);
    }
    return status;
}
