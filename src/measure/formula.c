/* Written for being obviously right: one neuron at a time, weights as the file has them. */
#include "measure/formula.h"

#include <math.h>

/* v(T) of a population's code, from the formula. */
static void make_values(const tdsnn_code *code, double *values) {
    for (int t = 0; t <= TDSNN_MAX_STEPS; t++) {
        values[t] = tdsnn_code_value(code, t < code->steps ? t : code->steps);
    }
}

/* Adds one population's share to the drive of neuron (c, y, x). */
static void add_population(const td_layer *layer, const td_synapses *s, const uint8_t *times,
                           const double *values, double scale, int c, int y, int x, td_drive *d) {
    int inputs = s->view.c / s->groups, outputs = layer->shape.c / s->groups;
    int first_input = c / outputs * inputs;
    int y0, y1, x0, x1;
    td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
    td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
    d->terms += inputs * (y1 - y0) * (x1 - x0);
    for (int i = 0; i < inputs; i++) {
        for (int ky = y0; ky < y1; ky++) {
            size_t row = (size_t)c * (size_t)inputs + (size_t)i;
            const float *weights = s->weights + (row * (size_t)s->window.y.kernel + (size_t)ky) *
                                                    (size_t)s->window.x.kernel;
            size_t line = (size_t)(first_input + i) * (size_t)s->view.h +
                          (size_t)td_axis_input(&s->window.y, y, ky);
            const uint8_t *spikes = times + line * (size_t)s->view.w;
            for (int kx = x0; kx < x1; kx++) {
                double weight = weights[kx];
                double value = values[spikes[td_axis_input(&s->window.x, x, kx)]];
                d->drive += weight * value;
                d->magnitude += fabs(weight) * value;
                d->unit += fabs(weight) * scale;
            }
        }
    }
}

void td_formula_drives(const td_network *network, const td_layer *layer, uint8_t *const *times,
                       td_drive *drives) {
    int height = layer->shape.h, width = layer->shape.w;
    size_t plane = (size_t)height * (size_t)width;
    size_t count = td_shape_count(layer->shape);
    for (size_t n = 0; n < count; n++) {
        double bias = td_layer_bias(layer, (int)(n / plane), (int)(n % plane));
        drives[n] = (td_drive){.drive = bias, .magnitude = fabs(bias)};
    }
    for (int k = 0; k < layer->synapse_count; k++) {
        const td_synapses *s = &layer->synapses[k];
        const tdsnn_code *code = network->layers[s->source].code;
        double values[TDSNN_MAX_STEPS + 1];
        make_values(code, values);
        for (size_t n = 0; n < count; n++) {
            int position = (int)(n % plane);
            add_population(layer, s, times[s->source], values, code->scale, (int)(n / plane),
                           position / width, position % width, &drives[n]);
        }
    }
}

/* Every member is looked for at every output; those outside the input are not there. */
void td_formula_pool(const td_layer *layer, const uint8_t *source_times, uint8_t *times) {
    const td_synapses *s = &layer->synapses[0];
    const td_window *w = &s->window;
    int members = w->y.kernel * w->x.kernel;
    for (int channel = 0; channel < layer->shape.c; channel++) {
        const uint8_t *plane =
            source_times + (size_t)channel * (size_t)s->view.h * (size_t)s->view.w;
        for (int p = 0; p < layer->shape.h * layer->shape.w; p++) {
            uint8_t latest = 0;
            for (int k = 0; k < members; k++) {
                int y = td_axis_input(&w->y, p / layer->shape.w, k / w->x.kernel);
                int x = td_axis_input(&w->x, p % layer->shape.w, k % w->x.kernel);
                if (y >= 0 && y < s->view.h && x >= 0 && x < s->view.w) {
                    uint8_t time = plane[(size_t)y * (size_t)s->view.w + (size_t)x];
                    latest = time > latest ? time : latest;
                }
            }
            *times++ = latest;
        }
    }
}

/* gamma_m = m u / (1 - m u), the classic bound of m roundings in a row. */
static double gamma_of(double m, double u) {
    return m * u / (1.0 - m * u);
}

double td_formula_float_bound(const td_drive *d) {
    return gamma_of(d->terms + 2.0, 0x1p-24) * d->magnitude;
}

/* A potential goes through one rounding for each spike and each leak, and the formula's own sum
 * through one for each term; exponentials, products and the release add a few. All scale with what
 * has passed through the membrane, s exp(T/L) for each weight, and through U, s. */
double td_formula_clock_bound(const td_drive *d, int window) {
    double roundings = 4.0 * d->terms + 4.0 * window + 32.0;
    return gamma_of(roundings, 0x1p-53) * (d->magnitude + 3.0 * d->unit);
}
