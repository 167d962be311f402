/* Rows that only move, rename or pass on values: no neuron, no synapse. Those on constants are
 * worked out here. */
#include <math.h>
#include <string.h>

#include "graph/lower_internal.h"

tdsnn_status td_lower_identity(td_lowerer *l, const td_source_node *node) {
    return td_pass(l, node);
}

tdsnn_status td_lower_dropout(td_lowerer *l, const td_source_node *node) {
    const td_tensor *training = td_input_constant(l, node, 2);
    if (training != NULL && (training->type != TD_TYPE_INT || training->count != 1)) {
        return td_broken(l, "its training_mode '%s' is not one boolean", td_input_name(l, node, 2));
    }
    if (training != NULL && training->ints[0] != 0) {
        return td_refuse(l, "it is in training mode; export the model for inference");
    }
    return td_pass(l, node);
}

/* A copy of the tensor's header in scratch memory. */
static td_tensor *copy_header(td_lowerer *l, const td_tensor *tensor) {
    td_tensor *copy = td_arena_alloc(l->scratch, 1, sizeof *copy);
    if (copy != NULL) {
        *copy = *tensor;
    }
    return copy;
}

/* Refuses constants that cannot be reordered: strings and the like, and those without elements. */
static tdsnn_status check_numbers(td_lowerer *l, const td_source_node *node) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    if (tensor->type == TD_TYPE_OTHER || tensor->count == 0) {
        return td_refuse(l, "its constant '%s' holds no numbers", td_input_name(l, node, 0));
    }
    return TDSNN_OK;
}

/* The constant with other dimensions over the same elements. */
static tdsnn_status constant_view(td_lowerer *l, const td_source_node *node, int rank,
                                  const int64_t *dims) {
    td_tensor *view = copy_header(l, td_input_constant(l, node, 0));
    if (view == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    view->rank = rank;
    for (int i = 0; i < rank; i++) {
        view->dims[i] = dims[i];
    }
    return td_constant(l, node, view);
}

static tdsnn_status flatten_constant(td_lowerer *l, const td_source_node *node, int64_t axis) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    tdsnn_status status = check_numbers(l, node);
    if (status != TDSNN_OK) {
        return status;
    }
    axis += axis < 0 ? tensor->rank : 0;
    if (axis < 0 || axis > tensor->rank) {
        return td_broken(l, "its axis lies outside %s", td_dims_text(l, tensor));
    }
    int64_t dims[2] = {1, 1}; /* their product is the count, which was checked */
    for (int i = 0; i < tensor->rank; i++) {
        dims[i >= axis] *= tensor->dims[i];
    }
    return constant_view(l, node, 2, dims);
}

static bool fixed_batch(const td_lowerer *l) {
    return l->source->values[l->source->inputs[0]].dims[0] == 1;
}

/* [N, ...] to [N, F]: nothing to do where it is that already. */
static tdsnn_status flatten(td_lowerer *l, const td_source_node *node) {
    td_shape in = td_input_draft(l, node, 0)->shape;
    if (in.flat) {
        return td_pass(l, node);
    }
    td_draft draft = {.op = TD_OP_FLATTEN,
                      .input_count = 1,
                      .inputs = &l->values[node->inputs[0]].draft,
                      .shape = {.c = (int)td_shape_count(in), .h = 1, .w = 1, .flat = true}};
    return td_keep(l, node, &draft);
}

tdsnn_status td_lower_flatten(td_lowerer *l, const td_source_node *node) {
    int64_t axis = td_int_attribute(node, "axis", 1);
    if (td_input_constant(l, node, 0) != NULL) {
        return flatten_constant(l, node, axis);
    }
    int rank = td_input_draft(l, node, 0)->shape.flat ? 2 : 4;
    bool equal = axis == 1 || axis == 1 - rank || /* axis 0 or -rank is [1, N*F] */
                 (fixed_batch(l) && (axis == 0 || axis == -rank));
    if (!equal) {
        return td_refuse(l, "axis %lld of %d is not supported; only axis 1, [N, F], is",
                         (long long)axis, rank);
    }
    return flatten(l, node);
}

