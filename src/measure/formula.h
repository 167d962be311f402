/* The closed form in double: what the DNN computes before its activation, from spike times. */
#ifndef TD_MEASURE_FORMULA_H
#define TD_MEASURE_FORMULA_H

#include "network/network.h"

/* One neuron's drive and what bounds its rounding errors. A value v is v(T), of a pair v(T+) -
 * negative v(T-), through an average the sum of float(1/N) v over its members. */
typedef struct td_exact_drive {
    double drive;     /* A = b + sum w v over the taps present, v with exact exponentials */
    double magnitude; /* |b| + sum |w| |v|, |v| with the parts of pairs and averages added up */
    double unit;      /* sum |w| s: what spikes at T = 0 would weigh */
    int terms;        /* the taps present, the layer's own sum */
    int inner;        /* roundings that a value read has behind it, but for that of its table */
    int synapses;     /* n, composed, of both halves of pairs */
} td_exact_drive;

/* The drives of a SYNAPSES or READOUT layer whose sources have codes; times by layer as in
 * td_activity.times, drives [value] in C, H, W order: the second neuron of a pair has -A. */
void td_formula_drives(const td_network *network, const td_layer *layer, uint8_t *const *times,
                       td_exact_drive *drives);

/* The spike times of a max-pool: the latest of each window's members present, of the second half of
 * a pair the first; 0 without any. */
void td_formula_pool(const td_layer *layer, const uint8_t *source_times, uint8_t *times);

/* How far a float sum in any order of fused multiply-adds may lie from A:
 * gamma_m (|b| + sum |w| v) + m 2^-150, m = terms + inner + 2, gamma_m = m u / (1 - m u), u =
 * 2^-24. The second term is for sums below the normal numbers, where a rounding is no longer
 * relative. */
double td_formula_float_bound(const td_exact_drive *drive);

/* How far the clock engine's potential may lie from A by its rounding in double, after a window of
 * `window` steps. */
double td_formula_clock_bound(const td_exact_drive *drive, int window);

#endif
