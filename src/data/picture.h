/* One picture: decoded, brought to size. */
#ifndef TD_DATA_PICTURE_H
#define TD_DATA_PICTURE_H

#include "base/context.h"

/* pixels [height][width][channels], 0..255; channels 1 (grey) or 3 (red, green, blue). */
typedef struct td_picture {
    int width, height, channels;
    unsigned char *pixels;
} td_picture;

/* Decodes a JPEG or PNG file; what it is shows in its first bytes. Alpha is dropped, 16 bits a
 * value become 8, EXIF and colour profiles are ignored. Errors: TDSNN_ERR_INPUT naming the file:
 * damaged, cut off, CMYK, too large. Memory: td_picture_free. */
tdsnn_status td_picture_load(tdsnn_context *ctx, const char *path, td_picture *picture);
/* May be empty. */
void td_picture_free(td_picture *picture);

/* Makes it 1 or 3 channels; colour to grey by ITU-R BT.601. */
tdsnn_status td_picture_set_channels(tdsnn_context *ctx, int channels, td_picture *picture);

/* Brings the shorter side to `size`, the other in proportion, rounded down: a triangle as wide as
 * the reduction, columns first, then rows, weights in 22-bit fixed point, each pass rounded to 8
 * bits.
 * Errors: TDSNN_ERR_INPUT, without a name, if the result is too large. */
tdsnn_status td_picture_resize(tdsnn_context *ctx, int size, td_picture *picture);

/* Keeps the size x size pixels in the middle; of an odd margin the even half is before them.
 * Errors: TDSNN_ERR_INPUT, without a name, if it is smaller. */
tdsnn_status td_picture_crop(tdsnn_context *ctx, int size, td_picture *picture);

#endif
