/* Reports: results as JSON documents, one on the stream, keys stable (docs/json.md). */
#ifndef TDSNN_REPORT_H
#define TDSNN_REPORT_H

#include <stdio.h>

#include <tdsnn/convert.h>
#include <tdsnn/eval.h>
#include <tdsnn/verify.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each writes one JSON document with `schema version cpu threads seed` and the keys of its
 * command. Errors: TDSNN_ERR_RUNTIME if the stream cannot be written. */
TDSNN_API tdsnn_status tdsnn_report_info(tdsnn_context *ctx, const tdsnn_model *model, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_convert(tdsnn_context *ctx, const tdsnn_convert_report *report,
                                            uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_eval(tdsnn_context *ctx, const tdsnn_eval_result *result,
                                         uint64_t seed, FILE *out);
TDSNN_API tdsnn_status tdsnn_report_verify(tdsnn_context *ctx, const tdsnn_verify_result *result,
                                           uint64_t seed, FILE *out);

/* One line naming the processor, "AMD EPYC 7763, 2 threads": goes with every time measured. */
TDSNN_API const char *tdsnn_cpu_name(void);

#ifdef __cplusplus
}
#endif
#endif
