/* The clock engine: the neuron as docs/neuron.md states it, one time step after the other.
 *
 * Neurons are kept [position][channel], so that an arriving spike adds a run of weights to a run of
 * potentials. Nothing here computes a closed form: [P 4, 8] and the spike times come out of the
 * steps. */
#include "engine/clock.h"

#include <math.h>
#include <string.h>

/* One pre-synaptic population and its synapses. The two halves of a pair are two populations, whose
 * synapses differ in sign. */
typedef struct population {
    td_synapses synapses; /* geometry alone: the weights are below */
    td_shape grid;        /* the neurons that are heard, and those of their channels that are not */
    size_t first, count;  /* those heard, of the source's spike times */
    size_t offset;        /* of the first of them in the grid */
    bool silent_zeros;    /* its code has offset 0: a spike at T = 0 may stay away */
    int reaches;          /* the half of the layer that it reaches; EVERY_HALF: all */
    double *weights;      /* [inputs][kh][kw][outputs of the group]: -w_i s_i; +1 of a pool */
    size_t weight_count;
    size_t late;       /* the neuron whose spike is a step late, a fault; SIZE_MAX: none */
    int16_t *arrivals; /* [count] when its spike arrives; -1: it sends none */
} population;

#define EVERY_HALF (-1)

struct td_clock_layer {
    td_arena *arena;
    td_layer_kind kind;
    td_shape shape;
    int halves;           /* 2 for pairs: the second encodes -A, all its synapses are negated */
    size_t half, neurons; /* neurons of one half, and of all */
    double leak, decay;   /* of the code that the layer reads; 1 at a pool: it does not leak */
    int window;           /* steps of the longest pre-synaptic window */
    int steps;            /* K of the layer's own code */
    double thresholds[TDSNN_MAX_STEPS];
    double ticks[TDSNN_MAX_STEPS]; /* [j]: w_tick(j) / exp(-T_il/L), j = 1 .. K-1 */
    double *bias;                  /* [neuron] b */
    double *constant;              /* [neuron] sum w_i s_i of the taps present (offset 0) */
    double *theta;                 /* [neuron] of a pool: the members present, or 1 */
    int population_count;
    population *populations;
    /* the neurons' state, [half][position][channel] */
    double *potential;     /* [neuron] V */
    double *held;          /* [neuron] U: what silent spikes would have added; does not leak */
    bool *fired;           /* [neuron] of a pool */
    int16_t *last_arrival; /* [neuron] for the counter; -1: nothing has arrived */
};

/* The place of neuron [half][position][channel] in the order of spike times. */
static size_t chw(const td_clock_layer *l, size_t n) {
    size_t channels = (size_t)l->shape.c, plane = (size_t)l->shape.h * (size_t)l->shape.w;
    size_t in_half = n % l->half;
    return n - in_half + in_half % channels * plane + in_half / channels;
}

/* ------------------------------------------------------------------------------------ compiling */

/* The ticks that make V at step j have the sign of tau_j - A, for any table and any leak:
 *     w_tick(j) = (tau_j - tau_{j-1}) exp(-j/L) exp(-T_il/L)
 * For a `ceil` code of the leak L it is the paper's constant tick [P 9]. */
static void compile_ticks(td_clock_layer *l) {
    for (int j = 1; j < l->steps; j++) {
        l->ticks[j] = (l->thresholds[j] - l->thresholds[j - 1]) * exp(-j / l->leak);
    }
}

/* Where weight [c][i][ky][kx] of the file lies in population.weights. */
static size_t weight_place(const td_synapses *s, size_t file_place) {
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    size_t inputs = (size_t)(s->inputs / s->groups), outputs = (size_t)(s->outputs / s->groups);
    size_t tap = file_place % window, i = file_place / window % inputs;
    size_t c = file_place / window / inputs;
    return ((c / outputs * inputs + i) * window + tap) * outputs + c % outputs;
}

/* The output that reads position `in` through tap k; false if there is none. */
static bool reading_output(const td_axis *a, int in, int k, int outputs, int *out) {
    int distance = in + a->pad_begin - k * a->dilation;
    *out = distance / a->stride;
    return distance >= 0 && distance % a->stride == 0 && *out < outputs;
}

/* The taps [*first, *end) through which an output may read position `in`. No others are tried: a
 * window may be far larger than what it is laid over. */
