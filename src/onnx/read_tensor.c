#include <string.h>

#include "onnx/reader.h"
#include "onnx/schema.h"

/* How the elements of one TensorProto.DataType are stored. */
typedef struct element {
    const char *name;
    size_t width;      /* bytes of one in raw_data; 0: no type that we read */
    uint32_t field;    /* the repeated field that holds them where raw_data does not */
    td_wire_type wire; /* of that field */
    td_type type;      /* what they become */
    int64_t low, high; /* of integers */
} element;

enum { FLOAT = 1, FLOAT16 = 10, DOUBLE = 11, UINT64 = 13, BFLOAT16 = 16 };

static const element elements[] = {
    [FLOAT] = {"float", 4, TENSOR_FLOATS, TD_WIRE_FIXED32, TD_TYPE_FLOAT, 0, 0},
    [2] = {"uint8", 1, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_INT, 0, UINT8_MAX},
    [3] = {"int8", 1, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_INT, INT8_MIN, INT8_MAX},
    [4] = {"uint16", 2, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_INT, 0, UINT16_MAX},
    [5] = {"int16", 2, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_INT, INT16_MIN, INT16_MAX},
    [6] = {"int32", 4, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_INT, INT32_MIN, INT32_MAX},
    [7] = {"int64", 8, TENSOR_INT64S, TD_WIRE_VARINT, TD_TYPE_INT, INT64_MIN, INT64_MAX},
    [9] = {"bool", 1, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_INT, 0, 1},
    [FLOAT16] = {"float16", 2, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_FLOAT, 0, UINT16_MAX},
    [DOUBLE] = {"double", 8, TENSOR_DOUBLES, TD_WIRE_FIXED64, TD_TYPE_FLOAT, 0, 0},
    [12] = {"uint32", 4, TENSOR_UINT64S, TD_WIRE_VARINT, TD_TYPE_INT, 0, UINT32_MAX},
    [UINT64] = {"uint64", 8, TENSOR_UINT64S, TD_WIRE_VARINT, TD_TYPE_INT, 0, INT64_MAX},
    [BFLOAT16] = {"bfloat16", 2, TENSOR_INT32S, TD_WIRE_VARINT, TD_TYPE_FLOAT, 0, UINT16_MAX},
};

/* What a TensorProto says besides its numbers. */
typedef struct header {
    const element *element;
    uint64_t data_type;
    td_wire raw;
    bool has_raw, external, segmented;
} header;

static tdsnn_status read_header(const td_reader *r, td_wire message, header *h) {
    td_field field;
    while (td_wire_next(&message, &field)) {
        switch (field.key) {
        case TENSOR_TYPE:
            h->data_type = field.value;
            break;
        case TENSOR_RAW:
            h->raw = field.bytes;
            h->has_raw = true;
            break;
        case TENSOR_LOCATION:
            h->external = field.value == 1;
            break;
        case TENSOR_SEGMENT:
            h->segmented = true;
            break;
        default:
            break;
        }
    }
    if (message.damaged) {
        return td_reader_damaged(r, &message);
    }
    static const element other = {"of another type", 0, 0, TD_WIRE_VARINT, TD_TYPE_OTHER, 0, 0};
    bool known =
        h->data_type < sizeof elements / sizeof *elements && elements[h->data_type].name != NULL;
    h->element = known ? &elements[h->data_type] : &other;
    return h->segmented ? td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                                   "is stored in segments, which is not supported; export the "
                                   "network again")
                        : TDSNN_OK;
}

static tdsnn_status read_dims(const td_reader *r, td_wire message, td_tensor *tensor) {
    td_items items = {.message = message, .number = TENSOR_DIMS, .type = TD_WIRE_VARINT};
    uint64_t value;
    tensor->rank = 0;
    tensor->count = 1;
    while (td_items_next(&items, &value)) {
        if (tensor->rank == TD_MAX_RANK) {
            return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED, "has more than %d dimensions",
                            TD_MAX_RANK);
        }
        if (value > INT64_MAX || value > SIZE_MAX) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "has a negative dimension, %lld",
                            (long long)value);
        }
        if (!td_size_mul(tensor->count, (size_t)value, &tensor->count)) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "has dimensions whose product overflows");
        }
        tensor->dims[tensor->rank++] = (int64_t)value;
    }
    return items.message.damaged ? td_reader_damaged(r, &items.message) : TDSNN_OK;
}

/* A float16's bits as a float: exact. */
static float from_float16(uint64_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = (uint32_t)(bits >> 10) & 0x1f, fraction = (uint32_t)bits & 0x3ff;
    uint32_t out;
    float value;
    if (exponent == 0) { /* zero, or subnormal: fraction x 2^-24 */
        value = (float)fraction * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    out = sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &out, sizeof value);
    return value;
}

static float to_float(uint64_t data_type, uint64_t bits) {
    if (data_type == FLOAT16) {
        return from_float16(bits);
    }
    if (data_type == DOUBLE) {
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        return (float)wide;
    }
    uint32_t narrow = (uint32_t)(data_type == BFLOAT16 ? bits << 16 : bits);
    float value;
    memcpy(&value, &narrow, sizeof value);
    return value;
}

