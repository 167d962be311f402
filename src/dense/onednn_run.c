/* Sessions of a compiled graph. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/clock.h"
#include "dense/onednn_internal.h"
#include "dense/plain.h"

struct td_onednn_session {
    const td_onednn *compiled;
    unsigned char *memory, *scratchpad;
    dnnl_stream_t stream;
    dnnl_memory_t *tensors;      /* [tensor_count] */
    dnnl_memory_t *scratchpads;  /* [step_count], NULL where a step needs none */
    dnnl_exec_arg_t **arguments; /* [step_count][of the step, and the scratchpad] */
    const float **inputs;        /* of the plain C under way */
    td_arena *arena;
    double *seconds; /* [node_count] or NULL: see td_dense_profile */
};

int td_onednn_set_threads(int threads) {
    int before = omp_get_max_threads();
    if (threads != before) {
        omp_set_num_threads(threads);
    }
    return before;
}

static float *tensor_data(const td_onednn_session *s, int tensor) {
    const td_onednn *compiled = s->compiled;
    int buffer = compiled->tensors[tensor].buffer;
    return (float *)(void *)(s->memory + compiled->buffers[buffer].offset);
}

static dnnl_status_t make_memories(td_onednn_session *s) {
    const td_onednn *compiled = s->compiled;
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < compiled->tensor_count && status == dnnl_success; i++) {
        status = dnnl_memory_create(&s->tensors[i], &compiled->tensors[i].desc, compiled->engine,
                                    tensor_data(s, i));
    }
    for (int i = 0; i < compiled->step_count && status == dnnl_success; i++) {
        const td_onednn_step *step = &compiled->steps[i];
        if (dnnl_memory_desc_get_size(&step->scratchpad) > 0) {
            status = dnnl_memory_create(&s->scratchpads[i], &step->scratchpad, compiled->engine,
                                        s->scratchpad);
        }
    }
    return status == dnnl_success ? dnnl_stream_create(&s->stream, compiled->engine, 0) : status;
}

static tdsnn_status bind_arguments(td_onednn_session *s) {
    for (int i = 0; i < s->compiled->step_count; i++) {
        const td_onednn_step *step = &s->compiled->steps[i];
        dnnl_exec_arg_t *arguments =
            td_arena_alloc(s->arena, (size_t)step->argument_count + 1, sizeof *arguments);
        if (arguments == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        for (int k = 0; k < step->argument_count; k++) {
            const td_onednn_argument *a = &step->arguments[k];
            arguments[k] =
                (dnnl_exec_arg_t){a->kind, a->tensor >= 0 ? s->tensors[a->tensor] : a->constant};
        }
        arguments[step->argument_count] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, s->scratchpads[i]};
        s->arguments[i] = arguments;
    }
    return TDSNN_OK;
}