/* Where a Reshape goes: entry i copies dimension i for 0 (unless allowzero), and one entry may be
 * -1, to be worked out; then `open` is its place. */
typedef struct target {
    int rank, open;
    int64_t dims[TD_MAX_RANK];
} target;

static tdsnn_status read_target(td_lowerer *l, const td_source_node *node, target *out) {
    const td_tensor *shape = td_input_constant(l, node, 1);
    const char *name = td_input_name(l, node, 1);
    if (shape->type != TD_TYPE_INT || shape->rank != 1) {
        return td_broken(l, "its shape '%s' is not a list of integers", name);
    }
    if (shape->count > TD_MAX_RANK) {
        return td_refuse(l, "it makes %zu dimensions; at most %d are supported", shape->count,
                         TD_MAX_RANK);
    }
    out->rank = (int)shape->count;
    out->open = -1;
    for (int i = 0; i < out->rank; i++) {
        out->dims[i] = shape->ints[i];
        if (out->dims[i] < -1 || (out->dims[i] == -1 && out->open >= 0)) {
            return td_broken(l, "entry %d of its shape '%s' is %lld", i, name,
                             (long long)out->dims[i]);
        }
        if (out->dims[i] == -1) {
            out->open = i;
        } else if (out->dims[i] == 0 && td_int_attribute(node, "allowzero", 0) != 0) {
            return td_refuse(l, "it makes a dimension of size 0 (allowzero), which holds nothing");
        }
    }
    return TDSNN_OK;
}

/* Replaces the zeros and the -1 of entries `first` .. by sizes: `dims` [rank] are those of the
 * input, `count` the elements that the entries must hold. */
static tdsnn_status resolve_target(td_lowerer *l, target *to, int first, int rank,
                                   const int64_t *dims, size_t count) {
    size_t product = 1;
    for (int i = first; i < to->rank; i++) {
        if (to->dims[i] == 0) {
            if (i >= rank) {
                return td_broken(l, "entry %d of its shape copies a dimension that is not there",
                                 i);
            }
            to->dims[i] = dims[i];
        }
        if (i != to->open && !td_size_mul(product, (size_t)to->dims[i], &product)) {
            product = 0;
        }
    }
    if (to->open >= first && product > 0 && count % product == 0) {
        to->dims[to->open] = (int64_t)(count / product);
        product = count;
    }
    if (product != count) {
        return td_broken(l, "its shape does not hold the %zu elements that go in", count);
    }
    return TDSNN_OK;
}

static tdsnn_status reshape_constant(td_lowerer *l, const td_source_node *node, target *to) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    tdsnn_status status = check_numbers(l, node);
    if (status == TDSNN_OK) {
        status = resolve_target(l, to, 0, tensor->rank, tensor->dims, tensor->count);
    }
    return status == TDSNN_OK ? constant_view(l, node, to->rank, to->dims) : status;
}

/* The first entry stands for the batch, be it written 1, 0 or -1; the rest is one sample. */
static tdsnn_status reshape_computed(td_lowerer *l, const td_source_node *node, target *to) {
    td_shape in = td_input_draft(l, node, 0)->shape;
    int rank = in.flat ? 2 : 4;
    int64_t dims[4] = {1, in.c, in.h, in.w};
    if (to->rank < 1 || to->dims[0] > 1) {
        return td_refuse(l, "only [N, -1] and the shape it has already are supported, N being the "
                            "batch");
    }
    tdsnn_status status = resolve_target(l, to, 1, rank, dims, td_shape_count(in));
    if (status != TDSNN_OK) {
        return status;
    }
    if (to->rank == 2) {
        return flatten(l, node);
    }
    bool same = to->rank == rank;
    for (int i = 1; same && i < rank; i++) {
        same = to->dims[i] == dims[i];
    }
    return same ? td_pass(l, node)
                : td_refuse(l, "only [N, -1] and the shape it has already are supported");
}

