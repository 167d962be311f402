/* Every kernel of every instruction set that this processor runs, against sums written out here one
 * by one: the same bits, whatever the sizes. Buffers end where nothing may be read (guarded.h),
 * with the slack that kernels.h grants and no more, and begin at any address that their type
 * allows. */
#include "engine/kernels/kernels.h"

#include <math.h>

#include "base/random.h"
#include "engine/plan.h"
#include "guarded.h"
#include "tap.h"

/* Rounds of every kernel: a multiple of 8 registers x 7 taps. */
#define ROUNDS 448
#define MAX_BUFFERS 64

/* One round: its random numbers and its memory. */
typedef struct trial {
    const td_kernels *kernels;
    tdsnn_context *ctx;
    td_random random;
    int round;
    guarded buffers[MAX_BUFFERS];
    int buffer_count;
} trial;

static int between(trial *t, int low, int high) {
    return low + (int)td_random_below(&t->random, (uint64_t)(high - low + 1));
}

/* One of n numbers. */
#define ONE_OF(t, ...)                                                                             \
    one_of(t, (const int[]){__VA_ARGS__}, (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))
static int one_of(trial *t, const int *numbers, int n) {
    return numbers[between(t, 0, n - 1)];
}

static void *get(trial *t, size_t count, size_t size, size_t slack) {
    if (t->buffer_count == MAX_BUFFERS) {
        exit(1);
    }
    guarded *g = &t->buffers[t->buffer_count++];
    *g = guarded_alloc(count * size, slack * size, between(t, 0, 1) == 1);
    return g->data;
}

/* Of all magnitudes and both signs, some of them zero. */
static float any_float(trial *t) {
    int kind = between(t, 0, 9);
    float x = (float)ldexp(td_random_normal(&t->random), kind == 1 ? between(t, -120, 60) : 0);
    return kind == 0 ? 0.0f : x;
}

static float *get_floats(trial *t, size_t count, size_t slack) {
    float *values = get(t, count, sizeof *values, slack);
    for (size_t i = 0; i < count; i++) {
        values[i] = any_float(t);
    }
    return values;
}

/* The same bytes where nobody but the test looks. */
static void *copy(trial *t, const void *from, size_t count, size_t size) {
    return memcpy(get(t, count, size, 0), from, count * size);
}

/* Whether kernel and test have left the same sums, and nothing else anywhere. */
static bool same(const float *have, const float *want, size_t count) {
    return memcmp(have, want, count * sizeof *want) == 0;
}

/* ---------------------------------------------------------------------------------------- events
 */

/* [2 * 256], of which the first values of either half are what spikes at T = 0 stand for. */
static const float *get_table(trial *t) {
    return get_floats(t, 2 * TD_NEGATIVE, TD_SLACK);
}

/* A row of events that some of `channels` of each pixel send. */
static td_event_row get_events(trial *t, int width, int block, int channels, double density) {
    uint32_t *all = calloc((size_t)width * (size_t)channels + 1, sizeof *all), count = 0;
    uint32_t *starts = get(t, (size_t)width + 1, sizeof *starts, 0);
    for (int x = 0; x < width; x++) {
        starts[x] = count;
        for (int c = 0; c < channels; c++) {
            uint32_t place = (uint32_t)(x * block + c);
            uint32_t index = (uint32_t)(between(t, 1, 255) + TD_NEGATIVE * between(t, 0, 1));
            if (td_random_uniform(&t->random) < density) {
                all[count++] = place << 16 | index;
            }
        }
    }
    starts[width] = count;
    uint32_t *events = get(t, count, sizeof *events, TD_SLACK);
    memcpy(events, all, count * sizeof *events);
    free(all);
    return (td_event_row){events, starts};
}

static double any_density(trial *t) {
    return ONE_OF(t, 0, 1, 3, 5, 10) / 10.0;
}

static int any_block(trial *t) {
    return t->round % 7 == 0 ? between(t, 1, 64) : ONE_OF(t, 1, 2, 3, 8, 16, 31, 32, 64);
}

