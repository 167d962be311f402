#include "data/npy.h"

#include <math.h>
#include <zip.h>

#include "hostile.h"
#include "tap.h"

enum { SAMPLES = 3, VALUES = 4, FILE_LIMIT = 4096 };

/* A file in memory: magic and version, a dictionary padded as numpy pads it, elements. */
typedef struct file {
    unsigned char bytes[FILE_LIMIT];
    size_t size;
} file;

static file npy(const char *dictionary, const void *elements, size_t size) {
    file f = {{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0}, 128 + size};
    memset(f.bytes + 10, ' ', 118);
    memcpy(f.bytes + 10, dictionary, strlen(dictionary));
    f.bytes[127] = '\n';
    memcpy(f.bytes + 128, elements, size);
    return f;
}

static tdsnn_status open_npy(tdsnn_context *ctx, const file *f, tdsnn_data **data) {
    char spec[160];
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    snprintf(spec, sizeof spec, "npy:%s", scratch_write("a.npy", f->bytes, f->size));
    *data = NULL;
    return tdsnn_data_open(ctx, spec, &options, data);
}

static bool refused(tdsnn_context *ctx, const file *f, const char *words) {
    tdsnn_data *data;
    tdsnn_status status = open_npy(ctx, f, &data);
    bool right = status == TDSNN_ERR_INPUT && strstr(tdsnn_last_error(ctx), words) != NULL;
    if (!right) {
        printf("# status %d: %s\n", status, tdsnn_last_error(ctx));
    }
    tdsnn_data_close(data);
    return right;
}

static void test_types(tdsnn_context *ctx) {
    const uint8_t bytes[] = {0, 1, 128, 255};
    const int8_t tiny[] = {0, -1, 127, -128};
    const uint16_t words[] = {0, 1, 32768, 65535};
    const int16_t shorts[] = {0, -1, 32767, -32768};
    const uint32_t naturals[] = {0, 1, 1u << 31, UINT32_MAX};
    const int32_t narrow[] = {0, -1, INT32_MAX, INT32_MIN};
    const int64_t wide[] = {0, -1, (int64_t)1 << 40, 7};
    const float singles[] = {0.0f, -1.5f, 1e-40f, 3e38f};
    const double doubles[] = {0.0, -1.5, 0.1, 1e-300};
    const struct {
        const char *name;
        const void *elements;
        size_t size;
        double expected[4];
    } cases[] = {{"|u1", bytes, sizeof bytes, {0, 1, 128, 255}},
                 {"|b1", bytes, sizeof bytes, {0, 1, 128, 255}},
                 {"|i1", tiny, sizeof tiny, {0, -1, 127, -128}},
                 {"<u2", words, sizeof words, {0, 1, 32768, 65535}},
                 {"<i2", shorts, sizeof shorts, {0, -1, 32767, -32768}},
                 {"<u4", naturals, sizeof naturals, {0, 1, 2147483648.0, 4294967295.0}},
                 {"<i4", narrow, sizeof narrow, {0, -1, 2147483647.0, -2147483648.0}},
                 {"<i8", wide, sizeof wide, {0, -1, 1099511627776.0, 7}},
                 {"<f4", singles, sizeof singles, {0, -1.5, (double)1e-40f, (double)3e38f}},
                 {"<f8", doubles, sizeof doubles, {0, -1.5, 0.1, 1e-300}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (1, 4), }",
                 cases[i].name);
        file f = npy(text, cases[i].elements, cases[i].size);
        tdsnn_data *data;
        int label = 0;
        bool right = open_npy(ctx, &f, &data) == TDSNN_OK;
        float values[VALUES];
        right = right && tdsnn_data_read(ctx, data, 0, values, &label) == TDSNN_OK && label == -1;
        for (int k = 0; right && k < VALUES; k++) {
            right = values[k] == (float)cases[i].expected[k];
        }
        ok(right, "%s", cases[i].name);
        tdsnn_data_close(data);
    }
}

