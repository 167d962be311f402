/* Which pictures a path stands for, and their classes. */
#ifndef TD_DATA_IMAGE_LIST_H
#define TD_DATA_IMAGE_LIST_H

#include "base/memory.h"

typedef struct td_image {
    const char *path;
    int label; /* -1: none */
} td_image;

typedef struct td_image_list {
    td_arena *arena; /* has the paths */
    td_image *images;
    size_t count, capacity;
    bool labelled;
    int classes;
} td_image_list;

/* Lists a picture, a folder with val.txt, or a folder with a folder a class. Every listed file is
 * there and, links followed, inside the folder.
 * Errors: TDSNN_ERR_INPUT. Memory: td_image_list_free, also after an error. */
tdsnn_status td_image_list_read(tdsnn_context *ctx, const char *path, td_image_list *list);
void td_image_list_free(td_image_list *list);

#endif
