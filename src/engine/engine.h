/* Engines: each turns one sample into the spike times of every layer. */
#ifndef TD_ENGINE_ENGINE_H
#define TD_ENGINE_ENGINE_H

#include "network/network.h"

/* What one run of one sample leaves behind. */
typedef struct td_activity {
    int layer_count;
    uint8_t **times; /* [layer][neuron], C H W order, of pairs + first; NULL for the read-out and an
                        analog input */
    float *input;    /* the sample as fed, [C][H][W] */
    float *logits;   /* [classes] */
} td_activity;

tdsnn_status td_activity_create(tdsnn_context *ctx, const td_network *network, td_activity **out);
void td_activity_destroy(td_activity *activity);

/* The sensor: encodes activity->input into the spike times of layer 0. Nothing for an analog one.
 */
void td_activity_encode(const td_network *network, td_activity *activity);

/* The spike time of value i of a layer, or of its pair, from its drive. */
void td_layer_encode(const td_layer *layer, float drive, uint8_t *times, size_t i);

/* The closed form of a max-pool on spike times: T_o = max T_i over the members present; of the
 * second half of a pair min T_i, for the largest x has the smallest -x. Exact. */
void td_pool_times(const td_layer *layer, const uint8_t *source, uint8_t *times);

/* The read-out's rule: the lowest index among equal maxima; of one logit alone, whose Sigmoid is
 * the probability of class 1, whether it is above 0. */
int td_prediction(const float *logits, int classes);

/* The reference engine: the closed form in the normative float order (docs/exactness.md). One
 * session a thread; a session owns its scratch memory. */
typedef struct td_reference td_reference;
tdsnn_status td_reference_create(tdsnn_context *ctx, const td_network *network, td_reference **out);
void td_reference_destroy(td_reference *session);
/* Reads activity->input, fills times and logits. Never fails. */
void td_reference_run(td_reference *session, td_activity *activity);

#endif
