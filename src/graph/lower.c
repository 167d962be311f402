#include "graph/lower_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- The table. */

static const td_attribute_spec no_attributes[] = {{NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec conv_attributes[] = {
    {"auto_pad", TD_ATTRIBUTE_STRING}, {"dilations", TD_ATTRIBUTE_INTS},
    {"group", TD_ATTRIBUTE_INT},       {"kernel_shape", TD_ATTRIBUTE_INTS},
    {"pads", TD_ATTRIBUTE_INTS},       {"strides", TD_ATTRIBUTE_INTS},
    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec gemm_attributes[] = {
    {"alpha", TD_ATTRIBUTE_FLOAT}, {"beta", TD_ATTRIBUTE_FLOAT}, {"transA", TD_ATTRIBUTE_INT},
    {"transB", TD_ATTRIBUTE_INT},  {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec batch_norm_attributes[] = {
    {"epsilon", TD_ATTRIBUTE_FLOAT}, {"momentum", TD_ATTRIBUTE_FLOAT},
    {"spatial", TD_ATTRIBUTE_INT},   {"training_mode", TD_ATTRIBUTE_INT},
    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec maxpool_attributes[] = {
    {"auto_pad", TD_ATTRIBUTE_STRING}, {"ceil_mode", TD_ATTRIBUTE_INT},
    {"dilations", TD_ATTRIBUTE_INTS},  {"kernel_shape", TD_ATTRIBUTE_INTS},
    {"pads", TD_ATTRIBUTE_INTS},       {"storage_order", TD_ATTRIBUTE_INT},
    {"strides", TD_ATTRIBUTE_INTS},    {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec axis_attribute[] = {{"axis", TD_ATTRIBUTE_INT},
                                                   {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec reshape_attributes[] = {{"allowzero", TD_ATTRIBUTE_INT},
                                                       {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec transpose_attributes[] = {{"perm", TD_ATTRIBUTE_INTS},
                                                         {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec cast_attributes[] = {
    {"saturate", TD_ATTRIBUTE_INT}, {"to", TD_ATTRIBUTE_INT}, {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec dropout_attributes[] = {
    {"ratio", TD_ATTRIBUTE_FLOAT}, {"seed", TD_ATTRIBUTE_INT}, {NULL, TD_ATTRIBUTE_OTHER}};
static const td_attribute_spec constant_attributes[] = {
    {"value", TD_ATTRIBUTE_TENSOR},        {"value_float", TD_ATTRIBUTE_FLOAT},
    {"value_floats", TD_ATTRIBUTE_FLOATS}, {"value_int", TD_ATTRIBUTE_INT},
    {"value_ints", TD_ATTRIBUTE_INTS},     {NULL, TD_ATTRIBUTE_OTHER},
};
static const td_attribute_spec code_attributes[] = {
    {"leak", TD_ATTRIBUTE_FLOAT},  {"offset", TD_ATTRIBUTE_INT}, {"rounding", TD_ATTRIBUTE_STRING},
    {"scale", TD_ATTRIBUTE_FLOAT}, {"steps", TD_ATTRIBUTE_INT},  {NULL, TD_ATTRIBUTE_OTHER},
};

static const td_operator operators[] = {
    {"Add", "", 7, 21, "aa", no_attributes, td_lower_add,
     "a constant: folded into the layer before, else SHIFT; two computed values: ADD"},
    {"BatchNormalization", "", 7, 21, "xcccc", batch_norm_attributes, td_lower_batch_norm,
     "folded into the layer before, else MUL and SHIFT"},
    {"Cast", "", 7, 21, "a", cast_attributes, td_lower_cast,
     "constants are converted; of a computed value to float: no effect"},
    {"Constant", "", 7, 21, "", constant_attributes, td_lower_constant, "a constant"},
    {"Conv", "", 7, 21, "xcC", conv_attributes, td_lower_conv, "CONV: 2-D, any geometry"},
    {"Div", "", 7, 21, "xc", no_attributes, td_lower_div,
     "by a constant: folded into the layer before, else DIV"},
    {"Dropout", "", 7, 11, "x", dropout_attributes, td_lower_dropout, "no effect at inference"},
    {"Dropout", "", 12, 21, "xCC", dropout_attributes, td_lower_dropout, "no effect at inference"},
    {"Flatten", "", 7, 21, "a", axis_attribute, td_lower_flatten, "FLATTEN: [N, C*H*W]"},
    {"Gemm", "", 7, 10, "xcc", gemm_attributes, td_lower_gemm, "INNER"},
    {"Gemm", "", 11, 21, "xcC", gemm_attributes, td_lower_gemm, "INNER"},
    {"Identity", "", 7, 21, "a", no_attributes, td_lower_identity, "no effect"},
    {"LogSoftmax", "", 7, 21, "x", axis_attribute, td_lower_log_softmax, "LOGSOFTMAX, last"},
    {"MatMul", "", 7, 21, "xc", no_attributes, td_lower_matmul, "INNER, by a constant matrix"},
    {"MaxPool", "", 7, 21, "x", maxpool_attributes, td_lower_maxpool, "MAXPOOL: 2-D"},
    {"Mul", "", 7, 21, "aa", no_attributes, td_lower_mul,
     "by a constant: folded into the layer before, else MUL"},
    {"Relu", "", 7, 21, "x", no_attributes, td_lower_relu, "RELU"},
    {"Reshape", "", 7, 21, "ac", reshape_attributes, td_lower_reshape,
     "to [N, -1]: FLATTEN; to the same shape: no effect; of constants"},
    {"Softmax", "", 7, 21, "x", axis_attribute, td_lower_softmax, "SOFTMAX, last"},
    {"Sub", "", 7, 21, "xc", no_attributes, td_lower_sub,
     "a constant: folded into the layer before, else SUB"},
    {"TemporalCode", "org.tdsnn", 7, 21, "xcc", code_attributes, td_lower_code, "CODE"},
    {"Transpose", "", 7, 21, "c", transpose_attributes, td_lower_transpose, "of constants"},
};

const td_operator *td_operators(size_t *count) {
    *count = sizeof operators / sizeof *operators;
    return operators;
}

/* ---- Ending a node. */

static const td_source_node *current(const td_lowerer *l) {
    return &l->source->nodes[l->node];
}

static tdsnn_status set_fate(td_lowerer *l, td_fate_kind kind, int draft, const char *reason) {
    td_fate *fate = &l->result->fates[l->node];
    fate->kind = kind;
    fate->node = draft;
    fate->reason = reason;
    return reason == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK; /* an arena without memory gives NULL */
}

/* The sentence, in the arena of the fates. */
static char *vformat(td_lowerer *l, const char *format, va_list arguments) {
    char sentence[800];
    vsnprintf(sentence, sizeof sentence, format, arguments);
    return td_arena_strdup(l->result->arena, sentence);
}

tdsnn_status td_refuse(td_lowerer *l, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *reason = vformat(l, format, arguments);
    va_end(arguments);
    tdsnn_status status = set_fate(l, TD_FATE_REFUSED, -1, reason);
    return status == TDSNN_OK ? TDSNN_ERR_UNSUPPORTED : status;
}

tdsnn_status td_broken(td_lowerer *l, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *reason = vformat(l, format, arguments);
    va_end(arguments);
    if (reason == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: node '%s' (%s): %s", l->source->path,
                    current(l)->name, current(l)->op, reason);
}

static void bind(td_lowerer *l, int value, int draft, bool shared) {
    l->values[value].draft = draft;
    l->values[value].shared = shared || l->values[value].uses > 1;
}

tdsnn_status td_keep(td_lowerer *l, const td_source_node *node, const td_draft *draft) {
    int index;
    tdsnn_status status = td_draft_add(l, draft, &index);
    if (status != TDSNN_OK) {
        return status;
    }
    bind(l, node->outputs[0], index, false);
    return set_fate(l, TD_FATE_KEPT, index, "");
}

tdsnn_status td_pass(td_lowerer *l, const td_source_node *node) {
    const td_value *input = &l->values[node->inputs[0]];
    if (input->constant != NULL) {
        return td_constant(l, node, input->constant);
    }
    bind(l, node->outputs[0], input->draft, input->shared);
    return set_fate(l, TD_FATE_FOLDED, input->draft, "no effect at inference");
}

tdsnn_status td_folded(td_lowerer *l, const td_source_node *node, int input, const char *what) {
    int draft = l->values[node->inputs[input]].draft;
    bind(l, node->outputs[0], draft, false);
    return set_fate(l, TD_FATE_FOLDED, draft,
                    td_arena_printf(l->result->arena, "%s folded into '%s'", what,
                                    l->source->nodes[l->drafts[draft].source].name));
}

tdsnn_status td_constant(td_lowerer *l, const td_source_node *node, const td_tensor *tensor) {
    l->values[node->outputs[0]].constant = tensor;
    return set_fate(l, TD_FATE_FOLDED, -1, "constant");
}

/* ---- Reading a node. */

bool td_input_absent(const td_source_node *node, int input) {
    return input >= node->input_count || node->inputs[input] < 0;
}

const td_tensor *td_input_constant(const td_lowerer *l, const td_source_node *node, int input) {
    return td_input_absent(node, input) ? NULL : l->values[node->inputs[input]].constant;
}

td_draft *td_input_draft(const td_lowerer *l, const td_source_node *node, int input) {
    return &l->drafts[l->values[node->inputs[input]].draft];
}

const char *td_input_name(const td_lowerer *l, const td_source_node *node, int input) {
    return l->source->values[node->inputs[input]].name;
}

int64_t td_int_attribute(const td_source_node *node, const char *name, int64_t otherwise) {
    const td_attribute *attribute = td_source_attribute(node, name);
    return attribute == NULL ? otherwise : attribute->i;
}

double td_float_attribute(const td_source_node *node, const char *name, double otherwise) {
    const td_attribute *attribute = td_source_attribute(node, name);
    return attribute == NULL ? otherwise : (double)attribute->f;
}

const char *td_string_attribute(const td_source_node *node, const char *name,
                                const char *otherwise) {
    const td_attribute *attribute = td_source_attribute(node, name);
    return attribute == NULL ? otherwise : attribute->s;
}

const char *td_dims_text(td_lowerer *l, const td_tensor *tensor) {
    char text[TD_MAX_RANK * 24] = "";
    size_t length = 0;
    for (int i = 0; i < tensor->rank; i++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%lld",
                                   i == 0 ? "" : ", ", (long long)tensor->dims[i]);
    }
    const char *result = td_arena_printf(l->scratch, "[%s]", text);
    return result == NULL ? "" : result;
}

tdsnn_status td_check_floats(td_lowerer *l, const td_source_node *node, int input) {
    const td_tensor *tensor = td_input_constant(l, node, input);
    const char *name = td_input_name(l, node, input);
    if (tensor->type != TD_TYPE_FLOAT) {
        return td_broken(l, "'%s' holds no floating-point numbers; export the model in float32",
                         name);
    }
    for (size_t i = 0; i < tensor->count; i++) {
        if (!isfinite(tensor->floats[i])) {
            return td_broken(l, "element %zu of '%s' is %g; weights must be finite, train anew", i,
                             name, (double)tensor->floats[i]);
        }
    }
    return TDSNN_OK;
}

/* ---- Building. */

tdsnn_status td_count_elements(td_lowerer *l, size_t *sum, size_t count, const char *what) {
    size_t total;
    if (!td_size_add(*sum, count, &total) || total > TD_MAX_ELEMENTS) {
        return td_refuse(l, "the network has more than %zu %s up to here, the most supported",
                         TD_MAX_ELEMENTS, what);
    }
    *sum = total;
    return TDSNN_OK;
}

/* [C][H][W] in elements; false where that does not fit. */
static bool shape_elements(td_shape shape, size_t *elements) {
    size_t plane;
    return td_size_mul((size_t)shape.h, (size_t)shape.w, &plane) &&
           td_size_mul((size_t)shape.c, plane, elements);
}

tdsnn_status td_draft_add(td_lowerer *l, const td_draft *draft, int *index) {
    for (int i = 0; i < draft->input_count; i++) {
        const td_draft *input = &l->drafts[draft->inputs[i]];
        if (input->op == TD_OP_SOFTMAX || input->op == TD_OP_LOGSOFTMAX) {
            return td_refuse(l, "reads '%s' (%s), which is supported as the last node only",
                             l->source->nodes[input->source].name, td_op_name(input->op));
        }
    }
    size_t elements = SIZE_MAX;
    shape_elements(draft->shape, &elements);
    tdsnn_status status = td_count_elements(l, &l->activations, elements, "values");
    if (status != TDSNN_OK) {
        return status;
    }
    size_t inputs = (size_t)draft->input_count;
    td_draft copy = *draft;
    copy.source = l->node;
    copy.inputs = td_arena_alloc(l->scratch, inputs, sizeof *copy.inputs);
    if (copy.inputs == NULL || td_reserve(l->ctx, &l->drafts, &l->draft_capacity,
                                          (size_t)l->draft_count + 1, sizeof copy) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    if (inputs > 0) {
        memcpy(copy.inputs, draft->inputs, inputs * sizeof *copy.inputs);
    }
    l->drafts[l->draft_count] = copy;
    *index = l->draft_count++;
    return TDSNN_OK;
}

double *td_doubles(td_lowerer *l, size_t count, double value) {
    double *doubles = td_arena_alloc(l->scratch, count, sizeof *doubles);
    for (size_t i = 0; doubles != NULL && i < count; i++) {
        doubles[i] = value;
    }
    return doubles;
}

/* ---- A node against its row. */

static bool same_operator(const td_operator *row, const td_source_node *node) {
    return strcmp(row->name, node->op) == 0 && strcmp(row->domain, node->domain) == 0;
}

static tdsnn_status find_row(td_lowerer *l, const td_source_node *node) {
    size_t count;
    const td_operator *table = td_operators(&count);
    const td_operator *other = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!same_operator(&table[i], node)) {
            continue;
        }
        other = &table[i];
        if (l->source->opset >= other->first_opset && l->source->opset <= other->last_opset) {
            l->op = other;
            return TDSNN_OK;
        }
    }
    if (other != NULL) {
        return td_refuse(l, "%s of opset %lld is not supported; export with an opset up to %d",
                         node->op, (long long)l->source->opset, other->last_opset);
    }
    return td_refuse(l, "the operator %s%s%s is not supported; replace it or export without it",
                     node->domain, node->domain[0] == '\0' ? "" : ".", node->op);
}

static tdsnn_status check_input(td_lowerer *l, const td_source_node *node, int input) {
    char kind = l->op->inputs[input];
    if (td_input_absent(node, input)) {
        return kind == 'C' ? TDSNN_OK : td_broken(l, "input %d is missing", input);
    }
    const td_value *value = &l->values[node->inputs[input]];
    const char *name = td_input_name(l, node, input);
    if (value->refused != NULL) {
        return td_refuse(l, "waits for '%s', which is refused", value->refused);
    }
    if (value->constant == NULL && value->draft < 0) {
        return td_broken(l, "nothing gives its input '%s'", name);
    }
    if (kind == 'x' && value->constant != NULL) {
        return td_refuse(
            l, "its input '%s' is a constant; only a computed value is supported there", name);
    }
    if ((kind == 'c' || kind == 'C') && value->constant == NULL) {
        return td_refuse(l, "its input '%s' is computed; only a constant is supported there", name);
    }
    return TDSNN_OK;
}

static tdsnn_status check_inputs(td_lowerer *l, const td_source_node *node) {
    int most = (int)strlen(l->op->inputs);
    if (node->input_count > most) {
        return td_refuse(l, "it has %d inputs where at most %d are known", node->input_count, most);
    }
    for (int i = 0; i < most; i++) {
        tdsnn_status status = check_input(l, node, i);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    return TDSNN_OK;
}

static tdsnn_status check_attributes(td_lowerer *l, const td_source_node *node) {
    for (int i = 0; i < node->attribute_count; i++) {
        const td_attribute *attribute = &node->attributes[i];
        const td_attribute_spec *spec = l->op->attributes;
        while (spec->name != NULL && strcmp(spec->name, attribute->name) != 0) {
            spec++;
        }
        if (spec->name == NULL) {
            return td_refuse(l, "its attribute '%s' is not supported", attribute->name);
        }
        if (spec->type != attribute->type) {
            return td_broken(l, "its attribute '%s' is of the wrong type", attribute->name);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status check_outputs(td_lowerer *l, const td_source_node *node) {
    for (int i = 1; i < node->output_count; i++) {
        int value = node->outputs[i];
        if (value >= 0 && l->values[value].uses > 0) {
            return td_refuse(l, "its output '%s' is used; only its first output is supported",
                             l->source->values[value].name);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status lower_live_node(td_lowerer *l, const td_source_node *node) {
    static tdsnn_status (*const checks[])(td_lowerer *, const td_source_node *) = {
        find_row, check_inputs, check_attributes, check_outputs};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        tdsnn_status status = checks[i](l, node);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    return l->op->lower(l, node);
}

static bool is_live(const td_lowerer *l, const td_source_node *node) {
    for (int i = 0; i < node->output_count; i++) {
        if (node->outputs[i] >= 0 && l->values[node->outputs[i]].uses > 0) {
            return true;
        }
    }
    return false;
}

static tdsnn_status lower_node(td_lowerer *l, int index) {
    const td_source_node *node = &l->source->nodes[index];
    l->node = index;
    if (!is_live(l, node)) {
        return set_fate(l, TD_FATE_FOLDED, -1, "not used by the output");
    }
    tdsnn_status status = lower_live_node(l, node);
    if (status != TDSNN_ERR_UNSUPPORTED) {
        return status;
    }
    for (int i = 0; i < node->output_count; i++) {
        if (node->outputs[i] >= 0) {
            l->values[node->outputs[i]].refused = node->name;
        }
    }
    return TDSNN_OK;
}

/* ---- The network as a whole. */

/* Counts who reads each value. Only nodes that the output depends on are readers, so that a file
 * lowers as it would without the others. */
static void count_uses(td_lowerer *l) {
    const td_source *source = l->source;
    l->values[source->outputs[0]].uses++;
    for (int i = source->node_count - 1; i >= 0; i--) {
        const td_source_node *node = &source->nodes[i];
        bool live = is_live(l, node);
        for (int j = 0; live && j < node->input_count; j++) {
            if (node->inputs[j] >= 0) {
                l->values[node->inputs[j]].uses++;
            }
        }
    }
}

static tdsnn_status check_single(td_lowerer *l, const char *what, const int *values, int count) {
    const td_source *source = l->source;
    if (count == 1) {
        return TDSNN_OK;
    }
    if (count == 0) {
        return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: the network has no %s", source->path, what);
    }
    return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                    "%s: the network has %d %ss, '%s', '%s'%s; export it with one", source->path,
                    count, what, source->values[values[0]].name, source->values[values[1]].name,
                    count > 2 ? ", ..." : "");
}

/* [N, C, H, W] or [N, F], the batch symbolic or 1. */
static tdsnn_status check_input_dims(td_lowerer *l, const td_source_value *input) {
    const char *path = l->source->path;
    if (input->rank != 2 && input->rank != 4) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: input '%s' has %s; supported are [N, C, H, W] and [N, F]", path,
                        input->name, input->rank < 0 ? "no stated shape" : "another rank");
    }
    if (input->dims[0] != -1 && input->dims[0] != 1) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: input '%s' has a fixed batch of %lld; export with a batch of 1 or a "
                        "symbolic one",
                        path, input->name, (long long)input->dims[0]);
    }
    for (int i = 1; i < input->rank; i++) {
        const char *symbol = input->symbols[i] == NULL ? "?" : input->symbols[i];
        if (input->dims[i] == -1) {
            return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                            "%s: dimension %d of input '%s' is symbolic ('%s'); export the network "
                            "with a fixed size there",
                            path, i, input->name, symbol);
        }
        if (input->dims[i] < 1 || input->dims[i] > TD_MAX_EXTENT) {
            return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: dimension %d of input '%s' is %lld", path,
                            i, input->name, (long long)input->dims[i]);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status lower_input(td_lowerer *l) {
    int value = l->source->inputs[0];
    const td_source_value *input = &l->source->values[value];
    tdsnn_status status = check_input_dims(l, input);
    if (status != TDSNN_OK) {
        return status;
    }
    bool flat = input->rank == 2;
    td_draft draft = {.op = TD_OP_INPUT,
                      .shape = {.c = (int)input->dims[1],
                                .h = flat ? 1 : (int)input->dims[2],
                                .w = flat ? 1 : (int)input->dims[3],
                                .flat = flat}};
    size_t elements = SIZE_MAX;
    if (!shape_elements(draft.shape, &elements) || elements > TD_MAX_ELEMENTS) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED, "%s: input '%s' has more than %zu elements",
                        l->source->path, input->name, TD_MAX_ELEMENTS);
    }
    l->node = -1;
    int index;
    status = td_draft_add(l, &draft, &index);
    if (status == TDSNN_OK) {
        bind(l, value, index, false);
    }
    return status;
}

static tdsnn_status name_fates(td_lowerer *l) {
    td_lowering *result = l->result;
    result->fate_count = l->source->node_count;
    result->fates =
        td_arena_alloc(result->arena, (size_t)result->fate_count, sizeof *result->fates);
    if (result->fates == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < result->fate_count; i++) {
        td_fate *fate = &result->fates[i];
        *fate = (td_fate){.name = td_arena_strdup(result->arena, l->source->nodes[i].name),
                          .op = td_arena_strdup(result->arena, l->source->nodes[i].op),
                          .reason = "",
                          .node = -1};
        if (fate->name == NULL || fate->op == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

static tdsnn_status start(td_lowerer *l) {
    size_t values = (size_t)l->source->value_count;
    l->values = td_arena_alloc(l->scratch, values, sizeof *l->values);
    if (l->values == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < values; i++) {
        l->values[i] = (td_value){.constant = l->source->values[i].constant, .draft = -1};
    }
    tdsnn_status status = check_single(l, "input", l->source->inputs, l->source->input_count);
    if (status == TDSNN_OK) {
        status = check_single(l, "output", l->source->outputs, l->source->output_count);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    count_uses(l);
    status = name_fates(l);
    return status == TDSNN_OK ? lower_input(l) : status;
}

static tdsnn_status finish(td_lowerer *l) {
    const td_value *output = &l->values[l->source->outputs[0]];
    const char *name = l->source->values[l->source->outputs[0]].name;
    if (output->refused != NULL) {
        return TDSNN_OK; /* no graph */
    }
    if (output->constant != NULL) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: the output '%s' is a constant; it does not depend on the input",
                        l->source->path, name);
    }
    if (output->draft < 0) {
        return td_error(l->ctx, TDSNN_ERR_INPUT, "%s: nothing gives the output '%s'",
                        l->source->path, name);
    }
    if (l->draft_count == 1) {
        return td_error(l->ctx, TDSNN_ERR_UNSUPPORTED,
                        "%s: the output '%s' is the input; there is nothing to compute",
                        l->source->path, name);
    }
    return td_lower_emit(l);
}

static tdsnn_status lower_all(td_lowerer *l) {
    tdsnn_status status = start(l);
    for (int i = 0; status == TDSNN_OK && i < l->source->node_count; i++) {
        status = lower_node(l, i);
    }
    return status == TDSNN_OK ? finish(l) : status;
}

tdsnn_status td_lower(tdsnn_context *ctx, const td_source *source, td_lowering *lowering) {
    td_lowering result = {.arena = td_arena_create(ctx)};
    td_lowerer l = {
        .ctx = ctx, .source = source, .scratch = td_arena_create(ctx), .result = &result};
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (result.arena != NULL && l.scratch != NULL) {
        status = lower_all(&l);
    }
    td_free(l.drafts);
    td_arena_destroy(l.scratch);
    if (status != TDSNN_OK) {
        td_lowering_destroy(&result);
        return status;
    }
    *lowering = result;
    return TDSNN_OK;
}

void td_lowering_destroy(td_lowering *lowering) {
    td_graph_destroy(lowering->graph);
    td_arena_destroy(lowering->arena);
    *lowering = (td_lowering){0};
}

tdsnn_status td_lowering_check(tdsnn_context *ctx, const td_lowering *lowering, const char *path) {
    for (int i = 0; i < lowering->fate_count; i++) {
        const td_fate *fate = &lowering->fates[i];
        if (fate->kind == TD_FATE_REFUSED) {
            return td_error(ctx, TDSNN_ERR_UNSUPPORTED, "%s: node '%s' (%s): %s", path, fate->name,
                            fate->op, fate->reason);
        }
    }
    return TDSNN_OK;
}
