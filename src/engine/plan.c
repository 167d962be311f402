#include "engine/plan.h"

#include <math.h>

/* What the kernels cost, in cycles of a core that loads two vectors and starts two fused
 * multiply-adds a cycle; the constants were measured (docs/performance.md). */
#define SLIDE_PIXEL 18.0 /* the end of a run is seldom foreseen; sums are loaded and stored */
#define COLUMN_PIXEL 20.0
#define COLUMN_LOAD 0.55
#define GATHER_RUN 40.0 /* sorting them, finding the first weights */
#define DENSE_TILE 25.0
#define LATENCY 4.0
#define CACHE_BYTES 44.0 /* that the second-level cache gives a cycle */

/* Bytes of sums that stay near while a band of rows is computed, and its least rows. */
#define NEAR_SUMS ((size_t)256 << 10)
#define LEAST_ROWS 4

/* Floats that stay near while they are read: half a megabyte would leave too little for others. */
#define NEAR_VALUES ((size_t)64 << 10)
/* Bytes of weights that each thread may read for itself. */
#define SHARED_WEIGHTS ((size_t)512 << 10)

/* Weights of one block of inputs, in bytes, that the first-level cache holds beside the sums. */
#define NEAR_WEIGHTS 32768.0
/* Weights of one block of inputs, in bytes, that the second-level cache holds beside much else. */
#define CACHED_WEIGHTS 160000

const char *td_form_name(td_form form) {
    static const char *const names[TD_FORMS] = {"slide",  "column", "scatter",
                                                "gather", "dense",  "channels"};
    return names[form];
}

