#include "onnx/onnx.h"

#include <string.h>

#include "base/file.h"
#include "onnx/function.h"
#include "onnx/reader.h"
#include "onnx/schema.h"

#define FIRST_OPSET 7
#define LAST_OPSET 21

tdsnn_status td_reader_damaged(const td_reader *r, const td_wire *message) {
    return td_error(r->ctx, TDSNN_ERR_INPUT,
                    "cut off, damaged or no ONNX file: byte %zu makes no sense; fetch or export it "
                    "again",
                    (size_t)(message->at - r->start));
}

tdsnn_status td_reader_in(const td_reader *r, tdsnn_status status, const char *kind,
                          const char *name) {
    char place[TD_ONNX_MAX_NAME + 64];
    snprintf(place, sizeof place, "%s '%s'", kind, name);
    return td_error_in(r->ctx, status, place);
}

/* A ModelProto's parts, found before any is read: their order in a file is free. */
typedef struct model {
    td_wire graph;
    int graphs;
    size_t metadata_count;
    int64_t opset;      /* 0 until an import names it */
    bool code_imported; /* org.tdsnn, in the version that we know */
    bool code_defined;
} model;

static tdsnn_status check_opset(const td_reader *r, const model *m) {
    if (m->opset >= FIRST_OPSET && m->opset <= LAST_OPSET) {
        return TDSNN_OK;
    }
    return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                    "opset %lld is not supported, %d to %d are; export the network again with one "
                    "of those, or use onnx.version_converter",
                    (long long)m->opset, FIRST_OPSET, LAST_OPSET);
}

static tdsnn_status read_import(const td_reader *r, td_wire message, model *m) {
    td_wire domain = {0};
    int64_t version = 0;
    td_field field;
    while (td_wire_next(&message, &field)) {
        domain = field.key == OPSET_DOMAIN ? field.bytes : domain;
        version = field.key == OPSET_VERSION ? (int64_t)field.value : version;
    }
    if (message.damaged) {
        return td_reader_damaged(r, &message);
    }
    if (td_wire_is(&domain, TD_CODE_DOMAIN)) {
        m->code_imported = version == TD_CODE_VERSION;
        return m->code_imported
                   ? TDSNN_OK
                   : td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                              "version %lld of the domain " TD_CODE_DOMAIN " is not known to this "
                              "program; use the one that wrote the file",
                              (long long)version);
    }
    if (!td_wire_is(&domain, "") && !td_wire_is(&domain, "ai.onnx")) {
        return TDSNN_OK; /* that of a function, or a node of that domain is refused by name later */
    }
    if (m->opset != 0 && m->opset != version) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "it names two opsets, %lld and %lld",
                        (long long)m->opset, (long long)version);
    }
    m->opset = version;
    return check_opset(r, m);
}

static tdsnn_status scan_model(const td_reader *r, td_wire message, model *m) {
    tdsnn_status status = TDSNN_OK;
    td_field field;
    while (status == TDSNN_OK && td_wire_next(&message, &field)) {
        switch (field.key) {
        case MODEL_GRAPH:
            m->graph = field.bytes;
            m->graphs++;
            break;
        case MODEL_OPSET:
            status = read_import(r, field.bytes, m);
            break;
        case MODEL_METADATA:
            m->metadata_count++;
            break;
        default:
            break;
        }
    }
    if (status == TDSNN_OK && message.damaged) {
        status = td_reader_damaged(r, &message);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    if (m->graphs != 1) {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        m->graphs == 0 ? "no ONNX file, or cut off: there is no graph in it"
                                       : "it holds more than one graph");
    }
    return check_opset(r, m);
}

static tdsnn_status read_function(td_reader *r, td_wire message, model *m) {
    td_wire scan = message, name = {0}, domain = {0};
    const char *text;
    td_field field;
    while (td_wire_next(&scan, &field)) {
        name = field.key == FUNCTION_NAME ? field.bytes : name;
        domain = field.key == FUNCTION_DOMAIN ? field.bytes : domain;
    }
    if (scan.damaged) {
        return td_reader_damaged(r, &scan);
    }
    if (td_wire_is(&domain, "") || td_wire_is(&domain, "ai.onnx")) {
        tdsnn_status status = td_read_name(r, &name, &text);
        return status != TDSNN_OK
                   ? status
                   : td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                              "it gives ONNX's operator '%s' a meaning of its own, which is not "
                              "supported",
                              text);
    }
    if (!td_wire_is(&domain, TD_CODE_DOMAIN) || !td_wire_is(&name, TD_CODE_FUNCTION)) {
        return td_read_function(r, message);
    }
    if (m->code_defined) {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        "it defines the function " TD_CODE_DOMAIN "." TD_CODE_FUNCTION " twice");
    }
    m->code_defined = true;
    return td_check_temporal_code(r, message);
}

