/* The closed form in double: what the DNN computes before its activation, from spike times. */
#ifndef TD_MEASURE_FORMULA_H
#define TD_MEASURE_FORMULA_H

#include "network/network.h"

/* One neuron's drive and what bounds its rounding errors. */
typedef struct td_drive {
    double drive;     /* A = b + sum w v(T) over the taps present, v with exact exponentials */
    double magnitude; /* |b| + sum |w| v(T) */
    double unit;      /* sum |w| s: what a spike at T = 0 would weigh */
    int terms;        /* n: the taps present */
} td_drive;

/* The drives of a SYNAPSES or READOUT layer whose sources have codes; times by layer as in
 * td_activity.times, drives [neuron] in C, H, W order. */
void td_formula_drives(const td_network *network, const td_layer *layer, uint8_t *const *times,
                       td_drive *drives);

/* The spike times of a max-pool: the latest of each window's members present, 0 without any. */
void td_formula_pool(const td_layer *layer, const uint8_t *source_times, uint8_t *times);

/* How far a float sum in any order of fused multiply-adds may lie from A:
 * gamma_m (|b| + sum |w| v), m = n + 2, gamma_m = m u / (1 - m u), u = 2^-24. */
double td_formula_float_bound(const td_drive *drive);

/* How far the clock engine's potential may lie from A by its rounding in double, after a window of
 * `window` steps. */
double td_formula_clock_bound(const td_drive *drive, int window);

#endif
