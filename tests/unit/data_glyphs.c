#include "data/glyphs.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum { PIXELS = TD_GLYPH_SIDE * TD_GLYPH_SIDE };

static uint64_t fnv(uint64_t hash, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    return hash;
}

/* Checksum of the first `count` samples, each its pixels and then its class. */
static uint64_t checksum(uint64_t seed, td_glyph_split split, size_t count) {
    uint64_t hash = 0xcbf29ce484222325u;
    uint8_t sample[PIXELS + 1];
    for (size_t i = 0; i < count; i++) {
        sample[PIXELS] = (uint8_t)td_glyph_draw(seed, split, i, sample);
        hash = fnv(hash, sample, sizeof sample);
    }
    return hash;
}

/* Change detectors, taken once from this code: models trained on the glyphs, and every figure
 * measured on them, hold for these bytes only. */
static void check_golden(void) {
    static const struct {
        uint64_t seed, hash;
        td_glyph_split split;
    } golden[] = {
        {0, 0x4af182744de6582bu, TD_GLYPH_TRAIN},
        {0, 0x39d94466f2f2294du, TD_GLYPH_TEST},
        {UINT64_MAX, 0x4fa74c0e8faad80au, TD_GLYPH_TRAIN},
    };
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        uint64_t hash = checksum(golden[i].seed, golden[i].split, 1000);
        ok(hash == golden[i].hash, "seed %llu split %d draws the bytes it always drew (0x%016llx)",
           (unsigned long long)golden[i].seed, golden[i].split, (unsigned long long)hash);
    }
}

static void check_random_access(void) {
    enum { COUNT = 64 };
    static uint8_t forward[COUNT][PIXELS];
    uint8_t again[PIXELS];
    int classes[COUNT];
    bool same = true;
    for (size_t i = 0; i < COUNT; i++) {
        classes[i] = td_glyph_draw(7, TD_GLYPH_TEST, i, forward[i]);
    }
    for (size_t i = COUNT; i-- > 0;) {
        memset(again, 0xa5, sizeof again);
        same = same && td_glyph_draw(7, TD_GLYPH_TEST, i, again) == classes[i] &&
               memcmp(again, forward[i], sizeof again) == 0;
    }
    ok(same, "a sample does not depend on what was drawn before it, nor on the buffer");
    td_glyph_draw(8, TD_GLYPH_TEST, 0, again);
    ok(memcmp(again, forward[0], sizeof again) != 0, "another seed draws other samples");
    int digit = td_glyph_draw(0, TD_GLYPH_TRAIN, SIZE_MAX, again);
    ok(digit >= 0 && digit < TD_GLYPH_CLASSES, "the largest index draws, too");
}

static bool is_tens_balanced(const int *classes, size_t count) {
    for (size_t i = 0; i < count; i += TD_GLYPH_CLASSES) {
        int seen = 0;
        for (size_t j = i; j < i + TD_GLYPH_CLASSES; j++) {
            seen |= 1 << classes[j];
        }
        if (seen != (1 << TD_GLYPH_CLASSES) - 1) {
            return false;
        }
    }
    return true;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Draws a whole split; hashes: out, one a sample. */
static void check_split(td_glyph_split split, const char *name, uint64_t *hashes) {
    size_t count = td_glyph_count(split), zeros = 0;
    int *classes = calloc(count, sizeof *classes), weakest = 255, strongest = 0;
    for (size_t i = 0; classes != NULL && i < count; i++) {
        uint8_t pixels[PIXELS];
        classes[i] = td_glyph_draw(0, split, i, pixels);
        hashes[i] = fnv(0xcbf29ce484222325u, pixels, sizeof pixels);
        int peak = 0;
        for (int p = 0; p < PIXELS; p++) {
            peak = pixels[p] > peak ? pixels[p] : peak;
            zeros += pixels[p] == 0;
        }
        weakest = peak < weakest ? peak : weakest;
        strongest = peak > strongest ? peak : strongest;
    }
    ok(classes != NULL && is_tens_balanced(classes, count), "%s: every ten has every class", name);
    ok(weakest >= 80, "%s: no sample is blank (weakest peak %d)", name, weakest);
    ok(strongest == 255, "%s: the whole range of values is used", name);
    double paper = (double)zeros / (double)(count * PIXELS);
    ok(paper > 0.6 && paper < 0.9, "%s: paper is 0 and most of a sample (%.3f)", name, paper);
    free(classes);
}

static void check_splits(void) {
    size_t train = td_glyph_count(TD_GLYPH_TRAIN), test = td_glyph_count(TD_GLYPH_TEST);
    ok(train == 20000 && test == 10000, "20000 samples to train on, 10000 to test on");
    uint64_t *hashes = calloc(train + test, sizeof *hashes);
    if (!ok(hashes != NULL, "memory for the hashes")) {
        return;
    }
    check_split(TD_GLYPH_TRAIN, "train", hashes);
    check_split(TD_GLYPH_TEST, "test", hashes + train);
    qsort(hashes, train + test, sizeof *hashes, compare_hashes);
    size_t repeats = 0;
    for (size_t i = 1; i < train + test; i++) {
        repeats += hashes[i] == hashes[i - 1];
    }
    ok(repeats == 0, "no sample occurs twice, within a split or across");
    free(hashes);
}

int main(void) {
    check_golden();
    check_random_access();
    check_splits();
    return tap_end();
}
