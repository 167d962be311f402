#include "graph/source.h"

#include <string.h>

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
