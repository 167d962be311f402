/* What must hold of every network, on random graphs from seeds 0, 1, ...; their number may be given
 * (60): the stepped neurons are the formula in every mode, float and double part by no more than
 * rounding, the event engine gives the reference's bits with every instruction set and form, the
 * counter counts what stepping counts, two threads give the bits of one, and a file gives back the
 * graph. */
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "dense/dense.h"
#include "graph/lower.h"
#include "measure/verify.h"
#include "onnx/onnx.h"
#include "random_graph.h"
#include "stepped_counts.h"
#include "tap.h"

#define SAMPLES 3
#define MAX_LAYERS 64

static tdsnn_context *ctx;

/* A graph, its network, samples for it. */
typedef struct problem {
    td_graph *graph;
    td_network *network;
    size_t size; /* of one sample */
    float *samples;
} problem;

static problem make_problem(uint64_t seed) {
    problem p = {.graph = random_graph(ctx, seed)};
    if (td_network_create(ctx, p.graph, &p.network) != TDSNN_OK ||
        p.network->layer_count > MAX_LAYERS) {
        printf("Bail out! seed %d: %s\n", (int)seed, tdsnn_last_error(ctx));
        exit(1);
    }
    p.size = td_shape_count(p.graph->nodes[0].shape);
    p.samples = td_alloc(ctx, p.size * SAMPLES, sizeof *p.samples);
    td_random r;
    td_random_seed(&r, seed, 3);
    for (int s = 0; s < SAMPLES; s++) {
        random_graph_sample(&r, p.graph, p.samples + (size_t)s * p.size);
    }
    return p;
}

static void free_problem(problem *p) {
    td_free(p->samples);
    td_network_destroy(p->network);
    td_graph_destroy(p->graph);
}

static tdsnn_status read_sample(tdsnn_context *c, const void *user, size_t index, float *values) {
    const problem *p = user;
    (void)c;
    memcpy(values, p->samples + index * p->size, p->size * sizeof *values);
    return TDSNN_OK;
}

/* ------------------------------------------------------------------------------------- coverage */

/* Graphs that have each kind of thing. */
typedef struct coverage {
    int graphs, deep, groups, depthwise, asymmetric, joins, ranges, pairs, slopes, pools;
    int pools_of_pairs, averages, offset_1, composed, by_value, sides, pictures;
} coverage;

/* Layers of synapses on the longest path. */
static int depth_of(const td_network *n) {
    int depth[MAX_LAYERS] = {0};
    for (int i = 1; i < n->layer_count; i++) {
        const td_layer *layer = &n->layers[i];
        for (int k = 0; k < layer->synapse_count; k++) {
            int before = depth[layer->synapses[k].source];
            depth[i] = before > depth[i] ? before : depth[i];
        }
        depth[i] += layer->kind != TD_LAYER_POOL;
    }
    return depth[n->layer_count - 1];
}

static bool is_asymmetric(const td_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        const td_window *w = &graph->nodes[i].window;
        if (w->y.pad_begin != w->y.pad_end || w->x.pad_begin != w->x.pad_end) {
            return true;
        }
    }
    return false;
}

/* Whether the code of node `i` is of a drive that a MUL turned, and turned back behind it. */
static bool is_side(const td_graph *graph, int i) {
    const td_node *code = &graph->nodes[i], *turned = &graph->nodes[code->inputs[0]];
    return i < graph->node_count - 1 && code->op == TD_OP_CODE && turned->op == TD_OP_MUL &&
           graph->nodes[turned->inputs[0]].op == TD_OP_CONV && graph->nodes[i + 1].op == TD_OP_MUL;
}

static void cover_graph(const td_graph *graph, coverage *has) {
    for (int i = 1; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i], *before = &graph->nodes[node->inputs[0]];
        has->sides |= is_side(graph, i);
        has->by_value |= node->shape.flat && before->op == TD_OP_FLATTEN && node->operand != NULL;
        has->composed |=
            (node->op == TD_OP_CONV || node->op == TD_OP_INNER) && td_node_composes(graph, node);
        has->pictures |= node->op == TD_OP_UNFLATTEN;
    }
}

