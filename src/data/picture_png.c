/* PNG by libpng. The library reports errors by a callback that must not return: it jumps out of
 * td_png_decode's one call, and all that must outlive the jump is in the decoder. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/memory.h"
#include "data/picture_internal.h"

/* The most that one of a file's other chunks, text and profiles, may unpack to. */
#define CHUNK_LIMIT ((png_alloc_size_t)8 << 20)
#define CHUNK_COUNT 1000

/* Deflate's best. */
#define PACKING 1032

typedef struct decoder {
    tdsnn_context *ctx;
    const char *path;
    const unsigned char *bytes;
    size_t size, position;
    td_picture *picture;
    png_structp png;
    png_infop info;
    png_bytep *rows; /* [height] */
    tdsnn_status status;
} decoder;

static void fail(png_structp png, png_const_charp cause) {
    decoder *d = png_get_error_ptr(png);
    d->status = td_error(d->ctx, TDSNN_ERR_INPUT, "%s: damaged PNG: %s; get the file again",
                         d->path, cause);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp warning) {
    (void)png;
    (void)warning;
}

static void pull(png_structp png, png_bytep out, size_t size) {
    decoder *d = png_get_io_ptr(png);
    if (size > d->size - d->position) {
        png_error(png, "it is cut off");
    }
    memcpy(out, d->bytes + d->position, size);
    d->position += size;
}

/* Whatever it holds becomes 8-bit grey or RGB. */
static void set_transformations(png_structp png) {
    png_set_expand(png);   /* palettes to RGB, 1, 2 and 4 bits to 8, transparency to alpha */
    png_set_strip_16(png); /* the upper 8 bits */
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
}

/* The packed size that these rows need at least, so that a few bytes do not ask for much memory. */
static bool can_hold(const decoder *d) {
    uint64_t bits = (uint64_t)png_get_image_width(d->png, d->info) *
                    png_get_bit_depth(d->png, d->info) * png_get_channels(d->png, d->info);
    uint64_t bytes = (bits + 7) / 8 * png_get_image_height(d->png, d->info);
    return bytes <= (uint64_t)d->size * PACKING;
}

static tdsnn_status prepare(decoder *d) {
    png_uint_32 width = png_get_image_width(d->png, d->info);
    png_uint_32 height = png_get_image_height(d->png, d->info);
    if (!can_hold(d)) {
        return td_error(d->ctx, TDSNN_ERR_INPUT,
                        "%s: damaged PNG: %zu bytes cannot hold %u x %u pixels; get the file again",
                        d->path, d->size, width, height);
    }
    set_transformations(d->png);
    png_read_update_info(d->png, d->info);
    tdsnn_status status = td_picture_create(d->ctx, (int)width, (int)height,
                                            (int)png_get_channels(d->png, d->info), d->picture);
    if (status != TDSNN_OK) {
        return td_error_in(d->ctx, status, d->path);
    }
    size_t row = png_get_rowbytes(d->png, d->info);
    if (row != (size_t)width * (size_t)d->picture->channels) {
        png_error(d->png, "rows of an unknown kind");
    }
    d->rows = td_alloc(d->ctx, height, sizeof *d->rows);
    for (size_t y = 0; d->rows != NULL && y < height; y++) {
        d->rows[y] = d->picture->pixels + y * row;
    }
    return d->rows == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static void decode(decoder *d) {
    png_set_read_fn(d->png, d, pull);
    png_set_user_limits(d->png, TD_PICTURE_SIDE, TD_PICTURE_SIDE);
    png_set_chunk_malloc_max(d->png, CHUNK_LIMIT);
    png_set_chunk_cache_max(d->png, CHUNK_COUNT);
    png_read_info(d->png, d->info);
    d->status = prepare(d);
    if (d->status == TDSNN_OK) {
        png_read_image(d->png, d->rows);
        png_read_end(d->png, NULL);
    }
}

tdsnn_status td_png_decode(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                           size_t size, td_picture *picture) {
    decoder *d = td_alloc(ctx, 1, sizeof *d);
    if (d == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *d = (decoder){.ctx = ctx, .path = path, .bytes = bytes, .size = size, .picture = picture};
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, fail, ignore);
    d->info = d->png == NULL ? NULL : png_create_info_struct(d->png);
    if (d->info == NULL) {
        d->status = td_error(ctx, TDSNN_ERR_RUNTIME, "%s: no memory to decode it", path);
    } else if (setjmp(png_jmpbuf(d->png)) == 0) {
        decode(d);
    }
    png_destroy_read_struct(&d->png, &d->info, NULL);
    td_free(d->rows);
    tdsnn_status status = d->status;
    td_free(d);
    return status;
}
