/* Runs a fuzz target on the files of folders, in the order of their names: the corpora as tests,
 * with any compiler. TAP: a line a folder; a crash ends the program.
 *
 *   replay FOLDER ... */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "tap.h"

static bool run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return false;
    }
    size_t size = (size_t)ftell(file);
    uint8_t *bytes = malloc(size > 0 ? size : 1); /* just as many, so that a byte more is noticed */
    rewind(file);
    bool read = bytes != NULL && fread(bytes, 1, size, file) == size;
    fclose(file);
    if (read) {
        LLVMFuzzerTestOneInput(bytes, size);
    }
    free(bytes);
    return read;
}

static void run_folder(const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort), files = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            failed += !run_file(path);
            files++;
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    ok(files > 0 && failed == 0, "%d files replayed", files);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        run_folder(argv[i]);
    }
    return tap_end();
}
