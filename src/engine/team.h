/* Threads that work on one layer together: layers take tens of microseconds, so the threads wait
 * for the next one awake, and sleep between samples. */
#ifndef TD_ENGINE_TEAM_H
#define TD_ENGINE_TEAM_H

#include "base/context.h"

/* One caller and its helpers. */
typedef struct td_team td_team;

/* threads: the caller's included; *team is NULL for 1. Errors: TDSNN_ERR_RUNTIME if the system
 * gives no thread. */
tdsnn_status td_team_create(tdsnn_context *ctx, int threads, td_team **team);
void td_team_destroy(td_team *team);

/* Runs fn(arg, index, worker) for every index in 0 .. count - 1 and waits; worker 0 is the caller.
 * Worker w begins with its share of neighbouring indices, count w / threads and on, so that what it
 * left in its cache in one phase is there in the next; who is done takes from the others' shares.
 * Never allocates, never fails. NULL: the caller runs all. */
typedef void (*td_item_fn)(void *arg, int index, int worker);
void td_team_run(td_team *team, int count, td_item_fn fn, void *arg);

#endif
