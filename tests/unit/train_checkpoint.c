#include "train/checkpoint.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/context.h"
#include "base/random.h"
#include "scratch.h"
#include "tap.h"

enum { ARRAYS = 4, NUMBERS = 7 };

typedef struct content {
    float first[1000], second[3], third[1];
    td_state_array arrays[ARRAYS];
    td_state_number numbers[NUMBERS];
    td_state state;
} content;

/* A state of any values, or of zeros. */
static void make(content *c, const char *settings, uint64_t seed) {
    td_random random;
    memset(c, 0, sizeof *c);
    td_random_seed(&random, seed, 0);
    for (int i = 0; seed > 0 && i < 1000; i++) {
        c->first[i] = (float)td_random_normal(&random);
        c->second[i % 3] = i < 3 ? 0.1f * (float)i : c->second[i % 3];
        c->third[0] = -0.0f;
    }
    const td_state_array arrays[ARRAYS] = {{"conv1.weight", c->first, 1000},
                                           {"/layer one/Conv:0", c->second, 3},
                                           {"x", c->third, 1},
                                           {"none", c->third, 0}};
    const double values[NUMBERS] = {3.0, 0.1, 9007199254740991.0, NAN, -INFINITY, -0.0, 1.0 / 3.0};
    static const char *const names[NUMBERS] = {"step",  "epoch", "seed", "best",
                                               "least", "zero",  "third"};
    memcpy(c->arrays, arrays, sizeof arrays);
    for (int i = 0; i < NUMBERS; i++) {
        c->numbers[i] = (td_state_number){names[i], seed > 0 ? values[i] : 0.0};
    }
    c->state = (td_state){settings, c->arrays, ARRAYS, c->numbers, NUMBERS};
}

static bool same(const content *a, const content *b) {
    bool equal = memcmp(a->first, b->first, sizeof a->first) == 0 &&
                 memcmp(a->second, b->second, sizeof a->second) == 0 &&
                 memcmp(a->third, b->third, sizeof a->third) == 0;
    for (int i = 0; i < NUMBERS; i++) {
        double x = a->numbers[i].value, y = b->numbers[i].value;
        equal = equal && (memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y)));
    }
    return equal;
}

#define SETTINGS "model=lenet data=mnist:/a lr=0.1\nepochs=10"

static void test_there_and_back(tdsnn_context *ctx) {
    content c, back;
    const char *path = scratch_path("a.npz");
    make(&c, SETTINGS, 1);
    ok(td_checkpoint_save(ctx, path, &c.state) == TDSNN_OK && scratch_count() == 1,
       "a checkpoint is written, and nothing else");
    make(&back, SETTINGS, 0);
    ok(td_checkpoint_load(ctx, path, &back.state) == TDSNN_OK && same(&c, &back),
       "it comes back bit for bit");
    make(&c, SETTINGS, 2);
    ok(td_checkpoint_save(ctx, path, &c.state) == TDSNN_OK && scratch_count() == 1 &&
           td_checkpoint_load(ctx, path, &back.state) == TDSNN_OK && same(&c, &back),
       "a later one takes its place");
}

/* Every state below is refused by the file with `status` and a word, and nothing of it is read. */
static void refused(tdsnn_context *ctx, content *c, const char *file, tdsnn_status status,
                    const char *word, const char *what) {
    content before = *c;
    td_error_clear(ctx);
    tdsnn_status got = td_checkpoint_load(ctx, scratch_path(file), &c->state);
    ok(got == status && strstr(tdsnn_last_error(ctx), word) != NULL && same(&before, c), "%s",
       what);
    if (got != status || strstr(tdsnn_last_error(ctx), word) == NULL) {
        printf("# %d: %s\n", got, got == TDSNN_OK ? "" : tdsnn_last_error(ctx));
    }
}

static void test_others(tdsnn_context *ctx) {
    content c;
    make(&c, "model=lenet data=mnist:/a lr=0.05 epochs=10", 0);
    refused(ctx, &c, "a.npz", TDSNN_ERR_USAGE, "lr=0.1 there, lr=0.05 here", "another setting");
    make(&c, "model=lenet data=mnist:/a lr=0.1", 0);
    refused(ctx, &c, "a.npz", TDSNN_ERR_USAGE, "epochs=10 there, nothing here", "one more");
    make(&c, SETTINGS " clip=1", 0);
    refused(ctx, &c, "a.npz", TDSNN_ERR_USAGE, "nothing there, clip=1 here", "one less");
    make(&c, SETTINGS, 0);
    c.arrays[1].name = "fc1.weight";
    refused(ctx, &c, "a.npz", TDSNN_ERR_INPUT, "fc1.weight is missing", "a missing array");
    make(&c, SETTINGS, 0);
    c.arrays[0].count = 999;
    refused(ctx, &c, "a.npz", TDSNN_ERR_INPUT, "conv1.weight is of another size", "a larger one");
    c.arrays[0].count = 1000;
    c.arrays[2].count = 0;
    refused(ctx, &c, "a.npz", TDSNN_ERR_INPUT, "x is of another size", "one too many");
    make(&c, SETTINGS, 0);
    c.numbers[2].name = "see";
    refused(ctx, &c, "a.npz", TDSNN_ERR_INPUT, "see is missing", "a missing number");
    c.numbers[2].name = "seed";
    c.arrays[1].name = "settings";
    refused(ctx, &c, "a.npz", TDSNN_ERR_INPUT, "settings is of another type", "text for floats");
    refused(ctx, &c, "b.npz", TDSNN_ERR_INPUT, "b.npz", "no such file");
    scratch_write("b.npz", "PK hardly", 9);
    refused(ctx, &c, "b.npz", TDSNN_ERR_INPUT, "b.npz", "no archive");
    unlink(scratch_path("b.npz"));
}

