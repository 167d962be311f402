/* The documents of docs/json.md. */
#include <tdsnn/report.h>

#include <math.h>

#include "report/json.h"

static double ratio(double part, double whole) {
    return whole == 0.0 ? NAN : part / whole;
}

/* What is the same for every sample: its share of the sum. */
static uint64_t each(uint64_t sum, size_t samples) {
    return samples == 0 ? 0 : sum / samples;
}

static double percent(uint64_t part, uint64_t whole) {
    return 100.0 * ratio((double)part, (double)whole);
}

/* ----------------------------------------------------------------------------------------- info */

static const char *rounding_name(tdsnn_rounding rounding) {
    static const char *const names[] = {[TDSNN_ROUND_NEAREST] = "nearest",
                                        [TDSNN_ROUND_CEIL] = "ceil",
                                        [TDSNN_ROUND_TABLE] = "table"};
    return names[rounding];
}

static void put_code(td_json *j, json_t *layer, const tdsnn_code *code) {
    if (code == NULL) {
        td_json_null(j, layer, "code");
        return;
    }
    json_t *object = td_json_object(j, layer, "code");
    td_json_integer(j, object, "steps", (uint64_t)code->steps);
    td_json_real(j, object, "leak", (double)code->leak);
    td_json_real(j, object, "scale", (double)code->scale);
    td_json_text(j, object, "rounding", rounding_name(code->rounding));
    td_json_integer(j, object, "offset", (uint64_t)code->offset);
}

static void put_node(td_json *j, json_t *layers, const tdsnn_node_info *node) {
    static const char *const statuses[] = {[TDSNN_NODE_SUPPORTED] = "supported",
                                           [TDSNN_NODE_FOLDED] = "folded",
                                           [TDSNN_NODE_REFUSED] = "refused"};
    json_t *layer = td_json_item(j, layers);
    td_json_text(j, layer, "name", node->name);
    td_json_text(j, layer, "op", node->op);
    td_json_text(j, layer, "status", statuses[node->status]);
    td_json_text(j, layer, "reason", node->reason);
    td_json_text(j, layer, "shape", node->shape[0] == '\0' ? NULL : node->shape);
    td_json_integer(j, layer, "macs", node->macs);
    td_json_integer(j, layer, "macs_padded", node->macs_padded);
    put_code(j, layer, node->code);
}

tdsnn_status tdsnn_report_info(tdsnn_context *ctx, const tdsnn_model *model, uint64_t seed,
                               FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "info", seed);
    uint64_t macs = 0, macs_padded = 0;
    bool supported = true;
    json_t *layers = td_json_array(&j, j.root, "layers");
    for (int i = 0; i < tdsnn_model_node_count(model); i++) {
        tdsnn_node_info node = tdsnn_model_node(model, i);
        put_node(&j, layers, &node);
        macs += node.macs;
        macs_padded += node.macs_padded;
        supported = supported && node.status != TDSNN_NODE_REFUSED;
    }
    td_json_bool(&j, j.root, "spiking", tdsnn_model_is_spiking(model));
    td_json_bool(&j, j.root, "supported", supported);
    td_json_integer(&j, j.root, "macs", macs);
    td_json_integer(&j, j.root, "macs_padded", macs_padded);
    return td_json_finish(&j, ctx, out);
}

tdsnn_status tdsnn_report_plan(tdsnn_context *ctx, const tdsnn_network *network, uint64_t seed,
                               FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "plan", seed);
    tdsnn_network_info info = tdsnn_network_get_info(network);
    td_json_text(&j, j.root, "isa", info.isa);
    td_json_integer(&j, j.root, "weight_bytes", info.weight_bytes);
    json_t *populations = td_json_array(&j, j.root, "populations");
    for (int i = 0; i < info.layer_count; i++) {
        for (int k = 0; k < tdsnn_network_population_count(network, i); k++) {
            tdsnn_network_population p = tdsnn_network_get_population(network, i, k);
            json_t *object = td_json_item(&j, populations);
            td_json_text(&j, object, "layer", tdsnn_network_get_layer(network, i).name);
            td_json_text(&j, object, "source", p.source);
            td_json_text(&j, object, "form", p.form);
            td_json_integer(&j, object, "outputs", (uint64_t)p.outputs);
            td_json_real(&j, object, "density", p.density);
            td_json_real(&j, object, "cycles", p.cycles);
        }
    }
    return td_json_finish(&j, ctx, out);
}

