/* Forward and backward through whole networks against their definition in double: values as they
 * are, gradients by central differences of the definition. Differences in double with a step of
 * 1e-6 err by 1e-9 of what they show, far less than the floats that are tested. A network with a
 * drive so near to a kink that floats may see it on the other side is passed over and counted. */
#include "train/tape.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "convert/build.h"
#include "random_graph.h"
#include "tap.h"

enum { SAMPLES = 3, GRAPHS = 60, CODED = 40 };

/* A few roundings a layer, up to 20 layers a network, and norms of channels that hardly vary, which
 * divide by as little as 0.003: values and gradients are off by so many epsilons of their root mean
 * square. A term that is missing or doubled is 100 times as much. */
#define ERROR (5000.0 * FLT_EPSILON)
#define STEP 1e-6
#define NEAR 2e-5 /* of a kink, as a share of a layer's root mean square */

static tdsnn_context *ctx;

/* ---- The definition. */

/* A network in double: what every node gives, [SAMPLES][C][H][W], for these parameters. */
typedef struct model {
    const td_learner *learner;
    const td_graph *graph;
    double *parameters; /* [count] */
    double **values;    /* [node_count] */
    double **drives;    /* CODE: what it read at the base; MAXPOOL: which member it took there */
    double **spikes;    /* CODE: what it gave there */
    bool at_base;       /* codes round, and what they do is kept */
    bool near;          /* a drive was near to a kink */
} model;

static size_t size_of(const model *m, int node) {
    return SAMPLES * td_shape_count(m->graph->nodes[node].shape);
}

static model model_create(const td_learner *l) {
    size_t nodes = (size_t)l->graph->node_count;
    model m = {.learner = l, .graph = l->graph};
    m.parameters = td_alloc(ctx, l->count, sizeof *m.parameters);
    m.values = td_alloc(ctx, nodes, sizeof *m.values);
    m.drives = td_alloc(ctx, nodes, sizeof *m.drives);
    m.spikes = td_alloc(ctx, nodes, sizeof *m.spikes);
    for (int i = 0; i < l->graph->node_count; i++) {
        m.values[i] = td_alloc(ctx, size_of(&m, i), sizeof(double));
        m.drives[i] = td_alloc(ctx, size_of(&m, i), sizeof(double));
        m.spikes[i] = td_alloc(ctx, size_of(&m, i), sizeof(double));
    }
    return m;
}

static void model_free(model *m) {
    for (int i = 0; i < m->graph->node_count; i++) {
        td_free(m->values[i]);
        td_free(m->drives[i]);
        td_free(m->spikes[i]);
    }
    td_free(m->values);
    td_free(m->drives);
    td_free(m->spikes);
    td_free(m->parameters);
}

static const double *parameter(const model *m, int node, td_role role) {
    size_t slot = m->learner->slots[node][role];
    return slot == TD_ABSENT ? NULL : m->parameters + slot;
}

static double root_mean_square(const double *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i] * values[i];
    }
    return sqrt(sum / (double)count) + 1e-30;
}

/* The sum over one output's taps. */
static double convolve(const model *m, const td_node *node, const double *x, int c, int oy,
                       int ox) {
    td_shape in = m->graph->nodes[node->inputs[0]].shape;
    bool inner = node->op == TD_OP_INNER;
    td_window w = inner ? TD_WINDOW_ONE : node->window;
    int groups = inner ? 1 : node->groups, inputs = in.c / groups;
    int first = c / (node->shape.c / groups) * inputs;
    const double *weights = parameter(m, (int)(node - m->graph->nodes), TD_ROLE_WEIGHTS);
    double sum = 0.0;
    for (int i = 0; i < inputs; i++) {
        for (int ky = 0; ky < w.y.kernel; ky++) {
            for (int kx = 0; kx < w.x.kernel; kx++) {
                int y = td_axis_input(&w.y, oy, ky), at = td_axis_input(&w.x, ox, kx);
                if (y >= 0 && y < in.h && at >= 0 && at < in.w) {
                    sum += weights[((c * inputs + i) * w.y.kernel + ky) * w.x.kernel + kx] *
                           x[((first + i) * in.h + y) * in.w + at];
                }
            }
        }
    }
    return sum;
}

