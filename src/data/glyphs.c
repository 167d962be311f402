/* A digit is a handful of pen strokes. A sample bends them (control-point jitter, an elastic warp,
 * an affine map), draws them anti-aliased, and dirties the paper (clutter strokes, grain, specks).
 * docs/glyphs.md says what each step is for. */
#include "data/glyphs.h"

#include <math.h>

#include "base/random.h"

enum {
    SIDE = TD_GLYPH_SIDE,
    MAX_POINTS = 12,
    SPAN_STEPS = 6, /* straight segments that a curve between two control points becomes */
    WARP_SIDE = 4,  /* the elastic warp is given at 4 x 4 places */
};

/* One way of writing a digit. `at`: control points in hundredths, x right, y down, about
 * -50..50 by -90..90. `path`: letters name points in pen order ('a' the first), a space lifts the
 * pen. The pen follows a Catmull-Rom curve; a letter twice in a row is a corner, a stroke that ends
 * where it began is a closed curve. */
typedef struct style {
    const char *path;
    signed char at[MAX_POINTS][2];
} style;

#define MAX_STYLES 3
static const struct {
    int count;
    style styles[MAX_STYLES];
} digits[TD_GLYPH_CLASSES] = {
    /* 0: an oval; an oval whose ends do not quite meet */
    {2,
     {{"abcdefgha",
       {{0, -90}, {-38, -64}, {-54, 0}, {-38, 64}, {0, 90}, {38, 64}, {54, 0}, {38, -64}}},
      {"abcdefghi",
       {{16, -78},
        {-28, -76},
        {-52, -10},
        {-34, 64},
        {8, 88},
        {46, 48},
        {50, -20},
        {28, -74},
        {-6, -92}}}}},
    /* 1: a bar; with a flag; with a flag and a foot */
    {3,
     {{"ab", {{4, -90}, {0, 90}}},
      {"abbc", {{-34, -52}, {6, -90}, {6, 90}}},
      {"abbc de", {{-30, -56}, {4, -90}, {4, 88}, {-36, 88}, {42, 88}}}}},
    /* 2: a flat foot; a looped foot */
    {2,
     {{"abcdefggh",
       {{-46, -50}, {-20, -86}, {22, -86}, {46, -48}, {30, -6}, {-12, 40}, {-50, 86}, {52, 86}}},
      {"abcdefghij",
       {{-44, -58},
        {-8, -90},
        {38, -66},
        {34, -16},
        {-8, 44},
        {-42, 80},
        {-52, 56},
        {-20, 54},
        {16, 82},
        {54, 76}}}}},
    /* 3: two bows; a flat top */
    {2,
     {{"abcdeefghi",
       {{-44, -66},
        {-4, -90},
        {40, -62},
        {28, -18},
        {-12, -4},
        {36, 14},
        {46, 52},
        {4, 90},
        {-48, 64}}},
      {"abbccdefg", {{-44, -88}, {42, -88}, {-6, -18}, {40, 12}, {44, 60}, {2, 90}, {-48, 68}}}}},
    /* 4: open; closed */
    {2,
     {{"abbc de", {{-34, -86}, {-46, 14}, {52, 14}, {30, -56}, {24, 90}}},
      {"abbc ad", {{22, -90}, {-54, 32}, {54, 32}, {22, 90}}}}},
    /* 5: with corners; written in one sweep */
    {2,
     {{"abbccdefgh",
       {{44, -88}, {-34, -88}, {-40, -12}, {2, -30}, {46, 8}, {40, 64}, {-4, 90}, {-48, 66}}},
      {"abcdefgh",
       {{42, -86}, {-24, -80}, {-38, -28}, {2, -20}, {42, 16}, {32, 70}, {-14, 88}, {-46, 68}}}}},
    /* 6: a bowed back; a straight back */
    {2,
     {{"abcdefghi",
       {{36, -88},
        {-20, -48},
        {-48, 20},
        {-32, 76},
        {8, 90},
        {44, 56},
        {34, 14},
        {-4, 4},
        {-44, 36}}},
      {"abcdefgh",
       {{12, -92}, {-28, -30}, {-46, 34}, {-14, 86}, {30, 80}, {46, 40}, {12, 8}, {-40, 36}}}}},
    /* 7: plain; with a bar; a bowed stem */
    {3,
     {{"abbc", {{-48, -86}, {48, -86}, {-10, 90}}},
      {"abbc de", {{-48, -86}, {48, -86}, {-8, 90}, {-26, 4}, {40, 4}}},
      {"abbcd", {{-50, -80}, {48, -86}, {10, -14}, {-2, 90}}}}},
    /* 8: one crossing stroke; two rings */
    {2,
     {{"abcdaefga", {{0, -4}, {-36, -46}, {0, -90}, {36, -46}, {-46, 44}, {0, 90}, {46, 44}}},
      {"abcda cefgc", {{0, -90}, {-36, -48}, {0, -6}, {36, -48}, {-46, 42}, {0, 90}, {46, 42}}}}},
    /* 9: a straight stem; a curled stem */
    {2,
     {{"abcdeaf", {{40, -52}, {2, -90}, {-42, -50}, {-8, -6}, {32, -26}, {30, 90}}},
      {"abcdefghi",
       {{42, -38},
        {4, -4},
        {-36, -18},
        {-42, -58},
        {-6, -90},
        {34, -74},
        {48, -16},
        {22, 50},
        {-36, 88}}}}},
};

