/* Steps of the optimisers against their formulas in double; schedules at their ends. */
#include "train/optimiser.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "tap.h"

enum { WEIGHTS = 37, BIASES = 5, COUNT = WEIGHTS + BIASES, STEPS = 50 };

/* ---- Schedules. */

static bool near(double value, double wanted) {
    return fabs(value - wanted) <= 1e-12;
}

static void test_schedules(void) {
    const tdsnn_schedule all[] = {TDSNN_SCHEDULE_COSINE, TDSNN_SCHEDULE_STEP,
                                  TDSNN_SCHEDULE_CONSTANT};
    for (int i = 0; i < 3; i++) {
        bool rises = true, falls = true;
        for (uint64_t s = 0; s < 100; s++) {
            double rate = td_learning_rate(all[i], 0.5, s, 100, 20);
            double next = td_learning_rate(all[i], 0.5, s + 1, 100, 20);
            rises = rises && (s >= 20 || (rate > 0.0 && rate < next));
            falls = falls && (s < 20 || s == 99 || rate >= next) && rate <= 0.5 && rate > 0.0;
        }
        ok(rises && falls && near(td_learning_rate(all[i], 0.5, 20, 100, 20), 0.5),
           "schedule %d: rises to the largest, then falls, above 0 throughout", i);
        ok(near(td_learning_rate(all[i], 0.5, 0, 100, 0), 0.5),
           "without a warm-up it starts there");
        ok(td_learning_rate(all[i], 0.5, 3, 5, 10) < 0.5, "a warm-up may outlast the steps");
    }
    ok(near(td_learning_rate(TDSNN_SCHEDULE_COSINE, 1.0, 50, 100, 0), 0.5) &&
           td_learning_rate(TDSNN_SCHEDULE_COSINE, 1.0, 99, 100, 0) < 3e-4,
       "cosine: half in the middle, almost 0 at the end");
    ok(td_learning_rate(TDSNN_SCHEDULE_STEP, 1.0, 49, 100, 0) == 1.0 &&
           td_learning_rate(TDSNN_SCHEDULE_STEP, 1.0, 50, 100, 0) == 0.1 &&
           td_learning_rate(TDSNN_SCHEDULE_STEP, 1.0, 74, 100, 0) == 0.1 &&
           td_learning_rate(TDSNN_SCHEDULE_STEP, 1.0, 75, 100, 0) == 0.01,
       "steps at 1/2 and 3/4");
    ok(td_learning_rate(TDSNN_SCHEDULE_CONSTANT, 1.0, 99, 100, 0) == 1.0, "constant");
}

/* ---- Steps. */

/* The formulas, one value: sgd's moment, or adam's two. */
static void define_step(const td_optimiser *o, double decay, double rate, int step, double g,
                        double *w, double *m, double *v) {
    if (o->kind == TDSNN_OPTIMISER_SGD) {
        *m = o->momentum * *m + g + decay * *w;
        *w -= rate * *m;
        return;
    }
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    double first = *m / (1.0 - pow(0.9, step + 1)), second = *v / (1.0 - pow(0.999, step + 1));
    *w = *w - rate * decay * *w - rate * first / (sqrt(second) + 1e-8);
}

static void test_steps(const char *what, tdsnn_optimiser kind, double momentum, double decay) {
    td_parameter parameters[] = {{TD_ROLE_WEIGHTS, 1, 0, WEIGHTS},
                                 {TD_ROLE_BIAS, 1, WEIGHTS, BIASES}};
    float values[COUNT], gradients[COUNT];
    td_learner learner = {
        .parameter_count = 2, .parameters = parameters, .count = COUNT, .values = values};
    double w[COUNT], m[COUNT] = {0.0}, v[COUNT] = {0.0}, most = 0.0;
    td_random random;
    td_optimiser o;
    td_random_seed(&random, 1, 1);
    ok(td_optimiser_create(NULL, kind, COUNT, momentum, decay, &o) == TDSNN_OK, "%s", what);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)td_random_normal(&random);
        w[i] = values[i];
    }
    for (int step = 0; step < STEPS; step++) {
        double rate = 0.02 * (step + 1) / STEPS;
        for (int i = 0; i < COUNT; i++) {
            gradients[i] = (float)td_random_normal(&random);
            define_step(&o, i < WEIGHTS ? decay : 0.0, rate, step, gradients[i], &w[i], &m[i],
                        &v[i]);
        }
        td_optimiser_step(&o, &learner, gradients, rate, (uint64_t)step);
    }
    for (int i = 0; i < COUNT; i++) {
        most = fmax(most, fabs(values[i] - w[i]) / (1.0 + fabs(w[i])));
    }
    /* a few roundings a step, of values below 4 and moments below 40 times the rate */
    ok(most <= STEPS * 8.0 * FLT_EPSILON, "%d steps are the formula's: off by %g at most", STEPS,
       most);
    td_optimiser_free(&o);
    td_optimiser_free(&o);
}

/* ---- Sums. */

static void test_sums(void) {
    enum { SHARDS = 5, LENGTH = 100, FIRST = 13, END = 90 };
    static float all[SHARDS][LENGTH];
    float *shards[SHARDS], before[LENGTH];
    double square = 0.0;
    size_t wrong = 0;
    td_random random;
    td_random_seed(&random, 2, 1);
    for (int s = 0; s < SHARDS; s++) {
        shards[s] = all[s];
        for (int i = 0; i < LENGTH; i++) {
            all[s][i] = (float)td_random_normal(&random);
        }
    }
    memcpy(before, all[0], sizeof before);
    double norm = td_sum_gradients(shards, SHARDS, FIRST, END);
    for (int i = 0; i < LENGTH; i++) {
        float wanted = before[i];
        for (int s = 1; s < SHARDS && i >= FIRST && i < END; s++) {
            wanted += all[s][i];
        }
        wrong += all[0][i] != wanted;
        square += i >= FIRST && i < END ? (double)wanted * (double)wanted : 0.0;
    }
    ok(wrong == 0, "shards are added in order, of the part alone: %zu are wrong", wrong);
    ok(fabs(norm - square) <= 1e-12 * square, "with their square norm");
    td_scale_gradients(all[1], LENGTH, 0.5f);
    td_scale_gradients(all[1], LENGTH, 2.0f);
    double once = td_sum_gradients(shards + 1, 1, 0, LENGTH);
    td_scale_gradients(all[1], LENGTH, 0.5f);
    ok(fabs(td_sum_gradients(shards + 1, 1, 0, LENGTH) - once / 4.0) <= 1e-12 * once, "and scaled");
}

int main(void) {
    test_schedules();
    test_steps("SGD", TDSNN_OPTIMISER_SGD, 0.9, 0.01);
    test_steps("SGD without momentum and decay", TDSNN_OPTIMISER_SGD, 0.0, 0.0);
    test_steps("AdamW", TDSNN_OPTIMISER_ADAMW, 0.0, 0.1);
    test_steps("AdamW without decay", TDSNN_OPTIMISER_ADAMW, 0.0, 0.0);
    test_sums();
    return tap_end();
}
