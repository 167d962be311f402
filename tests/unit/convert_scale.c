/* Scales by squared error: the histogram says what the values say, and no other scale is better. */
#include "convert/scale.h"

#include <math.h>

#include "base/random.h"
#include "tap.h"

#define COUNT 20000

/* Rectified values of a half-normal distribution, half of them zero, as a ReLU layer's are. */
static void draw(float *values, uint64_t seed) {
    td_random random;
    td_random_seed(&random, seed, 0);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)(3.0 * td_random_normal(&random));
    }
}

/* Sum of (max(x, 0) - (v(T(x)) - v_0))^2, value by value. */
static double direct_error(const float *values, const tdsnn_code *code) {
    double error = 0.0;
    for (int i = 0; i < COUNT; i++) {
        double x = values[i] > 0.0f ? values[i] : 0.0;
        double miss = x - (code->values[tdsnn_code_encode(code, values[i])] - code->values[0]);
        error += miss * miss;
    }
    return error;
}

static void check_code(tdsnn_context *ctx, const td_histogram *h, const float *values, int steps,
                       double ratio, tdsnn_rounding rounding, int offset) {
    tdsnn_code best, other;
    tdsnn_status status =
        td_fit_code(ctx, h, ratio * steps, steps, rounding, offset, INFINITY, &best);
    double direct = direct_error(values, &best), binned = td_histogram_error(h, &best).error;
    ok(status == TDSNN_OK && fabs(binned - direct) <= 0.01 * direct,
       "K=%d L=%g offset %d: the histogram's error %.4g is the values' %.4g", steps, ratio * steps,
       offset, binned, direct);
    double least = INFINITY, least_scale = 0.0;
    for (double factor = 0.1; factor < 4.0; factor *= 1.003) {
        tdsnn_code_make(ctx, ratio * steps, steps, best.scale * factor, rounding, offset, &other);
        double error = direct_error(values, &other);
        if (error < least) {
            least = error;
            least_scale = other.scale;
        }
    }
    ok(direct <= 1.01 * least,
       "no scale is better by 1 %%: %.4g at %g, best of the sweep %.4g at %g", direct,
       (double)best.scale, least, least_scale);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    static float values[COUNT];
    const td_counting plain = {.cap = INFINITY, .unit = 1.0};
    draw(values, 7);
    td_histogram *h = td_histogram_create(ctx, TD_FINE_BINS),
                 *half = td_histogram_create(ctx, TD_FINE_BINS);
    td_histogram_add(h, values, COUNT / 2, plain);
    td_histogram_add(half, values + COUNT / 2, COUNT / 2, plain);
    td_histogram_merge(h, half);
    ok(td_histogram_min(h) < -3.0f, "the smallest value is kept");
    check_code(ctx, h, values, 1, 2.0, TDSNN_ROUND_NEAREST, 0);
    check_code(ctx, h, values, 3, 2.0, TDSNN_ROUND_NEAREST, 0);
    check_code(ctx, h, values, 7, 2.0, TDSNN_ROUND_CEIL, 0);
    check_code(ctx, h, values, 15, 0.5, TDSNN_ROUND_NEAREST, 0);
    check_code(ctx, h, values, 31, 1.0, TDSNN_ROUND_NEAREST, 1);
    check_code(ctx, h, values, 127, 2.0, TDSNN_ROUND_NEAREST, 0);

    td_histogram *empty = td_histogram_create(ctx, TD_FINE_BINS);
    float zeros[10] = {0};
    td_histogram_add(empty, zeros, 10, plain);
    tdsnn_code code;
    ok(td_fit_code(ctx, empty, 14.0, 7, TDSNN_ROUND_NEAREST, 0, INFINITY, &code) == TDSNN_OK &&
           td_histogram_error(empty, &code).error == 0.0,
       "a layer that never fires gets a code all the same");
    ok(td_fit_code(ctx, h, 1.0, 255, TDSNN_ROUND_NEAREST, 0, INFINITY, &code) == TDSNN_ERR_USAGE,
       "exp(K/L) beyond 1e6 is refused");
    td_histogram_destroy(empty);
    td_histogram_destroy(half);
    td_histogram_destroy(h);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
