/* Histograms of drives, and the code of least squared error on them. */
#ifndef TD_CONVERT_SCALE_H
#define TD_CONVERT_SCALE_H

#include <tdsnn/code.h>

#include "base/memory.h"

/* How often each value was met: counts only, so that the order of the samples and the number of
 * threads cannot change it. Bins of positive values are 2^-precision of the value wide. */
typedef struct td_histogram td_histogram;
td_histogram *td_histogram_create(tdsnn_context *ctx, int precision);
void td_histogram_destroy(td_histogram *histogram);

#define TD_FINE_BINS 11  /* of a layer: 1 MiB */
#define TD_COARSE_BINS 5 /* of a channel: 16 KiB, and the best scale to about 1 % */

/* How drives are counted. */
typedef struct td_counting {
    bool absolute; /* |x|, as a pair encodes it, instead of max(x, 0) */
    float cap;     /* larger ones count as this; INFINITY without */
    double unit;   /* x / unit is what is met */
} td_counting;
void td_histogram_add(td_histogram *histogram, const float *values, size_t count, td_counting how);
void td_histogram_merge(td_histogram *into, const td_histogram *from);
/* The smallest value met, 0 if none was negative. */
float td_histogram_min(const td_histogram *histogram);
/* The root of the values' mean square, those that are not positive being 0; 0 for none. */
double td_histogram_rms(const td_histogram *histogram);

/* What a code loses of the values x counted: sum of (x - (v(T(x)) - v_0))^2, and of x^2. At offset
 * 1 v_0 comes on top of every value, and is nothing that another scale would mend. */
typedef struct td_code_error {
    double error, energy;
} td_code_error;
td_code_error td_histogram_error(const td_histogram *histogram, const tdsnn_code *code);

/* How many of the values counted fire at T > 0. */
double td_histogram_spikes(const td_histogram *histogram, const tdsnn_code *code);

/* Raises the thresholds so that values up to a share of the code's largest stay silent [X]. */
void td_silence_code(tdsnn_code *code, double share);

/* Fills the code of least squared error over all scales with no value above `cap`, for the leak,
 * steps, rounding and offset given. Errors: as tdsnn_code_make. */
tdsnn_status td_fit_code(tdsnn_context *ctx, const td_histogram *histogram, double leak, int steps,
                         tdsnn_rounding rounding, int offset, float cap, tdsnn_code *code);

#endif
