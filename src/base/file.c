#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static tdsnn_status read_all(tdsnn_context *ctx, const char *path, int fd, size_t limit,
                             unsigned char **data, size_t *size) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: not a regular file", path);
    }
    if (info.st_size < 0 || (uint64_t)info.st_size > limit) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: %lld bytes, but at most %zu are read", path,
                        (long long)info.st_size, limit);
    }
    size_t wanted = (size_t)info.st_size, have = 0;
    unsigned char *bytes = td_alloc(ctx, wanted + 1, 1);
    if (bytes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    while (have < wanted) {
        ssize_t got = read(fd, bytes + have, wanted - have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            td_free(bytes);
            return td_error(ctx, TDSNN_ERR_INPUT, "%s: reading stopped after %zu of %zu bytes: %s",
                            path, have, wanted, got < 0 ? strerror(errno) : "the file got shorter");
        }
        have += (size_t)got;
    }
    *data = bytes;
    *size = wanted;
    return TDSNN_OK;
}

tdsnn_status td_file_read(tdsnn_context *ctx, const char *path, size_t limit, unsigned char **data,
                          size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not make us wait */
    if (fd < 0) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    }
    tdsnn_status status = read_all(ctx, path, fd, limit, data, size);
    close(fd);
    return status;
}

/* Room for the ending of the temporary name. */
#define SUFFIX 32

struct td_output {
    tdsnn_context *ctx;
    FILE *stream;
    bool force;
    char *path, *temporary; /* both in the same block as this struct */
};

tdsnn_status td_output_open(tdsnn_context *ctx, const char *path, bool force, td_output **output) {
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && !S_ISREG(info.st_mode)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%s: is not a regular file and is not replaced; give another name", path);
    }
    if (exists && !force) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%s: exists already; give --force to replace it, or another name", path);
    }
    size_t length = strlen(path);
    td_output *out = td_alloc(ctx, sizeof *out + 2 * length + 1 + SUFFIX, 1);
    if (out == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    out->ctx = ctx;
    out->force = force;
    out->path = (char *)(out + 1);
    out->temporary = out->path + length + 1;
    memcpy(out->path, path, length + 1);
    int fd = -1;
    for (unsigned attempt = 0; fd < 0 && attempt < 100; attempt++) {
        snprintf(out->temporary, length + SUFFIX, "%s.%ld-%u.tmp", path, (long)getpid(), attempt);
        fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) {
            break;
        }
    }
    out->stream = fd < 0 ? NULL : fdopen(fd, "wb");
    if (out->stream == NULL) {
        tdsnn_status status =
            td_error(ctx, TDSNN_ERR_RUNTIME, "%s: cannot be written: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
            unlink(out->temporary);
        }
        td_free(out);
        return status;
    }
    *output = out;
    return TDSNN_OK;
}

FILE *td_output_stream(td_output *output) {
    return output->stream;
}

const char *td_output_name(const td_output *output) {
    return output->temporary;
}

/* Makes the rename itself durable; not every file system can, so a failure is no error. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Gives the file its name, replacing none unless `force`; false with errno set. The temporary name
 * may be left. */
static bool publish(const td_output *output) {
    if (!output->force) {
        /* refuses to replace a file that has appeared in the meantime */
        if (link(output->temporary, output->path) == 0) {
            return true;
        }
        bool no_links = errno == EPERM || errno == ENOSYS || errno == ENOTSUP;
        if (!no_links) {
            return false;
        }
        /* FAT and some network file systems have none: the next best, all but a moment */
        if (access(output->path, F_OK) == 0) {
            errno = EEXIST;
            return false;
        }
    }
    return rename(output->temporary, output->path) == 0;
}

tdsnn_status td_output_commit(td_output *output) {
    errno = 0;
    bool written = fflush(output->stream) == 0 && !ferror(output->stream) &&
                   fsync(fileno(output->stream)) == 0;
    int cause = errno;
    written = fclose(output->stream) == 0 && written;
    output->stream = NULL;
    tdsnn_status status = TDSNN_OK;
    if (written && !publish(output)) {
        cause = errno;
        written = false;
    }
    if (!written) {
        status = td_error(output->ctx, TDSNN_ERR_RUNTIME, "%s: cannot be written: %s", output->path,
                          cause == 0 ? "input/output error" : strerror(cause));
    } else {
        sync_folder(output->path);
    }
    unlink(output->temporary); /* gone already after a rename */
    td_free(output);
    return status;
}

void td_output_discard(td_output *output) {
    if (output == NULL) {
        return;
    }
    fclose(output->stream);
    unlink(output->temporary);
    td_free(output);
}
