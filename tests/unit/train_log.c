#include "train/log.h"

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "scratch.h"
#include "tap.h"

static const tdsnn_epoch first = {.epoch = 1,
                                  .epochs = 3,
                                  .step = 40,
                                  .loss = 1.5,
                                  .train_percent = NAN,
                                  .held_out_percent = 62.5,
                                  .held_out_loss = 0.25,
                                  .spikes_per_neuron = 0.125,
                                  .learning_rate = 0.05,
                                  .images_per_second = 1000.0,
                                  .seconds = 2.5,
                                  .best = true};

static tdsnn_status open_log(tdsnn_context *ctx, const char *name, bool append, bool force,
                             td_train_log **log) {
    td_error_clear(ctx);
    return td_train_log_open(ctx, scratch_path(name), append, force, log);
}

static bool holds(const char *name, const char *wanted) {
    char text[4096] = "";
    size_t size = scratch_read(name, text, sizeof text - 1);
    text[size < sizeof text ? size : 0] = '\0';
    if (strcmp(text, wanted) != 0) {
        printf("# %s", text);
    }
    return strcmp(text, wanted) == 0;
}

#define HEADINGS                                                                                   \
    "epoch,step,learning_rate,loss,train_percent,held_out_loss,held_out_percent,"                  \
    "spikes_per_neuron,images_per_second,seconds,best\n"

static void test_csv(tdsnn_context *ctx) {
    td_train_log *log;
    const char line[] = "1,40,0.05,1.5,,0.25,62.5,0.125,1000,2.5,1\n";
    char wanted[1024];
    ok(open_log(ctx, "a.csv", false, false, &log) == TDSNN_OK, "a log");
    td_train_log_add(log, &first);
    snprintf(wanted, sizeof wanted, "%s%s", HEADINGS, line);
    ok(holds("a.csv", wanted), "a line is there at once, what is no number left out");
    td_train_log_close(log);
    ok(open_log(ctx, "a.csv", true, false, &log) == TDSNN_OK, "it goes on");
    td_train_log_add(log, &first);
    td_train_log_close(log);
    snprintf(wanted, sizeof wanted, "%s%s%s", HEADINGS, line, line);
    ok(holds("a.csv", wanted), "without headings again");
    ok(open_log(ctx, "a.csv", false, false, &log) == TDSNN_ERR_USAGE && log == NULL &&
           strstr(tdsnn_last_error(ctx), "exists") != NULL && holds("a.csv", wanted),
       "it is not replaced unasked");
    ok(open_log(ctx, "a.csv", false, true, &log) == TDSNN_OK, "but by force");
    td_train_log_close(log);
    ok(holds("a.csv", HEADINGS), "then nothing of it is left");
    ok(open_log(ctx, "b.csv", true, false, &log) == TDSNN_OK, "one that goes on may be new");
    td_train_log_close(log);
    ok(holds("b.csv", HEADINGS), "and has headings then");
}

static void test_json(tdsnn_context *ctx) {
    td_train_log *log;
    ok(open_log(ctx, "a.jsonl", false, false, &log) == TDSNN_OK, "JSON lines");
    td_train_log_add(log, &first);
    td_train_log_close(log);
    ok(holds("a.jsonl",
             "{\"epoch\": 1, \"step\": 40, \"learning_rate\": 0.05, \"loss\": 1.5, "
             "\"train_percent\": null, \"held_out_loss\": 0.25, \"held_out_percent\": 62.5, "
             "\"spikes_per_neuron\": 0.125, \"images_per_second\": 1000, \"seconds\": 2.5, "
             "\"best\": 1}\n"),
       "have names, and null for what is no number");
}

static void count_warning(void *user, const char *text) {
    (void)text;
    ++*(int *)user;
}

static void test_failures(tdsnn_context *ctx) {
    td_train_log *log = (td_train_log *)1;
    ok(td_train_log_open(ctx, NULL, false, false, &log) == TDSNN_OK && log == NULL, "no log");
    td_train_log_add(NULL, &first);
    td_train_log_close(NULL);
    ok(open_log(ctx, "a.txt", false, false, &log) == TDSNN_ERR_USAGE &&
           strstr(tdsnn_last_error(ctx), ".jsonl") != NULL,
       "another ending is refused");
    ok(open_log(ctx, "none/a.csv", false, false, &log) == TDSNN_ERR_RUNTIME &&
           strstr(tdsnn_last_error(ctx), "none/a.csv") != NULL,
       "so is a folder that is not there");
    int warnings = 0;
    if (access("/dev/full", W_OK) != 0 || symlink("/dev/full", scratch_path("full.csv")) != 0) {
        return;
    }
    tdsnn_set_warning(ctx, count_warning, &warnings);
    if (ok(open_log(ctx, "full.csv", true, false, &log) == TDSNN_OK, "a full disk")) {
        td_train_log_add(log, &first);
        td_train_log_add(log, &first);
        td_train_log_close(log);
    }
    ok(warnings == 1, "is warned of once: %d", warnings);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_csv(ctx);
    test_json(ctx);
    test_failures(ctx);
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
