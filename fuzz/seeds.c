/* Makes the first files of the corpora: small sound files of every kind that a reader takes.
 *
 *   seeds FOLDER      writes FOLDER/TARGET/seed-NAME
 *
 * What else lies in a corpus was found by libFuzzer (script/fuzz). */
#include <math.h>
#include <stdio.h>
/* jpeglib.h needs stdio.h before it. */
#include <jpeglib.h>
#include <png.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>
#include <zlib.h>

#include "onnx_maker.h"
#include "random_graph.h"

static const char *corpus;

static const char *path_of(const char *target, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", corpus, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%s", corpus, target, name);
    return path;
}

static void check(bool done, const char *what) {
    if (!done) {
        fprintf(stderr, "seeds: %s failed\n", what);
        exit(1);
    }
}

static void save(const char *target, const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(path_of(target, name), "wb");
    check(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, name);
}

/* ---- ONNX: networks in a language of one statement a line.
 *   opset V                            input NAME DIM ..   (0: symbolic)   output NAME
 *   floats NAME TYPE DIM ..            random numbers, TYPE as in TensorProto, -1 raw, -2 outside
 *   ints NAME VALUE ..                 int64, one dimension
 *   node OP NAME INPUT .. > OUTPUT ..  "-": none; then ATTRIBUTE=VALUE: 1, 0.5, [1,2], 'text',
 *                                      t1,2 (an int64 tensor), f1,2 (floats) */

