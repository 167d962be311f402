#include "engine/clock.h"

#include <math.h>
#include <string.h>

#include "measure/formula.h"
#include "random_network.h"
#include "tap.h"

static tdsnn_context *ctx;

/* What the formula says of one layer. */
static void expect(const td_network *n, int index, uint8_t *const *times, uint8_t *out,
                   td_exact_drive *drives) {
    const td_layer *layer = &n->layers[index];
    if (layer->kind == TD_LAYER_POOL) {
        td_pool_times(layer, times[layer->synapses[0].source], out);
        return;
    }
    td_formula_drives(n, layer, times, drives);
    size_t values = td_shape_count(layer->shape);
    for (size_t i = 0; layer->code != NULL && i < td_layer_neurons(layer); i++) {
        double drive = i < values ? drives[i].drive : -drives[i - values].drive;
        out[i] = (uint8_t)tdsnn_code_encode_double(layer->code, drive);
    }
}

typedef struct tally {
    uint64_t neurons, wrong, readouts, wrong_readouts, pools, wide;
} tally;

/* Steps every layer of one sample in all modes and compares with the formula: read-outs show
 * potentials [P 4, 8], the others when their neurons fire [P 5]. */
static void compare_sample(const td_network *n, td_activity *a, tally *t) {
    td_activity_encode(n, a);
    for (int i = 1; i < n->layer_count; i++) {
        const td_layer *layer = &n->layers[i];
        size_t count = td_layer_neurons(layer);
        td_exact_drive *drives = td_alloc(ctx, count, sizeof *drives);
        uint8_t *stepped = td_alloc(ctx, count, 1), *expected = td_alloc(ctx, count, 1);
        double *potentials = td_alloc(ctx, count, sizeof *potentials);
        td_clock_layer *clock;
        td_clock_layer_create(ctx, n, i, &clock);
        expect(n, i, a->times, expected, drives);
        int window = 0;
        for (int k = 0; k < layer->synapse_count; k++) {
            int steps = n->layers[layer->synapses[k].source].code->steps;
            window = steps > window ? steps : window;
        }
        for (int m = 0; m < 4; m++) {
            td_clock_mode mode = {.fixed = m & 1, .all_firing = m & 2};
            memset(stepped, 99, count);
            td_clock_run(clock, mode, a->times, stepped, potentials, NULL);
            for (size_t j = 0; j < count; j++) {
                if (layer->kind == TD_LAYER_READOUT) {
                    t->readouts++;
                    t->wrong_readouts += !(fabs(potentials[j] - drives[j].drive) <=
                                           td_formula_clock_bound(&drives[j], window));
                } else {
                    t->neurons++;
                    t->wrong += stepped[j] != expected[j];
                }
            }
        }
        t->pools += layer->kind == TD_LAYER_POOL;
        t->wide += layer->synapse_count > 1;
        if (a->times[i] != NULL) {
            memcpy(a->times[i], expected, count);
        }
        td_clock_layer_destroy(clock);
        td_free(drives);
        td_free(stepped);
        td_free(expected);
        td_free(potentials);
    }
}

static void test_random(int offset, tdsnn_rounding rounding, bool biases) {
    tally t = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        td_random r;
        td_random_seed(&r, seed, (uint64_t)(offset * 10 + (int)rounding * 2 + biases));
        random_network_options options = {.offset = offset,
                                          .rounding = rounding,
                                          .biases = biases,
                                          .one_leak = seed % 2 == 0,
                                          .ties = false};
        td_network *n = random_network(ctx, &r, &options);
        td_activity *a;
        td_activity_create(ctx, n, &a);
        uint64_t before = t.wrong + t.wrong_readouts;
        for (int s = 0; s < 4; s++) {
            random_sample(&r, n, a->input);
            compare_sample(n, a, &t);
        }
        if (t.wrong + t.wrong_readouts != before) {
            printf("# seed %d differs\n", (int)seed);
        }
        td_activity_destroy(a);
        td_network_destroy(n);
    }
    ok(t.wrong == 0 && t.wrong_readouts == 0 && t.pools > 20 && t.wide > 20,
       "offset %d, rounding %d, biases %d, seeds 0 .. 59: %llu neurons of %llu and %llu read-outs "
       "of %llu differ from the formula",
       offset, (int)rounding, biases, (unsigned long long)t.wrong, (unsigned long long)t.neurons,
       (unsigned long long)t.wrong_readouts, (unsigned long long)t.readouts);
}

/* One neuron with one synapse, worked out by hand: L = 1/ln 2, so that the membrane halves each
 * step [P 3], s = 1, offset 0. A spike at T = 3 through w = 1 is worth 2^3 - 1 = 7. */
