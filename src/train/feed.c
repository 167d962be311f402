#include "train/feed.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/memory.h"

/* Batches there are: one with the caller, the others made ahead. */
#define SLOTS 4

/* Streams of random numbers of this file; the number of the epoch lies between, the position in
 * it below. */
#define STREAM ((uint64_t)0xfeed << 48)
#define SHUFFLE 0xffffffffu

struct td_feed {
    td_feed_options options;
    td_shape shape;
    size_t samples, targets;
    uint64_t steps; /* of an epoch */
    td_batch slots[SLOTS];
    float *scratch; /* [C*H*W] */
    float *other;   /* [C*H*W + targets] what is mixed in */
    size_t *order;  /* [samples] those of epoch `shuffled`, shuffled */
    uint64_t shuffled;
    tdsnn_context *ctx; /* the thread's own, so that what fails ahead is nobody's error yet */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t room, made; /* for the thread: a slot to fill, or the end; for the caller */
    bool started;
    atomic_bool quit;
    tdsnn_status failed; /* the thread has stopped; ctx has the sentence */
    uint64_t first;      /* the step whose batch is given first */
    uint64_t produced, given;
};

uint64_t td_feed_steps(const td_feed_options *options) {
    uint64_t samples = tdsnn_data_get_info(options->data).samples;
    uint64_t steps = samples / (uint64_t)options->batch;
    return steps > 0 ? steps : 1;
}

static void seed(const td_feed *feed, uint64_t epoch, uint64_t position, td_random *random) {
    td_random_seed(random, feed->options.seed, STREAM ^ (epoch << 32) ^ position);
}

/* Fisher and Yates'. */
static void shuffle(td_feed *feed, uint64_t epoch) {
    td_random random;
    seed(feed, epoch, SHUFFLE, &random);
    for (size_t i = 0; i < feed->samples; i++) {
        feed->order[i] = i;
    }
    for (size_t i = feed->samples; i > 1; i--) {
        size_t j = (size_t)td_random_below(&random, i), index = feed->order[j];
        feed->order[j] = feed->order[i - 1];
        feed->order[i - 1] = index;
    }
    feed->shuffled = epoch;
}

static void blend(const float *other, size_t count, float share, float *values) {
    for (size_t i = 0; i < count; i++) {
        values[i] = share * values[i] + (1.0f - share) * other[i];
    }
}

/* Mixes another sample, drawn at random, into item `at` of the batch. */
static tdsnn_status mix_in(td_feed *feed, td_random *random, size_t at, td_batch *batch) {
    const tdsnn_data *data = feed->options.data;
    size_t index = (size_t)td_random_below(random, feed->samples);
    size_t size = td_shape_count(feed->shape);
    float share = (float)(0.5 + 0.5 * td_random_uniform(random));
    tdsnn_status status = tdsnn_data_read(feed->ctx, data, index, feed->other, &batch->others[at]);
    if (status != TDSNN_OK) {
        return status;
    }
    td_augment(&feed->options.augmentation, feed->shape, random, feed->other, feed->scratch);
    blend(feed->other, size, share, batch->values + at * size);
    if (batch->targets != NULL) {
        tdsnn_data_read_targets(data, index, feed->other);
        blend(feed->other, feed->targets, share, batch->targets + at * feed->targets);
    }
    batch->shares[at] = share;
    return TDSNN_OK;
}

/* Sample `position` of the epoch as item `at` of the batch. */
static tdsnn_status make_sample(td_feed *feed, uint64_t position, size_t at, td_batch *batch) {
    const td_feed_options *o = &feed->options;
    td_random random;
    size_t index = feed->order[position % feed->samples];
    float *values = batch->values + at * td_shape_count(feed->shape);
    tdsnn_status status = tdsnn_data_read(feed->ctx, o->data, index, values, &batch->labels[at]);
    if (status != TDSNN_OK) {
        return status;
    }
    seed(feed, feed->shuffled, position, &random);
    td_augment(&o->augmentation, feed->shape, &random, values, feed->scratch);
    if (batch->targets != NULL) {
        tdsnn_data_read_targets(o->data, index, batch->targets + at * feed->targets);
    }
    return o->augmentation.mix ? mix_in(feed, &random, at, batch) : TDSNN_OK;
}

static tdsnn_status make_batch(td_feed *feed, uint64_t step, td_batch *batch) {
    uint64_t epoch = step / feed->steps, count = (uint64_t)feed->options.batch;
    if (epoch != feed->shuffled) {
        shuffle(feed, epoch);
    }
    tdsnn_status status = TDSNN_OK;
    for (uint64_t i = 0; status == TDSNN_OK && i < count && !feed->quit; i++) {
        status = make_sample(feed, step % feed->steps * count + i, (size_t)i, batch);
    }
    return status;
}

