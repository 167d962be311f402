/* The inner loops of the event engine, once for each instruction set. Every variant adds in the
 * normative order (docs/exactness.md), lanes are different neurons, and each fused multiply-add
 * rounds once: so all give the same bits. */
#ifndef TD_ENGINE_KERNELS_KERNELS_H
#define TD_ENGINE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most vector registers that hold the sums of one pixel. */
#define TD_MAX_REGISTERS 8
/* `column`: the most registers and rows of sums, and columns of them side by side. */
#define TD_COLUMN_REGISTERS 4
#define TD_COLUMN_ROWS 3
#define TD_COLUMN_PAIR 2
/* Elements that kernels may read behind the end of a buffer, or write behind a list of events. */
#define TD_SLACK 64

/* The events of one row of a population and one block of its channels, pixel by pixel, channels
 * ascending. An event is (x * block + channel in the block) << 16 | its index in the table of what
 * spikes stand for: the spike time, or TD_NEGATIVE + that of a pair's second neuron. */
typedef struct td_event_row {
    const uint32_t *events;
    const uint32_t *starts; /* [width + 1]: the first event of each pixel */
} td_event_row;

/* The bits of an event that are its time, or its index in a table of values, [2 * 256]. */
#define TD_EVENT_TIME 0x1ff
/* Where the second half of such a table begins. */
#define TD_NEGATIVE 256
/* The most that width * block may be, so that places fit. */
#define TD_MAX_PLACES 65536

/* Neighbouring events that go to one output pixel: those of the taps of a kernel row. */
typedef struct td_run {
    uint32_t sums;  /* floats from the job's sums to the pixel's */
    uint32_t first; /* event */
    uint32_t count;
    int32_t place; /* of the first channel of the first tap; below zero where that is padding */
} td_run;

/* Runs of events onto output pixels, each its own, through one kernel row; in which order is free.
 */
typedef struct td_gather_job {
    float *sums;
    const float *bias; /* [registers * lanes] where sums begin; NULL: they have begun */
    int registers;     /* a pixel has registers * lanes outputs */
    bool far;          /* the weights are many: they are fetched some events ahead */
    size_t run_count;
    const td_run *runs;     /* those of one length together: then the end of each is foreseen */
    const uint32_t *events; /* TD_SLACK readable behind the last */
    const float *weights;   /* [taps][block][registers * lanes] */
    const float *ahead;     /* what comes next, unless `far`: */
    size_t ahead_step;      /* of which each run fetches so much into the second-level cache */
    const float *table;     /* [2 * 256] */
} td_gather_job;

/* Events of one input row onto all output rows that it reaches, kernels of stride 1: for few
 * events. Output rows have pixels to spare on both sides, for taps that lie outside. */
typedef struct td_scatter_job {
    float *sums;      /* of the output pixel that the last tap of input pixel 0 reaches, in the row
                       * of kernel row `first_row` */
    size_t sum_pitch; /* from one output pixel to the next */
    size_t row_pitch; /* from one output row to the next */
    int registers;
    int channels, taps;
    int first_row, end_row; /* kernel rows whose output rows exist; sums of row k + 1 lie one output
                             * row above those of k */
    td_event_row row;       /* listed as one pixel of width x channels */
    const float *weights;   /* [channels][kernel rows][taps][registers * lanes] */
    size_t weight_pitch;    /* floats of one kernel row */
    int kernel_rows;
    const float *table;
} td_scatter_job;

/* Events of one input row onto output rows that a 3x3 kernel of stride 1 reaches: all three, or
 * those that exist. */
typedef struct td_slide_job {
    int rows;          /* 1 .. 3 */
    float *sums[3];    /* those of ky = lowest + rows - 1, .., lowest, from output pixel pad - 2 on;
                        * each has width + 2 pixels, of registers * lanes outputs */
    const float *bias; /* as in td_gather_job, of the last of these rows alone */
    size_t sum_pitch;
    int registers;
    int width, block;
    int deaf_left, deaf_right; /* input pixels without an output pixel before, and behind; or -1 */
    td_event_row row;
    const float *weights; /* [block][3][3][registers * lanes], from ky = lowest on */
    const float *ahead;   /* what comes next: */
    size_t ahead_step;    /* of which each pixel fetches so much into the second-level cache */
    const float *table;   /* [2 * 256] */
} td_slide_job;

/* Events of one input row onto the output rows that it reaches. */
typedef struct td_column_job {
    int rows;
    float *sums[TD_COLUMN_ROWS]; /* output pixel 0 of each, the one that hears the last kernel row
                                    first */
    const float *bias;           /* as in td_gather_job, of the last of these rows alone */
    int registers, pixels;
    int step, pad, taps; /* output pixel p hears the input pixels p * step - pad, .. + taps - 1 */
    int width, block;
    td_event_row row;
    const float *weights; /* [taps][block][kernel_rows][registers * lanes], from the kernel row of
                           * the last sums on; those of the others follow it */
    int kernel_rows;
    const float *ahead; /* what comes next: */
    size_t ahead_step;  /* of which each pixel fetches so much into the second-level cache */
    const float *table; /* [2 * 256] */
} td_column_job;

