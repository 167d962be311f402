/* JPEG by libjpeg-turbo. The library reports errors by a callback that must not return: it jumps
 * out of td_jpeg_decode's one call, and all that must outlive the jump is in the decoder. */
#include <setjmp.h>
#include <stdio.h>
/* jpeglib.h needs stdio.h before it. */
#include <jerror.h>
#include <jpeglib.h>

#include "base/memory.h"
#include "data/picture_internal.h"

/* Progressive files have ten or so; each costs a pass over the picture. */
#define MAX_SCANS 64

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    tdsnn_context *ctx;
    const char *path;
    td_picture *picture;
    tdsnn_status status; /* of what was wrong */
} decoder;

static decoder *decoder_of(j_common_ptr jpeg) {
    return jpeg->client_data;
}

static void fail(j_common_ptr jpeg) {
    decoder *d = decoder_of(jpeg);
    char cause[JMSG_LENGTH_MAX];
    d->errors.format_message(jpeg, cause);
    d->status = td_error(d->ctx, TDSNN_ERR_INPUT, "%s: damaged JPEG: %s; get the file again",
                         d->path, cause);
    longjmp(d->escape, 1);
}

/* Level -1 is a warning: data that are damaged or cut off. Bytes between markers harm nothing. */
static void hear(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->msg_code != JWRN_EXTRANEOUS_DATA) {
        fail(jpeg);
    }
}

static void watch(j_common_ptr jpeg) {
    decoder *d = decoder_of(jpeg);
    if (d->jpeg.input_scan_number > MAX_SCANS) {
        d->status = td_error(d->ctx, TDSNN_ERR_INPUT,
                             "%s: a JPEG of more than %d scans is not read; save it anew", d->path,
                             MAX_SCANS);
        longjmp(d->escape, 1);
    }
}

/* Whether the file has a bit for each block of each channel, the least that a Huffman code takes,
 * so that a few bytes do not ask for much memory. */
static bool can_hold(const decoder *d, size_t size) {
    uint64_t blocks = 0;
    for (int i = 0; i < d->jpeg.num_components; i++) {
        const jpeg_component_info *c = &d->jpeg.comp_info[i];
        blocks += (uint64_t)c->width_in_blocks * c->height_in_blocks;
    }
    return blocks / 8 <= size;
}

/* Chooses grey or RGB, and makes room. */
static tdsnn_status prepare(decoder *d, size_t size) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    if (jpeg->num_components != 1 && jpeg->num_components != 3) {
        return td_error(d->ctx, TDSNN_ERR_INPUT,
                        "%s: a %s JPEG of %d channels is not read; convert it to RGB", d->path,
                        jpeg->num_components == 4 ? "CMYK" : "non-RGB", jpeg->num_components);
    }
    if (jpeg->arith_code) { /* the library would not notice that it is cut off */
        return td_error(d->ctx, TDSNN_ERR_INPUT,
                        "%s: a JPEG with arithmetic coding is not read; save it anew", d->path);
    }
    if (!can_hold(d, size)) {
        return td_error(
            d->ctx, TDSNN_ERR_INPUT,
            "%s: damaged JPEG: %zu bytes cannot hold %u x %u pixels; get the file again", d->path,
            size, jpeg->image_width, jpeg->image_height);
    }
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    tdsnn_status status = td_picture_create(d->ctx, (int)jpeg->image_width, (int)jpeg->image_height,
                                            jpeg->num_components, d->picture);
    return status == TDSNN_OK ? TDSNN_OK : td_error_in(d->ctx, status, d->path);
}

static void decode(decoder *d, const unsigned char *bytes, size_t size) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_mem_src(jpeg, bytes, (unsigned long)size);
    jpeg_read_header(jpeg, TRUE);
    d->status = prepare(d, size);
    if (d->status != TDSNN_OK) {
        return;
    }
    jpeg_start_decompress(jpeg);
    size_t row = (size_t)d->picture->width * (size_t)d->picture->channels;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW line = d->picture->pixels + jpeg->output_scanline * row;
        jpeg_read_scanlines(jpeg, &line, 1);
    }
    jpeg_finish_decompress(jpeg);
}

tdsnn_status td_jpeg_decode(tdsnn_context *ctx, const char *path, const unsigned char *bytes,
                            size_t size, td_picture *picture) {
    decoder *d = td_alloc(ctx, 1, sizeof *d);
    if (d == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    d->ctx = ctx;
    d->path = path;
    d->picture = picture;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = fail;
    d->errors.emit_message = hear;
    d->jpeg.client_data = d;
    if (setjmp(d->escape) == 0) {
        jpeg_create_decompress(&d->jpeg); /* keeps err and client_data */
        d->progress.progress_monitor = watch;
        d->jpeg.progress = &d->progress;
        decode(d, bytes, size);
    }
    jpeg_destroy_decompress(&d->jpeg);
    tdsnn_status status = d->status;
    td_free(d);
    return status;
}
