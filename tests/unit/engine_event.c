/* The event engine against the reference engine, bit for bit: every instruction set of this
 * processor, every form of synapses that a plan can choose. */
#include "engine/event.h"

#include <math.h>
#include <string.h>

#include "engine/plan.h"
#include "random_network.h"
#include "tap.h"

#define SAMPLES 2

typedef struct tally {
    size_t networks, neurons, wrong;
    size_t forms[TD_FORMS];
} tally;

static void count_forms(const td_network *n, const td_plan *plan, tally *sum) {
    for (int i = 1; i < n->layer_count; i++) {
        for (int k = 0; k < n->layers[i].synapse_count && n->layers[i].kind != TD_LAYER_POOL; k++) {
            sum->forms[td_plan_describe(plan, i, k).form]++;
        }
    }
}

static void compare(const td_network *n, const td_activity *want, const td_activity *have,
                    tally *sum) {
    for (int i = 0; i < n->layer_count; i++) {
        size_t count = want->times[i] == NULL ? 0 : td_layer_neurons(&n->layers[i]);
        sum->neurons += count;
        for (size_t k = 0; k < count; k++) {
            sum->wrong += want->times[i][k] != have->times[i][k];
        }
    }
    sum->wrong += memcmp(want->logits, have->logits, (size_t)n->classes * sizeof(float)) != 0;
}

/* One plan: the expected density decides the forms. */
static void run_plan(tdsnn_context *ctx, const td_network *n, const td_kernels *kernels,
                     double density, int threads, const td_activity *const *want, td_activity *have,
                     tally *sum) {
    double densities[64];
    for (int i = 0; i < 64; i++) {
        densities[i] = density;
    }
    td_plan *plan = NULL;
    td_session *session = NULL;
    if (n->layer_count > 64 ||
        td_plan_create(ctx, n, kernels, density < 0.0 ? NULL : densities, &plan) != TDSNN_OK ||
        td_session_create(ctx, plan, threads, &session) != TDSNN_OK) {
        ok(false, "a plan is made: %s", tdsnn_last_error(ctx));
        exit(1);
    }
    count_forms(n, plan, sum);
    for (int i = 0; i < SAMPLES; i++) {
        memcpy(have->input, want[i]->input, td_shape_count(n->layers[0].shape) * sizeof(float));
        td_session_run(session, have, true);
        compare(n, want[i], have, sum);
    }
    td_session_destroy(session);
    td_plan_destroy(plan);
}

/* All instruction sets, three densities, one to three threads; want[] holds the reference's
 * activity. */
static void run_plans(tdsnn_context *ctx, const td_network *n, const td_activity *const *want,
                      tally *sum) {
    static const double densities[] = {-1.0, 0.02, 1.0};
    td_activity *have = NULL;
    const td_kernels *kernels;
    int runs;
    if (td_activity_create(ctx, n, &have) != TDSNN_OK) {
        exit(1);
    }
    for (int i = 0; (kernels = td_kernels_at(i, &runs)) != NULL; i++) {
        for (int d = 0; d < 3 && runs; d++) {
            int threads = 1 + (int)(sum->networks + (size_t)(d + i)) % 3;
            run_plan(ctx, n, kernels, densities[d], threads, want, have, sum);
        }
    }
    sum->networks++;
    td_activity_destroy(have);
}

/* Runs the reference on samples that are there already. */
static void run_network(tdsnn_context *ctx, const td_network *n, td_activity **want, tally *sum) {
    td_reference *reference = NULL;
    if (td_reference_create(ctx, n, &reference) != TDSNN_OK) {
        exit(1);
    }
    for (int i = 0; i < SAMPLES; i++) {
        td_reference_run(reference, want[i]);
    }
    run_plans(ctx, n, (const td_activity *const *)want, sum);
    td_reference_destroy(reference);
}

static void run_random(tdsnn_context *ctx, uint64_t seed, const random_network_options *options,
                       tally *sum) {
    td_random r;
    td_random_seed(&r, seed, 7);
    td_network *n = random_network(ctx, &r, options);
    td_activity *want[SAMPLES];
    size_t before = sum->wrong;
    for (int i = 0; i < SAMPLES; i++) {
        if (td_activity_create(ctx, n, &want[i]) != TDSNN_OK) {
            exit(1);
        }
        random_sample(&r, n, want[i]->input);
    }
    run_network(ctx, n, want, sum);
    if (sum->wrong > before) {
        printf("# seed %llu: %zu differ\n", (unsigned long long)seed, sum->wrong - before);
    }
    for (int i = 0; i < SAMPLES; i++) {
        td_activity_destroy(want[i]);
    }
    td_network_destroy(n);
}