tdsnn_status td_lower_reshape(td_lowerer *l, const td_source_node *node) {
    target to;
    tdsnn_status status = read_target(l, node, &to);
    if (status != TDSNN_OK) {
        return status;
    }
    return td_input_constant(l, node, 0) != NULL ? reshape_constant(l, node, &to)
                                                 : reshape_computed(l, node, &to);
}

/* perm[i] is the input's axis that becomes axis i; all of them, reversed, by default. */
static tdsnn_status read_permutation(td_lowerer *l, const td_source_node *node, int rank,
                                     int *perm) {
    const td_attribute *attribute = td_source_attribute(node, "perm");
    bool seen[TD_MAX_RANK] = {false};
    bool valid = attribute == NULL || attribute->count == (size_t)rank;
    for (int i = 0; valid && i < rank; i++) {
        int64_t axis = attribute == NULL ? rank - 1 - i : attribute->ints[i];
        valid = axis >= 0 && axis < rank && !seen[axis];
        if (valid) {
            seen[axis] = true;
            perm[i] = (int)axis;
        }
    }
    return valid ? TDSNN_OK : td_broken(l, "its perm is no order of %d axes", rank);
}

/* Allocates the elements of a constant that is worked out here. */
static tdsnn_status alloc_elements(td_lowerer *l, size_t count, size_t size, void **out) {
    tdsnn_status status =
        td_count_elements(l, &l->copies, count, "elements of reordered constants");
    if (status == TDSNN_OK) {
        *out = td_arena_alloc(l->scratch, count, size);
        status = *out == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    }
    return status;
}

/* Copies elements of `size` bytes so that output axis i walks `strides[i]` elements of the input.
 */
static void permute(unsigned char *to, const unsigned char *from, size_t size, int rank,
                    const int64_t *dims, const size_t *strides, size_t count) {
    int64_t index[TD_MAX_RANK] = {0};
    size_t place = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(to + i * size, from + place * size, size);
        for (int axis = rank - 1; axis >= 0; axis--) {
            place += strides[axis];
            if (++index[axis] < dims[axis]) {
                break;
            }
            place -= strides[axis] * (size_t)dims[axis];
            index[axis] = 0;
        }
    }
}

/* The constant with its axes in another order; fills dims and elements of `result`. */
static tdsnn_status transpose(td_lowerer *l, const td_tensor *tensor, const int *perm,
                              td_tensor *result) {
    size_t strides_in[TD_MAX_RANK], strides[TD_MAX_RANK], stride = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        strides_in[i] = stride;
        stride *= (size_t)tensor->dims[i];
    }
    for (int i = 0; i < tensor->rank; i++) {
        result->dims[i] = tensor->dims[perm[i]];
        strides[i] = strides_in[perm[i]];
    }
    bool floats = tensor->type == TD_TYPE_FLOAT;
    size_t size = floats ? sizeof *tensor->floats : sizeof *tensor->ints;
    const void *from = floats ? (const void *)tensor->floats : (const void *)tensor->ints;
    void *elements;
    tdsnn_status status = alloc_elements(l, tensor->count, size, &elements);
    if (status != TDSNN_OK) {
        return status;
    }
    permute(elements, from, size, tensor->rank, result->dims, strides, tensor->count);
    result->floats = floats ? elements : NULL;
    result->ints = floats ? NULL : elements;
    return TDSNN_OK;
}

