/* cifar10:DIR, the binary version: records of a label and three planes, red, green, blue. There is
 * no header: a file is as many records as it has bytes for. */
#include <string.h>

#include "base/memory.h"
#include "data/data.h"

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, RECORD = 1 + PIXELS, CLASSES = 10 };

/* The records of every file of the set; without a header this bounds what is unpacked. */
#define FILE_RECORDS 10000

/* Read at a time: what a file costs follows from what it holds, not from what it might. */
#define CHUNK_RECORDS 64

typedef struct loader {
    tdsnn_context *ctx;
    tdsnn_data *data;
    unsigned char *records; /* [CHUNK_RECORDS][RECORD] of the file being read */
    size_t samples, sample_capacity, label_capacity;
} loader;

/* Appends `count` records of the file `place`, from its record `first` on, to the data's arrays. */
static tdsnn_status append(loader *l, const char *place, size_t first, size_t count) {
    tdsnn_data *data = l->data;
    size_t total = l->samples + count; /* 5 x FILE_RECORDS at most */
    tdsnn_status status =
        td_reserve(l->ctx, &data->samples.bytes, &l->sample_capacity, total * PIXELS, 1);
    if (status == TDSNN_OK) {
        status = td_reserve(l->ctx, &data->labels.bytes, &l->label_capacity, total, 1);
    }
    for (size_t i = 0; i < count && status == TDSNN_OK; i++) {
        const unsigned char *record = l->records + i * RECORD;
        if (record[0] >= CLASSES) {
            return td_error(l->ctx, TDSNN_ERR_INPUT,
                            "%s: record %zu has the label %d, but CIFAR-10 has classes 0 to %d: "
                            "this is no file of its binary version",
                            place, first + i, record[0], CLASSES - 1);
        }
        data->labels.bytes[l->samples + i] = record[0];
        memcpy(data->samples.bytes + (l->samples + i) * PIXELS, record + 1, PIXELS);
    }
    l->samples = total;
    return status;
}

static tdsnn_status read_records(loader *l, td_stream *stream) {
    const char *place = td_stream_place(stream);
    size_t chunk = (size_t)CHUNK_RECORDS * RECORD, total = 0, got = chunk;
    while (got == chunk) {
        tdsnn_status status = td_stream_read_some(stream, l->records, chunk, &got);
        if (status != TDSNN_OK) {
            return status;
        }
        if (total + got > (size_t)FILE_RECORDS * RECORD) {
            return td_error(l->ctx, TDSNN_ERR_INPUT,
                            "%s: is longer than %d records of %d bytes, as CIFAR-10's files are; "
                            "get the file again",
                            place, FILE_RECORDS, RECORD);
        }
        status = append(l, place, total / RECORD, got / RECORD);
        if (status != TDSNN_OK) {
            return status;
        }
        total += got;
    }
    if (total == 0 || total % RECORD != 0) {
        return td_error(l->ctx, TDSNN_ERR_INPUT,
                        "%s: %zu bytes are no whole number of CIFAR-10's records of %d bytes; get "
                        "the file again",
                        place, total, RECORD);
    }
    return TDSNN_OK;
}

static tdsnn_status read_file(loader *l, const char *folder, const char *name) {
    td_stream *stream;
    tdsnn_status status =
        td_stream_open_in(l->ctx, folder, name, "CIFAR-10's six .bin files", &stream);
    if (status != TDSNN_OK) {
        return status;
    }
    status = read_records(l, stream);
    td_stream_close(stream);
    return status;
}

tdsnn_status td_data_open_cifar10(tdsnn_context *ctx, const char *argument, tdsnn_data *data) {
    static const char *const train[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", NULL};
    static const char *const test[] = {"test_batch.bin", NULL};
    loader l = {.ctx = ctx, .data = data};
    l.records = td_alloc(ctx, CHUNK_RECORDS, RECORD);
    tdsnn_status status = l.records == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    const char *const *names = data->options.split == TDSNN_SPLIT_TRAIN ? train : test;
    for (; *names != NULL && status == TDSNN_OK; names++) {
        status = read_file(&l, argument, *names);
    }
    td_free(l.records);
    if (status != TDSNN_OK) {
        return status;
    }
    data->info.has_splits = true;
    data->samples.rank = 4;
    data->samples.dims[0] = l.samples;
    data->samples.dims[1] = 3;
    data->samples.dims[2] = data->samples.dims[3] = SIDE;
    data->samples.count = l.samples * PIXELS;
    data->labels.rank = 1;
    data->labels.dims[0] = data->labels.count = l.samples;
    return td_data_adopt(ctx, argument, 1.0 / 255.0, data);
}