tdsnn_status tdsnn_report_build(tdsnn_context *ctx, uint64_t seed, FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "build", seed);
    const tdsnn_build_entry *entry;
    json_t *build = td_json_object(&j, j.root, "build");
    for (int i = 0; (entry = tdsnn_build_entry_at(i)) != NULL; i++) {
        td_json_text(&j, build, entry->name, entry->value);
    }
    return td_json_finish(&j, ctx, out);
}

/* -------------------------------------------------------------------------------------- convert */

tdsnn_status tdsnn_report_convert(tdsnn_context *ctx, const tdsnn_convert_report *report,
                                  uint64_t seed, FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "convert", seed);
    td_json_real(&j, j.root, "leak", report->leak);
    json_t *trials = td_json_array(&j, j.root, "leaks_tried");
    for (int i = 0; i < report->trial_count; i++) {
        json_t *object = td_json_item(&j, trials);
        td_json_real(&j, object, "leak", report->trials[i].leak);
        td_json_real(&j, object, "logit_error", report->trials[i].logit_error);
    }
    td_json_real(&j, j.root, "logit_error", report->logit_error);
    td_json_real(&j, j.root, "agreement_percent", report->values ? NAN : report->agreement_percent);
    td_json_integer(&j, j.root, "calibration_samples", report->calibration_samples);
    if (report->silence_samples > 0) {
        json_t *object = td_json_object(&j, j.root, "silence");
        td_json_integer(&j, object, "samples", report->silence_samples);
        td_json_real(&j, object, "loss_points", report->silence_loss);
        td_json_real(&j, object, "spikes_before", report->spikes_before);
        td_json_real(&j, object, "spikes_after", report->spikes_after);
    }
    json_t *layers = td_json_array(&j, j.root, "layers");
    for (int i = 0; i < report->layer_count; i++) {
        const tdsnn_convert_layer *layer = &report->layers[i];
        json_t *object = td_json_item(&j, layers);
        td_json_text(&j, object, "name", layer->name);
        td_json_integer(&j, object, "steps", (uint64_t)layer->steps);
        td_json_real(&j, object, "leak", layer->leak);
        td_json_real(&j, object, "scale", layer->scale);
        td_json_real(&j, object, "snr_db", layer->snr_db);
        td_json_real(&j, object, "first_threshold", layer->first_threshold);
    }
    return td_json_finish(&j, ctx, out);
}

/* ----------------------------------------------------------------------------------------- eval */

/* A key of spiking networks alone: null for a plain one. */
static void put_mean(td_json *j, json_t *object, const char *key, bool spiking, double sum,
                     double count) {
    td_json_real(j, object, key, spiking ? ratio(sum, count) : NAN);
}

/* Operations of one inference. MAC = 1 counts a multiply-add as one operation; a spiking network
 * has none but those behind an analog input. */
static void put_ops(td_json *j, const tdsnn_eval_result *r) {
    json_t *ops = td_json_object(j, j->root, "ops");
    double n = (double)r->counted, macs = (double)r->total.macs;
    double paper = (double)tdsnn_ops_paper(&r->total), silent = (double)tdsnn_ops_silent(&r->total);
    double paper1 = paper - (double)r->total.analog_macs;
    double silent1 = silent - (double)r->total.analog_macs;
    td_json_real(j, ops, "dnn", ratio(2.0 * macs, n));
    td_json_real(j, ops, "dnn_mac1", ratio(macs, n));
    put_mean(j, ops, "paper", r->spiking, paper, n);
    put_mean(j, ops, "paper_mac1", r->spiking, paper1, n);
    put_mean(j, ops, "silent", r->spiking, silent, n);
    put_mean(j, ops, "silent_mac1", r->spiking, silent1, n);
    const double percents = 100.0;
    put_mean(j, ops, "reduction_paper_percent", r->spiking, percents * (2.0 * macs - paper),
             2.0 * macs);
    put_mean(j, ops, "reduction_paper_mac1_percent", r->spiking, percents * (macs - paper1), macs);
    put_mean(j, ops, "reduction_silent_percent", r->spiking, percents * (2.0 * macs - silent),
             2.0 * macs);
    put_mean(j, ops, "reduction_silent_mac1_percent", r->spiking, percents * (macs - silent1),
             macs);
}

