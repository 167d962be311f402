/* The public way to run a network: the same bits as the reference engine, whatever the threads, the
 * batch and the instruction set; misuse is refused in words.
 *
 * Usage: test_engine_run [NETWORKS] */
#include <tdsnn/run.h>

#include <pthread.h>
#include <string.h>

#include "engine/engine.h"
#include "network/model.h"
#include "random_graph.h"
#include "tap.h"

enum { SAMPLES = 7, MOST = 64 }; /* samples of a network; of a batch, where they repeat */

static tdsnn_context *ctx;

/* A random spiking model, its samples, and what the reference engine makes of them. */
typedef struct problem {
    tdsnn_model *model;
    td_network *reference;
    td_activity *want[SAMPLES];
    size_t values, outputs;
    float *samples; /* [MOST][values] */
    float *logits;  /* [MOST][outputs] */
} problem;

static void must(tdsnn_status status) {
    if (status != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
}

static problem make_problem(uint64_t seed) {
    problem p = {0};
    td_graph *graph = random_graph(ctx, seed);
    td_reference *session = NULL;
    td_random r;
    td_random_seed(&r, seed, 3);
    must(td_network_create(ctx, graph, &p.reference));
    must(td_reference_create(ctx, p.reference, &session));
    p.values = td_shape_count(p.reference->layers[0].shape);
    p.outputs = (size_t)p.reference->classes;
    p.samples = td_alloc(ctx, MOST * p.values, sizeof *p.samples);
    p.logits = td_alloc(ctx, MOST * p.outputs, sizeof *p.logits);
    for (size_t i = 0; i < SAMPLES; i++) {
        must(td_activity_create(ctx, p.reference, &p.want[i]));
        random_graph_sample(&r, graph, p.want[i]->input);
        td_reference_run(session, p.want[i]);
    }
    for (size_t i = 0; i < MOST; i++) {
        const td_activity *a = p.want[i % SAMPLES];
        memcpy(p.samples + i * p.values, a->input, p.values * sizeof *p.samples);
        memcpy(p.logits + i * p.outputs, a->logits, p.outputs * sizeof *p.logits);
    }
    td_reference_destroy(session);
    must(td_model_create(ctx, graph, "random.onnx", &p.model));
    return p;
}

static void free_problem(problem *p) {
    for (size_t i = 0; i < SAMPLES; i++) {
        td_activity_destroy(p->want[i]);
    }
    td_free(p->samples);
    td_free(p->logits);
    td_network_destroy(p->reference);
    tdsnn_model_destroy(p->model);
}

static tdsnn_session *make_session(const tdsnn_network *network, int threads, tdsnn_spread spread,
                                   bool keep_times) {
    tdsnn_session_options options = TDSNN_SESSION_OPTIONS_INIT;
    tdsnn_session *session = NULL;
    options.threads = threads;
    options.spread = spread;
    options.keep_times = keep_times;
    must(tdsnn_session_create(ctx, network, &options, &session));
    return session;
}

/* ---- The same bits. */

static size_t spikes_of(const td_activity *a, int layer, size_t neurons) {
    size_t spikes = 0;
    for (size_t i = 0; a->times[layer] != NULL && i < neurons; i++) {
        spikes += a->times[layer][i] > 0;
    }
    return spikes;
}

/* Layers of one sample that differ. */
static size_t wrong_layers(const tdsnn_network *network, const tdsnn_session *session,
                           const td_activity *want) {
    size_t wrong = 0;
    for (int i = 0; i < tdsnn_network_get_info(network).layer_count; i++) {
        tdsnn_network_layer layer = tdsnn_network_get_layer(network, i);
        const uint8_t *times = tdsnn_session_times(session, i);
        wrong +=
            (times == NULL) != (want->times[i] == NULL) || (times == NULL) != (layer.steps == 0);
        wrong += times != NULL && memcmp(times, want->times[i], layer.neurons) != 0;
        wrong += tdsnn_session_spikes(session, i) != spikes_of(want, i, layer.neurons);
    }
    return wrong;
}

static size_t wrong_singles(const problem *p, const tdsnn_network *network, int threads,
                            tdsnn_spread spread) {
    tdsnn_session *session = make_session(network, threads, spread, true);
    size_t wrong = 0, bytes = p->outputs * sizeof(float);
    for (size_t i = 0; i < SAMPLES; i++) {
        float copy[64];
        const float *want = p->logits + i * p->outputs;
        tdsnn_session_run(session, p->samples + i * p->values, i % 2 == 0 ? copy : NULL);
        wrong += memcmp(tdsnn_session_logits(session), want, bytes) != 0;
        wrong += i % 2 == 0 && memcmp(copy, want, bytes) != 0;
        wrong += wrong_layers(network, session, p->want[i]);
    }
    tdsnn_session_destroy(session);
    return wrong;
}

static size_t wrong_batches(const problem *p, const tdsnn_network *network, int threads,
                            tdsnn_spread spread) {
    static const size_t counts[] = {0, 1, 3, SAMPLES, MOST};
    tdsnn_session *session = make_session(network, threads, spread, false);
    size_t wrong = 0;
    float *logits = td_alloc(ctx, (MOST + 1) * p->outputs, sizeof *logits);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        size_t count = counts[k];
        for (size_t i = 0; i < (MOST + 1) * p->outputs; i++) {
            logits[i] = -7.0f;
        }
        tdsnn_session_run_batch(session, p->samples, count, logits);
        wrong += memcmp(logits, p->logits, count * p->outputs * sizeof *logits) != 0;
        wrong += logits[count * p->outputs] != -7.0f;
    }
    wrong += tdsnn_session_times(session, 0) != NULL || tdsnn_session_spikes(session, 0) != 0;
    td_free(logits);
    tdsnn_session_destroy(session);
    return wrong;
}

