/* Data: samples and labels, from files or made here. */
#ifndef TDSNN_DATA_H
#define TDSNN_DATA_H

#include <tdsnn/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tdsnn_data tdsnn_data;

typedef enum tdsnn_split { TDSNN_SPLIT_TEST, TDSNN_SPLIT_TRAIN } tdsnn_split;

/* How arrays lie: [N][C][H][W] or [N][H][W][C]. */
typedef enum tdsnn_layout { TDSNN_LAYOUT_NCHW, TDSNN_LAYOUT_NHWC } tdsnn_layout;

/* The most channels with a mean of their own. */
#define TDSNN_MAX_NORMALISED 4

/* How to open. Start from TDSNN_DATA_OPTIONS_INIT. */
typedef struct tdsnn_data_options {
    size_t size;         /* sizeof(tdsnn_data_options) */
    tdsnn_split split;   /* where there are splits */
    uint64_t seed;       /* of glyphs and random */
    double scale;        /* value = (float)(raw x scale, in double); 0: 1/255 for pictures, 1 for
                          * arrays of any type and random */
    float low, high;     /* random: values are uniform in [low, high), whatever the scale */
    int shape[3];        /* C, H, W of the network's input, 0 if unknown; random needs it */
    tdsnn_layout layout; /* npy and npz: of arrays with channels */
    int channels_normalised; /* of mean and std: C, 1 for the same in all, or 0: none */
    float mean[TDSNN_MAX_NORMALISED], std[TDSNN_MAX_NORMALISED]; /* in the unit of the values */
    int resize, crop; /* images: the shorter side, then a square in the middle; 0: as they are */
} tdsnn_data_options;
#define TDSNN_DATA_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(tdsnn_data_options), TDSNN_SPLIT_TEST, 0, 0.0, 0.0f, 1.0f, {0, 0, 0},               \
            TDSNN_LAYOUT_NCHW, 0, {0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}, 0, 0         \
    }

/* Opens `spec`, NAME[:PATH]:
 *   glyphs         ten digit classes, drawn here, 28x28 grey; train 20,000, test 10,000
 *   mnist:DIR      IDX files as MNIST names them, .gz or not
 *   cifar10:DIR    the .bin files of CIFAR-10's binary version, .gz or not
 *   images:PATH    JPEG and PNG: one picture, unlabelled; or a folder with val.txt, a file and its
 *                  class a line, or else with a folder a class; decoded when they are read
 *   random[:N]     N samples (64) of options->shape, uniform; no labels
 *   npy:FILE       one array, float32, float64, bool or an integer type; no labels
 *   npz:FILE       arrays x and, if there, y: [N] of an integer type, classes; [N][..] of float32
 *                  or float64, targets
 * Arrays are [N][C][H][W] (options->layout: [N][H][W][C]), [N][H][W] (one channel), [N][F] (F
 * values) or [N] (one value). Where options->shape is the network's input, arrays are also what it
 * wants if that fits: [N][C][L] (layout: [N][L][C]) for a 1-D network, whose shape is C, 1, L;
 * [N][F] with as many values as C, H, W, in this order; or one sample without N. Pictures get its
 * channels and must have its size; otherwise the first one's. Files are hostile: headers are
 * checked against sizes before anything is allocated. A .npy file may be packed with gzip. Errors:
 * TDSNN_ERR_USAGE (unknown name, a missing path, options that do not hold); TDSNN_ERR_INPUT naming
 * file and place. Memory: tdsnn_data_close. */
TDSNN_API tdsnn_status tdsnn_data_open(tdsnn_context *ctx, const char *spec,
                                       const tdsnn_data_options *options, tdsnn_data **data);
TDSNN_API void tdsnn_data_close(tdsnn_data *data);

typedef struct tdsnn_data_info {
    const char *spec; /* as opened */
    size_t samples;
    int shape[3]; /* C, H, W of one sample; a flat one is N, 1, 1 */
    bool labelled;
    int classes;             /* 1 + the largest label; 0 if unlabelled */
    size_t targets;          /* real values of y a sample, which then is no label; 0: none */
    bool has_splits;         /* otherwise train and test are the same samples */
    double scale;            /* in force */
    int channels_normalised; /* as in the options, as are these */
    float mean[TDSNN_MAX_NORMALISED], std[TDSNN_MAX_NORMALISED];
    int resize, crop; /* of images, as in the options; 0 of other data */
} tdsnn_data_info;
TDSNN_API tdsnn_data_info tdsnn_data_get_info(const tdsnn_data *data);

/* Reads sample `index` in 0..samples-1: values [C][H][W], scaled but not normalised (a spiking
 * network does that behind the code of its input), and its label (-1 if unlabelled; NULL is fine).
 * Errors: TDSNN_ERR_INPUT, naming the file where it is read only now.
 * Threads: safe, any number at once. */
TDSNN_API tdsnn_status tdsnn_data_read(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                                       float *values, int *label);

/* Reads the targets of a sample, [info.targets], as they are in the file, whatever the scale.
 * Threads: safe. */
TDSNN_API void tdsnn_data_read_targets(const tdsnn_data *data, size_t index, float *targets);

#ifdef __cplusplus
}
#endif
#endif
