/* A graph becomes steps of oneDNN, node after node. */
#include <dnnl_version.h>
#include <stdlib.h>
#include <string.h>

#include "dense/onednn_compiler.h"

/* A pool's windows beyond this make the code that oneDNN generates for them too large. */
#define LARGEST_POOL 256

/* ---- Operators other than convolutions and inner products. Each tries for a primitive that works
 * on the layout its input has; where there is none, plain C does it. */

/* One input, one output; consumes pd. */
static bool add_unary(td_onednn_compiler *c, dnnl_primitive_desc_t pd, dnnl_memory_t operand) {
    const dnnl_memory_desc_t *to = dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
    int from = c->tensors[c->graph->nodes[c->node].inputs[0]];
    const td_onednn_argument arguments[] = {
        {DNNL_ARG_SRC, from, NULL},
        {DNNL_ARG_DST, td_onednn_add_tensor(c, c->node, to, -1), NULL},
        {DNNL_ARG_SRC_1, -1, operand}};
    if (arguments[1].tensor < 0) {
        dnnl_primitive_desc_destroy(pd);
        return false;
    }
    return td_onednn_add_step(c, pd, operand != NULL ? 3 : 2, arguments) &&
           td_onednn_finish(c, c->node);
}

static bool add_activation(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    dnnl_memory_desc_t from = td_onednn_native(c, node->inputs[0]);
    dnnl_eltwise_desc_t desc;
    bool clip = node->op == TD_OP_CLIP;
    float alpha = clip ? node->low : node->op == TD_OP_LEAKY ? node->negative : 0.0f;
    dnnl_status_t status = dnnl_eltwise_forward_desc_init(
        &desc, dnnl_forward_inference, clip ? dnnl_eltwise_clip : dnnl_eltwise_relu, &from, alpha,
        clip ? node->high : 0.0f);
    dnnl_primitive_desc_t pd = status == dnnl_success ? td_onednn_choose(c, &desc, NULL) : NULL;
    return pd != NULL ? add_unary(c, pd, NULL) : td_onednn_add_plain(c);
}

/* SUB, DIV, MUL, SHIFT: one constant a channel. */
static bool add_affine(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    dnnl_alg_kind_t kind = node->op == TD_OP_SUB   ? dnnl_binary_sub
                           : node->op == TD_OP_DIV ? dnnl_binary_div
                           : node->op == TD_OP_MUL ? dnnl_binary_mul
                                                   : dnnl_binary_add;
    dnnl_memory_desc_t from = td_onednn_native(c, node->inputs[0]), operand;
    dnnl_dims_t dims = {1, node->shape.c, 1, 1};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&operand, from.ndims, dims, dnnl_f32,
                                                        from.ndims == 2 ? dnnl_ab : dnnl_abcd);
    dnnl_binary_desc_t desc;
    if (status == dnnl_success) {
        status = dnnl_binary_desc_init(&desc, kind, &from, &operand, &from);
    }
    dnnl_primitive_desc_t pd = status == dnnl_success ? td_onednn_choose(c, &desc, NULL) : NULL;
    if (pd == NULL) {
        return td_onednn_add_plain(c);
    }
    dnnl_memory_t memory;
    if (!td_onednn_add_constant(c, node->operand, &operand, &operand, &memory)) {
        dnnl_primitive_desc_destroy(pd);
        return false;
    }
    return add_unary(c, pd, memory);
}

/* Whether every output's window has a member; what oneDNN makes of one without is its own. */
static bool has_members(const td_axis *axis, int outputs, int size) {
    for (int o = 0; o < outputs; o++) {
        int first, end;
        td_axis_taps(axis, o, size, &first, &end);
        if (first == end) {
            return false;
        }
    }
    return true;
}

static bool suits_pool(const td_axis *axis, int outputs, int size) {
    return axis->dilation == 1 && axis->kernel <= LARGEST_POOL && axis->stride <= LARGEST_POOL &&
           has_members(axis, outputs, size);
}

static bool add_pool(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    const td_axis *y = &node->window.y, *x = &node->window.x;
    td_shape in = c->graph->nodes[node->inputs[0]].shape;
    dnnl_memory_desc_t from = td_onednn_native(c, node->inputs[0]), to;
    dnnl_alg_kind_t kind = node->op == TD_OP_MAXPOOL ? dnnl_pooling_max
                           : node->count_padding     ? dnnl_pooling_avg_include_padding
                                                     : dnnl_pooling_avg_exclude_padding;
    dnnl_dims_t strides = {y->stride, x->stride}, kernel = {y->kernel, x->kernel};
    dnnl_dims_t begin = {y->pad_begin, x->pad_begin}, end = {y->pad_end, x->pad_end};
    dnnl_pooling_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    if (suits_pool(y, node->shape.h, in.h) && suits_pool(x, node->shape.w, in.w) &&
        td_onednn_describe(c, node->shape, true, &to) &&
        dnnl_pooling_forward_desc_init(&desc, dnnl_forward_inference, kind, &from, &to, strides,
                                       kernel, begin, end) == dnnl_success) {
        pd = td_onednn_choose(c, &desc, NULL);
    }
    return pd != NULL ? add_unary(c, pd, NULL) : td_onednn_add_plain(c);
}

