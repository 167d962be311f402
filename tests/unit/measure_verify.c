#include "measure/verify.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/plan.h"
#include "measure/formula.h"
#include "mnist_network.h"
#include "random_network.h"
#include "tap.h"

#define SAMPLES 6

static tdsnn_context *ctx;

/* ---------------------------------------------------------------------------------- the proof */

/* A network and samples for it. */
typedef struct problem {
    td_network *network;
    size_t size; /* of one sample */
    float *samples;
} problem;

static problem make_problem(uint64_t seed, const random_network_options *options) {
    td_random r;
    td_random_seed(&r, seed, 400);
    problem p = {.network = random_network(ctx, &r, options)};
    p.size = td_shape_count(p.network->layers[0].shape);
    p.samples = td_alloc(ctx, p.size * SAMPLES, sizeof *p.samples);
    for (size_t s = 0; s < SAMPLES; s++) {
        random_sample(&r, p.network, p.samples + s * p.size);
    }
    return p;
}

static void free_problem(problem *p) {
    td_network_destroy(p->network);
    td_free(p->samples);
}

static tdsnn_status read_sample(tdsnn_context *c, const void *user, size_t index, float *values) {
    const problem *p = user;
    (void)c;
    memcpy(values, p->samples + index * p->size, p->size * sizeof *values);
    return TDSNN_OK;
}

static td_plan *make_plan(const td_network *network) {
    td_plan *plan;
    if (td_plan_create(ctx, network, td_kernels_find(NULL), NULL, &plan) != TDSNN_OK) {
        exit(1);
    }
    return plan;
}

/* Verify with any samples. */
static tdsnn_status verify_samples(const problem *p, td_sample_fn read, const void *read_user,
                                   td_clock_hook hook, void *user, tdsnn_verify_result **result) {
    td_plan *plan = make_plan(p->network);
    td_error_clear(ctx);
    tdsnn_status status =
        td_verify_network(ctx, p->network, plan, SAMPLES, read, read_user, hook, user, result);
    td_plan_destroy(plan);
    return status;
}

static tdsnn_status verify(const problem *p, td_clock_hook hook, void *user,
                           tdsnn_verify_result **result) {
    return verify_samples(p, read_sample, p, hook, user, result);
}

static void test_sound(int offset, tdsnn_rounding rounding, bool biases, bool ties) {
    uint64_t neurons = 0, mismatches = 0, parted = 0, beyond = 0, readouts = 0, failed = 0;
    uint64_t fast = 0;
    uint64_t expected = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        random_network_options options = {.offset = offset,
                                          .rounding = rounding,
                                          .biases = biases,
                                          .one_leak = seed % 2 == 0,
                                          .ties = ties};
        problem p = make_problem(seed, &options);
        tdsnn_verify_result *r;
        if (verify(&p, NULL, NULL, &r) != TDSNN_OK) {
            printf("# seed %d: %s\n", (int)seed, tdsnn_last_error(ctx));
            failed++;
        }
        int modes = offset == 0 ? 4 : 2;
        failed += r->mode_count != modes || !r->passed || r->samples != SAMPLES;
        for (int i = 1; i < p.network->layer_count - 1; i++) {
            size_t count = td_layer_neurons(&p.network->layers[i]);
            expected += count * SAMPLES * (uint64_t)modes;
        }
        neurons += r->neurons_checked;
        mismatches += r->neuron_vs_formula_mismatches;
        fast += r->fast_vs_reference_mismatches;
        parted += r->float_vs_double_mismatches;
        beyond += r->float_vs_double_beyond_bound;
        readouts += r->readout_mismatches;
        tdsnn_verify_result_free(r);
        free_problem(&p);
    }
    ok(failed == 0 && mismatches + fast + beyond + readouts == 0 && neurons == expected,
       "offset %d, rounding %d, biases %d, ties %d, seeds 0 .. 39: %d of %d neurons differ, %d "
       "float "
       "against double",
       offset, (int)rounding, biases, ties, (int)mismatches, (int)neurons, (int)parted);
}