static void test_bits(int networks) {
    size_t singles = 0, batches = 0;
    for (uint64_t seed = 0; seed < (uint64_t)networks; seed++) {
        problem p = make_problem(seed);
        tdsnn_network_options options = TDSNN_NETWORK_OPTIONS_INIT;
        tdsnn_network *network = NULL;
        options.isa = seed % 3 == 0 ? "scalar" : NULL;
        options.samples = seed % 2 == 0 ? p.samples : NULL;
        options.sample_count = 2;
        must(tdsnn_network_create(ctx, p.model, &options, &network));
        for (int threads = 1; threads <= 3; threads++) {
            singles += wrong_singles(&p, network, threads, (tdsnn_spread)(seed % 2));
            batches += wrong_batches(&p, network, threads, TDSNN_SPREAD_LAYERS);
            batches += wrong_batches(&p, network, threads, TDSNN_SPREAD_SAMPLES);
        }
        tdsnn_network_destroy(network);
        free_problem(&p);
    }
    ok(singles == 0, "logits, spike times and spikes of %d networks are the reference's", networks);
    ok(batches == 0,
       "batches of 1, 3, 7 and 64 have the same bits and write nothing else, for 1 to 3 threads");
}

/* ---- One network, several threads. */

typedef struct runner {
    const problem *problem;
    tdsnn_session *session;
    size_t wrong;
} runner;

static void *run_often(void *arg) {
    runner *r = arg;
    for (size_t i = 0; i < 200; i++) {
        const float *want = r->problem->logits + i % SAMPLES * r->problem->outputs;
        tdsnn_session_run(r->session, r->problem->samples + i % SAMPLES * r->problem->values, NULL);
        r->wrong +=
            memcmp(tdsnn_session_logits(r->session), want, r->problem->outputs * sizeof *want) != 0;
    }
    return NULL;
}

static void test_sharing(void) {
    problem p = make_problem(5);
    tdsnn_network *network = NULL;
    runner runners[3];
    pthread_t threads[3];
    must(tdsnn_network_create(ctx, p.model, NULL, &network));
    for (int i = 0; i < 3; i++) {
        runners[i] = (runner){&p, make_session(network, 1 + i, TDSNN_SPREAD_LAYERS, i == 2), 0};
        pthread_create(&threads[i], NULL, run_often, &runners[i]);
    }
    size_t wrong = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        wrong += runners[i].wrong;
        tdsnn_session_destroy(runners[i].session);
    }
    ok(wrong == 0, "sessions of one network run at the same time");
    tdsnn_network_destroy(network);
    free_problem(&p);
}

