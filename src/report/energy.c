/* Horowitz, "Computing's energy problem", ISSCC 2014: 45 nm, 0.9 V. */
#include <tdsnn/report.h>

static const tdsnn_energy_model models[] = {
    {.name = "45nm_fp32", .add_pj = 0.9, .mac_pj = 4.6},
    {.name = "45nm_int8", .add_pj = 0.03, .mac_pj = 0.23},
};

const tdsnn_energy_model *tdsnn_energy_model_at(int index) {
    int count = (int)(sizeof models / sizeof models[0]);
    return index >= 0 && index < count ? &models[index] : NULL;
}

double tdsnn_energy_dense(const tdsnn_energy_model *model, const tdsnn_counts *counts) {
    return model->mac_pj * (double)counts->macs;
}

/* A tick is an add and a leak. Multiply-adds behind an analog input are counted as two adds each:
 * taken out, and put in as what they are. */
static double spiking(const tdsnn_energy_model *model, const tdsnn_counts *counts,
                      uint64_t synapse_adds, uint64_t leaks) {
    uint64_t adds = synapse_adds - 2 * counts->analog_macs + counts->ticks + counts->bias_adds +
                    counts->pool_adds;
    return model->add_pj * (double)adds +
           (model->mac_pj - model->add_pj) * (double)(leaks + counts->ticks) +
           model->mac_pj * (double)counts->analog_macs;
}

double tdsnn_energy_paper(const tdsnn_energy_model *model, const tdsnn_counts *counts) {
    return spiking(model, counts, counts->paper_adds, counts->paper_leaks);
}

double tdsnn_energy_silent(const tdsnn_energy_model *model, const tdsnn_counts *counts) {
    return spiking(model, counts, counts->silent_adds, counts->silent_leaks);
}
