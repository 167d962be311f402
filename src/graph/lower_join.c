/* Rows that join values or choose channels of one: Add, Sum, Concat, Slice, Split. */
#include "graph/lower_internal.h"

/* The drafts behind all inputs, in scratch memory. */
static int *input_drafts(td_lowerer *l, const td_source_node *node) {
    int *drafts = td_arena_alloc(l->scratch, (size_t)node->input_count, sizeof *drafts);
    for (int i = 0; drafts != NULL && i < node->input_count; i++) {
        drafts[i] = l->values[node->inputs[i]].draft;
    }
    return drafts;
}

/* Two values that lie side by side in the file as their drafts do. */
static bool same_layout(const td_value *a, const td_value *b) {
    td_shape s = a->unflat, t = b->unflat;
    return a->layout == b->layout &&
           (a->layout != TD_LAYOUT_SPREAD || (a->rank == b->rank && a->axis == b->axis)) &&
           (a->layout != TD_LAYOUT_FLAT_NHWC || (s.c == t.c && s.h == t.h && s.w == t.w));
}

tdsnn_status td_check_alike(td_lowerer *l, const td_source_node *node) {
    td_shape a = td_input_draft(l, node, 0)->shape;
    for (int i = 1; i < node->input_count; i++) {
        td_shape b = td_input_draft(l, node, i)->shape;
        if (a.c != b.c || a.h != b.h || a.w != b.w || a.flat != b.flat ||
            !same_layout(td_input_value(l, node, 0), td_input_value(l, node, i))) {
            return td_refuse(l, "it adds %s and %s; computed values must have one shape",
                             td_value_text(l, td_input_value(l, node, 0)),
                             td_value_text(l, td_input_value(l, node, i)));
        }
    }
    return TDSNN_OK;
}

tdsnn_status td_lower_sum(td_lowerer *l, const td_source_node *node) {
    if (node->input_count == 1) {
        return td_pass(l, node);
    }
    tdsnn_status status = td_check_alike(l, node);
    if (status != TDSNN_OK) {
        return status;
    }
    td_draft draft = td_pointwise(l, node, 0, TD_OP_ADD);
    draft.input_count = node->input_count;
    draft.inputs = input_drafts(l, node);
    return draft.inputs == NULL ? TDSNN_ERR_RUNTIME : td_keep(l, node, &draft);
}

/* Whether `axis` of the first input is the channels'; refused otherwise. */
static tdsnn_status check_channels(td_lowerer *l, const td_source_node *node, int64_t axis) {
    const td_value *value = td_input_value(l, node, 0);
    int64_t dims[4];
    int place;
    tdsnn_status status = td_read_axis(l, axis, td_file_dims(l, value, dims), &place);
    if (status == TDSNN_OK && place != td_channel_axis(value)) {
        status = td_refuse(l, "axis %lld of %s is not supported; only the channels' is",
                           (long long)axis, td_value_text(l, value));
    }
    return status;
}

/* All computed, of one layout and size, and not too many channels. */
static tdsnn_status check_concat(td_lowerer *l, const td_source_node *node, td_shape *shape) {
    for (int i = 0; i < node->input_count; i++) {
        const td_value *first = td_input_value(l, node, 0), *value = td_input_value(l, node, i);
        if (value->constant != NULL) {
            return td_refuse(l, "its input '%s' is a constant; only computed values are joined",
                             td_input_name(l, node, i));
        }
        td_shape s = td_input_draft(l, node, i)->shape;
        if (i == 0) {
            *shape = s;
            continue;
        }
        if (value->layout != first->layout || s.h != shape->h || s.w != shape->w ||
            s.flat != shape->flat) {
            return td_broken(l, "it joins %s and %s", td_value_text(l, first),
                             td_value_text(l, value));
        }
        if (s.c > TD_MAX_EXTENT - shape->c) {
            return td_refuse(l, "it makes more than %d channels", TD_MAX_EXTENT);
        }
        shape->c += s.c;
    }
    return TDSNN_OK;
}

