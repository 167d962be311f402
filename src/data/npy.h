/* The .npy format: a line of Python that says type and shape, then the elements. */
#ifndef TD_DATA_NPY_H
#define TD_DATA_NPY_H

#include "data/array.h"

/* Reads one array, format version 1 to 3.
 * Errors: TDSNN_ERR_INPUT: damaged, Fortran order, more than TD_ARRAY_RANK dimensions, or a type
 * other than little-endian float32, float64, bool, uint8 to uint32, int8 to int64. Memory:
 * td_array_free. */
tdsnn_status td_npy_read(tdsnn_context *ctx, td_stream *stream, td_array *array);

/* The length of every header written, so that it can be written again when the size is known. */
#define TD_NPY_HEADER 128

/* The header, version 1, of an array [samples][dims...]. */
void td_npy_header(td_element type, uint64_t samples, int rank, const int *dims,
                   unsigned char header[TD_NPY_HEADER]);

#endif
