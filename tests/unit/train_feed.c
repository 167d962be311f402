#include "train/feed.h"

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "data/array_writer.h"
#include "data/subset.h"
#include "pillow_golden.h"
#include "scratch.h"
#include "tap.h"

enum { COUNT = 50, BATCH = 8, STEPS = 6, PIXELS = 28 * 28 };

static tdsnn_data *open_data(tdsnn_context *ctx, const char *spec) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    options.split = TDSNN_SPLIT_TRAIN;
    if (tdsnn_data_open(ctx, spec, &options, &data) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return data;
}

/* Every third of the first samples, `count` of them. */
static tdsnn_data *thirds(tdsnn_context *ctx, const tdsnn_data *data, size_t count) {
    size_t indices[COUNT];
    tdsnn_data *subset = NULL;
    for (size_t i = 0; i < count; i++) {
        indices[i] = 3 * i;
    }
    td_data_subset(ctx, data, indices, count, &subset);
    return subset;
}

static td_feed_options options_on(const tdsnn_data *data) {
    return (td_feed_options){.data = data, .batch = BATCH, .seed = 5};
}

/* Which of the samples this is, or -1. */
static int sample_of(tdsnn_context *ctx, const td_feed_options *o, const float *values) {
    float other[PIXELS];
    for (size_t i = 0; i < tdsnn_data_get_info(o->data).samples; i++) {
        tdsnn_data_read(ctx, o->data, i, other, NULL);
        if (memcmp(values, other, sizeof other) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* An epoch as it comes: whether all are samples of the options, with their labels, none twice.
 * order: [STEPS x BATCH]. */
static bool read_epoch(tdsnn_context *ctx, const td_feed_options *o, td_feed *feed, int *order) {
    bool right = true, seen[COUNT] = {false};
    for (int step = 0; step < STEPS; step++) {
        const td_batch *batch;
        right = right && td_feed_next(feed, ctx, &batch) == TDSNN_OK && batch->targets == NULL;
        for (int i = 0; right && i < BATCH; i++) {
            int label, which = sample_of(ctx, o, batch->values + i * PIXELS);
            float values[PIXELS];
            right = which >= 0 && !seen[which];
            if (right) {
                tdsnn_data_read(ctx, o->data, (size_t)which, values, &label);
                right = batch->labels[i] == label;
                seen[which] = true;
                order[step * BATCH + i] = which;
            }
        }
    }
    return right;
}

static void test_epochs(tdsnn_context *ctx, const tdsnn_data *data) {
    td_feed_options o = options_on(data);
    td_feed *feed;
    int first[STEPS * BATCH], second[STEPS * BATCH];
    ok(td_feed_steps(&o) == STEPS, "an epoch leaves out the last, smaller batch");
    ok(td_feed_create(ctx, &o, 0, &feed) == TDSNN_OK, "a feed of glyphs");
    ok(read_epoch(ctx, &o, feed, first), "an epoch has samples and labels of the data, none twice");
    ok(read_epoch(ctx, &o, feed, second), "so has the next");
    int same = 0, in_place = 0;
    for (int i = 0; i < STEPS * BATCH; i++) {
        same += first[i] == second[i];
        in_place += first[i] == i;
    }
    ok(same < 10 && in_place < 10, "each in an order of its own: %d the same, %d in place", same,
       in_place);
    td_feed_destroy(feed);
    o.seed = 6;
    td_feed_create(ctx, &o, 0, &feed);
    read_epoch(ctx, &o, feed, second);
    same = 0;
    for (int i = 0; i < STEPS * BATCH; i++) {
        same += first[i] == second[i];
    }
    ok(same < 10, "another seed, another order: %d the same", same);
    td_feed_destroy(feed);
}

/* The share of the sample that a mixture keeps if it is one of these two; -1 if it is not. */
static double share_of(const float *mixed, const float *own, const float *other) {
    double along = 0.0, square = 0.0, off = 0.0;
    for (int i = 0; i < PIXELS; i++) {
        double apart = (double)own[i] - (double)other[i];
        along += ((double)mixed[i] - (double)other[i]) * apart;
        square += apart * apart;
    }
    double share = square == 0.0 ? 1.0 : along / square;
    for (int i = 0; i < PIXELS; i++) {
        double wanted = share * (double)own[i] + (1.0 - share) * (double)other[i];
        off = fmax(off, fabs(wanted - (double)mixed[i]));
    }
    return off < 1e-5 ? share : -1.0;
}

/* Item `at` as a mixture of two samples, the first of which is `own`, with labels and share. */
static bool is_mixture(tdsnn_context *ctx, const tdsnn_data *data, const td_batch *batch, int at,
                       size_t own) {
    float first[PIXELS], second[PIXELS];
    int label, other;
    tdsnn_data_read(ctx, data, own, first, &label);
    for (size_t i = 0; i < COUNT; i++) {
        tdsnn_data_read(ctx, data, i, second, &other);
        double share = share_of(batch->values + at * PIXELS, first, second);
        bool whole = i == own && share >= 0.0;
        if ((whole || fabs(share - (double)batch->shares[at]) < 1e-5) &&
            batch->labels[at] == label && batch->others[at] == other) {
            return batch->shares[at] >= 0.5f && batch->shares[at] <= 1.0f;
        }
    }
    return false;
}

static void test_mix(tdsnn_context *ctx, const tdsnn_data *data) {
    td_feed_options o = options_on(data);
    td_feed *plain, *mixed;
    const td_batch *own, *batch;
    int right = 0;
    float least = 1.0f, most = 0.0f;
    td_feed_create(ctx, &o, 0, &plain);
    o.augmentation.mix = true;
    td_feed_create(ctx, &o, 0, &mixed);
    for (int step = 0; step < STEPS; step++) {
        td_feed_next(plain, ctx, &own);
        td_feed_next(mixed, ctx, &batch);
        for (int i = 0; i < BATCH; i++) {
            int which = sample_of(ctx, &o, own->values + i * PIXELS);
            right += is_mixture(ctx, data, batch, i, (size_t)which);
            least = fminf(least, batch->shares[i]);
            most = fmaxf(most, batch->shares[i]);
        }
    }
    ok(right == STEPS * BATCH, "mixed with another sample, the labels of both: %d of %d", right,
       STEPS * BATCH);
    ok(least < 0.6f && most > 0.9f, "of themselves samples keep %.2f to %.2f", (double)least,
       (double)most);
    ok(own->others == NULL && own->shares == NULL, "unless they are not mixed");
    td_feed_destroy(plain);
    td_feed_destroy(mixed);
}

/* A feed from each step on gives what one from the first on does. */
static void test_resumed(tdsnn_context *ctx, const tdsnn_data *data) {
    enum { MOST = 3 * STEPS };
    static float values[MOST][BATCH * PIXELS];
    int labels[MOST][BATCH], different = 0;
    td_feed_options o = options_on(data);
    td_feed *feed;
    const td_batch *batch;
    o.augmentation = (td_augmentation){.flip = true, .shift = 3, .mix = true};
    td_feed_create(ctx, &o, 0, &feed);
    for (int step = 0; step < MOST; step++) {
        td_feed_next(feed, ctx, &batch);
        memcpy(values[step], batch->values, sizeof values[step]);
        memcpy(labels[step], batch->labels, sizeof labels[step]);
    }
    td_feed_destroy(feed);
    for (int first = 0; first < MOST; first++) {
        td_feed_create(ctx, &o, (uint64_t)first, &feed);
        for (int step = first; step < MOST && step < first + 7; step++) {
            different += td_feed_next(feed, ctx, &batch) != TDSNN_OK ||
                         memcmp(values[step], batch->values, sizeof values[step]) != 0 ||
                         memcmp(labels[step], batch->labels, sizeof labels[step]) != 0;
        }
        td_feed_destroy(feed);
    }
    ok(different == 0, "a batch is the same wherever its feed began: %d differ", different);
}

static void test_small(tdsnn_context *ctx, const tdsnn_data *data) {
    tdsnn_data *few = thirds(ctx, data, 3);
    td_feed_options o = options_on(few);
    td_feed *feed;
    const td_batch *batch;
    int times[3] = {0};
    ok(td_feed_steps(&o) == 1, "less than a batch is one step");
    td_feed_create(ctx, &o, 2, &feed);
    td_feed_next(feed, ctx, &batch);
    for (int i = 0; i < BATCH; i++) {
        int which = sample_of(ctx, &o, batch->values + i * PIXELS);
        times[which < 0 ? 0 : which]++;
    }
    ok(times[0] >= 2 && times[1] >= 2 && times[2] >= 2, "its samples repeat: %d, %d and %d times",
       times[0], times[1], times[2]);
    td_feed_destroy(feed);
    tdsnn_data_close(few);
}

static void test_stop(tdsnn_context *ctx, const tdsnn_data *data) {
    td_feed_options o = options_on(data);
    const td_batch *batch;
    for (int i = 0; i < 40; i++) {
        td_feed *feed;
        td_feed_create(ctx, &o, (uint64_t)i, &feed);
        for (int step = 0; step < i % 10; step++) {
            td_feed_next(feed, ctx, &batch);
        }
        td_feed_destroy(feed);
    }
    td_feed_destroy(NULL);
    ok(true, "destroyed at any time");
}

/* A picture that cannot be read: an error of the call that would give it, and of none before. */
static void test_error(tdsnn_context *ctx) {
    char folder[128], spec[160];
    strcpy(folder, scratch_path("pictures"));
    mkdir(folder, 0777);
    scratch_write("pictures/a.png", golden_png, sizeof golden_png);
    scratch_write("pictures/b.png", golden_png, 60);
    scratch_write("pictures/val.txt", "a.png 0\na.png 0\nb.png 1\n", 24);
    snprintf(spec, sizeof spec, "images:%s", folder);
    tdsnn_data *data = open_data(ctx, spec);
    td_feed_options o = {.data = data, .batch = 1};
    int before[8] = {0};
    bool right = true;
    for (uint64_t first = 0; first < 30; first += 3) {
        td_feed *feed;
        const td_batch *batch;
        int sound = 0;
        td_error_clear(ctx);
        right = right && td_feed_create(ctx, &o, first, &feed) == TDSNN_OK;
        while (right && sound < 3 && td_feed_next(feed, ctx, &batch) == TDSNN_OK) {
            right = batch->labels[0] == 0;
            sound++;
        }
        before[sound]++;
        right = right && strstr(tdsnn_last_error(ctx), "b.png") != NULL &&
                td_feed_next(feed, ctx, &batch) == TDSNN_ERR_INPUT;
        td_feed_destroy(feed);
    }
    ok(right, "a damaged picture is an error that names it, from there on");
    ok(before[0] + before[1] + before[2] == 10 && before[0] > 0 && before[0] < 10,
       "those before it are given: %d, %d, %d of 10", before[0], before[1], before[2]);
    tdsnn_data_close(data);
    unlink(scratch_path("pictures/a.png"));
    unlink(scratch_path("pictures/b.png"));
    unlink(scratch_path("pictures/val.txt"));
    rmdir(folder);
}

static bool refused(tdsnn_context *ctx, const td_feed_options *o, const char *why) {
    td_feed *feed;
    td_error_clear(ctx);
    return td_feed_create(ctx, o, 0, &feed) == TDSNN_ERR_USAGE &&
           strstr(tdsnn_last_error(ctx), why) != NULL;
}

/* Six samples of four values and two targets, which belong together. */
static void test_targets(tdsnn_context *ctx) {
    const td_array_spec arrays[] = {
        {.name = "x", .type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {4}},
        {.name = "y", .type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {2}}};
    char path[128], spec[160];
    td_array_writer *writer;
    strcpy(path, scratch_path("targets.npz"));
    td_npz_create(ctx, path, true, arrays, 2, &writer);
    for (int i = 0; i < 6; i++) {
        td_array_append(writer, 0, (float[]){(float)i, 1.0f, 2.0f, 3.0f});
        td_array_append(writer, 1,
                        (float[]){(float)-i, 10.0f * (float)i}); /* linear in the first */
    }
    td_array_commit(writer);
    snprintf(spec, sizeof spec, "npz:%s", path);
    tdsnn_data *data = open_data(ctx, spec);
    td_feed_options o = {.data = data, .batch = 6};
    td_feed *feed;
    const td_batch *batch = NULL;
    td_feed_create(ctx, &o, 0, &feed);
    bool right = td_feed_next(feed, ctx, &batch) == TDSNN_OK;
    for (int i = 0; right && i < 6; i++) {
        float which = batch->values[4 * i];
        right = batch->targets[2 * i] == -which && batch->targets[2 * i + 1] == 10.0f * which &&
                batch->labels[i] == -1;
    }
    ok(right, "targets come with their samples");
    td_feed_destroy(feed);
    o.augmentation.mix = true;
    td_feed_create(ctx, &o, 0, &feed);
    right = td_feed_next(feed, ctx, &batch) == TDSNN_OK;
    for (int i = 0; right && i < 6; i++) {
        float which = batch->values[4 * i];
        right = fabsf(batch->targets[2 * i] + which) < 1e-5f &&
                fabsf(batch->targets[2 * i + 1] - 10.0f * which) < 1e-4f;
    }
    ok(right, "and are mixed as they are");
    td_feed_destroy(feed);
    o.augmentation.mix = false;
    o.augmentation.flip = true;
    ok(refused(ctx, &o, "no pictures"), "values that are no pictures are not flipped");
    o.augmentation = (td_augmentation){.shift = 1};
    ok(refused(ctx, &o, "no pictures"), "nor shifted");
    tdsnn_data *none = thirds(ctx, data, 0);
    o = (td_feed_options){.data = none, .batch = 1};
    ok(refused(ctx, &o, "no samples"), "there are samples");
    tdsnn_data_close(none);
    tdsnn_data_close(data);
}

/* ---- augmentation */

/* The picture [1][3][4] of 1 .. 12, moved so and mirrored first. */
static bool is_moved(const float *values, int down, int right, bool flip) {
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 4; x++) {
            int from_y = y - down, from_x = flip ? 3 - (x - right) : x - right;
            bool inside = from_y >= 0 && from_y < 3 && from_x >= 0 && from_x < 4;
            float wanted = inside ? (float)(1 + 4 * from_y + from_x) : 0.0f;
            if (values[4 * y + x] != wanted) {
                return false;
            }
        }
    }
    return true;
}

static void test_augment(void) {
    enum { DRAWS = 3000 };
    const td_augmentation a = {.flip = true, .shift = 2};
    int seen[2][5][5] = {{{0}}}, total = 0, least = DRAWS;
    td_random random;
    td_random_seed(&random, 1, 2);
    for (int i = 0; i < DRAWS; i++) {
        float values[12], scratch[12];
        for (int v = 0; v < 12; v++) {
            values[v] = (float)(v + 1);
        }
        td_augment(&a, (td_shape){1, 3, 4, false}, &random, values, scratch);
        for (int f = 0; f < 2; f++) {
            for (int down = -2; down <= 2; down++) {
                for (int right = -2; right <= 2; right++) {
                    bool is = is_moved(values, down, right, f == 1);
                    seen[f][down + 2][right + 2] += is;
                    total += is;
                }
            }
        }
    }
    for (int i = 0; i < 50; i++) {
        int times = seen[i / 25][i / 5 % 5][i % 5];
        least = times < least ? times : least;
    }
    ok(total == DRAWS, "each of %d pictures is one of 50 moved and mirrored ones", DRAWS);
    ok(least >= 30, "of which each comes; the rarest %d times", least); /* 60, deviation 8 */
}

/* Channels are moved together; what has one row is moved along it alone; nothing asked for, nothing
 * done. */
static void test_augment_shapes(void) {
    td_random random;
    float values[24], scratch[24];
    bool together = true, along = true, still = true;
    td_random_seed(&random, 3, 4);
    for (int i = 0; i < 200; i++) {
        for (int v = 0; v < 24; v++) {
            values[v] = (float)(v % 12 + 1);
        }
        td_augment(&(td_augmentation){.flip = true, .shift = 2}, (td_shape){2, 3, 4, false},
                   &random, values, scratch);
        together = together && memcmp(values, values + 12, 12 * sizeof *values) == 0;
        for (int v = 0; v < 8; v++) {
            values[v] = 1.0f;
        }
        td_augment(&(td_augmentation){.shift = 3}, (td_shape){1, 1, 8, false}, &random, values,
                   scratch);
        along = along && values[3] == 1.0f && values[4] == 1.0f;
        memcpy(scratch, values, 8 * sizeof *values);
        td_augment(&(td_augmentation){0}, (td_shape){1, 1, 8, false}, &random, values, NULL);
        still = still && memcmp(scratch, values, 8 * sizeof *values) == 0;
    }
    ok(together, "channels are moved together");
    ok(along, "one row is moved along itself");
    ok(still, "without augmentation nothing is moved");
}

static void test_shift_limit(tdsnn_context *ctx, const tdsnn_data *data) {
    td_feed_options o = options_on(data);
    o.augmentation.shift = 28;
    ok(refused(ctx, &o, "does not suit"), "a shift as wide as the pictures is refused");
    o.augmentation.shift = -1;
    ok(refused(ctx, &o, "does not suit"), "so is one below 0");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    tdsnn_data *glyphs = open_data(ctx, "glyphs"), *data = thirds(ctx, glyphs, COUNT);
    test_epochs(ctx, data);
    test_mix(ctx, data);
    test_resumed(ctx, data);
    test_small(ctx, data);
    test_stop(ctx, data);
    test_error(ctx);
    test_targets(ctx);
    test_augment();
    test_augment_shapes();
    test_shift_limit(ctx, data);
    tdsnn_data_close(data);
    tdsnn_data_close(glyphs);
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
