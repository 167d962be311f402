/* What the readers of this room share: an opened data set. */
#ifndef TD_DATA_DATA_H
#define TD_DATA_DATA_H

#include <tdsnn/data.h>

#include "data/array.h"

/* Far more classes than any network has; labels beyond are something else. */
#define TD_MAX_CLASSES 1000000

/* Gives sample `index`, which exists; *label is written in any case (-1: unlabelled).
 * Errors: TDSNN_ERR_INPUT, TDSNN_ERR_RUNTIME. Threads: safe. */
typedef tdsnn_status (*td_data_read_fn)(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                                        float *values, int *label);

struct tdsnn_data {
    tdsnn_data_info info;
    tdsnn_data_options options;
    char *spec;
    td_data_read_fn read;
    bool channels_last; /* samples are [N][H][W][C] */
    void *own;          /* of the reader, NULL: nothing; close_own frees it */
    void (*close_own)(void *own);
    td_array samples, labels; /* of data that lies in memory; labels of type UINT8 .. INT64 */
    const tdsnn_data *whole;  /* of a subset: what it is one of; else NULL */
    size_t *indices;          /* [info.samples] likewise */
};

/* Opens what comes after "NAME:" ("" if nothing does): fills info but for spec, and read, or calls
 * td_data_adopt. Whatever it has put into `data` is freed by the caller, also after an error. */
typedef tdsnn_status (*td_data_open_fn)(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_glyphs(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_mnist(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_cifar10(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_images(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_random(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_npy(tdsnn_context *ctx, const char *argument, tdsnn_data *data);
tdsnn_status td_data_open_npz(tdsnn_context *ctx, const char *argument, tdsnn_data *data);

/* Makes data->samples, [N], [N][F], [N][H][W], [N][C][L] or [N][C][H][W] (if data->channels_last:
 * [N][L][C], [N][H][W][C]), or one sample of these, and data->labels, [N] or empty, the data set.
 * Which it is follows from options.shape where that is known. `place` is the file, for messages;
 * scale: in force where the options name none. Errors: TDSNN_ERR_INPUT if they contradict each
 * other, a value is not finite or a label is no class. */
tdsnn_status td_data_adopt(tdsnn_context *ctx, const char *place, double scale, tdsnn_data *data);

/* Whether the options' means and standard deviations can be used, whatever the data is.
 * Errors: TDSNN_ERR_USAGE. */
tdsnn_status td_normalisation_check(tdsnn_context *ctx, const tdsnn_data_options *options);
/* Tells them in data->info. Errors: TDSNN_ERR_USAGE if the samples have other channels. */
tdsnn_status td_normalisation_set(tdsnn_context *ctx, tdsnn_data *data);

#endif