static void *work(void *arg) {
    td_feed *feed = arg;
    pthread_mutex_lock(&feed->lock);
    while (!feed->quit && feed->failed == TDSNN_OK) {
        /* the one given last is still with the caller */
        if (feed->produced + 1 >= feed->given + SLOTS) {
            pthread_cond_wait(&feed->room, &feed->lock);
            continue;
        }
        uint64_t step = feed->first + feed->produced;
        td_batch *batch = &feed->slots[feed->produced % SLOTS];
        pthread_mutex_unlock(&feed->lock);
        tdsnn_status status = make_batch(feed, step, batch);
        pthread_mutex_lock(&feed->lock);
        feed->failed = status;
        feed->produced += status == TDSNN_OK;
        pthread_cond_signal(&feed->made);
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

tdsnn_status td_feed_next(td_feed *feed, tdsnn_context *ctx, const td_batch **batch) {
    pthread_mutex_lock(&feed->lock);
    while (feed->given == feed->produced && feed->failed == TDSNN_OK) {
        pthread_cond_wait(&feed->made, &feed->lock);
    }
    tdsnn_status status = TDSNN_OK;
    if (feed->given == feed->produced) {
        status = td_error(ctx, feed->failed, "%s", tdsnn_last_error(feed->ctx));
    } else {
        *batch = &feed->slots[feed->given++ % SLOTS];
        pthread_cond_signal(&feed->room);
    }
    pthread_mutex_unlock(&feed->lock);
    return status;
}

/* Moving pictures by their whole width would leave nothing of them. */
static tdsnn_status check(tdsnn_context *ctx, const td_feed_options *o, size_t samples,
                          td_shape shape) {
    const td_augmentation *a = &o->augmentation;
    if (samples == 0 || o->batch < 1) {
        return td_error(ctx, TDSNN_ERR_USAGE, "no samples to train on");
    }
    if ((a->flip || a->shift != 0) && shape.h == 1 && shape.w == 1) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "samples of %d values are no pictures: they cannot be flipped or shifted",
                        shape.c);
    }
    if (a->shift < 0 || (shape.h > 1 && a->shift >= shape.h) ||
        (shape.w > 1 && a->shift >= shape.w)) {
        return td_error(ctx, TDSNN_ERR_USAGE, "a shift of %d does not suit pictures of %dx%d",
                        a->shift, shape.h, shape.w);
    }
    return TDSNN_OK;
}

static bool allocate(td_feed *feed, tdsnn_context *ctx) {
    size_t size = td_shape_count(feed->shape), batch = (size_t)feed->options.batch;
    size_t values, targets;
    if (!td_size_mul(size, batch, &values) || !td_size_mul(feed->targets, batch, &targets)) {
        td_error(ctx, TDSNN_ERR_RUNTIME, "no memory for batches of %zu samples", batch);
        return false;
    }
    bool mix = feed->options.augmentation.mix;
    feed->scratch = td_alloc(ctx, size, sizeof *feed->scratch);
    feed->other = td_alloc(ctx, size + feed->targets, sizeof *feed->other);
    feed->order = td_alloc(ctx, feed->samples, sizeof *feed->order);
    bool complete = feed->scratch != NULL && feed->other != NULL && feed->order != NULL;
    for (int i = 0; complete && i < SLOTS; i++) {
        td_batch *slot = &feed->slots[i];
        slot->values = td_alloc(ctx, values, sizeof *slot->values);
        slot->labels = td_alloc(ctx, batch, sizeof *slot->labels);
        slot->targets = targets == 0 ? NULL : td_alloc(ctx, targets, sizeof *slot->targets);
        slot->others = mix ? td_alloc(ctx, batch, sizeof *slot->others) : NULL;
        slot->shares = mix ? td_alloc(ctx, batch, sizeof *slot->shares) : NULL;
        complete = slot->values != NULL && slot->labels != NULL &&
                   (targets == 0 || slot->targets != NULL) &&
                   (!mix || (slot->others != NULL && slot->shares != NULL));
    }
    return complete;
}

static tdsnn_status start(td_feed *feed, tdsnn_context *ctx) {
    feed->ctx = tdsnn_context_create();
    if (feed->ctx == NULL) {
        return td_error(ctx, TDSNN_ERR_RUNTIME, "no memory for a thread that reads the data");
    }
    tdsnn_set_threads(feed->ctx, 1);
    shuffle(feed, feed->first / feed->steps);
    feed->started = pthread_create(&feed->thread, NULL, work, feed) == 0;
    return feed->started ? TDSNN_OK
                         : td_error(ctx, TDSNN_ERR_RUNTIME, "no thread to read the data with");
}

tdsnn_status td_feed_create(tdsnn_context *ctx, const td_feed_options *options, uint64_t first,
                            td_feed **feed) {
    tdsnn_data_info info = tdsnn_data_get_info(options->data);
    td_shape shape = {.c = info.shape[0], .h = info.shape[1], .w = info.shape[2]};
    tdsnn_status status = check(ctx, options, info.samples, shape);
    if (status != TDSNN_OK) {
        return status;
    }
    td_feed *f = td_alloc(ctx, 1, sizeof *f);
    if (f == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    f->options = *options;
    f->shape = shape;
    f->samples = info.samples;
    f->targets = info.targets;
    f->steps = td_feed_steps(options);
    f->first = first;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->room, NULL);
    pthread_cond_init(&f->made, NULL);
    status = allocate(f, ctx) ? start(f, ctx) : TDSNN_ERR_RUNTIME;
    if (status != TDSNN_OK) {
        td_feed_destroy(f);
        return status;
    }
    *feed = f;
    return TDSNN_OK;
}

void td_feed_destroy(td_feed *feed) {
    if (feed == NULL) {
        return;
    }
    pthread_mutex_lock(&feed->lock);
    feed->quit = true;
    pthread_cond_signal(&feed->room);
    pthread_mutex_unlock(&feed->lock);
    if (feed->started) {
        pthread_join(feed->thread, NULL);
    }
    pthread_cond_destroy(&feed->room);
    pthread_cond_destroy(&feed->made);
    pthread_mutex_destroy(&feed->lock);
    for (int i = 0; i < SLOTS; i++) {
        td_free(feed->slots[i].values);
        td_free(feed->slots[i].labels);
        td_free(feed->slots[i].targets);
        td_free(feed->slots[i].others);
        td_free(feed->slots[i].shares);
    }
    td_free(feed->scratch);
    td_free(feed->other);
    td_free(feed->order);
    tdsnn_context_destroy(feed->ctx);
    td_free(feed);
}
