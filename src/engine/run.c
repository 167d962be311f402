/* The public face of the event engine. */
#include <tdsnn/run.h>

#include <string.h>

#include "engine/event.h"
#include "engine/team.h"
#include "network/model.h"

#define MOST_THREADS 1024

/* ---------------------------------------------------------------------------------------- networks
 */

struct tdsnn_network {
    td_network *compiled;
    td_plan *plan;
};

static tdsnn_status check_network_options(tdsnn_context *ctx, const tdsnn_network_options *o) {
    if (o->size != sizeof *o) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "network options of %zu bytes, expected %zu: start from "
                        "TDSNN_NETWORK_OPTIONS_INIT",
                        o->size, sizeof *o);
    }
    if (td_kernels_find(o->isa) == NULL) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "this processor or build has no kernels for '%s'; NULL takes the widest it "
                        "has",
                        o->isa);
    }
    return TDSNN_OK;
}

static tdsnn_status compile(tdsnn_context *ctx, const tdsnn_model *model,
                            const tdsnn_network_options *o, tdsnn_network *n) {
    tdsnn_status status = tdsnn_model_check(ctx, model);
    if (status != TDSNN_OK) {
        return status;
    }
    if (!tdsnn_model_is_spiking(model)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%s: a plain network; convert it first (tdsnn convert)", model->path);
    }
    status = td_network_create(ctx, model->graph, &n->compiled);
    if (status != TDSNN_OK) {
        return td_error_in(ctx, status, model->path);
    }
    n->compiled->path = model->path;
    size_t count = o->samples == NULL ? 0 : o->sample_count;
    return td_plan_create_measured(ctx, n->compiled, td_kernels_find(o->isa), o->samples, count,
                                   &n->plan);
}

tdsnn_status tdsnn_network_create(tdsnn_context *ctx, const tdsnn_model *model,
                                  const tdsnn_network_options *options, tdsnn_network **network) {
    const tdsnn_network_options defaults = TDSNN_NETWORK_OPTIONS_INIT;
    td_error_clear(ctx);
    options = options == NULL ? &defaults : options;
    tdsnn_status status = check_network_options(ctx, options);
    if (status != TDSNN_OK) {
        return status;
    }
    tdsnn_network *n = td_alloc(ctx, 1, sizeof *n);
    status = n == NULL ? TDSNN_ERR_RUNTIME : compile(ctx, model, options, n);
    if (status != TDSNN_OK) {
        tdsnn_network_destroy(n);
        return status;
    }
    *network = n;
    return TDSNN_OK;
}

void tdsnn_network_destroy(tdsnn_network *n) {
    if (n != NULL) {
        td_plan_destroy(n->plan);
        td_network_destroy(n->compiled);
        td_free(n);
    }
}

tdsnn_network_info tdsnn_network_get_info(const tdsnn_network *n) {
    td_shape in = n->compiled->layers[0].shape;
    return (tdsnn_network_info){.isa = td_plan_kernels(n->plan),
                                .input = {in.c, in.h, in.w},
                                .outputs = n->compiled->classes,
                                .layer_count = n->compiled->layer_count,
                                .weight_bytes = td_plan_weight_bytes(n->plan)};
}

tdsnn_network_layer tdsnn_network_get_layer(const tdsnn_network *n, int index) {
    const td_layer *l = &n->compiled->layers[index];
    return (tdsnn_network_layer){.name = l->name,
                                 .shape = {l->shape.c, l->shape.h, l->shape.w},
                                 .steps = l->code == NULL ? 0 : l->code->steps,
                                 .pair = l->pair,
                                 .neurons = td_layer_neurons(l),
                                 .code = l->code};
}

int tdsnn_network_population_count(const tdsnn_network *n, int layer) {
    const td_layer *l = &n->compiled->layers[layer];
    return l->kind == TD_LAYER_POOL ? 0 : l->synapse_count;
}

