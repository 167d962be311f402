/* Counts spikes, operations and latency of a spiking network from its spike times alone; the
 * definitions are in docs/counts.md. */
#ifndef TD_MEASURE_COUNTS_H
#define TD_MEASURE_COUNTS_H

#include <tdsnn/eval.h>

#include "engine/engine.h"

/* One thread's sums. The network must outlive it. */
typedef struct td_counter td_counter;
tdsnn_status td_counter_create(tdsnn_context *ctx, const td_network *network, td_counter **counter);
void td_counter_destroy(td_counter *counter);

/* Adds one sample that an engine has run. */
void td_counter_add(td_counter *counter, const td_activity *activity);

/* Adds another thread's sums. */
void td_counter_merge(td_counter *into, const td_counter *from);

/* Sums of one layer, and of dynamic T_il over the samples (0 for input, pools, and behind an
 * analog input). Layer 0 holds the input's neurons and spikes, which no total includes. */
tdsnn_counts td_counter_layer(const td_counter *counter, int layer, uint64_t *t_last_in);

/* Steps along the longest path: summed over the samples with dynamic T_il, and fixed, of one. */
uint64_t td_counter_latency_dynamic(const td_counter *counter);
uint64_t td_counter_latency_fixed(const td_counter *counter);

#endif
