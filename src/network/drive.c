#include "network/drive.h"

#include <string.h>

/* ------------------------------------------------------------------------------------- constants
 */

static tdsnn_status affine_alloc(td_arena *arena, size_t channels, size_t shifts, td_affine *out) {
    out->scale = td_arena_alloc(arena, channels, sizeof *out->scale);
    out->shift = td_arena_alloc(arena, shifts, sizeof *out->shift);
    out->by_value = shifts != channels;
    return out->scale == NULL || out->shift == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* A shift followed by a node's constant. */
static double apply_shift(td_op op, double operand, double shift) {
    return op == TD_OP_SUB     ? shift - operand
           : op == TD_OP_SHIFT ? shift + operand
           : op == TD_OP_DIV   ? shift / operand
                               : shift * operand;
}

/* A scale, likewise. */
static double apply_scale(td_op op, double operand, double scale) {
    return op == TD_OP_DIV ? scale / operand : op == TD_OP_MUL ? scale * operand : scale;
}

tdsnn_status td_affine_apply(td_arena *arena, const td_node *node, int first, int channels,
                             size_t plane, const td_affine *in, td_affine *out) {
    td_affine result;
    size_t values = in->by_value ? plane : 1, count = (size_t)channels * values;
    const float *operand = node->operand + first;
    if (affine_alloc(arena, (size_t)channels, count, &result) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t c = 0; c < (size_t)channels; c++) {
        result.scale[c] = apply_scale(node->op, operand[c], in->scale == NULL ? 1.0 : in->scale[c]);
    }
    for (size_t i = 0; i < count; i++) {
        double shift = in->scale == NULL ? 0.0 : in->shift[i];
        result.shift[i] = apply_shift(node->op, operand[i / values], shift);
    }
    *out = result;
    return TDSNN_OK;
}

tdsnn_status td_affine_flatten(td_arena *arena, int channels, size_t plane, const td_affine *in,
                               td_affine *out) {
    if (in->scale == NULL) {
        *out = *in;
        return TDSNN_OK;
    }
    td_affine result;
    size_t count = (size_t)channels * plane;
    if (affine_alloc(arena, count, count, &result) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        result.scale[i] = in->scale[i / plane];
        result.shift[i] = in->shift[in->by_value ? i : i / plane];
    }
    *out = result;
    return TDSNN_OK;
}

tdsnn_status td_affine_unflatten(td_arena *arena, int channels, size_t plane, const td_affine *in,
                                 td_affine *out, bool *fits) {
    size_t count = (size_t)channels * plane;
    *fits = true;
    if (in->scale == NULL) {
        *out = *in;
        return TDSNN_OK;
    }
    for (size_t i = 0; i < count && *fits; i++) {
        *fits = in->scale[i] == in->scale[i / plane * plane];
    }
    if (!*fits) {
        return TDSNN_OK;
    }
    td_affine result;
    if (affine_alloc(arena, (size_t)channels, count, &result) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        result.scale[i / plane] = in->scale[i];
        result.shift[i] = in->shift[i];
    }
    *out = result;
    return TDSNN_OK;
}

/* ------------------------------------------------------------------------------------------ bias
 */

static size_t tap_count(const td_window *w) {
    return (size_t)w->y.kernel * (size_t)w->x.kernel;
}

static size_t plane_of(td_shape shape) {
    return (size_t)shape.h * (size_t)shape.w;
}

/* Whether padding hides taps of some neurons from this population. */
static bool hides_taps(td_shape shape, const td_synapses *s) {
    const td_axis *y = &s->window.y, *x = &s->window.x;
    return td_axis_total(y, shape.h, s->view.h) != (size_t)y->kernel * (size_t)shape.h ||
           td_axis_total(x, shape.w, s->view.w) != (size_t)x->kernel * (size_t)shape.w;
}

/* Makes room for a bias a neuron where there was one a channel. */
static tdsnn_status spread_bias(td_arena *arena, td_drive *d) {
    size_t plane = plane_of(d->shape), count = td_shape_count(d->shape);
    double *spread = td_arena_alloc(arena, count, sizeof *spread);
    if (spread == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        spread[i] = d->bias[i / plane];
    }
    d->bias = spread;
    d->bias_per_neuron = true;
    return TDSNN_OK;
}

/* What one tap of one output channel gives if all its inputs are at their constants. */
static double tap_sum(const td_term *t, const double *constants, size_t c, size_t tap) {
    const td_synapses *s = &t->synapses;
    size_t inputs = (size_t)(s->inputs / s->groups), outputs = (size_t)(s->outputs / s->groups);
    size_t first = c / outputs * inputs; /* of the group */
    double sum = 0.0;
    for (size_t i = 0; i < inputs; i++) {
        sum += t->weights[(c * inputs + i) * tap_count(&s->window) + tap] * constants[first + i];
    }
    return sum;
}

/* Adds one tap's constant to the neurons of channel c for which it is present. */
static void add_tap(td_drive *d, const td_synapses *s, size_t c, int ky, int kx, double sum) {
    double *bias = d->bias + c * (d->bias_per_neuron ? plane_of(d->shape) : 1);
    if (!d->bias_per_neuron) {
        *bias += sum;
        return;
    }
    for (int y = 0; y < d->shape.h; y++) {
        int y0, y1;
        td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
        for (int x = 0; x < d->shape.w; x++, bias++) {
            int x0, x1;
            td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
            *bias += ky >= y0 && ky < y1 && kx >= x0 && kx < x1 ? sum : 0.0;
        }
    }
}

/* What the present taps of one neuron's window give where every value has a constant of its own,
 * constants: [inputs][h][w] of the view. */
static double window_sum(const td_term *t, const double *constants, size_t c, int y, int x) {
    const td_synapses *s = &t->synapses;
    size_t inputs = (size_t)(s->inputs / s->groups), outputs = (size_t)(s->outputs / s->groups);
    size_t first = c / outputs * inputs; /* of the group */
    int y0, y1, x0, x1;
    td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
    td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
    double sum = 0.0;
    for (size_t i = 0; i < inputs; i++) {
        const double *weights = t->weights + (c * inputs + i) * tap_count(&s->window);
        const double *plane = constants + (first + i) * plane_of(s->view);
        for (int ky = y0; ky < y1; ky++) {
            const double *row = plane + td_axis_input(&s->window.y, y, ky) * s->view.w;
            for (int kx = x0; kx < x1; kx++) {
                sum +=
                    weights[ky * s->window.x.kernel + kx] * row[td_axis_input(&s->window.x, x, kx)];
            }
        }
    }
    return sum;
}

/* Adds that to every neuron. */
static tdsnn_status add_values(td_arena *arena, td_drive *d, const td_term *t,
                               const double *constants) {
    const td_synapses *s = &t->synapses;
    if (!d->bias_per_neuron && spread_bias(arena, d) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    double *bias = d->bias + (size_t)s->first_output * plane_of(d->shape);
    for (size_t c = 0; c < (size_t)s->outputs; c++) {
        for (int y = 0; y < d->shape.h; y++) {
            for (int x = 0; x < d->shape.w; x++) {
                *bias++ += window_sum(t, constants, c, y, x);
            }
        }
    }
    return TDSNN_OK;
}

/* Adds sum w constant[i] over the present taps of one term; constants: [inputs]. */
static tdsnn_status add_constants(td_arena *arena, td_drive *d, const td_term *t,
                                  const double *constants) {
    const td_synapses *s = &t->synapses;
    if (!d->bias_per_neuron && hides_taps(d->shape, s) && spread_bias(arena, d) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t c = 0; c < (size_t)s->outputs; c++) {
        for (int ky = 0; ky < s->window.y.kernel; ky++) {
            for (int kx = 0; kx < s->window.x.kernel; kx++) {
                double sum = tap_sum(t, constants, c, (size_t)(ky * s->window.x.kernel + kx));
                add_tap(d, s, (size_t)s->first_output + c, ky, kx, sum);
            }
        }
    }
    return TDSNN_OK;
}

/* ---------------------------------------------------------------------------------------- drives
 */

/* A drive with room for its terms and a bias a channel, zero. */
static tdsnn_status drive_alloc(td_arena *arena, td_shape shape, int terms, td_drive *d) {
    *d = (td_drive){.shape = shape};
    d->terms = td_arena_alloc(arena, (size_t)terms, sizeof *d->terms);
    d->bias = td_arena_alloc(arena, (size_t)shape.c, sizeof *d->bias);
    return d->terms == NULL || d->bias == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* The synapses that all leave one part; the rest is for the caller to fill in. */
static td_synapses synapses_from(const td_part *part) {
    return (td_synapses){.source = part->layer,
                         .view = part->view,
                         .first_input = part->first,
                         .inputs = part->channels,
                         .averages = part->averages,
                         .averaged = part->averaged,
                         .average = part->average,
                         .count_padding = part->count_padding};
}

/* Appends the term of one part: the part's constants go into weights and bias. */
static tdsnn_status append_term(td_arena *arena, td_drive *d, td_term term, const td_part *part) {
    if (part->affine.scale != NULL) {
        const double *shift = part->affine.shift;
        tdsnn_status status = part->affine.by_value ? add_values(arena, d, &term, shift)
                                                    : add_constants(arena, d, &term, shift);
        if (status != TDSNN_OK) {
            return status;
        }
        const td_synapses *s = &term.synapses;
        size_t inputs = (size_t)(s->inputs / s->groups), window = tap_count(&s->window);
        size_t outputs = (size_t)(s->outputs / s->groups);
        for (size_t i = 0; i < (size_t)s->outputs * inputs * window; i++) {
            size_t group = i / (inputs * window) / outputs;
            term.weights[i] *= part->affine.scale[group * inputs + i / window % inputs];
        }
    }
    d->terms[d->term_count++] = term;
    return TDSNN_OK;
}

/* The node's weights onto `outputs` channels from `first_output` on, of `inputs` channels a group
 * from `first` on, in double. */
static double *slice_weights(td_arena *arena, const td_node *node, size_t node_inputs,
                             const td_synapses *s, size_t first) {
    size_t inputs = (size_t)(s->inputs / s->groups), window = tap_count(&s->window);
    double *weights = td_arena_alloc(arena, (size_t)s->outputs * inputs * window, sizeof *weights);
    for (size_t i = 0; weights != NULL && i < (size_t)s->outputs * inputs * window; i++) {
        size_t c = (size_t)s->first_output + i / (inputs * window);
        size_t rest = i % (inputs * window);
        weights[i] = node->weights[(c * node_inputs + first) * window + rest];
    }
    return weights;
}

tdsnn_status td_drive_linear(td_arena *arena, const td_node *node, const td_part *parts, int count,
                             td_drive *drive, bool *fits) {
    int groups = node->op == TD_OP_CONV ? node->groups : 1, channels = 0;
    for (int i = 0; i < count; i++) {
        channels += parts[i].channels;
    }
    int inputs = channels / groups, outputs = node->shape.c / groups; /* of one group */
    td_drive d;
    if (drive_alloc(arena, node->shape, count, &d) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int c = 0; c < node->shape.c; c++) {
        d.bias[c] = node->bias[c];
    }
    *fits = true;
    for (int i = 0, first = 0; i < count; first += parts[i++].channels) {
        bool aligned = first % inputs == 0 && parts[i].channels % inputs == 0;
        if (groups > 1 && !aligned) {
            *fits = false;
            return TDSNN_OK;
        }
        td_term term = {.synapses = synapses_from(&parts[i])};
        td_synapses *s = &term.synapses;
        s->window = node->op == TD_OP_CONV ? node->window : TD_WINDOW_ONE;
        s->groups = groups > 1 ? parts[i].channels / inputs : 1;
        s->first_output = groups > 1 ? first / inputs * outputs : 0;
        s->outputs = groups > 1 ? s->groups * outputs : node->shape.c;
        term.weights =
            slice_weights(arena, node, (size_t)inputs, s, groups > 1 ? 0 : (size_t)first);
        term.macs = td_arena_alloc(arena, 1, sizeof *term.macs);
        if (term.macs != NULL) {
            *term.macs = (uint64_t)s->outputs * (uint64_t)(s->inputs / s->groups) *
                         td_axis_total(&s->window.y, d.shape.h, s->view.h) *
                         td_axis_total(&s->window.x, d.shape.w, s->view.w);
        }
        if (term.weights == NULL || term.macs == NULL ||
            append_term(arena, &d, term, &parts[i]) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    *drive = d;
    return TDSNN_OK;
}

tdsnn_status td_drive_identity(td_arena *arena, td_shape shape, const td_part *parts, int count,
                               td_drive *drive) {
    td_drive d;
    if (drive_alloc(arena, shape, count, &d) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0, first = 0; i < count; first += parts[i++].channels) {
        td_term term = {.synapses = synapses_from(&parts[i])};
        term.synapses.window = TD_WINDOW_ONE;
        term.synapses.groups = term.synapses.outputs = parts[i].channels;
        term.synapses.shortcut = true;
        term.synapses.first_output = first;
        term.weights = td_arena_alloc(arena, (size_t)parts[i].channels, sizeof *term.weights);
        for (int c = 0; term.weights != NULL && c < parts[i].channels; c++) {
            term.weights[c] = 1.0;
        }
        if (term.weights == NULL || append_term(arena, &d, term, &parts[i]) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    *drive = d;
    return TDSNN_OK;
}

tdsnn_status td_drive_add(td_arena *arena, const td_drive *a, const td_drive *b, td_drive *sum) {
    td_drive left = *a, right = *b;
    bool per_neuron = a->bias_per_neuron || b->bias_per_neuron;
    if ((per_neuron && !a->bias_per_neuron && spread_bias(arena, &left) != TDSNN_OK) ||
        (per_neuron && !b->bias_per_neuron && spread_bias(arena, &right) != TDSNN_OK)) {
        return TDSNN_ERR_RUNTIME;
    }
    size_t count = per_neuron ? td_shape_count(a->shape) : (size_t)a->shape.c;
    td_drive d = {.shape = a->shape, .bias_per_neuron = per_neuron};
    d.terms = td_arena_alloc(arena, (size_t)(a->term_count + b->term_count), sizeof *d.terms);
    d.bias = td_arena_alloc(arena, count, sizeof *d.bias);
    if (d.terms == NULL || d.bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    d.term_count = a->term_count + b->term_count;
    memcpy(d.terms, a->terms, (size_t)a->term_count * sizeof *d.terms);
    memcpy(d.terms + a->term_count, b->terms, (size_t)b->term_count * sizeof *d.terms);
    for (size_t i = 0; i < count; i++) {
        d.bias[i] = left.bias[i] + right.bias[i];
    }
    *sum = d;
    return TDSNN_OK;
}

/* One term with the weights of each output channel scaled. */
static tdsnn_status scale_term(td_arena *arena, const td_term *in, const double *scale,
                               td_term *out) {
    const td_synapses *s = &in->synapses;
    size_t fan_in = (size_t)(s->inputs / s->groups) * tap_count(&s->window);
    size_t count = (size_t)s->outputs * fan_in;
    *out = *in;
    out->weights = td_arena_alloc(arena, count, sizeof *out->weights);
    for (size_t i = 0; out->weights != NULL && i < count; i++) {
        out->weights[i] = in->weights[i] * scale[(size_t)s->first_output + i / fan_in];
    }
    return out->weights == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* The factor of each of the drive's channels, or NULL; *fits is false where there is more than one.
 */
static double *channel_factors(td_arena *arena, const td_node *node, td_shape shape, bool *fits) {
    size_t plane = plane_of(shape), seen = plane_of(node->shape), count = td_shape_count(shape);
    double *factors = td_arena_alloc(arena, (size_t)shape.c, sizeof *factors);
    *fits = true;
    for (size_t i = 0; factors != NULL && i < count && *fits; i++) {
        double factor = apply_scale(node->op, node->operand[i / seen], 1.0);
        *fits = i % plane == 0 || factors[i / plane] == factor;
        factors[i / plane] = factor;
    }
    return factors;
}

tdsnn_status td_drive_apply(td_arena *arena, const td_node *node, const td_drive *in, td_drive *out,
                            bool *fits) {
    td_drive d = *in;
    double *factors = channel_factors(arena, node, in->shape, fits);
    if (factors == NULL || !*fits) {
        return factors == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    }
    bool spread = !in->bias_per_neuron && plane_of(node->shape) != plane_of(in->shape);
    if (spread && spread_bias(arena, &d) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    const double *before = d.bias;
    size_t count = d.bias_per_neuron ? td_shape_count(in->shape) : (size_t)in->shape.c;
    size_t seen = d.bias_per_neuron ? plane_of(node->shape) : 1;
    d.terms = td_arena_alloc(arena, (size_t)in->term_count, sizeof *d.terms);
    d.bias = td_arena_alloc(arena, count, sizeof *d.bias);
    if (d.terms == NULL || d.bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < in->term_count; i++) {
        if (scale_term(arena, &in->terms[i], factors, &d.terms[i]) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    for (size_t i = 0; i < count; i++) {
        d.bias[i] = apply_shift(node->op, node->operand[i / seen], before[i]);
    }
    *out = d;
    return TDSNN_OK;
}

/* --------------------------------------------------------------------------------------- composed
 */

/* The weights of the composed synapses: sum over the channels in between. */
static double *compose_weights(td_arena *arena, const td_node *node, const td_term *first,
                               size_t middle, const td_synapses *s) {
    const td_synapses *f = &first->synapses;
    size_t taps = tap_count(&s->window), own = tap_count(&f->window);
    size_t second = node->op == TD_OP_CONV ? tap_count(&node->window) : 1;
    size_t inputs = (size_t)(f->inputs / f->groups), outputs = (size_t)(f->outputs / f->groups);
    size_t all = (size_t)s->inputs * taps; /* of one output */
    double *weights = td_arena_alloc(arena, (size_t)s->outputs * all, sizeof *weights);
    for (size_t o = 0; weights != NULL && o < (size_t)s->outputs; o++) {
        for (size_t m = 0; m < (size_t)f->outputs; m++) {
            size_t row = o * middle + (size_t)f->first_output + m;
            const double *from = first->weights + m * inputs * own;
            double *to = weights + o * all + m / outputs * inputs * taps;
            for (size_t i = 0; i < inputs * taps; i++) {
                size_t k = own == taps ? 0 : i % taps;
                size_t w = own == taps ? i : i / taps;
                to[i] += (double)node->weights[row * second + k] * from[w];
            }
        }
    }
    return weights;
}

/* One term of the first layer, seen through the second. */
static tdsnn_status compose_term(td_arena *arena, const td_node *node, const td_drive *in,
                                 const td_term *first, td_term *out, bool *fits) {
    const td_window window = node->op == TD_OP_CONV ? node->window : TD_WINDOW_ONE;
    td_term made = *first;
    td_synapses *s = &made.synapses;
    *fits = td_window_compose(&first->synapses.window, &window, in->shape, node->shape, &s->window);
    if (!*fits) {
        return TDSNN_OK;
    }
    s->first_output = 0;
    s->outputs = node->shape.c;
    s->groups = 1;
    s->shortcut = false;
    made.weights = compose_weights(arena, node, first, (size_t)in->shape.c, s);
    *out = made;
    return made.weights == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* The second layer's bias, and what its weights make of the first one's. */
static tdsnn_status compose_bias(td_arena *arena, const td_node *node, const td_drive *in,
                                 td_drive *d) {
    size_t taps = node->op == TD_OP_CONV ? tap_count(&node->window) : 1;
    size_t count = (size_t)node->shape.c * (size_t)in->shape.c * taps;
    td_term second = {.synapses = {.view = in->shape,
                                   .inputs = in->shape.c,
                                   .outputs = node->shape.c,
                                   .window = node->op == TD_OP_CONV ? node->window : TD_WINDOW_ONE,
                                   .groups = 1}};
    second.weights = td_arena_alloc(arena, count, sizeof *second.weights);
    if (second.weights == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        second.weights[i] = node->weights[i];
    }
    for (int c = 0; c < node->shape.c; c++) {
        d->bias[c] = node->bias[c];
    }
    return in->bias_per_neuron ? add_values(arena, d, &second, in->bias)
                               : add_constants(arena, d, &second, in->bias);
}

tdsnn_status td_drive_compose(td_arena *arena, const td_node *node, const td_drive *in,
                              uint64_t macs, td_drive *drive, bool *fits) {
    td_drive d;
    *fits = node->op == TD_OP_INNER ? plane_of(in->shape) == 1 : node->groups == 1;
    if (!*fits) {
        return TDSNN_OK;
    }
    tdsnn_status status = drive_alloc(arena, node->shape, in->term_count, &d);
    for (; status == TDSNN_OK && *fits && d.term_count < in->term_count; d.term_count++) {
        status =
            compose_term(arena, node, in, &in->terms[d.term_count], &d.terms[d.term_count], fits);
    }
    if (status != TDSNN_OK || !*fits) {
        return status;
    }
    *d.terms[0].macs += macs;
    *drive = d;
    return compose_bias(arena, node, in, drive);
}

/* --------------------------------------------------------------------------------------- closing
 */

static const float *round_doubles(td_arena *arena, const double *values, size_t count) {
    float *rounded = td_arena_alloc(arena, count, sizeof *rounded);
    for (size_t i = 0; rounded != NULL && i < count; i++) {
        rounded[i] = (float)values[i];
    }
    return rounded;
}

static size_t bias_count(const td_drive *d) {
    return d->bias_per_neuron ? td_shape_count(d->shape) : (size_t)d->shape.c;
}

/* One group's weights in the normative order. */
static void pack_group(float *packed, const float *weights, size_t inputs, size_t outputs,
                       size_t window) {
    for (size_t first = 0; first < inputs; first += TD_CHANNEL_BLOCK) {
        size_t end = first + TD_CHANNEL_BLOCK < inputs ? first + TD_CHANNEL_BLOCK : inputs;
        for (size_t k = 0; k < window; k++) {
            for (size_t i = first; i < end; i++) {
                for (size_t o = 0; o < outputs; o++) {
                    *packed++ = weights[(o * inputs + i) * window + k];
                }
            }
        }
    }
}

static tdsnn_status close_term(td_arena *arena, const td_term *term, td_synapses *s) {
    *s = term->synapses;
    size_t inputs = (size_t)(s->inputs / s->groups), window = tap_count(&s->window);
    size_t outputs = (size_t)(s->outputs / s->groups), group = inputs * outputs * window;
    float *packed = td_arena_alloc(arena, group * (size_t)s->groups, sizeof *packed);
    s->weights = round_doubles(arena, term->weights, group * (size_t)s->groups);
    if (packed == NULL || s->weights == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t g = 0; g < (size_t)s->groups; g++) {
        pack_group(packed + g * group, s->weights + g * group, inputs, outputs, window);
    }
    s->packed = packed;
    if (term->macs != NULL) {
        s->macs = *term->macs;
        *term->macs = 0;
    }
    return TDSNN_OK;
}

/* Adds what the rounded weights of one population make of v_0 at every present tap. */
static tdsnn_status add_offset(td_arena *scratch, td_drive *d, const td_synapses *s,
                               const tdsnn_code *code) {
    size_t count = (size_t)s->outputs * (size_t)(s->inputs / s->groups) * tap_count(&s->window);
    td_term rounded = {.synapses = *s,
                       .weights = td_arena_alloc(scratch, count, sizeof *rounded.weights)};
    double *zeros = td_arena_alloc(scratch, (size_t)s->inputs, sizeof *zeros);
    if (rounded.weights == NULL || zeros == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        rounded.weights[i] = s->weights[i];
    }
    double members = s->averages ? (double)tap_count(&s->average) : 1.0; /* all present */
    double share = s->averages ? (double)(float)(1.0 / members) : 1.0;
    for (int c = 0; c < s->inputs; c++) {
        zeros[c] = tdsnn_code_value(code, 0) * members * share;
    }
    return add_constants(scratch, d, &rounded, zeros);
}

/* The bias of the float engines. */
static tdsnn_status close_event_bias(td_arena *arena, td_arena *scratch, const td_drive *drive,
                                     const td_layer *layers, td_layer *layer) {
    layer->event_bias = layer->bias;
    layer->event_bias_per_neuron = layer->bias_per_neuron;
    const tdsnn_code *read = layers[layer->synapses[0].source].code; /* all of one offset */
    if (read == NULL || read->offset == 0) {
        return TDSNN_OK;
    }
    td_drive d = *drive;
    d.bias = td_arena_alloc(scratch, bias_count(drive), sizeof *d.bias);
    if (d.bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < bias_count(drive); i++) {
        d.bias[i] = layer->bias[i];
    }
    for (int i = 0; i < layer->synapse_count; i++) {
        const td_synapses *s = &layer->synapses[i];
        if (add_offset(scratch, &d, s, layers[s->source].code) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    layer->event_bias = round_doubles(arena, d.bias, bias_count(&d));
    layer->event_bias_per_neuron = d.bias_per_neuron;
    return layer->event_bias == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

tdsnn_status td_drive_close(td_arena *arena, td_arena *scratch, const td_drive *drive,
                            const td_layer *layers, td_layer *layer) {
    layer->synapses = td_arena_alloc(arena, (size_t)drive->term_count, sizeof *layer->synapses);
    layer->bias = round_doubles(arena, drive->bias, bias_count(drive));
    if (layer->synapses == NULL || layer->bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    layer->synapse_count = drive->term_count;
    layer->bias_per_neuron = drive->bias_per_neuron;
    for (int i = 0; i < drive->term_count; i++) {
        if (close_term(arena, &drive->terms[i], &layer->synapses[i]) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return close_event_bias(arena, scratch, drive, layers, layer);
}