tdsnn_status td_lower_concat(td_lowerer *l, const td_source_node *node) {
    bool computed = false;
    for (int i = 0; i < node->input_count; i++) {
        computed = computed || td_input_constant(l, node, i) == NULL;
    }
    if (!computed) {
        return td_constant_concat(l, node);
    }
    td_draft draft = {.op = TD_OP_CONCAT, .input_count = node->input_count};
    tdsnn_status status = check_concat(l, node, &draft.shape);
    if (status == TDSNN_OK) {
        status = check_channels(l, node, td_int_attribute(node, "axis", 1));
    }
    if (status != TDSNN_OK || node->input_count == 1) {
        return status == TDSNN_OK ? td_pass(l, node) : status;
    }
    draft.inputs = input_drafts(l, node);
    return draft.inputs == NULL ? TDSNN_ERR_RUNTIME : td_keep(l, node, &draft);
}

/* The channels [first, end) of the first input. */
static td_draft slice(td_lowerer *l, const td_source_node *node, int64_t first, int64_t end) {
    td_draft draft = td_pointwise(l, node, 0, TD_OP_SLICE);
    draft.shape.c = (int)(end - first);
    draft.first_channel = (int)first;
    return draft;
}

/* The neighbours that `channels` begins with. */
static int count_run(const int *channels, int count) {
    int run = 1;
    while (run < count && channels[run] == channels[0] + run) {
        run++;
    }
    return run;
}

tdsnn_status td_choose_channels(td_lowerer *l, const td_source_node *node, const int *channels,
                                int count, int *draft) {
    td_draft joined = td_pointwise(l, node, 0, TD_OP_CONCAT);
    int *parts = td_arena_alloc(l->scratch, (size_t)count, sizeof *parts);
    tdsnn_status status = parts == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    joined.input_count = 0;
    for (int i = 0, run; status == TDSNN_OK && i < count; i += run) {
        run = count_run(channels + i, count - i);
        td_draft part = slice(l, node, channels[i], channels[i] + run);
        part.suffix = run < count ? td_arena_printf(l->scratch, "%d", i) : NULL;
        status = run < count && part.suffix == NULL
                     ? TDSNN_ERR_RUNTIME
                     : td_draft_add(l, &part, &parts[joined.input_count++]);
    }
    if (status != TDSNN_OK || joined.input_count == 1) {
        *draft = status == TDSNN_OK ? parts[0] : -1;
        return status;
    }
    joined.shape.c = count;
    joined.inputs = parts;
    return td_draft_add(l, &joined, draft);
}

/* Every `step`-th channel from `first` on. */
typedef struct choice {
    int64_t first, step, count;
} choice;

/* One axis of a Slice, range being start, end and step: chooses channels, or takes all of another
 * axis. */
static tdsnn_status slice_axis(td_lowerer *l, const td_source_node *node, int64_t axis,
                               int64_t range[3], choice *chosen) {
    const td_value *value = td_input_value(l, node, 0);
    int64_t dims[4];
    int place;
    tdsnn_status status = td_read_axis(l, axis, td_file_dims(l, value, dims), &place);
    if (status != TDSNN_OK) {
        return status;
    }
    int64_t step = range[2];
    if (step == 0 || step <= -TD_MAX_EXTENT || step >= TD_MAX_EXTENT) {
        return td_broken(l, "its step is %lld", (long long)step);
    }
    int64_t size = place == 0 ? INT32_MAX : dims[place]; /* of the batch, nothing is known */
    int64_t count = td_clamp_range(range, step, size);
    if (step == 1 && count == size) {
        return TDSNN_OK;
    }
    if (place != td_channel_axis(value)) {
        return td_refuse(l, "it cuts axis %d of %s; only a choice of channels is supported", place,
                         td_value_text(l, value));
    }
    if (count == 0) {
        return td_broken(l, "it takes nothing of its %lld channels", (long long)size);
    }
    *chosen = (choice){range[0], step, count};
    return TDSNN_OK;
}

/* The channels that a Slice chooses, as a draft. */
static tdsnn_status keep_choice(td_lowerer *l, const td_source_node *node, const choice *chosen) {
    int *channels = td_arena_alloc(l->scratch, (size_t)chosen->count, sizeof *channels), draft;
    if (channels == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int64_t i = 0; i < chosen->count; i++) {
        channels[i] = (int)(chosen->first + i * chosen->step);
    }
    tdsnn_status status = td_choose_channels(l, node, channels, (int)chosen->count, &draft);
    if (status != TDSNN_OK) {
        return status;
    }
    td_bind_output(l, node, 0, draft);
    return td_kept_as(l, draft);
}

