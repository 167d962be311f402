#include "engine/event.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "engine/fma_row.h"
#include "engine/plan.h"
#include "engine/team.h"

/* What one thread of a session writes alone. */
typedef struct scratch {
    float *sums;
    float *row; /* two rows of values */
    /* what a band of output rows reads */
    float *values;
    uint32_t *events, *starts;
    td_run *runs, *sorted;
    uint32_t *lengths; /* how many runs have each length, then where those go; 0 in between */
} scratch;

/* Spike times are [H][W][pitch], channels innermost; so are the values that layers read. Neurons
 * are computed block by block (td_block); the sums of a block's neurons over the whole plane are
 * small enough to stay near. Threads share a layer's work by rows and blocks. */
struct td_session {
    const td_plan *plan;
    int threads;
    td_team *team;
    scratch *scratch; /* [threads] */
    uint8_t *times;
    /* of the layer under way */
    uint8_t *flat; /* spike times in the order of a Flatten */
    float *values; /* what its populations' spikes stand for, where they are read densely */
    uint32_t *events, *starts;
    double *seconds; /* [layer_count] or NULL: see td_session_profile */
};

static size_t plane_of(td_shape shape) {
    return (size_t)shape.h * (size_t)shape.w;
}

/* ---------------------------------------------------------------------------------------- sessions
 */

static tdsnn_status fill(tdsnn_context *ctx, td_session *s) {
    const td_plan *p = s->plan;
    s->times = td_alloc(ctx, p->times_size + TD_SLACK, 1);
    td_places whole = td_plan_whole(p, s->threads);
    s->flat = td_alloc(ctx, whole.flat + TD_SLACK, 1);
    s->values = td_alloc(ctx, whole.values + TD_SLACK, sizeof *s->values);
    s->events = td_alloc(ctx, whole.events + TD_SLACK, sizeof *s->events);
    s->starts = td_alloc(ctx, whole.starts, sizeof *s->starts);
    s->scratch = td_alloc(ctx, (size_t)s->threads, sizeof *s->scratch);
    bool made = s->times != NULL && s->flat != NULL && s->values != NULL && s->events != NULL &&
                s->starts != NULL && s->scratch != NULL;
    for (int i = 0; i < s->threads && made; i++) {
        scratch *own = &s->scratch[i];
        own->sums = td_alloc(ctx, p->sums_size + TD_SLACK, sizeof *own->sums);
        own->row = td_alloc(ctx, 2 * p->row_size + TD_SLACK, sizeof *own->row);
        own->runs = td_alloc(ctx, p->runs_size, sizeof *own->runs);
        own->sorted = td_alloc(ctx, p->runs_size, sizeof *own->sorted);
        own->lengths = td_alloc(ctx, p->lengths_size, sizeof *own->lengths);
        own->values = td_alloc(ctx, p->band.values + TD_SLACK, sizeof *own->values);
        own->events = td_alloc(ctx, p->band.events + TD_SLACK, sizeof *own->events);
        own->starts = td_alloc(ctx, p->band.starts, sizeof *own->starts);
        made = own->sums != NULL && own->row != NULL && own->runs != NULL && own->sorted != NULL &&
               own->lengths != NULL && own->values != NULL && own->events != NULL &&
               own->starts != NULL;
    }
    return made ? td_team_create(ctx, s->threads, &s->team) : TDSNN_ERR_RUNTIME;
}

