/* mnist:DIR: IDX files, four bytes that say what it is, one big-endian length a dimension, then
 * the bytes. */
#include <string.h>

#include "data/data.h"

/* What stands at the start: two zeros, 8 for bytes, the number of dimensions. */
static tdsnn_status read_header(tdsnn_context *ctx, td_stream *stream, int rank, td_array *array) {
    const unsigned char wanted[4] = {0, 0, 8, (unsigned char)rank};
    unsigned char header[4 * (1 + TD_ARRAY_RANK)];
    tdsnn_status status = td_stream_read(stream, header, (size_t)(4 * (1 + rank)));
    if (status != TDSNN_OK) {
        return status;
    }
    if (memcmp(header, wanted, sizeof wanted) != 0) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: starts with %02x %02x %02x %02x, not with 00 00 08 %02x as IDX files "
                        "of %s do; get the file again",
                        td_stream_place(stream), header[0], header[1], header[2], header[3], rank,
                        rank == 1 ? "labels" : "pictures");
    }
    array->type = TD_UINT8;
    array->rank = rank;
    for (int i = 0; i < rank; i++) {
        const unsigned char *d = header + 4 * (1 + i);
        array->dims[i] = (size_t)d[0] << 24 | (size_t)d[1] << 16 | (size_t)d[2] << 8 | d[3];
    }
    return TDSNN_OK;
}

static tdsnn_status read_idx(tdsnn_context *ctx, const char *folder, const char *name, int rank,
                             td_array *array) {
    td_stream *stream;
    tdsnn_status status = td_stream_open_in(ctx, folder, name, "MNIST's four files", &stream);
    if (status != TDSNN_OK) {
        return status;
    }
    status = read_header(ctx, stream, rank, array);
    if (status == TDSNN_OK) {
        status = td_array_fill(ctx, stream, array);
    }
    td_stream_close(stream);
    return status;
}

tdsnn_status td_data_open_mnist(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    bool train = data->options.split == TDSNN_SPLIT_TRAIN;
    const char *pictures = train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
    const char *labels = train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte";
    data->info.has_splits = true;
    tdsnn_status status = read_idx(ctx, argument, pictures, 3, &data->samples);
    if (status == TDSNN_OK) {
        status = read_idx(ctx, argument, labels, 1, &data->labels);
    }
    return status == TDSNN_OK ? td_data_adopt(ctx, argument, 1.0 / 255.0, data) : status;
}