static void reading_taps(const td_axis *a, int in, int outputs, int *first, int *end) {
    long long last = (long long)in + a->pad_begin; /* in steps from tap 0 of output 0 */
    long long behind = last - (long long)(outputs - 1) * a->stride;
    *first = behind <= 0 ? 0 : (int)((behind + a->dilation - 1) / a->dilation);
    *end = (int)(last / a->dilation) + 1;
    *end = *end > a->kernel ? a->kernel : *end;
}

/* The taps of a window that read one position: pairs (ky, kx) and the output (y, x) of each. */
typedef struct readers {
    const td_window *window;
    td_shape outputs;
    int in_y, in_x;
    int end_y, first_x, end_x; /* the taps to try */
    int ky, kx;                /* the next of them */
    int y, x;                  /* of the last found */
} readers;

static readers readers_of(const td_window *w, td_shape outputs, int y, int x) {
    readers r = {.window = w, .outputs = outputs, .in_y = y, .in_x = x};
    reading_taps(&w->y, y, outputs.h, &r.ky, &r.end_y);
    reading_taps(&w->x, x, outputs.w, &r.first_x, &r.end_x);
    r.kx = r.first_x;
    return r;
}

static bool readers_next(readers *r, int *tap) {
    const td_window *w = r->window;
    for (; r->ky < r->end_y; r->ky++, r->kx = r->first_x) {
        if (!reading_output(&w->y, r->in_y, r->ky, r->outputs.h, &r->y)) {
            continue;
        }
        while (r->kx < r->end_x) {
            int kx = r->kx++;
            if (reading_output(&w->x, r->in_x, kx, r->outputs.w, &r->x)) {
                *tap = r->ky * w->x.kernel + kx;
                return true;
            }
        }
    }
    return false;
}

/* Walks the synapses that leave one pre-synaptic neuron, a tap at a time: `to` is the first
 * post-synaptic neuron (of the first half), `from` the first weight, of a run of `outputs` each.
 * Through an average, each place that counts the neuron is an input of its own, and the composed
 * synapse weighs `share` times the weight. */
typedef struct fan_out {
    const td_clock_layer *layer;
    const td_synapses *s;
    td_shape grid;    /* of the neuron's population */
    readers averages; /* the averages that count the neuron */
    readers taps;     /* the taps that read one of them */
    int channel;      /* of the neuron in its population */
    int input;        /* 0 .. s->inputs - 1: what the taps read */
    size_t outputs, to, from;
    double share;
} fan_out;

/* Turns to input `place` of the view, [C][h][w]; false if the synapses do not leave it. */
static bool fan_out_read(fan_out *f, size_t place) {
    size_t width = (size_t)f->s->view.w, plane = (size_t)f->s->view.h * width;
    f->input = (int)(place / plane) - f->s->first_input;
    f->taps = readers_of(&f->s->window, f->layer->shape, (int)(place % plane / width),
                         (int)(place % width));
    return f->input >= 0 && f->input < f->s->inputs;
}

/* Turns to the next average that counts the neuron; false when there is none left. */
static bool fan_out_next_average(fan_out *f) {
    td_shape means = f->s->averaged;
    int tap, y0, y1, x0, x1;
    while (readers_next(&f->averages, &tap)) {
        size_t line = (size_t)f->channel * (size_t)means.h + (size_t)f->averages.y;
        if (fan_out_read(f, line * (size_t)means.w + (size_t)f->averages.x)) {
            td_axis_taps(&f->s->average.y, f->averages.y, f->grid.h, &y0, &y1);
            td_axis_taps(&f->s->average.x, f->averages.x, f->grid.w, &x0, &x1);
            f->share = (double)td_average_share(f->s, (y1 - y0) * (x1 - x0));
            return true;
        }
    }
    return false;
}

static fan_out fan_out_of(const td_clock_layer *l, const population *p, size_t neuron) {
    const td_synapses *s = &p->synapses;
    size_t place = p->offset + neuron, width = (size_t)p->grid.w;
    size_t plane = (size_t)p->grid.h * width;
    fan_out f = {.layer = l,
                 .s = s,
                 .grid = p->grid,
                 .outputs = (size_t)(s->outputs / s->groups),
                 .share = 1.0};
    if (s->averages) {
        f.channel = (int)(place / plane);
        f.averages = readers_of(&s->average, s->averaged, (int)(place % plane / width),
                                (int)(place % width)); /* no taps until the first is found */
    } else {
        fan_out_read(&f, place);
    }
    return f;
}

