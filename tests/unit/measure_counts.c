#include "measure/counts.h"

#include <string.h>

#include "engine/clock.h"
#include "mnist_network.h"
#include "random_network.h"
#include "stepped_counts.h"
#include "tap.h"

static tdsnn_context *ctx;

/* Spike times of every layer; silent or not, early or late, unlike any real network's if `wild`. */
static void make_times(td_random *r, const td_network *n, td_activity *a, td_reference *reference,
                       bool wild) {
    td_reference_run(reference, a);
    for (int i = 0; wild && i < n->layer_count; i++) {
        const td_layer *layer = &n->layers[i];
        if (layer->kind == TD_LAYER_POOL) {
            td_pool_times(layer, a->times[layer->synapses[0].source], a->times[i]);
        } else if (layer->code != NULL) {
            int silence = random_int(r, 0, 3), last = random_int(r, 0, layer->code->steps);
            for (size_t j = 0; j < td_layer_neurons(layer); j++) {
                bool fires = random_int(r, 0, 3) >= silence;
                a->times[i][j] = fires ? (uint8_t)random_int(r, 0, last) : 0;
            }
        }
    }
}

/* Whether the counter agrees with the stepped count on every layer; `a` holds the input. */
static int differing_layers(td_random *r, const td_network *n, td_activity *a, bool wild,
                            td_counter *counter, td_reference *reference, tdsnn_counts *brute,
                            uint64_t *t_last_in) {
    int wrong = 0;
    uint64_t found;
    make_times(r, n, a, reference, wild);
    td_counter_add(counter, a);
    for (int i = 1; i < n->layer_count; i++) {
        count_by_stepping(ctx, n, i, a, &brute[i], &t_last_in[i]);
        tdsnn_counts c = td_counter_layer(counter, i, &found);
        wrong += !same_counts(&c, &brute[i]) || found != t_last_in[i];
    }
    return wrong;
}

static void test_random(int offset, bool wild) {
    uint64_t layers = 0, wrong = 0, leaks = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        td_random r;
        td_random_seed(&r, seed, (uint64_t)(100 + offset * 2 + wild));
        random_network_options options = {.offset = offset,
                                          .rounding = TDSNN_ROUND_NEAREST,
                                          .biases = true,
                                          .one_leak = seed % 2 == 0,
                                          .ties = false};
        td_network *n = random_network(ctx, &r, &options);
        td_activity *a;
        td_reference *reference;
        td_counter *counter;
        td_activity_create(ctx, n, &a);
        td_reference_create(ctx, n, &reference);
        td_counter_create(ctx, n, &counter);
        tdsnn_counts brute[8] = {0};
        uint64_t t_last_in[8] = {0}, ignored;
        for (int s = 0; s < 3; s++) {
            random_sample(&r, n, a->input);
            int differ = differing_layers(&r, n, a, wild, counter, reference, brute, t_last_in);
            if (differ > 0) {
                printf("# seed %d differs\n", (int)seed);
            }
            wrong += (uint64_t)differ;
            layers += (uint64_t)n->layer_count - 1;
        }
        tdsnn_counts c = td_counter_layer(counter, n->layer_count - 1, &ignored);
        leaks += c.paper_leaks + c.silent_leaks;
        td_counter_destroy(counter);
        td_reference_destroy(reference);
        td_activity_destroy(a);
        td_network_destroy(n);
    }
    ok(wrong == 0 && leaks > 10000,
       "offset %d, %s spike times, seeds 0 .. 149: %d of %d layers differ from the stepped count",
       offset, wild ? "wild" : "real", (int)wrong, (int)layers);
}

/* The same on LeNet and MNIST. */
static void test_mnist(int offset) {
    const char *folder = mnist_folder();
    if (folder == NULL) {
        ok(true, "# SKIP LeNet and MNIST are not there (TDSNN_SHARED_DATA)");
        return;
    }
    tdsnn_convert_options options = TDSNN_CONVERT_OPTIONS_INIT;
    options.steps = 7;
    options.calibration_samples = 16;
    options.offset = offset;
    mnist_network m = mnist_open(ctx, folder, &options, true);
    td_activity *a;
    td_reference *reference;
    td_counter *counter;
    td_activity_create(ctx, m.network, &a);
    td_reference_create(ctx, m.network, &reference);
    td_counter_create(ctx, m.network, &counter);
    tdsnn_counts brute[8] = {0};
    uint64_t t_last_in[8] = {0}, ignored;
    int wrong = m.network->layer_count > 8;
    for (size_t s = 0; s < 3 && wrong == 0; s++) {
        tdsnn_data_read(ctx, m.test, s, a->input, NULL);
        wrong += differing_layers(NULL, m.network, a, false, counter, reference, brute, t_last_in);
    }
    uint64_t macs = 0;
    for (int i = 1; i < m.network->layer_count; i++) {
        macs += td_counter_layer(counter, i, &ignored).macs;
    }
    ok(wrong == 0 && macs == 3 * 2293000,
       "offset %d, LeNet on three digits: %d layers differ from the stepped count", offset, wrong);
    td_counter_destroy(counter);
    td_reference_destroy(reference);
    td_activity_destroy(a);
    mnist_close(&m);
}

