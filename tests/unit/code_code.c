#include <tdsnn/code.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/random.h"
#include "tap.h"

/* From Python's mpmath at 50 digits: T = min(K, ceil(L ln(x/s + 1))) [P 10] for x that lie at
 * least 0.001 steps from a tie; then tau_index of both roundings and v_index at both offsets,
 *     s ((1 + exp(1/L))/2 exp(k/L) - 1),  s ((1 + 2^-20) exp(k/L) - 1),  s (exp(k/L) - 1),
 *     s exp(k/L). */
static const struct {
    float leak;
    int steps;
    float scale, x;
    int time;
} ceil_times[] = {
    {0x1.71999ap+4f, 7, 0x1.0p+0f, 0x1.ff4178p-4f, 3},
    {0x1.fep+8f, 255, 0x1.0624dep-10f, 0x1.15f114p-11f, 217},
    {0x1.ep+1f, 15, 0x1.0624dep-10f, 0x1.b6ddeep-10f, 4},
    {0x1.fcp+7f, 127, 0x1.c2p+9f, 0x1.17156ep+9f, 123},
    {0x1.0p+1f, 1, 0x1.d9999ap+1f, 0x1.1605b2p+1f, 1},
    {0x1.8cp+5f, 15, 0x1.0p+0f, 0x1.c3b382p-2f, 15},
    {0x1.0p-2f, 1, 0x1.0p+0f, 0x1.32e312p+5f, 1},
    {0x1.0p+1f, 1, 0x1.0p-2f, 0x1.93a9d4p-3f, 1},
    {0x1.a66666p+1f, 1, 0x1.0p-2f, 0x1.7eafe6p-4f, 1},
    {0x1.a4cp+9f, 255, 0x1.0p-2f, 0x1.5a7534p-5f, 132},
    {0x1.ep+4f, 15, 0x1.d9999ap+1f, 0x1.64ffe2p+1f, 15},
    {0x1.a3199ap+8f, 127, 0x1.0p+0f, 0x1.74a08cp-4f, 37},
    {0x1.fp+2f, 31, 0x1.d9999ap+1f, 0x1.876472p+7f, 31},
    {0x1.a3199ap+8f, 127, 0x1.0p-2f, 0x1.30087ep-5f, 59},
    {0x1.a4cp+9f, 255, 0x1.0624dep-10f, 0x1.2e3adap-12f, 214},
    {0x1.0p+1f, 1, 0x1.0p-2f, 0x1.35ceeep-3f, 1},
    {0x1.fcp+7f, 127, 0x1.0p-2f, 0x1.31dbaap-4f, 67},
    {0x1.f8p+3f, 63, 0x1.0624dep-10f, 0x1.4120cp-5f, 59},
    {0x1.8p+0f, 3, 0x1.c2p+9f, 0x1.50c6dap+12f, 3},
    {0x1.f8p+6f, 63, 0x1.0p+0f, 0x1.86fff4p-2f, 41},
    {0x1.993334p+6f, 31, 0x1.c2p+9f, 0x1.fd4698p+7f, 26},
    {0x1.cp+1f, 7, 0x1.c2p+9f, 0x1.6bf5cep+10f, 4},
    {0x1.0p-1f, 1, 0x1.c2p+9f, 0x1.70e81cp+12f, 1},
    {0x1.ep+4f, 15, 0x1.c2p+9f, 0x1.f785a6p+7f, 8},
    {0x1.f8p+6f, 63, 0x1.d9999ap+1f, 0x1.fc03b4p+0f, 55},
    {0x1.0p+1f, 1, 0x1.c2p+9f, 0x1.283d6ap+9f, 1},
    {0x1.ep+4f, 15, 0x1.0p+0f, 0x1.90d0bcp-2f, 10},
    {0x1.9fccccp+7f, 63, 0x1.c2p+9f, 0x1.600cc4p+6f, 20},
    {0x1.fcp+7f, 127, 0x1.d9999ap+1f, 0x1.3f5ecep+0f, 74},
    {0x1.a66666p+1f, 1, 0x1.c2p+9f, 0x1.12983ep+8f, 1},
    {0x1.f8p+6f, 63, 0x1.c2p+9f, 0x1.47bf6ep+4f, 3},
    {0x1.ep+2f, 15, 0x1.c2p+9f, 0x1.d4ad3ap+11f, 13},
};

