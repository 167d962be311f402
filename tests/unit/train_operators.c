/* Operators without parameters: forward against plain C, backward as the transpose of forward. */
#include "train/operators.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "dense/plain.h"
#include "random_graph.h"
#include "tap.h"

enum { SAMPLES = 3, POOLS = 200 };

static float *random_values(td_random *random, size_t count) {
    float *values = td_alloc(NULL, count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)td_random_normal(random);
    }
    return values;
}

/* ---- Pools. */

typedef struct pool {
    td_graph *graph; /* the input and the pool */
    const td_node *node;
    td_shape in;
    size_t inputs, outputs; /* of a sample */
    float *x, *y, *wanted;  /* [SAMPLES][C][H][W] */
    float *dy, *dx;         /* channels last */
    int32_t *chosen;
} pool;

static pool make_pool(uint64_t seed) {
    graph_maker m = {.graph = td_graph_create(NULL)};
    td_random_seed(&m.random, seed, 4);
    m.graph->input_name = "x";
    append(&m, (td_node){.op = TD_OP_INPUT,
                         .shape = {pick(&m, 1, 20), pick(&m, 1, 9), pick(&m, 1, 9), false}});
    td_shape in = shape_at(&m), out = {.c = in.c};
    bool max = pick(&m, 0, 1) == 0;
    td_window w = {.y = random_axis(&m, in.h, AXIS_POOL, &out.h)};
    w.x = random_axis(&m, in.w, AXIS_POOL, &out.w);
    append(&m, (td_node){.op = max ? TD_OP_MAXPOOL : TD_OP_AVGPOOL,
                         .shape = out,
                         .window = w,
                         .count_padding = pick(&m, 0, 1) == 0});
    pool p = {.graph = m.graph, .node = &m.graph->nodes[1], .in = in};
    p.inputs = td_shape_count(in);
    p.outputs = td_shape_count(out);
    p.x = random_values(&m.random, SAMPLES * p.inputs);
    p.dy = random_values(&m.random, SAMPLES * p.outputs);
    p.dx = random_values(&m.random, SAMPLES * p.inputs);
    p.y = td_alloc(NULL, SAMPLES * p.outputs, sizeof *p.y);
    p.wanted = td_alloc(NULL, SAMPLES * p.outputs, sizeof *p.wanted);
    p.chosen = max ? td_alloc(NULL, SAMPLES * p.outputs, sizeof *p.chosen) : NULL;
    for (int n = 0; n < SAMPLES; n++) {
        const float *inputs[] = {p.x + (size_t)n * p.inputs};
        td_plain_run_node(p.graph, 1, inputs, p.wanted + (size_t)n * p.outputs);
    }
    return p;
}

static void free_pool(pool *p) {
    td_graph_destroy(p->graph);
    float *all[] = {p->x, p->y, p->wanted, p->dy, p->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        td_free(all[i]);
    }
    td_free(p->chosen);
}

/* y of x, [C][H][W] both. */
static void run_pool(pool *p, const float *x, float *y) {
    float *last = td_alloc(NULL, SAMPLES * p->inputs, sizeof *last);
    float *out = td_alloc(NULL, SAMPLES * p->outputs, sizeof *out);
    td_channels_last(p->in, SAMPLES, x, false, last);
    td_pool(p->node, p->in, SAMPLES, last, out, p->chosen);
    td_channels_first(p->node->shape, SAMPLES, out, false, y);
    td_free(last);
    td_free(out);
}

/* Forward, and whether <dy, pool(x)> = <dx, x>, which holds as a pool is linear as long as the same
 * members are largest; dx, by the sample and channel, is found in x alone. */