tdsnn_network_population tdsnn_network_get_population(const tdsnn_network *n, int layer,
                                                      int index) {
    td_plan_row row = td_plan_describe(n->plan, layer, index);
    int source = n->compiled->layers[layer].synapses[index].source;
    return (tdsnn_network_population){.source = n->compiled->layers[source].name,
                                      .form = td_form_name(row.form),
                                      .outputs = row.outputs,
                                      .density = row.density,
                                      .cycles = row.cycles};
}

int tdsnn_network_find_layer(const tdsnn_network *n, const char *name) {
    for (int i = 0; i < n->compiled->layer_count; i++) {
        if (strcmp(n->compiled->layers[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* ---------------------------------------------------------------------------------------- sessions
 */

/* One sample at a time. */
typedef struct lane {
    td_session *session;
    td_activity activity; /* its input is the caller's */
} lane;

struct tdsnn_session {
    const tdsnn_network *network;
    int lane_count; /* one, or with TDSNN_SPREAD_SAMPLES one a thread */
    lane *lanes;
    td_team *team;   /* of the lanes; NULL for one */
    uint8_t **times; /* [layer_count] of the first lane; NULL where they are not kept */
    float *logits;   /* [outputs] of the last single run */
    size_t bytes;
    /* the batch under way */
    const float *inputs;
    float *outputs;
    size_t count;
};

static tdsnn_status check_session_options(tdsnn_context *ctx, const tdsnn_session_options *o) {
    if (o->size != sizeof *o) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "session options of %zu bytes, expected %zu: start from "
                        "TDSNN_SESSION_OPTIONS_INIT",
                        o->size, sizeof *o);
    }
    if (o->threads < 1 || o->threads > MOST_THREADS) {
        return td_error(ctx, TDSNN_ERR_USAGE, "%d threads for a session; 1 to %d can be had",
                        o->threads, MOST_THREADS);
    }
    if (o->spread != TDSNN_SPREAD_LAYERS && o->spread != TDSNN_SPREAD_SAMPLES) {
        return td_error(ctx, TDSNN_ERR_USAGE, "%d is not one of tdsnn_spread", (int)o->spread);
    }
    return TDSNN_OK;
}

/* Room for what the first lane's runs leave behind. */
static tdsnn_status create_results(tdsnn_context *ctx, tdsnn_session *s, bool keep_times) {
    const td_network *n = s->network->compiled;
    s->times = td_alloc(ctx, (size_t)n->layer_count, sizeof *s->times);
    s->logits = td_alloc(ctx, (size_t)n->classes, sizeof *s->logits);
    if (s->times == NULL || s->logits == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    s->bytes += (size_t)n->classes * sizeof *s->logits;
    for (int i = 0; i < n->layer_count && keep_times; i++) {
        if (n->layers[i].code == NULL) {
            continue;
        }
        size_t neurons = td_layer_neurons(&n->layers[i]);
        s->times[i] = td_alloc(ctx, neurons, 1);
        s->bytes += neurons;
        if (s->times[i] == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

static tdsnn_status fill(tdsnn_context *ctx, const tdsnn_session_options *o, tdsnn_session *s) {
    const td_plan *plan = s->network->plan;
    bool samples = o->spread == TDSNN_SPREAD_SAMPLES;
    int threads = samples ? 1 : o->threads; /* of each lane */
    s->lane_count = samples ? o->threads : 1;
    s->lanes = td_alloc(ctx, (size_t)s->lane_count, sizeof *s->lanes);
    tdsnn_status status = s->lanes == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int i = 0; i < s->lane_count && status == TDSNN_OK; i++) {
        s->lanes[i].activity.layer_count = s->network->compiled->layer_count;
        status = td_session_create(ctx, plan, threads, &s->lanes[i].session);
        s->bytes += td_plan_session_bytes(plan, threads);
    }
    if (status == TDSNN_OK) {
        status = create_results(ctx, s, o->keep_times);
    }
    return status != TDSNN_OK ? status : td_team_create(ctx, s->lane_count, &s->team);
}

tdsnn_status tdsnn_session_create(tdsnn_context *ctx, const tdsnn_network *network,
                                  const tdsnn_session_options *options, tdsnn_session **session) {
    const tdsnn_session_options defaults = TDSNN_SESSION_OPTIONS_INIT;
    td_error_clear(ctx);
    options = options == NULL ? &defaults : options;
    tdsnn_status status = check_session_options(ctx, options);
    if (status != TDSNN_OK) {
        return status;
    }
    tdsnn_session *s = td_alloc(ctx, 1, sizeof *s);
    if (s == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    s->network = network;
    status = fill(ctx, options, s);
    if (status != TDSNN_OK) {
        tdsnn_session_destroy(s);
        return status;
    }
    *session = s;
    return TDSNN_OK;
}

void tdsnn_session_destroy(tdsnn_session *s) {
    if (s == NULL) {
        return;
    }
    td_team_destroy(s->team);
    for (int i = 0; s->lanes != NULL && i < s->lane_count; i++) {
        td_session_destroy(s->lanes[i].session);
    }
    td_free(s->lanes);
    for (int i = 0; s->times != NULL && i < s->network->compiled->layer_count; i++) {
        td_free(s->times[i]);
    }
    td_free(s->times);
    td_free(s->logits);
    td_free(s);
}

size_t tdsnn_session_bytes(const tdsnn_session *s) {
    return s->bytes;
}

/* Engines read the sample where the caller has it. */
static void run(lane *l, const float *input, float *logits, uint8_t **times) {
    l->activity.input = (float *)input;
    l->activity.logits = logits;
    l->activity.times = times;
    td_session_run(l->session, &l->activity, times != NULL);
}

void tdsnn_session_run(tdsnn_session *s, const float *input, float *logits) {
    run(&s->lanes[0], input, s->logits, s->times);
    if (logits != NULL) {
        memcpy(logits, s->logits, (size_t)s->network->compiled->classes * sizeof *logits);
    }
}

/* ------------------------------------------------------------------------------------------
 * batches
 */

/* A run of neighbouring samples: item `index` of as many as are told to td_team_run. */
typedef struct part {
    tdsnn_session *session;
    int parts;
} part;

static size_t part_start(const part *p, int index) {
    size_t count = p->session->count, parts = (size_t)p->parts, i = (size_t)index;
    return count / parts * i + count % parts * i / parts;
}

static void run_part(void *arg, int index, int worker) {
    const part *p = arg;
    tdsnn_session *s = p->session;
    const td_network *n = s->network->compiled;
    size_t values = td_shape_count(n->layers[0].shape), outputs = (size_t)n->classes;
    size_t end = part_start(p, index + 1);
    for (size_t i = part_start(p, index); i < end; i++) {
        run(&s->lanes[worker], s->inputs + i * values, s->outputs + i * outputs, NULL);
    }
}

/* The most pieces that a batch is cut into: enough that the threads end together. */
#define MOST_PARTS 4096

void tdsnn_session_run_batch(tdsnn_session *s, const float *inputs, size_t count, float *logits) {
    part p = {s, count < MOST_PARTS ? (int)count : MOST_PARTS};
    s->inputs = inputs;
    s->outputs = logits;
    s->count = count;
    td_team_run(s->team, p.parts, run_part, &p);
}

/* -----------------------------------------------------------------------------------------
 * read-out
 */

const float *tdsnn_session_logits(const tdsnn_session *s) {
    return s->logits;
}

int tdsnn_prediction(const float *logits, int outputs) {
    return td_prediction(logits, outputs);
}

const uint8_t *tdsnn_session_times(const tdsnn_session *s, int layer) {
    return s->times[layer];
}

size_t tdsnn_session_spikes(const tdsnn_session *s, int layer) {
    size_t spikes = 0;
    const uint8_t *times = s->times[layer];
    for (size_t i = 0; times != NULL && i < td_layer_neurons(&s->network->compiled->layers[layer]);
         i++) {
        spikes += times[i] != 0;
    }
    return spikes;
}
