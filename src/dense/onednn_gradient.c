/* A convolution or inner product and its gradients by oneDNN, on one thread. Values are read and
 * written where they are, channels last, if oneDNN has quick code for that; else they are laid out
 * anew, as weights are. */
#include <string.h>

#include "dense/onednn_internal.h"

#define ALIGNMENT 64

/* The arrays of a pass, in the order of td_linear_arrays. */
typedef enum array { INPUT, WEIGHTS, BIAS, OUTPUT, ARRAY_COUNT } array;

/* What each pass calls them (0: has none), and what it writes. */
static const struct {
    int kinds[ARRAY_COUNT];
    bool written[ARRAY_COUNT];
} roles[TD_PASS_COUNT] = {
    {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST}, {[OUTPUT] = true}},
    {{DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST}, {[INPUT] = true}},
    {{DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST},
     {[WEIGHTS] = true, [BIAS] = true}},
};

/* One array of a pass. */
typedef struct operand {
    dnnl_memory_t given;      /* as the caller has it */
    dnnl_memory_t used;       /* as the primitive has it: `given`, or memory of our own */
    dnnl_primitive_t reorder; /* from one to the other, NULL where they are the same */
    size_t offset;            /* of `used` in the memory */
} operand;

typedef struct pass {
    dnnl_primitive_desc_t pd;   /* until it is made */
    dnnl_primitive_t primitive; /* NULL: there is no quick one */
    bool columns;               /* onednn_columns.c takes its place */
    operand operands[ARRAY_COUNT];
    dnnl_exec_arg_t arguments[ARRAY_COUNT + 1];
    int argument_count;
} pass;

struct td_onednn_linear {
    td_linear_geometry geometry;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes; /* until the passes are made */
    dnnl_memory_desc_t given[ARRAY_COUNT];
    pass passes[TD_PASS_COUNT];
    size_t bytes, scratchpad_bytes;
    unsigned char *memory; /* what the pass under way has laid out anew */
    float *bias;           /* [C]: stands for one that the caller has not */
    dnnl_memory_t scratchpad;
    unsigned char *scratchpad_memory;
};

/* ---- Descriptions. */

static dnnl_status_t describe(const td_linear_geometry *g, dnnl_memory_desc_t desc[ARRAY_COUNT]) {
    bool inner = g->in.flat;
    int rank = inner ? 2 : 4, weight_rank = inner ? 2 : g->groups > 1 ? 5 : 4;
    dnnl_dims_t in = {g->batch, g->in.c, g->in.h, g->in.w};
    dnnl_dims_t out = {g->batch, g->out.c, g->out.h, g->out.w};
    dnnl_dims_t bias = {g->out.c};
    dnnl_dims_t single = {g->out.c, g->in.c, g->window.y.kernel, g->window.x.kernel};
    dnnl_dims_t grouped = {g->groups, g->out.c / g->groups, g->in.c / g->groups, g->window.y.kernel,
                           g->window.x.kernel};
    dnnl_format_tag_t tag = inner ? dnnl_ab : dnnl_acdb;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc[INPUT], rank, in, dnnl_f32, tag);
    if (status == dnnl_success) {
        status = dnnl_memory_desc_init_by_tag(&desc[OUTPUT], rank, out, dnnl_f32, tag);
    }
    if (status == dnnl_success) {
        status = dnnl_memory_desc_init_by_tag(&desc[BIAS], 1, bias, dnnl_f32, dnnl_a);
    }
    if (status == dnnl_success) {
        tag = weight_rank == 5 ? dnnl_abcde : weight_rank == 4 ? dnnl_abcd : dnnl_ab;
        status = dnnl_memory_desc_init_by_tag(&desc[WEIGHTS], weight_rank,
                                              weight_rank == 5 ? grouped : single, dnnl_f32, tag);
    }
    return status;
}