static size_t plane_of(td_shape shape) {
    return (size_t)shape.h * (size_t)shape.w;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

/* ------------------------------------------------------------------------------------------ forms
 */

static bool is_channelwise(const td_synapses *s) {
    return s->groups == s->inputs && s->groups == s->outputs;
}

/* Input channels that are listed together: the normative order's blocks, or where the kernel has
 * one tap, and so the order is that of the channels, as many as are worth keeping the weights of.
 */
static int list_block(const td_synapses *s) {
    int inputs = s->inputs / s->groups;
    bool one_tap = s->window.y.kernel == 1 && s->window.x.kernel == 1;
    int most = !one_tap ? TD_CHANNEL_BLOCK : s->view.h * s->view.w == 1 ? inputs : 64;
    return inputs < most ? inputs : most;
}

/* Whether a population can be read as events: spikes, of a pair one at most. */
static bool has_events(const td_plan *p, const td_synapses *s) {
    const td_layer *source = &p->network->layers[s->source];
    return source->code != NULL && !s->averages && !td_synapses_unflatten(source, s) &&
           (!source->pair || source->code->thresholds[0] >= 0.0f);
}

/* Whether all that events of the view reach are pixels of the layer, or within their margins. */
static bool reaches(const td_axis *a, int outputs, int inputs) {
    int reach = a->kernel - 1;
    return a->stride == 1 && a->dilation == 1 && reach - a->pad_begin <= TD_MARGIN &&
           inputs + a->pad_begin - outputs <= TD_MARGIN && a->pad_begin <= reach;
}

static bool can_scatter(const td_plan *p, const td_layer *layer, const td_synapses *s) {
    return has_events(p, s) && s->view.c < TD_CHANNEL_PITCH && s->inputs == s->view.c &&
           s->groups == 1 && (int64_t)s->view.w * s->view.c <= TD_MAX_PLACES &&
           reaches(&s->window.x, layer->shape.w, s->view.w) &&
           reaches(&s->window.y, layer->shape.h, s->view.h);
}

static bool can_slide(const td_plan *p, const td_layer *layer, const td_synapses *s) {
    return has_events(p, s) && (int64_t)s->view.w * TD_CHANNEL_BLOCK <= TD_MAX_PLACES &&
           s->window.y.kernel == 3 && s->window.x.kernel == 3 &&
           reaches(&s->window.y, layer->shape.h, s->view.h) &&
           reaches(&s->window.x, layer->shape.w, s->view.w);
}

static bool can_gather(const td_plan *p, const td_synapses *s) {
    return has_events(p, s) && s->window.x.dilation == 1 &&
           (int64_t)s->view.w * list_block(s) <= TD_MAX_PLACES;
}

static bool can_column(const td_plan *p, const td_synapses *s) {
    return can_gather(p, s) && s->window.y.dilation == 1 && s->window.x.kernel > 1 &&
           ceil_div(s->window.y.kernel, s->window.y.stride) <= TD_COLUMN_ROWS;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

/* Of an event onto so many sums in registers; near: the first-level cache holds the weights. */
static double column_step(const td_plan *p, double sums, bool near) {
    double bytes = sums * p->kernels->lanes * sizeof(float);
    double loads = near ? (sums + 2.0) * COLUMN_LOAD : bytes / CACHE_BYTES;
    return larger(loads, LATENCY);
}

/* Of an output pixel: one run for each input row by which a kernel's rows go together. */
static double predict_column(const td_plan *p, const td_synapses *s, int registers,
                             double density) {
    const td_axis *y = &s->window.y, *x = &s->window.x;
    double inputs = s->inputs / s->groups, cycles = 0.0;
    double blocks = ceil_div(s->inputs / s->groups, TD_CHANNEL_BLOCK);
    double channels = inputs < TD_CHANNEL_BLOCK ? inputs : TD_CHANNEL_BLOCK;
    double weights = channels * y->kernel * x->kernel * registers * p->kernels->lanes;
    bool near = weights * sizeof(float) <= NEAR_WEIGHTS;
    bool pairs =
        x->stride == 1 && TD_COLUMN_PAIR * TD_COLUMN_ROWS * registers <= p->kernels->column_sums;
    for (int phase = 0; phase < y->stride && phase < y->kernel; phase++) {
        double sums = ceil_div(y->kernel - phase, y->stride) * registers;
        double alone = column_step(p, sums, near), both = column_step(p, 2.0 * sums, near) / 2.0;
        cycles += inputs * density * (alone + (x->kernel - 1) * (pairs ? both : alone)) +
                  blocks * (COLUMN_PIXEL + 2.0 * sums);
    }
    return cycles;
}

/* Predicted cycles of a population onto `registers` of neighbouring outputs, all pixels. */
static double predict(const td_plan *p, const td_layer *layer, const td_synapses *s, td_form form,
                      int registers, double density) {
    double pixels = (double)plane_of(layer->shape), r = registers;
    double inputs = s->inputs / s->groups, rows = s->window.y.kernel;
    double taps = rows * s->window.x.kernel;
    double blocks = ceil_div(s->inputs / s->groups, TD_CHANNEL_BLOCK);
    switch (form) {
    case TD_FORM_SLIDE:
        return (double)plane_of(s->view) *
               (inputs * density * (9.0 * r + 2.0) / 2.0 + blocks * (SLIDE_PIXEL + 6.0 * r));
    case TD_FORM_COLUMN:
        return pixels * predict_column(p, s, registers, density);
    case TD_FORM_SCATTER: /* a load and a store of each sum, and the weights */
        return (double)plane_of(s->view) * (inputs * density * (taps * (r + 0.5) + 15.0) + inputs);
    case TD_FORM_GATHER: {
        double runs = taps > 1.0 ? rows * blocks : 1.0;
        return pixels * (taps * inputs * density * (r + 2.0) / 2.0 + runs * (GATHER_RUN + r));
    }
    case TD_FORM_DENSE: {
        int tiles = ceil_div(layer->shape.w, p->kernels->dense_sums / registers);
        double tile = (double)layer->shape.w / tiles;
        double step = larger(larger(tile * r, tile + r) / 2.0, LATENCY);
        return (double)layer->shape.h * tiles * (taps * inputs * step + DENSE_TILE);
    }
    default:
        return pixels * (taps * r + 2.0 * r + LATENCY);
    }
}

/* ---------------------------------------------------------------------------------------- choices
 */

/* Registers that gather: as many as keep a block's weights in the cache. */
static int gather_registers(const td_plan *p, const td_synapses *s) {
    int inputs = s->inputs / s->groups;
    int64_t channels = inputs < TD_CHANNEL_BLOCK ? inputs : TD_CHANNEL_BLOCK;
    int64_t weights = channels * s->window.y.kernel * s->window.x.kernel;
    int64_t most = CACHED_WEIGHTS / (weights * p->kernels->lanes * (int64_t)sizeof(float));
    return most < 1 ? 1 : most > TD_MAX_REGISTERS ? TD_MAX_REGISTERS : (int)most;
}

/* The registers of a layer's blocks and the form of its largest population, by prediction. */
typedef struct choice {
    td_form form;
    int registers;
    double cycles; /* of all outputs */
} choice;

static void consider(choice *best, const td_plan *p, const td_layer *layer, const td_synapses *s,
                     td_form form, int most, double density) {
    int all = ceil_div(s->outputs / s->groups, p->kernels->lanes);
    int blocks = ceil_div(all, most), registers = ceil_div(all, blocks);
    double cycles = s->groups * blocks * predict(p, layer, s, form, registers, density);
    if (best->cycles < 0.0 || cycles < best->cycles) {
        *best = (choice){form, registers, cycles};
    }
}

static choice choose(const td_plan *p, const td_layer *layer, const td_synapses *s,
                     double density) {
    choice best = {TD_FORM_DENSE, 1, -1.0};
    if (is_channelwise(s)) {
        int all = ceil_div(s->outputs, p->kernels->lanes);
        int registers = all < TD_MAX_REGISTERS ? all : TD_MAX_REGISTERS;
        double cycles =
            ceil_div(all, registers) * predict(p, layer, s, TD_FORM_CHANNELS, registers, density);
        return (choice){TD_FORM_CHANNELS, registers, cycles};
    }
    for (int most = p->kernels->dense_registers; most > 0; most--) { /* rows differ in length */
        consider(&best, p, layer, s, TD_FORM_DENSE, most, density);
    }
    if (can_gather(p, s)) {
        consider(&best, p, layer, s, TD_FORM_GATHER, gather_registers(p, s), density);
    }
    for (int most = TD_COLUMN_REGISTERS; most > 0 && can_column(p, s); most--) {
        consider(&best, p, layer, s, TD_FORM_COLUMN, most, density);
    }
    if (can_scatter(p, layer, s)) {
        consider(&best, p, layer, s, TD_FORM_SCATTER, TD_MAX_REGISTERS, density);
    }
    if (can_slide(p, layer, s)) {
        consider(&best, p, layer, s, TD_FORM_SLIDE, p->kernels->slide_registers, density);
    }
    return best;
}

/* The form of a population where another has chosen the registers: the quickest of those that take
 * as many. */
static td_form form_for(const td_plan *p, const td_layer *layer, const td_synapses *s,
                        int registers, double density) {
    if (is_channelwise(s)) {
        return TD_FORM_CHANNELS;
    }
    const struct {
        td_form form;
        bool possible;
    } forms[] = {
        {TD_FORM_DENSE, registers <= p->kernels->dense_registers},
        {TD_FORM_GATHER, can_gather(p, s)},
        {TD_FORM_COLUMN, registers <= TD_COLUMN_REGISTERS && can_column(p, s)},
        {TD_FORM_SCATTER, can_scatter(p, layer, s)},
        {TD_FORM_SLIDE, registers <= p->kernels->slide_registers && can_slide(p, layer, s)}};
    td_form best = TD_FORM_DENSE;
    double least = -1.0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        double cycles = predict(p, layer, s, forms[i].form, registers, density);
        if (forms[i].possible && (least < 0.0 || cycles < least)) {
            best = forms[i].form;
            least = cycles;
        }
    }
    return best;
}

static uint64_t weight_count(const td_synapses *s, const td_layer *layer) {
    return (uint64_t)s->outputs * (uint64_t)(s->inputs / s->groups) *
           (uint64_t)(s->window.y.kernel * s->window.x.kernel) * plane_of(layer->shape);
}

/* ----------------------------------------------------------------------------------------- routes
 */

/* Nearly every average is an event. */
static double density_of(const double *densities, const td_synapses *s) {
    double density = densities == NULL ? 0.5 : densities[s->source];
    return s->averages ? 1.0 : density;
}

/* Values that the window reads along an axis, padding included; at least the view itself. */
static int padded(const td_axis *a, int outputs, int size, int *before) {
    int last = (outputs - 1) * a->stride - a->pad_begin + (a->kernel - 1) * a->dilation;
    *before = a->pad_begin;
    int end = last >= size ? last + 1 : size;
    return a->pad_begin + end;
}

static void shape_route(td_route *route, const td_layer *layer) {
    const td_synapses *s = route->synapses;
    route->inputs = s->inputs / s->groups;
    route->block = list_block(s);
    route->blocks = ceil_div(route->inputs, route->block);
    route->pitch = td_pitch(s->view.c);
    route->height = s->view.h;
    route->width = s->view.w;
    if (!td_form_lists(route->form)) {
        route->height = padded(&s->window.y, layer->shape.h, s->view.h, &route->top);
        route->width = padded(&s->window.x, layer->shape.w, s->view.w, &route->left);
    }
}

/* Adds a * b + slack elements; false if that is too many. */
static bool need(size_t *sum, size_t a, size_t b) {
    size_t size;
    return td_size_mul(a, b, &size) && td_size_add(size, TD_SLACK, &size) &&
           td_size_add(*sum, size, sum);
}

static bool place_values(const td_plan *p, td_route *route, td_places *n) {
    const td_synapses *s = route->synapses;
    td_shape from = p->network->layers[s->source].shape;
    bool fits = need(&n->values, (size_t)route->height * (size_t)route->width, route->pitch);
    route->whole = n->values;
    bool flat = s->view.flat && plane_of(s->averages ? s->averaged : from) > 1;
    bool planes = td_synapses_unflatten(&p->network->layers[s->source], s);
    if (s->averages || flat || planes) {
        fits = fits && need(&n->values, plane_of(from), td_pitch(from.c));
    }
    if (s->averages) {
        fits = fits && need(&n->values, plane_of(s->averaged), td_pitch(s->averaged.c));
    }
    route->flattened = n->values;
    return fits && ((!flat && !planes) || need(&n->values, plane_of(s->view), td_pitch(s->view.c)));
}

static bool place_events(const td_plan *p, td_route *route, td_places *n) {
    const td_synapses *s = route->synapses;
    const td_layer *source = &p->network->layers[s->source];
    size_t rows = (size_t)s->view.h, lists = rows * td_row_lists(route);
    bool flat = s->view.flat && plane_of(source->shape) > 1;
    return need(&n->events, rows, td_row_events(route)) &&
           need(&n->starts, lists, (size_t)s->view.w + 1) &&
           (!flat ||
            (need(&n->flat, (size_t)s->view.c, 1) && need(&n->flat, (size_t)s->view.c, 1)));
}

/* Places the route's values or events behind those of the layer's routes before it. */
static tdsnn_status place_route(tdsnn_context *ctx, const td_plan *p, td_route *route,
                                td_places *n) {
    td_shape view = route->synapses->view;
    route->session = *n;
    bool fits = td_form_lists(route->form) ? place_events(p, route, n) : place_values(p, route, n);
    return fits ? TDSNN_OK
                : td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                           "a layer that reads %dx%dx%d values is too large to run", view.c, view.h,
                           view.w);
}