static const struct {
    const char *name, *text;
} networks[] = {
    {"lenet", "opset 13\n"
              "input x 0 1 8 8\n"
              "floats w 1 3 1 3 3\n"
              "floats b 1 3\n"
              "floats v 1 48 4\n"
              "floats c 1 4\n"
              "node Conv c x w b > 1 pads=[1,1,1,1] strides=[1,1] dilations=[1,1] group=1 "
              "kernel_shape=[3,3]\n"
              "node Relu r 1 > 2\n"
              "node MaxPool p 2 > 3 kernel_shape=[2,2] strides=[2,2]\n"
              "node Flatten f 3 > 4 axis=1\n"
              "node Gemm g 4 v c > 5 alpha=0.5 beta=2.0 transB=0\n"
              "node Softmax s 5 > 6 axis=1\n"
              "output 6\n"},
    {"same",
     "opset 9\n"
     "input x 0 2 9 9\n"
     "floats w 1 4 1 3 3\n"
     "node Conv c x w > 1 auto_pad='SAME_UPPER' strides=[2,2] group=2\n"
     "node LeakyRelu r 1 > 2 alpha=0.1\n"
     "node AveragePool p 2 > 3 kernel_shape=[2,2] auto_pad='SAME_LOWER' count_include_pad=1\n"
     "node GlobalAveragePool a 3 > 4\n"
     "node Squeeze q 4 > 5 axes=[2,3]\n"
     "output 5\n"},
    {"norm", "opset 13\n"
             "input x 0 3 6 6\n"
             "floats w -1 3 3 1 1\n"
             "floats s 1 3\n"
             "floats b 1 3\n"
             "floats m 1 3\n"
             "floats v 10 3\n"
             "floats m3 1 3 1 1\n"
             "floats lo 1\n"
             "floats hi 10\n"
             "node Sub n x m3 > 0\n"
             "node Div o 0 m3 > 00\n"
             "node Conv c 00 w > 1\n"
             "node BatchNormalization bn 1 s b m v > 2 epsilon=0.001 momentum=0.9\n"
             "node Clip r 2 lo hi > 3\n"
             "node Add a 3 x > 4\n"
             "node Relu r2 4 > 5\n"
             "node BatchNormalization bm 5 s b m v > 6\n"
             "node Relu r3 6 > 7\n"
             "output 7\n"},
    {"branch", "opset 13\n"
               "input x 0 4 5 5\n"
               "ints parts 1 3\n"
               "node Split s x parts > 1 2 axis=1\n"
               "floats w 1 1 1 1 1\n"
               "floats u 1 3 3 1 1\n"
               "node Conv c 1 w > 3\n"
               "node Conv d 2 u > 4\n"
               "node Concat k 3 4 > 5 axis=1\n"
               "node Sum t 5 x > 6\n"
               "node Relu r 6 > 7\n"
               "ints st 1\n"
               "ints en 3\n"
               "ints ax 1\n"
               "ints sp 1\n"
               "node Slice l 7 st en ax sp > 8\n"
               "node ReduceMean rm 8 > 9 keepdims=0 axes=[2,3]\n"
               "output 9\n"},
    {"mean18", "opset 18\n"
               "input x 0 4 5 5\n"
               "ints axes 2 3\n"
               "node ReduceMean rm x axes > 9 keepdims=1\n"
               "node Split s 9 > a b axis=1 num_outputs=2\n"
               "node Add t a b > c\n"
               "node Identity i c > y\n"
               "output y\n"},
    {"pad", "opset 11\n"
            "input x 0 2 5 5\n"
            "ints p 0 0 1 1 0 0 1 1\n"
            "floats w 1 2 2 3 3\n"
            "node Pad q x p > 1 mode='constant'\n"
            "node Conv c 1 w > 2\n"
            "node Relu r 2 > r\n"
            "node Pad e r p > 3\n"
            "node AveragePool a 3 > 4 kernel_shape=[2,2] ceil_mode=1\n"
            "node Dropout d 4 > 5\n"
            "node GlobalMaxPool g 5 > 6\n"
            "output 6\n"},
    {"pad7", "opset 7\n"
             "input x 1 2 5 5\n"
             "node Relu i x > 0\n"
             "node Pad q 0 > 1 pads=[0,0,1,1,0,0,1,1] value=0.0\n"
             "node MaxPool p 1 > 2 kernel_shape=[3,3] strides=[2,2] storage_order=0\n"
             "node Clip r 2 > 3 min=0.0 max=6.0\n"
             "node Dropout d 3 > 4 ratio=0.5\n"
             "output 4\n"},
    {"shape", "opset 13\n"
              "input x 0 2 3 3\n"
              "node Shape s x > 1\n"
              "ints zero 0\n"
              "node Gather g 1 zero > 2 axis=0\n"
              "node Constant k > 3 value=t-1\n"
              "node Concat c 2 3 > 4 axis=0\n"
              "node Cast t 4 > 5 to=7\n"
              "node Reshape r x 5 > 6\n"
              "floats w 1 18 4\n"
              "node MatMul m 6 w > 7\n"
              "floats b 1 4\n"
              "node Add a 7 b > 8\n"
              "node LogSoftmax l 8 > 9 axis=-1\n"
              "output 9\n"},
    {"by-value", "opset 13\n"
                 "input x 0 2 4 4\n"
                 "floats m 1 2 4 4\n"
                 "floats f 1 4 1\n"
                 "floats w 1 2 2 3 3\n"
                 "floats v 1 32 3\n"
                 "floats c 1 3\n"
                 "node Sub s x m > 1\n"
                 "node Conv c 1 w > 2 pads=[1,1,1,1]\n"
                 "node Add a m 2 > 3\n"
                 "node Relu r 3 > 4\n"
                 "node Mul u 4 f > 5\n"
                 "node Sub t m 5 > 6\n"
                 "node Flatten l 6 > 7 axis=1\n"
                 "node Gemm g 7 v c > 8\n"
                 "output 8\n"},
    {"pictures", "opset 13\n"
                 "input x 0 8\n"
                 "floats a 1 8 12\n"
                 "floats b 1 12\n"
                 "ints p -1 2 2 3\n"
                 "floats w 1 3 2 1 1\n"
                 "floats v 1 2 3 2\n"
                 "node Gemm g x a b > 1\n"
                 "node Reshape r 1 p > 2\n"
                 "node Conv c 2 w > 3\n"
                 "node ReduceMean m 3 > 4 axes=[3] keepdims=0\n"
                 "node Conv d 4 v > 5\n"
                 "node Sigmoid s 5 > 6\n"
                 "output 6\n"},
    {"nhwc", "opset 13\n"
             "input x 0 6 6 3\n"
             "node Transpose t x > 1 perm=[0,3,1,2]\n"
             "floats w 1 4 3 3 3\n"
             "floats b 1 4 1 1\n"
             "node Conv c 1 w > 2\n"
             "node Add a 2 b > 3\n"
             "node Relu r 3 > 4\n"
             "node Transpose u 4 > 5 perm=[0,2,3,1]\n"
             "floats k 1 4 5\n"
             "node MatMul n 5 k > 50\n"
             "ints s -1 80\n"
             "node Reshape f 50 s > 6\n"
             "floats v 1 80 3\n"
             "node MatMul m 6 v > 7\n"
             "output 7\n"},
    {"conv1d", "opset 13\n"
               "input x 0 2 9\n"
               "floats w 1 3 2 3\n"
               "node Conv c x w > 1 pads=[1,1]\n"
               "node Relu r 1 > 2\n"
               "node MaxPool p 2 > 3 kernel_shape=[2] strides=[2]\n"
               "node GlobalAveragePool g 3 > 4\n"
               "node Flatten f 4 > 5\n"
               "output 5\n"},
    {"unsqueeze", "opset 13\n"
                  "input x 0 4\n"
                  "ints a 2\n"
                  "ints b 3\n"
                  "ints both 2 3\n"
                  "node Unsqueeze u x a > 1\n"
                  "node Unsqueeze v 1 b > 2\n"
                  "floats w 1 2 4 1 1\n"
                  "node Conv c 2 w > 3\n"
                  "node Neg n 3 > 4\n"
                  "floats d 1 2 1 1\n"
                  "node Mul m 4 d > 5\n"
                  "node Div q 5 d > 6\n"
                  "node Relu r 6 > 7\n"
                  "node Squeeze s 7 both > 8\n"
                  "output 8\n"},
    {"unsqueeze7", "opset 9\n"
                   "input x 1 4\n"
                   "node Unsqueeze u x > 1 axes=[2,3]\n"
                   "node Slice s 1 > 2 axes=[1] starts=[1] ends=[3]\n"
                   "node Split t 2 > 3 4 axis=1 split=[1,1]\n"
                   "node Sub d 3 4 > 5\n"
                   "node Relu r 5 > 6\n"
                   "node Dropout o 6 > 8 ratio=0.1\n"
                   "output 8\n"},
    {"outside", "opset 13\n"
                "input x 0 2 4 4\n"
                "floats e -2 2 1 1\n"
                "node Add 5 x e > 5\n"
                "node Relu r 5 > 7\n"
                "output 7\n"},
    {"types", "opset 13\n"
              "input x 0 2 4 4\n"
              "floats a 1 2 1 1\n"
              "floats b 10 2 1 1\n"
              "floats c 11 2 1 1\n"
              "floats d 16 2 1 1\n"
              "floats f -1 2 1 1\n"
              "node Add 1 x a > 1\n"
              "node Add 2 1 b > 2\n"
              "node Add 3 2 c > 3\n"
              "node Add 4 3 d > 4\n"
              "node Add 6 4 f > 6\n"
              "node Relu r 6 > 7\n"
              "output 7\n"},
    {"numbers", "opset 13\n"
                "input x 0 3 2 2\n"
                "node Constant a > a value_ints=[3,2,1,12]\n"
                "node Constant b > b value_int=1\n"
                "node Constant c > c value_float=0.5\n"
                "node Constant d > d value_floats=f0.5,1.5,2.5\n"
                "ints i 3\n"
                "ints j 4\n"
                "ints k 0\n"
                "ints n 1\n"
                "node Slice s a i j k n > e\n"
                "node Mul m e b > f\n"
                "node Div q f b > g\n"
                "node Add ad g b > h\n"
                "node Sub su h b > l\n"
                "node Unsqueeze un b k > minus\n"
                "node Sub neg k minus > neg\n"
                "node Concat cat neg l > to axis=0\n"
                "node Cast tf to > tof to=1\n"
                "node Cast ti tof > toi to=7\n"
                "node ConstantOfShape cs n > one value=t1\n"
                "node Mul mo toi one > sh\n"
                "node Squeeze sq sh > shs\n"
                "node Transpose tr shs > sht perm=[0]\n"
                "node Mul mx x c > 1\n"
                "node Relu r 1 > 2\n"
                "node Reshape rs 2 sht > 3\n"
                "output 3\n"},
    {"folded", "opset 13\n"
               "input x 0 3\n"
               "floats w 1 4 3\n"
               "node Transpose t w > wt perm=[1,0]\n"
               "node MatMul m x wt > 1\n"
               "node Constant d > d value_floats=f0.5,1.5,2.5,1.0\n"
               "node Add a 1 d > 2\n"
               "node Relu r 2 > 3\n"
               "output 3\n"},
    {"order", "opset 15\n"
              "input x 0 3\n"
              "floats w 1 3 3\n"
              "node Relu r 1 > 2\n"
              "node Gemm g x w > 1 transA=0 transB=1\n"
              "output 2\n"},
    {"refused", "opset 15\n"
                "input x 0 3 4 4\n"
                "node Sigmoid s x > 1\n"
                "node Mul m x 1 > 2\n"
                "node Relu r 2 > 3\n"
                "output 3\n"},
    {"cycle", "opset 15\n"
              "input x 0 3 4 4\n"
              "node Add a x 2 > 1\n"
              "node Relu r 1 > 2\n"
              "output 2\n"},
    {"two", "opset 15\n"
            "input x 0 3 4 4\n"
            "input z 0 3 4 4\n"
            "node Add a x z > 1\n"
            "output 1\n"
            "output x\n"},
};

