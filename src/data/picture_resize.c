/* Bilinear reduction that does not alias: each new pixel is the mean of the old ones under a
 * triangle, 1 pixel to either side, or as many as one new pixel is wide. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/picture_internal.h"

/* Fixed-point weights: 8 bits of pixel and 2 of headroom are left of 32. */
#define WEIGHT_BITS 22

/* For each new pixel of a line the old ones it is made of. */
typedef struct filter {
    int taps;     /* the most that any has */
    int *first;   /* [count] */
    int *used;    /* [count] */
    int *weights; /* [count][taps] */
} filter;

static void filter_free(filter *f) {
    td_free(f->first);
    td_free(f->used);
    td_free(f->weights);
}

/* Weights of new pixel `index` in double, by `line` [taps], summing to 1. */
static void weigh(filter *f, int from, int to, int index, double *line) {
    double step = (double)from / to, width = step < 1.0 ? 1.0 : step;
    double centre = (index + 0.5) * step, sum = 0.0;
    int first = (int)(centre - width + 0.5), end = (int)(centre + width + 0.5);
    first = first < 0 ? 0 : first;
    end = end > from ? from : end;
    for (int i = 0; i < end - first; i++) {
        double distance = fabs((i + first - centre + 0.5) * (1.0 / width));
        line[i] = distance < 1.0 ? 1.0 - distance : 0.0;
        sum += line[i];
    }
    f->first[index] = first;
    f->used[index] = end - first;
    for (int i = 0; i < end - first; i++) {
        double weight = sum != 0.0 ? line[i] / sum : line[i];
        f->weights[(size_t)index * (size_t)f->taps + (size_t)i] =
            (int)(0.5 + weight * (1 << WEIGHT_BITS));
    }
}

/* From a line of `from` pixels to one of `to`. */
static tdsnn_status filter_create(tdsnn_context *ctx, int from, int to, filter *f) {
    double step = (double)from / to;
    f->taps = 2 * (int)ceil(step < 1.0 ? 1.0 : step) + 1;
    f->first = td_alloc(ctx, (size_t)to, sizeof *f->first);
    f->used = td_alloc(ctx, (size_t)to, sizeof *f->used);
    f->weights = td_alloc(ctx, (size_t)to * (size_t)f->taps, sizeof *f->weights);
    double *line = td_alloc(ctx, (size_t)f->taps, sizeof *line);
    bool made = f->first != NULL && f->used != NULL && f->weights != NULL && line != NULL;
    for (int i = 0; made && i < to; i++) {
        weigh(f, from, to, i, line);
    }
    td_free(line);
    return made ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

/* The weighted sum of `count` pixels `stride` bytes apart, rounded. */
static unsigned char mix(const unsigned char *pixel, size_t stride, const int *weights, int count) {
    int sum = 1 << (WEIGHT_BITS - 1);
    for (int i = 0; i < count; i++) {
        sum += pixel[(size_t)i * stride] * weights[i];
    }
    sum >>= WEIGHT_BITS;
    return (unsigned char)(sum > 255 ? 255 : sum);
}

/* Makes the lines of a picture `to` pixels long; its rows, or its columns. */
static tdsnn_status resize_lines(tdsnn_context *ctx, int to, bool columns, td_picture *picture) {
    int from = columns ? picture->height : picture->width;
    if (from == to) {
        return TDSNN_OK;
    }
    filter f = {0};
    td_picture made = {0};
    tdsnn_status status =
        td_picture_create(ctx, columns ? picture->width : to, columns ? to : picture->height,
                          picture->channels, &made);
    if (status == TDSNN_OK) {
        status = filter_create(ctx, from, to, &f);
    }
    size_t pixel = (size_t)picture->channels, row = (size_t)picture->width * pixel;
    size_t new_row = (size_t)made.width * pixel;
    for (size_t y = 0; status == TDSNN_OK && y < (size_t)made.height; y++) {
        for (size_t i = 0; i < new_row; i++) {
            size_t new = columns ? y : i / pixel, first = (size_t)f.first[new];
            size_t start = columns ? first * row + i : y * row + first * pixel + i % pixel;
            made.pixels[y * new_row + i] = mix(picture->pixels + start, columns ? row : pixel,
                                               f.weights + new *(size_t)f.taps, f.used[new]);
        }
    }
    filter_free(&f);
    if (status != TDSNN_OK) {
        td_picture_free(&made);
        return status;
    }
    td_picture_free(picture);
    *picture = made;
    return TDSNN_OK;
}

tdsnn_status td_picture_resize(tdsnn_context *ctx, int size, td_picture *picture) {
    int64_t width = picture->width, height = picture->height;
    int64_t shorter = width < height ? width : height;
    width = width * size / shorter;
    height = height * size / shorter;
    if (width > TD_PICTURE_SIDE || height > TD_PICTURE_SIDE) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%d x %d pixels cannot be resized to %lld x %lld: a side has at most %d",
                        picture->width, picture->height, (long long)width, (long long)height,
                        TD_PICTURE_SIDE);
    }
    tdsnn_status status = resize_lines(ctx, (int)width, false, picture);
    return status == TDSNN_OK ? resize_lines(ctx, (int)height, true, picture) : status;
}
