/* Each layer starts from the reference engine's own spike times, so that one difference cannot hide
 * or multiply others. */
#include "measure/check.h"

#include <math.h>
#include <string.h>

#include "measure/formula.h"

/* Modes in the order they are checked; the first two are all there is at offset 1. */
static const struct {
    td_clock_mode mode;
    const char *name;
} silent_modes[] = {{{false, false}, "dynamic, silent"},
                    {{true, false}, "fixed, silent"},
                    {{false, true}, "dynamic, all firing"},
                    {{true, true}, "fixed, all firing"}},
  firing_modes[] = {{{false, true}, "dynamic"}, {{true, true}, "fixed"}};

struct td_checker {
    td_arena *arena;
    const td_network *network;
    td_activity *activity;
    td_reference *reference;
    td_session *session; /* of the event engine, and what it leaves behind */
    td_activity *fast;
    const char *kernels;
    td_clock_layer **clocks; /* [layer]; NULL where there is nothing to step */
    td_exact_drive *drives;  /* [value] of the layer at hand */
    uint8_t *expected;       /* [neuron] spike times by the formula */
    uint8_t *stepped;        /* [neuron] by the clock engine */
    double *potentials;      /* [class] */
    /* the network in double from end to end */
    uint8_t **double_times; /* [layer][neuron] */
    double *double_logits;  /* [class] */
    bool *parted;           /* [layer]: double_times differ from the float engine's */
    td_findings findings;
    size_t sample;
};

static const tdsnn_code *code_read(const td_network *network, int layer) {
    return network->layers[network->layers[layer].synapses[0].source].code;
}

int td_check_mode_count(const td_network *network, int layer) {
    return code_read(network, layer)->offset == 0 ? 4 : 2;
}

/* The longest pre-synaptic window. */
static int window_of(const td_network *network, const td_layer *layer) {
    int window = 0;
    for (int k = 0; k < layer->synapse_count; k++) {
        int steps = network->layers[layer->synapses[k].source].code->steps;
        window = steps > window ? steps : window;
    }
    return window;
}

/* ------------------------------------------------------------------------------------- creation */

const char *td_check_kind(const td_network *network, int layer) {
    static const char *const names[] = {[TD_LAYER_INPUT] = "input",
                                        [TD_LAYER_SYNAPSES] = "synapses",
                                        [TD_LAYER_POOL] = "max-pool",
                                        [TD_LAYER_READOUT] = "read-out"};
    bool analog = layer > 0 && !td_clock_can_step(network, layer);
    return analog ? "analog" : names[network->layers[layer].kind];
}

static tdsnn_status allocate(td_checker *c) {
    const td_network *network = c->network;
    size_t layers = (size_t)network->layer_count, classes = (size_t)network->classes, largest = 1;
    for (size_t i = 0; i < layers; i++) {
        size_t count = td_layer_neurons(&network->layers[i]);
        largest = count > largest ? count : largest;
    }
    c->clocks = td_arena_alloc(c->arena, layers, sizeof *c->clocks);
    c->drives = td_arena_alloc(c->arena, largest, sizeof *c->drives);
    c->expected = td_arena_alloc(c->arena, largest, 1);
    c->stepped = td_arena_alloc(c->arena, largest, 1);
    c->potentials = td_arena_alloc(c->arena, classes, sizeof *c->potentials);
    c->double_times = td_arena_alloc(c->arena, layers, sizeof *c->double_times);
    c->double_logits = td_arena_alloc(c->arena, classes, sizeof *c->double_logits);
    c->parted = td_arena_alloc(c->arena, layers, sizeof *c->parted);
    c->findings.layers = td_arena_alloc(c->arena, layers, sizeof *c->findings.layers);
    if (c->clocks == NULL || c->drives == NULL || c->expected == NULL || c->stepped == NULL ||
        c->potentials == NULL || c->double_times == NULL || c->double_logits == NULL ||
        c->parted == NULL || c->findings.layers == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < layers; i++) {
        size_t count = td_layer_neurons(&network->layers[i]);
        c->double_times[i] = td_arena_alloc(c->arena, count, 1);
        if (c->double_times[i] == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        c->findings.layers[i].name = network->layers[i].name;
        c->findings.layers[i].kind = td_check_kind(network, (int)i);
    }
    return TDSNN_OK;
}

static tdsnn_status create(tdsnn_context *ctx, td_checker *c, const td_plan *plan,
                           td_clock_hook hook, void *user) {
    tdsnn_status status = allocate(c);
    if (status == TDSNN_OK) {
        status = td_activity_create(ctx, c->network, &c->activity);
    }
    if (status == TDSNN_OK) {
        status = td_reference_create(ctx, c->network, &c->reference);
    }
    if (status == TDSNN_OK) {
        status = td_activity_create(ctx, c->network, &c->fast);
    }
    if (status == TDSNN_OK) {
        status = td_session_create(ctx, plan, 1, &c->session);
    }
    for (int i = 1; i < c->network->layer_count && status == TDSNN_OK; i++) {
        if (td_clock_can_step(c->network, i)) {
            status = td_clock_layer_create(ctx, c->network, i, &c->clocks[i]);
            if (status == TDSNN_OK && hook != NULL) {
                hook(user, i, c->clocks[i]);
            }
        }
    }
    return status;
}

tdsnn_status td_checker_create(tdsnn_context *ctx, const td_network *network, const td_plan *plan,
                               td_clock_hook hook, void *user, td_checker **checker) {
    td_arena *arena = td_arena_create(ctx);
    td_checker *c = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *c);
    if (c == NULL) {
        td_arena_destroy(arena);
        return TDSNN_ERR_RUNTIME;
    }
    c->arena = arena;
    c->network = network;
    c->kernels = td_plan_kernels(plan);
    tdsnn_status status = create(ctx, c, plan, hook, user);
    if (status != TDSNN_OK) {
        td_checker_destroy(c);
        return status;
    }
    *checker = c;
    return TDSNN_OK;
}