static void test_shapes(tdsnn_context *ctx) {
    const uint8_t bytes[24] = {0};
    const struct {
        const char *shape;
        size_t samples;
        int expected[3];
    } cases[] = {{"(24,)", 24, {1, 1, 1}},
                 {"(2, 12)", 2, {12, 1, 1}},
                 {"(2, 3, 4)", 2, {1, 3, 4}},
                 {"(1, 2, 3, 4)", 1, {2, 3, 4}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "{'shape': %s, 'descr': '|u1', 'fortran_order': False}",
                 cases[i].shape);
        file f = npy(text, bytes, sizeof bytes);
        tdsnn_data *data;
        bool right = open_npy(ctx, &f, &data) == TDSNN_OK;
        tdsnn_data_info info = right ? tdsnn_data_get_info(data) : (tdsnn_data_info){0};
        ok(right && info.samples == cases[i].samples &&
               memcmp(info.shape, cases[i].expected, sizeof info.shape) == 0,
           "shape %s", cases[i].shape);
        tdsnn_data_close(data);
    }
}

/* What the network wants decides where an array can be seen in several ways. */
static void test_wanted(tdsnn_context *ctx) {
    uint8_t bytes[24];
    const struct {
        const char *shape;
        tdsnn_layout layout;
        int wanted[3];
        size_t samples;
        int expected[3];
        int second; /* the second value of the first sample */
    } cases[] = {{"(2, 3, 4)", TDSNN_LAYOUT_NCHW, {3, 1, 4}, 2, {3, 1, 4}, 1},
                 {"(2, 3, 4)", TDSNN_LAYOUT_NHWC, {4, 1, 3}, 2, {4, 1, 3}, 4},
                 {"(2, 3, 4)", TDSNN_LAYOUT_NCHW, {2, 3, 4}, 1, {2, 3, 4}, 1},
                 {"(2, 3, 4)", TDSNN_LAYOUT_NHWC, {4, 2, 3}, 1, {4, 2, 3}, 4},
                 {"(2, 3, 4)", TDSNN_LAYOUT_NCHW, {1, 3, 4}, 2, {1, 3, 4}, 1},
                 {"(2, 3, 4)", TDSNN_LAYOUT_NHWC, {1, 3, 4}, 2, {1, 3, 4}, 1},
                 {"(2, 3, 4)", TDSNN_LAYOUT_NCHW, {5, 5, 5}, 2, {1, 3, 4}, 1},
                 {"(2, 12)", TDSNN_LAYOUT_NCHW, {3, 2, 2}, 2, {3, 2, 2}, 1},
                 {"(2, 12)", TDSNN_LAYOUT_NHWC, {3, 2, 2}, 2, {3, 2, 2}, 1},
                 {"(2, 12)", TDSNN_LAYOUT_NCHW, {3, 1, 4}, 2, {3, 1, 4}, 1},
                 {"(2, 12)", TDSNN_LAYOUT_NCHW, {1, 2, 12}, 1, {1, 2, 12}, 1},
                 {"(2, 12)", TDSNN_LAYOUT_NCHW, {13, 1, 1}, 2, {12, 1, 1}, 1},
                 {"(24,)", TDSNN_LAYOUT_NCHW, {24, 1, 1}, 1, {24, 1, 1}, 1},
                 {"(24,)", TDSNN_LAYOUT_NCHW, {1, 1, 1}, 24, {1, 1, 1}, -1},
                 {"(1, 2, 3, 4)", TDSNN_LAYOUT_NCHW, {24, 1, 1}, 1, {2, 3, 4}, 1},
                 {"(1, 2, 3, 4)", TDSNN_LAYOUT_NHWC, {4, 2, 3}, 1, {4, 2, 3}, 4}};
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100], spec[160];
        float values[24];
        tdsnn_data *data = NULL;
        tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
        snprintf(text, sizeof text, "{'shape': %s, 'descr': '|u1', 'fortran_order': False}",
                 cases[i].shape);
        file f = npy(text, bytes, sizeof bytes);
        snprintf(spec, sizeof spec, "npy:%s", scratch_write("a.npy", f.bytes, f.size));
        memcpy(options.shape, cases[i].wanted, sizeof options.shape);
        options.layout = cases[i].layout;
        bool right = tdsnn_data_open(ctx, spec, &options, &data) == TDSNN_OK;
        tdsnn_data_info info = right ? tdsnn_data_get_info(data) : (tdsnn_data_info){0};
        right = right && info.samples == cases[i].samples &&
                memcmp(info.shape, cases[i].expected, sizeof info.shape) == 0 &&
                tdsnn_data_read(ctx, data, 0, values, NULL) == TDSNN_OK &&
                (cases[i].second < 0 || values[1] == (float)cases[i].second);
        ok(right, "%s%s for a network that wants %dx%dx%d", cases[i].shape,
           options.layout == TDSNN_LAYOUT_NHWC ? ", nhwc," : "", cases[i].wanted[0],
           cases[i].wanted[1], cases[i].wanted[2]);
        tdsnn_data_close(data);
    }
}