/* Channel c of all samples: less its mean, by its deviation. */
static void normalise(model *m, int index, int c) {
    const td_node *node = &m->graph->nodes[index];
    size_t pixels = (size_t)node->shape.h * (size_t)node->shape.w;
    double mean = 0.0, variance = 0.0, count = (double)(SAMPLES * pixels);
    double gain = parameter(m, index, TD_ROLE_GAIN)[c];
    double shift = parameter(m, index, TD_ROLE_SHIFT)[c];
    double *at[SAMPLES];
    for (int n = 0; n < SAMPLES; n++) {
        at[n] = m->values[index] + ((size_t)n * (size_t)node->shape.c + (size_t)c) * pixels;
        for (size_t p = 0; p < pixels; p++) {
            mean += at[n][p] / count;
        }
    }
    for (int n = 0; n < SAMPLES; n++) {
        for (size_t p = 0; p < pixels; p++) {
            variance += (at[n][p] - mean) * (at[n][p] - mean) / count;
        }
    }
    double factor = gain / sqrt(variance + (double)TD_NORM_EPSILON);
    for (int n = 0; n < SAMPLES; n++) {
        for (size_t p = 0; p < pixels; p++) {
            at[n][p] = factor * (at[n][p] - mean) + shift;
        }
    }
}

static void run_linear(model *m, int index) {
    const td_node *node = &m->graph->nodes[index];
    const double *x = m->values[node->inputs[0]], *bias = parameter(m, index, TD_ROLE_BIAS);
    size_t in = td_shape_count(m->graph->nodes[node->inputs[0]].shape);
    double *y = m->values[index];
    for (int n = 0; n < SAMPLES; n++) {
        for (int c = 0; c < node->shape.c; c++) {
            for (int i = 0; i < node->shape.h * node->shape.w; i++) {
                *y++ =
                    convolve(m, node, x + (size_t)n * in, c, i / node->shape.w, i % node->shape.w) +
                    (bias == NULL ? 0.0 : bias[c]);
            }
        }
    }
    for (int c = 0; bias == NULL && c < node->shape.c; c++) {
        normalise(m, index, c);
    }
}

/* The largest or the mean of one window. */
static double pool(model *m, const td_node *node, const double *plane, td_shape in, int oy, int ox,
                   double near, double *chosen) {
    double largest = -INFINITY, second = -INFINITY, sum = 0.0, first = 0.0;
    int members = 0;
    if (node->op == TD_OP_MAXPOOL && !m->at_base) {
        return plane[(int)*chosen];
    }
    for (int ky = 0; ky < node->window.y.kernel; ky++) {
        for (int kx = 0; kx < node->window.x.kernel; kx++) {
            int y = td_axis_input(&node->window.y, oy, ky);
            int x = td_axis_input(&node->window.x, ox, kx);
            if (y >= 0 && y < in.h && x >= 0 && x < in.w) {
                double v = plane[y * in.w + x];
                second = v > largest ? largest : fmax(second, v);
                first = v > largest ? y * in.w + x : first;
                largest = fmax(largest, v);
                sum += v;
                members++;
            }
        }
    }
    if (node->op == TD_OP_MAXPOOL) {
        *chosen = first; /* of equal ones the first */
        m->near = m->near || (largest != second && largest - second < near);
        return largest;
    }
    return sum / (node->count_padding ? node->window.y.kernel * node->window.x.kernel : members);
}

