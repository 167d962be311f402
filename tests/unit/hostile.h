/* Damages a sound data file in many ways; every one must be refused in one sentence, or read. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <tdsnn/data.h>

#include "base/random.h"
#include "scratch.h"
#include "tap.h"

#define HOSTILE_FLIPS 4000
#define HOSTILE_LIMIT 8192

/* Opens SPEC and reads it all; whether it ended well: OK, or INPUT with one clear sentence. */
static inline bool hostile_open(tdsnn_context *ctx, const char *spec, tdsnn_status *status) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    *status = tdsnn_data_open(ctx, spec, &options, &data);
    if (*status != TDSNN_OK) {
        const char *sentence = tdsnn_last_error(ctx);
        return *status == TDSNN_ERR_INPUT && data == NULL && strlen(sentence) > 20 &&
               strchr(sentence, '\n') == NULL && strstr(sentence, scratch_folder) != NULL;
    }
    tdsnn_data_info info = tdsnn_data_get_info(data);
    float *values = malloc(sizeof(float) * (size_t)info.shape[0] * (size_t)info.shape[1] *
                           (size_t)info.shape[2]);
    int label;
    for (size_t i = 0; i < info.samples && values != NULL; i++) {
        tdsnn_data_read(ctx, data, i, values, &label);
    }
    free(values);
    tdsnn_data_close(data);
    return true;
}

/* In gzip all is covered by a checksum; a zip archive may have anything behind it; bare bytes have
 * nothing in which damage would show but their number. */
typedef enum hostile_kind { HOSTILE_PLAIN, HOSTILE_GZIP, HOSTILE_ZIP, HOSTILE_BARE } hostile_kind;

/* NAME is a sound file of the scratch folder, `spec` the data it belongs to. */
static inline void hostile_file(tdsnn_context *ctx, const char *name, const char *spec,
                                hostile_kind kind) {
    static unsigned char sound[HOSTILE_LIMIT], bytes[HOSTILE_LIMIT];
    tdsnn_status status;
    size_t size = scratch_read(name, sound, sizeof sound);
    ok(size > 0 && size < sizeof sound && hostile_open(ctx, spec, &status) && status == TDSNN_OK,
       "%s: sound", name);
    size_t wrong = 0;
    for (size_t cut = 0; cut < size; cut++) {
        scratch_write(name, sound, cut);
        wrong += !hostile_open(ctx, spec, &status) || status != TDSNN_ERR_INPUT;
    }
    ok(wrong == 0, "%s: each of %zu cut-off files is refused in one sentence", name, size);
    memcpy(bytes, sound, size);
    bytes[size] = 0;
    scratch_write(name, bytes, size + 1);
    ok(hostile_open(ctx, spec, &status) && (status == TDSNN_ERR_INPUT || kind == HOSTILE_ZIP),
       "%s: a byte too many", name);
    td_random random;
    td_random_seed(&random, 1, 0);
    size_t passed = 0;
    wrong = 0;
    for (int i = 0; i < HOSTILE_FLIPS; i++) {
        memcpy(bytes, sound, size);
        for (uint64_t flips = 1 + td_random_below(&random, 3); flips > 0; flips--) {
            bytes[td_random_below(&random, size)] ^=
                (unsigned char)(1 << td_random_below(&random, 8));
        }
        scratch_write(name, bytes, size);
        wrong += !hostile_open(ctx, spec, &status);
        passed += status == TDSNN_OK;
    }
    ok(wrong == 0, "%s: %d files with flipped bits (seed 1) are refused in one sentence or read",
       name, HOSTILE_FLIPS);
    printf("# %s: %zu of %d read\n", name, passed, HOSTILE_FLIPS);
    ok(kind == HOSTILE_BARE || passed < HOSTILE_FLIPS / (kind == HOSTILE_GZIP ? 10 : 1),
       "%s: damage is noticed", name);
    scratch_write(name, sound, size);
}

#endif
