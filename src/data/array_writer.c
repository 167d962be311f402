#include "data/array_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/npy.h"

/* Longer keys are cut. */
#define KEY_LENGTH 200

typedef struct open_array {
    td_array_spec spec;
    char key[KEY_LENGTH + 16]; /* of an .npz: what numpy calls it */
    size_t sample_bytes;
    uint64_t samples;
    FILE *stream; /* of an .npz: unnamed, so that nothing can be left; else the output's */
} open_array;

struct td_array_writer {
    tdsnn_context *ctx;
    char *path;
    td_output *output;
    bool archive;
    int count;
    open_array *arrays;
};

static tdsnn_status cannot_write(const td_array_writer *w, const char *cause) {
    return td_error(w->ctx, TDSNN_ERR_RUNTIME, "%s: cannot be written: %s", w->path, cause);
}

static td_element element_of(td_array_type type) {
    return type == TD_ARRAY_UINT8 ? TD_UINT8 : TD_FLOAT32;
}

/* Writes the header for the samples appended so far; the stream is at its end afterwards. */
static tdsnn_status write_header(td_array_writer *w, open_array *a) {
    unsigned char header[TD_NPY_HEADER];
    td_npy_header(element_of(a->spec.type), a->samples, a->spec.rank, a->spec.dims, header);
    if (fseek(a->stream, 0, SEEK_SET) != 0 ||
        fwrite(header, 1, sizeof header, a->stream) != sizeof header ||
        fseek(a->stream, 0, SEEK_END) != 0) {
        return cannot_write(w, strerror(errno));
    }
    return TDSNN_OK;
}