static void run_pool(model *m, int index) {
    const td_node *node = &m->graph->nodes[index];
    td_shape in = m->graph->nodes[node->inputs[0]].shape;
    const double *x = m->values[node->inputs[0]];
    double *y = m->values[index], near = NEAR * root_mean_square(x, size_of(m, node->inputs[0]));
    double *chosen = m->drives[index];
    for (int plane = 0; plane < SAMPLES * in.c; plane++) {
        for (int i = 0; i < node->shape.h * node->shape.w; i++) {
            *y++ = pool(m, node, x + (size_t)plane * (size_t)(in.h * in.w), in, i / node->shape.w,
                        i % node->shape.w, near, chosen++);
        }
    }
}

static double apply_point(model *m, const td_node *node, double v, double near) {
    switch (node->op) {
    case TD_OP_RELU:
    case TD_OP_LEAKY:
        m->near = m->near || (v != 0.0 && fabs(v) < near);
        return v > 0.0 ? v : node->op == TD_OP_RELU ? 0.0 : v * (double)node->negative;
    case TD_OP_CLIP:
        m->near =
            m->near || fabs(v - (double)node->low) < near || fabs(v - (double)node->high) < near;
        return fmin(fmax(v, (double)node->low), (double)node->high);
    default:
        return v;
    }
}

static double apply_operand(const td_node *node, double v, double operand) {
    return node->op == TD_OP_SUB   ? v - operand
           : node->op == TD_OP_DIV ? v / operand
           : node->op == TD_OP_MUL ? v * operand
                                   : v + operand;
}

static bool is_affine(td_op op) {
    return op == TD_OP_SUB || op == TD_OP_DIV || op == TD_OP_MUL || op == TD_OP_SHIFT;
}

static void run_points(model *m, int index) {
    const td_node *node = &m->graph->nodes[index];
    const double *x = m->values[node->inputs[0]];
    size_t count = size_of(m, index);
    size_t pixels = (size_t)node->shape.h * (size_t)node->shape.w, channels = (size_t)node->shape.c;
    double near = NEAR * root_mean_square(x, count);
    for (size_t i = 0; i < count; i++) {
        m->values[index][i] =
            is_affine(node->op)
                ? apply_operand(node, x[i], (double)node->operand[i / pixels % channels])
                : apply_point(m, node, x[i], near);
    }
}

/* The drive that a spike at `time` stands for: at offset 1 its value is more by v_0. */
static double told_apart(const tdsnn_code *c, int time) {
    return (double)(c->values[time] - c->values[0]);
}

/* A code at the base. Behind it, lines instead: straight through inside the window, in proportion
 * to the scale, and against its thresholds. */
static double apply_code(model *m, int index, double v, size_t i, double near) {
    const td_node *node = &m->graph->nodes[index];
    const tdsnn_code *c = &m->learner->codes[index];
    double top = told_apart(c, c->steps);
    if (m->at_base) {
        for (int k = 0; k < c->steps; k++) {
            m->near = m->near || fabs(fabs(v) - (double)c->thresholds[k]) < near ||
                      fabs(fabs(v) - told_apart(c, k + 1)) < near;
        }
        m->drives[index][i] = v;
        double y = c->values[tdsnn_code_encode_double(c, v)];
        if (node->negative != 0.0f) {
            y -= (double)node->negative * (double)c->values[tdsnn_code_encode_double(c, -v)];
        }
        m->spikes[index][i] = y;
        return y;
    }
    double base = m->drives[index][i], y = m->spikes[index][i], size = fabs(base);
    double slope = size >= top || base == 0.0 ? 0.0 : base > 0.0 ? 1.0 : (double)node->negative;
    const double *scale = parameter(m, index, TD_ROLE_SCALE);
    const double *shares = parameter(m, index, TD_ROLE_THRESHOLDS);
    double result = y + slope * (v - base);
    if (scale != NULL) {
        result += (y - slope * base) *
                  (*scale - (double)*td_learner_values(m->learner, index, TD_ROLE_SCALE));
    }
    if (shares != NULL && slope != 0.0) {
        int k = 0;
        while (k + 1 < c->steps && told_apart(c, k + 1) <= size) {
            k++;
        }
        double moved =
            shares[k] - (double)td_learner_values(m->learner, index, TD_ROLE_THRESHOLDS)[k];
        result -= slope * (base > 0.0 ? 1.0 : -1.0) * moved * (double)c->scale;
    }
    return result;
}

