/* Convolutions and inner products, with what follows them fused in: activations, and sums with a
 * shortcut that is added into place. */
#include <limits.h>

#include "dense/onednn_compiler.h"

/* Activations and sums that one layer takes up. */
#define MOST_FUSED 3

/* Windows beyond this make the code that oneDNN generates for them too large. */
#define LARGEST_WINDOW 256

typedef struct fusion {
    int length;   /* nodes fused in */
    int last;     /* the node whose value comes out */
    int shortcut; /* the node that is summed in, or -1 */
    dnnl_primitive_attr_t attributes;
} fusion;

/* The layer: what it reads, and its constants as the graph has them. */
typedef struct linear {
    int source;
    dnnl_memory_desc_t from, weights, bias, to; /* `any` but for the bias */
    dnnl_memory_desc_t given;                   /* weights */
    bool flat;               /* planes are read as one row of numbers, in the order they lie in, */
    dnnl_memory_desc_t laid; /* and the weights in the same order */
} linear;

static int other_input(const td_node *add, int one) {
    return add->inputs[0] == one ? add->inputs[1] : add->inputs[0];
}

/* The node behind the last one that can be fused in too, or -1. */
static int next_fused(const td_onednn_compiler *c, const fusion *f) {
    if (c->kept[f->last] || c->readers[f->last] != 1) {
        return -1;
    }
    int next = c->reader[f->last];
    const td_node *node = &c->graph->nodes[next];
    bool sum = node->op == TD_OP_ADD && node->input_count == 2 && f->shortcut < 0 &&
               c->done[other_input(node, f->last)];
    bool activation = node->op == TD_OP_RELU || node->op == TD_OP_CLIP || node->op == TD_OP_LEAKY;
    return sum || activation ? next : -1;
}

static dnnl_status_t append_fused(dnnl_post_ops_t ops, const td_node *node) {
    switch (node->op) {
    case TD_OP_ADD:
        return dnnl_post_ops_append_sum(ops, 1.0f);
    case TD_OP_CLIP:
        return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_clip, node->low, node->high);
    default:
        return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu,
                                            node->op == TD_OP_LEAKY ? node->negative : 0.0f, 0.0f);
    }
}

/* Fuses up to `most` nodes. The attributes are the caller's to destroy, also on failure. */
static dnnl_status_t fuse(const td_onednn_compiler *c, int most, fusion *f) {
    dnnl_post_ops_t ops = NULL;
    *f = (fusion){.last = c->node, .shortcut = -1};
    dnnl_status_t status = dnnl_primitive_attr_create(&f->attributes);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(f->attributes, dnnl_scratchpad_mode_user);
    }
    if (status == dnnl_success) {
        status = dnnl_post_ops_create(&ops);
    }
    for (int next; status == dnnl_success && f->length < most && (next = next_fused(c, f)) >= 0;) {
        const td_node *node = &c->graph->nodes[next];
        status = append_fused(ops, node);
        f->shortcut = node->op == TD_OP_ADD ? other_input(node, f->last) : f->shortcut;
        f->last = next;
        f->length++;
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_post_ops(f->attributes, ops);
    }
    dnnl_post_ops_destroy(ops);
    return status;
}

/* ---- The primitives. */

static dnnl_status_t describe_weights(const td_node *node, td_shape in, linear *v) {
    const td_window *w = &node->window;
    dnnl_dims_t outputs = {node->shape.c};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&v->bias, 1, outputs, dnnl_f32, dnnl_a);
    int groups = node->op == TD_OP_CONV ? node->groups : 1;
    dnnl_dims_t grouped = {groups, node->shape.c / groups, in.c / groups, w->y.kernel, w->x.kernel};
    dnnl_dims_t single = {node->shape.c, in.c, w->y.kernel, w->x.kernel};
    dnnl_dims_t whole = {node->shape.c, in.c, in.h, in.w};
    const dnnl_dim_t *dims = node->op == TD_OP_INNER ? whole : groups > 1 ? grouped : single;
    int rank = node->op == TD_OP_INNER ? (in.flat ? 2 : 4) : groups > 1 ? 5 : 4;
    dnnl_format_tag_t tag = rank == 5 ? dnnl_abcde : rank == 4 ? dnnl_abcd : dnnl_ab;
    if (status == dnnl_success) {
        status = dnnl_memory_desc_init_by_tag(&v->given, rank, dims, dnnl_f32, tag);
    }
    return status == dnnl_success ? dnnl_memory_desc_init_by_tag(&v->weights, rank, dims, dnnl_f32,
                                                                 dnnl_format_tag_any)
                                  : status;
}