/* What the event at *event of pixel x adds to `outputs` sums. */
static void add_event(float *sums, const float *weights, float value, int outputs) {
    for (int o = 0; o < outputs; o++) {
        sums[o] = fmaf(weights[o], value, sums[o]);
    }
}

/* Sums that begin at a bias, if there is one. */
static void begin(const float *bias, int outputs, int pixels, size_t pitch, float *sums) {
    for (int p = 0; p < pixels && bias != NULL; p++) {
        memcpy(sums + (size_t)p * pitch, bias, (size_t)outputs * sizeof *sums);
    }
}

static void naive_gather(const td_gather_job *j, int outputs, float *sums) {
    for (size_t k = 0; k < j->run_count; k++) {
        begin(j->bias, outputs, 1, 0, sums + j->runs[k].sums);
        for (uint32_t i = 0; i < j->runs[k].count; i++) {
            uint32_t event = j->events[j->runs[k].first + i];
            int place = (int)(event >> 16) - j->runs[k].place;
            add_event(sums + j->runs[k].sums, j->weights + (ptrdiff_t)place * outputs,
                      j->table[event & 0xffff], outputs);
        }
    }
}

/* Runs of the taps of some pixels, in any order. */
static bool try_gather(trial *t) {
    int taps = 1 + t->round / TD_MAX_REGISTERS % 7, width = ONE_OF(t, 0, 1, 2, 3, 7, 16, 33);
    int block = any_block(t), pitch = between(t, 0, 5), pixels = ONE_OF(t, 0, 1, 2, 5, 9, 17);
    td_gather_job j = {.registers = 1 + t->round % TD_MAX_REGISTERS,
                       .far = between(t, 0, 1) == 1,
                       .run_count = (size_t)pixels,
                       .table = get_table(t)};
    int outputs = j.registers * t->kernels->lanes;
    td_event_row row = get_events(t, width, block, between(t, 1, block), any_density(t));
    td_run *runs = get(t, (size_t)pixels, sizeof *runs, 0);
    for (int i = 0; i < pixels; i++) {
        int left = between(t, -taps, width), from = left < 0 ? 0 : left;
        int to = left + taps < from ? from : left + taps > width ? width : left + taps;
        runs[i] = (td_run){.sums = (uint32_t)((pixels - 1 - i) * (outputs + pitch)),
                           .first = row.starts[from],
                           .count = row.starts[to] - row.starts[from],
                           .place = left * block};
    }
    j.runs = runs;
    j.events = row.events;
    j.bias = between(t, 0, 1) == 0 ? NULL : get_floats(t, (size_t)outputs, 0);
    j.weights = get_floats(t, (size_t)(taps * block * outputs), 0);
    size_t count = pixels == 0 ? 0 : (size_t)((pixels - 1) * (outputs + pitch) + outputs);
    j.sums = get_floats(t, count, 0);
    float *want = copy(t, j.sums, count, sizeof *want);
    naive_gather(&j, outputs, want);
    t->kernels->gather(&j);
    return same(j.sums, want, count);
}

/* sums: where j->sums points to. */
static void naive_scatter(const td_scatter_job *j, int outputs, float *sums) {
    for (uint32_t i = j->row.starts[0]; i < j->row.starts[1]; i++) {
        int place = (int)(j->row.events[i] >> 16);
        int x = place / j->channels, channel = place % j->channels;
        for (int ky = j->first_row; ky < j->end_row; ky++) {
            for (int kx = 0; kx < j->taps; kx++) {
                size_t at = (size_t)channel * (size_t)j->kernel_rows * j->weight_pitch +
                            (size_t)ky * j->weight_pitch + (size_t)(kx * outputs);
                float *to = sums - (size_t)(ky - j->first_row) * j->row_pitch +
                            (size_t)(x + j->taps - 1 - kx) * j->sum_pitch;
                add_event(to, j->weights + at, j->table[j->row.events[i] & 0xffff], outputs);
            }
        }
    }
}