static void cover_layer(const td_layer *layer, coverage *has) {
    bool pool = layer->kind == TD_LAYER_POOL;
    has->pools |= pool;
    has->pairs |= layer->pair;
    has->slopes |= layer->pair && layer->negative != 1.0f;
    has->pools_of_pairs |= pool && layer->pair;
    has->joins |= layer->synapse_count > 1;
    for (int k = 0; k < layer->synapse_count && !pool; k++) {
        const td_synapses *s = &layer->synapses[k];
        bool cut = s->groups > 1 && !s->shortcut;
        has->depthwise |= cut && s->groups == s->inputs;
        has->groups |= cut && s->groups < s->inputs;
        has->ranges |= s->inputs < s->view.c || s->outputs < layer->shape.c;
        has->averages |= s->averages;
    }
}

static void cover(const problem *p, coverage *c) {
    coverage has = {0};
    for (int i = 0; i < p->network->layer_count; i++) {
        cover_layer(&p->network->layers[i], &has);
    }
    cover_graph(p->graph, &has);
    c->graphs++;
    c->deep += depth_of(p->network) >= 5;
    c->asymmetric += is_asymmetric(p->graph);
    c->offset_1 += p->network->layers[0].code->offset;
    c->groups += has.groups;
    c->depthwise += has.depthwise;
    c->joins += has.joins;
    c->ranges += has.ranges;
    c->pairs += has.pairs;
    c->slopes += has.slopes;
    c->pools += has.pools;
    c->pools_of_pairs += has.pools_of_pairs;
    c->averages += has.averages;
    c->composed += has.composed;
    c->sides += has.sides;
    c->by_value += has.by_value;
    c->pictures += has.pictures;
}

/* Prints the table: half of the graphs are deep, a tenth at least have each kind of thing. */
static void report_coverage(const coverage *c) {
    const struct {
        const char *what;
        int graphs, least;
    } rows[] = {{"5 layers deep or more", c->deep, c->graphs / 2},
                {"groups", c->groups, c->graphs / 10},
                {"depthwise", c->depthwise, c->graphs / 10},
                {"asymmetric padding", c->asymmetric, c->graphs / 10},
                {"several populations", c->joins, c->graphs / 10},
                {"ranges of channels", c->ranges, c->graphs / 10},
                {"pairs", c->pairs, c->graphs / 10},
                {"pairs with a slope", c->slopes, c->graphs / 10},
                {"max-pools", c->pools, c->graphs / 10},
                {"max-pools of pairs", c->pools_of_pairs, 1},
                {"composed averages", c->averages, c->graphs / 10},
                {"two layers composed", c->composed, c->graphs / 10},
                {"slopes by channel", c->sides, c->graphs / 10},
                {"constants by value", c->by_value, c->graphs / 10},
                {"flat as pictures", c->pictures, c->graphs / 10},
                {"offset 1", c->offset_1, c->graphs / 10}};
    int missing = 0;
    printf("# %d graphs; of them\n", c->graphs);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("#   %-22s %4d\n", rows[i].what, rows[i].graphs);
        missing += rows[i].graphs < rows[i].least;
    }
    ok(missing == 0, "the graphs have all that networks are made of, and half of them are deep");
}

/* --------------------------------------------------------------------------------------- checks */