/* Ticks, spikes and zero spikes, on a network's own spike times. */
static void test_ticks(int offset) {
    int wrong = 0;
    uint64_t zeros = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        td_random r;
        td_random_seed(&r, seed, 200);
        random_network_options options = {
            .offset = offset, .rounding = TDSNN_ROUND_NEAREST, .biases = true};
        td_network *n = random_network(ctx, &r, &options);
        td_activity *a;
        td_reference *reference;
        td_counter *counter;
        td_activity_create(ctx, n, &a);
        td_reference_create(ctx, n, &reference);
        td_counter_create(ctx, n, &counter);
        random_sample(&r, n, a->input);
        td_reference_run(reference, a);
        td_counter_add(counter, a);
        for (int i = 1; i < n->layer_count; i++) {
            const td_layer *layer = &n->layers[i];
            uint64_t ignored;
            tdsnn_counts c = td_counter_layer(counter, i, &ignored);
            td_clock_layer *clock;
            td_clock_counts stepped;
            double *potentials = td_alloc(ctx, td_shape_count(layer->shape), sizeof *potentials);
            td_clock_layer_create(ctx, n, i, &clock);
            td_clock_run(clock, (td_clock_mode){false, false}, a->times, a->times[i], potentials,
                         &stepped);
            td_clock_layer_destroy(clock);
            td_free(potentials);
            uint64_t spikes = 0, silent = 0, count = td_layer_neurons(layer);
            for (size_t j = 0; layer->code != NULL && j < count; j++) {
                spikes += a->times[i][j] > 0;
                silent += a->times[i][j] == 0;
            }
            bool hidden = layer->kind != TD_LAYER_READOUT;
            wrong += c.ticks != stepped.tick_adds || c.ticks != stepped.tick_leaks;
            wrong += c.neurons != (hidden ? count : 0);
            wrong += c.spikes != (offset == 1 && hidden ? count : spikes);
            wrong += c.zero_spikes != (offset == 0 && layer->feeds_pool ? silent : 0);
            zeros += c.zero_spikes;
        }
        td_counter_destroy(counter);
        td_reference_destroy(reference);
        td_activity_destroy(a);
        td_network_destroy(n);
    }
    ok(wrong == 0 && (offset == 1 || zeros > 0),
       "offset %d: ticks, neurons, spikes and zero spikes: %d wrong", offset, wrong);
}

/* Sums of two counters are the sums of one that saw all samples; latency by hand. */
static void test_merge_and_latency(void) {
    td_random r;
    td_random_seed(&r, 3, 300);
    random_network_options options = {.biases = true};
    td_network *n = random_network(ctx, &r, &options);
    td_activity *a;
    td_reference *reference;
    td_counter *all, *first, *second;
    td_activity_create(ctx, n, &a);
    td_reference_create(ctx, n, &reference);
    td_counter_create(ctx, n, &all);
    td_counter_create(ctx, n, &first);
    td_counter_create(ctx, n, &second);
    for (int s = 0; s < 6; s++) {
        random_sample(&r, n, a->input);
        td_reference_run(reference, a);
        td_counter_add(all, a);
        td_counter_add(s % 2 ? first : second, a);
    }
    td_counter_merge(first, second);
    int wrong = td_counter_latency_dynamic(all) != td_counter_latency_dynamic(first);
    uint64_t x, y;
    for (int i = 0; i < n->layer_count; i++) {
        tdsnn_counts c = td_counter_layer(all, i, &x), d = td_counter_layer(first, i, &y);
        wrong += memcmp(&c, &d, sizeof c) != 0 || x != y;
    }
    ok(wrong == 0, "merged counters hold the sums");
    td_counter_destroy(all);
    td_counter_destroy(first);
    td_counter_destroy(second);
    td_reference_destroy(reference);
    td_activity_destroy(a);
    td_network_destroy(n);
}