static bool try_scatter(trial *t) {
    td_scatter_job j = {.registers = 1 + t->round % TD_MAX_REGISTERS,
                        .taps = 1 + t->round / TD_MAX_REGISTERS % 7,
                        .channels = ONE_OF(t, 1, 2, 3, 8, 17),
                        .kernel_rows = between(t, 1, 5),
                        .table = get_table(t)};
    int outputs = j.registers * t->kernels->lanes, width = ONE_OF(t, 1, 2, 3, 7, 33);
    j.first_row = between(t, 0, j.kernel_rows);
    j.end_row = between(t, j.first_row, j.kernel_rows);
    j.sum_pitch = (size_t)(outputs + between(t, 0, 5));
    j.row_pitch = (size_t)(width + j.taps - 1) * j.sum_pitch + (size_t)between(t, 0, 9);
    j.weight_pitch = (size_t)(j.taps * outputs);
    j.row = get_events(t, 1, width * j.channels, width * j.channels, any_density(t));
    j.weights = get_floats(t, (size_t)(j.channels * j.kernel_rows) * j.weight_pitch, 0);
    size_t rows = (size_t)(j.end_row - j.first_row);
    size_t last = (size_t)(width + j.taps - 2) * j.sum_pitch + (size_t)outputs;
    size_t count = rows == 0 ? 0 : (rows - 1) * j.row_pitch + last;
    float *sums = get_floats(t, count, 0), *want = copy(t, sums, count, sizeof *want);
    size_t lowest = rows == 0 ? 0 : (rows - 1) * j.row_pitch;
    j.sums = sums + lowest;
    naive_scatter(&j, outputs, want + lowest);
    t->kernels->scatter(&j);
    return same(sums, want, count);
}

/* Rows of sums for the kernel, and the same for the test. */
static void get_rows(trial *t, int rows, size_t count, float **sums, float **want) {
    for (int row = 0; row < rows; row++) {
        sums[row] = get_floats(t, count, 0);
        want[row] = copy(t, sums[row], count, sizeof(float));
    }
}

static bool same_rows(int rows, size_t count, float *const *have, float *const *want) {
    bool equal = true;
    for (int row = 0; row < rows; row++) {
        equal = equal && same(have[row], want[row], count);
    }
    return equal;
}

static void naive_slide(const td_slide_job *j, int lanes, float *const *sums) {
    begin(j->bias, lanes, j->width + 2, j->sum_pitch, sums[j->rows - 1]);
    for (int x = 0; x < j->width; x++) {
        for (uint32_t i = j->row.starts[x]; i < j->row.starts[x + 1]; i++) {
            uint32_t event = j->row.events[i];
            size_t channel = (event >> 16) - (uint32_t)(x * j->block);
            for (int ky = 0; ky < j->rows; ky++) { /* from the lowest on */
                for (int kx = x == j->deaf_right; kx < (x == j->deaf_left ? 2 : 3); kx++) {
                    size_t at = (channel * 9 + (size_t)(3 * ky + kx)) * (size_t)lanes;
                    add_event(sums[j->rows - 1 - ky] + (size_t)(x + 2 - kx) * j->sum_pitch,
                              j->weights + at, j->table[event & 0xffff], lanes);
                }
            }
        }
    }
}

static bool try_slide(trial *t) {
    td_slide_job j = {.rows = between(t, 1, 3),
                      .width = ONE_OF(t, 0, 1, 2, 3, 8, 33),
                      .registers = t->round % 2 == 0 ? 1 : t->kernels->slide_registers,
                      .block = any_block(t),
                      .table = get_table(t)};
    int lanes = j.registers * t->kernels->lanes;
    j.deaf_left = between(t, -1, 0);
    j.deaf_right = j.width > 1 && between(t, 0, 1) == 1 ? j.width - 1 : -1;
    j.bias = between(t, 0, 1) == 0 ? NULL : get_floats(t, (size_t)lanes, 0);
    j.sum_pitch = (size_t)(lanes * (1 + t->round % 3) + t->round % 2);
    j.row = get_events(t, j.width, j.block, between(t, 1, j.block), any_density(t));
    int lowest = between(t, 0, 3 - j.rows);
    j.weights = get_floats(t, (size_t)(j.block * 9 * lanes), 0) + lowest * 3 * lanes;
    size_t count = (size_t)(j.width + 1) * j.sum_pitch + (size_t)lanes;
    float *want[3];
    get_rows(t, j.rows, count, j.sums, want);
    naive_slide(&j, lanes, want);
    t->kernels->slide(&j);
    return same_rows(j.rows, count, j.sums, want);
}