/* The same in whatever layout oneDNN likes. */
static dnnl_memory_desc_t any_of(const dnnl_memory_desc_t *desc) {
    dnnl_memory_desc_t any;
    dnnl_memory_desc_init_by_tag(&any, desc->ndims, desc->dims, dnnl_f32, dnnl_format_tag_any);
    return any;
}

static dnnl_status_t describe_conv(const td_linear_geometry *g, td_pass which,
                                   const dnnl_memory_desc_t d[ARRAY_COUNT],
                                   dnnl_convolution_desc_t *desc) {
    const td_axis *y = &g->window.y, *x = &g->window.x;
    dnnl_dims_t strides = {y->stride, x->stride};
    dnnl_dims_t dilations = {y->dilation - 1, x->dilation - 1}; /* 0: none */
    dnnl_dims_t begin = {y->pad_begin, x->pad_begin}, end = {y->pad_end, x->pad_end};
    switch (which) {
    case TD_PASS_FORWARD:
        return dnnl_dilated_convolution_forward_desc_init(
            desc, dnnl_forward_training, dnnl_convolution_direct, &d[INPUT], &d[WEIGHTS], &d[BIAS],
            &d[OUTPUT], strides, dilations, begin, end);
    case TD_PASS_INPUT:
        return dnnl_dilated_convolution_backward_data_desc_init(desc, dnnl_convolution_direct,
                                                                &d[INPUT], &d[WEIGHTS], &d[OUTPUT],
                                                                strides, dilations, begin, end);
    default:
        return dnnl_dilated_convolution_backward_weights_desc_init(
            desc, dnnl_convolution_direct, &d[INPUT], &d[WEIGHTS], &d[BIAS], &d[OUTPUT], strides,
            dilations, begin, end);
    }
}

static dnnl_status_t describe_inner(td_pass which, const dnnl_memory_desc_t d[ARRAY_COUNT],
                                    dnnl_inner_product_desc_t *desc) {
    switch (which) {
    case TD_PASS_FORWARD:
        return dnnl_inner_product_forward_desc_init(desc, dnnl_forward_training, &d[INPUT],
                                                    &d[WEIGHTS], &d[BIAS], &d[OUTPUT]);
    case TD_PASS_INPUT:
        return dnnl_inner_product_backward_data_desc_init(desc, &d[INPUT], &d[WEIGHTS], &d[OUTPUT]);
    default:
        return dnnl_inner_product_backward_weights_desc_init(desc, &d[INPUT], &d[WEIGHTS], &d[BIAS],
                                                             &d[OUTPUT]);
    }
}

/* ---- The choice of primitives. */

/* 1: reference code, which plain C outdoes; 2: the batch-reduced matrix products, which are slow
 * where pictures or channels are few and nowhere faster by much; 3: anything else. */
static int rank_of(const_dnnl_primitive_desc_t pd) {
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return strncmp(name, "ref", 3) == 0 ? 1 : strncmp(name, "brgconv:", 8) == 0 ? 2 : 3;
}

/* The best of the implementations, which oneDNN gives one after the other; NULL: none is better
 * than `rank`. */
static dnnl_primitive_desc_t best_of(dnnl_primitive_desc_iterator_t iterator, int rank) {
    dnnl_primitive_desc_t best = NULL;
    do {
        dnnl_primitive_desc_t pd = dnnl_primitive_desc_iterator_fetch(iterator);
        if (pd != NULL && rank_of(pd) > rank) {
            rank = rank_of(pd);
            dnnl_primitive_desc_destroy(best);
            best = pd;
        } else {
            dnnl_primitive_desc_destroy(pd);
        }
    } while (rank < 3 && dnnl_primitive_desc_iterator_next(iterator) == dnnl_success);
    return best;
}