typedef struct point {
    double x, y;
} point;

/* How one sample differs from the plain digit. */
typedef struct distortion {
    point warp[WARP_SIDE][WARP_SIDE]; /* shift at lattice places over -1..1 by -1..1 */
    double xx, xy, yx, yy;            /* affine map, glyph units to pixels */
    point centre;                     /* pixels; pixel centres have whole coordinates */
    double start_radius, end_radius;  /* of the pen, pixels; changes along each stroke */
    double softness;                  /* width of the edge between ink and paper, pixels */
} distortion;

/* The sheet that a sample is drawn on: ink 0..1 a pixel. */
typedef struct canvas {
    double ink[SIDE][SIDE];
} canvas;

static double uniform_in(td_random *r, double low, double high) {
    return low + (high - low) * td_random_uniform(r);
}

/* Bell-shaped in -1..1, standard deviation 1/3: libm's logarithm may differ in the last bit between
 * machines, a sum of three uniforms may not. */
static double bell(td_random *r) {
    double a = td_random_uniform(r), b = td_random_uniform(r), c = td_random_uniform(r);
    return (a + b + c) * (2.0 / 3.0) - 1.0;
}

static void draw_affine(td_random *r, distortion *d) {
    /* Cosine and sine from the tangent of the half angle: exact arithmetic, no libm. */
    double half = 0.20 * bell(r) + uniform_in(r, -0.10, 0.10);
    double cosine = (1.0 - half * half) / (1.0 + half * half);
    double sine = 2.0 * half / (1.0 + half * half);
    double shear = uniform_in(r, -0.35, 0.35);
    double height = uniform_in(r, 7.5, 12.0), width = height * uniform_in(r, 0.80, 1.25);
    d->xx = width * cosine;
    d->yx = width * sine;
    d->xy = -height * (sine + shear * cosine);
    d->yy = height * (cosine - shear * sine);
    d->centre.x = 13.5 + uniform_in(r, -3.0, 3.0);
    d->centre.y = 13.5 + uniform_in(r, -2.5, 2.5);
}

static void draw_distortion(td_random *r, distortion *d) {
    double amplitude = 0.36;
    for (int row = 0; row < WARP_SIDE; row++) {
        for (int column = 0; column < WARP_SIDE; column++) {
            d->warp[row][column].x = amplitude * bell(r);
            d->warp[row][column].y = amplitude * bell(r);
        }
    }
    draw_affine(r, d);
    double radius = uniform_in(r, 0.7, 1.9);
    d->start_radius = radius * uniform_in(r, 0.75, 1.2);
    d->end_radius = radius * uniform_in(r, 0.75, 1.2);
    d->softness = uniform_in(r, 0.8, 1.6);
}

