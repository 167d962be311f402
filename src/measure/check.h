/* One thread's part of a proof: checks samples one after the other and keeps sums. */
#ifndef TD_MEASURE_CHECK_H
#define TD_MEASURE_CHECK_H

#include <tdsnn/verify.h>

#include "engine/clock.h"
#include "engine/event.h"

/* What checks have found so far. */
typedef struct td_findings {
    tdsnn_verify_layer *layers; /* [layer_count]; names are the network's */
    uint64_t readout_mismatches, predictions_changed;
    bool failed;
    tdsnn_verify_failure first; /* if failed; of the lowest sample, strings are not its own */
} td_findings;

/* Lets a test damage a layer's compiled copy before anything runs. */
typedef void (*td_clock_hook)(void *user, int layer, td_clock_layer *clock);

typedef struct td_checker td_checker;

/* plan: of the network, what the event engine is checked with. hook may be NULL. Network and plan
 * must outlive the checker. */
tdsnn_status td_checker_create(tdsnn_context *ctx, const td_network *network, const td_plan *plan,
                               td_clock_hook hook, void *user, td_checker **checker);
void td_checker_destroy(td_checker *checker);

/* Where the next sample is put, [C][H][W]. */
float *td_checker_input(td_checker *checker);

/* Checks the sample; `sample` is its number, and a checker sees them in rising order. */
void td_checker_run(td_checker *checker, size_t sample);

const td_findings *td_checker_findings(const td_checker *checker);

/* The modes in which a layer is stepped: 4 where its sources' zeros may be silent, else 2. */
int td_check_mode_count(const td_network *network, int layer);

/* tdsnn_verify_layer.kind of a layer. */
const char *td_check_kind(const td_network *network, int layer);

#endif