/* Every byte of the file changed, and the file cut off anywhere: an error that names it, or the
 * same state; never another one. */
static void test_damaged(tdsnn_context *ctx) {
    static unsigned char bytes[16384], damaged[16384];
    size_t size = scratch_read("a.npz", bytes, sizeof bytes), wrong = 0, accepted = 0;
    content written, c;
    make(&written, SETTINGS, 0);
    td_checkpoint_load(ctx, scratch_path("a.npz"), &written.state);
    for (size_t i = 0; i < 2 * size; i++) {
        bool cut = i >= size;
        memcpy(damaged, bytes, size);
        damaged[i % size] ^= 0x55;
        scratch_write("b.npz", damaged, cut ? i - size : size);
        make(&c, SETTINGS, 0);
        td_error_clear(ctx);
        tdsnn_status status = td_checkpoint_load(ctx, scratch_path("b.npz"), &c.state);
        accepted += status == TDSNN_OK;
        bool sound = status == TDSNN_OK ? same(&c, &written) && !cut
                                        : strstr(tdsnn_last_error(ctx), "b.npz") != NULL;
        wrong += !sound;
        if (!sound && wrong < 5) {
            printf("# byte %zu: %d %s\n", i, status, tdsnn_last_error(ctx));
        }
    }
    unlink(scratch_path("b.npz"));
    ok(size > 4000 && size < sizeof bytes && wrong == 0 && accepted < size / 10,
       "%zu bytes changed and cut off: %zu wrong, %zu do not matter", size, wrong, accepted);
}

/* The disk is full in the middle: an error, nothing more on it, and the earlier one is whole. */
static void test_full(tdsnn_context *ctx) {
    content before, c, back;
    struct rlimit old, small;
    int wrong = 0;
    make(&before, SETTINGS, 3);
    make(&c, SETTINGS, 4);
    td_checkpoint_save(ctx, scratch_path("a.npz"), &before.state);
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t size = 0; size < 4000; size += 500) {
        small = (struct rlimit){size, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        td_error_clear(ctx);
        tdsnn_status status = td_checkpoint_save(ctx, scratch_path("a.npz"), &c.state);
        setrlimit(RLIMIT_FSIZE, &old);
        make(&back, SETTINGS, 0);
        wrong += status != TDSNN_ERR_RUNTIME || scratch_count() != 1 ||
                 strstr(tdsnn_last_error(ctx), "a.npz: cannot be written") == NULL ||
                 td_checkpoint_load(ctx, scratch_path("a.npz"), &back.state) != TDSNN_OK ||
                 !same(&back, &before);
    }
    signal(SIGXFSZ, SIG_DFL);
    ok(wrong == 0, "a full disk leaves the earlier checkpoint: %d of 8 wrong", wrong);
    ok(td_checkpoint_save(ctx, "/dev/full", &c.state) != TDSNN_OK, "devices are not replaced");
    ok(td_checkpoint_save(ctx, scratch_path("no/a.npz"), &c.state) == TDSNN_ERR_RUNTIME &&
           scratch_count() == 1,
       "nor is there a folder made");
    c.arrays[1].name = "x";
    ok(td_checkpoint_save(ctx, scratch_path("a.npz"), &c.state) == TDSNN_ERR_RUNTIME &&
           scratch_count() == 1,
       "two arrays of one name are an error");
}

/* More arrays than a process may have open files, as deep networks have. */
static void test_many(tdsnn_context *ctx) {
    enum { MANY = 3000 };
    static td_state_array arrays[MANY];
    static char names[MANY][16];
    static float values[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "a%d", i);
        values[i] = (float)i;
        arrays[i] = (td_state_array){names[i], &values[i], 1};
    }
    td_state state = {.settings = "", .arrays = arrays, .array_count = MANY};
    bool right = td_checkpoint_save(ctx, scratch_path("a.npz"), &state) == TDSNN_OK;
    memset(values, 0, sizeof values);
    right = right && td_checkpoint_load(ctx, scratch_path("a.npz"), &state) == TDSNN_OK;
    for (int i = 0; i < MANY; i++) {
        right = right && values[i] == (float)i;
    }
    ok(right, "%d arrays", MANY);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_there_and_back(ctx);
    test_others(ctx);
    test_damaged(ctx);
    test_full(ctx);
    test_many(ctx);
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