static td_network *one_neuron_of(const tdsnn_code *made, float weight, float bias, int inputs) {
    td_network *n = empty_network(ctx, "one", 2);
    n->layer_count = 2;
    tdsnn_code *code = random_alloc(n, 1, sizeof *code);
    *code = *made;
    n->layers[0] = (td_layer){
        .name = "in", .kind = TD_LAYER_INPUT, .shape = {inputs, 1, 1, true}, .code = code};
    td_layer *layer = &n->layers[1];
    *layer = (td_layer){
        .name = "out", .kind = TD_LAYER_SYNAPSES, .shape = {1, 1, 1, true}, .code = code};
    float *numbers = random_alloc(n, (size_t)inputs + 1, sizeof *numbers);
    numbers[0] = bias;
    for (int i = 1; i <= inputs; i++) {
        numbers[i] = weight;
    }
    layer->bias = numbers;
    layer->synapses = random_alloc(n, 1, sizeof *layer->synapses);
    layer->synapses[0] = (td_synapses){.source = 0,
                                       .view = {inputs, 1, 1, true},
                                       .inputs = inputs,
                                       .outputs = 1,
                                       .window = TD_WINDOW_ONE,
                                       .groups = 1,
                                       .weights = numbers + 1};
    layer->synapse_count = 1;
    return n;
}

static td_network *one_neuron(float weight, float bias, int steps, int inputs) {
    tdsnn_code code;
    tdsnn_code_make(ctx, 1.0 / log(2.0), steps, 1.0, TDSNN_ROUND_NEAREST, 0, &code);
    return one_neuron_of(&code, weight, bias, inputs);
}

static int step_one(td_network *n, td_clock_mode mode, uint8_t *in, td_clock_counts *counts) {
    uint8_t out = 0, *times[2] = {in, &out};
    td_clock_layer *clock;
    td_clock_layer_create(ctx, n, 1, &clock);
    td_clock_run(clock, mode, times, &out, NULL, counts);
    td_clock_layer_destroy(clock);
    return out;
}

static void test_one_neuron(void) {
    td_clock_mode dynamic = {false, false}, fixed = {true, false}, firing = {false, true};
    td_clock_counts c;
    td_network *n = one_neuron(1.0f, 0.0f, 5, 2);
    /* 7 + 0: a spike at 3 is passed on as one at 3. It arrives at 3 = T_il; the bias neuron at
     * ceil(L ln 2) = 1, the first arrival; one leak from 1 to 3. */
    ok(step_one(n, dynamic, (uint8_t[]){3, 0}, &c) == 3, "7 comes out as a spike at 3");
    ok(c.adds == 2 && c.leaks == 1 && c.tick_adds == 3 && c.tick_leaks == 3 && c.bias_adds == 1 &&
           c.t_last_in == 3,
       "silent: one spike is two adds; one leak from the bias to the spike; three ticks");
    step_one(n, fixed, (uint8_t[]){3, 0}, &c);
    ok(c.leaks == 2 && c.t_last_in == 5, "fixed: another leak to the window's end");
    step_one(n, firing, (uint8_t[]){3, 0}, &c);
    ok(c.adds == 2 && c.leaks == 2 && c.t_last_in == 3,
       "all firing: two spikes, one add each; arrivals at 0, 1 (bias) and 3");
    step_one(n, dynamic, (uint8_t[]){4, 4}, &c);
    ok(c.adds == 4 && c.leaks == 1 && c.tick_adds == 5,
       "two spikes in one step share a leak; 15 + 15 = 30 waits for the closing tick");
    ok(step_one(n, dynamic, (uint8_t[]){0, 0}, &c) == 0 && c.adds == 0 && c.leaks == 0 &&
           c.t_last_in == 0 && c.tick_adds == 0,
       "no spikes: T_il = 0, the neuron fires at the release");
    step_one(n, dynamic, (uint8_t[]){1, 0}, &c);
    ok(c.leaks == 0, "a spike in the bias neuron's step is no step of its own");
    td_network_destroy(n);

    n = one_neuron(1.0f, 3.0f, 5, 1);
    ok(step_one(n, dynamic, (uint8_t[]){0}, NULL) == 2 &&
           step_one(n, dynamic, (uint8_t[]){3}, NULL) == 3 &&
           step_one(n, fixed, (uint8_t[]){3}, NULL) == 3,
       "a bias of 3 is worth 3 at every T_il: 3 is code 2, 10 rounds to 7, code 3");
    td_network_destroy(n);

    n = one_neuron(-1.0f, 3.0f, 5, 1);
    ok(step_one(n, dynamic, (uint8_t[]){5}, NULL) == 0, "a negative drive fires at the release");
    td_network_destroy(n);
}

/* The same neuron behind a pair with slope 1/2, and a pair itself: 7 and -3.5, encoded with both
 * signs; then a max-pool over two pairs, 3 and -7, -1 and -7. */