/* Densities of all layers, which decide the forms; below 0: unknown. */
static td_plan *make_plan(const problem *p, const td_kernels *kernels, double density) {
    double densities[MAX_LAYERS];
    td_plan *plan;
    for (int i = 0; i < MAX_LAYERS; i++) {
        densities[i] = density;
    }
    if (td_plan_create(ctx, p->network, kernels, density < 0.0 ? NULL : densities, &plan) !=
        TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return plan;
}

/* The proof; gives the neurons checked. */
static uint64_t check_proof(const problem *p, uint64_t seed, int *wrong) {
    tdsnn_verify_result *r = NULL;
    td_plan *plan = make_plan(p, td_kernels_find(NULL), -1.0);
    tdsnn_status status =
        td_verify_network(ctx, p->network, plan, SAMPLES, read_sample, p, NULL, NULL, &r);
    td_plan_destroy(plan);
    if (status != TDSNN_OK || r->neuron_vs_formula_mismatches > 0) {
        printf("# seed %d: %s\n", (int)seed, tdsnn_last_error(ctx));
        td_error_clear(ctx);
        *wrong += 1;
    }
    uint64_t neurons = r == NULL ? 0 : r->neurons_checked;
    tdsnn_verify_result_free(r);
    return neurons;
}

/* One layer: adds, leaks, multiply-adds and T_il; ticks as well, for the times are the layer's. */
static bool same_layer(const problem *p, int i, const td_activity *a, const td_counter *counter) {
    const td_layer *layer = &p->network->layers[i];
    tdsnn_counts brute = {0};
    uint64_t found, t_last_in = 0, ticks = 0;
    count_by_stepping(ctx, p->network, i, a, &brute, &t_last_in);
    for (size_t n = 0; layer->kind == TD_LAYER_SYNAPSES && n < td_layer_neurons(layer); n++) {
        ticks += a->times[i][n];
    }
    tdsnn_counts c = td_counter_layer(counter, i, &found);
    return same_counts(&c, &brute) && found == t_last_in && c.ticks == ticks &&
           c.neurons == (layer->code == NULL ? 0 : td_layer_neurons(layer));
}

/* The counter's counts of one sample are those of stepping, and its multiply-adds the graph's. */
static void check_counts(const problem *p, uint64_t seed, int *wrong) {
    td_activity *a;
    td_reference *reference;
    td_counter *counter;
    td_activity_create(ctx, p->network, &a);
    td_reference_create(ctx, p->network, &reference);
    td_counter_create(ctx, p->network, &counter);
    memcpy(a->input, p->samples, p->size * sizeof *a->input);
    td_reference_run(reference, a);
    td_counter_add(counter, a);
    uint64_t macs = 0, ignored;
    int differ = 0;
    for (int i = 1; i < p->network->layer_count; i++) {
        differ += !same_layer(p, i, a, counter);
        macs += td_counter_layer(counter, i, &ignored).macs;
    }
    for (int i = 0; i < p->graph->node_count; i++) {
        macs -= td_node_macs(p->graph, &p->graph->nodes[i], false);
    }
    if (differ > 0 || macs != 0) {
        printf("# seed %d: %d layers differ, %lld multiply-adds too many\n", (int)seed, differ,
               (long long)macs);
        *wrong += 1;
    }
    td_counter_destroy(counter);
    td_reference_destroy(reference);
    td_activity_destroy(a);
}

/* Runs of all samples, each thread with a session of its own. */
typedef struct runs {
    const problem *p;
    td_activity **activities; /* [sample] */
    td_reference **sessions;  /* [thread] */
} runs;

static tdsnn_status run_sample(void *arg, size_t index, int thread) {
    runs *r = arg;
    td_activity *a = r->activities[index];
    memcpy(a->input, r->p->samples + index * r->p->size, r->p->size * sizeof *a->input);
    td_reference_run(r->sessions[thread], a);
    return TDSNN_OK;
}

static void run_all(const problem *p, int threads, td_activity **activities) {
    td_reference *sessions[2];
    runs r = {p, activities, sessions};
    for (int i = 0; i < threads; i++) {
        td_reference_create(ctx, p->network, &sessions[i]);
    }
    for (int s = 0; s < SAMPLES; s++) {
        td_activity_create(ctx, p->network, &activities[s]);
    }
    tdsnn_set_threads(ctx, threads);
    td_parallel(ctx, "running", SAMPLES, run_sample, &r);
    tdsnn_set_threads(ctx, 0);
    for (int i = 0; i < threads; i++) {
        td_reference_destroy(sessions[i]);
    }
}

static bool same_bits(const td_network *n, const td_activity *a, const td_activity *b) {
    bool same = memcmp(a->logits, b->logits, (size_t)n->classes * sizeof *a->logits) == 0;
    for (int i = 0; i < n->layer_count - 1 && same; i++) {
        same = memcmp(a->times[i], b->times[i], td_layer_neurons(&n->layers[i])) == 0;
    }
    return same;
}

/* The event engine on all samples: plans that differ from the reference. */
static int run_plan(const problem *p, const td_plan *plan, int threads, td_activity **want,
                    td_activity *have) {
    td_session *session;
    bool same = true;
    if (td_session_create(ctx, plan, threads, &session) != TDSNN_OK) {
        exit(1);
    }
    for (int s = 0; s < SAMPLES; s++) {
        memcpy(have->input, p->samples + (size_t)s * p->size, p->size * sizeof *have->input);
        td_session_run(session, have, true);
        same = same && same_bits(p->network, want[s], have);
    }
    td_session_destroy(session);
    return !same;
}

/* How often each form was chosen. */
static void count_forms(const td_network *n, const td_plan *plan, size_t *forms) {
    for (int i = 1; i < n->layer_count; i++) {
        for (int k = 0; k < n->layers[i].synapse_count && n->layers[i].kind != TD_LAYER_POOL; k++) {
            forms[td_plan_describe(plan, i, k).form]++;
        }
    }
}

/* Every instruction set, densities unknown, none, all; one thread or two inside the layers. */
static void check_event(const problem *p, uint64_t seed, size_t *forms, int *wrong) {
    static const double densities[] = {-1.0, 0.0, 1.0};
    td_activity *want[SAMPLES], *have;
    const td_kernels *kernels;
    int here;
    run_all(p, 1, want);
    td_activity_create(ctx, p->network, &have);
    for (int i = 0; (kernels = td_kernels_at(i, &here)) != NULL; i++) {
        for (int d = 0; d < 3 && here; d++) {
            td_plan *plan = make_plan(p, kernels, densities[d]);
            count_forms(p->network, plan, forms);
            if (run_plan(p, plan, 1 + d % 2, want, have)) {
                printf("# seed %d: %s differs, density %g\n", (int)seed, kernels->name,
                       densities[d]);
                *wrong += 1;
            }
            td_plan_destroy(plan);
        }
    }
    td_activity_destroy(have);
    for (int s = 0; s < SAMPLES; s++) {
        td_activity_destroy(want[s]);
    }
}

/* The largest of n numbers, without their signs. */
static double largest_of(const float *numbers, size_t n) {
    double most = 0.0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)numbers[i]));
    }
    return most;
}

