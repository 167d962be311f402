/* Rows that are activations, pools and codes: Relu, MaxPool, TemporalCode, Softmax. */
#include <stdint.h>
#include <string.h>

#include "graph/lower_internal.h"

/* A draft of one input and the input's shape. */
static td_draft pointwise(td_lowerer *l, const td_source_node *node, td_op op) {
    return (td_draft){.op = op,
                      .input_count = 1,
                      .inputs = &l->values[node->inputs[0]].draft,
                      .shape = td_input_draft(l, node, 0)->shape};
}

tdsnn_status td_lower_relu(td_lowerer *l, const td_source_node *node) {
    td_draft draft = pointwise(l, node, TD_OP_RELU);
    return td_keep(l, node, &draft);
}

/* Whether every output's window has a member inside the input. */
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

/* A pool's window has a synapse a tap, like a depthwise convolution's, but no file pays for them.
 */
static tdsnn_status count_taps(td_lowerer *l, const td_draft *pool) {
    size_t taps = SIZE_MAX, window;
    if (td_size_mul((size_t)pool->window.y.kernel, (size_t)pool->window.x.kernel, &window)) {
        (void)td_size_mul((size_t)pool->shape.c, window, &taps);
    }
    return td_count_elements(l, &l->weights, taps, "weights and taps of pools");
}

tdsnn_status td_lower_maxpool(td_lowerer *l, const td_source_node *node) {
    td_draft draft = pointwise(l, node, TD_OP_MAXPOOL);
    td_shape in = draft.shape;
    const td_attribute *kernel = td_source_attribute(node, "kernel_shape");
    if (kernel == NULL) {
        return td_broken(l, "it has no kernel_shape");
    }
    if (in.flat || kernel->count != 2) {
        return td_refuse(l, "only 2-D pooling of [N, C, H, W] is supported");
    }
    tdsnn_status status = td_lower_window(l, node, kernel->ints, &draft.shape, &draft.window);
    if (status == TDSNN_OK) {
        status = count_taps(l, &draft);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_keep(l, node, &draft); /* first: it bounds the outputs that are looked at below */
    if (status != TDSNN_OK) {
        return status;
    }
    if (!has_members(&draft.window.y, draft.shape.h, in.h) ||
        !has_members(&draft.window.x, draft.shape.w, in.w)) {
        return td_refuse(l, "one of its windows lies in the padding altogether; use smaller pads");
    }
    return TDSNN_OK;
}

static tdsnn_status read_rounding(td_lowerer *l, const char *text, tdsnn_rounding *rounding) {
    static const char *const names[] = {[TDSNN_ROUND_NEAREST] = "nearest",
                                        [TDSNN_ROUND_CEIL] = "ceil",
                                        [TDSNN_ROUND_TABLE] = "table"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], text) == 0) {
            *rounding = (tdsnn_rounding)i;
            return TDSNN_OK;
        }
    }
    return td_broken(l, "its rounding '%s' is none of nearest, ceil and table", text);
}

static tdsnn_status read_table(td_lowerer *l, const td_source_node *node, int input, size_t count,
                               float *table) {
    const td_tensor *tensor = td_input_constant(l, node, input);
    if (tensor->type != TD_TYPE_FLOAT || tensor->rank != 1 || tensor->count != count) {
        return td_broken(l, "its table '%s' is not float [%zu]", td_input_name(l, node, input),
                         count);
    }
    memcpy(table, tensor->floats, count * sizeof *table);
    return TDSNN_OK;
}

/* All five attributes stand on every node: nothing is assumed. */
static tdsnn_status read_code(td_lowerer *l, const td_source_node *node, tdsnn_code *code) {
    for (const td_attribute_spec *spec = l->op->attributes; spec->name != NULL; spec++) {
        if (td_source_attribute(node, spec->name) == NULL) {
            return td_broken(l, "its attribute '%s' is missing; convert the network again",
                             spec->name);
        }
    }
    int64_t steps = td_int_attribute(node, "steps", 0),
            offset = td_int_attribute(node, "offset", 0);
    if (steps < 1 || steps > TDSNN_MAX_STEPS || offset < 0 || offset > 1) {
        return td_broken(l, "its steps %lld or offset %lld is out of range (1 .. %d, 0 .. 1)",
                         (long long)steps, (long long)offset, TDSNN_MAX_STEPS);
    }
    code->leak = (float)td_float_attribute(node, "leak", 0.0);
    code->scale = (float)td_float_attribute(node, "scale", 0.0);
    code->steps = (int)steps;
    code->offset = (int)offset;
    tdsnn_status status =
        read_rounding(l, td_string_attribute(node, "rounding", ""), &code->rounding);
    if (status == TDSNN_OK) {
        status = read_table(l, node, 1, TDSNN_MAX_STEPS, code->thresholds);
    }
    if (status == TDSNN_OK) {
        status = read_table(l, node, 2, TDSNN_MAX_STEPS + 1, code->values);
    }
    return status;
}

tdsnn_status td_lower_code(td_lowerer *l, const td_source_node *node) {
    tdsnn_code *code = td_arena_alloc(l->scratch, 1, sizeof *code);
    const char *place =
        td_arena_printf(l->scratch, "%s: node '%s' (%s)", l->source->path, node->name, node->op);
    if (code == NULL || place == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = read_code(l, node, code);
    if (status != TDSNN_OK) {
        return status;
    }
    status = tdsnn_code_check(l->ctx, code);
    if (status != TDSNN_OK) {
        return td_error_in(l->ctx, status, place);
    }
    td_draft draft = pointwise(l, node, TD_OP_CODE);
    draft.code = code;
    return td_keep(l, node, &draft);
}

/* Of [N, F] over F: axis 1 or -1, where the old meaning (from opset 13 on, one axis; before, all
 * from `axis` on) and the new one agree. */
static tdsnn_status lower_softmax(td_lowerer *l, const td_source_node *node, td_op op) {
    td_draft draft = pointwise(l, node, op);
    int64_t axis = td_int_attribute(node, "axis", l->source->opset < 13 ? 1 : -1);
    if (!draft.shape.flat || (axis != 1 && axis != -1)) {
        return td_refuse(l, "only that of [N, F] over F is supported; put a Flatten in front");
    }
    return td_keep(l, node, &draft);
}

tdsnn_status td_lower_softmax(td_lowerer *l, const td_source_node *node) {
    return lower_softmax(l, node, TD_OP_SOFTMAX);
}

tdsnn_status td_lower_log_softmax(td_lowerer *l, const td_source_node *node) {
    return lower_softmax(l, node, TD_OP_LOGSOFTMAX);
}