/* Splits a coordinate in -1..1 into a lattice cell and an eased (smoothstep) share of the next. */
static int warp_cell(double coordinate, double *share) {
    double place = (coordinate + 1.0) * 0.5 * (WARP_SIDE - 1);
    place = place < 0.0 ? 0.0 : place > WARP_SIDE - 1 ? WARP_SIDE - 1 : place;
    int cell = (int)place < WARP_SIDE - 2 ? (int)place : WARP_SIDE - 2;
    double t = place - cell;
    *share = t * t * (3.0 - 2.0 * t);
    return cell;
}

static double mix(double a, double b, double share) {
    return a + (b - a) * share;
}

/* Glyph units to pixels: the elastic warp, then the affine map. */
static point bend(const distortion *d, point p) {
    double sx, sy;
    int column = warp_cell(p.x, &sx), row = warp_cell(p.y, &sy);
    const point *upper = &d->warp[row][column], *lower = &d->warp[row + 1][column];
    double x = p.x + mix(mix(upper[0].x, upper[1].x, sx), mix(lower[0].x, lower[1].x, sx), sy);
    double y = p.y + mix(mix(upper[0].y, upper[1].y, sx), mix(lower[0].y, lower[1].y, sx), sy);
    point bent = {d->centre.x + d->xx * x + d->xy * y, d->centre.y + d->yx * x + d->yy * y};
    return bent;
}

static int to_pixel(double coordinate) {
    return coordinate < 0.0 ? 0 : coordinate > SIDE - 1 ? SIDE - 1 : (int)coordinate;
}

/* Draws one straight piece, from `a` to `b` (pixels), the pen's radius going from ra to rb. Ink is
 * the maximum of the pieces, so that joints do not darken. */
static void draw_segment(canvas *c, point a, point b, double ra, double rb, double softness,
                         double ink) {
    double reach = (ra > rb ? ra : rb) + 0.5 * softness;
    int left = to_pixel((a.x < b.x ? a.x : b.x) - reach);
    int right = to_pixel((a.x > b.x ? a.x : b.x) + reach + 1.0);
    int top = to_pixel((a.y < b.y ? a.y : b.y) - reach);
    int bottom = to_pixel((a.y > b.y ? a.y : b.y) + reach + 1.0);
    double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
    double scale = length2 > 0.0 ? 1.0 / length2 : 0.0;
    for (int y = top; y <= bottom; y++) {
        for (int x = left; x <= right; x++) {
            double px = x - a.x, py = y - a.y;
            double along = (px * dx + py * dy) * scale;
            along = along < 0.0 ? 0.0 : along > 1.0 ? 1.0 : along;
            px -= along * dx;
            py -= along * dy;
            double distance = sqrt(px * px + py * py);
            double cover = (mix(ra, rb, along) - distance) / softness + 0.5;
            cover = ink * (cover > 1.0 ? 1.0 : cover);
            if (cover > c->ink[y][x]) {
                c->ink[y][x] = cover;
            }
        }
    }
}

/* Catmull-Rom: the cubic from `b` (t = 0) to `c` (t = 1) with slopes from the neighbours. */
static double curve(double a, double b, double c, double d, double t) {
    double slope_b = 0.5 * (c - a), slope_c = 0.5 * (d - b);
    double square = 3.0 * (c - b) - 2.0 * slope_b - slope_c;
    double cube = 2.0 * (b - c) + slope_b + slope_c;
    return b + t * (slope_b + t * (square + t * cube));
}

/* Draws one stroke: `count` letters of `path` naming points of `at`. */
static void draw_stroke(canvas *c, const distortion *d, const char *path, int count,
                        const point *at) {
    int closed = path[0] == path[count - 1], spans = count - 1;
    point from = bend(d, at[path[0] - 'a']);
    double from_radius = d->start_radius;
    for (int span = 0; span < spans; span++) {
        int before = span > 0 ? span - 1 : closed ? spans - 1 : 0;
        int after = span + 2 < count ? span + 2 : closed ? 1 : spans;
        point p0 = at[path[before] - 'a'], p1 = at[path[span] - 'a'];
        point p2 = at[path[span + 1] - 'a'], p3 = at[path[after] - 'a'];
        for (int step = 1; step <= SPAN_STEPS; step++) {
            double t = (double)step / SPAN_STEPS;
            point on = {curve(p0.x, p1.x, p2.x, p3.x, t), curve(p0.y, p1.y, p2.y, p3.y, t)};
            point to = bend(d, on);
            double to_radius = mix(d->start_radius, d->end_radius, (span + t) / spans);
            draw_segment(c, from, to, from_radius, to_radius, d->softness, 1.0);
            from = to;
            from_radius = to_radius;
        }
    }
}