/* The public call on LeNet and MNIST, with the shared data. */
static void test_mnist(const char *what, const tdsnn_convert_options *options, bool biases,
                       size_t images) {
    const char *folder = mnist_folder();
    if (folder == NULL) {
        ok(true, "# SKIP LeNet and MNIST are not there (TDSNN_SHARED_DATA)");
        return;
    }
    mnist_network m = mnist_open(ctx, folder, options, biases);
    tdsnn_verify_options o = TDSNN_VERIFY_OPTIONS_INIT;
    o.limit = images;
    tdsnn_verify_result *r;
    tdsnn_status status = tdsnn_verify(ctx, m.model, m.test, &o, &r);
    uint64_t hidden = 11520 + 2880 + 3200 + 800 + 500;
    uint64_t modes = options->offset == 0 ? 4 : 2;
    hidden -= options->input_steps < 0 ? 11520 : 0; /* the first layer is analog */
    ok(status == TDSNN_OK && r->passed && r->neurons_checked == images * modes * hidden &&
           r->neuron_vs_formula_mismatches == 0 && r->readout_mismatches == 0 &&
           r->float_vs_double_beyond_bound == 0,
       "LeNet, %s: %d neurons checked", what, (int)r->neurons_checked);
    tdsnn_verify_result_free(r);
    if (options->input_steps < 0) { /* enough once */
        ok(tdsnn_verify(ctx, m.source, m.test, &o, &r) == TDSNN_ERR_USAGE, "a plain network: %s",
           tdsnn_last_error(ctx));
        o.size = 1;
        ok(tdsnn_verify(ctx, m.model, m.test, &o, &r) == TDSNN_ERR_USAGE, "%s",
           tdsnn_last_error(ctx));
    }
    mnist_close(&m);
}

static void test_all_mnist(void) {
    tdsnn_convert_options options = TDSNN_CONVERT_OPTIONS_INIT;
    options.steps = 7;
    options.calibration_samples = 16;
    test_mnist("nearest", &options, true, 5);
    options.input_steps = -1;
    test_mnist("nearest, analog input", &options, true, 5);
    options.input_steps = 0;
    options.rounding = TDSNN_ROUND_CEIL;
    test_mnist("ceil", &options, true, 5);
    test_mnist("ceil, no biases: ties", &options, false, 100);
    options.offset = 1;
    test_mnist("ceil, offset 1", &options, true, 5);
}

/* --------------------------------------------------------------------------------- mutations */

typedef struct mutation {
    td_clock_fault fault;
    int layer;
    size_t place;
} mutation;

static void apply_mutation(void *user, int layer, td_clock_layer *clock) {
    const mutation *m = user;
    if (layer == m->layer) {
        td_clock_mutate(clock, m->fault, m->place);
    }
}

/* What brute force says: the first spike time that the fault changes, in the order of samples,
 * modes, neurons. */
typedef struct change {
    bool found;
    size_t sample, neuron;
    td_clock_mode mode;
    int time, time_before;
} change;

static void compare_runs(const problem *p, const mutation *m, td_activity *a, td_clock_layer *sound,
                         td_clock_layer *faulty, size_t sample, change *c) {
    static const td_clock_mode modes[] = {
        {false, false}, {true, false}, {false, true}, {true, true}};
    size_t count = td_layer_neurons(&p->network->layers[m->layer]);
    uint8_t *before = td_alloc(ctx, count, 1), *after = td_alloc(ctx, count, 1);
    for (int k = 0; k < 4 && !c->found; k++) {
        td_clock_run(sound, modes[k], a->times, before, NULL, NULL);
        td_clock_run(faulty, modes[k], a->times, after, NULL, NULL);
        for (size_t n = 0; n < count && !c->found; n++) {
            if (before[n] != after[n]) {
                *c = (change){true, sample, n, modes[k], after[n], before[n]};
            }
        }
    }
    td_free(before);
    td_free(after);
}

static change brute_force(const problem *p, const mutation *m) {
    td_activity *a;
    td_reference *reference;
    td_clock_layer *sound, *faulty;
    td_activity_create(ctx, p->network, &a);
    td_reference_create(ctx, p->network, &reference);
    td_clock_layer_create(ctx, p->network, m->layer, &sound);
    td_clock_layer_create(ctx, p->network, m->layer, &faulty);
    td_clock_mutate(faulty, m->fault, m->place);
    change c = {0};
    for (size_t s = 0; s < SAMPLES && !c.found; s++) {
        memcpy(a->input, p->samples + s * p->size, p->size * sizeof *a->input);
        td_reference_run(reference, a);
        compare_runs(p, m, a, sound, faulty, s, &c);
    }
    td_clock_layer_destroy(sound);
    td_clock_layer_destroy(faulty);
    td_reference_destroy(reference);
    td_activity_destroy(a);
    return c;
}