static void run_code(model *m, int index) {
    const double *x = m->values[m->graph->nodes[index].inputs[0]];
    size_t count = size_of(m, index);
    double near = NEAR * root_mean_square(x, count);
    for (size_t i = 0; i < count; i++) {
        m->values[index][i] = apply_code(m, index, x[i], i, near);
    }
}

/* ADD, CONCAT, SLICE. */
static void run_joined(model *m, int index) {
    const td_node *node = &m->graph->nodes[index];
    size_t own = td_shape_count(node->shape);
    size_t skipped = (size_t)node->first_channel * (size_t)node->shape.h * (size_t)node->shape.w;
    memset(m->values[index], 0, SAMPLES * own * sizeof(double));
    for (size_t n = 0; n < SAMPLES; n++) {
        size_t first = 0;
        for (int k = 0; k < node->input_count; k++) {
            size_t each = td_shape_count(m->graph->nodes[node->inputs[k]].shape);
            const double *x = m->values[node->inputs[k]] + n * each + skipped;
            size_t count = node->op == TD_OP_SLICE ? own : each;
            for (size_t i = 0; i < count; i++) {
                m->values[index][n * own + first + i] += x[i];
            }
            first += node->op == TD_OP_CONCAT ? each : 0;
        }
    }
}

static void run_node(model *m, int index) {
    switch (m->graph->nodes[index].op) {
    case TD_OP_CONV:
    case TD_OP_INNER:
        run_linear(m, index);
        break;
    case TD_OP_MAXPOOL:
    case TD_OP_AVGPOOL:
        run_pool(m, index);
        break;
    case TD_OP_ADD:
    case TD_OP_CONCAT:
    case TD_OP_SLICE:
        run_joined(m, index);
        break;
    case TD_OP_CODE:
        run_code(m, index);
        break;
    default: /* point by point; FLATTEN and UNFLATTEN are nothing here */
        run_points(m, index);
        break;
    }
}

/* <weights, logits>, the parameters moved by `step` along `direction` from the learner's. */
static double run_model(model *m, const float *weights, const td_parameter *p,
                        const double *direction, double step) {
    for (size_t i = 0; i < m->learner->count; i++) {
        m->parameters[i] = m->learner->values[i];
    }
    for (size_t i = 0; p != NULL && i < p->count; i++) {
        m->parameters[p->first + i] += step * direction[i];
    }
    for (int i = 1; i < m->graph->node_count; i++) {
        run_node(m, i);
    }
    double sum = 0.0;
    for (size_t i = 0; i < size_of(m, m->graph->node_count - 1); i++) {
        sum += (double)weights[i] * m->values[m->graph->node_count - 1][i];
    }
    return sum;
}

/* ---- A network under test. */

typedef struct subject {
    td_graph *graph;
    td_learner *learner;
    td_tape *tape;
    float *input, *weights, *gradients;
    size_t inputs, outputs; /* of all samples */
} subject;

static void bail_out(void) {
    printf("Bail out! %s\n", tdsnn_last_error(ctx));
    exit(1);
}

