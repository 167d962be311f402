/* The model-local function org.tdsnn.TemporalCode: x -> values[number of thresholds below x]. */
#ifndef TD_ONNX_FUNCTION_H
#define TD_ONNX_FUNCTION_H

#include "base/memory.h"
#include "onnx/onnx.pb-c.h"

#define TD_CODE_DOMAIN "org.tdsnn"
#define TD_CODE_FUNCTION "TemporalCode"
#define TD_CODE_VERSION 1
/* The opset that we write: of the model and of the function's body. */
#define TD_WRITTEN_OPSET 15

/* Builds the function TemporalCode(x, thresholds[255], values[256]).
 * Its body counts the thresholds below x by a binary search without branches. After the rounds of
 * steps 128 .. 2s, `count` is the largest multiple of s at most the number of thresholds below x:
 *     count += s * (x > thresholds[count + s - 1]),  s = 128, 64, .. 1
 * thresholds are non-decreasing and end in +inf, so indices stay in 0 .. 254 and the count in
 * 0 .. 255; a NaN counts none. Then y = values[count]. Exact: compares only.
 * Errors: NULL with TDSNN_ERR_RUNTIME recorded. Memory: the arena's. */
Onnx__FunctionProto *td_temporal_code(td_arena *arena);

/* Metadata of a file without functions, whose value is "1": such a file is for other tools, and the
 * reader refuses it. */
#define TD_INLINE_KEY "tdsnn.inline"

/* Replaces every call of TemporalCode by the nodes of its body. The names of all values and nodes
 * must be unique already, and stay so.
 * Errors: TDSNN_ERR_RUNTIME. Memory: the arena's. */
tdsnn_status td_inline_codes(tdsnn_context *ctx, td_arena *arena, Onnx__GraphProto *graph);

#endif
