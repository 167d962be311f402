/* Mean and standard deviation of channels. */
#ifndef TD_DATA_NORMALISE_H
#define TD_DATA_NORMALISE_H

#include <tdsnn/data.h>

/* values[c] = (values[c] - mean[c]) / std[c] in float, in place; nothing without a normalisation.
 * values: of one sample of the data that `info` tells of, [C][H][W]. */
void td_data_normalise(const tdsnn_data_info *info, float *values);

#endif
