/* Batch-norm and its gradients against their definition in double. */
#include "train/norm.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "tap.h"
#include "train/learner.h"
#include "train/loops.h"

typedef struct problem {
    size_t rows, channels, count;
    float *x, *dy, *out;                                               /* [rows][channels] */
    float *about, *mean, *variance, *gain, *shift, *factors, *offsets; /* [channels] */
    float *gain_gradient, *shift_gradient;
} problem;

static float *floats(size_t count) {
    return td_alloc(NULL, count + TD_SPARE, sizeof(float));
}

static problem make_problem(size_t rows, size_t channels) {
    problem p = {.rows = rows, .channels = channels, .count = rows * channels};
    td_random random;
    td_random_seed(&random, rows, channels);
    float **wide[] = {&p.x, &p.dy, &p.out};
    float **narrow[] = {&p.about,   &p.mean,    &p.variance,      &p.gain,          &p.shift,
                        &p.factors, &p.offsets, &p.gain_gradient, &p.shift_gradient};
    for (size_t i = 0; i < 3; i++) {
        *wide[i] = floats(p.count);
    }
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        *narrow[i] = floats(channels);
    }
    for (size_t c = 0; c < channels; c++) {
        double mean = 2.0 * td_random_normal(&random);
        p.about[c] = (float)(mean + 0.3 * td_random_normal(&random));
        p.gain[c] = (float)(1.0 + 0.3 * td_random_normal(&random));
        p.shift[c] = (float)td_random_normal(&random);
        for (size_t r = 0; r < rows; r++) {
            p.x[r * channels + c] =
                (float)(mean + (0.5 + (double)(c % 5)) * td_random_normal(&random));
            p.dy[r * channels + c] = (float)(0.1 + td_random_normal(&random));
        }
    }
    return p;
}

static void free_problem(problem *p) {
    float *all[] = {p->x,    p->dy,    p->out,     p->about,   p->mean,          p->variance,
                    p->gain, p->shift, p->factors, p->offsets, p->gain_gradient, p->shift_gradient};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        td_free(all[i]);
    }
}

/* Floats are added at most 64 tiles long before they go to a double; their terms have a few
 * roundings of their own. */
#define SUM_ERROR (70.0 * 0.5 * FLT_EPSILON)

static size_t check_survey(problem *p) {
    size_t wrong = 0;
    td_norm_survey(p->x, p->rows, p->channels, p->about, p->mean, p->variance);
    for (size_t c = 0; c < p->channels; c++) {
        double sum = 0.0, offs = 0.0, squares = 0.0, variance = 0.0;
        for (size_t r = 0; r < p->rows; r++) {
            double v = p->x[r * p->channels + c], off = v - (double)p->about[c];
            sum += v;
            offs += fabs(off);
            squares += off * off;
        }
        double n = (double)p->rows, mean = sum / n;
        for (size_t r = 0; r < p->rows; r++) {
            variance += pow(p->x[r * p->channels + c] - mean, 2.0) / n;
        }
        wrong += !(fabs(p->mean[c] - mean) <= SUM_ERROR * offs / n + FLT_EPSILON * fabs(mean));
        wrong += !(fabs(p->variance[c] - variance) <= 3.0 * SUM_ERROR * squares / n);
    }
    return wrong;
}

static size_t check_forward(problem *p, bool in_place) {
    size_t wrong = 0;
    td_norm_factors(p->channels, p->mean, p->variance, p->gain, p->shift, p->factors, p->offsets);
    float *x = p->x;
    if (in_place) {
        memcpy(p->out, p->x, p->count * sizeof *x);
        x = p->out;
    }
    td_scale_channels(x, p->rows, p->channels, p->factors, p->offsets, p->out);
    for (size_t i = 0; i < p->count; i++) {
        size_t c = i % p->channels;
        double scale = p->gain[c] / sqrt((double)p->variance[c] + (double)TD_NORM_EPSILON);
        double wanted = scale * ((double)p->x[i] - (double)p->mean[c]) + (double)p->shift[c];
        double magnitude = fabs(scale) * (fabs(p->x[i]) + fabs(p->mean[c])) + fabs(p->shift[c]);
        wrong += !(fabs(p->out[i] - wanted) <= 4.0 * FLT_EPSILON * magnitude);
    }
    return wrong;
}