/* hint: of the forward pass, which the others are made beside. NULL: none is better than `rank`. */
static dnnl_primitive_desc_t make_pd(const td_onednn_linear *l, td_pass which,
                                     const dnnl_memory_desc_t d[ARRAY_COUNT],
                                     const_dnnl_primitive_desc_t hint, int rank) {
    union {
        dnnl_convolution_desc_t conv;
        dnnl_inner_product_desc_t inner;
    } op;
    dnnl_primitive_desc_iterator_t iterator = NULL;
    dnnl_primitive_desc_t best = NULL;
    dnnl_status_t status = l->geometry.in.flat ? describe_inner(which, d, &op.inner)
                                               : describe_conv(&l->geometry, which, d, &op.conv);
    if (status == dnnl_success &&
        dnnl_primitive_desc_iterator_create(&iterator, &op, l->attributes, l->engine, hint) ==
            dnnl_success) {
        best = best_of(iterator, rank);
    }
    dnnl_primitive_desc_iterator_destroy(iterator);
    return best;
}

/* A quick primitive for those layouts, or NULL. */
static dnnl_primitive_desc_t choose_for(const td_onednn_linear *l, td_pass which,
                                        const dnnl_memory_desc_t d[ARRAY_COUNT]) {
    if (which == TD_PASS_FORWARD) {
        return make_pd(l, which, d, NULL, 1);
    }
    dnnl_primitive_desc_t hint = make_pd(l, TD_PASS_FORWARD, d, NULL, 0);
    dnnl_primitive_desc_t pd = hint == NULL ? NULL : make_pd(l, which, d, hint, 1);
    dnnl_primitive_desc_destroy(hint);
    return pd;
}

/* Inner products read and write arrays as they are; convolutions have weights laid out anew, and
 * values where there is no other way. */
static dnnl_primitive_desc_t choose(const td_onednn_linear *l, td_pass which) {
    dnnl_memory_desc_t d[ARRAY_COUNT];
    memcpy(d, l->given, sizeof d);
    dnnl_primitive_desc_t pd = l->geometry.in.flat ? choose_for(l, which, d) : NULL;
    if (pd == NULL) {
        d[WEIGHTS] = any_of(&d[WEIGHTS]);
        pd = choose_for(l, which, d);
    }
    if (pd == NULL) {
        d[INPUT] = any_of(&d[INPUT]);
        d[OUTPUT] = any_of(&d[OUTPUT]);
        pd = choose_for(l, which, d);
    }
    return pd;
}

/* ---- The passes: first how much memory they need, then they are made. */

static const dnnl_memory_desc_t *used_desc(const_dnnl_primitive_desc_t pd, int kind) {
    return dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, kind);
}

static void need_scratchpad(td_onednn_linear *l, const_dnnl_primitive_desc_t pd) {
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t bytes = desc == NULL ? 0 : dnnl_memory_desc_get_size(desc);
    l->scratchpad_bytes = bytes > l->scratchpad_bytes ? bytes : l->scratchpad_bytes;
}

static void need_memory(td_onednn_linear *l, size_t bytes) {
    l->bytes = bytes > l->bytes ? bytes : l->bytes;
}

static dnnl_status_t make_reorder(td_onednn_linear *l, const dnnl_memory_desc_t *given,
                                  const dnnl_memory_desc_t *used, bool written,
                                  dnnl_primitive_t *reorder) {
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &pd, written ? used : given, l->engine, written ? given : used, l->engine, l->attributes);
    if (status == dnnl_success) {
        need_scratchpad(l, pd);
        status = dnnl_primitive_create(reorder, pd);
    }
    dnnl_primitive_desc_destroy(pd);
    return status;
}

