/* What the picture files share. */
#ifndef TD_DATA_PICTURE_INTERNAL_H
#define TD_DATA_PICTURE_INTERNAL_H

#include "data/picture.h"

/* The largest file read, side and number of pixels. */
#define TD_PICTURE_FILE_LIMIT ((size_t)256 << 20)
#define TD_PICTURE_SIDE 32768
#define TD_PICTURE_PIXELS ((size_t)1 << 26)

/* Gives it memory for its sizes. Errors: TDSNN_ERR_INPUT if there are too many pixels. */
tdsnn_status td_picture_create(tdsnn_context *ctx, int width, int height, int channels,
                               td_picture *picture);

/* Decode the file's bytes; messages start with `path`. `picture` is freed by the caller, also after
 * an error. */
tdsnn_status td_jpeg_decode(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                            size_t size, td_picture *picture);
tdsnn_status td_png_decode(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                           size_t size, td_picture *picture);

#endif
