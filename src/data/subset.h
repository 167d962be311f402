/* Some samples of a data set. */
#ifndef TD_DATA_SUBSET_H
#define TD_DATA_SUBSET_H

#include <tdsnn/data.h>

/* Samples indices[0 .. count-1] of `whole` as data of their own, in that order; `whole` must
 * outlive it, the indices are copied and must exist. Errors: TDSNN_ERR_RUNTIME.
 * Memory: tdsnn_data_close. */
tdsnn_status td_data_subset(tdsnn_context *ctx, const tdsnn_data *whole, const size_t *indices,
                            size_t count, tdsnn_data **subset);

#endif
