/* Codes forward against the encoder itself; their gradients against the rule of codes.h, written
 * again in double, and against what the rule must keep whatever it is. */
#include "train/codes.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tap.h"
#include "train/loops.h"

enum { MOST = 4000 };

static float x[MOST + TD_SPARE], y[MOST + TD_SPARE], dy[MOST + TD_SPARE], dx[MOST + TD_SPARE];
static unsigned char scratch[TD_CODER_SCRATCH] __attribute__((aligned(64)));

/* ---- Codes and drives. */

typedef struct setting {
    tdsnn_code code;
    float negative;
    char name[80];
} setting;

static tdsnn_context *ctx;

static setting make_setting(int steps, int offset, tdsnn_rounding rounding, float negative) {
    setting s = {.negative = negative};
    bool table = rounding == TDSNN_ROUND_TABLE;
    double leak = steps < 10 ? 3.0 : steps / 2.5;
    if (tdsnn_code_make(ctx, leak, steps, 0.37, table ? TDSNN_ROUND_NEAREST : rounding, offset,
                        &s.code) != TDSNN_OK) {
        printf("Bail out! no code of %d steps\n", steps);
        exit(1);
    }
    s.code.rounding = rounding;
    for (int k = 0; table && k < steps / 2; k++) { /* the weaker half silenced */
        s.code.thresholds[k] = s.code.thresholds[steps / 2];
    }
    snprintf(s.name, sizeof s.name, "%d steps, offset %d, rounding %d, negative %g", steps, offset,
             (int)rounding, (double)negative);
    return s;
}

#define SETTINGS 5
static const int all_steps[] = {1, 3, 15, 63, 255};

/* Number `kind` of a window: nearest, ceil, ceil at offset 1, a silenced table, a pair. */
static setting setting_of(int steps, int kind) {
    return kind == 0   ? make_setting(steps, 0, TDSNN_ROUND_NEAREST, 0.0f)
           : kind == 1 ? make_setting(steps, 0, TDSNN_ROUND_CEIL, 0.0f)
           : kind == 2 ? make_setting(steps, 1, TDSNN_ROUND_CEIL, 0.0f)
           : kind == 3 ? make_setting(steps, 0, TDSNN_ROUND_TABLE, 0.0f)
                       : make_setting(steps, 0, TDSNN_ROUND_NEAREST, 0.25f);
}

static void add_around(size_t *count, float value) {
    const float near[] = {value, nextafterf(value, INFINITY), nextafterf(value, -INFINITY)};
    for (int i = 0; i < 3; i++) {
        x[(*count)++] = near[i];
        x[(*count)++] = -near[i];
    }
}

/* Drives that matter: thresholds, values and their neighbours, of either sign; zeros; the ends. */
static size_t fill_edges(const tdsnn_code *code) {
    const float ends[] = {0.0f, -0.0f, FLT_MIN, -FLT_MIN, FLT_MAX, -FLT_MAX, 1e30f, -1e30f};
    size_t count = 0;
    for (int k = 0; k < code->steps; k++) {
        add_around(&count, code->thresholds[k]);
        add_around(&count, code->values[k + 1]);
    }
    memcpy(x + count, ends, sizeof ends);
    return count + sizeof ends / sizeof *ends;
}

static void fill_random(const tdsnn_code *code, size_t count, uint64_t seed) {
    td_random random;
    td_random_seed(&random, seed, 1);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(0.8 * code->values[code->steps] * td_random_normal(&random));
        dy[i] = (float)td_random_normal(&random);
    }
}

static const td_kernels *kernels;

static uint64_t run_forward(const setting *s, size_t count) {
    td_coder coder;
    td_coder_set(&coder, &s->code, s->negative);
    return td_code_forward(&coder, kernels, x, count, y, scratch);
}

/* ---- Forward. */

/* Drives whose value or spikes are not those of the encoder. */
static size_t count_wrong(const setting *s, size_t count) {
    uint64_t spikes = run_forward(s, count), wanted = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        int time = tdsnn_code_encode(&s->code, x[i]);
        int other = s->negative != 0.0f ? tdsnn_code_encode(&s->code, -x[i]) : 0;
        float value = s->code.values[time];
        if (s->negative != 0.0f) {
            value -= s->negative * s->code.values[other];
        }
        wanted += (time > 0) + (other > 0);
        wrong += memcmp(&value, &y[i], sizeof value) != 0;
    }
    return wrong + (spikes != wanted);
}