/* Chooses the primitive, and makes it and the reorders around it. */
static dnnl_status_t prepare_pass(td_onednn_linear *l, td_pass which) {
    pass *p = &l->passes[which];
    size_t bytes = 0;
    p->columns = which == TD_PASS_WEIGHTS && td_onednn_columns_pay(&l->geometry);
    if (p->columns) {
        need_memory(l, td_onednn_columns_bytes(&l->geometry));
        return dnnl_success;
    }
    p->pd = choose(l, which);
    if (p->pd == NULL) {
        return dnnl_success;
    }
    need_scratchpad(l, p->pd);
    dnnl_status_t status = dnnl_primitive_create(&p->primitive, p->pd);
    for (int i = 0; i < ARRAY_COUNT && status == dnnl_success; i++) {
        int kind = roles[which].kinds[i];
        const dnnl_memory_desc_t *used = kind == 0 ? NULL : used_desc(p->pd, kind);
        if (kind == 0 || dnnl_memory_desc_equal(used, &l->given[i])) {
            continue;
        }
        status =
            make_reorder(l, &l->given[i], used, roles[which].written[i], &p->operands[i].reorder);
        p->operands[i].offset = bytes;
        bytes += (dnnl_memory_desc_get_size(used) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    need_memory(l, bytes);
    return status;
}

/* Gives the pass its memories. */
static dnnl_status_t bind_pass(td_onednn_linear *l, td_pass which) {
    pass *p = &l->passes[which];
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < ARRAY_COUNT && p->primitive != NULL; i++) {
        int kind = roles[which].kinds[i];
        operand *o = &p->operands[i];
        if (kind == 0) {
            continue;
        }
        status = dnnl_memory_create(&o->given, &l->given[i], l->engine, DNNL_MEMORY_NONE);
        if (status == dnnl_success && o->reorder != NULL) {
            status = dnnl_memory_create(&o->used, used_desc(p->pd, kind), l->engine,
                                        l->memory + o->offset);
        }
        if (status != dnnl_success) {
            return status;
        }
        p->arguments[p->argument_count++] =
            (dnnl_exec_arg_t){kind, o->reorder != NULL ? o->used : o->given};
    }
    p->arguments[p->argument_count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, l->scratchpad};
    return status;
}

/* ---- Create, destroy. */

static dnnl_status_t prepare(td_onednn_linear *l) {
    dnnl_status_t status = dnnl_primitive_attr_create(&l->attributes);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(l->attributes, dnnl_scratchpad_mode_user);
    }
    if (status == dnnl_success) {
        status = dnnl_stream_create(&l->stream, l->engine, 0);
    }
    for (int i = 0; i < TD_PASS_COUNT && status == dnnl_success; i++) {
        status = prepare_pass(l, (td_pass)i);
    }
    return status;
}

static dnnl_status_t bind(td_onednn_linear *l) {
    dnnl_memory_desc_t desc;
    dnnl_dims_t dims = {(dnnl_dim_t)l->scratchpad_bytes};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc, 1, dims, dnnl_u8, dnnl_a);
    if (status == dnnl_success) {
        status = dnnl_memory_create(&l->scratchpad, &desc, l->engine, l->scratchpad_memory);
    }
    for (int i = 0; i < TD_PASS_COUNT && status == dnnl_success; i++) {
        status = bind_pass(l, (td_pass)i);
    }
    return status;
}