/* Whether verify finds exactly what brute force found, and says it. */
static bool found_it(const problem *p, const mutation *m, const change *c) {
    tdsnn_verify_result *r;
    if (verify(p, apply_mutation, (void *)m, &r) != TDSNN_ERR_CHECK) {
        return false;
    }
    const tdsnn_verify_failure *f = &r->first;
    const td_layer *layer = &p->network->layers[m->layer];
    int plane = layer->shape.h * layer->shape.w, values = (int)td_shape_count(layer->shape);
    int n = (int)c->neuron % values;
    const char *half = !layer->pair ? "" : (int)c->neuron < values ? "+" : "-";
    char mode[40], words[200];
    snprintf(mode, sizeof mode, "%s, %s", c->mode.fixed ? "fixed" : "dynamic",
             c->mode.all_firing ? "all firing" : "silent");
    int step = c->time < c->time_before ? c->time : c->time_before;
    bool same = !r->passed && f->sample == c->sample && strcmp(f->layer, layer->name) == 0 &&
                f->channel == n / plane && f->y == n % plane / layer->shape.w &&
                f->x == n % layer->shape.w && strcmp(f->half, half) == 0 &&
                f->time_found == c->time && f->time_expected == c->time_before && f->step == step &&
                strcmp(f->mode, mode) == 0 && strcmp(f->check, "neuron against formula") == 0 &&
                f->threshold == layer->code->thresholds[step];
    snprintf(
        words, sizeof words,
        "sample %zu, layer '%s', neuron (%d, %d, %d)%s, %s: neuron against formula: it fires at "
        "%d where the formula in double says %d; at step %d",
        c->sample, layer->name, f->channel, f->y, f->x, half, mode, c->time, c->time_before, step);
    bool said = strstr(tdsnn_last_error(ctx), words) != NULL;
    uint64_t wrong = 0;
    for (int i = 0; i < r->layer_count; i++) {
        wrong += i == m->layer ? 0 : r->layers[i].neuron_vs_formula_mismatches;
    }
    tdsnn_verify_result_free(r);
    return same && said && wrong == 0; /* the fault has not spread to other layers */
}

/* Ten places where the fault changes a spike time: verify finds each. As many where it changes
 * none: verify passes. */
static void test_fault(td_clock_fault fault, const char *what) {
    int tried = 0, changed = 0, found = 0, unchanged = 0, passed = 0;
    for (uint64_t seed = 0; seed < 400 && changed < 10; seed++) {
        random_network_options options = {.biases = true};
        problem p = make_problem(1000 + seed, &options);
        td_random r;
        td_random_seed(&r, seed, 500);
        for (int i = 1; i < p.network->layer_count; i++) {
            if (p.network->layers[i].kind != TD_LAYER_SYNAPSES) {
                continue;
            }
            td_clock_layer *clock;
            td_clock_layer_create(ctx, p.network, i, &clock);
            size_t places = td_clock_places(clock, fault), first = fault == TD_FAULT_TICK;
            td_clock_layer_destroy(clock);
            if (places <= first) {
                continue;
            }
            mutation m = {fault, i, first + td_random_below(&r, places - first)};
            change c = brute_force(&p, &m);
            tried++;
            if (c.found && changed < 10) {
                changed++;
                found += found_it(&p, &m, &c);
            } else if (!c.found && unchanged < 10) {
                tdsnn_verify_result *result;
                unchanged++;
                passed += verify(&p, apply_mutation, &m, &result) == TDSNN_OK;
                tdsnn_verify_result_free(result);
            }
        }
        free_problem(&p);
    }
    ok(changed == 10 && found == 10,
       "%s: %d of %d faults found and named (seeds from 1000, %d places tried)", what, found,
       changed, tried);
    ok(passed == unchanged, "%s: %d of %d faults without effect raise no alarm", what, passed,
       unchanged);
}

