/* Constants: every encoding gives the numbers it stands for, or is refused. */
#include <math.h>

#include "base/random.h"
#include "onnx_maker.h"

/* TensorProto.DataType */
enum {
    FLOAT = 1,
    UINT8,
    INT8,
    UINT16,
    INT16,
    INT32,
    INT64,
    STRING,
    BOOL,
    FLOAT16,
    DOUBLE,
    UINT32,
    UINT64,
    COMPLEX64,
    COMPLEX128,
    BFLOAT16,
    FLOAT8
};

#define COUNT 6
static const int64_t dims[] = {2, 3};

static void set_raw(Onnx__TensorProto *t, const void *bytes, size_t size) {
    t->has_raw_data = 1;
    t->raw_data.data = (uint8_t *)bytes;
    t->raw_data.len = size;
}

/* Reads a model with that constant, and gives it; *source is the caller's. */
static const td_tensor *reread(maker *m, const char *what, td_source **source) {
    *source = maker_read(m, what);
    for (int i = 0; *source != NULL && i < (*source)->value_count; i++) {
        if (strcmp((*source)->values[i].name, "w") == 0) {
            return (*source)->values[i].constant;
        }
    }
    return NULL;
}

static void check_floats(maker *m, const char *what, const float *expected) {
    td_source *source;
    const td_tensor *t = reread(m, what, &source);
    ok(t != NULL && t->type == TD_TYPE_FLOAT && t->rank == 2 && t->dims[0] == 2 &&
           t->dims[1] == 3 && t->count == COUNT &&
           memcmp(t->floats, expected, COUNT * sizeof *expected) == 0,
       "%s: the same floats", what);
    td_source_destroy(source);
}

static void check_ints(maker *m, const char *what, const int64_t *expected) {
    td_source *source;
    const td_tensor *t = reread(m, what, &source);
    ok(t != NULL && t->type == TD_TYPE_INT && t->count == COUNT &&
           memcmp(t->ints, expected, COUNT * sizeof *expected) == 0,
       "%s: the same integers", what);
    td_source_destroy(source);
}

static void test_floats(tdsnn_context *ctx) {
    static float values[COUNT] = {0.0f, -1.5f, 3.4e38f, 1e-45f, INFINITY, -0.0f};
    static double wide[COUNT] = {0.0, -1.5, 0.1, 1e300, -INFINITY, 0x1.000001p0};
    static uint16_t half[COUNT] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0xfc00, 0x8000};
    static uint16_t brain[COUNT] = {0x3f80, 0xc000, 0x0001, 0x7f7f, 0xff80, 0x8000};
    static int32_t half_typed[COUNT] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0xfc00, 0x8000};
    static int32_t brain_typed[COUNT] = {0x3f80, 0xc000, 0x0001, 0x7f7f, 0xff80, 0x8000};
    float narrowed[COUNT], halves[COUNT] = {1, -2, 0x1p-24f, 65504, -INFINITY, -0.0f};
    float brains[COUNT] = {1, -2, 0x1p-133f, 0x1.fep127f, -INFINITY, -0.0f};
    for (int i = 0; i < COUNT; i++) {
        narrowed[i] = (float)wide[i];
    }
    maker *m = maker_small(ctx);
    set_raw(maker_constant(m, "w", FLOAT, dims, 2), values, sizeof values);
    check_floats(m, "float, raw", values);
    m = maker_small(ctx);
    Onnx__TensorProto *t = maker_constant(m, "w", FLOAT, dims, 2);
    t->float_data = values;
    t->n_float_data = COUNT;
    check_floats(m, "float, typed", values);
    m = maker_small(ctx);
    set_raw(maker_constant(m, "w", DOUBLE, dims, 2), wide, sizeof wide);
    check_floats(m, "double, raw", narrowed);
    m = maker_small(ctx);
    t = maker_constant(m, "w", DOUBLE, dims, 2);
    t->double_data = wide;
    t->n_double_data = COUNT;
    check_floats(m, "double, typed", narrowed);
    m = maker_small(ctx);
    set_raw(maker_constant(m, "w", FLOAT16, dims, 2), half, sizeof half);
    check_floats(m, "float16, raw", halves);
    m = maker_small(ctx);
    t = maker_constant(m, "w", FLOAT16, dims, 2);
    t->int32_data = half_typed;
    t->n_int32_data = COUNT;
    check_floats(m, "float16, typed", halves);
    m = maker_small(ctx);
    set_raw(maker_constant(m, "w", BFLOAT16, dims, 2), brain, sizeof brain);
    check_floats(m, "bfloat16, raw", brains);
    m = maker_small(ctx);
    t = maker_constant(m, "w", BFLOAT16, dims, 2);
    t->int32_data = brain_typed;
    t->n_int32_data = COUNT;
    check_floats(m, "bfloat16, typed", brains);
}

