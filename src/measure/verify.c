/* The proof: samples spread over the threads, findings put together, the verdict in words. */
#include "measure/verify.h"

#include <string.h>

#include "base/clock.h"
#include "data/fit.h"
#include "measure/runner.h"
#include "network/model.h"

/* The public result with the memory of its strings. */
typedef struct owned_result {
    tdsnn_verify_result result;
    td_arena *arena;
} owned_result;

typedef struct verification {
    tdsnn_context *ctx;
    const td_network *network;
    const td_plan *plan;
    td_sample_fn read;
    const void *read_user;
    td_clock_hook hook;
    void *hook_user;
    td_checker **checkers; /* [thread]; NULL until the thread's first sample */
} verification;

static tdsnn_status check_sample(void *arg, size_t index, int thread) {
    verification *v = arg;
    td_checker **checker = &v->checkers[thread];
    tdsnn_status status = TDSNN_OK;
    if (*checker == NULL) {
        status = td_checker_create(v->ctx, v->network, v->plan, v->hook, v->hook_user, checker);
    }
    if (status == TDSNN_OK) {
        status = v->read(v->ctx, v->read_user, index, td_checker_input(*checker));
    }
    if (status == TDSNN_OK) {
        td_checker_run(*checker, index);
    }
    return status;
}

/* ------------------------------------------------------------------------------------ findings */

static void add_layer(tdsnn_verify_result *r, int index, const tdsnn_verify_layer *from) {
    tdsnn_verify_layer *into = &r->layers[index];
    into->neurons_checked += from->neurons_checked;
    into->neuron_vs_formula_mismatches += from->neuron_vs_formula_mismatches;
    into->fast_vs_reference_mismatches += from->fast_vs_reference_mismatches;
    into->float_vs_double_mismatches += from->float_vs_double_mismatches;
    into->float_vs_double_beyond_bound += from->float_vs_double_beyond_bound;
    r->neuron_vs_formula_mismatches += from->neuron_vs_formula_mismatches;
    r->fast_vs_reference_mismatches += from->fast_vs_reference_mismatches;
    r->float_vs_double_mismatches += from->float_vs_double_mismatches;
    r->float_vs_double_beyond_bound += from->float_vs_double_beyond_bound;
    if (index + 1 < r->layer_count) { /* the read-out has potentials, no spiking neurons */
        r->neurons_checked += from->neurons_checked;
    }
}

static void add_findings(tdsnn_verify_result *r, const td_findings *f) {
    for (int i = 0; i < r->layer_count; i++) {
        add_layer(r, i, &f->layers[i]);
        if (f->failed && f->first.layer == f->layers[i].name &&
            (r->passed || f->first.sample < r->first.sample)) {
            r->passed = false;
            r->first = f->first;
            r->first.layer = r->layers[i].name;
        }
    }
    r->readout_mismatches += f->readout_mismatches;
    r->predictions_changed += f->predictions_changed;
}

/* A result with no samples yet; the names are copied, for the network may go first. */
static owned_result *create_result(const verification *v) {
    td_arena *arena = td_arena_create(v->ctx);
    owned_result *o = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *o);
    size_t layers = (size_t)v->network->layer_count;
    if (o != NULL) {
        o->arena = arena;
        o->result.layers = td_arena_alloc(arena, layers, sizeof *o->result.layers);
    }
    if (o == NULL || o->result.layers == NULL) {
        td_arena_destroy(arena);
        return NULL;
    }
    o->result.layer_count = v->network->layer_count;
    o->result.passed = true;
    o->result.isa = td_plan_kernels(v->plan);
    for (size_t i = 0; i < layers; i++) {
        tdsnn_verify_layer *layer = &o->result.layers[i];
        layer->kind = td_check_kind(v->network, (int)i);
        layer->name = td_arena_strdup(arena, v->network->layers[i].name);
        if (layer->name == NULL) {
            td_arena_destroy(arena);
            return NULL;
        }
        if (i > 0 && td_clock_can_step(v->network, (int)i)) {
            o->result.mode_count = td_check_mode_count(v->network, (int)i);
        }
    }
    return o;
}

void tdsnn_verify_result_free(tdsnn_verify_result *result) {
    if (result != NULL) {
        td_arena_destroy(((owned_result *)result)->arena);
    }
}

/* --------------------------------------------------------------------------------------- verdict
 */

/* What is wrong between the two float engines. */
static void describe_fast(const tdsnn_verify_failure *f, char *text, size_t size) {
    if (f->time_found < 0) {
        snprintf(text, size, "the event engine reads %.9g where the reference engine reads %.9g",
                 f->threshold, f->drive);
    } else {
        snprintf(text, size,
                 "in the event engine it fires at %d where it fires at %d in the reference engine; "
                 "they part at step %d",
                 f->time_found, f->time_expected, f->step);
    }
}