/* Picojoules of one inference by each model. */
static void put_energy(td_json *j, const tdsnn_eval_result *r) {
    json_t *energy = td_json_object(j, j->root, "energy");
    const tdsnn_energy_model *model;
    double n = (double)r->counted;
    for (int i = 0; (model = tdsnn_energy_model_at(i)) != NULL; i++) {
        json_t *object = td_json_object(j, energy, model->name);
        td_json_real(j, object, "add_pj", model->add_pj);
        td_json_real(j, object, "mac_pj", model->mac_pj);
        td_json_real(j, object, "dnn_pj", ratio(tdsnn_energy_dense(model, &r->total), n));
        put_mean(j, object, "paper_pj", r->spiking, tdsnn_energy_paper(model, &r->total), n);
        put_mean(j, object, "silent_pj", r->spiking, tdsnn_energy_silent(model, &r->total), n);
    }
}

static void put_eval_layer(td_json *j, json_t *layers, const tdsnn_eval_layer *layer,
                           size_t samples) {
    json_t *object = td_json_item(j, layers);
    const tdsnn_counts *c = &layer->counts;
    double n = (double)samples;
    td_json_text(j, object, "name", layer->name);
    td_json_text(j, object, "kind", layer->kind);
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d", layer->shape[0], layer->shape[1], layer->shape[2]);
    td_json_text(j, object, "shape", shape);
    td_json_integer(j, object, "steps", (uint64_t)layer->steps);
    td_json_integer(j, object, "neurons", each(c->neurons, samples));
    td_json_real(j, object, "spikes", ratio((double)c->spikes, n));
    td_json_real(j, object, "density", ratio((double)c->spikes, (double)c->neurons));
    td_json_real(j, object, "zero_spikes", ratio((double)c->zero_spikes, n));
    td_json_integer(j, object, "macs", each(c->macs, samples));
    td_json_real(j, object, "ops_paper", ratio((double)tdsnn_ops_paper(c), n));
    td_json_real(j, object, "ops_silent", ratio((double)tdsnn_ops_silent(c), n));
    td_json_real(j, object, "t_last_in_mean", ratio((double)layer->t_last_in, n));
    td_json_integer(j, object, "t_last_in_fixed", (uint64_t)layer->t_last_in_fixed);
}

static void put_targets(td_json *j, const tdsnn_eval_result *r) {
    bool any = r->targets != TDSNN_TARGETS_NONE;
    if (any) {
        td_json_text(j, j->root, "targets", r->targets == TDSNN_TARGETS_Y ? "y" : "input");
    } else {
        td_json_null(j, j->root, "targets");
    }
    td_json_real(j, j->root, "target_mean_abs_error", any ? r->target_error.mean_abs : NAN);
    td_json_real(j, j->root, "target_rms_error", any ? r->target_error.root_mean_square : NAN);
    if (r->compared) {
        td_json_real(j, j->root, "against_target_mean_abs_error",
                     any ? r->against_target_error.mean_abs : NAN);
        td_json_real(j, j->root, "against_target_rms_error",
                     any ? r->against_target_error.root_mean_square : NAN);
    }
}