static dnnl_primitive_desc_t choose_conv(td_onednn_compiler *c, const td_node *node,
                                         const linear *v, const fusion *f) {
    const td_axis *y = &node->window.y, *x = &node->window.x;
    dnnl_dims_t strides = {y->stride, x->stride};
    dnnl_dims_t dilations = {y->dilation - 1, x->dilation - 1}; /* 0: none */
    dnnl_dims_t begin = {y->pad_begin, x->pad_begin}, end = {y->pad_end, x->pad_end};
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, &v->from, &v->weights, &v->bias,
        &v->to, strides, dilations, begin, end);
    return status == dnnl_success ? td_onednn_choose(c, &desc, f->attributes) : NULL;
}

static dnnl_primitive_desc_t try_inner(td_onednn_compiler *c, const dnnl_memory_desc_t *from,
                                       const dnnl_memory_desc_t *weights, const linear *v,
                                       const fusion *f) {
    dnnl_inner_product_desc_t desc;
    return dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference, from, weights,
                                                &v->bias, &v->to) == dnnl_success
               ? td_onednn_choose(c, &desc, f->attributes)
               : NULL;
}

/* The layout of weights whose numbers follow each other as those of the planes do; false if these
 * have gaps or lie in no layout known here. */
static bool lay_alike(const dnnl_memory_desc_t *planes, dnnl_dim_t outputs,
                      dnnl_memory_desc_t *weights) {
    static const dnnl_format_tag_t tags[] = {dnnl_acdb, dnnl_abcd, dnnl_aBcd16b, dnnl_aBcd8b};
    const dnnl_dim_t *from = planes->dims;
    dnnl_dims_t dims = {outputs, from[1], from[2], from[3]};
    size_t count = (size_t)(from[0] * from[1] * from[2] * from[3]);
    bool same = false;
    if (planes->ndims != 4 || dnnl_memory_desc_get_size(planes) != count * sizeof(float)) {
        return false;
    }
    for (size_t i = 0; i < sizeof tags / sizeof tags[0] && !same; i++) {
        dnnl_memory_desc_t desc;
        same = dnnl_memory_desc_init_by_tag(&desc, 4, from, dnnl_f32, tags[i]) == dnnl_success &&
               dnnl_memory_desc_equal(&desc, planes) &&
               dnnl_memory_desc_init_by_tag(weights, 4, dims, dnnl_f32, tags[i]) == dnnl_success;
    }
    return same;
}

/* Planes as one row of numbers: there is quicker code for that, with weights it packs. */
static dnnl_primitive_desc_t choose_flat(td_onednn_compiler *c, linear *v, const fusion *f) {
    dnnl_memory_desc_t native = td_onednn_native(c, v->source), from, weights;
    if (!lay_alike(&native, v->given.dims[0], &v->laid)) {
        return NULL;
    }
    dnnl_dim_t numbers = native.dims[1] * native.dims[2] * native.dims[3];
    dnnl_dims_t row = {native.dims[0], numbers}, rows = {v->given.dims[0], numbers};
    if (dnnl_memory_desc_init_by_tag(&from, 2, row, dnnl_f32, dnnl_ab) != dnnl_success ||
        dnnl_memory_desc_init_by_tag(&weights, 2, rows, dnnl_f32, dnnl_format_tag_any) !=
            dnnl_success) {
        return NULL;
    }
    return try_inner(c, &from, &weights, v, f);
}

/* The source as it lies if there is quick code for that, or else as oneDNN wants it. */
static dnnl_primitive_desc_t choose_inner(td_onednn_compiler *c, linear *v, const fusion *f) {
    dnnl_primitive_desc_t pd = choose_flat(c, v, f);
    v->flat = pd != NULL;
    if (pd == NULL) {
        dnnl_memory_desc_t native = td_onednn_native(c, v->source);
        pd = try_inner(c, &native, &v->weights, v, f);
    }
    return pd != NULL ? pd : try_inner(c, &v->from, &v->weights, v, f);
}

/* ---- The step. */

/* The tensor that comes out: over the shortcut's where that is needed no more, else a copy of it.
 */
static int result_tensor(td_onednn_compiler *c, const fusion *f, const dnnl_memory_desc_t *desc) {
    if (f->shortcut < 0) {
        return td_onednn_add_tensor(c, f->last, desc, -1);
    }
    bool free = !c->kept[f->shortcut] && !c->viewed[f->shortcut] && c->left[f->shortcut] == 1;
    int over = free ? td_onednn_find(c, f->shortcut, desc) : -1;
    int to = td_onednn_add_tensor(c, f->last, desc, over);
    if (to < 0 || over >= 0) {
        return to;
    }
    return td_onednn_add_copy(c, c->tensors[f->shortcut], NULL, to) ? to : -1;
}