static void fill_outside(maker *m, Onnx__TensorProto *t) {
    static const char *const entries[][2] = {
        {"location", "weights.bin"}, {"offset", "16"}, {"length", "8"}};
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    t->external_data = td_arena_alloc(m->arena, 3, sizeof *t->external_data);
    for (int i = 0; i < 3; i++) {
        Onnx__StringStringEntryProto *e =
            MAKER_NEW(m, &t->external_data[t->n_external_data++], Onnx__StringStringEntryProto);
        onnx__string_string_entry_proto__init(e);
        e->key = (char *)entries[i][0];
        e->value = (char *)entries[i][1];
    }
}

/* Numbers between -1 and 1 in the field that the type wants. */
static void fill(maker *m, Onnx__TensorProto *t, int type, size_t count) {
    float *floats = td_arena_alloc(m->arena, count, sizeof *floats);
    double *doubles = td_arena_alloc(m->arena, count, sizeof *doubles);
    int32_t *halves = td_arena_alloc(m->arena, count, sizeof *halves);
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)((i * 37 + 11) % 64) / 32.0f - 1.0f + 1.0f / 64;
        doubles[i] = (double)floats[i];
        halves[i] = type == 10 ? 0x3800 + (int32_t)i : 0x3f00 + (int32_t)i;
    }
    if (type == 1) {
        t->float_data = floats;
        t->n_float_data = count;
    } else if (type == 11) {
        t->double_data = doubles;
        t->n_double_data = count;
    } else if (type > 1) {
        t->int32_data = halves;
        t->n_int32_data = count;
    } else if (type == -1) {
        t->has_raw_data = 1;
        t->raw_data = (ProtobufCBinaryData){count * sizeof *floats, (uint8_t *)floats};
    } else {
        fill_outside(m, t);
    }
}

