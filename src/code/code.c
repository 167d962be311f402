/* The tables of a temporal code [P 10, 11] and the compares that encode with them. */
#include "code/code.h"

#include <math.h>

#include "base/context.h"

/* exp(K/L) is the ratio of the largest to the smallest membrane contribution; beyond this the
 * window is mostly longer than the membrane's memory. */
#define MAX_RANGE 1e6

/* tau_k = s (c exp(k/L) - 1). c = 1 would be [P 10] itself; the 2^-20 keeps values that are codes
 * off the thresholds, also after rounding to float. */
static double threshold_formula(const tdsnn_code *code, int k) {
    double leak = code->leak;
    double c = code->rounding == TDSNN_ROUND_CEIL ? 1.0 + 0x1p-20 : (1.0 + exp(1.0 / leak)) / 2.0;
    return code->scale * (c * exp(k / leak) - 1.0);
}

double tdsnn_code_value(const tdsnn_code *code, int time) {
    double exponent = time / (double)code->leak;
    return code->scale * (code->offset ? exp(exponent) : expm1(exponent));
}

/* Checks the parameters, as rounded to float; `status` is what a violation is reported as. The
 * comparisons are written so that NaN fails them. */
static tdsnn_status check_parameters(tdsnn_context *ctx, const tdsnn_code *code,
                                     tdsnn_status status) {
    double leak = code->leak, scale = code->scale;
    if (!(leak > 0.0 && leak <= TDSNN_MAX_LEAK)) {
        return td_error(ctx, status, "a code's leak of %g steps: give one above 0 and up to %g",
                        leak, TDSNN_MAX_LEAK);
    }
    if (code->steps < 1 || code->steps > TDSNN_MAX_STEPS) {
        return td_error(ctx, status, "a code of %d steps: give 1 to %d", code->steps,
                        TDSNN_MAX_STEPS);
    }
    if (!(scale >= TDSNN_MIN_SCALE && scale <= TDSNN_MAX_SCALE)) {
        return td_error(ctx, status, "a code's scale of %g: give one from %g to %g", scale,
                        TDSNN_MIN_SCALE, TDSNN_MAX_SCALE);
    }
    if (code->offset != 0 && code->offset != 1) {
        return td_error(ctx, status, "a code's offset of %d: give 0 or 1", code->offset);
    }
    if (!(exp(code->steps / leak) <= MAX_RANGE)) {
        return td_error(ctx, status,
                        "a code of %d steps with a leak of %g: exp(steps/leak) exceeds %g; give a "
                        "leak of at least %.3g",
                        code->steps, leak, MAX_RANGE, code->steps / log(MAX_RANGE));
    }
    return TDSNN_OK;
}

tdsnn_status td_code_make(tdsnn_context *ctx, double leak, int steps, double scale,
                          tdsnn_rounding rounding, int offset, tdsnn_code *code) {
    tdsnn_code made = {.leak = (float)leak,
                       .steps = steps,
                       .scale = (float)scale,
                       .offset = offset,
                       .rounding = rounding};
    if (rounding != TDSNN_ROUND_NEAREST && rounding != TDSNN_ROUND_CEIL) {
        return td_error(ctx, TDSNN_ERR_USAGE, "a code's rounding %d: give nearest or ceil",
                        (int)rounding);
    }
    tdsnn_status status = check_parameters(ctx, &made, TDSNN_ERR_USAGE);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int k = 0; k < TDSNN_MAX_STEPS; k++) {
        made.thresholds[k] = k < steps ? (float)threshold_formula(&made, k) : INFINITY;
    }
    for (int t = 0; t <= TDSNN_MAX_STEPS; t++) {
        made.values[t] = (float)tdsnn_code_value(&made, t < steps ? t : steps);
    }
    *code = made;
    return TDSNN_OK;
}

tdsnn_status tdsnn_code_make(tdsnn_context *ctx, double leak, int steps, double scale,
                             tdsnn_rounding rounding, int offset, tdsnn_code *code) {
    td_error_clear(ctx);
    return td_code_make(ctx, leak, steps, scale, rounding, offset, code);
}

/* Whether `found` is the float nearest to `exact`, or one next to it. */
static bool within_ulp(float found, double exact) {
    float nearest = (float)exact;
    return found >= nextafterf(nearest, -INFINITY) && found <= nextafterf(nearest, INFINITY);
}

static tdsnn_status check_thresholds(tdsnn_context *ctx, const tdsnn_code *code) {
    const float *tau = code->thresholds;
    for (int k = 0; k < code->steps; k++) {
        if (!isfinite(tau[k])) {
            return td_error(ctx, TDSNN_ERR_INPUT, "threshold %d of %d is not finite", k,
                            code->steps);
        }
        if (k > 0 && tau[k] < tau[k - 1]) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "threshold %d (%.9g) lies below the one before it (%.9g); they must "
                            "not decrease",
                            k, tau[k], tau[k - 1]);
        }
        if (code->rounding != TDSNN_ROUND_TABLE &&
            !within_ulp(tau[k], threshold_formula(code, k))) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "threshold %d is %.9g, but the code's rounding makes it %.9g", k,
                            tau[k], threshold_formula(code, k));
        }
    }
    for (int k = code->steps; k < TDSNN_MAX_STEPS; k++) {
        if (tau[k] != INFINITY) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "threshold %d is %.9g; behind the %d steps of the code all must be "
                            "+inf",
                            k, tau[k], code->steps);
        }
    }
    return TDSNN_OK;
}

tdsnn_status td_code_check(tdsnn_context *ctx, const tdsnn_code *code) {
    tdsnn_status status = check_parameters(ctx, code, TDSNN_ERR_INPUT);
    if (status != TDSNN_OK) {
        return status;
    }
    if (code->rounding != TDSNN_ROUND_NEAREST && code->rounding != TDSNN_ROUND_CEIL &&
        code->rounding != TDSNN_ROUND_TABLE) {
        return td_error(ctx, TDSNN_ERR_INPUT, "a code's rounding %d is unknown",
                        (int)code->rounding);
    }
    status = check_thresholds(ctx, code);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int t = 0; t <= TDSNN_MAX_STEPS; t++) {
        double value = tdsnn_code_value(code, t < code->steps ? t : code->steps);
        if (!within_ulp(code->values[t], value)) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "value %d is %.9g, but a spike of this code stands for %.9g: what a "
                            "leaking membrane makes of it",
                            t, code->values[t], value);
        }
    }
    return TDSNN_OK;
}

tdsnn_status tdsnn_code_check(tdsnn_context *ctx, const tdsnn_code *code) {
    td_error_clear(ctx);
    return td_code_check(ctx, code);
}

/* Thresholds are padded with +inf to 255, so that the search always takes eight rounds. */
int tdsnn_code_encode(const tdsnn_code *code, float x) {
    int time = 0;
    for (int step = (TDSNN_MAX_STEPS + 1) / 2; step > 0; step /= 2) {
        time += x > code->thresholds[time + step - 1] ? step : 0;
    }
    return time;
}

int tdsnn_code_encode_double(const tdsnn_code *code, double x) {
    int time = 0;
    for (int step = (TDSNN_MAX_STEPS + 1) / 2; step > 0; step /= 2) {
        time += x > code->thresholds[time + step - 1] ? step : 0;
    }
    return time;
}
