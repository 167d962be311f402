/* A folder of a test's own, and files in it. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[64];

/* The path of NAME in the folder; good until the fourth call after. */
static inline const char *scratch_path(const char *name) {
    static char paths[4][128];
    static int next;
    if (scratch_folder[0] == '\0') {
        strcpy(scratch_folder, "/tmp/tdsnn-test-XXXXXX");
        if (mkdtemp(scratch_folder) == NULL) {
            printf("Bail out! no folder for temporary files\n");
            exit(1);
        }
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline const char *scratch_write(const char *name, const void *bytes, size_t size) {
    const char *path = scratch_path(name);
    unlink(path); /* some file systems wait for the disk when a file is cut to nothing */
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        printf("Bail out! cannot write %s\n", path);
        exit(1);
    }
    return path;
}

/* At most `capacity` bytes; the file's size. */
static inline size_t scratch_read(const char *name, void *bytes, size_t capacity) {
    FILE *file = fopen(scratch_path(name), "rb");
    size_t size = file == NULL ? 0 : fread(bytes, 1, capacity, file);
    if (file != NULL) {
        fclose(file);
    }
    return size;
}

static inline int scratch_count(void) {
    DIR *folder = opendir(scratch_path("."));
    int count = -2; /* . and .. */
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

/* Removes the folder and the plain files in it. */
static inline void scratch_clean(void) {
    DIR *folder = opendir(scratch_path("."));
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", scratch_folder, entry->d_name);
        unlink(path);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    rmdir(scratch_folder);
}

#endif
