/* random[:N]: sample n is stream n of the seed, so any sample can be made at any time. */
#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "data/data.h"

#define DEFAULT_SAMPLES 64
#define MAX_SAMPLES 10000000 /* a calibration draws from a list of all of them */

static tdsnn_status read_random(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                                float *values, int *label) {
    (void)ctx;
    const int *shape = data->info.shape;
    size_t count = (size_t)shape[0] * (size_t)shape[1] * (size_t)shape[2];
    double low = (double)data->options.low, width = (double)data->options.high - low;
    td_random random;
    td_random_seed(&random, data->options.seed, index);
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)(low + width * td_random_uniform(&random));
        if (values[i] >= data->options.high) { /* rounded up */
            values[i] = nextafterf(data->options.high, data->options.low);
        }
    }
    *label = -1;
    return TDSNN_OK;
}

/* A whole number 1 .. MAX_SAMPLES; false if `text` is something else. */
static bool parse_samples(const char *text, size_t *samples) {
    *samples = 0;
    for (; *text >= '0' && *text <= '9' && *samples <= MAX_SAMPLES; text++) {
        *samples = *samples * 10 + (size_t)(*text - '0');
    }
    return *text == '\0' && *samples > 0 && *samples <= MAX_SAMPLES;
}

tdsnn_status td_data_open_random(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    const tdsnn_data_options *o = &data->options;
    data->info.samples = DEFAULT_SAMPLES;
    if (argument[0] != '\0' && !parse_samples(argument, &data->info.samples)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "random:%s: give the number of samples, 1 to %d, as in random:100",
                        argument, MAX_SAMPLES);
    }
    if (!isfinite(o->low) || !isfinite(o->high) || !(o->low < o->high)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "random numbers from %g to below %g: the first must "
                        "be the smaller one",
                        (double)o->low, (double)o->high);
    }
    size_t count = 1;
    for (int i = 0; i < 3; i++) {
        if (o->shape[i] <= 0 || !td_size_mul(count, (size_t)o->shape[i], &count)) {
            return td_error(ctx, TDSNN_ERR_USAGE,
                            "random: samples of %dx%dx%d cannot be made: set the shape of the "
                            "network's input",
                            o->shape[0], o->shape[1], o->shape[2]);
        }
        data->info.shape[i] = o->shape[i];
    }
    data->info.scale = o->scale != 0.0 ? o->scale : 1.0;
    data->read = read_random;
    return TDSNN_OK;
}