static subject subject_create(td_graph *graph, const td_learner_options *options,
                              td_dense_backend backend, uint64_t seed) {
    subject s = {.graph = graph};
    td_random random;
    td_random_seed(&random, seed, 6);
    if (td_learner_create(ctx, graph, options, &s.learner) != TDSNN_OK ||
        td_tape_create(ctx, s.learner, SAMPLES, backend, &s.tape) != TDSNN_OK) {
        bail_out();
    }
    const td_learner *l = s.learner;
    for (int i = 0; i < l->parameter_count; i++) {
        const td_parameter *p = &l->parameters[i];
        bool norm = p->role == TD_ROLE_GAIN || p->role == TD_ROLE_SHIFT;
        for (size_t k = 0; norm && k < p->count; k++) {
            l->values[p->first + k] += (float)(0.3 * td_random_normal(&random));
        }
    }
    s.inputs = SAMPLES * td_shape_count(graph->nodes[0].shape);
    s.outputs = SAMPLES * td_shape_count(graph->nodes[graph->node_count - 1].shape);
    s.input = td_alloc(ctx, s.inputs, sizeof *s.input);
    s.weights = td_alloc(ctx, s.outputs, sizeof *s.weights);
    s.gradients = td_alloc(ctx, l->count, sizeof *s.gradients);
    for (size_t i = 0; i < s.inputs; i++) {
        s.input[i] = (float)td_random_uniform(&random);
    }
    for (size_t i = 0; i < s.outputs; i++) {
        s.weights[i] = (float)td_random_normal(&random);
    }
    for (size_t i = 0; i < l->count; i++) {
        s.gradients[i] = NAN;
    }
    return s;
}

static void subject_free(subject *s) {
    td_tape_destroy(s->tape);
    td_learner_destroy(s->learner);
    td_graph_destroy(s->graph);
    td_free(s->input);
    td_free(s->weights);
    td_free(s->gradients);
}

static void run_tape(subject *s) {
    td_tape_forward(s->tape, TD_PASS_TRAIN, s->input);
    td_tape_backward(s->tape, s->weights, 0.0, SAMPLES, s->gradients);
}

/* ---- Gradients against differences. */

typedef struct tally {
    int networks, near;
    size_t parameters, wrong, ops[TD_OP_COUNT], roles[TD_ROLE_COUNT];
    double largest;
} tally;

static void count_error(tally *t, double error, const char *what, const char *name) {
    if (!(error <= ERROR)) {
        t->wrong++;
        printf("# %s of '%s': off by %g\n", what, name, error);
    }
    t->largest = fmax(t->largest, error);
}

/* Of scales and thresholds the tape gives a share. */
static double share_of(const td_graph *graph, const td_parameter *p) {
    const td_node *node = &graph->nodes[p->node];
    bool code = p->role == TD_ROLE_SCALE || p->role == TD_ROLE_THRESHOLDS;
    return code ? 1.0 / sqrt((double)td_shape_count(node->shape) * node->code->steps) : 1.0;
}

/* The root mean square of all gradients: a sum that cancels to less is as exact as they are. */
static double mean_gradient(const subject *s) {
    double square = 0.0;
    for (size_t i = 0; i < s->learner->count; i++) {
        square += (double)s->gradients[i] * (double)s->gradients[i];
    }
    return sqrt(square / (double)s->learner->count);
}

/* Along one random direction: an array of gradients with one wrong is found out by almost any. */
static void check_parameter(const subject *s, model *m, const td_parameter *p, td_random *random,
                            tally *t) {
    double *direction = td_alloc(ctx, p->count, sizeof *direction);
    double given = 0.0, square = 0.0, share = share_of(s->graph, p), noise = mean_gradient(s);
    for (size_t i = 0; i < p->count; i++) {
        double g = s->gradients[p->first + i] / share;
        direction[i] = td_random_normal(random);
        given += g * direction[i];
        square += g * g;
    }
    double slope = (run_model(m, s->weights, p, direction, STEP) -
                    run_model(m, s->weights, p, direction, -STEP)) /
                   (2.0 * STEP);
    static const char *const roles[] = {"weights", "bias", "gain", "shift", "scale", "thresholds"};
    double error = fabs(given - slope) / (sqrt(square) + noise * sqrt((double)p->count));
    count_error(t, error, roles[p->role], s->graph->nodes[p->node].name);
    t->parameters++;
    t->roles[p->role]++;
    td_free(direction);
}

