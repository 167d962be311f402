/* The built-in data set: ten digit classes, drawn from a seed. Needs no file and no download. */
#ifndef TD_DATA_GLYPHS_H
#define TD_DATA_GLYPHS_H

#include <stddef.h>
#include <stdint.h>

#define TD_GLYPH_SIDE 28
#define TD_GLYPH_CLASSES 10

typedef enum td_glyph_split { TD_GLYPH_TRAIN, TD_GLYPH_TEST } td_glyph_split;

/* Samples of a split: 20000 to train on, 10000 to test on. */
size_t td_glyph_count(td_glyph_split split);

/* Draws one sample and returns its class, 0..9.
 * seed: names the data set; 0 is the one that documents and models speak of.
 * index: any; a data set holds 0..td_glyph_count(split)-1. Each aligned ten has every class once.
 * pixels: out, [TD_GLYPH_SIDE][TD_GLYPH_SIDE] row by row, 0 (paper) to 255 (ink).
 * Exact: the bytes depend on the arguments alone, on every machine whose double arithmetic is
 * IEEE 754 without excess precision: only + - * / and sqrt reach them, in a fixed order.
 * Errors: none. Memory: allocates nothing. Threads: safe, nothing is shared. */
int td_glyph_draw(uint64_t seed, td_glyph_split split, size_t index, uint8_t *pixels);

#endif
