/* What the files of the oneDNN back end share: the compiled graph. */
#ifndef TD_DENSE_ONEDNN_INTERNAL_H
#define TD_DENSE_ONEDNN_INTERNAL_H

#include <dnnl.h>

#include "dense/linear_passes.h"
#include "dense/onednn.h"

/* Memory of a session that tensors lie in, from the step that writes it first to the step that
 * reads it last; what is not needed at the same time shares a place. */
typedef struct td_onednn_buffer {
    size_t bytes, offset;
    int first, last; /* steps */
} td_onednn_buffer;

/* One node's values in one memory layout. */
typedef struct td_onednn_tensor {
    dnnl_memory_desc_t desc;
    int buffer;
    int next; /* another tensor of the same node, or -1 */
} td_onednn_tensor;

/* What a primitive reads or writes: a tensor, or a constant of the plan. */
typedef struct td_onednn_argument {
    int kind;               /* DNNL_ARG_* */
    int tensor;             /* or -1 */
    dnnl_memory_t constant; /* weights, bias, operands */
} td_onednn_argument;

typedef struct td_onednn_step {
    int node;                   /* of plain C */
    dnnl_primitive_t primitive; /* NULL: the node by plain C; its arguments are the inputs, [nchw],
                                 * and at the end the output */
    dnnl_memory_desc_t scratchpad;
    int argument_count;
    td_onednn_argument *arguments;
} td_onednn_step;

struct td_onednn {
    const td_graph *graph;
    int batch, threads;
    td_arena *arena;
    dnnl_engine_t engine;
    int input;       /* the tensor that a sample is fed into */
    int *first_step; /* [node_count + 1] a node's steps end where the next one's begin */
    int *plain;      /* [node_count] the tensor that a kept node is read from; else -1 */
    int buffer_count, tensor_count, step_count, constant_count, most_arguments;
    size_t buffer_capacity, tensor_capacity, step_capacity, constant_capacity;
    td_onednn_buffer *buffers;
    td_onednn_tensor *tensors;
    td_onednn_step *steps;
    dnnl_memory_t *constants; /* all of them, to be destroyed */
    size_t bytes, scratchpad_bytes;
};

/* Gives every buffer its offset and sets compiled->bytes. */
tdsnn_status td_onednn_place_buffers(tdsnn_context *ctx, td_onednn *compiled);

/* oneDNN asks OpenMP how many threads there are, when it makes a primitive and when it runs one.
 * Sets them for the calling thread and gives what they were. */
int td_onednn_set_threads(int threads);

/* Starts oneDNN, held to the environment's TDSNN_CPU. Errors: TDSNN_ERR_RUNTIME. */
tdsnn_status td_onednn_start(tdsnn_context *ctx, dnnl_engine_t *engine);

/* Whether oneDNN's code can have windows and values of these sizes. */
bool td_onednn_fits(const td_window *window, td_shape in, td_shape out, int batch);

/* ---- onednn_columns.c */

/* Whether the pass TD_PASS_WEIGHTS is quicker this way, and how much memory it needs. */
bool td_onednn_columns_pay(const td_linear_geometry *geometry);
size_t td_onednn_columns_bytes(const td_linear_geometry *geometry);

/* Runs it; a bias of NULL is none. */
dnnl_status_t td_onednn_columns_run(const td_linear_geometry *geometry,
                                    const td_linear_arrays *arrays, float *columns);

#endif
