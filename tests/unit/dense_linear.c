/* Convolutions, inner products and their gradients, of either back end, against the definition in
 * double. The definition itself keeps <dy, W * x> = <dx, x> = <dW, W>: the operator is linear in
 * its input and in its weights, so that its gradients are its transposes and nothing else. */
#include "dense/linear.h"

#include <float.h>
#include <math.h>

#include "dense/onednn.h"
#include "guarded.h"
#include "random_graph.h"
#include "tap.h"

#define RANDOM_CASES 150
#define MOST_TERMS 1100 /* of one sum: more, and the bound would not see one of them missing */

/* ---- A case: an operator, and arrays of floats next to pages that nobody may touch. */

enum { X, W, B, Y, DX, DW, DB, DY, ARRAYS };

typedef struct problem {
    td_node node;
    td_shape in;
    int batch;
    size_t counts[ARRAYS];
    guarded arrays[ARRAYS];
} problem;

static float *array(const problem *p, int which) {
    return p->arrays[which].data;
}

static void fill(const problem *p, int which, td_random *random, double mean) {
    for (size_t i = 0; i < p->counts[which]; i++) {
        array(p, which)[i] = (float)(mean + td_random_normal(random));
    }
}

static problem make_problem(td_node node, td_shape in, int batch, uint64_t seed) {
    problem p = {.node = node, .in = in, .batch = batch};
    td_random random;
    td_random_seed(&random, seed, 9);
    size_t samples = (size_t)batch, taps = 1;
    if (node.op == TD_OP_CONV) {
        taps = (size_t)node.window.y.kernel * (size_t)node.window.x.kernel;
    }
    int groups = node.op == TD_OP_CONV ? node.groups : 1;
    p.counts[X] = p.counts[DX] = samples * td_shape_count(in);
    p.counts[Y] = p.counts[DY] = samples * td_shape_count(node.shape);
    p.counts[W] = p.counts[DW] = (size_t)node.shape.c * (size_t)(in.c / groups) * taps;
    p.counts[B] = p.counts[DB] = (size_t)node.shape.c;
    for (int i = 0; i < ARRAYS; i++) {
        p.arrays[i] = guarded_alloc(p.counts[i] * sizeof(float), 0, (seed + (uint64_t)i) % 2 == 0);
    }
    fill(&p, X, &random, 0.5);
    fill(&p, W, &random, 0.0);
    fill(&p, B, &random, 0.0);
    fill(&p, DY, &random, 0.1);
    return p;
}

static void free_problem(problem *p) {
    for (int i = 0; i < ARRAYS; i++) {
        guarded_free(&p->arrays[i]);
    }
}

/* ---- The definition, in double. */

/* An array of sums: each one's value, the sum of its terms' magnitudes, and how many there are. */
typedef struct sums {
    double *value, *magnitude;
    int *terms;
} sums;

typedef struct definition {
    sums of[ARRAYS]; /* Y, DX, DW, DB */
} definition;

static void add_term(sums *s, size_t at, double term) {
    s->value[at] += term;
    s->magnitude[at] += fabs(term);
    s->terms[at]++;
}

/* One product: what it adds to the output and to the gradients of input and weight. */
static void add_product(const problem *p, definition *d, size_t x, size_t w, size_t y) {
    add_term(&d->of[Y], y, (double)array(p, X)[x] * (double)array(p, W)[w]);
    add_term(&d->of[DX], x, (double)array(p, DY)[y] * (double)array(p, W)[w]);
    add_term(&d->of[DW], w, (double)array(p, DY)[y] * (double)array(p, X)[x]);
}

/* Output channel c at (oy, ox) of a sample. */
static void define_output(const problem *p, definition *d, int sample, int oy, int ox, int c) {
    const td_node *n = &p->node;
    bool inner = n->op == TD_OP_INNER;
    td_window window = inner ? TD_WINDOW_ONE : n->window;
    const td_axis *ay = &window.y, *ax = &window.x;
    int groups = inner ? 1 : n->groups, inputs = p->in.c / groups;
    int first = c / (n->shape.c / groups) * inputs;
    int y = ((sample * n->shape.h + oy) * n->shape.w + ox) * n->shape.c + c;
    for (int i = 0; i < inputs; i++) {
        for (int ky = 0; ky < ay->kernel; ky++) {
            for (int kx = 0; kx < ax->kernel; kx++) {
                int iy = oy * ay->stride - ay->pad_begin + ky * ay->dilation;
                int ix = ox * ax->stride - ax->pad_begin + kx * ax->dilation;
                if (iy < 0 || iy >= p->in.h || ix < 0 || ix >= p->in.w) {
                    continue;
                }
                int x = ((sample * p->in.h + iy) * p->in.w + ix) * p->in.c + first + i;
                int w = ((c * inputs + i) * ay->kernel + ky) * ax->kernel + kx;
                add_product(p, d, (size_t)x, (size_t)w, (size_t)y);
            }
        }
    }
    add_term(&d->of[DB], (size_t)c, (double)array(p, DY)[y]);
}

