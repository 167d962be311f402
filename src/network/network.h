/* The compiled spiking network: layers of neurons, their synapses, biases and codes. Immutable
 * once made; any number of threads may run it. */
#ifndef TD_NETWORK_NETWORK_H
#define TD_NETWORK_NETWORK_H

#include <tdsnn/code.h>

#include "graph/graph.h"

/* Input channels a block of the normative sum (see td_synapses.packed). */
#define TD_CHANNEL_BLOCK 32

typedef enum td_layer_kind {
    TD_LAYER_INPUT,    /* encoded from the sample; layer 0, always */
    TD_LAYER_SYNAPSES, /* LIF neurons and a ticking neuron [P 4-9] */
    TD_LAYER_POOL,     /* max-pool: theta = members present, weights 1, no leak, no ticks */
    TD_LAYER_READOUT   /* logits: the potential at T_il; the last layer, always */
} td_layer_kind;

/* The synapses from one pre-synaptic population to a layer. An inner product is a convolution of
 * one tap over the population seen as [N][1][1]. Through an average pool, the population is seen
 * averaged: the synapses are the composed ones, w / N each, evaluated in factored form. */
typedef struct td_synapses {
    int source;       /* the layer whose neurons are pre-synaptic */
    td_shape view;    /* its neurons, or their averages, as the window sees them */
    int first_input;  /* channels of the view that the synapses leave: first_input .. */
    int inputs;       /* ... first_input + inputs - 1 */
    int first_output; /* channels of the layer that they reach: first_output .. */
    int outputs;      /* ... first_output + outputs - 1 */
    td_window window;
    int groups;           /* inputs and outputs are cut into as many equal parts */
    const float *weights; /* [outputs][inputs/groups][kh][kw], as the DNN has them, input scaling
                           * folded */
    const float *packed;  /* the same in the normative order: [group][block of TD_CHANNEL_BLOCK
                           * inputs][kh][kw][input][outputs of the group] */
    bool averages;        /* an average pool stands between the population and the view */
    td_shape averaged;    /* with it: [C][h][w], as many as the view's; source: [C][H][W] */
    td_window average;
    bool count_padding; /* divides by the window's size, not by the members present */
    bool shortcut;      /* passes values on as they are */
    /* Multiply-adds of the source network: none for a shortcut; those of both layers where two are
     * composed; none where another layer of neurons reads the same drive and has them already. */
    uint64_t macs;
} td_synapses;

typedef struct td_layer {
    const char *name;
    td_layer_kind kind;
    td_shape shape;
    const tdsnn_code *code; /* of its neurons; a pool's is its source's; NULL at the read-out and
                             * for an analog input */
    int synapse_count;      /* populations; 0 for the input, 1 for a pool (window only) */
    td_synapses *synapses;  /* all with sources of one leak */
    const float *bias;      /* b of every neuron; [C][H][W] if bias_per_neuron, else [C] */
    bool bias_per_neuron;   /* border-correct: an input normalisation was folded */
    /* The bias of the float engines: at offset 1 it holds the constant part sum w v_0 of the
     * present taps as well (events then carry v_T - v_0); elsewhere it is `bias`. [C][H][W] if
     * event_bias_per_neuron, else [C]. */
    const float *event_bias;
    bool event_bias_per_neuron;
    /* What the float engines add for a spike of this layer: values[T] at offset 0, v_T - v_0 at
     * offset 1; [256], and event_values[0] is 0: a spike at T = 0 is no event. NULL without code.
     */
    const float *event_values;
    /* A signed pair (x = x+ - x-, or with `negative` times x-): two neurons for each value, the
     * second encoding -x. Spike times are [2][C][H][W], + first. */
    bool pair;
    float negative;               /* 1, or the slope of a LeakyReLU; 0 without a pair */
    const float *negative_values; /* [256] negative x event_values, rounded; NULL without */
    bool feeds_pool;              /* a max-pool waits for its T = 0 spikes */
} td_layer;

typedef struct td_network {
    td_arena *arena;
    const char *path; /* for messages */
    int layer_count;
    size_t layer_capacity;
    td_layer *layers;
    int classes; /* outputs of the read-out */
} td_network;

/* Compiles a coded graph. Errors: TDSNN_ERR_USAGE for a plain network; TDSNN_ERR_UNSUPPORTED naming
 * the node (a drive that is read without a code); TDSNN_ERR_INPUT where weights and constants that
 * are folded together leave float32; TDSNN_ERR_RUNTIME. */
tdsnn_status td_network_create(tdsnn_context *ctx, const td_graph *graph, td_network **network);
void td_network_destroy(td_network *network);

/* The bias of neuron (channel c, position p = y * W + x). */
static inline float td_layer_bias(const td_layer *layer, int c, int p) {
    size_t plane = (size_t)layer->shape.h * (size_t)layer->shape.w;
    return layer->bias_per_neuron ? layer->bias[(size_t)c * plane + (size_t)p] : layer->bias[c];
}

static inline float td_layer_event_bias(const td_layer *layer, int c, int p) {
    size_t plane = (size_t)layer->shape.h * (size_t)layer->shape.w;
    return layer->event_bias_per_neuron ? layer->event_bias[(size_t)c * plane + (size_t)p]
                                        : layer->event_bias[c];
}

/* What each member of an average counts: float(1/N), N the members present, or with count_padding
 * the size of the window. */
static inline float td_average_share(const td_synapses *s, int present) {
    int members = s->count_padding ? s->average.y.kernel * s->average.x.kernel : present;
    return (float)(1.0 / (double)members);
}

/* Whether the synapses see flat neurons as a picture: in order, but not in their layer's shape. */
static inline bool td_synapses_unflatten(const td_layer *source, const td_synapses *s) {
    return !s->averages && !s->view.flat &&
           (source->shape.h != s->view.h || source->shape.w != s->view.w);
}

/* The neurons of a layer: twice its values if they are pairs. */
static inline size_t td_layer_neurons(const td_layer *layer) {
    return td_shape_count(layer->shape) * (layer->pair ? 2 : 1);
}

/* What a value of the layer stands for in the float engines, from its spike times; `count` is
 * td_shape_count(layer->shape). */
static inline float td_layer_event_value(const td_layer *layer, const uint8_t *times, size_t i,
                                         size_t count) {
    float value = layer->event_values[times[i]];
    return layer->pair ? value - layer->negative_values[times[count + i]] : value;
}

/* The values of the source, [C][H][W], from *first to *end - 1, that the synapses leave, directly
 * or through averages: all of the channels concerned. */
void td_synapses_heard(const td_network *network, const td_synapses *synapses, size_t *first,
                       size_t *end);

/* Synapses of one population onto all neurons of a layer (of a pair: of its first halves), padding
 * left out, averages composed. */
uint64_t td_synapses_count(const td_network *network, const td_layer *layer,
                           const td_synapses *synapses);

#endif
