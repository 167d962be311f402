/* Reports: results as JSON documents with stable keys (docs/json.md), and what belongs beside every
 * result: the energy of its operations, the processor it was measured on. */
#ifndef TDSNN_REPORT_H
#define TDSNN_REPORT_H

#include <stdio.h>

#include <tdsnn/bench.h>
#include <tdsnn/convert.h>
#include <tdsnn/eval.h>
#include <tdsnn/run.h>
#include <tdsnn/train.h>
#include <tdsnn/verify.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each writes one JSON document: `schema version cpu threads seed` and the keys of its command.
 * seed: the one the user gave, for the record.
 * Errors: TDSNN_ERR_RUNTIME if there is no memory or the stream cannot be written. */
TDSNN_API tdsnn_status tdsnn_report_info(tdsnn_context *ctx, const tdsnn_model *model,
                                         uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_convert(tdsnn_context *ctx, const tdsnn_convert_report *report,
                                            uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_eval(tdsnn_context *ctx, const tdsnn_eval_result *result,
                                         uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_verify(tdsnn_context *ctx, const tdsnn_verify_result *result,
                                           uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_bench(tdsnn_context *ctx, const tdsnn_bench_result *result,
                                          uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_bench_kernels(tdsnn_context *ctx,
                                                  const tdsnn_bench_kernels_result *result,
                                                  uint64_t seed, FILE *out);

/* epochs: [count] those that were run, without earlier runs that were resumed. tuned: it was
 * tdsnn_tune. */
TDSNN_API tdsnn_status tdsnn_report_train(tdsnn_context *ctx, bool tuned,
                                          const tdsnn_train_report *report,
                                          const tdsnn_epoch *epochs, int count, uint64_t seed,
                                          FILE *out);

TDSNN_API tdsnn_status tdsnn_report_plan(tdsnn_context *ctx, const tdsnn_network *network,
                                         uint64_t seed, FILE *out);

/* What the libraries were built with: the compiler, each library and its version, the engines.
 * Index 0, 1, ...; NULL behind the last. tdsnn_report_build is the same as a document. */
typedef struct tdsnn_build_entry {
    const char *name, *value;
} tdsnn_build_entry;
TDSNN_API const tdsnn_build_entry *tdsnn_build_entry_at(int index);
TDSNN_API tdsnn_status tdsnn_report_build(tdsnn_context *ctx, uint64_t seed, FILE *out);

/* What operations cost: arithmetic alone, memory apart. A multiply costs a multiply-add less the
 * add. */
typedef struct tdsnn_energy_model {
    const char *name;      /* "45nm_fp32", "45nm_int8" */
    double add_pj, mac_pj; /* picojoules of an add, of a multiply-add */
} tdsnn_energy_model;

/* The models there are: index 0, 1, ...; NULL behind the last. */
TDSNN_API const tdsnn_energy_model *tdsnn_energy_model_at(int index);

/* Picojoules of all that was counted: of the dense network (its multiply-adds), and of the spiking
 * one by either convention (synapses, ticks, bias and pool adds; leaks, one a tick too, are
 * multiplies; behind an analog input, multiply-adds). */
TDSNN_API double tdsnn_energy_dense(const tdsnn_energy_model *model, const tdsnn_counts *counts);
TDSNN_API double tdsnn_energy_paper(const tdsnn_energy_model *model, const tdsnn_counts *counts);
TDSNN_API double tdsnn_energy_silent(const tdsnn_energy_model *model, const tdsnn_counts *counts);

/* Names the processor, as "AMD EPYC 7763 64-Core Processor": goes with every time measured. The
 * name is cut to `size` bytes, the zero included. */
TDSNN_API void tdsnn_cpu_name(char *name, size_t size);

#ifdef __cplusplus
}
#endif
#endif
