#include <tdsnn/code.h>

#include <math.h>

#include "tap.h"

#define MAX_MEMBERS 5

/* One pool neuron, stepped: members' spikes at T > 0 add -1 and (silent zeros) those at T = 0 stay
 * away; it leaks; the inhibition ends at T_il = the latest spike; then ticks of `w_tick` until
 * V >= 0 [P 5]. With `all_fire` the members at T = 0 send theirs too. */
static int step_pool(const int *times, int members, double leak, double w_tick, bool all_fire) {
    double decay = exp(-1.0 / leak), potential = 0.0;
    int t_il = 0;
    for (int i = 0; i < members; i++) {
        t_il = times[i] > t_il ? times[i] : t_il;
    }
    for (int t = 0; t <= t_il; t++) {
        potential *= decay;
        for (int i = 0; i < members; i++) {
            potential -= times[i] == t && (t > 0 || all_fire);
        }
    }
    int fired = 0;
    while (potential < 0.0 && fired < 100) {
        potential = potential * decay + w_tick;
        fired++;
    }
    return fired;
}

/* Steps every combination of member times whose latest is t_max; the number that do not fire at
 * t_max. */
static int count_misses(int members, double leak, int t_max, double w_tick, bool all_fire) {
    int times[MAX_MEMBERS] = {0}, misses = 0;
    for (;;) {
        int latest = 0, i = 0;
        for (int m = 0; m < members; m++) {
            latest = times[m] > latest ? times[m] : latest;
        }
        if (latest == t_max) {
            misses += step_pool(times, members, leak, w_tick, all_fire) != t_max;
        }
        while (i < members && ++times[i] > t_max) {
            times[i++] = 0;
        }
        if (i == members) {
            return misses;
        }
    }
}

/* Inside the interval [P 12, 13] every combination fires at t_max, just outside some do not. */
static void test_range(int members, double leak) {
    int wrong = 0, solved = 0, unsolved = 0;
    for (int t_max = 1; t_max <= 6; t_max++) {
        double low = -1.0, high = -1.0;
        if (!tdsnn_pool_tick_range(members, leak, t_max, &low, &high)) {
            wrong += low != -1.0 || high != -1.0;
            /* no tick weight at all: try a thousand of them */
            for (double w = 1e-9; w < 10.0; w *= 1.02) {
                wrong += count_misses(members > 3 ? 3 : members, leak, t_max, w, false) == 0 &&
                         members <= 3;
            }
            unsolved++;
            continue;
        }
        solved++;
        double end = isinf(high) ? low * 100.0 : high;
        for (double part = 1e-6; part < 1.0; part += 0.124999) {
            wrong += count_misses(members, leak, t_max, low + part * (end - low), false) != 0;
        }
        wrong += count_misses(members, leak, t_max, low * (1 - 1e-6), false) == 0;
        wrong += !isinf(high) && count_misses(members, leak, t_max, high * (1 + 1e-6), false) == 0;
    }
    ok(wrong == 0, "%d members, leak %.3f: %d t_max solved, %d not; %d disagree with the steps",
       members, leak, solved, unsolved, wrong);
}

/* A solution for every t_max exists where L < 1/ln N, and for long windows nowhere else [P 14]. */
static void test_exists(void) {
    int wrong = 0;
    for (int members = 2; members <= 64; members++) {
        double limit = 1.0 / log(members);
        for (int steps = 1; steps <= TDSNN_MAX_STEPS; steps++) {
            wrong += !tdsnn_pool_tick_exists(members, limit * 0.999, steps);
            bool all = true;
            for (int t = 1; t <= steps && steps < 20; t++) {
                double low, high;
                all = all && tdsnn_pool_tick_range(members, limit * 1.05, t, &low, &high);
            }
            wrong += steps < 20 && tdsnn_pool_tick_exists(members, limit * 1.05, steps) != all;
        }
        wrong += tdsnn_pool_tick_exists(members, limit * 1.01, TDSNN_MAX_STEPS);
    }
    ok(wrong == 0, "it exists for every t_max if and only if L < 1/ln N: %d wrong", wrong);
    ok(tdsnn_pool_tick_exists(4, 0.72, 255) && !tdsnn_pool_tick_exists(4, 0.73, 255) &&
           tdsnn_pool_tick_exists(9, 0.455, 255) && !tdsnn_pool_tick_exists(9, 0.456, 255),
       "0.72 for windows of 2x2, 0.455 for 3x3");
    ok(tdsnn_pool_tick_exists(1, 100.0, 255), "a single member is always passed on");
}

/* The paper's own setting: members at T = 0 fire as well. Then a pool whose members are all at 0
 * does not fire at 0, whatever the tick. */
static void test_offset_one(void) {
    bool fires = false;
    for (double w = 1e-9; w < 1e9; w *= 1.1) {
        fires = fires || count_misses(4, 0.5, 0, w, true) == 0;
    }
    ok(!fires, "offset 1: with all members at T = 0 no tick weight makes it fire at 0");
}

static void test_arguments(void) {
    double low, high;
    ok(!tdsnn_pool_tick_range(0, 1.0, 1, &low, &high) &&
           !tdsnn_pool_tick_range(2, 0.0, 1, &low, &high) &&
           !tdsnn_pool_tick_range(2, NAN, 1, &low, &high) &&
           !tdsnn_pool_tick_range(2, INFINITY, 1, &low, &high) &&
           !tdsnn_pool_tick_range(2, 0.5, 0, &low, &high) &&
           !tdsnn_pool_tick_range(2, 0.5, 256, &low, &high) && !tdsnn_pool_tick_exists(2, -1.0, 3),
       "arguments out of range have no solution");
}

int main(void) {
    for (int members = 1; members <= MAX_MEMBERS; members++) {
        test_range(members, 0.4);
        test_range(members, 0.7);
        test_range(members, 1.3);
    }
    test_exists();
    test_offset_one();
    test_arguments();
    return tap_end();
}
