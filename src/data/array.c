#include "data/array.h"

#include <string.h>

#include "base/memory.h"

size_t td_element_size(td_element type) {
    static const unsigned char sizes[] = {
        [TD_UINT8] = 1, [TD_INT8] = 1,  [TD_UINT16] = 2,  [TD_INT16] = 2,  [TD_UINT32] = 4,
        [TD_INT32] = 4, [TD_INT64] = 8, [TD_FLOAT32] = 4, [TD_FLOAT64] = 8};
    return sizes[type];
}

/* The number of `type` that lies at `place`, wherever that is. */
#define LOAD(type, place)                                                                          \
    do {                                                                                           \
        type value;                                                                                \
        memcpy(&value, (place), sizeof value);                                                     \
        return (double)value;                                                                      \
    } while (0)

double td_array_at(const td_array *array, size_t index) {
    const unsigned char *place = array->bytes + index * td_element_size(array->type);
    switch (array->type) {
    case TD_UINT8:
        return *place;
    case TD_INT8:
        LOAD(int8_t, place);
    case TD_UINT16:
        LOAD(uint16_t, place);
    case TD_INT16:
        LOAD(int16_t, place);
    case TD_UINT32:
        LOAD(uint32_t, place);
    case TD_INT32:
        LOAD(int32_t, place);
    case TD_INT64:
        LOAD(int64_t, place);
    case TD_FLOAT32:
        LOAD(float, place);
    case TD_FLOAT64:
        LOAD(double, place);
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