tdsnn_status td_lower_transpose(td_lowerer *l, const td_source_node *node) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    int perm[TD_MAX_RANK];
    tdsnn_status status = check_numbers(l, node);
    if (status == TDSNN_OK) {
        status = read_permutation(l, node, tensor->rank, perm);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    td_tensor *result = copy_header(l, tensor);
    if (result == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    status = transpose(l, tensor, perm, result);
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

/* ONNX's numbers of the types that a Cast may name here. */
enum { ONNX_FLOAT = 1, ONNX_INT64 = 7, ONNX_DOUBLE = 11 };

static tdsnn_status ints_to_floats(td_lowerer *l, const td_tensor *tensor, td_tensor *result) {
    void *elements;
    tdsnn_status status = alloc_elements(l, tensor->count, sizeof(float), &elements);
    if (status != TDSNN_OK) {
        return status;
    }
    float *floats = elements;
    for (size_t i = 0; i < tensor->count; i++) {
        floats[i] = (float)tensor->ints[i];
    }
    result->type = TD_TYPE_FLOAT;
    result->floats = floats;
    result->ints = NULL;
    return TDSNN_OK;
}

/* Towards zero, as ONNX has it. */
static tdsnn_status floats_to_ints(td_lowerer *l, const td_tensor *tensor, td_tensor *result) {
    void *elements;
    tdsnn_status status = alloc_elements(l, tensor->count, sizeof(int64_t), &elements);
    if (status != TDSNN_OK) {
        return status;
    }
    int64_t *ints = elements;
    for (size_t i = 0; i < tensor->count; i++) {
        if (!(fabsf(tensor->floats[i]) < 0x1p63f)) {
            return td_broken(l, "element %zu is %g, which is no int64", i,
                             (double)tensor->floats[i]);
        }
        ints[i] = (int64_t)tensor->floats[i];
    }
    result->type = TD_TYPE_INT;
    result->ints = ints;
    result->floats = NULL;
    return TDSNN_OK;
}

static tdsnn_status cast_constant(td_lowerer *l, const td_source_node *node, td_type type) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    if (tensor->type == type) {
        return td_pass(l, node);
    }
    tdsnn_status status = check_numbers(l, node);
    if (status != TDSNN_OK) {
        return status;
    }
    td_tensor *result = copy_header(l, tensor);
    if (result == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    status = type == TD_TYPE_FLOAT ? ints_to_floats(l, tensor, result)
                                   : floats_to_ints(l, tensor, result);
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

tdsnn_status td_lower_cast(td_lowerer *l, const td_source_node *node) {
    int64_t to = td_int_attribute(node, "to", 0);
    bool computed = td_input_constant(l, node, 0) == NULL;
    if (to == ONNX_FLOAT || (to == ONNX_DOUBLE && !computed)) {
        return computed ? td_pass(l, node) : cast_constant(l, node, TD_TYPE_FLOAT);
    }
    if (to == ONNX_INT64 && !computed) {
        return cast_constant(l, node, TD_TYPE_INT);
    }
    return td_refuse(l, "a cast to ONNX type %lld is not supported; computed values stay float32",
                     (long long)to);
}

/* A tensor over the numbers of an attribute: a list has rank 1, one number rank 0. */
static td_tensor *attribute_tensor(td_lowerer *l, const td_attribute *attribute) {
    td_tensor *tensor = td_arena_alloc(l->scratch, 1, sizeof *tensor);
    if (tensor == NULL) {
        return NULL;
    }
    bool list = attribute->type == TD_ATTRIBUTE_INTS || attribute->type == TD_ATTRIBUTE_FLOATS;
    tensor->rank = list ? 1 : 0;
    tensor->count = list ? attribute->count : 1;
    tensor->dims[0] = (int64_t)tensor->count;
    if (attribute->type == TD_ATTRIBUTE_FLOAT || attribute->type == TD_ATTRIBUTE_FLOATS) {
        tensor->type = TD_TYPE_FLOAT;
        tensor->floats = list ? attribute->floats : &attribute->f;
    } else {
        tensor->type = TD_TYPE_INT;
        tensor->ints = list ? attribute->ints : &attribute->i;
    }
    return tensor;
}

tdsnn_status td_lower_constant(td_lowerer *l, const td_source_node *node) {
    if (node->attribute_count != 1) {
        return td_broken(l, "it has %d attributes; a constant has one, its value",
                         node->attribute_count);
    }
    const td_attribute *value = &node->attributes[0];
    if (value->type == TD_ATTRIBUTE_TENSOR) {
        return td_constant(l, node, value->tensor);
    }
    const td_tensor *tensor = attribute_tensor(l, value);
    return tensor == NULL ? TDSNN_ERR_RUNTIME : td_constant(l, node, tensor);
}
