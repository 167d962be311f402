#include "train/loss.h"

#include <math.h>

/* The largest, and ln(sum exp(t (z - largest))): softmax(t z)[i] = exp(t (z[i] - largest) - it). */
typedef struct soft {
    double largest, log_sum, t;
} soft;

static soft soft_of(const float *z, size_t width, double temperature) {
    soft s = {(double)z[0], 0.0, 1.0 / temperature};
    for (size_t i = 1; i < width; i++) {
        s.largest = (double)z[i] > s.largest ? (double)z[i] : s.largest;
    }
    double sum = 0.0;
    for (size_t i = 0; i < width; i++) {
        sum += exp(s.t * ((double)z[i] - s.largest));
    }
    s.log_sum = log(sum);
    return s;
}

static double log_share(const soft *s, float z) {
    return s->t * ((double)z - s->largest) - s->log_sum;
}

/* Adds weight x the cross-entropy's gradient. */
static double add_label(const float *z, size_t width, int label, double weight, double *gradient) {
    soft s = soft_of(z, width, 1.0);
    for (size_t i = 0; i < width; i++) {
        gradient[i] += weight * (exp(log_share(&s, z[i])) - (i == (size_t)label));
    }
    return -weight * log_share(&s, z[label]);
}

static double add_teacher(const float *z, const float *teacher, size_t width, double temperature,
                          double weight, double *gradient) {
    soft s = soft_of(z, width, temperature), wanted = soft_of(teacher, width, temperature);
    double sum = 0.0;
    for (size_t i = 0; i < width; i++) {
        double p = log_share(&wanted, teacher[i]), q = log_share(&s, z[i]);
        sum += exp(p) * (p - q);
        gradient[i] += weight * temperature * (exp(q) - exp(p));
    }
    return weight * temperature * temperature * sum;
}

static double add_distance(const float *z, const float *wanted, size_t width, double weight,
                           double *gradient) {
    double sum = 0.0;
    for (size_t i = 0; i < width; i++) {
        double miss = (double)z[i] - (double)wanted[i];
        sum += miss * miss;
        gradient[i] += weight * miss;
    }
    return 0.5 * weight * sum;
}

/* A logit alone is that of class 1 against 0. */
static double add_alone(float z, double wanted, double weight, double *gradient) {
    double rest = log1p(exp(-fabs((double)z))); /* - ln of the larger share */
    double zero = -rest - (z > 0.0f ? (double)z : 0.0), one = zero + (double)z;
    *gradient += weight * (exp(one) - wanted);
    return -weight * (wanted * one + (1.0 - wanted) * zero);
}

static double share_alone(float z) {
    return 1.0 / (1.0 + exp(-(double)z));
}

static bool is_right(const float *z, size_t width, int label) {
    if (width == 1) {
        return (z[0] > 0.0f) == (label == 1);
    }
    for (size_t i = 0; i < width; i++) {
        bool before = i < (size_t)label;
        if (before ? z[i] >= z[label] : z[i] > z[label]) {
            return false;
        }
    }
    return true;
}

static double add_class(const float *z, size_t width, int label, double weight, double *gradient) {
    return width == 1 ? add_alone(z[0], label, weight, gradient)
                      : add_label(z, width, label, weight, gradient);
}

/* One sample's loss; its gradient is added. */
static double sample_loss(const td_aim *aim, size_t n, const float *z, size_t width,
                          double *gradient, uint64_t *correct) {
    double own = aim->teacher == NULL ? 1.0 : 1.0 - aim->distill, loss = 0.0;
    const float *teacher = aim->teacher == NULL ? NULL : aim->teacher + n * width;
    if (aim->values) {
        if (aim->targets != NULL && own > 0.0) {
            loss += add_distance(z, aim->targets + n * width, width, own, gradient);
        }
        return teacher == NULL ? loss
                               : loss + add_distance(z, teacher, width, aim->distill, gradient);
    }
    if (aim->labels != NULL && aim->labels[n] >= 0) {
        *correct += is_right(z, width, aim->labels[n]);
        double share = aim->others == NULL ? 1.0 : (double)aim->shares[n];
        loss += add_class(z, width, aim->labels[n], share * own, gradient);
        if (aim->others != NULL) {
            loss += add_class(z, width, aim->others[n], (1.0 - share) * own, gradient);
        }
    }
    if (teacher == NULL) {
        return loss;
    }
    return loss + (width == 1
                       ? add_alone(z[0], share_alone(teacher[0]), aim->distill, gradient)
                       : add_teacher(z, teacher, width, aim->temperature, aim->distill, gradient));
}

double td_loss(const td_aim *aim, const float *outputs, int samples, size_t width, int batch,
               double *scratch, float *gradient, uint64_t *correct) {
    double loss = 0.0;
    *correct = 0;
    for (size_t n = 0; n < (size_t)samples; n++) {
        for (size_t i = 0; i < width; i++) {
            scratch[i] = 0.0;
        }
        loss += sample_loss(aim, n, outputs + n * width, width, scratch, correct);
        for (size_t i = 0; i < width; i++) {
            gradient[n * width + i] = (float)(scratch[i] / batch);
        }
    }
    return loss;
}