void td_checker_destroy(td_checker *c) {
    if (c == NULL) {
        return;
    }
    for (int i = 0; c->clocks != NULL && i < c->network->layer_count; i++) {
        td_clock_layer_destroy(c->clocks[i]);
    }
    td_session_destroy(c->session);
    td_activity_destroy(c->fast);
    td_reference_destroy(c->reference);
    td_activity_destroy(c->activity);
    td_arena_destroy(c->arena);
}

float *td_checker_input(td_checker *c) {
    return c->activity->input;
}

const td_findings *td_checker_findings(const td_checker *c) {
    return &c->findings;
}

/* --------------------------------------------------------------------------------------- checks */

/* Keeps the first failure; what is the same for all checks is filled in here. */
static void note(td_checker *c, int index, size_t neuron, tdsnn_verify_failure failure) {
    if (c->findings.failed) {
        return;
    }
    const td_layer *layer = &c->network->layers[index];
    size_t width = (size_t)layer->shape.w, plane = (size_t)layer->shape.h * width;
    size_t half = td_shape_count(layer->shape);
    failure.layer = layer->name;
    failure.sample = c->sample;
    failure.half = !layer->pair ? "" : neuron < half ? "+" : "-";
    neuron %= half;
    failure.channel = (int)(neuron / plane);
    failure.y = (int)(neuron % plane / width);
    failure.x = (int)(neuron % width);
    c->findings.failed = true;
    c->findings.first = failure;
}

/* What neuron n encodes: A, or as the second of a pair -A. */
static td_exact_drive drive_of(const td_checker *c, const td_layer *layer, size_t n) {
    size_t half = td_shape_count(layer->shape);
    td_exact_drive d = c->drives[n % half];
    d.drive = n < half ? d.drive : -d.drive;
    return d;
}

/* The same for two spike times that differ. */
static void note_times(td_checker *c, int index, size_t neuron, const char *check, const char *mode,
                       int found, double bound) {
    const td_layer *layer = &c->network->layers[index];
    int expected = c->expected[neuron], step = found < expected ? found : expected;
    bool pool = layer->kind == TD_LAYER_POOL; /* has neither drive nor thresholds */
    note(c, index, neuron,
         (tdsnn_verify_failure){.check = check,
                                .mode = mode,
                                .time_found = found,
                                .time_expected = expected,
                                .step = step,
                                .drive = pool ? 0.0 : drive_of(c, layer, neuron).drive,
                                .threshold = pool ? 0.0 : layer->code->thresholds[step],
                                .bound = bound});
}

/* The clock engine's spike times against the formula's, equal or wrong. */
static void check_times(td_checker *c, int index, const char *mode) {
    tdsnn_verify_layer *sums = &c->findings.layers[index];
    size_t count = td_layer_neurons(&c->network->layers[index]);
    for (size_t n = 0; n < count; n++) {
        if (c->stepped[n] != c->expected[n]) {
            sums->neuron_vs_formula_mismatches++;
            note_times(c, index, n, "neuron against formula", mode, c->stepped[n], 0.0);
        }
    }
}

