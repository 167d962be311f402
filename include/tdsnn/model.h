/* Models: networks read from and written to ONNX files, plain or spiking. */
#ifndef TDSNN_MODEL_H
#define TDSNN_MODEL_H

#include <tdsnn/code.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tdsnn_model tdsnn_model;

/* Reads an ONNX file, opset 7 to 21, plain or converted. A node that is not supported is no error
 * here: it is listed by tdsnn_model_node, and every call that would run the model fails with
 * TDSNN_ERR_UNSUPPORTED naming it.
 * Errors: TDSNN_ERR_INPUT for a missing, damaged or self-contradicting file.
 * Memory: tdsnn_model_destroy. */
TDSNN_API tdsnn_status tdsnn_model_load(tdsnn_context *ctx, const char *path, tdsnn_model **model);

/* The same for a network whose input has symbolic dimensions besides the batch. sizes:
 * "NAME=V,NAME=V", one without a name called by its place ("2=224"); names that the network does
 * not have are of no effect; NULL: none.
 * Errors: TDSNN_ERR_USAGE for a text of another form; TDSNN_ERR_UNSUPPORTED naming a dimension
 * that has no size. */
TDSNN_API tdsnn_status tdsnn_model_load_sized(tdsnn_context *ctx, const char *path,
                                              const char *sizes, tdsnn_model **model);
TDSNN_API void tdsnn_model_destroy(tdsnn_model *model);

/* Writes the model as an ONNX file, whole or not at all.
 * Errors: TDSNN_ERR_USAGE if the file exists and `force` is false; TDSNN_ERR_RUNTIME. */
TDSNN_API tdsnn_status tdsnn_model_save(tdsnn_context *ctx, const tdsnn_model *model,
                                        const char *path, bool force);

/* The same for tools without functions: every TemporalCode as the plain ONNX nodes that it consists
 * of. Such a file is not read back. */
TDSNN_API tdsnn_status tdsnn_model_save_inline(tdsnn_context *ctx, const tdsnn_model *model,
                                               const char *path, bool force);

/* Whether it is a converted network: one with temporal codes. */
TDSNN_API bool tdsnn_model_is_spiking(const tdsnn_model *model);

/* What becomes of a node of the file. */
typedef enum tdsnn_node_status {
    TDSNN_NODE_SUPPORTED, /* an operator of its own */
    TDSNN_NODE_FOLDED,    /* taken up by another, or needs nothing */
    TDSNN_NODE_REFUSED
} tdsnn_node_status;

typedef struct tdsnn_node_info {
    const char *name, *op; /* as in the file */
    tdsnn_node_status status;
    const char *reason;     /* of folding or refusal; "" if supported */
    const char *shape;      /* of its output, "20x24x24"; "" if unknown or folded */
    uint64_t macs;          /* dense multiply-adds a sample, taps on padding left out */
    uint64_t macs_padded;   /* the same with them: what the literature quotes */
    const tdsnn_code *code; /* of a TemporalCode node, else NULL */
} tdsnn_node_info;

/* Nodes in the order of the file. The strings live as long as the model. */
TDSNN_API int tdsnn_model_node_count(const tdsnn_model *model);
TDSNN_API tdsnn_node_info tdsnn_model_node(const tdsnn_model *model, int index);

/* TDSNN_OK, or TDSNN_ERR_UNSUPPORTED with the first refusal in tdsnn_last_error. */
TDSNN_API tdsnn_status tdsnn_model_check(tdsnn_context *ctx, const tdsnn_model *model);

typedef struct tdsnn_model_shape {
    const char *input_name, *output_name;
    int input[3]; /* C, H, W of one sample; a flat input is N, 1, 1 */
    bool input_flat;
    int outputs;
    long opset;
} tdsnn_model_shape;

/* Input and output. Errors: TDSNN_ERR_UNSUPPORTED if a node is refused. */
TDSNN_API tdsnn_status tdsnn_model_get_shape(tdsnn_context *ctx, const tdsnn_model *model,
                                             tdsnn_model_shape *shape);

/* A metadata value of the file (converted files: "tdsnn.scale", "tdsnn.layout", ...), or NULL. */
TDSNN_API const char *tdsnn_model_metadata(const tdsnn_model *model, const char *key);

#ifdef __cplusplus
}
#endif
#endif