/* ---- Operators with several inputs. */

typedef struct inputs {
    dnnl_memory_desc_t *descs;     /* [count] */
    float *scales;                 /* of a sum: 1 */
    td_onednn_argument *arguments; /* [count + 1] the output's is the last */
} inputs;

static void inputs_free(inputs *v) {
    td_free(v->descs);
    td_free(v->scales);
    td_free(v->arguments);
}

/* The inputs as they lie, or all as the first does. */
static bool gather(td_onednn_compiler *c, bool alike, inputs *v) {
    const td_node *node = &c->graph->nodes[c->node];
    size_t count = (size_t)node->input_count;
    *v = (inputs){td_alloc(c->ctx, count, sizeof *v->descs),
                  td_alloc(c->ctx, count, sizeof *v->scales),
                  td_alloc(c->ctx, count + 1, sizeof *v->arguments)};
    bool ok = v->descs != NULL && v->scales != NULL && v->arguments != NULL;
    for (int k = 0; ok && k < node->input_count; k++) {
        dnnl_memory_desc_t desc = td_onednn_native(c, node->inputs[alike ? 0 : k]);
        int tensor = td_onednn_in(c, node->inputs[k], &desc);
        v->descs[k] = desc;
        v->scales[k] = 1.0f;
        v->arguments[k] = (td_onednn_argument){DNNL_ARG_MULTIPLE_SRC + k, tensor, NULL};
        ok = tensor >= 0;
    }
    return ok;
}

/* Consumes pd. */
static bool add_joined(td_onednn_compiler *c, inputs *v, dnnl_primitive_desc_t pd) {
    const td_node *node = &c->graph->nodes[c->node];
    const dnnl_memory_desc_t *to = dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
    int tensor = td_onednn_add_tensor(c, c->node, to, -1);
    if (tensor < 0) {
        dnnl_primitive_desc_destroy(pd);
        return false;
    }
    v->arguments[node->input_count] = (td_onednn_argument){DNNL_ARG_DST, tensor, NULL};
    return td_onednn_add_step(c, pd, node->input_count + 1, v->arguments) &&
           td_onednn_finish(c, c->node);
}

/* ADD and CONCAT. */
static bool add_join(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    bool sum = node->op == TD_OP_ADD;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    inputs v;
    bool ok = gather(c, sum, &v);
    dnnl_status_t status = ok ? dnnl_primitive_attr_create(&attributes) : dnnl_out_of_memory;
    if (status == dnnl_success) {
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
        dnnl_engine_t engine = c->out->engine;
        int count = node->input_count;
        status = sum ? dnnl_sum_primitive_desc_create(&pd, &v.descs[0], count, v.scales, v.descs,
                                                      attributes, engine)
                     : dnnl_concat_primitive_desc_create(&pd, NULL, count, 1, v.descs, attributes,
                                                         engine);
    }
    if (ok) {
        ok = status == dnnl_success ? add_joined(c, &v, pd) : td_onednn_add_plain(c);
    }
    dnnl_primitive_attr_destroy(attributes);
    inputs_free(&v);
    return ok;
}

/* ---- The rest. */

/* The same layout for another shape: one of those that oneDNN's primitives like. */
static bool describe_alike(td_onednn_compiler *c, const dnnl_memory_desc_t *model, td_shape shape,
                           dnnl_memory_desc_t *desc) {
    static const dnnl_format_tag_t tags[] = {dnnl_aBcd16b, dnnl_aBcd8b, dnnl_acdb, dnnl_abcd};
    dnnl_dims_t dims = {c->out->batch, shape.c, shape.h, shape.w};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (dnnl_memory_desc_init_by_tag(desc, 4, model->dims, dnnl_f32, tags[i]) == dnnl_success &&
            dnnl_memory_desc_equal(desc, model)) {
            return dnnl_memory_desc_init_by_tag(desc, 4, dims, dnnl_f32, tags[i]) == dnnl_success;
        }
    }
    return false;
}

