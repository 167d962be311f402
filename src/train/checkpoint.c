#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "data/array_writer.h"
#include "data/npy.h"

/* Arrays of text that every checkpoint has besides the state's own. */
#define SETTINGS "settings"
#define NUMBERS "numbers"
#define TEXT_LIMIT ((size_t)1 << 20)

/* Elements that an array's header may take the room of. */
#define HEADER_ROOM 8192

/* --------------------------------------------------------------------------------------- writing
 */

/* A line a number, "name value", the value with all its digits. Memory: td_free. */
static char *write_numbers(tdsnn_context *ctx, const td_state *state) {
    size_t size = 1;
    for (int i = 0; i < state->number_count; i++) {
        size += strlen(state->numbers[i].name) + TD_NUMBER_TEXT + 2;
    }
    char *text = td_alloc(ctx, size, 1), *end = text;
    for (int i = 0; text != NULL && i < state->number_count; i++) {
        char value[TD_NUMBER_TEXT];
        td_number_write(state->numbers[i].value, 17, value);
        end += sprintf(end, "%s %s\n", state->numbers[i].name, value);
    }
    return text;
}

static td_array_in_memory text_array(const char *name, const char *text) {
    return (td_array_in_memory){
        .name = name, .type = TD_ARRAY_UINT8, .count = strlen(text), .values = text};
}

tdsnn_status td_checkpoint_save(tdsnn_context *ctx, const char *path, const td_state *state) {
    int count = state->array_count + 2;
    td_array_in_memory *arrays = td_alloc(ctx, (size_t)count, sizeof *arrays);
    char *numbers = write_numbers(ctx, state);
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (arrays != NULL && numbers != NULL) {
        arrays[0] = text_array(SETTINGS, state->settings);
        arrays[1] = text_array(NUMBERS, numbers);
        for (int i = 0; i < state->array_count; i++) {
            const td_state_array *a = &state->arrays[i];
            arrays[i + 2] = (td_array_in_memory){
                .name = a->name, .type = TD_ARRAY_FLOAT32, .count = a->count, .values = a->values};
        }
        status = td_npz_save(ctx, path, arrays, count);
    }
    td_free(numbers);
    td_free(arrays);
    return status;
}

/* --------------------------------------------------------------------------------------- reading
 */

/* What has been read and not yet given out. */
typedef struct reading {
    tdsnn_context *ctx;
    const char *path;
    td_archive *archive;
    td_array settings, numbers;
    td_array *arrays; /* [state->array_count] */
    double *values;   /* [state->number_count] */
} reading;

static tdsnn_status not_read(const reading *r, const char *name, const char *cause) {
    return td_error(r->ctx, TDSNN_ERR_INPUT,
                    "%s: not a checkpoint of this training: %s %s; remove the file to start anew",
                    r->path, name, cause);
}