static tdsnn_status open_unnamed(td_array_writer *w, open_array *a) {
    size_t length = strlen(w->path) + sizeof ".XXXXXX.tmp";
    char *name = td_alloc(w->ctx, length, 1);
    if (name == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    snprintf(name, length, "%s.XXXXXX.tmp", w->path);
    int fd = mkostemps(name, 4, O_CLOEXEC);
    int cause = errno;
    if (fd >= 0) {
        unlink(name);
        a->stream = fdopen(fd, "w+b");
        cause = errno;
    }
    td_free(name);
    if (a->stream != NULL) {
        return TDSNN_OK;
    }
    if (fd >= 0) {
        close(fd);
    }
    return cannot_write(w, strerror(cause));
}

static bool key_taken(const td_array_writer *w, int count, const char *key) {
    for (int i = 0; i < count; i++) {
        if (strcmp(w->arrays[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static void make_key(td_array_writer *w, int index, const char *name) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    open_array *a = &w->arrays[index];
    char base[KEY_LENGTH + 1];
    snprintf(base, sizeof base, "%s", name[0] == '\0' ? "_" : name);
    for (char *c = base; *c != '\0'; c++) {
        *c = strchr(plain, *c) == NULL ? '_' : *c;
    }
    snprintf(a->key, sizeof a->key, "%s", base);
    for (int n = 2; key_taken(w, index, a->key); n++) {
        snprintf(a->key, sizeof a->key, "%s-%d", base, n);
    }
}

static tdsnn_status open_array_at(td_array_writer *w, int index, const td_array_spec *spec) {
    open_array *a = &w->arrays[index];
    a->spec = *spec;
    a->sample_bytes = td_element_size(element_of(spec->type));
    for (int i = 0; i < spec->rank; i++) {
        if (!td_size_mul(a->sample_bytes, (size_t)spec->dims[i], &a->sample_bytes)) {
            return cannot_write(w, "a sample is too large");
        }
    }
    tdsnn_status status = TDSNN_OK;
    if (w->archive) {
        make_key(w, index, spec->name);
        status = open_unnamed(w, a);
    } else {
        a->stream = td_output_stream(w->output);
    }
    return status == TDSNN_OK ? write_header(w, a) : status;
}

static tdsnn_status create(tdsnn_context *ctx, const char *path, bool force, bool archive,
                           const td_array_spec *arrays, int count, td_array_writer **writer) {
    td_array_writer *w = td_alloc(ctx, 1, sizeof *w);
    if (w == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *w = (td_array_writer){.ctx = ctx, .archive = archive, .count = count};
    w->path = td_alloc(ctx, strlen(path) + 1, 1);
    w->arrays = td_alloc(ctx, (size_t)count, sizeof *w->arrays);
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (w->path != NULL && w->arrays != NULL) {
        strcpy(w->path, path);
        status = td_output_open(ctx, path, force, &w->output);
    }
    for (int i = 0; status == TDSNN_OK && i < count; i++) {
        status = open_array_at(w, i, &arrays[i]);
    }
    if (status != TDSNN_OK) {
        td_array_discard(w);
        return status;
    }
    *writer = w;
    return TDSNN_OK;
}

tdsnn_status td_npy_create(tdsnn_context *ctx, const char *path, bool force,
                           const td_array_spec *array, td_array_writer **writer) {
    return create(ctx, path, force, false, array, 1, writer);
}

tdsnn_status td_npz_create(tdsnn_context *ctx, const char *path, bool force,
                           const td_array_spec *arrays, int count, td_array_writer **writer) {
    return create(ctx, path, force, true, arrays, count, writer);
}

tdsnn_status td_array_append(td_array_writer *writer, int index, const void *sample) {
    open_array *a = &writer->arrays[index];
    if (fwrite(sample, 1, a->sample_bytes, a->stream) != a->sample_bytes) {
        return cannot_write(writer, strerror(errno));
    }
    a->samples++;
    return TDSNN_OK;
}

/* Hands the array's stream to the archive; it is read when the archive is closed. */
static bool add_entry(zip_t *zip, open_array *a) {
    char name[sizeof a->key + 4];
    snprintf(name, sizeof name, "%s.npy", a->key);
    rewind(a->stream); /* libzip takes a start of 0 for "from here" */
    zip_source_t *source = zip_source_filep(zip, a->stream, 0, -1);
    if (source == NULL) {
        return false;
    }
    a->stream = NULL; /* the source closes it */
    zip_int64_t index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    /* The fastest level: spike times pack well at any. One date, so that equal spikes are equal
     * files. */
    return zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_DEFLATE, 1) == 0 &&
           zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 1 << 5 | 1, 0) == 0;
}

/* libzip puts a new file in the place of the output's, which td_output_commit cannot sync. */
static tdsnn_status sync_output(td_array_writer *w) {
    int fd = open(td_output_name(w->output), O_RDONLY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0) {
        close(fd);
    }
    return synced ? TDSNN_OK : cannot_write(w, strerror(cause));
}

static tdsnn_status write_archive(td_array_writer *w) {
    zip_error_t error;
    int code = 0;
    zip_t *zip = zip_open(td_output_name(w->output), ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (zip == NULL) {
        zip_error_init_with_code(&error, code);
        tdsnn_status status = cannot_write(w, zip_error_strerror(&error));
        zip_error_fini(&error);
        return status;
    }
    bool written = true;
    for (int i = 0; written && i < w->count; i++) {
        written = add_entry(zip, &w->arrays[i]);
    }
    if (!written || zip_close(zip) != 0) {
        tdsnn_status status = cannot_write(w, zip_strerror(zip));
        zip_discard(zip);
        return status;
    }
    return sync_output(w);
}

tdsnn_status td_array_commit(td_array_writer *writer) {
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < writer->count; i++) {
        status = write_header(writer, &writer->arrays[i]);
        if (status == TDSNN_OK && fflush(writer->arrays[i].stream) != 0) {
            status = cannot_write(writer, strerror(errno));
        }
    }
    if (status == TDSNN_OK && writer->archive) {
        status = write_archive(writer);
    }
    if (status == TDSNN_OK) {
        status = td_output_commit(writer->output);
        writer->output = NULL;
    }
    td_array_discard(writer);
    return status;
}

void td_array_discard(td_array_writer *writer) {
    if (writer == NULL) {
        return;
    }
    for (int i = 0; writer->archive && writer->arrays != NULL && i < writer->count; i++) {
        if (writer->arrays[i].stream != NULL) {
            fclose(writer->arrays[i].stream);
        }
    }
    td_output_discard(writer->output);
    td_free(writer->arrays);
    td_free(writer->path);
    td_free(writer);
}
