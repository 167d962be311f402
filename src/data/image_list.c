#include "data/image_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "data/data.h"

#define LIST_LIMIT ((size_t)64 << 20)

static tdsnn_status add(tdsnn_context *ctx, td_image_list *list, const char *path, int label) {
    tdsnn_status status =
        td_reserve(ctx, &list->images, &list->capacity, list->count + 1, sizeof *list->images);
    if (status == TDSNN_OK) {
        list->images[list->count++] = (td_image){path, label};
        list->classes = label >= list->classes ? label + 1 : list->classes;
    }
    return status;
}

/* That `path` is a regular file which, links followed, lies in the folder `root`, a real path.
 * `place` is where it is named. */
static tdsnn_status check_inside(tdsnn_context *ctx, const char *root, const char *path,
                                 const char *place) {
    char *real = realpath(path, NULL);
    if (real == NULL) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: %s cannot be opened: %s", place, path,
                        strerror(errno));
    }
    size_t length = strlen(root);
    length -= root[length - 1] == '/'; /* the root folder */
    bool inside = strncmp(real, root, length) == 0 && real[length] == '/';
    struct stat info;
    bool regular = stat(real, &info) == 0 && S_ISREG(info.st_mode);
    free(real);
    if (!inside) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: %s leads out of the folder; copy the picture into it", place, path);
    }
    return regular ? TDSNN_OK
                   : td_error(ctx, TDSNN_ERR_INPUT, "%s: %s is not a regular file", place, path);
}

/* ------------------------------------------------------------------------------ a folder a class
 */

static bool is_picture(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t own = strlen(endings[i]);
        if (length > own && strcasecmp(name + length - own, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct names {
    const char **items;
    size_t count, capacity;
} names;

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The paths of the folders in `folder`, or of the pictures, in the order of their names; what
 * starts with a dot is left out. */
static tdsnn_status list_folder(tdsnn_context *ctx, td_arena *arena, const char *folder,
                                bool folders, names *found) {
    DIR *stream = opendir(folder);
    if (stream == NULL) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: cannot be opened: %s", folder, strerror(errno));
    }
    tdsnn_status status = TDSNN_OK;
    for (struct dirent *entry; status == TDSNN_OK && (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.' || (!folders && !is_picture(entry->d_name))) {
            continue;
        }
        char *path = td_arena_printf(arena, "%s/%s", folder, entry->d_name);
        if (path == NULL) {
            status = TDSNN_ERR_RUNTIME;
        } else if (!folders || is_folder(path)) {
            status = td_reserve(ctx, &found->items, &found->capacity, found->count + 1,
                                sizeof *found->items);
            if (status == TDSNN_OK) {
                found->items[found->count++] = path;
            }
        }
    }
    closedir(stream);
    if (found->count > 0) {
        qsort(found->items, found->count, sizeof *found->items, compare_names);
    }
    return status;
}

static tdsnn_status add_class(tdsnn_context *ctx, const char *root, const char *folder, int label,
                              td_image_list *list) {
    names files = {0};
    tdsnn_status status = list_folder(ctx, list->arena, folder, false, &files);
    for (size_t i = 0; i < files.count && status == TDSNN_OK; i++) {
        status = check_inside(ctx, root, files.items[i], folder);
        if (status == TDSNN_OK) {
            status = add(ctx, list, files.items[i], label);
        }
    }
    td_free(files.items);
    return status;
}

static tdsnn_status read_classes(tdsnn_context *ctx, const char *root, const char *path,
                                 td_image_list *list) {
    names folders = {0};
    tdsnn_status status = list_folder(ctx, list->arena, path, true, &folders);
    if (folders.count > TD_MAX_CLASSES) {
        status = td_error(ctx, TDSNN_ERR_INPUT, "%s: has %zu folders; at most %d classes are read",
                          path, folders.count, TD_MAX_CLASSES);
    }
    for (size_t i = 0; i < folders.count && status == TDSNN_OK; i++) {
        status = add_class(ctx, root, folders.items[i], (int)i, list);
    }
    if (status == TDSNN_OK && list->count == 0) {
        status =
            td_error(ctx, TDSNN_ERR_INPUT,
                     "%s: has neither val.txt nor folders with .jpg, .jpeg or .png files, one a "
                     "class",
                     path);
    }
    list->classes = (int)folders.count;
    td_free(folders.items);
    return status;
}

/* --------------------------------------------------------------------------------------- val.txt
 */

/* Cuts the class index from the end of a line; -1 if there is none. */
static int cut_label(char *line) {
    size_t length = strlen(line), end;
    while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL) {
        line[--length] = '\0';
    }
    end = length;
    int label = 0;
    while (length > 0 && line[length - 1] >= '0' && line[length - 1] <= '9') {
        length--;
    }
    if (length == end || end - length > 7 || length == 0 ||
        strchr(" \t", line[length - 1]) == NULL) {
        return -1;
    }
    label = atoi(line + length);
    while (length > 0 && strchr(" \t", line[length - 1]) != NULL) {
        line[--length] = '\0';
    }
    return length > 0 && label < TD_MAX_CLASSES ? label : -1;
}

/* Whether it goes up somewhere: "..", "a/../b". */
static bool goes_up(const char *name) {
    for (; name != NULL; name = strchr(name, '/')) {
        name += *name == '/';
        if (strncmp(name, "..", 2) == 0 && (name[2] == '/' || name[2] == '\0')) {
            return true;
        }
    }
    return false;
}

static tdsnn_status add_line(tdsnn_context *ctx, const char *root, const char *folder, char *line,
                             const char *place, td_image_list *list) {
    int label = cut_label(line);
    if (label < 0) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: give a file and its class index, 0 to %d, as in cat.jpg 3", place,
                        TD_MAX_CLASSES - 1);
    }
    if (line[0] == '/' || goes_up(line)) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: '%s' leads out of the folder; name files inside it", place, line);
    }
    char *path = td_arena_printf(list->arena, "%s/%s", folder, line);
    tdsnn_status status = path == NULL ? TDSNN_ERR_RUNTIME : check_inside(ctx, root, path, place);
    return status == TDSNN_OK ? add(ctx, list, path, label) : status;
}

