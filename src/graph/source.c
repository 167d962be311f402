#include "graph/source.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/shape.h"

void td_source_destroy(td_source *source) {
    if (source != NULL) {
        td_arena_destroy(source->arena); /* which holds the source itself */
    }
}

const td_attribute *td_source_attribute(const td_source_node *node, const char *name) {
    for (int i = 0; i < node->attribute_count; i++) {
        if (strcmp(node->attributes[i].name, name) == 0) {
            return &node->attributes[i];
        }
    }
    return NULL;
}

/* Whether an input's dimension is called by these characters. */
static bool is_called(const td_source_value *input, int dim, const char *name, size_t length) {
    char place[16];
    snprintf(place, sizeof place, "%d", dim);
    const char *own = input->symbols[dim] == NULL ? place : input->symbols[dim];
    return strlen(own) == length && memcmp(own, name, length) == 0;
}

static void set_size(td_source *source, const char *name, size_t length, int64_t size) {
    for (int i = 0; i < source->input_count; i++) {
        td_source_value *input = &source->values[source->inputs[i]];
        for (int dim = 1; dim < input->rank; dim++) {
            if (input->dims[dim] == -1 && is_called(input, dim, name, length)) {
                input->dims[dim] = size;
            }
        }
    }
}

tdsnn_status td_source_set_sizes(tdsnn_context *ctx, td_source *source, const char *sizes) {
    const char *next = sizes;
    do {
        size_t length = strcspn(next, "=");
        const char *digits = next[length] == '=' ? next + length + 1 : "";
        char *end = NULL;
        long size = isdigit((unsigned char)*digits) ? strtol(digits, &end, 10) : 0;
        if (length == 0 || size < 1 || size > TD_MAX_EXTENT || (*end != ',' && *end != '\0')) {
            return td_error(ctx, TDSNN_ERR_USAGE,
                            "the sizes '%s' are not of the form NAME=V,NAME=V with V from 1 to %d",
                            sizes, TD_MAX_EXTENT);
        }
        set_size(source, next, length, size);
        next = *end == ',' ? end + 1 : NULL;
    } while (next != NULL);
    return TDSNN_OK;
}