/* ------------------------------------------------------------------------ fast against reference
 */

/* Flips the sign or the lowest exponent bit of one weight of a plan's packed copy. */
static bool damage(td_plan *plan, td_random *r) {
    const td_layer_plan *l =
        &plan->layers[td_random_below(r, (uint64_t)plan->network->layer_count)];
    if (l->block_count == 0) {
        return false;
    }
    const td_block *block = &l->blocks[td_random_below(r, (uint64_t)l->block_count)];
    const float *weights = block->weights[td_random_below(r, (uint64_t)l->route_count)];
    if (weights == NULL) {
        return false;
    }
    uint32_t bits;
    float *weight = (float *)&weights[td_random_below(r, (uint64_t)block->outputs)];
    memcpy(&bits, weight, sizeof bits);
    bits ^= td_random_below(r, 2) == 0 ? 0x80000000u : 0x00800000u;
    memcpy(weight, &bits, sizeof bits);
    return true;
}

/* The first difference that the plan's runs show, in the order of samples, layers, neurons. */
typedef struct difference {
    bool found;
    size_t sample, neuron;
    int layer, fast, reference; /* spike times; -1 of logits */
} difference;

static void compare_sample(const td_network *n, const td_activity *fast,
                           const td_activity *reference, difference *d) {
    for (int i = 0; i < n->layer_count && !d->found; i++) {
        bool readout = n->layers[i].kind == TD_LAYER_READOUT;
        size_t count = td_layer_neurons(&n->layers[i]);
        for (size_t k = 0; k < count && !d->found; k++) {
            bool same = readout
                            ? memcmp(&fast->logits[k], &reference->logits[k], sizeof(float)) == 0
                            : fast->times[i][k] == reference->times[i][k];
            d->found = !same;
            d->layer = i;
            d->neuron = k;
            d->fast = readout ? -1 : fast->times[i][k];
            d->reference = readout ? -1 : reference->times[i][k];
        }
    }
}

static difference run_both(const problem *p, const td_plan *plan) {
    td_activity *fast, *reference;
    td_session *session;
    td_reference *sound;
    td_activity_create(ctx, p->network, &fast);
    td_activity_create(ctx, p->network, &reference);
    td_session_create(ctx, plan, 1, &session);
    td_reference_create(ctx, p->network, &sound);
    difference d = {0};
    for (size_t s = 0; s < SAMPLES && !d.found; s++) {
        memcpy(fast->input, p->samples + s * p->size, p->size * sizeof *fast->input);
        memcpy(reference->input, fast->input, p->size * sizeof *fast->input);
        td_session_run(session, fast, true);
        td_reference_run(sound, reference);
        d.sample = s;
        compare_sample(p->network, fast, reference, &d);
    }
    td_reference_destroy(sound);
    td_session_destroy(session);
    td_activity_destroy(reference);
    td_activity_destroy(fast);
    return d;
}

/* Whether verify finds exactly that. */
static bool names_difference(const problem *p, const td_plan *plan, const difference *d) {
    tdsnn_verify_result *r;
    td_error_clear(ctx);
    if (td_verify_network(ctx, p->network, plan, SAMPLES, read_sample, p, NULL, NULL, &r) !=
        TDSNN_ERR_CHECK) {
        return false;
    }
    const tdsnn_verify_failure *f = &r->first;
    const td_layer *layer = &p->network->layers[d->layer];
    size_t place =
        ((size_t)f->channel * (size_t)layer->shape.h + (size_t)f->y) * (size_t)layer->shape.w +
        (size_t)f->x;
    place += strcmp(f->half, "-") == 0 ? td_shape_count(layer->shape) : 0;
    bool same = !r->passed && strcmp(f->check, "fast against reference") == 0 &&
                f->sample == d->sample && strcmp(f->layer, layer->name) == 0 &&
                place == d->neuron && f->time_found == d->fast &&
                f->time_expected == d->reference && r->fast_vs_reference_mismatches > 0 &&
                r->neuron_vs_formula_mismatches == 0 && r->float_vs_double_beyond_bound == 0 &&
                strstr(tdsnn_last_error(ctx), "fast against reference: ") != NULL;
    tdsnn_verify_result_free(r);
    return same;
}