static size_t count_wrong(pool *p) {
    size_t wrong = 0, inputs = SAMPLES * p->inputs, outputs = SAMPLES * p->outputs;
    run_pool(p, p->x, p->y);
    for (size_t i = 0; i < outputs; i++) {
        double most = p->chosen == NULL ? 16.0 * FLT_EPSILON * 5.0 : 0.0;
        wrong += !(fabs((double)p->y[i] - (double)p->wanted[i]) <= most);
    }
    float *first = td_alloc(NULL, inputs, sizeof *first);
    float *dy = td_alloc(NULL, outputs, sizeof *dy);
    float *dx = td_alloc(NULL, inputs, sizeof *dx);
    memcpy(dx, p->dx, inputs * sizeof *dx);
    td_pool_backward(p->node, p->in, SAMPLES, p->dy, p->chosen, true, dx);
    td_pool_backward(p->node, p->in, SAMPLES, p->dy, p->chosen, false, first);
    for (size_t i = 0; i < inputs; i++) { /* added to what was there */
        wrong += !(fabs((double)dx[i] - (double)first[i] - (double)p->dx[i]) <=
                   16.0 * FLT_EPSILON * (fabs(first[i]) + 16.0));
    }
    td_channels_first(p->in, SAMPLES, first, false, dx);
    td_channels_first(p->node->shape, SAMPLES, p->dy, false, dy);
    for (int n = 0; n < SAMPLES; n++) {
        double left = 0.0, right = 0.0, magnitude = 0.0;
        for (size_t i = 0; i < p->outputs; i++) {
            size_t at = (size_t)n * p->outputs + i;
            left += (double)dy[at] * p->y[at];
            magnitude += fabs((double)dy[at] * p->y[at]) + fabs(dy[at]);
        }
        for (size_t i = 0; i < p->inputs; i++) {
            right += (double)dx[(size_t)n * p->inputs + i] * p->x[(size_t)n * p->inputs + i];
        }
        wrong += !(fabs(left - right) <= 16.0 * FLT_EPSILON * magnitude);
    }
    td_free(first);
    td_free(dy);
    td_free(dx);
    return wrong;
}

static void test_pools(void) {
    size_t wrong = 0, largest = 0;
    for (uint64_t seed = 0; seed < POOLS; seed++) {
        pool p = make_pool(seed);
        size_t here = count_wrong(&p);
        if (here > 0) {
            printf("# seed %llu: %zu\n", (unsigned long long)seed, here);
        }
        wrong += here;
        largest += p.chosen != NULL;
        free_pool(&p);
    }
    ok(wrong == 0, "of %d pools, %zu of them of the largest, %zu values are wrong", POOLS, largest,
       wrong);
}

/* Of equal members the first one gets the gradient, and it alone. */
static void test_equal(void) {
    td_node node = {.op = TD_OP_MAXPOOL, .shape = {1, 1, 1, false}};
    node.window.y = node.window.x = (td_axis){.kernel = 2, .stride = 2, .dilation = 1};
    float x[4] = {1.0f, 2.0f, 2.0f, 2.0f}, y[1], dx[4], dy[1] = {3.0f};
    int32_t chosen[1];
    td_shape in = {1, 2, 2, false};
    td_pool(&node, in, 1, x, y, chosen);
    td_pool_backward(&node, in, 1, dy, chosen, false, dx);
    ok(y[0] == 2.0f && dx[0] == 0.0f && dx[1] == 3.0f && dx[2] == 0.0f && dx[3] == 0.0f,
       "of equal members one gets the gradient");
}

/* ---- Point by point. */

static double slope_of(const td_node *node, double v) {
    switch (node->op) {
    case TD_OP_RELU:
        return v > 0.0;
    case TD_OP_LEAKY:
        return v > 0.0 ? 1.0 : (double)node->negative;
    default:
        return v > (double)node->low && v < (double)node->high;
    }
}

