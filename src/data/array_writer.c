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

static tdsnn_status not_written(tdsnn_context *ctx, const char *path, const char *cause) {
    return td_error(ctx, TDSNN_ERR_RUNTIME, "%s: cannot be written: %s", path, cause);
}

static tdsnn_status cannot_write(const td_array_writer *w, const char *cause) {
    return not_written(w->ctx, w->path, cause);
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

/* Adds an entry, whose source is freed in every case; -1 if that cannot be. */
static zip_int64_t add_source(zip_t *zip, const char *name, zip_source_t *source) {
    zip_int64_t index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
    }
    return index;
}

/* One date, so that equal arrays are equal files. */
static bool pack(zip_t *zip, zip_int64_t index, zip_int32_t method, zip_uint32_t level) {
    return zip_set_file_compression(zip, (zip_uint64_t)index, method, level) == 0 &&
           zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 1 << 5 | 1, 0) == 0;
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
    zip_int64_t index = add_source(zip, name, source);
    if (index < 0) {
        return false;
    }
    /* The fastest level: spike times pack well at any. */
    return pack(zip, index, ZIP_CM_DEFLATE, 1);
}

/* libzip puts a new file in the place of the output's, which td_output_commit cannot sync. */
static tdsnn_status sync_output(tdsnn_context *ctx, const char *path, const td_output *output) {
    int fd = open(td_output_name(output), O_RDONLY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0) {
        close(fd);
    }
    return synced ? TDSNN_OK : not_written(ctx, path, strerror(cause));
}

/* `path` is for messages. */
static tdsnn_status open_archive(tdsnn_context *ctx, const char *path, const td_output *output,
                                 zip_t **zip) {
    int code = 0;
    *zip = zip_open(td_output_name(output), ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (*zip == NULL) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        tdsnn_status status = not_written(ctx, path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return status;
    }
    return TDSNN_OK;
}

/* Frees the archive in every case; complete: all entries are there. */
static tdsnn_status close_archive(tdsnn_context *ctx, const char *path, const td_output *output,
                                  zip_t *zip, bool complete) {
    if (!complete || zip_close(zip) != 0) {
        tdsnn_status status = not_written(ctx, path, zip_strerror(zip));
        zip_discard(zip);
        return status;
    }
    return sync_output(ctx, path, output);
}

static tdsnn_status write_archive(td_array_writer *w) {
    zip_t *zip;
    tdsnn_status status = open_archive(w->ctx, w->path, w->output, &zip);
    if (status != TDSNN_OK) {
        return status;
    }
    bool complete = true;
    for (int i = 0; complete && i < w->count; i++) {
        complete = add_entry(zip, &w->arrays[i]);
    }
    return close_archive(w->ctx, w->path, w->output, zip, complete);
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

/* Room for the header of each array, which lies there until the archive is closed. */
typedef unsigned char npy_header[TD_NPY_HEADER];

static bool add_in_memory(tdsnn_context *ctx, zip_t *zip, const td_array_in_memory *array,
                          npy_header header) {
    size_t size = td_element_size(element_of(array->type)), length = strlen(array->name) + 5;
    char *name = td_alloc(ctx, length, 1);
    if (name == NULL) {
        return false;
    }
    snprintf(name, length, "%s.npy", array->name);
    td_npy_header(element_of(array->type), array->count, 0, NULL, header);
    const zip_buffer_fragment_t parts[] = {{header, TD_NPY_HEADER},
                                           {(zip_uint8_t *)array->values, array->count * size}};
    zip_source_t *source = zip_source_buffer_fragment(zip, parts, array->count > 0 ? 2 : 1, 0);
    zip_int64_t index = source == NULL ? -1 : add_source(zip, name, source);
    td_free(name);
    return index >= 0 && pack(zip, index, ZIP_CM_STORE, 0);
}

tdsnn_status td_npz_save(tdsnn_context *ctx, const char *path, const td_array_in_memory *arrays,
                         int count) {
    zip_t *zip;
    td_output *output = NULL;
    npy_header *headers = td_alloc(ctx, (size_t)count, sizeof *headers);
    tdsnn_status status =
        headers == NULL ? TDSNN_ERR_RUNTIME : td_output_open(ctx, path, true, &output);
    if (status == TDSNN_OK) {
        status = open_archive(ctx, path, output, &zip);
    }
    if (status == TDSNN_OK) {
        bool complete = true;
        for (int i = 0; complete && i < count; i++) {
            complete = add_in_memory(ctx, zip, &arrays[i], headers[i]);
        }
        status = close_archive(ctx, path, output, zip, complete);
    }
    if (status == TDSNN_OK) {
        status = td_output_commit(output);
    } else {
        td_output_discard(output);
    }
    td_free(headers);
    return status;
}
