/* glyphs: drawn when they are read. */
#include "data/data.h"
#include "data/glyphs.h"

static td_glyph_split split_of(const tdsnn_data *data) {
    return data->options.split == TDSNN_SPLIT_TRAIN ? TD_GLYPH_TRAIN : TD_GLYPH_TEST;
}

static tdsnn_status read_glyph(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                               float *values, int *label) {
    (void)ctx;
    uint8_t pixels[TD_GLYPH_SIDE * TD_GLYPH_SIDE];
    *label = td_glyph_draw(data->options.seed, split_of(data), index, pixels);
    for (size_t i = 0; i < sizeof pixels; i++) {
        values[i] = (float)(pixels[i] * data->info.scale);
    }
    return TDSNN_OK;
}

tdsnn_status td_data_open_glyphs(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    (void)ctx;
    (void)argument;
    data->info.samples = td_glyph_count(split_of(data));
    data->info.shape[0] = 1;
    data->info.shape[1] = TD_GLYPH_SIDE;
    data->info.shape[2] = TD_GLYPH_SIDE;
    data->info.labelled = true;
    data->info.classes = TD_GLYPH_CLASSES;
    data->info.has_splits = true;
    data->info.scale = data->options.scale != 0.0 ? data->options.scale : 1.0 / 255.0;
    data->read = read_glyph;
    return TDSNN_OK;
}
