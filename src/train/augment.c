#include <string.h>

#include "train/feed.h"

/* Moved by -shift .. shift; an axis of one value stays. */
static int draw_move(td_random *random, int shift, int size) {
    return size < 2 ? 0 : (int)td_random_below(random, 2 * (uint64_t)shift + 1) - shift;
}

static void mirror(float *row, int size) {
    for (int i = 0, j = size - 1; i < j; i++, j--) {
        float value = row[i];
        row[i] = row[j];
        row[j] = value;
    }
}

/* to[i] = from[i - by] where there is such a value, 0 elsewhere; |by| <= size. */
static void move_row(const float *from, int size, int by, float *to) {
    int first = by > 0 ? by : 0, end = by > 0 ? size : size + by;
    memset(to, 0, (size_t)size * sizeof *to);
    memcpy(to + first, from + (first - by), (size_t)(end - first) * sizeof *to);
}

static void move(td_shape shape, int down, int right, float *values, float *scratch) {
    size_t width = (size_t)shape.w;
    memcpy(scratch, values, td_shape_count(shape) * sizeof *values);
    for (int c = 0; c < shape.c; c++) {
        size_t plane = (size_t)c * (size_t)shape.h;
        for (int y = 0; y < shape.h; y++) {
            float *to = values + (plane + (size_t)y) * width;
            int from = y - down;
            if (from < 0 || from >= shape.h) {
                memset(to, 0, width * sizeof *to);
            } else {
                move_row(scratch + (plane + (size_t)from) * width, shape.w, right, to);
            }
        }
    }
}

void td_augment(const td_augmentation *augmentation, td_shape shape, td_random *random,
                float *values, float *scratch) {
    if (augmentation->flip && td_random_below(random, 2) == 1) {
        for (size_t row = 0; row < (size_t)shape.c * (size_t)shape.h; row++) {
            mirror(values + row * (size_t)shape.w, shape.w);
        }
    }
    if (augmentation->shift > 0) {
        int down = draw_move(random, augmentation->shift, shape.h);
        int right = draw_move(random, augmentation->shift, shape.w);
        move(shape, down, right, values, scratch);
    }
}