static void check_logits(const subject *s, const model *m, tally *t) {
    const double *wanted = m->values[s->graph->node_count - 1];
    double most = 0.0;
    for (size_t i = 0; i < s->outputs; i++) {
        most = fmax(most, fabs(td_tape_logits(s->tape)[i] - wanted[i]));
    }
    count_error(t, most / root_mean_square(wanted, s->outputs), "logits", "all");
}

static void check_subject(subject *s, uint64_t seed, tally *t) {
    model m = model_create(s->learner);
    td_random random;
    td_random_seed(&random, seed, 7);
    for (size_t i = 0; i < s->inputs; i++) {
        m.values[0][i] = s->input[i];
    }
    m.at_base = true;
    run_model(&m, s->weights, NULL, NULL, 0.0);
    t->near += m.near;
    if (!m.near) {
        t->networks++;
        m.at_base = false;
        run_tape(s);
        check_logits(s, &m, t);
        for (int i = 0; i < s->learner->parameter_count; i++) {
            check_parameter(s, &m, &s->learner->parameters[i], &random, t);
        }
        for (int i = 0; i < s->graph->node_count; i++) {
            t->ops[s->graph->nodes[i].op]++;
        }
    }
    model_free(&m);
}

/* A plain random network; every fourth rectifier is a Clip. Some are too large to be small sums. */
static td_graph *plain_subject(uint64_t seed) {
    td_graph *graph = random_graph(ctx, seed);
    for (int i = 0, codes = 0; i < graph->node_count; i++) {
        td_node *node = &graph->nodes[i];
        if (node->op == TD_OP_CODE) {
            node->op = codes % 4 == 3           ? TD_OP_CLIP
                       : node->negative == 0.0f ? TD_OP_RELU
                                                : TD_OP_LEAKY;
            node->low = codes % 8 == 3 ? -0.4f : 0.0f;
            node->high = 0.6f;
            codes++;
        }
    }
    return graph;
}

static void test_gradients(td_dense_backend backend, const char *name) {
    tally t = {0};
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        subject s = subject_create(plain_subject(seed),
                                   &(td_learner_options){.norms = seed % 3 == 0}, backend, seed);
        check_subject(&s, seed, &t);
        subject_free(&s);
    }
    ok(t.wrong == 0, "%s: %zu arrays of %d networks: %zu differ, the worst by %.2g; %d near kinks",
       name, t.parameters, t.networks, t.wrong, t.largest, t.near);
    ok(t.networks >= GRAPHS / 3, "of %d networks few are passed over", GRAPHS);
    for (int op = 0; op < TD_OP_COUNT; op++) {
        ok(t.ops[op] > 0 || op == TD_OP_CODE || td_op_closes((td_op)op), "%s is among them: %zu",
           td_op_name((td_op)op), t.ops[op]);
    }
    ok(t.roles[TD_ROLE_GAIN] > 0 && t.roles[TD_ROLE_BIAS] > 0, "with norms and without");
}

/* ---- Codes. */

/* Two coded layers, the second a pair's in every other network. */
static td_graph *coded_subject(uint64_t seed) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx), .rounding = TDSNN_ROUND_NEAREST};
    td_random_seed(&m.random, seed, 8);
    m.offset = seed % 4 == 3;
    m.graph->input_name = "x";
    m.graph->output_name = "y";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = {2, 4, 4, false}});
    for (int layer = 0; layer < 2; layer++) {
        append_same_conv(&m, 3);
        tdsnn_code *code = td_arena_alloc(m.graph->arena, 1, sizeof *code);
        if (tdsnn_code_make(ctx, 3.0, 1 + (int)(seed % 7), 0.3,
                            m.offset == 1 ? TDSNN_ROUND_CEIL : TDSNN_ROUND_NEAREST, m.offset,
                            code) != TDSNN_OK) {
            bail_out();
        }
        append(&m, (td_node){.op = TD_OP_CODE,
                             .shape = shape_at(&m),
                             .code = code,
                             .negative = layer == 1 && seed % 2 == 0 ? 0.5f : 0.0f});
        if (layer == 0) {
            append_pool(&m);
        }
    }
    append_inner(&m, 4);
    return m.graph;
}

