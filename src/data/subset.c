#include "data/subset.h"

#include <string.h>

#include "base/memory.h"
#include "data/data.h"

static tdsnn_status read_subset(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                                float *values, int *label) {
    return tdsnn_data_read(ctx, data->whole, data->indices[index], values, label);
}

tdsnn_status td_data_subset(tdsnn_context *ctx, const tdsnn_data *whole, const size_t *indices,
                            size_t count, tdsnn_data **subset) {
    tdsnn_data *made = td_alloc(ctx, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    made->spec = td_alloc(ctx, strlen(whole->spec) + 1, 1);
    made->indices = td_alloc(ctx, count, sizeof *made->indices);
    if (made->spec == NULL || made->indices == NULL) {
        tdsnn_data_close(made);
        return TDSNN_ERR_RUNTIME;
    }
    memcpy(made->spec, whole->spec, strlen(whole->spec));
    memcpy(made->indices, indices, count * sizeof *indices);
    made->info = whole->info;
    made->info.spec = made->spec;
    made->info.samples = count;
    made->options = whole->options;
    made->whole = whole;
    made->read = read_subset;
    *subset = made;
    return TDSNN_OK;
}