/* Channels behind rows and columns, in the file alone. */
static void test_layout(tdsnn_context *ctx) {
    uint8_t elements[2 * 2 * 2 * 3];
    for (size_t i = 0; i < sizeof elements; i++) {
        elements[i] = (uint8_t)i;
    }
    file f = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2, 3), }", elements,
                 sizeof elements);
    char spec[160];
    tdsnn_data *data = NULL;
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    options.layout = TDSNN_LAYOUT_NHWC;
    snprintf(spec, sizeof spec, "npy:%s", scratch_write("a.npy", f.bytes, f.size));
    bool right = tdsnn_data_open(ctx, spec, &options, &data) == TDSNN_OK;
    tdsnn_data_info info = tdsnn_data_get_info(data);
    ok(right && info.shape[0] == 3 && info.shape[1] == 2 && info.shape[2] == 2,
       "nhwc: the last dimension is the channels");
    float values[12];
    int wrong = tdsnn_data_read(ctx, data, 1, values, NULL) != TDSNN_OK;
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < 4; i++) {
            wrong += values[c * 4 + i] != (float)(12 + i * 3 + c);
        }
    }
    ok(wrong == 0, "nhwc: read as [C][H][W]");
    tdsnn_data_close(data);
}

static void test_refusals(tdsnn_context *ctx) {
    const float some[] = {1, 2, 3, 4};
    static const struct {
        const char *dictionary, *words;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", "ascontiguousarray"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2)}", "little-endian"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (2, 4)}", "float64"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}", "its type"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "single number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 4)}", "four dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 0)}", "longer than its header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 2)}", "list of numbers"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 2)}", "list of numbers"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999)}",
         "promises more than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}", "promises 20 bytes"},
        {"{'descr': '<f4', 'fortran_order': False}", "no dictionary of"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}",
         "no dictionary of"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'more': 1}", "no dictionary of"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4,)} more", "no dictionary of"},
        {"", "no dictionary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file f = npy(cases[i].dictionary, some, sizeof some);
        ok(refused(ctx, &f, cases[i].words), "refused: %s", cases[i].dictionary);
    }
    file f = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4)}", some, 0);
    ok(refused(ctx, &f, "no samples"), "refused: no samples");
    f = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 0)}", some, 0);
    ok(refused(ctx, &f, "0x1x1"), "refused: samples of nothing");
    const float bad[] = {1, 2, 3, NAN};
    f = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", bad, sizeof bad);
    ok(refused(ctx, &f, "value 1 of sample 1 is"), "refused: NaN");
    const double large[] = {1, 2, 1e39, 4};
    f = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2)}", large, sizeof large);
    ok(refused(ctx, &f, "value 0 of sample 1 is 1e+39"), "refused: too large for float32");
    f.bytes[6] = 4;
    ok(refused(ctx, &f, "numpy.save"), "refused: an unknown version");
}

/* Writes an archive of these entries. */
static void write_npz(const char *name, const char *const *entries, const file *files, int count,
                      int method) {
    int code;
    unlink(scratch_path(name));
    zip_t *zip = zip_open(scratch_path(name), ZIP_CREATE, &code);
    for (int i = 0; zip != NULL && i < count; i++) {
        zip_source_t *source = zip_source_buffer(zip, files[i].bytes, files[i].size, 0);
        zip_int64_t index = zip_file_add(zip, entries[i], source, 0);
        zip_set_file_compression(zip, (zip_uint64_t)index, method, 0);
    }
    if (zip == NULL || zip_close(zip) != 0) {
        printf("Bail out! cannot write %s\n", name);
        exit(1);
    }
}

