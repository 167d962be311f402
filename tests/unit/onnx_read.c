/* Whole files: opsets, metadata, real models, and every damage that can be thought of. */
#include <glob.h>

#include "base/random.h"
#include "onnx_maker.h"

#define FLIPS 20000

static void test_opsets(tdsnn_context *ctx) {
    int wrong = 0;
    for (int opset = 7; opset <= 21; opset++) {
        maker *m = maker_small(ctx);
        m->opsets[0]->version = opset;
        td_source *s;
        wrong += maker_parse(m, "test.onnx", &s) != TDSNN_OK || s->opset != opset;
        td_source_destroy(s);
        maker_end(m);
    }
    ok(wrong == 0, "opsets 7 to 21 are read");
    static const int64_t others[] = {-1, 0, 1, 6, 22, INT64_MAX};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        maker *m = maker_small(ctx);
        char words[64];
        m->opsets[0]->version = others[i];
        snprintf(words, sizeof words, "opset %lld is not supported, 7 to 21 are; export",
                 (long long)others[i]);
        maker_refused(m, TDSNN_ERR_UNSUPPORTED, words, "another opset");
    }
    maker *m = maker_small(ctx);
    m->model.n_opset_import = 0;
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "opset 0", "no opset");
    m = maker_small(ctx);
    m->opsets[0]->domain = (char *)"ai.onnx";
    maker_opset(m, "ai.onnx.ml", 2);
    maker_opset(m, "", 13);
    maker_opset(m, "com.microsoft", 1);
    td_source *s = maker_read(m, "several imports, one of them twice");
    ok(s != NULL && s->opset == 13, "the opset of ONNX's own domain");
    td_source_destroy(s);
    m = maker_small(ctx);
    maker_opset(m, "ai.onnx", 14);
    maker_refused(m, TDSNN_ERR_INPUT, "two opsets, 13 and 14", "two opsets");
}

static void test_metadata(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    maker_metadata(m, "tdsnn.scale", "1/255");
    maker_metadata(m, "names", "{0: 'cat'}\n{1: 'dog'}");
    maker_metadata(m, "tdsnn.inline", "0");
    td_source *s = maker_read(m, "metadata");
    ok(s != NULL && s->metadata_count == 3 && strcmp(s->metadata[0].key, "tdsnn.scale") == 0 &&
           strcmp(s->metadata[0].value, "1/255") == 0 &&
           strcmp(s->metadata[1].value, "{0: 'cat'}\n{1: 'dog'}") == 0,
       "keys and values, in order");
    td_source_destroy(s);
    m = maker_small(ctx);
    maker_metadata(m, "tdsnn.inline", "1");
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "without --inline", "a file for other tools");
    m = maker_small(ctx);
    maker_metadata(m, "key", "\x1b[31m");
    maker_refused(m, TDSNN_ERR_INPUT, "a metadata entry", "metadata with an escape");
}

/* --- damage --- */