static void naive_column(const td_column_job *j, int outputs, float *const *sums) {
    begin(j->bias, outputs, j->pixels, (size_t)outputs, sums[j->rows - 1]);
    for (int p = 0; p < j->pixels; p++) {
        int left = p * j->step - j->pad;
        for (int x = left < 0 ? 0 : left; x < left + j->taps && x < j->width; x++) {
            for (uint32_t i = j->row.starts[x]; i < j->row.starts[x + 1]; i++) {
                uint32_t event = j->row.events[i];
                size_t place = (event >> 16) - (size_t)(left * j->block);
                for (int k = 0; k < j->rows; k++) { /* from the lowest on */
                    size_t at = place * (size_t)j->kernel_rows + (size_t)k;
                    add_event(sums[j->rows - 1 - k] + p * outputs,
                              j->weights + at * (size_t)outputs, j->table[event & 0xffff], outputs);
                }
            }
        }
    }
}

static bool try_column(trial *t) {
    td_column_job j = {.rows = between(t, 1, 3),
                       .registers = 1 + t->round % TD_COLUMN_REGISTERS,
                       .pixels = ONE_OF(t, 0, 1, 2, 3, 8, 33),
                       .step = between(t, 1, 3),
                       .taps = 1 + t->round / TD_COLUMN_REGISTERS % 7,
                       .width = ONE_OF(t, 0, 1, 2, 3, 8, 33),
                       .block = any_block(t),
                       .table = get_table(t)};
    int outputs = j.registers * t->kernels->lanes;
    j.pad = between(t, 0, j.taps);
    j.kernel_rows = between(t, j.rows, 7);
    j.bias = between(t, 0, 1) == 0 ? NULL : get_floats(t, (size_t)outputs, 0);
    j.row = get_events(t, j.width, j.block, between(t, 1, j.block), any_density(t));
    int lowest = between(t, 0, j.kernel_rows - j.rows);
    j.weights =
        get_floats(t, (size_t)(j.taps * j.block * j.kernel_rows * outputs), 0) + lowest * outputs;
    size_t count = (size_t)(j.pixels * outputs);
    float *want[3];
    get_rows(t, j.rows, count, j.sums, want);
    naive_column(&j, outputs, want);
    t->kernels->column(&j);
    return same_rows(j.rows, count, j.sums, want);
}

/* ---------------------------------------------------------------------------------- every input
 */

static void naive_dense(const td_dense_job *j, int outputs, float *sums) {
    for (int x = 0; x < j->pixels; x++) {
        const float *w = j->weights;
        for (int done = 0; done < j->inputs; done += j->block) {
            for (int tap = 0; tap < j->rows * j->taps; tap++) {
                size_t at = (size_t)x * j->pixel_pitch + (size_t)(tap / j->taps) * j->row_pitch +
                            (size_t)(tap % j->taps) * j->tap_pitch + (size_t)done;
                for (int c = 0; c < j->block; c++, w += outputs) {
                    if (done + c < j->inputs) {
                        add_event(sums + (size_t)x * j->sum_pitch, w, j->values[at + (size_t)c],
                                  outputs);
                    }
                }
            }
        }
    }
}

/* Floats from the first value that a row of pixels reads to behind the last. */
static size_t reach(int pixels, size_t pixel_pitch, int taps, size_t tap_pitch, int rows,
                    size_t row_pitch, int channels) {
    if (pixels == 0 || taps == 0 || rows == 0) {
        return 0;
    }
    return (size_t)(pixels - 1) * pixel_pitch + (size_t)(taps - 1) * tap_pitch +
           (size_t)(rows - 1) * row_pitch + (size_t)channels;
}