static definition define(const problem *p) {
    definition d;
    for (int i = 0; i < ARRAYS; i++) {
        d.of[i].value = calloc(p->counts[i], sizeof(double));
        d.of[i].magnitude = calloc(p->counts[i], sizeof(double));
        d.of[i].terms = calloc(p->counts[i], sizeof(int));
    }
    for (int sample = 0; sample < p->batch; sample++) {
        for (int oy = 0; oy < p->node.shape.h; oy++) {
            for (int ox = 0; ox < p->node.shape.w; ox++) {
                for (int c = 0; c < p->node.shape.c; c++) {
                    define_output(p, &d, sample, oy, ox, c);
                }
            }
        }
    }
    return d;
}

static void free_definition(definition *d) {
    for (int i = 0; i < ARRAYS; i++) {
        free(d->of[i].value);
        free(d->of[i].magnitude);
        free(d->of[i].terms);
    }
}

/* The first sum of the most terms. */
static size_t busiest(const problem *p, const definition *d, int which) {
    size_t best = 0;
    for (size_t i = 0; i < p->counts[which]; i++) {
        best = d->of[which].terms[i] > d->of[which].terms[best] ? i : best;
    }
    return best;
}

static int most_terms(const problem *p, const definition *d, int which) {
    return d->of[which].terms[busiest(p, d, which)];
}

static double product(const problem *p, int which, const double *values) {
    double sum = 0.0;
    for (size_t i = 0; i < p->counts[which]; i++) {
        sum += (double)array(p, which)[i] * values[i];
    }
    return sum;
}

static double product_of_magnitudes(const problem *p, const definition *d) {
    double sum = 0.0;
    for (size_t i = 0; i < p->counts[DY]; i++) {
        sum += fabs((double)array(p, DY)[i]) * d->of[Y].magnitude[i];
    }
    return sum;
}

/* <dy, W * x> = <dx, x> = <dW, W>, but for the rounding of doubles. */
static bool is_adjoint(const problem *p, const definition *d) {
    double whole = product(p, DY, d->of[Y].value);
    double allowed = 1e5 * DBL_EPSILON * product_of_magnitudes(p, d);
    return fabs(product(p, X, d->of[DX].value) - whole) <= allowed &&
           fabs(product(p, W, d->of[DW].value) - whole) <= allowed;
}

/* ---- A back end against it. */

/* A sum of n products of floats, in any order, is off by at most gamma_n times the sum of their
 * magnitudes, gamma_n = n u / (1 - n u), with u = 2^-24 [Higham 2002, 3.1]. */
static double bound(int terms, double magnitude) {
    double nu = (double)terms * 0.5 * (double)FLT_EPSILON;
    return nu / (1.0 - nu) * magnitude;
}

/* bias: [channels], or NULL: added to every value. */
static bool near(const problem *p, const definition *d, int which, const float *bias) {
    const sums *s = &d->of[which];
    for (size_t i = 0; i < p->counts[which]; i++) {
        double more = bias == NULL ? 0.0 : (double)bias[i % (size_t)p->node.shape.c];
        double expected = s->value[i] + more;
        double allowed = bound(s->terms[i] + (bias != NULL), s->magnitude[i] + fabs(more)) + 1e-12;
        if (!(fabs((double)array(p, which)[i] - expected) <= allowed)) {
            return false;
        }
    }
    return true;
}

static void spoil(const problem *p, int which) {
    memset(array(p, which), 0xff, p->counts[which] * sizeof(float)); /* NaN */
}

static void forward(const problem *p, td_linear *linear, bool bias) {
    spoil(p, Y);
    td_linear_forward(linear, array(p, X), array(p, W), bias ? array(p, B) : NULL, array(p, Y));
}

static void backward_input(const problem *p, td_linear *linear) {
    spoil(p, DX);
    td_linear_backward_input(linear, array(p, DY), array(p, W), array(p, DX));
}

static void backward_weights(const problem *p, td_linear *linear, bool bias) {
    spoil(p, DW);
    spoil(p, DB);
    td_linear_backward_weights(linear, array(p, X), array(p, DY), array(p, DW),
                               bias ? array(p, DB) : NULL);
}