static const struct {
    float leak;
    int steps;
    float scale;
    int index;
    float nearest, ceil, value0, value1;
} tables[] = {
    {0x1.3cccccp+3f, 3, 0x1.d9999ap+1f, 0, 0x1.92b40cp-3f, 0x1.d9999ap-19f, 0x0.0p+0f,
     0x1.d9999ap+1f},
    {0x1.8p-1f, 3, 0x1.0p+0f, 1, 0x1.02f826p+3f, 0x1.659708p+1f, 0x1.6596e8p+1f, 0x1.e596e8p+1f},
    {0x1.0p+0f, 1, 0x1.0p-2f, 0, 0x1.b7e152p-3f, 0x1.0p-22f, 0x0.0p+0f, 0x1.0p-2f},
    {0x1.3cccccp+3f, 3, 0x1.0p-2f, 1, 0x1.52159cp-5f, 0x1.b35bf6p-6f, 0x1.b35adcp-6f,
     0x1.1b35aep-2f},
    {0x1.fp+2f, 31, 0x1.0p-2f, 5, 0x1.099e16p-2f, 0x1.d00612p-3f, 0x1.d005d4p-3f, 0x1.e802eap-2f},
    {0x1.993334p+6f, 31, 0x1.0p-2f, 21, 0x1.df05d2p-5f, 0x1.d2ac98p-5f, 0x1.d2abfap-5f,
     0x1.3a558p-2f},
    {0x1.fp+4f, 31, 0x1.0624dep-10f, 22, 0x1.179ebap-10f, 0x1.0ee216p-10f, 0x1.0ee1f6p-10f,
     0x1.0a836ap-9f},
    {0x1.f8p+6f, 63, 0x1.0624dep-10f, 7, 0x1.0146acp-14f, 0x1.df3b12p-15f, 0x1.df38e8p-15f,
     0x1.151ea6p-10f},
    {0x1.0p+0f, 1, 0x1.0624dep-10f, 0, 0x1.c26ff2p-11f, 0x1.0624dep-30f, 0x0.0p+0f,
     0x1.0624dep-10f},
    {0x1.fcp+5f, 127, 0x1.d9999ap+1f, 13, 0x1.c0d53ep-1f, 0x1.ae628ap-1f, 0x1.ae61fap-1f,
     0x1.22990cp+2f},
    {0x1.993334p+6f, 31, 0x1.0p-2f, 30, 0x1.63b5p-4f, 0x1.5cf708p-4f, 0x1.5cf6b2p-4f,
     0x1.573dacp-2f},
    {0x1.fcp+4f, 127, 0x1.0p-2f, 2, 0x1.501b56p-6f, 0x1.0a51dap-6f, 0x1.0a50cap-6f, 0x1.10a50cp-2f},
    {0x1.fcp+5f, 127, 0x1.0p+0f, 92, 0x1.a55c3p+1f, 0x1.a108fap+1f, 0x1.a108d8p+1f, 0x1.10846cp+2f},
    {0x1.cp+3f, 7, 0x1.c2p+9f, 5, 0x1.b1efb6p+8f, 0x1.825138p+8f, 0x1.8250e8p+8f, 0x1.41943ap+10f},
    {0x1.a3199ap+8f, 127, 0x1.0p-2f, 125, 0x1.657f7ep-4f, 0x1.63d9e6p-4f, 0x1.63d99p-4f,
     0x1.58f664p-2f},
    {0x1.fep+6f, 255, 0x1.c2p+9f, 166, 0x1.2ebc04p+11f, 0x1.2d1b42p+11f, 0x1.2d1b28p+11f,
     0x1.9d9b28p+11f},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static tdsnn_context *ctx;

static tdsnn_code make(double leak, int steps, double scale, tdsnn_rounding rounding, int offset) {
    tdsnn_code code;
    if (tdsnn_code_make(ctx, leak, steps, scale, rounding, offset, &code) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return code;
}

static bool near(float a, float b) {
    return a >= nextafterf(b, -INFINITY) && a <= nextafterf(b, INFINITY);
}

static void test_golden(void) {
    int wrong = 0;
    for (size_t i = 0; i < COUNT(ceil_times); i++) {
        tdsnn_code code =
            make(ceil_times[i].leak, ceil_times[i].steps, ceil_times[i].scale, TDSNN_ROUND_CEIL, 0);
        wrong += tdsnn_code_encode(&code, ceil_times[i].x) != ceil_times[i].time;
    }
    ok(wrong == 0, "ceil is [P 10]: %d of %d times differ", wrong, (int)COUNT(ceil_times));
    wrong = 0;
    for (size_t i = 0; i < COUNT(tables); i++) {
        double leak = tables[i].leak, scale = tables[i].scale;
        int k = tables[i].index;
        tdsnn_code nearest = make(leak, tables[i].steps, scale, TDSNN_ROUND_NEAREST, 0);
        tdsnn_code ceiling = make(leak, tables[i].steps, scale, TDSNN_ROUND_CEIL, 1);
        wrong += !near(nearest.thresholds[k], tables[i].nearest);
        wrong += !near(ceiling.thresholds[k], tables[i].ceil);
        wrong += !near(nearest.values[k], tables[i].value0);
        wrong += !near(ceiling.values[k], tables[i].value1);
        wrong +=
            fabs(tdsnn_code_value(&nearest, k) - tables[i].value0) > FLT_EPSILON * tables[i].value0;
    }
    ok(wrong == 0, "tables [P 11]: %d entries are more than an ulp off", wrong);
}

/* T(x) by its definition. */
static int count_below(const tdsnn_code *code, double x) {
    int count = 0;
    for (int k = 0; k < code->steps; k++) {
        count += x > code->thresholds[k];
    }
    return count;
}

/* Properties of one code. */
static int check_code(td_random *r, const tdsnn_code *code) {
    int wrong = 0, k = code->steps;
    double shift = code->offset ? code->scale : 0.0;
    for (int t = 0; t <= k; t++) {
        /* a value is its own code, as float and in double */
        wrong += tdsnn_code_encode_double(code, tdsnn_code_value(code, t) - shift) != t;
        wrong += !code->offset && tdsnn_code_encode(code, code->values[t]) != t;
        wrong += t > 0 && !(code->values[t] > code->values[t - 1]);
    }
    for (int i = 0; i < k; i++) {
        float tau = code->thresholds[i];
        wrong += tdsnn_code_encode(code, tau) != count_below(code, tau);
        wrong += tdsnn_code_encode(code, nextafterf(tau, INFINITY)) <= i;
    }
    float last = -INFINITY;
    for (int i = 0, time = 0; i < 50; i++) {
        float x = last + (float)td_random_uniform(r) * code->values[k] / 20.0f;
        x = i == 0 ? -code->scale : x;
        int next = tdsnn_code_encode(code, x);
        wrong += next < time || next != count_below(code, x);
        wrong += tdsnn_code_encode_double(code, x) != next;
        time = next;
        last = x;
    }
    wrong += tdsnn_code_encode(code, NAN) != 0 || tdsnn_code_encode_double(code, NAN) != 0;
    wrong += tdsnn_code_encode(code, INFINITY) != k || tdsnn_code_encode(code, FLT_MAX) != k;
    wrong += tdsnn_code_encode(code, -INFINITY) != 0 || tdsnn_code_encode(code, 0.0f) != 0;
    wrong += tdsnn_code_check(ctx, code) != TDSNN_OK;
    return wrong;
}

static void test_properties(void) {
    td_random r;
    td_random_seed(&r, 1, 0);
    for (int variant = 0; variant < 4; variant++) {
        int wrong = 0, codes = 0;
        for (int steps = 1; steps <= TDSNN_MAX_STEPS; steps++) {
            for (int i = 0; i < 12; i++) {
                double ratio = exp(td_random_uniform(&r) * 5.0 - 2.5); /* leak / steps */
                double scale = exp(td_random_normal(&r) * 8.0);
                tdsnn_code code =
                    make(steps * ratio, steps, scale, (tdsnn_rounding)(variant & 1), variant >> 1);
                wrong += check_code(&r, &code);
                codes++;
            }
        }
        tdsnn_code longest = make(TDSNN_MAX_LEAK, TDSNN_MAX_STEPS, TDSNN_MIN_SCALE,
                                  (tdsnn_rounding)(variant & 1), variant >> 1);
        wrong += check_code(&r, &longest);
        longest = make(TDSNN_MAX_STEPS / 13.8, TDSNN_MAX_STEPS, TDSNN_MAX_SCALE,
                       (tdsnn_rounding)(variant & 1), variant >> 1);
        wrong += check_code(&r, &longest);
        ok(wrong == 0,
           "rounding %d, offset %d, seed 1: round trip, order, definition: %d wrong in %d codes",
           variant & 1, variant >> 1, wrong, codes + 2);
    }
}

/* A silenced table: what stays below a fraction of the largest value is at T = 0. */
static void test_table(void) {
    tdsnn_code code = make(14, 7, 1, TDSNN_ROUND_NEAREST, 0);
    code.rounding = TDSNN_ROUND_TABLE;
    for (int k = 0; k < 7; k++) {
        code.thresholds[k] = fmaxf(code.thresholds[k], 0.4f * code.values[7]);
    }
    ok(tdsnn_code_check(ctx, &code) == TDSNN_OK, "a silenced table is a code");
    ok(tdsnn_code_encode(&code, 0.39f * code.values[7]) == 0 &&
           tdsnn_code_encode(&code, 0.41f * code.values[7]) >= 3,
       "it is silent below the fraction, and skips times above it");
    code.thresholds[0] = -3.0f;
    ok(tdsnn_code_check(ctx, &code) == TDSNN_OK && tdsnn_code_encode(&code, -1.0f) == 1,
       "a learned threshold may be negative");
}

static void refused(double leak, int steps, double scale, int rounding, int offset,
                    const char *word) {
    tdsnn_code code = {.steps = -77};
    ok(tdsnn_code_make(ctx, leak, steps, scale, (tdsnn_rounding)rounding, offset, &code) ==
               TDSNN_ERR_USAGE &&
           code.steps == -77 && strstr(tdsnn_last_error(ctx), word) != NULL,
       "%s", tdsnn_last_error(ctx));
}

static void test_ranges(void) {
    refused(0, 3, 1, 0, 0, "leak");
    refused(-1, 3, 1, 0, 0, "leak");
    refused(NAN, 3, 1, 0, 0, "leak");
    refused(INFINITY, 3, 1, 0, 0, "leak");
    refused(70000, 3, 1, 0, 0, "leak");
    refused(1e-60, 3, 1, 0, 0, "leak"); /* 0 as float */
    refused(3, 0, 1, 0, 0, "steps");
    refused(300, 256, 1, 0, 0, "steps");
    refused(3, 3, 0, 0, 0, "scale");
    refused(3, 3, -2, 0, 0, "scale");
    refused(3, 3, NAN, 0, 0, "scale");
    refused(3, 3, 1e39, 0, 0, "scale");
    refused(3, 3, 1e-50, 0, 0, "scale");
    refused(3, 3, 1, 0, 2, "offset");
    refused(3, 3, 1, TDSNN_ROUND_TABLE, 0, "rounding");
    refused(3, 3, 1, 17, 0, "rounding");
    refused(1, 14, 1, 0, 0, "exceeds 1e+06");
    tdsnn_code code = make(1, 13, 1, TDSNN_ROUND_NEAREST, 0);
    ok(code.steps == 13, "exp(13) is below 1e6");
}

static void damaged(tdsnn_code code, const char *what, const char *word) {
    ok(tdsnn_code_check(ctx, &code) == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), word) != NULL,
       "%s: %s", what, tdsnn_last_error(ctx));
}

