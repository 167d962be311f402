/* Linear expressions over spiking populations, collected node by node while a graph is compiled;
 * weights and biases stay in double until a layer is closed. For the room alone. */
#ifndef TD_NETWORK_DRIVE_H
#define TD_NETWORK_DRIVE_H

#include "network/network.h"

/* x -> scale[c] x + shift[c] for every channel; scale == NULL is the identity. With `by_value`
 * there is a shift for every value, [C][H][W]. */
typedef struct td_affine {
    double *scale, *shift;
    bool by_value;
} td_affine;

/* Channels of one population as a node of the graph sees them: through a Flatten, an average pool,
 * constants, a choice of channels. A concatenation is several parts. */
typedef struct td_part {
    int layer;           /* whose neurons */
    td_shape view;       /* the whole population, or its averages */
    int first, channels; /* the channels of the view that are meant */
    td_affine affine;    /* [channels] */
    bool averages, count_padding;
    td_shape averaged; /* [C][h][w] */
    td_window average;
} td_part;

/* One population's synapses with the weights still in double. */
typedef struct td_term {
    td_synapses synapses;
    double *weights; /* [outputs][inputs/groups][kh][kw] */
    uint64_t *macs;  /* of the source network, until a layer has counted them; NULL: none */
} td_term;

/* What a neuron computes before its code: a bias and synapses from any number of populations. */
typedef struct td_drive {
    td_shape shape;
    int term_count;
    td_term *terms;
    double *bias; /* [C], or [C][H][W] */
    bool bias_per_neuron;
} td_drive;

/* The drive of a CONV or INNER node that reads another drive of such a node, both with one group:
 * the composed synapses, in double. macs: what the second takes in the source network. *fits is
 * false, and nothing made, where td_window_compose says so. */
tdsnn_status td_drive_compose(td_arena *arena, const td_node *node, const td_drive *in,
                              uint64_t macs, td_drive *drive, bool *fits);

/* The affine map followed by a SUB, DIV, MUL or SHIFT node whose constants from `first` on belong
 * to these channels of `plane` values. */
tdsnn_status td_affine_apply(td_arena *arena, const td_node *node, int first, int channels,
                             size_t plane, const td_affine *in, td_affine *out);

/* The same map for the flattened values of [channels] planes of `plane` values. */
tdsnn_status td_affine_flatten(td_arena *arena, int channels, size_t plane, const td_affine *in,
                               td_affine *out);

/* Back: a map of flat values as one of [channels] planes. *fits is false, and nothing made, where
 * the scales of a plane differ. */
tdsnn_status td_affine_unflatten(td_arena *arena, int channels, size_t plane, const td_affine *in,
                                 td_affine *out, bool *fits);

/* The drive of a CONV or INNER node that reads the parts, constants folded:
 *     w' = w scale,  b' = b + sum over present taps of w shift
 * The bias is a neuron's own where padding hides taps (zero padding comes after the constants).
 * *fits is false, and nothing made, where a group straddles two parts. */
tdsnn_status td_drive_linear(td_arena *arena, const td_node *node, const td_part *parts, int count,
                             td_drive *drive, bool *fits);

/* The drive that is the parts' values: a shortcut, a read-out of averages. */
tdsnn_status td_drive_identity(td_arena *arena, td_shape shape, const td_part *parts, int count,
                               td_drive *drive);

/* a + b. */
tdsnn_status td_drive_add(td_arena *arena, const td_drive *a, const td_drive *b, td_drive *sum);

/* The drive followed by a SUB, DIV, MUL or SHIFT node, which may see its values in another shape
 * of as many. *fits is false, and nothing made, where the factors of a channel differ. */
tdsnn_status td_drive_apply(td_arena *arena, const td_node *node, const td_drive *in, td_drive *out,
                            bool *fits);

/* Gives the layer the drive's synapses, which take its multiply-adds with them, and biases, rounded
 * once, packed in the normative order, and its event bias: at offset 1 the bias and sum w v_0 over
 * present taps. `scratch` may die then. */
tdsnn_status td_drive_close(td_arena *arena, td_arena *scratch, const td_drive *drive,
                            const td_layer *layers, td_layer *layer);

#endif