static void put_comparison(td_json *j, const tdsnn_eval_result *r) {
    td_json_real(j, j->root, "agreement_percent", percent(r->agreements, r->samples));
    td_json_real(j, j->root, "max_abs_error", r->max_abs_error);
    td_json_real(j, j->root, "mean_abs_error", r->mean_abs_error);
    td_json_real(j, j->root, "against_top1_percent",
                 r->labelled ? percent(r->against_top1, r->samples) : NAN);
    td_json_real(j, j->root, "against_run_s", r->against_run_seconds);
}

static void put_spikes(td_json *j, const tdsnn_eval_result *r) {
    const tdsnn_counts *t = &r->total;
    if (r->spiking) {
        td_json_integer(j, j->root, "neurons", each(t->neurons, r->counted));
    } else {
        td_json_null(j, j->root, "neurons");
    }
    put_mean(j, j->root, "spikes_per_neuron", r->spiking, (double)t->spikes, (double)t->neurons);
    put_mean(j, j->root, "zero_spikes_per_neuron", r->spiking, (double)t->zero_spikes,
             (double)t->neurons);
    put_mean(j, j->root, "input_spikes_per_pixel", r->spiking, (double)r->input_spikes,
             (double)r->input_neurons);
}

tdsnn_status tdsnn_report_eval(tdsnn_context *ctx, const tdsnn_eval_result *r, uint64_t seed,
                               FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "eval", seed);
    td_json_integer(&j, j.root, "samples", r->samples);
    td_json_integer(&j, j.root, "samples_counted", r->counted);
    td_json_bool(&j, j.root, "spiking", r->spiking);
    td_json_bool(&j, j.root, "analog_input", r->total.analog_macs > 0);
    td_json_real(&j, j.root, "top1_percent", r->labelled ? percent(r->top1, r->samples) : NAN);
    td_json_real(&j, j.root, "top5_percent", r->labelled ? percent(r->top5, r->samples) : NAN);
    put_targets(&j, r);
    put_spikes(&j, r);
    td_json_integer(&j, j.root, "macs", each(r->total.macs, r->counted));
    put_ops(&j, r);
    put_energy(&j, r);
    json_t *latency = td_json_object(&j, j.root, "latency");
    put_mean(&j, latency, "fixed_steps", r->spiking, (double)r->latency_fixed, 1.0);
    put_mean(&j, latency, "dynamic_steps_mean", r->spiking, (double)r->latency_dynamic,
             (double)r->counted);
    td_json_real(&j, j.root, "time_s", r->seconds);
    td_json_real(&j, j.root, "run_s", r->run_seconds);
    if (r->compared) {
        put_comparison(&j, r);
    }
    json_t *layers = td_json_array(&j, j.root, "layers");
    for (int i = 0; i < r->layer_count; i++) {
        put_eval_layer(&j, layers, &r->layers[i], r->counted);
    }
    return td_json_finish(&j, ctx, out);
}

/* --------------------------------------------------------------------------------------- verify */

static void put_failure(td_json *j, const tdsnn_verify_result *r) {
    if (r->passed) {
        td_json_null(j, j->root, "first_failure");
        return;
    }
    const tdsnn_verify_failure *f = &r->first;
    json_t *object = td_json_object(j, j->root, "first_failure");
    td_json_text(j, object, "check", f->check);
    td_json_text(j, object, "layer", f->layer);
    td_json_text(j, object, "mode", f->mode);
    td_json_integer(j, object, "sample", f->sample);
    td_json_integer(j, object, "channel", (uint64_t)f->channel);
    td_json_integer(j, object, "y", (uint64_t)f->y);
    td_json_integer(j, object, "x", (uint64_t)f->x);
    td_json_text(j, object, "half", f->half);
    td_json_real(j, object, "time_found", f->time_found);
    td_json_real(j, object, "time_expected", f->time_expected);
    td_json_integer(j, object, "step", (uint64_t)f->step);
    td_json_real(j, object, "drive", f->drive);
    td_json_real(j, object, "threshold", f->threshold);
    td_json_real(j, object, "bound", f->bound);
}