/* One row of output pixels, densely: every input counts, also if it is 0. */
typedef struct td_dense_job {
    float *sums;
    const float *bias; /* as in td_gather_job */
    size_t sum_pitch;
    int pixels, registers;
    const float *values; /* channel 0 at tap (0, 0) of output pixel 0; padding is there, as zeros */
    size_t pixel_pitch;  /* floats from one output pixel's input to the next's */
    size_t tap_pitch;    /* from one tap of a kernel row to the next */
    size_t row_pitch;    /* from one kernel row to the next */
    int rows, taps;
    int inputs, block;    /* channels, and how many a block of the packed weights has */
    const float *weights; /* [blocks][rows][taps][block][registers * lanes] */
} td_dense_job;

/* One row of output pixels; every output reads the one input channel of its own index. */
typedef struct td_channel_job {
    float *sums;
    const float *bias; /* as in td_gather_job */
    size_t sum_pitch;
    int pixels, registers;
    const float *values;
    size_t pixel_pitch, tap_pitch, row_pitch; /* as in td_dense_job */
    int rows, taps;
    const float *weights; /* [rows][taps][registers * lanes] */
} td_channel_job;

/* A curve through a code's thresholds, of the form that those of formulas have: cubics over spans
 * of y = 1 + drive * unit, with spike times as whole numbers of 2^16. Where it comes so near to a
 * whole number that its error could matter, the thresholds are searched. */
typedef struct td_curve {
    bool fits;             /* false: there is none, all is searched */
    bool silenced;         /* drives up to `silent` are silent, wherever the curve is */
    int shift;             /* span: the bits of y >> shift, of which the lowest three count */
    float unit, low, high; /* y is held between low and high */
    float silent;
    uint32_t doubt;     /* a fraction below this, of 2^16, is too near */
    float terms[4][16]; /* [power][span, twice]; that of power 0 holds 2^23 */
} td_curve;

/* A code's thresholds as a binary search meets them: it begins at node 1 and goes from node j on to
 * 2 j or, if the drive is above the node's threshold, to 2 j + 1; after `levels` steps the spike
 * time is j - 2^levels. Nodes behind the last threshold are +inf. */
typedef struct td_tree {
    int levels;       /* 1 .. 8 */
    float nodes[256]; /* 1 .. 2^levels - 1 are in use */
    /* Levels 3, 4 and 5 once more: [1, 2 and 4 of them][the node's ancestor on level 3, less 8]. */
    float octants[7][8];
    td_curve curve;
} td_tree;

/* A row of spike times as a list of events. */
typedef struct td_list_job {
    const uint8_t *times;    /* of the block's first channel; TD_SLACK readable behind the row */
    const uint8_t *negative; /* of the second neurons of pairs, or NULL */
    size_t pixel_pitch;
    int width, channels; /* of the block that exist */
    int block;           /* pitch of the places */
    uint32_t *events;
    uint32_t *starts; /* [width + 1] */
} td_list_job;

typedef struct td_kernels {
    const char *name;    /* scalar, avx2, avx512, neon */
    int lanes;           /* outputs a register */
    int dense_registers; /* the most that `dense` takes; others take TD_MAX_REGISTERS */
    int dense_sums;      /* pixels x registers that it sums at once, 16 pixels at most */
    int slide_registers; /* `slide` takes 1 or this many */
    int column_sums;     /* in registers: those of a pair of columns, if they have room */
    int decoded;         /* values that `decode` writes at once: as many are whole in the end */
    void (*gather)(const td_gather_job *job);
    void (*scatter)(const td_scatter_job *job);
    void (*slide)(const td_slide_job *job);
    void (*column)(const td_column_job *job);
    void (*dense)(const td_dense_job *job);
    void (*channels)(const td_channel_job *job);
    /* sums[0 .. pixels - 1][registers * lanes] = bias[registers * lanes]. */
    void (*fill)(const float *bias, int registers, int pixels, float *sums);
    /* times[p * time_pitch + c] of pixels x channels drives, sum_pitch apart. */
    void (*encode)(const td_tree *tree, const float *drives, size_t sum_pitch, int pixels,
                   int channels, uint8_t *times, size_t time_pitch);
    /* values[i] = table[times[i]], times up to `steps`; more are read and written, up to the next
     * multiple of `decoded` */
    void (*decode)(const float *table, int steps, const uint8_t *times, float *values,
                   size_t count);
    void (*list)(const td_list_job *job);
} td_kernels;

/* The kernels of one instruction set, NULL if this build or processor has none of that name; the
 * widest one for name == NULL, lowered by the environment's TDSNN_CPU (scalar, avx2, avx512,
 * neon). */
const td_kernels *td_kernels_find(const char *name);

/* Variant `index` in ascending order, for tests and benchmarks; NULL behind the last, and for one
 * that this processor does not run *runs is false. */
const td_kernels *td_kernels_at(int index, int *runs);

#endif