/* A weight of the event engine's packed copy that changes a spike time or a logit is found and the
 * first neuron named; one that changes nothing raises no alarm. */
static void test_fast_fault(void) {
    int changed = 0, found = 0, times = 0, unchanged = 0, passed = 0;
    for (uint64_t seed = 0; seed < 120; seed++) {
        random_network_options options = {.biases = true, .one_leak = true};
        problem p = make_problem(5000 + seed, &options);
        td_plan *plan = make_plan(p.network);
        td_random r;
        td_random_seed(&r, seed, 700);
        if (damage(plan, &r)) {
            difference d = run_both(&p, plan);
            tdsnn_verify_result *result;
            changed += d.found;
            unchanged += !d.found;
            times += d.found && d.fast >= 0;
            found += d.found && names_difference(&p, plan, &d);
            if (!d.found) {
                passed += td_verify_network(ctx, p.network, plan, SAMPLES, read_sample, &p, NULL,
                                            NULL, &result) == TDSNN_OK;
                tdsnn_verify_result_free(result);
            }
        }
        td_plan_destroy(plan);
        free_problem(&p);
    }
    ok(changed >= 20 && times >= 10 && changed - times >= 10 && found == changed,
       "a weight of the event engine: %d of %d faults found and named, %d of them at spike times",
       found, changed, times);
    ok(unchanged > 0 && passed == unchanged, "%d of %d without effect raise no alarm", passed,
       unchanged);
}

/* ------------------------------------------------------------------------- float against double */

/* A negated weight in the float engine's packed copy alone. */
static void test_float_fault(void) {
    int wrong = 0, times = 0, logits = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        random_network_options options = {.biases = true};
        problem p = make_problem(2000 + seed, &options);
        int last = p.network->layer_count - 1;
        td_synapses *s = &p.network->layers[last - (int)(seed % 2)].synapses[0];
        if (s->packed == NULL) { /* a pool */
            free_problem(&p);
            continue;
        }
        float *packed = (float *)s->packed;
        for (int i = 0; i < 3; i++) {
            packed[i] *= i < s->inputs / s->groups ? -3.0f : 1.0f;
        }
        tdsnn_verify_result *r;
        tdsnn_status status = verify(&p, NULL, NULL, &r);
        bool any = r->float_vs_double_beyond_bound > 0;
        wrong += (status == TDSNN_ERR_CHECK) != any || r->passed == any;
        wrong += r->neuron_vs_formula_mismatches > 0;
        if (any) {
            wrong += strcmp(r->first.check, "float against double") != 0;
            wrong += strstr(tdsnn_last_error(ctx), "float against double") == NULL;
            times += r->first.time_found >= 0;
            logits += r->first.time_found < 0;
        }
        tdsnn_verify_result_free(r);
        free_problem(&p);
    }
    ok(wrong == 0 && times >= 3 && logits >= 3,
       "a float engine that errs is found, at %d spike times and %d logits", times, logits);
}

/* A threshold between the float sum and the double one: the spike times differ, rounding explains
 * it, and the prediction that hangs on it is counted. */
