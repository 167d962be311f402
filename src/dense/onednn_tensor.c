/* Tensors, constants and steps of a graph being compiled. */
#include <limits.h>
#include <string.h>

#include "dense/onednn_compiler.h"

#define ALIGNMENT 64

bool td_onednn_failed(td_onednn_compiler *c, dnnl_status_t status) {
    if (status == dnnl_success) {
        return false;
    }
    td_error(c->ctx, TDSNN_ERR_RUNTIME, "%s: oneDNN does not run it: its status is %d",
             c->graph->nodes[c->node].name, (int)status);
    return true;
}

bool td_onednn_describe(td_onednn_compiler *c, td_shape shape, bool any, dnnl_memory_desc_t *desc) {
    dnnl_dims_t dims = {c->out->batch, shape.c, shape.h, shape.w};
    dnnl_format_tag_t tag = any ? dnnl_format_tag_any : shape.flat ? dnnl_ab : dnnl_abcd;
    return !td_onednn_failed(
        c, dnnl_memory_desc_init_by_tag(desc, shape.flat ? 2 : 4, dims, dnnl_f32, tag));
}

/* ---- Tensors. */

static int add_buffer(td_onednn_compiler *c, size_t bytes) {
    td_onednn *out = c->out;
    size_t sum;
    if (!td_size_add(bytes, ALIGNMENT - 1, &bytes) || !td_size_add(out->bytes, bytes, &sum)) {
        td_error(c->ctx, TDSNN_ERR_RUNTIME, "no memory for the values of %d samples", out->batch);
        return -1;
    }
    if (td_reserve(c->ctx, &out->buffers, &out->buffer_capacity, (size_t)out->buffer_count + 1,
                   sizeof *out->buffers) != TDSNN_OK) {
        return -1;
    }
    out->bytes = sum; /* an upper bound, until they are placed */
    out->buffers[out->buffer_count] = (td_onednn_buffer){
        .bytes = bytes / ALIGNMENT * ALIGNMENT, .first = out->step_count, .last = out->step_count};
    return out->buffer_count++;
}

int td_onednn_add_tensor(td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc,
                         int over) {
    td_onednn *out = c->out;
    int buffer =
        over >= 0 ? out->tensors[over].buffer : add_buffer(c, dnnl_memory_desc_get_size(desc));
    if (buffer < 0 || td_reserve(c->ctx, &out->tensors, &out->tensor_capacity,
                                 (size_t)out->tensor_count + 1, sizeof *out->tensors) != TDSNN_OK) {
        return -1;
    }
    int added = out->tensor_count++;
    out->tensors[added] = (td_onednn_tensor){.desc = *desc, .buffer = buffer, .next = -1};
    if (c->tensors[node] < 0) {
        c->tensors[node] = added;
    } else {
        td_onednn_tensor *first = &out->tensors[c->tensors[node]];
        out->tensors[added].next = first->next;
        first->next = added;
    }
    return added;
}

dnnl_memory_desc_t td_onednn_native(const td_onednn_compiler *c, int node) {
    return c->out->tensors[c->tensors[node]].desc;
}

int td_onednn_find(const td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc) {
    int t = c->tensors[node];
    while (t >= 0 && !dnnl_memory_desc_equal(&c->out->tensors[t].desc, desc)) {
        t = c->out->tensors[t].next;
    }
    return t;
}

int td_onednn_in(td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc) {
    int found = td_onednn_find(c, node, desc);
    if (found >= 0) {
        return found;
    }
    int made = td_onednn_add_tensor(c, node, desc, -1);
    return made >= 0 && td_onednn_add_copy(c, c->tensors[node], NULL, made) ? made : -1;
}

/* A FLATTEN's are its input's numbers in the same place. */
static int flatten(td_onednn_compiler *c, int node, const dnnl_memory_desc_t *desc) {
    int input = td_onednn_in_plain(c, c->graph->nodes[node].inputs[0]);
    return input < 0 ? -1 : td_onednn_add_tensor(c, node, desc, input);
}