static void test_codes(void) {
    tally t = {0};
    for (uint64_t seed = 0; seed < CODED; seed++) {
        td_learner_options options = {.norms = seed % 3 == 0, .learn_thresholds = seed % 5 < 2};
        subject s = subject_create(coded_subject(seed), &options, TD_DENSE_PLAIN, seed);
        check_subject(&s, seed, &t);
        subject_free(&s);
    }
    ok(t.wrong == 0,
       "%zu arrays of %d coded networks: %zu differ, the worst by %.2g; %d near kinks",
       t.parameters, t.networks, t.wrong, t.largest, t.near);
    ok(t.networks >= CODED / 3 && t.roles[TD_ROLE_SCALE] > 0 && t.roles[TD_ROLE_THRESHOLDS] > 0,
       "scales and thresholds among them");
}

/* Weights of all neurons' spikes are 1 together: with every drive above its window each sample
 * costs the whole. */
static void test_cost(void) {
    size_t wrong = 0;
    for (uint64_t seed = 0; seed < 8; seed += 2) {
        td_graph *graph = coded_subject(2 * seed + 1); /* no pairs: both signs cannot be above */
        subject s = subject_create(graph, &(td_learner_options){0}, TD_DENSE_PLAIN, seed);
        for (int i = 0; i < s.learner->parameter_count; i++) {
            const td_parameter *p = &s.learner->parameters[i];
            for (size_t k = 0; p->role == TD_ROLE_BIAS && k < p->count; k++) {
                s.learner->values[p->first + k] = 1e4f;
            }
        }
        td_tape_forward(s.tape, TD_PASS_TRAIN, s.input);
        double cost = td_tape_backward(s.tape, s.weights, 0.7, 10, s.gradients);
        wrong += !(fabs(cost - 0.7 * SAMPLES / 10) <= 1e-5);
        wrong += td_tape_spikes(s.tape) != td_tape_neurons(s.tape) || td_tape_neurons(s.tape) == 0;
        subject_free(&s);
    }
    ok(wrong == 0, "where all fire at the latest, a sample's spikes cost the whole weight");
}

/* ---- Inference and export. */

static double distance(const float *a, const float *b, size_t count) {
    double sum = 0.0, square = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        square += (double)b[i] * (double)b[i];
    }
    return sqrt(sum) / (sqrt(square) + 1e-6);
}

/* ---- Inference and export. */

/* The exported graph's logits by plain C, of one sample after the other. */
static void run_exported(const td_learner *l, const float *input, float *logits) {
    td_graph *graph;
    td_dense_plan *plan;
    td_dense *session;
    td_dense_options options = {.backend = TD_DENSE_PLAIN, .batch = SAMPLES};
    if (td_learner_export(ctx, l, &graph) != TDSNN_OK ||
        td_dense_plan_create(ctx, graph, &options, &plan) != TDSNN_OK ||
        td_dense_create(ctx, plan, &session) != TDSNN_OK) {
        bail_out();
    }
    td_dense_run(session, input);
    size_t count = SAMPLES * td_shape_count(graph->nodes[graph->node_count - 1].shape);
    memcpy(logits, td_dense_value(session, graph->node_count - 1), count * sizeof *logits);
    td_dense_destroy(session);
    td_dense_plan_destroy(plan);
    td_graph_destroy(graph);
}

static void survey(subject *s, td_pass_kind kind) {
    td_tape_forward(s->tape, kind, s->input);
}