/* ---- What is told about a network. */

static void test_info(void) {
    problem p = make_problem(3);
    tdsnn_network *network = NULL;
    must(tdsnn_network_create(ctx, p.model, NULL, &network));
    tdsnn_network_info info = tdsnn_network_get_info(network);
    ok((size_t)info.outputs == p.outputs && info.layer_count == p.reference->layer_count &&
           (size_t)info.input[0] * (size_t)info.input[1] * (size_t)info.input[2] == p.values,
       "its shape");
    int wrong = 0;
    for (int i = 0; i < info.layer_count; i++) {
        wrong += tdsnn_network_find_layer(network, tdsnn_network_get_layer(network, i).name) != i;
    }
    ok(wrong == 0, "layers are found by name");
    ok(tdsnn_network_find_layer(network, "no such layer") == -1, "or are not there");
    tdsnn_session *one = make_session(network, 1, TDSNN_SPREAD_LAYERS, false);
    tdsnn_session *two = make_session(network, 2, TDSNN_SPREAD_SAMPLES, false);
    ok(tdsnn_session_bytes(one) > p.values &&
           tdsnn_session_bytes(two) > tdsnn_session_bytes(one) * 3 / 2,
       "sessions say how large they are");
    const float ties[] = {1.0f, 3.0f, 3.0f, 2.0f};
    ok(tdsnn_prediction(ties, 4) == 1, "the lowest of equal maxima is predicted");
    tdsnn_session_destroy(one);
    tdsnn_session_destroy(two);
    tdsnn_network_destroy(network);
    free_problem(&p);
}

/* ---- Misuse. */

static void refused(tdsnn_status status, const void *made, const char *words) {
    ok(status == TDSNN_ERR_USAGE && made == NULL && strstr(tdsnn_last_error(ctx), words) != NULL,
       "refused: %s", tdsnn_last_error(ctx));
}

static void test_misuse(void) {
    problem p = make_problem(4);
    tdsnn_network *network = NULL;
    tdsnn_session *session = NULL;
    tdsnn_network_options options = TDSNN_NETWORK_OPTIONS_INIT;
    options.isa = "mmx";
    refused(tdsnn_network_create(ctx, p.model, &options, &network), network, "mmx");
    options = (tdsnn_network_options){0};
    refused(tdsnn_network_create(ctx, p.model, &options, &network), network, "INIT");
    td_graph *graph = random_graph(ctx, 4);
    for (int i = 0; i < graph->node_count; i++) {
        td_op *op = &graph->nodes[i].op;
        *op = *op == TD_OP_CODE ? TD_OP_RELU : *op;
    }
    tdsnn_model *plain = NULL;
    must(td_model_create(ctx, graph, "plain.onnx", &plain));
    refused(tdsnn_network_create(ctx, plain, NULL, &network), network, "convert it first");
    tdsnn_model_destroy(plain);
    must(tdsnn_network_create(ctx, p.model, NULL, &network));
    tdsnn_session_options s = TDSNN_SESSION_OPTIONS_INIT;
    s.threads = 0;
    refused(tdsnn_session_create(ctx, network, &s, &session), session, "0 threads");
    s.threads = 1025;
    refused(tdsnn_session_create(ctx, network, &s, &session), session, "1025 threads");
    s.threads = 1;
    s.spread = (tdsnn_spread)2;
    refused(tdsnn_session_create(ctx, network, &s, &session), session, "tdsnn_spread");
    s.size = 4;
    refused(tdsnn_session_create(ctx, network, &s, &session), session, "INIT");
    tdsnn_network_destroy(network);
    tdsnn_network_destroy(NULL);
    tdsnn_session_destroy(NULL);
    free_problem(&p);
}

int main(int argc, char **argv) {
    ctx = tdsnn_context_create();
    test_bits(argc > 1 ? atoi(argv[1]) : 60);
    test_sharing();
    test_info();
    test_misuse();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
