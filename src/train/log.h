/* The log of a training run: a line an epoch, as CSV or as JSON lines. */
#ifndef TD_TRAIN_LOG_H
#define TD_TRAIN_LOG_H

#include <tdsnn/train.h>

typedef struct td_train_log td_train_log;

/* path: .csv or .jsonl; NULL: *log is NULL, which the others take. epochs: so many are done, and a
 * file that is there keeps as many lines; -1: it is a new run's.
 * Errors: TDSNN_ERR_USAGE (another ending; the file exists, is a new run's, and not `force`),
 * TDSNN_ERR_RUNTIME. */
tdsnn_status td_train_log_open(tdsnn_context *ctx, const char *path, int epochs, bool force,
                               td_train_log **log);

/* Writes the line and flushes it; where that fails, warns once. */
void td_train_log_add(td_train_log *log, const tdsnn_epoch *epoch);
void td_train_log_close(td_train_log *log);

#endif
