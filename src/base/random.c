#include "base/random.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by) {
    return (x << by) | (x >> (-by & 63)); /* by may be 0 */
}

void td_random_seed(td_random *r, uint64_t seed, uint64_t stream) {
    uint64_t x = seed, y = stream ^ 0x6a09e667f3bcc909u;
    for (int i = 0; i < 4; i++) {
        r->state[i] = splitmix(&x) ^ rotate(splitmix(&y), 17 * i);
    }
}

uint64_t td_random_u64(td_random *r) {
    uint64_t *s = r->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t td_random_below(td_random *r, uint64_t bound) {
    uint64_t threshold = -bound % bound; /* draws below it would make low results more likely */
    uint64_t draw;
    do {
        draw = td_random_u64(r);
    } while (draw < threshold);
    return draw % bound;
}

double td_random_uniform(td_random *r) {
    return (double)(td_random_u64(r) >> 11) * 0x1p-53;
}

double td_random_normal(td_random *r) {
    double u = 1.0 - td_random_uniform(r); /* (0, 1]: the logarithm is finite */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * td_random_uniform(r));
}
