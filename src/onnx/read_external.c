#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx/reader.h"
#include "onnx/schema.h"

/* Where a tensor's bytes lie. */
typedef struct place {
    const char *file; /* relative to the model's folder */
    size_t offset, length;
    bool has_length;
} place;

static tdsnn_status read_decimal(const td_reader *r, const td_wire *text, size_t *number) {
    size_t value = 0;
    bool sound = text->at != text->end;
    for (const unsigned char *c = text->at; sound && c < text->end; c++) {
        sound = *c >= '0' && *c <= '9' && td_size_mul(value, 10, &value) &&
                td_size_add(value, (size_t)(*c - '0'), &value);
    }
    if (!sound) {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        "the offset or length of its external data is no number");
    }
    *number = value;
    return TDSNN_OK;
}

static tdsnn_status read_entry(const td_reader *r, td_wire message, place *where) {
    td_wire key = {0}, value = {0};
    td_field field;
    while (td_wire_next(&message, &field)) {
        if (field.key == ENTRY_KEY) {
            key = field.bytes;
        } else if (field.key == ENTRY_VALUE) {
            value = field.bytes;
        }
    }
    if (message.damaged) {
        return td_reader_damaged(r, &message);
    }
    if (td_wire_is(&key, "location")) {
        return td_read_name(r, &value, &where->file);
    }
    if (td_wire_is(&key, "offset")) {
        return read_decimal(r, &value, &where->offset);
    }
    if (td_wire_is(&key, "length")) {
        where->has_length = true;
        return read_decimal(r, &value, &where->length);
    }
    return TDSNN_OK;
}

static tdsnn_status read_place(const td_reader *r, td_wire tensor, place *where) {
    td_field field;
    tdsnn_status status = TDSNN_OK;
    while (status == TDSNN_OK && td_wire_next(&tensor, &field)) {
        if (field.key == TENSOR_EXTERNAL) {
            status = read_entry(r, field.bytes, where);
        }
    }
    if (status == TDSNN_OK && where->file == NULL) {
        status = td_error(r->ctx, TDSNN_ERR_INPUT, "is external data without a location");
    }
    return status;
}

static tdsnn_status not_opened(const td_reader *r, const char *file, int cause) {
    return td_error(r->ctx, TDSNN_ERR_INPUT, "its external data '%s' cannot be opened: %s", file,
                    cause == ELOOP || cause == ENOTDIR
                        ? "a part of the path is a symbolic link or no folder; put the file itself "
                          "beside the model"
                        : strerror(cause));
}

/* Opens the model's folder. Errors: -1 and errno. */
static int open_folder(const td_reader *r) {
    const char *slash = strrchr(r->path, '/');
    char *folder = slash == NULL
                       ? td_arena_strdup(r->arena, ".")
                       : td_arena_strndup(r->arena, r->path, (size_t)(slash - r->path) + 1);
    errno = ENOMEM;
    return folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opens a file below the model's folder, part by part, following no link: a model from elsewhere
 * must not make us read what lies outside. */
static tdsnn_status open_below(const td_reader *r, const char *file, int *opened) {
    if (file[0] == '/' || file[0] == '\0') {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        "its external data '%s' is no path below the model's folder; put the file "
                        "beside the model",
                        file);
    }
    int fd = open_folder(r);
    for (const char *part = file; fd >= 0 && *part != '\0';) {
        size_t length = strcspn(part, "/");
        bool last = part[length] == '\0';
        if (length == 2 && memcmp(part, "..", 2) == 0) {
            close(fd);
            return td_error(r->ctx, TDSNN_ERR_INPUT,
                            "its external data '%s' lies outside the model's folder; put the file "
                            "beside the model",
                            file);
        }
        char *name = td_arena_strndup(r->arena, part, length);
        errno = ENOMEM;
        /* a fifo must not make us wait */
        int next =
            name == NULL
                ? -1
                : openat(fd, length == 0 ? "." : name,
                         O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
        int cause = errno;
        close(fd);
        errno = cause;
        fd = next;
        part += length + (last ? 0 : 1);
    }
    if (fd < 0) {
        return not_opened(r, file, errno);
    }
    *opened = fd;
    return TDSNN_OK;
}

static tdsnn_status check_range(const td_reader *r, int fd, const place *where, size_t wanted) {
    struct stat info;
    size_t end;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "its external data '%s' is no regular file",
                        where->file);
    }
    if (!td_size_add(where->offset, wanted, &end) || end > (uint64_t)info.st_size) {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        "its external data, %zu bytes at %zu, lie beyond the end of '%s' (%lld "
                        "bytes)",
                        wanted, where->offset, where->file, (long long)info.st_size);
    }
    return TDSNN_OK;
}

static tdsnn_status read_range(const td_reader *r, int fd, const place *where, size_t wanted,
                               unsigned char *bytes) {
    for (size_t have = 0; have < wanted;) {
        ssize_t got = pread(fd, bytes + have, wanted - have, (off_t)(where->offset + have));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "its external data '%s' cannot be read: %s",
                            where->file, got < 0 ? strerror(errno) : "the file got shorter");
        }
        have += (size_t)got;
    }
    return TDSNN_OK;
}

/* Nothing is allocated before the file is known to have the bytes. */
static tdsnn_status read_file(const td_reader *r, int fd, const place *where, size_t wanted,
                              unsigned char **bytes) {
    tdsnn_status status = check_range(r, fd, where, wanted);
    if (status != TDSNN_OK) {
        return status;
    }
    unsigned char *read = td_alloc(r->ctx, wanted, 1);
    status = read == NULL ? TDSNN_ERR_RUNTIME : read_range(r, fd, where, wanted, read);
    if (status != TDSNN_OK) {
        td_free(read);
        return status;
    }
    *bytes = read;
    return TDSNN_OK;
}

tdsnn_status td_read_external(td_reader *r, td_wire tensor, size_t wanted, unsigned char **bytes) {
    place where = {0};
    int fd = -1;
    tdsnn_status status = read_place(r, tensor, &where);
    if (status != TDSNN_OK) {
        return status;
    }
    if (where.has_length && where.length != wanted) {
        return td_error(r->ctx, TDSNN_ERR_INPUT,
                        "its dimensions ask for %zu bytes, but its external data have %zu", wanted,
                        where.length);
    }
    /* many tensors may name the same bytes: without this a small file could ask for any memory */
    if (wanted > TD_ONNX_LIMIT - r->external_bytes) {
        return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED, "the external data exceed %zu bytes",
                        TD_ONNX_LIMIT);
    }
    status = open_below(r, where.file, &fd);
    if (status != TDSNN_OK) {
        return status;
    }
    status = read_file(r, fd, &where, wanted, bytes);
    close(fd);
    r->external_bytes += status == TDSNN_OK ? wanted : 0;
    return status;
}