static void put_verify_layer(td_json *j, json_t *layers, const tdsnn_verify_layer *layer) {
    json_t *object = td_json_item(j, layers);
    td_json_text(j, object, "name", layer->name);
    td_json_text(j, object, "kind", layer->kind);
    td_json_integer(j, object, "neurons_checked", layer->neurons_checked);
    td_json_integer(j, object, "neuron_vs_formula_mismatches", layer->neuron_vs_formula_mismatches);
    td_json_integer(j, object, "fast_vs_reference_mismatches", layer->fast_vs_reference_mismatches);
    td_json_integer(j, object, "float_vs_double_mismatches", layer->float_vs_double_mismatches);
    td_json_integer(j, object, "float_vs_double_beyond_bound", layer->float_vs_double_beyond_bound);
}

tdsnn_status tdsnn_report_verify(tdsnn_context *ctx, const tdsnn_verify_result *r, uint64_t seed,
                                 FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "verify", seed);
    td_json_bool(&j, j.root, "passed", r->passed);
    td_json_integer(&j, j.root, "samples", r->samples);
    td_json_integer(&j, j.root, "modes", (uint64_t)r->mode_count);
    td_json_integer(&j, j.root, "neurons_checked", r->neurons_checked);
    td_json_integer(&j, j.root, "neuron_vs_formula_mismatches", r->neuron_vs_formula_mismatches);
    td_json_integer(&j, j.root, "fast_vs_reference_mismatches", r->fast_vs_reference_mismatches);
    td_json_text(&j, j.root, "isa", r->isa);
    td_json_integer(&j, j.root, "float_vs_double_mismatches", r->float_vs_double_mismatches);
    td_json_integer(&j, j.root, "float_vs_double_beyond_bound", r->float_vs_double_beyond_bound);
    td_json_integer(&j, j.root, "readout_mismatches", r->readout_mismatches);
    td_json_integer(&j, j.root, "predictions_changed", r->predictions_changed);
    td_json_real(&j, j.root, "time_s", r->seconds);
    put_failure(&j, r);
    json_t *layers = td_json_array(&j, j.root, "layers");
    for (int i = 0; i < r->layer_count; i++) {
        put_verify_layer(&j, layers, &r->layers[i]);
    }
    return td_json_finish(&j, ctx, out);
}

/* ---------------------------------------------------------------------------------------- bench */

static void put_bench_layer(td_json *j, json_t *layers, const tdsnn_bench_layer *layer) {
    json_t *object = td_json_item(j, layers);
    td_json_text(j, object, "name", layer->name);
    td_json_text(j, object, "form", layer->form);
    td_json_real(j, object, "density", layer->density);
    td_json_integer(j, object, "macs", layer->macs);
    td_json_real(j, object, "executed_macs", layer->executed_macs);
    td_json_real(j, object, "dense_ms", layer->dense_ms);
    td_json_real(j, object, "event_ms", layer->event_ms);
}

tdsnn_status tdsnn_report_bench(tdsnn_context *ctx, const tdsnn_bench_result *r, uint64_t seed,
                                FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "bench", seed);
    td_json_text(&j, j.root, "isa", r->isa);
    td_json_text(&j, j.root, "opponent", r->opponent);
    td_json_text(&j, j.root, "opponent_isa", r->opponent_isa);
    td_json_integer(&j, j.root, "batch", (uint64_t)r->batch);
    td_json_integer(&j, j.root, "samples", r->samples);
    td_json_integer(&j, j.root, "rounds", r->rounds);
    td_json_real(&j, j.root, "dense_ms", r->dense_ms);
    td_json_real(&j, j.root, "event_ms", r->event_ms);
    td_json_real(&j, j.root, "ratio", r->ratio);
    td_json_real(&j, j.root, "ratio_low", r->ratio_low);
    td_json_real(&j, j.root, "ratio_high", r->ratio_high);
    td_json_integer(&j, j.root, "peak_bytes", r->peak_bytes);
    json_t *layers = td_json_array(&j, j.root, "layers");
    for (int i = 0; i < r->layer_count; i++) {
        put_bench_layer(&j, layers, &r->layers[i]);
    }
    return td_json_finish(&j, ctx, out);
}

