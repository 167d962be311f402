#include "data/normalise.h"

#include <math.h>
#include <string.h>

#include "data/data.h"

tdsnn_status td_normalisation_check(tdsnn_context *ctx, const tdsnn_data_options *options) {
    if (options->channels_normalised < 0 || options->channels_normalised > TDSNN_MAX_NORMALISED) {
        return td_error(ctx, TDSNN_ERR_USAGE, "means of %d channels: at most %d can be given",
                        options->channels_normalised, TDSNN_MAX_NORMALISED);
    }
    for (int i = 0; i < options->channels_normalised; i++) {
        double mean = (double)options->mean[i], std = (double)options->std[i];
        if (!isfinite(mean) || !isfinite(std) || std <= 0.0) {
            return td_error(ctx, TDSNN_ERR_USAGE,
                            "channel %d: a mean of %g and a standard deviation of %g: both must be "
                            "finite, and the second above 0",
                            i, mean, std);
        }
    }
    return TDSNN_OK;
}

tdsnn_status td_normalisation_set(tdsnn_context *ctx, tdsnn_data *data) {
    int count = data->options.channels_normalised;
    if (count > 1 && count != data->info.shape[0]) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%s: has samples with C = %d, but a mean and a standard deviation of %d "
                        "were given: give as many, or one for all",
                        data->spec, data->info.shape[0], count);
    }
    data->info.channels_normalised = count;
    memcpy(data->info.mean, data->options.mean, sizeof data->info.mean);
    memcpy(data->info.std, data->options.std, sizeof data->info.std);
    return TDSNN_OK;
}

void td_data_normalise(const tdsnn_data_info *info, float *values) {
    if (info->channels_normalised == 0) {
        return;
    }
    size_t plane = (size_t)info->shape[1] * (size_t)info->shape[2];
    for (int c = 0; c < info->shape[0]; c++) {
        int own = info->channels_normalised == 1 ? 0 : c;
        for (size_t i = 0; i < plane; i++) {
            float *value = &values[(size_t)c * plane + i];
            *value = (*value - info->mean[own]) / info->std[own];
        }
    }
}
