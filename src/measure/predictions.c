#include "measure/predictions.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

#define LABELS_LIMIT ((size_t)16 << 20)

struct td_predictions {
    tdsnn_context *ctx;
    td_output *output; /* NULL: stdout */
    FILE *stream;
    unsigned char *text; /* of the labels file, its lines zero-terminated; NULL: numbers */
    const char **names;
    size_t name_count, capacity;
};

/* Cuts the labels file into lines. */
static tdsnn_status read_labels(td_predictions *p, const char *path) {
    size_t size;
    tdsnn_status status = td_file_read(p->ctx, path, LABELS_LIMIT, &p->text, &size);
    char *line = (char *)p->text, *end = line + (status == TDSNN_OK ? size : 0);
    while (status == TDSNN_OK && line < end) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop == NULL ? end : stop; /* td_file_read leaves a zero byte behind the end */
        *stop = '\0';
        if (stop > line && stop[-1] == '\r') {
            stop[-1] = '\0';
        }
        status = td_reserve(p->ctx, &p->names, &p->capacity, p->name_count + 1, sizeof *p->names);
        if (status == TDSNN_OK) {
            p->names[p->name_count++] = line;
            line = stop + 1;
        }
    }
    return status;
}

tdsnn_status td_predictions_open(tdsnn_context *ctx, const char *path, const char *labels,
                                 bool force, td_predictions **out) {
    td_predictions *p = td_alloc(ctx, 1, sizeof *p);
    if (p == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    p->ctx = ctx;
    p->stream = stdout;
    tdsnn_status status = labels == NULL ? TDSNN_OK : read_labels(p, labels);
    if (status == TDSNN_OK && strcmp(path, "-") != 0) {
        status = td_output_open(ctx, path, force, &p->output);
        p->stream = status == TDSNN_OK ? td_output_stream(p->output) : NULL;
    }
    if (status != TDSNN_OK) {
        return td_predictions_close(p, status);
    }
    *out = p;
    return TDSNN_OK;
}

tdsnn_status td_predictions_write(td_predictions *p, int prediction) {
    int written;
    if (p->text == NULL) {
        written = fprintf(p->stream, "%d\n", prediction);
    } else if ((size_t)prediction < p->name_count) {
        written = fprintf(p->stream, "%s\n", p->names[prediction]);
    } else {
        return td_error(p->ctx, TDSNN_ERR_INPUT,
                        "the labels file names %zu classes, but class %d was predicted; give one "
                        "name a line for every class",
                        p->name_count, prediction);
    }
    return written >= 0 ? TDSNN_OK
                        : td_error(p->ctx, TDSNN_ERR_RUNTIME, "predictions cannot be written: %s",
                                   strerror(errno));
}

tdsnn_status td_predictions_close(td_predictions *p, tdsnn_status so_far) {
    if (p->output != NULL && so_far == TDSNN_OK) {
        so_far = td_output_commit(p->output);
    } else {
        td_output_discard(p->output);
    }
    td_free(p->names);
    td_free(p->text);
    td_free(p);
    return so_far;
}