/* The clock engine's potentials against the formula's, up to rounding in double. */
static void check_potentials(td_checker *c, int index, const char *mode) {
    int window = window_of(c->network, &c->network->layers[index]);
    for (size_t n = 0; n < (size_t)c->network->classes; n++) {
        double bound = td_formula_clock_bound(&c->drives[n], window);
        if (!(fabs(c->potentials[n] - c->drives[n].drive) <= bound)) {
            c->findings.readout_mismatches++;
            note(c, index, n,
                 (tdsnn_verify_failure){.check = "read-out",
                                        .mode = mode,
                                        .time_found = -1,
                                        .time_expected = -1,
                                        .step = -1,
                                        .drive = c->drives[n].drive,
                                        .threshold = c->potentials[n],
                                        .bound = bound});
        }
    }
}

/* Steps a layer in every mode. */
static void check_modes(td_checker *c, int index) {
    const td_layer *layer = &c->network->layers[index];
    int modes = td_check_mode_count(c->network, index);
    for (int m = 0; m < modes; m++) {
        td_clock_mode mode = modes == 4 ? silent_modes[m].mode : firing_modes[m].mode;
        const char *name = modes == 4 ? silent_modes[m].name : firing_modes[m].name;
        td_clock_run(c->clocks[index], mode, c->activity->times, c->stepped, c->potentials, NULL);
        if (layer->kind == TD_LAYER_READOUT) {
            check_potentials(c, index, name);
        } else {
            check_times(c, index, name);
        }
        c->findings.layers[index].neurons_checked += td_layer_neurons(layer);
    }
}

/* Whether rounding explains that a drive fires at `found` and not at `expected`: every threshold
 * between the two lies within the bound of it. */
static bool explained(const tdsnn_code *code, const td_exact_drive *drive, int found,
                      int expected) {
    double bound = td_formula_float_bound(drive);
    int low = found < expected ? found : expected, high = found < expected ? expected : found;
    for (int k = low; k < high; k++) {
        if (!(fabs(drive->drive - code->thresholds[k]) <= bound)) {
            return false;
        }
    }
    return true;
}

/* The float engine's spike times against the formula's: may differ, but only by rounding. */
static void check_float_times(td_checker *c, int index) {
    const td_layer *layer = &c->network->layers[index];
    tdsnn_verify_layer *sums = &c->findings.layers[index];
    const uint8_t *times = c->activity->times[index];
    for (size_t n = 0; n < td_layer_neurons(layer); n++) {
        if (times[n] == c->expected[n]) {
            continue;
        }
        bool pool = layer->kind == TD_LAYER_POOL; /* nothing is rounded there */
        td_exact_drive drive = pool ? (td_exact_drive){0} : drive_of(c, layer, n);
        sums->float_vs_double_mismatches++;
        if (pool || !explained(layer->code, &drive, times[n], c->expected[n])) {
            sums->float_vs_double_beyond_bound++;
            note_times(c, index, n, "float against double", "", times[n],
                       td_formula_float_bound(&drive));
        }
    }
}

static void check_float_logits(td_checker *c, int index) {
    for (size_t n = 0; n < (size_t)c->network->classes; n++) {
        double bound = td_formula_float_bound(&c->drives[n]);
        double logit = c->activity->logits[n];
        if (!(fabs(logit - c->drives[n].drive) <= bound)) {
            c->findings.layers[index].float_vs_double_beyond_bound++;
            note(c, index, n,
                 (tdsnn_verify_failure){.check = "float against double",
                                        .mode = "",
                                        .time_found = -1,
                                        .time_expected = -1,
                                        .step = -1,
                                        .drive = c->drives[n].drive,
                                        .threshold = logit,
                                        .bound = bound});
        }
    }
}

/* The event engine's spike times against the reference engine's: equal or wrong. */
static void check_fast_times(td_checker *c, int index) {
    const td_layer *layer = &c->network->layers[index];
    const uint8_t *fast = c->fast->times[index], *reference = c->activity->times[index];
    size_t count = reference == NULL ? 0 : td_layer_neurons(layer);
    for (size_t n = 0; n < count; n++) {
        if (fast[n] != reference[n]) {
            c->findings.layers[index].fast_vs_reference_mismatches++;
            note(c, index, n,
                 (tdsnn_verify_failure){.check = "fast against reference",
                                        .mode = c->kernels,
                                        .time_found = fast[n],
                                        .time_expected = reference[n],
                                        .step = fast[n] < reference[n] ? fast[n] : reference[n]});
        }
    }
}

