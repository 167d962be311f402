#include "data/picture.h"

#include "base/memory.h"
#include "hostile.h"
#include "pillow_golden.h"
#include "tap.h"

enum { WIDTH = 37, HEIGHT = 23 };

/* The picture that the golden values were made of: pixel() of tests/interop/pillow_golden.py. */
static td_picture source(tdsnn_context *ctx) {
    td_picture p = {WIDTH, HEIGHT, 3, td_alloc(ctx, WIDTH * HEIGHT, 3)};
    for (int i = 0; p.pixels != NULL && i < WIDTH * HEIGHT * 3; i++) {
        int c = i % 3, x = i / 3 % WIDTH, y = i / 3 / WIDTH;
        p.pixels[i] =
            (unsigned char)((x * (5 + c) + y * 11 + x / 9 * 71 * ((y / 7 + c) % 2)) % 256);
    }
    return p;
}

/* How far the pixels are from `golden`; 256 if there are not as many. */
static int difference(const td_picture *p, const unsigned char *golden, size_t size) {
    size_t count = (size_t)p->width * (size_t)p->height * (size_t)p->channels;
    int most = count == size ? 0 : 256;
    for (size_t i = 0; i < count && most < 256; i++) {
        int d = abs(p->pixels[i] - golden[i]);
        most = d > most ? d : most;
    }
    return most;
}

#define GOLDEN(name) golden_##name, sizeof golden_##name

static void test_resize(tdsnn_context *ctx) {
    static const struct {
        int size, width, height;
        const unsigned char *golden;
        size_t length;
    } cases[] = {{7, 11, 7, GOLDEN(resized_7)},
                 {11, 17, 11, GOLDEN(resized_11)},
                 {22, 35, 22, GOLDEN(resized_22)},
                 {40, 64, 40, GOLDEN(resized_40)}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        td_picture p = source(ctx);
        ok(td_picture_resize(ctx, cases[i].size, &p) == TDSNN_OK && p.width == cases[i].width &&
               p.height == cases[i].height && difference(&p, cases[i].golden, cases[i].length) == 0,
           "resized to %d as Pillow does, bit for bit", cases[i].size);
        td_picture_free(&p);
    }
    td_picture p = {30000, 1, 1, td_alloc(ctx, 30000, 1)};
    ok(td_picture_resize(ctx, 2, &p) == TDSNN_ERR_INPUT && p.width == 30000,
       "a line that would become too long is refused");
    td_picture_free(&p);
}

static void test_crop(tdsnn_context *ctx) {
    static const struct {
        int size;
        const unsigned char *golden;
        size_t length;
    } cases[] = {{8, GOLDEN(cropped_8)},
                 {9, GOLDEN(cropped_9)},
                 {10, GOLDEN(cropped_10)},
                 {11, GOLDEN(cropped_11)}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        td_picture p = source(ctx);
        ok(td_picture_crop(ctx, cases[i].size, &p) == TDSNN_OK &&
               difference(&p, cases[i].golden, cases[i].length) == 0,
           "cropped to %d as torchvision does", cases[i].size);
        td_picture_free(&p);
    }
    td_picture p = source(ctx);
    ok(td_picture_crop(ctx, 24, &p) == TDSNN_ERR_INPUT, "too small to crop");
    td_picture_free(&p);
}

