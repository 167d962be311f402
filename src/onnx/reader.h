/* What the files of the reader share; for the room alone. */
#ifndef TD_ONNX_READER_H
#define TD_ONNX_READER_H

#include "graph/source.h"
#include "onnx/wire.h"

/* The most bytes that a file, or all external data of a model together, may have: protobuf's own
 * limit. */
#define TD_ONNX_LIMIT ((size_t)INT32_MAX)
/* Far beyond any real network, and small enough that a hostile file cannot make a few of its bytes
 * cost gigabytes here. */
#define TD_ONNX_MAX_ITEMS ((size_t)1 << 20)
#define TD_ONNX_MAX_NAME ((size_t)512)
#define TD_ONNX_MAX_ATTRIBUTES ((size_t)256)

typedef struct td_function td_function;

/* One file being read. Sentences are recorded without its path, and each level puts its place in
 * front ("node 'x' (Conv): attribute 'pads': ..."). */
typedef struct td_reader {
    tdsnn_context *ctx;
    const char *path;
    const unsigned char *start; /* of the file, for the places of damage */
    td_arena *arena;            /* of the source being made */
    size_t external_bytes;      /* taken so far, of TD_ONNX_LIMIT */
    td_function *functions;     /* [function_count] of others; freed with the reader */
    int function_count;
    size_t function_capacity;
} td_reader;

/* TDSNN_ERR_INPUT naming the byte at which a message stops making sense. */
tdsnn_status td_reader_damaged(const td_reader *r, const td_wire *message);

/* Puts "kind 'name': " in front of the recorded sentence. */
tdsnn_status td_reader_in(const td_reader *r, tdsnn_status status, const char *kind,
                          const char *name);

/* --- names.c --- */

/* Copies a name: UTF-8 of at most TD_ONNX_MAX_NAME bytes without control characters, which would
 * reach terminals and reports. Errors: TDSNN_ERR_INPUT. */
tdsnn_status td_read_name(const td_reader *r, const td_wire *bytes, const char **name);

/* Copies a longer text: UTF-8, no control characters but tabs and line ends. */
tdsnn_status td_read_text(const td_reader *r, const td_wire *bytes, const char **text);

bool td_wire_is(const td_wire *bytes, const char *text);

/* Occurrences of names, each with the place that its number goes to. */
typedef struct td_refs {
    struct td_ref *items;
    size_t count, capacity;
} td_refs;

tdsnn_status td_refs_add(const td_reader *r, td_refs *refs, const td_wire *name, int *place);

/* Numbers the names in the order of their first occurrence, writes the numbers to their places,
 * and makes the values. Sorts instead of hashing, so no choice of names makes it slow. */
tdsnn_status td_refs_number(const td_reader *r, td_refs *refs, td_source_value **values,
                            int *count);

/* Makes names unique: of equal ones the first keeps it, others become "NAME_2", "NAME_3" past
 * those that exist. */
tdsnn_status td_names_unique(tdsnn_context *ctx, td_arena *arena, const char **names, int count);

/* --- read_tensor.c, read_external.c --- */

/* Reads a TensorProto; its name is the caller's. */
tdsnn_status td_read_tensor(td_reader *r, td_wire message, td_tensor *tensor);

/* Reads the `wanted` bytes that a tensor keeps in a file beside the model.
 * Memory: *bytes by td_free. */
tdsnn_status td_read_external(td_reader *r, td_wire tensor, size_t wanted, unsigned char **bytes);

/* --- read_node.c --- */

/* Reads a NodeProto, the `number`th of its graph. Its values get their numbers by `refs`. */
tdsnn_status td_read_node(td_reader *r, td_wire message, int number, td_refs *refs,
                          td_source_node *node);

/* Reads an AttributeProto. */
tdsnn_status td_read_attribute(td_reader *r, td_wire message, td_attribute *attribute);

/* --- functions.c --- */

/* Reads a FunctionProto into r->functions. */
tdsnn_status td_read_function(td_reader *r, td_wire message);

/* Puts the nodes of functions in place of their calls, also in functions; what is inside is called
 * "CALL/NAME". Bounded: a function that calls itself, calls 64 deep, and call graphs that come to
 * more than 2^18 nodes and values are refused. */
tdsnn_status td_place_functions(td_reader *r, td_source *source);

/* --- read_graph.c, order.c --- */

tdsnn_status td_read_graph(td_reader *r, td_wire message, td_source *source);

/* Sorts the nodes so that every input is made before it is read; nodes that are sorted keep their
 * order. maker: the node that makes a value, [value_count], negative if none does.
 * Errors: TDSNN_ERR_INPUT naming a node of a cycle. */
tdsnn_status td_order_nodes(tdsnn_context *ctx, td_source *source, const int *maker);

/* --- function.c --- */

/* Checks a FunctionProto against the TemporalCode that we write, node by node; value names and
 * documentation may differ. Errors: TDSNN_ERR_INPUT naming what differs. */
tdsnn_status td_check_temporal_code(td_reader *r, td_wire message);

#endif
