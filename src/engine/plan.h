/* What plan.c makes and event.c runs; for the room alone. */
#ifndef TD_ENGINE_PLAN_H
#define TD_ENGINE_PLAN_H

#include "engine/event.h"

/* Channels of a layer's spike times are padded to a multiple of this: [H][W][pitch]. Fewer lie
 * close together, so that the taps of a kernel row are one run. */
#define TD_CHANNEL_PITCH 16
/* Output pixels of margin on both sides of a row of sums: slides and scatters reach over the
 * border.
 */
#define TD_MARGIN 6

/* Whether a population is read as lists of events. */
static inline bool td_form_lists(td_form form) {
    return form == TD_FORM_SLIDE || form == TD_FORM_COLUMN || form == TD_FORM_SCATTER ||
           form == TD_FORM_GATHER;
}

static inline size_t td_pitch(int channels) {
    size_t c = (size_t)channels;
    return c < TD_CHANNEL_PITCH ? c
                                : (c + TD_CHANNEL_PITCH - 1) / TD_CHANNEL_PITCH * TD_CHANNEL_PITCH;
}

/* Elements of the buffers that what is read goes to: how many, or from where on. */
typedef struct td_places {
    size_t values; /* floats */
    size_t flat;   /* spike times in the order of a Flatten */
    size_t events, starts;
} td_places;

/* One population, as its reader's plan takes it. */
typedef struct td_route {
    const td_synapses *synapses;
    td_form form;
    int inputs, blocks; /* channels of a group, and blocks of them */
    int block;          /* channels of a block; the last may have fewer */
    /* Dense forms read values, float [height][width][pitch], zero padding included: `top` rows and
     * `left` columns before them. The others read lists of events: [row][group][block]. */
    int height, width, top, left;
    size_t pitch;
    td_places session;       /* where it is read whole, in the session's buffers */
    td_places thread;        /* where by rows, in a thread's */
    size_t whole, flattened; /* in the session's values: before averaging, behind a Flatten */
} td_route;

/* Lists of a row of the view. */
static inline size_t td_row_lists(const td_route *route) {
    return (size_t)route->synapses->groups * (size_t)route->blocks;
}

/* From the lists of one row to those of the next: threads list different rows at the same time. */
static inline size_t td_row_events(const td_route *route) {
    return td_row_lists(route) * (size_t)route->width * (size_t)route->block + TD_SLACK;
}

/* Neurons of neighbouring channels, computed together: those of one or more registers. */
typedef struct td_block {
    int first, outputs, registers;
    const float *bias;     /* [registers * lanes], or of every neuron [H * W][registers * lanes] */
    const float **weights; /* [routes] [blocks][kh][kw][block][registers * lanes], for slides and
                            * scatters [blocks][block][kh][kw][..], for columns
                            * [blocks][kw][block][kh][..], kh in the order of td_column_row; NULL
                            * where the population does not reach these neurons */
    const int *groups;     /* [routes] the group of inputs that does */
} td_block;

typedef struct td_layer_plan {
    const td_layer *layer;
    int route_count, block_count;
    td_route *routes;
    td_block *blocks;
    /* Whether all routes can read the layers before row by row: then a thread can take a band of
     * output rows, from spike times to spike times, with all that they read near. */
    bool by_rows;
    bool lists;      /* whether some route is read as events */
    int band_rows;   /* how many at most */
    td_places whole; /* what the routes need if it is not by rows */
    int bands; /* runs of rows whose sums stay in the second-level cache, one after the other */
    size_t weight_bytes; /* of all blocks */
    td_tree tree;        /* of its code */
    const float *table;  /* [2 * 256] what spikes stand for, of second neurons of pairs negated */
    size_t times;        /* offset of its spike times in the session, bytes; of pairs two halves */
    double density;      /* expected share of events */
    double *cycles;      /* [routes] predicted */
} td_layer_plan;

/* Where columns have the weights of kernel row k: those that one input row uses, every stride-th,
 * are neighbours. */
static inline int td_column_row(const td_axis *y, int k) {
    int phase = k % y->stride, whole = y->kernel / y->stride, rest = y->kernel % y->stride;
    return phase * whole + (phase < rest ? phase : rest) + k / y->stride;
}

struct td_plan {
    const td_network *network;
    const td_kernels *kernels;
    td_arena *arena;
    td_layer_plan *layers; /* [layer_count] */
    size_t weight_bytes;
    /* of a session */
    size_t times_size; /* bytes */
    size_t sums_size;  /* floats */
    size_t row_size;   /* floats of the longest row of values */
    /* of a thread */
    td_places band;                 /* what it reads of a band */
    size_t runs_size, lengths_size; /* runs of events, and lengths that they may have */
};

/* Into how many bands of rows a session of so many threads cuts a layer whose threads go from spike
 * times to spike times; 0: it does not, and reads all before it sums. */
int td_layer_bands(const td_layer_plan *layer, int threads);

/* What such a session's layers need that do not go by rows. */
td_places td_plan_whole(const td_plan *plan, int threads);

/* A curve through the thresholds, if there is one that is near enough. */
void td_curve_fill(const tdsnn_code *code, td_curve *curve);

/* Thresholds in the order of a binary search, and their curve. */
void td_tree_fill(const tdsnn_code *code, td_tree *tree);

#endif
