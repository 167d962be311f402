/* The clock engine: LIF neurons stepped through time, literally, in double (SPEC of the neuron in
 * docs/neuron.md). It knows weights, delays and ticks only, never the encoder. */
#ifndef TD_ENGINE_CLOCK_H
#define TD_ENGINE_CLOCK_H

#include "engine/engine.h"

typedef struct td_clock_mode {
    bool fixed;      /* T_il is the window's length; else the last arrival seen (dynamic) */
    bool all_firing; /* offset 0: neurons at T = 0 send their spike too; offset 1: always so */
} td_clock_mode;

/* What a brute-force counter saw while the neurons were stepped; all of one layer and sample. */
typedef struct td_clock_counts {
    uint64_t adds;       /* synaptic adds of arriving spikes, V and U each one */
    uint64_t leaks;      /* accumulation: see docs/counts.md */
    uint64_t tick_adds, tick_leaks;
    uint64_t bias_adds;
    int t_last_in;       /* T_il */
} td_clock_counts;

/* The engine's own compiled copy of one layer: negated and scaled weights, bias weights, tick
 * weights. Tests mutate it. */
typedef struct td_clock_layer td_clock_layer;
tdsnn_status td_clock_layer_create(tdsnn_context *ctx, const td_network *network, int layer,
                                   td_clock_layer **out);
void td_clock_layer_destroy(td_clock_layer *layer);

/* Steps one layer from the spike times of its sources. SYNAPSES and POOL fill times[neuron];
 * READOUT fills potentials[class], rescaled to the DNN's unit (the logits in double).
 * counts may be NULL. */
tdsnn_status td_clock_run(td_clock_layer *layer, td_clock_mode mode, uint8_t *const *source_times,
                          uint8_t *times, double *potentials, td_clock_counts *counts);

/* Deliberate faults, so that tests can show that verify fails. */
typedef enum td_clock_fault {
    TD_FAULT_WEIGHT_SIGN,
    TD_FAULT_WEIGHT_EXPONENT, /* flips the lowest exponent bit */
    TD_FAULT_THRESHOLD,       /* flips an exponent bit of one threshold's tick increments */
    TD_FAULT_TICK,            /* one tick weight by 10 % */
    TD_FAULT_ARRIVAL          /* one pre-synaptic neuron's spike arrives one step late */
} td_clock_fault;
void td_clock_mutate(td_clock_layer *layer, td_clock_fault fault, size_t place);

#endif