tdsnn_status td_session_create(tdsnn_context *ctx, const td_plan *plan, int threads,
                               td_session **session) {
    td_session *s = td_alloc(ctx, 1, sizeof *s);
    if (s == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    s->plan = plan;
    s->threads = threads;
    if (fill(ctx, s) != TDSNN_OK) {
        td_session_destroy(s);
        return TDSNN_ERR_RUNTIME;
    }
    *session = s;
    return TDSNN_OK;
}

void td_session_destroy(td_session *s) {
    if (s == NULL) {
        return;
    }
    td_team_destroy(s->team);
    for (int i = 0; s->scratch != NULL && i < s->threads; i++) {
        td_free(s->scratch[i].sums);
        td_free(s->scratch[i].row);
        td_free(s->scratch[i].values);
        td_free(s->scratch[i].events);
        td_free(s->scratch[i].starts);
        td_free(s->scratch[i].runs);
        td_free(s->scratch[i].sorted);
        td_free(s->scratch[i].lengths);
    }
    td_free(s->scratch);
    td_free(s->times);
    td_free(s->values);
    td_free(s->flat);
    td_free(s->events);
    td_free(s->starts);
    td_free(s);
}

/* ------------------------------------------------------------------------------- what layers read
 */

/* One row of an analog input, channels innermost. */
static void read_analog(const float *input, td_shape shape, int y, size_t pitch, float *to) {
    for (int c = 0; c < shape.c; c++) {
        const float *from = input + ((size_t)c * (size_t)shape.h + (size_t)y) * (size_t)shape.w;
        for (int x = 0; x < shape.w; x++) {
            to[(size_t)x * pitch + (size_t)c] = from[x];
        }
    }
}

/* Rows y, y + 1, .. of a layer's values, [rows][W][pitch]; one alone of pairs and analog inputs. */
static void read_rows(const td_session *s, const scratch *own, int layer, const float *input, int y,
                      int rows, float *to) {
    const td_layer_plan *l = &s->plan->layers[layer];
    td_shape shape = l->layer->shape;
    size_t pitch = td_pitch(shape.c), row = (size_t)shape.w * pitch, count = (size_t)rows * row;
    if (l->layer->code == NULL) {
        read_analog(input, shape, y, pitch, to);
        return;
    }
    const uint8_t *times = s->times + l->times + (size_t)y * row;
    int steps = l->layer->code->steps;
    s->plan->kernels->decode(l->table, steps, times, to, count);
    if (l->layer->pair) {
        float *negative = own->row;
        s->plan->kernels->decode(l->layer->negative_values, steps, times + (size_t)shape.h * row,
                                 negative, count);
        for (size_t i = 0; i < count; i++) {
            to[i] = to[i] - negative[i];
        }
    }
}

/* The averages of one window, channel by channel: from zero, rows, then columns (reference.c). */
static void average_window(td_fma_row_fn fma_row, const td_synapses *s, td_shape from,
                           const float *values, int y, int x, float *to) {
    size_t pitch = td_pitch(from.c);
    int y0, y1, x0, x1;
    td_axis_taps(&s->average.y, y, from.h, &y0, &y1);
    td_axis_taps(&s->average.x, x, from.w, &x0, &x1);
    float share = td_average_share(s, (y1 - y0) * (x1 - x0));
    memset(to, 0, pitch * sizeof *to);
    for (int ky = y0; ky < y1; ky++) {
        for (int kx = x0; kx < x1; kx++) {
            const float *in =
                values + ((size_t)td_axis_input(&s->average.y, y, ky) * (size_t)from.w +
                          (size_t)td_axis_input(&s->average.x, x, kx)) *
                             pitch;
            fma_row(to, in, share, pitch);
        }
    }
}

static void average_all(const td_kernels *kernels, const td_synapses *s, td_shape from,
                        const float *values, float *to) {
    td_fma_row_fn fma_row = td_fma_row_for(kernels);
    for (int y = 0; y < s->averaged.h; y++) {
        for (int x = 0; x < s->averaged.w; x++, to += td_pitch(from.c)) {
            average_window(fma_row, s, from, values, y, x, to);
        }
    }
}

/* The plane's values in the order of a Flatten: channel, row, column. */
static void flatten(const float *values, td_shape from, float *to) {
    size_t plane = plane_of(from), pitch = td_pitch(from.c);
    for (size_t c = 0; c < (size_t)from.c; c++) {
        for (size_t p = 0; p < plane; p++) {
            *to++ = values[p * pitch + c];
        }
    }
}

/* Values in the order of a Flatten become a picture, its channels innermost. */
static void unflatten(const float *values, td_shape from, td_shape view, float *to) {
    size_t plane = plane_of(from), pitch = td_pitch(from.c), seen = plane_of(view);
    memset(to, 0, seen * td_pitch(view.c) * sizeof *to);
    for (size_t i = 0; i < td_shape_count(view); i++) {
        to[i % seen * td_pitch(view.c) + i / seen] = values[i % plane * pitch + i / plane];
    }
}

/* Whether the view has another order than the values that are there, spike times or averages. */
static bool is_flattened(const td_session *s, const td_route *route) {
    const td_synapses *syn = route->synapses;
    td_shape from = s->plan->network->layers[syn->source].shape;
    return syn->view.flat && plane_of(syn->averages ? syn->averaged : from) > 1;
}

/* Averages, and what stands behind a Flatten: the view, [h][w][td_pitch]; NULL where it is the
 * source's own rows. */
static const float *read_whole(const td_session *s, const scratch *own, const td_route *route,
                               const float *input) {
    const td_synapses *syn = route->synapses;
    td_shape from = s->plan->network->layers[syn->source].shape;
    size_t row = (size_t)from.w * td_pitch(from.c);
    bool flat = is_flattened(s, route);
    bool planes = td_synapses_unflatten(&s->plan->network->layers[syn->source], syn);
    if (!syn->averages && !flat && !planes) {
        return NULL;
    }
    float *values = s->values + route->whole;
    for (int y = 0; y < from.h; y++) {
        read_rows(s, own, syn->source, input, y, 1, values + (size_t)y * row);
    }
    if (syn->averages) {
        float *averages = values + (size_t)from.h * row + TD_SLACK;
        average_all(s->plan->kernels, syn, from, values, averages);
        values = averages;
    }
    if (!flat && !planes) {
        return values;
    }
    float *view = s->values + route->flattened;
    if (flat) {
        flatten(values, syn->averages ? syn->averaged : from, view);
    } else {
        unflatten(values, from, syn->view, view);
    }
    return view;
}

/* Zeros around the view's rows in the rows first .. end - 1, padding counted. */
static void pad(const td_route *route, int first, int end, float *values) {
    int height = route->synapses->view.h;
    size_t row = (size_t)route->width * route->pitch, left = (size_t)route->left * route->pitch;
    size_t inner = (size_t)route->synapses->view.w * route->pitch;
    for (int y = first; y < end; y++) {
        float *at = values + (ptrdiff_t)y * (ptrdiff_t)row;
        bool is_view = y >= route->top && y < route->top + height;
        memset(at, 0, (is_view ? left : row) * sizeof *at);
        if (is_view) {
            memset(at + left + inner, 0, (row - left - inner) * sizeof *at);
        }
    }
}

/* Rows first .. end - 1, padding counted, of what a route reads densely: [height][width][pitch]
 * from `values` on. */
static void read_values(const td_session *s, const scratch *own, const td_route *route,
                        const float *input, int first, int end, float *values) {
    td_shape view = route->synapses->view;
    const float *whole = read_whole(s, own, route, input);
    size_t count = (size_t)view.w * route->pitch;
    int source = route->synapses->source;
    const td_layer *layer = s->plan->layers[source].layer;
    bool side_by_side = route->width == view.w && layer->code != NULL && !layer->pair;
    for (int y = first; y < end; y++) {
        int from = y - route->top;
        ptrdiff_t place = (ptrdiff_t)y * route->width + route->left;
        float *row = values + place * (ptrdiff_t)route->pitch;
        if (from < 0 || from >= view.h) {
            continue;
        }
        if (whole != NULL) {
            memcpy(row, whole + (size_t)from * count, count * sizeof *row);
        } else { /* may write over the beginning of the next row, which comes after it */
            int left = end - y < view.h - from ? end - y : view.h - from;
            int rows = side_by_side ? left : 1;
            read_rows(s, own, source, input, from, rows, row);
            y += rows - 1;
        }
    }
    if (route->height != view.h || route->width != view.w) {
        pad(route, first, end, values);
    }
}

/* ----------------------------------------------------------------------------------------- events
 */

/* The rows of the view that the output rows first .. end - 1 hear. */
static void heard_rows(const td_route *route, int first, int end, int *from, int *to) {
    const td_axis *ys = &route->synapses->window.y;
    int height = route->synapses->view.h;
    int top = td_axis_input(ys, first, 0), bottom = td_axis_input(ys, end - 1, ys->kernel - 1) + 1;
    *from = top < 0 ? 0 : top;
    *to = bottom > height ? height : bottom;
}

/* The lists of a route's rows, from row `first` on. */
typedef struct lists {
    const td_route *route;
    uint32_t *events, *starts;
    int first;
} lists;

/* band: see task. */
static lists lists_of(const td_session *s, const scratch *own, const td_route *route, int band) {
    if (band < 0) {
        return (lists){route, s->events + route->session.events, s->starts + route->session.starts,
                       0};
    }
    lists l = {route, own->events + route->thread.events, own->starts + route->thread.starts, 0};
    int end;
    heard_rows(route, band, band + 1, &l.first, &end);
    return l;
}

static td_event_row events_of(const lists *l, int y, int group, int block) {
    const td_route *route = l->route;
    size_t width = (size_t)route->width, at = (size_t)(y - l->first);
    size_t list = (size_t)group * (size_t)route->blocks + (size_t)block;
    return (td_event_row){l->events + at * td_row_events(route) +
                              list * width * (size_t)route->block,
                          l->starts + (at * td_row_lists(route) + list) * (width + 1)};
}

/* The lists of row y from its spike times. Each list may overwrite the first entries of the next
 * one of the row, which is made after it. */
static void list_row(const td_kernels *kernels, const lists *l, int y, const uint8_t *times,
                     const uint8_t *negative, size_t pitch) {
    const td_route *route = l->route;
    const td_synapses *syn = route->synapses;
    for (int g = 0; g < syn->groups; g++) {
        for (int b = 0; b < route->blocks; b++) {
            td_event_row row = events_of(l, y, g, b);
            int done = b * route->block, left = route->inputs - done;
            size_t first = (size_t)(syn->first_input + g * route->inputs + done);
            td_list_job job = {.times = times + first,
                               .negative = negative == NULL ? NULL : negative + first,
                               .pixel_pitch = pitch,
                               .width = route->width,
                               .channels = left < route->block ? left : route->block,
                               .block = route->block,
                               .events = (uint32_t *)row.events,
                               .starts = (uint32_t *)row.starts};
            if (route->form == TD_FORM_SCATTER) { /* pixels lie close together */
                job.channels = route->width * route->inputs;
                job.width = 1;
            }
            kernels->list(&job);
        }
    }
}

/* The plane's spike times in the order of a Flatten: channel, row, column. */
static void flatten_times(const uint8_t *times, td_shape from, uint8_t *to) {
    size_t plane = plane_of(from), pitch = td_pitch(from.c);
    for (size_t c = 0; c < (size_t)from.c; c++) {
        for (size_t p = 0; p < plane; p++) {
            *to++ = times[p * pitch + c];
        }
    }
}

/* The one list of a view behind a Flatten. */
static void list_flattened(const td_session *s, const lists *l, const uint8_t *times,
                           const uint8_t *negative) {
    const td_route *route = l->route;
    td_shape from = s->plan->network->layers[route->synapses->source].shape;
    int channels = route->synapses->view.c;
    uint8_t *flat = s->flat + route->session.flat, *second = flat + channels + TD_SLACK;
    flatten_times(times, from, flat);
    if (negative != NULL) {
        flatten_times(negative, from, second);
    }
    list_row(s->plan->kernels, l, 0, flat, negative == NULL ? NULL : second, (size_t)channels);
}

/* Whether an output row may hear row y of the view: strides may be wider than kernels. With a
 * dilation there are holes that this does not see. */
static bool is_heard(const td_axis *ys, int y) {
    return (y + ys->pad_begin) % ys->stride < (ys->kernel - 1) * ys->dilation + 1;
}

/* The lists of rows first .. end - 1, as far as they are heard. */
static void list_events(const td_session *s, const lists *l, int first, int end) {
    const td_route *route = l->route;
    const td_layer_plan *source = &s->plan->layers[route->synapses->source];
    td_shape from = source->layer->shape;
    size_t row = (size_t)from.w * td_pitch(from.c), half = (size_t)from.h * row;
    const uint8_t *times = s->times + source->times;
    const uint8_t *negative = source->layer->pair ? times + half : NULL;
    if (is_flattened(s, route)) {
        list_flattened(s, l, times, negative);
        return;
    }
    for (int y = first; y < end; y++) {
        if (!is_heard(&route->synapses->window.y, y)) {
            continue;
        }
        list_row(s->plan->kernels, l, y, times + (size_t)y * row,
                 negative == NULL ? NULL : negative + (size_t)y * row, td_pitch(from.c));
    }
}

/* ------------------------------------------------------------------------------------------- sums
 */

/* One block of neurons under way, or some of its rows. */
typedef struct task {
    const td_session *session;
    const scratch *own;
    const td_layer_plan *layer;
    const td_block *block;
    int first, end;    /* output rows */
    int band;          /* the first row of the band whose values and lists there are; below 0: of
                        * all */
    const float *bias; /* where the sums of the next population begin; NULL: they have begun */
    size_t outputs;    /* registers * lanes: floats from one pixel's sums to the next's */
    size_t row;        /* floats from one row's to the next's */
    float *sums;       /* of the first pixel of row `first` */
} task;

static float *sums_at(const task *t, int y) {
    return t->sums + (size_t)(y - t->first) * t->row;
}

static void begin_row(const task *t, int y) {
    t->session->plan->kernels->fill(t->block->bias, t->block->registers, t->layer->layer->shape.w,
                                    sums_at(t, y));
}

/* Sums that no synapse has reached yet. */
static void start_at_bias(const task *t) {
    const td_layer *layer = t->layer->layer;
    size_t row = (size_t)layer->shape.w * t->outputs;
    for (int y = t->first; y < t->end; y++) {
        if (layer->event_bias_per_neuron) {
            memcpy(sums_at(t, y), t->block->bias + (size_t)y * row, row * sizeof(float));
        } else {
            begin_row(t, y);
        }
    }
}

/* What the spikes of a population stand for. */
static const float *table_of(const task *t, const td_route *route) {
    return t->session->plan->layers[route->synapses->source].table;
}

/* Weights of one block of inputs of a route. */
static size_t block_weights(const task *t, const td_route *route) {
    const td_window *w = &route->synapses->window;
    return (size_t)w->y.kernel * (size_t)w->x.kernel * (size_t)route->block * t->outputs;
}

static lists lists_for(const task *t, const td_route *route) {
    return lists_of(t->session, t->own, route, t->band);
}

/* Where the sums begin: rows that the first row of the kernel does not reach at once, the others
 * with it. */
static void begin_deaf_rows(const task *t, const td_route *route) {
    for (int y = t->first; y < t->end && t->bias != NULL; y++) {
        int input = td_axis_input(&route->synapses->window.y, y, 0);
        if (input < 0 || input >= route->synapses->view.h) {
            begin_row(t, y);
        }
    }
}

/* Puts the task's output rows that input row y reaches into the job; the lowest row of the kernel
 * that reaches one. */
static int find_rows(const task *t, const td_synapses *s, int y, td_slide_job *job) {
    int bottom = y + s->window.y.pad_begin, top = bottom - 2; /* through ky = 0 and 2 */
    int lowest = bottom < t->end ? 0 : bottom - t->end + 1;
    ptrdiff_t left = (s->window.x.pad_begin - 2) * (ptrdiff_t)t->outputs;
    for (int output = top < t->first ? t->first : top; output <= bottom - lowest; output++) {
        job->sums[job->rows++] = sums_at(t, output) + left;
    }
    return lowest;
}

static void slide(const task *t, const td_route *route, const float *weights, int group) {
    const td_synapses *s = route->synapses;
    size_t size = block_weights(t, route);
    const lists l = lists_for(t, route);
    int first, end;
    heard_rows(route, t->first, t->end, &first, &end);
    size_t rows = (size_t)(end - first);
    int width = route->width, pad = s->window.x.pad_begin;
    bool ends = width > 1 && width + pad - 1 == t->layer->layer->shape.w;
    begin_deaf_rows(t, route);
    for (int b = 0; b < route->blocks; b++, weights += size) {
        for (int y = first; y < end; y++) {
            td_slide_job job = {.sum_pitch = t->outputs,
                                .registers = t->block->registers,
                                .width = width,
                                .block = route->block,
                                .deaf_left = pad == 1 ? 0 : -1,
                                .deaf_right = ends ? width - 1 : -1,
                                .row = events_of(&l, y, group, b),
                                .table = table_of(t, route)};
            int lowest = find_rows(t, s, y, &job);
            job.bias = b == 0 && lowest == 0 ? t->bias : NULL;
            job.weights = weights + (size_t)lowest * 3 * t->outputs;
            job.ahead = weights + size + (size_t)(y - first) * size / rows;
            job.ahead_step = size / (rows * (size_t)width);
            t->session->plan->kernels->slide(&job);
        }
    }
}

/* Puts the task's output rows that input row y reaches into the job, which are one at least; the
 * lowest row of the kernel that reaches one. */
static int find_column(const task *t, const td_axis *ys, int y, td_column_job *job) {
    int at = y + ys->pad_begin, lowest = 0;
    for (int ky = ys->kernel - 1; ky >= 0; ky--) {
        int output = (at - ky) / ys->stride;
        if ((at - ky) % ys->stride == 0 && output >= t->first && output < t->end) {
            job->sums[job->rows++] = sums_at(t, output);
            lowest = ky;
        }
    }
    return lowest;
}

static void column(const task *t, const td_route *route, const float *weights, int group) {
    const td_axis *ys = &route->synapses->window.y, *xs = &route->synapses->window.x;
    size_t size = block_weights(t, route);
    const lists l = lists_for(t, route);
    int first, end;
    heard_rows(route, t->first, t->end, &first, &end);
    size_t rows = (size_t)(end - first), pixels = (size_t)t->layer->layer->shape.w;
    begin_deaf_rows(t, route);
    for (int b = 0; b < route->blocks; b++, weights += size) {
        for (int y = first; y < end; y++) {
            if (!is_heard(ys, y)) {
                continue;
            }
            td_column_job job = {.registers = t->block->registers,
                                 .pixels = (int)pixels,
                                 .step = xs->stride,
                                 .pad = xs->pad_begin,
                                 .taps = xs->kernel,
                                 .width = route->width,
                                 .block = route->block,
                                 .row = events_of(&l, y, group, b),
                                 .kernel_rows = ys->kernel,
                                 .ahead = weights + size + (size_t)(y - first) * size / rows,
                                 .ahead_step = size / (rows * pixels),
                                 .table = table_of(t, route)};
            int lowest = find_column(t, ys, y, &job);
            job.bias = b == 0 && lowest == 0 ? t->bias : NULL;
            job.weights = weights + (size_t)td_column_row(ys, lowest) * t->outputs;
            t->session->plan->kernels->column(&job);
        }
    }
}

/* The runs of kernel row k onto the task's pixels, with or without the empty ones, and how many
 * have each length; their number. */
static size_t find_runs(const task *t, const lists *l, int group, int block, int k, bool empty) {
    const td_route *route = l->route;
    const td_synapses *s = route->synapses;
    const td_axis *ys = &s->window.y, xs = s->window.x;
    const int width = route->width, pixels = t->layer->layer->shape.w, pitch = route->block;
    td_run *runs = t->own->runs;
    uint32_t *lengths = t->own->lengths;
    size_t count = 0;
    for (int y = t->first; y < t->end; y++) {
        int input = td_axis_input(ys, y, k);
        if (input < 0 || input >= s->view.h) {
            continue;
        }
        td_event_row row = events_of(l, input, group, block);
        uint32_t first = (uint32_t)(row.events - l->events);
        uint32_t sums = (uint32_t)((size_t)(y - t->first) * t->row);
        for (int x = 0; x < pixels; x++, sums += (uint32_t)t->outputs) {
            int left = x * xs.stride - xs.pad_begin, right = left + xs.kernel;
            int from = left < 0 ? 0 : left > width ? width : left;
            int to = right > width ? width : right < from ? from : right;
            uint32_t start = row.starts[from], length = row.starts[to] - start;
            runs[count] = (td_run){sums, first + start, length, left * pitch};
            lengths[length]++;
            count += empty || length > 0;
        }
    }
    lengths[0] = empty ? lengths[0] : 0;
    return count;
}

/* Runs of one length together: the processor then foresees where each ends. */
static void sort_runs(const task *t, size_t count) {
    const td_run *runs = t->own->runs;
    td_run *sorted = t->own->sorted;
    uint32_t *at = t->own->lengths;
    uint32_t length = 0;
    for (size_t sum = 0; sum < count; length++) {
        uint32_t here = at[length];
        at[length] = (uint32_t)sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[at[runs[i].count]++] = runs[i];
    }
    memset(at, 0, (size_t)length * sizeof *at);
}

/* Kernel row after kernel row, so that the weights of one stay near while all pixels use them. */
static void gather(const task *t, const td_route *route, const float *weights, int group) {
    const lists l = lists_for(t, route);
    const td_window *w = &route->synapses->window;
    size_t size = block_weights(t, route) / (size_t)w->y.kernel; /* of a kernel row */
    td_gather_job job = {.sums = t->sums,
                         .registers = t->block->registers,
                         .runs = t->own->sorted,
                         .far = plane_of(t->layer->layer->shape) == 1,
                         .events = l.events,
                         .table = table_of(t, route)};
    begin_deaf_rows(t, route);
    for (int b = 0; b < route->blocks; b++) {
        for (int k = 0; k < w->y.kernel; k++, weights += size) {
            job.weights = weights;
            job.bias = b == 0 && k == 0 ? t->bias : NULL;
            job.run_count = find_runs(t, &l, group, b, k, job.bias != NULL);
            sort_runs(t, job.run_count);
            job.ahead = weights + size;
            job.ahead_step = job.far ? 0 : size / (job.run_count + 1);
            t->session->plan->kernels->gather(&job);
        }
    }
}

static void scatter(const task *t, const td_route *route, const float *weights, int group) {
    const td_synapses *s = route->synapses;
    const td_axis *ys = &s->window.y, *xs = &s->window.x;
    const lists l = lists_for(t, route);
    int first, end;
    heard_rows(route, t->first, t->end, &first, &end);
    td_scatter_job job = {.sum_pitch = t->outputs,
                          .row_pitch = t->row,
                          .registers = t->block->registers,
                          .channels = route->inputs,
                          .taps = xs->kernel,
                          .weights = weights,
                          .weight_pitch = (size_t)xs->kernel * t->outputs,
                          .kernel_rows = ys->kernel,
                          .table = table_of(t, route)};
    for (int y = first; y < end; y++) {
        int top = y + ys->pad_begin; /* the output row of kernel row 0 */
        job.first_row = top >= t->end ? top - t->end + 1 : 0;
        job.end_row = top - t->first + 1 < ys->kernel ? top - t->first + 1 : ys->kernel;
        job.sums = sums_at(t, top - job.first_row) +
                   (xs->pad_begin - xs->kernel + 1) * (ptrdiff_t)t->outputs;
        job.row = events_of(&l, y, group, 0);
        t->session->plan->kernels->scatter(&job);
    }
}

/* Where row 0 of a band's values would lie, padding counted. */
static float *band_values(const scratch *own, const td_route *route, int band) {
    ptrdiff_t row = (ptrdiff_t)band * route->synapses->window.y.stride;
    return own->values + route->thread.values - row * route->width * (ptrdiff_t)route->pitch;
}

/* Where a window's first tap of output row y lies, padding included. */
static const float *first_tap(const task *t, const td_route *route, int y) {
    const float *values = t->band < 0 ? t->session->values + route->session.values
                                      : band_values(t->own, route, t->band);
    ptrdiff_t row = (ptrdiff_t)y * route->synapses->window.y.stride;
    return values + row * route->width * (ptrdiff_t)route->pitch;
}

static void dense(const task *t, const td_route *route, const float *weights, int group) {
    const td_synapses *s = route->synapses;
    const td_axis *ys = &s->window.y, *xs = &s->window.x;
    for (int y = t->first; y < t->end; y++) {
        td_dense_job job = {.sums = sums_at(t, y),
                            .bias = t->bias,
                            .sum_pitch = t->outputs,
                            .pixels = t->layer->layer->shape.w,
                            .registers = t->block->registers,
                            .values =
                                first_tap(t, route, y) + s->first_input + group * route->inputs,
                            .pixel_pitch = (size_t)xs->stride * route->pitch,
                            .tap_pitch = (size_t)xs->dilation * route->pitch,
                            .row_pitch = (size_t)ys->dilation * (size_t)route->width * route->pitch,
                            .rows = ys->kernel,
                            .taps = xs->kernel,
                            .inputs = route->inputs,
                            .block = route->block,
                            .weights = weights};
        if (job.tap_pitch == (size_t)route->inputs && route->blocks == 1) {
            job.inputs = job.block = xs->kernel * route->inputs; /* taps side by side are one run */
            job.taps = 1;
        }
        t->session->plan->kernels->dense(&job);
    }
}

static void channelwise(const task *t, const td_route *route, const float *weights) {
    const td_synapses *s = route->synapses;
    const td_axis *ys = &s->window.y, *xs = &s->window.x;
    int input = s->first_input + t->block->first - s->first_output;
    for (int y = t->first; y < t->end; y++) {
        td_channel_job job = {.sums = sums_at(t, y),
                              .bias = t->bias,
                              .sum_pitch = t->outputs,
                              .pixels = t->layer->layer->shape.w,
                              .registers = t->block->registers,
                              .values = first_tap(t, route, y) + input,
                              .pixel_pitch = (size_t)xs->stride * route->pitch,
                              .tap_pitch = (size_t)xs->dilation * route->pitch,
                              .row_pitch =
                                  (size_t)ys->dilation * (size_t)route->width * route->pitch,
                              .rows = ys->kernel,
                              .taps = xs->kernel,
                              .weights = weights};
        t->session->plan->kernels->channels(&job);
    }
}

static void add_population(const task *t, int index) {
    const td_route *route = &t->layer->routes[index];
    const float *weights = t->block->weights[index];
    int group = t->block->groups[index];
    if (weights == NULL) {
        return;
    }
    switch (route->form) {
    case TD_FORM_SLIDE:
        slide(t, route, weights, group);
        break;
    case TD_FORM_COLUMN:
        column(t, route, weights, group);
        break;
    case TD_FORM_GATHER:
        gather(t, route, weights, group);
        break;
    case TD_FORM_SCATTER:
        scatter(t, route, weights, group);
        break;
    case TD_FORM_DENSE:
        dense(t, route, weights, group);
        break;
    default:
        channelwise(t, route, weights);
        break;
    }
}

/* ----------------------------------------------------------------------------------------- finish
 */

/* Spike times of the task's sums. Behind the last channel, where the pitch has room, those of the
 * lanes that are no neurons too: whole registers are quicker. */
static void encode_rows(const task *t, uint8_t *times) {
    const td_kernels *kernels = t->session->plan->kernels;
    const td_layer_plan *l = t->layer;
    size_t pitch = td_pitch(l->layer->shape.c), row = (size_t)l->layer->shape.w * pitch;
    bool last = t->block->first + t->block->outputs == l->layer->shape.c;
    bool room = last && (size_t)t->block->first + t->outputs <= pitch;
    int channels = room ? (int)t->outputs : t->block->outputs, pixels = l->layer->shape.w;
    if ((size_t)channels == t->outputs && (size_t)channels == pitch) { /* pixels side by side */
        kernels->encode(&l->tree, t->sums, t->row, t->end - t->first, channels * pixels, times,
                        row);
        return;
    }
    for (int y = t->first; y < t->end; y++, times += row) {
        kernels->encode(&l->tree, sums_at(t, y), t->outputs, pixels, channels, times, pitch);
    }
}

static void encode_block(const task *t) {
    const td_layer *layer = t->layer->layer;
    td_shape shape = layer->shape;
    size_t row = (size_t)shape.w * td_pitch(shape.c), neurons = (size_t)shape.w * t->outputs;
    uint8_t *times = t->session->times + t->layer->times + t->block->first;
    times += (size_t)t->first * row;
    encode_rows(t, times);
    if (!layer->pair) {
        return;
    }
    for (int y = t->first; y < t->end; y++) {
        float *sums = sums_at(t, y);
        for (size_t i = 0; i < neurons; i++) {
            sums[i] = -sums[i];
        }
    }
    encode_rows(t, times + (size_t)shape.h * row);
}

/* The 0.0f makes of a logit of -0 a +0. */
static void read_out(const task *t, float *logits) {
    td_shape shape = t->layer->layer->shape;
    for (int c = 0; c < t->block->outputs; c++) {
        float *to = logits + (size_t)(t->block->first + c) * plane_of(shape) +
                    (size_t)t->first * (size_t)shape.w;
        for (int y = t->first; y < t->end; y++) {
            for (int x = 0; x < shape.w; x++) {
                *to++ = sums_at(t, y)[(size_t)x * t->outputs + (size_t)c] + 0.0f;
            }
        }
    }
}

/* Whether a window's taps reach all outputs of an axis. */
static bool reaches_all(const td_axis *a, int outputs, int inputs) {
    return outputs <= inputs + a->pad_begin;
}

/* Whether the first population can take the bias into its own sums: it writes all of them. */
static bool begins_at_bias(const td_layer_plan *l, const td_block *block) {
    if (l->route_count == 0 || block->weights[0] == NULL || l->layer->event_bias_per_neuron) {
        return false;
    }
    const td_synapses *s = l->routes[0].synapses;
    switch (l->routes[0].form) {
    case TD_FORM_SCATTER:
        return false;
    case TD_FORM_SLIDE:
        return reaches_all(&s->window.y, l->layer->shape.h, s->view.h) &&
               reaches_all(&s->window.x, l->layer->shape.w, s->view.w);
    default:
        return true;
    }
}

/* Output rows first .. end - 1 of one block; band: see task. */
static void run_block(const td_session *s, const scratch *own, const td_layer_plan *l, int index,
                      int band, int first, int end, float *logits) {
    const td_block *block = &l->blocks[index];
    td_shape shape = l->layer->shape;
    task t = {.session = s,
              .own = own,
              .layer = l,
              .block = block,
              .band = band,
              .first = first,
              .end = end};
    t.outputs = (size_t)block->registers * (size_t)s->plan->kernels->lanes;
    t.row = ((size_t)shape.w + 2 * TD_MARGIN) * t.outputs;
    t.sums = own->sums + TD_MARGIN * t.outputs;
    if (begins_at_bias(l, block)) {
        t.bias = block->bias;
    } else {
        start_at_bias(&t);
    }
    for (int k = 0; k < l->route_count; k++, t.bias = NULL) {
        add_population(&t, k);
    }
    if (l->layer->kind == TD_LAYER_READOUT) {
        read_out(&t, logits);
    } else {
        encode_block(&t);
    }
}

/* ----------------------------------------------------------------------------------------- layers
 */

/* The members of one window of a max-pool, for 16 channels. */
typedef struct members {
    const uint8_t *corner;
    size_t row, column; /* bytes from one member to the next below, and beside it */
    int rows, columns;
} members;

/* The latest of the members' times; 0 if there are none. */
static void latest(const members *m, uint8_t *to) {
    uint8_t best[TD_CHANNEL_PITCH] = {0};
    for (int ky = 0; ky < m->rows; ky++) {
        for (int kx = 0; kx < m->columns; kx++) {
            const uint8_t *in = m->corner + (size_t)ky * m->row + (size_t)kx * m->column;
            for (int c = 0; c < TD_CHANNEL_PITCH; c++) {
                best[c] = in[c] > best[c] ? in[c] : best[c];
            }
        }
    }
    memcpy(to, best, sizeof best);
}

/* The first of them. */
static void first_of(const members *m, uint8_t *to) {
    uint8_t best[TD_CHANNEL_PITCH];
    memset(best, m->rows > 0 && m->columns > 0 ? 255 : 0, sizeof best);
    for (int ky = 0; ky < m->rows; ky++) {
        for (int kx = 0; kx < m->columns; kx++) {
            const uint8_t *in = m->corner + (size_t)ky * m->row + (size_t)kx * m->column;
            for (int c = 0; c < TD_CHANNEL_PITCH; c++) {
                best[c] = in[c] < best[c] ? in[c] : best[c];
            }
        }
    }
    memcpy(to, best, sizeof best);
}

/* All channels of one output pixel. What is written behind the last one belongs to the next pixel,
 * which comes after it. */
static void pool_pixel(const td_synapses *s, const uint8_t *times, size_t pitch, int y, int x,
                       bool first, uint8_t *to) {
    int y0, y1, x0, x1;
    td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
    td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
    size_t row = (size_t)s->view.w * pitch;
    members m = {.row = (size_t)s->window.y.dilation * row,
                 .column = (size_t)s->window.x.dilation * pitch,
                 .rows = y1 - y0,
                 .columns = x1 - x0};
    size_t corner = m.rows > 0 && m.columns > 0
                        ? (size_t)td_axis_input(&s->window.y, y, y0) * row +
                              (size_t)td_axis_input(&s->window.x, x, x0) * pitch
                        : 0;
    for (int c = 0; c < s->inputs; c += TD_CHANNEL_PITCH) {
        m.corner = times + corner + c;
        if (first) {
            first_of(&m, to + c);
        } else {
            latest(&m, to + c);
        }
    }
}

static void run_pool(const td_session *s, const td_layer_plan *l, int first, int end) {
    const td_synapses *syn = &l->layer->synapses[0];
    const td_layer_plan *source = &s->plan->layers[syn->source];
    td_shape shape = l->layer->shape;
    size_t from_pitch = td_pitch(source->layer->shape.c), pitch = td_pitch(shape.c);
    for (int half = 0; half < (l->layer->pair ? 2 : 1); half++) {
        const uint8_t *from = s->times + source->times + syn->first_input +
                              (size_t)half * plane_of(source->layer->shape) * from_pitch;
        uint8_t *to = s->times + l->times +
                      ((size_t)half * plane_of(shape) + (size_t)first * (size_t)shape.w) * pitch;
        for (int y = first; y < end; y++) {
            for (int x = 0; x < shape.w; x++, to += pitch) {
                pool_pixel(syn, from, from_pitch, y, x, half == 1, to);
            }
        }
    }
}

static bool is_silent_below_zero(const td_layer *layer) {
    return layer->code->thresholds[0] >= 0.0f;
}

/* The sensor: the sample's values become spike times, some of one channel after the other, and
 * those go where they belong, channels innermost. Of a pair the first neuron sees the values, the
 * second the negated ones: where the code is silent below zero, one code of the magnitude serves
 * both. */
static void encode_input(const td_session *s, const scratch *own, const td_layer_plan *l,
                         const float *input, int first, int end, bool negative) {
    td_shape shape = l->layer->shape;
    size_t pitch = td_pitch(shape.c), plane = plane_of(shape), most = s->plan->row_size;
    bool both = l->layer->pair && !negative && is_silent_below_zero(l->layer);
    float *values = own->row; /* kernels read more than there is: no more than this has */
    uint8_t *line = (uint8_t *)(own->row + most);
    uint8_t *seconds = s->times + l->times + plane * pitch;
    uint8_t *times = negative ? seconds : s->times + l->times;
    size_t last = (size_t)end * (size_t)shape.w;
    for (size_t c = 0; c < (size_t)shape.c; c++) {
        for (size_t p = (size_t)first * (size_t)shape.w; p < last; p += most) {
            size_t count = last - p < most ? last - p : most;
            const float *from = input + c * plane + p;
            for (size_t i = 0; i < count; i++) {
                values[i] = both ? fabsf(from[i]) : negative ? -from[i] : from[i];
            }
            s->plan->kernels->encode(&l->tree, values, count, 1, (int)count, line, count);
            for (size_t i = 0; i < count; i++) {
                size_t at = (p + i) * pitch + c;
                times[at] = !both || from[i] > 0.0f ? line[i] : 0;
                if (both) {
                    seconds[at] = from[i] < 0.0f ? line[i] : 0;
                }
            }
        }
    }
}

/* ----------------------------------------------------------------------------------------- threads
 */

/* A step of a layer, cut into items by rows, and within these by routes or blocks: threads find in
 * their caches the rows that they wrote there themselves. */
typedef struct step {
    const td_session *session;
    const td_layer_plan *layer;
    td_activity *activity;
    int parts, each; /* runs of rows, and items of each */
} step;

/* Where part `part` of so many rows begins. */
static int part_start(const step *p, int rows, int part) {
    return (int)((int64_t)rows * part / p->parts);
}

/* Whether threads may write different rows of values at the same time: those that are decoded whole
 * do not write over each other's beginnings. */
static bool has_own_rows(const td_kernels *kernels, td_shape shape) {
    return (size_t)shape.w * td_pitch(shape.c) % (size_t)kernels->decoded == 0;
}

/* Spike times from the sample, or from those of a pool's members. */
static void times_item(void *arg, int part, int worker) {
    const step *p = arg;
    const td_session *s = p->session;
    const td_layer_plan *l = p->layer;
    int rows = l->layer->shape.h;
    int first = part_start(p, rows, part), end = part_start(p, rows, part + 1);
    if (l->layer->kind == TD_LAYER_POOL) {
        run_pool(s, l, first, end);
        return;
    }
    encode_input(s, &s->scratch[worker], l, p->activity->input, first, end, false);
    if (l->layer->pair && !is_silent_below_zero(l->layer)) {
        encode_input(s, &s->scratch[worker], l, p->activity->input, first, end, true);
    }
}

/* Whether the rows that a route reads can be read one by one. */
static bool reads_rows(const td_session *s, const td_route *route) {
    const td_synapses *syn = route->synapses;
    if (is_flattened(s, route) || syn->averages ||
        td_synapses_unflatten(&s->plan->network->layers[syn->source], syn)) {
        return false;
    }
    return td_form_lists(route->form) || has_own_rows(s->plan->kernels, route->synapses->view);
}

/* What a route reads. */
static void route_item(void *arg, int index, int worker) {
    const step *p = arg;
    const td_session *s = p->session;
    const td_route *route = &p->layer->routes[index % p->each];
    int part = index / p->each, rows = route->synapses->view.h;
    int first = part_start(p, rows, part), end = part_start(p, rows, part + 1);
    if (!reads_rows(s, route)) { /* then all in the first part */
        first = part == 0 ? 0 : rows;
        end = rows;
    }
    if (first == end) {
        return;
    }
    if (td_form_lists(route->form)) {
        const lists l = lists_of(s, NULL, route, -1);
        list_events(s, &l, first, end);
    } else {
        /* and the padding above the first row and below the last */
        int from = first == 0 ? 0 : first + route->top;
        int to = end == rows ? route->height : end + route->top;
        read_values(s, &s->scratch[worker], route, p->activity->input, from, to,
                    s->values + route->session.values);
    }
}

/* What a route's output rows first .. end - 1 hear. */
static void read_band(const step *p, const scratch *own, const td_route *route, int first,
                      int end) {
    const td_session *s = p->session;
    int from, to;
    if (td_form_lists(route->form)) {
        const lists l = lists_of(s, own, route, first);
        heard_rows(route, first, end, &from, &to);
        list_events(s, &l, from, to);
    } else { /* padding included */
        const td_axis *ys = &route->synapses->window.y;
        from = first * ys->stride;
        to = (end - 1) * ys->stride + (ys->kernel - 1) * ys->dilation + 1;
        read_values(s, own, route, p->activity->input, from, to, band_values(own, route, first));
    }
}

/* A band of rows, from spike times to spike times. Without events the sums of one row are encoded
 * at once. */
static void band_item(void *arg, int part, int worker) {
    const step *p = arg;
    const td_session *s = p->session;
    const td_layer_plan *l = p->layer;
    const scratch *own = &s->scratch[worker];
    int rows = l->layer->shape.h;
    int first = part_start(p, rows, part), end = part_start(p, rows, part + 1);
    int each = l->lists ? end - first : 1;
    for (int k = 0; k < l->route_count && first < end; k++) {
        read_band(p, own, &l->routes[k], first, end);
    }
    for (int b = 0; b < l->block_count; b++) {
        for (int y = first; y < end; y += each) {
            run_block(s, own, l, b, first, y, y + each, p->activity->logits);
        }
    }
}

static void block_item(void *arg, int index, int worker) {
    const step *p = arg;
    int part = index / p->each, rows = p->layer->layer->shape.h;
    run_block(p->session, &p->session->scratch[worker], p->layer, index % p->each, -1,
              part_start(p, rows, part), part_start(p, rows, part + 1), p->activity->logits);
}

/* Into how many runs of rows the blocks of a layer are cut: so many that the sums of one stay near,
 * and so that the threads end together. Those that share rows write to the same cache lines, which
 * costs about a fifth; who goes by input rows reads one more at each border. */
static int block_parts(const td_session *s, const td_layer_plan *l) {
    td_form form = l->routes[0].form;
    bool by_inputs = form == TD_FORM_SLIDE || form == TD_FORM_COLUMN || form == TD_FORM_SCATTER;
    double border = by_inputs ? 1.0 : 0.0, least = -1.0;
    int rows = l->layer->shape.h, best = l->bands;
    for (int parts = l->bands; parts <= s->threads && parts <= rows; parts++) {
        int rounds = (l->block_count * parts + s->threads - 1) / s->threads;
        double time = rounds * ((double)rows / parts + (parts > 1 ? border : 0.0));
        time *= parts < s->threads ? 1.2 : 1.0;
        if (least < 0.0 || time < least) {
            best = parts;
            least = time;
        }
    }
    return best;
}

static void run_step(step *p, int parts, int each, td_item_fn item) {
    p->parts = parts;
    p->each = each;
    td_team_run(p->session->team, parts * each, item, p);
}

static void run_layer(const td_session *s, const td_layer_plan *l, td_activity *a) {
    step p = {.session = s, .layer = l, .activity = a};
    if (l->layer->kind == TD_LAYER_POOL) {
        run_step(&p, td_pitch(l->layer->shape.c) < TD_CHANNEL_PITCH ? 1 : s->threads, 1,
                 times_item);
    } else if (l->layer->kind != TD_LAYER_INPUT && td_layer_bands(l, s->threads) > 0) {
        run_step(&p, td_layer_bands(l, s->threads), 1, band_item);
    } else if (l->layer->kind != TD_LAYER_INPUT) {
        run_step(&p, s->threads, l->route_count, route_item);
        run_step(&p, block_parts(s, l), l->block_count, block_item);
    } else if (l->layer->code != NULL) {
        run_step(&p, s->threads, 1, times_item);
    }
}

/* Spike times in the order of the file, [C][H][W]. */
static void keep(const td_session *s, const td_layer_plan *l, uint8_t *to) {
    td_shape shape = l->layer->shape;
    size_t plane = plane_of(shape), pitch = td_pitch(shape.c);
    for (int half = 0; half < (l->layer->pair ? 2 : 1); half++) {
        const uint8_t *from = s->times + l->times + (size_t)half * plane * pitch;
        for (size_t c = 0; c < (size_t)shape.c; c++) {
            for (size_t p = 0; p < plane; p++) {
                *to++ = from[p * pitch + c];
            }
        }
    }
}

void td_session_profile(td_session *s, double *seconds) {
    s->seconds = seconds;
}

void td_session_run(td_session *s, td_activity *a, bool keep_times) {
    for (int i = 0; i < s->plan->network->layer_count; i++) {
        const td_layer_plan *l = &s->plan->layers[i];
        double start = s->seconds == NULL ? 0.0 : td_now();
        run_layer(s, l, a);
        if (s->seconds != NULL) {
            s->seconds[i] += td_now() - start;
        }
        if (keep_times && a->times[i] != NULL) {
            keep(s, l, a->times[i]);
        }
    }
}
