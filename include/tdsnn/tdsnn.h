/* tdsnn: trained networks as single-spike, temporally coded spiking networks.
 *
 * A map of the headers, in the order one meets them:
 *   context.h   errors, progress, threads; every call takes a context
 *   code.h      the temporal code: values as spike times
 *   model.h     networks from and to ONNX files
 *   run.h       a spiking network on samples: logits, spike times
 *   data.h      samples and labels                                      (libtdsnn-tools)
 *   convert.h   a plain network becomes a spiking one                   (libtdsnn-tools)
 *   train.h     training and retraining                                 (libtdsnn-tools)
 *   eval.h      accuracy, spikes, operations, latency                   (libtdsnn-tools)
 *   verify.h    the proof that the spiking network computes the same    (libtdsnn-tools)
 *   bench.h     speed against the dense network                         (libtdsnn-tools)
 *   report.h    results as JSON                                         (libtdsnn-tools)
 */
#ifndef TDSNN_TDSNN_H
#define TDSNN_TDSNN_H

#include <tdsnn/bench.h>
#include <tdsnn/code.h>
#include <tdsnn/context.h>
#include <tdsnn/convert.h>
#include <tdsnn/data.h>
#include <tdsnn/eval.h>
#include <tdsnn/model.h>
#include <tdsnn/report.h>
#include <tdsnn/run.h>
#include <tdsnn/train.h>
#include <tdsnn/verify.h>

#endif