static void test_pair(void) {
    td_clock_mode modes[] = {{false, false}, {true, false}, {false, true}, {true, true}};
    td_network *n = one_neuron(1.0f, 0.0f, 5, 2);
    float slope[TDSNN_MAX_STEPS + 1] = {0};
    n->layers[0].pair = n->layers[1].pair = true;
    n->layers[0].negative = n->layers[1].negative = 0.5f;
    n->layers[0].negative_values = n->layers[1].negative_values = slope;
    uint8_t positive[] = {3, 0, 0, 0}, negative[] = {0, 0, 3, 0}, out[2];
    uint8_t *plus[2] = {positive, out}, *minus[2] = {negative, out};
    td_clock_layer *clock;
    td_clock_counts c;
    int wrong = 0;
    td_clock_layer_create(ctx, n, 1, &clock);
    for (int m = 0; m < 4; m++) {
        td_clock_run(clock, modes[m], plus, out, NULL, &c);
        wrong += out[0] != 3 || out[1] != 0;
        wrong += c.adds != (modes[m].all_firing ? 8 : 4) || c.bias_adds != 2;
        td_clock_run(clock, modes[m], minus, out, NULL, NULL);
        wrong += out[0] != 0 || out[1] != 2; /* 3.5 lies between 3 and 7, below the middle */
    }
    td_clock_layer_destroy(clock);
    ok(wrong == 0, "a pair behind a pair: both neurons, all their synapses, the second negated");

    n->layers[1].kind = TD_LAYER_POOL;
    n->layers[1].shape = (td_shape){1, 1, 1, false};
    n->layers[0].shape = n->layers[1].synapses[0].view = (td_shape){1, 1, 2, false};
    n->layers[1].synapses[0].inputs = 1;
    n->layers[1].synapses[0].window.x.kernel = 2;
    uint8_t mixed[] = {2, 0, 0, 3}, both[] = {0, 0, 1, 3};
    uint8_t *first[2] = {mixed, out}, *second[2] = {both, out};
    td_clock_layer_create(ctx, n, 1, &clock);
    td_clock_run(clock, modes[0], first, out, NULL, &c);
    ok(out[0] == 2 && out[1] == 0 && c.adds == 4, "max(3, -7) is 3: the last +, the first -");
    td_clock_run(clock, modes[0], second, out, NULL, NULL);
    ok(out[0] == 0 && out[1] == 1, "max(-1, -7) is -1");
    td_clock_layer_destroy(clock);
    td_network_destroy(n);
}

/* Ties: a synapse of weight 1 between neurons of one code makes drives that are codes, which the
 * paper's ceiling puts exactly on its steps. */
static void test_identity(tdsnn_rounding rounding, int offset) {
    int wrong = 0, checked = 0;
    for (int steps = 1; steps <= TDSNN_MAX_STEPS; steps += steps < 9 ? 1 : 41) {
        for (double ratio = 0.25; ratio < 5.0; ratio *= 1.7) {
            tdsnn_code code;
            tdsnn_code_make(ctx, steps * ratio, steps, 0.3 * ratio, rounding, offset, &code);
            td_network *n = one_neuron_of(&code, 1.0f, 0.0f, 1);
            float correction = offset == 1 ? -code.scale : 0.0f;
            n->layers[1].bias = &correction; /* a drive of v_T - s, which is where T fires */
            for (int t = 0; t <= steps; t++) {
                for (int m = 0; m < 4; m++) {
                    td_clock_mode mode = {.fixed = m & 1, .all_firing = m & 2};
                    wrong += step_one(n, mode, (uint8_t[]){(uint8_t)t}, NULL) != t;
                    checked++;
                }
            }
            td_network_destroy(n);
        }
    }
    ok(wrong == 0, "rounding %d, offset %d: an identity passes on %d of %d spikes late or early",
       (int)rounding, offset, wrong, checked);
}

/* [P 9]: where a layer has the leak that it reads, (tau_j - tau_{j-1}) exp(-j/L) is the same for
 * every tick, c s (1 - exp(-1/L)); only the rounding of thresholds to float is left. */
static void test_paper_tick(void) {
    int wrong = 0, checked = 0;
    for (int steps = 2; steps <= TDSNN_MAX_STEPS; steps += 11) {
        for (int rounding = 0; rounding < 2; rounding++) {
            double leak = steps * 1.5, s = 0.3, d = exp(-1.0 / leak);
            double c = rounding == TDSNN_ROUND_CEIL ? 1.0 + 0x1p-20 : (1.0 + 1.0 / d) / 2.0;
            tdsnn_code code;
            tdsnn_code_make(ctx, leak, steps, s, (tdsnn_rounding)rounding, 0, &code);
            for (int j = 1; j < steps; j++) {
                double increment = (double)code.thresholds[j] - code.thresholds[j - 1];
                wrong += fabs(increment * exp(-j / leak) - c * s * (1.0 - d)) > 1e-7;
                checked++;
            }
        }
    }
    ok(wrong == 0, "the paper's tick is constant: %d of %d differ", wrong, checked);
}

