/* Written for being obviously right: one neuron at a time, weights as the file has them. */
#include "measure/formula.h"

#include <math.h>

/* A pre-synaptic population, as its neurons fired. */
typedef struct population {
    const td_synapses *synapses;
    td_shape shape; /* of the values that its neurons stand for */
    const uint8_t *times;
    double scale;
    double negative; /* what the second neuron of a pair counts; 0 without pairs */
    double values[TDSNN_MAX_STEPS + 1]; /* v(T), from the formula */
    int roundings; /* of the float engine, from the table's value to the one it multiplies */
} population;

static population population_of(const td_network *network, const td_synapses *s,
                                uint8_t *const *times) {
    const td_layer *source = &network->layers[s->source];
    const tdsnn_code *code = source->code;
    population p = {.synapses = s,
                    .shape = source->shape,
                    .times = times[s->source],
                    .scale = code->scale,
                    .negative = source->pair ? (double)source->negative : 0.0};
    for (int t = 0; t <= TDSNN_MAX_STEPS; t++) {
        p.values[t] = tdsnn_code_value(code, t < code->steps ? t : code->steps);
    }
    /* a slope is multiplied; and where both of a pair can fire, two values are subtracted */
    p.roundings = source->pair ? (source->negative != 1.0f) + (code->thresholds[0] < 0.0f) : 0;
    return p;
}

/* What one tap reads: a value or an average of values, and what td_exact_drive says of it. */
typedef struct reading {
    double value, magnitude, unit;
    int members, synapses;
} reading;

/* Adds value `place` of the population, times `share`. */
static void read_value(const population *p, size_t place, double share, reading *r) {
    double value = p->values[p->times[place]];
    r->value += share * value;
    r->magnitude += share * value;
    r->unit += share * p->scale;
    r->synapses += 1;
    if (p->negative != 0.0) {
        value = p->negative * p->values[p->times[td_shape_count(p->shape) + place]];
        r->value -= share * value;
        r->magnitude += share * value;
        r->unit += share * p->negative * p->scale;
        r->synapses += 1;
    }
}

/* Value `place` of what the synapses see, [C][h][w]. */
static reading read_place(const population *p, size_t place) {
    const td_synapses *s = p->synapses;
    reading r = {0};
    if (!s->averages) {
        read_value(p, place, 1.0, &r);
        return r;
    }
    size_t width = (size_t)s->averaged.w, plane = (size_t)s->averaged.h * width;
    int y = (int)(place % plane / width), x = (int)(place % width), y0, y1, x0, x1;
    td_axis_taps(&s->average.y, y, p->shape.h, &y0, &y1);
    td_axis_taps(&s->average.x, x, p->shape.w, &x0, &x1);
    r.members = (y1 - y0) * (x1 - x0);
    double share = (double)td_average_share(s, r.members);
    for (int ky = y0; ky < y1; ky++) {
        for (int kx = x0; kx < x1; kx++) {
            size_t line =
                place / plane * (size_t)p->shape.h + (size_t)td_axis_input(&s->average.y, y, ky);
            size_t column = (size_t)td_axis_input(&s->average.x, x, kx);
            read_value(p, line * (size_t)p->shape.w + column, share, &r);
        }
    }
    return r;
}

/* Adds one tap of neuron (c, y, x) to its drive; `weight` is the file's. */
static void add_tap(const population *p, size_t place, double weight, td_exact_drive *d) {
    reading r = read_place(p, place);
    int inner = r.members + p->roundings;
    d->drive += weight * r.value;
    d->magnitude += fabs(weight) * r.magnitude;
    d->unit += fabs(weight) * r.unit;
    d->terms += 1;
    d->inner = inner > d->inner ? inner : d->inner;
    d->synapses += r.synapses;
}

