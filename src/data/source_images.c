/* images:PATH: decoded when they are read, on the thread that reads. */
#include <string.h>

#include "data/data.h"
#include "data/image_list.h"
#include "data/picture.h"

/* Picture `index`, of the size that the options make of it. */
static tdsnn_status load(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                         td_picture *picture) {
    const char *path = ((const td_image_list *)data->own)->images[index].path;
    tdsnn_status status = td_picture_load(ctx, path, picture);
    if (status != TDSNN_OK) {
        return status;
    }
    if (data->info.shape[0] != 0) {
        status = td_picture_set_channels(ctx, data->info.shape[0], picture);
    }
    if (status == TDSNN_OK && data->options.resize > 0) {
        status = td_picture_resize(ctx, data->options.resize, picture);
    }
    if (status == TDSNN_OK && data->options.crop > 0) {
        status = td_picture_crop(ctx, data->options.crop, picture);
    }
    if (status != TDSNN_OK) {
        td_picture_free(picture);
        return td_error_in(ctx, status, path);
    }
    return TDSNN_OK;
}

static tdsnn_status check_size(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                               const td_picture *picture) {
    const int *shape = data->info.shape;
    if (picture->height == shape[1] && picture->width == shape[2]) {
        return TDSNN_OK;
    }
    return td_error(ctx, TDSNN_ERR_INPUT,
                    "%s: is %d pixels wide and %d high, and %d x %d are wanted: give --resize and "
                    "--crop that make it so",
                    ((const td_image_list *)data->own)->images[index].path, picture->width,
                    picture->height, shape[2], shape[1]);
}

static tdsnn_status read_image(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                               float *values, int *label) {
    td_picture picture = {0};
    *label = ((const td_image_list *)data->own)->images[index].label;
    tdsnn_status status = load(ctx, data, index, &picture);
    if (status != TDSNN_OK) {
        return status;
    }
    status = check_size(ctx, data, index, &picture);
    size_t channels = (size_t)picture.channels;
    size_t plane = (size_t)picture.width * (size_t)picture.height;
    for (size_t i = 0; status == TDSNN_OK && i < plane * channels; i++) {
        values[i % channels * plane + i / channels] = (float)(picture.pixels[i] * data->info.scale);
    }
    td_picture_free(&picture);
    return status;
}

/* The shape is the network's, where that can be a picture; otherwise the first picture's. */
static tdsnn_status set_shape(tdsnn_context *ctx, tdsnn_data *data) {
    const int *wanted = data->options.shape;
    if ((wanted[0] == 1 || wanted[0] == 3) && wanted[1] > 0 && wanted[2] > 0) {
        memcpy(data->info.shape, wanted, sizeof data->info.shape);
    }
    td_picture first = {0};
    tdsnn_status status = load(ctx, data, 0, &first);
    if (status == TDSNN_OK && data->info.shape[0] == 0) {
        data->info.shape[0] = first.channels;
        data->info.shape[1] = first.height;
        data->info.shape[2] = first.width;
    }
    if (status == TDSNN_OK) {
        status = check_size(ctx, data, 0, &first);
    }
    td_picture_free(&first);
    return status;
}

static void close_list(void *own) {
    td_image_list_free(own);
    td_free(own);
}

tdsnn_status td_data_open_images(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    td_image_list *list = td_alloc(ctx, 1, sizeof *list);
    if (list == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    data->own = list;
    data->close_own = close_list;
    tdsnn_status status = td_image_list_read(ctx, argument, list);
    if (status != TDSNN_OK) {
        return status;
    }
    data->info.samples = list->count;
    data->info.labelled = list->labelled;
    data->info.classes = list->classes;
    data->info.scale = data->options.scale != 0.0 ? data->options.scale : 1.0 / 255.0;
    if (data->info.scale > 1e36) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: a scale of %g makes values that are not finite",
                        argument, data->info.scale);
    }
    data->read = read_image;
    return set_shape(ctx, data);
}
