/* ONNX files, read and written; the only room that sees protobuf. */
#ifndef TD_ONNX_ONNX_H
#define TD_ONNX_ONNX_H

#include "graph/graph.h"
#include "graph/source.h"

/* Reads a model, opset 7 to 21. The file is hostile until shown otherwise: nesting, lengths,
 * products of dims, names and external files are bounded and checked. A converted file's
 * TemporalCode functions are recognised by their body, not their name.
 * Several inputs and outputs are listed; lowering refuses them.
 * Errors: TDSNN_ERR_INPUT, TDSNN_ERR_UNSUPPORTED (opset, sparse or segmented constants, ...), each
 * naming the place.
 * Memory: td_source_destroy. */
tdsnn_status td_onnx_read(tdsnn_context *ctx, const char *path, td_source **source);

/* The same from memory; `path` is for messages and for external data beside it. */
tdsnn_status td_onnx_parse(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                           size_t size, td_source **source);

/* Writes a graph afresh: opset 15, IR 8, codes as the model-local function
 * org.tdsnn.TemporalCode. */
tdsnn_status td_onnx_write(tdsnn_context *ctx, const td_graph *graph, const char *path, bool force);

/* The same for tools without functions: codes as the plain nodes that they consist of. The metadata
 * say so, and td_onnx_read refuses the file. */
tdsnn_status td_onnx_write_inline(tdsnn_context *ctx, const td_graph *graph, const char *path,
                                  bool force);

#endif
