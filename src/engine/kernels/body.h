/* The kernels, written once. Each instruction set's file defines VARIANT, its name, and
 *
 * - vec, a vector of LANES floats; vec_load, vec_store (unaligned), vec_set, vec_fma(a, b, c);
 * - DENSE_SUMS, DENSE_REGISTERS: how many sums `dense` holds in registers, of how many outputs;
 *   GATHER_SUMS: how many `gather`; COLUMN_SUMS: how many `column`; SLIDE_REGISTERS: how many of
 *   one pixel `slide`, 1 or 2;
 * - search, search_start(tree), encode_lanes(&search, levels, drives, times): LANES spike times,
 *   `levels` a constant;
 * - if it has them CURVE_LEVELS, from how many levels a curve is quicker than the search; curve,
 *   curve_start(&tree->curve), curve_lanes(&curve, drives, n, silenced, times): n LANES of them,
 *   false if one is in doubt;
 * - lookup, lookup_start(table, steps), decode_lanes(&lookup, times, values): DECODE_REGISTERS
 *   times LANES values;
 * - places, places_from(event), places_next(places): LANES events of time 0 side by side;
 *   list_lanes(times, negative, count, places, events): the events among count <= LANES;
 *
 * then it includes this. */

#include <stdbool.h>

#include "engine/kernels/kernels.h"

#define ALWAYS static inline __attribute__((always_inline))

/* Makes a pointer a register that is added to nothing else: left to itself, the compiler computes
 * an address of its own for each of the loads that follow. */
#define ONE_BASE(pointer) __asm__("" : "+r"(pointer))

/* Calls f(job, n) with n = registers as a constant, so that the sums are registers. */
#define WITH_REGISTERS(f, job)                                                                     \
    switch ((job)->registers) {                                                                    \
    case 1:                                                                                        \
        f(job, 1);                                                                                 \
        break;                                                                                     \
    case 2:                                                                                        \
        f(job, 2);                                                                                 \
        break;                                                                                     \
    case 3:                                                                                        \
        f(job, 3);                                                                                 \
        break;                                                                                     \
    case 4:                                                                                        \
        f(job, 4);                                                                                 \
        break;                                                                                     \
    case 5:                                                                                        \
        f(job, 5);                                                                                 \
        break;                                                                                     \
    case 6:                                                                                        \
        f(job, 6);                                                                                 \
        break;                                                                                     \
    case 7:                                                                                        \
        f(job, 7);                                                                                 \
        break;                                                                                     \
    default:                                                                                       \
        f(job, 8);                                                                                 \
        break;                                                                                     \
    }

/* Calls f(job, rows, registers, begins), all constants: 1 to 3 rows of sums, of which the last may
 * begin at a bias. */
#define WITH_ROWS(f, job, registers)                                                               \
    switch (2 * (job)->rows + ((job)->bias != NULL)) {                                             \
    case 2:                                                                                        \
        f(job, 1, registers, false);                                                               \
        break;                                                                                     \
    case 3:                                                                                        \
        f(job, 1, registers, true);                                                                \
        break;                                                                                     \
    case 4:                                                                                        \
        f(job, 2, registers, false);                                                               \
        break;                                                                                     \
    case 5:                                                                                        \
        f(job, 2, registers, true);                                                                \
        break;                                                                                     \
    case 6:                                                                                        \
        f(job, 3, registers, false);                                                               \
        break;                                                                                     \
    default:                                                                                       \
        f(job, 3, registers, true);                                                                \
        break;                                                                                     \
    }

/* `...` with i = 0, .. n - 1, constants, n <= 3 or 8. A loop does not do for vectors in an array:
 * they become registers before the compiler unrolls it, or not at all. */
