#include "engine/encoder.h"

#include <math.h>
#include <string.h>

/* Beyond these the tables would not stay in the first-level cache beside the weights. */
#define MAX_BUCKETS 2048

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The bucket of a drive that is at least the lowest threshold. */
static uint32_t bucket_of(const td_encoder *e, float drive) {
    return (bits_of(drive + e->shift) - e->lowest) >> e->dropped;
}

/* Whether different thresholds are in different buckets. */
static bool separates(const td_encoder *e, const tdsnn_code *code) {
    const float *tau = code->thresholds;
    for (int k = 1; k < code->steps; k++) {
        if (tau[k] != tau[k - 1] && bucket_of(e, tau[k]) == bucket_of(e, tau[k - 1])) {
            return false;
        }
    }
    return true;
}

tdsnn_status td_encoder_create(td_arena *arena, const tdsnn_code *code, td_encoder *encoder,
                               bool *fits) {
    const float *tau = code->thresholds;
    td_encoder e = {.shift = tau[0] < 0.0f ? code->scale - tau[0] : code->scale, .dropped = 23};
    e.lowest = bits_of(tau[0] + e.shift);
    while (e.dropped > 0 && !separates(&e, code)) {
        e.dropped--;
    }
    e.last = bucket_of(&e, tau[code->steps - 1]);
    *fits = isfinite(tau[code->steps - 1] + e.shift) && e.last < MAX_BUCKETS && separates(&e, code);
    if (!*fits) {
        return TDSNN_OK;
    }
    float *thresholds = td_arena_alloc(arena, (size_t)e.last + 1, sizeof *thresholds);
    uint32_t *times = td_arena_alloc(arena, (size_t)e.last + 1, sizeof *times);
    if (thresholds == NULL || times == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    uint32_t time = 0;
    for (uint32_t b = 0; b <= e.last; b++) {
        uint32_t below = time;
        thresholds[b] = INFINITY;
        for (; time < (uint32_t)code->steps && bucket_of(&e, tau[time]) == b; time++) {
            thresholds[b] = tau[time];
        }
        times[b] = below | time << 8;
    }
    e.thresholds = thresholds;
    e.times = times;
    *encoder = e;
    return TDSNN_OK;
}