/* A choice of channels: copied in the layout it has, where its first channel starts a block. */
static bool add_slice(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    int input = node->inputs[0];
    dnnl_memory_desc_t from = td_onednn_native(c, input), part, to;
    dnnl_dims_t dims = {c->out->batch, node->shape.c, node->shape.h, node->shape.w};
    dnnl_dims_t offsets = {0, node->first_channel};
    if (from.ndims != 4 || !describe_alike(c, &from, node->shape, &to) ||
        dnnl_memory_desc_init_submemory(&part, &from, dims, offsets) != dnnl_success) {
        return td_onednn_add_plain(c);
    }
    int made = td_onednn_add_tensor(c, c->node, &to, -1);
    return made >= 0 && td_onednn_add_copy(c, c->tensors[input], &part, made) &&
           td_onednn_finish(c, c->node);
}

/* Inner products read through it; it is made for others alone. */
static bool add_flatten(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    c->viewed[node->inputs[0]] = true;
    bool others = c->kept[c->node] || c->readers[c->node] != 1 ||
                  c->graph->nodes[c->reader[c->node]].op != TD_OP_INNER;
    return (!others || td_onednn_in_plain(c, c->node) >= 0) && td_onednn_finish(c, c->node);
}

static bool add_node(td_onednn_compiler *c) {
    switch (c->graph->nodes[c->node].op) {
    case TD_OP_CONV:
    case TD_OP_INNER:
        return td_onednn_add_linear(c);
    case TD_OP_RELU:
    case TD_OP_CLIP:
    case TD_OP_LEAKY:
        return add_activation(c);
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        return add_affine(c);
    case TD_OP_MAXPOOL:
    case TD_OP_AVGPOOL:
        return add_pool(c);
    case TD_OP_ADD:
    case TD_OP_CONCAT:
        return add_join(c);
    case TD_OP_SLICE:
        return add_slice(c);
    case TD_OP_FLATTEN:
        return add_flatten(c);
    default:
        return td_onednn_add_plain(c);
    }
}

/* ---- The graph. */

/* Marks what is kept, what that needs, and who reads it. */
static void look_around(td_onednn_compiler *c, const td_dense_options *options) {
    int logits = td_graph_logits(c->graph);
    for (int i = c->graph->node_count - 1; i >= 0; i--) {
        const td_node *node = &c->graph->nodes[i];
        c->tensors[i] = c->out->plain[i] = -1;
        c->kept[i] =
            i == logits || options->keep_all || (options->kept != NULL && options->kept[i]);
        c->needed[i] = c->needed[i] || c->kept[i];
        for (int k = 0; k < node->input_count && c->needed[i]; k++) {
            int input = node->inputs[k];
            c->needed[input] = true;
            c->left[input] = ++c->readers[input];
            c->reader[input] = i;
        }
    }
}

static bool add_input(td_onednn_compiler *c) {
    dnnl_memory_desc_t desc;
    if (!td_onednn_describe(c, c->graph->nodes[0].shape, false, &desc)) {
        return false;
    }
    c->out->input = td_onednn_add_tensor(c, 0, &desc, -1);
    return c->out->input >= 0 && td_onednn_finish(c, 0);
}

/* What the node read from earlier ones stays until its last step is done: it may be repeated. */
static void keep_sources(td_onednn_compiler *c) {
    td_onednn *out = c->out;
    int first = out->first_step[c->node], last = out->step_count - 1;
    for (int i = first; i <= last; i++) {
        for (int k = 0; k < out->steps[i].argument_count; k++) {
            int tensor = out->steps[i].arguments[k].tensor;
            td_onednn_buffer *buffer =
                tensor < 0 ? NULL : &out->buffers[out->tensors[tensor].buffer];
            if (buffer != NULL && buffer->first < first && buffer->last < last) {
                buffer->last = last;
            }
        }
    }
}

static bool add_all(td_onednn_compiler *c) {
    bool ok = add_input(c);
    for (c->node = 1; c->node < c->graph->node_count && ok; c->node++) {
        c->out->first_step[c->node] = c->out->step_count;
        ok = !c->needed[c->node] || c->done[c->node] || add_node(c);
        keep_sources(c);
    }
    c->out->first_step[c->graph->node_count] = c->out->step_count;
    return ok;
}

static bool compiler_create(td_onednn_compiler *c) {
    size_t count = (size_t)c->graph->node_count;
    c->kept = td_alloc(c->ctx, count, sizeof *c->kept);
    c->needed = td_alloc(c->ctx, count, sizeof *c->needed);
    c->done = td_alloc(c->ctx, count, sizeof *c->done);
    c->viewed = td_alloc(c->ctx, count, sizeof *c->viewed);
    c->readers = td_alloc(c->ctx, count, sizeof *c->readers);
    c->left = td_alloc(c->ctx, count, sizeof *c->left);
    c->reader = td_alloc(c->ctx, count, sizeof *c->reader);
    c->tensors = td_alloc(c->ctx, count, sizeof *c->tensors);
    return c->kept != NULL && c->needed != NULL && c->done != NULL && c->viewed != NULL &&
           c->readers != NULL && c->left != NULL && c->reader != NULL && c->tensors != NULL;
}