static void test_npz(tdsnn_context *ctx) {
    static const char *const entries[] = {"x.npy", "y.npy"};
    static const char x_text[] =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1, 2, 2), }";
    static const char y_text[] = "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }";
    float values[SAMPLES * VALUES];
    const int64_t classes[SAMPLES] = {2, 0, 11};
    for (int i = 0; i < SAMPLES * VALUES; i++) {
        values[i] = (float)i / 8.0f;
    }
    file files[] = {npy(x_text, values, sizeof values), npy(y_text, classes, sizeof classes)};
    char spec[160];
    snprintf(spec, sizeof spec, "npz:%s", scratch_path("a.npz"));
    for (int packed = 0; packed < 2; packed++) {
        write_npz("a.npz", entries, files, 2, packed ? ZIP_CM_DEFLATE : ZIP_CM_STORE);
        tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
        tdsnn_data *data = NULL;
        options.scale = 4.0;
        float out[VALUES];
        int label = 0;
        bool right = tdsnn_data_open(ctx, spec, &options, &data) == TDSNN_OK &&
                     tdsnn_data_read(ctx, data, 2, out, &label) == TDSNN_OK;
        ok(right && out[1] == 4.5f && label == 11 && tdsnn_data_get_info(data).classes == 12,
           "%s: values, scale and labels", packed ? "packed" : "stored");
        tdsnn_data_close(data);
        hostile_file(ctx, "a.npz", spec, HOSTILE_ZIP);
    }
    tdsnn_status status;
    files[1] = npy(y_text, classes, sizeof classes);
    files[1].bytes[128 + 7] = 0x80;
    write_npz("a.npz", entries, files, 2, ZIP_CM_STORE);
    ok(hostile_open(ctx, spec, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "counted from 0") != NULL,
       "a negative label is refused");
    files[1] = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", values, 12);
    write_npz("a.npz", entries, files, 2, ZIP_CM_STORE);
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    float target = 0.0f;
    int label = 0;
    options.scale = 4.0;
    bool opened = tdsnn_data_open(ctx, spec, &options, &data) == TDSNN_OK &&
                  tdsnn_data_read(ctx, data, 2, (float[VALUES]){0}, &label) == TDSNN_OK;
    if (opened) {
        tdsnn_data_read_targets(data, 2, &target);
    }
    ok(opened && label == -1 && !tdsnn_data_get_info(data).labelled &&
           tdsnn_data_get_info(data).targets == 1 && target == values[2],
       "a y of floats is targets, and not scaled");
    tdsnn_data_close(data);
    hostile_file(ctx, "a.npz", spec, HOSTILE_ZIP);
    files[1] = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", values, 24);
    write_npz("a.npz", entries, files, 2, ZIP_CM_STORE);
    ok(hostile_open(ctx, spec, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "do not belong together") != NULL,
       "targets for other samples are refused");
    files[1] = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
                   (float[]){0.0f, INFINITY, 0.0f}, 12);
    write_npz("a.npz", entries, files, 2, ZIP_CM_STORE);
    ok(hostile_open(ctx, spec, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "not finite") != NULL,
       "targets that are not finite are refused");
    write_npz("a.npz", entries + 1, files, 1, ZIP_CM_STORE);
    ok(hostile_open(ctx, spec, &status) && status == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "x.npy: there is no such array") != NULL,
       "an archive without x is refused");
    write_npz("a.npz", entries, files, 1, ZIP_CM_STORE);
    ok(hostile_open(ctx, spec, &status) && status == TDSNN_OK, "one without y is unlabelled");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_types(ctx);
    test_shapes(ctx);
    test_wanted(ctx);
    test_layout(ctx);
    test_refusals(ctx);
    const float some[] = {1, 2, 3, 4};
    file f = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", some, sizeof some);
    char spec[160];
    snprintf(spec, sizeof spec, "npy:%s", scratch_write("a.npy", f.bytes, f.size));
    hostile_file(ctx, "a.npy", spec, HOSTILE_PLAIN);
    test_npz(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