int td_onednn_in_plain(td_onednn_compiler *c, int node) {
    dnnl_memory_desc_t desc;
    if (!td_onednn_describe(c, c->graph->nodes[node].shape, false, &desc)) {
        return -1;
    }
    return c->tensors[node] < 0 ? flatten(c, node, &desc) : td_onednn_in(c, node, &desc);
}

bool td_onednn_finish(td_onednn_compiler *c, int node) {
    const td_node *n = &c->graph->nodes[node];
    c->done[node] = true;
    for (int k = 0; k < n->input_count; k++) {
        c->left[n->inputs[k]]--;
    }
    if (c->kept[node]) {
        int plain = td_onednn_in_plain(c, node);
        if (plain < 0) {
            return false;
        }
        c->out->plain[node] = plain;
        c->out->buffers[c->out->tensors[plain].buffer].last = INT_MAX;
    }
    return true;
}

/* ---- Constants. */

static bool reorder_now(td_onednn_compiler *c, dnnl_memory_t from, const dnnl_memory_desc_t *given,
                        dnnl_memory_t to, const dnnl_memory_desc_t *wanted) {
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_engine_t engine = c->out->engine;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&pd, given, engine, wanted, engine, NULL);
    if (status == dnnl_success) {
        status = dnnl_primitive_create(&reorder, pd);
    }
    if (status == dnnl_success) {
        status = dnnl_stream_create(&stream, engine, 0);
    }
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
        status = dnnl_primitive_execute(reorder, stream, 2, arguments);
    }
    if (status == dnnl_success) {
        status = dnnl_stream_wait(stream);
    }
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_destroy(reorder);
    if (stream != NULL) {
        dnnl_stream_destroy(stream);
    }
    return !td_onednn_failed(c, status);
}

bool td_onednn_add_constant(td_onednn_compiler *c, const float *data,
                            const dnnl_memory_desc_t *given, const dnnl_memory_desc_t *wanted,
                            dnnl_memory_t *memory) {
    td_onednn *out = c->out;
    bool same = dnnl_memory_desc_equal(given, wanted);
    if (td_reserve(c->ctx, &out->constants, &out->constant_capacity,
                   (size_t)out->constant_count + 1, sizeof *out->constants) != TDSNN_OK) {
        return false;
    }
    /* oneDNN only reads it */
    if (td_onednn_failed(c, dnnl_memory_create(memory, wanted, out->engine,
                                               same ? (void *)data : DNNL_MEMORY_ALLOCATE))) {
        return false;
    }
    out->constants[out->constant_count++] = *memory;
    if (same) {
        return true;
    }
    dnnl_memory_t from = NULL;
    if (td_onednn_failed(c, dnnl_memory_create(&from, given, out->engine, (void *)data))) {
        return false;
    }
    bool packed = reorder_now(c, from, given, *memory, wanted);
    dnnl_memory_destroy(from);
    return packed;
}

/* ---- Steps. */

/* Appends the step; the buffers of its tensors live until then. */
static bool append_step(td_onednn_compiler *c, td_onednn_step step,
                        const td_onednn_argument *arguments) {
    td_onednn *out = c->out;
    size_t count = (size_t)step.argument_count;
    step.node = c->node;
    step.arguments = td_arena_alloc(out->arena, count, sizeof *step.arguments);
    if (step.arguments == NULL ||
        td_reserve(c->ctx, &out->steps, &out->step_capacity, (size_t)out->step_count + 1,
                   sizeof *out->steps) != TDSNN_OK) {
        dnnl_primitive_destroy(step.primitive);
        return false;
    }
    memcpy(step.arguments, arguments, count * sizeof *arguments);
    for (size_t i = 0; i < count; i++) {
        if (arguments[i].tensor >= 0) {
            td_onednn_buffer *buffer = &out->buffers[out->tensors[arguments[i].tensor].buffer];
            buffer->last = buffer->last > out->step_count ? buffer->last : out->step_count;
        }
    }
    out->most_arguments =
        step.argument_count > out->most_arguments ? step.argument_count : out->most_arguments;
    size_t scratchpad = dnnl_memory_desc_get_size(&step.scratchpad);
    out->scratchpad_bytes = scratchpad > out->scratchpad_bytes ? scratchpad : out->scratchpad_bytes;
    out->steps[out->step_count++] = step;
    return true;
}

