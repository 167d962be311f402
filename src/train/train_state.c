#include "train/train_state.h"

#include <string.h>

void td_train_state_write(const td_train_state *p,
                          td_state_number numbers[TD_TRAIN_STATE_NUMBERS]) {
    const tdsnn_epoch *b = &p->best;
    const td_state_number all[TD_TRAIN_STATE_NUMBERS] = {
        {"step", (double)p->step},
        {"seconds", p->seconds},
        {"start_percent", p->start_percent},
        {"epoch_loss", p->epoch.loss},
        {"epoch_cost", p->epoch.cost},
        {"epoch_seconds", p->epoch.seconds},
        {"epoch_samples", (double)p->epoch.samples},
        {"epoch_correct", (double)p->epoch.correct},
        {"epoch_spikes", (double)p->epoch.spikes},
        {"best_score", p->best_score},
        {"best_epoch", (double)b->epoch},
        {"best_step", (double)b->step},
        {"best_loss", b->loss},
        {"best_train_percent", b->train_percent},
        {"best_held_out_percent", b->held_out_percent},
        {"best_held_out_loss", b->held_out_loss},
        {"best_spikes_per_neuron", b->spikes_per_neuron},
        {"best_learning_rate", b->learning_rate},
        {"best_images_per_second", b->images_per_second},
        {"best_seconds", b->seconds},
    };
    memcpy(numbers, all, sizeof all);
}

void td_train_state_read(const td_state_number n[TD_TRAIN_STATE_NUMBERS], int epochs,
                         td_train_state *p) {
    *p = (td_train_state){.step = (uint64_t)n[0].value,
                          .seconds = n[1].value,
                          .start_percent = n[2].value,
                          .epoch = {n[3].value, n[4].value, n[5].value, (uint64_t)n[6].value,
                                    (uint64_t)n[7].value, (uint64_t)n[8].value},
                          .best_score = n[9].value};
    p->best = (tdsnn_epoch){.epoch = (int)n[10].value,
                            .epochs = epochs,
                            .step = (uint64_t)n[11].value,
                            .loss = n[12].value,
                            .train_percent = n[13].value,
                            .held_out_percent = n[14].value,
                            .held_out_loss = n[15].value,
                            .spikes_per_neuron = n[16].value,
                            .learning_rate = n[17].value,
                            .images_per_second = n[18].value,
                            .seconds = n[19].value,
                            .best = true};
}
