/* Errors, warnings and progress for the library's own files. */
#ifndef TD_BASE_CONTEXT_H
#define TD_BASE_CONTEXT_H

#include <tdsnn/context.h>

/* Records the sentence and returns the status, so that a function can end with
 * `return td_error(ctx, TDSNN_ERR_INPUT, "%s: ...", path, ...)`. Of several errors reported by
 * worker threads at once the first is kept until td_error_clear. Threads: safe. */
tdsnn_status td_error(tdsnn_context *ctx, tdsnn_status status, const char *format, ...)
    TDSNN_PRINTF(3, 4);

/* Forgets the last error: the first thing every public call does. */
void td_error_clear(tdsnn_context *ctx);

/* Puts "prefix" before the recorded sentence: adds the file's name to an error from deeper down. */
tdsnn_status td_error_in(tdsnn_context *ctx, tdsnn_status status, const char *prefix);

/* Passes one sentence to the caller's warning function, if it has set one. */
void td_warn(tdsnn_context *ctx, const char *format, ...) TDSNN_PRINTF(2, 3);

/* Tells the caller how far a long call is. Errors: TDSNN_ERR_CANCELLED when the caller says stop.
 * Threads: only on the calling thread, never from a worker. */
tdsnn_status td_progress(tdsnn_context *ctx, const char *what, uint64_t done, uint64_t total);

/* Runs fn(arg, index, worker) for every index in 0..count-1 on the context's threads and waits.
 * `worker` is in 0 .. tdsnn_threads(ctx)-1 and names the thread, for scratch memory of its own.
 * No further index is started after one has failed. With `what`, progress is reported as indices
 * are finished. Errors: the first failure; TDSNN_ERR_CANCELLED. */
typedef tdsnn_status (*td_job_fn)(void *arg, size_t index, int worker);
tdsnn_status td_parallel(tdsnn_context *ctx, const char *what, size_t count, td_job_fn fn,
                         void *arg);

#endif
