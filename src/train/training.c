#include "train/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "data/normalise.h"
#include "dense/dense.h"
#include "network/model.h"
#include "train/checkpoint.h"
#include "train/feed.h"
#include "train/held_out.h"
#include "train/log.h"
#include "train/loss.h"
#include "train/optimiser.h"
#include "train/tape.h"
#include "train/train_state.h"

/* How fast running means and variances follow the batches. */
#define NORM_MOMENTUM 0.1f
/* Shards that norms are first measured on. */
#define SURVEYED_SHARDS 16
/* Parameters whose gradients one thread adds up at once. */
#define CHUNK 65536
#define CHECKPOINT_SECONDS 600.0

/* What one thread works with. */
typedef struct worker {
    td_tape *tape;
    td_dense *teacher;
    float *values;   /* [shard][C][H][W] of its own */
    float *gradient; /* [shard][outputs] */
    double *scratch; /* [outputs] */
} worker;

/* What one shard of a step came to. */
typedef struct shard {
    float *gradients;       /* [count] */
    float *mean, *variance; /* [norm_channels] */
    double loss, cost;
    uint64_t correct, spikes;
} shard;

/* Values and norms at one moment. */
typedef struct snapshot {
    float *values, *mean, *variance;
} snapshot;

struct td_training {
    tdsnn_context *ctx;
    const td_training_setup *setup;
    const tdsnn_train_options *options;
    td_learner *learner;
    td_optimiser optimiser;
    td_dense_plan *teacher;
    td_feed_options samples_fed;
    td_feed *feed;
    tdsnn_data_info info; /* of the training samples */
    int samples;          /* of a shard */
    int shard_count, worker_count;
    worker *workers;
    shard *shards;
    size_t outputs, inputs;
    double *squares; /* [chunks] */
    const td_batch *batch;
    td_train_state state;
    uint64_t steps, steps_per_epoch;
    double rate;
    snapshot best;
    td_held_out held_out;
    td_train_log *log;
    double started, saved; /* when: as if it had never stopped */
    bool save_failed;
};

/* -------------------------------------------------------------------------------------- creation
 */

