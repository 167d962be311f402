/* The fields of onnx.proto that the reader knows. Fields that are not listed are skipped. */
#ifndef TD_ONNX_SCHEMA_H
#define TD_ONNX_SCHEMA_H

#include "onnx/wire.h"

#define VARINT(number) TD_WIRE_KEY(number, TD_WIRE_VARINT)
#define BYTES(number) TD_WIRE_KEY(number, TD_WIRE_BYTES)
#define FLOAT32(number) TD_WIRE_KEY(number, TD_WIRE_FIXED32)

enum {
    MODEL_GRAPH = BYTES(7),
    MODEL_OPSET = BYTES(8),
    MODEL_METADATA = BYTES(14),
    MODEL_FUNCTION = BYTES(25)
};
enum { OPSET_DOMAIN = BYTES(1), OPSET_VERSION = VARINT(2) };
enum { ENTRY_KEY = BYTES(1), ENTRY_VALUE = BYTES(2) };
enum {
    GRAPH_NODE = BYTES(1),
    GRAPH_INITIALIZER = BYTES(5),
    GRAPH_INPUT = BYTES(11),
    GRAPH_OUTPUT = BYTES(12),
    GRAPH_SPARSE_INITIALIZER = BYTES(15)
};
enum { VALUE_NAME = BYTES(1), VALUE_TYPE = BYTES(2) };
enum {
    TYPE_TENSOR = BYTES(1),
    TENSOR_TYPE_SHAPE = BYTES(2),
    SHAPE_DIM = BYTES(1),
    DIM_VALUE = VARINT(1),
    DIM_PARAM = BYTES(2)
};
enum {
    NODE_INPUT = BYTES(1),
    NODE_OUTPUT = BYTES(2),
    NODE_NAME = BYTES(3),
    NODE_OP = BYTES(4),
    NODE_ATTRIBUTE = BYTES(5),
    NODE_DOMAIN = BYTES(7),
    NODE_OVERLOAD = BYTES(8) /* which of the functions of that name */
};
enum {
    ATTRIBUTE_NAME = BYTES(1),
    ATTRIBUTE_F = FLOAT32(2),
    ATTRIBUTE_I = VARINT(3),
    ATTRIBUTE_S = BYTES(4),
    ATTRIBUTE_T = BYTES(5),
    ATTRIBUTE_TYPE = VARINT(20),
    ATTRIBUTE_REF = BYTES(21)
};
/* Repeated numbers, by field number: packed or not (td_items). */
enum {
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    TENSOR_DIMS = 1,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_INT64S = 7,
    TENSOR_DOUBLES = 10,
    TENSOR_UINT64S = 11
};
enum {
    TENSOR_TYPE = VARINT(2),
    TENSOR_SEGMENT = BYTES(3),
    TENSOR_NAME = BYTES(8),
    TENSOR_RAW = BYTES(9),
    TENSOR_EXTERNAL = BYTES(13),
    TENSOR_LOCATION = VARINT(14)
};
enum {
    FUNCTION_NAME = BYTES(1),
    FUNCTION_INPUT = BYTES(4),
    FUNCTION_OUTPUT = BYTES(5),
    FUNCTION_ATTRIBUTE = BYTES(6),
    FUNCTION_NODE = BYTES(7),
    FUNCTION_DOC = BYTES(8),
    FUNCTION_OPSET = BYTES(9),
    FUNCTION_DOMAIN = BYTES(10),
    FUNCTION_DEFAULT = BYTES(11), /* an attribute with the value that it has if left out */
    FUNCTION_VALUE_INFO = BYTES(12),
    FUNCTION_OVERLOAD = BYTES(13),
    FUNCTION_METADATA = BYTES(14)
};

#undef VARINT
#undef BYTES
#undef FLOAT32

/* AttributeProto.AttributeType */
enum {
    ONNX_ATTRIBUTE_FLOAT = 1,
    ONNX_ATTRIBUTE_INT = 2,
    ONNX_ATTRIBUTE_STRING = 3,
    ONNX_ATTRIBUTE_TENSOR = 4,
    ONNX_ATTRIBUTE_FLOATS = 6,
    ONNX_ATTRIBUTE_INTS = 7
};

#endif
