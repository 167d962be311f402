/* Cross-layer equalisation [X]: scales per channel, put into the weights beforehand.
 *
 * Every channel of every node gets a factor r > 0 and computes value / r instead of value: its
 * producer's weights are divided by r, its consumers' multiplied by it. A network of ReLUs stays
 * the function it was, and the one code of a layer becomes one of scale s r for each channel.
 * Channels that meet in an operator other than a linear layer share their factor; those of the
 * input and of the logits keep 1. A Clip commutes with no factor, but the code that takes its place
 * is capped at s v_K <= b all the same while r <= 1. */
#ifndef TD_CONVERT_EQUALISE_H
#define TD_CONVERT_EQUALISE_H

#include "convert/samples.h"

/* Which channels share a factor, and how their drives are distributed. */
typedef struct td_equaliser td_equaliser;

/* Runs the plain graph on the samples. channels: its numbering; histograms: [node_count], of whole
 * layers. All must outlive the equaliser. Memory: td_equaliser_destroy. */
tdsnn_status td_equaliser_create(tdsnn_context *ctx, const td_graph *graph,
                                 const td_placement *placement, const td_samples *samples,
                                 const size_t *channels, td_histogram *const *histograms,
                                 td_equaliser **equaliser);
void td_equaliser_destroy(td_equaliser *equaliser);

/* The factors at which each channel's own code of least squared error is its layer's, for codes of
 * offset 0. codes: [node_count], those of whole layers; `hidden` has leak, steps and rounding of
 * the hidden layers; factors: [channels of all nodes]. */
tdsnn_status td_equaliser_factors(tdsnn_context *ctx, const td_equaliser *equaliser,
                                  const tdsnn_code *codes, const tdsnn_code *hidden,
                                  double *factors);

/* Gives the graph's weights, biases and constants the factors, in double, each rounded once.
 *     w'[o][i] = w[o][i] r_in[i] / r_out[o],  b'[o] = b[o] / r_out[o]
 * Errors: TDSNN_ERR_UNSUPPORTED naming a node whose weights leave float32. */
tdsnn_status td_rescale(tdsnn_context *ctx, td_graph *graph, const size_t *channels,
                        const double *factors);

#endif