/* Whether a norm divides by next to nothing, and what it folds into by rounding. */
static bool has_still_channel(const td_learner *l) {
    bool still = false;
    for (size_t c = 0; c < l->norm_channels; c++) {
        still = still || l->variance[c] < 1e-4f;
    }
    return still;
}

/* As training takes it: Clips on both sides of 0 are split. */
static td_graph *split_subject(uint64_t seed) {
    td_graph *graph = plain_subject(seed), *split;
    if (td_build_normalised(ctx, graph, &(tdsnn_data_info){.channels_normalised = 0}, &split) !=
        TDSNN_OK) {
        bail_out();
    }
    td_graph_destroy(graph);
    return split;
}

static void test_export(void) {
    size_t wrong = 0, flipped = 0, passed_over = 0;
    double worst = 0.0;
    float logits[SAMPLES * 64];
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        bool coded = seed % 2 == 0;
        subject s =
            subject_create(coded ? coded_subject(seed) : split_subject(seed),
                           &(td_learner_options){.norms = seed % 3 != 0}, TD_DENSE_BEST, seed);
        td_learner *l = s.learner;
        survey(&s, TD_PASS_TRAIN);
        memcpy(l->mean, td_tape_mean(s.tape), l->norm_channels * sizeof *l->mean);
        memcpy(l->variance, td_tape_variance(s.tape), l->norm_channels * sizeof *l->variance);
        survey(&s, TD_PASS_INFER);
        run_exported(l, s.input, logits);
        double off = distance(td_tape_logits(s.tape), logits, s.outputs);
        bool still = has_still_channel(l);
        passed_over += still;
        flipped += !still && coded && off > ERROR;
        wrong += !still && !coded && !(off <= ERROR);
        worst = coded || still ? worst : fmax(worst, off);
        subject_free(&s);
    }
    ok(wrong == 0, "inference is what is exported: %zu differ, the worst by %.2g", wrong, worst);
    ok(passed_over < GRAPHS / 4, "%zu with channels that stand still are passed over", passed_over);
    ok(flipped <= 2, "of coded ones also; a drive at a threshold fell otherwise in %zu", flipped);
}

static void test_adopted(void) {
    size_t wrong = 0;
    double worst = 0.0;
    float before[SAMPLES * 64];
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        subject s = subject_create(plain_subject(seed), &(td_learner_options){.norms = true},
                                   TD_DENSE_BEST, seed);
        td_learner *l = s.learner;
        float *moments = td_alloc(ctx, 2 * l->norm_channels, sizeof *moments);
        survey(&s, TD_PASS_SURVEY);
        memcpy(before, td_tape_logits(s.tape), s.outputs * sizeof *before);
        memcpy(moments, td_tape_mean(s.tape), l->norm_channels * sizeof *moments);
        memcpy(moments + l->norm_channels, td_tape_variance(s.tape),
               l->norm_channels * sizeof *moments);
        td_learner_adopt_norms(l, moments, moments + l->norm_channels);
        td_free(moments);
        for (int k = 0; k < 2;
             k++) { /* by the running moments, and by the shard's, the same here */
            survey(&s, k == 0 ? TD_PASS_INFER : TD_PASS_TRAIN);
            double off = distance(td_tape_logits(s.tape), before, s.outputs);
            wrong += !(off <= ERROR);
            worst = fmax(worst, off);
        }
        subject_free(&s);
    }
    ok(wrong == 0, "norms adopted leave the function as it was: %zu do not, the worst by %.2g",
       wrong, worst);
}

int main(void) {
    ctx = tdsnn_context_create();
    test_gradients(TD_DENSE_PLAIN, "plain C");
    if (strncmp(td_dense_backend_name(), "oneDNN", 6) == 0) {
        test_gradients(TD_DENSE_ONEDNN, "oneDNN");
    }
    test_codes();
    test_cost();
    test_export();
    test_adopted();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
