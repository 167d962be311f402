#include <string.h>
#include <zip.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/stream_internal.h"

struct td_archive {
    tdsnn_context *ctx;
    const char *path;
    unsigned char *bytes;
    zip_t *zip;
};

/* The whole file is read first: libzip would wait at a pipe, and not notice a file that shrinks. */
tdsnn_status td_archive_open(tdsnn_context *ctx, const char *path, td_archive **archive) {
    size_t size;
    td_archive *a = td_alloc(ctx, 1, sizeof *a);
    if (a == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *a = (td_archive){.ctx = ctx, .path = path};
    tdsnn_status status = td_file_read(ctx, path, TD_STREAM_LIMIT, &a->bytes, &size);
    if (status != TDSNN_OK) {
        td_archive_close(a);
        return status;
    }
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(a->bytes, size, 0, &error);
    a->zip = source == NULL ? NULL : zip_open_from_source(source, ZIP_RDONLY, &error);
    if (a->zip == NULL) {
        status = td_error(ctx, TDSNN_ERR_INPUT,
                          "%s: not a sound .npz file: %s; save it again with numpy.savez", path,
                          zip_error_strerror(&error));
        zip_source_free(source);
        td_archive_close(a);
    } else {
        *archive = a;
    }
    zip_error_fini(&error);
    return status;
}

void td_archive_close(td_archive *archive) {
    if (archive == NULL) {
        return;
    }
    if (archive->zip != NULL) {
        zip_discard(archive->zip);
    }
    td_free(archive->bytes);
    td_free(archive);
}

bool td_archive_has(const td_archive *archive, const char *name) {
    return zip_name_locate(archive->zip, name, 0) >= 0;
}

typedef struct entry_stream {
    td_stream base;
    zip_file_t *file;
} entry_stream;

static bool pull_entry(td_stream *stream, void *out, size_t size, size_t *got, const char **cause) {
    entry_stream *entry = (entry_stream *)stream;
    *got = 0;
    while (*got < size) {
        zip_int64_t count = zip_fread(entry->file, (unsigned char *)out + *got, size - *got);
        if (count < 0) {
            *cause = zip_error_strerror(zip_file_get_error(entry->file));
            return false;
        }
        if (count == 0) {
            break;
        }
        *got += (size_t)count;
    }
    return true;
}

static void close_entry(td_stream *stream) {
    entry_stream *entry = (entry_stream *)stream;
    if (entry->file != NULL) {
        zip_fclose(entry->file);
    }
}

/* What can really come out of an entry, or why it is not read. */
static const char *entry_room(td_archive *archive, const char *name, size_t *room) {
    zip_stat_t about;
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat(archive->zip, name, 0, &about) != 0) {
        return "there is no such array";
    }
    if ((about.valid & needed) != needed || about.encryption_method != ZIP_EM_NONE ||
        (about.comp_method != ZIP_CM_STORE && about.comp_method != ZIP_CM_DEFLATE)) {
        return "it is packed in a way that numpy does not use";
    }
    size_t packed = about.comp_size > TD_STREAM_LIMIT ? TD_STREAM_LIMIT : (size_t)about.comp_size;
    if (about.size > TD_STREAM_LIMIT || about.size > (packed + 1) * TD_DEFLATE_RATIO) {
        return "it claims to be larger than it can be";
    }
    *room = (size_t)about.size;
    return NULL;
}

tdsnn_status td_archive_stream(td_archive *archive, const char *name, td_stream **stream) {
    size_t room = 0;
    const char *refusal = entry_room(archive, name, &room);
    if (refusal != NULL) {
        return td_error(archive->ctx, TDSNN_ERR_INPUT, "%s: %s: %s; save it again with numpy.savez",
                        archive->path, name, refusal);
    }
    td_stream *base;
    tdsnn_status status =
        td_stream_create(archive->ctx, sizeof(entry_stream), archive->path, name, &base);
    if (status != TDSNN_OK) {
        return status;
    }
    entry_stream *entry = (entry_stream *)base;
    base->pull = pull_entry;
    base->close = close_entry;
    base->room = room;
    entry->file = zip_fopen(archive->zip, name, 0);
    if (entry->file == NULL) {
        status = td_error(archive->ctx, TDSNN_ERR_INPUT,
                          "%s: damaged: %s; save it again with numpy.savez", base->place,
                          zip_strerror(archive->zip));
        td_stream_close(base);
        return status;
    }
    *stream = base;
    return TDSNN_OK;
}
