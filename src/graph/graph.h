/* The network in the few operators that everything else works on: one value a node, sorted, one
 * input, one output, weights folded and rounded once. */
#ifndef TD_GRAPH_GRAPH_H
#define TD_GRAPH_GRAPH_H

#include <tdsnn/code.h>

#include "base/memory.h"
#include "graph/shape.h"
#include "graph/source.h"

typedef enum td_op {
    TD_OP_INPUT, /* node 0, always */
    TD_OP_CONV,  /* weights [C][Cin/groups][kh][kw], bias [C] */
    TD_OP_INNER, /* weights [C][Cin], bias [C]; input and output flat */
    TD_OP_SUB,   /* minus operand[C], a constant a channel */
    TD_OP_DIV,   /* by operand[C] */
    TD_OP_MUL,   /* times operand[C] */
    TD_OP_SHIFT, /* plus operand[C] (Add of a constant) */
    TD_OP_ADD,   /* the sum of two or more values of one shape */
    TD_OP_RELU,
    TD_OP_CLIP,       /* to [low, high], low <= 0 < high */
    TD_OP_LEAKY,      /* x < 0 times `negative` */
    TD_OP_CODE,       /* x -> values[T(x)] - negative values[T(-x)]: one neuron, or a signed pair */
    TD_OP_MAXPOOL,    /* over the members of the window that are present */
    TD_OP_AVGPOOL,    /* mean of the members present, or of all with padding as 0 (count_padding) */
    TD_OP_CONCAT,     /* two or more values, channels one behind the other */
    TD_OP_SLICE,      /* channels first_channel .. first_channel + C - 1 */
    TD_OP_FLATTEN,    /* [C][H][W] -> [C*H*W] */
    TD_OP_UNFLATTEN,  /* [C*H*W] -> [C][H][W] */
    TD_OP_SOFTMAX,    /* last node only */
    TD_OP_LOGSOFTMAX, /* last node only */
    TD_OP_SIGMOID,    /* last node only; value by value */
    TD_OP_COUNT
} td_op;

typedef struct td_node {
    td_op op;
    const char *name;            /* unique */
    int input_count;             /* 0 for the input */
    int *inputs;                 /* earlier nodes */
    td_shape shape;              /* of what it gives */
    td_window window;            /* CONV, MAXPOOL, AVGPOOL */
    int groups;                  /* CONV */
    const float *weights, *bias; /* CONV, INNER; bias is never NULL there */
    const float *operand;        /* SUB, DIV, MUL, SHIFT: [C] */
    const tdsnn_code *code;      /* CODE */
    float negative;              /* CODE: 0 for a single neuron, else > 0; LEAKY */
    float low, high;             /* CLIP */
    bool count_padding;          /* AVGPOOL */
    int first_channel;           /* SLICE */
} td_node;

/* Arrays that nodes point to live in the arena. */
typedef struct td_graph {
    td_arena *arena;
    int node_count;
    size_t node_capacity;
    td_node *nodes; /* the last is the output */
    const char *input_name, *output_name;
    /* what the batch dimension is called in the file, NULL for a fixed batch of 1 */
    const char *batch_symbol;
    int metadata_count;
    size_t metadata_capacity;
    td_metadata *metadata;
} td_graph;

/* NULL is fine. */
void td_graph_destroy(td_graph *graph);

/* An empty graph. Errors: NULL with TDSNN_ERR_RUNTIME recorded. */
td_graph *td_graph_create(tdsnn_context *ctx);

/* Appends a copy of the node; its `inputs` and `name` are copied into the arena, its other arrays
 * must live there already. Gives the node's number. Errors: -1 with TDSNN_ERR_RUNTIME recorded. */
int td_graph_append(tdsnn_context *ctx, td_graph *graph, const td_node *node);

/* Sets a metadata value, replacing one of the same key; both strings are copied. */
tdsnn_status td_graph_set_metadata(tdsnn_context *ctx, td_graph *graph, const char *key,
                                   const char *value);

/* The metadata value under that key, or NULL. */
const char *td_graph_metadata(const td_graph *graph, const char *key);

/* The number of nodes that read node `index`. */
int td_graph_consumers(const td_graph *graph, int index);

/* Dense multiply-adds of one node: CONV and INNER, 0 for the rest. Border-aware, or with the taps
 * that fall on padding, which is what the literature quotes. */
uint64_t td_node_macs(const td_graph *graph, const td_node *node, bool padded);

/* The window of two layers one behind the other, the first giving `middle` and the second `out`,
 * where it is one: none of the second's windows is cut by padding, and one of the two has one tap
 * alone. */
bool td_window_compose(const td_window *first, const td_window *second, td_shape middle,
                       td_shape out, td_window *window);

/* Whether a CONV or INNER reads another one directly and may be composed with it: their windows are
 * one together, and the composed synapses are at most twice the separate ones (SPEC 5). */
bool td_node_composes(const td_graph *graph, const td_node *node);

/* "Conv", ...: for messages and tables. */
const char *td_op_name(td_op op);

/* The last node before a closing Softmax, LogSoftmax or Sigmoid: the one that gives the logits. */
int td_graph_logits(const td_graph *graph);

/* Whether the outputs are of the input's shape, as an autoencoder's are; those of a Softmax or
 * Sigmoid are classes. */
bool td_graph_is_autoencoder(const td_graph *graph);

/* Whether a node may stand at the end only, and what comes in are the logits. */
bool td_op_closes(td_op op);

/* Whether any node is a CODE: a converted network. */
bool td_graph_is_spiking(const td_graph *graph);

/* Same leak, steps, scale, offset, rounding and tables, bit for bit. */
bool td_code_equal(const tdsnn_code *a, const tdsnn_code *b);

/* Same operators, shapes, weights, tables and names (those of input, output and batch included),
 * bit for bit. Metadata is not compared. */
bool td_graph_equal(const td_graph *a, const td_graph *b);

#endif