static void compiler_free(td_onednn_compiler *c) {
    td_free(c->kept);
    td_free(c->needed);
    td_free(c->done);
    td_free(c->viewed);
    td_free(c->readers);
    td_free(c->left);
    td_free(c->reader);
    td_free(c->tensors);
}

tdsnn_status td_onednn_start(tdsnn_context *ctx, dnnl_engine_t *engine) {
    const char *most = getenv("TDSNN_CPU");
    if (most != NULL) {
        td_onednn_limit_isa(most); /* of no effect from the second time on */
    }
    dnnl_status_t status = dnnl_engine_create(engine, dnnl_cpu, 0);
    return status == dnnl_success
               ? TDSNN_OK
               : td_error(ctx, TDSNN_ERR_RUNTIME, "oneDNN does not start: its status is %d",
                          (int)status);
}

static tdsnn_status compile(tdsnn_context *ctx, td_onednn *out, const td_dense_options *options) {
    size_t count = (size_t)out->graph->node_count;
    td_onednn_compiler c = {.ctx = ctx, .graph = out->graph, .out = out};
    out->arena = td_arena_create(ctx);
    out->plain = td_alloc(ctx, count, sizeof *out->plain);
    out->first_step = td_alloc(ctx, count + 1, sizeof *out->first_step);
    if (out->arena == NULL || out->plain == NULL || out->first_step == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = td_onednn_start(ctx, &out->engine);
    if (status != TDSNN_OK) {
        return status;
    }
    bool ok = compiler_create(&c);
    if (ok) {
        look_around(&c, options);
        ok = add_all(&c);
    }
    compiler_free(&c);
    return ok ? td_onednn_place_buffers(ctx, out) : TDSNN_ERR_RUNTIME;
}

/* From the narrowest to the widest. */
static const struct instruction_set {
    const char *name;
    dnnl_cpu_isa_t isa;
} instruction_sets[] = {{"scalar", dnnl_cpu_isa_sse41},
                        {"avx2", dnnl_cpu_isa_avx2},
                        {"avx512", dnnl_cpu_isa_avx512_core}};
#define SET_COUNT (sizeof instruction_sets / sizeof instruction_sets[0])

bool td_onednn_limit_isa(const char *name) {
    for (size_t i = 0; i < SET_COUNT; i++) {
        if (strcmp(name, instruction_sets[i].name) == 0) {
            return dnnl_set_max_cpu_isa(instruction_sets[i].isa) == dnnl_success;
        }
    }
    return false;
}

/* A wider set has the bits of the narrower ones. */
const char *td_onednn_isa(void) {
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    size_t i = SET_COUNT - 1;
    while (i > 0 && (isa & instruction_sets[i].isa) != (unsigned)instruction_sets[i].isa) {
        i--;
    }
    return instruction_sets[i].name;
}

tdsnn_status td_onednn_create(tdsnn_context *ctx, const td_graph *graph,
                              const td_dense_options *options, td_onednn **compiled) {
    td_onednn *out = td_alloc(ctx, 1, sizeof *out);
    if (out == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    out->graph = graph;
    out->batch = options->batch > 0 ? options->batch : 1;
    out->threads = options->threads > 0 ? options->threads : 1;
    int threads = td_onednn_set_threads(out->threads);
    tdsnn_status status = compile(ctx, out, options);
    td_onednn_set_threads(threads);
    if (status != TDSNN_OK) {
        td_onednn_destroy(out);
        return status;
    }
    *compiled = out;
    return TDSNN_OK;
}

void td_onednn_destroy(td_onednn *compiled) {
    if (compiled == NULL) {
        return;
    }
    for (int i = 0; i < compiled->step_count; i++) {
        dnnl_primitive_destroy(compiled->steps[i].primitive);
    }
    for (int i = 0; i < compiled->constant_count; i++) {
        dnnl_memory_destroy(compiled->constants[i]);
    }
    dnnl_engine_destroy(compiled->engine);
    td_free(compiled->plain);
    td_free(compiled->first_step);
    td_free(compiled->buffers);
    td_free(compiled->tensors);
    td_free(compiled->steps);
    td_free(compiled->constants);
    td_arena_destroy(compiled->arena);
    td_free(compiled);
}

size_t td_onednn_session_bytes(const td_onednn *compiled) {
    return compiled->bytes + compiled->scratchpad_bytes;
}

bool td_onednn_present(void) {
    return true;
}

#define TEXT(x) #x
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *td_onednn_name(void) {
    return "oneDNN " VERSION(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);
}
