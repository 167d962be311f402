/* The clock engine: LIF neurons stepped through time, literally, in double (docs/neuron.md). It
 * knows weights, arrivals and ticks only, never the encoder. */
#ifndef TD_ENGINE_CLOCK_H
#define TD_ENGINE_CLOCK_H

#include "engine/engine.h"

typedef struct td_clock_mode {
    bool fixed;      /* T_il is the window's length; else the last arrival seen (dynamic) */
    bool all_firing; /* offset 0: neurons at T = 0 send their spike too; offset 1: always so */
} td_clock_mode;

/* What a brute-force counter saw while the neurons were stepped; all of one layer and sample. */
typedef struct td_clock_counts {
    uint64_t adds;  /* of arriving spikes: to V, and with silent zeros to U; of a pool: to V */
    uint64_t leaks; /* accumulation (docs/counts.md) */
    uint64_t tick_adds, tick_leaks;
    uint64_t bias_adds;
    int t_last_in; /* T_il; 0 of a pool */
} td_clock_counts;

/* Whether a layer's inputs are spikes: false for the input layer and behind an analog input. */
bool td_clock_can_step(const td_network *network, int layer);

/* The engine's own compiled copy of one layer (negated and scaled weights, biases, ticks) and the
 * state of its neurons; of one thread. The network may be destroyed before it. */
typedef struct td_clock_layer td_clock_layer;

/* Errors: TDSNN_ERR_UNSUPPORTED where td_clock_can_step is false; TDSNN_ERR_RUNTIME. */
tdsnn_status td_clock_layer_create(tdsnn_context *ctx, const td_network *network, int layer,
                                   td_clock_layer **out);
void td_clock_layer_destroy(td_clock_layer *layer);

/* Steps one layer from the spike times of its sources, `source_times` by layer as in
 * td_activity.times. SYNAPSES and POOL fill times[neuron]; READOUT fills potentials[class],
 * rescaled to the DNN's unit (the logits in double); the other may be NULL. counts may be NULL.
 * Never fails. */
void td_clock_run(td_clock_layer *layer, td_clock_mode mode, uint8_t *const *source_times,
                  uint8_t *times, double *potentials, td_clock_counts *counts);

/* Deliberate faults, so that tests can show that verify fails. */
typedef enum td_clock_fault {
    TD_FAULT_WEIGHT_SIGN, /* place: a weight, [C][Cin/groups][kh][kw], population by population */
    TD_FAULT_WEIGHT_EXPONENT, /* the same; flips the lowest exponent bit: doubles or halves it */
    TD_FAULT_THRESHOLD,       /* place: k; flips the lowest exponent bit of tau_k */
    TD_FAULT_TICK,            /* place: j in 1 .. K-1; w_tick(j) grows by 10 % */
    TD_FAULT_ARRIVAL          /* place: a pre-synaptic neuron, population by population; its spike
                               * arrives one step late */
} td_clock_fault;

/* How many places a fault has in this layer. Places run from 0 to this, less one; TICK's from 1. */
size_t td_clock_places(const td_clock_layer *layer, td_clock_fault fault);
void td_clock_mutate(td_clock_layer *layer, td_clock_fault fault, size_t place);

#endif
