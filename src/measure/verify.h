/* The proof on any compiled network and any samples; tdsnn_verify is this on a model and data. */
#ifndef TD_MEASURE_VERIFY_H
#define TD_MEASURE_VERIFY_H

#include "measure/check.h"

/* Puts sample `index` at values, [C][H][W]. Threads: called by several at once. */
typedef tdsnn_status (*td_sample_fn)(tdsnn_context *ctx, const void *user, size_t index,
                                     float *values);

/* As tdsnn_verify; `plan` is what the event engine is checked with. `hook` is called for every
 * layer that each thread is about to step, NULL but in tests. What is found does not depend on the
 * number of threads. */
tdsnn_status td_verify_network(tdsnn_context *ctx, const td_network *network, const td_plan *plan,
                               size_t samples, td_sample_fn read, const void *read_user,
                               td_clock_hook hook, void *hook_user, tdsnn_verify_result **result);

#endif
