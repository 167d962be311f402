/* Teams: every item once, whoever sleeps. */
#include "engine/team.h"

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

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    for (int threads = 1; threads <= 7; threads += 2) {
        test_team(ctx, threads);
    }
    test_team(ctx, 2);
    test_idle(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
