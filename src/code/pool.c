/* The max-pool with a ticking neuron [P 12-14]: where it has a solution. No engine uses it: the
 * paper itself sets it aside for a neuron that counts to N. */
#include <math.h>

#include <tdsnn/code.h>

static bool in_range(int members, double leak, int time) {
    return members >= 1 && leak > 0.0 && isfinite(leak) && time >= 1 && time <= TDSNN_MAX_STEPS;
}

/* Whether low < high at t_max: N (e^((t-1)/L) - 1) < e^(t/L) - 1, divided by e^((t-1)/L) so that
 * nothing overflows. The left side grows with t: what holds at one t_max holds at all before. */
static bool interval_exists(int members, double leak, int t_max) {
    return members - (members - 1) * exp(-(t_max - 1) / leak) < exp(1.0 / leak);
}

bool tdsnn_pool_tick_range(int members, double leak, int t_max, double *low, double *high) {
    if (!in_range(members, leak, t_max) || !interval_exists(members, leak, t_max)) {
        return false;
    }
    double c = -expm1(-1.0 / leak);
    *low = c * members / expm1(t_max / leak);
    *high = t_max == 1 ? INFINITY : c / expm1((t_max - 1) / leak);
    return true;
}

bool tdsnn_pool_tick_exists(int members, double leak, int steps) {
    return in_range(members, leak, steps) && interval_exists(members, leak, steps);
}
