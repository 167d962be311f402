/* Files written whole or not at all, whatever goes wrong on the way. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/memory.h"
#include "scratch.h"
#include "tap.h"

static tdsnn_context *ctx;
static bool no_links; /* as on FAT and many network file systems */

/* Stands before the C library's, for the code under test too. */
int link(const char *from, const char *to) {
    if (no_links) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* Writes `size` times the byte and commits. */
static tdsnn_status write_bytes(const char *path, bool force, char byte, size_t size) {
    td_output *output;
    td_error_clear(ctx);
    tdsnn_status status = td_output_open(ctx, path, force, &output);
    for (size_t i = 0; status == TDSNN_OK && i < size; i++) {
        fputc(byte, td_output_stream(output));
    }
    return status == TDSNN_OK ? td_output_commit(output) : status;
}

/* Whether the file holds `size` times the byte. */
static bool holds(const char *path, char byte, size_t size) {
    unsigned char *data = NULL;
    size_t got = 0;
    td_error_clear(ctx);
    bool same = td_file_read(ctx, path, 1 << 20, &data, &got) == TDSNN_OK && got == size;
    for (size_t i = 0; same && i < size; i++) {
        same = data[i] == (unsigned char)byte;
    }
    td_free(data);
    return same;
}

static bool said(const char *text) {
    return strstr(tdsnn_last_error(ctx), text) != NULL;
}

static void test_replacing(const char *path) {
    ok(write_bytes(path, false, 'a', 100) == TDSNN_OK && holds(path, 'a', 100) &&
           scratch_count() == 1,
       "a file appears under its name and no other%s", no_links ? ", without links too" : "");
    ok(write_bytes(path, false, 'b', 5) == TDSNN_ERR_USAGE && said("--force") &&
           holds(path, 'a', 100),
       "it is not replaced unasked");
    ok(write_bytes(path, true, 'c', 5) == TDSNN_OK && holds(path, 'c', 5) && scratch_count() == 1,
       "it is replaced when that is wanted");
    unlink(path);
    td_output *output;
    ok(td_output_open(ctx, path, false, &output) == TDSNN_OK && scratch_count() == 1 &&
           scratch_write("out", "xx", 2) != NULL && td_output_commit(output) == TDSNN_ERR_RUNTIME &&
           said("exists") && holds(path, 'x', 2) && scratch_count() == 1,
       "nor is one that has appeared since it was opened");
    unlink(path);
}

static void test_places(const char *path) {
    mkdir(path, 0777);
    ok(write_bytes(path, false, 'a', 1) == TDSNN_ERR_USAGE && said("not a regular file"),
       "a folder is no output, and --force would not help: %s", tdsnn_last_error(ctx));
    ok(write_bytes(path, true, 'a', 1) == TDSNN_ERR_USAGE && said("not a regular file"),
       "not even with force");
    rmdir(path);
    ok(write_bytes(scratch_path("missing/out"), false, 'a', 1) == TDSNN_ERR_RUNTIME &&
           said("No such file"),
       "a folder that is not there: %s", tdsnn_last_error(ctx));
    td_output *output;
    td_error_clear(ctx);
    ok(td_output_open(ctx, path, false, &output) == TDSNN_OK, "an output is opened");
    td_output_discard(output);
    ok(scratch_count() == 0, "and leaves nothing when it is discarded");
}

/* A limit of the file size stands for a full disk. */
static void test_full(const char *path, size_t size) {
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 1000;
    scratch_write("out", "old", 3);
    setrlimit(RLIMIT_FSIZE, &small);
    tdsnn_status status = write_bytes(path, true, 'a', size);
    setrlimit(RLIMIT_FSIZE, &before);
    ok(status == TDSNN_ERR_RUNTIME && said(strerror(EFBIG)), "%zu bytes where 1000 fit: %s", size,
       tdsnn_last_error(ctx));
    unsigned char old[4];
    ok(scratch_read("out", old, 4) == 3 && memcmp(old, "old", 3) == 0 && scratch_count() == 1,
       "the old file stays and nothing else");
    unlink(path);
}

int main(void) {
    ctx = tdsnn_context_create();
    signal(SIGXFSZ, SIG_IGN);
    const char *path = strdup(scratch_path("out"));
    test_replacing(path);
    no_links = true;
    test_replacing(path);
    no_links = false;
    test_places(path);
    test_full(path, 2000);
    test_full(path, 100000);
    scratch_clean();
    free((char *)path);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
