/* Networks to train from nothing; tdsnn_architecture_at lists them. */
#ifndef TD_TRAIN_ARCHITECTURES_H
#define TD_TRAIN_ARCHITECTURES_H

#include "graph/graph.h"

/* Builds the plain graph (ReLU) of that architecture for samples of `input` and so many classes,
 * weights drawn as td_initialise does, biases 0. Nodes have short, unique names: conv1, relu1, ..
 *     lenet     20 5x5, pool, 50 5x5, pool, 500, classes [LeCun 1998, Caffe's sizes]
 *     linear    classes
 *     mlp       300, 100, classes
 *     vgg11     64 M 128 M 256 256 M 512 512 M 512 512 M, classes; 3x3 windows [Simonyan 2015]
 *     resnet20  16, 3 x 3 blocks of two 3x3 of 16, 32, 64, shortcuts as strided 1x1 convolutions,
 *               mean, classes [He 2015]
 * Errors: TDSNN_ERR_USAGE for a name that there is not (naming those that there are), samples that
 * are no pictures or too small for its pools, no classes; TDSNN_ERR_RUNTIME. Memory:
 * td_graph_destroy. */
tdsnn_status td_architecture_build(tdsnn_context *ctx, const char *name, td_shape input,
                                   int classes, uint64_t seed, td_graph **graph);

/* Draws the weights of every CONV and INNER anew: normal, variance 2 / (weights of one output)
 * [He 2015], and sets biases to 0. Affine constants (SUB, DIV, ..) stay. The graph's arrays are its
 * arena's. */
void td_initialise(td_graph *graph, uint64_t seed);

#endif