/* `text` ends in a zero, and is taken apart. */
static tdsnn_status add_lines(tdsnn_context *ctx, const char *root, const char *folder,
                              const char *file, char *text, td_image_list *list) {
    tdsnn_status status = TDSNN_OK;
    size_t number = 0;
    for (char *line = text, *next; line != NULL && status == TDSNN_OK; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        number++;
        if (line[strspn(line, " \t\r")] != '\0') {
            char place[600];
            snprintf(place, sizeof place, "%.500s, line %zu", file, number);
            status = add_line(ctx, root, folder, line, place, list);
        }
    }
    if (status == TDSNN_OK && list->count == 0) {
        status = td_error(ctx, TDSNN_ERR_INPUT, "%s: names no pictures", file);
    }
    return status;
}

static tdsnn_status read_list(tdsnn_context *ctx, const char *root, const char *folder,
                              const char *file, td_image_list *list) {
    unsigned char *bytes;
    size_t size;
    tdsnn_status status = check_inside(ctx, root, file, folder);
    if (status == TDSNN_OK) {
        status = td_file_read(ctx, file, LIST_LIMIT, &bytes, &size);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    char *text = td_alloc(ctx, size + 1, 1);
    if (text == NULL) {
        status = TDSNN_ERR_RUNTIME;
    } else if (memchr(bytes, '\0', size) != NULL) {
        status = td_error(ctx, TDSNN_ERR_INPUT, "%s: is not text: it has zero bytes", file);
    } else {
        memcpy(text, bytes, size);
        status = add_lines(ctx, root, folder, file, text, list);
    }
    td_free(text);
    td_free(bytes);
    return status;
}

/* -------------------------------------------------------------------------------------------- all
 */

static tdsnn_status read_folder(tdsnn_context *ctx, const char *path, td_image_list *list) {
    char *root = realpath(path, NULL);
    char *file = td_arena_printf(list->arena, "%s/val.txt", path);
    struct stat info;
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    list->labelled = true;
    if (root == NULL) {
        status = td_error(ctx, TDSNN_ERR_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    } else if (file != NULL) {
        status = lstat(file, &info) == 0 ? read_list(ctx, root, path, file, list)
                                         : read_classes(ctx, root, path, list);
    }
    free(root);
    return status;
}

tdsnn_status td_image_list_read(tdsnn_context *ctx, const char *path, td_image_list *list) {
    *list = (td_image_list){.arena = td_arena_create(ctx)};
    if (list->arena == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (is_folder(path)) {
        return read_folder(ctx, path, list);
    }
    char *copy = td_arena_strdup(list->arena, path);
    return copy == NULL ? TDSNN_ERR_RUNTIME : add(ctx, list, copy, -1);
}

void td_image_list_free(td_image_list *list) {
    td_free(list->images);
    td_arena_destroy(list->arena);
    *list = (td_image_list){0};
}