static bool check(bool right, const char *what) {
    if (!right) {
        printf("# %s\n", what);
    }
    return right;
}

/* Every pass, with and without bias. */
static bool check_values(const problem *p, const definition *d, td_linear *linear) {
    forward(p, linear, true);
    bool right = check(near(p, d, Y, array(p, B)), "output");
    forward(p, linear, false);
    right = check(near(p, d, Y, NULL), "output without bias") && right;
    backward_input(p, linear);
    right = check(near(p, d, DX, NULL), "gradient of the input") && right;
    backward_weights(p, linear, false);
    right = check(near(p, d, DW, NULL), "gradient of the weights alone") && right;
    right = check(isnan(array(p, DB)[0]), "a bias gradient that nobody asked for") && right;
    backward_weights(p, linear, true);
    right = check(near(p, d, DW, NULL), "gradient of the weights") && right;
    return check(near(p, d, DB, NULL), "gradient of the bias") && right;
}

/* Whether one weight or one input that is not what it was is seen; where all windows see padding
 * alone, there is none. */
static bool check_sensitivity(const problem *p, const definition *d, td_linear *linear) {
    if (most_terms(p, d, DW) == 0) {
        return true;
    }
    float *weight = array(p, W) + busiest(p, d, DW), *input = array(p, X) + busiest(p, d, DX);
    float was = *weight, also = *input;
    *weight += 1.0f;
    forward(p, linear, true);
    bool seen = check(!near(p, d, Y, array(p, B)), "a weight more was not seen");
    backward_input(p, linear);
    seen = check(!near(p, d, DX, NULL), "a weight more was not seen backwards") && seen;
    *weight = was;
    *input += 1.0f;
    backward_weights(p, linear, true);
    *input = also;
    return check(!near(p, d, DW, NULL), "an input more was not seen") && seen;
}

