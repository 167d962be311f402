/* LeNet on MNIST, converted: the real network and data of tests that have them. */
#ifndef MNIST_NETWORK_H
#define MNIST_NETWORK_H

#include <stdio.h>
#include <stdlib.h>

#include <tdsnn/convert.h>

#include "network/model.h"
#include "network/network.h"

typedef struct mnist_network {
    tdsnn_model *source, *model;
    tdsnn_data *train, *test;
    td_network *network;
} mnist_network;

/* Where the real data lies; NULL if it is not there. */
static inline const char *mnist_folder(void) {
    const char *folder = getenv("TDSNN_SHARED_DATA");
    static char path[600];
    folder = folder == NULL ? "../shared/data" : folder;
    snprintf(path, sizeof path, "%s/models/lenet-mnist.onnx", folder);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    fclose(file);
    return folder;
}

/* Loads and converts; without biases if asked. Errors end the program. */
static inline mnist_network mnist_open(tdsnn_context *ctx, const char *folder,
                                       const tdsnn_convert_options *options, bool biases) {
    mnist_network m = {0};
    char path[600], spec[600];
    snprintf(path, sizeof path, "%s/models/lenet-mnist.onnx", folder);
    snprintf(spec, sizeof spec, "mnist:%s/mnist", folder);
    tdsnn_data_options train = TDSNN_DATA_OPTIONS_INIT, test = TDSNN_DATA_OPTIONS_INIT;
    train.split = TDSNN_SPLIT_TRAIN;
    tdsnn_status status = tdsnn_model_load(ctx, path, &m.source);
    for (int i = 0; status == TDSNN_OK && !biases && i < m.source->graph->node_count; i++) {
        td_node *node = &m.source->graph->nodes[i];
        if (node->bias != NULL) {
            node->bias =
                td_arena_alloc(m.source->graph->arena, (size_t)node->shape.c, sizeof *node->bias);
        }
    }
    if (status == TDSNN_OK) {
        status = tdsnn_data_open(ctx, spec, &train, &m.train);
    }
    if (status == TDSNN_OK) {
        status = tdsnn_data_open(ctx, spec, &test, &m.test);
    }
    if (status == TDSNN_OK) {
        status = tdsnn_convert(ctx, m.source, m.train, options, &m.model, NULL);
    }
    if (status == TDSNN_OK) {
        status = td_network_create(ctx, m.model->graph, &m.network);
    }
    if (status != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return m;
}

static inline void mnist_close(mnist_network *m) {
    td_network_destroy(m->network);
    tdsnn_data_close(m->test);
    tdsnn_data_close(m->train);
    tdsnn_model_destroy(m->model);
    tdsnn_model_destroy(m->source);
}

#endif
