/* .npy and .npz files, written whole or not at all: sample by sample, or from arrays in memory. */
#ifndef TD_DATA_ARRAY_WRITER_H
#define TD_DATA_ARRAY_WRITER_H

#include "base/context.h"

typedef enum td_array_type { TD_ARRAY_FLOAT32, TD_ARRAY_UINT8 } td_array_type;

/* One array, [samples][dims...]: the number of samples is what was appended. */
typedef struct td_array_spec {
    const char *name; /* key in an .npz; characters outside [A-Za-z0-9_.-] become '_', and keys are
                       * made unique by "-2", "-3", ...; ignored for .npy */
    td_array_type type;
    int rank; /* of one sample, 1 .. 3 */
    int dims[3];
} td_array_spec;

typedef struct td_array_writer td_array_writer;

/* Errors: TDSNN_ERR_USAGE if `path` exists and not `force`; TDSNN_ERR_RUNTIME. */
tdsnn_status td_npy_create(tdsnn_context *ctx, const char *path, bool force,
                           const td_array_spec *array, td_array_writer **writer);
tdsnn_status td_npz_create(tdsnn_context *ctx, const char *path, bool force,
                           const td_array_spec *arrays, int count, td_array_writer **writer);

/* Appends one sample of array `index` (0 for .npy), in the order of the samples. */
tdsnn_status td_array_append(td_array_writer *writer, int index, const void *sample);

/* Finishes the file and frees the writer in every case. Errors: TDSNN_ERR_RUNTIME (disk full), and
 * then nothing is left. */
tdsnn_status td_array_commit(td_array_writer *writer);
/* Leaves nothing behind; NULL is fine. */
void td_array_discard(td_array_writer *writer);

/* An array [count] in memory. */
typedef struct td_array_in_memory {
    const char *name; /* key in the .npz, as it is; unique */
    td_array_type type;
    size_t count;
    const void *values;
} td_array_in_memory;

/* Writes an .npz of these at once, not packed, and no other files; a file at `path` is replaced.
 * Errors: TDSNN_ERR_USAGE if that is no regular file; TDSNN_ERR_RUNTIME (disk full), and then what
 * was there still is. */
tdsnn_status td_npz_save(tdsnn_context *ctx, const char *path, const td_array_in_memory *arrays,
                         int count);

#endif