/* A chain of two layers and a pool: the longest path is the sum of the windows that are waited for.
 * A shortcut around the second layer does not shorten it. */
static void test_latency(void) {
    tdsnn_code in, hidden;
    tdsnn_code_make(ctx, 20, 10, 1, TDSNN_ROUND_NEAREST, 0, &in);
    tdsnn_code_make(ctx, 20, 4, 1, TDSNN_ROUND_NEAREST, 0, &hidden);
    float one = 1.0f, zero = 0.0f;
    td_shape shape = {1, 1, 1, false};
    td_synapses from[4][2];
    for (int i = 0; i < 4; i++) {
        td_synapses s = {.source = i, .view = shape, .window = TD_WINDOW_ONE, .groups = 1};
        s.inputs = s.outputs = 1;
        s.macs = 1;
        s.weights = s.packed = &one;
        from[i][0] = from[i][1] = s;
    }
    from[3][1].source = 1;
    td_layer layers[5] = {
        {.name = "in", .kind = TD_LAYER_INPUT, .shape = shape, .code = &in},
        {.name = "a", .kind = TD_LAYER_SYNAPSES, .code = &hidden, .synapses = from[0]},
        {.name = "pool", .kind = TD_LAYER_POOL, .code = &hidden, .synapses = from[1]},
        {.name = "b", .kind = TD_LAYER_SYNAPSES, .code = &hidden, .synapses = from[2]},
        {.name = "out", .kind = TD_LAYER_READOUT, .synapses = from[3]}};
    for (int i = 0; i < 5; i++) {
        layers[i].shape = shape;
        layers[i].synapse_count = i == 0 ? 0 : i == 4 ? 2 : 1;
        layers[i].bias = layers[i].event_bias = &zero;
    }
    td_network n = {.path = "latency", .layer_count = 5, .layers = layers, .classes = 1};
    td_counter *counter;
    td_activity *a;
    td_counter_create(ctx, &n, &counter);
    td_activity_create(ctx, &n, &a);
    ok(td_counter_latency_fixed(counter) == 10 + 4 + 4, "fixed: 10 + 4 + 4 steps");
    a->times[0][0] = 7;
    a->times[1][0] = a->times[2][0] = 3;
    a->times[3][0] = 0;
    td_counter_add(counter, a);
    ok(td_counter_latency_dynamic(counter) == 7 + 3 + 3,
       "dynamic: 7, 3, and 3 for the shortcut's spike");
    uint64_t t;
    tdsnn_counts c = td_counter_layer(counter, 4, &t);
    /* paper: two synapses, spikes at 3 and 0, bias at 3 (T(1) = 14 > T_il): steps {0, 3}, one leak.
     * silent: the one at 3 alone. */
    ok(t == 3 && c.paper_adds == 2 && c.silent_adds == 2 && c.paper_leaks == 1 &&
           c.silent_leaks == 0 && c.bias_adds == 1 && c.ticks == 0 && c.neurons == 0,
       "the read-out by hand");
    c = td_counter_layer(counter, 1, &t);
    ok(tdsnn_ops_paper(&c) == 1 + 0 + 2 * 3 + 1 && tdsnn_ops_silent(&c) == 2 + 0 + 2 * 3 + 1,
       "operations: adds, leaks, two a tick, bias");
    c = td_counter_layer(counter, 2, &t);
    ok(t == 0 && c.pool_adds == 1 && tdsnn_ops_paper(&c) == 1 && tdsnn_ops_silent(&c) == 1,
       "a pool adds once a member");
    td_counter_destroy(counter);

    layers[0].code = NULL;
    td_counter_create(ctx, &n, &counter);
    td_counter_add(counter, a);
    c = td_counter_layer(counter, 1, &t);
    ok(t == 0 && c.paper_adds == 2 && c.silent_adds == 2 && c.macs == 1 && c.analog_macs == 1 &&
           c.paper_leaks == 0 && c.executed_macs == 1 && td_counter_latency_fixed(counter) == 8,
       "behind an analog input: dense multiply-adds, no window");
    td_counter_destroy(counter);
    layers[0].code = &in;
    td_activity_destroy(a);
}

int main(void) {
    ctx = tdsnn_context_create();
    for (int offset = 0; offset < 2; offset++) {
        test_random(offset, true);
        test_random(offset, false);
        test_ticks(offset);
        test_mnist(offset);
    }
    test_merge_and_latency();
    test_latency();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