static tdsnn_status create(tdsnn_context *ctx, td_onednn_linear *l) {
    tdsnn_status started = td_onednn_start(ctx, &l->engine);
    if (started != TDSNN_OK ||
        !td_onednn_fits(&l->geometry.window, l->geometry.in, l->geometry.out, l->geometry.batch)) {
        return started;
    }
    dnnl_status_t status = describe(&l->geometry, l->given);
    if (status == dnnl_success) {
        status = prepare(l);
    }
    l->memory = td_alloc(ctx, l->bytes, 1);
    l->scratchpad_memory = td_alloc(ctx, l->scratchpad_bytes, 1);
    l->bias = td_alloc(ctx, (size_t)l->geometry.out.c, sizeof *l->bias);
    if (l->memory == NULL || l->scratchpad_memory == NULL || l->bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (status == dnnl_success) {
        status = bind(l);
    }
    return status == dnnl_success
               ? TDSNN_OK
               : td_error(ctx, TDSNN_ERR_RUNTIME, "oneDNN gives no gradients: its status is %d",
                          (int)status);
}

tdsnn_status td_onednn_linear_create(tdsnn_context *ctx, const td_linear_geometry *geometry,
                                     td_onednn_linear **linear) {
    td_onednn_linear *l = td_alloc(ctx, 1, sizeof *l);
    if (l == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    l->geometry = *geometry;
    int threads = td_onednn_set_threads(1);
    tdsnn_status status = create(ctx, l);
    td_onednn_set_threads(threads);
    for (int i = 0; i < TD_PASS_COUNT; i++) {
        dnnl_primitive_desc_destroy(l->passes[i].pd);
    }
    dnnl_primitive_attr_destroy(l->attributes);
    if (status != TDSNN_OK) {
        td_onednn_linear_destroy(l);
        return status;
    }
    *linear = l;
    return TDSNN_OK;
}

static void destroy_pass(pass *p) {
    dnnl_primitive_destroy(p->primitive);
    for (int i = 0; i < ARRAY_COUNT; i++) {
        dnnl_memory_destroy(p->operands[i].given);
        dnnl_memory_destroy(p->operands[i].used);
        dnnl_primitive_destroy(p->operands[i].reorder);
    }
}

void td_onednn_linear_destroy(td_onednn_linear *l) {
    if (l == NULL) {
        return;
    }
    for (int i = 0; i < TD_PASS_COUNT; i++) {
        destroy_pass(&l->passes[i]);
    }
    dnnl_memory_destroy(l->scratchpad);
    if (l->stream != NULL) {
        dnnl_stream_destroy(l->stream);
    }
    dnnl_engine_destroy(l->engine);
    td_free(l->memory);
    td_free(l->scratchpad_memory);
    td_free(l->bias);
    td_free(l);
}

/* ---- Runs. */

bool td_onednn_linear_has(const td_onednn_linear *linear, td_pass which) {
    return linear->passes[which].primitive != NULL || linear->passes[which].columns;
}

static dnnl_status_t reorder(td_onednn_linear *l, const operand *o, bool written) {
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, written ? o->used : o->given},
                                         {DNNL_ARG_TO, written ? o->given : o->used},
                                         {DNNL_ARG_SCRATCHPAD, l->scratchpad}};
    return dnnl_primitive_execute(o->reorder, l->stream, 3, arguments);
}

static dnnl_status_t reorder_all(td_onednn_linear *l, td_pass which, bool written) {
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < ARRAY_COUNT && status == dnnl_success; i++) {
        const operand *o = &l->passes[which].operands[i];
        if (o->reorder != NULL && roles[which].written[i] == written) {
            status = reorder(l, o, written);
        }
    }
    return status;
}

static dnnl_status_t run(td_onednn_linear *l, td_pass which, const td_linear_arrays *arrays) {
    const pass *p = &l->passes[which];
    float *given[ARRAY_COUNT] = {arrays->input, arrays->weights, arrays->bias, arrays->output};
    dnnl_status_t status = dnnl_success;
    if (p->columns) {
        return td_onednn_columns_run(&l->geometry, arrays, (float *)(void *)l->memory);
    }
    if (given[BIAS] == NULL) {
        memset(l->bias, 0, (size_t)l->geometry.out.c * sizeof *l->bias);
        given[BIAS] = l->bias;
    }
    for (int i = 0; i < ARRAY_COUNT && status == dnnl_success; i++) {
        if (roles[which].kinds[i] != 0) {
            status = dnnl_memory_set_data_handle(p->operands[i].given, given[i]);
        }
    }
    if (status == dnnl_success) {
        status = reorder_all(l, which, false);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_execute(p->primitive, l->stream, p->argument_count, p->arguments);
    }
    if (status == dnnl_success) {
        status = reorder_all(l, which, true);
    }
    return status == dnnl_success ? dnnl_stream_wait(l->stream) : status;
}

bool td_onednn_linear_run(td_onednn_linear *linear, td_pass which, const td_linear_arrays *arrays) {
    int threads = td_onednn_set_threads(1);
    dnnl_status_t status = run(linear, which, arrays);
    td_onednn_set_threads(threads);
    return status == dnnl_success;
}