static void put_bench_kernel(td_json *j, json_t *kernels, const tdsnn_bench_kernel *kernel) {
    json_t *object = td_json_item(j, kernels);
    td_json_integer(j, object, "channels", (uint64_t)kernel->channels);
    td_json_integer(j, object, "height", (uint64_t)kernel->height);
    td_json_integer(j, object, "width", (uint64_t)kernel->width);
    td_json_real(j, object, "density", kernel->density);
    td_json_text(j, object, "form", kernel->form);
    td_json_integer(j, object, "macs", kernel->macs);
    td_json_real(j, object, "executed_macs", kernel->executed_macs);
    td_json_integer(j, object, "rounds", kernel->rounds);
    td_json_real(j, object, "dense_ms", kernel->dense_ms);
    td_json_real(j, object, "event_ms", kernel->event_ms);
    td_json_real(j, object, "ratio", kernel->ratio);
    td_json_real(j, object, "ratio_low", kernel->ratio_low);
    td_json_real(j, object, "ratio_high", kernel->ratio_high);
}

tdsnn_status tdsnn_report_bench_kernels(tdsnn_context *ctx, const tdsnn_bench_kernels_result *r,
                                        uint64_t seed, FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, "bench", seed);
    td_json_text(&j, j.root, "isa", r->isa);
    td_json_text(&j, j.root, "opponent", r->opponent);
    td_json_text(&j, j.root, "opponent_isa", r->opponent_isa);
    json_t *kernels = td_json_array(&j, j.root, "kernels");
    for (int i = 0; i < r->kernel_count; i++) {
        put_bench_kernel(&j, kernels, &r->kernels[i]);
    }
    return td_json_finish(&j, ctx, out);
}

/* --------------------------------------------------------------------------------- train and tune
 */

static void put_epoch(td_json *j, json_t *object, const tdsnn_epoch *e) {
    td_json_integer(j, object, "epoch", (uint64_t)e->epoch);
    td_json_integer(j, object, "step", e->step);
    td_json_real(j, object, "loss", e->loss);
    td_json_real(j, object, "train_percent", e->train_percent);
    td_json_real(j, object, "held_out_loss", e->held_out_loss);
    td_json_real(j, object, "held_out_percent", e->held_out_percent);
    td_json_real(j, object, "spikes_per_neuron", e->spikes_per_neuron);
    td_json_real(j, object, "learning_rate", e->learning_rate);
    td_json_real(j, object, "images_per_second", e->images_per_second);
    td_json_real(j, object, "time_s", e->seconds);
    td_json_bool(j, object, "best", e->best);
}

tdsnn_status tdsnn_report_train(tdsnn_context *ctx, bool tuned, const tdsnn_train_report *report,
                                const tdsnn_epoch *epochs, int count, uint64_t seed, FILE *out) {
    td_error_clear(ctx);
    td_json j = td_json_start(ctx, tuned ? "tune" : "train", seed);
    td_json_integer(&j, j.root, "train_samples", report->train_samples);
    td_json_integer(&j, j.root, "held_out_samples", report->held_out_samples);
    td_json_integer(&j, j.root, "parameters", report->parameters);
    td_json_integer(&j, j.root, "batch", (uint64_t)report->batch);
    td_json_real(&j, j.root, "learning_rate", report->learning_rate);
    td_json_real(&j, j.root, "weight_decay", report->weight_decay);
    td_json_bool(&j, j.root, "live_norms", report->live_norms);
    td_json_real(&j, j.root, "start_percent", report->start_percent);
    td_json_real(&j, j.root, "source_percent", report->source_percent);
    td_json_integer(&j, j.root, "epochs_run", (uint64_t)report->epochs);
    put_epoch(&j, td_json_object(&j, j.root, "best"), &report->best);
    json_t *list = td_json_array(&j, j.root, "epochs");
    for (int i = 0; i < count; i++) {
        put_epoch(&j, td_json_item(&j, list), &epochs[i]);
    }
    return td_json_finish(&j, ctx, out);
}
