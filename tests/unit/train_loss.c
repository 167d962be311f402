/* Losses: their gradients against differences, and what is known of their values. */
#include "train/loss.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tap.h"

enum { MOST_SAMPLES = 4, MOST_WIDTH = 12, MOST = MOST_SAMPLES * MOST_WIDTH };

typedef struct problem {
    td_aim aim;
    int samples, labels[MOST_SAMPLES], others[MOST_SAMPLES];
    float shares[MOST_SAMPLES];
    size_t width;
    float z[MOST], targets[MOST], teacher[MOST];
} problem;

static problem make_problem(int samples, size_t width, uint64_t seed) {
    problem p = {.samples = samples, .width = width};
    td_random random;
    td_random_seed(&random, seed, 3);
    for (int i = 0; i < MOST; i++) {
        p.z[i] = (float)(3.0 * td_random_normal(&random));
        p.targets[i] = (float)td_random_normal(&random);
        p.teacher[i] = (float)(3.0 * td_random_normal(&random));
    }
    for (int n = 0; n < samples; n++) {
        p.labels[n] = (int)td_random_below(&random, width == 1 ? 2 : width);
        p.others[n] = (int)td_random_below(&random, width == 1 ? 2 : width);
        p.shares[n] = (float)td_random_uniform(&random);
    }
    return p;
}

static double run(const problem *p, int batch, float *gradient, uint64_t *correct) {
    double scratch[MOST_WIDTH];
    return td_loss(&p->aim, p->z, p->samples, p->width, batch, scratch, gradient, correct);
}

/* Central differences with a step h err by h^2/6 times the third derivative, which is below 1 a
 * sample (of T^2 KL too), and by the step's own rounding, which is taken out; losses in double. */
static void test_gradient(const char *what, problem *p) {
    float gradient[MOST];
    uint64_t correct;
    size_t wrong = 0;
    const int batch = 7;
    const float h = 1e-3f;
    run(p, batch, gradient, &correct);
    for (size_t i = 0; i < (size_t)p->samples * p->width; i++) {
        float unused[MOST], kept = p->z[i], above = kept + h, below = kept - h;
        p->z[i] = above;
        double more = run(p, batch, unused, &correct);
        p->z[i] = below;
        double less = run(p, batch, unused, &correct);
        p->z[i] = kept;
        double slope = (more - less) / ((double)above - (double)below) / batch;
        wrong += !(fabs(slope - (double)gradient[i]) <= 1e-6 + FLT_EPSILON * fabs(slope));
    }
    ok(wrong == 0, "%s: of %zu gradients %zu differ", what, (size_t)p->samples * p->width, wrong);
}

static void test_gradients(void) {
    static const size_t widths[] = {1, 2, 10};
    for (size_t i = 0; i < 3; i++) {
        char what[64];
        problem p = make_problem(4, widths[i], 10 + i);
        p.aim = (td_aim){.labels = p.labels};
        snprintf(what, sizeof what, "labels, %zu logits", widths[i]);
        test_gradient(what, &p);
        p.aim = (td_aim){.labels = p.labels, .others = p.others, .shares = p.shares};
        snprintf(what, sizeof what, "mixed labels, %zu logits", widths[i]);
        test_gradient(what, &p);
        p.aim =
            (td_aim){.labels = p.labels, .teacher = p.teacher, .distill = 0.3, .temperature = 4.0};
        snprintf(what, sizeof what, "labels and a teacher, %zu logits", widths[i]);
        test_gradient(what, &p);
        p.aim.distill = 1.0;
        p.aim.temperature = 0.7;
        p.labels[1] = p.labels[2] = -1;
        snprintf(what, sizeof what, "a teacher alone, %zu logits", widths[i]);
        test_gradient(what, &p);
        p.aim = (td_aim){.targets = p.targets, .values = true};
        snprintf(what, sizeof what, "%zu targets", widths[i]);
        test_gradient(what, &p);
        p.aim = (td_aim){.targets = p.targets,
                         .teacher = p.teacher,
                         .distill = 0.4,
                         .temperature = 4.0,
                         .values = true};
        snprintf(what, sizeof what, "%zu targets and a teacher", widths[i]);
        test_gradient(what, &p);
    }
}

/* ---- Values. */

static void test_cross_entropy(void) {
    problem p = make_problem(1, 3, 1);
    float gradient[MOST];
    uint64_t correct;
    const float z[] = {1.0f, 3.0f, 2.0f};
    memcpy(p.z, z, sizeof z);
    p.labels[0] = 1;
    p.aim = (td_aim){.labels = p.labels};
    double loss = run(&p, 1, gradient, &correct);
    double wanted = log(exp(-2.0) + 1.0 + exp(-1.0));
    ok(fabs(loss - wanted) < 1e-14 && correct == 1, "cross-entropy of a right one: %g", loss);
    p.labels[0] = 2;
    loss = run(&p, 1, gradient, &correct);
    ok(fabs(loss - wanted - 1.0) < 1e-14 && correct == 0, "and of a wrong one: %g", loss);
    p.labels[0] = -1;
    loss = run(&p, 1, gradient, &correct);
    ok(loss == 0.0 && correct == 0 && gradient[0] == 0.0f && gradient[1] == 0.0f,
       "none where there is no label");
    const float huge[] = {1e30f, -1e30f, 0.0f};
    memcpy(p.z, huge, sizeof huge);
    p.labels[0] = 0;
    loss = run(&p, 1, gradient, &correct);
    ok(loss == 0.0 && gradient[0] == 0.0f && gradient[2] == 0.0f, "logits may be huge");
    p.labels[0] = 1;
    loss = run(&p, 1, gradient, &correct);
    ok(isfinite(loss) && gradient[1] == -1.0f, "and wrong: %g", loss);
    p.z[2] = NAN;
    loss = run(&p, 1, gradient, &correct);
    ok(isnan(loss), "but NaN is seen");
}