static void test_forward(int steps, int kind) {
    setting s = setting_of(steps, kind);
    size_t wrong = count_wrong(&s, fill_edges(&s.code));
    for (size_t count = 1; count <= 100; count++) {
        fill_random(&s.code, count, count);
        y[count] = 7.0f; /* may be written */
        wrong += count_wrong(&s, count);
    }
    fill_random(&s.code, MOST, 5);
    wrong += count_wrong(&s, MOST) + count_wrong(&s, 1024) + count_wrong(&s, 2049);
    ok(wrong == 0, "%s: values and spikes are the encoder's: %zu differ", s.name, wrong);
}

/* ---- Backward: the rule. */

typedef struct gradients {
    double dx[MOST], thresholds[TDSNN_MAX_STEPS], scale, cost;
    double scale_magnitude, cost_magnitude, threshold_magnitude;
} gradients;

static double clamp(double v, double low, double high) {
    return v < low ? low : v > high ? high : v;
}

/* The drive that a spike at `time` stands for: at offset 1 its value is more by v_0. */
static double told_apart(const tdsnn_code *c, int time) {
    return (double)(c->values[time] - c->values[0]);
}

/* One neuron: its drive is `size`, above 0; dx/dsize = sign, dy/dx inside the window = slope. */
static void add_neuron(const tdsnn_code *c, double weight, double size, double sign, double slope,
                       double gradient, double *here, gradients *g) {
    double top = told_apart(c, c->steps), silent = c->thresholds[0];
    double r = fmax(silent, top / 4.0);
    double cost = 0.75 * clamp((size - silent) / r, 0.0, 1.0) + 0.25 * fmin(size, top) / top;
    bool on_ramp = size > silent && size < (double)((float)silent + (float)r);
    *here += size < top ? gradient * slope : 0.0;
    *here += sign * weight * ((on_ramp ? 0.75 / r : 0.0) + (size < top ? 0.25 / top : 0.0));
    g->cost += weight * cost;
    g->cost_magnitude += weight;
    if (size < top) {
        int k = 0;
        while (k + 1 < c->steps && told_apart(c, k + 1) <= size) {
            k++;
        }
        g->thresholds[k] -= sign * slope * gradient;
        g->thresholds[0] -= on_ramp ? 0.75 * weight / r : 0.0;
        g->threshold_magnitude += fabs(gradient) + weight / r;
    }
}

static void define(const setting *s, double weight, size_t count, gradients *g) {
    const tdsnn_code *c = &s->code;
    memset(g, 0, sizeof *g);
    for (size_t i = 0; i < count; i++) {
        double v = x[i], top = told_apart(c, c->steps), slope = 0.0;
        if (v > 0.0) {
            slope = 1.0;
            add_neuron(c, weight, v, 1.0, 1.0, dy[i], &g->dx[i], g);
        } else if (v < 0.0 && s->negative != 0.0f) {
            slope = s->negative;
            add_neuron(c, weight, -v, -1.0, slope, dy[i], &g->dx[i], g);
        }
        double through = fabs(v) < top ? slope * v : 0.0;
        g->scale += dy[i] * (y[i] - through);
        g->scale_magnitude += fabs(dy[i]) * (fabs(y[i]) + fabs(through));
    }
}

static double run_backward(const setting *s, double weight, size_t count, bool add, double *scale,
                           double *thresholds) {
    td_coder coder;
    td_coder_set(&coder, &s->code, s->negative);
    return td_code_backward(&coder, (td_spike_cost){weight}, x, y, dy, count, add, dx, scale,
                            thresholds);
}

/* Floats added lane by lane: a block has 64 terms a lane, each of a few roundings. */
#define SUM_ERROR (70.0 * 0.5 * FLT_EPSILON)

static size_t count_wrong_gradients(const setting *s, double weight, size_t count, bool add) {
    static gradients g;
    double scale, thresholds[TDSNN_MAX_STEPS] = {0.0};
    size_t wrong = 0;
    run_forward(s, count);
    define(s, weight, count, &g);
    for (size_t i = 0; i < count; i++) {
        dx[i] = add ? 1.5f : NAN; /* what is overwritten may be anything */
    }
    dx[count] = 77.0f;
    double cost = run_backward(s, weight, count, add, &scale, thresholds);
    for (size_t i = 0; i < count; i++) {
        double wanted = g.dx[i] + (add ? 1.5 : 0.0);
        double most = 4.0 * FLT_EPSILON * (fabs(dy[i]) + fabs(g.dx[i]) + weight * 8.0 + 1.5);
        wrong += !(fabs(dx[i] - wanted) <= most);
    }
    for (int k = 0; k < s->code.steps; k++) {
        double most = 4.0 * FLT_EPSILON * g.threshold_magnitude;
        wrong += !(fabs(thresholds[k] - g.thresholds[k]) <= most);
    }
    wrong += !(fabs(scale - g.scale) <= SUM_ERROR * g.scale_magnitude);
    wrong += !(fabs(cost - g.cost) <= SUM_ERROR * g.cost_magnitude);
    wrong += dx[count] != 77.0f;
    return wrong;
}

