#include "train/log.h"

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "scratch.h"
#include "tap.h"

static tdsnn_epoch epoch_of(int number) {
    return (tdsnn_epoch){.epoch = number,
                         .epochs = 9,
                         .step = (uint64_t)number * 10,
                         .loss = 1.0 / number,
                         .train_percent = NAN,
                         .held_out_percent = 12.5,
                         .best = number == 2};
}

/* Epochs first .. last go to the log; whether it opened. */
static bool add(tdsnn_context *ctx, const char *name, int done, bool force, int first, int last) {
    td_train_log *log;
    td_error_clear(ctx);
    if (td_train_log_open(ctx, scratch_path(name), done, force, &log) != TDSNN_OK) {
        return false;
    }
    for (int i = first; i <= last; i++) {
        tdsnn_epoch epoch = epoch_of(i);
        td_train_log_add(log, &epoch);
    }
    td_train_log_close(log);
    return true;
}

static const char *content(const char *name) {
    static char text[8192];
    text[scratch_read(name, text, sizeof text - 1)] = '\0';
    return text;
}

#define HEADINGS                                                                                   \
    "epoch,step,learning_rate,loss,train_percent,held_out_loss,held_out_percent,"                  \
    "spikes_per_neuron,images_per_second,seconds,best\n"

static void test_csv(tdsnn_context *ctx) {
    static const char wanted[] = HEADINGS "1,10,0,1,,0,12.5,0,0,0,0\n"
                                          "2,20,0,0.5,,0,12.5,0,0,0,1\n";
    ok(add(ctx, "a.csv", -1, false, 1, 2) && strcmp(content("a.csv"), wanted) == 0,
       "headings and a line an epoch; nothing for what is no number");
    ok(!add(ctx, "a.csv", -1, false, 1, 2) && strstr(tdsnn_last_error(ctx), "--force") != NULL &&
           strcmp(content("a.csv"), wanted) == 0,
       "a file that exists stays");
    ok(add(ctx, "a.csv", 1, false, 2, 2) && strcmp(content("a.csv"), wanted) == 0,
       "resumed behind the first epoch, the second is there once");
    ok(add(ctx, "a.csv", 0, false, 1, 2) && strcmp(content("a.csv"), wanted) == 0,
       "resumed before it, too");
    FILE *file = fopen(scratch_path("a.csv"), "a");
    fputs("3,30,0,0.33", file);
    fclose(file);
    ok(add(ctx, "a.csv", 5, false, 1, 0) && strcmp(content("a.csv"), wanted) == 0,
       "half a line is cut off");
    ok(add(ctx, "b.csv", 1, false, 2, 1) && strcmp(content("b.csv"), HEADINGS) == 0,
       "resumed without a file, there is one");
    ok(add(ctx, "a.csv", -1, true, 1, 0) && strcmp(content("a.csv"), HEADINGS) == 0,
       "by force it begins anew");
}

static void test_json(tdsnn_context *ctx) {
    ok(add(ctx, "a.jsonl", -1, false, 1, 3) && add(ctx, "a.jsonl", 2, false, 3, 3), "JSON lines");
    const char *text = content("a.jsonl");
    int lines = 0;
    for (const char *end = text; (end = strchr(end, '\n')) != NULL; end++) {
        lines++;
    }
    ok(lines == 3 && strstr(text, "{\"epoch\": 1, \"step\": 10, ") == text &&
           strstr(text, "\"train_percent\": null, ") != NULL,
       "an object a line, null for what is no number");
}

static void count_warning(void *user, const char *text) {
    (void)text;
    ++*(int *)user;
}

static void test_full_disk(tdsnn_context *ctx) {
    int warnings = 0;
    if (access("/dev/full", W_OK) != 0 || symlink("/dev/full", scratch_path("full.csv")) != 0) {
        return;
    }
    tdsnn_set_warning(ctx, count_warning, &warnings);
    ok(add(ctx, "full.csv", -1, true, 1, 2) && warnings == 1, "a full disk is warned of once");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    td_train_log *log = NULL;
    test_csv(ctx);
    test_json(ctx);
    ok(!add(ctx, "a.txt", -1, false, 1, 1) && access(scratch_path("a.txt"), F_OK) != 0,
       "other endings are refused");
    ok(!add(ctx, "no/a.csv", -1, false, 1, 1), "a folder that is not there is an error");
    ok(td_train_log_open(ctx, NULL, -1, false, &log) == TDSNN_OK && log == NULL, "none is fine");
    td_train_log_add(log, &(tdsnn_epoch){0});
    td_train_log_close(log);
    test_full_disk(ctx);
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
