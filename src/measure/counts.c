/* Every count of docs/counts.md from spike times alone, without a loop over synapses: the synapses
 * of what a layer reads (a value or an average) are a product of two axis tables, and a neuron's
 * arrival steps are a set of 256 bits, the union of its window's. */
#include "measure/counts.h"

#include <math.h>

/* Compares that find a spike time among those of a code: a binary search of its thresholds. */
static uint64_t encode_compares(const tdsnn_code *code) {
    uint64_t levels = 1;
    while ((1 << levels) <= code->steps) {
        levels++;
    }
    return levels;
}

/* A set of arrival steps 0 .. 255. */
typedef struct steps {
    uint64_t word[4];
} steps;

/* What one population's synapses look like, whatever the spikes. */
typedef struct fan {
    uint32_t *y, *x;   /* [view.h], [view.w] taps of all outputs that read this row, this column */
    uint64_t synapses; /* composed, of one half of its neurons to one half of the layer's */
    uint64_t macs;     /* multiply-adds of the source network */
    steps *arrivals;   /* [output position] arrival steps of the group at hand */
    int group;         /* that group; -1: none yet */
} fan;

struct td_counter {
    td_arena *arena;
    const td_network *network;
    tdsnn_counts *counts;     /* [layer] */
    uint64_t *t_last_in;      /* [layer] summed */
    uint64_t latency_dynamic; /* summed */
    uint64_t latency_fixed;   /* of one sample */
    fan **fans;               /* [layer][population] */
    steps *rows, *merged;     /* scratch: [input position], [input row][output column] */
    uint64_t *release;        /* scratch: [layer] when its inhibition is released, global steps */
};

uint64_t tdsnn_ops_paper(const tdsnn_counts *c) {
    return c->paper_adds + c->paper_leaks + 2 * c->ticks + c->bias_adds + c->pool_adds;
}

uint64_t tdsnn_ops_silent(const tdsnn_counts *c) {
    return c->silent_adds + c->silent_leaks + 2 * c->ticks + c->bias_adds + c->pool_adds;
}

/* ---------------------------------------------------------------------------------------- steps */

static void steps_add(steps *set, int step) {
    set->word[step / 64] |= UINT64_C(1) << (step % 64);
}

static void steps_unite(steps *set, const steps *other) {
    for (int i = 0; i < 4; i++) {
        set->word[i] |= other->word[i];
    }
}

static int steps_count(const steps *set) {
    int count = 0;
    for (int i = 0; i < 4; i++) {
        count += __builtin_popcountll(set->word[i]);
    }
    return count;
}

/* The latest; the set must not be empty. */
static int steps_last(const steps *set) {
    int i = 3;
    while (set->word[i] == 0) {
        i--;
    }
    return 64 * i + 63 - __builtin_clzll(set->word[i]);
}

/* Leaks of one neuron's accumulation: one before each arrival step but the first, and one to the
 * release. The bias has arrived, so the set is not empty. */
static uint64_t leaks_of(const steps *arrivals, int release) {
    return (uint64_t)(steps_count(arrivals) - 1 + (steps_last(arrivals) < release));
}

/* ------------------------------------------------------------------------------------- creation */

/* The number of taps with which all outputs together read each input position of an axis. */
static uint32_t *fan_axis(td_arena *arena, const td_axis *a, int inputs, int outputs) {
    uint32_t *taps = td_arena_alloc(arena, (size_t)inputs, sizeof *taps);
    for (int o = 0; taps != NULL && o < outputs; o++) {
        int first, end;
        td_axis_taps(a, o, inputs, &first, &end);
        for (int k = first; k < end; k++) {
            taps[td_axis_input(a, o, k)]++;
        }
    }
    return taps;
}