static tdsnn_status read_metadata(const td_reader *r, td_wire message, td_metadata *entry) {
    td_wire key = {0}, value = {0};
    td_field field;
    while (td_wire_next(&message, &field)) {
        key = field.key == ENTRY_KEY ? field.bytes : key;
        value = field.key == ENTRY_VALUE ? field.bytes : value;
    }
    if (message.damaged) {
        return td_reader_damaged(r, &message);
    }
    tdsnn_status status = td_read_name(r, &key, &entry->key);
    if (status == TDSNN_OK) {
        status = td_read_text(r, &value, &entry->value);
    }
    if (status != TDSNN_OK) {
        return td_error_in(r->ctx, status, "a metadata entry");
    }
    if (strcmp(entry->key, TD_INLINE_KEY) == 0 && strcmp(entry->value, "1") == 0) {
        return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                        "it was written by `convert --inline` for tools without functions and is "
                        "not read back; convert the original network again without --inline, and "
                        "use that file");
    }
    return TDSNN_OK;
}

/* Functions and metadata; the graph is read after them. */
static tdsnn_status read_parts(td_reader *r, td_wire message, model *m, td_source *source) {
    if (m->metadata_count > TD_ONNX_MAX_ITEMS) {
        return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED,
                        "it has %zu metadata entries; at most %zu "
                        "are read",
                        m->metadata_count, TD_ONNX_MAX_ITEMS);
    }
    source->metadata = td_arena_alloc(r->arena, m->metadata_count, sizeof *source->metadata);
    tdsnn_status status = source->metadata == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    td_field field;
    while (status == TDSNN_OK && td_wire_next(&message, &field)) {
        if (field.key == MODEL_FUNCTION) {
            status = read_function(r, field.bytes, m);
        } else if (field.key == MODEL_METADATA) {
            status = read_metadata(r, field.bytes, &source->metadata[source->metadata_count++]);
        }
    }
    return status;
}

/* Without its definition, a TemporalCode is only a name. */
static tdsnn_status check_codes(const td_reader *r, const model *m, const td_source *source) {
    for (int i = 0; i < source->node_count; i++) {
        const td_source_node *node = &source->nodes[i];
        if (strcmp(node->domain, TD_CODE_DOMAIN) == 0 && !(m->code_defined && m->code_imported)) {
            return td_error(r->ctx, TDSNN_ERR_INPUT,
                            "node '%s' is a %s of " TD_CODE_DOMAIN ", but the file does not define "
                            "it; convert the original network again",
                            node->name, node->op);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status read_model(td_reader *r, td_wire message, td_source *source) {
    model m = {0};
    tdsnn_status status = scan_model(r, message, &m);
    if (status == TDSNN_OK) {
        source->opset = m.opset;
        status = read_parts(r, message, &m, source);
    }
    if (status == TDSNN_OK) {
        status = td_read_graph(r, m.graph, source);
    }
    return status == TDSNN_OK ? check_codes(r, &m, source) : status;
}

static td_source *create_source(tdsnn_context *ctx, const char *path) {
    td_arena *arena = td_arena_create(ctx);
    td_source *source = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *source);
    if (source != NULL) {
        source->arena = arena;
        source->path = td_arena_strdup(arena, path);
    }
    if (source == NULL || source->path == NULL) {
        td_arena_destroy(arena);
        return NULL;
    }
    return source;
}

tdsnn_status td_onnx_parse(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                           size_t size, td_source **source) {
    if (size == 0 || size > TD_ONNX_LIMIT) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: %s", path,
                        size == 0 ? "the file is empty" : "the file is larger than 2 GiB");
    }
    td_source *made = create_source(ctx, path);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    td_reader r = {.ctx = ctx, .path = path, .start = bytes, .arena = made->arena};
    tdsnn_status status = read_model(&r, (td_wire){.at = bytes, .end = bytes + size}, made);
    td_free(r.functions);
    if (status != TDSNN_OK) {
        td_source_destroy(made);
        return td_error_in(ctx, status, path);
    }
    *source = made;
    return TDSNN_OK;
}

tdsnn_status td_onnx_read(tdsnn_context *ctx, const char *path, td_source **source) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    tdsnn_status status = td_file_read(ctx, path, TD_ONNX_LIMIT, &bytes, &size);
    if (status == TDSNN_OK) {
        status = td_onnx_parse(ctx, path, bytes, size, source);
    }
    td_free(bytes);
    return status;
}