static void test_rounding(void) {
    int parted = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_network_options options = {.biases = true};
        td_random r;
        td_random_seed(&r, seed, 600);
        td_arena *arena = td_arena_create(ctx);
        td_layer layers[3] = {
            {.name = "in", .kind = TD_LAYER_INPUT, .shape = {30, 1, 1, true}},
            {.name = "hidden", .kind = TD_LAYER_SYNAPSES, .shape = {1, 1, 1, true}},
            {.name = "out", .kind = TD_LAYER_READOUT, .shape = {2, 1, 1, true}}};
        td_network n = {
            .arena = arena, .path = "rounding", .layer_count = 1, .layers = layers, .classes = 2};
        random_code(ctx, &r, &n, &layers[0], 20.0, &options);
        random_linear(ctx, &r, &n, &layers[1], 20.0, &options);
        layers[1].pair = false; /* one neuron, one sum */
        layers[1].negative = 0.0f;
        n.layer_count = 2;
        random_linear(ctx, &r, &n, &layers[2], 20.0, &options);
        n.layer_count = 3;
        float out[2] = {1.0f, -1.0f}, half = layers[1].code->values[1] / 2.0f;
        float bias[2] = {-half, half};
        layers[2].synapse_count = 1;
        layers[2].synapses[0] = (td_synapses){.source = 1,
                                              .view = {1, 1, 1, true},
                                              .inputs = 1,
                                              .outputs = 2,
                                              .window = TD_WINDOW_ONE,
                                              .groups = 1,
                                              .weights = out,
                                              .packed = out};
        layers[2].bias = layers[2].event_bias = bias;
        layers[2].bias_per_neuron = layers[2].event_bias_per_neuron = false;
        problem p = {&n, 30, td_alloc(ctx, 30 * SAMPLES, sizeof(float))};
        for (size_t s = 0; s < SAMPLES; s++) {
            random_sample(&r, &n, p.samples + s * 30);
        }

        /* the hidden neuron's sum in float, read off as a logit, and in double */
        td_layer hidden = layers[1];
        td_activity *a;
        td_reference *reference;
        layers[1].kind = TD_LAYER_READOUT;
        n.layer_count = 2;
        td_activity_create(ctx, &n, &a);
        td_reference_create(ctx, &n, &reference);
        memcpy(a->input, p.samples, 30 * sizeof *a->input);
        td_reference_run(reference, a);
        td_exact_drive drive;
        td_formula_drives(&n, &layers[1], a->times, &drive);
        float sum = a->logits[0];
        td_reference_destroy(reference);
        td_activity_destroy(a);
        layers[1] = hidden;
        n.layer_count = 3;

        if ((double)sum < drive.drive) { /* tau = sum: float does not exceed it, double does */
            tdsnn_code *code = (tdsnn_code *)layers[1].code;
            code->rounding = TDSNN_ROUND_TABLE;
            code->thresholds[0] = sum;
            for (int k = 1; k < code->steps; k++) {
                code->thresholds[k] = fabsf(sum) + 1e9f;
            }
            tdsnn_verify_result *v;
            tdsnn_status status = verify(&p, NULL, NULL, &v);
            bool as_expected = status == TDSNN_OK && v->float_vs_double_mismatches >= 1 &&
                               v->float_vs_double_beyond_bound == 0 &&
                               v->predictions_changed == v->float_vs_double_mismatches;
            parted += as_expected;
            if (!as_expected) {
                printf("# seed %d: %s\n", (int)seed, tdsnn_last_error(ctx));
                parted = -1000;
            }
            tdsnn_verify_result_free(v);
        }
        td_free(p.samples);
        td_arena_destroy(arena);
    }
    ok(parted >= 3,
       "float and double part where a threshold lies between them, %d times, and that "
       "is no failure",
       parted);
}

/* ---------------------------------------------------------------------------------- the call */

static bool same_failure(const tdsnn_verify_failure *a, const tdsnn_verify_failure *b) {
    return a->sample == b->sample && a->channel == b->channel && a->y == b->y && a->x == b->x &&
           a->time_found == b->time_found && strcmp(a->layer, b->layer) == 0 &&
           strcmp(a->mode, b->mode) == 0 && a->drive == b->drive;
}

/* The same findings and the same first failure for any number of threads. */
static void test_threads(void) {
    random_network_options options = {.biases = true};
    int wrong = 0, failures = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        problem p = make_problem(3000 + seed, &options);
        mutation m = {TD_FAULT_WEIGHT_SIGN, p.network->layer_count - 1, 0};
        tdsnn_verify_result *one, *many;
        tdsnn_set_threads(ctx, 1);
        tdsnn_status status = verify(&p, apply_mutation, &m, &one);
        for (int threads = 2; threads <= 5; threads++) {
            tdsnn_set_threads(ctx, threads);
            wrong += verify(&p, apply_mutation, &m, &many) != status;
            wrong += many->readout_mismatches != one->readout_mismatches ||
                     many->neurons_checked != one->neurons_checked;
            wrong += !one->passed && !same_failure(&one->first, &many->first);
            tdsnn_verify_result_free(many);
        }
        failures += !one->passed && strcmp(one->first.check, "read-out") == 0;
        tdsnn_verify_result_free(one);
        free_problem(&p);
    }
    tdsnn_set_threads(ctx, 0);
    ok(wrong == 0 && failures > 3, "1 to 5 threads find the same, %d faults at read-outs among it",
       failures);
}