static td_linear *open_linear(tdsnn_context *ctx, const problem *p, td_dense_backend backend) {
    td_linear *linear = NULL;
    if (td_linear_create(ctx, &p->node, p->in, p->batch, backend, &linear) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return linear;
}

static bool check_back_end(tdsnn_context *ctx, const problem *p, const definition *d,
                           td_dense_backend backend) {
    td_linear *linear = open_linear(ctx, p, backend);
    bool right = check_values(p, d, linear);
    right = check_sensitivity(p, d, linear) && right;
    right = check(check_values(p, d, linear), "a second time") && right;
    td_linear_destroy(linear);
    return check(right, backend == TD_DENSE_PLAIN ? "plain C" : "oneDNN");
}

/* All back ends that there are. */
static bool check_problem(tdsnn_context *ctx, td_node node, td_shape in, int batch, uint64_t seed) {
    problem p = make_problem(node, in, batch, seed);
    definition d = define(&p);
    bool right =
        check(most_terms(&p, &d, Y) <= MOST_TERMS && most_terms(&p, &d, DX) <= MOST_TERMS &&
                  most_terms(&p, &d, DW) <= MOST_TERMS,
              "too many terms for the bound");
    right = check(is_adjoint(&p, &d), "the definition's gradients are not its transposes") && right;
    right = check_back_end(ctx, &p, &d, TD_DENSE_PLAIN) && right;
    if (td_onednn_present()) {
        right = check_back_end(ctx, &p, &d, TD_DENSE_ONEDNN) && right;
    }
    free_definition(&d);
    free_problem(&p);
    return right;
}

/* ---- The cases. */

#define ONE                                                                                        \
    { 1, 1, 1, 0, 0 }
#define SAME                                                                                       \
    { 3, 1, 1, 1, 1 }

static const struct {
    const char *what;
    td_shape in;
    int outputs, groups; /* groups: 0 for an inner product */
    td_window window;
} cases[] = {
    {"one channel, 5x5", {1, 12, 12, false}, 20, 1, {{5, 1, 1, 0, 0}, {5, 1, 1, 0, 0}}},
    {"three channels", {3, 9, 9, false}, 16, 1, {SAME, SAME}},
    {"16 channels", {16, 8, 8, false}, 16, 1, {SAME, SAME}},
    {"17 channels to 13", {17, 7, 6, false}, 13, 1, {SAME, SAME}},
    {"many channels, few pixels", {64, 2, 2, false}, 96, 1, {SAME, SAME}},
    {"few pixels, stride and dilation",
     {24, 7, 5, false},
     20,
     1,
     {{3, 2, 2, 1, 1}, {2, 3, 1, 0, 1}}},
    {"20 channels, 5x5", {20, 8, 8, false}, 50, 1, {{5, 1, 1, 0, 0}, {5, 1, 1, 0, 0}}},
    {"1x1", {32, 5, 4, false}, 24, 1, {ONE, ONE}},
    {"1x1, stride 2", {16, 8, 8, false}, 32, 1, {{1, 2, 1, 0, 0}, {1, 2, 1, 0, 0}}},
    {"stride 2", {16, 8, 8, false}, 32, 1, {{3, 2, 1, 1, 1}, {3, 2, 1, 1, 1}}},
    {"stride 2, odd", {8, 9, 11, false}, 8, 1, {{3, 2, 1, 1, 0}, {3, 2, 1, 0, 1}}},
    {"strides that see not all", {8, 9, 11, false}, 8, 1, {{2, 3, 1, 0, 0}, {1, 4, 1, 0, 0}}},
    {"padding behind the last window", {8, 8, 8, false}, 8, 1, {{3, 2, 1, 0, 2}, {3, 2, 1, 1, 0}}},
    {"padding at one end", {16, 6, 6, false}, 16, 1, {{3, 1, 1, 2, 0}, {3, 1, 1, 0, 2}}},
    {"nothing but padding", {4, 2, 2, false}, 4, 1, {{2, 1, 1, 3, 3}, {2, 1, 1, 4, 2}}},
    {"dilation", {16, 9, 9, false}, 16, 1, {{3, 1, 2, 2, 2}, {3, 1, 3, 3, 3}}},
    {"dilation and stride", {5, 11, 9, false}, 7, 1, {{3, 2, 2, 2, 1}, {2, 2, 3, 1, 2}}},
    {"2 groups", {32, 6, 6, false}, 32, 2, {SAME, SAME}},
    {"3 groups of 2 to 5", {6, 6, 6, false}, 15, 3, {SAME, {3, 2, 1, 1, 0}}},
    {"depthwise", {32, 7, 7, false}, 32, 32, {SAME, SAME}},
    {"depthwise, 19 channels, stride 2",
     {19, 7, 8, false},
     19,
     19,
     {{3, 2, 1, 1, 1}, {3, 2, 1, 0, 1}}},
    {"depthwise, dilation", {16, 9, 9, false}, 16, 16, {{3, 1, 2, 2, 2}, {3, 1, 1, 0, 0}}},
    {"depthwise, two outputs each", {8, 6, 6, false}, 16, 8, {SAME, SAME}},
    {"one dimension", {12, 1, 30, false}, 16, 1, {ONE, {5, 2, 1, 2, 1}}},
    {"one dimension, dilation", {8, 1, 40, false}, 8, 1, {ONE, {3, 1, 4, 4, 4}}},
    {"one dimension, upright", {8, 40, 1, false}, 8, 1, {{7, 3, 1, 3, 3}, ONE}},
    {"whole picture", {16, 4, 5, false}, 10, 1, {{4, 1, 1, 0, 0}, {5, 1, 1, 0, 0}}},
    {"wider than oneDNN's windows", {1, 1, 400, false}, 2, 1, {ONE, {300, 7, 1, 5, 9}}},
    {"inner product", {64, 1, 1, true}, 10, 0, {ONE, ONE}},
    {"inner product, odd", {37, 1, 1, true}, 19, 0, {ONE, ONE}},
    {"inner product, large", {800, 1, 1, true}, 500, 0, {ONE, ONE}},
    {"inner product of one number", {1, 1, 1, true}, 1, 0, {ONE, ONE}},
};

static void test_cases(tdsnn_context *ctx) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        td_node node = {.op = TD_OP_INNER, .shape = {cases[i].outputs, 1, 1, true}};
        if (cases[i].groups > 0) {
            node.op = TD_OP_CONV;
            node.window = cases[i].window;
            node.groups = cases[i].groups;
            node.shape =
                (td_shape){cases[i].outputs, td_axis_outputs(&node.window.y, cases[i].in.h),
                           td_axis_outputs(&node.window.x, cases[i].in.w), false};
        }
        for (int batch = 1; batch <= 5; batch += 4) {
            ok(check_problem(ctx, node, cases[i].in, batch, 2 * i + (batch > 1)), "%s, batch %d",
               cases[i].what, batch);
        }
    }
}

