#include "measure/runner.h"

#include <string.h>

#include "data/normalise.h"
#include "engine/clock.h"
#include "network/model.h"

tdsnn_status td_program_create(tdsnn_context *ctx, const tdsnn_model *model, const tdsnn_data *data,
                               tdsnn_engine engine, td_program *program) {
    tdsnn_status status = tdsnn_model_check(ctx, model);
    if (status != TDSNN_OK) {
        return status;
    }
    const td_graph *graph = model->graph;
    td_program made = {
        .graph = graph,
        .engine = engine,
        .data = tdsnn_data_get_info(data),
        .input = graph->nodes[0].shape,
        .outputs = (int)td_shape_count(graph->nodes[td_graph_logits(graph)].shape),
    };
    if (td_graph_is_spiking(graph)) {
        status = td_network_create(ctx, graph, &made.network);
        if (status != TDSNN_OK) {
            return td_error_in(ctx, status, model->path);
        }
        made.network->path = model->path;
    } else {
        status = td_dense_plan_create(ctx, graph, &(td_dense_options){0}, &made.dense);
        if (status != TDSNN_OK) {
            return td_error_in(ctx, status, model->path);
        }
    }
    *program = made;
    return TDSNN_OK;
}

/* Samples whose densities decide the plan. */
#define PLANNING_SAMPLES 4

tdsnn_status td_program_plan(tdsnn_context *ctx, const tdsnn_data *data, const td_kernels *kernels,
                             td_program *program) {
    const td_network *network = program->network;
    if (network == NULL || program->engine != TDSNN_ENGINE_EVENT) {
        return TDSNN_OK;
    }
    size_t count =
        program->data.samples < PLANNING_SAMPLES ? program->data.samples : PLANNING_SAMPLES;
    size_t values = td_shape_count(program->input);
    float *samples = td_alloc(ctx, values, PLANNING_SAMPLES * sizeof *samples);
    tdsnn_status status = samples == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (size_t i = 0; i < count && status == TDSNN_OK; i++) {
        status = tdsnn_data_read(ctx, data, i, samples + i * values, NULL);
    }
    if (status == TDSNN_OK) {
        status = td_plan_create_measured(ctx, network, kernels, samples, count, &program->plan);
    }
    td_free(samples);
    return status;
}

void td_program_free(td_program *program) {
    td_plan_destroy(program->plan);
    program->plan = NULL;
    td_network_destroy(program->network);
    td_dense_plan_destroy(program->dense);
    program->dense = NULL;
    program->network = NULL;
}

struct td_runner {
    const td_program *program;
    td_dense *dense;         /* of a plain model */
    float *input;            /* of a plain model: the sample, normalised */
    td_activity *activity;   /* of a spiking one */
    td_session *session;     /* of the event engine */
    td_reference *reference; /* of the reference engine */
    td_clock_layer **clock;  /* [layer_count]; NULL for the input */
    double *potentials;      /* [outputs] */
};

static tdsnn_status create_clock(tdsnn_context *ctx, td_runner *r) {
    const td_network *network = r->program->network;
    r->clock = td_alloc(ctx, (size_t)network->layer_count, sizeof(td_clock_layer *));
    r->potentials = td_alloc(ctx, (size_t)network->classes, sizeof *r->potentials);
    tdsnn_status status = r->clock == NULL || r->potentials == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int i = 1; i < network->layer_count && status == TDSNN_OK; i++) {
        status = td_clock_layer_create(ctx, network, i, &r->clock[i]);
    }
    return status;
}

static tdsnn_status create(tdsnn_context *ctx, td_runner *r) {
    const td_program *program = r->program;
    if (program->network == NULL) {
        r->input = td_alloc(ctx, td_shape_count(program->input), sizeof *r->input);
        return r->input == NULL ? TDSNN_ERR_RUNTIME
                                : td_dense_create(ctx, program->dense, &r->dense);
    }
    tdsnn_status status = td_activity_create(ctx, program->network, &r->activity);
    if (status != TDSNN_OK) {
        return status;
    }
    switch (program->engine) {
    case TDSNN_ENGINE_CLOCK:
        return create_clock(ctx, r);
    case TDSNN_ENGINE_REFERENCE:
        return td_reference_create(ctx, program->network, &r->reference);
    default:
        return td_session_create(ctx, program->plan, 1, &r->session);
    }
}

tdsnn_status td_runner_create(tdsnn_context *ctx, const td_program *program, td_runner **runner) {
    td_runner *r = td_alloc(ctx, 1, sizeof *r);
    if (r == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    r->program = program;
    tdsnn_status status = create(ctx, r);
    if (status != TDSNN_OK) {
        td_runner_destroy(r);
        return status;
    }
    *runner = r;
    return TDSNN_OK;
}

void td_runner_destroy(td_runner *r) {
    if (r == NULL) {
        return;
    }
    for (int i = 0; r->clock != NULL && i < r->program->network->layer_count; i++) {
        td_clock_layer_destroy(r->clock[i]);
    }
    td_free(r->clock);
    td_free(r->potentials);
    td_session_destroy(r->session);
    td_reference_destroy(r->reference);
    td_activity_destroy(r->activity);
    td_dense_destroy(r->dense);
    td_free(r->input);
    td_free(r);
}

/* The whole network in double, layer after layer, as a device would step it: dynamic T_il. */
static void run_clock(td_runner *r) {
    const td_network *network = r->program->network;
    td_activity *a = r->activity;
    td_activity_encode(network, a);
    for (int i = 1; i < network->layer_count; i++) {
        const td_layer *source = &network->layers[network->layers[i].synapses[0].source];
        td_clock_mode mode = {.fixed = false, .all_firing = source->code->offset == 1};
        td_clock_run(r->clock[i], mode, a->times, a->times[i], r->potentials, NULL);
    }
    for (int i = 0; i < network->classes; i++) {
        a->logits[i] = (float)r->potentials[i];
    }
}

void td_runner_run(td_runner *r, const float *sample, bool keep_times, const float **logits) {
    if (r->dense != NULL) {
        memcpy(r->input, sample, td_shape_count(r->program->input) * sizeof *sample);
        td_data_normalise(&r->program->data, r->input);
        td_dense_run(r->dense, r->input);
        *logits = td_dense_value(r->dense, td_graph_logits(r->program->graph));
        return;
    }
    memcpy(r->activity->input, sample, td_shape_count(r->program->input) * sizeof *sample);
    if (r->clock != NULL) {
        run_clock(r);
    } else if (r->session != NULL) {
        td_session_run(r->session, r->activity, keep_times);
    } else {
        td_reference_run(r->reference, r->activity);
    }
    *logits = r->activity->logits;
}

const td_activity *td_runner_activity(const td_runner *r) {
    return r->activity;
}
