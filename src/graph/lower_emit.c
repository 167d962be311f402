/* From drafts to the graph: everything folded is rounded here, once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/lower_internal.h"

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names that drafts have from the file, sorted. */
typedef struct name_list {
    size_t count;
    const char **names;
} name_list;

static bool contains(const name_list *list, const char *name) {
    return list->count > 0 &&
           bsearch(&name, list->names, list->count, sizeof *list->names, compare_names) != NULL;
}

/* `name`, or the first of name-2, name-3, ... that no node of the file has. NULL without memory. */
static const char *unused_name(td_lowerer *l, const name_list *taken, const char *name) {
    const char *candidate = name;
    for (int i = 2; candidate != NULL && contains(taken, candidate); i++) {
        candidate = td_arena_printf(l->scratch, "%s-%d", name, i);
    }
    return candidate;
}

/* Gives every needed draft its name: that of its node in the file; the input is called as its
 * value, and the first half of a batch-norm "bn.scale". Names are only ever moved away from those
 * of other drafts, so the written graph keeps them when it is read again. */
static tdsnn_status name_drafts(td_lowerer *l, const int *numbers, const char **names) {
    const td_source *source = l->source;
    name_list taken = {0, td_arena_alloc(l->scratch, (size_t)l->draft_count + 1, sizeof(char *))};
    if (taken.names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 1; i < l->draft_count; i++) {
        if (numbers[i] >= 0 && l->drafts[i].suffix == NULL) {
            names[i] = source->nodes[l->drafts[i].source].name;
            taken.names[taken.count++] = names[i];
        }
    }
    qsort(taken.names, taken.count, sizeof *taken.names, compare_names);
    names[0] = unused_name(l, &taken, source->values[source->inputs[0]].name);
    if (names[0] == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    taken.names[taken.count++] = names[0];
    qsort(taken.names, taken.count, sizeof *taken.names, compare_names);
    for (int i = 1; i < l->draft_count; i++) {
        if (numbers[i] >= 0 && l->drafts[i].suffix != NULL) {
            const char *stem = td_arena_printf(
                l->scratch, "%s.%s", source->nodes[l->drafts[i].source].name, l->drafts[i].suffix);
            names[i] = stem == NULL ? NULL : unused_name(l, &taken, stem);
            if (names[i] == NULL) {
                return TDSNN_ERR_RUNTIME;
            }
        }
    }
    return TDSNN_OK;
}

static size_t inputs_per_channel(const td_lowerer *l, const td_draft *draft) {
    size_t channels = (size_t)l->drafts[draft->inputs[0]].shape.c;
    if (draft->op == TD_OP_INNER) {
        return channels;
    }
    return channels / (size_t)draft->groups * (size_t)draft->window.y.kernel *
           (size_t)draft->window.x.kernel;
}

static tdsnn_status overflow(td_lowerer *l, const char *what, size_t channel) {
    return td_broken(l, "after folding the %s of channel %zu is beyond float32; train anew", what,
                     channel);
}

/* The weights as [C][inputs]; without a scale they are the file's own, bit for bit. */
static tdsnn_status round_weights(td_lowerer *l, const td_draft *draft, const float **out) {
    size_t channels = (size_t)draft->shape.c, inputs = inputs_per_channel(l, draft);
    float *weights = td_arena_alloc(l->result->graph->arena, channels * inputs, sizeof *weights);
    if (weights == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < inputs; i++) {
            float w = draft->weights[draft->transposed ? i * channels + c : c * inputs + i];
            float *rounded = &weights[c * inputs + i];
            *rounded = draft->scale == NULL ? w : (float)((double)w * draft->scale[c]);
            if (!isfinite(*rounded)) {
                return overflow(l, "weight", c);
            }
        }
    }
    *out = weights;
    return TDSNN_OK;
}

/* One rounded number a channel; NULL stays NULL. */
static tdsnn_status round_channels(td_lowerer *l, const td_draft *draft, const double *values,
                                   const char *what, const float **out) {
    if (values == NULL) {
        return TDSNN_OK;
    }
    size_t channels = (size_t)draft->shape.c;
    float *rounded = td_arena_alloc(l->result->graph->arena, channels, sizeof *rounded);
    if (rounded == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t c = 0; c < channels; c++) {
        rounded[c] = (float)values[c];
        if (!isfinite(rounded[c])) {
            return overflow(l, what, c);
        }
    }
    *out = rounded;
    return TDSNN_OK;
}