/* The graph run densely, codes and all, on every sample: those whose logits are not the network's.
 * Its sums have another order, so that a spike time may flip. */
static int run_densely(const problem *p, td_dense_backend backend, td_activity **want) {
    td_dense_options options = {.backend = backend};
    td_dense_plan *plan;
    td_dense *session;
    size_t n = (size_t)p->network->classes;
    int differ = 0;
    if (td_dense_plan_create(ctx, p->graph, &options, &plan) != TDSNN_OK ||
        td_dense_create(ctx, plan, &session) != TDSNN_OK) {
        exit(1);
    }
    for (int s = 0; s < SAMPLES; s++) {
        td_dense_run(session, p->samples + (size_t)s * p->size);
        const float *have = td_dense_value(session, td_graph_logits(p->graph));
        double bound = 1e-4 * largest_of(have, n);
        bool same = true;
        for (size_t i = 0; i < n; i++) {
            same = same && fabs((double)have[i] - (double)want[s]->logits[i]) <= bound;
        }
        differ += !same;
    }
    td_dense_destroy(session);
    td_dense_plan_destroy(plan);
    return differ;
}

static void check_dense(const problem *p, uint64_t seed, int *parted) {
    td_activity *want[SAMPLES];
    run_all(p, 1, want);
    for (int backend = TD_DENSE_BEST; backend <= TD_DENSE_PLAIN; backend++) {
        int differ = run_densely(p, (td_dense_backend)backend, want);
        if (differ > 0) {
            printf("# seed %d: %d samples of the dense graph differ\n", (int)seed, differ);
        }
        *parted += differ;
    }
    for (int s = 0; s < SAMPLES; s++) {
        td_activity_destroy(want[s]);
    }
}