/* ----------------------------------------------------------------------------------------- blocks
 */

/* Where blocks must end: at the borders of every population's groups. */
static bool is_border(const td_layer *layer, int channel) {
    for (int k = 0; k < layer->synapse_count; k++) {
        const td_synapses *s = &layer->synapses[k];
        int at = channel - s->first_output, outputs = s->outputs / s->groups;
        if (at == 0 || at == s->outputs ||
            (at > 0 && at < s->outputs && !is_channelwise(s) && at % outputs == 0)) {
            return true;
        }
    }
    return false;
}

/* Cuts the channels first .. end - 1 into blocks of nearly equal numbers of registers. */
static int cut(const td_plan *p, int first, int end, int registers, td_block *blocks) {
    int lanes = p->kernels->lanes, all = ceil_div(end - first, lanes);
    int count = ceil_div(all, registers);
    for (int i = 0; i < count && blocks != NULL; i++) {
        int here = ceil_div(all, count - i), outputs = here * lanes;
        outputs = outputs < end - first ? outputs : end - first;
        blocks[i] = (td_block){.first = first, .outputs = outputs, .registers = here};
        all -= here;
        first += outputs;
    }
    return count;
}

/* All blocks of a layer; with blocks == NULL their number alone. */
static int cut_all(const td_plan *p, const td_layer *layer, int registers, td_block *blocks) {
    int count = 0;
    for (int first = 0, end = 1; end <= layer->shape.c; end++) {
        if (end == layer->shape.c || is_border(layer, end)) {
            count += cut(p, first, end, registers, blocks == NULL ? NULL : blocks + count);
            first = end;
        }
    }
    return count;
}