static void test_rectify(const char *what, td_node node) {
    const float x[] = {-3.0f, -1.0f, -0.5f, -1e-30f, 1e-30f, 0.5f,
                       0.99f, 1.0f,  1.01f, 30.0f,   0.25f};
    enum { COUNT = sizeof x / sizeof *x };
    float y[COUNT], dx[COUNT], sum[COUNT], dy[COUNT], wanted[COUNT];
    td_graph graph = {.nodes = (td_node[]){{.shape = {COUNT, 1, 1, true}}, node}, .node_count = 2};
    graph.nodes[1].shape = graph.nodes[0].shape;
    graph.nodes[1].inputs = (int[]){0};
    graph.nodes[1].input_count = 1;
    td_plain_run_node(&graph, 1, (const float *[]){x}, wanted);
    td_rectify(&node, x, COUNT, y);
    size_t wrong = 0;
    for (int i = 0; i < COUNT; i++) {
        dy[i] = (float)(i + 1);
        dx[i] = NAN;
        sum[i] = 100.0f;
    }
    td_rectify_backward(&node, x, dy, COUNT, false, dx);
    td_rectify_backward(&node, x, dy, COUNT, true, sum);
    for (int i = 0; i < COUNT; i++) {
        float slope = (float)slope_of(&node, x[i]) * dy[i];
        wrong += y[i] != wanted[i] || dx[i] != slope || sum[i] != 100.0f + slope;
    }
    ok(wrong == 0, "%s: %zu of %d are wrong", what, wrong, COUNT);
}

/* ---- Channels. */

static void test_channels(void) {
    enum { ROWS = 5, WIDE = 7, FIRST = 2, COUNT = 3 };
    float x[ROWS * WIDE], part[ROWS * COUNT], back[ROWS * WIDE], sum[ROWS * WIDE];
    size_t wrong = 0;
    for (int i = 0; i < ROWS * WIDE; i++) {
        x[i] = (float)i;
        back[i] = -1.0f;
        sum[i] = 10.0f;
    }
    td_take_channels(x, ROWS, WIDE, FIRST, COUNT, false, part);
    td_put_channels(part, ROWS, COUNT, FIRST, WIDE, false, back);
    td_put_channels(part, ROWS, COUNT, FIRST, WIDE, true, sum);
    for (int i = 0; i < ROWS * WIDE; i++) {
        bool inside = i % WIDE >= FIRST && i % WIDE < FIRST + COUNT;
        wrong += back[i] != (inside ? x[i] : -1.0f) || sum[i] != (inside ? 10.0f + x[i] : 10.0f);
    }
    td_take_channels(x, ROWS, WIDE, FIRST, COUNT, true, part);
    for (int i = 0; i < ROWS * COUNT; i++) {
        wrong += part[i] != 2.0f * x[i / COUNT * WIDE + FIRST + i % COUNT];
    }
    ok(wrong == 0, "channels are taken and put: %zu are wrong", wrong);
}

static void test_order(void) {
    enum { C = 3, H = 2, W = 5, COUNT = SAMPLES * C * H * W };
    td_shape shape = {C, H, W, false};
    float x[COUNT], last[COUNT], again[COUNT];
    size_t wrong = 0;
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)i;
        again[i] = 1.0f;
    }
    td_channels_last(shape, SAMPLES, x, false, last);
    td_channels_first(shape, SAMPLES, last, true, again);
    for (int i = 0; i < COUNT; i++) {
        int n = i / (C * H * W), c = i / (H * W) % C, pixel = i % (H * W);
        wrong += last[(n * H * W + pixel) * C + c] != x[i] || again[i] != x[i] + 1.0f;
    }
    ok(wrong == 0, "channels last and back: %zu are wrong", wrong);
    td_copy_values(x, COUNT, false, last);
    td_copy_values(x, COUNT, true, last);
    for (int i = 0; i < COUNT; i++) {
        wrong += last[i] != 2.0f * x[i];
    }
    ok(wrong == 0, "copied and added: %zu are wrong", wrong);
}

int main(void) {
    test_pools();
    test_equal();
    test_rectify("ReLU", (td_node){.op = TD_OP_RELU});
    test_rectify("LeakyReLU", (td_node){.op = TD_OP_LEAKY, .negative = 0.1f});
    test_rectify("Clip", (td_node){.op = TD_OP_CLIP, .low = 0.0f, .high = 1.0f});
    test_rectify("Clip below 0", (td_node){.op = TD_OP_CLIP, .low = -1.0f, .high = 1.0f});
    test_channels();
    test_order();
    return tap_end();
}
