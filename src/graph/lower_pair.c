/* Signed codes: one CODE of two neurons stands in a file as
 *     Sub(TemporalCode(x), TemporalCode(Neg(x)))
 * or, with a slope other than 1, Sub(TemporalCode(x), Mul(TemporalCode(Neg(x)), slope)). */
#include <math.h>
#include <string.h>

#include "graph/lower_internal.h"

/* The nodes of a pair; `mul` is NULL without a slope. */
typedef struct code_pair {
    int positive, negative, neg, mul;
} code_pair;

static bool is_op(const td_lowerer *l, int node, const char *op, const char *domain) {
    return node >= 0 && strcmp(l->source->nodes[node].op, op) == 0 &&
           strcmp(l->source->nodes[node].domain, domain) == 0;
}

/* The node that makes an input and that nobody else reads, or -1. */
static int own_maker(const td_lowerer *l, int node, int input) {
    const td_source_node *reader = &l->source->nodes[node];
    if (td_input_absent(reader, input)) {
        return -1;
    }
    int value = reader->inputs[input];
    return l->values[value].uses == 1 ? l->makers[value] : -1;
}

static bool is_code(const td_lowerer *l, int node) {
    return is_op(l, node, "TemporalCode", "org.tdsnn") && l->source->nodes[node].input_count == 3;
}

static bool match_pair(const td_lowerer *l, int sub, code_pair *pair) {
    if (!is_op(l, sub, "Sub", "") || l->source->nodes[sub].input_count != 2) {
        return false;
    }
    pair->positive = own_maker(l, sub, 0);
    pair->negative = own_maker(l, sub, 1);
    pair->mul = -1;
    if (is_op(l, pair->negative, "Mul", "")) {
        pair->mul = pair->negative;
        pair->negative = own_maker(l, pair->mul, 0);
    }
    if (!is_code(l, pair->positive) || !is_code(l, pair->negative)) {
        return false;
    }
    pair->neg = own_maker(l, pair->negative, 0);
    return is_op(l, pair->neg, "Neg", "") && l->source->nodes[pair->neg].input_count == 1 &&
           l->source->nodes[pair->neg].inputs[0] == l->source->nodes[pair->positive].inputs[0];
}

tdsnn_status td_find_pairs(td_lowerer *l) {
    const td_source *source = l->source;
    int *makers = td_arena_alloc(l->scratch, (size_t)source->value_count, sizeof *makers);
    int *pairs = td_arena_alloc(l->scratch, (size_t)source->node_count, sizeof *pairs);
    if (makers == NULL || pairs == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    l->makers = makers;
    l->pairs = pairs;
    for (int i = 0; i < source->value_count; i++) {
        makers[i] = -1;
    }
    for (int i = 0; i < source->node_count; i++) {
        const td_source_node *node = &source->nodes[i];
        pairs[i] = -1;
        if (node->output_count > 0 && node->outputs[0] >= 0) {
            makers[node->outputs[0]] = i;
        }
    }
    for (int i = 0; i < source->node_count; i++) {
        code_pair pair;
        if (match_pair(l, i, &pair)) {
            pairs[i] = pairs[pair.positive] = pairs[pair.negative] = pairs[pair.neg] = i;
            if (pair.mul >= 0) {
                pairs[pair.mul] = i;
            }
        }
    }
    return TDSNN_OK;
}

/* What the second neuron counts: 1, or the constant that it is multiplied by. */
static tdsnn_status read_slope(td_lowerer *l, const code_pair *pair, float *slope) {
    *slope = 1.0f;
    if (pair->mul < 0) {
        return TDSNN_OK;
    }
    const td_source_node *mul = &l->source->nodes[pair->mul];
    const td_tensor *tensor = td_input_constant(l, mul, 1);
    bool valid = mul->input_count == 2 && tensor != NULL && tensor->type == TD_TYPE_FLOAT &&
                 tensor->count == 1 && tensor->floats[0] > 0.0f && isfinite(tensor->floats[0]);
    if (!valid) {
        return td_refuse(l, "the slope of its second neuron is not one positive constant");
    }
    *slope = tensor->floats[0];
    return TDSNN_OK;
}

tdsnn_status td_lower_pair(td_lowerer *l, const td_source_node *node) {
    code_pair pair;
    match_pair(l, l->node, &pair);
    const td_source_node *positive = &l->source->nodes[pair.positive];
    const td_source_node *negative = &l->source->nodes[pair.negative];
    const tdsnn_code *code, *second;
    float slope = 1.0f;
    /* the second's first input is the Neg, which was not lowered */
    tdsnn_status status = td_check_node(l, positive, 0);
    if (status == TDSNN_OK) {
        status = td_check_node(l, negative, 1);
    }
    if (status == TDSNN_OK) {
        status = td_read_code(l, positive, &code);
    }
    if (status == TDSNN_OK) {
        status = td_read_code(l, negative, &second);
    }
    if (status == TDSNN_OK) {
        status = read_slope(l, &pair, &slope);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (!td_code_equal(code, second)) {
        return td_refuse(l,
                         "'%s' and '%s' have different codes; the two neurons of a signed code "
                         "have one, convert the network again",
                         positive->name, negative->name);
    }
    td_draft draft = td_pointwise(l, positive, 0, TD_OP_CODE);
    draft.code = code;
    draft.negative = slope;
    tdsnn_status kept = td_keep(l, node, &draft);
    td_lay_out_like(&l->values[node->outputs[0]], td_input_value(l, positive, 0));
    return kept;
}