/* The next run; false when there is none left. */
static bool fan_out_next(fan_out *f) {
    const td_synapses *s = f->s;
    td_shape post = f->layer->shape;
    int tap;
    while (!readers_next(&f->taps, &tap)) {
        if (!s->averages || !fan_out_next_average(f)) {
            return false;
        }
    }
    size_t group = (size_t)(f->input / (s->inputs / s->groups));
    size_t position = (size_t)f->taps.y * (size_t)post.w + (size_t)f->taps.x;
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    f->to = position * (size_t)post.c + (size_t)s->first_output + group * f->outputs;
    f->from = ((size_t)f->input * window + (size_t)tap) * f->outputs;
    return true;
}

/* Adds a run of weights to one number of each neuron that they reach, of a pair's second half
 * negated. */
static void add_run(const td_clock_layer *l, const population *p, const fan_out *f, double factor,
                    double *numbers) {
    const double *weights = p->weights + f->from;
    for (int half = 0; half < l->halves; half++) {
        double *to = numbers + (size_t)half * l->half + f->to;
        double times = half == 1 && p->reaches == EVERY_HALF ? -factor : factor;
        for (size_t o = 0; o < f->outputs && (p->reaches == EVERY_HALF || p->reaches == half);
             o++) {
            to[o] += times * weights[o];
        }
    }
}

/* Adds, for every synapse present, what `sum` collects of its weight: -(-w s) into the constant
 * of the all-firing mode, 1 into the theta of a pool. */
static void sum_synapses(const td_clock_layer *l, const population *p, double sign, double *sum) {
    for (size_t i = 0; i < p->count; i++) {
        fan_out f = fan_out_of(l, p, i);
        while (fan_out_next(&f)) {
            add_run(l, p, &f, sign * f.share, sum);
        }
    }
}

