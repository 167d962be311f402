/* Rows that are activations and codes: Relu, Clip, LeakyRelu, TemporalCode, Softmax. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "graph/lower_internal.h"

tdsnn_status td_lower_relu(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_RELU);
    return td_keep(l, node, &draft);
}

/* One end of a Clip: the attribute of old opsets, else the input; `otherwise` where it is left out.
 * An infinite one is as good as none. */
static tdsnn_status read_bound(td_lowerer *l, const td_source_node *node, const char *name,
                               int input, float otherwise, float *out) {
    const td_attribute *attribute = td_source_attribute(node, name);
    const td_tensor *tensor = td_input_constant(l, node, input);
    *out = attribute != NULL ? attribute->f : otherwise;
    if (tensor != NULL) {
        if (tensor->type != TD_TYPE_FLOAT || tensor->count != 1) {
            return td_broken(l, "its %s '%s' is not one float", name,
                             td_input_name(l, node, input));
        }
        *out = tensor->floats[0];
    }
    if (isnan(*out)) {
        return td_broken(l, "its %s is not a number", name);
    }
    *out = isinf(*out) ? copysignf(FLT_MAX, *out) : *out;
    return TDSNN_OK;
}

tdsnn_status td_lower_clip(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_CLIP);
    tdsnn_status status = read_bound(l, node, "min", 1, -FLT_MAX, &draft.low);
    if (status == TDSNN_OK) {
        status = read_bound(l, node, "max", 2, FLT_MAX, &draft.high);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (draft.low > 0.0f || draft.high <= 0.0f) {
        return td_refuse(l,
                         "it clips to %g .. %g; supported are ends with min <= 0 < max, as a "
                         "silent neuron stands for 0",
                         (double)draft.low, (double)draft.high);
    }
    bool open = draft.high == FLT_MAX;
    if (open && draft.low == -FLT_MAX) {
        return td_pass(l, node);
    }
    draft.low += 0.0f; /* no -0 */
    if (open && draft.low == 0.0f) {
        return td_lower_relu(l, node);
    }
    return td_keep(l, node, &draft);
}

/* x < 0 times `slope`. */
static tdsnn_status lower_slope(td_lowerer *l, const td_source_node *node, float slope) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_LEAKY);
    draft.negative = slope;
    if (slope == 0.0f) {
        return td_lower_relu(l, node);
    }
    if (!(slope > 0.0f) || isinf(slope)) {
        return td_refuse(l, "its slope is %g; only a positive one is supported", (double)slope);
    }
    return slope == 1.0f ? td_pass(l, node) : td_keep(l, node, &draft);
}

tdsnn_status td_lower_leaky_relu(td_lowerer *l, const td_source_node *node) {
    return lower_slope(l, node, (float)td_float_attribute(node, "alpha", (double)0.01f));
}

/* One slope for all, however it is spread over the channels. */
tdsnn_status td_lower_prelu(td_lowerer *l, const td_source_node *node) {
    const td_tensor *slopes = td_input_constant(l, node, 1);
    tdsnn_status status = td_check_floats(l, node, 1);
    if (status != TDSNN_OK) {
        return status;
    }
    for (size_t i = 1; i < slopes->count; i++) {
        if (slopes->floats[i] != slopes->floats[0]) {
            return td_refuse(l,
                             "its slopes differ, %g and %g among them; only one slope for all "
                             "channels is supported",
                             (double)slopes->floats[0], (double)slopes->floats[i]);
        }
    }
    return slopes->count == 0 ? td_broken(l, "it has no slope")
                              : lower_slope(l, node, slopes->floats[0]);
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
static tdsnn_status fill_code(td_lowerer *l, const td_source_node *node, tdsnn_code *code) {
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

tdsnn_status td_read_code(td_lowerer *l, const td_source_node *node, const tdsnn_code **out) {
    tdsnn_code *code = td_arena_alloc(l->scratch, 1, sizeof *code);
    const char *place =
        td_arena_printf(l->scratch, "%s: node '%s' (%s)", l->source->path, node->name, node->op);
    if (code == NULL || place == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = fill_code(l, node, code);
    if (status != TDSNN_OK) {
        return status;
    }
    *out = code;
    status = tdsnn_code_check(l->ctx, code);
    return status == TDSNN_OK ? TDSNN_OK : td_error_in(l->ctx, status, place);
}

tdsnn_status td_lower_code(td_lowerer *l, const td_source_node *node) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_CODE);
    tdsnn_status status = td_read_code(l, node, &draft.code);
    return status == TDSNN_OK ? td_keep(l, node, &draft) : status;
}

/* Of [N, F] over F: axis 1 or -1, where the old meaning (from opset 13 on, one axis; before, all
 * from `axis` on) and the new one agree. [N, C, 1, 1] over C is flattened first. */
static tdsnn_status lower_softmax(td_lowerer *l, const td_source_node *node, td_op op) {
    td_draft draft = td_pointwise(l, node, 0, op);
    int64_t axis = td_int_attribute(node, "axis", td_node_opset(l, node) < 13 ? 1 : -1);
    td_shape shape = draft.shape;
    bool column = !shape.flat && shape.h == 1 && shape.w == 1;
    if ((!shape.flat && !column) || (axis != 1 && !(axis == (shape.flat ? -1 : -3)))) {
        return td_refuse(l, "only that of [N, F] over F is supported; put a Flatten in front");
    }
    int index;
    if (column) {
        td_draft flat = td_pointwise(l, node, 0, TD_OP_FLATTEN);
        flat.shape.flat = true;
        flat.suffix = "flat";
        tdsnn_status status = td_draft_add(l, &flat, &index);
        if (status != TDSNN_OK) {
            return status;
        }
        draft.inputs = &index;
        draft.shape.flat = true;
    }
    return td_keep(l, node, &draft);
}

tdsnn_status td_lower_softmax(td_lowerer *l, const td_source_node *node) {
    return lower_softmax(l, node, TD_OP_SOFTMAX);
}

tdsnn_status td_lower_log_softmax(td_lowerer *l, const td_source_node *node) {
    return lower_softmax(l, node, TD_OP_LOGSOFTMAX);
}