static void test_check(void) {
    tdsnn_code good = make(14, 7, 0.7, TDSNN_ROUND_NEAREST, 0), code = good;
    for (int ulps = 1; ulps <= 2; ulps++) {
        code.values[3] = nextafterf(code.values[3], 9.0f);
        code.thresholds[2] = nextafterf(code.thresholds[2], 9.0f);
        ok((tdsnn_code_check(ctx, &code) == TDSNN_OK) == (ulps == 1), "%d ulp off", ulps);
    }
    code = good;
    code.values[3] *= 1.001f;
    damaged(code, "a value that is none", "value 3");
    code = good;
    code.values[200] = 0.0f;
    damaged(code, "values behind the last", "value 200");
    code = good;
    code.thresholds[3] = NAN;
    damaged(code, "a threshold that is not finite", "threshold 3");
    code = good;
    code.thresholds[6] = INFINITY;
    damaged(code, "an infinite threshold inside", "threshold 6");
    code = good;
    code.thresholds[7] = 1e30f;
    damaged(code, "a finite threshold behind the last", "threshold 7");
    code = good;
    code.rounding = TDSNN_ROUND_TABLE;
    code.thresholds[4] = code.thresholds[2];
    damaged(code, "decreasing thresholds", "threshold 4");
    code = good;
    code.thresholds[2] *= 1.001f;
    damaged(code, "thresholds of another rounding", "threshold 2");
    code = good;
    code.rounding = (tdsnn_rounding)9;
    damaged(code, "an unknown rounding", "rounding");
    code = good;
    code.steps = 1000;
    damaged(code, "too many steps", "steps");
    code = good;
    code.leak = NAN;
    damaged(code, "no leak", "leak");
    code = good;
    code.scale = INFINITY;
    damaged(code, "an infinite scale", "scale");
    code = good;
    code.offset = 7;
    damaged(code, "an unknown offset", "offset");
}

int main(void) {
    ctx = tdsnn_context_create();
    test_golden();
    test_properties();
    test_table();
    test_ranges();
    test_check();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
