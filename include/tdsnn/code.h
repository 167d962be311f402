/* The temporal code: real values as spike times, the stronger the later (reverse coding). */
#ifndef TDSNN_CODE_H
#define TDSNN_CODE_H

#include <tdsnn/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest window: spike times are 0 .. 255 and fit a byte. */
#define TDSNN_MAX_STEPS 255
/* Beyond these a code's thresholds and values run into each other, or out of range, as floats. */
#define TDSNN_MAX_LEAK 65536.0
#define TDSNN_MIN_SCALE 7.8886090522101181e-31 /* 2^-100 */
#define TDSNN_MAX_SCALE 1.2676506002282294e30  /* 2^100 */

/* How the thresholds lie between the values. */
typedef enum tdsnn_rounding {
    TDSNN_ROUND_NEAREST, /* midpoints between codes [X] */
    TDSNN_ROUND_CEIL,    /* the paper's: T(x) = ceil(L ln(x + 1)) [P 10] */
    TDSNN_ROUND_TABLE    /* any finite, non-decreasing thresholds: learned or silenced [X] */
} tdsnn_rounding;

/* One code. A spike at T stands for values[T]; a value x fires at the number of thresholds below
 * it. Thresholds and values are in the layer's own real unit, the scale included. */
typedef struct tdsnn_code {
    float leak;  /* L, time steps */
    int steps;   /* K, 1 .. TDSNN_MAX_STEPS: neurons fire at 0 .. K */
    float scale; /* s: the real value that counts as 1 */
    int offset;  /* 0: values s (exp(T/L) - 1); 1 (the paper): values s exp(T/L) */
    tdsnn_rounding rounding;
    float thresholds[TDSNN_MAX_STEPS]; /* [K], then +inf */
    float values[TDSNN_MAX_STEPS + 1]; /* [K + 1], then the last again */
} tdsnn_code;

/* Makes the tables of a `nearest` or `ceil` code.
 *     tau_k = s (c exp(k/L) - 1),  c = (1 + exp(1/L))/2 (nearest [X]) or 1 + 2^-20 (ceil [P 10])
 *     v_T   = s (exp(T/L) - 1 + offset)  [P 11]
 * L and s are rounded to float first; the rest is computed from the rounded ones in double and
 * stored as float.
 * leak: time steps, > 0, at most TDSNN_MAX_LEAK; steps: 1 .. 255; scale: TDSNN_MIN_SCALE ..
 * TDSNN_MAX_SCALE; offset: 0 or 1; rounding: not TABLE.
 * Errors: TDSNN_ERR_USAGE outside these ranges, or if exp(steps/leak) > 1e6. */
TDSNN_API tdsnn_status tdsnn_code_make(tdsnn_context *ctx, double leak, int steps, double scale,
                                       tdsnn_rounding rounding, int offset, tdsnn_code *code);

/* Checks a code that came from elsewhere: parameters in range, thresholds finite and
 * non-decreasing with +inf behind them, values within 1 float ulp of the formula, and (nearest,
 * ceil) thresholds within 1 float ulp of theirs.
 * Errors: TDSNN_ERR_INPUT naming the first entry that is wrong. */
TDSNN_API tdsnn_status tdsnn_code_check(tdsnn_context *ctx, const tdsnn_code *code);

/* The spike time of x: T(x) = number of k in 0..K-1 with x > tau_k. NaN fires at 0.
 * Exact: compares only, the same on every machine. */
TDSNN_API int tdsnn_code_encode(const tdsnn_code *code, float x);

/* The same for a drive in double. */
TDSNN_API int tdsnn_code_encode_double(const tdsnn_code *code, double x);

/* What a spike at `time` stands for, from the formula in double (values[] is this as float). */
TDSNN_API double tdsnn_code_value(const tdsnn_code *code, int time);

/* The max-pool with a ticking neuron [P 12-14], its members silent at T = 0 (offset 0).
 *
 * The neuron leaks, every member's spike at T > 0 adds -w_k, the inhibition ends at T_il = t_max,
 * and from then on it is ticked with w_tick. It fires exactly at t_max, whatever the other members
 * do, if and only if w_tick / w_k lies in the open interval (or on its lower end)
 *     low  = C N / (exp(t_max/L) - 1)        from all N members at t_max
 *     high = C / (exp((t_max - 1)/L) - 1)    from one alone; +inf at t_max = 1
 * with C = 1 - exp(-1/L).
 *
 * members: N >= 1; leak: L > 0; t_max: the latest member's spike time, 1 .. 255. False, and the
 * outputs untouched, if the interval is empty or an argument out of range. */
TDSNN_API bool tdsnn_pool_tick_range(int members, double leak, int t_max, double *low,
                                     double *high);

/* Whether such a tick weight exists for every t_max in 1 .. steps: N - (N - 1) exp(-(steps - 1)/L)
 * < exp(1/L), which is [P 14] with silent members. It does for every number of steps if L < 1/ln N,
 * and for no larger L. False if an argument is out of range. */
TDSNN_API bool tdsnn_pool_tick_exists(int members, double leak, int steps);

#ifdef __cplusplus
}
#endif
#endif
