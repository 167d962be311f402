/* Arrays in memory, elements as the file has them. */
#ifndef TD_DATA_ARRAY_H
#define TD_DATA_ARRAY_H

#include "base/context.h"
#include "data/stream.h"

typedef enum td_element {
    TD_UINT8,
    TD_INT8,
    TD_UINT16,
    TD_INT16,
    TD_UINT32,
    TD_INT32,
    TD_INT64,
    TD_FLOAT32,
    TD_FLOAT64
} td_element;

#define TD_ARRAY_RANK 4

/* Dense, row-major, little-endian; rank 0 means that there is none. */
typedef struct td_array {
    td_element type;
    int rank;
    size_t dims[TD_ARRAY_RANK];
    size_t count; /* of elements: the product of the dims */
    unsigned char *bytes;
} td_array;

/* Bytes of one element. */
size_t td_element_size(td_element type);

/* The elements of type float32 and so on are exact in double, but for int64 beyond 2^53. */
double td_array_at(const td_array *array, size_t index);

/* Reads type, rank and dims' worth of elements, then the stream must end. The promise is checked
 * against what the stream can hold before anything is allocated.
 * Errors: TDSNN_ERR_INPUT. Memory: array->bytes by td_array_free. */
tdsnn_status td_array_fill(tdsnn_context *ctx, td_stream *stream, td_array *array);
void td_array_free(td_array *array);

#endif
