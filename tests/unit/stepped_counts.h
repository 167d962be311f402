/* Counts by brute force, from stepped neurons and taps looked at one by one: what the counter must
 * equal. */
#ifndef STEPPED_COUNTS_H
#define STEPPED_COUNTS_H

#include "engine/clock.h"
#include "measure/counts.h"

/* Whether a value of the source is an event: one of its neurons has T > 0. */
static inline bool is_event(const td_layer *source, const uint8_t *times, size_t place) {
    return times[place] > 0 || (source->pair && times[td_shape_count(source->shape) + place] > 0);
}

/* Events behind place (channel, y, x) of what the synapses see, looked for one by one. */
static inline uint64_t events_behind(const td_layer *source, const td_synapses *s,
                                     const uint8_t *times, int channel, int y, int x) {
    int place = (channel * s->view.h + y) * s->view.w + x, plane = s->averaged.h * s->averaged.w;
    if (!s->averages) {
        return is_event(source, times, (size_t)place);
    }
    int h = source->shape.h, w = source->shape.w, columns = s->average.x.kernel;
    uint64_t events = 0;
    for (int k = 0; k < s->average.y.kernel * columns; k++) {
        int my = td_axis_input(&s->average.y, place % plane / s->averaged.w, k / columns);
        int mx = td_axis_input(&s->average.x, place % s->averaged.w, k % columns);
        if (my >= 0 && my < h && mx >= 0 && mx < w) {
            events += is_event(source, times, (size_t)((place / plane * h + my) * w + mx));
        }
    }
    return events;
}

/* Multiply-adds of the float engine, one population, tap by tap. */
static inline void count_by_looking(const td_network *n, const td_layer *layer,
                                    const td_synapses *s, const td_activity *a, tdsnn_counts *sum) {
    const td_layer *source = &n->layers[s->source];
    const uint8_t *times = a->times[s->source];
    uint64_t fan = (uint64_t)(s->outputs / s->groups);
    int columns = s->window.x.kernel;
    for (int i = s->first_input; i < s->first_input + s->inputs; i++) {
        for (int p = 0; s->averages && p < s->view.h * s->view.w; p++) {
            sum->executed_macs += events_behind(source, s, times, i, p / s->view.w, p % s->view.w);
        }
        for (int p = 0; p < layer->shape.h * layer->shape.w; p++) {
            for (int k = 0; k < s->window.y.kernel * columns; k++) {
                int y = td_axis_input(&s->window.y, p / layer->shape.w, k / columns);
                int x = td_axis_input(&s->window.x, p % layer->shape.w, k % columns);
                if (y >= 0 && y < s->view.h && x >= 0 && x < s->view.w) {
                    sum->executed_macs += events_behind(source, s, times, i, y, x) > 0 ? fan : 0;
                }
            }
        }
    }
}

/* The brute-force counts of one layer, both conventions, added to *sum. */
static inline void count_by_stepping(tdsnn_context *ctx, const td_network *n, int i,
                                     const td_activity *a, tdsnn_counts *sum, uint64_t *t_last_in) {
    const td_layer *layer = &n->layers[i];
    size_t count = td_layer_neurons(layer);
    uint8_t *times = td_alloc(ctx, count, 1);
    double *potentials = td_alloc(ctx, count, sizeof *potentials);
    td_clock_counts silent, firing;
    td_clock_layer *clock;
    td_clock_layer_create(ctx, n, i, &clock);
    td_clock_run(clock, (td_clock_mode){false, false}, a->times, times, potentials, &silent);
    td_clock_run(clock, (td_clock_mode){false, true}, a->times, times, potentials, &firing);
    td_clock_layer_destroy(clock);
    *t_last_in += (uint64_t)silent.t_last_in;
    sum->bias_adds += silent.bias_adds;
    sum->paper_leaks += firing.leaks;
    sum->silent_leaks += silent.leaks;
    if (layer->kind == TD_LAYER_POOL) {
        sum->pool_adds += firing.adds;
    } else {
        sum->paper_adds += firing.adds;
        sum->silent_adds += silent.adds;
        for (int k = 0; k < layer->synapse_count; k++) {
            count_by_looking(n, layer, &layer->synapses[k], a, sum);
        }
    }
    td_free(times);
    td_free(potentials);
}

/* Every count that the stepped neurons produce; the source network's multiply-adds are its graph's.
 * Ticks are compared where the spike times are the network's own, by test_ticks in
 * measure_counts.c. */
static inline bool same_counts(const tdsnn_counts *a, const tdsnn_counts *b) {
    return a->paper_adds == b->paper_adds && a->paper_leaks == b->paper_leaks &&
           a->silent_adds == b->silent_adds && a->silent_leaks == b->silent_leaks &&
           a->bias_adds == b->bias_adds && a->pool_adds == b->pool_adds &&
           a->executed_macs == b->executed_macs;
}

#endif