static tdsnn_status pack_bias(td_plan *p, const td_layer *layer, td_block *block) {
    size_t outputs = (size_t)block->registers * (size_t)p->kernels->lanes;
    size_t plane = plane_of(layer->shape), count = layer->event_bias_per_neuron ? plane : 1;
    float *bias = td_arena_alloc(p->arena, count * outputs, sizeof *bias);
    for (size_t i = 0; bias != NULL && i < count; i++) {
        for (int o = 0; o < block->outputs; o++) {
            bias[i * outputs + (size_t)o] = td_layer_event_bias(layer, block->first + o, (int)i);
        }
    }
    block->bias = bias;
    return bias == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* [kh][kw][registers * lanes] of a depthwise window. */
static void pack_channels(float *to, const td_synapses *s, const td_block *block, size_t outputs) {
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    for (size_t k = 0; k < window; k++) {
        for (int o = 0; o < block->outputs; o++) {
            to[k * outputs + (size_t)o] =
                s->weights[(size_t)(block->first - s->first_output + o) * window + k];
        }
    }
}

/* Where the weights of tap k and input channel c of a block go: see td_block. */
static size_t packed_row(const td_route *route, size_t k, size_t c) {
    const td_axis *y = &route->synapses->window.y;
    size_t kh = (size_t)y->kernel, kw = (size_t)route->synapses->window.x.kernel;
    switch (route->form) {
    case TD_FORM_SLIDE:
    case TD_FORM_SCATTER:
        return c * kh * kw + k;
    case TD_FORM_COLUMN:
        return (k % kw * (size_t)route->block + c) * kh + (size_t)td_column_row(y, (int)(k / kw));
    default:
        return k * (size_t)route->block + c;
    }
}

static void pack_inputs(float *to, const td_route *route, const td_block *block, size_t outputs) {
    const td_synapses *s = route->synapses;
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    size_t inputs = (size_t)route->inputs;
    for (size_t i = 0; i < inputs; i++) {
        size_t b = i / (size_t)route->block, c = i % (size_t)route->block;
        for (size_t k = 0; k < window; k++) {
            float *row =
                to + (b * (size_t)route->block * window + packed_row(route, k, c)) * outputs;
            for (int o = 0; o < block->outputs; o++) {
                size_t output = (size_t)(block->first - s->first_output + o);
                row[o] = s->weights[(output * inputs + i) * window + k];
            }
        }
    }
}

static tdsnn_status pack_weights(td_plan *p, td_layer_plan *l, td_block *block) {
    const float **weights = td_arena_alloc(p->arena, (size_t)l->route_count, sizeof *weights);
    int *groups = td_arena_alloc(p->arena, (size_t)l->route_count, sizeof *groups);
    if (weights == NULL || groups == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    size_t outputs = (size_t)block->registers * (size_t)p->kernels->lanes;
    for (int k = 0; k < l->route_count; k++) {
        const td_route *route = &l->routes[k];
        const td_synapses *s = route->synapses;
        int at = block->first - s->first_output;
        if (at < 0 || at >= s->outputs) {
            continue;
        }
        size_t rows =
            route->form == TD_FORM_CHANNELS ? 1 : (size_t)route->blocks * (size_t)route->block;
        size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
        float *packed = td_arena_alloc(p->arena, rows * window * outputs, sizeof *packed);
        if (packed == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        p->weight_bytes += rows * window * outputs * sizeof *packed;
        l->weight_bytes += rows * window * outputs * sizeof *packed;
        if (route->form == TD_FORM_CHANNELS) {
            pack_channels(packed, s, block, outputs);
        } else {
            pack_inputs(packed, route, block, outputs);
        }
        weights[k] = packed;
        groups[k] = at / (s->outputs / s->groups);
    }
    block->weights = weights;
    block->groups = groups;
    return TDSNN_OK;
}

/* ----------------------------------------------------------------------------------------- layers
 */

static bool reads_by_rows(const td_plan *p, const td_route *route) {
    const td_synapses *s = route->synapses;
    const td_layer *source = &p->network->layers[s->source];
    bool flat = s->view.flat && plane_of(source->shape) > 1;
    return !s->averages && !flat && !td_synapses_unflatten(source, s);
}

/* Adds what the route needs for a band of `rows` output rows. */
static void place_band(const td_route *route, size_t rows, td_places *n) {
    const td_axis *ys = &route->synapses->window.y;
    size_t heard =
        (rows - 1) * (size_t)ys->stride + (size_t)(ys->kernel - 1) * (size_t)ys->dilation + 1;
    if (!td_form_lists(route->form)) {
        n->values += heard * (size_t)route->width * route->pitch + TD_SLACK;
        return;
    }
    heard = heard < (size_t)route->height ? heard : (size_t)route->height;
    n->events += heard * td_row_events(route) + TD_SLACK;
    n->starts += heard * td_row_lists(route) * ((size_t)route->width + 1);
}

static size_t band_values(const td_layer_plan *l, size_t rows) {
    td_places n = {0};
    for (int k = 0; k < l->route_count; k++) {
        place_band(&l->routes[k], rows, &n);
    }
    return n.values;
}

/* Output rows of which the values that they read stay near. */
static size_t near_values(const td_layer_plan *l) {
    size_t first = band_values(l, 1), each = band_values(l, 2) - first;
    if (first >= NEAR_VALUES) {
        return 1;
    }
    return each == 0 ? (size_t)l->layer->shape.h : 1 + (NEAR_VALUES - first) / each;
}

/* Output rows of which the sums of a block of neurons stay near. */
static size_t near_sums(const td_plan *p, const td_layer *layer, int registers) {
    size_t row = ((size_t)layer->shape.w + 2 * TD_MARGIN) * (size_t)registers *
                 (size_t)p->kernels->lanes * sizeof(float);
    return NEAR_SUMS / row < LEAST_ROWS ? LEAST_ROWS : NEAR_SUMS / row;
}

static void grow(td_places *most, const td_places *n) {
    most->values = n->values > most->values ? n->values : most->values;
    most->flat = n->flat > most->flat ? n->flat : most->flat;
    most->events = n->events > most->events ? n->events : most->events;
    most->starts = n->starts > most->starts ? n->starts : most->starts;
}

/* Whether the layer goes by rows, and by how many. Without events the sums of a row are encoded at
 * once, and what is read is what has to stay near. */
static void plan_rows(td_plan *p, td_layer_plan *l, int registers) {
    l->by_rows = true;
    for (int k = 0; k < l->route_count; k++) {
        l->by_rows = l->by_rows && reads_by_rows(p, &l->routes[k]);
        l->lists = l->lists || td_form_lists(l->routes[k].form);
    }
    size_t height = (size_t)l->layer->shape.h, rows = near_sums(p, l->layer, registers);
    l->bands = rows >= height ? 1 : ceil_div((int)height, (int)rows);
    rows = l->lists ? (size_t)ceil_div((int)height, l->bands) : near_values(l);
    l->band_rows = (int)(rows < height ? rows : height);
    td_places n = {0};
    for (int k = 0; k < l->route_count && l->by_rows; k++) {
        l->routes[k].thread = n;
        place_band(&l->routes[k], (size_t)l->band_rows, &n);
    }
    grow(&p->band, &n);
}

static tdsnn_status plan_routes(tdsnn_context *ctx, td_plan *p, td_layer_plan *l,
                                const double *densities, int *registers) {
    const td_layer *layer = l->layer;
    l->route_count = layer->synapse_count;
    l->routes = td_arena_alloc(p->arena, (size_t)l->route_count, sizeof *l->routes);
    l->cycles = td_arena_alloc(p->arena, (size_t)l->route_count, sizeof *l->cycles);
    if (l->routes == NULL || l->cycles == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    int largest = 0;
    for (int k = 1; k < l->route_count; k++) {
        largest = weight_count(&layer->synapses[k], layer) >
                          weight_count(&layer->synapses[largest], layer)
                      ? k
                      : largest;
    }
    const td_synapses *main = &layer->synapses[largest];
    *registers = choose(p, layer, main, density_of(densities, main)).registers;
    for (int k = 0; k < l->route_count; k++) {
        const td_synapses *s = &layer->synapses[k];
        bool dense_only = !is_channelwise(s) && !can_gather(p, s);
        int most = dense_only ? p->kernels->dense_registers : TD_MAX_REGISTERS;
        *registers = *registers < most ? *registers : most;
    }
    for (int k = 0; k < l->route_count; k++) {
        td_route *route = &l->routes[k];
        const td_synapses *s = &layer->synapses[k];
        double density = density_of(densities, s);
        route->synapses = s;
        route->form = form_for(p, layer, s, *registers, density);
        shape_route(route, layer);
        size_t row = (size_t)s->view.w * td_pitch(s->view.c);
        p->row_size = row > p->row_size ? row : p->row_size;
        size_t lengths = (size_t)s->window.x.kernel * (size_t)route->block + 1;
        p->lengths_size = lengths > p->lengths_size ? lengths : p->lengths_size;
        tdsnn_status status = place_route(ctx, p, route, &l->whole);
        if (status != TDSNN_OK) {
            return status;
        }
        int blocks = ceil_div(is_channelwise(s) ? s->outputs : s->outputs / s->groups,
                              *registers * p->kernels->lanes);
        l->cycles[k] = (is_channelwise(s) ? 1 : s->groups) * blocks *
                       predict(p, layer, s, route->form, *registers, density);
    }
    plan_rows(p, l, *registers);
    return TDSNN_OK;
}

static tdsnn_status plan_blocks(tdsnn_context *ctx, td_plan *p, td_layer_plan *l, int registers) {
    const td_layer *layer = l->layer;
    l->block_count = cut_all(p, layer, registers, NULL);
    l->blocks = td_arena_alloc(p->arena, (size_t)l->block_count, sizeof *l->blocks);
    if (l->blocks == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    cut_all(p, layer, registers, l->blocks);
    size_t pixels = (size_t)ceil_div(layer->shape.h, l->bands) * (size_t)layer->shape.w;
    p->runs_size = pixels + 1 > p->runs_size ? pixels + 1 : p->runs_size;
    for (int b = 0; b < l->block_count; b++) {
        td_block *block = &l->blocks[b];
        if (pack_bias(p, layer, block) != TDSNN_OK || pack_weights(p, l, block) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
        size_t outputs = (size_t)block->registers * (size_t)p->kernels->lanes, sums;
        size_t row = ((size_t)layer->shape.w + 2 * TD_MARGIN) * outputs;
        size_t rows = (size_t)ceil_div(layer->shape.h, l->bands);
        if (!td_size_mul(rows, row, &sums)) {
            return td_error(ctx, TDSNN_ERR_UNSUPPORTED, "layer '%s' is too large to run",
                            layer->name);
        }
        p->sums_size = sums > p->sums_size ? sums : p->sums_size;
    }
    return TDSNN_OK;
}

void td_tree_fill(const tdsnn_code *code, td_tree *tree) {
    td_curve_fill(code, &tree->curve);
    tree->levels = 1;
    while ((1 << tree->levels) <= code->steps) {
        tree->levels++;
    }
    for (int level = 0; level < tree->levels; level++) {
        int step = 1 << (tree->levels - level); /* of thresholds between nodes of one level */
        for (int i = 0; i < 1 << level; i++) {
            int k = i * step + step / 2 - 1;
            tree->nodes[(1 << level) + i] = k < code->steps ? code->thresholds[k] : INFINITY;
        }
    }
    for (int level = 3, row = 0; level < 6; row += 1 << (level++ - 3)) {
        for (int i = 0; i < 1 << level; i++) {
            int below = level - 3; /* the lowest bits tell descendants of one octant apart */
            tree->octants[row + (i & ((1 << below) - 1))][i >> below] =
                level < tree->levels ? tree->nodes[(1 << level) + i] : INFINITY;
        }
    }
}

static tdsnn_status plan_code(td_plan *p, td_layer_plan *l) {
    const td_layer *layer = l->layer;
    float *table = td_arena_alloc(p->arena, 2 * TD_NEGATIVE + TD_SLACK, sizeof *table);
    if (table == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int t = 0; t < TD_NEGATIVE; t++) {
        table[t] = layer->event_values[t];
        table[TD_NEGATIVE + t] = layer->pair ? -layer->negative_values[t] : 0.0f;
    }
    l->table = table;
    td_tree_fill(layer->code, &l->tree);
    return TDSNN_OK;
}

static tdsnn_status plan_layer(tdsnn_context *ctx, td_plan *p, int index, const double *densities) {
    td_layer_plan *l = &p->layers[index];
    const td_layer *layer = &p->network->layers[index];
    l->layer = layer;
    l->density = densities == NULL ? 0.5 : densities[index];
    size_t row = (size_t)layer->shape.w * td_pitch(layer->shape.c);
    p->row_size = row > p->row_size ? row : p->row_size;
    tdsnn_status status = TDSNN_OK;
    if (layer->code != NULL) {
        status = plan_code(p, l);
    }
    if (status != TDSNN_OK || layer->kind == TD_LAYER_INPUT || layer->kind == TD_LAYER_POOL) {
        return status;
    }
    int registers;
    status = plan_routes(ctx, p, l, densities, &registers);
    return status != TDSNN_OK ? status : plan_blocks(ctx, p, l, registers);
}

/* ----------------------------------------------------------------------------------------- memory
 */

static size_t times_of(const td_layer *layer) {
    size_t size = plane_of(layer->shape) * td_pitch(layer->shape.c) * (layer->pair ? 2 : 1);
    return layer->code == NULL ? 0 : (size + TD_SLACK + 63) / 64 * 64;
}

/* The last layer that reads each one. */
static void find_last_readers(const td_network *n, int *last) {
    for (int i = 0; i < n->layer_count; i++) {
        last[i] = i;
        for (int k = 0; k < n->layers[i].synapse_count; k++) {
            last[n->layers[i].synapses[k].source] = i;
        }
    }
}

/* Spike times of layer i go to the lowest place that no layer alive at the same time has. */
static size_t find_place(const td_plan *p, const int *last, int i) {
    const td_network *n = p->network;
    size_t place = 0, size = times_of(&n->layers[i]);
    for (bool moved = true; moved;) {
        moved = false;
        for (int k = 0; k < i; k++) {
            size_t start = p->layers[k].times, end = start + times_of(&n->layers[k]);
            if (last[k] >= i && start < place + size && place < end) {
                place = end;
                moved = true;
            }
        }
    }
    return place;
}

static tdsnn_status plan_times(tdsnn_context *ctx, td_plan *p) {
    int count = p->network->layer_count;
    int *last = td_alloc(ctx, (size_t)count, sizeof *last);
    if (last == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    find_last_readers(p->network, last);
    for (int i = 0; i < count; i++) {
        p->layers[i].times = find_place(p, last, i);
        size_t end = p->layers[i].times + times_of(&p->network->layers[i]);
        p->times_size = end > p->times_size ? end : p->times_size;
    }
    td_free(last);
    return TDSNN_OK;
}

static tdsnn_status fill(tdsnn_context *ctx, td_plan *p, const double *densities) {
    p->arena = td_arena_create(ctx);
    if (p->arena == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    p->layers = td_arena_alloc(p->arena, (size_t)p->network->layer_count, sizeof *p->layers);
    tdsnn_status status = p->layers == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int i = 0; i < p->network->layer_count && status == TDSNN_OK; i++) {
        status = plan_layer(ctx, p, i, densities);
    }
    return status != TDSNN_OK ? status : plan_times(ctx, p);
}

tdsnn_status td_plan_create(tdsnn_context *ctx, const td_network *network,
                            const td_kernels *kernels, const double *densities, td_plan **plan) {
    td_plan *p = td_alloc(ctx, 1, sizeof *p);
    if (p == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    p->network = network;
    p->kernels = kernels;
    tdsnn_status status = fill(ctx, p, densities);
    if (status != TDSNN_OK) {
        td_plan_destroy(p);
        return status;
    }
    *plan = p;
    return TDSNN_OK;
}

void td_plan_destroy(td_plan *p) {
    if (p != NULL) {
        td_arena_destroy(p->arena);
        td_free(p);
    }
}

const char *td_plan_kernels(const td_plan *p) {
    return p->kernels->name;
}

td_plan_row td_plan_describe(const td_plan *p, int layer, int index) {
    const td_layer_plan *l = &p->layers[layer];
    const td_route *route = &l->routes[index];
    return (td_plan_row){.form = route->form,
                         .outputs = l->blocks[0].registers * p->kernels->lanes,
                         .density = p->layers[route->synapses->source].density,
                         .cycles = l->cycles[index]};
}

int td_layer_bands(const td_layer_plan *l, int threads) {
    int bands = l->by_rows ? ceil_div(l->layer->shape.h, l->band_rows) : 0;
    if (threads == 1 || bands == 0) {
        return bands;
    }
    int least = l->lists ? threads * LEAST_ROWS : threads; /* rows at borders are listed twice */
    if ((bands < threads && l->weight_bytes > SHARED_WEIGHTS) || l->layer->shape.h < least) {
        return 0;
    }
    return ceil_div(bands, threads) * threads; /* so that they end together */
}

td_places td_plan_whole(const td_plan *p, int threads) {
    td_places most = {0};
    for (int i = 0; i < p->network->layer_count; i++) {
        if (td_layer_bands(&p->layers[i], threads) == 0) {
            grow(&most, &p->layers[i].whole);
        }
    }
    return most;
}

static size_t bytes_of(const td_places *n) {
    return n->values * sizeof(float) + n->flat + (n->events + n->starts) * sizeof(uint32_t);
}

size_t td_plan_session_bytes(const td_plan *p, int threads) {
    td_places whole = td_plan_whole(p, threads);
    size_t own = bytes_of(&p->band) + (p->sums_size + 2 * p->row_size) * sizeof(float) +
                 2 * p->runs_size * sizeof(td_run) + p->lengths_size * sizeof(uint32_t);
    return p->times_size + bytes_of(&whole) + (size_t)threads * own;
}

size_t td_plan_weight_bytes(const td_plan *p) {
    return p->weight_bytes;
}
