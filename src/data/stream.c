#include "data/stream.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/stream_internal.h"

tdsnn_status td_stream_create(tdsnn_context *ctx, size_t size, const char *path, const char *entry,
                              td_stream **stream) {
    size_t length = strlen(path) + 2 + strlen(entry) + 1;
    td_stream *s = td_alloc(ctx, size, 1);
    char *place = td_alloc(ctx, length, 1);
    if (s == NULL || place == NULL) {
        td_free(s);
        td_free(place);
        return TDSNN_ERR_RUNTIME;
    }
    snprintf(place, length, "%s%s%s", path, entry[0] == '\0' ? "" : ": ", entry);
    s->ctx = ctx;
    s->place = place;
    *stream = s;
    return TDSNN_OK;
}

size_t td_stream_room(const td_stream *stream) {
    return stream->room;
}

const char *td_stream_place(const td_stream *stream) {
    return stream->place;
}

void td_stream_close(td_stream *stream) {
    if (stream == NULL) {
        return;
    }
    stream->close(stream);
    td_free(stream->place);
    td_free(stream);
}

static tdsnn_status damaged(td_stream *s, const char *cause) {
    return td_error(s->ctx, TDSNN_ERR_INPUT, "%s: damaged: %s; get the file again", s->place,
                    cause);
}

tdsnn_status td_stream_read_some(td_stream *stream, void *out, size_t size, size_t *got) {
    const char *cause = NULL;
    if (!stream->pull(stream, out, size, got, &cause)) {
        return damaged(stream, cause);
    }
    stream->room = stream->room > *got ? stream->room - *got : 0;
    return TDSNN_OK;
}

tdsnn_status td_stream_read(td_stream *stream, void *out, size_t size) {
    size_t got = 0;
    tdsnn_status status = td_stream_read_some(stream, out, size, &got);
    if (status == TDSNN_OK && got < size) {
        return td_error(stream->ctx, TDSNN_ERR_INPUT,
                        "%s: cut off: %zu bytes are missing; get the file again", stream->place,
                        size - got);
    }
    return status;
}

tdsnn_status td_stream_end(td_stream *stream) {
    unsigned char extra;
    size_t got = 0;
    const char *cause = NULL;
    if (!stream->pull(stream, &extra, 1, &got, &cause)) {
        return damaged(stream, cause);
    }
    return got == 0 ? TDSNN_OK : damaged(stream, "it is longer than its header says");
}

/* A file, held in memory as it is on the disk. */
typedef struct file_stream {
    td_stream base;
    unsigned char *bytes;
    size_t size, position; /* plain: of the next byte */
    z_stream zip;
    bool packed, finished; /* gzip: whether the end and its checksum have been seen */
} file_stream;

static bool pull_plain(td_stream *stream, void *out, size_t size, size_t *got, const char **cause) {
    file_stream *file = (file_stream *)stream;
    (void)cause;
    *got = file->size - file->position < size ? file->size - file->position : size;
    memcpy(out, file->bytes + file->position, *got);
    file->position += *got;
    return true;
}

/* zlib counts input in unsigned int: hands it the next piece. */
static void feed(file_stream *file) {
    size_t left = file->size - file->position;
    if (file->zip.avail_in == 0 && left > 0) {
        file->zip.next_in = file->bytes + file->position;
        file->zip.avail_in = left > UINT32_MAX ? UINT32_MAX : (uInt)left;
        file->position += file->zip.avail_in;
    }
}

static bool pull_gzip(td_stream *stream, void *out, size_t size, size_t *got, const char **cause) {
    file_stream *file = (file_stream *)stream;
    *got = 0;
    while (*got < size && !file->finished) {
        size_t wanted = size - *got > UINT32_MAX ? UINT32_MAX : size - *got;
        file->zip.next_out = (unsigned char *)out + *got;
        file->zip.avail_out = (uInt)wanted;
        feed(file);
        int code = inflate(&file->zip, Z_NO_FLUSH);
        *got += wanted - file->zip.avail_out;
        if (code == Z_STREAM_END) {
            file->finished = true;
            if (file->zip.avail_in > 0 || file->position < file->size) {
                *cause = "there are bytes behind the end of the gzip data";
                return false;
            }
        } else if (code == Z_BUF_ERROR) {
            *cause = "the gzip data are cut off";
            return false;
        } else if (code != Z_OK) {
            *cause = file->zip.msg != NULL ? file->zip.msg : "the gzip data make no sense";
            return false;
        }
    }
    return true;
}

static void close_file(td_stream *stream) {
    file_stream *file = (file_stream *)stream;
    if (file->packed) {
        inflateEnd(&file->zip);
    }
    td_free(file->bytes);
}

/* Sees whether it is gzip, and sets how the file is read. */
static tdsnn_status choose_kind(file_stream *file) {
    td_stream *base = &file->base;
    base->pull = pull_plain;
    base->room = file->size;
    if (file->size < 2 || file->bytes[0] != 0x1f || file->bytes[1] != 0x8b) {
        return TDSNN_OK;
    }
    if (inflateInit2(&file->zip, 16 + MAX_WBITS) != Z_OK) { /* 16: gzip's header and no other */
        return td_error(base->ctx, TDSNN_ERR_RUNTIME, "%s: no memory to unpack it", base->place);
    }
    file->packed = true;
    base->pull = pull_gzip;
    base->room = file->size > TD_STREAM_LIMIT / TD_DEFLATE_RATIO ? TD_STREAM_LIMIT
                                                                 : file->size * TD_DEFLATE_RATIO;
    return TDSNN_OK;
}

tdsnn_status td_stream_open(tdsnn_context *ctx, const char *path, td_stream **stream) {
    td_stream *base;
    tdsnn_status status = td_stream_create(ctx, sizeof(file_stream), path, "", &base);
    if (status != TDSNN_OK) {
        return status;
    }
    file_stream *file = (file_stream *)base;
    base->close = close_file;
    status = td_file_read(ctx, path, TD_STREAM_LIMIT, &file->bytes, &file->size);
    if (status == TDSNN_OK) {
        status = choose_kind(file);
    }
    if (status != TDSNN_OK) {
        td_stream_close(base);
        return status;
    }
    *stream = base;
    return TDSNN_OK;
}

tdsnn_status td_stream_open_in(tdsnn_context *ctx, const char *folder, const char *name,
                               const char *set, td_stream **stream) {
    td_arena *arena = td_arena_create(ctx);
    char *plain = arena == NULL ? NULL : td_arena_printf(arena, "%s/%s", folder, name);
    char *packed = plain == NULL ? NULL : td_arena_printf(arena, "%s.gz", plain);
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (packed != NULL && access(plain, F_OK) != 0 && access(packed, F_OK) != 0) {
        status =
            td_error(ctx, TDSNN_ERR_INPUT, "%s: has neither %s nor %s.gz; give the folder with %s",
                     folder, name, name, set);
    } else if (packed != NULL) {
        status = td_stream_open(ctx, access(plain, F_OK) == 0 ? plain : packed, stream);
    }
    td_arena_destroy(arena);
    return status;
}