/* A network with everything in it: window attributes, typed and raw constants, a code. */
static maker *rich(tdsnn_context *ctx) {
    static float weights[8] = {1, -2, 3, -4, 5, -6, 7, -8}, tables[511];
    static int64_t pads[] = {1, 1, 1, 1}, shape[] = {1, -1};
    maker *m = maker_begin(ctx, 15);
    maker_opset(m, "org.tdsnn", 1);
    maker_input(m, "x");
    maker_floats(m, "w", weights, 8);
    maker_floats(m, "thresholds", tables, 255);
    maker_floats(m, "values", tables + 255, 256);
    Onnx__TensorProto *t = maker_constant(m, "shape", 7, (int64_t[]){2}, 1);
    t->has_raw_data = 1;
    t->raw_data.data = (uint8_t *)shape;
    t->raw_data.len = sizeof shape;
    Onnx__AttributeProto *a = maker_attribute(m, maker_node(m, "Conv", "c", "x", "w", "a"), "pads",
                                              ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->ints = pads;
    a->n_ints = 4;
    Onnx__NodeProto *n = maker_node(m, "TemporalCode", "code", "a", "thresholds", "b");
    n->domain = (char *)"org.tdsnn";
    a = maker_attribute(m, n, "leak", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = 1;
    a->f = 14.0f;
    a = maker_attribute(m, n, "rounding", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = 1;
    a->s.data = (uint8_t *)"nearest";
    a->s.len = 7;
    maker_node(m, "Reshape", "", "b", "shape", "y");
    maker_output(m, "y");
    m->functions[m->model.n_functions++] = td_temporal_code(m->arena);
    maker_metadata(m, "tdsnn.layout", "nchw");
    return m;
}

/* Reads bytes in memory of exactly their size; whether it ended as it may: read, or refused with
 * one sentence that names the file. */
static bool ends_well(tdsnn_context *ctx, const unsigned char *bytes, size_t size,
                      tdsnn_status *status) {
    unsigned char *exact = malloc(size == 0 ? 1 : size);
    td_source *source = NULL;
    memcpy(exact, bytes, size);
    td_error_clear(ctx);
    *status = td_onnx_parse(ctx, "damaged.onnx", exact, size, &source);
    free(exact); /* a source may not point into the file */
    if (*status == TDSNN_OK) {
        for (int i = 0; i < source->node_count; i++) {
            td_source_attribute(&source->nodes[i], "pads");
        }
        td_source_destroy(source);
        return true;
    }
    const char *sentence = tdsnn_last_error(ctx);
    return source == NULL && (*status == TDSNN_ERR_INPUT || *status == TDSNN_ERR_UNSUPPORTED) &&
           strncmp(sentence, "damaged.onnx: ", 14) == 0 && strlen(sentence) > 24 &&
           strchr(sentence, '\n') == NULL;
}

static void test_truncations(tdsnn_context *ctx, const unsigned char *bytes, size_t size) {
    tdsnn_status status;
    int wrong = 0, read = 0;
    for (size_t cut = 0; cut < size; cut++) {
        wrong += !ends_well(ctx, bytes, cut, &status);
        read += status == TDSNN_OK;
    }
    ok(wrong == 0, "all %zu cut-off files end in a clean status and one sentence", size);
    /* only a cut between two fields behind all that matters leaves a sound file */
    ok(read <= 2, "%d of them read as sound", read);
    ok(ends_well(ctx, bytes, 0, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "is empty") != NULL,
       "an empty file is refused");
}

static void test_flips(tdsnn_context *ctx, const unsigned char *bytes, size_t size) {
    td_random random;
    tdsnn_status status;
    int wrong = 0, read = 0;
    unsigned char *spoiled = malloc(size);
    td_random_seed(&random, 5, 0);
    for (int i = 0; i < FLIPS; i++) {
        memcpy(spoiled, bytes, size);
        for (uint64_t n = 1 + td_random_below(&random, 4); n > 0; n--) {
            spoiled[td_random_below(&random, size)] ^=
                (unsigned char)(1u << td_random_below(&random, 8));
        }
        wrong += !ends_well(ctx, spoiled, size, &status);
        read += status == TDSNN_OK;
    }
    free(spoiled);
    ok(wrong == 0, "%d files with flipped bits (seed 5) end in a clean status (%d read)", FLIPS,
       read);
}

/* Every byte set to values that lengths and keys are made of. */
static void test_bytes(tdsnn_context *ctx, const unsigned char *bytes, size_t size) {
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    tdsnn_status status;
    int wrong = 0;
    unsigned char *spoiled = malloc(size);
    memcpy(spoiled, bytes, size);
    for (size_t i = 0; i < size; i++) {
        for (size_t k = 0; k < sizeof values; k++) {
            spoiled[i] = values[k];
            wrong += !ends_well(ctx, spoiled, size, &status);
        }
        spoiled[i] = bytes[i];
    }
    free(spoiled);
    ok(wrong == 0, "every byte set to 0, 1, 127, 128 and 255 ends in a clean status");
}

static void test_noise(tdsnn_context *ctx) {
    td_random random;
    tdsnn_status status;
    unsigned char noise[64];
    int wrong = 0;
    td_random_seed(&random, 6, 0);
    for (int i = 0; i < FLIPS; i++) {
        for (size_t k = 0; k < sizeof noise; k++) {
            noise[k] = (unsigned char)td_random_below(&random, 256);
        }
        wrong += !ends_well(ctx, noise, 1 + td_random_below(&random, sizeof noise), &status) ||
                 status == TDSNN_OK;
    }
    ok(wrong == 0, "%d files of noise are refused", FLIPS);
    static const char text[] = "This is a text, not a network.\n";
    ok(ends_well(ctx, (const unsigned char *)text, sizeof text - 1, &status) &&
           status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "no ONNX file: byte 0") != NULL,
       "a text is refused");
}

/* Graphs in attributes of nodes of graphs, `depth` deep: what overflows a reader with recursion. */
static void test_nesting(tdsnn_context *ctx) {
    enum { DEPTH = 30000 };
    unsigned char *at, *bytes = malloc(DEPTH * 20), *end = bytes + DEPTH * 20;
    at = end;
    for (int i = 0; i < DEPTH; i++) {
        static const unsigned char keys[] = {0x0a, 0x2a, 0x32}; /* node, attribute, graph */
        for (int k = 2; k >= 0; k--) {
            uint64_t size = (uint64_t)(end - at);
            unsigned char length[10];
            size_t used = 0;
            for (; size > 0x7f; size >>= 7) {
                length[used++] = (unsigned char)(size | 0x80);
            }
            length[used++] = (unsigned char)size;
            at -= used;
            memcpy(at, length, used);
            *--at = keys[k];
        }
    }
    maker *m = maker_small(ctx);
    size_t size;
    const unsigned char *packed = maker_pack(m, &size);
    ok(size > 0, "a graph, nested %d deep, %zu bytes", DEPTH, (size_t)(end - at));
    /* the nested graph as one more graph of the model: field 7 */
    unsigned char *model = malloc(size + (size_t)(end - at) + 16);
    size_t used = 0;
    model[used++] = 0x3a;
    for (uint64_t left = (uint64_t)(end - at);; left >>= 7) {
        model[used++] = (unsigned char)(left > 0x7f ? left | 0x80 : left);
        if (left <= 0x7f) {
            break;
        }
    }
    memcpy(model + used, at, (size_t)(end - at));
    used += (size_t)(end - at);
    tdsnn_status status;
    ok(ends_well(ctx, model, used, &status) && status != TDSNN_OK, "alone: refused");
    memcpy(model + used, "\x42\x02\x10\x0d", 4);
    ok(ends_well(ctx, model, used + 4, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "has no operator") != NULL,
       "with an opset: refused at its outermost node");
    memcpy(model + used, packed, size);
    ok(ends_well(ctx, model, used + size, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "more than one graph") != NULL,
       "two graphs: refused");
    maker_end(m);
    free(model);
    free(bytes);
}

static void test_files(tdsnn_context *ctx) {
    td_source *source = NULL;
    td_error_clear(ctx);
    ok(td_onnx_read(ctx, "/nonexistent/model.onnx", &source) == TDSNN_ERR_INPUT && source == NULL &&
           strstr(tdsnn_last_error(ctx), "/nonexistent/model.onnx") != NULL,
       "a file that is not there");
    td_error_clear(ctx);
    ok(td_onnx_read(ctx, "/", &source) == TDSNN_ERR_INPUT, "a folder");
    td_error_clear(ctx);
}

static void test_real(tdsnn_context *ctx) {
    const char *data = getenv("TDSNN_SHARED_DATA");
    char pattern[4096];
    snprintf(pattern, sizeof pattern, "%s/models/*.onnx", data == NULL ? "../shared/data" : data);
    glob_t found = {0};
    glob(pattern, 0, NULL, &found);
    snprintf(pattern, sizeof pattern, "%s/models/*/*.onnx", data == NULL ? "../shared/data" : data);
    glob(pattern, GLOB_APPEND, NULL, &found);
    if (found.gl_pathc == 0) {
        ok(true, "real networks # SKIP none at %s", pattern);
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        td_source *s = NULL;
        tdsnn_status status = td_onnx_read(ctx, found.gl_pathv[i], &s);
        ok(status == TDSNN_OK && s->node_count > 0 && s->input_count == 1 && s->output_count == 1,
           "%s: %d nodes, opset %d", strrchr(found.gl_pathv[i], '/') + 1,
           s == NULL ? 0 : s->node_count, s == NULL ? 0 : (int)s->opset);
        if (status != TDSNN_OK) {
            printf("# %s\n", tdsnn_last_error(ctx));
            td_error_clear(ctx);
        }
        td_source_destroy(s);
    }
    globfree(&found);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_opsets(ctx);
    test_metadata(ctx);
    maker *m = rich(ctx);
    size_t size;
    const unsigned char *bytes = maker_pack(m, &size);
    tdsnn_status status;
    ok(ends_well(ctx, bytes, size, &status) && status == TDSNN_OK, "a sound file of %zu bytes",
       size);
    test_truncations(ctx, bytes, size);
    test_flips(ctx, bytes, size);
    test_bytes(ctx, bytes, size);
    maker_end(m);
    test_noise(ctx);
    test_nesting(ctx);
    test_files(ctx);
    test_real(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
