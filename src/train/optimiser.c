#include "train/optimiser.h"

#include <math.h>

#include "train/loops.h"

#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8f

double td_learning_rate(tdsnn_schedule schedule, double largest, uint64_t step, uint64_t steps,
                        uint64_t warmup) {
    if (step < warmup) {
        return largest * (double)(step + 1) / (double)(warmup + 1);
    }
    double along = steps > warmup ? (double)(step - warmup) / (double)(steps - warmup) : 0.0;
    switch (schedule) {
    case TDSNN_SCHEDULE_COSINE:
        return largest * 0.5 * (1.0 + cos(3.14159265358979323846 * along));
    case TDSNN_SCHEDULE_STEP:
        return largest * (along < 0.5 ? 1.0 : along < 0.75 ? 0.1 : 0.01);
    default:
        return largest;
    }
}

tdsnn_status td_optimiser_create(tdsnn_context *ctx, tdsnn_optimiser kind, size_t count,
                                 double momentum, double weight_decay, td_optimiser *optimiser) {
    td_optimiser o = {.kind = kind, .momentum = momentum, .weight_decay = weight_decay};
    o.first = td_alloc(ctx, count, sizeof *o.first);
    o.second = kind == TDSNN_OPTIMISER_ADAMW ? td_alloc(ctx, count, sizeof *o.second) : NULL;
    if (o.first == NULL || (kind == TDSNN_OPTIMISER_ADAMW && o.second == NULL)) {
        td_optimiser_free(&o);
        return TDSNN_ERR_RUNTIME;
    }
    *optimiser = o;
    return TDSNN_OK;
}

void td_optimiser_free(td_optimiser *o) {
    td_free(o->first);
    td_free(o->second);
    *o = (td_optimiser){.kind = o->kind};
}

TD_CLONES static void sgd(float *restrict values, const float *restrict gradients,
                          float *restrict moments, size_t count, float momentum, float decay,
                          float rate) {
    for (size_t i = 0; i < count; i++) {
        moments[i] = momentum * moments[i] + (gradients[i] + decay * values[i]);
        values[i] -= rate * moments[i];
    }
}

typedef struct adam {
    float keep;       /* of the value, after decay */
    float rate, root; /* rate / (1 - beta1^t), sqrt(1 / (1 - beta2^t)) */
} adam;

TD_CLONES static void adamw(float *restrict values, const float *restrict gradients,
                            float *restrict first, float *restrict second, size_t count, adam a) {
    for (size_t i = 0; i < count; i++) {
        float g = gradients[i];
        first[i] = (float)BETA1 * first[i] + (float)(1.0 - BETA1) * g;
        second[i] = (float)BETA2 * second[i] + (float)(1.0 - BETA2) * g * g;
        values[i] = a.keep * values[i] - a.rate * first[i] / (sqrtf(second[i]) * a.root + EPSILON);
    }
}

void td_optimiser_step(const td_optimiser *o, td_learner *l, const float *gradients, double rate,
                       uint64_t step) {
    double t = (double)step + 1.0;
    for (int i = 0; i < l->parameter_count; i++) {
        const td_parameter *p = &l->parameters[i];
        size_t at = p->first;
        double decay = p->role == TD_ROLE_WEIGHTS ? o->weight_decay : 0.0;
        if (o->kind == TDSNN_OPTIMISER_SGD) {
            sgd(l->values + at, gradients + at, o->first + at, p->count, (float)o->momentum,
                (float)decay, (float)rate);
        } else {
            adam a = {(float)(1.0 - rate * decay), (float)(rate / (1.0 - pow(BETA1, t))),
                      (float)sqrt(1.0 / (1.0 - pow(BETA2, t)))};
            adamw(l->values + at, gradients + at, o->first + at, o->second + at, p->count, a);
        }
    }
}

TD_CLONES static void add(float *restrict sum, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sum[i] += x[i];
    }
}

double td_sum_gradients(float *const *gradients, int shards, size_t first, size_t end) {
    for (int s = 1; s < shards; s++) {
        add(gradients[0] + first, gradients[s] + first, end - first);
    }
    double square = 0.0;
    for (size_t i = first; i < end; i++) {
        square += (double)gradients[0][i] * (double)gradients[0][i];
    }
    return square;
}

void td_scale_gradients(float *gradients, size_t count, float factor) {
    for (size_t i = 0; i < count; i++) {
        gradients[i] *= factor;
    }
}