static void draw_digit(canvas *c, td_random *r, int digit) {
    const style *s = &digits[digit].styles[td_random_below(r, (uint64_t)digits[digit].count)];
    distortion d;
    draw_distortion(r, &d);
    point at[MAX_POINTS];
    for (int i = 0; i < MAX_POINTS; i++) {
        at[i].x = 0.01 * s->at[i][0] + 0.12 * bell(r);
        at[i].y = 0.01 * s->at[i][1] + 0.12 * bell(r);
    }
    const char *path = s->path;
    while (*path != '\0') {
        int count = 0;
        while (path[count] != '\0' && path[count] != ' ') {
            count++;
        }
        draw_stroke(c, &d, path, count, at);
        path += count + (path[count] == ' ');
    }
}

/* Up to three short, pale strokes anywhere: they keep a classifier from counting ink. */
static void draw_clutter(canvas *c, td_random *r) {
    int count = (int)td_random_below(r, 4);
    for (int i = 0; i < count; i++) {
        point a = {uniform_in(r, 0.0, SIDE - 1.0), uniform_in(r, 0.0, SIDE - 1.0)};
        point b = {a.x + uniform_in(r, -6.0, 6.0), a.y + uniform_in(r, -6.0, 6.0)};
        double radius = uniform_in(r, 0.4, 0.9);
        draw_segment(c, a, b, radius, radius, 1.0, uniform_in(r, 0.25, 0.70));
    }
}

/* Ink to bytes: contrast, grain in proportion to the ink, and specks on about 3 % of the paper.
 * Elsewhere paper stays 0, as scanned digits have it. */
static void develop(const canvas *c, td_random *r, uint8_t *pixels) {
    double contrast = uniform_in(r, 0.45, 1.0), grain = uniform_in(r, 0.0, 0.5);
    for (int i = 0; i < SIDE * SIDE; i++) {
        double value = contrast * c->ink[i / SIDE][i % SIDE];
        value -= value * grain * td_random_uniform(r);
        if (td_random_below(r, 32) == 0) {
            value += uniform_in(r, 0.0, 0.5);
        }
        value = value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
        pixels[i] = (uint8_t)(value * 255.0 + 0.5);
    }
}

/* Each aligned ten of samples is a shuffle of the ten digits: any prefix is balanced, and no stride
 * over the data set meets one class only. */
static int digit_at(uint64_t seed, uint64_t split, uint64_t index) {
    int order[TD_GLYPH_CLASSES] = {0};
    td_random r;
    td_random_seed(&r, seed, ((index / TD_GLYPH_CLASSES) * 2 + split) * 2 + 1);
    for (int i = 0; i < TD_GLYPH_CLASSES; i++) {
        int other = (int)td_random_below(&r, (uint64_t)i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    return order[index % TD_GLYPH_CLASSES];
}

size_t td_glyph_count(td_glyph_split split) {
    return split == TD_GLYPH_TRAIN ? 20000 : 10000;
}

int td_glyph_draw(uint64_t seed, td_glyph_split split, size_t index, uint8_t *pixels) {
    uint64_t number = split == TD_GLYPH_TEST;
    int digit = digit_at(seed, number, index);
    td_random r;
    td_random_seed(&r, seed, (index * 2 + number) * 2); /* odd streams order the classes */
    canvas c = {{{0.0}}};
    draw_digit(&c, &r, digit);
    draw_clutter(&c, &r);
    develop(&c, &r, pixels);
    return digit;
}