tdsnn_status td_lower_slice(td_lowerer *l, const td_source_node *node) {
    static const char *const names[4] = {"starts", "ends", "axes", "steps"};
    if (td_input_constant(l, node, 0) != NULL) {
        return td_constant_slice(l, node);
    }
    const int64_t *lists[4];
    size_t counts[4];
    for (int i = 0; i < 4; i++) {
        tdsnn_status status = td_int_list(l, node, names[i], i + 1, &lists[i], &counts[i]);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    if (counts[0] != counts[1] || (lists[2] != NULL && counts[2] != counts[0]) ||
        (lists[3] != NULL && counts[3] != counts[0])) {
        return td_broken(l, "its starts, ends, axes and steps are not of one length");
    }
    choice chosen = {0, 1, td_input_draft(l, node, 0)->shape.c}, all = chosen;
    for (size_t i = 0; i < counts[0]; i++) {
        int64_t axis = lists[2] == NULL ? (int64_t)i : lists[2][i];
        int64_t range[3] = {lists[0][i], lists[1][i], lists[3] == NULL ? 1 : lists[3][i]};
        tdsnn_status status = slice_axis(l, node, axis, range, &chosen);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    if (chosen.step == 1 && chosen.count == all.count) {
        return td_pass(l, node);
    }
    return keep_choice(l, node, &chosen);
}

/* How many channels each output of a Split takes: as listed, or equal parts, the last one smaller.
 */
static tdsnn_status read_parts(td_lowerer *l, const td_source_node *node, int64_t *parts) {
    int64_t channels = td_input_draft(l, node, 0)->shape.c, left = channels;
    const int64_t *list;
    size_t count;
    tdsnn_status status = td_int_list(l, node, "split", 1, &list, &count);
    if (status != TDSNN_OK) {
        return status;
    }
    int64_t outputs = node->output_count;
    if (list != NULL ? count != (size_t)outputs
                     : td_int_attribute(node, "num_outputs", outputs) != outputs) {
        return td_broken(l, "it has %d outputs and splits into another number", node->output_count);
    }
    int64_t equal = (channels + outputs - 1) / outputs;
    for (int64_t i = 0; i < outputs; i++) {
        parts[i] = list != NULL ? list[i] : left < equal ? left : equal;
        if (parts[i] < 1 || parts[i] > left) {
            return td_broken(l, "its parts do not make up its %lld channels", (long long)channels);
        }
        left -= parts[i];
    }
    return left == 0
               ? TDSNN_OK
               : td_broken(l, "its parts do not make up its %lld channels", (long long)channels);
}

tdsnn_status td_lower_split(td_lowerer *l, const td_source_node *node) {
    int64_t *parts = td_arena_alloc(l->scratch, (size_t)node->output_count, sizeof *parts);
    tdsnn_status status = parts == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    if (status == TDSNN_OK) {
        status = check_channels(l, node, td_int_attribute(node, "axis", 0));
    }
    if (status == TDSNN_OK) {
        status = read_parts(l, node, parts);
    }
    if (status != TDSNN_OK || node->output_count == 1) {
        return status == TDSNN_OK ? td_pass(l, node) : status;
    }
    bool named = false;
    int64_t first = 0;
    for (int i = 0; i < node->output_count; i++, first += parts[i - 1]) {
        int output = node->outputs[i], index;
        if (output < 0 || l->values[output].uses == 0) {
            continue;
        }
        td_draft draft = slice(l, node, first, first + parts[i]);
        draft.suffix = named ? td_arena_printf(l->scratch, "%d", i) : NULL;
        status =
            named && draft.suffix == NULL ? TDSNN_ERR_RUNTIME : td_draft_add(l, &draft, &index);
        if (status == TDSNN_OK) {
            status = named ? TDSNN_OK : td_kept_as(l, index);
        }
        if (status != TDSNN_OK) {
            return status;
        }
        td_bind_output(l, node, i, index);
        named = true;
    }
    return TDSNN_OK;
}