#define ONCE(i, value, n, ...)                                                                     \
    {                                                                                              \
        enum { i = value };                                                                        \
        if (i < (n)) {                                                                             \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define EACH_OF_3(i, n, ...)                                                                       \
    ONCE(i, 0, n, __VA_ARGS__)                                                                     \
    ONCE(i, 1, n, __VA_ARGS__)                                                                     \
    ONCE(i, 2, n, __VA_ARGS__)
#define EACH_OF_8(i, n, ...)                                                                       \
    EACH_OF_3(i, n, __VA_ARGS__)                                                                   \
    ONCE(i, 3, n, __VA_ARGS__)                                                                     \
    ONCE(i, 4, n, __VA_ARGS__)                                                                     \
    ONCE(i, 5, n, __VA_ARGS__)                                                                     \
    ONCE(i, 6, n, __VA_ARGS__)                                                                     \
    ONCE(i, 7, n, __VA_ARGS__)

ALWAYS void load_sums(vec *sum, const float *from, const int registers) {
    EACH_OF_8(r, registers, sum[r] = vec_load(from + r * LANES);)
}

ALWAYS void store_sums(float *to, const vec *sum, const int registers) {
    EACH_OF_8(r, registers, vec_store(to + r * LANES, sum[r]);)
}

/* Adds what one spike gives. */
ALWAYS void add_weights(vec *sum, const float *w, vec value, const int registers) {
    EACH_OF_8(r, registers, sum[r] = vec_fma(vec_load(w + r * LANES), value, sum[r]);)
}

/* Begins to bring what is used later into the second-level cache: in one go it would wait for the
 * third. */
ALWAYS void fetch(const float *from, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        __builtin_prefetch(from + i, 0, 2);
    }
}

/* ---------------------------------------------------------------------------------------- gather
 * One output pixel's sums stay in registers over a run of events.
 */
#define EVENTS_AHEAD 12

/* Fetches what the event some places further on will need. */
ALWAYS void fetch_ahead(const float *weights, const uint32_t *event, const int registers) {
    const float *w = weights + (size_t)(event[EVENTS_AHEAD] >> 16) * (size_t)registers * LANES;
    for (int i = 0; i < registers * LANES; i += 16) {
        __builtin_prefetch(w + i, 0, 3);
    }
}

ALWAYS void add_event(vec *sum, const float *origin, const uint32_t *event, const float *table,
                      const int registers, const bool far) {
    const float *w = origin + (size_t)(*event >> 16) * (size_t)registers * LANES;
    vec value = vec_set(table[*event & 0xffff]);
    ONE_BASE(w);
    if (far) {
        fetch_ahead(origin, event, registers);
    }
    add_weights(sum, w, value, registers);
}

/* `together` runs side by side: a sum can only take one event after the other, and one run has too
 * few of them to keep the processor busy. */
ALWAYS void gather_group(const td_gather_job *j, const td_run *runs, const int together,
                         const int registers, const bool far) {
    const ptrdiff_t outputs = (ptrdiff_t)registers * LANES;
    const float *table = j->table, *origin[8];
    const uint32_t *event[8];
    vec sum[8][TD_MAX_REGISTERS];
    uint32_t least = runs[0].count;
    EACH_OF_8(g, together, {
        const float *sums = j->bias != NULL ? j->bias : j->sums + runs[g].sums;
        ONE_BASE(sums);
        load_sums(sum[g], sums, registers);
        origin[g] = j->weights - runs[g].place * outputs;
        event[g] = j->events + runs[g].first;
        least = runs[g].count < least ? runs[g].count : least;
    })
    for (uint32_t i = 0; i < least; i++) {
        EACH_OF_8(g, together, add_event(sum[g], origin[g], event[g] + i, table, registers, far);)
    }
    EACH_OF_8(g, together, {
        float *sums = j->sums + runs[g].sums;
        for (uint32_t i = least; i < runs[g].count; i++) {
            add_event(sum[g], origin[g], event[g] + i, table, registers, far);
        }
        ONE_BASE(sums);
        store_sums(sums, sum[g], registers);
    })
}

ALWAYS void gather_runs(const td_gather_job *job, const int registers, const bool far) {
    const td_gather_job copy = *job, *j = &copy; /* which no sum that is stored can change */
    const int wanted = (8 + registers - 1) / registers;
    const int together = far || wanted * registers > GATHER_SUMS ? 1 : wanted;
    size_t k = 0;
    for (; k + (size_t)together <= j->run_count; k += (size_t)together) {
        gather_group(j, j->runs + k, together, registers, far);
        fetch(j->ahead + k * j->ahead_step, (size_t)together * j->ahead_step);
    }
    for (; k < j->run_count; k++) {
        gather_group(j, j->runs + k, 1, registers, far);
        fetch(j->ahead + k * j->ahead_step, j->ahead_step);
    }
}

ALWAYS void gather_near(const td_gather_job *j, const int registers) {
    gather_runs(j, registers, false);
}

ALWAYS void gather_far(const td_gather_job *j, const int registers) {
    gather_runs(j, registers, true);
}

static void gather(const td_gather_job *job) {
    if (job->far) {
        WITH_REGISTERS(gather_far, job)
    } else {
        WITH_REGISTERS(gather_near, job)
    }
}

/* --------------------------------------------------------------------------------------- scatter
 * Each event goes to the sums of all output pixels that it reaches, in memory.
 */
ALWAYS void scatter_event(const td_scatter_job *j, float *sums, const float *w, float value,
                          const int registers) {
    vec v = vec_set(value);
    for (int k = j->first_row; k < j->end_row; k++) {
        float *to = sums;
        const float *from = w + (size_t)(k + 1) * j->weight_pitch;
        for (int t = 0; t < j->taps; t++, to += j->sum_pitch) {
            from -= registers * LANES; /* the last tap reaches the first output pixel */
            for (int r = 0; r < registers; r++) {
                vec sum = vec_fma(vec_load(from + r * LANES), v, vec_load(to + r * LANES));
                vec_store(to + r * LANES, sum);
            }
        }
        sums -= j->row_pitch;
    }
}

ALWAYS void scatter_row(const td_scatter_job *j, const int registers) {
    const uint32_t channels = (uint32_t)j->channels;
    size_t weights = (size_t)j->kernel_rows * j->weight_pitch; /* of a channel */
    for (uint32_t i = j->row.starts[0]; i < j->row.starts[1]; i++) {
        uint32_t event = j->row.events[i], place = event >> 16;
        uint32_t x = channels == 1 ? place : place / channels;
        scatter_event(j, j->sums + (size_t)x * j->sum_pitch,
                      j->weights + (size_t)(place - x * channels) * weights,
                      j->table[event & 0xffff], registers);
    }
}

static void scatter(const td_scatter_job *job){WITH_REGISTERS(scatter_row, job)}

/* ----------------------------------------------------------------------------------------- slide
 * The sums of the 3 x 3 output pixels around an input pixel stay in registers: each event is read
 * once and goes to all nine. At the plane's border, and at that of a thread's rows, there are one
 * or two rows of them.
 */

/* Sums of one column of output pixels; where they begin those of the last row are the bias. */
ALWAYS void load_column(vec (*sum)[3][SLIDE_REGISTERS], const int column, const td_slide_job *j,
                        size_t offset, const int rows, const int registers, const bool begins) {
    EACH_OF_3(row, rows, const bool bias = begins && row == rows - 1;
              load_sums(sum[row][column], bias ? j->bias : j->sums[row] + offset, registers);)
}

ALWAYS void store_column(vec (*sum)[3][SLIDE_REGISTERS], const int column, const td_slide_job *j,
                         size_t offset, const int rows, const int registers) {
    EACH_OF_3(row, rows, store_sums(j->sums[row] + offset, sum[row][column], registers);)
}

/* The event that comes next, looked up while the one before is added, whichever pixel it belongs
 * to: then it is there when a run ends otherwise than foreseen. Behind the last one lies another,
 * of whatever. */
typedef struct next_event {
    const uint32_t *event;
    size_t weights;
    vec value;
} next_event;

ALWAYS void look_up(next_event *n, const float *table, const size_t stride) {
    n->weights = (size_t)(*n->event >> 16) * stride;
    n->value = vec_set(table[*n->event & TD_EVENT_TIME]);
}

/* The events of pixel x onto the columns first .. end - 1 of the three. */
ALWAYS void slide_pixel(vec (*sum)[3][SLIDE_REGISTERS], next_event *next, const uint32_t *behind,
                        const td_slide_job *j, int x, const int rows, const int first,
                        const int end, const int registers) {
    const size_t stride = 9 * (size_t)registers * LANES; /* weights of a channel */
    const float *origin = j->weights - (size_t)x * (size_t)j->block * stride, *table = j->table;
    while (next->event < behind) {
        const float *w = origin + next->weights;
        vec value = next->value;
        next->event++;
        look_up(next, table, stride);
        ONE_BASE(w); /* the last tap comes first */
        EACH_OF_3(row, rows,
                  EACH_OF_3(
                      column, end, if (column >= first) {
                          const int tap = 3 * (rows - row) - 1 - column;
                          add_weights(sum[row][column], w + tap * registers * LANES, value,
                                      registers);
                      }))
    }
}

ALWAYS void slide_row(const td_slide_job *job, const int rows, const int registers,
                      const bool begins) {
    const td_slide_job copy = *job, *j = &copy; /* which no sum that is stored can change */
    vec sum[3][3][SLIDE_REGISTERS];             /* [row][kx = 2, 1, 0] */
    load_column(sum, 0, j, 0, rows, registers, begins);
    load_column(sum, 1, j, j->sum_pitch, rows, registers, begins);
    next_event next = {.event = j->row.events + j->row.starts[0]};
    look_up(&next, j->table, 9 * (size_t)registers * LANES);
    const uint32_t *behind = j->row.events + j->row.starts[j->width > 0 ? 1 : 0];
    for (int x = 0; x < j->width; x++) {
        size_t oldest = (size_t)x * j->sum_pitch;
        /* looked up early: a run's end is seldom foreseen, and what follows it waits */
        const uint32_t *later = j->row.events + j->row.starts[x + 1 < j->width ? x + 2 : x + 1];
        load_column(sum, 2, j, oldest + 2 * j->sum_pitch, rows, registers, begins);
        if (x == j->deaf_left) {
            slide_pixel(sum, &next, behind, j, x, rows, 1, 3, registers);
        } else if (x == j->deaf_right) {
            slide_pixel(sum, &next, behind, j, x, rows, 0, 2, registers);
        } else {
            slide_pixel(sum, &next, behind, j, x, rows, 0, 3, registers);
        }
        behind = later;
        store_column(sum, 0, j, oldest, rows, registers);
        fetch(j->ahead + (size_t)x * j->ahead_step, j->ahead_step);
        EACH_OF_3(row, rows,
                  EACH_OF_3(r, registers, sum[row][0][r] = sum[row][1][r];
                            sum[row][1][r] = sum[row][2][r];))
    }
    size_t end = (size_t)j->width * j->sum_pitch;
    store_column(sum, 0, j, end, rows, registers);
    store_column(sum, 1, j, end + j->sum_pitch, rows, registers);
}

static void slide(const td_slide_job *j) {
#if SLIDE_REGISTERS > 1
    if (j->registers == SLIDE_REGISTERS) {
        WITH_ROWS(slide_row, j, SLIDE_REGISTERS)
        return;
    }
#endif
    WITH_ROWS(slide_row, j, 1)
}

/* ---------------------------------------------------------------------------------------- column
 * The sums of the output pixels above one another that an input row reaches stay in registers over
 * the events of all taps; those of two such columns side by side, where they have room and all but
 * the outermost events go to both.
 */
typedef vec column_sums[TD_COLUMN_PAIR][TD_COLUMN_ROWS][TD_COLUMN_REGISTERS];

/* Where they begin the sums of the last row are the bias. */
ALWAYS void load_columns(column_sums sum, const td_column_job *j, size_t offset, const int together,
                         const int rows, const int registers, const bool begins) {
    EACH_OF_3(column, together, const size_t at = offset + (size_t)(column * registers * LANES);
              EACH_OF_3(row, rows, const bool bias = begins && row == rows - 1; load_sums(
                            sum[column][row], bias ? j->bias : j->sums[row] + at, registers);))
}

ALWAYS void store_columns(column_sums sum, const td_column_job *j, size_t offset,
                          const int together, const int rows, const int registers) {
    EACH_OF_3(column, together, const size_t at = offset + (size_t)(column * registers * LANES);
              EACH_OF_3(row, rows, store_sums(j->sums[row] + at, sum[column][row], registers);))
}

/* Where the events of a group's input pixels begin and end: its first one, those that both columns
 * hear, and one more. */
typedef struct column_runs {
    const uint32_t *first, *inner, *outer, *behind;
} column_runs;

ALWAYS const uint32_t *column_event(const td_column_job *j, int x) {
    x = x < 0 ? 0 : x > j->width ? j->width : x;
    return j->row.events + j->row.starts[x];
}

ALWAYS column_runs column_runs_of(const td_column_job *j, int pixel) {
    const int left = pixel * j->step - j->pad, right = left + j->taps;
    return (column_runs){column_event(j, left), column_event(j, left + 1), column_event(j, right),
                         column_event(j, right + 1)};
}

/* A run of events onto the columns first .. end - 1. */
ALWAYS void column_events(column_sums sum, const td_column_job *j, const float *origin,
                          const uint32_t *event, const uint32_t *behind, const int first,
                          const int end, const int rows, const int registers) {
    const int outputs = registers * LANES;
    const size_t stride = (size_t)j->kernel_rows * (size_t)outputs; /* weights of a channel */
    const size_t tap = (size_t)j->block * stride;
    const float *table = j->table;
    for (; event < behind; event++) {
        const float *w = origin + (size_t)(*event >> 16) * stride;
        vec value = vec_set(table[*event & TD_EVENT_TIME]);
        EACH_OF_3(
            column, end, if (column >= first) {
                const float *from = w - (size_t)column * tap;
                ONE_BASE(from);
                EACH_OF_3(row, rows,
                          add_weights(sum[column][row], from + (rows - 1 - row) * outputs, value,
                                      registers);)
            })
    }
}

ALWAYS column_runs column_group(const td_column_job *j, column_runs r, int pixel,
                                const int together, const int rows, const int registers,
                                const bool begins) {
    const size_t outputs = (size_t)registers * LANES, offset = (size_t)pixel * outputs;
    const ptrdiff_t tap = (ptrdiff_t)j->block * j->kernel_rows * (ptrdiff_t)outputs;
    const float *origin = j->weights - (pixel * j->step - j->pad) * tap;
    column_sums sum;
    load_columns(sum, j, offset, together, rows, registers, begins);
    /* looked up early: a run's end is seldom foreseen, and what follows it waits */
    column_runs next = pixel + together < j->pixels ? column_runs_of(j, pixel + together) : r;
    if (together == 1) {
        column_events(sum, j, origin, r.first, r.outer, 0, 1, rows, registers);
    } else {
        column_events(sum, j, origin, r.first, r.inner, 0, 1, rows, registers);
        column_events(sum, j, origin, r.inner, r.outer, 0, 2, rows, registers);
        column_events(sum, j, origin, r.outer, r.behind, 1, 2, rows, registers);
    }
    store_columns(sum, j, offset, together, rows, registers);
    fetch(j->ahead + (size_t)pixel * j->ahead_step, (size_t)together * j->ahead_step);
    return next;
}

ALWAYS void column_row(const td_column_job *job, const int rows, const int registers,
                       const bool begins) {
    const td_column_job copy = *job, *j = &copy; /* which no sum that is stored can change */
    const bool room = TD_COLUMN_PAIR * TD_COLUMN_ROWS * registers <= COLUMN_SUMS;
    int p = 0;
    column_runs runs = column_runs_of(j, 0);
    for (; room && j->step == 1 && p + TD_COLUMN_PAIR <= j->pixels; p += TD_COLUMN_PAIR) {
        runs = column_group(j, runs, p, TD_COLUMN_PAIR, rows, registers, begins);
    }
    for (; p < j->pixels; p++) {
        runs = column_group(j, runs, p, 1, rows, registers, begins);
    }
}

static void column(const td_column_job *j) {
    switch (j->registers) {
    case 1:
        WITH_ROWS(column_row, j, 1)
        break;
    case 2:
        WITH_ROWS(column_row, j, 2)
        break;
    case 3:
        WITH_ROWS(column_row, j, 3)
        break;
    default:
        WITH_ROWS(column_row, j, TD_COLUMN_REGISTERS)
        break;
    }
}

/* ----------------------------------------------------------------------------------------- dense
 * A tile of pixels x outputs stays in registers over the whole sum.
 */
ALWAYS void dense_tile(const td_dense_job *j, int first, const int pixels, const int registers) {
    float *sums = j->sums + (size_t)first * j->sum_pitch;
    const float *values = j->values + (size_t)first * j->pixel_pitch, *w = j->weights;
    vec sum[DENSE_SUMS][DENSE_REGISTERS];
    for (int p = 0; p < pixels; p++) {
        load_sums(sum[p], j->bias != NULL ? j->bias : sums + (size_t)p * j->sum_pitch, registers);
    }
    for (int done = 0; done < j->inputs; done += j->block) {
        int channels = j->inputs - done < j->block ? j->inputs - done : j->block;
        for (int ky = 0; ky < j->rows; ky++) {
            for (int kx = 0; kx < j->taps; kx++, w += (size_t)j->block * registers * LANES) {
                const float *in =
                    values + (size_t)ky * j->row_pitch + (size_t)kx * j->tap_pitch + (size_t)done;
                for (int c = 0; c < channels; c++) {
                    vec weights[DENSE_REGISTERS];
                    load_sums(weights, w + (size_t)c * registers * LANES, registers);
                    for (int p = 0; p < pixels; p++) {
                        vec value = vec_set(in[(size_t)p * j->pixel_pitch + (size_t)c]);
                        for (int r = 0; r < registers; r++) {
                            sum[p][r] = vec_fma(weights[r], value, sum[p][r]);
                        }
                    }
                }
            }
        }
    }
    for (int p = 0; p < pixels; p++) {
        store_sums(sums + (size_t)p * j->sum_pitch, sum[p], registers);
    }
}

/* Tiles of n pixels, if that many have room in the registers. */
#define DENSE_CASE(n)                                                                              \
    case n:                                                                                        \
        if ((n)*registers <= DENSE_SUMS) {                                                         \
            dense_tile(j, first, n, registers);                                                    \
        }                                                                                          \
        break;

/* Tiles of nearly equal size: 8 pixels are 4 + 4, not 6 + 2. */
ALWAYS void dense_row(const td_dense_job *j, const int registers) {
    const int most = DENSE_SUMS / registers < 16 ? DENSE_SUMS / registers : 16;
    int tiles = (j->pixels + most - 1) / most;
    for (int t = 0, first = 0; t < tiles; t++) {
        int pixels = (j->pixels - first + tiles - t - 1) / (tiles - t);
        switch (pixels) {
            DENSE_CASE(1)
            DENSE_CASE(2)
            DENSE_CASE(3)
            DENSE_CASE(4)
            DENSE_CASE(5)
            DENSE_CASE(6)
            DENSE_CASE(7)
            DENSE_CASE(8)
            DENSE_CASE(9)
            DENSE_CASE(10)
            DENSE_CASE(11)
            DENSE_CASE(12)
            DENSE_CASE(13)
            DENSE_CASE(14)
            DENSE_CASE(15)
            DENSE_CASE(16)
        default:
            break;
        }
        first += pixels;
    }
}

static void dense(const td_dense_job *job) {
    switch (job->registers) {
    case 1:
        dense_row(job, 1);
        break;
    case 2:
        dense_row(job, 2);
        break;
#if DENSE_REGISTERS > 3
    case 3:
        dense_row(job, 3);
        break;
#endif
    default:
        dense_row(job, DENSE_REGISTERS);
        break;
    }
}

/* -------------------------------------------------------------------------------------- channels
 */
ALWAYS void channel_row(const td_channel_job *j, const int registers) {
    for (int x = 0; x < j->pixels; x++) {
        float *sums = j->sums + (size_t)x * j->sum_pitch;
        const float *w = j->weights;
        vec sum[TD_MAX_REGISTERS];
        load_sums(sum, j->bias != NULL ? j->bias : sums, registers);
        for (int ky = 0; ky < j->rows; ky++) {
            const float *in = j->values + (size_t)x * j->pixel_pitch + (size_t)ky * j->row_pitch;
            for (int kx = 0; kx < j->taps; kx++, in += j->tap_pitch, w += registers * LANES) {
                for (int r = 0; r < registers; r++) {
                    sum[r] = vec_fma(vec_load(w + r * LANES), vec_load(in + r * LANES), sum[r]);
                }
            }
        }
        store_sums(sums, sum, registers);
    }
}

/* Shortcuts: all weights stay in registers over the row. */
ALWAYS void channel_row_1(const td_channel_job *job, const int registers) {
    const td_channel_job copy = *job, *j = &copy; /* which no sum that is stored can change */
    vec weights[TD_MAX_REGISTERS];
    load_sums(weights, j->weights, registers);
    for (int x = 0; x < j->pixels; x++) {
        float *sums = j->sums + (size_t)x * j->sum_pitch;
        const float *in = j->values + (size_t)x * j->pixel_pitch;
        const float *from = j->bias != NULL ? j->bias : sums;
        EACH_OF_8(r, registers,
                  vec_store(sums + r * LANES, vec_fma(weights[r], vec_load(in + r * LANES),
                                                      vec_load(from + r * LANES)));)
    }
}

/* 3 x 3 windows: the weights of one register of channels stay in registers over the row. */
ALWAYS void channel_row_9(const td_channel_job *j, int r) {
    const float *w = j->weights + (size_t)r * LANES, *row[3];
    float *sums = j->sums + (size_t)r * LANES;
    const size_t tap = j->tap_pitch;
    vec weights[9];
    for (int k = 0; k < 9; k++) {
        weights[k] = vec_load(w + (size_t)k * (size_t)j->registers * LANES);
    }
    for (int ky = 0; ky < 3; ky++) {
        row[ky] = j->values + (size_t)r * LANES + (size_t)ky * j->row_pitch;
    }
    for (int x = 0; x < j->pixels; x++, sums += j->sum_pitch) {
        vec sum = vec_load(j->bias != NULL ? j->bias + (size_t)r * LANES : sums);
        for (int ky = 0; ky < 3; ky++) {
            sum = vec_fma(weights[3 * ky], vec_load(row[ky]), sum);
            sum = vec_fma(weights[3 * ky + 1], vec_load(row[ky] + tap), sum);
            sum = vec_fma(weights[3 * ky + 2], vec_load(row[ky] + 2 * tap), sum);
            row[ky] += j->pixel_pitch;
        }
        vec_store(sums, sum);
    }
}

static void channels(const td_channel_job *job) {
    if (job->rows == 3 && job->taps == 3) {
        for (int r = 0; r < job->registers; r++) {
            channel_row_9(job, r);
        }
        return;
    }
    if (job->rows == 1 && job->taps == 1) {
        WITH_REGISTERS(channel_row_1, job)
        return;
    }
    WITH_REGISTERS(channel_row, job)
}

/* ------------------------------------------------------------------------- sums, times and lists
 */
ALWAYS void fill_row(const float *bias, const int registers, int pixels, float *sums) {
    vec value[TD_MAX_REGISTERS];
    load_sums(value, bias, registers);
    for (int p = 0; p < pixels; p++) {
        store_sums(sums + (size_t)p * (size_t)registers * LANES, value, registers);
    }
}

static void fill(const float *bias, int registers, int pixels, float *sums) {
    if (registers == 1) {
        fill_row(bias, 1, pixels, sums);
    } else {
        fill_row(bias, registers, pixels, sums);
    }
}

ALWAYS void encode_pixels(const td_tree *tree, const int levels, const float *drives,
                          size_t sum_pitch, int pixels, int channels, uint8_t *times,
                          size_t time_pitch) {
    search s = search_start(tree);
    for (int p = 0; p < pixels; p++) {
        const float *from = drives + (size_t)p * sum_pitch;
        uint8_t *to = times + (size_t)p * time_pitch;
        int c = 0;
        for (; c + LANES <= channels; c += LANES) {
            encode_lanes(&s, levels, from + c, to + c);
        }
        if (c < channels) { /* the bytes behind may be another thread's */
            uint8_t rest[LANES];
            encode_lanes(&s, levels, from + c, rest);
            for (int i = 0; c + i < channels; i++) {
                to[c + i] = rest[i];
            }
        }
    }
}

#define ENCODE_CASE(levels)                                                                        \
    case levels:                                                                                   \
        encode_pixels(tree, levels, drives, sum_pitch, pixels, channels, times, time_pitch);       \
        break;

static void encode_searched(const td_tree *tree, const float *drives, size_t sum_pitch, int pixels,
                            int channels, uint8_t *times, size_t time_pitch) {
    switch (tree->levels) {
        ENCODE_CASE(1)
        ENCODE_CASE(2)
        ENCODE_CASE(3)
        ENCODE_CASE(4)
        ENCODE_CASE(5)
        ENCODE_CASE(6)
        ENCODE_CASE(7)
        ENCODE_CASE(8)
    default:
        break;
    }
}

#ifdef CURVE_LEVELS
/* One group of registers; what is in doubt is searched. */
ALWAYS void encode_group(const td_tree *tree, const curve *c, const int n, const bool silenced,
                         const float *drives, uint8_t *times) {
    if (!curve_lanes(c, drives, n, silenced, times)) {
        encode_searched(tree, drives, 0, 1, n * LANES, times, 0);
    }
}

ALWAYS void encode_curve(const td_tree *tree, const bool silenced, const float *drives,
                         size_t sum_pitch, int pixels, int channels, uint8_t *times,
                         size_t time_pitch) {
    curve k = curve_start(&tree->curve);
    for (int p = 0; p < pixels; p++) {
        const float *from = drives + (size_t)p * sum_pitch;
        uint8_t *to = times + (size_t)p * time_pitch;
        int c = 0;
        for (; c + 4 * LANES <= channels; c += 4 * LANES) {
            encode_group(tree, &k, 4, silenced, from + c, to + c);
        }
        if (c + 2 * LANES <= channels) {
            encode_group(tree, &k, 2, silenced, from + c, to + c);
            c += 2 * LANES;
        }
        if (c + LANES <= channels) {
            encode_group(tree, &k, 1, silenced, from + c, to + c);
            c += LANES;
        }
        if (c < channels) { /* the bytes behind may be another thread's */
            uint8_t rest[LANES];
            encode_group(tree, &k, 1, silenced, from + c, rest);
            for (int i = 0; c + i < channels; i++) {
                to[c + i] = rest[i];
            }
        }
    }
}
#endif

static void encode(const td_tree *tree, const float *drives, size_t sum_pitch, int pixels,
                   int channels, uint8_t *times, size_t time_pitch) {
#ifdef CURVE_LEVELS
    if (tree->curve.fits && tree->levels >= CURVE_LEVELS) {
        if (tree->curve.silenced) {
            encode_curve(tree, true, drives, sum_pitch, pixels, channels, times, time_pitch);
        } else {
            encode_curve(tree, false, drives, sum_pitch, pixels, channels, times, time_pitch);
        }
        return;
    }
#endif
    encode_searched(tree, drives, sum_pitch, pixels, channels, times, time_pitch);
}

static void decode(const float *table, int steps, const uint8_t *times, float *values,
                   size_t count) {
    lookup l = lookup_start(table, steps);
    for (size_t i = 0; i < count; i += DECODE_REGISTERS * LANES) {
        decode_lanes(&l, times + i, values + i);
    }
}

ALWAYS size_t list_pixel(const td_list_job *j, const int channels, size_t offset, uint32_t first,
                         bool pairs, uint32_t *events) {
    const uint8_t *times = j->times + offset, *negative = pairs ? j->negative + offset : NULL;
    places at = places_from(first << 16);
    size_t n = 0;
    int c = 0;
    for (; c + LANES <= channels; c += LANES, at = places_next(at)) {
        n += list_lanes(times + c, pairs ? negative + c : NULL, LANES, at, events + n);
    }
    if (c < channels) {
        n += list_lanes(times + c, pairs ? negative + c : NULL, channels - c, at, events + n);
    }
    return n;
}

ALWAYS void list_row(const td_list_job *job, const int channels, bool pairs) {
    const td_list_job copy = *job, *j = &copy; /* which no event that is written can change */
    size_t n = 0;
    for (int x = 0; x < j->width; x++) {
        j->starts[x] = (uint32_t)n;
        n += list_pixel(j, channels, (size_t)x * j->pixel_pitch, (uint32_t)x * (uint32_t)j->block,
                        pairs, j->events + n);
    }
    j->starts[j->width] = (uint32_t)n;
}

static void list(const td_list_job *j) {
    if (j->negative != NULL) {
        list_row(j, j->channels, true);
    } else if (j->channels == 16) { /* most blocks: no loop */
        list_row(j, 16, false);
    } else if (j->channels == 32) {
        list_row(j, 32, false);
    } else {
        list_row(j, j->channels, false);
    }
}

#define TABLE_NAME(variant) td_kernels_##variant
#define TABLE_OF(variant) TABLE_NAME(variant)
#define TEXT_OF(variant) #variant
#define NAME_OF(variant) TEXT_OF(variant)

extern const td_kernels TABLE_OF(VARIANT);
const td_kernels TABLE_OF(VARIANT) = {
    .name = NAME_OF(VARIANT),
    .lanes = LANES,
    .dense_registers = DENSE_REGISTERS,
    .dense_sums = DENSE_SUMS,
    .slide_registers = SLIDE_REGISTERS,
    .column_sums = COLUMN_SUMS,
    .decoded = DECODE_REGISTERS * LANES,
    .gather = gather,
    .scatter = scatter,
    .slide = slide,
    .column = column,
    .dense = dense,
    .channels = channels,
    .fill = fill,
    .encode = encode,
    .decode = decode,
    .list = list,
};