static tdsnn_status create_fan(td_arena *arena, const td_network *network, const td_layer *layer,
                               const td_synapses *s, fan *f) {
    size_t positions = (size_t)layer->shape.h * (size_t)layer->shape.w;
    f->y = fan_axis(arena, &s->window.y, s->view.h, layer->shape.h);
    f->x = fan_axis(arena, &s->window.x, s->view.w, layer->shape.w);
    f->synapses = td_synapses_count(network, layer, s);
    f->macs = s->macs;
    f->arrivals = td_arena_alloc(arena, positions, sizeof *f->arrivals);
    return f->y == NULL || f->x == NULL || f->arrivals == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* The fans of all layers, and how much scratch memory the largest needs. */
static tdsnn_status create_fans(td_counter *c, size_t *rows, size_t *merged) {
    for (int i = 1; i < c->network->layer_count; i++) {
        const td_layer *layer = &c->network->layers[i];
        c->fans[i] = td_arena_alloc(c->arena, (size_t)layer->synapse_count, sizeof(fan));
        if (c->fans[i] == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        for (int k = 0; k < layer->synapse_count; k++) {
            const td_synapses *s = &layer->synapses[k];
            if (create_fan(c->arena, c->network, layer, s, &c->fans[i][k]) != TDSNN_OK) {
                return TDSNN_ERR_RUNTIME;
            }
            size_t in = (size_t)s->view.h * (size_t)s->view.w;
            size_t between = (size_t)s->view.h * (size_t)layer->shape.w;
            *rows = in > *rows ? in : *rows;
            *merged = between > *merged ? between : *merged;
        }
    }
    return TDSNN_OK;
}

/* When a layer's sources have all been released: its window starts. */
static uint64_t window_start(const td_layer *layer, const uint64_t *release) {
    uint64_t start = 0;
    for (int k = 0; k < layer->synapse_count; k++) {
        uint64_t released = release[layer->synapses[k].source];
        start = released > start ? released : start;
    }
    return start;
}

/* Steps along the longest path with fixed T_il: every layer waits for its longest pre-synaptic
 * window. A pool has no window of its own, and an analog input none. */
static uint64_t fixed_latency(const td_network *network, uint64_t *release) {
    for (int i = 1; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        int window = 0;
        for (int k = 0; k < layer->synapse_count && layer->kind != TD_LAYER_POOL; k++) {
            const tdsnn_code *code = network->layers[layer->synapses[k].source].code;
            window = code != NULL && code->steps > window ? code->steps : window;
        }
        release[i] = window_start(layer, release) + (uint64_t)window;
    }
    return release[network->layer_count - 1];
}

static tdsnn_status create(td_counter *c) {
    size_t layers = (size_t)c->network->layer_count, rows = 1, merged = 1;
    c->counts = td_arena_alloc(c->arena, layers, sizeof *c->counts);
    c->t_last_in = td_arena_alloc(c->arena, layers, sizeof *c->t_last_in);
    c->release = td_arena_alloc(c->arena, layers, sizeof *c->release);
    c->fans = td_arena_alloc(c->arena, layers, sizeof *c->fans);
    if (c->counts == NULL || c->t_last_in == NULL || c->release == NULL || c->fans == NULL ||
        create_fans(c, &rows, &merged) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    c->latency_fixed = fixed_latency(c->network, c->release);
    c->rows = td_arena_alloc(c->arena, rows, sizeof *c->rows);
    c->merged = td_arena_alloc(c->arena, merged, sizeof *c->merged);
    return c->rows == NULL || c->merged == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

tdsnn_status td_counter_create(tdsnn_context *ctx, const td_network *network,
                               td_counter **counter) {
    td_arena *arena = td_arena_create(ctx);
    td_counter *c = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *c);
    if (c != NULL) {
        c->arena = arena;
        c->network = network;
    }
    if (c == NULL || create(c) != TDSNN_OK) {
        td_arena_destroy(arena);
        return TDSNN_ERR_RUNTIME;
    }
    *counter = c;
    return TDSNN_OK;
}

void td_counter_destroy(td_counter *c) {
    if (c != NULL) {
        td_arena_destroy(c->arena);
    }
}

/* ---------------------------------------------------------------------------------- what is read
 */

/* The neurons behind one place that synapses read: a value's one or two, or all of an average. */
typedef struct reading {
    steps arrivals;
    uint64_t events; /* neurons with T > 0 */
    uint64_t values; /* values of which a neuron has T > 0 */
} reading;

/* Adds one value of the source. */
static void read_value(const td_layer *source, const uint8_t *times, size_t place, reading *r) {
    int first = times[place];
    steps_add(&r->arrivals, first);
    if (!source->pair) {
        r->events += first > 0;
        r->values += first > 0;
        return;
    }
    int second = times[td_shape_count(source->shape) + place];
    steps_add(&r->arrivals, second);
    r->events += (uint64_t)((first > 0) + (second > 0));
    r->values += first > 0 || second > 0;
}

/* Adds place [C][h][w] of what the synapses see. */
static void read_place(const td_layer *source, const td_synapses *s, const uint8_t *times,
                       size_t place, reading *r) {
    if (!s->averages) {
        read_value(source, times, place, r);
        return;
    }
    size_t width = (size_t)s->averaged.w, plane = (size_t)s->averaged.h * width;
    int y = (int)(place % plane / width), x = (int)(place % width), y0, y1, x0, x1;
    td_axis_taps(&s->average.y, y, source->shape.h, &y0, &y1);
    td_axis_taps(&s->average.x, x, source->shape.w, &x0, &x1);
    for (int ky = y0; ky < y1; ky++) {
        size_t line =
            place / plane * (size_t)source->shape.h + (size_t)td_axis_input(&s->average.y, y, ky);
        for (int kx = x0; kx < x1; kx++) {
            size_t column = (size_t)td_axis_input(&s->average.x, x, kx);
            read_value(source, times, line * (size_t)source->shape.w + column, r);
        }
    }
}

/* ------------------------------------------------------------------------------ arrivals, leaks */

/* The union over the window of each output position: first along the rows, then down the columns.
 * `rows` holds the steps of each input position. */
static void unite_windows(td_counter *c, const td_layer *layer, const td_synapses *s, steps *out) {
    int height = s->view.h, width = s->view.w, columns = layer->shape.w, first, end;
    for (int y = 0; y < height; y++) {
        for (int o = 0; o < columns; o++) {
            steps *to = &c->merged[(size_t)y * (size_t)columns + (size_t)o];
            *to = (steps){{0}};
            td_axis_taps(&s->window.x, o, width, &first, &end);
            for (int k = first; k < end; k++) {
                int x = td_axis_input(&s->window.x, o, k);
                steps_unite(to, &c->rows[(size_t)y * (size_t)width + (size_t)x]);
            }
        }
    }
    for (int o = 0; o < layer->shape.h; o++) {
        td_axis_taps(&s->window.y, o, height, &first, &end);
        for (int x = 0; x < columns; x++) {
            steps *to = &out[(size_t)o * (size_t)columns + (size_t)x];
            *to = (steps){{0}};
            for (int k = first; k < end; k++) {
                int y = td_axis_input(&s->window.y, o, k);
                steps_unite(to, &c->merged[(size_t)y * (size_t)columns + (size_t)x]);
            }
        }
    }
}

/* Fills fan.arrivals for one group of a population, unless it is there already. */
static void unite_group(td_counter *c, const td_layer *layer, const td_synapses *s, fan *f,
                        int group, const uint8_t *times) {
    if (f->group == group) {
        return;
    }
    f->group = group;
    const td_layer *source = &c->network->layers[s->source];
    size_t plane = (size_t)s->view.h * (size_t)s->view.w;
    size_t inputs = (size_t)(s->inputs / s->groups);
    size_t first = (size_t)s->first_input + (size_t)group * inputs;
    for (size_t p = 0; p < plane; p++) {
        reading r = {0};
        for (size_t i = first; i < first + inputs; i++) {
            read_place(source, s, times, i * plane + p, &r);
        }
        c->rows[p] = r.arrivals;
    }
    unite_windows(c, layer, s, f->arrivals);
}

/* The group of a population that reaches channel c of the layer, or -1; *end becomes the channel
 * with which that changes, if it is not past it already. */
static int group_at(const td_synapses *s, int channel, int *end) {
    int output = channel - s->first_output, outputs = s->outputs / s->groups;
    bool reached = output >= 0 && output < s->outputs;
    int group = reached ? output / outputs : -1;
    int change = reached ? s->first_output + (group + 1) * outputs : s->first_output;
    *end = change > channel && change < *end ? change : *end;
    return group;
}

/* Adds the leaks of `neurons` neurons at each position, which all see the same arrivals: those of
 * the populations whose group is set. */
static void count_group_leaks(const td_layer *layer, const fan *fans, bool silent_zeros,
                              int release, int bias_time, uint64_t neurons, tdsnn_counts *counts) {
    size_t positions = (size_t)layer->shape.h * (size_t)layer->shape.w;
    for (size_t p = 0; p < positions; p++) {
        steps all = {{0}};
        for (int k = 0; k < layer->synapse_count; k++) {
            if (fans[k].group >= 0) {
                steps_unite(&all, &fans[k].arrivals[p]);
            }
        }
        steps heard = all;
        if (silent_zeros) {
            heard.word[0] &= ~UINT64_C(1); /* a spike at T = 0 stays away */
        }
        steps_add(&all, bias_time);
        steps_add(&heard, bias_time);
        counts->paper_leaks += neurons * leaks_of(&all, release);
        counts->silent_leaks += neurons * leaks_of(&heard, release);
    }
}

/* Channels are taken together as long as each population reaches them with one group. */
static void count_leaks(td_counter *c, int index, const td_activity *a, int release) {
    const td_layer *layer = &c->network->layers[index];
    const tdsnn_code *read = c->network->layers[layer->synapses[0].source].code;
    fan *fans = c->fans[index];
    /* The bias neuron fires at T(1) = ceil(L ln 2) [P 10], or at the release. */
    double late = ceil((double)read->leak * log(2.0));
    int bias_time = late < release ? (int)late : release;
    for (int k = 0; k < layer->synapse_count; k++) {
        fans[k].group = -1;
    }
    for (int channel = 0, end; channel < layer->shape.c; channel = end) {
        end = layer->shape.c;
        for (int k = 0; k < layer->synapse_count; k++) {
            const td_synapses *s = &layer->synapses[k];
            int group = group_at(s, channel, &end);
            if (group < 0) {
                fans[k].group = -1;
            } else {
                unite_group(c, layer, s, &fans[k], group, a->times[s->source]);
            }
        }
        uint64_t neurons = (uint64_t)(end - channel) * (layer->pair ? 2 : 1);
        count_group_leaks(layer, fans, read->offset == 0, release, bias_time, neurons,
                          &c->counts[index]);
    }
}

/* ----------------------------------------------------------------------------------- one sample */

/* Neurons and spikes of a population. */
static void count_spikes(const td_layer *layer, const uint8_t *times, tdsnn_counts *counts) {
    size_t neurons = td_layer_neurons(layer);
    uint64_t zeros = 0;
    for (size_t n = 0; n < neurons; n++) {
        zeros += times[n] == 0;
    }
    counts->neurons += neurons;
    counts->spikes += layer->code->offset == 1 ? neurons : neurons - zeros;
    counts->zero_spikes += layer->code->offset == 0 && layer->feeds_pool ? zeros : 0;
}

/* What the events (T > 0) of a population lead to. */
typedef struct event_counts {
    uint64_t synapses; /* composed, onto one half of the layer */
    uint64_t sums;     /* multiply-adds of a float engine: averages, then the layer's own */
} event_counts;

static event_counts count_events(const td_layer *source, const td_synapses *s, const fan *f,
                                 const uint8_t *times) {
    event_counts e = {0};
    size_t width = (size_t)s->view.w, plane = (size_t)s->view.h * width;
    size_t first = (size_t)s->first_input * plane, count = (size_t)s->inputs * plane;
    uint64_t outputs = (uint64_t)(s->outputs / s->groups);
    for (size_t place = first; place < first + count; place++) {
        reading r = {0};
        read_place(source, s, times, place, &r);
        uint64_t taps = (uint64_t)f->y[place % plane / width] * f->x[place % width];
        e.synapses += r.events * taps * outputs;
        e.sums += r.values > 0 ? taps * outputs : 0;
        e.sums += s->averages ? r.values : 0;
    }
    return e;
}

/* The latest spike of the neurons that the synapses leave, and how many fire after T = 0. */
static int last_of(const td_network *network, const td_synapses *s, const td_activity *a,
                   uint64_t *events) {
    const td_layer *source = &network->layers[s->source];
    const uint8_t *times = a->times[s->source];
    size_t first, end, half = td_shape_count(source->shape);
    int last = 0;
    *events = 0;
    td_synapses_heard(network, s, &first, &end);
    for (size_t offset = 0; offset < td_layer_neurons(source); offset += half) {
        for (size_t n = offset + first; n < offset + end; n++) {
            last = times[n] > last ? times[n] : last;
            *events += times[n] > 0;
        }
    }
    return last;
}

/* A population of spikes: the adds of its synapses, by both conventions, and what the float engine
 * does; gives its last arrival. */
static int count_population(td_counter *c, int index, int k, const td_activity *a) {
    const td_layer *layer = &c->network->layers[index];
    const td_synapses *s = &layer->synapses[k];
    const td_layer *source = &c->network->layers[s->source];
    const fan *f = &c->fans[index][k];
    tdsnn_counts *counts = &c->counts[index];
    uint64_t halves = layer->pair ? 2 : 1, events;
    uint64_t dense = f->synapses * (source->pair ? 2 : 1) * halves;
    event_counts e = count_events(source, s, f, a->times[s->source]);
    int last = last_of(c->network, s, a, &events);
    counts->paper_adds += dense;
    counts->silent_adds += source->code->offset == 0 ? 2 * e.synapses * halves : dense;
    counts->executed_macs += e.sums;
    counts->executed_lookups += events;
    return last;
}

/* Behind an analog input: dense multiply-adds, whatever the convention. */
static void count_analog(const td_layer *layer, const fan *f, tdsnn_counts *counts) {
    uint64_t dense = f->synapses * (layer->pair ? 2 : 1);
    counts->analog_macs += dense;
    counts->paper_adds += 2 * dense;
    counts->silent_adds += 2 * dense;
    counts->executed_macs += f->synapses;
}

static bool reads_spikes(const td_network *network, const td_layer *layer) {
    return network->layers[layer->synapses[0].source].code != NULL;
}

/* A layer of LIF neurons, the read-out included; gives T_il, the last arrival. */
static int count_synapses(td_counter *c, int index, const td_activity *a) {
    const td_layer *layer = &c->network->layers[index];
    tdsnn_counts *counts = &c->counts[index];
    uint64_t neurons = td_layer_neurons(layer);
    int release = 0;
    for (int k = 0; k < layer->synapse_count; k++) {
        const fan *f = &c->fans[index][k];
        counts->macs += f->macs;
        if (reads_spikes(c->network, layer)) {
            int last = count_population(c, index, k, a);
            release = last > release ? last : release;
        } else {
            count_analog(layer, f, counts);
        }
    }
    if (reads_spikes(c->network, layer)) {
        count_leaks(c, index, a, release);
    }
    counts->bias_adds += neurons;
    if (layer->kind == TD_LAYER_SYNAPSES) {
        for (size_t n = 0; n < neurons; n++) {
            counts->ticks += a->times[index][n];
        }
        counts->executed_compares += encode_compares(layer->code) * neurons;
        count_spikes(layer, a->times[index], counts);
    }
    c->t_last_in[index] += (uint64_t)release;
    return release;
}

/* A max-pool: every member sends its spike, to a pair's second half too, which fires with the
 * first.
 */
static void count_pool(td_counter *c, int index, const td_activity *a) {
    const td_layer *layer = &c->network->layers[index];
    uint64_t members = c->fans[index][0].synapses * (layer->pair ? 2 : 1);
    c->counts[index].pool_adds += members;
    c->counts[index].executed_compares += members;
    count_spikes(layer, a->times[index], &c->counts[index]);
}

void td_counter_add(td_counter *c, const td_activity *a) {
    const td_network *network = c->network;
    const td_layer *input = &network->layers[0];
    if (input->code != NULL) {
        count_spikes(input, a->times[0], &c->counts[0]);
        c->counts[0].executed_compares += encode_compares(input->code) * td_layer_neurons(input);
    } else {
        c->counts[0].neurons += td_shape_count(input->shape);
    }
    for (int i = 1; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        int t_last_in = 0;
        if (layer->kind == TD_LAYER_POOL) {
            count_pool(c, i, a);
        } else {
            t_last_in = count_synapses(c, i, a);
        }
        c->release[i] = window_start(layer, c->release) + (uint64_t)t_last_in;
    }
    c->latency_dynamic += c->release[network->layer_count - 1];
}

/* --------------------------------------------------------------------------------------- results
 */

static void add_counts(tdsnn_counts *into, const tdsnn_counts *from) {
    into->neurons += from->neurons;
    into->spikes += from->spikes;
    into->zero_spikes += from->zero_spikes;
    into->macs += from->macs;
    into->analog_macs += from->analog_macs;
    into->paper_adds += from->paper_adds;
    into->paper_leaks += from->paper_leaks;
    into->silent_adds += from->silent_adds;
    into->silent_leaks += from->silent_leaks;
    into->ticks += from->ticks;
    into->bias_adds += from->bias_adds;
    into->pool_adds += from->pool_adds;
    into->executed_macs += from->executed_macs;
    into->executed_lookups += from->executed_lookups;
    into->executed_compares += from->executed_compares;
}

void td_counter_merge(td_counter *into, const td_counter *from) {
    for (int i = 0; i < into->network->layer_count; i++) {
        add_counts(&into->counts[i], &from->counts[i]);
        into->t_last_in[i] += from->t_last_in[i];
    }
    into->latency_dynamic += from->latency_dynamic;
}

tdsnn_counts td_counter_layer(const td_counter *c, int layer, uint64_t *t_last_in) {
    *t_last_in = c->t_last_in[layer];
    return c->counts[layer];
}

uint64_t td_counter_latency_dynamic(const td_counter *c) {
    return c->latency_dynamic;
}

uint64_t td_counter_latency_fixed(const td_counter *c) {
    return c->latency_fixed;
}