static bool try_dense(trial *t) {
    td_dense_job j = {.registers = 1 + t->round % t->kernels->dense_registers,
                      .pixels = ONE_OF(t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 25),
                      .taps = 1 + t->round / TD_MAX_REGISTERS % 7,
                      .rows = between(t, 1, 4),
                      .inputs = ONE_OF(t, 0, 1, 3, 8, 31, 33, 70),
                      .block = any_block(t)};
    int outputs = j.registers * t->kernels->lanes;
    int blocks = (j.inputs + j.block - 1) / j.block;
    j.sum_pitch = (size_t)(outputs + between(t, 0, 5));
    j.tap_pitch = (size_t)(j.inputs + between(t, 0, 3));
    j.pixel_pitch = j.tap_pitch * (size_t)between(t, 1, 3);
    j.row_pitch = j.tap_pitch * (size_t)between(t, 1, 20);
    j.values = get_floats(
        t, reach(j.pixels, j.pixel_pitch, j.taps, j.tap_pitch, j.rows, j.row_pitch, j.inputs),
        TD_SLACK);
    j.weights = get_floats(t, (size_t)(blocks * j.rows * j.taps * j.block * outputs), 0);
    size_t count = j.pixels == 0 ? 0 : (size_t)(j.pixels - 1) * j.sum_pitch + (size_t)outputs;
    j.sums = get_floats(t, count, 0);
    float *want = copy(t, j.sums, count, sizeof *want);
    j.bias = between(t, 0, 1) == 0 ? get_floats(t, (size_t)outputs, 0) : NULL;
    begin(j.bias, outputs, j.pixels, j.sum_pitch, want);
    naive_dense(&j, outputs, want);
    t->kernels->dense(&j);
    return same(j.sums, want, count);
}

static void naive_channels(const td_channel_job *j, int outputs, float *sums) {
    for (int x = 0; x < j->pixels; x++) {
        for (int tap = 0; tap < j->rows * j->taps; tap++) {
            const float *in = j->values + (size_t)x * j->pixel_pitch +
                              (size_t)(tap / j->taps) * j->row_pitch +
                              (size_t)(tap % j->taps) * j->tap_pitch;
            float *to = sums + (size_t)x * j->sum_pitch;
            for (int o = 0; o < outputs; o++) {
                to[o] = fmaf(j->weights[tap * outputs + o], in[o], to[o]);
            }
        }
    }
}

/* The last register's outputs may be more than there are channels: those read slack. */
static bool try_channels(trial *t) {
    td_channel_job j = {.registers = 1 + t->round % TD_MAX_REGISTERS,
                        .pixels = ONE_OF(t, 0, 1, 2, 5, 9, 17),
                        .taps = 1 + t->round / TD_MAX_REGISTERS % 7,
                        .rows = between(t, 1, 7)};
    int lanes = t->kernels->lanes, outputs = j.registers * lanes;
    int channels = outputs - between(t, 0, lanes - 1);
    j.sum_pitch = (size_t)(outputs + between(t, 0, 5));
    j.tap_pitch = (size_t)(channels + between(t, 0, 20));
    j.pixel_pitch = j.tap_pitch * (size_t)between(t, 1, 3);
    j.row_pitch = j.tap_pitch * (size_t)between(t, 1, 20);
    j.values = get_floats(
        t, reach(j.pixels, j.pixel_pitch, j.taps, j.tap_pitch, j.rows, j.row_pitch, channels),
        TD_SLACK);
    j.weights = get_floats(t, (size_t)(j.rows * j.taps * outputs), 0);
    size_t count = j.pixels == 0 ? 0 : (size_t)(j.pixels - 1) * j.sum_pitch + (size_t)outputs;
    j.sums = get_floats(t, count, 0);
    float *want = copy(t, j.sums, count, sizeof *want);
    j.bias = between(t, 0, 1) == 0 ? get_floats(t, (size_t)outputs, 0) : NULL;
    begin(j.bias, outputs, j.pixels, j.sum_pitch, want);
    naive_channels(&j, outputs, want);
    t->kernels->channels(&j);
    bool right = true;
    for (int x = 0; x < j.pixels; x++) { /* what no channel is behind is nobody's */
        size_t at = (size_t)x * j.sum_pitch;
        right = right && same(j.sums + at, want + at, (size_t)channels) &&
                (x + 1 == j.pixels ||
                 same(j.sums + at + outputs, want + at + outputs, j.sum_pitch - (size_t)outputs));
    }
    return right;
}

