#include "hostile.h"
#include "pillow_golden.h"
#include "tap.h"

static char spec[200];

static tdsnn_status try_open(tdsnn_context *ctx, const tdsnn_data_options *options,
                             tdsnn_data **data) {
    *data = NULL;
    return tdsnn_data_open(ctx, spec, options, data);
}

static bool refused(tdsnn_context *ctx, const char *words) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data;
    tdsnn_status status = try_open(ctx, &options, &data);
    bool right = status == TDSNN_ERR_INPUT && strstr(tdsnn_last_error(ctx), words) != NULL;
    if (!right) {
        printf("# status %d: %s\n", status, tdsnn_last_error(ctx));
    }
    tdsnn_data_close(data);
    return right;
}

static void write_list(const char *text) {
    scratch_write("val.txt", text, strlen(text));
}

/* Opens for a network that wants C x H x W; whether it has `samples` with these labels. */
static bool opens(tdsnn_context *ctx, tdsnn_data_options options, int c, int h, int w,
                  size_t samples, const int *labels) {
    static float values[3 * 32 * 32];
    tdsnn_data *data;
    options.shape[0] = c;
    options.shape[1] = h;
    options.shape[2] = w;
    if (try_open(ctx, &options, &data) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
        return false;
    }
    tdsnn_data_info info = tdsnn_data_get_info(data);
    bool right = info.samples == samples && info.shape[0] == c && info.shape[1] == h &&
                 info.shape[2] == w && !info.has_splits && info.scale == 1.0 / 255.0;
    for (size_t i = 0; i < samples && right; i++) {
        int label;
        right = tdsnn_data_read(ctx, data, i, values, &label) == TDSNN_OK && label == labels[i];
    }
    tdsnn_data_close(data);
    return right;
}

static void test_one(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data;
    const int none[] = {-1};
    snprintf(spec, sizeof spec, "images:%s",
             scratch_write("one.png", golden_png, sizeof golden_png));
    ok(opens(ctx, options, 3, 13, 19, 1, none), "one picture, unlabelled");
    ok(opens(ctx, options, 1, 13, 19, 1, none), "as grey, where the network wants one channel");
    static float values[3 * 13 * 19];
    int wrong = try_open(ctx, &options, &data) != TDSNN_OK || tdsnn_data_get_info(data).labelled ||
                tdsnn_data_read(ctx, data, 0, values, NULL) != TDSNN_OK;
    for (int i = 0; i < 3 * 13 * 19; i++) {
        wrong += values[i % 3 * 13 * 19 + i / 3] != (float)(golden_png_pixels[i] * (1.0 / 255.0));
    }
    ok(wrong == 0, "values are [C][H][W], scaled in double and rounded once");
    tdsnn_data_close(data);
    options.resize = 11;
    options.crop = 8;
    ok(opens(ctx, options, 3, 8, 8, 1, none), "resized and cropped");
    options.shape[0] = 3;
    options.shape[1] = options.shape[2] = 9;
    ok(try_open(ctx, &options, &data) == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "9 x 9 are wanted") != NULL,
       "another size than the network's is refused");
    options.crop = -1;
    ok(try_open(ctx, &options, &data) == TDSNN_ERR_USAGE, "a size below 0 is refused");
    snprintf(spec, sizeof spec, "images:%s", scratch_path("nothing.png"));
    ok(refused(ctx, "nothing.png"), "a picture that is not there");
}

