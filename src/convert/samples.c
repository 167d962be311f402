#include "convert/samples.h"

#include "base/random.h"

tdsnn_status td_samples_draw(tdsnn_context *ctx, const tdsnn_data *data, size_t count,
                             uint64_t seed, td_samples *samples) {
    tdsnn_data_info info = tdsnn_data_get_info(data);
    if (info.samples == 0) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: has no samples to calibrate on", info.spec);
    }
    size_t *indices = td_alloc(ctx, info.samples, sizeof *indices);
    if (indices == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    td_random random;
    td_random_seed(&random, seed, 0);
    for (size_t i = 0; i < info.samples; i++) {
        indices[i] = i;
    }
    count = count < info.samples ? count : info.samples;
    for (size_t i = 0; i < count; i++) { /* the first entries of a shuffle */
        size_t j = i + (size_t)td_random_below(&random, info.samples - i);
        size_t swap = indices[i];
        indices[i] = indices[j];
        indices[j] = swap;
    }
    *samples = (td_samples){data, count, indices};
    return TDSNN_OK;
}

void td_samples_free(td_samples *samples) {
    td_free(samples->indices);
    *samples = (td_samples){0};
}

tdsnn_status td_samples_read(tdsnn_context *ctx, const td_samples *samples, size_t index,
                             float *values) {
    return tdsnn_data_read(ctx, samples->data, samples->indices[index], values, NULL);
}