/* [P 7], which is [P 6] for theta = 0: with the paper's ticks a drive of A fires at ceil(L ln(A/s +
 * 1)), whatever T_il; drives that lie within a thousandth of a step of a tie are left out. */
static void test_paper_time(void) {
    td_random r;
    td_random_seed(&r, 1, 700);
    int wrong = 0, checked = 0;
    for (int i = 0; i < 3000; i++) {
        int steps = random_int(&r, 1, 60);
        tdsnn_code code;
        tdsnn_code_make(ctx, steps * (0.3 + 3.0 * td_random_uniform(&r)), steps, 0.7,
                        TDSNN_ROUND_CEIL, 0, &code);
        float drive = (float)(td_random_uniform(&r) * 1.2) * code.values[steps];
        double exact = code.leak * log((double)drive / code.scale + 1.0);
        if (fabs(exact - round(exact)) < 1e-3) {
            continue;
        }
        int expected = (int)fmin(ceil(exact), steps);
        td_network *n = one_neuron_of(&code, 0.0f, drive, 1); /* a weight of 0: T_il alone */
        uint8_t t = (uint8_t)random_int(&r, 0, steps);
        for (int m = 0; m < 4; m++) {
            wrong += step_one(n, (td_clock_mode){m & 1, m & 2}, &t, NULL) != expected;
            checked++;
        }
        td_network_destroy(n);
    }
    ok(wrong == 0 && checked > 10000,
       "ceil, seed 1: %d of %d drives fire at another time than [P 7]", wrong, checked);
}

/* Each fault changes what it says it changes. */
static void test_faults(void) {
    td_clock_mode dynamic = {false, false};
    td_network *n = one_neuron(1.0f, 0.0f, 5, 2);
    uint8_t in[] = {3, 0}, out, *times[2] = {in, &out};
    static const struct {
        td_clock_fault fault;
        size_t place;
        int expected; /* drive 7 = code 3 without a fault */
        const char *what;
    } cases[] = {
        {TD_FAULT_WEIGHT_SIGN, 0, 0, "weight sign: the drive is -7"},
        {TD_FAULT_WEIGHT_SIGN, 1, 3, "weight sign of a silent input"},
        {TD_FAULT_WEIGHT_EXPONENT, 0, 4, "weight exponent: the drive is 14 or 3.5"},
        {TD_FAULT_ARRIVAL, 0, 4, "a late arrival is worth 15"},
        {TD_FAULT_ARRIVAL, 1, 3, "a late arrival of a spike that is not sent"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        td_clock_layer *clock;
        td_clock_layer_create(ctx, n, 1, &clock);
        td_clock_mutate(clock, cases[i].fault, cases[i].place);
        td_clock_run(clock, dynamic, times, &out, NULL, NULL);
        bool halved = cases[i].fault == TD_FAULT_WEIGHT_EXPONENT && out == 2;
        ok(out == cases[i].expected || halved, "%s: %d", cases[i].what, out);
        td_clock_layer_destroy(clock);
    }
    td_network_destroy(n);
}

/* A layer behind an input without a code cannot be stepped, and says so. */
static void test_analog(void) {
    td_network *n = one_neuron(1.0f, 0.0f, 5, 1);
    n->layers[0].code = NULL;
    td_clock_layer *clock = NULL;
    ok(!td_clock_can_step(n, 1) && !td_clock_can_step(n, 0), "an analog input sends no spikes");
    ok(td_clock_layer_create(ctx, n, 1, &clock) == TDSNN_ERR_UNSUPPORTED && clock == NULL &&
           strstr(tdsnn_last_error(ctx), "'out'") != NULL,
       "%s", tdsnn_last_error(ctx));
    td_error_clear(ctx);
    td_network_destroy(n);
}

int main(void) {
    ctx = tdsnn_context_create();
    test_one_neuron();
    test_pair();
    test_identity(TDSNN_ROUND_CEIL, 0);
    test_identity(TDSNN_ROUND_CEIL, 1);
    test_identity(TDSNN_ROUND_NEAREST, 0);
    test_identity(TDSNN_ROUND_NEAREST, 1);
    test_paper_tick();
    test_paper_time();
    test_faults();
    test_analog();
    for (int offset = 0; offset < 2; offset++) {
        for (int rounding = 0; rounding < 3; rounding++) {
            test_random(offset, (tdsnn_rounding)rounding, true);
            test_random(offset, (tdsnn_rounding)rounding, false);
        }
    }
    tdsnn_context_destroy(ctx);
    return tap_end();
}