/* The integer that `width` bytes of raw_data stand for. */
static int64_t sign_extend(const element *e, uint64_t bits) {
    unsigned unused = 64 - 8 * (unsigned)e->width;
    return e->low < 0 ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

static bool store(const header *h, uint64_t bits, int64_t integer, size_t index, float *floats,
                  int64_t *ints) {
    const element *e = h->element;
    bool bounded = e->low != 0 || e->high != 0; /* integers, and floats stored as such */
    if (bounded && (integer < e->low || integer > e->high)) {
        return false;
    }
    if (floats != NULL) {
        floats[index] = to_float(h->data_type, bits);
    } else {
        ints[index] = integer;
    }
    return true;
}

static tdsnn_status allocate(td_reader *r, td_tensor *tensor, float **floats, int64_t **ints) {
    if (tensor->type == TD_TYPE_FLOAT) {
        *floats = td_arena_alloc(r->arena, tensor->count, sizeof **floats);
        tensor->floats = *floats;
        return *floats == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    }
    *ints = td_arena_alloc(r->arena, tensor->count, sizeof **ints);
    tensor->ints = *ints;
    return *ints == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status out_of_range(const td_reader *r, const header *h, size_t index) {
    return td_error(r->ctx, TDSNN_ERR_INPUT, "entry %zu does not fit %s%s", index, h->element->name,
                    h->data_type == UINT64 ? " as far as it is supported, 63 bits" : "");
}

static tdsnn_status read_raw(td_reader *r, const header *h, const unsigned char *bytes,
                             td_tensor *tensor) {
    float *floats = NULL;
    int64_t *ints = NULL;
    tdsnn_status status = allocate(r, tensor, &floats, &ints);
    size_t width = h->element->width;
    for (size_t i = 0; status == TDSNN_OK && i < tensor->count; i++) {
        uint64_t bits = td_wire_load(bytes + i * width, width);
        if (!store(h, bits, sign_extend(h->element, bits), i, floats, ints)) {
            status = out_of_range(r, h, i);
        }
    }
    return status;
}

static tdsnn_status read_typed(td_reader *r, const header *h, td_items items, td_tensor *tensor) {
    float *floats = NULL;
    int64_t *ints = NULL;
    uint64_t bits;
    tdsnn_status status = allocate(r, tensor, &floats, &ints);
    for (size_t i = 0; status == TDSNN_OK && td_items_next(&items, &bits); i++) {
        /* int32 fields are sign-extended to 64 bits by most writers, but not by all */
        int64_t integer = h->element->field == TENSOR_INT32S ? (int32_t)bits : (int64_t)bits;
        if (!store(h, bits, integer, i, floats, ints)) {
            status = out_of_range(r, h, i);
        }
    }
    return status;
}

static tdsnn_status wrong_size(const td_reader *r, const td_tensor *tensor, size_t found,
                               const char *unit) {
    return td_error(r->ctx, TDSNN_ERR_INPUT,
                    "its dimensions ask for %zu entries, but %zu %s are stored", tensor->count,
                    found, unit);
}

static tdsnn_status read_outside(td_reader *r, td_wire message, const header *h,
                                 td_tensor *tensor) {
    size_t wanted;
    unsigned char *bytes = NULL;
    if (!td_size_mul(tensor->count, h->element->width, &wanted)) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "has dimensions whose product overflows");
    }
    tdsnn_status status = td_read_external(r, message, wanted, &bytes);
    if (status == TDSNN_OK) {
        status = read_raw(r, h, bytes, tensor);
    }
    td_free(bytes);
    return status;
}

/* Nothing is allocated before the entries stored are known to be as many as the dimensions say. */
static tdsnn_status read_entries(td_reader *r, td_wire message, const header *h,
                                 td_tensor *tensor) {
    const element *e = h->element;
    td_items items = {.message = message, .number = e->field, .type = e->wire};
    size_t raw_size = h->has_raw ? td_wire_size(&h->raw) : 0, expected, typed;
    if (h->external) {
        return read_outside(r, message, h, tensor);
    }
    if (!td_items_count(items, &typed)) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "its packed numbers are cut off or damaged");
    }
    if (raw_size > 0 && typed > 0) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "is stored twice, raw and typed");
    }
    if (raw_size == 0) {
        return typed == tensor->count ? read_typed(r, h, items, tensor)
                                      : wrong_size(r, tensor, typed, e->name);
    }
    if (!td_size_mul(tensor->count, e->width, &expected) || expected != raw_size) {
        return wrong_size(r, tensor, raw_size, "bytes");
    }
    return read_raw(r, h, h->raw.at, tensor);
}

tdsnn_status td_read_tensor(td_reader *r, td_wire message, td_tensor *tensor) {
    header h = {0};
    *tensor = (td_tensor){0};
    tdsnn_status status = read_header(r, message, &h);
    if (status == TDSNN_OK) {
        status = read_dims(r, message, tensor);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    tensor->type = h.element->type;
    return tensor->type == TD_TYPE_OTHER ? TDSNN_OK : read_entries(r, message, &h, tensor);
}