/* The synapses of one half of a source: `worth` is what its value counts in A, 1 or -negative. */
static tdsnn_status compile_population(td_clock_layer *l, const td_network *network,
                                       const td_synapses *s, int half, population *p) {
    const td_layer *source = &network->layers[s->source];
    double worth = half == 0 ? 1.0 : -(double)source->negative;
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    bool pool = l->kind == TD_LAYER_POOL;
    *p = (population){.synapses = *s,
                      .grid = s->averages ? source->shape : s->view,
                      .silent_zeros = source->code->offset == 0,
                      .reaches = pool ? half : EVERY_HALF,
                      .weight_count = (size_t)s->outputs * (size_t)(s->inputs / s->groups) * window,
                      .late = SIZE_MAX};
    size_t end;
    td_synapses_heard(network, s, &p->offset, &end);
    p->count = end - p->offset;
    p->first = (size_t)half * td_shape_count(source->shape) + p->offset;
    p->weights = td_arena_alloc(l->arena, p->weight_count, sizeof *p->weights);
    p->arrivals = td_arena_alloc(l->arena, p->count, sizeof *p->arrivals);
    if (p->weights == NULL || p->arrivals == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    double unit = worth * (double)source->code->scale;
    for (size_t i = 0; i < p->weight_count; i++) {
        p->weights[weight_place(s, i)] = pool ? 1.0 : -(double)s->weights[i] * unit;
    }
    p->synapses.weights = p->synapses.packed = NULL; /* the network may go first */
    l->window = source->code->steps > l->window ? source->code->steps : l->window;
    if (pool) {
        sum_synapses(l, p, 1.0, l->theta);
    } else if (p->silent_zeros) {
        sum_synapses(l, p, -1.0, l->constant);
    }
    return TDSNN_OK;
}

/* Every half of every source is a population. */
static tdsnn_status compile_populations(td_clock_layer *l, const td_network *network,
                                        const td_layer *layer) {
    for (int k = 0; k < layer->synapse_count; k++) {
        const td_synapses *s = &layer->synapses[k];
        for (int half = 0; half < (network->layers[s->source].pair ? 2 : 1); half++) {
            population *p = &l->populations[l->population_count++];
            if (compile_population(l, network, s, half, p) != TDSNN_OK) {
                return TDSNN_ERR_RUNTIME;
            }
        }
    }
    /* The smallest -x fires first: the second half of a pool waits for one spike alone. */
    for (size_t n = l->half; l->kind == TD_LAYER_POOL && n < l->neurons; n++) {
        l->theta[n] = l->theta[n] > 0.0 ? 1.0 : 0.0;
    }
    return TDSNN_OK;
}

static tdsnn_status allocate_neurons(td_clock_layer *l, int synapse_count) {
    double **arrays[] = {&l->bias, &l->constant, &l->theta, &l->potential, &l->held};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = td_arena_alloc(l->arena, l->neurons, sizeof(double));
        if (*arrays[i] == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    l->fired = td_arena_alloc(l->arena, l->neurons, sizeof *l->fired);
    l->last_arrival = td_arena_alloc(l->arena, l->neurons, sizeof *l->last_arrival);
    l->populations = td_arena_alloc(l->arena, 2 * (size_t)synapse_count, sizeof *l->populations);
    bool failed = l->fired == NULL || l->last_arrival == NULL || l->populations == NULL;
    return failed ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status compile(td_clock_layer *l, const td_network *network, const td_layer *layer) {
    const tdsnn_code *read = network->layers[layer->synapses[0].source].code;
    l->kind = layer->kind;
    l->shape = layer->shape;
    l->halves = layer->pair ? 2 : 1;
    l->half = td_shape_count(layer->shape);
    l->neurons = td_layer_neurons(layer);
    l->leak = read->leak;
    l->decay = layer->kind == TD_LAYER_POOL ? 1.0 : exp(-1.0 / l->leak);
    tdsnn_status status = allocate_neurons(l, layer->synapse_count);
    if (status == TDSNN_OK) {
        status = compile_populations(l, network, layer);
    }
    if (status != TDSNN_OK || layer->kind == TD_LAYER_POOL) {
        return status;
    }
    for (size_t n = 0; n < l->neurons; n++) {
        size_t channels = (size_t)l->shape.c, in_half = n % l->half;
        double bias = td_layer_bias(layer, (int)(in_half % channels), (int)(in_half / channels));
        l->bias[n] = n < l->half ? bias : -bias;
    }
    if (layer->kind == TD_LAYER_SYNAPSES) {
        l->steps = layer->code->steps;
        for (int k = 0; k < l->steps; k++) {
            l->thresholds[k] = layer->code->thresholds[k];
        }
        compile_ticks(l);
    }
    return TDSNN_OK;
}

bool td_clock_can_step(const td_network *network, int layer) {
    const td_layer *l = &network->layers[layer];
    return l->synapse_count > 0 && network->layers[l->synapses[0].source].code != NULL;
}

tdsnn_status td_clock_layer_create(tdsnn_context *ctx, const td_network *network, int layer,
                                   td_clock_layer **out) {
    if (!td_clock_can_step(network, layer)) {
        return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: layer '%s' reads no spikes, so its neurons cannot be stepped; give "
                        "the input a code (--input-steps)",
                        network->path, network->layers[layer].name);
    }
    td_arena *arena = td_arena_create(ctx);
    td_clock_layer *l = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *l);
    if (l != NULL) {
        l->arena = arena;
    }
    if (l == NULL || compile(l, network, &network->layers[layer]) != TDSNN_OK) {
        td_arena_destroy(arena);
        return TDSNN_ERR_RUNTIME;
    }
    *out = l;
    return TDSNN_OK;
}

void td_clock_layer_destroy(td_clock_layer *layer) {
    if (layer != NULL) {
        td_arena_destroy(layer->arena);
    }
}

/* ------------------------------------------------------------------------------------- stepping */

/* Whether a spike at T = 0 of this population stays away. A pool waits for every member. */
static bool silent(const td_clock_layer *l, const population *p, td_clock_mode mode) {
    return p->silent_zeros && !mode.all_firing && l->kind != TD_LAYER_POOL;
}

/* When each spike arrives. The populations' axonal delays make their windows start together, so
 * local time is the sender's own. Gives the last arrival, 0 if there is none. */
static int set_arrivals(td_clock_layer *l, td_clock_mode mode, uint8_t *const *source_times) {
    int last = 0;
    for (int k = 0; k < l->population_count; k++) {
        population *p = &l->populations[k];
        const uint8_t *times = source_times[p->synapses.source] + p->first;
        bool zeros_away = silent(l, p, mode);
        for (size_t i = 0; i < p->count; i++) {
            bool late = i == p->late && times[i] < UINT8_MAX;
            int arrival = times[i] == 0 && zeros_away ? -1 : times[i] + late;
            p->arrivals[i] = (int16_t)arrival;
            last = arrival > last ? arrival : last;
        }
    }
    return last;
}

/* The counter's view of one arrival at neurons [n, n + count): a neuron that has received before
 * must first leak up to this step, once however many spikes the step brings. */
static void note_arrivals(td_clock_layer *l, size_t n, size_t count, int t,
                          td_clock_counts *counts) {
    if (l->kind == TD_LAYER_POOL) {
        return; /* it does not leak */
    }
    for (size_t i = n; i < n + count; i++) {
        counts->leaks += l->last_arrival[i] >= 0 && l->last_arrival[i] < t;
        l->last_arrival[i] = (int16_t)t;
    }
}

/* One spike reaches all its synapses: V takes the weight and, with silent zeros, U the weight it
 * would have had from a spike at T = 0, negated. */
static void deliver(td_clock_layer *l, const population *p, size_t neuron, int t, bool hold,
                    td_clock_counts *counts) {
    fan_out f = fan_out_of(l, p, neuron);
    while (fan_out_next(&f)) {
        add_run(l, p, &f, f.share, l->potential);
        if (hold) {
            add_run(l, p, &f, -f.share, l->held);
        }
        for (int half = 0; counts != NULL && half < l->halves; half++) {
            if (p->reaches == EVERY_HALF || p->reaches == half) {
                counts->adds += hold ? 2 * f.outputs : f.outputs;
                note_arrivals(l, (size_t)half * l->half + f.to, f.outputs, t, counts);
            }
        }
    }
}

static void deliver_step(td_clock_layer *l, td_clock_mode mode, int t, td_clock_counts *counts) {
    for (int k = 0; k < l->population_count; k++) {
        const population *p = &l->populations[k];
        for (size_t i = 0; i < p->count; i++) {
            if (p->arrivals[i] == t) {
                deliver(l, p, i, t, silent(l, p, mode), counts);
            }
        }
    }
}

/* The bias neuron fires at T_b = T(1) [P 10], or at the release if that is earlier; its weight
 * exp(-T_b/L) makes it worth exactly the bias. Lowered by tau_0, and by the constant part of the
 * spikes at T = 0 where those are sent. */
static void deliver_bias(td_clock_layer *l, td_clock_mode mode, int t, td_clock_counts *counts) {
    double strength = exp(-t / l->leak);
    double lowered = l->kind == TD_LAYER_SYNAPSES ? l->thresholds[0] : 0.0;
    for (size_t n = 0; n < l->neurons; n++) {
        double bias = l->bias[n] - lowered - (mode.all_firing ? l->constant[n] : 0.0);
        l->potential[n] += -bias * strength;
    }
    if (counts != NULL) {
        counts->bias_adds += l->neurons;
        note_arrivals(l, 0, l->neurons, t, counts);
    }
}

/* V(t + 1) = V(t) exp(-1/L) [P 3]. */
static void leak(td_clock_layer *l) {
    for (size_t n = 0; n < l->neurons; n++) {
        l->potential[n] *= l->decay;
    }
}

static void reset(td_clock_layer *l) {
    memset(l->potential, 0, l->neurons * sizeof *l->potential);
    memset(l->held, 0, l->neurons * sizeof *l->held);
    for (size_t n = 0; n < l->neurons; n++) {
        l->last_arrival[n] = -1;
    }
}

/* Steps 0 .. T_il: all neurons inhibited, spikes arrive, membranes leak; then the held sums join.
 * Now V = P = -A exp(-T_il/L) [P 4, 8], tau_0 taken off A. */
static void accumulate(td_clock_layer *l, td_clock_mode mode, int release,
                       td_clock_counts *counts) {
    int bias_time = (int)fmin(ceil(l->leak * log(2.0)), release);
    for (int t = 0; t <= release; t++) {
        if (t > 0) {
            leak(l);
        }
        deliver_step(l, mode, t, counts);
        if (t == bias_time) {
            deliver_bias(l, mode, t, counts);
        }
    }
    double strength = exp(-release / l->leak);
    for (size_t n = 0; n < l->neurons; n++) {
        l->potential[n] += l->held[n] * strength;
    }
    for (size_t n = 0; counts != NULL && n < l->neurons; n++) {
        counts->leaks += l->last_arrival[n] < release;
    }
}

/* One neuron after the release, V <- V d + w_tick(j) at step j: fires at the first step with
 * V >= theta = 0 [P 5] with the sum from 1, at K at the latest. [P 6, 7] are what comes of it. */
static int tick(const td_clock_layer *l, double potential, double strength,
                td_clock_counts *counts) {
    int j = 0;
    while (potential < 0.0) {
        j++;
        if (counts != NULL) {
            counts->tick_leaks++;
            counts->tick_adds++;
        }
        if (j == l->steps) {
            break; /* the closing tick */
        }
        potential = potential * l->decay + l->ticks[j] * strength;
    }
    return j;
}

/* The ticking neuron drives everyone who has not fired; times in C, H, W order. */
static void release_neurons(const td_clock_layer *l, int release, uint8_t *times,
                            td_clock_counts *counts) {
    double strength = exp(-release / l->leak);
    for (size_t n = 0; n < l->neurons; n++) {
        times[chw(l, n)] = (uint8_t)tick(l, l->potential[n], strength, counts);
    }
}

/* The logits: P at T_il in the DNN's unit, the sign turned back. */
static void read_out(const td_clock_layer *l, int release, double *potentials) {
    double strength = exp(-release / l->leak);
    for (size_t n = 0; n < l->neurons; n++) {
        potentials[chw(l, n)] = -l->potential[n] / strength;
    }
}

/* A max-pool counts its members' spikes and fires with the last: theta is their number. (Of a pair
 * the second half fires with the first, theta is 1.) */
static void run_pool(td_clock_layer *l, td_clock_mode mode, int last, uint8_t *times,
                     td_clock_counts *counts) {
    memset(l->fired, 0, l->neurons * sizeof *l->fired);
    for (int t = 0; t <= last; t++) {
        deliver_step(l, mode, t, counts);
        for (size_t n = 0; n < l->neurons; n++) {
            if (!l->fired[n] && l->potential[n] >= l->theta[n]) {
                l->fired[n] = true;
                times[chw(l, n)] = (uint8_t)t;
            }
        }
    }
}

void td_clock_run(td_clock_layer *l, td_clock_mode mode, uint8_t *const *source_times,
                  uint8_t *times, double *potentials, td_clock_counts *counts) {
    if (counts != NULL) {
        *counts = (td_clock_counts){0};
    }
    int last = set_arrivals(l, mode, source_times);
    reset(l);
    if (l->kind == TD_LAYER_POOL) {
        run_pool(l, mode, last, times, counts);
        return;
    }
    int release = mode.fixed ? l->window : last;
    if (counts != NULL) {
        counts->t_last_in = release;
    }
    accumulate(l, mode, release, counts);
    if (l->kind == TD_LAYER_READOUT) {
        read_out(l, release, potentials);
    } else {
        release_neurons(l, release, times, counts);
    }
}

/* --------------------------------------------------------------------------------------- faults */

/* The population that place falls into; *place becomes its place there. */
static population *find_population(td_clock_layer *l, bool weights, size_t *place) {
    population *p = l->populations;
    for (;;) {
        size_t count = weights ? p->weight_count : p->count;
        if (*place < count) {
            return p;
        }
        *place -= count;
        p++;
    }
}

static void flip_exponent(double *number) {
    uint64_t bits;
    memcpy(&bits, number, sizeof bits);
    bits ^= UINT64_C(1) << 52;
    memcpy(number, &bits, sizeof bits);
}

size_t td_clock_places(const td_clock_layer *l, td_clock_fault fault) {
    size_t weights = 0, neurons = 0;
    for (int k = 0; k < l->population_count; k++) {
        weights += l->populations[k].weight_count;
        neurons += l->populations[k].count;
    }
    switch (fault) {
    case TD_FAULT_WEIGHT_SIGN:
    case TD_FAULT_WEIGHT_EXPONENT:
        return weights;
    case TD_FAULT_ARRIVAL:
        return neurons;
    default:
        return (size_t)l->steps;
    }
}

void td_clock_mutate(td_clock_layer *l, td_clock_fault fault, size_t place) {
    population *p;
    switch (fault) {
    case TD_FAULT_WEIGHT_SIGN:
        p = find_population(l, true, &place);
        p->weights[weight_place(&p->synapses, place)] *= -1.0;
        break;
    case TD_FAULT_WEIGHT_EXPONENT:
        p = find_population(l, true, &place);
        flip_exponent(&p->weights[weight_place(&p->synapses, place)]);
        break;
    case TD_FAULT_THRESHOLD:
        flip_exponent(&l->thresholds[place]);
        compile_ticks(l);
        break;
    case TD_FAULT_TICK:
        l->ticks[place] *= 1.1;
        break;
    case TD_FAULT_ARRIVAL:
        p = find_population(l, false, &place);
        p->late = place;
        break;
    }
}
