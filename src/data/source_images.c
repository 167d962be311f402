/* images:PATH: decoded a few ahead of those that are read, by a thread. */
#include <string.h>

#include "base/memory.h"
#include "data/ahead.h"
#include "data/data.h"
#include "data/image_list.h"
#include "data/picture.h"

typedef struct pictures {
    td_image_list list;
    td_ahead *ahead;
} pictures;

static const td_image *image_of(const tdsnn_data *data, size_t index) {
    return &((const pictures *)data->own)->list.images[index];
}

/* Picture `index`, of the size that the options make of it. */
static tdsnn_status load(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                         td_picture *picture) {
    const char *path = image_of(data, index)->path;
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
                    image_of(data, index)->path, picture->width, picture->height, shape[2],
                    shape[1]);
}

static tdsnn_status make_sample(tdsnn_context *ctx, const void *source, size_t index, float *values,
                                int *label) {
    const tdsnn_data *data = source;
    td_picture picture = {0};
    *label = image_of(data, index)->label;
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

static tdsnn_status read_image(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                               float *values, int *label) {
    return td_ahead_read(((const pictures *)data->own)->ahead, ctx, index, values, label);
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

static void close_pictures(void *own) {
    pictures *p = own;
    td_ahead_destroy(p->ahead); /* first: its thread reads the list */
    td_image_list_free(&p->list);
    td_free(p);
}

tdsnn_status td_data_open_images(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    pictures *p = td_alloc(ctx, 1, sizeof *p);
    if (p == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    data->own = p;
    data->close_own = close_pictures;
    tdsnn_status status = td_image_list_read(ctx, argument, &p->list);
    if (status != TDSNN_OK) {
        return status;
    }
    data->info.samples = p->list.count;
    data->info.resize = data->options.resize;
    data->info.crop = data->options.crop;
    data->info.labelled = p->list.labelled;
    data->info.classes = p->list.classes;
    data->info.scale = data->options.scale != 0.0 ? data->options.scale : 1.0 / 255.0;
    if (data->info.scale > 1e36) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: a scale of %g makes values that are not finite",
                        argument, data->info.scale);
    }
    data->read = read_image;
    status = set_shape(ctx, data);
    const int *shape = data->info.shape;
    size_t values = (size_t)shape[0] * (size_t)shape[1] * (size_t)shape[2];
    return status == TDSNN_OK
               ? td_ahead_create(ctx, make_sample, data, p->list.count, values, &p->ahead)
               : status;
}
