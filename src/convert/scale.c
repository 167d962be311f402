#include "convert/scale.h"

#include <math.h>
#include <string.h>

#include "code/code.h"

/* A positive float's bits, cut to exponent and `precision` bits of mantissa, number the bins;
 * values below 2^-32 count as zero and those from 2^32 on as the last bin. */
#define LOWEST_EXPONENT (-32)
#define EXPONENTS 64

struct td_histogram {
    int precision;
    size_t bin_count;
    size_t first, end; /* bins outside are empty */
    float lowest;
    uint64_t zeros; /* values that are not positive */
    uint64_t bins[];
};

td_histogram *td_histogram_create(tdsnn_context *ctx, int precision) {
    size_t bin_count = (size_t)EXPONENTS << precision;
    td_histogram *h = td_alloc(ctx, 1, sizeof *h + bin_count * sizeof *h->bins);
    if (h != NULL) {
        h->precision = precision;
        h->bin_count = h->first = bin_count;
    }
    return h;
}

void td_histogram_destroy(td_histogram *h) {
    td_free(h);
}

/* The bin of a positive value, or -1 for one too small to count. */
static long bin_of(const td_histogram *h, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    long bin =
        (long)(bits >> (23 - h->precision)) - ((long)(127 + LOWEST_EXPONENT) << h->precision);
    return bin >= (long)h->bin_count ? (long)h->bin_count - 1 : bin;
}

/* The middle of a bin. */
static double bin_value(const td_histogram *h, size_t bin) {
    size_t cuts = (size_t)1 << h->precision;
    double mantissa = 1.0 + ((double)(bin % cuts) + 0.5) / (double)cuts;
    return ldexp(mantissa, (int)(bin >> h->precision) + LOWEST_EXPONENT);
}

void td_histogram_add(td_histogram *h, const float *values, size_t count, td_counting how) {
    for (size_t i = 0; i < count; i++) {
        float x = (float)((how.absolute ? fabsf(values[i]) : values[i]) / how.unit);
        long bin = x > 0.0f ? bin_of(h, x < how.cap ? x : how.cap) : -1;
        h->lowest = values[i] < h->lowest ? values[i] : h->lowest;
        if (bin < 0) {
            h->zeros++;
        } else {
            h->bins[bin]++;
            h->first = (size_t)bin < h->first ? (size_t)bin : h->first;
            h->end = (size_t)bin < h->end ? h->end : (size_t)bin + 1;
        }
    }
}

void td_histogram_merge(td_histogram *into, const td_histogram *from) {
    into->zeros += from->zeros;
    into->lowest = from->lowest < into->lowest ? from->lowest : into->lowest;
    for (size_t i = from->first; i < from->end; i++) {
        into->bins[i] += from->bins[i];
    }
    into->first = from->first < into->first ? from->first : into->first;
    into->end = from->end > into->end ? from->end : into->end;
}

float td_histogram_min(const td_histogram *h) {
    return h->lowest;
}

double td_histogram_rms(const td_histogram *h) {
    double count = (double)h->zeros, energy = 0.0;
    for (size_t i = h->first; i < h->end; i++) {
        if (h->bins[i] != 0) {
            double x = bin_value(h, i);
            count += (double)h->bins[i];
            energy += (double)h->bins[i] * x * x;
        }
    }
    return count == 0.0 ? 0.0 : sqrt(energy / count);
}

td_code_error td_histogram_error(const td_histogram *h, const tdsnn_code *code) {
    td_code_error e = {0}; /* what is not positive is met exactly */
    int time = 0;          /* bins ascend, and so do their spike times */
    for (size_t i = h->first; i < h->end; i++) {
        if (h->bins[i] == 0) {
            continue;
        }
        double x = bin_value(h, i), n = (double)h->bins[i];
        while (time < code->steps && x > code->thresholds[time]) {
            time++;
        }
        double miss = x - (code->values[time] - code->values[0]);
        e.error += n * miss * miss;
        e.energy += n * x * x;
    }
    return e;
}

double td_histogram_spikes(const td_histogram *h, const tdsnn_code *code) {
    double spikes = 0.0;
    for (size_t i = h->end; i-- > h->first && bin_value(h, i) > code->thresholds[0];) {
        spikes += (double)h->bins[i];
    }
    return spikes;
}

void td_silence_code(tdsnn_code *code, double share) {
    float least = (float)(share * code->values[code->steps]);
    for (int k = 0; k < code->steps; k++) {
        code->thresholds[k] = code->thresholds[k] < least ? least : code->thresholds[k];
    }
    code->rounding = TDSNN_ROUND_TABLE;
}

static double largest_value(const td_histogram *h) {
    for (size_t i = h->end; i-- > h->first;) {
        if (h->bins[i] != 0) {
            return bin_value(h, i);
        }
    }
    return 0.0;
}

/* The code at one scale, and what it loses. */
static tdsnn_status try_scale(tdsnn_context *ctx, const td_histogram *h, double scale,
                              tdsnn_code *code, double *error) {
    tdsnn_status status =
        td_code_make(ctx, code->leak, code->steps, scale, code->rounding, code->offset, code);
    if (status == TDSNN_OK) {
        *error = td_histogram_error(h, code).error;
    }
    return status;
}

/* Coarse steps of 4 % below the scale at which the largest value just fits, then finer ones around
 * the best: the error is smooth but for small ripples. */
#define COARSE_STEPS 120
#define COARSE_FACTOR 0.96
#define FINE_STEPS 20

tdsnn_status td_fit_code(tdsnn_context *ctx, const td_histogram *h, double leak, int steps,
                         tdsnn_rounding rounding, int offset, float cap, tdsnn_code *code) {
    tdsnn_code best = {0};
    tdsnn_status status = td_code_make(ctx, leak, steps, 1.0, rounding, offset, &best);
    double largest = largest_value(h);
    if (status != TDSNN_OK || largest == 0.0) { /* a layer that never fires may have any scale */
        *code = best;
        return status;
    }
    /* the largest drive that is told apart, at scale 1 */
    double unit = tdsnn_code_value(&best, steps) - tdsnn_code_value(&best, 0);
    double fits = largest / unit, most = cap / unit, best_error = INFINITY, center = fits;
    for (int i = 0; i < COARSE_STEPS + 2 * FINE_STEPS + 1 && status == TDSNN_OK; i++) {
        double scale =
            i < COARSE_STEPS
                ? fits * pow(COARSE_FACTOR, i - 5)
                : center * pow(COARSE_FACTOR, (double)(i - COARSE_STEPS - FINE_STEPS) / FINE_STEPS);
        scale = scale < most ? scale : most;
        tdsnn_code candidate = best;
        double error = INFINITY;
        status = try_scale(ctx, h, scale, &candidate, &error);
        if (status == TDSNN_OK && error < best_error) {
            best = candidate;
            best_error = error;
            center = i < COARSE_STEPS ? scale : center;
        }
    }
    *code = best;
    return status;
}