static void test_decode(tdsnn_context *ctx) {
    static const struct {
        const char *name;
        const unsigned char *file;
        size_t size;
        const unsigned char *golden;
        size_t length;
    } cases[] = {
        {"a JPEG", GOLDEN(jpeg), GOLDEN(jpeg_pixels)},
        {"a progressive JPEG", GOLDEN(jpeg_progressive), GOLDEN(jpeg_progressive_pixels)},
        {"a grey JPEG", GOLDEN(jpeg_grey), GOLDEN(jpeg_grey_pixels)},
        {"a PNG", GOLDEN(png), GOLDEN(png_pixels)},
        {"a grey PNG", GOLDEN(png_grey), GOLDEN(png_grey_pixels)},
        {"a PNG with a palette", GOLDEN(png_palette), GOLDEN(png_palette_pixels)},
        {"a PNG with alpha", GOLDEN(png_alpha), GOLDEN(png_alpha_pixels)},
        {"a PNG of one bit", GOLDEN(png_one_bit), GOLDEN(png_one_bit_pixels)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        td_picture p = {0};
        const char *path = scratch_write("a", cases[i].file, cases[i].size);
        /* another release of libjpeg may round otherwise */
        ok(td_picture_load(ctx, path, &p) == TDSNN_OK && p.width == 19 && p.height == 13 &&
               difference(&p, cases[i].golden, cases[i].length) <= (i < 3),
           "%s is decoded as Pillow does", cases[i].name);
        td_picture_free(&p);
    }
    td_picture p = {0};
    bool right = td_picture_load(ctx, scratch_write("a", GOLDEN(png_sixteen)), &p) == TDSNN_OK &&
                 p.channels == 1;
    for (int i = 0; right && i < 15; i++) {
        right = p.pixels[i] == 4000 * i / 256;
    }
    ok(right, "of 16 bits the upper 8 are taken");
    td_picture_free(&p);
}

static void test_channels(tdsnn_context *ctx) {
    td_picture p = {0};
    td_picture_load(ctx, scratch_write("a", GOLDEN(png)), &p);
    ok(td_picture_set_channels(ctx, 1, &p) == TDSNN_OK && difference(&p, GOLDEN(grey)) == 0,
       "colour becomes grey as Pillow makes it");
    ok(td_picture_set_channels(ctx, 3, &p) == TDSNN_OK && p.channels == 3 &&
           p.pixels[3] == golden_grey[1] && p.pixels[5] == golden_grey[1],
       "grey becomes three equal channels");
    td_picture_free(&p);
}

static bool refused(tdsnn_context *ctx, const void *bytes, size_t size, const char *words) {
    td_picture p = {0};
    const char *path = scratch_write("a", bytes, size);
    td_error_clear(ctx); /* as a public call does */
    tdsnn_status status = td_picture_load(ctx, path, &p);
    bool right = status == TDSNN_ERR_INPUT && strstr(tdsnn_last_error(ctx), words) != NULL &&
                 strstr(tdsnn_last_error(ctx), path) != NULL;
    if (!right) {
        printf("# status %d: %s\n", status, tdsnn_last_error(ctx));
    }
    td_picture_free(&p);
    return right;
}

/* A copy of a JPEG, of another kind and size; bytes: [2000]. */
static void spoil_frame(unsigned char *bytes, unsigned char kind, int side) {
    memcpy(bytes, golden_jpeg, sizeof golden_jpeg);
    for (size_t i = 0; i + 8 < sizeof golden_jpeg; i++) {
        if (bytes[i] == 0xff && bytes[i + 1] == 0xc0) { /* the frame: height and width */
            bytes[i + 1] = kind;
            bytes[i + 5] = bytes[i + 7] = (unsigned char)(side >> 8);
            bytes[i + 6] = bytes[i + 8] = (unsigned char)side;
        }
    }
}

static void test_refusals(tdsnn_context *ctx) {
    unsigned char bytes[2000];
    ok(refused(ctx, GOLDEN(jpeg_cmyk), "CMYK"), "CMYK is refused by name");
    ok(refused(ctx, "GIF89a", 6, "neither"), "another format");
    ok(refused(ctx, "", 0, "neither"), "an empty file");
    spoil_frame(bytes, 0xc9, 16);
    ok(refused(ctx, bytes, sizeof golden_jpeg, "arithmetic"), "arithmetic coding");
    spoil_frame(bytes, 0xc0, 8000);
    ok(refused(ctx, bytes, sizeof golden_jpeg, "cannot hold 8000 x 8000"),
       "a JPEG that is too small for its size");
    spoil_frame(bytes, 0xc0, 61680);
    ok(refused(ctx, bytes, sizeof golden_jpeg, "61680 x 61680"), "a JPEG that says it is huge");
}

/* Files of all kinds, damaged, read as data. */
static void test_hostile(tdsnn_context *ctx) {
    static const struct {
        const char *name;
        const unsigned char *file;
        size_t size;
    } cases[] = {{"a.jpg", GOLDEN(jpeg)},
                 {"progressive.jpg", GOLDEN(jpeg_progressive)},
                 {"a.png", GOLDEN(png)},
                 {"palette.png", GOLDEN(png_palette)}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char spec[160];
        snprintf(spec, sizeof spec, "images:%s",
                 scratch_write(cases[i].name, cases[i].file, cases[i].size));
        hostile_file(ctx, cases[i].name, spec, HOSTILE_ZIP);
    }
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_resize(ctx);
    test_crop(ctx);
    test_decode(ctx);
    test_channels(ctx);
    test_refusals(ctx);
    test_hostile(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