/* The words of a line that follow, as numbers. */
static size_t take_numbers(char **state, int64_t *numbers) {
    size_t count = 0;
    for (char *word; (word = strtok_r(NULL, " ", state)) != NULL;) {
        numbers[count++] = atoll(word);
    }
    return count;
}

static size_t list_numbers(maker *m, const char *text, int64_t **numbers) {
    size_t count = 0;
    *numbers = td_arena_alloc(m->arena, 16, sizeof **numbers);
    for (char *end; *text != '\0' && *text != ']'; text = *end == ',' ? end + 1 : end) {
        (*numbers)[count++] = strtoll(text, &end, 10);
    }
    return count;
}

static void add_floats_attribute(maker *m, Onnx__NodeProto *node, const char *name,
                                 const char *text) {
    Onnx__AttributeProto *a =
        maker_attribute(m, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
    a->floats = td_arena_alloc(m->arena, 16, sizeof *a->floats);
    for (char *end; *text != '\0'; text = *end == ',' ? end + 1 : end) {
        a->floats[a->n_floats++] = strtof(text, &end);
    }
}

static void add_attribute(maker *m, Onnx__NodeProto *node, const char *name, char *text) {
    Onnx__AttributeProto *a;
    if (text[0] == '[') {
        a = maker_attribute(m, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
        a->n_ints = list_numbers(m, text + 1, &a->ints);
    } else if (text[0] == '\'') {
        a = maker_attribute(m, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
        a->has_s = 1;
        a->s = (ProtobufCBinaryData){strlen(text) - 2, (uint8_t *)text + 1};
    } else if (text[0] == 'f') {
        add_floats_attribute(m, node, name, text + 1);
    } else if (text[0] == 't') {
        int64_t *numbers, count = (int64_t)list_numbers(m, text + 1, &numbers);
        a = maker_attribute(m, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
        a->t = maker_tensor(m, NULL, 7, &count, 1);
        a->t->int64_data = numbers;
        a->t->n_int64_data = (size_t)count;
    } else if (strchr(text, '.') != NULL) {
        a = maker_attribute(m, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
        a->has_f = 1;
        a->f = strtof(text, NULL);
    } else {
        a = maker_attribute(m, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
        a->has_i = 1;
        a->i = atoll(text);
    }
}

static void add_node(maker *m, char **state) {
    char *op = strtok_r(NULL, " ", state), *name = strtok_r(NULL, " ", state);
    Onnx__NodeProto *node = maker_node(m, op, name, NULL, NULL, NULL);
    char **values = td_arena_alloc(m->arena, 32, sizeof *values);
    node->input = values;
    node->output = values + 16;
    bool outputs = false;
    for (char *word; (word = strtok_r(NULL, " ", state)) != NULL;) {
        char *equals = strchr(word, '=');
        if (equals != NULL) {
            *equals = '\0';
            add_attribute(m, node, word, equals + 1);
        } else if (strcmp(word, ">") == 0) {
            outputs = true;
        } else if (outputs) {
            node->output[node->n_output++] = word;
        } else {
            node->input[node->n_input++] = strcmp(word, "-") == 0 ? (char *)"" : word;
        }
    }
}

static void add_constant(maker *m, bool floats, char **state) {
    char *name = strtok_r(NULL, " ", state);
    int type = floats ? atoi(strtok_r(NULL, " ", state)) : 7;
    int64_t numbers[16];
    size_t count = take_numbers(state, numbers), size = 1;
    for (size_t i = 0; floats && i < count; i++) {
        size *= (size_t)numbers[i];
    }
    if (floats) {
        fill(m, maker_constant(m, name, type < 0 ? 1 : type, numbers, count), type, size);
    } else {
        Onnx__TensorProto *t = maker_constant(m, name, 7, (int64_t[]){(int64_t)count}, 1);
        t->int64_data = td_arena_alloc(m->arena, count, sizeof *numbers);
        memcpy(t->int64_data, numbers, count * sizeof *numbers);
        t->n_int64_data = count;
    }
}

static void add_line(maker *m, char *line) {
    char *state, *word = strtok_r(line, " ", &state);
    int64_t numbers[16];
    if (strcmp(word, "opset") == 0) {
        maker_opset(m, "", atoll(strtok_r(NULL, " ", &state)));
    } else if (strcmp(word, "input") == 0) {
        const char *name = strtok_r(NULL, " ", &state);
        size_t rank = take_numbers(&state, numbers);
        m->inputs[m->graph.n_input++] = maker_value(m, name, numbers, rank);
    } else if (strcmp(word, "output") == 0) {
        maker_output(m, strtok_r(NULL, " ", &state));
    } else if (strcmp(word, "node") == 0) {
        add_node(m, &state);
    } else {
        add_constant(m, strcmp(word, "floats") == 0, &state);
    }
}

static void make_network(tdsnn_context *ctx, const char *name, const char *text) {
    maker *m = maker_begin(ctx, 0);
    char *copy = td_arena_strdup(m->arena, text), *state;
    for (char *line = strtok_r(copy, "\n", &state); line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        add_line(m, line);
    }
    maker_metadata(m, "made by", "seeds.c");
    size_t size;
    unsigned char *bytes = maker_pack(m, &size);
    save("onnx", name, bytes, size);
    maker_end(m);
}

/* y = other.Leak(other.Leak(x)), where Leak(a) = LeakyRelu(a + a) by an attribute of the call. */
static void make_function(tdsnn_context *ctx) {
    maker *m = maker_begin(ctx, 15);
    maker_opset(m, "other", 1);
    m->inputs[m->graph.n_input++] = maker_value(m, "x", (int64_t[]){0, 2, 3, 3}, 4);
    maker_output(m, "y");
    Onnx__NodeProto *add = maker_node(m, "Add", "add", "a", "a", "sum");
    Onnx__NodeProto *leaky = maker_node(m, "LeakyRelu", "leaky", "sum", NULL, "b");
    Onnx__AttributeProto *alpha =
        maker_attribute(m, leaky, "alpha", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    alpha->ref_attr_name = (char *)"slope";
    m->graph.n_node = 0; /* these two are the function's */
    char *names[] = {(char *)"a", (char *)"b", (char *)"slope"};
    Onnx__NodeProto *body[] = {add, leaky};
    Onnx__FunctionProto *f =
        MAKER_NEW(m, &m->functions[m->model.n_functions++], Onnx__FunctionProto);
    onnx__function_proto__init(f);
    f->name = (char *)"Leak";
    f->domain = (char *)"other";
    f->input = names;
    f->output = names + 1;
    f->attribute = names + 2;
    f->n_input = f->n_output = f->n_attribute = 1;
    f->node = body;
    f->n_node = 2;
    f->opset_import = m->opsets;
    f->n_opset_import = 1;
    for (int i = 0; i < 2; i++) {
        Onnx__NodeProto *call =
            maker_node(m, "Leak", i == 0 ? "first" : "second", i == 0 ? "x" : "between", NULL,
                       i == 0 ? "between" : "y");
        call->domain = (char *)"other";
        alpha = maker_attribute(m, call, "slope", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
        alpha->has_f = 1;
        alpha->f = 0.1f;
    }
    size_t size;
    unsigned char *bytes = maker_pack(m, &size);
    save("onnx", "function", bytes, size);
    maker_end(m);
}

static void make_onnx(tdsnn_context *ctx) {
    make_function(ctx);
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        make_network(ctx, networks[i].name, networks[i].text);
    }
    static const int small[] = {6, 10, 32}; /* converted ones, as we write them */
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        char name[32];
        td_graph *graph = random_graph(ctx, (uint64_t)small[i]);
        snprintf(name, sizeof name, "coded-%d", small[i]);
        check(td_onnx_write(ctx, graph, path_of("onnx", name), true) == TDSNN_OK, name);
        td_graph_destroy(graph);
    }
}

/* ---- The data's readers. */

/* Bytes as gzip packs them; the size. */
static size_t pack(const unsigned char *bytes, size_t size, unsigned char *packed, size_t room) {
    z_stream zip = {.next_in = (unsigned char *)bytes, .avail_in = (uInt)size};
    zip.next_out = packed;
    zip.avail_out = (uInt)room;
    check(deflateInit2(&zip, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK &&
              deflate(&zip, Z_FINISH) == Z_STREAM_END,
          "gzip");
    deflateEnd(&zip);
    return room - zip.avail_out;
}

static void make_idx(void) {
    static const unsigned char pictures[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,   0,   0,
                                             0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 250, 251, 252};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 3};
    unsigned char packed[2][256], file[600];
    size_t sizes[2] = {pack(pictures, sizeof pictures, packed[0], 256),
                       pack(labels, sizeof labels, packed[1], 256)};
    for (int kind = 0; kind < 4; kind++) {
        bool first = kind % 2 != 0, second = kind / 2 != 0;
        size_t a = first ? sizes[0] : sizeof pictures, b = second ? sizes[1] : sizeof labels;
        char name[32];
        file[0] = (unsigned char)(a >> 8);
        file[1] = (unsigned char)a;
        memcpy(file + 2, first ? packed[0] : pictures, a);
        memcpy(file + 2 + a, second ? packed[1] : labels, b);
        snprintf(name, sizeof name, "%s-%s", first ? "gz" : "plain", second ? "gz" : "plain");
        save("idx", name, file, 2 + a + b);
    }
}

static void make_cifar10(void) {
    static unsigned char records[2 * 3073], packed[4096];
    for (size_t i = 0; i < sizeof records; i++) {
        records[i] = i % 3073 == 0 ? 9 : (unsigned char)(i / 512);
    }
    save("cifar10", "plain", records, 3073);
    save("cifar10", "gz", packed, pack(records, sizeof records, packed, sizeof packed));
}

/* A .npy file's bytes: a header of 128 and `size` of elements. */
static void fill_npy(unsigned char *file, const char *type, const char *dims, size_t size) {
    memcpy(file, "\x93NUMPY\x01\x00\x76", 10);
    memset(file + 10, ' ', 118);
    int length = snprintf((char *)file + 10, 118,
                          "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, dims);
    file[10 + length] = ' ';
    file[127] = '\n';
    for (size_t i = 0; i < size; i++) {
        file[128 + i] = (unsigned char)(i % 8 < 6 ? 0 : i);
    }
}

static void make_npy(const char *name, const char *type, const char *dims, size_t size) {
    unsigned char file[512];
    fill_npy(file, type, dims, size);
    save("numpy", name, file, 128 + size);
}

/* Samples and labels, deflated or not. */
static void make_npz(const char *name, int method) {
    unsigned char x[512], y[512];
    int status;
    zip_t *zip = zip_open(path_of("numpy", name), ZIP_CREATE | ZIP_TRUNCATE, &status);
    check(zip != NULL, name);
    fill_npy(x, "<f4", "(2, 1, 2, 2)", 32);
    fill_npy(y, "<i8", "(2,)", 16);
    zip_int64_t first =
        zip_file_add(zip, "x.npy", zip_source_buffer(zip, x, 128 + 32, 0), ZIP_FL_OVERWRITE);
    zip_int64_t second =
        zip_file_add(zip, "y.npy", zip_source_buffer(zip, y, 128 + 16, 0), ZIP_FL_OVERWRITE);
    for (zip_int64_t i = first; i <= second; i++) {
        zip_set_file_compression(zip, (zip_uint64_t)i, method, 9);
        zip_file_set_dostime(zip, (zip_uint64_t)i, 0, 33, 0);
    }
    check(zip_close(zip) == 0, name);
}

static void make_numpy(void) {
    make_npy("u1", "|u1", "(2, 1, 2, 2)", 8);
    make_npy("f4", "<f4", "(2, 1, 2, 2)", 32);
    make_npy("f8", "<f8", "(2, 3)", 48);
    make_npy("i4", "<i4", "(2,)", 8);
    make_npy("i8", "<i8", "(2, 2, 1)", 32);
    make_npz("stored.npz", ZIP_CM_STORE);
    make_npz("deflated.npz", ZIP_CM_DEFLATE);
}

/* JPEGs of every kind that is read. */
static void make_pictures(void) {
    static const struct {
        const char *name;
        bool grey, progressive, arithmetic;
    } jpegs[] = {{"colour.jpg", false, false, false},
                 {"grey.jpg", true, false, false},
                 {"progressive.jpg", false, true, false},
                 {"arithmetic.jpg", false, false, true}};
    unsigned char line[3 * 9];
    JSAMPROW row = line;
    for (size_t i = 0; i < sizeof jpegs / sizeof jpegs[0]; i++) {
        struct jpeg_compress_struct jpeg;
        struct jpeg_error_mgr errors;
        unsigned char *bytes = NULL;
        unsigned long size = 0;
        jpeg.err = jpeg_std_error(&errors);
        jpeg_create_compress(&jpeg);
        jpeg_mem_dest(&jpeg, &bytes, &size);
        jpeg.image_width = jpeg.image_height = 9;
        jpeg.input_components = jpegs[i].grey ? 1 : 3;
        jpeg.in_color_space = jpegs[i].grey ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_set_defaults(&jpeg);
        jpeg.arith_code = jpegs[i].arithmetic;
        if (jpegs[i].progressive) {
            jpeg_simple_progression(&jpeg);
        }
        jpeg_start_compress(&jpeg, TRUE);
        for (int y = 0; y < 9; y++) {
            for (size_t x = 0; x < sizeof line; x++) {
                line[x] = (unsigned char)(x * 9 + (size_t)y * 20);
            }
            jpeg_write_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_compress(&jpeg);
        jpeg_destroy_compress(&jpeg);
        save("picture", jpegs[i].name, bytes, size);
        free(bytes);
    }
}

static void append_bytes(png_structp png, png_bytep bytes, size_t size) {
    FILE *file = png_get_io_ptr(png);
    check(fwrite(bytes, 1, size, file) == size, "PNG");
}

static void make_png(const char *name, int type, int depth, bool interlaced) {
    static unsigned char pixels[9][9 * 8];
    png_bytep rows[9];
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    FILE *file = fopen(path_of("picture", name), "wb");
    check(file != NULL, name);
    for (size_t y = 0; y < 9; y++) {
        rows[y] = pixels[y];
        for (size_t x = 0; x < sizeof pixels[y]; x++) {
            pixels[y][x] = (unsigned char)(type == PNG_COLOR_TYPE_PALETTE ? x % 2 : x * 3 + y * 11);
        }
    }
    png_set_write_fn(png, file, append_bytes, NULL);
    png_set_IHDR(png, info, 9, 9, depth, type, interlaced ? PNG_INTERLACE_ADAM7 : 0, 0, 0);
    png_color palette[2] = {{0, 128, 255}, {255, 128, 0}};
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 2);
        png_set_tRNS(png, info, (png_byte[]){128}, 1, NULL);
    }
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    check(fclose(file) == 0, name);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: seeds FOLDER\n");
        return 2;
    }
    corpus = argv[1];
    tdsnn_context *ctx = tdsnn_context_create();
    make_onnx(ctx);
    make_idx();
    make_cifar10();
    make_numpy();
    make_pictures();
    make_png("rgb.png", PNG_COLOR_TYPE_RGB, 8, false);
    make_png("grey1.png", PNG_COLOR_TYPE_GRAY, 1, false);
    make_png("palette.png", PNG_COLOR_TYPE_PALETTE, 8, false);
    make_png("rgba16.png", PNG_COLOR_TYPE_RGBA, 16, true);
    make_png("greya.png", PNG_COLOR_TYPE_GRAY_ALPHA, 8, true);
    tdsnn_context_destroy(ctx);
    return 0;
}