/* All that was fused in is done. */
static bool finish_fused(td_onednn_compiler *c, const fusion *f) {
    for (int node = c->node; node != f->last; node = c->reader[node]) {
        if (!td_onednn_finish(c, node)) {
            return false;
        }
    }
    return td_onednn_finish(c, f->last);
}

/* What the layer reads, as it is to lie. */
static int source_tensor(td_onednn_compiler *c, const linear *v, const dnnl_memory_desc_t *desc) {
    return v->flat ? td_onednn_add_tensor(c, v->source, desc, c->tensors[v->source])
                   : td_onednn_in(c, v->source, desc);
}

static bool pack_weights(td_onednn_compiler *c, const linear *v, const dnnl_memory_desc_t *packed,
                         dnnl_memory_t *memory) {
    const float *weights = c->graph->nodes[c->node].weights;
    if (!v->flat) {
        return td_onednn_add_constant(c, weights, &v->given, packed, memory);
    }
    dnnl_memory_t laid;
    void *numbers = NULL;
    dnnl_memory_desc_t rows;
    return td_onednn_add_constant(c, weights, &v->given, &v->laid, &laid) &&
           !td_onednn_failed(c, dnnl_memory_get_data_handle(laid, &numbers)) &&
           !td_onednn_failed(
               c, dnnl_memory_desc_init_by_tag(&rows, 2, packed->dims, dnnl_f32, dnnl_ab)) &&
           td_onednn_add_constant(c, numbers, &rows, packed, memory);
}

static bool add_chosen(td_onednn_compiler *c, const linear *v, const fusion *f,
                       dnnl_primitive_desc_t pd) {
    const td_node *node = &c->graph->nodes[c->node];
    const dnnl_memory_desc_t *from = dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t *to = dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
    const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    td_onednn_argument arguments[] = {{DNNL_ARG_SRC, source_tensor(c, v, from), NULL},
                                      {DNNL_ARG_WEIGHTS, -1, NULL},
                                      {DNNL_ARG_BIAS, -1, NULL},
                                      {DNNL_ARG_DST, result_tensor(c, f, to), NULL}};
    if (arguments[0].tensor < 0 || arguments[3].tensor < 0 ||
        !pack_weights(c, v, packed, &arguments[1].constant) ||
        !td_onednn_add_constant(c, node->bias, &v->bias, &v->bias, &arguments[2].constant)) {
        dnnl_primitive_desc_destroy(pd);
        return false;
    }
    return td_onednn_add_step(c, pd, 4, arguments) && finish_fused(c, f);
}

static bool is_large(const td_axis *axis) {
    return axis->kernel > LARGEST_WINDOW || axis->stride > LARGEST_WINDOW ||
           axis->dilation > LARGEST_WINDOW || axis->pad_begin > LARGEST_WINDOW ||
           axis->pad_end > LARGEST_WINDOW;
}

/* oneDNN computes some places with 32 bits. */
static bool is_huge(td_shape shape, int batch) {
    return td_shape_count(shape) > (size_t)(INT_MAX / 8) / (size_t)batch;
}

bool td_onednn_fits(const td_window *window, td_shape in, td_shape out, int batch) {
    return !is_large(&window->y) && !is_large(&window->x) && !is_huge(in, batch) &&
           !is_huge(out, batch);
}

/* An inner product reads [C][H][W] through the FLATTENs in between. */
static int find_source(const td_onednn_compiler *c) {
    int source = c->graph->nodes[c->node].inputs[0];
    while (c->tensors[source] < 0) {
        source = c->graph->nodes[source].inputs[0];
    }
    return source;
}

bool td_onednn_add_linear(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    linear v = {.source = find_source(c)};
    td_shape in = c->graph->nodes[v.source].shape;
    bool conv = node->op == TD_OP_CONV;
    td_window window = conv ? node->window : TD_WINDOW_ONE;
    if (!td_onednn_fits(&window, in, node->shape, c->out->batch) ||
        describe_weights(node, in, &v) != dnnl_success ||
        !td_onednn_describe(c, in, true, &v.from) ||
        !td_onednn_describe(c, node->shape, true, &v.to)) {
        return td_onednn_add_plain(c);
    }
    for (int most = MOST_FUSED; most >= 0; most--) {
        fusion f;
        dnnl_status_t status = fuse(c, most, &f);
        dnnl_primitive_desc_t pd = status != dnnl_success ? NULL
                                   : conv                 ? choose_conv(c, node, &v, &f)
                                                          : choose_inner(c, &v, &f);
        dnnl_primitive_attr_destroy(f.attributes);
        if (pd != NULL) {
            return add_chosen(c, &v, &f, pd);
        }
        most = f.length < most ? f.length : most;
    }
    return td_onednn_add_plain(c);
}
