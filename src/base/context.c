#include "base/internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 1024

static int core_count(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores;
}

tdsnn_context *tdsnn_context_create(void) {
    tdsnn_context *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return NULL;
    }
    pthread_mutex_init(&ctx->error_lock, NULL);
    ctx->threads = core_count();
    return ctx;
}

void tdsnn_context_destroy(tdsnn_context *ctx) {
    if (ctx == NULL) {
        return;
    }
    td_pool_destroy(ctx->pool);
    pthread_mutex_destroy(&ctx->error_lock);
    free(ctx);
}

const char *tdsnn_last_error(const tdsnn_context *ctx) {
    return ctx->error;
}

tdsnn_status tdsnn_set_threads(tdsnn_context *ctx, int threads) {
    td_error_clear(ctx);
    if (threads < 0 || threads > MAX_THREADS) {
        return td_error(ctx, TDSNN_ERR_USAGE, "%d threads: give a number from 0 to %d", threads,
                        MAX_THREADS);
    }
    td_pool_destroy(ctx->pool); /* made anew, with the new size, when first needed */
    ctx->pool = NULL;
    ctx->threads = threads == 0 ? core_count() : threads;
    return TDSNN_OK;
}

int tdsnn_threads(const tdsnn_context *ctx) {
    return ctx->threads;
}

void tdsnn_set_progress(tdsnn_context *ctx, tdsnn_progress_fn fn, void *user) {
    ctx->progress = fn;
    ctx->progress_user = user;
}

void tdsnn_set_warning(tdsnn_context *ctx, tdsnn_warning_fn fn, void *user) {
    ctx->warning = fn;
    ctx->warning_user = user;
}

const char *tdsnn_version(void) {
    return TDSNN_VERSION;
}

tdsnn_status td_error(tdsnn_context *ctx, tdsnn_status status, const char *format, ...) {
    va_list arguments;
    pthread_mutex_lock(&ctx->error_lock);
    if (ctx->error[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(ctx->error, sizeof ctx->error, format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&ctx->error_lock);
    return status;
}

void td_error_clear(tdsnn_context *ctx) {
    ctx->error[0] = '\0';
}

tdsnn_status td_error_in(tdsnn_context *ctx, tdsnn_status status, const char *prefix) {
    pthread_mutex_lock(&ctx->error_lock);
    size_t room = sizeof ctx->error - 1, ahead = strlen(prefix) + 2, length = strlen(ctx->error);
    if (ahead < room) {
        length = length > room - ahead ? room - ahead : length;
        memmove(ctx->error + ahead, ctx->error, length);
        memcpy(ctx->error, prefix, ahead - 2);
        memcpy(ctx->error + ahead - 2, ": ", 2);
        ctx->error[ahead + length] = '\0';
    }
    pthread_mutex_unlock(&ctx->error_lock);
    return status;
}

void td_warn(tdsnn_context *ctx, const char *format, ...) {
    if (ctx->warning == NULL) {
        return;
    }
    char sentence[sizeof ctx->error];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    ctx->warning(ctx->warning_user, sentence);
}

tdsnn_status td_progress(tdsnn_context *ctx, const char *what, uint64_t done, uint64_t total) {
    if (ctx->progress != NULL && ctx->progress(ctx->progress_user, what, done, total) != 0) {
        return td_error(ctx, TDSNN_ERR_CANCELLED, "interrupted while %s (%llu of %llu done)", what,
                        (unsigned long long)done, (unsigned long long)total);
    }
    return TDSNN_OK;
}
