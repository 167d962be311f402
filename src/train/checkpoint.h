/* Training that stopped and goes on: everything that the next step depends on, in one .npz. */
#ifndef TD_TRAIN_CHECKPOINT_H
#define TD_TRAIN_CHECKPOINT_H

#include <stdint.h>

#include "base/context.h"

/* Arrays of a checkpoint: float32, named as numpy will show them; names are unique, and neither
 * "settings" nor "numbers". */
typedef struct td_state_array {
    const char *name;
    float *values; /* [count] */
    size_t count;
} td_state_array;

/* Numbers of a checkpoint, exact: any double, whole ones up to 2^53. */
typedef struct td_state_number {
    const char *name; /* without spaces */
    double value;
} td_state_number;

typedef struct td_state {
    /* what is trained and how, "name=value" with spaces or line ends between: a checkpoint of other
     * settings is not resumed */
    const char *settings;
    td_state_array *arrays;
    int array_count;
    td_state_number *numbers;
    int number_count;
} td_state;

/* Writes it whole or not at all (temporary name, fsync, rename), replacing an earlier one. Errors:
 * TDSNN_ERR_RUNTIME; an earlier checkpoint is then still there. */
tdsnn_status td_checkpoint_save(tdsnn_context *ctx, const char *path, const td_state *state);

/* Reads numbers and arrays of the same names and counts into `state`, all or none. Files are
 * hostile: sizes are checked before anything is allocated.
 * Errors: TDSNN_ERR_INPUT naming the file: damaged, an entry missing or of another size;
 * TDSNN_ERR_USAGE if its settings differ, naming the first setting that does. */
tdsnn_status td_checkpoint_load(tdsnn_context *ctx, const char *path, td_state *state);

#endif
