/* Codes made and checked within a call: an error that is there stays, on any thread. */
#ifndef TD_CODE_CODE_H
#define TD_CODE_CODE_H

#include <tdsnn/code.h>

/* As tdsnn_code_make and tdsnn_code_check. */
tdsnn_status td_code_make(tdsnn_context *ctx, double leak, int steps, double scale,
                          tdsnn_rounding rounding, int offset, tdsnn_code *code);
tdsnn_status td_code_check(tdsnn_context *ctx, const tdsnn_code *code);

#endif