static bool try_fill(trial *t) {
    int registers = 1 + t->round % TD_MAX_REGISTERS, pixels = ONE_OF(t, 0, 1, 2, 7, 32);
    size_t outputs = (size_t)(registers * t->kernels->lanes);
    float *bias = get_floats(t, outputs, 0), *sums = get_floats(t, (size_t)pixels * outputs, 0);
    t->kernels->fill(bias, registers, pixels, sums);
    bool right = true;
    for (int p = 0; p < pixels; p++) {
        right = right && same(sums + (size_t)p * outputs, bias, outputs);
    }
    return right;
}

/* ---------------------------------------------------------------------------- times and values
 */

/* Thresholds that rise, some of them equal. */
static tdsnn_code any_code(trial *t) {
    tdsnn_code code = {.steps = t->round < TDSNN_MAX_STEPS ? t->round + 1 : between(t, 1, 255)};
    float tau = (float)td_random_normal(&t->random);
    for (int k = 0; k < code.steps; k++) {
        code.thresholds[k] = tau;
        tau += between(t, 0, 4) == 0 ? 0.0f : (float)td_random_uniform(&t->random);
    }
    return code;
}

/* Thresholds of a formula, which a curve follows, the first of them raised to one value or not. */
static tdsnn_code formula_code(trial *t, tdsnn_context *ctx) {
    int steps = t->round < TDSNN_MAX_STEPS ? t->round + 1 : between(t, 1, 255);
    double range = ldexp(0.1 + td_random_uniform(&t->random), between(t, -2, 3));
    tdsnn_rounding rounding = between(t, 0, 2) == 0 ? TDSNN_ROUND_CEIL : TDSNN_ROUND_NEAREST;
    tdsnn_code code = {0};
    if (tdsnn_code_make(ctx, steps / range, steps, ldexp(1.0 + td_random_uniform(&t->random), 3),
                        rounding, 0, &code) != TDSNN_OK) {
        exit(1);
    }
    float silent = code.values[between(t, 0, 2) == 0 ? between(t, 0, steps) : 0];
    for (int k = 0; k < steps; k++) {
        code.thresholds[k] = code.thresholds[k] < silent ? silent : code.thresholds[k];
    }
    return code;
}

/* On a threshold, next to one, between them, and what is hardly a number. */
static float any_drive(trial *t, const tdsnn_code *code) {
    float tau = code->thresholds[between(t, 0, code->steps - 1)];
    switch (between(t, 0, 7)) {
    case 0:
        return tau;
    case 1:
        return nextafterf(tau, INFINITY);
    case 2:
        return nextafterf(tau, -INFINITY);
    case 3:
        return (const float[]){NAN, INFINITY, -INFINITY, -0.0f}[between(t, 0, 3)];
    case 4: { /* between neighbours, where those that are no neurons lie too */
        float next = code->thresholds[between(t, 0, code->steps - 1)];
        return tau + (next - tau) * (float)td_random_uniform(&t->random);
    }
    default:
        return tau + (float)td_random_normal(&t->random);
    }
}

static int naive_time(const tdsnn_code *code, float drive) {
    int time = 0;
    for (int k = 0; k < code->steps; k++) {
        time += drive > code->thresholds[k];
    }
    return time;
}

