#include "train/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/number.h"

struct td_train_log {
    tdsnn_context *ctx;
    FILE *file;
    bool json, warned;
};

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), wanted = strlen(ending);
    return length > wanted && strcmp(path + length - wanted, ending) == 0;
}

/* The columns, in the order of the file. */
typedef struct column {
    const char *name;
    double value;
} column;
#define COLUMNS 11

static void list_columns(const tdsnn_epoch *e, column columns[COLUMNS]) {
    const column all[COLUMNS] = {{"epoch", e->epoch},
                                 {"step", (double)e->step},
                                 {"learning_rate", e->learning_rate},
                                 {"loss", e->loss},
                                 {"train_percent", e->train_percent},
                                 {"held_out_loss", e->held_out_loss},
                                 {"held_out_percent", e->held_out_percent},
                                 {"spikes_per_neuron", e->spikes_per_neuron},
                                 {"images_per_second", e->images_per_second},
                                 {"seconds", e->seconds},
                                 {"best", e->best}};
    memcpy(columns, all, sizeof all);
}

static void write_headings(td_train_log *log) {
    column columns[COLUMNS];
    list_columns(&(tdsnn_epoch){0}, columns);
    for (int i = 0; i < COLUMNS; i++) {
        fprintf(log->file, "%s%s", i > 0 ? "," : "", columns[i].name);
    }
    fputc('\n', log->file);
}

/* Cuts off what lies behind so many whole lines: epochs that will be run again, half a line. */
static bool cut(FILE *file, int lines) {
    off_t end = 0;
    rewind(file);
    for (int c = 0; lines > 0 && c != EOF;) {
        c = getc(file);
        if (c == '\n') {
            end = ftello(file);
            lines--;
        }
    }
    return ftruncate(fileno(file), end) == 0 && fseeko(file, 0, SEEK_END) == 0;
}

tdsnn_status td_train_log_open(tdsnn_context *ctx, const char *path, int epochs, bool force,
                               td_train_log **log) {
    *log = NULL;
    if (path == NULL) {
        return TDSNN_OK;
    }
    bool json = ends_in(path, ".jsonl");
    if (!json && !ends_in(path, ".csv")) {
        return td_error(ctx, TDSNN_ERR_USAGE, "%s: a log is called .csv or .jsonl", path);
    }
    FILE *file = fopen(path, epochs >= 0 ? "a+" : force ? "w" : "wx");
    if (file == NULL && errno == EEXIST) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%s: exists already; give --force to replace it, or another name", path);
    }
    if (file == NULL || (epochs >= 0 && !cut(file, json ? epochs : epochs + 1))) {
        tdsnn_status status =
            td_error(ctx, TDSNN_ERR_RUNTIME, "%s: cannot be written: %s", path, strerror(errno));
        if (file != NULL) {
            fclose(file);
        }
        return status;
    }
    td_train_log *made = td_alloc(ctx, 1, sizeof *made);
    if (made == NULL) {
        fclose(file);
        return TDSNN_ERR_RUNTIME;
    }
    *made = (td_train_log){.ctx = ctx, .file = file, .json = json};
    fseek(file, 0, SEEK_END);
    if (!json && ftell(file) == 0) {
        write_headings(made);
    }
    *log = made;
    return TDSNN_OK;
}

/* CSV leaves out what is no number, JSON has null. */
static void write_value(td_train_log *log, double value) {
    char text[TD_NUMBER_TEXT];
    if (isfinite(value)) {
        td_number_write(value, 9, text);
    }
    fputs(isfinite(value) ? text : log->json ? "null" : "", log->file);
}

void td_train_log_add(td_train_log *log, const tdsnn_epoch *epoch) {
    if (log == NULL) {
        return;
    }
    column columns[COLUMNS];
    list_columns(epoch, columns);
    for (int i = 0; i < COLUMNS; i++) {
        if (log->json) {
            fprintf(log->file, "%s\"%s\": ", i > 0 ? ", " : "{", columns[i].name);
        } else if (i > 0) {
            fputc(',', log->file);
        }
        write_value(log, columns[i].value);
    }
    fputs(log->json ? "}\n" : "\n", log->file);
    if (fflush(log->file) != 0 && !log->warned) {
        td_warn(log->ctx, "the log cannot be written: %s", strerror(errno));
        log->warned = true;
    }
}

void td_train_log_close(td_train_log *log) {
    if (log != NULL) {
        fclose(log->file);
        td_free(log);
    }
}