static void test_list(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    const int labels[] = {7, 0, 999999};
    scratch_write("two.jpg", golden_jpeg, sizeof golden_jpeg);
    scratch_write("a name.jpg", golden_jpeg_grey, sizeof golden_jpeg_grey);
    snprintf(spec, sizeof spec, "images:%s", scratch_folder);
    write_list("one.png 7\r\n\n  \ntwo.jpg\t0\na name.jpg 999999");
    ok(opens(ctx, options, 3, 13, 19, 3, labels), "val.txt: files and classes, in its order");
    const struct {
        const char *text, *words, *what;
    } cases[] = {{"one.png 7\ntwo.jpg\n", "line 2", "no class"},
                 {"one.png -1\n", "line 1", "a class below 0"},
                 {"one.png 1000000\n", "line 1", "a class too large"},
                 {"one.png 99999999999999999999\n", "line 1", "a class far too large"},
                 {"7\n", "line 1", "no file"},
                 {"", "names no pictures", "an empty list"},
                 {"/etc/passwd 1\n", "leads out", "an absolute path"},
                 {"../one.png 1\n", "leads out", "a path upwards"},
                 {"a/../../one.png 1\n", "leads out", "a path upwards, further on"},
                 {"a/.. 1\n", "leads out", "a path that ends upwards"},
                 {"gone.png 1\n", "gone.png", "a file that is not there"},
                 {"link.png 1\n", "leads out", "a link out"},
                 {"dir/etc/passwd 1\n", "leads out", "a folder that is a link out"},
                 {"/ 1\n", "leads out", "a slash"},
                 {". 1\n", "leads out", "the folder itself"},
                 {"val.txt 1\n", "neither", "a file that is no picture"}};
    if (symlink("/etc/passwd", scratch_path("link.png")) != 0 ||
        symlink("/", scratch_path("dir")) != 0) {
        printf("Bail out! no links\n");
        exit(1);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_list(cases[i].text);
        ok(refused(ctx, cases[i].words), "val.txt: %s", cases[i].what);
    }
    scratch_write("val.txt", "one.png\0 1\n", 11);
    ok(refused(ctx, "zero bytes"), "val.txt: zero bytes");
    unlink(scratch_path("link.png"));
    unlink(scratch_path("dir"));
    unlink(scratch_path("val.txt"));
    if (symlink("/etc/passwd", scratch_path("val.txt")) != 0) {
        exit(1);
    }
    ok(refused(ctx, "leads out"), "val.txt itself a link out");
    unlink(scratch_path("val.txt"));
}

static void test_classes(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    const int labels[] = {0, 0, 2};
    ok(refused(ctx, "neither val.txt nor folders"), "pictures without classes");
    mkdir(scratch_path("cat"), 0777);
    mkdir(scratch_path("dog"), 0777);
    mkdir(scratch_path("eel"), 0777);
    mkdir(scratch_path(".hidden"), 0777);
    ok(refused(ctx, "neither val.txt nor folders"), "classes without pictures");
    scratch_write("cat/b.JPG", golden_jpeg, sizeof golden_jpeg);
    scratch_write("cat/a.png", golden_png, sizeof golden_png);
    scratch_write("cat/notes.txt", "x", 1);
    scratch_write("eel/c.jpeg", golden_jpeg_grey, sizeof golden_jpeg_grey);
    scratch_write(".hidden/d.png", golden_png, sizeof golden_png);
    ok(opens(ctx, options, 3, 13, 19, 3, labels),
       "a folder a class, in the order of their names; other files are left out");
    scratch_write("eel/c.jpeg", golden_jpeg_grey, sizeof golden_jpeg_grey - 9);
    tdsnn_data *data;
    float values[3 * 13 * 19];
    ok(try_open(ctx, &options, &data) == TDSNN_OK &&
           tdsnn_data_read(ctx, data, 2, values, NULL) == TDSNN_ERR_INPUT &&
           strstr(tdsnn_last_error(ctx), "eel/c.jpeg") != NULL,
       "a picture that is cut off is an error when it is read");
    tdsnn_data_close(data);
    const char *const files[] = {"cat/b.JPG", "cat/a.png", "cat/notes.txt", "eel/c.jpeg",
                                 ".hidden/d.png"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        unlink(scratch_path(files[i]));
    }
    rmdir(scratch_path("cat"));
    rmdir(scratch_path("dog"));
    rmdir(scratch_path("eel"));
    rmdir(scratch_path(".hidden"));
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    scratch_path(".");
    test_one(ctx);
    test_list(ctx);
    test_classes(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
