/* The context: where errors, warnings, progress and threads of one caller live. */
#ifndef TDSNN_CONTEXT_H
#define TDSNN_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TDSNN_API __attribute__((visibility("default")))
#define TDSNN_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TDSNN_API
#define TDSNN_PRINTF(text, first)
#endif

/* What a call came to. The numbers are also the exit codes of the command-line tool. */
typedef enum tdsnn_status {
    TDSNN_OK = 0,
    TDSNN_ERR_RUNTIME = 1,     /* out of memory, a full disk, a file that cannot be written */
    TDSNN_ERR_USAGE = 2,       /* an argument outside its range, options that exclude each other */
    TDSNN_ERR_INPUT = 3,       /* a model or data file that is damaged, missing or inconsistent */
    TDSNN_ERR_UNSUPPORTED = 4, /* a sound model that needs something this library does not do */
    TDSNN_ERR_CHECK = 5,       /* a proof that failed */
    TDSNN_ERR_CANCELLED = 130  /* the progress callback asked to stop */
} tdsnn_status;

typedef struct tdsnn_context tdsnn_context;

/* Called from time to time by long calls; a non-zero return cancels the call. `total` is 0 where
 * it is not known. Always called on the thread that made the call. */
typedef int (*tdsnn_progress_fn)(void *user, const char *what, uint64_t done, uint64_t total);

/* Called with one sentence that the user should see although the call goes on. */
typedef void (*tdsnn_warning_fn)(void *user, const char *sentence);

/* Creates a context; NULL when there is no memory for it. One context serves one thread at a
 * time; it runs its own worker threads inside a call. */
TDSNN_API tdsnn_context *tdsnn_context_create(void);

/* Ends the worker threads and frees the context; NULL is fine. Objects made with the context must
 * be destroyed before it. */
TDSNN_API void tdsnn_context_destroy(tdsnn_context *ctx);

/* The sentence that goes with the last status other than TDSNN_OK: file, place, cause, remedy.
 * Valid until the next call with this context; empty when nothing has failed. */
TDSNN_API const char *tdsnn_last_error(const tdsnn_context *ctx);

/* Sets how many threads a call may use: 1 .. 1024, or 0 for one per core (the default).
 * Errors: TDSNN_ERR_USAGE outside that range. */
TDSNN_API tdsnn_status tdsnn_set_threads(tdsnn_context *ctx, int threads);
TDSNN_API int tdsnn_threads(const tdsnn_context *ctx);

TDSNN_API void tdsnn_set_progress(tdsnn_context *ctx, tdsnn_progress_fn fn, void *user);
TDSNN_API void tdsnn_set_warning(tdsnn_context *ctx, tdsnn_warning_fn fn, void *user);

/* The version of the library, "major.minor.patch". */
TDSNN_API const char *tdsnn_version(void);

#ifdef __cplusplus
}
#endif
#endif