static tdsnn_status copy_code(td_lowerer *l, const td_draft *draft, const tdsnn_code **out) {
    if (draft->code == NULL) {
        return TDSNN_OK;
    }
    tdsnn_code *code = td_arena_alloc(l->result->graph->arena, 1, sizeof *code);
    if (code == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *code = *draft->code;
    *out = code;
    return TDSNN_OK;
}

static tdsnn_status emit_draft(td_lowerer *l, const td_draft *draft, const int *numbers,
                               const char *name) {
    td_node node = {.op = draft->op,
                    .name = name,
                    .input_count = draft->input_count,
                    .inputs = draft->inputs,
                    .shape = draft->shape,
                    .window = draft->window,
                    .groups = draft->groups,
                    .negative = draft->negative,
                    .low = draft->low,
                    .high = draft->high,
                    .count_padding = draft->count_padding,
                    .first_channel = draft->first_channel};
    l->node = draft->source;
    tdsnn_status status = TDSNN_OK;
    if (draft->weights != NULL) {
        status = round_weights(l, draft, &node.weights);
    }
    if (status == TDSNN_OK) {
        status = round_channels(l, draft, draft->bias, "bias", &node.bias);
    }
    if (status == TDSNN_OK) {
        status = round_channels(l, draft, draft->operand, "constant", &node.operand);
    }
    if (status == TDSNN_OK) {
        status = copy_code(l, draft, &node.code);
    }
    for (int i = 0; i < draft->input_count; i++) { /* of the graph now, no more of the drafts */
        draft->inputs[i] = numbers[draft->inputs[i]];
    }
    if (status == TDSNN_OK && td_graph_append(l->ctx, l->result->graph, &node) < 0) {
        status = TDSNN_ERR_RUNTIME;
    }
    return status;
}

/* All at once: looking for equal keys would make a file with a million of them slow. */
static tdsnn_status copy_metadata(td_lowerer *l) {
    const td_source *source = l->source;
    td_graph *graph = l->result->graph;
    size_t count = (size_t)source->metadata_count;
    tdsnn_status status = td_reserve(l->ctx, &graph->metadata, &graph->metadata_capacity, count,
                                     sizeof *graph->metadata);
    for (size_t i = 0; status == TDSNN_OK && i < count; i++) {
        td_metadata copy = {td_arena_strdup(graph->arena, source->metadata[i].key),
                            td_arena_strdup(graph->arena, source->metadata[i].value)};
        status = copy.key == NULL || copy.value == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
        graph->metadata[i] = copy;
    }
    graph->metadata_count = status == TDSNN_OK ? source->metadata_count : 0;
    return status;
}

/* What the file calls its input, its output and the batch. */
static tdsnn_status copy_names(td_lowerer *l) {
    const td_source *source = l->source;
    const td_source_value *input = &source->values[source->inputs[0]];
    td_graph *graph = l->result->graph;
    graph->input_name = td_arena_strdup(graph->arena, input->name);
    graph->output_name = td_arena_strdup(graph->arena, source->values[source->outputs[0]].name);
    if (graph->input_name == NULL || graph->output_name == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (input->dims[0] == -1) {
        const char *symbol = input->symbols[0] == NULL ? "N" : input->symbols[0];
        graph->batch_symbol = td_arena_strdup(graph->arena, symbol);
        return graph->batch_symbol == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    }
    return TDSNN_OK;
}

/* The number of each draft's node, -1 where the output does not need it: its only reader was a
 * Shape, or a Reshape that undoes a Flatten. The input always stays. */
static void number_drafts(const td_lowerer *l, int *numbers) {
    for (int i = 0; i < l->draft_count; i++) {
        numbers[i] = -1;
    }
    numbers[0] = 0;
    numbers[l->values[l->source->outputs[0]].draft] = 0;
    for (int i = l->draft_count - 1; i >= 0; i--) {
        for (int j = 0; numbers[i] == 0 && j < l->drafts[i].input_count; j++) {
            numbers[l->drafts[i].inputs[j]] = 0;
        }
    }
    for (int i = 0, next = 0; i < l->draft_count; i++) {
        numbers[i] = numbers[i] < 0 ? -1 : next++;
    }
}

/* From drafts to nodes. */
static void number_fates(td_lowerer *l, const int *numbers) {
    for (int i = 0; i < l->result->fate_count; i++) {
        td_fate *fate = &l->result->fates[i];
        fate->node = fate->node < 0 ? -1 : numbers[fate->node];
        if (fate->kind == TD_FATE_KEPT && fate->node < 0) {
            fate->kind = TD_FATE_FOLDED;
            fate->reason = "undone by a later node";
        }
    }
}

tdsnn_status td_lower_emit(td_lowerer *l) {
    const char **names = td_arena_alloc(l->scratch, (size_t)l->draft_count, sizeof *names);
    int *numbers = td_arena_alloc(l->scratch, (size_t)l->draft_count, sizeof *numbers);
    l->result->graph = td_graph_create(l->ctx);
    if (names == NULL || numbers == NULL || l->result->graph == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    number_drafts(l, numbers);
    number_fates(l, numbers);
    tdsnn_status status = copy_names(l);
    if (status == TDSNN_OK) {
        status = copy_metadata(l);
    }
    if (status == TDSNN_OK) {
        status = name_drafts(l, numbers, names);
    }
    /* What the output needs comes before it, so that the last node emitted gives the output. */
    for (int i = 0; status == TDSNN_OK && i < l->draft_count; i++) {
        if (numbers[i] >= 0) {
            status = emit_draft(l, &l->drafts[i], numbers, names[i]);
        }
    }
    return status;
}