/* Its logits, bit by bit. */
static void check_fast_logits(td_checker *c, int index) {
    for (size_t n = 0; n < (size_t)c->network->classes; n++) {
        float fast = c->fast->logits[n], reference = c->activity->logits[n];
        if (memcmp(&fast, &reference, sizeof fast) != 0) {
            c->findings.layers[index].fast_vs_reference_mismatches++;
            note(c, index, n,
                 (tdsnn_verify_failure){.check = "fast against reference",
                                        .mode = c->kernels,
                                        .time_found = -1,
                                        .time_expected = -1,
                                        .step = -1,
                                        .drive = reference,
                                        .threshold = fast});
        }
    }
}

/* What the formula makes of the spike times given: drives, and `out`, the layer's own times. */
static void apply_formula(td_checker *c, int index, uint8_t *const *times, uint8_t *out) {
    const td_layer *layer = &c->network->layers[index];
    if (layer->kind == TD_LAYER_POOL) {
        td_formula_pool(layer, times[layer->synapses[0].source], out);
        return;
    }
    td_formula_drives(c->network, layer, times, c->drives);
    size_t neurons = layer->kind == TD_LAYER_READOUT ? 0 : td_layer_neurons(layer);
    for (size_t n = 0; n < neurons; n++) {
        out[n] = (uint8_t)tdsnn_code_encode_double(layer->code, drive_of(c, layer, n).drive);
    }
}

/* ---------------------------------------------------------------------- the network in double */

/* Takes a layer of the network in double one step further. Where its inputs are still those of the
 * float engine, `expected` and `drives` are the result already. */
static void continue_in_double(td_checker *c, int index) {
    const td_layer *layer = &c->network->layers[index];
    size_t count = td_layer_neurons(layer);
    bool parted = false;
    for (int k = 0; k < layer->synapse_count; k++) {
        parted = parted || c->parted[layer->synapses[k].source];
    }
    if (parted) {
        apply_formula(c, index, c->double_times, c->double_times[index]);
    } else {
        memcpy(c->double_times[index], c->expected, count);
    }
    if (layer->kind == TD_LAYER_READOUT) {
        for (size_t n = 0; n < count; n++) {
            c->double_logits[n] = c->drives[n].drive;
        }
    } else {
        c->parted[index] = memcmp(c->double_times[index], c->activity->times[index], count) != 0;
    }
}

/* Where nothing can be checked the network in double is the float engine's. */
static void follow_float(td_checker *c, int index) {
    const td_layer *layer = &c->network->layers[index];
    if (c->activity->times[index] != NULL) {
        memcpy(c->double_times[index], c->activity->times[index], td_layer_neurons(layer));
    }
    c->parted[index] = false;
    for (int n = 0; layer->kind == TD_LAYER_READOUT && n < c->network->classes; n++) {
        c->double_logits[n] = c->activity->logits[n];
    }
}

/* As td_prediction has it. */
static int prediction_in_double(const td_checker *c) {
    int best = c->network->classes == 1 && c->double_logits[0] > 0.0;
    for (int n = 1; n < c->network->classes; n++) {
        best = c->double_logits[n] > c->double_logits[best] ? n : best;
    }
    return best;
}

/* All that is stepped, against the formula and in float. */
static void check_layer(td_checker *c, int index) {
    apply_formula(c, index, c->activity->times, c->expected);
    check_modes(c, index);
    if (c->network->layers[index].kind == TD_LAYER_READOUT) {
        check_float_logits(c, index);
    } else {
        check_float_times(c, index);
    }
    continue_in_double(c, index);
}

void td_checker_run(td_checker *c, size_t sample) {
    const td_network *network = c->network;
    c->sample = sample;
    td_reference_run(c->reference, c->activity);
    memcpy(c->fast->input, c->activity->input,
           td_shape_count(network->layers[0].shape) * sizeof *c->fast->input);
    td_session_run(c->session, c->fast, true);
    for (int i = 0; i < network->layer_count; i++) {
        if (c->clocks[i] == NULL) {
            follow_float(c, i);
        } else {
            check_layer(c, i);
        }
        if (network->layers[i].kind == TD_LAYER_READOUT) {
            check_fast_logits(c, i);
        } else {
            check_fast_times(c, i);
        }
    }
    int in_float = td_prediction(c->activity->logits, network->classes);
    c->findings.predictions_changed += prediction_in_double(c) != in_float;
}