/* More samples than oneDNN's way for few pixels takes at one time, and then some. */
static void test_batch(tdsnn_context *ctx) {
    td_node node = {.op = TD_OP_CONV,
                    .groups = 1,
                    .shape = {3, 1, 1, false},
                    .window = {{2, 1, 1, 0, 0}, {2, 1, 1, 0, 0}}};
    ok(check_problem(ctx, node, (td_shape){250, 2, 2, false}, 1060, 3), "a batch of 1060");
}

/* A convolution of small numbers of anything. */
static bool check_random(tdsnn_context *ctx, uint64_t seed) {
    graph_maker m = {.ctx = ctx};
    td_random_seed(&m.random, seed, 10);
    int groups = pick(&m, 0, 1) == 0 ? 1 : pick(&m, 1, 20);
    int most = groups > 1 ? 3 : 40;
    td_shape in = {groups * pick(&m, 1, most), pick(&m, 1, 9), pick(&m, 1, 9), false};
    td_node node = {
        .op = TD_OP_CONV, .groups = groups, .shape = {groups * pick(&m, 1, most), 0, 0, false}};
    node.window.y = random_axis(&m, in.h, AXIS_CONV, &node.shape.h);
    node.window.x = random_axis(&m, in.w, AXIS_CONV, &node.shape.w);
    return check_problem(ctx, node, in, pick(&m, 1, 5), seed);
}

static void test_random(tdsnn_context *ctx) {
    int wrong = 0;
    for (uint64_t seed = 0; seed < RANDOM_CASES; seed++) {
        if (!check_random(ctx, seed)) {
            printf("# seed %llu\n", (unsigned long long)seed);
            wrong++;
        }
    }
    ok(wrong == 0, "%d of %d random convolutions are wrong", wrong, RANDOM_CASES);
}

/* ---- Threads: each with its own, at the same time, gives what one alone gives. */

typedef struct team {
    const problem *problems; /* the same, each with arrays of its own */
    td_linear **linears;
} team;

static tdsnn_status run_member(void *arg, size_t index, int worker) {
    team *t = arg;
    (void)worker;
    for (int i = 0; i < 20; i++) {
        forward(&t->problems[index], t->linears[index], true);
        backward_input(&t->problems[index], t->linears[index]);
        backward_weights(&t->problems[index], t->linears[index], true);
    }
    return TDSNN_OK;
}

static bool same_results(const problem *a, const problem *b) {
    static const int results[] = {Y, DX, DW, DB};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        int k = results[i];
        if (memcmp(array(a, k), array(b, k), a->counts[k] * sizeof(float)) != 0) {
            return false;
        }
    }
    return true;
}

#define MEMBERS 4

static void test_threads(tdsnn_context *ctx, td_dense_backend backend, const char *name) {
    td_node node = {
        .op = TD_OP_CONV, .groups = 1, .window = {SAME, SAME}, .shape = {24, 8, 8, false}};
    problem problems[MEMBERS + 1];
    td_linear *linears[MEMBERS + 1];
    for (int i = 0; i <= MEMBERS; i++) {
        problems[i] = make_problem(node, (td_shape){20, 8, 8, false}, 5, 1);
        linears[i] = open_linear(ctx, &problems[i], backend);
    }
    team t = {problems, linears};
    run_member(&t, MEMBERS, 0);
    tdsnn_set_threads(ctx, MEMBERS);
    td_parallel(ctx, NULL, MEMBERS, run_member, &t);
    bool same = true;
    for (int i = 0; i < MEMBERS; i++) {
        same = same && same_results(&problems[i], &problems[MEMBERS]);
    }
    ok(same, "%s: the same bits on %d threads at once as on one", name, MEMBERS);
    for (int i = 0; i <= MEMBERS; i++) {
        td_linear_destroy(linears[i]);
        free_problem(&problems[i]);
    }
}

static void test_absent(tdsnn_context *ctx) {
    td_node node = {.op = TD_OP_INNER, .shape = {2, 1, 1, true}};
    td_linear *linear = NULL;
    ok(td_linear_create(ctx, &node, (td_shape){3, 1, 1, true}, 1, TD_DENSE_ONEDNN, &linear) ==
               TDSNN_ERR_UNSUPPORTED &&
           linear == NULL,
       "without oneDNN: %s", tdsnn_last_error(ctx));
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_cases(ctx);
    test_batch(ctx);
    test_random(ctx);
    test_threads(ctx, TD_DENSE_PLAIN, "plain C");
    if (td_onednn_present()) {
        test_threads(ctx, TD_DENSE_ONEDNN, "oneDNN");
    } else {
        test_absent(ctx);
    }
    td_linear_destroy(NULL);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