/* Adds one population's share to the drive of neuron (c, y, x), if it reaches channel c. */
static void add_population(const population *p, int c, int y, int x, td_exact_drive *d) {
    const td_synapses *s = p->synapses;
    int output = c - s->first_output, inputs = s->inputs / s->groups;
    if (output < 0 || output >= s->outputs) {
        return;
    }
    int first_input = s->first_input + output / (s->outputs / s->groups) * inputs;
    int y0, y1, x0, x1;
    td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
    td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
    for (int i = 0; i < inputs; i++) {
        for (int ky = y0; ky < y1; ky++) {
            size_t row = (size_t)output * (size_t)inputs + (size_t)i;
            const float *weights = s->weights + (row * (size_t)s->window.y.kernel + (size_t)ky) *
                                                    (size_t)s->window.x.kernel;
            size_t line = (size_t)(first_input + i) * (size_t)s->view.h +
                          (size_t)td_axis_input(&s->window.y, y, ky);
            for (int kx = x0; kx < x1; kx++) {
                size_t column = (size_t)td_axis_input(&s->window.x, x, kx);
                add_tap(p, line * (size_t)s->view.w + column, weights[kx], d);
            }
        }
    }
}

void td_formula_drives(const td_network *network, const td_layer *layer, uint8_t *const *times,
                       td_exact_drive *drives) {
    int height = layer->shape.h, width = layer->shape.w;
    size_t plane = (size_t)height * (size_t)width;
    size_t count = td_shape_count(layer->shape);
    for (size_t n = 0; n < count; n++) {
        double bias = td_layer_bias(layer, (int)(n / plane), (int)(n % plane));
        drives[n] = (td_exact_drive){.drive = bias, .magnitude = fabs(bias)};
    }
    for (int k = 0; k < layer->synapse_count; k++) {
        population p = population_of(network, &layer->synapses[k], times);
        for (size_t n = 0; n < count; n++) {
            int position = (int)(n % plane);
            add_population(&p, (int)(n / plane), position / width, position % width, &drives[n]);
        }
    }
}

/* The latest, or the first, spike of output p's members in one plane: those inside the input. */
static uint8_t pool_time(const td_layer *layer, const uint8_t *plane, int p, bool first) {
    const td_synapses *s = &layer->synapses[0];
    const td_window *w = &s->window;
    int out_y = p / layer->shape.w, out_x = p % layer->shape.w, y0, y1, x0, x1;
    int latest = -1, earliest = -1;
    td_axis_taps(&w->y, out_y, s->view.h, &y0, &y1);
    td_axis_taps(&w->x, out_x, s->view.w, &x0, &x1);
    for (int ky = y0; ky < y1; ky++) {
        for (int kx = x0; kx < x1; kx++) {
            int y = td_axis_input(&w->y, out_y, ky), x = td_axis_input(&w->x, out_x, kx);
            int time = plane[(size_t)y * (size_t)s->view.w + (size_t)x];
            latest = time > latest ? time : latest;
            earliest = earliest < 0 || time < earliest ? time : earliest;
        }
    }
    int time = first ? earliest : latest;
    return (uint8_t)(time < 0 ? 0 : time);
}

void td_formula_pool(const td_layer *layer, const uint8_t *source_times, uint8_t *times) {
    const td_synapses *s = &layer->synapses[0];
    size_t plane = (size_t)s->view.h * (size_t)s->view.w;
    int positions = layer->shape.h * layer->shape.w;
    for (int half = 0; half < (layer->pair ? 2 : 1); half++) {
        const uint8_t *from =
            source_times + (size_t)half * td_shape_count(s->view) + (size_t)s->first_input * plane;
        for (int n = 0; n < layer->shape.c * positions; n++) {
            *times++ =
                pool_time(layer, from + (size_t)(n / positions) * plane, n % positions, half == 1);
        }
    }
}

/* gamma_m = m u / (1 - m u), the classic bound of m roundings in a row. */
static double gamma_of(double m, double u) {
    return m * u / (1.0 - m * u);
}

double td_formula_float_bound(const td_exact_drive *d) {
    double m = d->terms + d->inner + 2.0;
    return gamma_of(m, 0x1p-24) * d->magnitude + m * 0x1p-150;
}

/* A potential goes through one rounding for each spike and each leak, and the formula's own sum
 * through one for each term; exponentials, products and the release add a few. All scale with what
 * has passed through the membrane, s exp(T/L) for each weight, and through U, s. */
double td_formula_clock_bound(const td_exact_drive *d, int window) {
    double roundings = 4.0 * d->synapses + 4.0 * window + 32.0;
    return gamma_of(roundings, 0x1p-53) * (d->magnitude + 3.0 * d->unit);
}