/* An entry of `most` elements at most: one that claims more is not even unpacked. */
static tdsnn_status read_entry(const reading *r, const char *name, td_element type, size_t most,
                               td_array *array) {
    td_stream *stream;
    size_t length = strlen(name) + 5;
    char *entry = td_alloc(r->ctx, length, 1);
    if (entry == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    snprintf(entry, length, "%s.npy", name);
    tdsnn_status status = td_archive_has(r->archive, entry)
                              ? td_archive_stream(r->archive, entry, &stream)
                              : not_read(r, name, "is missing");
    td_free(entry);
    if (status != TDSNN_OK) {
        return status;
    }
    bool fits = td_stream_room(stream) / td_element_size(type) <= most + HEADER_ROOM;
    status = fits ? td_npy_read(r->ctx, stream, array) : not_read(r, name, "is of another size");
    td_stream_close(stream);
    if (status == TDSNN_OK && array->type != type) {
        return not_read(r, name, "is of another type");
    }
    return status;
}

/* The array's bytes as a text that ends with a zero. Memory: td_free. */
static char *text_of(const reading *r, const td_array *array) {
    char *text = td_alloc(r->ctx, array->count + 1, 1);
    if (text != NULL && array->count > 0) {
        memcpy(text, array->bytes, array->count);
    }
    return text;
}

#define SPACES " \n"

/* The text's next setting, as a length from *text on, spaces before it passed over. */
static size_t next_setting(const char **text) {
    *text += strspn(*text, SPACES);
    return strcspn(*text, SPACES);
}

/* At most 100 characters of a setting, for messages: what a file says may be anything. */
static const char *shown(const char *setting, size_t length, char text[101]) {
    size_t end = length > 100 ? 100 : length;
    for (size_t i = 0; i < end; i++) {
        text[i] = setting[i] < ' ' || setting[i] > '~' ? '?' : setting[i];
    }
    text[end] = '\0';
    return length == 0 ? "nothing" : text;
}

static tdsnn_status compare_settings(const reading *r, const char *there, const char *here) {
    for (;;) {
        size_t length = next_setting(&there), wanted = next_setting(&here);
        if (length != wanted || memcmp(there, here, length) != 0) {
            char a[101], b[101];
            return td_error(r->ctx, TDSNN_ERR_USAGE,
                            "%s: its training was another: %s there, %s here; resume with the "
                            "same settings, or start anew without --resume",
                            r->path, shown(there, length, a), shown(here, wanted, b));
        }
        if (length == 0) {
            return TDSNN_OK;
        }
        there += length;
        here += length;
    }
}

static tdsnn_status check_settings(reading *r, const td_state *state) {
    tdsnn_status status = read_entry(r, SETTINGS, TD_UINT8, TEXT_LIMIT, &r->settings);
    if (status != TDSNN_OK) {
        return status;
    }
    char *text = text_of(r, &r->settings);
    status = text == NULL ? TDSNN_ERR_RUNTIME : compare_settings(r, text, state->settings);
    td_free(text);
    return status;
}

/* The value on the line that starts with `name`; false if there is none. */
static bool find_number(const char *text, const char *name, double *value) {
    size_t length = strlen(name);
    const char *end;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += line > text; /* behind the last one's end */
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            return td_number_read(line + length + 1, value, &end) && *end == '\n';
        }
    }
    return false;
}

static tdsnn_status read_numbers(reading *r, const td_state *state) {
    tdsnn_status status = read_entry(r, NUMBERS, TD_UINT8, TEXT_LIMIT, &r->numbers);
    if (status != TDSNN_OK) {
        return status;
    }
    char *text = text_of(r, &r->numbers);
    r->values = td_alloc(r->ctx, (size_t)state->number_count, sizeof *r->values);
    status = text == NULL || r->values == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int i = 0; status == TDSNN_OK && i < state->number_count; i++) {
        if (!find_number(text, state->numbers[i].name, &r->values[i])) {
            status = not_read(r, state->numbers[i].name, "is missing or no number");
        }
    }
    td_free(text);
    return status;
}

static tdsnn_status read_arrays(reading *r, const td_state *state) {
    tdsnn_status status = TDSNN_OK;
    r->arrays = td_alloc(r->ctx, (size_t)state->array_count, sizeof *r->arrays);
    if (r->arrays == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; status == TDSNN_OK && i < state->array_count; i++) {
        const td_state_array *a = &state->arrays[i];
        status = read_entry(r, a->name, TD_FLOAT32, a->count, &r->arrays[i]);
        if (status == TDSNN_OK && r->arrays[i].count != a->count) {
            status = not_read(r, a->name, "is of another size");
        }
    }
    return status;
}

/* Nothing can fail from here on. */
static void give_out(const reading *r, td_state *state) {
    for (int i = 0; i < state->array_count; i++) {
        const td_state_array *a = &state->arrays[i];
        if (a->count > 0) {
            memcpy(a->values, r->arrays[i].bytes, a->count * sizeof *a->values);
        }
    }
    for (int i = 0; i < state->number_count; i++) {
        state->numbers[i].value = r->values[i];
    }
}

tdsnn_status td_checkpoint_load(tdsnn_context *ctx, const char *path, td_state *state) {
    reading r = {.ctx = ctx, .path = path};
    tdsnn_status status = td_archive_open(ctx, path, &r.archive);
    if (status == TDSNN_OK) {
        status = check_settings(&r, state);
    }
    if (status == TDSNN_OK) {
        status = read_numbers(&r, state);
    }
    if (status == TDSNN_OK) {
        status = read_arrays(&r, state);
    }
    if (status == TDSNN_OK) {
        give_out(&r, state);
    }
    for (int i = 0; r.arrays != NULL && i < state->array_count; i++) {
        td_array_free(&r.arrays[i]);
    }
    td_free(r.arrays);
    td_free(r.values);
    td_array_free(&r.numbers);
    td_array_free(&r.settings);
    td_archive_close(r.archive);
    return status;
}
