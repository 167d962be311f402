/* Samples that are costly to make, made ahead: while one is worked on, a thread makes those that
 * will be asked for next. */
#ifndef TD_DATA_AHEAD_H
#define TD_DATA_AHEAD_H

#include "base/context.h"

typedef struct td_ahead td_ahead;

/* Makes sample `index`; its values and label. Called by any thread, each with a context of its own.
 */
typedef tdsnn_status (*td_ahead_fn)(tdsnn_context *ctx, const void *source, size_t index,
                                    float *values, int *label);

/* Makes samples 0 .. samples-1 of `size` values by `make`. The thread starts when they are read in
 * order, and keeps 64 MiB at most. Errors: TDSNN_ERR_RUNTIME. Memory: td_ahead_destroy. */
tdsnn_status td_ahead_create(tdsnn_context *ctx, td_ahead_fn make, const void *source,
                             size_t samples, size_t size, td_ahead **ahead);
/* Waits for the sample being made; NULL is fine. */
void td_ahead_destroy(td_ahead *ahead);

/* As `make`: what was made ahead is the same. A sample that could not be is tried again here, so
 * that its error belongs to who asks for it. Threads: safe, any number at once. */
tdsnn_status td_ahead_read(td_ahead *ahead, tdsnn_context *ctx, size_t index, float *values,
                           int *label);

#endif