static bool try_encode(trial *t) {
    tdsnn_code code = between(t, 0, 1) == 0 ? any_code(t) : formula_code(t, t->ctx);
    int pixels = ONE_OF(t, 0, 1, 2, 5), channels = ONE_OF(t, 0, 1, 3, 4, 8, 15, 16, 17, 33, 100);
    size_t sum_pitch = (size_t)(channels + between(t, 0, 20));
    size_t time_pitch = (size_t)(channels + between(t, 0, 20));
    td_tree *tree = get(t, 1, sizeof *tree, 0);
    td_tree_fill(&code, tree);
    size_t count = pixels == 0 ? 0 : (size_t)(pixels - 1) * sum_pitch + (size_t)channels;
    float *drives = get_floats(t, count, TD_SLACK);
    for (size_t i = 0; i < count; i++) {
        drives[i] = any_drive(t, &code);
    }
    size_t bytes = pixels == 0 ? 0 : (size_t)(pixels - 1) * time_pitch + (size_t)channels;
    uint8_t *times = get(t, bytes, 1, 0);
    memset(times, 0xaa, bytes);
    uint8_t *want = copy(t, times, bytes, 1); /* the bytes between the pixels' are others' */
    for (int p = 0; p < pixels; p++) {
        for (int c = 0; c < channels; c++) {
            want[(size_t)p * time_pitch + (size_t)c] =
                (uint8_t)naive_time(&code, drives[(size_t)p * sum_pitch + (size_t)c]);
        }
    }
    t->kernels->encode(tree, drives, sum_pitch, pixels, channels, times, time_pitch);
    return memcmp(times, want, bytes) == 0;
}

static bool try_decode(trial *t) {
    int steps = t->round < TDSNN_MAX_STEPS ? t->round + 1 : between(t, 1, 255);
    size_t count = (size_t)ONE_OF(t, 0, 1, 3, 7, 8, 15, 16, 17, 63, 64, 65, 1000);
    const float *table = get_floats(t, TDSNN_MAX_STEPS + 1, 0);
    uint8_t *times = get(t, count, 1, TD_SLACK);
    for (size_t i = 0; i < count; i++) {
        times[i] = (uint8_t)between(t, 0, steps);
    }
    float *values = get(t, count + TD_SLACK, sizeof *values, 0);
    size_t at_once = (size_t)t->kernels->decoded, whole = (count + at_once - 1) / at_once * at_once;
    for (size_t i = whole; i < count + TD_SLACK; i++) {
        values[i] = 1.0f;
    }
    t->kernels->decode(table, steps, times, values, count);
    bool right = whole <= count + TD_SLACK;
    for (size_t i = whole; i < count + TD_SLACK; i++) { /* may be another thread's */
        right = right && values[i] == 1.0f;
    }
    for (size_t i = 0; i < count; i++) {
        right = right && same(&values[i], &table[times[i]], 1);
    }
    return right;
}

static uint8_t *get_times(trial *t, size_t count, double density) {
    uint8_t *times = get(t, count, 1, TD_SLACK);
    for (size_t i = 0; i < count; i++) {
        bool fires = td_random_uniform(&t->random) < density;
        times[i] = (uint8_t)(fires ? between(t, 1, 255) : 0);
    }
    return times;
}

static uint32_t naive_list(const td_list_job *j, uint32_t *events, uint32_t *starts) {
    uint32_t n = 0;
    for (int x = 0; x < j->width; x++) {
        starts[x] = n;
        for (int c = 0; c < j->channels; c++) {
            size_t at = (size_t)x * j->pixel_pitch + (size_t)c;
            uint32_t index = j->times[at];
            if (j->negative != NULL && j->negative[at] != 0) {
                index = TD_NEGATIVE + (uint32_t)j->negative[at];
            }
            if (index != 0) {
                events[n++] = (uint32_t)(x * j->block + c) << 16 | index;
            }
        }
    }
    starts[j->width] = n;
    return n;
}

