/* Curves through thresholds: spike times by arithmetic, proved at every threshold. */
#include <math.h>
#include <string.h>

#include "engine/plan.h"

#define SPANS 8
#define ONE 65536.0 /* a step of time */
#define PROBES 16   /* of a span, for its error */
/* What is added to a curve's error: for drives between the probes, and the rounding of floats. */
#define SPARE 8.0
#define MOST_DOUBT 500.0 /* more than this, of ONE, and searching all is as quick */
#define MOST_STEPS 127   /* times that fit below the bit that 2^23 is */

/* tau_k = s (c exp(k/L) - 1), so 1 + tau_k/s = c exp(k/L): there the curve is k + 1. */
typedef struct formula {
    double leak, c;
    int steps;
} formula;

static double formula_at(const formula *f, double y) {
    return (f->leak * log(y / f->c) + 1.0) * ONE;
}

/* Where the formula is so many steps. */
static double formula_where(const formula *f, double steps) {
    return f->c * exp((steps - 1.0) / f->leak);
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The larger one; NaN if one is. */
static double worse(double a, double b) {
    return a >= b ? a : b >= a ? b : NAN;
}

/* As the kernels compute it, rounding by rounding; 2^23 taken off again. */
static double curve_at(const td_curve *c, float y) {
    uint32_t span = (bits_of(y) >> c->shift) % SPANS;
    float h = c->terms[3][span];
    for (int i = 2; i >= 0; i--) {
        h = fmaf(h, y, c->terms[i][span]);
    }
    return (double)h - 0x1p23;
}

/* The cubic through the formula at four Chebyshev points of the span from `low` to `high`: divided
 * differences, multiplied out. */
static void fit_span(td_curve *c, const formula *f, uint32_t span, double low, double high) {
    double y[4], d[4], terms[4] = {0.0};
    for (int i = 0; i < 4; i++) {
        y[i] = (low + high) / 2.0 + (high - low) / 2.0 * cos((2 * i + 1) * acos(-1.0) / 8.0);
        d[i] = formula_at(f, y[i]);
    }
    for (int order = 1; order < 4; order++) {
        for (int i = 3; i >= order; i--) {
            d[i] = (d[i] - d[i - 1]) / (y[i] - y[i - order]);
        }
    }
    for (int i = 3; i >= 0; i--) { /* terms = terms * (x - y[i]) + d[i] */
        for (int k = 3; k > 0; k--) {
            terms[k] = terms[k - 1] - y[i] * terms[k];
        }
        terms[0] = d[i] - y[i] * terms[0];
    }
    for (int k = 0; k < 4; k++) {
        float term = (float)(terms[k] + (k == 0 ? 0x1p23 : 0.0));
        c->terms[k][span % SPANS] = c->terms[k][span % SPANS + SPANS] = term;
    }
}

/* All spans, and the largest error at the probes; false if there are more spans than SPANS. */
static bool fit_spans(td_curve *c, const formula *f, double *error) {
    uint32_t low = bits_of(c->low), high = bits_of(c->high);
    for (c->shift = 16; (high >> c->shift) - (low >> c->shift) >= SPANS; c->shift++) {
        if (c->shift == 23) {
            return false;
        }
    }
    *error = 0.0;
    for (uint32_t span = low >> c->shift; span <= high >> c->shift; span++) {
        uint32_t first = span << c->shift, last = ((span + 1) << c->shift) - 1;
        first = first < low ? low : first;
        last = last > high ? high : last;
        fit_span(c, f, span, from_bits(first), from_bits(last));
        for (uint32_t i = 0; i <= PROBES; i++) {
            float y = from_bits(first + (uint32_t)((uint64_t)(last - first) * i / PROBES));
            *error = worse(*error, fabs(curve_at(c, y) - formula_at(f, y)));
        }
    }
    return true;
}

/* How many of the first thresholds are one and the same: those that were raised. */
static int raised(const tdsnn_code *code) {
    int count = 1;
    while (count < code->steps && code->thresholds[count] == code->thresholds[0]) {
        count++;
    }
    return count;
}

/* The largest distance of the curve from k + 1 at threshold k, as far as they were not raised. */
static double error_at_thresholds(const tdsnn_code *code, const td_curve *c) {
    double error = 0.0;
    int first = raised(code);
    for (int k = first == 1 ? 0 : first; k < code->steps; k++) {
        float y = fmaf(code->thresholds[k], c->unit, 1.0f);
        y = fminf(fmaxf(y, c->low), c->high);
        error = worse(error, fabs(curve_at(c, y) - (k + 1) * ONE));
    }
    return error;
}

static bool fit(const tdsnn_code *code, double c, td_curve *curve) {
    formula f = {.leak = code->leak, .c = c, .steps = code->steps};
    curve->unit = (float)(1.0 / code->scale);
    curve->low = (float)formula_where(&f, 0.5);
    curve->high = (float)formula_where(&f, code->steps + 0.5);
    curve->silent = code->thresholds[0];
    curve->silenced = raised(code) > 1;
    double error;
    if (code->steps > MOST_STEPS || !isfinite(curve->unit) || !fit_spans(curve, &f, &error)) {
        return false;
    }
    error = worse(error, error_at_thresholds(code, curve));
    double doubt = ceil(1.5 * error + SPARE);
    if (!(doubt <= MOST_DOUBT)) {
        return false;
    }
    /* shifted by the error, so that one compare finds what is that near on either side */
    for (int span = 0; span < 2 * SPANS; span++) {
        curve->terms[0][span] += (float)doubt;
    }
    curve->doubt = (uint32_t)(2.0 * doubt) + 2;
    return true;
}

void td_curve_fill(const tdsnn_code *code, td_curve *curve) {
    const double offsets[] = {(1.0 + exp(1.0 / code->leak)) / 2.0, 1.0 + 0x1p-20};
    curve->fits = fit(code, offsets[0], curve) || fit(code, offsets[1], curve);
}