/* Every finite float16 is sign x fraction x 2^exponent, by the definition. */
static void test_every_float16(tdsnn_context *ctx) {
    static uint16_t bits[65536];
    maker *m = maker_small(ctx);
    for (int i = 0; i < 65536; i++) {
        bits[i] = (uint16_t)i;
    }
    set_raw(maker_constant(m, "w", FLOAT16, (int64_t[]){65536}, 1), bits, sizeof bits);
    td_source *source;
    const td_tensor *t = reread(m, "every float16", &source);
    int wrong = 0;
    for (int i = 0; t != NULL && i < 65536; i++) {
        int exponent = i >> 10 & 31, fraction = i & 1023;
        double expected =
            exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        expected = exponent == 31 ? INFINITY : expected;
        wrong += exponent == 31 && fraction != 0
                     ? !isnan(t->floats[i])
                     : t->floats[i] != (i >> 15 ? -expected : expected) ||
                           (bool)signbit(t->floats[i]) != (bool)(i >> 15);
    }
    ok(t != NULL && wrong == 0, "all 65,536 float16 are what their bits mean");
    td_source_destroy(source);
}

/* The extremes of each integer type, raw and typed. */
static void test_ints(tdsnn_context *ctx) {
    static const struct {
        const char *name;
        int type, width;
        int64_t low, high;
    } types[] = {
        {"uint8", UINT8, 1, 0, UINT8_MAX},
        {"int8", INT8, 1, INT8_MIN, INT8_MAX},
        {"uint16", UINT16, 2, 0, UINT16_MAX},
        {"int16", INT16, 2, INT16_MIN, INT16_MAX},
        {"int32", INT32, 4, INT32_MIN, INT32_MAX},
        {"int64", INT64, 8, INT64_MIN, INT64_MAX},
        {"bool", BOOL, 1, 0, 1},
        {"uint32", UINT32, 4, 0, UINT32_MAX},
        {"uint64", UINT64, 8, 0, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int64_t low = types[i].low, high = types[i].high;
        int64_t expected[COUNT] = {low, high, 0, 1, low / 2, high / 2};
        uint8_t raw[COUNT * 8];
        int32_t ints[COUNT];
        uint64_t wide[COUNT];
        for (int k = 0; k < COUNT; k++) {
            memcpy(raw + k * types[i].width, &expected[k], (size_t)types[i].width);
            ints[k] = (int32_t)expected[k];
            wide[k] = (uint64_t)expected[k];
        }
        maker *m = maker_small(ctx);
        set_raw(maker_constant(m, "w", types[i].type, dims, 2), raw,
                (size_t)(COUNT * types[i].width));
        check_ints(m, types[i].name, expected);
        m = maker_small(ctx);
        Onnx__TensorProto *t = maker_constant(m, "w", types[i].type, dims, 2);
        if (types[i].type == UINT32 || types[i].type == UINT64) {
            t->uint64_data = wide;
            t->n_uint64_data = COUNT;
        } else if (types[i].type == INT64) {
            t->int64_data = expected;
            t->n_int64_data = COUNT;
        } else {
            t->int32_data = ints;
            t->n_int32_data = COUNT;
        }
        check_ints(m, types[i].name, expected);
        if (types[i].width < 4) { /* one past the end, where the field has room for it */
            m = maker_small(ctx);
            t = maker_constant(m, "w", types[i].type, (int64_t[]){1}, 1);
            t->int32_data = (int32_t[]){(int32_t)high + 1};
            t->n_int32_data = 1;
            maker_refused(m, TDSNN_ERR_INPUT, "initialiser 'w': entry 0 does not fit",
                          types[i].name);
        }
    }
    maker *m = maker_small(ctx);
    Onnx__TensorProto *t = maker_constant(m, "w", UINT64, (int64_t[]){1}, 1);
    t->uint64_data = (uint64_t[]){(uint64_t)INT64_MAX + 1};
    t->n_uint64_data = 1;
    maker_refused(m, TDSNN_ERR_INPUT, "63 bits", "uint64 beyond int64");
}

static void test_shapes(tdsnn_context *ctx) {
    static const float one = 1.0f;
    td_source *source;
    maker *m = maker_small(ctx);
    Onnx__TensorProto *t = maker_constant(m, "w", FLOAT, NULL, 0);
    t->float_data = (float *)&one;
    t->n_float_data = 1;
    const td_tensor *read = reread(m, "a scalar", &source);
    ok(read != NULL && read->rank == 0 && read->count == 1 && read->floats[0] == 1.0f, "a scalar");
    td_source_destroy(source);
    m = maker_small(ctx);
    maker_constant(m, "w", FLOAT, (int64_t[]){3, 0}, 2);
    read = reread(m, "no entries", &source);
    ok(read != NULL && read->rank == 2 && read->count == 0, "dimensions 3, 0: no entries");
    td_source_destroy(source);
    for (int type = STRING; type <= FLOAT8; type++) {
        if (type != STRING && type != COMPLEX64 && type != COMPLEX128 && type != FLOAT8) {
            continue;
        }
        m = maker_small(ctx);
        maker_constant(m, "w", type, (int64_t[]){3, 4}, 2);
        read = reread(m, "another type", &source);
        ok(read != NULL && read->type == TD_TYPE_OTHER && read->rank == 2 && read->count == 12,
           "type %d keeps only its shape", type);
        td_source_destroy(source);
    }
}

static void test_refused(tdsnn_context *ctx) {
    static float six[COUNT];
    static int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    maker *m = maker_small(ctx);
    set_raw(maker_constant(m, "w", FLOAT, dims, 2), six, sizeof six - 1);
    maker_refused(m, TDSNN_ERR_INPUT, "ask for 6 entries, but 23 bytes", "a byte too few");
    m = maker_small(ctx);
    set_raw(maker_constant(m, "w", DOUBLE, dims, 2), six, sizeof six);
    maker_refused(m, TDSNN_ERR_INPUT, "ask for 6 entries", "bytes of another type");
    m = maker_small(ctx);
    Onnx__TensorProto *t = maker_constant(m, "w", FLOAT, dims, 2);
    t->float_data = six;
    t->n_float_data = 5;
    maker_refused(m, TDSNN_ERR_INPUT, "but 5 float are stored", "an entry too few");
    m = maker_small(ctx);
    t = maker_constant(m, "w", FLOAT, dims, 2);
    t->double_data = (double[COUNT]){0};
    t->n_double_data = COUNT;
    maker_refused(m, TDSNN_ERR_INPUT, "but 0 float", "another type's field");
    m = maker_small(ctx);
    t = maker_constant(m, "w", FLOAT, dims, 2);
    t->float_data = six;
    t->n_float_data = COUNT;
    set_raw(t, six, sizeof six);
    maker_refused(m, TDSNN_ERR_INPUT, "stored twice", "raw and typed");
    m = maker_small(ctx);
    maker_constant(m, "w", FLOAT, dims, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "initialiser 'w': its dimensions ask", "no entries at all");
    m = maker_small(ctx);
    maker_constant(m, "w", FLOAT, (int64_t[]){2, -3}, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "negative dimension, -3", "a negative dimension");
    m = maker_small(ctx);
    maker_constant(m, "w", FLOAT, (int64_t[]){INT64_MAX, 3}, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "overflows", "a product beyond 64 bits");
    m = maker_small(ctx);
    maker_constant(m, "w", STRING, (int64_t[]){INT64_MAX, 3}, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "overflows", "the same where nothing is read");
    m = maker_small(ctx);
    maker_constant(m, "w", FLOAT, (int64_t[]){(int64_t)1 << 62}, 1);
    maker_refused(m, TDSNN_ERR_INPUT, "but 0 float are stored", "2^62 entries, none stored");
    m = maker_small(ctx);
    set_raw(maker_constant(m, "w", FLOAT, (int64_t[]){(int64_t)1 << 62}, 1), six, sizeof six);
    maker_refused(m, TDSNN_ERR_INPUT, "but 24 bytes are stored", "2^62 entries, 24 bytes stored");
    m = maker_small(ctx);
    maker_constant(m, "w", FLOAT, nine, 9);
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "more than 8 dimensions", "nine dimensions");
    m = maker_small(ctx);
    Onnx__TensorProto__Segment segment = ONNX__TENSOR_PROTO__SEGMENT__INIT;
    maker_constant(m, "w", FLOAT, dims, 2)->segment = &segment;
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "segments", "a tensor in segments");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_floats(ctx);
    test_every_float16(ctx);
    test_ints(ctx);
    test_shapes(ctx);
    test_refused(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
