/* A code's thresholds, so arranged that a drive's spike time takes two look-ups and a compare. */
#ifndef TD_ENGINE_ENCODER_H
#define TD_ENGINE_ENCODER_H

#include <tdsnn/code.h>

#include "base/memory.h"
#include "engine/kernels/kernels.h"

/* Thresholds lie evenly on a logarithmic scale, tau_k + s = s c exp(k/L): the leading bits of
 * drive + s, as a floating-point number, name a bucket in which there is one threshold at most. The
 * sum's rounding keeps the order of drives, so buckets below hold smaller thresholds only, and
 * one compare with the drive itself decides: the same spike time as tdsnn_code_encode, always.
 * *fits is false, and nothing made, for tables with thresholds too close together for that (a
 * learned table may be anything). */
tdsnn_status td_encoder_create(td_arena *arena, const tdsnn_code *code, td_encoder *encoder,
                               bool *fits);

#endif