bool td_onednn_add_step(td_onednn_compiler *c, dnnl_primitive_desc_t pd, int count,
                        const td_onednn_argument *arguments) {
    td_onednn_step step = {.argument_count = count};
    const dnnl_memory_desc_t *scratchpad =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (scratchpad != NULL) {
        step.scratchpad = *scratchpad;
    }
    dnnl_status_t status = dnnl_primitive_create(&step.primitive, pd);
    dnnl_primitive_desc_destroy(pd);
    return !td_onednn_failed(c, status) && append_step(c, step, arguments);
}

bool td_onednn_add_plain(td_onednn_compiler *c) {
    const td_node *node = &c->graph->nodes[c->node];
    td_onednn_argument *arguments =
        td_alloc(c->ctx, (size_t)node->input_count + 1, sizeof *arguments);
    dnnl_memory_desc_t desc;
    bool ok = arguments != NULL && td_onednn_describe(c, node->shape, false, &desc);
    for (int k = 0; k < node->input_count && ok; k++) {
        arguments[k].tensor = td_onednn_in_plain(c, node->inputs[k]);
        ok = arguments[k].tensor >= 0;
    }
    if (ok) {
        td_onednn_argument *output = &arguments[node->input_count];
        output->tensor = td_onednn_add_tensor(c, c->node, &desc, -1);
        ok = output->tensor >= 0 &&
             append_step(c, (td_onednn_step){.argument_count = node->input_count + 1}, arguments);
    }
    td_free(arguments);
    return ok && td_onednn_finish(c, c->node);
}

static dnnl_primitive_attr_t own_scratchpad(td_onednn_compiler *c) {
    dnnl_primitive_attr_t attributes = NULL;
    if (td_onednn_failed(c, dnnl_primitive_attr_create(&attributes))) {
        return NULL;
    }
    dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    return attributes;
}

bool td_onednn_add_copy(td_onednn_compiler *c, int from, const dnnl_memory_desc_t *part, int to) {
    dnnl_primitive_attr_t attributes = own_scratchpad(c);
    if (attributes == NULL) {
        return false;
    }
    dnnl_primitive_desc_t pd = NULL;
    const td_onednn_tensor *tensors = c->out->tensors;
    dnnl_engine_t engine = c->out->engine;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&pd, part != NULL ? part : &tensors[from].desc, engine,
                                           &tensors[to].desc, engine, attributes);
    dnnl_primitive_attr_destroy(attributes);
    const td_onednn_argument arguments[] = {{DNNL_ARG_FROM, from, NULL}, {DNNL_ARG_TO, to, NULL}};
    return !td_onednn_failed(c, status) && td_onednn_add_step(c, pd, 2, arguments);
}

dnnl_primitive_desc_t td_onednn_choose(td_onednn_compiler *c, const void *op,
                                       dnnl_primitive_attr_t attributes) {
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t own = attributes == NULL ? own_scratchpad(c) : NULL;
    dnnl_status_t status = dnnl_primitive_desc_create(
        &pd, op, attributes == NULL ? own : attributes, c->out->engine, NULL);
    dnnl_primitive_attr_destroy(own);
    if (status != dnnl_success) {
        return NULL;
    }
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    if (strncmp(name, "ref", 3) == 0) {
        dnnl_primitive_desc_destroy(pd);
        return NULL;
    }
    return pd;
}
