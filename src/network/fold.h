/* Constants folded into synapses and biases, in double, rounded once; for the room alone. */
#ifndef TD_NETWORK_FOLD_H
#define TD_NETWORK_FOLD_H

#include "network/network.h"

/* x -> scale[c] x + shift[c] for every channel; scale == NULL is the identity. */
typedef struct td_affine {
    double *scale, *shift;
} td_affine;

/* The affine map followed by a SUB, DIV, MUL or SHIFT node. */
tdsnn_status td_affine_apply(td_arena *arena, const td_node *node, const td_affine *in,
                             td_affine *out);

/* The same map for the flattened values of a [C][H][W] population. */
tdsnn_status td_affine_flatten(td_arena *arena, td_shape shape, const td_affine *in,
                               td_affine *out);

/* Sets weights and bias of a layer with one population from its node's, the affine map folded:
 *     w' = w scale,  b' = b + sum over present taps of w shift
 * The bias is a neuron's own where padding hides taps (zero padding comes after the constants). */
tdsnn_status td_fold_affine(td_arena *arena, td_layer *layer, const td_node *node,
                            const td_affine *affine);

/* Sets the layer's event bias: at offset 1 the bias and sum w v_0 over present taps. */
tdsnn_status td_fold_offset(td_arena *arena, td_layer *layer, const td_layer *layers);

/* Sets td_synapses.packed of every population. */
tdsnn_status td_pack_weights(td_arena *arena, td_layer *layer);

#endif