static tdsnn_status worker_create(td_training *t, worker *w) {
    tdsnn_context *ctx = t->ctx;
    size_t samples = (size_t)t->samples;
    w->values = td_alloc(ctx, samples * t->inputs, sizeof *w->values);
    w->gradient = td_alloc(ctx, samples * t->outputs, sizeof *w->gradient);
    w->scratch = td_alloc(ctx, t->outputs, sizeof *w->scratch);
    if (w->values == NULL || w->gradient == NULL || w->scratch == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = td_tape_create(ctx, t->learner, t->samples, TD_DENSE_BEST, &w->tape);
    if (status == TDSNN_OK && t->teacher != NULL) {
        status = td_dense_create(ctx, t->teacher, &w->teacher);
    }
    return status;
}

static tdsnn_status create_workers(td_training *t) {
    int threads = tdsnn_threads(t->ctx);
    t->worker_count = threads < t->shard_count ? threads : t->shard_count;
    t->workers = td_alloc(t->ctx, (size_t)t->worker_count, sizeof *t->workers);
    t->shards = td_alloc(t->ctx, (size_t)t->shard_count, sizeof *t->shards);
    if (t->workers == NULL || t->shards == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; i < t->worker_count && status == TDSNN_OK; i++) {
        status = worker_create(t, &t->workers[i]);
    }
    for (int i = 0; i < t->shard_count && status == TDSNN_OK; i++) {
        shard *s = &t->shards[i];
        s->gradients = td_alloc(t->ctx, t->learner->count, sizeof *s->gradients);
        s->mean = td_alloc(t->ctx, t->learner->norm_channels, sizeof *s->mean);
        s->variance = td_alloc(t->ctx, t->learner->norm_channels, sizeof *s->variance);
        status = s->gradients == NULL || s->mean == NULL || s->variance == NULL ? TDSNN_ERR_RUNTIME
                                                                                : TDSNN_OK;
    }
    return status;
}

/* A thread's own; where there are more threads than shards, a shard's. */
static worker *worker_of(td_training *t, size_t shard_index, int thread) {
    bool by_shard = t->worker_count == t->shard_count;
    return &t->workers[by_shard ? shard_index : (size_t)thread];
}

static void plan_feed(td_training *t) {
    t->samples_fed =
        (td_feed_options){.data = t->setup->train,
                          .batch = t->options->batch,
                          .seed = t->options->seed,
                          .augmentation = {t->options->flip, t->options->shift, t->options->mixup}};
    t->steps_per_epoch = td_feed_steps(&t->samples_fed);
    t->steps = t->steps_per_epoch * (uint64_t)t->options->epochs;
}

static tdsnn_status snapshot_create(td_training *t, snapshot *s) {
    s->values = td_alloc(t->ctx, t->learner->count, sizeof *s->values);
    s->mean = td_alloc(t->ctx, t->learner->norm_channels, sizeof *s->mean);
    s->variance = td_alloc(t->ctx, t->learner->norm_channels, sizeof *s->variance);
    return s->values == NULL || s->mean == NULL || s->variance == NULL ? TDSNN_ERR_RUNTIME
                                                                       : TDSNN_OK;
}

static void snapshot_free(snapshot *s) {
    td_free(s->values);
    td_free(s->mean);
    td_free(s->variance);
}

/* Copies what the learner is, or makes it that. */
static void take_snapshot(const td_learner *l, snapshot *s) {
    memcpy(s->values, l->values, l->count * sizeof *l->values);
    memcpy(s->mean, l->mean, l->norm_channels * sizeof *l->mean);
    memcpy(s->variance, l->variance, l->norm_channels * sizeof *l->variance);
}

static tdsnn_status put_snapshot(tdsnn_context *ctx, const snapshot *s, td_learner *l) {
    memcpy(l->values, s->values, l->count * sizeof *l->values);
    memcpy(l->mean, s->mean, l->norm_channels * sizeof *l->mean);
    memcpy(l->variance, s->variance, l->norm_channels * sizeof *l->variance);
    return td_learner_update_codes(ctx, l);
}

/* ----------------------------------------------------------------------------------------- norms
 */

/* Mean and variance of all shards' samples together, into the first one's. */
static void pool_moments(td_training *t) {
    int count = t->shard_count;
    for (size_t c = 0; c < t->learner->norm_channels; c++) {
        double mean = 0.0, square = 0.0;
        for (int i = 0; i < count; i++) {
            double m = t->shards[i].mean[c];
            mean += m / count;
            square += (t->shards[i].variance[c] + m * m) / count;
        }
        double variance = square - mean * mean;
        t->shards[0].mean[c] = (float)mean;
        t->shards[0].variance[c] = (float)(variance > 0.0 ? variance : 0.0);
    }
}

static void keep_moments(td_training *t, const td_tape *tape, int index) {
    size_t bytes = t->learner->norm_channels * sizeof(float);
    memcpy(t->shards[index].mean, td_tape_mean(tape), bytes);
    memcpy(t->shards[index].variance, td_tape_variance(tape), bytes);
}

/* Measures what norms read on the first training samples, into the first shard's moments. */
static tdsnn_status survey_norms(td_training *t) {
    tdsnn_data_info info = tdsnn_data_get_info(t->setup->train);
    worker *w = &t->workers[0];
    td_learner *l = t->learner;
    size_t channels = l->norm_channels;
    double *moments = td_alloc(t->ctx, 2 * channels, sizeof *moments);
    tdsnn_status status = moments == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (size_t s = 0; s < SURVEYED_SHARDS && status == TDSNN_OK; s++) {
        for (size_t n = 0; n < (size_t)t->samples && status == TDSNN_OK; n++) {
            size_t index = (s * (size_t)t->samples + n) % info.samples;
            status =
                tdsnn_data_read(t->ctx, t->setup->train, index, w->values + n * t->inputs, NULL);
        }
        if (status != TDSNN_OK) {
            break;
        }
        td_tape_forward(w->tape, t->setup->fresh ? TD_PASS_TRAIN : TD_PASS_SURVEY, w->values);
        for (size_t c = 0; c < channels; c++) {
            double m = td_tape_mean(w->tape)[c];
            moments[c] += m / SURVEYED_SHARDS;
            moments[channels + c] += (td_tape_variance(w->tape)[c] + m * m) / SURVEYED_SHARDS;
        }
    }
    for (size_t c = 0; c < channels && status == TDSNN_OK; c++) {
        double variance = moments[channels + c] - moments[c] * moments[c];
        t->shards[0].mean[c] = (float)moments[c];
        t->shards[0].variance[c] = (float)(variance > 0.0 ? variance : 0.0);
    }
    td_free(moments);
    return status;
}

static tdsnn_status start_norms(td_training *t) {
    td_learner *l = t->learner;
    if (l->norm_channels == 0) {
        return TDSNN_OK;
    }
    tdsnn_status status = survey_norms(t);
    if (status == TDSNN_OK && t->setup->fresh) {
        memcpy(l->mean, t->shards[0].mean, l->norm_channels * sizeof *l->mean);
        memcpy(l->variance, t->shards[0].variance, l->norm_channels * sizeof *l->variance);
    } else if (status == TDSNN_OK) {
        td_learner_adopt_norms(l, t->shards[0].mean, t->shards[0].variance);
    }
    return status;
}

/* ----------------------------------------------------------------------------------- checkpoints
 */

enum { STATE_ARRAYS = 8 };

/* Everything that the next step depends on, pointing into the training; numbers are copied. */
static td_state describe_state(td_training *t, td_state_number *numbers, td_state_array *arrays) {
    const td_learner *l = t->learner;
    const td_state_array lists[STATE_ARRAYS] = {
        {"values", l->values, l->count},
        {"moments", t->optimiser.first, l->count},
        {"norm_mean", l->mean, l->norm_channels},
        {"norm_variance", l->variance, l->norm_channels},
        {"best_values", t->best.values, l->count},
        {"best_norm_mean", t->best.mean, l->norm_channels},
        {"best_norm_variance", t->best.variance, l->norm_channels},
        {"squares", t->optimiser.second, l->count},
    };
    int second = t->optimiser.second != NULL; /* the last one */
    t->state.seconds = td_now() - t->started;
    td_train_state_write(&t->state, numbers);
    memcpy(arrays, lists, sizeof lists);
    return (td_state){.settings = t->setup->settings,
                      .arrays = arrays,
                      .array_count = STATE_ARRAYS - 1 + second,
                      .numbers = numbers,
                      .number_count = TD_TRAIN_STATE_NUMBERS};
}

/* A disk that is full is no reason to lose the work: training goes on, and the next one may do. */
static void save_checkpoint(td_training *t) {
    if (t->options->checkpoint == NULL) {
        return;
    }
    td_state_number numbers[TD_TRAIN_STATE_NUMBERS];
    td_state_array arrays[STATE_ARRAYS];
    td_state state = describe_state(t, numbers, arrays);
    tdsnn_context *own = tdsnn_context_create(); /* for an error besides the one that ends it all */
    bool failed =
        own == NULL || td_checkpoint_save(own, t->options->checkpoint, &state) != TDSNN_OK;
    if (failed && !t->save_failed) {
        td_warn(t->ctx, "%s; the training goes on without",
                own == NULL ? "no memory for a checkpoint" : tdsnn_last_error(own));
    }
    tdsnn_context_destroy(own);
    t->save_failed = failed;
    t->saved = td_now();
}

static tdsnn_status resume(td_training *t) {
    td_state_number numbers[TD_TRAIN_STATE_NUMBERS];
    td_state_array arrays[STATE_ARRAYS];
    td_state state = describe_state(t, numbers, arrays);
    tdsnn_status status = td_checkpoint_load(t->ctx, t->options->checkpoint, &state);
    if (status != TDSNN_OK) {
        return status;
    }
    if (!(numbers[0].value >= 0.0 && numbers[0].value <= (double)t->steps)) {
        return td_error(t->ctx, TDSNN_ERR_INPUT, "%s: its step is %g, of %llu",
                        t->options->checkpoint, numbers[0].value, (unsigned long long)t->steps);
    }
    td_train_state_read(numbers, t->options->epochs, &t->state);
    return td_learner_update_codes(t->ctx, t->learner);
}

/* ------------------------------------------------------------------------------------------ step
 */

/* What the shard's outputs are compared with; a teacher runs now. */
static td_aim aim_of(td_training *t, worker *w, size_t first) {
    const tdsnn_train_options *o = t->options;
    const td_batch *b = t->batch;
    td_aim aim = {.labels = b->labels + first,
                  .others = b->others == NULL ? NULL : b->others + first,
                  .shares = b->shares == NULL ? NULL : b->shares + first,
                  .distill = o->distill,
                  .temperature = o->temperature,
                  .values = t->setup->values};
    if (t->setup->inputs_are_targets) {
        memcpy(w->values, b->values + first * t->inputs,
               (size_t)t->samples * t->inputs * sizeof *w->values);
        for (size_t n = 0; n < (size_t)t->samples; n++) {
            td_data_normalise(&t->info, w->values + n * t->inputs);
        }
        aim.targets = w->values;
    } else if (b->targets != NULL) {
        aim.targets = b->targets + first * t->outputs;
    }
    if (w->teacher != NULL) {
        td_dense_run(w->teacher, b->values + first * t->inputs);
        aim.teacher = td_dense_value(w->teacher, td_graph_logits(t->setup->teacher));
    }
    return aim;
}

static tdsnn_status run_shard(void *arg, size_t index, int number) {
    td_training *t = arg;
    worker *w = worker_of(t, index, number);
    shard *s = &t->shards[index];
    size_t first = index * (size_t)t->samples;
    td_tape_forward(w->tape, TD_PASS_TRAIN, t->batch->values + first * t->inputs);
    td_aim aim = aim_of(t, w, first);
    s->loss = td_loss(&aim, td_tape_logits(w->tape), t->samples, t->outputs, t->options->batch,
                      w->scratch, w->gradient, &s->correct);
    s->cost = td_tape_backward(w->tape, w->gradient, t->options->sparsity, t->options->batch,
                               s->gradients);
    s->spikes = td_tape_spikes(w->tape);
    keep_moments(t, w->tape, (int)index);
    return TDSNN_OK;
}

static tdsnn_status sum_chunk(void *arg, size_t index, int number) {
    (void)number;
    td_training *t = arg;
    float *gradients[64]; /* of the shards; more are added in several rounds */
    size_t first = index * CHUNK, end = first + CHUNK;
    end = end < t->learner->count ? end : t->learner->count;
    double square = 0.0;
    for (int from = 1; from <= t->shard_count; from += 63) {
        int count = 0;
        gradients[count++] = t->shards[0].gradients;
        for (int i = from; i < t->shard_count && count < 64; i++) {
            gradients[count++] = t->shards[i].gradients;
        }
        square = td_sum_gradients(gradients, count, first, end);
    }
    t->squares[index] = square;
    return TDSNN_OK;
}

static size_t chunk_count(const td_training *t) {
    return (t->learner->count + CHUNK - 1) / CHUNK;
}

/* Adds up the shards' gradients and keeps their norm within the limit; *norm_square: before. */
static tdsnn_status gather_gradients(td_training *t, double *norm_square) {
    tdsnn_status status = td_parallel(t->ctx, NULL, chunk_count(t), sum_chunk, t);
    double square = 0.0;
    for (size_t i = 0; i < chunk_count(t); i++) {
        square += t->squares[i];
    }
    *norm_square = square;
    double norm = sqrt(square), limit = t->options->clip;
    if (limit > 0.0 && norm > limit) {
        td_scale_gradients(t->shards[0].gradients, t->learner->count, (float)(limit / norm));
    }
    return status;
}

static void follow_norms(td_training *t) {
    td_learner *l = t->learner;
    pool_moments(t);
    for (size_t c = 0; c < l->norm_channels; c++) {
        l->mean[c] += NORM_MOMENTUM * (t->shards[0].mean[c] - l->mean[c]);
        l->variance[c] += NORM_MOMENTUM * (t->shards[0].variance[c] - l->variance[c]);
    }
}

/* Adds the step to the epoch's sums. Errors: TDSNN_ERR_RUNTIME where its loss is no number or its
 * gradients' square norm is none, which codes would hide: NaN is silent. */
static tdsnn_status add_step(td_training *t, double square, double seconds) {
    double loss = 0.0;
    for (int i = 0; i < t->shard_count; i++) {
        const shard *s = &t->shards[i];
        loss += s->loss;
        t->state.epoch.cost += s->cost;
        t->state.epoch.correct += s->correct;
        t->state.epoch.spikes += s->spikes;
    }
    if (!isfinite(loss) || !isfinite(square)) {
        return td_error(t->ctx, TDSNN_ERR_RUNTIME,
                        "the loss of step %llu is no number any more: try a smaller learning rate "
                        "than %g, a warm-up, or a limit on the gradients",
                        (unsigned long long)t->state.step + 1, t->options->learning_rate);
    }
    t->state.epoch.loss += loss;
    t->state.epoch.samples += (uint64_t)t->options->batch;
    t->state.epoch.seconds += seconds;
    return TDSNN_OK;
}

static tdsnn_status run_step(td_training *t) {
    const tdsnn_train_options *o = t->options;
    double start = td_now(), square = 0.0;
    tdsnn_status status = td_feed_next(t->feed, t->ctx, &t->batch);
    if (status == TDSNN_OK) {
        status = td_parallel(t->ctx, NULL, (size_t)t->shard_count, run_shard, t);
    }
    double seconds = td_now() - start;
    status = status != TDSNN_OK ? status : gather_gradients(t, &square);
    status = status != TDSNN_OK ? status : add_step(t, square, seconds);
    if (status != TDSNN_OK) {
        return status;
    }
    uint64_t warmup = (uint64_t)(o->warmup * (double)t->steps_per_epoch);
    t->rate = td_learning_rate(o->schedule, o->learning_rate, t->state.step, t->steps, warmup);
    td_optimiser_step(&t->optimiser, t->learner, t->shards[0].gradients, t->rate, t->state.step);
    follow_norms(t);
    t->state.step++;
    return td_learner_update_codes(t->ctx, t->learner);
}

/* ----------------------------------------------------------------------------------------- epoch
 */

/* Judges the network as it would be written now. */
static tdsnn_status judge(td_training *t, double *percent, double *loss) {
    td_graph *graph = NULL;
    tdsnn_status status = td_learner_export(t->ctx, t->learner, &graph);
    if (status == TDSNN_OK) {
        status = td_held_out_judge(t->ctx, &t->held_out, graph, percent, loss);
    }
    td_graph_destroy(graph);
    return status;
}

/* Keeps the network as it is now, and gives it to the caller. */
static tdsnn_status offer_best(td_training *t) {
    const tdsnn_train_options *o = t->options;
    take_snapshot(t->learner, &t->best);
    if (o->on_best == NULL) {
        return TDSNN_OK;
    }
    td_graph *graph;
    tdsnn_model *model = NULL;
    tdsnn_status status = td_learner_export(t->ctx, t->learner, &graph);
    if (status == TDSNN_OK) {
        status = td_model_create(t->ctx, graph, t->setup->path, &model);
    }
    if (status == TDSNN_OK) {
        status = o->on_best(o->on_best_user, t->ctx, model);
    }
    tdsnn_model_destroy(model);
    return status;
}

static tdsnn_epoch describe_epoch(const td_training *t) {
    const td_epoch_sums *e = &t->state.epoch;
    double neurons = (double)td_tape_neurons(t->workers[0].tape) / t->samples;
    bool labelled = !t->setup->values && tdsnn_data_get_info(t->setup->train).labelled;
    double samples = (double)e->samples;
    return (tdsnn_epoch){.epoch = (int)(t->state.step / t->steps_per_epoch),
                         .epochs = t->options->epochs,
                         .step = t->state.step,
                         .loss = e->loss / samples,
                         .train_percent = labelled ? 100.0 * (double)e->correct / samples : NAN,
                         .spikes_per_neuron =
                             neurons > 0.0 ? (double)e->spikes / (neurons * samples) : 0.0,
                         .learning_rate = t->rate,
                         .images_per_second = samples / e->seconds,
                         .seconds = td_now() - t->started};
}

static tdsnn_status end_epoch(td_training *t) {
    tdsnn_epoch epoch = describe_epoch(t);
    tdsnn_status status = judge(t, &epoch.held_out_percent, &epoch.held_out_loss);
    if (status != TDSNN_OK) {
        return status;
    }
    double score =
        isnan(epoch.held_out_percent) ? -epoch.held_out_loss : epoch.held_out_percent / 100.0;
    score -= t->state.epoch.cost / (double)(t->steps_per_epoch);
    epoch.best = t->state.best.epoch == 0 || score >= t->state.best_score;
    if (epoch.best) {
        t->state.best_score = score;
        t->state.best = epoch;
        status = offer_best(t);
    }
    t->state.epoch = (td_epoch_sums){0};
    td_train_log_add(t->log, &epoch);
    if (t->options->on_epoch != NULL) {
        t->options->on_epoch(t->options->on_epoch_user, &epoch);
    }
    save_checkpoint(t);
    return status;
}

static tdsnn_status tell_progress(td_training *t) {
    char what[96];
    uint64_t epoch = t->state.step / t->steps_per_epoch + 1;
    int used = snprintf(what, sizeof what, "training, epoch %llu of %d", (unsigned long long)epoch,
                        t->options->epochs);
    if (t->state.epoch.samples > 0) {
        snprintf(what + used, sizeof what - (size_t)used, ", loss %.4f",
                 t->state.epoch.loss / (double)t->state.epoch.samples);
    }
    return td_progress(t->ctx, what, t->state.step, t->steps);
}

static tdsnn_status run_steps(td_training *t) {
    tdsnn_status status = TDSNN_OK;
    while (t->state.step < t->steps && status == TDSNN_OK) {
        status = run_step(t);
        if (status == TDSNN_OK && t->state.step % t->steps_per_epoch == 0) {
            status = end_epoch(t);
        } else if (status == TDSNN_OK && td_now() - t->saved > CHECKPOINT_SECONDS) {
            save_checkpoint(t);
        }
        if (status == TDSNN_OK) {
            status = tell_progress(t);
        }
    }
    return status;
}

tdsnn_status td_training_run(td_training *t) {
    t->saved = td_now();
    t->started = t->saved - t->state.seconds;
    tdsnn_status status = td_feed_create(t->ctx, &t->samples_fed, t->state.step, &t->feed);
    status = status != TDSNN_OK ? status : run_steps(t);
    if (status == TDSNN_ERR_CANCELLED) {
        save_checkpoint(t);
    }
    return status;
}

/* --------------------------------------------------------------------------------------- the ends
 */

static tdsnn_status build(td_training *t) {
    const td_training_setup *setup = t->setup;
    const td_graph *graph = setup->graph;
    const tdsnn_train_options *o = t->options;
    tdsnn_context *ctx = t->ctx;
    t->info = tdsnn_data_get_info(setup->train);
    t->inputs = td_shape_count(graph->nodes[0].shape);
    t->outputs = td_shape_count(graph->nodes[td_graph_logits(graph)].shape);
    t->samples = o->batch < TD_SHARD ? o->batch : TD_SHARD;
    t->shard_count = o->batch / t->samples;
    t->state.best_score = -INFINITY;
    t->state.start_percent = NAN;
    tdsnn_status status = td_learner_create(
        ctx, graph, &(td_learner_options){setup->live_norms, o->fixed_scales, o->learn_thresholds},
        &t->learner);
    if (status == TDSNN_OK && t->learner->count == 0) {
        status = td_error(ctx, TDSNN_ERR_USAGE, "%s has no weights: there is nothing to train",
                          setup->path);
    }
    if (status == TDSNN_OK && setup->teacher != NULL && o->distill > 0.0) {
        td_dense_options dense = {.batch = t->samples, .threads = 1};
        status = td_dense_plan_create(ctx, setup->teacher, &dense, &t->teacher);
    }
    status = status != TDSNN_OK ? status : create_workers(t);
    if (status == TDSNN_OK) {
        status = td_optimiser_create(ctx, o->optimiser, t->learner->count, o->momentum,
                                     o->weight_decay, &t->optimiser);
    }
    status = status != TDSNN_OK ? status : snapshot_create(t, &t->best);
    if (status == TDSNN_OK) {
        t->squares = td_alloc(ctx, chunk_count(t), sizeof *t->squares);
        status = t->squares == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
        plan_feed(t);
    }
    status = status != TDSNN_OK ? status : start_norms(t);
    return status;
}

static tdsnn_status check_checkpoint(const td_training *t) {
    const tdsnn_train_options *o = t->options;
    if (o->checkpoint != NULL && !o->resume && !o->force && access(o->checkpoint, F_OK) == 0) {
        return td_error(t->ctx, TDSNN_ERR_USAGE,
                        "%s: exists already; resume from it, give --force to replace it, or "
                        "another name",
                        o->checkpoint);
    }
    return TDSNN_OK;
}

/* At the checkpoint, or at the start. */
static tdsnn_status begin(td_training *t) {
    const tdsnn_train_options *o = t->options;
    tdsnn_status status = check_checkpoint(t);
    status = status != TDSNN_OK ? status : td_held_out_fill(t->ctx, t->setup, &t->held_out);
    if (status == TDSNN_OK && o->resume) {
        status = resume(t);
    } else if (status == TDSNN_OK && !t->setup->fresh) {
        double loss;
        status = judge(t, &t->state.start_percent, &loss);
    }
    if (status == TDSNN_OK) {
        int done = o->resume ? (int)(t->state.step / t->steps_per_epoch) : -1;
        status = td_train_log_open(t->ctx, o->log, done, o->force, &t->log);
    }
    return status;
}

tdsnn_status td_training_create(tdsnn_context *ctx, const td_training_setup *setup,
                                td_training **training) {
    td_training *t = td_alloc(ctx, 1, sizeof *t);
    if (t == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    t->ctx = ctx;
    t->setup = setup;
    t->options = setup->options;
    tdsnn_status status = build(t);
    status = status != TDSNN_OK ? status : begin(t);
    if (status != TDSNN_OK) {
        td_training_destroy(t);
        return status;
    }
    *training = t;
    return TDSNN_OK;
}

void td_training_destroy(td_training *t) {
    if (t == NULL) {
        return;
    }
    td_feed_destroy(t->feed);
    td_train_log_close(t->log);
    for (int i = 0; t->workers != NULL && i < t->worker_count; i++) {
        worker *w = &t->workers[i];
        td_tape_destroy(w->tape);
        td_dense_destroy(w->teacher);
        td_free(w->values);
        td_free(w->gradient);
        td_free(w->scratch);
    }
    for (int i = 0; t->shards != NULL && i < t->shard_count; i++) {
        td_free(t->shards[i].gradients);
        td_free(t->shards[i].mean);
        td_free(t->shards[i].variance);
    }
    td_dense_plan_destroy(t->teacher);
    td_optimiser_free(&t->optimiser);
    snapshot_free(&t->best);
    td_learner_destroy(t->learner);
    td_free(t->workers);
    td_free(t->shards);
    td_free(t->squares);
    td_held_out_free(&t->held_out);
    td_free(t);
}

tdsnn_status td_training_best(td_training *t, td_graph **graph) {
    *graph = NULL;
    if (t->state.best.epoch == 0) {
        return TDSNN_OK;
    }
    tdsnn_status status = put_snapshot(t->ctx, &t->best, t->learner);
    return status != TDSNN_OK ? status : td_learner_export(t->ctx, t->learner, graph);
}

void td_training_report(const td_training *t, tdsnn_train_report *report) {
    report->epochs = (int)(t->state.step / t->steps_per_epoch);
    report->train_samples = tdsnn_data_get_info(t->setup->train).samples;
    report->held_out_samples = tdsnn_data_get_info(t->setup->held_out).samples;
    report->best = t->state.best;
    report->start_percent = t->state.start_percent;
    report->source_percent = t->held_out.teacher_percent;
    report->parameters = t->learner->count;
    report->batch = t->options->batch;
    report->learning_rate = t->options->learning_rate;
    report->weight_decay = t->options->weight_decay;
    report->live_norms = t->learner->norm_channels > 0;
}

tdsnn_status td_training_start(td_training *t, td_graph **graph) {
    return td_learner_export(t->ctx, t->learner, graph);
}
