#include "fuzz.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tdsnn_context *context;
static char folder[64];

static void stop(const char *what) {
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

static void clean(void) {
    DIR *files = opendir(folder);
    for (struct dirent *entry; files != NULL && (entry = readdir(files)) != NULL;) {
        unlink(fuzz_path(entry->d_name));
    }
    if (files != NULL) {
        closedir(files);
    }
    rmdir(folder);
    tdsnn_context_destroy(context);
}

tdsnn_context *fuzz_context(void) {
    if (context == NULL) {
        strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/tdsnn-fuzz-XXXXXX"
                                                     : "/tmp/tdsnn-fuzz-XXXXXX");
        context = tdsnn_context_create();
        if (context == NULL || mkdtemp(folder) == NULL) {
            stop("no folder or no context");
        }
        atexit(clean);
    }
    return context;
}

const char *fuzz_path(const char *name) {
    static char path[512];
    fuzz_context();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

void fuzz_write(const char *name, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(fuzz_path(name), "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        stop("cannot write a file");
    }
}

void fuzz_check(tdsnn_status status) {
    const char *sentence = tdsnn_last_error(context);
    if (status != TDSNN_OK && (strlen(sentence) < 10 || strchr(sentence, '\n') != NULL)) {
        stop("an error that does not say what is wrong in one line");
    }
}

static void read_samples(tdsnn_data *data) {
    tdsnn_data_info info = tdsnn_data_get_info(data);
    size_t count = (size_t)info.shape[0] * (size_t)info.shape[1] * (size_t)info.shape[2];
    float *values = malloc(count * sizeof *values);
    if (values == NULL) {
        stop("samples larger than memory");
    }
    for (size_t i = 0; i < info.samples; i++) {
        int label = -2;
        tdsnn_status status = tdsnn_data_read(context, data, i, values, &label);
        fuzz_check(status);
        if (status == TDSNN_OK && (label < -1 || label >= info.classes)) {
            stop("a label that is no class");
        }
        for (size_t k = 0; status == TDSNN_OK && k < count; k++) {
            if (!isfinite(values[k])) {
                stop("a value that is not finite");
            }
        }
    }
    free(values);
}

void fuzz_data(const char *kind, const char *name, const tdsnn_data_options *options) {
    char spec[600];
    tdsnn_data *data = NULL;
    snprintf(spec, sizeof spec, "%s:%s", kind, fuzz_path(name));
    tdsnn_status status = tdsnn_data_open(context, spec, options, &data);
    fuzz_check(status);
    if (status == TDSNN_OK) {
        read_samples(data);
        tdsnn_data_close(data);
    }
}
