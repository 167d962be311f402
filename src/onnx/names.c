#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/reader.h"

/* The bytes of the UTF-8 character at `at`, 0 if there is none (overlong, surrogate, cut off). */
static size_t utf8_length(const unsigned char *at, size_t left) {
    unsigned char first = at[0];
    size_t length = first < 0x80   ? 1
                    : first < 0xc2 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf5 ? 4
                                   : 0;
    if (length == 0 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool refused = (first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
                   (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f);
    return refused ? 0 : length;
}

/* Control characters: those of ASCII, and U+0080 .. U+009F. */
static bool is_control(const unsigned char *at) {
    return at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0);
}

static tdsnn_status copy_text(const td_reader *r, const td_wire *bytes, const char *allowed,
                              const char **text) {
    size_t size = td_wire_size(bytes), length;
    for (size_t i = 0; i < size; i += length) {
        const unsigned char *at = bytes->at + i;
        length = utf8_length(at, size - i);
        if (length == 0) {
            return td_error(r->ctx, TDSNN_ERR_INPUT, "a name or string is not UTF-8");
        }
        if (is_control(at) && (*at == '\0' || strchr(allowed, *at) == NULL)) {
            return td_error(r->ctx, TDSNN_ERR_INPUT,
                            "a name or string holds the control character %d", *at);
        }
    }
    const char *copy = size == 0 ? "" : td_arena_strndup(r->arena, (const char *)bytes->at, size);
    if (copy == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    *text = copy;
    return TDSNN_OK;
}

tdsnn_status td_read_name(const td_reader *r, const td_wire *bytes, const char **name) {
    if (td_wire_size(bytes) > TD_ONNX_MAX_NAME) {
        return td_error(r->ctx, TDSNN_ERR_INPUT, "a name has %zu bytes, but at most %zu are read",
                        td_wire_size(bytes), TD_ONNX_MAX_NAME);
    }
    return copy_text(r, bytes, "", name);
}

tdsnn_status td_read_text(const td_reader *r, const td_wire *bytes, const char **text) {
    return copy_text(r, bytes, "\t\n\r", text);
}

bool td_wire_is(const td_wire *bytes, const char *text) {
    size_t length = strlen(text);
    return td_wire_size(bytes) == length && (length == 0 || memcmp(bytes->at, text, length) == 0);
}

struct td_ref {
    td_wire name;
    int *place;
    int order; /* of occurrence */
};

tdsnn_status td_refs_add(const td_reader *r, td_refs *refs, const td_wire *name, int *place) {
    if (refs->count >= 4 * TD_ONNX_MAX_ITEMS) {
        return td_error(r->ctx, TDSNN_ERR_UNSUPPORTED, "values are named more than %zu times",
                        4 * TD_ONNX_MAX_ITEMS);
    }
    tdsnn_status status =
        td_reserve(r->ctx, &refs->items, &refs->capacity, refs->count + 1, sizeof *refs->items);
    if (status == TDSNN_OK) {
        refs->items[refs->count] = (struct td_ref){*name, place, (int)refs->count};
        refs->count++;
    }
    return status;
}

static int compare_names(const td_wire *a, const td_wire *b) {
    size_t a_size = td_wire_size(a), b_size = td_wire_size(b);
    size_t common = a_size < b_size ? a_size : b_size;
    int difference = common == 0 ? 0 : memcmp(a->at, b->at, common);
    return difference != 0 ? difference : (a_size > b_size) - (a_size < b_size);
}

static int compare_refs(const void *a, const void *b) {
    const struct td_ref *left = a, *right = b;
    int difference = compare_names(&left->name, &right->name);
    return difference != 0 ? difference : left->order - right->order;
}

/* number[order of an occurrence] = number of its name; gives how many names there are. */
static int number_refs(const td_refs *refs, int *number) {
    int first = 0, count = 0;
    for (size_t i = 0; i < refs->count; i++) {
        const struct td_ref *ref = &refs->items[i];
        if (i == 0 || compare_names(&ref[-1].name, &ref->name) != 0) {
            first = ref->order;
        }
        number[ref->order] = first;
    }
    for (int i = 0; i < (int)refs->count; i++) {
        number[i] = number[i] == i ? count++ : number[number[i]];
    }
    return count;
}

tdsnn_status td_refs_number(const td_reader *r, td_refs *refs, td_source_value **values,
                            int *count) {
    int *number = td_alloc(r->ctx, refs->count, sizeof *number);
    if (number == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (refs->count > 0) {
        qsort(refs->items, refs->count, sizeof *refs->items, compare_refs);
    }
    int names = number_refs(refs, number);
    td_source_value *made = td_arena_alloc(r->arena, (size_t)names, sizeof *made);
    tdsnn_status status = made == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (size_t i = 0; status == TDSNN_OK && i < refs->count; i++) {
        int n = number[refs->items[i].order];
        *refs->items[i].place = n;
        if (made[n].name == NULL) {
            made[n].rank = -1;
            status = td_read_name(r, &refs->items[i].name, &made[n].name);
        }
    }
    td_free(number);
    if (status == TDSNN_OK) {
        *values = made;
        *count = names;
    }
    return status;
}

typedef struct named {
    const char *name;
    int index;
} named;

static int compare_named(const void *a, const void *b) {
    const named *left = a, *right = b;
    int difference = strcmp(left->name, right->name);
    return difference != 0 ? difference : left->index - right->index;
}

static int compare_key(const void *key, const void *item) {
    return strcmp(key, ((const named *)item)->name);
}

/* The next of NAME_2, NAME_3, ... that the file does not have. Two different names cannot come to
 * the same one: what follows the last underscore is the number. */
static const char *next_free(td_arena *arena, const named *sorted, int count, const char *name,
                             int *suffix) {
    size_t room = strlen(name) + 16;
    char *made = td_arena_alloc(arena, room, 1);
    while (made != NULL) {
        snprintf(made, room, "%s_%d", name, ++*suffix);
        if (bsearch(made, sorted, (size_t)count, sizeof *sorted, compare_key) == NULL) {
            break;
        }
    }
    return made;
}

tdsnn_status td_names_unique(tdsnn_context *ctx, td_arena *arena, const char **names, int count) {
    named *sorted = td_alloc(ctx, (size_t)count, sizeof *sorted);
    if (sorted == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < count; i++) {
        sorted[i] = (named){names[i], i};
    }
    qsort(sorted, (size_t)count, sizeof *sorted, compare_named);
    tdsnn_status status = TDSNN_OK;
    for (int i = 1, suffix = 1; status == TDSNN_OK && i < count; i++) {
        if (strcmp(sorted[i - 1].name, sorted[i].name) != 0) {
            suffix = 1;
            continue;
        }
        const char *made = next_free(arena, sorted, count, sorted[i].name, &suffix);
        status = made == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
        names[sorted[i].index] = made;
    }
    td_free(sorted);
    return status;
}
