#include "train/held_out.h"

#include <math.h>

#include "base/memory.h"
#include "convert/samples.h"
#include "data/normalise.h"
#include "train/loss.h"

/* The outputs of a graph, [samples][outputs]. Memory: td_free. */
static tdsnn_status run(tdsnn_context *ctx, const td_held_out *h, const td_graph *graph,
                        float **outputs) {
    size_t count = h->info.samples;
    td_samples samples = {.data = h->setup->held_out, .count = count};
    samples.indices = td_alloc(ctx, count, sizeof *samples.indices);
    float *made = td_alloc(ctx, count * h->outputs, sizeof *made);
    tdsnn_status status = samples.indices == NULL || made == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (size_t i = 0; i < count && status == TDSNN_OK; i++) {
        samples.indices[i] = i;
    }
    if (status == TDSNN_OK) {
        status = td_graph_is_spiking(graph) ? td_spiking_logits(ctx, graph, &samples, made)
                                            : td_plain_logits(ctx, graph, &samples, made);
    }
    td_samples_free(&samples);
    if (status != TDSNN_OK) {
        td_free(made);
        return status;
    }
    *outputs = made;
    return TDSNN_OK;
}

/* What one sample is compared with. */
typedef struct sample {
    float *values;   /* [inputs] */
    float *targets;  /* [outputs] */
    float *gradient; /* [outputs] that nobody wants */
    double *scratch; /* [outputs] */
    int label;
} sample;

static tdsnn_status aim_at(tdsnn_context *ctx, const td_held_out *h, size_t index, sample *s,
                           td_aim *aim) {
    const td_training_setup *setup = h->setup;
    tdsnn_status status = tdsnn_data_read(ctx, setup->held_out, index, s->values, &s->label);
    *aim = (td_aim){.values = setup->values,
                    .labels = &s->label,
                    .distill = setup->options->distill,
                    .temperature = setup->options->temperature};
    if (setup->options->distill > 0.0) {
        aim->teacher = h->taught + index * h->outputs;
    }
    if (setup->inputs_are_targets) {
        td_data_normalise(&h->info, s->values);
        aim->targets = s->values;
    } else if (h->info.targets > 0) {
        tdsnn_data_read_targets(setup->held_out, index, s->targets);
        aim->targets = s->targets;
    }
    return status;
}

static tdsnn_status compare(tdsnn_context *ctx, const td_held_out *h, const float *outputs,
                            sample *s, double *percent, double *loss) {
    uint64_t right = 0, correct;
    double sum = 0.0;
    tdsnn_status status = TDSNN_OK;
    for (size_t i = 0; i < h->info.samples && status == TDSNN_OK; i++) {
        td_aim aim;
        status = aim_at(ctx, h, i, s, &aim);
        sum += td_loss(&aim, outputs + i * h->outputs, 1, h->outputs, 1, s->scratch, s->gradient,
                       &correct);
        right += correct;
    }
    double samples = (double)h->info.samples;
    *loss = sum / samples;
    *percent = h->setup->values || !h->info.labelled ? NAN : 100.0 * (double)right / samples;
    return status;
}

static tdsnn_status judge_outputs(tdsnn_context *ctx, const td_held_out *h, const float *outputs,
                                  double *percent, double *loss) {
    size_t inputs = td_shape_count(h->setup->graph->nodes[0].shape);
    sample s = {.values = td_alloc(ctx, inputs, sizeof *s.values),
                .targets = td_alloc(ctx, h->outputs, sizeof *s.targets),
                .gradient = td_alloc(ctx, h->outputs, sizeof *s.gradient),
                .scratch = td_alloc(ctx, h->outputs, sizeof *s.scratch)};
    bool complete =
        s.values != NULL && s.targets != NULL && s.gradient != NULL && s.scratch != NULL;
    tdsnn_status status =
        complete ? compare(ctx, h, outputs, &s, percent, loss) : TDSNN_ERR_RUNTIME;
    td_free(s.values);
    td_free(s.targets);
    td_free(s.gradient);
    td_free(s.scratch);
    return status;
}

tdsnn_status td_held_out_judge(tdsnn_context *ctx, const td_held_out *h, const td_graph *graph,
                               double *percent, double *loss) {
    float *outputs = NULL;
    tdsnn_status status = run(ctx, h, graph, &outputs);
    status = status != TDSNN_OK ? status : judge_outputs(ctx, h, outputs, percent, loss);
    td_free(outputs);
    return status;
}

tdsnn_status td_held_out_fill(tdsnn_context *ctx, const td_training_setup *setup, td_held_out *h) {
    const td_graph *graph = setup->graph;
    *h = (td_held_out){.setup = setup,
                       .info = tdsnn_data_get_info(setup->held_out),
                       .outputs = td_shape_count(graph->nodes[td_graph_logits(graph)].shape),
                       .teacher_percent = NAN};
    if (setup->teacher == NULL) {
        return TDSNN_OK;
    }
    double loss;
    tdsnn_status status = run(ctx, h, setup->teacher, &h->taught);
    return status != TDSNN_OK ? status
                              : judge_outputs(ctx, h, h->taught, &h->teacher_percent, &loss);
}

void td_held_out_free(td_held_out *h) {
    td_free(h->taught);
}