static tdsnn_status create(tdsnn_context *ctx, td_onednn_session *s) {
    const td_onednn *compiled = s->compiled;
    size_t steps = (size_t)compiled->step_count;
    s->arena = td_arena_create(ctx);
    s->memory = td_alloc(ctx, compiled->bytes, 1);
    s->scratchpad = td_alloc(ctx, compiled->scratchpad_bytes, 1);
    s->tensors = td_alloc(ctx, (size_t)compiled->tensor_count, sizeof *s->tensors);
    s->scratchpads = td_alloc(ctx, steps, sizeof *s->scratchpads);
    s->arguments = td_alloc(ctx, steps, sizeof *s->arguments);
    s->inputs = td_alloc(ctx, (size_t)compiled->most_arguments, sizeof *s->inputs);
    if (s->arena == NULL || s->memory == NULL || s->scratchpad == NULL || s->tensors == NULL ||
        s->scratchpads == NULL || s->arguments == NULL || s->inputs == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    dnnl_status_t made = make_memories(s);
    if (made != dnnl_success) {
        return td_error(ctx, TDSNN_ERR_RUNTIME, "oneDNN gives no session: its status is %d",
                        (int)made);
    }
    return bind_arguments(s);
}

tdsnn_status td_onednn_session_create(tdsnn_context *ctx, const td_onednn *compiled,
                                      td_onednn_session **session) {
    td_onednn_session *s = td_alloc(ctx, 1, sizeof *s);
    if (s == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    s->compiled = compiled;
    tdsnn_status status = create(ctx, s);
    if (status != TDSNN_OK) {
        td_onednn_session_destroy(s);
        return status;
    }
    *session = s;
    return TDSNN_OK;
}

/* Also one that was created in part. */
void td_onednn_session_destroy(td_onednn_session *s) {
    if (s == NULL) {
        return;
    }
    for (int i = 0; s->tensors != NULL && i < s->compiled->tensor_count; i++) {
        dnnl_memory_destroy(s->tensors[i]);
    }
    for (int i = 0; s->scratchpads != NULL && i < s->compiled->step_count; i++) {
        dnnl_memory_destroy(s->scratchpads[i]);
    }
    if (s->stream != NULL) {
        dnnl_stream_destroy(s->stream);
    }
    td_free(s->memory);
    td_free(s->scratchpad);
    td_free(s->tensors);
    td_free(s->scratchpads);
    td_free(s->arguments);
    td_free(s->inputs);
    td_arena_destroy(s->arena);
    td_free(s);
}

/* A node by plain C, sample after sample: its inputs, then its output. */
static void run_plain(td_onednn_session *s, const td_onednn_step *step) {
    const td_graph *graph = s->compiled->graph;
    const td_node *node = &graph->nodes[step->node];
    float *output = tensor_data(s, step->arguments[node->input_count].tensor);
    for (size_t sample = 0; sample < (size_t)s->compiled->batch; sample++) {
        for (int k = 0; k < node->input_count; k++) {
            s->inputs[k] = tensor_data(s, step->arguments[k].tensor) +
                           sample * td_shape_count(graph->nodes[node->inputs[k]].shape);
        }
        td_plain_run_node(graph, step->node, s->inputs,
                          output + sample * td_shape_count(node->shape));
    }
}

/* What was kept is no number rather than a wrong one. */
static void spoil(td_onednn_session *s) {
    const td_onednn *compiled = s->compiled;
    for (int i = 0; i < compiled->graph->node_count; i++) {
        size_t count = td_shape_count(compiled->graph->nodes[i].shape) * (size_t)compiled->batch;
        for (size_t k = 0; compiled->plain[i] >= 0 && k < count; k++) {
            tensor_data(s, compiled->plain[i])[k] = NAN;
        }
    }
}

static dnnl_status_t run_step(td_onednn_session *s, int index) {
    const td_onednn_step *step = &s->compiled->steps[index];
    if (step->primitive == NULL) {
        run_plain(s, step);
        return dnnl_success;
    }
    int count = step->argument_count + (s->scratchpads[index] != NULL);
    return dnnl_primitive_execute(step->primitive, s->stream, count, s->arguments[index]);
}

/* The same, its time added to its node's. */
static dnnl_status_t profile_step(td_onednn_session *s, int index) {
    int node = 0;
    while (s->compiled->first_step[node + 1] <= index) {
        node++;
    }
    double start = td_now();
    dnnl_status_t status = run_step(s, index);
    s->seconds[node] += td_now() - start;
    return status;
}

static void run_steps(td_onednn_session *s, int first, int end) {
    dnnl_status_t status = dnnl_success;
    int threads = td_onednn_set_threads(s->compiled->threads);
    for (int i = first; i < end && status == dnnl_success; i++) {
        status = s->seconds == NULL ? run_step(s, i) : profile_step(s, i);
    }
    if (status == dnnl_success) {
        status = dnnl_stream_wait(s->stream);
    }
    td_onednn_set_threads(threads);
    if (status != dnnl_success) {
        spoil(s);
    }
}

void td_onednn_feed(td_onednn_session *s, const float *input) {
    size_t count = td_shape_count(s->compiled->graph->nodes[0].shape);
    memcpy(tensor_data(s, s->compiled->input), input,
           count * (size_t)s->compiled->batch * sizeof *input);
}

void td_onednn_profile(td_onednn_session *s, double *seconds) {
    s->seconds = seconds;
}

void td_onednn_run(td_onednn_session *s) {
    run_steps(s, 0, s->compiled->step_count);
}

void td_onednn_run_node(td_onednn_session *s, int node) {
    run_steps(s, s->compiled->first_step[node], s->compiled->first_step[node + 1]);
}

const float *td_onednn_value(const td_onednn_session *s, int node) {
    return tensor_data(s, s->compiled->plain[node]);
}