static void test_backward(int steps, int kind) {
    setting s = setting_of(steps, kind);
    size_t wrong = 0;
    for (size_t count = 1; count <= 100; count++) {
        fill_random(&s.code, count, 100 + count);
        wrong += count_wrong_gradients(&s, count % 3 == 0 ? 0.5 : 0.0, count, count % 2 == 0);
    }
    fill_random(&s.code, MOST, 6);
    wrong += count_wrong_gradients(&s, 0.25, 3000, false);
    ok(wrong == 0, "%s: gradients are the rule's: %zu differ", s.name, wrong);
    size_t edges = fill_edges(&s.code) - 4; /* sums of huge terms say nothing about the others */
    wrong = count_wrong_gradients(&s, 0.25, edges, true);
    ok(wrong == 0, "%s: also at thresholds and values: %zu differ", s.name, wrong);
}

/* ---- Backward: what must hold. */

/* Drives and thresholds moved together change nothing, the drive of a pair's second neuron being
 * -x. */
static void test_shift(int steps, int kind) {
    setting s = setting_of(steps, kind);
    double scale, thresholds[TDSNN_MAX_STEPS] = {0.0}, sum = 0.0, magnitude = 0.0;
    fill_random(&s.code, MOST, 7);
    run_forward(&s, MOST);
    run_backward(&s, 0.0, MOST, false, &scale, thresholds);
    for (size_t i = 0; i < MOST; i++) {
        sum += x[i] < 0.0f ? -(double)dx[i] : (double)dx[i];
        magnitude += fabs(dx[i]);
    }
    for (int k = 0; k < s.code.steps; k++) {
        sum += thresholds[k];
    }
    ok(magnitude > 10.0 && fabs(sum) <= 4.0 * FLT_EPSILON * magnitude,
       "%s: moving drives and thresholds together changes nothing: %g of %g", s.name, sum,
       magnitude);
}

/* y is homogeneous: with drives and scale a times as large it is a times as large, exactly where a
 * is a power of 2. So sum(dx x) + d/dln(scale) = sum(dy y). */
static void test_homogeneous(int steps, int kind) {
    setting s = setting_of(steps, kind);
    double scale, left = 0.0, right = 0.0, magnitude = 0.0;
    size_t wrong = 0;
    fill_random(&s.code, MOST, 8);
    run_forward(&s, MOST);
    run_backward(&s, 0.0, MOST, false, &scale, NULL);
    for (size_t i = 0; i < MOST; i++) {
        left += (double)dx[i] * x[i];
        right += (double)dy[i] * y[i];
        magnitude += fabs((double)dx[i] * x[i]) + fabs((double)dy[i] * y[i]);
    }
    static float before[MOST];
    setting twice = s;
    memcpy(before, y, sizeof before);
    twice.code.scale *= 2.0f;
    for (int k = 0; k < TDSNN_MAX_STEPS; k++) {
        twice.code.thresholds[k] *= 2.0f;
        twice.code.values[k + 1] *= 2.0f;
    }
    twice.code.values[0] *= 2.0f;
    for (size_t i = 0; i < MOST; i++) {
        x[i] *= 2.0f;
    }
    run_forward(&twice, MOST);
    for (size_t i = 0; i < MOST; i++) {
        wrong += y[i] != 2.0f * before[i];
    }
    ok(wrong == 0, "%s: y is homogeneous in drives and scale: %zu are not", s.name, wrong);
    ok(fabs(left + scale - right) <= SUM_ERROR * magnitude,
       "%s: and its gradients say so: %g and %g", s.name, left + scale, right);
}

int main(void) {
    ctx = tdsnn_context_create();
    kernels = td_kernels_find(NULL);
    for (size_t i = 0; i < sizeof all_steps / sizeof *all_steps; i++) {
        for (int kind = 0; kind < SETTINGS; kind++) {
            test_forward(all_steps[i], kind);
            test_backward(all_steps[i], kind);
            test_shift(all_steps[i], kind);
            test_homogeneous(all_steps[i], kind);
        }
    }
    tdsnn_context_destroy(ctx);
    return tap_end();
}