/* Samples read in an order that gives thread 0 the failing sample 3 and thread 1 the failing
 * sample 1: reading 0 lasts until 2 has begun, reading 2 until 3 has. */
typedef struct gated_problem {
    problem p;
    int *begun; /* [SAMPLES] */
} gated_problem;

static tdsnn_status gated_read(tdsnn_context *c, const void *user, size_t index, float *values) {
    static const int waits_for[SAMPLES] = {2, -1, 3, -1, -1, -1};
    const gated_problem *g = user;
    __atomic_store_n(&g->begun[index], 1, __ATOMIC_SEQ_CST);
    int other = waits_for[index];
    for (int i = 0; other >= 0 && i < 2000; i++) { /* at most two seconds */
        if (__atomic_load_n(&g->begun[other], __ATOMIC_SEQ_CST)) {
            break;
        }
        usleep(1000);
    }
    return read_sample(c, &g->p, index, values);
}

/* The first failure is that of the lowest sample, whichever thread saw it. */
static void test_order(void) {
    random_network_options options = {.biases = true};
    bool tried = false, right = false;
    for (uint64_t seed = 0; seed < 100 && !tried; seed++) {
        problem p = make_problem(4000 + seed, &options);
        mutation m = {TD_FAULT_TICK, 1, 1};
        bool ticks =
            p.network->layers[1].kind == TD_LAYER_SYNAPSES && p.network->layers[1].code->steps > 1;
        change c = ticks ? brute_force(&p, &m) : (change){0};
        if (c.found && c.sample > 0) { /* sample 0 passes; all others become the failing one */
            float *failing = p.samples + c.sample * p.size;
            for (size_t s = 1; s < SAMPLES; s++) {
                memmove(p.samples + s * p.size, failing, p.size * sizeof *failing);
            }
            int begun[SAMPLES] = {0};
            gated_problem g = {p, begun};
            tdsnn_verify_result *r;
            tdsnn_set_threads(ctx, 2);
            tried = verify_samples(&p, gated_read, &g, apply_mutation, &m, &r) == TDSNN_ERR_CHECK;
            right = r->first.sample == 1;
            tdsnn_verify_result_free(r);
            tdsnn_set_threads(ctx, 0);
        }
        free_problem(&p);
    }
    ok(tried && right, "of failures on two threads the lowest sample's is the first");
}

static tdsnn_status broken_read(tdsnn_context *c, const void *user, size_t index, float *values) {
    (void)user;
    (void)values;
    return td_error(c, TDSNN_ERR_INPUT, "sample %zu is damaged", index);
}

static int cancel(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)done;
    (void)total;
    *(bool *)user = strcmp(what, "verifying") == 0;
    return 1;
}

static void test_call(void) {
    random_network_options options = {.biases = true};
    problem p = make_problem(1, &options);
    tdsnn_verify_result *r = NULL;
    ok(verify_samples(&p, broken_read, NULL, NULL, NULL, &r) == TDSNN_ERR_INPUT && r == NULL,
       "data that cannot be read: %s", tdsnn_last_error(ctx));
    bool asked = false;
    tdsnn_set_progress(ctx, cancel, &asked);
    ok(verify(&p, NULL, NULL, &r) == TDSNN_ERR_CANCELLED && r == NULL && asked, "cancelled: %s",
       tdsnn_last_error(ctx));
    tdsnn_set_progress(ctx, NULL, NULL);
    free_problem(&p);

    /* Behind an analog input the first layer is not stepped, and the result says so. */
    options.analog = true;
    p = make_problem(4, &options);
    tdsnn_status status = verify(&p, NULL, NULL, &r);
    int analog = 0, wrong = 0;
    for (int i = 1; i < r->layer_count; i++) {
        bool skipped = strcmp(r->layers[i].kind, "analog") == 0;
        analog += skipped;
        wrong += skipped != (r->layers[i].neurons_checked == 0);
        wrong += skipped != !td_clock_can_step(p.network, i);
    }
    ok(status == TDSNN_OK && analog == 1 && wrong == 0,
       "a layer behind an analog input is passed over and marked");
    tdsnn_verify_result_free(r);
    free_problem(&p);
    tdsnn_verify_result_free(NULL);
}

