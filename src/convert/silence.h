/* Sparser by choice [X]: the first thresholds of hidden layers are raised, each layer's by its own
 * share, as far as the answers on the calibration data allow. */
#ifndef TD_CONVERT_SILENCE_H
#define TD_CONVERT_SILENCE_H

#include "convert/attempt.h"

/* What it came to, on the samples that judge it. */
typedef struct td_silencing {
    size_t samples;
    double points; /* answers that are wrong (not the label or, without labels, the source's) or
                      expected to be, whichever are more: percentage points beyond those without */
    double spikes_before, spikes_after; /* of hidden layers, a calibration sample */
} td_silencing;

/* Replaces the attempt by one with more silent neurons that answers wrongly on at most `points`
 * percentage points more of the samples than the attempt does; leaves it as it is where there is
 * none. More points never give fewer silent neurons. */
tdsnn_status td_silence(tdsnn_context *ctx, const td_calibration *calibration, double points,
                        td_attempt *attempt, td_silencing *result);

#endif