static bool try_list(trial *t) {
    td_list_job j = {.width = ONE_OF(t, 0, 1, 2, 7, 33),
                     .block = t->round % 7 == 0 ? ONE_OF(t, 100, 777, 1000) : any_block(t)};
    j.channels = between(t, 0, j.block);
    j.pixel_pitch = (size_t)(j.channels + between(t, 0, 20));
    size_t bytes = j.width == 0 ? 0 : (size_t)(j.width - 1) * j.pixel_pitch + (size_t)j.channels;
    j.times = get_times(t, bytes, any_density(t));
    j.negative = t->round % 2 == 0 ? NULL : get_times(t, bytes, any_density(t));
    size_t most = (size_t)j.width * (size_t)j.channels, starts = (size_t)j.width + 1;
    uint32_t *events = get(t, most, sizeof *events, 0), *want = get(t, starts, sizeof *want, 0);
    uint32_t count = naive_list(&j, events, want);
    j.events = get(t, count + TD_SLACK, sizeof *j.events, 0);
    j.starts = get(t, starts, sizeof *j.starts, 0);
    t->kernels->list(&j);
    return memcmp(j.events, events, count * sizeof *events) == 0 &&
           memcmp(j.starts, want, starts * sizeof *want) == 0;
}

/* ------------------------------------------------------------------------------------------------
 */

/* What each kernel of a variant is tried by. */
static const struct {
    const char *name;
    bool (*try_kernel)(trial *t);
} kernels_tried[] = {{"gather", try_gather}, {"scatter", try_scatter}, {"slide", try_slide},
                     {"column", try_column}, {"dense", try_dense},     {"channels", try_channels},
                     {"fill", try_fill},     {"encode", try_encode},   {"decode", try_decode},
                     {"list", try_list}};
#define KERNELS_TRIED (sizeof kernels_tried / sizeof *kernels_tried)

static int failures_of(const td_kernels *kernels, size_t tried) {
    int failures = 0;
    printf("# %s %s\n", kernels->name, kernels_tried[tried].name); /* should it die of a signal */
    fflush(stdout);
    for (int round = 0; round < ROUNDS; round++) {
        trial t = {.ctx = tdsnn_context_create(), .kernels = kernels, .round = round};
        td_random_seed(&t.random, (uint64_t)round, tried);
        bool right = kernels_tried[tried].try_kernel(&t), clean = true;
        for (int i = 0; i < t.buffer_count; i++) {
            clean = clean && guarded_clean(&t.buffers[i]);
            guarded_free(&t.buffers[i]);
        }
        tdsnn_context_destroy(t.ctx);
        if (!right || !clean) {
            printf("# round %d: %s\n", round, right ? "writes too far" : "other bits");
            failures++;
        }
    }
    return failures;
}

/* Codes of the windows and leaks in use have a curve: without one, all would be searched. */
static bool usual_codes_have_curves(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    bool fit = true;
    for (int steps = 3; steps <= 127; steps = 2 * steps + 1) {
        for (double share = 0.5; share <= 2.0; share *= 2.0) {
            tdsnn_code code;
            td_curve curve;
            fit = fit && tdsnn_code_make(ctx, share * steps, steps, 1.7, TDSNN_ROUND_NEAREST, 0,
                                         &code) == TDSNN_OK;
            td_curve_fill(&code, &curve);
            fit = fit && curve.fits && !curve.silenced;
        }
    }
    tdsnn_context_destroy(ctx);
    return fit;
}

int main(void) {
    ok(usual_codes_have_curves(), "codes of 3 to 127 steps have curves");
    /* kernels.h: functions behind a name and some numbers; another one is to be tried here too */
    ok(sizeof(td_kernels) == offsetof(td_kernels, gather) + KERNELS_TRIED * sizeof(void (*)(void)),
       "every kernel is tried");
    const td_kernels *kernels;
    int runs;
    for (int i = 0; (kernels = td_kernels_at(i, &runs)) != NULL; i++) {
        if (!runs) {
            printf("# %s: not on this processor\n", kernels->name);
            continue;
        }
        for (size_t tried = 0; tried < KERNELS_TRIED; tried++) {
            int failures = failures_of(kernels, tried);
            ok(failures == 0, "%s: %s, %d of %d rounds fail", kernels->name,
               kernels_tried[tried].name, failures, ROUNDS);
        }
    }
    return tap_end();
}