/* ---------------------------------------------------------------------------- hostile networks
 */

/* A network of an input of 32 x 32 with a code, `node` on top of it, and two outputs. */
static td_network *network_around(td_node node, double scale) {
    static const float bias[2];
    td_graph *graph = td_graph_create(ctx);
    tdsnn_code code;
    td_network *network = NULL;
    int at = -1, plane = node.shape.h * node.shape.w;
    float *weights = td_arena_alloc(graph->arena, (size_t)plane * 2, sizeof *weights);
    for (int i = 0; i < 2 * plane; i++) {
        weights[i] = i % 3 == 0 ? 0x1p-60f : -0x1p-60f; /* drives beside 0: all of it rounding */
    }
    tdsnn_code_make(ctx, 20.0, 10, scale, TDSNN_ROUND_NEAREST, 0, &code);
    graph->input_name = graph->output_name = "x";
    const td_node nodes[] = {
        {.op = TD_OP_INPUT, .name = "x", .shape = {1, 32, 32, false}},
        {.op = TD_OP_CODE, .name = "code", .shape = {1, 32, 32, false}, .code = &code},
        node,
        {.op = TD_OP_FLATTEN, .name = "flat", .shape = {plane, 1, 1, true}},
        {.op = TD_OP_INNER,
         .name = "out",
         .shape = {2, 1, 1, true},
         .weights = weights,
         .bias = bias},
    };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        td_node copy = nodes[i];
        copy.inputs = &at;
        copy.input_count = i > 0;
        at = td_graph_append(ctx, graph, &copy);
    }
    if (td_network_create(ctx, graph, &network) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    td_graph_destroy(graph);
    return network;
}

static void verify_around(td_node node, double scale, const char *what) {
    problem p = {.network = network_around(node, scale), .size = 32 * 32};
    p.samples = td_alloc(ctx, p.size * SAMPLES, sizeof *p.samples);
    for (size_t i = 0; i < p.size * SAMPLES; i++) {
        p.samples[i] = (float)(scale * (double)(i % 97) / 97.0);
    }
    tdsnn_verify_result *result = NULL;
    clock_t start = clock();
    tdsnn_status status = verify(&p, NULL, NULL, &result);
    ok(status == TDSNN_OK && clock() - start < 10 * CLOCKS_PER_SEC, "%s: %s", what,
       status == TDSNN_OK ? "proved" : tdsnn_last_error(ctx));
    tdsnn_verify_result_free(result);
    free_problem(&p);
}

static void test_hostile(void) {
    const td_axis one = {1, 1, 1, 0, 0}, far = {1 << 22, 1, 1, (1 << 22) - 1, 0};
    td_node pool = {.op = TD_OP_MAXPOOL, .name = "pool", .shape = {1, 32, 32, false}};
    pool.window = (td_window){far, one};
    verify_around(pool, 1.0, "a window far larger than what it is laid over takes no time");
    pool.window = (td_window){one, one};
    verify_around(pool, 0x1p-80, "products that are hardly numbers any more");
}

int main(void) {
    ctx = tdsnn_context_create();
    for (int offset = 0; offset < 2; offset++) {
        for (int rounding = 0; rounding < 3; rounding++) {
            test_sound(offset, (tdsnn_rounding)rounding, true, false);
        }
        test_sound(offset, TDSNN_ROUND_CEIL, false, false);
    }
    test_sound(0, TDSNN_ROUND_CEIL, false, true);
    test_sound(0, TDSNN_ROUND_NEAREST, false, true);
    test_all_mnist();
    test_fault(TD_FAULT_WEIGHT_SIGN, "sign of a weight");
    test_fault(TD_FAULT_WEIGHT_EXPONENT, "exponent bit of a weight");
    test_fault(TD_FAULT_THRESHOLD, "exponent bit of a threshold");
    test_fault(TD_FAULT_TICK, "a tick by 10 %");
    test_fault(TD_FAULT_ARRIVAL, "an arrival by one step");
    test_fast_fault();
    test_float_fault();
    test_rounding();
    test_threads();
    test_order();
    test_call();
    test_hostile();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
