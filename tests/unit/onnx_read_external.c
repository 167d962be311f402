/* Constants in files beside the model: read from there, and from nowhere else. */
#include <sys/stat.h>
#include <unistd.h>

#include "onnx_maker.h"
#include "scratch.h"

#define FLOATS 4

/* A model in the scratch folder whose constant lies at those bytes; NULL leaves an entry out. */
static maker *outside(tdsnn_context *ctx, const char *location, const char *offset,
                      const char *length) {
    const char *const entries[][2] = {
        {"location", location}, {"offset", offset}, {"length", length}, {"checksum", "00"}};
    maker *m = maker_small(ctx);
    Onnx__TensorProto *t = maker_constant(m, "w", 1, (int64_t[]){FLOATS}, 1);
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    t->external_data = td_arena_alloc(m->arena, 4, sizeof *t->external_data);
    for (int i = 0; i < 4; i++) {
        if (entries[i][1] != NULL) {
            Onnx__StringStringEntryProto *e =
                MAKER_NEW(m, &t->external_data[t->n_external_data++], Onnx__StringStringEntryProto);
            onnx__string_string_entry_proto__init(e);
            e->key = (char *)entries[i][0];
            e->value = (char *)entries[i][1];
        }
    }
    return m;
}

static void accepted(maker *m, float first, const char *what) {
    td_source *source;
    tdsnn_status status = maker_parse(m, scratch_path("model.onnx"), &source);
    const td_tensor *t = NULL;
    for (int i = 0; source != NULL && i < source->value_count; i++) {
        t = source->values[i].constant != NULL ? source->values[i].constant : t;
    }
    ok(status == TDSNN_OK && t != NULL && t->count == FLOATS && t->floats[0] == first &&
           t->floats[FLOATS - 1] == first + FLOATS - 1,
       "%s: read", what);
    if (status != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(m->ctx));
    }
    td_source_destroy(source);
    maker_end(m);
}

static void refused(maker *m, const char *words, const char *what) {
    td_source *source;
    tdsnn_status status = maker_parse(m, scratch_path("model.onnx"), &source);
    if (!ok(status == TDSNN_ERR_INPUT && strstr(tdsnn_last_error(m->ctx), words) != NULL &&
                strstr(tdsnn_last_error(m->ctx), "initialiser 'w'") != NULL,
            "%s: refused", what)) {
        printf("# status %d: %s\n", status, tdsnn_last_error(m->ctx));
    }
    td_source_destroy(source);
    maker_end(m);
}

static void test_places(tdsnn_context *ctx) {
    accepted(outside(ctx, "w.bin", NULL, NULL), 0, "the beginning of a file");
    accepted(outside(ctx, "w.bin", "16", "16"), 4, "its end");
    accepted(outside(ctx, "./w.bin", "4", NULL), 1, "the middle, ./ before the name");
    accepted(outside(ctx, "inside/deep//w.bin", "0", "16"), 0, "folders below");
    refused(outside(ctx, "w.bin", "20", NULL), "lie beyond the end of 'w.bin' (32 bytes)",
            "past the end");
    refused(outside(ctx, "w.bin", "18446744073709551615", "16"), "beyond the end",
            "an offset of 2^64 - 1");
    refused(outside(ctx, "w.bin", "18446744073709551616", "16"), "no number", "an offset of 2^64");
    refused(outside(ctx, "w.bin", "-1", "16"), "no number", "a negative offset");
    refused(outside(ctx, "w.bin", "", "16"), "no number", "an empty offset");
    refused(outside(ctx, "w.bin", "0", "15"), "ask for 16 bytes", "a length that disagrees");
}

static void test_escapes(tdsnn_context *ctx) {
    char absolute[160];
    snprintf(absolute, sizeof absolute, "%s", scratch_path("w.bin"));
    refused(outside(ctx, absolute, NULL, NULL), "no path below the model's folder",
            "an absolute path");
    refused(outside(ctx, "", NULL, NULL), "no path below", "an empty path");
    refused(outside(ctx, NULL, NULL, NULL), "without a location", "no path at all");
    refused(outside(ctx, "../w.bin", NULL, NULL), "outside the model's folder", "the folder above");
    refused(outside(ctx, "inside/../../w.bin", NULL, NULL), "outside the model's folder",
            "the folder above, from below");
    refused(outside(ctx, "link.bin", NULL, NULL), "symbolic link", "a link to a file");
    refused(outside(ctx, "out/passwd", NULL, NULL), "symbolic link", "a link to a folder");
    refused(outside(ctx, "absent.bin", NULL, NULL), "No such file", "a file that is not there");
    refused(outside(ctx, "w.bin/", NULL, NULL), "cannot be opened", "a file as a folder");
    refused(outside(ctx, "inside", NULL, NULL), "no regular file", "a folder");
    refused(outside(ctx, "fifo", NULL, NULL), "no regular file", "a pipe");
    refused(outside(ctx, "w\x1b.bin", NULL, NULL), "control character", "a name with an escape");
}

/* A small file must not be able to ask for gigabytes. */
static void test_size(tdsnn_context *ctx) {
    td_source *source;
    maker *m = outside(ctx, "w.bin", NULL, NULL);
    m->constants[0]->dims[0] = (int64_t)1 << 28;
    refused(m, "lie beyond the end", "1 GiB that the file does not have");
    m = outside(ctx, "w.bin", NULL, NULL);
    m->constants[0]->dims[0] = (int64_t)1 << 29;
    ok(maker_parse(m, scratch_path("model.onnx"), &source) == TDSNN_ERR_UNSUPPORTED &&
           strstr(tdsnn_last_error(ctx), "exceed 2147483647 bytes") != NULL,
       "2 GiB: refused");
    maker_end(m);
    m = outside(ctx, "w.bin", NULL, NULL);
    m->constants[0]->dims[0] = INT64_MAX;
    refused(m, "overflows", "2^65 bytes");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    float values[2 * FLOATS];
    for (int i = 0; i < 2 * FLOATS; i++) {
        values[i] = (float)i;
    }
    scratch_write("w.bin", values, sizeof values);
    mkdir(scratch_path("inside"), 0777);
    mkdir(scratch_path("inside/deep"), 0777);
    scratch_write("inside/deep/w.bin", values, sizeof values);
    bool linked = symlink("w.bin", scratch_path("link.bin")) == 0 &&
                  symlink("/etc", scratch_path("out")) == 0 &&
                  mkfifo(scratch_path("fifo"), 0666) == 0;
    ok(linked, "links and a pipe to try");
    test_places(ctx);
    test_escapes(ctx);
    test_size(ctx);
    unlink(scratch_path("inside/deep/w.bin"));
    rmdir(scratch_path("inside/deep"));
    rmdir(scratch_path("inside"));
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