/* One channel's gradients by definition; counts the wrong ones. */
static size_t check_channel(const problem *p, const float *dx, size_t c) {
    double n = (double)p->rows, mean = p->mean[c];
    double r = 1.0 / sqrt((double)p->variance[c] + (double)TD_NORM_EPSILON);
    double sum = 0.0, product = 0.0, magnitude = 0.0, products = 0.0, most_x = 0.0, most_g = 0.0;
    for (size_t row = 0; row < p->rows; row++) {
        double g = p->dy[row * p->channels + c], off = p->x[row * p->channels + c] - mean;
        sum += g;
        product += g * off * r;
        magnitude += fabs(g);
        products += fabs(g * off * r);
        most_x = fmax(most_x, fabs(off) * r + fabs(mean) * r);
        most_g = fmax(most_g, fabs(g));
    }
    size_t wrong = !(fabs(p->shift_gradient[c] - sum) <= SUM_ERROR * magnitude);
    wrong += !(fabs(p->gain_gradient[c] - product) <= SUM_ERROR * products);
    for (size_t row = 0; row < p->rows; row++) {
        double g = p->dy[row * p->channels + c], norm = (p->x[row * p->channels + c] - mean) * r;
        double scale = p->gain[c] * r, wanted = scale * (g - sum / n - norm * product / n);
        double most = SUM_ERROR * fabs(scale) * (most_g + magnitude / n + most_x * products / n);
        wrong += !(fabs(dx[row * p->channels + c] - wanted) <= most);
    }
    return wrong;
}

static size_t check_backward(problem *p, bool in_place) {
    float *kept = floats(p->count), *x = p->x;
    memcpy(kept, x, p->count * sizeof *x);
    td_norm_backward(kept, p->dy, p->rows, p->channels, p->mean, p->variance, p->gain,
                     p->gain_gradient, p->shift_gradient, in_place ? kept : p->out);
    size_t wrong = 0;
    for (size_t c = 0; c < p->channels; c++) {
        wrong += check_channel(p, in_place ? kept : p->out, c);
    }
    td_free(kept);
    return wrong;
}

static void test(size_t rows, size_t channels) {
    problem p = make_problem(rows, channels);
    size_t moments = check_survey(&p);
    size_t values = check_forward(&p, false) + check_forward(&p, true);
    size_t slopes = check_backward(&p, false) + check_backward(&p, true);
    ok(moments == 0 && values == 0 && slopes == 0,
       "%zu rows of %zu channels: %zu moments, %zu values, %zu gradients are wrong", rows, channels,
       moments, values, slopes);
    free_problem(&p);
}

/* Rows alike have no variance, and not one below 0; their norm is the shift. */
static void test_constant(void) {
    float x[40 + TD_SPARE], mean[2 + TD_SPARE], variance[2 + TD_SPARE];
    for (int i = 0; i < 40; i++) {
        x[i] = i % 2 == 0 ? 1234.567f : -0.1f;
    }
    td_norm_survey(x, 20, 2, (float[2]){0.0f, 0.0f}, mean, variance);
    ok(variance[0] >= 0.0f && variance[0] < 1.0f && variance[1] >= 0.0f && variance[1] < 1e-7f,
       "rows alike: variances %g and %g", (double)variance[0], (double)variance[1]);
}

int main(void) {
    static const size_t channels[] = {1, 3, 16, 17, 512, 513, 1100};
    static const size_t rows[] = {1, 2, 3, 31, 32, 33, 171, 1000};
    for (size_t c = 0; c < sizeof channels / sizeof *channels; c++) {
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            test(rows[r], channels[c]);
        }
    }
    test(70000, 3); /* many sums of tiles */
    test_constant();
    return tap_end();
}