/* What is wrong, at a read-out, a pool or a LIF neuron. */
static void describe(const tdsnn_verify_result *r, char *text, size_t size) {
    const tdsnn_verify_failure *f = &r->first;
    bool pool = false;
    for (int i = 0; i < r->layer_count; i++) {
        pool =
            pool || (r->layers[i].name == f->layer && strcmp(r->layers[i].kind, "max-pool") == 0);
    }
    if (f->time_found < 0) {
        snprintf(text, size,
                 "it reads %.17g where the formula in double gives %.17g, and rounding explains "
                 "%.3g at most",
                 f->threshold, f->drive, f->bound);
    } else if (pool) {
        snprintf(text, size, "it fires at %d where its %s member fires at %d; step %d is wrong",
                 f->time_found, *f->half == '-' ? "first" : "latest", f->time_expected, f->step);
    } else {
        snprintf(text, size,
                 "it fires at %d where the formula in double says %d; at step %d the drive %.17g "
                 "meets the threshold %.9g, and rounding explains %.3g at most",
                 f->time_found, f->time_expected, f->step, f->drive, f->threshold, f->bound);
    }
}

/* Reports the first failure: place, both times, the step on which they part. */
static tdsnn_status report_failure(const verification *v, const tdsnn_verify_result *r) {
    const tdsnn_verify_failure *f = &r->first;
    bool fast = strcmp(f->check, "fast against reference") == 0;
    char text[512];
    if (fast) {
        describe_fast(f, text, sizeof text);
    } else {
        describe(r, text, sizeof text);
    }
    return td_error(v->ctx, TDSNN_ERR_CHECK,
                    "%s: sample %zu, layer '%.80s', neuron (%d, %d, %d)%s%s%s: %s: %s. The %s",
                    v->network->path, f->sample, f->layer, f->channel, f->y, f->x, f->half,
                    *f->mode == '\0' ? "" : ", ", f->mode, f->check, text,
                    fast ? "event engine does not give the reference engine's bits"
                         : "network does not compute what its file says");
}

static tdsnn_status run(verification *v, size_t samples, tdsnn_verify_result *r) {
    double start = td_now();
    tdsnn_status status = td_parallel(v->ctx, "verifying", samples, check_sample, v);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int i = 0; i < tdsnn_threads(v->ctx); i++) {
        if (v->checkers[i] != NULL) {
            add_findings(r, td_checker_findings(v->checkers[i]));
        }
    }
    r->samples = samples;
    r->seconds = td_now() - start;
    return TDSNN_OK;
}

tdsnn_status td_verify_network(tdsnn_context *ctx, const td_network *network, const td_plan *plan,
                               size_t samples, td_sample_fn read, const void *read_user,
                               td_clock_hook hook, void *hook_user, tdsnn_verify_result **result) {
    verification v = {ctx, network, plan, read, read_user, hook, hook_user, NULL};
    size_t threads = (size_t)tdsnn_threads(ctx);
    owned_result *o = create_result(&v);
    v.checkers = td_alloc(ctx, threads, sizeof *v.checkers);
    tdsnn_status status =
        o == NULL || v.checkers == NULL ? TDSNN_ERR_RUNTIME : run(&v, samples, &o->result);
    for (size_t i = 0; v.checkers != NULL && i < threads; i++) {
        td_checker_destroy(v.checkers[i]);
    }
    td_free(v.checkers);
    if (status != TDSNN_OK) {
        td_arena_destroy(o == NULL ? NULL : o->arena);
        return status;
    }
    *result = &o->result;
    return o->result.passed ? TDSNN_OK : report_failure(&v, &o->result);
}

/* -------------------------------------------------------------------------------- public function
 */

static tdsnn_status read_data(tdsnn_context *ctx, const void *user, size_t index, float *values) {
    return tdsnn_data_read(ctx, user, index, values, NULL);
}

/* Looks whether options, model and data suit each other; gives the number of samples. */
static tdsnn_status prepare(tdsnn_context *ctx, const tdsnn_model *model, const tdsnn_data *data,
                            const tdsnn_verify_options *options, const td_program *program,
                            size_t *samples) {
    tdsnn_data_info info = tdsnn_data_get_info(data);
    if (options->size != sizeof *options) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "verify options of %zu bytes, expected %zu: start from "
                        "TDSNN_VERIFY_OPTIONS_INIT",
                        options->size, sizeof *options);
    }
    if (program->network == NULL) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%s: a plain network without temporal codes has no spikes to verify; "
                        "convert it first",
                        model->path);
    }
    if (info.samples == 0) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: has no samples", info.spec);
    }
    tdsnn_status status = td_data_fits(ctx, data, program->input);
    if (status == TDSNN_OK) {
        status = td_preprocessing_fits(ctx, model, info.scale, info.channels_normalised, info.mean,
                                       info.std);
    }
    *samples = options->limit > 0 && options->limit < info.samples ? options->limit : info.samples;
    return status;
}

tdsnn_status tdsnn_verify(tdsnn_context *ctx, const tdsnn_model *model, const tdsnn_data *data,
                          const tdsnn_verify_options *options, tdsnn_verify_result **result) {
    td_error_clear(ctx);
    td_program program;
    tdsnn_status status = td_program_create(ctx, model, data, TDSNN_ENGINE_EVENT, &program);
    if (status != TDSNN_OK) {
        return status;
    }
    size_t samples = 0;
    status = prepare(ctx, model, data, options, &program, &samples);
    if (status == TDSNN_OK) {
        status = td_program_plan(ctx, data, td_kernels_find(NULL), &program);
    }
    if (status == TDSNN_OK) {
        status = td_verify_network(ctx, program.network, program.plan, samples, read_data, data,
                                   NULL, NULL, result);
    }
    td_program_free(&program);
    return status;
}
