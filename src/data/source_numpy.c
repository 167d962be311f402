/* npy:FILE and npz:FILE. */
#include "data/data.h"
#include "data/npy.h"

tdsnn_status td_data_open_npy(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    td_stream *stream;
    data->channels_last = data->options.layout == TDSNN_LAYOUT_NHWC;
    tdsnn_status status = td_stream_open(ctx, argument, &stream);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_npy_read(ctx, stream, &data->samples);
    td_stream_close(stream);
    return status == TDSNN_OK ? td_data_adopt(ctx, argument, 1.0, data) : status;
}

static tdsnn_status read_entry(tdsnn_context *ctx, td_archive *archive, const char *name,
                               td_array *array) {
    td_stream *stream;
    tdsnn_status status = td_archive_stream(archive, name, &stream);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_npy_read(ctx, stream, array);
    td_stream_close(stream);
    return status;
}

tdsnn_status td_data_open_npz(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    td_archive *archive;
    data->channels_last = data->options.layout == TDSNN_LAYOUT_NHWC;
    tdsnn_status status = td_archive_open(ctx, argument, &archive);
    if (status != TDSNN_OK) {
        return status;
    }
    status = read_entry(ctx, archive, "x.npy", &data->samples);
    if (status == TDSNN_OK && td_archive_has(archive, "y.npy")) {
        status = read_entry(ctx, archive, "y.npy", &data->labels);
    }
    td_archive_close(archive);
    return status == TDSNN_OK ? td_data_adopt(ctx, argument, 1.0, data) : status;
}
