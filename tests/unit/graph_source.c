/* Sizes for symbolic dimensions, by name and by place; the batch stays as it is. */
#include "graph/source.h"
#include "source_builder.h"
#include "tap.h"

/* [N, 3, height, ?] */
static builder *open_input(tdsnn_context *ctx) {
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 3, -1, -1));
    b->values[x].symbols[2] = "height";
    b->values[x].symbols[3] = NULL;
    add_output(b, add_node(b, "Relu", "relu", x));
    return b;
}

static void test_sizes(tdsnn_context *ctx) {
    static const struct {
        const char *text;
        int64_t height, width;
    } rows[] = {
        {"height=8", 8, -1},           {"3=7", -1, 7},      {"height=8,3=7", 8, 7},
        {"3=7,N=5,height=8", 8, 7},    {"2=8", -1, -1},     {"1=8,0=2", -1, -1},
        {"heigh=4,heights=5", -1, -1}, {"width=4", -1, -1}, {"height=1,height=2", 1, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder *b = open_input(ctx);
        td_source_set_sizes(ctx, &b->source, rows[i].text);
        const int64_t *dims = b->values[b->source.inputs[0]].dims;
        ok(dims[0] == -1 && dims[1] == 3 && dims[2] == rows[i].height && dims[3] == rows[i].width,
           "%s: [%d, %d, %d, %d]", rows[i].text, (int)dims[0], (int)dims[1], (int)dims[2],
           (int)dims[3]);
        td_error_clear(ctx);
        build_end(b);
    }
}

static void test_refused(tdsnn_context *ctx) {
    static const char *const texts[] = {
        "",          "height",     "height=",   "=4",
        "height=0",  "height=-4",  "height=4x", "height=4,",
        "height=+4", "height=1e9", "height= 4", "height=99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        builder *b = open_input(ctx);
        ok(td_source_set_sizes(ctx, &b->source, texts[i]) == TDSNN_ERR_USAGE &&
               strstr(tdsnn_last_error(ctx), "NAME=V") != NULL,
           "'%s' is refused", texts[i]);
        td_error_clear(ctx);
        build_end(b);
    }
}

/* What is still symbolic is named, with the remedy. */
static void test_lowering(tdsnn_context *ctx) {
    static const struct {
        const char *sizes, *words;
    } rows[] = {{"3=7", "--shape height=V"}, {"height=8", "--shape 3=V"}, {"height=8,3=7", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder *b = open_input(ctx);
        td_lowering lowering = {0};
        td_source_set_sizes(ctx, &b->source, rows[i].sizes);
        tdsnn_status status = td_lower(ctx, &b->source, &lowering);
        if (rows[i].words != NULL) {
            ok(status == TDSNN_ERR_UNSUPPORTED &&
                   strstr(tdsnn_last_error(ctx), rows[i].words) != NULL,
               "with %s: %s", rows[i].sizes, tdsnn_last_error(ctx));
        } else {
            td_shape in = lowering.graph->nodes[0].shape;
            ok(status == TDSNN_OK && in.c == 3 && in.h == 8 && in.w == 7, "with both: 3x8x7");
        }
        td_error_clear(ctx);
        td_lowering_destroy(&lowering);
        build_end(b);
    }
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_sizes(ctx);
    test_refused(ctx);
    test_lowering(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