static void test_mixed(void) {
    problem p = make_problem(1, 5, 6);
    float gradient[MOST];
    uint64_t correct;
    double losses[3];
    p.labels[0] = 1;
    p.others[0] = 3;
    for (int i = 0; i < 3; i++) {
        p.shares[0] = i == 0 ? 1.0f : i == 1 ? 0.0f : 0.75f;
        p.aim = (td_aim){.labels = p.labels, .others = p.others, .shares = p.shares};
        losses[i] = run(&p, 1, gradient, &correct);
    }
    p.aim = (td_aim){.labels = p.labels};
    ok(run(&p, 1, gradient, &correct) == losses[0], "a sample kept whole has its own loss");
    p.labels[0] = 3;
    ok(run(&p, 1, gradient, &correct) == losses[1], "one replaced the other's");
    ok(fabs(losses[2] - 0.75 * losses[0] - 0.25 * losses[1]) < 1e-14,
       "and one mixed a share of each");
}

/* The lowest index among equal maxima is the class. */
static void test_ties(void) {
    problem p = make_problem(3, 3, 1);
    float gradient[MOST];
    uint64_t correct;
    const float z[] = {2.0f, 2.0f, 1.0f, 2.0f, 2.0f, 1.0f, 0.0f, 0.0f, 0.0f};
    memcpy(p.z, z, sizeof z);
    p.aim = (td_aim){.labels = p.labels};
    p.labels[0] = 0;
    p.labels[1] = 1;
    p.labels[2] = 2;
    run(&p, 1, gradient, &correct);
    ok(correct == 1, "of equal logits the first counts: %d right", (int)correct);
}

static void test_teacher(void) {
    problem p = make_problem(3, 10, 2);
    float gradient[MOST];
    uint64_t correct;
    double largest = 0.0;
    memcpy(p.teacher, p.z, sizeof p.z);
    p.aim = (td_aim){.labels = p.labels, .teacher = p.teacher, .distill = 1.0, .temperature = 4.0};
    double loss = run(&p, 1, gradient, &correct);
    for (int i = 0; i < 30; i++) {
        largest = fmax(largest, fabs(gradient[i]));
    }
    ok(fabs(loss) < 1e-12 && largest < 1e-12, "at the teacher KL and its gradient are 0: %g, %g",
       loss, largest);
    for (int i = 0; i < 30; i++) {
        p.teacher[i] += 5.0f; /* the same shares */
    }
    loss = run(&p, 1, gradient, &correct);
    ok(fabs(loss) < 1e-5, "also where it is shifted: %g", loss);
    p = make_problem(1, 10, 3);
    p.aim = (td_aim){.teacher = p.teacher, .distill = 1.0, .temperature = 2.0};
    double left = 0.0, right = 0.0, wanted = 0.0;
    for (int i = 0; i < 10; i++) {
        left += exp(0.5 * p.teacher[i]);
        right += exp(0.5 * p.z[i]);
    }
    for (int i = 0; i < 10; i++) {
        double share = exp(0.5 * p.teacher[i]) / left;
        wanted += 4.0 * share * log(share / (exp(0.5 * p.z[i]) / right));
    }
    loss = run(&p, 1, gradient, &correct);
    ok(fabs(loss - wanted) < 1e-12 * wanted, "4 KL at temperature 2: %g", loss);
}

static void test_alone(void) {
    problem p = make_problem(4, 1, 4);
    float gradient[MOST];
    uint64_t correct;
    const float z[] = {2.0f, -2.0f, 0.0f, -100.0f};
    const int labels[] = {1, 1, 0, 1};
    memcpy(p.z, z, sizeof z);
    memcpy(p.labels, labels, sizeof labels);
    p.aim = (td_aim){.labels = p.labels};
    double loss = run(&p, 1, gradient, &correct);
    double wanted = log1p(exp(-2.0)) + (2.0 + log1p(exp(-2.0))) + log(2.0) + 100.0;
    ok(fabs(loss - wanted) < 1e-12 * wanted && correct == 2,
       "one logit is that of class 1 against 0: %g", loss);
    ok(gradient[3] == -1.0f && gradient[2] == 0.5f, "with the logistic's gradient");
}

static void test_distance(void) {
    problem p = make_problem(1, 3, 5);
    float gradient[MOST];
    uint64_t correct;
    const float z[] = {1.0f, 2.0f, 3.0f}, targets[] = {0.0f, 4.0f, 3.0f};
    memcpy(p.z, z, sizeof z);
    memcpy(p.targets, targets, sizeof targets);
    p.aim = (td_aim){.targets = p.targets, .values = true};
    double loss = run(&p, 2, gradient, &correct);
    ok(loss == 2.5 && gradient[0] == 0.5f && gradient[1] == -1.0f && gradient[2] == 0.0f,
       "half the squared distance to targets: %g", loss);
}

int main(void) {
    test_gradients();
    test_cross_entropy();
    test_mixed();
    test_ties();
    test_teacher();
    test_alone();
    test_distance();
    return tap_end();
}
