/* Engines: each turns one sample into the spike times of every layer. */
#ifndef TD_ENGINE_ENGINE_H
#define TD_ENGINE_ENGINE_H

#include "network/network.h"

/* What one run of one sample leaves behind. */
typedef struct td_activity {
    uint8_t **times; /* [layer][neuron], C H W order; NULL for the read-out and an analog input */
    float *input;    /* the sample as fed, [C][H][W] */
    float *logits;   /* [classes] */
} td_activity;

tdsnn_status td_activity_create(tdsnn_context *ctx, const td_network *network, td_activity **out);
void td_activity_destroy(td_activity *activity);

/* The reference engine: the closed form in the normative float order (docs/exactness.md). One
 * session a thread; a session owns its scratch memory. */
typedef struct td_reference td_reference;
tdsnn_status td_reference_create(tdsnn_context *ctx, const td_network *network, td_reference **out);
void td_reference_destroy(td_reference *session);
/* Reads activity->input, fills times and logits. Never fails. */
void td_reference_run(td_reference *session, td_activity *activity);

#endif