static void check_threads(const problem *p, uint64_t seed, int *wrong) {
    td_activity *one[SAMPLES], *two[SAMPLES];
    run_all(p, 1, one);
    run_all(p, 2, two);
    for (int s = 0; s < SAMPLES; s++) {
        if (!same_bits(p->network, one[s], two[s])) {
            printf("# seed %d, sample %d: two threads differ from one\n", (int)seed, s);
            *wrong += 1;
        }
        td_activity_destroy(one[s]);
        td_activity_destroy(two[s]);
    }
}

static void check_file(const problem *p, const char *path, uint64_t seed, int *wrong) {
    td_source *source = NULL;
    td_lowering lowering = {0};
    bool same = td_onnx_write(ctx, p->graph, path, true) == TDSNN_OK &&
                td_onnx_read(ctx, path, &source) == TDSNN_OK &&
                td_lower(ctx, source, &lowering) == TDSNN_OK && lowering.graph != NULL &&
                td_graph_equal(p->graph, lowering.graph);
    if (!same) {
        printf("# seed %d: the file differs %s\n", (int)seed, tdsnn_last_error(ctx));
        td_error_clear(ctx);
        *wrong += 1;
    }
    td_source_destroy(source);
    td_lowering_destroy(&lowering);
}

int main(int argc, char **argv) {
    int graphs = argc > 1 ? atoi(argv[1]) : 60;
    int unproved = 0, miscounted = 0, unequal = 0, threaded = 0, misread = 0, parted = 0;
    size_t forms[TD_FORMS] = {0};
    char path[] = "/tmp/tdsnn-graphs-XXXXXX";
    close(mkstemp(path));
    uint64_t neurons = 0;
    coverage c = {0};
    ctx = tdsnn_context_create();
    for (uint64_t seed = 0; seed < (uint64_t)graphs; seed++) {
        problem p = make_problem(seed);
        cover(&p, &c);
        neurons += check_proof(&p, seed, &unproved);
        check_counts(&p, seed, &miscounted);
        check_event(&p, seed, forms, &unequal);
        check_dense(&p, seed, &parted);
        check_threads(&p, seed, &threaded);
        check_file(&p, path, seed, &misread);
        free_problem(&p);
    }
    unlink(path);
    report_coverage(&c);
    ok(unproved == 0 && neurons > 0,
       "neuron = formula in all modes, float = double up to rounding: %llu neurons, %d of %d "
       "graphs fail",
       (unsigned long long)neurons, unproved, graphs);
    ok(miscounted == 0, "counts are those of the stepped neurons: %d of %d graphs differ",
       miscounted, graphs);
    bool all = true;
    for (int i = 0; i < TD_FORMS; i++) {
        printf("# %s: %zu populations\n", td_form_name((td_form)i), forms[i]);
        all = all && forms[i] > 0;
    }
    ok(unequal == 0 && all,
       "the event engine has the reference's bits in every form: %d plans differ", unequal);
    ok(parted <= graphs / 50,
       "the graph run densely gives the network's logits: %d of %d runs differ by more than "
       "rounding, where a spike time flips",
       parted, 2 * SAMPLES * graphs);
    ok(threaded == 0, "one thread and two give the same bits: %d samples differ", threaded);
    ok(misread == 0, "files give back the graphs bit for bit: %d of %d differ", misread, graphs);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
