/* Files: read whole, or written whole (temporary name, fsync, rename). */
#ifndef TD_BASE_FILE_H
#define TD_BASE_FILE_H

#include <stdio.h>

#include "base/context.h"

/* Reads a regular file of at most `limit` bytes. Errors: TDSNN_ERR_INPUT naming the path.
 * Memory: *data by td_free. */
tdsnn_status td_file_read(tdsnn_context *ctx, const char *path, size_t limit, unsigned char **data,
                          size_t *size);

/* A file being written: nothing is seen at `path` until td_output_commit. */
typedef struct td_output td_output;

/* Opens a temporary file beside `path`. Errors: TDSNN_ERR_USAGE if `path` exists and `force` is
 * false; TDSNN_ERR_RUNTIME if the folder cannot be written. */
tdsnn_status td_output_open(tdsnn_context *ctx, const char *path, bool force, td_output **output);
FILE *td_output_stream(td_output *output);
/* The temporary file's name, for libraries that open files themselves. */
const char *td_output_name(const td_output *output);
/* Flushes, syncs and renames; frees `output` in every case. Errors: TDSNN_ERR_RUNTIME (disk full),
 * and then the temporary file is gone. */
tdsnn_status td_output_commit(td_output *output);
/* Removes the temporary file; NULL is fine. */
void td_output_discard(td_output *output);

#endif