static void test_networks(tdsnn_context *ctx, const char *what, int count,
                          random_network_options options) {
    tally sum = {0};
    for (int seed = 0; seed < count; seed++) {
        options.offset = options.wide.c == 0 && seed % 3 == 0;
        options.rounding = (tdsnn_rounding)(seed % 3);
        run_random(ctx, (uint64_t)seed, &options, &sum);
    }
    bool all = true;
    printf("# %s: %zu networks, %zu spike times;", what, sum.networks, sum.neurons);
    for (int i = 0; i < TD_FORMS; i++) {
        printf(" %s %zu", td_form_name((td_form)i), sum.forms[i]);
        all = all && (sum.forms[i] > 0 || i == TD_FORM_CHANNELS);
    }
    printf("\n");
    ok(sum.neurons > 10000, "%s: the networks are not trivial", what);
    ok(sum.wrong == 0, "%s: spike times and logits have the reference's bits", what);
    ok(options.wide.c == 0 || all, "%s: every form was chosen somewhere", what);
}

/* Drives at, just below and just above every threshold, and extremes. */
static size_t encoding_faults(const td_kernels *kernels, const tdsnn_code *code) {
    float drives[3 * TDSNN_MAX_STEPS + 24] = {0.0f, -0.0f, INFINITY, -INFINITY,
                                              NAN,  1e38f, -1e38f,   1e-45f};
    uint8_t times[3 * TDSNN_MAX_STEPS + 24 + TD_SLACK];
    int count = 8;
    for (int k = 0; k < code->steps; k++) {
        drives[count++] = code->thresholds[k];
        drives[count++] = nextafterf(code->thresholds[k], INFINITY);
        drives[count++] = nextafterf(code->thresholds[k], -INFINITY);
    }
    td_tree tree;
    td_tree_fill(code, &tree);
    kernels->encode(&tree, drives, (size_t)count, 1, count, times, (size_t)count);
    size_t wrong = 0;
    for (int i = 0; i < count; i++) {
        wrong += times[i] != tdsnn_code_encode(code, drives[i]);
    }
    float values[3 * TDSNN_MAX_STEPS + 24 + TD_SLACK];
    kernels->decode(code->values, code->steps, times, values, (size_t)count);
    for (int i = 0; i < count; i++) {
        wrong += values[i] != code->values[times[i]];
    }
    return wrong;
}

static void test_codes(tdsnn_context *ctx) {
    size_t codes = 0, wrong = 0;
    const td_kernels *kernels;
    int runs;
    for (int steps = 1; steps <= TDSNN_MAX_STEPS; steps++) {
        for (int i = 0; i < 4; i++) {
            tdsnn_code code;
            if (tdsnn_code_make(ctx, (0.1 + i) * steps, steps, pow(10.0, 3.0 * i - 4.0),
                                (tdsnn_rounding)(i % 2), i / 2, &code) != TDSNN_OK) {
                exit(1);
            }
            codes++;
            for (int k = 0; (kernels = td_kernels_at(k, &runs)) != NULL; k++) {
                wrong += runs ? encoding_faults(kernels, &code) : 0;
            }
        }
    }
    ok(codes == 1020, "codes of every number of steps");
    ok(wrong == 0, "are encoded, also next to every threshold, and decoded as tables say");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_codes(ctx);
    test_networks(ctx, "small", 150, (random_network_options){.biases = true});
    test_networks(ctx, "one leak", 60, (random_network_options){.biases = true, .one_leak = true});
    test_networks(ctx, "analog", 30, (random_network_options){.biases = true, .analog = true});
    test_networks(ctx, "ties", 30, (random_network_options){.ties = true});
    test_networks(
        ctx, "wide", 40,
        (random_network_options){.biases = true, .one_leak = true, .wide = {80, 5, 9, false}});
    /* bands of rows: enough rows for three threads, and rows too long for one band */
    test_networks(ctx, "tall", 20,
                  (random_network_options){.biases = true, .wide = {40, 14, 3, false}});
    test_networks(ctx, "broad", 6,
                  (random_network_options){.biases = true, .wide = {10, 6, 1100, false}});
    tdsnn_context_destroy(ctx);
    return tap_end();
}
