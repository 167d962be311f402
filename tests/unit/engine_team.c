/* Teams: every item once, whoever sleeps. */
#include "engine/team.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tap.h"

enum { MOST = 300 };

typedef struct tally {
    atomic_int runs[MOST];
    atomic_int by_worker[8];
    int slow; /* the index that takes long, or -1 */
} tally;

static void count_item(void *arg, int index, int worker) {
    tally *t = arg;
    atomic_fetch_add(&t->runs[index], 1);
    atomic_fetch_add(&t->by_worker[worker], 1);
    if (index == t->slow) {
        usleep(1000);
    }
}

/* Items not run exactly once, and those run by a worker that does not exist. */
static int faults(td_team *team, int threads, int count, int slow) {
    tally t = {.slow = slow};
    td_team_run(team, count, count_item, &t);
    int wrong = 0, sum = 0;
    for (int i = 0; i < MOST; i++) {
        wrong += t.runs[i] != (i < count);
    }
    for (int w = 0; w < threads; w++) {
        sum += t.by_worker[w];
    }
    return wrong + (sum != count);
}

static void test_team(tdsnn_context *ctx, int threads) {
    td_team *team = NULL;
    if (td_team_create(ctx, threads, &team) != TDSNN_OK) {
        ok(false, "a team of %d: %s", threads, tdsnn_last_error(ctx));
        return;
    }
    int wrong = 0;
    for (int round = 0; round < 30; round++) {
        for (int count = 0; count < 40; count++) {
            wrong += faults(team, threads, count, -1);
        }
        wrong += faults(team, threads, MOST, -1);
        wrong += faults(team, threads, 8, round % 8); /* the others fall asleep */
        if (round % 3 == 0) {
            usleep(500); /* all of them do */
        }
    }
    ok(wrong == 0, "%d threads: every item is run once, %d were not", threads, wrong);
    td_team_destroy(team);
}

static void test_idle(tdsnn_context *ctx) {
    int made = 0;
    for (int i = 0; i < 50; i++) {
        td_team *team = NULL;
        made += td_team_create(ctx, 4, &team) == TDSNN_OK;
        if (i % 2 == 0) {
            usleep(300); /* ends awake or asleep */
        }
        td_team_destroy(team);
    }
    ok(made == 50, "teams that never ran anything end");
    td_team_destroy(NULL);
}

#if defined(__linux__)
typedef struct seen {
    cpu_set_t cores;
    atomic_int helped;
} seen;

static void see_cores(void *arg, int index, int worker) {
    seen *s = arg;
    (void)index;
    if (worker == 1) {
        sched_getaffinity(0, sizeof s->cores, &s->cores);
        atomic_fetch_add(&s->helped, 1);
    }
    usleep(2000); /* so that either worker takes one */
}

/* Waking it moves a helper away from the caller, but it may use all cores again. */
static void test_cores(tdsnn_context *ctx) {
    cpu_set_t own;
    td_team *team = NULL;
    if (sched_getaffinity(0, sizeof own, &own) != 0 || td_team_create(ctx, 2, &team) != TDSNN_OK) {
        ok(false, "a team of 2: %s", tdsnn_last_error(ctx));
        return;
    }
    seen s = {.helped = 0};
    for (int i = 0; i < 5; i++) {
        usleep(2000); /* the helper falls asleep */
        td_team_run(team, 2, count_item, &(tally){.slow = 0});
        td_team_run(team, 2, see_cores, &s);
    }
    td_team_destroy(team);
    ok(s.helped > 0 && CPU_EQUAL(&own, &s.cores), "who was woken may run on as many cores as ever");
}
#endif

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    for (int threads = 1; threads <= 7; threads += 2) {
        test_team(ctx, threads);
    }
    test_team(ctx, 2);
    test_idle(ctx);
#if defined(__linux__)
    test_cores(ctx);
#endif
    tdsnn_context_destroy(ctx);
    return tap_end();
}
