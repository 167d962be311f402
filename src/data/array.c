#include "data/array.h"

#include <string.h>

#include "base/memory.h"

size_t td_element_size(td_element type) {
    static const unsigned char sizes[] = {
        [TD_UINT8] = 1, [TD_INT32] = 4, [TD_INT64] = 8, [TD_FLOAT32] = 4, [TD_FLOAT64] = 8};
    return sizes[type];
}

double td_array_at(const td_array *array, size_t index) {
    const unsigned char *place = array->bytes + index * td_element_size(array->type);
    int32_t narrow;
    int64_t wide;
    float single;
    double real;
    switch (array->type) {
    case TD_UINT8:
        return *place;
    case TD_INT32:
        memcpy(&narrow, place, sizeof narrow);
        return narrow;
    case TD_INT64:
        memcpy(&wide, place, sizeof wide);
        return (double)wide;
    case TD_FLOAT32:
        memcpy(&single, place, sizeof single);
        return (double)single;
    case TD_FLOAT64:
        memcpy(&real, place, sizeof real);
        return real;
    }
    return 0.0;
}

/* False where the product does not fit a size. */
static bool count_elements(td_array *array, size_t *bytes) {
    array->count = 1;
    for (int i = 0; i < array->rank; i++) {
        if (!td_size_mul(array->count, array->dims[i], &array->count)) {
            return false;
        }
    }
    return td_size_mul(array->count, td_element_size(array->type), bytes);
}

tdsnn_status td_array_fill(tdsnn_context *ctx, td_stream *stream, td_array *array) {
    size_t bytes = 0;
    bool fits = count_elements(array, &bytes);
    if (!fits || bytes > td_stream_room(stream)) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: the header promises %s%zu bytes of data, but there is room for %zu at "
                        "most: the file is damaged or cut off; get it again",
                        td_stream_place(stream), fits ? "" : "more than ", fits ? bytes : SIZE_MAX,
                        td_stream_room(stream));
    }
    array->bytes = td_alloc(ctx, bytes, 1);
    if (array->bytes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = td_stream_read(stream, array->bytes, bytes);
    return status != TDSNN_OK ? status : td_stream_end(stream);
}

void td_array_free(td_array *array) {
    td_free(array->bytes);
    *array = (td_array){0};
}
