#include "data/picture.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/picture_internal.h"

tdsnn_status td_picture_create(tdsnn_context *ctx, int width, int height, int channels,
                               td_picture *picture) {
    size_t pixels = 0;
    bool fits = width > 0 && height > 0 && width <= TD_PICTURE_SIDE && height <= TD_PICTURE_SIDE &&
                td_size_mul((size_t)width, (size_t)height, &pixels) && pixels <= TD_PICTURE_PIXELS;
    if (!fits) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "a picture of %d x %d pixels is not read: at most %d a side and %zu in all",
                        width, height, TD_PICTURE_SIDE, TD_PICTURE_PIXELS);
    }
    *picture = (td_picture){width, height, channels, td_alloc(ctx, pixels, (size_t)channels)};
    return picture->pixels == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

void td_picture_free(td_picture *picture) {
    td_free(picture->pixels);
    *picture = (td_picture){0};
}

static tdsnn_status decode(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                           size_t size, td_picture *picture) {
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) {
        return td_jpeg_decode(ctx, path, bytes, size, picture);
    }
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) {
        return td_png_decode(ctx, path, bytes, size, picture);
    }
    return td_error(ctx, TDSNN_ERR_INPUT,
                    "%s: starts neither as a JPEG nor as a PNG file; get it again, or convert it",
                    path);
}

tdsnn_status td_picture_load(tdsnn_context *ctx, const char *path, td_picture *picture) {
    unsigned char *bytes;
    size_t size;
    tdsnn_status status = td_file_read(ctx, path, TD_PICTURE_FILE_LIMIT, &bytes, &size);
    if (status != TDSNN_OK) {
        return status;
    }
    td_picture decoded = {0};
    status = decode(ctx, path, bytes, size, &decoded);
    td_free(bytes);
    if (status != TDSNN_OK) {
        td_picture_free(&decoded);
        return status;
    }
    *picture = decoded;
    return TDSNN_OK;
}

/* ITU-R BT.601 in 16-bit fixed point; the weights sum to 1. */
static unsigned char grey_of(const unsigned char *rgb) {
    return (unsigned char)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

tdsnn_status td_picture_set_channels(tdsnn_context *ctx, int channels, td_picture *picture) {
    if (picture->channels == channels) {
        return TDSNN_OK;
    }
    td_picture made;
    tdsnn_status status = td_picture_create(ctx, picture->width, picture->height, channels, &made);
    if (status != TDSNN_OK) {
        return status;
    }
    size_t count = (size_t)made.width * (size_t)made.height;
    for (size_t i = 0; i < count; i++) {
        if (channels == 1) {
            made.pixels[i] = grey_of(picture->pixels + 3 * i);
        } else {
            memset(made.pixels + 3 * i, picture->pixels[i], 3);
        }
    }
    td_picture_free(picture);
    *picture = made;
    return TDSNN_OK;
}

/* Half of the margin, a half pixel to the even side. */
static size_t margin(int length, int size) {
    int difference = length - size, half = difference / 2;
    return (size_t)(half + (difference % 2 != 0 && half % 2 != 0));
}

tdsnn_status td_picture_crop(tdsnn_context *ctx, int size, td_picture *picture) {
    if (picture->width < size || picture->height < size) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%d x %d pixels are too few to crop %d x %d",
                        picture->width, picture->height, size, size);
    }
    td_picture made;
    tdsnn_status status = td_picture_create(ctx, size, size, picture->channels, &made);
    if (status != TDSNN_OK) {
        return status;
    }
    size_t pixel = (size_t)picture->channels, row = (size_t)size * pixel;
    size_t left = margin(picture->width, size), top = margin(picture->height, size);
    for (size_t y = 0; y < (size_t)size; y++) {
        memcpy(made.pixels + y * row,
               picture->pixels + ((top + y) * (size_t)picture->width + left) * pixel, row);
    }
    td_picture_free(picture);
    *picture = made;
    return TDSNN_OK;
}
