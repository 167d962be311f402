/* The compiler of a graph for oneDNN: what its files share while they add steps. Functions that
 * give bool record the error in the context; indices of tensors are -1 then. */
#ifndef TD_DENSE_ONEDNN_COMPILER_H
#define TD_DENSE_ONEDNN_COMPILER_H

#include "dense/onednn_internal.h"

typedef struct td_onednn_compiler {
    tdsnn_context *ctx;
    const td_graph *graph;
    td_onednn *out;
    int node; /* whose steps are being added */
    /* by node */
    bool *kept, *needed;
    bool *done;          /* its value is there, or nobody needs it as such */
    bool *viewed;        /* what reads it now may be read later through another node */
    int *readers, *left; /* needed nodes that read it; those of them that are not done */
    int *reader;         /* one of them */
    int *tensors;        /* the first one of the node, as it was computed; -1: none, also of a
                          * FLATTEN before anybody reads it as such */
} td_onednn_compiler;

/* ---- onednn_tensor.c */

bool td_onednn_failed(td_onednn_compiler *c, dnnl_status_t status);

/* [batch][C][H][W], or [batch][C] if flat, in the layout `any` or as ONNX has it. */
bool td_onednn_describe(td_onednn_compiler *c, td_shape shape, bool any, dnnl_memory_desc_t *desc);

/* A new tensor of the node, in a buffer of its own or in that of tensor `over`, if not -1. */
int td_onednn_add_tensor(td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc, int over);

/* The node's value in that layout if it is there already, or -1; and in any case, laid out anew. */
int td_onednn_find(const td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc);
int td_onednn_in(td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc);
int td_onednn_in_plain(td_onednn_compiler *c, int node);

/* The node's value as it was computed. */
dnnl_memory_desc_t td_onednn_native(const td_onednn_compiler *c, int node);

/* Adds the steps: a primitive, whose description is consumed, also on failure; plain C; a copy. */
bool td_onednn_add_step(td_onednn_compiler *c, dnnl_primitive_desc_t pd, int count,
                        const td_onednn_argument *arguments);
bool td_onednn_add_plain(td_onednn_compiler *c);
bool td_onednn_add_copy(td_onednn_compiler *c, int from, const dnnl_memory_desc_t *part, int to);

/* A constant in the layout wanted; `data` is kept where it has that already. */
bool td_onednn_add_constant(td_onednn_compiler *c, const float *data,
                            const dnnl_memory_desc_t *given, const dnnl_memory_desc_t *wanted,
                            dnnl_memory_t *memory);

/* The description of a primitive, or NULL where oneDNN has none but its slow reference code; plain
 * C is quicker than that. attributes: NULL: none. */
dnnl_primitive_desc_t td_onednn_choose(td_onednn_compiler *c, const void *op,
                                       dnnl_primitive_attr_t attributes);

/* The node's value is there: keeps it readable if it is to be. */
bool td_onednn_finish(td_onednn_compiler *c, int node);

/* ---- onednn_linear.c */

/* Adds a convolution or inner product with what can be fused into it. */
bool td_onednn_add_linear(td_onednn_compiler *c);

#endif
