/* Constants worked out: what exporters compute of shapes, and weights that are reshaped. */
#include <math.h>
#include <string.h>

#include "graph/lower_internal.h"

/* A copy of the tensor's header in scratch memory. */
static td_tensor *copy_header(td_lowerer *l, const td_tensor *tensor) {
    td_tensor *copy = td_arena_alloc(l->scratch, 1, sizeof *copy);
    if (copy != NULL) {
        *copy = *tensor;
    }
    return copy;
}

tdsnn_status td_check_numbers(td_lowerer *l, const td_source_node *node) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    if (tensor->type == TD_TYPE_OTHER || tensor->count == 0) {
        return td_refuse(l, "its constant '%s' holds no numbers", td_input_name(l, node, 0));
    }
    return TDSNN_OK;
}

/* The constant with other dimensions over the same elements. */
tdsnn_status td_constant_view(td_lowerer *l, const td_source_node *node, int rank,
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

tdsnn_status td_constant_transpose(td_lowerer *l, const td_source_node *node, const int *perm) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    td_tensor *result = copy_header(l, tensor);
    if (result == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = transpose(l, tensor, perm, result);
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
        if (tensor->ints[i] == TD_BATCH) {
            return td_refuse(l, "its constant depends on the size of the batch");
        }
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
    tdsnn_status status = td_check_numbers(l, node);
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

/* ---- Integers, as a Shape gives them; TD_BATCH among them goes along unless it would be reckoned
 * with. */

/* A new constant of `count` integers, of rank 1 or (a single one) 0. */
static tdsnn_status new_integers(td_lowerer *l, size_t count, int rank, int64_t **ints,
                                 td_tensor **out) {
    void *elements;
    tdsnn_status status = alloc_elements(l, count, sizeof **ints, &elements);
    if (status != TDSNN_OK) {
        return status;
    }
    *out = td_arena_alloc(l->scratch, 1, sizeof **out);
    if (*out == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *ints = elements;
    **out = (td_tensor){.type = TD_TYPE_INT,
                        .rank = rank,
                        .dims = {(int64_t)count},
                        .count = count,
                        .ints = elements};
    return TDSNN_OK;
}

/* Refuses a constant input that is not a list of integers, or one of them. */
static tdsnn_status check_integers(td_lowerer *l, const td_source_node *node, int input) {
    const td_tensor *tensor = td_input_constant(l, node, input);
    if (tensor->type != TD_TYPE_INT || tensor->rank > 1) {
        return td_refuse(l,
                         "its constant '%s' is %s; arithmetic on constants is supported for lists "
                         "of integers only, export with constant folding",
                         td_input_name(l, node, input), td_dims_text(l, tensor));
    }
    return TDSNN_OK;
}

tdsnn_status td_lower_shape(td_lowerer *l, const td_source_node *node) {
    const td_tensor *constant = td_input_constant(l, node, 0);
    int64_t dims[TD_MAX_RANK] = {0};
    int rank;
    if (constant != NULL) {
        rank = constant->rank;
        memcpy(dims, constant->dims, sizeof dims);
    } else {
        rank = td_file_dims(l, td_input_value(l, node, 0), dims);
        dims[0] = l->source->values[l->source->inputs[0]].dims[0] == 1 ? 1 : TD_BATCH;
    }
    int64_t first = td_int_attribute(node, "start", 0), end = td_int_attribute(node, "end", rank);
    first += first < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    first = first < 0 ? 0 : first > rank ? rank : first;
    end = end > rank ? rank : end < first ? first : end;
    int64_t *ints;
    td_tensor *result;
    tdsnn_status status = new_integers(l, (size_t)(end - first), 1, &ints, &result);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int64_t i = first; i < end; i++) {
        ints[i - first] = dims[i];
    }
    return td_constant(l, node, result);
}

tdsnn_status td_constant_gather(td_lowerer *l, const td_source_node *node) {
    const td_tensor *data = td_input_constant(l, node, 0), *index = td_input_constant(l, node, 1);
    tdsnn_status status = check_integers(l, node, 0);
    if (status == TDSNN_OK) {
        status = check_integers(l, node, 1);
    }
    int axis;
    if (status == TDSNN_OK) {
        status = td_read_axis(l, td_int_attribute(node, "axis", 0), data->rank, &axis);
    }
    int64_t *ints;
    td_tensor *result;
    if (status == TDSNN_OK) {
        status = new_integers(l, index->count, index->rank, &ints, &result);
    }
    for (size_t i = 0; status == TDSNN_OK && i < index->count; i++) {
        int64_t size = (int64_t)data->count, place = index->ints[i];
        if (place < -size || place >= size) {
            return td_broken(l, "its index %lld lies outside of %lld elements", (long long)place,
                             (long long)size);
        }
        ints[i] = data->ints[place < 0 ? place + size : place];
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

tdsnn_status td_constant_concat(td_lowerer *l, const td_source_node *node) {
    size_t count = 0;
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < node->input_count; i++) {
        status = check_integers(l, node, i);
        if (status == TDSNN_OK) {
            status = td_count_elements(l, &count, td_input_constant(l, node, i)->count,
                                       "elements of a constant");
        }
    }
    int64_t *ints;
    td_tensor *result;
    if (status == TDSNN_OK) {
        status = new_integers(l, count, 1, &ints, &result);
    }
    for (int i = 0; status == TDSNN_OK && i < node->input_count; i++) {
        const td_tensor *part = td_input_constant(l, node, i);
        for (size_t j = 0; j < part->count; j++) {
            *ints++ = part->ints[j];
        }
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

int64_t td_clamp_range(int64_t range[2], int64_t step, int64_t size) {
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    for (int i = 0; i < 2; i++) {
        range[i] += range[i] < 0 ? size : 0;
        range[i] = range[i] < low ? low : range[i] > high ? high : range[i];
    }
    int64_t gap = step > 0 ? range[1] - range[0] : range[0] - range[1];
    int64_t stride = step > 0 ? step : -step;
    return gap <= 0 ? 0 : 1 + (gap - 1) / stride;
}

/* Rows of a constant: its first axis alone is cut. */
tdsnn_status td_constant_slice(td_lowerer *l, const td_source_node *node) {
    static const char *const names[4] = {"starts", "ends", "axes", "steps"};
    const td_tensor *data = td_input_constant(l, node, 0);
    int64_t range[4] = {0, 0, 0, 1};
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < 4; i++) {
        const int64_t *list;
        size_t count;
        status = td_int_list(l, node, names[i], i + 1, &list, &count);
        if (status == TDSNN_OK && (list == NULL ? i < 2 : count != 1)) {
            status = td_refuse(l, "of a constant it is supported along one axis only");
        }
        range[i] = status == TDSNN_OK && list != NULL ? list[0] : range[i];
    }
    if (status != TDSNN_OK) {
        return status;
    }
    bool first = range[2] == 0 || range[2] == -data->rank;
    if (data->type != TD_TYPE_INT || data->rank < 1 || data->dims[0] == 0 || !first ||
        range[3] == 0 || range[3] <= -TD_MAX_EXTENT || range[3] >= TD_MAX_EXTENT) {
        return td_refuse(l, "of a constant it is supported along the first axis of integers only");
    }
    size_t width = data->count / (size_t)data->dims[0];
    int64_t rows = td_clamp_range(range, range[3], data->dims[0]);
    int64_t *ints;
    td_tensor *result;
    status = new_integers(l, (size_t)rows * width, 1, &ints, &result);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int64_t i = 0; i < rows; i++) {
        const int64_t *row = data->ints + (size_t)(range[0] + i * range[3]) * width;
        for (size_t j = 0; j < width; j++) {
            *ints++ = row[j];
        }
    }
    result->rank = data->rank;
    memcpy(result->dims, data->dims, sizeof result->dims);
    result->dims[0] = rows;
    return td_constant(l, node, result);
}

/* ---- Constants of any shape. */

static const td_tensor empty_list = {.type = TD_TYPE_INT, .rank = 1};

/* The most elements of a constant that a few bytes of the file can ask for. */
#define MAX_MADE ((size_t)1 << 24)

/* A new constant of these dimensions; its elements are for the caller to fill in. */
static tdsnn_status new_constant(td_lowerer *l, td_type type, int rank, const int64_t *dims,
                                 td_tensor **out, void **elements) {
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 1 || !td_size_mul(count, (size_t)dims[i], &count) || count > MAX_MADE) {
            return td_refuse(l, "its result holds nothing, or more than %zu numbers", MAX_MADE);
        }
    }
    bool floats = type == TD_TYPE_FLOAT;
    tdsnn_status status =
        alloc_elements(l, count, floats ? sizeof(float) : sizeof(int64_t), elements);
    if (status != TDSNN_OK) {
        return status;
    }
    td_tensor *made = td_arena_alloc(l->scratch, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *made = (td_tensor){.type = type, .rank = rank, .count = count};
    made->floats = floats ? *elements : NULL;
    made->ints = floats ? NULL : *elements;
    memcpy(made->dims, dims, (size_t)rank * sizeof *dims);
    *out = made;
    return TDSNN_OK;
}

/* Equal numbers, 0.0f unless the value is given, as exporters fill up pads and biases. */
tdsnn_status td_lower_constant_of_shape(td_lowerer *l, const td_source_node *node) {
    const td_attribute *attribute = td_source_attribute(node, "value");
    const td_tensor *value = attribute == NULL ? NULL : attribute->tensor;
    const int64_t *shape;
    size_t rank;
    tdsnn_status status = td_int_list(l, node, "shape", 0, &shape, &rank);
    if (status != TDSNN_OK) {
        return status;
    }
    if (rank > TD_MAX_RANK ||
        (value != NULL && (value->type == TD_TYPE_OTHER || value->count != 1))) {
        return td_refuse(l, "only one number in at most %d dimensions is supported", TD_MAX_RANK);
    }
    bool ints = value != NULL && value->type == TD_TYPE_INT;
    if (ints && rank == 1 && shape[0] == 0) { /* an empty list of pads */
        return td_constant(l, node, &empty_list);
    }
    td_tensor *result;
    void *elements;
    status =
        new_constant(l, ints ? TD_TYPE_INT : TD_TYPE_FLOAT, (int)rank, shape, &result, &elements);
    for (size_t i = 0; status == TDSNN_OK && i < result->count; i++) {
        if (ints) {
            ((int64_t *)elements)[i] = value->ints[0];
        } else {
            ((float *)elements)[i] = value == NULL ? 0.0f : value->floats[0];
        }
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

/* Widens dims [*rank] to what ONNX's rule makes of them and another shape; false where they do not
 * go together. */
static bool broadcast_dims(int *rank, int64_t *dims, int other_rank, const int64_t *other) {
    int wide = *rank > other_rank ? *rank : other_rank;
    for (int i = 1; i <= wide; i++) { /* from the last axis on; those in front are made last */
        int64_t a = i <= *rank ? dims[*rank - i] : 1;
        int64_t b = i <= other_rank ? other[other_rank - i] : 1;
        if (a != b && a != 1 && b != 1) {
            return false;
        }
    }
    int64_t made[TD_MAX_RANK];
    for (int i = 1; i <= wide; i++) {
        int64_t a = i <= *rank ? dims[*rank - i] : 1;
        made[wide - i] = a != 1 || i > other_rank ? a : other[other_rank - i];
    }
    memcpy(dims, made, (size_t)wide * sizeof *dims);
    *rank = wide;
    return true;
}

/* Which element of `from` stands at place `i` of the tensor it is spread over. */
static size_t broadcast_place(const td_tensor *from, const td_tensor *over, size_t i) {
    size_t place = 0, stride = 1;
    for (int axis = 1; axis <= from->rank; axis++) {
        size_t size = (size_t)over->dims[over->rank - axis];
        size_t own = (size_t)from->dims[from->rank - axis];
        place += own == 1 ? 0 : i % size * stride;
        stride *= own;
        i /= size;
    }
    return place;
}

/* A new constant, its dimensions those of all inputs from `first` on together. */
static tdsnn_status new_broadcast(td_lowerer *l, const td_source_node *node, int first,
                                  td_type type, td_tensor **out, void **elements) {
    int64_t dims[TD_MAX_RANK] = {0};
    int rank = 0;
    for (int i = first; i < node->input_count; i++) {
        const td_tensor *tensor = td_input_constant(l, node, i);
        if (!broadcast_dims(&rank, dims, tensor->rank, tensor->dims)) {
            return td_broken(l, "its constants, '%s' among them, are not of one shape",
                             td_input_name(l, node, i));
        }
    }
    return new_constant(l, type, rank, dims, out, elements);
}

/* Numbers of one type, floats or integers, in all inputs from `first` on. */
static tdsnn_status check_alike(td_lowerer *l, const td_source_node *node, int first) {
    td_type type = td_input_constant(l, node, first)->type;
    for (int i = first; i < node->input_count; i++) {
        td_type other = td_input_constant(l, node, i)->type;
        if (other == TD_TYPE_OTHER || other != type) {
            return td_refuse(l, "its constant '%s' holds no numbers, or others than the rest",
                             td_input_name(l, node, i));
        }
    }
    return TDSNN_OK;
}

/* Copies one element, of either type. */
static void copy_element(void *to, size_t i, const td_tensor *from, size_t place) {
    if (from->type == TD_TYPE_FLOAT) {
        ((float *)to)[i] = from->floats[place];
    } else {
        ((int64_t *)to)[i] = from->ints[place];
    }
}

tdsnn_status td_lower_equal(td_lowerer *l, const td_source_node *node) {
    td_tensor *result;
    void *elements;
    tdsnn_status status = check_alike(l, node, 0);
    if (status == TDSNN_OK) {
        status = new_broadcast(l, node, 0, TD_TYPE_INT, &result, &elements);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    const td_tensor *a = td_input_constant(l, node, 0), *b = td_input_constant(l, node, 1);
    for (size_t i = 0; i < result->count; i++) {
        size_t x = broadcast_place(a, result, i), y = broadcast_place(b, result, i);
        ((int64_t *)elements)[i] =
            a->type == TD_TYPE_FLOAT ? a->floats[x] == b->floats[y] : a->ints[x] == b->ints[y];
    }
    return td_constant(l, node, result);
}

tdsnn_status td_lower_where(td_lowerer *l, const td_source_node *node) {
    const td_tensor *condition = td_input_constant(l, node, 0);
    td_tensor *result;
    void *elements;
    tdsnn_status status = check_alike(l, node, 1);
    if (status == TDSNN_OK && condition->type != TD_TYPE_INT) {
        status =
            td_broken(l, "its condition '%s' holds no truth values", td_input_name(l, node, 0));
    }
    if (status == TDSNN_OK) {
        td_type type = td_input_constant(l, node, 1)->type;
        status = new_broadcast(l, node, 0, type, &result, &elements);
    }
    for (size_t i = 0; status == TDSNN_OK && i < result->count; i++) {
        bool first = condition->ints[broadcast_place(condition, result, i)] != 0;
        const td_tensor *from = td_input_constant(l, node, first ? 1 : 2);
        copy_element(elements, i, from, broadcast_place(from, result, i));
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

tdsnn_status td_lower_expand(td_lowerer *l, const td_source_node *node) {
    const td_tensor *tensor = td_input_constant(l, node, 0);
    int64_t dims[TD_MAX_RANK] = {0}, before[TD_MAX_RANK] = {0};
    const int64_t *shape;
    size_t count;
    tdsnn_status status = td_int_list(l, node, "shape", 1, &shape, &count);
    if (status == TDSNN_OK && tensor != NULL) {
        status = td_check_numbers(l, node);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    int rank = tensor == NULL ? td_file_dims(l, td_input_value(l, node, 0), dims) : tensor->rank;
    memcpy(dims, tensor == NULL ? dims : tensor->dims, sizeof dims);
    memcpy(before, dims, sizeof dims);
    if (count > TD_MAX_RANK || !broadcast_dims(&rank, dims, (int)count, shape)) {
        return td_broken(l, "its input does not fit the shape '%s'", td_input_name(l, node, 1));
    }
    if (tensor == NULL) {
        bool same = memcmp(before, dims, sizeof dims) == 0;
        return same ? td_pass(l, node)
                    : td_refuse(l, "it repeats a computed value, which is not supported");
    }
    td_tensor *result;
    void *elements;
    status = new_constant(l, tensor->type, rank, dims, &result, &elements);
    for (size_t i = 0; status == TDSNN_OK && i < result->count; i++) {
        copy_element(elements, i, tensor, broadcast_place(tensor, result, i));
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

/* ---- Arithmetic. */

/* a op b, op the first letter of Add, Sub, Mul, Div; false where there is no such int64. Times or
 * by 1 leaves the batch what it is. */
static bool reckon(char op, int64_t a, int64_t b, int64_t *out) {
    *out = op == 'M' && a == 1 ? b : a;
    if ((op == 'M' && (a == 1 || b == 1)) || (op == 'D' && b == 1)) {
        return true;
    }
    if (a == TD_BATCH || b == TD_BATCH || (op == 'D' && b == 0)) {
        return false;
    }
    if (op == 'D') {
        *out = a / b;
        return true;
    }
    bool overflows = op == 'A'   ? __builtin_add_overflow(a, b, out)
                     : op == 'S' ? __builtin_sub_overflow(a, b, out)
                                 : __builtin_mul_overflow(a, b, out);
    return !overflows && *out != TD_BATCH;
}

/* a op b of floats, in float as a runtime would. */
static tdsnn_status float_arithmetic(td_lowerer *l, const td_source_node *node, const td_tensor *a,
                                     const td_tensor *b) {
    td_tensor *result;
    void *elements;
    tdsnn_status status = new_broadcast(l, node, 0, TD_TYPE_FLOAT, &result, &elements);
    for (size_t i = 0; status == TDSNN_OK && i < result->count; i++) {
        float x = a->floats[broadcast_place(a, result, i)];
        float y = b->floats[broadcast_place(b, result, i)];
        char op = node->op[0];
        ((float *)elements)[i] = op == 'A' ? x + y : op == 'S' ? x - y : op == 'M' ? x * y : x / y;
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}

tdsnn_status td_constant_arithmetic(td_lowerer *l, const td_source_node *node) {
    const td_tensor *a = td_input_constant(l, node, 0), *b = td_input_constant(l, node, 1);
    if (b != NULL && a->type == TD_TYPE_FLOAT && b->type == TD_TYPE_FLOAT) {
        return float_arithmetic(l, node, a, b);
    }
    tdsnn_status status = check_integers(l, node, 0);
    if (status == TDSNN_OK) {
        status = b == NULL ? td_refuse(l, "it reckons with a constant and a computed value")
                           : check_integers(l, node, 1);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (a->count != b->count && a->count != 1 && b->count != 1) {
        return td_broken(l, "its constants have %zu and %zu elements", a->count, b->count);
    }
    const td_tensor *larger = b->count == 1 && a->rank >= b->rank ? a : b;
    int64_t *ints;
    td_tensor *result;
    status = new_integers(l, larger->count, larger->rank, &ints, &result);
    for (size_t i = 0; status == TDSNN_OK && i < larger->count; i++) {
        int64_t x = a->ints[a->count == 1 ? 0 : i], y = b->ints[b->count == 1 ? 0 : i];
        if (!reckon(node->op[0], x, y, &ints[i])) {
            return td_refuse(l, "its result depends on the size of the batch, or is no integer");
        }
    }
    return status == TDSNN_OK ? td_constant(l, node, result) : status;
}
